//! Who watches what of a user, at the user's owner: who may, at which level, and one letter a level and shard on change.
//!
//! The subscriptions live with the watchers (`on_state` is the other side); here they are counted. A document is rendered
//! once for each level that is watched, and a level that sees no difference is told nothing.

use crate::immcu::content::Outcome;
use crate::presence::{Access, Audience, Contacts, Level, Package, Presentity, Shown};
use crate::shard::effect::Effects;
use crate::shard::letter::{Asked, Letter};
use crate::shard::standing::Standing;
use crate::shard::{
    Shard, ShardId, User, UserKey, lync, on_blocked, on_lines, on_list, on_publish, on_register,
    on_waiting, on_winfo,
};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

use std::sync::Arc;

/// A subscription asks: it gets its level, the state as it is, and each change from now on.
pub(super) fn watch(
    shard: &mut Shard,
    package: Package,
    user: Aor,
    asked: Asked,
    effects: &mut Effects,
) {
    let to = ShardId(asked.subscription.shard);
    let found = shard
        .by_aor
        .get(&user)
        .copied()
        .ok_or_else(|| Outcome::with(404, "No Such User"))
        .and_then(|key| Ok((key, admit(shard, package, key, &asked.watcher.aor)?)));
    if let Ok((key, _)) = found
        && package == Package::Watchers
        && on_winfo::waits(shard, key, &user, &asked, effects)
    {
        return;
    }
    let (key, level) = match found {
        Ok(found) => found,
        Err(outcome) => {
            let letter = Letter::WatchRefused {
                package,
                user,
                asked,
                outcome,
            };
            return shard.post(to, letter, effects);
        }
    };
    let Some(presentity) = presentity(shard, key) else {
        return;
    };
    presentity.audience.add(package, level, to.0);
    let known = presentity.audience.shown(package, level).cloned();
    let Some(shown) = known.or_else(|| show(shard, package, key, level)) else {
        return;
    };
    // The watchers' shards keep this text and not their own: it is there once, and a later letter's is the same.
    let own = shard.users.get(key).map(|user| user.record.aor.clone());
    let user = own.unwrap_or(user);
    let watcher = Package::STATES
        .contains(&package)
        .then(|| asked.watcher.clone());
    let letter = Letter::State {
        package,
        user,
        level,
        shown,
        published: None,
        answers: Some(asked),
    };
    shard.post(to, letter, effects);
    if let Some(watcher) = watcher {
        on_winfo::came(shard, key, &watcher);
    }
}

/// Who may watch, and as whom. A refusal says no more than everybody may know.
fn admit(shard: &Shard, package: Package, key: UserKey, watcher: &Aor) -> Result<Level, Outcome> {
    match package {
        Package::Presence | Package::Categories | Package::Dialog => {
            Ok(level_of(shard, key, watcher))
        }
        Package::Watchers => match level_of(shard, key, watcher) {
            Level::Own => Ok(Level::Own),
            _ => Err(Outcome::with(403, "Only Your Own Watchers")),
        },
        Package::MessageSummary => match level_of(shard, key, watcher) {
            Level::Own => Ok(Level::Own),
            _ => Err(Outcome::with(403, "Only Your Own Messages")),
        },
    }
}

/// In which relationship `watcher` stands to the user: by the user's own rules, or the defaults where they have none.
pub(super) fn level_of(shard: &Shard, key: UserKey, watcher: &Aor) -> Level {
    let Some(user) = shard.users.get(key) else {
        return Level::Blocked;
    };
    let (owner, home) = (&user.record.aor, &shard.settings.auth.domains);
    match &user.record.standing {
        Some(standing) => {
            let contacts = &standing.contacts;
            standing.access.level_of(watcher, owner, home, contacts)
        }
        None => Access::default().level_of(watcher, owner, home, &Contacts::default()),
    }
}

/// The store has put other standing data in the place of `before`: who sees what is asked anew where that may have
/// changed, and each level is told what it now sees.
pub(super) fn standing_changed(
    shard: &mut Shard,
    key: UserKey,
    before: Option<&Standing>,
    effects: &mut Effects,
) {
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let none = Standing::default();
    let before = before.unwrap_or(&none);
    let after = user.record.standing.as_deref().unwrap_or(&none);
    // Whom one has as a contact matters to others only while contacts alone may see.
    let asks = before.access != after.access
        || (after.access.privacy && before.contacts != after.contacts);
    let added = (before.subscribers != after.subscribers).then(|| user.record.aor.clone());
    let lists = (before.contacts != after.contacts).then(|| user.record.aor.clone());
    if asks {
        relevel(shard, key, effects);
        on_blocked::part(shard, key, effects);
    }
    if let Some(user) = added {
        lync::on_pending::changed(shard, &user, effects);
    }
    if let Some(user) = lists {
        on_list::contacts_changed(shard, &user, effects);
        lync::on_contacts::changed(shard, key, &user, &before.contacts, effects);
    }
    lync::on_own::standing_changed(shard, key, before, effects);
    let publishes = |user: &User| shard.publishing.contains_key(&user.record.aor);
    if !shard.users.get(key).is_some_and(publishes) {
        tell(shard, Package::Presence, key, None, effects);
    }
    tell(shard, Package::MessageSummary, key, None, effects);
}

/// What the watchers of `level` see of a package.
fn render(shard: &Shard, package: Package, key: UserKey, level: Level) -> Option<Arc<[u8]>> {
    match package {
        Package::Presence => on_publish::render(shard, key, level),
        Package::Categories => on_publish::render_categories(shard, key, level),
        Package::Watchers => on_winfo::render(shard, key),
        Package::Dialog => on_lines::render(shard, key, level),
        Package::MessageSummary => on_waiting::render(shard, key),
    }
}

/// Renders what `level` sees and keeps it, if it is other than what was told there last: then it is returned.
fn show(shard: &mut Shard, package: Package, key: UserKey, level: Level) -> Option<Shown> {
    let document = render(shard, package, key, level)?;
    let version = shard.now.0.max(shard.newest_version.saturating_add(1));
    let audience = &mut shard.users.get_mut(key)?.presentity.as_mut()?.audience;
    let known = audience.shown(package, level);
    if known.is_some_and(|known| known.document == document) {
        return None;
    }
    let shown = Shown { version, document };
    audience.show(package, level, shown.clone());
    shard.newest_version = version;
    Some(shown)
}

/// The presentity of a user, made where there is none: somebody watches, or there is something to say.
pub(super) fn presentity(shard: &mut Shard, key: UserKey) -> Option<&mut Presentity> {
    let (now, born) = (shard.now, shard.born());
    let user = shard.users.get_mut(key)?;
    let any = !user.bindings.is_empty();
    let standing = user.record.standing.as_deref();
    let choice = standing.and_then(|standing| standing.choice.as_ref());
    Some(user.presentity.get_or_insert_with(|| {
        let mut presentity = Box::new(Presentity::new(born, choice));
        presentity.registered(now, any);
        presentity
    }))
}

/// One place less.
pub(super) fn unwatch(
    shard: &mut Shard,
    package: Package,
    user: &Aor,
    watcher: &Aor,
    level: Level,
    watching: ShardId,
) {
    let Some(key) = shard.by_aor.get(user).copied() else {
        if let Some(audience) = shard.left_behind.get_mut(user) {
            audience.remove(package, level, watching.0);
            if audience.is_empty() {
                shard.left_behind.remove(user);
            }
        }
        return;
    };
    if let Some(presentity) = shard
        .users
        .get_mut(key)
        .and_then(|user| user.presentity.as_mut())
    {
        presentity.audience.remove(package, level, watching.0);
    }
    match package {
        Package::Presence | Package::Categories => on_winfo::went(shard, key, watcher, watching),
        Package::Watchers => on_winfo::forget_unasked(shard, key),
        Package::Dialog | Package::MessageSummary => {}
    }
    on_register::tidy_up(shard, key);
}

/// Something of a user has changed: each level that sees a difference is told, with one document, in one letter a shard. A state
/// is told in both dialects, and to the user's own endpoints.
pub(super) fn tell(
    shard: &mut Shard,
    package: Package,
    key: UserKey,
    published: Option<Now>,
    effects: &mut Effects,
) {
    if package == Package::Presence {
        lync::on_own::state_changed(shard, key, effects);
        tell_levels(shard, Package::Categories, key, published, effects);
    }
    tell_levels(shard, package, key, published, effects);
}

fn tell_levels(
    shard: &mut Shard,
    package: Package,
    key: UserKey,
    published: Option<Now>,
    effects: &mut Effects,
) {
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let Some(presentity) = &user.presentity else {
        return;
    };
    if presentity.audience.is_empty() {
        return;
    }
    let user = user.record.aor.clone();
    let levels: Vec<Level> = presentity.audience.levels(package).collect();
    for level in levels {
        let Some(shown) = show(shard, package, key, level) else {
            continue;
        };
        let place = shard.users.get(key);
        let Some(presentity) = place.and_then(|user| user.presentity.as_ref()) else {
            return;
        };
        let watching: Vec<u16> = presentity.audience.shards(package, level).collect();
        for to in watching {
            let letter = Letter::State {
                package,
                user: user.clone(),
                level,
                shown: shown.clone(),
                published,
                answers: None,
            };
            shard.post(ShardId(to), letter, effects);
        }
    }
}

/// Who sees what of a user has changed: each watching shard asks anew for each of its subscriptions.
fn relevel(shard: &mut Shard, key: UserKey, effects: &mut Effects) {
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let Some(presentity) = &user.presentity else {
        return;
    };
    let user = user.record.aor.clone();
    let watching = Package::ALL.map(|package| (package, presentity.audience.all_shards(package)));
    for (package, shards) in watching {
        for to in shards {
            let user = user.clone();
            shard.post(ShardId(to), Letter::Relevel { package, user }, effects);
        }
    }
}

/// A user is no more: who watches is told, and each subscription that ends of it will give its place back.
pub(super) fn user_gone(
    shard: &mut Shard,
    user: &Aor,
    mut audience: Audience,
    effects: &mut Effects,
) {
    for package in Package::ALL {
        for to in audience.all_shards(package) {
            let user = user.clone();
            shard.post(ShardId(to), Letter::Gone { package, user }, effects);
        }
    }
    audience.forget_documents();
    if !audience.is_empty() {
        shard.left_behind.insert(user.clone(), audience);
    }
}

/// A user is new, or back before all who watched the one before have heard that it was no more.
pub(super) fn user_back(shard: &mut Shard, key: UserKey, user: &Aor) {
    let Some(audience) = shard.left_behind.remove(user) else {
        return;
    };
    if let Some(presentity) = presentity(shard, key) {
        presentity.audience = audience;
    }
}
