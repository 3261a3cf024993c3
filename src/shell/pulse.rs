//! The pulse: one plain thread that wakes every shard that rests in glommio a few times a second, whatever happens, sees that the
//! others are alive, and once a second wakes the allocator.
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
use std::time::{Duration, Instant};
use std::{future, io};

/// More than the allocator keeps together with others.
const ALONE_BYTES: usize = 1 << 20;
/// How often shards are asked while none rests: then nobody can be parked.
const AWAKE_PERIOD: Duration = Duration::from_millis(100);
/// Without an answer for so long a shard is said to be silent.
const SILENT: Duration = Duration::from_secs(1);
/// Wakes that a shard may owe an answer to before it gets only one a second.
const UNANSWERED_MAX: u32 = 64;

/// The pulse of one shard.
#[derive(Debug, Default)]
pub struct Pulse {
    waker: OnceLock<Waker>,
    /// It works, or waits where glommio has no part in it: it cannot be parked, and answers by itself.
    awake: AtomicBool,
    sent: AtomicU32,
    seen: AtomicU32,
}

impl Pulse {
    /// Starts to feel the pulse. Called once, on the shard's executor, before any other task is spawned.
    pub fn install(self: Arc<Pulse>) {
        glommio::spawn_local(future::poll_fn(move |cx| -> Poll<()> {
            self.waker.get_or_init(|| cx.waker().clone());
            self.answer();
            Poll::Pending // It lives as long as its executor.
        }))
        .detach();
    }

    /// The shard goes into glommio's hands, or comes back from there. Until it has said anything it is in them.
    pub fn rests(&self, rests: bool) {
        self.awake.store(!rests, Ordering::Relaxed);
    }

    /// A shard that does not rest says that it lives, several times a second.
    pub fn answer(&self) {
        let sent = self.sent.load(Ordering::Relaxed);
        if self.seen.load(Ordering::Relaxed) != sent {
            self.seen.store(sent, Ordering::Relaxed);
        }
    }

    fn is_awake(&self) -> bool {
        self.awake.load(Ordering::Relaxed)
    }

    /// One beat; `patient` is true once a second.
    fn beat(&self, patient: bool) {
        // Who has just gone to rest is woken by the next beat.
        let waker = match self.waker.get() {
            _ if self.is_awake() => None,
            Some(waker) => Some(waker),
            None => return,
        };
        if self.unanswered() < UNANSWERED_MAX || patient {
            self.sent.fetch_add(1, Ordering::Relaxed);
            if let Some(waker) = waker {
                waker.wake_by_ref();
            }
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
    /// How often shards that rest are woken: 20 ms for a few, 50 ms for many (0.6 % and 6 % of a core at 1 and 54 of them).
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

/// Sees whether a shard lives.
struct Watch {
    /// The answer that was seen last, and when it or silence without a question was.
    answer: u32,
    heard: Instant,
    silent: bool,
}

impl Watch {
    fn begin(now: Instant) -> Watch {
        Watch {
            answer: 0,
            heard: now,
            silent: false,
        }
    }

    /// Looks at `pulse`; says whether the shard has fallen silent or speaks again.
    fn look(&mut self, pulse: &Pulse, now: Instant) -> Option<bool> {
        let answer = pulse.seen.load(Ordering::Relaxed);
        if answer != self.answer || pulse.unanswered() == 0 {
            (self.answer, self.heard) = (answer, now);
        }
        let silent = now.duration_since(self.heard) >= SILENT;
        (core::mem::replace(&mut self.silent, silent) != silent).then_some(silent)
    }
}

fn run(shards: &[Arc<Pulse>], stop: &AtomicBool) {
    let mut now = Instant::now();
    let mut second = now;
    let mut watches: Vec<Watch> = shards.iter().map(|_| Watch::begin(now)).collect();
    while !stop.load(Ordering::Relaxed) {
        let all_awake = shards.iter().all(|pulse| pulse.is_awake());
        thread::sleep(if all_awake {
            AWAKE_PERIOD
        } else {
            Heart::period(shards.len())
        });
        now = Instant::now();
        let patient = now.duration_since(second) >= Duration::from_secs(1);
        if patient {
            second = now;
            give_back();
        }
        for (index, (pulse, watch)) in shards.iter().zip(&mut watches).enumerate() {
            match watch.look(pulse, now) {
                Some(true) => tracing::warn!(
                    shard = index,
                    "shard has not answered its pulse for a second; is its core overloaded?"
                ),
                Some(false) => tracing::info!(shard = index, "shard answers its pulse again"),
                None => {}
            }
            pulse.beat(patient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_silent_after_a_second_without_an_answer_and_no_sooner() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        let mut watch = Watch::begin(start);
        let at = |ms| start + Duration::from_millis(ms);
        pulse.beat(false);
        assert_eq!(pulse.unanswered(), 0, "nobody is there to be asked yet");
        assert_eq!(watch.look(&pulse, at(5_000)), None);
        pulse.rests(false);
        pulse.beat(false);
        assert_eq!(watch.look(&pulse, at(5_900)), None);
        assert_eq!(watch.look(&pulse, at(6_000)), Some(true));
        assert_eq!(watch.look(&pulse, at(6_100)), None, "said once");
        pulse.answer();
        pulse.beat(false);
        assert_eq!(
            watch.look(&pulse, at(6_200)),
            Some(false),
            "it has answered, though not the last beat"
        );
    }

    #[test]
    fn who_hangs_is_asked_once_a_second() {
        let pulse = Pulse::default();
        pulse.rests(false);
        for _ in 0..200 {
            pulse.beat(false);
        }
        assert_eq!(pulse.unanswered(), UNANSWERED_MAX);
        pulse.beat(true);
        assert_eq!(pulse.unanswered(), UNANSWERED_MAX + 1);
        pulse.answer();
        pulse.beat(false);
        assert_eq!(pulse.unanswered(), 1);
    }
}
