//! Histograms and counters: one set a shard, written by that shard alone; merged when somebody asks.
//!
//! A set is plain data. Its shard clones it on request (about a megabyte, no lock) and sends it to the asker, who merges.
//! What is done with the merged set is here too: the table, the interval log, the Prometheus text.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use crate::shard::effect::Latency;
use crate::shard::overload::Class;
use crate::sip::message::Method;

/// Longer times than a minute are recorded as a minute.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Significant decimal digits of a recorded time.
const DIGITS: u8 = 3;
/// Status classes 1xx to 6xx.
const CLASSES: usize = 6;

/// What a histogram is kept of; times in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Timed {
    /// Accepted → the TLS handshake is complete.
    TlsHandshake,
    /// See [`Latency::Register`].
    Register,
    /// See [`Latency::MessageTwoParty`].
    MessageTwoParty,
    /// See [`Latency::MessageConference`].
    MessageConference,
    /// See [`Latency::PublishToNotify`].
    PublishToNotify,
    /// A letter posted on one shard → taken out of the mailbox of another.
    CrossShardHop,
    /// One turn of a shard's loop that had something to do: inputs taken → all output flushed.
    LoopTurn,
}

impl Timed {
    /// All of them, in the order of their numbers.
    pub const ALL: [Timed; 7] = [
        Timed::TlsHandshake,
        Timed::Register,
        Timed::MessageTwoParty,
        Timed::MessageConference,
        Timed::PublishToNotify,
        Timed::CrossShardHop,
        Timed::LoopTurn,
    ];

    /// The name in the table, the tag in the log, the label in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Timed::TlsHandshake => "tls_handshake",
            Timed::Register => "register",
            Timed::MessageTwoParty => "message_two_party",
            Timed::MessageConference => "message_conference",
            Timed::PublishToNotify => "publish_to_notify",
            Timed::CrossShardHop => "cross_shard_hop",
            Timed::LoopTurn => "loop_turn",
        }
    }
}

impl From<Latency> for Timed {
    fn from(latency: Latency) -> Timed {
        match latency {
            Latency::Register => Timed::Register,
            Latency::MessageTwoParty => Timed::MessageTwoParty,
            Latency::MessageConference => Timed::MessageConference,
            Latency::PublishToNotify => Timed::PublishToNotify,
        }
    }
}

/// What is counted, apart from answers. All only grow, but for `connections_open` and `overload_level`.
#[derive(Clone, Default, Debug)]
pub struct Counters {
    /// Connections that are open now.
    pub connections_open: u64,
    /// Connections accepted from listeners.
    pub connections_accepted: u64,
    /// Connections that came from another shard.
    pub connections_adopted: u64,
    /// Connections closed because of a limit or a deadline.
    pub connections_cut: u64,
    /// TLS handshakes that did not come to an end.
    pub handshakes_failed: u64,
    /// TLS handshakes completed.
    pub handshakes_done: u64,
    /// Times that accepting paused for want of descriptors or memory.
    pub accept_pauses: u64,
    /// Whole messages handed to the core.
    pub messages_in: u64,
    /// Pieces of input that were no message: refused by the framing or malformed.
    pub frames_refused: u64,
    /// Bytes from sockets (with TLS: encrypted).
    pub bytes_in: u64,
    /// Bytes to sockets (with TLS: encrypted).
    pub bytes_out: u64,
    /// Letters posted to other shards.
    pub letters_out: u64,
    /// Turns in which no socket was read because another shard or the CDR writer was full.
    pub turns_pressed: u64,
    /// Connections whose peer read too slowly, each time that happened.
    pub peers_behind: u64,
    /// Connections cut because their peer read too slowly or nothing; among `connections_cut`.
    pub slow_readers_cut: u64,
    /// How many classes of requests are shed now; of several shards the highest.
    pub overload_level: u64,
    /// Requests that were shed, by class.
    pub shed: [u64; Class::ALL.len()],
}

impl Counters {
    /// Name, whether it only grows, and value of each.
    pub fn named(&self) -> [(&'static str, bool, u64); 16] {
        [
            ("connections_open", false, self.connections_open),
            ("connections_accepted", true, self.connections_accepted),
            ("connections_adopted", true, self.connections_adopted),
            ("connections_cut", true, self.connections_cut),
            ("handshakes_failed", true, self.handshakes_failed),
            ("handshakes_done", true, self.handshakes_done),
            ("accept_pauses", true, self.accept_pauses),
            ("messages_in", true, self.messages_in),
            ("frames_refused", true, self.frames_refused),
            ("bytes_in", true, self.bytes_in),
            ("bytes_out", true, self.bytes_out),
            ("letters_out", true, self.letters_out),
            ("turns_pressed", true, self.turns_pressed),
            ("peers_behind", true, self.peers_behind),
            ("slow_readers_cut", true, self.slow_readers_cut),
            ("overload_level", false, self.overload_level),
        ]
    }

    fn add(&mut self, other: &Counters) {
        self.connections_open += other.connections_open;
        self.connections_accepted += other.connections_accepted;
        self.connections_adopted += other.connections_adopted;
        self.connections_cut += other.connections_cut;
        self.handshakes_failed += other.handshakes_failed;
        self.handshakes_done += other.handshakes_done;
        self.accept_pauses += other.accept_pauses;
        self.messages_in += other.messages_in;
        self.frames_refused += other.frames_refused;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.letters_out += other.letters_out;
        self.turns_pressed += other.turns_pressed;
        self.peers_behind += other.peers_behind;
        self.slow_readers_cut += other.slow_readers_cut;
        self.overload_level = self.overload_level.max(other.overload_level);
        for (mine, its) in self.shed.iter_mut().zip(other.shed) {
            *mine += its;
        }
    }
}

/// One shard's set, or several merged.
#[derive(Clone, Debug)]
pub struct Telemetry {
    latencies: [Histogram<u64>; Timed::ALL.len()],
    /// By method, then ours or the peer's, then status class.
    answers: Box<[[[u64; CLASSES]; 2]; Method::COUNT]>,
    /// Everything else.
    pub counters: Counters,
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry::new()
    }
}

impl Telemetry {
    /// An empty set.
    pub fn new() -> Telemetry {
        let empty = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS)
            .expect("1 to a minute with three digits is a valid range");
        Telemetry {
            latencies: core::array::from_fn(|_| empty.clone()),
            answers: Box::new([[[0; CLASSES]; 2]; Method::COUNT]),
            counters: Counters::default(),
        }
    }

    /// Records how long something took.
    pub fn record(&mut self, timed: Timed, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX);
        self.latencies[timed as usize].saturating_record(took_us.min(LATENCY_US_MAX));
    }

    /// Counts a final or provisional answer: ours to a peer, or a peer's to us.
    pub fn count_answer(&mut self, method: u8, status: u16, ours: bool) {
        let method = usize::from(method).min(Method::COUNT - 1);
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        self.answers[method][usize::from(!ours)][class] += 1;
    }

    /// The recorded times, in microseconds.
    pub fn latency(&self, timed: Timed) -> &Histogram<u64> {
        &self.latencies[timed as usize]
    }

    /// How many answers of a status class (1 to 6) there were to requests of a method.
    pub fn answers(&self, method: u8, ours: bool, class: u8) -> u64 {
        let (Some(by_method), 1..=6) = (self.answers.get(usize::from(method)), class) else {
            return 0;
        };
        by_method[usize::from(!ours)][usize::from(class) - 1]
    }

    /// Adds another shard's set to this one.
    pub fn merge(&mut self, other: &Telemetry) {
        for (mine, its) in self.latencies.iter_mut().zip(&other.latencies) {
            mine.add(its).expect("all sets have the same range");
        }
        for (mine, its) in self
            .answers
            .iter_mut()
            .flatten()
            .flatten()
            .zip(other.answers.iter().flatten().flatten())
        {
            *mine += its;
        }
        self.counters.add(&other.counters);
    }

    /// All in the Prometheus text format (version 0.0.4), appended to `out`.
    pub fn write_metrics(&self, out: &mut String) {
        const INFALLIBLE: &str = "writing to a String cannot fail";
        out.push_str("# HELP muster_latency_seconds How long things took, from what came in to what went out for it.\n# TYPE muster_latency_seconds summary\n");
        for timed in Timed::ALL {
            let (kind, histogram) = (timed.name(), self.latency(timed));
            for quantile in [0.5, 0.9, 0.99, 0.999] {
                let seconds = histogram.value_at_quantile(quantile) as f64 / 1e6;
                writeln!(
                    out,
                    "muster_latency_seconds{{kind=\"{kind}\",quantile=\"{quantile}\"}} {seconds}"
                )
                .expect(INFALLIBLE);
            }
            let sum = if histogram.is_empty() {
                0.0
            } else {
                histogram.mean() * histogram.len() as f64 / 1e6
            };
            writeln!(out, "muster_latency_seconds_sum{{kind=\"{kind}\"}} {sum}").expect(INFALLIBLE);
            writeln!(
                out,
                "muster_latency_seconds_count{{kind=\"{kind}\"}} {}",
                histogram.len()
            )
            .expect(INFALLIBLE);
        }
        out.push_str("# HELP muster_answers_total Answers by method, by who gave them, and by status class.\n# TYPE muster_answers_total counter\n");
        for (method, by_side) in (0u8..).zip(self.answers.iter()) {
            for (by, classes) in ["us", "peer"].iter().zip(by_side) {
                for (class, count) in (1..).zip(classes).filter(|(_, count)| **count > 0) {
                    let method = Method::name_at(method);
                    writeln!(out, "muster_answers_total{{method=\"{method}\",by=\"{by}\",class=\"{class}xx\"}} {count}").expect(INFALLIBLE);
                }
            }
        }
        out.push_str("# HELP muster_shed_total Requests answered 503 for overload, by class.\n# TYPE muster_shed_total counter\n");
        for (class, count) in Class::ALL.iter().zip(self.counters.shed) {
            let class = class.name();
            writeln!(out, "muster_shed_total{{class=\"{class}\"}} {count}").expect(INFALLIBLE);
        }
        for (name, grows, value) in self.counters.named() {
            let (suffix, kind) = if grows {
                ("_total", "counter")
            } else {
                ("", "gauge")
            };
            writeln!(
                out,
                "# TYPE muster_{name}{suffix} {kind}\nmuster_{name}{suffix} {value}"
            )
            .expect(INFALLIBLE);
        }
    }
}

/// Turns growing sets into intervals: what happened since the last dump.
#[derive(Debug)]
pub struct Dump {
    last: Telemetry,
    since: SystemTime,
}

impl Dump {
    /// The first interval begins now.
    pub fn start(now: SystemTime) -> Dump {
        Dump {
            last: Telemetry::new(),
            since: now,
        }
    }

    /// What came since the last dump. `merged` is the merged set of all shards.
    pub fn next(&mut self, merged: Telemetry, now: SystemTime) -> Interval {
        let mut latencies = merged.latencies.clone();
        for (new, old) in latencies.iter_mut().zip(&self.last.latencies) {
            // The sets only grow; a shard that did not answer this time would make them shrink, and then all is shown.
            if new.len() >= old.len() {
                let _ = new.subtract(old);
            }
        }
        self.last = merged;
        let since = core::mem::replace(&mut self.since, now);
        let lasted = now.duration_since(since).unwrap_or_default();
        Interval {
            latencies,
            since,
            lasted,
        }
    }
}

/// The histograms of what happened between two dumps.
#[derive(Debug)]
pub struct Interval {
    latencies: [Histogram<u64>; Timed::ALL.len()],
    since: SystemTime,
    lasted: Duration,
}

impl Interval {
    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: [&str; 7]| {
            let [name, rest @ ..] = cells;
            text.push_str(&format!("{name:<20}"));
            for cell in rest {
                text.push_str(&format!("{cell:>12}"));
            }
            text.push('\n');
        };
        line(["latency (us)", "count", "p50", "p90", "p99", "p99.9", "max"]);
        for (timed, histogram) in Timed::ALL.iter().zip(&self.latencies) {
            let at = |quantile| histogram.value_at_quantile(quantile).to_string();
            line([
                timed.name(),
                &histogram.len().to_string(),
                &at(0.5),
                &at(0.9),
                &at(0.99),
                &at(0.999),
                &histogram.max().to_string(),
            ]);
        }
        let lasted_s = self.lasted.as_secs_f64();
        text.push_str(&format!("all shards, the last {lasted_s:.1} s\n"));
        text
    }

    /// The same as a section of an HdrHistogram interval log (V2), with a tag for each histogram.
    pub fn write_log(&self, out: &mut impl io::Write) -> io::Result<()> {
        // Times in the log are absolute, in seconds since 1970, so that sections of several runs may stand in one file.
        let since_epoch = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        let mut log = builder
            .with_max_value_divisor(1.0)
            .begin_log_with(out, &mut serializer)?;
        for (timed, histogram) in Timed::ALL.iter().zip(&self.latencies) {
            let tag = Tag::new(timed.name());
            log.write_histogram(histogram, since_epoch, self.lasted, tag)
                .map_err(|error| match error {
                    IntervalLogWriterError::IoError(error) => error,
                    other => io::Error::other(other.to_string()),
                })?;
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(timed: Timed, times_us: impl IntoIterator<Item = u64>) -> Telemetry {
        let mut set = Telemetry::new();
        for time in times_us {
            set.record(timed, Duration::from_micros(time));
        }
        set
    }

    fn dump(dump: &mut Dump, set: &Telemetry, at_s: u64) -> (String, String) {
        let interval = dump.next(set.clone(), UNIX_EPOCH + Duration::from_secs(at_s));
        let mut log = Vec::new();
        interval.write_log(&mut log).expect("memory takes all");
        (interval.table(), String::from_utf8(log).expect("text"))
    }

    #[test]
    fn shards_add_up() {
        let mut all = recorded(Timed::Register, 1..=500);
        let mut other = recorded(Timed::Register, 501..=1000);
        other.count_answer(Method::Register.index(), 200, true);
        other.count_answer(200, 404, false);
        all.merge(&other);
        let histogram = all.latency(Timed::Register);
        assert_eq!(
            (
                histogram.len(),
                histogram.value_at_quantile(0.5),
                histogram.max()
            ),
            (1000, 500, 1000)
        );
        assert_eq!(all.answers(Method::Register.index(), true, 2), 1);
        assert_eq!(
            all.answers(Method::Other.index(), false, 4),
            1,
            "a number past the table counts as other"
        );
        let mut text = String::new();
        all.write_metrics(&mut text);
        for line in [
            "muster_answers_total{method=\"REGISTER\",by=\"us\",class=\"2xx\"} 1",
            "muster_latency_seconds{kind=\"register\",quantile=\"0.5\"} 0.0005",
            "muster_latency_seconds_count{kind=\"register\"} 1000",
            "muster_connections_open 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }

    #[test]
    fn a_dump_shows_only_what_is_new() {
        let mut dumps = Dump::start(UNIX_EPOCH + Duration::from_secs(1_000));
        let mut set = recorded(Timed::LoopTurn, [10; 100]);
        let (first, log) = dump(&mut dumps, &set, 1_002);
        assert!(
            first.contains("loop_turn                    100          10"),
            "{first}"
        );
        assert!(log.contains("Tag=loop_turn,1000.000,2.000,"), "{log}");
        set.merge(&recorded(Timed::LoopTurn, [5_000; 7]));
        let (second, log) = dump(&mut dumps, &set, 1_003);
        assert!(
            second.contains("loop_turn                      7        5003"),
            "{second}"
        );
        assert!(log.contains("Tag=loop_turn,1002.000,1.000,"), "{log}");
    }

    #[test]
    fn the_log_is_read_back_by_its_own_format() {
        use base64::Engine as _;
        use hdrhistogram::serialization::Deserializer;
        use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

        let mut dumps = Dump::start(UNIX_EPOCH);
        let (_, log) = dump(
            &mut dumps,
            &recorded(Timed::CrossShardHop, [60, 70, 99_000_000]),
            9,
        );
        let mut tags = Vec::new();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            let LogEntry::Interval(interval) = entry.expect("a line of the format") else {
                continue;
            };
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .expect("base64");
            let histogram: Histogram<u64> = Deserializer::new()
                .deserialize(&mut &bytes[..])
                .expect("V2, deflated");
            tags.push((
                interval.tag().expect("tagged").as_str().to_owned(),
                histogram.len(),
                histogram.max() / 1_000_000,
            ));
        }
        assert_eq!(tags.len(), Timed::ALL.len());
        assert_eq!(
            tags[Timed::CrossShardHop as usize],
            ("cross_shard_hop".to_owned(), 3, 60)
        );
    }
}
