//! Which shards watch a presentity. A change costs one letter a shard, however many watchers there are.
//!
//! Shards are numbers here, for their type lives floors above. Issue 3 adds the access levels at which each one watches.

use smallvec::SmallVec;

/// A small sorted set of shard numbers. Nothing is allocated for up to four; more come with the cores of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audience(SmallVec<[u16; 4]>);

impl Audience {
    /// `shard` watches from now on. True if it did not before.
    pub fn add(&mut self, shard: u16) -> bool {
        match self.0.binary_search(&shard) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, shard);
                true
            }
        }
    }

    /// `shard` watches no longer. True if it did before.
    pub fn remove(&mut self, shard: u16) -> bool {
        match self.0.binary_search(&shard) {
            Ok(at) => {
                self.0.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// Does nobody watch?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who watches, in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u16> + '_ {
        self.0.iter().copied()
    }
}
