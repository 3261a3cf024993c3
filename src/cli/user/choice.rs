//! `muster user state` and `muster user note`: what a user has chosen to show.

use clap::Subcommand;
use jiff::{Timestamp, ZonedDateTime};

use super::{Whose, edit, print, standing};
use crate::cli::{Failure, moment};
use crate::config::Config;
use crate::presence::{Choice, ChoiceError, Manual, NoteKind};
use crate::sip::time::Now;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StateCommand {
    /// Print the chosen state, its words and its end
    Show(Whose),
    /// Choose a state
    Set {
        #[command(flatten)]
        whose: Whose,
        /// available, busy, do-not-disturb, urgent-only, be-right-back, away, off-work or appear-offline
        #[arg(value_parser = state_of)]
        state: Manual,
        /// When it falls back to what it would have been: how long from now (2h), or a time, such as 2026-11-23T17:30 or an RFC 3339 one
        #[arg(long, value_name = "T", value_parser = until)]
        until: Option<Now>,
        /// The user's own words for it, at most 64 characters
        #[arg(long, value_name = "TEXT")]
        custom: Option<String>,
    },
    /// Take the choice back: devices, calendar and calls decide again
    Reset(Whose),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum NoteCommand {
    /// Print the note
    Show(Whose),
    /// Write it
    Set {
        #[command(flatten)]
        whose: Whose,
        /// At most 500 characters
        text: String,
        /// It says why the user is away for days
        #[arg(long)]
        out_of_office: bool,
    },
    /// Wipe it
    Clear(Whose),
}

fn state_of(written: &str) -> Result<Manual, String> {
    Manual::parse(written).ok_or_else(|| {
        let names: Vec<&str> = Manual::ALL.iter().map(|state| state.name()).collect();
        format!("write one of {}", names.join(", "))
    })
}

fn until(written: &str) -> Result<Now, &'static str> {
    let now = ZonedDateTime::now();
    let at = moment(written, &now, |now, span| now.checked_add(span))
        .filter(|at| *at > now.timestamp())
        .ok_or("write how long from now, such as 2h or 30m, or a time to come, such as 2026-11-23T17:30")?;
    u64::try_from(at.as_microsecond())
        .map(Now)
        .map_err(|_| "write a time to come")
}

pub(super) fn state(config: &Config, command: StateCommand) -> Result<(), Failure> {
    match command {
        StateCommand::Show(whose) => {
            let choice = standing(config, &whose)?.choice.unwrap_or_default();
            print(|out| {
                let Some(state) = choice.state else {
                    return writeln!(out, "automatic");
                };
                write!(out, "{}", state.name())?;
                if let Some(custom) = &choice.custom {
                    write!(out, "\t{custom}")?;
                }
                let until = choice.until.map(|until| until.0 as i64);
                if let Some(Ok(until)) = until.map(Timestamp::from_microsecond) {
                    write!(out, "\tuntil {until}")?;
                }
                writeln!(out)
            })
        }
        StateCommand::Set {
            whose,
            state,
            until,
            custom,
        } => edit(config, &whose, |standing| {
            let choice = standing.choice.get_or_insert_default();
            choice.state = Some(state);
            choice.until = until;
            choice.custom = custom.map(Into::into);
            Ok::<(), ChoiceError>(())
        }),
        StateCommand::Reset(whose) => edit(config, &whose, |standing| {
            standing.choice = standing.choice.take().and_then(Choice::reset);
            Ok::<(), ChoiceError>(())
        }),
    }
}

pub(super) fn note(config: &Config, command: NoteCommand) -> Result<(), Failure> {
    match command {
        NoteCommand::Show(whose) => {
            let choice = standing(config, &whose)?.choice.unwrap_or_default();
            print(|out| match &choice.note {
                Some(note) => writeln!(out, "{}\t{note}", choice.note_kind.name()),
                None => Ok(()),
            })
        }
        NoteCommand::Set {
            whose,
            text,
            out_of_office,
        } => edit(config, &whose, |standing| {
            let choice = standing.choice.get_or_insert_default();
            choice.note = Some(text.into());
            choice.note_kind = match out_of_office {
                true => NoteKind::OutOfOffice,
                false => NoteKind::Personal,
            };
            Ok::<(), ChoiceError>(())
        }),
        NoteCommand::Clear(whose) => edit(config, &whose, |standing| {
            if let Some(choice) = &mut standing.choice {
                choice.note = None;
                choice.note_kind = NoteKind::default();
            }
            Ok::<(), ChoiceError>(())
        }),
    }
}
