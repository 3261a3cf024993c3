//! A conference's roster on the shard of who watches it (RFC 4575): what the session's owner says, to each subscription here.
//! The owner knows only the shard; whose roster it is and who may read it is `on_roster`.

use std::sync::Arc;

use crate::dialect::Dialect;
use crate::immcu::SessionId;
use crate::immcu::content::Outcome;
use crate::immcu::session::LegRef;
use crate::shard::effect::Effects;
use crate::shard::letter::{Letter, LyncRoster};
use crate::shard::usage::{Roster, Usage};
use crate::shard::{Shard, on_leg, on_subscribe};
use crate::sip::dialog::DialogKey;
use crate::sip::link::ConnectionId;
use crate::sip::uri::Aor;

/// A new subscription: the owner is asked whether it may.
pub(super) fn subscribe(
    shard: &mut Shard,
    session: SessionId,
    user: Aor,
    key: DialogKey,
    effects: &mut Effects,
) {
    let subscription = shard.leg_ref(key);
    let roster = shard.rosters.entry(session).or_insert_with(|| Roster {
        version: 0,
        full: Arc::from(&[][..]),
        partial: Arc::from(&[][..]),
        lync: None,
        subscriptions: Vec::new(),
        asking: 0,
    });
    roster.asking += 1;
    let connection = shard.dialogs.get(key).map(|dialog| dialog.connection);
    let dialect = connection.map_or(Dialect::Simple, |id| shard.connections.dialect(id));
    shard.post_session(
        session,
        Letter::WatchRoster {
            session,
            user,
            subscription,
            dialect,
        },
        effects,
    );
}

/// A subscription has ended.
pub(super) fn unsubscribe(
    shard: &mut Shard,
    session: SessionId,
    key: DialogKey,
    effects: &mut Effects,
) {
    if let Some(roster) = shard.rosters.get_mut(&session) {
        roster.subscriptions.retain(|other| *other != key);
    }
    unwatch_empty(shard, session, effects);
}

/// A conference's owner: the roster.
#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn roster(
    shard: &mut Shard,
    session: SessionId,
    version: u32,
    full: Arc<[u8]>,
    partial: Arc<[u8]>,
    lync: Option<LyncRoster>,
    subscription: Option<LegRef>,
    effects: &mut Effects,
) {
    // Nobody here watches it any more, and its owner will hear so.
    let Some(roster) = shard.rosters.get_mut(&session) else {
        return;
    };
    if version >= roster.version {
        (roster.version, roster.full) = (version, full);
        roster.partial = partial;
        // An answer to another subscriber says nothing of it, and it is none the older for that.
        if lync.is_some() {
            roster.lync = lync;
        }
    }
    if subscription.is_some() {
        roster.asking = roster.asking.saturating_sub(1);
    }
    match subscription.map(on_leg::key_of) {
        Some(key) if shard.dialogs.get(key).is_some() => {
            roster.subscriptions.push(key);
            on_subscribe::grant(shard, key, effects);
        }
        Some(_) => {}
        None => {
            for key in roster.subscriptions.clone() {
                shard.notify(key, effects);
            }
        }
    }
    unwatch_empty(shard, session, effects);
}

/// The conference's owner: this subscription to its roster is refused.
pub(super) fn refused(
    shard: &mut Shard,
    session: SessionId,
    key: DialogKey,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    if let Some(roster) = shard.rosters.get_mut(&session) {
        roster.asking = roster.asking.saturating_sub(1);
    }
    on_subscribe::refused(shard, key, outcome, effects);
    unwatch_empty(shard, session, effects);
}

/// The conference is over (RFC 4575 §4.4): so are its subscriptions. Those that are still asked about will be refused.
pub(super) fn ended(shard: &mut Shard, session: SessionId, effects: &mut Effects) {
    let Some(roster) = shard.rosters.get_mut(&session) else {
        return;
    };
    for key in core::mem::take(&mut roster.subscriptions) {
        shard.terminate(key, "noresource", effects);
    }
    unwatch_empty(shard, session, effects);
}

/// A user has left the conference with their last leg: only members see the roster.
pub(super) fn lost(
    shard: &mut Shard,
    session: SessionId,
    user: &Aor,
    dialect: Option<Dialect>,
    effects: &mut Effects,
) {
    let Some(roster) = shard.rosters.get(&session) else {
        return;
    };
    let theirs: Vec<DialogKey> = roster
        .subscriptions
        .iter()
        .copied()
        .filter(|key| {
            let Some(association) = shard.dialogs.get(*key) else {
                return false;
            };
            let speaks = shard.connections.dialect(association.connection);
            matches!(
                &association.usage,
                Usage::Subscription(subscription) if subscription.watcher == *user
            ) && dialect.is_none_or(|dialect| dialect == speaks)
        })
        .collect();
    for key in theirs {
        shard.terminate(key, "rejected", effects);
    }
}

/// A Lync client has left the focus and reads no roster without it, whatever else it has there for a moment still.
pub(super) fn left_focus(
    shard: &mut Shard,
    session: SessionId,
    connection: ConnectionId,
    effects: &mut Effects,
) {
    let Some(roster) = shard.rosters.get(&session) else {
        return;
    };
    let there = |key: &DialogKey| {
        let association = shard.dialogs.get(*key);
        association.is_some_and(|association| association.connection == connection)
    };
    let theirs: Vec<DialogKey> = roster.subscriptions.iter().copied().filter(there).collect();
    for key in theirs {
        shard.terminate(key, "rejected", effects);
    }
}

/// Nobody here watches the roster any more: its owner is told.
fn unwatch_empty(shard: &mut Shard, session: SessionId, effects: &mut Effects) {
    if shard
        .rosters
        .get(&session)
        .is_some_and(|roster| roster.subscriptions.is_empty() && roster.asking == 0)
    {
        shard.rosters.remove(&session);
        let letter = Letter::UnwatchRoster {
            session,
            shard: shard.me,
        };
        shard.post_session(session, letter, effects);
    }
}
