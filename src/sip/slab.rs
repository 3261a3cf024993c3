//! Slots found by key, in pages that are given back when nobody is in them, but for one.
//!
//! A slot map keeps room for as many as there ever were; this one follows its number down again. Who comes takes the lowest
//! page that has room, so what stays long gathers at the front and the pages of a busier hour empty. A key does not
//! come again before 2³¹ others have: its version is one for the whole slab, so it outlives the page.
//!
//! Memory: 8 bytes and the value, 16 for a box; and 32 a page that is empty and lies before one that is not.

use core::marker::PhantomData;
use std::collections::BTreeSet;

use slotmap::{Key, KeyData};

use crate::sip::slack::Slack;

/// Slots of a page: 4 KiB where the values are boxes.
const PLACES: u32 = 256;

/// Values of type `T`, by key.
#[derive(Debug)]
pub struct Slab<K, T> {
    pages: Vec<Page<T>>,
    /// The numbers of the pages that have room.
    roomy: BTreeSet<u32>,
    /// The version of the next key, odd, as `slotmap` has it of whatever is there.
    version: u32,
    count: usize,
    key: PhantomData<fn(K) -> K>,
}

#[derive(Debug)]
struct Page<T> {
    /// As many as were ever taken since the page was empty.
    slots: Vec<Slot<T>>,
    /// The slot that was given back last.
    free: Option<u16>,
    count: u16,
}

#[derive(Debug)]
struct Slot<T> {
    version: u32,
    /// Where there is no value: the next one of the kind.
    free: Option<u16>,
    value: Option<T>,
}

impl<K, T> Default for Slab<K, T> {
    fn default() -> Self {
        Slab {
            pages: Vec::new(),
            roomy: BTreeSet::new(),
            version: 1,
            count: 0,
            key: PhantomData,
        }
    }
}

impl<K: Key, T> Slab<K, T> {
    /// Adds a value; where it is known by.
    ///
    /// # Panics
    /// Past 2³² values, which no memory holds.
    pub fn insert(&mut self, value: T) -> K {
        self.insert_with(|_| value)
    }

    /// Adds a value that is told its own key.
    ///
    /// # Panics
    /// Past 2³² values, which no memory holds.
    pub fn insert_with(&mut self, make: impl FnOnce(K) -> T) -> K {
        let number = match self.roomy.first() {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
                assert!(number < u32::MAX / PLACES, "keys are 32 bits");
                self.pages.push(Page::default());
                self.roomy.insert(number);
                number
            }
        };
        let version = self.version;
        // Odd ones only, so that none is zero when they begin anew.
        self.version = version.wrapping_add(2);
        let key = |at: u16| {
            let slot = number * PLACES + u32::from(at);
            K::from(KeyData::from_ffi(
                u64::from(version) << 32 | u64::from(slot),
            ))
        };
        let page = &mut self.pages[number as usize];
        let key = page.insert(version, |at| {
            let key = key(at);
            (key, make(key))
        });
        self.count += 1;
        if u32::from(page.count) == PLACES {
            self.roomy.remove(&number);
        }
        key
    }

    /// Takes a value out. The room of a page goes with its last one.
    pub fn remove(&mut self, key: K) -> Option<T> {
        let (number, at, version) = place(key);
        let page = self.pages.get_mut(number as usize)?;
        let slot = page.slots.get_mut(at)?;
        if slot.version != version {
            return None;
        }
        let value = slot.value.take()?;
        slot.free = page.free.replace(u16::try_from(at).ok()?);
        if u32::from(page.count) == PLACES {
            self.roomy.insert(number);
        }
        page.count -= 1;
        self.count -= 1;
        // The only page with room stays, so that one who comes and goes again and again does not move one.
        if page.count == 0 && self.roomy.len() > 1 {
            *page = Page::default();
        }
        while self.roomy.len() > 1 && self.pages.last().is_some_and(|page| page.count == 0) {
            self.pages.pop();
            self.roomy.remove(&(self.pages.len() as u32));
        }
        self.pages.give_back();
        Some(value)
    }

    /// The value.
    pub fn get(&self, key: K) -> Option<&T> {
        let (number, at, version) = place(key);
        let slot = self.pages.get(number as usize)?.slots.get(at)?;
        slot.value.as_ref().filter(|_| slot.version == version)
    }

    /// The value, to change it.
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (number, at, version) = place(key);
        let slot = self.pages.get_mut(number as usize)?.slots.get_mut(at)?;
        slot.value.as_mut().filter(|_| slot.version == version)
    }

    /// All keys, by their place.
    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        let pages = (0..).zip(&self.pages);
        pages.flat_map(|(number, page)| {
            let slots = (0..).zip(&page.slots);
            slots.filter_map(move |(at, slot): (u32, _)| {
                slot.value.as_ref()?;
                let place = number * PLACES + at;
                let data = u64::from(slot.version) << 32 | u64::from(place);
                Some(K::from(KeyData::from_ffi(data)))
            })
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<K, T> Slack for Slab<K, T> {
    /// It does by itself.
    fn give_back(&mut self) -> usize {
        0
    }

    fn room(&self) -> usize {
        self.pages.iter().map(|page| page.slots.capacity()).sum()
    }
}

/// Page, place in it, and version of a key.
fn place<K: Key>(key: K) -> (u32, usize, u32) {
    let data = key.data().as_ffi();
    let slot = data as u32;
    (slot / PLACES, (slot % PLACES) as usize, (data >> 32) as u32)
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page {
            slots: Vec::new(),
            free: None,
            count: 0,
        }
    }
}

impl<T> Page<T> {
    /// Fills a free slot with what `make` makes of its number. There must be one.
    fn insert<K>(&mut self, version: u32, make: impl FnOnce(u16) -> (K, T)) -> K {
        self.count += 1;
        let free = self.free.and_then(|at| {
            let slot = self.slots.get_mut(usize::from(at))?;
            Some((at, slot))
        });
        if let Some((at, slot)) = free {
            let (key, value) = make(at);
            self.free = slot.free.take();
            slot.version = version;
            slot.value = Some(value);
            return key;
        }
        let (key, value) = make(self.slots.len() as u16);
        self.slots.push(Slot {
            version,
            free: None,
            value: Some(value),
        });
        key
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;
    use slotmap::DefaultKey;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_whose_keys_never_come_again(
            steps in proptest::collection::vec((proptest::bool::weighted(0.7), any::<proptest::sample::Index>()), 0..1500)
        ) {
            let mut slab: Slab<DefaultKey, usize> = Slab::default();
            let mut model: HashMap<DefaultKey, usize> = HashMap::new();
            let (mut given, mut ever) = (Vec::new(), HashSet::new());
            for (number, (comes, which)) in steps.into_iter().enumerate() {
                if comes || given.is_empty() {
                    let key = slab.insert(number);
                    given.push(key);
                    prop_assert!(ever.insert(key));
                    model.insert(key, number);
                } else {
                    let key = given[which.index(given.len())];
                    prop_assert_eq!(slab.get(key), model.get(&key));
                    prop_assert_eq!(slab.remove(key), model.remove(&key));
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            let mut keys: Vec<_> = slab.keys().collect();
            let mut expected: Vec<_> = model.keys().copied().collect();
            keys.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(keys, expected);
        }
    }

    #[test]
    fn the_room_goes_with_those_who_needed_it() {
        let mut slab: Slab<DefaultKey, Box<u32>> = Slab::default();
        let keys: Vec<_> = (0..100_000).map(|n| slab.insert(Box::new(n))).collect();
        assert!(slab.room() >= 100_000);
        // One in a thousand stays, each on another page.
        let (stay, go): (Vec<_>, Vec<_>) =
            keys.iter().enumerate().partition(|(at, _)| at % 1000 == 0);
        for (_, key) in go {
            slab.remove(*key);
        }
        assert!(slab.room() <= 100 * PLACES as usize);
        // Who comes fills the gaps, from the front.
        let more: Vec<_> = (0..10_000).map(|n| slab.insert(Box::new(n))).collect();
        assert!(slab.room() <= 140 * PLACES as usize);
        for (at, key) in stay {
            assert_eq!(slab.get(*key).map(|value| **value), Some(at as u32));
            slab.remove(*key);
        }
        more.iter().for_each(|key| drop(slab.remove(*key)));
        assert!(slab.is_empty() && slab.room() <= PLACES as usize);
        assert!(slab.pages.len() == 1 && slab.pages.capacity() <= 1024);
        assert_eq!(slab.get(keys[0]), None);
    }
}
