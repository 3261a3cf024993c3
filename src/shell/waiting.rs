//! How long what comes in on sockets waits for its shard: the least wait over each tenth of a second is what the core hears.
//!
//! When an event came is not known, only in which look at the readiness set it was first seen; so it is taken to have come
//! right after the look before, unless the shard slept in between. A shard that sleeps at all has nothing standing.

use std::time::Duration;

use crate::sip::time::Now;

/// Waiting for longer than this is sleep; for less, there was something already.
const AWAKE: Duration = Duration::from_micros(20);

/// One shard's measurement.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The last look at the readiness set.
    looked: Now,
    /// Since when the shard waits for something to happen.
    sleeps_since: Option<Now>,
    /// When the oldest came that has not been served.
    oldest: Option<Now>,
    /// The least wait of the turns since the last word to the core.
    least: Option<Duration>,
    turns: u32,
}

impl Waiting {
    pub(super) fn new(now: Now) -> Waiting {
        Waiting {
            looked: now,
            sleeps_since: None,
            oldest: None,
            least: None,
            turns: 0,
        }
    }

    /// The shard has nothing to do and waits.
    pub(super) fn sleeps(&mut self, now: Now) {
        self.sleeps_since = Some(now);
    }

    /// A turn that began at `now` has looked at the readiness set; `any` is there to be served.
    pub(super) fn looks(&mut self, now: Now, any: bool) {
        let before = core::mem::replace(&mut self.looked, now);
        let slept = self
            .sleeps_since
            .take()
            .is_some_and(|since| now.since(since) > AWAKE);
        let came = if slept { now } else { before };
        self.oldest = any.then(|| self.oldest.unwrap_or(came));
        let waited = self
            .oldest
            .map_or(Duration::ZERO, |oldest| now.since(oldest));
        self.least = Some(self.least.map_or(waited, |least| least.min(waited)));
        self.turns = self.turns.saturating_add(1);
    }

    /// The turn has served all that was there when it looked. Else what is left is as old as it was.
    pub(super) fn served_all(&mut self) {
        self.oldest = None;
    }

    /// The least wait since the last word, for the core. One long turn alone says nothing yet.
    pub(super) fn least(&mut self) -> Option<Duration> {
        let least = self.least?;
        if self.turns < 2 && !least.is_zero() {
            return None;
        }
        (self.least, self.turns) = (None, 0);
        Some(least)
    }
}

/// A shard that can't pass on what it has reads nothing either: nobody's time runs meanwhile, nor until it has read what
/// came. What looks like silence was not the peer's.
///
/// What is read may stall the shard again, with the rest still unread: that is one pause. It ends, at the latest, in the first
/// turn that reads when thrice its longest stall has gone by: a store that is slow for ever, and never lets the shard read all,
/// gets ticks again and again.
#[derive(Debug, Default)]
pub(super) struct Pause {
    since: Option<Now>,
    /// Since when nothing is read; not while the shard catches up.
    stalls_since: Option<Now>,
    /// The longest stall so far that is over.
    longest: Duration,
    /// How long the pause that is over has lasted, until that is asked for.
    over: Option<Duration>,
}

impl Pause {
    /// Shorter stalls are not counted: a busy shard has them all the time, and must have its ticks.
    const LEAST: Duration = Duration::from_secs(1);
    /// So many times its longest stall a pause lasts at most, where there is always something left to read.
    const STALLS_MAX: u32 = 3;

    /// A turn that reads nothing.
    pub(super) fn goes_on(&mut self, now: Now) {
        self.since.get_or_insert(now);
        self.stalls_since.get_or_insert(now);
    }

    /// A turn that reads; `all` where nothing is left.
    pub(super) fn ends(&mut self, now: Now, all: bool) {
        let Some(since) = self.since else {
            return;
        };
        if let Some(stalls_since) = self.stalls_since.take() {
            self.longest = self.longest.max(now.since(stalls_since));
        }
        let lasted = now.since(since);
        if all || lasted >= self.longest.saturating_mul(Pause::STALLS_MAX) {
            *self = Pause {
                over: self.is_on(now).then_some(lasted).or(self.over),
                ..Pause::default()
            };
        }
    }

    /// Whether time stands still.
    pub(super) fn is_on(&self, now: Now) -> bool {
        let stall = self
            .stalls_since
            .map_or(Duration::ZERO, |since| now.since(since));
        self.longest.max(stall) >= Pause::LEAST
    }

    /// How long time has stood still, once after each time.
    pub(super) fn take_over(&mut self) -> Option<Duration> {
        self.over.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now(1_000_000 + ms * 1_000)
    }

    #[test]
    fn turns_without_sleep_wait_as_long_as_they_last() {
        let mut waiting = Waiting::new(at(0));
        for ms in [20, 45, 60] {
            waiting.looks(at(ms), true);
            waiting.served_all();
        }
        assert_eq!(waiting.least(), Some(Duration::from_millis(15)));
        assert_eq!(waiting.least(), None);
    }

    #[test]
    fn a_sleep_or_an_empty_look_means_that_nothing_stands() {
        let mut waiting = Waiting::new(at(0));
        waiting.looks(at(50), true);
        waiting.served_all();
        waiting.sleeps(at(60));
        waiting.looks(at(61), true);
        assert_eq!(waiting.least(), Some(Duration::ZERO));
        waiting.looks(at(90), true);
        waiting.served_all();
        waiting.looks(at(120), false);
        assert_eq!(waiting.least(), Some(Duration::ZERO));
    }

    #[test]
    fn a_wait_that_ends_at_once_is_no_sleep() {
        let mut waiting = Waiting::new(at(0));
        for ms in [10, 20, 30] {
            waiting.sleeps(at(ms));
            waiting.looks(Now(at(ms).0 + 5), true);
            waiting.served_all();
        }
        let least = waiting.least().expect("three turns");
        assert!(least >= Duration::from_millis(10), "{least:?}");
    }

    #[test]
    fn what_is_left_over_is_as_old_as_it_was() {
        let mut waiting = Waiting::new(at(0));
        waiting.looks(at(10), true);
        waiting.looks(at(20), true);
        waiting.looks(at(30), true);
        assert_eq!(waiting.least(), Some(Duration::from_millis(10)));
        waiting.looks(at(40), true);
        waiting.looks(at(50), true);
        assert_eq!(waiting.least(), Some(Duration::from_millis(40)));
    }

    #[test]
    fn one_long_turn_alone_is_not_told() {
        let mut waiting = Waiting::new(at(0));
        waiting.looks(at(500), true);
        waiting.served_all();
        assert_eq!(waiting.least(), None);
        waiting.sleeps(at(501));
        waiting.looks(at(600), true);
        assert_eq!(waiting.least(), Some(Duration::ZERO));
    }

    /// What happens, and when: the shard is pressed, or reads with something left, or reads all; then whether time stands still.
    fn play(turns: &[(u64, &str, bool)]) -> Pause {
        let mut pause = Pause::default();
        for (ms, what, on) in turns {
            match *what {
                "pressed" => pause.goes_on(at(*ms)),
                "some" => pause.ends(at(*ms), false),
                "all" => pause.ends(at(*ms), true),
                other => panic!("{other}?"),
            }
            assert_eq!(pause.is_on(at(*ms)), *on, "{what} at {ms} ms");
        }
        pause
    }

    #[test]
    fn time_stands_still_until_all_has_been_read() {
        let mut pause = play(&[
            (0, "pressed", false),
            (900, "pressed", false),
            (35_000, "pressed", true),
            (35_001, "some", true),
            (36_000, "some", true),
            (36_100, "all", false),
        ]);
        assert_eq!(pause.take_over(), Some(Duration::from_millis(36_100)));
        assert_eq!(pause.take_over(), None);
    }

    /// Bob's answer is unread for as long as his shard is pressed again by what it read before.
    #[test]
    fn what_presses_again_forgets_nothing_that_is_unread() {
        play(&[
            (0, "pressed", false),
            (35_000, "pressed", true),
            (35_001, "some", true),
            (35_002, "pressed", true),
            (35_100, "pressed", true),
            // A stall that is longer than the one before it.
            (76_000, "some", true),
            (76_001, "pressed", true),
            (77_000, "all", false),
            // Another one.
            (77_001, "pressed", false),
            (78_000, "pressed", false),
            (78_001, "pressed", true),
        ]);
    }

    #[test]
    fn a_store_that_is_slow_for_ever_does_not_stop_time_for_ever() {
        let (mut pause, mut stood_ms) = (Pause::default(), 0);
        for turn in 0..60_000 {
            let now = at(turn);
            match turn % 3_000 == 2_999 {
                true => pause.ends(now, false),
                false => pause.goes_on(now),
            }
            stood_ms = if pause.is_on(now) { stood_ms + 1 } else { 0 };
            assert!(stood_ms <= 9_000, "{stood_ms} at {turn} ms");
        }
        // Nor one that goes on reading and never comes to an end.
        let mut pause = play(&[(0, "pressed", false), (2_000, "some", true)]);
        for turn in 2_000..5_999 {
            pause.ends(at(turn), false);
            assert!(pause.is_on(at(turn)));
        }
        pause.ends(at(6_000), false);
        assert!(!pause.is_on(at(6_000)));
    }

    #[test]
    fn many_short_stalls_are_none() {
        let mut pause = Pause::default();
        for turn in 0..100_000 {
            match turn % 400 == 399 {
                true => pause.ends(at(turn), false),
                false => pause.goes_on(at(turn)),
            }
            assert!(!pause.is_on(at(turn)), "at {turn} ms");
        }
        assert_eq!(pause.take_over(), None);
    }
}
