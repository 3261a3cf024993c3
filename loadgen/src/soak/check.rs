//! Whether each message that was accepted arrived once and in order: two words of bits for each sender of a session
//! that goes on, nothing for one that is over.
//!
//! Each member keeps a `Part` while it is in a session and hands it over at the end of it. The `Auditor` holds the parts
//! of a session until all members are through, judges, and forgets them.

use std::collections::HashMap;

use super::model::SEQUENCES_MAX;

/// Where a session's number and a sequence stand in the stamp's sequence.
const SEQUENCE_BITS: u32 = SEQUENCES_MAX.trailing_zeros();

/// The stamp's sequence for a message of a session; session numbers go up to 67 million.
pub fn pack(session: u32, sequence: u32) -> u32 {
    session << SEQUENCE_BITS | (sequence & (SEQUENCES_MAX - 1))
}

/// Session and sequence.
pub fn unpack(packed: u32) -> (u32, u32) {
    (packed >> SEQUENCE_BITS, packed & (SEQUENCES_MAX - 1))
}

/// What one message was to who heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    New,
    Duplicated,
    Reordered,
}

/// One member's view of a session.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Part {
    pub member: u32,
    /// Sequences that were answered 200.
    pub accepted: u64,
    /// When the first message was sent, and when the last answer came; µs.
    pub spoke_us: Option<(u64, u64)>,
    /// Since when it hears what is said, and until when; µs.
    pub heard_us: Option<(u64, u64)>,
    /// Sequences heard, by sender.
    pub heard: Vec<(u32, u64)>,
}

impl Part {
    pub fn new(member: u32) -> Part {
        Part {
            member,
            ..Part::default()
        }
    }

    pub fn sent(&mut self, now_us: u64) {
        self.spoke_us.get_or_insert((now_us, now_us));
    }

    /// Answered 200.
    pub fn accepted(&mut self, sequence: u32, now_us: u64) {
        self.accepted |= 1 << (sequence % SEQUENCES_MAX);
        let (from_us, _) = self.spoke_us.unwrap_or((now_us, now_us));
        self.spoke_us = Some((from_us, now_us));
    }

    pub fn hears(&mut self, sender: u32, sequence: u32) -> Heard {
        let bit = 1u64 << (sequence % SEQUENCES_MAX);
        let at = match self.heard.iter().position(|(known, _)| *known == sender) {
            Some(at) => at,
            None => {
                self.heard.push((sender, 0));
                self.heard.len() - 1
            }
        };
        let heard = &mut self.heard[at].1;
        let verdict = if *heard & bit != 0 {
            Heard::Duplicated
        } else if *heard >= bit {
            Heard::Reordered
        } else {
            Heard::New
        };
        *heard |= bit;
        verdict
    }

    fn has_heard(&self, sender: u32) -> u64 {
        self.heard
            .iter()
            .find(|(known, _)| *known == sender)
            .map_or(0, |(_, heard)| *heard)
    }
}

/// What comes to the auditor.
#[derive(Clone, Debug)]
pub enum Letter {
    /// A member's part is over; in a two-party session, or in a conference.
    Part {
        session: u32,
        conference: bool,
        part: Part,
    },
    /// By the plan a member is through: its part has come before, if it had one.
    Through { session: u32, parts: u32 },
}

#[derive(Debug, Default)]
struct File {
    conference: bool,
    through: u32,
    /// Members by the plan; 0 until one is through.
    members: u32,
    parts: Vec<Part>,
}

/// What all parts together show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Message and receiver: accepted, owed, and heard.
    pub delivered: u64,
    /// Accepted, owed, and never heard.
    pub lost: u64,
    /// Accepted; whether the member was there for all of it cannot be told: it never came, came late, left early or was cut
    /// off.
    pub unjudged: u64,
    /// In conferences: accepted by the server, and delivered to members.
    pub conference_accepted: u64,
    pub conference_delivered: u64,
    /// The first ones that were lost, in words.
    pub examples: Vec<String>,
}

pub const EXAMPLES_MAX: usize = 20;
/// What was answered so shortly before a member left may have crossed its BYE.
pub const LEAVE_MARGIN_US: u64 = 1_000_000;

/// Puts the parts of each session together.
#[derive(Debug, Default)]
pub struct Auditor {
    files: HashMap<u32, File>,
    pub verdict: Verdict,
}

impl Auditor {
    pub fn take(&mut self, letter: Letter) {
        match letter {
            Letter::Part {
                session,
                conference,
                part,
            } => {
                let file = self.files.entry(session).or_default();
                file.conference |= conference;
                file.parts.push(part);
            }
            Letter::Through { session, parts } => {
                let file = self.files.entry(session).or_default();
                file.through += 1;
                file.members = parts;
                if file.through >= parts
                    && let Some(file) = self.files.remove(&session)
                {
                    self.judge(session, &file);
                }
            }
        }
    }

    /// Sessions that go on.
    pub fn open(&self) -> usize {
        self.files.len()
    }

    /// Judges what is still open at the end of the run.
    pub fn close(&mut self) {
        for (session, file) in std::mem::take(&mut self.files) {
            self.judge(session, &file);
        }
    }

    fn judge(&mut self, session: u32, file: &File) {
        for sender in &file.parts {
            if sender.accepted == 0 {
                continue;
            }
            let accepted = u64::from(sender.accepted.count_ones());
            let mut reached = 0;
            // A member may have left and come again: then it has several parts.
            let mut receivers: Vec<u32> = file.parts.iter().map(|part| part.member).collect();
            receivers.sort_unstable();
            receivers.dedup();
            for receiver in receivers
                .into_iter()
                .filter(|member| *member != sender.member)
            {
                reached += 1;
                let parts = || file.parts.iter().filter(|part| part.member == receiver);
                let heard = parts().fold(0, |all, part| all | part.has_heard(sender.member));
                let missing = sender.accepted & !heard;
                let delivered = u64::from((sender.accepted & heard).count_ones());
                self.verdict.delivered += delivered;
                self.verdict.conference_delivered += delivered * u64::from(file.conference);
                let was_there = parts().any(|part| is_within(sender.spoke_us, part.heard_us));
                // In a two-party session 200 is the receiver's own answer (README); in a conference the server's.
                if file.conference && !was_there {
                    self.verdict.unjudged += u64::from(missing.count_ones());
                } else if missing != 0 {
                    self.verdict.lost += u64::from(missing.count_ones());
                    self.example(session, sender.member, receiver, missing);
                }
            }
            if file.conference {
                self.verdict.conference_accepted += accepted;
                // Who was to be rung and has no part never came: there is one other member at least.
                let others = u64::from(file.members.saturating_sub(1)).max(1);
                self.verdict.unjudged += accepted * others.saturating_sub(reached);
            } else if reached == 0 {
                self.verdict.lost += accepted;
                self.example(session, sender.member, u32::MAX, sender.accepted);
            }
        }
    }

    fn example(&mut self, session: u32, sender: u32, receiver: u32, missing: u64) {
        if self.verdict.examples.len() < EXAMPLES_MAX {
            let sequences: Vec<String> = (0..SEQUENCES_MAX)
                .filter(|sequence| missing >> sequence & 1 == 1)
                .map(|sequence| sequence.to_string())
                .collect();
            let receiver = if receiver == u32::MAX {
                "who was called".to_string()
            } else {
                format!("user {receiver}")
            };
            self.verdict.examples.push(format!(
                "lost: session {session}, from user {sender} to {receiver}, message {}",
                sequences.join(", ")
            ));
        }
    }
}

fn is_within(inner: Option<(u64, u64)>, outer: Option<(u64, u64)>) -> bool {
    matches!((inner, outer), (Some(inner), Some(outer)) if outer.0 < inner.0 && inner.1 + LEAVE_MARGIN_US < outer.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE_US: u64 = 300 + LEAVE_MARGIN_US;

    fn part(member: u32, accepted: u64, heard: &[(u32, u64)], heard_us: (u64, u64)) -> Letter {
        let part = Part {
            member,
            accepted,
            spoke_us: (accepted != 0).then_some((100, 200)),
            heard_us: Some(heard_us),
            heard: heard.to_vec(),
        };
        Letter::Part {
            session: 7,
            conference: true,
            part,
        }
    }

    fn judged(conference: bool, letters: Vec<Letter>) -> Verdict {
        let mut auditor = Auditor::default();
        let parts = letters.len() as u32;
        for mut letter in letters {
            if let Letter::Part {
                conference: kind, ..
            } = &mut letter
            {
                *kind = conference;
            }
            auditor.take(letter);
            auditor.take(Letter::Through { session: 7, parts });
        }
        assert_eq!(auditor.open(), 0, "a session that is over takes no memory");
        auditor.verdict
    }

    #[test]
    fn what_was_accepted_and_not_heard_is_lost_and_named() {
        let verdict = judged(
            false,
            vec![
                part(1, 0b111, &[(2, 0b1)], (0, LATE_US)),
                part(2, 0b1, &[(1, 0b101)], (0, LATE_US)),
            ],
        );
        assert_eq!(
            (verdict.delivered, verdict.lost, verdict.unjudged),
            (3, 1, 0)
        );
        assert_eq!(
            verdict.examples,
            ["lost: session 7, from user 1 to user 2, message 1"]
        );
    }

    #[test]
    fn nobody_there_although_answered_200_is_a_loss() {
        assert_eq!(
            judged(false, vec![part(1, 0b11, &[], (0, LATE_US))]).lost,
            2
        );
    }

    #[test]
    fn who_came_late_to_a_conference_is_owed_nothing_and_who_was_there_everything() {
        let nobody = Letter::Through {
            session: 7,
            parts: 4,
        };
        let mut auditor = Auditor::default();
        auditor.take(part(1, 0b11, &[], (0, LATE_US)));
        (0..4).for_each(|_| auditor.take(nobody.clone()));
        assert_eq!(
            (auditor.verdict.unjudged, auditor.verdict.lost),
            (6, 0),
            "three who never came"
        );
        assert_eq!(auditor.verdict.conference_accepted, 2);
        let late = judged(
            true,
            vec![
                part(1, 0b11, &[], (0, LATE_US)),
                part(2, 0, &[(1, 0b10)], (150, LATE_US)),
            ],
        );
        assert_eq!((late.delivered, late.lost, late.unjudged), (1, 0, 1));
        let there = judged(
            true,
            vec![
                part(1, 0b11, &[], (0, LATE_US)),
                part(2, 0, &[(1, 0b10)], (50, LATE_US)),
            ],
        );
        assert_eq!((there.lost, there.unjudged), (1, 0));
        let early = judged(
            true,
            vec![
                part(1, 0b11, &[], (0, LATE_US)),
                part(2, 0, &[(1, 0b01)], (50, 150)),
            ],
        );
        assert_eq!((early.lost, early.unjudged), (0, 1));
    }

    #[test]
    fn what_comes_twice_or_late_is_seen() {
        let mut part = Part::new(1);
        let heard: Vec<Heard> = [0, 1, 3, 2, 3, 63]
            .iter()
            .map(|sequence| part.hears(9, *sequence))
            .collect();
        use Heard::*;
        assert_eq!(heard, [New, New, New, Reordered, Duplicated, New]);
        assert_eq!(part.hears(8, 0), New, "another sender counts for itself");
    }

    #[test]
    fn a_session_number_and_a_sequence_share_a_word() {
        for (session, sequence) in [(0, 0), (1, 63), (67_000_000, 5)] {
            assert_eq!(unpack(pack(session, sequence)), (session, sequence));
        }
    }
}
