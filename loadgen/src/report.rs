//! What a run showed: histograms while it runs, one `Report` at its end, as a table and as JSON.
//!
//! All latencies are in microseconds from the instant an operation was meant to start.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::content::Findings;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    /// Meant to connect -> registered: TCP, TLS, challenge, REGISTER.
    LogOn,
    /// Meant to subscribe to all contacts -> the whole list is told.
    Followed,
    /// Meant to send -> the receiver has the message.
    Delivered,
    /// Meant to send -> the sender has its answer.
    Answered,
    /// Meant to publish -> a watcher has the state.
    Notified,
    /// Meant to publish -> the publisher has its answer.
    Published,
    /// Meant to start -> started: what the generator itself was late.
    Started,
}

impl Timed {
    pub const ALL: [Timed; 7] = [
        Timed::LogOn,
        Timed::Followed,
        Timed::Delivered,
        Timed::Answered,
        Timed::Notified,
        Timed::Published,
        Timed::Started,
    ];

    fn label(self) -> &'static str {
        match self {
            Timed::LogOn => "logon",
            Timed::Followed => "contacts told",
            Timed::Delivered => "message delivered",
            Timed::Answered => "message answered",
            Timed::Notified => "watcher notified",
            Timed::Published => "publish answered",
            Timed::Started => "(generator late)",
        }
    }
}

/// One histogram for each thing timed, made when it is needed (172 KB each); a thread has its own, merged at the end.
#[derive(Default)]
pub struct Latencies([Option<Histogram<u64>>; Timed::ALL.len()]);

impl Latencies {
    /// Ten minutes is the most that is told apart.
    pub fn record(&mut self, what: Timed, us: u64) {
        let histogram = self.0[what as usize].get_or_insert_with(|| {
            Histogram::new_with_bounds(1, 600_000_000, 3)
                .expect("constant bounds that hdrhistogram takes")
        });
        histogram.saturating_record(us.max(1));
    }

    pub fn merge(&mut self, other: &Latencies) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            match (mine, theirs) {
                (_, None) => {}
                (mine @ None, Some(_)) => mine.clone_from(theirs),
                (Some(mine), Some(theirs)) => {
                    mine.add(theirs)
                        .expect("histograms made with the same bounds");
                }
            }
        }
    }

    pub fn count(&self, what: Timed) -> u64 {
        self.0[what as usize].as_ref().map_or(0, Histogram::len)
    }

    /// 0 where nothing was timed.
    pub fn p99_us(&self, what: Timed) -> u64 {
        let histogram = self.0[what as usize].as_ref();
        histogram.map_or(0, |histogram| histogram.value_at_quantile(0.99))
    }

    pub fn rows(&self) -> Vec<Row> {
        let all = Timed::ALL.iter();
        all.filter_map(|what| Some(Row::of(what.label(), self.0[*what as usize].as_ref()?)))
            .collect()
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub count: u64,
    pub mean_us: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl Row {
    pub fn of(what: &str, histogram: &Histogram<u64>) -> Row {
        Row {
            what: what.into(),
            count: histogram.len(),
            mean_us: histogram.mean(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

/// What went wrong, counted by what it was; bounded, since a server may find ever new words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults(BTreeMap<String, u64>);

const FAULT_KINDS_MAX: usize = 64;

impl Faults {
    pub fn add(&mut self, what: String, count: u64) {
        let known = self.0.len() < FAULT_KINDS_MAX || self.0.contains_key(&what);
        *self
            .0
            .entry(if known {
                what
            } else {
                "more kinds of faults".into()
            })
            .or_default() += count;
    }

    pub fn merge(&mut self, other: &Faults) {
        other
            .0
            .iter()
            .for_each(|(what, count)| self.add(what.clone(), *count));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(what, count)| (what.as_str(), *count))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// CPU time of the server's processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CpuCost {
    pub total_us: f64,
    /// Part of it in user mode, 0 to 1 (from 10 ms ticks).
    pub user_share: f64,
    /// Share of one core while the operations ran.
    pub cores: f64,
    pub processes: usize,
    pub operation: String,
    pub operations: u64,
    pub us_per_operation: f64,
}

/// Memory of the server's processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryCost {
    pub users: u64,
    pub pss_before_kib: u64,
    pub pss_after_kib: u64,
    pub bytes_per_user: f64,
    /// The kernel's slab of the whole machine, so both ends of each connection.
    pub slab_bytes_per_user: Option<f64>,
    /// Buffers of all TCP sockets of the machine, likewise.
    #[serde(default)]
    pub tcp_bytes_per_user: Option<f64>,
    /// PSS of this process: what a simulated client costs.
    #[serde(default)]
    pub own_bytes_per_user: Option<f64>,
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub command: String,
    pub server: String,
    /// What was asked for, in words.
    pub asked: String,
    pub users: u64,
    pub seconds: f64,
    pub rows: Vec<Row>,
    pub cpu: Option<CpuCost>,
    pub memory: Option<MemoryCost>,
    /// Share of one core the generator itself used for the measured part.
    pub generator_cores: f64,
    /// True where the generator may have been too slow for its schedule.
    pub generator_late: bool,
    pub findings: Findings,
    pub faults: Faults,
    /// Things to know that are no faults.
    pub notes: Vec<String>,
}

impl Report {
    /// All that was asked happened, and all contents were right.
    pub fn passed(&self) -> bool {
        self.findings.is_clean() && self.faults.is_empty()
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{} at {}: {}", self.command, self.server, self.asked);
        if !self.rows.is_empty() {
            let _ = writeln!(
                out,
                "\n{:<20}{:>10}{:>11}{:>11}{:>11}{:>11}",
                "", "count", "p50", "p99", "p99.9", "max"
            );
        }
        for row in &self.rows {
            let [p50, p99, p999, max] = [row.p50_us, row.p99_us, row.p999_us, row.max_us].map(time);
            let _ = writeln!(
                out,
                "{:<20}{:>10}{p50:>11}{p99:>11}{p999:>11}{max:>11}",
                row.what, row.count
            );
        }
        out.push('\n');
        match &self.cpu {
            Some(cpu) => {
                let _ = writeln!(
                    out,
                    "server CPU    {} {} ({} of them; {:.2} cores, {:.0} % user, {} processes)",
                    time(cpu.us_per_operation.round() as u64),
                    cpu.operation,
                    cpu.operations,
                    cpu.cores,
                    cpu.user_share * 100.0,
                    cpu.processes
                );
            }
            None if self.memory.is_none() => {
                out.push_str("server CPU    not measured (no --pid)\n")
            }
            None => {}
        }
        if let Some(memory) = &self.memory {
            let _ = writeln!(
                out,
                "server memory {} a connection ({} users, PSS {} -> {} MiB){}",
                size(memory.bytes_per_user),
                memory.users,
                memory.pss_before_kib / 1024,
                memory.pss_after_kib / 1024,
                memory
                    .slab_bytes_per_user
                    .map_or(String::new(), |bytes| format!(
                        "; kernel slab, both ends, {}",
                        size(bytes)
                    ))
            );
            if let (Some(own), Some(tcp)) = (memory.own_bytes_per_user, memory.tcp_bytes_per_user) {
                let _ = writeln!(
                    out,
                    "beside it     generator {} a client (PSS); buffers of TCP, both ends, {}",
                    size(own),
                    size(tcp)
                );
            }
        }
        let _ = writeln!(
            out,
            "generator     {:.2} cores{}",
            self.generator_cores,
            if self.generator_late {
                ", TOO SLOW for its schedule: the latencies are its own in part"
            } else {
                ""
            }
        );
        for note in &self.notes {
            let _ = writeln!(out, "note          {note}");
        }
        out.push_str(&self.verdict());
        out
    }

    fn verdict(&self) -> String {
        if self.passed() {
            return "\nPASSED: nothing lost, duplicated, reordered or altered; every request was answered well\n".into();
        }
        let mut out = String::from("\nFAILED\n");
        let found = &self.findings;
        for (count, what) in [
            (
                found.lost,
                "messages lost: answered 200, and never received",
            ),
            (found.duplicated, "messages received more than once"),
            (found.reordered, "messages received out of order"),
            (
                found.altered,
                "messages received with another body or sender than sent",
            ),
            (
                found.misdelivered,
                "messages received by someone they weren't sent to",
            ),
            (
                found.denied,
                "messages received although the sender wasn't answered 200",
            ),
            (
                found.regressed,
                "notifications with an older state than one before",
            ),
            (found.outdated, "watchers left without the last state"),
        ] {
            if count > 0 {
                let _ = writeln!(out, "{count:>10} {what}");
            }
        }
        for (what, count) in &self.faults.0 {
            let _ = writeln!(out, "{count:>10} {what}");
        }
        out
    }
}

/// Microseconds for a person: three figures or so.
pub fn time(us: u64) -> String {
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=9_999 => format!("{:.2} ms", us as f64 / 1e3),
        10_000..=99_999 => format!("{:.1} ms", us as f64 / 1e3),
        100_000..=999_999 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// Bytes for a person.
pub fn size(bytes: f64) -> String {
    if bytes.abs() < 1024.0 {
        format!("{bytes:.0} B")
    } else {
        format!("{:.1} KiB", bytes / 1024.0)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn report() -> Report {
        let mut latencies = Latencies::default();
        for us in 1..=1_000 {
            latencies.record(Timed::Delivered, us * 10);
        }
        latencies.record(Timed::Started, 0);
        Report {
            command: "message".into(),
            server: "127.0.0.1:5061".into(),
            asked: "20 users, 2 senders, 100/s for 10 s".into(),
            users: 20,
            seconds: 10.0,
            rows: latencies.rows(),
            cpu: Some(CpuCost {
                total_us: 74_000.0,
                user_share: 0.4,
                cores: 0.01,
                processes: 3,
                operation: "a delivered message".into(),
                operations: 1_000,
                us_per_operation: 74.0,
            }),
            memory: Some(MemoryCost {
                users: 20,
                pss_before_kib: 10_240,
                pss_after_kib: 20_480,
                bytes_per_user: 28_672.0,
                slab_bytes_per_user: Some(7_900.0),
                tcp_bytes_per_user: None,
                own_bytes_per_user: None,
            }),
            generator_cores: 0.02,
            generator_late: false,
            findings: Findings::default(),
            faults: Faults::default(),
            notes: vec![],
        }
    }

    #[test]
    fn the_table_of_a_good_run() {
        let expected = "\
message at 127.0.0.1:5061: 20 users, 2 senders, 100/s for 10 s

                         count        p50        p99      p99.9        max
message delivered         1000    5.00 ms    9.90 ms    9.99 ms    10.0 ms
(generator late)             1       1 µs       1 µs       1 µs       1 µs

server CPU    74 µs a delivered message (1000 of them; 0.01 cores, 40 % user, 3 processes)
server memory 28.0 KiB a connection (20 users, PSS 10 -> 20 MiB); kernel slab, both ends, 7.7 KiB
generator     0.02 cores

PASSED: nothing lost, duplicated, reordered or altered; every request was answered well
";
        assert_eq!(report().table(), expected);
    }

    #[test]
    fn a_bad_run_says_so_plainly() {
        let mut bad = report();
        bad.findings.lost = 2;
        bad.faults.add("MESSAGE answered 480".into(), 3);
        bad.generator_late = true;
        (bad.cpu, bad.memory) = (None, None);
        assert!(!bad.passed());
        let table = bad.table();
        for line in [
            "FAILED",
            "         2 messages lost: answered 200, and never received",
            "         3 MESSAGE answered 480",
            "server CPU    not measured (no --pid)",
        ] {
            assert!(
                table.lines().any(|each| each == line),
                "{line} is not in\n{table}"
            );
        }
        assert!(table.contains("TOO SLOW") && !table.contains("PASSED"));
    }

    #[test]
    fn kinds_of_faults_are_bounded() {
        let mut faults = Faults::default();
        for number in 0..1_000 {
            faults.add(format!("fault {number}"), 1);
        }
        assert!(faults.0.len() <= FAULT_KINDS_MAX + 1);
        assert_eq!(faults.0.values().sum::<u64>(), 1_000);
    }

    #[test]
    fn json_comes_back() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    }
}
