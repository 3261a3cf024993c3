//! `loadgen soak`: people who use the server as the user model says, for long, and storms on demand; `loadgen model`.
//!
//! Read `model` (what people do) and `graph` (whom they know), then `planner` (what follows from both in time: pure),
//! `client` (one endpoint) and `check` (each message once and in order), then `worker` (a thread) and `conduct` (the run).
//! The whole is open loop. In memory is what goes on, and a few words for each endpoint: never the plan, the graph or a
//! list of messages.

mod arguments;
mod check;
mod client;
mod conduct;
mod graph;
mod model;
mod planner;
mod plot;
mod progress;
mod published;
mod report;
mod sight;
mod speech;
mod worker;

#[cfg(test)]
mod loopback_tests;

pub use arguments::SoakArguments;
pub use model::MODEL;
