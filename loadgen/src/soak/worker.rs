//! One thread of a soak: its seats with their lines, the whole plan of which it takes its own part, an epoll set.
//!
//! Seats belong to threads in turn. A turn of the loop: what is due, then what the sockets have. Threads share nothing
//! but the `Board`; what was seen goes to the conductor in parcels.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use muster::sip::message::Message;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::time::Timespec;

use super::check::Letter;
use super::client::{Client, Scene, Task, Turn, World};
use super::graph::hash;
use super::planner::{Brief, Deed, Event, Planner};
use super::sight::{Histograms, Sight, Timed};
use crate::alarm::Alarm;
use crate::clock::now_us;
use crate::host;
use crate::line::{Broken, Heard, Line, Route, Scratch};

/// All that stays the same over a run.
pub struct Orders {
    pub world: World,
    pub brief: Brief,
    /// For full handshakes, and for resumed ones.
    pub routes: [Route; 2],
    pub threads: u32,
    /// Each thread has a table of descriptors of its own, since one doesn't hold all endpoints.
    pub own_tables: bool,
    /// Cores that the threads are pinned to, in turn; empty: where the kernel likes.
    pub cpus: Vec<usize>,
    /// When the plan's time begins, µs of `clock`.
    pub start_us: u64,
    pub interval_us: u64,
}

/// What the threads are at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The plan goes on.
    Plan = 0,
    /// Nothing new is begun; what is under way may end.
    Rest = 1,
    Quit = 2,
}

/// Shared by the conductor and the threads.
#[derive(Default)]
pub struct Board {
    stage: AtomicU8,
    pub online: AtomicU64,
    pub events: AtomicU64,
    pub heard: AtomicU64,
    pub notifies: AtomicU64,
    pub shed: AtomicU64,
    pub faults: AtomicU64,
    /// Requests that wait for their answer are in so many threads.
    pub busy: AtomicU64,
}

impl Board {
    pub fn order(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Plan,
            1 => Stage::Rest,
            _ => Stage::Quit,
        }
    }
}

/// What a thread hands over.
pub enum Parcel {
    Letters(Vec<Letter>),
    /// Latencies seen in this interval of the run.
    Interval(usize, Box<Histograms>),
    End(Box<Sight>),
}

struct Seat {
    client: Client,
    line: Option<Box<Line>>,
    /// When the logon that goes on was meant to begin; 0 while none does.
    logon_us: u64,
    /// When it did begin, s of `clock`: later, where it was put off.
    begun_s: u32,
    /// Counts what the plan does to the connection: what waits from before is stale.
    life: u16,
    /// Connections in a row that were lost before a logon was through.
    failures: u8,
    /// The last logon was to resume a TLS session, and so is what takes its place.
    resumed: bool,
}

/// Something to be done again, later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Later {
    at_us: u64,
    /// When it was meant to be done.
    intended_us: u64,
    slot: u32,
    life: u16,
    /// `Register` is the whole logon, from the connection on.
    what: Task,
}

const TIMER: u64 = u64::MAX;
const EVENTS_MAX: usize = 512;
const SWEEP_US: u64 = 1_000_000;
/// Each client looks at what it knows of others at one sweep in so many; not where the thread is so late that what came may
/// not be read yet.
const SWEEPS_A_LOOK: usize = 64;
const SWEEP_LATE_US: u64 = 5_000_000;
/// Letters are sent when so many wait, or a sweep comes by.
const LETTERS: usize = 256;
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// A cut client comes back after one to three seconds, and each time that it is cut before it was logged on after twice as
/// long (RFC 5626 §4.5 has the same with more patience): else who is late once makes everybody late for good.
const BACK_US: u64 = 1_000_000;
/// Who was told when to come again comes up to so much later.
const SPREAD_US: u64 = 2_000_000;
/// The wait is doubled so often.
const DOUBLED_MAX: u8 = 6;

pub struct Worker<'r> {
    orders: &'r Orders,
    board: &'r Board,
    parcels: SyncSender<Parcel>,
    number: u32,
    planner: Planner,
    next: Option<Event>,
    seats: Vec<Seat>,
    epoll: OwnedFd,
    alarm: Alarm,
    scratch: Scratch,
    sight: Sight,
    letters: Vec<Letter>,
    turns: Vec<Turn>,
    again: Vec<(u32, u32)>,
    later: BinaryHeap<Reverse<Later>>,
    generation: u32,
    interval: usize,
    told: [u64; 5],
    is_busy: bool,
    sweeps: usize,
}

impl<'r> Worker<'r> {
    pub fn new(
        orders: &'r Orders,
        board: &'r Board,
        parcels: SyncSender<Parcel>,
        number: u32,
    ) -> io::Result<Worker<'r>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let alarm = Alarm::new(&epoll, TIMER)?;
        let planner = Planner::new(orders.brief.clone());
        let seats = (number..planner.seats().seats).step_by(orders.threads as usize);
        let seats = seats
            .map(|seat| Seat {
                client: Client::new(seat),
                line: None,
                logon_us: 0,
                begun_s: 0,
                life: 0,
                failures: 0,
                resumed: false,
            })
            .collect();
        Ok(Worker {
            orders,
            board,
            parcels,
            number,
            planner,
            next: None,
            seats,
            epoll,
            alarm,
            scratch: Scratch::default(),
            sight: Sight::default(),
            letters: Vec::new(),
            turns: Vec::new(),
            again: Vec::new(),
            later: BinaryHeap::new(),
            generation: 0,
            interval: 0,
            told: [0; 5],
            is_busy: false,
            sweeps: 0,
        })
    }

    /// Works until the board says to quit.
    pub fn run(mut self) -> io::Result<()> {
        if self.orders.own_tables {
            host::own_table()?;
        }
        if !self.orders.cpus.is_empty() {
            host::pin(&[self.orders.cpus[self.number as usize % self.orders.cpus.len()]])?;
        }
        self.take_next();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let mut next_sweep_us = now_us() + SWEEP_US;
        loop {
            let stage = self.board.stage();
            if stage == Stage::Quit {
                break;
            }
            let now_us = now_us();
            if stage == Stage::Plan {
                self.follow_plan(now_us);
                self.do_later(now_us);
            }
            if now_us >= next_sweep_us {
                self.sweep(now_us, now_us - next_sweep_us < SWEEP_LATE_US);
                next_sweep_us = now_us + SWEEP_US;
            }
            self.hand_over(now_us, false);
            let timeout = self.timeout(now_us, stage)?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for (slot, generation) in std::mem::take(&mut self.again) {
                self.on_ready(slot, generation, epoll::EventFlags::all());
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if token != TIMER {
                    self.on_ready(token as u32, (token >> 32) as u32, flags);
                }
            }
        }
        let now_us = now_us();
        for slot in 0..self.seats.len() {
            self.with_client(slot, now_us, |client, scene| client.look(scene));
        }
        for seat in &mut self.seats {
            seat.client.cut_off(now_us, &mut self.letters);
            if let Some(line) = seat.line.take() {
                line.close(&mut self.scratch);
            }
        }
        self.hand_over(now_us, true);
        // The conductor is gone only where the run failed already.
        let _ = self.parcels.send(Parcel::End(Box::new(self.sight)));
        Ok(())
    }

    fn take_next(&mut self) {
        // The other threads' events are theirs.
        self.next = std::iter::from_fn(|| self.planner.next())
            .find(|event| event.seat % self.orders.threads == self.number);
    }

    fn timeout(&mut self, now_us: u64, stage: Stage) -> io::Result<Timespec> {
        if !self.again.is_empty() {
            return Ok(NOW);
        }
        let planned_us = self
            .next
            .as_ref()
            .map(|event| self.orders.start_us + event.at_us);
        let later_us = self.later.peek().map(|later| later.0.at_us);
        let due_us = planned_us.into_iter().chain(later_us).min();
        let Some(due_us) = due_us.filter(|_| stage == Stage::Plan) else {
            return Ok(LOOK);
        };
        if due_us <= now_us {
            return Ok(NOW);
        }
        self.alarm.set(due_us)?;
        Ok(LOOK)
    }

    fn follow_plan(&mut self, now_us: u64) {
        // Bounded by what is due; the sockets get their turn after so many.
        for _ in 0..EVENTS_MAX {
            let Some(event) = self
                .next
                .take_if(|event| self.orders.start_us + event.at_us <= now_us)
            else {
                return;
            };
            let intended_us = self.orders.start_us + event.at_us;
            let late_us = crate::clock::now_us().saturating_sub(intended_us);
            self.sight.interval.record(Timed::Started, late_us);
            self.sight.counts.events += 1;
            self.act(
                (event.seat / self.orders.threads) as usize,
                event.deed,
                intended_us,
            );
            self.take_next();
        }
    }

    fn act(&mut self, slot: usize, deed: Deed, intended_us: u64) {
        let now_us = now_us();
        let seat = &mut self.seats[slot];
        let is_open =
            seat.client.is_registered() && seat.line.as_ref().is_some_and(|line| line.is_open());
        match deed {
            Deed::LogOn { resumed } => {
                seat.life = seat.life.wrapping_add(1);
                if seat.line.is_some() {
                    self.sight.counts.skipped += 1;
                } else {
                    self.log_on(slot, resumed, intended_us);
                }
            }
            Deed::Drop => {
                seat.life = seat.life.wrapping_add(1);
                self.forget_line(slot, now_us);
            }
            Deed::LogOff if !is_open => {
                seat.life = seat.life.wrapping_add(1);
                self.hang_up(slot, now_us);
            }
            // The session ended for this seat when its line did.
            Deed::Leave { session, parts } if !is_open => {
                self.letters.push(Letter::Through { session, parts })
            }
            _ if !is_open => self.sight.counts.skipped += 1,
            deed => {
                if deed == Deed::LogOff {
                    seat.life = seat.life.wrapping_add(1);
                }
                self.with_client(slot, now_us, |client, scene| {
                    client.act(&deed, intended_us, scene)
                });
            }
        }
    }

    fn do_later(&mut self, now_us: u64) {
        while let Some(Reverse(later)) = self.later.peek().copied()
            && later.at_us <= now_us
        {
            self.later.pop();
            let slot = later.slot as usize;
            if self.seats[slot].life != later.life {
                continue;
            }
            match later.what {
                Task::Register if self.seats[slot].line.is_none() => {
                    self.log_on(slot, self.seats[slot].resumed, later.intended_us)
                }
                Task::Register => {}
                task => self.with_client(slot, now_us, |client, scene| {
                    client.again(task, later.intended_us, scene)
                }),
            }
        }
    }

    fn log_on(&mut self, slot: usize, resumed: bool, intended_us: u64) {
        self.generation = self.generation.wrapping_add(1);
        let token = u64::from(self.generation) << 32 | slot as u64;
        let route = &self.orders.routes[usize::from(resumed)];
        self.seats[slot].resumed = resumed;
        let turn = self.seats[slot].client.seat() as usize;
        match Line::connect(route, turn, &self.epoll, token, self.generation) {
            Ok(line) => {
                self.seats[slot].line = Some(Box::new(line));
                self.seats[slot].logon_us = intended_us.max(1);
                self.seats[slot].begun_s = (now_us() / 1_000_000) as u32;
            }
            Err(error) => {
                self.fault(format!("logon: {}", Broken::Socket(error)));
                self.come_back(slot, None, intended_us);
            }
        }
    }

    /// Lends the client what it needs, says what it said, and does what it asks for.
    fn with_client(
        &mut self,
        slot: usize,
        now_us: u64,
        act: impl FnOnce(&mut Client, &mut Scene<'_>),
    ) {
        let Seat { client, line, .. } = &mut self.seats[slot];
        let Some(line) = line.as_mut().filter(|line| line.is_open()) else {
            return;
        };
        let mut scene = Scene {
            world: &self.orders.world,
            now_us,
            local: line.local(),
            peer: self.orders.routes[0].server,
            out: &mut self.scratch.said,
            sight: &mut self.sight,
            letters: &mut self.letters,
            turns: &mut self.turns,
        };
        act(client, &mut scene);
        let said = line.say(&mut self.scratch);
        self.take_turns(slot, now_us);
        if let Err(broken) = said {
            self.cut_off(slot, broken, now_us);
        }
    }

    fn on_ready(&mut self, slot: u32, generation: u32, flags: epoll::EventFlags) {
        let slot = slot as usize;
        let Some(Seat {
            client,
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
        let now_us = now_us();
        let (local, peer, world) = (
            line.local(),
            self.orders.routes[0].server,
            &self.orders.world,
        );
        let (sight, letters, turns) = (&mut self.sight, &mut self.letters, &mut self.turns);
        let heard = line.on_event(&mut self.scratch, flags).and_then(|heard| {
            if heard.opened {
                sight.counts.resumed += u64::from(heard.resumed);
                let mut scene = Scene {
                    world,
                    now_us,
                    local,
                    peer,
                    out: &mut self.scratch.said,
                    sight,
                    letters,
                    turns,
                };
                client.log_on(*logon_us, &mut scene);
            }
            line.cut(&mut self.scratch, |bytes, out| {
                match Message::parse(bytes) {
                    Ok(message) => client.take(
                        &message,
                        &mut Scene {
                            world,
                            now_us,
                            local,
                            peer,
                            out,
                            sight,
                            letters,
                            turns,
                        },
                    ),
                    Err(_) => sight
                        .faults
                        .add("a message that breaks the grammar".into(), 1),
                }
            })?;
            line.say(&mut self.scratch)?;
            Ok(heard)
        });
        self.take_turns(slot, now_us);
        match heard {
            Ok(Heard { closed: true, .. }) => self.cut_off(slot, Broken::Closed, now_us),
            Ok(Heard { more: true, .. }) => self.again.push((slot as u32, generation)),
            Ok(_) => {}
            Err(broken) => self.cut_off(slot, broken, now_us),
        }
    }

    fn take_turns(&mut self, slot: usize, now_us: u64) {
        for at in 0..self.turns.len() {
            match self.turns[at] {
                Turn::Registered => {
                    self.seats[slot].logon_us = 0;
                    self.seats[slot].failures = 0;
                    self.board.online.fetch_add(1, Ordering::Relaxed);
                }
                Turn::Off => self.hang_up(slot, now_us),
                Turn::LogonRefused { after_s } => {
                    let intended_us = self.seats[slot].logon_us;
                    self.hang_up(slot, now_us);
                    match after_s {
                        Some(_) => {
                            let back_us = self.come_back(slot, after_s, intended_us);
                            let seat = self.seats[slot].client.seat();
                            if intended_us != 0 && self.orders.world.seats.is_first(seat) {
                                self.sight.counts.kept_out_ms += (back_us - now_us) / 1000;
                            }
                        }
                        None => self.fault("a logon was refused".into()),
                    }
                }
                Turn::Again {
                    task,
                    after_s,
                    intended_us,
                } => {
                    let after_us = u64::from(after_s) * 1_000_000;
                    self.put_off(slot, after_us, SPREAD_US, task, intended_us);
                }
            }
        }
        self.turns.clear();
    }

    /// Says when. Who was on their way in is timed from when they meant to be; 0: who was in, from when they come.
    fn come_back(&mut self, slot: usize, after_s: Option<u32>, intended_us: u64) -> u64 {
        let Seat {
            failures, resumed, ..
        } = &mut self.seats[slot];
        *resumed &= intended_us != 0;
        let (after_us, spread_us) = match after_s {
            Some(after_s) => (u64::from(after_s) * 1_000_000, SPREAD_US),
            None => {
                let after_us = BACK_US << (*failures).min(DOUBLED_MAX);
                *failures = failures.saturating_add(1);
                (after_us, 2 * after_us)
            }
        };
        self.put_off(slot, after_us, spread_us, Task::Register, intended_us)
    }

    /// Not before the time, and not all at once. Says when.
    fn put_off(
        &mut self,
        slot: usize,
        after_us: u64,
        spread_us: u64,
        what: Task,
        intended_us: u64,
    ) -> u64 {
        let now_us = now_us();
        let jitter_us = hash(self.orders.brief.seed, now_us, slot as u64) % spread_us;
        let at_us = now_us + after_us + jitter_us;
        self.later.push(Reverse(Later {
            at_us,
            intended_us: if intended_us == 0 { at_us } else { intended_us },
            slot: slot as u32,
            life: self.seats[slot].life,
            what,
        }));
        at_us
    }

    /// The line broke, and not because we wanted it to.
    fn cut_off(&mut self, slot: usize, broken: Broken, now_us: u64) {
        self.scratch.said.clear();
        if self.seats[slot].line.is_none() {
            return; // It was hung up on the way.
        }
        self.sight.counts.cut += 1;
        self.fault(broken.to_string());
        let intended_us = self.seats[slot].logon_us;
        self.forget_line(slot, now_us);
        self.come_back(slot, None, intended_us);
    }

    /// Closes the line as it should be, if there is one.
    fn hang_up(&mut self, slot: usize, now_us: u64) {
        if let Some(line) = self.seats[slot].line.take() {
            line.close(&mut self.scratch);
            self.after_line(slot, now_us);
        }
    }

    /// Lets go of the line without a word.
    fn forget_line(&mut self, slot: usize, now_us: u64) {
        if self.seats[slot].line.take().is_some() {
            self.after_line(slot, now_us);
        }
    }

    fn after_line(&mut self, slot: usize, now_us: u64) {
        let seat = &mut self.seats[slot];
        if seat.logon_us == 0 {
            self.board.online.fetch_sub(1, Ordering::Relaxed);
        }
        seat.logon_us = 0;
        seat.client.cut_off(now_us, &mut self.letters);
        let World {
            seats, published, ..
        } = &self.orders.world;
        if seats.is_first(seat.client.seat()) {
            published.gone(seat.client.seat());
        }
    }

    /// Once a second: what waited too long, logons that hang, registrations to refresh.
    fn sweep(&mut self, now_us: u64, is_on_time: bool) {
        let timeout_us = self.orders.world.timeout_us;
        self.sweeps += 1;
        let mut is_busy = false;
        for slot in 0..self.seats.len() {
            let seat = &self.seats[slot];
            let Some(line) = &seat.line else { continue };
            let (intended_us, begun_us) = (seat.logon_us, u64::from(seat.begun_s) * 1_000_000);
            if intended_us != 0 && now_us.saturating_sub(begun_us) > 2 * timeout_us {
                self.sight.counts.unanswered += 1;
                self.fault("a logon took too long".into());
                self.hang_up(slot, now_us);
                self.come_back(slot, None, intended_us);
            } else if line.is_open() && (!seat.client.is_quiet() || seat.client.is_registered()) {
                is_busy |= !seat.client.is_quiet();
                let looks = is_on_time && (self.sweeps + slot).is_multiple_of(SWEEPS_A_LOOK);
                self.with_client(slot, now_us, |client, scene| {
                    client.sweep(scene);
                    if looks {
                        client.look(scene);
                    }
                });
            }
        }
        if is_busy != self.is_busy {
            self.is_busy = is_busy;
            let busy = &self.board.busy;
            if is_busy {
                busy.fetch_add(1, Ordering::Relaxed)
            } else {
                busy.fetch_sub(1, Ordering::Relaxed)
            };
        }
        let counts = &self.sight.counts;
        let board = [
            (&self.board.events, counts.events),
            (&self.board.heard, counts.heard),
            (&self.board.notifies, counts.notifies),
            (&self.board.shed, counts.shed),
            (
                &self.board.faults,
                counts.unanswered
                    + counts.cut
                    + counts.duplicated
                    + counts.reordered
                    + counts.altered
                    + counts.misdelivered
                    + counts.states_untold,
            ),
        ];
        for ((shared, count), told) in board.into_iter().zip(&mut self.told) {
            shared.fetch_add(count - *told, Ordering::Relaxed);
            *told = count;
        }
        self.send_letters();
    }

    /// At the end of an interval, its histograms; letters where there are many.
    fn hand_over(&mut self, now_us: u64, all: bool) {
        if all || self.letters.len() >= LETTERS {
            self.send_letters();
        }
        let interval =
            (now_us.saturating_sub(self.orders.start_us) / self.orders.interval_us) as usize;
        if interval > self.interval || all {
            let histograms = std::mem::take(&mut self.sight.interval);
            let _ = self
                .parcels
                .send(Parcel::Interval(self.interval, Box::new(histograms)));
            self.interval = interval;
        }
    }

    fn send_letters(&mut self) {
        if !self.letters.is_empty() {
            let _ = self
                .parcels
                .send(Parcel::Letters(std::mem::take(&mut self.letters)));
        }
    }

    fn fault(&mut self, what: String) {
        self.sight.faults.add(what, 1);
    }
}
