//! The open-loop schedule: when each operation is meant to happen, whatever the server does.
//!
//! The instants are fixed by rate and count before the first answer comes, and a latency is measured from the
//! instant an operation was *meant* to start. A server that stalls for a second so shows a second, not one slow
//! operation and a thousand that were never tried (coordinated omission).
//! What the operations are is `plan`; the clock is `clock`.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// How the instants of a schedule follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// One every 1/rate seconds.
    Even,
    /// Independent arrivals (exponential gaps) from a seed: what many people who don't know of each other do.
    Poisson { seed: u64 },
}

/// One operation's place in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Counts from 0 over the whole schedule.
    pub number: u64,
    /// The intended instant, µs on the clock of `clock::now_us`.
    pub intended_us: u64,
}

/// A schedule of `count` operations. The same arguments give the same instants, so each thread can walk the whole
/// schedule and take only the operations of its own users.
#[derive(Debug)]
pub struct Pace {
    start_us: u64,
    gap_us: f64,
    count: u64,
    number: u64,
    /// µs after the start of the operation `number`; f64 holds whole µs exactly for 285 years.
    offset_us: f64,
    random: Option<ChaCha8Rng>,
}

impl Pace {
    /// `rate_per_s` must be positive and finite (the command line sees to it).
    pub fn new(start_us: u64, rate_per_s: f64, count: u64, arrivals: Arrivals) -> Pace {
        assert!(
            rate_per_s > 0.0 && rate_per_s.is_finite(),
            "a schedule needs a positive rate"
        );
        let random = match arrivals {
            Arrivals::Even => None,
            Arrivals::Poisson { seed } => Some(ChaCha8Rng::seed_from_u64(seed)),
        };
        let mut pace = Pace {
            start_us,
            gap_us: 1e6 / rate_per_s,
            count,
            number: 0,
            offset_us: 0.0,
            random,
        };
        if pace.random.is_some() {
            pace.offset_us = pace.gap();
        }
        pace
    }

    /// The next operation, without taking it; `None` once all `count` are taken.
    pub fn peek(&self) -> Option<Due> {
        (self.number < self.count).then(|| Due {
            number: self.number,
            intended_us: self.start_us + self.offset_us as u64,
        })
    }

    /// Goes on to the operation after this one.
    pub fn advance(&mut self) {
        self.number += 1;
        // Multiplied, not summed, for even gaps: a million roundings would drift.
        self.offset_us = match self.random {
            None => self.number as f64 * self.gap_us,
            Some(_) => self.offset_us + self.gap(),
        };
    }

    fn gap(&mut self) -> f64 {
        match &mut self.random {
            None => self.gap_us,
            Some(random) => {
                // 53 random bits in (0, 1]: never the logarithm of zero.
                let uniform = ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                -uniform.ln() * self.gap_us
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut pace: Pace) -> Vec<u64> {
        let mut instants = Vec::new();
        while let Some(due) = pace.peek() {
            assert_eq!(due.number, instants.len() as u64);
            instants.push(due.intended_us);
            pace.advance();
        }
        instants
    }

    #[test]
    fn even_gaps_do_not_drift() {
        let instants = all(Pace::new(1_000, 3_000.0, 300_001, Arrivals::Even));
        assert_eq!(&instants[..4], &[1_000, 1_333, 1_666, 2_000]);
        assert_eq!(instants[300_000], 1_000 + 100_000_000);
    }

    #[test]
    fn poisson_is_the_same_for_the_same_seed_and_keeps_the_rate() {
        let one = all(Pace::new(
            0,
            1_000.0,
            100_000,
            Arrivals::Poisson { seed: 7 },
        ));
        let two = all(Pace::new(
            0,
            1_000.0,
            100_000,
            Arrivals::Poisson { seed: 7 },
        ));
        assert_eq!(one, two);
        let seconds = one[99_999] as f64 / 1e6;
        assert!((98.0..102.0).contains(&seconds), "{seconds}");
        assert!(one.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    /// A server that stands still for a second while 1000 operations a second are meant: each of those thousand must
    /// show what it waited, so the median of two seconds is far above the µs an answer takes.
    #[test]
    fn a_stall_is_seen_by_every_operation_meant_during_it() {
        let mut pace = Pace::new(0, 1_000.0, 2_000, Arrivals::Even);
        let mut waited = Vec::new();
        let (stall_us, service_us) = (1_000_000, 10);
        let mut now_us = 0;
        while let Some(due) = pace.peek() {
            now_us = due.intended_us.max(now_us).max(stall_us) + service_us;
            waited.push(now_us - due.intended_us);
            pace.advance();
        }
        waited.sort_unstable();
        assert_eq!(waited.len(), 2_000);
        assert!(waited[1_999] >= 1_000_000);
        assert!(
            waited.iter().filter(|&&us| us > 100_000).count() > 800,
            "the wait was omitted"
        );
    }

    #[test]
    fn ends_after_its_count() {
        assert_eq!(
            all(Pace::new(0, 10.0, 0, Arrivals::Even)),
            Vec::<u64>::new()
        );
        assert_eq!(all(Pace::new(5, 10.0, 1, Arrivals::Even)), vec![5]);
    }
}
