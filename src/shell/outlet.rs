//! A shard's way to a service thread: a bounded channel, and what did not fit in it yet.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

/// How long a shard that ends waits for room.
const LAST_WAIT: Duration = Duration::from_secs(5);
const GONE: &str = "a service thread lives until all shards have ended";

/// Keeps what a full channel does not take, in order; while it keeps anything its shard reads no sockets.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    thread: Sender<T>,
    kept: VecDeque<T>,
    /// What goes through, for the log.
    what: &'static str,
}

impl<T> Outlet<T> {
    pub(super) fn new(what: &'static str, thread: Sender<T>) -> Outlet<T> {
        Outlet {
            thread,
            kept: VecDeque::new(),
            what,
        }
    }

    /// Passes a thing on, or keeps it.
    pub(super) fn pass(&mut self, thing: T) {
        if !self.kept.is_empty() {
            self.kept.push_back(thing);
            return;
        }
        match self.thread.try_send(thing) {
            Ok(()) => {}
            Err(TrySendError::Full(thing)) => self.kept.push_back(thing),
            Err(TrySendError::Disconnected(_)) => panic!("{GONE}"),
        }
    }

    /// Passes on what was kept, as far as there is room.
    pub(super) fn flush(&mut self) {
        while let Some(thing) = self.kept.pop_front() {
            match self.thread.try_send(thing) {
                Ok(()) => {}
                Err(TrySendError::Full(thing)) => {
                    self.kept.push_front(thing);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => panic!("{GONE}"),
            }
        }
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Passes on all that is left, waiting for room. Only when the shard does nothing else any more.
    pub(super) fn finish(&mut self) {
        for thing in self.kept.drain(..) {
            if self.thread.send_timeout(thing, LAST_WAIT).is_err() {
                tracing::error!(
                    "{} are lost: nobody has taken any for {} s",
                    self.what,
                    LAST_WAIT.as_secs()
                );
                return;
            }
        }
    }
}
