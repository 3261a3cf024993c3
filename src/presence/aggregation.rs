//! One state out of many: folds what a user's endpoints, calendar and calls say, and what the user chose, into one state.
//!
//! Any set of publications has an answer, and the order they came in does not change it.
//!
//! Of several publications of one endpoint the newest counts, alone (baresip 1.0 leaves its first one behind). Below, an
//! endpoint is its newest publication; *there* are those that are not closed.
//!
//! # Is anybody reachable?
//!
//! | one says open | one says closed | registered | basic |
//! |---------------|-----------------|------------|--------|
//! | yes           | any             | any        | open   |
//! | no            | yes             | any        | closed |
//! | no            | no              | yes        | open   |
//! | no            | no              | no         | closed |
//!
//! Closed is *offline*, and nothing else is known then but the note.
//!
//! # What does each source say? (`words` has the words)
//!
//! | source | says |
//! |--------|------|
//! | an endpoint there | what its user does; where that says nothing, its machine: active → available, idle → idle, away or locked → away; where it tells nothing, *silently* available |
//! | all endpoints there | the earliest of their words; silently available where there is none, or where available is only said silently |
//! | the calendar | the earliest of what all endpoints there have in their diaries now |
//! | the phone | the earliest of this server's own word and what an endpoint there publishes |
//!
//! # Which one counts? The first line that applies
//!
//! | choice | endpoints | calendar | comes to |
//! |--------|-----------|----------|----------|
//! | available, busy | any | any | the choice, or the phone's word where that is earlier |
//! | any other | any | any | the choice |
//! | none | silent, idle, away | out of office, off work | the calendar, or the phone's word where there is one |
//! | none | any | out of office, off work, nothing | the endpoints, or the phone's word where that is earlier |
//! | none | any | in a meeting, busy | the earliest of endpoints, calendar and phone |
//!
//! So a choice beats what is found out by itself, but for a call: who is in one is in one. A choice whose time is over is none.
//!
//! # What goes with it
//!
//! | part | is |
//! |------|----|
//! | activities | those of every source whose word is the one that counts; of a choice none |
//! | own words | the choice's, where that counts; else the newest of an endpoint whose word counts |
//! | subject | the newest of a diary whose word counts |
//! | note | the choice's; else, unless the choice is to appear offline, the newest that is not empty, of any publication |
//! | location, place, time zone | each the newest of an endpoint there that has one |
//! | machine | the earliest of active, idle, away, locked of the endpoints there |
//! | last active | where no machine is active: the latest input of any there |
//! | end | the choice's, where that counts; else the diary's, where its word counts: the latest end of those entries in it. None where one of them has no end, or an endpoint's own word is the same |

use std::sync::Arc;

use crate::documents::pidf::{Basic, Note};
use crate::documents::rpid::Activities;
use crate::presence::choice::{Choice, Manual, NoteKind};
use crate::presence::content::{Content, Rare};
use crate::presence::publication::EndpointKey;
use crate::presence::state::{More, State};
use crate::presence::words::{Availability, MachineState, Phone, Source};
use crate::sip::time::Now;

/// What one publication says.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Which endpoint says it.
    pub endpoint: EndpointKey,
    /// When its content was last new; no two of one presentity share an instant.
    pub at: Now,
    /// What.
    pub content: &'a Content,
}

/// What else is known of the user.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The moment.
    pub now: Now,
    /// The registrar's word: is any endpoint registered?
    pub registered: bool,
    /// This server's word on the user's calls.
    pub phone: Phone,
    /// What the user chose.
    pub choice: Option<&'a Choice>,
}

/// Folds. Looks at each pair, so `said` must be bounded (`Limits::publications_max`).
pub fn aggregate<'a>(said: impl Iterator<Item = Said<'a>> + Clone, known: &Known<'_>) -> State {
    let now = known.now;
    let counting = said
        .clone()
        .filter(|one| !said.clone().any(|other| supersedes(&other, one)));
    let says = |basic| counting.clone().any(|one| one.content.basic == Some(basic));
    let open = says(Basic::Open) || (known.registered && !says(Basic::Closed));
    let (note, note_kind) = note(said.clone(), known);
    if !open {
        return State {
            note,
            note_kind,
            ..State::OFFLINE
        };
    }

    let there = counting.filter(|one| one.content.basic != Some(Basic::Closed));
    let machine = there
        .clone()
        .filter_map(|one| Some(one.content.machine?.at(now)))
        .min();
    let endpoints = there.clone().map(|one| word(&one, now)).min();
    let silent = endpoints.is_none_or(|word| word == Availability::Available)
        && machine != Some(MachineState::Active);
    let endpoints = endpoints.unwrap_or(Availability::Available);
    let diary = |one: &Said<'_>| Availability::of(Source::Calendar.part(one.content.doing(now)));
    let calendar = there.clone().filter_map(|one| diary(&one)).min();
    let rings =
        |one: &Said<'_>| Availability::of(Source::Phone.part(one.content.doing(now))).is_some();
    let published = there.clone().any(|one| rings(&one));
    let phone = [
        known.phone.word(),
        published.then_some(Availability::InACall),
    ]
    .into_iter()
    .flatten()
    .min();

    let of_itself = match calendar {
        Some(word @ (Availability::OutOfOffice | Availability::OffWork)) => match endpoints {
            Availability::Idle | Availability::Away => word,
            Availability::Available if silent => word,
            endpoints => endpoints,
        },
        Some(word) => endpoints.min(word),
        None => endpoints,
    };
    let chosen = known.choice.and_then(|choice| choice.state_at(now));
    let counts = match chosen.map(Availability::from) {
        None => earliest(of_itself, phone),
        Some(word @ (Availability::Available | Availability::Busy)) => earliest(word, phone),
        Some(word) => word,
    };
    let by_choice = chosen.is_some_and(|chosen| Availability::from(chosen) == counts);

    let mut activities = Activities::NONE;
    if !by_choice {
        for one in there.clone() {
            let doing = one.content.doing(now);
            if word(&one, now) == counts {
                activities = activities.union(Source::User.part(doing));
            }
            if diary(&one) == Some(counts) {
                activities = activities.union(Source::Calendar.part(doing));
            }
        }
        if phone == Some(counts) {
            activities = activities.union(Source::PHONE);
        }
    }
    let newest = |part: &dyn Fn(&Said<'a>) -> Option<&'a Arc<str>>| {
        let with = there
            .clone()
            .filter_map(|one| Some((one.at, part(&one)?.clone())));
        with.max_by_key(|(at, _)| *at).map(|(_, text)| text)
    };
    let choice = known.choice.filter(|_| by_choice);
    let diary_ends = there
        .clone()
        .filter_map(|one| one.content.diary_ends(now, counts))
        .max()
        .filter(|ends| *ends != Now(u64::MAX))
        .filter(|_| !there.clone().any(|one| word(&one, now) == counts));
    let custom = match choice {
        Some(choice) => choice.custom.as_deref().map(Arc::from),
        None => newest(&|one| one.content.custom(now).filter(|_| word(one, now) == counts)),
    };
    let more = More {
        custom,
        subject: match choice {
            Some(_) => None,
            None => newest(&|one| one.content.subject(now, counts)),
        },
        location: newest(&|one| one.content.rare.as_ref()?.location.as_ref()),
        place: newest_of(there.clone(), |rare| rare.place),
        offset_min: newest_of(there.clone(), |rare| rare.offset_min),
        last_active: match machine {
            None | Some(MachineState::Active) => None,
            Some(_) => there
                .filter_map(|one| one.content.machine?.last_input())
                .max(),
        },
        until: match choice {
            Some(choice) => choice.until,
            None => diary_ends,
        },
    };
    State {
        note,
        more: (more != More::default()).then(|| Box::new(more)),
        activities,
        basic: Basic::Open,
        availability: counts,
        machine,
        note_kind,
    }
}

fn supersedes(newer: &Said<'_>, older: &Said<'_>) -> bool {
    newer.endpoint == older.endpoint && newer.at > older.at
}

fn earliest(word: Availability, phone: Option<Availability>) -> Availability {
    phone.map_or(word, |phone| phone.min(word))
}

/// What an endpoint says of its user.
fn word(one: &Said<'_>, now: Now) -> Availability {
    Availability::of(Source::User.part(one.content.doing(now)))
        .or_else(|| Some(one.content.machine?.at(now).word()))
        .unwrap_or(Availability::Available)
}

fn newest_of<'a, T>(
    there: impl Iterator<Item = Said<'a>>,
    part: impl Fn(&Rare) -> Option<T>,
) -> Option<T> {
    let with = there.filter_map(|one| Some((one.at, part(one.content.rare.as_ref()?)?)));
    with.max_by_key(|(at, _)| *at).map(|(_, found)| found)
}

fn note<'a>(
    said: impl Iterator<Item = Said<'a>>,
    known: &Known<'_>,
) -> (Option<Arc<Note>>, NoteKind) {
    let chosen = known
        .choice
        .and_then(|choice| Some((choice.note.as_ref()?, choice.note_kind)));
    if let Some((text, kind)) = chosen {
        let note = Note {
            text: text.clone(),
            language: "".into(),
        };
        return (Some(Arc::new(note)), kind);
    }
    let chosen = known.choice.and_then(|choice| choice.state_at(known.now));
    // Of somebody offline there is no publication to show a note of.
    let hides = chosen == Some(Manual::AppearOffline);
    let newest = said
        .filter(|_| !hides)
        .filter(|one| one.content.note.is_some())
        .max_by_key(|one| one.at);
    let Some(one) = newest else {
        return (None, NoteKind::Personal);
    };
    let diary = Availability::of(Source::Calendar.part(one.content.doing(known.now)));
    let kind = match diary {
        Some(Availability::OutOfOffice) => NoteKind::OutOfOffice,
        _ => NoteKind::Personal,
    };
    (one.content.note.clone(), kind)
}

#[cfg(test)]
mod chance;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
