//! SUBSCRIBE (RFC 6665): to something of a user, or to a conference's roster (RFC 4575). The subscription lives here, with
//! the watcher. What its subject's owner says comes in `on_state` and `on_roster_news`.

use core::time::Duration;

use crate::dialect::lync::own::Wanted;
use crate::dialect::lync::{self, Roaming, Telling};
use crate::dialect::{Dialect, simple};
use crate::documents::{conference_info, rlmi};
use crate::immcu::content::Outcome;
use crate::presence::{List, Package};
use crate::shard::change::{Change, NotKept};
use crate::shard::effect::Effects;
use crate::shard::lync as lync_scripts;
use crate::shard::on_kept::Keeping;
use crate::shard::on_register::seconds;
use crate::shard::request::{Request, Target};
use crate::shard::usage::{Association, Subject, Subscription, Usage};
use crate::shard::{Look, Shard, on_alert, on_list, on_refer, on_roster_news, on_state};
use crate::sip::armed::Armed;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::header::{Event, Name, accept_quality};
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// How long a watcher is left alone that has refused a NOTIFY and does not say for how long, in seconds; and the longest that
/// it may ask for.
const AGAIN_S: u32 = 10;
const AGAIN_S_MAX: u32 = 60;

pub(super) fn on_subscribe(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let Some(event) = message
        .header(Name::Event)
        .and_then(|event| Event::parse(event).ok())
    else {
        return shard.answer(request, 489, "", effects);
    };
    let dialect = shard.connections.dialect(request.connection);
    let roaming = match dialect {
        Dialect::Simple => None,
        Dialect::Lync => Roaming::of_event(event.package),
    };
    let roaming = match roaming {
        Some(Roaming::Own(_)) => {
            let Some(body) = shard.body(request, effects) else {
                return;
            };
            Some(Roaming::Own(Wanted::read(&body)))
        }
        other => other,
    };
    let (mut subject, media) = match subject_of(shard, request, event.package, roaming) {
        Ok(found) => found,
        Err((status, reason)) => return shard.answer(request, status, reason, effects),
    };
    if accept_quality(message.headers(Name::Accept), media) == Some(0) {
        return shard.answer(request, 406, "", effects);
    }
    let is_roster = matches!(subject, Subject::Roster(_));
    let granted_s = match granted_s(shard, request, is_roster) {
        Ok(granted_s) => granted_s,
        Err(least) => return too_brief(shard, request, least.as_secs(), effects),
    };
    let Ok(dialog) = Dialog::answering(message, "") else {
        return shard.answer(request, 400, "Missing or Bad Contact", effects);
    };
    let Some(connection) = shard.connections.get(request.connection) else {
        return;
    };
    let telling = match dialect {
        Dialect::Simple => Telling::default(),
        Dialect::Lync => Telling::of(message),
    };
    let Some(watcher) = connection.user.clone() else {
        return;
    };
    let Some(entries) = entries(shard, request, &mut subject, &watcher, effects) else {
        return;
    };
    let alert = event.params.raw("alert").is_some();
    if alert && !matches!(subject, Subject::Watched(Package::Presence, _)) {
        return shard.answer(
            request,
            403,
            "An Alert Is About One User's Presence",
            effects,
        );
    }
    if shard.edges(&watcher) + entries.edges() > shard.settings.subscriptions_max {
        let max = shard.settings.subscriptions_max;
        let reason = format!("At Most {max} Subscriptions A User");
        return shard.answer(request, 403, &reason, effects);
    }
    if !shard.has_room_for_dialog(request.connection) {
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
    // Linphonec/5.1.65, LinphoneAndroid/…, and so on; programs of others say whose library it is behind their own name.
    let is_linphones = message
        .header(Name::UserAgent)
        .is_some_and(|agent| agent.starts_with("Linphone") || agent.contains(" LinphoneSDK/"));
    let expires = shard.now.after(seconds(granted_s));
    let usage = Usage::Subscription(Subscription {
        subject,
        watcher: watcher.clone(),
        event_id: event.id.unwrap_or_default().into(),
        since: shard.now,
        expires,
        armed: Armed::default(),
        waiting: Some(server),
        granted_s,
        alert,
        telling,
        is_linphones,
        outstanding: false,
        stale: false,
        refusals: 0,
        version: None,
        told: None,
    });
    let Some(key) = shard.keep_dialog(request.connection, dialog, usage, None) else {
        return;
    };
    shard.edges_changed(&watcher, 0, 1);
    if let Some(roaming) = roaming {
        if granted_s > 0 {
            end_same(shard, request.connection, &watcher, roaming, effects);
        }
        if let Some(subscriber) = shard.subscribers.get_mut(&watcher) {
            subscriber.roaming.push(key);
        }
    }
    match entries {
        Entries::Batch(batch) => lync_scripts::on_batch::fill(shard, key, batch, effects),
        Entries::List(users, strangers) => {
            if let Some(subscriber) = shard.subscribers.get_mut(&watcher) {
                subscriber.lists.push(key);
            }
            on_list::fill(shard, key, users, strangers, effects);
            grant(shard, key, effects);
        }
        Entries::One => ask(shard, key, effects),
    }
}

/// What a SUBSCRIBE is for, and the type of what will be told of it.
///
/// # Errors
/// With the answer.
fn subject_of(
    shard: &Shard,
    request: Request<'_>,
    package: &str,
    roaming: Option<Roaming>,
) -> Result<(Subject, &'static str), (u16, &'static str)> {
    let lync = shard.connections.dialect(request.connection) == Dialect::Lync;
    let known = Package::of_event(package);
    if known.is_none() && package != "conference" && roaming.is_none() {
        return Err((489, ""));
    }
    let target = shard.target(request.message.uri(), &request.link);
    if let Some(refusal) = target.refusal() {
        return Err(refusal);
    }
    let own = |user: &Aor| match shard.is_user(request, user) {
        true => Ok(()),
        false => Err((403, "Only Your Own")),
    };
    Ok(match (package, target) {
        (_, Target::User(user)) if let Some(roaming) = roaming => {
            // All of it is the subscriber's own ([MS-PRES] §3.5.5).
            own(&user)?;
            (Subject::Roaming(roaming), roaming.content_type())
        }
        ("presence", Target::User(user)) if lync && lync_scripts::on_batch::is_batch(request) => {
            // Its own user is who the list belongs to, not whom it watches ([MS-PRES] §3.5.5.6).
            own(&user)?;
            let list = List::new(Package::Categories, false);
            (Subject::List(Box::new(list)), rlmi::MULTIPART)
        }
        ("presence", Target::User(user)) if lync && wants_categories(request) => {
            let package = Package::Categories;
            (Subject::Watched(package, user), package.content_type())
        }
        ("presence", Target::Contacts) => {
            let list = List::new(Package::Presence, true);
            (Subject::List(Box::new(list)), rlmi::MULTIPART)
        }
        ("conference", Target::Session(session) | Target::Focus(session)) => {
            (Subject::Roster(session), conference_info::CONTENT_TYPE)
        }
        (_, Target::User(user)) if let Some(package) = known => {
            // One text of the address for all who watch.
            let user = shard.watching.shared(package, &user).unwrap_or(user);
            (Subject::Watched(package, user), package.content_type())
        }
        _ => return Err((404, "Nothing To Watch There")),
    })
}

/// Whom a SUBSCRIBE names in its body.
enum Entries {
    /// It is for no list.
    One,
    /// Users of ours, and who else is on it.
    List(Vec<Aor>, Vec<Box<str>>),
    /// As Lync's clients say it.
    Batch(lync_scripts::on_batch::Wanted),
}

impl Entries {
    /// How many of `subscriptions_max` it takes.
    fn edges(&self) -> usize {
        let edges = match self {
            Entries::One => 1,
            Entries::List(users, strangers) => users.len() + strangers.len(),
            Entries::Batch(batch) => batch.len(),
        };
        edges.max(1)
    }
}

/// Reads whom a list is to have; the list becomes the kind that is asked for. `None`: the request has been answered.
fn entries(
    shard: &mut Shard,
    request: Request<'_>,
    subject: &mut Subject,
    watcher: &Aor,
    effects: &mut Effects,
) -> Option<Entries> {
    let Subject::List(list) = subject else {
        return Some(Entries::One);
    };
    let body = shard.body(request, effects)?;
    if list.package() == Package::Categories {
        return match lync_scripts::on_batch::wanted(shard, request, &body) {
            Ok(batch) => Some(Entries::Batch(batch)),
            Err((status, reason)) => {
                shard.answer(request, status, reason, effects);
                None
            }
        };
    }
    match on_list::wanted(shard, request, &body, watcher) {
        Ok((kind, users, strangers)) => {
            **list = kind;
            Some(Entries::List(users, strangers))
        }
        Err(refusal) => {
            on_list::refuse(shard, request, refusal, effects);
            None
        }
    }
}

/// Asks the owner of what is watched for its state; what is the subscriber's own is here.
fn ask(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    else {
        return;
    };
    match &subscription.subject {
        Subject::Watched(package, user) => {
            let (package, user) = (*package, user.clone());
            on_state::ask(shard, package, user, key, effects);
        }
        Subject::Roster(session) => {
            let (session, watcher) = (*session, subscription.watcher.clone());
            on_roster_news::subscribe(shard, session, watcher, key, effects);
        }
        Subject::Roaming(_) => grant(shard, key, effects),
        Subject::List(_) | Subject::Refer { .. } => {}
    }
}

/// A client has one subscription to each part of its user's own data; a new one is in the place of the one before, of which it
/// hears no more. Each would be told all of it at once.
fn end_same(
    shard: &mut Shard,
    connection: ConnectionId,
    user: &Aor,
    roaming: Roaming,
    effects: &mut Effects,
) {
    let subscriber = shard.subscribers.get(user);
    let keys = subscriber.map_or_else(Vec::new, |subscriber| subscriber.roaming.clone());
    for key in keys {
        let same = matches!(
            shard.dialogs.get(key),
            Some(Association {
                connection: there,
                usage: Usage::Subscription(Subscription {
                    subject: Subject::Roaming(other),
                    ..
                }),
                ..
            }) if *there == connection && other.event() == roaming.event()
        );
        if same {
            forget(shard, key, effects);
        }
    }
}

/// Does a Lync client take categories of one user?
fn wants_categories(request: Request<'_>) -> bool {
    let accepts = request.message.headers(Name::Accept);
    accept_quality(accepts, Package::Categories.content_type()).is_some_and(|quality| quality > 0)
}

/// For how long a SUBSCRIBE is granted, in seconds.
fn granted_s(shard: &Shard, request: Request<'_>, is_roster: bool) -> Result<u32, Duration> {
    let (asked, bounds) = (request.message.expires(), shard.settings.subscription_s);
    match shard.connections.dialect(request.connection) {
        Dialect::Simple => simple::subscription_s(asked, bounds),
        Dialect::Lync if is_roster => {
            Ok(asked.map_or(lync::ROSTER_S, |asked| asked.min(lync::ROSTER_S)))
        }
        Dialect::Lync => Ok(lync::subscription_s(asked)),
    }
}

fn too_brief(shard: &mut Shard, request: Request<'_>, least_s: u64, effects: &mut Effects) {
    shard.answer_with(request, 423, "", effects, |mut draft| {
        draft.header("Min-Expires", least_s);
        draft.finish();
    });
}

/// The subject is there: 200, and the state at once (RFC 6665 §4.2.1.2). A poll ends with its first NOTIFY. Where the answer is to
/// carry the state and there is no room for that, the state follows it.
pub(super) fn grant(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
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
    let (tag, scheme, granted_s, expires) = (
        dialog.local_tag().to_owned(),
        dialog.scheme(),
        subscription.granted_s,
        subscription.expires,
    );
    let is_list = matches!(subscription.subject, Subject::List(_));
    let piggyback = subscription.telling.piggyback;
    let Some(link) = shard.connections.link(*connection) else {
        return;
    };
    let piggyback = piggyback && has_room(shard, key);
    if piggyback {
        let first = shard.first_state(key, granted_s);
        shard.settle_with(server, 200, "", Some(&tag), effects, |mut draft| {
            draft.contact(scheme, "", &link, false);
            first.write(draft);
        });
        return told(shard, key, granted_s, effects);
    }
    shard.settle_with(server, 200, "", Some(&tag), effects, |mut draft| {
        draft.header("Expires", granted_s);
        if is_list {
            draft.header("Require", "eventlist");
        }
        draft.contact(scheme, "", &link, false);
        draft.finish();
    });
    if granted_s > 0 {
        arm(shard, key, expires);
    }
    if is_list {
        on_list::granted(shard, key, effects);
    } else if granted_s == 0 {
        shard.expire(key, effects);
    } else {
        shard.notify(key, effects);
    }
}

/// May the answer to a SUBSCRIBE carry the state? A batch's bounds itself, and can't come without one.
fn has_room(shard: &Shard, key: DialogKey) -> bool {
    let Some(Association {
        connection,
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    else {
        return false;
    };
    let is_batch = match &subscription.subject {
        Subject::List(list) => list.package() == Package::Categories,
        _ => false,
    };
    is_batch || shard.connections.room(*connection, shard.now) > 0
}

/// The first state went with the answer: a poll is over, a subscription goes on.
fn told(shard: &mut Shard, key: DialogKey, granted_s: u32, effects: &mut Effects) {
    if granted_s == 0 {
        return forget(shard, key, effects);
    }
    if let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    {
        let (at, stale) = (subscription.expires, subscription.stale);
        arm(shard, key, at);
        if stale {
            shard.notify(key, effects);
        }
    }
}

/// The wheel looks at a subscription then, or sooner.
pub(super) fn arm(shard: &mut Shard, key: DialogKey, at: Now) {
    let now = shard.now;
    if let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
        && let Some(at) = subscription.armed.arm(now, at)
    {
        shard.look_at(at, Look::Dialog(key));
    }
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
    let is_roster = matches!(subscription.subject, Subject::Roster(_));
    let granted_s = match granted_s(shard, request, is_roster) {
        Ok(granted_s) => granted_s,
        Err(least) => return too_brief(shard, request, least.as_secs(), effects),
    };
    let expires = shard.now.after(seconds(granted_s));
    if let Subject::List(list) = &subscription.subject
        && list.package() == Package::Categories
    {
        return lync_scripts::on_batch::on_refresh(shard, request, key, granted_s, effects);
    }
    let leg = match subscription.subject {
        Subject::Refer { parent, .. } => parent,
        _ => None,
    };
    let is_list = matches!(subscription.subject, Subject::List(_));
    if is_list && !on_list::on_refresh(shard, request, key, effects) {
        return;
    }
    if granted_s == 0 && take_alert_back(shard, request, key, effects) {
        return;
    }
    if let Some(leg) = leg.and_then(|leg| shard.dialogs.get_mut(leg)) {
        leg.dialog.refresh_target(message);
    }
    if let Some(association) = shard.dialogs.get_mut(key) {
        association.dialog.refresh_target(message);
        if let Usage::Subscription(subscription) = &mut association.usage {
            subscription.granted_s = granted_s;
            subscription.expires = expires;
            // RFC 4575 §4.6, RFC 3857 §4.6: a refresh gets the full state.
            subscription.begin_anew();
            subscription.refusals = 0;
        }
    }
    let place = on_refer::place(shard, leg.or(Some(key)));
    if Telling::of(message).piggyback
        && shard.connections.dialect(request.connection) == Dialect::Lync
        && has_room(shard, key)
    {
        let first = shard.first_state(key, granted_s);
        shard.answer_with(request, 200, "", effects, |mut draft| {
            draft.contact(place.scheme, &place.user, &request.link, place.focus);
            first.write(draft);
        });
        return told(shard, key, granted_s, effects);
    }
    shard.answer_with(request, 200, "", effects, |mut draft| {
        draft.header("Expires", granted_s);
        if is_list {
            draft.header("Require", "eventlist");
        }
        draft.contact(place.scheme, &place.user, &request.link, place.focus);
        draft.finish();
    });
    if granted_s == 0 {
        return shard.expire(key, effects);
    }
    arm(shard, key, expires);
    shard.notify(key, effects);
}

/// The subscription's client ends it, and with it takes back the alert that it has set, where that is not told yet. It hears that
/// when it is kept. False where there is none.
fn take_alert_back(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) -> bool {
    let Some((user, whom)) = watcher_and_watched(shard, key) else {
        return false;
    };
    if !on_alert::is_set_by(shard, key, &user, &whom) {
        return false;
    }
    let Some(server) = shard.open(request) else {
        return true;
    };
    if let Some(association) = shard.dialogs.get_mut(key) {
        association.dialog.refresh_target(request.message);
    }
    let change = Change::AlertRemoved { user, whom };
    shard.keep(change, Keeping::AlertTakenBack(server, key), effects);
    true
}

/// The store has taken the alert out; or it could not, and then the subscription is what it was, and can be ended again.
pub(super) fn alert_taken_back(
    shard: &mut Shard,
    server: ServerKey,
    key: DialogKey,
    outcome: Result<(), NotKept>,
    effects: &mut Effects,
) {
    if let Err(not_kept) = outcome {
        return shard.settle(server, &not_kept.outcome(), effects);
    }
    let contact = shard.dialogs.get(key).and_then(|association| {
        let link = shard.connections.link(association.connection)?;
        Some((association.dialog.scheme(), link))
    });
    shard.settle_with(server, 200, "", None, effects, |mut draft| {
        draft.header("Expires", 0);
        // Where the subscription has ended by itself meanwhile, there is nothing more to say of it.
        if let Some((scheme, link)) = contact {
            draft.contact(scheme, "", &link, false);
        }
        draft.finish();
    });
    let now = shard.now;
    if let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    {
        (subscription.granted_s, subscription.expires) = (0, now);
        shard.expire(key, effects);
    }
}

/// Who watches by this subscription, and whom, where that is one user.
pub(super) fn watcher_and_watched(shard: &Shard, key: DialogKey) -> Option<(Aor, Aor)> {
    match &shard.dialogs.get(key)?.usage {
        Usage::Subscription(Subscription {
            subject: Subject::Watched(_, whom),
            watcher,
            ..
        }) => Some((watcher.clone(), whom.clone())),
        _ => None,
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

/// A NOTIFY was answered. What the watcher does not know or can't be reached for ends the subscription (RFC 6665 §4.2.2).
/// Anything else it has refused for now.
pub(super) fn notified(
    shard: &mut Shard,
    key: DialogKey,
    status: u16,
    retry_after_s: Option<u32>,
    effects: &mut Effects,
) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    subscription.outstanding = false;
    match status {
        200..=299 => {
            subscription.refusals = 0;
            if subscription.stale {
                shard.notify(key, effects);
            }
        }
        404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604 => forget(shard, key, effects),
        _ => not_taken(shard, key, retry_after_s),
    }
}

/// The watcher goes on with the subscription and has not taken what there is. It hears all of it in a while, and at once when
/// something changes: a part would be of what it does not have.
fn not_taken(shard: &mut Shard, key: DialogKey, retry_after_s: Option<u32>) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    subscription.refusals = subscription.refusals.saturating_add(1);
    subscription.begin_anew();
    let goes_on = subscription.is_told_again();
    on_list::lost(shard, key);
    if goes_on {
        let wait_s = retry_after_s.unwrap_or(AGAIN_S).clamp(1, AGAIN_S_MAX);
        let at = shard.now.after(seconds(wait_s));
        arm(shard, key, at);
    }
}

/// Forgets a subscription without a word; its subject's owner learns of it.
pub(super) fn forget(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.drop_dialog(key)
    else {
        return;
    };
    let watcher = &subscription.watcher;
    shard.edges_changed(watcher, subscription.subject.edges(), 0);
    if let Some(subscriber) = shard.subscribers.get_mut(watcher) {
        subscriber.lists.retain(|other| *other != key);
        subscriber.roaming.retain(|other| *other != key);
    }
    match subscription.subject {
        Subject::List(list) => on_list::ended(shard, &list, watcher, key, effects),
        Subject::Watched(package, user) => {
            on_state::unwatch(shard, package, user, subscription.watcher, key, effects);
        }
        Subject::Roster(session) => on_roster_news::unsubscribe(shard, session, key, effects),
        Subject::Roaming(_) | Subject::Refer { .. } => {}
    }
}

/// The wheel: a subscription that was not refreshed ends (RFC 6665 §4.2.3). One whose watcher had refused is told again.
pub(super) fn look(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let now = shard.now;
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    if !subscription.armed.is_due(now) {
        return;
    }
    if subscription.expires > now {
        let (at, again) = (subscription.expires, subscription.is_told_again());
        arm(shard, key, at);
        if again {
            shard.notify(key, effects);
        }
        return on_list::look(shard, key, effects);
    }
    // A request for less time than the owners of a list take is answered all the same.
    grant(shard, key, effects);
    shard.expire(key, effects);
}
