//! A connection comes, falls behind, goes; and what on it is no message.

use crate::immcu::content::Outcome;
use crate::shard::effect::{Effect, Effects};
use crate::shard::letter::Letter;
use crate::shard::usage::{Answering, Usage};
use crate::shard::{
    Look, Shard, held, identity, on_answer, on_call, on_fanout, on_leg, on_register,
};
use crate::sip::build;
use crate::sip::link::{ConnectionId, Link};
use crate::sip::message::Malformed;
use crate::sip::time::Now;

use core::time::Duration;

pub(super) fn opened(
    shard: &mut Shard,
    connection: ConnectionId,
    link: Link,
    effects: &mut Effects,
) {
    // The shell gives a slot away as soon as it is free, which may be before we hear that the one who had it is gone.
    if let Some(gone) = shard.connections.in_place_of(connection) {
        closed(shard, gone, effects);
    }
    shard.connections.open(connection, link);
    let deadline = shard
        .now
        .after(Duration::from_secs(shard.settings.anonymous_s));
    shard.look_at(deadline, Look::Connection(connection));
}

/// Who was about to say who they are has as long again as time has stood still, and never more than who comes in now.
pub(super) fn stood_still(shard: &mut Shard, lasted: Duration) {
    let all = Duration::from_secs(shard.settings.anonymous_s);
    shard.strangers_until = shard.now.after(lasted.min(all));
}

/// The wheel looks at a connection's association then, or sooner.
pub(super) fn arm(shard: &mut Shard, connection: ConnectionId, at: Now) {
    let now = shard.now;
    if let Some(found) = shard.connections.get_mut(connection)
        && let Some(at) = found.armed.arm(now, at)
    {
        shard.look_at(at, Look::Connection(connection));
    }
}

/// Nobody authenticated for too long: the slot is for somebody who does. Or somebody did, and what both sides sign with
/// has had its time.
pub(super) fn look(shard: &mut Shard, connection: ConnectionId, effects: &mut Effects) {
    let now = shard.now;
    let Some(found) = shard.connections.get_mut(connection) else {
        return;
    };
    let is_due = found.armed.is_due(now);
    let until = shard.strangers_until;
    let reason = match &found.association {
        _ if found.user.is_none() && now < until => {
            return shard.look_at(until, Look::Connection(connection));
        }
        _ if found.user.is_none() => "did not authenticate in time",
        Some(association) if association.until() <= now => "did not authenticate again in time",
        Some(association) if is_due => {
            let until = association.until();
            return arm(shard, connection, until);
        }
        _ => return,
    };
    effects.list.push(Effect::Close { connection, reason });
}

pub(super) fn malformed(
    shard: &mut Shard,
    connection: ConnectionId,
    malformed: &Malformed<'_>,
    effects: &mut Effects,
) {
    if shard.connections.get(connection).is_none() {
        return;
    }
    if let Some(partial) = &malformed.partial {
        let tag = shard.fresh_tag();
        let (status, reason) = (malformed.fault.status(), malformed.fault.reason());
        effects.count(partial.method(), status, true);
        effects.send(connection, |out| {
            let draft = build::response_reason(out, partial, status, reason, Some(&tag));
            draft.finish();
        });
    }
    if malformed.framing_lost {
        effects.list.push(Effect::Close {
            connection,
            reason: "framing lost",
        });
    }
}

pub(super) fn behind(shard: &mut Shard, connection: ConnectionId) {
    if let Some(connection) = shard.connections.get_mut(connection) {
        connection.behind = true;
    }
}

/// It has caught up.
pub(super) fn drained(shard: &mut Shard, id: ConnectionId, effects: &mut Effects) {
    if let Some(connection) = shard.connections.get_mut(id) {
        connection.behind = false;
        tell_on(shard, id, effects);
    }
}

/// What was kept back goes out, states as the newest of them, as far as there is room in this turn; the rest in those that follow.
pub(super) fn tell_on(shard: &mut Shard, id: ConnectionId, effects: &mut Effects) {
    let Some(connection) = shard.connections.get(id) else {
        return;
    };
    if connection.held.is_some() {
        held::drop_taken_back(shard, id, effects);
        shard.eased.push(id);
    }
    let Some(connection) = shard.connections.get(id) else {
        return;
    };
    let chain = connection.dialogs;
    let keys: Vec<_> = shard.dialogs.keys(&chain).collect();
    for key in keys {
        let stale = matches!(
            shard.dialogs.get(key).map(|association| &association.usage),
            Some(Usage::Subscription(subscription)) if subscription.stale && !subscription.outstanding
        );
        if !stale {
            continue;
        }
        if shard.connections.room(id, shard.now) == 0 {
            return on_fanout::later(shard, id, effects);
        }
        shard.notify(key, effects);
    }
}

/// A dropped connection ends at once all that lived by it: bindings, publications, subscriptions, legs; requests of
/// ours fail, and requests of theirs have nobody left to answer.
pub(super) fn closed(shard: &mut Shard, id: ConnectionId, effects: &mut Effects) {
    // Taken out first: what is undone below can't hang anything new on it.
    let Some(mut connection) = shard.connections.close(id) else {
        return;
    };
    while let Some(key) = connection.servers.first() {
        let ticket = shard.ticket(key);
        shard.servers.close(&mut connection.servers, key);
        shard.own_copies.remove(&key);
        // Who invited can't hear the answer: it need ring no longer.
        if let Some(Answering::Invitation(session)) = shard.answering.remove(&key) {
            shard.post_session(session, Letter::Uninvite { session, ticket }, effects);
        }
    }
    // Both lists before either is worked off: a request that fails may take its dialog along, and this chain, which is ours
    // alone now, would then begin with a dialog that is gone.
    let requests: Vec<_> = shard.clients.keys(&connection.clients).collect();
    let dialogs: Vec<_> = shard.dialogs.keys(&connection.dialogs).collect();
    let ends: Vec<_> = shard.ends.keys(&connection.ends).collect();
    for key in requests {
        on_answer::failed(shard, key, &Outcome::with(480, "Connection Lost"), effects);
    }
    for key in ends {
        on_call::lose(shard, key, "connection lost", effects);
    }
    for key in dialogs {
        on_leg::lost(shard, key, "connection lost", effects);
    }
    if let Some(user) = connection.user {
        if connection.counted {
            identity::count_off(shard, &user);
        }
        on_register::connection_gone(shard, &user, id, effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::input::Input;
    use crate::shard::{Settings, ShardId};
    use crate::sip::link::Transport;

    const BEGIN: Now = Now(1_700_000_000_000_000);

    /// In which second a connection that says nothing is closed, where time stands still from and to such seconds.
    fn closed_s(anonymous_s: u64, still_s: core::ops::Range<u64>) -> Option<u64> {
        let settings = Settings {
            anonymous_s,
            ..Settings::default()
        };
        let mut shard = Shard::new(ShardId(0), settings, [1; 32], [2; 32], BEGIN);
        let (connection, mut effects) = (ConnectionId::new(0, 1), Effects::default());
        let link = Link {
            transport: Transport::Tls,
            local: ([127, 0, 0, 1], 5061).into(),
            peer: ([127, 0, 0, 1], 40_000).into(),
            moves: 0,
            failures: 0,
        };
        shard.handle(BEGIN, Input::Opened { connection, link }, &mut effects);
        let closes = |effect: &Effect| matches!(effect, Effect::Close { .. });
        (1..1300).find(|s| {
            let now = BEGIN.after(Duration::from_secs(*s));
            if *s == still_s.end {
                let lasted = Duration::from_secs(still_s.end - still_s.start);
                shard.handle(now, Input::StoodStill { lasted }, &mut effects);
            }
            if !still_s.contains(s) {
                shard.handle(now, Input::Tick, &mut effects);
            }
            effects.list.iter().any(closes)
        })
    }

    /// Longer than a wheel's entry lies: see `armed`.
    #[test]
    fn who_says_nothing_has_all_the_time_that_is_configured() {
        let closed_s = closed_s(1200, 0..0);
        assert!(
            matches!(closed_s, Some(1200 | 1201)),
            "closed after {closed_s:?} s"
        );
    }

    /// Who was told 401 by a shard that had stalled must have the time to answer it.
    #[test]
    fn a_stall_takes_nothing_off_a_strangers_time() {
        for (still_s, expected) in [(20..25, 30), (28..40, 52), (10..70, 100), (10..700, 730)] {
            let closed_s = closed_s(30, still_s.clone());
            assert!(
                closed_s.is_some_and(|s| (expected..expected + 2).contains(&s)),
                "closed after {closed_s:?} s, still in {still_s:?}"
            );
        }
    }
}
