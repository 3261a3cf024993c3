//! What a fellow does of its own accord: it registers, writes, publishes, watches, invites, attends, leaves.

use std::fmt::Write as _;
use std::time::Duration;

use muster::documents::timestamp::Timestamp;

use super::super::ledger::Way;
use super::{
    COMPOSING, Dialog, Fellow, KEYBOARD, Pending, Purpose, SDP, Scene, Watch, aor, brief, text,
    user_name,
};

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
    pub(super) fn copies(&self) -> bool {
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
}
