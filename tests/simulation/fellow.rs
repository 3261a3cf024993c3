//! A model client: one of a user's endpoints. It registers, talks, answers now or later or never, and tells the ledger
//! what it sees. It knows the rules of SIP that a client lives by, and blames the server where that breaks them.

mod answers;
mod asks;
mod requests;

use std::collections::{BTreeMap, BTreeSet};

use super::dice::Dice;
use super::ledger::Ledger;
use super::roster::Roster;
use super::watched::Many;
use crate::client::ntlm::Ntlm;
use crate::client::{Heard, Inbox};
use crate::world::World;

/// What a fellow acts in.
pub struct Scene<'a> {
    pub world: &'a mut World,
    pub ledger: &'a mut Ledger,
    pub dice: &'a mut Dice,
    /// Connections so far: each has a number.
    pub connections: &'a mut usize,
    /// Nobody dawdles: all is answered at once, and nothing new begins.
    pub hurry: bool,
}

pub fn user_name(user: usize) -> String {
    format!("user{user}")
}

pub fn aor(user: usize) -> String {
    format!("user{user}@example.com")
}

pub fn password(user: usize) -> String {
    format!("secret{user}")
}

/// Why a request was sent.
#[derive(Clone, Debug)]
enum Purpose {
    Register,
    Publish {
        ends: bool,
    },
    /// So many messages wait.
    Mail(u32),
    Say(usize),
    Invite(usize),
    Subscribe(usize),
    Bye,
    /// Typing by INFO.
    Typing,
    Other,
}

/// A request that waits for its final answer.
#[derive(Clone, Debug)]
struct Pending {
    method: &'static str,
    uri: String,
    lines: String,
    body: String,
    cseq: u32,
    purpose: Purpose,
    asked_again: bool,
    /// It was sent when every shard was stopping, and is no BYE or CANCEL: nothing of it may begin.
    late: bool,
}

/// A dialog of either kind.
#[derive(Debug, Default)]
struct Dialog {
    call_id: String,
    local: String,
    local_tag: String,
    remote: String,
    target: String,
    cseq: u32,
    /// The highest CSeq of the server in it.
    heard_cseq: u32,
    ended: bool,
    /// For a leg: its number in the ledger.
    leg: Option<usize>,
    /// Our INVITE that waits: its branch, and whether it was cancelled.
    inviting: Option<(String, bool)>,
    invite_cseq: u32,
    /// For a subscription.
    watch: Option<Watch>,
    /// It is with a focus.
    attends: bool,
}

#[derive(Debug, Default)]
struct Watch {
    event: &'static str,
    /// The user, or the session's URI.
    subject: String,
    granted: bool,
    /// The last state; of a roster what is known of it.
    state: Option<String>,
    roster: Roster,
    many: Many,
    /// Documents so far.
    documents: u32,
    /// The server has said so.
    terminated: bool,
    doubtful: bool,
}

pub struct Fellow {
    pub user: usize,
    index: usize,
    pub socket: Option<usize>,
    /// The number of its connection.
    connection: usize,
    inbox: Inbox,
    /// Every third logs in so, and signs and checks everything.
    ntlm: Option<Ntlm>,
    pub registered: bool,
    reading: bool,
    count: usize,
    address: String,
    pending: BTreeMap<(String, &'static str), Pending>,
    dialogs: Vec<Dialog>,
    /// Requests of the server that are answered later.
    later: Vec<Heard>,
    /// INVITEs of the server that ring here.
    ringing: Vec<Heard>,
    /// Refusals of INVITEs for which an ACK is due: Call-ID and CSeq.
    acks_due: BTreeSet<(String, u32)>,
    /// INVITEs that came on this connection, in the same way: their ACKs have these numbers (RFC 3261 §13.2.2.4).
    invited: BTreeSet<(String, u32)>,
    etag: Option<String>,
    register_cseq: u32,
    challenge_count: u32,
    /// It has sent nonsense on this connection: it may be told so, or be closed.
    babbled: bool,
}

/// Everybody's own contact list.
pub const CONTACTS: &str = "sip:contacts@example.com";

/// Typing as the standard says it, and as Lync does.
const COMPOSING: &str = "application/im-iscomposing+xml";
const KEYBOARD: &str = "application/xml";

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=message 5061 sip null\r\n\
                   a=accept-types:text/plain";

impl Fellow {
    pub fn new(index: usize, user: usize) -> Fellow {
        Fellow {
            user,
            index,
            socket: None,
            connection: 0,
            inbox: Inbox::default(),
            ntlm: (index % 3 == 1).then(|| Ntlm::new(&aor(user))),
            registered: false,
            reading: true,
            count: 0,
            address: String::new(),
            pending: BTreeMap::new(),
            dialogs: Vec::new(),
            later: Vec::new(),
            ringing: Vec::new(),
            acks_due: BTreeSet::new(),
            invited: BTreeSet::new(),
            etag: None,
            register_cseq: 0,
            challenge_count: 0,
            babbled: false,
        }
    }

    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}{}x{}", self.index, self.count)
    }

    pub fn is_up(&self) -> bool {
        self.socket.is_some() && self.registered
    }

    /// Something of the server waits for an answer of ours.
    pub fn owes(&self) -> bool {
        !self.later.is_empty() || !self.ringing.is_empty()
    }

    pub fn connect(&mut self, scene: &mut Scene<'_>) {
        *scene.connections += 1;
        self.connection = *scene.connections;
        let (high, low) = (self.connection / 20_000, self.connection % 20_000);
        let peer = std::net::SocketAddr::from(([10, 0, high as u8, 1], 20_000 + low as u16));
        let shard = scene.dice.below(scene.world.shards());
        self.socket = Some(scene.world.connect(shard, peer));
        self.address = peer.to_string();
        self.inbox = Inbox::default();
        self.invited.clear();
        if let Some(ntlm) = &mut self.ntlm {
            ntlm.disconnect();
        }
        self.reading = true;
        self.babbled = false;
        self.register(scene, 3600);
    }

    /// The connection is gone, from whichever side: what hung on it is moot.
    fn forget_connection(&mut self, ledger: &mut Ledger) {
        self.socket = None;
        self.registered = false;
        self.pending.clear();
        self.later.clear();
        self.ringing.clear();
        self.acks_due.clear();
        self.etag = None;
        for dialog in &mut self.dialogs {
            dialog.ended = true;
            if let Some(leg) = dialog.leg {
                ledger.legs[leg].ended = true;
            }
        }
        self.dialogs.clear();
    }

    pub fn cut(&mut self, scene: &mut Scene<'_>) {
        if let Some(socket) = self.socket {
            scene
                .ledger
                .note(|| format!("fellow {} is cut off", self.index));
            scene.world.cut(socket);
            self.forget_connection(scene.ledger);
        }
    }

    pub fn stop_reading(&mut self, scene: &mut Scene<'_>) {
        if let Some(socket) = self.socket {
            self.reading = false;
            scene.world.set_reading(socket, false);
        }
    }

    pub fn go_on_reading(&mut self, scene: &mut Scene<'_>) {
        if let Some(socket) = self.socket.filter(|_| !self.reading) {
            self.reading = true;
            scene.world.set_reading(socket, true);
        }
    }

    // What it does by itself.

    fn bye(&mut self, scene: &mut Scene<'_>, dialog: usize) {
        self.within(scene, dialog, "BYE", "", String::new(), Purpose::Bye);
        self.end(scene.ledger, dialog);
    }

    fn end(&mut self, ledger: &mut Ledger, dialog: usize) {
        self.dialogs[dialog].ended = true;
        if let Some(leg) = self.dialogs[dialog].leg {
            ledger.legs[leg].ended = true;
        }
    }

    fn pick(&self, scene: &mut Scene<'_>, which: impl Fn(&Dialog) -> bool) -> Option<usize> {
        let found: Vec<usize> = (0..self.dialogs.len())
            .filter(|index| which(&self.dialogs[*index]))
            .collect();
        scene.dice.pick(&found).copied()
    }

    fn pick_leg(&self, scene: &mut Scene<'_>) -> Option<usize> {
        let legs = &scene.ledger.legs;
        let live: Vec<usize> = (0..self.dialogs.len())
            .filter(|index| !self.dialogs[*index].ended)
            .filter(|index| {
                self.dialogs[*index]
                    .leg
                    .is_some_and(|leg| legs[leg].established)
            })
            .collect();
        scene.dice.pick(&live).copied()
    }

    fn contact(&self) -> String {
        format!(
            "<sip:{}@{};transport=tls>",
            user_name(self.user),
            self.address
        )
    }

    fn new_dialog(&mut self, call_id: String, remote: &str) -> usize {
        let local_tag = self.fresh("t");
        let local = format!("<sip:{}>;tag={local_tag}", aor(self.user));
        self.dialogs.push(Dialog {
            call_id,
            local,
            local_tag,
            remote: remote.to_owned(),
            ..Dialog::default()
        });
        self.dialogs.len() - 1
    }

    /// A request outside a dialog.
    fn alone(
        &mut self,
        scene: &mut Scene<'_>,
        method: &'static str,
        uri: &str,
        lines: &str,
        body: &str,
        purpose: Purpose,
    ) {
        let (call_id, tag) = (self.fresh("alone"), self.fresh("t"));
        let head = format!(
            "From: <sip:{}>;tag={tag}\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\n",
            aor(self.user)
        );
        self.ask(
            scene,
            method,
            uri.to_owned(),
            1,
            head + lines,
            body.to_owned(),
            purpose,
        );
    }

    /// A request that makes a dialog, or one within it.
    #[expect(clippy::too_many_arguments, reason = "what a request says, one each")]
    fn in_dialog_to(
        &mut self,
        scene: &mut Scene<'_>,
        dialog: usize,
        method: &'static str,
        uri: String,
        lines: &str,
        body: String,
        purpose: Purpose,
    ) -> String {
        let dialog = &mut self.dialogs[dialog];
        dialog.cseq += 1;
        let cseq = dialog.cseq;
        let head = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\n",
            dialog.local, dialog.remote, dialog.call_id
        );
        self.ask(scene, method, uri, cseq, head + lines, body, purpose)
    }

    fn within(
        &mut self,
        scene: &mut Scene<'_>,
        dialog: usize,
        method: &'static str,
        lines: &str,
        body: String,
        purpose: Purpose,
    ) {
        let uri = self.dialogs[dialog].target.clone();
        self.in_dialog_to(scene, dialog, method, uri, lines, body, purpose);
    }

    #[expect(clippy::too_many_arguments, reason = "what a request says, one each")]
    fn ask(
        &mut self,
        scene: &mut Scene<'_>,
        method: &'static str,
        uri: String,
        cseq: u32,
        lines: String,
        body: String,
        purpose: Purpose,
    ) -> String {
        let branch = format!("z9hG4bK{}", self.fresh("b"));
        self.send(
            scene,
            branch.clone(),
            Pending {
                method,
                uri,
                lines,
                body,
                cseq,
                purpose,
                asked_again: false,
                late: false,
            },
        );
        branch
    }

    fn send(&mut self, scene: &mut Scene<'_>, branch: String, mut pending: Pending) {
        let Some(socket) = self.socket else { return };
        pending.late = scene.ledger.stopping && !matches!(pending.method, "BYE" | "CANCEL");
        let Pending {
            method,
            uri,
            lines,
            body,
            cseq,
            ..
        } = &pending;
        scene.ledger.note(|| {
            format!(
                "fellow {} ({}) sends {method} {uri} [{branch}] {}",
                self.index,
                aor(self.user),
                brief(body)
            )
        });
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS {};branch={branch}\r\nMax-Forwards: 70\r\nCSeq: {cseq} {method}\r\n\
             {lines}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        if *method != "ACK" {
            self.pending.insert((branch, method), pending);
        }
        self.transmit(scene, socket, text.as_bytes());
    }

    fn transmit(&mut self, scene: &mut Scene<'_>, socket: usize, bytes: &[u8]) {
        match &mut self.ntlm {
            Some(ntlm) => scene.world.send(socket, &ntlm.sign(bytes)),
            None => scene.world.send(socket, bytes),
        }
    }

    /// Reads what has come and acts on it. True where there was something.
    pub fn poll(&mut self, scene: &mut Scene<'_>) -> bool {
        let Some(socket) = self.socket else {
            return false;
        };
        let bytes = scene.world.read(socket);
        let heard = self.inbox.push(&bytes);
        let any = !heard.is_empty();
        for heard in heard {
            scene.ledger.note(|| {
                let body = brief(&String::from_utf8_lossy(&heard.body));
                format!(
                    "fellow {} ({}) hears {} [{}] {body}",
                    self.index,
                    aor(self.user),
                    heard.title(),
                    heard.branch()
                )
            });
            if let Some(ntlm) = &mut self.ntlm
                && let Err(wrong) = ntlm.check(&heard)
            {
                scene
                    .ledger
                    .blame(format!("fellow {}: {wrong}", self.index));
            }
            match heard.status {
                Some(status) => self.on_answer(scene, heard, status),
                None => self.on_request(scene, heard),
            }
            if self.socket.is_none() {
                return true;
            }
        }
        if scene.world.is_closed(socket) {
            scene.ledger.note(|| {
                format!(
                    "fellow {} is closed: {:?}",
                    self.index,
                    scene.world.closed_because(socket)
                )
            });
            self.forget_connection(scene.ledger);
            return true;
        }
        any
    }

    /// Nothing that was asked is still without an answer.
    pub fn check_answered(&self, ledger: &mut Ledger) {
        for ((branch, method), pending) in &self.pending {
            ledger.blame(format!(
                "fellow {}: {method} {} [{branch}] was never answered",
                self.index, pending.uri
            ));
        }
        for (call_id, cseq) in &self.acks_due {
            ledger.blame(format!(
                "fellow {}: no ACK for a refused INVITE, Call-ID {call_id}, CSeq {cseq}",
                self.index
            ));
        }
    }

    /// What it knows of lists: the list's URI or its own, and what is on it.
    pub fn lists(&self) -> impl Iterator<Item = (&'static str, &Many)> {
        let watches = self.dialogs.iter().filter(|dialog| !dialog.ended);
        watches
            .filter_map(|dialog| dialog.watch.as_ref())
            .filter(|watch| watch.granted && !watch.doubtful && !watch.terminated)
            .filter(|watch| watch.event == "presence.winfo" || watch.subject == CONTACTS)
            .filter(|watch| watch.state.is_some())
            .map(|watch| (watch.event, &watch.many))
    }

    /// Whom it watches, in whatever way; `surely`: and the server agrees.
    pub fn watches(&self, surely: bool) -> impl Iterator<Item = &str> {
        let watches = self.dialogs.iter().filter(|dialog| !dialog.ended);
        watches
            .filter_map(|dialog| dialog.watch.as_ref())
            .filter(|watch| watch.event == "presence")
            .filter(move |watch| !surely || (watch.granted && !watch.doubtful && !watch.terminated))
            .flat_map(|watch| {
                let listed = watch.many.entries.iter();
                let listed = listed.filter(|(_, state)| *state != "gone");
                core::iter::once(&*watch.subject).chain(listed.map(|(uri, _)| &**uri))
            })
    }

    /// Its live subscriptions: the event, the subject, the last state.
    pub fn watched(&self) -> impl Iterator<Item = (&'static str, &str, Option<&str>)> {
        self.dialogs
            .iter()
            .filter(|dialog| !dialog.ended)
            .filter_map(|dialog| {
                let watch = dialog
                    .watch
                    .as_ref()
                    .filter(|watch| watch.granted && !watch.doubtful && !watch.terminated)?;
                Some((watch.event, &*watch.subject, watch.state.as_deref()))
            })
    }
}

fn text(number: usize) -> String {
    format!("msg-{number};")
}

fn brief(body: &str) -> String {
    body.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect()
}
