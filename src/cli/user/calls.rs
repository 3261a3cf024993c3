//! `muster user calls`: forwarding, and who rings too.

use clap::{Subcommand, ValueEnum};

use super::{Whose, edit, note_if_nobody, print, standing};
use crate::calls::{AFTER_S, Field, RING_ALSO_MAX, RuleError, RuleFault, Rules};
use crate::cli::Failure;
use crate::config::Config;
use crate::sip::uri::Aor;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Print the rules, a line each
    Show(Whose),
    /// Send calls on to somebody
    Forward {
        #[command(flatten)]
        whose: Whose,
        /// Which calls
        #[arg(value_enum)]
        when: When,
        /// To whom
        #[arg(value_name = "TO", value_parser = crate::cli::address)]
        to: Aor,
        /// With no-answer: after how many seconds, 5 to 120
        #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = after_s)]
        after: u16,
    },
    /// Have somebody's endpoints ring too; at most 5
    RingAlso {
        #[command(flatten)]
        whose: Whose,
        /// Who
        #[arg(value_name = "WHO", value_parser = crate::cli::address)]
        who: Aor,
    },
    /// Take a rule away, or all of them
    Clear {
        #[command(flatten)]
        whose: Whose,
        /// Which
        #[arg(value_enum, default_value_t = What::All)]
        what: What,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::cli) enum When {
    /// Every call, at once
    Always,
    /// Those that come while the user is busy or does not want to be disturbed
    Busy,
    /// Those that nobody answers
    NoAnswer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::cli) enum What {
    Always,
    Busy,
    NoAnswer,
    RingAlso,
    All,
}

fn after_s(written: &str) -> Result<u16, String> {
    let after = written.parse().ok().filter(|s| AFTER_S.contains(s));
    after.ok_or_else(|| format!("write {} to {} seconds", AFTER_S.start(), AFTER_S.end()))
}

pub(super) fn calls(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show(whose) => {
            let rules = standing(config, &whose)?.rules;
            print(|out| {
                if let Some(to) = &rules.forward_always {
                    writeln!(out, "forward always\t{to}")?;
                }
                if let Some(to) = &rules.forward_busy {
                    writeln!(out, "forward busy\t{to}")?;
                }
                if let Some((to, after_s)) = &rules.forward_no_answer {
                    writeln!(out, "forward no-answer\t{to}\tafter {after_s} s")?;
                }
                for who in &rules.ring_also {
                    writeln!(out, "ring-also\t{who}")?;
                }
                Ok(())
            })
        }
        Command::Forward {
            whose,
            when,
            to,
            after,
        } => {
            let named = to.clone();
            rules(config, &whose, when.into(), |rules| match when {
                When::Always => rules.forward_always = Some(to),
                When::Busy => rules.forward_busy = Some(to),
                When::NoAnswer => rules.forward_no_answer = Some((to, after)),
            })?;
            note_if_nobody(config, &named)
        }
        Command::RingAlso { whose, who } => {
            let named = who.clone();
            rules(config, &whose, What::RingAlso, |rules| {
                rules.ring_also.push(who)
            })?;
            note_if_nobody(config, &named)
        }
        Command::Clear { whose, what } => rules(config, &whose, what, |rules| match what {
            What::Always => rules.forward_always = None,
            What::Busy => rules.forward_busy = None,
            What::NoAnswer => rules.forward_no_answer = None,
            What::RingAlso => rules.ring_also.clear(),
            What::All => *rules = Rules::default(),
        }),
    }
}

/// Changes the rules; `asked` is what of them. Those that contradict each other are refused.
fn rules(
    config: &Config,
    whose: &Whose,
    asked: What,
    change: impl FnOnce(&mut Rules),
) -> Result<(), Failure> {
    edit(config, whose, |standing| {
        let rules = &mut standing.rules;
        change(rules);
        let checked = rules.check(&whose.user);
        checked.map_err(|error| refusal(error, rules, asked, &whose.user))
    })
}

/// Why a command is refused, in its own words, and what mends it.
fn refusal(error: RuleError, rules: &Rules, asked: What, user: &Aor) -> String {
    let (field, also) = match error.field {
        Field::ForwardAlways => ("always", None),
        Field::ForwardBusy => ("busy", None),
        Field::ForwardNoAnswer => ("no-answer", None),
        Field::RingAlso(at) => ("ring-also", rules.ring_also.get(at)),
    };
    match (error.fault, also) {
        (RuleFault::ToOneself, None) => {
            format!("{field}: {user} can't forward to themself; name somebody else")
        }
        (RuleFault::ToOneself, Some(_)) => {
            format!("{field}: {user} rings anyway; name somebody else")
        }
        (RuleFault::BesideAlways, _) => {
            let clears = match asked {
                What::Always => field,
                _ => "always",
            };
            format!(
                "{field} never counts beside always, which takes every call; `muster user calls clear {user} {clears}` ends {clears}"
            )
        }
        (RuleFault::After, _) => {
            format!("{field}: {} to {} seconds", AFTER_S.start(), AFTER_S.end())
        }
        (RuleFault::Twice, Some(also)) => format!("{field}: {also} rings too already"),
        (RuleFault::Twice, None) => format!("{field}: that one rings too already"),
        (RuleFault::TooMany, _) => format!(
            "{field}: at most {RING_ALSO_MAX} ring too; `muster user calls clear {user} {field}` ends all of them"
        ),
    }
}

impl From<When> for What {
    fn from(when: When) -> What {
        match when {
            When::Always => What::Always,
            When::Busy => What::Busy,
            When::NoAnswer => What::NoAnswer,
        }
    }
}
