//! THE WORLD. All that does I/O; decides nothing.
//!
//! One pinned executor a shard takes what its sockets and its mailbox have, lets the pure core handle each input at
//! one `now`, carries out the effects, and flushes each connection once. The way in is [`run::start`].

pub mod admin;
mod adoption;
pub mod cdr;
pub mod clock;
mod connection;
mod envelope;
mod executor;
pub mod limits;
mod listener;
pub mod log;
pub mod mailbox;
mod outlet;
mod own_table;
mod passage;
pub mod pulse;
mod record;
pub mod run;
mod shard_thread;
pub mod signals;
mod socket;
pub mod store;
mod table;
pub mod telemetry;
pub mod tls;
mod waiting;
