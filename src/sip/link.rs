//! The connection that carries SIP, as far as the rules of SIP care (RFC 3261 §18).

use core::net::SocketAddr;

/// A connection as its shard knows it: a slot in the low half, that slot's generation in the high half.
/// Slots are small and dense (the shell reuses them), generations make a stale id harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// The id of `slot` in its `generation`th use.
    pub fn new(slot: u32, generation: u32) -> ConnectionId {
        ConnectionId((u64::from(generation) << 32) | u64::from(slot))
    }

    /// The dense slot number, an index into a table of connections.
    pub fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    /// How many connections had the slot before.
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// How a connection carries SIP (RFC 3261 §18, §26.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// TLS over TCP.
    Tls,
    /// Plain TCP; the config allows it on loopback only.
    Tcp,
}

/// What the shell knows of a connection when it opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// How it carries SIP.
    pub transport: Transport,
    /// Our end: what we name in Contact and Via on this connection.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// How many times it has already moved between shards; adoption is refused past a bound.
    pub moves: u8,
    /// How many wrong passwords in a row were tried on it before it came to its shard.
    pub failures: u8,
}
