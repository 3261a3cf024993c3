//! SUBSCRIBE (RFC 6665) to a user's presence (RFC 3856) or a conference's roster (RFC 4575), and what the subjects'
//! owners say. The subscription lives here, with the watcher; the owner knows only this shard.

use std::sync::Arc;

use slotmap::{Key, KeyData};

use rand_core::Rng;

use crate::dialect::simple;
use crate::documents::{conference_info, pidf};
use crate::immcu::SessionId;
use crate::immcu::content::Outcome;
use crate::immcu::session::LegRef;
use crate::presence::{Shown, SubscriptionKey, Unwatched, Watched};
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::letter::Letter;
use crate::shard::on_register::seconds;
use crate::shard::request::{Request, Target, dialog_contact, tag_of_key, with_tag};
use crate::shard::usage::{Association, Roster, Subject, Subscription, Usage};
use crate::shard::{Look, Shard, on_leg};
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::header::{Event, Name, accept_quality};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

fn watch_key(key: DialogKey) -> SubscriptionKey {
    SubscriptionKey(key.data().as_ffi())
}

fn dialog_key(key: SubscriptionKey) -> DialogKey {
    KeyData::from_ffi(key.0).into()
}

pub(super) fn on_subscribe(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let Some(event) = message
        .header(Name::Event)
        .and_then(|event| Event::parse(event).ok())
    else {
        return shard.answer(request, 489, "", effects);
    };
    let target = shard.target(message.uri(), &request.link);
    let (subject, media) = match (event.package, target) {
        ("presence", Target::User(user)) => (Subject::Presence(user), pidf::CONTENT_TYPE),
        ("conference", Target::Session(session)) => {
            (Subject::Roster(session), conference_info::CONTENT_TYPE)
        }
        ("presence" | "conference", Target::Unknown) => {
            return shard.answer(request, 416, "", effects);
        }
        ("presence" | "conference", Target::Elsewhere) => {
            return shard.answer(request, 404, "Not A Domain Of Ours", effects);
        }
        ("presence" | "conference", _) => {
            return shard.answer(request, 404, "Nothing To Watch There", effects);
        }
        _ => return shard.answer(request, 489, "", effects),
    };
    if accept_quality(message.headers(Name::Accept), media) == Some(0) {
        return shard.answer(request, 406, "", effects);
    }
    let granted_s = match simple::subscription_s(message.expires(), shard.settings.subscription_s) {
        Ok(granted_s) => granted_s,
        Err(least) => return too_brief(shard, request, least.as_secs(), effects),
    };
    let Ok(dialog) = Dialog::answering(message, "") else {
        return shard.answer(request, 400, "Missing or Bad Contact", effects);
    };
    let Some(connection) = shard.connections.get(request.connection) else {
        return;
    };
    let Some(user) = connection.user.clone() else {
        return;
    };
    let dialogs_max = shard.settings.dialogs_max;
    if shard
        .dialogs
        .keys(&connection.dialogs)
        .take(dialogs_max)
        .count()
        >= dialogs_max
    {
        return shard.answer(
            request,
            503,
            "Too Many Subscriptions On This Connection",
            effects,
        );
    }
    let Some(server) = shard.open(request) else {
        return;
    };
    let random = shard.rng.next_u32();
    let expires = shard.now.after(seconds(granted_s));
    let Some(place) = shard.connections.get_mut(request.connection) else {
        return;
    };
    let key = shard
        .dialogs
        .insert_with(&mut place.dialogs, |slot| Association {
            connection: request.connection,
            dialog: with_tag(dialog, &tag_of_key(slot, random)),
            usage: Usage::Subscription(Subscription {
                subject: subject.clone(),
                event_id: event.id.unwrap_or_default().into(),
                expires,
                waiting: Some(server),
                granted_s,
                outstanding: false,
                stale: false,
                version: None,
            }),
            offer: None,
        });
    match subject {
        Subject::Presence(presentity) => match shard.watching.watch(&presentity, watch_key(key)) {
            Watched::AskOwner => {
                let letter = Letter::Watch {
                    presentity: presentity.clone(),
                    shard: shard.me,
                };
                shard.post_owner(&presentity, letter, effects);
            }
            Watched::Waiting => {}
            Watched::Shown(_) => grant(shard, key, effects),
        },
        Subject::Roster(session) => {
            let subscription = shard.leg_ref(key);
            let roster = shard.rosters.entry(session).or_insert_with(|| Roster {
                version: 0,
                full: Arc::from(&[][..]),
                partial: Arc::from(&[][..]),
                subscriptions: Vec::new(),
                asking: 0,
            });
            roster.asking += 1;
            shard.post_session(
                session,
                Letter::WatchRoster {
                    session,
                    user,
                    subscription,
                },
                effects,
            );
        }
        Subject::Refer { .. } => {}
    }
}

fn too_brief(shard: &mut Shard, request: Request<'_>, least_s: u64, effects: &mut Effects) {
    shard.answer_with(request, 423, "", effects, |mut draft| {
        draft.header("Min-Expires", least_s);
        draft.finish();
    });
}

/// The subject is there: 200, and the state at once (RFC 6665 §4.2.1.2). A poll ends with its first NOTIFY.
fn grant(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(Association {
        connection,
        dialog,
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    let Some(server) = subscription.waiting.take() else {
        return;
    };
    let (tag, granted_s, expires) = (
        dialog.local_tag.clone(),
        subscription.granted_s,
        subscription.expires,
    );
    let Some(link) = shard
        .connections
        .get(*connection)
        .map(|connection| connection.link)
    else {
        return;
    };
    shard.settle_with(server, 200, "", Some(&tag), effects, |mut draft| {
        draft.header("Expires", granted_s);
        dialog_contact(&mut draft, "", &link, false);
        draft.finish();
    });
    if granted_s == 0 {
        return shard.terminate(key, "timeout", effects);
    }
    shard.look_at(expires, Look::Dialog(key));
    shard.notify(key, effects);
}

/// SUBSCRIBE in the dialog: refreshed, or ended with `Expires: 0`; a NOTIFY follows in any case.
pub(super) fn on_refresh(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    let message = request.message;
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    else {
        return;
    };
    let event = message
        .header(Name::Event)
        .and_then(|event| Event::parse(event).ok());
    if !event.is_some_and(|event| event.is(subscription.subject.package())) {
        return shard.answer(request, 489, "", effects);
    }
    let granted_s = match simple::subscription_s(message.expires(), shard.settings.subscription_s) {
        Ok(granted_s) => granted_s,
        Err(least) => return too_brief(shard, request, least.as_secs(), effects),
    };
    let expires = shard.now.after(seconds(granted_s));
    if let Some(association) = shard.dialogs.get_mut(key) {
        association.dialog.refresh_target(message);
        if let Usage::Subscription(subscription) = &mut association.usage {
            subscription.granted_s = granted_s;
            subscription.expires = expires;
            // RFC 4575 §4.6: a refresh gets the full state.
            subscription.version = None;
        }
    }
    shard.answer_with(request, 200, "", effects, |mut draft| {
        draft.header("Expires", granted_s);
        dialog_contact(&mut draft, "", &request.link, false);
        draft.finish();
    });
    if granted_s == 0 {
        return shard.terminate(key, "timeout", effects);
    }
    shard.look_at(expires, Look::Dialog(key));
    shard.notify(key, effects);
}

/// A presentity's owner: the state, or that there is no such user.
pub(super) fn state(
    shard: &mut Shard,
    presentity: &Aor,
    version: u64,
    document: Option<Arc<[u8]>>,
    published: Option<Now>,
    effects: &mut Effects,
) {
    let keys: Vec<DialogKey> = match document {
        Some(document) => {
            let shown = Shown { version, document };
            shard
                .watching
                .put(presentity, shown)
                .iter()
                .map(|key| dialog_key(*key))
                .collect()
        }
        None => {
            let keys: Vec<_> = shard
                .watching
                .subscriptions(presentity)
                .iter()
                .map(|key| dialog_key(*key))
                .collect();
            for key in keys {
                refused(shard, key, &Outcome::with(404, "No Such User"), effects);
            }
            return;
        }
    };
    let any = !keys.is_empty();
    for key in keys {
        let waits = matches!(
            shard.dialogs.get(key).map(|association| &association.usage),
            Some(Usage::Subscription(subscription)) if subscription.waiting.is_some()
        );
        if waits {
            grant(shard, key, effects);
        } else {
            shard.notify(key, effects);
        }
    }
    if let (Some(since), true) = (published, any) {
        effects.list.push(Effect::Observe {
            latency: Latency::PublishToNotify,
            since,
        });
    }
}

/// A conference's owner: the roster.
pub(super) fn roster(
    shard: &mut Shard,
    session: SessionId,
    version: u32,
    full: Arc<[u8]>,
    partial: Arc<[u8]>,
    subscription: Option<LegRef>,
    effects: &mut Effects,
) {
    // Nobody here watches it any more, and its owner will hear so.
    let Some(roster) = shard.rosters.get_mut(&session) else {
        return;
    };
    if version >= roster.version {
        (roster.version, roster.full) = (version, full);
        roster.partial = partial;
    }
    if subscription.is_some() {
        roster.asking = roster.asking.saturating_sub(1);
    }
    match subscription.map(on_leg::key_of) {
        Some(key) if shard.dialogs.get(key).is_some() => {
            roster.subscriptions.push(key);
            grant(shard, key, effects);
        }
        Some(_) => {}
        None => {
            for key in roster.subscriptions.clone() {
                shard.notify(key, effects);
            }
        }
    }
    unwatch_empty(shard, session, effects);
}

/// The conference's owner: this subscription to its roster is refused.
pub(super) fn roster_refused(
    shard: &mut Shard,
    session: SessionId,
    key: DialogKey,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    if let Some(roster) = shard.rosters.get_mut(&session) {
        roster.asking = roster.asking.saturating_sub(1);
    }
    refused(shard, key, outcome, effects);
    unwatch_empty(shard, session, effects);
}

/// The conference is over (RFC 4575 §4.4): so are its subscriptions. Those that are still asked about will be refused.
pub(super) fn roster_ended(shard: &mut Shard, session: SessionId, effects: &mut Effects) {
    let Some(roster) = shard.rosters.get_mut(&session) else {
        return;
    };
    for key in core::mem::take(&mut roster.subscriptions) {
        shard.terminate(key, "noresource", effects);
    }
    unwatch_empty(shard, session, effects);
}

/// A user has left the conference with their last leg: only members see the roster.
pub(super) fn roster_lost(
    shard: &mut Shard,
    session: SessionId,
    user: &Aor,
    effects: &mut Effects,
) {
    let Some(roster) = shard.rosters.get(&session) else {
        return;
    };
    let theirs: Vec<DialogKey> = roster
        .subscriptions
        .iter()
        .copied()
        .filter(|key| {
            let connection = shard
                .dialogs
                .get(*key)
                .map(|association| association.connection);
            let connection = connection.and_then(|connection| shard.connections.get(connection));
            connection.is_some_and(|connection| connection.user.as_ref() == Some(user))
        })
        .collect();
    for key in theirs {
        shard.terminate(key, "rejected", effects);
    }
}

fn unwatch_empty(shard: &mut Shard, session: SessionId, effects: &mut Effects) {
    if shard
        .rosters
        .get(&session)
        .is_some_and(|roster| roster.subscriptions.is_empty() && roster.asking == 0)
    {
        shard.rosters.remove(&session);
        let letter = Letter::UnwatchRoster {
            session,
            shard: shard.me,
        };
        shard.post_session(session, letter, effects);
    }
}

/// The subject's owner refuses: a SUBSCRIBE that waits is answered so, a subscription that stands is ended.
pub(super) fn refused(shard: &mut Shard, key: DialogKey, outcome: &Outcome, effects: &mut Effects) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    match subscription.waiting.take() {
        Some(server) => {
            shard.settle(server, outcome, effects);
            forget(shard, key, effects);
        }
        None => shard.terminate(key, "noresource", effects),
    }
}

/// A NOTIFY was answered. What the watcher does not know or can't be reached for ends the subscription
/// (RFC 6665 §4.2.2); anything else is answered by the next state.
pub(super) fn notified(shard: &mut Shard, key: DialogKey, status: u16, effects: &mut Effects) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    subscription.outstanding = false;
    match status {
        200..=299 => {}
        404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604 => {
            return forget(shard, key, effects);
        }
        _ => {}
    }
    if subscription.stale {
        shard.notify(key, effects);
    }
}

/// Forgets a subscription without a word; its subject's owner learns when it was this shard's last.
pub(super) fn forget(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.drop_dialog(key)
    else {
        return;
    };
    match subscription.subject {
        Subject::Presence(presentity) => {
            if shard.watching.unwatch(&presentity, watch_key(key)) == Unwatched::TellOwner {
                let letter = Letter::Unwatch {
                    presentity: presentity.clone(),
                    shard: shard.me,
                };
                shard.post_owner(&presentity, letter, effects);
            }
        }
        Subject::Roster(session) => {
            if let Some(roster) = shard.rosters.get_mut(&session) {
                roster.subscriptions.retain(|other| *other != key);
            }
            unwatch_empty(shard, session, effects);
        }
        Subject::Refer { .. } => {}
    }
}

/// The wheel: a subscription that was not refreshed ends (RFC 6665 §4.2.3).
pub(super) fn look(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    else {
        return;
    };
    if subscription.expires > shard.now {
        let at = subscription.expires;
        return shard.look_at(at, Look::Dialog(key));
    }
    shard.terminate(key, "timeout", effects);
}
