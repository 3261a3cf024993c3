//! Dates as presence, CPIM and IMDN write them (RFC 3339), and as `sip::time::Now` holds them.

use core::fmt;

use crate::sip::time::Now;

/// Writes an instant as `2026-01-31T23:59:59Z`: whole seconds and `Z`, the only form that linphone reads.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp(pub Now);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0.unix_s()).unwrap_or(i64::MAX);
        // Past the year 9999 the format has no answer; the last instant that it can say stands for it.
        let instant = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{}", instant.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// Reads an RFC 3339 date with its offset; `None` for anything else and for years before 1970.
pub fn read(text: &str) -> Option<Now> {
    let instant: jiff::Timestamp = text.trim().parse().ok()?;
    u64::try_from(instant.as_microsecond()).ok().map(Now)
}
