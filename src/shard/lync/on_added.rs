//! Somebody has added a user to their list and says so ([MS-PRES] §3.5.5.7). The user is asked what to make of it once, at
//! whatever endpoint, and until then it is kept. A client may name somebody again before the store has that: it is asked once, or
//! whoever repeats a long list would fill its queue.

use crate::immcu::content::Party;
use crate::presence::{CONTACTS_MAX, Level};
use crate::shard::Shard;
use crate::shard::change::Change;
use crate::shard::effect::Effects;
use crate::shard::on_kept::Keeping;
use crate::shard::on_watch;
use crate::sip::uri::Aor;

/// Whom one user has added and the store has still to keep, on one shard: no client adds more than a whole list at once. Who is past
/// that does not hear of it, unless they are named again.
const ADDING_MAX: usize = CONTACTS_MAX;

/// The owner of who was added. Whom the user blocks, knows, or was asked about is nothing new.
pub(in crate::shard) fn added(shard: &mut Shard, user: &Aor, by: &Party, effects: &mut Effects) {
    let Some(key) = shard.by_aor.get(user).copied() else {
        return;
    };
    if on_watch::level_of(shard, key, &by.aor) == Level::Blocked {
        return;
    }
    let standing = shard
        .users
        .get(key)
        .and_then(|user| user.record.standing.as_deref());
    let known = standing.is_some_and(|standing| {
        standing.contacts.contains(&by.aor) || standing.subscribers.contains(&by.aor)
    });
    if known {
        return;
    }
    let adding = shard.adding.entry(by.aor.clone()).or_default();
    if adding.len() < ADDING_MAX && adding.insert(user.clone()) {
        let change = Change::SubscriberAdded {
            user: user.clone(),
            by: by.aor.clone(),
            name: by.display.clone(),
        };
        let pair = Box::new((by.aor.clone(), user.clone()));
        shard.keep(change, Keeping::Added(pair), effects);
    }
}

/// The store has kept it or has not; then it may be asked again.
pub(in crate::shard) fn kept(shard: &mut Shard, (by, user): &(Aor, Aor)) {
    if let Some(adding) = shard.adding.get_mut(by) {
        adding.remove(user);
        if adding.is_empty() {
            shard.adding.remove(by);
        }
    }
}
