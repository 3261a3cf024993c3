//! Counts by level and shard, against a bag that is written apart.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const P: Package = Package::Presence;

fn shown(version: u64) -> Shown {
    Shown {
        version,
        document: Arc::from(version.to_string().into_bytes()),
    }
}

#[test]
fn a_place_costs_eight_bytes() {
    assert_eq!(size_of::<Place>(), 8);
}

#[test]
fn a_document_lasts_as_long_as_its_level_is_watched() {
    let mut audience = Audience::default();
    audience.add(P, Level::Friends, 3);
    audience.add(P, Level::Friends, 1);
    audience.add(P, Level::Blocked, 1);
    audience.show(P, Level::Friends, shown(7));
    audience.show(P, Level::Blocked, shown(5));
    assert_eq!(audience.shown(P, Level::Friends), Some(&shown(7)));
    assert!(audience.remove(P, Level::Friends, 3));
    assert_eq!(audience.shown(P, Level::Friends), Some(&shown(7)));
    assert!(audience.remove(P, Level::Friends, 1));
    assert_eq!(audience.shown(P, Level::Friends), None);
    assert_eq!(audience.shown(P, Level::Blocked), Some(&shown(5)));
    assert!(!audience.remove(P, Level::Friends, 1));
    assert!(!audience.is_empty());
    assert!(audience.remove(P, Level::Blocked, 1));
    assert!(audience.is_empty());
}

proptest! {
    #[test]
    fn it_counts_as_a_bag_does(steps in proptest::collection::vec((any::<bool>(), 0usize..3, 0u16..4), 0..60)) {
        let levels = [Level::Blocked, Level::Colleagues, Level::Own];
        let mut audience = Audience::default();
        let mut bag: BTreeMap<(Level, u16), u32> = BTreeMap::new();
        for (adds, level, shard) in steps {
            let level = levels[level];
            if adds {
                audience.add(P, level, shard);
                *bag.entry((level, shard)).or_default() += 1;
            } else {
                let there = bag.get_mut(&(level, shard)).map(|count| *count -= 1).is_some();
                bag.retain(|_, count| *count > 0);
                prop_assert_eq!(audience.remove(P, level, shard), there);
            }
            let mut watched: Vec<Level> = bag.keys().map(|(level, _)| *level).collect();
            watched.dedup();
            prop_assert_eq!(audience.levels(P).collect::<Vec<_>>(), watched);
            for level in levels {
                let shards: Vec<u16> = bag.keys().filter(|(l, _)| *l == level).map(|(_, s)| *s).collect();
                prop_assert_eq!(audience.shards(P, level).collect::<Vec<_>>(), shards);
            }
            let mut all: Vec<u16> = bag.keys().map(|(_, shard)| *shard).collect();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(audience.all_shards(P).to_vec(), all);
            prop_assert_eq!(audience.is_empty(), bag.is_empty());
        }
    }
}
