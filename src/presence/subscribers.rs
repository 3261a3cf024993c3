//! Who has added a user to their list and said so: the user is asked once what to make of it, at whatever endpoint, and it is
//! kept until then.

use crate::presence::contacts::NAME_CHARS_MAX;
use crate::presence::line;
use crate::sip::uri::Aor;

/// Subscribers of one user that are remembered.
pub const SUBSCRIBERS_MAX: usize = 1_000;

/// One who has added the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// Who.
    pub user: Aor,
    /// The name that others see; may be empty.
    pub name: Box<str>,
    /// The user knows.
    pub acknowledged: bool,
}

/// All of one user, in the order of their coming; each once, at most [`SUBSCRIBERS_MAX`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscribers(Vec<Subscriber>);

impl Subscribers {
    /// None.
    pub const NONE: Subscribers = Subscribers(Vec::new());

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Subscriber> {
        self.0.iter()
    }

    /// Is this one known, acknowledged or not?
    pub fn contains(&self, user: &Aor) -> bool {
        self.0.iter().any(|one| one.user == *user)
    }

    /// One more has added the user. Who is known stays as they are. Where there is no room the oldest one that the user knows
    /// is forgotten; where they know none, the new one: past so many nobody reads them. False where nothing changed.
    pub fn add(&mut self, user: &Aor, name: &str) -> bool {
        if self.contains(user) {
            return false;
        }
        if self.0.len() >= SUBSCRIBERS_MAX {
            let Some(at) = self.0.iter().position(|one| one.acknowledged) else {
                return false;
            };
            self.0.remove(at);
        }
        let name = match line::is_line(name, NAME_CHARS_MAX) {
            true => name.into(),
            false => "".into(),
        };
        self.0.push(Subscriber {
            user: user.clone(),
            name,
            acknowledged: false,
        });
        true
    }

    /// The user knows, or not. False where nothing changed.
    pub fn acknowledge(&mut self, user: &Aor, acknowledged: bool) -> bool {
        let one = self.0.iter_mut().find(|one| one.user == *user);
        one.is_some_and(|one| {
            core::mem::replace(&mut one.acknowledged, acknowledged) != acknowledged
        })
    }

    /// From what is stored. `None` where it can't be.
    pub fn build(all: Vec<Subscriber>) -> Option<Subscribers> {
        let mut subscribers = Subscribers::default();
        for one in all {
            if subscribers.0.len() >= SUBSCRIBERS_MAX || !subscribers.add(&one.user, &one.name) {
                return None;
            }
            subscribers.acknowledge(&one.user, one.acknowledged);
        }
        Some(subscribers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_asked_about_once_and_the_known_make_room() {
        let aor = |n: usize| Aor::parse(&format!("u{n}@h")).expect("an address");
        let mut all = Subscribers::default();
        assert!(all.add(&aor(0), "Zero") && !all.add(&aor(0), "Again"));
        assert!(all.acknowledge(&aor(0), true) && !all.acknowledge(&aor(0), true));
        assert!(!all.add(&aor(0), "") && !all.acknowledge(&aor(1), true));
        for n in 1..SUBSCRIBERS_MAX {
            assert!(all.add(&aor(n), "two\nlines"));
        }
        assert!(
            all.add(&aor(SUBSCRIBERS_MAX), ""),
            "the first one makes room"
        );
        assert!(!all.contains(&aor(0)));
        assert!(!all.add(&aor(0), ""), "nobody does");
        assert_eq!(all.iter().len(), SUBSCRIBERS_MAX);
        assert!(all.iter().all(|one| one.name.is_empty()));
        let stored: Vec<Subscriber> = all.iter().cloned().collect();
        assert_eq!(Subscribers::build(stored.clone()), Some(all));
        let twice = [stored, vec![]].concat();
        assert!(Subscribers::build([twice.clone(), twice].concat()).is_none());
    }
}
