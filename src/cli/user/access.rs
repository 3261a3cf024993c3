//! `muster user access`: who sees how much of a user.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Whose, edit, print, read_json, standing};
use crate::cli::Failure;
use crate::config::Config;
use crate::presence::{Access, AccessError, Level, Member};

/// A thousand rules take less.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a level is, for `--help`.
const LEVELS: &str = "\
Levels, from the most to the least:
  friends-and-family  everything: home phone too; may interrupt do not disturb
  workgroup           mobile phone, place, time zone, meeting subject, last active; may interrupt do not disturb
  colleagues          note, own words for the state, calendar (busy or not, until when), work phone, mail
  external            available, busy, away … and nothing else
  blocked             somebody who is offline; can neither write nor call, and is not told why
Each sees what those below it see too.
Without a rule, people of this server's domains are colleagues, and all others external.
The most specific rule wins: a user, a domain, same-organisation, federated, public-cloud, everyone.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Print the rules, a line each, and whether privacy is on
    #[command(after_help = LEVELS)]
    List(Whose),
    /// Give somebody a level
    #[command(after_help = LEVELS)]
    Set {
        #[command(flatten)]
        whose: Whose,
        /// Whom: NAME@DOMAIN, a domain, same-organisation, federated (other organisations), public-cloud or everyone
        #[arg(value_parser = member)]
        member: Member,
        /// friends-and-family, workgroup, colleagues, external or blocked
        #[arg(value_parser = level)]
        level: Level,
    },
    /// Take a rule away
    Unset {
        #[command(flatten)]
        whose: Whose,
        /// Whose rule
        #[arg(value_parser = member)]
        member: Member,
    },
    /// Privacy mode: on, and only contacts and those named in rules of their own see anything
    Privacy {
        #[command(flatten)]
        whose: Whose,
        /// On or off
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Print all rules as JSON, as `import` takes them
    Export(Whose),
    /// Put the rules of a JSON file in the place of the present ones, or change nothing
    #[command(after_help = LEVELS)]
    Import {
        #[command(flatten)]
        whose: Whose,
        /// The file: {"privacy": false, "rules": [{"member": "bob@example.com", "level": "workgroup"}]}; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::cli) enum Switch {
    On,
    Off,
}

/// The rules as JSON has them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    privacy: bool,
    rules: Vec<WrittenRule>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    member: Box<str>,
    level: Box<str>,
}

const MEMBER: &str = "write NAME@DOMAIN, a domain such as example.org, same-organisation, federated, public-cloud or everyone";
const LEVEL: &str = "write friends-and-family, workgroup, colleagues, external or blocked";

fn member(written: &str) -> Result<Member, &'static str> {
    Member::parse(written).ok_or(MEMBER)
}

fn level(written: &str) -> Result<Level, &'static str> {
    Level::parse(written).ok_or(LEVEL)
}

pub(super) fn access(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(whose) => {
            let access = standing(config, &whose)?.access;
            print(|out| {
                for (member, level) in access.members() {
                    writeln!(out, "{member}\t{level}")?;
                }
                let privacy = if access.privacy { "on" } else { "off" };
                writeln!(out, "privacy\t{privacy}")
            })
        }
        Command::Set {
            whose,
            member,
            level,
        } => edit(config, &whose, |standing| {
            standing.access.set(member, level).map(|_| ())
        }),
        Command::Unset { whose, member } => edit(config, &whose, |standing| {
            let there = standing.access.unset(&member);
            there
                .then_some(())
                .ok_or_else(|| format!("there is no rule for {member}"))
        }),
        Command::Privacy { whose, switch } => edit(config, &whose, |standing| {
            standing.access.privacy = switch == Switch::On;
            Ok::<(), AccessError>(())
        }),
        Command::Export(whose) => {
            let written = written(&standing(config, &whose)?.access);
            print(|out| {
                serde_json::to_writer_pretty(&mut *out, &written)?;
                writeln!(out)
            })
        }
        Command::Import { whose, file } => {
            let written: Written = read_json(&file, FILE_BYTES_MAX)?;
            edit(config, &whose, |standing| {
                standing.access = read(&written)?;
                Ok::<(), String>(())
            })
        }
    }
}

fn written(access: &Access) -> Written {
    let rule = |(member, level): &(Member, Level)| WrittenRule {
        member: member.to_string().into(),
        level: level.name().into(),
    };
    Written {
        privacy: access.privacy,
        rules: access.members().iter().map(rule).collect(),
    }
}

/// The rules, or which entry is wrong and what would be right.
fn read(written: &Written) -> Result<Access, String> {
    let mut rules = Vec::with_capacity(written.rules.len());
    for (at, rule) in written.rules.iter().enumerate() {
        let member = member(&rule.member)
            .map_err(|right| format!("rules[{at}].member {:?}: {right}", rule.member))?;
        let level = level(&rule.level)
            .map_err(|right| format!("rules[{at}].level {:?}: {right}", rule.level))?;
        rules.push((member, level));
    }
    Access::new(rules, written.privacy).map_err(|error| format!("rules: {error} (counted from 0)"))
}
