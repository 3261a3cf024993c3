//! The users of a shard in an order in which they can be gone through bit by bit, and the searches that are under way.

use std::collections::VecDeque;
use std::sync::Arc;

use slotmap::SlotMap;

use crate::dialect::lync::search::{Question, RESULTS_MAX, Row};
use crate::shard::UserKey;
use crate::shard::letter::Ticket;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// Searches that wait for their turn on a shard; past it they are refused.
pub(super) const SCANS_MAX: usize = 256;
/// Users who are looked at in one go.
pub(super) const SLICE_USERS: usize = 256;

slotmap::new_key_type! {
    /// A search of a client of this shard.
    pub(in crate::shard) struct SearchKey;
}

/// All of it, one a shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct Directory {
    users: Vec<UserKey>,
    /// What this shard goes through for whoever asked, the first of them now.
    pub scans: VecDeque<Scan>,
    /// What clients of this shard wait for.
    pub searches: SlotMap<SearchKey, Search>,
}

/// One shard's part of a search.
#[derive(Debug)]
pub(in crate::shard) struct Scan {
    pub question: Arc<Question>,
    pub searcher: Aor,
    pub ticket: Ticket,
    /// How many users are still to be looked at: those before this place.
    left: usize,
    pub rows: Vec<Row>,
}

/// A search whose parts come from all shards.
#[derive(Debug)]
pub(in crate::shard) struct Search {
    pub server: ServerKey,
    pub searcher: Aor,
    pub results_max: usize,
    /// Shards that have not answered.
    pub waits: usize,
    pub rows: Vec<Row>,
    /// There are more than were told.
    pub more: bool,
    /// A shard had too much to do.
    pub busy: bool,
}

impl Directory {
    /// A user is new; their place.
    pub fn add(&mut self, user: UserKey) -> usize {
        self.users.push(user);
        self.users.len() - 1
    }

    /// The user at `place` is no more. Who was last is there now, and is returned.
    pub fn remove(&mut self, place: usize) -> Option<UserKey> {
        if place >= self.users.len() {
            return None;
        }
        self.users.swap_remove(place);
        self.users.get(place).copied()
    }

    /// Begins a part of a search; false where too many wait.
    pub fn scan(&mut self, question: Arc<Question>, searcher: Aor, ticket: Ticket) -> bool {
        if self.scans.len() >= SCANS_MAX {
            return false;
        }
        self.scans.push_back(Scan {
            question,
            searcher,
            ticket,
            left: self.users.len(),
            rows: Vec::new(),
        });
        true
    }

    /// The users whom `scan` looks at next; none at its end. From the last to the first: who takes the place of
    /// somebody who is removed has been looked at then, never passed over. They may be looked at twice.
    pub fn next(&self, scan: &mut Scan) -> &[UserKey] {
        let end = scan.left.min(self.users.len());
        let start = end.saturating_sub(SLICE_USERS);
        scan.left = start;
        self.users.get(start..end).unwrap_or_default()
    }
}

impl Search {
    /// A shard has answered.
    pub fn gather(&mut self, rows: Vec<Row>, more: bool) {
        self.waits = self.waits.saturating_sub(1);
        self.more |= more;
        self.rows.extend(rows);
    }

    /// What is told: by name, then by address, each once, and no more than was asked for.
    pub fn finish(mut self) -> (Vec<Row>, bool) {
        let order = |row: &Row| (row.name.to_lowercase(), row.user.clone());
        self.rows.sort_by_cached_key(order);
        self.rows.dedup_by(|one, other| one.user == other.user);
        let most = self.results_max.min(RESULTS_MAX);
        let more = self.more || self.rows.len() > most;
        self.rows.truncate(most);
        (self.rows, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::ShardId;

    #[test]
    fn nobody_is_passed_over_who_is_there_all_the_time() {
        let mut keys: SlotMap<UserKey, ()> = SlotMap::with_key();
        let mut directory = Directory::default();
        let all: Vec<UserKey> = (0..1_000).map(|_| keys.insert(())).collect();
        for (place, user) in all.iter().enumerate() {
            assert_eq!(directory.add(*user), place);
        }
        let question = Arc::new(Question::new(&[], None));
        let searcher = Aor::parse("a@b").expect("an address");
        let ticket = Ticket {
            shard: ShardId(0),
            key: 0,
        };
        assert!(directory.scan(question, searcher, ticket));
        let mut scan = directory.scans.pop_front().expect("it was added");
        let mut seen = Vec::new();
        let mut gone = Vec::new();
        loop {
            let slice = directory.next(&mut scan);
            if slice.is_empty() {
                break;
            }
            assert!(slice.len() <= SLICE_USERS);
            seen.extend_from_slice(slice);
            // One goes that was not looked at yet, and one that was.
            for place in [scan.left / 2, scan.left + 1] {
                if let Some(user) = directory.users.get(place).copied() {
                    directory.remove(place);
                    gone.push(user);
                }
            }
        }
        for user in all.iter().filter(|user| !gone.contains(user)) {
            assert!(seen.contains(user));
        }
    }

    #[test]
    fn a_search_ends_sorted_and_cut() {
        let row = |name: &str, user: &str| Row {
            name: name.into(),
            user: Aor::parse(user).expect("an address"),
            card: Default::default(),
        };
        let mut search = Search {
            server: ServerKey::default(),
            searcher: Aor::parse("a@x").expect("an address"),
            results_max: 2,
            waits: 2,
            rows: Vec::new(),
            more: false,
            busy: false,
        };
        search.gather(vec![row("bob", "b@x"), row("Anna", "z@x")], false);
        search.gather(vec![row("Anna", "a@x"), row("Anna", "z@x")], false);
        assert_eq!(search.waits, 0);
        let (rows, more) = search.finish();
        let users: Vec<&str> = rows.iter().map(|row| row.user.as_str()).collect();
        assert_eq!((users, more), (vec!["a@x", "z@x"], true));
    }
}
