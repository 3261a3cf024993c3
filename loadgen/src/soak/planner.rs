//! All that happens in a run and when, from the model and a seed: no clock, no socket, no answer comes in.
//!
//! Open loop: an event's instant does not depend on what the server did before. Each thread walks the same plan and
//! takes what is its own. In memory is what goes on (sessions, conferences, short subscriptions), never the whole plan.
//! A user who by the plan is not logged on begins nothing and is not called; what then happens anyway (a storm cuts a
//! session) is the client's to bear.

mod session;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use self::session::{Gathering, Talk};
use super::graph::{Graph, Shuffle, below, hash, unit};
use super::model::{Act, Kind, Model, Scale};

/// How many endpoints there are, and whose: the first `users` are one a user, the others are second ones and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    pub users: u32,
    pub seats: u32,
}

impl Seats {
    pub fn new(users: u32, endpoints: f64) -> Seats {
        Seats {
            users,
            seats: (f64::from(users) * endpoints.max(1.0)).round() as u32,
        }
    }

    pub fn user_of(self, seat: u32) -> u32 {
        if seat < self.users {
            return seat;
        }
        let extras = u64::from(self.seats - self.users).max(1);
        // Spread over all users, more than once around where there are more than two endpoints each.
        let rounds = extras.div_ceil(u64::from(self.users));
        let extra = u64::from(seat - self.users);
        (extra * u64::from(self.users) * rounds / extras % u64::from(self.users)) as u32
    }

    /// The one that publishes and talks.
    pub fn is_first(self, seat: u32) -> bool {
        seat < self.users
    }
}

/// Something that is to happen at a seat.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Connect, register, subscribe to the contact list; the first endpoint publishes too.
    LogOn {
        resumed: bool,
    },
    LogOff,
    /// The connection is gone without a word.
    Drop,
    Publish,
    /// A two-party session with `callee`.
    Invite {
        session: u32,
        callee: u32,
    },
    /// A conference with these, who are called by the server.
    Gather {
        session: u32,
        members: Arc<[u32]>,
    },
    Typing {
        session: u32,
    },
    Say {
        session: u32,
        sequence: u32,
    },
    /// The seat's part in a session of `parts` is over.
    Leave {
        session: u32,
        parts: u32,
    },
    Watch {
        presentity: u32,
        number: u32,
    },
    Unwatch {
        number: u32,
    },
    Poll {
        number: u32,
    },
}

/// One event of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// µs from the start of the run.
    pub at_us: u64,
    pub seat: u32,
    pub deed: Deed,
}

/// What a run is asked to be.
#[derive(Clone, Debug)]
pub struct Brief {
    pub model: Model,
    pub scale: Scale,
    pub users: u32,
    pub seed: u64,
    /// Everybody logs on within so long, µs.
    pub ramp_us: u64,
    /// The plan ends here, µs from the start.
    pub end_us: u64,
}

/// What happens to everybody at a rate.
const STREAMS: [Stream; 7] = [
    Stream::Publish,
    Stream::Session,
    Stream::Conference,
    Stream::Large,
    Stream::Watch,
    Stream::Poll,
    Stream::Absence,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Publish,
    Session,
    Conference,
    Large,
    Watch,
    Poll,
    Absence,
}

/// What goes on: its next step stands in the heap.
#[derive(Debug)]
enum Live {
    Talk(Talk),
    Gathering(Gathering),
    Unwatch { user: u32, number: u32 },
    Back { user: u32 },
}

struct Waiting {
    at_us: u64,
    /// Tells two of the same instant apart, so that the order is always the same.
    number: u64,
    live: Live,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.number == other.number
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> std::cmp::Ordering {
        (self.at_us, self.number).cmp(&(other.at_us, other.number))
    }
}

/// A walk through all seats: the logons, and each act.
#[derive(Debug)]
struct Walk {
    act: Option<usize>,
    /// The drop of a crash comes before the logons, all at once.
    drops: bool,
    place: u32,
    from_us: u64,
    within_us: u64,
}

/// The plan, event by event.
pub struct Planner {
    brief: Brief,
    seats: Seats,
    graph: Graph,
    order: Shuffle,
    random: ChaCha8Rng,
    /// When each stream has its next, and its rate a µs.
    streams: [(u64, f64); STREAMS.len()],
    walks: Vec<Walk>,
    heap: BinaryHeap<Reverse<Waiting>>,
    number: u64,
    sessions: u32,
    counts: u32,
    /// Who is off for a while, and until when.
    absent: HashMap<u32, u64>,
    ready: std::collections::VecDeque<Event>,
}

/// Before the first message of a session everybody must have answered, µs.
const ANSWER_US: u64 = 500_000;
const ROSTER_US: u64 = 1_500_000;

impl Planner {
    pub fn new(mut brief: Brief) -> Planner {
        brief
            .model
            .acts
            .sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        let model = &brief.model;
        let seats = Seats::new(brief.users, model.users.endpoints);
        let users = f64::from(brief.users);
        let scale = brief.scale;
        let in_conferences = users * model.conference.users_share / model.conference_size();
        let per_hour = |stream| match stream {
            Stream::Publish => users * model.presence.publications_per_hour,
            Stream::Session => users * model.im.sessions_per_day * model.im.busy_hour_share,
            Stream::Conference => in_conferences * 60.0 / model.conference.minutes,
            Stream::Large => model.conference.large_at_once * 60.0 / model.conference.minutes,
            Stream::Watch => users * model.presence.short_subscriptions_per_hour,
            Stream::Poll => {
                users * model.presence.polls_per_hour / f64::from(model.presence.poll_batch)
            }
            Stream::Absence => users * model.logon.leaves_per_hour,
        };
        let streams = STREAMS.map(|stream| (0, scale.per_us(per_hour(stream))));
        let mut walks = vec![Walk {
            act: None,
            drops: false,
            place: 0,
            from_us: 0,
            within_us: brief.ramp_us,
        }];
        for (index, act) in model.acts.iter().enumerate() {
            let walk = |drops, within_us| Walk {
                act: Some(index),
                drops,
                place: 0,
                from_us: (act.at_s * 1e6) as u64,
                within_us,
            };
            if matches!(act.kind, Kind::Crash | Kind::CrashResumed) {
                walks.push(walk(true, 0));
            }
            walks.push(walk(false, (act.within_s * 1e6) as u64));
        }
        let mut planner = Planner {
            seats,
            graph: Graph::new(model, brief.users, brief.seed),
            order: Shuffle::new(hash(brief.seed, 10, 0), seats.seats),
            random: ChaCha8Rng::seed_from_u64(brief.seed),
            streams,
            walks,
            heap: BinaryHeap::new(),
            number: 0,
            sessions: 0,
            counts: 0,
            absent: HashMap::new(),
            ready: std::collections::VecDeque::new(),
            brief,
        };
        for index in 0..STREAMS.len() {
            planner.advance(index);
        }
        planner
    }

    pub fn seats(&self) -> Seats {
        self.seats
    }

    /// The next event in time; `None` once the plan is over.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let of_walks = self
                .walks
                .iter()
                .enumerate()
                .filter_map(|(index, walk)| Some((self.walk_us(walk)?, index)))
                .min();
            let of_streams = (self.streams.iter().enumerate())
                .map(|(index, (next_us, _))| (*next_us, index))
                .min();
            let walk_us = of_walks.map_or(u64::MAX, |(at_us, _)| at_us);
            let stream_us = of_streams.map_or(u64::MAX, |(at_us, _)| at_us);
            let live_us = self.heap.peek().map_or(u64::MAX, |waiting| waiting.0.at_us);
            let at_us = walk_us.min(stream_us).min(live_us);
            if at_us >= self.brief.end_us {
                return None;
            }
            match (of_walks, of_streams) {
                (Some((_, index)), _) if walk_us == at_us => self.walk(index, at_us),
                _ if live_us == at_us => {
                    if let Some(Reverse(waiting)) = self.heap.pop() {
                        self.go_on(at_us, waiting.live);
                    }
                }
                (_, Some((_, index))) => {
                    self.advance(index);
                    self.begin(STREAMS[index], at_us);
                }
                (_, None) => return None,
            }
        }
    }

    /// Whether `user` is logged on at that instant, by the plan.
    pub fn is_on(&self, user: u32, at_us: u64) -> bool {
        if self
            .absent
            .get(&user)
            .is_some_and(|until_us| at_us < *until_us)
        {
            return false;
        }
        let mut on = at_us
            > spread(
                self.order.place_of(user),
                self.seats.seats,
                self.brief.ramp_us,
            );
        for (index, act) in self.brief.model.acts.iter().enumerate() {
            if !self.concerns(index, act, user) {
                continue;
            }
            let from_us = (act.at_s * 1e6) as u64;
            let turn_us = from_us + self.turn_us(act, user);
            match act.kind {
                Kind::LogonStorm => on = at_us > turn_us,
                Kind::Crash | Kind::CrashResumed if at_us >= from_us => on &= at_us > turn_us,
                Kind::SignOut => on &= at_us < turn_us,
                Kind::Crash | Kind::CrashResumed | Kind::MeetingEnd => {}
            }
        }
        on
    }

    fn turn_us(&self, act: &Act, seat: u32) -> u64 {
        spread(
            self.order.place_of(seat),
            self.seats.seats,
            (act.within_s * 1e6) as u64,
        )
    }

    fn concerns(&self, index: usize, act: &Act, user: u32) -> bool {
        unit(hash(self.brief.seed, 20 + index as u64, u64::from(user))) < act.share
    }

    /// Whether it stays away until a storm of logons.
    fn awaits_storm(&self, user: u32) -> bool {
        let mut acts = self.brief.model.acts.iter().enumerate();
        acts.any(|(index, act)| act.kind == Kind::LogonStorm && self.concerns(index, act, user))
    }

    fn walk_us(&self, walk: &Walk) -> Option<u64> {
        (walk.place < self.seats.seats)
            .then(|| walk.from_us + spread(walk.place, self.seats.seats, walk.within_us))
    }

    fn walk(&mut self, index: usize, at_us: u64) {
        let Walk {
            act,
            drops,
            place,
            from_us,
            ..
        } = self.walks[index];
        self.walks[index].place += 1;
        let seat = self.order.at(place);
        let user = self.seats.user_of(seat);
        let deed = match act.map(|act| (act, &self.brief.model.acts[act])) {
            None if self.awaits_storm(user) => return,
            None => Deed::LogOn { resumed: false },
            Some((act, what)) if !self.concerns(act, what, user) => return,
            // Who was off is not brought on by it.
            Some((_, what)) if what.kind != Kind::LogonStorm && !self.was_on(user, from_us) => {
                return;
            }
            Some(_) if drops => Deed::Drop,
            Some((_, what)) => match what.kind {
                Kind::LogonStorm | Kind::Crash => Deed::LogOn { resumed: false },
                Kind::CrashResumed => Deed::LogOn { resumed: true },
                Kind::SignOut => Deed::LogOff,
                Kind::MeetingEnd if self.seats.is_first(seat) => Deed::Publish,
                Kind::MeetingEnd => return,
            },
        };
        self.ready.push_back(Event { at_us, seat, deed });
    }

    fn was_on(&self, user: u32, before_us: u64) -> bool {
        self.is_on(user, before_us.saturating_sub(1))
    }

    /// Sets the stream's next instant.
    fn advance(&mut self, index: usize) {
        let (next_us, rate) = self.streams[index];
        self.streams[index].0 = if rate > 0.0 {
            let uniform = ((self.random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
            next_us + (-uniform.ln() / rate) as u64
        } else {
            u64::MAX
        };
    }

    fn begin(&mut self, stream: Stream, at_us: u64) {
        let user = below(self.random.next_u64(), self.brief.users);
        let choice = self.random.next_u64();
        if !self.is_on(user, at_us) {
            return;
        }
        let (model, scale) = (&self.brief.model, self.brief.scale);
        let short_us = scale.us(model.presence.short_subscription_min * 60.0);
        let away_us = scale.us(model.logon.away_min * 60.0).max(ANSWER_US);
        let event = |deed| Event {
            at_us,
            seat: user,
            deed,
        };
        match stream {
            Stream::Publish => self.ready.push_back(event(Deed::Publish)),
            Stream::Session => {
                let callee = self.graph.one_contact(user, choice);
                if callee == user || !self.is_on(callee, at_us) {
                    return;
                }
                self.sessions += 1;
                let session = self.sessions;
                self.ready
                    .push_back(event(Deed::Invite { session, callee }));
                let talk = Talk {
                    session,
                    parties: [user, callee],
                    step: 0,
                    said: [0; 2],
                    next_us: at_us + ANSWER_US + self.gap_us(session, 0),
                };
                self.wait_for_talk(talk);
            }
            Stream::Conference => {
                let sizes = &model.conference.sizes;
                let mut place = unit(choice) * sizes.iter().map(|(_, weight)| weight).sum::<f64>();
                let size = sizes.iter().find(|(_, weight)| {
                    place -= weight;
                    place < 0.0
                });
                let size = size.or(sizes.last()).map_or(2, |(size, _)| *size);
                self.gather(user, size, at_us);
            }
            Stream::Large => {
                let size = model.conference.large.min((self.brief.users / 4).max(2));
                self.gather(user, size, at_us);
            }
            Stream::Watch => {
                self.counts += 1;
                let (presentity, number) = (self.graph.somebody_else(user, choice), self.counts);
                self.ready
                    .push_back(event(Deed::Watch { presentity, number }));
                self.wait(at_us + short_us, Live::Unwatch { user, number });
            }
            Stream::Poll => {
                self.counts += 1;
                let number = self.counts;
                self.ready.push_back(event(Deed::Poll { number }));
            }
            Stream::Absence => {
                self.absent.insert(user, at_us + away_us);
                self.ready.push_back(event(Deed::LogOff));
                self.wait(at_us + away_us, Live::Back { user });
            }
        }
    }

    fn gather(&mut self, organizer: u32, size: u32, at_us: u64) {
        self.sessions += 1;
        let session = self.sessions;
        let mut members = vec![organizer];
        let near = self.graph.contacts(organizer);
        // Bounded: where few are logged on, the conference is smaller.
        for turn in 0..u64::from(size) * 8 {
            if members.len() >= size as usize {
                break;
            }
            let choice = hash(self.brief.seed, 40 + u64::from(session), turn);
            let candidate = match near.get(below(choice, near.len() as u32) as usize) {
                Some(contact) if turn < u64::from(size) * 2 => *contact,
                _ => below(choice, self.brief.users),
            };
            if !members.contains(&candidate) && self.is_on(candidate, at_us) {
                members.push(candidate);
            }
        }
        if members.len() < 2 {
            return;
        }
        let members: Arc<[u32]> = members.into();
        self.ready.push_back(Event {
            at_us,
            seat: organizer,
            deed: Deed::Gather {
                session,
                members: Arc::clone(&members),
            },
        });
        let model = &self.brief.model.conference;
        let length_us = self.brief.scale.us(model.minutes * 60.0);
        let messages = u64::from(model.messages_per_user) * members.len() as u64;
        let gathering = Gathering {
            session,
            members,
            said: 0,
            left: 0,
            gap_us: length_us / (messages + 1),
        };
        self.wait(at_us + ROSTER_US, Live::Gathering(gathering));
    }

    /// The next step of what goes on.
    fn go_on(&mut self, at_us: u64, live: Live) {
        match live {
            Live::Unwatch { user, number } => self.ready.push_back(Event {
                at_us,
                seat: user,
                deed: Deed::Unwatch { number },
            }),
            Live::Back { user } => {
                self.absent.remove(&user);
                if self.is_on(user, at_us) {
                    self.ready.push_back(Event {
                        at_us,
                        seat: user,
                        deed: Deed::LogOn { resumed: true },
                    });
                }
            }
            Live::Talk(talk) => self.talk(at_us, talk),
            Live::Gathering(gathering) => self.meet(at_us, gathering),
        }
    }

    fn wait(&mut self, at_us: u64, live: Live) {
        self.number += 1;
        self.heap.push(Reverse(Waiting {
            at_us,
            number: self.number,
            live,
        }));
    }
}

fn spread(place: u32, of: u32, within_us: u64) -> u64 {
    (u128::from(place) * u128::from(within_us) / u128::from(of.max(1))) as u64
}

#[cfg(test)]
mod tests;
