//! A shard's thread from its start: its executor, then (when all have theirs) its table of descriptors, its listeners, its core.
//!
//! The order is what matters. glommio wakes an executor by writing to its eventfd's number in the caller's table, so all
//! executors are made before the first thread leaves the common table: their numbers mean the same in every one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use rustix::process::{Resource, getrlimit};

use crate::shard::{Core, ShardId};
use crate::shell::executor::{Equipment, Executor};
use crate::shell::listener;
use crate::shell::own_table;
use crate::shell::passage::{Doors, Passage};
use crate::shell::run::StartError;
use crate::sip::link::Transport;

/// Whether an executor can be made here, with the ring of a shard's.
pub(super) fn try_ring() -> Result<(), String> {
    let made = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .make();
    made.map(drop).map_err(|error| error.to_string())
}

/// Registered memory of an executor; its files and its default of 10 MiB are not used.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Entries of an executor's rings; one descriptor is waited on, so few are ever used.
const RING_DEPTH: usize = 64;

/// What a shard's thread does before its turns begin.
pub(super) struct Plan {
    pub(super) core: usize,
    pub(super) preempt_timer: Duration,
    /// Where to listen.
    pub(super) addresses: Vec<(SocketAddr, Transport)>,
    /// Given where each shard is to have a table of descriptors of its own.
    pub(super) doors: Option<Doors>,
}

/// A shard's thread that has made its executor.
pub(super) struct Waiting {
    thread: JoinHandle<()>,
    go: Sender<()>,
    told: Receiver<Result<(), StartError>>,
    core: usize,
}

impl Waiting {
    /// Starts the thread, and waits until its executor is made. Dropped, it ends the thread.
    pub(super) fn start<C, F>(
        plan: Plan,
        equipment: Equipment,
        make_core: Arc<F>,
    ) -> Result<Waiting, StartError>
    where
        C: Core + 'static,
        F: Fn(ShardId) -> C + Send + Sync + 'static,
    {
        let core = plan.core;
        let name = format!("shard-{}", equipment.shard.0);
        let (tell, told) = bounded(1);
        let (go, gone) = bounded(1);
        let body = move || {
            let executor = LocalExecutorBuilder::new(Placement::Fixed(plan.core))
                .io_memory(IO_MEMORY_BYTES)
                .ring_depth(RING_DEPTH)
                .preempt_timer(plan.preempt_timer)
                .make()
                .map_err(|error| shard_error(plan.core, error));
            // Who starts it waits for one word each time.
            match executor {
                Ok(executor) => {
                    drop(tell.send(Ok(())));
                    if gone.recv().is_ok() {
                        run(executor, plan, equipment, make_core, &tell);
                    }
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(body)
            .map_err(|error| shard_error(core, error))?;
        let waiting = Waiting {
            thread,
            go,
            told,
            core,
        };
        waiting.hear()?;
        Ok(waiting)
    }

    /// Lets the shard run, and waits until it does.
    pub(super) fn go(self) -> Result<JoinHandle<()>, StartError> {
        // A thread that has ended has said why, or its channel says it.
        let _ = self.go.send(());
        self.hear()?;
        Ok(self.thread)
    }

    fn hear(&self) -> Result<(), StartError> {
        self.told.recv().unwrap_or_else(|_| {
            Err(shard_error(
                self.core,
                "its thread panicked; what it said is above",
            ))
        })
    }
}

fn shard_error(core: usize, why: impl ToString) -> StartError {
    StartError::Shard {
        core,
        why: why.to_string(),
    }
}

/// All of a shard's life after its executor was made.
fn run<C, F>(
    executor: LocalExecutor,
    plan: Plan,
    mut equipment: Equipment,
    make_core: Arc<F>,
    tell: &Sender<Result<(), StartError>>,
) where
    C: Core + 'static,
    F: Fn(ShardId) -> C + Send + Sync + 'static,
{
    if let Err(error) = open(&plan, &mut equipment) {
        return drop(tell.send(Err(error)));
    }
    executor.run(async move {
        equipment.pulse.clone().install();
        let core = make_core(equipment.shard);
        match Executor::new(equipment, core) {
            Ok(executor) => {
                drop(tell.send(Ok(())));
                executor.run().await;
            }
            Err(error) => drop(tell.send(Err(shard_error(plan.core, error)))),
        }
    });
}

/// Goes into a table of its own where it is to, and opens the listeners there.
fn open(plan: &Plan, equipment: &mut Equipment) -> Result<(), StartError> {
    let own = match &plan.doors {
        Some(doors) => {
            let open = own_table::leave_the_common_one(&doors.descriptors()).map_err(|error| {
                shard_error(
                    plan.core,
                    format!("no table of descriptors of its own ({error}; is /proc mounted?)"),
                )
            })?;
            Some((doors, open))
        }
        None => None,
    };
    for &(address, transport) in &plan.addresses {
        let listener = listener::listen(address, transport)
            .map_err(|error| StartError::Listen { address, error })?;
        equipment.listeners.push(listener);
    }
    if let Some((doors, open)) = own {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let open = open + equipment.listeners.len();
        equipment.passage = Some(Passage::new(doors.clone(), equipment.shard, limit, open));
    }
    Ok(())
}
