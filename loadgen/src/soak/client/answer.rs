//! What comes of a client's own requests: answers, refusals, silence.

use muster::sip::header::Name;
use muster::sip::message::Message;

use super::subscription::Stage;
use super::{
    CHALLENGES_MAX, Client, RETRY_S, RETRY_S_MAX, Scene, State, Task, Turn, again_s, branch,
    seconds,
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
        let may_be_shed = self.may_be_shed(task);
        scene.sight.counts.sheddable += u64::from(may_be_shed);
        // 481 to a BYE: they hung up at the same time.
        if (200..300).contains(&status) || (status == 481 && matches!(task, Task::Bye { .. })) {
            self.succeeded(task, intended_us, message, scene);
        } else {
            let mut calls_conference = false;
            let branch = branch(scene, self.seat, pending.number);
            if let Task::Invite { session } = task
                && let Some(leg) = self.leg(session)
            {
                calls_conference = leg.conference;
                let tag = message.to().tag().unwrap_or_default();
                let link = scene.link();
                leg.dialog
                    .follow_up(scene.out, "ACK", &link, branch, message.cseq().number, tag)
                    .finish();
            }
            // Without a time to come again a 503 sheds no load: it is a failure (RFC 3261 §21.5.4).
            let asked = message
                .header(Name::RetryAfter)
                .filter(|_| status == 503)
                .map(|value| {
                    let number = value.split([';', ' ', '(']).next().map(str::trim);
                    number.and_then(|number| number.parse().ok())
                });
            let after_s = asked.map(|asked| asked.unwrap_or(RETRY_S).clamp(1, RETRY_S_MAX));
            if let Some(after_s) = after_s {
                scene.sight.counts.shed += 1;
                if !may_be_shed {
                    let what = format!("{} shed, which goes on", task.method());
                    scene.sight.counts.wrongly_refused += 1;
                    scene.sight.faults.add(what, 1);
                }
                self.quiet_s = seconds(scene.now_us).saturating_add(after_s);
            } else if status == 412 && task == Task::Publish && self.tag.take().is_some() {
                // The publication is gone there: publish anew (RFC 3903 §4.5).
                self.publish(intended_us, scene);
                return;
            } else {
                self.refused(task, calls_conference, status, scene);
            }
            self.ended_without(task, intended_us, after_s, scene);
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
                self.refresh_s = again_s(scene.now_us, granted_s);
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
            Task::Contacts | Task::Renew | Task::Watch { .. } | Task::Poll { .. } => {
                time(Timed::Subscribed);
                self.granted(task, message, scene);
            }
            Task::Publish => {
                time(Timed::Published);
                self.tag = message.header(Name::SipEtag).map(Box::from);
                let user = scene.world.seats.user_of(self.seat);
                let granted_s = message.expires().unwrap_or(speech::PUBLISH_EXPIRES_S);
                // One at a time is under way, so it is the last that was written.
                let published = &scene.world.published;
                published.taken(user, self.published, scene.now_us, granted_s);
            }
            Task::Invite { session } => {
                time(Timed::Invited);
                scene.sight.counts.invited += 1;
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
                        message.cseq().number,
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
            Task::Unwatch { number } => self.unwatched(number),
            Task::FirstNotify { .. } => {}
        }
    }

    /// Whether a server with too much to do may put it off: what begins, asks once, or says something new. What goes on it
    /// carries through (README): what is said in a dialog, what is asked for again, what ends.
    fn may_be_shed(&self, task: Task) -> bool {
        match task {
            Task::Register => !self.is_registered(),
            Task::Contacts | Task::Watch { .. } | Task::Poll { .. } => true,
            // It always has a document, so it is no refresh (RFC 3903 §4.3).
            Task::Publish | Task::Invite { .. } => true,
            Task::Unregister | Task::Renew | Task::Unwatch { .. } => false,
            Task::Say { .. } | Task::Typing | Task::Bye { .. } | Task::FirstNotify { .. } => false,
        }
    }

    /// Counts a refusal, as one that a right server may give or as a fault.
    fn refused(&mut self, task: Task, calls_conference: bool, status: u16, scene: &mut Scene<'_>) {
        let now_us = scene.now_us;
        let sight = &mut *scene.sight;
        let what = format!("{} answered {status}", task.method());
        sight.counts.refused += 1;
        // By the plan who is called or written to is there; but they may have gone on the way, been cut off by an act, or not
        // been let in (503). 404 and 486 are never right, for all users exist and none is ever busy; nor is 487, for nobody
        // cancels. A 481 to BYE and a 412 for a tag of ours were taken as what they are before.
        let is_right = match task {
            _ if self.signs_off() => true,
            Task::Invite { .. } => status == 480 && !calls_conference,
            Task::Say { .. } | Task::Typing => matches!(status, 480 | 481),
            Task::Unwatch { number } => {
                let watch = self.watch_of(number);
                status == 481 && watch.is_some_and(|watch| watch.has_ended(now_us))
            }
            _ => false,
        };
        if is_right {
            let counts = &mut sight.counts;
            counts.absent += u64::from(matches!(task, Task::Invite { .. }));
            counts.parted += u64::from(matches!(task, Task::Say { .. }));
            sight.refusals.add(what, 1);
            return;
        }
        sight.counts.wrongly_refused += 1;
        if !sight.faults.iter().any(|(known, _)| known == what) {
            sight.example(|| format!("refused: seat {}'s {what}", self.seat));
        }
        sight.faults.add(what, 1);
    }

    /// A request came to nothing: refused, shed (`after_s`), or not answered.
    pub(super) fn ended_without(
        &mut self,
        task: Task,
        intended_us: u64,
        after_s: Option<u32>,
        scene: &mut Scene<'_>,
    ) {
        match task {
            Task::Register => {
                self.refresh_s = 0;
                scene.turns.push(Turn::LogonRefused { after_s });
            }
            Task::Unregister => scene.turns.push(Turn::Off),
            Task::Contacts | Task::Renew | Task::Publish => {
                if task == Task::Contacts {
                    self.contacts = None;
                }
                if let Some(after_s) = after_s {
                    scene.turns.push(Turn::Again {
                        task,
                        after_s,
                        intended_us,
                    });
                }
            }
            Task::Invite { session } | Task::Bye { session } => self.drop_leg(session, scene),
            Task::Watch { number } | Task::Unwatch { number } => self.forget_watch(number),
            Task::FirstNotify { kind, number } => {
                let watch = self.watch_of(number);
                if kind == speech::WATCH && watch.is_some_and(|watch| watch.stage == Stage::Over) {
                    self.forget_watch(number);
                }
            }
            Task::Say { .. } | Task::Typing | Task::Poll { .. } => {}
        }
    }
}
