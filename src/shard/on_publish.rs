//! PUBLISH (RFC 3903), and the presentity's side of watching: aggregate once, render once, one letter a shard.

use std::sync::Arc;

use rand_core::Rng;

use crate::documents::pidf;
use crate::presence::{
    Card, Content, EndpointKey, Level, Package, Phone, Publish, Refusal, contacts, view,
};
use crate::shard::effect::Effects;

use crate::shard::request::{Request, Target};
use crate::shard::{Shard, UserKey, on_register, on_watch};
use crate::sip::header::{Event, Name};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

pub(super) fn on_publish(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let event = message
        .header(Name::Event)
        .and_then(|event| Event::parse(event).ok());
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
        let identity = message
            .header(Name::ContentEncoding)
            .is_none_or(|e| e.eq_ignore_ascii_case("identity"));
        if !identity
            || !message
                .content_type()
                .is_some_and(|media| media.is(pidf::CONTENT_TYPE))
        {
            return shard.answer_with(request, 415, "", effects, |mut draft| {
                draft.header("Accept", pidf::CONTENT_TYPE);
                draft.header("Accept-Encoding", "identity");
                draft.finish();
            });
        }
        let Ok(document) = pidf::read(message.body()) else {
            return shard.answer(request, 400, "Bad Presence Document", effects);
        };
        match Content::of(document, shard.now, &shard.settings.presence) {
            Ok((content, _)) => Some(content),
            Err(refusal) => return refuse(shard, request, refusal, effects),
        }
    };
    let if_match = message.header(Name::SipIfMatch);
    let Some(key) = shard.by_aor.get(&user).copied() else {
        return;
    };
    let (now, limits) = (shard.now, shard.settings.presence);
    if on_watch::presentity(shard, key).is_none() {
        return;
    }
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    let any = !place.bindings.is_empty();
    let Some(presentity) = &mut place.presentity else {
        return;
    };
    let before = presentity.version();
    presentity.registered(now, any);
    let publish = Publish {
        endpoint: EndpointKey(request.connection.0),
        if_match,
        expires_s: message.expires(),
        content,
    };
    let rng = &mut shard.rng;
    let published = presentity.publish(now, publish, &limits, || rng.next_u64());
    let changed = presentity.version() != before;
    match published {
        Ok(published) => shard.answer_with(request, 200, "", effects, |mut draft| {
            draft.header("SIP-ETag", published.tag);
            draft.header("Expires", published.expires_s);
            draft.finish();
        }),
        Err(refusal) => refuse(shard, request, refusal, effects),
    }
    if changed {
        on_watch::tell(shard, Package::Presence, key, Some(now), effects);
    }
    on_register::tidy_up(shard, key);
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
    let (state, since) = (presentity.state(), presentity.since());
    let shown = view(state, since, level, &entity, &contacts);
    let mut document = Vec::with_capacity(1024);
    pidf::write(&mut document, &shown);
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

/// The store has another choice of the user's than before. Who watches is told with all else that may have changed.
pub(super) fn choice_changed(shard: &mut Shard, key: UserKey) {
    let now = shard.now;
    let Some(user) = shard.users.get_mut(key) else {
        return;
    };
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
