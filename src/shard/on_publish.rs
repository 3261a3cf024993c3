//! PUBLISH (RFC 3903), and the presentity's side of watching: aggregate once, render once, one letter a shard.

use std::sync::Arc;

use rand_core::Rng;

use crate::documents::pidf;
use crate::presence::{Content, EndpointKey, Level, Package, Presentity, Publish, Refusal, State};
use crate::shard::effect::Effects;

use crate::shard::request::{Request, Target};
use crate::shard::{Shard, UserKey, on_register, on_watch};
use crate::sip::header::{Event, Name};
use crate::sip::time::Now;

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
        match pidf::read(message.body()) {
            Ok(document) => Some(Content::of(&document)),
            Err(_) => return shard.answer(request, 400, "Bad Presence Document", effects),
        }
    };
    let if_match = message.header(Name::SipIfMatch);
    let Some(key) = shard.by_aor.get(&user).copied() else {
        return;
    };
    let (now, born, limits) = (shard.now, shard.born(), shard.settings.presence);
    let Some(place) = shard.users.get_mut(key) else {
        return;
    };
    let any = !place.bindings.is_empty();
    let presentity = place
        .presentity
        .get_or_insert_with(|| Box::new(Presentity::new(born)));
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
        Err(refusal) => shard.answer_with(request, refusal.status(), "", effects, |mut draft| {
            if let Refusal::TooBrief { min_s } = refusal {
                draft.header("Min-Expires", min_s);
            }
            draft.finish();
        }),
    }
    if changed {
        on_watch::tell(shard, Package::Presence, key, Some(now), effects);
    }
    on_register::tidy_up(shard, key);
}

/// The document that the watchers of `level` see: rendered once for all of them. `None` where there is no presentity.
pub(super) fn render(shard: &Shard, key: UserKey, level: Level) -> Option<Arc<[u8]>> {
    let user = shard.users.get(key)?;
    let presentity = user.presentity.as_deref()?;
    let entity = user.record.aor.uri();
    let shown = if level == Level::Blocked {
        State::OFFLINE.shown(&entity, Now(0))
    } else {
        presentity.shown(&entity)
    };
    let mut document = Vec::with_capacity(512);
    pidf::write(&mut document, &shown);
    Some(document.into())
}

impl Shard {
    /// What a presentity that is made now takes for its beginning.
    pub(super) fn born(&self) -> Now {
        self.now.max(Now(self.newest_version.saturating_add(1)))
    }
}
