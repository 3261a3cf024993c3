//! PUBLISH (RFC 3903), and the presentity's side of watching: aggregate once, render once, one letter a shard.

use std::sync::Arc;

use rand_core::Rng;

use crate::dialect::lync::categories::{self, Person};
use crate::documents::pidf::{self, Note};
use crate::immcu::content::Outcome;
use crate::presence::{
    Availability, Card, Content, EndpointKey, Level, Package, Phone, Presentity, Publish,
    Published, Refusal, contacts, seen, view,
};
use crate::shard::change::{Change, NotKept};
use crate::shard::effect::Effects;
use crate::shard::on_kept::Keeping;
use crate::shard::request::{Request, Target};
use crate::shard::standing::Standing;
use crate::shard::{Shard, UserKey, lync, on_register, on_waiting, on_watch};
use crate::sip::build::Draft;
use crate::sip::header::{Event, Name};
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

pub(super) fn on_publish(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let event = message
        .header(Name::Event)
        .and_then(|event| Event::parse(event).ok());
    if event.is_some_and(|event| event.is("message-summary")) {
        return on_waiting::on_publish(shard, request, effects);
    }
    if !event.is_some_and(|event| event.is("presence")) {
        return shard.answer(request, 489, "", effects);
    }
    let Some(user) = shard
        .connections
        .get(request.connection)
        .and_then(|connection| connection.user.clone())
    else {
        return;
    };
    match shard.target(message.uri(), &request.link) {
        Target::User(target) if target == user => {}
        Target::Unknown => return shard.answer(request, 416, "", effects),
        // The event state compositor of somebody else is not yours to write to (RFC 3903 §6 step 1).
        _ => return shard.answer(request, 403, "Publish Your Own Presence", effects),
    }
    let content = if message.body().is_empty() {
        None
    } else {
        if !message
            .content_type()
            .is_some_and(|media| media.is(pidf::CONTENT_TYPE))
        {
            return shard.answer_with(request, 415, "", effects, |mut draft| {
                draft.header("Accept", pidf::CONTENT_TYPE);
                draft.finish();
            });
        }
        let Some(body) = shard.body(request, effects) else {
            return;
        };
        let Ok(document) = pidf::read(&body) else {
            return shard.answer(request, 400, "Bad Presence Document", effects);
        };
        match Content::of(document, shard.now, &shard.settings.presence) {
            Ok(content) => Some(content),
            Err(refusal) => return refuse(shard, request, refusal, effects),
        }
    };
    let (content, chosen) = content.unzip();
    let publish = Publish {
        endpoint: EndpointKey(request.connection.0),
        if_match: message.header(Name::SipIfMatch),
        expires_s: message.expires(),
        content,
    };
    let Some(chosen) = chosen.flatten() else {
        return match take(shard, &user, publish, effects) {
            Ok(published) => shard.answer_with(request, 200, "", effects, |draft| {
                write_published(draft, &published);
            }),
            Err(refusal) => refuse(shard, request, refusal, effects),
        };
    };
    // What is to last is answered when it does. So it is asked first whether the rest will be taken: what is refused changes
    // nothing.
    if let Err(refusal) = would_take(shard, &user, &publish) {
        return refuse(shard, request, refusal, effects);
    }
    let Some(server) = shard.open(request) else {
        return;
    };
    let publishing = Publishing {
        server,
        connection: request.connection,
        user: user.clone(),
        if_match: publish.if_match.map(Into::into),
        expires_s: publish.expires_s,
        content: publish.content,
    };
    let change = Change::Chosen {
        user,
        state: chosen.state,
        custom: chosen.custom,
        until: chosen.until,
    };
    shard.keep(change, Keeping::Publish(Box::new(publishing)), effects);
}

/// A PUBLISH that waits for the store.
#[derive(Debug)]
pub(crate) struct Publishing {
    server: ServerKey,
    connection: ConnectionId,
    user: Aor,
    if_match: Option<Box<str>>,
    expires_s: Option<u32>,
    content: Option<Content>,
}

/// The store has kept what a PUBLISH says is to last, or not. Only now the rest is taken.
pub(super) fn kept(
    shard: &mut Shard,
    publishing: Publishing,
    outcome: Result<(), NotKept>,
    effects: &mut Effects,
) {
    let Publishing { server, user, .. } = &publishing;
    if let Err(not_kept) = outcome {
        return shard.settle(*server, &not_kept.outcome(), effects);
    }
    // Whoever has gone meanwhile has an endpoint no more, and nobody to be answered; what they chose lasts.
    if shard.connections.get(publishing.connection).is_none() {
        return;
    }
    let publish = |if_match| Publish {
        endpoint: EndpointKey(publishing.connection.0),
        if_match,
        expires_s: publishing.expires_s,
        content: publishing.content.clone(),
    };
    let taken = match take(
        shard,
        user,
        publish(publishing.if_match.as_deref()),
        effects,
    ) {
        // Its publication has ended while the store wrote: what was kept is kept, so this is a publication of its own.
        Err(Refusal::UnknownTag) => take(shard, user, publish(None), effects),
        taken => taken,
    };
    match taken {
        Ok(published) => shard.settle_with(*server, 200, "", None, effects, |draft| {
            write_published(draft, &published);
        }),
        Err(refusal) => {
            let (status, reason) = (refusal.status(), refusal.reason());
            let outcome = Outcome::with(status, &reason);
            shard.settle(*server, &outcome, effects);
        }
    }
}

fn write_published(mut draft: Draft<'_>, published: &Published) {
    draft.header("SIP-ETag", format_args!("{}", published.tag));
    draft.header("Expires", published.expires_s);
    draft.finish();
}

/// Would this PUBLISH be taken?
fn would_take(shard: &mut Shard, user: &Aor, publish: &Publish<'_>) -> Result<(), Refusal> {
    let (now, limits) = (shard.now, shard.settings.presence);
    let presentity = shard.user(user).and_then(|user| user.presentity.as_ref());
    match presentity {
        Some(presentity) => presentity.check(now, publish, &limits),
        None => Presentity::new(now, None).check(now, publish, &limits),
    }
}

/// Takes a PUBLISH, and tells who watches.
fn take(
    shard: &mut Shard,
    user: &Aor,
    publish: Publish<'_>,
    effects: &mut Effects,
) -> Result<Published, Refusal> {
    let (now, limits) = (shard.now, shard.settings.presence);
    let Some(key) = shard.by_aor.get(user).copied() else {
        return Err(Refusal::UnknownTag);
    };
    // Made where there is none, with all that is known of the user.
    on_watch::presentity(shard, key);
    let place = shard.users.get_mut(key);
    let Some((any, presentity)) = place.and_then(|place| {
        let any = !place.bindings.is_empty();
        Some((any, place.presentity.as_mut()?))
    }) else {
        return Err(Refusal::UnknownTag);
    };
    let before = presentity.version();
    presentity.registered(now, any);
    let rng = &mut shard.rng;
    let published = presentity.publish(now, publish, &limits, || rng.next_u64());
    if presentity.version() != before {
        on_watch::tell(shard, Package::Presence, key, Some(now), effects);
    }
    on_register::tidy_up(shard, key);
    published
}

fn refuse(shard: &mut Shard, request: Request<'_>, refusal: Refusal, effects: &mut Effects) {
    let (status, reason) = (refusal.status(), refusal.reason());
    shard.answer_with(request, status, &reason, effects, |mut draft| {
        if let Refusal::TooBrief { min_s } = refusal {
            draft.header("Min-Expires", min_s);
        }
        draft.finish();
    });
}

/// The document that the watchers of `level` see: rendered once for all of them. `None` where there is no presentity.
pub(super) fn render(shard: &Shard, key: UserKey, level: Level) -> Option<Arc<[u8]>> {
    let user = shard.users.get(key)?;
    let presentity = user.presentity.as_deref()?;
    let aor = &user.record.aor;
    let entity = aor.uri();
    let none = Card::default();
    let standing = user.record.standing.as_deref();
    let card = standing.map_or(&none, |standing| &standing.card);
    let contacts = contacts(card, level, aor.host());
    let (state, since) = (presentity.state(), presentity.since(level));
    // A note may be for some levels, and not for those that would see one by rule: all of a level see it, in whatever dialect.
    let container = match level {
        Level::Own => Level::Friends.container(),
        level => level.container(),
    };
    let offline = seen(state, since, level).word == Availability::Offline;
    let published = lync::on_own::held(shard, key).note_in(container, offline);
    let published = published.map(|(text, _)| Note {
        text: text.into(),
        language: "".into(),
    });
    let mut shown = view(state, since, level, &entity, &contacts);
    let chosen = level != Level::Own && standing.is_some_and(is_note_chosen);
    // What is kept for the blocked ones would tell them that they are.
    if level != Level::Blocked && (published.is_some() || chosen) {
        shown.note = published.as_ref();
    }
    let mut document = Vec::with_capacity(1024);
    pidf::write(&mut document, &shown);
    Some(document.into())
}

fn is_note_chosen(standing: &Standing) -> bool {
    let choice = standing.choice.as_ref();
    choice.is_some_and(|choice| choice.note.is_some())
}

/// The same in Lync's categories.
pub(super) fn render_categories(shard: &Shard, key: UserKey, level: Level) -> Option<Arc<[u8]>> {
    let user = shard.users.get(key)?;
    let presentity = user.presentity.as_deref()?;
    let none = Card::default();
    let standing = user.record.standing.as_deref();
    let state = presentity.state();
    let mut seen = seen(state, presentity.since(level), level);
    if standing.is_some_and(is_note_chosen) {
        // It is published, for the containers that may see it.
        seen.note = None;
    }
    let person = Person {
        user: &user.record.aor,
        display_name: &user.record.display_name,
        seen,
        note_kind: state.note_kind,
        held: lync::on_own::held(shard, key),
        card: standing.map_or(&none, |standing| &standing.card),
    };
    let mut document = Vec::with_capacity(1024);
    categories::write(&mut document, &person, level);
    Some(document.into())
}

/// A user's part in calls has changed; this is the shard that owns the user. Nothing happens where the user is not here.
pub(super) fn phone(shard: &mut Shard, user: &Aor, phone: Phone, effects: &mut Effects) {
    let now = shard.now;
    let Some(key) = shard.by_aor.get(user).copied() else {
        return;
    };
    let Some(presentity) = on_watch::presentity(shard, key) else {
        return;
    };
    if presentity.phone(now, phone) {
        on_watch::tell(shard, Package::Presence, key, Some(now), effects);
    }
    on_register::tidy_up(shard, key);
}

/// The store has another choice of the user's than before. Who watches is told with all else that may have changed. While the
/// user publishes it waits for the rest of that: nobody is to see a half of it.
pub(super) fn choice_changed(shard: &mut Shard, key: UserKey) {
    let now = shard.now;
    let Some(user) = shard.users.get_mut(key) else {
        return;
    };
    if shard.publishing.contains_key(&user.record.aor) {
        return;
    }
    let standing = user.record.standing.as_deref();
    if let Some(presentity) = &mut user.presentity {
        presentity.chosen(now, standing.and_then(|standing| standing.choice.as_ref()));
    }
}

impl Shard {
    /// What a presentity that is made now takes for its beginning.
    pub(super) fn born(&self) -> Now {
        self.now.max(Now(self.newest_version.saturating_add(1)))
    }
}
