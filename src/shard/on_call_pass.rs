//! What the two sides of a call say to each other: requests in the call's dialogs, and answers to all requests.
//!
//! Who may speak in a call says the connection: it has a part in it, and tags and CSeq are those of its dialog. A route with
//! another's call opens nothing. Text in a call is looked at as all text is, for a client shows it as any other: nobody writes in
//! another's name, and nobody before the call is answered.

use crate::calls::carried::{
    Answer, Carried, Invite, Passing, ends_refer, is_challenge, is_nobody, one_hop_less, route_uri,
};
use crate::calls::threads::{Peer, Stray};
use crate::dialect::simple;
use crate::immcu::SessionId;
use crate::immcu::content::Sort;
use crate::shard::effect::Effects;
use crate::shard::held::AGAIN_AFTER_S;
use crate::shard::letter::{Letter, Ticket};
use crate::shard::request::{CALL_PREFIX, Request, Target, our_uri};
use crate::shard::usage::{End, EndKey, Errand, Purpose, Stage, Story};
use crate::shard::{Shard, ShardId, on_call, on_call_end, on_message};
use crate::sip::header::{Name, NameAddr, split_values};
use crate::sip::link::{ConnectionId, Link};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{ClientKey, ServerKey, Step};
use crate::sip::uri::{Scheme, Uri};

/// Our place in a call's route, as the peer of `link` sees it whose Request-URI is `uri` (RFC 3261 §16.6 step 4).
pub(super) fn route(call: SessionId, uri: &str, link: &Link) -> String {
    let user = format!("{CALL_PREFIX}{call}");
    format!("<{};lr>", our_uri(Scheme::like(uri), &user, link))
}

/// The call that a route's value names.
pub(super) fn named_by(value: &str) -> Option<SessionId> {
    SessionId::parse(route_uri(value)?.user.strip_prefix(CALL_PREFIX)?)
}

/// Whether a route's value is of this call.
pub(super) fn names(value: &str, call: SessionId) -> bool {
    named_by(value) == Some(call)
}

/// Whether a route's value is this server: a call, or the server itself, which clients put in front as their proxy.
pub(super) fn is_ours(shard: &Shard, value: &str, request: Request<'_>) -> bool {
    route_uri(value).is_some_and(|uri| {
        let target = shard.target(uri.text, &request.link);
        matches!(target, Target::Call(_) | Target::Server)
    })
}

/// The call that a request's first route names (RFC 3261 §16.4).
pub(super) fn named(shard: &Shard, request: Request<'_>) -> Option<SessionId> {
    let first = split_values(request.message.header(Name::Route)?).next()?;
    match shard.target(route_uri(first)?.text, &request.link) {
        Target::Call(call) => Some(call),
        _ => None,
    }
}

/// The part in that call of whoever speaks on this connection.
fn part(shard: &Shard, request: Request<'_>, call: SessionId) -> Option<EndKey> {
    shard
        .ends_on(request.connection)
        .find(|key| shard.ends.get(*key).is_some_and(|end| end.call == call))
}

/// An INVITE in a call has come: whoever refuses it, and why, the ACK of that ends here.
pub(super) fn invited(shard: &mut Shard, request: Request<'_>, call: SessionId) {
    if let Some(key) = part(shard, request, call)
        && let Some(end) = shard.ends.get_mut(key)
    {
        end.branch = request.message.via().branch().into();
    }
}

/// A request in a call.
pub(super) fn on_request(
    shard: &mut Shard,
    request: Request<'_>,
    call: SessionId,
    effects: &mut Effects,
) {
    let message = request.message;
    let method = message.method();
    let Some(key) = part(shard, request, call) else {
        return shard.answer(request, 481, "", effects);
    };
    let peer = match admit(shard, key, message) {
        Ok(peer) => peer,
        Err((status, reason)) => return shard.answer(request, status, reason, effects),
    };
    let mut counts = false;
    if method == Method::Message {
        let user = shard.ends.get(key).map(|end| end.user.clone());
        let Some(user) = user else {
            return;
        };
        match simple::content(message, &user, shard.settings.body_bytes_max) {
            Ok(content) => {
                shard
                    .connections
                    .wrote(request.connection, &content, shard.now);
                counts = content.sort == Sort::Text;
            }
            Err(bad) => return on_message::refuse_content(shard, request, bad, effects),
        }
    }
    let passing = Box::new(Passing {
        counts,
        ..passing(shard, key, request)
    });
    let Some(server) = shard.open(request) else {
        return;
    };
    let ticket = Some(shard.ticket(server));
    let (end, story) = (peer.end, story(&passing));
    let letter = Letter::CallPass {
        call,
        end,
        ticket,
        passing,
    };
    shard.post(ShardId(peer.shard), letter, effects);
    let Some(place) = shard.ends.get_mut(key) else {
        return;
    };
    if story != Story::None {
        place.referring.push((server, story));
    }
    match method {
        Method::Invite => {
            place.server = Some((server, peer));
            shard.provisional(server, 100, "", "", effects);
        }
        // It is over as soon as one says so, whatever the other answers (RFC 3261 §15.1.2).
        Method::Bye if is_answered(place.stage) => {
            on_call::lose(shard, key, "left", effects);
        }
        Method::Refer => place.refers = place.refers.saturating_add(1),
        _ => {}
    }
}

fn story(passing: &Passing) -> Story {
    match passing.method {
        Method::Refer => Story::Begins,
        _ if passing.ends_refer => Story::Ends,
        Method::Notify => Story::GoesOn,
        _ => Story::None,
    }
}

/// An ACK in a call. That of a refusal ends here; that of a 2xx goes to the other side (RFC 3261 §13.2.2.4).
pub(super) fn on_ack(
    shard: &mut Shard,
    request: Request<'_>,
    call: SessionId,
    effects: &mut Effects,
) {
    let Some(key) = part(shard, request, call) else {
        return;
    };
    let branch = request.message.via().branch();
    if shard
        .ends
        .get(key)
        // Who gives none sends no ACK to a refusal either.
        .is_some_and(|end| !branch.is_empty() && *end.branch == *branch)
    {
        return;
    }
    let Ok(peer) = take(shard, key, request.message) else {
        return;
    };
    let letter = Letter::CallPass {
        call,
        end: peer.end,
        ticket: None,
        passing: Box::new(passing(shard, key, request)),
    };
    shard.post(ShardId(peer.shard), letter, effects);
}

/// Who gets a client's request; or why nobody does.
fn admit(
    shard: &mut Shard,
    key: EndKey,
    message: &Message<'_>,
) -> Result<Peer, (u16, &'static str)> {
    let early = shard
        .ends
        .get(key)
        .is_some_and(|end| matches!(end.stage, Stage::Ringing | Stage::Cancelled));
    let waits = shard.ends.get(key).is_some_and(|end| {
        end.stage == Stage::Ringing
            && end
                .server
                .is_some_and(|(server, _)| shard.servers.get(server).is_some())
    });
    let over = shard.ends.get(key).is_some_and(is_over);
    match message.method() {
        Method::Register | Method::Publish => return Err((405, "")),
        method if over && !tells_of_refer(method) => return Err((481, "")),
        // The INVITE that began it has not been answered: there is nothing to change yet (RFC 3261 §14.2).
        Method::Invite if waits => return Err((491, "")),
        // Whoever is called has not agreed to hear anything yet.
        Method::Message if early => return Err((403, "Not Before The Call Is Answered")),
        _ => {}
    }
    take(shard, key, message).map_err(|stray| match stray {
        Stray::Unknown => (481, ""),
        Stray::Spoofed => (403, "From Is Not Who Authenticated On This Connection"),
        Stray::Late => (500, "CSeq Is Lower Than One Before"),
    })
}

fn is_over(end: &End) -> bool {
    end.stage == Stage::Referred
}

/// A BYE ends it then.
fn is_answered(stage: Stage) -> bool {
    matches!(stage, Stage::Talking(_) | Stage::Accepted)
}

/// What still goes through when the call is over, and a REFER in it is not.
fn tells_of_refer(method: Method) -> bool {
    matches!(method, Method::Notify | Method::Subscribe)
}

fn take(shard: &mut Shard, key: EndKey, message: &Message<'_>) -> Result<Peer, Stray> {
    let end = shard.ends.get_mut(key).ok_or(Stray::Unknown)?;
    let user = &end.user;
    end.threads.from_client(message, |named| {
        Uri::parse(named).is_ok_and(|uri| uri.aor_text().is_some_and(|aor| aor == user.as_str()))
    })
}

fn passing(shard: &Shard, key: EndKey, request: Request<'_>) -> Passing {
    let message = request.message;
    let end = shard.ends.get(key);
    // Who was called by a temporary name keeps the other (RFC 5627 §5.1).
    let nameless = end.is_some_and(|end| {
        end.number > 0
            && NameAddr::parse(end.threads.template().remote())
                .ok()
                .and_then(|to| to.uri().ok()?.param("gr"))
                .is_some_and(|value| value.is_none())
    });
    // Nor has who began it without a name one now, also where nothing more is said of privacy.
    let remote = end.map_or("", |end| end.threads.template().remote());
    let nobody = NameAddr::parse(remote).is_ok_and(|from| is_nobody(from.uri));
    let identity = end
        .filter(|_| !nameless && !nobody)
        .map(|end| simple::name_addr(&shard.party(&end.user)))
        .unwrap_or_default();
    Passing {
        method: message.method(),
        method_text: message.method_text().into(),
        uri: message.uri().into(),
        from_tag: message.from().tag().unwrap_or_default().into(),
        to_tag: message.to().tag().unwrap_or_default().into(),
        cseq: message.cseq().number,
        max_forwards: one_hop_less(message),
        identity: if Invite::is_private(message) {
            "".into()
        } else {
            identity.into()
        },
        ends_refer: ends_refer(message),
        carried: Carried::request(message, |route| is_ours(shard, route, request)),
        caller: end.is_some_and(|end| end.number == 0),
        counts: false,
    }
}

/// A request of the other side, at the client that gets it.
pub(super) fn deliver(
    shard: &mut Shard,
    call: SessionId,
    number: u32,
    ticket: Option<Ticket>,
    passing: &Passing,
    effects: &mut Effects,
) {
    let found = shard.end_key(call, number).and_then(|key| {
        let end = shard.ends.get_mut(key)?;
        if is_over(end) && !tells_of_refer(passing.method) {
            return None;
        }
        end.threads
            .to_client(&passing.from_tag, &passing.to_tag, passing.cseq)?;
        Some((key, end.connection, end.stage))
    });
    let refuse = |shard: &mut Shard, status: u16, effects: &mut Effects| {
        if let Some(ticket) = ticket {
            let answer = Box::new(Answer {
                retry_after_s: (status == 503).then_some(AGAIN_AFTER_S),
                ..Answer::of(status, "")
            });
            shard.post(ticket.shard, Letter::CallAnswer { ticket, answer }, effects);
        }
    };
    let Some((key, connection, stage)) = found else {
        return refuse(shard, 481, effects);
    };
    let Some(link) = shard.connections.get(connection).map(|place| place.link) else {
        return refuse(shard, 480, effects);
    };
    // There is one BYE that ends a call. Before the call is answered there may be many; and whoever misses an ACK asks for it
    // again (RFC 3261 §13.3.1.4).
    let ends = passing.method == Method::Bye && is_answered(stage);
    let bytes = passing.carried.body().len();
    if !ends && !shard.connections.has_room_to_say(connection, bytes) {
        return refuse(shard, 503, effects);
    }
    let branch = match ticket {
        None => format!("z9hG4bK{}", shard.fresh_tag()),
        Some(ticket) => {
            let errand = Errand {
                ticket,
                call,
                end: key,
                tags: (passing.from_tag.clone(), passing.to_tag.clone()),
                cseq: passing.cseq,
                story: story(passing),
                speaker: passing.counts.then_some(u32::from(!passing.caller)),
            };
            let purpose = Purpose::Pass(Box::new(errand));
            let Some(client) = shard.open_client(connection, passing.method, purpose) else {
                return refuse(shard, 480, effects);
            };
            if passing.method == Method::Invite
                && let Some(end) = shard.ends.get_mut(key)
            {
                end.client = Some(client);
            }
            shard.branches.of(client).to_string()
        }
    };
    let uri = shard.target_on(connection, &passing.uri);
    effects.send(connection, |out| {
        let mut draft = on_call_end::begin(
            out,
            &passing.method_text,
            &uri,
            &link,
            &branch,
            passing.max_forwards,
        );
        if !passing.identity.is_empty() {
            draft.header("P-Asserted-Identity", &passing.identity);
        }
        draft.raw(passing.carried.lines());
        draft.carry(passing.carried.body());
    });
    match passing.method {
        Method::Bye if matches!(stage, Stage::Talking(_)) => {
            shard.leave_call(key);
        }
        Method::Refer => {
            if let Some(end) = shard.ends.get_mut(key) {
                end.refers = end.refers.saturating_add(1);
            }
        }
        _ => {}
    }
}

/// The client that got it answers.
pub(super) fn answered(
    shard: &mut Shard,
    client: ClientKey,
    step: Step,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let status = message.status().unwrap_or_default();
    let Some(transaction) = shard.clients.get(client) else {
        return;
    };
    let Purpose::Pass(errand) = &transaction.purpose else {
        return;
    };
    let (ticket, call, key, method) = (errand.ticket, errand.call, errand.end, transaction.method);
    let (tags, speaker, story) = (errand.tags.clone(), errand.speaker, errand.story);
    match step {
        Step::Provisional(cancel) => {
            if cancel {
                return on_call_end::send_cancel(shard, key, client, effects);
            }
            if status == 100 {
                return;
            }
        }
        Step::Final => {
            if method == Method::Invite && status >= 300 {
                on_call_end::acknowledge(shard, client, Some(key), message, effects);
            }
            shard.close_client(client);
            // In the record before its sender is told.
            if let Some(participant) = speaker.filter(|_| status < 300) {
                shard.post_session(call, Letter::CallSaid { call, participant }, effects);
            }
            if story.is_over(status) {
                on_call_end::refer_ended(shard, key);
            }
        }
        Step::Again | Step::Absorbed => return,
    }
    let answer = if is_challenge(message) {
        // The call goes on: a 480 would end it (RFC 5057 §5.1).
        Answer::of(403, "The Other Side Asks For A Password")
    } else {
        // In a dialog no Record-Route counts (RFC 3261 §12.2): what comes is passed on as it is.
        Answer::read(message, |value| names(value, call), "")
    };
    if status < 300
        && matches!(method, Method::Invite | Method::Update)
        && !answer.contact.is_empty()
        && let Some(end) = shard.ends.get_mut(key)
        && let Some(thread) = end.threads.to_client(&tags.0, &tags.1, 0)
    {
        thread.dialog = thread.dialog.aimed(&answer.contact);
    }
    let answer = Box::new(answer);
    shard.post(ticket.shard, Letter::CallAnswer { ticket, answer }, effects);
}

/// The client that got it never answers.
pub(super) fn unanswered(shard: &mut Shard, errand: &Errand, status: u16, effects: &mut Effects) {
    let ticket = errand.ticket;
    if errand.story.is_over(status) {
        on_call_end::refer_ended(shard, errand.end);
    }
    let answer = Box::new(Answer::of(status, ""));
    shard.post(ticket.shard, Letter::CallAnswer { ticket, answer }, effects);
}

/// A client's REFER, or what it tells of another's, has its final answer.
fn referred(shard: &mut Shard, server: ServerKey, status: u16) {
    let transaction = shard.servers.get(server);
    let of_refer = |method| matches!(method, Method::Refer | Method::Notify);
    let Some(transaction) = transaction.filter(|one| of_refer(one.method)) else {
        return;
    };
    let found = shard.ends_on(transaction.connection).find_map(|key| {
        let mut waiting = shard.ends.get(key)?.referring.iter();
        Some((key, waiting.position(|(waits, _)| *waits == server)?))
    });
    let Some((key, at)) = found else {
        return;
    };
    let Some(end) = shard.ends.get_mut(key) else {
        return;
    };
    let (_, story) = end.referring.swap_remove(at);
    if story.is_over(status) {
        on_call_end::refer_ended(shard, key);
    }
}

/// Gives a waiting request an answer: with what each response repeats as the request had it, and the rest as the other side
/// said it. A final one ends the wait.
pub(super) fn answer(shard: &mut Shard, server: ServerKey, answer: &Answer, effects: &mut Effects) {
    let tag = (!answer.tag.is_empty()).then_some(&*answer.tag);
    if answer.status >= 200 {
        referred(shard, server, answer.status);
        return shard.settle_with(
            server,
            answer.status,
            &answer.reason,
            tag,
            effects,
            |mut draft| match &answer.carried {
                Some(carried) => {
                    draft.raw(carried.lines());
                    draft.carry(carried.body());
                }
                None => {
                    if let Some(s) = answer.retry_after_s {
                        draft.header("Retry-After", s);
                    }
                    draft.finish();
                }
            },
        );
    }
    let (now, fresh) = (shard.now, shard.fresh_tag());
    let Some(transaction) = shard.servers.get_mut(server) else {
        return;
    };
    let (connection, written) = (transaction.connection, effects.bytes.len());
    // Of these the other side may send as many as it likes, and each counts little: one that counts is sent again (RFC 3262 §3).
    if answer.carried.is_some() && shard.connections.room_to_say(connection, now) == 0 {
        return;
    }
    let tag = match tag {
        Some(tag) => tag,
        // Of ours, such as 181: one dialog that nobody is in.
        None => transaction.to_tag.get_or_insert_with(|| Box::from(&*fresh)),
    };
    let reason = if answer.reason.is_empty() {
        crate::sip::build::reason(answer.status)
    } else {
        &answer.reason
    };
    effects.send(connection, |out| {
        let mut draft = crate::sip::build::response_from_reason(
            out,
            &transaction.echo,
            answer.status,
            reason,
            Some(tag),
        );
        match &answer.carried {
            Some(carried) => {
                draft.raw(carried.lines());
                draft.carry(carried.body());
            }
            None => draft.finish(),
        }
    });
    let bytes = effects.bytes.len() - written;
    shard.connections.told(connection, now, bytes);
}

impl Shard {
    /// Where a request goes that is for `uri` on this connection: a client's GRUU is its Contact (RFC 5627 §5.3).
    pub(super) fn target_on(&self, connection: ConnectionId, uri: &str) -> Box<str> {
        let contact = || {
            Uri::parse(uri).ok()?.param("gr")?;
            let user = self.connections.get(connection)?.user.as_ref()?;
            let bindings = &self.user(user)?.bindings;
            let mut endpoints = bindings.endpoints(self.now);
            let endpoint = endpoints.find(|endpoint| endpoint.connection == connection)?;
            Some(endpoint.contact())
        };
        contact().unwrap_or(uri).into()
    }
}
