//! Copies of what a user sends, for their other endpoints.
//!
//! An endpoint asks for them with the feature tag `+muster.copies` in the Contact of its REGISTER (RFC 3840 §9 has the form of
//! such tags). When a message that the user sent from another endpoint has been accepted, it gets a MESSAGE outside of any
//! dialog: From and P-Asserted-Identity are the user, To is who the message went to (a person, or a conference), and
//! `Muster-Copy-Of` has that address too, which is what tells it from a message to the user. Typing and notifications are not copied.
//!
//! A copy is nobody's business but the user's: it is in no record, what is answered to it changes nothing, and since it comes from
//! the server it is never copied itself. An endpoint that hears the session with a leg of its own gets none.

use crate::dialect::simple::{self, Reads};
use crate::immcu::SessionId;
use crate::immcu::content::{Content, Outcome, Sort};
use crate::registrar::{Endpoint, Feature};
use crate::shard::effect::Effects;
use crate::shard::request::lone_request;
use crate::shard::usage::{Purpose, Usage};
use crate::shard::{Shard, User, UserKey};
use crate::sip::link::ConnectionId;
use crate::sip::message::Method;
use crate::sip::time::Now;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// The header that tells a copy from a message.
const HEADER: &str = "Muster-Copy-Of";

/// A message that waits for its answer and is to be copied then.
#[derive(Debug)]
pub(crate) struct OwnCopy {
    user: Aor,
    /// Where it came from.
    connection: ConnectionId,
    /// The URI that it went to, without brackets.
    to: Box<str>,
    session: Option<SessionId>,
    content: Content,
}

impl OwnCopy {
    /// Keeps what `user` says to `to` (asked only then), where another endpoint of theirs wants to know.
    pub fn keep(
        shard: &mut Shard,
        key: ServerKey,
        user: UserKey,
        to: impl FnOnce() -> String,
        session: Option<SessionId>,
        content: &Content,
    ) {
        let Some(connection) = shard.servers.get(key).map(|request| request.connection) else {
            return;
        };
        let Some(user) = shard.users.get(user) else {
            return;
        };
        let mut others = wanting(user, shard.now, connection);
        if content.sort != Sort::Text || others.next().is_none() {
            return;
        }
        let user = &user.record.aor;
        let to = to();
        let to = to.trim_matches(['<', '>']);
        // Who writes to themself reads it at their other endpoints anyway.
        if to != user.uri() {
            let copy = OwnCopy {
                user: user.clone(),
                connection,
                to: to.into(),
                session,
                content: content.clone(),
            };
            shard.own_copies.insert(key, copy);
        }
    }
}

/// The endpoints of a user that want copies, but for the one that speaks.
fn wanting(user: &User, now: Now, speaks: ConnectionId) -> impl Iterator<Item = &Endpoint> {
    user.bindings.endpoints(now).filter(move |endpoint| {
        endpoint.connection != speaks && endpoint.capabilities.has(Feature::Copies)
    })
}

/// The message has its answer. The copies leave after it was accepted, in the order of the answers.
pub(super) fn settled(shard: &mut Shard, key: ServerKey, outcome: &Outcome, effects: &mut Effects) {
    if shard.own_copies.is_empty() {
        return;
    }
    let Some(copy) = shard.own_copies.remove(&key) else {
        return;
    };
    if !outcome.is_success() {
        return;
    }
    let user = shard.user(&copy.user).into_iter();
    let targets: Vec<(ConnectionId, Box<str>)> = user
        .flat_map(|user| wanting(user, shard.now, copy.connection))
        .filter(|endpoint| !hears(shard, endpoint.connection, copy.session))
        .map(|endpoint| (endpoint.connection, endpoint.contact().into()))
        .collect();
    let (party, now) = (shard.party(&copy.user), shard.now);
    let from_text = format!("{};tag={}", simple::name_addr(&party), shard.fresh_tag());
    let call_id = shard.fresh_call_id();
    for (connection, contact) in targets {
        shard.ask(
            connection,
            Method::Message,
            Purpose::Forget,
            effects,
            |out, link, branch| {
                let mut draft = lone_request(
                    out,
                    Method::Message,
                    &contact,
                    link,
                    branch,
                    &from_text,
                    &copy.to,
                    &call_id,
                );
                draft.header(HEADER, format_args!("<{}>", copy.to));
                simple::write_content(draft, &party, &copy.content, Reads::Unknown, now);
            },
        );
    }
}

/// Whether somebody on this connection takes part in the session.
fn hears(shard: &Shard, connection: ConnectionId, session: Option<SessionId>) -> bool {
    let (Some(session), Some(connection)) = (session, shard.connections.get(connection)) else {
        return false;
    };
    let mut dialogs = shard.dialogs.keys(&connection.dialogs);
    dialogs.any(|key| {
        let usage = shard.dialogs.get(key).map(|association| &association.usage);
        matches!(usage, Some(Usage::Leg(leg)) if leg.session == session)
    })
}
