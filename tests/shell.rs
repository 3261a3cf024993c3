//! The runtime under the shell, over real sockets and with competing load on the cores.

/// Connections move from shard to shard, and no byte is lost.
mod adoption;
/// What a peer may do wrong on a socket: nothing, too little, too much, too slowly.
mod bad_peer;
/// A shard that cannot keep up sheds polls, and the messages of a conversation pass.
mod overload;
/// A peer written with what the standard library and rustls offer, blocking.
mod peer;
/// Full queues push back and drop nothing.
mod pressure;
/// No executor hangs: glommio's lost run, and the pulse against it.
mod pulse;
/// Starts shards with a core of the test's own.
mod server;
/// Work that competes with the shards for their cores.
mod spinners;
/// Shards with tables of descriptors of their own.
mod tables;
/// Starting, certificates, telemetry, stopping.
mod whole_life;
