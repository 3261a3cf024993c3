//! Session tickets (RFC 8446 §4.6.1) that were put by, for the next connections of the run, whoever's they are.
//!
//! The server's work is the same whose ticket it is, since its tickets name no user; so a run needs no ticket a client, but as
//! many as there are logons at once. Each is used once.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// About 1.5 KiB each. More logons than these at once make full handshakes.
const TICKETS_MAX: usize = 16_384;

/// The newest tickets of all threads.
pub struct Tickets {
    waiting: Arc<Mutex<VecDeque<Tls13ClientSessionValue>>>,
    takes: bool,
}

impl Tickets {
    /// For connections that put their tickets by and resume with those that they find.
    pub fn new() -> Tickets {
        Tickets {
            waiting: Arc::default(),
            takes: true,
        }
    }

    /// The same tickets for connections that put theirs by and take none: full handshakes, after which many can resume at once.
    pub fn giver(&self) -> Tickets {
        Tickets {
            waiting: Arc::clone(&self.waiting),
            takes: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        // What a thread that panicked left is whole: it pushed, popped, or did not.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tickets", self.lock().len())
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _server_name: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _server_name: &ServerName<'_>) -> Option<NamedGroup> {
        None // We have one group only.
    }

    // Sessions of TLS 1.2 are not kept: a server that has no 1.3 is asked for full handshakes.
    fn set_tls12_session(
        &self,
        _server_name: ServerName<'static>,
        _value: Tls12ClientSessionValue,
    ) {
    }

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {}

    fn insert_tls13_ticket(
        &self,
        _server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        let mut tickets = self.lock();
        if tickets.len() == TICKETS_MAX {
            tickets.pop_front();
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(
        &self,
        _server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.takes.then(|| self.lock().pop_front()).flatten()
    }
}
