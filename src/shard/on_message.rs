//! Pager mode (RFC 3428): MESSAGE to a user → the pair's keeper gives it its place → the user's endpoints (`on_deliver`).
//! 200 only when an endpoint has answered 200.

use crate::dialect::simple;
use crate::immcu::content::{Content, Outcome, Sort};
use crate::immcu::pager::Pair;
use crate::registrar::Gruu;
use crate::shard::cdr_event::{CdrEvent, SessionKind};
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::letter::{Letter, Page, Ticket};
use crate::shard::overload;
use crate::shard::own_copy::OwnCopy;
use crate::shard::request::{Request, Target};
use crate::shard::{Shard, fresh_session};
use crate::sip::build;
use crate::sip::link::ConnectionId;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

pub(super) fn on_message(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let target = shard.target(request.message.uri(), &request.link);
    if let Some((status, reason)) = target.refusal() {
        return shard.answer(request, status, reason, effects);
    }
    let to = match target {
        Target::User(to) => to,
        Target::Session(_) | Target::Focus(_) => {
            return shard.answer(request, 403, "Join The Conference First", effects);
        }
        _ => return shard.answer(request, 405, "", effects),
    };
    let gruu = match shard.gruu(request.message.uri()) {
        Ok(gruu) => gruu,
        Err(outcome) => return shard.answer(request, outcome.status, &outcome.reason, effects),
    };
    let Some(author) = shard
        .connections
        .get(request.connection)
        .and_then(|connection| connection.user.clone())
    else {
        return;
    };
    let content = match simple::content(request.message, &author, shard.settings.body_bytes_max) {
        Ok(content) => content,
        Err(bad) => return refuse_content(shard, request, bad, effects),
    };
    let Some(key) = shard.open(request) else {
        return;
    };
    shard
        .connections
        .wrote(request.connection, &content, shard.now);
    let connection = request.connection;
    let refuse_new_s = overload::sheds_page(shard);
    send(
        shard,
        connection,
        key,
        author,
        to,
        gruu,
        content,
        refuse_new_s,
        effects,
    );
}

/// What `author` says on a connection, to the keeper of the pair; `refuse_new_s` as in the letter.
#[expect(
    clippy::too_many_arguments,
    reason = "who says what to whom, and where"
)]
pub(super) fn send(
    shard: &mut Shard,
    connection: ConnectionId,
    key: ServerKey,
    author: Aor,
    to: Aor,
    gruu: Option<Gruu>,
    content: Content,
    refuse_new_s: Option<u32>,
    effects: &mut Effects,
) {
    let user = shard.by_aor.get(&author).copied();
    if let Some(user) = user {
        if content.sort == Sort::Text {
            shard.writes_from(user, &to, connection);
        }
        OwnCopy::keep(shard, key, user, || to.uri(), None, &content);
    }
    let ticket = shard.ticket(key);
    let from = shard.party_of(user, author);
    let keeper = shard.route.owner(Pair::keeper(&from.aor, &to));
    shard.post(
        keeper,
        Letter::Page {
            page: Page {
                ticket,
                from,
                to,
                gruu,
                content,
            },
            refuse_new_s,
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
    shard.answer_with(
        request,
        bad.status(),
        bad.reason(),
        effects,
        |draft| match bad {
            simple::BadContent::Body(bad) => bad.write(draft),
            _ => draft.finish(),
        },
    );
}

/// At the pair's keeper: the order of letters that leave here is the order of the session.
pub(super) fn page(
    shard: &mut Shard,
    page: Page,
    refuse_new_s: Option<u32>,
    effects: &mut Effects,
) {
    if let Some(after_s) = refuse_new_s
        && shard
            .pagers
            .get(&Pair::of(&page.from.aor, &page.to))
            .is_none()
    {
        let letter = Letter::Answer {
            ticket: page.ticket,
            outcome: overload::page_is_shed(after_s, effects),
            latency: None,
        };
        return shard.post(page.ticket.shard, letter, effects);
    }
    let owner = shard.route.owner(&page.to);
    shard.post(owner, Letter::Deliver(page), effects);
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
    if counts && outcome.is_success() {
        let pair = Pair::of(from, to);
        let at = shard.now;
        let rng = &mut shard.rng;
        let fresh = || fresh_session(rng, from);
        let (began, session) = shard.pagers.delivered(&pair, from, at, fresh);
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
        if shard.stopping {
            // Those that were open have been ended, and nobody looks at this one again.
            end_pagers(shard, true, effects);
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
    /// A fresh Call-ID.
    pub(super) fn fresh_call_id(&mut self) -> String {
        use rand_core::Rng;
        let mut id = String::with_capacity(32);
        id.push_str(&build::Hex::of(self.rng.next_u64()));
        id.push_str(&build::Hex::of(self.rng.next_u64()));
        id
    }
}
