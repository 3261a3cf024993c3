//! The headers that each response repeats.

use core::net::{IpAddr, SocketAddr};

use super::push;
use super::value::{Value, push_number};
use crate::sip::grammar;
use crate::sip::header::{Name, NameAddr, Via, split_values};
use crate::sip::message::{Message, Method};

/// The headers that each response repeats (RFC 3261 §8.2.6.2): all Via, From, Call-ID, CSeq and To, kept by a pending
/// server transaction after its request is gone. And Record-Route, which an answer repeats that makes a dialog (§12.1.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Echo {
    /// Whole lines, those of Record-Route before all others; To is the last and without its line end, so that a tag can follow.
    bytes: Box<[u8]>,
    /// Where the lines of Record-Route end.
    routes_end: u32,
    takes_tag: bool,
    has_to_tag: bool,
}

impl core::fmt::Debug for Echo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Echo")
            .field("bytes", &self.bytes.len())
            .field("has_to_tag", &self.has_to_tag)
            .finish()
    }
}

impl Echo {
    /// Copies them.
    pub fn of(message: &Message<'_>) -> Echo {
        let mut bytes = Vec::with_capacity(512);
        write_routes(&mut bytes, message);
        // They came in a head, whose offsets are 16 bits (`HEAD_BYTES_MAX`).
        let routes_end = bytes.len() as u32;
        write_lines(&mut bytes, message);
        Echo {
            bytes: bytes.into_boxed_slice(),
            routes_end,
            takes_tag: takes_tag(message),
            has_to_tag: message.to().tag().is_some(),
        }
    }

    /// Whether To carries a tag, so none is added.
    pub fn has_to_tag(&self) -> bool {
        self.has_to_tag
    }

    /// Whether the request has this Call-ID and this From tag.
    pub fn is_of(&self, call_id: &str, from_tag: &str) -> bool {
        let has = |name: Name, fits: &dyn Fn(&str) -> bool| {
            let mut lines = self.bytes.split(|&byte| byte == b'\n');
            lines.any(|line| {
                core::str::from_utf8(line)
                    .ok()
                    .and_then(|line| line.split_once(": "))
                    .is_some_and(|(each, value)| each == name.as_str() && fits(value.trim_end()))
            })
        };
        has(Name::CallId, &|value| value == call_id)
            && has(Name::From, &|value| {
                NameAddr::parse(value).is_ok_and(|from| from.tag() == Some(from_tag))
            })
    }

    /// Record-Route is not repeated: whoever else answers the request has it in what they say.
    pub fn leave_routes(&mut self) {
        let rest = self.bytes.get(self.routes_end as usize..);
        if self.routes_end > 0 {
            self.bytes = rest.unwrap_or_default().into();
            self.routes_end = 0;
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, status: u16, to_tag: Option<&str>) {
        let (routes, lines) = self
            .bytes
            .split_at_checked(self.routes_end as usize)
            .unwrap_or((&[], &self.bytes));
        out.extend_from_slice(lines);
        end_to(out, to_tag.filter(|_| self.takes_tag));
        if makes_dialog(status) {
            out.extend_from_slice(routes);
        }
    }
}

/// Writes what `Echo` keeps straight from the request.
pub(super) fn write(out: &mut Vec<u8>, message: &Message<'_>, status: u16, to_tag: Option<&str>) {
    write_lines(out, message);
    end_to(out, to_tag.filter(|_| takes_tag(message)));
    if makes_dialog(status) {
        write_routes(out, message);
    }
}

/// Whether a tag can be added: there is a readable To without one.
fn takes_tag(message: &Message<'_>) -> bool {
    !message.to().uri.is_empty() && message.to().tag().is_none()
}

/// Whether an answer with this status makes a dialog, where its request asks for one (RFC 3261 §12.1).
fn makes_dialog(status: u16) -> bool {
    (101..300).contains(&status)
}

/// The lines of Record-Route of a request that asks for a dialog.
fn write_routes(out: &mut Vec<u8>, message: &Message<'_>) {
    let asks = matches!(
        message.method(),
        Method::Invite | Method::Subscribe | Method::Refer
    );
    if !asks || message.to().tag().is_some() {
        return;
    }
    for value in message.headers(Name::RecordRoute) {
        out.extend_from_slice(b"Record-Route: ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Lines that a malformed request lacks are left out. Values hold no line ends: `Message` has seen to that.
fn write_lines(out: &mut Vec<u8>, message: &Message<'_>) {
    vias(out, message);
    for name in [Name::From, Name::CallId, Name::CSeq] {
        if let Some(value) = message.header(name) {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    if let Some(value) = message.header(Name::To) {
        out.extend_from_slice(b"To: ");
        out.extend_from_slice(value.as_bytes());
    }
}

/// Writes all Via lines of a request that is passed on, the topmost with where it came from (RFC 3261 §18.2.1).
pub fn vias(out: &mut Vec<u8>, message: &Message<'_>) {
    let mut top = true;
    for via in message.headers(Name::Via) {
        out.extend_from_slice(b"Via: ");
        match message.source().filter(|_| top) {
            Some(source) => write_top_via(out, via, message.via(), source),
            None => out.extend_from_slice(via.as_bytes()),
        }
        out.extend_from_slice(b"\r\n");
        top = false;
    }
}

fn end_to(out: &mut Vec<u8>, to_tag: Option<&str>) {
    if let Some(tag) = to_tag {
        out.extend_from_slice(b";tag=");
        push(out, tag);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
}

/// Says in the topmost Via where the request came from: the port where `rport` asks for it (RFC 3581 §4), the address
/// there and wherever sent-by names another host (RFC 3261 §18.2.1). What the peer claims itself stays as it is.
fn write_top_via(out: &mut Vec<u8>, line: &str, via: Via<'_>, source: SocketAddr) {
    let top = split_values(line).next().unwrap_or("");
    let rest_at = grammar::offset(line, top) + top.len();
    let (first, rest) = grammar::split(line, rest_at);
    let rport = via
        .params
        .iter()
        .find(|(name, value)| value.is_none() && name.eq_ignore_ascii_case("rport"));
    match rport {
        Some((name, _)) => {
            let (before, after) = grammar::split(first, grammar::offset(line, name) + name.len());
            out.extend_from_slice(before.as_bytes());
            out.push(b'=');
            push_number(out, u64::from(source.port()));
            out.extend_from_slice(after.as_bytes());
        }
        None => out.extend_from_slice(first.as_bytes()),
    }
    let host = via.host.trim_start_matches('[').trim_end_matches(']');
    let names_source = host.parse::<IpAddr>().is_ok_and(|ip| ip == source.ip());
    let readable = !via.host.is_empty();
    if readable && (rport.is_some() || !names_source) && !via.params.has("received") {
        format_args!(";received={}", source.ip()).write(out);
    }
    out.extend_from_slice(rest.as_bytes());
}
