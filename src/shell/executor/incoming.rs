//! From a readable socket to the core: reads, lets TLS open, cuts whole messages, and hands each over, up to a bound a turn.

use std::net::SocketAddr;

use crate::shard::Core;
use crate::shard::input::Input;
use crate::shell::connection::{Connection, Stage};
use crate::shell::executor::Executor;
use crate::shell::socket::Ready;
use crate::sip::frame::{self, Cut};
use crate::sip::link::ConnectionId;
use crate::sip::message::{Blank, Malformed, Message};

/// Work on sockets in a turn, in messages.
const TURN_WORK_MAX: usize = 1_024;
/// Steps of TLS handshakes in a turn, over all shards of a core: a millisecond, which is what a storm of logons adds to the way of
/// a message. Also a core's turn full of messages leaves them so many, so that nobody waits for ever.
const TURN_HANDSHAKES_MAX: usize = 8;
/// Messages of one connection in a turn: a flood waits for everybody else.
const CONNECTION_MESSAGES_MAX: usize = 32;

impl<C: Core> Executor<C> {
    pub(super) fn take_ready(&mut self) {
        let (table, queue, knocking) = (&mut self.table, &mut self.queue, &mut self.knocking);
        let handshakes = &mut self.handshakes;
        knocking.clear();
        self.set.take(|ready| match ready {
            Ready::Listener(index) => knocking.push(index),
            Ready::Connection {
                connection: id,
                readable,
                writable,
                ended,
            } => {
                let Some(connection) = table.get_mut(id) else {
                    return;
                };
                connection.readable |= readable;
                connection.writable |= writable;
                connection.ending |= ended;
                let shakes_hands = connection.stage == Stage::Handshake;
                // Room to write alone is of no use to who has nothing to say.
                let idle = shakes_hands && !readable && connection.unsent_bytes() == 0;
                if !idle && !core::mem::replace(&mut connection.queued, true) {
                    if shakes_hands {
                        &mut *handshakes
                    } else {
                        &mut *queue
                    }
                    .push_back(id);
                }
            }
        });
    }

    /// Puts a connection into the queue of those that are served.
    pub(in crate::shell) fn enqueue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id)
            && !core::mem::replace(&mut connection.queued, true)
        {
            match connection.stage {
                Stage::Handshake => self.handshakes.push_back(id),
                _ => self.queue.push_back(id),
            }
        }
    }

    /// Serves who is in first, and then some of those who want to come in: a handshake costs as much as ten messages, so in one
    /// queue a storm of logons would stand before every message.
    pub(super) fn serve(&mut self) {
        self.serve_queue();
        if self.handshakes.is_empty() {
            return;
        }
        // What has been said to those who are in does not wait for the others either.
        self.flush();
        for _ in 0..self.handshakes_max().min(self.handshakes.len()) {
            if self.is_pressed() {
                return;
            }
            let Some(id) = self.handshakes.pop_front() else {
                break;
            };
            if let Some(connection) = self.table.get_mut(id) {
                connection.queued = false;
                if connection.is_deserted() {
                    self.drop_connection(id, "peer gone before its handshake");
                } else {
                    self.serve_one(id);
                }
            }
        }
    }

    /// Steps of handshakes that this shard does in a turn.
    pub(in crate::shell) fn handshakes_max(&self) -> usize {
        (TURN_HANDSHAKES_MAX / self.equipment.sharing).max(1)
    }

    fn serve_queue(&mut self) {
        let mut work = 0;
        for _ in 0..self.queue.len() {
            if work >= TURN_WORK_MAX || self.is_pressed() {
                return;
            }
            let Some(id) = self.queue.pop_front() else {
                break;
            };
            if let Some(connection) = self.table.get_mut(id) {
                connection.queued = false;
                work += self.serve_one(id);
            }
        }
        self.waiting.served_all();
    }

    /// Sends what waits on a connection, reads it once, and handles what it has, up to a bound. Answers with the work done.
    fn serve_one(&mut self, id: ConnectionId) -> usize {
        let Some(connection) = self.table.get_mut(id) else {
            return 0;
        };
        if connection.unsent_bytes() > 0 && connection.writable {
            if !self.send_rest(id) {
                return 1;
            }
            self.look_at_flow(id);
        }
        let Some(connection) = self.table.get_mut(id) else {
            return 0;
        };
        if let Stage::Closing { .. } = connection.stage {
            self.read_off(id);
            return 1;
        }
        if !connection.takes_input() {
            return 1;
        }
        // What is kept comes first; the socket is read only when that is not enough for a message.
        let lent = connection.plain.is_empty();
        let mut plain = if lent {
            core::mem::take(&mut self.plain)
        } else {
            core::mem::take(&mut connection.plain)
        };
        let (mut at, mut work) = (0, 0);
        let mut stay = connection.hungry || self.cut(id, &mut plain, &mut at, &mut work);
        let Some(connection) = self.table.get_mut(id) else {
            return work;
        };
        if stay && connection.hungry && connection.readable && connection.takes_input() {
            match connection.read(&mut plain, &mut self.scratch, self.now) {
                Ok(taken) => {
                    self.telemetry.counters.bytes_in += taken.bytes as u64;
                    self.telemetry.counters.bytes_out += taken.written as u64;
                    if taken.established {
                        self.established(id);
                    }
                    self.look_at_answer(id);
                    stay = self.cut(id, &mut plain, &mut at, &mut work);
                }
                Err(broken) => {
                    if lent {
                        plain.clear();
                        self.plain = plain;
                    }
                    return work + self.drop_connection(id, broken.0);
                }
            }
        }
        self.leave(id, plain, at, lent, stay);
        work.max(1)
    }

    /// What was answered while reading (TLS does) waits for a peer that does not read as all output does.
    fn look_at_answer(&mut self, id: ConnectionId) {
        let waits = |connection: &mut Connection| connection.unsent_bytes() > 0;
        if self.table.get_mut(id).is_some_and(waits) {
            self.look_at_flow(id);
        }
    }

    /// Puts a connection's bytes back where they belong after it was served.
    fn leave(&mut self, id: ConnectionId, mut plain: Vec<u8>, at: usize, lent: bool, stay: bool) {
        let now = self.now;
        if !stay && let Some(to) = self.adopted_by.take() {
            // The message at hand is not consumed: it goes in front.
            let rest = plain.split_off(at);
            if lent {
                plain.clear();
                self.plain = plain;
            }
            self.give_away(id, to, rest);
            return;
        }
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if let Some(back) = connection.keep(plain, at, lent, now) {
            self.plain = back;
        }
        if let Stage::Closing { .. } = connection.stage {
            connection.plain = Vec::new();
            return;
        }
        if connection.ended && connection.hungry {
            self.close(id, "peer closed", false);
            return;
        }
        let again = connection.takes_input() && (!connection.hungry || connection.readable);
        if let Ok(Some(at)) = connection.overdue(&self.equipment.limits, now) {
            self.table.look_at(id, at);
        }
        if again {
            self.enqueue(id);
        }
    }

    /// Cuts whole messages from `plain[*at..]` and gives each to the core. False when the connection leaves this shard.
    fn cut(
        &mut self,
        id: ConnectionId,
        plain: &mut [u8],
        at: &mut usize,
        work: &mut usize,
    ) -> bool {
        let limits = self.equipment.frame;
        for _ in 0..CONNECTION_MESSAGES_MAX {
            let Some(connection) = self.table.get_mut(id) else {
                return true;
            };
            if !connection.takes_input() {
                // Once it drains, what is there comes before what there may be.
                connection.hungry = false;
                return true;
            }
            let skipped = connection.skip.min(plain.len() - *at);
            connection.skip -= skipped;
            *at += skipped;
            let peer = connection.link.peer;
            connection.hungry = false;
            let bytes = plain.get_mut(*at..).unwrap_or_default();
            let mut blank = Blank::new();
            match frame::cut_into(bytes, &limits, &mut connection.frame, &mut blank) {
                Cut::Need(_) => {
                    connection.hungry = true;
                    return true;
                }
                Cut::Ping(count) => {
                    *at += count;
                    self.effects.send(id, |out| out.extend_from_slice(b"\r\n"));
                    self.carry_out();
                }
                Cut::Pong(count) => *at += count,
                Cut::Message { total, .. } => {
                    connection.spoke = true;
                    self.serving = Some(id);
                    match blank.fill(bytes.get_mut(..total).unwrap_or_default()) {
                        Ok(message) => {
                            message.set_source(peer);
                            self.give(Input::Message {
                                connection: id,
                                message,
                            });
                        }
                        Err(malformed) => self.refuse(id, peer, malformed),
                    }
                    self.serving = None;
                    if let Some(to) = self.adopted_by {
                        if self.has_seat(to) {
                            return false;
                        }
                        self.adopted_by = None;
                        self.stay(
                            id,
                            peer,
                            plain.get_mut(*at..*at + total).unwrap_or_default(),
                        );
                    }
                    // Where the connection moves, the other shard counts it.
                    self.telemetry.counters.messages_in += 1;
                    *at += total;
                }
                Cut::Refuse {
                    fault,
                    head,
                    resume,
                } => {
                    // Even with nothing to resume at: what follows is not looked at again.
                    let count = resume.unwrap_or(usize::MAX).min(bytes.len());
                    connection.skip = resume.map_or(usize::MAX, |resume| resume - count);
                    let head = bytes.get_mut(..head).unwrap_or_default();
                    self.refuse(id, peer, Malformed::refused(head, fault, resume.is_none()));
                    *at += count;
                    if resume.is_none() {
                        // The core has asked for it; in case it did not.
                        self.close(id, "framing lost", true);
                    }
                }
            }
            *work += 1;
        }
        true
    }

    /// Tells the core that a connection stays here with the message that was to move it: there is no room where it belongs.
    fn stay(&mut self, id: ConnectionId, peer: SocketAddr, bytes: &mut [u8]) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let link = connection.link;
        self.give(Input::Opened {
            connection: id,
            link,
        });
        // It was one a moment ago.
        if let Ok(mut message) = Message::parse(bytes) {
            message.set_source(peer);
            self.give(Input::NoRoom {
                connection: id,
                message: &message,
            });
        }
    }

    fn refuse(&mut self, connection: ConnectionId, peer: SocketAddr, mut malformed: Malformed<'_>) {
        self.telemetry.counters.frames_refused += 1;
        if let Some(partial) = &mut malformed.partial {
            partial.set_source(peer);
        }
        self.give(Input::Malformed {
            connection,
            malformed: &malformed,
        });
    }
}
