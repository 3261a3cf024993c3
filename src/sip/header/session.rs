//! Smaller values: CSeq, numbers of seconds, Reason, Replaces and Join, Session-Expires.

use super::{BadValue, Params};

/// A sequence number with its method (RFC 3261 §20.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method's text.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads the value of CSeq.
    pub fn parse(_text: &'a str) -> Result<CSeq<'a>, BadValue> {
        unimplemented!()
    }
}

/// Reads a decimal number such as the value of Expires, Min-Expires, Max-Forwards; Retry-After with what may follow it
/// (a comment, parameters). More than 2^32 - 1 counts as 2^32 - 1 (RFC 3261 §20.19).
pub fn number(_text: &str) -> Option<u32> {
    unimplemented!()
}

/// One value of Reason (RFC 3326).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, ….
    pub protocol: &'a str,
    /// `cause`, `text`, ….
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// Reads one value.
    pub fn parse(_text: &'a str) -> Result<Reason<'a>, BadValue> {
        unimplemented!()
    }

    /// The `cause` parameter.
    pub fn cause(&self) -> Option<u32> {
        unimplemented!()
    }
}

/// A dialog that Replaces (RFC 3891), Join (RFC 3911) or Target-Dialog (RFC 4538) names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialogRef<'a> {
    /// Its Call-ID.
    pub call_id: &'a str,
    /// `to-tag` (`local-tag` in Target-Dialog), as the receiver of the request sees it: its own tag.
    pub local_tag: &'a str,
    /// `from-tag` (`remote-tag` in Target-Dialog): the other's tag.
    pub remote_tag: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> DialogRef<'a> {
    /// Reads the value; both tags must be there.
    pub fn parse(_text: &'a str) -> Result<DialogRef<'a>, BadValue> {
        unimplemented!()
    }
}

/// The value of Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires<'a> {
    /// The interval in seconds.
    pub interval_s: u32,
    /// `uac` or `uas`.
    pub refresher: Option<&'a str>,
}

impl<'a> SessionExpires<'a> {
    /// Reads the value.
    pub fn parse(_text: &'a str) -> Result<SessionExpires<'a>, BadValue> {
        unimplemented!()
    }
}
