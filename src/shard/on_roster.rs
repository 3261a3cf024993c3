//! A conference's roster at its owner: who may read it, and one letter a watching shard when it changes (RFC 4575).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dialect::Dialect;
use crate::documents::conference_info::{
    self, Conference, Disconnection, Entry, Extent, Status, User,
};
use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Party};
use crate::immcu::focus::Watching;
use crate::immcu::room::Absent;
use crate::immcu::session::{Invitation, Joining, Kind, LegRef, Participant, Session};
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::lync::roster;
use crate::shard::request::SESSION_PREFIX;
use crate::shard::{Shard, ShardId};
use crate::sip::uri::Aor;

/// A shard has a subscription to the roster. Only who is in the conference may read it.
pub(super) fn watch(
    shard: &mut Shard,
    id: SessionId,
    user: &Aor,
    subscription: LegRef,
    dialect: Dialect,
    effects: &mut Effects,
) {
    let watching = ShardId(subscription.shard);
    let refusal = match shard.sessions.get(&id) {
        None => Some(Outcome::of(404)),
        Some(session) if !session.has(user) => {
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
    let in_full = dialect == Dialect::Lync;
    let known = session.audience.iter_mut().find(|w| w.shard == watching.0);
    match known {
        Some(known) => known.in_full |= in_full,
        None => session.audience.push(Watching {
            shard: watching.0,
            in_full,
        }),
    }
    let lync = in_full.then(|| (roster::whole(session), Arc::from(&[][..])));
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
            lync,
            subscription,
        },
        effects,
    );
}

pub(super) fn unwatch(shard: &mut Shard, id: SessionId, watching: ShardId) {
    if let Some(session) = shard.sessions.get_mut(&id) {
        session.audience.retain(|other| other.shard != watching.0);
    }
}

/// A user whose last leg has gone sees the roster no longer.
pub(super) fn lose(shard: &mut Shard, id: SessionId, user: &Aor, effects: &mut Effects) {
    if shard.sessions.get(&id).is_some_and(|s| !s.has(user)) {
        hide(shard, id, user, None, effects);
    }
}

/// A user sees the roster no longer, or only where they speak otherwise than `dialect`. Their subscriptions live on their
/// own shard.
pub(super) fn hide(
    shard: &mut Shard,
    id: SessionId,
    user: &Aor,
    dialect: Option<Dialect>,
    effects: &mut Effects,
) {
    let owner = shard.route.owner(user);
    let Some(session) = shard.sessions.get(&id) else {
        return;
    };
    if session.audience.iter().any(|w| w.shard == owner.0) {
        let letter = Letter::RosterLost {
            session: id,
            user: user.clone(),
            dialect,
        };
        shard.post(owner, letter, effects);
    }
}

/// The conference has changed, and in its roster what is said of `changed`, and of who had to make room: one letter a watching
/// shard, with both documents once.
pub(super) fn tell(shard: &mut Shard, id: SessionId, changed: &[Aor], effects: &mut Effects) {
    let members_max = shard.settings.immcu.members_max;
    let Some(session) = shard.sessions.get_mut(&id) else {
        return;
    };
    session.version = session.version.wrapping_add(1);
    let mut displaced = core::mem::take(&mut session.room.displaced);
    displaced.retain(|one| !changed.contains(one));
    if session.audience.is_empty() {
        return;
    }
    let changed = &[changed, &displaced].concat();
    let full = full_document(session, members_max);
    let partial = partial_document(session, changed, members_max);
    let lync = session.audience.iter().any(|watching| watching.in_full);
    let lync = lync.then(|| (roster::whole(session), roster::changed(session, changed)));
    let (version, audience) = (session.version, session.audience.clone());
    for watching in audience {
        let (full, partial) = (full.clone(), partial.clone());
        let lync = lync.clone().filter(|_| watching.in_full);
        let letter = Letter::Roster {
            session: id,
            version,
            full,
            partial,
            lync,
            subscription: None,
        };
        shard.post(ShardId(watching.shard), letter, effects);
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
        subject: session.room.subject.as_str(),
        user_count_max: u32::try_from(members_max).unwrap_or(u32::MAX),
        user_count: u32::try_from(session.user_count()).unwrap_or(u32::MAX),
        locked: session.room.locked,
    };
    let mut out = Vec::with_capacity(512 + 256 * session.participants.len());
    conference_info::write(&mut out, extent, &conference, entries);
    out.into()
}

/// What the roster says of one user: in it, being rung, or absent.
enum Line<'a> {
    Member(&'a Participant),
    Rung(&'a Invitation),
    Absent(&'a Absent, String),
    Gone(&'a Aor),
}

impl<'a> Line<'a> {
    fn of(session: &'a Session, user: &'a Aor) -> Line<'a> {
        if let Some(one) = session.participants.iter().find(|one| one.user == *user) {
            Line::Member(one)
        } else if let Some(one) = session.invitations.iter().find(|one| one.user == *user) {
            Line::Rung(one)
        } else if let Some(one) = session.room.absent.iter().find(|one| one.user == *user) {
            Line::absent(one)
        } else {
            Line::Gone(user)
        }
    }

    fn absent(absent: &'a Absent) -> Line<'a> {
        let outcome = &absent.outcome;
        let reason = format!("{} {}", outcome.status, outcome.text());
        Line::Absent(absent, reason)
    }

    fn user(&self) -> &'a Aor {
        match self {
            Line::Member(one) => &one.user,
            Line::Rung(one) => &one.user,
            Line::Absent(one, _) => &one.user,
            Line::Gone(user) => user,
        }
    }

    /// As others see it: the endpoint is named by the address of record, for nobody learns another's.
    fn entry<'e>(&'e self, session: &Session, uri: &'e str) -> Entry<'e> {
        let blank = User {
            entity: uri,
            display_name: "",
            role: "",
            endpoint: uri,
            status: Status::DialingOut,
            joining: Some(conference_info::Joining::DialedOut),
            disconnection: None,
            reason: "",
        };
        Entry::Present(match self {
            Line::Gone(_) => return Entry::Deleted { entity: uri },
            Line::Member(one) => User {
                display_name: &one.display,
                role: if session.is_led_by(&one.user) {
                    "moderator"
                } else {
                    "participant"
                },
                status: Status::Connected,
                joining: Some(match one.joining {
                    Joining::DialedIn => conference_info::Joining::DialedIn,
                    Joining::DialedOut => conference_info::Joining::DialedOut,
                }),
                ..blank
            },
            Line::Rung(one) if one.alerting => User {
                status: Status::Alerting,
                ..blank
            },
            Line::Rung(_) => blank,
            Line::Absent(one, reason) => User {
                status: Status::Disconnected,
                disconnection: Some(match one.outcome.status {
                    // Busy here, busy everywhere, declined (RFC 4575 §5.7.6 knows no more).
                    486 | 600 | 603 => Disconnection::Busy,
                    _ => Disconnection::Failed,
                }),
                reason,
                ..blank
            },
        })
    }
}

fn full_document(session: &Session, members_max: usize) -> Arc<[u8]> {
    // Somebody with two endpoints is one user of the conference; one who is rung may have come another way.
    let mut seen: BTreeSet<&Aor> = BTreeSet::new();
    let members = session.participants.iter().map(Line::Member);
    let rung = session.invitations.iter().map(Line::Rung);
    let absent = session.room.absent.iter().map(Line::absent);
    let lines: Vec<(Line<'_>, String)> = members
        .chain(rung)
        .chain(absent)
        .filter(|line| seen.insert(line.user()))
        .map(|line| {
            let uri = line.user().uri();
            (line, uri)
        })
        .collect();
    let entries = lines.iter().map(|(line, uri)| line.entry(session, uri));
    document(session, Extent::Full, members_max, entries)
}

fn partial_document(session: &Session, changed: &[Aor], members_max: usize) -> Arc<[u8]> {
    // Who has come to the focus and does not speak yet is gone from a roster of those who do: they may have been rung.
    let lines: Vec<(Line<'_>, String)> = changed
        .iter()
        .map(|user| (Line::of(session, user), user.uri()))
        .collect();
    let entries = lines.iter().map(|(line, uri)| line.entry(session, uri));
    document(session, Extent::Partial, members_max, entries)
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
