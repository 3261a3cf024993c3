//! Where a shard's connections come from and go to: accepted from a listener, or moved from shard to shard.
//!
//! A connection moves as it is: descriptor, TLS state, bytes received and not consumed (the message at hand in front),
//! bytes not sent. On its socket no operation is ever in flight, reads and writes are done or not done when
//! they return, so there is nothing to cancel: it leaves the old shard's readiness set, and the new one reports whatever is there.
//!
//! Where each shard has a table of descriptors of its own, the descriptor goes ahead (`passage`), and only where there is a seat for it: a shard
//! whose table is full sends what it accepts on to another, and the core is told where its owner's is (`Input::NoRoom`).

use std::sync::atomic::Ordering;

use crate::shard::input::Input;
use crate::shard::overload::Class;
use crate::shard::{Core, ShardId};
use crate::shell::connection::{Connection, Stage};
use crate::shell::envelope::Envelope;
use crate::shell::executor::{ACCEPT_PAUSE, Executor};
use crate::shell::listener::{Accepted, Taken};
use crate::shell::passage::Passage;
use crate::shell::socket::Socket;
use crate::shell::telemetry::Timed;
use crate::sip::frame::FrameState;
use crate::sip::link::{ConnectionId, Link, Transport};
use crate::sip::time::Now;

/// Connections that are taken from a listener while so many turns of handshakes are ahead of them: the others wait where they
/// cost nothing, in the kernel's queue, and who gives up waiting there costs no handshake.
const TURNS_AHEAD: usize = 2;
/// Connections that a core takes in a tick while it sheds what begins: to shake hands with one and to tell it 503 takes about
/// 200 µs, so a fifth of its time. The others wait at the listener, whose queue the kernel bounds.
const CROWDED_ACCEPTS: usize = 100;
/// And of these in a turn, so that a turn is not long.
const CROWDED_ACCEPTS_TURN: usize = 8;

impl<C: Core> Executor<C> {
    /// Takes what waits at the listeners.
    pub(super) fn accept(&mut self) {
        let knocking = core::mem::take(&mut self.knocking);
        for &index in &knocking {
            for _ in 0..self.accepts_max() {
                if self.equipment.connections.load(Ordering::Relaxed)
                    >= self.equipment.connections_max
                {
                    self.pause_accepting(
                        "as many connections are open as may be; raise [limits] connections_max where it is set, else the limit of open files",
                    );
                    break;
                }
                if self
                    .equipment
                    .passage
                    .as_ref()
                    .is_some_and(|passage| !passage.has_room())
                {
                    self.pause_accepting(
                        "all tables of descriptors are full; more shards a core make more of them ([shards] per_core), \
                         or raise the limit of open files (LimitNOFILE=)",
                    );
                    break;
                }
                let Some(listener) = self.equipment.listeners.get(index) else {
                    break;
                };
                let transport = listener.transport;
                match listener.accept() {
                    Taken::Connection(accepted) => self.take_in(accepted, transport),
                    Taken::Gone => {}
                    Taken::None => break,
                    Taken::Exhausted(error) => {
                        self.pause_accepting(&error.to_string());
                        break;
                    }
                }
            }
        }
        if self.is_crowded() && self.accepts_max() == 0 {
            self.look_away(self.next_tick);
        }
        self.knocking = knocking;
    }

    /// Connections that may be taken from a listener now; none where those of this tick have been.
    fn accepts_max(&self) -> usize {
        if !self.is_crowded() {
            let ahead = TURNS_AHEAD * self.handshakes_max();
            return ahead.saturating_sub(self.handshakes.len());
        }
        let of_tick = (CROWDED_ACCEPTS / self.equipment.sharing).max(1);
        of_tick
            .saturating_sub(self.accepted)
            .min(CROWDED_ACCEPTS_TURN)
    }

    /// Is what begins being shed?
    fn is_crowded(&self) -> bool {
        self.telemetry.counters.overload_level > Class::Beginning as u64
    }

    fn take_in(&mut self, accepted: Accepted, transport: Transport) {
        let Accepted {
            socket,
            local,
            peer,
        } = accepted;
        let link = Link {
            transport,
            local,
            peer,
            moves: 0,
            failures: 0,
        };
        let tls = match transport {
            Transport::Tls => Some(self.equipment.tls.clone()),
            Transport::Tcp => None,
        };
        let connection = match Connection::new(Socket::new(socket), link, tls, self.now) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::error!(%error, "TLS refuses its settings; the connection is closed");
                return;
            }
        };
        self.equipment.connections.fetch_add(1, Ordering::Relaxed);
        self.telemetry.counters.connections_accepted += 1;
        self.accepted += 1;
        if let Some(passage) = &self.equipment.passage {
            let place = passage.place();
            if place != self.equipment.shard {
                return self.send_off(place, Box::new(connection));
            }
        }
        let open = connection.stage == Stage::Open;
        let Some(id) = self.settle(Box::new(connection)) else {
            return;
        };
        if open {
            self.give(Input::Opened {
                connection: id,
                link,
            });
        }
    }

    /// Gives a connection a place in the table and in the readiness set. One that is to shake hands, and not in this turn, waits for
    /// what the set reports: that there is something to read, and that the peer has not given up meanwhile.
    fn settle(&mut self, connection: Box<Connection>) -> Option<ConnectionId> {
        let is_next = self.handshakes.len() < self.handshakes_max();
        let due = connection.overdue(&self.equipment.limits, self.now);
        let id = self.table.insert(connection);
        if let Ok(Some(at)) = due {
            self.table.look_at(id, at);
        }
        let connection = self.table.get_mut(id)?;
        if let Err(error) = self.set.add(&connection.socket, id) {
            // Out of memory, or of `fs.epoll.max_user_watches`.
            tracing::warn!(%error, "a connection cannot be watched and is closed; raise fs.epoll.max_user_watches");
            connection.stage = Stage::Handshake;
            self.drop_connection(id, "cannot be watched");
            return None;
        }
        if connection.stage != Stage::Handshake || is_next {
            self.enqueue(id);
        }
        Some(id)
    }

    fn pause_accepting(&mut self, why: &str) {
        if self.accepting_again.is_none() {
            self.telemetry.counters.accept_pauses += 1;
            if self.telemetry.counters.accept_pauses.is_power_of_two() {
                tracing::warn!(
                    shard = self.equipment.shard.0,
                    pauses = self.telemetry.counters.accept_pauses,
                    "not accepting for a moment: {why}"
                );
            }
            self.look_away(self.now.after(ACCEPT_PAUSE));
        }
    }

    /// Does not look at the listeners for some time. They stay readable all the time, so watched they would be reported again and
    /// again.
    fn look_away(&mut self, until: Now) {
        if self.accepting_again.is_none() {
            for listener in &self.equipment.listeners {
                self.set.remove(listener);
            }
        }
        self.accepting_again = self.accepting_again.max(Some(until));
    }

    /// Ends a pause whose time is over.
    pub(super) fn accept_again(&mut self) {
        if self.accepting_again.is_some_and(|at| at <= self.now) {
            self.accepting_again = None;
            self.watch_listeners();
        }
    }

    /// Begins to look at the listeners.
    pub(super) fn watch_listeners(&mut self) {
        for (index, listener) in self.equipment.listeners.iter().enumerate() {
            if let Err(error) = self.set.add_listener(listener, index) {
                tracing::warn!(%error, "a listener cannot be watched now; tried again soon");
                self.accepting_again = Some(self.now.after(ACCEPT_PAUSE));
            }
        }
    }

    /// The TLS handshake is complete: now the core may know, and what ends it leaves with this turn's output.
    pub(super) fn established(&mut self, id: ConnectionId) {
        self.mark_dirty(id);
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let (link, accepted) = (connection.link, connection.accepted);
        self.telemetry.counters.handshakes_done += 1;
        self.telemetry.record(
            Timed::TlsHandshake,
            self.equipment.clock.now().since(accepted),
        );
        self.give(Input::Opened {
            connection: id,
            link,
        });
    }

    /// Takes a seat for a connection in another shard's table; true also where all share one table.
    pub(super) fn has_seat(&self, to: ShardId) -> bool {
        let passage = self.equipment.passage.as_ref();
        passage.is_none_or(|passage| passage.take_seat(to))
    }

    /// Sends a connection to another shard, with `rest` as what it received and has not consumed. A seat was taken for it there.
    pub(super) fn give_away(&mut self, id: ConnectionId, to: ShardId, rest: Vec<u8>) {
        // What the core said on it before goes first, in order.
        self.flush_connection(id);
        if self
            .table
            .get_mut(id)
            .is_none_or(|connection| connection.stage != Stage::Open)
        {
            if let Some(passage) = &self.equipment.passage {
                passage.return_seat(to);
            }
            return;
        }
        let Some(mut connection) = self.table.remove(id) else {
            return;
        };
        self.set.remove(&connection.socket);
        connection.leave();
        connection.plain = rest;
        connection.frame = FrameState::default();
        connection.hungry = false;
        connection.queued = false;
        connection.dirty = false;
        connection.link.moves = connection.link.moves.saturating_add(1);
        self.send_off(to, connection);
    }

    fn send_off(&mut self, to: ShardId, connection: Box<Connection>) {
        let posted = self.equipment.clock.now();
        let ticket = None;
        self.post(
            to,
            Envelope::Adopted {
                posted,
                connection,
                ticket,
            },
        );
    }

    /// Takes in a connection from another shard.
    pub(super) fn arrive(&mut self, mut connection: Box<Connection>, ticket: Option<u64>) {
        self.telemetry.counters.connections_adopted += 1;
        if let (Some(ticket), Some(passage)) = (ticket, &mut self.equipment.passage) {
            let Some(descriptor) = passage.receive(ticket) else {
                // The seats are counted so that this cannot be.
                tracing::error!(peer = %connection.link.peer, "a connection's descriptor was lost between two shards");
                passage.leave_seat();
                self.equipment.connections.fetch_sub(1, Ordering::Relaxed);
                return;
            };
            connection.socket = Socket::new(descriptor);
        }
        // The new set reports what is there; until it does, a try costs one call.
        connection.readable = true;
        connection.writable = true;
        let (link, behind, open) = (
            connection.link,
            connection.behind,
            connection.stage == Stage::Open,
        );
        let Some(id) = self.settle(connection) else {
            return;
        };
        if open {
            self.give(Input::Opened {
                connection: id,
                link,
            });
            if behind {
                self.give(Input::Behind { connection: id });
            }
        }
    }
}

/// Whether an envelope may go into the mailbox of shard `to`: one with a connection only once its descriptor has gone ahead.
pub(super) fn sets_out(
    passage: &mut Option<Passage>,
    to: ShardId,
    envelope: &mut Envelope,
) -> bool {
    let (
        Some(passage),
        Envelope::Adopted {
            connection,
            ticket: ticket @ None,
            ..
        },
    ) = (passage, envelope)
    else {
        return true;
    };
    let Some(descriptor) = connection.socket.take() else {
        return true;
    };
    match passage.send(to, descriptor) {
        Ok(given) => {
            *ticket = Some(given);
            true
        }
        Err(back) => {
            connection.socket = Socket::new(back);
            false
        }
    }
}
