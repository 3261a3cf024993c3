//! What is said: a body, its type, and who says it. Never looked into further than routing needs.

use std::sync::Arc;

use crate::sip::build::reason;
use crate::sip::uri::Aor;

/// Somebody, with the name that others see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Party {
    /// Who.
    pub aor: Aor,
    /// Their display name; empty for none.
    pub display: Box<str>,
}

/// What a client calls a conversation, so that others see what belongs together: digits and letters, at most
/// [`THREAD_CHARS_MAX`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread(Box<str>);

/// Characters of a conversation's name; one that is longer is none.
pub const THREAD_CHARS_MAX: usize = 64;

impl Thread {
    /// `None` where it could not stand in a header as it is.
    pub fn read(text: &str) -> Option<Thread> {
        let fine = !text.is_empty()
            && text.len() <= THREAD_CHARS_MAX
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fine.then(|| Thread(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of thing is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// A message for a person: counted, and reported when it does not arrive.
    Text,
    /// Typing (RFC 3994) or a notification about a message (RFC 5438): passed on, neither counted nor reported.
    Signal,
}

/// How urgent a request says that it is (RFC 3261 §20.26).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Priority {
    /// `non-urgent`, `normal`, any other word, or nothing.
    #[default]
    Ordinary,
    /// `urgent` or `emergency`.
    Urgent,
}

impl Priority {
    /// Reads the value of a Priority header.
    pub fn of(value: Option<&str>) -> Priority {
        let urgent = value.map(str::trim).is_some_and(|value| {
            value.eq_ignore_ascii_case("urgent") || value.eq_ignore_ascii_case("emergency")
        });
        if urgent {
            Priority::Urgent
        } else {
            Priority::Ordinary
        }
    }
}

/// The content of one MESSAGE.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// The Content-Type's value as the sender wrote it.
    pub content_type: Box<str>,
    /// The body; shared by all copies of one fan-out on a shard.
    pub body: Arc<[u8]>,
    /// Whole header lines that go along, each with its line end (Subject, Date, Content-Language, …).
    pub lines: Box<str>,
    /// A message or a signal.
    pub sort: Sort,
    /// How urgent its sender says that it is.
    pub priority: Priority,
    /// What its sender's client calls it in pager mode: its Call-ID, where that says nothing of where the sender is. A delivery
    /// report may name it so.
    pub call_id: Option<Box<str>>,
}

impl core::fmt::Debug for Content {
    // The text of a message never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Content")
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// How a request ended, as others are told: a final status and its reason (empty: the standard's).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// 200 to 699.
    pub status: u16,
    /// The reason phrase; empty for the standard's.
    pub reason: Box<str>,
    /// After how many seconds it may be tried again, where that is known (RFC 3261 §20.33).
    pub retry_after_s: Option<u32>,
}

impl Outcome {
    /// An outcome with the standard's reason phrase.
    pub fn of(status: u16) -> Outcome {
        Outcome {
            status,
            reason: "".into(),
            retry_after_s: None,
        }
    }

    /// An outcome with a reason of its own.
    pub fn with(status: u16, reason: &str) -> Outcome {
        Outcome {
            status,
            reason: reason.into(),
            retry_after_s: None,
        }
    }

    /// What an endpoint's answer means to somebody who is not in its dialog: challenges, redirects and lost dialogs
    /// are between us and the endpoint, so they read *temporarily unavailable* (RFC 3261 §21.4.18).
    pub fn from_endpoint(status: u16, reason: &str) -> Outcome {
        match status {
            200..=299 => Outcome::of(200),
            0..=399 | 401 | 407 | 408 | 420 | 481 | 482 | 483 | 494 => Outcome::of(480),
            _ => Outcome {
                status,
                reason: reason.chars().take(128).collect::<String>().into(),
                retry_after_s: None,
            },
        }
    }

    /// The reason phrase, the standard's where there is none of its own.
    pub fn text(&self) -> &str {
        if self.reason.is_empty() {
            reason(self.status)
        } else {
            &self.reason
        }
    }

    /// Whether an endpoint has no use for a session of messages: not the method, or nothing of what a session would be of.
    /// That says nothing of messages without a session.
    pub fn is_no_session(&self) -> bool {
        matches!(self.status, 405 | 406 | 415 | 488 | 501)
    }

    /// True for a 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The better of two failures to tell somebody who asked many endpoints: a 6xx decides, else the lowest class
    /// (RFC 3261 §16.7 step 6), else the first.
    pub fn better(self, other: Outcome) -> Outcome {
        let rank = |status: u16| match status {
            200..=299 => 0,
            600.. => 1,
            _ => status / 100,
        };
        if rank(other.status) < rank(self.status) {
            other
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_answer_of_many() {
        let best = |all: &[u16]| {
            all.iter()
                .map(|status| Outcome::of(*status))
                .reduce(Outcome::better)
                .map(|outcome| outcome.status)
        };
        assert_eq!(best(&[480, 486]), Some(480));
        assert_eq!(best(&[503, 486]), Some(486));
        assert_eq!(best(&[486, 603]), Some(603));
        assert_eq!(best(&[603, 200]), Some(200));
        assert_eq!(Outcome::from_endpoint(481, "x").status, 480);
        assert_eq!(
            &*Outcome::from_endpoint(486, "In a meeting").reason,
            "In a meeting"
        );
    }

    #[test]
    fn a_conversations_name_is_short_and_plain() {
        for (text, fine) in [
            ("123456789", true),
            ("AdB3f", true),
            ("", false),
            ("1 2", false),
            ("1\r\nTo: x", false),
            (&*"1".repeat(64), true),
            (&*"1".repeat(65), false),
        ] {
            let read = Thread::read(text);
            assert_eq!(read.as_ref().map(Thread::as_str), fine.then_some(text));
        }
    }

    #[test]
    fn two_words_are_urgent() {
        for (value, priority) in [
            (None, Priority::Ordinary),
            (Some("normal"), Priority::Ordinary),
            (Some("non-urgent"), Priority::Ordinary),
            (Some("urgently"), Priority::Ordinary),
            (Some(" Urgent "), Priority::Urgent),
            (Some("EMERGENCY"), Priority::Urgent),
        ] {
            assert_eq!(Priority::of(value), priority, "{value:?}");
        }
    }
}
