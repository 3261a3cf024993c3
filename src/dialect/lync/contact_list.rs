//! A user's contact list as it roams from device to device ([MS-SIP] §2.2.2): the whole of it, or what has changed.
//!
//! A group's id is its bit and one. The number of a list is its version and one, for none may be zero.

use crate::documents::xml::write::Writer;
use crate::presence::{Contact, Contacts};

/// The type of the documents.
pub const CONTENT_TYPE: &str = "application/vnd-microsoft-roaming-contacts+xml";
/// More changed groups and contacts than this are told by the whole list.
pub const CHANGES_MAX: usize = 64;

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
        self::contact(&mut xml, "contact", "", &contact);
    }
    xml.close();
    out
}

/// What has changed from `before` to `after`, for who has been told `before`; `None` where the whole list is to be told.
pub fn delta(before: &Contacts, after: &Contacts) -> Option<Vec<u8>> {
    let changes = Changes::between(before, after)?;
    let (first, last) = (number(before), number(after));
    if last <= first {
        return None;
    }
    Some(changes.write(first, last))
}

/// The differences of two lists.
#[derive(Default)]
struct Changes<'c> {
    added_groups: Vec<(u32, &'c str)>,
    modified_groups: Vec<(u32, &'c str)>,
    added: Vec<Contact<'c>>,
    modified: Vec<Contact<'c>>,
    deleted: Vec<&'c str>,
}

impl<'c> Changes<'c> {
    /// `None` where there are too many.
    fn between(before: &'c Contacts, after: &'c Contacts) -> Option<Changes<'c>> {
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
        // own removal of the group for their user's, ask for it once more, and free what they have freed. The whole list
        // says as much.
        if !before.groups().all(|(bit, _)| stays(bit)) {
            return None;
        }
        // A client that knows no group at all has nowhere to put a contact, and has dropped it.
        let dropped = before.groups().next().is_none();
        let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => core::cmp::Ordering::Less,
                (None, Some(_)) => core::cmp::Ordering::Greater,
                (Some(one), Some(other)) => one.address.cmp(other.address),
            };
            match order {
                core::cmp::Ordering::Less => {
                    changes.deleted.extend(old.next().map(|each| each.address));
                }
                core::cmp::Ordering::Greater => changes.added.extend(new.next()),
                core::cmp::Ordering::Equal => match (old.next(), new.next()) {
                    (_, Some(contact)) if dropped && !changes.added_groups.is_empty() => {
                        changes.added.push(contact);
                    }
                    (Some(one), Some(contact)) if one != contact => {
                        changes.modified.push(contact);
                    }
                    _ => {}
                },
            }
            if changes.count() > CHANGES_MAX {
                return None;
            }
        }
        (changes.count() <= CHANGES_MAX).then_some(changes)
    }

    fn count(&self) -> usize {
        let groups = self.added_groups.len() + self.modified_groups.len();
        let contacts = self.added.len() + self.modified.len() + self.deleted.len();
        groups + contacts
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
        for each in &self.added {
            contact(&mut xml, "addedContact", "sip:", each);
        }
        for each in &self.modified {
            contact(&mut xml, "modifiedContact", "sip:", each);
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

fn group(xml: &mut Writer<'_>, element: &'static str, bit: u32, name: &str) {
    xml.open(element)
        .attribute("id", bit + 1)
        .attribute("name", name)
        .attribute("externalURI", "")
        .close();
}

/// `groups` is always there: a client reads it without looking whether it is.
fn contact(xml: &mut Writer<'_>, element: &'static str, scheme: &str, contact: &Contact<'_>) {
    let mut groups = String::new();
    for bit in 0..u64::BITS {
        if contact.groups & (1 << bit) != 0 {
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
        match delta(before, after) {
            None => "all of it".to_owned(),
            Some(document) => text(&document),
        }
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
             <contact uri=\"bob@example.com\" name=\"\" groups=\"1 2\"/><contact uri=\"carol@example.com\" name=\"C.\" groups=\"\"/></contactList>"
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
        for group in ["~", "Work & <Play>"] {
            assert_eq!(after(&|list| list.remove_group(group)), "all of it");
        }
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
            "<contactDelta deltaNum=\"3\" prevDeltaNum=\"2\"><addedGroup id=\"1\" name=\"~\"/><addedContact uri=\"sip:bob@example.com\" name=\"\" groups=\"\"/></contactDelta>"
        );
    }

    #[test]
    fn many_changes_are_told_by_the_whole_list() {
        let many = |count: usize| {
            let contacts = (0..count).map(|n| (aor(&format!("u{n}")), "".into(), 0));
            Contacts::build(9, Vec::new(), contacts.collect()).expect("room")
        };
        let before = Contacts::default();
        assert!(delta(&before, &many(CHANGES_MAX)).is_some());
        assert_eq!(told(&before, &many(CHANGES_MAX + 1)), "all of it");
        assert_eq!(told(&many(CHANGES_MAX + 1), &before), "all of it");
    }
}
