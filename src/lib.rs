//! Muster: a Front End Server for instant messaging and presence.
//!
//! READ FIRST. Bytes come in on a core, become an input to that core's pure state machine, which answers with
//! effects; the core's shell carries the effects out. Nothing else happens.

pub mod auth;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod documents;
pub mod immcu;
pub mod presence;
pub mod registrar;
pub mod shard;
pub mod shell;
pub mod sip;
