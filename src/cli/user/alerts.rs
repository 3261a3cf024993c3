//! `muster user alerts` and `muster user messages`: whom a user waits for, and which voice messages wait for the user.

use clap::Subcommand;

use super::{Whose, edit, print, standing};
use crate::cli::Failure;
use crate::config::Config;
use crate::presence::Waiting;
use crate::sip::uri::Aor;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Print whom the user waits for
    List(Whose),
    /// Tell the user by a message when somebody is available; at most 100 at a time
    Add {
        #[command(flatten)]
        whose: Whose,
        /// When who is available
        #[arg(value_name = "WHOM", value_parser = crate::cli::address)]
        whom: Aor,
    },
    /// Wait no longer
    Remove {
        #[command(flatten)]
        whose: Whose,
        /// For whom
        #[arg(value_name = "WHOM", value_parser = crate::cli::address)]
        whom: Aor,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MessagesCommand {
    /// Print the counts
    Show(Whose),
    /// Set the counts, as the mailbox has them
    Set {
        #[command(flatten)]
        whose: Whose,
        /// Not heard yet
        #[arg(long, value_name = "N")]
        new: u32,
        /// Heard and kept
        #[arg(long, value_name = "N", default_value_t = 0)]
        old: u32,
        /// Of the new ones, urgent
        #[arg(long, value_name = "N", default_value_t = 0)]
        urgent_new: u32,
        /// Of the old ones, urgent
        #[arg(long, value_name = "N", default_value_t = 0)]
        urgent_old: u32,
    },
}

pub(super) fn alerts(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(whose) => {
            let alerts = standing(config, &whose)?.alerts;
            print(|out| alerts.iter().try_for_each(|whom| writeln!(out, "{whom}")))
        }
        Command::Add { whose, whom } => edit(config, &whose, |standing| {
            if !standing.alerts.contains(&whom) {
                standing.alerts.push(whom);
            }
            Ok::<(), String>(())
        }),
        Command::Remove { whose, whom } => edit(config, &whose, |standing| {
            let before = standing.alerts.len();
            standing.alerts.retain(|each| *each != whom);
            (standing.alerts.len() < before)
                .then_some(())
                .ok_or_else(|| format!("they do not wait for {whom}"))
        }),
    }
}

pub(super) fn messages(config: &Config, command: MessagesCommand) -> Result<(), Failure> {
    match command {
        MessagesCommand::Show(whose) => {
            let waiting = standing(config, &whose)?.waiting;
            print(|out| {
                writeln!(out, "new\t{}\turgent {}", waiting.new, waiting.urgent_new)?;
                writeln!(out, "old\t{}\turgent {}", waiting.old, waiting.urgent_old)
            })
        }
        MessagesCommand::Set {
            whose,
            new,
            old,
            urgent_new,
            urgent_old,
        } => edit(config, &whose, |standing| {
            standing.waiting = Waiting {
                new,
                old,
                urgent_new,
                urgent_old,
            };
            Ok::<(), String>(())
        }),
    }
}
