//! Whether a user wants a request now: do not disturb, and who is blocked.
//!
//! | the user is | the caller is | the request says | what is answered |
//! | --- | --- | --- | --- |
//! | any | the user themself | any | let through |
//! | do not disturb | anybody else | any | 486 "Do Not Disturb" |
//! | anything else | anybody | any | let through |

use crate::immcu::content::{Outcome, Priority};
use crate::presence::Availability;
use crate::shard::{Shard, UserKey};
use crate::sip::uri::Aor;

/// What is answered in the place of a user of this shard who is not to hear of this; `None` where it may go on to them.
pub(crate) fn held_back(
    shard: &Shard,
    key: UserKey,
    from: &Aor,
    _priority: Priority,
) -> Option<Outcome> {
    let user = shard.users.get(key)?;
    if user.record.aor == *from {
        return None;
    }
    let availability = user.presentity.as_ref()?.state().availability;
    (availability == Availability::DoNotDisturb).then(|| Outcome::with(486, "Do Not Disturb"))
}
