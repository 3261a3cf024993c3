//! Standard SIP/SIMPLE: what is said, read from a MESSAGE and written into one.

use core::time::Duration;

use crate::documents::cpim::{self, Cpim, Envelope};
use crate::documents::sdp::{self, Description, Ours};
use crate::immcu::content::{Content, Party, Sort};
use crate::sip::build::Draft;
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
    /// An encoding other than `identity`.
    Encoding,
    /// A CPIM wrapper that can't be read.
    Wrapper,
    /// A CPIM wrapper that says somebody else wrote it.
    Author,
}

impl BadContent {
    /// The answer's status.
    pub fn status(self) -> u16 {
        match self {
            BadContent::Type | BadContent::Wrapper => 400,
            BadContent::Encoding => 415,
            BadContent::Author => 403,
        }
    }

    /// The answer's reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            BadContent::Type => "Missing or Bad Content-Type",
            BadContent::Encoding => "Only Content-Encoding identity",
            BadContent::Wrapper => "Bad message/cpim Wrapper",
            BadContent::Author => "The message/cpim From Is Somebody Else",
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

/// Reads what `author` says with a MESSAGE.
///
/// # Errors
/// Where it can't be passed on as it is.
pub fn content(message: &Message<'_>, author: &Aor) -> Result<Content, BadContent> {
    if message
        .header(Name::ContentEncoding)
        .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    {
        return Err(BadContent::Encoding);
    }
    let content_type = match message.content_type() {
        Some(_) => message.header(Name::ContentType).unwrap_or_default(),
        // A MESSAGE without a body has no type either (RFC 3428 §7: any body, also none).
        None if message.body().is_empty() && message.header(Name::ContentType).is_none() => {
            "text/plain"
        }
        None => return Err(BadContent::Type),
    };
    let mut sort = sort_of(content_type);
    if message
        .content_type()
        .is_some_and(|media| media.is("message/cpim"))
    {
        let wrapped = Cpim::read(message.body()).map_err(|_| BadContent::Wrapper)?;
        let named = wrapped
            .address("From")
            .and_then(|uri| Uri::parse(uri).ok())
            .and_then(|uri| uri.aor());
        if named.is_some_and(|named| named != *author) {
            return Err(BadContent::Author);
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
        body: message.body().into(),
        lines: lines.into(),
        sort,
    })
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
    if party.display.is_empty() {
        format!("<{}>", party.aor.uri())
    } else {
        format!("{} <{}>", Quoted(&party.display), party.aor.uri())
    }
}

/// Whether a leg reads `message/cpim` (RFC 3862), if that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads {
    /// It says so: then who spoke stands in the message too.
    Cpim,
    /// It does not: what comes in a wrapper is taken out of it.
    Plain,
    /// Pager mode: nobody has said, so what was sent is passed on as it is.
    Unknown,
}

/// Ends a MESSAGE with what `from` said to `to`. Who it was always stands in P-Asserted-Identity (RFC 3325 §9.1).
pub fn write_content(
    mut draft: Draft<'_>,
    from: &Party,
    to: &str,
    content: &Content,
    reads: Reads,
    now: Now,
) {
    draft.header("P-Asserted-Identity", name_addr(from));
    draft.raw(content.lines.as_bytes());
    let uri = from.aor.uri();
    let envelope = Envelope {
        from_name: &from.display,
        from: &uri,
        to,
    };
    let wrapper = is_cpim(&content.content_type)
        .then(|| Cpim::read(&content.body).ok())
        .flatten();
    match (reads, wrapper) {
        (Reads::Cpim, Some(wrapper)) => {
            let mut body = Vec::with_capacity(content.body.len() + 256);
            cpim::rewrite(&mut body, &wrapper, &envelope);
            draft.body(cpim::CONTENT_TYPE, &body);
        }
        (Reads::Cpim, None) if content.sort == Sort::Text => {
            let mut body = Vec::with_capacity(content.body.len() + 256);
            cpim::write(
                &mut body,
                &envelope,
                now,
                &content.content_type,
                &content.body,
            );
            draft.body(cpim::CONTENT_TYPE, &body);
        }
        (Reads::Plain, Some(wrapper)) => draft.body(wrapper.content_type(), wrapper.content),
        _ => draft.body(&content.content_type, &content.body),
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
