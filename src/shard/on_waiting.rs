//! Message waiting (RFC 3842): the lamp of who has voice messages. The counts are kept by the store; only the user sees them.

use std::sync::Arc;

use crate::documents::message_summary::{self, Summary};
use crate::presence::Waiting;
use crate::shard::{Shard, UserKey};

/// The document for the user's own endpoints.
pub(super) fn render(shard: &Shard, key: UserKey) -> Option<Arc<[u8]>> {
    let record = &shard.users.get(key)?.record;
    let standing = record.standing.as_deref();
    let waiting = standing.map_or_else(Waiting::default, |standing| standing.waiting);
    let summary = Summary {
        new: waiting.new,
        old: waiting.old,
        urgent_new: waiting.urgent_new,
        urgent_old: waiting.urgent_old,
    };
    let mut document = Vec::with_capacity(128);
    message_summary::write(&mut document, &record.aor.uri(), &summary);
    Some(document.into())
}
