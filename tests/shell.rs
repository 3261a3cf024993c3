//! The runtime under the shell, over real sockets and with competing load on the cores.

/// No executor hangs: glommio's lost run, and the pulse against it.
mod pulse;
/// Work that competes with the shards for their cores.
mod spinners;
