//! What users want of others: to be left alone, not to hear of somebody. And what must not reach them then.

use std::collections::BTreeMap;

/// Since when a wish holds.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// The first message that was said after it.
    message: usize,
    /// How often all had been quiet by then.
    epoch: usize,
}

/// All wishes that hold now.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Users who are do not disturb: nobody but themselves may interrupt them here.
    alone: BTreeMap<usize, Since>,
    /// By who blocks, and who is blocked.
    blocked: BTreeMap<(usize, usize), Since>,
}

impl Wishes {
    /// A user becomes do not disturb, or is it no longer. True for the first.
    pub fn turn_alone(&mut self, user: usize, message: usize, epoch: usize) -> bool {
        let begins = self.alone.remove(&user).is_none();
        if begins {
            self.alone.insert(user, Since { message, epoch });
        }
        begins
    }

    /// A user blocks another one, or no longer. True for the first.
    pub fn turn_blocked(
        &mut self,
        user: usize,
        other: usize,
        message: usize,
        epoch: usize,
    ) -> bool {
        let begins = self.blocked.remove(&(user, other)).is_none();
        if begins {
            self.blocked.insert((user, other), Since { message, epoch });
        }
        begins
    }

    /// A user is no more, and what they wanted is forgotten.
    pub fn forget(&mut self, user: usize) {
        self.alone.remove(&user);
        self.blocked.retain(|(who, _), _| *who != user);
    }

    fn since(&self, user: usize, from: usize) -> impl Iterator<Item = &Since> {
        let both = [self.alone.get(&user), self.blocked.get(&(user, from))];
        both.into_iter().flatten().filter(move |_| user != from)
    }

    /// Whether this message of `from` was said when `user` did not want to hear it any more.
    pub fn forbids_message(&self, user: usize, from: usize, message: usize) -> bool {
        self.since(user, from).any(|since| since.message <= message)
    }

    /// Whether no invitation of `from` can ring at `user`: all those of the time before have ended.
    pub fn forbids_ringing(&self, user: usize, from: usize, epoch: usize) -> bool {
        self.since(user, from).any(|since| since.epoch < epoch)
    }
}
