//! A conference's roster as a client keeps it: a whole document replaces it, a partial one changes it (RFC 4575 §4.6).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use muster::documents::conference_info::{self, RosterUser};

/// What a watcher knows.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    version: Option<u32>,
    subject: String,
    locked: bool,
    user_count: u32,
    users: BTreeMap<String, RosterUser>,
}

impl Roster {
    /// Takes a document in. An error is the server's fault.
    ///
    /// Who moderates may be at the focus and not speak; then a roster of those who do does not name them (`hidden`).
    pub fn take(&mut self, bytes: &[u8], hidden: bool) -> Result<(), String> {
        let text = String::from_utf8_lossy(bytes);
        let document = conference_info::read(bytes)
            .map_err(|fault| format!("a roster that can't be read, {fault:?}:\n{text}"))?;
        let full = &*document.state == "full";
        match self.version {
            Some(old) if document.version < old => {
                return Err(format!("roster version {} after {old}", document.version));
            }
            old if !full && old != Some(document.version.wrapping_sub(1)) => {
                return Err(format!(
                    "a partial roster of version {} after {old:?}",
                    document.version
                ));
            }
            _ => {}
        }
        if full {
            self.users.clear();
        }
        self.version = Some(document.version);
        self.subject = document.subject.unwrap_or_default().into();
        self.locked = document.locked == Some(true);
        self.user_count = document.user_count.unwrap_or_default();
        for user in document.users {
            if &*user.state == "deleted" {
                self.users.remove(&*user.entity);
            } else {
                self.users.insert(user.entity.to_string(), user);
            }
        }
        self.check(hidden)
            .map_err(|wrong| format!("{wrong}:\n{text}\nknown: {self:?}"))
    }

    /// What is true of every roster, whatever came before.
    fn check(&self, hidden: bool) -> Result<(), String> {
        let inside = || {
            self.users
                .values()
                .filter(|user| &*user.status == "connected")
        };
        let count = inside().count();
        if count != self.user_count as usize {
            return Err(format!(
                "{count} users are connected, and the count is {}",
                self.user_count
            ));
        }
        let moderates = |user: &RosterUser| user.roles.iter().any(|role| &**role == "moderator");
        if count > 0 && !hidden && !inside().any(moderates) {
            return Err("nobody moderates".to_owned());
        }
        match self
            .users
            .values()
            .find(|user| moderates(user) && &*user.status != "connected")
        {
            Some(user) => Err(format!("{} moderates and is not in it", user.entity)),
            None => Ok(()),
        }
    }

    /// All that two watchers must agree on, for a person.
    pub fn text(&self) -> String {
        let mut text = format!(
            "version {:?}, <user-count>{}</user-count>, locked {}, {:?}",
            self.version, self.user_count, self.locked, self.subject
        );
        for user in self.users.values() {
            let _ = write!(text, ", {} {:?} {}", user.entity, user.roles, user.status);
        }
        text
    }
}
