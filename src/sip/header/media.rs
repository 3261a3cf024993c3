//! Media types and what a peer accepts (RFC 3261 §20.1, §20.15).

use super::{BadValue, Params};

/// The value of Content-Type, or one range of Accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaType<'a> {
    /// `application`.
    pub kind: &'a str,
    /// `pidf+xml`.
    pub subtype: &'a str,
    /// `;charset=utf-8`.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads `type/subtype;params`.
    pub fn parse(_text: &'a str) -> Result<MediaType<'a>, BadValue> {
        unimplemented!()
    }

    /// Whether it is `full` (`"application/pidf+xml"`), without case and whatever the parameters.
    pub fn is(&self, _full: &str) -> bool {
        unimplemented!()
    }
}

/// How much a peer that sent these Accept lines wants `full` (`"application/pidf+xml"`): 0 (refused) to 1000; the most specific range decides.
/// No lines at all: `None`, and the method's default counts (RFC 3261 §20.1).
pub fn accept_quality<'a>(_lines: impl Iterator<Item = &'a str>, _full: &str) -> Option<u16> {
    unimplemented!()
}
