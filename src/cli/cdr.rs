//! `muster cdr`: prints call detail records.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::cli::Failure;
use crate::config::Config;
use crate::shell::cdr::{self, Question, Row};
use crate::shell::store::DataDir;

#[derive(Debug, Args)]
pub(super) struct Query {
    /// Sessions that went on at this time or later: 2026-11-23, 2026-11-23T09:30, an RFC 3339 time, or how long ago (2h, 7d)
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Only sessions that this user took part in
    #[arg(long, value_name = "NAME@DOMAIN")]
    user: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people, in local time
    Table,
    /// One object a participant, in an array
    Json,
    /// One line a participant, with a header
    Csv,
}

pub(super) fn cdr(config: Option<&Path>, query: &Query) -> Result<ExitCode, Failure> {
    let config = Config::load(config).map_err(Failure::config)?;
    let since_ms = match &query.since {
        Some(text) => Some(since(text, &ZonedDateTime::now()).ok_or_else(|| {
            Failure::usage(format!(
                "--since {text:?} is no time; write 2026-11-23, 2026-11-23T09:30, or how long ago, such as 2h or 7d"
            ))
        })?),
        None => None,
    };
    let question = Question {
        since_ms,
        user: query.user.clone(),
    };
    let data_dir = DataDir::open(&config.data_dir).map_err(Failure::failed)?;
    let mut rows = Vec::new();
    cdr::read(&data_dir, &question, |row| rows.push(row)).map_err(Failure::failed)?;
    let out = io::BufWriter::new(io::stdout().lock());
    let printed = match query.format {
        Format::Table => table(out, &rows),
        Format::Json => json(out, &rows),
        Format::Csv => comma_separated(out, &rows),
    };
    match printed {
        // `muster cdr | head` has what it wants.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        printed => printed.map(|()| ExitCode::SUCCESS).map_err(Failure::failed),
    }
}

/// A time in Unix milliseconds: how long ago, an instant, or a local date with or without a time.
fn since(text: &str, now: &ZonedDateTime) -> Option<i64> {
    if let Some(ago) = ago(text) {
        return Some(now.timestamp().checked_sub(ago).ok()?.as_millisecond());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let local: jiff::civil::DateTime = text
        .parse()
        .or_else(|_| {
            text.parse::<jiff::civil::Date>()
                .map(|date| date.at(0, 0, 0, 0))
        })
        .ok()?;
    Some(
        local
            .to_zoned_datetime(now.time_zone().clone())
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

fn ago(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let count: i64 = text
        .strip_suffix(unit)?
        .parse()
        .ok()
        .filter(|count| *count >= 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    Some(SignedDuration::from_secs(count.checked_mul(seconds)?))
}

fn table(mut out: impl io::Write, rows: &[Row]) -> io::Result<()> {
    const NAMES: [&str; 8] = [
        "started",
        "ended",
        "kind",
        "session",
        "user",
        "sent",
        "left because",
        "continues",
    ];
    let cells: Vec<[String; 8]> = rows
        .iter()
        .map(|row| {
            [
                local(Some(row.started_ms)),
                local(row.ended_ms),
                row.kind.clone(),
                row.session.clone(),
                row.user.clone(),
                row.messages_sent.to_string(),
                row.leave_reason.clone().unwrap_or_else(|| "-".into()),
                row.continues.clone().unwrap_or_else(|| "-".into()),
            ]
        })
        .collect();
    let mut widths = NAMES.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; 8]| {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    line(NAMES)?;
    for row in &cells {
        line(row.each_ref().map(String::as_str))?;
    }
    out.flush()
}

fn local(unix_ms: Option<i64>) -> String {
    unix_ms
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(
            || "-".into(),
            |instant| {
                instant
                    .to_zoned_datetime(TimeZone::system())
                    .strftime("%Y-%m-%d %H:%M:%S")
                    .to_string()
            },
        )
}

fn json(mut out: impl io::Write, rows: &[Row]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, rows)?;
    writeln!(out)?;
    out.flush()
}

fn comma_separated(out: impl io::Write, rows: &[Row]) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    for row in rows {
        writer.serialize(row).map_err(io::Error::other)?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let now: ZonedDateTime = "2026-11-23T12:00:00+00:00[UTC]"
            .parse()
            .expect("a time of the test");
        let ms = |text: &str| since(text, &now);
        let midnight = Some(1_795_392_000_000);
        assert_eq!(ms("2026-11-23"), midnight);
        assert_eq!(ms("2026-11-23T00:00"), midnight);
        assert_eq!(ms("2026-11-23T01:00:00+01:00"), midnight);
        assert_eq!(ms("12h"), midnight);
        assert_eq!(ms("720m"), midnight);
        for bad in [
            "",
            "h",
            "-1h",
            "yesterday",
            "9223372036854775807d",
            "2026-13-01",
        ] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }
}
