//! What members ask the focus for: to invite or to send away by REFER, and what a moderator decides by INFO. Whether they
//! may is checked here, at the session's owner, and nowhere else.

use crate::dialect::Dialect;
use crate::dialect::conference::{self, INFO_PACKAGE};
use crate::documents::{conference_info, keyboard_activity};
use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Party};
use crate::immcu::leg::{Parting, State};
use crate::immcu::room::{Command, Right};
use crate::immcu::session::{Kind, LegRef, Refusal, Session};
use crate::shard::effect::Effects;
use crate::shard::letter::{Invited, Letter, Ticket};
use crate::shard::lync::on_typing;
use crate::shard::on_leg::confirm;
use crate::shard::request::{Request, SESSION_PREFIX};
use crate::shard::{Shard, ShardId, on_focus, on_roster, on_session};
use crate::sip::dialog::DialogKey;
use crate::sip::header::Name;
use crate::sip::uri::Aor;

/// Their INFO: what a moderator wants of a focus. Without the Info Package there is nothing to act on (RFC 6086 §4.2.2).
pub(super) fn on_info(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    let message = request.message;
    let Some((state, session, focus)) = shard
        .leg(key)
        .map(|leg| (leg.state, leg.session, leg.focus))
    else {
        return;
    };
    match state {
        State::Established => {}
        State::Confirming(_) => confirm(shard, key, effects),
        State::Offered(_) | State::Ringing(..) => return shard.answer(request, 481, "", effects),
    }
    if shard.connections.dialect(request.connection) == Dialect::Lync
        && message
            .content_type()
            .is_some_and(|media| media.is(keyboard_activity::CONTENT_TYPE))
    {
        return on_typing::on_info(shard, request, key, effects);
    }
    let package = message.header(Name::InfoPackage).unwrap_or_default();
    let package = package.split(';').next().unwrap_or_default().trim();
    if !focus || !package.eq_ignore_ascii_case(INFO_PACKAGE) {
        return shard.answer_with(request, 469, "Bad Info Package", effects, |mut draft| {
            draft.header("Recv-Info", if focus { INFO_PACKAGE } else { "" });
            draft.finish();
        });
    }
    if !message
        .content_type()
        .is_some_and(|media| media.is(conference_info::CONTENT_TYPE))
    {
        return shard.answer_with(request, 415, "", effects, |mut draft| {
            draft.header("Accept", conference_info::CONTENT_TYPE);
            draft.finish();
        });
    }
    let user = format!("{SESSION_PREFIX}{session}");
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let commands = match conference::commands(&body, &user) {
        Ok(commands) => commands.into(),
        Err(bad) => return shard.answer(request, bad.status(), bad.reason(), effects),
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    let (ticket, leg) = (shard.ticket(server), shard.leg_ref(key));
    let letter = Letter::Command {
        session,
        leg,
        ticket,
        commands,
    };
    shard.post_session(session, letter, effects);
}

/// A moderator's commands: all of them, or none. The answer goes first; who sends themself away hears it before BYE.
pub(super) fn command(
    shard: &mut Shard,
    id: SessionId,
    leg: LegRef,
    ticket: Ticket,
    commands: &[Command],
    effects: &mut Effects,
) {
    let by = shard.sessions.get(&id).and_then(|session| {
        let by = session.asker(leg)?.clone();
        Some(session.may_command(&by, commands))
    });
    let refused = by.unwrap_or(Err(Refusal::NotHere)).err();
    let outcome = refused.map_or(Outcome::of(200), Outcome::from);
    let letter = Letter::Answer {
        ticket,
        outcome,
        latency: None,
    };
    shard.post(ticket.shard, letter, effects);
    if refused.is_some() {
        return;
    }
    let mut changed = Vec::new();
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    for command in commands {
        match command {
            Command::SetLock(locked) => session.room.locked = *locked,
            Command::SetSubject(subject) => session.room.subject = subject.clone(),
            Command::SetRole(user, role) => {
                session.set_role(user, *role);
                changed.push(user.clone());
            }
            Command::Expel(_) | Command::EndAll => {}
        }
    }
    if commands.contains(&Command::EndAll) {
        return on_session::finish(shard, id, on_session::CONFERENCE_ENDED, effects);
    }
    // Each once: a roster's document has one entry for a user.
    changed.sort_unstable();
    changed.dedup();
    if commands
        .iter()
        .any(|command| !matches!(command, Command::Expel(_)))
    {
        on_roster::tell(shard, id, &changed, effects);
    }
    for command in commands {
        if let Command::Expel(user) = command {
            expel(shard, id, user, effects);
        }
    }
}

/// Ends all legs of a user, and stops ringing them. They come back when a moderator invites them.
fn expel(shard: &mut Shard, id: SessionId, user: &Aor, effects: &mut Effects) {
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    session.expel(user);
    remove(shard, id, user, effects);
}

fn remove(shard: &mut Shard, id: SessionId, user: &Aor, effects: &mut Effects) {
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    let legs = session.participants.iter().filter(|p| p.user == *user);
    let attends = session.attendances.iter().filter(|a| a.user == *user);
    // The leg first: by its end a client shows that it was sent away.
    let gone: Vec<LegRef> = legs.map(|p| p.leg).chain(attends.map(|a| a.leg)).collect();
    let rung = session.invitations.iter().find(|i| i.user == *user);
    if let Some(number) = rung.map(|i| i.number) {
        let outcome = Outcome::with(487, "Not Wanted Any More");
        on_focus::take_back(shard, id, number, &outcome, effects);
    }
    // Before anything else ends. COMPAT(SIPE, 1.25): at any news of a conference in which it does not speak any more, it
    // comes back.
    on_roster::hide(shard, id, user, Some(Dialect::Lync), effects);
    for leg in gone {
        let parting = Parting::Expelled;
        shard.post(ShardId(leg.shard), Letter::End { leg, parting }, effects);
        on_session::leave(shard, id, leg, "removed", effects);
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
    user: &Invited,
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
    invited: &Invited,
    away: bool,
    effects: &mut Effects,
) -> Outcome {
    let Invited { user, .. } = invited;
    let Some(session) = shard.sessions.get_mut(&id).filter(|s| s.has(&by.aor)) else {
        return Refusal::NotHere.into();
    };
    if away {
        return match send_away(session, &by.aor, user) {
            Ok(()) => {
                remove(shard, id, user, effects);
                Outcome::of(202)
            }
            Err(refusal) => refusal.into(),
        };
    }
    let was_two = session.kind == Kind::TwoParty;
    if was_two && session.participants.iter().any(|one| !one.active) {
        return Outcome::of(491);
    }
    if !was_two && let Err(refusal) = session.may_invite(&by.aor, user) {
        return refusal.into();
    }
    if session.has(user) || session.rings(user) {
        return Refusal::AlreadyHere.into();
    }
    if was_two {
        on_session::promote(shard, id, effects);
    }
    match on_session::invite(shard, id, by, invited.clone(), watcher, None, effects) {
        Ok(()) => {
            on_roster::tell(shard, id, core::slice::from_ref(user), effects);
            Outcome::of(202)
        }
        Err(refusal) => refusal.into(),
    }
}

/// By REFER somebody may leave with all endpoints; to send away others takes a moderator, and is remembered.
fn send_away(session: &mut Session, by: &Aor, user: &Aor) -> Result<(), Refusal> {
    if !session.has(user) && !session.rings(user) {
        return Err(Refusal::Stranger);
    }
    if by == user {
        return Ok(());
    }
    // Between two it is no more than the end of their session, which who began it may say this way, too.
    if session.kind == Kind::TwoParty && session.initiator == *by {
        return Ok(());
    }
    if !session.is_led_by(by) {
        return Err(Refusal::NotAllowed(Right::Expel));
    }
    session.expel(user);
    Ok(())
}
