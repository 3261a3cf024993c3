//! The focus of a conference at its owner, for those who come to it with a dialog of their own, or make a conference before
//! they are in it: who is let in, who has said that they come, and what time has to do with it.

use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Party};
use crate::immcu::focus::{ARRIVING, LASTS_MAX, MADE_MAX, Making};
use crate::immcu::ringing::Stop;
use crate::immcu::room::Subject;
use crate::immcu::session::{Invitation, Kind, LegRef, Refusal, Session};
use crate::shard::effect::Effects;
use crate::shard::letter::{Invited, Letter, Ticket};
use crate::shard::{Look, Shard, ShardId, fresh_session, on_roster, on_session};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

use core::time::Duration;

use crate::dialect::lync::conference_uri;

/// A conference that a user wants to be there before anybody is in it.
#[derive(Debug)]
pub(super) struct Wish {
    /// What the client calls it: asked again for the same, it gets the same.
    pub name: Box<str>,
    pub subject: Subject,
    pub locked: bool,
    /// When it is to end.
    pub ends: Option<Now>,
}

/// Why a conference is not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotMade {
    /// The user has as many as they may.
    TooMany,
    /// It would have ended already.
    Past,
    /// The server stops, or has as many sessions as it may.
    NotNow,
}

/// Makes a conference that waits for its first member. Its record begins when somebody speaks in it.
pub(super) fn make(
    shard: &mut Shard,
    user: &Aor,
    wish: Wish,
    awaited: Duration,
) -> Result<SessionId, NotMade> {
    let mine = shard.made.get(user).map(Vec::as_slice).unwrap_or_default();
    let same = |id: &&SessionId| {
        let session = shard.sessions.get(*id);
        !wish.name.is_empty() && session.is_some_and(|session| session.making.name == wish.name)
    };
    if let Some(id) = mine.iter().find(same) {
        return Ok(*id);
    }
    if shard.has_made_enough(user) {
        return Err(NotMade::TooMany);
    }
    if wish.ends.is_some_and(|ends| ends <= shard.now) {
        return Err(NotMade::Past);
    }
    if shard.stopping || !shard.has_room_for_session() {
        return Err(NotMade::NotNow);
    }
    let id = fresh_session(&mut shard.rng, user);
    let mut session = Session::new(id, Kind::Conference, user.clone(), shard.now);
    session.room.subject = wish.subject;
    session.room.locked = wish.locked;
    session.making = Making {
        name: wish.name,
        awaits: Some(shard.now.after(awaited)),
        ends: wish.ends.map(|ends| ends.min(shard.now.after(LASTS_MAX))),
    };
    shard.sessions.insert(id, session);
    shard.made.entry(user.clone()).or_default().push(id);
    arm(shard, id);
    Ok(id)
}

impl Shard {
    /// Whether a user has as many conferences as they may, however they were made.
    pub(super) fn has_made_enough(&self, user: &Aor) -> bool {
        let mine = self.made.get(user);
        mine.is_some_and(|mine| mine.len() >= MADE_MAX)
    }
}

/// A session is over: who made it may make another.
pub(super) fn unmade(shard: &mut Shard, user: &Aor, id: SessionId) {
    if let Some(mine) = shard.made.get_mut(user) {
        mine.retain(|other| *other != id);
        if mine.is_empty() {
            shard.made.remove(user);
        }
    }
}

/// An INVITE to the focus.
pub(super) fn attend(
    shard: &mut Shard,
    id: SessionId,
    uri: &str,
    leg: LegRef,
    user: Party,
    endpoint: Box<str>,
    effects: &mut Effects,
) {
    let members_max = shard.settings.immcu.members_max;
    let refuse = |shard: &mut Shard, outcome: Outcome, effects: &mut Effects| {
        shard.post(ShardId(leg.shard), Letter::Refuse { leg, outcome }, effects);
    };
    let there = |session: &&mut Session| {
        // A roster names the focus once for all, so all must have the one URI.
        let focus = conference_uri::focus(&session.initiator, id);
        session.kind == Kind::Conference && focus.eq_ignore_ascii_case(uri)
    };
    let session = shard.sessions.get_mut(&id).filter(there);
    let Some(session) = session.filter(|_| !shard.stopping) else {
        return refuse(shard, Outcome::with(404, "No Such Conference"), effects);
    };
    let who = user.aor.clone();
    match session.attend(user, leg, endpoint, members_max) {
        Ok(role) => {
            let letter = Letter::Attended { leg, role };
            shard.post(ShardId(leg.shard), letter, effects);
            on_roster::tell(shard, id, &[who], effects);
        }
        Err(refusal) => refuse(shard, refusal.into(), effects),
    }
}

/// Somebody has left the focus. True where the leg was one of it.
pub(super) fn left(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    reason: &'static str,
    effects: &mut Effects,
) -> bool {
    let Some(session) = shard.sessions.get_mut(&id) else {
        return false;
    };
    let Some(attendance) = session.leave_focus(leg) else {
        return false;
    };
    if session.is_over() {
        on_session::finish(shard, id, reason, effects);
    } else {
        on_session::gone(shard, id, attendance.user, effects);
    }
    true
}

/// Who asked for an invitation hears how it goes.
pub(super) fn tell_inviter(
    shard: &mut Shard,
    invitation: &Invitation,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    if let Some(watcher) = invitation.refer {
        let outcome = outcome.clone();
        let letter = Letter::Referred { watcher, outcome };
        shard.post(ShardId(watcher.shard), letter, effects);
    }
    if let Some(request) = invitation.waits {
        let (shard_id, key) = (ShardId(request.shard), request.key);
        let ticket = Ticket {
            shard: shard_id,
            key,
        };
        let letter = Letter::Answer {
            ticket,
            outcome: outcome.clone(),
            latency: None,
        };
        shard.post(shard_id, letter, effects);
    }
}

/// An endpoint has accepted and comes by itself: who asked has their answer, and the place is kept for a while.
pub(super) fn coming(shard: &mut Shard, id: SessionId, invitation: u32, effects: &mut Effects) {
    let until = shard.now.after(ARRIVING);
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let Some(found) = session.comes(invitation, until) else {
        return;
    };
    let told = found.clone();
    (found.refer, found.waits) = (None, None);
    arm(shard, id);
    tell_inviter(shard, &told, &Outcome::of(200), effects);
}

/// The wheel looks at a session when something of it ends, or sooner.
fn arm(shard: &mut Shard, id: SessionId) {
    let now = shard.now;
    if let Some(session) = shard.sessions.get_mut(&id)
        && let Some(next) = session.look_at()
        && let Some(at) = session.armed.arm(now, next)
    {
        shard.look_at(at, Look::Session(id));
    }
}

/// Invites somebody for a member. The request is answered now where that can't be, else with how it ends.
pub(super) fn invite(
    shard: &mut Shard,
    id: SessionId,
    by: &Party,
    ticket: Ticket,
    to: Invited,
    effects: &mut Effects,
) {
    let user = to.user.clone();
    let refused = match shard.sessions.get(&id) {
        None => Some(Refusal::NotHere),
        Some(session) if session.kind != Kind::Conference || !session.has(&by.aor) => {
            Some(Refusal::NotHere)
        }
        Some(session) => session.may_invite(&by.aor, &user).err(),
    };
    let refused =
        refused.or_else(|| on_session::invite(shard, id, by, to, None, None, effects).err());
    if let Some(refusal) = refused {
        let letter = Letter::Answer {
            ticket,
            outcome: refusal.into(),
            latency: None,
        };
        return shard.post(ticket.shard, letter, effects);
    }
    let session = shard.sessions.get_mut(&id);
    let invitation = session.and_then(|session| session.invitations.last_mut());
    if let Some(invitation) = invitation {
        invitation.waits = Some(LegRef {
            shard: ticket.shard.0,
            key: ticket.key,
        });
    }
    on_roster::tell(shard, id, &[user], effects);
}

/// Who asked for an invitation takes it back (RFC 3261 §9.2). Who has said that they come does so all the same.
pub(super) fn uninvite(shard: &mut Shard, id: SessionId, ticket: Ticket, effects: &mut Effects) {
    let waits = LegRef {
        shard: ticket.shard.0,
        key: ticket.key,
    };
    let session = shard.sessions.get_mut(&id);
    let invitations = session.map(|session| session.invitations.iter_mut());
    let Some(found) = invitations.and_then(|mut all| all.find(|one| one.waits == Some(waits)))
    else {
        return;
    };
    found.waits = None;
    let (number, outcome) = (found.number, Outcome::of(487));
    take_back(shard, id, number, &outcome, effects);
}

/// Somebody is not to be rung any more. Who else asked for it hears `outcome`.
pub(super) fn take_back(
    shard: &mut Shard,
    id: SessionId,
    number: u32,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    let kind = session.kind;
    let Some(found) = session.invitations.iter().find(|i| i.number == number) else {
        return;
    };
    let found = found.clone();
    stop_ringing(shard, id, &found, Stop::GivenUp, effects);
    if kind == Kind::TwoParty {
        // There is nobody else to wait for: who began it is refused, and it is over.
        return on_session::declined(shard, id, number, outcome.clone(), false, effects);
    }
    let session = shard.sessions.get_mut(&id);
    if let Some(ended) = session.and_then(|session| session.invitation_ended(number)) {
        tell_inviter(shard, &ended, outcome, effects);
        on_roster::tell(shard, id, &[ended.user], effects);
    }
}

/// Somebody has come in by themself. Where they were being rung as well, that is answered: their endpoints ring no longer, and
/// who asked for it hears that they are here.
pub(super) fn came(shard: &mut Shard, id: SessionId, user: &Aor, effects: &mut Effects) {
    let session = shard.sessions.get_mut(&id);
    let ended = session.and_then(|session| {
        let rings = |one: &&Invitation| one.user == *user;
        let number = session.invitations.iter().find(rings)?.number;
        session.invitation_ended(number)
    });
    if let Some(ended) = ended {
        stop_ringing(shard, id, &ended, Stop::Elsewhere, effects);
        tell_inviter(shard, &ended, &Outcome::of(200), effects);
    }
}

/// Tells the owner of whom an invitation rings that it is over.
pub(super) fn stop_ringing(
    shard: &mut Shard,
    id: SessionId,
    invitation: &Invitation,
    why: Stop,
    effects: &mut Effects,
) {
    let letter = Letter::StopRinging {
        session: id,
        invitation: invitation.number,
        to: invitation.user.clone(),
        why,
    };
    shard.post_owner(&invitation.user, letter, effects);
}

/// The wheel: nobody has come, the time is up, or somebody who said that they come has not.
pub(super) fn look(shard: &mut Shard, id: SessionId, effects: &mut Effects) {
    let (now, members_max) = (shard.now, shard.settings.immcu.members_max);
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    if !session.armed.is_due(now) {
        return;
    }
    if session.is_expired(now) {
        let reason = if session.making.awaits.is_some() {
            "nobody came"
        } else {
            "time is up"
        };
        return on_session::finish(shard, id, reason, effects);
    }
    let mut changed = Vec::new();
    for number in session.overdue(now) {
        if let Some(invitation) = session.invitation_ended(number) {
            let outcome = Outcome::with(480, "Did Not Arrive");
            session.missed(&invitation.user, outcome, members_max);
            changed.push(invitation.user);
        }
    }
    arm(shard, id);
    if !changed.is_empty() {
        on_roster::tell(shard, id, &changed, effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::immcu::focus::AWAITED;
    use crate::shard::Settings;

    fn wish(name: &str, ends: Option<Now>) -> Wish {
        Wish {
            name: name.into(),
            subject: Subject::default(),
            locked: false,
            ends,
        }
    }

    #[test]
    fn a_user_makes_so_many_and_each_once() {
        const DAY: u64 = 24 * 3600 * 1_000_000;
        let settings = Settings::default();
        let mut shard = Shard::new(ShardId(0), settings, [1; 32], [2; 32], Now(DAY));
        let alice = Aor::parse("alice@example.com").expect("an address");
        let mut make = |name: &str, ends| make(&mut shard, &alice, wish(name, ends), AWAITED);
        assert_eq!(make("past", Some(Now(DAY))), Err(NotMade::Past));
        let first = make("0", Some(Now(100 * DAY)));
        for number in 1..MADE_MAX {
            let made = make(&number.to_string(), None);
            assert!(made.is_ok() && made != first);
        }
        assert_eq!(make("0", None), first, "asked again");
        assert_eq!(make("one more", None), Err(NotMade::TooMany));
        let first = first.expect("it was made");
        let ends = shard.sessions[&first].making.ends;
        assert_eq!(ends, Some(Now(8 * DAY)), "a week is the longest");
        let mut effects = Effects::default();
        on_session::finish(&mut shard, first, "over", &mut effects);
        let made = super::make(&mut shard, &alice, wish("one more", None), AWAITED);
        assert!(made.is_ok(), "one is over, and another may be made");
    }
}
