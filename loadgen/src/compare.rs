//! Two servers side by side: the reports of the same loads, and their ratios.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::report::{Report, size, time};

/// What is compared: the line's name, the report's file, and how to read the value from it.
const LINES: [(&str, &str, Unit, Value); 8] = [
    ("CPU a delivered message", "message.json", Unit::Us, cpu),
    ("  delivered, p50", "message.json", Unit::Us, |report| {
        row(report, "message delivered", |row| row.p50_us)
    }),
    ("  delivered, p99", "message.json", Unit::Us, |report| {
        row(report, "message delivered", |row| row.p99_us)
    }),
    (
        "  the same at a high rate",
        "message-high.json",
        Unit::Us,
        cpu,
    ),
    ("CPU a notified watcher", "presence.json", Unit::Us, cpu),
    ("  notified, p99", "presence.json", Unit::Us, |report| {
        row(report, "watcher notified", |row| row.p99_us)
    }),
    ("memory an idle user", "idle.json", Unit::Bytes, |report| {
        Some(report.memory.as_ref()?.bytes_per_user)
    }),
    ("CPU a logon", "logon.json", Unit::Us, cpu),
];

type Value = fn(&Report) -> Option<f64>;

#[derive(Clone, Copy)]
enum Unit {
    Us,
    Bytes,
}

fn cpu(report: &Report) -> Option<f64> {
    let cpu = report.cpu.as_ref()?;
    (cpu.operations > 0).then_some(cpu.us_per_operation)
}

fn row(report: &Report, what: &str, value: fn(&crate::report::Row) -> u64) -> Option<f64> {
    report
        .rows
        .iter()
        .find(|row| row.what == what)
        .map(|row| value(row) as f64)
}

/// A server's name and the folder with its reports.
pub struct Side<'a> {
    pub name: &'a str,
    pub folder: &'a Path,
}

/// The table, and whether every run passed. A report that isn't there or can't be read is an error.
pub fn compare(ours: &Side<'_>, theirs: &Side<'_>) -> Result<(String, bool), String> {
    let mut out = format!(
        "{:<26}{:>14}{:>14}{:>10}\n",
        "", ours.name, theirs.name, "ratio"
    );
    let mut passed = true;
    let mut marked = false;
    for (name, file, unit, value_of) in LINES {
        let (our_report, their_report) = (read(ours, file)?, read(theirs, file)?);
        let (our_value, their_value) = (value_of(&our_report), value_of(&their_report));
        let mut cell = |report: &Report, value: Option<f64>| {
            let text = match (unit, value) {
                (_, None) => "-".to_string(),
                (Unit::Us, Some(us)) => time(us.round() as u64),
                (Unit::Bytes, Some(bytes)) => size(bytes),
            };
            marked |= !report.passed();
            if report.passed() {
                text
            } else {
                format!("{text} (!)")
            }
        };
        let (our_text, their_text) = (
            cell(&our_report, our_value),
            cell(&their_report, their_value),
        );
        let ratio = match (our_value, their_value) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "-".into(),
        };
        let _ = writeln!(out, "{name:<26}{our_text:>14}{their_text:>14}{ratio:>10}");
        passed &= our_report.passed() && their_report.passed();
    }
    if marked {
        out.push_str("(!) that run failed: its numbers are of a load that did not go through\n");
    }
    Ok((out, passed))
}

fn read(side: &Side<'_>, file: &str) -> Result<Report, String> {
    let path = side.folder.join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("{}: no report of loadgen: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn ratios_are_ours_to_theirs_and_a_failed_run_is_marked() {
        let base = std::env::temp_dir().join(format!("loadgen-compare-{}", std::process::id()));
        let (ours, theirs) = (base.join("ours"), base.join("theirs"));
        for (folder, factor) in [(&ours, 0.5), (&theirs, 1.0)] {
            fs::create_dir_all(folder).unwrap();
            for file in [
                "message.json",
                "message-high.json",
                "presence.json",
                "idle.json",
                "logon.json",
            ] {
                let mut report = report();
                report.cpu.as_mut().unwrap().us_per_operation *= factor;
                if file == "logon.json" && factor == 1.0 {
                    report.faults.add("REGISTER answered 500".into(), 1);
                }
                fs::write(folder.join(file), serde_json::to_string(&report).unwrap()).unwrap();
            }
        }
        let (ours, theirs) = (
            Side {
                name: "muster",
                folder: &ours,
            },
            Side {
                name: "kamailio",
                folder: &theirs,
            },
        );
        let (table, passed) = compare(&ours, &theirs).unwrap();
        let missing = compare(
            &ours,
            &Side {
                name: "none",
                folder: &base,
            },
        );
        fs::remove_dir_all(&base).unwrap();
        assert!(!passed);
        let expected = "                                  muster      kamailio     ratio
CPU a delivered message            37 µs         74 µs      0.50
  delivered, p50                 5.00 ms       5.00 ms      1.00
  delivered, p99                 9.90 ms       9.90 ms      1.00
  the same at a high rate          37 µs         74 µs      0.50
CPU a notified watcher             37 µs         74 µs      0.50
  notified, p99                        -             -         -
memory an idle user             28.0 KiB      28.0 KiB      1.00
CPU a logon                        37 µs     74 µs (!)      0.50
(!) that run failed: its numbers are of a load that did not go through
";
        assert_eq!(table, expected);
        assert!(missing.unwrap_err().contains("message.json"));
    }
}
