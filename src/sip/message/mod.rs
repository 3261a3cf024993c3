//! A message as a view over its own bytes.
//!
//! Whoever holds a `Message` need not check again that it has what each message must have. Nothing is copied: header lines
//! are offsets into the head, values are read from their text when asked for. What a header means is `header`'s business,
//! where messages begin and end in a stream `frame`'s.

mod fault;
mod lines;
mod method;
mod start;

use core::net::SocketAddr;

pub use fault::Fault;
pub(super) use lines::Scanned;
pub use lines::{HEAD_BYTES_MAX, HEADERS_MAX};
pub use method::Method;

use self::lines::Lines;
use self::start::Start;
use super::header::{self, CSeq, Contacts, MediaType, Name, NameAddr, Via};
use super::{frame, grammar};

/// A whole, well-formed message: start line, Via, From, To, Call-ID and CSeq are there and readable, CSeq names the method.
/// In a `Malformed::partial` what could not be read is empty instead, and so are a response's From and To.
#[derive(Clone)]
pub struct Message<'a> {
    head: &'a str,
    body: &'a [u8],
    lines: Lines,
    start: Start<'a>,
    via: Via<'a>,
    /// Of a request. In most responses nobody looks at From and To, for the branch says what they answer: they are read
    /// when they are asked for.
    from: NameAddr<'a>,
    to: NameAddr<'a>,
    call_id: &'a str,
    cseq: CSeq<'a>,
    source: Option<SocketAddr>,
}

impl core::fmt::Debug for Message<'_> {
    // Neither the text of a message nor a credential reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Message")
            .field("method", &self.method_text())
            .field("status", &self.status())
            .field("call_id", &self.call_id)
            .finish_non_exhaustive()
    }
}

/// Bytes that are no message.
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
    fn of(message: Message<'a>, fault: Fault) -> Malformed<'a> {
        let framing_lost = match fault {
            Fault::Bad(Name::ContentLength) | Fault::HeadTooLarge => true,
            // Not even an attempt at SIP: whatever speaks here is not worth reading on.
            Fault::StartLine => !frame::is_sip(message.head),
            _ => false,
        };
        Malformed {
            fault,
            partial: message.answerable(),
            framing_lost,
        }
    }

    /// For what `frame::cut` refused: reads as much of `head` as is needed to answer. It may end in the middle of a line.
    pub fn refused(head: &'a mut [u8], fault: Fault, framing_lost: bool) -> Malformed<'a> {
        let mut message = Message::empty();
        lines::scan_slow(head, &mut message.lines);
        message.read(head);
        Malformed {
            fault,
            partial: message.answerable(),
            framing_lost,
        }
    }
}

/// The place of a message that is still to be read. A message is large: what reads many has it read where it stays.
#[derive(Debug)]
pub struct Blank<'a>(Message<'a>);

impl<'a> Blank<'a> {
    /// There is nothing in it.
    #[inline]
    #[allow(clippy::new_without_default, reason = "nobody asks for a default")]
    pub fn new() -> Blank<'a> {
        Blank(Message::empty())
    }

    /// Looks where the lines of the head are with which `bytes` begin. `None`, and nothing in it still, where the slow path must look,
    /// or they don't say how long the body is.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Option<Scanned> {
        let scanned =
            lines::scan(bytes, &mut self.0.lines).and_then(|()| self.0.lines.scanned(bytes));
        if scanned.is_none() {
            self.clear();
        }
        scanned
    }

    /// There is nothing in it any more.
    pub(super) fn clear(&mut self) {
        self.0.lines = Lines::new();
    }

    /// What `Message::parse` does.
    ///
    /// # Errors
    /// Where the bytes are no message.
    #[inline]
    #[allow(
        clippy::result_large_err,
        reason = "the error is as large as the message, and as rare as bad peers"
    )]
    pub fn fill(&mut self, bytes: &'a mut [u8]) -> Result<&mut Message<'a>, Malformed<'a>> {
        match self.0.fill(bytes) {
            None => Ok(&mut self.0),
            Some(fault) => {
                let message = core::mem::replace(&mut self.0, Message::empty());
                Err(Malformed::of(message, fault))
            }
        }
    }
}

impl<'a> Message<'a> {
    /// Reads one whole message as `frame::cut` cut it. Folded lines are unfolded in place.
    ///
    /// Optional headers are not looked at: a bad one shows when it is asked for.
    #[allow(
        clippy::result_large_err,
        reason = "the error is as large as the message, and as rare as bad peers"
    )]
    pub fn parse(bytes: &'a mut [u8]) -> Result<Message<'a>, Malformed<'a>> {
        let mut message = Message::empty();
        match message.fill(bytes) {
            None => Ok(message),
            Some(fault) => Err(Malformed::of(message, fault)),
        }
    }

    /// Reads a message where it stands, which is `empty` until then, and says the fault that it is refused for.
    fn fill(&mut self, bytes: &'a mut [u8]) -> Option<Fault> {
        // `Blank::scan` may have found them.
        let are_known = self.lines.head_bytes > 0;
        let line_fault = if are_known || lines::scan(bytes, &mut self.lines).is_some() {
            None
        } else {
            lines::scan_slow(bytes, &mut self.lines)
        };
        match (self.read(bytes), line_fault) {
            // A start line that is none tells more than the lines after it.
            (Some(fault @ (Fault::StartLine | Fault::Version)), _) => Some(fault),
            (fault, line_fault) => line_fault.or(fault),
        }
    }

    #[inline]
    fn empty() -> Message<'a> {
        Message {
            head: "",
            body: &[],
            start: Start::default(),
            via: Via::default(),
            from: NameAddr::default(),
            to: NameAddr::default(),
            call_id: "",
            cseq: CSeq::default(),
            source: None,
            lines: Lines::new(),
        }
    }

    /// Reads what is at `lines`, and says the first thing that is wrong.
    fn read(&mut self, bytes: &'a [u8]) -> Option<Fault> {
        let (head, body) = bytes
            .split_at_checked(self.lines.head_bytes)
            .unwrap_or((bytes, &[]));
        // Both scans have seen to that.
        self.head = core::str::from_utf8(head).unwrap_or("");
        self.body = body;
        let (start, start_fault) =
            Start::read(self.head.get(..self.lines.start_bytes).unwrap_or(""));
        self.start = start;
        let repeated = self.lines.repeated.map(Fault::Repeated);
        let known = if start_fault.is_none() { start.uri } else { "" };
        let mut fault = start_fault.or(repeated);
        // All of them, even after a fault: the answer needs what there is.
        let readings: [Result<(), Fault>; 7] = [
            self.read_via(),
            self.read_address(Name::From, known)
                .map(|it| self.from = it),
            self.read_address(Name::To, known).map(|it| self.to = it),
            self.read_call_id(),
            self.read_cseq(),
            self.check_max_forwards(),
            self.read_body(),
        ];
        for reading in readings {
            if let Err(other) = reading {
                fault.get_or_insert(other);
            }
        }
        fault
    }

    fn required(&self, name: Name) -> Result<&'a str, Fault> {
        self.header(name).ok_or(Fault::Missing(name))
    }

    fn read_via(&mut self) -> Result<(), Fault> {
        let line = self.required(Name::Via)?;
        self.via = Via::first(line).map_err(|_| Fault::Bad(Name::Via))?;
        Ok(())
    }

    /// `known` is the Request-URI where it is good: nearly every To outside of a dialog is the same.
    fn read_address(&self, name: Name, known: &str) -> Result<NameAddr<'a>, Fault> {
        let text = self.required(name)?;
        if !self.is_request() {
            return Ok(NameAddr::default());
        }
        let address = NameAddr::parse(text).map_err(|_| Fault::Bad(name))?;
        let reads = address.uri == known || address.uri().is_ok();
        if !address.tag_fits() || !reads {
            return Err(Fault::Bad(name));
        }
        Ok(address)
    }

    /// From or To of a response. Their URIs are those of our own request, and nobody reads them.
    fn address(&self, name: Name) -> NameAddr<'a> {
        let address = self
            .header(name)
            .and_then(|text| NameAddr::parse(text).ok());
        address.filter(NameAddr::tag_fits).unwrap_or_default()
    }

    fn read_call_id(&mut self) -> Result<(), Fault> {
        let text = self.required(Name::CallId)?;
        if !header::is_call_id(text) {
            return Err(Fault::Bad(Name::CallId));
        }
        self.call_id = text;
        Ok(())
    }

    /// A response's method is that of its CSeq; a request's must be the same in both places (RFC 3261 §8.1.1.5).
    fn read_cseq(&mut self) -> Result<(), Fault> {
        let text = self.required(Name::CSeq)?;
        self.cseq = CSeq::parse(text).map_err(|_| Fault::Bad(Name::CSeq))?;
        if self.start.method_text.is_empty() {
            self.start.method_text = self.cseq.method;
            self.start.method = Method::parse(self.cseq.method);
        }
        if self.start.method_text != self.cseq.method {
            return Err(Fault::CSeqMethod);
        }
        Ok(())
    }

    /// It may be absent (RFC 4475 §3.3.16), but not be anything else than 0 to 255 (RFC 3261 §20.22).
    fn check_max_forwards(&self) -> Result<(), Fault> {
        match self.header(Name::MaxForwards) {
            Some(_) if self.max_forwards().is_none() => Err(Fault::Bad(Name::MaxForwards)),
            _ => Ok(()),
        }
    }

    /// What is beyond Content-Length is not the body (RFC 3261 §18.3).
    fn read_body(&mut self) -> Result<(), Fault> {
        let Some(text) = self.header(Name::ContentLength) else {
            return Ok(());
        };
        let bytes = grammar::decimal(text).and_then(|bytes| usize::try_from(bytes).ok());
        let body = bytes.and_then(|bytes| self.body.get(..bytes));
        self.body = body.ok_or(Fault::Bad(Name::ContentLength))?;
        Ok(())
    }

    /// This, if there is any sense in answering it.
    fn answerable(self) -> Option<Message<'a>> {
        let answerable = self.is_request()
            && self.start.method != Method::Ack
            && self.lines.first(Name::Via).is_some();
        answerable.then_some(self)
    }

    /// Where it came from: the answer's topmost Via then carries `received` and `rport` (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn set_source(&mut self, peer: SocketAddr) {
        self.source = Some(peer);
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.start.status == 0
    }

    /// The method of the request line, or of the CSeq of a response.
    pub fn method(&self) -> Method {
        self.start.method
    }

    /// The same as text.
    pub fn method_text(&self) -> &'a str {
        self.start.method_text
    }

    /// The Request-URI; empty for a response.
    pub fn uri(&self) -> &'a str {
        self.start.uri
    }

    /// A response's status, 100 to 699.
    pub fn status(&self) -> Option<u16> {
        (!self.is_request()).then_some(self.start.status)
    }

    /// A response's reason phrase, perhaps empty.
    pub fn reason(&self) -> &'a str {
        self.start.reason
    }

    /// The topmost Via.
    pub fn via(&self) -> Via<'a> {
        self.via
    }

    /// From.
    pub fn from(&self) -> NameAddr<'a> {
        if self.is_request() {
            self.from
        } else {
            self.address(Name::From)
        }
    }

    /// To.
    pub fn to(&self) -> NameAddr<'a> {
        if self.is_request() {
            self.to
        } else {
            self.address(Name::To)
        }
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
        self.lines.first(name).map(|line| line.value_in(self.head))
    }

    /// The value of each line of that name, in order.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'a str> + Clone + use<'_, 'a> {
        let head = self.head;
        let lines = self.lines.beginning_with(name).iter();
        lines
            .filter(move |line| line.name == name)
            .map(move |line| line.value_in(head))
    }

    /// Each value of that name: of each line, split at commas.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a str> + Clone + use<'_, 'a> {
        self.headers(name).flat_map(header::split_values)
    }

    /// The value of the first line of any name, compared without case.
    pub fn named(&self, name: &str) -> Option<&'a str> {
        match Name::parse(name) {
            Name::Other => self
                .all()
                .find(|line| line.1.eq_ignore_ascii_case(name))
                .map(|line| line.2),
            known => self.header(known),
        }
    }

    /// Each line: the name known, the name as it is written, the value.
    pub fn all(&self) -> impl Iterator<Item = (Name, &'a str, &'a str)> + Clone + use<'_, 'a> {
        let head = self.head;
        let lines = self.lines.all().iter();
        lines.map(move |line| (line.name, line.name_in(head), line.value_in(head)))
    }

    /// Start line and header lines with the empty line, as they came but for unfolding.
    pub fn head(&self) -> &'a str {
        self.head
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Content-Type, where it is there and readable.
    pub fn content_type(&self) -> Option<MediaType<'a>> {
        let text = self.header(Name::ContentType)?;
        MediaType::parse(text).ok()
    }

    /// Expires in seconds, where it is there and readable.
    pub fn expires(&self) -> Option<u32> {
        self.header(Name::Expires).and_then(header::number)
    }

    /// Max-Forwards, where it is there.
    pub fn max_forwards(&self) -> Option<u8> {
        let hops = grammar::decimal(self.header(Name::MaxForwards)?)?;
        u8::try_from(hops).ok()
    }

    /// All contacts.
    pub fn contacts(&self) -> Result<Contacts<'a>, Fault> {
        Contacts::read(self.values(Name::Contact)).map_err(|_| Fault::Bad(Name::Contact))
    }

    /// Where it came from, if it was set.
    pub fn source(&self) -> Option<SocketAddr> {
        self.source
    }
}
