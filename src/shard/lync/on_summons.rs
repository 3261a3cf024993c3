//! Invitations into a conference as Lync's clients send and take them ([MS-CONFIM] §3.1): an INVITE that names the focus, and
//! after its 200 whom it reached comes by themself.

use crate::dialect::Dialect;
use crate::dialect::lync::{conf_invite, conference_uri};
use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Priority};
use crate::immcu::leg::{Leg, State};
use crate::immcu::ringing::{RingingKey, Stop};
use crate::immcu::room::Subject;
use crate::shard::effect::Effects;
use crate::shard::letter::{Invited, Letter};
use crate::shard::lync::on_focus;
use crate::shard::request::{ALLOW, Request, SUPPORTED, Target};
use crate::shard::usage::{Answering, Purpose, Usage};
use crate::shard::{Shard, on_leg, on_ring};
use crate::sip::build::Draft;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::header::Name;
use crate::sip::link::{ConnectionId, Link};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{ClientKey, Step};
use crate::sip::uri::{Aor, Scheme};

/// Whether an INVITE is an invitation into a conference.
pub(in crate::shard) fn is_summons(message: &Message<'_>) -> bool {
    let media = message.content_type();
    media.is_some_and(|media| media.is(conf_invite::CONTENT_TYPE))
}

/// INVITE to a user, who is to come into the conference that it names.
pub(in crate::shard) fn on_invite(
    shard: &mut Shard,
    request: Request<'_>,
    to: Invited,
    effects: &mut Effects,
) {
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let named = conf_invite::read(&body);
    let session = match named.map(|uri| shard.target(&uri, &request.link)) {
        Ok(Target::Focus(session)) => session,
        Ok(_) => {
            let outcome = Outcome::with(404, "No Such Conference");
            return on_focus::refuse_at_once(shard, request, &outcome, effects);
        }
        Err(fault) => {
            let outcome = Outcome::with(fault.status(), fault.reason());
            return on_focus::refuse_at_once(shard, request, &outcome, effects);
        }
    };
    let connection = shard.connections.get(request.connection);
    let Some(by) = connection.and_then(|connection| connection.user.clone()) else {
        return;
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    shard.connections.acted(request.connection, shard.now);
    shard.provisional(server, 100, "", "", effects);
    shard
        .answering
        .insert(server, Answering::Invitation(session));
    let letter = Letter::Invite {
        session,
        by: shard.party(&by),
        ticket: shard.ticket(server),
        to: Invited {
            priority: Priority::of(request.message.header(Name::Priority)),
            ..to
        },
    };
    shard.post_session(session, letter, effects);
}

fn write(
    mut draft: Draft<'_>,
    scheme: Scheme,
    link: &Link,
    organiser: &Aor,
    session: SessionId,
    subject: &Subject,
) {
    draft.contact(scheme, "", link, false);
    draft.header("Allow", ALLOW);
    draft.header("Supported", SUPPORTED);
    let focus = conference_uri::focus(organiser, session);
    let body = conf_invite::write(&focus, subject);
    draft.body(conf_invite::CONTENT_TYPE, &body);
}

/// Rings a Lync endpoint for a conference: in the name of who invites, for the dialog is not with the focus.
pub(in crate::shard) fn ring(
    shard: &mut Shard,
    key: RingingKey,
    connection: ConnectionId,
    contact: &str,
    effects: &mut Effects,
) {
    let Some(ringing) = shard.ringings.get(key) else {
        return;
    };
    let (session, local) = (ringing.session, ringing.from.aor.uri());
    let (organiser, subject) = (ringing.organiser.clone(), ringing.subject.clone());
    let invited = on_ring::invite(shard, key, connection, contact, &local);
    let Some((link, branch, dialog)) = invited else {
        return;
    };
    effects.send(connection, |out| {
        let draft = dialog.request(out, "INVITE", &link, branch);
        write(draft, dialog.scheme(), &link, &organiser, session, &subject);
    });
}

/// Whether a leg that rings is an invitation of this kind.
pub(in crate::shard) fn is_one(shard: &Shard, key: DialogKey) -> bool {
    let Some(association) = shard.dialogs.get(key) else {
        return false;
    };
    let focus = matches!(&association.usage, Usage::Leg(leg) if leg.focus);
    focus && shard.connections.dialect(association.connection) == Dialect::Lync
}

/// It has accepted: what comes of that comes in dialogs of its own. This one is acknowledged and forgotten; who invites this
/// way says no BYE either.
pub(in crate::shard) fn accepted(
    shard: &mut Shard,
    key: DialogKey,
    cseq: u32,
    ringing: Option<RingingKey>,
    effects: &mut Effects,
) {
    on_leg::acknowledge_2xx(shard, key, cseq, effects);
    shard.drop_dialog(key);
    let Some(ringing) = ringing.and_then(|ringing| on_ring::end_ringing(shard, ringing)) else {
        return;
    };
    for other in &ringing.legs {
        if *other != key {
            on_ring::cancel(shard, *other, Stop::Elsewhere, effects);
        }
    }
    let (session, invitation) = (ringing.session, ringing.invitation);
    let letter = Letter::Coming {
        session,
        invitation,
    };
    shard.post_session(session, letter, effects);
}

/// Two have become many, and a Lync client ends a dialog that is offered anew: it is invited in its place, by the name
/// that it knows the other side by, and hears on in the old dialog until it has come.
pub(in crate::shard) fn move_over(
    shard: &mut Shard,
    key: DialogKey,
    organiser: &Aor,
    effects: &mut Effects,
) {
    let (call_id, tag) = (shard.fresh_call_id(), shard.fresh_tag());
    let Some(association) = shard.dialogs.get(key) else {
        return;
    };
    let Usage::Leg(leg) = &association.usage else {
        return;
    };
    let (connection, session) = (association.connection, leg.session);
    let old = &association.dialog;
    let bare = |text: &str| text.trim_matches(['<', '>']).to_owned();
    let (local, target) = (bare(old.local()), old.target());
    let mut dialog = Dialog::asking(&call_id, &local, &tag, &leg.user.uri(), target);
    let Some(link) = shard.connections.get(connection).map(|place| place.link) else {
        return;
    };
    // The number is known before it is written: our first request in a dialog is its first.
    let mut asked = dialog.clone();
    asked.local_cseq = 1;
    let purpose = Purpose::Move(Box::new(asked));
    let Some(client) = shard.open_client(connection, Method::Invite, purpose) else {
        return;
    };
    let branch = shard.branches.of(client);
    effects.send(connection, |out| {
        let draft = dialog.request(out, "INVITE", &link, branch);
        let subject = Subject::default();
        write(draft, dialog.scheme(), &link, organiser, session, &subject);
    });
}

/// It answers: whatever that is, it is acknowledged, and it comes or it does not.
pub(in crate::shard) fn moved(
    shard: &mut Shard,
    client: ClientKey,
    step: Step,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    if step != Step::Final {
        return;
    }
    let status = message.status().unwrap_or_default();
    let branch = shard.branches.of(client);
    let random = shard.fresh_tag();
    let Some(transaction) = shard.close_client(client) else {
        return;
    };
    let Purpose::Move(mut dialog) = transaction.purpose else {
        return;
    };
    let connection = transaction.connection;
    let Some(link) = shard.connections.get(connection).map(|place| place.link) else {
        return;
    };
    if status >= 300 {
        let tag = message.to().tag().unwrap_or_default();
        effects.send(connection, |out| {
            dialog.follow_up(out, "ACK", &link, branch, 1, tag).finish();
        });
    } else if dialog.accepted(message).is_ok() {
        effects.send(connection, |out| {
            let branch = format_args!("z9hG4bK{random}");
            dialog.acknowledge_2xx(out, &link, branch, message.cseq().number);
        });
    }
}

/// A leg has come in over a connection on which the session had another one before it became a conference: that is over now.
pub(in crate::shard) fn replace(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    if !is_one(shard, key) {
        return;
    }
    let Some(association) = shard.dialogs.get(key) else {
        return;
    };
    let Usage::Leg(Leg { session, .. }) = &association.usage else {
        return;
    };
    let session = *session;
    let Some(place) = shard.connections.get(association.connection) else {
        return;
    };
    let same = |other: &DialogKey| {
        let leg = shard.leg(*other);
        *other != key
            && leg.is_some_and(|leg| leg.session == session && leg.state == State::Established)
    };
    let old: Vec<DialogKey> = shard.dialogs.keys(&place.dialogs).filter(same).collect();
    for other in old {
        let leg = shard.leg_ref(other);
        on_leg::say_bye(shard, other, effects);
        let letter = Letter::Leave {
            session,
            leg,
            reason: "came by another leg",
        };
        shard.post_session(session, letter, effects);
    }
}
