//! A user's contact list on their Lync endpoints: each is told what has changed, whoever changed it.

use std::sync::Arc;

use crate::dialect::lync::{Roaming, contact_list};
use crate::presence::{Contacts, Item};
use crate::shard::effect::Effects;
use crate::shard::usage::{Association, Subject, Usage};
use crate::shard::{Shard, UserKey};
use crate::sip::dialog::DialogKey;
use crate::sip::link::ConnectionId;
use crate::sip::uri::Aor;

/// The store has put another list in the place of `before`. Who has been told that one is told the difference, and the whole
/// where that does not say all; all others are told the whole.
pub(in crate::shard) fn changed(
    shard: &mut Shard,
    key: UserKey,
    user: &Aor,
    before: &Contacts,
    effects: &mut Effects,
) {
    let keys = match shard.subscribers.get(user) {
        Some(subscriber) if !subscriber.roaming.is_empty() => subscriber.roaming.clone(),
        _ => return,
    };
    let none = Contacts::default();
    let after = list(shard, key).unwrap_or(&none);
    let (from, to) = (contact_list::number(before), contact_list::number(after));
    let news = contact_list::news(before, after);
    let (delta, whole): (Option<Arc<[u8]>>, bool) = (news.delta.map(Arc::from), news.whole);
    for key in keys {
        let Some(told) = told(shard, key) else {
            continue;
        };
        let told_it = match &delta {
            Some(delta) if *told == Some(from) => {
                *told = Some(to);
                shard.notify_of(key, contact_list::CONTENT_TYPE, delta, effects)
            }
            _ => false,
        };
        if whole || !told_it {
            shard.notify(key, effects);
        }
    }
}

fn list(shard: &Shard, key: UserKey) -> Option<&Contacts> {
    let standing = shard.users.get(key)?.record.standing.as_deref()?;
    Some(&standing.contacts)
}

/// The number of the list that a connection has been told of; `None` where it did not ask.
pub(super) fn told_on(shard: &mut Shard, user: &Aor, connection: ConnectionId) -> Option<u32> {
    let key = subscription_on(shard, user, connection)?;
    *told(shard, key)?
}

/// A connection that has asked for a change of which nothing came is told the whole list again, and before it how that is
/// what it has asked to change.
pub(super) fn tell_again(
    shard: &mut Shard,
    user: &Aor,
    connection: ConnectionId,
    item: &Item,
    effects: &mut Effects,
) {
    let Some(key) = subscription_on(shard, user, connection) else {
        return;
    };
    let owner = shard.by_aor.get(user).copied();
    let reminder: Option<Arc<[u8]>> = owner
        .and_then(|owner| list(shard, owner))
        .and_then(|contacts| contact_list::reminder(contacts, item))
        .map(Arc::from);
    if let Some(reminder) = reminder {
        shard.notify_of(key, contact_list::CONTENT_TYPE, &reminder, effects);
    }
    shard.notify(key, effects);
}

fn subscription_on(shard: &mut Shard, user: &Aor, connection: ConnectionId) -> Option<DialogKey> {
    let keys = shard.subscribers.get(user)?.roaming.clone();
    keys.into_iter().find(|key| {
        let dialog = shard.dialogs.get(*key);
        dialog.is_some_and(|dialog| dialog.connection == connection) && told(shard, *key).is_some()
    })
}

/// The number of the list that a subscription to it has been told.
fn told(shard: &mut Shard, key: DialogKey) -> Option<&mut Option<u32>> {
    match shard.dialogs.get_mut(key) {
        Some(Association {
            usage: Usage::Subscription(subscription),
            ..
        }) if subscription.subject == Subject::Roaming(Roaming::Contacts) => {
            Some(&mut subscription.version)
        }
        _ => None,
    }
}
