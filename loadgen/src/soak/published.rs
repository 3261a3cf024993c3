//! The newest state of each user that the server has taken: what those who watch must know after a while.
//!
//! One word a user, shared by all threads: the thread of the user's first endpoint writes it, those of the watchers read it. What
//! is judged is long past, so it does not matter who sees a change a moment later.

use std::sync::atomic::{AtomicU64, Ordering};

pub const NUMBER_BITS: u32 = 11;
pub const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
const GRANTED_BITS: u32 = 16;
const GRANTED: u64 = (1 << GRANTED_BITS) - 1;

/// A state that was answered 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The lowest bits of one more than its number.
    pub number: u32,
    /// ms of `clock`.
    pub answered_ms: u64,
    /// For so long, unless its publisher says more.
    pub granted_s: u32,
}

/// By user; 0 where there is none.
pub struct Published(Box<[AtomicU64]>);

impl Published {
    pub fn new(users: u32) -> Published {
        Published((0..users).map(|_| AtomicU64::new(0)).collect())
    }

    /// The state that was published as the `count`-th of this user is taken.
    pub fn taken(&self, user: u32, count: u32, now_us: u64, granted_s: u32) {
        let word = (now_us / 1000) << (NUMBER_BITS + GRANTED_BITS)
            | (u64::from(granted_s).min(GRANTED) << NUMBER_BITS)
            | u64::from(count & NUMBER);
        self.0[user as usize].store(word, Ordering::Relaxed);
    }

    /// The publisher has gone, and its publication with it.
    pub fn gone(&self, user: u32) {
        self.0[user as usize].store(0, Ordering::Relaxed);
    }

    pub fn newest(&self, user: u32) -> Option<Newest> {
        let word = self.0[user as usize].load(Ordering::Relaxed);
        (word != 0).then_some(Newest {
            number: word as u32 & NUMBER,
            granted_s: ((word >> NUMBER_BITS) & GRANTED) as u32,
            answered_ms: word >> (NUMBER_BITS + GRANTED_BITS),
        })
    }
}

impl Newest {
    /// It was taken so long ago that all have been told, and it still stands.
    pub fn is_due(self, now_us: u64, timeout_us: u64) -> bool {
        let answered_us = self.answered_ms * 1000;
        answered_us + timeout_us <= now_us
            && now_us < answered_us + u64::from(self.granted_s) * 1_000_000
    }
}
