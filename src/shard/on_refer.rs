//! REFER (RFC 3515) as RFC 4579 uses it: in a session's dialog, or to a conference's URI, it invites a user or, with
//! `method=BYE`, sends one away. How it goes is told by an implicit subscription, unless the client wants none.

use rand_core::Rng;

use crate::dialect::lync::Telling;
use crate::immcu::SessionId;
use crate::immcu::content::Outcome;
use crate::immcu::session::LegRef;
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::request::{Request, SESSION_PREFIX, Target, key_of_tag, tag_of_key};
use crate::shard::usage::{Answering, Association, Subject, Subscription, Usage};
use crate::shard::{Shard, on_leg, on_subscribe};
use crate::sip::armed::Armed;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::header::{Event, Name, NameAddr};
use crate::sip::uri::{Aor, Scheme};

use core::time::Duration;

/// How long the story of a REFER may take, in seconds: an invitation may ring for three minutes.
const REFER_S: u32 = 240;
/// The same as a time.
pub(super) const REFER_MAX: Duration = Duration::from_secs(REFER_S as u64);

/// In the dialog of a leg.
pub(super) fn on_refer(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    let Some(session) = shard.leg(key).map(|leg| leg.session) else {
        return;
    };
    refer(shard, request, session, effects);
}

/// Outside a dialog, to a conference's URI.
pub(super) fn on_lone_refer(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let target = shard.target(request.message.uri(), &request.link);
    if let Some((status, reason)) = target.refusal() {
        return shard.answer(request, status, reason, effects);
    }
    match target {
        Target::Session(session) | Target::Focus(session) => {
            refer(shard, request, session, effects)
        }
        _ => shard.answer(request, 403, "Refer The Conference, Not A User", effects),
    }
}

fn refer(shard: &mut Shard, request: Request<'_>, session: SessionId, effects: &mut Effects) {
    let message = request.message;
    let mut refer_to = message.headers(Name::ReferTo);
    let (Some(value), None) = (refer_to.next(), refer_to.next()) else {
        return shard.answer(request, 400, "Exactly One Refer-To", effects);
    };
    let Ok(uri) = NameAddr::parse(value)
        .map_err(|_| ())
        .and_then(|refer_to| refer_to.uri().map_err(|_| ()))
    else {
        return shard.answer(request, 400, "Bad Refer-To", effects);
    };
    let remove = match uri.param("method").flatten() {
        None => false,
        Some(method) if method.eq_ignore_ascii_case("INVITE") => false,
        Some(method) if method.eq_ignore_ascii_case("BYE") => true,
        Some(_) => {
            return shard.answer(request, 403, "Only INVITE and BYE Can Be Referred", effects);
        }
    };
    let Target::User(user) = shard.target(uri.text, &request.link) else {
        return shard.answer(request, 404, "Not A User Of Ours", effects);
    };
    let gruu = match shard.gruu(uri.text) {
        Ok(gruu) => gruu,
        Err(outcome) => return shard.answer(request, outcome.status, &outcome.reason, effects),
    };
    let Some(by) = shard
        .connections
        .get(request.connection)
        .and_then(|connection| connection.user.clone())
    else {
        return;
    };
    // RFC 4488 §4: a client may want no subscription.
    let quiet = message
        .named("Refer-Sub")
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
    let watcher = if quiet {
        None
    } else if let Some(reason) = shard.no_room_to_hold(request.connection) {
        return shard.answer(request, 503, reason, effects);
    } else {
        subscribe(shard, request, &by)
    };
    let tag = watcher.and_then(|leg| {
        Some(
            shard
                .dialogs
                .get(on_leg::key_of(leg))?
                .dialog
                .local_tag()
                .into(),
        )
    });
    let Some(server) = shard.open(request) else {
        return;
    };
    if let Some(transaction) = shard.servers.get_mut(server) {
        transaction.to_tag = tag;
    }
    // In its leg's dialog, or in the one that it makes.
    let leg = message.to().tag().and_then(key_of_tag);
    let leg = leg.or(watcher.map(on_leg::key_of));
    let answering = Answering::Refer { leg, quiet };
    shard.answering.insert(server, answering);
    shard.connections.acted(request.connection, shard.now);
    let ticket = shard.ticket(server);
    let by = shard.party(&by);
    shard.post_session(
        session,
        Letter::Refer {
            session,
            by,
            ticket,
            watcher,
            user,
            gruu,
            remove,
        },
        effects,
    );
}

/// The implicit subscription. Inside a leg's dialog its NOTIFYs use that dialog too, as RFC 3515 §2.4.4 has it: the
/// subscription's end of the dialog is a second view with the same ids, and the leg lends it its CSeq.
fn subscribe(shard: &mut Shard, request: Request<'_>, by: &Aor) -> Option<LegRef> {
    let message = request.message;
    let parent = message.to().tag().and_then(key_of_tag);
    let mut dialog = Dialog::answering(message, "").ok()?;
    let random = shard.rng.next_u32();
    let now = shard.now;
    let expires = now.after(REFER_MAX);
    if let Some(tag) = message.to().tag() {
        dialog = dialog.tagged(tag);
    }
    let key = shard.add_dialog(request.connection, |slot| Association {
        connection: request.connection,
        dialog: if parent.is_some() {
            dialog
        } else {
            dialog.tagged(&tag_of_key(slot, random))
        },
        usage: Usage::Subscription(Subscription {
            subject: Subject::Refer {
                outcome: Box::new(Outcome::of(100)),
                parent,
            },
            watcher: by.clone(),
            event_id: format!("{}", message.cseq().number).into(),
            since: now,
            expires,
            armed: Armed::default(),
            waiting: None,
            granted_s: REFER_S,
            alert: false,
            telling: Telling::default(),
            is_linphones: false,
            outstanding: false,
            stale: false,
            refusals: 0,
            version: None,
            told: None,
        }),
        offer: None,
    })?;
    on_subscribe::arm(shard, key, expires);
    Some(shard.leg_ref(key))
}

/// SUBSCRIBE in the dialog of a leg: to the story of a REFER that was sent in it, which is refreshed or ended so
/// (RFC 3515 §2.4.4). Without an `id` it is the first one's (§2.4.6).
pub(super) fn on_subscribe(
    shard: &mut Shard,
    request: Request<'_>,
    leg: DialogKey,
    effects: &mut Effects,
) {
    let event = request.message.header(Name::Event);
    let event = event.and_then(|event| Event::parse(event).ok());
    let place = shard.connections.get(request.connection);
    let (Some(event), Some(place)) = (event.filter(|event| event.is("refer")), place) else {
        return shard.answer(request, 403, "Subscribe Outside Of The Invitation", effects);
    };
    let told_in_it = shard.dialogs.keys(&place.dialogs).filter_map(|key| {
        let Usage::Subscription(subscription) = &shard.dialogs.get(key)?.usage else {
            return None;
        };
        let Subject::Refer { parent, .. } = subscription.subject else {
            return None;
        };
        let meant = event.id.is_none_or(|id| *id == *subscription.event_id);
        (parent == Some(leg) && meant).then_some((subscription.since, key))
    });
    match told_in_it.min() {
        Some((_, key)) => on_subscribe::on_refresh(shard, request, key, effects),
        None => shard.answer(request, 403, "Subscribe Outside Of The Invitation", effects),
    }
}

/// What our Contact says in a dialog.
pub(super) struct Place {
    pub scheme: Scheme,
    /// Empty for the server itself.
    pub user: String,
    pub focus: bool,
}

/// What our Contact says in a leg's dialog, whoever speaks there: each request and each 2xx of ours names the target anew
/// (RFC 3261 §12.2, RFC 5057 §5). In another it is the server.
pub(super) fn place(shard: &Shard, dialog: Option<DialogKey>) -> Place {
    let association = dialog.and_then(|key| shard.dialogs.get(key));
    let leg = dialog.and_then(|key| shard.leg(key));
    Place {
        scheme: association.map_or(Scheme::Sip, |association| association.dialog.scheme()),
        user: leg.map_or_else(String::new, |leg| {
            format!("{SESSION_PREFIX}{}", leg.session)
        }),
        focus: leg.is_some_and(|leg| leg.focus),
    }
}

/// How it goes: a NOTIFY with the status line; a final status is the last one (RFC 3515 §2.4.5, §2.4.7).
pub(super) fn referred(
    shard: &mut Shard,
    watcher: LegRef,
    outcome: Outcome,
    effects: &mut Effects,
) {
    let key = on_leg::key_of(watcher);
    let last = outcome.status >= 200;
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    if let Subject::Refer { outcome: told, .. } = &mut subscription.subject {
        **told = outcome;
    }
    if last {
        shard.terminate(key, "noresource", effects);
    } else {
        shard.notify(key, effects);
    }
}
