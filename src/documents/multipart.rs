//! Bodies of many parts (RFC 2046 §5.1), as INVITE with a list of recipients has one (RFC 5366 §4).
//!
//! Reading is bounded: so many parts, so much head for each, no part of parts. Parts are views into the body that was
//! read. Not here: what the parts mean, and which Content-Type names the boundary.

/// Parts of one body.
pub const PARTS_MAX: usize = 8;
/// Bytes of one part's head.
pub const HEAD_BYTES_MAX: usize = 2048;
/// Characters of a boundary (RFC 2046 §5.1.1).
pub const BOUNDARY_CHARS_MAX: usize = 70;

/// Why a body was refused. Always the sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The Content-Type names no boundary, or one that RFC 2046 §5.1.1 does not allow.
    Boundary,
    /// No part begins, or the last one does not end.
    Unclosed,
    /// A part's head can't be read, or is longer than `HEAD_BYTES_MAX`.
    Head,
    /// More than `PARTS_MAX` parts.
    TooManyParts,
    /// A part is itself of many parts.
    Nested,
    /// A part is encoded (base64, quoted-printable): SIP carries eight bits (RFC 3261 §7.4.1), so nobody needs to.
    Encoding,
}

impl Fault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Fault::Encoding => 415,
            _ => 400,
        }
    }

    /// A few words for a reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Boundary => "Missing or Bad Multipart Boundary",
            Fault::Unclosed => "Multipart Body Is Cut",
            Fault::Head => "Bad Head Of A Body Part",
            Fault::TooManyParts => "Too Many Body Parts",
            Fault::Nested => "Multipart Within Multipart",
            Fault::Encoding => "Body Part With A Transfer Encoding",
        }
    }
}

/// One part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    head: &'a str,
    /// Its content, without the line end before the delimiter, which is the delimiter's.
    pub body: &'a [u8],
}

impl<'a> Part<'a> {
    /// The value of the head's first line with this name, in any case. A folded line gives its first line only.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head.lines().find_map(|line| {
            let (each, value) = line.split_once(':')?;
            each.trim_end()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim())
        })
    }

    /// The Content-Type as it is written; `text/plain` where there is none (RFC 2046 §5.1).
    pub fn content_type(&self) -> &'a str {
        self.header("Content-Type").unwrap_or("text/plain")
    }

    /// The Content-Disposition's first word, as it is written; empty where there is none.
    pub fn disposition(&self) -> &'a str {
        let value = self.header("Content-Disposition").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }
}

/// Takes a body apart, in the order of its parts.
///
/// # Errors
/// Where it is not as RFC 2046 §5.1 says, or past a limit.
pub fn read<'a>(boundary: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, Fault> {
    if !is_boundary(boundary) {
        return Err(Fault::Boundary);
    }
    let mut parts = Vec::new();
    // What is before the first delimiter is a preamble, and means nothing.
    let (_, mut rest, mut closed) = delimiter(boundary, body).ok_or(Fault::Unclosed)?;
    while !closed {
        if parts.len() >= PARTS_MAX {
            return Err(Fault::TooManyParts);
        }
        let (part, after, last) = delimiter(boundary, rest).ok_or(Fault::Unclosed)?;
        parts.push(read_part(part)?);
        (rest, closed) = (after, last);
    }
    if parts.is_empty() {
        return Err(Fault::Unclosed);
    }
    Ok(parts)
}

/// RFC 2046 §5.1.1: `bchars`, and the last is no space.
fn is_boundary(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    !text.is_empty()
        && text.len() <= BOUNDARY_CHARS_MAX
        && text.bytes().all(allowed)
        && !text.ends_with(' ')
}

/// The next delimiter line: what is before it, what is after it, and whether it is the closing one.
fn delimiter<'a>(boundary: &str, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8], bool)> {
    let mut at = 0;
    loop {
        let line_end = bytes[at..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|end| at + end);
        let line = &bytes[at..line_end.unwrap_or(bytes.len())];
        let rest = line
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(boundary.as_bytes()));
        if let Some(rest) = rest {
            let (rest, closing) = match rest.strip_prefix(b"--") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            // White space may follow; anything else is another boundary that begins like ours.
            if rest.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
                && (closing || line_end.is_some())
            {
                let before = &bytes[..at];
                let before = before.strip_suffix(b"\n").unwrap_or(before);
                let before = before.strip_suffix(b"\r").unwrap_or(before);
                let after = line_end.map_or(&[][..], |end| &bytes[end + 1..]);
                return Some((before, after, closing));
            }
        }
        at = line_end? + 1;
    }
}

fn read_part(bytes: &[u8]) -> Result<Part<'_>, Fault> {
    let mut at = 0;
    // The head ends with an empty line; a part may have no head at all.
    let (head, body) = loop {
        let rest = &bytes[at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            // The line end after the head was taken for the delimiter's: a head without a body.
            break match rest {
                b"" | b"\r" => (&bytes[..at], &[][..]),
                _ => return Err(Fault::Head),
            };
        };
        if at + end > HEAD_BYTES_MAX {
            return Err(Fault::Head);
        }
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if line.is_empty() {
            break (&bytes[..at], &rest[end + 1..]);
        }
        if !line.contains(&b':') && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            return Err(Fault::Head);
        }
        at += end + 1;
    };
    let part = Part {
        head: core::str::from_utf8(head).map_err(|_| Fault::Head)?,
        body,
    };
    let kind = part.content_type().split('/').next().unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("multipart") {
        return Err(Fault::Nested);
    }
    match part.header("Content-Transfer-Encoding") {
        Some(encoding) if !leaves_as_is(encoding) => Err(Fault::Encoding),
        _ => Ok(part),
    }
}

/// Is a Content-Transfer-Encoding one that changes nothing (RFC 2045 §6.2)?
pub(super) fn leaves_as_is(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"]
        .iter()
        .any(|known| encoding.eq_ignore_ascii_case(known))
}

/// Writes parts that belong together (RFC 2387). The boundary is the caller's, who makes it so that no part can have it.
#[derive(Debug)]
pub struct Related<'o> {
    out: &'o mut Vec<u8>,
    boundary: &'o str,
}

impl<'o> Related<'o> {
    /// Begins a body at the end of `out`.
    pub fn begin(out: &'o mut Vec<u8>, boundary: &'o str) -> Related<'o> {
        debug_assert!(is_boundary(boundary), "{boundary}");
        Related { out, boundary }
    }

    /// Adds a part. `id` is the line by which the first part names it: `Content-ID: <…>` (RFC 2392 §2).
    pub fn part(&mut self, content_type: &str, id: &str, body: &[u8]) {
        for piece in [
            "--",
            self.boundary,
            "\r\nContent-Transfer-Encoding: binary\r\n",
            id,
            "\r\nContent-Type: ",
            content_type,
            "\r\n\r\n",
        ] {
            self.out.extend_from_slice(piece.as_bytes());
        }
        self.out.extend_from_slice(body);
        self.out.extend_from_slice(b"\r\n");
    }

    /// That is all.
    pub fn end(self) {
        let end = format!("--{}--\r\n", self.boundary);
        self.out.extend_from_slice(end.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part as `type|disposition|body`.
    fn check(body: &str, expected: Result<&[&str], Fault>) {
        let found = read("b1", body.as_bytes()).map(|parts| {
            let shown = |part: &Part<'_>| {
                let body = String::from_utf8_lossy(part.body).into_owned();
                format!("{}|{}|{body}", part.content_type(), part.disposition())
            };
            parts.iter().map(shown).collect::<Vec<_>>()
        });
        let expected = expected.map(|all| all.iter().map(|each| (*each).to_owned()).collect());
        assert_eq!(found, expected, "{body:?}");
    }

    #[test]
    fn parts_are_cut_where_the_delimiters_are() {
        check(
            "--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n--b1\r\ncontent-type : application/resource-lists+xml\r\n\
             Content-Disposition: recipient-list;handling=required\r\n\r\n<x/>\r\n--b1--\r\n",
            Ok(&[
                "application/sdp||v=0\r\ns=-",
                "application/resource-lists+xml|recipient-list|<x/>",
            ]),
        );
        // A preamble, an epilogue, white space after a delimiter, a delimiter of somebody else, no head, no last line end.
        check(
            "to whom it may concern\r\n--b1 \t\r\n\r\n--b12\r\n--b1x--\r\nhello\r\n--b1--\r\nthe end --b1",
            Ok(&["text/plain||--b12\r\n--b1x--\r\nhello"]),
        );
        check(
            "--b1\n\none\n--b1\nA: b\n\n\n--b1--",
            Ok(&["text/plain||one", "text/plain||"]),
        );
        check("--b1\r\nContent-Type: a/b\r\n\r\n--b1--", Ok(&["a/b||"]));
        check(
            "--b1\r\nContent-Transfer-Encoding: BINARY\r\n\r\nx\r\n--b1--",
            Ok(&["text/plain||x"]),
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        let mut body = Related::begin(&mut out, "b1");
        body.part("application/rlmi+xml", "Content-ID: <r@x>", b"<list/>");
        body.part(
            "application/pidf+xml",
            "Content-ID: <1@x>",
            b"<presence>\n</presence>\n",
        );
        body.end();
        let parts = read("b1", &out).expect("well made");
        let found: Vec<_> = parts
            .iter()
            .map(|part| (part.content_type(), part.header("content-id"), part.body))
            .collect();
        assert_eq!(
            found,
            [
                ("application/rlmi+xml", Some("<r@x>"), &b"<list/>"[..]),
                (
                    "application/pidf+xml",
                    Some("<1@x>"),
                    &b"<presence>\n</presence>\n"[..]
                ),
            ]
        );
    }

    #[test]
    fn bad_bodies_are_refused() {
        check("", Err(Fault::Unclosed));
        check("--b1", Err(Fault::Unclosed));
        check("--b1--", Err(Fault::Unclosed));
        check("--b1\r\n\r\nhalf", Err(Fault::Unclosed));
        check("--b1\r\n\r\nx\r\n--b2--", Err(Fault::Unclosed));
        check("--b1\r\nno head\r\n\r\nx\r\n--b1--", Err(Fault::Head));
        check(
            &format!(
                "--b1\r\nA: {}\r\n\r\nx\r\n--b1--",
                "y".repeat(HEAD_BYTES_MAX)
            ),
            Err(Fault::Head),
        );
        check(
            "--b1\r\nContent-Type: Multipart/mixed;boundary=b2\r\n\r\nx\r\n--b1--",
            Err(Fault::Nested),
        );
        check(
            "--b1\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b1--",
            Err(Fault::Encoding),
        );
        let many = "--b1\r\n\r\nx\r\n".repeat(PARTS_MAX + 1) + "--b1--";
        check(&many, Err(Fault::TooManyParts));
        for boundary in ["", "a\"", "a ", "ä", &"x".repeat(BOUNDARY_CHARS_MAX + 1)] {
            assert_eq!(read(boundary, b"--\r\n\r\n----"), Err(Fault::Boundary));
        }
    }

    /// Whatever comes is taken apart or refused, and the parts lie within it.
    #[test]
    fn every_cut_of_a_body_is_answered() {
        let whole = b"--b1\r\nA: b\r\n\r\none\r\n--b1\r\n\r\ntwo\r\n--b1--\r\n";
        for end in 0..=whole.len() {
            if let Ok(parts) = read("b1", &whole[..end]) {
                assert!(parts.iter().all(|part| part.body.len() < end));
            }
        }
    }
}
