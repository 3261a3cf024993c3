//! THE WORLD. All that does I/O; decides nothing.
//!
//! One pinned executor a shard takes what its sockets and its mailbox have, lets the pure core handle each input at
//! one `now`, carries out the effects, and flushes each connection once. The way in is [`run::start`].

pub mod admin;
pub mod clock;
pub mod mailbox;
pub mod pulse;
pub mod run;
pub mod telemetry;
pub mod tls;
