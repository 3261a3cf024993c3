//! Sessions and conferences that go on: whose turn it is, and when.
//!
//! One message in ten follows the one before it of the same sender at once, so that the order of messages in flight is seen
//! too: else two of one pair are never under way together. The model's number of messages stays what it is.

use std::sync::Arc;

use super::{ANSWER_US, Deed, Event, Live, Planner, ROSTER_US};
use crate::soak::graph::{hash, unit};

/// A two-party session.
#[derive(Debug)]
pub(super) struct Talk {
    pub session: u32,
    pub parties: [u32; 2],
    /// Steps done: for each message its typing, then itself.
    pub step: u32,
    /// Messages of each.
    pub said: [u8; 2],
    /// When the next message is meant.
    pub next_us: u64,
}

#[derive(Debug)]
pub(super) struct Gathering {
    pub session: u32,
    pub members: Arc<[u32]>,
    pub said: u32,
    pub left: u32,
    pub gap_us: u64,
}

/// Only every second message may follow the one before, and of these one in so many does: pairs, never three.
const FOLLOWS: u64 = 5;
/// Who follows does so at the same instant, or up to three of these later; real µs, whatever the compression.
const CLOSE_US: u64 = 1_000;

impl Planner {
    pub(super) fn talk(&mut self, at_us: u64, mut talk: Talk) {
        let (messages, typing) = (self.brief.model.im.messages, self.brief.model.im.typing);
        let (message, part) = (talk.step / (typing + 1), talk.step % (typing + 1));
        if message >= messages {
            // The caller hangs up; by the time of the callee's turn it usually has been told.
            let last = talk.step - messages * (typing + 1);
            self.ready.push_back(Event {
                at_us,
                seat: talk.parties[last as usize],
                deed: Deed::Leave {
                    session: talk.session,
                    parts: 2,
                },
            });
            if last == 0 {
                talk.step += 1;
                self.wait(at_us + ANSWER_US, Live::Talk(talk));
            }
            return;
        }
        // The caller begins; then one or the other.
        let turn = message - u32::from(self.follows(talk.session, 0, message));
        let coin = hash(
            self.brief.seed,
            60 + u64::from(talk.session),
            u64::from(turn),
        );
        let speaker = if turn == 0 { 0 } else { (coin & 1) as usize };
        let deed = if part < typing {
            Deed::Typing {
                session: talk.session,
            }
        } else {
            let sequence = u32::from(talk.said[speaker]);
            talk.said[speaker] += 1;
            talk.next_us += self.gap_us(talk.session, message + 1);
            Deed::Say {
                session: talk.session,
                sequence,
            }
        };
        self.ready.push_back(Event {
            at_us,
            seat: talk.parties[speaker],
            deed,
        });
        talk.step += 1;
        self.wait_for_talk(talk);
    }

    /// Typing begins in the second half of the pause before a message.
    pub(super) fn wait_for_talk(&mut self, talk: Talk) {
        let typing = self.brief.model.im.typing;
        let (message, part) = (talk.step / (typing + 1), talk.step % (typing + 1));
        let pause_us = self.gap_us(talk.session, message) / 2;
        let before_us = pause_us * u64::from(typing - part) / u64::from(typing.max(1));
        self.wait(talk.next_us - before_us, Live::Talk(talk));
    }

    pub(super) fn meet(&mut self, at_us: u64, mut gathering: Gathering) {
        let size = gathering.members.len() as u32;
        let session = gathering.session;
        let rounds = self.brief.model.conference.messages_per_user;
        let messages = rounds * size;
        if gathering.said < messages {
            let (round, member) = (gathering.said / size, gathering.said % size);
            gathering.said += 1;
            let follows = |round| round < rounds && self.follows(session, member, round);
            // Who says two at once is silent in the second one's turn.
            let (said_before, two) = (follows(round), follows(round + 1));
            let count = if said_before { 0 } else { 1 + u32::from(two) };
            for sequence in round..round + count {
                self.ready.push_back(Event {
                    at_us,
                    seat: gathering.members[member as usize],
                    deed: Deed::Say { session, sequence },
                });
            }
            // What was said last is heard before anybody leaves.
            let pause_us = if gathering.said == messages {
                gathering.gap_us.max(ROSTER_US)
            } else {
                gathering.gap_us
            };
            self.wait(at_us + pause_us, Live::Gathering(gathering));
            return;
        }
        // The organizer, who is the first, leaves last.
        gathering.left += 1;
        self.ready.push_back(Event {
            at_us,
            seat: gathering.members[(size - gathering.left) as usize],
            deed: Deed::Leave {
                session,
                parts: size,
            },
        });
        if gathering.left < size {
            self.wait(at_us + 1_000, Live::Gathering(gathering));
        }
    }

    pub(super) fn gap_us(&self, session: u32, message: u32) -> u64 {
        let chance = hash(self.brief.seed, 50 + u64::from(session), u64::from(message));
        // What comes after the last message is no message.
        if message < self.brief.model.im.messages && self.follows(session, 0, message) {
            return chance % 4 * CLOSE_US;
        }
        let gap_us = self.brief.scale.us(self.brief.model.im.gap_s) as f64;
        (gap_us * (0.5 + unit(chance))) as u64
    }

    /// Whether the message with this number follows the one before at once; `speaker` counts in conferences, where each
    /// numbers their own.
    fn follows(&self, session: u32, speaker: u32, message: u32) -> bool {
        let which = u64::from(speaker) << 32 | u64::from(message);
        message % 2 == 1
            && hash(self.brief.seed, 70 + u64::from(session), which).is_multiple_of(FOLLOWS)
    }
}
