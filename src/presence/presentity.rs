//! One user as others see them: publications in, one state out, and who is to be told.
//!
//! Always holds: `state` is what the publications, the choice, the calls and the registrar's word come to at the last moment
//! that this was told of, and `next_change` is when time alone makes something else of it; `version` rises with each change of
//! it, also over a presentity's being forgotten and made anew, because it is never behind the clock.
//! A presentity of which nothing is worth keeping (`is_idle`) can be dropped: nobody will see the difference.

use crate::presence::aggregation::{Known, Said, aggregate};
use crate::presence::audience::Audience;
use crate::presence::categories::{Categories, Edit};
use crate::presence::choice::Choice;
use crate::presence::content::Content;
use crate::presence::level::Level;
use crate::presence::publication::{
    EndpointKey, EntityTag, Limits, Publications, Publish, Refusal,
};
use crate::presence::state::State;
use crate::presence::view::{Part, sees};
use crate::presence::watchers::Watchers;
use crate::presence::words::{MachineState, Phone};
use crate::sip::time::Now;

/// A presentity, on the shard that owns its user.
#[derive(Clone, Debug)]
pub struct Presentity {
    publications: Publications,
    /// What is published in categories, but for what lasts. Of most users nothing.
    categorised: Option<Box<Categorised>>,
    /// Who watches, counted by shard and level.
    pub audience: Audience,
    /// Who they are, while somebody asks for that.
    pub watchers: Option<Box<Watchers>>,
    /// What the user chose, while that lasts. It is the store's: here is the copy that is folded.
    choice: Option<Box<Choice>>,
    state: State,
    since: Now,
    /// The same for those who see nothing of the calendar.
    since_external: Now,
    version: u64,
    phone: Phone,
    endpoint_registered: bool,
}

/// What is published in categories, and what of it endpoints say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Categorised {
    categories: Categories,
    spoken: Vec<Spoken>,
}

static NO_CATEGORIES: Categories = Categories::NONE;

/// What an endpoint says in categories.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Spoken {
    endpoint: EndpointKey,
    at: Now,
    content: Content,
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
    /// Somebody of whom nothing is known but what they chose: offline.
    pub fn new(now: Now, choice: Option<&Choice>) -> Presentity {
        let mut presentity = Presentity {
            publications: Publications::default(),
            categorised: None,
            audience: Audience::default(),
            watchers: None,
            choice: None,
            state: State::OFFLINE,
            since: now,
            since_external: now,
            version: now.0,
            phone: Phone::OnHook,
            endpoint_registered: false,
        };
        presentity.chosen(now, choice);
        presentity
    }

    /// What watchers see.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Since when the status is so that `level` sees: reachability, availability and activities (RFC 3863 §4.1.7). A level that
    /// is not told of the note, or of meetings, is not told either that they changed.
    pub fn since(&self, level: Level) -> Now {
        match sees(level, Part::Calendar) {
            true => self.since,
            false => self.since_external,
        }
    }

    /// Rises with each change. Of two versions of one presentity the higher one is the newer one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether somebody is at an endpoint, and since when: `None` where it does not tell.
    pub fn activity(&self, now: Now, endpoint: EndpointKey) -> Option<(MachineState, Now)> {
        self.publications.activity(now, endpoint).or_else(|| {
            let spoken = self.spoken().iter().find(|one| one.endpoint == endpoint)?;
            let machine = spoken.content.machine?;
            let since = machine.last_input().unwrap_or(spoken.at);
            Some((machine.at(now), since))
        })
    }

    /// What is published in categories, but for what lasts.
    pub fn categories(&self) -> &Categories {
        match &self.categorised {
            Some(categorised) => &categorised.categories,
            None => &NO_CATEGORIES,
        }
    }

    fn spoken(&self) -> &[Spoken] {
        let categorised = self.categorised.as_deref();
        categorised.map_or(&[], |categorised| &categorised.spoken)
    }

    /// Does anybody say how the user is, or is it only known that they are there?
    pub fn is_told(&self) -> bool {
        self.choice
            .as_ref()
            .is_some_and(|choice| choice.state.is_some())
            || self.phone != Phone::OnHook
            || !self.spoken().is_empty()
            || !self.publications.is_empty()
    }

    /// Changes what is published in categories. True if watchers see something new of the state. The edits may have been made a
    /// while ago: what has ended since is published anew. Nothing else can have come between, for of one user's publications
    /// each waits for the one before.
    pub fn edit_categories(&mut self, now: Now, mut edits: Vec<Edit>) -> bool {
        let categorised = self.categorised.get_or_insert_default();
        for edit in &mut edits {
            edit.before = categorised.categories.version(&edit.key);
        }
        categorised.categories.edit(edits);
        self.listen(now);
        self.fold(now)
    }

    /// Ends what passes with endpoints that are no more and with time; `is_there` knows who is registered. The names of the
    /// categories that have changed; who watches the state learns of it by what follows: `registered`, or `expire`.
    pub fn end_categories(
        &mut self,
        now: Now,
        any_endpoint: bool,
        is_there: impl Fn(EndpointKey) -> bool,
    ) -> Vec<Box<str>> {
        let Some(categorised) = &mut self.categorised else {
            return Vec::new();
        };
        let names = categorised.categories.end(now, any_endpoint, is_there);
        if !names.is_empty() {
            self.listen(now);
        }
        names
    }

    /// What the endpoints say now. What one has said before keeps its instant.
    fn listen(&mut self, now: Now) {
        let Some(categorised) = &mut self.categorised else {
            return;
        };
        if categorised.categories.is_empty() {
            self.categorised = None;
            return;
        }
        let before = core::mem::take(&mut categorised.spoken);
        let newest = before.iter().map(|one| one.at);
        let newest = newest.chain(self.publications.newest()).max();
        let mut at = newest.map_or(now, |newest| now.max(Now(newest.0.saturating_add(1))));
        for (endpoint, content) in categorised.categories.said() {
            let old = before
                .iter()
                .find(|one| one.endpoint == endpoint && one.content == content);
            categorised.spoken.push(match old {
                Some(old) => old.clone(),
                None => Spoken {
                    endpoint,
                    at,
                    content,
                },
            });
            at = Now(at.0.saturating_add(1));
        }
    }

    /// Would this PUBLISH be taken?
    pub fn check(&self, now: Now, publish: &Publish<'_>, limits: &Limits) -> Result<(), Refusal> {
        self.publications.check(now, publish, limits).map(drop)
    }

    /// Takes a PUBLISH. `fresh` lends numbers for entity tags from the shard's cryptographic generator.
    pub fn publish(
        &mut self,
        now: Now,
        publish: Publish<'_>,
        limits: &Limits,
        fresh: impl FnMut() -> u64,
    ) -> Result<Published, Refusal> {
        let after = self.spoken().iter().map(|one| one.at).max();
        let (tag, expires_s) = self
            .publications
            .publish(now, after, publish, limits, fresh)?;
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

    /// This server's word on the user's calls. True if watchers see something new.
    pub fn phone(&mut self, now: Now, phone: Phone) -> bool {
        self.phone = phone;
        self.fold(now)
    }

    /// The store's word on what the user chose. True if watchers see something new.
    pub fn chosen(&mut self, now: Now, choice: Option<&Choice>) -> bool {
        if self.choice.as_deref() != choice {
            self.choice = choice.map(|choice| Box::new(choice.clone()));
        }
        self.fold(now)
    }

    /// Ends the publications whose time has come, and looks what time alone has changed. True if watchers see something new.
    pub fn expire(&mut self, now: Now) -> bool {
        self.publications.expire(now);
        self.fold(now)
    }

    /// When `expire` will have something to do, after `now`.
    pub fn next_change(&self, now: Now) -> Option<Now> {
        let choice = self.choice.as_ref().and_then(|choice| choice.until);
        [
            self.publications.next_expiry(),
            self.publications.next_change(now),
            self.categories().next_end(),
            self.spoken()
                .iter()
                .filter_map(|one| one.content.next_change(now))
                .min(),
            choice.filter(|until| *until > now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Nobody registered, nothing published, in no call, nobody watching.
    pub fn is_idle(&self) -> bool {
        !self.endpoint_registered
            && self.phone == Phone::OnHook
            && self.publications.is_empty()
            && self.categorised.is_none()
            && self.audience.is_empty()
            && self.watchers.is_none()
    }

    fn fold(&mut self, now: Now) -> bool {
        let known = Known {
            now,
            registered: self.endpoint_registered,
            phone: self.phone,
            choice: self.choice.as_deref(),
        };
        let spoken = self.spoken().iter().map(|one| Said {
            endpoint: one.endpoint,
            at: one.at,
            content: &one.content,
        });
        let state = aggregate(self.publications.said().chain(spoken), &known);
        if state == self.state {
            return false;
        }
        if !state.same_status(&self.state, Level::Own) {
            self.since = now;
        }
        if !state.same_status(&self.state, Level::External) {
            self.since_external = now;
        }
        self.state = state;
        self.version = now.0.max(self.version.saturating_add(1));
        true
    }
}

#[cfg(test)]
mod tests;
