//! Rounds: everybody once, the latest state to all, whoever comes and goes meanwhile.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const P: Package = Package::Presence;
const L: Level = Level::Friends;

fn alice() -> Aor {
    Aor::parse("alice@example.com").expect("an address")
}

fn keys(numbers: impl IntoIterator<Item = u64>) -> Vec<SubscriptionKey> {
    numbers.into_iter().map(SubscriptionKey).collect()
}

/// The next slice; and whether there is more.
fn slice(
    fanouts: &mut Fanouts,
    view: &[SubscriptionKey],
    max: usize,
) -> (Vec<SubscriptionKey>, bool) {
    let (mut slice, mut fanout) = (Vec::new(), fanouts.pop().expect("one is on its way"));
    let more = fanout.take(view, max, &mut slice);
    if more {
        fanouts.later(fanout);
    }
    (slice, more)
}

#[test]
fn everybody_is_told_once_and_at_most_so_many_at_a_time() {
    let (mut fanouts, view) = (Fanouts::default(), keys(1..=7));
    fanouts.begin(P, &alice(), L, None);
    assert_eq!(slice(&mut fanouts, &view, 3), (keys([1, 2, 3]), true));
    assert_eq!(slice(&mut fanouts, &view, 3), (keys([4, 5, 6]), true));
    assert_eq!(slice(&mut fanouts, &view, 3), (keys([7]), false));
    assert!(fanouts.is_empty());
}

#[test]
fn a_newer_change_goes_on_where_the_older_one_stood_and_ends_there() {
    let (mut fanouts, view) = (Fanouts::default(), keys(1..=7));
    fanouts.begin(P, &alice(), L, Some(Now(1)));
    assert_eq!(slice(&mut fanouts, &view, 3).0, keys([1, 2, 3]));
    fanouts.begin(P, &alice(), L, Some(Now(2)));
    assert_eq!(fanouts.len(), 1);
    assert!(fanouts.is_untold(P, &alice(), L, SubscriptionKey(2)));
    assert_eq!(slice(&mut fanouts, &view, 3).0, keys([4, 5, 6]));
    assert!(!fanouts.is_untold(P, &alice(), L, SubscriptionKey(5)));
    assert_eq!(slice(&mut fanouts, &view, 3), (keys([7, 1, 2]), true));
    assert_eq!(slice(&mut fanouts, &view, 3), (keys([3]), false));
}

#[test]
fn two_that_are_on_their_way_take_turns() {
    let (mut fanouts, view) = (Fanouts::default(), keys(1..=3));
    let bob = Aor::parse("bob@example.com").expect("an address");
    fanouts.begin(P, &alice(), L, None);
    fanouts.begin(P, &bob, L, None);
    let mut order = Vec::new();
    while let Some(mut fanout) = fanouts.pop() {
        order.push(fanout.user.clone());
        if fanout.take(&view, 2, &mut Vec::new()) {
            fanouts.later(fanout);
        }
    }
    assert_eq!(order, [alice(), bob.clone(), alice(), bob]);
}

#[test]
fn who_has_heard_it_otherwise_is_not_told_again_but_the_next_change() {
    let (mut fanouts, view) = (Fanouts::default(), keys(1..=4));
    fanouts.begin(P, &alice(), L, None);
    fanouts.heard(P, &alice(), L, SubscriptionKey(2));
    assert!(!fanouts.is_untold(P, &alice(), L, SubscriptionKey(2)));
    assert_eq!(slice(&mut fanouts, &view, 2), (keys([1]), true));
    fanouts.begin(P, &alice(), L, None);
    assert_eq!(slice(&mut fanouts, &view, 9), (keys([3, 4, 1, 2]), false));
}

#[test]
fn what_is_forgotten_goes_on_no_more() {
    let mut fanouts = Fanouts::default();
    for level in [Level::Friends, Level::External] {
        fanouts.begin(P, &alice(), level, None);
    }
    fanouts.forget(P, &alice(), Level::External);
    assert_eq!(fanouts.len(), 1);
    fanouts.forget_all(Package::Dialog, &alice());
    assert_eq!(fanouts.len(), 1);
    fanouts.forget_all(P, &alice());
    assert!(fanouts.is_empty());
}

#[derive(Clone, Debug)]
enum Deed {
    Change,
    Slice(usize),
    Come(u64),
    Go(u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Change),
        (1..5usize).prop_map(Deed::Slice),
        (1..30u64).prop_map(Deed::Come),
        (1..30u64).prop_map(Deed::Go),
    ]
}

proptest! {
    /// Whatever happens in between: when a round has ended, all who watch know the latest state.
    #[test]
    fn in_the_end_all_know_the_latest(deeds in proptest::collection::vec(deed(), 1..80)) {
        let mut fanouts = Fanouts::default();
        let (mut state, mut known) = (0u32, BTreeMap::new());
        for deed in deeds.into_iter().chain(std::iter::repeat_n(Deed::Slice(4), 10)) {
            match deed {
                Deed::Change => {
                    state += 1;
                    fanouts.begin(P, &alice(), L, None);
                }
                Deed::Come(key) => {
                    known.insert(SubscriptionKey(key), state);
                    fanouts.heard(P, &alice(), L, SubscriptionKey(key));
                }
                Deed::Go(key) => drop(known.remove(&SubscriptionKey(key))),
                Deed::Slice(max) if !fanouts.is_empty() => {
                    let view: Vec<_> = known.keys().copied().collect();
                    let (slice, _) = slice(&mut fanouts, &view, max);
                    prop_assert!(slice.len() <= max);
                    for key in slice {
                        let before = known.insert(key, state);
                        prop_assert!(before.is_some_and(|before| before < state), "told twice");
                    }
                }
                Deed::Slice(_) => {}
            }
            let stale: Vec<_> = known
                .iter()
                .filter(|(_, known)| **known != state)
                .map(|(key, _)| *key)
                .collect();
            for key in &stale {
                prop_assert!(fanouts.is_untold(P, &alice(), L, *key), "{key:?} is left out");
            }
            if fanouts.is_empty() {
                prop_assert_eq!(stale, []);
            }
        }
        prop_assert!(fanouts.is_empty());
    }
}
