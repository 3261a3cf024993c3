//! What a Lync client decides of others for its user ([MS-PRES] §3.5.5.4, §3.5.5.7): in which container somebody is, and that
//! the user knows who has added them. Both are kept before they are answered; whom they concern sees the difference at once.

use crate::dialect::lync::{containers, publish, subscribers};
use crate::immcu::content::Outcome;
use crate::presence::Conflict;
use crate::shard::Shard;
use crate::shard::change::{Change, NotKept};
use crate::shard::effect::Effects;
use crate::shard::lync::on_publish::owner;
use crate::shard::on_kept::Keeping;
use crate::shard::request::Request;
use crate::sip::transaction::ServerKey;

/// setContainerMembers: out of some containers, into others; all of it or nothing.
pub(super) fn on_containers(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let Some(user) = owner(shard, request, effects) else {
        return;
    };
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let asked = match containers::read(&body) {
        Ok(asked) => asked,
        Err(bad) => return shard.answer(request, bad.status(), &bad.reason(), effects),
    };
    let standing = shard
        .user(&user)
        .and_then(|user| user.record.standing.as_deref());
    let version = standing.map_or(0, |standing| standing.access_version);
    // As it is told: a container that there is has a version.
    let current = version.saturating_add(1);
    let stale = asked.versions.iter().filter(|(_, given)| *given != current);
    let conflicts: Vec<Conflict> = stale
        .map(|(index, given)| Conflict {
            index: *index,
            given: *given,
            current,
        })
        .collect();
    if !conflicts.is_empty() {
        let fault = publish::fault(&conflicts);
        return shard.answer_with(request, 409, "", effects, |draft| {
            draft.body(publish::FAULT_TYPE, &fault);
        });
    }
    let Some(server) = shard.open(request) else {
        return;
    };
    let steps = asked.steps;
    let change = Change::Containers {
        user,
        version,
        steps,
    };
    shard.keep(change, Keeping::Service(server), effects);
}

/// setSubscribers: the user knows.
pub(super) fn on_subscribers(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let Some(user) = owner(shard, request, effects) else {
        return;
    };
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let known = match subscribers::read(&body) {
        Ok(known) => known,
        Err(fault) => return shard.answer(request, fault.status(), fault.reason(), effects),
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    let change = Change::SubscribersAcknowledged(user, known);
    shard.keep(change, Keeping::Service(server), effects);
}

/// The store has kept it, or not.
pub(in crate::shard) fn kept(
    shard: &mut Shard,
    server: ServerKey,
    outcome: Result<(), NotKept>,
    effects: &mut Effects,
) {
    let outcome = match outcome {
        Ok(()) => Outcome::of(200),
        Err(not_kept) => not_kept.outcome(),
    };
    shard.settle(server, &outcome, effects);
}
