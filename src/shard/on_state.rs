//! What a watched user's owner says, on the shard of who watches: may a subscription watch, and what does its level see.
//!
//! Each subscription asks the owner once, and each answer that lets one in is paid back with one `Unwatch`: when the
//! subscription ends, when it moves to another level, or at once where it ended before the answer came. So the owner's
//! counts are exact. Letters between two shards arrive in order, and that is all that this rests on.

use slotmap::{Key, KeyData};

use crate::immcu::content::Outcome;
use crate::presence::{Level, Package, Placed, Shown, SubscriptionKey};
use crate::shard::change::Change;
use crate::shard::effect::Effects;
use crate::shard::letter::{Asked, Letter};
use crate::shard::on_fanout::Errand;
use crate::shard::on_kept::Keeping;
use crate::shard::usage::{Association, Subject, Usage};
use crate::shard::{Shard, on_alert, on_fanout, on_leg, on_list, on_subscribe};
use crate::sip::dialog::DialogKey;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// The number under which a dialog watches.
pub(super) fn watch_key(key: DialogKey) -> SubscriptionKey {
    SubscriptionKey(key.data().as_ffi())
}

fn dialog_key(key: SubscriptionKey) -> DialogKey {
    KeyData::from_ffi(key.0).into()
}

/// Whose the subscription is, and since when.
pub(super) fn watcher_of(shard: &Shard, key: SubscriptionKey) -> Option<(Aor, Now)> {
    if let Some(user) = on_alert::user_of(key) {
        let user = shard.users.get(user)?;
        return Some((user.record.aor.clone(), shard.now));
    }
    match &shard.dialogs.get(dialog_key(key))?.usage {
        Usage::Subscription(subscription) => {
            Some((subscription.watcher.clone(), subscription.since))
        }
        Usage::Leg(_) | Usage::Focus(_) => None,
    }
}

/// Asks the owner what a subscription may see. Nothing is sent to the watcher until the answer.
pub(super) fn ask(
    shard: &mut Shard,
    package: Package,
    user: Aor,
    key: DialogKey,
    effects: &mut Effects,
) {
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    else {
        return;
    };
    let asked = Asked {
        watcher: shard.party(&subscription.watcher),
        subscription: shard.leg_ref(key),
    };
    let owner = shard.route.owner(&user);
    let letter = Letter::Watch {
        package,
        user,
        asked,
    };
    shard.post(owner, letter, effects);
}

/// A subscription has ended. One that still waits for the owner's answer gives its place back when that comes.
pub(super) fn unwatch(
    shard: &mut Shard,
    package: Package,
    user: Aor,
    watcher: Aor,
    key: DialogKey,
    effects: &mut Effects,
) {
    give_up(shard, package, user, watcher, watch_key(key), effects);
}

/// The same, of whatever watches under `key`.
pub(super) fn give_up(
    shard: &mut Shard,
    package: Package,
    user: Aor,
    watcher: Aor,
    key: SubscriptionKey,
    effects: &mut Effects,
) {
    if let Some(level) = shard.watching.unwatch(package, &user, key) {
        give_back(shard, package, user, watcher, level, effects);
    }
}

fn give_back(
    shard: &mut Shard,
    package: Package,
    user: Aor,
    watcher: Aor,
    level: Level,
    effects: &mut Effects,
) {
    let owner = shard.route.owner(&user);
    let letter = Letter::Unwatch {
        package,
        user,
        watcher,
        level,
        shard: shard.me,
    };
    shard.post(owner, letter, effects);
}

/// The owner: what a level sees. To all who watch at it, and to the subscription that this answers.
#[expect(clippy::too_many_arguments, reason = "the letter's parts")]
pub(super) fn state(
    shard: &mut Shard,
    package: Package,
    user: &Aor,
    level: Level,
    shown: &Shown,
    published: Option<Now>,
    answers: Option<Asked>,
    effects: &mut Effects,
) {
    let told = shard.watching.put(package, user, level, shown);
    if told.len() > shard.settings.slice_watchers {
        on_fanout::begin(shard, package, user, level, published, effects);
    } else if !told.is_empty() {
        let told = told.to_vec();
        shard.telling.fanouts.forget(package, user, level);
        for key in told {
            changed(shard, user, key, effects);
        }
        on_fanout::observe(published, effects);
    }
    if let Some(asked) = answers {
        answered(shard, package, user, level, shown, asked, effects);
    }
}

fn answered(
    shard: &mut Shard,
    package: Package,
    user: &Aor,
    level: Level,
    shown: &Shown,
    asked: Asked,
    effects: &mut Effects,
) {
    let watch_key = SubscriptionKey(asked.subscription.key);
    let alerted = on_alert::user_of(watch_key);
    let key = on_leg::key_of(asked.subscription);
    let mut alert = false;
    let waits = match shard.dialogs.get(key).map(|association| &association.usage) {
        Some(Usage::Subscription(subscription)) if subscription.subject.is_about(package, user) => {
            alert = subscription.alert;
            // A list answers when all on it are known.
            subscription.waiting.is_some() && !matches!(subscription.subject, Subject::List(_))
        }
        _ if alerted.is_some_and(|alerted| on_alert::is_about(shard, alerted, user)) => false,
        // It has ended while it asked, or this one is on its list no longer.
        _ => {
            return give_back(
                shard,
                package,
                user.clone(),
                asked.watcher.aor,
                level,
                effects,
            );
        }
    };
    let placed = shard.watching.place(package, user, level, shown, watch_key);
    let watcher = asked.watcher.aor.clone();
    let mut different = !matches!(placed, Placed::Moved { changed: false, .. });
    let fanouts = &mut shard.telling.fanouts;
    if let Placed::Moved { from, .. } = placed
        && !fanouts.is_empty()
    {
        different |= fanouts.is_untold(package, user, from, watch_key);
    }
    if different && !fanouts.is_empty() {
        fanouts.heard(package, user, level, watch_key);
    }
    if let Placed::Moved { from, .. } = placed {
        shard.telling.answered(package, user, watch_key);
        give_back(
            shard,
            package,
            user.clone(),
            asked.watcher.aor,
            from,
            effects,
        );
    }
    if let Some(alerted) = alerted {
        on_alert::seen(shard, alerted, user, effects);
    } else if on_list::is_list(shard, key) {
        on_list::watched(shard, key, user, different, effects);
    } else if different && placed != Placed::New {
        shard.notify(key, effects);
    }
    if waits && alert {
        let (user, whom) = (watcher, user.clone());
        on_alert::wanted(shard, &user, &whom);
        let change = Change::AlertAdded { user, whom };
        shard.keep(change, Keeping::Alert(key), effects);
    } else if waits {
        on_subscribe::grant(shard, key, effects);
    }
}

/// What is seen of a user has changed: the watcher is told, by itself or with others of a list.
pub(super) fn changed(shard: &mut Shard, user: &Aor, key: SubscriptionKey, effects: &mut Effects) {
    if let Some(alerted) = on_alert::user_of(key) {
        return on_alert::seen(shard, alerted, user, effects);
    }
    let key = dialog_key(key);
    if on_list::is_list(shard, key) {
        on_list::changed(shard, key, user, effects);
    } else {
        shard.notify(key, effects);
    }
}

/// The owner refuses, or has no such user any more: the subscription ends, or this one of its list is nobody.
pub(super) fn refused(
    shard: &mut Shard,
    user: &Aor,
    key: SubscriptionKey,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    if let Some(alerted) = on_alert::user_of(key) {
        return on_alert::unknown(shard, alerted, user, effects);
    }
    let key = dialog_key(key);
    if on_list::is_list(shard, key) {
        on_list::nobody(shard, key, user, effects);
    } else {
        on_subscribe::refused(shard, key, outcome, effects);
    }
}

/// The owner's rules have changed: each subscription asks anew what it may see.
pub(super) fn relevel(shard: &mut Shard, package: Package, user: &Aor, effects: &mut Effects) {
    let fanouts = &mut shard.telling.fanouts;
    let asking = shard.watching.move_all(package, user, |level, key| {
        fanouts.is_untold(package, user, level, key)
    });
    fanouts.forget_all(package, user);
    on_fanout::send_all(shard, Errand::Ask, package, user, asking, effects);
}

/// One of them asks. Who has gone meanwhile does not, and who has asked otherwise meanwhile pays one answer back.
pub(super) fn ask_anew(
    shard: &mut Shard,
    package: Package,
    user: &Aor,
    key: SubscriptionKey,
    effects: &mut Effects,
) {
    match on_alert::user_of(key) {
        Some(alerted) => on_alert::ask(shard, alerted, user.clone(), effects),
        None => ask(shard, package, user.clone(), dialog_key(key), effects),
    }
}

/// The user is no more: so are the subscriptions, of which each holds what it held until it ends. Who comes by that name
/// meanwhile is another, whom they see nothing of.
pub(super) fn gone(shard: &mut Shard, package: Package, user: &Aor, effects: &mut Effects) {
    shard.telling.forget(package, user);
    shard.watching.move_all(package, user, |_, _| false);
    let all = shard.watching.subscriptions(package, user);
    on_fanout::send_all(shard, Errand::End, package, user, all, effects);
}
