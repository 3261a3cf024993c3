//! An invitation at the owner of whom it rings: each endpoint in its turn (`reach`), the first to accept wins.

use slotmap::Key;

use rand_core::Rng;

use crate::dialect::conference::INFO_PACKAGE;
use crate::dialect::{Dialect, lync, simple};
use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Party, Thread};
use crate::immcu::leg::{Leg, State};
use crate::immcu::ringing::{Ringing, RingingKey, Stop};
use crate::immcu::room::Subject;
use crate::immcu::session::LegRef;
use crate::shard::effect::Effects;
use crate::shard::interrupt::{OFFLINE, held_back};
use crate::shard::letter::{Invited, Letter};
use crate::shard::lync::on_summons;
use crate::shard::reach::{self, ACTIVE_FIRST, Reached, Wanted};
use crate::shard::request::{SDP_ID, SESSION_PREFIX, tag_of_key};
use crate::shard::usage::{Association, Purpose, Usage};
use crate::shard::{Look, Shard, on_leg};
use crate::sip::build;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::header::Name;
use crate::sip::link::{ConnectionId, Link};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{Branch, ClientKey, Step};
use crate::sip::uri::Aor;

#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn ring(
    shard: &mut Shard,
    session: SessionId,
    invitation: u32,
    from: Party,
    to: Invited,
    focus: bool,
    organiser: Aor,
    subject: Subject,
    thread: Option<Thread>,
    effects: &mut Effects,
) {
    let decline = |shard: &mut Shard, outcome: Outcome, effects: &mut Effects| {
        declined(shard, session, invitation, outcome, false, effects);
    };
    if shard.stopping {
        return decline(shard, Outcome::of(480), effects);
    }
    let Some(user) = shard.by_aor.get(&to.user).copied() else {
        return decline(shard, Outcome::of(404), effects);
    };
    if let Some(outcome) = held_back(shard, user, &from.aor, to.priority) {
        return decline(shard, outcome, effects);
    }
    if shard.rings_enough(user, &from.aor) {
        return decline(shard, Outcome::of(486), effects);
    }
    let wanted = Wanted {
        gruu: to.gruu.as_ref(),
        method: Some(Method::Invite),
        ..Wanted::default()
    };
    let stages = reach::stages(shard, user, &wanted);
    let lone = to.gruu.is_some();
    if stages.is_empty() {
        let method = Some(Method::Message);
        let pages = !lone && !reach::stages(shard, user, &Wanted { method, ..wanted }).is_empty();
        let outcome = Outcome::with(480, OFFLINE);
        return declined(shard, session, invitation, outcome, pages, effects);
    }
    let deadline = shard.now.after(shard.ringing_max());
    let key = shard.ringings.insert(Ringing {
        session,
        invitation,
        from,
        to: to.user,
        focus,
        organiser,
        subject,
        thread,
        legs: Vec::new(),
        best: None,
        lone,
        pages: false,
        unwanted: false,
        told: false,
        deadline,
    });
    shard.ringing_of.insert((session, invitation), key);
    shard.look_at(deadline, Look::Ringing(key));
    shard.rings_later.insert(key, (stages, shard.now));
    if !ring_more(shard, key, effects) {
        end_ringing(shard, key);
        decline(shard, Outcome::of(480), effects);
    }
}

/// Rings the next stage in which there is somebody. False where there is none, or nobody is to be rung any more.
fn ring_more(shard: &mut Shard, key: RingingKey, effects: &mut Effects) -> bool {
    // The session's owner may not have heard yet that the server stops.
    if shard.stopping {
        return false;
    }
    loop {
        let Some((mut stages, _)) = shard.rings_later.remove(&key) else {
            return false;
        };
        let Some(ringing) = shard.ringings.get(key) else {
            return false;
        };
        let Some(user) = shard.by_aor.get(&ringing.to).copied() else {
            return false;
        };
        let (before, stage) = (ringing.legs.len(), stages.take());
        if !stages.is_empty() {
            let at = shard.now.after(ACTIVE_FIRST);
            shard.rings_later.insert(key, (stages, at));
            shard.look_at(at, Look::Ringing(key));
        }
        for Reached {
            connection,
            contact,
            ..
        } in reach::still(shard, user, stage)
        {
            ring_endpoint(shard, key, connection, &contact, effects);
        }
        let ringing = shard.ringings.get(key);
        if ringing.is_some_and(|ringing| ringing.legs.len() > before) {
            return true;
        }
    }
}

pub(super) fn end_ringing(shard: &mut Shard, key: RingingKey) -> Option<Ringing> {
    shard.rings_later.remove(&key);
    let ended = shard.ringings.remove(key)?;
    shard.ringing_of.remove(&(ended.session, ended.invitation));
    Some(ended)
}

/// Tells the session that nobody has accepted.
fn declined(
    shard: &mut Shard,
    session: SessionId,
    invitation: u32,
    outcome: Outcome,
    pages: bool,
    effects: &mut Effects,
) {
    let letter = Letter::Declined {
        session,
        invitation,
        outcome,
        pages,
    };
    shard.post_session(session, letter, effects);
}

fn ring_endpoint(
    shard: &mut Shard,
    key: RingingKey,
    connection: ConnectionId,
    contact: &str,
    effects: &mut Effects,
) {
    let Some(ringing) = shard.ringings.get(key) else {
        return;
    };
    if ringing.focus && shard.connections.dialect(connection) == Dialect::Lync {
        return on_summons::ring(shard, key, connection, contact, effects);
    }
    let (session, focus, user, from, subject, thread) = (
        ringing.session,
        ringing.focus,
        ringing.to.clone(),
        ringing.from.clone(),
        ringing.subject.clone(),
        ringing.thread.clone(),
    );
    let speaks = shard.connections.dialect(connection);
    // In a conference the dialog is with the focus; P-Asserted-Identity says who invites (RFC 4579 §5.5).
    let local = if focus {
        shard.session_uri(session, &user)
    } else {
        from.aor.uri()
    };
    let Some((link, branch, dialog)) = invite(shard, key, connection, contact, &local) else {
        return;
    };
    effects.send(connection, |out| {
        let mut draft = dialog.request(out, "INVITE", &link, branch);
        let user = format!("{SESSION_PREFIX}{session}");
        draft.contact(dialog.scheme(), &user, &link, focus);
        match speaks {
            Dialect::Simple => {
                draft.header("P-Asserted-Identity", simple::name_addr(&from));
                draft.header("Allow", super::request::ALLOW);
                draft.header("Supported", super::request::SUPPORTED);
            }
            // From says who it is, and what is not supported is not asked for: no session timers, no UPDATE.
            Dialect::Lync => {
                let thread = thread.unwrap_or_else(|| lync::message::thread(session));
                draft.header(lync::message::THREAD, thread.as_str());
            }
        }
        if !subject.as_str().is_empty() {
            draft.header("Subject", subject.as_str());
        }
        if focus {
            draft.header("Recv-Info", INFO_PACKAGE);
        }
        draft.body("application/sdp", &simple::offer(&link, SDP_ID, 1));
    });
}

/// A leg that rings, for an INVITE to `contact` in the name of `local`: what that is written with. `None` where the connection is
/// gone, or has no room for one more: an invitation must not be in the way of what the client asks itself.
pub(super) fn invite<'s>(
    shard: &'s mut Shard,
    key: RingingKey,
    connection: ConnectionId,
    contact: &str,
    local: &str,
) -> Option<(Link, Branch, &'s mut Dialog)> {
    let ringing = shard.ringings.get(key)?;
    let (session, focus, user) = (ringing.session, ringing.focus, ringing.to.clone());
    if !shard.has_room_for_ring(connection) {
        return None;
    }
    let call_id = shard.fresh_call_id();
    let random = shard.rng.next_u32();
    let link = shard.connections.link(connection)?;
    let leg = shard.add_dialog(connection, |slot| Association {
        connection,
        dialog: Dialog::asking(
            &call_id,
            local,
            &tag_of_key(slot, random),
            &user.uri(),
            contact,
        ),
        usage: Usage::Leg(Leg {
            session,
            user,
            state: State::Ringing(key, ClientKey::null()),
            cpim: false,
            theirs: false,
            answer_due: None,
            focus,
            told: true,
            reinvite: None,
            stopped: None,
            sdp_version: 1,
            typing: None,
            pages: None,
        }),
        offer: None,
    })?;
    let client = shard.open_client(connection, Method::Invite, Purpose::Invite(leg))?;
    if let Some(ringing) = shard.ringings.get_mut(key) {
        ringing.legs.push(leg);
    }
    let branch = shard.branches.of(client);
    let association = shard.dialogs.get_mut(leg)?;
    if let Usage::Leg(leg) = &mut association.usage {
        leg.state = State::Ringing(key, client);
    }
    Some((link, branch, &mut association.dialog))
}

/// An endpoint answers our INVITE.
pub(super) fn answered(
    shard: &mut Shard,
    client: ClientKey,
    leg: DialogKey,
    step: Step,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let status = message.status().unwrap_or_default();
    match step {
        Step::Provisional(cancel) => {
            if cancel {
                send_cancel(shard, client, leg, effects);
            }
            if status > 100 {
                rings(shard, leg, effects);
            }
        }
        Step::Final if (200..300).contains(&status) => accepted(shard, leg, message, effects),
        Step::Final => {
            acknowledge(shard, client, leg, message, effects);
            shard.close_client(client);
            let outcome = Outcome::from_endpoint(status, message.reason());
            refused(shard, leg, outcome, effects);
        }
        // A second fork accepted: its dialog is told at once that it came too late (RFC 3261 §13.2.2.4).
        Step::Again => end_fork(shard, client, leg, message, effects),
        Step::Absorbed => acknowledge(shard, client, leg, message, effects),
    }
}

fn rings(shard: &mut Shard, leg: DialogKey, effects: &mut Effects) {
    let Some(key) = ringing_of(shard, leg) else {
        return;
    };
    let Some(ringing) = shard.ringings.get_mut(key) else {
        return;
    };
    if !ringing.told {
        ringing.told = true;
        let (session, invitation) = (ringing.session, ringing.invitation);
        shard.post_session(
            session,
            Letter::RingingNow {
                session,
                invitation,
            },
            effects,
        );
    }
}

fn ringing_of(shard: &Shard, leg: DialogKey) -> Option<RingingKey> {
    match &shard.dialogs.get(leg)?.usage {
        Usage::Leg(Leg {
            state: State::Ringing(ringing, _),
            ..
        }) => Some(*ringing),
        _ => None,
    }
}

/// The first to accept wins; whoever accepts after a cancel, or without a message stream, is acknowledged and ended.
fn accepted(shard: &mut Shard, key: DialogKey, message: &Message<'_>, effects: &mut Effects) {
    let ringing = ringing_of(shard, key);
    let summons = on_summons::is_one(shard, key);
    let Some(association) = shard.dialogs.get_mut(key) else {
        return;
    };
    let Usage::Leg(leg) = &mut association.usage else {
        return;
    };
    if association.dialog.accepted(message).is_err() {
        // No dialog can be kept with this answer, and it is as good as a refusal. The endpoint is told, or it would take itself
        // for in.
        association.dialog.accepted_in_vain(message);
        on_leg::acknowledge_2xx(shard, key, message.cseq().number, effects);
        on_leg::say_bye(shard, key, effects);
        return one_less(shard, ringing, key, Outcome::of(480), effects);
    }
    if summons {
        return on_summons::accepted(shard, key, message.cseq().number, ringing, effects);
    }
    let cpim = simple::read_answer(message.body());
    leg.cpim = cpim == Some(true);
    leg.state = State::Established;
    on_leg::acknowledge_2xx(shard, key, message.cseq().number, effects);
    if cpim.is_none() {
        on_leg::say_bye(shard, key, effects);
        return one_less(shard, ringing, key, Outcome::of(488), effects);
    }
    let Some(ringing) = ringing.and_then(|ringing| end_ringing(shard, ringing)) else {
        return on_leg::say_bye(shard, key, effects);
    };
    for other in &ringing.legs {
        if *other != key {
            cancel(shard, *other, Stop::Elsewhere, effects);
        }
    }
    if let Some(connection) = shard.dialogs.get(key).map(|leg| leg.connection) {
        shard.connections.acted(connection, shard.now);
    }
    let endpoint = shard.endpoint_of(key);
    let (session, invitation) = (ringing.session, ringing.invitation);
    let leg = shard.leg_ref(key);
    let user = shard.party(&ringing.to);
    shard.post_session(
        session,
        Letter::Accepted {
            session,
            invitation,
            leg,
            user,
            endpoint,
        },
        effects,
    );
}

/// A leg that rang is no more: the endpoint refused, or its connection went.
pub(super) fn refused(shard: &mut Shard, leg: DialogKey, outcome: Outcome, effects: &mut Effects) {
    let ringing = ringing_of(shard, leg);
    shard.drop_dialog(leg);
    one_less(shard, ringing, leg, outcome, effects);
}

/// One leg less rings. Where it was the last, others have their turn; the last one's end is the invitation's.
fn one_less(
    shard: &mut Shard,
    ringing: Option<RingingKey>,
    leg: DialogKey,
    outcome: Outcome,
    effects: &mut Effects,
) {
    let Some(key) = ringing else { return };
    let Some(ringing) = shard.ringings.get_mut(key) else {
        return;
    };
    ringing.refused(leg, outcome);
    if ringing.is_declined() {
        return give_up(shard, key, Stop::Declined, effects);
    }
    if ringing.legs.is_empty() && !ring_more(shard, key, effects) {
        give_up(shard, key, Stop::NoAnswer, effects);
    }
}

/// Nobody accepts: who rings still is cancelled, and the session hears the best reason.
fn give_up(shard: &mut Shard, key: RingingKey, why: Stop, effects: &mut Effects) {
    let Some(ringing) = end_ringing(shard, key) else {
        return;
    };
    for leg in &ringing.legs {
        cancel(shard, *leg, why, effects);
    }
    let pages = ringing.may_page();
    let outcome = ringing
        .best
        .unwrap_or_else(|| Outcome::with(480, "No Answer"));
    let (session, invitation) = (ringing.session, ringing.invitation);
    declined(shard, session, invitation, outcome, pages, effects);
}

/// Whom it rings wants to hear nothing of who invites any more.
pub(super) fn turn_away(shard: &mut Shard, key: RingingKey, effects: &mut Effects) {
    let Some(ringing) = end_ringing(shard, key) else {
        return;
    };
    for leg in &ringing.legs {
        cancel(shard, *leg, Stop::GivenUp, effects);
    }
    let outcome = Outcome::with(480, OFFLINE);
    let (session, invitation) = (ringing.session, ringing.invitation);
    declined(shard, session, invitation, outcome, false, effects);
}

/// The session has lost interest.
pub(super) fn stop(
    shard: &mut Shard,
    session: SessionId,
    invitation: u32,
    why: Stop,
    effects: &mut Effects,
) {
    let Some(key) = shard.ringing_of.get(&(session, invitation)).copied() else {
        return;
    };
    if let Some(ringing) = end_ringing(shard, key) {
        for leg in ringing.legs {
            cancel(shard, leg, why, effects);
        }
    }
}

/// The wheel: the next ones are to be rung, or it has rung long enough.
pub(super) fn look(shard: &mut Shard, key: RingingKey, effects: &mut Effects) {
    let Some(ringing) = shard.ringings.get(key) else {
        return;
    };
    if ringing.deadline <= shard.now {
        return give_up(shard, key, Stop::NoAnswer, effects);
    }
    let next = shard.rings_later.get(&key).map(|(_, at)| *at);
    if next.is_some_and(|at| at <= shard.now) {
        ring_more(shard, key, effects);
    }
}

/// Cancels a leg that rings; it stays until its final answer has come, which may still be a 200.
pub(super) fn cancel(shard: &mut Shard, leg: DialogKey, why: Stop, effects: &mut Effects) {
    let Some(Leg {
        state: State::Ringing(_, client),
        stopped,
        ..
    }) = shard.leg_mut(leg)
    else {
        return;
    };
    *stopped = Some(why);
    let client = *client;
    let (now, speaks) = (shard.now, shard.leg_speaks(leg));
    let Some(transaction) = shard.clients.get_mut(client) else {
        return;
    };
    let goes_out = match speaks {
        Dialect::Simple => transaction.cancel(now),
        Dialect::Lync => transaction.cancel_unheard(now),
    };
    if goes_out {
        send_cancel(shard, client, leg, effects);
    }
    let deadline = now.after(crate::sip::transaction::TIMEOUT);
    shard.look_at(deadline, Look::Client(client));
}

/// CANCEL is a transaction of its own with the branch of the INVITE (RFC 3261 §9.1); its answer tells nothing.
fn send_cancel(shard: &mut Shard, client: ClientKey, leg: DialogKey, effects: &mut Effects) {
    let branch = shard.branches.of(client);
    let Some(association) = shard.dialogs.get(leg) else {
        return;
    };
    let Some(link) = shard.connections.link(association.connection) else {
        return;
    };
    let dialog = &association.dialog;
    let why = match &association.usage {
        Usage::Leg(leg) => leg.stopped,
        Usage::Focus(_) | Usage::Subscription(_) => None,
    };
    effects.send(association.connection, |out| {
        let mut draft = dialog.follow_up(out, "CANCEL", &link, branch, dialog.local_cseq, "");
        if let Some(why) = why {
            draft.header("Reason", why.reason());
        }
        draft.finish();
    });
}

/// The ACK of a refusal has the branch of the INVITE (RFC 3261 §17.1.1.3).
pub(super) fn acknowledge(
    shard: &mut Shard,
    client: ClientKey,
    leg: DialogKey,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let branch = shard.branches.of(client);
    let Some(connection) = shard
        .clients
        .get(client)
        .map(|transaction| transaction.connection)
    else {
        return;
    };
    let Some(link) = shard.connections.link(connection) else {
        return;
    };
    let cseq = message.cseq().number;
    let tag = message.to().tag().unwrap_or_default();
    effects.send(connection, |out| match shard.dialogs.get(leg) {
        Some(Association { dialog, .. }) => dialog
            .follow_up(out, "ACK", &link, branch, cseq, tag)
            .finish(),
        // BYE went out while a re-INVITE was under way. Its transaction wants the ACK all the same, and all that the ACK
        // must repeat stands in the refusal, but the Request-URI, by which nothing is matched.
        None => {
            let mut draft = build::request(out, "ACK", message.to().uri);
            draft.via(&link, branch);
            draft.header("Max-Forwards", 70);
            for name in [Name::From, Name::To, Name::CallId] {
                draft.header(name.as_str(), message.header(name).unwrap_or_default());
            }
            draft.header("CSeq", format_args!("{cseq} ACK"));
            draft.finish();
        }
    });
}

fn end_fork(
    shard: &mut Shard,
    client: ClientKey,
    leg: DialogKey,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    // The dialog of the first one may be over by now: what ends this one stands in its own answer.
    let mut fork = match shard.dialogs.get(leg) {
        Some(Association { dialog, .. }) if message.to().tag() == Some(dialog.remote_tag()) => {
            return on_leg::acknowledge_2xx(shard, leg, message.cseq().number, effects);
        }
        Some(Association { dialog, .. }) => dialog.clone(),
        None => Dialog::asked(message),
    };
    fork.accepted_in_vain(message);
    let transaction = shard.clients.get(client);
    let Some(connection) = transaction.map(|transaction| transaction.connection) else {
        return;
    };
    let Some(link) = shard.connections.link(connection) else {
        return;
    };
    let ack = shard.fresh_tag();
    effects.send(connection, |out| {
        let branch = format_args!("z9hG4bK{ack}");
        fork.follow_up(
            out,
            "ACK",
            &link,
            branch,
            message.cseq().number,
            fork.remote_tag(),
        )
        .finish();
    });
    shard.ask(
        connection,
        Method::Bye,
        Purpose::Forget,
        effects,
        |out, link, branch| {
            fork.request(out, "BYE", link, branch).finish();
        },
    );
}

impl Shard {
    /// How a leg of this shard is named in letters.
    pub(super) fn leg_ref(&self, key: DialogKey) -> LegRef {
        LegRef {
            shard: self.me.0,
            key: key.data().as_ffi(),
        }
    }

    /// A session's URI in the domain of `user`.
    pub(super) fn session_uri(&self, session: SessionId, user: &Aor) -> String {
        format!("sip:{SESSION_PREFIX}{session}@{}", user.host())
    }
}
