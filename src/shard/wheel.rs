//! One hashed timer wheel a shard, one-second slots, re-armed lazily.
//!
//! An entry says only *look at this then*: whoever owns the thing looks whether its time has really come, and arms it
//! again if not. So moving a deadline costs nothing, and a thing has at most a few entries.

use crate::sip::slack::Slack;
use crate::sip::time::Now;

const SLOTS: usize = 1024;

/// What is to be looked at; `K` is a small key.
#[derive(Debug)]
pub struct Wheel<K> {
    slots: Vec<Vec<(u64, K)>>,
    /// The second up to which everything has been handed out.
    done_s: u64,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel that begins at `now`.
    pub fn new(now: Now) -> Wheel<K> {
        Wheel {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            done_s: now.unix_s(),
        }
    }

    /// Looks at `key` in the first whole second after `at`: up to one second late, never early.
    pub fn arm(&mut self, at: Now, key: K) {
        let due_s = (at.0.div_ceil(1_000_000)).max(self.done_s + 1);
        if let Some(slot) = self.slots.get_mut((due_s % SLOTS as u64) as usize) {
            slot.push((due_s, key));
        }
    }

    /// Moves what is due at `now` to `due`, oldest second first, in the order in which it was armed.
    pub fn due(&mut self, now: Now, due: &mut Vec<K>) {
        let now_s = now.unix_s();
        if now_s <= self.done_s {
            return;
        }
        // After a long stop every slot is looked at once, not each second that was missed.
        let first = (self.done_s + 1).max(now_s.saturating_sub(SLOTS as u64 - 1));
        for second in first..=now_s {
            let Some(slot) = self.slots.get_mut((second % SLOTS as u64) as usize) else {
                continue;
            };
            if slot.is_empty() {
                continue;
            }
            let mut kept = 0;
            for index in 0..slot.len() {
                let (due_s, key) = slot[index];
                if due_s <= now_s {
                    due.push(key);
                } else {
                    slot[kept] = (due_s, key);
                    kept += 1;
                }
            }
            slot.truncate(kept);
            // A slot of a quiet hour keeps its 2 KiB.
            if slot.capacity() > 64 && kept < slot.capacity() / 8 {
                slot.shrink_to(kept * 2);
            }
        }
        self.done_s = now_s;
    }
}

impl<K> Slack for Wheel<K> {
    /// Each slot does when it was due.
    fn give_back(&mut self) -> usize {
        0
    }

    fn room(&self) -> usize {
        self.slots.iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Now {
        Now(s * 1_000_000)
    }

    #[test]
    fn fires_in_its_second_and_never_early() {
        let mut wheel = Wheel::new(at(100));
        wheel.arm(at(105), 'a');
        wheel.arm(Now(105_000_001), 'b');
        wheel.arm(at(105 + SLOTS as u64), 'c');
        wheel.arm(at(50), 'd');
        let mut due = Vec::new();
        wheel.due(at(104), &mut due);
        assert_eq!(due, ['d']);
        wheel.due(at(105), &mut due);
        assert_eq!(due, ['d', 'a']);
        wheel.due(at(106), &mut due);
        assert_eq!(due, ['d', 'a', 'b']);
        wheel.due(at(104 + SLOTS as u64), &mut due);
        assert_eq!(due.len(), 3);
        wheel.due(at(5_000_000), &mut due);
        assert_eq!(due, ['d', 'a', 'b', 'c']);
        assert!(wheel.slots.iter().all(Vec::is_empty));
    }
}
