//! Who may speak on a connection. Identity belongs to the connection: what authenticated on it speaks on it.

use crate::auth::{Association, Claim, Unsigned, Verdict, begins_anew};
use crate::calls::carried::Invite;
use crate::shard::effect::{Effect, Effects};
use crate::shard::request::{Request, Target};
use crate::shard::{Shard, UserKey, on_connection, padding};
use crate::sip::link::{ConnectionId, Link};
use crate::sip::message::{Message, Method};
use crate::sip::uri::Aor;

/// How often a connection may move between shards before it is told to stop trying names.
const MOVES_MAX: u8 = 8;

/// Connections that one user may have for each endpoint that they may have. A client has one, and a new one for each that is dead
/// and not noticed to be, until the network's silence has told (`shell::listener`).
const CONNECTIONS_AN_ENDPOINT: usize = 4;

impl Shard {
    /// True where the request may go on. Otherwise it has been answered, or its connection is on its way to the shard
    /// that owns the user it names: only there are the user's credentials, so only there they are checked. The request
    /// goes along unconsumed, and needs nothing but a nonce of ours that is fresh.
    ///
    /// Who signs proves it again before the association has had its time, as the same user.
    pub(crate) fn may_speak(&mut self, request: Request<'_>, effects: &mut Effects) -> bool {
        let Some(connection) = self.connections.get(request.connection) else {
            return false;
        };
        let known = connection.user.clone();
        let again = connection.association.is_some() && begins_anew(request.message);
        if let Some(user) = known.as_ref().filter(|_| !again) {
            return self.speaks_as(request, user, effects);
        }
        let claim = self
            .authenticator
            .claim(request.message, self.now, request.link.peer);
        let claimed = match claim {
            Claim::User(claimed) => claimed,
            Claim::NoCredentials => {
                self.challenge(request, false, effects);
                return false;
            }
            Claim::Stale => {
                self.challenge(request, true, effects);
                return false;
            }
            Claim::AsksForNtlm => {
                self.ask_by_ntlm(request, effects);
                return false;
            }
            Claim::Malformed(flaw) => {
                self.answer(request, flaw.status(), flaw.reason(), effects);
                return false;
            }
        };
        if known.is_some_and(|user| user != *claimed.aor()) {
            self.answer(
                request,
                403,
                "Somebody Else Speaks On This Connection",
                effects,
            );
            return false;
        }
        let owner = self.route.owner(claimed.aor());
        if owner != self.me {
            if request.link.moves >= MOVES_MAX {
                self.answer(request, 403, "Too Many Names On One Connection", effects);
                effects.list.push(Effect::Close {
                    connection: request.connection,
                    reason: "tried too many names",
                });
                return false;
            }
            // Nobody authenticated here, so nothing else hangs on it.
            let left = self.connections.close(request.connection);
            effects.list.push(Effect::Adopt {
                connection: request.connection,
                to: owner,
                failures: left.map_or(0, |left| left.seen.failures()),
            });
            return false;
        }
        let credentials = self
            .user(claimed.aor())
            .map(|user| user.record.credentials());
        let Some(connection) = self.connections.get_mut(request.connection) else {
            return false;
        };
        let verdict =
            self.authenticator
                .verify(&claimed, credentials.as_ref(), &mut connection.seen);
        match verdict {
            Verdict::Proved | Verdict::Associated(_) => {
                if !self.speaks_as(request, claimed.aor(), effects)
                    || !(again || self.comes_in(request, claimed.aor(), effects))
                {
                    return false;
                }
                if let Verdict::Associated(association) = verdict {
                    self.associate(request.connection, association, again);
                }
                padding::notice(self, request.connection, request.message);
                true
            }
            Verdict::Stale => {
                self.challenge(request, true, effects);
                false
            }
            Verdict::Wrong => {
                self.challenge(request, false, effects);
                false
            }
            Verdict::TooMany => {
                self.answer(request, 403, "Too Many Wrong Passwords", effects);
                effects.list.push(Effect::Close {
                    connection: request.connection,
                    reason: "too many wrong passwords",
                });
                false
            }
        }
    }

    /// From must be who authenticated: somebody else is 403 (RFC 3261 §22.1 leaves the identity to the server). Who calls a user
    /// may leave it out: what the server does with the call goes by who authenticated, and whom it rings is told nobody.
    fn speaks_as(&mut self, request: Request<'_>, user: &Aor, effects: &mut Effects) -> bool {
        let from = request.message.from();
        // As nearly everybody writes it; the message has seen to it that it is a URI.
        if from.uri.strip_prefix("sip:") == Some(user.as_str()) {
            return true;
        }
        let named = from
            .uri()
            .ok()
            .and_then(|uri| Some(uri.aor_text()? == user.as_str()));
        if named == Some(true) {
            return true;
        }
        if Invite::is_anonymous(request.message)
            && let Target::User(_) = self.target(request.message.uri(), &request.link)
        {
            return true;
        }
        self.answer(
            request,
            403,
            "From Is Not Who Authenticated On This Connection",
            effects,
        );
        false
    }

    /// From now on the user speaks on this connection. False where that would be one too many: it has been answered, and is closed.
    fn comes_in(&mut self, request: Request<'_>, user: &Aor, effects: &mut Effects) -> bool {
        let max = self.connections_max();
        let key = self.by_aor.get(user).copied();
        let place = key.and_then(|key| self.users.get_mut(key));
        let connection = self.connections.get_mut(request.connection);
        let (Some(place), Some(connection)) = (place, connection) else {
            return false;
        };
        if place.connections as usize >= max {
            let reason = format!("At Most {max} Connections A User: Close Others First");
            self.answer(request, 403, &reason, effects);
            effects.list.push(Effect::Close {
                connection: request.connection,
                reason: "its user has too many connections",
            });
            return false;
        }
        place.connections += 1;
        connection.user = Some(user.clone());
        connection.counted = true;
        true
    }

    /// Connections that one user may have.
    fn connections_max(&self) -> usize {
        self.settings.registrar.endpoints_max * CONNECTIONS_AN_ENDPOINT
    }

    fn associate(
        &mut self,
        connection: ConnectionId,
        mut association: Box<Association>,
        again: bool,
    ) {
        let until = association.until();
        if again {
            // What it sent before it knew is still on its way, without a signature. With the old keys it signs nothing any more:
            // it dropped them when it began, and a connection keeps the order.
            association.renew(self.now);
        }
        self.connections.associate(connection, association);
        on_connection::arm(self, connection, until);
    }

    /// True where what came is signed, or need not be. Otherwise its connection is closed: between us and who has signed before
    /// there is somebody else now, or a client that we can't understand any more.
    ///
    /// COMPAT(SIPE, 1.25): while it proves itself again it goes on, and signs nothing. What it asks is challenged then, and what
    /// else it says is not heard.
    pub(crate) fn is_from_who_signs(
        &mut self,
        id: ConnectionId,
        link: Link,
        message: &Message<'_>,
        effects: &mut Effects,
    ) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        let Some(association) = &mut connection.association else {
            return true;
        };
        if begins_anew(message) {
            association.renew(now);
            return true;
        }
        match association.verify(message) {
            Ok(()) => true,
            Err(Unsigned::Missing) if association.is_renewed(now) => {
                let unanswered = [Method::Ack, Method::Cancel];
                if message.is_request() && !unanswered.contains(&message.method()) {
                    let request = Request {
                        connection: id,
                        link,
                        message,
                    };
                    self.challenge(request, false, effects);
                }
                false
            }
            Err(unsigned) => {
                effects.list.push(Effect::Close {
                    connection: id,
                    reason: unsigned.reason(),
                });
                false
            }
        }
    }

    fn ask_by_ntlm(&mut self, request: Request<'_>, effects: &mut Effects) {
        let question = self
            .authenticator
            .question(request.message, self.now, request.link.peer);
        self.answer_with(request, 401, "", effects, |mut draft| {
            draft.header("WWW-Authenticate", question);
            draft.finish();
        });
    }

    fn challenge(&mut self, request: Request<'_>, stale: bool, effects: &mut Effects) {
        let challenges =
            self.authenticator
                .challenges(request.message, self.now, request.link.peer, stale);
        self.answer_with(request, 401, "", effects, |mut draft| {
            for challenge in challenges {
                draft.header("WWW-Authenticate", challenge);
            }
            draft.finish();
        });
    }
}

/// A connection that was counted at its user is gone.
pub(super) fn count_off(shard: &mut Shard, user: &Aor) {
    let key = shard.by_aor.get(user).copied();
    if let Some(place) = key.and_then(|key| shard.users.get_mut(key)) {
        // Counted means: by this entry of the user's, for removing one uncounts.
        place.connections -= 1;
    }
}

/// An endpoint has moved to another connection, as that of a client does that came back. Where its user has many, the one that it
/// left goes at once, with no other endpoint on it: whoever comes back often finds room, also before the network has told which are dead.
pub(super) fn close_left(
    shard: &mut Shard,
    key: UserKey,
    left: ConnectionId,
    effects: &mut Effects,
) {
    let max = shard.connections_max();
    let Some(place) = shard.users.get(key) else {
        return;
    };
    let mut endpoints = place.bindings.endpoints(shard.now);
    if place.connections as usize > max / 2 && endpoints.all(|one| one.connection != left) {
        effects.list.push(Effect::Close {
            connection: left,
            reason: "its endpoint came back on another one",
        });
    }
}
