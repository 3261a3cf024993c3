//! What many watch is told bit by bit: after each slice others have their turn, and then a letter of the shard to itself goes on.
//!
//! A shard with much to do tells more at a time, as many watchers as it has taken in messages meanwhile: so what is told
//! and what comes in each get about half of a full shard, and neither waits for the end of the other.
//!
//! So it is with what one connection is told: what is more than a turn may send it waits here for the next one.

use std::collections::VecDeque;

use crate::immcu::content::Outcome;
use crate::presence::{Fanouts, Level, Package, SubscriptionKey};
use crate::shard::connection::TOLD_BYTES_MAX;
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::letter::Letter;
use crate::shard::{Shard, on_connection, on_state};
use crate::sip::link::ConnectionId;
use crate::sip::slack::Slack;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// Watchers in a slice, however busy the shard is: about a millisecond of the core's work.
const SLICE_MAX: usize = 256;

/// What a watcher is to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    /// To ask the owner anew what it may see.
    Ask,
    /// To end: the user is no more.
    End,
}

/// What is told bit by bit.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// Changes, each to many watchers.
    pub fanouts: Fanouts,
    /// What many watchers of one user are to do, other than to be told what is new.
    errands: VecDeque<(Errand, Package, Aor, Vec<SubscriptionKey>)>,
    /// Connections that are to be told more than a turn may, each once.
    connections: VecDeque<ConnectionId>,
    /// A letter is on its way that goes on.
    going: bool,
    /// Messages that have come since the last slice.
    pub messages: usize,
}

impl Telling {
    /// How many changes have not been told to the end, and how many connections not all.
    pub fn len(&self) -> usize {
        self.fanouts.len() + self.errands.len() + self.connections.len()
    }

    /// Nobody can see anything of `user` any more.
    pub fn forget(&mut self, package: Package, user: &Aor) {
        self.fanouts.forget_all(package, user);
        self.errands
            .retain(|(_, of, whom, _)| *of != package || whom != user);
    }

    /// `key` has asked anew by itself, and the owner has answered it: that the user was gone before is no news to it.
    pub fn answered(&mut self, package: Package, user: &Aor, key: SubscriptionKey) {
        for (errand, of, whom, keys) in &mut self.errands {
            if matches!(errand, Errand::End) && *of == package && whom == user {
                keys.retain(|other| *other != key);
            }
        }
    }
}

impl Slack for Telling {
    fn give_back(&mut self) -> usize {
        self.fanouts.give_back() + self.errands.give_back() + self.connections.give_back()
    }

    fn room(&self) -> usize {
        self.fanouts.room() + self.errands.room() + self.connections.room()
    }
}

/// A change that more watch than are told at once.
pub(super) fn begin(
    shard: &mut Shard,
    package: Package,
    user: &Aor,
    level: Level,
    published: Option<Now>,
    effects: &mut Effects,
) {
    let fanouts = &mut shard.telling.fanouts;
    fanouts.begin(package, user, level, published);
    start(shard, effects);
}

/// All of these are sent on the same errand.
pub(super) fn send_all(
    shard: &mut Shard,
    errand: Errand,
    package: Package,
    user: &Aor,
    keys: Vec<SubscriptionKey>,
    effects: &mut Effects,
) {
    if keys.len() <= shard.settings.slice_watchers {
        for key in keys {
            send(shard, errand, package, user, key, effects);
        }
        return;
    }
    let errands = &mut shard.telling.errands;
    errands.push_back((errand, package, user.clone(), keys));
    start(shard, effects);
}

fn send(
    shard: &mut Shard,
    errand: Errand,
    package: Package,
    user: &Aor,
    key: SubscriptionKey,
    effects: &mut Effects,
) {
    match errand {
        Errand::Ask => on_state::ask_anew(shard, package, user, key, effects),
        Errand::End => {
            let outcome = Outcome::with(404, "No Such User");
            on_state::refused(shard, user, key, &outcome, effects);
        }
    }
}

/// There is more to tell a connection than a turn may take. One that is behind is told when it has caught up.
pub(super) fn later(shard: &mut Shard, id: ConnectionId, effects: &mut Effects) {
    let connection = shard.connections.get_mut(id);
    let Some(connection) = connection.filter(|connection| !connection.behind) else {
        return;
    };
    if !core::mem::replace(&mut connection.told_later, true) {
        shard.telling.connections.push_back(id);
        start(shard, effects);
    }
}

fn start(shard: &mut Shard, effects: &mut Effects) {
    if core::mem::replace(&mut shard.telling.going, true) {
        return;
    }
    shard.telling.messages = 0;
    // Not through `post`, which would go on at once.
    let (to, letter) = (shard.me, Letter::TellOn);
    effects.list.push(Effect::Post { to, letter });
}

/// The next slice of whatever's turn it is.
pub(super) fn go_on(shard: &mut Shard, effects: &mut Effects) {
    let messages = core::mem::take(&mut shard.telling.messages);
    let least = shard.settings.slice_watchers.max(1);
    let count_max = messages.clamp(least, SLICE_MAX.max(least));
    if let Some(mut fanout) = shard.telling.fanouts.pop() {
        let mut slice = Vec::with_capacity(count_max);
        let watching = shard
            .watching
            .view(fanout.package, &fanout.user, fanout.level);
        let more = fanout.take(watching, count_max, &mut slice);
        for key in slice {
            on_state::changed(shard, &fanout.user, key, effects);
        }
        if more {
            shard.telling.fanouts.later(fanout);
        } else {
            observe(fanout.since, effects);
        }
    }
    if let Some((errand, package, user, mut keys)) = shard.telling.errands.pop_front() {
        for key in keys.split_off(keys.len().saturating_sub(count_max)) {
            send(shard, errand, package, &user, key, effects);
        }
        if !keys.is_empty() {
            let errands = &mut shard.telling.errands;
            errands.push_back((errand, package, user, keys));
        }
    }
    let written = effects.bytes.len();
    for _ in 0..shard.telling.connections.len() {
        let Some(id) = shard.telling.connections.pop_front() else {
            break;
        };
        if let Some(connection) = shard.connections.get_mut(id) {
            connection.told_later = false;
            // It finds no room where this letter has come in the turn that it was written in: then the next one goes on.
            on_connection::tell_on(shard, id, effects);
        }
        if effects.bytes.len() - written >= TOLD_BYTES_MAX {
            break;
        }
    }
    shard.telling.going = false;
    if shard.telling.len() > 0 {
        start(shard, effects);
    }
}

/// All watchers on this shard have been told of what was published then.
pub(super) fn observe(published: Option<Now>, effects: &mut Effects) {
    if let Some(since) = published {
        effects.list.push(Effect::Observe {
            latency: Latency::PublishToNotify,
            since,
        });
    }
}
