//! Addresses of record in canonical form.

use std::sync::Arc;

/// The longest address of record, in bytes.
pub const AOR_BYTES_MAX: usize = 512;

/// An address of record in its canonical form, `user@host`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Aor(Arc<str>);

impl Aor {
    pub(super) fn canonical(text: &str) -> Aor {
        Aor(Arc::from(text))
    }

    /// Reads `user@host`, `sip:user@host` or `sips:user@host`.
    pub fn parse(_text: &str) -> Option<Aor> {
        unimplemented!()
    }

    /// `user@host`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is before the last `@`.
    pub fn user(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(user, _)| user)
    }

    /// What is after the last `@`, lower case.
    pub fn host(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, host)| host)
    }

    /// `sip:user@host` with the user escaped as the standard wants it.
    pub fn uri(&self) -> String {
        unimplemented!()
    }
}

impl core::fmt::Display for Aor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::borrow::Borrow<str> for Aor {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Aor {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
