//! What the store keeps of a user beside credentials: it outlives the process, and reaches the shard as part of the record.

use std::sync::Arc;

use crate::calls::{self, RuleError};
use crate::dialect::lync::published;
use crate::presence::{
    Access, Card, Categories, Choice, ChoiceError, ContactError, Contacts, Subscribers, Waiting,
};
use crate::registrar::Home;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// One-time alerts that a user may wait for.
pub const ALERTS_MAX: usize = 100;

/// The standing data of one user. All defaults are the same as none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The contact list.
    pub contacts: Contacts,
    /// Who sees how much.
    pub access: Access,
    /// Rises with each change of the rules.
    pub access_version: u32,
    /// The chosen state and the note.
    pub choice: Option<Choice>,
    /// Phones, title and so on.
    pub card: Card,
    /// What is to be done with calls.
    pub rules: calls::Rules,
    /// Whom the user waits for: "tell me when they are available". At most [`ALERTS_MAX`], each once, in the order of asking.
    pub alerts: Vec<Aor>,
    /// Voice messages.
    pub waiting: Waiting,
    /// The user's home, where it is another server.
    pub home: Option<Home>,
    /// How often the administrator has signed the user out; each time all endpoints end.
    pub sign_outs: u32,
    /// What the user has published that lasts.
    pub categories: Categories,
    /// Who has added the user to their list, and said so.
    pub subscribers: Subscribers,
}

/// Why standing data is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StandingError {
    /// The choice or its note.
    Choice(ChoiceError),
    /// A rule for calls.
    Rules(RuleError),
    /// An edit of the contact list.
    Contacts(ContactError),
    /// More alerts than [`ALERTS_MAX`].
    TooManyAlerts,
    /// Somebody is waited for twice, or the user waits for themself: which entry.
    Alert(usize),
    /// More urgent messages than messages.
    Waiting,
    /// A publication is about another version than there is.
    Stale,
    /// More access rules than there may be.
    Rights,
}

/// Why an edit is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused<E> {
    /// Who asked for it says no.
    Edit(E),
    /// What it leads to may not be.
    Standing(StandingError),
}

impl Standing {
    /// This standing data after `edit` at `now`, in its plain form, checked; `None` where that changes nothing. The versions of the contact list
    /// and of the access rules rise where they are others, and what is published of the choice is in step with it. The store and the tests'
    /// stand-in for it both go this way.
    pub fn edited<E>(
        &self,
        owner: &Aor,
        now: Now,
        edit: impl FnOnce(&mut Standing) -> Result<(), E>,
    ) -> Result<Option<Standing>, Refused<E>> {
        let mut new = self.clone();
        edit(&mut new).map_err(Refused::Edit)?;
        if new.choice.as_ref().is_some_and(Choice::is_nothing) {
            new.choice = None;
        }
        new.contacts = if new.contacts.is_same_list(&self.contacts) {
            self.contacts.clone()
        } else {
            let version = self.contacts.version().saturating_add(1);
            new.contacts.at_least(version)
        };
        new.access_version = match new.access == self.access {
            true => self.access_version,
            false => self.access_version.saturating_add(1),
        };
        if new.choice != self.choice || new.categories != self.categories {
            published::in_step(&mut new.categories, new.choice.as_ref(), now);
        }
        new.check(owner).map_err(Refused::Standing)?;
        Ok((new != *self).then_some(new))
    }

    /// Whether all of it may be kept for `owner`: every limit, and nothing that contradicts itself. Contacts, access rules and the card cannot
    /// be wrong.
    pub fn check(&self, owner: &Aor) -> Result<(), StandingError> {
        if let Some(choice) = &self.choice {
            choice.check().map_err(StandingError::Choice)?;
        }
        self.rules.check(owner).map_err(StandingError::Rules)?;
        if self.alerts.len() > ALERTS_MAX {
            return Err(StandingError::TooManyAlerts);
        }
        let bad = |(at, whom): &(usize, &Aor)| {
            *whom == owner || self.alerts.iter().take(*at).any(|before| before == *whom)
        };
        if let Some((at, _)) = self.alerts.iter().enumerate().find(bad) {
            return Err(StandingError::Alert(at));
        }
        if !self.waiting.is_consistent() {
            return Err(StandingError::Waiting);
        }
        Ok(())
    }

    /// Nothing is said: a user without it is the same. The version of an emptied contact list is still worth keeping.
    pub fn is_default(&self) -> bool {
        *self == Standing::default()
    }

    /// For a user's record: nothing where nothing is said.
    pub fn shared(self) -> Option<Arc<Standing>> {
        (!self.is_default()).then(|| Arc::new(self))
    }
}

impl core::fmt::Display for StandingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StandingError::Choice(error) => error.fmt(f),
            StandingError::Rules(error) => error.fmt(f),
            StandingError::Contacts(error) => error.fmt(f),
            StandingError::TooManyAlerts => {
                write!(
                    f,
                    "more than {ALERTS_MAX} alerts; remove one that is not needed any more"
                )
            }
            StandingError::Alert(at) => write!(
                f,
                "alerts[{at}]: the user themself, or somebody who is waited for already; somebody else is right"
            ),
            StandingError::Stale => {
                f.write_str("it was published anew meanwhile; publish on top of that")
            }
            StandingError::Rights => {
                write!(f, "more than {} access rules", crate::presence::MEMBERS_MAX)
            }
            StandingError::Waiting => f.write_str(
                "more urgent messages than messages; the urgent ones are counted among the others",
            ),
        }
    }
}

impl<E: core::fmt::Display> core::fmt::Display for Refused<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refused::Edit(error) => error.fmt(f),
            Refused::Standing(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use super::*;
    use crate::presence::Manual;

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@example.com")).expect("an address")
    }

    #[test]
    fn an_edit_is_whole_or_nothing() {
        let mut standing = Standing::default();
        let mut step = |edit: &dyn Fn(&mut Standing)| {
            let edited = standing.edited(&aor("bob"), Now(1), |new| {
                edit(new);
                Ok::<_, Infallible>(())
            });
            match edited {
                Ok(Some(new)) => {
                    standing = new;
                    format!("contacts {}", standing.contacts.version())
                }
                Ok(None) => "the same".to_owned(),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(step(&|_| {}), "the same");
        assert_eq!(
            step(&|new| new.choice = Some(Choice::default())),
            "the same"
        );
        let list = |names: &[&str]| {
            let list = names.iter().map(|name| (aor(name), "".into(), 0)).collect();
            Contacts::build(0, Vec::new(), list).expect("a list")
        };
        assert_eq!(step(&|new| new.contacts = list(&["carol"])), "contacts 1");
        assert_eq!(step(&|new| new.contacts = list(&["carol"])), "the same");
        assert_eq!(step(&|new| new.contacts = list(&[])), "contacts 2");
        assert_eq!(step(&|new| new.alerts = vec![aor("carol")]), "contacts 2");
        for (edit, refusal) in [
            (
                &(|new: &mut Standing| new.alerts.push(aor("carol"))) as &dyn Fn(&mut Standing),
                "alerts[1]",
            ),
            (&|new| new.alerts.push(aor("bob")), "alerts[1]"),
            (
                &|new| new.alerts = (0..=ALERTS_MAX).map(|n| aor(&format!("u{n}"))).collect(),
                "more than 100 alerts",
            ),
            (&|new| new.waiting.urgent_old = 1, "more urgent"),
            (&|new| new.rules.ring_also.push(aor("bob")), "ring_also[0]"),
            (
                &|new| {
                    new.choice = Some(Choice {
                        state: Some(Manual::Busy),
                        custom: Some("a\nb".into()),
                        ..Choice::default()
                    });
                },
                "the words for a state",
            ),
        ] {
            let said = step(edit);
            assert!(said.starts_with(refusal), "{said}");
        }
        assert_eq!(step(&|new| new.alerts = Vec::new()), "contacts 2");
    }
}
