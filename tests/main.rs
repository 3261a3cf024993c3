//! One test binary: each module says what belongs in it.

/// What every model client needs: reading, answering, proving who it is.
mod client;
/// Whole conversations as files, played on the pure server and on the real binary.
mod conversation;
/// What grows with the number of shards.
mod growth;
/// Who may speak on a connection that moves between shards.
mod identity;
/// The built binary driven over TCP and TLS with real clients written by others, where they are installed.
mod interop;
/// Too much: what is shed and what never is, and how a change that many watch lets others in between.
mod overload;
/// What presence costs and keeps: limits, lists of watchers, and what the store is slow to keep or refuses.
mod presence;
/// Drives the built binary only: commands, config, signals, exit status, bad input on the socket.
mod program;
/// Pure shards whose clients sit beside them, as the benchmarks have them.
#[path = "../benches/one_shard.rs"]
#[allow(dead_code, reason = "nothing is timed here")]
#[allow(
    clippy::duplicate_mod,
    reason = "the benchmarks have the model client beside them too"
)]
mod shards;
/// The runtime under the shell: no executor ever hangs, no byte is lost in adoption.
mod shell;
/// Many shards in one thread, one seed: letters late, sockets cut; invariants after each step.
mod simulation;
/// The house itself: floors, purity, every room named in lib.rs.
mod tidy;
/// Bytes in, meaning out, written again; from the standards and from real clients.
mod wire;
/// A whole server of pure shards in one thread: sockets, letters and time in our hands.
mod world;
