//! `muster user contacts`: the list, its groups, and both as JSON.

use std::path::PathBuf;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::{Whose, edit, print, read_json, standing};
use crate::cli::Failure;
use crate::config::Config;
use crate::presence::{ContactError, Contacts};
use crate::sip::uri::Aor;

/// A thousand contacts with the longest of names in all groups take less.
const FILE_BYTES_MAX: u64 = 32 << 20;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Print the contacts: address, name and groups, a line each
    List(Whose),
    /// Add a contact, or give one another name and other groups; at most 1,000
    Add {
        #[command(flatten)]
        whose: Whose,
        /// Whom
        #[arg(value_name = "CONTACT", value_parser = crate::cli::address)]
        contact: Aor,
        /// What the user calls them
        #[arg(long, value_name = "TEXT", default_value = "")]
        name: String,
        /// A group to put them in, made where it is not there; may be given often; at most 64 groups
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
    },
    /// Take a contact off the list
    Remove {
        #[command(flatten)]
        whose: Whose,
        /// Whom
        #[arg(value_name = "CONTACT", value_parser = crate::cli::address)]
        contact: Aor,
    },
    /// Make a group
    AddGroup {
        #[command(flatten)]
        whose: Whose,
        /// Its name
        group: String,
    },
    /// Give a group another name
    RenameGroup {
        #[command(flatten)]
        whose: Whose,
        /// Its name
        old: String,
        /// Its name from now on
        new: String,
    },
    /// Take a group away; its contacts stay
    RemoveGroup {
        #[command(flatten)]
        whose: Whose,
        /// Its name
        group: String,
    },
    /// Print the whole list as JSON, as `import` takes it
    Export(Whose),
    /// Put the list of a JSON file in the place of the present one, or change nothing
    Import {
        #[command(flatten)]
        whose: Whose,
        /// The file: {"groups": ["Team"], "contacts": [{"address": "bob@example.com", "name": "Bob", "groups": ["Team"]}]}; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// The list as JSON has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    groups: Vec<Box<str>>,
    contacts: Vec<WrittenContact>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenContact {
    address: Box<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    name: Box<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Box<str>>,
}

pub(super) fn contacts(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(whose) => {
            let contacts = standing(config, &whose)?.contacts;
            print(|out| {
                for contact in contacts.iter() {
                    let groups = names(&contacts, contact.groups).join(", ");
                    writeln!(out, "{}\t{}\t{groups}", contact.address, contact.name)?;
                }
                Ok(())
            })
        }
        Command::Add {
            whose,
            contact,
            name,
            groups,
        } => edit(config, &whose, |standing| {
            let list = &mut standing.contacts;
            let mut bits = 0;
            for group in &groups {
                let bit = match list.group(group) {
                    Some(bit) => bit,
                    None => list.add_group(group)?,
                };
                bits |= 1 << bit;
            }
            list.put(&contact, &name, bits).map(|_| ())
        }),
        Command::Remove { whose, contact } => edit(config, &whose, |standing| {
            let there = standing.contacts.remove(&contact);
            there
                .then_some(())
                .ok_or_else(|| format!("{contact} is no contact of theirs"))
        }),
        Command::AddGroup { whose, group } => edit(config, &whose, |standing| {
            standing.contacts.add_group(&group).map(|_| ())
        }),
        Command::RenameGroup { whose, old, new } => edit(config, &whose, |standing| {
            standing.contacts.rename_group(&old, &new)
        }),
        Command::RemoveGroup { whose, group } => edit(config, &whose, |standing| {
            standing.contacts.remove_group(&group)
        }),
        Command::Export(whose) => {
            let written = written(&standing(config, &whose)?.contacts);
            print(|out| {
                serde_json::to_writer_pretty(&mut *out, &written)?;
                writeln!(out)
            })
        }
        Command::Import { whose, file } => {
            let written: Written = read_json(&file, FILE_BYTES_MAX)?;
            edit(config, &whose, |standing| {
                standing.contacts = read(written, &standing.contacts)?;
                Ok::<(), String>(())
            })
        }
    }
}

fn names(contacts: &Contacts, bits: u64) -> Vec<&str> {
    contacts
        .groups()
        .filter(|(bit, _)| bits & (1 << bit) != 0)
        .map(|(_, name)| name)
        .collect()
}

fn written(contacts: &Contacts) -> Written {
    Written {
        groups: contacts.groups().map(|(_, name)| name.into()).collect(),
        contacts: contacts
            .iter()
            .map(|contact| WrittenContact {
                address: contact.address.into(),
                name: contact.name.into(),
                groups: names(contacts, contact.groups)
                    .into_iter()
                    .map(Box::from)
                    .collect(),
            })
            .collect(),
    }
}

/// The list, or which entry is wrong and what would be right. A group that there was `before` keeps its number: clients know
/// it by that.
fn read(written: Written, before: &Contacts) -> Result<Contacts, String> {
    let old = before.groups().chain(before.gone());
    let mut list = Contacts::default().remembering(old);
    for there_before in [true, false] {
        for (at, group) in written.groups.iter().enumerate() {
            if before.group(group).is_some() == there_before {
                list.add_group(group)
                    .map_err(|error| format!("groups[{at}] {group:?}: {error}"))?;
            }
        }
    }
    let mut contacts: Vec<(Aor, Box<str>, u64)> = Vec::with_capacity(written.contacts.len());
    let mut places = std::collections::HashMap::new();
    for (at, contact) in written.contacts.into_iter().enumerate() {
        let place = format!("contacts[{at}]");
        let address = Aor::parse(&contact.address).ok_or_else(|| {
            format!(
                "{place}.address {:?}: an address like bob@example.com is right",
                contact.address
            )
        })?;
        let mut bits = 0;
        for (number, group) in contact.groups.iter().enumerate() {
            let bit = list.group(group).ok_or_else(|| {
                format!("{place}.groups[{number}] {group:?}: name it among the groups too")
            })?;
            bits |= 1 << bit;
        }
        if let Some(first) = places.insert(address.clone(), at) {
            return Err(format!(
                "{place}.address {address}: contacts[{first}] is the same one; once is right"
            ));
        }
        if !contact.name.is_empty()
            && !crate::presence::is_line(&contact.name, crate::presence::NAME_CHARS_MAX)
        {
            return Err(format!("{place}.name: {}", ContactError::BadName));
        }
        contacts.push((address, contact.name, bits));
    }
    list.with_contacts(contacts)
        .map_err(|error| format!("contacts: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_their_numbers() {
        let mut before = Contacts::default();
        for group in ["~", "Work", "Play"] {
            before.add_group(group).expect("room");
        }
        before.remove_group("Work").expect("it is there");
        let written = Written {
            groups: vec!["New".into(), "Play".into(), "Work".into()],
            contacts: vec![WrittenContact {
                address: "bob@example.com".into(),
                name: "".into(),
                groups: vec!["Play".into()],
            }],
        };
        let list = read(written, &before).expect("a list");
        assert_eq!(
            list.groups().collect::<Vec<_>>(),
            [(1, "Work"), (2, "Play"), (3, "New")]
        );
        assert_eq!(list.gone().collect::<Vec<_>>(), [(0, "~")]);
        let groups: Vec<u64> = list.iter().map(|contact| contact.groups).collect();
        assert_eq!(groups, [0b100]);
    }
}
