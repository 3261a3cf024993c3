//! PUBLISH (RFC 3903), and the presentity's side of watching: aggregate once, render once, one letter a shard.

use rand_core::Rng;

use crate::documents::pidf;
use crate::presence::{Content, EndpointKey, Presentity, Publish, Refusal};
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::request::{Request, Target};
use crate::shard::{Shard, ShardId, UserKey, on_register};
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
        tell_watchers(shard, key, Some(now), effects);
    }
    on_register::tidy_up(shard, key);
}

/// The state of a user as watchers see it, rendered once, to each shard that watches.
pub(super) fn tell_watchers(
    shard: &mut Shard,
    key: UserKey,
    published: Option<Now>,
    effects: &mut Effects,
) {
    let Some(user) = shard.users.get(key) else {
        return;
    };
    let Some(presentity) = &user.presentity else {
        return;
    };
    if presentity.audience.is_empty() {
        return;
    }
    let aor = user.record.aor.clone();
    let version = presentity.version();
    let watching: Vec<u16> = presentity.audience.iter().collect();
    let document = render(presentity, &aor);
    shard.newest_version = shard.newest_version.max(version);
    for to in watching {
        let document = Some(document.clone());
        let letter = Letter::State {
            presentity: aor.clone(),
            version,
            document,
            published,
        };
        shard.post(ShardId(to), letter, effects);
    }
}

impl Shard {
    /// What a presentity that is made now takes for its beginning.
    pub(super) fn born(&self) -> Now {
        self.now.max(Now(self.newest_version.saturating_add(1)))
    }
}

fn render(presentity: &Presentity, aor: &Aor) -> std::sync::Arc<[u8]> {
    let mut document = Vec::with_capacity(512);
    pidf::write(&mut document, &presentity.shown(&aor.uri()));
    document.into()
}

/// A shard has a first watcher: it gets the state as it is, and each change from now on.
pub(super) fn watch(shard: &mut Shard, aor: Aor, watching: ShardId, effects: &mut Effects) {
    let (now, born) = (shard.now, shard.born());
    let found = shard
        .by_aor
        .get(&aor)
        .copied()
        .and_then(|key| shard.users.get_mut(key));
    let Some(user) = found else {
        let letter = Letter::State {
            presentity: aor,
            version: now.0,
            document: None,
            published: None,
        };
        return shard.post(watching, letter, effects);
    };
    let any = !user.bindings.is_empty();
    let presentity = user.presentity.get_or_insert_with(|| {
        let mut presentity = Box::new(Presentity::new(born));
        presentity.registered(now, any);
        presentity
    });
    presentity.audience.add(watching.0);
    let (version, document) = (presentity.version(), Some(render(presentity, &aor)));
    shard.newest_version = shard.newest_version.max(version);
    shard.post(
        watching,
        Letter::State {
            presentity: aor,
            version,
            document,
            published: None,
        },
        effects,
    );
}

pub(super) fn unwatch(shard: &mut Shard, aor: &Aor, watching: ShardId) {
    let Some(key) = shard.by_aor.get(aor).copied() else {
        return;
    };
    let Some(user) = shard.users.get_mut(key) else {
        return;
    };
    if let Some(presentity) = &mut user.presentity {
        presentity.audience.remove(watching.0);
    }
    on_register::tidy_up(shard, key);
}
