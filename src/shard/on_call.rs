//! A call at its owner, who owns the caller: it begins, is looked for, is answered or not, ends.
//!
//! A call is relayed, not joined: the shard is a stateful proxy that stays in the route (RFC 3261 §16). What an INVITE must
//! be to be one:
//!
//! | it carries | it is |
//! | --- | --- |
//! | a session description with a stream that is not `m=message`, also beside one, also in one of several parts | a call |
//! | a session description with `m=message` alone | a session of instant messages |
//! | none, but Accept-Contact or its Contact say `audio` or `video` (RFC 3841, RFC 3840), or it has Replaces | a call |
//! | none | a session of instant messages |
//!
//! A second endpoint that answers is acknowledged and told BYE by us, as the caller would do (RFC 3261 §13.2.2.4): most
//! clients would play two calls. A call that was never answered has a record of its own, with why.

use std::sync::Arc;

use crate::calls::carried::{Answer, Carried, Invite, Replaces, one_hop_less};
use crate::calls::search::{Deed, Found, Search};
use crate::calls::threads::{Peer, Threads};
use crate::dialect::simple;
use crate::immcu::SessionId;
use crate::immcu::content::Outcome;
use crate::shard::effect::Effects;
use crate::shard::interrupt::OFFLINE;
use crate::shard::letter::{Invited, Letter};
use crate::shard::request::Request;
use crate::shard::usage::{Call, End, EndKey, Stage};
use crate::shard::{
    Look, Shard, ShardId, call_record, fresh_session, on_call_end, on_call_pass, reach,
};
use crate::sip::armed::Armed;
use crate::sip::dialog::{Dialog, NoDialog};
use crate::sip::link::ConnectionId;
use crate::sip::transaction::ServerKey;

/// INVITE to a user: the call begins.
pub(super) fn invite(shard: &mut Shard, request: Request<'_>, to: Invited, effects: &mut Effects) {
    let message = request.message;
    let Some(place) = shard.connections.get(request.connection) else {
        return;
    };
    let Some(user) = place.user.clone() else {
        return;
    };
    if let Some(reason) = shard.no_room_to_hold(request.connection) {
        return shard.answer(request, 503, reason, effects);
    }
    if !shard.has_room_for_session() {
        return shard.answer(request, 503, "Too Many Sessions", effects);
    }
    if message.from().tag().is_none() {
        return shard.answer(request, 400, "Missing From Tag", effects);
    }
    let Ok(replaces) = Replaces::read(message) else {
        return shard.answer(request, 400, "Bad Replaces", effects);
    };
    let template = match Dialog::answering(message, "") {
        Ok(dialog) => dialog,
        Err(NoDialog::Route) => {
            return shard.answer(request, 400, "Record-Route Is Too Long", effects);
        }
        Err(NoDialog::Contact | NoDialog::Tag) => {
            return shard.answer(request, 400, "Missing or Bad Contact", effects);
        }
    };
    let id = fresh_session(&mut shard.rng, &user);
    let Some(server) = shard.open(request) else {
        return;
    };
    if let Some(transaction) = shard.servers.get_mut(server) {
        transaction.echo.leave_routes();
    }
    shard.connections.acted(request.connection, shard.now);
    // The person hears at once that the server has it (RFC 3261 §17.2.1).
    shard.provisional(server, 100, "", "", effects);
    let identity = if Invite::is_private(message) {
        "".into()
    } else {
        simple::name_addr(&shard.party(&user)).into()
    };
    let invite = Arc::new(Invite {
        carried: Carried::request(message, |route| {
            on_call_pass::is_ours(shard, route, request)
        }),
        max_forwards: one_hop_less(message),
        identity,
        dialog: Invite::dialog(message),
        route: on_call_pass::route(id, message.uri(), &request.link).into(),
        focus: Invite::is_from_focus(message),
        replaces,
    });
    let end = End {
        call: id,
        number: 0,
        user: user.clone(),
        caller: user.clone(),
        connection: request.connection,
        stage: Stage::Ringing,
        threads: Threads::new(template),
        route: "".into(),
        server: Some((server, Peer { shard: 0, end: 0 })),
        branch: message.via().branch().into(),
        client: None,
        elsewhere: false,
        refers: 0,
        referring: Vec::new(),
    };
    if shard.add_end(end).is_none() {
        return;
    }
    let ringing = shard.ringing_max();
    let call = Call {
        endpoint: shard.instance_on(request.connection),
        caller: user,
        invite,
        dialled: to.clone(),
        search: Search::new(reach::ACTIVE_FIRST, ringing),
        answered: None,
        began: shard.now,
        messages_sent: [0; 2],
        armed: Armed::default(),
    };
    let call = shard.calls.entry(id).insert_entry(call).into_mut();
    let mut deeds = Vec::new();
    call.search.begin(to.user, shard.now, &mut deeds);
    act(shard, id, deeds, effects);
}

/// Does what the search wants, and arms the wheel for what it waits for.
fn act(shard: &mut Shard, id: SessionId, deeds: Vec<Deed>, effects: &mut Effects) {
    for deed in deeds {
        let Some(call) = shard.calls.get(&id) else {
            return;
        };
        match deed {
            Deed::Ask(number) => {
                let Some(target) = call.search.target(number) else {
                    continue;
                };
                let (user, from, invite) = (
                    target.user.clone(),
                    call.caller.clone(),
                    Arc::clone(&call.invite),
                );
                let Some(caller) = shard.end(id, 0) else {
                    continue;
                };
                let letter = Letter::CallAsk {
                    call: id,
                    target: number,
                    to: Invited {
                        user: user.clone(),
                        // Whoever the call is sent on to rings as they please.
                        gruu: call.dialled.gruu.clone().filter(|_| number == 0),
                        priority: call.dialled.priority,
                    },
                    from,
                    except: (shard.me, caller.connection),
                    invite,
                };
                shard.post_owner(&user, letter, effects);
            }
            Deed::Ring(number) => {
                let Some(branch) = call.search.branch(number) else {
                    continue;
                };
                let Some(target) = call.search.target(branch.target) else {
                    continue;
                };
                let letter = Letter::CallRing {
                    call: id,
                    end: end_of(number),
                    user: target.user.clone(),
                    from: call.caller.clone(),
                    place: branch.place.clone(),
                    history: target.history.clone(),
                    invite: Arc::clone(&call.invite),
                };
                let to = ShardId(branch.place.shard);
                shard.post(to, letter, effects);
            }
            Deed::Cancel(number, elsewhere) => {
                let Some(branch) = call.search.branch(number) else {
                    continue;
                };
                let to = ShardId(branch.place.shard);
                let letter = Letter::CallCancel {
                    call: id,
                    end: end_of(number),
                    elsewhere,
                };
                shard.post(to, letter, effects);
            }
            Deed::Forwarding => {
                let waiting = shard.end(id, 0).and_then(|end| end.server);
                if let Some((server, _)) = waiting {
                    on_call_pass::answer(shard, server, &Answer::of(181, ""), effects);
                }
            }
            Deed::Fail(answer) => return fail(shard, id, &answer, effects),
        }
    }
    let now = shard.now;
    if let Some(call) = shard.calls.get_mut(&id)
        && let Some(next) = call.search.next_look()
        && let Some(at) = call.armed.arm(now, next)
    {
        shard.look_at(at, Look::Call(id));
    }
}

/// A branch's client has the number after it: 0 is the caller's.
fn end_of(branch: usize) -> u32 {
    u32::try_from(branch + 1).unwrap_or(u32::MAX)
}

fn branch_of(end: u32) -> Option<usize> {
    usize::try_from(end).ok()?.checked_sub(1)
}

/// The wheel: others join in, or it has rung long enough.
pub(super) fn look(shard: &mut Shard, id: SessionId, effects: &mut Effects) {
    let now = shard.now;
    let Some(call) = shard.calls.get_mut(&id) else {
        return;
    };
    if !call.armed.is_due(now) {
        return;
    }
    let mut deeds = Vec::new();
    call.search.look(now, &mut deeds);
    act(shard, id, deeds, effects);
}

/// The owner of somebody who is looked for has said whom to ring.
pub(super) fn found(
    shard: &mut Shard,
    id: SessionId,
    target: usize,
    found: Found,
    effects: &mut Effects,
) {
    let now = shard.now;
    if let Some(call) = shard.calls.get_mut(&id) {
        let mut deeds = Vec::new();
        call.search.found(target, found, now, &mut deeds);
        act(shard, id, deeds, effects);
    }
}

/// An endpoint has answered.
pub(super) fn heard(
    shard: &mut Shard,
    id: SessionId,
    end: u32,
    from: ShardId,
    answer: Answer,
    endpoint: Box<str>,
    effects: &mut Effects,
) {
    let now = shard.now;
    let success = (200..300).contains(&answer.status);
    // Too late: cancelled meanwhile, or answered by another. It has to hear that it is over.
    let too_late = |shard: &mut Shard, effects: &mut Effects| {
        if success {
            shard.post(from, Letter::CallOver { call: id, end }, effects);
        }
    };
    let caller = shard.end_key(id, 0);
    let (Some(call), Some(branch)) = (shard.calls.get_mut(&id), branch_of(end)) else {
        return too_late(shard, effects);
    };
    let peer = Peer { shard: from.0, end };
    let mut deeds = Vec::new();
    if answer.status < 200 {
        if !call.search.rings(branch) {
            return;
        }
        let Some(caller) = caller.and_then(|key| shard.ends.get_mut(key)) else {
            return;
        };
        if !answer.tag.is_empty() {
            caller.threads.ours(&answer.tag, peer);
        }
        let (waiting, user) = (caller.server, caller.user.clone());
        shard.line_changed(&user);
        if let Some((server, _)) = waiting {
            on_call_pass::answer(shard, server, &answer, effects);
        }
        return;
    }
    if !success {
        call.search.refused(branch, answer, now, &mut deeds);
        return act(shard, id, deeds, effects);
    }
    if answer.contact.is_empty() || answer.tag.is_empty() {
        // There is no dialog to be had with that (RFC 3261 §12.1.1): it ends, and counts as a refusal.
        too_late(shard, effects);
        if let Some(call) = shard.calls.get_mut(&id) {
            let refused = Answer::of(502, "The Endpoint's Answer Makes No Dialog");
            call.search.refused(branch, refused, now, &mut deeds);
        }
        return act(shard, id, deeds, effects);
    }
    if !call.search.accepted(branch, &mut deeds) {
        return too_late(shard, effects);
    }
    call.answered = Some(branch);
    let callee = call
        .search
        .branch(branch)
        .and_then(|branch| call.search.target(branch.target))
        .map(|target| target.user.clone());
    let began = (call.caller.clone(), call.endpoint.clone());
    let from_focus = call.invite.focus;
    if let Some(caller) = caller.and_then(|key| shard.ends.get_mut(key)) {
        caller.threads.ours(&answer.tag, peer);
        caller.threads.confirm(&answer.tag);
        if let Some((server, _)) = caller.server.take() {
            on_call_pass::answer(shard, server, &answer, effects);
        }
    }
    act(shard, id, deeds, effects);
    call_record::started(id, &began.0, now, effects);
    call_record::joined(id, 0, began.0, began.1, now, effects);
    if let Some(callee) = callee {
        call_record::joined(id, 1, callee, endpoint, now, effects);
    }
    let talk = |end: u32, conference: bool| Letter::CallTalk {
        call: id,
        end,
        tag: answer.tag.clone(),
        conference,
    };
    let (to_callee, to_caller) = (talk(end, from_focus), talk(0, answer.focus));
    shard.post(from, to_callee, effects);
    shard.post(shard.me, to_caller, effects);
}

/// Whom an endpoint rings for has blocked the caller, who hears what is said of somebody offline.
pub(super) fn turned_away(shard: &mut Shard, id: SessionId, end: u32, effects: &mut Effects) {
    let now = shard.now;
    if let (Some(call), Some(branch)) = (shard.calls.get_mut(&id), branch_of(end)) {
        let mut deeds = Vec::new();
        let answer = Answer::of(480, OFFLINE);
        call.search.turned_away(branch, answer, now, &mut deeds);
        act(shard, id, deeds, effects);
    }
}

/// The caller takes it back. True where the INVITE was a call's.
pub(super) fn cancelled(
    shard: &mut Shard,
    connection: ConnectionId,
    server: ServerKey,
    effects: &mut Effects,
) -> bool {
    let found = shard.ends_on(connection).find_map(|key| {
        let end = shard.ends.get(key)?;
        let (waiting, peer) = end.server?;
        (waiting == server).then_some((end.call, end.number, end.stage, peer))
    });
    let Some((id, number, stage, peer)) = found else {
        return false;
    };
    if number == 0 && stage == Stage::Ringing {
        if let Some(call) = shard.calls.get_mut(&id) {
            let mut deeds = Vec::new();
            call.search.cancel(&mut deeds);
            act(shard, id, deeds, effects);
        }
        fail(shard, id, &Answer::of(487, ""), effects);
    } else {
        // An INVITE within the call: whoever has it answers 487.
        let letter = Letter::CallCancel {
            call: id,
            end: peer.end,
            elsewhere: false,
        };
        shard.post(ShardId(peer.shard), letter, effects);
    }
    true
}

/// Nobody has answered: the caller is told, and the record says why.
fn fail(shard: &mut Shard, id: SessionId, answer: &Answer, effects: &mut Effects) {
    let waiting = shard
        .end_key(id, 0)
        .and_then(|key| shard.ends.get_mut(key)?.server.take());
    if let Some((server, _)) = waiting {
        on_call_pass::answer(shard, server, answer, effects);
    }
    let reason = call_record::reason(answer);
    // Where nobody has that name there is nobody who missed it.
    let call = shard.calls.get(&id);
    let recorded = call.is_some_and(|call| !call.search.is_to_nobody());
    missed(shard, id, reason, recorded, effects);
}

/// A call that nobody answered is over, with a record where there was somebody to answer.
fn missed(
    shard: &mut Shard,
    id: SessionId,
    reason: &'static str,
    recorded: bool,
    effects: &mut Effects,
) {
    if let Some(key) = shard.end_key(id, 0) {
        shard.drop_end(key);
    }
    let Some(call) = shard.calls.remove(&id) else {
        return;
    };
    let Some(dialled) = call.search.target(0).filter(|_| recorded) else {
        return;
    };
    let (dialled, began, now) = (dialled.user.clone(), call.began, shard.now);
    call_record::started(id, &call.caller, began, effects);
    call_record::joined(id, 0, call.caller, call.endpoint, began, effects);
    call_record::joined(id, 1, dialled, "".into(), began, effects);
    call_record::ended(id, [0; 2], reason, now, effects);
}

/// A message in it has reached the other side. What is answered when the call is over counts all the same.
pub(super) fn said(shard: &mut Shard, id: SessionId, participant: u32, effects: &mut Effects) {
    let Some(call) = shard.calls.get_mut(&id) else {
        return call_record::one_more(id, participant, effects);
    };
    let count = usize::try_from(participant)
        .ok()
        .and_then(|at| call.messages_sent.get_mut(at));
    if let Some(count) = count {
        *count = count.saturating_add(1);
    }
}

/// The call is over for one of its clients: it has said BYE, or its connection is gone.
pub(super) fn ended(
    shard: &mut Shard,
    id: SessionId,
    end: u32,
    reason: &'static str,
    effects: &mut Effects,
) {
    let now = shard.now;
    let Some(call) = shard.calls.get_mut(&id) else {
        return;
    };
    let mut deeds = Vec::new();
    match (call.answered, branch_of(end)) {
        (Some(answered), branch) if branch.is_none() || branch == Some(answered) => {
            let call = shard.calls.remove(&id);
            let sent = call.as_ref().map_or([0; 2], |call| call.messages_sent);
            let other = call.as_ref().and_then(|call| call.search.branch(answered));
            let (to, other) = match (branch, other) {
                (None, Some(branch)) => (ShardId(branch.place.shard), end_of(answered)),
                _ => (shard.me, 0),
            };
            // Who was told BYE by the other has no part in it any more, and this finds nobody.
            shard.post(
                to,
                Letter::CallOver {
                    call: id,
                    end: other,
                },
                effects,
            );
            call_record::ended(id, sent, reason, now, effects);
        }
        (None, None) => {
            call.search.cancel(&mut deeds);
            act(shard, id, deeds, effects);
            missed(shard, id, reason, true, effects);
        }
        (None, Some(branch)) => {
            let refused = Answer::of(480, "Connection Lost");
            call.search.refused(branch, refused, now, &mut deeds);
            act(shard, id, deeds, effects);
        }
        (Some(_), _) => {}
    }
}

/// The server stops: every call ends, and its record is complete. What else is still told of one is told no more.
pub(super) fn stop(shard: &mut Shard, effects: &mut Effects) {
    const REASON: &str = "server stopped";
    let mut referred: Vec<_> = shard.end_of.values().copied().collect();
    referred.sort_unstable();
    for key in referred {
        on_call_end::look(shard, key);
    }
    let mut calls: Vec<_> = shard.calls.keys().copied().collect();
    calls.sort_unstable();
    for id in calls {
        let answered = shard.calls.get(&id).and_then(|call| {
            let branch = call.answered?;
            Some((branch, call.search.branch(branch)?.place.shard))
        });
        match answered {
            Some((branch, to)) => {
                let call = shard.calls.remove(&id);
                let sent = call.map_or([0; 2], |call| call.messages_sent);
                let letter = |end| Letter::CallOver { call: id, end };
                shard.post(shard.me, letter(0), effects);
                shard.post(ShardId(to), letter(end_of(branch)), effects);
                let now = shard.now;
                call_record::ended(id, sent, REASON, now, effects);
            }
            None => {
                let waiting = shard
                    .end_key(id, 0)
                    .and_then(|key| shard.ends.get_mut(key)?.server.take());
                if let Some((server, _)) = waiting {
                    shard.settle(
                        server,
                        &Outcome::with(503, "The Server Is Stopping"),
                        effects,
                    );
                }
                ended(shard, id, 0, REASON, effects);
            }
        }
    }
}

/// A client has no part in its call any more: its connection is gone, or it has said BYE.
pub(super) fn lose(shard: &mut Shard, key: EndKey, reason: &'static str, effects: &mut Effects) {
    if let Some((call, end)) = shard.leave_call(key) {
        shard.post_session(call, Letter::CallEnded { call, end, reason }, effects);
    }
}
