//! A user's contact list: whom they want to see, under which names, in which groups.
//!
//! A list lives as long as its owner, so it is kept tight: all texts of the list are one piece of memory, and an entry is
//! sixteen bytes beside it. An edit makes the list anew, which is rare and cheap. Always holds: sorted by address, each
//! address once, every limit kept. Who may see the owner is `access`; subscriptions to the list are elsewhere.

use crate::presence::line;
use crate::sip::uri::Aor;

/// Contacts of one user.
pub const CONTACTS_MAX: usize = 1_000;
/// Groups of one user's contacts; a contact's groups are the bits of one word.
pub const GROUPS_MAX: usize = 64;
/// The longest name of a contact or of a group, in characters.
pub const NAME_CHARS_MAX: usize = 255;

/// A contact list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contacts {
    version: u64,
    /// Address and name of each entry, one after the other.
    text: Box<str>,
    entries: Box<[Entry]>,
    /// The group of each bit, or the last one that had it; empty where none had. A group keeps its bit as long as it lives, and
    /// gets it again when it is made again: there are clients that keep a group that is gone until they sign in anew.
    groups: Box<[Box<str>]>,
    /// The bits whose group is there.
    there: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    start: u32,
    aor_bytes: u16,
    name_bytes: u16,
    groups: u64,
}

/// One contact, as it stands in the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contact<'a> {
    /// The address of record in canonical form.
    pub address: &'a str,
    /// What the owner calls them; empty where they have no name.
    pub name: &'a str,
    /// Bit n is set where the contact is in group n.
    pub groups: u64,
}

/// Why an edit is refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContactError {
    /// More than [`CONTACTS_MAX`].
    TooMany,
    /// More than [`GROUPS_MAX`].
    TooManyGroups,
    /// A contact's name is longer than [`NAME_CHARS_MAX`] or no line of text.
    BadName,
    /// A group's name is empty, longer than [`NAME_CHARS_MAX`] or no line of text.
    BadGroupName,
    /// There is a group of that name.
    GroupExists,
    /// There is no such group.
    NoSuchGroup,
    /// An address is there twice.
    Twice,
}

impl Contact<'_> {
    /// The address of record.
    pub fn aor(&self) -> Aor {
        Aor::parse(self.address).expect("the list was made from addresses of record")
    }
}

impl Contacts {
    /// A list from all its parts, in any order. `groups[n]` is the group of bit n, empty where there is none.
    pub fn build(
        version: u64,
        groups: Vec<Box<str>>,
        mut contacts: Vec<(Aor, Box<str>, u64)>,
    ) -> Result<Contacts, ContactError> {
        if contacts.len() > CONTACTS_MAX {
            return Err(ContactError::TooMany);
        }
        if groups.len() > GROUPS_MAX {
            return Err(ContactError::TooManyGroups);
        }
        let mut names: Vec<&str> = groups
            .iter()
            .map(|name| &**name)
            .filter(|name| !name.is_empty())
            .collect();
        if names
            .iter()
            .any(|name| !line::is_line(name, NAME_CHARS_MAX))
        {
            return Err(ContactError::BadGroupName);
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ContactError::GroupExists);
        }
        let there = used(&groups);
        contacts.sort_by(|one, other| one.0.cmp(&other.0));
        let bytes = contacts
            .iter()
            .map(|(aor, name, _)| aor.as_str().len() + name.len());
        let mut text = String::with_capacity(bytes.sum());
        let mut entries: Vec<Entry> = Vec::with_capacity(contacts.len());
        let mut before: Option<&Aor> = None;
        for (aor, name, bits) in &contacts {
            if before == Some(aor) {
                return Err(ContactError::Twice);
            }
            before = Some(aor);
            if !name.is_empty() && !line::is_line(name, NAME_CHARS_MAX) {
                return Err(ContactError::BadName);
            }
            if bits & !there != 0 {
                return Err(ContactError::NoSuchGroup);
            }
            entries.push(Entry {
                // A thousand contacts of 512 bytes and 255 characters are far below u32, and each below u16.
                start: text.len() as u32,
                aor_bytes: aor.as_str().len() as u16,
                name_bytes: name.len() as u16,
                groups: *bits,
            });
            text.push_str(aor.as_str());
            text.push_str(name);
        }
        Ok(Contacts {
            version,
            text: text.into(),
            entries: entries.into(),
            groups: groups.into(),
            there,
        })
    }

    /// This list, which remembers these groups that are no more: the bit that each had, and its name. What contradicts the
    /// groups that are there is left out.
    #[must_use]
    pub fn remembering<'g>(mut self, gone: impl IntoIterator<Item = (u32, &'g str)>) -> Contacts {
        let mut groups = self.groups.to_vec();
        for (bit, name) in gone {
            let at = bit as usize;
            let known = groups.iter().any(|each| **each == *name);
            if at >= GROUPS_MAX || self.there & (1 << bit) != 0 || known {
                continue;
            }
            if groups.len() <= at {
                groups.resize(at + 1, "".into());
            }
            groups[at] = name.into();
        }
        self.groups = groups.into();
        self
    }

    /// These contacts in this list's groups.
    ///
    /// # Errors
    /// Where [`Contacts::build`] has them.
    pub fn with_contacts(
        &self,
        contacts: Vec<(Aor, Box<str>, u64)>,
    ) -> Result<Contacts, ContactError> {
        let built = Contacts::build(self.version, self.groups_there(), contacts)?;
        Ok(built.remembering(self.gone()))
    }

    /// Rises with each change. Two lists of one user with the same version are the same.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same contacts in the same groups, whatever the versions say?
    pub fn is_same_list(&self, other: &Contacts) -> bool {
        self.text == other.text
            && self.entries == other.entries
            && self.groups == other.groups
            && self.there == other.there
    }

    /// This list with a version of at least `version`.
    #[must_use]
    pub fn at_least(mut self, version: u64) -> Contacts {
        self.version = self.version.max(version);
        self
    }

    /// How many contacts there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No contacts? There may be groups.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The contacts, by address.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Contact<'_>> {
        self.entries.iter().map(|entry| self.contact(entry))
    }

    /// Is this one a contact? Compares a few texts, allocates nothing.
    pub fn contains(&self, aor: &Aor) -> bool {
        self.place(aor).is_ok()
    }

    /// The contact of this address.
    pub fn get(&self, aor: &Aor) -> Option<Contact<'_>> {
        let at = self.place(aor).ok()?;
        self.entries.get(at).map(|entry| self.contact(entry))
    }

    /// The groups: bit and name.
    pub fn groups(&self) -> impl Iterator<Item = (u32, &str)> {
        self.named(self.there)
    }

    /// The groups that are no more: the bit that each had, and its name.
    pub fn gone(&self) -> impl Iterator<Item = (u32, &str)> {
        self.named(!self.there)
    }

    fn named(&self, bits: u64) -> impl Iterator<Item = (u32, &str)> {
        (0..)
            .zip(self.groups.iter().map(|name| &**name))
            .filter(move |(bit, name)| bits & (1_u64 << *bit) != 0 && !name.is_empty())
    }

    /// The bit of the group of this name.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups()
            .find(|(_, each)| *each == name)
            .map(|(bit, _)| bit)
    }

    /// Adds a contact, or gives one that is there this name and these groups. False where it was just so already.
    pub fn put(&mut self, aor: &Aor, name: &str, groups: u64) -> Result<bool, ContactError> {
        if let Some(contact) = self.get(aor)
            && contact.name == name
            && contact.groups == groups
        {
            return Ok(false);
        }
        self.edit(|_, contacts| {
            contacts.retain(|(each, _, _)| each != aor);
            contacts.push((aor.clone(), name.into(), groups));
            Ok(())
        })?;
        Ok(true)
    }

    /// Takes a contact off the list. False where it is not there.
    pub fn remove(&mut self, aor: &Aor) -> bool {
        self.contains(aor)
            && self
                .edit(|_, contacts| {
                    contacts.retain(|(each, _, _)| each != aor);
                    Ok(())
                })
                .is_ok()
    }

    /// Makes a group; its bit. It is the one that a group of this name had, else one that no group had, as long as there is one.
    pub fn add_group(&mut self, name: &str) -> Result<u32, ContactError> {
        if name.is_empty() {
            return Err(ContactError::BadGroupName);
        }
        if self.group(name).is_some() {
            return Err(ContactError::GroupExists);
        }
        let had = self.gone().find(|(_, each)| *each == name);
        let had_by_none = (0..GROUPS_MAX as u32).find(|bit| {
            self.groups
                .get(*bit as usize)
                .is_none_or(|each| each.is_empty())
        });
        let free = (0..GROUPS_MAX as u32).find(|bit| self.there & (1_u64 << *bit) == 0);
        let bit = had
            .map(|(bit, _)| bit)
            .or(had_by_none)
            .or(free)
            .ok_or(ContactError::TooManyGroups)?;
        self.edit(|groups, _| {
            let at = bit as usize;
            groups.resize(groups.len().max(at + 1), "".into());
            groups[at] = name.into();
            Ok(())
        })?;
        Ok(bit)
    }

    /// Gives a group another name.
    pub fn rename_group(&mut self, old: &str, new: &str) -> Result<(), ContactError> {
        let bit = self.group(old).ok_or(ContactError::NoSuchGroup)?;
        if new.is_empty() {
            return Err(ContactError::BadGroupName);
        }
        if self.group(new).is_some() {
            return Err(ContactError::GroupExists);
        }
        self.edit(|groups, _| {
            groups[bit as usize] = new.into();
            Ok(())
        })
    }

    /// Takes a group away. Its contacts stay on the list.
    pub fn remove_group(&mut self, name: &str) -> Result<(), ContactError> {
        let bit = self.group(name).ok_or(ContactError::NoSuchGroup)?;
        self.edit(|groups, contacts| {
            groups[bit as usize] = "".into();
            for (_, _, bits) in contacts {
                *bits &= !(1 << bit);
            }
            Ok(())
        })
    }

    fn edit(
        &mut self,
        change: impl FnOnce(
            &mut Vec<Box<str>>,
            &mut Vec<(Aor, Box<str>, u64)>,
        ) -> Result<(), ContactError>,
    ) -> Result<(), ContactError> {
        let mut groups = self.groups_there();
        let mut contacts = self
            .iter()
            .map(|contact| (contact.aor(), contact.name.into(), contact.groups))
            .collect();
        change(&mut groups, &mut contacts)?;
        let edited = Contacts::build(self.version.saturating_add(1), groups, contacts)?;
        *self = edited.remembering(self.named(u64::MAX));
        Ok(())
    }

    fn groups_there(&self) -> Vec<Box<str>> {
        let mut groups = self.groups.to_vec();
        for (bit, _) in self.gone() {
            groups[bit as usize] = "".into();
        }
        groups
    }

    fn contact(&self, entry: &Entry) -> Contact<'_> {
        let start = entry.start as usize;
        let middle = start + usize::from(entry.aor_bytes);
        let end = middle + usize::from(entry.name_bytes);
        Contact {
            // `build` cut the text there itself.
            address: self.text.get(start..middle).unwrap_or(""),
            name: self.text.get(middle..end).unwrap_or(""),
            groups: entry.groups,
        }
    }

    fn place(&self, aor: &Aor) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| self.contact(entry).address.cmp(aor.as_str()))
    }
}

/// The bits that mean a group.
fn used(groups: &[Box<str>]) -> u64 {
    let mut bits = 0;
    for (bit, name) in groups.iter().enumerate().take(GROUPS_MAX) {
        if !name.is_empty() {
            bits |= 1 << bit;
        }
    }
    bits
}

impl core::fmt::Display for ContactError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ContactError::TooMany => {
                write!(f, "more than {CONTACTS_MAX} contacts; remove some first")
            }
            ContactError::TooManyGroups => {
                write!(f, "more than {GROUPS_MAX} groups; remove one first")
            }
            ContactError::BadName => write!(
                f,
                "a contact's name is one line of at most {NAME_CHARS_MAX} characters, without white space around it"
            ),
            ContactError::BadGroupName => write!(
                f,
                "a group's name is one line of 1 to {NAME_CHARS_MAX} characters, without white space around it"
            ),
            ContactError::GroupExists => f.write_str("there is a group of that name already"),
            ContactError::NoSuchGroup => f.write_str("there is no such group"),
            ContactError::Twice => f.write_str("a contact is there twice; once is right"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(text: &str) -> Aor {
        Aor::parse(text).expect("an address")
    }

    fn told(contacts: &Contacts) -> String {
        let one = |contact: Contact<'_>| {
            let groups: Vec<&str> = contacts
                .groups()
                .filter(|(bit, _)| contact.groups & (1 << bit) != 0)
                .map(|(_, name)| name)
                .collect();
            format!(
                "{} {:?} {}",
                contact.address,
                contact.name,
                groups.join("+")
            )
        };
        contacts.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_list_is_edited() {
        let mut contacts = Contacts::default();
        let friends = contacts.add_group("Friends").expect("room");
        let work = contacts.add_group("Büro").expect("room");
        assert_eq!((friends, work), (0, 1));
        assert_eq!(contacts.put(&aor("dora@x.y"), "Dora", 1 << work), Ok(true));
        assert_eq!(contacts.put(&aor("carol@x.y"), "", 0b11), Ok(true));
        assert_eq!(contacts.put(&aor("carol@x.y"), "", 0b11), Ok(false));
        assert_eq!(
            told(&contacts),
            r#"carol@x.y "" Friends+Büro; dora@x.y "Dora" Büro"#
        );
        assert!(contacts.contains(&aor("dora@x.y")) && !contacts.contains(&aor("Dora@x.y")));
        assert_eq!(contacts.version(), 4);

        contacts.remove_group("Friends").expect("it is there");
        assert_eq!(
            told(&contacts),
            r#"carol@x.y "" Büro; dora@x.y "Dora" Büro"#
        );
        // Another group gets another bit.
        assert_eq!(contacts.add_group("Family"), Ok(2));
        contacts
            .rename_group("Büro", "Office")
            .expect("it is there");
        assert_eq!(
            told(&contacts),
            r#"carol@x.y "" Office; dora@x.y "Dora" Office"#
        );
        assert!(contacts.remove(&aor("carol@x.y")) && !contacts.remove(&aor("carol@x.y")));
        assert_eq!((contacts.len(), contacts.version()), (1, 8));
    }

    #[test]
    fn a_group_that_is_gone_leaves_its_bit_to_no_other() {
        let mut contacts = Contacts::default();
        let add = |contacts: &mut Contacts, name: &str| contacts.add_group(name);
        for (bit, name) in (0..).zip(["~", "Work", "Play"]) {
            assert_eq!(add(&mut contacts, name), Ok(bit));
        }
        contacts.put(&aor("a@b"), "", 0b110).expect("room");
        for name in ["Work", "Play"] {
            contacts.remove_group(name).expect("it is there");
        }
        assert_eq!(contacts.groups().collect::<Vec<_>>(), [(0, "~")]);
        assert_eq!(
            contacts.gone().collect::<Vec<_>>(),
            [(1, "Work"), (2, "Play")]
        );
        assert_eq!(add(&mut contacts, "Friends"), Ok(3));
        // Made again it has its own one, and nobody is in it.
        assert_eq!(add(&mut contacts, "Play"), Ok(2));
        assert_eq!(told(&contacts), r#"a@b "" "#);
        // A name is of one group, there or gone.
        contacts.rename_group("Play", "Work").expect("room");
        assert_eq!(contacts.gone().count(), 0);
        contacts.remove_group("~").expect("it is there");
        // The last ones to be given are those that another had.
        assert_eq!(add(&mut contacts, "g1"), Ok(1));
        for bit in 4..64 {
            assert_eq!(add(&mut contacts, &format!("g{bit}")), Ok(bit));
        }
        assert_eq!(add(&mut contacts, "one more"), Ok(0));
        assert_eq!(
            add(&mut contacts, "too many"),
            Err(ContactError::TooManyGroups)
        );
    }

    #[test]
    fn a_list_remembers_what_does_not_contradict_it() {
        let groups = vec!["~".into(), "".into(), "Play".into()];
        let list = Contacts::build(7, groups, Vec::new()).expect("room");
        let gone = [(0, "a"), (1, "~"), (1, "Work"), (64, "b"), (u32::MAX, "c")];
        let list = list.remembering(gone);
        assert_eq!(list.gone().collect::<Vec<_>>(), [(1, "Work")]);
        assert_eq!(list.groups().collect::<Vec<_>>(), [(0, "~"), (2, "Play")]);
        assert_eq!(list.remembering([(5, "Late")]).gone().count(), 2);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut contacts = Contacts::default();
        contacts.add_group("Friends").expect("room");
        let before = contacts.clone();
        let long = "x".repeat(NAME_CHARS_MAX + 1);
        for (result, expected) in [
            (contacts.put(&aor("a@b"), &long, 0), ContactError::BadName),
            (
                contacts.put(&aor("a@b"), "two\nlines", 0),
                ContactError::BadName,
            ),
            (
                contacts.put(&aor("a@b"), "", 0b10),
                ContactError::NoSuchGroup,
            ),
        ] {
            assert_eq!(result, Err(expected));
        }
        for (result, expected) in [
            (
                contacts.add_group("Friends").map(drop),
                ContactError::GroupExists,
            ),
            (contacts.add_group("").map(drop), ContactError::BadGroupName),
            (
                contacts.rename_group("Foes", "Friends"),
                ContactError::NoSuchGroup,
            ),
            (
                contacts.rename_group("Friends", "Friends"),
                ContactError::GroupExists,
            ),
            (contacts.remove_group("Foes"), ContactError::NoSuchGroup),
        ] {
            assert_eq!(result, Err(expected));
        }
        assert_eq!(contacts, before);
    }

    #[test]
    fn the_limits_hold() {
        let many = |count: usize| {
            (0..count)
                .map(|n| (aor(&format!("u{n}@h")), "".into(), 0))
                .collect()
        };
        let mut contacts = Contacts::build(7, Vec::new(), many(CONTACTS_MAX)).expect("a full list");
        assert_eq!(
            contacts.put(&aor("one@more"), "", 0),
            Err(ContactError::TooMany)
        );
        assert_eq!((contacts.len(), contacts.version()), (CONTACTS_MAX, 7));
        assert_eq!(
            Contacts::build(0, Vec::new(), many(CONTACTS_MAX + 1)),
            Err(ContactError::TooMany)
        );
        for n in 0..GROUPS_MAX {
            contacts.add_group(&format!("group {n}")).expect("room");
        }
        assert_eq!(
            contacts.add_group("one more"),
            Err(ContactError::TooManyGroups)
        );
        let twice = vec![(aor("a@b"), "".into(), 0), (aor("a@b"), "A".into(), 0)];
        assert_eq!(
            Contacts::build(0, Vec::new(), twice),
            Err(ContactError::Twice)
        );
    }
}
