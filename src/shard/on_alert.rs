//! "Tell me when they are available": an alert is kept by the store, for one who waits and one who is waited for. It outlives
//! subscription, connection and restart, is told once, and then is no more.
//!
//! It lives on the shard of who waits, and watches like any subscription, so it sees what its owner may see and nothing
//! else: of somebody who blocks them, that they are not there. `SUBSCRIBE` with `Event: presence;alert` sets one beside its
//! subscription, and is answered when it is kept; so is the end of that subscription by its client, which takes the alert back.

use core::time::Duration;

use slotmap::{Key, KeyData};

use crate::documents::pidf;
use crate::documents::rpid::Activities;
use crate::immcu::session::LegRef;
use crate::presence::{Availability, Package, SubscriptionKey};
use crate::shard::change::{Change, NotKept};
use crate::shard::effect::Effects;
use crate::shard::letter::{Asked, Letter};
use crate::shard::on_kept::Keeping;
use crate::shard::request::lone_request;
use crate::shard::usage::Purpose;
use crate::shard::{Look, Shard, UserKey, on_state};
use crate::sip::dialog::DialogKey;
use crate::sip::message::Method;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// How long after the first vain question one is asked about again whom the store does not know (yet): at a start the users
/// come in whatever order. It doubles each time, up to `AGAIN_MAX`.
const AGAIN_MIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(3600);
/// How long after the store could not take out what was told it is asked again.
const OUT_AGAIN: Duration = Duration::from_secs(60);
/// Tells a user's alerts from a dialog among the subscriptions of a shard: no slot has so high a number.
const MARK: u64 = 1 << 31;

/// What one user waits for.
#[derive(Debug)]
pub(crate) struct Alerts {
    waits: Vec<Wait>,
    again: Duration,
}

#[derive(Debug)]
struct Wait {
    whom: Aor,
    stage: Stage,
    /// The subscriptions that have set it. Their keys are not used again, and no user has more than `subscriptions_max`.
    by: Vec<DialogKey>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The owner has been asked.
    Asked,
    /// The owner knows nobody of that name.
    Unknown,
    /// Watched, and not seen available.
    Watched,
    /// Is seen available; nobody is here to be told.
    Due,
    /// Is being told, at so many endpoints that have not answered.
    Sending(u16),
    /// Was told. The store will take it out.
    Told,
    /// Was told, and the store could not take it out: it is asked again then.
    Left(Now),
}

fn key_of(user: UserKey) -> SubscriptionKey {
    SubscriptionKey(user.data().as_ffi() | MARK)
}

/// Whose alerts this subscription is; `None` where it is a dialog.
pub(super) fn user_of(key: SubscriptionKey) -> Option<UserKey> {
    (key.0 & MARK != 0).then(|| KeyData::from_ffi(key.0 & !MARK).into())
}

fn wait_mut<'s>(shard: &'s mut Shard, user: UserKey, whom: &Aor) -> Option<&'s mut Wait> {
    let alerts = shard.users.get_mut(user)?.alerts.as_mut()?;
    alerts.waits.iter_mut().find(|wait| wait.whom == *whom)
}

/// Does the user wait for them?
pub(super) fn is_about(shard: &Shard, user: UserKey, whom: &Aor) -> bool {
    let alerts = shard.users.get(user).and_then(|user| user.alerts.as_ref());
    alerts.is_some_and(|alerts| alerts.waits.iter().any(|wait| wait.whom == *whom))
}

/// The store's word on whom the user waits for: who is new is watched, who is gone no longer.
pub(super) fn follow(shard: &mut Shard, user: UserKey, effects: &mut Effects) {
    let Some(place) = shard.users.get_mut(user) else {
        return;
    };
    let standing = place.record.standing.as_deref();
    let kept = standing.map_or(&[][..], |standing| &standing.alerts);
    if kept.is_empty() && place.alerts.is_none() {
        return;
    }
    let watcher = place.record.aor.clone();
    let mut waits = match place.alerts.take() {
        Some(alerts) => alerts.waits,
        None => Vec::new(),
    };
    let gone: Vec<Aor> = waits
        .extract_if(.., |wait| !kept.contains(&wait.whom))
        .map(|wait| wait.whom)
        .collect();
    let mut new = Vec::new();
    for whom in kept {
        if !waits.iter().any(|wait| wait.whom == *whom) {
            new.push(whom.clone());
            waits.push(Wait {
                whom: whom.clone(),
                stage: Stage::Asked,
                by: Vec::new(),
            });
        }
    }
    if !waits.is_empty() {
        place.alerts = Some(Box::new(Alerts {
            waits,
            again: AGAIN_MIN,
        }));
    }
    for whom in gone {
        let watcher = watcher.clone();
        on_state::give_up(
            shard,
            Package::Presence,
            whom,
            watcher,
            key_of(user),
            effects,
        );
    }
    for whom in new {
        ask(shard, user, whom, effects);
    }
}

/// The user is no more.
pub(super) fn forget(
    shard: &mut Shard,
    user: UserKey,
    watcher: &Aor,
    alerts: Alerts,
    effects: &mut Effects,
) {
    for wait in alerts.waits {
        let watcher = watcher.clone();
        on_state::give_up(
            shard,
            Package::Presence,
            wait.whom,
            watcher,
            key_of(user),
            effects,
        );
    }
}

/// Asks the owner of `whom` what may be seen.
pub(super) fn ask(shard: &mut Shard, user: UserKey, whom: Aor, effects: &mut Effects) {
    let Some(place) = shard.users.get(user) else {
        return;
    };
    let asked = Asked {
        watcher: shard.party(&place.record.aor),
        subscription: LegRef {
            shard: shard.me.0,
            key: key_of(user).0,
        },
    };
    let letter = Letter::Watch {
        package: Package::Presence,
        user: whom.clone(),
        asked,
    };
    shard.post_owner(&whom, letter, effects);
}

/// There is nobody of that name (any more): asked again in a while.
pub(super) fn unknown(shard: &mut Shard, user: UserKey, whom: &Aor, effects: &mut Effects) {
    let Some(wait) = wait_mut(shard, user, whom) else {
        return;
    };
    if !matches!(wait.stage, Stage::Told | Stage::Left(_)) {
        wait.stage = Stage::Unknown;
    }
    let Some(place) = shard.users.get_mut(user) else {
        return;
    };
    let watcher = place.record.aor.clone();
    if let Some(alerts) = &mut place.alerts {
        let at = shard.now.after(alerts.again);
        shard.look_at(at, Look::Alerts(user));
    }
    on_state::give_up(
        shard,
        Package::Presence,
        whom.clone(),
        watcher,
        key_of(user),
        effects,
    );
}

/// The wheel: who was unknown may be known by now, and the store may take out what it could not before.
pub(super) fn look(shard: &mut Shard, user: UserKey, effects: &mut Effects) {
    let now = shard.now;
    let Some(place) = shard.users.get_mut(user) else {
        return;
    };
    let Some(alerts) = &mut place.alerts else {
        return;
    };
    let (mut again, mut left) = (Vec::new(), Vec::new());
    for wait in &mut alerts.waits {
        match wait.stage {
            Stage::Unknown => {
                wait.stage = Stage::Asked;
                again.push(wait.whom.clone());
            }
            Stage::Left(at) if at <= now => left.push(wait.whom.clone()),
            _ => {}
        }
    }
    if !again.is_empty() {
        alerts.again = (alerts.again * 2).min(AGAIN_MAX);
    }
    for whom in again {
        ask(shard, user, whom, effects);
    }
    for whom in left {
        take_out(shard, user, whom, effects);
    }
}

/// What the user sees of `whom` is new, or known for the first time.
pub(super) fn seen(shard: &mut Shard, user: UserKey, whom: &Aor, effects: &mut Effects) {
    let available = sees_available(shard, user, whom);
    let Some(wait) = wait_mut(shard, user, whom) else {
        return;
    };
    match wait.stage {
        Stage::Asked | Stage::Watched if available => {
            wait.stage = Stage::Due;
            tell(shard, user, whom, effects);
        }
        // Who has gone before the user came is waited for once more.
        Stage::Asked | Stage::Due if !available => wait.stage = Stage::Watched,
        _ => {}
    }
}

fn sees_available(shard: &Shard, user: UserKey, whom: &Aor) -> bool {
    let shown = shard.watching.shown(Package::Presence, whom, key_of(user));
    shown.is_some_and(|shown| is_available(&shown.document))
}

/// Does a document of ours show somebody who can be written to and called: not idle, not busy, not away?
fn is_available(document: &[u8]) -> bool {
    let Ok(presence) = pidf::read(document) else {
        return false;
    };
    // What ends at a time that is known is so now.
    let timed = presence.timed.iter().map(|doing| doing.activities);
    let word = Availability::of(timed.fold(presence.activities, Activities::union));
    presence.basic() == Some(pidf::Basic::Open)
        && word.is_none_or(|word| word == Availability::Available)
        && !presence.input.is_some_and(|input| input.idle)
}

/// The user has an endpoint (more): what is due is told.
pub(super) fn online(shard: &mut Shard, user: UserKey, effects: &mut Effects) {
    let alerts = shard.users.get(user).and_then(|user| user.alerts.as_ref());
    let Some(alerts) = alerts else {
        return;
    };
    let due = alerts.waits.iter().filter(|wait| wait.stage == Stage::Due);
    let due: Vec<Aor> = due.map(|wait| wait.whom.clone()).collect();
    for whom in due {
        // What is told bit by bit may be known, and this user's turn to be told of it not have come.
        if sees_available(shard, user, &whom) {
            tell(shard, user, &whom, effects);
        }
    }
}

/// One message to each endpoint of the user, in the name of the domain.
fn tell(shard: &mut Shard, user: UserKey, whom: &Aor, effects: &mut Effects) {
    let now = shard.now;
    let Some(place) = shard.users.get(user) else {
        return;
    };
    let endpoints: Vec<_> = place
        .bindings
        .endpoints(now)
        .map(|endpoint| (endpoint.connection, endpoint.contact().to_owned()))
        .collect();
    let standing = place.record.standing.as_deref();
    let contact = standing.and_then(|standing| standing.contacts.get(whom));
    let name = contact
        .map(|contact| contact.name)
        .filter(|name| !name.is_empty());
    let text = match name {
        Some(name) => format!("{name} ({}) is available.", whom.uri()),
        None => format!("{} is available.", whom.uri()),
    };
    let (to, server) = (
        place.record.aor.uri(),
        format!("<sip:{}>", place.record.aor.host()),
    );
    let from = format!("{server};tag={}", shard.fresh_tag());
    let call_id = shard.fresh_call_id();
    let mut sent = 0;
    for (connection, contact) in endpoints {
        let purpose = Purpose::Alert(Box::new((user, whom.clone())));
        let client = shard.ask(
            connection,
            Method::Message,
            purpose,
            effects,
            |out, link, branch| {
                let mut draft = lone_request(
                    out,
                    Method::Message,
                    &contact,
                    link,
                    branch,
                    &from,
                    &to,
                    &call_id,
                );
                draft.header("P-Asserted-Identity", &server);
                draft.body("text/plain;charset=UTF-8", text.as_bytes());
            },
        );
        sent += u16::from(client.is_some());
    }
    if let Some(wait) = wait_mut(shard, user, whom)
        && sent > 0
    {
        wait.stage = Stage::Sending(sent);
    }
}

/// An endpoint has answered, or can't any more. The first that has taken it is enough.
pub(super) fn answered(
    shard: &mut Shard,
    (user, whom): (UserKey, Aor),
    status: u16,
    effects: &mut Effects,
) {
    let Some(wait) = wait_mut(shard, user, &whom) else {
        return;
    };
    let Stage::Sending(left) = wait.stage else {
        return;
    };
    if !(200..=299).contains(&status) {
        // Due again when all have refused: the next endpoint that comes, or comes again, is told, if that is still so.
        let refused = match sees_available(shard, user, &whom) {
            true => Stage::Due,
            false => Stage::Watched,
        };
        if let Some(wait) = wait_mut(shard, user, &whom) {
            wait.stage = match left {
                0 | 1 => refused,
                left => Stage::Sending(left - 1),
            };
        }
        return;
    }
    take_out(shard, user, whom, effects);
}

/// Was told: the store takes it out.
fn take_out(shard: &mut Shard, user: UserKey, whom: Aor, effects: &mut Effects) {
    let Some(wait) = wait_mut(shard, user, &whom) else {
        return;
    };
    wait.stage = Stage::Told;
    let Some(place) = shard.users.get(user) else {
        return;
    };
    let change = Change::AlertRemoved {
        user: place.record.aor.clone(),
        whom: whom.clone(),
    };
    let keeping = Keeping::AlertTold(Box::new((user, whom)));
    shard.keep(change, keeping, effects);
}

/// The store has taken out what was told, and then its record has said so before; or it could not.
pub(super) fn taken_out(
    shard: &mut Shard,
    (user, whom): (UserKey, Aor),
    outcome: Result<(), NotKept>,
) {
    if outcome.is_err() {
        leave(shard, user, &whom);
    }
}

/// The store is asked later to take it out.
fn leave(shard: &mut Shard, user: UserKey, whom: &Aor) {
    let at = shard.now.after(OUT_AGAIN);
    if let Some(wait) = wait_mut(shard, user, whom)
        && matches!(wait.stage, Stage::Told | Stage::Left(_))
    {
        wait.stage = Stage::Left(at);
        shard.look_at(at, Look::Alerts(user));
    }
}

/// `watcher` asks the store for an alert. What it could not take out of it stays there until it has answered.
pub(super) fn wanted(shard: &mut Shard, watcher: &Aor, whom: &Aor) {
    if let Some(user) = shard.by_aor.get(watcher).copied()
        && let Some(wait) = wait_mut(shard, user, whom)
        && matches!(wait.stage, Stage::Left(_))
    {
        leave(shard, user, whom);
    }
}

/// The store keeps the alert that `watcher` has asked for by this dialog. One that was told and that it could not take out is
/// that one now.
pub(super) fn kept(
    shard: &mut Shard,
    dialog: DialogKey,
    watcher: &Aor,
    whom: &Aor,
    effects: &mut Effects,
) {
    let Some(user) = shard.by_aor.get(watcher).copied() else {
        return;
    };
    let dialogs = &shard.dialogs;
    let alerts = shard
        .users
        .get_mut(user)
        .and_then(|user| user.alerts.as_mut());
    let Some(alerts) = alerts else {
        return;
    };
    let Some(wait) = alerts.waits.iter_mut().find(|wait| wait.whom == *whom) else {
        return;
    };
    wait.by.retain(|other| dialogs.get(*other).is_some());
    wait.by.push(dialog);
    if matches!(wait.stage, Stage::Left(_)) {
        wait.stage = Stage::Asked;
        ask(shard, user, whom.clone(), effects);
    }
}

/// Has this subscription of `watcher`'s set an alert that is not told yet?
pub(super) fn is_set_by(shard: &Shard, dialog: DialogKey, watcher: &Aor, whom: &Aor) -> bool {
    let user = shard
        .by_aor
        .get(watcher)
        .and_then(|key| shard.users.get(*key));
    let alerts = user.and_then(|user| user.alerts.as_ref());
    alerts.is_some_and(|alerts| {
        alerts.waits.iter().any(|wait| {
            wait.whom == *whom
                && wait.by.contains(&dialog)
                && !matches!(wait.stage, Stage::Told | Stage::Left(_))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_alerts_are_no_dialog() {
        let mut users: slotmap::SlotMap<UserKey, ()> = slotmap::SlotMap::with_key();
        let user = users.insert(());
        assert_eq!(user_of(key_of(user)), Some(user));
        assert_eq!(user_of(SubscriptionKey(user.data().as_ffi())), None);
    }

    #[test]
    fn available_is_open_and_nothing_else() {
        let document = |basic: &str, person: &str| {
            format!(
                "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
                 xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:b@h'><tuple id='t'><status><basic>{basic}</basic>\
                 </status></tuple><dm:person id='p'>{person}</dm:person></presence>"
            )
        };
        for (basic, person, available) in [
            ("open", "", true),
            ("closed", "", false),
            (
                "open",
                "<rpid:activities><rpid:busy/></rpid:activities>",
                false,
            ),
            (
                "open",
                "<rpid:activities><rpid:away/></rpid:activities>",
                false,
            ),
            (
                "open",
                "<rpid:activities until='2026-03-01T09:00:00Z'><rpid:busy/></rpid:activities>",
                false,
            ),
            ("open", "<rpid:user-input>idle</rpid:user-input>", false),
            ("open", "<rpid:user-input>active</rpid:user-input>", true),
        ] {
            let document = document(basic, person);
            assert_eq!(is_available(document.as_bytes()), available, "{document}");
        }
        assert!(!is_available(b""));
    }
}
