//! What the records say of a call: two participants, what they wrote in it, why it ended, and for one that nobody answered why nobody did.

use crate::calls::carried::Answer;
use crate::immcu::SessionId;
use crate::shard::cdr_event::{CdrEvent, SessionKind};
use crate::shard::effect::{Effect, Effects};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// Why nobody answered, as an operator reads it.
pub(super) fn reason(answer: &Answer) -> &'static str {
    match answer.status {
        486 if &*answer.reason == "Do Not Disturb" => "do not disturb",
        486 | 600 => "busy",
        487 => "cancelled",
        408 => "no answer",
        480 if &*answer.reason == "The User Is Offline" => "offline",
        480 => "no answer",
        482 => "loop",
        // 481: what it was to replace (RFC 3891) is over, or its client knows of none. Nobody said no.
        481 | 500..600 => "failed",
        _ => "declined",
    }
}

/// A call begins, when it is answered; one that nobody answered began when it was made.
pub(super) fn started(session: SessionId, initiator: &Aor, at: Now, effects: &mut Effects) {
    effects.list.push(Effect::Record(CdrEvent::Started {
        session,
        kind: SessionKind::Call,
        initiator: initiator.clone(),
        continues: None,
        at,
    }));
}

/// Somebody is in it: 0 is who called, 1 who was called.
pub(super) fn joined(
    session: SessionId,
    participant: u32,
    user: Aor,
    endpoint: Box<str>,
    at: Now,
    effects: &mut Effects,
) {
    effects.list.push(Effect::Record(CdrEvent::Joined {
        session,
        participant,
        user,
        endpoint,
        at,
    }));
}

/// A message that somebody wrote in it has reached the other side since it ended.
pub(super) fn one_more(session: SessionId, participant: u32, effects: &mut Effects) {
    effects.list.push(Effect::Record(CdrEvent::OneMore {
        session,
        participant,
    }));
}

/// Both leave, and it is over.
pub(super) fn ended(
    session: SessionId,
    messages_sent: [u32; 2],
    reason: &'static str,
    at: Now,
    effects: &mut Effects,
) {
    for (participant, messages_sent) in (0..).zip(messages_sent) {
        effects.list.push(Effect::Record(CdrEvent::Left {
            session,
            participant,
            messages_sent,
            reason,
            at,
        }));
    }
    let ended = CdrEvent::Ended {
        session,
        reason,
        at,
    };
    effects.list.push(Effect::Record(ended));
}
