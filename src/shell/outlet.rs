//! A shard's way to a service thread: a bounded channel, and what did not fit in it yet.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

/// How long a shard that ends waits for room.
const LAST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });
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

    /// Passes on all that is left, waiting for room; how many things nobody has taken, and are lost. Only when the shard does nothing
    /// else any more.
    pub(super) fn finish(&mut self) -> usize {
        while let Some(thing) = self.kept.pop_front() {
            if self.thread.send_timeout(thing, LAST_WAIT).is_err() {
                let lost = 1 + core::mem::take(&mut self.kept).len();
                tracing::error!(
                    "{lost} {} are lost: nobody has taken any for {LAST_WAIT:?}",
                    self.what
                );
                return lost;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn what_nobody_takes_at_the_end_is_counted() {
        let (sender, receiver) = bounded(2);
        let mut outlet = Outlet::new("things", sender);
        (0..6).for_each(|thing| outlet.pass(thing));
        assert_eq!(receiver.recv(), Ok(0));
        // One more has room, then nobody takes any.
        assert_eq!(outlet.finish(), 3);
        assert!(outlet.is_empty());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
        outlet.pass(7);
        assert_eq!(outlet.finish(), 0);
    }
}
