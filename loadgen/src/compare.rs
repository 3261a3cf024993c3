//! Two servers side by side: the reports of the same loads, their ratios, and what issue 5 asks for.
//!
//! A folder has `LOAD.json`, and `LOAD.2.json`, `LOAD.3.json` … where a load was run more than once: then the median counts, and
//! the least and the most are said. What could not be judged is a failure, as a failed run is: all loads are asked of the
//! first server, and of the second those that the first is measured by (`Must::OneThird`); others it lacks are a dash.

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

/// All runs of one load by one server.
struct Runs {
    reports: Vec<Report>,
    /// Numbers below the highest that left no report.
    missing: usize,
}

/// One line's values of one server.
struct Values {
    /// In order; only those that were measured.
    sorted: Vec<f64>,
    /// All runs left a report and passed, and where the server is asked for it, each has the value.
    passed: bool,
}

impl Values {
    fn of(runs: &Runs, line: &Line, is_asked: bool) -> Values {
        let mut sorted: Vec<f64> = runs.reports.iter().filter_map(line.value).collect();
        sorted.sort_by(f64::total_cmp);
        let is_there = match line.must {
            Must::Nothing => !runs.reports.is_empty(),
            _ => !sorted.is_empty() && sorted.len() == runs.reports.len(),
        };
        let all_well = runs.missing == 0 && runs.reports.iter().all(Report::passed);
        let passed = all_well && (is_there || !is_asked);
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

/// The table, and whether every run passed and all that is asked could be judged. A folder without any report, or a report
/// that can't be read, is an error.
pub fn compare(ours: &Side<'_>, theirs: &Side<'_>) -> Result<(String, bool), String> {
    let mut out = format!(
        "{:<28}{:>36}{:>36}{:>8}  must\n",
        "", ours.name, theirs.name, "ratio"
    );
    let (mut our_count, mut their_count) = (0, 0);
    let mut passed = true;
    for line in &LINES {
        let (our_runs, their_runs) = (read(ours, line.load)?, read(theirs, line.load)?);
        our_count += our_runs.reports.len();
        their_count += their_runs.reports.len();
        let measures_us =
            |other: &Line| other.load == line.load && matches!(other.must, Must::OneThird);
        let our_values = Values::of(&our_runs, line, true);
        let their_values = Values::of(&their_runs, line, LINES.iter().any(measures_us));
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
        out.push_str(
            "(!) a run failed, left no report or does not show what is asked: its numbers judge nothing\n",
        );
    }
    Ok((out, passed))
}

/// All runs of a load; none where the server did not get it.
fn read(side: &Side<'_>, load: &str) -> Result<Runs, String> {
    let (mut reports, mut highest) = (Vec::new(), 0);
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
        reports.push(report);
        highest = number;
    }
    let missing = highest - reports.len();
    Ok(Runs { reports, missing })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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

    /// Two folders of reports, gone when dropped.
    struct Folders {
        base: PathBuf,
        ours: PathBuf,
        theirs: PathBuf,
    }

    impl Folders {
        fn new(name: &str) -> Folders {
            let base = format!("loadgen-compare-{name}-{}", std::process::id());
            let base = std::env::temp_dir().join(base);
            let (ours, theirs) = (base.join("ours"), base.join("theirs"));
            Folders { base, ours, theirs }
        }

        fn compare(&self) -> Result<(String, bool), String> {
            compare(&side("muster", &self.ours), &side("kamailio", &self.theirs))
        }

        /// All that is asked, by runs that passed.
        fn fill(&self) {
            for load in ["message", "message-high", "presence"] {
                write(&self.ours, &format!("{load}.json"), cpu_of(20.0));
                write(&self.theirs, &format!("{load}.json"), |_| ());
            }
            for load in ["idle", "logon", "half"] {
                write(&self.ours, &format!("{load}.json"), |_| ());
            }
            write(&self.ours, "logon-resumed.json", resumed);
            write(&self.ours, "celebrity.json", |report| {
                report.rows[0].what = "watcher notified".into()
            });
        }
    }

    impl Drop for Folders {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.base).unwrap();
        }
    }

    fn side<'a>(name: &'a str, folder: &'a Path) -> Side<'a> {
        Side { name, folder }
    }

    fn resumed(report: &mut Report) {
        let note = "5 TLS handshakes resumed an earlier session";
        report.notes.push(note.into());
    }

    fn cells(table: &str) -> Vec<Vec<&str>> {
        let lines = table.lines().map(|line| {
            let cells = line.split("  ").map(str::trim);
            cells.filter(|cell| !cell.is_empty()).collect()
        });
        lines.collect()
    }

    #[test]
    fn medians_ratios_and_what_must_be_reached() {
        let folders = Folders::new("medians");
        let (ours, theirs) = (&folders.ours, &folders.theirs);
        for (file, our_us, their_us) in [
            ("message.json", 24.0, 70.0),
            ("message.2.json", 90.0, 99.0),
            ("message.3.json", 20.0, 75.0),
            ("message-high.json", 30.0, 74.0),
            ("presence.json", 10.0, 74.0),
            ("logon.json", 300.0, 600.0),
        ] {
            write(ours, file, cpu_of(our_us));
            write(theirs, file, |report| {
                cpu_of(their_us)(report);
                if file == "presence.json" {
                    report.faults.add("SUBSCRIBE answered 500".into(), 1);
                }
            });
        }
        write(ours, "half.json", |_| ());
        write(ours, "logon-resumed.json", resumed);
        write(theirs, "logon-resumed.json", |_| ());
        let (table, passed) = folders.compare().unwrap();
        let missing = compare(&side("muster", ours), &side("none", &folders.base));
        fs::write(theirs.join("idle.json"), "{}").unwrap();
        let broken = folders.compare();
        assert!(!passed);
        let expected: [&[&str]; 16] = [
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
            // Never run by ours, and nobody asks for theirs.
            &[
                "memory an idle user",
                "- (!)",
                "-",
                "-",
                "8.0 KiB: not measured",
            ],
            &["CPU a logon", "300 µs", "600 µs", "0.50", "330 µs: reached"],
            &["with resumed TLS", "74 µs", "-", "-", "165 µs: reached"],
            &["at half of the maximum, p50", "5.00 ms", "-", "-"],
            &["p99", "9.90 ms", "-", "-", "2.00 ms: not reached"],
            &["p99.9", "9.99 ms", "-", "-", "5.00 ms: not reached"],
            &[
                "last of 10,000 watchers",
                "- (!)",
                "-",
                "-",
                "250 ms: not measured",
            ],
            &["CPU a notified watcher", "- (!)", "-", "-"],
            &[
                "(!) a run failed, left no report or does not show what is asked: its numbers judge nothing",
            ],
        ];
        assert_eq!(cells(&table), expected, "{table}");
        assert!(missing.unwrap_err().contains("no report"));
        assert!(broken.unwrap_err().contains("idle.json"));
    }

    /// Each change to folders that pass must fail, and show in the line that is named.
    #[test]
    fn what_could_not_be_judged_has_not_passed() {
        let folders = Folders::new("judged");
        folders.fill();
        let (table, passed) = folders.compare().unwrap();
        assert!(passed && !table.contains("(!)"), "{table}");
        let check = |change: &dyn Fn(&Folders), name: &str, expected: &[&str]| {
            change(&folders);
            let (table, passed) = folders.compare().unwrap();
            let cells = cells(&table);
            let line = cells.iter().find(|cells| cells[0] == name);
            let line = line.unwrap_or_else(|| panic!("no {name} in\n{table}"));
            assert!(!passed && line[1..] == *expected, "{table}");
            fs::remove_dir_all(&folders.base).unwrap();
            folders.fill();
        };
        let remove = |file: &Path| fs::remove_file(file).unwrap();
        check(
            &|folders| remove(&folders.ours.join("half.json")),
            "p99.9",
            &["- (!)", "-", "-", "5.00 ms: not measured"],
        );
        check(
            &|folders| remove(&folders.theirs.join("message-high.json")),
            "the same at a high rate",
            &["20 µs", "- (!)", "-", "one third: not measured"],
        );
        check(
            &|folders| {
                remove(&folders.ours.join("presence.json"));
                remove(&folders.theirs.join("presence.json"));
            },
            "CPU a notified watcher",
            &["- (!)", "- (!)", "-", "one third: not measured"],
        );
        // Nothing resumed, nobody's memory read: the report is there, and not what it is for.
        check(
            &|folders| write(&folders.ours, "logon-resumed.json", |_| ()),
            "with resumed TLS",
            &["- (!)", "-", "-", "165 µs: not measured"],
        );
        check(
            &|folders| write(&folders.ours, "idle.json", |report| report.memory = None),
            "memory an idle user",
            &["- (!)", "-", "-", "8.0 KiB: not measured"],
        );
        // The second of three could not begin.
        check(
            &|folders| write(&folders.ours, "logon.3.json", |_| ()),
            "CPU a logon",
            &["74 µs (74 µs to 74 µs) (!)", "-", "-", "330 µs: failed run"],
        );
    }
}
