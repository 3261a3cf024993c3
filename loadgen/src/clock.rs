//! The only clock: microseconds of CLOCK_MONOTONIC, which all processes of one machine share, so a message may carry
//! the instant it was meant to be sent to a receiver in another thread or process.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Microseconds since the machine started.
pub fn now_us() -> u64 {
    us(clock_gettime(ClockId::Monotonic))
}

/// CPU time this thread has used, µs.
pub fn thread_cpu_us() -> u64 {
    us(clock_gettime(ClockId::ThreadCPUTime))
}

fn us(time: Timespec) -> u64 {
    // Neither clock is ever negative on Linux.
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// So many microseconds.
pub fn timespec(us: u64) -> Timespec {
    let duration = Duration::from_micros(us);
    Timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: duration.subsec_nanos().into(),
    }
}
