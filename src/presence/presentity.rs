//! One user as others see them: publications in, one state out, and who is to be told.
//!
//! Always holds: `state` is what the publications and the registrar's word come to; `version` rises with each change of
//! it, also over a presentity's being forgotten and made anew, because it is never behind the clock.
//! A presentity of which nothing is worth keeping (`is_idle`) can be dropped: nobody will see the difference.

use crate::documents::pidf;
use crate::presence::aggregation::aggregate;
use crate::presence::audience::Audience;
use crate::presence::publication::{
    EndpointKey, EntityTag, Limits, Publications, Publish, Refusal,
};
use crate::presence::state::State;
use crate::presence::watchers::Watchers;
use crate::sip::time::Now;

/// A presentity, on the shard that owns its user.
#[derive(Clone, Debug)]
pub struct Presentity {
    publications: Publications,
    /// Who watches, counted by shard and level.
    pub audience: Audience,
    /// Who they are, while somebody asks for that.
    pub watchers: Option<Box<Watchers>>,
    state: State,
    since: Now,
    version: u64,
    endpoint_registered: bool,
}

/// A PUBLISH was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// For `SIP-ETag`.
    pub tag: EntityTag,
    /// For `Expires`.
    pub expires_s: u32,
    /// Do watchers see something new?
    pub changed: bool,
}

impl Presentity {
    /// Somebody of whom nothing is known: offline.
    pub fn new(now: Now) -> Presentity {
        Presentity {
            publications: Publications::default(),
            audience: Audience::default(),
            watchers: None,
            state: State::OFFLINE,
            since: now,
            version: now.0,
            endpoint_registered: false,
        }
    }

    /// What watchers see.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Since when.
    pub fn since(&self) -> Now {
        self.since
    }

    /// Rises with each change. Of two versions of one presentity the higher one is the newer one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The state as a PIDF document for `entity` (`sip:alice@example.com`).
    pub fn shown<'a>(&'a self, entity: &'a str) -> pidf::Shown<'a> {
        self.state.shown(entity, self.since)
    }

    /// Takes a PUBLISH. `fresh` lends numbers for entity tags from the shard's cryptographic generator.
    pub fn publish(
        &mut self,
        now: Now,
        publish: Publish<'_>,
        limits: &Limits,
        fresh: impl FnMut() -> u64,
    ) -> Result<Published, Refusal> {
        let (tag, expires_s) = self.publications.publish(now, publish, limits, fresh)?;
        // Only now: a refused PUBLISH must not swallow a change that `expire` has to tell the watchers.
        self.publications.expire(now);
        Ok(Published {
            tag,
            expires_s,
            changed: self.fold(now),
        })
    }

    /// The endpoint's connection is gone, and with it what it published. True if watchers see something new.
    pub fn endpoint_gone(&mut self, now: Now, endpoint: EndpointKey) -> bool {
        self.publications.endpoint_gone(endpoint);
        self.fold(now)
    }

    /// The registrar's word: is any endpoint registered? True if watchers see something new.
    pub fn registered(&mut self, now: Now, any_endpoint: bool) -> bool {
        self.endpoint_registered = any_endpoint;
        self.fold(now)
    }

    /// Ends the publications whose time has come. True if watchers see something new.
    pub fn expire(&mut self, now: Now) -> bool {
        self.publications.expire(now);
        self.fold(now)
    }

    /// When `expire` will have something to do.
    pub fn next_expiry(&self) -> Option<Now> {
        self.publications.next_expiry()
    }

    /// Nobody registered, nothing published, nobody watching.
    pub fn is_idle(&self) -> bool {
        !self.endpoint_registered
            && self.publications.is_empty()
            && self.audience.is_empty()
            && self.watchers.is_none()
    }

    fn fold(&mut self, now: Now) -> bool {
        let state = aggregate(self.publications.said(), self.endpoint_registered);
        if state == self.state {
            return false;
        }
        self.state = state;
        self.since = now;
        self.version = now.0.max(self.version.saturating_add(1));
        true
    }
}

#[cfg(test)]
mod tests;
