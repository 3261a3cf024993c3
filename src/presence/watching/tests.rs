//! Who asks the owner and who is told, also against a naive reference; and what an entry costs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn aor(name: &str) -> Aor {
    Aor::parse(&format!("{name}@example.com")).unwrap()
}

fn shown(version: u64) -> Shown {
    Shown {
        version,
        document: Arc::from(version.to_string().into_bytes()),
    }
}

const A: SubscriptionKey = SubscriptionKey(30);
const B: SubscriptionKey = SubscriptionKey(10);
const C: SubscriptionKey = SubscriptionKey(20);

#[test]
fn the_first_asks_the_owner_and_the_last_tells_it() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    assert_eq!(watching.watch(&alice, A), Watched::AskOwner);
    assert_eq!(watching.watch(&alice, B), Watched::Waiting);
    assert_eq!(watching.put(&alice, shown(5)), [B, A]);
    assert_eq!(watching.watch(&alice, C), Watched::Shown(&shown(5)));
    assert_eq!(watching.watch(&alice, C), Watched::Shown(&shown(5)));
    assert_eq!(watching.subscriptions(&alice), [B, C, A]);

    assert_eq!(watching.unwatch(&alice, B), Unwatched::OthersWatch);
    assert_eq!(watching.unwatch(&alice, B), Unwatched::NotWatching);
    assert_eq!(watching.unwatch(&alice, A), Unwatched::OthersWatch);
    assert_eq!(watching.unwatch(&alice, C), Unwatched::TellOwner);
    assert_eq!(watching.unwatch(&alice, C), Unwatched::NotWatching);
    assert!(watching.is_empty());
}

#[test]
fn an_older_state_never_replaces_a_newer_one() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    watching.watch(&alice, A);
    assert_eq!(watching.put(&alice, shown(5)), [A]);
    assert_eq!(watching.put(&alice, shown(4)), []);
    assert_eq!(watching.put(&alice, shown(5)), []);
    assert_eq!(watching.shown(&alice), Some(&shown(5)));
    assert_eq!(watching.put(&alice, shown(6)), [A]);
}

#[test]
fn a_letter_that_comes_after_the_last_watcher_left_is_for_nobody() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    watching.watch(&alice, A);
    watching.unwatch(&alice, A);
    assert_eq!(watching.put(&alice, shown(5)), []);
    assert!(watching.is_empty());
    assert_eq!(watching.shown(&alice), None);
    assert_eq!(watching.subscriptions(&alice), []);
}

#[test]
fn ten_thousand_watchers_give_their_memory_back() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    for key in 0..10_000 {
        watching.watch(&alice, SubscriptionKey(key));
    }
    for key in 0..9_990 {
        assert_eq!(
            watching.unwatch(&alice, SubscriptionKey(key)),
            Unwatched::OthersWatch
        );
    }
    let capacity = watching.table.get(&alice).unwrap().subscriptions.capacity();
    assert!(capacity <= 64, "{capacity}");
}

#[test]
fn an_entry_costs_what_the_head_of_this_file_says() {
    assert_eq!(size_of::<(Aor, Seen)>(), 64);
}

proptest! {
    #[test]
    fn it_does_what_a_naive_one_does(
        steps in proptest::collection::vec((0u8..3, 0u8..3, 0u64..6, 0u64..9), 0..80),
    ) {
        let names = ["alice", "bob", "carol"].map(aor);
        let mut watching = Watching::new(7);
        let mut naive: BTreeMap<u8, (Option<u64>, Vec<u64>)> = BTreeMap::new();
        for (what, who, key, version) in steps {
            let name = &names[usize::from(who)];
            match what {
                0 => {
                    let expected = match naive.get(&who) {
                        None => Watched::AskOwner,
                        Some((None, _)) => Watched::Waiting,
                        Some((Some(version), _)) => Watched::Shown(&shown(*version)),
                    };
                    prop_assert_eq!(watching.watch(name, SubscriptionKey(key)), expected);
                    let keys = &mut naive.entry(who).or_default().1;
                    keys.push(key);
                    keys.sort_unstable();
                    keys.dedup();
                }
                1 => {
                    let there = naive.get(&who).is_some_and(|(_, keys)| keys.contains(&key));
                    let last = there && naive.get(&who).is_some_and(|(_, keys)| keys.len() == 1);
                    let expected = match (there, last) {
                        (false, _) => Unwatched::NotWatching,
                        (true, true) => Unwatched::TellOwner,
                        (true, false) => Unwatched::OthersWatch,
                    };
                    prop_assert_eq!(watching.unwatch(name, SubscriptionKey(key)), expected);
                    if last {
                        naive.remove(&who);
                    } else if let Some((_, keys)) = naive.get_mut(&who) {
                        keys.retain(|known| *known != key);
                    }
                }
                _ => {
                    let told = watching.put(name, shown(version)).iter().map(|key| key.0).collect::<Vec<_>>();
                    let expected = match naive.get_mut(&who) {
                        Some((known, keys)) if known.is_none_or(|known| known < version) => {
                            *known = Some(version);
                            keys.clone()
                        }
                        _ => Vec::new(),
                    };
                    prop_assert_eq!(told, expected);
                }
            }
            prop_assert_eq!(watching.len(), naive.len());
        }
    }
}
