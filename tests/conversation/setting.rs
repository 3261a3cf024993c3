//! What a play says of a user's standing data: contacts, access rules, the choice, the card, rules for calls. Read into an
//! edit, which the pure stage makes in its record, and the binary's in `muster.db`.

use std::time::Duration;

use muster::presence::{CardLine, Choice, Contacts, Level, Manual, Member, NoteKind, Waiting};
use muster::registrar::Home;
use muster::shard::standing::Standing;
use muster::sip::time::Now;
use muster::sip::uri::Aor;

/// One thing that is to be different from now on.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    Contact {
        whom: Aor,
        name: String,
        groups: Vec<String>,
    },
    NoContact(Aor),
    /// So many contacts, `u1@example.com` and so on.
    Contacts(usize),
    Level(Member, Option<Level>),
    Privacy(bool),
    Choose {
        state: Manual,
        custom: Option<String>,
        until_s: Option<u64>,
    },
    Reset,
    Note(Option<String>, NoteKind),
    ForwardAlways(Aor),
    ForwardBusy(Aor),
    ForwardNoAnswer(Aor, u16),
    RingAlso(Aor),
    NoRules,
    Line(CardLine, Option<String>),
    Alert(Aor),
    NoAlert(Aor),
    Messages(Waiting),
    Home(Option<Home>),
    SignOut,
}

impl Setting {
    /// Reads what follows an actor's name, with the `'s` if it has one; None where it is something else.
    pub fn read(said: &str) -> Option<Setting> {
        if let Some(said) = said.strip_prefix("'s ") {
            return Setting::owned(said);
        }
        let said = said.strip_prefix(' ')?;
        let after = |start: &str| said.strip_prefix(start);
        if let Some(rest) = after("has contact ") {
            let (rest, groups) = rest.split_once(" in ").unwrap_or((rest, ""));
            let (whom, name) = rest.split_once(" named ").unwrap_or((rest, ""));
            let groups = groups.split(" and ").filter(|group| !group.is_empty());
            return Some(Setting::Contact {
                whom: Aor::parse(whom)?,
                name: name.to_owned(),
                groups: groups.map(str::to_owned).collect(),
            });
        }
        if let Some(count) = after("has ").and_then(|rest| rest.strip_suffix(" contacts")) {
            return count.parse().ok().map(Setting::Contacts);
        }
        if let Some(rest) = after("has no contact ") {
            return Aor::parse(rest).map(Setting::NoContact);
        }
        if let Some(rest) = after("treats ") {
            let (member, level) = rest.rsplit_once(" as ")?;
            let level = match level {
                "usual" => None,
                level => Some(Level::parse(level)?),
            };
            return Some(Setting::Level(Member::parse(member)?, level));
        }
        if let Some(rest) = after("chooses ") {
            let (rest, until_s) = match rest.split_once(" until +") {
                Some((rest, until)) => (rest, Some(until.strip_suffix(" s")?.parse().ok()?)),
                None => (rest, None),
            };
            let (state, custom) = match rest.split_once(' ') {
                Some((state, custom)) => (
                    state,
                    Some(custom.strip_prefix('"')?.strip_suffix('"')?.to_owned()),
                ),
                None => (rest, None),
            };
            return Some(Setting::Choose {
                state: Manual::parse(state)?,
                custom,
                until_s,
            });
        }
        if let Some(rest) = after("forwards always to ") {
            return Aor::parse(rest).map(Setting::ForwardAlways);
        }
        if let Some(rest) = after("forwards on busy to ") {
            return Aor::parse(rest).map(Setting::ForwardBusy);
        }
        if let Some(rest) = after("forwards on no answer after ") {
            let (after_s, whom) = rest.split_once(" s to ")?;
            return Some(Setting::ForwardNoAnswer(
                Aor::parse(whom)?,
                after_s.parse().ok()?,
            ));
        }
        if let Some(rest) = after("rings also ") {
            return Aor::parse(rest).map(Setting::RingAlso);
        }
        if let Some(rest) = after("waits for ") {
            return Aor::parse(rest).map(Setting::Alert);
        }
        if let Some(rest) = after("waits no longer for ") {
            return Aor::parse(rest).map(Setting::NoAlert);
        }
        match said {
            "is signed out" => Some(Setting::SignOut),
            "resets" => Some(Setting::Reset),
            "has no note" => Some(Setting::Note(None, NoteKind::Personal)),
            "has no call rules" => Some(Setting::NoRules),
            _ => None,
        }
    }

    fn owned(said: &str) -> Option<Setting> {
        let (what, value) = said
            .split_once(" is ")
            .or_else(|| said.split_once(" are "))?;
        let value_or_none = || (value != "gone").then(|| value.to_owned());
        Some(match what {
            "home" => Setting::Home(match value {
                "here" => None,
                home => Some(Home::parse(home)?),
            }),
            "privacy" => Setting::Privacy(match value {
                "on" => true,
                "off" => false,
                _ => return None,
            }),
            "note" => Setting::Note(value_or_none(), NoteKind::Personal),
            "out of office note" => Setting::Note(value_or_none(), NoteKind::OutOfOffice),
            "messages" => {
                let words: Vec<&str> = value.split(' ').collect();
                let [
                    new,
                    "new",
                    urgent_new,
                    "urgent",
                    old,
                    "old",
                    urgent_old,
                    "urgent",
                ] = words[..]
                else {
                    return None;
                };
                Setting::Messages(Waiting {
                    new: new.parse().ok()?,
                    old: old.parse().ok()?,
                    urgent_new: urgent_new.parse().ok()?,
                    urgent_old: urgent_old.parse().ok()?,
                })
            }
            line => Setting::Line(CardLine::parse(&line.replace(' ', "-"))?, value_or_none()),
        })
    }

    /// Makes it so.
    pub fn apply(&self, now: Now, standing: &mut Standing) -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        match self.clone() {
            Setting::Contact { whom, name, groups } => {
                let mut bits = 0;
                for group in groups {
                    let bit = match standing.contacts.group(&group) {
                        Some(bit) => bit,
                        None => standing
                            .contacts
                            .add_group(&group)
                            .map_err(|error| said(&error))?,
                    };
                    bits |= 1 << bit;
                }
                let put = standing.contacts.put(&whom, &name, bits);
                put.map_err(|error| said(&error))?;
            }
            Setting::Contacts(count) => {
                let one =
                    |n| Aor::parse(&format!("u{n}@example.com")).map(|aor| (aor, "".into(), 0));
                let list = (1..=count).filter_map(one).collect();
                let groups = standing.contacts.groups();
                let groups = groups.map(|(_, name)| name.into()).collect();
                let built = Contacts::build(0, groups, list);
                standing.contacts = built.map_err(|error| said(&error))?;
            }
            Setting::NoContact(whom) => {
                standing.contacts.remove(&whom);
            }
            Setting::Level(member, Some(level)) => {
                let set = standing.access.set(member, level);
                set.map_err(|error| said(&error))?;
            }
            Setting::Level(member, None) => {
                standing.access.unset(&member);
            }
            Setting::Privacy(on) => standing.access.privacy = on,
            Setting::Choose {
                state,
                custom,
                until_s,
            } => {
                let choice = standing.choice.get_or_insert_default();
                choice.state = Some(state);
                choice.custom = custom.map(Into::into);
                choice.until = until_s.map(|s| now.after(Duration::from_secs(s)));
            }
            Setting::Reset => standing.choice = standing.choice.take().and_then(Choice::reset),
            Setting::Note(note, kind) => {
                let choice = standing.choice.get_or_insert_default();
                choice.note = note.map(Into::into);
                choice.note_kind = kind;
                if choice.is_nothing() {
                    standing.choice = None;
                }
            }
            Setting::ForwardAlways(whom) => standing.rules.forward_always = Some(whom),
            Setting::ForwardBusy(whom) => standing.rules.forward_busy = Some(whom),
            Setting::ForwardNoAnswer(whom, s) => standing.rules.forward_no_answer = Some((whom, s)),
            Setting::RingAlso(whom) => standing.rules.ring_also.push(whom),
            Setting::NoRules => standing.rules = Default::default(),
            Setting::Line(line, text) => {
                let set = standing.card.set(line, text.as_deref());
                set.map_err(|error| said(&error))?;
            }
            Setting::Alert(whom) => standing.alerts.push(whom),
            Setting::NoAlert(whom) => standing.alerts.retain(|each| *each != whom),
            Setting::Messages(waiting) => standing.waiting = waiting,
            Setting::Home(home) => standing.home = home,
            Setting::SignOut => standing.sign_outs += 1,
        }
        Ok(())
    }
}

#[test]
fn settings_are_read_and_applied() {
    let mut standing = Standing::default();
    for said in [
        " has contact carol@example.com named Carol in Friends and Work",
        " has contact dave@example.com",
        " has contact erin@example.com in Work",
        " has no contact dave@example.com",
        " treats alice@example.com as blocked",
        " treats example.org as workgroup",
        " treats same organisation as external",
        " treats everyone as colleagues",
        " treats everyone as usual",
        "'s privacy is on",
        " chooses busy \"In the lab\" until +600 s",
        "'s note is Mail is better",
        " forwards on busy to carol@example.com",
        " forwards on no answer after 10 s to dave@example.com",
        " rings also erin@example.com",
        "'s work phone is +49 30 12",
        "'s mail is bob@example.com",
        "'s title is Chief",
        "'s title is gone",
        " waits for dave@example.com",
        "'s home is fe02.example.com:5061",
        " is signed out",
        "'s messages are 3 new 1 urgent 2 old 0 urgent",
    ] {
        let setting = Setting::read(said).unwrap_or_else(|| panic!("{said} is not understood"));
        setting.apply(Now(1_000_000), &mut standing).unwrap();
    }
    let bob = Aor::parse("bob@example.com").unwrap();
    assert_eq!(standing.check(&bob), Ok(()));
    let contacts: Vec<_> = standing
        .contacts
        .iter()
        .map(|contact| {
            format!(
                "{} {:?} {:b}",
                contact.address, contact.name, contact.groups
            )
        })
        .collect();
    assert_eq!(
        contacts,
        ["carol@example.com \"Carol\" 11", "erin@example.com \"\" 10"]
    );
    let rules: Vec<_> = standing
        .access
        .members()
        .iter()
        .map(|(member, level)| format!("{member} {level}"))
        .collect();
    assert_eq!(
        rules,
        [
            "alice@example.com blocked",
            "example.org workgroup",
            "same-organisation external"
        ]
    );
    let choice = standing.choice.clone().unwrap();
    assert_eq!(choice.until, Some(Now(601_000_000)));
    assert_eq!(
        (choice.state, choice.custom.as_deref()),
        (Some(Manual::Busy), Some("In the lab"))
    );
    assert!(standing.access.privacy && standing.rules.ring_also.len() == 1);
    assert_eq!((standing.home.is_some(), standing.sign_outs), (true, 1));
    assert_eq!((standing.waiting.new, standing.waiting.urgent_old), (3, 0));
    assert_eq!(standing.card.lines().count(), 2);
    assert_eq!(standing.alerts.len(), 1);
    for said in [
        "'s shoes are red",
        " treats example.org as friend",
        " chooses lunch",
        " is disconnected",
    ] {
        assert_eq!(Setting::read(said), None, "{said}");
    }
}
