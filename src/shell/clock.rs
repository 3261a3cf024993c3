//! The only place that asks for the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::sip::time::Now;

/// A clock anchored once to the calendar and then driven by the monotonic clock: it never runs backwards, and all
/// shards that share a copy read the same time. A later change of the system's date is not followed.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
    anchor_unix_us: u64,
}

impl Clock {
    /// Anchors a clock to the system's date.
    pub fn start() -> Clock {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            anchor: Instant::now(),
            anchor_unix_us: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX / 2),
        }
    }

    /// The time.
    pub fn now(&self) -> Now {
        Now(self.anchor_unix_us).after(self.anchor.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_forward_from_the_calendar() {
        let clock = Clock::start();
        let first = clock.now();
        let calendar = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        assert!(
            first.unix_s().abs_diff(calendar) <= 1,
            "{first:?} is not {calendar} s"
        );
        assert!(clock.now() >= first);
    }
}
