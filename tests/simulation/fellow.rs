//! A model client: one of a user's endpoints. It registers, talks, answers now or later or never, and tells the ledger
//! what it sees. It knows the rules of SIP that a client lives by, and blames the server where that breaks them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use muster::documents::timestamp::Timestamp;

use super::dice::Dice;
use super::ledger::{Ledger, Way};
use super::roster::Roster;
use super::watched::Many;
use crate::client::ntlm::Ntlm;
use crate::client::{Heard, Inbox, authorization};
use crate::world::World;
use muster::shard::change::Change;

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

/// What a publication says beside reachability: what is done, until when, from when; whether somebody is at the device.
fn said(scene: &mut Scene<'_>, may_last: bool) -> String {
    let now = scene.world.now;
    let dice = &mut scene.dice;
    let mut soon = || Timestamp(now.after(Duration::from_secs(dice.next() % 1200)));
    let (one, other) = (soon(), soon());
    let (from, until) = if one.0.0 < other.0.0 {
        (one, other)
    } else {
        (other, one)
    };
    let done = ["busy", "away", "meeting", "on-the-phone", "lunch"][dice.below(5)];
    match dice.below(8) {
        0 => "<dm:device id=\"d\"><r:user-input>active</r:user-input></dm:device>".to_owned(),
        1 => format!(
            "<dm:device id=\"d\"><r:user-input last-input=\"{}\">idle</r:user-input></dm:device>",
            Timestamp(now)
        ),
        2 => "<dm:device id=\"d\"><r:user-input>idle</r:user-input><r:activities><r:away/></r:activities></dm:device>"
            .to_owned(),
        3 => format!("<dm:person id=\"p\"><r:activities><r:{done}/></r:activities></dm:person>"),
        // This one lasts, where it is something that one can choose.
        4 if may_last => format!(
            "<dm:person id=\"p\"><r:activities until=\"{until}\"><r:{done}/></r:activities></dm:person>"
        ),
        5 => format!(
            "<dm:person id=\"p\"><r:activities from=\"{from}\" until=\"{until}\"><r:{done}/></r:activities></dm:person>"
        ),
        _ => String::new(),
    }
}

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

    pub fn register(&mut self, scene: &mut Scene<'_>, expires_s: u32) {
        self.register_cseq += 1;
        let mut lines = format!(
            "Contact: <sip:{}@{};transport=tls>",
            user_name(self.user),
            self.address
        );
        // Every second one is recognised when it comes back (RFC 5626).
        if self.has_instance() {
            let _ = write!(
                lines,
                ";+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-{:012}>\";reg-id=1",
                self.index
            );
        }
        if self.copies() {
            lines.push_str(";+muster.copies");
        }
        let supported = if self.is_lync() {
            "msrtc-event-categories, com.microsoft.msrtc.presence"
        } else {
            "outbound"
        };
        let _ = write!(
            lines,
            "\r\nExpires: {expires_s}\r\nSupported: {supported}\r\n"
        );
        let own = aor(self.user);
        let head = format!(
            "From: <sip:{own}>;tag=r{}\r\nTo: <sip:{own}>\r\nCall-ID: register{}-{}\r\n",
            self.count, self.index, self.connection
        );
        let cseq = self.register_cseq;
        self.ask(
            scene,
            "REGISTER",
            "sip:example.com".into(),
            cseq,
            head + &lines,
            String::new(),
            Purpose::Register,
        );
    }

    pub fn page(&mut self, scene: &mut Scene<'_>, to: usize) {
        let number = scene.ledger.say(self.user, self.connection, Way::Pager);
        self.alone(
            scene,
            "MESSAGE",
            &format!("sip:{}", aor(to)),
            "Content-Type: text/plain\r\n",
            &text(number),
            Purpose::Say(number),
        );
    }

    /// To one endpoint of a user: a fellow with an instance id.
    pub fn page_one(&mut self, scene: &mut Scene<'_>, to: usize, fellow: usize) {
        let number = scene.ledger.say(self.user, self.connection, Way::Pager);
        scene.ledger.said[number].only = Some(fellow);
        let gruu = format!(
            "sip:{};gr=urn:uuid:00000000-0000-0000-0000-{fellow:012}",
            aor(to)
        );
        self.alone(
            scene,
            "MESSAGE",
            &gruu,
            "Content-Type: text/plain\r\n",
            &text(number),
            Purpose::Say(number),
        );
    }

    /// Whether it has an instance id, and so a GRUU.
    pub fn has_instance(&self) -> bool {
        self.index.is_multiple_of(2)
    }

    /// Some want copies of what their user says elsewhere.
    fn copies(&self) -> bool {
        self.index.is_multiple_of(3) && !self.is_lync()
    }

    /// Some speak Lync's dialect in their sessions: they type by INFO, ring without a word, and say nothing to CANCEL.
    pub fn is_lync(&self) -> bool {
        self.index % 4 == 1
    }

    /// Types, or stops, in one of its sessions: now by a beat, now by a state.
    pub fn types(&mut self, scene: &mut Scene<'_>) {
        let Some(dialog) = self.pick_leg(scene) else {
            return;
        };
        let begins = scene.dice.percent(60);
        if self.is_lync() {
            let status = if begins { "type" } else { "idle" };
            let body =
                format!("<KeyboardActivity><status status=\"{status}\"/></KeyboardActivity>");
            let lines = format!("Content-Type: {KEYBOARD}\r\n");
            self.within(scene, dialog, "INFO", &lines, body, Purpose::Typing);
        } else {
            let state = if begins { "active" } else { "idle" };
            let body = format!(
                "<isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>{state}</state></isComposing>"
            );
            let lines = format!("Content-Type: {COMPOSING}\r\n");
            self.within(scene, dialog, "MESSAGE", &lines, body, Purpose::Other);
        }
    }

    pub fn publish(&mut self, scene: &mut Scene<'_>, ends: bool) {
        // One at a time: which of two that are under way comes last is not the client's to say.
        if self
            .pending
            .values()
            .any(|pending| matches!(pending.purpose, Purpose::Publish { .. }))
        {
            return;
        }
        let mut lines = "Event: presence\r\n".to_owned();
        if let Some(etag) = &self.etag {
            let _ = write!(lines, "SIP-If-Match: {etag}\r\n");
        } else if ends {
            return;
        }
        let body = if ends {
            lines.push_str("Expires: 0\r\n");
            String::new()
        } else {
            let basic = if scene.dice.percent(80) {
                "open"
            } else {
                "closed"
            };
            let note = scene.dice.next();
            let said = said(scene, self.user % 2 == 1);
            lines.push_str("Expires: 600\r\nContent-Type: application/pidf+xml\r\n");
            format!(
                "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
                 xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:{}\"><tuple id=\"t{}\"><status><basic>{basic}\
                 </basic></status><note>{note}</note></tuple>{said}</presence>",
                aor(self.user),
                self.index
            )
        };
        let uri = format!("sip:{}", aor(self.user));
        self.alone(
            scene,
            "PUBLISH",
            &uri,
            &lines,
            &body,
            Purpose::Publish { ends },
        );
    }

    /// As a mailbox: each number is said once in a run.
    pub fn mail(&mut self, scene: &mut Scene<'_>) {
        scene.ledger.mails += 1;
        let count = scene.ledger.mails;
        let body = format!("Messages-Waiting: yes\r\nVoice-Message: {count}/0\r\n");
        let uri = format!("sip:{}", aor(self.user));
        let lines =
            "Event: message-summary\r\nContent-Type: application/simple-message-summary\r\n";
        self.alone(scene, "PUBLISH", &uri, lines, &body, Purpose::Mail(count));
    }

    pub fn watch(
        &mut self,
        scene: &mut Scene<'_>,
        event: &'static str,
        subject: String,
        expires_s: u32,
    ) {
        let call_id = self.fresh("watch");
        let dialog = self.new_dialog(call_id, &format!("<{subject}>"));
        self.dialogs[dialog].watch = Some(Watch {
            event,
            subject: subject.clone(),
            ..Watch::default()
        });
        let mut lines = format!(
            "Event: {event}\r\nExpires: {expires_s}\r\nContact: {}\r\nSupported: eventlist\r\n",
            self.contact()
        );
        let (mut uri, mut body) = (subject, String::new());
        if self.is_lync() {
            // One user alone, or in a list that has one: the document is the same.
            lines.push_str("Supported: ms-benotify\r\n");
            if scene.dice.percent(50) {
                lines.push_str("Accept: application/msrtc-event-categories+xml\r\n");
            } else {
                lines.push_str("Content-Type: application/msrtc-adrl-categorylist+xml\r\n");
                body = format!(
                    "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\">\
                     <action name=\"subscribe\"><adhocList><resource uri=\"{uri}\"/></adhocList></action></batchSub>"
                );
                uri = format!("sip:{}", aor(self.user));
            }
        }
        self.in_dialog_to(
            scene,
            dialog,
            "SUBSCRIBE",
            uri,
            &lines,
            body,
            Purpose::Subscribe(dialog),
        );
    }

    /// Refreshes or ends one of its subscriptions.
    pub fn renew(&mut self, scene: &mut Scene<'_>, ends: bool) {
        let live = |dialog: &Dialog| {
            !dialog.ended
                && dialog
                    .watch
                    .as_ref()
                    .is_some_and(|watch| watch.granted && !watch.terminated)
        };
        let Some(dialog) = self.pick(scene, live) else {
            return;
        };
        let event = self.dialogs[dialog]
            .watch
            .as_ref()
            .map_or("", |watch| watch.event);
        let expires_s = if ends { 0 } else { 600 };
        let lines = format!(
            "Event: {event}\r\nExpires: {expires_s}\r\nContact: {}\r\n",
            self.contact()
        );
        self.within(
            scene,
            dialog,
            "SUBSCRIBE",
            &lines,
            String::new(),
            Purpose::Other,
        );
    }

    /// Invites a user, the factory, or joins a session.
    pub fn invite(&mut self, scene: &mut Scene<'_>, uri: String) {
        self.invite_all(scene, uri, &[]);
    }

    /// Invites the factory with a list of users (RFC 5366), or without.
    pub fn invite_all(&mut self, scene: &mut Scene<'_>, uri: String, list: &[usize]) {
        let name = uri
            .strip_prefix("sip:im-")
            .and_then(|rest| rest.split('@').next());
        scene.ledger.growing.extend(name.map(str::to_owned));
        let call_id = self.fresh("call");
        let dialog = self.new_dialog(call_id, &format!("<{uri}>"));
        let leg = scene.ledger.new_leg(self.user);
        self.dialogs[dialog].leg = Some(leg);
        let offers = scene.dice.percent(80);
        let entries: String = list
            .iter()
            .map(|user| format!("<entry uri=\"sip:{}\"/>", aor(*user)))
            .collect();
        let recipients = format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
        );
        let (content_type, body) = match (offers, list) {
            (true, []) => ("application/sdp", format!("{SDP}\r\n")),
            (false, []) => ("", String::new()),
            (false, _) => ("application/resource-lists+xml", recipients),
            (true, _) => (
                "multipart/mixed;boundary=cut",
                format!(
                    "--cut\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--cut\r\n\
                     Content-Type: application/resource-lists+xml\r\n\r\n{recipients}\r\n--cut--\r\n"
                ),
            ),
        };
        let mut lines = format!("Contact: {}\r\n", self.contact());
        if !content_type.is_empty() {
            let _ = write!(lines, "Content-Type: {content_type}\r\n");
        }
        let branch = self.in_dialog_to(
            scene,
            dialog,
            "INVITE",
            uri,
            &lines,
            body,
            Purpose::Invite(dialog),
        );
        self.dialogs[dialog].inviting = Some((branch, false));
        self.dialogs[dialog].invite_cseq = 1;
    }

    /// Comes to the focus of a conference. Whose that is may be guessed wrong.
    pub fn attend(&mut self, scene: &mut Scene<'_>, room: &str) {
        let name = room.strip_prefix("sip:im-").unwrap_or_default();
        let name = name.split('@').next().unwrap_or_default();
        scene.ledger.attended.insert(name.to_owned());
        let legs = &scene.ledger.legs;
        let first = legs.iter().find(|leg| leg.session.as_deref() == Some(name));
        let organiser = first.map_or(self.user, |leg| leg.user);
        let uri = format!(
            "sip:{};gruu;opaque=app:conf:focus:id:{name}",
            aor(organiser)
        );
        let call_id = self.fresh("focus");
        let dialog = self.new_dialog(call_id, &format!("<{uri}>"));
        self.dialogs[dialog].attends = true;
        let own = aor(self.user);
        let asks = format!(
            "<addUser><conferenceKeys confEntity=\"{uri}\"/><user xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:{own}\">\
             <endpoint entity=\"{}\"/></user></addUser>",
            self.index
        );
        let body = self.cccp(&uri, &asks);
        let lines = format!(
            "Contact: {}\r\nContent-Type: application/cccp+xml\r\n",
            self.contact()
        );
        let purpose = Purpose::Subscribe(dialog);
        self.in_dialog_to(scene, dialog, "INVITE", uri, &lines, body, purpose);
    }

    fn cccp(&self, uri: &str, asks: &str) -> String {
        let own = aor(self.user);
        format!(
            "<request xmlns=\"urn:ietf:params:xml:ns:cccp\" C3PVersion=\"1\" to=\"{uri}\" from=\"sip:{own}\" requestId=\"1\">{asks}</request>"
        )
    }

    fn pick_focus(&self, scene: &mut Scene<'_>) -> Option<usize> {
        let there = |dialog: &Dialog| dialog.attends && !dialog.ended && !dialog.target.is_empty();
        self.pick(scene, there)
    }

    /// Asks a focus for something about another user, or about all.
    pub fn ask_focus(&mut self, scene: &mut Scene<'_>, other: usize) {
        let Some(dialog) = self.pick_focus(scene) else {
            return;
        };
        let uri = self.dialogs[dialog].target.clone();
        let other = aor(other);
        let conference = format!("<conferenceKeys confEntity=\"{uri}\"/>");
        let user = format!("<userKeys confEntity=\"{uri}\" userEntity=\"sip:{other}\"/>");
        let asks = match scene.dice.below(20) {
            chance @ 0..=7 => format!(
                "<modifyConferenceLock>{conference}<locked>{}</locked></modifyConferenceLock>",
                chance < 3
            ),
            8..=12 => format!(
                "<modifyUserRoles>{user}<user-roles><entry>presenter</entry></user-roles></modifyUserRoles>"
            ),
            13..=18 => format!("<deleteUser>{user}</deleteUser>"),
            _ => format!("<deleteConference>{conference}</deleteConference>"),
        };
        let body = self.cccp(&uri, &asks);
        let lines = "Content-Type: application/cccp+xml\r\n";
        self.within(scene, dialog, "INFO", lines, body, Purpose::Other);
    }

    /// Says BYE to a focus.
    pub fn leave_focus(&mut self, scene: &mut Scene<'_>) {
        if let Some(dialog) = self.pick_focus(scene) {
            self.bye(scene, dialog);
        }
    }

    /// Takes back an invitation that waits.
    pub fn cancel(&mut self, scene: &mut Scene<'_>) {
        let waits = |dialog: &Dialog| {
            dialog
                .inviting
                .as_ref()
                .is_some_and(|(_, cancelled)| !cancelled)
        };
        let Some(dialog) = self.pick(scene, waits) else {
            return;
        };
        let Some((branch, cancelled)) = &mut self.dialogs[dialog].inviting else {
            return;
        };
        *cancelled = true;
        let branch = branch.clone();
        let Some(invite) = self.pending.get(&(branch.clone(), "INVITE")).cloned() else {
            return;
        };
        let lines: String = invite
            .lines
            .split_inclusive("\r\n")
            .filter(|line| {
                ["From", "To", "Call-ID"]
                    .iter()
                    .any(|name| line.starts_with(&format!("{name}: ")))
            })
            .collect();
        let cancel = Pending {
            method: "CANCEL",
            lines,
            body: String::new(),
            purpose: Purpose::Other,
            asked_again: false,
            ..invite
        };
        self.send(scene, branch, cancel);
    }

    /// Sends what is no message: in the right frame, or such that nobody knows where the next one begins.
    pub fn babble(&mut self, scene: &mut Scene<'_>) {
        let Some(socket) = self.socket else { return };
        self.babbled = true;
        let nonsense: [&[u8]; 5] = [
            b"MESSAGE sip:user0@example.com SIP/2.0\r\nVia: SIP/2.0/TLS x;branch=z9hG4bKbabble\r\nContent-Length: 0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\r\n\r\n\r\n",
            b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TLS x;branch=z9hG4bKbabble\r\nContent-Length: -1\r\n\r\n",
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS x;branch=z9hG4bKnobody\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
              Call-ID: x\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
        ];
        let bytes = nonsense[scene.dice.below(nonsense.len())];
        scene.ledger.note(|| {
            format!(
                "fellow {} babbles {}",
                self.index,
                brief(&String::from_utf8_lossy(bytes))
            )
        });
        scene.world.send(socket, bytes);
    }

    /// Says something in one of its sessions.
    pub fn say(&mut self, scene: &mut Scene<'_>) {
        let Some(dialog) = self.pick_leg(scene) else {
            return;
        };
        let Some(leg) = self.dialogs[dialog].leg else {
            return;
        };
        let number = scene
            .ledger
            .say(self.user, self.connection, Way::Session(leg));
        self.within(
            scene,
            dialog,
            "MESSAGE",
            "Content-Type: text/plain\r\n",
            text(number),
            Purpose::Say(number),
        );
    }

    /// Calls a user into one of its sessions, or sends one away.
    pub fn refer(&mut self, scene: &mut Scene<'_>, user: usize, remove: bool) {
        let Some(dialog) = self.pick_leg(scene) else {
            return;
        };
        let session = self.dialogs[dialog]
            .leg
            .and_then(|leg| scene.ledger.legs[leg].session.clone());
        scene.ledger.growing.extend(session);
        let method = if remove { ";method=BYE" } else { "" };
        let mut lines = format!(
            "Refer-To: <sip:{}{method}>\r\nContact: {}\r\n",
            aor(user),
            self.contact()
        );
        if scene.dice.percent(50) {
            lines.push_str("Refer-Sub: false\r\n");
        }
        self.within(
            scene,
            dialog,
            "REFER",
            &lines,
            String::new(),
            Purpose::Other,
        );
    }

    /// Asks the focus of one of its sessions for something that a moderator may: whether it is one it does not know.
    pub fn command(&mut self, scene: &mut Scene<'_>) {
        let Some(dialog) = self.pick_leg(scene) else {
            return;
        };
        let leg = self.dialogs[dialog].leg;
        let session = leg.and_then(|leg| scene.ledger.legs[leg].session.clone());
        let Some(session) = session else { return };
        let others: Vec<usize> = scene
            .ledger
            .legs
            .iter()
            .filter(|leg| leg.session.as_ref() == Some(&session))
            .map(|leg| leg.user)
            .collect();
        let other = scene.dice.pick(&others).copied().unwrap_or(self.user);
        let user = |attributes: &str, inside: &str| {
            format!(
                "<users><user entity=\"sip:{}\"{attributes}>{inside}</user></users>",
                aor(other)
            )
        };
        let role = |role: &str| user("", &format!("<roles><entry>{role}</entry></roles>"));
        let (state, inside) = match scene.dice.below(100) {
            chance @ 0..=29 => {
                let locked = chance < 12;
                let inside =
                    format!("<conference-state><locked>{locked}</locked></conference-state>");
                ("partial", inside)
            }
            30..=49 => {
                let subject = scene.dice.below(4);
                let inside = format!(
                    "<conference-description><subject>{subject}</subject></conference-description>"
                );
                ("partial", inside)
            }
            50..=69 => ("partial", role("moderator")),
            70..=84 => ("partial", role("participant")),
            85..=95 => ("partial", user(" state=\"deleted\"", "")),
            _ => ("deleted", String::new()),
        };
        let body = format!(
            "<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:im-{session}@example.com\" \
             state=\"{state}\">{inside}</conference-info>"
        );
        let lines = "Info-Package: conference\r\nContent-Type: application/conference-info+xml\r\n";
        self.within(scene, dialog, "INFO", lines, body, Purpose::Other);
    }

    /// Leaves one of its sessions.
    pub fn leave(&mut self, scene: &mut Scene<'_>) {
        let Some(dialog) = self.pick_leg(scene) else {
            return;
        };
        self.bye(scene, dialog);
    }

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

    // How it sends.

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
            },
        );
        branch
    }

    fn send(&mut self, scene: &mut Scene<'_>, branch: String, pending: Pending) {
        let Some(socket) = self.socket else { return };
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

    // What comes to it.

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

    fn on_answer(&mut self, scene: &mut Scene<'_>, heard: Heard, status: u16) {
        let key = self
            .pending
            .keys()
            .find(|(branch, method)| *branch == heard.branch() && *method == heard.method)
            .cloned();
        let Some(key) = key else {
            if self.babbled && matches!(status, 400 | 505) {
                return;
            }
            return scene.ledger.blame(format!(
                "fellow {} was answered what it did not ask, or twice:\n{}",
                self.index,
                heard.full()
            ));
        };
        if status < 200 {
            return;
        }
        let Some(mut pending) = self.pending.remove(&key) else {
            return;
        };
        if status == 401 && !pending.asked_again && !self.registered {
            self.challenge_count += 1;
            let answer = match &mut self.ntlm {
                Some(ntlm) => ntlm.authorization(&heard, &password(self.user)),
                None => authorization(
                    &heard,
                    pending.method,
                    &pending.uri,
                    &user_name(self.user),
                    &password(self.user),
                    self.challenge_count,
                ),
            };
            let Some(answer) = answer else {
                return scene
                    .ledger
                    .blame("a challenge without a digest".to_owned());
            };
            // By NTLM one is asked twice: after the empty token there is the question.
            let last = !answer.contains("gssapi-data=\"\"");
            if let Some((before, _)) = pending.lines.split_once("Authorization: ") {
                pending.lines.truncate(before.len());
            }
            let _ = write!(pending.lines, "Authorization: {answer}\r\n");
            pending.cseq += 1;
            self.register_cseq = self.register_cseq.max(pending.cseq);
            pending.asked_again = last;
            let branch = format!("z9hG4bK{}", self.fresh("b"));
            self.send(scene, branch, pending);
            // Some do not wait for the 200: this one is still in the pipe when the connection moves to its owner.
            if last && scene.dice.percent(30) && !scene.hurry && !self.is_lync() {
                self.publish(scene, false);
            }
            return;
        }
        let shed = status == 503 && heard.reason == "Overloaded";
        if shed {
            check_shed(scene, &heard, &pending);
        }
        match pending.purpose {
            // It comes back later.
            Purpose::Register if shed => self.cut(scene),
            Purpose::Register => {
                self.registered = status == 200;
                // Its user may have been taken out of the store.
                if !matches!(status, 200 | 401 | 404) {
                    scene
                        .ledger
                        .blame(format!("REGISTER was answered {status}:\n{}", heard.full()));
                }
            }
            Purpose::Publish { ends } => match status {
                200 if ends => self.etag = None,
                200 => self.etag = heard.header("SIP-ETag").map(str::to_owned),
                _ => self.etag = None,
            },
            Purpose::Mail(count) => {
                let kept = scene.world.kept.iter().any(
                    |change| matches!(change, Change::Waiting(_, waiting) if waiting.new == count),
                );
                // A 200 says that it is on disk; anything else, that it never will be.
                if kept != (status == 200) {
                    scene.ledger.blame(format!(
                        "{count} messages wait was answered {status}; kept: {kept}"
                    ));
                }
            }
            Purpose::Say(number) => scene.ledger.answered(number, status),
            Purpose::Invite(dialog) => self.on_invited(
                scene,
                dialog,
                &heard,
                status,
                &pending.lines,
                &key.0,
                &pending.uri,
            ),
            Purpose::Subscribe(dialog) => {
                if status == 200 {
                    self.learn_remote(dialog, &heard);
                    if let Some(watch) = &mut self.dialogs[dialog].watch {
                        watch.granted = true;
                    }
                } else {
                    self.dialogs[dialog].ended = true;
                }
            }
            // Anything else would end its dialog.
            Purpose::Typing if !matches!(status, 200 | 481) => {
                scene
                    .ledger
                    .blame(format!("typing was answered {status}:\n{}", heard.full()));
            }
            Purpose::Typing | Purpose::Bye | Purpose::Other => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step, called once")]
    fn on_invited(
        &mut self,
        scene: &mut Scene<'_>,
        dialog: usize,
        heard: &Heard,
        status: u16,
        lines: &str,
        branch: &str,
        uri: &str,
    ) {
        let cancelled = self.dialogs[dialog]
            .inviting
            .take()
            .is_some_and(|(_, cancelled)| cancelled);
        let cseq = self.dialogs[dialog].invite_cseq;
        let ack = |uri: String, lines: String| Pending {
            method: "ACK",
            uri,
            lines,
            body: String::new(),
            cseq,
            purpose: Purpose::Other,
            asked_again: false,
        };
        if status >= 300 {
            self.end(scene.ledger, dialog);
            let lines: String = lines
                .split_inclusive("\r\n")
                .filter(|line| line.starts_with("From: ") || line.starts_with("Call-ID: "))
                .collect();
            let lines = format!("{lines}To: {}\r\n", heard.header("To").unwrap_or(""));
            return self.send(scene, branch.to_owned(), ack(uri.to_owned(), lines));
        }
        self.learn_remote(dialog, heard);
        let place = &self.dialogs[dialog];
        let lines = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\n",
            place.local, place.remote, place.call_id
        );
        let (target, fresh) = (place.target.clone(), format!("z9hG4bK{}", self.fresh("b")));
        self.send(scene, fresh, ack(target, lines));
        if let Some(leg) = self.dialogs[dialog].leg {
            scene.ledger.legs[leg].established = true;
            self.learn_session(scene.ledger, leg, heard);
        }
        if cancelled {
            self.bye(scene, dialog);
        }
    }

    fn learn_remote(&mut self, dialog: usize, heard: &Heard) {
        let dialog = &mut self.dialogs[dialog];
        dialog.remote = heard.header("To").unwrap_or("").to_owned();
        dialog.target = heard.contact().unwrap_or_default();
    }

    /// The session's name stands in the user part of the server's Contact.
    fn learn_session(&self, ledger: &mut Ledger, leg: usize, heard: &Heard) {
        let contact = heard.header("Contact").unwrap_or("");
        let name = contact
            .split_once("sip:im-")
            .and_then(|(_, rest)| rest.split_once('@'))
            .map(|(name, _)| name.to_owned());
        let Some(name) = name else {
            return ledger.blame(format!("a session without a name:\n{}", heard.full()));
        };
        if contact.contains(";isfocus") {
            ledger.conferences.insert(name.clone());
        }
        match &ledger.legs[leg].session {
            Some(known) if *known != name => {
                ledger.blame(format!("leg {leg} was in {known} and is in {name}"))
            }
            _ => ledger.legs[leg].session = Some(name),
        }
    }

    fn on_request(&mut self, scene: &mut Scene<'_>, heard: Heard) {
        if heard.method == "ACK" {
            self.acks_due
                .remove(&(heard.call_id().to_owned(), heard.cseq()));
            if let Some(dialog) = self.dialog_of(&heard)
                && let Some(leg) = self.dialogs[dialog].leg
                && !self.dialogs[dialog].ended
            {
                scene.ledger.legs[leg].established = true;
            }
            return;
        }
        if heard.method == "CANCEL" && self.is_lync() {
            self.ringing
                .retain(|invite| invite.branch() != heard.branch());
            return;
        }
        if heard.method == "CANCEL" {
            self.reply(scene, &heard, 200, "", "");
            if let Some(at) = self
                .ringing
                .iter()
                .position(|invite| invite.branch() == heard.branch())
            {
                let invite = self.ringing.remove(at);
                self.refuse(scene, &invite, 487);
            }
            return;
        }
        if let Some(dialog) = self.dialog_of(&heard) {
            let known = &mut self.dialogs[dialog];
            if heard.cseq() <= known.heard_cseq {
                let last = known.heard_cseq;
                scene.ledger.blame(format!(
                    "CSeq after {last} in the same dialog:\n{}",
                    heard.full()
                ));
            }
            self.dialogs[dialog].heard_cseq = heard.cseq();
        }
        if let Some(foreign) = self.does_not_know(&heard) {
            scene.ledger.blame(format!(
                "fellow {} does not know {foreign}:\n{}",
                self.index,
                heard.full()
            ));
        }
        self.take_in(scene, &heard);
        match &*heard.method {
            "INVITE" if heard.to_tag().is_empty() => self.ringing.push(heard),
            "MESSAGE" | "NOTIFY" if !scene.hurry && scene.dice.percent(25) => {
                self.later.push(heard)
            }
            _ => self.answer(scene, heard),
        }
    }

    /// What is of the other dialect in a request.
    fn does_not_know(&self, heard: &Heard) -> Option<&'static str> {
        let kind = heard.header("Content-Type").unwrap_or_default();
        match (&*heard.method, self.is_lync()) {
            ("INVITE", true) if !heard.to_tag().is_empty() => Some("a second offer"),
            ("INVITE", true)
                if offers_messages(heard) && heard.header("Ms-Conversation-ID").is_none() =>
            {
                Some("a session of no conversation")
            }
            ("MESSAGE", true) if !kind.starts_with("text/plain") => Some("such a message"),
            ("INFO", true) if kind != KEYBOARD => Some("such an INFO"),
            ("UPDATE", true) => Some("UPDATE"),
            ("INFO", false) => Some("INFO"),
            _ => None,
        }
    }

    /// Answers one of the requests that were put off.
    pub fn answer_later(&mut self, scene: &mut Scene<'_>) {
        if !self.later.is_empty() {
            let at = scene.dice.below(self.later.len());
            let heard = self.later.remove(at);
            return self.answer(scene, heard);
        }
        if !self.ringing.is_empty() {
            let at = scene.dice.below(self.ringing.len());
            self.pick_up(scene, at);
        }
    }

    /// Picks up, declines, or lets it ring on.
    fn pick_up(&mut self, scene: &mut Scene<'_>, at: usize) {
        if self.is_lync() && !offers_messages(&self.ringing[at]) {
            let invite = self.ringing.remove(at);
            return self.refuse(scene, &invite, 488);
        }
        match scene.dice.below(100) {
            0..=19 if !self.is_lync() => {
                let invite = self.ringing[at].clone();
                self.reply_with_contact(scene, &invite, 180, "");
            }
            20..=34 => {
                let invite = self.ringing.remove(at);
                let status = [486, 480, 603, 488][scene.dice.below(4)];
                self.refuse(scene, &invite, status);
            }
            35..=39 => {
                // Nobody is at home, and the phone does not say so: given up without a word.
                self.ringing.remove(at);
            }
            _ => {
                let invite = self.ringing.remove(at);
                let dialog = self.new_dialog(
                    invite.call_id().to_owned(),
                    invite.header("From").unwrap_or(""),
                );
                let leg = scene.ledger.new_leg(self.user);
                let place = &mut self.dialogs[dialog];
                place.local = format!(
                    "{};tag={}",
                    invite.header("To").unwrap_or(""),
                    place.local_tag
                );
                place.target = invite.contact().unwrap_or_default();
                place.leg = Some(leg);
                place.heard_cseq = invite.cseq();
                self.learn_session(scene.ledger, leg, &invite);
                self.reply_with_contact(scene, &invite, 200, SDP);
            }
        }
    }

    fn refuse(&mut self, scene: &mut Scene<'_>, invite: &Heard, status: u16) {
        self.acks_due
            .insert((invite.call_id().to_owned(), invite.cseq()));
        self.reply(scene, invite, status, "", "");
    }

    fn answer(&mut self, scene: &mut Scene<'_>, heard: Heard) {
        let dialog = self.dialog_of(&heard);
        if heard.method == "BENOTIFY" {
            // Nobody answers it. One may cross the end of its dialog.
            if let Some(dialog) = dialog.map(|dialog| &mut self.dialogs[dialog]) {
                dialog.ended |= dialog.watch.as_ref().is_some_and(|watch| watch.terminated);
            }
            return;
        }
        let in_dialog = !heard.to_tag().is_empty();
        let Some(dialog) = dialog.filter(|dialog| !self.dialogs[*dialog].ended) else {
            if in_dialog {
                // Ours, and over: it crossed our BYE. A dialog that never was is none of the server's business.
                if dialog.is_none() {
                    scene.ledger.blame(format!(
                        "fellow {}: no such dialog ever:\n{}",
                        self.index,
                        heard.full()
                    ));
                }
                return self.reply(scene, &heard, 481, "", "");
            }
            return match &*heard.method {
                "MESSAGE" => self.answer_page(scene, &heard),
                // It is told that it is registered no longer: its user is gone, or the server goes.
                "NOTIFY"
                    if self.is_lync() && heard.header("Event") == Some("registration-notify") =>
                {
                    self.reply(scene, &heard, 200, "", "");
                }
                _ => {
                    scene
                        .ledger
                        .blame(format!("not a request for a client:\n{}", heard.full()));
                    self.reply(scene, &heard, 501, "", "");
                }
            };
        };
        match &*heard.method {
            "MESSAGE" => self.answer_said(scene, dialog, &heard),
            "NOTIFY" => self.answer_state(scene, dialog, &heard),
            "INVITE" => {
                if let Some(leg) = self.dialogs[dialog].leg {
                    self.learn_session(scene.ledger, leg, &heard);
                }
                if scene.dice.percent(10) && !scene.hurry {
                    self.refuse(scene, &heard, 488);
                } else {
                    self.reply_with_contact(scene, &heard, 200, SDP);
                }
            }
            "BYE" => {
                self.end(scene.ledger, dialog);
                self.reply(scene, &heard, 200, "", "");
            }
            "INFO" if scene.dice.percent(10) => {}
            _ => self.reply(scene, &heard, 200, "", ""),
        }
    }

    /// What a request says counts when it comes, whenever it is answered.
    fn take_in(&mut self, scene: &mut Scene<'_>, heard: &Heard) {
        let dialog = self
            .dialog_of(heard)
            .filter(|dialog| !self.dialogs[*dialog].ended);
        match (&*heard.method, dialog) {
            ("INVITE", None) if heard.to_tag().is_empty() => {
                let inviter = heard
                    .header("P-Asserted-Identity")
                    .or(heard.header("From"))
                    .and_then(user_in);
                // Who is in a session of two that becomes a conference is moved over, not rung.
                let talks = self
                    .dialogs
                    .iter()
                    .any(|dialog| dialog.leg.is_some() && !dialog.ended);
                let moved = self.is_lync() && !offers_messages(heard) && talks;
                if let Some(inviter) = inviter.filter(|_| !moved) {
                    scene.ledger.rings(self.user, inviter);
                }
            }
            ("MESSAGE", None) if is_copy(heard) => match number_in(heard) {
                Some(number) if self.copies() => {
                    scene.ledger.copy_heard(self.user, self.connection, number)
                }
                _ => scene
                    .ledger
                    .blame(format!("a copy that nobody wants:\n{}", heard.full())),
            },
            // Nothing is known of who types.
            ("MESSAGE", None) if heard.header("Content-Type") == Some(COMPOSING) => {}
            ("MESSAGE", None) if heard.to_tag().is_empty() => match number_in(heard) {
                Some(number) => {
                    let (index, connection) = (self.index, self.connection);
                    scene
                        .ledger
                        .page_heard(self.user, index, connection, number);
                }
                None => scene
                    .ledger
                    .blame(format!("a message that nobody sent:\n{}", heard.full())),
            },
            ("MESSAGE", Some(dialog)) => match (self.dialogs[dialog].leg, number_in(heard)) {
                (Some(leg), Some(number)) => {
                    scene.ledger.leg_heard(leg, self.connection, number);
                }
                // The focus reports to somebody whom it did not reach.
                (Some(_), None) => {}
                (None, _) => scene
                    .ledger
                    .blame(format!("a message in a subscription:\n{}", heard.full())),
            },
            ("BENOTIFY", Some(dialog)) if heard.header("Event").is_some() => {
                self.take_state(scene, dialog, heard);
            }
            ("NOTIFY", Some(dialog))
                if !heard
                    .header("Event")
                    .is_some_and(|event| event.starts_with("refer")) =>
            {
                self.take_state(scene, dialog, heard);
            }
            _ => {}
        }
    }

    fn take_state(&mut self, scene: &mut Scene<'_>, dialog: usize, heard: &Heard) {
        let Some(watch) = &mut self.dialogs[dialog].watch else {
            return scene
                .ledger
                .blame(format!("a NOTIFY that nobody asked for:\n{}", heard.full()));
        };
        if !heard.body.is_empty() {
            let mut text = heard.text();
            if heard.method == "BENOTIFY" && !text.contains(&*watch.subject) {
                let subject = &watch.subject;
                let wrong = format!("of {subject} was asked, and told {text}");
                scene.ledger.blame(wrong);
            }
            if watch.event == "conference" {
                let name = watch.subject.strip_prefix("sip:im-").unwrap_or_default();
                let name = name.split('@').next().unwrap_or_default();
                let hidden = scene.ledger.attended.contains(name);
                if let Err(wrong) = watch.roster.take(&heard.body, hidden) {
                    scene
                        .ledger
                        .blame(format!("fellow {}: {wrong}", self.index));
                }
                text = watch.roster.text();
            } else if watch.event == "dialog" {
                // Each document of a subscription has a number of its own, one after the other (RFC 4235 §4.1).
                let number = format!(" version=\"{}\"", watch.documents);
                if !text.contains(&number) {
                    scene.ledger.blame(format!("expected{number} in {text}"));
                }
                watch.documents += 1;
                text = text.replace(&number, "");
            } else if watch.event == "presence.winfo" || watch.subject == CONTACTS {
                let taken = match heard.header("Content-Type") {
                    Some(multipart) if watch.subject == CONTACTS => {
                        watch.many.take_list(multipart, &heard.body)
                    }
                    _ => watch.many.take_watchers(&text),
                };
                if let Err(wrong) = taken {
                    scene
                        .ledger
                        .blame(format!("fellow {}: {wrong}", self.index));
                }
                text = watch.many.text();
            }
            watch.state = Some(text);
        }
        if heard
            .header("Subscription-State")
            .is_some_and(|state| state.starts_with("terminated"))
        {
            watch.terminated = true;
        }
    }

    fn answer_page(&mut self, scene: &mut Scene<'_>, heard: &Heard) {
        match scene.dice.below(100) {
            0..=7 => self.reply(scene, heard, 486, "", ""),
            8..=9 if !scene.hurry => {}
            _ => {
                if let Some(number) = number_in(heard).filter(|_| !is_copy(heard)) {
                    scene.ledger.said[number].taken = true;
                }
                self.reply(scene, heard, 200, "", "");
            }
        }
    }

    fn answer_said(&mut self, scene: &mut Scene<'_>, dialog: usize, heard: &Heard) {
        let (Some(leg), Some(number)) = (self.dialogs[dialog].leg, number_in(heard)) else {
            return self.reply(scene, heard, 200, "", "");
        };
        match scene.dice.below(100) {
            0..=4 => self.reply(scene, heard, 413, "", ""),
            5 if !scene.hurry => scene.ledger.legs[leg].doubtful = true,
            _ => {
                scene.ledger.said[number].taken = true;
                self.reply(scene, heard, 200, "", "");
            }
        }
    }

    fn answer_state(&mut self, scene: &mut Scene<'_>, dialog: usize, heard: &Heard) {
        if let Some(watch) = &mut self.dialogs[dialog].watch {
            if watch.terminated {
                self.dialogs[dialog].ended = true;
            } else if scene.dice.percent(2) && !scene.hurry {
                // Never answered: the server gives the subscription up after its time.
                watch.doubtful = true;
                return;
            }
        }
        self.reply(scene, heard, 200, "", "");
    }

    fn dialog_of(&self, heard: &Heard) -> Option<usize> {
        let tag = heard.to_tag();
        self.dialogs
            .iter()
            .position(|dialog| dialog.call_id == heard.call_id() && dialog.local_tag == tag)
    }

    fn reply(
        &mut self,
        scene: &mut Scene<'_>,
        heard: &Heard,
        status: u16,
        lines: &str,
        body: &str,
    ) {
        let dialog = self
            .dialogs
            .iter()
            .rfind(|dialog| dialog.call_id == heard.call_id());
        let tag = dialog.map_or_else(
            || format!("t{}", self.index),
            |dialog| dialog.local_tag.clone(),
        );
        let Some(socket) = self.socket else { return };
        scene.ledger.note(|| {
            format!(
                "fellow {} answers {status} to {} [{}]",
                self.index,
                heard.method,
                heard.branch()
            )
        });
        let answer = heard.response(status, "Answered", &tag, lines, body);
        self.transmit(scene, socket, &answer);
    }

    fn reply_with_contact(&mut self, scene: &mut Scene<'_>, heard: &Heard, status: u16, sdp: &str) {
        let mut lines = format!("Contact: {}\r\n", self.contact());
        let mut body = String::new();
        if !sdp.is_empty() {
            lines.push_str("Content-Type: application/sdp\r\n");
            body = format!("{sdp}\r\n");
        }
        self.reply(scene, heard, status, &lines, &body);
    }

    // What is true when all is quiet.

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

    /// Its live subscriptions: the event, the subject, the last state.
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

/// A message that its own user has sent from another endpoint.
fn offers_messages(invite: &Heard) -> bool {
    invite.text().contains("m=message ")
}

fn is_copy(heard: &Heard) -> bool {
    heard.header("Muster-Copy-Of").is_some()
}

/// The user in an address of `user17@example.com`, if it is one.
fn user_in(address: &str) -> Option<usize> {
    let (_, rest) = address.split_once("sip:user")?;
    rest.split_once('@')?.0.parse().ok()
}

fn text(number: usize) -> String {
    format!("msg-{number};")
}

fn number_in(heard: &Heard) -> Option<usize> {
    let text = String::from_utf8_lossy(&heard.body).into_owned();
    text.split_once("msg-")?.1.split_once(';')?.0.parse().ok()
}

fn brief(body: &str) -> String {
    body.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect()
}

/// What was shed is told when to come back, and was nothing that goes on.
fn check_shed(scene: &mut Scene<'_>, heard: &Heard, pending: &Pending) {
    let after = heard
        .header("Retry-After")
        .and_then(|text| text.parse().ok());
    let in_dialog = pending
        .lines
        .lines()
        .any(|line| line.starts_with("To: ") && line.contains(";tag="));
    let goes_on = in_dialog || matches!(pending.method, "BYE" | "ACK" | "CANCEL" | "INFO");
    if goes_on || !matches!(after, Some(5..=60u32)) {
        let (method, lines, heard) = (pending.method, &pending.lines, heard.full());
        scene
            .ledger
            .blame(format!("shed: {method}\n{lines}\nwith\n{heard}"));
    }
}
