//! `muster user home` and `muster user sign-out`: where a user registers, and the end of where they have.

use super::{Whose, edit};
use crate::cli::Failure;
use crate::config::Config;
use crate::registrar::Home;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HomeArgs {
    #[command(flatten)]
    whose: Whose,
    /// The other server, such as fe02.example.com or fe02.example.com:5061; without it the user's home is this one again
    #[arg(value_name = "HOST[:PORT]", value_parser = home_of)]
    home: Option<Home>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SignOutArgs {
    #[command(flatten)]
    whose: Whose,
}

fn home_of(written: &str) -> Result<Home, &'static str> {
    Home::parse(written).ok_or("write HOST or HOST:PORT, an IPv6 address in brackets")
}

pub(super) fn home(config: &Config, args: HomeArgs) -> Result<(), Failure> {
    edit(config, &args.whose, |standing| {
        standing.home = args.home;
        Ok::<(), String>(())
    })
}

pub(super) fn sign_out(config: &Config, args: &SignOutArgs) -> Result<(), Failure> {
    edit(config, &args.whose, |standing| {
        standing.sign_outs = standing.sign_outs.wrapping_add(1);
        Ok::<(), String>(())
    })
}
