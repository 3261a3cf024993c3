//! The language: bytes and messages, and RFC 3261's rules of conversation. No I/O, no clock.

pub mod armed;
pub mod build;
pub mod chain;
pub mod dialog;
pub mod frame;
pub mod fuzz;
mod grammar;
pub mod header;
pub mod link;
pub mod message;
pub mod slab;
pub mod slack;
pub mod status;
pub mod time;
pub mod transaction;
pub mod uri;

pub(crate) use grammar::same;
