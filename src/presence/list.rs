//! A subscription to many users at once (RFC 4662): its entries, and what of them has still to be told.
//!
//! Always holds: entries are sorted by address, each there once; `waiting` is the number of those whose owner has not
//! answered. What an entry looks like is not here but in `Watching`, shared with all who watch.
//!
//! Memory: 24 bytes an entry, beside the 8 that each watcher of a user costs in `Watching`; the address is shared with
//! its owner and all who watch. A stranger costs 16 bytes and its text, which nobody shares.

use crate::presence::package::Package;
use crate::sip::uri::Aor;

/// Entries that are looked through one by one before a list is searched.
const ENTRIES_SCANNED_MAX: usize = 128;

/// The entries of one subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    entries: Vec<Entry>,
    /// URIs on the list that are nobody's here, as they were written.
    strangers: Box<[Box<str>]>,
    waiting: usize,
    /// Of the next document.
    version: u32,
    /// The next document names all.
    whole: bool,
    /// It is the subscriber's stored contact list, and follows it.
    stored: bool,
    /// What is watched of each.
    package: Package,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    user: Aor,
    standing: Standing,
    news: bool,
    /// It is named in a request that waits for its answer.
    named: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Asked,
    Watched,
    Nobody,
    /// Was nobody, and is asked about once more.
    Doubted,
}

/// What one document says of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line<'a> {
    /// A user of ours, who is watched.
    Watched(usize, &'a Aor),
    /// One whose owner has not answered.
    Asked(&'a Aor),
    /// One that there is not (any more).
    Nobody(&'a Aor),
    /// A URI that is nobody's here.
    Stranger(&'a str),
}

/// What `replace` found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replaced {
    /// New ones: their owners are to be asked.
    pub added: Vec<Aor>,
    /// Those who are on the list no longer: they are watched no longer.
    pub removed: Vec<Aor>,
}

impl List {
    /// An empty list, of whom `replace` or `add` is to tell. `stored`: it follows the subscriber's contact list.
    pub fn new(package: Package, stored: bool) -> List {
        List {
            entries: Vec::new(),
            strangers: Box::default(),
            waiting: 0,
            version: 0,
            whole: true,
            stored,
            package,
        }
    }

    /// What is watched of each.
    pub fn package(&self) -> Package {
        self.package
    }

    /// A request names these: they are on the list from now on, beside who was on it. Its answer will tell of them, and of
    /// `strangers`. Returns the new ones, whose owners are to be asked.
    pub fn add(&mut self, mut users: Vec<Aor>, strangers: Vec<Box<str>>) -> Vec<Aor> {
        users.sort_unstable();
        users.dedup();
        let (mut added, mut new) = (Vec::new(), Vec::new());
        for user in users {
            let Some(entry) = self.find(&user).and_then(|at| self.entries.get_mut(at)) else {
                added.push(user.clone());
                new.push(Entry {
                    user,
                    standing: Standing::Asked,
                    news: true,
                    named: true,
                });
                continue;
            };
            entry.named = true;
            if entry.standing == Standing::Nobody {
                entry.standing = Standing::Doubted;
                added.push(user);
            }
        }
        self.entries.append(&mut new);
        self.entries
            .sort_unstable_by(|one, other| one.user.cmp(&other.user));
        self.strangers = strangers.into();
        self.count_waiting();
        added
    }

    /// These are on the list no longer. Returns those who were.
    pub fn remove(&mut self, users: &[Aor]) -> Vec<Aor> {
        let mut gone = Vec::new();
        self.entries.retain(|entry| {
            let goes = users.contains(&entry.user);
            if goes {
                gone.push(entry.user.clone());
            }
            !goes
        });
        self.count_waiting();
        gone
    }

    /// Have the owners of all answered that a waiting request names?
    pub fn is_answered(&self) -> bool {
        let waits = |entry: &Entry| entry.named && entry.standing == Standing::Asked;
        self.waiting == 0 || !self.entries.iter().any(waits)
    }

    /// What the answer to a request says: a line for each that it names. From now on those are told of when they change.
    pub fn answered(&mut self) -> Vec<(Aor, bool)> {
        let mut all = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.named) {
            entry.named = false;
            entry.news = entry.standing == Standing::Asked;
            all.push((entry.user.clone(), entry.standing == Standing::Watched));
        }
        self.version = self.version.wrapping_add(1).max(1);
        all
    }

    /// Those whose owners have let them in and of whom there is news; it is told now, the first `most` of them.
    pub fn take_news(&mut self, most: usize) -> Vec<(Aor, bool)> {
        let told = |entry: &&mut Entry| entry.news && entry.standing != Standing::Asked;
        let mut all = Vec::new();
        for entry in self.entries.iter_mut().filter(told).take(most) {
            (entry.news, entry.named) = (false, false);
            let watched = matches!(entry.standing, Standing::Watched);
            all.push((entry.user.clone(), watched));
        }
        all
    }

    /// Is there news of somebody?
    pub fn has_news(&self) -> bool {
        let told = |entry: &Entry| entry.news && entry.standing != Standing::Asked;
        self.entries.iter().any(told)
    }

    /// Who of the last request is nobody's here. They are told of once.
    pub fn take_strangers(&mut self) -> Box<[Box<str>]> {
        core::mem::take(&mut self.strangers)
    }

    /// Does it follow the subscriber's contact list?
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// What it costs of a user's subscriptions: one for each entry and each stranger, and an empty list is one too. Strangers of
    /// a request (`add`) cost nothing: its answer takes them away.
    pub fn edges(&self) -> usize {
        let strangers = match self.package {
            Package::Categories => 0,
            _ => self.strangers.len(),
        };
        (self.entries.len() + strangers).max(1)
    }

    /// These are on the list from now on and nobody else, in any order; the next document names all.
    pub fn replace(&mut self, mut users: Vec<Aor>, strangers: Vec<Box<str>>) -> Replaced {
        users.sort_unstable();
        users.dedup();
        let mut replaced = Replaced::default();
        let mut before = core::mem::take(&mut self.entries).into_iter().peekable();
        self.entries.reserve_exact(users.len());
        for user in users {
            while let Some(gone) = before.next_if(|entry| entry.user < user) {
                replaced.removed.push(gone.user);
            }
            let entry = before.next_if(|entry| entry.user == user);
            self.entries.push(entry.unwrap_or_else(|| {
                replaced.added.push(user.clone());
                Entry {
                    user,
                    standing: Standing::Asked,
                    news: true,
                    named: false,
                }
            }));
        }
        replaced.removed.extend(before.map(|entry| entry.user));
        self.strangers = strangers.into();
        self.count_waiting();
        self.whole = true;
        replaced
    }

    fn count_waiting(&mut self) {
        let waits = |entry: &&Entry| entry.standing == Standing::Asked;
        self.waiting = self.entries.iter().filter(waits).count();
    }

    /// The next document names all. Returns those who were nobody, for they may be somebody by now.
    pub fn renew(&mut self) -> Vec<Aor> {
        self.lost();
        self.doubt()
    }

    /// Those who were nobody, for they may be somebody by now: their owners are to be asked.
    pub fn doubt(&mut self) -> Vec<Aor> {
        let nobody = |entry: &&mut Entry| entry.standing == Standing::Nobody;
        let mut again = Vec::new();
        for entry in self.entries.iter_mut().filter(nobody) {
            entry.standing = Standing::Doubted;
            again.push(entry.user.clone());
        }
        again
    }

    /// What was sent was not taken: the next document names all.
    pub fn lost(&mut self) {
        self.whole = true;
        self.entries.iter_mut().for_each(|entry| entry.news = true);
    }

    /// All entries.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &Aor> {
        self.entries.iter().map(|entry| &entry.user)
    }

    /// Is this user on the list?
    pub fn contains(&self, user: &Aor) -> bool {
        self.find(user).is_some()
    }

    fn find(&self, user: &Aor) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| entry.user.cmp(user))
            .ok()
    }

    /// The same for one who is watched: the owner's letters carry the text that is here too (`watched`). To look for that
    /// touches no text, and a search of texts that nobody else has looked at lately waits for memory at each step.
    fn find_shared(&self, user: &Aor) -> Option<usize> {
        let near = self.entries.iter().take(ENTRIES_SCANNED_MAX);
        near.map(|entry| &entry.user)
            .position(|known| known.is_shared_with(user))
            .or_else(|| self.find(user))
    }

    /// The owner has let it in. `user` is the address to keep: one that is shared. True where that is news.
    pub fn watched(&mut self, user: Aor, changed: bool) -> bool {
        let Some(entry) = self.find(&user).and_then(|at| self.entries.get_mut(at)) else {
            return false;
        };
        entry.user = user;
        let before = core::mem::replace(&mut entry.standing, Standing::Watched);
        let news = changed || before != Standing::Watched;
        entry.news |= news;
        if before == Standing::Asked {
            self.waiting -= 1;
        }
        news
    }

    /// There is no such user (any more). True where that is news.
    pub fn nobody(&mut self, user: &Aor) -> bool {
        let Some(entry) = self.find(user).and_then(|at| self.entries.get_mut(at)) else {
            return false;
        };
        let before = core::mem::replace(&mut entry.standing, Standing::Nobody);
        let news = !matches!(before, Standing::Nobody | Standing::Doubted);
        entry.news |= news;
        if before == Standing::Asked {
            self.waiting -= 1;
        }
        news
    }

    /// One on the list looks different now.
    pub fn changed(&mut self, user: &Aor) {
        let found = self.find_shared(user);
        if let Some(entry) = found.and_then(|at| self.entries.get_mut(at)) {
            entry.news = true;
        }
    }

    /// Has every owner answered?
    pub fn is_complete(&self) -> bool {
        self.waiting == 0
    }

    /// Has nothing been told yet?
    pub fn is_untold(&self) -> bool {
        self.version == 0
    }

    /// The number of the next document, and whether it names all.
    pub fn next(&self) -> (u32, bool) {
        (self.version, self.whole)
    }

    /// What the next document says, in the order of the list.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let named = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| self.whole || entry.news)
            .map(|(at, entry)| match entry.standing {
                Standing::Watched => Line::Watched(at, &entry.user),
                Standing::Asked => Line::Asked(&entry.user),
                Standing::Nobody | Standing::Doubted => Line::Nobody(&entry.user),
            });
        let strangers = self.strangers.iter().filter(|_| self.whole);
        named.chain(strangers.map(|uri| Line::Stranger(uri)))
    }

    /// The document was written. `kept_back`, ascending: the entries that found no room in it. They are said next.
    pub fn told(&mut self, kept_back: &[usize]) {
        for (at, entry) in self.entries.iter_mut().enumerate() {
            // An answer that is still to come is news when it comes.
            entry.news = kept_back.binary_search(&at).is_ok();
        }
        self.version = self.version.wrapping_add(1);
        self.whole = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@h")).expect("an address")
    }

    fn said(list: &List) -> String {
        let lines = list.lines().map(|line| match line {
            Line::Watched(at, user) => format!("{at}={} ", user.user()),
            Line::Asked(user) => format!("?{} ", user.user()),
            Line::Nobody(user) => format!("-{} ", user.user()),
            Line::Stranger(uri) => format!("!{uri} "),
        });
        lines.collect()
    }

    #[test]
    fn an_entry_costs_what_the_head_of_this_file_says() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    #[test]
    fn the_whole_first_and_then_what_changes() {
        let mut list = List::new(Package::Presence, false);
        let users = ["carol", "alice", "bob", "alice"].map(aor).to_vec();
        let replaced = list.replace(users, vec!["tel:+1".into()]);
        assert_eq!(replaced.added, ["alice", "bob", "carol"].map(aor));
        assert!(list.watched(aor("bob"), true));
        assert!(list.nobody(&aor("carol")));
        assert!(!list.is_complete() && list.is_untold());
        assert_eq!(said(&list), "?alice 1=bob -carol !tel:+1 ");
        assert_eq!((list.next(), list.edges()), ((0, true), 4));
        list.told(&[]);
        assert_eq!(said(&list), "");
        assert!(list.watched(aor("alice"), true) && list.is_complete());
        list.changed(&aor("bob"));
        list.changed(&aor("nobody"));
        assert_eq!(
            (said(&list).as_str(), list.next()),
            ("0=alice 1=bob ", (1, false))
        );
        // Only one found room.
        list.told(&[1]);
        assert_eq!((said(&list).as_str(), list.next()), ("1=bob ", (2, false)));
        list.told(&[]);
        // Asked anew, with the same answer.
        assert!(!list.watched(aor("bob"), false));
        assert_eq!(said(&list), "");
        assert_eq!(list.renew(), [aor("carol")]);
        assert_eq!(said(&list), "0=alice 1=bob -carol !tel:+1 ");
        list.told(&[]);
        assert!(!list.nobody(&aor("carol")));
        assert_eq!(list.renew(), [aor("carol")]);
        list.told(&[]);
        assert!(list.watched(aor("carol"), true));
        assert_eq!(said(&list), "2=carol ");
    }

    #[test]
    fn a_request_adds_to_a_list_and_is_answered_for_those_whom_it_names() {
        let mut list = List::new(Package::Categories, false);
        let told = |told: Vec<(Aor, bool)>| -> String {
            let one =
                |(user, watched): (Aor, bool)| format!("{}{} ", user.user(), u8::from(watched));
            told.into_iter().map(one).collect()
        };
        let users = ["bob", "alice", "bob"].map(aor).to_vec();
        assert_eq!(
            list.add(users, vec!["tel:+1".into()]),
            ["alice", "bob"].map(aor)
        );
        assert!(!list.is_answered() && list.edges() == 2);
        assert!(list.watched(aor("bob"), true) && list.nobody(&aor("alice")));
        assert!(list.is_answered());
        assert_eq!(told(list.answered()), "alice0 bob1 ");
        assert_eq!(list.take_strangers().len(), 1);
        assert!(list.take_strangers().is_empty() && !list.has_news());

        // Another request names one more, and one who was nobody; bob changes meanwhile.
        let users = ["carol", "alice"].map(aor).to_vec();
        assert_eq!(list.add(users, vec![]), ["alice", "carol"].map(aor));
        list.changed(&aor("bob"));
        assert!(!list.is_answered());
        // Answered before all have: who comes later is news.
        assert_eq!(told(list.answered()), "alice0 carol0 ");
        assert!(list.watched(aor("carol"), true) && list.watched(aor("alice"), true));
        assert_eq!(told(list.take_news(1)), "alice1 ");
        assert!(list.has_news());
        assert_eq!(told(list.take_news(9)), "bob1 carol1 ");
        assert!(!list.has_news());
        assert_eq!(list.remove(&["bob", "dora"].map(aor)), [aor("bob")]);
        assert_eq!(list.edges(), 2);
        assert!(list.doubt().is_empty() && list.nobody(&aor("carol")));
        assert_eq!(list.doubt(), [aor("carol")]);
        assert!(list.doubt().is_empty());
    }

    #[test]
    fn a_list_that_is_replaced_keeps_who_stays() {
        let mut list = List::new(Package::Presence, true);
        list.replace(["alice", "bob"].map(aor).to_vec(), vec![]);
        list.watched(aor("alice"), true);
        list.told(&[]);
        let replaced = list.replace(["alice", "dave"].map(aor).to_vec(), vec![]);
        assert_eq!(replaced.added, [aor("dave")]);
        assert_eq!(replaced.removed, [aor("bob")]);
        assert_eq!(said(&list), "0=alice ?dave ");
        assert!(!list.is_complete());
        list.replace(vec![], vec![]);
        assert!(list.is_complete() && list.edges() == 1);
    }
}
