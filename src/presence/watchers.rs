//! Who watches a user, by name: kept while the user asks (RFC 3857), and not else.
//!
//! The owner counts its watchers by shard and level only, so when the first subscription to the list comes it asks each
//! watching shard. From then on it follows the letters of each subscription that begins or ends. What was in before the
//! question is in the shard's answer; what came after is counted here; and what a shard says to end before its answer
//! is not in it, for letters between two shards arrive in order. So nobody is counted twice or forgotten.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::documents::winfo;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// The watchers of one user.
#[derive(Clone, Debug, Default)]
pub struct Watchers {
    /// The number of the question, which its answers repeat: a user may be removed and come back meanwhile.
    question: u64,
    all: BTreeMap<Aor, Entry>,
    /// Shards that were asked and have not answered.
    asked: SmallVec<[u16; 4]>,
    last_id: u32,
    /// The list is another one than was told last.
    news: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    id: u32,
    subscriptions: u32,
    since: Now,
    display_name: Box<str>,
}

impl Watchers {
    /// An empty list, of which `shards` have still to say who is on it.
    pub fn asking(question: u64, shards: SmallVec<[u16; 4]>) -> Watchers {
        Watchers {
            question,
            asked: shards,
            ..Watchers::default()
        }
    }

    /// Have all shards answered?
    pub fn is_complete(&self) -> bool {
        self.asked.is_empty()
    }

    /// `subscriptions` more of this watcher. True where the list is another one by that.
    pub fn add(
        &mut self,
        watcher: &Aor,
        display_name: &str,
        subscriptions: u32,
        since: Now,
    ) -> bool {
        if let Some(entry) = self.all.get_mut(watcher) {
            entry.subscriptions = entry.subscriptions.saturating_add(subscriptions);
            let before = entry.since;
            entry.since = before.min(since);
            return entry.since != before;
        }
        self.last_id = self.last_id.wrapping_add(1);
        let entry = Entry {
            id: self.last_id,
            subscriptions,
            since,
            display_name: display_name.into(),
        };
        self.all.insert(watcher.clone(), entry);
        true
    }

    /// One subscription less, on `shard`. True where the list is another one by that.
    pub fn remove(&mut self, watcher: &Aor, shard: u16) -> bool {
        // It is not in the answer that the shard still owes.
        if self.asked.contains(&shard) {
            return false;
        }
        let Some(entry) = self.all.get_mut(watcher) else {
            return false;
        };
        entry.subscriptions -= 1;
        let gone = entry.subscriptions == 0;
        if gone {
            self.all.remove(watcher);
        }
        gone
    }

    /// The list is another one than was told last. True where that is new.
    pub fn changed(&mut self) -> bool {
        !core::mem::replace(&mut self.news, true)
    }

    /// Is there something to tell? Then it is told now. A list that is not complete waits.
    pub fn take_news(&mut self) -> bool {
        self.is_complete() && core::mem::take(&mut self.news)
    }

    /// How many watch.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// `shard` has said who watches there. False where that answers another question.
    pub fn answered(&mut self, question: u64, shard: u16) -> bool {
        let asked = self.asked.len();
        if self.question == question {
            self.asked.retain(|each| *each != shard);
        }
        self.asked.len() < asked
    }

    /// The list, packed for those who are told.
    pub fn packed(&self) -> Vec<u8> {
        let mut all: Vec<(&Aor, &Entry)> = self.all.iter().collect();
        all.sort_unstable_by_key(|(_, entry)| entry.id);
        let mut out = Vec::new();
        for (watcher, entry) in all {
            winfo::pack(
                &mut out,
                &winfo::Watcher {
                    id: entry.id,
                    since: entry.since,
                    address: watcher.as_str(),
                    display_name: &entry.display_name,
                },
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(watchers: &Watchers) -> String {
        let list = watchers.packed();
        let names = winfo::unpack(&list).map(|each| format!("{}:{} ", each.id, each.address));
        names.collect()
    }

    #[test]
    fn counts_are_exact_around_the_question() {
        let [bob, carol, dave] =
            ["bob@h", "carol@h", "dave@h"].map(|name| Aor::parse(name).unwrap());
        let mut watchers = Watchers::asking(9, SmallVec::from_slice(&[1, 2]));
        // Came after the question was sent: the shard's answer has it not.
        assert!(watchers.add(&bob, "Bob", 1, Now(5)));
        // Ended before the shard saw the question: so its answer has it not either.
        assert!(!watchers.remove(&carol, 1));
        assert!(!watchers.remove(&bob, 1));
        assert!(!watchers.answered(8, 1));
        assert!(watchers.answered(9, 1));
        assert!(!watchers.answered(9, 1));
        watchers.add(&bob, "Bob", 2, Now(3));
        watchers.add(&dave, "", 1, Now(4));
        assert!(!watchers.is_complete());
        assert!(watchers.answered(9, 2));
        assert!(watchers.is_complete());
        assert_eq!(names(&watchers), "1:bob@h 2:dave@h ");
        for _ in 0..2 {
            assert!(!watchers.remove(&bob, 1));
            assert_eq!(names(&watchers), "1:bob@h 2:dave@h ");
        }
        assert!(watchers.remove(&bob, 2));
        assert_eq!(names(&watchers), "2:dave@h ");
        assert!(watchers.add(&bob, "Bob", 1, Now(7)));
        assert_eq!(names(&watchers), "2:dave@h 3:bob@h ");
    }

    #[test]
    fn what_is_packed_the_same_is_no_news() {
        let [bob, carol] = ["bob@h", "carol@h"].map(|name| Aor::parse(name).unwrap());
        let mut watchers = Watchers::asking(9, SmallVec::from_slice(&[1]));
        for (more, watcher, since) in [
            (true, &bob, 5),
            (true, &bob, 6),
            (true, &bob, 4),
            (true, &carol, 4),
            (false, &carol, 0),
            (false, &bob, 0),
            (false, &bob, 0),
            (false, &bob, 0),
            (false, &bob, 0),
        ] {
            let before = watchers.packed();
            let differs = match more {
                true => watchers.add(watcher, "", 1, Now(since)),
                false => watchers.remove(watcher, 2),
            };
            assert_eq!(differs, watchers.packed() != before, "{watchers:?}");
        }
        // Gathered, and told once it is complete.
        assert!(watchers.changed() && !watchers.changed());
        assert!(!watchers.take_news());
        assert!(watchers.answered(9, 1));
        assert!(watchers.take_news() && !watchers.take_news());
        assert!(watchers.changed());
    }
}
