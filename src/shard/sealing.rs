//! Signs what is sent on connections with an association, when all of it is written and before it leaves ([MS-SIPAE] §3.3.4.1):
//! at one place, so that no script has to think of it, and none can forget it.

use rand_core::Rng;

use crate::shard::Shard;
use crate::shard::effect::{Effect, Effects};

/// Signs what is sent to those who sign among `effects` from `start` on. What is never signed goes out as it is: provisional
/// answers and challenges.
pub(super) fn seal(shard: &mut Shard, start: usize, effects: &mut Effects) {
    if !shard.connections.any_signed() {
        return;
    }
    let (connections, rng) = (&mut shard.connections, &mut shard.rng);
    let target = shard.authenticator.ntlm_target();
    let Effects { list, bytes } = effects;
    for effect in list.iter_mut().skip(start) {
        if let Effect::Send {
            connection, range, ..
        } = effect
            && let Some(connection) = connections.get_mut(*connection)
            && let Some(association) = &mut connection.association
            // A copy with one more header line; what it replaces stays in the arena until the turn is over.
            && let Some(sealed) = association.sign(bytes, range.clone(), rng.next_u32(), target)
        {
            *range = sealed;
        }
    }
}
