//! The ways to prove who one is that an operator may enable.

/// A scheme, as the config names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Scheme {
    /// HTTP digest with SHA-256 (RFC 8760).
    DigestSha256,
    /// HTTP digest with MD5 (RFC 3261 §22.4).
    DigestMd5,
    /// NTLM without a connection, and a signature in every message from then on ([MS-SIPAE], [MS-NLMP]).
    Ntlm,
}

impl Scheme {
    /// All there are, in the order in which they are offered by default: the strongest first, and behind what the
    /// standard has what only clients of Lync understand.
    pub const ALL: [Scheme; 3] = [Scheme::DigestSha256, Scheme::DigestMd5, Scheme::Ntlm];

    /// As the config has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::DigestSha256 => "digest-sha-256",
            Scheme::DigestMd5 => "digest-md5",
            Scheme::Ntlm => "ntlm",
        }
    }

    /// Reads what the config has.
    pub fn parse(text: &str) -> Option<Scheme> {
        Scheme::ALL.into_iter().find(|each| each.as_str() == text)
    }
}
