//! A user's own data on their Lync endpoints ([MS-PRES] §3.5.5): what is published, who is in which container, who has added
//! them. Each endpoint is told what has changed, whoever changed it.

use std::sync::Arc;

use crate::dialect::lync::Roaming;
use crate::dialect::lync::own::{self, News, Own, Wanted};
use crate::dialect::lync::published::STATE;
use crate::presence::{
    Access, Availability, Categories, EndpointKey, Held, Instance, Level, Manual, Subscribers, seen,
};
use crate::shard::effect::Effects;
use crate::shard::standing::Standing;
use crate::shard::subscriber::EMPTIED_MAX;
use crate::shard::usage::{Association, Subject, Usage};
use crate::shard::{Shard, UserKey};
use crate::sip::dialog::DialogKey;
use crate::sip::link::ConnectionId;
use crate::sip::uri::Aor;

static NO_CATEGORIES: Categories = Categories::NONE;
static NO_ACCESS: Access = Access::NONE;
static NO_SUBSCRIBERS: Subscribers = Subscribers::NONE;

/// All that is published of a user.
pub(in crate::shard) fn held(shard: &Shard, key: UserKey) -> Held<'_> {
    let user = shard.users.get(key);
    let standing = user.and_then(|user| user.record.standing.as_deref());
    let presentity = user.and_then(|user| user.presentity.as_deref());
    Held {
        lasting: standing.map_or(&NO_CATEGORIES, |standing| &standing.categories),
        passing: presentity.map_or(&NO_CATEGORIES, |presentity| presentity.categories()),
    }
}

fn own(shard: &Shard, key: UserKey) -> Option<Own<'_>> {
    let user = shard.users.get(key)?;
    let standing = user.record.standing.as_deref();
    let told = user
        .presentity
        .as_deref()
        .filter(|presentity| presentity.is_told());
    let seen =
        told.map(|presentity| seen(presentity.state(), presentity.since(Level::Own), Level::Own));
    let choice = standing.and_then(|standing| standing.choice.as_ref()?.state_at(shard.now));
    let subscriber = shard.subscribers.get(&user.record.aor);
    Some(Own {
        user: &user.record.aor,
        held: held(shard, key),
        emptied: subscriber.map_or(&[], |subscriber| &subscriber.emptied),
        // A client that signs in is there: it must not take itself for offline for what another endpoint has said.
        seen: seen.filter(|seen| {
            seen.word != Availability::Offline || choice == Some(Manual::AppearOffline)
        }),
        access: standing.map_or(&NO_ACCESS, |standing| &standing.access),
        // A container that there is has a version, so it begins with one.
        access_version: standing
            .map_or(0, |standing| standing.access_version)
            .saturating_add(1),
        subscribers: standing.map_or(&NO_SUBSCRIBERS, |standing| &standing.subscribers),
        now: shard.now,
    })
}

/// All that a subscription asks for.
pub(in crate::shard) fn full(shard: &mut Shard, user: &Aor, wanted: Wanted) -> Option<Vec<u8>> {
    let key = *shard.by_aor.get(user)?;
    let own = own(shard, key)?;
    let (document, told) = (own::full(&own, wanted), own::aggregate(&own));
    if let Some(subscriber) = shard.subscribers.get_mut(user) {
        subscriber.told = told;
        let waits = |dialog: &DialogKey| {
            matches!(
                shard.dialogs.get(*dialog).map(|association| &association.usage),
                Some(Usage::Subscription(subscription)) if subscription.is_behind()
            )
        };
        // Nobody else is still to be told.
        if !subscriber.roaming.iter().any(waits) {
            subscriber.emptied = Vec::new();
        }
    }
    Some(document)
}

/// What the publisher of something new is answered.
pub(super) fn answer(shard: &Shard, key: UserKey, news: &News) -> Option<Vec<u8>> {
    own::news(&own(shard, key)?, news, Wanted::ALL)
}

/// Tells the user's endpoints what is new, but for the one that knows.
pub(super) fn tell(
    shard: &mut Shard,
    key: UserKey,
    news: &News,
    knows: Option<ConnectionId>,
    effects: &mut Effects,
) {
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let dialogs = match shard.subscribers.get(&user.record.aor) {
        Some(subscriber) if !subscriber.roaming.is_empty() => subscriber.roaming.clone(),
        _ => return,
    };
    if news.categories.iter().any(|name| **name == *STATE) {
        let told = own(shard, key).map(|own| own::aggregate(&own));
        let user = user.record.aor.clone();
        if let (Some(told), Some(subscriber)) = (told, shard.subscribers.get_mut(&user)) {
            subscriber.told = told;
        }
    }
    let mut documents: Vec<(Wanted, Option<Arc<[u8]>>)> = Vec::new();
    for dialog in dialogs {
        let Some(Association {
            connection,
            usage: Usage::Subscription(subscription),
            ..
        }) = shard.dialogs.get(dialog)
        else {
            continue;
        };
        let Subject::Roaming(Roaming::Own(wanted)) = subscription.subject else {
            continue;
        };
        if Some(*connection) == knows {
            continue;
        }
        let made = documents.iter().find(|(each, _)| *each == wanted);
        let document = match made {
            Some((_, document)) => document.clone(),
            None => {
                let own = own(shard, key);
                let document = own
                    .and_then(|own| own::news(&own, news, wanted))
                    .map(Arc::from);
                documents.push((wanted, document.clone()));
                document
            }
        };
        // Where it can't be told now, all follows as soon as it can.
        if let Some(document) = document
            && !shard.notify_of(dialog, own::CONTENT_TYPE, &document, effects)
        {
            remember_emptied(shard, key, news);
        }
    }
}

/// What was in these categories is gone, and not everybody has been told.
fn remember_emptied(shard: &mut Shard, key: UserKey, news: &News) {
    let held = held(shard, key);
    let mut empty = news.categories.clone();
    empty.retain(|name| held.of(Some(name)).is_empty());
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let Some(subscriber) = shard.subscribers.get_mut(&user.record.aor) else {
        return;
    };
    for name in empty {
        if !subscriber.emptied.contains(&name) && subscriber.emptied.len() < EMPTIED_MAX {
            subscriber.emptied.push(name);
        }
    }
}

/// Tells one endpoint all, whatever it knows: it has published as if it knew less.
pub(super) fn remind(
    shard: &mut Shard,
    user: &Aor,
    connection: ConnectionId,
    effects: &mut Effects,
) {
    let dialogs = match shard.subscribers.get(user) {
        Some(subscriber) => subscriber.roaming.clone(),
        None => return,
    };
    for dialog in dialogs {
        let here = shard.dialogs.get(dialog).is_some_and(|association| {
            association.connection == connection
                && matches!(
                    &association.usage,
                    Usage::Subscription(subscription)
                        if matches!(subscription.subject, Subject::Roaming(Roaming::Own(_)))
                )
        });
        if here {
            shard.notify(dialog, effects);
        }
    }
}

/// Is the user's folded state other than what their endpoints were told?
pub(super) fn is_news(shard: &Shard, key: UserKey) -> bool {
    let Some(own) = own(shard, key) else {
        return false;
    };
    let subscriber = shard.subscribers.get(own.user);
    subscriber.is_some_and(|one| !one.roaming.is_empty() && one.told != own::aggregate(&own))
}

/// How the user is may have changed: then their endpoints are told, for it is theirs too.
pub(in crate::shard) fn state_changed(shard: &mut Shard, key: UserKey, effects: &mut Effects) {
    if is_news(shard, key) {
        let news = News {
            categories: vec![STATE.into()],
            ..News::default()
        };
        tell(shard, key, &news, None, effects);
    }
}

/// Other standing data is in the place of `before`.
pub(in crate::shard) fn standing_changed(
    shard: &mut Shard,
    key: UserKey,
    before: &Standing,
    effects: &mut Effects,
) {
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let none = Standing::default();
    let after = user.record.standing.as_deref().unwrap_or(&none);
    let mut news = News {
        categories: changed(&before.categories, &after.categories),
        containers: before.access != after.access,
        subscribers: before.subscribers != after.subscribers,
    };
    if let Some(publishing) = shard.publishing.get_mut(&user.record.aor) {
        publishing.news.append(&mut news.categories);
    }
    if !news.is_empty() {
        tell(shard, key, &news, None, effects);
    }
}

/// The categories of which something is different.
fn changed(before: &Categories, after: &Categories) -> Vec<Box<str>> {
    let missing = |from: &Categories, to: &Categories| -> Vec<Box<str>> {
        let other = |one: &&Instance| to.get(&one.key) != Some(*one);
        let names = from.iter().filter(other);
        names.map(|one| one.key.category.clone()).collect()
    };
    let mut names = missing(before, after);
    names.append(&mut missing(after, before));
    names.sort_unstable();
    names.dedup();
    names
}

/// Ends what was published by endpoints that are registered no longer, or for a time that is over, and tells the user's own
/// endpoints. True where anything was: then who watches is to be told, also where the folded state is the same.
pub(in crate::shard) fn end(shard: &mut Shard, key: UserKey, effects: &mut Effects) -> bool {
    let now = shard.now;
    let Some(user) = shard.users.get_mut(key) else {
        return false;
    };
    let Some(presentity) = &mut user.presentity else {
        return false;
    };
    if presentity.categories().is_empty() {
        return false;
    }
    let bindings = &user.bindings;
    let is_there = |endpoint: EndpointKey| {
        let mut bound = bindings.endpoints(now);
        bound.any(|one| one.connection.0 == endpoint.0)
    };
    let any = !bindings.is_empty();
    let categories = presentity.end_categories(now, any, is_there);
    if categories.is_empty() {
        return false;
    }
    presentity.registered(now, any);
    let news = News {
        categories,
        ..News::default()
    };
    tell(shard, key, &news, None, effects);
    true
}
