//! A call at the owner of whom it is for: their rules, whether they want it, and which endpoints ring.
//!
//! | it is | what is done |
//! | --- | --- |
//! | to nobody of ours | 404 |
//! | with Replaces (RFC 3891) | the endpoint that has that dialog rings alone; 481 where none has |
//! | from somebody who is blocked | 480, as for a user who is offline, and no rule counts |
//! | to one endpoint (GRUU, RFC 5627) | that one rings, and no rule counts; 486 where its user does not want to be disturbed |
//! | to somebody who forwards every call | it goes there |
//! | to somebody who does not want to be disturbed | it goes where their calls go when they are busy, else 486 |
//! | from somebody who rings there often enough | 486; looked at once more where it rings |
//! | any other | their endpoints ring in their order, and whoever rings beside them |

use core::time::Duration;

use crate::calls::Rules;
use crate::calls::carried::{Answer, Invite};
use crate::calls::search::{Found, Known, Place};
use crate::immcu::SessionId;
use crate::shard::effect::Effects;
use crate::shard::letter::{Invited, Letter};
use crate::shard::reach::{Reached, Wanted, stages};
use crate::shard::usage::Stage;
use crate::shard::{Shard, ShardId, interrupt};
use crate::sip::link::ConnectionId;
use crate::sip::message::Method;
use crate::sip::uri::Aor;

#[expect(clippy::too_many_arguments, reason = "the letter's fields, one each")]
pub(super) fn ask(
    shard: &mut Shard,
    call: SessionId,
    target: usize,
    to: &Invited,
    from: &Aor,
    except: (ShardId, ConnectionId),
    invite: &Invite,
    effects: &mut Effects,
) {
    let found = Box::new(whom(shard, to, from, except, invite));
    let letter = Letter::CallFound {
        call,
        target,
        found,
    };
    shard.post_session(call, letter, effects);
}

fn whom(
    shard: &Shard,
    to: &Invited,
    from: &Aor,
    except: (ShardId, ConnectionId),
    invite: &Invite,
) -> Found {
    let refused = |status, reason: &str| Found {
        refused: Some(Answer::of(status, reason)),
        ..Found::default()
    };
    if shard.stopping {
        return refused(480, "");
    }
    let Some(key) = shard.by_aor.get(&to.user).copied() else {
        return refused(404, "");
    };
    let held_back = interrupt::held_back(shard, key, from, to.priority);
    // Only who is blocked is told 480 here.
    if let Some(blocked) = held_back.as_ref().filter(|outcome| outcome.status == 480) {
        return refused(blocked.status, &blocked.reason);
    }
    if invite.replaces.is_some() {
        return holder(shard, &to.user, invite).unwrap_or_else(|| refused(481, ""));
    }
    let rules = shard
        .users
        .get(key)
        .and_then(|user| Some(user.record.standing.as_ref()?.rules.clone()))
        .filter(|_| to.gruu.is_none())
        .unwrap_or_default();
    let Rules {
        forward_always,
        forward_busy,
        forward_no_answer,
        ring_also,
    } = rules;
    if forward_always.is_some() {
        return Found {
            always: forward_always,
            ..Found::default()
        };
    }
    if let Some(outcome) = held_back {
        let answer = Answer {
            retry_after_s: outcome.retry_after_s,
            ..Answer::of(outcome.status, &outcome.reason)
        };
        return Found {
            refused: Some(answer),
            busy: forward_busy,
            ..Found::default()
        };
    }
    if shard.rings_enough(key, from) {
        return refused(486, "");
    }
    let wanted = Wanted {
        except: Some(except.1).filter(|_| except.0 == shard.me),
        gruu: to.gruu.as_ref(),
        method: Some(Method::Invite),
        ..Wanted::default()
    };
    let mut order = stages(shard, key, &wanted);
    let mut places = Vec::with_capacity(order.len());
    while !order.is_empty() {
        let stage = order.take().into_iter();
        places.push(stage.map(|reached| place(shard, reached)).collect());
    }
    Found {
        stages: places,
        also: ring_also,
        busy: forward_busy,
        no_answer: forward_no_answer
            .map(|(user, after_s)| (user, Duration::from_secs(after_s.into()))),
        ..Found::default()
    }
}

/// Exactly the endpoint that has the dialog which an INVITE replaces, and nobody else (RFC 3891 §3).
fn holder(shard: &Shard, user: &Aor, invite: &Invite) -> Option<Found> {
    let replaces = invite.replaces.as_ref()?;
    let endpoints = shard.user(user)?.bindings.endpoints(shard.now);
    let ends = endpoints.flat_map(|endpoint| shard.ends_on(endpoint.connection));
    let (connection, contact) = ends.into_iter().find_map(|key| {
        let end = shard
            .ends
            .get(key)
            .filter(|end| end.stage != Stage::Referred)?;
        let thread = end
            .threads
            .find(&replaces.own_tag, &replaces.other_tag)
            .filter(|thread| *thread.dialog.call_id() == *replaces.call_id)?;
        Some((end.connection.0, thread.dialog.target().into()))
    })?;
    Some(Found {
        stages: vec![vec![Place {
            shard: shard.me.0,
            connection,
            contact,
            known: None,
        }]],
        ..Found::default()
    })
}

fn place(shard: &Shard, reached: Reached) -> Place {
    Place {
        shard: shard.me.0,
        connection: reached.connection.0,
        contact: reached.contact,
        known: Some(Known {
            endpoint: reached.endpoint.0,
            reg_id: reached.reg_id,
            instance: reached.instance,
        }),
    }
}
