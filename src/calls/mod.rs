//! Calls between users. So far: what a user wants done with calls to them (`rules`).

mod rules;

pub use rules::{AFTER_S, Field, RING_ALSO_MAX, RuleError, RuleFault, Rules};
