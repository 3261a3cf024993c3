//! An answer to a request of ours, or none in time.

use crate::immcu::content::Outcome;
use crate::shard::effect::Effects;
use crate::shard::lync::on_summons;
use crate::shard::on_alert;
use crate::shard::usage::Purpose;
use crate::shard::{
    Look, Shard, on_call_end, on_call_pass, on_convey, on_deliver, on_leg, on_reinvite, on_ring,
    on_subscribe,
};
use crate::sip::header::{Name, number};
use crate::sip::link::ConnectionId;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{ClientKey, Progress, Step};

pub(super) fn on_answer(
    shard: &mut Shard,
    connection: ConnectionId,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let Some(key) = shard.branches.read(message.via().branch()) else {
        return;
    };
    let now = shard.now;
    let status = message.status().unwrap_or_default();
    let Some(transaction) = shard.clients.get_mut(key) else {
        return;
    };
    // An answer from another connection is a guess; CANCEL has the branch of its INVITE and nothing waits for its
    // answer (RFC 3261 §17.1.3).
    if transaction.connection != connection || transaction.method != message.method() {
        return;
    }
    let before = transaction.deadline;
    let step = transaction.answered(now, status);
    let deadline = transaction.deadline;
    if step == Step::Final {
        effects.count(message.method(), status, false);
    }
    match (transaction.method, &transaction.purpose) {
        (Method::Invite, Purpose::Invite(leg)) => {
            let leg = *leg;
            on_ring::answered(shard, key, leg, step, message, effects);
        }
        (Method::Invite, Purpose::Call(end)) => {
            let end = *end;
            on_call_end::answered(shard, key, end, step, message, effects);
        }
        (Method::Invite, Purpose::Move(_)) => on_summons::moved(shard, key, step, message, effects),
        (_, Purpose::Pass(_)) => {
            on_call_pass::answered(shard, key, step, message, effects);
        }
        (Method::Invite, Purpose::Reinvite(leg)) => {
            let leg = *leg;
            match step {
                Step::Final => {
                    if status >= 300 {
                        on_ring::acknowledge(shard, key, leg, message, effects);
                    }
                    shard.close_client(key);
                    on_reinvite::answered(shard, leg, message, effects);
                }
                Step::Provisional(_) | Step::Again | Step::Absorbed => {}
            }
        }
        _ if step == Step::Final => {
            let mut outcome = Outcome::from_endpoint(status, message.reason());
            // When a watcher wants to be told again is between it and us. Of what people say to each other it is not known for
            // which of their endpoints it would hold.
            if status >= 300 && matches!(transaction.purpose, Purpose::Notify(_)) {
                outcome.retry_after_s = message.header(Name::RetryAfter).and_then(number);
            }
            ended(shard, key, status, outcome, effects);
        }
        _ => {}
    }
    // A deadline that moves on needs no other entry of the wheel: the one that is there arms itself anew. Whoever answers
    // "in a moment" again and again would leave one each time.
    if deadline < before && shard.clients.get(key).is_some() {
        shard.look_at(deadline, Look::Client(key));
    }
}

/// The transaction of `key` ends with `status`; `outcome` is what others are told.
fn ended(shard: &mut Shard, key: ClientKey, status: u16, outcome: Outcome, effects: &mut Effects) {
    let Some(transaction) = shard.close_client(key) else {
        return;
    };
    // An INVITE that was accepted has had its end: it only waits for the 2xx of another fork, and its leg has gone its
    // own way since.
    if transaction.progress == Progress::Accepted {
        return;
    }
    match transaction.purpose {
        Purpose::Page(delivery, leg) => {
            on_deliver::answered(shard, delivery, outcome, effects);
            // As of a session's message: the dialog is there no more (RFC 5057 §5.1, §5.2).
            if let Some(leg) = leg.filter(|_| matches!(status, 408 | 481)) {
                on_leg::lost(shard, leg, "dialog lost", effects);
            }
        }
        Purpose::Convey(conveyance) => {
            on_convey::conveyed(shard, &conveyance, status, outcome, effects)
        }
        Purpose::Alert(alert) => on_alert::answered(shard, *alert, status, effects),
        Purpose::Notify(subscription) => {
            on_subscribe::notified(shard, subscription, status, outcome.retry_after_s, effects)
        }
        Purpose::Invite(leg) => on_ring::refused(shard, leg, outcome, effects),
        Purpose::Call(end) => on_call_end::unanswered(shard, end, &outcome, effects),
        Purpose::Pass(errand) => on_call_pass::unanswered(shard, &errand, status, effects),
        Purpose::Reinvite(leg) if status == 408 => on_leg::lost(shard, leg, "no answer", effects),
        Purpose::Reinvite(_) | Purpose::Move(_) | Purpose::Forget => {}
    }
}

/// A request of ours can't be answered any more: its connection is gone.
pub(super) fn failed(shard: &mut Shard, key: ClientKey, outcome: &Outcome, effects: &mut Effects) {
    ended(shard, key, outcome.status, outcome.clone(), effects);
}

/// The wheel: no final answer in time counts as 408 (RFC 3261 §17.1.1.2, §17.1.2.2).
pub(super) fn look(shard: &mut Shard, key: ClientKey, effects: &mut Effects) {
    let now = shard.now;
    let Some(transaction) = shard.clients.get_mut(key) else {
        return;
    };
    if transaction.deadline > now {
        let at = transaction.deadline;
        return shard.look_at(at, Look::Client(key));
    }
    if transaction.progress == Progress::Accepted {
        shard.close_client(key);
        return;
    }
    if transaction.rings_in_vain()
        && let Purpose::Pass(errand) = &transaction.purpose
    {
        let end = errand.end;
        // Its final answer, or none within the new deadline, ends the wait of whoever asked.
        transaction.cancel(now);
        let at = transaction.deadline;
        shard.look_at(at, Look::Client(key));
        return on_call_end::send_cancel(shard, end, key, effects);
    }
    ended(
        shard,
        key,
        408,
        Outcome::with(480, "The Endpoint Did Not Answer"),
        effects,
    );
}
