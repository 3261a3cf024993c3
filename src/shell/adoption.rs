//! Where a shard's connections come from and go to: accepted from a listener, or moved from shard to shard.
//!
//! A connection moves as it is: descriptor, TLS state, bytes received and not consumed (the message at hand in front),
//! bytes not sent. On its socket no operation is ever in flight, reads and writes are done or not done when
//! they return, so there is nothing to cancel: it leaves the old shard's readiness set, and the new one reports whatever is there.

use std::sync::atomic::Ordering;

use crate::shard::input::Input;
use crate::shard::{Core, ShardId};
use crate::shell::connection::{Connection, Stage};
use crate::shell::envelope::Envelope;
use crate::shell::executor::{ACCEPT_PAUSE, Executor};
use crate::shell::listener::{Accepted, Taken};
use crate::shell::socket::Socket;
use crate::shell::telemetry::Timed;
use crate::sip::frame::FrameState;
use crate::sip::link::{ConnectionId, Link, Transport};

/// Connections taken from one listener in a turn.
const ACCEPTS_MAX: usize = 64;

impl<C: Core> Executor<C> {
    /// Takes what waits at the listeners.
    pub(super) fn accept(&mut self) {
        let knocking = core::mem::take(&mut self.knocking);
        for &index in &knocking {
            for _ in 0..ACCEPTS_MAX {
                if self.equipment.connections.load(Ordering::Relaxed)
                    >= self.equipment.connections_max
                {
                    self.pause_accepting(
                        "as many connections are open as may be; raise the limit of open files",
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
        self.knocking = knocking;
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

    /// Gives a connection a place in the table and in the readiness set.
    fn settle(&mut self, connection: Box<Connection>) -> Option<ConnectionId> {
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
        self.enqueue(id);
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
            // They stay readable all the time, so watched they would be reported again and again.
            for listener in &self.equipment.listeners {
                self.set.remove(listener);
            }
            self.accepting_again = Some(self.now.after(ACCEPT_PAUSE));
        }
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

    /// The TLS handshake is complete: now the core may know.
    pub(super) fn established(&mut self, id: ConnectionId) {
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

    /// Sends a connection to another shard, with `rest` as what it received and has not consumed.
    pub(super) fn give_away(&mut self, id: ConnectionId, to: ShardId, rest: Vec<u8>) {
        // What the core said on it before goes first, in order.
        self.flush_connection(id);
        if self
            .table
            .get_mut(id)
            .is_none_or(|connection| connection.stage != Stage::Open)
        {
            return;
        }
        let Some(mut connection) = self.table.remove(id) else {
            return;
        };
        self.set.remove(&connection.socket);
        connection.plain = rest;
        connection.frame = FrameState::default();
        connection.hungry = false;
        connection.queued = false;
        connection.dirty = false;
        connection.link.moves = connection.link.moves.saturating_add(1);
        let posted = self.equipment.clock.now();
        self.post(to, Envelope::Adopted { posted, connection });
    }

    /// Takes in a connection from another shard.
    pub(super) fn arrive(&mut self, mut connection: Box<Connection>) {
        self.telemetry.counters.connections_adopted += 1;
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
