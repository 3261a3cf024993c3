//! Somebody has added a user to their list and says so ([MS-PRES] §3.5.5.7). The user is asked what to make of it once, at
//! whatever endpoint, and until then it is kept.

use crate::immcu::content::Party;
use crate::presence::Level;
use crate::shard::Shard;
use crate::shard::change::Change;
use crate::shard::effect::Effects;
use crate::shard::on_kept::Keeping;
use crate::shard::on_watch;
use crate::sip::uri::Aor;

/// The owner of who was added. Whom the user blocks, knows, or was asked about is nothing new.
pub(in crate::shard) fn added(shard: &mut Shard, user: &Aor, by: &Party, effects: &mut Effects) {
    let Some(key) = shard.by_aor.get(user).copied() else {
        return;
    };
    if on_watch::level_of(shard, key, &by.aor) == Level::Blocked {
        return;
    }
    let standing = shard
        .users
        .get(key)
        .and_then(|user| user.record.standing.as_deref());
    let known = standing.is_some_and(|standing| {
        standing.contacts.contains(&by.aor) || standing.subscribers.contains(&by.aor)
    });
    if !known {
        let change = Change::SubscriberAdded {
            user: user.clone(),
            by: by.aor.clone(),
            name: by.display.clone(),
        };
        shard.keep(change, Keeping::Nobody, effects);
    }
}
