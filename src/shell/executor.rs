//! One core's turn: gather inputs, let the core handle each at one `now`, carry out the effects, flush.
//!
//! All of a shard is this one task. It asks its sockets and its mailbox itself and waits in its readiness set, where the mailbox's
//! bell stands too; only when nothing has happened for a while it rests in glommio, for the set, the mailbox and the next tick at once.
//! While another shard, the CDR writer or the store is full it reads no socket ("pressed"): nothing is dropped and nobody blocks.
//! The way in is `incoming`, the way out `outgoing`; where connections come from and go to is `adoption`. Nothing here decides about SIP.

mod incoming;
mod moderation;
mod outgoing;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use glommio::timer::Timer;
use rustls::ServerConfig;

use crate::shard::cdr_event::CdrEvent;
use crate::shard::effect::Effects;
use crate::shard::input::Input;
use crate::shard::letter::Letter;
use crate::shard::{Core, ShardId};
use crate::shell::clock::Clock;
use crate::shell::connection::{ConnectionLimits, Scratch, Stage};
use crate::shell::envelope::{Command, Envelope, UserChange};
use crate::shell::executor::moderation::Moderation;
use crate::shell::listener::Listener;
use crate::shell::mailbox::{Mailbox, Outbox};
use crate::shell::outlet::Outlet;
use crate::shell::passage::Passage;
use crate::shell::pulse::Pulse;
use crate::shell::socket::ReadySet;
use crate::shell::store::Errand;
use crate::shell::table::Table;
use crate::shell::telemetry::{Telemetry, Timed};
use crate::shell::waiting::{Pause, Waiting};
use crate::sip::frame;
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;

/// Time between ticks of the core.
const TICK: Duration = Duration::from_millis(100);
/// A sweep of the deadlines takes so many ticks: a second.
const SWEEP_TICKS: usize = 10;
/// Letters taken from the mailbox in a turn.
const TURN_LETTERS_MAX: usize = 1_024;
/// Letters of a core to itself in a turn. Those that they beget wait for the next turn: so what a core does bit by bit lets
/// others in between.
const SELF_LETTERS_MAX: usize = 4_096;
/// How long a pressed shard, or one that cannot wait on its set, sleeps.
const PRESSED_SLEEP: Duration = Duration::from_millis(1);
/// Accepting pauses so long when the system is out of descriptors.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stopping shard waits for its last bytes to leave.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// So many questions whether a shard takes work wait at most; who asked before the others has waited for long, and is given up.
const ASKED_READY_MAX: usize = 64;

/// What a shard is given at its start.
pub(super) struct Equipment {
    pub(super) shard: ShardId,
    pub(super) clock: Clock,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) frame: frame::Limits,
    pub(super) limits: ConnectionLimits,
    /// Of the process, all shards together.
    pub(super) connections_max: usize,
    /// Of the process.
    pub(super) connections: Arc<AtomicUsize>,
    /// Shards on this one's core, itself included.
    pub(super) sharing: usize,
    pub(super) listeners: Vec<Listener>,
    /// Where each shard has a table of descriptors of its own.
    pub(super) passage: Option<Passage>,
    /// Of all shards, by number.
    pub(super) mailboxes: Arc<[Mailbox<Envelope>]>,
    pub(super) recorder: Outlet<CdrEvent>,
    /// Of the process: events that nobody took when their shard ended.
    pub(super) lost: Arc<AtomicUsize>,
    pub(super) keeper: Outlet<Errand>,
    pub(super) pulse: Arc<Pulse>,
    /// How long after something happened the shard goes to rest in glommio.
    pub(super) linger: Duration,
    /// Said after `Command::Stop` while nothing is in flight.
    pub(super) settled: Arc<AtomicBool>,
}

/// Something that the core is to hear of in the next turn.
enum Happened {
    Behind(ConnectionId),
    Drained(ConnectionId),
    Closed(ConnectionId),
}

/// A piece of this turn's output; the pieces of one connection form a chain.
struct Send {
    range: core::ops::Range<usize>,
    next: u32,
}

/// How far a shard is with stopping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Not taking connections yet.
    Shut,
    Open,
    Stopping,
    Finishing {
        by: Now,
    },
}

/// One shard at work.
pub(super) struct Executor<C> {
    pub(super) equipment: Equipment,
    core: C,
    pub(super) set: ReadySet,
    pub(super) table: Table,
    life: Life,
    /// The time of this turn.
    pub(super) now: Now,
    pub(super) next_tick: Now,
    alarm: Option<Timer>,
    /// When a turn last had something to do besides its tick.
    busy_at: Instant,
    moderation: Moderation,
    /// The beginning of the turn that moderation heard of last.
    moderated: Now,
    /// Listeners with connections.
    pub(super) knocking: Vec<usize>,
    pub(super) accepting_again: Option<Now>,
    /// Connections accepted since the last tick.
    pub(super) accepted: usize,
    /// Connections to be served, each once.
    queue: VecDeque<ConnectionId>,
    /// The same of those that shake hands.
    pub(super) handshakes: VecDeque<ConnectionId>,
    happened: VecDeque<Happened>,
    to_self: VecDeque<Letter>,
    outboxes: Vec<Outbox<Envelope>>,
    effects: Effects,
    sends: Vec<Send>,
    /// Connections with output or with an end to say.
    dirty: Vec<ConnectionId>,
    observed: Vec<(Timed, Now)>,
    due: Vec<ConnectionId>,
    pub(super) scratch: Scratch,
    plain: Vec<u8>,
    join: Vec<u8>,
    /// The connection whose message the core is handling, and where the core wants it.
    serving: Option<ConnectionId>,
    adopted_by: Option<ShardId>,
    waiting: Waiting,
    pause: Pause,
    /// Nobody is cut before that: they have not had all their time, for it has stood still.
    cuts_from: Now,
    /// Who asks whether this shard takes work: told in the next turn in which it does.
    asked_ready: VecDeque<Sender<ShardId>>,
    /// Inputs of this turn.
    inputs: usize,
    pub(super) telemetry: Telemetry,
}

impl<C: Core> Executor<C> {
    /// A shard that is not yet open.
    pub(super) fn new(equipment: Equipment, core: C) -> std::io::Result<Executor<C>> {
        let now = equipment.clock.now();
        let set = ReadySet::new(equipment.mailboxes[usize::from(equipment.shard.0)].bell())?;
        let outboxes = equipment
            .mailboxes
            .iter()
            .map(|_| Outbox::default())
            .collect();
        Ok(Executor {
            core,
            set,
            table: Table::new(now),
            life: Life::Shut,
            now,
            next_tick: now,
            alarm: None,
            busy_at: Instant::now(),
            moderation: Moderation::default(),
            moderated: now,
            knocking: Vec::new(),
            accepting_again: None,
            accepted: 0,
            queue: VecDeque::new(),
            handshakes: VecDeque::new(),
            happened: VecDeque::new(),
            to_self: VecDeque::new(),
            outboxes,
            effects: Effects::default(),
            sends: Vec::new(),
            dirty: Vec::new(),
            observed: Vec::new(),
            due: Vec::new(),
            scratch: Scratch::new(),
            plain: Vec::new(),
            join: Vec::new(),
            serving: None,
            adopted_by: None,
            waiting: Waiting::new(now),
            pause: Pause::default(),
            cuts_from: now,
            asked_ready: VecDeque::new(),
            inputs: 0,
            telemetry: Telemetry::new(),
            equipment,
        })
    }

    /// Turns until `Command::Finish` and a little longer.
    pub(super) async fn run(mut self) {
        self.equipment.pulse.rests(false);
        loop {
            self.turn();
            self.equipment.pulse.answer();
            if let Life::Finishing { by } = self.life
                && (self.table.len() == 0 || self.now >= by)
            {
                break;
            }
            if self.is_pressed() {
                std::thread::sleep(PRESSED_SLEEP);
            } else if !self.has_work() {
                self.waiting.sleeps(self.equipment.clock.now());
                if self.busy_at.elapsed() < self.equipment.linger {
                    self.linger();
                } else {
                    self.equipment.pulse.rests(true);
                    self.rest().await;
                    self.equipment.pulse.rests(false);
                }
            }
        }
        let lost = self.equipment.recorder.finish();
        self.equipment.lost.fetch_add(lost, Ordering::Relaxed);
        // Nobody has been told that any of these was kept.
        self.equipment.keeper.finish();
    }

    fn own_mailbox(&self) -> &Mailbox<Envelope> {
        &self.equipment.mailboxes[usize::from(self.equipment.shard.0)]
    }

    fn is_pressed(&self) -> bool {
        !self.equipment.recorder.is_empty()
            || !self.equipment.keeper.is_empty()
            || self.outboxes.iter().any(|outbox| !outbox.is_empty())
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty()
            || !self.handshakes.is_empty()
            || !self.dirty.is_empty()
            || !self.happened.is_empty()
            || !self.to_self.is_empty()
            || !self.own_mailbox().is_empty()
    }

    /// Waits in the readiness set, which the mailbox's bell stands in too. Nothing else runs on this thread, so it may block.
    fn linger(&mut self) {
        if let Some(nap) = self.moderation.nap() {
            // Nobody need ring while this shard looks by itself soon.
            std::thread::sleep(nap);
            return;
        }
        if !self.own_mailbox().arm_bell() {
            return;
        }
        let until_tick = self.next_tick.since(self.equipment.clock.now());
        // Whole milliseconds, rounded up: every kernel's epoll knows them, and a tick that is a little late does no harm.
        let ms = until_tick.as_millis() as u32 + 1;
        self.set.wait(ms);
        self.own_mailbox().disarm();
    }

    /// Waits in glommio.
    async fn rest(&mut self) {
        let until_tick = self.next_tick.since(self.equipment.clock.now());
        let mut unwatchable = false;
        poll_fn(|cx| {
            if !self.own_mailbox().arm(cx.waker()) {
                return Poll::Ready(());
            }
            match self.set.poll_ready(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(()),
                // No descriptor is left to wait with.
                Poll::Ready(Err(_)) => {
                    unwatchable = true;
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
            // Asked once, an alarm knows its task: this one, always.
            if self.alarm.is_none() {
                let mut alarm = Timer::new(until_tick);
                if Pin::new(&mut alarm).poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                self.alarm = Some(alarm);
                return Poll::Pending;
            }
            if self.equipment.clock.now() >= self.next_tick {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        self.own_mailbox().disarm();
        if unwatchable {
            std::thread::sleep(PRESSED_SLEEP);
        }
    }

    fn turn(&mut self) {
        self.now = self.equipment.clock.now();
        self.inputs = 0;
        self.tell_what_happened();
        self.take_mail();
        self.take_ready();
        self.waiting.looks(self.now, !self.queue.is_empty());
        let asked =
            !(self.queue.is_empty() && self.handshakes.is_empty() && self.knocking.is_empty());
        if asked {
            self.busy_at = Instant::now();
        }
        if !self.is_pressed() {
            self.accept();
            self.serve();
            let all = self.queue.is_empty() && self.handshakes.is_empty();
            self.pause.ends(self.now, all);
            let open = self.life == Life::Open;
            for answer in self.asked_ready.drain(..).filter(|_| open) {
                // Whoever asked may have gone; then nobody misses the answer.
                let _ = answer.try_send(self.equipment.shard);
            }
        } else {
            self.pause.goes_on(self.now);
            self.telemetry.counters.turns_pressed += u64::from(asked);
        }
        let before_tick = self.inputs;
        if self.now >= self.next_tick {
            self.tick();
        }
        let of_tick = self.inputs - before_tick;
        for _ in 0..self.to_self.len().min(SELF_LETTERS_MAX) {
            let Some(letter) = self.to_self.pop_front() else {
                break;
            };
            self.give(Input::Letter(letter));
        }
        self.flush();
        self.equipment.recorder.flush();
        self.equipment.keeper.flush();
        self.flush_outboxes();
        let since = self
            .now
            .since(core::mem::replace(&mut self.moderated, self.now));
        self.moderation.note(self.inputs, since.as_secs_f64());
        if self.inputs > of_tick {
            self.busy_at = Instant::now();
        }
        if self.inputs > 0 {
            self.telemetry
                .record(Timed::LoopTurn, self.equipment.clock.now().since(self.now));
        }
    }

    fn tell_what_happened(&mut self) {
        for _ in 0..self.happened.len() {
            let Some(happened) = self.happened.pop_front() else {
                break;
            };
            self.give(match happened {
                Happened::Behind(connection) => Input::Behind { connection },
                Happened::Drained(connection) => Input::Drained { connection },
                Happened::Closed(connection) => Input::Closed { connection },
            });
        }
    }

    fn take_mail(&mut self) {
        for _ in 0..TURN_LETTERS_MAX {
            let Some(envelope) = self.own_mailbox().pop() else {
                break;
            };
            match envelope {
                Envelope::Letter { posted, letter } => {
                    self.telemetry.record(
                        Timed::CrossShardHop,
                        self.equipment.clock.now().since(posted),
                    );
                    self.give(Input::Letter(letter));
                }
                Envelope::Adopted {
                    posted,
                    connection,
                    ticket,
                } => {
                    self.telemetry.record(
                        Timed::CrossShardHop,
                        self.equipment.clock.now().since(posted),
                    );
                    self.arrive(connection, ticket);
                }
                Envelope::User(UserChange::Put(record)) => self.give(Input::UserPut(record)),
                Envelope::User(UserChange::Removed(aor)) => self.give(Input::UserRemoved(aor)),
                Envelope::Kept { ticket, outcome } => self.give(Input::Kept { ticket, outcome }),
                Envelope::Command(command) => self.obey(command),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open => {
                if self.life == Life::Shut {
                    self.life = Life::Open;
                    self.watch_listeners();
                }
            }
            Command::Ready(answer) => {
                if self.asked_ready.len() >= ASKED_READY_MAX {
                    self.asked_ready.pop_front();
                }
                self.asked_ready.push_back(answer);
            }
            Command::Telemetry(answer) => {
                self.telemetry.counters.connections_open = self.table.len() as u64;
                let _ = answer.send((self.equipment.shard, Box::new(self.telemetry.clone())));
            }
            Command::Tls(tls) => self.equipment.tls = tls,
            Command::Stop => {
                if matches!(self.life, Life::Shut | Life::Open) {
                    self.life = Life::Stopping;
                    self.knocking.clear();
                    self.accepting_again = None;
                    self.equipment.listeners.clear();
                    self.give(Input::Stop);
                }
            }
            Command::Finish => {
                self.life = Life::Finishing {
                    by: self.now.after(LAST_BYTES),
                };
                for connection in self.table.ids() {
                    self.close(connection, "server stops", false);
                }
            }
        }
    }

    fn tick(&mut self) {
        self.next_tick = self.now.after(TICK);
        self.alarm = None;
        if let Some(least) = self.waiting.least() {
            self.give(Input::Pressure { least });
        }
        // A stop has its own patience.
        let paused = self.pause.is_on(self.now) && self.life == Life::Open;
        if let Some(lasted) = self.pause.take_over() {
            self.cuts_from = self.now.after(lasted.min(self.equipment.limits.handshake));
            self.give(Input::StoodStill { lasted });
        }
        if !paused {
            self.give(Input::Tick);
        }
        if !paused && !self.is_pressed() {
            let mut due = core::mem::take(&mut self.due);
            self.table.sweep(self.now, SWEEP_TICKS, &mut due);
            for id in due.drain(..) {
                let Some(connection) = self.table.get_mut(id) else {
                    continue;
                };
                match connection.overdue(&self.equipment.limits, self.now) {
                    Ok(Some(at)) => self.table.look_at(id, at),
                    Ok(None) => {}
                    Err(broken) => {
                        if let Stage::Closing { .. } = connection.stage {
                            self.drop_connection(id, broken.0);
                        } else if self.now < self.cuts_from {
                            self.table.look_at(id, self.cuts_from);
                        } else {
                            self.count_cut(id, broken);
                            self.close(id, broken.0, true);
                        }
                    }
                }
            }
            self.due = due;
        }
        if self.life == Life::Stopping {
            let quiet = self.core.is_quiet() && !self.has_work() && !self.is_pressed();
            self.equipment.settled.store(quiet, Ordering::SeqCst);
        }
        self.accepted = 0;
        self.accept_again();
    }
}
