//! A Lync client learns in the dialog that it speaks in whom its message did not reach ([MS-CONFIM] §3.2).

use rand_core::Rng;

use crate::dialect::lync::imdn;
use crate::immcu::content::Outcome;
use crate::shard::Shard;
use crate::shard::effect::Effects;
use crate::sip::dialog::DialogKey;
use crate::sip::uri::Aor;

/// By BENOTIFY: there is nothing to answer.
pub(in crate::shard) fn report(
    shard: &mut Shard,
    key: DialogKey,
    number: u32,
    missed: &Aor,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    let branch = shard.branches.unanswered(shard.rng.next_u64());
    if shard.leg(key).is_none() {
        return;
    }
    let Some(association) = shard.dialogs.get_mut(key) else {
        return;
    };
    let connection = association.connection;
    let Some(link) = shard.connections.get(connection).map(|place| place.link) else {
        return;
    };
    let dialog = &mut association.dialog;
    let body = imdn::write(number, &missed.uri(), outcome.status);
    effects.notify(connection, |out| {
        let mut draft = dialog.request(out, "BENOTIFY", &link, branch);
        draft.contact(dialog.scheme(), "", &link, false);
        draft.body(imdn::CONTENT_TYPE, &body);
    });
}
