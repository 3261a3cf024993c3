//! Which operations a benchmark of the command line's times, and how: shared by those of single operations.

use std::hint::black_box;
use std::time::Instant;

/// What the command line asks for.
pub struct Plan {
    filter: String,
    once: Option<u64>,
}

impl Plan {
    /// The first argument chooses the cases whose name contains it; `--once COUNT` runs each that often, untimed.
    pub fn from_arguments() -> Plan {
        let mut arguments = std::env::args().skip(1).filter(|text| text != "--bench");
        let mut plan = Plan {
            filter: String::new(),
            once: None,
        };
        while let Some(text) = arguments.next() {
            if text == "--once" {
                plan.once = arguments.next().and_then(|count| count.parse().ok());
            } else {
                plan.filter = text;
            }
        }
        plan
    }

    /// Times an operation on `room`, which is put in order before each; prints the best of twenty rounds.
    pub fn run<T>(
        &self,
        name: &str,
        mut room: T,
        order: impl Fn(&mut T),
        mut operation: impl FnMut(&mut T),
    ) {
        if !name.contains(&self.filter) {
            return;
        }
        let mut repeat = |count: u64| {
            for _ in 0..count {
                order(&mut room);
                operation(black_box(&mut room));
            }
        };
        if let Some(count) = self.once {
            return repeat(count);
        }
        let best = (0..20)
            .map(|_| {
                let start = Instant::now();
                repeat(10_000);
                start.elapsed().as_nanos() / 10_000
            })
            .min();
        println!("{name:<40} {:>6} ns", best.unwrap_or(0));
    }
}
