//! Overload: what a shard still takes when what comes in waits too long, shed from the bottom.
//!
//! The shell measures how long events wait to be handled, and says the *least* wait of each tenth of a second (as CoDel does,
//! RFC 8289): a burst passes and leaves a short one, a queue that stands does not. Above a class's patience more of it is shed
//! with each measurement, below half of that a little less, in between as much as before.
//!
//! What is shed first is what costs its user least: polls, then presence, then what begins (sessions, logons), last the logons
//! that are half done. What goes on is never shed: a request in a dialog, a refresh of a registration or a
//! publication, a message of a conversation that goes on, what ends something. One class is shed whole before the next begins,
//! and each in sixteenths, by chance, so that the load settles where it can be borne and does not swing between all and nothing.

use core::time::Duration;

use rand_core::Rng;

use crate::dialect::lync::cccp;
use crate::immcu::content::Outcome;
use crate::shard::Shard;
use crate::shard::effect::{Effect, Effects};
use crate::shard::request::Request;
use crate::sip::header::Name;
use crate::sip::message::Method;

/// What may be shed, the first first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Class {
    /// SUBSCRIBE that asks once.
    Poll,
    /// A new subscription, a publication of something new.
    Presence,
    /// Who begins a conversation, a conference, a call; a logon.
    Beginning,
    /// The rest of a logon: what answers a challenge.
    Logon,
}

impl Class {
    /// All of them, the first to be shed first.
    pub const ALL: [Class; 4] = [Class::Poll, Class::Presence, Class::Beginning, Class::Logon];

    /// For metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Poll => "poll",
            Class::Presence => "presence",
            Class::Beginning => "beginning",
            Class::Logon => "logon",
        }
    }

    /// So many targets long must events wait before any of this class is shed: a storm of logons alone makes polls wait, and
    /// takes care of itself.
    fn patience(self) -> u32 {
        match self {
            Class::Poll => 1,
            Class::Presence => 2,
            Class::Beginning | Class::Logon => 5,
        }
    }
}

/// The reason phrase of what is shed.
const OVERLOADED: &str = "Overloaded";

/// Parts of a class that are shed one after the other.
const PARTS: u8 = 16;

/// How much is shed.
#[derive(Clone, Debug)]
pub struct Overload {
    /// Events should not wait for longer than this; zero: nothing is ever shed.
    target: Duration,
    /// So many parts, over all classes from the first.
    parts: u8,
}

impl Overload {
    /// Nothing is shed yet.
    pub fn new(target: Duration) -> Overload {
        Overload { target, parts: 0 }
    }

    /// The least time that an event waited over the last tenth of a second.
    pub fn waited(&mut self, least: Duration) {
        if self.target.is_zero() {
            return;
        }
        let parts_of_classes = |share: u32| {
            let longer = |class: &&Class| least >= self.target * class.patience() / share;
            Class::ALL.iter().filter(longer).count() as u8 * PARTS
        };
        let (most, least_of_all) = (parts_of_classes(1), parts_of_classes(2));
        if self.parts < most {
            let times = least.as_micros() / self.target.as_micros().max(1);
            let step = 4 * times.min(4) as u8;
            self.parts = self.parts.saturating_add(step).min(most);
        } else if self.parts > least_of_all {
            self.parts -= 1;
        }
    }

    /// How many classes are shed, the last of them perhaps in part: 0 to 4.
    pub fn level(&self) -> u8 {
        self.parts.div_ceil(PARTS)
    }

    /// Is anything shed?
    pub fn is_on(&self) -> bool {
        self.parts > 0
    }

    /// Is one of this class shed? `dice` is anything random.
    pub fn sheds(&self, class: Class, dice: u32) -> bool {
        let part = class as u8 * PARTS + (dice % u32::from(PARTS)) as u8;
        part < self.parts
    }

    /// How long the peer is to wait before it tries again, in seconds: longer the worse it is, and for each another time.
    pub fn retry_after_s(&self, dice: u32) -> u32 {
        let level = u32::from(self.level());
        5 * level + dice % (10 * level + 1)
    }
}

/// The shell has measured.
pub(super) fn on_pressure(shard: &mut Shard, least: Duration, effects: &mut Effects) {
    let before = shard.overload.level();
    shard.overload.waited(least);
    let level = shard.overload.level();
    if level != before {
        effects.list.push(Effect::Level(level));
    }
}

/// Answers a request that is shed: 503, and when to try again (RFC 3261 §21.5.4). False where it is to be taken.
pub(super) fn sheds(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) -> bool {
    if !shard.overload.is_on() {
        return false;
    }
    let Some(class) = class_of(shard, request) else {
        return false;
    };
    let Some(after_s) = roll(shard, class) else {
        return false;
    };
    shard.answer_with(request, 503, OVERLOADED, effects, |mut draft| {
        draft.header("Retry-After", after_s);
        draft.finish();
    });
    effects.list.push(Effect::Shed(class));
    true
}

/// For a pager message: after how many seconds it is to be tried again, if it begins a conversation. Whether it does, the
/// pair's keeper knows.
pub(super) fn sheds_page(shard: &mut Shard) -> Option<u32> {
    if !shard.overload.is_on() {
        return None;
    }
    roll(shard, Class::Beginning)
}

/// What a pager message is told that would have begun a conversation.
pub(super) fn page_is_shed(after_s: u32, effects: &mut Effects) -> Outcome {
    effects.list.push(Effect::Shed(Class::Beginning));
    Outcome {
        retry_after_s: Some(after_s),
        ..Outcome::with(503, OVERLOADED)
    }
}

/// After how many seconds one of this class is to be tried again; `None` where it is taken.
fn roll(shard: &mut Shard, class: Class) -> Option<u32> {
    let dice = shard.rng.next_u32();
    if !shard.overload.sheds(class, dice) {
        return None;
    }
    Some(shard.overload.retry_after_s(shard.rng.next_u32()))
}

/// What a request is; `None` for what is never shed.
fn class_of(shard: &Shard, request: Request<'_>) -> Option<Class> {
    let message = request.message;
    let connection = shard.connections.get(request.connection)?;
    let method = message.method();
    if method == Method::Register {
        // COMPAT(baresip 1.0): a REGISTER may have a To tag; see `handle`.
        return match &connection.user {
            Some(_) => None,
            None if message.header(Name::Authorization).is_some() => Some(Class::Logon),
            None => Some(Class::Beginning),
        };
    }
    if message.to().tag().is_some() {
        return None;
    }
    match method {
        Method::Subscribe if message.expires() == Some(0) => Some(Class::Poll),
        Method::Subscribe => Some(Class::Presence),
        Method::Publish if message.expires() == Some(0) => None,
        // A refresh says nothing new (RFC 3903 §4.3): without it a user's state would end though nothing has changed.
        Method::Publish
            if message.body().is_empty() && message.header(Name::SipIfMatch).is_some() =>
        {
            None
        }
        Method::Publish => Some(Class::Presence),
        Method::Service => match message.content_type() {
            Some(media) if media.is(cccp::CONTENT_TYPE) => Some(Class::Beginning),
            _ => Some(Class::Presence),
        },
        Method::Invite | Method::Refer => Some(Class::Beginning),
        // A pager message: its pair's keeper knows whether it begins a conversation, see `sheds_page`.
        _ => None,
    }
}

#[cfg(test)]
mod tests;
