//! What a thread begins of its own accord: the users of each stage in turn, and the plan of the measuring.

use std::cmp::Reverse;

use super::{EVENTS_MAX, Worker};
use crate::clock::thread_cpu_us;
use crate::plan::{Deed, Parts, Plan};
use crate::report::Timed;
use crate::stage::{Counters, Order, Stage};
use crate::user::Task;

/// At a rate so many users of one thread may be logging on at once. Beyond, the schedule is late, and the report says so.
const UNDER_WAY_MAX: usize = 4_096;

impl Worker<'_> {
    /// When the next user of a stage at a rate is due; `None` where there is none, or no room for one.
    pub(super) fn next_turn_us(&self) -> Option<u64> {
        let rate = self.stage_rate()?;
        if self.cursor.0 >= self.seats.len() || self.under_way() >= UNDER_WAY_MAX {
            return None;
        }
        // One thread's users one after another, then the next thread's: so few threads are awake at once, on each CPU one.
        let lanes = self
            .orders
            .cpus
            .len()
            .clamp(1, self.orders.threads as usize) as u64;
        let (thread, threads) = (u64::from(self.number), u64::from(self.orders.threads));
        let users_a_thread = u64::from(self.orders.parts.users).div_ceil(threads);
        let place = thread / lanes * users_a_thread + self.cursor.0 as u64;
        let number = place * lanes + thread % lanes;
        Some(self.order.start_us + (number as f64 * 1e6 / rate) as u64)
    }

    /// Users a second of a stage at a rate.
    fn stage_rate(&self) -> Option<f64> {
        match self.order.stage {
            Stage::LogOn => self.orders.logon_rate,
            Stage::Follow => self.orders.follow_rate,
            _ => None,
        }
    }

    fn under_way(&self) -> usize {
        self.logging_on + self.outstanding
    }

    pub(super) fn begin(&mut self, order: Order) {
        self.order = order;
        self.reported = false;
        self.cursor = (0, 0);
        let orders = self.orders;
        if self.stage_rate().is_some() {
            self.record_from_us = order.start_us;
        }
        let seconds = match order.stage {
            Stage::WarmUp => orders.warm_up_s,
            Stage::Measure => orders.measure_s,
            _ => return,
        };
        if order.stage == Stage::Measure {
            self.record_from_us = order.start_us;
            self.cpu_from_us = thread_cpu_us();
        }
        let share = (self.number, orders.threads);
        let plan = Plan::new(
            &orders.parts,
            orders.rates,
            seconds,
            orders.arrivals,
            order.start_us,
            &mut self.done,
            share,
        );
        self.plan = Some(plan);
    }

    /// Begins what the stage wants begun now.
    pub(super) fn work(&mut self, now_us: u64) {
        self.try_again(now_us);
        match self.order.stage {
            Stage::Rest | Stage::Arrive | Stage::Quit => {}
            Stage::LogOn | Stage::Follow => {
                while let Some(intended_us) = self.take_turn(now_us) {
                    let slot = self.cursor.0;
                    self.cursor.0 += 1;
                    let user = &self.seats[slot].user;
                    match self.order.stage {
                        Stage::LogOn if self.orders.parts.is_resident(user.index()) => {
                            self.log_on(slot, intended_us);
                        }
                        // Who could not log on is counted already.
                        Stage::Follow if user.is_registered() => {
                            self.ask(slot, Task::Follow { refresh: false }, intended_us);
                        }
                        _ => {}
                    }
                }
            }
            Stage::FirstPublish => {
                let publishers = self.orders.parts.publishers.clone();
                self.ask_each(now_us, |index, turn| {
                    (publishers.contains(&index) && turn == 0)
                        .then_some(Task::Publish { sequence: 0 })
                });
            }
            Stage::Subscribe => {
                let Parts {
                    publishers,
                    watchers,
                    ..
                } = self.orders.parts.clone();
                self.ask_each(now_us, |index, turn| {
                    let presentity = publishers.start + turn;
                    (watchers.contains(&index) && presentity < publishers.end)
                        .then_some(Task::Subscribe { presentity })
                });
            }
            Stage::WarmUp | Stage::Measure => self.follow_plan(now_us),
        }
    }

    /// The instant at which the next user was meant to begin, if one may begin now.
    fn take_turn(&mut self, now_us: u64) -> Option<u64> {
        if self.stage_rate().is_none() {
            let may = self.under_way() < self.orders.beginning_max;
            return (may && self.cursor.0 < self.seats.len()).then_some(now_us);
        }
        let intended_us = self.next_turn_us().filter(|due_us| *due_us <= now_us)?;
        let late_us = now_us - intended_us;
        self.sight.latencies.record(Timed::Started, late_us);
        Some(intended_us)
    }

    /// Asks once more for what the server put off until now.
    fn try_again(&mut self, now_us: u64) {
        while let Some(Reverse(again)) = self.put_off.peek().copied()
            && again.due_us <= now_us
        {
            self.put_off.pop();
            let slot = again.slot as usize;
            let line = self.seats[slot].line.as_ref();
            let is_open = line.is_some_and(|line| line.is_open());
            if again.follow {
                self.ask(slot, Task::Follow { refresh: false }, again.intended_us);
            } else if is_open {
                self.attempt(slot, again.intended_us, now_us);
                self.say(slot, Task::Register { refresh: false }, again.intended_us);
            } else {
                // The server has closed meanwhile, as it may.
                self.hang_up(slot);
                self.log_on(slot, again.intended_us);
            }
        }
    }

    /// Asks each user for its tasks, `of(index, 0)`, `of(index, 1)`, … until it has no more, with a bound on what waits.
    fn ask_each(&mut self, now_us: u64, of: impl Fn(u32, u32) -> Option<Task>) {
        while self.outstanding < self.orders.beginning_max && self.cursor.0 < self.seats.len() {
            let (slot, turn) = self.cursor;
            match of(self.seats[slot].user.index(), turn) {
                Some(task) => {
                    self.cursor.1 += 1;
                    self.ask(slot, task, now_us);
                }
                None => self.cursor = (slot + 1, 0),
            }
        }
    }

    fn follow_plan(&mut self, now_us: u64) {
        // Bounded by what is due; the sockets get their turn after so many.
        for _ in 0..EVENTS_MAX {
            let Some(operation) = self.plan.as_mut().and_then(|plan| plan.take(now_us)) else {
                return;
            };
            if operation.intended_us >= self.record_from_us {
                let late_us = crate::clock::now_us().saturating_sub(operation.intended_us);
                self.sight.latencies.record(Timed::Started, late_us);
            }
            Counters::add(&self.board.counters.started, 1);
            let slot = (operation.user / self.orders.threads) as usize;
            match operation.deed {
                Deed::Ask(task) => self.ask(slot, task, operation.intended_us),
                Deed::LogOn => self.log_on_anew(slot, operation.intended_us),
            }
        }
    }

    /// A user comes once more, on another connection.
    pub(super) fn log_on_anew(&mut self, slot: usize, intended_us: u64) {
        if self.seats[slot].is_logging_on() {
            let what =
                "logon meant while the user's last one still went on (more users would help)";
            return self.fault(what.into());
        }
        self.hang_up(slot);
        self.log_on(slot, intended_us);
    }

    pub(super) fn is_stage_done(&mut self) -> bool {
        let nothing_waits = self.under_way() == 0 && self.put_off.is_empty();
        match self.order.stage {
            Stage::Rest => true,
            Stage::LogOn | Stage::Follow | Stage::FirstPublish | Stage::Subscribe => {
                self.cursor.0 == self.seats.len() && nothing_waits
            }
            Stage::WarmUp | Stage::Measure => {
                let plan = self.plan.as_mut();
                nothing_waits && plan.is_none_or(|plan| plan.next_us().is_none())
            }
            Stage::Arrive => self.is_all_told(),
            Stage::Quit => false,
        }
    }

    /// One seat is looked at until it has everything, then the next: so a turn costs a look, however many wait.
    fn is_all_told(&mut self) -> bool {
        let last_state = |publisher| self.board.last_state(publisher);
        let seats = self.seats.iter().skip(self.cursor.0);
        let told = seats.take_while(|seat| seat.user.is_told(last_state));
        self.cursor.0 += told.count();
        self.cursor.0 == self.seats.len()
    }

    pub(super) fn finish_stage(&mut self) {
        if self.order.stage == Stage::Measure {
            self.sight.measured_cpu_us = thread_cpu_us().saturating_sub(self.cpu_from_us);
        }
        self.plan = None;
        self.reported = true;
        self.board.report_finished();
    }
}
