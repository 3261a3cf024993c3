//! Messages with their own envelope (RFC 3862): who says it to whom and when, inside the body, safe from what the
//! signalling around it rewrites. Read without copying; written anew where the server vouches for From and To.
//!
//! Always holds: a message that was read has at most one From, and there is one way to read it and each To; what is
//! checked here is what the recipient's client sees.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::documents::imdn;
use crate::documents::multipart;
use crate::documents::timestamp::Timestamp;
use crate::sip::time::Now;

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "message/cpim";

/// Headers of one message, of both kinds together.
pub const HEADERS_MAX: usize = 64;
/// Bytes of one header line.
pub const LINE_BYTES_MAX: usize = 4096;

/// The namespace of the headers of CPIM itself (RFC 3862 §3.4), which need no prefix.
const OWN_NAMESPACE: &str = "urn:ietf:params:cpim-headers:";

/// Why a message was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not a CPIM message.
    Malformed,
    /// More headers, or longer ones, than this server looks at.
    TooLong,
}

impl Fault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Fault::Malformed => 400,
            Fault::TooLong => 413,
        }
    }

    /// A few words for a reason phrase or a `Warning`.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Malformed => "Malformed CPIM",
            Fault::TooLong => "CPIM Header Too Long",
        }
    }
}

/// One header line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// The name with its prefix (`imdn.Message-ID`).
    pub name: &'a str,
    /// The rest: parameters, if any, and the value; escapes as written.
    pub raw: &'a str,
}

/// A message as read: a view over its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cpim<'a> {
    /// The envelope, in order.
    pub headers: SmallVec<[Header<'a>; 8]>,
    /// The MIME headers of the content, in order.
    pub content_headers: SmallVec<[Header<'a>; 2]>,
    /// The content.
    pub content: &'a [u8],
}

impl<'a> Cpim<'a> {
    /// Reads a message. Lines may end in LF alone.
    pub fn read(bytes: &'a [u8]) -> Result<Cpim<'a>, Fault> {
        let mut rest = bytes;
        let mut headers = SmallVec::new();
        read_headers(&mut rest, &mut headers, HEADERS_MAX)?;
        if headers.is_empty() || !is_unambiguous(&headers) {
            return Err(Fault::Malformed);
        }
        let mut content_headers = SmallVec::new();
        let left = HEADERS_MAX - headers.len();
        read_headers(&mut rest, &mut content_headers, left)?;
        Ok(Cpim {
            headers,
            content_headers,
            content: rest,
        })
    }

    /// The value of an envelope header of CPIM itself (`From`, `DateTime`, …), unescaped.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        self.headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| unescape(header.raw))
    }

    /// The value of an envelope header of another namespace, by whatever prefix an `NS` header bound to it.
    pub fn header_in(&self, namespace: &str, name: &str) -> Option<Cow<'a, str>> {
        self.headers
            .iter()
            .find(|header| {
                header.name.rsplit_once('.').is_some_and(|(prefix, local)| {
                    local.eq_ignore_ascii_case(name) && self.binds(prefix, namespace)
                })
            })
            .map(|header| unescape(header.raw))
    }

    /// The URI of `From` or `To`.
    pub fn address(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .and_then(|header| uri_of(header.raw))
    }

    /// `imdn.Message-ID` (RFC 5438 §6.3).
    pub fn message_id(&self) -> Option<Cow<'a, str>> {
        self.header_in(imdn::CPIM_NAMESPACE, "Message-ID")
    }

    /// What the sender wishes to be told (RFC 5438 §6.2).
    pub fn wishes(&self) -> imdn::Wishes {
        self.header_in(imdn::CPIM_NAMESPACE, "Disposition-Notification")
            .map(|value| imdn::Wishes::read(&value))
            .unwrap_or_default()
    }

    /// The content's type with its parameters; `text/plain` where there is none (RFC 2045 §5.2).
    pub fn content_type(&self) -> &'a str {
        self.content_headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("Content-Type"))
            .map_or("text/plain", |header| header.raw)
    }

    /// Is the content encoded (base64, quoted-printable)? Whoever takes it out of the wrapper must know, for what says so
    /// stays behind.
    pub fn is_encoded(&self) -> bool {
        self.content_headers
            .iter()
            .filter(|header| {
                header
                    .name
                    .eq_ignore_ascii_case("Content-Transfer-Encoding")
            })
            .any(|header| !multipart::leaves_as_is(header.raw))
    }

    fn binds(&self, prefix: &str, namespace: &str) -> bool {
        self.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("NS")
                && header.raw.split_once('<').is_some_and(|(bound, uri)| {
                    bound.trim() == prefix && uri.trim_end().strip_suffix('>') == Some(namespace)
                })
        })
    }
}

/// Who says it to whom: what the server vouches for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envelope<'a> {
    /// Shown to others, or empty.
    pub from_name: &'a str,
    /// The sender's URI.
    pub from: &'a str,
    /// The recipient's or the conference's URI.
    pub to: &'a str,
}

/// Appends content in an envelope to `out`.
pub fn write(
    out: &mut Vec<u8>,
    envelope: &Envelope<'_>,
    at: Now,
    content_type: &str,
    content: &[u8],
) {
    write_addresses(out, envelope);
    write_line(out, "DateTime", &Timestamp(at).to_string());
    out.extend_from_slice(b"\r\n");
    write_line(out, "Content-Type", content_type);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(content);
}

/// Appends `message` to `out` under a new envelope: From, To and cc are replaced, all else stays as it was sent.
pub fn rewrite(out: &mut Vec<u8>, message: &Cpim<'_>, envelope: &Envelope<'_>) {
    write_addresses(out, envelope);
    for header in &message.headers {
        let replaced = ["From", "To", "cc"]
            .iter()
            .any(|name| header.name.eq_ignore_ascii_case(name));
        if !replaced {
            write_raw(out, header);
        }
    }
    out.extend_from_slice(b"\r\n");
    for header in &message.content_headers {
        write_raw(out, header);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.content);
}

fn write_addresses(out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    out.extend_from_slice(b"From: ");
    if !envelope.from_name.is_empty() {
        out.push(b'"');
        for character in envelope.from_name.chars().filter(|c| !c.is_control()) {
            if matches!(character, '"' | '\\') {
                out.push(b'\\');
            }
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(b"\" ");
    }
    write_uri(out, envelope.from);
    out.extend_from_slice(b"To: ");
    write_uri(out, envelope.to);
}

fn write_uri(out: &mut Vec<u8>, uri: &str) {
    out.push(b'<');
    out.extend(
        uri.bytes()
            .filter(|b| !b.is_ascii_control() && !matches!(b, b'<' | b'>')),
    );
    out.extend_from_slice(b">\r\n");
}

fn write_line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().filter(|b| !b.is_ascii_control()));
    out.extend_from_slice(b"\r\n");
}

fn write_raw(out: &mut Vec<u8>, header: &Header<'_>) {
    out.extend_from_slice(header.name.as_bytes());
    // With parameters (`Subject:;lang=fr …`) there is no space after the colon (RFC 3862 §3.1).
    out.extend_from_slice(match header.raw.starts_with(';') {
        true => b":",
        false => b": ",
    });
    out.extend_from_slice(header.raw.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Reads header lines up to and including the empty line that ends them.
fn read_headers<'a, const N: usize>(
    rest: &mut &'a [u8],
    headers: &mut SmallVec<[Header<'a>; N]>,
    count_max: usize,
) -> Result<(), Fault>
where
    [Header<'a>; N]: smallvec::Array<Item = Header<'a>>,
{
    loop {
        let end = rest
            .iter()
            .take(LINE_BYTES_MAX)
            .position(|b| *b == b'\n')
            .ok_or(match rest.len() > LINE_BYTES_MAX {
                true => Fault::TooLong,
                false => Fault::Malformed,
            })?;
        let (line, after) = rest.split_at(end);
        *rest = after.get(1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        if headers.len() >= count_max {
            return Err(Fault::TooLong);
        }
        let line = core::str::from_utf8(line).map_err(|_| Fault::Malformed)?;
        let (name, raw) = line.split_once(':').ok_or(Fault::Malformed)?;
        if name.is_empty() || name.bytes().any(|b| !b.is_ascii_graphic()) || raw.contains('\r') {
            return Err(Fault::Malformed);
        }
        headers.push(Header {
            name,
            raw: raw.trim(),
        });
    }
}

/// Can From and To be read in one way only? An `NS` header that moves CPIM's own names to another prefix, or others into
/// their place (RFC 3862 §3.4), is refused with the rest: nobody needs it, and it could say who spoke a second time.
fn is_unambiguous(headers: &[Header<'_>]) -> bool {
    for name in ["From", "To"] {
        let mut named = headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
        if named
            .next()
            .is_some_and(|header| uri_of(header.raw).is_none())
        {
            return false;
        }
        // Several recipients are fine (RFC 3862 §4.2), several senders are not.
        let fine = match name {
            "From" => named.next().is_none(),
            _ => named.all(|header| uri_of(header.raw).is_some()),
        };
        if !fine {
            return false;
        }
    }
    headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("NS"))
        .all(|header| {
            header.raw.split_once('<').is_some_and(|(prefix, uri)| {
                !prefix.trim().is_empty() && !uri.trim_start().starts_with(OWN_NAMESPACE)
            })
        })
}

/// The URI of `[formal-name] <URI>` with nothing after it (RFC 3862 §4.1).
fn uri_of(raw: &str) -> Option<&str> {
    let after_name = match raw.strip_prefix('"') {
        None => raw,
        Some(quoted) => {
            let mut escaped = false;
            let end = quoted.find(|character| {
                let closes = character == '"' && !escaped;
                escaped = character == '\\' && !escaped;
                closes
            })?;
            quoted.get(end + 1..)?
        }
    };
    let (name, uri) = after_name.split_once('<')?;
    let uri = uri.strip_suffix('>')?;
    let plain = |text: &str| !text.contains(['<', '>', '"']);
    (plain(name) && plain(uri) && !uri.is_empty()).then_some(uri)
}

/// Undoes `\n`, `\"`, `\u00e9` and the like (RFC 3862 §3.2); what is no escape stays.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut plain = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        plain.push_str(rest.get(..at).unwrap_or_default());
        let escaped = rest.get(at + 1..).unwrap_or_default();
        let mut characters = escaped.chars();
        match characters.next() {
            Some('u') => {
                let code = escaped
                    .get(1..5)
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32);
                match code {
                    Some(character) => {
                        plain.push(character);
                        rest = escaped.get(5..).unwrap_or_default();
                        continue;
                    }
                    None => plain.push('u'),
                }
            }
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('b') => plain.push('\u{8}'),
            Some(other) => plain.push(other),
            None => plain.push('\\'),
        }
        rest = characters.as_str();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests;
