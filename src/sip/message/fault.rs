//! What may be wrong with a message.

use crate::sip::header::Name;

/// Why bytes are no message: the peer's fault, with the answer to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The start line is neither a request line nor a status line.
    StartLine,
    /// Not SIP/2.0.
    Version,
    /// The Request-URI does not follow the grammar.
    RequestUri,
    /// A line of the head is no header field.
    HeaderLine,
    /// The head is no UTF-8.
    Utf8,
    /// A mandatory header field is absent.
    Missing(Name),
    /// A header field that may stand once stands more than once.
    Repeated(Name),
    /// A mandatory header field does not follow its grammar.
    Bad(Name),
    /// CSeq names another method than the request line.
    CSeqMethod,
    /// The head is longer than the limit.
    HeadTooLarge,
    /// More header lines than the limit.
    HeadersTooMany,
    /// The body is longer than the limit.
    BodyTooLarge,
}

impl Fault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Fault::Version => 505,
            Fault::HeadTooLarge | Fault::HeadersTooMany => 513,
            Fault::BodyTooLarge => 413,
            _ => 400,
        }
    }

    /// The reason phrase of the answer; names what is wrong (RFC 3261 §21.4.1).
    pub fn reason(self) -> &'static str {
        match self {
            Fault::StartLine => "Bad start line",
            Fault::Version => "Version Not Supported",
            Fault::RequestUri => "Bad Request-URI",
            Fault::HeaderLine => "Bad header line",
            Fault::Utf8 => "Head is not UTF-8",
            Fault::Missing(name) => name.missing(),
            Fault::Repeated(name) => name.repeated(),
            Fault::Bad(name) => name.bad(),
            Fault::CSeqMethod => "CSeq method does not match",
            Fault::HeadTooLarge => "Message head too large",
            Fault::HeadersTooMany => "Too many header fields",
            Fault::BodyTooLarge => "Request Entity Too Large",
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.status(), self.reason())
    }
}

impl core::error::Error for Fault {}
