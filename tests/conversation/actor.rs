//! One actor of a play: a client with one connection, which writes what the play says and fills in the rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use super::pattern::{Memory, fill, matches};
use super::script::{Label, Place, Step, What};
use crate::client::ntlm::Ntlm;
use crate::client::{Heard, Inbox, authorization};

/// Says of a header line that it is not to be there.
const ABSENT: &str = "(absent)";

/// Header lines of a message, in order; with `ABSENT` for a value, one that is left out.
type Lines = Vec<(String, String)>;

/// An actor.
#[derive(Debug, Default)]
pub struct Actor {
    pub name: String,
    /// `alice@example.com`
    pub aor: String,
    pub password: String,
    /// The stage's number of the connection.
    pub socket: Option<usize>,
    /// `TLS` or `TCP`.
    pub transport: &'static str,
    /// Our end of the connection, as text.
    pub address: String,
    pub inbox: Inbox,
    /// How it logs in, where that is not by digest.
    pub ntlm: Option<Ntlm>,
    /// Its user name in digest is the whole address.
    pub by_address: bool,
    /// Came, and the play has not told of it yet.
    pub heard: VecDeque<Heard>,
    /// INVITEs that came: Call-ID and CSeq number.
    invited: BTreeSet<(String, u32)>,
    /// Requests that were received and not answered.
    unanswered: Vec<Heard>,
    dialogs: BTreeMap<String, Dialog>,
    /// What was sent last outside ACK: for `sends it again`.
    last: Option<Sent>,
    /// The last 401.
    challenge: Option<Heard>,
    /// Uses of that challenge's nonce.
    nonce_count: u32,
    /// Makes tags, branches and Call-IDs of this actor differ.
    count: u32,
    /// INVITEs that wait for a final answer, by branch: what to acknowledge a refusal with (RFC 3261 §17.1.1.3).
    invites: BTreeMap<String, Sent>,
}

/// A dialog as one side sees it.
#[derive(Debug, Clone, Default)]
struct Dialog {
    call_id: String,
    /// Our From or To, with our tag.
    local: String,
    /// Theirs.
    remote: String,
    /// The Request-URI of what is sent in it.
    target: String,
    route: Vec<String>,
    cseq: u32,
    /// The last INVITE that was sent in it.
    invite: Option<Sent>,
}

/// A request that was sent.
#[derive(Debug, Clone)]
struct Sent {
    method: String,
    uri: String,
    branch: String,
    cseq: u32,
    lines: Lines,
    body: String,
}

impl Actor {
    /// A client of a user, not connected yet.
    pub fn new(name: &str, aor: &str, password: String) -> Actor {
        Actor {
            name: name.to_owned(),
            aor: aor.to_owned(),
            password,
            transport: "TLS",
            ..Actor::default()
        }
    }

    /// Takes in what came, checks its signatures where the server is to sign, and that an ACK has the number of an INVITE
    /// (RFC 3261 §13.2.2.4, §17.1.1.3).
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), String> {
        for heard in self.inbox.push(bytes) {
            if let Some(ntlm) = &mut self.ntlm {
                ntlm.check(&heard)?;
            }
            let name = (heard.call_id().to_owned(), heard.cseq());
            if heard.status.is_none() && heard.method == "INVITE" {
                self.invited.insert(name);
            } else if heard.method == "ACK" && !self.invited.contains(&name) {
                return Err(format!("an ACK of no INVITE:\n{}", heard.full()));
            }
            self.heard.push_back(heard);
        }
        Ok(())
    }

    /// A whole message as it leaves.
    pub fn signed(&mut self, bytes: &[u8]) -> Vec<u8> {
        match &mut self.ntlm {
            Some(ntlm) => ntlm.sign(bytes),
            None => bytes.to_vec(),
        }
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        let name: String = self
            .name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        format!("{what}-{}-{}", name.to_lowercase(), self.count)
    }

    pub fn user(&self) -> &str {
        self.aor.split('@').next().unwrap_or("")
    }

    fn contact(&self) -> String {
        format!(
            "<sip:{}@{};transport={}>",
            self.user(),
            self.address,
            self.transport.to_lowercase()
        )
    }

    /// A request as the play has it.
    pub fn request(
        &mut self,
        method: &str,
        place: &Place,
        step: &Step,
        memory: &Memory,
    ) -> Result<Vec<u8>, String> {
        let mut lines = Lines::new();
        let (uri, cseq) = match place {
            Place::To { uri, label } => {
                let uri = fill(uri, memory)?;
                let (call_id, tag) = (self.fresh("call"), self.fresh("tag"));
                let dialog = Dialog {
                    call_id,
                    local: format!("<sip:{}>;tag={tag}", self.aor),
                    remote: if method == "REGISTER" {
                        format!("<sip:{}>", self.aor)
                    } else {
                        format!("<{uri}>")
                    },
                    cseq: 1,
                    ..Dialog::default()
                };
                dialog_lines(&dialog, &mut lines);
                if let Some(label) = label {
                    self.dialogs.insert(label.clone(), dialog);
                }
                (uri, 1)
            }
            Place::In(label) => {
                let dialog = self
                    .dialogs
                    .get_mut(label)
                    .ok_or_else(|| format!("{} has no dialog {label}", self.name))?;
                let cseq = match &dialog.invite {
                    Some(invite) if method == "ACK" => invite.cseq,
                    _ => {
                        dialog.cseq += 1;
                        dialog.cseq
                    }
                };
                dialog_lines(dialog, &mut lines);
                (dialog.target.clone(), cseq)
            }
        };
        if ["INVITE", "SUBSCRIBE", "REGISTER", "REFER"].contains(&method) {
            lines.push(("Contact".into(), self.contact()));
        }
        apply(&mut lines, step, memory)?;
        let body = fill_body(step, memory)?;
        let sent = Sent {
            method: method.to_owned(),
            uri,
            branch: format!("z9hG4bK{}", self.fresh("branch")),
            cseq,
            lines,
            body,
        };
        if method == "INVITE" {
            let label = match place {
                Place::To { label, .. } => label.as_deref(),
                Place::In(label) => Some(&**label),
            };
            if let Some(dialog) = label.and_then(|label| self.dialogs.get_mut(label)) {
                dialog.invite = Some(sent.clone());
            }
        }
        Ok(self.send(sent))
    }

    /// The last request once more, with an answer to the last challenge.
    pub fn repeat(&mut self, right: bool) -> Result<Vec<u8>, String> {
        let (Some(mut sent), Some(challenge)) = (self.last.clone(), self.challenge.clone()) else {
            return Err(format!("{} was not challenged", self.name));
        };
        self.nonce_count += 1;
        let password = if right {
            &*self.password
        } else {
            "not the password"
        };
        let value = match &mut self.ntlm {
            Some(ntlm) => ntlm.authorization(&challenge, password),
            None => authorization(
                &challenge,
                &sent.method,
                &sent.uri,
                match self.aor.split_once('@') {
                    Some((name, _)) if !self.by_address => name,
                    _ => &self.aor,
                },
                password,
                self.nonce_count,
            ),
        };
        let value = value.ok_or("no challenge that a client knows")?;
        sent.lines.retain(|(name, _)| name != "Authorization");
        sent.lines.push(("Authorization".into(), value));
        sent.cseq += 1;
        sent.branch = format!("z9hG4bK{}", self.fresh("branch"));
        for dialog in self.dialogs.values_mut().filter(|dialog| {
            sent.lines
                .contains(&("Call-ID".into(), dialog.call_id.clone()))
        }) {
            dialog.cseq = sent.cseq;
            if sent.method == "INVITE" {
                dialog.invite = Some(sent.clone());
            }
        }
        Ok(self.send(sent))
    }

    /// CANCEL for the last INVITE of a dialog (RFC 3261 §9.1).
    pub fn cancel(&mut self, label: &str) -> Result<Vec<u8>, String> {
        let invite = self
            .dialogs
            .get(label)
            .and_then(|dialog| dialog.invite.clone());
        let invite = invite.ok_or_else(|| format!("{} has no INVITE {label}", self.name))?;
        Ok(self.written(&Sent {
            method: "CANCEL".into(),
            body: String::new(),
            lines: shared_lines(&invite, None),
            ..invite
        }))
    }

    fn send(&mut self, sent: Sent) -> Vec<u8> {
        let bytes = self.written(&sent);
        if sent.method == "INVITE" {
            self.invites.insert(sent.branch.clone(), sent.clone());
        }
        if sent.method != "ACK" {
            self.last = Some(sent);
        }
        bytes
    }

    fn written(&self, sent: &Sent) -> Vec<u8> {
        let Sent {
            method,
            uri,
            branch,
            cseq,
            lines,
            body,
        } = sent;
        let mut text = format!("{method} {uri} SIP/2.0\r\n");
        let made = [
            (
                "Via",
                format!(
                    "SIP/2.0/{} {};branch={branch}",
                    self.transport, self.address
                ),
            ),
            ("Max-Forwards", "70".to_owned()),
            ("CSeq", format!("{cseq} {method}")),
            ("Content-Length", body.len().to_string()),
        ];
        for (name, value) in made {
            if !lines
                .iter()
                .any(|(each, _)| each.eq_ignore_ascii_case(name))
            {
                let _ = write!(text, "{name}: {value}\r\n");
            }
        }
        for (name, value) in lines.iter().filter(|(_, value)| value != ABSENT) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "\r\n{body}");
        text.into_bytes()
    }

    /// An answer to the newest request that waits for one.
    pub fn answer(
        &mut self,
        status: u16,
        reason: Option<&str>,
        method: Option<&str>,
        step: &Step,
        memory: &Memory,
    ) -> Result<Vec<u8>, String> {
        let newest = self
            .unanswered
            .iter()
            .rposition(|heard| method.is_none_or(|method| heard.method == method));
        let at = newest.ok_or_else(|| format!("{} has received no such request", self.name))?;
        let heard = if status < 200 {
            self.unanswered[at].clone()
        } else {
            self.unanswered.remove(at)
        };
        let dialog = self
            .dialogs
            .values()
            .find(|dialog| dialog.call_id == heard.call_id());
        let tag = dialog
            .and_then(|dialog| dialog.local.split_once(";tag="))
            .map(|(_, tag)| tag.to_owned());
        let tag = tag.unwrap_or_else(|| self.fresh("tag"));
        let mut lines = Lines::new();
        if status < 300 && ["INVITE", "SUBSCRIBE", "REFER"].contains(&&*heard.method) {
            lines.push(("Contact".into(), self.contact()));
        }
        apply(&mut lines, step, memory)?;
        let mut headers = String::new();
        for (name, value) in lines.iter().filter(|(_, value)| value != ABSENT) {
            let _ = write!(headers, "{name}: {value}\r\n");
        }
        let reason = reason.unwrap_or("Answered");
        Ok(heard.response(status, reason, &tag, &headers, &fill_body(step, memory)?))
    }

    /// Takes a message out of what came, where one is there that is meant by `what`.
    pub fn take(&mut self, what: &What) -> Option<Heard> {
        let meant = |heard: &Heard| match what {
            What::Request(method) => heard.status.is_none() && heard.method == *method,
            What::Response { method, .. } => {
                heard.status.is_some()
                    && method.as_ref().is_none_or(|method| heard.method == *method)
            }
        };
        let at = self.heard.iter().position(meant)?;
        self.heard.remove(at)
    }

    /// Checks a message against a step, and keeps what comes after from it. Gives bytes that are to be sent at once: an ACK
    /// for a refusal, which is a matter of the transaction and not of the play.
    pub fn receive(
        &mut self,
        heard: Heard,
        what: &What,
        label: &Label,
        step: &Step,
        memory: &mut Memory,
    ) -> Result<Option<Vec<u8>>, String> {
        if let What::Response { status, reason, .. } = what
            && (heard.status != Some(*status)
                || reason
                    .as_ref()
                    .is_some_and(|reason| heard.reason != *reason))
        {
            return Err(format!(
                "expected {status}, and this came:\n{}",
                heard.full()
            ));
        }
        check_lines(&heard, step, memory)?;
        // Each hop is in the route once: whoever answers has what the request had, and nobody adds it again.
        let routes: Vec<&str> = heard.all("Record-Route").collect();
        let hops: BTreeSet<&str> = routes.iter().copied().collect();
        if hops.len() < routes.len() {
            return Err(format!("one Record-Route twice:\n{}", heard.full()));
        }
        let mut acknowledgement = None;
        if let Some(status) = heard.status {
            acknowledgement = self.learn_from_answer(&heard, status);
        } else {
            if heard.method != "ACK" {
                self.unanswered.push(heard.clone());
            }
            if let Label::As(label) = label {
                let local = format!(
                    "{};tag={}",
                    heard.header("To").unwrap_or(""),
                    self.fresh("tag")
                );
                let dialog = Dialog {
                    call_id: heard.call_id().to_owned(),
                    local,
                    remote: heard.header("From").unwrap_or("").to_owned(),
                    target: heard.contact().unwrap_or_default(),
                    route: heard.all("Record-Route").map(str::to_owned).collect(),
                    cseq: 0,
                    invite: None,
                };
                self.dialogs.insert(label.clone(), dialog);
            }
        }
        if let Label::In(label) = label {
            let dialog = self
                .dialogs
                .get(label)
                .ok_or_else(|| format!("{} has no dialog {label}", self.name))?;
            let own_tag = if heard.status.is_some() {
                heard.from_tag()
            } else {
                heard.to_tag()
            };
            if dialog.call_id != heard.call_id()
                || !dialog.local.ends_with(&format!(";tag={own_tag}"))
            {
                return Err(format!(
                    "it is not in the dialog {label}:\n{}",
                    heard.full()
                ));
            }
        }
        Ok(acknowledgement)
    }

    fn learn_from_answer(&mut self, heard: &Heard, status: u16) -> Option<Vec<u8>> {
        if status == 401 {
            self.challenge = Some(heard.clone());
            self.nonce_count = 0;
        }
        let ours = format!(";tag={}", heard.from_tag());
        let makes_dialog =
            ["INVITE", "SUBSCRIBE", "REFER"].contains(&&*heard.method) && status < 300;
        if makes_dialog && !heard.to_tag().is_empty() {
            let same = |dialog: &&mut Dialog| {
                dialog.call_id == heard.call_id() && dialog.local.ends_with(&ours)
            };
            if let Some(dialog) = self.dialogs.values_mut().find(same) {
                dialog.remote = heard.header("To").unwrap_or("").to_owned();
                if let Some(target) = heard.contact() {
                    dialog.target = target;
                }
                // Within a dialog the route stays as it is (RFC 3261 §12.2).
                let route: Vec<String> = heard.all("Record-Route").map(str::to_owned).collect();
                if !route.is_empty() {
                    dialog.route = route.into_iter().rev().collect();
                }
            }
        }
        let invite = (status >= 200)
            .then(|| self.invites.remove(&heard.branch()))
            .flatten()?;
        let ack = Sent {
            method: "ACK".into(),
            body: String::new(),
            lines: shared_lines(&invite, heard.header("To")),
            ..invite
        };
        (status >= 300).then(|| self.written(&ack))
    }
}

fn dialog_lines(dialog: &Dialog, lines: &mut Lines) {
    lines.extend(
        dialog
            .route
            .iter()
            .map(|route| ("Route".into(), route.clone())),
    );
    lines.push(("From".into(), dialog.local.clone()));
    lines.push(("To".into(), dialog.remote.clone()));
    lines.push(("Call-ID".into(), dialog.call_id.clone()));
}

/// What CANCEL and the ACK of a refusal have of their INVITE; `to` is that of the refusal.
fn shared_lines(invite: &Sent, to: Option<&str>) -> Lines {
    let shared = |(name, value): &(String, String)| {
        let value = to.filter(|_| name == "To").unwrap_or(value);
        ["Route", "From", "To", "Call-ID"]
            .contains(&&**name)
            .then(|| (name.clone(), value.to_owned()))
    };
    invite.lines.iter().filter_map(shared).collect()
}

/// Puts the play's header lines in, in the place of those that were made.
fn apply(lines: &mut Lines, step: &Step, memory: &Memory) -> Result<(), String> {
    for (name, _) in &step.headers {
        lines.retain(|(each, _)| !each.eq_ignore_ascii_case(name));
    }
    for (name, value) in &step.headers {
        lines.push((name.clone(), fill(value, memory)?));
    }
    Ok(())
}

fn fill_body(step: &Step, memory: &Memory) -> Result<String, String> {
    let body = step
        .body
        .as_deref()
        .map(|body| fill(body, memory))
        .transpose()?;
    // SDP and CPIM want CR LF; a text of one line has none at its end.
    Ok(body.map_or(String::new(), |body| body.replace('\n', "\r\n")))
}

fn check_lines(heard: &Heard, step: &Step, memory: &mut Memory) -> Result<(), String> {
    for (name, pattern) in &step.headers {
        if pattern == ABSENT {
            if heard.header(name).is_some() {
                return Err(format!("{name} should be absent:\n{}", heard.full()));
            }
        } else if !heard.all(name).any(|value| matches(pattern, value, memory)) {
            return Err(format!(
                "no {name} is as expected, {pattern}:\n{}",
                heard.full()
            ));
        }
    }
    match &step.body {
        Some(pattern) if !matches(pattern, &heard.text(), memory) => Err(format!(
            "the body is not as expected,\n{pattern}\n:\n{}",
            heard.full()
        )),
        _ => Ok(()),
    }
}
