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
        f.write_str(core::str::from_utf8(&seconds_of(instant)).unwrap_or_default())?;
        f.write_str("Z")
    }
}

/// Writes an instant as `2026-01-31T23:59:59.000`, in UTC and without saying so, as Lync's documents have it.
#[derive(Clone, Copy, Debug)]
pub struct Zoneless(pub Now);

impl fmt::Display for Zoneless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0.unix_ms()).unwrap_or(i64::MAX);
        let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        f.write_str(core::str::from_utf8(&seconds_of(instant)).unwrap_or_default())?;
        write!(f, ".{:03}", self.0.unix_ms() % 1_000)
    }
}

/// `2026-01-31T23:59:59`, in UTC. A document has several of these, and `strftime` takes ten times as long.
fn seconds_of(instant: jiff::Timestamp) -> [u8; 19] {
    let at = jiff::tz::Offset::UTC.to_datetime(instant);
    let mut text = *b"0000-00-00T00:00:00";
    let year = at.year().unsigned_abs();
    let (century, year) = ((year / 100) as u8, (year % 100) as u8);
    let fields = [
        (0, century),
        (2, year),
        (5, at.month().unsigned_abs()),
        (8, at.day().unsigned_abs()),
        (11, at.hour().unsigned_abs()),
        (14, at.minute().unsigned_abs()),
        (17, at.second().unsigned_abs()),
    ];
    for (place, value) in fields {
        text[place] = b'0' + value / 10;
        text[place + 1] = b'0' + value % 10;
    }
    text
}

/// Reads an RFC 3339 date with its offset; `None` for anything else and for years before 1970.
pub fn read(text: &str) -> Option<Now> {
    let instant: jiff::Timestamp = text.trim().parse().ok()?;
    u64::try_from(instant.as_microsecond()).ok().map(Now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_whole_seconds() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (1_772_352_000_999_999, "2026-03-01T08:00:00Z"),
            (1_709_164_800_000_000, "2024-02-29T00:00:00Z"),
            (u64::MAX, "9999-12-30T22:00:00Z"),
        ];
        for (now, expected) in cases {
            assert_eq!(Timestamp(Now(now)).to_string(), expected);
            let zoneless = Zoneless(Now(now)).to_string();
            let (seconds, _) = expected.split_once('Z').expect("a zone");
            assert_eq!(zoneless.get(..19), Some(seconds));
            assert_eq!(zoneless.len(), 23, "{zoneless}");
        }
    }

    #[test]
    fn dates_are_read_with_their_offset() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            (" 2026-03-01T09:00:00+01:00\n", Some(1_772_352_000_000_000)),
            ("2026-03-01T08:00:00.25Z", Some(1_772_352_000_250_000)),
            ("2026-03-01t08:00:00z", Some(1_772_352_000_000_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-02-30T08:00:00Z", None),
            ("2026-03-01T08:00:00", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected.map(Now), "{text}");
        }
    }
}
