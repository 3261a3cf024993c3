//! One core's turn: gather inputs, let the core handle each at one `now`, carry out the effects, flush.
//!
//! All of a shard is this one task. It asks its sockets and its mailbox itself, so while there is work it does not go back to
//! glommio but for a breath now and then; with nothing to do it waits for the readiness set, the mailbox and the next tick at once.
//! While another shard or the CDR writer is full it reads no socket ("pressed"): nothing is dropped and nobody blocks.
//! Where connections come from and go to is `adoption`; it decides nothing about SIP.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use glommio::timer::{Timer, sleep};
use rustls::ServerConfig;

use crate::shard::effect::{Effect, Effects};
use crate::shard::input::Input;
use crate::shard::letter::Letter;
use crate::shard::{Core, ShardId};
use crate::shell::clock::Clock;
use crate::shell::connection::{ConnectionLimits, Flow, NO_SEND, Scratch, Stage};
use crate::shell::envelope::{Command, Envelope, UserChange};
use crate::shell::listener::Listener;
use crate::shell::mailbox::{Mailbox, Outbox};
use crate::shell::recorder::Recorder;
use crate::shell::socket::{Ready, ReadySet};
use crate::shell::table::Table;
use crate::shell::telemetry::{Telemetry, Timed};
use crate::sip::frame::{self, Cut};
use crate::sip::link::ConnectionId;
use crate::sip::message::{Malformed, Message};
use crate::sip::time::Now;

/// Time between ticks of the core.
const TICK: Duration = Duration::from_millis(100);
/// A sweep of the deadlines takes so many ticks: a second.
const SWEEP_TICKS: usize = 10;
/// Letters taken from the mailbox in a turn.
const TURN_LETTERS_MAX: usize = 1_024;
/// Work on sockets in a turn, in messages.
const TURN_WORK_MAX: usize = 1_024;
/// What a step of a TLS handshake costs, in messages.
const HANDSHAKE_WORK: usize = 8;
/// Messages of one connection in a turn: a flood waits for everybody else.
const CONNECTION_MESSAGES_MAX: usize = 32;
/// Letters of a core to itself in a turn.
const SELF_LETTERS_MAX: usize = 4_096;
/// More output than this in a turn is flushed before the next input.
const ARENA_BYTES_MAX: usize = 4 << 20;
/// Without a pause this long at most: then glommio runs what else there is on this thread (the pulse).
const BREATH_EVERY: Duration = Duration::from_millis(2);
/// How long a pressed shard, or one that cannot wait on its set, sleeps.
const PRESSED_SLEEP: Duration = Duration::from_millis(1);
/// Accepting pauses so long when the system is out of descriptors.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a stopping shard waits for its last bytes to leave.
const LAST_BYTES: Duration = Duration::from_secs(1);

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
    pub(super) listeners: Vec<Listener>,
    /// Of all shards, by number.
    pub(super) mailboxes: Arc<[Mailbox<Envelope>]>,
    pub(super) recorder: Recorder,
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
    next_tick: Now,
    alarm: Option<Timer>,
    breathed: Instant,
    /// The set held more than was taken.
    more_ready: bool,
    /// Listeners with connections.
    pub(super) knocking: Vec<usize>,
    pub(super) accepting_again: Option<Now>,
    /// Connections to be served, each once.
    queue: VecDeque<ConnectionId>,
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
    /// Inputs of this turn.
    inputs: usize,
    pub(super) telemetry: Telemetry,
}

impl<C: Core> Executor<C> {
    /// A shard that is not yet open.
    pub(super) fn new(equipment: Equipment, core: C) -> std::io::Result<Executor<C>> {
        let now = equipment.clock.now();
        let outboxes = equipment
            .mailboxes
            .iter()
            .map(|_| Outbox::default())
            .collect();
        Ok(Executor {
            core,
            set: ReadySet::new()?,
            table: Table::new(now),
            life: Life::Shut,
            now,
            next_tick: now,
            alarm: None,
            breathed: Instant::now(),
            more_ready: false,
            knocking: Vec::new(),
            accepting_again: None,
            queue: VecDeque::new(),
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
            inputs: 0,
            telemetry: Telemetry::new(),
            equipment,
        })
    }

    /// Turns until `Command::Finish` and a little longer.
    pub(super) async fn run(mut self) {
        loop {
            self.turn();
            if let Life::Finishing { by } = self.life
                && (self.table.len() == 0 || self.now >= by)
            {
                break;
            }
            if self.is_pressed() {
                sleep(PRESSED_SLEEP).await;
                self.breathed = Instant::now();
            } else if !self.has_work() {
                self.wait().await;
                self.breathed = Instant::now();
            } else if self.breathed.elapsed() > BREATH_EVERY {
                // Never `yield_now`: while a task is runnable glommio looks at nothing else until its preempt timer fires.
                sleep(Duration::from_micros(1)).await;
                self.breathed = Instant::now();
            }
        }
        self.equipment.recorder.finish();
    }

    fn own_mailbox(&self) -> &Mailbox<Envelope> {
        &self.equipment.mailboxes[usize::from(self.equipment.shard.0)]
    }

    fn is_pressed(&self) -> bool {
        !self.equipment.recorder.is_empty() || self.outboxes.iter().any(|outbox| !outbox.is_empty())
    }

    fn has_work(&self) -> bool {
        self.more_ready
            || !self.queue.is_empty()
            || !self.dirty.is_empty()
            || !self.happened.is_empty()
            || !self.to_self.is_empty()
            || !self.own_mailbox().is_empty()
    }

    async fn wait(&mut self) {
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
            sleep(PRESSED_SLEEP).await;
        }
    }

    fn turn(&mut self) {
        self.now = self.equipment.clock.now();
        self.inputs = 0;
        self.tell_what_happened();
        self.take_mail();
        self.take_ready();
        if !self.is_pressed() {
            self.accept();
            self.serve_queue();
        } else if !self.queue.is_empty() || !self.knocking.is_empty() {
            self.telemetry.counters.turns_pressed += 1;
        }
        if self.now >= self.next_tick {
            self.tick();
        }
        for _ in 0..SELF_LETTERS_MAX {
            let Some(letter) = self.to_self.pop_front() else {
                break;
            };
            self.give(Input::Letter(letter));
        }
        self.flush();
        self.equipment.recorder.flush();
        for (outbox, mailbox) in self
            .outboxes
            .iter_mut()
            .zip(self.equipment.mailboxes.iter())
        {
            outbox.flush(mailbox);
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
                Envelope::Adopted { posted, connection } => {
                    self.telemetry.record(
                        Timed::CrossShardHop,
                        self.equipment.clock.now().since(posted),
                    );
                    self.arrive(connection);
                }
                Envelope::User(UserChange::Put(record)) => self.give(Input::UserPut(record)),
                Envelope::User(UserChange::Removed(aor)) => self.give(Input::UserRemoved(aor)),
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
            // Whoever asked may have gone; then nobody misses the answer.
            Command::Ready(answer) => {
                if self.life == Life::Open {
                    let _ = answer.send(self.equipment.shard);
                }
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

    fn take_ready(&mut self) {
        let (table, queue, knocking) = (&mut self.table, &mut self.queue, &mut self.knocking);
        knocking.clear();
        self.more_ready = self.set.take(|ready| match ready {
            Ready::Listener(index) => knocking.push(index),
            Ready::Connection {
                connection: id,
                readable,
                writable,
                ended,
            } => {
                let Some(connection) = table.get_mut(id) else {
                    return;
                };
                connection.readable |= readable;
                connection.writable |= writable;
                connection.ending |= ended;
                if !core::mem::replace(&mut connection.queued, true) {
                    queue.push_back(id);
                }
            }
        });
    }

    /// Puts a connection into the queue of those that are served.
    pub(super) fn enqueue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id)
            && !core::mem::replace(&mut connection.queued, true)
        {
            self.queue.push_back(id);
        }
    }

    fn serve_queue(&mut self) {
        let mut work = 0;
        for _ in 0..self.queue.len() {
            if work >= TURN_WORK_MAX || self.is_pressed() {
                break;
            }
            let Some(id) = self.queue.pop_front() else {
                break;
            };
            if let Some(connection) = self.table.get_mut(id) {
                connection.queued = false;
                work += self.serve(id);
            }
        }
    }

    /// Sends what waits on a connection, reads it once, and handles what it has, up to a bound. Answers with the work done.
    fn serve(&mut self, id: ConnectionId) -> usize {
        let Some(connection) = self.table.get_mut(id) else {
            return 0;
        };
        if connection.unsent_bytes() > 0 && connection.writable {
            match connection.send_rest(self.now) {
                Ok(written) => self.telemetry.counters.bytes_out += written as u64,
                Err(broken) => return self.drop_connection(id, broken.0),
            }
            self.look_at_flow(id);
        }
        let Some(connection) = self.table.get_mut(id) else {
            return 0;
        };
        if let Stage::Closing { .. } = connection.stage {
            self.read_off(id);
            return 1;
        }
        if !connection.takes_input() {
            return 1;
        }
        // What is kept comes first; the socket is read only when that is not enough for a message.
        let lent = connection.plain.is_empty();
        let mut plain = if lent {
            core::mem::take(&mut self.plain)
        } else {
            core::mem::take(&mut connection.plain)
        };
        let (mut at, mut work) = (0, 0);
        let mut stay = connection.hungry || self.cut(id, &mut plain, &mut at, &mut work);
        let Some(connection) = self.table.get_mut(id) else {
            return work;
        };
        if stay && connection.hungry && connection.readable && connection.takes_input() {
            match connection.read(&mut plain, &mut self.scratch, self.now) {
                Ok(taken) => {
                    self.telemetry.counters.bytes_in += taken.bytes as u64;
                    self.telemetry.counters.bytes_out += taken.written as u64;
                    if connection.stage == Stage::Handshake || taken.established {
                        work += HANDSHAKE_WORK;
                    }
                    if taken.established {
                        self.established(id);
                    }
                    stay = self.cut(id, &mut plain, &mut at, &mut work);
                }
                Err(broken) => {
                    if lent {
                        plain.clear();
                        self.plain = plain;
                    }
                    return work + self.drop_connection(id, broken.0);
                }
            }
        }
        self.leave(id, plain, at, lent, stay);
        work.max(1)
    }

    /// Puts a connection's bytes back where they belong after it was served.
    fn leave(&mut self, id: ConnectionId, mut plain: Vec<u8>, at: usize, lent: bool, stay: bool) {
        let now = self.now;
        if !stay && let Some(to) = self.adopted_by.take() {
            // The message at hand is not consumed: it goes in front.
            let rest = plain.split_off(at);
            if lent {
                plain.clear();
                self.plain = plain;
            }
            self.give_away(id, to, rest);
            return;
        }
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if let Some(back) = connection.keep(plain, at, lent, now) {
            self.plain = back;
        }
        if let Stage::Closing { .. } = connection.stage {
            connection.plain = Vec::new();
            return;
        }
        if connection.ended && connection.hungry {
            self.close(id, "peer closed", false);
            return;
        }
        let again = connection.takes_input() && (!connection.hungry || connection.readable);
        if let Ok(Some(at)) = connection.overdue(&self.equipment.limits, now) {
            self.table.look_at(id, at);
        }
        if again {
            self.enqueue(id);
        }
    }

    /// Cuts whole messages from `plain[*at..]` and gives each to the core. False when the connection leaves this shard.
    fn cut(
        &mut self,
        id: ConnectionId,
        plain: &mut [u8],
        at: &mut usize,
        work: &mut usize,
    ) -> bool {
        let limits = self.equipment.frame;
        for _ in 0..CONNECTION_MESSAGES_MAX {
            let Some(connection) = self.table.get_mut(id) else {
                return true;
            };
            if !connection.takes_input() {
                // Once it drains, what is there comes before what there may be.
                connection.hungry = false;
                return true;
            }
            let skipped = connection.skip.min(plain.len() - *at);
            connection.skip -= skipped;
            *at += skipped;
            let peer = connection.link.peer;
            connection.hungry = false;
            let bytes = plain.get_mut(*at..).unwrap_or_default();
            match frame::cut(bytes, &limits, &mut connection.frame) {
                Cut::Need(_) => {
                    connection.hungry = true;
                    return true;
                }
                Cut::Ping(count) => {
                    *at += count;
                    self.effects.send(id, |out| out.extend_from_slice(b"\r\n"));
                    self.carry_out();
                }
                Cut::Pong(count) => *at += count,
                Cut::Message { total, .. } => {
                    connection.spoke = true;
                    self.telemetry.counters.messages_in += 1;
                    self.serving = Some(id);
                    match Message::parse(bytes.get_mut(..total).unwrap_or_default()) {
                        Ok(mut message) => {
                            message.set_source(peer);
                            self.give(Input::Message {
                                connection: id,
                                message: &message,
                            });
                        }
                        Err(malformed) => self.refuse(id, peer, malformed),
                    }
                    self.serving = None;
                    if self.adopted_by.is_some() {
                        return false;
                    }
                    *at += total;
                }
                Cut::Refuse {
                    fault,
                    head,
                    resume,
                } => {
                    // Even with nothing to resume at: what follows is not looked at again.
                    let count = resume.unwrap_or(usize::MAX).min(bytes.len());
                    connection.skip = resume.map_or(usize::MAX, |resume| resume - count);
                    let head = bytes.get_mut(..head).unwrap_or_default();
                    self.refuse(id, peer, Malformed::refused(head, fault, resume.is_none()));
                    *at += count;
                    if resume.is_none() {
                        // The core has asked for it; in case it did not.
                        self.close(id, "framing lost", true);
                    }
                }
            }
            *work += 1;
        }
        true
    }

    fn refuse(&mut self, connection: ConnectionId, peer: SocketAddr, mut malformed: Malformed<'_>) {
        self.telemetry.counters.frames_refused += 1;
        if let Some(partial) = &mut malformed.partial {
            partial.set_source(peer);
        }
        self.give(Input::Malformed {
            connection,
            malformed: &malformed,
        });
    }

    fn tick(&mut self) {
        self.next_tick = self.now.after(TICK);
        self.alarm = None;
        self.give(Input::Tick);
        if !self.is_pressed() {
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
                        } else {
                            self.telemetry.counters.connections_cut += 1;
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
        self.accept_again();
    }

    /// Gives one input to the core and carries out what it asks for.
    pub(super) fn give(&mut self, input: Input<'_>) {
        self.inputs += 1;
        self.core.handle(self.now, input, &mut self.effects);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        let mut list = core::mem::take(&mut self.effects.list);
        for effect in list.drain(..) {
            match effect {
                Effect::Send { connection, range } => self.chain(connection, range),
                Effect::Close { connection, reason } => self.close(connection, reason, true),
                Effect::Adopt { connection, to } if self.serving == Some(connection) => {
                    self.adopted_by = Some(to)
                }
                Effect::Adopt { connection, to } => {
                    let rest = self
                        .table
                        .get_mut(connection)
                        .map(|connection| core::mem::take(&mut connection.plain));
                    self.give_away(connection, to, rest.unwrap_or_default());
                }
                Effect::Post { to, letter } if to == self.equipment.shard => {
                    self.to_self.push_back(letter)
                }
                Effect::Post { to, letter } => {
                    self.telemetry.counters.letters_out += 1;
                    let posted = self.equipment.clock.now();
                    self.post(to, Envelope::Letter { posted, letter });
                }
                Effect::Record(event) => self.equipment.recorder.record(event),
                Effect::Observe { latency, since } => self.observed.push((latency.into(), since)),
                Effect::Count {
                    method,
                    status,
                    ours,
                } => self.telemetry.count_answer(method, status, ours),
            }
        }
        self.effects.list = list;
        if self.effects.bytes.len() > ARENA_BYTES_MAX {
            self.flush();
        }
    }

    /// Puts an envelope into another shard's mailbox, or keeps it until there is room.
    pub(super) fn post(&mut self, to: ShardId, envelope: Envelope) {
        let to = usize::from(to.0);
        self.outboxes[to].post(&self.equipment.mailboxes[to], envelope);
    }

    /// Chains a piece of output to those of its connection.
    fn chain(&mut self, id: ConnectionId, range: core::ops::Range<usize>) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.stage != Stage::Open {
            return;
        }
        let index = u32::try_from(self.sends.len()).expect("the arena is flushed long before");
        self.sends.push(Send {
            range,
            next: NO_SEND,
        });
        let (first, last) = &mut connection.sends;
        if *first == NO_SEND {
            *first = index;
        } else {
            self.sends[*last as usize].next = index;
        }
        *last = index;
        if !core::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Hands all output of the turn to the sockets.
    fn flush(&mut self) {
        let mut dirty = core::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.flush_connection(id);
        }
        // What has come to be closed meanwhile is for the next turn.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        self.sends.clear();
        self.effects.bytes.clear();
        self.effects.bytes.shrink_to(2 * ARENA_BYTES_MAX);
        if !self.observed.is_empty() {
            let flushed = self.equipment.clock.now();
            for (timed, since) in self.observed.drain(..) {
                self.telemetry.record(timed, flushed.since(since));
            }
        }
    }

    /// Hands a connection's output of this turn to its socket, at once where all is one piece.
    pub(super) fn flush_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.dirty = false;
        let (mut next, _) = core::mem::replace(&mut connection.sends, (NO_SEND, NO_SEND));
        if let Some(send) = self.sends.get(next as usize) {
            let piece = if send.next == NO_SEND {
                &self.effects.bytes[send.range.clone()]
            } else {
                self.join.clear();
                while let Some(send) = self.sends.get(next as usize) {
                    self.join
                        .extend_from_slice(&self.effects.bytes[send.range.clone()]);
                    next = send.next;
                }
                self.join.shrink_to(ARENA_BYTES_MAX);
                &self.join
            };
            match connection.send(piece, &mut self.scratch, self.now) {
                Ok(written) => self.telemetry.counters.bytes_out += written as u64,
                Err(broken) => {
                    self.drop_connection(id, broken.0);
                    return;
                }
            }
        }
        self.look_at_flow(id);
        self.say_end(id);
    }

    /// Tells the core when a connection's output crossed a mark, and closes one that is past help.
    fn look_at_flow(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.stage != Stage::Open {
            return;
        }
        match connection.flow(&self.equipment.limits, self.now) {
            Ok(Flow::Steady) => {}
            Ok(Flow::Behind) => {
                self.telemetry.counters.peers_behind += 1;
                self.happened.push_back(Happened::Behind(id));
            }
            Ok(Flow::Drained) => {
                self.happened.push_back(Happened::Drained(id));
                self.enqueue(id);
            }
            Err(broken) => {
                self.telemetry.counters.connections_cut += 1;
                self.drop_connection(id, broken.0);
                return;
            }
        }
        if let Some(connection) = self.table.get_mut(id)
            && connection.unsent_bytes() > 0
        {
            let at = self.now.after(self.equipment.limits.unread);
            self.table.look_at(id, at);
        }
    }

    /// Closes a connection after what was sent before has left. With `linger`, what the peer still sends is read off first.
    pub(super) fn close(&mut self, id: ConnectionId, reason: &'static str, linger: bool) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if let Stage::Closing { .. } = connection.stage {
            return;
        }
        tracing::debug!(connection = id.0, peer = %connection.link.peer, reason, "closing");
        let by = self.now.after(self.equipment.limits.close);
        let known = connection.stage == Stage::Open;
        if !known {
            self.telemetry.counters.handshakes_failed += 1;
        }
        connection.stage = Stage::Closing {
            by,
            known,
            linger: linger && !connection.ended,
            said: false,
        };
        connection.readable = true;
        self.table.look_at(id, by);
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if !core::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Goes on with a close.
    fn say_end(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        match connection.say_end(&mut self.scratch, self.now) {
            Ok(false) => {}
            Ok(true) => {
                self.drop_connection(id, "closed");
            }
            Err(broken) => {
                self.drop_connection(id, broken.0);
            }
        }
    }

    fn read_off(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.readable {
            match connection.read_off(&mut self.scratch) {
                Ok(count) => self.telemetry.counters.bytes_in += count as u64,
                Err(broken) => {
                    self.drop_connection(id, broken.0);
                    return;
                }
            }
        }
        self.say_end(id);
        if let Some(connection) = self.table.get_mut(id)
            && connection.readable
            && !connection.ended
        {
            self.enqueue(id);
        }
    }

    /// Lets go of a connection at once. The core hears of it if it knew it.
    pub(super) fn drop_connection(&mut self, id: ConnectionId, reason: &'static str) -> usize {
        let Some(connection) = self.table.remove(id) else {
            return 0;
        };
        let known = match connection.stage {
            Stage::Handshake => {
                self.telemetry.counters.handshakes_failed += 1;
                false
            }
            Stage::Open => true,
            Stage::Closing { known, .. } => known,
        };
        tracing::debug!(connection = id.0, peer = %connection.link.peer, reason, "closed");
        if known {
            self.happened.push_back(Happened::Closed(id));
        }
        self.equipment.connections.fetch_sub(1, Ordering::Relaxed);
        1
    }
}
