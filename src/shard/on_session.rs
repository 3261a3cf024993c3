//! A session at its owner: who comes, who speaks, who goes. Order and roster are decided here and nowhere else.

use rand_core::Rng;

use crate::dialect::conference;
use crate::immcu::SessionId;
use crate::immcu::content::{Content, Outcome, Party, Sort, Thread};
use crate::immcu::focus::Attendance;
use crate::immcu::leg::Parting;
use crate::immcu::ringing::Stop;
use crate::immcu::room::Subject;
use crate::immcu::session::{Invitation, Joining, Kind, LegRef, Participant, Refusal, Session};
use crate::shard::cdr_event::{CdrEvent, SessionKind};
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::letter::{Awaited, Invited, Letter, Speaker, Ticket};
use crate::shard::{Shard, ShardId, on_focus, on_roster};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// Why a conference is over that a moderator has ended, for the CDR.
pub(super) const CONFERENCE_ENDED: &str = "conference ended";

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Outcome {
        Outcome::with(refusal.status(), refusal.reason())
    }
}

/// How a session begins.
pub(super) struct Beginning {
    pub id: SessionId,
    pub kind: Kind,
    pub starter: Party,
    pub leg: LegRef,
    pub endpoint: Box<str>,
    pub subject: Subject,
    pub thread: Option<Thread>,
    /// Whom it rings: the other one of two, or those of a list.
    pub wanted: Vec<Invited>,
}

/// A session begins: with an invitation to another one, or as a room with its starter and whom a list invites (RFC 5366).
pub(super) fn start(shard: &mut Shard, beginning: Beginning, effects: &mut Effects) {
    let members_max = shard.settings.immcu.members_max;
    let Beginning {
        id,
        kind,
        starter,
        leg,
        endpoint,
        subject,
        thread,
        wanted,
    } = beginning;
    let two = kind == Kind::TwoParty;
    let mut session = Session::new(id, kind, starter.aor.clone(), shard.now);
    session.room.subject = subject;
    session.thread = thread;
    let joining = Joining::DialedIn;
    let joined = session.join(starter.clone(), leg, endpoint, joining, !two, members_max);
    let refused = joined.err().map(Outcome::from);
    let refused = match wanted.first() {
        Some(to) if two && to.user == starter.aor => Some(Outcome::with(486, "That Is You")),
        _ => refused,
    };
    if let Some(outcome) = refused {
        return shard.post(ShardId(leg.shard), Letter::Refuse { leg, outcome }, effects);
    }
    shard.sessions.insert(id, session);
    if !two {
        let mine = shard.made.entry(starter.aor.clone()).or_default();
        mine.push(id);
        record_start(shard, id, None, effects);
        let welcome = Letter::Welcome { leg, focus: true };
        shard.post(ShardId(leg.shard), welcome, effects);
    }
    let asker = (!two).then_some(leg);
    for to in wanted {
        // Those past the limit were refused before, with the whole list: who is left out here is here already.
        let _ = invite(shard, id, &starter, to, None, asker, effects);
    }
}

/// Rings a user for the session.
pub(super) fn invite(
    shard: &mut Shard,
    id: SessionId,
    by: &Party,
    to: Invited,
    refer: Option<LegRef>,
    asker: Option<LegRef>,
    effects: &mut Effects,
) -> Result<(), Refusal> {
    let members_max = shard.settings.immcu.members_max;
    let session = shard.sessions.get_mut(&id).ok_or(Refusal::NotHere)?;
    let user = to.user.clone();
    let invitation = session.invite(user.clone(), refer, asker, members_max)?;
    let letter = Letter::Ring {
        session: id,
        invitation,
        from: by.clone(),
        to,
        focus: session.kind == Kind::Conference,
        organiser: session.initiator.clone(),
        subject: session.room.subject.clone(),
        thread: session.thread.clone(),
    };
    shard.post_owner(&user, letter, effects);
    Ok(())
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
    if let Err(refusal) = session.admits(&user.aor) {
        return refuse(shard, refusal.into(), effects);
    }
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
            on_focus::came(shard, id, &participant.user, effects);
            record_came(shard, id, &participant, effects);
            on_roster::tell(shard, id, &[participant.user], effects);
        }
        Err(refusal) => refuse(shard, refusal.into(), effects),
    }
}

/// It rings somewhere: who asked for it hears so, and a conference's roster shows it.
pub(super) fn ringing(shard: &mut Shard, id: SessionId, invitation: u32, effects: &mut Effects) {
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let found = session
        .invitations
        .iter_mut()
        .find(|i| i.number == invitation);
    let Some(invitation) = found else { return };
    invitation.alerting = true;
    let (user, refer) = (invitation.user.clone(), invitation.refer);
    if session.kind == Kind::Conference {
        on_roster::tell(shard, id, &[user], effects);
    }
    if let Some(watcher) = refer {
        let outcome = Outcome::of(180);
        let letter = Letter::Referred { watcher, outcome };
        return shard.post(ShardId(watcher.shard), letter, effects);
    }
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
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
        return shard.post(
            ShardId(leg.shard),
            Letter::End {
                leg,
                parting: Parting::Silent,
            },
            effects,
        );
    };
    let joined = match session.join(party, leg, endpoint, Joining::DialedOut, true, members_max) {
        Ok(participant) => participant.clone(),
        Err(refusal) => {
            let parting = Parting::Silent;
            shard.post(ShardId(leg.shard), Letter::End { leg, parting }, effects);
            return did_not_come(shard, id, &invitation, &refusal.into(), effects);
        }
    };
    let kind = session.kind;
    on_focus::tell_inviter(shard, &invitation, &Outcome::of(200), effects);
    shard.post(
        ShardId(leg.shard),
        Letter::Welcome {
            leg,
            focus: kind == Kind::Conference,
        },
        effects,
    );
    if kind == Kind::Conference {
        record_came(shard, id, &joined, effects);
        return on_roster::tell(shard, id, &[joined.user], effects);
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

/// Nobody has accepted an invitation. Who asked for two to talk speaks in pager mode with somebody who takes no sessions.
pub(super) fn declined(
    shard: &mut Shard,
    id: SessionId,
    invitation: u32,
    outcome: Outcome,
    pages: bool,
    effects: &mut Effects,
) {
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let Some(invitation) = session.invitation_ended(invitation) else {
        return;
    };
    did_not_come(shard, id, &invitation, &outcome, effects);
    if invitation.refer.is_some() {
        return;
    }
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    if session.kind == Kind::TwoParty {
        let waiting: Vec<LegRef> = session.participants.iter().map(|p| p.leg).collect();
        shard.sessions.remove(&id);
        for leg in waiting {
            let letter = if pages {
                let with = invitation.user.clone();
                Letter::Pages { leg, with }
            } else {
                let outcome = outcome.clone();
                Letter::Refuse { leg, outcome }
            };
            shard.post(ShardId(leg.shard), letter, effects);
        }
    }
}

/// An invitation has come to nothing: the roster says so, and all who asked for it hear it.
fn did_not_come(
    shard: &mut Shard,
    id: SessionId,
    invitation: &Invitation,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    let members_max = shard.settings.immcu.members_max;
    if let Some(session) = shard.sessions.get_mut(&id)
        && session.kind == Kind::Conference
    {
        session.missed(&invitation.user, outcome.clone(), members_max);
        on_roster::tell(shard, id, core::slice::from_ref(&invitation.user), effects);
        if let Some(asker) = invitation.asker {
            let missed = (invitation.user.as_str(), outcome);
            let report = conference::not_invited(core::iter::once(missed));
            report_to(shard, id, asker, report, effects);
        }
    }
    on_focus::tell_inviter(shard, invitation, outcome, effects);
}

/// Somebody speaks. This is the place where the order is made: letters to the hearers leave in the order in which
/// this is called.
#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn say(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    ticket: Ticket,
    number: u32,
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
    let (record, doubled) = (session.record, session.doubled);
    let Some(speaker) = session.by_leg_mut(leg) else {
        return answer(shard, Refusal::NotHere.into(), effects);
    };
    let awaited = two.then_some(Awaited {
        ticket,
        record,
        participant: speaker.number,
    });
    if !two {
        if content.sort == Sort::Text {
            speaker.messages_sent = speaker.messages_sent.saturating_add(1);
        }
        answer(shard, Outcome::of(200), effects);
    }
    // One letter a shard, with the content once.
    hearers.sort_unstable();
    for group in hearers.chunk_by(|one, other| one.shard == other.shard) {
        let Some(to) = group.first().map(|leg| ShardId(leg.shard)) else {
            continue;
        };
        let legs = group.iter().map(|leg| leg.key).collect();
        let (from, content) = (from.clone(), content.clone());
        let letter = Letter::Convey {
            session: id,
            legs,
            doubled,
            from,
            speaker: Some(Speaker { leg, number }),
            awaited,
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
    speaker: Option<Speaker>,
    awaited: Option<Awaited>,
    counts: bool,
    outcome: Outcome,
    effects: &mut Effects,
) {
    if let Some(Awaited {
        ticket,
        record,
        participant,
    }) = awaited
    {
        if outcome.is_success() && counts {
            count(shard, id, record, participant, effects);
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
    let (Some(session), Some(speaker)) = (shard.sessions.get(&id), speaker) else {
        return;
    };
    if outcome.is_success() || !counts {
        return;
    }
    let user = |leg: LegRef| session.by_leg(leg).map(|participant| &participant.user);
    let (Some(by), Some(missed)) = (user(speaker.leg), user(leg)) else {
        return;
    };
    // What they said themself they know.
    if by == missed {
        return;
    }
    let missed = missed.clone();
    let letter = Letter::Undelivered {
        session: id,
        speaker,
        from: on_roster::focus_party(session),
        missed,
        outcome,
    };
    shard.post(ShardId(speaker.leg.shard), letter, effects);
}

/// A message of two parties was delivered: its speaker's number goes up, in the record where it was said.
fn count(
    shard: &mut Shard,
    id: SessionId,
    record: SessionId,
    participant: u32,
    effects: &mut Effects,
) {
    let speaker = shard
        .sessions
        .get_mut(&id)
        .filter(|session| session.record == record)
        .and_then(|session| session.by_number_mut(participant));
    match speaker {
        Some(speaker) => speaker.messages_sent = speaker.messages_sent.saturating_add(1),
        None => effects.list.push(Effect::Record(CdrEvent::OneMore {
            session: record,
            participant,
        })),
    }
}

/// The focus itself says something to one leg of a session, if that is still in it.
pub(super) fn report_to(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    content: Content,
    effects: &mut Effects,
) {
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    if session.by_leg(leg).is_none() {
        return;
    }
    let letter = Letter::Convey {
        session: id,
        legs: [leg.key].into(),
        doubled: false,
        from: on_roster::focus_party(session),
        speaker: None,
        awaited: None,
        since: shard.now,
        content,
    };
    shard.post(ShardId(leg.shard), letter, effects);
}

/// A leg is gone.
pub(super) fn leave(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    reason: &'static str,
    effects: &mut Effects,
) {
    if on_focus::left(shard, id, leg, reason, effects) {
        return;
    }
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
        gone(shard, id, participant.user, effects);
    }
}

/// Something that somebody had in a conference has ended: the roster shows it, and who moderates instead.
pub(super) fn gone(shard: &mut Shard, id: SessionId, user: Aor, effects: &mut Effects) {
    let mut changed = vec![user.clone()];
    if let Some(session) = shard.sessions.get_mut(&id) {
        session.depart(&user);
        changed.extend(session.pass_on_role());
    }
    // Each once: somebody may have left with one leg and moderate with another.
    changed.dedup();
    on_roster::tell(shard, id, &changed, effects);
    on_roster::lose(shard, id, &user, effects);
}

/// The session is over: who is still in it is told, and who is being rung.
pub(super) fn finish(
    shard: &mut Shard,
    id: SessionId,
    reason: &'static str,
    effects: &mut Effects,
) {
    let parting = if reason == CONFERENCE_ENDED {
        Parting::Ended
    } else if shard.stopping {
        Parting::Stopping
    } else {
        Parting::Silent
    };
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let participants = core::mem::take(&mut session.participants);
    let attendances = core::mem::take(&mut session.attendances);
    for participant in &participants {
        if shard
            .sessions
            .get(&id)
            .is_some_and(|session| session.recorded)
        {
            record_left(shard, id, participant, reason, effects);
        }
        let leg = participant.leg;
        shard.post(ShardId(leg.shard), Letter::End { leg, parting }, effects);
    }
    for Attendance { leg, .. } in attendances {
        shard.post(ShardId(leg.shard), Letter::End { leg, parting }, effects);
    }
    let Some(session) = shard.sessions.remove(&id) else {
        return;
    };
    on_focus::unmade(shard, &session.initiator, id);
    for invitation in session.invitations {
        let outcome = Outcome::with(487, "The Conference Is Over");
        on_focus::tell_inviter(shard, &invitation, &outcome, effects);
        on_focus::stop_ringing(shard, id, &invitation, Stop::GivenUp, effects);
    }
    for watching in session.audience {
        shard.post(
            ShardId(watching.shard),
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
pub(super) fn promote(shard: &mut Shard, id: SessionId, effects: &mut Effects) {
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
    let organiser = shard.sessions.get(&id).map(|s| s.initiator.clone());
    for participant in left {
        let Some(organiser) = organiser.clone() else {
            return;
        };
        let leg = participant.leg;
        let letter = Letter::Promote { leg, organiser };
        shard.post(ShardId(leg.shard), letter, effects);
    }
}

/// Somebody speaks in a conference now: its record begins with the first.
fn record_came(shard: &mut Shard, id: SessionId, participant: &Participant, effects: &mut Effects) {
    match shard.sessions.get(&id).map(|session| session.recorded) {
        Some(true) => record_joined(shard, id, participant, effects),
        Some(false) => record_start(shard, id, None, effects),
        None => {}
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
