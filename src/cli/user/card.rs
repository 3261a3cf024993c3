//! `muster user card`: phones, title, company, office, mail.

use clap::Subcommand;

use super::{Whose, edit, print, standing};
use crate::cli::Failure;
use crate::config::Config;
use crate::presence::{CardError, CardLine};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Print the card, a line each
    Show(Whose),
    /// Write a line of it
    Set {
        #[command(flatten)]
        whose: Whose,
        /// work-phone, mobile-phone, home-phone, other-phone, title, company, office or mail
        #[arg(value_parser = line)]
        line: CardLine,
        /// What it says
        text: String,
    },
    /// Wipe a line of it
    Clear {
        #[command(flatten)]
        whose: Whose,
        /// Which
        #[arg(value_parser = line)]
        line: CardLine,
    },
}

fn line(written: &str) -> Result<CardLine, String> {
    CardLine::parse(written).ok_or_else(|| {
        let names: Vec<&str> = CardLine::ALL.iter().map(|line| line.name()).collect();
        format!("write one of {}", names.join(", "))
    })
}

pub(super) fn card(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show(whose) => {
            let card = standing(config, &whose)?.card;
            print(|out| {
                for (line, text) in card.lines() {
                    writeln!(out, "{}\t{text}", line.name())?;
                }
                Ok(())
            })
        }
        Command::Set { whose, line, text } => edit(config, &whose, |standing| {
            standing.card.set(line, Some(&text)).map(|_| ())
        }),
        Command::Clear { whose, line } => edit(config, &whose, |standing| {
            standing.card.set(line, None).map(|_| ())?;
            Ok::<(), CardError>(())
        }),
    }
}
