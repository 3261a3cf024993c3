//! SIP URIs and their comparison.

mod aor;

use std::borrow::Cow;

pub use aor::{AOR_BYTES_MAX, Aor};

/// A URI's scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other.
    Other,
}

/// A text that is no URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadUri;

/// A URI, read in place (RFC 3261 §19.1). For `tel:` the number is `user`; for other schemes only `scheme` and `text` count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// All of it as it is written.
    pub text: &'a str,
    /// The scheme.
    pub scheme: Scheme,
    /// The user as it is written (escapes kept); may be empty.
    pub user: &'a str,
    /// The password as it is written (RFC 3261 §19.1.1 advises against it).
    pub password: Option<&'a str>,
    /// The host as it is written, an IPv6 reference with its brackets.
    pub host: &'a str,
    /// The port.
    pub port: Option<u16>,
    /// The parameters as they are written: empty, or beginning with a semicolon.
    pub params: &'a str,
    /// The headers as they are written: empty, or beginning with a question mark.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI.
    pub fn parse(_text: &'a str) -> Result<Uri<'a>, BadUri> {
        unimplemented!()
    }

    /// A parameter's value as it is written: `None` when absent, `Some(None)` for a flag. Names are compared without case.
    pub fn param(&self, _name: &str) -> Option<Option<&'a str>> {
        unimplemented!()
    }

    /// A header's value, unescaped (RFC 3261 §19.1.1). `None` when absent or when it is no UTF-8.
    pub fn header(&self, _name: &str) -> Option<Cow<'a, str>> {
        unimplemented!()
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4).
    pub fn equivalent(&self, _other: &Uri<'_>) -> bool {
        unimplemented!()
    }

    /// The address of record in this URI: `sip:` or `sips:` with a user, port and parameters dropped (RFC 3261 §10.3 step 5).
    pub fn aor(&self) -> Option<Aor> {
        self.aor_text().map(|text| Aor::canonical(&text))
    }

    /// The same as text, to look something up without an allocation where the URI is already canonical.
    pub fn aor_text(&self) -> Option<Cow<'a, str>> {
        unimplemented!()
    }
}
