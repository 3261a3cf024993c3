//! All that a shard can ask of the world: a closed list, pushed into a buffer that the caller lends.

use core::ops::Range;

use crate::shard::ShardId;
use crate::shard::cdr_event::CdrEvent;
use crate::shard::change::{Change, KeepTicket};
use crate::shard::letter::Letter;
use crate::shard::overload::Class;
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;

/// A latency that the server keeps a histogram of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Latency {
    /// REGISTER taken in → its final answer handed to the socket.
    Register,
    /// A two-party or pager MESSAGE taken in → its final answer handed to the socket.
    MessageTwoParty,
    /// A conference MESSAGE taken in → its copies handed to the sockets of a shard.
    MessageConference,
    /// PUBLISH taken in → the last NOTIFY of a shard handed to its socket.
    PublishToNotify,
}

/// One thing that is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Send `Effects::bytes[range]` on a connection. Order within a connection is kept.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// Which part of the arena.
        range: Range<usize>,
        /// A notification of this server's: written where there was room, and in what its connection has been told already.
        notifies: bool,
    },
    /// Close after what was sent before has left, or at once if it does not leave within a second.
    Close {
        /// Which one. `Input::Closed` follows.
        connection: ConnectionId,
        /// For the log: a short reason.
        reason: &'static str,
    },
    /// Give the connection to another shard, together with the message that is being handled (it is put back
    /// in front of what is not yet framed) and whatever of earlier output has not left. Nothing else is asked of
    /// this connection in this turn, and no `Input::Closed` follows.
    Adopt {
        /// Which one.
        connection: ConnectionId,
        /// The shard that owns the user.
        to: ShardId,
        /// Wrong passwords in a row so far: its link says so from now on, wherever it opens.
        failures: u8,
    },
    /// Put a letter into the mailbox of a shard (perhaps this one). Order between two shards is kept.
    Post {
        /// Whose mailbox.
        to: ShardId,
        /// The letter.
        letter: Letter,
    },
    /// Write a call detail record event; on disk within a second.
    Record(CdrEvent),
    /// Ask the store to keep a change of a user: on disk before `Input::Kept` says so.
    Keep {
        /// Who waits for the answer.
        ticket: KeepTicket,
        /// What.
        change: Change,
    },
    /// When this turn's output has been handed to the sockets: record the time since `since`.
    Observe {
        /// In which histogram.
        latency: Latency,
        /// The beginning.
        since: Now,
    },
    /// Count a request that was shed.
    Shed(Class),
    /// So many classes of requests are shed from now on, see `overload`: 0 to 4.
    Level(u8),
    /// Count a final answer that this server gave (`ours`) or got.
    Count {
        /// Index into `sip::message::Method`'s table, see `Method::index`.
        method: u8,
        /// The status code, 100 to 699.
        status: u16,
        /// True where we answered, false where a peer answered us.
        ours: bool,
    },
}

/// The effects of one turn, and the bytes they send.
#[derive(Default, Debug)]
pub struct Effects {
    /// In the order in which they are to be carried out.
    pub list: Vec<Effect>,
    /// The arena that `Effect::Send` points into.
    pub bytes: Vec<u8>,
}

impl Effects {
    /// Sends what `write` appends to the arena.
    pub fn send(&mut self, connection: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(connection, false, write);
    }

    /// The same for a notification of this server's. What one client tells another in a call may look the same, and is none.
    pub fn notify(&mut self, connection: ConnectionId, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(connection, true, write);
    }

    fn push(&mut self, connection: ConnectionId, notifies: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.list.push(Effect::Send {
            connection,
            range: start..self.bytes.len(),
            notifies,
        });
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }
}
