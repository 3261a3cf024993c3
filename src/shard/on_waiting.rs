//! Message waiting (RFC 3842): the lamp of who has voice messages. The counts are kept by the store; only the user sees them,
//! and only the user's own mailbox publishes them (RFC 3903).
//!
//! What is published is no soft state: a mailbox that is silent for an hour has lost no message. So a publication does not
//! end with its time, is answered 200 when it is on disk, and its entity tag is the state itself: a mailbox that names the
//! one it knows changes only what it has seen. Whether that is still so is the store's to say: several mailboxes may write
//! at once.

use std::sync::Arc;

use crate::documents::message_summary::{self, Summary};
use crate::immcu::content::Outcome;
use crate::presence::Waiting;
use crate::shard::change::{Change, NotKept};
use crate::shard::effect::Effects;
use crate::shard::on_kept::Keeping;
use crate::shard::request::{Request, Target};
use crate::shard::standing::StandingError;
use crate::shard::{Shard, UserKey};
use crate::sip::header::Name;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// How soon a mailbox is asked to say it again where it names no time, and how late at most, in seconds.
const EXPIRES_S: (u32, u32) = (3600, 86_400);

/// The document for the user's own endpoints.
pub(super) fn render(shard: &Shard, key: UserKey) -> Option<Arc<[u8]>> {
    let account = shard.users.get(key)?.record.aor.uri();
    let waiting = waiting(shard, key);
    let summary = Summary {
        new: waiting.new,
        old: waiting.old,
        urgent_new: waiting.urgent_new,
        urgent_old: waiting.urgent_old,
    };
    let mut document = Vec::with_capacity(128);
    message_summary::write(&mut document, &account, &summary);
    Some(document.into())
}

fn waiting(shard: &Shard, key: UserKey) -> Waiting {
    let standing = shard
        .users
        .get(key)
        .and_then(|user| user.record.standing.as_deref());
    standing.map_or_else(Waiting::default, |standing| standing.waiting)
}

/// PUBLISH with `Event: message-summary`, by a user's mailbox.
pub(super) fn on_publish(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let Some(user) = shard
        .connections
        .get(request.connection)
        .and_then(|connection| connection.user.clone())
    else {
        return;
    };
    match shard.target(message.uri(), &request.link) {
        Target::User(target) if target == user => {}
        Target::Unknown => return shard.answer(request, 416, "", effects),
        _ => return shard.answer(request, 403, "Publish Your Own Messages", effects),
    }
    let Some(key) = shard.by_aor.get(&user).copied() else {
        return;
    };
    let known = waiting(shard, key);
    let if_match = message.header(Name::SipIfMatch);
    if if_match.is_some_and(|tag| tag.trim() != tag_of(known)) {
        return shard.answer(request, 412, "", effects);
    }
    let (usual_s, most_s) = EXPIRES_S;
    let expires_s = message.expires().unwrap_or(usual_s).min(most_s);
    let wanted = if message.body().is_empty() {
        match (if_match, expires_s) {
            (None, _) => return shard.answer(request, 400, "Nothing Is Published", effects),
            // The mailbox is no more (RFC 3903 §4.5).
            (Some(_), 0) => Waiting::default(),
            (Some(_), _) => known,
        }
    } else {
        let media = message.content_type();
        if !media.is_some_and(|media| media.is(message_summary::CONTENT_TYPE)) {
            return shard.answer_with(request, 415, "", effects, |mut draft| {
                draft.header("Accept", message_summary::CONTENT_TYPE);
                draft.finish();
            });
        }
        let Some(body) = shard.body(request, effects) else {
            return;
        };
        match message_summary::read(&body) {
            Ok(summary) => Waiting {
                new: summary.new,
                old: summary.old,
                urgent_new: summary.urgent_new,
                urgent_old: summary.urgent_old,
            },
            Err(fault) => return shard.answer(request, fault.status(), fault.reason(), effects),
        }
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    let published = Published {
        user: user.clone(),
        server,
        tag: tag_of(wanted),
        expires_s,
    };
    // While something is on its way to the store, what is known here is not what there will be.
    if wanted == known && !shard.mailboxes.contains_key(&user) {
        return answer(shard, &published, effects);
    }
    *shard.mailboxes.entry(user.clone()).or_default() += 1;
    let change = Change::Waiting {
        user,
        before: if_match.map(|_| known),
        waiting: wanted,
    };
    shard.keep(change, Keeping::Waiting(published), effects);
}

/// A PUBLISH that waits until what it says is kept.
#[derive(Debug)]
pub(crate) struct Published {
    user: Aor,
    server: ServerKey,
    tag: String,
    expires_s: u32,
}

/// The store has kept it, or not.
pub(super) fn kept(
    shard: &mut Shard,
    published: &Published,
    outcome: Result<(), NotKept>,
    effects: &mut Effects,
) {
    if let Some(count) = shard.mailboxes.get_mut(&published.user) {
        *count -= 1;
        if *count == 0 {
            shard.mailboxes.remove(&published.user);
        }
    }
    let refused = match outcome {
        Ok(()) => return answer(shard, published, effects),
        // Another mailbox was faster (RFC 3903 §6 step 3).
        Err(NotKept::Refused(StandingError::Stale)) => Outcome::of(412),
        Err(not_kept) => not_kept.outcome(),
    };
    shard.settle(published.server, &refused, effects);
}

fn answer(shard: &mut Shard, published: &Published, effects: &mut Effects) {
    shard.settle_with(published.server, 200, "", None, effects, |mut draft| {
        draft.header("SIP-ETag", &published.tag);
        draft.header("Expires", published.expires_s);
        draft.finish();
    });
}

fn tag_of(waiting: Waiting) -> String {
    let Waiting {
        new,
        old,
        urgent_new,
        urgent_old,
    } = waiting;
    format!("mw-{new}-{old}-{urgent_new}-{urgent_old}")
}
