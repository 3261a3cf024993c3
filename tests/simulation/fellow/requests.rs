//! What the server asks of a fellow, and how it answers: at once, later or never.

use super::{COMPOSING, CONTACTS, Fellow, KEYBOARD, Purpose, SDP, Scene};
use crate::client::Heard;

impl Fellow {
    pub(super) fn on_request(&mut self, scene: &mut Scene<'_>, heard: Heard) {
        let name = (heard.call_id().to_owned(), heard.cseq());
        if heard.method == "INVITE" {
            self.invited.insert(name.clone());
        }
        if heard.method == "ACK" {
            if !self.invited.contains(&name) {
                let blame = format!("an ACK of no INVITE:\n{}", heard.full());
                scene.ledger.blame(blame);
            }
            self.acks_due.remove(&name);
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
                // Who is in a session of two that becomes a conference is moved over, not rung; and who has said BYE to it
                // is still in it as long as that is on its way.
                let mut pending = self.pending.values();
                let talks = self
                    .dialogs
                    .iter()
                    .any(|dialog| dialog.leg.is_some() && !dialog.ended)
                    || pending.any(|pending| matches!(pending.purpose, Purpose::Bye));
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
}

fn offers_messages(invite: &Heard) -> bool {
    invite.text().contains("m=message ")
}

/// A message that its own user has sent from another endpoint.
fn is_copy(heard: &Heard) -> bool {
    heard.header("Muster-Copy-Of").is_some()
}

fn number_in(heard: &Heard) -> Option<usize> {
    let text = String::from_utf8_lossy(&heard.body).into_owned();
    text.split_once("msg-")?.1.split_once(';')?.0.parse().ok()
}

/// The user in an address of `user17@example.com`, if it is one.
fn user_in(address: &str) -> Option<usize> {
    let (_, rest) = address.split_once("sip:user")?;
    rest.split_once('@')?.0.parse().ok()
}
