//! Writes requests and responses into a given buffer.

use core::fmt::Display;

use crate::sip::message::Message;

/// The headers that each response repeats (RFC 3261 §8.2.6.2), kept by a pending server transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Echo {
    bytes: Box<[u8]>,
    has_to_tag: bool,
}

impl Echo {
    /// Copies them.
    pub fn of(_message: &Message<'_>) -> Echo {
        unimplemented!()
    }

    /// Whether To carries a tag, so none is added.
    pub fn has_to_tag(&self) -> bool {
        let _ = &self.bytes;
        self.has_to_tag
    }
}

/// A message that is being written. Dropped without `body` or `finish` it ends with an empty body.
#[derive(Debug)]
pub struct Draft<'o> {
    out: &'o mut Vec<u8>,
}

/// Begins a response with the standard reason phrase. `to_tag` is added where To has none.
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
    _out: &'o mut Vec<u8>,
    _to: &Message<'_>,
    _status: u16,
    _reason: &str,
    _to_tag: Option<&str>,
) -> Draft<'o> {
    unimplemented!()
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
    _out: &'o mut Vec<u8>,
    _to: &Echo,
    _status: u16,
    _reason: &str,
    _to_tag: Option<&str>,
) -> Draft<'o> {
    unimplemented!()
}

/// Begins a request. All headers are the caller's.
pub fn request<'o>(_out: &'o mut Vec<u8>, _method: &str, _uri: &str) -> Draft<'o> {
    unimplemented!()
}

impl Draft<'_> {
    /// Adds a header line; CR and LF in name and value are left out.
    pub fn header(&mut self, _name: &str, _value: impl Display) -> &mut Self {
        unimplemented!()
    }

    /// Adds bytes that are whole header lines, each with its CR LF.
    pub fn raw(&mut self, lines: &[u8]) -> &mut Self {
        self.out.extend_from_slice(lines);
        self
    }

    /// Ends the message with a body.
    pub fn body(self, _content_type: &str, _body: &[u8]) {
        unimplemented!()
    }

    /// Ends the message without a body.
    pub fn finish(self) {
        unimplemented!()
    }
}

/// The standard reason phrase (RFC 3261 §21).
pub fn reason(_status: u16) -> &'static str {
    unimplemented!()
}
