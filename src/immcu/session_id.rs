//! The name of a session.

/// A session's id: unique over restarts, and it says which routing group owns the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct SessionId {
    /// The routing group of the user who started it.
    pub group: u16,
    /// From the shard's generator.
    pub random: u64,
}

impl core::fmt::Display for SessionId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:03x}{:016x}", self.group, self.random)
    }
}

impl SessionId {
    /// Reads what `Display` writes: 19 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<SessionId> {
        if text.len() != 19 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        Some(SessionId {
            group: u16::from_str_radix(text.get(..3)?, 16).ok()?,
            random: u64::from_str_radix(text.get(3..)?, 16).ok()?,
        })
    }
}
