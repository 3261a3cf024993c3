//! The command line of `loadgen soak`: what is asked for becomes a run; its files are written here.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::client::World;
use super::conduct::{Wanted, conduct};
use super::graph::Graph;
use super::model::{Act, Kind, Model, Scale};
use super::planner::{Brief, Seats};
use super::plot;
use super::published::Published;
use super::report::{Report, write_log};
use super::sight::Histograms;
use super::worker::Orders;
use crate::cli::{People, accounts, rate, route};
use crate::clock::now_us;
use crate::descriptors::room;
use crate::source::{SourceRange, source_range};
use crate::tls::paired_settings;

#[derive(Args)]
pub struct SoakArguments {
    /// The server's TLS port; must be on loopback.
    #[arg(long, default_value = "127.0.0.1:5061")]
    server: SocketAddr,
    #[command(flatten)]
    people: People,
    /// The server's process: its CPU time and memory are measured, its descendants' too.
    #[arg(long)]
    pid: Option<u32>,
    /// A user model (TOML) that replaces parts of the built-in one (`loadgen model`).
    #[arg(long)]
    model: Option<PathBuf>,
    /// Users; each has as many endpoints as the model says.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    users: u32,
    /// Real seconds of the load after everybody has logged on.
    #[arg(long, default_value_t = 3600.0, value_parser = rate)]
    duration: f64,
    /// So many times the model's load.
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    times: f64,
    /// An hour of the model takes an hour divided by this.
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    compress: f64,
    /// Real seconds within which everybody logs on; absent: the model's time, compressed.
    #[arg(long, value_parser = rate)]
    ramp: Option<f64>,
    /// Real seconds of load before memory and CPU are judged; absent: the longest that anything of the model takes, half of the duration at most.
    #[arg(long)]
    warm_up: Option<f64>,
    /// KIND@SECONDS[/WITHIN[/SHARE]], from the start of the run; KIND is logon-storm, crash, crash-resumed, sign-out or meeting-end. May be given more than once.
    #[arg(long, value_parser = Act::read)]
    act: Vec<Act>,
    /// Seed of the graph and the plan.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server's memory may grow by less than so many per cent after warm-up. Needs --pid. Absent: 1 for a run of 10 minutes or more without acts, with --pid; else growth is told, not judged.
    #[arg(long)]
    growth_max: Option<f64>,
    /// Seconds after which a request counts as not answered.
    #[arg(long, default_value_t = 32.0, value_parser = rate)]
    timeout: f64,
    /// Threads of the generator; more where a table of descriptors doesn't hold all endpoints: then each thread has its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Cores that the threads are pinned to, in turn, e.g. 1 or 2,3.
    #[arg(long, value_delimiter = ',')]
    cpu: Vec<usize>,
    /// Source addresses, e.g. 127.0.1.0/28; may be given more than once. One address has about 28,000 ports. Absent: the kernel's choice, or enough of 127.1.0.0/24 for very many endpoints.
    #[arg(long, value_parser = source_range)]
    source: Vec<SourceRange>,
    /// A folder for report.json, latencies.hlog and soak.svg; made if need be.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// A week: session numbers and the plot would bear more.
const SECONDS_MAX: f64 = 7.0 * 86_400.0;
/// Intervals of the plot, at most about so many.
const INTERVALS: f64 = 400.0;
const JUDGED_S: f64 = 600.0;
const GROWTH_MAX: f64 = 1.0;
/// Threads start before the plan does.
const LEAD_US: u64 = 300_000;

impl SoakArguments {
    /// Carries it out, prints the table, writes the files. Says whether it passed.
    pub fn run(&self) -> Result<(String, bool), String> {
        let wanted = self.wanted()?;
        if let Some(folder) = &self.out {
            // Found out now, not after an hour.
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        stop_at_signals(&wanted.stop).map_err(|error| format!("signals: {error}"))?;
        let (report, intervals) = conduct(&wanted)?;
        let mut table = report.table();
        if let Some(folder) = &self.out {
            write_files(folder, &report, &intervals, wanted.orders.interval_us)?;
            table.push_str(&format!(
                "files         {}: report.json, latencies.hlog, soak.svg\n",
                folder.display()
            ));
        }
        Ok((table, report.passed()))
    }

    /// The run that is asked for.
    pub(super) fn wanted(&self) -> Result<Wanted, String> {
        let text = match &self.model {
            None => String::new(),
            Some(path) => {
                fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        let mut model = Model::read(&text)?;
        model.acts.extend(self.act.iter().cloned());
        model.check()?;
        let scale = Scale {
            times: self.times,
            compress: self.compress,
        };
        let ramp_us = self
            .ramp
            .map_or(scale.us(model.logon.within_min * 60.0), |s| {
                (s * 1e6) as u64
            });
        let end_us = ramp_us + (self.duration * 1e6) as u64;
        if end_us as f64 > SECONDS_MAX * 1e6 {
            return Err(format!(
                "logons ({:.0} s) and duration together are a week at most (--ramp or --compress make the logons faster)",
                ramp_us as f64 / 1e6
            ));
        }
        let longest_s = [
            model.conference.minutes * 60.0,
            model.presence.short_subscription_min * 60.0,
            model.im.gap_s * f64::from(model.im.messages) * 1.5,
        ]
        .into_iter()
        .fold(0.0, f64::max);
        let warm_s = self
            .warm_up
            .unwrap_or((longest_s / self.compress).min(self.duration / 2.0));
        if !(0.0..self.duration).contains(&warm_s) {
            return Err("--warm-up is shorter than --duration".into());
        }
        if self.growth_max.is_some() && self.pid.is_none() {
            return Err(
                "--growth-max needs --pid: the server's process, whose memory is judged".into(),
            );
        }
        let warm_us = ramp_us + (warm_s * 1e6) as u64;
        let is_long = self.duration - warm_s >= JUDGED_S && model.acts.is_empty();
        let seats = Seats::new(self.users, model.users.endpoints);
        let mut routes = [
            route(self.server, &self.people, &self.source, seats.seats, false)?,
            route(self.server, &self.people, &self.source, seats.seats, true)?,
        ];
        if model.acts.iter().any(|act| act.kind == Kind::CrashResumed) {
            // Many are to resume at once: each who logs on before puts a ticket by for them.
            let paired = paired_settings().map_err(|error| format!("TLS: {error}"))?;
            for (route, tls) in routes.iter_mut().zip(paired) {
                route.tls = tls;
            }
        }
        let (threads, own_tables) = room(seats.seats, self.threads)?;
        let acts: Vec<String> = model
            .acts
            .iter()
            .map(|act| format!("{} at {} s", act.kind.label(), act.at_s))
            .collect();
        let asked = format!(
            "{} users with {} endpoints, model x{} compressed {} times, logons within {:.0} s, then {} s{}{}",
            self.users,
            seats.seats,
            self.times,
            self.compress,
            ramp_us as f64 / 1e6,
            self.duration,
            if acts.is_empty() { "" } else { "; " },
            acts.join(", ")
        );
        Ok(Wanted {
            asked,
            pid: self.pid,
            warm_us,
            // Without a process nothing is judged that nobody asked for; the table says so.
            growth_max: self
                .growth_max
                .or((is_long && self.pid.is_some()).then_some(GROWTH_MAX)),
            stop: Arc::default(),
            orders: Orders {
                world: World {
                    accounts: accounts(&self.people)?,
                    run: getrandom::u32().map_err(|error| format!("no random number: {error}"))?,
                    seed: self.seed,
                    seats,
                    graph: Graph::new(&model, self.users, self.seed),
                    published: Published::new(self.users),
                    message_bytes: model.im.message_bytes,
                    publication_bytes: model.presence.publication_bytes,
                    poll_batch: model.presence.poll_batch,
                    timeout_us: (self.timeout * 1e6) as u64,
                },
                brief: Brief {
                    model,
                    scale,
                    users: self.users,
                    seed: self.seed,
                    ramp_us,
                    end_us,
                },
                routes,
                threads,
                own_tables,
                cpus: self.cpu.clone(),
                start_us: now_us() + LEAD_US,
                interval_us: Duration::from_secs_f64((end_us as f64 / 1e6 / INTERVALS).max(1.0))
                    .as_micros() as u64,
            },
        })
    }
}

/// SIGINT or SIGTERM ends the run early, with its report; a second one ends the process at once, with status 1.
fn stop_at_signals(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag not yet set.
        flag::register_conditional_shutdown(signal, 1, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    Ok(())
}

fn write_files(
    folder: &Path,
    report: &Report,
    intervals: &[Histograms],
    interval_us: u64,
) -> Result<(), String> {
    let explain = |name: &str, error: &dyn std::fmt::Display| {
        format!("{}: {error}", folder.join(name).display())
    };
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).map_err(|error| explain(name, &error))
    };
    let json =
        serde_json::to_string_pretty(report).map_err(|error| explain("report.json", &error))?;
    write("report.json", (json + "\n").as_bytes())?;
    write("soak.svg", plot::svg(report).as_bytes())?;
    let mut log = Vec::new();
    write_log(&mut log, intervals, interval_us)
        .map_err(|error| explain("latencies.hlog", &error))?;
    write("latencies.hlog", &log)
}
