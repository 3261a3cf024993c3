//! A user's contact list on their Lync endpoints: each is told what has changed, whoever changed it.

use std::sync::Arc;

use crate::dialect::lync::{Roaming, contact_list};
use crate::presence::Contacts;
use crate::shard::effect::Effects;
use crate::shard::usage::{Association, Subject, Usage};
use crate::shard::{Shard, UserKey};
use crate::sip::dialog::DialogKey;
use crate::sip::uri::Aor;

/// The store has put another list in the place of `before`. Who has been told that one is told the difference, all others
/// the whole.
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
    let standing = shard.users.get(key).map(|user| &user.record.standing);
    let after = match standing {
        Some(Some(standing)) => &standing.contacts,
        _ => &none,
    };
    let (from, to) = (contact_list::number(before), contact_list::number(after));
    let documents: Option<Vec<Arc<[u8]>>> = contact_list::deltas(before, after)
        .map(|documents| documents.into_iter().map(Arc::from).collect());
    for key in keys {
        let Some(told) = told(shard, key) else {
            continue;
        };
        let told_all = match &documents {
            Some(documents) if *told == Some(from) => {
                *told = Some(to);
                documents.iter().all(|document| {
                    shard.notify_of(key, contact_list::CONTENT_TYPE, document, effects)
                })
            }
            _ => false,
        };
        if !told_all {
            shard.notify(key, effects);
        }
    }
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
