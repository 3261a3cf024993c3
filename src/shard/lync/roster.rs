//! A conference's roster for its Lync subscribers, made where the session is and only where one of them watches.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dialect::lync::conference_roster::{self, Conference, Entry};
use crate::dialect::lync::conference_uri;
use crate::documents::conference_info::Extent;
use crate::immcu::room::Role;
use crate::immcu::session::Session;
use crate::sip::uri::Aor;

fn entry<'a>(session: &'a Session, user: &Aor) -> Entry<'a> {
    let uri = user.uri();
    if !session.has(user) {
        return Entry::Gone { uri };
    }
    let legs = session.participants.iter().filter(|one| one.user == *user);
    let attends = session.attendances.iter().filter(|one| one.user == *user);
    let shown = legs.clone().map(|one| &*one.display);
    let display = shown.chain(attends.clone().map(|one| &*one.display)).next();
    Entry::Present {
        uri,
        display: display.unwrap_or_default(),
        role: if session.is_led_by(user) {
            Role::Moderator
        } else {
            Role::Participant
        },
        focus: attends.map(|one| &*one.endpoint).collect(),
        chat: legs.map(|one| one.number).collect(),
    }
}

fn document<'a>(
    session: &'a Session,
    extent: Extent,
    users: impl Iterator<Item = &'a Aor>,
) -> Arc<[u8]> {
    let conference = Conference {
        focus: &conference_uri::focus(&session.initiator, session.id),
        chat: &conference_uri::chat(&session.initiator, session.id),
        version: session.version,
        subject: session.room.subject.as_str(),
        locked: session.room.locked,
    };
    let entries = users.map(|user| entry(session, user));
    conference_roster::write(extent, &conference, entries).into()
}

/// All there is. Who has left stands in it too: a client takes nobody away who is only absent.
pub(in crate::shard) fn whole(session: &Session) -> Arc<[u8]> {
    let mut seen: BTreeSet<&Aor> = BTreeSet::new();
    let speak = session.participants.iter().map(|one| &one.user);
    let attend = session.attendances.iter().map(|one| &one.user);
    let users = speak.chain(attend).chain(&session.departed);
    document(
        session,
        Extent::Full,
        users.filter(|user| seen.insert(user)),
    )
}

/// What is said of `changed` now: nothing of who is only being rung, or did not come.
pub(in crate::shard) fn changed(session: &Session, changed: &[Aor]) -> Arc<[u8]> {
    let known = |user: &&Aor| session.has(user) || session.departed.contains(user);
    document(session, Extent::Partial, changed.iter().filter(known))
}
