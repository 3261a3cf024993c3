//! `muster user alerts` and `muster user messages`: whom a user waits for, and which voice messages wait for the user.

use clap::Subcommand;

use super::{Whose, edit, note_if_nobody, print, standing};
use crate::cli::Failure;
use crate::config::Config;
use crate::presence::Waiting;
use crate::shard::standing::ALERTS_MAX;
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
        Command::Add { whose, whom } => {
            edit(config, &whose, |standing| {
                add(&mut standing.alerts, &whose.user, &whom)
            })?;
            note_if_nobody(config, &whom)
        }
        Command::Remove { whose, whom } => edit(config, &whose, |standing| {
            let before = standing.alerts.len();
            standing.alerts.retain(|each| *each != whom);
            (standing.alerts.len() < before)
                .then_some(())
                .ok_or_else(|| format!("they do not wait for {whom}"))
        }),
    }
}

/// Whom somebody waits for is there once. Errors: why not, and what mends it.
fn add(alerts: &mut Vec<Aor>, user: &Aor, whom: &Aor) -> Result<(), String> {
    if whom == user {
        return Err(format!(
            "nobody waits for themself; name somebody else than {user}"
        ));
    }
    if alerts.contains(whom) {
        return Ok(());
    }
    if alerts.len() >= ALERTS_MAX {
        return Err(format!(
            "{user} waits for {ALERTS_MAX}, which is as many as may be; `muster user alerts remove {user} WHOM` makes room"
        ));
    }
    alerts.push(whom.clone());
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_alert_has_its_reason_and_its_cure() {
        let aor = |name: &str| Aor::parse(&format!("{name}@example.com")).expect("an address");
        let bob = aor("bob");
        let mut alerts: Vec<Aor> = (1..ALERTS_MAX).map(|n| aor(&format!("u{n}"))).collect();
        let mut step = |name: &str| match add(&mut alerts, &bob, &aor(name)) {
            Ok(()) => alerts.len().to_string(),
            Err(refusal) => refusal,
        };
        assert!(step("bob").starts_with("nobody waits for themself;"));
        assert_eq!(step("carol"), "100");
        assert_eq!(step("carol"), "100");
        assert!(
            step("dave").ends_with("`muster user alerts remove bob@example.com WHOM` makes room")
        );
    }
}
