//! What a signature covers: the text of [MS-SIPAE] §3.2.5.2, version 4, out of a message as it travels.

use smallvec::SmallVec;

use super::plain;
use crate::sip::header::{Name, NameAddr, split_values};
use crate::sip::message::Message;

/// The scheme, as the signed text begins with it.
pub(in crate::auth) const SCHEME: &str = "NTLM";

/// The signed text of one message: nearly all fit in here.
pub(super) type Text = SmallVec<[u8; 512]>;

/// What of a message is signed, byte for byte as it is written; empty where the message does not have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Signed<'a> {
    call_id: &'a str,
    cseq: &'a str,
    method: &'a str,
    from: &'a str,
    from_tag: &'a str,
    to: &'a str,
    to_tag: &'a str,
    /// The SIP URI of who it says to be, in brackets or not at all.
    sip: &'a str,
    tel: &'a str,
    expires: &'a str,
    /// Empty for a request: it has no such field, not even an empty one.
    status: &'a str,
    /// SIPE would read one of these otherwise, and so sign another text (`plain`).
    pub(super) misread: bool,
}

/// What a signature brings along of its own: it is signed too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp<'a> {
    pub(super) rand: &'a str,
    pub(super) num: &'a str,
    pub(super) realm: &'a str,
    pub(super) target: &'a str,
}

impl<'a> Signed<'a> {
    /// Of a message that was read.
    pub(super) fn of(message: &Message<'a>) -> Signed<'a> {
        let (from, to) = (message.from(), message.to());
        let mut signed = Signed {
            call_id: message.call_id(),
            from: from.uri,
            from_tag: from.tag().unwrap_or_default(),
            to: to.uri,
            to_tag: to.tag().unwrap_or_default(),
            expires: message.header(Name::Expires).unwrap_or_default(),
            status: if message.is_request() {
                ""
            } else {
                status_of(message.head())
            },
            ..Signed::default()
        };
        signed.take_cseq(message.header(Name::CSeq).unwrap_or_default());
        let identity = message
            .header(Name::PAssertedIdentity)
            .or_else(|| message.header(Name::PPreferredIdentity));
        signed.take_identity(identity.unwrap_or_default());
        signed
    }

    /// Of a message that we have written, in one pass over its head. `None` where none is to be signed: a provisional answer
    /// and a challenge never are.
    pub(super) fn read(message: &'a [u8]) -> Option<Signed<'a>> {
        let mut signed = Signed::default();
        let mut rest = message;
        let first = line(&mut rest)?;
        if first.starts_with("SIP/2.0 ") {
            signed.status = status_of(first);
            if signed.status.starts_with('1') || signed.status == "401" {
                return None;
            }
        }
        let mut asserted = false;
        loop {
            let line = line(&mut rest)?;
            // Most lines are none of these, and need not be looked at.
            match line.as_bytes().first().map(u8::to_ascii_lowercase) {
                None => return Some(signed),
                Some(b'c' | b'e' | b'f' | b'i' | b'p' | b't') => {}
                Some(_) => continue,
            }
            let (written, value) = line.split_once(':')?;
            let value = value.trim_matches([' ', '\t']);
            let name = Name::parse(written.trim_end_matches([' ', '\t']));
            let as_sipe_reads = match name {
                Name::CallId => {
                    signed.call_id = value;
                    true
                }
                Name::CSeq => {
                    signed.take_cseq(value);
                    plain::cseq(value) == (signed.cseq, signed.method)
                }
                Name::From => {
                    (signed.from, signed.from_tag) = address(value)?;
                    plain::address(value) == (signed.from, signed.from_tag)
                }
                Name::To => {
                    (signed.to, signed.to_tag) = address(value)?;
                    plain::address(value) == (signed.to, signed.to_tag)
                }
                Name::Expires if signed.expires.is_empty() => {
                    signed.expires = value;
                    true
                }
                Name::PAssertedIdentity if !asserted => {
                    asserted = true;
                    signed.take_identity(value);
                    plain::identity(value) == (signed.sip, signed.tel)
                }
                _ => continue,
            };
            signed.misread |= !as_sipe_reads || !written.eq_ignore_ascii_case(name.as_str());
        }
    }

    fn take_cseq(&mut self, value: &'a str) {
        let mut words = value.split_ascii_whitespace();
        self.cseq = words.next().unwrap_or_default();
        self.method = words.next().unwrap_or_default();
    }

    /// The first SIP and the first telephone URI of the line. One without brackets does not count: clients overlook it.
    fn take_identity(&mut self, line: &'a str) {
        (self.sip, self.tel) = ("", "");
        for value in split_values(line).filter(|value| value.contains('<')) {
            let Ok(address) = NameAddr::parse(value) else {
                continue;
            };
            let scheme = address.uri.split(':').next().unwrap_or_default();
            if self.sip.is_empty() && scheme.eq_ignore_ascii_case("sip") {
                self.sip = address.uri;
            } else if self.tel.is_empty() && scheme.eq_ignore_ascii_case("tel") {
                self.tel = address.uri;
            }
        }
    }

    /// Appends the text: each field in angle brackets, none between.
    pub(super) fn write(&self, stamp: &Stamp<'_>, out: &mut Text) {
        for field in [
            SCHEME,
            stamp.rand,
            stamp.num,
            stamp.realm,
            stamp.target,
            self.call_id,
            self.cseq,
            self.method,
            self.from,
            self.from_tag,
            self.to,
            self.to_tag,
            self.sip,
            self.tel,
            self.expires,
        ] {
            push(out, field);
        }
        if !self.status.is_empty() {
            push(out, self.status);
        }
    }
}

fn push(out: &mut Text, field: &str) {
    out.push(b'<');
    out.extend_from_slice(field.as_bytes());
    out.push(b'>');
}

/// Takes the next line of a head, without its CR LF.
pub(super) fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = memchr::memchr(b'\n', rest)?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..)?;
    core::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()
}

/// The status of a status line.
fn status_of(line: &str) -> &str {
    line.get(8..11).unwrap_or_default()
}

fn address(value: &str) -> Option<(&str, &str)> {
    let address = NameAddr::parse(value).ok()?;
    Some((address.uri, address.tag().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp<'_> = Stamp {
        rand: "0A0B0C0D",
        num: "1",
        realm: "SIP Communications Service",
        target: "fe01.contoso.com",
    };

    /// The text of a message after the stamp, both ways to read it; "-" where it is not to be signed.
    fn check(head: &str, expected: &str) {
        let mut bytes = format!("{head}\r\nContent-Length: 0\r\n\r\n")
            .replace("\r\n", "\n")
            .replace('\n', "\r\n")
            .into_bytes();
        let text = |signed: &Signed<'_>| {
            let mut text = Text::new();
            signed.write(&STAMP, &mut text);
            let text = String::from_utf8(text.to_vec()).expect("text");
            let stamp = "<NTLM><0A0B0C0D><1><SIP Communications Service><fe01.contoso.com>";
            text.strip_prefix(stamp).expect("the stamp").to_owned()
        };
        let written = Signed::read(&bytes).map_or("-".to_owned(), |signed| text(&signed));
        assert_eq!(written, expected, "{head}");
        if expected != "-" {
            let message = Message::parse(&mut bytes).expect("a message");
            assert_eq!(text(&Signed::of(&message)), expected, "{head}");
        }
    }

    #[test]
    fn the_signed_text() {
        const VIA: &str = "Via: SIP/2.0/TLS h;branch=z9hG4bK1";
        // The example of an answer to a REGISTER.
        check(
            &format!(
                "SIP/2.0 200 OK\n{VIA}\nFrom: <sip:alice@contoso.com>;tag=12345678;epid=0a1b2c3d4e5f\n\
                 To: <sip:alice@contoso.com>;tag=srvtag\nCall-ID: call1\nCSeq: 3 REGISTER\nContact: <sip:a@h>;expires=60\n\
                 Expires: 7200\nServer: x"
            ),
            "<call1><3><REGISTER><sip:alice@contoso.com><12345678><sip:alice@contoso.com><srvtag><><><7200><200>",
        );
        // A request has no status, and here no Expires; names, blanks and brackets are as peers write them.
        check(
            &format!(
                "BENOTIFY sip:a@h SIP/2.0\n{VIA}\nf: \"A, <b>\" <sip:bob@contoso.com;gr=x>;tag=1\nt : sip:alice@contoso.com;tag=2\n\
                 i:  c@h \nCSEQ: 0012\tBENOTIFY\nEvent: presence\ncontent-type: text/plain"
            ),
            "<c@h><0012><BENOTIFY><sip:bob@contoso.com;gr=x><1><sip:alice@contoso.com><2><><><>",
        );
        let message = |more: &str| {
            format!(
                "MESSAGE sip:a@h SIP/2.0\n{VIA}\nFrom: <sip:b@h>;tag=1\nTo: <sip:a@h>\nCall-ID: c\nCSeq: 1 MESSAGE\n{more}"
            )
        };
        let start = "<c><1><MESSAGE><sip:b@h><1><sip:a@h><>";
        check(
            &message("P-Asserted-Identity: \"Bob\" <sip:b@h>,<tel:+4930>"),
            &format!("{start}<sip:b@h><tel:+4930><>"),
        );
        check(
            &message(
                "P-Asserted-Identity: <TEL:1>,<sips:x@h>, <sip:b@h>\nP-Asserted-Identity: <sip:c@h>",
            ),
            &format!("{start}<sip:b@h><TEL:1><>"),
        );
        check(
            &message("P-Asserted-Identity: sip:b@h"),
            &format!("{start}<><><>"),
        );
        // What is not signed.
        for status in [100, 180, 401] {
            check(
                &format!(
                    "SIP/2.0 {status} x\n{VIA}\nFrom: <sip:b@h>;tag=1\nTo: <sip:a@h>\nCall-ID: c\nCSeq: 1 INVITE"
                ),
                "-",
            );
        }
    }

    /// Only a client says who it would like to be.
    #[test]
    fn a_preferred_identity_counts_where_none_is_asserted() {
        let mut bytes = b"MESSAGE sip:a@h SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\n\
            Call-ID: c\r\nCSeq: 1 MESSAGE\r\nP-Preferred-Identity: <sip:b@h>, <tel:+1>\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
        let message = Message::parse(&mut bytes).expect("a message");
        let signed = Signed::of(&message);
        assert_eq!((signed.sip, signed.tel), ("sip:b@h", "tel:+1"));
    }
}
