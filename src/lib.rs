//! Muster: a Front End Server for instant messaging and presence.
//!
//! READ FIRST. **Bytes come in on a core, become an input to that core's pure state machine, which answers with effects;
//! the core's shell carries the effects out.** Nothing else happens.
//!
//! # The floors, from the roof down
//!
//! A room may use what is below it, never what is beside or above it. `tests/tidy.rs` holds the house to it.
//!
//! | floor | rooms |
//! | --- | --- |
//! | roof | [`cli`], one file a command; [`config`], TOML as written becomes the config as meant |
//! | 4 | [`shell`], the world: sockets, TLS, threads, files, the clock. It decides nothing |
//! | 3 | [`shard`], the owner of users and sessions on one core: `handle(now, input, &mut effects)` |
//! | 2 | [`dialect`], a client's own way to say what the core means: standard SIP/SIMPLE, and Lync's |
//! | 1 | [`auth`], who speaks · [`registrar`], where a user can be reached · [`presence`], how they are · [`immcu`], their conversations · [`calls`], their calls |
//! | 0 | [`sip`], the language · [`documents`], what messages carry |
//!
//! Two services of floor 1 meet only in a script of the shard. Below the shell there is no socket, file, thread,
//! `async`, clock, randomness or lock: time is an argument, randomness a seed, so a million events replay from a number.
//!
//! # Our own few words
//!
//! - **shard**: one core's share of the users, with all that is theirs. It *owns* them.
//! - **routing group**: one of 4096; a user's follows from the address of record, and says which shard owns it.
//! - **letter**: plain data that crosses from one shard to another; **mailbox**: where it waits.
//! - **effect**: one thing that a shard asks of the world; **input**: one thing that the world tells it.
//! - **leg**: one participant's dialog with the server; **keeper**: the owner of a pair's pager session.
//! - **adoption**: a connection moves, with its TLS state, to the shard that owns its user.
//! - **turn**: what an executor does between two waits: gather inputs, handle each, carry out the effects, flush.
//!
//! # One message's way
//!
//! Alice writes to Bob. Her socket was adopted by her core when she registered. `shell` reads and opens TLS,
//! `sip::frame` cuts one message by its Content-Length, `sip::message` reads it in place. `shard::handle` asks whether
//! this connection may speak as this From, and leads to `on_message`, which opens a server transaction: a letter goes to the
//! keeper of the pair, whose order of letters is the order of the conversation, and from there to Bob's owner. There
//! `deliver` writes one MESSAGE to each endpoint whose turn it is straight into the outgoing arena. The executor flushes once for all
//! that the turn produced. Bob's 200 finds its client transaction by its branch, goes back as a letter by way of the keeper,
//! who counts it for the call detail record, and Alice is answered. Nothing on the way waited, and nothing was shared.

pub mod auth;
pub mod calls;
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
