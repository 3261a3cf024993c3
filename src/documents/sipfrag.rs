//! Parts of SIP messages as bodies (RFC 3420): here only the status line with which a NOTIFY tells how a REFER went
//! (RFC 3515 §2.4.5).

/// The media type; the version parameter is required by RFC 3515 §2.4.4 and expected by clients.
pub const CONTENT_TYPE: &str = "message/sipfrag;version=2.0";

/// Appends the status line to `out`.
pub fn write(out: &mut Vec<u8>, status: u16, reason: &str) {
    out.extend_from_slice(b"SIP/2.0 ");
    out.extend_from_slice(status.to_string().as_bytes());
    out.push(b' ');
    // A reason is one line, whoever it comes from.
    out.extend(reason.bytes().filter(|b| !b.is_ascii_control()));
    out.extend_from_slice(b"\r\n");
}

/// Reads the status out of a status line; `None` where the fragment does not begin with one.
pub fn read(bytes: &[u8]) -> Option<u16> {
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next()?;
    let line = core::str::from_utf8(line).ok()?;
    let mut words = line.splitn(3, ' ');
    if !words.next()?.eq_ignore_ascii_case("SIP/2.0") {
        return None;
    }
    let digits = words.next()?;
    let status: u16 = match digits.len() {
        3 if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    (100..700).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_written_and_read() {
        let mut out = Vec::new();
        write(&mut out, 603, "Decline\r\nX: y");
        assert_eq!(out, b"SIP/2.0 603 DeclineX: y\r\n");
        assert_eq!(read(&out), Some(603));
    }

    #[test]
    fn only_status_lines_are_read() {
        let cases: [(&[u8], Option<u16>); 10] = [
            (b"SIP/2.0 100 Trying", Some(100)),
            (b"sip/2.0 200\r\nContact: <sip:a@b>\r\n", Some(200)),
            (b"SIP/2.0 200 \xc3\xa9", Some(200)),
            (b"SIP/2.0 099 No", None),
            (b"SIP/2.0 700 No", None),
            (b"SIP/2.0 +20 No", None),
            (b"SIP/2.0 2000 No", None),
            (b"SIP/2.0", None),
            (b"INVITE sip:a@b SIP/2.0", None),
            (b"\xff", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
    }
}
