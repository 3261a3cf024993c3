//! What the shards tell the call detail records. Never the text of a message.

use crate::immcu::SessionId;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// What kind of session a row is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionKind {
    /// Two parties: pager messages or an IM session.
    Im,
    /// A focus and its members.
    Conference,
    /// Audio or video.
    Call,
}

/// One step in the life of a session or a participant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CdrEvent {
    /// A session began.
    Started {
        /// Its id.
        session: SessionId,
        /// Its kind.
        kind: SessionKind,
        /// Who began it.
        initiator: Aor,
        /// The two-party session that this conference continues.
        continues: Option<SessionId>,
        /// When.
        at: Now,
    },
    /// A participant joined.
    Joined {
        /// Which session.
        session: SessionId,
        /// A number for this participation, unique in its session.
        participant: u32,
        /// Who.
        user: Aor,
        /// The endpoint's instance id, or empty where it is not known.
        endpoint: Box<str>,
        /// When.
        at: Now,
    },
    /// A participant left.
    Left {
        /// Which session.
        session: SessionId,
        /// Which participation.
        participant: u32,
        /// Messages sent that were delivered or accepted.
        messages_sent: u32,
        /// A few words: "left", "connection lost", "removed", …
        reason: &'static str,
        /// When.
        at: Now,
    },
    /// A message reached the other side after its sender's `Left` had told how many did.
    OneMore {
        /// Which session.
        session: SessionId,
        /// Which participation.
        participant: u32,
    },
    /// The session ended.
    Ended {
        /// Which session.
        session: SessionId,
        /// A few words.
        reason: &'static str,
        /// When.
        at: Now,
    },
}
