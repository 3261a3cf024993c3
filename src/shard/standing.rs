//! What the store keeps of a user beside credentials: it outlives the process, and reaches the shard as part of the record.

use std::sync::Arc;

use crate::calls;
use crate::presence::{Access, Card, Choice, Contacts, Waiting};
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
}

impl Standing {
    /// Nothing is said: a user without it is the same. The version of an emptied contact list is still worth keeping.
    pub fn is_default(&self) -> bool {
        *self == Standing::default()
    }

    /// For a user's record: nothing where nothing is said.
    pub fn shared(self) -> Option<Arc<Standing>> {
        (!self.is_default()).then(|| Arc::new(self))
    }
}
