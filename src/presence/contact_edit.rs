//! One edit of a contact list as a client asks for it. It names one contact or one group and says all of it, so it is made
//! in whatever list there is when its turn comes, and touches nothing else.

use crate::presence::{ContactError, Contacts, GROUPS_MAX};
use crate::sip::uri::Aor;

/// An edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContactEdit {
    /// A contact is there, with this name and in these groups. Groups that are no more by then are left out: another
    /// client has just taken them away.
    Put {
        /// Whom.
        whom: Aor,
        /// What the owner calls them; may be empty.
        name: Box<str>,
        /// A bit for each group.
        groups: u64,
    },
    /// A contact is not there (any more).
    Remove(Aor),
    /// There is a group of this name: two clients that make the same one at once have one.
    AddGroup(Box<str>),
    /// The group of this bit has this name.
    RenameGroup(u32, Box<str>),
    /// There is no group of this bit (any more).
    RemoveGroup(u32),
}

/// What an edit is about. Two edits of different items have nothing to do with each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A contact.
    Contact(Aor),
    /// The group of a bit.
    Group(u32),
    /// A group to be, by its name.
    NewGroup(Box<str>),
}

impl ContactEdit {
    /// What it is about.
    pub fn item(&self) -> Item {
        match self {
            ContactEdit::Put { whom, .. } | ContactEdit::Remove(whom) => {
                Item::Contact(whom.clone())
            }
            ContactEdit::AddGroup(name) => Item::NewGroup(name.clone()),
            ContactEdit::RenameGroup(bit, _) | ContactEdit::RemoveGroup(bit) => Item::Group(*bit),
        }
    }

    /// Makes it.
    ///
    /// # Errors
    /// Where it breaks a limit, or renames a group that is not there or to a name that is. Then nothing was changed.
    pub fn make(&self, contacts: &mut Contacts) -> Result<(), ContactError> {
        match self {
            ContactEdit::Put { whom, name, groups } => {
                let there = contacts
                    .groups()
                    .fold(0_u64, |bits, (bit, _)| bits | 1 << bit);
                contacts.put(whom, name, groups & there).map(drop)
            }
            ContactEdit::Remove(whom) => {
                contacts.remove(whom);
                Ok(())
            }
            ContactEdit::AddGroup(name) => match contacts.group(name) {
                Some(_) => Ok(()),
                None => contacts.add_group(name).map(drop),
            },
            ContactEdit::RenameGroup(bit, name) => match name_of(contacts, *bit) {
                None => Err(ContactError::NoSuchGroup),
                Some(old) if old == *name => Ok(()),
                Some(old) => contacts.rename_group(&old, name),
            },
            ContactEdit::RemoveGroup(bit) => match name_of(contacts, *bit) {
                None => Ok(()),
                Some(name) => contacts.remove_group(&name),
            },
        }
    }
}

fn name_of(contacts: &Contacts, bit: u32) -> Option<Box<str>> {
    let mut groups = contacts.groups().take(GROUPS_MAX);
    groups
        .find(|(each, _)| *each == bit)
        .map(|(_, name)| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@example.com")).expect("an address")
    }

    fn put(name: &str, groups: u64) -> ContactEdit {
        ContactEdit::Put {
            whom: aor(name),
            name: "".into(),
            groups,
        }
    }

    #[test]
    fn an_edit_means_the_same_whenever_its_turn_comes() {
        let mut list = Contacts::default();
        let mut step = |edit: &ContactEdit| {
            let result = edit.make(&mut list);
            let groups: Vec<String> = list
                .groups()
                .map(|(bit, name)| format!("{bit}{name}"))
                .collect();
            let contacts: Vec<String> = list
                .iter()
                .map(|each| format!("{}:{:b}", each.aor().user(), each.groups))
                .collect();
            match result {
                Ok(()) => format!("{} | {}", groups.join(" "), contacts.join(" ")),
                Err(error) => format!("{error:?}"),
            }
        };
        for (edit, expected) in [
            (ContactEdit::AddGroup("~".into()), "0~ | "),
            (ContactEdit::AddGroup("~".into()), "0~ | "),
            (ContactEdit::AddGroup("Work".into()), "0~ 1Work | "),
            (put("bob", 0b110), "0~ 1Work | bob:10"),
            (put("bob", 0b11), "0~ 1Work | bob:11"),
            (ContactEdit::RenameGroup(1, "~".into()), "GroupExists"),
            (ContactEdit::RenameGroup(2, "Play".into()), "NoSuchGroup"),
            (ContactEdit::RenameGroup(64, "Play".into()), "NoSuchGroup"),
            (
                ContactEdit::RenameGroup(1, "Play".into()),
                "0~ 1Play | bob:11",
            ),
            (
                ContactEdit::RenameGroup(1, "Play".into()),
                "0~ 1Play | bob:11",
            ),
            (ContactEdit::RenameGroup(1, "".into()), "BadGroupName"),
            (ContactEdit::RemoveGroup(1), "0~ | bob:1"),
            (ContactEdit::RemoveGroup(1), "0~ | bob:1"),
            (ContactEdit::Remove(aor("bob")), "0~ | "),
            (ContactEdit::Remove(aor("bob")), "0~ | "),
            (ContactEdit::AddGroup("".into()), "BadGroupName"),
        ] {
            assert_eq!(step(&edit), expected, "{edit:?}");
        }
    }
}
