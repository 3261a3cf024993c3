//! One test binary: each module says what belongs in it.

/// What every model client needs: reading, answering, proving who it is.
mod client;
/// Whole conversations as files, played on the pure server and on the real binary.
mod conversation;
/// The built binary driven over TCP and TLS with real clients written by others, where they are installed.
mod interop;
/// Too much: what is shed and what never is, and how a change that many watch lets others in between.
mod overload;
/// Drives the built binary only: commands, config, signals, exit status, bad input on the socket.
mod program;
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
