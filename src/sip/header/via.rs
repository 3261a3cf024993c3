//! Via (RFC 3261 §20.42).

use super::{BadValue, Params};

/// One value of Via.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Via<'a> {
    /// `TLS`, `TCP`, `UDP`, ….
    pub transport: &'a str,
    /// `host:port` as it is written.
    pub sent_by: &'a str,
    /// The host of `sent_by`, brackets kept.
    pub host: &'a str,
    /// The port of `sent_by`.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, ….
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value.
    pub fn parse(_text: &'a str) -> Result<Via<'a>, BadValue> {
        unimplemented!()
    }

    /// The branch: with the cookie `z9hG4bK` it names the transaction (RFC 3261 §8.1.1.7). Empty where there is none.
    pub fn branch(&self) -> &'a str {
        self.params.raw("branch").flatten().unwrap_or("")
    }
}
