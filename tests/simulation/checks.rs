//! What must be true when all is quiet, of what the clients hold and what the store keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster::presence::Choice;
use muster::sip::time::Now;
use muster::sip::uri::Aor;

use super::Run;
use super::fellow::{CONTACTS, Scene, aor};
use super::watched::is_as_new;

impl Run {
    /// What the watcher may see of a subject, by the rules that the store keeps: what is seen must be the same for the same.
    fn relation(&self, watcher: usize, event: &str, subject: &str) -> String {
        let watcher_name = aor(self.fellows[watcher].user);
        if subject == CONTACTS || event == "presence.winfo" {
            return watcher_name;
        }
        let Some(owner) = Aor::parse(subject) else {
            return String::new();
        };
        let Some(standing) = self.world.standing(owner.as_str()) else {
            return String::new();
        };
        let watcher = Aor::parse(&watcher_name).expect("the test's own address");
        let home = ["example.com".into()];
        let level = standing
            .access
            .level_of(&watcher, &owner, &home, &standing.contacts);
        level.name().to_owned()
    }

    /// Each list of contacts has all of them, each list of watchers those and no others.
    pub(super) fn check_lists(&mut self) {
        let mut wrong = Vec::new();
        for (index, fellow) in self.fellows.iter().enumerate() {
            let own = format!("sip:{}", aor(fellow.user));
            for (event, many) in fellow.lists() {
                let number =
                    |uri: &str| (0..self.users).find(|user| uri == format!("sip:{}", aor(*user)));
                let right = if event == "presence" {
                    let standing = self.world.standing(&aor(fellow.user)).unwrap_or_default();
                    let contacts = standing.contacts.iter();
                    many.is_of(
                        &contacts
                            .filter_map(|contact| number(&contact.aor().uri()))
                            .collect(),
                    )
                } else {
                    let watchers = |surely: bool| -> BTreeSet<String> {
                        let those = self
                            .fellows
                            .iter()
                            .filter(|fellow| fellow.watches(surely).any(|subject| subject == own));
                        those
                            .map(|fellow| format!("sip:{}", aor(fellow.user)))
                            .collect()
                    };
                    let listed: BTreeSet<String> = many.entries.keys().cloned().collect();
                    watchers(true).is_subset(&listed) && listed.is_subset(&watchers(false))
                };
                if !right {
                    wrong.push(format!(
                        "fellow {index} (user {}) has a wrong list of {event}: {}",
                        fellow.user,
                        many.text()
                    ));
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.ledger.blame(wrong));
    }

    /// A choice whose time is over is out of the store soon after the store works.
    pub(super) fn check_choices(&mut self) {
        let long_ago = |end: Now| self.world.now.since(end) > Duration::from_secs(120);
        let mut stale = Vec::new();
        for user in 0..self.users {
            let standing = self.world.standing(&aor(user));
            let choice = standing
                .as_ref()
                .and_then(|standing| standing.choice.as_ref());
            if choice.and_then(Choice::end).is_some_and(long_ago) {
                stale.push(format!("user {user} still has {choice:?}, which is over"));
            }
        }
        stale.into_iter().for_each(|stale| self.ledger.blame(stale));
    }

    /// Whoever watches the same thing holds the same state, and it is the one that somebody gets who asks now.
    pub(super) fn check_watchers(&mut self) {
        #[expect(clippy::type_complexity, reason = "a table of this function alone")]
        let mut states: BTreeMap<(&str, String, String), Vec<(usize, Option<String>)>> =
            BTreeMap::new();
        let mut wrong = Vec::new();
        for (index, fellow) in self.fellows.iter().enumerate() {
            for (event, subject, state) in fellow.watched() {
                let seen = (index, state.map(str::to_owned));
                if let (Some(members), Some(state)) = (self.ledger.members(subject), state)
                    && !state.contains(&format!("<user-count>{members}</user-count>"))
                    && state.contains("<user-count>")
                {
                    wrong.push(format!(
                        "{members} users are in {subject}, and fellow {index} sees {state}"
                    ));
                }
                let mut relation = self.relation(index, event, subject);
                let hints = match fellow.is_lync() {
                    true => ["<body", "<availability>3"],
                    false => ["note", ">open<"],
                };
                if relation == "blocked"
                    && state.is_some_and(|state| hints.iter().any(|hint| state.contains(hint)))
                {
                    wrong.push(format!(
                        "fellow {index} is blocked by {subject} and sees {state:?}"
                    ));
                }
                if fellow.is_lync() {
                    relation.push_str(" in Lync's dialect");
                }
                states
                    .entry((event, subject.to_owned(), relation))
                    .or_default()
                    .push(seen);
            }
        }
        wrong.into_iter().for_each(|wrong| self.ledger.blame(wrong));
        // Who asks stands in the same relation as who watches; a roster is shown to who is in the conference, as each is that
        // watches it.
        let asked: Vec<(&str, String, String, Option<usize>)> = states
            .iter()
            .map(|((event, subject, relation), seen)| {
                let mut watchers = seen.iter().map(|(index, _)| *index);
                let asker = watchers.find(|index| self.fellows[*index].is_up());
                (*event, subject.clone(), relation.clone(), asker)
            })
            .collect();
        let mut answers = BTreeMap::new();
        for (event, subject, relation, asker) in asked {
            if let Some(asker) = asker {
                self.fellows[asker].watch(scene!(self, true), event, subject.clone(), 3600);
                self.calm();
                let newest = self.fellows[asker]
                    .watched()
                    .filter(|(each, of, _)| *each == event && *of == subject)
                    .last();
                answers.insert(
                    (event, subject, relation),
                    newest.and_then(|(_, _, state)| state.map(str::to_owned)),
                );
            }
        }
        for ((event, subject, relation), mut seen) in states {
            let is_back =
                (self.returned.iter()).any(|user| subject == format!("sip:{}", aor(*user)));
            if event == "presence.winfo" && is_back {
                // Who has them on a list came to watch them by the questions above.
                let indices: BTreeSet<usize> = seen.iter().map(|(index, _)| *index).collect();
                let held = indices.iter().flat_map(|index| {
                    let watched = self.fellows[*index].watched();
                    let of_them = watched.filter(|(each, of, _)| *each == event && *of == subject);
                    of_them.map(|(_, _, state)| (*index, state.map(str::to_owned)))
                });
                seen = held.collect();
            }
            let first = answers
                .get(&(event, subject.clone(), relation.clone()))
                .cloned()
                .unwrap_or_else(|| seen[0].1.clone());
            for (index, state) in &seen {
                let lists = (subject == CONTACTS).then_some((state, &first));
                let as_new = match lists {
                    Some((Some(held), Some(now))) => is_as_new(held, now),
                    // Who comes back is asked about again after a while only, where they are on a list.
                    _ if relation.ends_with("dialect") && is_back => {
                        let nobody = |state: &String| !state.contains("contactCard");
                        *state == first || state.as_ref().is_some_and(nobody)
                    }
                    _ => *state == first,
                };
                if !as_new {
                    self.ledger.blame(format!("fellow {index} holds an old state of {event} {subject} as {relation}: {state:?}, now {first:?}"));
                }
            }
        }
    }
}
