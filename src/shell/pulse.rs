//! The pulse: one plain thread that wakes every shard a few times a second, whatever happens, and once a second the allocator.
//!
//! glommio 0.9.0 can park an executor for good while its tasks are runnable: when the preempt timer has fired before the
//! run loop is entered (the thread was descheduled), nothing is run, "nothing ran" is taken for "nothing to do", and it
//! sleeps. A wake from another thread makes it run all that it has; one that comes just before the bad park
//! prevents it. So a lost run costs one period at most. Measured in `tests/shell.rs`.
//!
//! A wake is never made to wait for an answer, since what would answer can be among the stuck; but it is counted:
//! glommio's count of wakes is 16 bits, so a shard that does not answer gets 64 wakes and then one a second.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{future, io};

/// More than the allocator keeps together with others.
const ALONE_BYTES: usize = 1 << 20;
/// Wakes that a shard may owe an answer to before it gets only one a second.
const UNANSWERED_MAX: u32 = 64;

/// The pulse of one shard.
#[derive(Debug, Default)]
pub struct Pulse {
    waker: OnceLock<Waker>,
    sent: AtomicU32,
    seen: AtomicU32,
}

impl Pulse {
    /// Starts to feel the pulse. Called once, on the shard's executor, before any other task is spawned.
    pub fn install(self: Arc<Pulse>) {
        glommio::spawn_local(future::poll_fn(move |cx| -> Poll<()> {
            self.waker.get_or_init(|| cx.waker().clone());
            self.seen
                .store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
            Poll::Pending // It lives as long as its executor.
        }))
        .detach();
    }

    fn beat(&self, beat: u32, beats_a_second: u32) {
        let Some(waker) = self.waker.get() else {
            return;
        };
        if self.unanswered() < UNANSWERED_MAX || beat.is_multiple_of(beats_a_second) {
            self.sent.fetch_add(1, Ordering::Relaxed);
            waker.wake_by_ref();
        }
    }

    /// How many wakes the shard has not yet answered; a handful on a busy core, `64` and more when it hangs.
    pub fn unanswered(&self) -> u32 {
        self.sent
            .load(Ordering::Relaxed)
            .wrapping_sub(self.seen.load(Ordering::Relaxed))
    }
}

/// The thread that beats. Stops when dropped.
#[derive(Debug)]
pub struct Heart {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    /// How often shards are woken: 20 ms for a few, 50 ms for many (0.6 % and 6 % of a core at 1 and 54 shards).
    pub fn period(shards: usize) -> Duration {
        Duration::from_millis(if shards <= 8 { 20 } else { 50 })
    }

    /// Starts to beat for `shards`, from an unpinned thread. Logs a shard that has not answered for a second.
    pub fn start(shards: Vec<Arc<Pulse>>) -> io::Result<Heart> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("pulse".into())
            .spawn(move || run(&shards, &stopped))?;
        Ok(Heart {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, and then it has said so.
            let _ = thread.join();
        }
    }
}

/// Lets the allocator give free pages back to the system.
///
/// mimalloc 3 does so a second after they were freed, but looks at the time only where a page is freed in one of several ways; a
/// process that falls quiet does not come there, and keeps all it ever had. So a block is taken that is a page by itself, and
/// freed untouched. It helps the whole process; and on this thread no shard waits for the kernel.
pub fn give_back() {
    drop(core::hint::black_box(Vec::<u8>::with_capacity(ALONE_BYTES)));
}

fn run(shards: &[Arc<Pulse>], stop: &AtomicBool) {
    let period = Heart::period(shards.len());
    let beats_a_second = u32::try_from(1_000 / period.as_millis().max(1))
        .unwrap_or(1)
        .max(1);
    let mut silent = vec![false; shards.len()];
    let mut beat = 0u32;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(period);
        beat = beat.wrapping_add(1);
        if beat.is_multiple_of(beats_a_second) {
            give_back();
        }
        for (index, pulse) in shards.iter().enumerate() {
            pulse.beat(beat, beats_a_second);
            let silent_now = pulse.unanswered() >= beats_a_second;
            if silent_now != silent[index] {
                silent[index] = silent_now;
                if silent_now {
                    tracing::warn!(
                        shard = index,
                        "shard has not answered its pulse for a second; is its core overloaded?"
                    );
                } else {
                    tracing::info!(shard = index, "shard answers its pulse again");
                }
            }
        }
    }
}
