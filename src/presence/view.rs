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
//! | title, company | yes | yes | yes | yes | yes |
//! | office | | yes | yes | yes | yes |
//!
//! Blocked sees somebody who is offline and notes nothing. Of somebody who is offline, or appears so, the others see the note
//! alone, if their level sees notes: without a note those documents are the same byte for byte, with no time in them, so
//! nobody can tell from a document that they are blocked. Title, company and office have no place in PIDF: Lync's card has them.
//! Until when has none in Lync's state.
//! What is published in categories for a level's container is that level's besides.

use smallvec::SmallVec;

use crate::documents::pidf::{Basic, Contact, Note, Shown};
use crate::documents::place::Place;
use crate::documents::rpid::{Activities, ShownActivities};
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
    /// What the person is, and in which company.
    Position,
    /// Where they sit.
    Office,
}

/// The table of the head: each part, and the least level that sees it. Each level sees what those below it see.
const TABLE: [(Part, Level); 14] = [
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
    (Part::Position, Level::External),
    (Part::Office, Level::Colleagues),
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
pub fn tel(number: &str, domain: &str) -> String {
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

/// What a level sees of a state, in no dialect's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen<'a> {
    /// The word; [`Availability::Offline`] of whoever is offline, looks so, or blocks the level.
    pub word: Availability,
    /// What the person does, beside what the word says.
    pub activities: Activities,
    /// That nobody is at a machine.
    pub idle: bool,
    /// When somebody last was.
    pub last_active: Option<Now>,
    /// The person's own words for the state.
    pub custom: Option<&'a str>,
    /// What the meeting is about.
    pub subject: Option<&'a str>,
    /// When the state ends, where a choice or the diary says so.
    pub until: Option<Now>,
    /// Words for the place.
    pub location: Option<&'a str>,
    /// Its kind.
    pub place: Option<Place>,
    /// Minutes ahead of UTC.
    pub offset_min: Option<i16>,
    /// The note.
    pub note: Option<&'a Note>,
    /// Since when the status is so; of whoever looks offline nobody is told.
    pub since: Option<Now>,
}

impl Seen<'_> {
    /// Somebody who is not there.
    pub const NOBODY: Seen<'static> = Seen {
        word: Availability::Offline,
        activities: Activities::NONE,
        idle: false,
        last_active: None,
        custom: None,
        subject: None,
        until: None,
        location: None,
        place: None,
        offset_min: None,
        note: None,
        since: None,
    };
}

/// What `level` sees of a state that is so since `since`.
pub fn seen<'a>(state: &'a State, since: Now, level: Level) -> Seen<'a> {
    let sees = |part| sees(level, part);
    let note = state.note.as_deref().filter(|_| sees(Part::Note));
    let hides = state.availability == Availability::AppearOffline && !sees(Part::Hiding);
    if level == Level::Blocked || hides || state.basic == Basic::Closed {
        return Seen {
            note,
            ..Seen::NOBODY
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
    Seen {
        word,
        activities: match sees(Part::Calendar) {
            true => state.activities,
            false => state.activities.without(Source::CALENDAR),
        },
        idle: word == Availability::Idle || (state.is_idle() && sees(Part::LastActive)),
        last_active: more.last_active.filter(|_| sees(Part::LastActive)),
        custom: more.custom.as_deref().filter(|_| sees(Part::Custom)),
        subject: more.subject.as_deref().filter(|_| sees(Part::Subject)),
        until: more.until.filter(|_| sees(Part::Calendar)),
        location: more.location.as_deref().filter(|_| sees(Part::Location)),
        place: more.place.filter(|_| sees(Part::Location)),
        offset_min: more.offset_min.filter(|_| sees(Part::TimeZone)),
        note,
        since: Some(since),
    }
}

/// The same as PIDF says it, with the contacts that the level may see.
pub fn view<'a>(
    state: &'a State,
    since: Now,
    level: Level,
    entity: &'a str,
    contacts: &'a [Contact],
) -> Shown<'a> {
    let seen = seen(state, since, level);
    if seen.word == Availability::Offline {
        return Shown {
            note: seen.note,
            ..Shown::bare(entity, Basic::Closed)
        };
    }
    let written = seen.word.written();
    Shown {
        entity,
        basic: Basic::Open,
        activities: ShownActivities {
            first: written.first,
            set: written.activities.union(seen.activities),
            other: seen.custom.or(written.other),
            note: seen.subject,
            until: seen.until,
        },
        note: seen.note,
        idle: seen.idle.then_some(seen.last_active),
        place: seen.place,
        location: seen.location,
        offset_min: seen.offset_min,
        since: seen.since,
        contacts,
    }
}

#[cfg(test)]
mod tests;
