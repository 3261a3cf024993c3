//! Conducts a run: orders the stages, reads the meters between them, and makes the report.
//!
//! A stage that does not end in its time ends the run, with what was seen so far and the reason among the faults.

use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crate::clock::now_us;
use crate::content::{Ledger, settle};
use crate::host;
use crate::meter::{self, Cpu, CpuUsed};
use crate::progress::Progress;
use crate::report::{CpuCost, Faults, Latencies, MemoryCost, Report, Timed};
use crate::stage::{Board, Counters, Stage};
use crate::worker::{Orders, Sight, Worker};

/// What the server's CPU time is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerWhat {
    Delivered,
    Notified,
    LogOn,
    /// Anything the schedule wanted.
    Operation,
    /// Nothing is asked for while measuring; the share of a core is a note.
    Nothing,
}

/// A run as it is wanted.
pub struct Wanted {
    pub command: &'static str,
    /// In words, for the report.
    pub asked: String,
    pub orders: Orders,
    /// The server's process; its descendants belong to it.
    pub pid: Option<u32>,
    pub per_what: PerWhat,
    /// Quiet time before memory is read, s.
    pub settle_s: f64,
}

/// Between two looks at the workers.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing happened for so long: all that was under way has arrived.
const QUIET: Duration = Duration::from_millis(300);
const QUIET_WAIT_MAX: Duration = Duration::from_secs(10);
/// A share of one processor: less taken away by the host is not worth a word.
const STOLEN_TOLD: f64 = 0.001;
/// The server may take so long for one user of the stages before the measuring; much more than any needs.
const BEGINNING_S_PER_USER: f64 = 0.05;

/// The readings of the meters.
#[derive(Default)]
struct Readings {
    memory: Option<MemoryCost>,
    log_on: Option<Beginning>,
    follow: Option<Beginning>,
    cpu: Option<CpuUsed>,
    own: CpuUsed,
    /// From the first intended instant until all was quiet.
    measured_s: f64,
    /// What the host took away meanwhile, s of one processor.
    stolen_s: f64,
}

/// What a stage before the measuring took, where that is what a run is about.
struct Beginning {
    operations: u64,
    seconds: f64,
    server: Option<CpuUsed>,
    own: CpuUsed,
}

/// Memory before anybody is online.
struct MemoryBefore {
    server: std::io::Result<meter::Memory>,
    own: std::io::Result<meter::Memory>,
    slab_kib: Option<u64>,
    tcp_kib: Option<u64>,
}

/// Carries out a run. An error is ours or the machine's; what the server does wrong is in the report.
pub fn conduct(wanted: &Wanted) -> Result<Report, String> {
    let orders = &wanted.orders;
    let board = Board::new(orders.threads, orders.parts.publishers.end)
        .map_err(|error| format!("cannot make {} bells: {error}", orders.threads))?;
    if !orders.cpus.is_empty() {
        host::pin(&orders.cpus).map_err(|error| format!("--cpu {:?}: {error}", orders.cpus))?;
    }
    let mut workers = Vec::new();
    for number in 0..orders.threads {
        workers.push(
            Worker::new(orders, &board, number)
                .map_err(|error| format!("cannot start a thread: {error}"))?,
        );
    }
    let mut readings = Readings::default();
    let (sights, failed) = thread::scope(|scope| {
        let handles: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(move || worker.run()))
            .collect();
        let mut conductor = Conductor {
            wanted,
            board: &board,
            workers: &handles,
            readings: &mut readings,
        };
        let failed = conductor.stages().err();
        board.order(Stage::Quit, 0);
        let sights: Vec<_> = handles.into_iter().map(ScopedJoinHandle::join).collect();
        (sights, failed)
    });
    let mut seen = Vec::new();
    for sight in sights {
        // A panic is a bug of ours: it has printed itself.
        let sight = sight.map_err(|_| "a thread of the generator panicked".to_string())?;
        seen.push(sight.map_err(|error| format!("a thread of the generator stopped: {error}"))?);
    }
    Ok(report(wanted, &board, readings, seen, failed))
}

struct Conductor<'c, 's> {
    wanted: &'c Wanted,
    board: &'c Board,
    workers: &'c [ScopedJoinHandle<'s, std::io::Result<Sight>>],
    readings: &'c mut Readings,
}

impl Conductor<'_, '_> {
    /// All stages up to the end of the measuring; an error says why they ended early.
    fn stages(&mut self) -> Result<(), String> {
        let Orders {
            parts,
            rates,
            warm_up_s,
            measure_s,
            customs,
            logon_rate,
            follow_rate,
            ..
        } = &self.wanted.orders;
        let pid = self.wanted.pid;
        let residents = u64::from(parts.users) - parts.comers.len() as u64;
        if self.wanted.per_what == PerWhat::Nothing {
            // A server that has just started still moves its memory about; here it is what is asked for.
            self.settle();
        }
        let memory_before = pid.map(|pid| MemoryBefore {
            server: meter::memory(pid),
            own: meter::memory(std::process::id()),
            slab_kib: meter::slab_kib(),
            tcp_kib: meter::tcp_buffers_kib(),
        });
        let only_stay = self.wanted.per_what == PerWhat::Nothing;
        let timeout_s = customs.timeout_us as f64 / 1e6;
        let beginning_s = |count: u64, rate: Option<f64>| {
            let paced_s = rate.map_or(0.0, |rate| count as f64 / rate);
            count as f64 * BEGINNING_S_PER_USER + paced_s + 2.0 * timeout_s + 5.0
        };

        if residents > 0 {
            let stage = self.beginning(
                Stage::LogOn,
                "logging on",
                residents,
                beginning_s(residents, *logon_rate),
                |counters| &counters.online,
            )?;
            let online = Counters::of(&self.board.counters.online);
            self.readings.log_on = Some(Beginning {
                operations: online,
                ..stage
            });
            if online == 0 || (online < residents && !only_stay) {
                return Err(format!(
                    "only {online} of {residents} users could log on: the run ended there"
                ));
            }
        }
        if customs.circle.contacts > 0 {
            let edges = residents * u64::from(customs.circle.contacts);
            let stage = self.beginning(
                Stage::Follow,
                "watching contacts",
                edges,
                beginning_s(residents, *follow_rate),
                |counters| &counters.watched,
            )?;
            self.readings.follow = Some(Beginning {
                operations: Counters::of(&self.board.counters.online),
                ..stage
            });
        }
        if !parts.publishers.is_empty() {
            let publishers = parts.publishers.len() as u64;
            self.stage(
                Stage::FirstPublish,
                "publishing",
                publishers,
                beginning_s(publishers, None),
                |all| &all.answered,
            )?;
            let subscriptions = publishers * parts.watchers.len() as u64;
            let in_all = publishers + subscriptions;
            self.stage(
                Stage::Subscribe,
                "subscribing",
                in_all,
                beginning_s(subscriptions, None),
                |all| &all.answered,
            )?;
        }
        let all_told = self.all_told();
        let faults = Counters::of(&self.board.counters.faults);
        if (faults > 0 || !all_told) && !only_stay {
            return Err("there were faults before the measuring began: the run ended there".into());
        }
        if parts.comers.len() as u64 != u64::from(parts.users) {
            self.settle();
            let online = Counters::of(&self.board.counters.online);
            self.read_memory(&memory_before, online)?;
        }

        let operations = (rates.message + rates.publish + rates.logon) * measure_s;
        let seconds_max = measure_s + 2.0 * timeout_s + 30.0;
        if *warm_up_s > 0.0 && operations > 0.0 {
            let bound = warm_up_s + 2.0 * timeout_s + 30.0;
            let warm_up = (rates.message + rates.publish) * warm_up_s;
            if warm_up > 0.0 {
                self.stage(
                    Stage::WarmUp,
                    "warming up",
                    warm_up as u64,
                    bound,
                    |counters| &counters.started,
                )?;
                self.quiet();
            }
        }
        let stolen_before_s = meter::stolen_s();
        let cpu_before = self.cpu()?;
        let own_before = meter::cpu(std::process::id()).unwrap_or_default();
        let from_us = now_us();
        if operations > 0.0 {
            let before = Counters::of(&self.board.counters.started);
            let until = before + operations.round() as u64;
            self.stage(
                Stage::Measure,
                "measuring",
                until,
                seconds_max,
                |counters| &counters.started,
            )?;
            self.readings.measured_s = (now_us() - from_us) as f64 / 1e6;
            // Who is left without the last state shows in the ledgers.
            self.all_told();
        } else {
            self.idle(*measure_s);
            self.readings.measured_s = (now_us() - from_us) as f64 / 1e6;
        }
        self.readings.stolen_s = stolen_before_s
            .zip(meter::stolen_s())
            .map_or(0.0, |(before, now)| now - before);
        if let Some(before) = cpu_before {
            self.readings.cpu = self.cpu()?.map(|now| now.since(&before));
        }
        self.readings.own = meter::cpu(std::process::id())
            .unwrap_or_default()
            .since(&own_before);
        if parts.comers.len() as u64 == u64::from(parts.users) {
            self.settle();
            self.read_memory(&memory_before, Counters::of(&self.board.counters.online))?;
        }
        Ok(())
    }

    /// A stage with its costs.
    fn beginning(
        &self,
        stage: Stage,
        name: &'static str,
        until: u64,
        seconds_max: f64,
        counter: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64,
    ) -> Result<Beginning, String> {
        let own = || meter::cpu(std::process::id()).unwrap_or_default();
        let (server_before, own_before, from_us) = (self.cpu()?, own(), now_us());
        self.stage(stage, name, until, seconds_max, counter)?;
        let server = self.cpu()?.zip(server_before);
        Ok(Beginning {
            operations: 0,
            seconds: (now_us() - from_us) as f64 / 1e6,
            server: server.map(|(now, before)| now.since(&before)),
            own: own().since(&own_before),
        })
    }

    /// Orders a stage and waits until all workers have done it.
    fn stage(
        &self,
        stage: Stage,
        name: &'static str,
        until: u64,
        seconds_max: f64,
        counter: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64,
    ) -> Result<(), String> {
        let progress = Progress::new(name, until);
        // A little ahead, so that no thread begins late.
        let start_us = now_us() + 10_000;
        self.board.order(stage, start_us);
        let end_us = start_us + (seconds_max * 1e6) as u64;
        while self.board.finished() < self.wanted.orders.threads {
            if self.workers.iter().any(ScopedJoinHandle::is_finished) {
                return Err(format!("a thread of the generator ended while {name}"));
            }
            if now_us() > end_us {
                return Err(format!("{name} did not end within {seconds_max:.0} s"));
            }
            progress.show(
                Counters::of(counter(&self.board.counters)),
                &self.board.counters,
            );
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until what is still under way has arrived.
    fn quiet(&self) {
        self.until_quiet(|| true);
    }

    /// Likewise, and until all watchers were told what they must be. Says whether they were; after a no, the next order is `Quit`.
    fn all_told(&self) -> bool {
        self.board.order(Stage::Arrive, now_us());
        self.until_quiet(|| self.board.finished() == self.wanted.orders.threads)
    }

    /// Waits until nothing happens any more, where something is missing as long as for an answer. Says whether all is there.
    fn until_quiet(&self, is_all_there: impl Fn() -> bool) -> bool {
        let from_us = now_us();
        let (mut sum, mut since_us) = (self.board.counters.sum(), from_us);
        loop {
            thread::sleep(LOOK);
            let (sum_now, now_us) = (self.board.counters.sum(), now_us());
            if sum_now != sum {
                (sum, since_us) = (sum_now, now_us);
            }
            let is_all_there = is_all_there();
            let missing = match is_all_there {
                true => Duration::ZERO,
                false => Duration::from_micros(self.wanted.orders.customs.timeout_us),
            };
            let quiet = Duration::from_micros(now_us - since_us);
            let waited = Duration::from_micros(now_us - from_us);
            if quiet >= QUIET.max(missing) || waited >= QUIET_WAIT_MAX + missing {
                return is_all_there;
            }
        }
    }

    fn settle(&self) {
        if self.wanted.pid.is_some() {
            let progress = Progress::new("settling", 0);
            progress.show(0, &self.board.counters);
            thread::sleep(Duration::from_secs_f64(self.wanted.settle_s));
        }
    }

    /// Keeps all users online and asks for nothing.
    fn idle(&self, seconds: f64) {
        let progress = Progress::new("idle", (seconds * 10.0) as u64);
        let (from_us, bound_us) = (now_us(), (seconds * 1e6) as u64);
        while now_us() - from_us < bound_us {
            progress.show((now_us() - from_us) / 100_000, &self.board.counters);
            thread::sleep(LOOK);
        }
    }

    fn cpu(&self) -> Result<Option<Cpu>, String> {
        self.wanted
            .pid
            .map(|pid| meter::cpu(pid).map_err(|error| format!("CPU of process {pid}: {error}")))
            .transpose()
    }

    fn read_memory(&mut self, before: &Option<MemoryBefore>, users: u64) -> Result<(), String> {
        let (Some(pid), Some(before)) = (self.wanted.pid, before) else {
            return Ok(());
        };
        let explain = |error: &std::io::Error| format!("memory of process {pid}: {error}");
        let server = before.server.as_ref().map_err(explain)?;
        let after = meter::memory(pid).map_err(|error| explain(&error))?;
        let per_user = |from_kib: u64, to_kib: u64| {
            (to_kib as f64 - from_kib as f64) * 1024.0 / users.max(1) as f64
        };
        // Where the users do something, the machine's memory moves by more than their sockets.
        let only_stay = self.wanted.per_what == PerWhat::Nothing;
        let kernel = |before: Option<u64>, after: Option<u64>| {
            let both = before.zip(after).filter(|_| only_stay);
            both.map(|(before, after)| per_user(before, after))
        };
        let own = before.own.as_ref().ok().filter(|_| only_stay);
        let own = own.zip(meter::memory(std::process::id()).ok());
        self.readings.memory = Some(MemoryCost {
            users,
            pss_before_kib: server.pss_kib,
            pss_after_kib: after.pss_kib,
            bytes_per_user: per_user(server.pss_kib, after.pss_kib),
            slab_bytes_per_user: kernel(before.slab_kib, meter::slab_kib()),
            tcp_bytes_per_user: kernel(before.tcp_kib, meter::tcp_buffers_kib()),
            own_bytes_per_user: own.map(|(before, after)| per_user(before.pss_kib, after.pss_kib)),
        });
        Ok(())
    }
}

fn report(
    wanted: &Wanted,
    board: &Board,
    readings: Readings,
    sights: Vec<Sight>,
    failed: Option<String>,
) -> Report {
    let mut latencies = Latencies::default();
    let mut faults = Faults::default();
    let (mut strangers, mut repeated, mut thread_cores_max) = (0, 0, 0f64);
    let (mut resumed, mut put_off) = (0, 0);
    for sight in &sights {
        latencies.merge(&sight.latencies);
        faults.merge(&sight.faults);
        strangers += sight.strangers;
        repeated += sight.repeated;
        resumed += sight.resumed;
        put_off += sight.put_off;
        let cores = sight.measured_cpu_us as f64 / 1e6 / readings.measured_s.max(1e-3);
        thread_cores_max = thread_cores_max.max(cores);
    }
    let ledgers: Vec<Ledger> = sights.into_iter().map(|sight| sight.ledger).collect();
    if let Some(reason) = failed {
        faults.add(reason, 1);
    }
    let rows = latencies.rows();
    let mut notes = Vec::new();
    if strangers > 0 {
        notes.push(format!(
            "{strangers} messages or states of an earlier run came from the server"
        ));
    }
    if repeated > 0 {
        notes.push(format!("{repeated} notifications told nothing new (each subscription's first one is among them)"));
    }
    if resumed > 0 {
        notes.push(format!(
            "{resumed} TLS handshakes resumed an earlier session"
        ));
    }
    if put_off > 0 {
        notes.push(format!("{put_off} requests were put off by the server (503 with Retry-After), and made again later"));
    }
    let measured_s = readings.measured_s.max(1e-3);
    if readings.stolen_s > STOLEN_TOLD * measured_s {
        notes.push(format!(
            "the machine's host took {:.0} ms of processor time away in {measured_s:.1} s: the highest latencies may be its own",
            readings.stolen_s * 1e3
        ));
    }
    let idle_logon = readings
        .log_on
        .as_ref()
        .filter(|_| wanted.per_what == PerWhat::Nothing);
    if let Some(stage) = idle_logon {
        notes.push(stage.note("logon"));
    }
    if let Some(stage) = &readings.follow {
        let edges = Counters::of(&board.counters.watched);
        notes.push(stage.note(&format!(
            "subscription to contacts ({edges} are watched in all)"
        )));
        if let Some(server) = &stage.server {
            let each = server.us / stage.operations.max(1) as f64;
            notes.push(format!("such a subscription cost the server {each:.0} µs"));
        }
    }
    let cpu = readings.cpu.and_then(|used| {
        let (operation, operations) = match wanted.per_what {
            PerWhat::Delivered => ("a delivered message", latencies.count(Timed::Delivered)),
            PerWhat::Notified => ("a notified watcher", latencies.count(Timed::Notified)),
            PerWhat::LogOn => ("a logon", latencies.count(Timed::LogOn)),
            PerWhat::Operation => ("an operation of the mix", latencies.count(Timed::Started)),
            PerWhat::Nothing => {
                let share = used.us / 1e4 / measured_s;
                notes.push(format!("the server used {share:.2} % of a core while all were idle for {measured_s:.1} s"));
                let stage = idle_logon?;
                return Some(stage.server?.per("a logon", stage.operations, stage.seconds));
            }
        };
        Some(used.per(operation, operations, measured_s))
    });
    let late_p99_us = latencies.p99_us(Timed::Started);
    Report {
        command: wanted.command.into(),
        server: wanted.orders.route.server.to_string(),
        asked: wanted.asked.clone(),
        users: Counters::of(&board.counters.online),
        seconds: readings.measured_s,
        rows,
        cpu,
        memory: readings.memory,
        generator_cores: readings.own.us / 1e6 / measured_s,
        generator_late: late_p99_us > 5_000 || thread_cores_max > 0.9,
        findings: settle(&ledgers),
        faults,
        notes,
    }
}

impl Beginning {
    /// What the generator itself paid.
    fn note(&self, what: &str) -> String {
        let each_us = self.own.us / self.operations.max(1) as f64;
        let rate = self.operations as f64 / self.seconds.max(1e-3);
        format!("the generator used {each_us:.0} µs a {what}, {rate:.0} a second")
    }
}

impl CpuUsed {
    fn per(&self, operation: &str, operations: u64, seconds: f64) -> CpuCost {
        CpuCost {
            total_us: self.us,
            user_share: (self.user_us / self.us.max(1.0)).min(1.0),
            cores: self.us / 1e6 / seconds.max(1e-3),
            processes: self.processes,
            operation: operation.into(),
            operations,
            us_per_operation: self.us / operations.max(1) as f64,
        }
    }
}
