//! What was said in a session, on its way to the legs of this shard, and what they answer. Each client hears it in its own
//! way: in a MESSAGE, with or without a wrapper, or not as a message at all.

use slotmap::KeyData;

use crate::dialect::Dialect;
use crate::dialect::lync::message::Hearing;
use crate::dialect::simple::{self, Reads};
use crate::immcu::SessionId;
use crate::immcu::content::{Content, Outcome, Party, Sort};
use crate::immcu::leg::State;
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::letter::{Awaited, Letter, Speaker};
use crate::shard::lync::{on_typing, on_undelivered};
use crate::shard::on_leg::{key_of, lost};
use crate::shard::usage::{Association, Conveyance, Copies, CopiesKey, Purpose, Usage};
use crate::shard::{Shard, held};
use crate::sip::build::UriOf;
use crate::sip::dialog::DialogKey;
use crate::sip::message::Method;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// The session's owner: this was said. One MESSAGE in the dialog of each leg named; what is gone is reported.
#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn convey(
    shard: &mut Shard,
    session: SessionId,
    legs: &[u64],
    doubled: bool,
    from: &Party,
    speaker: Option<Speaker>,
    awaited: Option<Awaited>,
    since: Now,
    content: &Content,
    effects: &mut Effects,
) {
    let counts = content.sort == Sort::Text;
    let now = shard.now;
    let mut sent = false;
    let mut doubles = match doubled && counts && speaker.is_some() {
        true => doubles(shard, legs),
        false => Vec::new(),
    };
    for raw in legs {
        let key: DialogKey = KeyData::from_ffi(*raw).into();
        let at = doubles.iter().position(|(leg, _)| *leg == key);
        let copies = at.map(|at| doubles.swap_remove(at).1);
        let ready = match shard.leg(key) {
            Some(leg) if matches!(leg.state, State::Established | State::Confirming(_)) => shard
                .dialogs
                .get(key)
                .map(|association| association.connection),
            _ => None,
        };
        let conveyance = || Conveyance {
            session,
            leg: key,
            speaker,
            awaited,
            counts,
            copies,
        };
        let bytes = content.body.len();
        if ready.is_some_and(|connection| !shard.connections.has_room_to_say(connection, bytes)) {
            conveyed(shard, &conveyance(), 503, held::no_room(), effects);
            continue;
        }
        let speaks = ready.map_or(Dialect::Simple, |connection| {
            shard.connections.dialect(connection)
        });
        let bare = match speaks {
            Dialect::Simple => None,
            Dialect::Lync => match Hearing::of(content) {
                Hearing::Message(bare) => {
                    on_typing::heard(shard, key);
                    Some(bare)
                }
                other => {
                    // In a conference its beats would not say who types.
                    if let Hearing::Typing(composing) = other
                        && shard.leg(key).is_some_and(|leg| !leg.focus)
                    {
                        on_typing::show(shard, key, composing, effects);
                    }
                    if let Some(copies) = copies {
                        shard.copy_ended(copies, true);
                    }
                    hears_no_more(shard, session, key, speaker, awaited, effects);
                    continue;
                }
            },
        };
        let purpose = || Purpose::Convey(Box::new(conveyance()));
        let client = ready.and_then(|connection| {
            Some((
                connection,
                shard.open_client(connection, Method::Message, purpose())?,
            ))
        });
        let Some((connection, client)) = client else {
            let outcome = Outcome::with(480, "No Longer In The Session");
            conveyed(shard, &conveyance(), 480, outcome, effects);
            continue;
        };
        let branch = shard.branches.of(client);
        let Some(link) = shard.connections.link(connection) else {
            continue;
        };
        let Some(Association {
            dialog,
            usage: Usage::Leg(leg),
            ..
        }) = shard.dialogs.get_mut(key)
        else {
            continue;
        };
        let reads = if leg.cpim {
            Reads::Cpim(&leg.user)
        } else {
            Reads::Plain
        };
        effects.send(connection, |out| {
            let mut draft = dialog.request(out, "MESSAGE", &link, branch);
            // The dialog is with the conference: a Lync client knows who speaks by this line alone.
            if leg.focus && bare.is_some() {
                draft.header("Ms-Sender", ("<", (UriOf(&from.aor), ">")));
            }
            match &bare {
                Some(bare) => bare.write(draft, &content.lines),
                None => simple::write_content(draft, from, content, reads, now),
            }
        });
        sent = true;
    }
    if sent && awaited.is_none() {
        effects.list.push(Effect::Observe {
            latency: Latency::MessageConference,
            since,
        });
    }
}

/// The legs whose user has others among them, with what is kept of the copies that go to that user.
fn doubles(shard: &mut Shard, legs: &[u64]) -> Vec<(DialogKey, CopiesKey)> {
    let key = |raw: &u64| DialogKey::from(KeyData::from_ffi(*raw));
    let user = |key: DialogKey| Some((&shard.leg(key)?.user, key));
    let mut users: Vec<(&Aor, DialogKey)> = legs.iter().map(key).filter_map(user).collect();
    users.sort_unstable();
    let several = users.chunk_by(|one, other| one.0 == other.0);
    let several: Vec<Vec<DialogKey>> = several
        .filter(|legs| legs.len() > 1)
        .map(|legs| legs.iter().map(|(_, key)| *key).collect())
        .collect();
    let mut all = Vec::new();
    for legs in several {
        let copies = shard.copies.insert(Copies {
            waiting: legs.len(),
            taken: false,
        });
        all.extend(legs.into_iter().map(|leg| (leg, copies)));
    }
    all
}

/// What was said is not for a MESSAGE to this leg: whoever waits is told that it has been taken.
fn hears_no_more(
    shard: &mut Shard,
    session: SessionId,
    key: DialogKey,
    speaker: Option<Speaker>,
    awaited: Option<Awaited>,
    effects: &mut Effects,
) {
    if awaited.is_none() {
        return;
    }
    let letter = Letter::Conveyed {
        session,
        leg: shard.leg_ref(key),
        speaker,
        awaited,
        counts: false,
        outcome: Outcome::of(200),
    };
    shard.post_session(session, letter, effects);
}

/// A leg has answered a message, or never will.
pub(super) fn conveyed(
    shard: &mut Shard,
    conveyance: &Conveyance,
    status: u16,
    outcome: Outcome,
    effects: &mut Effects,
) {
    let leg = shard.leg_ref(conveyance.leg);
    let (session, speaker, awaited, counts) = (
        conveyance.session,
        conveyance.speaker,
        conveyance.awaited,
        conveyance.counts,
    );
    // Who has it at one endpoint has it.
    let missed = match conveyance.copies {
        Some(copies) => shard.copy_ended(copies, outcome.is_success()),
        None => !outcome.is_success(),
    };
    if awaited.is_some() || missed {
        shard.post_session(
            session,
            Letter::Conveyed {
                session,
                leg,
                speaker,
                awaited,
                counts,
                outcome,
            },
            effects,
        );
    }
    // The peer has no such dialog, or nothing comes back from it at all (RFC 5057 §5.1, §5.2).
    if matches!(status, 408 | 481) {
        lost(shard, conveyance.leg, "dialog lost", effects);
    }
}

/// The session's owner: what this leg said did not reach somebody. Each client is told in its own way.
pub(super) fn undelivered(
    shard: &mut Shard,
    session: SessionId,
    speaker: Speaker,
    from: &Party,
    missed: &Aor,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    let key = key_of(speaker.leg);
    let connection = shard.dialogs.get(key).map(|dialog| dialog.connection);
    if connection.is_some_and(|id| shard.connections.dialect(id) == Dialect::Lync) {
        return on_undelivered::report(shard, key, speaker.number, missed, outcome, effects);
    }
    let content = simple::not_delivered(missed, outcome.status, outcome.text());
    let legs = [speaker.leg.key];
    let now = shard.now;
    convey(
        shard, session, &legs, false, from, None, None, now, &content, effects,
    );
}

impl Shard {
    /// A leg has taken its copy, or has not. True where it was the last of its user's, and none has.
    fn copy_ended(&mut self, key: CopiesKey, taken: bool) -> bool {
        let Some(copies) = self.copies.get_mut(key) else {
            return false;
        };
        copies.taken |= taken;
        copies.waiting = copies.waiting.saturating_sub(1);
        if copies.waiting > 0 {
            return false;
        }
        self.copies.remove(key).is_some_and(|copies| !copies.taken)
    }
}
