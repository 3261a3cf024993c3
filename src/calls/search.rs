//! The search for somebody who answers a call: whom to ask for, which endpoints ring, who is next, and what the caller is
//! told when nobody does (RFC 3261 §16.7).
//!
//! A search is a tree: the user who was dialled, those who ring beside them, and whoever a rule sends the call on to. Each
//! user is asked for once, so a loop of forwards ends; so does a chain of more than [`HOPS_MAX`]. It ends once: with the
//! first acceptance, with the best refusal, or with the caller's word. Not here: messages, dialogs, and the rules
//! themselves, which are read at the owner of whose they are.

use core::time::Duration;
use std::collections::VecDeque;

use crate::calls::carried::Answer;
use crate::sip::status::speaks_of_person;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// How often one call may be sent on.
pub const HOPS_MAX: u8 = 5;
/// Users that one call may be looking for.
pub const TARGETS_MAX: usize = 16;
/// Endpoints that one call may ring, over all its users.
pub const BRANCHES_MAX: usize = 64;

/// An endpoint that can be rung.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The shard of its connection.
    pub shard: u16,
    /// Its connection's id there.
    pub connection: u64,
    /// Its Contact: the Request-URI of what is sent to it.
    pub contact: Box<str>,
    /// By what it is found again before it is rung, for it may have come back on another connection by then; `None` where that
    /// one connection is meant.
    pub known: Option<Known>,
}

/// How the owner of an endpoint knows it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its number among its user's.
    pub endpoint: u32,
    /// RFC 5626 §4.2; 0 where there is none.
    pub reg_id: u32,
    /// Its instance id; may be empty.
    pub instance: Box<str>,
}

/// What the owner of a user says of a call to them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Nobody is rung: this is why.
    pub refused: Option<Answer>,
    /// The call goes there without ringing here.
    pub always: Option<Aor>,
    /// Who rings first, who then, and so on; may be empty.
    pub stages: Vec<Vec<Place>>,
    /// Users who ring at the same time.
    pub also: Vec<Aor>,
    /// Where the call goes when the user is busy.
    pub busy: Option<Aor>,
    /// Where it goes when nobody has answered for so long.
    pub no_answer: Option<(Aor, Duration)>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Ask the owner of this target's user whom to ring.
    Ask(usize),
    /// Ring this branch's endpoint.
    Ring(usize),
    /// Cancel this branch; true where somebody else has answered.
    Cancel(usize, bool),
    /// Tell the caller that the call is sent on.
    Forwarding,
    /// Tell the caller that nobody has answered. The search is over.
    Fail(Answer),
}

/// Why a user is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    Dialled,
    /// Rings beside that target.
    Beside(usize),
    /// Instead of that target.
    Instead(usize),
}

/// Whose word a refusal is. What this server says of a companion, or of whom the call was sent on to, is no outcome of the
/// user who was called: that they are offline, or do not exist, is news of somebody the caller may not even know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    /// An endpoint's, whoever's it is: it was rung for this call.
    Endpoints,
    /// This server's, of the user themself.
    Ours,
    /// This server's, of somebody beside or instead of them.
    OfAnother,
}

/// One user who is looked for.
#[derive(Debug)]
pub struct Target {
    /// Who.
    pub user: Aor,
    why: Why,
    hops: u8,
    /// How the call has come here, as the values of History-Info (RFC 7044); empty for who was dialled.
    pub history: Box<str>,
    /// Its index there, such as `1.1`.
    index: Box<str>,
    asking: bool,
    stages: VecDeque<Vec<Place>>,
    next_stage: Option<Now>,
    give_up: Option<Now>,
    busy: Option<Aor>,
    no_answer: Option<Aor>,
    /// Branches, and targets beside or instead, that have not ended.
    open: usize,
    /// The user is busy.
    is_busy: bool,
    /// The user has refused, and not only failed to answer.
    has_refused: bool,
    /// The call goes on without ringing here: the user has no outcome of their own.
    forwards_all: bool,
    best: Option<(Word, Answer)>,
    ended: bool,
}

/// One endpoint that was rung.
#[derive(Debug)]
pub struct Branch {
    /// For whom.
    pub target: usize,
    /// Where.
    pub place: Place,
    ended: bool,
}

/// One search.
#[derive(Debug)]
pub struct Search {
    targets: Vec<Target>,
    branches: Vec<Branch>,
    /// How long the next stage of endpoints waits.
    stage: Duration,
    /// How long anybody rings.
    ringing: Duration,
    /// Who was dialled does not exist.
    to_nobody: bool,
    over: bool,
}

impl Search {
    /// A search that has not begun. A user's next stage of endpoints joins in after `stage`; nobody rings for longer than
    /// `ringing`.
    pub fn new(stage: Duration, ringing: Duration) -> Search {
        Search {
            targets: Vec::new(),
            branches: Vec::new(),
            stage,
            ringing,
            to_nobody: false,
            over: false,
        }
    }

    /// Begins with who was dialled.
    pub fn begin(&mut self, user: Aor, now: Now, deeds: &mut Vec<Deed>) {
        self.look_for(user, Why::Dialled, 0, "".into(), "1".into(), now, deeds);
    }

    /// A target, if there is one of that number.
    pub fn target(&self, number: usize) -> Option<&Target> {
        self.targets.get(number)
    }

    /// A branch, if there is one of that number.
    pub fn branch(&self, number: usize) -> Option<&Branch> {
        self.branches.get(number)
    }

    /// Whether a branch may be answered still.
    pub fn rings(&self, number: usize) -> bool {
        !self.over && self.branch(number).is_some_and(|branch| !branch.ended)
    }

    /// True once the caller has had, or given, the last word.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// True where nobody has the name that was dialled. Who was to ring beside or instead of them does not count.
    pub fn is_to_nobody(&self) -> bool {
        self.to_nobody
    }

    /// When `look` has something to do next.
    pub fn next_look(&self) -> Option<Now> {
        if self.over {
            return None;
        }
        self.targets
            .iter()
            .filter(|target| !target.ended)
            .flat_map(|target| [target.next_stage, target.give_up])
            .flatten()
            .min()
    }

    #[expect(clippy::too_many_arguments, reason = "a record made in one place")]
    fn look_for(
        &mut self,
        user: Aor,
        why: Why,
        hops: u8,
        history: Box<str>,
        index: Box<str>,
        now: Now,
        deeds: &mut Vec<Deed>,
    ) {
        let number = self.targets.len();
        self.targets.push(Target {
            user,
            why,
            hops,
            history,
            index,
            asking: true,
            stages: VecDeque::new(),
            next_stage: None,
            give_up: Some(now.after(self.ringing)),
            busy: None,
            no_answer: None,
            open: 0,
            is_busy: false,
            has_refused: false,
            forwards_all: false,
            best: None,
            ended: false,
        });
        deeds.push(Deed::Ask(number));
    }

    /// The owner of a target's user has said whom to ring.
    pub fn found(&mut self, number: usize, found: Found, now: Now, deeds: &mut Vec<Deed>) {
        let ringing = self.ringing;
        let Some(target) = self.live(number).filter(|target| target.asking) else {
            return;
        };
        target.asking = false;
        target.busy = found.busy;
        if let Some(refused) = found.refused {
            target.is_busy = refused.status == 486;
            target.has_refused = true;
            let nobody = target.why == Why::Dialled && refused.status == 404;
            target.keep_better(Word::Ours, refused);
            self.to_nobody = nobody;
            return self.ended(number, now, deeds);
        }
        if let Some(to) = found.always {
            target.forwards_all = true;
            return self.send_on(number, to, 302, now, deeds);
        }
        if let Some((to, after)) = found.no_answer {
            target.no_answer = Some(to);
            target.give_up = Some(now.after(after.min(ringing)));
        }
        target.stages = found.stages.into();
        let (hops, history, index) = (target.hops, target.history.clone(), target.index.clone());
        for user in found.also {
            let known = self.targets.iter().any(|target| target.user == user);
            if known || self.targets.len() >= TARGETS_MAX || hops >= HOPS_MAX {
                continue;
            }
            if let Some(target) = self.targets.get_mut(number) {
                target.open += 1;
            }
            let (history, index) = (history.clone(), index.clone());
            self.look_for(
                user,
                Why::Beside(number),
                hops + 1,
                history,
                index,
                now,
                deeds,
            );
        }
        self.next_stage(number, now, deeds);
    }

    /// Rings a target's next endpoints, or ends it where there is nobody left.
    fn next_stage(&mut self, number: usize, now: Now, deeds: &mut Vec<Deed>) {
        let (room, wait) = (BRANCHES_MAX.saturating_sub(self.branches.len()), self.stage);
        let first = self.branches.len();
        let Some(target) = self.live(number) else {
            return;
        };
        let stage = target.stages.pop_front().unwrap_or_default();
        target.open += stage.len().min(room);
        let stage = stage.into_iter().take(room);
        self.branches.extend(stage.map(|place| Branch {
            target: number,
            place,
            ended: false,
        }));
        let rung = self.branches.len() > first;
        deeds.extend((first..self.branches.len()).map(Deed::Ring));
        let Some(target) = self.live(number) else {
            return;
        };
        target.next_stage = (!target.stages.is_empty()).then(|| now.after(wait));
        if target.open == 0 {
            if !rung && target.stages.is_empty() {
                self.ended(number, now, deeds);
            } else {
                self.next_stage(number, now, deeds);
            }
        }
    }

    /// A target that the search still cares for.
    fn live(&mut self, number: usize) -> Option<&mut Target> {
        if self.over {
            return None;
        }
        self.targets.get_mut(number).filter(|target| !target.ended)
    }

    /// A branch has ended without being answered.
    pub fn refused(&mut self, branch: usize, answer: Answer, now: Now, deeds: &mut Vec<Deed>) {
        let Some(place) = self.branches.get_mut(branch).filter(|branch| !branch.ended) else {
            return;
        };
        place.ended = true;
        let number = place.target;
        if self.over {
            return;
        }
        let Some(target) = self.live(number) else {
            return;
        };
        target.is_busy |= matches!(answer.status, 486 | 600);
        target.has_refused |= speaks_of_person(answer.status);
        // The person has said so for all their endpoints (RFC 3261 §21.6), and who rings beside them need not.
        if answer.status >= 600 {
            target.keep_better(Word::Endpoints, answer);
            self.cancel_target(number, deeds);
            return self.ended(number, now, deeds);
        }
        self.one_less(number, Word::Endpoints, answer, now, deeds);
    }

    /// Whom a branch rings wants to hear nothing of the caller any more: whatever rings for them ends, whatever any of it has said
    /// counts no more, and no rule of theirs does.
    pub fn turned_away(&mut self, branch: usize, answer: Answer, now: Now, deeds: &mut Vec<Deed>) {
        let Some(number) = self.branch(branch).map(|branch| branch.target) else {
            return;
        };
        let Some(target) = self.live(number) else {
            return;
        };
        (target.busy, target.no_answer) = (None, None);
        target.best = Some((Word::Ours, answer));
        self.cancel_target(number, deeds);
        self.ended(number, now, deeds);
    }

    /// Something that a target waits for has ended.
    fn one_less(
        &mut self,
        number: usize,
        word: Word,
        answer: Answer,
        now: Now,
        deeds: &mut Vec<Deed>,
    ) {
        let Some(target) = self.live(number) else {
            return;
        };
        target.open = target.open.saturating_sub(1);
        target.keep_better(word, answer);
        if target.open > 0 {
            return;
        }
        if target.stages.is_empty() {
            self.ended(number, now, deeds);
        } else {
            self.next_stage(number, now, deeds);
        }
    }

    /// Nobody is left to answer for a target: a rule may send the call on, else whoever waits for it learns.
    fn ended(&mut self, number: usize, now: Now, deeds: &mut Vec<Deed>) {
        let Some(target) = self.live(number) else {
            return;
        };
        // None of their endpoints was rung, or that would have ended in something.
        if !target.forwards_all && matches!(target.best, None | Some((Word::OfAnother, _))) {
            target.best = Some((Word::Ours, offline()));
        }
        if target.is_busy {
            if let Some(to) = target.busy.take() {
                return self.send_on(number, to, 486, now, deeds);
            }
        } else if !target.has_refused
            && let Some(to) = target.no_answer.take()
        {
            return self.send_on(number, to, 480, now, deeds);
        }
        target.ended = true;
        let why = target.why;
        let best = target.best.take();
        let (word, best) = best.unwrap_or_else(|| (Word::Ours, offline()));
        match why {
            Why::Dialled => self.fail(best, deeds),
            Why::Beside(parent) | Why::Instead(parent) => {
                let (word, best) = match (word, best.status) {
                    (Word::Endpoints, _) => (word, best),
                    // Who was called does exist, and nobody can be had this way.
                    (_, 404) => (Word::OfAnother, offline()),
                    _ => (Word::OfAnother, best),
                };
                self.one_less(parent, word, best, now, deeds);
            }
        }
    }

    /// Sends the call on from a target, for the reason that `cause` is the status of (RFC 3326).
    fn send_on(&mut self, number: usize, to: Aor, cause: u16, now: Now, deeds: &mut Vec<Deed>) {
        let room = self.targets.len() < TARGETS_MAX;
        let known = self.targets.iter().any(|target| target.user == to);
        let Some(target) = self.live(number) else {
            return;
        };
        target.next_stage = None;
        target.give_up = None;
        target.stages.clear();
        (target.busy, target.no_answer) = (None, None);
        if known || !room || target.hops >= HOPS_MAX {
            // The last result stands; where there is none, nobody can be reached this way (RFC 3261 §16.3 step 4).
            if target.best.is_none() {
                let answer = Answer::of(482, "The Forwards Are A Loop");
                target.best = Some((Word::Ours, answer));
            }
            return self.ended(number, now, deeds);
        }
        target.open += 1;
        let hops = target.hops + 1;
        let index: Box<str> = format!("{}.1", target.index).into();
        // Who it was for, with why it went on; and where it went (RFC 7044 §10.3).
        let before = if target.history.is_empty() {
            String::new()
        } else {
            // What stands last there is this target itself: it gets its reason now.
            target
                .history
                .rsplit_once(", ")
                .map_or(String::new(), |(before, _)| format!("{before}, "))
        };
        // Each that was mapped from another says from which (`mp`).
        let mapped = target
            .index
            .rsplit_once('.')
            .map_or(String::new(), |(from, _)| format!(";mp={from}"));
        let history = format!(
            "{before}<{}?Reason=SIP%3Bcause%3D{cause}>;index={}{mapped}, <{}>;index={index};mp={}",
            target.user.uri(),
            target.index,
            to.uri(),
            target.index,
        );
        deeds.push(Deed::Forwarding);
        self.look_for(
            to,
            Why::Instead(number),
            hops,
            history.into(),
            index,
            now,
            deeds,
        );
    }

    /// A branch has been answered. True where it is the first: the call is theirs, and nobody else rings any more.
    pub fn accepted(&mut self, branch: usize, deeds: &mut Vec<Deed>) -> bool {
        let Some(place) = self.branches.get_mut(branch).filter(|branch| !branch.ended) else {
            return false;
        };
        place.ended = true;
        if self.over {
            return false;
        }
        self.over = true;
        self.cancel_all(true, deeds);
        true
    }

    /// The caller wants it no more, or is gone.
    pub fn cancel(&mut self, deeds: &mut Vec<Deed>) {
        self.over = true;
        self.cancel_all(false, deeds);
    }

    fn fail(&mut self, answer: Answer, deeds: &mut Vec<Deed>) {
        self.over = true;
        self.cancel_all(false, deeds);
        deeds.push(Deed::Fail(answer));
    }

    fn cancel_all(&self, elsewhere: bool, deeds: &mut Vec<Deed>) {
        let open = self.branches.iter().enumerate();
        deeds.extend(
            open.filter(|(_, branch)| !branch.ended)
                .map(|(number, _)| Deed::Cancel(number, elsewhere)),
        );
    }

    /// Cancels what rings for a target, and for those beside and instead of it. Their answers count for nothing then.
    fn cancel_target(&mut self, number: usize, deeds: &mut Vec<Deed>) {
        for (at, branch) in self.branches.iter_mut().enumerate() {
            if branch.target == number && !branch.ended {
                branch.ended = true;
                deeds.push(Deed::Cancel(at, false));
            }
        }
        if let Some(target) = self.targets.get_mut(number) {
            target.open = 0;
            target.stages.clear();
            target.next_stage = None;
        }
        let children: Vec<usize> = self
            .targets
            .iter()
            .enumerate()
            .filter(|(_, target)| {
                !target.ended
                    && matches!(target.why, Why::Beside(parent) | Why::Instead(parent) if parent == number)
            })
            .map(|(child, _)| child)
            .collect();
        for child in children {
            self.cancel_target(child, deeds);
            if let Some(target) = self.targets.get_mut(child) {
                target.ended = true;
            }
        }
    }

    /// Time has passed: the next endpoints join in, or it has rung long enough.
    pub fn look(&mut self, now: Now, deeds: &mut Vec<Deed>) {
        for number in 0..self.targets.len() {
            let Some(target) = self.live(number) else {
                continue;
            };
            if target.give_up.is_some_and(|at| at <= now) {
                target.give_up = None;
                target.keep_better(Word::Ours, Answer::of(480, "No Answer"));
                self.cancel_target(number, deeds);
                self.ended(number, now, deeds);
            } else if target.next_stage.is_some_and(|at| at <= now) {
                self.next_stage(number, now, deeds);
            }
        }
    }
}

impl Target {
    fn keep_better(&mut self, word: Word, answer: Answer) {
        let place = |word: Word, answer: &Answer| (word == Word::OfAnother, answer.rank());
        match &self.best {
            Some((kept, best)) if place(*kept, best) <= place(word, &answer) => {}
            _ => self.best = Some((word, answer)),
        }
    }
}

fn offline() -> Answer {
    Answer::of(480, "The User Is Offline")
}

#[cfg(test)]
mod tests;
