//! The command line: what is asked for becomes a run, or an error that says what would be right.
//!
//! Exit status: 0 the run passed, 1 it failed, 2 it could not begin.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rustls::pki_types::ServerName;

use crate::account::Accounts;
use crate::compare::{Side, compare};
use crate::descriptors;
use crate::follow::Circle;
use crate::line::Route;
use crate::pace::Arrivals;
use crate::plan::{Parts, Rates};
use crate::run::{PerWhat, Wanted, conduct};
use crate::source::{SourceRange, check_addresses, source_range, sources};
use crate::tls;
use crate::user::{Customs, EXPIRES_S};
use crate::worker::Orders;

/// Simulated SIP clients over TLS: loads a server on this machine by a fixed schedule, and checks what arrives.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Pager messages (RFC 3428) at a fixed rate; every one is checked on arrival.
    Message {
        #[command(flatten)]
        common: Common,
        /// Users online.
        #[arg(long, default_value_t = 1000)]
        users: u32,
        /// The first so many users send; the others receive in turn. As many as users: all send to all.
        #[arg(long, default_value_t = 16)]
        senders: u32,
        /// Messages a second, all senders together.
        #[arg(long, default_value_t = 1000.0, value_parser = rate)]
        rate: f64,
        /// Size of a message's body in bytes.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=32_768))]
        body_bytes: u32,
    },
    /// Presence: publishers change their state at a fixed rate, and each of the watchers watches all of them.
    Presence {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value_t = 1)]
        publishers: u32,
        #[arg(long, default_value_t = 100)]
        watchers: u32,
        /// Changes a second, all publishers together.
        #[arg(long, default_value_t = 10.0, value_parser = rate)]
        rate: f64,
    },
    /// Users that log on and do nothing: memory of the server's processes for each of them.
    Idle {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value_t = 15_000)]
        users: u32,
        /// Logons a second, whatever the server does; absent: some at a time, as fast as it lets them.
        #[arg(long, value_parser = rate)]
        logon_rate: Option<f64>,
        /// Subscriptions to the contacts a second, once all are logged on; absent: as many as logons.
        #[arg(long, value_parser = rate)]
        follow_rate: Option<f64>,
        /// How long they stay, in place of --seconds; refreshes go on.
        #[arg(long, value_parser = rate)]
        hold: Option<f64>,
        /// Contacts that each user watches by one subscription to a list.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
        contacts: u32,
    },
    /// Full logons (TCP, TLS, challenge, REGISTER) at a fixed rate, each user once.
    Logon {
        #[command(flatten)]
        common: Common,
        /// Logons a second; for so many seconds, so there are rate x seconds users.
        #[arg(long, default_value_t = 100.0, value_parser = rate)]
        rate: f64,
    },
    /// Messages, presence and logons at the same time.
    Mixed {
        #[command(flatten)]
        common: Common,
        /// All users; the last ones are the watchers and those who come and go.
        #[arg(long, default_value_t = 1000)]
        users: u32,
        #[arg(long, default_value_t = 16)]
        senders: u32,
        #[arg(long, default_value_t = 4)]
        publishers: u32,
        #[arg(long, default_value_t = 100)]
        watchers: u32,
        /// Users who log on and off all the time.
        #[arg(long, default_value_t = 100)]
        comers: u32,
        #[arg(long, default_value_t = 500.0, value_parser = rate)]
        message_rate: f64,
        #[arg(long, default_value_t = 4.0, value_parser = rate)]
        publish_rate: f64,
        #[arg(long, default_value_t = 10.0, value_parser = rate)]
        logon_rate: f64,
    },
    /// Writes the accounts as CSV for `muster user import`.
    Users {
        #[command(flatten)]
        people: People,
        #[arg(long)]
        count: u32,
        /// The file, readable for its owner only; absent: standard output.
        #[arg(long)]
        csv: Option<PathBuf>,
    },
    /// People who use the server as a user model says, for long, and storms; every message is checked.
    Soak(Box<crate::soak::SoakArguments>),
    /// Prints the built-in user model (Lync 2013) of `soak`.
    Model,
    /// Puts the reports of two servers side by side, with what issue 5 asks for (NAME=FOLDER with message.json, message-high.json,
    /// presence.json, idle.json, logon.json, logon-resumed.json, half.json, celebrity.json; LOAD.2.json … are further runs).
    Compare {
        /// NAME=FOLDER
        ours: String,
        /// NAME=FOLDER
        theirs: String,
    },
}

#[derive(Args)]
pub struct People {
    /// The SIP domain of the users.
    #[arg(long, default_value = "example.com")]
    domain: String,
    /// What their names begin with; a number from 0 follows.
    #[arg(long, default_value = "lg")]
    prefix: String,
    /// Their password; {user} stands for the name.
    #[arg(long, default_value = "pw-{user}", conflicts_with = "password_file")]
    password: String,
    /// A file whose first line is the password, {user} as above.
    #[arg(long)]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct Common {
    /// The server's TLS port; must be on loopback.
    #[arg(long, default_value = "127.0.0.1:5061")]
    server: SocketAddr,
    #[command(flatten)]
    people: People,
    /// The server's process: its CPU time and memory are measured, its descendants' too.
    #[arg(long)]
    pid: Option<u32>,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    seconds: f64,
    /// How long to run the same load before, unmeasured.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Quiet seconds before the server's memory is read.
    #[arg(long, default_value_t = 3.0)]
    settle: f64,
    /// Independent arrivals instead of even gaps.
    #[arg(long)]
    poisson: bool,
    /// Seed of those arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds after which a request counts as not answered.
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    timeout: f64,
    /// Requests of one user that may wait for an answer at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    window: u32,
    /// Threads of the generator; more where a table of descriptors doesn't hold all users: then each thread has its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// CPUs for the generator's threads, e.g. 1 or 0,1; each thread is kept to one.
    #[arg(long, value_delimiter = ',')]
    cpu: Vec<usize>,
    /// Who connects resumes an earlier connection's TLS session, if there is one.
    #[arg(long)]
    resume: bool,
    /// Source addresses, e.g. 127.0.1.0/28; may be given more than once. One address has about 28,000 ports. Absent: the
    /// kernel's choice, or enough of 127.1.0.0/24 for very many users.
    #[arg(long, value_parser = source_range)]
    source: Vec<SourceRange>,
    /// Also writes the report as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The longest run: nothing that a server granted for the lifetime asked for ends during it.
const SECONDS_MAX: f64 = EXPIRES_S as f64 / 2.0;
/// Users that only stay refresh what they were granted.
const HOLD_S_MAX: f64 = 7.0 * 86_400.0;
const OPERATIONS_MAX: f64 = 1e8;
const USERS_MAX: u32 = 2_000_000;
const BEGINNING_MAX: usize = 64;
const BEGINNING_MIN: usize = 8;

pub fn main() -> ExitCode {
    match begin(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Where nobody is left to hear it, the status says it.
            let _ = writeln!(io::stderr(), "loadgen: {error}");
            ExitCode::from(2)
        }
    }
}

/// Says whether it passed.
fn begin(command: Command) -> Result<bool, String> {
    match command {
        Command::Users { people, count, csv } => {
            write_users(&people, count, csv.as_deref()).map(|()| true)
        }
        Command::Compare { ours, theirs } => {
            let (table, passed) = compare(&side(&ours)?, &side(&theirs)?)?;
            print(&table)?;
            Ok(passed)
        }
        Command::Soak(arguments) => {
            let (table, passed) = arguments.run()?;
            print(&table)?;
            Ok(passed)
        }
        Command::Model => print(crate::soak::MODEL).map(|()| true),
        command => {
            let (common, wanted) = wanted(command)?;
            let report = conduct(&wanted)?;
            print(&report.table())?;
            if let Some(path) = &common.json {
                let text =
                    serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
                fs::write(path, text + "\n")
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
            Ok(report.passed())
        }
    }
}

/// The load that each command stands for.
fn wanted(command: Command) -> Result<(Common, Wanted), String> {
    let mut parts = Parts::default();
    let mut rates = Rates::default();
    let mut body_bytes = 100;
    let mut begin_rates = (None, None);
    let mut contacts = 0;
    let mut seconds_max = SECONDS_MAX;
    let (common, name, per_what, load) = match command {
        Command::Message {
            common,
            users,
            senders,
            rate,
            body_bytes: bytes,
        } => {
            let all_send = senders == users;
            parts = Parts {
                users,
                senders: 0..senders,
                ..parts
            };
            parts.receivers = if all_send {
                0..users
            } else {
                senders.min(users)..users
            };
            rates.message = rate;
            body_bytes = bytes;
            (
                common,
                "message",
                PerWhat::Delivered,
                format!("{users} users, {senders} senders, {rate} messages/s"),
            )
        }
        Command::Presence {
            common,
            publishers,
            watchers,
            rate,
        } => {
            let users = publishers.saturating_add(watchers);
            parts = Parts {
                users,
                publishers: 0..publishers,
                watchers: publishers..users,
                ..parts
            };
            rates.publish = rate;
            let load =
                format!("{publishers} publishers, {watchers} watchers of each, {rate} changes/s");
            (common, "presence", PerWhat::Notified, load)
        }
        Command::Idle {
            mut common,
            users,
            logon_rate,
            follow_rate,
            hold,
            contacts: contacts_each,
        } => {
            parts.users = users;
            begin_rates = (logon_rate, follow_rate.or(logon_rate));
            contacts = contacts_each;
            common.seconds = hold.unwrap_or(common.seconds);
            seconds_max = HOLD_S_MAX;
            let mut load = format!("{users} users");
            if let Some(rate) = logon_rate {
                load.push_str(&format!(", {rate} logons/s"));
            }
            if contacts > 0 {
                load.push_str(&format!(", {contacts} contacts each"));
                if let Some(rate) = begin_rates.1 {
                    load.push_str(&format!(", {rate} subscriptions/s"));
                }
            }
            (common, "idle", PerWhat::Nothing, load)
        }
        Command::Logon { common, rate } => {
            let users = (rate * common.seconds).round() as u32;
            parts = Parts {
                users,
                comers: 0..users,
                ..parts
            };
            rates.logon = rate;
            (
                common,
                "logon",
                PerWhat::LogOn,
                format!("{users} users, {rate} logons/s"),
            )
        }
        Command::Mixed {
            common,
            users,
            senders,
            publishers,
            watchers,
            comers,
            message_rate,
            publish_rate,
            logon_rate,
        } => {
            let residents = users.saturating_sub(comers);
            parts = Parts {
                users,
                senders: 0..senders,
                receivers: senders.min(residents)..residents,
                publishers: 0..publishers,
                watchers: residents.saturating_sub(watchers).max(publishers)..residents,
                comers: residents..users,
            };
            rates = Rates {
                message: message_rate,
                publish: publish_rate,
                logon: logon_rate,
            };
            let load = format!(
                "{users} users, {senders} senders {message_rate} messages/s, {publishers} publishers {publish_rate} \
                 changes/s with {} watchers, {comers} comers {logon_rate} logons/s",
                parts.watchers.len()
            );
            (common, "mixed", PerWhat::Operation, load)
        }
        Command::Users { .. } | Command::Compare { .. } | Command::Soak(_) | Command::Model => {
            unreachable!("no load; `begin` has dealt with them")
        }
    };
    check(&common, &parts, rates, seconds_max)?;
    if contacts >= parts.users {
        return Err("a user has fewer contacts than there are users".into());
    }
    let mut orders = orders(&common, parts, rates, body_bytes)?;
    (orders.logon_rate, orders.follow_rate) = begin_rates;
    orders.customs.circle.contacts = contacts;
    let asked = format!("{load}, {} s", common.seconds);
    let wanted = Wanted {
        command: name,
        asked,
        orders,
        pid: common.pid,
        per_what,
        settle_s: common.settle,
    };
    Ok((common, wanted))
}

fn check(common: &Common, parts: &Parts, rates: Rates, seconds_max: f64) -> Result<(), String> {
    let ranges = [
        &parts.receivers,
        &parts.publishers,
        &parts.watchers,
        &parts.comers,
        &parts.senders,
    ];
    let fits = ranges
        .iter()
        .all(|range| range.start <= range.end && range.end <= parts.users);
    let nobody_talks = parts.senders.is_empty() || parts.receivers.is_empty() || parts.users < 2;
    let nobody = (rates.message > 0.0 && nobody_talks)
        || (rates.publish > 0.0 && (parts.publishers.is_empty() || parts.watchers.is_empty()))
        || (rates.logon > 0.0 && parts.comers.is_empty())
        || parts.users == 0;
    if !fits || nobody {
        return Err(
            "too few users for the parts they are to play (or a part with nobody in it)".into(),
        );
    }
    if parts.users > USERS_MAX {
        return Err(format!("at most {USERS_MAX} users"));
    }
    if common.seconds > seconds_max || !(0.0..=SECONDS_MAX).contains(&common.warm_up) {
        return Err(format!(
            "a run lasts {seconds_max} s at most (one that does something: {SECONDS_MAX} s, as it refreshes no subscriptions)"
        ));
    }
    if !(0.0..=600.0).contains(&common.settle) || common.timeout > 600.0 {
        return Err("--settle and --timeout are 600 s at most".into());
    }
    if (rates.message + rates.publish + rates.logon) * (common.seconds + common.warm_up)
        > OPERATIONS_MAX
    {
        return Err(format!(
            "more than {OPERATIONS_MAX:e} operations in one run"
        ));
    }
    check_addresses(common.server, &common.source)
}

fn orders(common: &Common, parts: Parts, rates: Rates, body_bytes: u32) -> Result<Orders, String> {
    let accounts = accounts(&common.people)?;
    let server_name = ServerName::try_from(accounts.domain.clone())
        .map_err(|_| format!("{:?} is no domain name", accounts.domain))?;
    let tls = match common.resume {
        true => tls::resuming_settings(),
        false => tls::settings(),
    };
    let tls = tls.map_err(|error| format!("TLS: {error}"))?;
    let (threads, own_tables) = descriptors::room(parts.users, common.threads)?;
    let run = getrandom::u32().map_err(|error| format!("no random number: {error}"))?;
    let sources = sources(common.server, &common.source, parts.users);
    Ok(Orders {
        customs: Customs {
            accounts,
            circle: Circle {
                users: parts.users,
                contacts: 0,
            },
            run,
            body_bytes: body_bytes as usize,
            window: common.window as usize,
            timeout_us: (common.timeout * 1e6) as u64,
        },
        route: Route {
            server: common.server,
            server_name,
            tls,
            sources,
        },
        parts,
        rates,
        warm_up_s: common.warm_up,
        measure_s: common.seconds,
        arrivals: if common.poisson {
            Arrivals::Poisson { seed: common.seed }
        } else {
            Arrivals::Even
        },
        threads,
        own_tables,
        cpus: common.cpu.clone(),
        logon_rate: None,
        follow_rate: None,
        beginning_max: (BEGINNING_MAX / threads as usize).max(BEGINNING_MIN),
    })
}

/// Where the connections of a soak lead to: `resuming` ones ask for an earlier session's keys.
pub fn route(
    server: SocketAddr,
    people: &People,
    source: &[SourceRange],
    connections: u32,
    resuming: bool,
) -> Result<Route, String> {
    check_addresses(server, source)?;
    let tls = if resuming {
        tls::resuming_settings()
    } else {
        tls::settings()
    };
    Ok(Route {
        server,
        server_name: ServerName::try_from(people.domain.clone())
            .map_err(|_| format!("{:?} is no domain name", people.domain))?,
        tls: tls.map_err(|error| format!("TLS: {error}"))?,
        sources: sources(server, source, connections),
    })
}

pub fn accounts(people: &People) -> Result<Accounts, String> {
    let password_pattern = match &people.password_file {
        None => people.password.clone(),
        Some(path) => {
            let text =
                fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            text.lines().next().unwrap_or_default().to_string()
        }
    };
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !is_plain(&people.prefix) || !is_plain(&people.domain) || people.domain.is_empty() {
        return Err("--prefix and --domain are made of letters, digits, '-', '_' and '.'".into());
    }
    Ok(Accounts {
        domain: people.domain.clone(),
        prefix: people.prefix.clone(),
        password_pattern,
    })
}

fn write_users(people: &People, count: u32, csv: Option<&Path>) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt;
    let accounts = accounts(people)?;
    match csv {
        None => accounts
            .write_csv(count, io::stdout().lock())
            .map_err(|error| error.to_string()),
        Some(path) => {
            let mut options = fs::OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path);
            file.and_then(|file| accounts.write_csv(count, io::BufWriter::new(file)))
                .map_err(|error| format!("{}: {error}", path.display()))
        }
    }
}

fn print(text: &str) -> Result<(), String> {
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|error| format!("standard output: {error}"))
}

fn side(argument: &str) -> Result<Side<'_>, String> {
    let (name, folder) = argument
        .split_once('=')
        .ok_or_else(|| format!("{argument:?} is not NAME=FOLDER"))?;
    Ok(Side {
        name,
        folder: Path::new(folder),
    })
}

pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e7 => Ok(rate),
        _ => Err("a number above 0".into()),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn parsed(arguments: &str) -> Result<(Common, Wanted), String> {
        let line = std::iter::once("loadgen").chain(arguments.split_whitespace());
        wanted(
            Cli::try_parse_from(line)
                .map_err(|error| error.to_string())?
                .command,
        )
    }

    #[test]
    fn what_cannot_work_is_refused_before_it_begins() {
        for (arguments, part_of_error) in [
            ("message --server 192.0.2.1:5061", "not on loopback"),
            ("message --source 10.0.0.0/28", "loopback too"),
            ("message --users 10 --senders 11", "too few users"),
            ("message --users 1 --senders 1", "too few users"),
            ("presence --watchers 0", "too few users"),
            ("mixed --users 100 --comers 101", "too few users"),
            ("idle --users 40 --contacts 40", "fewer contacts"),
            ("idle --users 9 --hold 1e6", "at most"),
            ("message --rate 0", "above 0"),
            ("message --seconds 99999", "at most"),
            ("message --rate 1e7 --seconds 100", "operations"),
            ("message --domain a@b", "made of"),
        ] {
            let error = parsed(arguments)
                .err()
                .unwrap_or_else(|| panic!("{arguments} was accepted"));
            assert!(error.contains(part_of_error), "{arguments}: {error}");
        }
    }

    #[test]
    fn the_commands_of_the_readme_are_understood() {
        for arguments in [
            "message --server 127.0.0.1:5061 --domain example.com --users 1000 --senders 16 --rate 2000 --seconds 10",
            "message --users 10 --senders 10 --poisson --seed 4 --source 127.0.1.0/28 --source 127.0.9.1",
            "presence --publishers 1 --watchers 100 --rate 5",
            "idle --users 500",
            "idle --users 500 --logon-rate 100 --follow-rate 50 --hold 7200 --contacts 40 --cpu 0,1 --resume",
            "logon --rate 20 --seconds 2",
            "mixed --users 300",
        ] {
            if let Err(error) = parsed(arguments) {
                panic!("{arguments}: {error}");
            }
        }
        for (arguments, rates) in [
            ("--logon-rate 100", (Some(100.0), Some(100.0))),
            (
                "--logon-rate 100 --follow-rate 50",
                (Some(100.0), Some(50.0)),
            ),
            ("", (None, None)),
        ] {
            let (_, wanted) =
                parsed(&format!("idle --users 500 --contacts 40 {arguments}")).unwrap();
            let orders = wanted.orders;
            assert_eq!(
                (orders.logon_rate, orders.follow_rate),
                rates,
                "{arguments}"
            );
        }
        let (_, wanted) = parsed("logon --rate 20 --seconds 2").unwrap();
        assert_eq!(
            (wanted.orders.parts.users, wanted.orders.parts.comers),
            (40, 0..40)
        );
    }
}
