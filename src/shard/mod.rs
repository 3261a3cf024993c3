//! The owner of users and sessions on one core: inputs and time in, effects out.

pub mod cdr_event;
pub mod effect;
pub mod input;
pub mod letter;

use crate::shard::effect::Effects;
use crate::shard::input::Input;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// A shard's number in this server, dense from zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// What the shell drives: the pure core of one shard. `Shard` is the one that serves; tests of the shell bring their own.
pub trait Core {
    /// Takes one input at `now` and pushes what is to be done. `effects` may hold bytes of earlier inputs of the same turn.
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects);

    /// Whether nothing is in flight that is worth waiting for. Asked after `Input::Stop` only.
    fn is_quiet(&self) -> bool {
        true
    }
}

/// What the store keeps of a user: credentials only as what the enabled schemes need.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The address of record.
    pub aor: Aor,
    /// Shown to others; empty where there is none.
    pub display_name: Box<str>,
    /// MD5("user:domain:password") (RFC 7616 §3.4.2), where `digest-md5` is enabled.
    pub ha1_md5: Option<[u8; 16]>,
    /// SHA-256("user:domain:password"), where `digest-sha-256` is enabled.
    pub ha1_sha256: Option<[u8; 32]>,
}

impl core::fmt::Debug for UserRecord {
    // A credential never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UserRecord")
            .field("aor", &self.aor)
            .finish_non_exhaustive()
    }
}
