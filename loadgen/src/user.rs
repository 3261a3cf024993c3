//! One simulated client: a small state machine that is asked to do things, reads SIP and writes SIP.
//!
//! No socket and no clock: what it says goes into a buffer, what it learnt into a list of facts. It speaks only
//! standard SIP, so any server will do. A user that waits for nothing holds 32 bytes.
//! Its connection is `line`; what it is asked to do is `plan`; whether contents are right is `content`; what it writes is
//! `wording`.

mod wording;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;

use muster::sip::build;
use muster::sip::header::{AuthParams, Contacts, Name, SubscriptionState};
use muster::sip::message::{Message, Method};

use self::wording::{FOLLOW, branch, follow_call_id, local_tag, newest_stamp, presentity_of};
use crate::account::Accounts;
use crate::content::Stamp;
use crate::digest::{Algorithm, Challenge};
use crate::follow::{Circle, Follow, Told};

/// What all users of a run share.
#[derive(Clone)]
pub struct Customs {
    pub accounts: Accounts,
    /// Whom each user follows, where it is asked to.
    pub circle: Circle,
    /// Tells this run's messages from another's.
    pub run: u32,
    /// Size of a MESSAGE body; the stamp alone if that is longer.
    pub body_bytes: usize,
    /// Requests of one user that may wait for their answer; what is meant beyond that waits in the client, and
    /// its latency still counts from the intended instant.
    pub window: usize,
    /// After so long a request counts as not answered.
    pub timeout_us: u64,
}

/// The lifetime asked for by REGISTER, SUBSCRIBE and PUBLISH.
pub const EXPIRES_S: u32 = 3600;
/// The longest that a server may put a client off.
const RETRY_AFTER_S_MAX: u32 = 600;
/// Challenges answered for one request: the first, and a stale nonce or two.
const CHALLENGES_MAX: u8 = 3;

/// Something a user is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Register {
        refresh: bool,
    },
    Message {
        receiver: u32,
        sequence: u32,
    },
    Publish {
        sequence: u32,
    },
    Subscribe {
        presentity: u32,
    },
    /// Subscribe to all contacts at once.
    Follow {
        refresh: bool,
    },
}

impl Task {
    pub fn method(self) -> &'static str {
        match self {
            Task::Register { .. } => "REGISTER",
            Task::Message { .. } => "MESSAGE",
            Task::Publish { .. } => "PUBLISH",
            Task::Subscribe { .. } | Task::Follow { .. } => "SUBSCRIBE",
        }
    }
}

/// Something a user learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A final answer.
    Answered {
        task: Task,
        intended_us: u64,
        status: u16,
    },
    /// The server has no time (503) and says when to come again. A refresh does so by itself.
    PutOff {
        task: Task,
        intended_us: u64,
        after_s: u32,
    },
    /// No answer in time, or the connection is gone.
    Unanswered { task: Task },
    /// A MESSAGE came, whole and from whom it says.
    Received(Stamp),
    /// A MESSAGE came that is not as its sender wrote it.
    Altered,
    /// A message or a state that another run left behind.
    Stranger,
    /// A watcher saw a state it did not know yet.
    Notified(Stamp),
    /// A NOTIFY that told nothing new: the first one before any state, or the same state once more.
    Repeated,
    /// The first NOTIFY of a subscription to one presentity.
    Watching,
    /// The first NOTIFY of a contact list, with so many entries.
    Follows { entries: u32, intended_us: u64 },
    /// A state older than one seen before.
    Regressed,
    /// The server ended a subscription.
    Ended,
    /// The server did something the standard does not allow.
    Odd(&'static str),
}

/// Where a user says something: lent for one call.
pub struct Scene<'s> {
    pub customs: &'s Customs,
    pub now_us: u64,
    /// The address of the client's end of its connection.
    pub local: SocketAddr,
    pub out: &'s mut Vec<u8>,
    pub facts: &'s mut Vec<Fact>,
}

struct Pending {
    cseq: u32,
    task: Task,
    intended_us: u64,
    deadline_us: u64,
    challenges: u8,
}

/// What a watcher knows of one presentity.
#[derive(Clone, Copy, Default)]
struct Watch {
    /// CSeq of the latest NOTIFY.
    cseq: u32,
    /// One more than the newest sequence seen; 0 before any.
    seen: u32,
    /// The SUBSCRIBE was answered well, so a NOTIFY must come (RFC 6665 §4.2.1.2).
    asked: bool,
    notified: bool,
}

/// What only a busy user needs.
#[derive(Default)]
struct Duty {
    pending: VecDeque<Pending>,
    waiting: VecDeque<(Task, u64)>,
    /// SIP-ETag of the publication (RFC 3903 §11.3.1); empty before the first.
    entity_tag: String,
    /// By presentity.
    watches: Vec<Watch>,
}

/// One simulated client.
pub struct User {
    index: u32,
    cseq: u32,
    /// When to register again, s of `clock`; 0 while not registered.
    refresh_s: u32,
    /// The end of what was granted, likewise.
    until_s: u32,
    duty: Option<Box<Duty>>,
    follow: Option<Box<Follow>>,
}

impl User {
    pub fn new(index: u32) -> User {
        User {
            index,
            cseq: 0,
            refresh_s: 0,
            until_s: 0,
            duty: None,
            follow: None,
        }
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    pub fn is_registered(&self) -> bool {
        self.refresh_s != 0
    }

    /// When it wants a sweep for a refresh, s of `clock`; 0 for never.
    pub fn refresh_s(&self) -> u32 {
        let follow_s = self.follow.as_ref().map_or(0, |follow| follow.refresh_s);
        match (self.refresh_s, follow_s) {
            (0, _) => 0, // Nobody.
            (own_s, 0) => own_s,
            (own_s, follow_s) => own_s.min(follow_s),
        }
    }

    /// Has something to wait for, so it wants a sweep every second.
    pub fn is_busy(&self) -> bool {
        (self.duty.as_ref())
            .is_some_and(|duty| !(duty.pending.is_empty() && duty.waiting.is_empty()))
    }

    /// For each presentity watched: its index and the newest sequence seen; `None` where no state was told.
    pub fn seen(&self) -> impl Iterator<Item = (u32, Option<u32>)> + '_ {
        self.watches()
            .filter(|(_, watch)| watch.asked || watch.notified)
            .map(|(presentity, watch)| (presentity, watch.seen.checked_sub(1)))
    }

    /// Subscriptions that were granted, and never told anything.
    pub fn untold(&self) -> usize {
        let watches = self.watches();
        let untold = watches.filter(|(_, watch)| watch.asked && !watch.notified);
        let follow = self.follow.as_ref();
        untold.count() + usize::from(follow.is_some_and(|follow| follow.is_untold()))
    }

    /// Whether all its subscriptions were told, and of the last state of each presentity, which `last_state` says. The
    /// first one (0) is not asked for: a server may keep it until there is a change.
    pub fn is_told(&self, last_state: impl Fn(u32) -> u32) -> bool {
        let is_behind = |(presentity, watch): (u32, Watch)| {
            let last = last_state(presentity);
            watch.asked && last != 0 && watch.seen <= last
        };
        self.untold() == 0 && !self.watches().any(is_behind)
    }

    fn watches(&self) -> impl Iterator<Item = (u32, Watch)> + '_ {
        let watches = self.duty.as_ref().map_or(&[][..], |duty| &duty.watches);
        (0..).zip(watches.iter().copied())
    }

    /// Does `task`, or puts it in line behind what is not answered yet.
    pub fn ask(&mut self, task: Task, intended_us: u64, scene: &mut Scene<'_>) {
        let duty = self.duty.get_or_insert_default();
        if let Task::Subscribe { presentity } = task {
            let needed = presentity as usize + 1;
            if duty.watches.len() < needed {
                duty.watches.resize(needed, Watch::default());
            }
        }
        if task == (Task::Follow { refresh: false }) {
            self.follow = Some(Box::new(Follow::new(intended_us)));
        }
        // A second PUBLISH waits for the first one's entity tag (RFC 3903 §4).
        let window = if matches!(task, Task::Publish { .. }) {
            1
        } else {
            scene.customs.window
        };
        if duty.pending.len() >= window || !duty.waiting.is_empty() {
            duty.waiting.push_back((task, intended_us));
            return;
        }
        self.begin(task, intended_us, 0, None, scene);
    }

    /// Gives up what has waited too long for its answer, and registers again when it is time.
    pub fn sweep(&mut self, scene: &mut Scene<'_>) {
        if let Some(duty) = &mut self.duty {
            let facts = &mut *scene.facts;
            duty.pending.retain(|pending| {
                let keep = pending.deadline_us > scene.now_us;
                if !keep {
                    facts.push(Fact::Unanswered { task: pending.task });
                }
                keep
            });
            self.take_turns(scene);
        }
        if self.is_registered() && scene.now_us / 1_000_000 >= u64::from(self.refresh_s) {
            self.refresh_s = seconds(scene.now_us).saturating_add(60);
            self.ask(Task::Register { refresh: true }, scene.now_us, scene);
        }
        if let Some(follow) = &mut self.follow
            && follow.refresh_s != 0
            && scene.now_us / 1_000_000 >= u64::from(follow.refresh_s)
        {
            follow.refresh_s = seconds(scene.now_us).saturating_add(60);
            self.ask(Task::Follow { refresh: true }, scene.now_us, scene);
        }
    }

    /// The connection is gone: nothing that waits will be answered, and the server forgets the rest.
    pub fn cut_off(&mut self, facts: &mut Vec<Fact>) {
        self.refresh_s = 0;
        self.follow = None;
        if let Some(duty) = self.duty.take() {
            let tasks = duty.pending.iter().map(|pending| pending.task);
            facts.extend(
                tasks
                    .chain(duty.waiting.iter().map(|waiting| waiting.0))
                    .map(|task| Fact::Unanswered { task }),
            );
        }
    }

    /// Takes a whole message of the server.
    pub fn take(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) {
        match message.status() {
            Some(status) if status >= 200 => self.on_answer(message, status, scene),
            Some(_) => {}
            None => self.on_request(message, scene),
        }
        if self.duty.as_ref().is_some_and(|duty| {
            duty.pending.is_empty()
                && duty.waiting.is_empty()
                && duty.watches.is_empty()
                && duty.entity_tag.is_empty()
        }) {
            self.duty = None;
        }
    }

    fn on_answer(&mut self, message: &Message<'_>, status: u16, scene: &mut Scene<'_>) {
        let cseq = message.cseq();
        let Some(duty) = &mut self.duty else {
            scene
                .facts
                .push(Fact::Odd("an answer to nothing that waits"));
            return;
        };
        // Requests have a number each, and the latest are at the back.
        let Some(at) = duty
            .pending
            .iter()
            .position(|pending| pending.cseq == cseq.number)
        else {
            scene
                .facts
                .push(Fact::Odd("an answer to nothing that waits"));
            return;
        };
        if message.via().branch() != branch(scene.customs.run, self.index, cseq.number)
            || cseq.method != duty.pending[at].task.method()
        {
            scene.facts.push(Fact::Odd(
                "an answer with another Via or CSeq than the request's",
            ));
            return;
        }
        let Some(Pending {
            task,
            intended_us,
            challenges,
            ..
        }) = duty.pending.remove(at)
        else {
            return;
        };
        if matches!(status, 401 | 407)
            && challenges < CHALLENGES_MAX
            && let Some((challenge, is_stale)) = challenge_of(message, status)
            && (challenges == 0 || is_stale)
        {
            self.begin(
                task,
                intended_us,
                challenges + 1,
                Some((status, &challenge)),
                scene,
            );
            return;
        }
        if let Some(after_s) = put_off_s(message, status, task) {
            let again_s = seconds(scene.now_us).saturating_add(after_s).max(1);
            let until_s = match (task, &mut self.follow) {
                (Task::Register { refresh: true }, _) => {
                    self.refresh_s = again_s;
                    self.until_s
                }
                (Task::Follow { refresh: true }, Some(follow)) => {
                    follow.refresh_s = again_s;
                    follow.until_s
                }
                _ => u32::MAX, // Nothing is granted that could end.
            };
            if again_s > until_s {
                let odd = "a refresh put off beyond what was granted";
                scene.facts.push(Fact::Odd(odd));
            }
            scene.facts.push(Fact::PutOff {
                task,
                intended_us,
                after_s,
            });
            self.take_turns(scene);
            return;
        }
        let is_well = (200..300).contains(&status);
        match task {
            Task::Register { .. } => {
                let granted_s = granted_s(message).filter(|_| status == 200);
                (self.refresh_s, self.until_s) = lifetime(scene.now_us, granted_s);
            }
            Task::Follow { .. } => {
                let granted = self.follow.as_mut().is_some_and(|follow| {
                    let granted_s = message.expires().filter(|_| is_well);
                    (follow.refresh_s, follow.until_s) = lifetime(scene.now_us, granted_s);
                    follow.refresh_s != 0 && follow.granted(message)
                });
                if !granted {
                    self.follow = None;
                    if is_well {
                        let odd = "SUBSCRIBE answered 200 without a lifetime or a dialog";
                        scene.facts.push(Fact::Odd(odd));
                    }
                }
            }
            Task::Publish { .. } => {
                let had_tag = !duty.entity_tag.is_empty();
                duty.entity_tag.clear();
                if status == 200
                    && let Some(tag) = message.header(Name::SipEtag)
                {
                    duty.entity_tag.push_str(tag);
                }
                if status == 412 && had_tag {
                    // The publication is gone there: publish anew (RFC 3903 §4.5).
                    self.begin(task, intended_us, 0, None, scene);
                    return;
                }
            }
            Task::Subscribe { presentity } => {
                if let Some(watch) = duty.watches.get_mut(presentity as usize) {
                    watch.asked |= is_well;
                }
            }
            Task::Message { .. } => {}
        }
        scene.facts.push(Fact::Answered {
            task,
            intended_us,
            status,
        });
        self.take_turns(scene);
    }

    /// Starts what waited, as far as the window allows.
    fn take_turns(&mut self, scene: &mut Scene<'_>) {
        while let Some(duty) = &mut self.duty
            && let Some((task, _)) = duty.waiting.front()
            && duty.pending.len()
                < (if matches!(task, Task::Publish { .. }) {
                    1
                } else {
                    scene.customs.window
                })
            && let Some((task, intended_us)) = duty.waiting.pop_front()
        {
            self.begin(task, intended_us, 0, None, scene);
        }
    }

    fn on_request(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) {
        let status = match message.method() {
            Method::Message => self.on_message(message, scene),
            Method::Notify => self.on_notify(message, scene),
            Method::Options => 200,
            Method::Ack => return,
            Method::Bye | Method::Cancel => 481,
            _ => 405,
        };
        let tag = local_tag(scene.customs.run, self.index);
        let mut answer = build::response(scene.out, message, status, Some(&tag));
        if status == 405 || message.method() == Method::Options {
            answer.header("Allow", "MESSAGE, NOTIFY, OPTIONS");
        }
        answer.finish();
    }

    fn on_message(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) -> u16 {
        let customs = scene.customs;
        let said_by = message
            .from()
            .uri()
            .ok()
            .and_then(|uri| customs.accounts.index_of(uri.user));
        let fact = match Stamp::read_whole(message.body(), customs.body_bytes) {
            Some(stamp) if stamp.run != customs.run => Fact::Stranger,
            Some(stamp) if Some(stamp.sender) == said_by => Fact::Received(stamp),
            Some(_) | None => Fact::Altered,
        };
        scene.facts.push(fact);
        200
    }

    fn on_notify(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) -> u16 {
        let run = scene.customs.run;
        if message.call_id().starts_with(FOLLOW) {
            return self.on_list_notify(message, scene);
        }
        let presentity = presentity_of(message.call_id(), run, self.index);
        let watch = presentity
            .and_then(|presentity| self.duty.as_mut()?.watches.get_mut(presentity as usize));
        let (Some(presentity), Some(watch)) = (presentity, watch) else {
            scene.facts.push(Fact::Odd("a NOTIFY for no subscription"));
            return 481;
        };
        // RFC 3261 §12.2.2; equal is as wrong, since TLS repeats nothing.
        if watch.notified && message.cseq().number <= watch.cseq {
            scene
                .facts
                .push(Fact::Odd("a NOTIFY with a CSeq that does not rise"));
            return 500;
        }
        watch.cseq = message.cseq().number;
        if !watch.notified {
            watch.notified = true;
            scene.facts.push(Fact::Watching);
        }
        match message
            .header(Name::SubscriptionState)
            .map(SubscriptionState::parse)
        {
            Some(Ok(state)) if state.state.eq_ignore_ascii_case("terminated") => {
                scene.facts.push(Fact::Ended)
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => scene
                .facts
                .push(Fact::Odd("a NOTIFY without a readable Subscription-State")),
        }
        let newest = newest_stamp(message.body(), run, presentity);
        scene.facts.push(match newest {
            Some(stamp) if stamp.sequence >= watch.seen => {
                watch.seen = stamp.sequence + 1;
                Fact::Notified(stamp)
            }
            Some(stamp) if stamp.sequence + 1 == watch.seen => Fact::Repeated,
            Some(_) => Fact::Regressed,
            None => Fact::Repeated,
        });
        200
    }

    fn on_list_notify(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) -> u16 {
        let customs = scene.customs;
        let is_ours = message.call_id() == follow_call_id(customs.run, self.index);
        let Some(follow) = self.follow.as_mut().filter(|_| is_ours) else {
            scene.facts.push(Fact::Odd("a NOTIFY for no subscription"));
            return 481;
        };
        match follow.notified(message) {
            Told::All { entries, .. } if entries != customs.circle.contacts => {
                let odd = "a contact list told with fewer or more entries than it has";
                scene.facts.push(Fact::Odd(odd));
            }
            Told::All {
                entries,
                intended_us,
            } => scene.facts.push(Fact::Follows {
                entries,
                intended_us,
            }),
            Told::More => scene.facts.push(Fact::Repeated),
            Told::OutOfOrder => {
                let odd = "a NOTIFY with a CSeq that does not rise";
                scene.facts.push(Fact::Odd(odd));
                return 500;
            }
        }
        let state = message.header(Name::SubscriptionState).unwrap_or_default();
        if state.starts_with("terminated") {
            self.follow = None;
            scene.facts.push(Fact::Ended);
        }
        200
    }

    /// Writes the request and remembers that it waits for an answer.
    fn begin(
        &mut self,
        task: Task,
        intended_us: u64,
        challenges: u8,
        challenge: Option<(u16, &Challenge)>,
        scene: &mut Scene<'_>,
    ) {
        self.cseq += 1;
        let credentials = challenge
            .map(|(status, challenge)| self.credentials(task, status, challenge, scene.customs));
        self.write(task, intended_us, credentials.as_ref(), scene);
        let deadline_us = scene.now_us + scene.customs.timeout_us;
        let pending = Pending {
            cseq: self.cseq,
            task,
            intended_us,
            deadline_us,
            challenges,
        };
        self.duty.get_or_insert_default().pending.push_back(pending);
    }
}

/// The strongest challenge we can answer, and whether it only says that the nonce is too old.
pub fn challenge_of(message: &Message<'_>, status: u16) -> Option<(Challenge, bool)> {
    let name = if status == 401 {
        Name::WwwAuthenticate
    } else {
        Name::ProxyAuthenticate
    };
    message
        .headers(name)
        .filter_map(|line| {
            let params = AuthParams::parse(line)
                .ok()
                .filter(|params| params.is("Digest"))?;
            let named = params.get("algorithm");
            let qop = params.get("qop");
            let challenge = Challenge {
                algorithm: Algorithm::of(named.as_deref())?,
                realm: params.get("realm")?.into_owned(),
                nonce: params.get("nonce")?.into_owned(),
                opaque: params.get("opaque").map(|opaque| opaque.into_owned()),
                qop_auth: qop.is_some_and(|list| {
                    list.split(',')
                        .any(|each| each.trim().eq_ignore_ascii_case("auth"))
                }),
                algorithm_named: named.is_some(),
            };
            let is_stale = params
                .get("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
            Some((challenge, is_stale))
        })
        .max_by_key(|(challenge, _)| challenge.algorithm)
}

/// For how long the registrar keeps the binding: the shortest of what it says (RFC 3261 §10.3 step 8).
pub fn granted_s(message: &Message<'_>) -> Option<u32> {
    let of_contacts = match message.contacts() {
        Ok(Contacts::List(contacts)) => contacts
            .iter()
            .filter_map(|contact| contact.params.value("expires")?.parse().ok())
            .min(),
        Ok(Contacts::Star) | Err(_) => None,
    };
    of_contacts.or_else(|| message.expires())
}

fn seconds(us: u64) -> u32 {
    u32::try_from(us / 1_000_000).unwrap_or(u32::MAX)
}

/// When to refresh what was granted just now, and when it ends; zeros where nothing was, or for no time.
fn lifetime(now_us: u64, granted_s: Option<u32>) -> (u32, u32) {
    let Some(granted_s) = granted_s.filter(|granted_s| *granted_s > 0) else {
        return (0, 0);
    };
    let wait_s = (u64::from(granted_s) * 8 / 10).max(1);
    let after = |wait_s| seconds(now_us).saturating_add(wait_s);
    (
        after(u32::try_from(wait_s).unwrap_or(u32::MAX)),
        after(granted_s),
    )
}

/// After how many seconds to come again, where a client would (RFC 3261 §21.5.4).
fn put_off_s(message: &Message<'_>, status: u16, task: Task) -> Option<u32> {
    if status != 503 || !matches!(task, Task::Register { .. } | Task::Follow { .. }) {
        return None;
    }
    let after = message.header(Name::RetryAfter)?.trim();
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(digits.parse::<u32>().ok()?.min(RETRY_AFTER_S_MAX))
}
