//! A conference's roster at its owner: who may read it, and one letter a watching shard when it changes (RFC 4575).

use std::sync::Arc;

use crate::documents::conference_info::{self, Conference, Entry, Extent, Status, User};
use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Party};
use crate::immcu::session::{Joining, Kind, LegRef, Participant, Session};
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::request::SESSION_PREFIX;
use crate::shard::{Shard, ShardId};
use crate::sip::uri::Aor;

/// What has changed in a roster: for the partial document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Joined,
    Left,
}

/// A shard has a subscription to the roster. Only who is in the conference may read it.
pub(super) fn watch(
    shard: &mut Shard,
    id: SessionId,
    user: &Aor,
    subscription: LegRef,
    effects: &mut Effects,
) {
    let watching = ShardId(subscription.shard);
    let refusal = match shard.sessions.get(&id) {
        None => Some(Outcome::of(404)),
        Some(session) if !session.participants.iter().any(|p| p.user == *user) => {
            Some(Outcome::with(403, "Join The Conference First"))
        }
        Some(session) if session.kind == Kind::TwoParty => {
            Some(Outcome::with(404, "Not A Conference Yet"))
        }
        Some(_) => None,
    };
    if let Some(outcome) = refusal {
        return shard.post(
            watching,
            Letter::RosterRefused {
                session: id,
                subscription,
                outcome,
            },
            effects,
        );
    }
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    if !session.audience.contains(&watching.0) {
        session.audience.push(watching.0);
    }
    let version = session.version;
    let full = full_document(session, shard.settings.immcu.members_max);
    let (partial, subscription) = (Arc::from(&[][..]), Some(subscription));
    shard.post(
        watching,
        Letter::Roster {
            session: id,
            version,
            full,
            partial,
            subscription,
        },
        effects,
    );
}

pub(super) fn unwatch(shard: &mut Shard, id: SessionId, watching: ShardId) {
    if let Some(session) = shard.sessions.get_mut(&id) {
        session.audience.retain(|other| *other != watching.0);
    }
}

/// A user whose last leg has gone sees the roster no longer; their subscriptions live on their own shard.
pub(super) fn lose(shard: &mut Shard, id: SessionId, user: Aor, effects: &mut Effects) {
    let owner = shard.route.owner(&user);
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    let still = session
        .participants
        .iter()
        .any(|participant| participant.user == user);
    if !still && session.audience.contains(&owner.0) {
        shard.post(owner, Letter::RosterLost { session: id, user }, effects);
    }
}

/// The roster has changed: one letter a watching shard, with both documents once.
pub(super) fn tell(
    shard: &mut Shard,
    id: SessionId,
    change: Option<(Change, Participant)>,
    effects: &mut Effects,
) {
    let members_max = shard.settings.immcu.members_max;
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    session.version = session.version.wrapping_add(1);
    if session.audience.is_empty() {
        return;
    }
    let full = full_document(session, members_max);
    let partial: Arc<[u8]> = match change {
        Some((change, participant)) => partial_document(session, change, &participant, members_max),
        None => Arc::from(&[][..]),
    };
    let (version, audience) = (session.version, session.audience.clone());
    for watching in audience {
        let (full, partial) = (full.clone(), partial.clone());
        let letter = Letter::Roster {
            session: id,
            version,
            full,
            partial,
            subscription: None,
        };
        shard.post(ShardId(watching), letter, effects);
    }
}

fn document<'a>(
    session: &Session,
    extent: Extent,
    members_max: usize,
    entries: impl Iterator<Item = Entry<'a>>,
) -> Arc<[u8]> {
    let entity = focus_party(session).aor.uri();
    let conference = Conference {
        entity: &entity,
        version: session.version,
        subject: "",
        user_count_max: u32::try_from(members_max).unwrap_or(u32::MAX),
        user_count: u32::try_from(session.user_count()).unwrap_or(u32::MAX),
    };
    let mut out = Vec::with_capacity(512 + 256 * session.participants.len());
    conference_info::write(&mut out, extent, &conference, entries);
    out.into()
}

/// A participant as others see them: the endpoint is named by the address of record, for nobody learns another's.
fn member<'a>(session: &Session, participant: &'a Participant, uri: &'a str) -> Entry<'a> {
    let owner = session.is_led_by(&participant.user);
    Entry::Present(User {
        entity: uri,
        display_name: &participant.display,
        role: if owner { "moderator" } else { "participant" },
        endpoint: uri,
        status: Status::Connected,
        joining: Some(match participant.joining {
            Joining::DialedIn => conference_info::Joining::DialedIn,
            Joining::DialedOut => conference_info::Joining::DialedOut,
        }),
        disconnection: None,
    })
}

fn full_document(session: &Session, members_max: usize) -> Arc<[u8]> {
    let mut seen: Vec<&Aor> = Vec::new();
    let mut users: Vec<(&Participant, String)> = Vec::new();
    for participant in &session.participants {
        // Somebody with two endpoints is one user of the conference.
        if !seen.contains(&&participant.user) {
            seen.push(&participant.user);
            users.push((participant, participant.user.uri()));
        }
    }
    let entries = users
        .iter()
        .map(|(participant, uri)| member(session, participant, uri));
    document(session, Extent::Full, members_max, entries)
}

fn partial_document(
    session: &Session,
    change: Change,
    participant: &Participant,
    members_max: usize,
) -> Arc<[u8]> {
    let uri = participant.user.uri();
    let still = session
        .participants
        .iter()
        .any(|p| p.user == participant.user);
    let entry = match change {
        Change::Left if !still => Entry::Deleted { entity: &uri },
        _ => member(session, participant, &uri),
    };
    document(
        session,
        Extent::Partial,
        members_max,
        core::iter::once(entry),
    )
}

/// The focus as somebody who speaks.
pub(super) fn focus_party(session: &Session) -> Party {
    let text = format!(
        "{}{}@{}",
        SESSION_PREFIX,
        session.id,
        session.initiator.host()
    );
    Party {
        aor: Aor::parse(&text).unwrap_or_else(|| session.initiator.clone()),
        display: "Conference".into(),
    }
}
