//! The way in: starts the shards, talks to them, stops them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{EventfdFlags, eventfd};
use rustls::ServerConfig;

use crate::shard::cdr_event::CdrEvent;
use crate::shard::change::{KeepTicket, NotKept};
use crate::shard::{Core, ShardId};
use crate::shell::clock::Clock;
pub use crate::shell::connection::ConnectionLimits;
pub use crate::shell::envelope::UserChange;
use crate::shell::envelope::{Command, Envelope};
use crate::shell::executor::Equipment;
use crate::shell::listener::{self, Held};
use crate::shell::mailbox::Mailbox;
use crate::shell::outlet::Outlet;
use crate::shell::passage::Doors;
use crate::shell::pulse::{Heart, Pulse};
use crate::shell::shard_thread::{self, Plan, Waiting};
use crate::shell::store::Errand;
use crate::shell::telemetry::Telemetry;
use crate::sip::frame;
use crate::sip::link::Transport;

/// Letters that a mailbox holds at most, and at least where there are many.
const MAILBOX_LETTERS_MAX: usize = 8_192;
const MAILBOX_LETTERS_MIN: usize = 1_024;
/// Letters that all mailboxes hold together, within those bounds.
const MAILBOXES_LETTERS: usize = 65_536;
/// How long a full mailbox is let alone before a plain thread tries again.
const FULL_SLEEP: Duration = Duration::from_millis(1);
/// A stopping server has settled when no shard has had anything in flight for so long.
const SETTLED_FOR: Duration = Duration::from_millis(250);
/// What a shard may take to end after its last word, before it is given up.
const END_WITHIN: Duration = Duration::from_secs(8);

/// What the shards run with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where SIP over TLS is taken; port 0 is any free port, the same for all shards.
    pub sips: Vec<SocketAddr>,
    /// Where SIP over plain TCP is taken.
    pub sip: Vec<SocketAddr>,
    /// The core of each shard, which is pinned to it.
    pub cores: Vec<usize>,
    /// Each shard has a table of descriptors of its own, so that the limit on open files counts for each shard by itself.
    pub own_tables: bool,
    /// For connections accepted from now on.
    pub tls: Arc<ServerConfig>,
    /// What a peer may send.
    pub frame: frame::Limits,
    /// How long a peer may take.
    pub connection: ConnectionLimits,
    /// How many connections all shards hold together at most.
    pub connections_max: usize,
    /// How long a task may run before glommio looks at its rings. Long: each time it fires there is a small risk
    /// of a lost run (see `pulse`), and no task of ours runs long.
    pub preempt_timer: Duration,
    /// So long after something happened a shard waits in its readiness set itself, where a wait costs one system call. Through
    /// glommio's rings it takes nine and interrupts the other cores, and while it rests there the pulse must wake it: with 10 ms a
    /// publisher of 20 changes a second to 100 watchers spent a fifth of all CPU time on that, and 54 idle shards a seventh of a core.
    pub linger: Duration,
}

impl Settings {
    /// Settings that listen nowhere yet, with the limits of the house.
    pub fn new(cores: Vec<usize>, tls: Arc<ServerConfig>) -> Settings {
        Settings {
            sips: Vec::new(),
            sip: Vec::new(),
            cores,
            own_tables: false,
            tls,
            frame: frame::Limits::default(),
            connection: ConnectionLimits::default(),
            connections_max: usize::MAX,
            preempt_timer: Duration::from_secs(1),
            linger: Duration::from_secs(10),
        }
    }
}

/// Why the shards did not start, and what to do about it.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A shard cannot be made.
    Shard {
        /// On which core.
        core: usize,
        /// What glommio or the system said.
        why: String,
    },
    /// No core to run on.
    NoCores,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => f.write_str(
                        "; stop the other process, or choose another port (0 is any free one)",
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        f.write_str("; this host has no such address")
                    }
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; ports below 1024 need CAP_NET_BIND_SERVICE")
                    }
                    _ => Ok(()),
                }
            }
            StartError::Shard { core, why } => {
                write!(f, "cannot start a shard on core {core}: {why}")?;
                if why.contains("MemLockLimit") {
                    f.write_str("; raise the limit of locked memory to 512 KiB or more (LimitMEMLOCK=, ulimit -l)")
                } else {
                    f.write_str("; see `muster check` (io_uring needs Linux 5.8 and a container that allows it)")
                }
            }
            StartError::NoCores => {
                f.write_str("no core to run a shard on: name at least one in [shards] cores")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// Shards that run.
#[derive(Debug)]
pub struct Running {
    /// Where SIP over TLS is taken, with the ports that were chosen.
    pub sips: Vec<SocketAddr>,
    /// Where SIP over plain TCP is taken, with the ports that were chosen.
    pub sip: Vec<SocketAddr>,
    control: Control,
    settled: Vec<Arc<AtomicBool>>,
    /// Events for the records that shards could not pass on when they ended.
    lost: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    _heart: Heart,
}

/// What any plain thread may ask of the shards. Cheap to clone. Its calls wait: never from an executor.
#[derive(Clone, Debug)]
pub struct Control {
    mailboxes: Arc<[Mailbox<Envelope>]>,
    /// The shards have ended: nobody empties a mailbox any more.
    ended: Arc<AtomicBool>,
}

/// Whether a shard's executor can be made here at all: who runs this may be forbidden a ring.
///
/// # Errors
/// What the system says.
pub fn try_ring() -> Result<(), String> {
    shard_thread::try_ring()
}

/// Holds `address` as [`start`] would, until what is returned is dropped. Port 0 is any free one.
///
/// # Errors
/// Where `start` could not hold it either.
pub fn try_hold(address: SocketAddr) -> io::Result<impl Sized> {
    listener::hold(address)
}

/// Holds all addresses and starts one shard for each of `settings.cores`, each with a core made on its own thread by `make_core`.
/// Connections are taken from [`Control::open`] on; those that come before wait. Events for the call detail records go to `cdr`,
/// what is to be kept of users to `keeper`: their bounds press back, and their readers must live until [`Running::stop`] has returned.
pub fn start<C, F>(
    settings: Settings,
    cdr: Sender<CdrEvent>,
    keeper: Sender<Errand>,
    make_core: F,
) -> Result<Running, StartError>
where
    C: Core + 'static,
    F: Fn(ShardId) -> C + Send + Sync + 'static,
{
    let shards = settings.cores.len();
    if shards == 0 {
        return Err(StartError::NoCores);
    }
    let hold = |addresses: &[SocketAddr]| {
        let held = |&address| {
            listener::hold(address).map_err(|error| StartError::Listen { address, error })
        };
        addresses.iter().map(held).collect::<Result<Vec<Held>, _>>()
    };
    let (held_tls, held_tcp) = (hold(&settings.sips)?, hold(&settings.sip)?);
    let chosen = |held: &[Held]| held.iter().map(|held| held.address).collect::<Vec<_>>();
    let (sips, sip) = (chosen(&held_tls), chosen(&held_tcp));
    let addresses: Vec<_> = (sips.iter().map(|address| (*address, Transport::Tls)))
        .chain(sip.iter().map(|address| (*address, Transport::Tcp)))
        .collect();

    let clock = Clock::start();
    let first_core = settings.cores[0];
    let no_descriptor = |error: io::Error| StartError::Shard {
        core: first_core,
        why: error.to_string(),
    };
    let mailboxes = mailboxes(shards).map_err(no_descriptor)?;
    let doors =
        (settings.own_tables.then(|| Doors::new(shards)).transpose()).map_err(no_descriptor)?;
    let connections = Arc::new(AtomicUsize::new(0));
    let pulses: Vec<Arc<Pulse>> = (0..shards).map(|_| Arc::default()).collect();
    let settled: Vec<Arc<AtomicBool>> = (0..shards).map(|_| Arc::default()).collect();
    let lost: Arc<AtomicUsize> = Arc::default();
    let make_core = Arc::new(make_core);
    let control = Control {
        mailboxes: mailboxes.clone(),
        ended: Arc::default(),
    };
    let mut waiting = Vec::new();
    for (index, &core) in settings.cores.iter().enumerate() {
        let sharing = settings.cores.iter().filter(|&&other| other == core);
        let equipment = Equipment {
            shard: ShardId(u16::try_from(index).expect("fewer shards than 65,536")),
            clock,
            tls: settings.tls.clone(),
            frame: settings.frame,
            limits: settings.connection,
            connections_max: settings.connections_max,
            connections: connections.clone(),
            sharing: sharing.count(),
            listeners: Vec::new(),
            passage: None,
            mailboxes: mailboxes.clone(),
            recorder: Outlet::new("events of call detail records", cdr.clone()),
            lost: lost.clone(),
            keeper: Outlet::new("changes of users", keeper.clone()),
            pulse: pulses[index].clone(),
            linger: settings.linger,
            settled: settled[index].clone(),
        };
        let plan = Plan {
            core,
            preempt_timer: settings.preempt_timer,
            addresses: addresses.clone(),
            doors: doors.clone(),
        };
        waiting.push(Waiting::start(plan, equipment, make_core.clone())?);
    }
    let mut threads = Vec::new();
    for shard in waiting {
        match shard.go() {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                control.tell_all(|| Command::Finish, END_WITHIN);
                join(threads);
                return Err(error);
            }
        }
    }
    drop((held_tls, held_tcp));
    let heart = Heart::start(pulses).map_err(|error| StartError::Shard {
        core: settings.cores[0],
        why: error.to_string(),
    })?;
    Ok(Running {
        sips,
        sip,
        control,
        settled,
        lost,
        threads,
        _heart: heart,
    })
}

/// The mailboxes of all shards, each with its bell. Smaller ones where there are many: all that press on one are many then.
fn mailboxes(shards: usize) -> io::Result<Arc<[Mailbox<Envelope>]>> {
    let letters = (MAILBOXES_LETTERS / shards).clamp(MAILBOX_LETTERS_MIN, MAILBOX_LETTERS_MAX);
    let mailbox = |_| {
        let mailbox = Mailbox::new(letters);
        mailbox.set_bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(mailbox)
    };
    (0..shards).map(mailbox).collect()
}

/// Waits for threads to end; false when one did not in time, or panicked.
fn join(threads: Vec<JoinHandle<()>>) -> bool {
    let end = Instant::now() + END_WITHIN;
    let mut well = true;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < end {
            thread::sleep(FULL_SLEEP);
        }
        well &= thread.is_finished() && thread.join().is_ok();
    }
    well
}

impl Running {
    /// A handle for other threads.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops: no more connections, `Input::Stop` to each core, up to `within` for what is in flight, then close_notify to all.
    /// How many events for the call detail records nobody has taken; `None` when a shard did not end.
    pub fn stop(self, within: Duration) -> Option<usize> {
        let end = Instant::now() + within;
        self.control.tell_all(|| Command::Stop, within);
        let mut settled_since: Option<Instant> = None;
        while Instant::now() < end {
            if self
                .settled
                .iter()
                .all(|settled| settled.load(Ordering::SeqCst))
            {
                if settled_since.get_or_insert_with(Instant::now).elapsed() >= SETTLED_FOR {
                    break;
                }
            } else {
                settled_since = None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.control.tell_all(|| Command::Finish, END_WITHIN);
        let well = join(self.threads);
        self.control.ended.store(true, Ordering::SeqCst);
        if !well {
            tracing::error!(
                "a shard did not end in {} s; its connections are cut by the end of the process",
                END_WITHIN.as_secs()
            );
        }
        well.then(|| self.lost.load(Ordering::Relaxed))
    }
}

impl Control {
    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// Begins to take connections. Put the users in first.
    pub fn open(&self) {
        self.tell_all(|| Command::Open, Duration::MAX);
    }

    /// Tells the owner of a user of a change. Waits while that shard's mailbox is full.
    pub fn user(&self, owner: ShardId, change: UserChange) {
        self.tell(owner, Envelope::User(change), Duration::MAX);
    }

    /// Tells who asked how a change ended. Waits while that shard's mailbox is full.
    pub fn kept(&self, ticket: KeepTicket, outcome: Result<(), NotKept>) {
        let envelope = Envelope::Kept { ticket, outcome };
        self.tell(ticket.shard, envelope, Duration::MAX);
    }

    /// The histograms and counters of all shards, merged; an error names a shard that did not answer `within`.
    pub fn telemetry(&self, within: Duration) -> Result<Telemetry, ShardId> {
        let (answer, answers) = bounded(self.shards());
        let mut merged = Telemetry::new();
        self.tell_all(|| Command::Telemetry(answer.clone()), within);
        self.collect(&answers, within, |(shard, telemetry)| {
            merged.merge(&telemetry);
            shard
        })?;
        Ok(merged)
    }

    /// Whether every shard takes work: `within` that time it is open, not stopping, and neither the store, the call detail
    /// records nor another shard keep it from reading its sockets. An error names one that does not.
    pub fn ready(&self, within: Duration) -> Result<(), ShardId> {
        let (answer, answers) = bounded(self.shards());
        self.tell_all(|| Command::Ready(answer.clone()), within);
        self.collect(&answers, within, |shard| shard)
    }

    /// From now on, accepts with another certificate. Connections that are open keep theirs.
    pub fn set_tls(&self, tls: Arc<ServerConfig>) {
        self.tell_all(|| Command::Tls(tls.clone()), Duration::MAX);
    }

    /// Takes one answer of each shard; an error names the first of those that are missing.
    fn collect<T>(
        &self,
        answers: &Receiver<T>,
        within: Duration,
        mut take: impl FnMut(T) -> ShardId,
    ) -> Result<(), ShardId> {
        let end = Instant::now() + within;
        let mut missing: Vec<ShardId> = (0..self.shards())
            .map(|index| ShardId(index as u16))
            .collect();
        while let Some(&first) = missing.first() {
            let shard = take(answers.recv_deadline(end).map_err(|_| first)?);
            missing.retain(|other| *other != shard);
        }
        Ok(())
    }

    fn tell_all(&self, command: impl Fn() -> Command, within: Duration) {
        for index in 0..self.shards() {
            self.tell(ShardId(index as u16), Envelope::Command(command()), within);
        }
    }

    /// Puts an envelope into a mailbox, waiting up to `within` for room.
    fn tell(&self, shard: ShardId, mut envelope: Envelope, within: Duration) {
        let mailbox = &self.mailboxes[usize::from(shard.0)];
        let asked = Instant::now();
        while let Err(back) = mailbox.push(envelope) {
            // A full mailbox is about to be emptied; ring in case its reader sleeps beside it.
            mailbox.ring();
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            if asked.elapsed() >= within {
                tracing::warn!(
                    shard = shard.0,
                    "mailbox full for {} s; a command is given up",
                    within.as_secs()
                );
                return;
            }
            thread::sleep(FULL_SLEEP);
            envelope = back;
        }
        mailbox.ring();
    }
}
