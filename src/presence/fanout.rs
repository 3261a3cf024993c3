//! A change that many watch is told bit by bit: how far each such change has come, and who is told next.
//!
//! Kept is a place in the view's sorted subscriptions, never a list of them: so it costs the same for ten thousand as for a
//! hundred, and who stops watching meanwhile is simply met no more. Always holds: at most one is kept of a user, package and
//! level. A newer change begins a new round from where the older one stood; so everybody is told the latest state within one
//! round of the last change, and nobody at the end starves while there are changes.

use std::collections::VecDeque;

use crate::presence::{Level, Package, SubscriptionKey};
use crate::sip::slack::Slack;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// One change on its way to its watchers.
#[derive(Debug)]
pub struct Fanout {
    /// Of what.
    pub package: Package,
    /// Of whom.
    pub user: Aor,
    /// At which level.
    pub level: Level,
    /// When it was published, if it was; of the newest change.
    pub since: Option<Now>,
    /// All from here on are untold …
    next: SubscriptionKey,
    /// … up to here, not including it; `None` for all.
    end: Option<SubscriptionKey>,
    /// The round goes on at the beginning before it ends at `end`.
    wraps: bool,
    /// Those that have heard the newest state otherwise. Sorted.
    told: Vec<SubscriptionKey>,
}

impl Fanout {
    fn is_of(&self, package: Package, user: &Aor, level: Level) -> bool {
        (self.package, self.level) == (package, level) && self.user == *user
    }

    fn is_untold(&self, key: SubscriptionKey) -> bool {
        let before_end = self.end.is_none_or(|end| key < end);
        let in_round = match self.wraps {
            true => key >= self.next || before_end,
            false => key >= self.next && before_end,
        };
        in_round && self.told.binary_search(&key).is_err()
    }

    /// Adds to `slice` the next of `subscriptions`, which are all of the view, sorted; at most `count_max`. False where
    /// these were the last.
    pub fn take(
        &mut self,
        subscriptions: &[SubscriptionKey],
        count_max: usize,
        slice: &mut Vec<SubscriptionKey>,
    ) -> bool {
        let mut room = count_max;
        loop {
            let from = subscriptions.partition_point(|key| *key < self.next);
            let rest = subscriptions.get(from..).unwrap_or_default();
            let end = self.end.filter(|_| !self.wraps);
            let rest = end.map_or(rest, |end| {
                let count = rest.partition_point(|key| *key < end);
                rest.get(..count).unwrap_or_default()
            });
            let taken = rest.get(..room.min(rest.len())).unwrap_or_default();
            room -= taken.len();
            let told = &self.told;
            slice.extend(taken.iter().filter(|key| told.binary_search(key).is_err()));
            if let Some(next) = rest.get(taken.len()) {
                self.next = *next;
                return true;
            }
            if !core::mem::take(&mut self.wraps) {
                return false;
            }
            self.next = SubscriptionKey(0);
        }
    }
}

/// All that are on their way on a shard, each in its turn.
#[derive(Debug, Default)]
pub struct Fanouts(VecDeque<Fanout>);

impl Fanouts {
    /// A change begins, or takes the place of an older one whose round has not ended.
    pub fn begin(&mut self, package: Package, user: &Aor, level: Level, since: Option<Now>) {
        let found = self
            .0
            .iter_mut()
            .find(|each| each.is_of(package, user, level));
        if let Some(fanout) = found {
            fanout.since = since;
            fanout.told = Vec::new();
            let begins_anew = fanout.next == SubscriptionKey(0);
            fanout.wraps = !begins_anew;
            fanout.end = Some(fanout.next).filter(|_| !begins_anew);
            return;
        }
        self.0.push_back(Fanout {
            package,
            user: user.clone(),
            level,
            since,
            next: SubscriptionKey(0),
            end: None,
            wraps: false,
            told: Vec::new(),
        });
    }

    /// Whose turn it is. What is not done is put back with `later`.
    pub fn pop(&mut self) -> Option<Fanout> {
        self.0.pop_front()
    }

    /// It goes on after all others.
    pub fn later(&mut self, fanout: Fanout) {
        self.0.push_back(fanout);
    }

    /// Is `key` among those that are still to be told?
    pub fn is_untold(
        &self,
        package: Package,
        user: &Aor,
        level: Level,
        key: SubscriptionKey,
    ) -> bool {
        self.0
            .iter()
            .any(|each| each.is_of(package, user, level) && each.is_untold(key))
    }

    /// `key` has heard the newest state otherwise.
    pub fn heard(&mut self, package: Package, user: &Aor, level: Level, key: SubscriptionKey) {
        let found = self
            .0
            .iter_mut()
            .find(|each| each.is_of(package, user, level));
        if let Some(fanout) = found
            && let Err(at) = fanout.told.binary_search(&key)
        {
            fanout.told.insert(at, key);
        }
    }

    /// Nobody is left to be told at this level.
    pub fn forget(&mut self, package: Package, user: &Aor, level: Level) {
        self.0.retain(|each| !each.is_of(package, user, level));
    }

    /// Nobody is left to be told at any level.
    pub fn forget_all(&mut self, package: Package, user: &Aor) {
        self.0
            .retain(|each| each.package != package || each.user != *user);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is nothing on its way?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Slack for Fanouts {
    fn give_back(&mut self) -> usize {
        self.0.give_back()
    }

    fn room(&self) -> usize {
        self.0.room()
    }
}

#[cfg(test)]
mod tests;
