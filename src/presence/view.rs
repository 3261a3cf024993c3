//! What of a presentity each level sees.
//!
//! | part | external | colleagues | workgroup | friends | own |
//! |------|----------|------------|-----------|---------|-----|
//! | availability, activities that are not the calendar's | yes | yes | yes | yes | yes |
//! | calendar: meeting, vacation and the like, until when | as busy, away | yes | yes | yes | yes |
//! | own words for the state | | yes | yes | yes | yes |
//! | note | | yes | yes | yes | yes |
//! | work phone, mail | | yes | yes | yes | yes |
//! | mobile phone | | | yes | yes | yes |
//! | meeting subject | | | yes | yes | yes |
//! | location, place | | | yes | yes | yes |
//! | time zone | | | yes | yes | yes |
//! | last active | | | yes | yes | yes |
//! | home phone, other phone | | | | yes | yes |
//! | that it only appears offline | | | | | yes |
//!
//! Blocked sees somebody who is offline and notes nothing. Of somebody who is offline, or appears so, the others see the note
//! alone, if their level sees notes: without a note those documents are the same byte for byte, with no time in them, so
//! nobody can tell from a document that they are blocked. Title, company and office have no place in PIDF; their line is
//! the other dialect's.

use smallvec::SmallVec;

use crate::documents::pidf::{Basic, Contact, Shown};
use crate::documents::rpid::ShownActivities;
use crate::presence::card::{Card, CardLine};
use crate::presence::level::Level;
use crate::presence::state::{More, State};
use crate::presence::words::{Availability, Source};
use crate::sip::time::Now;

/// What a level may see or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// What is in the diary, and when it ends.
    Calendar,
    /// The person's own words for the state.
    Custom,
    /// The note.
    Note,
    /// The phone on the desk.
    WorkPhone,
    /// The mail address.
    Mail,
    /// The phone in the pocket.
    MobilePhone,
    /// What the meeting is about.
    Subject,
    /// Where the person is.
    Location,
    /// What time it is there.
    TimeZone,
    /// When somebody was last at a machine.
    LastActive,
    /// The phone at home, and any other.
    HomePhone,
    /// That the person is there though it does not look so.
    Hiding,
}

/// The table of the head: each part, and the least level that sees it. Each level sees what those below it see.
const TABLE: [(Part, Level); 12] = [
    (Part::Calendar, Level::Colleagues),
    (Part::Custom, Level::Colleagues),
    (Part::Note, Level::Colleagues),
    (Part::WorkPhone, Level::Colleagues),
    (Part::Mail, Level::Colleagues),
    (Part::MobilePhone, Level::Workgroup),
    (Part::Subject, Level::Workgroup),
    (Part::Location, Level::Workgroup),
    (Part::TimeZone, Level::Workgroup),
    (Part::LastActive, Level::Workgroup),
    (Part::HomePhone, Level::Friends),
    (Part::Hiding, Level::Own),
];

/// Does this level see that?
pub fn sees(level: Level, part: Part) -> bool {
    TABLE
        .iter()
        .any(|(each, least)| *each == part && level >= *least)
}

/// The further contacts that a level is shown of a card.
pub fn contacts(card: &Card, level: Level, domain: &str) -> SmallVec<[Contact; 2]> {
    let lines = [
        (CardLine::WorkPhone, Part::WorkPhone),
        (CardLine::MobilePhone, Part::MobilePhone),
        (CardLine::HomePhone, Part::HomePhone),
        (CardLine::OtherPhone, Part::HomePhone),
        (CardLine::Mail, Part::Mail),
    ];
    let mut contacts = SmallVec::new();
    for (line, part) in lines {
        let Some(text) = card.get(line).filter(|_| sees(level, part)) else {
            continue;
        };
        let uri = match line.is_phone() {
            true => tel(text, domain),
            false => format!("mailto:{text}"),
        };
        contacts.push(Contact {
            id: line.name(),
            uri,
        });
    }
    contacts
}

/// The URI of a number as people write it (RFC 3966 §3). One that does not begin with `+` means something only here.
fn tel(number: &str, domain: &str) -> String {
    let extension_at = number.find(|c: char| c.is_ascii_alphabetic() || c == ';');
    let (number, extension) = number.split_at(extension_at.unwrap_or(number.len()));
    let global = number.trim_start().starts_with('+');
    let mut uri = String::from("tel:");
    if global {
        uri.push('+');
    }
    let fits = |c: &char| {
        c.is_ascii_digit() || matches!(c, '-' | '.' | '(' | ')') || (!global && "*#".contains(*c))
    };
    uri.extend(number.chars().filter(fits));
    let extension: String = extension.chars().filter(char::is_ascii_digit).collect();
    if !extension.is_empty() {
        uri.push_str(";ext=");
        uri.push_str(&extension);
    }
    if !global {
        uri.push_str(";phone-context=");
        uri.push_str(domain);
    }
    uri
}

/// What `level` sees of a state that is so since `since`, with the contacts that it may see.
pub fn view<'a>(
    state: &'a State,
    since: Now,
    level: Level,
    entity: &'a str,
    contacts: &'a [Contact],
) -> Shown<'a> {
    let sees = |part| sees(level, part);
    let note = state.note.as_deref().filter(|_| sees(Part::Note));
    let hides = state.availability == Availability::AppearOffline && !sees(Part::Hiding);
    if level == Level::Blocked || hides || state.basic == Basic::Closed {
        return Shown {
            note,
            ..Shown::bare(entity, Basic::Closed)
        };
    }
    static NOTHING: More = More {
        custom: None,
        subject: None,
        location: None,
        place: None,
        offset_min: None,
        last_active: None,
        until: None,
    };
    let more = state.more.as_deref().unwrap_or(&NOTHING);
    let word = match state.availability {
        Availability::InAMeeting if !sees(Part::Calendar) => Availability::Busy,
        Availability::OutOfOffice | Availability::OffWork if !sees(Part::Calendar) => {
            Availability::Away
        }
        word => word,
    };
    let written = word.written();
    let said = match sees(Part::Calendar) {
        true => state.activities,
        false => state.activities.without(Source::CALENDAR),
    };
    let custom = more.custom.as_deref().filter(|_| sees(Part::Custom));
    let tells_activity = state.is_idle() && sees(Part::LastActive);
    Shown {
        entity,
        basic: Basic::Open,
        activities: ShownActivities {
            first: written.first,
            set: written.activities.union(said),
            other: custom.or(written.other),
            note: more.subject.as_deref().filter(|_| sees(Part::Subject)),
            until: more.until.filter(|_| sees(Part::Calendar)),
        },
        note,
        idle: (word == Availability::Idle || tells_activity)
            .then_some(more.last_active.filter(|_| sees(Part::LastActive))),
        place: more.place.filter(|_| sees(Part::Location)),
        location: more.location.as_deref().filter(|_| sees(Part::Location)),
        offset_min: more.offset_min.filter(|_| sees(Part::TimeZone)),
        since: Some(since),
        contacts,
    }
}

#[cfg(test)]
mod tests;
