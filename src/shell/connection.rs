//! One connection's bytes, both ways: what was received and not yet consumed, what is written and not yet sent, and how long
//! either may take. It knows TLS and nothing of SIP; framing and the core are the executor's.
//!
//! An idle connection holds no buffer: reading, decrypting, encrypting are done in the shard's [`Scratch`], and only what is
//! incomplete or did not go is kept here, each within a limit.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use crate::shell::record::Records;
use crate::shell::socket::{Received, Socket};
use crate::sip::frame::FrameState;
use crate::sip::link::Link;
use crate::sip::time::Now;

/// Bytes taken from a socket at once.
const READ_BYTES_MAX: usize = 32 * 1024;
/// An incomplete TLS record or handshake message is no longer than this; the longest record is 16 KiB and 256 bytes (RFC 8446 §5.2).
const SEALED_BYTES_MAX: usize = 20 * 1024;
/// Marks the end of a connection's chain of sends.
pub(super) const NO_SEND: u32 = u32::MAX;

/// How long a peer may take, and how much may wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimits {
    /// Accepted → TLS handshake complete.
    pub handshake: Duration,
    /// Opened → first whole message; and first byte of a message → its last.
    pub message: Duration,
    /// Output waits and the peer takes not a byte of it.
    pub unread: Duration,
    /// What was sent before a close may take so long to leave.
    pub close: Duration,
    /// More output than this waits: the core is told, and the peer is read no more.
    pub unsent_high_bytes: usize,
    /// Less than this waits: the core is told, and the peer is read again.
    pub unsent_low_bytes: usize,
    /// More than this waits: the connection is closed.
    pub unsent_bytes_max: usize,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            handshake: Duration::from_secs(10),
            message: Duration::from_secs(30),
            unread: Duration::from_secs(30),
            close: Duration::from_secs(1),
            unsent_high_bytes: 256 * 1024,
            unsent_low_bytes: 64 * 1024,
            // A mebibyte, and room for one message of the largest kind beyond it.
            unsent_bytes_max: (1024 + 80) * 1024,
        }
    }
}

/// A shard's buffers, lent to one connection at a time.
pub(super) struct Scratch {
    /// As received, encrypted.
    sealed: Vec<u8>,
    /// To be sent, encrypted.
    out: Vec<u8>,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch {
            sealed: Vec::with_capacity(SEALED_BYTES_MAX + READ_BYTES_MAX),
            out: Vec::new(),
        }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// TLS is being agreed on; the core does not know of it.
    Handshake,
    /// The core knows of it.
    Open,
    /// Nothing more is taken from it; what was sent is leaving.
    Closing {
        /// Then it is closed, sent or not.
        by: Now,
        /// The core knew of it.
        known: bool,
        /// Wait for the peer's end, so that the system does not answer what it still sends by throwing away what we sent last.
        linger: bool,
        /// How far our own end has come.
        end: End,
    },
}

/// The end of what we send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Nothing has been said of it.
    Ahead,
    /// TLS has said it; that and what was sent before may still wait.
    Said,
    /// All has left, and the system has been told.
    Reached,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Broken(pub(super) &'static str);

impl Broken {
    /// More waits for the peer than may.
    const TOO_MUCH_UNREAD: Broken = Broken("peer reads too slowly");
    /// The peer takes nothing of what waits for it.
    const NOTHING_READ: Broken = Broken("peer reads nothing");

    /// Is it that the peer reads too slowly, or not at all?
    pub(super) fn is_slow_reader(self) -> bool {
        self == Broken::TOO_MUCH_UNREAD || self == Broken::NOTHING_READ
    }
}

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Taken {
    /// Bytes from the socket.
    pub(super) bytes: usize,
    /// Bytes that went back at once: handshake, tickets, alerts.
    pub(super) written: usize,
    /// The TLS handshake is complete.
    pub(super) established: bool,
}

/// Output changed sides of a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// Nothing to tell.
    Steady,
    /// Above the high mark now.
    Behind,
    /// Below the low mark again.
    Drained,
}

/// One connection.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) link: Link,
    pub(super) stage: Stage,
    records: Option<Records>,
    /// Encrypted bytes of an incomplete record.
    sealed: Vec<u8>,
    /// Plain bytes that are not consumed.
    pub(super) plain: Vec<u8>,
    /// How far `plain` was looked at.
    pub(super) frame: FrameState,
    /// So many bytes to come belong to a refused message.
    pub(super) skip: usize,
    unsent: Vec<u8>,
    /// So many bytes of `unsent` are sent.
    sent: usize,
    /// Something has come from the peer.
    begun: bool,
    /// There may be something to read.
    pub(super) readable: bool,
    /// There may be room to write.
    pub(super) writable: bool,
    /// The system says that the peer has ended: a short read does not mean that all was read.
    pub(super) ending: bool,
    /// The peer's end was read.
    pub(super) ended: bool,
    /// What is kept in `plain` is no whole message: read on.
    pub(super) hungry: bool,
    /// It waits in its shard's queue.
    pub(super) queued: bool,
    /// It stands in this turn's list of those with output.
    pub(super) dirty: bool,
    /// More output waits than the high mark, and less than the low mark has not been seen since.
    pub(super) behind: bool,
    /// A whole message has come.
    pub(super) spoke: bool,
    /// When it was accepted.
    pub(super) accepted: Now,
    /// Since when an incomplete message waits for its rest, or the first one for its beginning.
    partial_since: Option<Now>,
    /// Since when the peer has taken nothing of what waits.
    unread_since: Option<Now>,
    /// This turn's sends: first and last in the shard's chain.
    pub(super) sends: (u32, u32),
}

impl Connection {
    /// A connection just accepted: over TLS where `tls` is given.
    pub(super) fn new(
        socket: Socket,
        link: Link,
        tls: Option<Arc<ServerConfig>>,
        now: Now,
    ) -> Result<Connection, rustls::Error> {
        let records = tls.map(Records::new).transpose()?;
        Ok(Connection {
            socket,
            link,
            stage: if records.is_some() {
                Stage::Handshake
            } else {
                Stage::Open
            },
            records,
            sealed: Vec::new(),
            plain: Vec::new(),
            frame: FrameState::default(),
            skip: 0,
            unsent: Vec::new(),
            sent: 0,
            begun: false,
            readable: true,
            writable: true,
            ending: false,
            ended: false,
            hungry: true,
            queued: false,
            dirty: false,
            behind: false,
            spoke: false,
            accepted: now,
            partial_since: Some(now),
            unread_since: None,
            sends: (NO_SEND, NO_SEND),
        })
    }

    /// Whether more is taken from the peer at all.
    pub(super) fn takes_input(&self) -> bool {
        matches!(self.stage, Stage::Handshake | Stage::Open) && !self.behind
    }

    /// Has the peer gone before anything was done for it? Who gave up waiting in the listener's queue is not worth a handshake.
    pub(super) fn is_deserted(&self) -> bool {
        self.stage == Stage::Handshake && self.ending && !self.begun
    }

    /// How many bytes wait to be sent.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// It is about to go to another shard's thread: nothing of it is kept ready on this one.
    pub(super) fn leave(&self) {
        if let Some(records) = &self.records {
            records.leave();
        }
    }

    /// Reads the socket once and appends what the peer says to `plain`.
    pub(super) fn read(
        &mut self,
        plain: &mut Vec<u8>,
        scratch: &mut Scratch,
        now: Now,
    ) -> Result<Taken, Broken> {
        if self.records.is_none() {
            plain.reserve_exact(READ_BYTES_MAX);
            let received = self
                .socket
                .read(plain)
                .map_err(|_| Broken("connection lost"))?;
            return Ok(Taken {
                bytes: self.note(received),
                ..Taken::default()
            });
        }
        scratch.sealed.clear();
        scratch.sealed.extend_from_slice(&self.sealed);
        let received = self
            .socket
            .read(&mut scratch.sealed)
            .map_err(|_| Broken("connection lost"))?;
        let bytes = self.note(received);
        let (1.., Some(records)) = (bytes, &mut self.records) else {
            return Ok(Taken::default());
        };
        scratch.out.clear();
        let opened = records.open(&mut scratch.sealed, plain, &mut scratch.out);
        let established = matches!(&opened, Ok(opened) if opened.established);
        let written = if established && !scratch.out.is_empty() {
            // The end of the handshake waits for what the turn has to say besides: the client's first request is often right
            // behind its own end, and a send is a twentieth of a logon.
            self.unsent.extend_from_slice(&scratch.out);
            self.unread_since.get_or_insert(now);
            0
        } else {
            self.write(&scratch.out, now)?
        };
        let opened = opened.map_err(|error| {
            tracing::debug!(peer = %self.link.peer, %error, "TLS failed");
            Broken("TLS failed")
        })?;
        let rest = scratch.sealed.get(opened.consumed..).unwrap_or_default();
        if rest.len() > SEALED_BYTES_MAX {
            return Err(Broken("TLS handshake message too large"));
        }
        if rest.is_empty() {
            self.sealed = Vec::new();
        } else {
            self.sealed.clear();
            self.sealed.extend_from_slice(rest);
        }
        self.ended |= opened.ended;
        if opened.established {
            self.stage = Stage::Open;
        }
        Ok(Taken {
            bytes,
            written,
            established: opened.established,
        })
    }

    /// Reads and throws away, to see the peer's end.
    pub(super) fn read_off(&mut self, scratch: &mut Scratch) -> Result<usize, Broken> {
        scratch.sealed.clear();
        let received = self
            .socket
            .read(&mut scratch.sealed)
            .map_err(|_| Broken("connection lost"))?;
        Ok(self.note(received))
    }

    fn note(&mut self, received: Received) -> usize {
        match received {
            Received::Bytes { count, emptied } => {
                self.begun = true;
                // Where the peer's end is behind the bytes, no other event will say so.
                self.readable = !emptied || self.ending;
                count
            }
            Received::Nothing => {
                self.readable = false;
                0
            }
            Received::End => {
                self.readable = false;
                self.ended = true;
                0
            }
        }
    }

    /// Sends `plain`, or keeps what does not go. Answers with the number of bytes handed to the system.
    pub(super) fn send(
        &mut self,
        plain: &[u8],
        scratch: &mut Scratch,
        now: Now,
    ) -> Result<usize, Broken> {
        let nothing_waits = self.unsent_bytes() == 0;
        match &mut self.records {
            None => self.write(plain, now),
            Some(records) if nothing_waits => {
                scratch.out.clear();
                records
                    .seal(plain, &mut scratch.out)
                    .map_err(|_| Broken("TLS failed"))?;
                self.write(&scratch.out, now)
            }
            Some(records) => {
                records
                    .seal(plain, &mut self.unsent)
                    .map_err(|_| Broken("TLS failed"))?;
                Ok(0)
            }
        }
    }

    /// Writes bytes as they go over the wire, behind those that wait.
    fn write(&mut self, bytes: &[u8], now: Now) -> Result<usize, Broken> {
        let mut written = 0;
        if self.unsent_bytes() == 0 {
            while self.writable && written < bytes.len() {
                match self.socket.write(&bytes[written..]) {
                    Ok(0) => self.writable = false,
                    Ok(count) => written += count,
                    Err(_) => return Err(Broken("connection lost")),
                }
            }
        }
        if written < bytes.len() {
            self.unread_since.get_or_insert(now);
            self.unsent.extend_from_slice(&bytes[written..]);
        }
        Ok(written)
    }

    /// Sends what waits, as far as it goes. Answers with the number of bytes handed to the system.
    pub(super) fn send_rest(&mut self, now: Now) -> Result<usize, Broken> {
        let before = self.sent;
        while self.writable && self.sent < self.unsent.len() {
            match self.socket.write(&self.unsent[self.sent..]) {
                Ok(0) => self.writable = false,
                Ok(count) => self.sent += count,
                Err(_) => return Err(Broken("connection lost")),
            }
        }
        let written = self.sent - before;
        if self.sent == self.unsent.len() {
            (self.unsent, self.sent, self.unread_since) = (Vec::new(), 0, None);
        } else {
            if written > 0 {
                self.unread_since = Some(now);
            }
            // What is sent goes when it is the greater part, so that each byte moves once on average.
            if self.sent > self.unsent.len() / 2 {
                self.unsent.drain(..self.sent);
                self.sent = 0;
            }
        }
        Ok(written)
    }

    /// Looks at the marks, after output has been sent or kept.
    pub(super) fn flow(&mut self, limits: &ConnectionLimits, now: Now) -> Result<Flow, Broken> {
        let waits = self.unsent_bytes();
        if waits > limits.unsent_bytes_max {
            return Err(Broken::TOO_MUCH_UNREAD);
        }
        if !self.behind && waits > limits.unsent_high_bytes {
            self.behind = true;
            return Ok(Flow::Behind);
        }
        if self.behind && waits < limits.unsent_low_bytes {
            self.behind = false;
            // The time in which we did not read was not the peer's.
            self.partial_since = self.partial_since.map(|_| now);
            return Ok(Flow::Drained);
        }
        Ok(Flow::Steady)
    }

    /// Says our end behind all that was sent. True when all has left and the connection may go.
    pub(super) fn say_end(&mut self, scratch: &mut Scratch, now: Now) -> Result<bool, Broken> {
        let Stage::Closing { linger, end, .. } = self.stage else {
            return Ok(false);
        };
        if end == End::Ahead {
            self.end_is(End::Said);
            if let Some(records) = &mut self.records {
                scratch.out.clear();
                records.close(&mut scratch.out);
                self.write(&scratch.out, now)?;
            }
        }
        if self.unsent_bytes() > 0 {
            return Ok(false);
        }
        // Once: who reads off a flood of connections that it has refused would else pay for this each time it looks.
        if end != End::Reached {
            self.end_is(End::Reached);
            self.socket.end();
        }
        Ok(!linger || self.ended)
    }

    fn end_is(&mut self, reached: End) {
        if let Stage::Closing { end, .. } = &mut self.stage {
            *end = reached;
        }
    }

    /// Keeps what was not consumed of `plain`, whose front `consumed` bytes were; gives the buffer back empty where it was the shard's.
    pub(super) fn keep(
        &mut self,
        mut plain: Vec<u8>,
        consumed: usize,
        lent: bool,
        now: Now,
    ) -> Option<Vec<u8>> {
        let rest = plain.len() - consumed;
        let back = if lent {
            self.plain = plain[consumed..].to_vec();
            plain.clear();
            Some(plain)
        } else if rest == 0 {
            None
        } else {
            plain.drain(..consumed);
            self.plain = plain;
            None
        };
        let waits_for_peer =
            self.hungry && (rest > 0 || self.skip > 0 || !self.sealed.is_empty() || !self.spoke);
        if !waits_for_peer {
            self.partial_since = None;
        } else if self.partial_since.is_none() || (consumed > 0 && self.spoke) {
            self.partial_since = Some(now);
        }
        back
    }

    /// Why it must be cut now, or when to ask again.
    pub(super) fn overdue(
        &self,
        limits: &ConnectionLimits,
        now: Now,
    ) -> Result<Option<Now>, Broken> {
        let (mut next, mut fault) = (None, None);
        let mut due = |since: Option<Now>, patience: Duration, why| {
            let Some(since) = since else { return };
            let at = since.after(patience);
            if at <= now {
                fault = Some(Broken(why));
            } else {
                next = Some(next.map_or(at, |next: Now| next.min(at)));
            }
        };
        match self.stage {
            Stage::Handshake => due(
                Some(self.accepted),
                limits.handshake,
                "TLS handshake not completed in time",
            ),
            Stage::Open => {
                if !self.behind {
                    let why = if self.spoke {
                        "message not completed in time"
                    } else {
                        "no message in time"
                    };
                    due(self.partial_since, limits.message, why);
                }
                let Broken(why) = Broken::NOTHING_READ;
                due(self.unread_since, limits.unread, why);
            }
            Stage::Closing { by, .. } => due(Some(by), Duration::ZERO, "closed"),
        }
        fault.map_or(Ok(next), Err)
    }
}
