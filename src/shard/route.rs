//! Who owns what: user → routing group → shard. On the Enterprise Edition the same map will also say which server.

use crate::shard::ShardId;
use crate::sip::uri::Aor;

/// How many routing groups there are. Fixed for good: a session's id names its group, and groups are what a pool
/// moves between servers.
pub const GROUPS: u16 = 4096;

/// The map of this server's shards.
#[derive(Clone, Debug)]
pub struct Route {
    shards: u16,
}

impl Route {
    /// A route over `shards` shards; at least one, at most [`GROUPS`].
    pub fn new(shards: u16) -> Route {
        Route {
            shards: shards.clamp(1, GROUPS),
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The routing group of a user: stable over restarts, versions and machines.
    pub fn group(aor: &Aor) -> u16 {
        // FNV-1a, 64 bits, folded: users are made by the operator, so nobody outside chooses what collides.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in aor.as_str().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        ((hash ^ (hash >> 32)) % u64::from(GROUPS)) as u16
    }

    /// The shard that owns a routing group.
    pub fn owner_of_group(&self, group: u16) -> ShardId {
        ShardId(group % self.shards)
    }

    /// The shard that owns a user.
    pub fn owner(&self, aor: &Aor) -> ShardId {
        self.owner_of_group(Route::group(aor))
    }
}
