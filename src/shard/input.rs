//! All that can come in to a shard: a closed list.

use core::time::Duration;

use crate::shard::UserRecord;
use crate::shard::change::{KeepTicket, NotKept};
use crate::shard::letter::Letter;
use crate::sip::link::{ConnectionId, Link};
use crate::sip::message::{Malformed, Message};
use crate::sip::uri::Aor;

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection is here: newly accepted, or moved here by `Effect::Adopt` on another shard
    /// (then the request that caused the move follows as the first `Message`).
    Opened {
        /// Its id on this shard.
        connection: ConnectionId,
        /// Its two ends.
        link: Link,
    },
    /// One whole message, read in place.
    Message {
        /// Where it came in.
        connection: ConnectionId,
        /// The message, a view over the receive buffer.
        message: &'a Message<'a>,
    },
    /// Bytes that are no message. The core answers what can be answered; when `malformed` says the framing is
    /// lost the core also asks for the connection to be closed.
    Malformed {
        /// Where it came in.
        connection: ConnectionId,
        /// What is wrong, and as much of the head as could be read.
        malformed: &'a Malformed<'a>,
    },
    /// A message that made the core ask for its connection to move, and there is no room for it on that shard. The connection has come
    /// (back) by `Opened`; the message is to be answered here, by a refusal.
    NoRoom {
        /// Where it came in, and stays.
        connection: ConnectionId,
        /// The message.
        message: &'a Message<'a>,
    },
    /// The peer reads too slowly: more than the high-water mark waits to be sent.
    Behind {
        /// Whose peer.
        connection: ConnectionId,
    },
    /// What waited has been sent: below the low-water mark again.
    Drained {
        /// Whose peer.
        connection: ConnectionId,
    },
    /// The connection is gone (the peer, the network, or after `Effect::Close`). Never after `Effect::Adopt`.
    Closed {
        /// Which one.
        connection: ConnectionId,
    },
    /// A letter from a shard (perhaps this one).
    Letter(Letter),
    /// A user was added or changed in the store; this shard owns it.
    UserPut(UserRecord),
    /// A user was removed from the store.
    UserRemoved(Aor),
    /// The store's answer to `Effect::Keep`: kept, or why not. What was kept has come as `UserPut` to the owner before.
    Kept {
        /// Who waited.
        ticket: KeepTicket,
        /// How it ended.
        outcome: Result<(), NotKept>,
    },
    /// The least time that anything waited to be handled since the last word of this, measured over about a tenth of a
    /// second; a long one is a queue that stands.
    Pressure {
        /// So long.
        least: Duration,
    },
    /// No ticks came and little or nothing was read, which was not the peers' fault. Ticks come again now.
    StoodStill {
        /// So long.
        lasted: Duration,
    },
    /// Time has passed. Comes at least every 250 ms; timers fire on it.
    Tick,
    /// The server is stopping: take no new work, end sessions and subscriptions. Comes once.
    Stop,
}
