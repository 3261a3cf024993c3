//! SUBSCRIBE to many users at once in Lync's way ([MS-PRES] §3.5.5.6): one subscription that grows with each request, whose
//! answer has a part for everybody whom the request names; later each change is told by itself, in a document that all share.

use core::time::Duration;
use std::sync::Arc;

use crate::dialect::lync::{Telling, batch, categories};
use crate::documents::xml::Fault;
use crate::immcu::content::Party;
use crate::presence::{CONTACTS_MAX, List, Package};
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::on_register::seconds;
use crate::shard::request::{Request, Target};
use crate::shard::usage::{Association, Subject, Subscription, Usage};
use crate::shard::{Shard, on_fanout, on_state, on_subscribe};
use crate::sip::dialog::DialogKey;
use crate::sip::uri::{Aor, Scheme};

/// How long an answer waits for the owners of all whom its request names. Those who have not answered look offline in it.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Notifications without an answer that are written at once, where a turn has room for them; then others have their turn.
const AT_ONCE_MAX: usize = 32;

/// How long after somebody was nobody they are asked about again: they may be added to the store, and no client asks for that.
const AGAIN: Duration = Duration::from_secs(300);

/// What a request asks for.
#[derive(Debug, Default)]
pub(in crate::shard) struct Wanted {
    users: Vec<Aor>,
    /// Those among them who are to learn that they were added.
    introduced: Vec<Aor>,
    strangers: Vec<Box<str>>,
    removed: Vec<Aor>,
}

impl Wanted {
    /// How many it names.
    pub fn len(&self) -> usize {
        self.users.len()
    }
}

/// Does this request name many users?
pub(in crate::shard) fn is_batch(request: Request<'_>) -> bool {
    let content_type = request.message.content_type();
    content_type.is_some_and(|media| media.is(batch::CONTENT_TYPE))
}

/// Reads whom a request wants.
///
/// # Errors
/// With the answer.
pub(in crate::shard) fn wanted(
    shard: &Shard,
    request: Request<'_>,
    body: &[u8],
) -> Result<Wanted, (u16, &'static str)> {
    if body.is_empty() {
        return Ok(Wanted::default());
    }
    if !is_batch(request) {
        return Err((415, ""));
    }
    let read = batch::read(body, CONTACTS_MAX).map_err(|fault| match fault {
        Fault::TooManyEntries => (403, "At Most 1000 Users In A Request"),
        other => (other.status(), other.reason()),
    })?;
    let mut wanted = Wanted::default();
    for (uri, introduces) in read.added {
        match shard.target(&uri, &request.link) {
            Target::User(user) => {
                if introduces {
                    wanted.introduced.push(user.clone());
                }
                wanted.users.push(user);
            }
            _ => wanted.strangers.push(uri),
        }
    }
    for uri in read.removed {
        if let Target::User(user) = shard.target(&uri, &request.link) {
            wanted.removed.push(user);
        }
    }
    Ok(wanted)
}

fn list_mut(shard: &mut Shard, key: DialogKey) -> Option<(&mut List, &Aor)> {
    match &mut shard.dialogs.get_mut(key)?.usage {
        Usage::Subscription(Subscription {
            subject: Subject::List(list),
            watcher,
            ..
        }) => Some((list, watcher)),
        _ => None,
    }
}

/// Puts whom a request names on the list. Its answer comes when their owners have answered.
pub(in crate::shard) fn fill(
    shard: &mut Shard,
    key: DialogKey,
    wanted: Wanted,
    effects: &mut Effects,
) {
    let Some((list, watcher)) = list_mut(shard, key) else {
        return;
    };
    let watcher = watcher.clone();
    let before = list.edges();
    let removed = list.remove(&wanted.removed);
    let added = list.add(wanted.users, wanted.strangers);
    let after = list.edges();
    shard.edges_changed(&watcher, before, after);
    for user in removed {
        let watcher = watcher.clone();
        on_state::unwatch(shard, Package::Categories, user, watcher, key, effects);
    }
    for user in added {
        on_state::ask(shard, Package::Categories, user, key, effects);
    }
    if !wanted.introduced.is_empty() {
        let by = shard.party(&watcher);
        for user in wanted.introduced {
            introduce(shard, user, by.clone(), effects);
        }
    }
    tell(shard, key, effects);
}

fn introduce(shard: &mut Shard, user: Aor, by: Party, effects: &mut Effects) {
    if user != by.aor {
        let owner = shard.route.owner(&user);
        shard.post(owner, Letter::Added { user, by }, effects);
    }
}

/// A request in the dialog: it adds to the list, or ends the subscription.
pub(in crate::shard) fn on_refresh(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    granted_s: u32,
    effects: &mut Effects,
) {
    // A request before it that still waits is answered with what there is.
    on_subscribe::grant(shard, key, effects);
    if shard.dialogs.get(key).is_none() {
        // And that was all it was for.
        return shard.answer(request, 481, "", effects);
    }
    let scheme = shard
        .dialogs
        .get(key)
        .map_or(Scheme::Sip, |association| association.dialog.scheme());
    if granted_s == 0 && !Telling::of(request.message).piggyback {
        shard.answer_with(request, 200, "", effects, |mut draft| {
            draft.header("Expires", 0);
            draft.contact(scheme, "", &request.link, false);
            draft.finish();
        });
        return shard.terminate(key, "timeout", effects);
    }
    if granted_s == 0 {
        let first = shard.first_state(key, 0);
        shard.answer_with(request, 200, "", effects, |mut draft| {
            draft.contact(scheme, "", &request.link, false);
            first.write(draft);
        });
        return on_subscribe::forget(shard, key, effects);
    }
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let mut wanted = match wanted(shard, request, &body) {
        Ok(wanted) => wanted,
        Err((status, reason)) => return shard.answer(request, status, reason, effects),
    };
    let Some((list, watcher)) = list_mut(shard, key) else {
        return;
    };
    if request.message.body().is_empty() {
        // Who names nobody wants to go on with all.
        wanted.users = list.users().cloned().collect();
    }
    let new = wanted.users.iter().filter(|user| !list.contains(user));
    let (new, watcher) = (new.count(), watcher.clone());
    let max = shard.settings.subscriptions_max;
    if shard.edges(&watcher) + new > max {
        let reason = format!("At Most {max} Subscriptions A User");
        return shard.answer(request, 403, &reason, effects);
    }
    let Some(server) = shard.open(request) else {
        return;
    };
    let expires = shard.now.after(seconds(granted_s));
    if let Some(association) = shard.dialogs.get_mut(key) {
        association.dialog.refresh_target(request.message);
        if let Usage::Subscription(subscription) = &mut association.usage {
            subscription.waiting = Some(server);
            subscription.granted_s = granted_s;
            subscription.expires = expires;
        }
    }
    fill(shard, key, wanted, effects);
}

/// Somebody on the list is nobody: the wheel looks at it later.
pub(in crate::shard) fn ask_again(shard: &mut Shard, key: DialogKey) {
    let at = shard.now.after(AGAIN);
    on_subscribe::arm(shard, key, at);
}

/// The wheel: an answer has waited long enough, or who is nobody may be somebody by now.
pub(in crate::shard) fn look(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let again = list_mut(shard, key).map(|(list, _)| list.doubt());
    for user in again.unwrap_or_default() {
        on_state::ask(shard, Package::Categories, user, key, effects);
    }
    tell(shard, key, effects);
}

/// Tells what is new; first of all the answer to a request, if it is time. If it is not, the wheel looks when it will be.
pub(in crate::shard) fn tell(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    else {
        return;
    };
    let Subject::List(list) = &subscription.subject else {
        return;
    };
    let Some(server) = subscription.waiting else {
        return notify(shard, key, effects);
    };
    let came = shard.servers.get(server).map(|request| request.received);
    let until = came.map(|came| came.after(ANSWER_WAIT));
    match until.filter(|until| *until > shard.now && !list.is_answered()) {
        Some(until) => on_subscribe::arm(shard, key, until),
        None => {
            on_subscribe::grant(shard, key, effects);
            notify(shard, key, effects);
        }
    }
}

/// One notification for everybody of whom there is news: as many as may be under way, and as there is room for in this turn.
pub(in crate::shard) fn notify(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(Association {
        connection,
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    let Subject::List(list) = &mut subscription.subject else {
        return;
    };
    if subscription.waiting.is_some() {
        return;
    }
    if subscription.expires <= shard.now {
        return shard.expire(key, effects);
    }
    if !list.has_news() {
        subscription.stale = false;
        return;
    }
    let connection = *connection;
    let room = shard.connections.room(connection, shard.now);
    subscription.stale = subscription.outstanding || room == 0;
    if subscription.stale {
        if !subscription.outstanding {
            on_fanout::later(shard, connection, effects);
        }
        return;
    }
    let benotify = subscription.telling.benotify;
    let at_once = match benotify {
        true => AT_ONCE_MAX,
        false => 1,
    };
    let mut kept_back = Vec::new();
    for (user, watched) in list.take_news(at_once) {
        let document = document(shard, key, &user, watched);
        if !shard.notify_of(key, categories::CONTENT_TYPE, &document, effects) {
            kept_back.push(user);
        }
    }
    let Some(Association {
        usage:
            Usage::Subscription(Subscription {
                subject: Subject::List(list),
                stale,
                ..
            }),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    for user in kept_back {
        list.changed(&user);
    }
    *stale = list.has_news();
    // No answer to one of them brings the others along.
    if *stale && benotify {
        on_fanout::later(shard, connection, effects);
    }
}

/// What is seen of one on the list.
fn document(shard: &Shard, key: DialogKey, user: &Aor, watched: bool) -> Arc<[u8]> {
    let watch_key = on_state::watch_key(key);
    let shown = shard.watching.shown(Package::Categories, user, watch_key);
    match shown.filter(|_| watched) {
        Some(shown) => shown.document.clone(),
        None => made(categories::nobody, &user.uri()),
    }
}

/// A document that says nothing of anybody's own.
fn made(write: fn(&mut Vec<u8>, &str), uri: &str) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(512);
    write(&mut out, uri);
    out.into()
}

/// Takes the room of a document, where there is so much.
fn fits(room: &mut usize, document: &[u8]) -> bool {
    let left = room.checked_sub(document.len());
    *room = left.unwrap_or(*room);
    left.is_some()
}

/// The body of the answer to a request, with its type: a part for each whom it names, also for whom there is no room in this
/// turn: a client renews its subscription to those alone who have one. They are told of by themselves. `None` where it names nobody.
pub(in crate::shard) fn body(shard: &mut Shard, key: DialogKey) -> Option<(String, Vec<u8>)> {
    let Association {
        connection,
        dialog,
        usage: Usage::Subscription(subscription),
        ..
    } = shard.dialogs.get_mut(key)?
    else {
        return None;
    };
    let Subject::List(list) = &mut subscription.subject else {
        return None;
    };
    let named = list.answered();
    let strangers = list.take_strangers();
    let (uri, boundary) = (
        subscription.watcher.uri(),
        format!("muster-{}", dialog.local_tag()),
    );
    let mut room = shard.connections.room(*connection, shard.now);
    let mut parts: Vec<(String, Arc<[u8]>)> = Vec::with_capacity(named.len() + strangers.len());
    let mut kept_back = Vec::new();
    for (user, watched) in named {
        let uri = user.uri().to_lowercase();
        let document = document(shard, key, &user, watched);
        let fits = fits(&mut room, &document);
        if !fits {
            kept_back.push(user);
        }
        let document = match fits {
            true => document,
            false => made(categories::nothing, &uri),
        };
        parts.push((uri, document));
    }
    for stranger in strangers {
        let document = made(categories::nobody, &stranger);
        let document = match fits(&mut room, &document) {
            true => document,
            false => made(categories::nothing, &stranger),
        };
        parts.push((stranger.to_lowercase(), document));
    }
    if let Some(Association {
        usage:
            Usage::Subscription(Subscription {
                subject: Subject::List(list),
                stale,
                ..
            }),
        ..
    }) = shard.dialogs.get_mut(key)
        && !kept_back.is_empty()
    {
        for user in kept_back {
            list.changed(&user);
        }
        *stale = true;
    }
    if parts.is_empty() {
        return None;
    }
    let parts = parts.iter().map(|(uri, part)| (uri.as_str(), &**part));
    Some(batch::write(&uri, &boundary, parts))
}
