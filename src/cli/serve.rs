//! `muster serve`: puts the server together, says when it is ready and what to do next, and stops it in order.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender};
use rustls::ServerConfig;

use crate::cli::{Failure, certificate, demo};
use crate::config::Config;
use crate::shard::cdr_event::CdrEvent;
use crate::shard::route::Route;
use crate::shard::{self, Shard};
use crate::shell::admin::{self, Admin};
use crate::shell::cdr::CdrWriter;
use crate::shell::clock::Clock;
use crate::shell::log::Log;
use crate::shell::run::{self, Control, Running, UserChange};
use crate::shell::signals::{self, Signal};
use crate::shell::store::{DataDir, Errand, Keeper, Store, Told};
use crate::shell::telemetry::Dump;
use crate::shell::{limits, tls};

/// How long what is under way may take once the server is told to stop.
const STOP: Duration = Duration::from_secs(5);
/// What a shard may wait for each other one on its core before that is taken for overload.
const TURN: Duration = Duration::from_millis(1);

/// Runs the server until it is told to stop.
pub fn serve(file: Option<&Path>) -> Result<ExitCode, Failure> {
    limits::small_pages();
    let config = Config::load(file).map_err(Failure::config)?;
    // Before anything else: a signal that is not taken ends a process, and one that comes during the start is kept.
    let signals = signals::listen().map_err(Failure::failed)?;
    // Programs wait for the line that says `ready`: no filter takes it out.
    let log = Log::start("muster::cli::serve");
    end_with_any_thread();
    let data_dir = DataDir::open(&config.data_dir).map_err(Failure::failed)?;
    let _lock = data_dir.lock().map_err(Failure::failed)?;
    let certificate = Certificate::read(&config, &data_dir)?;
    let mut store = Store::open(&data_dir).map_err(Failure::failed)?;
    forget_unused_credentials(&mut store, &config)?;
    let demo = match config.file {
        None => demo::users(&mut store, &data_dir, &config.shard.auth).map_err(Failure::failed)?,
        Some(_) => Vec::new(),
    };

    let (cores, capacity) = plan(&config, &limits::raise())?;
    if capacity.connections_max() == 0 {
        return Err(Failure::failed(capacity));
    }
    let shards = u16::try_from(capacity.shards).unwrap_or(u16::MAX);
    let clock = Clock::start();
    let cdr_kept = config
        .cdr_keep_days
        .map(|days| Duration::from_hours(24 * u64::from(days)));
    let (cdr, left_over) = CdrWriter::start(&data_dir, clock, cdr_kept).map_err(Failure::failed)?;
    if left_over > 0 {
        tracing::warn!(
            "{left_over} sessions were open when the last server ended; their records are closed"
        );
    }
    // Before the doors open: a server that cannot have it has not let anybody in.
    let admin = admin::listen(config.listen.admin).map_err(|error| {
        Failure::failed(format!(
            "cannot listen on {} for health and metrics: {error}; choose another `admin` under [listen]",
            config.listen.admin
        ))
    })?;
    let (keeper, errands) = Keeper::queue();
    let tls = certificate.tls.clone();
    let running = start(&config, &cores, tls, &capacity, (cdr.events(), keeper))?;
    let control = running.control();
    let keeper = keep(store, errands, control.clone(), Route::new(shards))?;
    control.open();
    let admin = Admin::start(admin, control.clone()).map_err(Failure::failed)?;

    tracing::info!("{}", ready_line(&running, &admin));
    if capacity.is_enough() {
        tracing::info!("{capacity}");
    } else {
        tracing::warn!("{capacity}");
    }
    if config.file.is_none() {
        demo::say_what_next(&running.sips, &certificate.file, &demo);
    }
    let reloading = Reloading {
        running: &config,
        file,
        certificate,
    };
    watch(&signals, reloading, &control, (&data_dir, &log));

    tracing::info!(
        "stopping: transactions in flight have {} s; a second signal stops at once",
        STOP.as_secs()
    );
    drop(admin);
    let ended = running.stop(STOP);
    keeper.finish();
    let unwritten = cdr.finish();
    let Some(untaken) = ended else {
        return Err(Failure::failed(
            "a shard did not end in time; its last call detail records may be missing",
        ));
    };
    let lost = unwritten + untaken as u64;
    if lost > 0 {
        return Err(Failure::failed(format!(
            "{lost} events of call detail records are lost: they could not be written when the server stopped"
        )));
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A broken invariant of our own ends the process, whatever thread meets it: a server with one dead shard is worse than
/// one that is started again. In a release build every panic does so anyway.
fn end_with_any_thread() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(panic);
        std::process::abort();
    }));
}

/// Credentials are kept only as the enabled schemes need them.
fn forget_unused_credentials(store: &mut Store, config: &Config) -> Result<(), Failure> {
    let (forgotten, locked_out) = store
        .keep_only(&config.shard.auth.schemes)
        .map_err(Failure::failed)?;
    if forgotten > 0 {
        tracing::info!(
            "{forgotten} credentials were forgotten: their scheme is not enabled any more"
        );
    }
    if locked_out > 0 {
        tracing::warn!(
            "{locked_out} users cannot log in with the enabled schemes: `muster user password` gives them a new password"
        );
    }
    Ok(())
}

fn ready_line(running: &Running, admin: &Admin) -> String {
    let list = |name: &str, addresses: &[std::net::SocketAddr]| {
        addresses
            .iter()
            .map(|address| format!(" {name} {address}"))
            .collect::<String>()
    };
    format!(
        "ready:{}{} admin {}",
        list("sips", &running.sips),
        list("sip", &running.sip),
        admin.address
    )
}

/// What the server shows of itself.
struct Certificate {
    file: PathBuf,
    /// What was in the file.
    pem: Vec<u8>,
    tls: Arc<ServerConfig>,
}

impl Certificate {
    /// The config's, or the generated one. One that clients refuse is served, and the log says so.
    fn read(config: &Config, data_dir: &DataDir) -> Result<Certificate, Failure> {
        let (file, tls) = match &config.tls {
            None => {
                let (cert, key) = generated_pair(config, data_dir)?;
                let tls = tls::load(&cert, &key).map_err(|error| {
                    Failure::failed(format!(
                        "{error}; remove both files of the generated pair for a new one"
                    ))
                })?;
                (cert, tls)
            }
            Some(files) => {
                let tls = tls::load(&files.cert, &files.key).map_err(|error| {
                    let right =
                        "name a PEM certificate chain and its key, or neither for a self-signed pair";
                    Failure::config(files.place.wrong(error.to_string(), right))
                })?;
                (files.cert.clone(), tls)
            }
        };
        if let Err(worse) = certificate::dates_now(&file) {
            tracing::warn!("{worse}");
        }
        // It was read a moment ago; where it can't be any more it counts as another one.
        let pem = std::fs::read(&file).unwrap_or_default();
        Ok(Certificate { file, pem, tls })
    }
}

/// The generated certificate and key, made where they are not there yet.
fn generated_pair(config: &Config, data_dir: &DataDir) -> Result<(PathBuf, PathBuf), Failure> {
    let (cert, key) = data_dir.tls_pair();
    if cert.exists() && key.exists() {
        return Ok((cert, key));
    }
    let mut names: Vec<String> = config
        .domains
        .iter()
        .map(|domain| domain.to_string())
        .collect();
    names.extend(
        config
            .listen
            .sips
            .iter()
            .map(|address| address.ip().to_string()),
    );
    let (cert_pem, key_pem) = tls::generate(&names).map_err(Failure::failed)?;
    let written = data_dir.write_tls_pair(&cert_pem, &key_pem);
    written.map_err(|error| {
        Failure::failed(format!("cannot write the generated certificate: {error}"))
    })?;
    Ok((cert, key))
}

/// The cores to run on, and how many shards there are on them for how many connections.
pub(super) fn plan(
    config: &Config,
    host: &limits::Host,
) -> Result<(Vec<usize>, limits::Capacity), Failure> {
    let cores = cores(config)?;
    let capacity = host.plan(cores.len(), config.shards_per_core, config.connections_max);
    Ok((cores, capacity))
}

fn cores(config: &Config) -> Result<Vec<usize>, Failure> {
    let allowed: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .map(|core| core.id)
        .collect();
    let Some(chosen) = &config.cores else {
        return Ok(if allowed.is_empty() { vec![0] } else { allowed });
    };
    match chosen.iter().find(|core| !allowed.contains(core)) {
        Some(core) => Err(Failure::usage(format!(
            "[shards] cores names core {core}, and this process may run on {allowed:?}: leave it out, or widen the cpuset"
        ))),
        None => Ok(chosen.clone()),
    }
}

fn start(
    config: &Config,
    cores: &[usize],
    tls: Arc<ServerConfig>,
    capacity: &limits::Capacity,
    (cdr, keeper): (Sender<CdrEvent>, Sender<Errand>),
) -> Result<Running, Failure> {
    // Neighbours by number are on different cores.
    let of_shards: Vec<usize> = cores
        .iter()
        .copied()
        .cycle()
        .take(capacity.shards)
        .collect();
    let shards = u16::try_from(capacity.shards).unwrap_or(u16::MAX);
    let settings = run::Settings {
        sips: config.listen.sips.clone(),
        sip: config.listen.sip.clone(),
        frame: config.frame,
        connection: config.connection,
        connections_max: config
            .connections_max
            .unwrap_or(usize::MAX)
            .min(capacity.connections_max()),
        own_tables: capacity.own_tables,
        ..run::Settings::new(of_shards, tls)
    };
    let mut nonce_key = [0u8; 32];
    getrandom::fill(&mut nonce_key).map_err(Failure::failed)?;
    // Shards that share a core wait for each other's turns too, which is no queue of their own.
    let sharing = capacity.shards.div_ceil(cores.len().max(1));
    let turns = TURN * u32::try_from(sharing).unwrap_or(u32::MAX);
    let shard_settings = shard::Settings {
        shards,
        overload_wait: config.shard.overload_wait.max(turns),
        ..config.shard.clone()
    };
    run::start(settings, cdr, keeper, move |id| {
        let mut seed = [0u8; 32];
        // Without randomness there is no secret: better no server than one whose tags can be guessed.
        getrandom::fill(&mut seed)
            .expect("the system's random source answered when the server started");
        Shard::new(
            id,
            shard_settings.clone(),
            seed,
            nonce_key,
            Clock::start().now(),
        )
    })
    .map_err(Failure::failed)
}

/// The store's thread, which tells each shard of its users: all of them before this returns.
fn keep(
    store: Store,
    errands: Receiver<Errand>,
    control: Control,
    route: Route,
) -> Result<Keeper, Failure> {
    let tell = move |told| match told {
        Told::User(change) => {
            let owner = match &change {
                UserChange::Put(user) => route.owner(&user.aor),
                UserChange::Removed(aor) => route.owner(aor),
            };
            control.user(owner, change);
        }
        Told::Kept(ticket, outcome) => control.kept(ticket, outcome),
    };
    Keeper::start(store, errands, tell).map_err(Failure::failed)
}

/// Waits for signals, and acts on each, until one says stop.
fn watch(
    signals: &Receiver<Signal>,
    mut reloading: Reloading<'_>,
    control: &Control,
    (data_dir, log): (&DataDir, &Log),
) {
    let mut dump = Dump::start(SystemTime::now());
    for signal in signals {
        match signal {
            Signal::Dump => dump_latencies(&mut dump, control, data_dir, log),
            Signal::Reload => reloading.reload(control, data_dir),
            Signal::Stop => return,
        }
    }
}

/// A table for people on standard error, and the same for programs in a file: where one of them fails the other is there.
fn dump_latencies(dump: &mut Dump, control: &Control, data_dir: &DataDir, log: &Log) {
    let merged = match control.telemetry(Duration::from_secs(2)) {
        Ok(merged) => merged,
        Err(shard) => {
            return tracing::error!(
                "shard {} did not answer, so there are no histograms",
                shard.0
            );
        }
    };
    let interval = dump.next(merged, SystemTime::now());
    log.print(&interval.table());
    if let Err(error) = data_dir.log_latencies(&interval) {
        tracing::error!("the histograms are not in the file: {error}");
    }
}

/// What SIGHUP compares with what it reads.
struct Reloading<'c> {
    running: &'c Config,
    file: Option<&'c Path>,
    certificate: Certificate,
}

impl Reloading<'_> {
    /// The certificate counts from the next connection on; what can't change while running is named and kept. With the same
    /// certificate TLS sessions from before are resumed as before.
    fn reload(&mut self, control: &Control, data_dir: &DataDir) {
        let config = match Config::load(self.file) {
            Ok(config) => config,
            Err(error) => {
                return tracing::error!(
                    "the config was not read again, the old one stays: {error}"
                );
            }
        };
        for key in self.running.differs_from(&config) {
            tracing::warn!(
                "{key} can't change while the server runs; the old value stays until it is started again"
            );
        }
        match Certificate::read(&config, data_dir) {
            Ok(certificate) => {
                if certificate.pem != self.certificate.pem || certificate.pem.is_empty() {
                    control.set_tls(certificate.tls.clone());
                    self.certificate = certificate;
                }
                tracing::info!("config and certificate were read again");
            }
            Err(error) => {
                tracing::error!("the certificate was not read again, the old one stays: {error}")
            }
        }
    }
}
