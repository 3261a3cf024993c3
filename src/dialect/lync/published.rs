//! The documents of categories that say something to the core, both ways: states and notes ([MS-PRES] §2.2.2.4). All other
//! categories are between clients, and are kept as they are.

use std::sync::Arc;

use crate::documents::pidf::Basic;
use crate::documents::rpid::{Activities, Activity};
use crate::documents::timestamp;
use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};
use crate::presence::{
    Availability, CUSTOM_CHARS_MAX, Categories, Choice, Content, Instance, Key, LOCATION_CHARS_MAX,
    Life, Machine, Manual, Meaning, NOTE_CHARS_MAX, NoteKind, Rare, SUBJECT_CHARS_MAX, Source,
};
use crate::sip::time::Now;

/// The category of states.
pub const STATE: &str = "state";
/// The category of notes.
pub const NOTE: &str = "note";

/// The instance in which every client publishes what its user chose ([MS-PRES] §3.5.5.3).
const USER_STATE: u32 = 0x2000_0000;
/// Where it is published: for oneself, and for others.
const STATE_CONTAINERS: [u32; 2] = [2, 3];
/// Where a note is: colleagues, workgroup, friends.
const NOTE_CONTAINERS: [u32; 3] = [200, 300, 400];
/// Of the ranges of numbers, the first one that means that nobody is there for anybody.
const GONE: u32 = 18_000;

/// Why a document of these is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It is not what it says.
    Xml(Fault),
    /// A text of it is longer than it may be: what, and how many characters.
    Long(&'static str, usize),
    /// The state that the server folds itself.
    Aggregate,
    /// To appear offline for as long as an endpoint is there, or for a time.
    Hides,
}

impl From<Fault> for Bad {
    fn from(fault: Fault) -> Bad {
        Bad::Xml(fault)
    }
}

/// What a published document says that lives so long.
///
/// # Errors
/// Where it is no state or note though its category is, or a text of it is too long.
pub fn meaning(category: &str, life: Life, document: &[u8]) -> Result<Meaning, Bad> {
    match category {
        STATE => state(life, document),
        NOTE => note(document),
        _ => Ok(Meaning::Nothing),
    }
}

/// What of a state there is.
#[derive(Debug, Default)]
struct Read {
    number: Option<u32>,
    token: String,
    custom: Option<Box<str>>,
    subject: Option<String>,
    location: Option<String>,
}

fn state(life: Life, document: &[u8]) -> Result<Meaning, Bad> {
    let lasts = life == Life::Static;
    let (mut reader, root) = Reader::open(document, Space::LyncState, "state")?;
    let kind = root.schema_type().unwrap_or_default();
    let last_input = root.attribute("lastActive").and_then(|at| instant(&at));
    let mut read = Read::default();
    while let Some(element) = reader.child()? {
        match element.local() {
            "availability" => read.number = reader.text()?.trim().parse().ok(),
            "activity" => {
                read.token = element.attribute("token").unwrap_or_default().into();
                while let Some(inner) = reader.child()? {
                    if inner.local() == "custom" && read.custom.is_none() {
                        let text = line(&reader.text()?);
                        read.custom = (!text.is_empty()).then(|| text.into());
                    } else {
                        reader.skip()?;
                    }
                }
            }
            "meetingSubject" => read.subject = Some(line(&reader.text()?)),
            "meetingLocation" => read.location = Some(line(&reader.text()?)),
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    within(read.custom.as_deref(), "Custom State", CUSTOM_CHARS_MAX)?;
    within(
        read.subject.as_deref(),
        "Meeting Subject",
        SUBJECT_CHARS_MAX,
    )?;
    within(
        read.location.as_deref(),
        "Meeting Location",
        LOCATION_CHARS_MAX,
    )?;
    match &*kind {
        "aggregateState" => Err(Bad::Aggregate),
        "userState" if lasts => {
            let chosen = chosen(&read);
            // Words of one's own are a choice, also where the number is that of being available.
            let chosen = chosen.or(read.custom.is_some().then_some(Manual::Available));
            Ok(Meaning::State(chosen, read.custom))
        }
        _ if lasts => Ok(Meaning::Nothing),
        // Only what is kept hides a user. Taken as anything else it would leave visible whoever believes that they are not.
        "userState" if chosen(&read) == Some(Manual::AppearOffline) => Err(Bad::Hides),
        kind => {
            let mut content = content(kind, read, last_input);
            // What outlives its endpoint does not say that anybody is there.
            if life != Life::Endpoint && content.basic == Some(Basic::Open) {
                content.basic = None;
            }
            Ok(Meaning::Endpoint(Box::new(content)))
        }
    }
}

/// What somebody who publishes this as their choice wants to be.
fn chosen(read: &Read) -> Option<Manual> {
    Availability::chosen_by(read.number.unwrap_or(0), &read.token)
}

/// What a state of an endpoint says: a machine only whether somebody is there, for what its user does is said beside it.
fn content(kind: &str, read: Read, last_input: Option<Now>) -> Content {
    let number = read.number.unwrap_or(0);
    let (word, nobody) = Availability::of_number(number);
    let done = Availability::done(&read.token);
    let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Arc::from);
    match kind {
        "machineState" => {
            let machine = match word {
                Availability::BeRightBack | Availability::Away => Machine::Left {
                    away: true,
                    last_input,
                },
                _ if nobody => Machine::Left {
                    away: false,
                    last_input,
                },
                _ => Machine::Active,
            };
            let basic = read.number.map(|number| match number >= GONE {
                true => Basic::Closed,
                false => Basic::Open,
            });
            Content {
                machine: (basic == Some(Basic::Open)).then_some(machine),
                basic,
                activities: done,
                ..Content::default()
            }
        }
        "phoneState" => Content {
            activities: match word {
                Availability::Busy => done.with(Activity::OnThePhone),
                _ => done,
            },
            ..Content::default()
        },
        "calendarState" => {
            let rare = Rare {
                subject: text(read.subject),
                location: text(read.location),
                ..Rare::default()
            };
            Content {
                activities: match word {
                    Availability::Busy if done.is_empty() => Activities::one(Activity::Appointment),
                    _ => done,
                },
                rare: (rare != Rare::default()).then(|| Box::new(rare)),
                ..Content::default()
            }
        }
        // A choice that goes with its endpoint is what is done there; any other kind says as much as its words.
        _ => {
            let word = Availability::chosen_by(number, &read.token).map(Availability::from);
            let said = word.map_or(Activities::NONE, |word| word.written().activities);
            let rare = Rare {
                custom: read.custom.map(Arc::from),
                ..Rare::default()
            };
            Content {
                activities: said.union(done).without(Source::CALENDAR_AND_PHONE),
                rare: (rare != Rare::default()).then(|| Box::new(rare)),
                ..Content::default()
            }
        }
    }
}

fn note(document: &[u8]) -> Result<Meaning, Bad> {
    let (mut reader, _) = Reader::open(document, Space::LyncNote, "note")?;
    let (mut words, mut kind) = (String::new(), NoteKind::Personal);
    while let Some(element) = reader.child()? {
        if element.local() != "body" || !words.is_empty() {
            reader.skip()?;
            continue;
        }
        let out_of_office = element
            .attribute("type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("oof"));
        let text = reader.text()?;
        let plain = |c: char| {
            if c.is_control() && !matches!(c, '\n' | '\t') {
                ' '
            } else {
                c
            }
        };
        words = text.replace("\r\n", "\n").chars().map(plain).collect();
        words = words.trim().to_owned();
        kind = match out_of_office {
            true => NoteKind::OutOfOffice,
            false => NoteKind::Personal,
        };
    }
    reader.finish()?;
    within(Some(&words), "Note", NOTE_CHARS_MAX)?;
    let words = (!words.is_empty()).then(|| words.into());
    Ok(Meaning::Note(words, kind))
}

/// A text on one line, without white space around it.
fn line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(plain).collect();
    text.trim().to_owned()
}

fn within(text: Option<&str>, what: &'static str, chars_max: usize) -> Result<(), Bad> {
    match text {
        Some(text) if text.chars().count() > chars_max => Err(Bad::Long(what, chars_max)),
        _ => Ok(()),
    }
}

/// A time as these documents have it: without a zone it is UTC.
fn instant(text: &str) -> Option<Now> {
    let text = text.trim();
    timestamp::read(text).or_else(|| timestamp::read(&format!("{text}Z")))
}

/// Brings what is published of the user's choice and note in step with a choice that was made by other means: then every Lync
/// client shows it, and publishes the next one on top of it ([MS-PRES] §3.5.5.3). What says so already stays as it is.
pub fn in_step(categories: &mut Categories, choice: Option<&Choice>, now: Now) {
    let none = Choice::default();
    let choice = choice.unwrap_or(&none);
    let custom = choice.custom.as_deref();
    let chosen = match (choice.state, custom) {
        // Published it is the same as no choice.
        (Some(Manual::Available), None) => (None, None),
        (state, custom) => (state, custom),
    };
    if categories.state().unwrap_or((None, None)) != chosen {
        let document: Arc<[u8]> = user_state(chosen.0, custom).into();
        let meaning = Meaning::State(chosen.0, custom.map(Into::into));
        for container in STATE_CONTAINERS {
            let key = Key {
                category: STATE.into(),
                container,
                instance: USER_STATE,
            };
            publish(categories, key, &document, &meaning, now);
        }
    }
    let note = choice.note.as_deref().map(|note| (note, choice.note_kind));
    if categories.note() == note {
        return;
    }
    let stale: Vec<Key> = categories
        .iter()
        .filter(|one| matches!(one.meaning, Meaning::Note(..)))
        .map(|one| one.key.clone())
        .collect();
    for key in stale {
        if key.instance != 0 || !NOTE_CONTAINERS.contains(&key.container) {
            categories.remove(&key);
        }
    }
    let document: Arc<[u8]> = write_note(choice.note.as_deref(), choice.note_kind).into();
    let meaning = Meaning::Note(choice.note.clone(), choice.note_kind);
    for container in NOTE_CONTAINERS {
        let key = Key {
            category: NOTE.into(),
            container,
            instance: 0,
        };
        match note {
            Some(_) => publish(categories, key, &document, &meaning, now),
            None => {
                categories.remove(&key);
            }
        }
    }
}

fn publish(
    categories: &mut Categories,
    key: Key,
    document: &Arc<[u8]>,
    meaning: &Meaning,
    now: Now,
) {
    let version = categories.version(&key).checked_add(1).unwrap_or(1);
    categories.put(Instance {
        key,
        version,
        life: Life::Static,
        endpoint: None,
        published: now,
        document: document.clone(),
        meaning: meaning.clone(),
    });
}

/// What the publications of a request make of the choice that there was: states and notes among them are the user's word.
pub fn choice_of(
    categories: &Categories,
    before: Option<&Choice>,
    state: bool,
    note: bool,
) -> Option<Choice> {
    let mut choice = before.cloned().unwrap_or_default();
    if state {
        let (state, custom) = categories.state().unwrap_or((None, None));
        let same = (choice.state, choice.custom.as_deref()) == (state, custom);
        choice = Choice {
            state,
            custom: custom.filter(|_| state.is_some()).map(Into::into),
            // Said again it ends when it would have.
            until: choice.until.filter(|_| same && state.is_some()),
            ..choice
        };
    }
    if note {
        let (text, kind) = categories.note().unzip();
        choice.note = text.map(Into::into);
        choice.note_kind = kind.unwrap_or_default();
    }
    (!choice.is_nothing()).then_some(choice)
}

fn user_state(state: Option<Manual>, custom: Option<&str>) -> Vec<u8> {
    let word = Availability::from(state.unwrap_or(Manual::Available));
    let mut out = Vec::with_capacity(256);
    let mut xml = Writer::within(&mut out);
    xml.open("state")
        .attribute("xmlns", Space::LyncState.name())
        .attribute("xmlns:xsi", SCHEMA_INSTANCE)
        .attribute("manual", "true")
        .attribute("xsi:type", "userState");
    xml.element("availability", word.number(false));
    // What the number alone says needs no token.
    let said = Availability::chosen_by(word.number(false), "");
    if custom.is_some() || said != state {
        xml.open("activity");
        if let Some((token, least, most)) = word.token(false) {
            if said != state && state.is_some() {
                xml.attribute("token", token);
            }
            xml.attribute("minAvailability", least)
                .attribute("maxAvailability", most);
        }
        if let Some(custom) = custom {
            xml.open("custom").attribute("LCID", 1033).text(custom);
            xml.close();
        }
        xml.close();
    }
    xml.close();
    out
}

/// The namespace of `xsi:type`.
pub const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// A note's document.
pub fn write_note(text: Option<&str>, kind: NoteKind) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let mut xml = Writer::within(&mut out);
    xml.open("note").attribute("xmlns", Space::LyncNote.name());
    if let Some(text) = text {
        let kind = match kind {
            NoteKind::Personal => "personal",
            NoteKind::OutOfOffice => "OOF",
        };
        xml.open("body")
            .attribute("type", kind)
            .attribute("uri", "")
            .text(text)
            .close();
    }
    xml.close();
    out
}

#[cfg(test)]
mod tests;
