//! The one notion of time below the shell: an instant that is handed in, never asked for.

use core::time::Duration;

/// An instant in microseconds since the Unix epoch. The shell's clock makes it from a monotonic source
/// anchored once at the start, so it never runs backwards and may be used for timers and for records alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Now(pub u64);

impl Now {
    /// Whole milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This instant moved on by `by`; stays at the end of time instead of overflowing.
    pub fn after(self, by: Duration) -> Now {
        Now(self
            .0
            .saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long it is since `earlier`; zero where `earlier` lies ahead.
    pub fn since(self, earlier: Now) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
