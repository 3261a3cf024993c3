//! Whom a user has blocked: what the two have open ends, as if the user had gone. Conversations of two, calls, and what rings.
//!
//! All connections of a user are at the user's owner, so whom the user has something open with is known here: of what the user
//! began the session or the call itself says it, of what another began their From, which is who authenticated. Who has called
//! without a name (RFC 3323) is nobody there, and stays, ringing or not: to end it would tell the user who it is. Conferences
//! stay, for they are between the user and all others. What somebody has open on a connection without an endpoint stays
//! too; what they write there outside a dialog is refused.

use crate::immcu::leg::{Leg, State};
use crate::immcu::session::Kind;
use crate::presence::Level;
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::on_watch::level_of;
use crate::shard::usage::{Call, End, EndKey, Stage, Usage};
use crate::shard::{Shard, UserKey, on_call_end, on_leg, on_ring};
use crate::sip::dialog::DialogKey;
use crate::sip::header::NameAddr;
use crate::sip::uri::Aor;

/// Why it ends, for the records: to the other side the user has hung up.
const REASON: &str = "left";

/// The user's rules have changed.
pub(super) fn part(shard: &mut Shard, key: UserKey, effects: &mut Effects) {
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let endpoints = user.bindings.endpoints(shard.now);
    let places: Vec<_> = endpoints.map(|endpoint| endpoint.connection).collect();
    let (mut legs, mut ends) = (Vec::new(), Vec::new());
    for place in places {
        let Some(connection) = shard.connections.get(place) else {
            continue;
        };
        let dialogs = shard.dialogs.keys(&connection.dialogs);
        legs.extend(dialogs.filter(|leg| {
            other_of_leg(shard, *leg).is_some_and(|other| is_blocked(shard, key, &other))
        }));
        ends.extend(shard.ends_on(place).filter(|end| {
            other_of_call(shard, *end).is_some_and(|other| is_blocked(shard, key, &other))
        }));
    }
    for leg in legs {
        match shard.leg(leg).map(|leg| leg.state) {
            Some(State::Ringing(ringing, _)) => on_ring::turn_away(shard, ringing, effects),
            Some(State::Established | State::Confirming(_)) => {
                on_leg::give_up(shard, leg, REASON, effects);
            }
            Some(State::Offered(_)) | None => {}
        }
    }
    for end in ends {
        let Some(&End {
            call,
            number: end,
            stage,
            ..
        }) = shard.ends.get(end)
        else {
            continue;
        };
        let letter = match stage {
            Stage::Cancelled | Stage::Referred => continue,
            // The call's owner takes it back, there and wherever else it rings for the user.
            Stage::Ringing => Letter::CallTurnedAway { call, end },
            Stage::Accepted | Stage::Talking(_) => {
                on_call_end::over(shard, call, end, effects);
                let reason = REASON;
                Letter::CallEnded { call, end, reason }
            }
        };
        shard.post_session(call, letter, effects);
    }
}

fn is_blocked(shard: &Shard, key: UserKey, other: &Aor) -> bool {
    level_of(shard, key, other) == Level::Blocked
}

/// With whom a leg of a session of two speaks, or would.
fn other_of_leg(shard: &Shard, key: DialogKey) -> Option<Aor> {
    let association = shard.dialogs.get(key)?;
    let Usage::Leg(Leg {
        session,
        user,
        theirs,
        focus: false,
        pages: None,
        ..
    }) = &association.usage
    else {
        return None;
    };
    if !theirs {
        return NameAddr::aor_in(association.dialog.local());
    }
    let session = shard.sessions.get(session)?;
    let mut others = session.participants.iter().map(|one| &one.user);
    let other = others.find(|other| *other != user);
    other.filter(|_| session.kind == Kind::TwoParty).cloned()
}

/// With whom a client talks, or by whom it is rung, as far as its user knows.
fn other_of_call(shard: &Shard, key: EndKey) -> Option<Aor> {
    let end = shard.ends.get(key)?;
    if end.number > 0 {
        return NameAddr::aor_in(end.threads.template().local());
    }
    let Call {
        search, answered, ..
    } = shard.calls.get(&end.call)?;
    let branch = search.branch((*answered)?)?;
    Some(search.target(branch.target)?.user.clone())
}
