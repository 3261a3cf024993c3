//! What is kept of a published document: what its endpoint's person, calendar, telephone and machine say, and when.

use core::time::Duration;
use std::sync::Arc;

use crate::documents::pidf::{Basic, Note, Presence};
use crate::documents::place::Place;
use crate::documents::rpid::{Activities, Doing, Input};
use crate::presence::choice::{CUSTOM_CHARS_MAX, Manual};
use crate::presence::publication::{Limits, Refusal, Text};
use crate::presence::words::{Availability, MachineState, Source};
use crate::sip::time::Now;

/// The longest words for a place, in characters.
pub const LOCATION_CHARS_MAX: usize = 128;
/// The longest words for what a meeting is about, in characters.
pub const SUBJECT_CHARS_MAX: usize = 256;

/// What a document says, as far as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Content {
    /// What the person notes.
    pub note: Option<Arc<Note>>,
    /// What few say.
    pub rare: Option<Box<Rare>>,
    /// Whether somebody is at the machine, where it tells.
    pub machine: Option<Machine>,
    /// What is done, by the person, the calendar and the telephone, at any time.
    pub activities: Activities,
    /// Reachable, not, or nothing about it.
    pub basic: Option<Basic>,
}

/// The rare parts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rare {
    /// What is done at certain times.
    pub spans: Box<[Span]>,
    /// The person's own words for what they do.
    pub custom: Option<Arc<str>>,
    /// What the meeting is about.
    pub subject: Option<Arc<str>>,
    /// Words for the place.
    pub location: Option<Arc<str>>,
    /// Its kind.
    pub place: Option<Place>,
    /// Minutes ahead of UTC.
    pub offset_min: Option<i16>,
}

/// What is done from a moment on, and until another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first moment.
    pub from: Now,
    /// The first moment after.
    pub until: Now,
    /// What.
    pub activities: Activities,
    /// The person's own words for it.
    pub custom: Option<Arc<str>>,
    /// What it is about.
    pub subject: Option<Arc<str>>,
}

/// What a machine says of whether somebody is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// Somebody is.
    Active,
    /// Nobody is since then: idle and away follow by themselves.
    Quiet {
        /// When somebody last was.
        last_input: Now,
        /// How long after that it is idle, in seconds.
        inactive_after_s: u16,
        /// How long after that it is away, in seconds.
        away_after_s: u16,
    },
    /// Nobody is: it says so by itself.
    Left {
        /// For longer.
        away: bool,
        /// Since when, as far as it says.
        last_input: Option<Now>,
    },
    /// It is locked.
    Locked {
        /// Since when, as far as it says.
        last_input: Option<Now>,
    },
}

/// A state that is to last: an `activities` element that says until when, and not from when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// What; `None` takes the last one back, for its time is over already.
    pub state: Option<Manual>,
    /// The person's own words for it.
    pub custom: Option<Box<str>>,
    /// Until when.
    pub until: Now,
}

impl Content {
    /// What is kept of a PIDF document that came at `now`, and the state that it says is to last.
    pub fn of(
        document: Presence,
        now: Now,
        limits: &Limits,
    ) -> Result<(Content, Option<Chosen>), Refusal> {
        let machine = document
            .input
            .map(|input| Machine::of(input, document.locked, now, limits));
        let note = document.note_shown().cloned().map(Arc::new);
        let within = |text: Option<&str>, what, chars_max| match text {
            Some(text) if is_longer(text, chars_max) => Err(Refusal::TooLong { what, chars_max }),
            _ => Ok(()),
        };
        let words = note.as_ref().map(|note| &*note.text);
        within(words, Text::Note, limits.note_chars_max)?;
        within(document.other.as_deref(), Text::Custom, CUSTOM_CHARS_MAX)?;
        within(
            document.subject.as_deref(),
            Text::Subject,
            SUBJECT_CHARS_MAX,
        )?;
        let location = document.location.words.as_deref();
        within(location, Text::Location, LOCATION_CHARS_MAX)?;
        for doing in &document.timed {
            within(doing.other.as_deref(), Text::Custom, CUSTOM_CHARS_MAX)?;
            if doing.is_scheduled() {
                let subject = doing.note.as_ref().map(|note| &*note.text);
                within(subject, Text::Subject, SUBJECT_CHARS_MAX)?;
            }
        }

        let basic = document.basic();
        let (spans, chosen) = split(document.timed, now);
        let rare = Rare {
            spans,
            custom: document.other.map(Arc::from),
            subject: document.subject.map(Arc::from),
            location: document.location.words.map(Arc::from),
            place: document.location.place,
            offset_min: document.offset_min,
        };
        let content = Content {
            note,
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
            machine,
            activities: document.activities,
            basic,
        };
        Ok((content, chosen))
    }

    fn spans(&self) -> impl Iterator<Item = &Span> {
        self.rare.iter().flat_map(|rare| &rare.spans)
    }

    /// The spans in which `now` is.
    fn current(&self, now: Now) -> impl Iterator<Item = &Span> {
        self.spans()
            .filter(move |span| span.from <= now && now < span.until)
    }

    /// All that is done at `now`.
    pub(super) fn doing(&self, now: Now) -> Activities {
        self.current(now)
            .map(|span| span.activities)
            .fold(self.activities, Activities::union)
    }

    /// The person's own words at `now`: those of a time go before those of any time.
    pub(super) fn custom(&self, now: Now) -> Option<&Arc<str>> {
        let timed = self.current(now).find_map(|span| span.custom.as_ref());
        timed.or_else(|| self.rare.as_ref()?.custom.as_ref())
    }

    /// What the meeting that comes to `word` is about.
    pub(super) fn subject(&self, now: Now, word: Availability) -> Option<&Arc<str>> {
        let comes_to = |activities| Availability::of(Source::Calendar.part(activities));
        let timed = self
            .current(now)
            .filter(|span| comes_to(span.activities) == Some(word))
            .find_map(|span| span.subject.as_ref());
        timed.or_else(|| {
            let rare = self.rare.as_ref()?;
            let said = comes_to(self.activities) == Some(word);
            rare.subject.as_ref().filter(|_| said)
        })
    }

    /// When the last entry of the diary that comes to `word` ends; never (`Now(u64::MAX)`) where one has no end.
    pub(super) fn diary_ends(&self, now: Now, word: Availability) -> Option<Now> {
        let comes_to = |activities: &Activities| {
            Availability::of(Source::Calendar.part(*activities)) == Some(word)
        };
        let timed = self
            .current(now)
            .filter(|span| comes_to(&span.activities))
            .map(|span| span.until);
        let always = comes_to(&self.activities).then_some(Now(u64::MAX));
        timed.chain(always).max()
    }

    /// The next moment after `now` at which it says something else.
    pub(super) fn next_change(&self, now: Now) -> Option<Now> {
        let spans = self.spans().flat_map(|span| [span.from, span.until]);
        let machine = self.machine.iter().flat_map(|machine| machine.steps());
        spans.chain(machine).filter(|at| *at > now).min()
    }
}

impl Machine {
    fn of(input: Input, locked: bool, now: Now, limits: &Limits) -> Machine {
        // A clock that is ahead of ours does not make anybody active in the future.
        let last_input = input.last_input.map(|at| at.min(now));
        if locked {
            return Machine::Locked { last_input };
        }
        if !input.idle {
            return Machine::Active;
        }
        let threshold_s = input
            .threshold_s
            .unwrap_or(u32::from(limits.inactive_after_s));
        let quiet_us = u64::from(threshold_s) * 1_000_000;
        Machine::Quiet {
            // Who does not say since when is idle for as long as makes their device say so.
            last_input: last_input.unwrap_or(Now(now.0.saturating_sub(quiet_us))),
            inactive_after_s: limits.inactive_after_s,
            away_after_s: limits.away_after_s,
        }
    }

    /// When it becomes idle, and away.
    fn steps(&self) -> [Now; 2] {
        match *self {
            Machine::Active | Machine::Left { .. } | Machine::Locked { .. } => [Now(0); 2],
            Machine::Quiet {
                last_input,
                inactive_after_s,
                away_after_s,
            } => {
                let after_s = |s: u16| Duration::from_secs(u64::from(s));
                let idle = last_input.after(after_s(inactive_after_s));
                [idle, idle.after(after_s(away_after_s))]
            }
        }
    }

    /// What it is at `now`.
    pub(super) fn at(&self, now: Now) -> MachineState {
        let [idle, away] = self.steps();
        match self {
            Machine::Active => MachineState::Active,
            Machine::Left { away: false, .. } => MachineState::Idle,
            Machine::Left { away: true, .. } => MachineState::Away,
            Machine::Locked { .. } => MachineState::Locked,
            Machine::Quiet { .. } if away <= now => MachineState::Away,
            Machine::Quiet { .. } if idle <= now => MachineState::Idle,
            Machine::Quiet { .. } => MachineState::Active,
        }
    }

    /// When somebody was last there.
    pub(super) fn last_input(&self) -> Option<Now> {
        match *self {
            Machine::Active => None,
            Machine::Quiet { last_input, .. } => Some(last_input),
            Machine::Left { last_input, .. } | Machine::Locked { last_input } => last_input,
        }
    }
}

/// What is said of certain times that are not over, and what of it is to last. That is said by the endpoint all the same, for as
/// long as its publication lives.
fn split(timed: Vec<Doing>, now: Now) -> (Box<[Span]>, Option<Chosen>) {
    let mut chosen: Option<Chosen> = None;
    let mut spans = Vec::with_capacity(timed.len());
    for doing in timed {
        let scheduled = doing.is_scheduled();
        let manual = Availability::chosen(Source::User.part(doing.activities));
        if let (Some(manual), None, Some(until)) = (manual, doing.from, doing.until) {
            // Two of them in one document: the first one counts, as with all that is said twice.
            chosen.get_or_insert_with(|| Chosen {
                state: (until > now).then_some(manual),
                custom: doing.other.clone(),
                until,
            });
        }
        let until = doing.until.unwrap_or(Now(u64::MAX));
        if until <= now {
            continue;
        }
        let note = doing.note.filter(|_| scheduled);
        spans.push(Span {
            from: doing.from.unwrap_or(Now(0)),
            until,
            activities: doing.activities,
            custom: doing.other.map(Arc::from),
            subject: note.map(|note| Arc::from(note.text)),
        });
    }
    (spans.into(), chosen)
}

fn is_longer(text: &str, chars_max: usize) -> bool {
    text.len() > chars_max && text.chars().count() > chars_max
}

#[cfg(test)]
mod tests;
