//! What is said, as a Lync endpoint hears and says it.
//!
//! | what is said | as it hears it | as it says it |
//! | --- | --- | --- |
//! | a message | MESSAGE with the bare content: it knows no wrapper (RFC 3862) | the same; how it looks stands in `msgr` |
//! | typing (RFC 3994) | INFO, said again and again (`immcu::typing`) | the same |
//! | what became of a message (RFC 5438) | nothing: it has no word for it, and would refuse it as a message | nothing |

use std::borrow::Cow;

use crate::documents::cpim::{self, Cpim};
use crate::documents::imdn;
use crate::documents::iscomposing::{self, IsComposing};
use crate::immcu::SessionId;
use crate::immcu::content::{Content, Priority, Sort, Thread};
use crate::sip::build::Draft;
use crate::sip::header::MediaType;

/// Parameters of a Content-Type that only Lync's clients know: how the text looks, and the text once more.
const OWN_PARAMETERS: [&str; 2] = ["msgr", "ms-body"];

/// What becomes of something that is said to a Lync endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hearing<'c> {
    /// A MESSAGE.
    Message(Bare<'c>),
    /// The other side types, or has stopped.
    Typing(IsComposing),
    /// It is not for this endpoint, and nobody has to know.
    Nothing,
}

/// A message without a wrapper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bare<'c> {
    /// Its Content-Type.
    pub content_type: Cow<'c, str>,
    /// Its content.
    pub body: &'c [u8],
}

impl Bare<'_> {
    /// Ends a MESSAGE with it and with the header lines that go along. Who says it stands in From.
    pub fn write(&self, mut draft: Draft<'_>, lines: &str) {
        draft.raw(lines.as_bytes());
        draft.body(&self.content_type, self.body);
    }
}

impl Hearing<'_> {
    /// How an endpoint hears `content`.
    pub fn of(content: &Content) -> Hearing<'_> {
        let wrapper = essence(&content.content_type)
            .eq_ignore_ascii_case(cpim::CONTENT_TYPE)
            .then(|| Cpim::read(&content.body).ok())
            .flatten();
        let (content_type, body) = match wrapper {
            Some(wrapper) => (wrapper.content_type(), wrapper.content),
            None => (&*content.content_type, &*content.body),
        };
        let is = |kind: &str| essence(content_type).eq_ignore_ascii_case(kind);
        if is(imdn::CONTENT_TYPE) {
            return Hearing::Nothing;
        }
        if is(iscomposing::CONTENT_TYPE) {
            // What can't be read is no reason to refuse what nobody waits for.
            return iscomposing::read(body).map_or(Hearing::Nothing, Hearing::Typing);
        }
        let unsaid = is("text/plain")
            && MediaType::parse(content_type).is_ok_and(|media| !media.params.has("charset"));
        let content_type = match unsaid {
            true => Cow::Owned(format!("{content_type}; charset=UTF-8")),
            false => Cow::Borrowed(content_type),
        };
        Hearing::Message(Bare { content_type, body })
    }
}

/// A Content-Type without what only Lync's clients know; `None` where there is nothing of that.
pub fn standard_type(content_type: &str) -> Option<String> {
    // Most have no parameter at all.
    memchr::memchr(b';', content_type.as_bytes())?;
    let media = MediaType::parse(content_type).ok()?;
    if !OWN_PARAMETERS.iter().any(|own| media.params.has(own)) {
        return None;
    }
    let mut standard = format!("{}/{}", media.kind, media.subtype);
    for (name, value) in media.params.iter() {
        if OWN_PARAMETERS
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
        {
            continue;
        }
        standard.push(';');
        standard.push_str(name);
        if let Some(value) = value {
            standard.push('=');
            standard.push_str(value);
        }
    }
    Some(standard)
}

/// The header that says which conversation a session belongs to.
pub const THREAD: &str = "Ms-Conversation-ID";

/// The name of a conversation whose starter has none for it: all endpoints that are invited hear the same.
pub fn thread(session: SessionId) -> Thread {
    let number = session.random & u64::from(u32::MAX);
    Thread::read(&number.to_string()).expect("a number has digits alone, and no more than twenty")
}

/// Typing as the core knows it.
pub fn composing(active: bool, refresh_s: u32) -> Content {
    let mut body = Vec::with_capacity(192);
    let refresh_s = active.then_some(refresh_s);
    iscomposing::write(&mut body, IsComposing { active, refresh_s });
    Content {
        content_type: iscomposing::CONTENT_TYPE.into(),
        body: body.into(),
        lines: "".into(),
        sort: Sort::Signal,
        priority: Priority::Ordinary,
        call_id: None,
    }
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(content_type: &str, body: &str) -> Content {
        Content {
            content_type: content_type.into(),
            body: body.as_bytes().into(),
            ..composing(false, 0)
        }
    }

    #[test]
    fn what_an_endpoint_hears() {
        let wrapped = |kind: &str, body: &str| {
            format!("From: <sip:a@x>\r\n\r\nContent-Type: {kind}\r\n\r\n{body}")
        };
        let active = "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>";
        let typing = Hearing::Typing(IsComposing {
            active: true,
            refresh_s: None,
        });
        let message = |kind: &'static str| {
            Hearing::Message(Bare {
                content_type: kind.into(),
                body: b"Hi",
            })
        };
        for (kind, body, expected) in [
            ("text/plain", "Hi", message("text/plain; charset=UTF-8")),
            (
                "text/plain;charset=iso-8859-1",
                "Hi",
                message("text/plain;charset=iso-8859-1"),
            ),
            (
                "text/plain; charset=UTF-8;msgr=WAAt/",
                "Hi",
                message("text/plain; charset=UTF-8;msgr=WAAt/"),
            ),
            ("text/html", "Hi", message("text/html")),
            (
                "message/cpim",
                &wrapped("text/plain", "Hi"),
                message("text/plain; charset=UTF-8"),
            ),
            ("message/imdn+xml", "<imdn/>", Hearing::Nothing),
            (
                "Message/CPIM",
                &wrapped("message/imdn+xml", "<imdn/>"),
                Hearing::Nothing,
            ),
            ("application/im-iscomposing+xml", active, typing.clone()),
            (
                "message/cpim",
                &wrapped("application/im-iscomposing+xml", active),
                typing,
            ),
            ("application/im-iscomposing+xml", "<x", Hearing::Nothing),
        ] {
            assert_eq!(Hearing::of(&content(kind, body)), expected, "{kind} {body}");
        }
    }

    #[test]
    fn others_are_not_told_how_it_looks() {
        for (own, expected) in [
            (
                "text/plain; charset=UTF-8;msgr=WAAtAE0ATQBTAC0A",
                Some("text/plain;charset=UTF-8"),
            ),
            (
                "text/html;MSGR=a/b=;x=\"y;z\";flag",
                Some("text/html;x=\"y;z\";flag"),
            ),
            ("text/plain;ms-body=SGk=", Some("text/plain")),
            ("text/plain; charset=UTF-8", None),
            ("nonsense", None),
        ] {
            assert_eq!(standard_type(own).as_deref(), expected, "{own}");
        }
    }
}
