//! The document that watchers get: one state for the whole presentity.
//!
//! The prefixes are not free: baresip 1.0 finds `<basic>` and `<rpid:busy/>` byte for byte, without reading XML, and takes the
//! first; Pidgin reads the first tuple alone. So the presentity's own tuple comes before those of its telephones. linphone
//! reads the first activity alone, so the one that says most comes first.

use crate::documents::pidf::{Basic, Note};
use crate::documents::place::{self, Place};
use crate::documents::rpid::{self, ShownActivities};
use crate::documents::timestamp::Timestamp;
use crate::documents::xml::Space;
use crate::documents::xml::write::Writer;
use crate::sip::time::Now;

/// A further way to reach somebody: a telephone, a mailbox. Nothing is known of whether it answers, so its status is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// The tuple's id.
    pub id: &'static str,
    /// `tel:` or `mailto:`.
    pub uri: String,
}

/// What a watcher gets.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The presentity's URI (`sip:alice@example.com`).
    pub entity: &'a str,
    /// Reachable or not.
    pub basic: Basic,
    /// What the person does.
    pub activities: ShownActivities<'a>,
    /// Their note.
    pub note: Option<&'a Note>,
    /// Nobody is at any device; `Some(None)` where it is not told since when.
    pub idle: Option<Option<Now>>,
    /// The kind of place.
    pub place: Option<Place>,
    /// Words for it.
    pub location: Option<&'a str>,
    /// Minutes ahead of UTC.
    pub offset_min: Option<i16>,
    /// Since when the status is so. `None` leaves all timestamps out: nobody is to tell two people who are offline apart.
    pub since: Option<Now>,
    /// Further ways to reach them.
    pub contacts: &'a [Contact],
}

impl<'a> Shown<'a> {
    /// Somebody of whom nothing is told but whether they are reachable.
    pub fn bare(entity: &'a str, basic: Basic) -> Shown<'a> {
        Shown {
            entity,
            basic,
            activities: ShownActivities::default(),
            note: None,
            idle: None,
            place: None,
            location: None,
            offset_min: None,
            since: None,
            contacts: &[],
        }
    }

    fn has_person(&self) -> bool {
        !self.activities.is_empty()
            || self.note.is_some()
            || self.idle.is_some()
            || self.place.is_some()
            || self.location.is_some()
            || self.offset_min.is_some()
    }
}

/// Appends the document to `out`: one tuple, those of the further contacts, then one person if there is something to say
/// of them.
pub fn write(out: &mut Vec<u8>, shown: &Shown<'_>) {
    let mut writer = Writer::new(out);
    writer
        .open("presence")
        .attribute("xmlns", Space::Pidf.name())
        .attribute("xmlns:dm", Space::DataModel.name())
        .attribute("xmlns:rpid", Space::Rpid.name());
    if shown.activities.says_do_not_disturb() {
        writer.attribute("xmlns:ce", Space::CiscoRpid.name());
    }
    if shown.place.is_some() {
        writer.attribute("xmlns:lt", Space::LocationType.name());
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
    if let Some(since) = shown.since {
        writer.element("timestamp", Timestamp(since));
    }
    writer.close();
    for contact in shown.contacts {
        writer.open("tuple").attribute("id", contact.id);
        writer.empty("status");
        writer.element("contact", &contact.uri).close();
    }
    if shown.has_person() {
        write_person(&mut writer, shown);
    }
    writer.close();
}

fn write_person(writer: &mut Writer<'_>, shown: &Shown<'_>) {
    writer.open("dm:person").attribute("id", "person");
    rpid::write_activities(writer, &shown.activities);
    place::write(writer, shown.place, shown.location);
    if let Some(offset_min) = shown.offset_min {
        writer.element("rpid:time-offset", offset_min);
    }
    if let Some(since) = shown.idle {
        writer.open("rpid:user-input");
        if let Some(since) = since {
            writer.attribute("last-input", Timestamp(since));
        }
        writer.text("idle").close();
    }
    if let Some(note) = shown.note {
        write_note(writer, "dm:note", note);
    }
    if let Some(since) = shown.since {
        writer.element("dm:timestamp", Timestamp(since));
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
