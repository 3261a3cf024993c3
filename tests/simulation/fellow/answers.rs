//! What comes of what a fellow has asked for.

use std::fmt::Write as _;

use muster::shard::change::Change;

use super::super::ledger::Ledger;
use super::{Fellow, Pending, Purpose, Scene, password, user_name};
use crate::client::{Heard, authorization};

/// What a request is answered that comes when its shard stops.
const STOPPING: (u16, &str) = (503, "The Server Is Stopping");

impl Fellow {
    pub(super) fn on_answer(&mut self, scene: &mut Scene<'_>, heard: Heard, status: u16) {
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
        if pending.late && (status, &*heard.reason) != STOPPING {
            scene.ledger.blame(format!(
                "fellow {}: the server stops, and {} was answered\n{}",
                self.index,
                pending.method,
                heard.full()
            ));
        }
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
        // A shard stops when it hears of it, and a client cannot know.
        let stopping = scene.ledger.some_stop && (status, &*heard.reason) == STOPPING;
        let shed = status == 503 && heard.reason == "Overloaded";
        if shed {
            self.check_shed(scene, &heard, &pending);
        }
        match pending.purpose {
            // It comes back later.
            Purpose::Register if shed || stopping => self.cut(scene),
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
                    |change| matches!(change, Change::Waiting { waiting, .. } if waiting.new == count),
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
            Purpose::Typing if !matches!(status, 200 | 481) && !stopping => {
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
            late: false,
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
    pub(super) fn learn_session(&self, ledger: &mut Ledger, leg: usize, heard: &Heard) {
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

    /// What was shed is told when to come back, and was nothing that goes on.
    fn check_shed(&self, scene: &mut Scene<'_>, heard: &Heard, pending: &Pending) {
        let after = heard
            .header("Retry-After")
            .and_then(|text| text.parse().ok());
        let has = |name: &str| pending.lines.lines().any(|line| line.starts_with(name));
        let in_dialog = pending
            .lines
            .lines()
            .any(|line| line.starts_with("To: ") && line.contains(";tag="));
        let goes_on = match pending.method {
            "BYE" | "ACK" | "CANCEL" | "INFO" => true,
            // A refresh, of whatever kind: without it everybody who is in would come in again.
            "REGISTER" => self.registered,
            "PUBLISH" => has("Expires: 0") || (has("SIP-If-Match: ") && pending.body.is_empty()),
            _ => in_dialog,
        };
        if goes_on || !matches!(after, Some(5..=60u32)) {
            let (method, lines, heard) = (pending.method, &pending.lines, heard.full());
            scene
                .ledger
                .blame(format!("shed: {method}\n{lines}\nwith\n{heard}"));
        }
    }
}
