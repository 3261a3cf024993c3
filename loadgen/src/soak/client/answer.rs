//! What comes of a client's own requests: answers, refusals, silence.

use muster::sip::header::Name;
use muster::sip::message::Message;

use super::{
    CHALLENGES_MAX, Client, RETRY_S, RETRY_S_MAX, Scene, State, Task, Turn, branch, seconds,
};
use crate::soak::sight::Timed;
use crate::soak::speech;
use crate::user::challenge_of;

impl Client {
    pub(super) fn on_answer(&mut self, message: &Message<'_>, status: u16, scene: &mut Scene<'_>) {
        let number = message
            .via()
            .branch()
            .rsplit('-')
            .next()
            .and_then(|number| number.parse::<u32>().ok());
        let Some(busy) = &mut self.busy else { return };
        let Some(at) = busy
            .pending
            .iter()
            .position(|pending| Some(pending.number) == number)
        else {
            // To what was given up: it is counted there.
            return;
        };
        let pending = busy.pending.swap_remove(at);
        let (task, intended_us) = (pending.task, pending.intended_us);
        if message.cseq().method != task.method() {
            scene
                .sight
                .faults
                .add("an answer with another CSeq than the request's".into(), 1);
        }
        if matches!(status, 401 | 407)
            && pending.challenged < CHALLENGES_MAX
            && matches!(task, Task::Register | Task::Unregister)
            && let Some((challenge, is_stale)) = challenge_of(message, status)
            && (pending.challenged == 0 || is_stale)
        {
            let accounts = &scene.world.accounts;
            let user = scene.world.seats.user_of(self.seat);
            let value = challenge.answer(
                &accounts.name(user),
                &accounts.password(user),
                "REGISTER",
                &format!("sip:{}", accounts.domain),
                &format!("{:08x}{:x}.{:x}", scene.world.run, self.seat, self.number),
            );
            self.begin(
                task,
                intended_us,
                pending.challenged + 1,
                Some(&value),
                scene,
            );
            return;
        }
        // 481 to a BYE: they hung up at the same time.
        if (200..300).contains(&status) || (status == 481 && matches!(task, Task::Bye { .. })) {
            self.succeeded(task, intended_us, message, scene);
        } else {
            if let Task::Invite { session } = task
                && let Some(leg) = busy.legs.iter().find(|leg| leg.session == session)
            {
                let tag = message.to().tag().unwrap_or_default();
                let branch = branch(scene, self.seat, pending.number);
                let link = scene.link();
                leg.dialog
                    .follow_up(scene.out, "ACK", &link, branch, message.cseq().number, tag)
                    .finish();
            }
            let after_s = (status == 503).then(|| {
                let asked = message.header(Name::RetryAfter).and_then(|value| {
                    value
                        .split([';', ' ', '('])
                        .next()?
                        .trim()
                        .parse::<u32>()
                        .ok()
                });
                asked.unwrap_or(RETRY_S).clamp(1, RETRY_S_MAX)
            });
            if let Some(after_s) = after_s {
                scene.sight.counts.shed += 1;
                self.quiet_s = seconds(scene.now_us).saturating_add(after_s);
            } else if status == 412 && task == Task::Publish && self.tag.take().is_some() {
                // The publication is gone there: publish anew (RFC 3903 §4.5).
                self.publish(intended_us, scene);
                return;
            } else {
                scene.sight.counts.refused += 1;
                scene
                    .sight
                    .refusals
                    .add(format!("{} answered {status}", task.method()), 1);
            }
            self.ended_without(task, after_s, scene);
        }
        if task == Task::Publish
            && let Some(intended_us) = self
                .busy
                .as_mut()
                .and_then(|busy| busy.publish_next_us.take())
        {
            self.publish(intended_us, scene);
        }
    }

    fn succeeded(
        &mut self,
        task: Task,
        intended_us: u64,
        message: &Message<'_>,
        scene: &mut Scene<'_>,
    ) {
        let mut time = |what| {
            scene
                .sight
                .interval
                .record(what, scene.now_us.saturating_sub(intended_us))
        };
        match task {
            Task::Register => {
                let was_registered = self.is_registered();
                let granted_s = crate::user::granted_s(message).unwrap_or(speech::EXPIRES_S);
                self.refresh_s = seconds(scene.now_us)
                    .saturating_add(granted_s / 10 * 8)
                    .max(1);
                if !was_registered {
                    time(Timed::LogOn);
                    scene.sight.counts.logons += 1;
                    scene.turns.push(Turn::Registered);
                    self.begin(Task::Contacts, scene.now_us, 0, None, scene);
                    if scene.world.seats.is_first(self.seat) {
                        self.publish(scene.now_us, scene);
                    }
                }
            }
            Task::Unregister => scene.turns.push(Turn::Off),
            Task::Contacts | Task::Poll => time(Timed::Subscribed),
            Task::Publish => {
                time(Timed::Published);
                self.tag = message.header(Name::SipEtag).map(Box::from);
            }
            Task::Invite { session } => {
                time(Timed::Invited);
                let (seat, number) = (self.seat, self.number + 1);
                if let Some(leg) = self.leg(session) {
                    if leg.dialog.accepted(message).is_err() {
                        scene
                            .sight
                            .faults
                            .add("a 200 to INVITE without Contact or tag".into(), 1);
                        self.drop_leg(session, scene);
                        return;
                    }
                    leg.dialog.acknowledge_2xx(
                        scene.out,
                        &scene.link(),
                        branch(scene, seat, number),
                    );
                    leg.state = State::Open;
                    leg.part.heard_us = Some((scene.now_us, u64::MAX));
                    self.number += 1;
                }
            }
            Task::Say { session, sequence } => {
                time(Timed::Answered);
                scene.sight.counts.accepted += 1;
                if let Some(leg) = self.leg(session) {
                    leg.part.accepted(sequence, scene.now_us);
                }
            }
            Task::Typing => {}
            Task::Bye { session } => self.drop_leg(session, scene),
            Task::Watch { number } => {
                time(Timed::Subscribed);
                if let Some(watch) = self.watch_of(number)
                    && watch.dialog.accepted(message).is_err()
                {
                    scene
                        .sight
                        .faults
                        .add("a 200 to SUBSCRIBE without Contact or tag".into(), 1);
                }
            }
            Task::Unwatch { number } => self.forget_watch(number),
        }
    }

    /// A request came to nothing: refused, shed (`after_s`), or not answered.
    pub(super) fn ended_without(
        &mut self,
        task: Task,
        after_s: Option<u32>,
        scene: &mut Scene<'_>,
    ) {
        match task {
            Task::Register => {
                self.refresh_s = 0;
                scene.turns.push(Turn::LogonRefused { after_s });
            }
            Task::Unregister => scene.turns.push(Turn::Off),
            Task::Contacts | Task::Publish => {
                if let Some(after_s) = after_s {
                    scene.turns.push(Turn::Again { task, after_s });
                }
            }
            Task::Invite { session } | Task::Bye { session } => self.drop_leg(session, scene),
            Task::Watch { number } | Task::Unwatch { number } => self.forget_watch(number),
            Task::Say { .. } | Task::Typing | Task::Poll => {}
        }
    }
}
