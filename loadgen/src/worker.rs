//! One thread of simulated clients: an epoll set, its users with their lines, and its share of each stage.
//!
//! A turn: begin what the stage and the schedule want begun, then take what the sockets have. Threads share nothing but
//! the `Board`; each brings home what it saw, and `run` merges that. What it begins, and when, is `stages`.

mod stages;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use muster::sip::message::Message;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::Timespec;

use crate::alarm::Alarm;
use crate::clock::{now_us, timespec};
use crate::content::Ledger;
use crate::host;
use crate::line::{Broken, Heard, Line, Route, Scratch};
use crate::pace::Arrivals;
use crate::plan::{Done, Parts, Plan, Rates};
use crate::report::{Faults, Latencies, Timed};
use crate::stage::{Board, Counters, Order, Stage};
use crate::user::{Customs, Fact, Scene, Task, User};
use crate::wheel::Wheel;

/// All that stays the same over a run.
pub struct Orders {
    pub customs: Customs,
    pub route: Route,
    pub parts: Parts,
    pub rates: Rates,
    pub warm_up_s: f64,
    pub measure_s: f64,
    pub arrivals: Arrivals,
    pub threads: u32,
    /// Each thread has a table of descriptors of its own, since one doesn't hold all users.
    pub own_tables: bool,
    /// The threads are spread over these CPUs, each kept to one; empty: the kernel's choice.
    pub cpus: Vec<usize>,
    /// Logons a second of the residents, all threads together, whatever the server does.
    pub logon_rate: Option<f64>,
    /// Subscriptions to contacts, likewise.
    pub follow_rate: Option<f64>,
    /// Users of one thread that may be logging on at once, and requests that may wait for an answer before more watchers
    /// subscribe: the stages before the measuring go as fast as the server lets them.
    pub beginning_max: usize,
}

/// What a thread brings home.
#[derive(Default)]
pub struct Sight {
    pub latencies: Latencies,
    pub ledger: Ledger,
    pub faults: Faults,
    /// What another run had left on the server.
    pub strangers: u64,
    /// NOTIFYs that told nothing new.
    pub repeated: u64,
    /// Handshakes that resumed an earlier connection's session.
    pub resumed: u64,
    /// Requests that the server put off (503 with Retry-After), and that were made again.
    pub put_off: u64,
    /// CPU time of the thread over the measured stage, µs.
    pub measured_cpu_us: u64,
}

/// A place for one user.
struct Seat {
    user: User,
    line: Option<Box<Line>>,
    /// When the logon that goes on was meant to begin; 0 while none does.
    logon_us: u64,
    /// When this attempt at it began: who was put off has as much time as all others; until then `PUT_OFF`.
    begun_us: u64,
}

/// The server said when to log on again, and it is not yet then.
const PUT_OFF: u64 = u64::MAX;

impl Seat {
    /// Whether a logon goes on, or will.
    fn is_logging_on(&self) -> bool {
        self.logon_us != 0 || self.begun_us == PUT_OFF
    }
}

/// Something to be asked once more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Again {
    due_us: u64,
    slot: u32,
    intended_us: u64,
    follow: bool,
}

const TIMER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const EVENTS_MAX: usize = 1024;
const SWEEP_US: u64 = 1_000_000;
const LIFELESS: &str = "REGISTER answered 200 without a lifetime";
const NO_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// A thread's whole state.
pub struct Worker<'r> {
    orders: &'r Orders,
    board: &'r Board,
    number: u32,
    seats: Vec<Seat>,
    epoll: OwnedFd,
    alarm: Alarm,
    scratch: Scratch,
    facts: Vec<Fact>,
    /// Seats that have more to read although no event will say so.
    again: Vec<(u32, u32)>,
    /// What the server put off.
    put_off: BinaryHeap<Reverse<Again>>,
    /// Seats to look at every second, as long as they wait for something; and whether a seat is among them.
    busy: Vec<u32>,
    is_busy: Vec<bool>,
    /// Refreshes.
    wheel: Wheel,
    generation: u32,
    order: Order,
    reported: bool,
    plan: Option<Plan>,
    done: Done,
    /// The next seat of a stage that goes through all of them, and its next presentity.
    cursor: (usize, u32),
    logging_on: usize,
    outstanding: usize,
    /// Latencies of what was meant from here on are recorded.
    record_from_us: u64,
    cpu_from_us: u64,
    sight: Sight,
}

impl<'r> Worker<'r> {
    pub fn new(orders: &'r Orders, board: &'r Board, number: u32) -> io::Result<Worker<'r>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let alarm = Alarm::new(&epoll, TIMER)?;
        if let Some(bell) = board.bell(number) {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&epoll, bell.as_fd(), epoll::EventData::new_u64(BELL), flags)?;
        }
        let indexes = (number..orders.parts.users).step_by(orders.threads as usize);
        let seat = |index| Seat {
            user: User::new(index),
            line: None,
            logon_us: 0,
            begun_us: 0,
        };
        let seats: Vec<Seat> = indexes.map(seat).collect();
        Ok(Worker {
            orders,
            board,
            number,
            is_busy: vec![false; seats.len()],
            wheel: Wheel::new(seats.len(), seconds(now_us())),
            seats,
            epoll,
            alarm,
            scratch: Scratch::default(),
            facts: Vec::new(),
            again: Vec::new(),
            put_off: BinaryHeap::new(),
            busy: Vec::new(),
            generation: 0,
            order: Order {
                number: 0,
                stage: Stage::Rest,
                start_us: 0,
            },
            reported: true,
            plan: None,
            done: Done::default(),
            cursor: (0, 0),
            logging_on: 0,
            outstanding: 0,
            record_from_us: u64::MAX,
            cpu_from_us: 0,
            sight: Sight::default(),
        })
    }

    /// Works until the board says to quit. On a thread of its own.
    pub fn run(mut self) -> io::Result<Sight> {
        if self.orders.own_tables {
            host::own_table()?;
        }
        if !self.orders.cpus.is_empty() {
            host::pin(&[self.orders.cpus[self.number as usize % self.orders.cpus.len()]])?;
        }
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let mut next_sweep_us = now_us() + SWEEP_US;
        loop {
            let order = self.board.current();
            if order.number != self.order.number {
                self.begin(order);
            }
            if order.stage == Stage::Quit {
                break;
            }
            let now_us = now_us();
            self.work(now_us);
            if !self.reported && self.is_stage_done() {
                self.finish_stage();
            }
            if now_us >= next_sweep_us {
                self.sweep(now_us);
                next_sweep_us = now_us + SWEEP_US;
            }
            let timeout = self.timeout(now_us, next_sweep_us)?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for (slot, generation) in std::mem::take(&mut self.again) {
                self.on_ready(slot, generation, None);
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if token != TIMER && token != BELL {
                    self.on_ready(token as u32, (token >> 32) as u32, Some(flags));
                }
            }
        }
        self.quit();
        Ok(self.sight)
    }

    /// How long to sleep at most; arms the timer for what is due sooner (epoll's own timeout is in milliseconds).
    fn timeout(&mut self, now_us: u64, next_sweep_us: u64) -> io::Result<Timespec> {
        if !self.again.is_empty() {
            return Ok(NO_WAIT);
        }
        let planned_us = self.plan.as_mut().and_then(Plan::next_us);
        let put_off_us = self.put_off.peek().map(|again| again.0.due_us);
        let due_us = [planned_us, self.next_turn_us(), put_off_us];
        if let Some(due_us) = due_us.into_iter().flatten().min() {
            if due_us <= now_us {
                return Ok(NO_WAIT);
            }
            self.alarm.set(due_us)?;
        }
        Ok(timespec(next_sweep_us.saturating_sub(now_us)))
    }

    /// Begins to connect; the rest follows as events come.
    fn log_on(&mut self, slot: usize, intended_us: u64) {
        self.generation = self.generation.wrapping_add(1);
        let token = u64::from(self.generation) << 32 | slot as u64;
        let turn = self.seats[slot].user.index() as usize;
        match Line::connect(
            &self.orders.route,
            turn,
            &self.epoll,
            token,
            self.generation,
        ) {
            Ok(line) => {
                self.seats[slot].line = Some(Box::new(line));
                self.attempt(slot, intended_us, now_us());
                self.attend(slot);
            }
            Err(error) => self.fault(format!("logon: {}", Broken::Socket(error))),
        }
    }

    /// An attempt to log on begins.
    fn attempt(&mut self, slot: usize, intended_us: u64, now_us: u64) {
        let seat = &mut self.seats[slot];
        (seat.logon_us, seat.begun_us) = (intended_us.max(1), now_us);
        self.logging_on += 1;
    }

    fn ask(&mut self, slot: usize, task: Task, intended_us: u64) {
        self.outstanding += 1;
        self.say(slot, task, intended_us);
    }

    /// Looks at a seat every second until it waits for nothing.
    fn attend(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.is_busy[slot], true) {
            self.busy.push(slot as u32);
        }
    }

    fn say(&mut self, slot: usize, task: Task, intended_us: u64) {
        self.attend(slot);
        let Seat { user, line, .. } = &mut self.seats[slot];
        let Some(line) = line.as_mut().filter(|line| line.is_open()) else {
            self.facts.push(Fact::Unanswered { task });
            self.digest(slot, now_us());
            return;
        };
        let mut scene = Scene {
            customs: &self.orders.customs,
            now_us: now_us(),
            local: line.local(),
            out: &mut self.scratch.said,
            facts: &mut self.facts,
        };
        user.ask(task, intended_us, &mut scene);
        if let Err(broken) = line.say(&mut self.scratch) {
            self.cut_off(slot, broken);
        }
    }

    fn on_ready(&mut self, slot: u32, generation: u32, flags: Option<epoll::EventFlags>) {
        let slot = slot as usize;
        let Some(Seat {
            user,
            line: Some(line),
            logon_us,
            ..
        }) = self.seats.get_mut(slot)
        else {
            return;
        };
        if line.generation != generation {
            return;
        }
        let (orders, facts) = (self.orders, &mut self.facts);
        let local = line.local();
        let now_us = now_us();
        let heard = match flags {
            Some(flags) => line.on_event(&mut self.scratch, flags),
            None => line.on_ready(&mut self.scratch),
        };
        let heard = heard.and_then(|heard| {
            if heard.opened {
                self.sight.resumed += u64::from(heard.resumed);
                let out = &mut self.scratch.said;
                let mut scene = Scene {
                    customs: &orders.customs,
                    now_us,
                    local,
                    out,
                    facts,
                };
                user.ask(Task::Register { refresh: false }, *logon_us, &mut scene);
            }
            line.cut(&mut self.scratch, |bytes, out| {
                match Message::parse(bytes) {
                    Ok(message) => {
                        user.take(
                            &message,
                            &mut Scene {
                                customs: &orders.customs,
                                now_us,
                                local,
                                out,
                                facts,
                            },
                        );
                    }
                    Err(_) => facts.push(Fact::Odd("a message that breaks the grammar")),
                }
            })?;
            line.say(&mut self.scratch)?;
            Ok(heard)
        });
        // What it heard before it broke counts.
        self.digest(slot, now_us);
        match heard {
            Ok(Heard { closed: true, .. }) => self.cut_off(slot, Broken::Closed),
            Ok(Heard { more: true, .. }) => self.again.push((slot as u32, generation)),
            Ok(_) => {}
            Err(broken) => self.cut_off(slot, broken),
        }
    }

    /// The line broke, and not because we wanted it to.
    fn cut_off(&mut self, slot: usize, broken: Broken) {
        self.scratch.said.clear();
        let Seat {
            user,
            line,
            logon_us,
            ..
        } = &self.seats[slot];
        if line.is_none() {
            return; // Digesting a fact has hung up already.
        }
        if *logon_us == 0 && !user.is_registered() {
            // Put off: the server need not keep the connection. It is made anew when it is time.
            return self.hang_up(slot);
        }
        self.fault(broken.to_string());
        self.hang_up(slot);
    }

    /// Closes the user's line, if there is one; what waited for an answer is not answered.
    fn hang_up(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        let Some(line) = seat.line.take() else { return };
        line.close(&mut self.scratch);
        if seat.user.is_registered() {
            Counters::take(&self.board.counters.online, 1);
        }
        if seat.logon_us != 0 {
            seat.logon_us = 0;
            self.logging_on -= 1;
        }
        seat.user.cut_off(&mut self.facts);
        self.digest(slot, now_us());
    }

    /// Takes note of what the user in `slot` has learnt.
    ///
    /// `now_us` is when it came, not when we got round to it.
    fn digest(&mut self, slot: usize, now_us: u64) {
        let index = self.seats[slot].user.index();
        let counters = &self.board.counters;
        let mut facts = std::mem::take(&mut self.facts);
        for fact in facts.drain(..) {
            match fact {
                Fact::Answered {
                    task,
                    intended_us,
                    status,
                } => self.on_answered(slot, task, intended_us, status, now_us),
                Fact::Unanswered {
                    task: Task::Register { refresh: false },
                } if self.seats[slot].logon_us == 0 => {
                    // Told already as a broken line.
                }
                Fact::PutOff {
                    task,
                    intended_us,
                    after_s,
                } => self.on_put_off(slot, task, intended_us, after_s, now_us),
                Fact::Unanswered { task } => {
                    if !matches!(task, Task::Register { .. } | Task::Follow { refresh: true }) {
                        self.outstanding -= 1;
                        Counters::add(&counters.answered, 1);
                    }
                    self.fault(format!("{} not answered", task.method()));
                    if task == (Task::Register { refresh: false }) {
                        self.hang_up(slot);
                    }
                }
                Fact::Received(stamp) => {
                    let parts = &self.orders.parts;
                    if !parts.senders.contains(&stamp.sender) {
                        self.sight.ledger.altered();
                    } else if self.sight.ledger.received(
                        &stamp,
                        index,
                        parts.receiver(stamp.sender, stamp.sequence),
                    ) {
                        Counters::add(&counters.delivered, 1);
                        self.time(Timed::Delivered, stamp.intended_us, now_us);
                    }
                }
                Fact::Altered => self.sight.ledger.altered(),
                Fact::Stranger => self.sight.strangers += 1,
                Fact::Notified(stamp) => {
                    Counters::add(&counters.notified, 1);
                    self.time(Timed::Notified, stamp.intended_us, now_us);
                }
                Fact::Repeated => self.sight.repeated += 1,
                Fact::Watching => Counters::add(&counters.watched, 1),
                Fact::Follows {
                    entries,
                    intended_us,
                } => {
                    Counters::add(&counters.watched, u64::from(entries));
                    self.time(Timed::Followed, intended_us, now_us);
                }
                Fact::Regressed => self.sight.ledger.regressed(),
                Fact::Ended => self.fault("subscription ended by the server".into()),
                Fact::Odd(what) => self.fault(what.into()),
            }
        }
        // Hanging up on the way may have left facts of its own, digested by then; keep the allocation.
        if self.facts.is_empty() {
            self.facts = facts;
        }
    }

    fn on_answered(&mut self, slot: usize, task: Task, intended_us: u64, status: u16, now_us: u64) {
        let index = self.seats[slot].user.index();
        let is_well = (200..300).contains(&status);
        if !is_well {
            self.fault(format!("{} answered {status}", task.method()));
        }
        match task {
            Task::Register { refresh: false } => {
                if status == 200 && self.seats[slot].user.is_registered() {
                    self.seats[slot].logon_us = 0;
                    self.logging_on -= 1;
                    Counters::add(&self.board.counters.online, 1);
                    self.time(Timed::LogOn, intended_us, now_us);
                    self.look_again(slot);
                } else {
                    if is_well {
                        self.fault(LIFELESS.into());
                    }
                    self.hang_up(slot);
                }
                return;
            }
            Task::Register { refresh: true } => {
                if !self.seats[slot].user.is_registered() {
                    Counters::take(&self.board.counters.online, 1);
                    if is_well {
                        self.fault(LIFELESS.into());
                    }
                }
                return self.look_again(slot);
            }
            Task::Follow { refresh: true } => return self.look_again(slot),
            Task::Follow { refresh: false } => self.look_again(slot),
            Task::Message { sequence, .. } if is_well => {
                self.sight.ledger.accepted(index, sequence);
                self.time(Timed::Answered, intended_us, now_us);
            }
            Task::Publish { sequence } if is_well => {
                self.sight.ledger.published(index, sequence);
                self.board.published(index, sequence);
                self.time(Timed::Published, intended_us, now_us);
            }
            Task::Message { .. } | Task::Publish { .. } | Task::Subscribe { .. } => {}
        }
        self.outstanding -= 1;
        Counters::add(&self.board.counters.answered, 1);
    }

    fn on_put_off(&mut self, slot: usize, task: Task, intended_us: u64, after_s: u32, now_us: u64) {
        self.sight.put_off += 1;
        match task {
            Task::Register { refresh: false } => {
                self.logging_on -= 1;
                let seat = &mut self.seats[slot];
                (seat.logon_us, seat.begun_us) = (0, PUT_OFF);
            }
            Task::Follow { refresh: false } => self.outstanding -= 1,
            _ => return self.look_again(slot),
        }
        // Not all at once (RFC 3261 §21.5.4 leaves it to the client): up to a quarter later, by the index.
        let spread = u64::from(self.seats[slot].user.index().wrapping_mul(0x9e37_79b9) >> 16);
        let wait_us = u64::from(after_s.max(1)) * 1_000_000;
        self.put_off.push(Reverse(Again {
            due_us: now_us + wait_us + ((wait_us / 4 * spread) >> 16),
            slot: slot as u32,
            intended_us,
            follow: task == (Task::Follow { refresh: false }),
        }));
    }

    /// Puts the user's next refresh on the wheel.
    fn look_again(&mut self, slot: usize) {
        let refresh_s = self.seats[slot].user.refresh_s();
        if refresh_s != 0 {
            self.wheel.look_at(slot as u32, refresh_s);
        }
    }

    /// Once a second: requests that waited too long, logons that hang, registrations to refresh.
    fn sweep(&mut self, now_us: u64) {
        let mut due = std::mem::take(&mut self.busy);
        for slot in &due {
            self.is_busy[*slot as usize] = false;
        }
        let busy = due.len();
        self.wheel.advance(seconds(now_us), &mut due);
        for (at, slot) in due.into_iter().enumerate() {
            let slot = slot as usize;
            self.sweep_one(slot, now_us);
            let Seat { user, logon_us, .. } = &self.seats[slot];
            if *logon_us != 0 || user.is_busy() {
                self.attend(slot);
            }
            if at >= busy {
                self.look_again(slot);
            }
        }
    }

    fn sweep_one(&mut self, slot: usize, now_us: u64) {
        let timeout_us = self.orders.customs.timeout_us;
        let Seat {
            user,
            line,
            logon_us,
            begun_us,
        } = &mut self.seats[slot];
        let Some(line) = line else { return };
        // Twice: TCP and TLS, then REGISTER with a timeout of its own.
        if *logon_us != 0 && now_us.saturating_sub(*begun_us) > 2 * timeout_us {
            self.fault("logon took too long".into());
            return self.hang_up(slot);
        }
        if !line.is_open() {
            return;
        }
        let mut scene = Scene {
            customs: &self.orders.customs,
            now_us,
            local: line.local(),
            out: &mut self.scratch.said,
            facts: &mut self.facts,
        };
        user.sweep(&mut scene);
        let said = line.say(&mut self.scratch);
        if !self.facts.is_empty() {
            self.digest(slot, now_us);
        }
        if let Err(broken) = said {
            self.cut_off(slot, broken);
        }
    }

    fn time(&mut self, what: Timed, intended_us: u64, now_us: u64) {
        if intended_us >= self.record_from_us {
            self.sight
                .latencies
                .record(what, now_us.saturating_sub(intended_us));
        }
    }

    fn fault(&mut self, what: String) {
        Counters::add(&self.board.counters.faults, 1);
        self.sight.faults.add(what, 1);
    }

    fn quit(&mut self) {
        let untold: usize = self.seats.iter().map(|seat| seat.user.untold()).sum();
        if untold > 0 {
            let what = "subscription never told: it was granted, and no NOTIFY came";
            self.sight.faults.add(what.into(), untold as u64);
        }
        for seat in &mut self.seats {
            for (presentity, newest) in seat.user.seen() {
                self.sight.ledger.holds(presentity, newest);
            }
            if let Some(line) = seat.line.take() {
                line.close(&mut self.scratch);
            }
        }
    }
}

fn seconds(us: u64) -> u32 {
    u32::try_from(us / 1_000_000).unwrap_or(u32::MAX)
}
