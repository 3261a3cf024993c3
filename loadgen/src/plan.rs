//! The mix: who does what, at which of the schedule's instants.
//!
//! Everything follows from numbers: the n-th message has its sender, its sequence and its receiver, so a receiver can
//! tell whether a message was meant for it without having been told, and threads need not speak with each other.

use std::ops::Range;

use crate::pace::{Arrivals, Due, Pace};
use crate::user::Task;

/// Which users play which part; all ranges are of user indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// All users of the run: 0 up to this.
    pub users: u32,
    pub senders: Range<u32>,
    /// To whom the senders send, in turn. The same range as `senders`: each sends to all the others.
    pub receivers: Range<u32>,
    pub publishers: Range<u32>,
    /// Each watches every publisher.
    pub watchers: Range<u32>,
    /// Who logs on and off while the rest works; not online before.
    pub comers: Range<u32>,
}

impl Parts {
    /// Users that are online before the measuring begins.
    pub fn is_resident(&self, index: u32) -> bool {
        !self.comers.contains(&index)
    }

    /// Who gets the message with this sequence of this sender.
    pub fn receiver(&self, sender: u32, sequence: u32) -> u32 {
        if self.senders == self.receivers {
            let (count, at) = (count(&self.senders), u64::from(sender - self.senders.start));
            let step = 1 + u64::from(sequence) % u64::from(count - 1).max(1);
            return self.senders.start + ((at + step) % u64::from(count)) as u32;
        }
        let number = u64::from(sequence) * u64::from(count(&self.senders))
            + u64::from(sender - self.senders.start);
        self.receivers.start + (number % u64::from(count(&self.receivers))) as u32
    }
}

fn count(range: &Range<u32>) -> u32 {
    range.end - range.start
}

/// Operations a second, of each kind; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub message: f64,
    pub publish: f64,
    pub logon: f64,
}

/// Operations already planned of each kind, so that sequences go on where an earlier plan ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    message: u64,
    publish: u64,
    logon: u64,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub user: u32,
    pub intended_us: u64,
    pub deed: Deed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Ask(Task),
    /// Connect and register; first disconnect, if online.
    LogOn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Publish,
    LogOn,
}

struct Stream {
    kind: Kind,
    pace: Pace,
    /// Operations of this kind before this plan.
    before: u64,
}

/// A schedule with its operations, as one thread sees it.
pub struct Plan {
    parts: Parts,
    streams: Vec<Stream>,
    /// This thread, and how many there are: it does the operations of users whose index leaves this remainder.
    share: (u32, u32),
}

impl Plan {
    /// Operations from `start_us` on for `seconds`. All threads must make the same plan, with their own share.
    pub fn new(
        parts: &Parts,
        rates: Rates,
        seconds: f64,
        arrivals: Arrivals,
        start_us: u64,
        done: &mut Done,
        share: (u32, u32),
    ) -> Plan {
        let mut streams = Vec::new();
        let kinds = [
            (Kind::Message, rates.message, &mut done.message),
            (Kind::Publish, rates.publish, &mut done.publish),
            (Kind::LogOn, rates.logon, &mut done.logon),
        ];
        for (kind, rate, before) in kinds {
            let operations = (rate * seconds).round() as u64;
            if operations > 0 {
                let pace = Pace::new(start_us, rate, operations, arrivals);
                streams.push(Stream {
                    kind,
                    pace,
                    before: *before,
                });
                *before += operations;
            }
        }
        Plan {
            parts: parts.clone(),
            streams,
            share,
        }
    }

    /// When the next operation of this thread is due; `None` when all is done.
    pub fn next_us(&mut self) -> Option<u64> {
        self.next().map(|(_, operation)| operation.intended_us)
    }

    /// The next operation of this thread that is due by `now_us`.
    pub fn take(&mut self, now_us: u64) -> Option<Operation> {
        let (at, operation) = self.next()?;
        if operation.intended_us > now_us {
            return None;
        }
        self.streams[at].pace.advance();
        Some(operation)
    }

    /// The next operation of this thread, and its stream. The others' are passed over, so a thread wakes for its own only.
    fn next(&mut self) -> Option<(usize, Operation)> {
        loop {
            let (at, due) = self
                .streams
                .iter()
                .enumerate()
                .filter_map(|(at, stream)| Some((at, stream.pace.peek()?)))
                .min_by_key(|(_, due)| due.intended_us)?;
            let operation = self.operation(&self.streams[at], due);
            if operation.user % self.share.1 == self.share.0 {
                return Some((at, operation));
            }
            self.streams[at].pace.advance();
        }
    }

    fn operation(&self, stream: &Stream, due: Due) -> Operation {
        let number = stream.before + due.number;
        let turn = |range: &Range<u32>| {
            let of = u64::from(count(range));
            // The command line bounds the number of operations, so a sequence fits.
            (
                range.start + (number % of) as u32,
                u32::try_from(number / of).unwrap_or(u32::MAX),
            )
        };
        let parts = &self.parts;
        let (user, deed) = match stream.kind {
            Kind::Message => {
                let (sender, sequence) = turn(&parts.senders);
                let receiver = parts.receiver(sender, sequence);
                (sender, Deed::Ask(Task::Message { receiver, sequence }))
            }
            Kind::Publish => {
                let (publisher, turn) = turn(&parts.publishers);
                // 0 is the state published before anyone watches.
                (
                    publisher,
                    Deed::Ask(Task::Publish {
                        sequence: turn.saturating_add(1),
                    }),
                )
            }
            Kind::LogOn => (turn(&parts.comers).0, Deed::LogOn),
        };
        Operation {
            user,
            intended_us: due.intended_us,
            deed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn parts() -> Parts {
        Parts {
            users: 20,
            senders: 0..4,
            receivers: 4..17,
            publishers: 0..2,
            watchers: 5..9,
            comers: 17..20,
        }
    }

    #[test]
    fn each_message_is_taken_by_one_thread_and_known_to_its_receiver() {
        let rates = Rates {
            message: 100.0,
            publish: 10.0,
            logon: 5.0,
        };
        let mut sequences: HashMap<u32, u32> = HashMap::new();
        let mut counts = [0; 3];
        for share in [(0, 3), (1, 3), (2, 3)] {
            let mut plan = Plan::new(
                &parts(),
                rates,
                2.0,
                Arrivals::Even,
                0,
                &mut Done::default(),
                share,
            );
            while let Some(operation) = plan.take(u64::MAX) {
                assert_eq!(operation.user % 3, share.0);
                match operation.deed {
                    Deed::Ask(Task::Message { receiver, sequence }) => {
                        let expected = sequences.entry(operation.user).or_default();
                        assert_eq!(sequence, *expected);
                        *expected += 1;
                        assert!(parts().receivers.contains(&receiver));
                        counts[0] += 1;
                    }
                    Deed::Ask(_) => counts[1] += 1,
                    Deed::LogOn => counts[2] += 1,
                }
            }
            assert_eq!(plan.next_us(), None);
        }
        assert_eq!(counts, [200, 20, 10]);
        assert_eq!(sequences.len(), 4);
    }

    #[test]
    fn nothing_is_taken_before_its_time() {
        let rates = Rates {
            message: 10.0,
            ..Rates::default()
        };
        let mut plan = Plan::new(
            &parts(),
            rates,
            1.0,
            Arrivals::Even,
            1_000,
            &mut Done::default(),
            (0, 1),
        );
        assert_eq!(plan.take(999), None);
        assert_eq!(plan.next_us(), Some(1_000));
        assert!(plan.take(1_000).is_some());
        assert_eq!(plan.take(1_000), None);
        assert_eq!(plan.next_us(), Some(101_000));
    }

    #[test]
    fn a_second_plan_goes_on_where_the_first_ended() {
        let mut done = Done::default();
        let rates = Rates {
            message: 4.0,
            ..Rates::default()
        };
        for expected in [0, 1] {
            let mut plan = Plan::new(&parts(), rates, 1.0, Arrivals::Even, 0, &mut done, (0, 1));
            while let Some(operation) = plan.take(u64::MAX) {
                assert!(
                    matches!(operation.deed, Deed::Ask(Task::Message { sequence, .. }) if sequence == expected),
                    "{operation:?}"
                );
            }
        }
    }

    #[test]
    fn nobody_is_sent_their_own_message() {
        let all = Parts {
            users: 5,
            senders: 0..5,
            receivers: 0..5,
            ..Parts::default()
        };
        for sequence in 0..20 {
            for sender in 0..5 {
                assert_ne!(all.receiver(sender, sequence), sender);
            }
        }
        let pair = Parts {
            users: 2,
            senders: 0..2,
            receivers: 0..2,
            ..Parts::default()
        };
        assert_eq!((pair.receiver(0, 7), pair.receiver(1, 7)), (1, 0));
    }
}
