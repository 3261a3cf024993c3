//! What a message says, and whether everything said arrived: once, whole, in order, and where it belongs.
//!
//! A `Stamp` is the text of a message or the note of a presence document. A `Ledger` is kept by each thread for the
//! users it owns, as sender and as receiver; `settle` merges them when a run is over. Nothing here knows SIP.

use std::collections::HashMap;
use std::fmt::Write as _;

/// The identity of one message or one published state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run it belongs to: what an earlier run left on the server is told apart.
    pub run: u32,
    /// Index of the user who said it.
    pub sender: u32,
    /// Counts from 0 for each sender, over the whole run.
    pub sequence: u32,
    /// When it was meant to be said, µs of `clock`.
    pub intended_us: u64,
}

const MARK: &str = "lg:";

impl Stamp {
    /// Appends the stamp and fills up to `bytes` (or more, if the stamp alone is longer) with text that only this
    /// stamp gives: a receiver sees any byte that changed, is missing, or belongs to another message. Where `bytes` leaves no
    /// room for such text, a changed digit is only another stamp.
    pub fn write(&self, out: &mut String, bytes: usize) {
        let from = out.len();
        let _ = write!(
            out,
            "{MARK}{:08x}:{}:{}:{};",
            self.run, self.sender, self.sequence, self.intended_us
        );
        let mut filler = Filler::of(self);
        while out.len() - from < bytes {
            out.push(filler.next_char());
        }
    }

    /// The first stamp in `text`, and the text from its start on.
    pub fn find(text: &str) -> Option<(Stamp, &str)> {
        text.match_indices(MARK).find_map(|(at, _)| {
            let (fields, _) = text[at + MARK.len()..].split_once(';')?;
            let mut fields = fields.split(':');
            let stamp = Stamp {
                run: u32::from_str_radix(fields.next()?, 16).ok()?,
                sender: fields.next()?.parse().ok()?,
                sequence: fields.next()?.parse().ok()?,
                intended_us: fields.next()?.parse().ok()?,
            };
            fields.next().is_none().then_some((stamp, &text[at..]))
        })
    }

    /// Reads a whole body as written by `write` with the same `bytes`; `None` if one byte is not as it was written.
    pub fn read_whole(body: &[u8], bytes: usize) -> Option<Stamp> {
        let text = std::str::from_utf8(body).ok()?;
        let (stamp, from) = Stamp::find(text)?;
        let mut expected = String::with_capacity(body.len());
        stamp.write(&mut expected, bytes);
        (from.len() == text.len() && expected == text).then_some(stamp)
    }
}

/// Letters that depend on the stamp (xorshift; no cryptography is needed against a careless server).
struct Filler(u64);

/// 2^64 by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Filler {
    /// Every field counts: each step is a bijection of the field, so one that differs gives another state.
    fn of(stamp: &Stamp) -> Filler {
        let fields = [
            u64::from(stamp.run),
            u64::from(stamp.sender) << 32 | u64::from(stamp.sequence),
            stamp.intended_us,
        ];
        let mixed = fields.iter().fold(0, |state, field| {
            let product = (state ^ field ^ ODD).wrapping_mul(ODD);
            product ^ (product >> 32)
        });
        // Xorshift never leaves 0.
        Filler(mixed.max(1))
    }

    fn next_char(&mut self) -> char {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        char::from(b'a' + (self.0 >> 32) as u8 % 26)
    }
}

/// A set of sequence numbers; they are dense from 0, so one bit each.
#[derive(Debug, Default, Clone)]
struct Sequences(Vec<u64>);

impl Sequences {
    /// Says whether it was new.
    fn insert(&mut self, sequence: u32) -> bool {
        let (word, bit) = (sequence as usize / 64, 1u64 << (sequence % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn word(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

/// What one thread saw: what its senders were told is delivered, and what its receivers got.
#[derive(Debug, Default)]
pub struct Ledger {
    /// For each sender, the messages that were answered 200.
    accepted: HashMap<u32, Sequences>,
    /// For each sender, the messages that came to a receiver.
    received: HashMap<u32, Sequences>,
    /// The latest sequence a receiver has seen of a sender.
    latest: HashMap<(u32, u32), u32>,
    /// For each publisher, the last state that was answered 200.
    published: HashMap<u32, u32>,
    /// Publisher and newest state seen (`None`: none), for each of its watchers at the end.
    seen: Vec<(u32, Option<u32>)>,
    found: Findings,
}

/// Everything a run can have wrong with its contents, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Findings {
    /// Answered 200, and never received.
    pub lost: u64,
    /// Received more than once.
    pub duplicated: u64,
    /// Received after one that the same sender sent later to the same receiver.
    pub reordered: u64,
    /// Received with a body or a From that is not as sent.
    pub altered: u64,
    /// Received by someone it wasn't sent to.
    pub misdelivered: u64,
    /// Received although the sender was not answered 200: the sender would say it again.
    pub denied: u64,
    /// Notifications with a state older than one the watcher had seen.
    pub regressed: u64,
    /// Watchers that were left without the last state.
    pub outdated: u64,
}

impl Findings {
    /// All contents arrived as they should.
    pub fn is_clean(&self) -> bool {
        *self == Findings::default()
    }
}

impl Ledger {
    /// `sender` was told that its message was delivered.
    pub fn accepted(&mut self, sender: u32, sequence: u32) {
        self.accepted.entry(sender).or_default().insert(sequence);
    }

    /// `receiver` got a message that was meant for `meant_for`. Says whether it counts as a delivery.
    pub fn received(&mut self, stamp: &Stamp, receiver: u32, meant_for: u32) -> bool {
        if receiver != meant_for {
            self.found.misdelivered += 1;
            return false;
        }
        if !self
            .received
            .entry(stamp.sender)
            .or_default()
            .insert(stamp.sequence)
        {
            self.found.duplicated += 1;
            return false;
        }
        let latest = self
            .latest
            .entry((stamp.sender, receiver))
            .or_insert(stamp.sequence);
        if stamp.sequence < *latest {
            self.found.reordered += 1;
        }
        *latest = (*latest).max(stamp.sequence);
        true
    }

    /// `publisher` was told that its state is published.
    pub fn published(&mut self, publisher: u32, sequence: u32) {
        let last = self.published.entry(publisher).or_insert(sequence);
        *last = (*last).max(sequence);
    }

    /// A watcher saw a state older than one before.
    pub fn regressed(&mut self) {
        self.found.regressed += 1;
    }

    /// What a watcher of `publisher` holds when all is over.
    pub fn holds(&mut self, publisher: u32, newest: Option<u32>) {
        self.seen.push((publisher, newest));
    }

    /// A message came whose body is not what its sender wrote.
    pub fn altered(&mut self) {
        self.found.altered += 1;
    }
}

/// Merges the ledgers of all threads into what went wrong.
pub fn settle(ledgers: &[Ledger]) -> Findings {
    let mut all = Findings::default();
    let mut received: HashMap<u32, Sequences> = HashMap::new();
    for ledger in ledgers {
        all.duplicated += ledger.found.duplicated;
        all.reordered += ledger.found.reordered;
        all.altered += ledger.found.altered;
        all.misdelivered += ledger.found.misdelivered;
        all.regressed += ledger.found.regressed;
        for (sender, sequences) in &ledger.received {
            let merged = received.entry(*sender).or_default();
            for (index, word) in sequences.0.iter().enumerate() {
                // A message has one receiver, so two threads cannot have seen it, unless it came twice.
                if merged.0.len() <= index {
                    merged.0.resize(index + 1, 0);
                }
                all.duplicated += u64::from((merged.0[index] & word).count_ones());
                merged.0[index] |= word;
            }
        }
    }
    let mut accepted: HashMap<u32, &Sequences> = HashMap::new();
    for ledger in ledgers {
        // A sender lives on one thread only.
        accepted.extend(
            ledger
                .accepted
                .iter()
                .map(|(sender, sequences)| (*sender, sequences)),
        );
    }
    // A publisher lives on one thread, its watchers on any.
    let published: HashMap<u32, u32> = ledgers
        .iter()
        .flat_map(|ledger| &ledger.published)
        .map(|(k, v)| (*k, *v))
        .collect();
    for (publisher, newest) in ledgers.iter().flat_map(|ledger| &ledger.seen) {
        let is_behind = published
            .get(publisher)
            .is_some_and(|last| newest.is_none_or(|newest| newest < *last));
        all.outdated += u64::from(is_behind);
    }
    let none = Sequences::default();
    let senders: std::collections::HashSet<u32> =
        accepted.keys().chain(received.keys()).copied().collect();
    for sender in senders {
        let told = accepted.get(&sender).copied().unwrap_or(&none);
        let got = received.get(&sender).unwrap_or(&none);
        for index in 0..told.0.len().max(got.0.len()) {
            all.lost += u64::from((told.word(index) & !got.word(index)).count_ones());
            all.denied += u64::from((got.word(index) & !told.word(index)).count_ones());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sequence: u32) -> Stamp {
        Stamp {
            run: 0xabc,
            sender: 3,
            sequence,
            intended_us: 1_234_567,
        }
    }

    #[test]
    fn a_body_comes_back_as_it_was_written() {
        for bytes in [0, 30, 64, 600] {
            let mut body = String::new();
            stamp(9).write(&mut body, bytes);
            assert!(body.len() >= bytes);
            assert_eq!(
                Stamp::read_whole(body.as_bytes(), bytes),
                Some(stamp(9)),
                "{body}"
            );
        }
        let longest = Stamp {
            run: u32::MAX,
            sender: u32::MAX,
            sequence: u32::MAX,
            intended_us: u64::MAX,
        };
        let mut body = String::new();
        longest.write(&mut body, 0);
        assert_eq!(Stamp::read_whole(body.as_bytes(), 0), Some(longest));
    }

    #[test]
    fn one_changed_byte_is_seen() {
        let mut body = String::new();
        stamp(9).write(&mut body, 100);
        let body = body.into_bytes();
        for (at, bit) in (0..body.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = body.clone();
            changed[at] ^= 1 << bit;
            // A changed digit still makes a stamp, but one that has another filler.
            assert_eq!(
                Stamp::read_whole(&changed, 100),
                None,
                "byte {at}, bit {bit}"
            );
        }
        assert_eq!(Stamp::read_whole(&body[..99], 100), None);
        assert_eq!(Stamp::read_whole(&[&body[..], b"x"].concat(), 100), None);
    }

    #[test]
    fn a_stamp_is_found_within_a_document() {
        let text = "<note>lg:zz</note><note>lg:00000abc:3:9:1234567;</note>";
        assert_eq!(Stamp::find(text).map(|(stamp, _)| stamp), Some(stamp(9)));
        assert_eq!(Stamp::find("lg:1:2:3:4:5;"), None);
    }

    /// `arrivals` as they reach receiver 5, `told` as answered 200 to the sender.
    fn check(told: &[u32], arrivals: &[u32], expected: Findings) {
        let mut sender = Ledger::default();
        let mut receiver = Ledger::default();
        told.iter()
            .for_each(|sequence| sender.accepted(3, *sequence));
        for sequence in arrivals {
            receiver.received(&stamp(*sequence), 5, 5);
        }
        assert_eq!(
            settle(&[sender, receiver]),
            expected,
            "{told:?} {arrivals:?}"
        );
    }

    #[test]
    fn lost_duplicated_and_reordered_are_told_apart() {
        let clean = Findings::default();
        check(&[], &[], clean);
        check(&[0, 1, 2], &[0, 1, 2], clean);
        check(&[0, 1, 200], &[0, 1, 200], clean);
        check(&[0, 1, 2], &[0, 2], Findings { lost: 1, ..clean });
        check(&[0, 1, 200], &[0, 1], Findings { lost: 1, ..clean });
        check(
            &[0, 1, 2],
            &[0, 1, 1, 2],
            Findings {
                duplicated: 1,
                ..clean
            },
        );
        check(
            &[0, 1, 2],
            &[0, 2, 1],
            Findings {
                reordered: 1,
                ..clean
            },
        );
        check(
            &[0, 1, 2],
            &[2, 1, 0],
            Findings {
                reordered: 2,
                ..clean
            },
        );
        check(&[0, 2], &[0, 1, 2], Findings { denied: 1, ..clean });
        check(
            &[0, 1],
            &[1, 1],
            Findings {
                lost: 1,
                duplicated: 1,
                ..clean
            },
        );
    }

    #[test]
    fn the_wrong_receiver_is_no_delivery() {
        let mut ledger = Ledger::default();
        ledger.accepted(3, 0);
        assert!(!ledger.received(&stamp(0), 6, 5));
        assert_eq!(
            settle(&[ledger]),
            Findings {
                lost: 1,
                misdelivered: 1,
                ..Findings::default()
            }
        );
    }

    #[test]
    fn a_watcher_left_behind_is_seen() {
        let (mut publishing, mut watching) = (Ledger::default(), Ledger::default());
        publishing.published(1, 8);
        publishing.published(1, 9);
        for newest in [Some(9), Some(10), Some(8), None] {
            watching.holds(1, newest);
        }
        watching.regressed();
        let found = settle(&[watching, publishing]);
        assert_eq!(
            found,
            Findings {
                outdated: 2,
                regressed: 1,
                ..Findings::default()
            }
        );
    }

    #[test]
    fn the_same_message_on_two_threads_is_a_duplicate() {
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        one.accepted(3, 0);
        one.received(&stamp(0), 5, 5);
        two.received(&stamp(0), 5, 5);
        assert_eq!(
            settle(&[one, two]),
            Findings {
                duplicated: 1,
                ..Findings::default()
            }
        );
    }
}
