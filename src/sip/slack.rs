//! Room in a table that a busier hour needed and this one does not. A table grows by itself and never shrinks; so whoever
//! keeps one that follows the number of users gives its slack back as time passes.

use core::hash::{BuildHasher, Hash};
use std::collections::{HashMap, VecDeque};

/// Below so many places there is nothing worth giving back.
pub const PLACES_MIN: usize = 1024;

/// A table that can give back what it has to spare.
pub trait Slack {
    /// Gives back the room, where seven eighths of it or more are free; half of what is left is free then, so that a table
    /// whose size goes up and down is not always moved. How many entries were moved: one for each seven that went, so to
    /// shrink takes less time than it took to grow.
    fn give_back(&mut self) -> usize;

    /// Places there are, taken or not.
    fn room(&self) -> usize;
}

fn is_worth_it(count: usize, places: usize) -> bool {
    places > PLACES_MIN && count < places / 8
}

/// All grow and shrink in the same way.
macro_rules! tables {
    ($([$($generics:tt)*] $table:ty),*) => {$(
        impl<$($generics)*> Slack for $table {
            #[inline]
            fn give_back(&mut self) -> usize {
                // What was taken out of a map leaves its marks, so `capacity` is less than there is: then it is worth it a
                // little later.
                if !is_worth_it(self.len(), self.capacity()) {
                    return 0;
                }
                self.shrink_to(self.len() * 2);
                self.len()
            }

            fn room(&self) -> usize {
                self.capacity()
            }
        }
    )*};
}
tables!([T] Vec<T>, [T] VecDeque<T>, [K: Eq + Hash, V, S: BuildHasher] HashMap<K, V, S>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shrinks_when_most_have_gone_and_not_before() {
        let seeds = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let mut table = HashMap::with_hasher(seeds);
        table.extend((0..10_000).map(|number| (number, ())));
        let full = table.room();
        table.retain(|number, ()| *number < 5_000);
        assert_eq!(table.give_back(), 0);
        // What was taken out leaves its marks, so not all of it counts as capacity.
        assert!(table.room() > full / 2, "{}", table.room());
        table.retain(|number, ()| *number < 500);
        assert_eq!(table.give_back(), 500);
        assert!(table.room() < full / 4, "{}", table.room());
        assert_eq!(table.len(), 500);
    }

    #[test]
    fn so_do_a_list_and_a_queue() {
        let mut list: Vec<u32> = (0..10_000).collect();
        let mut queue: VecDeque<u32> = list.iter().copied().collect();
        assert_eq!((list.give_back(), queue.give_back()), (0, 0));
        list.truncate(1_000);
        queue.drain(..9_000);
        assert_eq!((list.give_back(), queue.give_back()), (1_000, 1_000));
        assert!(list.room() < 2_500 && queue.room() < 2_500);
        assert_eq!(queue.front(), Some(&9_000));
    }
}
