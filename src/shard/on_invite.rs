//! INVITE outside a dialog: to a user, to a session, to the conference factory. And CANCEL.

use rand_core::Rng;

use crate::dialect::simple;
use crate::immcu::content::{Outcome, Priority};
use crate::immcu::leg::{Leg, State};
use crate::immcu::session::Kind;
use crate::shard::effect::Effects;
use crate::shard::letter::{Invited, Letter};
use crate::shard::request::{Request, SDP_ID, Target, tag_of_key, with_tag};
use crate::shard::usage::{Association, Usage};
use crate::shard::{Shard, on_leg, on_session};
use crate::sip::dialog::{Dialog, NoDialog};
use crate::sip::header::{Name, accept_quality};
use crate::sip::transaction::ServerKey;

pub(super) fn on_invite(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let target = shard.target(message.uri(), &request.link);
    match target {
        Target::User(_) | Target::Session(_) | Target::Factory => {}
        Target::Server => return shard.answer(request, 405, "", effects),
        Target::Elsewhere => return shard.answer(request, 404, "Not A Domain Of Ours", effects),
        Target::Unknown => return shard.answer(request, 416, "", effects),
    }
    if accept_quality(message.headers(Name::Accept), "application/sdp") == Some(0) {
        return shard.answer(request, 406, "", effects);
    }
    let Some(connection) = shard.connections.get(request.connection) else {
        return;
    };
    let Some(user) = connection.user.clone() else {
        return;
    };
    if shard
        .dialogs
        .keys(&connection.dialogs)
        .take(shard.settings.dialogs_max)
        .count()
        >= shard.settings.dialogs_max
    {
        return shard.answer(request, 503, "Too Many Dialogs On This Connection", effects);
    }
    let mut cpim = false;
    let mut answer = None;
    if !message.body().is_empty() {
        if !message
            .content_type()
            .is_some_and(|media| media.is("application/sdp"))
        {
            return on_leg::refuse_type(shard, request, effects);
        }
        match simple::answer_offer(message.body(), &request.link, SDP_ID, 1) {
            Ok((body, reads)) => {
                cpim = reads;
                answer = Some(body);
            }
            Err(fault) => return shard.answer(request, fault.status(), fault.reason(), effects),
        }
    }
    let dialog = match Dialog::answering(message, "") {
        Ok(dialog) => dialog,
        Err(NoDialog::Route) => {
            return shard.answer(request, 400, "Record-Route Is Too Long", effects);
        }
        Err(NoDialog::Contact | NoDialog::Tag) => {
            return shard.answer(request, 400, "Missing or Bad Contact", effects);
        }
    };
    if shard.sessions.len() >= shard.settings.immcu.sessions_max
        && !matches!(target, Target::Session(_))
    {
        return shard.answer(request, 503, "Too Many Sessions", effects);
    }
    let session = match target {
        Target::Session(session) => session,
        _ => shard.fresh_session(&user),
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    shard.connections.acted(request.connection, shard.now);
    let random = shard.rng.next_u32();
    let Some(place) = shard.connections.get_mut(request.connection) else {
        return;
    };
    let key = shard
        .dialogs
        .insert_with(&mut place.dialogs, |slot| Association {
            connection: request.connection,
            dialog: with_tag(dialog, &tag_of_key(slot, random)),
            usage: Usage::Leg(Leg {
                session,
                user: user.clone(),
                state: State::Offered(server),
                cpim,
                focus: false,
                told: true,
                stopped: None,
                sdp_version: 1,
            }),
            offer: answer,
        });
    // The person hears at once that the server has it (RFC 3261 §17.2.1).
    shard.provisional(server, 100, "", "", effects);
    let leg = shard.leg_ref(key);
    let party = shard.party(&user);
    let endpoint = shard.endpoint_of(key);
    match target {
        // The owner is this shard: the starter's routing group names the session.
        Target::User(to) => on_session::start(
            shard,
            session,
            Kind::TwoParty,
            &party,
            leg,
            endpoint,
            Some(Invited {
                user: to,
                gruu: None,
                priority: Priority::of(message.header(Name::Priority)),
            }),
            effects,
        ),
        Target::Factory => on_session::start(
            shard,
            session,
            Kind::Conference,
            &party,
            leg,
            endpoint,
            None,
            effects,
        ),
        _ => shard.post_session(
            session,
            Letter::Join {
                session,
                leg,
                user: party,
                endpoint,
            },
            effects,
        ),
    }
}

/// CANCEL: answered 200 whatever comes of it; the INVITE is answered 487 where it still waits (RFC 3261 §9.2).
/// Where it has been accepted already, the 200 to the INVITE is on its way and their BYE will come.
pub(super) fn on_cancel(
    shard: &mut Shard,
    request: Request<'_>,
    server: ServerKey,
    effects: &mut Effects,
) {
    shard.answer(request, 200, "", effects);
    match on_leg::offered(shard, server) {
        Some(key) => on_leg::cancelled(shard, key, effects),
        None => shard.settle(server, &Outcome::of(487), effects),
    }
}
