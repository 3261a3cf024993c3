//! The instant-messaging multipoint control unit: every conversation passes it.
//!
//! A session has one owner shard, one roster and one order (`session`); each participant has a dialog of their own
//! with the server, the leg (`leg`), on the shard of their connection. Pager messages between two users are one
//! session as well (`pager`). Who decides in a conference is its `room`. Who is at it
//! without a leg, and how long it waits, is its `focus`. Ringing all endpoints of a user is an invitation (`ringing`).

pub mod content;
pub mod focus;
pub mod leg;
pub mod pager;
pub mod ringing;
pub mod room;
pub mod session;
mod session_id;
pub mod typing;

pub use session_id::SessionId;

use core::time::Duration;

/// The MCU's limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Members a conference takes, those who are being rung included.
    pub members_max: usize,
    /// Sessions and calls that users of one shard may have started at a time.
    pub sessions_max: usize,
    /// After this long without a message, a pair's pager session is over.
    pub pager_idle: Duration,
    /// How long an invitation rings.
    pub ringing: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            members_max: 250,
            sessions_max: 1_000_000,
            pager_idle: Duration::from_secs(600),
            ringing: Duration::from_secs(120),
        }
    }
}
