//! Dialogs: ids, route sets, CSeq (RFC 3261 §12). One side of one; we are always an end, never on the way.
//!
//! Not here: what the dialog is used for (an invitation, a subscription), and finding it: our tag names its slot.

use core::fmt::Display;

use slotmap::new_key_type;

use crate::sip::build::{self, Draft};
use crate::sip::header::{Name, NameAddr};
use crate::sip::link::{Link, Transport};
use crate::sip::message::Message;
use crate::sip::transaction::Branch;

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

/// One end of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The Call-ID.
    pub call_id: Box<str>,
    /// Our URI in angle brackets, as in From of what we send.
    pub local: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// Their name-addr without its tag, as in To of what we send.
    pub remote: Box<str>,
    /// Their tag; empty while an INVITE of ours has not been answered.
    pub remote_tag: Box<str>,
    /// Where requests go: their Contact.
    pub target: Box<str>,
    /// The Route header's value; empty for none.
    pub routes: Box<str>,
    /// The last CSeq that we used.
    pub local_cseq: u32,
    /// The last CSeq that they used; 0 before the first.
    pub remote_cseq: u32,
}

/// A lower CSeq than one already seen: 500 (RFC 3261 §12.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LowerCSeq;

impl Dialog {
    /// Our end of a dialog that `request` makes, as the one who answers it (RFC 3261 §12.1.1).
    ///
    /// # Errors
    /// Where the request lacks what a dialog needs.
    pub fn answering(request: &Message<'_>, local_tag: &str) -> Result<Dialog, NoDialog> {
        let from = request.from();
        let target = contact(request)?;
        Ok(Dialog {
            call_id: request.call_id().into(),
            local: in_brackets(request.to().uri),
            local_tag: local_tag.into(),
            remote: in_brackets(from.uri),
            // A peer of RFC 2543 sends no tag; then there is nothing to compare (RFC 3261 §12.1.1).
            remote_tag: from.tag().unwrap_or_default().into(),
            target: target.into(),
            routes: routes(request.headers(Name::RecordRoute))?,
            local_cseq: 0,
            remote_cseq: request.cseq().number,
        })
    }

    /// Our end of a dialog that we are about to ask for.
    pub fn asking(
        call_id: String,
        local: &str,
        local_tag: &str,
        remote: &str,
        target: &str,
    ) -> Dialog {
        Dialog {
            call_id: call_id.into(),
            local: in_brackets(local),
            local_tag: local_tag.into(),
            remote: in_brackets(remote),
            remote_tag: "".into(),
            target: target.into(),
            routes: "".into(),
            local_cseq: 0,
            remote_cseq: 0,
        }
    }

    /// The other side has accepted: its tag, its Contact and the route set, reversed (RFC 3261 §12.1.2).
    ///
    /// # Errors
    /// Where the answer lacks what a dialog needs; nothing has changed then.
    pub fn accepted(&mut self, answer: &Message<'_>) -> Result<(), NoDialog> {
        let tag = answer.to().tag().ok_or(NoDialog::Tag)?;
        let target = contact(answer)?;
        let mut reversed: Vec<&str> = answer.values(Name::RecordRoute).collect();
        reversed.reverse();
        self.routes = routes(reversed.into_iter())?;
        self.target = target.into();
        self.remote_tag = tag.into();
        Ok(())
    }

    /// True where `request`, found by our tag, is of this dialog (RFC 3261 §12.2.2).
    pub fn owns(&self, request: &Message<'_>) -> bool {
        *self.call_id == *request.call_id()
            && request
                .to()
                .tag()
                .is_some_and(|tag| *tag == *self.local_tag)
            && request.from().tag().unwrap_or_default() == &*self.remote_tag
    }

    /// Takes in the CSeq of a request in this dialog.
    ///
    /// # Errors
    /// Where it is not higher than the last one.
    pub fn take_cseq(&mut self, number: u32) -> Result<(), LowerCSeq> {
        if number <= self.remote_cseq {
            return Err(LowerCSeq);
        }
        self.remote_cseq = number;
        Ok(())
    }

    /// Takes in a new Contact of the other side, where a target refresh brings one (RFC 3261 §12.2.2).
    pub fn refresh_target(&mut self, message: &Message<'_>) {
        if let Ok(target) = contact(message)
            && *target != *self.target
        {
            self.target = target.into();
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
        self.write(out, method, link, branch, self.local_cseq, &self.remote_tag)
    }

    /// Writes the ACK of a 2xx to our last request in the dialog, which was an INVITE. It is no part of that transaction: `branch` is its own
    /// (RFC 3261 §13.2.2.4).
    pub fn acknowledge_2xx(&self, out: &mut Vec<u8>, link: &Link, branch: impl Display) {
        self.follow_up(out, "ACK", link, branch, self.local_cseq, &self.remote_tag)
            .finish();
    }

    /// Begins the ACK or CANCEL of our INVITE with the CSeq number `cseq`. An ACK for a 2xx has a branch of its own
    /// (RFC 3261 §13.2.2.4), the others have the INVITE's (§17.1.1.3, §9.1). `to_tag` is the answer's; empty for CANCEL.
    pub fn follow_up<'o>(
        &self,
        out: &'o mut Vec<u8>,
        method: &str,
        link: &Link,
        branch: impl Display,
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
        branch: impl Display,
        cseq: u32,
        to_tag: &str,
    ) -> Draft<'o> {
        let first = self.routes.split(',').next().unwrap_or_default();
        // A first route without `lr` is a strict router: it becomes the Request-URI, and the target the last
        // route (RFC 3261 §12.2.1.1).
        let strict = !first.is_empty() && !first.contains(";lr");
        let uri = if strict { bare(first) } else { &self.target };
        let mut draft = build::request(out, method, uri);
        draft.header(
            "Via",
            format_args!(
                "SIP/2.0/{} {};branch={branch}",
                via_transport(link),
                link.local
            ),
        );
        draft.header("Max-Forwards", 70);
        draft.header(
            "From",
            format_args!("{};tag={}", self.local, self.local_tag),
        );
        if to_tag.is_empty() {
            draft.header("To", &self.remote);
        } else {
            draft.header("To", format_args!("{};tag={to_tag}", self.remote));
        }
        draft.header("Call-ID", &self.call_id);
        draft.header("CSeq", format_args!("{cseq} {method}"));
        if strict {
            let rest = self.routes.split_once(',').map_or("", |(_, rest)| rest);
            let comma = if rest.is_empty() { "" } else { "," };
            draft.header(
                "Route",
                format_args!("{}{comma}<{}>", rest.trim(), self.target),
            );
        } else if !self.routes.is_empty() {
            draft.header("Route", &self.routes);
        }
        draft
    }
}

/// The transport's name in Via.
pub fn via_transport(link: &Link) -> &'static str {
    match link.transport {
        Transport::Tls => "TLS",
        Transport::Tcp => "TCP",
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

fn bare(route: &str) -> &str {
    route
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map_or(route.trim(), |(uri, _)| uri)
}
