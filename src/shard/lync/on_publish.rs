//! SERVICE that publishes categories ([MS-PRES] §3.5.5.2), into the same presentity as PUBLISH. What is to last is answered
//! when the store has kept it; until then whatever else the user publishes waits, so that each request is whole.

use std::collections::VecDeque;

use crate::dialect::lync::own::{self, News};
use crate::dialect::lync::publish;
use crate::dialect::lync::published::STATE;
use crate::immcu::content::Outcome;
use crate::presence::{Edit, EndpointKey, NotPublished, Package, PublishItem};
use crate::shard::change::{Change, NotKept};
use crate::shard::effect::Effects;
use crate::shard::lync::on_own;
use crate::shard::on_kept::Keeping;
use crate::shard::request::{Request, Target};
use crate::shard::standing::StandingError;
use crate::shard::{Shard, UserKey, on_publish, on_register, on_watch};
use crate::sip::link::ConnectionId;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// After so many refusals in a row an endpoint is told all that it seems not to know, and after one more what it publishes
/// as new is taken: its versions are in a muddle that it does not get out of by itself ([MS-PRES] §3.5.5.2).
const REFUSALS_MAX: u8 = 2;

/// A user whose publication waits for the store.
#[derive(Debug, Default)]
pub(in crate::shard) struct Publishing {
    /// What has come since.
    waiting: VecDeque<Publication>,
    /// What has changed meanwhile and was not told.
    pub news: Vec<Box<str>>,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Publication {
    server: ServerKey,
    connection: ConnectionId,
    user: Aor,
    items: Vec<PublishItem>,
}

/// What of a request is done when the store has kept the rest.
#[derive(Debug)]
pub(crate) struct Pending {
    publication: Publication,
    passing: Vec<Edit>,
}

/// The user whose own data a request is about; `None` where it is about somebody else's, and it is answered.
pub(super) fn owner(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) -> Option<Aor> {
    let user = shard.connections.get(request.connection)?.user.clone()?;
    match shard.target(request.message.uri(), &request.link) {
        Target::User(target) if target == user => Some(user),
        Target::Unknown => {
            shard.answer(request, 416, "", effects);
            None
        }
        _ => {
            shard.answer(request, 403, "Only Your Own", effects);
            None
        }
    }
}

pub(super) fn on_publish(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let Some(user) = owner(shard, request, effects) else {
        return;
    };
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let items = match publish::read(&body, shard.now) {
        Ok(items) => items,
        Err(bad) => return shard.answer(request, bad.status(), &bad.reason(), effects),
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    let publication = Publication {
        server,
        connection: request.connection,
        user,
        items,
    };
    match shard.publishing.get_mut(&publication.user) {
        Some(publishing) => publishing.waiting.push_back(publication),
        None => begin(shard, publication, effects),
    }
}

fn begin(shard: &mut Shard, publication: Publication, effects: &mut Effects) {
    let Some(key) = shard.by_aor.get(&publication.user).copied() else {
        return shard.settle(publication.server, &Outcome::of(404), effects);
    };
    let overwrites = shard
        .connections
        .get(publication.connection)
        .is_some_and(|connection| connection.conflicts >= REFUSALS_MAX);
    let endpoint = EndpointKey(publication.connection.0);
    let items = publication.items.clone();
    let held = on_own::held(shard, key);
    let edits = match held.edits(shard.now, endpoint, items, overwrites) {
        Ok(edits) => edits,
        Err(why) => return refuse(shard, &publication, &why, effects),
    };
    let pending = Pending {
        publication,
        passing: edits.passing,
    };
    if edits.lasting.is_empty() {
        return finish(shard, key, pending, Vec::new(), effects);
    }
    let user = pending.publication.user.clone();
    shard.publishing.insert(user.clone(), Publishing::default());
    let change = Change::Categories(user, edits.lasting);
    shard.keep(change, Keeping::Categories(Box::new(pending)), effects);
}

/// The store has kept what is to last, or not.
pub(in crate::shard) fn kept(
    shard: &mut Shard,
    pending: Pending,
    outcome: Result<(), NotKept>,
    effects: &mut Effects,
) {
    let user = pending.publication.user.clone();
    let mut publishing = shard.publishing.remove(&user).unwrap_or_default();
    let key = shard.by_aor.get(&user).copied();
    if let Some(key) = key {
        on_publish::choice_changed(shard, key);
        if outcome.is_err() {
            on_watch::tell(shard, Package::Presence, key, None, effects);
            let news = News {
                categories: core::mem::take(&mut publishing.news),
                ..News::default()
            };
            on_own::tell(shard, key, &news, None, effects);
        }
    }
    match (outcome, key) {
        (Ok(()), Some(key)) => finish(shard, key, pending, publishing.news, effects),
        // It was published on top of what was no more when its turn came: asked again, that is found out.
        (Err(NotKept::Refused(StandingError::Stale)), Some(_)) => {
            begin(shard, pending.publication, effects);
        }
        (Err(not_kept), _) => {
            shard.settle(pending.publication.server, &not_kept.outcome(), effects);
        }
        (Ok(()), None) => {
            shard.settle(pending.publication.server, &Outcome::of(404), effects);
        }
    }
    for publication in publishing.waiting {
        match shard.publishing.get_mut(&user) {
            Some(publishing) => publishing.waiting.push_back(publication),
            None => begin(shard, publication, effects),
        }
    }
}

/// What passes is published too, and all who are to know are told.
fn finish(
    shard: &mut Shard,
    key: UserKey,
    pending: Pending,
    also: Vec<Box<str>>,
    effects: &mut Effects,
) {
    let now = shard.now;
    let Pending {
        publication,
        passing,
    } = pending;
    let items = publication.items.iter();
    let mut categories: Vec<Box<str>> = items.map(|item| item.key.category.clone()).collect();
    categories.extend(also);
    // Whoever has gone meanwhile is an endpoint no more.
    if let Some(connection) = shard.connections.get_mut(publication.connection) {
        connection.conflicts = 0;
        if let Some(presentity) = on_watch::presentity(shard, key)
            && !passing.is_empty()
        {
            presentity.edit_categories(now, passing);
        }
        // It may have been registered no longer when this came.
        on_own::end(shard, key, effects);
    }
    if on_own::is_news(shard, key) {
        categories.push(STATE.into());
    }
    let news = News {
        categories,
        ..News::default()
    };
    let document = on_own::answer(shard, key, &news).unwrap_or_default();
    // Its own notifications come behind it.
    shard
        .connections
        .told(publication.connection, now, document.len());
    shard.settle_with(publication.server, 200, "", None, effects, |draft| {
        draft.body(own::CONTENT_TYPE, &document);
    });
    on_own::tell(shard, key, &news, Some(publication.connection), effects);
    on_watch::tell(shard, Package::Presence, key, Some(now), effects);
    on_register::tidy_up(shard, key);
}

fn refuse(shard: &mut Shard, publication: &Publication, why: &NotPublished, effects: &mut Effects) {
    let NotPublished::Conflicts(conflicts) = why else {
        let outcome = Outcome::with(why.status(), &why.reason());
        return shard.settle(publication.server, &outcome, effects);
    };
    let mut in_a_row = 0;
    if let Some(connection) = shard.connections.get_mut(publication.connection) {
        connection.conflicts = connection.conflicts.saturating_add(1);
        in_a_row = connection.conflicts;
    }
    if in_a_row >= REFUSALS_MAX {
        on_own::remind(shard, &publication.user, publication.connection, effects);
    }
    let fault = publish::fault(conflicts);
    shard.settle_with(publication.server, 409, "", None, effects, |draft| {
        draft.body(publish::FAULT_TYPE, &fault);
    });
}
