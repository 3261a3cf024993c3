//! Conducts a soak: starts the threads, reads the meters at each interval, audits the sessions that are over, reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use super::check::Auditor;
use super::progress::Progress;
use super::report::{Growth, Report, Sample, rows};
use super::sight::{Counts, Histograms};
use super::worker::{Board, Orders, Parcel, Stage, Worker};
use crate::clock::now_us;
use crate::meter::{self, Cpu};
use crate::report::Faults;

/// A soak as it is wanted.
pub struct Wanted {
    pub orders: Orders,
    /// In words, for the report.
    pub asked: String,
    /// The server's process; its descendants belong to it.
    pub pid: Option<u32>,
    /// The judged part begins here, µs from the start.
    pub warm_us: u64,
    /// Growth of memory in % that fails the run; absent: told only.
    pub growth_max: Option<f64>,
    /// Once true, the run ends early: what is under way may end, and what was seen is reported.
    pub stop: Arc<AtomicBool>,
}

/// Parcels that may wait before threads have to.
const PARCELS_MAX: usize = 4096;
const LOOK: Duration = Duration::from_millis(50);
/// After the plan's end what is under way may take so long, and everything is quiet for so long.
const QUIET_US: u64 = 1_500_000;
/// PSS is read so seldom that the readings take no more than this share of the time: the server's memory is locked meanwhile.
const PSS_SHARE: u64 = 200;

/// Whatever the threads brought so far.
#[derive(Default)]
struct Gathered {
    auditor: Auditor,
    intervals: Vec<Histograms>,
    counts: Counts,
    refusals: Faults,
    faults: Faults,
    examples: Vec<String>,
    ended: u32,
}

impl Gathered {
    fn take(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Letters(letters) => letters
                .into_iter()
                .for_each(|letter| self.auditor.take(letter)),
            Parcel::Interval(index, histograms) => {
                while self.intervals.len() <= index {
                    self.intervals.push(Histograms::default());
                }
                self.intervals[index].merge(&histograms);
            }
            Parcel::End(sight) => {
                self.counts.merge(&sight.counts);
                self.refusals.merge(&sight.refusals);
                self.faults.merge(&sight.faults);
                self.examples.extend(sight.examples);
                self.ended += 1;
            }
        }
    }
}

/// The meters, and what they showed at each interval.
struct Meters {
    pid: Option<u32>,
    samples: Vec<Sample>,
    server: Option<Cpu>,
    own: Cpu,
    at_us: u64,
    pss_next_us: u64,
    /// At the end of warm-up: both readings, and when.
    warm: Option<(Option<Cpu>, Cpu, u64)>,
}

impl Meters {
    fn new(pid: Option<u32>) -> Result<Meters, String> {
        Ok(Meters {
            pid,
            samples: Vec::new(),
            server: pid.map(server_cpu).transpose()?,
            own: own_cpu()?,
            at_us: now_us(),
            pss_next_us: 0,
            warm: None,
        })
    }

    fn read(&mut self, start_us: u64, online: u64) -> Result<(), String> {
        let now = now_us();
        let elapsed_us = (now - self.at_us).max(1) as f64;
        let (server, own) = (self.pid.map(server_cpu).transpose()?, own_cpu()?);
        let mut sample = Sample {
            at_s: now.saturating_sub(start_us) as f64 / 1e6,
            online,
            own_cores: own.since(&self.own).us / elapsed_us,
            server_cores: server
                .as_ref()
                .zip(self.server.as_ref())
                .map(|(now, before)| now.since(before).us / elapsed_us),
            ..Sample::default()
        };
        if let Some(pid) = self.pid {
            sample.rss_kib = meter::rss_kib(pid);
            if now >= self.pss_next_us {
                let memory = meter::memory(pid)
                    .map_err(|error| format!("memory of process {pid}: {error}"))?;
                sample.pss_kib = Some(memory.pss_kib);
                let after = now_us();
                self.pss_next_us = after + (after - now) * PSS_SHARE;
            }
        }
        (self.server, self.own, self.at_us) = (server, own, now);
        self.samples.push(sample);
        Ok(())
    }

    fn mark_warm(&mut self) {
        self.warm = Some((self.server.clone(), self.own.clone(), self.at_us));
    }

    /// Cores that server and generator used after warm-up.
    fn cores(&self) -> (Option<f64>, f64) {
        let Some((server, own, from_us)) = &self.warm else {
            return (None, 0.0);
        };
        let elapsed_us = (self.at_us.saturating_sub(*from_us)).max(1) as f64;
        let of = |now: &Cpu, before: &Cpu| now.since(before).us / elapsed_us;
        let server = self.server.as_ref().zip(server.as_ref());
        (
            server.map(|(now, before)| of(now, before)),
            of(&self.own, own),
        )
    }

    fn growth(&self, warm_us: u64, end_us: u64, percent_max: Option<f64>) -> Option<Growth> {
        let judged =
            |sample: &&Sample| (warm_us as f64..=end_us as f64).contains(&(sample.at_s * 1e6));
        let readings = |of: fn(&Sample) -> Option<u64>| -> Vec<(f64, f64)> {
            (self.samples.iter().filter(judged))
                .filter_map(|sample| Some((sample.at_s, of(sample)? as f64)))
                .collect()
        };
        let pss = readings(|sample| sample.pss_kib);
        if pss.len() >= 10 {
            return Growth::of("PSS", &pss, percent_max);
        }
        Growth::of("RSS", &readings(|sample| sample.rss_kib), percent_max)
    }
}

/// Carries out a soak: the report, and the histograms of each interval. An error is ours or the machine's; what the server
/// does wrong is in the report.
pub fn conduct(wanted: &Wanted) -> Result<(Report, Vec<Histograms>), String> {
    let orders = &wanted.orders;
    let board = Board::default();
    let mut gathered = Gathered::default();
    let mut meters = Meters::new(wanted.pid)?;
    let (sender, parcels) = sync_channel(PARCELS_MAX);
    let stopped_us = thread::scope(|scope| {
        let mut handles = Vec::new();
        for number in 0..orders.threads {
            let (board, parcels) = (&board, sender.clone());
            handles.push(scope.spawn(move || Worker::new(orders, board, parcels, number)?.run()));
        }
        drop(sender);
        let watched = watch(wanted, &board, &parcels, &mut gathered, &mut meters);
        board.order(Stage::Quit);
        // Until all threads have let go of their end.
        while let Ok(parcel) = parcels.recv() {
            gathered.take(parcel);
        }
        for handle in handles {
            // A panic is a bug of ours: it has printed itself.
            let ended = handle
                .join()
                .map_err(|_| "a thread of the generator panicked".to_string())?;
            ended.map_err(|error| format!("a thread of the generator stopped: {error}"))?;
        }
        Ok::<_, String>(watched.unwrap_or_else(|error| {
            // A server that is gone is a failed run, and what was seen of it before is told.
            gathered
                .faults
                .add(format!("the run ended early: {error}"), 1);
            None
        }))
    })?;
    gathered.auditor.close();
    Ok(report(wanted, gathered, meters, stopped_us))
}

/// Until the run is over. Says when it was stopped, µs from the start, if it was.
fn watch(
    wanted: &Wanted,
    board: &Board,
    parcels: &Receiver<Parcel>,
    gathered: &mut Gathered,
    meters: &mut Meters,
) -> Result<Option<u64>, String> {
    let Orders {
        start_us,
        interval_us,
        ref brief,
        ref world,
        ..
    } = wanted.orders;
    let progress = Progress::new(brief.end_us);
    let (mut end_us, mut next_us) = (start_us + brief.end_us, start_us + interval_us);
    let mut stopped_us = None;
    let mut quiet_since_us = None;
    loop {
        match parcels.recv_timeout(LOOK) {
            Ok(parcel) => {
                gathered.take(parcel);
                parcels
                    .try_iter()
                    .take(PARCELS_MAX)
                    .for_each(|parcel| gathered.take(parcel));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None), // Their own errors say why.
        }
        let now = now_us();
        if now >= next_us {
            meters.read(start_us, board.online.load(Ordering::Relaxed))?;
            if meters.warm.is_none() && now >= start_us + wanted.warm_us {
                meters.mark_warm();
            }
            // A reading that took long makes none up later.
            while next_us <= now {
                next_us += interval_us;
            }
        }
        if now < end_us && wanted.stop.load(Ordering::Relaxed) {
            stopped_us = Some(now.saturating_sub(start_us));
            end_us = now;
        }
        progress.show(now.saturating_sub(start_us), board, gathered.auditor.open());
        if now < end_us {
            continue;
        }
        board.order(Stage::Rest);
        let is_quiet = board.busy.load(Ordering::Relaxed) == 0;
        let since_us = *quiet_since_us.get_or_insert(now);
        if !is_quiet {
            quiet_since_us = Some(now);
        }
        if (is_quiet && now - since_us >= QUIET_US) || now > end_us + 2 * world.timeout_us {
            return Ok(stopped_us);
        }
    }
}

fn report(
    wanted: &Wanted,
    gathered: Gathered,
    mut meters: Meters,
    stopped_us: Option<u64>,
) -> (Report, Vec<Histograms>) {
    let orders = &wanted.orders;
    let mut all = Histograms::default();
    gathered
        .intervals
        .iter()
        .for_each(|interval| all.merge(interval));
    for sample in &mut meters.samples {
        // The reading stands at the end of its interval, or a little after.
        let index = ((sample.at_s * 1e6) as u64 / orders.interval_us).saturating_sub(1) as usize;
        if let Some(interval) = gathered.intervals.get(index) {
            sample.set_timed(interval);
        }
    }
    let (server_cores, own_cores) = meters.cores();
    let mut verdict = gathered.auditor.verdict;
    verdict.examples.extend(gathered.examples);
    verdict.examples.truncate(super::check::EXAMPLES_MAX);
    let brief = &orders.brief;
    let end_us = stopped_us.unwrap_or(brief.end_us);
    // Growth over less than was asked for is told, not judged.
    let growth_max = wanted.growth_max.filter(|_| stopped_us.is_none());
    let report = Report {
        server: orders.routes[0].server.to_string(),
        asked: wanted.asked.clone(),
        users: brief.users,
        endpoints: orders.world.seats.seats,
        seconds: end_us as f64 / 1e6,
        stopped: stopped_us.is_some(),
        rows: rows(&all),
        counts: gathered.counts,
        verdict: verdict.into(),
        growth: meters.growth(wanted.warm_us, end_us, growth_max),
        growth_max,
        is_measured: wanted.pid.is_some(),
        server_cores,
        own_cores,
        refusals: gathered.refusals,
        faults: gathered.faults,
        acts: brief
            .model
            .acts
            .iter()
            .map(|act| (act.kind.label().to_string(), act.at_s))
            .collect(),
        samples: meters.samples,
    };
    (report, gathered.intervals)
}

fn server_cpu(pid: u32) -> Result<Cpu, String> {
    meter::cpu(pid).map_err(|error| format!("CPU of process {pid}: {error}"))
}

fn own_cpu() -> Result<Cpu, String> {
    meter::cpu(std::process::id()).map_err(|error| format!("CPU of this process: {error}"))
}
