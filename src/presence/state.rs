//! What is known of a presentity, folded: one small value. What of it a level sees is `view`'s.
//!
//! Twenty-four bytes and a share in the note; what few people have (a meeting, a place) is kept apart.

use std::sync::Arc;

use crate::documents::pidf::{Basic, Note};
use crate::documents::place::Place;
use crate::documents::rpid::Activities;
use crate::presence::choice::NoteKind;
use crate::presence::level::Level;
use crate::presence::view::seen;
use crate::presence::words::{Availability, MachineState};
use crate::sip::time::Now;

/// What is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// A few words by the person.
    pub note: Option<Arc<Note>>,
    /// What few people have.
    pub more: Option<Box<More>>,
    /// What the person does, beside what `availability` says.
    pub activities: Activities,
    /// Reachable or not.
    pub basic: Basic,
    /// The one word for it.
    pub availability: Availability,
    /// Whether somebody is at a machine; `None` where none tells.
    pub machine: Option<MachineState>,
    /// What the note is about.
    pub note_kind: NoteKind,
}

/// The rare parts of a state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct More {
    /// The person's own words for the state.
    pub custom: Option<Arc<str>>,
    /// What the meeting is about.
    pub subject: Option<Arc<str>>,
    /// Words for where the person is.
    pub location: Option<Arc<str>>,
    /// The kind of place.
    pub place: Option<Place>,
    /// Minutes ahead of UTC.
    pub offset_min: Option<i16>,
    /// When somebody was last at a machine, where nobody is now.
    pub last_active: Option<Now>,
    /// When the state ends, where a choice or the diary says so.
    pub until: Option<Now>,
}

impl State {
    /// Nobody there, nothing to say.
    pub const OFFLINE: State = State {
        note: None,
        more: None,
        activities: Activities::NONE,
        basic: Basic::Closed,
        availability: Availability::Offline,
        machine: None,
        note_kind: NoteKind::Personal,
    };

    /// Is somebody reachable, and no machine of theirs in use?
    pub fn is_idle(&self) -> bool {
        self.machine
            .is_some_and(|machine| machine != MachineState::Active)
    }

    /// Whether all of `other` that somebody of this level is told the time of is the same.
    pub(super) fn same_status(&self, other: &State, level: Level) -> bool {
        let status = |state: &State| {
            let seen = seen(state, Now(0), level);
            // Busy by the diary and busy by a device are one thing to who sees no diary: what the word says needs no activity.
            let activities = seen.word.written().activities.union(seen.activities);
            (state.basic, seen.word, activities)
        };
        status(self) == status(other)
    }
}
