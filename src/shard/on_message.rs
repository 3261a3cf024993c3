//! Pager mode (RFC 3428): MESSAGE to a user → the pair's keeper gives it its place → every endpoint of the user.
//! 200 only when an endpoint has answered 200.

use crate::dialect::simple::{self, Reads};
use crate::immcu::content::{Content, Outcome, Party, Sort};
use crate::immcu::pager::Pair;
use crate::shard::cdr_event::{CdrEvent, SessionKind};
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::letter::{Letter, Ticket};
use crate::shard::request::{Request, Target, lone_request};
use crate::shard::usage::{Delivery, DeliveryKey, Purpose};
use crate::shard::{Shard, UserKey};
use crate::sip::message::Method;
use crate::sip::uri::Aor;

pub(super) fn on_message(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let to = match shard.target(request.message.uri(), &request.link) {
        Target::User(to) => to,
        Target::Session(_) => {
            return shard.answer(request, 403, "Join The Conference First", effects);
        }
        Target::Factory | Target::Server => return shard.answer(request, 405, "", effects),
        Target::Elsewhere => return shard.answer(request, 404, "Not A Domain Of Ours", effects),
        Target::Unknown => return shard.answer(request, 416, "", effects),
    };
    let Some(author) = shard
        .connections
        .get(request.connection)
        .and_then(|connection| connection.user.clone())
    else {
        return;
    };
    let content = match simple::content(request.message, &author) {
        Ok(content) => content,
        Err(bad) => return refuse_content(shard, request, bad, effects),
    };
    let Some(key) = shard.open(request) else {
        return;
    };
    let ticket = shard.ticket(key);
    let from = shard.party(&author);
    let pair = Pair::of(&author, &to);
    shard.post_owner(
        pair.keeper(),
        Letter::Page {
            ticket,
            from,
            to,
            content,
        },
        effects,
    );
}

pub(super) fn refuse_content(
    shard: &mut Shard,
    request: Request<'_>,
    bad: simple::BadContent,
    effects: &mut Effects,
) {
    shard.answer_with(request, bad.status(), bad.reason(), effects, |mut draft| {
        if bad == simple::BadContent::Encoding {
            draft.header("Accept-Encoding", simple::ACCEPT_ENCODING);
        }
        draft.finish();
    });
}

/// At the pair's keeper: the order of letters that leave here is the order of the session.
pub(super) fn page(
    shard: &mut Shard,
    ticket: Ticket,
    from: Party,
    to: Aor,
    content: Content,
    effects: &mut Effects,
) {
    let owner = shard.route.owner(&to);
    shard.post(
        owner,
        Letter::Deliver {
            ticket,
            from,
            to,
            content,
        },
        effects,
    );
}

/// At the addressee's owner: one copy to each endpoint.
pub(super) fn deliver(
    shard: &mut Shard,
    ticket: Ticket,
    from: Party,
    to: Aor,
    content: Content,
    effects: &mut Effects,
) {
    let counts = content.sort == Sort::Text;
    let end = |shard: &mut Shard, outcome: Outcome, effects: &mut Effects| {
        let pair = Pair::of(&from.aor, &to);
        let letter = Letter::Paged {
            ticket,
            from: from.aor.clone(),
            to: to.clone(),
            counts,
            outcome,
        };
        shard.post_owner(pair.keeper(), letter, effects);
    };
    let Some(key) = shard.by_aor.get(&to).copied() else {
        return end(shard, Outcome::of(404), effects);
    };
    let mut endpoints = shard.reachable(key);
    if from.aor == to {
        // Who writes to themself writes to their other endpoints: nobody is sent their own message back.
        let sender = shard
            .servers
            .get(Shard::ticket_key(ticket))
            .map(|transaction| transaction.connection);
        endpoints.retain(|(connection, _)| Some(*connection) != sender);
    }
    if endpoints.is_empty() {
        return end(shard, Outcome::with(480, "The User Is Offline"), effects);
    }
    let delivery = shard.deliveries.insert(Delivery {
        ticket,
        from: from.aor.clone(),
        to: to.clone(),
        counts,
        waiting: 0,
        best: None,
        told: false,
    });
    let from_text = format!("{};tag={}", simple::name_addr(&from), shard.fresh_tag());
    let call_id = match &content.call_id {
        Some(call_id) => call_id.to_string(),
        None => shard.fresh_call_id(),
    };
    let to_uri = to.uri();
    let now = shard.now;
    for (connection, contact) in endpoints {
        let sent = shard.ask(
            connection,
            Method::Message,
            Purpose::Page(delivery),
            effects,
            |out, link, branch| {
                let draft = lone_request(
                    out,
                    Method::Message,
                    &contact,
                    link,
                    branch,
                    &from_text,
                    &to_uri,
                    &call_id,
                );
                simple::write_content(draft, &from, &to_uri, &content, Reads::Unknown, now);
            },
        );
        if let (Some(_), Some(delivery)) = (sent, shard.deliveries.get_mut(delivery)) {
            delivery.waiting += 1;
        }
    }
    if shard
        .deliveries
        .get(delivery)
        .is_some_and(|delivery| delivery.waiting == 0)
    {
        shard.deliveries.remove(delivery);
        end(shard, Outcome::with(480, "The User Is Offline"), effects);
    }
}

/// An endpoint has answered, or never will.
pub(super) fn answered(
    shard: &mut Shard,
    key: DeliveryKey,
    outcome: Outcome,
    effects: &mut Effects,
) {
    let Some(delivery) = shard.deliveries.get_mut(key) else {
        return;
    };
    delivery.waiting = delivery.waiting.saturating_sub(1);
    let last = delivery.waiting == 0;
    let tell = if delivery.told {
        None
    } else if outcome.is_success() {
        delivery.told = true;
        Some(outcome)
    } else {
        let best = match delivery.best.take() {
            Some(best) => best.better(outcome),
            None => outcome,
        };
        if last {
            Some(best)
        } else {
            delivery.best = Some(best);
            None
        }
    };
    if let Some(outcome) = tell {
        let (ticket, counts) = (delivery.ticket, delivery.counts);
        let (from, to) = (delivery.from.clone(), delivery.to.clone());
        let pair = Pair::of(&from, &to);
        shard.post_owner(
            pair.keeper(),
            Letter::Paged {
                ticket,
                from,
                to,
                counts,
                outcome,
            },
            effects,
        );
    }
    if last {
        shard.deliveries.remove(key);
    }
}

/// At the pair's keeper: it has ended. What was delivered is in the CDR before its sender is told.
pub(super) fn paged(
    shard: &mut Shard,
    ticket: Ticket,
    from: &Aor,
    to: &Aor,
    counts: bool,
    outcome: Outcome,
    effects: &mut Effects,
) {
    if counts && outcome.is_success() && !shard.stopping {
        let pair = Pair::of(from, to);
        let at = shard.now;
        let fresh = shard.fresh_session(from);
        let (began, session) = shard.pagers.delivered(&pair, from, at, || fresh);
        if began {
            let initiator = from.clone();
            let started = CdrEvent::Started {
                session,
                kind: SessionKind::Im,
                initiator,
                continues: None,
                at,
            };
            effects.list.push(Effect::Record(started));
            for (number, user) in pair.users().into_iter().enumerate() {
                // Somebody who writes to themself is one participant.
                if number == 1 && from == to {
                    continue;
                }
                effects.list.push(Effect::Record(CdrEvent::Joined {
                    session,
                    participant: number as u32,
                    user: user.clone(),
                    endpoint: "".into(),
                    at,
                }));
            }
        }
    }
    let latency = Some(Latency::MessageTwoParty);
    let letter = Letter::Answer {
        ticket,
        outcome,
        latency,
    };
    shard.post(ticket.shard, letter, effects);
}

/// Ends pager sessions: those that were idle for long, or all of them.
pub(super) fn end_pagers(shard: &mut Shard, all: bool, effects: &mut Effects) {
    if all {
        for pair in shard.pagers.pairs() {
            if let Some(pager) = shard.pagers.end(&pair) {
                record_end(
                    shard,
                    &pair,
                    pager.session,
                    pager.messages_sent,
                    "server stopped",
                    effects,
                );
            }
        }
        return;
    }
    while let Some((pair, pager)) = shard
        .pagers
        .idle(shard.now, shard.settings.immcu.pager_idle)
    {
        record_end(
            shard,
            &pair,
            pager.session,
            pager.messages_sent,
            "idle",
            effects,
        );
    }
}

fn record_end(
    shard: &Shard,
    pair: &Pair,
    session: crate::immcu::SessionId,
    messages_sent: [u32; 2],
    reason: &'static str,
    effects: &mut Effects,
) {
    let at = shard.now;
    let [one, other] = pair.users();
    for (participant, messages_sent) in messages_sent
        .into_iter()
        .enumerate()
        .take(if one == other { 1 } else { 2 })
    {
        let participant = participant as u32;
        effects.list.push(Effect::Record(CdrEvent::Left {
            session,
            participant,
            messages_sent,
            reason,
            at,
        }));
    }
    effects.list.push(Effect::Record(CdrEvent::Ended {
        session,
        reason,
        at,
    }));
}

impl Shard {
    /// The endpoints of a user: the connection and the Contact of each.
    pub(super) fn reachable(
        &self,
        key: UserKey,
    ) -> Vec<(crate::sip::link::ConnectionId, Box<str>)> {
        let Some(user) = self.users.get(key) else {
            return Vec::new();
        };
        user.bindings
            .endpoints(self.now)
            .map(|endpoint| (endpoint.connection, endpoint.contact().into()))
            .collect()
    }

    /// A fresh Call-ID.
    pub(super) fn fresh_call_id(&mut self) -> String {
        use rand_core::Rng;
        format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64())
    }
}
