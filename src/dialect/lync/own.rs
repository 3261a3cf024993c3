//! What a Lync client is told of its own user ([MS-PRES] §2.2.2.5, §3.5.5): all that is published with its versions, who is in
//! which container, and who has added the user. It roams with the user from device to device.
//!
//! A client that finds a category named forgets all that it knew of it. So where one is named all its instances are there, of
//! every container; one without any is named alone.
//!
//! COMPAT(SIPE, 1.25): it takes any category that is named alone for the end of its user's note, and would soon take the note
//! back for everybody. So those come first, and the notes that there are behind them.

use crate::dialect::lync::published::{NOTE, STATE, write_note};
use crate::dialect::lync::{categories, containers};
use crate::documents::timestamp::Zoneless;
use crate::documents::xml::write::Writer;
use crate::documents::xml::{Reader, Space};
use crate::presence::{Access, Held, Instance, Life, Meaning, NoteKind, Seen, Subscribers};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// The type of the document, and of the request for it.
pub const CONTENT_TYPE: &str = "application/vnd-microsoft-roaming-self+xml";

/// The containers that have the folded state: for others, and for oneself. The own one is the last of its container, for its
/// token is what a client shows.
const AGGREGATES: [u32; 2] = [3, 2];

/// Which of the three parts a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// What is published.
    pub categories: bool,
    /// Who is in which container.
    pub containers: bool,
    /// Who has added the user.
    pub subscribers: bool,
}

impl Wanted {
    /// All.
    pub const ALL: Wanted = Wanted {
        categories: true,
        containers: true,
        subscribers: true,
    };

    /// Reads a request. One that can't be read, or names nothing, asks for all.
    pub fn read(body: &[u8]) -> Wanted {
        let read = || {
            let (mut reader, _) = Reader::open(body, Space::RoamingSelf, "roamingList").ok()?;
            let mut wanted = Wanted {
                categories: false,
                containers: false,
                subscribers: false,
            };
            while let Some(element) = reader.child().ok()? {
                if element.is(Space::RoamingSelf, "roaming") {
                    match element.attribute("type").as_deref() {
                        Some("categories") => wanted.categories = true,
                        Some("containers") => wanted.containers = true,
                        Some("subscribers") => wanted.subscribers = true,
                        _ => {}
                    }
                }
                reader.skip().ok()?;
            }
            (wanted.categories || wanted.containers || wanted.subscribers).then_some(wanted)
        };
        read().unwrap_or(Wanted::ALL)
    }
}

/// All of a user that roams.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Who.
    pub user: &'a Aor,
    /// What is published.
    pub held: Held<'a>,
    /// Categories that lost their last instance while some client could not be told.
    pub emptied: &'a [Box<str>],
    /// How they are; `None` while nobody says so: a client would take it for its own state.
    pub seen: Option<Seen<'a>>,
    /// The rules.
    pub access: &'a Access,
    /// Their version.
    pub access_version: u32,
    /// Who has added them.
    pub subscribers: &'a Subscribers,
    /// The moment.
    pub now: Now,
}

impl Own<'_> {
    /// Is there nothing of this category to tell?
    fn is_empty(&self, name: &str) -> bool {
        self.held.of(Some(name)).is_empty() && !(name == STATE && self.seen.is_some())
    }
}

/// What of it a document says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct News {
    /// Categories that have changed.
    pub categories: Vec<Box<str>>,
    /// Who is in which container.
    pub containers: bool,
    /// Who has added the user.
    pub subscribers: bool,
}

impl News {
    /// Nothing new?
    pub fn is_empty(&self) -> bool {
        *self == News::default()
    }
}

/// Writes all that is wanted.
pub fn full(own: &Own<'_>, wanted: Wanted) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    let mut xml = begin(&mut out);
    if wanted.categories {
        open_categories(&mut xml, own.user);
        for name in own.emptied {
            if own.is_empty(name) {
                named_alone(&mut xml, name);
            }
        }
        let all = own.held.of(None);
        let mut told = false;
        for (at, one) in all.iter().enumerate() {
            instance(&mut xml, one, own.now);
            let next = all.get(at + 1).map(|next| &*next.key.category);
            if &*one.key.category == STATE && next != Some(STATE) {
                aggregates(&mut xml, own);
                told = true;
            }
        }
        if !told {
            aggregates(&mut xml, own);
        }
        xml.close();
    }
    if wanted.containers {
        containers::write(&mut xml, own.access, own.access_version);
    }
    if wanted.subscribers {
        subscribers(&mut xml, own.subscribers);
    }
    xml.close();
    out
}

/// Writes what is new, as far as it is wanted; `None` where nothing is.
pub fn news(own: &Own<'_>, news: &News, wanted: Wanted) -> Option<Vec<u8>> {
    let categories = wanted.categories && !news.categories.is_empty();
    let containers = wanted.containers && news.containers;
    let told_of_others = wanted.subscribers && news.subscribers;
    if !categories && !containers && !told_of_others {
        return None;
    }
    let mut out = Vec::with_capacity(2048);
    let mut xml = begin(&mut out);
    if categories {
        open_categories(&mut xml, own.user);
        let mut names: Vec<&str> = news.categories.iter().map(|name| &**name).collect();
        names.sort_unstable();
        names.dedup();
        let (empty, mut others): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| own.is_empty(name));
        for name in &empty {
            named_alone(&mut xml, name);
        }
        if !empty.is_empty() && !own.is_empty(NOTE) && !others.contains(&NOTE) {
            others.push(NOTE);
        }
        for name in others {
            for one in &own.held.of(Some(name)) {
                instance(&mut xml, one, own.now);
            }
            if name == STATE {
                aggregates(&mut xml, own);
            }
        }
        xml.close();
    }
    if containers {
        containers::write(&mut xml, own.access, own.access_version);
    }
    if told_of_others {
        subscribers(&mut xml, own.subscribers);
    }
    xml.close();
    Some(out)
}

/// The folded state by itself; empty while there is none.
pub fn aggregate(own: &Own<'_>) -> Box<[u8]> {
    let mut out = Vec::new();
    if let Some(seen) = &own.seen {
        categories::state(&mut Writer::within(&mut out), seen);
    }
    out.into()
}

fn begin(out: &mut Vec<u8>) -> Writer<'_> {
    let mut xml = Writer::new(out);
    xml.open("roamingData")
        .attribute("xmlns", Space::RoamingSelf.name());
    xml
}

fn open_categories(xml: &mut Writer<'_>, user: &Aor) {
    xml.open("categories")
        .attribute("xmlns", Space::Categories.name())
        .attribute("uri", user.uri());
}

/// A category that has lost its last instance.
fn named_alone(xml: &mut Writer<'_>, name: &str) {
    xml.open("category").attribute("name", name).close();
}

fn instance(xml: &mut Writer<'_>, one: &Instance, now: Now) {
    let kind = match one.life {
        Life::Static => "static",
        Life::User => "user",
        Life::Endpoint => "endpoint",
        Life::Until(_) => "time",
    };
    xml.open("category")
        .attribute("name", &one.key.category)
        .attribute("instance", one.key.instance)
        .attribute("publishTime", Zoneless(one.published))
        .attribute("container", one.key.container)
        .attribute("version", one.version)
        .attribute("expireType", kind);
    if let Life::Until(end) = one.life {
        xml.attribute("expires", end.since(now).as_secs());
    }
    match &one.meaning {
        // COMPAT(SIPE, 1.25): where its user is out of office it publishes the note that it finds once more, in an instance of its
        // own, and never takes that back. Instance 0 is where clients have what is personal.
        Meaning::Note(Some(text), NoteKind::OutOfOffice) if one.key.instance == 0 => {
            xml.document(&write_note(Some(text), NoteKind::Personal))
        }
        _ => xml.document(&one.document),
    };
    xml.close();
}

fn aggregates(xml: &mut Writer<'_>, own: &Own<'_>) {
    let Some(seen) = &own.seen else {
        return;
    };
    for container in AGGREGATES {
        xml.open("category")
            .attribute("name", STATE)
            .attribute("instance", 1)
            .attribute("publishTime", Zoneless(seen.since.unwrap_or(Now(0))))
            .attribute("container", container)
            .attribute("version", 1)
            .attribute("expireType", "user");
        categories::state(xml, seen);
        xml.close();
    }
}

fn subscribers(xml: &mut Writer<'_>, subscribers: &Subscribers) {
    xml.open("subscribers")
        .attribute("xmlns", Space::Subscribers.name());
    for one in subscribers.iter() {
        xml.open("subscriber")
            .attribute("user", one.user.as_str())
            .attribute("displayName", &one.name)
            .attribute("acknowledged", one.acknowledged)
            .close();
    }
    xml.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_asks_for_parts() {
        let request = |inside: &str| {
            format!(
                "<roamingList xmlns='{}'>{inside}</roamingList>",
                Space::RoamingSelf.name()
            )
        };
        let only = |categories, containers, subscribers| Wanted {
            categories,
            containers,
            subscribers,
        };
        for (inside, expected) in [
            ("<roaming type='categories'/>", only(true, false, false)),
            (
                "<roaming type='containers'/><roaming type='subscribers'/><x/>",
                only(false, true, true),
            ),
            ("", Wanted::ALL),
            ("<roaming type='x'/>", Wanted::ALL),
        ] {
            assert_eq!(
                Wanted::read(request(inside).as_bytes()),
                expected,
                "{inside}"
            );
        }
        assert_eq!(Wanted::read(b"<x"), Wanted::ALL);
    }
}
