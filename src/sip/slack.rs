//! Room in a table that a busier hour needed and this one does not. A table grows by itself and never shrinks; so whoever
//! keeps one that follows the number of users gives its slack back as time passes.

use core::hash::{BuildHasher, Hash};
use std::collections::HashMap;

/// Below so many places there is nothing worth giving back.
const PLACES_MIN: usize = 1024;

/// Gives back what a table has to spare, where that is seven eighths or more; half of what is left is free then, so that a
/// table whose size goes up and down is not always moved. What stays is moved once for each seven that went.
pub fn give_back<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > PLACES_MIN && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shrinks_when_most_have_gone_and_not_before() {
        let seeds = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let mut table = HashMap::with_hasher(seeds);
        table.extend((0..10_000).map(|number| (number, ())));
        let full = table.capacity();
        table.retain(|number, ()| *number < 5_000);
        give_back(&mut table);
        // What was taken out leaves its marks, so not all of it counts as capacity.
        assert!(table.capacity() > full / 2, "{}", table.capacity());
        table.retain(|number, ()| *number < 500);
        give_back(&mut table);
        assert!(table.capacity() < full / 4, "{}", table.capacity());
        assert_eq!(table.len(), 500);
    }
}
