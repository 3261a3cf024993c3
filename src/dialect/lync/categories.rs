//! What a Lync client is told of somebody ([MS-PRES] §2.2.2.4): one document for all who see as much.
//!
//! The one folded state, the note, the card, and what the user has published for this level's container: never what is
//! published for another. A blocked level is told what everybody is told of somebody who is offline and has published nothing,
//! byte for byte: the name, and no more of the card. Who only appears to be offline is told of as if they were: what an endpoint has
//! published would give them away.

use crate::dialect::lync::published::{NOTE, SCHEMA_INSTANCE, STATE};
use crate::documents::timestamp::Zoneless;
use crate::documents::xml::Space;
use crate::documents::xml::write::Writer;
use crate::presence::{
    Availability, Card, CardLine, Held, Level, Life, Meaning, NoteKind, Part, Seen, sees, tel,
};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// The type of the document.
pub const CONTENT_TYPE: &str = "application/msrtc-event-categories+xml";

const CARD: &str = "contactCard";

/// One user as a level sees them.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Who.
    pub user: &'a Aor,
    /// The name that others see.
    pub display_name: &'a str,
    /// How they are. Without the note where that is a published one: it is among `held`, for some containers or for all.
    pub seen: Seen<'a>,
    /// What the note is about, where there is one.
    pub note_kind: NoteKind,
    /// All that is published.
    pub held: Held<'a>,
    /// The directory's card.
    pub card: &'a Card,
}

/// Writes what `level` sees.
pub fn write(out: &mut Vec<u8>, person: &Person<'_>, level: Level) {
    let seen = &person.seen;
    let blocked = level == Level::Blocked;
    let mut xml = Writer::new(out);
    begin(&mut xml, &person.user.uri());
    xml.open("category")
        .attribute("name", STATE)
        .attribute("instance", 1)
        .attribute("publishTime", Zoneless(seen.since.unwrap_or(Now(0))));
    state(&mut xml, seen);
    xml.close();
    let container = match level {
        // Who looks at themself sees what their friends see.
        Level::Own => Level::Friends.container(),
        level => level.container(),
    };
    // What is kept for the blocked ones would tell them that they are.
    let mut published = match blocked {
        true => Vec::new(),
        false => person.held.seen_in(container),
    };
    let offline = seen.word == Availability::Offline;
    if offline {
        published.retain(|one| one.life == Life::Static);
    }
    let is_note = |meaning: &Meaning| matches!(meaning, Meaning::Note(Some(_), _));
    let noted = published.iter().any(|one| is_note(&one.meaning));
    if noted {
        // Below, among what else is published.
    } else if let Some(note) = seen.note {
        xml.open("category")
            .attribute("name", NOTE)
            .attribute("instance", 0)
            .attribute("publishTime", Zoneless(seen.since.unwrap_or(Now(0))));
        let document = super::published::write_note(Some(&note.text), person.note_kind);
        xml.document(&document).close();
    } else {
        no_note(&mut xml);
    }
    xml.open("category")
        .attribute("name", CARD)
        .attribute("instance", 0)
        .attribute("publishTime", Zoneless(Now(0)));
    card(
        &mut xml,
        person,
        if offline { Level::Blocked } else { level },
    );
    xml.close();
    for one in published {
        let name = &*one.key.category;
        // The states of single endpoints are folded, an empty note is told of above; and nobody writes over what the directory says.
        let folded = name == STATE || (name == NOTE && !noted);
        if folded || (name == CARD && one.key.instance == 0) {
            continue;
        }
        xml.open("category")
            .attribute("name", name)
            .attribute("instance", one.key.instance)
            .attribute("publishTime", Zoneless(one.published));
        xml.document(&one.document).close();
    }
    xml.close();
}

/// Writes what is told of who is nobody.
pub fn nobody(out: &mut Vec<u8>, uri: &str) {
    let mut xml = Writer::new(out);
    begin(&mut xml, uri);
    xml.open("category")
        .attribute("name", STATE)
        .attribute("instance", 1)
        .attribute("publishTime", Zoneless(Now(0)));
    state(&mut xml, &Seen::NOBODY);
    xml.close();
    no_note(&mut xml);
    xml.close();
}

/// Writes what is told of somebody in the place of all that there would be to tell, which follows.
pub fn nothing(out: &mut Vec<u8>, uri: &str) {
    let mut xml = Writer::new(out);
    begin(&mut xml, uri);
    xml.close();
}

/// Takes back a note that was told before: a client keeps it until it is told otherwise.
fn no_note(xml: &mut Writer<'_>) {
    xml.open("category")
        .attribute("name", NOTE)
        .attribute("instance", 0)
        .attribute("publishTime", Zoneless(Now(0)))
        .close();
}

fn begin(xml: &mut Writer<'_>, uri: &str) {
    // COMPAT(pidgin-sipe, 1.25): it looks its buddies up by lower-case text.
    xml.open("categories")
        .attribute("xmlns", Space::Categories.name())
        .attribute("uri", uri.to_lowercase());
}

/// The one folded state ([MS-PRES] §2.2.2.4.2).
pub fn state(xml: &mut Writer<'_>, seen: &Seen<'_>) {
    xml.open("state")
        .attribute("xmlns", Space::LyncState.name())
        .attribute("xmlns:xsi", SCHEMA_INSTANCE)
        .attribute("xsi:type", "aggregateState");
    if let Some(last_active) = seen.last_active {
        xml.attribute("lastActive", Zoneless(last_active));
    }
    xml.element("availability", seen.word.number(seen.idle));
    if let Some((token, least, most)) = seen.word.token(seen.idle) {
        xml.open("activity")
            .attribute("token", token)
            .attribute("minAvailability", least)
            .attribute("maxAvailability", most);
        if let Some(custom) = seen.custom {
            xml.open("custom").attribute("LCID", 1033).text(custom);
            xml.close();
        }
        xml.close();
    }
    for (name, text) in [
        ("meetingSubject", seen.subject),
        ("meetingLocation", seen.location),
    ] {
        if let Some(text) = text {
            xml.element(name, text);
        }
    }
    xml.close();
}

fn card(xml: &mut Writer<'_>, person: &Person<'_>, level: Level) {
    let line = |line, part| person.card.get(line).filter(|_| sees(level, part));
    xml.open("contactCard").attribute("xmlns", CARD_SPACE);
    xml.open("identity");
    if !person.display_name.is_empty() {
        xml.open("name");
        xml.element("displayName", person.display_name);
        xml.close();
    }
    if let Some(mail) = line(CardLine::Mail, Part::Mail) {
        xml.element("email", mail);
    }
    xml.close();
    for (name, text) in [
        ("company", line(CardLine::Company, Part::Position)),
        ("title", line(CardLine::Title, Part::Position)),
        ("office", line(CardLine::Office, Part::Office)),
    ] {
        if let Some(text) = text {
            xml.element(name, text);
        }
    }
    for (kind, each, part) in [
        ("work", CardLine::WorkPhone, Part::WorkPhone),
        ("mobile", CardLine::MobilePhone, Part::MobilePhone),
        ("home", CardLine::HomePhone, Part::HomePhone),
        ("other", CardLine::OtherPhone, Part::HomePhone),
    ] {
        let Some(number) = line(each, part) else {
            continue;
        };
        xml.open("phone").attribute("type", kind);
        xml.element("uri", tel(number, person.user.host()));
        xml.element("displayString", number).close();
    }
    xml.close();
}

/// The namespace of cards.
const CARD_SPACE: &str = "http://schemas.microsoft.com/2006/09/sip/contactcard";
