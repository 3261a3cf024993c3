//! `muster cdr`: prints call detail records, for people or for programs. One session at a time, so that any number fits.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::cli::{Failure, moment};
use crate::config::Config;
use crate::shell::cdr::{Participant, Report, Session};
use crate::shell::store::{DataDir, StoreError};
use crate::sip::uri::Aor;

#[derive(Debug, Args)]
pub(super) struct Query {
    /// Sessions that went on at this time or later: 2026-11-23, 2026-11-23T09:30, an RFC 3339 time, or how long ago (2h, 7d)
    ///
    /// A date or time without an offset is this machine's.
    #[arg(long, value_name = "T", value_parser = since_ms)]
    since: Option<i64>,
    /// Only sessions that this user began or took part in
    #[arg(long, value_name = "NAME@DOMAIN", value_parser = super::address)]
    user: Option<Aor>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people, in local time: one line a session
    Table,
    /// An array of sessions, each with its participants
    Json,
    /// One line a participant, with a header
    Csv,
}

/// Why printing came to an end.
#[derive(Debug)]
enum Stopped {
    Store(StoreError),
    Printing(io::Error),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Store(error)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Printing(error)
    }
}

impl From<csv::Error> for Stopped {
    fn from(error: csv::Error) -> Stopped {
        Stopped::Printing(io::Error::from(error))
    }
}

pub(super) fn cdr(config: Option<&Path>, query: &Query) -> Result<ExitCode, Failure> {
    let config = Config::load(config).map_err(Failure::config)?;
    // A question makes no files.
    let data_dir = DataDir::existing(&config.data_dir).map_err(Failure::failed)?;
    let report = data_dir.as_ref().map(Report::open).transpose();
    let report = report.map_err(Failure::failed)?.flatten();
    let sessions = Sessions { report, query };
    let out = io::BufWriter::new(io::stdout().lock());
    let printed = match query.format {
        Format::Table => table(out, &sessions),
        Format::Json => json(out, &sessions),
        Format::Csv => comma_separated(out, &sessions),
    };
    match printed {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // `muster cdr | head` has what it wants.
        Err(Stopped::Printing(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(Stopped::Printing(error)) => Err(Failure::failed(format!("cannot print: {error}"))),
        Err(Stopped::Store(error)) => Err(Failure::failed(error)),
    }
}

/// What is to be printed.
struct Sessions<'q> {
    report: Option<Report>,
    query: &'q Query,
}

impl Sessions<'_> {
    fn each(&self, each: impl FnMut(Session) -> Result<(), Stopped>) -> Result<(), Stopped> {
        match &self.report {
            Some(report) => report.sessions(self.query.since, self.query.user.as_ref(), each),
            None => Ok(()),
        }
    }
}

fn table(mut out: impl Write, sessions: &Sessions<'_>) -> Result<(), Stopped> {
    let zone = TimeZone::system();
    writeln!(
        out,
        "{:19}  {:>9}  {:10}  {:24}  who (messages sent)",
        "began", "lasted", "kind", "ended"
    )?;
    sessions.each(|session| {
        let lasted = session
            .ended_ms
            .map(|ended| lasted(ended - session.started_ms));
        let who: Vec<String> = session.participants.iter().map(name_and_count).collect();
        writeln!(
            out,
            "{:19}  {:>9}  {:10}  {:24}  {}",
            local(session.started_ms, &zone),
            lasted.as_deref().unwrap_or("-"),
            session.kind,
            session.end_reason.as_deref().unwrap_or("goes on"),
            plain(&if who.is_empty() {
                session.initiator
            } else {
                who.join(", ")
            }),
        )?;
        Ok(())
    })?;
    Ok(out.flush()?)
}

fn name_and_count(participant: &Participant) -> String {
    match participant.messages_sent {
        Some(count) => format!("{} ({count})", participant.user),
        None => participant.user.clone(),
    }
}

fn local(unix_ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(unix_ms) {
        Ok(instant) => instant
            .to_zoned_datetime(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => unix_ms.to_string(),
    }
}

fn lasted(ms: i64) -> String {
    let s = ms / 1000;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

fn json(mut out: impl Write, sessions: &Sessions<'_>) -> Result<(), Stopped> {
    let mut before = "[\n";
    sessions.each(|session| {
        out.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut out, &session).map_err(io::Error::from)?;
        before = ",\n";
        Ok(())
    })?;
    writeln!(out, "{}", if before == "[\n" { "[]" } else { "\n]" })?;
    Ok(out.flush()?)
}

const COLUMNS: [&str; 13] = [
    "session_id",
    "kind",
    "initiator",
    "started_ms",
    "ended_ms",
    "end_reason",
    "continues",
    "user",
    "endpoint",
    "joined_ms",
    "left_ms",
    "messages_sent",
    "leave_reason",
];

fn comma_separated(out: impl Write, sessions: &Sessions<'_>) -> Result<(), Stopped> {
    let mut lines = csv::Writer::from_writer(out);
    lines.write_record(COLUMNS)?;
    let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    sessions.each(|session| {
        let front = [
            session.id,
            session.kind,
            session.initiator,
            session.started_ms.to_string(),
            number(session.ended_ms),
            session.end_reason.unwrap_or_default(),
            session.continues.unwrap_or_default(),
        ];
        if session.participants.is_empty() {
            // A session without participants is a session all the same.
            lines.write_record(front.iter().chain(&<[String; 6]>::default()))?;
        }
        for each in session.participants {
            let back = [
                each.user,
                cell(&each.endpoint),
                each.joined_ms.to_string(),
                number(each.left_ms),
                number(each.messages_sent),
                each.leave_reason.unwrap_or_default(),
            ];
            lines.write_record(front.iter().chain(&back))?;
        }
        Ok(())
    })?;
    Ok(lines.flush()?)
}

/// What a terminal shows and does not obey.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// What a client calls itself, for a spreadsheet: no formula, whatever it begins with.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    format!("{}{}", if formula { "'" } else { "" }, plain(text))
}

/// What `--since` means, in Unix milliseconds.
fn since_ms(written: &str) -> Result<i64, &'static str> {
    moment_ms(written, &ZonedDateTime::now())
        .ok_or("write how long ago, such as 2h or 7d, or a time, such as 2026-11-23 or 2026-11-23T09:30:00Z")
}

fn moment_ms(written: &str, now: &ZonedDateTime) -> Option<i64> {
    let ago = written.trim();
    let ago = ago.strip_suffix("ago").unwrap_or(ago).trim();
    moment(ago, now, |now, span| now.checked_sub(span)).map(|at| at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_calls_itself_is_text_to_whoever_reads_it() {
        for (instance, expected) in [
            ("<urn:uuid:1>", "<urn:uuid:1>"),
            ("", ""),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1)", "'@SUM(1)"),
            ("a=b", "a=b"),
            ("\u{1b}]0;pwned\u{7}\u{9b}2J", "?]0;pwned??2J"),
        ] {
            assert_eq!(cell(instance), expected);
        }
    }

    #[test]
    fn times_as_people_write_them() {
        let now: ZonedDateTime = "2026-11-23T12:00:00[Europe/Berlin]".parse().unwrap();
        let noon = now.timestamp().as_millisecond();
        let hour = 3_600_000;
        for (written, expected) in [
            ("2h", Some(noon - 2 * hour)),
            ("90 minutes", Some(noon - hour * 3 / 2)),
            ("1h30m ago", Some(noon - hour * 3 / 2)),
            ("PT2H", Some(noon - 2 * hour)),
            ("7d", Some(noon - 7 * 24 * hour)),
            ("2026-11-23", Some(noon - 12 * hour)),
            ("2026-11-23T11:00", Some(noon - hour)),
            ("2026-11-23 11:00:00", Some(noon - hour)),
            ("2026-11-23T11:00:00Z", Some(noon)),
            ("2026-11-23T12:00:00+01:00", Some(noon)),
            ("yesterday", None),
            ("", None),
            ("h", None),
            ("2", None),
            ("-1h", None),
            ("2026-13-01", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(moment_ms(written, &now), expected, "{written}");
        }
    }
}
