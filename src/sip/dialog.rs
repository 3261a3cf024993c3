//! Dialogs: ids, route sets, CSeq (RFC 3261 §12). One side of one; we are always an end, never on the way.
//!
//! Not here: what the dialog is used for (an invitation, a subscription), and finding it: our tag names its slot.

use slotmap::new_key_type;

use crate::sip::build::{self, Draft, Value};
use crate::sip::header::{Name, NameAddr, split_values};
use crate::sip::link::Link;
use crate::sip::message::Message;
use crate::sip::transaction::Branch;
use crate::sip::uri::Scheme;

new_key_type! {
    /// A dialog's slot on its shard; our tag names it.
    pub struct DialogKey;
}

/// Why a dialog can't be made of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoDialog {
    /// There is no readable Contact to send later requests to: 400.
    Contact,
    /// The route set is longer than [`ROUTE_BYTES_MAX`]: 400.
    Route,
    /// The other side gave no tag.
    Tag,
}

/// The longest route set that we keep, in bytes. Our clients connect to us directly: theirs is empty.
pub const ROUTE_BYTES_MAX: usize = 1024;

/// What a dialog is made of, as texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Texts<'a> {
    /// The Call-ID.
    pub call_id: &'a str,
    /// Our name-addr without its tag, as in From of what we send.
    pub local: &'a str,
    /// Our tag.
    pub local_tag: &'a str,
    /// Their name-addr without its tag, as in To of what we send.
    pub remote: &'a str,
    /// Their tag; empty while an INVITE of ours has not been answered.
    pub remote_tag: &'a str,
    /// Where requests go: their Contact.
    pub target: &'a str,
    /// The Route header's value; empty for none.
    pub routes: &'a str,
}

/// One end of a dialog.
///
/// Its texts are one text, and the lines that each request of the dialog has stand in it as they go out: so a dialog is one
/// allocation, and most of a request's head one copy. In memory it is 48 bytes and that text.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// `From: local;tag=local_tag`, `To: remote;tag=remote_tag` and `Call-ID: call_id`, each with its CR LF; target; routes.
    text: Box<str>,
    /// Where each of those seven ends; the routes end with the text.
    ends: [u32; 6],
    /// The last CSeq that we used.
    pub local_cseq: u32,
    /// The lowest CSeq that they may use next: the last one and 1, or 0 before the first, which may itself be 0
    /// (RFC 3261 §8.1.1.5).
    remote_next: u32,
}

const FROM: &str = "From: ";
const TAG: &str = ";tag=";
const TO: &str = "\r\nTo: ";
const CALL_ID: &str = "\r\nCall-ID: ";
const END: &str = "\r\n";

/// A lower CSeq than one already seen: 500 (RFC 3261 §12.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LowerCSeq;

impl Dialog {
    /// A dialog of these texts, with the last CSeq that we used and that they did, if any. CR, LF and NUL are left out of the
    /// texts, as they are out of all that is written.
    pub fn new(texts: &Texts<'_>, local_cseq: u32, remote_cseq: Option<u32>) -> Dialog {
        let pieces = [
            (FROM, texts.local),
            (TAG, texts.local_tag),
            (TO, texts.remote),
            (TAG, texts.remote_tag),
            (CALL_ID, texts.call_id),
            (END, texts.target),
            ("", texts.routes),
        ];
        let bytes = pieces
            .iter()
            .map(|(before, text)| before.len() + text.len());
        let mut text = String::with_capacity(bytes.sum());
        let mut ends = [0; 6];
        for (number, (before, piece)) in pieces.into_iter().enumerate() {
            text.push_str(before);
            text.extend(piece.split(['\r', '\n', '\0']));
            if let Some(end) = ends.get_mut(number) {
                // Its texts came in a head, whose offsets are 16 bits (`HEAD_BYTES_MAX`).
                *end = text.len() as u32;
            }
        }
        Dialog {
            text: text.into(),
            ends,
            local_cseq,
            // A CSeq is below 2^31.
            remote_next: remote_cseq.map_or(0, |last| last.saturating_add(1)),
        }
    }

    /// The same dialog with other texts.
    pub fn with(&self, texts: &Texts<'_>) -> Dialog {
        Dialog::new(texts, self.local_cseq, self.remote_next.checked_sub(1))
    }

    /// The same with another tag of ours.
    pub fn tagged(&self, local_tag: &str) -> Dialog {
        self.with(&Texts {
            local_tag,
            ..self.texts()
        })
    }

    /// The same that goes elsewhere.
    pub fn aimed(&self, target: &str) -> Dialog {
        self.with(&Texts {
            target,
            ..self.texts()
        })
    }

    /// Its texts.
    pub fn texts(&self) -> Texts<'_> {
        Texts {
            call_id: self.call_id(),
            local: self.local(),
            local_tag: self.local_tag(),
            remote: self.remote(),
            remote_tag: self.remote_tag(),
            target: self.target(),
            routes: self.routes(),
        }
    }

    /// What begins `before` bytes after the piece with the number below, and ends with the piece `number`.
    fn piece(&self, number: usize, before: &str) -> &str {
        let end = |number: usize| self.ends.get(number).map(|end| *end as usize);
        let start = number.checked_sub(1).and_then(end).unwrap_or(0) + before.len();
        let end = end(number).unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// Our name-addr without its tag.
    pub fn local(&self) -> &str {
        self.piece(0, FROM)
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        self.piece(1, TAG)
    }

    /// Their name-addr without its tag.
    pub fn remote(&self) -> &str {
        self.piece(2, TO)
    }

    /// Their tag; empty while an INVITE of ours has not been answered.
    pub fn remote_tag(&self) -> &str {
        self.piece(3, TAG)
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.piece(4, CALL_ID)
    }

    /// Where requests go: their Contact.
    pub fn target(&self) -> &str {
        self.piece(5, END)
    }

    /// How our Contact is written to them: as theirs is (RFC 3261 §12.1.1).
    pub fn scheme(&self) -> Scheme {
        Scheme::like(self.target())
    }

    /// The Route header's value; empty for none.
    pub fn routes(&self) -> &str {
        self.piece(6, "")
    }

    /// Our end of a dialog that `request` makes, as the one who answers it (RFC 3261 §12.1.1).
    ///
    /// # Errors
    /// Where the request lacks what a dialog needs.
    pub fn answering(request: &Message<'_>, local_tag: &str) -> Result<Dialog, NoDialog> {
        let from = request.from();
        let texts = Texts {
            call_id: request.call_id(),
            local: &in_brackets(request.to().uri),
            local_tag,
            remote: &in_brackets(from.uri),
            // A peer of RFC 2543 sends no tag; then there is nothing to compare (RFC 3261 §12.1.1).
            remote_tag: from.tag().unwrap_or_default(),
            target: contact(request)?,
            routes: &routes(request.headers(Name::RecordRoute))?,
        };
        Ok(Dialog::new(&texts, 0, Some(request.cseq().number)))
    }

    /// Our end of a dialog that we are about to ask for.
    pub fn asking(
        call_id: &str,
        local: &str,
        local_tag: &str,
        remote: &str,
        target: &str,
    ) -> Dialog {
        let texts = Texts {
            call_id,
            local: &in_brackets(local),
            local_tag,
            remote: &in_brackets(remote),
            target,
            ..Texts::default()
        };
        Dialog::new(&texts, 0, None)
    }

    /// Our end of the dialog that an INVITE of ours asked for, as far as an answer to it repeats that: for who answers when
    /// nothing else is left of it. It goes to whom the INVITE named.
    pub fn asked(answer: &Message<'_>) -> Dialog {
        let (from, to) = (answer.from(), answer.to());
        let texts = Texts {
            call_id: answer.call_id(),
            local: &in_brackets(from.uri),
            local_tag: from.tag().unwrap_or_default(),
            remote: &in_brackets(to.uri),
            target: to.uri,
            ..Texts::default()
        };
        Dialog::new(&texts, answer.cseq().number, None)
    }

    /// The other side has accepted and is to be told that it is over. Where it has given no Contact to tell it at, that goes
    /// where the INVITE went.
    pub fn accepted_in_vain(&mut self, answer: &Message<'_>) {
        if self.accepted(answer).is_err() {
            *self = self.with(&Texts {
                remote_tag: answer.to().tag().unwrap_or_default(),
                ..self.texts()
            });
        }
    }

    /// The other side has accepted: its tag, its Contact and the route set, reversed (RFC 3261 §12.1.2).
    ///
    /// # Errors
    /// Where the answer lacks what a dialog needs; nothing has changed then.
    pub fn accepted(&mut self, answer: &Message<'_>) -> Result<(), NoDialog> {
        let remote_tag = answer.to().tag().ok_or(NoDialog::Tag)?;
        let target = contact(answer)?;
        let mut reversed: Vec<&str> = answer.values(Name::RecordRoute).collect();
        reversed.reverse();
        *self = self.with(&Texts {
            remote_tag,
            target,
            routes: &routes(reversed.into_iter())?,
            ..self.texts()
        });
        Ok(())
    }

    /// True where `request`, found by our tag, is of this dialog (RFC 3261 §12.2.2).
    pub fn owns(&self, request: &Message<'_>) -> bool {
        self.call_id() == request.call_id()
            && request.to().tag() == Some(self.local_tag())
            && request.from().tag().unwrap_or_default() == self.remote_tag()
    }

    /// Has the other side sent a request in this dialog?
    pub fn has_heard(&self) -> bool {
        self.remote_next > 0
    }

    /// Takes in the CSeq of a request in this dialog.
    ///
    /// # Errors
    /// Where it is not higher than the last one.
    pub fn take_cseq(&mut self, number: u32) -> Result<(), LowerCSeq> {
        if number < self.remote_next {
            return Err(LowerCSeq);
        }
        self.remote_next = number.saturating_add(1);
        Ok(())
    }

    /// Takes in a new Contact of the other side, where a target refresh brings one (RFC 3261 §12.2.2).
    pub fn refresh_target(&mut self, message: &Message<'_>) {
        if let Ok(target) = contact(message)
            && target != self.target()
        {
            *self = self.aimed(target);
        }
    }

    /// Begins a request with the next CSeq: start line, Via, Max-Forwards, From, To, Call-ID, CSeq and Route.
    pub fn request<'o>(
        &mut self,
        out: &'o mut Vec<u8>,
        method: &str,
        link: &Link,
        branch: Branch,
    ) -> Draft<'o> {
        // A number that may have reached the wire is never used again: the peer lives with a gap,
        // but must refuse a lower number with 500 (RFC 3261 §12.2.2).
        self.local_cseq += 1;
        self.write(
            out,
            method,
            link,
            branch,
            self.local_cseq,
            self.remote_tag(),
        )
    }

    /// Writes the ACK of a 2xx to our INVITE with the CSeq number `cseq`; others may have gone out in the dialog since. It is no part of
    /// that transaction: `branch` is its own (RFC 3261 §13.2.2.4).
    pub fn acknowledge_2xx(&self, out: &mut Vec<u8>, link: &Link, branch: impl Value, cseq: u32) {
        self.follow_up(out, "ACK", link, branch, cseq, self.remote_tag())
            .finish();
    }

    /// Begins the ACK or CANCEL of our INVITE with the CSeq number `cseq`. An ACK for a 2xx has a branch of its own
    /// (RFC 3261 §13.2.2.4), the others have the INVITE's (§17.1.1.3, §9.1). `to_tag` is the answer's; empty for CANCEL.
    pub fn follow_up<'o>(
        &self,
        out: &'o mut Vec<u8>,
        method: &str,
        link: &Link,
        branch: impl Value,
        cseq: u32,
        to_tag: &str,
    ) -> Draft<'o> {
        self.write(out, method, link, branch, cseq, to_tag)
    }

    fn write<'o>(
        &self,
        out: &'o mut Vec<u8>,
        method: &str,
        link: &Link,
        branch: impl Value,
        cseq: u32,
        to_tag: &str,
    ) -> Draft<'o> {
        let (target, routes) = (self.target(), self.routes());
        let strict = strict_router(routes);
        let uri = strict.map_or(target, |(router, _)| router);
        let mut draft = build::request(out, method, uri);
        draft.via(link, branch);
        draft.raw(b"Max-Forwards: 70\r\n");
        if to_tag == self.remote_tag() && !to_tag.is_empty() {
            let lines = self.ends.get(4).map_or(0, |end| *end as usize) + END.len();
            draft.raw(self.text.get(..lines).unwrap_or_default().as_bytes());
        } else {
            let (local, tag) = (self.local(), self.local_tag());
            draft.header("From", [local, TAG, tag]);
            let semicolon = if to_tag.is_empty() { "" } else { TAG };
            draft.header("To", [self.remote(), semicolon, to_tag]);
            draft.header("Call-ID", self.call_id());
        }
        draft.cseq(cseq, method);
        if let Some((_, rest)) = strict {
            let comma = if rest.is_empty() { "" } else { "," };
            draft.header("Route", format_args!("{rest}{comma}<{target}>"));
        } else if !routes.is_empty() {
            draft.header("Route", routes);
        }
        draft
    }
}

fn contact<'a>(message: &Message<'a>) -> Result<&'a str, NoDialog> {
    let value = message
        .values(Name::Contact)
        .next()
        .ok_or(NoDialog::Contact)?;
    let contact = NameAddr::parse(value).map_err(|_| NoDialog::Contact)?;
    contact.uri().map_err(|_| NoDialog::Contact)?;
    Ok(contact.uri)
}

fn routes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Box<str>, NoDialog> {
    let mut joined = String::new();
    for line in lines {
        if joined.len() + line.len() > ROUTE_BYTES_MAX {
            return Err(NoDialog::Route);
        }
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(line);
    }
    Ok(joined.into())
}

fn in_brackets(uri: &str) -> Box<str> {
    format!("<{uri}>").into()
}

/// The URI of the first route, and the routes after it, where it is a strict router's: one without `lr`. It becomes the
/// Request-URI, and the target the last route (RFC 3261 §12.2.1.1). One that can't be read is left where it is, for whoever can.
fn strict_router(routes: &str) -> Option<(&str, &str)> {
    // Nearly every client connects to us directly.
    if routes.is_empty() {
        return None;
    }
    let first = split_values(routes).next()?;
    let router = NameAddr::parse(first).ok()?;
    // Without brackets it is none of the URI's parameters (RFC 3261 §20), but meant so.
    if router.uri().ok()?.param("lr").is_some() || router.params.has("lr") {
        return None;
    }
    let (_, rest) = routes.split_once(first)?;
    Some((router.uri, rest.trim_start_matches([' ', '\t', ','])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::link::Transport;
    use crate::sip::transaction::Branches;

    const TEXTS: Texts<'_> = Texts {
        call_id: "c@h",
        local: "<sip:a@example.com>",
        local_tag: "1.f",
        remote: "\"B\" <sip:b@example.com>",
        remote_tag: "2",
        target: "sip:b@192.0.2.1",
        routes: "",
    };

    fn written(dialog: &Dialog, to_tag: &str) -> String {
        let link = Link {
            transport: Transport::Tls,
            local: ([192, 0, 2, 10], 5061).into(),
            peer: ([192, 0, 2, 1], 40_000).into(),
            moves: 0,
            failures: 0,
        };
        let mut out = Vec::new();
        let branch = Branches::new(0xab).unanswered(0xcd);
        let draft = dialog.follow_up(&mut out, "INFO", &link, branch, 7, to_tag);
        draft.finish();
        String::from_utf8(out).expect("text").replace("\r\n", "\n")
    }

    #[test]
    fn its_texts_are_what_was_put_in_without_line_ends() {
        let dialog = Dialog::new(&TEXTS, 3, Some(4));
        assert_eq!(dialog.texts(), TEXTS);
        let empty = Dialog::new(&Texts::default(), 0, None);
        assert_eq!(empty.texts(), Texts::default());
        let other = Texts {
            call_id: "c\r\nX: 1\0",
            routes: "<sip:p;lr>",
            ..TEXTS
        };
        let texts = Texts {
            call_id: "cX: 1",
            ..other
        };
        let mut dialog = dialog.with(&other);
        assert_eq!(dialog.texts(), texts);
        assert_eq!(dialog.local_cseq, 3);
        assert_eq!(dialog.take_cseq(4), Err(LowerCSeq));
        assert_eq!(dialog.take_cseq(5), Ok(()));
        assert_eq!(dialog.tagged("9").local_tag(), "9");
        assert_eq!(
            dialog.aimed("sip:x").texts(),
            Texts {
                target: "sip:x",
                ..texts
            }
        );
    }

    #[test]
    fn the_first_number_of_theirs_may_be_nought() {
        let mut asked = Dialog::new(&TEXTS, 3, None).aimed("sip:x");
        let mut answered = Dialog::new(&TEXTS, 0, Some(0));
        assert_eq!(asked.take_cseq(0), Ok(()));
        for dialog in [&mut asked, &mut answered] {
            assert_eq!(dialog.take_cseq(0), Err(LowerCSeq));
            assert_eq!(dialog.take_cseq(1), Ok(()));
            assert_eq!(dialog.take_cseq(1), Err(LowerCSeq));
            assert_eq!(dialog.take_cseq(i32::MAX as u32), Ok(()));
            assert_eq!(dialog.take_cseq(i32::MAX as u32), Err(LowerCSeq));
        }
        assert_eq!(size_of::<Dialog>(), 48);
    }

    #[test]
    fn a_request_has_the_dialogs_lines_with_its_own_to_tag_or_another() {
        let dialog = Dialog::new(&TEXTS, 3, Some(4));
        let with = |tag: &str, route: &str, uri: &str| {
            format!(
                "INFO {uri} SIP/2.0\nVia: SIP/2.0/TLS 192.0.2.10:5061;branch=z9hG4bK00000000000000cd.1ffffffff\nMax-Forwards: 70\n\
                 From: <sip:a@example.com>;tag=1.f\nTo: \"B\" <sip:b@example.com>{tag}\nCall-ID: c@h\nCSeq: 7 INFO\n{route}\
                 Content-Length: 0\n\n"
            )
        };
        let own = "sip:b@192.0.2.1";
        assert_eq!(written(&dialog, "2"), with(";tag=2", "", own));
        assert_eq!(written(&dialog, "3"), with(";tag=3", "", own));
        assert_eq!(written(&dialog, ""), with("", "", own));
        let unanswered = dialog.with(&Texts {
            remote_tag: "",
            ..TEXTS
        });
        assert_eq!(written(&unanswered, ""), with("", "", own));
        let loose = dialog.with(&Texts {
            routes: "<sip:p;lr>",
            ..TEXTS
        });
        assert_eq!(
            written(&loose, "2"),
            with(";tag=2", "Route: <sip:p;lr>\n", own)
        );
        let strict = dialog.with(&Texts {
            routes: "<sip:p>, <sip:q;lr>",
            ..TEXTS
        });
        let route = "Route: <sip:q;lr>,<sip:b@192.0.2.1>\n";
        assert_eq!(written(&strict, "2"), with(";tag=2", route, "sip:p"));
        // Loose however it is written, with commas that separate nothing; and what can't be read is no router's URI.
        for loose in [
            "<sip:p;LR>",
            "\"P, the first\" <sip:p;transport=tls;Lr=on>, <sip:q>",
            "<sip:a,b@p;lr>, <sip:q>",
            "<sip:p;lr>;x=\"<sip:r>, y\"",
            "\"P, the first",
            "nonsense, <sip:q>",
            "sip:p;lr",
        ] {
            let dialog = dialog.with(&Texts {
                routes: loose,
                ..TEXTS
            });
            let route = format!("Route: {loose}\n");
            assert_eq!(written(&dialog, "2"), with(";tag=2", &route, own));
        }
        // A parameter that only begins like it, and one that is none.
        for (strict, uri, rest) in [
            ("<sip:p;lrx>, <sip:q;lr>", "sip:p;lrx", "<sip:q;lr>,"),
            ("<sip:p>;lrx , <sip:q;lr>", "sip:p", "<sip:q;lr>,"),
            ("\"a ;lr, b\" <sip:a,b@p>", "sip:a,b@p", ""),
        ] {
            let dialog = dialog.with(&Texts {
                routes: strict,
                ..TEXTS
            });
            let route = format!("Route: {rest}<sip:b@192.0.2.1>\n");
            assert_eq!(written(&dialog, "2"), with(";tag=2", &route, uri));
        }
    }
}
