//! Slots that hang together by the connection they belong to: found by key, and walked by owner when the owner goes.
//!
//! A connection pays eight bytes for a chain whether it has none or a thousand; adding and removing is O(1).

use slotmap::Key;

use crate::sip::slab::Slab;
use crate::sip::slack::Slack;

/// The first slot of one owner.
#[derive(Debug, Clone, Copy)]
pub struct Chain<K: Key> {
    first: Option<K>,
}

impl<K: Key> Default for Chain<K> {
    fn default() -> Self {
        Chain { first: None }
    }
}

impl<K: Key> Chain<K> {
    /// The slot that was added last.
    pub fn first(&self) -> Option<K> {
        self.first
    }
}

#[derive(Debug)]
struct Link<K: Key, T> {
    value: T,
    previous: Option<K>,
    next: Option<K>,
}

/// All slots of all owners.
#[derive(Debug)]
pub struct Chained<K: Key, T> {
    // In boxes: a free slot beside one that is taken costs 16 bytes, not a dialog's 200.
    slots: Slab<K, Box<Link<K, T>>>,
}

impl<K: Key, T> Default for Chained<K, T> {
    fn default() -> Self {
        Chained {
            slots: Slab::default(),
        }
    }
}

impl<K: Key, T> Chained<K, T> {
    /// Adds a slot in front of the owner's others. `make` is told the key it will have.
    pub fn insert_with(&mut self, chain: &mut Chain<K>, make: impl FnOnce(K) -> T) -> K {
        let next = chain.first;
        let key = self.slots.insert_with(|key| {
            Box::new(Link {
                value: make(key),
                previous: None,
                next,
            })
        });
        if let Some(next) = next.and_then(|next| self.slots.get_mut(next)) {
            next.previous = Some(key);
        }
        chain.first = Some(key);
        key
    }

    /// Takes a slot out of its owner's chain.
    pub fn remove(&mut self, chain: &mut Chain<K>, key: K) -> Option<T> {
        let link = self.slots.remove(key)?;
        match link
            .previous
            .and_then(|previous| self.slots.get_mut(previous))
        {
            Some(previous) => previous.next = link.next,
            None => chain.first = link.next,
        }
        if let Some(next) = link.next.and_then(|next| self.slots.get_mut(next)) {
            next.previous = link.previous;
        }
        Some(link.value)
    }

    /// The slot of `key`, unless it is gone.
    pub fn get(&self, key: K) -> Option<&T> {
        self.slots.get(key).map(|link| &link.value)
    }

    /// The slot of `key`, unless it is gone.
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slots.get_mut(key).map(|link| &mut link.value)
    }

    /// The keys of one owner, the newest first, while nothing is added or removed.
    pub fn keys<'a>(&'a self, chain: &Chain<K>) -> impl Iterator<Item = K> + 'a {
        core::iter::successors(chain.first, |key| {
            self.slots.get(*key).and_then(|link| link.next)
        })
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl<K: Key, T> Slack for Chained<K, T> {
    fn give_back(&mut self) -> usize {
        self.slots.give_back()
    }

    fn room(&self) -> usize {
        self.slots.room()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::DefaultKey;

    #[test]
    fn a_chain_survives_removal_anywhere() {
        for gone in 0..3 {
            let mut all: Chained<DefaultKey, u32> = Chained::default();
            let (mut ours, mut other) = (Chain::default(), Chain::default());
            let keys: Vec<_> = (0..3).map(|n| all.insert_with(&mut ours, |_| n)).collect();
            all.insert_with(&mut other, |_| 9);
            assert_eq!(all.remove(&mut ours, keys[gone]), Some(gone as u32));
            assert_eq!(all.remove(&mut ours, keys[gone]), None);
            let left: Vec<u32> = all
                .keys(&ours)
                .filter_map(|key| all.get(key).copied())
                .collect();
            let expected: Vec<u32> = (0..3).rev().filter(|n| *n != gone as u32).collect();
            assert_eq!(left, expected);
            assert_eq!(all.keys(&other).count(), 1);
        }
    }
}
