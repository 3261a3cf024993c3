//! Standard SIP/SIMPLE: what is said, read from a MESSAGE and written into one.

use core::time::Duration;

use crate::dialect::body::{BadBody, body};
use crate::dialect::lync::message::standard_type;
use crate::documents::cpim::{self, Cpim, Envelope};
use crate::documents::sdp::{self, Description, Ours};
use crate::immcu::content::{Content, Party, Priority, Sort};
use crate::sip::build::{Draft, UriOf, Value};
use crate::sip::header::{Name, Quoted};
use crate::sip::link::Link;
use crate::sip::message::Message;
use crate::sip::time::Now;
use crate::sip::uri::{Aor, Uri};

/// Why the content of a MESSAGE is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadContent {
    /// A body without a Content-Type, or one that can't be read.
    Type,
    /// Its encoding can't be undone.
    Body(BadBody),
    /// A CPIM wrapper that can't be read.
    Wrapper,
    /// A CPIM wrapper that says somebody else wrote it, or somebody who can't be told.
    Author,
    /// A CPIM wrapper around encoded content (base64, quoted-printable). Not everybody is told in a wrapper, and SIP carries
    /// eight bits (RFC 3261 §7.4.1).
    Encoded,
}

impl BadContent {
    /// The answer's status.
    pub fn status(self) -> u16 {
        match self {
            BadContent::Body(bad) => bad.status(),
            BadContent::Type | BadContent::Wrapper => 400,
            BadContent::Encoded => 415,
            BadContent::Author => 403,
        }
    }

    /// The answer's reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            BadContent::Type => "Missing or Bad Content-Type",
            BadContent::Body(bad) => bad.reason(),
            BadContent::Wrapper => "Bad message/cpim Wrapper",
            BadContent::Author => "The message/cpim From Is Somebody Else",
            BadContent::Encoded => "Wrapped Content With A Transfer Encoding",
        }
    }
}

/// Header fields of a MESSAGE that go along with its body: they are about the message, not about its way (RFC 3428 §10).
const GOES_ALONG: [Name; 9] = [
    Name::Subject,
    Name::Date,
    Name::Expires,
    Name::ContentLanguage,
    Name::ContentDisposition,
    Name::InReplyTo,
    Name::ReplyTo,
    Name::Priority,
    Name::Organization,
];
/// What of them goes along, in bytes at most.
const LINES_BYTES_MAX: usize = 2048;

/// A longer Call-ID is not taken over.
const CALL_ID_BYTES_MAX: usize = 64;

/// Reads what `author` says with a MESSAGE, whose body is `bytes_max` at most.
///
/// # Errors
/// Where it can't be passed on as it is.
pub fn content(
    message: &Message<'_>,
    author: &Aor,
    bytes_max: usize,
) -> Result<Content, BadContent> {
    let body = body(message, bytes_max).map_err(BadContent::Body)?;
    let content_type = match message.content_type() {
        Some(_) => message.header(Name::ContentType).unwrap_or_default(),
        // A MESSAGE without a body has no type either (RFC 3428 §7: any body, also none).
        None if body.is_empty() && message.header(Name::ContentType).is_none() => "text/plain",
        None => return Err(BadContent::Type),
    };
    let mut sort = sort_of(content_type);
    if message
        .content_type()
        .is_some_and(|media| media.is("message/cpim"))
    {
        let wrapped = Cpim::read(&body).map_err(|_| BadContent::Wrapper)?;
        // A From without an address has made it a bad wrapper above.
        let from = wrapped.address("From");
        if from.is_some_and(|uri| person(uri).as_ref() != Some(author)) {
            return Err(BadContent::Author);
        }
        if wrapped.is_encoded() {
            return Err(BadContent::Encoded);
        }
        sort = sort_of(wrapped.content_type());
    }
    let mut lines = String::new();
    for name in GOES_ALONG {
        if let Some(value) = message.header(name)
            && lines.len() + value.len() < LINES_BYTES_MAX
        {
            lines.push_str(name.as_str());
            lines.push_str(": ");
            lines.push_str(value);
            lines.push_str("\r\n");
        }
    }
    Ok(Content {
        content_type: content_type.into(),
        body: body.into(),
        lines: lines.into(),
        sort,
        priority: Priority::of(message.header(Name::Priority)),
        call_id: call_id(message),
    })
}

/// Who is meant by the address in a wrapper: `im:` and `pres:` (RFC 3859, RFC 3860) name the same person as `sip:` does, with header
/// fields after `?` at most. Nobody where that can't be told.
fn person(uri: &str) -> Option<Aor> {
    let (scheme, rest) = uri.split_once(':')?;
    if ["im", "pres"]
        .iter()
        .any(|each| scheme.eq_ignore_ascii_case(each))
    {
        return Aor::parse(rest.split('?').next()?);
    }
    Uri::parse(uri).ok()?.aor()
}

/// COMPAT(linphone, 5.1): without CPIM its delivery reports (RFC 5438) name a message by its Call-ID, so the other side must see
/// the sender's. Not where it may tell the sender's address (`x@192.0.2.1`), which nobody is to learn.
fn call_id(message: &Message<'_>) -> Option<Box<str>> {
    let call_id = message.call_id();
    (!call_id.contains(['@', '.', ':']) && call_id.len() <= CALL_ID_BYTES_MAX)
        .then(|| call_id.into())
}

fn sort_of(content_type: &str) -> Sort {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/im-iscomposing+xml")
        || essence.eq_ignore_ascii_case("message/imdn+xml")
    {
        Sort::Signal
    } else {
        Sort::Text
    }
}

/// `"Alice" <sip:alice@example.com>`, as From and P-Asserted-Identity say it.
pub fn name_addr(party: &Party) -> String {
    let (name, aor) = (&*party.display, &party.aor);
    let mut text = Vec::with_capacity(name.len() + aor.as_str().len() + 12);
    Named { name, aor }.write(&mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// The same as a header's value: a display name that may be empty, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The display name, as people write it.
    pub name: &'a str,
    /// The user.
    pub aor: &'a Aor,
}

impl Value for Named<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        if !self.name.is_empty() {
            format_args!("{} ", Quoted(self.name)).write(out);
        }
        ("<", (UriOf(self.aor), ">")).write(out);
    }
}

/// Whether a leg reads `message/cpim` (RFC 3862), if that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads<'a> {
    /// It says so: then who spoke stands in the message too, and this one as whom it is to.
    Cpim(&'a Aor),
    /// It does not: what comes in a wrapper is taken out of it.
    Plain,
    /// Pager mode: nobody has said, so what was sent is passed on as it is.
    Unknown,
}

/// Ends a MESSAGE with what `from` said. Who it was always stands in P-Asserted-Identity
/// (RFC 3325 §9.1).
pub fn write_content(
    mut draft: Draft<'_>,
    from: &Party,
    content: &Content,
    reads: Reads<'_>,
    now: Now,
) {
    let (name, aor) = (&*from.display, &from.aor);
    draft.line("P-Asserted-Identity: ", Named { name, aor });
    draft.raw(content.lines.as_bytes());
    let standard = standard_type(&content.content_type);
    let content_type = standard.as_deref().unwrap_or(&content.content_type);
    let wrapper = is_cpim(&content.content_type)
        .then(|| Cpim::read(&content.body).ok())
        .flatten();
    match (reads, wrapper) {
        (Reads::Cpim(to), wrapper) if wrapper.is_some() || content.sort == Sort::Text => {
            let mut body = Vec::with_capacity(content.body.len() + 256);
            let envelope = Envelope {
                from_name: name,
                from: &aor.uri(),
                to: &to.uri(),
            };
            match wrapper {
                Some(wrapper) => cpim::rewrite(&mut body, &wrapper, &envelope),
                None => cpim::write(&mut body, &envelope, now, content_type, &content.body),
            }
            draft.body(cpim::CONTENT_TYPE, &body);
        }
        (Reads::Plain, Some(wrapper)) => draft.body(wrapper.content_type(), wrapper.content),
        _ => draft.body(content_type, &content.body),
    }
}

fn is_cpim(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case(cpim::CONTENT_TYPE)
}

/// What our legs accept, the plainest first.
const ACCEPT_TYPES: &str = "text/plain text/html message/cpim application/im-iscomposing+xml message/imdn+xml application/octet-stream";

fn ours(link: &Link, id: u64, version: u32) -> Ours<'static> {
    Ours {
        address: link.local.ip(),
        port: link.local.port(),
        id,
        version,
        accept_types: ACCEPT_TYPES,
    }
}

/// Our session description for the dialog `id`: one message stream over SIP itself.
pub fn offer(link: &Link, id: u64, version: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    sdp::write_offer(&mut out, &ours(link, id, version));
    out
}

/// Our answer to a session description, and whether its stream takes CPIM.
///
/// # Errors
/// Where it can't be read (400), or has no message stream (488).
pub fn answer_offer(
    body: &[u8],
    link: &Link,
    id: u64,
    version: u32,
) -> Result<(Vec<u8>, bool), sdp::Fault> {
    let offer = Description::read(body)?;
    let cpim = offer.messages()?.accepts(cpim::CONTENT_TYPE);
    let mut out = Vec::with_capacity(256);
    sdp::write_answer(&mut out, &offer, &ours(link, id, version))?;
    Ok((out, cpim))
}

/// Whether a session description that answers ours takes CPIM; `None` where it takes no messages at all.
pub fn read_answer(body: &[u8]) -> Option<bool> {
    let answer = Description::read(body).ok()?;
    let media = answer.messages().ok()?;
    Some(media.accepts(cpim::CONTENT_TYPE))
}

/// A report for a person about a message that did not reach somebody.
pub fn not_delivered(to: &Aor, status: u16, reason: &str) -> Content {
    let text = format!("Your last message did not reach {to}: {status} {reason}");
    Content {
        content_type: "text/plain;charset=utf-8".into(),
        body: text.into_bytes().into(),
        lines: "".into(),
        sort: Sort::Signal,
        priority: Priority::Ordinary,
        call_id: None,
    }
}

/// How long a watcher's subscription lasts: what was asked within bounds, or the notifier's own.
pub fn subscription_s(asked: Option<u32>, bounds: (u32, u32)) -> Result<u32, Duration> {
    match asked {
        Some(0) => Ok(0),
        Some(asked) if asked < bounds.0 => Err(Duration::from_secs(u64::from(bounds.0))),
        Some(asked) => Ok(asked.min(bounds.1)),
        None => Ok(3600.clamp(bounds.0, bounds.1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(call_id: &str, encoding: &str, body: &[u8]) -> Result<Content, BadContent> {
        read_as("message/imdn+xml", call_id, encoding, body)
    }

    fn read_as(
        kind: &str,
        call_id: &str,
        encoding: &str,
        body: &[u8],
    ) -> Result<Content, BadContent> {
        let mut bytes = format!(
            "MESSAGE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
             To: <sip:b@example.com>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\nContent-Type: {kind}\r\n\
             Content-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        let message = Message::parse(&mut bytes).expect("a good message");
        content(
            &message,
            &Aor::parse("a@example.com").expect("a good address"),
            4096,
        )
    }

    #[test]
    fn a_call_id_that_tells_an_address_is_not_passed_on() {
        let long = "x".repeat(CALL_ID_BYTES_MAX + 1);
        for (call_id, passed) in [
            ("s7sB~S2J-d3", true),
            ("1@h", false),
            ("1-192.0.2.1", false),
            ("[::1]", false),
            (&*long, false),
        ] {
            let content = read(call_id, "identity", b"").expect("good content");
            assert_eq!(content.call_id.as_deref(), passed.then_some(call_id));
        }
    }

    #[test]
    fn who_is_named_in_a_wrapper_is_its_author() {
        let (author, wrapper) = (Some(BadContent::Author), Some(BadContent::Wrapper));
        for (from, expected) in [
            ("From: <sip:a@example.com>", None),
            ("From: \"A\" <SIPS:a@EXAMPLE.com;transport=tls>", None),
            ("From: A <im:a@example.com>", None),
            ("From: <IM:%61@Example.com?Subject=x>", None),
            ("From: <pres:a@example.com>", None),
            ("DateTime: 2026-11-27T20:00:00Z", None),
            ("From: <sip:b@example.com>", author),
            ("From: \"A\" <im:b@example.com>", author),
            ("From: <pres:b@example.com?a@example.com>", author),
            ("From: <im:b@example.com;a@example.com>", author),
            ("From: <tel:+1>", author),
            ("From: <mailto:a@example.com>", author),
            ("From: im:b@example.com", wrapper),
            ("From: B", wrapper),
        ] {
            let body = format!("{from}\r\n\r\nContent-Type: text/plain\r\n\r\nHello");
            let found = read_as("message/cpim", "1", "identity", body.as_bytes());
            assert_eq!(found.err(), expected, "{from}");
        }
    }

    /// It would reach whoever reads no wrapper as what it is not.
    #[test]
    fn encoded_content_is_not_taken_in_a_wrapper() {
        let encoded = Some(BadContent::Encoded);
        for (lines, expected) in [
            ("", None),
            ("Content-Transfer-Encoding: 7bit\r\n", None),
            ("Content-Transfer-Encoding: 8BIT\r\n", None),
            ("content-transfer-encoding:binary\r\n", None),
            ("Content-Transfer-Encoding: base64\r\n", encoded),
            ("content-transfer-encoding:Quoted-Printable\r\n", encoded),
            ("Content-Transfer-Encoding: x-own\r\n", encoded),
            ("Content-Transfer-Encoding:\r\n", encoded),
            (
                "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64\r\n",
                encoded,
            ),
        ] {
            let body = format!(
                "From: <sip:a@example.com>\r\n\r\nContent-Type: text/plain\r\n{lines}\r\nSGVsbG8="
            );
            let found = read_as("message/cpim", "1", "identity", body.as_bytes());
            assert_eq!(found.err(), expected, "{lines}");
        }
        assert_eq!(BadContent::Encoded.status(), 415);
    }
}
