//! SIP URIs and their comparison.

use std::sync::Arc;

/// An address of record in its canonical form, `user@host`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Aor(Arc<str>);
