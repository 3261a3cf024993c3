//! The way in: starts the shards, talks to them, stops them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crossbeam_channel::Sender;
use rustls::ServerConfig;

use crate::shard::cdr_event::CdrEvent;
use crate::shard::{Core, ShardId, UserRecord};
use crate::shell::telemetry::Telemetry;
use crate::sip::frame;
use crate::sip::uri::Aor;

/// What the shards run with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where SIP over TLS is taken; port 0 is any free port, the same for all shards.
    pub sips: Vec<SocketAddr>,
    /// Where SIP over plain TCP is taken.
    pub sip: Vec<SocketAddr>,
    /// One shard a core, pinned to it.
    pub cores: Vec<usize>,
    /// For connections accepted from now on.
    pub tls: Arc<ServerConfig>,
    /// What a peer may send.
    pub frame: frame::Limits,
    /// How many connections one shard holds at most.
    pub connections_max: usize,
}

/// A change of a user in the store, for the shard that owns the user.
#[derive(Debug)]
pub enum UserChange {
    /// Added or changed.
    Put(UserRecord),
    /// Removed.
    Removed(Aor),
}

/// Why the shards did not start, and what to do about it.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// An executor cannot be made.
    Executor {
        /// On which core.
        core: usize,
        /// What glommio or the system said.
        why: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")
            }
            StartError::Executor { core, why } => {
                write!(f, "cannot start a shard on core {core}: {why}")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// Shards that run.
#[derive(Debug)]
pub struct Running {
    /// Where SIP over TLS is taken, with the ports that were chosen.
    pub sips: Vec<SocketAddr>,
    /// Where SIP over plain TCP is taken, with the ports that were chosen.
    pub sip: Vec<SocketAddr>,
    control: Control,
}

/// What any plain thread may ask of the shards. Cheap to clone. Its calls wait; never for an executor.
#[derive(Clone, Debug)]
pub struct Control {
    shards: usize,
}

/// Binds all addresses and starts one shard a core, each with a core made on its own thread by `make_core`.
/// Connections are taken from [`Control::open`] on. Events for the call detail records go to `cdr`, whose bound presses back.
pub fn start<C, F>(
    settings: Settings,
    cdr: Sender<CdrEvent>,
    make_core: F,
) -> Result<Running, StartError>
where
    C: Core + 'static,
    F: Fn(ShardId) -> C + Send + Sync + 'static,
{
    let _ = (settings, cdr, make_core);
    Err(StartError::Executor {
        core: 0,
        why: "being written".into(),
    })
}

impl Running {
    /// A handle for other threads.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops: no more connections, `Input::Stop` to each core, up to `within` for what is in flight, then close_notify to all.
    pub fn stop(self, within: Duration) {
        let _ = within;
    }
}

impl Control {
    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// Begins to take connections. Put the users in first.
    pub fn open(&self) {}

    /// Tells the owner of a user of a change. Waits while that shard's mailbox is full.
    pub fn user(&self, owner: ShardId, change: UserChange) {
        let _ = (owner, change);
    }

    /// The histograms and counters of all shards, merged; an error names a shard that did not answer `within`.
    pub fn telemetry(&self, within: Duration) -> Result<Telemetry, ShardId> {
        let _ = within;
        Ok(Telemetry::new())
    }

    /// Whether every shard takes work: each one answers through its mailbox `within`, and its listeners are open.
    pub fn ready(&self, within: Duration) -> Result<(), ShardId> {
        let _ = within;
        Ok(())
    }

    /// From now on, accepts with another certificate. Connections that are open keep theirs.
    pub fn set_tls(&self, tls: Arc<ServerConfig>) {
        let _ = tls;
    }
}
