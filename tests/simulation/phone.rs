//! A model telephone: one of a user's endpoints that calls and is called. It knows the rules of SIP that a client lives by.

use std::collections::{BTreeMap, BTreeSet};

use super::dice::Dice;
use super::fellow::{aor, password, user_name};
use crate::client::ntlm::Ntlm;
use crate::client::{Heard, Inbox, authorization, tag};
use crate::world::World;

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// A request that waits.
pub struct Pending {
    pub uri: String,
    pub lines: String,
    pub cseq: u32,
    pub body: String,
    /// Of a call: which.
    pub part: Option<usize>,
    pub cancelled: bool,
}

/// Its side of one call.
pub struct Part {
    pub call_id: String,
    pub local: String,
    pub tag: String,
    pub remote: String,
    pub target: String,
    pub route: Vec<String>,
    pub cseq: u32,
    pub heard_cseq: u32,
    /// The callee's: the INVITE that rings.
    pub rings: Option<Heard>,
    pub talks: bool,
    /// The ACK of the 2xx that made it has come.
    pub acked: bool,
    /// Something in it was answered 481: then it must be over.
    pub disowned: bool,
}

/// One endpoint.
pub struct Phone {
    pub index: usize,
    pub user: usize,
    pub socket: Option<usize>,
    pub inbox: Inbox,
    /// Every third logs in so, and signs and checks everything.
    ntlm: Option<Ntlm>,
    pub address: String,
    pub up: bool,
    pub count: usize,
    pub parts: Vec<Part>,
    pub pending: BTreeMap<(String, String), Pending>,
    /// INVITEs that came: Call-ID and CSeq number, which their ACKs have too (RFC 3261 §13.2.2.4).
    invited: BTreeSet<(String, u32)>,
    /// What it was told last of who it asked about.
    pub told: String,
    /// Every shard has been told that the server stops.
    pub stopping: bool,
    /// Branches of what it has asked since, but for BYE.
    late: BTreeSet<String>,
}

impl Phone {
    pub fn new(index: usize, user: usize) -> Phone {
        Phone {
            index,
            user,
            socket: None,
            inbox: Inbox::default(),
            ntlm: (index % 3 == 1).then(|| Ntlm::new(&aor(user))),
            address: String::new(),
            up: false,
            count: 0,
            parts: Vec::new(),
            pending: BTreeMap::new(),
            invited: BTreeSet::new(),
            told: String::new(),
            stopping: false,
            late: BTreeSet::new(),
        }
    }

    pub fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}{}x{}", self.index, self.count)
    }

    pub fn contact(&self) -> String {
        format!(
            "<sip:{}@{};transport=tls>",
            user_name(self.user),
            self.address
        )
    }

    pub fn forget(&mut self) {
        self.socket = None;
        self.up = false;
        self.parts.clear();
        self.pending.clear();
        self.invited.clear();
        self.late.clear();
        self.inbox = Inbox::default();
        if let Some(ntlm) = &mut self.ntlm {
            ntlm.disconnect();
        }
    }

    pub fn send(&mut self, world: &mut World, method: &str, branch: &str, pending: &Pending) {
        let Some(socket) = self.socket else { return };
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/TLS {};branch={branch}\r\nMax-Forwards: 70\r\n{}CSeq: {} {method}\r\n\
             Content-Length: {}\r\n\r\n{}",
            pending.uri,
            self.address,
            pending.lines,
            pending.cseq,
            pending.body.len(),
            pending.body
        );
        self.transmit(world, socket, text.as_bytes());
    }

    fn transmit(&mut self, world: &mut World, socket: usize, bytes: &[u8]) {
        match &mut self.ntlm {
            Some(ntlm) => world.send(socket, &ntlm.sign(bytes)),
            None => world.send(socket, bytes),
        }
    }

    pub fn ask(&mut self, world: &mut World, method: &str, pending: Pending) -> String {
        let branch = format!("z9hG4bK{}", self.fresh("b"));
        self.send(world, method, &branch, &pending);
        if self.stopping && method != "BYE" {
            self.late.insert(branch.clone());
        }
        self.pending
            .insert((branch.clone(), method.to_owned()), pending);
        branch
    }

    pub fn register(&mut self, world: &mut World) {
        let own = aor(self.user);
        let (tag, call_id) = (self.fresh("t"), self.fresh("register"));
        let lines = format!(
            "From: <sip:{own}>;tag={tag}\r\nTo: <sip:{own}>\r\nCall-ID: {call_id}\r\nContact: {};+sip.instance=\"<urn:uuid:\
             00000000-0000-0000-0000-{:012}>\"\r\nExpires: 7200\r\n",
            self.contact(),
            self.index
        );
        let pending = Pending {
            uri: "sip:example.com".into(),
            lines,
            cseq: 1,
            body: String::new(),
            part: None,
            cancelled: false,
        };
        self.ask(world, "REGISTER", pending);
    }

    /// Asks once how a user is.
    pub fn look(&mut self, world: &mut World, user: usize) {
        let (call_id, tag) = (self.fresh("look"), self.fresh("t"));
        let uri = format!("sip:{}", aor(user));
        let lines = format!(
            "From: <sip:{}>;tag={tag}\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\nContact: {}\r\nEvent: presence\r\n\
             Expires: 0\r\n",
            aor(self.user),
            self.contact()
        );
        let pending = Pending {
            uri,
            lines,
            cseq: 1,
            body: String::new(),
            part: None,
            cancelled: false,
        };
        self.told.clear();
        self.ask(world, "SUBSCRIBE", pending);
    }

    pub fn call(&mut self, world: &mut World, user: usize) {
        let (call_id, tag) = (self.fresh("call"), self.fresh("t"));
        let uri = format!("sip:{}", aor(user));
        let part = Part {
            call_id,
            local: format!("<sip:{}>;tag={tag}", aor(self.user)),
            tag,
            remote: format!("<{uri}>"),
            target: uri,
            route: Vec::new(),
            cseq: 0,
            heard_cseq: 0,
            rings: None,
            talks: false,
            disowned: false,
            acked: false,
        };
        self.parts.push(part);
        self.within(world, self.parts.len() - 1, "INVITE", SDP);
    }

    /// A request in a call, or the INVITE that begins it.
    pub fn within(&mut self, world: &mut World, index: usize, method: &str, body: &str) {
        let contact = self.contact();
        let part = &mut self.parts[index];
        part.cseq += 1;
        let mut lines: String = part
            .route
            .iter()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        lines += &format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nContact: {contact}\r\n",
            part.local, part.remote, part.call_id
        );
        if !body.is_empty() {
            lines += "Content-Type: application/sdp\r\n";
        }
        let pending = Pending {
            uri: part.target.clone(),
            lines,
            cseq: part.cseq,
            body: body.to_owned(),
            part: Some(index),
            cancelled: false,
        };
        self.ask(world, method, pending);
    }

    pub fn cancel(&mut self, world: &mut World, branch: &str) {
        let Some(invite) = self
            .pending
            .get_mut(&(branch.to_owned(), "INVITE".to_owned()))
            .filter(|invite| !invite.cancelled)
        else {
            return;
        };
        invite.cancelled = true;
        let lines = invite
            .lines
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("Con"))
            .collect();
        let cancel = Pending {
            uri: invite.uri.clone(),
            lines,
            cseq: invite.cseq,
            body: String::new(),
            part: None,
            cancelled: false,
        };
        self.send(world, "CANCEL", branch, &cancel);
        self.pending
            .insert((branch.to_owned(), "CANCEL".to_owned()), cancel);
    }

    pub fn reply(&mut self, world: &mut World, heard: &Heard, status: u16, tag: &str, body: &str) {
        let Some(socket) = self.socket else { return };
        let mut lines = format!("Contact: {}\r\n", self.contact());
        if !body.is_empty() {
            lines += "Content-Type: application/sdp\r\n";
        }
        let answer = heard.response(status, "Answered", tag, &lines, body);
        self.transmit(world, socket, &answer);
    }

    /// Takes in what came; what was wrong with it.
    pub fn hear(&mut self, world: &mut World, dice: &mut Dice, heard: Heard) -> Result<(), String> {
        if let Some(ntlm) = &mut self.ntlm {
            ntlm.check(&heard)?;
        }
        match heard.status {
            Some(status) => self.answered(world, &heard, status),
            None => self.asked(world, dice, heard),
        }
    }

    pub fn answered(
        &mut self,
        world: &mut World,
        heard: &Heard,
        status: u16,
    ) -> Result<(), String> {
        let name = (heard.branch(), heard.method.clone());
        if status < 200 {
            return match self.pending.contains_key(&name) {
                true => Ok(()),
                false => Err(format!(
                    "a provisional answer to nothing:\n{}",
                    heard.full()
                )),
            };
        }
        let Some(mut pending) = self.pending.remove(&name) else {
            return Err(format!("answered twice, or never asked:\n{}", heard.full()));
        };
        if heard.method != "CANCEL" && self.late.remove(&name.0) && status != 503 {
            return Err(format!("the server stops, and answers\n{}", heard.full()));
        }
        if status == 401 {
            let value = match &mut self.ntlm {
                Some(ntlm) => ntlm.authorization(heard, &password(self.user)),
                None => authorization(
                    heard,
                    &heard.method,
                    &pending.uri,
                    &user_name(self.user),
                    &password(self.user),
                    1,
                ),
            };
            let Some(value) = value else {
                return Err("no challenge".to_owned());
            };
            if let Some((before, _)) = pending.lines.split_once("Authorization: ") {
                pending.lines.truncate(before.len());
            }
            pending.lines += &format!("Authorization: {value}\r\n");
            pending.cseq += 1;
            self.ask(world, &heard.method, pending);
            return Ok(());
        }
        match &*heard.method {
            "REGISTER" => {
                self.up = status == 200;
                Ok(())
            }
            "INVITE" => {
                self.invite_answered(world, heard, status, pending);
                Ok(())
            }
            // Who says BYE has hung up, whatever is answered.
            _ => {
                if let Some(part) = pending.part.filter(|_| status == 481) {
                    self.parts[part].disowned = true;
                }
                Ok(())
            }
        }
    }

    pub fn invite_answered(
        &mut self,
        world: &mut World,
        heard: &Heard,
        status: u16,
        pending: Pending,
    ) {
        let Some(index) = pending.part else { return };
        let again = self.parts[index].talks;
        if status >= 300 {
            let lines: String = pending
                .lines
                .split_inclusive("\r\n")
                .filter(|line| !line.starts_with("Con") && !line.starts_with("To: "))
                .collect();
            let ack = Pending {
                lines: format!("{lines}To: {}\r\n", heard.header("To").unwrap_or("")),
                body: String::new(),
                ..pending
            };
            return self.send(world, "ACK", &heard.branch(), &ack);
        }
        let part = &mut self.parts[index];
        // It was hung up while the re-INVITE was under way.
        let over = !part.talks && part.cseq > pending.cseq;
        part.remote = heard.header("To").unwrap_or("").to_owned();
        part.target = heard.contact().unwrap_or_default();
        let route: Vec<String> = heard.all("Record-Route").map(str::to_owned).collect();
        if !route.is_empty() {
            part.route = route.into_iter().rev().collect();
        }
        part.talks = !over;
        part.acked = true;
        let routes: String = part
            .route
            .iter()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        let ack = Pending {
            uri: part.target.clone(),
            lines: format!(
                "{routes}From: {}\r\nTo: {}\r\nCall-ID: {}\r\n",
                part.local, part.remote, part.call_id
            ),
            cseq: pending.cseq,
            body: String::new(),
            part: None,
            cancelled: false,
        };
        let branch = format!("z9hG4bK{}", self.fresh("b"));
        self.send(world, "ACK", &branch, &ack);
        if pending.cancelled && !again {
            self.hang_up(world, index);
        }
    }

    pub fn hang_up(&mut self, world: &mut World, index: usize) {
        if std::mem::take(&mut self.parts[index].talks) {
            self.within(world, index, "BYE", "");
        }
    }

    pub fn asked(
        &mut self,
        world: &mut World,
        dice: &mut Dice,
        heard: Heard,
    ) -> Result<(), String> {
        let to_tag = heard.to_tag();
        let name = (heard.call_id().to_owned(), heard.cseq());
        if heard.method == "INVITE" {
            self.invited.insert(name);
        } else if heard.method == "ACK" && !self.invited.contains(&name) {
            return Err(format!("an ACK of no INVITE:\n{}", heard.full()));
        }
        if heard.method == "NOTIFY" {
            self.told = heard.text();
            self.reply(world, &heard, 200, "", "");
            return Ok(());
        }
        if heard.method == "INVITE" && to_tag.is_empty() {
            let tag = self.fresh("t");
            self.parts.push(Part {
                call_id: heard.call_id().to_owned(),
                local: format!("{};tag={tag}", heard.header("To").unwrap_or("")),
                tag,
                remote: heard.header("From").unwrap_or("").to_owned(),
                target: heard.contact().unwrap_or_default(),
                route: heard.all("Record-Route").map(str::to_owned).collect(),
                cseq: 0,
                heard_cseq: heard.cseq(),
                rings: Some(heard),
                talks: false,
                disowned: false,
                acked: false,
            });
            return Ok(());
        }
        if heard.method == "CANCEL" {
            self.reply(world, &heard, 200, "c", "");
            let at = self.parts.iter_mut().position(|part| {
                part.rings
                    .as_ref()
                    .is_some_and(|invite| invite.branch() == heard.branch())
            });
            if let Some(at) = at
                && let Some(invite) = self.parts[at].rings.take()
            {
                let tag = self.parts[at].tag.clone();
                self.reply(world, &invite, 487, &tag, "");
            }
            return Ok(());
        }
        let Some(index) = self
            .parts
            .iter()
            .position(|part| part.call_id == heard.call_id() && part.tag == to_tag)
        else {
            return Err(format!("in a call that never was:\n{}", heard.full()));
        };
        if heard.method == "ACK" {
            self.parts[index].acked = true;
            return Ok(());
        }
        let part = &mut self.parts[index];
        if tag(&part.remote) != heard.from_tag() {
            // Of another fork, which it did not take: another dialog, with numbers of its own (RFC 3261 §12.1.2).
            self.reply(world, &heard, 481, "", "");
            return Ok(());
        }
        if heard.cseq() <= part.heard_cseq {
            return Err(format!("CSeq after {}:\n{}", part.heard_cseq, heard.full()));
        }
        part.heard_cseq = heard.cseq();
        if !part.talks {
            // It crossed our BYE.
            self.reply(world, &heard, 481, "", "");
            return Ok(());
        }
        match &*heard.method {
            "BYE" => {
                part.talks = false;
                self.reply(world, &heard, 200, "", "");
            }
            "INVITE" if dice.percent(30) => self.reply(world, &heard, 491, "", ""),
            "INVITE" => self.reply(world, &heard, 200, "", SDP),
            _ => self.reply(world, &heard, 200, "", ""),
        }
        Ok(())
    }

    /// Something rings: pick up, let ring, be busy, decline.
    pub fn attend(&mut self, world: &mut World, dice: &mut Dice, hurry: bool) -> bool {
        let ringing: Vec<usize> = (0..self.parts.len())
            .filter(|index| self.parts[*index].rings.is_some())
            .collect();
        let Some(&index) = dice.pick(&ringing) else {
            return false;
        };
        let tag = self.parts[index].tag.clone();
        let chance = dice.below(100);
        if chance < 25 && !hurry {
            if let Some(invite) = self.parts[index].rings.clone() {
                self.reply(world, &invite, 180, &tag, "");
            }
            return true;
        }
        let Some(invite) = self.parts[index].rings.take() else {
            return false;
        };
        match chance {
            25..=35 => self.reply(
                world,
                &invite,
                [486, 480, 603, 500][dice.below(4)],
                &tag,
                "",
            ),
            // Nobody is at home, and the phone does not say so.
            36..=38 => {}
            _ => {
                self.parts[index].talks = true;
                self.reply(world, &invite, 200, &tag, SDP);
            }
        }
        true
    }
}

impl Phone {
    /// Takes in all that came; gives the statuses of what was answered, and the requests that came by their method.
    pub fn take_all(&mut self, world: &mut World) -> Vec<String> {
        let mut dice = Dice::new(1);
        let bytes = self.socket.map(|socket| world.read(socket));
        let mut said = Vec::new();
        for heard in self.inbox.push(&bytes.unwrap_or_default()) {
            said.push(match heard.status {
                Some(status) => status.to_string(),
                None => heard.method.clone(),
            });
            self.hear(world, &mut dice, heard)
                .expect("nothing is wrong");
        }
        said
    }
}
