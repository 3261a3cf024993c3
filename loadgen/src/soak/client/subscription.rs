//! What a client watches: its contact list, and one presentity for a while; what NOTIFY says of them, and whether it may.
//!
//! Each subscription that is granted is told at once (RFC 6665 §4.2.1.2), in the order of its dialog, until it is over. Of each
//! presentity only who it is and the newest state's number are kept, in four bytes. A poll keeps nothing but that it waits.

use muster::sip::dialog::{Dialog, LowerCSeq};
use muster::sip::header::{Name, SubscriptionState};
use muster::sip::message::Message;

use super::{Client, Pending, Scene, Task, again_s, seconds};
use crate::content::Stamp;
use crate::remote::Remote;
use crate::soak::published::{NUMBER, NUMBER_BITS};
use crate::soak::sight::{Sight, Timed};
use crate::soak::speech;

/// The subscription to the whole contact list. In memory it is 56 bytes, some 50 for its dialog, and four for each
/// contact: 270 with 40 of them.
pub(super) struct Contacts {
    /// When it was asked for: what is meant later is a change.
    since_us: u64,
    /// When it was last asked for, s of `clock`.
    asked_s: u32,
    granted_s: u32,
    /// In its Call-ID.
    number: u32,
    /// Of the last NOTIFY; 0 before the first.
    cseq: u32,
    remote: Remote,
    seen: Box<[Seen]>,
}

/// A short subscription.
pub(super) struct Watch {
    since_us: u64,
    granted_s: u32,
    number: u32,
    pub dialog: Dialog,
    seen: Seen,
    pub stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    On,
    /// Its end is asked for.
    Ending,
    /// And granted; what waits is its first NOTIFY.
    Over,
}

/// A presentity and its newest state, in one word: the user above (two million at most), below the lowest bits of one more
/// than the state's number; 0 before any. They are far from coming around while a watcher is told nothing: that would be a
/// thousand publications of one user.
#[derive(Clone, Copy)]
struct Seen(u32);

impl Seen {
    fn nothing_of(user: u32) -> Seen {
        Seen(user << NUMBER_BITS)
    }

    fn user(self) -> u32 {
        self.0 >> NUMBER_BITS
    }

    /// Whether the state with this number came, or one after it.
    fn knows(self, number: u32) -> bool {
        let ahead = (self.0 & NUMBER).wrapping_sub(number) & NUMBER;
        // 0 is the number of a state once in a while; then nobody can tell, and nothing is said.
        number == 0 || (self.0 & NUMBER != 0 && ahead <= NUMBER / 2)
    }

    /// Takes in a state of this user that a subscription asked for at `since_us` is told of.
    fn take(&mut self, stamp: &Stamp, since_us: u64, now_us: u64, sight: &mut Sight) {
        let (number, before) = (stamp.sequence.wrapping_add(1) & NUMBER, self.0 & NUMBER);
        let ahead = number.wrapping_sub(before) & NUMBER;
        if before != 0 && ahead > NUMBER / 2 {
            sight.counts.older_states += 1;
            sight.example(|| {
                format!(
                    "older state: number {} of user {} came after a newer one",
                    stamp.sequence, stamp.sender
                )
            });
            return;
        }
        // Told again, e.g. since another contact's is new; or what was before the subscription.
        let is_news = (before == 0 || ahead != 0) && stamp.intended_us > since_us;
        self.0 = stamp.sender << NUMBER_BITS | number;
        if is_news {
            let late_us = now_us.saturating_sub(stamp.intended_us);
            sight.interval.record(Timed::Notified, late_us);
        }
    }
}

impl Contacts {
    pub fn new(number: u32, contacts: &[u32], now_us: u64) -> Contacts {
        Contacts {
            since_us: now_us,
            asked_s: seconds(now_us),
            granted_s: speech::EXPIRES_S,
            number,
            cseq: 0,
            remote: Remote::default(),
            seen: contacts.iter().copied().map(Seen::nothing_of).collect(),
        }
    }
}

impl Watch {
    pub fn new(number: u32, presentity: u32, dialog: Dialog, now_us: u64) -> Watch {
        Watch {
            since_us: now_us,
            granted_s: speech::SHORT_S,
            number,
            dialog,
            seen: Seen::nothing_of(presentity),
            stage: Stage::On,
        }
    }

    /// Whether what was granted has ended by itself: then the dialog is gone.
    pub fn has_ended(&self, now_us: u64) -> bool {
        has_ended(self.since_us, self.granted_s, now_us)
    }
}

/// Both clocks begin between our SUBSCRIBE and its answer; a second is for rounding.
fn has_ended(since_us: u64, granted_s: u32, now_us: u64) -> bool {
    now_us + 1_000_000 >= since_us + u64::from(granted_s) * 1_000_000
}

impl Client {
    /// A SUBSCRIBE was answered 200: its first NOTIFY, if that has not come before, is to come in time.
    pub(super) fn granted(&mut self, task: Task, message: &Message<'_>, scene: &mut Scene<'_>) {
        let (kind, number) = match task {
            Task::Contacts | Task::Renew => {
                let Some(contacts) = &mut self.contacts else {
                    return;
                };
                contacts.granted_s = message.expires().unwrap_or(contacts.granted_s);
                self.renew_s = again_s(scene.now_us, contacts.granted_s);
                if task == Task::Contacts {
                    match Remote::of(message) {
                        Some(remote) => contacts.remote = remote,
                        None => scene.sight.faults.add(NO_DIALOG.into(), 1),
                    }
                }
                if contacts.cseq != 0 {
                    return;
                }
                (speech::LIST, contacts.number)
            }
            Task::Watch { number } => {
                let Some(watch) = self.watch_of(number) else {
                    return;
                };
                if watch.dialog.accepted(message).is_err() {
                    scene.sight.faults.add(NO_DIALOG.into(), 1);
                }
                watch.granted_s = message.expires().unwrap_or(watch.granted_s);
                if watch.dialog.has_heard() {
                    return;
                }
                (speech::WATCH, number)
            }
            Task::Poll { told: true, .. } => return,
            Task::Poll { number, .. } => (speech::POLL, number),
            _ => return,
        };
        self.busy.get_or_insert_default().pending.push(Pending {
            // No request has this number, so no answer ends it.
            number: 0,
            task: Task::FirstNotify { kind, number },
            intended_us: scene.now_us,
            deadline_us: scene.now_us + scene.world.timeout_us,
            challenged: 0,
        });
    }

    /// Asks for the contacts' states for longer, in the dialog (RFC 6665 §4.1.2.2).
    pub(super) fn renew(&mut self, scene: &mut Scene<'_>) {
        self.renew_s = 0;
        self.number += 1;
        let frame = self.frame(scene);
        self.number -= 1;
        let Some(contacts) = &mut self.contacts else {
            return;
        };
        contacts.asked_s = seconds(scene.now_us);
        let user = scene.world.seats.user_of(self.seat);
        let (number, remote) = (contacts.number, &contacts.remote);
        speech::renew(&frame, scene.world, user, number, remote, scene.out);
        self.pend(Task::Renew, scene.now_us, 0, scene);
    }

    /// The end of a short subscription was granted. Where nothing was told of it yet, that is still owed.
    pub(super) fn unwatched(&mut self, number: u32) {
        match self.watch_of(number) {
            Some(watch) if !watch.dialog.has_heard() => watch.stage = Stage::Over,
            _ => self.forget_watch(number),
        }
    }

    /// Returns the status of the answer.
    pub(super) fn on_notify(&mut self, message: &Message<'_>, scene: &mut Scene<'_>) -> u16 {
        scene.sight.counts.notifies += 1;
        let of = speech::subscription_of(message.call_id(), scene.world.run, self.seat);
        let Some((kind, number)) = of else {
            let what = "a NOTIFY of a subscription that is not this endpoint's";
            scene.sight.faults.add(what.into(), 1);
            return 481;
        };
        self.told(kind, number);
        let state = message
            .header(Name::SubscriptionState)
            .and_then(|value| SubscriptionState::parse(value).ok());
        if state.is_none() {
            let what = "a NOTIFY without a readable Subscription-State";
            scene.sight.faults.add(what.into(), 1);
        }
        let state = state.filter(|state| state.state.eq_ignore_ascii_case("terminated"));
        let is_last = state.is_some();
        let reason = state.and_then(|state| state.reason()).unwrap_or("none");
        let ends_unasked = match kind {
            speech::LIST => self.list_told(number, message, is_last, scene),
            speech::WATCH => self.watch_told(number, message, is_last, scene),
            // What was asked once is over when it is told.
            _ => Ok(false),
        };
        match ends_unasked {
            Err(LowerCSeq) => {
                let what = "a NOTIFY with a CSeq that does not rise";
                scene.sight.faults.add(what.into(), 1);
                500
            }
            Ok(true) if !self.signs_off() => {
                let what = format!("a subscription ended unasked, reason {reason}");
                scene.sight.faults.add(what, 1);
                200
            }
            Ok(_) => 200,
        }
    }

    /// Nothing is owed any more of this subscription's first NOTIFY.
    fn told(&mut self, kind: u8, number: u32) {
        let Some(busy) = &mut self.busy else { return };
        let first = Task::FirstNotify { kind, number };
        busy.pending.retain(|pending| pending.task != first);
        if kind == speech::POLL {
            for pending in &mut busy.pending {
                match &mut pending.task {
                    Task::Poll { number: of, told } if *of == number => *told = true,
                    _ => {}
                }
            }
        }
    }

    fn list_told(
        &mut self,
        number: u32,
        message: &Message<'_>,
        is_last: bool,
        scene: &mut Scene<'_>,
    ) -> Result<bool, LowerCSeq> {
        let now_us = scene.now_us;
        let list = self.contacts.as_mut().filter(|list| list.number == number);
        // One that was given up: it was not answered in time.
        let Some(list) = list else { return Ok(false) };
        // RFC 3261 §12.2.2; equal is as wrong, since TLS repeats nothing.
        if message.cseq().number <= list.cseq {
            return Err(LowerCSeq);
        }
        list.cseq = message.cseq().number;
        for stamp in speech::states(message.body(), scene.world.run) {
            let mut seen = list.seen.iter_mut();
            match seen.find(|seen| seen.user() == stamp.sender) {
                Some(seen) => seen.take(&stamp, list.since_us, now_us, scene.sight),
                None => scene.sight.faults.add(NOT_WATCHED.into(), 1),
            }
        }
        let asked_us = u64::from(list.asked_s) * 1_000_000;
        let unasked = is_last && !has_ended(asked_us, list.granted_s, now_us);
        if is_last {
            (self.contacts, self.renew_s) = (None, 0);
        }
        Ok(unasked)
    }

    fn watch_told(
        &mut self,
        number: u32,
        message: &Message<'_>,
        is_last: bool,
        scene: &mut Scene<'_>,
    ) -> Result<bool, LowerCSeq> {
        let Some(watch) = self.watch_of(number) else {
            // The last NOTIFY of one that we ended.
            return Ok(false);
        };
        let taken = watch.dialog.take_cseq(message.cseq().number);
        taken.map_err(|_| LowerCSeq)?;
        for stamp in speech::states(message.body(), scene.world.run) {
            if stamp.sender == watch.seen.user() {
                let since_us = watch.since_us;
                watch.seen.take(&stamp, since_us, scene.now_us, scene.sight);
            } else {
                scene.sight.faults.add(NOT_WATCHED.into(), 1);
            }
        }
        let unasked = is_last && watch.stage == Stage::On && !watch.has_ended(scene.now_us);
        if is_last || watch.stage == Stage::Over {
            self.forget_watch(number);
        }
        Ok(unasked)
    }

    /// Looks whether what is watched is known as it has been for a while: each change is told (RFC 6665 §4.2.1).
    pub fn look(&mut self, scene: &mut Scene<'_>) {
        if !self.is_registered() || self.signs_off() {
            return;
        }
        let (now_us, timeout_us) = (scene.now_us, scene.world.timeout_us);
        let list = self.contacts.iter().filter(|list| {
            let asked_us = u64::from(list.asked_s) * 1_000_000;
            !has_ended(asked_us, list.granted_s, now_us)
        });
        let watches = self.busy.iter().flat_map(|busy| &busy.watches);
        let watches = watches.filter(|watch| watch.stage == Stage::On && !watch.has_ended(now_us));
        let all = list
            .map(|list| (list.since_us, &list.seen[..]))
            .chain(watches.map(|watch| (watch.since_us, std::slice::from_ref(&watch.seen))));
        // Who began to watch just now may not have been told yet.
        for seen in all
            .filter(|(since_us, _)| since_us + timeout_us <= now_us)
            .flat_map(|(_, seen)| seen)
        {
            let newest = scene.world.published.newest(seen.user());
            let Some(newest) = newest.filter(|newest| newest.is_due(now_us, timeout_us)) else {
                continue;
            };
            scene.sight.counts.states_due += 1;
            if !seen.knows(newest.number) {
                scene.sight.counts.states_untold += 1;
                scene.sight.example(|| {
                    format!(
                        "untold state: the newest of user {}, taken {} s ago, at seat {}",
                        seen.user(),
                        now_us.saturating_sub(newest.answered_ms * 1000) / 1_000_000,
                        self.seat
                    )
                });
            }
        }
    }

    pub(super) fn watch_of(&mut self, number: u32) -> Option<&mut Watch> {
        let watches = &mut self.busy.as_mut()?.watches;
        watches.iter_mut().find(|watch| watch.number == number)
    }

    pub(super) fn forget_watch(&mut self, number: u32) {
        if let Some(busy) = &mut self.busy {
            busy.watches.retain(|watch| watch.number != number);
        }
    }
}

const NO_DIALOG: &str = "a 200 to SUBSCRIBE without Contact or tag";
const NOT_WATCHED: &str = "a NOTIFY with the state of somebody who is not watched";

#[cfg(test)]
mod tests;
