//! REGISTER (RFC 3261 §10, RFC 5626, RFC 5627), and what the store says of users.

use core::time::Duration;

use rand_core::Rng;

use crate::dialect::Dialect;
use crate::dialect::lync::registration::Ended;
use crate::presence::{EndpointKey, Package};
use crate::registrar::Bindings;
use crate::shard::effect::{Effect, Effects, Latency};
use crate::shard::lync::farewell;
use crate::shard::request::{ALLOW, EVENTS, Request, SUPPORTED};
use crate::shard::standing::Standing;
use crate::shard::{
    Look, Shard, User, UserKey, UserRecord, identity, lync, on_alert, on_kept, on_publish,
    on_watch, on_winfo,
};
use crate::sip::armed::Armed;
use crate::sip::header::{Name, has_token};
use crate::sip::link::ConnectionId;
use crate::sip::uri::Aor;

/// How long after a choice's end the store is asked again to forget it, where it is still there.
const CHOICE_AGAIN: Duration = Duration::from_secs(60);

pub(super) fn on_register(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let Some(user) = shard
        .connections
        .get(request.connection)
        .and_then(|connection| connection.user.clone())
    else {
        return;
    };
    // Nobody registers somebody else here (RFC 3261 §10.3 step 4).
    let to = message.to().uri().ok().and_then(|uri| uri.aor());
    if to.as_ref() != Some(&user) {
        return shard.answer(
            request,
            403,
            "To Is Not Who Authenticated On This Connection",
            effects,
        );
    }
    let Some(key) = shard.by_aor.get(&user).copied() else {
        return shard.answer(request, 404, "", effects);
    };
    let record = shard.users.get(key).map(|place| &place.record);
    let standing = record.and_then(|record| record.standing.as_ref());
    if let Some(home) = standing.and_then(|standing| standing.home.as_ref()) {
        // Both dialects' clients are told that it is for good: until the administrator says otherwise.
        let contact = format!("<{}>", home.uri());
        return shard.answer_with(request, 301, "", effects, |mut draft| {
            draft.header("Contact", contact);
            draft.finish();
        });
    }
    let now = shard.now;
    let speaks = shard.speaks(request);
    let settings = crate::registrar::Settings {
        // A Lync client hangs that is answered 423.
        brief_is_raised: speaks == Dialect::Lync,
        ..shard.settings.registrar
    };
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    let change = match place
        .bindings
        .register(&settings, now, request.connection, message)
    {
        Ok(change) => change,
        Err(refusal) => {
            return shard.answer_with(
                request,
                refusal.status(),
                refusal.reason(),
                effects,
                |mut draft| {
                    if let Some(min_s) = refusal.min_expires_s() {
                        draft.header("Min-Expires", min_s);
                    }
                    draft.finish();
                },
            );
        }
    };
    if change.endpoint.is_some()
        && let Some(connection) = shard.connections.get_mut(request.connection)
    {
        connection.dialect = speaks;
    }
    match speaks {
        Dialect::Simple => answer(shard, request, key, change.outbound, effects),
        Dialect::Lync => lync::on_register::answer(shard, request, key, &change, effects),
    }
    effects.list.push(Effect::Observe {
        latency: Latency::Register,
        since: now,
    });
    bindings_changed(shard, key, effects);
    let any_came = !(change.added.is_empty() && change.moved.is_empty());
    let came = any_came.then_some(request.connection);
    let gone = change.removed.iter().map(|endpoint| endpoint.connection);
    let moved = change.moved.iter().map(|(_, left)| *left);
    endpoints_changed(shard, &user, came.into_iter().chain(gone).chain(moved));
    for (_, left) in &change.moved {
        identity::close_left(shard, key, *left, effects);
    }
}

/// Who talks without an endpoint is in no call to others: where endpoints came or went on `connections`, that may be different now.
fn endpoints_changed(
    shard: &mut Shard,
    user: &Aor,
    mut connections: impl Iterator<Item = ConnectionId>,
) {
    if connections.any(|connection| shard.ends_on(connection).next().is_some()) {
        shard.line_changed(user);
    }
}

/// The 200 of a standard client: all bindings, with the GRUUs of each where it asks for them.
fn answer(
    shard: &mut Shard,
    request: Request<'_>,
    key: UserKey,
    outbound: bool,
    effects: &mut Effects,
) {
    let (now, message) = (shard.now, request.message);
    let Some(place) = shard.users.get(key) else {
        return;
    };
    let contacts: Vec<String> = if has_token(message.headers(Name::Supported), "gruu") {
        let (seal, rng) = (&shard.gruu_seal, &mut shard.rng);
        place
            .bindings
            .contact_values_with_gruus(now, &place.record.aor, seal, || rng.next_u64())
    } else {
        let values = place.bindings.contact_values(now);
        values.map(|contact| contact.to_string()).collect()
    };
    shard.answer_with(request, 200, "", effects, |mut draft| {
        for contact in &contacts {
            draft.header("Contact", contact);
        }
        if outbound {
            draft.header("Require", "outbound");
        }
        draft.header("Supported", SUPPORTED);
        draft.header("Allow", ALLOW);
        draft.header("Allow-Events", EVENTS);
        draft.finish();
    });
}

/// The connection of some endpoints is gone: so are they, and what they published.
pub(super) fn connection_gone(
    shard: &mut Shard,
    user: &Aor,
    connection: ConnectionId,
    effects: &mut Effects,
) {
    let Some(key) = shard.by_aor.get(user).copied() else {
        return;
    };
    let now = shard.now;
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    place.bindings.connection_gone(connection);
    let any = !place.bindings.is_empty();
    let mut ended = lync::on_own::end(shard, key, effects);
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    if let Some(presentity) = &mut place.presentity {
        ended |= presentity.endpoint_gone(now, EndpointKey(connection.0));
        if presentity.registered(now, any) || ended {
            on_watch::tell(shard, Package::Presence, key, Some(now), effects);
        }
    }
    tidy_up(shard, key);
}

fn bindings_changed(shard: &mut Shard, key: UserKey, effects: &mut Effects) {
    let now = shard.now;
    let ended = lync::on_own::end(shard, key, effects);
    let Some(place) = shard.users.get(key) else {
        return;
    };
    let any = !place.bindings.is_empty();
    if any && place.presentity.is_none() {
        // Made with that known: nobody watches yet, so there is nobody to tell.
        on_watch::presentity(shard, key);
    } else if let Some(place) = shard.users.get_mut(key)
        && let Some(presentity) = &mut place.presentity
        && (presentity.registered(now, any) || ended)
    {
        on_watch::tell(shard, Package::Presence, key, Some(now), effects);
    }
    if any {
        on_alert::online(shard, key, effects);
    }
    tidy_up(shard, key);
}

/// Forgets a presentity that says nothing, and arms the wheel for the next thing that ends by itself.
pub(super) fn tidy_up(shard: &mut Shard, key: UserKey) {
    let (now, idle) = (shard.now, shard.settings.immcu.pager_idle);
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    if place
        .presentity
        .as_ref()
        .is_some_and(|presentity| presentity.is_idle())
    {
        place.presentity = None;
    }
    if let Some(correspondence) = &mut place.correspondence {
        let bindings = &place.bindings;
        correspondence.tidy_up(now, idle, |endpoint| bindings.endpoint(endpoint).is_some());
        if correspondence.is_empty() {
            place.correspondence = None;
        }
    }
    let publication = place
        .presentity
        .as_ref()
        .and_then(|presentity| presentity.next_change(now));
    // Past its end it is asked for again in a while, in case the store could not do it.
    let standing = place.record.standing.as_ref();
    let choice = standing
        .and_then(|standing| standing.choice.as_ref()?.end())
        .map(|end| {
            if end > now {
                end
            } else {
                now.after(CHOICE_AGAIN)
            }
        });
    let next = [place.bindings.next_expiry(), publication, choice]
        .into_iter()
        .flatten()
        .min();
    if let Some(next) = next
        && let Some(at) = place.armed.arm(now, next)
    {
        shard.look_at(at, Look::User(key));
    }
}

/// The wheel: bindings and publications whose time has come end.
pub(super) fn look(shard: &mut Shard, key: UserKey, effects: &mut Effects) {
    let now = shard.now;
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    if !place.armed.is_due(now) {
        return;
    }
    on_kept::end_choice(shard, key, effects);
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    let expired = place.bindings.expire(now);
    if !expired.is_empty() {
        let user = place.record.aor.clone();
        endpoints_changed(shard, &user, expired.iter().map(|gone| gone.connection));
    }
    let mut ended = lync::on_own::end(shard, key, effects);
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    let any = !place.bindings.is_empty();
    if let Some(presentity) = &mut place.presentity {
        ended |= presentity.expire(now);
        if presentity.registered(now, any) || ended {
            on_watch::tell(shard, Package::Presence, key, Some(now), effects);
        }
    }
    tidy_up(shard, key);
}

/// The store: a user was added or changed. Who is connected stays so, unless their password is another one now.
pub(super) fn user_put(shard: &mut Shard, record: UserRecord, effects: &mut Effects) {
    if let Some(key) = shard.by_aor.get(&record.aor).copied()
        && let Some(place) = shard.users.get_mut(key)
    {
        let before = core::mem::replace(&mut place.record, record);
        // One text for the table's key and the record.
        place.record.aor = before.aor.clone();
        if before.credentials() != place.record.credentials() {
            // Who is in may have come in with what does not count any more.
            let reason = "the password was changed";
            farewell::to_user(shard, key, Ended::Outdated, reason, effects);
        }
        let Some(place) = shard.users.get(key) else {
            return;
        };
        if before.standing != place.record.standing {
            end_endpoints(shard, key, before.standing.as_deref(), effects);
            on_publish::choice_changed(shard, key);
            on_alert::follow(shard, key, effects);
            on_watch::standing_changed(shard, key, before.standing.as_deref(), effects);
            tidy_up(shard, key);
        }
        return;
    }
    let aor = record.aor.clone();
    let key = shard.users.insert(User {
        record,
        bindings: Bindings::default(),
        presentity: None,
        alerts: None,
        correspondence: None,
        armed: Armed::default(),
        place: 0,
        connections: 0,
    });
    let at = shard.directory.add(key);
    set_place(shard, key, at);
    on_watch::user_back(shard, key, &aor);
    shard.by_aor.insert(aor, key);
    on_alert::follow(shard, key, effects);
    tidy_up(shard, key);
}

/// The administrator has signed the user out, or given them another home.
fn end_endpoints(
    shard: &mut Shard,
    key: UserKey,
    before: Option<&Standing>,
    effects: &mut Effects,
) {
    let place = shard.users.get(key);
    let after = place.and_then(|place| place.record.standing.as_deref());
    let sign_outs = |standing: Option<&Standing>| standing.map_or(0, |standing| standing.sign_outs);
    let home = after.and_then(|standing| standing.home.as_ref());
    let moved = home.is_some() && home != before.and_then(|standing| standing.home.as_ref());
    if moved {
        farewell::to_user(
            shard,
            key,
            Ended::Deactivated,
            "the user has moved",
            effects,
        );
    } else if sign_outs(after) != sign_outs(before) {
        farewell::to_user(shard, key, Ended::Unregistered, "signed out", effects);
    }
}

/// The store: a user is no more. Their connections are closed, and who watches them learns it.
pub(super) fn user_removed(shard: &mut Shard, aor: &Aor, effects: &mut Effects) {
    let Some(key) = shard.by_aor.remove(aor) else {
        return;
    };
    let Some(user) = shard.users.remove(key) else {
        return;
    };
    let at = user.place as usize;
    if let Some(moved) = shard.directory.remove(at) {
        set_place(shard, moved, at);
    }
    on_winfo::refuse_waiting(shard, aor, effects);
    if let Some(alerts) = user.alerts {
        on_alert::forget(shard, key, aor, *alerts, effects);
    }
    if let Some(presentity) = user.presentity {
        on_watch::user_gone(shard, aor, presentity.audience, effects);
    }
    let reason = "the user was removed";
    let (bindings, ended) = (&user.bindings, Ended::Rejected);
    farewell::to_all(shard, aor, bindings, ended, reason, effects);
    // Whoever has that name next begins with none.
    shard.connections.uncount(aor);
}

fn set_place(shard: &mut Shard, key: UserKey, at: usize) {
    if let Some(user) = shard.users.get_mut(key) {
        // Four thousand million users would not fit in a slot map either.
        user.place = at as u32;
    }
}

/// How long a thing lasts, from seconds.
pub(super) fn seconds(s: u32) -> Duration {
    Duration::from_secs(u64::from(s))
}
