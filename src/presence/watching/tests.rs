//! Who sees what and who is told, also against a naive reference; and what an entry costs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const P: Package = Package::Presence;

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
fn each_level_has_its_view_and_its_watchers() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    assert_eq!(
        watching.place(P, &alice, Level::Friends, &shown(5), A),
        Placed::New
    );
    watching.place(P, &alice, Level::Friends, &shown(5), B);
    watching.place(P, &alice, Level::External, &shown(3), C);
    assert_eq!(watching.put(P, &alice, Level::Friends, &shown(6)), [B, A]);
    assert_eq!(watching.put(P, &alice, Level::Workgroup, &shown(7)), []);
    assert_eq!(watching.shown(P, &alice, A), Some(&shown(6)));
    assert_eq!(watching.shown(P, &alice, C), Some(&shown(3)));
    assert_eq!(watching.subscriptions(P, &alice), [B, C, A]);

    assert_eq!(watching.unwatch(P, &alice, B), Some(Level::Friends));
    assert_eq!(watching.unwatch(P, &alice, B), None);
    assert_eq!(watching.unwatch(P, &alice, C), Some(Level::External));
    assert_eq!(watching.unwatch(P, &alice, A), Some(Level::Friends));
    assert!(watching.is_empty());
    assert_eq!(watching.put(P, &alice, Level::Friends, &shown(8)), []);
    assert_eq!(watching.shown(P, &alice, A), None);
}

#[test]
fn an_older_state_never_replaces_a_newer_one_of_its_level() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    watching.place(P, &alice, Level::Friends, &shown(5), A);
    assert_eq!(watching.put(P, &alice, Level::Friends, &shown(4)), []);
    assert_eq!(watching.put(P, &alice, Level::Friends, &shown(5)), []);
    assert_eq!(watching.put(P, &alice, Level::Friends, &shown(6)), [A]);
    // Who comes with an older answer sees the newer state that is known.
    watching.place(P, &alice, Level::Friends, &shown(5), B);
    assert_eq!(watching.shown(P, &alice, B), Some(&shown(6)));
}

#[test]
fn who_asks_anew_is_told_nothing_until_the_answer() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    watching.place(P, &alice, Level::Friends, &shown(5), A);
    watching.place(P, &alice, Level::Friends, &shown(5), B);
    watching.place(P, &alice, Level::External, &shown(3), C);
    assert_eq!(watching.move_all(P, &alice, |_, _| false), [B, C, A]);
    assert_eq!(watching.move_all(P, &alice, |_, _| false), []);
    assert_eq!(watching.put(P, &alice, Level::Friends, &shown(6)), []);
    assert_eq!(watching.shown(P, &alice, A), Some(&shown(5)));

    let blocked = watching.place(P, &alice, Level::Blocked, &shown(1), A);
    let (from, changed) = (Level::Friends, true);
    assert_eq!(blocked, Placed::Moved { from, changed });
    assert_eq!(watching.shown(P, &alice, A), Some(&shown(1)));
    // The same document at the same level: nothing to tell.
    let again = watching.place(P, &alice, Level::External, &shown(3), C);
    let (from, changed) = (Level::External, false);
    assert_eq!(again, Placed::Moved { from, changed });
    // Gone before the answer: the owner still counts the old place.
    assert_eq!(watching.unwatch(P, &alice, B), Some(Level::Friends));
    assert_eq!(watching.subscriptions(P, &alice), [C, A]);
}

#[test]
fn ten_thousand_watchers_give_their_memory_back() {
    let mut watching = Watching::new(1);
    let alice = aor("alice");
    for key in 0..10_000 {
        watching.place(
            P,
            &alice,
            Level::Colleagues,
            &shown(1),
            SubscriptionKey(key),
        );
    }
    for key in 0..9_990 {
        watching.unwatch(P, &alice, SubscriptionKey(key));
    }
    let seen = watching.seen(P, &alice).unwrap();
    let capacity = seen.views[0].subscriptions.capacity();
    assert!(capacity <= 64, "{capacity}");
}

#[test]
fn room_follows_watchers_that_come_and_go() {
    for most in [3, 9, 66, 130, 1_000] {
        let mut watching = Watching::new(1);
        let alice = aor("alice");
        let room = |watching: &Watching| {
            let view = &watching.seen(P, &alice).unwrap().views[0].subscriptions;
            (view.len(), view.capacity())
        };
        for key in 0..most {
            let key = SubscriptionKey(key);
            watching.place(P, &alice, Level::Colleagues, &shown(1), key);
            let (count, capacity) = room(&watching);
            assert!(capacity <= count + (count / 4).max(2), "{count} {capacity}");
        }
        for key in 0..most - 1 {
            watching.unwatch(P, &alice, SubscriptionKey(key));
            let (count, capacity) = room(&watching);
            assert!(capacity <= count + count / 2 + 4, "{count} {capacity}");
        }
    }
}

#[test]
fn an_entry_costs_what_the_head_of_this_file_says() {
    assert_eq!(size_of::<(Aor, Seen)>(), 88);
    assert_eq!(size_of::<View>(), 56);
}

/// The level and the version that each subscription holds, one by one.
#[derive(Default)]
struct Naive {
    placed: BTreeMap<(u8, u64), (Level, u64)>,
    moving: BTreeMap<(u8, u64), (Level, u64)>,
}

impl Naive {
    fn newest(&self, who: u8, level: Level) -> Option<u64> {
        self.placed
            .iter()
            .find(|((w, _), (l, _))| (*w, *l) == (who, level))
            .map(|(_, (_, version))| *version)
    }
}

proptest! {
    #[test]
    fn it_does_what_a_naive_one_does(
        steps in proptest::collection::vec((0u8..4, 0u8..3, 0u64..6, 0u64..9, 0usize..3), 0..80),
    ) {
        let names = ["alice", "bob", "carol"].map(aor);
        let levels = [Level::Blocked, Level::Colleagues, Level::Own];
        let mut watching = Watching::new(7);
        let mut naive = Naive::default();
        for (what, who, key, version, level) in steps {
            let (name, level) = (&names[usize::from(who)], levels[level]);
            match what {
                0 => {
                    let before = naive.moving.remove(&(who, key)).or(naive.placed.remove(&(who, key)));
                    let held = naive.newest(who, level).unwrap_or(version);
                    naive.placed.insert((who, key), (level, held));
                    let expected = match before {
                        None => Placed::New,
                        Some((from, saw)) => Placed::Moved { from, changed: saw != held },
                    };
                    prop_assert_eq!(watching.place(P, name, level, &shown(version), SubscriptionKey(key)), expected);
                }
                1 => {
                    let before = naive.moving.remove(&(who, key)).or(naive.placed.remove(&(who, key)));
                    prop_assert_eq!(watching.unwatch(P, name, SubscriptionKey(key)), before.map(|(level, _)| level));
                }
                2 => {
                    let newer = naive.newest(who, level).is_some_and(|known| known < version);
                    let mut told = Vec::new();
                    for ((w, key), (l, known)) in &mut naive.placed {
                        if newer && (*w, *l) == (who, level) {
                            *known = version;
                            told.push(SubscriptionKey(*key));
                        }
                    }
                    prop_assert_eq!(watching.put(P, name, level, &shown(version)).to_vec(), told);
                }
                _ => {
                    let asking: Vec<u64> = naive.placed.keys().filter(|(w, _)| *w == who).map(|(_, key)| *key).collect();
                    for key in &asking {
                        if let Some(held) = naive.placed.remove(&(who, *key)) {
                            naive.moving.insert((who, *key), held);
                        }
                    }
                    let asking: Vec<_> = asking.into_iter().map(SubscriptionKey).collect();
                    prop_assert_eq!(watching.move_all(P, name, |_, _| false), asking);
                }
            }
            for who in 0u8..3 {
                for key in 0..6 {
                    let held = naive.placed.get(&(who, key)).or(naive.moving.get(&(who, key)));
                    let seen = watching.shown(P, &names[usize::from(who)], SubscriptionKey(key));
                    prop_assert_eq!(seen.map(|shown| shown.version), held.map(|(_, version)| *version));
                }
            }
        }
    }
}
