//! Who types, between clients that say it in two ways. One says it when it begins and when it ends, and vouches for a while
//! (RFC 3994 §3.2): a *state*. The other says it every few seconds for as long as it goes on: a *beat*. The session knows
//! states alone; the leg of a client that beats makes states of what it hears, and beats of what it is to show.
//!
//! What is said ends the typing of who said it, without a word (RFC 3994 §3.3).

use core::time::Duration;

use crate::sip::armed::Armed;
use crate::sip::time::Now;

/// How often a client that beats is told that the other one goes on: it shows a beat for little longer.
pub const BEAT: Duration = Duration::from_secs(4);
/// After how long without a beat of theirs they have stopped: two of them may be late.
pub const SILENCE: Duration = Duration::from_secs(10);
/// For how long the session is told that they type, in seconds; no less is allowed (RFC 3994 §3.2).
pub const REFRESH_S: u32 = 60;
/// When it is told again, if they still do: before that time is over.
const SAY_AGAIN: Duration = Duration::from_secs(50);
/// For how long a state is believed that does not say (RFC 3994 §3.3).
const UNSAID: Duration = Duration::from_secs(120);
/// For how long one is believed at most, whatever it says.
const BELIEVED_MAX: Duration = Duration::from_secs(600);

/// What is known of typing at a leg whose client beats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Typing {
    /// Their last beat, and when the session was told last.
    heard: Option<(Now, Now)>,
    /// Until when the other side types, and when our next beat is due.
    shown: Option<(Now, Now)>,
    armed: Armed,
}

/// What is to be done when the time has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Due {
    /// A beat for the client.
    pub beat: bool,
    /// The session is to be told that they have stopped.
    pub stopped: bool,
}

impl Typing {
    /// A beat of theirs. True where the session is to be told that they type.
    pub fn heard(&mut self, now: Now) -> bool {
        let told = match self.heard {
            Some((_, told)) if now.since(told) < SAY_AGAIN => Some(told),
            _ => None,
        };
        self.heard = Some((now, told.unwrap_or(now)));
        told.is_none()
    }

    /// They say that they have stopped, or have said what they typed. True where they were typing.
    pub fn stopped(&mut self) -> bool {
        self.heard.take().is_some()
    }

    /// The other side types, for `refresh_s` seconds or until it says something else. The first beat is sent at once.
    pub fn show(&mut self, now: Now, refresh_s: Option<u32>) {
        let refresh = refresh_s.map(|s| Duration::from_secs(s.into()));
        let until = now.after(refresh.unwrap_or(UNSAID).min(BELIEVED_MAX));
        self.shown = Some((until, now.after(BEAT)));
    }

    /// The other side types no longer. True where it did.
    pub fn hide(&mut self) -> bool {
        self.shown.take().is_some()
    }

    /// The wheel looks, perhaps by an entry that does not count any more.
    pub fn due(&mut self, now: Now) -> Due {
        let mut due = Due::default();
        if !self.armed.is_due(now) {
            return due;
        }
        if self
            .heard
            .is_some_and(|(last, _)| now.since(last) >= SILENCE)
        {
            self.heard = None;
            due.stopped = true;
        }
        match self.shown {
            // The client stops by itself when no beat comes any more.
            Some((until, _)) if until <= now => self.shown = None,
            Some((until, next)) if next <= now => {
                self.shown = Some((until, now.after(BEAT)));
                due.beat = true;
            }
            _ => {}
        }
        due
    }

    /// When the wheel is to look; `None` where it will in time, or needn't.
    pub fn arm(&mut self, now: Now) -> Option<Now> {
        let silence = self.heard.map(|(last, _)| last.after(SILENCE));
        let beat = self.shown.map(|(until, next)| next.min(until));
        let next = match (silence, beat) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        self.armed.arm(now, next)
    }

    /// Whether nobody types, so that it need not be kept.
    pub fn is_over(&self) -> bool {
        self.heard.is_none() && self.shown.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Now {
        Now(1_000_000_000 + s * 1_000_000)
    }

    #[test]
    fn beats_become_states() {
        let mut typing = Typing::default();
        let told: Vec<u64> = (0..30)
            .map(|beat| beat * 4)
            .filter(|s| typing.heard(at(*s)))
            .collect();
        assert_eq!(told, [0, 52, 104]);
        assert_eq!(typing.arm(at(116)), Some(at(126)));
        assert_eq!(typing.due(at(125)), Due::default());
        let stopped = Due {
            stopped: true,
            beat: false,
        };
        assert_eq!(typing.due(at(126)), stopped);
        assert_eq!(typing.due(at(126)), Due::default());
        assert!(!typing.stopped());
        assert!(typing.heard(at(127)), "it begins anew");
        assert!(typing.stopped());
        assert!(typing.is_over());
    }

    #[test]
    fn states_become_beats() {
        for (refresh_s, last) in [
            (Some(60), 56),
            (None, 116),
            (Some(u32::MAX), 596),
            (Some(0), 0),
        ] {
            let mut typing = Typing::default();
            typing.show(at(0), refresh_s);
            let mut beats = Vec::new();
            for s in 1..=900 {
                let _ = typing.arm(at(s - 1));
                beats.extend(typing.due(at(s)).beat.then_some(s));
            }
            assert_eq!(beats.last().copied().unwrap_or(0), last, "{refresh_s:?}");
            assert!(beats.windows(2).all(|two| two[1] - two[0] == 4));
            assert!(typing.is_over());
        }
        let mut typing = Typing::default();
        typing.show(at(0), None);
        assert!(typing.hide());
        assert!(!typing.hide());
    }

    #[test]
    fn the_wheel_looks_in_time_and_not_twice() {
        let mut typing = Typing::default();
        assert_eq!(typing.arm(at(0)), None);
        typing.heard(at(0));
        assert_eq!(typing.arm(at(0)), Some(at(10)));
        typing.heard(at(4));
        assert_eq!(
            typing.arm(at(4)),
            None,
            "what looks at 10 s looks again at 14 s"
        );
        typing.show(at(5), None);
        assert_eq!(typing.arm(at(5)), Some(at(9)), "sooner than what is armed");
        typing.due(at(9));
        assert_eq!(typing.arm(at(9)), Some(at(13)));
        typing.hide();
        typing.due(at(13));
        assert_eq!(typing.arm(at(13)), Some(at(14)));
    }

    /// Hers goes on, and theirs begins and ends again and again, each time with a beat that is due sooner.
    #[test]
    fn however_often_the_wheel_looks_too_early_there_are_few_entries() {
        let (mut typing, mut entries) = (Typing::default(), Vec::new());
        for s in 0..3_600 {
            let due = |entry: &Now| *entry <= at(s);
            for _ in entries
                .extract_if(.., |entry| due(entry))
                .collect::<Vec<_>>()
            {
                typing.due(at(s));
                entries.extend(typing.arm(at(s)));
            }
            if s % 5 == 0 {
                typing.heard(at(s));
            }
            match s % 12 {
                0 => typing.show(at(s), None),
                6 => drop(typing.hide()),
                _ => {}
            }
            entries.extend(typing.arm(at(s)));
            // Theirs, and a beat that has overtaken it.
            assert!(entries.len() <= 3, "{entries:?} at {s} s");
        }
    }
}
