//! A play as it is written, read into steps. `conversation.rs` tells how to write one.

use std::collections::BTreeMap;

use super::setting::Setting;
use crate::client::ntlm::Flaw;

/// One step with its place.
#[derive(Debug)]
pub struct Step {
    /// The line of the file, from 1.
    pub line: usize,
    /// The line's text, for a person.
    pub text: String,
    /// What is to be done.
    pub action: Action,
    /// The indented lines below it: header lines.
    pub headers: Vec<(String, String)>,
    /// The body after the header lines; None where there is none.
    pub body: Option<String>,
    /// All of the indented lines, for bytes that are no message.
    pub raw: String,
}

/// Who does what. `usize` is the actor's number.
#[derive(Debug)]
pub enum Action {
    Connects(usize),
    Registers(usize),
    Disconnects(usize),
    IsDisconnected(usize),
    Sends {
        actor: usize,
        method: String,
        place: Place,
    },
    Cancels {
        actor: usize,
        label: String,
    },
    Repeats {
        actor: usize,
        right: bool,
    },
    SendsBytes(usize),
    /// The next message is signed so.
    Signs(usize, Flaw),
    /// Nothing is signed until there is a new association.
    BeginsAnew(usize),
    Receives {
        actor: usize,
        what: What,
        label: Label,
    },
    ReceivesNothing(usize),
    Answers {
        actor: usize,
        status: u16,
        reason: Option<String>,
        method: Option<String>,
    },
    Passes {
        seconds: u64,
    },
    /// The actor's user is taken out of the store.
    IsRemoved(usize),
    Stops,
    /// The store keeps something else of the actor's user from now on.
    Sets(usize, Setting),
}

/// Where a request goes.
#[derive(Debug)]
pub enum Place {
    /// Outside a dialog, to this URI; the dialog that it may make is called so.
    To { uri: String, label: Option<String> },
    /// Within a dialog.
    In(String),
}

/// What is to come.
#[derive(Debug, Clone)]
pub enum What {
    Request(String),
    Response {
        status: u16,
        /// The reason phrase, where the play says it.
        reason: Option<String>,
        method: Option<String>,
    },
}

/// What a message that comes has to do with a dialog.
#[derive(Debug)]
pub enum Label {
    None,
    /// It belongs to this one.
    In(String),
    /// It makes one, called so from now on.
    As(String),
}

/// A play.
#[derive(Debug, Default)]
pub struct Play {
    /// Names and addresses of record, in the order in which they come.
    pub actors: Vec<(String, String)>,
    /// Addresses of record that are no users of the server.
    pub strangers: Vec<String>,
    /// Who logs in by NTLM, with which login name.
    pub by_ntlm: BTreeMap<usize, String>,
    /// Who writes the whole address for a user name in digest.
    pub by_address: Vec<usize>,
    pub steps: Vec<Step>,
    /// Places of a conference, where the play says how many.
    pub members_max: Option<usize>,
    /// Why it is not played on the real binary.
    pub pure_only: Option<String>,
}

impl Play {
    /// Reads a play; an error names the line.
    pub fn read(text: &str) -> Result<Play, String> {
        let mut play = Play::default();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(' ') {
                return Err(format!(
                    "line {}: indented, and belongs to no step",
                    index + 1
                ));
            }
            let mut block = Vec::new();
            while let Some((_, next)) =
                lines.next_if(|(_, next)| next.starts_with("  ") || next.trim().is_empty())
            {
                block.push(next.strip_prefix("  ").unwrap_or(""));
            }
            while block.last().is_some_and(|line| line.is_empty()) {
                block.pop();
            }
            let said = line.trim_end();
            if let Some(reason) = said.strip_prefix("Played on the pure server only: ") {
                play.pure_only = Some(reason.to_owned());
            } else if let Some(places) = said
                .strip_prefix("A conference has ")
                .and_then(|rest| rest.strip_suffix(" places")?.parse().ok())
            {
                play.members_max = Some(places);
            } else if let Some((actor, setting)) = play.setting(said) {
                let action = Action::Sets(actor, setting);
                play.steps.push(step(index + 1, said, action, &block)?);
            } else if let Some((name, aor)) =
                said.split_once(" is ").filter(|(_, aor)| aor.contains('@'))
            {
                let known = aor.strip_suffix(" (not in the store)");
                let (aor, login) = match known.unwrap_or(aor).split_once(" by NTLM") {
                    Some((aor, login)) => (aor, Some(login.strip_prefix(" as ").unwrap_or(aor))),
                    None => (known.unwrap_or(aor), None),
                };
                let whole = aor.strip_suffix(" by the whole address");
                play.by_address.extend(whole.map(|_| play.actors.len()));
                let aor = whole.unwrap_or(aor);
                play.strangers.extend(known.map(|_| aor.to_owned()));
                let login = login.map(|login| (play.actors.len(), login.to_owned()));
                play.by_ntlm.extend(login);
                play.actors.push((name.to_owned(), aor.to_owned()));
            } else {
                let action = play
                    .action(said)
                    .ok_or_else(|| format!("line {}: not understood: {said}", index + 1))?;
                play.steps.push(step(index + 1, said, action, &block)?);
            }
        }
        Ok(play)
    }

    fn setting(&self, said: &str) -> Option<(usize, Setting)> {
        let of = |(index, (name, _)): (usize, &(String, String))| {
            Some((index, Setting::read(said.strip_prefix(name.as_str())?)?))
        };
        self.actors.iter().enumerate().find_map(of)
    }

    fn action(&self, said: &str) -> Option<Action> {
        let words: Vec<&str> = said.split_whitespace().collect();
        if let [count, unit, "pass"] = words[..] {
            let count: u64 = count.parse().ok()?;
            let unit_s = match unit {
                "s" => 1,
                "min" => 60,
                "h" => 3600,
                _ => return None,
            };
            return Some(Action::Passes {
                seconds: count * unit_s,
            });
        }
        if let ["The", "server", "stops"] = words[..] {
            return Some(Action::Stops);
        }
        // The longest name wins, so that "Alice" and "Alice's phone" may both play.
        let named = |(index, (name, _)): (usize, &(String, String))| {
            let rest = said.strip_prefix(name.as_str())?.strip_prefix(' ')?;
            Some((
                name.len(),
                index,
                rest.split_whitespace().collect::<Vec<_>>(),
            ))
        };
        let (_, actor, words) = self
            .actors
            .iter()
            .enumerate()
            .filter_map(named)
            .max_by_key(|(length, ..)| *length)?;
        let owned = |text: &str| text.to_owned();
        Some(match words[..] {
            ["connects"] => Action::Connects(actor),
            ["registers"] => Action::Registers(actor),
            ["disconnects"] => Action::Disconnects(actor),
            ["is", "removed"] => Action::IsRemoved(actor),
            ["is", "disconnected"] => Action::IsDisconnected(actor),
            ["cancels", label] => Action::Cancels {
                actor,
                label: owned(label),
            },
            ["sends", "it", "again", "with", "the", "password"] => {
                Action::Repeats { actor, right: true }
            }
            ["sends", "it", "again", "with", "a", "wrong", "password"] => Action::Repeats {
                actor,
                right: false,
            },
            ["signs", "the", "next", "message", "wrongly"] => Action::Signs(actor, Flaw::Wrong),
            ["signs", "the", "next", "message", "not", "at", "all"] => {
                Action::Signs(actor, Flaw::Missing)
            }
            [
                "signs",
                "the",
                "next",
                "message",
                "with",
                "the",
                "same",
                "number",
            ] => Action::Signs(actor, Flaw::Replayed),
            ["begins", "anew"] => Action::BeginsAnew(actor),
            ["sends", "the", "bytes"] => Action::SendsBytes(actor),
            ["sends", method, "in", label] => Action::Sends {
                actor,
                method: owned(method),
                place: Place::In(owned(label)),
            },
            ["sends", method, uri] => Action::Sends {
                actor,
                method: owned(method),
                place: Place::To {
                    uri: owned(uri),
                    label: None,
                },
            },
            ["sends", method, uri, "as", label] => Action::Sends {
                actor,
                method: owned(method),
                place: Place::To {
                    uri: owned(uri),
                    label: Some(owned(label)),
                },
            },
            ["receives", "nothing"] => Action::ReceivesNothing(actor),
            ["receives", what, ref rest @ ..] => {
                let words = rest
                    .iter()
                    .position(|word| ["to", "in", "as"].contains(word));
                let (reason, rest) = rest.split_at(words.unwrap_or(rest.len()));
                let reason = (!reason.is_empty()).then(|| reason.join(" "));
                let (method, rest) = match rest {
                    ["to", method, rest @ ..] => (Some(owned(method)), rest),
                    rest => (None, rest),
                };
                let label = match rest {
                    [] => Label::None,
                    ["in", label] => Label::In(owned(label)),
                    ["as", label] => Label::As(owned(label)),
                    _ => return None,
                };
                let what = match what.parse() {
                    Ok(status) => What::Response {
                        status,
                        reason,
                        method,
                    },
                    Err(_)
                        if method.is_none()
                            && reason.is_none()
                            && what.bytes().all(|byte| byte.is_ascii_uppercase()) =>
                    {
                        What::Request(owned(what))
                    }
                    Err(_) => return None,
                };
                Action::Receives { actor, what, label }
            }
            ["answers", status, ref rest @ ..] => {
                let (reason, method) = match rest {
                    [reason @ .., "to", method] => (reason, Some(owned(method))),
                    reason => (reason, None),
                };
                let reason = (!reason.is_empty()).then(|| reason.join(" "));
                Action::Answers {
                    actor,
                    status: status.parse().ok()?,
                    reason,
                    method,
                }
            }
            _ => return None,
        })
    }
}

fn step(line: usize, said: &str, action: Action, block: &[&str]) -> Result<Step, String> {
    let mut headers = Vec::new();
    let mut body = None;
    if !matches!(action, Action::SendsBytes(_)) {
        let end = block
            .iter()
            .position(|line| line.is_empty())
            .unwrap_or(block.len());
        for (index, text) in block[..end].iter().enumerate() {
            let (name, value) = text
                .split_once(':')
                .ok_or_else(|| format!("line {}: no header line: {text}", line + 1 + index))?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        body = block.get(end + 1..).map(|lines| lines.join("\n"));
    }
    Ok(Step {
        line,
        text: said.to_owned(),
        action,
        headers,
        body,
        raw: block.join("\n"),
    })
}

#[test]
fn a_play_is_read() {
    let play = Play::read(
        "# A title\nAlice is alice@example.com\nAlice's phone is alice@example.com\n\nAlice's phone sends INVITE sip:b@x as call\n  \
         Subject: Hi: you\n\n  v=0\n\n  t=0 0\nAlice receives 200 to INVITE in call\nAlice answers 486 Busy Here to INVITE\n10 min pass\n",
    )
    .unwrap();
    let steps: Vec<_> = play
        .steps
        .iter()
        .map(|step| format!("{} {:?}", step.line, step.action))
        .collect();
    assert_eq!(
        steps,
        [
            r#"5 Sends { actor: 1, method: "INVITE", place: To { uri: "sip:b@x", label: Some("call") } }"#,
            r#"11 Receives { actor: 0, what: Response { status: 200, reason: None, method: Some("INVITE") }, label: In("call") }"#,
            r#"12 Answers { actor: 0, status: 486, reason: Some("Busy Here"), method: Some("INVITE") }"#,
            "13 Passes { seconds: 600 }",
        ]
    );
    assert_eq!(
        play.steps[0].headers,
        [("Subject".to_owned(), "Hi: you".to_owned())]
    );
    assert_eq!(play.steps[0].body.as_deref(), Some("v=0\n\nt=0 0"));
    for (text, error) in [
        (
            "Bob sends MESSAGE sip:a",
            "line 1: not understood: Bob sends MESSAGE sip:a",
        ),
        ("  x", "line 1: indented, and belongs to no step"),
        (
            "Bob is b@x\nBob sends MESSAGE sip:a\n  nonsense",
            "line 3: no header line: nonsense",
        ),
    ] {
        assert_eq!(Play::read(text).unwrap_err(), error);
    }
}
