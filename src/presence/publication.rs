//! The publications of one presentity: what its endpoints said, each with its entity tag and its end (RFC 3903).
//!
//! Always holds: at most `Limits::publications_max` of them, no two with the same tag or the same instant; each belongs
//! to an endpoint and goes with it. Only what aggregation needs is kept of a document, not its bytes.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::documents::pidf::{Basic, Note, Presence};
use crate::documents::rpid::Activities;
use crate::presence::aggregation::Said;
use crate::sip::time::Now;

/// The endpoint that a publication came from: the number of its connection, opaque here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct EndpointKey(pub u64);

/// An entity tag (RFC 3903 §4.1): opaque to clients, written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EntityTag(u64);

impl EntityTag {
    /// Reads what `Display` writes, and nothing else: any other text was never given out.
    pub fn parse(text: &str) -> Option<EntityTag> {
        let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !ours {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(EntityTag)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Bounds on what one user may publish; the config fills them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Publications at a time.
    pub publications_max: usize,
    /// Bytes of a note.
    pub note_bytes_max: usize,
    /// The shortest life granted; who asks for less gets 423 (RFC 3903 §6, step 4).
    pub expires_s_min: u32,
    /// The longest life granted; who asks for more gets this.
    pub expires_s_max: u32,
    /// The life of who asks for none.
    pub expires_s_default: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            publications_max: 16,
            // 500 characters of any script.
            note_bytes_max: 2000,
            expires_s_min: 60,
            expires_s_max: 3600,
            expires_s_default: 3600,
        }
    }
}

/// What a document says, as far as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Content {
    /// Reachable, not, or nothing about it.
    pub basic: Option<Basic>,
    /// What the person does.
    pub activities: Activities,
    /// What the person notes.
    pub note: Option<Arc<Note>>,
}

impl Content {
    /// What is kept of a PIDF document.
    pub fn of(document: &Presence) -> Content {
        Content {
            basic: document.basic(),
            activities: document.activities,
            note: document.note_shown().cloned().map(Arc::new),
        }
    }
}

/// One PUBLISH, as far as this room cares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish<'a> {
    /// Where it came from.
    pub endpoint: EndpointKey,
    /// `SIP-If-Match`, as written; `None` makes it an initial publication.
    pub if_match: Option<&'a str>,
    /// `Expires`, in seconds; 0 removes.
    pub expires_s: Option<u32>,
    /// The body; `None` refreshes.
    pub content: Option<Content>,
}

/// Why a PUBLISH was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// An initial publication without a body.
    NoContent,
    /// No publication has this tag (any more).
    UnknownTag,
    /// Asked for less than `min_s` seconds, which `Min-Expires` must carry.
    TooBrief {
        /// The least that is granted.
        min_s: u32,
    },
    /// The note is longer than `Limits::note_bytes_max`.
    NoteTooLong,
    /// The user has `Limits::publications_max` of them already.
    TooMany,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Refusal::NoContent => 400,
            Refusal::UnknownTag => 412,
            Refusal::NoteTooLong => 413,
            Refusal::TooBrief { .. } => 423,
            Refusal::TooMany => 403,
        }
    }
}

/// What one endpoint said last under one tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    tag: EntityTag,
    endpoint: EndpointKey,
    /// When the content was last new. A refresh does not make it newer.
    at: Now,
    expires: Now,
    content: Content,
}

/// All of a presentity.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Publications(Vec<Publication>);

impl Publications {
    /// Takes a PUBLISH (RFC 3903 §6, steps 3 to 6). Returns the tag, and the life granted in seconds; 0 after a removal.
    /// `fresh` gives a number that is hard to guess; it is asked again while a tag of this user has that number.
    pub(super) fn publish(
        &mut self,
        now: Now,
        publish: Publish<'_>,
        limits: &Limits,
        mut fresh: impl FnMut() -> u64,
    ) -> Result<(EntityTag, u32), Refusal> {
        let found = match publish.if_match {
            Some(text) => Some(self.find(now, text).ok_or(Refusal::UnknownTag)?),
            None if publish.content.is_none() => return Err(Refusal::NoContent),
            None => None,
        };
        let expires_s = limits.grant(publish.expires_s)?;
        if let Some(note) = publish.content.as_ref().and_then(|c| c.note.as_ref())
            && note.text.len() > limits.note_bytes_max
        {
            return Err(Refusal::NoteTooLong);
        }
        let living = self
            .0
            .iter()
            .filter(|publication| publication.expires > now);
        if found.is_none() && expires_s > 0 && living.count() >= limits.publications_max {
            return Err(Refusal::TooMany);
        }

        let tag = self.fresh_tag(&mut fresh);
        if expires_s == 0 {
            if let Some(index) = found {
                self.0.remove(index);
            }
            return Ok((tag, 0));
        }
        let expires = now.after(Duration::from_secs(u64::from(expires_s)));
        let at = self
            .newest()
            .map_or(now, |newest| Now(now.0.max(newest.0.saturating_add(1))));
        match (
            found.and_then(|index| self.0.get_mut(index)),
            publish.content,
        ) {
            (Some(publication), content) => {
                publication.tag = tag;
                publication.expires = expires;
                // A client that came back on a new connection goes on with its tag.
                publication.endpoint = publish.endpoint;
                if let Some(content) = content {
                    publication.content = content;
                    publication.at = at;
                }
            }
            (None, content) => {
                // Most users have one; `push` alone would make room for four.
                self.0.reserve_exact(1);
                self.0.push(Publication {
                    tag,
                    endpoint: publish.endpoint,
                    at,
                    expires,
                    content: content.unwrap_or_default(),
                });
            }
        }
        Ok((tag, expires_s))
    }

    /// Ends all that `endpoint` published.
    pub(super) fn endpoint_gone(&mut self, endpoint: EndpointKey) {
        self.keep(|publication| publication.endpoint != endpoint);
    }

    /// Ends all whose time has come.
    pub(super) fn expire(&mut self, now: Now) {
        self.keep(|publication| publication.expires > now);
    }

    /// When the next one ends.
    pub(super) fn next_expiry(&self) -> Option<Now> {
        self.0.iter().map(|publication| publication.expires).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn said(&self) -> impl Iterator<Item = Said<'_>> + Clone {
        self.0.iter().map(|publication| Said {
            endpoint: publication.endpoint,
            at: publication.at,
            basic: publication.content.basic,
            activities: publication.content.activities,
            note: publication.content.note.as_ref(),
        })
    }

    fn keep(&mut self, stays: impl FnMut(&Publication) -> bool) {
        self.0.retain(stays);
        if self.0.is_empty() {
            // Most users publish nothing most of the time.
            self.0 = Vec::new();
        }
    }

    fn find(&self, now: Now, text: &str) -> Option<usize> {
        let tag = EntityTag::parse(text)?;
        self.0
            .iter()
            // One that has ended but was not swept yet is unknown already (RFC 3903 §6, step 3).
            .position(|publication| publication.tag == tag && publication.expires > now)
    }

    fn newest(&self) -> Option<Now> {
        self.0.iter().map(|publication| publication.at).max()
    }

    fn fresh_tag(&self, fresh: &mut impl FnMut() -> u64) -> EntityTag {
        let mut number = fresh();
        // At most `publications_max` numbers are taken, so this ends even with a generator that repeats itself.
        while self.0.iter().any(|publication| publication.tag.0 == number) {
            number = number.wrapping_add(1);
        }
        EntityTag(number)
    }
}

impl Limits {
    fn grant(&self, asked_s: Option<u32>) -> Result<u32, Refusal> {
        match asked_s {
            None => Ok(self.expires_s_default),
            Some(0) => Ok(0),
            Some(asked_s) if asked_s < self.expires_s_min => Err(Refusal::TooBrief {
                min_s: self.expires_s_min,
            }),
            Some(asked_s) => Ok(asked_s.min(self.expires_s_max)),
        }
    }
}

#[cfg(test)]
mod tests;
