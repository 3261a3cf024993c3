//! What others bring to a user, invitations and calls, has a share of what the user and each of the user's connections may hold:
//! else who rings often enough takes the room in which the user would do something themself.

use crate::immcu::leg::{Leg, State};
use crate::shard::usage::{Stage, Usage};
use crate::shard::{Shard, UserKey};
use crate::sip::link::ConnectionId;
use crate::sip::uri::Aor;

/// What others bring is at most the whole divided by this, but [`SHARE_MIN`] for each endpoint in any case: who talks can be rung.
const SHARE: usize = 4;
const SHARE_MIN: usize = 2;
/// Unanswered rings of one caller at one user.
const RINGS_MAX: usize = 8;

impl Shard {
    /// Whether one more conversation or call that somebody else begins may be on this connection.
    pub(crate) fn has_room_for_ring(&self, connection: ConnectionId) -> bool {
        let Some(place) = self.connections.get(connection) else {
            return false;
        };
        let legs = self.dialogs.keys(&place.dialogs).filter(|key| {
            let usage = self.dialogs.get(*key).map(|association| &association.usage);
            matches!(usage, Some(Usage::Leg(leg)) if !leg.theirs)
        });
        let ends = self.ends.keys(&place.ends).filter(|key| {
            let end = self.ends.get(*key);
            end.is_some_and(|end| end.is_brought())
        });
        let share = self.settings.dialogs_max / SHARE;
        let endpoints_max = self.settings.registrar.endpoints_max;
        self.connections.has_room_to_say(connection, 0)
            && self.no_room_to_hold(connection).is_none()
            && legs.count() + ends.count() < share.max(SHARE_MIN)
            && self.holding_on(connection).brought < share.max(SHARE_MIN * endpoints_max)
    }

    /// Whether `from` rings at this user so often already that once more would say nothing new.
    pub(crate) fn rings_enough(&self, key: UserKey, from: &Aor) -> bool {
        let Some(user) = self.users.get(key) else {
            return false;
        };
        let mut endpoints = user.bindings.endpoints(self.now);
        endpoints.any(|endpoint| self.rings_enough_on(endpoint.connection, from))
    }

    /// The same at one of the user's endpoints.
    pub(crate) fn rings_enough_on(&self, connection: ConnectionId, from: &Aor) -> bool {
        let Some(place) = self.connections.get(connection) else {
            return false;
        };
        let legs = self.dialogs.keys(&place.dialogs);
        let ends = self.ends.keys(&place.ends);
        let invited = legs.filter(|leg| {
            let Some(Leg {
                state: State::Ringing(ringing, _),
                ..
            }) = self.leg(*leg)
            else {
                return false;
            };
            let ringing = self.ringings.get(*ringing);
            ringing.is_some_and(|ringing| ringing.from.aor == *from)
        });
        let called = ends.filter(|key| {
            let end = self.ends.get(*key);
            end.is_some_and(|end| {
                end.number > 0 && end.stage == Stage::Ringing && end.caller == *from
            })
        });
        invited.count() + called.count() >= RINGS_MAX
    }
}
