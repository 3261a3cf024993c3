//! Authorization and its like: a scheme and its parameters (RFC 3261 §20.7, RFC 7616, RFC 8760).

use std::borrow::Cow;

use super::BadValue;

/// The value of Authorization, Proxy-Authorization, WWW-Authenticate, Proxy-Authenticate or Authentication-Info.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthParams<'a> {
    /// `Digest`, `NTLM`, …; empty for Authentication-Info.
    pub scheme: &'a str,
    list: &'a str,
}

impl core::fmt::Debug for AuthParams<'_> {
    // A credential never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AuthParams").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl<'a> AuthParams<'a> {
    /// Reads `Scheme name=value, name="value"`.
    pub fn parse(_text: &'a str) -> Result<AuthParams<'a>, BadValue> {
        unimplemented!()
    }

    /// The value of a parameter, without quotes and escapes; names are compared without case.
    pub fn get(&self, _name: &str) -> Option<Cow<'a, str>> {
        unimplemented!()
    }

    /// Whether the scheme is `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(name)
    }

    /// Each parameter: its name and its value as it is written, quotes and all.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let _ = self.list;
        core::iter::empty()
    }
}
