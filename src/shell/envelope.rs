//! What can lie in a shard's mailbox, and what a plain thread may ask through it.

use std::fmt;
use std::sync::Arc;

use crossbeam_channel::Sender;
use rustls::ServerConfig;

use crate::shard::change::{KeepTicket, NotKept};
use crate::shard::letter::Letter;
use crate::shard::{ShardId, UserRecord};
use crate::shell::connection::Connection;
use crate::shell::telemetry::Telemetry;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// A change of a user in the store, for the shard that owns the user.
#[derive(Debug)]
pub enum UserChange {
    /// Added or changed.
    Put(UserRecord),
    /// Removed.
    Removed(Aor),
}

/// One thing in a mailbox.
pub(super) enum Envelope {
    /// From a shard's core to this one's.
    Letter {
        /// When it was posted.
        posted: Now,
        letter: Letter,
    },
    /// A connection that moves here, with all that belongs to it.
    Adopted {
        /// When it was posted.
        posted: Now,
        connection: Box<Connection>,
        /// Under which its descriptor has gone ahead, where each shard has a table of its own.
        ticket: Option<u64>,
    },
    /// From the store.
    User(UserChange),
    /// From the store: how a change ended that this shard asked for.
    Kept {
        ticket: KeepTicket,
        outcome: Result<(), NotKept>,
    },
    /// From the process.
    Command(Command),
}

/// What the process asks of a shard.
pub(super) enum Command {
    /// Begin to take connections.
    Open,
    /// Say that you take work.
    Ready(Sender<ShardId>),
    /// Send a copy of your telemetry.
    Telemetry(Sender<(ShardId, Box<Telemetry>)>),
    /// Accept with these settings from now on.
    Tls(Arc<ServerConfig>),
    /// Take no new work and end what there is.
    Stop,
    /// Close all, and end.
    Finish,
}

impl fmt::Debug for Envelope {
    // What a letter says is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Envelope::Letter { .. } => "Letter",
            Envelope::Adopted { .. } => "Adopted",
            Envelope::User(_) => "User",
            Envelope::Kept { .. } => "Kept",
            Envelope::Command(_) => "Command",
        })
    }
}
