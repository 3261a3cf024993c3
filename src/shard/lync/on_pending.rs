//! Who has added a user and waits to be answered, for clients that ask for it by itself (`presence.wpending`).

use crate::dialect::lync::Roaming;
use crate::shard::Shard;
use crate::shard::effect::Effects;
use crate::shard::usage::{Subject, Usage};
use crate::sip::uri::Aor;

/// The store has others, or the user knows of some now.
pub(in crate::shard) fn changed(shard: &mut Shard, user: &Aor, effects: &mut Effects) {
    let keys = match shard.subscribers.get(user) {
        Some(subscriber) if !subscriber.roaming.is_empty() => subscriber.roaming.clone(),
        _ => return,
    };
    for key in keys {
        let usage = shard.dialogs.get(key).map(|dialog| &dialog.usage);
        let asks = matches!(
            usage,
            Some(Usage::Subscription(subscription))
                if subscription.subject == Subject::Roaming(Roaming::Pending)
        );
        if asks {
            shard.notify(key, effects);
        }
    }
}
