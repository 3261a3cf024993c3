//! The watchers' side: which users this shard's subscriptions watch, what they look like at which level, and whom to tell.
//!
//! Each subscription asks the watched user's owner, who answers with the level it may see and the newest document of that
//! level; until then it is not here. In a view are all subscriptions of one level: the owner sends one letter a change and
//! level, and the newest version wins. The dialogs live elsewhere; here a subscription is a number.
//!
//! When the rules of the watched user change, all its subscriptions are taken out of their views (`move_all`) and ask
//! anew: until the answer comes they hold what they held, and are told nothing that their old level may see.
//!
//! Memory: an edge (one subscription to one user) costs 8 bytes in a sorted vector, 8 to 12 with its room, and the first
//! two of a level nothing more. A user watched at one level costs a shard 88 bytes in its table, 100 to 200 with the table's
//! slack, and a share in the document (about 600 bytes), which all shards of a process hold together; each further level 64
//! bytes and its document.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use smallvec::SmallVec;

use crate::presence::{Level, Package, Shown};
use crate::sip::slack::Slack;
use crate::sip::uri::Aor;

/// A subscription of this shard, opaque here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubscriptionKey(pub u64);

/// What became of a subscription whose owner has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    /// It watches from now on.
    New,
    /// It watched at `from` before: the owner is to take that back. `changed`: it now sees something else.
    Moved {
        /// The level before.
        from: Level,
        /// Is what it sees other than what it saw?
        changed: bool,
    },
}

/// All that this shard's users watch.
#[derive(Debug)]
pub struct Watching {
    // One table a package. Never iterated: the order of a hash map must not show.
    tables: [HashMap<Aor, Seen, RandomState>; Package::ALL.len()],
}

#[derive(Debug, Default)]
struct Seen {
    /// By level; none is empty.
    views: SmallVec<[View; 1]>,
    /// Subscriptions that ask anew, and what they held before. Rare, so it has no place of its own.
    moving: Option<Box<Moving>>,
}

#[derive(Debug)]
struct View {
    level: Level,
    shown: Shown,
    /// Sorted, so that one of ten thousand is found at once and the order of notifying is always the same.
    /// Where a user's watchers are spread over many shards, one or two are here.
    subscriptions: SmallVec<[SubscriptionKey; 2]>,
}

#[derive(Debug, Default)]
struct Moving {
    /// Sorted by the subscription. With each what it held, and whether it had been told of that.
    all: Vec<(SubscriptionKey, Level, Shown, bool)>,
}

impl Watching {
    /// Nothing watched yet. `seed` comes from the shard's generator, so that nobody can choose colliding names.
    pub fn new(seed: u64) -> Watching {
        Watching {
            tables: Package::ALL.map(|package| {
                let seed = seed.wrapping_add(package as u64);
                HashMap::with_hasher(RandomState::with_seeds(
                    seed,
                    seed.rotate_left(16),
                    seed.rotate_left(32),
                    seed.rotate_left(48),
                ))
            }),
        }
    }

    fn seen(&self, package: Package, user: &Aor) -> Option<&Seen> {
        self.tables.get(package as usize)?.get(user)
    }

    fn seen_mut(&mut self, package: Package, user: &Aor) -> Option<&mut Seen> {
        self.tables.get_mut(package as usize)?.get_mut(user)
    }

    /// The owner has let `subscription` in at `level`; `shown` is the newest there. Call `put` before: others may see it too.
    pub fn place(
        &mut self,
        package: Package,
        user: &Aor,
        level: Level,
        shown: &Shown,
        subscription: SubscriptionKey,
    ) -> Placed {
        let Some(table) = self.tables.get_mut(package as usize) else {
            return Placed::New;
        };
        let seen = match table.get_mut(user) {
            Some(seen) => seen,
            None => table.entry(user.clone()).or_default(),
        };
        let before = seen.take(subscription);
        let at = match seen.views.binary_search_by_key(&level, |view| view.level) {
            Ok(at) => at,
            Err(at) => {
                let shown = shown.clone();
                seen.views.insert(
                    at,
                    View {
                        level,
                        shown,
                        subscriptions: SmallVec::new(),
                    },
                );
                at
            }
        };
        let Some(view) = seen.views.get_mut(at) else {
            return Placed::New;
        };
        view.add(subscription);
        match before {
            None => Placed::New,
            Some((from, held, told)) => Placed::Moved {
                from,
                changed: !told
                    || (!Arc::ptr_eq(&held.document, &view.shown.document)
                        && held.document != view.shown.document),
            },
        }
    }

    /// `subscription` watches no longer. The level that it had, for the owner; `None` where it did not watch.
    pub fn unwatch(
        &mut self,
        package: Package,
        user: &Aor,
        subscription: SubscriptionKey,
    ) -> Option<Level> {
        let seen = self.seen_mut(package, user)?;
        let (level, ..) = seen.take(subscription)?;
        if seen.views.is_empty() && seen.moving.is_none() {
            self.tables.get_mut(package as usize)?.remove(user);
        }
        Some(level)
    }

    /// What the owner says of `user` at `level`. Returns whom to notify, in a stable order: nobody where nobody watches (any
    /// more) or where something as new is known already (letters of two owners may cross when a group moves).
    pub fn put(
        &mut self,
        package: Package,
        user: &Aor,
        level: Level,
        shown: &Shown,
    ) -> &[SubscriptionKey] {
        let view = self
            .seen_mut(package, user)
            .and_then(|seen| seen.views.iter_mut().find(|view| view.level == level));
        match view {
            Some(view) if view.shown.version < shown.version => {
                view.shown = shown.clone();
                &view.subscriptions
            }
            _ => &[],
        }
    }

    /// What `subscription` sees of `user`.
    pub fn shown(
        &self,
        package: Package,
        user: &Aor,
        subscription: SubscriptionKey,
    ) -> Option<&Shown> {
        let seen = self.seen(package, user)?;
        let view = seen
            .views
            .iter()
            .find(|view| view.subscriptions.binary_search(&subscription).is_ok());
        match (view, &seen.moving) {
            (Some(view), _) => Some(&view.shown),
            (None, Some(moving)) => moving
                .find(subscription)
                .ok()
                .and_then(|at| moving.all.get(at))
                .map(|(_, _, held, _)| held),
            (None, None) => None,
        }
    }

    /// Who watches `user` at `level`, sorted: all who see what was put there last.
    pub fn view(&self, package: Package, user: &Aor, level: Level) -> &[SubscriptionKey] {
        let views = self.seen(package, user).map(|seen| &seen.views);
        let view = views.into_iter().flatten().find(|view| view.level == level);
        view.map_or(&[], |view| &view.subscriptions)
    }

    /// The address of a watched user as it is kept here, for others to share.
    pub fn shared(&self, package: Package, user: &Aor) -> Option<Aor> {
        let table = self.tables.get(package as usize)?;
        table.get_key_value(user).map(|(user, _)| user.clone())
    }

    /// All who watch `user`, whatever they see of them.
    pub fn subscriptions(&self, package: Package, user: &Aor) -> Vec<SubscriptionKey> {
        let Some(seen) = self.seen(package, user) else {
            return Vec::new();
        };
        let placed = seen.views.iter().flat_map(|view| &view.subscriptions);
        let moving = seen.moving.iter().flat_map(|moving| &moving.all);
        let mut all: Vec<SubscriptionKey> = placed
            .copied()
            .chain(moving.map(|(key, ..)| *key))
            .collect();
        all.sort_unstable();
        all
    }

    /// What they may see is to be asked anew: returns who asks. Those that ask already are not among them: their question
    /// is still on its way to the owner, for an answer would have come before the word that made us ask. `is_untold` says
    /// who has not been told yet of what they see: what they will see is new to them in any case.
    pub fn move_all(
        &mut self,
        package: Package,
        user: &Aor,
        is_untold: impl Fn(Level, SubscriptionKey) -> bool,
    ) -> Vec<SubscriptionKey> {
        let Some(seen) = self.seen_mut(package, user) else {
            return Vec::new();
        };
        let mut asking = Vec::new();
        let mut moving = seen.moving.take().unwrap_or_default();
        for view in core::mem::take(&mut seen.views) {
            for key in view.subscriptions {
                asking.push(key);
                let told = !is_untold(view.level, key);
                moving.all.push((key, view.level, view.shown.clone(), told));
            }
        }
        moving.all.sort_unstable_by_key(|(key, ..)| *key);
        asking.sort_unstable();
        seen.moving = Some(moving);
        asking
    }

    /// How many users are watched, counted once for each package.
    pub fn len(&self) -> usize {
        self.tables.iter().map(HashMap::len).sum()
    }

    /// Is nobody watched?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Slack for Watching {
    fn give_back(&mut self) -> usize {
        self.tables.iter_mut().map(Slack::give_back).sum()
    }

    fn room(&self) -> usize {
        self.tables.iter().map(Slack::room).sum()
    }
}

impl Seen {
    /// Takes a subscription out of wherever it is: its level, what it held, and whether it had been told of that.
    fn take(&mut self, subscription: SubscriptionKey) -> Option<(Level, Shown, bool)> {
        if let Some(moving) = &mut self.moving
            && let Ok(at) = moving.find(subscription)
        {
            let (_, level, held, told) = moving.all.remove(at);
            if moving.all.is_empty() {
                self.moving = None;
            }
            return Some((level, held, told));
        }
        for at in 0..self.views.len() {
            let view = self.views.get_mut(at)?;
            let Ok(place) = view.subscriptions.binary_search(&subscription) else {
                continue;
            };
            view.remove(place);
            let taken = (view.level, view.shown.clone(), true);
            if view.subscriptions.is_empty() {
                self.views.remove(at);
            }
            return Some(taken);
        }
        None
    }
}

impl View {
    /// Room grows by a quarter: were it doubled, each user's would come to the next double in time, as watchers come and go.
    fn add(&mut self, subscription: SubscriptionKey) {
        let Err(at) = self.subscriptions.binary_search(&subscription) else {
            return;
        };
        let count = self.subscriptions.len();
        if count == self.subscriptions.capacity() {
            self.subscriptions.reserve_exact((count / 4).max(2));
        }
        self.subscriptions.insert(at, subscription);
    }

    /// The room goes where more than a third is empty.
    fn remove(&mut self, place: usize) {
        self.subscriptions.remove(place);
        let (count, capacity) = (self.subscriptions.len(), self.subscriptions.capacity());
        if capacity > count + count / 2 + 4 {
            // SmallVec can't shrink to a size, only to what it holds.
            self.subscriptions.shrink_to_fit();
            self.subscriptions.reserve_exact(count / 8);
        }
    }
}

impl Moving {
    fn find(&self, subscription: SubscriptionKey) -> Result<usize, usize> {
        self.all
            .binary_search_by_key(&subscription, |(key, ..)| *key)
    }
}

#[cfg(test)]
mod tests;
