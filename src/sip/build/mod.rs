//! Writes requests and responses into a given buffer.
//!
//! A message is begun by `response`, `response_from` or `request`, and ended by `Draft::body` or `Draft::finish`, so it always has
//! one Content-Length and it is right. Nobody can smuggle a line in: CR, LF and NUL are left out of whatever is written as
//! a name or value. That the headers make sense is the caller's business.

mod echo;
mod reason;
mod value;

pub use echo::{Echo, vias};
pub use reason::reason;
pub use value::{Hex, UriOf, Value, sixteen_digits, unhex};
use value::{push_address, push_number};

use super::link::{Link, Transport};
use super::message::Message;
use super::uri::Scheme;

/// A message that is being written. Dropped without `body` or `finish` it ends with an empty body.
#[derive(Debug)]
pub struct Draft<'o> {
    out: &'o mut Vec<u8>,
    ended: bool,
}

/// Begins a response with the standard reason phrase, and with the headers that each response repeats. `to_tag` is added
/// where To has none; it must be there in all but a 100 (RFC 3261 §8.2.6.2).
pub fn response<'o>(
    out: &'o mut Vec<u8>,
    to: &Message<'_>,
    status: u16,
    to_tag: Option<&str>,
) -> Draft<'o> {
    response_reason(out, to, status, reason(status), to_tag)
}

/// The same with another reason phrase.
pub fn response_reason<'o>(
    out: &'o mut Vec<u8>,
    to: &Message<'_>,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
) -> Draft<'o> {
    status_line(out, status, reason);
    echo::write(out, to, status, to_tag);
    Draft { out, ended: false }
}

/// Begins a response to a request that is gone.
pub fn response_from<'o>(
    out: &'o mut Vec<u8>,
    to: &Echo,
    status: u16,
    to_tag: Option<&str>,
) -> Draft<'o> {
    response_from_reason(out, to, status, reason(status), to_tag)
}

/// The same with another reason phrase.
pub fn response_from_reason<'o>(
    out: &'o mut Vec<u8>,
    to: &Echo,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
) -> Draft<'o> {
    status_line(out, status, reason);
    to.write(out, status, to_tag);
    Draft { out, ended: false }
}

/// Begins a request. All headers but Content-Length are the caller's.
pub fn request<'o>(out: &'o mut Vec<u8>, method: &str, uri: &str) -> Draft<'o> {
    push(out, method);
    out.push(b' ');
    push(out, uri);
    out.extend_from_slice(b" SIP/2.0\r\n");
    Draft { out, ended: false }
}

impl Draft<'_> {
    /// Adds a header line; CR, LF and NUL in name and value are left out.
    pub fn header(&mut self, name: &str, value: impl Value) -> &mut Self {
        push(self.out, name);
        self.out.extend_from_slice(b": ");
        value.write(self.out);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a header line that begins with `lead`: the name, a colon and a blank, written in the code.
    #[inline]
    pub fn line(&mut self, lead: &'static str, value: impl Value) -> &mut Self {
        self.out.extend_from_slice(lead.as_bytes());
        value.write(self.out);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a Via of ours: this end of a connection, and a branch.
    pub fn via(&mut self, link: &Link, branch: impl Value) -> &mut Self {
        let lead: &[u8] = match link.transport {
            Transport::Tls => b"Via: SIP/2.0/TLS ",
            Transport::Tcp => b"Via: SIP/2.0/TCP ",
        };
        self.out.extend_from_slice(lead);
        push_address(self.out, link.local);
        self.out.extend_from_slice(b";branch=");
        branch.write(self.out);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a Contact of ours: `user` at this end of a connection, or the server itself where `user` is empty. `focus`: it is
    /// a conference's (`isfocus`, RFC 4579 §5.1).
    pub fn contact(&mut self, scheme: Scheme, user: &str, link: &Link, focus: bool) -> &mut Self {
        let lead: &[u8] = match scheme {
            Scheme::Sips => b"Contact: <sips:",
            _ => b"Contact: <sip:",
        };
        self.out.extend_from_slice(lead);
        if !user.is_empty() {
            push(self.out, user);
            self.out.push(b'@');
        }
        push_address(self.out, link.local);
        let rest: &[u8] = match (scheme, link.transport) {
            // It is TLS by its scheme, and by nothing else (RFC 5630 §3.1.3).
            (Scheme::Sips, _) => b">",
            (_, Transport::Tls) => b";transport=tls>",
            (_, Transport::Tcp) => b";transport=tcp>",
        };
        self.out.extend_from_slice(rest);
        let focus: &[u8] = if focus { b";isfocus\r\n" } else { b"\r\n" };
        self.out.extend_from_slice(focus);
        self
    }

    /// Adds CSeq.
    pub fn cseq(&mut self, number: u32, method: &str) -> &mut Self {
        self.out.extend_from_slice(b"CSeq: ");
        push_number(self.out, u64::from(number));
        self.out.push(b' ');
        push(self.out, method);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds bytes that are whole header lines, each with its CR LF, as they are: only for what this server has written itself.
    pub fn raw(&mut self, lines: &[u8]) -> &mut Self {
        self.out.extend_from_slice(lines);
        self
    }

    /// Ends the message with a body.
    pub fn body(mut self, content_type: &str, body: &[u8]) {
        self.line("Content-Type: ", content_type);
        self.end(body);
    }

    /// Ends the message with a body whose Content-Type, if it has one, is written already.
    pub fn carry(mut self, body: &[u8]) {
        self.end(body);
    }

    /// Ends the message without a body.
    pub fn finish(mut self) {
        self.end(&[]);
    }

    fn end(&mut self, body: &[u8]) {
        self.ended = true;
        self.out.extend_from_slice(b"Content-Length: ");
        push_number(self.out, body.len() as u64);
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(&[]);
        }
    }
}

fn status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    out.extend_from_slice(b"SIP/2.0 ");
    push_number(out, u64::from(status));
    out.push(b' ');
    push(out, reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends a text without what could end its line.
fn push(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // Nearly always all of it can be copied at once.
    if has_no_controls(bytes) {
        out.extend_from_slice(bytes);
    } else {
        out.extend(bytes.iter().copied().filter(|&byte| !ends_line(byte)));
    }
}

/// Whether no byte is one of the first fourteen, among which are all that end a line: looked at eight at a time, the last
/// eight perhaps in part for the second time. A text that has another of them, a tab, is only copied more slowly.
fn has_no_controls(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte below fourteen borrows, which sets its highest bit; one of 128 and more has that bit already.
    let low = |eight: &[u8; 8]| {
        let eight = u64::from_le_bytes(*eight);
        eight.wrapping_sub(ONES * 14) & !eight & (ONES * 128)
    };
    match bytes.last_chunk::<8>() {
        Some(last) => {
            let (eights, _) = bytes.as_chunks::<8>();
            eights.iter().fold(low(last), |all, eight| all | low(eight)) == 0
        }
        None => bytes.iter().all(|&byte| byte >= 14),
    }
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;

    const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\n\
        v: SIP/2.0/TLS h:5061 ; rport;branch=z9hG4bK1 , SIP/2.0/TCP i;branch=z9hG4bK0\r\n\
        Via: SIP/2.0/TCP j\r\n\
        f: A <sip:a@b>;tag=1\r\n\
        t: sip:c@d\r\n\
        i: x@y\r\n\
        CSeq: 7\tOPTIONS\r\n\
        Record-Route: <sip:p;lr>\r\n\
        l: 0\r\n\r\n";

    fn with_options(act: impl FnOnce(&mut Message<'_>, &mut Vec<u8>)) -> String {
        let mut bytes = OPTIONS.as_bytes().to_vec();
        let mut message = Message::parse(&mut bytes).expect("well-formed");
        let mut out = Vec::new();
        act(&mut message, &mut out);
        String::from_utf8(out).expect("text").replace("\r\n", "\n")
    }

    const ECHOED: &str = "Via: SIP/2.0/TLS h:5061 ; rport;branch=z9hG4bK1 , SIP/2.0/TCP i;branch=z9hG4bK0\n\
        Via: SIP/2.0/TCP j\nFrom: A <sip:a@b>;tag=1\nCall-ID: x@y\nCSeq: 7\tOPTIONS\nTo: sip:c@d";

    #[test]
    fn a_response_repeats_what_it_must() {
        let written = with_options(|message, out| {
            let mut draft = response(out, message, 200, Some("t1"));
            draft.header("Allow", "OPTIONS");
            draft.body("text/plain", b"hello");
        });
        assert_eq!(
            written,
            format!(
                "SIP/2.0 200 OK\n{ECHOED};tag=t1\nAllow: OPTIONS\n\
                 Content-Type: text/plain\nContent-Length: 5\n\nhello"
            )
        );
    }

    /// RFC 3261 §12.1.1: what asks for a dialog is answered with its Record-Route, all of it and in its order.
    #[test]
    fn the_answer_that_makes_a_dialog_has_the_route_to_it() {
        const ROUTES: &str = "Record-Route: <sip:p;lr>\n";
        for (method, to, status, expected) in [
            ("SUBSCRIBE", "", 200, true),
            ("INVITE", "", 180, true),
            ("REFER", "", 202, true),
            ("INVITE", "", 100, false),
            ("INVITE", "", 302, false),
            ("SUBSCRIBE", "", 489, false),
            ("SUBSCRIBE", ";tag=x", 200, false),
            ("OPTIONS", "", 200, false),
        ] {
            let text = OPTIONS.replace("OPTIONS", method);
            let mut bytes = text.replace("t: sip:c@d", &format!("t: <sip:c@d>{to}"));
            bytes = bytes.replace(
                "Record-Route:",
                "Record-Route: <sip:q;lr>, <sip:r;lr>\r\nRecord-Route:",
            );
            let mut bytes = bytes.into_bytes();
            let message = Message::parse(&mut bytes).expect("well-formed");
            let (mut now, mut later, mut without) = (Vec::new(), Vec::new(), Vec::new());
            response(&mut now, &message, status, Some("t")).finish();
            let mut echo = Echo::of(&message);
            response_from(&mut later, &echo, status, Some("t")).finish();
            echo.leave_routes();
            response_from(&mut without, &echo, status, Some("t")).finish();
            let text = |bytes: Vec<u8>| {
                String::from_utf8(bytes)
                    .expect("text")
                    .replace("\r\n", "\n")
            };
            let (now, later, without) = (text(now), text(later), text(without));
            assert_eq!(now, later, "{method}{to} {status}");
            let all = format!("Record-Route: <sip:q;lr>, <sip:r;lr>\n{ROUTES}");
            assert_eq!(now.contains(&all), expected, "{now}");
            assert_eq!(now.replace(&all, ""), without, "{method}{to} {status}");
            assert!(!without.contains("Record-Route"), "{without}");
        }
    }

    #[test]
    fn later_responses_are_the_same() {
        let now = with_options(|message, out| response(out, message, 486, Some("t")).finish());
        let later = with_options(|message, out| {
            let echo = Echo::of(message);
            assert!(!echo.has_to_tag());
            response_from(out, &echo, 486, Some("t")).finish();
        });
        assert_eq!(now, later);
        let trying = with_options(|message, out| drop(response(out, message, 100, None)));
        assert_eq!(
            trying,
            format!("SIP/2.0 100 Trying\n{ECHOED}\nContent-Length: 0\n\n")
        );
    }

    #[test]
    fn the_topmost_via_says_where_the_request_came_from() {
        for (source, expected) in [
            (
                "192.0.2.1:9",
                "SIP/2.0/TLS h:5061 ; rport=9;branch=z9hG4bK1;received=192.0.2.1 , SIP/2.0/TCP i;",
            ),
            (
                "[::1]:70",
                "SIP/2.0/TLS h:5061 ; rport=70;branch=z9hG4bK1;received=::1 , SIP/2.0/TCP i;",
            ),
        ] {
            let source: SocketAddr = source.parse().expect("an address");
            let written = with_options(|message, out| {
                message.set_source(source);
                response(out, message, 200, None).finish();
            });
            assert!(written.contains(expected), "{written}");
            assert!(written.contains("Via: SIP/2.0/TCP j\n"), "{written}");
        }
    }

    #[test]
    fn nobody_adds_a_line() {
        let mut out = Vec::new();
        let mut draft = request(&mut out, "MESSAGE\r\nX: 1", "sip:a@b\r\nX: 2");
        draft.header("Sub\nject", "a\r\nX: 3\0").header("N", 5);
        draft.header("M", format_args!("{}{}", "\r\n", '\n'));
        draft.body("text/plain\r\n\r\n", b"\r\n");
        let written = String::from_utf8(out).expect("text");
        assert_eq!(
            written,
            "MESSAGEX: 1 sip:a@bX: 2 SIP/2.0\r\nSubject: aX: 3\r\nN: 5\r\nM: \r\n\
             Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n\r\n"
        );
    }

    #[test]
    fn every_status_has_a_phrase() {
        assert!((100..700).all(|status| !reason(status).is_empty()));
        assert_eq!(
            (reason(481), reason(299), reason(599)),
            (
                "Call/Transaction Does Not Exist",
                "OK",
                "Server Internal Error"
            )
        );
    }
}
