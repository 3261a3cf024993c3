//! Re-INVITE and UPDATE in a leg's dialog: theirs, which may change what they read and where they are; and ours, by which a
//! client hears that its session is a conference now. One of the two is under way at a time (RFC 3261 §14).

use core::time::Duration;

use crate::dialect::Dialect;
use crate::dialect::conference::INFO_PACKAGE;
use crate::dialect::simple;
use crate::immcu::leg::{Due, State};
use crate::immcu::session::LegRef;
use crate::shard::effect::Effects;
use crate::shard::lync::on_summons;
use crate::shard::on_leg::{acknowledge_2xx, confirm, key_of, lost};
use crate::shard::request::{ALLOW, Request, SDP_ID, SESSION_PREFIX, SUPPORTED};
use crate::shard::usage::Purpose;
use crate::shard::{Look, Shard};
use crate::sip::dialog::DialogKey;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::TIMEOUT;
use crate::sip::uri::{Aor, Scheme};

/// How long our re-INVITE waits after theirs crossed it: who made the Call-ID waits between 2.1 and 4 s, and who did not
/// at most 2 s, so one of the two comes first (RFC 3261 §14.1). The client's is random; ours need not be too.
const GLARE_OURS: Duration = Duration::from_secs(3);
const GLARE_THEIRS: Duration = Duration::from_secs(1);

/// Their re-INVITE or UPDATE: the message stream stays what it is; the target is refreshed (RFC 3261 §14.2, RFC 3311).
pub(super) fn on_reinvite(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    let message = request.message;
    let Some(leg) = shard.leg_mut(key) else {
        return;
    };
    let is_invite = message.method() == Method::Invite;
    // Ours is not answered: another INVITE must wait, and so must another offer (RFC 3261 §14.2, RFC 3311 §5.2).
    let waits = match leg.state {
        State::Offered(_) | State::Ringing(..) => true,
        State::Confirming(_) | State::Established => {
            leg.reinvite.is_some() && (is_invite || !message.body().is_empty())
        }
    };
    if waits {
        return shard.answer(request, 491, "", effects);
    }
    let Some(offer) = shard.body(request, effects) else {
        return;
    };
    let Some(leg) = shard.leg_mut(key) else {
        return;
    };
    let (session, focus) = (leg.session, leg.focus);
    leg.sdp_version += 1;
    let version = leg.sdp_version;
    let body = if offer.is_empty() {
        if is_invite {
            simple::offer(&request.link, SDP_ID, version)
        } else {
            Vec::new()
        }
    } else {
        if !message
            .content_type()
            .is_some_and(|media| media.is("application/sdp"))
        {
            return refuse_type(shard, request, effects);
        }
        match simple::answer_offer(&offer, &request.link, SDP_ID, version) {
            Ok((answer, cpim)) => {
                leg.cpim = cpim;
                answer
            }
            Err(fault) => return shard.answer(request, fault.status(), fault.reason(), effects),
        }
    };
    if is_invite {
        let until = shard.now.after(TIMEOUT);
        let Some(leg) = shard.leg_mut(key) else {
            return;
        };
        leg.answer_due = message
            .body()
            .is_empty()
            .then(|| Due::of(message.cseq().number));
        // Who asks again without an ACK gets no more time for it.
        if leg.state == State::Established {
            leg.state = State::Confirming(until);
            shard.look_at(until, Look::Dialog(key));
        }
    }
    let mut scheme = Scheme::Sip;
    if let Some(association) = shard.dialogs.get_mut(key) {
        association.dialog.refresh_target(message);
        scheme = association.dialog.scheme();
    }
    shard.answer_with(request, 200, "", effects, |mut draft| {
        let user = format!("{SESSION_PREFIX}{session}");
        draft.contact(scheme, &user, &request.link, focus);
        draft.header("Allow", ALLOW);
        draft.header("Supported", SUPPORTED);
        if focus {
            draft.header("Recv-Info", INFO_PACKAGE);
        }
        if body.is_empty() {
            draft.finish();
        } else {
            draft.body("application/sdp", &body);
        }
    });
    if !is_invite {
        // It proves what an ACK would. Of an INVITE the ACK is still to come, and ours waits for it.
        confirm(shard, key, effects);
    }
}

fn refuse_type(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    shard.answer_with(request, 415, "", effects, |mut draft| {
        draft.header("Accept", "application/sdp");
        draft.finish();
    });
}

/// The session's owner: the session is a conference now. A re-INVITE says so (RFC 4579 §5.1).
pub(super) fn promote(shard: &mut Shard, leg: LegRef, organiser: &Aor, effects: &mut Effects) {
    let key = key_of(leg);
    let lync = shard.leg_speaks(key) == Dialect::Lync;
    let Some(found) = shard.leg_mut(key) else {
        return;
    };
    found.focus = true;
    if lync {
        // A Lync client would end a dialog that is offered anew.
        return on_summons::move_over(shard, key, organiser, effects);
    }
    found.told = false;
    // One that is not confirmed yet is told when it is: its ACK must not meet another INVITE (RFC 3261 §14.1).
    if found.state == State::Established {
        ask(shard, key, effects);
    }
}

/// Tells a client by re-INVITE that its dialog is with a focus.
pub(super) fn ask(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(leg) = shard.leg_mut(key) else {
        return;
    };
    leg.sdp_version += 1;
    let (session, version) = (leg.session, leg.sdp_version);
    let Some(connection) = shard
        .dialogs
        .get(key)
        .map(|association| association.connection)
    else {
        return;
    };
    let Some(link) = shard.connections.link(connection) else {
        return;
    };
    let Some(client) = shard.open_client(connection, Method::Invite, Purpose::Reinvite(key)) else {
        return;
    };
    let branch = shard.branches.of(client);
    if let Some(leg) = shard.leg_mut(key) {
        (leg.told, leg.reinvite) = (true, Some(client));
    }
    let Some(association) = shard.dialogs.get_mut(key) else {
        return;
    };
    let dialog = &mut association.dialog;
    effects.send(connection, |out| {
        let mut draft = dialog.request(out, "INVITE", &link, branch);
        let user = format!("{SESSION_PREFIX}{session}");
        draft.contact(dialog.scheme(), &user, &link, true);
        draft.header("Allow", ALLOW);
        draft.header("Supported", SUPPORTED);
        draft.header("Allow-Events", "conference, refer");
        draft.header("Recv-Info", INFO_PACKAGE);
        draft.body("application/sdp", &simple::offer(&link, SDP_ID, version));
    });
}

/// The answer to our re-INVITE. A refusal changes nothing but that the client was told; a lost dialog is lost.
pub(super) fn answered(
    shard: &mut Shard,
    key: DialogKey,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    if let Some(leg) = shard.leg_mut(key) {
        leg.reinvite = None;
    }
    match message.status().unwrap_or_default() {
        200..=299 => {
            if let Some(association) = shard.dialogs.get_mut(key) {
                association.dialog.refresh_target(message);
            }
            if let (Some(cpim), Some(leg)) =
                (simple::read_answer(message.body()), shard.leg_mut(key))
            {
                leg.cpim = cpim;
            }
            acknowledge_2xx(shard, key, message.cseq().number, effects);
        }
        408 | 481 => lost(shard, key, "dialog lost", effects),
        // Both sides asked at once: again a little later (RFC 3261 §14.1).
        491 => {
            let Some(leg) = shard.leg_mut(key) else {
                return;
            };
            leg.told = false;
            let glare = if leg.theirs { GLARE_THEIRS } else { GLARE_OURS };
            let again = shard.now.after(glare);
            shard.look_at(again, Look::Dialog(key));
        }
        _ => {}
    }
}
