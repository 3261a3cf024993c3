//! Presence documents (RFC 3863, with the data model's person and device, RFC 4479, and RPID's activities).
//!
//! Reads what clients publish and writes the one aggregated document that watchers get. Unknown elements are passed
//! over; a `presence`, `tuple`, `status`, `basic`, `person` or `activities` in a wrong namespace is refused.

use smallvec::SmallVec;

use crate::documents::rpid::{self, Activities};
use crate::documents::timestamp::{self, Timestamp};
use crate::documents::xml::write::Writer;
use crate::documents::xml::{Element, Fault, Reader, Space};
use crate::sip::time::Now;

/// The media type of these documents. baresip 1.0 compares it byte for byte: never send a parameter with it.
pub const CONTENT_TYPE: &str = "application/pidf+xml";

/// Tuples in one document.
pub const TUPLES_MAX: usize = 32;

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
    /// What all persons in it do.
    pub activities: Activities,
    /// The most personal note: the person's, else the activities', else the document's.
    pub note: Option<Note>,
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
            let tuple = read_tuple(&element, &mut reader)?;
            presence.tuples.push(tuple);
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

fn read_tuple(start: &Element<'_>, reader: &mut Reader<'_>) -> Result<Tuple, Fault> {
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
        } else {
            reader.skip()?;
        }
    }
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
            let (activities, note) = rpid::read_activities(reader)?;
            presence.activities = presence.activities.union(activities);
            beside_activities = beside_activities.or(note);
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

/// What a watcher gets: one state for the whole presentity.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The presentity's URI (`sip:alice@example.com`).
    pub entity: &'a str,
    /// Reachable or not.
    pub basic: Basic,
    /// What the person does.
    pub activities: Activities,
    /// Their note.
    pub note: Option<&'a Note>,
    /// Since when.
    pub timestamp: Now,
}

/// Appends the document for watchers to `out`: one tuple, then one person if there is something to say of them.
///
/// The prefixes are not free: baresip 1.0 finds `<basic>` and `<rpid:busy/>` byte for byte, without reading XML.
pub fn write(out: &mut Vec<u8>, shown: &Shown<'_>) {
    let mut writer = Writer::new(out);
    writer
        .open("presence")
        .attribute("xmlns", Space::Pidf.name())
        .attribute("xmlns:dm", Space::DataModel.name())
        .attribute("xmlns:rpid", Space::Rpid.name());
    if shown.activities.contains(rpid::Activity::DoNotDisturb) {
        writer.attribute("xmlns:ce", Space::CiscoRpid.name());
    }
    writer.attribute("entity", shown.entity);
    writer.open("tuple").attribute("id", "muster");
    writer
        .open("status")
        .element("basic", shown.basic.as_str())
        .close();
    writer
        .open("contact")
        .attribute("priority", "1.0")
        .text(shown.entity)
        .close();
    if let Some(note) = shown.note {
        write_note(&mut writer, "note", note);
    }
    writer.element("timestamp", Timestamp(shown.timestamp));
    writer.close();
    if !shown.activities.is_empty() || shown.note.is_some() {
        writer.open("dm:person").attribute("id", "person");
        rpid::write_activities(&mut writer, shown.activities);
        if let Some(note) = shown.note {
            write_note(&mut writer, "dm:note", note);
        }
        writer.element("dm:timestamp", Timestamp(shown.timestamp));
        writer.close();
    }
    writer.close();
}

fn write_note(writer: &mut Writer<'_>, name: &'static str, note: &Note) {
    writer.open(name);
    if !note.language.is_empty() {
        writer.attribute("xml:lang", &note.language);
    }
    writer.text(&note.text).close();
}

#[cfg(test)]
mod tests;
