//! The publications of one presentity: what its endpoints said, each with its entity tag and its end (RFC 3903).
//!
//! Always holds: at most `Limits::publications_max` of them, no two with the same tag or the same instant; each belongs
//! to an endpoint and goes with it. Only what aggregation needs is kept of a document, not its bytes.

use core::fmt;
use core::time::Duration;

use crate::presence::aggregation::Said;
use crate::presence::content::Content;
use crate::presence::words::MachineState;
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
    /// Characters of a note.
    pub note_chars_max: usize,
    /// How long after its last input a machine is idle, in seconds.
    pub inactive_after_s: u16,
    /// How long after that it is away, in seconds.
    pub away_after_s: u16,
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
            note_chars_max: 500,
            inactive_after_s: 300,
            away_after_s: 300,
            expires_s_min: 60,
            expires_s_max: 3600,
            expires_s_default: 3600,
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

/// The texts in a publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text {
    /// The note.
    Note,
    /// The person's own words for the state.
    Custom,
    /// Words for the place.
    Location,
    /// What the meeting is about.
    Subject,
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
    /// Some text is longer than it may be.
    TooLong {
        /// Which.
        what: Text,
        /// How many characters it may have.
        chars_max: usize,
    },
    /// The user has `Limits::publications_max` of them already.
    TooMany,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Refusal::NoContent => 400,
            Refusal::UnknownTag => 412,
            Refusal::TooLong { .. } => 413,
            Refusal::TooBrief { .. } => 423,
            Refusal::TooMany => 403,
        }
    }

    /// The reason phrase; empty for the standard's own.
    pub fn reason(self) -> String {
        match self {
            Refusal::TooLong { what, chars_max } => {
                let what = match what {
                    Text::Note => "Note",
                    Text::Custom => "Custom State",
                    Text::Location => "Location",
                    Text::Subject => "Meeting Subject",
                };
                format!("{what} Longer Than {chars_max} Characters")
            }
            Refusal::TooMany => "Too Many Publications".to_owned(),
            _ => String::new(),
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
    /// Would this PUBLISH be taken? Where it has its publication, and the life that it would get in seconds.
    pub(super) fn check(
        &self,
        now: Now,
        publish: &Publish<'_>,
        limits: &Limits,
    ) -> Result<(Option<usize>, u32), Refusal> {
        let found = match publish.if_match {
            Some(text) => Some(self.find(now, text).ok_or(Refusal::UnknownTag)?),
            None if publish.content.is_none() => return Err(Refusal::NoContent),
            None => None,
        };
        let expires_s = limits.grant(publish.expires_s)?;
        let living = self
            .0
            .iter()
            .filter(|publication| publication.expires > now);
        if found.is_none() && expires_s > 0 && living.count() >= limits.publications_max {
            return Err(Refusal::TooMany);
        }
        Ok((found, expires_s))
    }

    /// Takes a PUBLISH (RFC 3903 §6, steps 3 to 6) that is newer than `after`. Returns the tag, and the life granted in seconds; 0 after a removal.
    /// `fresh` gives a number that is hard to guess; it is asked again while a tag of this user has that number.
    pub(super) fn publish(
        &mut self,
        now: Now,
        after: Option<Now>,
        publish: Publish<'_>,
        limits: &Limits,
        mut fresh: impl FnMut() -> u64,
    ) -> Result<(EntityTag, u32), Refusal> {
        let (found, expires_s) = self.check(now, &publish, limits)?;
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
            .max(after)
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

    /// When the next one says something else by itself.
    pub(super) fn next_change(&self, now: Now) -> Option<Now> {
        let contents = self.0.iter().map(|publication| &publication.content);
        contents
            .filter_map(|content| content.next_change(now))
            .min()
    }

    /// Whether somebody is at the machine of an endpoint, and since when, by its newest publication.
    pub(super) fn activity(&self, now: Now, endpoint: EndpointKey) -> Option<(MachineState, Now)> {
        let own = self
            .0
            .iter()
            .filter(|publication| publication.endpoint == endpoint);
        let newest = own.max_by_key(|publication| publication.at)?;
        let machine = newest.content.machine?;
        let since = machine.last_input().unwrap_or(newest.at);
        Some((machine.at(now), since))
    }

    pub(super) fn said(&self) -> impl Iterator<Item = Said<'_>> + Clone {
        self.0.iter().map(|publication| Said {
            endpoint: publication.endpoint,
            at: publication.at,
            content: &publication.content,
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

    /// When something was last new.
    pub(super) fn newest(&self) -> Option<Now> {
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
