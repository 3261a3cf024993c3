//! The command line: one file a command. Exit status 0 fine, 1 failed, 2 bad usage or bad config.

mod cdr;
mod certificate;
mod check;
mod demo;
mod serve;
mod user;

use core::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jiff::civil::DateTime;
use jiff::{Timestamp, ZonedDateTime};

use crate::sip::uri::Aor;

/// A Front End Server for instant messaging and presence.
#[derive(Debug, Parser)]
#[command(name = "muster", version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: ConfigFile,
}

/// Which config a command reads.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The config (TOML). Without one: the Standard Edition on loopback, in ./muster-data
    // An id of its own: `user import` has a FILE too, and of two arguments with one id the global one is not passed down.
    #[arg(id = "config", long = "config", value_name = "FILE", global = true)]
    file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server in the foreground until SIGTERM or SIGINT (the default command)
    Serve,
    /// Read the config and look at the host: one line a finding, each with its mend; exit 1 if `serve` would fail
    Check,
    /// Add, import, list and remove users, and change what is kept of them; a running server notices within a second
    User {
        #[command(subcommand)]
        command: user::Command,
    },
    /// Print call detail records: who talked with whom, and when; never what
    Cdr(cdr::Query),
}

/// Why a command ends without having done its work, with its exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    /// The world said no: exit status 1.
    fn failed(why: impl fmt::Display) -> Failure {
        Failure {
            status: 1,
            text: why.to_string(),
        }
    }

    /// What was typed can't be done: exit status 2.
    fn usage(why: impl fmt::Display) -> Failure {
        Failure {
            status: 2,
            text: why.to_string(),
        }
    }

    /// The config, or a file that it names, can't be used: exit status 2.
    fn config(why: impl fmt::Display) -> Failure {
        Failure::usage(why)
    }
}

/// Prints what `write` writes; a reader that has had enough is no failure.
fn print(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::failed(format!("cannot print: {error}"))),
    }
}

/// Says something on standard error; where nobody is left to hear it, that is no failure.
fn say(what: &dyn fmt::Display) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// An address of record as people write it.
fn address(written: &str) -> Result<Aor, &'static str> {
    Aor::parse(written).ok_or("write NAME@DOMAIN")
}

/// An instant, a date or time of this machine, or a time span (`2h`, `90 minutes`) that `apply` adds to now or takes from it.
fn moment(
    written: &str,
    now: &ZonedDateTime,
    apply: impl FnOnce(&ZonedDateTime, jiff::Span) -> Result<ZonedDateTime, jiff::Error>,
) -> Option<Timestamp> {
    let written = written.trim();
    if let Ok(instant) = written.parse::<Timestamp>() {
        return Some(instant);
    }
    if let Ok(local) = written.parse::<DateTime>() {
        let zoned = local.to_zoned_datetime(now.time_zone().clone()).ok()?;
        return Some(zoned.timestamp());
    }
    let span = written.parse::<jiff::Span>().ok();
    let span = span.filter(|span| !span.is_negative())?;
    Some(apply(now, span).ok()?.timestamp())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version go to standard output with status 0, the rest to standard error with 2.
            let status = if error.use_stderr() { 2 } else { 0 };
            // Where the terminal is gone nobody is left to tell.
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let file = line.config.file.as_deref();
    let done = match line.command {
        None | Some(Command::Serve) => serve::serve(file),
        Some(Command::Check) => check::check(file),
        Some(Command::User { command }) => user::user(file, command),
        Some(Command::Cdr(query)) => cdr::cdr(file, &query),
    };
    done.unwrap_or_else(|failure| {
        say(&format_args!("muster: {failure}"));
        ExitCode::from(failure.status)
    })
}
