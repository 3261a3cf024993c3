//! The server ends a registration by its own decision: each Lync endpoint is told why ([MS-SIPREGE] §3.4), and then every
//! connection of the user is closed, and gone for the shard. The other dialect's clients learn it by that alone, and register
//! again if they may.
//!
//! Nobody subscribes to this NOTIFY and nobody waits for its answer: it belongs to no dialog and opens no transaction.

use rand_core::Rng as _;

use crate::dialect::Dialect;
use crate::dialect::lync::registration::{self, Diagnostics, Ended};
use crate::registrar::Bindings;
use crate::shard::effect::{Effect, Effects};
use crate::shard::request::lone_request;
use crate::shard::{Shard, UserKey, on_connection, sealing};
use crate::sip::link::ConnectionId;
use crate::sip::message::Method;
use crate::sip::uri::Aor;

/// All endpoints of a user, and whatever else is connected as them.
pub(in crate::shard) fn to_all(
    shard: &mut Shard,
    user: &Aor,
    bindings: &Bindings,
    ended: Ended,
    reason: &'static str,
    effects: &mut Effects,
) {
    let theirs: Vec<ConnectionId> = shard
        .connections
        .iter()
        .filter(|connection| connection.user.as_ref() == Some(user))
        .map(|connection| connection.id)
        .collect();
    let start = effects.list.len();
    for &connection in &theirs {
        tell(shard, connection, user, bindings, ended, effects);
        effects.list.push(Effect::Close { connection, reason });
    }
    // The keys go with the connections.
    sealing::seal(shard, start, effects);
    // They end with the decision, not when a peer has let go of its socket: nobody is led to an endpoint that can't hear.
    for connection in theirs {
        on_connection::closed(shard, connection, effects);
    }
}

/// The same for a user of this shard.
pub(in crate::shard) fn to_user(
    shard: &mut Shard,
    key: UserKey,
    ended: Ended,
    reason: &'static str,
    effects: &mut Effects,
) {
    let Some(place) = shard.users.get(key) else {
        return;
    };
    let (user, bindings) = (place.record.aor.clone(), place.bindings.clone());
    to_all(shard, &user, &bindings, ended, reason, effects);
}

/// The server stops: who is to be told, in time.
pub(in crate::shard) fn begin(shard: &mut Shard, effects: &mut Effects) {
    shard.farewells = shard
        .connections
        .iter()
        .filter(|connection| connection.dialect == Dialect::Lync)
        .map(|connection| connection.id)
        .collect();
    go_on(shard, effects);
}

/// Tells those with nothing under way: a client leaves as soon as it hears it, and what it waits for would be lost.
pub(in crate::shard) fn go_on(shard: &mut Shard, effects: &mut Effects) {
    let mut busy = Vec::new();
    for id in core::mem::take(&mut shard.farewells) {
        let Some(connection) = shard.connections.get(id) else {
            continue;
        };
        if connection.servers.first().is_some() || connection.clients.first().is_some() {
            busy.push(id);
            continue;
        }
        let user = connection.user.clone();
        let key = user.as_ref().and_then(|user| shard.by_aor.get(user));
        let place = key.and_then(|key| shard.users.get(*key));
        if let (Some(user), Some(place)) = (user, place) {
            let bindings = place.bindings.clone();
            tell(shard, id, &user, &bindings, Ended::Deactivated, effects);
        }
        effects.list.push(Effect::Close {
            connection: id,
            reason: "the server stops",
        });
    }
    shard.farewells = busy;
}

fn tell(
    shard: &mut Shard,
    connection: ConnectionId,
    user: &Aor,
    bindings: &Bindings,
    ended: Ended,
    effects: &mut Effects,
) {
    let Some(link) = shard
        .connections
        .get(connection)
        .filter(|connection| connection.dialect == Dialect::Lync)
        .map(|connection| connection.link)
    else {
        return;
    };
    let now = shard.now;
    for endpoint in bindings
        .endpoints(now)
        .filter(|endpoint| endpoint.connection == connection)
    {
        let branch = shard.branches.unanswered(shard.rng.next_u64());
        let (from, to) = (
            format!("<{}>;tag={}", user.uri(), shard.fresh_tag()),
            user.uri(),
        );
        let call_id = shard.fresh_tag();
        effects.notify(connection, |out| {
            let mut draft = lone_request(
                out,
                Method::Notify,
                endpoint.contact(),
                &link,
                branch,
                &from,
                &to,
                &call_id,
            );
            draft.header("Event", registration::EVENT);
            draft.header("Subscription-State", "terminated;expires=0");
            let diagnostics = Diagnostics {
                id: ended.id(),
                reason: ended.reason(),
                source: "",
            };
            draft.header("ms-diagnostics-public", format_args!("{diagnostics}"));
            draft.body(registration::CONTENT_TYPE, ended.body().as_bytes());
        });
    }
}
