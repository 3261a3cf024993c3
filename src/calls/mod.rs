//! Calls between users: forked and relayed statefully, a proxy's part and not an end's (RFC 3261 §16).
//!
//! Who is looked for and who answers is `search`; the dialogs of each client, kept in the place of the other side, are
//! `threads`; what of a message goes along is `carried`; what a user wants done with calls is `rules`. Media flows between the clients. Not here: connections,
//! transactions, and which shard has what.

pub mod carried;
mod rules;
pub mod search;
pub mod threads;

pub use rules::{AFTER_S, Field, RING_ALSO_MAX, RuleError, RuleFault, Rules};
