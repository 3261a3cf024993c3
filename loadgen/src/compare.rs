//! Two servers side by side: the reports of the same loads, their ratios, and what issue 5 asks for.
//!
//! A folder has `LOAD.json`, and `LOAD.2.json`, `LOAD.3.json` … where a load was run more than once: then the median counts, and
//! the least and the most are said. A load that a server did not get is a dash.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::report::{Report, Row, size, time};

/// What is compared: the line's name, the report's file, and how to read the value from it.
struct Line {
    name: &'static str,
    load: &'static str,
    unit: Unit,
    value: fn(&Report) -> Option<f64>,
    must: Must,
}

/// What a line has to reach.
#[derive(Clone, Copy)]
enum Must {
    Nothing,
    /// Of the other server's value.
    OneThird,
    /// In the line's unit.
    AtMost(f64),
}

#[derive(Clone, Copy)]
enum Unit {
    Us,
    Bytes,
}

const fn us(
    name: &'static str,
    load: &'static str,
    value: fn(&Report) -> Option<f64>,
    must: Must,
) -> Line {
    Line {
        name,
        load,
        unit: Unit::Us,
        value,
        must,
    }
}

const LINES: [Line; 14] = [
    us("CPU a delivered message", "message", cpu, Must::OneThird),
    us(
        "  delivered, p50",
        "message",
        |r| delivered(r, |row| row.p50_us),
        Must::Nothing,
    ),
    us(
        "  delivered, p99",
        "message",
        |r| delivered(r, |row| row.p99_us),
        Must::Nothing,
    ),
    us(
        "  the same at a high rate",
        "message-high",
        cpu,
        Must::OneThird,
    ),
    us("CPU a notified watcher", "presence", cpu, Must::OneThird),
    us(
        "  notified, p99",
        "presence",
        |r| notified(r, |row| row.p99_us),
        Must::Nothing,
    ),
    Line {
        name: "memory an idle user",
        load: "idle",
        unit: Unit::Bytes,
        value: |report| Some(report.memory.as_ref()?.bytes_per_user),
        must: Must::AtMost(8192.0),
    },
    us("CPU a logon", "logon", cpu, Must::AtMost(330.0)),
    us(
        "  with resumed TLS",
        "logon-resumed",
        resumed_cpu,
        Must::AtMost(165.0),
    ),
    us(
        "at half of the maximum, p50",
        "half",
        |r| delivered(r, |row| row.p50_us),
        Must::Nothing,
    ),
    us(
        "  p99",
        "half",
        |r| delivered(r, |row| row.p99_us),
        Must::AtMost(2_000.0),
    ),
    us(
        "  p99.9",
        "half",
        |r| delivered(r, |row| row.p999_us),
        Must::AtMost(5_000.0),
    ),
    us(
        "last of 10,000 watchers",
        "celebrity",
        |r| notified(r, |row| row.max_us),
        Must::AtMost(250_000.0),
    ),
    us("  CPU a notified watcher", "celebrity", cpu, Must::Nothing),
];

/// More runs of a load are not read.
const RUNS_MAX: usize = 99;

fn cpu(report: &Report) -> Option<f64> {
    let cpu = report.cpu.as_ref()?;
    (cpu.operations > 0).then_some(cpu.us_per_operation)
}

/// Nothing where the server resumed no session: it is not the same load then.
fn resumed_cpu(report: &Report) -> Option<f64> {
    let mut notes = report.notes.iter();
    notes
        .any(|note| note.contains("resumed an earlier session"))
        .then(|| cpu(report))?
}

fn delivered(report: &Report, value: fn(&Row) -> u64) -> Option<f64> {
    row(report, "message delivered", value)
}

fn notified(report: &Report, value: fn(&Row) -> u64) -> Option<f64> {
    row(report, "watcher notified", value)
}

fn row(report: &Report, what: &str, value: fn(&Row) -> u64) -> Option<f64> {
    let mut rows = report.rows.iter();
    rows.find(|row| row.what == what)
        .map(|row| value(row) as f64)
}

/// A server's name and the folder with its reports.
pub struct Side<'a> {
    pub name: &'a str,
    pub folder: &'a Path,
}

/// One line's values of one server.
struct Values {
    /// In order; only those that were measured.
    sorted: Vec<f64>,
    passed: bool,
}

impl Values {
    fn of(runs: &[Report], value: fn(&Report) -> Option<f64>) -> Values {
        let mut sorted: Vec<f64> = runs.iter().filter_map(value).collect();
        sorted.sort_by(f64::total_cmp);
        let passed = runs.iter().all(Report::passed);
        Values { sorted, passed }
    }

    /// Of an even number the mean of the two in the middle.
    fn median(&self) -> Option<f64> {
        let count = self.sorted.len();
        let upper = self.sorted.get(count / 2)?;
        let lower = self.sorted.get(count.saturating_sub(1) / 2)?;
        Some((lower + upper) / 2.0)
    }

    fn cell(&self, unit: Unit) -> String {
        let Some(median) = self.median() else {
            return if self.passed { "-" } else { "- (!)" }.into();
        };
        let mut text = unit.text(median);
        if let [least, .., most] = self.sorted.as_slice() {
            let _ = write!(text, " ({} to {})", unit.text(*least), unit.text(*most));
        }
        if !self.passed {
            text.push_str(" (!)");
        }
        text
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Unit::Us => time(value.round() as u64),
            Unit::Bytes => size(value),
        }
    }
}

impl Must {
    /// What is asked, and whether a run that passed reached it.
    fn cell(self, unit: Unit, ours: &Values, theirs: &Values) -> String {
        let (asked, bound) = match self {
            Must::Nothing => return String::new(),
            Must::OneThird => ("one third".into(), theirs.median().map(|value| value / 3.0)),
            Must::AtMost(value) => (unit.text(value), Some(value)),
        };
        let good = ours.passed && (theirs.passed || !matches!(self, Must::OneThird));
        let verdict = match (ours.median(), bound) {
            (Some(_), Some(_)) if !good => "failed run",
            (Some(value), Some(bound)) if value <= bound => "reached",
            (Some(_), Some(_)) => "not reached",
            _ => "not measured",
        };
        format!("{asked}: {verdict}")
    }
}

/// The table, and whether every run passed. A folder without any report, or a report that can't be read, is an error.
pub fn compare(ours: &Side<'_>, theirs: &Side<'_>) -> Result<(String, bool), String> {
    let mut out = format!(
        "{:<28}{:>36}{:>36}{:>8}  must\n",
        "", ours.name, theirs.name, "ratio"
    );
    let (mut our_count, mut their_count) = (0, 0);
    let mut passed = true;
    for line in &LINES {
        let (our_runs, their_runs) = (read(ours, line.load)?, read(theirs, line.load)?);
        our_count += our_runs.len();
        their_count += their_runs.len();
        if our_runs.is_empty() && their_runs.is_empty() {
            continue;
        }
        let our_values = Values::of(&our_runs, line.value);
        let their_values = Values::of(&their_runs, line.value);
        let ratio = match (our_values.median(), their_values.median()) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "-".into(),
        };
        let text = format!(
            "{:<28}{:>36}{:>36}{ratio:>8}  {}",
            line.name,
            our_values.cell(line.unit),
            their_values.cell(line.unit),
            line.must.cell(line.unit, &our_values, &their_values)
        );
        let _ = writeln!(out, "{}", text.trim_end());
        passed &= our_values.passed && their_values.passed;
    }
    for (side, count) in [(ours, our_count), (theirs, their_count)] {
        if count == 0 {
            let (folder, load) = (side.folder.display(), LINES[0].load);
            return Err(format!("{folder}: no report ({load}.json or another)"));
        }
    }
    if !passed {
        out.push_str("(!) a run failed: its numbers are of a load that did not go through\n");
    }
    Ok((out, passed))
}

/// All runs of a load; none where the server did not get it.
fn read(side: &Side<'_>, load: &str) -> Result<Vec<Report>, String> {
    let mut runs = Vec::new();
    for number in 1..=RUNS_MAX {
        let path = match number {
            1 => side.folder.join(format!("{load}.json")),
            _ => side.folder.join(format!("{load}.{number}.json")),
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // A run that could not begin leaves a gap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let report = serde_json::from_str(&text)
            .map_err(|error| format!("{}: no report of loadgen: {error}", path.display()))?;
        runs.push(report);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    fn write(folder: &Path, file: &str, change: impl FnOnce(&mut Report)) {
        fs::create_dir_all(folder).unwrap();
        let mut report = report();
        change(&mut report);
        fs::write(folder.join(file), serde_json::to_string(&report).unwrap()).unwrap();
    }

    fn cpu_of(us: f64) -> impl FnOnce(&mut Report) {
        move |report| report.cpu.as_mut().unwrap().us_per_operation = us
    }

    #[test]
    fn medians_ratios_and_what_must_be_reached() {
        let base = std::env::temp_dir().join(format!("loadgen-compare-{}", std::process::id()));
        let (ours, theirs) = (base.join("ours"), base.join("theirs"));
        for (file, our_us, their_us) in [
            ("message.json", 24.0, 70.0),
            ("message.2.json", 90.0, 99.0),
            ("message.4.json", 20.0, 75.0), // the third could not begin
            ("message-high.json", 30.0, 74.0),
            ("presence.json", 10.0, 74.0),
            ("logon.json", 300.0, 600.0),
        ] {
            write(&ours, file, cpu_of(our_us));
            write(&theirs, file, |report| {
                cpu_of(their_us)(report);
                if file == "presence.json" {
                    report.faults.add("SUBSCRIBE answered 500".into(), 1);
                }
            });
        }
        write(&ours, "half.json", |_| ());
        write(&ours, "logon-resumed.json", |report| {
            report
                .notes
                .push("5 TLS handshakes resumed an earlier session".into());
        });
        write(&theirs, "logon-resumed.json", |_| ());
        let side = |name, folder| Side { name, folder };
        let (table, passed) = compare(&side("muster", &ours), &side("kamailio", &theirs)).unwrap();
        let missing = compare(&side("muster", &ours), &side("none", &base));
        fs::write(theirs.join("idle.json"), "{}").unwrap();
        let broken = compare(&side("muster", &ours), &side("kamailio", &theirs));
        fs::remove_dir_all(&base).unwrap();
        assert!(!passed);
        let cells: Vec<Vec<&str>> = table
            .lines()
            .map(|line| {
                let cells = line.split("  ").map(str::trim);
                cells.filter(|cell| !cell.is_empty()).collect()
            })
            .collect();
        let expected: [&[&str]; 13] = [
            &["muster", "kamailio", "ratio", "must"],
            &[
                "CPU a delivered message",
                "24 µs (20 µs to 90 µs)",
                "75 µs (70 µs to 99 µs)",
                "0.32",
                "one third: reached",
            ],
            &[
                "delivered, p50",
                "5.00 ms (5.00 ms to 5.00 ms)",
                "5.00 ms (5.00 ms to 5.00 ms)",
                "1.00",
            ],
            &[
                "delivered, p99",
                "9.90 ms (9.90 ms to 9.90 ms)",
                "9.90 ms (9.90 ms to 9.90 ms)",
                "1.00",
            ],
            &[
                "the same at a high rate",
                "30 µs",
                "74 µs",
                "0.41",
                "one third: not reached",
            ],
            &[
                "CPU a notified watcher",
                "10 µs",
                "74 µs (!)",
                "0.14",
                "one third: failed run",
            ],
            &["notified, p99", "-", "- (!)", "-"],
            &["CPU a logon", "300 µs", "600 µs", "0.50", "330 µs: reached"],
            &["with resumed TLS", "74 µs", "-", "-", "165 µs: reached"],
            &["at half of the maximum, p50", "5.00 ms", "-", "-"],
            &["p99", "9.90 ms", "-", "-", "2.00 ms: not reached"],
            &["p99.9", "9.99 ms", "-", "-", "5.00 ms: not reached"],
            &["(!) a run failed: its numbers are of a load that did not go through"],
        ];
        assert_eq!(cells, expected, "{table}");
        assert!(missing.unwrap_err().contains("no report"));
        assert!(broken.unwrap_err().contains("idle.json"));
    }
}
