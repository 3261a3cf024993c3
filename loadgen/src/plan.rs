//! The mix: who does what, at which of the schedule's instants.
//!
//! Everything follows from numbers: the n-th message has its sender, its sequence and its receiver, so a receiver can
//! tell whether a message was meant for it without having been told, and threads need not speak with each other.

use std::ops::Range;

use crate::pace::{Arrivals, Due, Pace};
use crate::user::Task;

/// Of each `CYCLE` messages of a sender the first `BURST` go to one receiver, and are meant one right after the other: so
/// some are in flight together, and their order is put to the test. The others go to another receiver each, all senders in
/// turn. An eighth is enough: a server does for less what comes together, and what a message costs is what the load is for.
const BURST: u64 = 4;
const CYCLE: u64 = 32;

/// Which users play which part; all ranges are of user indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// All users of the run: 0 up to this.
    pub users: u32,
    pub senders: Range<u32>,
    /// To whom the senders send, in turn (`BURST`). The same range as `senders`: each sends to all the others.
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
        let (cycle, place) = (u64::from(sequence) / CYCLE, u64::from(sequence) % CYCLE);
        // Bursts and single messages are counted apart: each kind goes to all receivers in turn.
        let turn = match place.checked_sub(BURST) {
            None => cycle,
            Some(single) => cycle * (CYCLE - BURST) + single,
        };
        let (count, at) = (count(&self.senders), u64::from(sender - self.senders.start));
        if self.senders == self.receivers {
            let step = 1 + turn % u64::from(count - 1).max(1);
            return self.senders.start + ((at + step) % u64::from(count)) as u32;
        }
        let number = turn * u64::from(count) + at;
        self.receivers.start + (number % self.receivers.len() as u64) as u32
    }

    /// The sender of the n-th message of all, and its sequence.
    fn message(&self, number: u64) -> (u32, u32) {
        let senders = u64::from(count(&self.senders));
        let (cycle, within) = (number / (CYCLE * senders), number % (CYCLE * senders));
        let (at, place) = if within < BURST * senders {
            (within / BURST, within % BURST)
        } else {
            (within % senders, within / senders)
        };
        let sequence = cycle * CYCLE + place;
        // The command line bounds the number of messages, so a sequence fits.
        (
            self.senders.start + at as u32,
            u32::try_from(sequence).unwrap_or(u32::MAX),
        )
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
                let (sender, sequence) = parts.message(number);
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

    /// Sender, sequence and receiver of all messages that are planned for so many seconds, 20 a second.
    fn messages(parts: &Parts, seconds: f64, done: &mut Done) -> Vec<(u32, u32, u32)> {
        let rates = Rates {
            message: 20.0,
            ..Rates::default()
        };
        let mut plan = Plan::new(parts, rates, seconds, Arrivals::Even, 0, done, (0, 1));
        let take = || plan.take(u64::MAX);
        std::iter::from_fn(take)
            .map(|operation| match operation.deed {
                Deed::Ask(Task::Message { receiver, sequence }) => {
                    (operation.user, sequence, receiver)
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_second_plan_goes_on_where_the_first_ended() {
        let whole = messages(&parts(), 30.0, &mut Done::default());
        // In the midst of a burst, and of the single messages.
        for first_s in [0.1, 11.0] {
            let mut done = Done::default();
            let mut both = messages(&parts(), first_s, &mut done);
            both.extend(messages(&parts(), 30.0 - first_s, &mut done));
            assert_eq!(both, whole, "{first_s} s");
        }
    }

    #[test]
    fn some_messages_of_a_pair_are_in_flight_together_and_all_receivers_have_as_many() {
        let all = Parts {
            senders: 0..6,
            receivers: 0..6,
            ..parts()
        };
        for parts in [parts(), all] {
            let messages = messages(&parts, 624.0, &mut Done::default());
            let senders = parts.senders.len();
            let mut next = vec![0; senders];
            let mut had = HashMap::<u32, u64>::new();
            for (sender, sequence, receiver) in &messages {
                assert_eq!(*sequence, next[*sender as usize], "sender {sender}");
                next[*sender as usize] += 1;
                *had.entry(*receiver).or_default() += 1;
            }
            assert_eq!(had.len(), parts.receivers.len());
            let (least, most) = (had.values().min().unwrap(), had.values().max().unwrap());
            assert!(most - least <= 2 * BURST, "{had:?}");
            let together =
                |pair: &[(u32, u32, u32)]| (pair[0].0, pair[0].2) == (pair[1].0, pair[1].2);
            let close = messages.windows(2).filter(|pair| together(pair)).count();
            let expected = messages.len() * (BURST - 1) as usize / CYCLE as usize;
            assert!(
                close.abs_diff(expected) <= expected / 20,
                "{close} {expected}"
            );
            // The senders take turns for the rest, as one who counts what a single message costs expects.
            let apart = messages.windows(2).filter(|pair| pair[0].0 != pair[1].0);
            assert!(apart.count() > messages.len() * 7 / 8);
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
