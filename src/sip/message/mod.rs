//! A message as a view over its own bytes.

mod fault;
mod method;

use core::net::SocketAddr;

pub use fault::Fault;
pub use method::Method;

use crate::sip::header::{CSeq, Contacts, MediaType, Name, NameAddr, Via};

/// A whole, well-formed message.
#[derive(Debug)]
pub struct Message<'a> {
    head: &'a str,
    body: &'a [u8],
    method: Method,
    method_text: &'a str,
    uri: &'a str,
    status: u16,
    reason: &'a str,
    via: Via<'a>,
    from: NameAddr<'a>,
    to: NameAddr<'a>,
    call_id: &'a str,
    cseq: CSeq<'a>,
    source: Option<SocketAddr>,
}

/// What was no message.
#[derive(Debug)]
pub struct Malformed<'a> {
    /// What is wrong, and what to answer.
    pub fault: Fault,
    /// Enough to answer with: a request (never an ACK) with at least a Via. What could not be read of it is empty.
    pub partial: Option<Message<'a>>,
    /// Nobody knows where the next message begins: answer and close.
    pub framing_lost: bool,
}

impl<'a> Malformed<'a> {
    /// For what `frame::cut` refused: reads as much of `head` as is needed to answer.
    pub fn refused(head: &'a mut [u8], fault: Fault, framing_lost: bool) -> Malformed<'a> {
        let _ = head;
        Malformed {
            fault,
            partial: None,
            framing_lost,
        }
    }
}

impl<'a> Message<'a> {
    /// Reads one whole message as `frame::cut` cut it. Folded lines are unfolded in place.
    pub fn parse(_bytes: &'a mut [u8]) -> Result<Message<'a>, Malformed<'a>> {
        unimplemented!()
    }

    /// Where it came from: the answer's topmost Via then carries `received` and `rport` (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn set_source(&mut self, peer: SocketAddr) {
        self.source = Some(peer);
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.status == 0
    }

    /// The method of the request line, or of the CSeq of a response.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The same as text.
    pub fn method_text(&self) -> &'a str {
        self.method_text
    }

    /// The Request-URI; empty for a response.
    pub fn uri(&self) -> &'a str {
        self.uri
    }

    /// A response's status, 100 to 699.
    pub fn status(&self) -> Option<u16> {
        (self.status != 0).then_some(self.status)
    }

    /// A response's reason phrase, perhaps empty.
    pub fn reason(&self) -> &'a str {
        self.reason
    }

    /// The topmost Via.
    pub fn via(&self) -> Via<'a> {
        self.via
    }

    /// From.
    pub fn from(&self) -> NameAddr<'a> {
        self.from
    }

    /// To.
    pub fn to(&self) -> NameAddr<'a> {
        self.to
    }

    /// Call-ID.
    pub fn call_id(&self) -> &'a str {
        self.call_id
    }

    /// CSeq.
    pub fn cseq(&self) -> CSeq<'a> {
        self.cseq
    }

    /// The value of the first line of that name.
    pub fn header(&self, name: Name) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// The value of each line of that name, in order.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'a str> + Clone + use<'_, 'a> {
        self.all()
            .filter(move |line| line.0 == name)
            .map(|line| line.2)
    }

    /// Each value of that name: of each line, split at commas.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a str> + use<'_, 'a> {
        self.headers(name)
            .flat_map(crate::sip::header::split_values)
    }

    /// The value of the first line of any name, compared without case.
    pub fn named(&self, name: &str) -> Option<&'a str> {
        self.all()
            .find(|line| line.1.eq_ignore_ascii_case(name))
            .map(|line| line.2)
    }

    /// Each line: the name known, the name as it is written, the value.
    pub fn all(&self) -> impl Iterator<Item = (Name, &'a str, &'a str)> + Clone + use<'_, 'a> {
        let _ = self.head;
        core::iter::empty()
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Content-Type, where it is there and readable.
    pub fn content_type(&self) -> Option<MediaType<'a>> {
        self.header(Name::ContentType)
            .and_then(|text| MediaType::parse(text).ok())
    }

    /// Expires in seconds, where it is there and readable.
    pub fn expires(&self) -> Option<u32> {
        self.header(Name::Expires)
            .and_then(crate::sip::header::number)
    }

    /// All contacts.
    pub fn contacts(&self) -> Result<Contacts<'a>, Fault> {
        unimplemented!()
    }
}
