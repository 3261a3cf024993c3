//! One endpoint of a soak's user: a small state machine that does the plan's deeds in standard SIP.
//!
//! No socket and no clock. What it says goes into a buffer, what it saw into the thread's `Sight`, its parts of sessions
//! to the auditor. A client that waits for nothing and talks with nobody holds 56 bytes, its entity tag, and of its
//! contacts 56 bytes, 50 of their dialog, and four for each.
//! What requests look like is `speech`, what comes of them `answer`, what the server asks `request`, what is watched
//! `subscription`; `check` judges messages.

mod answer;
mod request;
mod subscription;

use std::net::SocketAddr;

use muster::sip::dialog::Dialog;
use muster::sip::link::{Link, Transport};
use muster::sip::message::Message;

use self::subscription::{Contacts, Stage, Watch};
use super::check::{Letter, Part, pack};
use super::graph::Graph;
use super::planner::{Deed, Seats};
use super::published::Published;
use super::sight::Sight;
use super::speech;
use crate::account::Accounts;
use crate::content::Stamp;

/// What all clients of a run share.
pub struct World {
    pub accounts: Accounts,
    /// Tells this run's messages from another's.
    pub run: u32,
    pub seed: u64,
    pub seats: Seats,
    pub graph: Graph,
    pub published: Published,
    pub message_bytes: usize,
    pub publication_bytes: usize,
    pub poll_batch: u32,
    /// After so long a request counts as not answered.
    pub timeout_us: u64,
}

/// What waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    Register,
    Unregister,
    /// The subscription to the whole contact list.
    Contacts,
    /// The same in its dialog, before what was granted ends.
    Renew,
    Publish,
    Invite {
        session: u32,
    },
    Say {
        session: u32,
        sequence: u32,
    },
    Typing,
    Bye {
        session: u32,
    },
    Watch {
        number: u32,
    },
    Unwatch {
        number: u32,
    },
    /// `told`: its NOTIFY came before the answer.
    Poll {
        number: u32,
        told: bool,
    },
    /// No request: the first NOTIFY of what was granted, by the kind and the number of its Call-ID.
    FirstNotify {
        kind: u8,
        number: u32,
    },
}

impl Task {
    pub fn method(self) -> &'static str {
        match self {
            Task::Register | Task::Unregister => "REGISTER",
            Task::Contacts | Task::Renew | Task::Poll { .. } => "SUBSCRIBE",
            Task::Watch { .. } | Task::Unwatch { .. } | Task::FirstNotify { .. } => "SUBSCRIBE",
            Task::Publish => "PUBLISH",
            Task::Invite { .. } => "INVITE",
            Task::Say { .. } | Task::Typing => "MESSAGE",
            Task::Bye { .. } => "BYE",
        }
    }
}

/// What the thread has to do about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Registered,
    /// Signed off: the line may close.
    Off,
    /// The logon was refused; again after so long, if the server said so.
    LogonRefused {
        after_s: Option<u32>,
    },
    /// Shed: again after so long. It was meant for then, and that is what it is timed from.
    Again {
        task: Task,
        after_s: u32,
        intended_us: u64,
    },
}

/// Where a client says something: lent for one call.
pub struct Scene<'s> {
    pub world: &'s World,
    pub now_us: u64,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub out: &'s mut Vec<u8>,
    pub sight: &'s mut Sight,
    pub letters: &'s mut Vec<Letter>,
    pub turns: &'s mut Vec<Turn>,
}

impl Scene<'_> {
    pub fn link(&self) -> Link {
        Link {
            transport: Transport::Tls,
            local: self.local,
            peer: self.peer,
            moves: 0,
            failures: 0,
        }
    }
}

struct Pending {
    number: u32,
    task: Task,
    intended_us: u64,
    deadline_us: u64,
    challenged: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Our INVITE has no answer yet.
    Asking,
    Open,
    /// Our BYE has no answer yet: what crosses it still counts.
    Leaving,
}

/// Our part in a session, and its dialog.
struct Leg {
    session: u32,
    conference: bool,
    state: State,
    dialog: Dialog,
    part: Part,
    /// By the plan it is over for us, and there were so many.
    through: Option<u32>,
}

/// What only a busy client needs.
#[derive(Default)]
struct Busy {
    pending: Vec<Pending>,
    legs: Vec<Leg>,
    watches: Vec<Watch>,
    /// Sessions that the other side ended and the plan has not yet: at a right end it does so within the second.
    hung_up: Vec<u32>,
    /// A publication that waits for the answer to the one before (RFC 3903 §4).
    publish_next_us: Option<u64>,
}

/// Challenges answered for one request.
const CHALLENGES_MAX: u8 = 3;
/// Told to wait without a time: so long.
const RETRY_S: u32 = 5;
const RETRY_S_MAX: u32 = 600;

pub struct Client {
    seat: u32,
    /// Counts requests: CSeq outside of dialogs, and the branch of all.
    number: u32,
    /// When to register again, s of `clock`; 0 while not registered.
    refresh_s: u32,
    /// When to subscribe to the contacts again, likewise.
    renew_s: u32,
    /// The server said to wait until then, s of `clock`.
    quiet_s: u32,
    published: u32,
    tag: Option<Box<str>>,
    /// Boxed: who is not logged on has none.
    contacts: Option<Box<Contacts>>,
    busy: Option<Box<Busy>>,
}

impl Client {
    pub fn new(seat: u32) -> Client {
        Client {
            seat,
            number: 0,
            refresh_s: 0,
            renew_s: 0,
            quiet_s: 0,
            published: 0,
            tag: None,
            contacts: None,
            busy: None,
        }
    }

    pub fn seat(&self) -> u32 {
        self.seat
    }

    pub fn is_registered(&self) -> bool {
        self.refresh_s != 0
    }

    /// Nothing waits for an answer.
    pub fn is_quiet(&self) -> bool {
        self.busy
            .as_ref()
            .is_none_or(|busy| busy.pending.is_empty())
    }

    /// The line is open: registers.
    pub fn log_on(&mut self, intended_us: u64, scene: &mut Scene<'_>) {
        self.begin(Task::Register, intended_us, 0, None, scene);
    }

    /// Does what the plan says. Logons and drops are the thread's.
    pub fn act(&mut self, deed: &Deed, intended_us: u64, scene: &mut Scene<'_>) {
        let user = scene.world.seats.user_of(self.seat);
        let waits = scene.now_us < u64::from(self.quiet_s) * 1_000_000;
        match deed {
            Deed::Publish
            | Deed::Watch { .. }
            | Deed::Poll { .. }
            | Deed::Invite { .. }
            | Deed::Gather { .. }
                if waits =>
            {
                scene.sight.counts.held_back += 1;
            }
            Deed::Publish => self.publish(intended_us, scene),
            Deed::Invite { session, callee } => {
                let target = scene.world.accounts.uri(*callee);
                self.invite(user, *session, &target, &[], intended_us, scene);
            }
            Deed::Gather { session, members } => {
                let target = format!("sip:conference@{}", scene.world.accounts.domain);
                self.invite(user, *session, &target, members, intended_us, scene);
            }
            Deed::Say { session, sequence } => {
                self.say(user, *session, *sequence, intended_us, scene)
            }
            Deed::Typing { session } => {
                let branch = branch(scene, self.seat, self.number + 1);
                let Some(leg) = self.open_leg(*session) else {
                    scene.sight.counts.skipped += 1;
                    return;
                };
                speech::typing(&mut leg.dialog, &scene.link(), &branch, scene.out);
                self.pend(Task::Typing, intended_us, 0, scene);
            }
            Deed::Leave { session, parts } => self.leave(*session, *parts, scene),
            Deed::Watch { presentity, number } => {
                self.watch(user, *presentity, *number, intended_us, scene)
            }
            Deed::Unwatch { number } => self.unwatch(*number, intended_us, scene),
            Deed::Poll { number } => {
                self.number += 1;
                let frame = self.frame(scene);
                speech::poll(&frame, scene.world, user, *number, scene.out);
                self.number -= 1;
                let (number, told) = (*number, false);
                self.pend(Task::Poll { number, told }, intended_us, 0, scene);
            }
            Deed::LogOff => self.begin(Task::Unregister, intended_us, 0, None, scene),
            Deed::LogOn { .. } | Deed::Drop => {}
        }
    }

    /// Does again what was shed.
    pub fn again(&mut self, task: Task, intended_us: u64, scene: &mut Scene<'_>) {
        match task {
            Task::Publish => self.publish(intended_us, scene),
            Task::Contacts => self.begin(Task::Contacts, intended_us, 0, None, scene),
            Task::Renew => self.renew(scene),
            _ => {}
        }
    }

    /// Gives up what has waited too long, and registers and subscribes again when it is time.
    pub fn sweep(&mut self, scene: &mut Scene<'_>) {
        if let Some(busy) = &mut self.busy {
            let mut late = Vec::new();
            busy.pending.retain(|pending| {
                let keep = pending.deadline_us > scene.now_us;
                if !keep {
                    late.push((pending.task, pending.intended_us));
                }
                keep
            });
            for (task, intended_us) in late {
                let (counts, faults) = (&mut scene.sight.counts, &mut scene.sight.faults);
                if let Task::FirstNotify { kind, .. } = task {
                    counts.untold += 1;
                    let what = match kind {
                        speech::LIST => "the contact list",
                        speech::POLL => "a poll",
                        _ => "one presentity",
                    };
                    faults.add(format!("{what} granted, and no NOTIFY came"), 1);
                } else {
                    counts.unanswered += 1;
                    faults.add(format!("{} not answered", task.method()), 1);
                }
                self.ended_without(task, intended_us, None, scene);
            }
        }
        if self.is_registered() && scene.now_us / 1_000_000 >= u64::from(self.refresh_s) {
            self.refresh_s = seconds(scene.now_us).saturating_add(60);
            self.begin(Task::Register, scene.now_us, 0, None, scene);
        }
        if self.renew_s != 0 && scene.now_us / 1_000_000 >= u64::from(self.renew_s) {
            self.renew(scene);
        }
    }

    /// The connection is gone: nothing that waits will be answered, and all sessions are over.
    pub fn cut_off(&mut self, now_us: u64, letters: &mut Vec<Letter>) {
        (self.refresh_s, self.renew_s) = (0, 0);
        self.tag = None;
        self.contacts = None;
        if let Some(busy) = self.busy.take() {
            for leg in busy.legs {
                end(leg, now_us, letters);
            }
        }
    }

    /// Takes a whole message of the server.
    pub fn take(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) {
        match message.status() {
            Some(status) if status >= 200 => self.on_answer(message, status, scene),
            Some(_) => {}
            None => self.on_request(message, scene),
        }
        if self.busy.as_ref().is_some_and(|busy| {
            busy.pending.is_empty()
                && busy.legs.is_empty()
                && busy.watches.is_empty()
                && busy.hung_up.is_empty()
        }) {
            self.busy = None;
        }
    }

    fn publish(&mut self, intended_us: u64, scene: &mut Scene<'_>) {
        let busy = self.busy.get_or_insert_default();
        if busy
            .pending
            .iter()
            .any(|pending| pending.task == Task::Publish)
        {
            busy.publish_next_us = Some(intended_us);
            return;
        }
        self.begin(Task::Publish, intended_us, 0, None, scene);
    }

    fn invite(
        &mut self,
        user: u32,
        session: u32,
        target: &str,
        members: &[u32],
        intended_us: u64,
        scene: &mut Scene<'_>,
    ) {
        self.number += 1;
        let call_id = format!("i{:08x}-{}-{}", scene.world.run, self.seat, self.number);
        let tag = format!("{:x}.{:x}", self.seat, self.number);
        let from = scene.world.accounts.uri(user);
        let mut dialog = Dialog::asking(&call_id, &from, &tag, target, target);
        let frame = self.frame(scene);
        speech::invite(
            &frame,
            &mut dialog,
            scene.world,
            user,
            session,
            members,
            scene.out,
        );
        self.number -= 1;
        let part = Part::new(user);
        self.busy.get_or_insert_default().legs.push(Leg {
            session,
            conference: !members.is_empty(),
            state: State::Asking,
            dialog,
            part,
            through: None,
        });
        self.pend(Task::Invite { session }, intended_us, 0, scene);
    }

    fn say(
        &mut self,
        user: u32,
        session: u32,
        sequence: u32,
        intended_us: u64,
        scene: &mut Scene<'_>,
    ) {
        let branch = branch(scene, self.seat, self.number + 1);
        let Some(leg) = self.open_leg(session) else {
            scene.sight.counts.skipped += 1;
            scene.sight.counts.hung_up += u64::from(self.was_hung_up(session));
            return;
        };
        let stamp = Stamp {
            run: scene.world.run,
            sender: user,
            sequence: pack(session, sequence),
            intended_us,
        };
        leg.part.sent(scene.now_us);
        let (link, bytes) = (scene.link(), scene.world.message_bytes);
        speech::say(&mut leg.dialog, &link, &branch, &stamp, bytes, scene.out);
        self.pend(Task::Say { session, sequence }, intended_us, 0, scene);
    }

    fn leave(&mut self, session: u32, parts: u32, scene: &mut Scene<'_>) {
        let branch = branch(scene, self.seat, self.number + 1);
        let link = scene.link();
        if let Some(busy) = &mut self.busy {
            busy.hung_up.retain(|ended| *ended != session);
        }
        let Some(leg) = self.leg(session) else {
            scene.letters.push(Letter::Through { session, parts });
            return;
        };
        leg.through = Some(parts);
        if leg.state != State::Open {
            // Not answered yet: it ends with the answer's time.
            return;
        }
        leg.state = State::Leaving;
        if let Some((_, until_us)) = &mut leg.part.heard_us {
            *until_us = scene.now_us;
        }
        speech::bye(&mut leg.dialog, &link, &branch, scene.out);
        self.pend(Task::Bye { session }, scene.now_us, 0, scene);
    }

    fn watch(
        &mut self,
        user: u32,
        presentity: u32,
        number: u32,
        intended_us: u64,
        scene: &mut Scene<'_>,
    ) {
        let world = scene.world;
        let mut dialog = speech::watching(world, self.seat, user, presentity, number);
        self.number += 1;
        let frame = self.frame(scene);
        speech::subscribe(&frame, &mut dialog, world, user, speech::SHORT_S, scene.out);
        self.number -= 1;
        let watch = Watch::new(number, presentity, dialog, scene.now_us);
        self.busy.get_or_insert_default().watches.push(watch);
        self.pend(Task::Watch { number }, intended_us, 0, scene);
    }

    fn unwatch(&mut self, number: u32, intended_us: u64, scene: &mut Scene<'_>) {
        let user = scene.world.seats.user_of(self.seat);
        self.number += 1;
        let frame = self.frame(scene);
        self.number -= 1;
        match self.watch_of(number) {
            Some(watch) if !watch.dialog.remote_tag().is_empty() => {
                watch.stage = Stage::Ending;
                speech::subscribe(&frame, &mut watch.dialog, scene.world, user, 0, scene.out);
                self.pend(Task::Unwatch { number }, intended_us, 0, scene);
            }
            // It was refused or shed, or the line was cut since.
            Some(_) | None => scene.sight.counts.skipped += 1,
        }
    }

    /// Writes a request that is no dialog's, and remembers that it waits.
    fn begin(
        &mut self,
        task: Task,
        intended_us: u64,
        challenged: u8,
        credentials: Option<&str>,
        scene: &mut Scene<'_>,
    ) {
        let world = scene.world;
        let user = world.seats.user_of(self.seat);
        self.number += 1;
        let frame = self.frame(scene);
        match task {
            Task::Register => speech::register(
                &frame,
                world,
                user,
                speech::EXPIRES_S,
                credentials,
                scene.out,
            ),
            Task::Unregister => speech::register(&frame, world, user, 0, credentials, scene.out),
            Task::Contacts => {
                let list = world.graph.contacts(user);
                let contacts = Contacts::new(self.number, &list, scene.now_us);
                self.contacts = Some(Box::new(contacts));
                speech::contacts(&frame, world, user, list, scene.out);
            }
            Task::Publish => {
                let stamp = Stamp {
                    run: world.run,
                    sender: user,
                    sequence: self.published,
                    intended_us,
                };
                self.published += 1;
                speech::publish(&frame, world, &stamp, self.tag.as_deref(), scene.out);
            }
            _ => unreachable!("requests in dialogs are written where their dialog is"),
        }
        self.number -= 1;
        self.pend(task, intended_us, challenged, scene);
    }

    /// The request just written, with the next number, waits for its answer.
    fn pend(&mut self, task: Task, intended_us: u64, challenged: u8, scene: &mut Scene<'_>) {
        self.number += 1;
        self.busy.get_or_insert_default().pending.push(Pending {
            number: self.number,
            task,
            intended_us,
            deadline_us: scene.now_us + scene.world.timeout_us,
            challenged,
        });
    }

    fn frame(&self, scene: &Scene<'_>) -> speech::Frame {
        speech::Frame {
            seat: self.seat,
            number: self.number,
            branch: branch(scene, self.seat, self.number),
            link: scene.link(),
        }
    }

    fn leg(&mut self, session: u32) -> Option<&mut Leg> {
        self.busy
            .as_mut()?
            .legs
            .iter_mut()
            .find(|leg| leg.session == session)
    }

    fn was_hung_up(&self, session: u32) -> bool {
        let busy = self.busy.as_ref();
        busy.is_some_and(|busy| busy.hung_up.contains(&session))
    }

    fn open_leg(&mut self, session: u32) -> Option<&mut Leg> {
        self.leg(session).filter(|leg| leg.state == State::Open)
    }

    fn leg_of(&mut self, message: &Message<'_>) -> Option<&mut Leg> {
        self.busy
            .as_mut()?
            .legs
            .iter_mut()
            .find(|leg| leg.dialog.owns(message))
    }

    fn drop_leg(&mut self, session: u32, scene: &mut Scene<'_>) {
        if let Some(busy) = &mut self.busy
            && let Some(at) = busy.legs.iter().position(|leg| leg.session == session)
        {
            end(busy.legs.swap_remove(at), scene.now_us, scene.letters);
        }
    }

    /// It has said that it goes, and what it began before may end so.
    fn signs_off(&self) -> bool {
        let pending = self.busy.iter().flat_map(|busy| &busy.pending);
        pending
            .into_iter()
            .any(|pending| pending.task == Task::Unregister)
    }
}

/// Hands the part over, and says that all is over where the plan is.
fn end(mut leg: Leg, now_us: u64, letters: &mut Vec<Letter>) {
    if let Some((_, until_us)) = &mut leg.part.heard_us {
        *until_us = (*until_us).min(now_us);
    }
    let session = leg.session;
    letters.push(Letter::Part {
        session,
        conference: leg.conference,
        part: leg.part,
    });
    if let Some(parts) = leg.through {
        letters.push(Letter::Through { session, parts });
    }
}

fn branch(scene: &Scene<'_>, seat: u32, number: u32) -> String {
    format!("z9hG4bK{:08x}-{seat}-{number}", scene.world.run)
}

/// When to ask again for what was granted now, s of `clock`: when four fifths of it are over.
fn again_s(now_us: u64, granted_s: u32) -> u32 {
    seconds(now_us).saturating_add(granted_s / 10 * 8).max(1)
}

fn seconds(us: u64) -> u32 {
    u32::try_from(us / 1_000_000).unwrap_or(u32::MAX)
}
