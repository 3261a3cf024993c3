//! A shard's way to the call detail records: a bounded channel to the service thread, and what did not fit in it yet.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

use crate::shard::cdr_event::CdrEvent;

/// How long a shard that ends waits for room.
const LAST_EVENTS: Duration = Duration::from_secs(5);
const GONE: &str = "the CDR writer lives until all shards have ended";

/// Keeps what a full channel does not take, in order; while it keeps anything its shard reads no sockets.
#[derive(Debug)]
pub(super) struct Recorder {
    writer: Sender<CdrEvent>,
    kept: VecDeque<CdrEvent>,
}

impl Recorder {
    pub(super) fn new(writer: Sender<CdrEvent>) -> Recorder {
        Recorder {
            writer,
            kept: VecDeque::new(),
        }
    }

    /// Passes an event on, or keeps it.
    pub(super) fn record(&mut self, event: CdrEvent) {
        if !self.kept.is_empty() {
            self.kept.push_back(event);
            return;
        }
        match self.writer.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Full(event)) => self.kept.push_back(event),
            Err(TrySendError::Disconnected(_)) => panic!("{GONE}"),
        }
    }

    /// Passes on what was kept, as far as there is room.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.kept.pop_front() {
            match self.writer.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.kept.push_front(event);
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
        for event in self.kept.drain(..) {
            if self.writer.send_timeout(event, LAST_EVENTS).is_err() {
                tracing::error!(
                    "call detail records are lost: the writer has not taken any for {} s",
                    LAST_EVENTS.as_secs()
                );
                return;
            }
        }
    }
}
