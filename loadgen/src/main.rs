//! `loadgen`: many simulated SIP clients over TLS, for the load tests of SIP servers on this machine.
//!
//! It speaks only standard SIP and reads only /proc about the server, so it drives any server. A run is open-loop:
//! operations are meant for fixed instants and timed from those. It checks contents; a run with a message lost,
//! duplicated, reordered or altered is a failed run.
//!
//! Read `run` (the stages), then `worker` (one thread of clients), then `user` (one client).

mod account;
mod alarm;
mod cli;
mod clock;
mod compare;
mod content;
mod descriptors;
mod digest;
mod follow;
mod host;
mod line;
mod meter;
mod pace;
mod plan;
mod progress;
mod record;
mod remote;
mod report;
mod run;
mod soak;
mod source;
mod stage;
mod ticket;
mod tls;
mod user;
mod wheel;
mod worker;

#[cfg(test)]
mod loopback_tests;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
