//! `presence.winfo` (RFC 3857): who watches me. At the owner a list while somebody asks for it, on the shards that watch the
//! answer to the owner's question, and for each subscription to the list what it is told next.
//!
//! A change costs as much as there are watchers, for the whole list is packed and compared. So what changes is gathered until
//! the next tick: when thousands come within a second, that is ten changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::documents::winfo;
use crate::immcu::content::{Outcome, Party};
use crate::presence::{Package, Watchers};
use crate::shard::effect::Effects;
use crate::shard::letter::{Asked, Letter};
use crate::shard::usage::{Association, Subject, Told, Usage};
use crate::shard::{Shard, ShardId, UserKey, on_state, on_watch};
use crate::sip::dialog::DialogKey;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// Watchers on the lists that are told in one tick; further lists wait for the next. A longer list is told nevertheless.
const TICK_WATCHERS_MAX: usize = 10_000;

/// A subscription to the list asks. True where it has to wait: the first one, until each shard has said who watches there.
pub(super) fn waits(
    shard: &mut Shard,
    key: UserKey,
    user: &Aor,
    asked: &Asked,
    effects: &mut Effects,
) -> bool {
    let question = shard.newest_version.saturating_add(1).max(shard.now.0);
    let Some(presentity) = on_watch::presentity(shard, key) else {
        return false;
    };
    let mut shards = SmallVec::new();
    let watchers = presentity.watchers.get_or_insert_with(|| {
        let all = Package::STATES.map(|package| presentity.audience.all_shards(package));
        shards = all.concat().into();
        shards.sort_unstable();
        shards.dedup();
        Box::new(Watchers::asking(question, shards.clone()))
    });
    let waits = !watchers.is_complete();
    shard.newest_version = question;
    for to in shards {
        let user = user.clone();
        shard.post(ShardId(to), Letter::WhoWatches { user, question }, effects);
    }
    if waits {
        let waiting = shard.winfo_waits.entry(user.clone()).or_default();
        waiting.push(asked.clone());
    } else {
        // Who asks now gets what there is now.
        tell_news(shard, key, effects);
    }
    waits
}

/// A watching shard: who watches `user` here.
pub(super) fn who_watches(shard: &mut Shard, user: Aor, question: u64, effects: &mut Effects) {
    let mut all: BTreeMap<Aor, (u32, Now)> = BTreeMap::new();
    let subscriptions = Package::STATES.map(|package| shard.watching.subscriptions(package, &user));
    for key in subscriptions.concat() {
        let Some((watcher, since)) = on_state::watcher_of(shard, key) else {
            continue;
        };
        let (count, first) = all.entry(watcher).or_insert((0, since));
        *count += 1;
        *first = since.min(*first);
    }
    let watchers = all
        .into_iter()
        .map(|(watcher, (count, since))| (shard.party(&watcher), count, since))
        .collect();
    let owner = shard.route.owner(&user);
    let letter = Letter::WatchedBy {
        user,
        question,
        shard: shard.me,
        watchers,
    };
    shard.post(owner, letter, effects);
}

/// The owner: a shard has said who watches there. When it was the last one, who waits for the list gets it.
pub(super) fn watched_by(
    shard: &mut Shard,
    user: &Aor,
    question: u64,
    from: ShardId,
    watchers: &[(Party, u32, Now)],
    effects: &mut Effects,
) {
    let Some(key) = shard.by_aor.get(user).copied() else {
        return;
    };
    let Some(list) = list(shard, key) else {
        return;
    };
    if !list.answered(question, from.0) {
        return;
    }
    for (watcher, count, since) in watchers {
        if list.add(&watcher.aor, &watcher.display, *count, *since) {
            list.changed();
        }
    }
    if !list.is_complete() {
        return;
    }
    tell_news(shard, key, effects);
    for asked in shard.winfo_waits.remove(user).unwrap_or_default() {
        on_watch::watch(shard, Package::Watchers, user.clone(), asked, effects);
    }
}

/// The owner: a subscription to the user's presence was let in.
pub(super) fn came(shard: &mut Shard, key: UserKey, watcher: &Party) {
    let now = shard.now;
    if let Some(list) = list(shard, key)
        && list.add(&watcher.aor, &watcher.display, 1, now)
        && list.changed()
    {
        shard.winfo_news.push_back(key);
    }
}

/// The owner: one has given its place back.
pub(super) fn went(shard: &mut Shard, key: UserKey, watcher: &Aor, from: ShardId) {
    if let Some(list) = list(shard, key)
        && list.remove(watcher, from.0)
        && list.changed()
    {
        shard.winfo_news.push_back(key);
    }
}

/// A tick: the lists that have changed since the last one are told.
pub(super) fn tell(shard: &mut Shard, effects: &mut Effects) {
    let mut room = TICK_WATCHERS_MAX;
    while room > 0
        && let Some(key) = shard.winfo_news.pop_front()
    {
        let count = list(shard, key).map_or(0, |list| list.count());
        room = room.saturating_sub(count.max(1));
        tell_news(shard, key, effects);
    }
}

fn tell_news(shard: &mut Shard, key: UserKey, effects: &mut Effects) {
    if list(shard, key).is_some_and(Watchers::take_news) {
        on_watch::tell(shard, Package::Watchers, key, None, effects);
    }
}

/// The owner: nobody asks for the list any more, so it is kept no longer.
pub(super) fn forget_unasked(shard: &mut Shard, key: UserKey) {
    let Some(user) = shard.users.get_mut(key) else {
        return;
    };
    if let Some(presentity) = &mut user.presentity
        && !shard.winfo_waits.contains_key(&user.record.aor)
        && presentity
            .audience
            .levels(Package::Watchers)
            .next()
            .is_none()
    {
        presentity.watchers = None;
    }
}

/// The owner: the user is no more, and who waits for the list gets none.
pub(super) fn refuse_waiting(shard: &mut Shard, user: &Aor, effects: &mut Effects) {
    for asked in shard.winfo_waits.remove(user).unwrap_or_default() {
        let to = ShardId(asked.subscription.shard);
        let letter = Letter::WatchRefused {
            package: Package::Watchers,
            user: user.clone(),
            outcome: Outcome::with(404, "No Such User"),
            asked,
        };
        shard.post(to, letter, effects);
    }
}

fn list(shard: &mut Shard, key: UserKey) -> Option<&mut Watchers> {
    shard
        .users
        .get_mut(key)?
        .presentity
        .as_mut()?
        .watchers
        .as_deref_mut()
}

/// The list as it is told to shards that subscribe to it.
pub(super) fn render(shard: &Shard, key: UserKey) -> Option<Arc<[u8]>> {
    let presentity = shard.users.get(key)?.presentity.as_ref()?;
    Some(presentity.watchers.as_ref()?.packed().into())
}

/// What a subscription to the list is told now: the whole of it, or what is new since it was told last.
pub(super) fn body(shard: &mut Shard, key: DialogKey) -> Option<Vec<u8>> {
    let now = shard.now;
    let Association {
        usage: Usage::Subscription(subscription),
        ..
    } = shard.dialogs.get_mut(key)?
    else {
        return None;
    };
    let Subject::Watched(package, user) = &subscription.subject else {
        return None;
    };
    let watch_key = on_state::watch_key(key);
    let shown = shard.watching.shown(*package, user, watch_key)?;
    let told = subscription.told.get_or_insert_with(|| {
        Box::new(Told {
            version: 0,
            list: None,
        })
    });
    let mut out = Vec::with_capacity(512);
    winfo::write(
        &mut out,
        &user.uri(),
        told.version,
        told.list.as_deref(),
        &shown.document,
        now,
    );
    told.version = told.version.wrapping_add(1);
    told.list = Some(shown.document.clone());
    Some(out)
}
