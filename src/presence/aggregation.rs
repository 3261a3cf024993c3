//! One state out of many: folds what a user's endpoints say into what watchers see.
//!
//! Any set of publications has an answer, and the order they came in does not change it. The table:
//!
//! | open said | closed said | registered | basic  | availability and activities of                       |
//! |-----------|-------------|------------|--------|------------------------------------------------------|
//! | yes       | any         | any        | open   | the endpoints that are not closed                    |
//! | no        | yes         | any        | closed | `Offline`; activities of all that said something     |
//! | no        | no          | yes        | open   | the endpoints that are not closed, else `Available`  |
//! | no        | no          | no         | closed | `Offline`; activities of all that said something     |
//!
//! - Of several publications of one endpoint the newest counts, alone (baresip 1.0 leaves its first one behind).
//! - Of several endpoints the availability that comes first in `Availability` counts, with the activities of
//!   those that share it: who is away from one desk and writes at another is there.
//! - The note is the newest that is not empty, whatever its endpoint says of reachability.

use std::sync::Arc;

use crate::documents::pidf::{Basic, Note};
use crate::documents::rpid::Activities;
use crate::presence::publication::EndpointKey;
use crate::presence::state::{Availability, State};
use crate::sip::time::Now;

/// What one publication says, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Which endpoint says it.
    pub endpoint: EndpointKey,
    /// When its content was last new; no two of one presentity share an instant.
    pub at: Now,
    /// Reachable, not, or nothing about it.
    pub basic: Option<Basic>,
    /// What the person does.
    pub activities: Activities,
    /// What the person notes.
    pub note: Option<&'a Arc<Note>>,
}

/// Folds. Looks at each pair, so `said` must be bounded (`Limits::publications_max`).
pub fn aggregate<'a>(
    said: impl Iterator<Item = Said<'a>> + Clone,
    endpoint_registered: bool,
) -> State {
    let counting = said
        .clone()
        .filter(|one| !said.clone().any(|other| supersedes(&other, one)));
    let says = |basic| counting.clone().any(|one| one.basic == Some(basic));
    let open = says(Basic::Open) || (endpoint_registered && !says(Basic::Closed));

    let note = said
        .clone()
        .filter(|one| one.note.is_some())
        .max_by_key(|one| one.at)
        .and_then(|one| one.note)
        .cloned();
    if !open {
        let activities = counting.map(|one| one.activities);
        return State {
            note,
            activities: activities.fold(Activities::NONE, Activities::union),
            ..State::OFFLINE
        };
    }

    let present = counting.filter(|one| one.basic != Some(Basic::Closed));
    let availability = present
        .clone()
        .map(|one| Availability::of(one.activities))
        .min()
        .unwrap_or(Availability::Available);
    let activities = present
        .map(|one| one.activities)
        .filter(|activities| Availability::of(*activities) == availability)
        .fold(Activities::NONE, Activities::union);
    State {
        note,
        activities,
        basic: Basic::Open,
        availability,
    }
}

fn supersedes(newer: &Said<'_>, older: &Said<'_>) -> bool {
    newer.endpoint == older.endpoint && newer.at > older.at
}

#[cfg(test)]
mod tests;
