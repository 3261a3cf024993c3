//! Pager messages (RFC 3428) as sessions: one for a pair of users until `pager_idle` passes without a message.
//!
//! Both directions belong to one session, so its owner follows from the pair alone: the shard of whichever of the two
//! comes first in order. No shard has to ask another one who has it. (An IM session by INVITE is owned by its
//! starter's shard; here nobody starts anything.)

use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use crate::immcu::SessionId;
use crate::sip::slack::Slack;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// A pair of users, the lesser one first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pair(Aor, Aor);

impl Pair {
    /// The pair of two users, whoever writes.
    pub fn of(one: &Aor, other: &Aor) -> Pair {
        if one <= other {
            Pair(one.clone(), other.clone())
        } else {
            Pair(other.clone(), one.clone())
        }
    }

    /// The user whose shard owns the session of these two.
    pub fn keeper<'a>(one: &'a Aor, other: &'a Aor) -> &'a Aor {
        one.min(other)
    }

    fn side(&self, user: &Aor) -> usize {
        usize::from(self.0 != *user)
    }

    /// Both users, the keeper first.
    pub fn users(&self) -> [&Aor; 2] {
        [&self.0, &self.1]
    }
}

/// One pair's session.
#[derive(Debug)]
pub struct Pager {
    /// The CDR row.
    pub session: SessionId,
    /// Messages that were delivered, by side.
    pub messages_sent: [u32; 2],
    /// When the last one was.
    pub last: Now,
}

/// All pairs that this shard keeps.
#[derive(Debug)]
pub struct Pagers {
    pairs: HashMap<Pair, Pager, ahash::RandomState>,
    /// When to look at which pair; in order, since all wait equally long.
    looks: VecDeque<(Now, Pair)>,
}

impl Pagers {
    /// None yet.
    pub fn new(hash: ahash::RandomState) -> Pagers {
        Pagers {
            pairs: HashMap::with_hasher(hash),
            looks: VecDeque::new(),
        }
    }

    /// A message of `from` was delivered. True where that began the session, which `fresh` names.
    pub fn delivered(
        &mut self,
        pair: &Pair,
        from: &Aor,
        now: Now,
        fresh: impl FnOnce() -> SessionId,
    ) -> (bool, SessionId) {
        let side = pair.side(from);
        if let Some(pager) = self.pairs.get_mut(pair) {
            pager.messages_sent[side] = pager.messages_sent[side].saturating_add(1);
            pager.last = now;
            return (false, pager.session);
        }
        let mut pager = Pager {
            session: fresh(),
            messages_sent: [0, 0],
            last: now,
        };
        pager.messages_sent[side] = 1;
        let session = pager.session;
        self.pairs.insert(pair.clone(), pager);
        self.looks.push_back((now, pair.clone()));
        (true, session)
    }

    /// The pair's session.
    pub fn get(&self, pair: &Pair) -> Option<&Pager> {
        self.pairs.get(pair)
    }

    /// Takes out one session in which nothing was said for `idle`, as long as there is one.
    pub fn idle(&mut self, now: Now, idle: Duration) -> Option<(Pair, Pager)> {
        while let Some((looked, _)) = self.looks.front()
            && now.since(*looked) >= idle
        {
            let Some((_, pair)) = self.looks.pop_front() else {
                break;
            };
            match self.pairs.get(&pair).map(|pager| pager.last) {
                Some(last) if now.since(last) >= idle => {
                    return self.pairs.remove(&pair).map(|pager| (pair, pager));
                }
                // The queue stays nearly in order: a look that is late by less than `idle` does no harm.
                Some(last) => self.looks.push_back((last, pair)),
                None => {}
            }
        }
        None
    }

    /// Ends the pair's session.
    pub fn end(&mut self, pair: &Pair) -> Option<Pager> {
        self.pairs.remove(pair)
    }

    /// All pairs, sorted: for shutting down.
    pub fn pairs(&self) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = self.pairs.keys().cloned().collect();
        pairs.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        pairs
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl Slack for Pagers {
    fn give_back(&mut self) -> usize {
        self.pairs.give_back() + self.looks.give_back()
    }

    fn room(&self) -> usize {
        self.pairs.room() + self.looks.room()
    }
}
