//! A session at its owner: who comes, who speaks, who goes. Order and roster are decided here and nowhere else.

use rand_core::Rng;

use crate::dialect::simple;
use crate::immcu::SessionId;
use crate::immcu::content::{Content, Outcome, Party, Priority, Sort};
use crate::immcu::ringing::Stop;
use crate::immcu::session::{Joining, Kind, LegRef, Participant, Refusal, Session};
use crate::shard::cdr_event::{CdrEvent, SessionKind};
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::letter::{Invited, Letter, Ticket};
use crate::shard::{Shard, ShardId, on_roster};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Outcome {
        Outcome::with(refusal.status(), refusal.reason())
    }
}

/// A session begins: with an invitation to `to`, or as an empty room with its starter.
#[expect(
    clippy::too_many_arguments,
    reason = "who, where and whom: each its own kind of thing"
)]
pub(super) fn start(
    shard: &mut Shard,
    id: SessionId,
    kind: Kind,
    starter: &Party,
    leg: LegRef,
    endpoint: Box<str>,
    to: Option<Invited>,
    effects: &mut Effects,
) {
    let members_max = shard.settings.immcu.members_max;
    let mut session = Session::new(id, kind, starter.aor.clone(), shard.now);
    let active = to.is_none();
    let joined = session.join(
        starter.clone(),
        leg,
        endpoint,
        Joining::DialedIn,
        active,
        members_max,
    );
    let refused = joined.err();
    let invitation = match &to {
        Some(to) => session.invite(to.user.clone(), None, members_max).ok(),
        None => None,
    };
    if let Some(refusal) = refused {
        return shard.post(
            ShardId(leg.shard),
            Letter::Refuse {
                leg,
                outcome: refusal.into(),
            },
            effects,
        );
    }
    shard.sessions.insert(id, session);
    match (to, invitation) {
        (Some(to), Some(invitation)) => {
            let user = to.user.clone();
            let letter = Letter::Ring {
                session: id,
                invitation,
                from: starter.clone(),
                to,
                focus: false,
            };
            shard.post_owner(&user, letter, effects);
        }
        (Some(_), None) => {
            shard.sessions.remove(&id);
            let outcome = Outcome::with(486, "That Is You");
            shard.post(ShardId(leg.shard), Letter::Refuse { leg, outcome }, effects);
        }
        (None, _) => {
            record_start(shard, id, None, effects);
            shard.post(
                ShardId(leg.shard),
                Letter::Welcome { leg, focus: true },
                effects,
            );
        }
    }
}

/// An INVITE to the session's own URI.
pub(super) fn join(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    user: Party,
    endpoint: Box<str>,
    effects: &mut Effects,
) {
    let members_max = shard.settings.immcu.members_max;
    let refuse = |shard: &mut Shard, outcome: Outcome, effects: &mut Effects| {
        shard.post(ShardId(leg.shard), Letter::Refuse { leg, outcome }, effects);
    };
    let Some(session) = shard.sessions.get(&id).filter(|_| !shard.stopping) else {
        return refuse(shard, Outcome::of(404), effects);
    };
    // A third one who knows the URI makes it a conference, as REFER does. While the first two have not met yet there
    // is nothing to join.
    if session.kind == Kind::TwoParty {
        if session
            .participants
            .iter()
            .any(|participant| !participant.active)
        {
            return refuse(shard, Outcome::of(480), effects);
        }
        promote(shard, id, effects);
    }
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    match session.join(user, leg, endpoint, Joining::DialedIn, true, members_max) {
        Ok(participant) => {
            let participant = participant.clone();
            shard.post(
                ShardId(leg.shard),
                Letter::Welcome { leg, focus: true },
                effects,
            );
            record_joined(shard, id, &participant, effects);
            on_roster::tell(
                shard,
                id,
                Some((on_roster::Change::Joined, participant)),
                effects,
            );
        }
        Err(refusal) => refuse(shard, refusal.into(), effects),
    }
}

/// It rings somewhere: the starter of a two-party session hears so.
pub(super) fn ringing(shard: &mut Shard, id: SessionId, invitation: u32, effects: &mut Effects) {
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    if let Some(refer) = session
        .invitations
        .iter()
        .find(|i| i.number == invitation)
        .and_then(|i| i.refer)
    {
        let outcome = Outcome::of(180);
        return shard.post(
            ShardId(refer.shard),
            Letter::Referred {
                watcher: refer,
                outcome,
            },
            effects,
        );
    }
    if let Some(leg) = session
        .participants
        .iter()
        .find(|p| !p.active)
        .map(|p| p.leg)
    {
        shard.post(ShardId(leg.shard), Letter::Progress { leg }, effects);
    }
}

/// An endpoint has accepted an invitation.
pub(super) fn accepted(
    shard: &mut Shard,
    id: SessionId,
    invitation: u32,
    leg: LegRef,
    party: Party,
    endpoint: Box<str>,
    effects: &mut Effects,
) {
    let members_max = shard.settings.immcu.members_max;
    let ended = shard
        .sessions
        .get_mut(&id)
        .and_then(|session| Some((session.invitation_ended(invitation)?, session)));
    // Nobody waits for it any more: cancelled, over, or the server stops.
    let Some((invitation, session)) = ended else {
        return shard.post(ShardId(leg.shard), Letter::End { leg }, effects);
    };
    let joined = match session.join(party, leg, endpoint, Joining::DialedOut, true, members_max) {
        Ok(participant) => participant.clone(),
        Err(_) => return shard.post(ShardId(leg.shard), Letter::End { leg }, effects),
    };
    let kind = session.kind;
    if let Some(watcher) = invitation.refer {
        shard.post(
            ShardId(watcher.shard),
            Letter::Referred {
                watcher,
                outcome: Outcome::of(200),
            },
            effects,
        );
    }
    shard.post(
        ShardId(leg.shard),
        Letter::Welcome {
            leg,
            focus: kind == Kind::Conference,
        },
        effects,
    );
    if kind == Kind::Conference {
        record_joined(shard, id, &joined, effects);
        return on_roster::tell(
            shard,
            id,
            Some((on_roster::Change::Joined, joined)),
            effects,
        );
    }
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let waiting: Vec<LegRef> = session
        .participants
        .iter()
        .filter(|p| !p.active)
        .map(|p| p.leg)
        .collect();
    for participant in &mut session.participants {
        participant.active = true;
    }
    record_start(shard, id, None, effects);
    for leg in waiting {
        shard.post(
            ShardId(leg.shard),
            Letter::Welcome { leg, focus: false },
            effects,
        );
    }
}

/// Nobody has accepted an invitation.
pub(super) fn declined(
    shard: &mut Shard,
    id: SessionId,
    invitation: u32,
    outcome: Outcome,
    effects: &mut Effects,
) {
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let Some(invitation) = session.invitation_ended(invitation) else {
        return;
    };
    if let Some(watcher) = invitation.refer {
        return shard.post(
            ShardId(watcher.shard),
            Letter::Referred { watcher, outcome },
            effects,
        );
    }
    if session.kind == Kind::TwoParty {
        let waiting: Vec<LegRef> = session.participants.iter().map(|p| p.leg).collect();
        shard.sessions.remove(&id);
        for leg in waiting {
            shard.post(
                ShardId(leg.shard),
                Letter::Refuse {
                    leg,
                    outcome: outcome.clone(),
                },
                effects,
            );
        }
    }
}

/// Somebody speaks. This is the place where the order is made: letters to the hearers leave in the order in which
/// this is called.
#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn say(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    ticket: Ticket,
    since: Now,
    from: Party,
    content: Content,
    effects: &mut Effects,
) {
    let answer = |shard: &mut Shard, outcome: Outcome, effects: &mut Effects| {
        let letter = Letter::Answer {
            ticket,
            outcome,
            latency: None,
        };
        shard.post(ticket.shard, letter, effects);
    };
    let Some(session) = shard.sessions.get_mut(&id) else {
        return answer(shard, Refusal::NotHere.into(), effects);
    };
    let two = session.kind == Kind::TwoParty;
    let mut hearers = match session.hearers(leg) {
        Ok(hearers) => hearers,
        Err(refusal) => return answer(shard, refusal.into(), effects),
    };
    if !two {
        if content.sort == Sort::Text
            && let Some(participant) = session.by_leg_mut(leg)
        {
            participant.messages_sent = participant.messages_sent.saturating_add(1);
        }
        answer(shard, Outcome::of(200), effects);
    }
    // One letter a shard, with the content once.
    hearers.sort_unstable();
    let ticket = two.then_some(ticket);
    for group in hearers.chunk_by(|one, other| one.shard == other.shard) {
        let Some(to) = group.first().map(|leg| ShardId(leg.shard)) else {
            continue;
        };
        let legs = group.iter().map(|leg| leg.key).collect();
        let (from, content) = (from.clone(), content.clone());
        let letter = Letter::Convey {
            session: id,
            legs,
            from,
            speaker: Some(leg),
            ticket,
            since,
            content,
        };
        shard.post(to, letter, effects);
    }
}

/// How a delivery ended.
#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn conveyed(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    speaker: Option<LegRef>,
    ticket: Option<Ticket>,
    counts: bool,
    outcome: Outcome,
    effects: &mut Effects,
) {
    let session = shard.sessions.get_mut(&id);
    if let Some(ticket) = ticket {
        if outcome.is_success()
            && counts
            && let Some(participant) = session.and_then(|session| session.by_leg_mut(speaker?))
        {
            participant.messages_sent = participant.messages_sent.saturating_add(1);
        }
        let latency = Some(Latency::MessageTwoParty);
        let letter = Letter::Answer {
            ticket,
            outcome,
            latency,
        };
        return shard.post(ticket.shard, letter, effects);
    }
    // In a conference the speaker has had the 200 already: a report says whom it did not reach.
    let (Some(session), Some(speaker)) = (session, speaker) else {
        return;
    };
    if outcome.is_success() || !counts || session.by_leg(speaker).is_none() {
        return;
    }
    let Some(missed) = session
        .by_leg(leg)
        .map(|participant| participant.user.clone())
    else {
        return;
    };
    let reason = if outcome.reason.is_empty() {
        crate::sip::build::reason(outcome.status)
    } else {
        &outcome.reason
    };
    let content = simple::not_delivered(&missed, outcome.status, reason);
    let from = on_roster::focus_party(session);
    let since = shard.now;
    let letter = Letter::Convey {
        session: id,
        legs: [speaker.key].into(),
        from,
        speaker: None,
        ticket: None,
        since,
        content,
    };
    shard.post(ShardId(speaker.shard), letter, effects);
}

/// A leg is gone.
pub(super) fn leave(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    reason: &'static str,
    effects: &mut Effects,
) {
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let Some(participant) = session.leave(leg) else {
        return;
    };
    let (kind, recorded) = (session.kind, session.recorded);
    if recorded {
        record_left(shard, id, &participant, reason, effects);
    }
    if shard.sessions.get(&id).is_some_and(Session::is_over) {
        return finish(shard, id, reason, effects);
    }
    if kind == Kind::Conference {
        let user = participant.user.clone();
        on_roster::tell(
            shard,
            id,
            Some((on_roster::Change::Left, participant)),
            effects,
        );
        on_roster::lose(shard, id, user, effects);
    }
}

/// The session is over: who is still in it is told, and who is being rung.
pub(super) fn finish(
    shard: &mut Shard,
    id: SessionId,
    reason: &'static str,
    effects: &mut Effects,
) {
    let Some(participants) = shard
        .sessions
        .get_mut(&id)
        .map(|session| core::mem::take(&mut session.participants))
    else {
        return;
    };
    for participant in &participants {
        if shard
            .sessions
            .get(&id)
            .is_some_and(|session| session.recorded)
        {
            record_left(shard, id, participant, reason, effects);
        }
        let leg = participant.leg;
        shard.post(ShardId(leg.shard), Letter::End { leg }, effects);
    }
    let Some(session) = shard.sessions.remove(&id) else {
        return;
    };
    for invitation in session.invitations {
        if let Some(watcher) = invitation.refer {
            let outcome = Outcome::with(487, "The Conference Is Over");
            shard.post(
                ShardId(watcher.shard),
                Letter::Referred { watcher, outcome },
                effects,
            );
        }
        let letter = Letter::StopRinging {
            session: id,
            invitation: invitation.number,
            to: invitation.user.clone(),
            why: Stop::GivenUp,
        };
        shard.post_owner(&invitation.user, letter, effects);
    }
    for watching in session.audience {
        shard.post(
            ShardId(watching),
            Letter::RosterEnded { session: id },
            effects,
        );
    }
    if session.recorded {
        let at = shard.now;
        effects.list.push(Effect::Record(CdrEvent::Ended {
            session: session.record,
            reason,
            at,
        }));
    }
}

/// Two become many: the same session, a new CDR row that continues the old one, and both parties are told.
fn promote(shard: &mut Shard, id: SessionId, effects: &mut Effects) {
    const REASON: &str = "became a conference";
    let record = SessionId {
        group: id.group,
        random: shard.rng.next_u64(),
    };
    let at = shard.now;
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let old = session.record;
    let left: Vec<Participant> = session.participants.clone();
    if session.promote(record).is_none() {
        return;
    }
    for participant in &mut session.participants {
        participant.messages_sent = 0;
    }
    for participant in &left {
        effects.list.push(Effect::Record(CdrEvent::Left {
            session: old,
            participant: participant.number,
            messages_sent: participant.messages_sent,
            reason: REASON,
            at,
        }));
    }
    effects.list.push(Effect::Record(CdrEvent::Ended {
        session: old,
        reason: REASON,
        at,
    }));
    record_start(shard, id, Some(old), effects);
    for participant in left {
        let leg = participant.leg;
        shard.post(ShardId(leg.shard), Letter::Promote { leg }, effects);
    }
}

/// REFER: invite somebody, or send somebody away (RFC 4579 §5.5, §5.11).
#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn refer(
    shard: &mut Shard,
    id: SessionId,
    by: &Party,
    ticket: Ticket,
    watcher: Option<LegRef>,
    user: &Aor,
    remove: bool,
    effects: &mut Effects,
) {
    let outcome = refer_outcome(shard, id, by, watcher, user, remove, effects);
    let accepted = outcome.is_success();
    shard.post(
        ticket.shard,
        Letter::Answer {
            ticket,
            outcome: outcome.clone(),
            latency: None,
        },
        effects,
    );
    // The REFER's own answer is on its way first; then its subscription hears how it goes (RFC 3515 §2.4.4).
    if let Some(watcher) = watcher {
        let letter = match (accepted, remove) {
            (true, false) => Letter::Referred {
                watcher,
                outcome: Outcome::of(100),
            },
            (true, true) => Letter::Referred {
                watcher,
                outcome: Outcome::of(200),
            },
            (false, _) => Letter::ReferRefused { watcher },
        };
        shard.post(ShardId(watcher.shard), letter, effects);
    }
}

fn refer_outcome(
    shard: &mut Shard,
    id: SessionId,
    by: &Party,
    watcher: Option<LegRef>,
    user: &Aor,
    remove: bool,
    effects: &mut Effects,
) -> Outcome {
    let members_max = shard.settings.immcu.members_max;
    let Some(session) = shard
        .sessions
        .get_mut(&id)
        .filter(|s| s.participants.iter().any(|p| p.user == by.aor))
    else {
        return Refusal::NotHere.into();
    };
    if remove {
        if by.aor != *user && !session.is_led_by(&by.aor) {
            return Refusal::NotAllowed.into();
        }
        let gone: Vec<LegRef> = session
            .participants
            .iter()
            .filter(|p| p.user == *user)
            .map(|p| p.leg)
            .collect();
        let rung = session
            .invitations
            .iter()
            .find(|i| i.user == *user)
            .map(|i| i.number);
        if let Some(invitation) = rung {
            session.invitation_ended(invitation);
            let letter = Letter::StopRinging {
                session: id,
                invitation,
                to: user.clone(),
                why: Stop::GivenUp,
            };
            shard.post_owner(user, letter, effects);
        } else if gone.is_empty() {
            return Outcome::with(404, "Not In This Conference");
        }
        for leg in gone {
            shard.post(ShardId(leg.shard), Letter::End { leg }, effects);
            leave(shard, id, leg, "removed", effects);
        }
        return Outcome::of(202);
    }
    if session.kind == Kind::TwoParty
        && session
            .participants
            .iter()
            .any(|participant| !participant.active)
    {
        return Outcome::of(491);
    }
    let was_two = session.kind == Kind::TwoParty;
    match session.invite(user.clone(), watcher, members_max) {
        Ok(invitation) => {
            if was_two {
                promote(shard, id, effects);
            }
            let letter = Letter::Ring {
                session: id,
                invitation,
                from: by.clone(),
                to: Invited {
                    user: user.clone(),
                    gruu: None,
                    priority: Priority::Ordinary,
                },
                focus: true,
            };
            shard.post_owner(user, letter, effects);
            Outcome::of(202)
        }
        Err(refusal) => refusal.into(),
    }
}

fn record_start(
    shard: &mut Shard,
    id: SessionId,
    continues: Option<SessionId>,
    effects: &mut Effects,
) {
    let at = shard.now;
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    session.recorded = true;
    let kind = match session.kind {
        Kind::TwoParty => SessionKind::Im,
        Kind::Conference => SessionKind::Conference,
    };
    let (record, initiator) = (session.record, session.initiator.clone());
    effects.list.push(Effect::Record(CdrEvent::Started {
        session: record,
        kind,
        initiator,
        continues,
        at,
    }));
    for participant in session.participants.clone() {
        record_joined(shard, id, &participant, effects);
    }
}

fn record_joined(shard: &Shard, id: SessionId, participant: &Participant, effects: &mut Effects) {
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    effects.list.push(Effect::Record(CdrEvent::Joined {
        session: session.record,
        participant: participant.number,
        user: participant.user.clone(),
        endpoint: participant.endpoint.clone(),
        at: shard.now,
    }));
}

fn record_left(
    shard: &Shard,
    id: SessionId,
    participant: &Participant,
    reason: &'static str,
    effects: &mut Effects,
) {
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    effects.list.push(Effect::Record(CdrEvent::Left {
        session: session.record,
        participant: participant.number,
        messages_sent: participant.messages_sent,
        reason,
        at: shard.now,
    }));
}
