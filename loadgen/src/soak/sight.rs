//! What a thread of a soak sees: counts, refusals and faults in words, and histograms for each interval of time.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::report::Faults;

/// What is timed, from the instant it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    LogOn,
    Delivered,
    Answered,
    Invited,
    Notified,
    Published,
    Subscribed,
    Started,
}

impl Timed {
    pub const ALL: [Timed; 8] = [
        Timed::LogOn,
        Timed::Delivered,
        Timed::Answered,
        Timed::Invited,
        Timed::Notified,
        Timed::Published,
        Timed::Subscribed,
        Timed::Started,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Timed::LogOn => "logon",
            Timed::Delivered => "message delivered",
            Timed::Answered => "message answered",
            Timed::Invited => "invitation answered",
            Timed::Notified => "watcher notified",
            Timed::Published => "publish answered",
            Timed::Subscribed => "subscribe, poll answered",
            Timed::Started => "(generator late)",
        }
    }
}

/// A histogram for each thing timed, µs.
pub struct Histograms(Vec<Histogram<u64>>);

impl Default for Histograms {
    fn default() -> Histograms {
        let fresh = || {
            Histogram::new_with_bounds(1, 600_000_000, 2)
                .expect("constant bounds that hdrhistogram takes")
        };
        Histograms(Timed::ALL.iter().map(|_| fresh()).collect())
    }
}

impl Histograms {
    /// Ten minutes is the most that is told apart.
    pub fn record(&mut self, what: Timed, us: u64) {
        self.0[what as usize].saturating_record(us.max(1));
    }

    pub fn merge(&mut self, other: &Histograms) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.add(theirs)
                .expect("histograms made with the same bounds");
        }
    }

    pub fn of(&self, what: Timed) -> &Histogram<u64> {
        &self.0[what as usize]
    }
}

/// Counts over the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events of the plan that came to their seats.
    pub events: u64,
    /// Events that found their seat not connected, or without the session they were meant for.
    pub skipped: u64,
    /// Events not begun because the server had said to wait (Retry-After).
    pub held_back: u64,
    /// Answers to requests that may be shed.
    pub sheddable: u64,
    /// Answered 503 with Retry-After.
    pub shed: u64,
    /// How long all users together were kept out so: who is called meanwhile is not there.
    pub kept_out_ms: u64,
    /// Answered with another refusal; `refusals` and `faults` have them by kind.
    pub refused: u64,
    /// Of these, what no right server answers in this model.
    pub wrongly_refused: u64,
    /// INVITEs refused since who was called had gone, and those that were accepted.
    pub absent: u64,
    pub invited: u64,
    pub logons: u64,
    /// TLS handshakes that resumed an earlier session.
    pub resumed: u64,
    /// Messages answered 200.
    pub accepted: u64,
    /// Messages refused since the other side had gone.
    pub parted: u64,
    /// Messages of the plan not begun since the other side, or the server, had hung up before.
    pub hung_up: u64,
    /// Messages that came to a member; a message to many counts once for each of them.
    pub heard: u64,
    pub typing_heard: u64,
    pub notifies: u64,
    /// Subscriptions and polls that were granted and told nothing in time.
    pub untold: u64,
    /// States of a presentity that came to a watcher after a newer one.
    pub older_states: u64,
    /// Looks at a newest state that a watcher must know by now, and those of them that it was never told.
    pub states_due: u64,
    pub states_untold: u64,
    /// "X could not be invited" and the like, said by the conference itself.
    pub reports: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// With a body or a speaker that is not as sent.
    pub altered: u64,
    /// Came to a seat that never was in that session.
    pub misdelivered: u64,
    /// Came to a seat that had given the session up, and were refused.
    pub strays: u64,
    /// Requests without an answer in time.
    pub unanswered: u64,
    /// Connections that ended although the plan did not want it.
    pub cut: u64,
    /// Of an earlier run.
    pub strangers: u64,
}

impl Counts {
    pub fn merge(&mut self, other: &Counts) {
        let Counts {
            events,
            skipped,
            held_back,
            sheddable,
            shed,
            kept_out_ms,
            refused,
            wrongly_refused,
            absent,
            invited,
            logons,
            resumed,
            accepted,
            parted,
            hung_up,
            heard,
            typing_heard,
            notifies,
            untold,
            older_states,
            states_due,
            states_untold,
            reports,
            duplicated,
            reordered,
            altered,
            misdelivered,
            strays,
            unanswered,
            cut,
            strangers,
        } = self;
        for (mine, theirs) in [
            (events, other.events),
            (skipped, other.skipped),
            (held_back, other.held_back),
            (sheddable, other.sheddable),
            (shed, other.shed),
            (kept_out_ms, other.kept_out_ms),
            (refused, other.refused),
            (wrongly_refused, other.wrongly_refused),
            (absent, other.absent),
            (invited, other.invited),
            (logons, other.logons),
            (resumed, other.resumed),
            (accepted, other.accepted),
            (parted, other.parted),
            (hung_up, other.hung_up),
            (heard, other.heard),
            (typing_heard, other.typing_heard),
            (notifies, other.notifies),
            (untold, other.untold),
            (older_states, other.older_states),
            (states_due, other.states_due),
            (states_untold, other.states_untold),
            (reports, other.reports),
            (duplicated, other.duplicated),
            (reordered, other.reordered),
            (altered, other.altered),
            (misdelivered, other.misdelivered),
            (strays, other.strays),
            (unanswered, other.unanswered),
            (cut, other.cut),
            (strangers, other.strangers),
        ] {
            *mine += theirs;
        }
    }
}

/// What one thread saw since it last handed over its histograms.
#[derive(Default)]
pub struct Sight {
    pub counts: Counts,
    pub interval: Histograms,
    /// Answers that are no 200 and no 503, and still right.
    pub refusals: Faults,
    /// What fails the run, besides what is counted.
    pub faults: Faults,
    /// Messages that came twice, late, altered or to the wrong one, older states, and a refusal of each kind: the first few
    /// in words.
    pub examples: Vec<String>,
}

impl Sight {
    pub fn example(&mut self, words: impl FnOnce() -> String) {
        if self.examples.len() < super::check::EXAMPLES_MAX {
            self.examples.push(words());
        }
    }
}
