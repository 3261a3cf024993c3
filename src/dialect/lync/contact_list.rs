//! A user's contact list as it roams from device to device ([MS-SIP] §2.2.2): the whole of it, or what has changed.
//!
//! A group's id is its bit and one. The number of a list is its version and one, for none may be zero.
//!
//! COMPAT(SIPE, 1.25): it adds what a whole list has, and never takes away what it has not. What it has to forget is told by a
//! delta before the list. And a contact whose change names no group vanishes, so each is told to be in one, if there is any.

use crate::documents::xml::write::Writer;
use crate::presence::{Contact, Contacts, Item};

/// The type of the documents.
pub const CONTENT_TYPE: &str = "application/vnd-microsoft-roaming-contacts+xml";

/// The number of a list. A list would have to change a thousand million times to reach the end.
pub fn number(contacts: &Contacts) -> u32 {
    u32::try_from(contacts.version())
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// The whole list.
pub fn full(contacts: &Contacts) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + 128 * contacts.len());
    let mut xml = Writer::new(&mut out);
    xml.open("contactList")
        .attribute("deltaNum", number(contacts));
    for (bit, name) in contacts.groups() {
        group(&mut xml, "group", bit, name);
    }
    for contact in contacts.iter() {
        // Without a scheme here, and only here.
        let groups = groups_told(contacts, &contact);
        self::contact(&mut xml, "contact", "", &contact, groups);
    }
    xml.close();
    out
}

/// What is told of a change.
#[derive(Debug)]
pub struct News {
    /// For who has been told the list before it.
    pub delta: Option<Vec<u8>>,
    /// Is the whole list to follow?
    pub whole: bool,
}

/// What has changed from `before` to `after`: each of their groups and contacts is in it once at most.
pub fn news(before: &Contacts, after: &Contacts) -> News {
    let (first, last) = (number(before), number(after));
    if last <= first {
        return News {
            delta: None,
            whole: true,
        };
    }
    let changes = Changes::between(before, after);
    News {
        delta: Some(changes.write(first, last)),
        whole: changes.lost_group,
    }
}

/// How that is which somebody has asked to change, where nothing has come of it: their client believes what it has asked for.
/// `None` where the whole list says it.
pub fn reminder(contacts: &Contacts, item: &Item) -> Option<Vec<u8>> {
    let mut changes = Changes::default();
    match item {
        Item::Contact(whom) => match contacts.get(whom) {
            Some(contact) => {
                let groups = groups_told(contacts, &contact);
                changes.modified.push((contact, groups));
            }
            None => changes.deleted.push(whom.as_str()),
        },
        Item::Group(bit) => {
            let mut groups = contacts.groups();
            changes
                .modified_groups
                .push(groups.find(|(each, _)| each == bit)?);
        }
        Item::NewGroup(_) => return None,
    }
    let number = number(contacts);
    Some(changes.write(number, number))
}

/// The differences of two lists. A contact is with the groups that it is told to be in.
#[derive(Default)]
struct Changes<'c> {
    /// Is a group gone?
    lost_group: bool,
    added_groups: Vec<(u32, &'c str)>,
    modified_groups: Vec<(u32, &'c str)>,
    added: Vec<(Contact<'c>, u64)>,
    modified: Vec<(Contact<'c>, u64)>,
    deleted: Vec<&'c str>,
}

impl<'c> Changes<'c> {
    fn between(before: &'c Contacts, after: &'c Contacts) -> Changes<'c> {
        let mut changes = Changes::default();
        let group_before = |bit| before.groups().find(|(each, _)| *each == bit);
        for (bit, name) in after.groups() {
            match group_before(bit) {
                None => changes.added_groups.push((bit, name)),
                Some((_, old)) if old != name => changes.modified_groups.push((bit, name)),
                Some(_) => {}
            }
        }
        let stays = |bit| after.groups().any(|(each, _)| each == bit);
        // COMPAT(SIPE, 1.25): `deletedGroup` is the death of all endpoints of the user but the one that asked for it. They take their
        // own removal of the group for their user's, ask for it once more, and free what they have freed. So they keep it, and
        // empty.
        changes.lost_group = !before.groups().all(|(bit, _)| stays(bit));
        // A client that knows no group at all has nowhere to put a contact, and has dropped it.
        let dropped = before.groups().next().is_none();
        let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return changes,
                (Some(_), None) => core::cmp::Ordering::Less,
                (None, Some(_)) => core::cmp::Ordering::Greater,
                (Some(one), Some(other)) => one.address.cmp(other.address),
            };
            let was = match order {
                core::cmp::Ordering::Greater => None,
                _ => old.next(),
            };
            let is = match order {
                core::cmp::Ordering::Less => None,
                _ => new.next(),
            };
            let told = |list, contact: Contact<'c>| (contact, groups_told(list, &contact));
            match (
                was.map(|one| told(before, one)),
                is.map(|one| told(after, one)),
            ) {
                (Some((one, _)), None) => changes.deleted.push(one.address),
                (None, Some(contact)) => changes.added.push(contact),
                (Some(_), Some(contact)) if dropped && !changes.added_groups.is_empty() => {
                    changes.added.push(contact);
                }
                (Some((one, groups)), Some((contact, now)))
                    if groups != now || one.name != contact.name =>
                {
                    changes.modified.push((contact, now));
                }
                _ => {}
            }
        }
    }

    fn write(&self, from: u32, to: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut xml = Writer::new(&mut out);
        xml.open("contactDelta")
            .attribute("deltaNum", to)
            .attribute("prevDeltaNum", from);
        for (bit, name) in &self.added_groups {
            group(&mut xml, "addedGroup", *bit, name);
        }
        for (bit, name) in &self.modified_groups {
            group(&mut xml, "modifiedGroup", *bit, name);
        }
        for (each, groups) in &self.added {
            contact(&mut xml, "addedContact", "sip:", each, *groups);
        }
        for (each, groups) in &self.modified {
            contact(&mut xml, "modifiedContact", "sip:", each, *groups);
        }
        for address in &self.deleted {
            xml.open("deletedContact")
                .attribute("uri", format_args!("sip:{}", address.to_lowercase()))
                .close();
        }
        xml.close();
        out
    }
}

/// The groups that a contact is told to be in: who is in none is where clients show them, among the other contacts, which is `~`,
/// or in the first group.
fn groups_told(contacts: &Contacts, contact: &Contact<'_>) -> u64 {
    if contact.groups != 0 {
        return contact.groups;
    }
    let first = || contacts.groups().next().map(|(bit, _)| bit);
    contacts
        .group("~")
        .or_else(first)
        .map_or(0, |bit| 1_u64 << bit)
}

fn group(xml: &mut Writer<'_>, element: &'static str, bit: u32, name: &str) {
    xml.open(element)
        .attribute("id", bit + 1)
        .attribute("name", name)
        .attribute("externalURI", "")
        .close();
}

/// `groups` is always there: a client reads it without looking whether it is.
fn contact(
    xml: &mut Writer<'_>,
    element: &'static str,
    scheme: &str,
    contact: &Contact<'_>,
    bits: u64,
) {
    let mut groups = String::new();
    for bit in 0..u64::BITS {
        if bits & (1 << bit) != 0 {
            if !groups.is_empty() {
                groups.push(' ');
            }
            groups.push_str(&(bit + 1).to_string());
        }
    }
    xml.open(element)
        // Clients compare addresses byte by byte, and write their own in lower case.
        .attribute(
            "uri",
            format_args!("{scheme}{}", contact.address.to_lowercase()),
        )
        .attribute("name", contact.name)
        .attribute("groups", groups)
        .attribute("subscribed", "true")
        .attribute("externalURI", "")
        .close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::ContactError;
    use crate::sip::uri::Aor;

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@example.com")).expect("an address")
    }

    fn text(document: &[u8]) -> String {
        let text = core::str::from_utf8(document).expect("text");
        let body = text.split_once("?>\n").expect("a declaration").1;
        body.replace(" externalURI=\"\"", "")
            .replace(" subscribed=\"true\"", "")
    }

    fn told(before: &Contacts, after: &Contacts) -> String {
        let news = news(before, after);
        let mut told: Vec<String> = news.delta.iter().map(|delta| text(delta)).collect();
        if news.whole {
            told.push("all of it".to_owned());
        }
        told.join(", then ")
    }

    fn list() -> Contacts {
        let mut list = Contacts::default();
        list.add_group("~").expect("room");
        list.add_group("Work & <Play>").expect("room");
        list.put(&aor("Bob"), "", 0b11).expect("room");
        list.put(&aor("carol"), "C.", 0).expect("room");
        list
    }

    #[test]
    fn a_whole_list() {
        assert_eq!(
            text(&full(&Contacts::default())),
            "<contactList deltaNum=\"1\"/>"
        );
        assert_eq!(
            text(&full(&list())),
            "<contactList deltaNum=\"5\"><group id=\"1\" name=\"~\"/><group id=\"2\" name=\"Work &amp; &lt;Play&gt;\"/>\
             <contact uri=\"bob@example.com\" name=\"\" groups=\"1 2\"/><contact uri=\"carol@example.com\" name=\"C.\" groups=\"1\"/></contactList>"
        );
    }

    #[test]
    fn who_is_in_no_group_is_told_to_be_among_the_others() {
        let groups = |names: &[&str]| {
            let mut list = Contacts::default();
            list.put(&aor("bob"), "", 0).expect("room");
            for name in names {
                list.add_group(name).expect("room");
            }
            let told = text(&full(&list));
            let (_, groups) = told.split_once("groups=\"").expect("a contact");
            groups.split_once('"').expect("an end").0.to_owned()
        };
        assert_eq!(groups(&[]), "");
        assert_eq!(groups(&["Work", "Play"]), "1");
        assert_eq!(groups(&["Work", "Play", "~"]), "3");
        // With another group that takes them in they move.
        let mut before = Contacts::default();
        before.add_group("Work").expect("room");
        before.put(&aor("bob"), "", 0).expect("room");
        let mut after = before.clone();
        after.add_group("~").expect("room");
        assert_eq!(
            told(&before, &after),
            "<contactDelta deltaNum=\"4\" prevDeltaNum=\"3\"><addedGroup id=\"2\" name=\"~\"/><modifiedContact uri=\"sip:bob@example.com\" name=\"\" groups=\"2\"/></contactDelta>"
        );
    }

    #[test]
    fn each_change_is_told() {
        let before = list();
        let after = |change: &dyn Fn(&mut Contacts) -> Result<(), ContactError>| {
            let mut after = before.clone();
            change(&mut after).expect("room");
            told(&before, &after)
        };
        assert_eq!(
            after(&|list| list.put(&aor("dave"), "Dave", 1).map(drop)),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"><addedContact uri=\"sip:dave@example.com\" name=\"Dave\" groups=\"1\"/></contactDelta>"
        );
        assert_eq!(
            after(&|list| list.put(&aor("Bob"), "Bobby", 1).map(drop)),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"><modifiedContact uri=\"sip:bob@example.com\" name=\"Bobby\" groups=\"1\"/></contactDelta>"
        );
        assert_eq!(
            after(&|list| {
                list.remove(&aor("Bob"));
                Ok(())
            }),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"><deletedContact uri=\"sip:bob@example.com\"/></contactDelta>"
        );
        assert_eq!(
            after(&|list| list.add_group("New").map(drop)),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"><addedGroup id=\"3\" name=\"New\"/></contactDelta>"
        );
        assert_eq!(
            after(&|list| list.rename_group("~", "~~")),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"><modifiedGroup id=\"1\" name=\"~~\"/></contactDelta>"
        );
        assert_eq!(
            after(&|list| list.remove_group("~")),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"><modifiedContact uri=\"sip:bob@example.com\" name=\"\" groups=\"2\"/>\
             <modifiedContact uri=\"sip:carol@example.com\" name=\"C.\" groups=\"2\"/></contactDelta>, then all of it"
        );
        assert_eq!(
            after(&|list| list.remove_group("Work & <Play>")),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"><modifiedContact uri=\"sip:bob@example.com\" name=\"\" groups=\"1\"/></contactDelta>, then all of it"
        );
        assert_eq!(
            after(&|list| list.put(&aor("carol"), "C.", 1).map(drop)),
            "<contactDelta deltaNum=\"6\" prevDeltaNum=\"5\"/>",
            "there she was told to be"
        );
        assert_eq!(
            after(&|_| Ok(())),
            "all of it",
            "nothing changed, so nothing is asked"
        );
    }

    #[test]
    fn who_was_dropped_for_want_of_a_group_comes_with_the_first() {
        let mut before = Contacts::default();
        before.put(&aor("bob"), "", 0).expect("room");
        let mut after = before.clone();
        after.add_group("~").expect("room");
        assert_eq!(
            told(&before, &after),
            "<contactDelta deltaNum=\"3\" prevDeltaNum=\"2\"><addedGroup id=\"1\" name=\"~\"/><addedContact uri=\"sip:bob@example.com\" name=\"\" groups=\"1\"/></contactDelta>"
        );
    }

    #[test]
    fn who_was_refused_is_reminded_of_what_it_asked_for() {
        let list = list();
        let reminded = |item: Item| reminder(&list, &item).map(|document| text(&document));
        let delta = |inside: &str| {
            let open = "<contactDelta deltaNum=\"5\" prevDeltaNum=\"5\">";
            Some(format!("{open}{inside}</contactDelta>"))
        };
        assert_eq!(
            reminded(Item::Contact(aor("carol"))),
            delta("<modifiedContact uri=\"sip:carol@example.com\" name=\"C.\" groups=\"1\"/>")
        );
        assert_eq!(
            reminded(Item::Contact(aor("Dave"))),
            delta("<deletedContact uri=\"sip:dave@example.com\"/>")
        );
        assert_eq!(
            reminded(Item::Group(0)),
            delta("<modifiedGroup id=\"1\" name=\"~\"/>")
        );
        assert_eq!(reminded(Item::Group(2)), None);
        assert_eq!(reminded(Item::NewGroup("~".into())), None);
    }

    #[test]
    fn many_changes_are_told_one_by_one() {
        let many = |version, name: &str| {
            let contacts = (0..200).map(|n| (aor(&format!("u{n}")), name.into(), 0));
            Contacts::build(version, Vec::new(), contacts.collect()).expect("room")
        };
        let (none, all) = (Contacts::default(), many(9, ""));
        for (before, after, element) in [
            (&none, &all, "<addedContact "),
            (&all, &many(10, "x"), "<modifiedContact "),
            (&all, &none.clone().at_least(10), "<deletedContact "),
        ] {
            let told = told(before, after);
            assert_eq!(told.matches(element).count(), 200, "{element}");
            assert!(told.ends_with("</contactDelta>"), "{element}");
        }
    }
}
