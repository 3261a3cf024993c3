//! A pager message at its addressee's owner: one copy to each endpoint whose turn it is (`reach`), the first 200 answers.
//!
//! Two messages of one sender come to each endpoint in their order. While an earlier one of the same sender has stages to
//! come, a later one goes the way that one went and waits for the same stages; and none begins a stage before those
//! that were said before it have begun it.

use crate::dialect::Dialect;
use crate::dialect::lync::message::{Bare, Hearing};
use crate::dialect::simple::{self, Reads};
use crate::immcu::content::{Outcome, Sort};
use crate::immcu::pager::Pair;
use crate::registrar::{EndpointId, Gruu};
use crate::shard::effect::Effects;
use crate::shard::interrupt::{OFFLINE, held_back};
use crate::shard::letter::{Letter, Page, Ticket};
use crate::shard::lync::on_typing;
use crate::shard::reach::{self, ACTIVE_FIRST, Reached, Stages, Wanted};
use crate::shard::request::lone_request;
use crate::shard::usage::{Association, Delivery, DeliveryKey, Purpose, Staged, Usage, Wording};
use crate::shard::{Look, Shard, User, UserKey, held};
use crate::sip::build::UriOf;
use crate::sip::dialog::DialogKey;
use crate::sip::link::ConnectionId;
use crate::sip::message::Method;
use crate::sip::uri::Aor;

/// Messages to one user that have stages to come; past it 503.
const STAGED_MAX: usize = 512;

/// The letter: a message in its place in the order.
pub(super) fn deliver(shard: &mut Shard, page: Page, effects: &mut Effects) {
    let Page {
        ticket,
        from,
        to,
        gruu,
        mut content,
    } = page;
    let counts = content.sort == Sort::Text;
    let refuse = |shard: &mut Shard, outcome: Outcome, effects: &mut Effects| {
        let (from, to) = (from.aor.clone(), to.clone());
        paged(shard, ticket, from, to, counts, outcome, effects);
    };
    let Some(user) = shard.by_aor.get(&to).copied() else {
        return refuse(shard, Outcome::of(404), effects);
    };
    if let Some(outcome) = held_back(shard, user, &from.aor, content.priority) {
        return refuse(shard, outcome, effects);
    }
    // Each of them is looked at by those that come after it.
    let waiting = shard
        .users
        .get(user)
        .and_then(|user| user.correspondence.as_ref());
    if waiting.is_some_and(|all| all.staged.len() >= STAGED_MAX) {
        let full = Outcome {
            retry_after_s: Some(ACTIVE_FIRST.as_secs() as u32),
            ..Outcome::with(503, "Too Many Messages Wait For This User")
        };
        return refuse(shard, full, effects);
    }
    let (first, stages) = match &gruu {
        Some(gruu) => (
            at_gruu(shard, user, &from.aor, gruu, effects),
            Stages::default(),
        ),
        None => route(shard, user, ticket, &from.aor, &to, content.sort),
    };
    let key = shard.deliveries.insert(Delivery {
        ticket,
        from: from.aor.clone(),
        to: to.clone(),
        counts,
        waiting: 0,
        best: None,
        told: false,
        // Where there is no other, nothing was chosen.
        only: match &first[..] {
            [only] if !stages.is_empty() || gruu.is_some() => Some(only.endpoint),
            _ => None,
        },
        staged: None,
    });
    let wording = Wording {
        tag: shard.fresh_tag(),
        call_id: match content.call_id.take() {
            Some(call_id) => call_id,
            None => shard.fresh_call_id().into(),
        },
        from,
        content,
    };
    let sent = send(shard, key, &to, &wording, &first, effects);
    if !stages.is_empty() {
        let next_at = shard.now.after(ACTIVE_FIRST);
        if let Some(delivery) = shard.deliveries.get_mut(key) {
            delivery.staged = Some(Box::new(Staged {
                wording,
                reached: first,
                stages,
                next_at,
            }));
        }
        shard.correspondence(user).staged.push(key);
        shard.look_at(next_at, Look::Delivery(key));
    }
    if !sent && !advance(shard, key, effects) {
        conclude(shard, key, Outcome::with(480, OFFLINE), effects);
    }
}

/// The one endpoint that is meant. What was said before to all, and has not come to its turn there, goes there first.
fn at_gruu(
    shard: &mut Shard,
    user: UserKey,
    from: &Aor,
    gruu: &Gruu,
    effects: &mut Effects,
) -> Vec<Reached> {
    let wanted = Wanted {
        gruu: Some(gruu),
        method: Some(Method::Message),
        ..Wanted::default()
    };
    let first = reach::stages(shard, user, &wanted).take();
    for Reached { endpoint, .. } in &first {
        for elder in shard.staged_of(user, from) {
            let waits = |shard: &Shard| {
                let delivery = shard.deliveries.get(elder);
                let staged = delivery.and_then(|delivery| delivery.staged.as_ref());
                staged.is_some_and(|staged| staged.stages.holds(*endpoint))
            };
            while waits(shard) {
                step(shard, elder, effects);
            }
        }
    }
    first
}

/// Who gets a message now, and who after.
fn route(
    shard: &mut Shard,
    user: UserKey,
    ticket: Ticket,
    from: &Aor,
    to: &Aor,
    sort: Sort,
) -> (Vec<Reached>, Stages) {
    let elder = shard
        .staged_of(user, from)
        .last()
        .and_then(|key| shard.deliveries.get(*key)?.staged.as_deref());
    if let Some(elder) = elder {
        let stages = match sort {
            Sort::Text => elder.stages.clone(),
            Sort::Signal => Stages::default(),
        };
        return (reach::still(shard, user, elder.reached.clone()), stages);
    }
    // Who writes to themself writes to their other endpoints: nobody is sent their own message back.
    let except = (from == to)
        .then(|| shard.servers.get(Shard::ticket_key(ticket)))
        .flatten()
        .map(|transaction| transaction.connection);
    let prefer = shard.conversation_at(user, from);
    let wanted = Wanted {
        except,
        gruu: None,
        prefer,
        method: Some(Method::Message),
    };
    let mut stages = reach::stages(shard, user, &wanted);
    let first = stages.take();
    // Typing, and notifications about a message, are for who is in the conversation: they are worth no second try.
    match sort {
        Sort::Text => (first, stages),
        Sort::Signal => (first, Stages::default()),
    }
}

/// Sends it to some endpoints. False where none of them is there.
fn send(
    shard: &mut Shard,
    key: DeliveryKey,
    to: &Aor,
    wording: &Wording,
    endpoints: &[Reached],
    effects: &mut Effects,
) -> bool {
    let author = &wording.from.aor;
    let now = shard.now;
    let mut sent = 0;
    for Reached {
        connection,
        contact,
        ..
    } in endpoints
    {
        let bytes = wording.content.body.len();
        if !shard.connections.has_room_to_say(*connection, bytes) {
            if let Some(delivery) = shard.deliveries.get_mut(key) {
                delivery.refused(held::no_room());
            }
            continue;
        }
        let leg = shard.paging_leg(*connection, author);
        let bare = match shard.connections.dialect(*connection) {
            Dialect::Simple => None,
            Dialect::Lync => match Hearing::of(&wording.content) {
                Hearing::Message(bare) => Some(bare),
                other => {
                    // Typing has its place in a dialog alone.
                    if let (Hearing::Typing(composing), Some(leg)) = (other, leg) {
                        on_typing::show(shard, leg, composing, effects);
                    }
                    if let Some(delivery) = shard.deliveries.get_mut(key) {
                        delivery.best = Some(Outcome::of(200));
                    }
                    continue;
                }
            },
        };
        if let Some(leg) = leg {
            sent += usize::from(send_within(
                shard,
                leg,
                key,
                wording,
                bare.as_ref(),
                effects,
            ));
            continue;
        }
        // Who it is from stands in From alone for a Lync endpoint: it finds the conversation by that.
        let name = match bare {
            Some(_) => "",
            None => &*wording.from.display,
        };
        let from_text = (simple::Named { name, aor: author }, (";tag=", wording.tag));
        let client = shard.ask(
            *connection,
            Method::Message,
            Purpose::Page(key, None),
            effects,
            |out, link, branch| {
                let draft = lone_request(
                    out,
                    Method::Message,
                    contact,
                    link,
                    branch,
                    from_text,
                    UriOf(to),
                    &wording.call_id,
                );
                let Wording { from, content, .. } = wording;
                match &bare {
                    Some(bare) => bare.write(draft, &content.lines),
                    None => simple::write_content(draft, from, content, Reads::Unknown, now),
                }
            },
        );
        sent += usize::from(client.is_some());
    }
    if let Some(delivery) = shard.deliveries.get_mut(key) {
        delivery.waiting += sent;
    }
    sent > 0
}

/// Sends it within a leg that speaks with its author in pager mode. False where its connection is gone.
fn send_within(
    shard: &mut Shard,
    leg: DialogKey,
    key: DeliveryKey,
    wording: &Wording,
    bare: Option<&Bare<'_>>,
    effects: &mut Effects,
) -> bool {
    on_typing::heard(shard, leg);
    let place = shard.dialogs.get(leg).map(|leg| leg.connection);
    let Some(connection) = place else {
        return false;
    };
    let Some(link) = shard.connections.get(connection).map(|place| place.link) else {
        return false;
    };
    let purpose = Purpose::Page(key, Some(leg));
    let Some(client) = shard.open_client(connection, Method::Message, purpose) else {
        return false;
    };
    let (branch, now) = (shard.branches.of(client), shard.now);
    let Some(Association {
        dialog,
        usage: Usage::Leg(leg),
        ..
    }) = shard.dialogs.get_mut(leg)
    else {
        return false;
    };
    let reads = if leg.cpim {
        Reads::Cpim(&leg.user)
    } else {
        Reads::Plain
    };
    effects.send(connection, |out| {
        let draft = dialog.request(out, "MESSAGE", &link, branch);
        let Wording { from, content, .. } = wording;
        match bare {
            Some(bare) => bare.write(draft, &content.lines),
            None => simple::write_content(draft, from, content, reads, now),
        }
    });
    true
}

/// Begins the next stage in which there is somebody. False where there is none.
fn advance(shard: &mut Shard, key: DeliveryKey, effects: &mut Effects) -> bool {
    loop {
        let Some(delivery) = shard.deliveries.get_mut(key) else {
            return false;
        };
        let (from, to) = (delivery.from.clone(), delivery.to.clone());
        let Some(left) = delivery.staged.as_ref().map(|staged| staged.stages.len()) else {
            return false;
        };
        // A user who is gone has no endpoint to try next.
        let Some(user) = shard.by_aor.get(&to).copied() else {
            delivery.staged = None;
            return false;
        };
        let mut elders = shard.staged_of(user, &from);
        elders.truncate(elders.iter().position(|one| *one == key).unwrap_or(0));
        for elder in elders {
            while stages_left(shard, elder) >= left {
                step(shard, elder, effects);
            }
        }
        if step(shard, key, effects) {
            return true;
        }
    }
}

fn stages_left(shard: &Shard, key: DeliveryKey) -> usize {
    let delivery = shard.deliveries.get(key);
    delivery
        .and_then(|delivery| delivery.staged.as_ref())
        .map_or(0, |staged| staged.stages.len())
}

/// One stage of one message. False where nobody was there.
fn step(shard: &mut Shard, key: DeliveryKey, effects: &mut Effects) -> bool {
    let Some(delivery) = shard.deliveries.get_mut(key) else {
        return false;
    };
    let Some(mut staged) = delivery.staged.take() else {
        return false;
    };
    // Whoever had it alone did not take it in time, or at all: the conversation is not there any more.
    let only = delivery.only.take();
    let (from, to) = (delivery.from.clone(), delivery.to.clone());
    let Some(user) = shard.by_aor.get(&to).copied() else {
        return false;
    };
    if let Some(only) = only {
        shard.correspondence(user).failed(&from, only);
    }
    let planned = staged.stages.take();
    let stage = reach::still(shard, user, planned);
    let sent = send(shard, key, &to, &staged.wording, &stage, effects);
    if staged.stages.is_empty() {
        shard.no_longer_staged(key, &to);
        return sent;
    }
    staged.reached.extend(stage);
    staged.next_at = shard.now.after(ACTIVE_FIRST);
    shard.look_at(staged.next_at, Look::Delivery(key));
    if let Some(delivery) = shard.deliveries.get_mut(key) {
        delivery.staged = Some(staged);
    }
    sent
}

/// The wheel: nobody has taken it yet, so the next ones get it.
pub(super) fn look(shard: &mut Shard, key: DeliveryKey, effects: &mut Effects) {
    let now = shard.now;
    let due = shard
        .deliveries
        .get(key)
        .and_then(|delivery| delivery.staged.as_ref())
        .is_some_and(|staged| staged.next_at <= now);
    if due {
        // Where nobody is left, those who were asked before have still to answer.
        advance(shard, key, effects);
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
    if delivery.told {
        if last {
            shard.deliveries.remove(key);
        }
        return;
    }
    if outcome.is_success() {
        return taken(shard, key, outcome, effects);
    }
    // A 6xx speaks for the person, not for the endpoint (RFC 3261 §21.6): who was not asked yet need not be, whoever else
    // answers after it (§16.7 step 5).
    let everywhere = outcome.status >= 600;
    delivery.refused(outcome);
    if everywhere && delivery.staged.take().is_some() {
        let to = delivery.to.clone();
        shard.no_longer_staged(key, &to);
    }
    if last && !advance(shard, key, effects) {
        conclude(shard, key, Outcome::of(480), effects);
    }
}

/// An endpoint has it: the others that were not asked yet need not be.
fn taken(shard: &mut Shard, key: DeliveryKey, outcome: Outcome, effects: &mut Effects) {
    let Some(delivery) = shard.deliveries.get_mut(key) else {
        return;
    };
    delivery.told = true;
    let staged = delivery.staged.take().is_some();
    let (ticket, counts, only) = (delivery.ticket, delivery.counts, delivery.only);
    let waiting = delivery.waiting > 0;
    let both = if waiting {
        Some((delivery.from.clone(), delivery.to.clone()))
    } else {
        let gone = shard.deliveries.remove(key);
        gone.map(|delivery| (delivery.from, delivery.to))
    };
    let Some((from, to)) = both else {
        return;
    };
    if staged {
        shard.no_longer_staged(key, &to);
    }
    if let (true, Some(endpoint)) = (counts, only)
        && let Some(user) = shard.by_aor.get(&to).copied()
    {
        shard.conversation_is_at(user, &from, endpoint);
    }
    paged(shard, ticket, from, to, counts, outcome, effects);
}

/// Nobody has it: with the best of their reasons, or `otherwise` where nobody gave one.
fn conclude(shard: &mut Shard, key: DeliveryKey, otherwise: Outcome, effects: &mut Effects) {
    let Some(delivery) = shard.deliveries.remove(key) else {
        return;
    };
    let Delivery {
        ticket,
        from,
        to,
        counts,
        best,
        staged,
        ..
    } = delivery;
    if staged.is_some() {
        shard.no_longer_staged(key, &to);
    }
    let outcome = best.unwrap_or(otherwise);
    paged(shard, ticket, from, to, counts, outcome, effects);
}

/// Tells the pair's keeper how it ended.
fn paged(
    shard: &mut Shard,
    ticket: Ticket,
    from: Aor,
    to: Aor,
    counts: bool,
    outcome: Outcome,
    effects: &mut Effects,
) {
    let keeper = shard.route.owner(Pair::keeper(&from, &to));
    let letter = Letter::Paged {
        ticket,
        from,
        to,
        counts,
        outcome,
    };
    shard.post(keeper, letter, effects);
}

impl Shard {
    /// What is remembered of a user's conversations. A user who is gone has none.
    fn correspondence(&mut self, user: UserKey) -> &mut super::correspondence::Correspondence {
        let user = self.users.get_mut(user);
        user.expect("the key was looked up in this very turn")
            .correspondence
            .get_or_insert_default()
    }

    /// Messages of `from` to this user that have stages to come, in their order.
    fn staged_of(&self, user: UserKey, from: &Aor) -> Vec<DeliveryKey> {
        let staged = self
            .users
            .get(user)
            .and_then(|user| user.correspondence.as_ref())
            .map_or(&[][..], |all| &all.staged);
        let mut theirs = staged.to_vec();
        theirs.retain(|key| {
            let delivery = self.deliveries.get(*key);
            delivery.is_some_and(|delivery| delivery.from == *from)
        });
        theirs
    }

    fn no_longer_staged(&mut self, key: DeliveryKey, to: &Aor) {
        let user = self
            .by_aor
            .get(to)
            .and_then(|user| self.users.get_mut(*user));
        if let Some(place) = user.map(|user| &mut user.correspondence)
            && let Some(all) = place
        {
            all.staged.retain(|other| *other != key);
            if all.is_empty() {
                *place = None;
            }
        }
    }

    /// The endpoint of a user's conversation with `other`.
    fn conversation_at(&self, user: UserKey, other: &Aor) -> Option<EndpointId> {
        let all = self.users.get(user)?.correspondence.as_ref()?;
        all.endpoint(other, self.now, self.settings.immcu.pager_idle)
    }

    /// The conversation of `user` with `other` is at this endpoint.
    fn conversation_is_at(&mut self, user: UserKey, other: &Aor, endpoint: EndpointId) {
        let (now, idle) = (self.now, self.settings.immcu.pager_idle);
        let writes_to = |user: &User| user.record.aor != *other;
        if self.users.get(user).is_some_and(writes_to) {
            self.correspondence(user).is_at(other, endpoint, now, idle);
        }
    }

    /// A user writes to `other` on a connection: that is where the answer is to go.
    pub(super) fn writes_from(&mut self, user: UserKey, other: &Aor, connection: ConnectionId) {
        let endpoint = self.users.get(user).and_then(|user| {
            let mut endpoints = user.bindings.endpoints(self.now);
            endpoints.find(|endpoint| endpoint.connection == connection)
        });
        if let Some(endpoint) = endpoint.map(|endpoint| endpoint.id) {
            self.conversation_is_at(user, other, endpoint);
        }
    }
}
