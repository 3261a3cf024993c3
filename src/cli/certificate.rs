//! When a certificate is good: the two dates in it, read out of its DER (RFC 5280 §4.1). Nothing else of a certificate is
//! read here; whether it can be served with is `shell::tls`'s to say.

use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The explicit tag of `version`.
const VERSION: u8 = 0xa0;

/// When it is time to replace a certificate.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What there is to say today of the dates of the first certificate of a PEM file.
///
/// # Errors
/// With the same where clients refuse it, or soon will.
pub(super) fn dates_now(cert: &Path) -> Result<String, String> {
    let (name, now) = (cert.display(), Timestamp::now());
    match validity(cert) {
        None => Err(format!(
            "certificate {name}: its dates cannot be read; look with `openssl x509 -dates`"
        )),
        Some((from, _)) if now < from => Err(format!(
            "certificate {name} is good from {from} on only: clients refuse it until then; look at the clock, or replace it"
        )),
        Some((_, until)) if now > until => Err(format!(
            "certificate {name} expired at {until}: clients refuse it; replace it, then SIGHUP"
        )),
        Some((_, until)) if until.duration_since(now) < EXPIRES_SOON => Err(format!(
            "certificate {name} expires at {until}; replace it, then SIGHUP"
        )),
        Some((_, until)) => Ok(format!("certificate {name} is good until {until}")),
    }
}

/// From when until when the first certificate of a PEM file is good; `None` where that cannot be read.
fn validity(cert: &Path) -> Option<(Timestamp, Timestamp)> {
    dates(&CertificateDer::from_pem_file(cert).ok()?)
}

fn dates(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    // version (optional), serial number, signature algorithm, issuer: passed over.
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (tag, validity, _) = element(fields)?;
    if tag != SEQUENCE {
        return None;
    }
    let (from_tag, from, rest) = element(validity)?;
    let (until_tag, until, _) = element(rest)?;
    Some((time(from_tag, from)?, time(until_tag, until)?))
}

/// The first element of `der`: its tag, what is in it, and what is behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let digits;
        (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // Three bytes are 16 MiB: more than any certificate.
        if digits.is_empty() || digits.len() > 3 {
            return None;
        }
        length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
    }
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

/// A UTCTime (two digits of the year, 1950 to 2049) or a GeneralizedTime (four), always Zulu (RFC 5280 §4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = core::str::from_utf8(text).ok()?;
    let full = match tag {
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? >= 50 {
                "19"
            } else {
                "20"
            };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", full).ok()?;
    Some(time.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_of_a_generated_certificate_are_read() {
        let (cert, _) = crate::shell::tls::generate(&["example.com".to_owned()]).unwrap();
        let der = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
        let (from, until) = dates(&der).unwrap();
        assert!(
            from < Timestamp::now() && Timestamp::now() < until,
            "{from} {until}"
        );
        for end in 0..der.len() {
            // A file that was cut off is no panic.
            let _ = dates(&der[..end]);
        }
    }

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        for (tag, text, expected) in [
            (UTC_TIME, "261123203000Z", Some("2026-11-23T20:30:00Z")),
            (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (
                GENERALIZED_TIME,
                "40960101000000Z",
                Some("4096-01-01T00:00:00Z"),
            ),
            (GENERALIZED_TIME, "2026", None),
            (UTC_TIME, "", None),
            (SEQUENCE, "261123203000Z", None),
        ] {
            let read = time(tag, text.as_bytes()).map(|time| time.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
