//! The stages of a run, and what the conducting thread and the working threads tell each other: a few atomics.
//!
//! The conductor orders a stage and rings; each worker does its part and reports once; the conductor orders the next.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

/// What the workers are at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is started; what comes is answered.
    Rest,
    /// The resident users connect and register, some at a time or at a rate.
    LogOn,
    /// They subscribe to their contacts, likewise.
    Follow,
    /// The publishers publish the first state, before anyone watches.
    FirstPublish,
    /// The watchers subscribe, some at a time.
    Subscribe,
    /// Operations by schedule that are not recorded.
    WarmUp,
    /// Operations by schedule that are recorded.
    Measure,
    /// Nothing is started; over when everybody was told of all that they watch, and of the last states.
    Arrive,
    /// All connections are closed, and the threads end.
    Quit,
}

const STAGES: [Stage; 9] = [
    Stage::Rest,
    Stage::LogOn,
    Stage::Follow,
    Stage::FirstPublish,
    Stage::Subscribe,
    Stage::WarmUp,
    Stage::Measure,
    Stage::Arrive,
    Stage::Quit,
];

/// Shared by the conductor and the workers.
#[derive(Default)]
pub struct Board {
    /// Number of the order in the high bits, stage in the low 8.
    order: AtomicU64,
    start_us: AtomicU64,
    finished: AtomicU32,
    /// One a worker, in its readiness set: an order wakes it, so it need not look.
    bells: Vec<OwnedFd>,
    /// By publisher: the last state that was answered 200.
    last_states: Vec<AtomicU32>,
    pub counters: Counters,
}

/// For the progress display, and to see when all is quiet.
#[derive(Default)]
pub struct Counters {
    pub online: AtomicU64,
    pub started: AtomicU64,
    /// Finally answered, or given up.
    pub answered: AtomicU64,
    pub delivered: AtomicU64,
    pub notified: AtomicU64,
    /// Presentities that a watcher was told of for the first time, each contact of a list counted.
    pub watched: AtomicU64,
    pub faults: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub fn take(counter: &AtomicU64, count: u64) {
        counter.fetch_sub(count, Ordering::Relaxed);
    }

    pub fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Changes whenever anything happens.
    pub fn sum(&self) -> u64 {
        [
            &self.online,
            &self.started,
            &self.answered,
            &self.delivered,
            &self.notified,
            &self.watched,
            &self.faults,
        ]
        .map(Counters::of)
        .iter()
        .fold(0, |sum, each| sum.wrapping_mul(31).wrapping_add(*each))
    }
}

/// One order as a worker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub number: u64,
    pub stage: Stage,
    /// When the stage's schedule begins, µs of `clock`.
    pub start_us: u64,
}

impl Board {
    /// A board for so many workers, and for publishers with an index below `publishers`.
    pub fn new(workers: u32, publishers: u32) -> io::Result<Board> {
        let bell = |_| eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let bells = (0..workers).map(bell).collect::<Result<_, _>>()?;
        Ok(Board {
            bells,
            last_states: (0..publishers).map(|_| AtomicU32::new(0)).collect(),
            ..Board::default()
        })
    }

    /// Readable, edge-triggered, after each order. `None` for a worker that the board was not made for.
    pub fn bell(&self, worker: u32) -> Option<&OwnedFd> {
        self.bells.get(worker as usize)
    }

    /// Orders a stage. Only the conductor calls this, and only when all workers have finished the one before, or are to quit.
    pub fn order(&self, stage: Stage, start_us: u64) {
        self.finished.store(0, Ordering::Relaxed);
        self.start_us.store(start_us, Ordering::Relaxed);
        let number = (self.order.load(Ordering::Relaxed) >> 8) + 1;
        // Releases the two stores above to the worker that reads this one.
        self.order
            .store(number << 8 | stage as u64, Ordering::Release);
        for bell in &self.bells {
            // A counter at its end would have been rung 2^64 times, unheard.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }

    pub fn current(&self) -> Order {
        let order = self.order.load(Ordering::Acquire);
        let stage = STAGES
            .get((order & 0xff) as usize)
            .copied()
            .unwrap_or(Stage::Quit);
        Order {
            number: order >> 8,
            stage,
            start_us: self.start_us.load(Ordering::Relaxed),
        }
    }

    /// `publisher` was told that its state is published.
    pub fn published(&self, publisher: u32, sequence: u32) {
        if let Some(last) = self.last_states.get(publisher as usize) {
            last.fetch_max(sequence, Ordering::Relaxed);
        }
    }

    /// The sequence of the last state of `publisher`, 0 also where there is none; true once the stage that publishes is over.
    pub fn last_state(&self, publisher: u32) -> u32 {
        let last = self.last_states.get(publisher as usize);
        last.map_or(0, |last| last.load(Ordering::Relaxed))
    }

    /// A worker has done its part of the current stage.
    pub fn report_finished(&self) {
        self.finished.fetch_add(1, Ordering::AcqRel);
    }

    pub fn finished(&self) -> u32 {
        self.finished.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_given() {
        let board = Board::default();
        assert_eq!(
            board.current(),
            Order {
                number: 0,
                stage: Stage::Rest,
                start_us: 0
            }
        );
        for (number, stage) in STAGES.into_iter().enumerate() {
            board.report_finished();
            board.order(stage, 7);
            assert_eq!(
                board.current(),
                Order {
                    number: number as u64 + 1,
                    stage,
                    start_us: 7
                }
            );
            assert_eq!(board.finished(), 0);
        }
    }
}
