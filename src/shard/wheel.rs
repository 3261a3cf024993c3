//! Two hashed timer wheels a shard, re-armed lazily: one of seconds for the next minute, one of minutes for the rest.
//!
//! An entry says only *look at this then*: whoever owns the thing looks whether its time has really come, and arms it
//! again if not. So moving a deadline costs nothing. What may wait for long and end before, or moves its deadline often, keeps
//! an `Armed` with it: then one entry counts, and none lies here for hours after the thing it is for.
//!
//! What waits for hours is moved once, when its minute comes, and shares no slot with the many that wait for half a minute:
//! so a slot is emptied as a whole, and its room goes with what was in it.

use crate::sip::slack::Slack;
use crate::sip::time::Now;

/// A minute: seconds that the near wheel holds, and that one slot of the far one covers.
const NEAR_S: u64 = 64;
/// Slots of the far wheel: 2.3 hours, a little more than a binding or a subscription is granted.
const FAR: u64 = 128;

/// What is to be looked at; `K` is a small key.
#[derive(Debug)]
pub struct Wheel<K> {
    /// What is due within `NEAR_S`, a slot a second.
    near: Vec<Vec<K>>,
    /// What is due later, with its second: `FAR` slots of `NEAR_S`, and what is further off turns with them.
    far: Vec<Vec<(u64, K)>>,
    /// The second up to which everything has been handed out.
    done_s: u64,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel that begins at `now`.
    pub fn new(now: Now) -> Wheel<K> {
        Wheel {
            near: (0..NEAR_S).map(|_| Vec::new()).collect(),
            far: (0..FAR).map(|_| Vec::new()).collect(),
            done_s: now.unix_s(),
        }
    }

    /// Looks at `key` in the first whole second after `at`: up to one second late, never early.
    pub fn arm(&mut self, at: Now, key: K) {
        self.put(at.0.div_ceil(1_000_000), key);
    }

    fn put(&mut self, due_s: u64, key: K) {
        let due_s = due_s.max(self.done_s + 1);
        if due_s - self.done_s <= NEAR_S {
            self.near[(due_s % NEAR_S) as usize].push(key);
        } else {
            self.far[(due_s / NEAR_S % FAR) as usize].push((due_s, key));
        }
    }

    /// Moves what is due at `now` to `due`, oldest second first.
    pub fn due(&mut self, now: Now, due: &mut Vec<K>) {
        let now_s = now.unix_s();
        if now_s.saturating_sub(self.done_s) > NEAR_S {
            return self.all_due(now_s, due);
        }
        for second in self.done_s + 1..=now_s {
            if second.is_multiple_of(NEAR_S) {
                let slot = &mut self.far[(second / NEAR_S % FAR) as usize];
                for (due_s, key) in core::mem::take(slot) {
                    self.put(due_s, key);
                }
            }
            due.append(&mut core::mem::take(
                &mut self.near[(second % NEAR_S) as usize],
            ));
            self.done_s = second;
        }
    }

    /// After a long stop everything is looked at once, not each second that was missed.
    fn all_due(&mut self, now_s: u64, due: &mut Vec<K>) {
        let done_s = self.done_s;
        let mut all: Vec<(u64, K)> = Vec::new();
        for second in done_s + 1..=done_s + NEAR_S {
            let slot = core::mem::take(&mut self.near[(second % NEAR_S) as usize]);
            all.extend(slot.into_iter().map(|key| (second, key)));
        }
        all.extend(self.far.iter_mut().flat_map(core::mem::take));
        all.sort_by_key(|(due_s, _)| *due_s);
        self.done_s = now_s;
        for (due_s, key) in all {
            if due_s <= now_s {
                due.push(key);
            } else {
                self.put(due_s, key);
            }
        }
    }
}

impl<K> Slack for Wheel<K> {
    /// A slot's room went with what was in it.
    fn give_back(&mut self) -> usize {
        0
    }

    fn room(&self) -> usize {
        let near: usize = self.near.iter().map(Vec::capacity).sum();
        near + self.far.iter().map(Vec::capacity).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Now {
        Now(s * 1_000_000)
    }

    fn due_at(wheel: &mut Wheel<char>, s: u64) -> Vec<char> {
        let mut due = Vec::new();
        wheel.due(at(s), &mut due);
        due
    }

    #[test]
    fn fires_in_its_second_and_never_early() {
        let mut wheel = Wheel::new(at(100));
        wheel.arm(at(105), 'a');
        wheel.arm(Now(105_000_001), 'b');
        wheel.arm(at(50), 'd');
        assert_eq!(due_at(&mut wheel, 104), ['d']);
        assert_eq!(due_at(&mut wheel, 104), []);
        assert_eq!(due_at(&mut wheel, 105), ['a']);
        assert_eq!(due_at(&mut wheel, 106), ['b']);
        assert_eq!(wheel.room(), 0);
    }

    #[test]
    fn every_second_of_some_turns_is_kept_whenever_it_was_armed() {
        for armed_s in [64, 100, 127, 128] {
            let mut wheel = Wheel::new(at(armed_s));
            let until_s = armed_s + 2 * NEAR_S * FAR + 70;
            for due_s in armed_s..=until_s {
                wheel.arm(at(due_s), due_s);
            }
            for now_s in armed_s + 1..=until_s {
                let mut due = Vec::new();
                wheel.due(at(now_s), &mut due);
                due.retain(|due_s| *due_s != armed_s);
                assert_eq!(due, [now_s], "armed at {armed_s}");
            }
            assert_eq!(wheel.room(), 0);
        }
    }

    #[test]
    fn after_a_long_stop_what_is_due_comes_at_once_and_in_order() {
        let mut wheel = Wheel::new(at(100));
        for (s, key) in [
            (5000, 'c'),
            (130, 'b'),
            (101, 'a'),
            (5001, 'd'),
            (99_000, 'e'),
        ] {
            wheel.arm(at(s), key);
        }
        assert_eq!(due_at(&mut wheel, 5_000), ['a', 'b', 'c']);
        assert_eq!(due_at(&mut wheel, 5_001), ['d']);
        assert_eq!(due_at(&mut wheel, 98_999), []);
        assert_eq!(due_at(&mut wheel, 99_000), ['e']);
        assert_eq!(wheel.room(), 0);
    }

    #[test]
    fn a_clock_that_goes_back_hands_out_nothing_twice() {
        let mut wheel = Wheel::new(at(100));
        wheel.arm(at(105), 'a');
        assert_eq!(due_at(&mut wheel, 105), ['a']);
        assert_eq!(due_at(&mut wheel, 90), []);
        wheel.arm(at(95), 'b');
        assert_eq!(due_at(&mut wheel, 105), []);
        assert_eq!(due_at(&mut wheel, 106), ['b']);
    }
}
