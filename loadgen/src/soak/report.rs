//! A soak's end: the table, `report.json`, the histograms of each interval as a log of HdrHistogram, growth and verdict.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::Serialize;

use super::check::Verdict;
use super::sight::{Counts, Histograms, Timed};
use crate::report::{Faults, Row, time};

/// One interval of the run, as the plot shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// Its end, s from the start.
    pub at_s: f64,
    pub online: u64,
    /// Of the server's processes; PSS is read less often, since reading it costs the server time.
    pub rss_kib: Option<u64>,
    pub pss_kib: Option<u64>,
    /// Cores used, by the server and by this program.
    pub server_cores: Option<f64>,
    pub own_cores: f64,
    /// Count, p50 and p99 (µs) of what was timed, by its label.
    pub timed: Vec<(String, u64, u64, u64)>,
}

impl Sample {
    pub fn set_timed(&mut self, histograms: &Histograms) {
        self.timed = Timed::ALL
            .into_iter()
            .map(|what| (what, histograms.of(what)))
            .filter(|(_, histogram)| !histogram.is_empty())
            .map(|(what, histogram)| {
                let at = |quantile| histogram.value_at_quantile(quantile);
                (what.label().to_string(), histogram.len(), at(0.5), at(0.99))
            })
            .collect();
    }

    /// p50 and p99, µs.
    pub fn latency(&self, what: Timed) -> Option<(u64, u64)> {
        self.timed
            .iter()
            .find(|(label, ..)| label == what.label())
            .map(|(_, _, p50, p99)| (*p50, *p99))
    }
}

/// How memory went after warm-up: the line that fits the readings best, from its start to its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// PSS or RSS.
    pub of: String,
    pub from_kib: f64,
    pub to_kib: f64,
    pub percent: f64,
    pub readings: usize,
    /// What the run fails above; absent where growth is only told.
    pub percent_max: Option<f64>,
}

impl Growth {
    /// From (s, KiB); `None` of fewer than three readings.
    pub fn of(name: &str, readings: &[(f64, f64)], percent_max: Option<f64>) -> Option<Growth> {
        if readings.len() < 3 {
            return None;
        }
        let count = readings.len() as f64;
        let mean_s = readings.iter().map(|(s, _)| s).sum::<f64>() / count;
        let mean_kib = readings.iter().map(|(_, kib)| kib).sum::<f64>() / count;
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (s, kib) in readings {
            covariance += (s - mean_s) * (kib - mean_kib);
            variance += (s - mean_s) * (s - mean_s);
        }
        let slope = if variance > 0.0 {
            covariance / variance
        } else {
            0.0
        };
        let at = |s: f64| mean_kib + slope * (s - mean_s);
        let (from_kib, to_kib) = (at(readings[0].0), at(readings[readings.len() - 1].0));
        Some(Growth {
            of: name.to_string(),
            from_kib,
            to_kib,
            percent: (to_kib - from_kib) / from_kib.max(1.0) * 100.0,
            readings: readings.len(),
            percent_max,
        })
    }

    pub fn is_below(&self) -> bool {
        self.percent_max.is_none_or(|most| self.percent < most)
    }
}

/// A whole soak.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub server: String,
    /// What was asked for, in words.
    pub asked: String,
    pub users: u32,
    pub endpoints: u32,
    /// How long it was, logons and all.
    pub seconds: f64,
    /// It was ended before its time, by a signal.
    pub stopped: bool,
    /// Latencies over the whole run.
    pub rows: Vec<Row>,
    pub counts: Counts,
    pub verdict: Checked,
    pub growth: Option<Growth>,
    /// What memory may grow by, in %, where that is judged: it fails the run too where it can't be told.
    pub growth_max: Option<f64>,
    /// The server's process was named, so its memory was read.
    pub is_measured: bool,
    /// CPU time of the server after warm-up: cores, and µs an event of the plan.
    pub server_cores: Option<f64>,
    pub own_cores: f64,
    pub refusals: Faults,
    pub faults: Faults,
    /// (what, s from the start)
    pub acts: Vec<(String, f64)>,
    pub samples: Vec<Sample>,
}

/// What the checks of messages found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checked {
    pub delivered: u64,
    pub lost: u64,
    pub unjudged: u64,
    pub conference_accepted: u64,
    pub conference_delivered: u64,
    pub examples: Vec<String>,
}

impl From<Verdict> for Checked {
    fn from(verdict: Verdict) -> Checked {
        let Verdict {
            delivered,
            lost,
            unjudged,
            conference_accepted,
            conference_delivered,
            examples,
        } = verdict;
        Checked {
            delivered,
            lost,
            unjudged,
            conference_accepted,
            conference_delivered,
            examples,
        }
    }
}

/// Without acts so small a part may end by chance: by log-offs of the model, some messages on their way.
const SHARE_MAX: f64 = 0.05;
/// In a short run a few who go early weigh much: so many are let pass of messages in conferences, and of refusals.
const UNJUDGED_FEW: u64 = 100;
const REFUSED_FEW: u64 = 20;

/// Who is kept out may be one whom many call, and is away for longer than the server said: a logon takes its time too.
const KEPT_OUT_WEIGHT: f64 = 3.0;

/// More of them than chance explains.
fn exceeds(count: u64, few: u64, of: u64) -> bool {
    count > few && count as f64 > of as f64 * SHARE_MAX
}

impl Report {
    /// What fails the run, in words; empty where it passed.
    pub fn failures(&self) -> Vec<String> {
        let counts = &self.counts;
        // A crash breaks connections with publications on their way: one may reach the server after the next one's.
        let crashes = self.acts.iter().any(|(act, _)| act.starts_with("crash"));
        let older_states = counts.older_states * u64::from(!crashes);
        // A storm may have so much to tell that it takes longer than an answer may.
        let states_untold = counts.states_untold * u64::from(self.acts.is_empty());
        let mut failures: Vec<String> = [
            (
                self.verdict.lost,
                "messages lost: answered 200, and never delivered",
            ),
            (counts.duplicated, "messages duplicated"),
            (counts.reordered, "messages reordered"),
            (counts.altered, "messages altered"),
            (counts.misdelivered, "messages delivered to the wrong one"),
            (older_states, "states notified after a newer one"),
            (
                states_untold,
                "times a watcher had not been told what a contact had published long before",
            ),
            (counts.unanswered, "requests not answered"),
            (
                counts.wrongly_refused,
                "requests refused as no right server does here",
            ),
            (
                counts.untold,
                "subscriptions and polls granted, and nothing told",
            ),
            (counts.cut, "connections cut by the server"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        failures.extend(self.shares());
        if self.growth_max.is_some() && self.growth.is_none() {
            failures.push("memory was to be judged, and was read fewer than three times".into());
        }
        if let Some(growth) = self.growth.as_ref().filter(|growth| !growth.is_below()) {
            failures.push(format!(
                "memory grew by {:.2} % after warm-up, more than {} %",
                growth.percent,
                growth.percent_max.unwrap_or_default()
            ));
        }
        if failures.is_empty() && !self.faults.is_empty() {
            failures.push("there were faults".into());
        }
        if self.stopped {
            failures.push(format!(
                "stopped after {:.0} s: what was seen until then is above",
                self.seconds
            ));
        }
        failures
    }

    /// What is no fault where it is one of many, and is one where it is all, or much.
    fn shares(&self) -> Vec<String> {
        let (counts, verdict) = (&self.counts, &self.verdict);
        let mut failures = Vec::new();
        if verdict.delivered == 0 && counts.accepted > 0 {
            failures.push(format!(
                "none of {} accepted messages was delivered",
                counts.accepted
            ));
        } else if verdict.delivered == 0 && counts.events > 0 {
            failures.push("no message was delivered at all: nothing was shown".into());
        }
        // Acts cut conferences and calls off by the hundred.
        if !self.acts.is_empty() {
            return failures;
        }
        if verdict.conference_accepted > 0 && verdict.conference_delivered == 0 {
            failures.push(format!(
                "none of {} messages accepted in conferences was delivered",
                verdict.conference_accepted
            ));
        }
        let owed = verdict.delivered + verdict.lost + verdict.unjudged;
        if exceeds(verdict.unjudged, UNJUDGED_FEW, owed) {
            failures.push(format!(
                "{} of {owed} deliveries can't be judged, more than {} %",
                verdict.unjudged,
                SHARE_MAX * 100.0
            ));
        }
        let calls = counts.absent + counts.invited;
        // Who was not let in is not there to be called.
        let user_ms = (f64::from(self.users) * self.seconds * 1e3).max(1.0);
        let kept_out = counts.kept_out_ms as f64 / user_ms;
        let explained = (kept_out * calls as f64 * KEPT_OUT_WEIGHT) as u64;
        if exceeds(counts.absent.saturating_sub(explained), REFUSED_FEW, calls) {
            failures.push(format!(
                "{} of {calls} INVITEs refused although who was called is there",
                counts.absent
            ));
        }
        let messages = counts.parted + counts.accepted;
        if exceeds(counts.parted, REFUSED_FEW, messages) {
            failures.push(format!(
                "{} of {messages} messages refused although the other side is there",
                counts.parted
            ));
        }
        if exceeds(counts.shed, REFUSED_FEW, counts.sheddable) {
            failures.push(format!(
                "{} of {} requests that may be put off were shed, more than {} %",
                counts.shed,
                counts.sheddable,
                SHARE_MAX * 100.0
            ));
        }
        let meant = messages + counts.hung_up;
        if exceeds(counts.hung_up, REFUSED_FEW, meant) {
            failures.push(format!(
                "{} of {meant} messages could not be said, for the session had been ended before its time",
                counts.hung_up
            ));
        }
        failures
    }

    pub fn passed(&self) -> bool {
        self.failures().is_empty()
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "soak at {}: {}", self.server, self.asked);
        let _ = writeln!(
            out,
            "\n{:<26}{:>10}{:>11}{:>11}{:>11}{:>11}",
            "", "count", "p50", "p99", "p99.9", "max"
        );
        for row in &self.rows {
            let [p50, p99, p999, max] = [row.p50_us, row.p99_us, row.p999_us, row.max_us].map(time);
            let _ = writeln!(
                out,
                "{:<26}{:>10}{p50:>11}{p99:>11}{p999:>11}{max:>11}",
                row.what, row.count
            );
        }
        let counts = &self.counts;
        let _ = writeln!(
            out,
            "\nmessages      {} accepted, {} delivered to members, {} lost, {} duplicated, {} reordered, {} altered, {} misdelivered",
            counts.accepted,
            self.verdict.delivered,
            self.verdict.lost,
            counts.duplicated,
            counts.reordered,
            counts.altered,
            counts.misdelivered
        );
        if self.verdict.unjudged > 0 {
            let _ = writeln!(
                out,
                "              {} more to members of a conference who never came, came late, left early or were cut off: owed or not cannot be told",
                self.verdict.unjudged
            );
        }
        let _ = writeln!(
            out,
            "events        {} of the plan; {} skipped (not logged on, or no such session), {} shed with 503, {} held back for Retry-After, {} refused ({} wrongly); {} handshakes resumed",
            counts.events,
            counts.skipped,
            counts.shed,
            counts.held_back,
            counts.refused,
            counts.wrongly_refused,
            counts.resumed
        );
        let _ = writeln!(
            out,
            "presence      {} looks at what a watcher must know by then, {} of them in vain",
            counts.states_due, counts.states_untold
        );
        if counts.strays > 0 {
            let _ = writeln!(
                out,
                "              {} messages came to members who had given the session up, and were refused",
                counts.strays
            );
        }
        if let Some(cores) = self.server_cores {
            let _ = writeln!(
                out,
                "CPU           server {cores:.2} cores after warm-up, this program {:.2}",
                self.own_cores
            );
        }
        if let Some(growth) = &self.growth {
            let judged = match growth.percent_max {
                Some(most) if growth.is_below() => format!("growth below {most} %: yes"),
                Some(most) => format!("growth below {most} %: NO"),
                None => "not judged".into(),
            };
            let _ = writeln!(
                out,
                "memory        {} {:.1} -> {:.1} MiB after warm-up, {:+.2} % ({} readings; {judged})",
                growth.of,
                growth.from_kib / 1024.0,
                growth.to_kib / 1024.0,
                growth.percent,
                growth.readings
            );
        } else {
            let why = if self.is_measured {
                "fewer than three readings after warm-up"
            } else {
                "no --pid"
            };
            let _ = writeln!(out, "memory        not measured ({why})");
        }
        for (title, list) in [("refused", &self.refusals), ("fault", &self.faults)] {
            for (what, count) in list.iter() {
                let _ = writeln!(out, "{title:<14}{count} {what}");
            }
        }
        for example in &self.verdict.examples {
            let _ = writeln!(out, "{example}");
        }
        match self.failures() {
            failures if failures.is_empty() => out.push_str("PASSED\n"),
            failures => drop(writeln!(out, "FAILED: {}", failures.join("; "))),
        }
        out
    }
}

/// Rows of the table from the whole run's histograms.
pub fn rows(histograms: &Histograms) -> Vec<Row> {
    Timed::ALL
        .into_iter()
        .map(|what| (what, histograms.of(what)))
        .filter(|(_, histogram)| !histogram.is_empty())
        .map(|(what, histogram)| Row::of(what.label(), histogram))
        .collect()
}

/// Writes all intervals as an interval log (HdrHistogram's HistogramLogProcessor reads it): µs, one tag for each thing timed.
pub fn write_log(
    to: &mut impl Write,
    intervals: &[Histograms],
    interval_us: u64,
) -> io::Result<()> {
    let mut serializer = V2Serializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("loadgen soak: microseconds")
        .with_max_value_divisor(1.0);
    let mut log = builder.begin_log_with(to, &mut serializer)?;
    let interval = Duration::from_micros(interval_us);
    for (index, histograms) in intervals.iter().enumerate() {
        for what in Timed::ALL {
            let histogram = histograms.of(what);
            // A tag holds no comma, space or line end.
            let name = what.label().replace([',', ' '], "_");
            if histogram.is_empty() {
                continue;
            }
            log.write_histogram(
                histogram,
                interval * index as u32,
                interval,
                Tag::new(&name),
            )
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with these counts, of which nothing else is bad.
    fn report(counts: Counts, verdict: Checked) -> Report {
        Report {
            server: "here".into(),
            asked: "little".into(),
            users: 2,
            endpoints: 3,
            seconds: 1.0,
            stopped: false,
            rows: Vec::new(),
            counts,
            verdict,
            growth: None,
            growth_max: None,
            is_measured: false,
            server_cores: None,
            own_cores: 0.0,
            refusals: Faults::default(),
            faults: Faults::default(),
            acts: Vec::new(),
            samples: Vec::new(),
        }
    }

    #[test]
    fn what_is_right_of_a_few_fails_a_run_of_many() {
        let counts = Counts {
            events: 9000,
            accepted: 1000,
            invited: 1000,
            sheddable: 1000,
            ..Counts::default()
        };
        let verdict = Checked {
            delivered: 4000,
            conference_accepted: 500,
            conference_delivered: 3500,
            ..Checked::default()
        };
        let check = |change: fn(&mut Counts, &mut Checked), failure: &str| {
            let (mut counts, mut verdict) = (counts, verdict.clone());
            change(&mut counts, &mut verdict);
            let mut report = report(counts, verdict);
            let failures = report.failures();
            if failure.is_empty() {
                assert_eq!(failures, [""; 0]);
                return;
            }
            assert!(
                failures.len() == 1 && failures[0].contains(failure),
                "{failures:?}"
            );
            if !failure.contains("accepted messages") {
                report.acts.push(("crash".into(), 1.0));
                assert!(report.passed(), "{failure}, by an act");
            }
        };
        check(|_, _| (), "");
        check(|counts, _| (counts.absent, counts.parted) = (50, 50), "");
        check(|counts, _| counts.hung_up = 50, "");
        check(|counts, _| counts.shed = 50, "");
        check(|counts, _| counts.shed = 60, "60 of 1000 requests that may");
        check(|counts, _| counts.hung_up = 60, "60 of 1060 messages could");
        check(|_, verdict| verdict.unjudged = 200, "");
        check(|counts, _| counts.absent = 60, "60 of 1060 INVITEs");
        // Of 2000 ms of users.
        check(
            |counts, _| (counts.absent, counts.kept_out_ms) = (60, 1),
            "60 of 1060 INVITEs",
        );
        check(
            |counts, _| (counts.absent, counts.kept_out_ms) = (60, 10),
            "",
        );
        check(|counts, _| counts.parted = 60, "60 of 1060 messages");
        check(
            |_, verdict| verdict.unjudged = 220,
            "220 of 4220 deliveries",
        );
        check(
            |_, verdict| verdict.conference_delivered = 0,
            "none of 500 messages accepted in conferences",
        );
        check(
            |_, verdict| *verdict = Checked::default(),
            "none of 1000 accepted messages",
        );
        check(|counts, _| counts.older_states = 1, "1 states notified");
        check(
            |counts, _| counts.states_untold = 1,
            "1 times a watcher had not been told",
        );
    }

    #[test]
    fn growth_that_is_judged_and_not_measured_fails() {
        let counts = Counts::default();
        let mut report = report(counts, Checked::default());
        assert!(report.passed() && report.table().contains("not measured (no --pid)"));
        (report.growth_max, report.is_measured) = (Some(1.0), true);
        assert!(report.failures()[0].starts_with("memory was to be judged"));
        assert!(report.table().contains("not measured (fewer than three"));
    }

    #[test]
    fn growth_is_that_of_the_line_through_noise() {
        let flat: Vec<(f64, f64)> = (0..100)
            .map(|s| (f64::from(s), 1000.0 + f64::from(s % 7) * 10.0))
            .collect();
        let growth = Growth::of("RSS", &flat, Some(1.0)).unwrap();
        assert!(
            growth.percent.abs() < 0.5 && growth.is_below(),
            "{growth:?}"
        );
        let rising: Vec<(f64, f64)> = (0..100)
            .map(|s| (f64::from(s), 1000.0 + f64::from(s)))
            .collect();
        let growth = Growth::of("RSS", &rising, Some(1.0)).unwrap();
        assert!((growth.percent - 9.9).abs() < 0.01 && !growth.is_below());
        assert!(
            Growth {
                percent_max: None,
                ..growth
            }
            .is_below(),
            "told, not judged"
        );
        assert_eq!(Growth::of("RSS", &rising[..2], None), None);
    }

    #[test]
    fn the_log_is_read_back() {
        let mut histograms = Histograms::default();
        histograms.record(Timed::Delivered, 1234);
        let mut log = Vec::new();
        write_log(&mut log, &[Histograms::default(), histograms], 500_000).unwrap();
        let lines = String::from_utf8(log).unwrap();
        assert!(
            lines.contains("Tag=message_delivered,0.500,0.500,1239"),
            "{lines}"
        );
    }
}
