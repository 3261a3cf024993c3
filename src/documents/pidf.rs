//! Presence documents (RFC 3863, with the data model's person and device, RFC 4479, and RPID's activities).
//!
//! Reads what clients publish and writes the one aggregated document that watchers get (`write`). Unknown elements are
//! passed over; a `presence`, `tuple`, `status`, `basic`, `person`, `device` or `activities` in a wrong namespace is refused.
//!
//! What a device says of itself may stand in its tuple, in its `device`, or with its person: `user-input` there is whether
//! somebody is at it, and `idle` together with the activity `away` *in the tuple or the device* says that it is locked.

mod write;

pub use write::{Contact, Shown, write};

use smallvec::SmallVec;

use crate::documents::place;
use crate::documents::place::Location;
use crate::documents::rpid::{self, Activities, Doing, Input};
use crate::documents::timestamp;
use crate::documents::xml::{Element, Fault, Reader, Space};
use crate::sip::time::Now;

/// The media type of these documents. baresip 1.0 compares it byte for byte: never send a parameter with it.
pub const CONTENT_TYPE: &str = "application/pidf+xml";

/// Tuples in one document.
pub const TUPLES_MAX: usize = 32;
/// `activities` elements with a time of their own in one document: a busy week.
pub const TIMED_MAX: usize = 128;

/// RFC 3863 §4.1.4: can this be reached for an instant message?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Basic {
    /// Yes.
    Open,
    /// No.
    Closed,
}

impl Basic {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Basic::Open => "open",
            Basic::Closed => "closed",
        }
    }
}

/// A few words by a person.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Note {
    /// The words; never empty, at most `xml::TEXT_BYTES_MAX` bytes, without white space around them.
    pub text: Box<str>,
    /// `xml:lang`, or empty.
    pub language: Box<str>,
}

impl Note {
    /// Reads the element whose start is `element` to its end; `None` where it says nothing.
    pub(super) fn read(
        element: &Element<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Note>, Fault> {
        let text = reader.text()?;
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let language = element.attribute("xml:lang").unwrap_or_default();
        Ok(Some(Note {
            text: text.into(),
            // Longer than any language tag that means something (RFC 5646 §4.4.1 speaks of 35).
            language: if language.len() <= 35 {
                language.into()
            } else {
                "".into()
            },
        }))
    }
}

/// One way to reach a presentity.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tuple {
    /// Its id in this document.
    pub id: Box<str>,
    /// What it says of reachability. `None`: nothing, or a word that the standard does not know.
    /// COMPAT(baresip, 1.0): it begins with the word "unkown".
    pub basic: Option<Basic>,
    /// Where to reach it, or empty.
    pub contact: Box<str>,
    /// The contact's priority in thousandths, 0 to 1000; 0 where none is given.
    pub contact_priority: u16,
    /// Its first note.
    pub note: Option<Note>,
    /// When it was so.
    pub timestamp: Option<Now>,
}

/// A presence document as published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presence {
    /// Whose, as written: a `pres:` or `sip:` URI. It is a claim; who may publish is decided by the connection.
    pub entity: Box<str>,
    /// At most `TUPLES_MAX`.
    pub tuples: SmallVec<[Tuple; 1]>,
    /// What all persons in it do, as far as no time is given.
    pub activities: Activities,
    /// The words of the activity `other` among them.
    pub other: Option<Box<str>>,
    /// What the meeting among them is about.
    pub subject: Option<Box<str>>,
    /// What they do at certain times. At most `TIMED_MAX`.
    pub timed: Vec<Doing>,
    /// The most personal note: the person's, else the activities', else the document's.
    pub note: Option<Note>,
    /// Whether somebody is at the device. Of several words the liveliest, of several idle ones the latest.
    pub input: Option<Input>,
    /// The device is locked.
    pub locked: bool,
    /// Where.
    pub location: Location,
    /// Minutes ahead of UTC (RFC 4480 §3.13).
    pub offset_min: Option<i16>,
    /// The person's timestamp.
    pub timestamp: Option<Now>,
}

/// Reads a document.
pub fn read(bytes: &[u8]) -> Result<Presence, Fault> {
    let (mut reader, root) = Reader::open(bytes, Space::Pidf, "presence")?;
    let mut presence = Presence {
        entity: root.attribute("entity").ok_or(Fault::Incomplete)?.into(),
        ..Presence::default()
    };
    let mut document_note = None;
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::Pidf, "tuple")? {
            if presence.tuples.len() >= TUPLES_MAX {
                return Err(Fault::TooManyEntries);
            }
            let tuple = read_tuple(&element, &mut reader, &mut presence)?;
            presence.tuples.push(tuple);
        } else if element.is_strictly(Space::DataModel, "device")? {
            read_device(&mut reader, &mut presence)?;
        } else if element.is_strictly(Space::DataModel, "person")? {
            read_person(&mut reader, &mut presence)?;
        } else if element.is(Space::Pidf, "note") {
            let note = Note::read(&element, &mut reader)?;
            document_note = document_note.or(note);
        } else {
            reader.skip()?;
        }
    }
    reader.finish()?;
    presence.note = presence.note.or(document_note);
    Ok(presence)
}

impl Presence {
    /// What the tuples together say: open if one is, closed if one says so and none is open.
    pub fn basic(&self) -> Option<Basic> {
        let said = |basic| self.tuples.iter().any(|tuple| tuple.basic == Some(basic));
        if said(Basic::Open) {
            Some(Basic::Open)
        } else if said(Basic::Closed) {
            Some(Basic::Closed)
        } else {
            None
        }
    }

    /// The note to show: the person's, else the first tuple's that has one.
    pub fn note_shown(&self) -> Option<&Note> {
        self.note
            .as_ref()
            .or_else(|| self.tuples.iter().find_map(|tuple| tuple.note.as_ref()))
    }
}

/// What a tuple or a device says of whether somebody is there.
#[derive(Default)]
struct There {
    input: Option<Input>,
    away: bool,
}

impl There {
    /// Reads the element if it is about that.
    fn read(&mut self, element: &Element<'_>, reader: &mut Reader<'_>) -> Result<bool, Fault> {
        if element.is(Space::Rpid, "user-input") {
            self.input = rpid::read_input(element, reader)?.or(self.input);
        } else if element.is(Space::Rpid, "activities") {
            let doing = rpid::read_activities(element, reader)?;
            self.away |= doing.activities.contains(rpid::Activity::Away);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn tell(&self, presence: &mut Presence) {
        if let Some(input) = self.input {
            presence.locked |= input.idle && self.away;
            presence.take_input(input);
        }
    }
}

impl Presence {
    fn take_input(&mut self, input: Input) {
        // A document is about one device; where its parts differ, somebody is there if one part says so.
        let livelier = |known: &Input| {
            (known.idle && !input.idle)
                || (known.idle == input.idle && known.last_input < input.last_input)
        };
        if self.input.as_ref().is_none_or(livelier) {
            self.input = Some(input);
        }
    }

    fn take_doing(&mut self, doing: Doing) -> Result<Option<Note>, Fault> {
        let scheduled = doing.is_scheduled();
        let note = doing.note.clone().filter(|_| !scheduled);
        if doing.from.is_some() || doing.until.is_some() {
            if self.timed.len() >= TIMED_MAX {
                return Err(Fault::TooManyEntries);
            }
            self.timed.push(doing);
            return Ok(note);
        }
        self.activities = self.activities.union(doing.activities);
        self.other = self.other.take().or(doing.other);
        if let Some(subject) = doing.note.filter(|_| scheduled) {
            self.subject = self.subject.take().or(rpid::one_line(&subject.text));
        }
        Ok(note)
    }
}

fn read_device(reader: &mut Reader<'_>, presence: &mut Presence) -> Result<(), Fault> {
    let mut there = There::default();
    while let Some(element) = reader.child()? {
        if !there.read(&element, reader)? {
            reader.skip()?;
        }
    }
    there.tell(presence);
    Ok(())
}

fn read_tuple(
    start: &Element<'_>,
    reader: &mut Reader<'_>,
    presence: &mut Presence,
) -> Result<Tuple, Fault> {
    let mut there = There::default();
    let mut tuple = Tuple {
        id: start.attribute("id").ok_or(Fault::Incomplete)?.into(),
        ..Tuple::default()
    };
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::Pidf, "status")? {
            tuple.basic = read_status(reader)?.or(tuple.basic);
        } else if element.is(Space::Pidf, "contact") {
            tuple.contact_priority = priority(&element);
            tuple.contact = reader.text()?.trim().into();
        } else if element.is(Space::Pidf, "note") {
            let note = Note::read(&element, reader)?;
            tuple.note = tuple.note.or(note);
        } else if element.is(Space::Pidf, "timestamp") {
            tuple.timestamp = timestamp::read(&reader.text()?);
        } else if !there.read(&element, reader)? {
            reader.skip()?;
        }
    }
    there.tell(presence);
    Ok(tuple)
}

fn read_status(reader: &mut Reader<'_>) -> Result<Option<Basic>, Fault> {
    let mut basic = None;
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::Pidf, "basic")? {
            basic = match reader.text()?.trim() {
                "open" => Some(Basic::Open),
                "closed" => Some(Basic::Closed),
                _ => None,
            };
        } else {
            reader.skip()?;
        }
    }
    Ok(basic)
}

fn read_person(reader: &mut Reader<'_>, presence: &mut Presence) -> Result<(), Fault> {
    let mut personal = None;
    let mut beside_activities = None;
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::Rpid, "activities")? {
            let doing = rpid::read_activities(&element, reader)?;
            let note = presence.take_doing(doing)?;
            beside_activities = beside_activities.or(note);
        } else if element.is(Space::Rpid, "user-input") {
            if let Some(input) = rpid::read_input(&element, reader)? {
                presence.take_input(input);
            }
        } else if element.is(Space::Rpid, "place-type") {
            let location = place::read(reader)?;
            let known = core::mem::take(&mut presence.location);
            presence.location = Location {
                place: known.place.or(location.place),
                words: known.words.or(location.words),
            };
        } else if element.is(Space::Rpid, "time-offset") {
            presence.offset_min = minutes(&reader.text()?).or(presence.offset_min);
        } else if element.local() == "note"
            && matches!(element.space, Space::DataModel | Space::Pidf | Space::Rpid)
        {
            let note = Note::read(&element, reader)?;
            personal = personal.or(note);
        } else if element.local() == "timestamp"
            // COMPAT(linphone, 5.1): its person carries a PIDF timestamp where RFC 4479 wants one of its own.
            && matches!(element.space, Space::DataModel | Space::Pidf)
        {
            presence.timestamp = timestamp::read(&reader.text()?);
        } else {
            reader.skip()?;
        }
    }
    presence.note = presence.note.take().or(personal).or(beside_activities);
    Ok(())
}

/// RFC 3863 §4.1.5: `0`, `0.5`, `1.000` and the like, in thousandths; 0 for anything else.
fn priority(contact: &Element<'_>) -> u16 {
    let Some(text) = contact.attribute("priority") else {
        return 0;
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "1" if fraction.bytes().all(|b| b == b'0') && fraction.len() <= 3 => 1000,
        "0" if digits(fraction) => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// Minutes ahead of UTC, as far as any place is.
fn minutes(text: &str) -> Option<i16> {
    let text = text.trim();
    let offset = text.strip_prefix('+').unwrap_or(text).parse().ok()?;
    (-12 * 60..=14 * 60).contains(&offset).then_some(offset)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::check_shape;
