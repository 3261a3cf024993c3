//! A call at one of its clients: it rings, answers, is cancelled, talks, and is told BYE where the other side can't say so.

use crate::calls::carried::{Answer, Invite};
use crate::calls::search::Place;
use crate::calls::threads::{Peer, Threads};
use crate::immcu::SessionId;
use crate::immcu::content::Outcome;
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::on_refer::REFER_MAX;
use crate::shard::usage::{End, EndKey, Purpose, Stage};
use crate::shard::{Look, Shard, on_call_pass, reach};
use crate::sip::build::{self, Draft, Value};
use crate::sip::chain::Chain;
use crate::sip::dialog::Dialog;
use crate::sip::link::{ConnectionId, Link};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{ClientKey, Step, TIMEOUT};
use crate::sip::uri::Aor;

/// An endpoint that is to ring.
pub(super) struct Ring {
    pub call: SessionId,
    pub end: u32,
    pub user: Aor,
    pub from: Aor,
    pub place: Place,
    pub history: Box<str>,
}

/// Rings one endpoint, where it is now.
pub(super) fn ring(shard: &mut Shard, ring: Ring, invite: &Invite, effects: &mut Effects) {
    let (call, number) = (ring.call, ring.end);
    let planned = ConnectionId(ring.place.connection);
    let Some((connection, contact)) = reach::present(shard, &ring.user, ring.place) else {
        let answer = Answer::of(480, "");
        return tell(shard, call, number, answer, planned, effects);
    };
    // The call's owner may not have heard yet that the server stops.
    let has_room = !shard.stopping && shard.has_room_for_ring(connection);
    // Others of the same caller may have come since the user's owner was asked.
    if has_room && shard.rings_enough_on(connection, &ring.from) {
        let answer = Answer::of(486, "");
        return tell(shard, call, number, answer, connection, effects);
    }
    let dialog = invite.dialog.aimed(&contact);
    let end = End {
        call,
        number,
        user: ring.user,
        caller: ring.from,
        connection,
        stage: Stage::Ringing,
        threads: Threads::new(dialog),
        route: invite.route.clone(),
        server: None,
        branch: "".into(),
        client: None,
        elsewhere: false,
        refers: 0,
        referring: Vec::new(),
    };
    let key = has_room.then(|| shard.add_end(end)).flatten();
    let client = key.and_then(|key| {
        let client = shard.open_client(connection, Method::Invite, Purpose::Call(key))?;
        shard.ends.get_mut(key)?.client = Some(client);
        Some(client)
    });
    let link = shard.connections.get(connection).map(|place| place.link);
    let (Some(client), Some(link)) = (client, link) else {
        // It has gone since, or has as many conversations as one may have.
        let answer = Answer::of(480, "");
        return tell(shard, call, number, answer, connection, effects);
    };
    let branch = shard.branches.of(client);
    effects.send(connection, |out| {
        let mut draft = begin(out, "INVITE", &contact, &link, branch, invite.max_forwards);
        let route = on_call_pass::route(call, &contact, &link);
        draft.header("Record-Route", route);
        if !invite.identity.is_empty() {
            draft.header("P-Asserted-Identity", &invite.identity);
        }
        if !ring.history.is_empty() {
            draft.header("History-Info", &ring.history);
        }
        draft.raw(invite.carried.lines());
        draft.carry(invite.carried.body());
    });
}

/// Begins a request that is passed on: start line, our Via, Max-Forwards.
pub(super) fn begin<'o>(
    out: &'o mut Vec<u8>,
    method: &str,
    uri: &str,
    link: &Link,
    branch: impl Value,
    max_forwards: u8,
) -> Draft<'o> {
    let mut draft = build::request(out, method, uri);
    draft.via(link, branch);
    draft.header("Max-Forwards", max_forwards);
    draft
}

/// Tells the call's owner what an endpoint said.
fn tell(
    shard: &mut Shard,
    call: SessionId,
    end: u32,
    answer: Answer,
    connection: ConnectionId,
    effects: &mut Effects,
) {
    let letter = Letter::CallHeard {
        call,
        end,
        shard: shard.me,
        answer: Box::new(answer),
        endpoint: shard.instance_on(connection),
    };
    shard.post_session(call, letter, effects);
}

/// An endpoint answers the INVITE that rang it.
pub(super) fn answered(
    shard: &mut Shard,
    client: ClientKey,
    key: EndKey,
    step: Step,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let status = message.status().unwrap_or_default();
    let Some(end) = shard.ends.get_mut(key) else {
        match status {
            ..200 => {}
            200..300 => end_late(shard, client, message, effects),
            _ => {
                acknowledge(shard, client, None, message, effects);
                shard.close_client(client);
            }
        }
        return;
    };
    let (call, number, connection) = (end.call, end.number, end.connection);
    let ours = |value: &str| on_call_pass::names(value, call);
    let caller = Peer {
        shard: shard.route.owner_of_group(call.group).0,
        end: 0,
    };
    match step {
        Step::Provisional(cancel) => {
            if cancel {
                send_cancel(shard, key, client, effects);
            } else if status > 100 {
                let answer = Answer::read(message, ours, &end.route);
                if !answer.tag.is_empty() {
                    end.threads.theirs(&answer, caller);
                    let user = end.user.clone();
                    shard.line_changed(&user);
                }
                tell(shard, call, number, answer, connection, effects);
            }
        }
        Step::Final if (200..300).contains(&status) => {
            let answer = Answer::read(message, ours, &end.route);
            end.threads.theirs(&answer, caller);
            end.threads.confirm(&answer.tag);
            end.client = None;
            let cancelled = end.stage == Stage::Cancelled;
            end.stage = Stage::Accepted;
            if cancelled {
                hang_up(shard, key, effects);
            } else {
                tell(shard, call, number, answer, connection, effects);
            }
        }
        Step::Final => {
            let answer = Answer::read(message, ours, &end.route);
            acknowledge(shard, client, Some(key), message, effects);
            shard.close_client(client);
            shard.drop_end(key);
            tell(shard, call, number, answer, connection, effects);
        }
        // A second fork behind the endpoint has accepted: it came too late (RFC 3261 §13.2.2.4). The first one's 2xx again
        // is acknowledged by the caller's ACK, which is on its way.
        Step::Again => {
            let tag = message.to().tag().unwrap_or_default();
            if end
                .threads
                .iter()
                .any(|thread| thread.dialog.remote_tag() == tag)
            {
                return;
            }
            let answer = Answer::read(message, ours, &end.route);
            let mut fork = Threads::new(end.threads.template().clone());
            fork.theirs(&answer, caller);
            say_bye(shard, connection, &mut fork, true, effects);
        }
        Step::Absorbed => acknowledge(shard, client, Some(key), message, effects),
    }
}

/// An endpoint, or a fork behind it, has accepted what it has no part in any more: it is told so by what its answer says.
fn end_late(shard: &mut Shard, client: ClientKey, message: &Message<'_>, effects: &mut Effects) {
    let transaction = shard.clients.get(client);
    let Some(connection) = transaction.map(|transaction| transaction.connection) else {
        return;
    };
    let ours = |value: &str| on_call_pass::named_by(value).is_some();
    let answer = Answer::read(message, ours, "");
    // Nobody is on the other side of it.
    let nobody = Peer { shard: 0, end: 0 };
    let mut late = Threads::new(Dialog::asked(message));
    late.theirs(&answer, nobody);
    say_bye(shard, connection, &mut late, true, effects);
}

/// An endpoint never answers the INVITE that rang it.
pub(super) fn unanswered(shard: &mut Shard, key: EndKey, outcome: &Outcome, effects: &mut Effects) {
    let Some(end) = shard.ends.get(key) else {
        return;
    };
    let (call, number, connection) = (end.call, end.number, end.connection);
    shard.drop_end(key);
    let answer = Answer::of(outcome.status, &outcome.reason);
    tell(shard, call, number, answer, connection, effects);
}

/// The call's owner, or the other side, takes an INVITE back. It stays until its final answer has come.
pub(super) fn cancel(
    shard: &mut Shard,
    call: SessionId,
    number: u32,
    elsewhere: bool,
    effects: &mut Effects,
) {
    let now = shard.now;
    let Some(key) = shard.end_key(call, number) else {
        return;
    };
    let Some(end) = shard.ends.get_mut(key) else {
        return;
    };
    if end.stage == Stage::Ringing {
        end.stage = Stage::Cancelled;
    }
    end.elsewhere = elsewhere;
    let (client, user) = (end.client, end.user.clone());
    shard.line_changed(&user);
    let Some(client) = client else {
        return;
    };
    let Some(transaction) = shard.clients.get_mut(client) else {
        return;
    };
    if transaction.cancel(now) {
        send_cancel(shard, key, client, effects);
    }
    shard.look_at(now.after(TIMEOUT), Look::Client(client));
}

/// CANCEL has the branch of its INVITE (RFC 3261 §9.1); its answer tells nothing.
pub(super) fn send_cancel(
    shard: &mut Shard,
    key: EndKey,
    client: ClientKey,
    effects: &mut Effects,
) {
    let branch = shard.branches.of(client);
    let Some(end) = shard.ends.get(key) else {
        return;
    };
    let Some(transaction) = shard.clients.get(client) else {
        return;
    };
    let Some(place) = shard.connections.get(end.connection) else {
        return;
    };
    let (dialog, cseq, to_tag) = match &transaction.purpose {
        Purpose::Pass(errand) => match end.threads.find(&errand.tags.1, &errand.tags.0) {
            Some(thread) => (&thread.dialog, errand.cseq, &*errand.tags.1),
            None => return,
        },
        _ => {
            let template = end.threads.template();
            (template, template.local_cseq, "")
        }
    };
    effects.send(end.connection, |out| {
        let mut draft = dialog.follow_up(out, "CANCEL", &place.link, branch, cseq, to_tag);
        if end.elsewhere {
            draft.header("Reason", "SIP;cause=200;text=\"Call completed elsewhere\"");
        }
        draft.finish();
    });
}

/// The ACK of a refusal has the branch of its INVITE (RFC 3261 §17.1.1.3), and repeats the rest from the refusal.
pub(super) fn acknowledge(
    shard: &Shard,
    client: ClientKey,
    key: Option<EndKey>,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let branch = shard.branches.of(client);
    let place = shard
        .clients
        .get(client)
        .and_then(|transaction| shard.connections.get(transaction.connection));
    let Some(place) = place else {
        return;
    };
    let uri = key
        .and_then(|key| shard.ends.get(key))
        .map_or(message.to().uri, |end| end.threads.template().target());
    effects.send(place.id, |out| {
        let mut draft = begin(out, "ACK", uri, &place.link, branch, 70);
        for name in [
            crate::sip::header::Name::From,
            crate::sip::header::Name::To,
            crate::sip::header::Name::CallId,
        ] {
            draft.header(name.as_str(), message.header(name).unwrap_or_default());
        }
        draft.header("CSeq", format_args!("{} ACK", message.cseq().number));
        draft.finish();
    });
}

/// The call is with this client.
pub(super) fn talk(
    shard: &mut Shard,
    call: SessionId,
    number: u32,
    tag: &str,
    conference: bool,
    effects: &mut Effects,
) {
    let Some(end) = shard
        .end_key(call, number)
        .and_then(|key| shard.ends.get_mut(key))
    else {
        return;
    };
    if end.stage == Stage::Referred {
        return;
    }
    end.threads.confirm(tag);
    end.stage = Stage::Talking(conference);
    let user = end.user.clone();
    shard.line_changed(&user);
    let _ = effects;
}

/// The call is over for this client, and the other side has not said so.
pub(super) fn over(shard: &mut Shard, call: SessionId, number: u32, effects: &mut Effects) {
    if let Some(key) = shard.end_key(call, number) {
        hang_up(shard, key, effects);
    }
}

fn hang_up(shard: &mut Shard, key: EndKey, effects: &mut Effects) {
    let Some(end) = shard.ends.get(key) else {
        return;
    };
    let (call, number, stage) = (end.call, end.number, end.stage);
    match stage {
        Stage::Ringing | Stage::Cancelled => return cancel(shard, call, number, false, effects),
        // It has been told, or has said so itself.
        Stage::Referred => return,
        Stage::Accepted | Stage::Talking(_) => {}
    }
    if let Some(mut end) = shard.drop_end(key) {
        let acknowledge = stage == Stage::Accepted;
        say_bye(
            shard,
            end.connection,
            &mut end.threads,
            acknowledge,
            effects,
        );
    }
}

/// The wheel: how a REFER goes has been told for long enough.
pub(super) fn look(shard: &mut Shard, key: EndKey) {
    if matches!(shard.ends.get(key), Some(end) if end.stage == Stage::Referred) {
        shard.drop_end(key);
    }
}

/// A REFER in the call has come to its end: see `Story::is_over` (RFC 3515 §2.4.5).
pub(super) fn refer_ended(shard: &mut Shard, key: EndKey) {
    if let Some(end) = shard.ends.get_mut(key) {
        end.refers = end.refers.saturating_sub(1);
        if end.refers == 0 {
            look(shard, key);
        }
    }
}

/// BYE in the other side's place, and before it the ACK that the other side will not send.
fn say_bye(
    shard: &mut Shard,
    connection: ConnectionId,
    threads: &mut Threads,
    acknowledge: bool,
    effects: &mut Effects,
) {
    let Some(link) = shard.connections.get(connection).map(|place| place.link) else {
        return;
    };
    // What went through since, PRACK or UPDATE, has counted on in the dialogs, and not here.
    let cseq = threads.template().local_cseq;
    for thread in threads.iter_mut() {
        let dialog = &mut thread.dialog;
        *dialog = dialog.aimed(&shard.target_on(connection, dialog.target()));
        if acknowledge {
            let branch = shard.fresh_tag();
            let branch = format_args!("z9hG4bK{branch}");
            effects.send(connection, |out| {
                dialog.acknowledge_2xx(out, &link, branch, cseq);
            });
        }
        shard.ask(
            connection,
            Method::Bye,
            Purpose::Forget,
            effects,
            |out, link, branch| dialog.request(out, "BYE", link, branch).finish(),
        );
    }
}

impl Shard {
    /// A client of this shard by its number in a call.
    pub(super) fn end_key(&self, call: SessionId, number: u32) -> Option<EndKey> {
        self.end_of.get(&(call, number)).copied()
    }

    /// The same.
    pub(super) fn end(&self, call: SessionId, number: u32) -> Option<&End> {
        self.ends.get(self.end_key(call, number)?)
    }

    /// The calls' clients on a connection.
    pub(super) fn ends_on(&self, connection: ConnectionId) -> impl Iterator<Item = EndKey> + '_ {
        self.connections
            .get(connection)
            .into_iter()
            .flat_map(|connection| self.ends.keys(&connection.ends))
    }

    /// A client gets a part in a call.
    pub(super) fn add_end(&mut self, end: End) -> Option<EndKey> {
        let place = self.connections.get_mut(end.connection)?;
        let (name, user, is_brought) = ((end.call, end.number), end.user.clone(), end.is_brought());
        let key = self.ends.insert_with(&mut place.ends, |_| end);
        self.end_added(&user, is_brought);
        self.end_of.insert(name, key);
        self.line_changed(&user);
        Some(key)
    }

    /// The instance id of the endpoint on a connection; empty where there is none.
    pub(super) fn instance_on(&self, connection: ConnectionId) -> Box<str> {
        let instance = || -> Option<&str> {
            let place = self.connections.get(connection)?;
            let user = self.user(place.user.as_ref()?)?;
            let endpoint = user
                .bindings
                .endpoints(self.now)
                .find(|endpoint| endpoint.connection == connection)?;
            Some(endpoint.instance())
        };
        instance().unwrap_or_default().into()
    }

    /// The call is over for a client: it has no part in it any more, but that it is told of a REFER in it while it can be reached.
    /// Gives what it was, and nothing where it had been left before.
    pub(super) fn leave_call(&mut self, key: EndKey) -> Option<(SessionId, u32)> {
        let end = self.ends.get_mut(key)?;
        let (left, stage) = ((end.call, end.number), end.stage);
        if end.refers == 0 || self.connections.get(end.connection).is_none() {
            self.drop_end(key);
        } else if stage != Stage::Referred {
            end.stage = Stage::Referred;
            let user = end.user.clone();
            self.line_changed(&user);
            let until = self.now.after(REFER_MAX);
            self.look_at(until, Look::End(key));
        }
        (stage != Stage::Referred).then_some(left)
    }

    /// A client has no part in its call any more.
    pub(super) fn drop_end(&mut self, key: EndKey) -> Option<End> {
        let end = self.ends.get(key)?;
        let (connection, name) = (end.connection, (end.call, end.number));
        let mut none = Chain::default();
        let chain = self
            .connections
            .get_mut(connection)
            .map_or(&mut none, |place| &mut place.ends);
        let end = self.ends.remove(chain, key)?;
        self.end_gone(&end);
        if self.end_of.get(&name) == Some(&key) {
            self.end_of.remove(&name);
        }
        self.line_changed(&end.user);
        Some(end)
    }
}
