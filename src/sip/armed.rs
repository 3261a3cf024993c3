//! When a wheel will look at a thing: kept with the thing, so that one entry of the wheel counts for it, however often its
//! deadline moves.
//!
//! A wheel can't take an entry out. So none is further off than `WITHIN`: whoever comes and goes leaves an entry for so long,
//! and not for the hours that were granted.

use core::time::Duration;

use crate::sip::time::Now;

/// How far off an entry is at most. What lives longer is looked at in between, which takes less than what it would leave.
const WITHIN: Duration = Duration::from_secs(600);

/// The second (Unix) of the entry that counts; zero where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Armed(u32);

impl Armed {
    /// The thing is to be looked at `at`: when the wheel is to be armed for that, or `None` where it looks early enough anyhow.
    /// That may be sooner than `at`; whoever looks arms again.
    #[must_use = "the wheel must be armed"]
    pub fn arm(&mut self, now: Now, at: Now) -> Option<Now> {
        let at = at.min(now.after(WITHIN));
        // As the wheel has it: not before `at`.
        let second = u32::try_from(at.0.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        if self.0 != 0 && self.0 <= second {
            return None;
        }
        self.0 = second.max(1);
        Some(at)
    }

    /// The wheel looks: does this entry count? Where it does there is none any more. One that was overtaken by an earlier one
    /// does not.
    #[must_use = "an entry that does not count is left alone"]
    pub fn is_due(&mut self, now: Now) -> bool {
        let is_due = self.0 != 0 && u64::from(self.0) <= now.unix_s();
        if is_due {
            self.0 = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Now {
        Now(s * 1_000_000)
    }

    #[test]
    fn a_deadline_that_moves_on_has_one_entry() {
        let mut armed = Armed::default();
        assert!(!armed.is_due(at(1)), "nothing was armed");
        assert_eq!(armed.arm(at(100), at(130)), Some(at(130)));
        for s in 130..200 {
            assert_eq!(armed.arm(at(101), at(s)), None);
        }
        assert!(!armed.is_due(at(129)));
        assert!(armed.is_due(at(130)) && !armed.is_due(at(130)));
        assert_eq!(armed.arm(at(130), at(200)), Some(at(200)));
    }

    #[test]
    fn one_that_comes_nearer_overtakes_the_other() {
        let mut armed = Armed::default();
        assert_eq!(armed.arm(at(100), at(200)), Some(at(200)));
        assert_eq!(armed.arm(at(100), Now(110_000_001)), Some(Now(110_000_001)));
        assert!(!armed.is_due(at(110)) && armed.is_due(at(111)));
        assert_eq!(armed.arm(at(111), at(300)), Some(at(300)));
        assert!(
            !armed.is_due(at(200)),
            "the first entry comes, and does not count"
        );
        assert!(armed.is_due(at(300)));
    }

    #[test]
    fn hours_are_waited_for_in_parts() {
        let mut armed = Armed::default();
        let (mut now, end) = (at(1_000), at(1_000 + 7_200));
        let mut looks = 0;
        while now < end {
            now = armed.arm(now, end).expect("none is armed");
            assert!(armed.is_due(now));
            looks += 1;
        }
        assert_eq!((now, looks), (end, 12));
    }
}
