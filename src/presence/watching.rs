//! The watchers' side: which presentities this shard's users watch, what they look like, and whom to tell.
//!
//! The first local watcher makes the shard ask the presentity's owner, the last one makes it stop; in between the owner
//! sends one letter a change, and the newest version wins. The dialogs live elsewhere; here a subscription is a number.
//!
//! Memory: an edge (one subscription to one presentity) costs 8 bytes in a sorted vector, 8 to 16 while it grows.
//! A watched presentity costs a shard 64 bytes in its table, 75 to 150 with the table's slack, and a share in its
//! document (about 600 bytes), which all shards of a process hold together. Sixty million edges of a million
//! presentities, watched from two shards: half to one gigabyte of edges, 0.15 to 0.3 of tables, 0.6 of documents.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ahash::RandomState;

use crate::sip::uri::Aor;

/// A subscription of this shard, opaque here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubscriptionKey(pub u64);

/// What a watched presentity looks like: rendered once by its owner, shared by all who watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The owner's `Presentity::version`.
    pub version: u64,
    /// The document.
    pub document: Arc<[u8]>,
}

/// What `watch` found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Watched<'a> {
    /// The first watcher here: ask the owner; `put` will name this subscription when the answer comes.
    AskOwner,
    /// The owner was asked and has not answered yet; `put` will name this subscription.
    Waiting,
    /// This is the newest that is known.
    Shown(&'a Shown),
}

/// What `unwatch` left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unwatched {
    /// The last watcher here is gone: tell the owner.
    TellOwner,
    /// Others still watch.
    OthersWatch,
    /// This subscription did not watch this presentity.
    NotWatching,
}

/// All that this shard's users watch.
#[derive(Debug)]
pub struct Watching {
    // Never iterated: the order of a hash map must not show.
    table: HashMap<Aor, Seen, RandomState>,
}

#[derive(Debug)]
struct Seen {
    shown: Option<Shown>,
    /// Sorted, so that one of ten thousand is found at once and the order of notifying is always the same.
    subscriptions: Vec<SubscriptionKey>,
}

impl Watching {
    /// Nothing watched yet. `seed` comes from the shard's generator, so that nobody can choose colliding names.
    pub fn new(seed: u64) -> Watching {
        Watching {
            table: HashMap::with_hasher(RandomState::with_seeds(
                seed,
                seed.rotate_left(16),
                seed.rotate_left(32),
                seed.rotate_left(48),
            )),
        }
    }

    /// `subscription` watches `presentity` from now on. Doing it twice changes nothing.
    pub fn watch(&mut self, presentity: &Aor, subscription: SubscriptionKey) -> Watched<'_> {
        match self.table.entry(presentity.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Seen {
                    shown: None,
                    subscriptions: vec![subscription],
                });
                Watched::AskOwner
            }
            Entry::Occupied(occupied) => {
                let seen = occupied.into_mut();
                if let Err(at) = seen.subscriptions.binary_search(&subscription) {
                    seen.subscriptions.insert(at, subscription);
                }
                seen.shown.as_ref().map_or(Watched::Waiting, Watched::Shown)
            }
        }
    }

    /// `subscription` watches `presentity` no longer.
    pub fn unwatch(&mut self, presentity: &Aor, subscription: SubscriptionKey) -> Unwatched {
        let Some(seen) = self.table.get_mut(presentity) else {
            return Unwatched::NotWatching;
        };
        let Ok(at) = seen.subscriptions.binary_search(&subscription) else {
            return Unwatched::NotWatching;
        };
        seen.subscriptions.remove(at);
        if seen.subscriptions.is_empty() {
            self.table.remove(presentity);
            return Unwatched::TellOwner;
        }
        if seen.subscriptions.len() < seen.subscriptions.capacity() / 4 {
            let half = seen.subscriptions.capacity() / 2;
            seen.subscriptions.shrink_to(half);
        }
        Unwatched::OthersWatch
    }

    /// What the owner says of `presentity`. Returns whom to notify, in a stable order: nobody where nobody watches (any
    /// more) or where something as new is known already (letters of two owners may cross when a group moves).
    pub fn put(&mut self, presentity: &Aor, shown: Shown) -> &[SubscriptionKey] {
        match self.table.get_mut(presentity) {
            Some(seen)
                if seen
                    .shown
                    .as_ref()
                    .is_none_or(|s| s.version < shown.version) =>
            {
                seen.shown = Some(shown);
                &seen.subscriptions
            }
            _ => &[],
        }
    }

    /// The newest that is known of `presentity`.
    pub fn shown(&self, presentity: &Aor) -> Option<&Shown> {
        self.table.get(presentity)?.shown.as_ref()
    }

    /// Who watches `presentity` here, in a stable order.
    pub fn subscriptions(&self, presentity: &Aor) -> &[SubscriptionKey] {
        self.table
            .get(presentity)
            .map_or(&[], |seen| &seen.subscriptions)
    }

    /// How many presentities are watched.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Is nobody watched?
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests;
