//! When to look at which seat next: a wheel of seconds, 8 bytes a seat, however far ahead a registration ends.
//!
//! A look too early costs a look: who is due later than the wheel reaches is looked at on the way and put back.

/// Seconds that the wheel reaches ahead.
const SECONDS: u32 = 1024;

/// One thread's wheel.
pub struct Wheel {
    slots: Vec<Vec<u32>>,
    /// For each seat the second of its next look; 0 for none. An entry of another second is stale.
    looks: Vec<u32>,
    /// All up to this second is done.
    now_s: u32,
}

impl Wheel {
    pub fn new(seats: usize, now_s: u32) -> Wheel {
        Wheel {
            slots: vec![Vec::new(); SECONDS as usize],
            looks: vec![0; seats],
            now_s,
        }
    }

    /// Wants a look at `seat` at the second `due_s` or before; an earlier look that was wanted stays.
    pub fn look_at(&mut self, seat: u32, due_s: u32) {
        let at_s = due_s.clamp(self.now_s + 1, self.now_s + SECONDS - 1);
        let look = &mut self.looks[seat as usize];
        if *look == 0 || at_s < *look {
            *look = at_s;
            self.slots[(at_s % SECONDS) as usize].push(seat);
        }
    }

    /// Goes on to `now_s` and puts the seats to look at into `due`; each wants its next look anew.
    pub fn advance(&mut self, now_s: u32, due: &mut Vec<u32>) {
        // After more than a turn each slot is due once.
        self.now_s = self.now_s.max(now_s.saturating_sub(SECONDS));
        while self.now_s < now_s {
            self.now_s += 1;
            for seat in std::mem::take(&mut self.slots[(self.now_s % SECONDS) as usize]) {
                let look = &mut self.looks[seat as usize];
                if *look != 0 && *look <= self.now_s {
                    *look = 0;
                    due.push(seat);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now_s: u32) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(now_s, &mut due);
        due
    }

    #[test]
    fn a_seat_is_looked_at_once_at_the_earliest_second_asked_for() {
        let mut wheel = Wheel::new(3, 100);
        wheel.look_at(0, 110);
        wheel.look_at(0, 105);
        wheel.look_at(0, 107);
        wheel.look_at(1, 0);
        wheel.look_at(2, 105);
        assert_eq!(due(&mut wheel, 101), [1]);
        assert_eq!(due(&mut wheel, 104), [0; 0]);
        assert_eq!(due(&mut wheel, 105), [0, 2]);
        assert_eq!(due(&mut wheel, 2_000), [0; 0]);
    }

    #[test]
    fn what_is_too_far_is_looked_at_on_the_way() {
        let mut wheel = Wheel::new(1, 7);
        wheel.look_at(0, 5_000);
        assert_eq!(due(&mut wheel, 7 + SECONDS - 2), [0; 0]);
        assert_eq!(due(&mut wheel, 7 + SECONDS - 1), [0]);
        wheel.look_at(0, 5_000);
        assert_eq!(due(&mut wheel, 4_000), [0]);
        wheel.look_at(0, 5_000);
        assert_eq!(due(&mut wheel, 4_999), [0; 0]);
        assert_eq!(due(&mut wheel, 5_000), [0]);
    }
}
