//! From the core's effects to the sockets: each is carried out where it stands, output is chained by connection and flushed once,
//! and closes are brought to their end.

use std::sync::atomic::Ordering;

use crate::shard::effect::Effect;
use crate::shard::input::Input;
use crate::shard::{Core, ShardId};
use crate::shell::adoption::sets_out;
use crate::shell::connection::{Broken, End, Flow, NO_SEND, Stage};
use crate::shell::envelope::Envelope;
use crate::shell::executor::{Executor, Happened, Send};
use crate::sip::link::ConnectionId;

/// More output than this in a turn is flushed before the next input: some hundred messages, and what a core's cache holds. A
/// shard keeps the room for twice of that, so it is also what a burst leaves behind in each.
const ARENA_BYTES_MAX: usize = 512 << 10;

impl<C: Core> Executor<C> {
    /// Gives one input to the core and carries out what it asks for.
    pub(in crate::shell) fn give(&mut self, input: Input<'_>) {
        self.inputs += 1;
        self.core.handle(self.now, input, &mut self.effects);
        self.carry_out();
    }

    pub(super) fn carry_out(&mut self) {
        let mut list = core::mem::take(&mut self.effects.list);
        for effect in list.drain(..) {
            match effect {
                Effect::Send {
                    connection, range, ..
                } => self.chain(connection, range),
                Effect::Close { connection, reason } => self.close(connection, reason, true),
                Effect::Adopt {
                    connection,
                    to,
                    failures,
                } => self.adopt(connection, to, failures),
                Effect::Post { to, letter } if to == self.equipment.shard => {
                    self.to_self.push_back(letter)
                }
                Effect::Post { to, letter } => {
                    self.telemetry.counters.letters_out += 1;
                    let posted = self.equipment.clock.now();
                    self.post(to, Envelope::Letter { posted, letter });
                }
                Effect::Record(event) => self.equipment.recorder.pass(event),
                Effect::Keep { ticket, change } => self.equipment.keeper.pass((ticket, change)),
                Effect::Observe { latency, since } => self.observed.push((latency.into(), since)),
                Effect::Shed(class) => self.telemetry.counters.shed[class as usize] += 1,
                Effect::Level(level) => self.overloaded(level),
                Effect::Count {
                    method,
                    status,
                    ours,
                } => self.telemetry.count_answer(method, status, ours),
            }
        }
        self.effects.list = list;
        if self.effects.bytes.len() > ARENA_BYTES_MAX {
            self.flush();
        }
    }

    fn adopt(&mut self, id: ConnectionId, to: ShardId, failures: u8) {
        // Also for one that finds no room there and opens here again.
        if let Some(connection) = self.table.get_mut(id) {
            connection.link.failures = failures;
        }
        if self.serving == Some(id) {
            self.adopted_by = Some(to);
        } else if self.has_seat(to) {
            let rest = self
                .table
                .get_mut(id)
                .map(|connection| core::mem::take(&mut connection.plain));
            self.give_away(id, to, rest.unwrap_or_default());
        } else {
            self.close(id, "no room on the shard it belongs to", true);
        }
    }

    /// The core sheds more or less than before: the operator hears when it begins and when it is over.
    fn overloaded(&mut self, level: u8) {
        let before = core::mem::replace(
            &mut self.telemetry.counters.overload_level,
            u64::from(level),
        );
        let shard = self.equipment.shard.0;
        match (before, level) {
            (0, _) => tracing::warn!(shard, "overloaded: some of what comes in is shed"),
            (_, 0) => tracing::info!(shard, "overloaded no longer"),
            _ => tracing::debug!(shard, level, "overloaded"),
        }
    }

    /// Puts an envelope into another shard's mailbox, or keeps it until there is room.
    pub(in crate::shell) fn post(&mut self, to: ShardId, envelope: Envelope) {
        let index = usize::from(to.0);
        let passage = &mut self.equipment.passage;
        self.outboxes[index].post_when(&self.equipment.mailboxes[index], envelope, |envelope| {
            sets_out(passage, to, envelope)
        });
    }

    /// Passes on what waits for other shards, as far as there is room.
    pub(super) fn flush_outboxes(&mut self) {
        let passage = &mut self.equipment.passage;
        for ((outbox, mailbox), to) in self
            .outboxes
            .iter_mut()
            .zip(self.equipment.mailboxes.iter())
            .zip(0..)
        {
            outbox.flush_when(mailbox, |envelope| sets_out(passage, ShardId(to), envelope));
        }
    }

    /// Chains a piece of output to those of its connection.
    fn chain(&mut self, id: ConnectionId, range: core::ops::Range<usize>) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.stage != Stage::Open {
            return;
        }
        let index = u32::try_from(self.sends.len()).expect("the arena is flushed long before");
        self.sends.push(Send {
            range,
            next: NO_SEND,
        });
        let (first, last) = &mut connection.sends;
        if *first == NO_SEND {
            *first = index;
        } else {
            self.sends[*last as usize].next = index;
        }
        *last = index;
        if !core::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Hands all output of the turn to the sockets.
    pub(super) fn flush(&mut self) {
        let mut dirty = core::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.flush_connection(id);
        }
        // What has come to be closed meanwhile is for the next turn.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        self.sends.clear();
        self.effects.bytes.clear();
        self.effects.bytes.shrink_to(2 * ARENA_BYTES_MAX);
        if !self.observed.is_empty() {
            let flushed = self.equipment.clock.now();
            for (timed, since) in self.observed.drain(..) {
                self.telemetry.record(timed, flushed.since(since));
            }
        }
    }

    /// Hands a connection's output of this turn to its socket, at once where all is one piece.
    pub(in crate::shell) fn flush_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.dirty = false;
        let (mut next, _) = core::mem::replace(&mut connection.sends, (NO_SEND, NO_SEND));
        if let Some(send) = self.sends.get(next as usize) {
            let piece = if send.next == NO_SEND {
                &self.effects.bytes[send.range.clone()]
            } else {
                self.join.clear();
                while let Some(send) = self.sends.get(next as usize) {
                    self.join
                        .extend_from_slice(&self.effects.bytes[send.range.clone()]);
                    next = send.next;
                }
                self.join.shrink_to(ARENA_BYTES_MAX);
                &self.join
            };
            match connection.send(piece, &mut self.scratch, self.now) {
                Ok(written) => self.telemetry.counters.bytes_out += written as u64,
                Err(broken) => {
                    self.drop_connection(id, broken.0);
                    return;
                }
            }
        }
        if connection.unsent_bytes() > 0 && connection.writable && !self.send_rest(id) {
            return;
        }
        self.look_at_flow(id);
        self.say_end(id);
    }

    /// Sends what waits on a connection, as far as it goes; false when that was its end.
    pub(super) fn send_rest(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.table.get_mut(id) else {
            return false;
        };
        match connection.send_rest(self.now) {
            Ok(written) => {
                self.telemetry.counters.bytes_out += written as u64;
                true
            }
            Err(broken) => {
                self.drop_connection(id, broken.0);
                false
            }
        }
    }

    /// Tells the core when a connection's output crossed a mark, and closes one that is past help.
    pub(super) fn look_at_flow(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.stage != Stage::Open {
            return;
        }
        match connection.flow(&self.equipment.limits, self.now) {
            Ok(Flow::Steady) => {}
            Ok(Flow::Behind) => {
                self.telemetry.counters.peers_behind += 1;
                self.happened.push_back(Happened::Behind(id));
            }
            Ok(Flow::Drained) => {
                self.happened.push_back(Happened::Drained(id));
                self.enqueue(id);
            }
            Err(broken) => {
                self.count_cut(id, broken);
                self.drop_connection(id, broken.0);
                return;
            }
        }
        if let Some(connection) = self.table.get_mut(id)
            && connection.unsent_bytes() > 0
        {
            let at = self.now.after(self.equipment.limits.unread);
            self.table.look_at(id, at);
        }
    }

    /// Counts a connection that is cut because of a limit; of one that reads too slowly the operator hears why.
    pub(super) fn count_cut(&mut self, id: ConnectionId, broken: Broken) {
        self.telemetry.counters.connections_cut += 1;
        if !broken.is_slow_reader() {
            return;
        }
        self.telemetry.counters.slow_readers_cut += 1;
        if let Some(connection) = self.table.get_mut(id) {
            let (peer, unsent_bytes) = (connection.link.peer, connection.unsent_bytes());
            tracing::info!(%peer, unsent_bytes, reason = broken.0, "slow reader cut");
        }
    }

    /// Closes a connection after what was sent before has left. With `linger`, what the peer still sends is read off first.
    pub(in crate::shell) fn close(&mut self, id: ConnectionId, reason: &'static str, linger: bool) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if let Stage::Closing { .. } = connection.stage {
            return;
        }
        tracing::debug!(connection = id.0, peer = %connection.link.peer, reason, "closing");
        let by = self.now.after(self.equipment.limits.close);
        let known = connection.stage == Stage::Open;
        if !known {
            self.telemetry.counters.handshakes_failed += 1;
        }
        connection.stage = Stage::Closing {
            by,
            known,
            linger: linger && !connection.ended,
            end: End::Ahead,
        };
        connection.readable = true;
        self.table.look_at(id, by);
        self.mark_dirty(id);
    }

    /// The connection has something to send or to say at the end of this turn.
    pub(in crate::shell) fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id)
            && !core::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Goes on with a close.
    fn say_end(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        match connection.say_end(&mut self.scratch, self.now) {
            Ok(false) => {}
            Ok(true) => {
                self.drop_connection(id, "closed");
            }
            Err(broken) => {
                self.drop_connection(id, broken.0);
            }
        }
    }

    pub(super) fn read_off(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.readable {
            match connection.read_off(&mut self.scratch) {
                Ok(count) => self.telemetry.counters.bytes_in += count as u64,
                Err(broken) => {
                    self.drop_connection(id, broken.0);
                    return;
                }
            }
        }
        self.say_end(id);
        if let Some(connection) = self.table.get_mut(id)
            && connection.readable
            && !connection.ended
        {
            self.enqueue(id);
        }
    }

    /// Lets go of a connection at once. The core hears of it if it knew it.
    pub(in crate::shell) fn drop_connection(
        &mut self,
        id: ConnectionId,
        reason: &'static str,
    ) -> usize {
        let Some(connection) = self.table.remove(id) else {
            return 0;
        };
        let known = match connection.stage {
            Stage::Handshake => {
                self.telemetry.counters.handshakes_failed += 1;
                false
            }
            Stage::Open => true,
            Stage::Closing { known, .. } => known,
        };
        tracing::debug!(connection = id.0, peer = %connection.link.peer, reason, "closed");
        if known {
            self.happened.push_back(Happened::Closed(id));
        }
        self.equipment.connections.fetch_sub(1, Ordering::Relaxed);
        drop(connection);
        if let Some(passage) = &self.equipment.passage {
            passage.leave_seat();
        }
        1
    }
}
