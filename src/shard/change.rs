//! What a shard asks the store to keep, and how that ends: the store decides, the shard obeys. What is kept comes back as the
//! user's record, the same way as what `muster user` does.

use crate::dialect::lync::{containers, published};
use crate::immcu::content::Outcome;
use crate::presence::{Choice, ContactEdit, Edit, Manual, Waiting};
use crate::shard::ShardId;
use crate::shard::standing::{Standing, StandingError};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// What waits on a shard for the store's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepTicket {
    /// Whose it is.
    pub shard: ShardId,
    /// Its slot there.
    pub key: u64,
}

/// One change of a user's standing data. It is made in what is stored when its turn comes, not in what the shard saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The user chose this, or nothing.
    Choice(Aor, Option<Choice>),
    /// The user chose this state, whatever the note beside it is.
    Chosen {
        /// Whose.
        user: Aor,
        /// What; `None` takes back what was chosen before.
        state: Option<Manual>,
        /// The user's own words for it.
        custom: Option<Box<str>>,
        /// Its end.
        until: Now,
    },
    /// The time of a choice is over: it is taken back, if it is still the one that ends then.
    ChoiceEnded {
        /// Whose.
        user: Aor,
        /// Its end.
        until: Now,
    },
    /// The user waits for somebody.
    AlertAdded {
        /// Who waits.
        user: Aor,
        /// For whom.
        whom: Aor,
    },
    /// The user waits no longer, or need not.
    AlertRemoved {
        /// Who waited.
        user: Aor,
        /// For whom.
        whom: Aor,
    },
    /// So many voice messages wait for the user.
    Waiting {
        /// Whose.
        user: Aor,
        /// So many are to have been there before; `None` where that does not matter.
        before: Option<Waiting>,
        /// How many.
        waiting: Waiting,
    },
    /// An edit of the contact list.
    Contacts(Aor, ContactEdit),
    /// The user publishes, or takes back, what lasts; all of it or nothing. A state or a note among it is the user's choice.
    Categories(Aor, Vec<Edit>),
    /// These go into containers or out of them, which makes rules of them; `version` is what there is to be before.
    Containers {
        /// Whose.
        user: Aor,
        /// The version of the rules that it is made on top of.
        version: u32,
        /// What.
        steps: Vec<containers::Step>,
    },
    /// Somebody has added the user to their list, and says so.
    SubscriberAdded {
        /// Whom.
        user: Aor,
        /// Who.
        by: Aor,
        /// The name that others see.
        name: Box<str>,
    },
    /// The user knows that these have added them, or is to be asked again.
    SubscribersAcknowledged(Aor, Vec<(Aor, bool)>),
}

/// Why a change was not kept. What was kept before is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotKept {
    /// The user was removed meanwhile.
    NoSuchUser,
    /// It breaks a limit or contradicts what is kept.
    Refused(StandingError),
    /// The disk said no.
    Failed,
}

impl Change {
    /// Whose standing data it changes.
    pub fn user(&self) -> &Aor {
        match self {
            Change::Choice(user, _)
            | Change::Chosen { user, .. }
            | Change::ChoiceEnded { user, .. }
            | Change::AlertAdded { user, .. }
            | Change::AlertRemoved { user, .. }
            | Change::Waiting { user, .. }
            | Change::Contacts(user, _)
            | Change::Categories(user, _)
            | Change::Containers { user, .. }
            | Change::SubscriberAdded { user, .. }
            | Change::SubscribersAcknowledged(user, _) => user,
        }
    }

    /// Makes the change. Whether the result may be is `Standing::check`'s to say.
    ///
    /// # Errors
    /// Where an edit can't be made in what there is.
    pub fn apply(&self, standing: &mut Standing) -> Result<(), StandingError> {
        match self {
            Change::Choice(_, choice) => standing.choice = choice.clone(),
            Change::Chosen {
                state,
                custom,
                until,
                ..
            } => {
                let note = standing.choice.take().and_then(Choice::reset);
                let chosen = state.map(|state| Choice {
                    state: Some(state),
                    custom: custom.clone(),
                    until: Some(*until),
                    ..note.clone().unwrap_or_default()
                });
                standing.choice = chosen.or(note);
            }
            Change::ChoiceEnded { until, .. } => {
                let same = |choice: &Choice| choice.until == Some(*until);
                if standing.choice.as_ref().is_some_and(same) {
                    standing.choice = standing.choice.take().and_then(Choice::reset);
                }
            }
            Change::AlertAdded { whom, .. } => {
                if !standing.alerts.contains(whom) {
                    standing.alerts.push(whom.clone());
                }
            }
            Change::AlertRemoved { whom, .. } => standing.alerts.retain(|each| each != whom),
            Change::Waiting {
                before, waiting, ..
            } => {
                if before.is_some_and(|before| before != standing.waiting) {
                    return Err(StandingError::Stale);
                }
                standing.waiting = *waiting;
            }
            Change::Contacts(_, edit) => {
                let made = edit.make(&mut standing.contacts);
                return made.map_err(StandingError::Contacts);
            }
            Change::Categories(_, edits) => {
                if !standing.categories.edit(edits.clone()) {
                    return Err(StandingError::Stale);
                }
                let is_about = |name: &str| edits.iter().any(|edit| &*edit.key.category == name);
                let (state, note) = (is_about(published::STATE), is_about(published::NOTE));
                let before = standing.choice.as_ref();
                standing.choice = published::choice_of(&standing.categories, before, state, note);
            }
            Change::Containers { version, steps, .. } => {
                if standing.access_version != *version {
                    return Err(StandingError::Stale);
                }
                let applied = containers::apply(&mut standing.access, steps);
                return applied.map_err(|_| StandingError::Rights);
            }
            Change::SubscriberAdded { by, name, .. } => {
                // Who is on one's own list needs no telling.
                if !standing.contacts.contains(by) {
                    standing.subscribers.add(by, name);
                }
            }
            Change::SubscribersAcknowledged(_, known) => {
                for (who, acknowledged) in known {
                    standing.subscribers.acknowledge(who, *acknowledged);
                }
            }
        }
        Ok(())
    }
}

impl NotKept {
    /// What a request is answered whose change was not kept.
    pub fn outcome(self) -> Outcome {
        match self {
            NotKept::NoSuchUser => Outcome::of(404),
            NotKept::Refused(StandingError::Stale) => Outcome::of(409),
            NotKept::Refused(_) => Outcome::with(403, "More Than Is Kept For A User"),
            NotKept::Failed => Outcome::with(503, "The Store Takes No Changes Now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_state_leaves_the_note_and_is_taken_back() {
        let bob = Aor::parse("bob@example.com").expect("an address");
        let chosen = |state| Change::Chosen {
            user: bob.clone(),
            state,
            custom: state.map(|_| "In the lab".into()),
            until: Now(10),
        };
        let mut standing = Standing::default();
        chosen(None).apply(&mut standing).expect("it can be made");
        assert_eq!(standing.choice, None);
        let note = Choice {
            note: Some("Mail is better".into()),
            ..Choice::default()
        };
        standing.choice = Some(note.clone());
        chosen(Some(Manual::Busy))
            .apply(&mut standing)
            .expect("it can be made");
        let expected = Choice {
            state: Some(Manual::Busy),
            custom: Some("In the lab".into()),
            until: Some(Now(10)),
            ..note.clone()
        };
        assert_eq!(standing.choice, Some(expected));
        chosen(None).apply(&mut standing).expect("it can be made");
        assert_eq!(standing.choice, Some(note));
    }

    #[test]
    fn the_end_of_one_choice_is_not_the_end_of_the_next() {
        let bob = Aor::parse("bob@example.com").expect("an address");
        let until = |at| Choice {
            state: Some(Manual::Busy),
            until: Some(Now(at)),
            note: Some("here".into()),
            ..Choice::default()
        };
        let mut standing = Standing::default();
        Change::Choice(bob.clone(), Some(until(10)))
            .apply(&mut standing)
            .expect("it can be made");
        Change::Choice(bob.clone(), Some(until(20)))
            .apply(&mut standing)
            .expect("it can be made");
        let ended = |at| Change::ChoiceEnded {
            user: bob.clone(),
            until: Now(at),
        };
        ended(10).apply(&mut standing).expect("it can be made");
        assert_eq!(standing.choice, Some(until(20)));
        ended(20).apply(&mut standing).expect("it can be made");
        let left = standing.choice.expect("the note stays");
        assert_eq!((left.state, left.note.as_deref()), (None, Some("here")));
    }
}
