//! What the server asks of a client: invitations, messages and their checks. Of NOTIFY is only the answer here.

use muster::sip::build;
use muster::sip::dialog::Dialog;
use muster::sip::header::Name;
use muster::sip::message::{Message, Method};

use super::{Client, Leg, Scene, State};
use crate::content::Stamp;
use crate::soak::check::{Heard, Part, unpack};
use crate::soak::sight::Timed;
use crate::soak::speech::{self, ISCOMPOSING_TYPE};

impl Client {
    pub(super) fn on_request(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) {
        match message.method() {
            Method::Ack => {
                if let Some(leg) = self.leg_of(message)
                    && leg.part.heard_us.is_none()
                {
                    leg.part.heard_us = Some((scene.now_us, u64::MAX));
                }
            }
            Method::Invite => self.on_invite(message, scene),
            Method::Message => {
                let status = self.on_message(message, scene);
                build::response(scene.out, message, status, Some("x")).finish();
            }
            Method::Notify => {
                let status = self.on_notify(message, scene);
                build::response(scene.out, message, status, Some("x")).finish();
            }
            Method::Bye => {
                let session = self.leg_of(message).map(|leg| leg.session);
                let status = if session.is_some() { 200 } else { 481 };
                build::response(scene.out, message, status, Some("x")).finish();
                if let Some(session) = session {
                    if self.open_leg(session).is_some() {
                        self.busy.get_or_insert_default().hung_up.push(session);
                    }
                    self.drop_leg(session, scene);
                }
            }
            // INVITEs are answered at once, so there is nothing left to cancel.
            Method::Cancel => build::response(scene.out, message, 481, Some("x")).finish(),
            _ => build::response(scene.out, message, 200, Some("x")).finish(),
        }
    }

    fn on_invite(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) {
        let user = scene.world.seats.user_of(self.seat);
        let contact = speech::contact(&scene.world.accounts, user, scene.local);
        if self.leg_of(message).is_some() {
            let mut draft = build::response(scene.out, message, 200, None);
            draft.header("Contact", contact);
            draft.body("application/sdp", &speech::sdp(scene.local));
            return;
        }
        let session = message.header(Name::Subject).and_then(speech::session_of);
        self.number += 1;
        let tag = format!("{:x}.{:x}", self.seat, self.number);
        let dialog = Dialog::answering(message, &tag);
        let (true, Some(session), Ok(dialog)) =
            (scene.world.seats.is_first(self.seat), session, dialog)
        else {
            // A second endpoint leaves it to the first; a stranger's session is not ours.
            build::response(scene.out, message, 480, Some(&tag)).finish();
            return;
        };
        let mut draft = build::response(scene.out, message, 200, Some(&tag));
        draft.header("Contact", contact);
        draft.body("application/sdp", &speech::sdp(scene.local));
        let conference = message
            .header(Name::Contact)
            .is_some_and(|contact| contact.contains(";isfocus"));
        self.busy.get_or_insert_default().legs.push(Leg {
            session,
            conference,
            state: State::Open,
            dialog,
            part: Part::new(user),
            through: None,
        });
    }

    fn on_message(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) -> u16 {
        let world = scene.world;
        let is_typing = message
            .header(Name::ContentType)
            .is_some_and(|value| value.starts_with(ISCOMPOSING_TYPE));
        let speaker = speech::speaker(message, &world.accounts);
        let stamp = Stamp::read_whole(message.body(), world.message_bytes);
        if stamp.is_some_and(|stamp| stamp.run != world.run) {
            scene.sight.counts.strangers += 1;
            return 200;
        }
        let seat = self.seat;
        let Some(leg) = self.leg_of(message) else {
            // A dialog that was ours until we gave it up: the sender is told 481, and knows.
            let tag = message.to().tag().unwrap_or_default();
            if tag.starts_with(&format!("{seat:x}.")) {
                scene.sight.counts.strays += 1;
            } else if let Some(stamp) = stamp {
                scene.sight.counts.misdelivered += 1;
                scene.sight.example(|| {
                    format!(
                        "misdelivered: user {}'s message in session {} came to seat {seat}",
                        stamp.sender,
                        unpack(stamp.sequence).0
                    )
                });
            }
            return 481;
        };
        if leg.dialog.take_cseq(message.cseq().number).is_err() {
            scene
                .sight
                .faults
                .add("a MESSAGE with a CSeq that does not rise".into(), 1);
            return 500;
        }
        if is_typing {
            scene.sight.counts.typing_heard += 1;
            return 200;
        }
        let Some(speaker) = speaker else {
            scene.sight.counts.reports += 1;
            return 200;
        };
        let Some(stamp) = stamp.filter(|stamp| stamp.sender == speaker) else {
            scene.sight.counts.altered += 1;
            let session = leg.session;
            scene.sight.example(|| {
                format!("altered: session {session}, from user {speaker} to seat {seat}")
            });
            return 200;
        };
        let (session, sequence) = unpack(stamp.sequence);
        if session != leg.session || stamp.sender == leg.part.member {
            scene.sight.counts.misdelivered += 1;
            scene.sight.example(|| {
                format!("misdelivered: user {speaker}'s message in session {session} came in another dialog of seat {seat}")
            });
            return 200;
        }
        scene.sight.counts.heard += 1;
        let what = match leg.part.hears(stamp.sender, sequence) {
            Heard::New => {
                scene.sight.interval.record(
                    Timed::Delivered,
                    scene.now_us.saturating_sub(stamp.intended_us),
                );
                return 200;
            }
            Heard::Duplicated => {
                scene.sight.counts.duplicated += 1;
                "duplicated"
            }
            Heard::Reordered => {
                scene.sight.counts.reordered += 1;
                "reordered"
            }
        };
        scene.sight.example(|| {
            format!(
                "{what}: session {session}, from user {speaker} to seat {seat}, message {sequence}"
            )
        });
        200
    }
}
