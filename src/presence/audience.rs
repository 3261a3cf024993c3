//! Who watches a user, as the user's owner counts them: by package, level and shard, never one by one.
//!
//! A change costs one letter for each shard and level, however many watchers there are, and one document for each level.
//! Always holds: a count is the number of answers that let a subscription in, less the number of `Unwatch` letters that
//! gave one back; so a shard with a count above zero has a view of that level, or will have it when the answer arrives.
//! The document that was last told at a watched level is kept here, shared with the shards: who comes later gets the very
//! same one, and a change that a level does not see is not told to it at all.
//!
//! Shards are numbers here, for their type lives floors above.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::presence::{Level, Package};

/// What the watchers of one level see: rendered once by the owner, shared by all who watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Rises with each change. Of two of one user, package and level the higher one is the newer one.
    pub version: u64,
    /// The document.
    pub document: Arc<[u8]>,
}

/// The watchers of one user. Nothing is allocated while there are at most two places and one document.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    /// Sorted.
    places: SmallVec<[Place; 2]>,
    /// Sorted by package and level; one for each that is watched and was shown.
    shown: SmallVec<[(Package, Level, Shown); 1]>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    package: Package,
    level: Level,
    shard: u16,
    count: u32,
}

impl Audience {
    /// One more subscription of `shard` watches `package` at `level`.
    pub fn add(&mut self, package: Package, level: Level, shard: u16) {
        match self.find(package, level, shard) {
            Ok(at) => {
                if let Some(place) = self.places.get_mut(at) {
                    place.count = place.count.saturating_add(1);
                }
            }
            Err(at) => self.places.insert(
                at,
                Place {
                    package,
                    level,
                    shard,
                    count: 1,
                },
            ),
        }
    }

    /// One subscription less. False where there was none.
    pub fn remove(&mut self, package: Package, level: Level, shard: u16) -> bool {
        let Ok(at) = self.find(package, level, shard) else {
            return false;
        };
        if let Some(place) = self.places.get_mut(at) {
            place.count -= 1;
            if place.count == 0 {
                self.places.remove(at);
            }
        }
        if self.shards(package, level).next().is_none() {
            self.shown.retain(|(p, l, _)| (*p, *l) != (package, level));
        }
        true
    }

    fn find(&self, package: Package, level: Level, shard: u16) -> Result<usize, usize> {
        self.places
            .binary_search_by_key(&(package, level, shard), |place| {
                (place.package, place.level, place.shard)
            })
    }

    /// Does nobody watch?
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The levels at which somebody watches `package`, ascending.
    pub fn levels(&self, package: Package) -> impl Iterator<Item = Level> + '_ {
        let mut before = None;
        self.places
            .iter()
            .filter(move |place| place.package == package)
            .filter_map(move |place| {
                (before.replace(place.level) != Some(place.level)).then_some(place.level)
            })
    }

    /// The shards that watch `package` at `level`, ascending.
    pub fn shards(&self, package: Package, level: Level) -> impl Iterator<Item = u16> + '_ {
        self.places
            .iter()
            .filter(move |place| (place.package, place.level) == (package, level))
            .map(|place| place.shard)
    }

    /// All shards that watch `package` at whatever level, ascending.
    pub fn all_shards(&self, package: Package) -> SmallVec<[u16; 4]> {
        let mut shards: SmallVec<[u16; 4]> = self
            .places
            .iter()
            .filter(|place| place.package == package)
            .map(|place| place.shard)
            .collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// What was last told at a level that is watched.
    pub fn shown(&self, package: Package, level: Level) -> Option<&Shown> {
        self.shown
            .iter()
            .find(|(p, l, _)| (*p, *l) == (package, level))
            .map(|(_, _, shown)| shown)
    }

    /// This is what is told at `level` from now on.
    pub fn show(&mut self, package: Package, level: Level, shown: Shown) {
        let place = self
            .shown
            .binary_search_by_key(&(package, level), |(p, l, _)| (*p, *l));
        match place {
            Ok(at) => {
                if let Some((_, _, known)) = self.shown.get_mut(at) {
                    *known = shown;
                }
            }
            Err(at) => self.shown.insert(at, (package, level, shown)),
        }
    }

    /// The documents are somebody's who is no more; the counts stay until each watcher's shard has given its own back.
    pub fn forget_documents(&mut self) {
        self.shown.clear();
    }
}

#[cfg(test)]
mod tests;
