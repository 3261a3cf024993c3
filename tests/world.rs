//! A whole server without a world: pure shards in one thread, with sockets, letters and time in our hands.
//!
//! It keeps the shell's promises and no more: bytes of a connection stay in order, letters between two shards stay in order,
//! a connection that is adopted takes its unread bytes along, and `Closed` comes once, which may be after its slot was given to
//! another. When a letter, an adopted connection or `Closed` arrives is up to the caller.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster::auth::{ha1_md5, ha1_sha256, nt_hash};
use muster::shard::cdr_event::CdrEvent;
use muster::shard::change::{Change, KeepTicket, NotKept};
use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shard::letter::Letter;
use muster::shard::standing::{Refused, Standing};
use muster::shard::{Census, Core as _, Settings, Shard, ShardId, UserRecord};
use muster::sip::frame::{Cut, FrameState, Limits, cut};
use muster::sip::link::{ConnectionId, Link, Transport};
use muster::sip::message::{Malformed, Message};
use muster::sip::time::Now;
use muster::sip::uri::Aor;

/// Where every world begins: some day in November.
const START: Now = Now(1_700_000_000_000_000);
/// Past so many bytes that a client has not read, its connection is `Behind`.
const BEHIND_BYTES: usize = 2 * 1024;

/// What travels from one shard to another.
enum Parcel {
    Letter(Letter),
    /// An adopted connection.
    Socket(usize),
    /// From a shard's shell to its core: a connection is gone. Its slot may be another's by then.
    Gone(ConnectionId),
    /// To the store: this is to be kept.
    Keep(KeepTicket, Change),
    /// From the store: a user as they are now.
    Put(UserRecord),
    /// From the store: how it ended.
    Kept(KeepTicket, Result<(), NotKept>),
}

/// Which shard has a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Home {
    At(usize, ConnectionId),
    /// Between two shards.
    Moving,
    Gone,
}

/// A connection, both ends.
struct Socket {
    home: Home,
    link: Link,
    /// Sent by the client, not yet taken by a shard.
    unread: Vec<u8>,
    state: FrameState,
    /// So many bytes of a refused message have not come yet, and are thrown away.
    skip: usize,
    /// Sent by the server, not yet taken by the client.
    waiting: Vec<u8>,
    /// The client has gone away.
    cut: bool,
    /// Why the server asked for it to be closed.
    closing: Option<&'static str>,
    behind: bool,
    reading: bool,
    /// Bytes that the server has sent at the time of the last of them, and the most that it ever sent at one time.
    sent: (Now, usize),
    most_at_once: usize,
}

/// Dense slots with generations, as the shell gives them out.
#[derive(Default)]
struct Slots {
    free: Vec<u32>,
    generations: Vec<u32>,
}

/// The server.
pub struct World {
    pub now: Now,
    shards: Vec<Shard>,
    /// `mail[from * places + to]`; the place after the last shard is the store.
    mail: Vec<VecDeque<Parcel>>,
    sockets: Vec<Socket>,
    slots: Vec<Slots>,
    homes: HashMap<(usize, ConnectionId), usize>,
    /// What the store keeps.
    store: BTreeMap<Aor, UserRecord>,
    /// The disk says no to what shards ask.
    pub store_fails: bool,
    /// No shard has a place for a connection of another.
    pub is_full: bool,
    /// The connection whose message is at hand was to move, and stays.
    stays: bool,
    /// All call detail record events so far.
    pub records: Vec<CdrEvent>,
    /// All that the store was asked to keep and has kept.
    pub kept: Vec<Change>,
    /// Requests that were shed, by class.
    pub shed: [u32; 4],
    /// How many classes each shard sheds.
    pub levels: Vec<u8>,
    /// Which shards have been told to stop.
    stopped: Vec<bool>,
    /// Invitations that a shard has sent after it had been told to stop: there must be none.
    pub rung_late: Vec<String>,
    limits: Limits,
    effects: Effects,
    ticked: Now,
    /// A hash of all that was sent.
    digest: u64,
}

impl World {
    pub fn new(shards: u16, seed: u64, settings: &Settings) -> World {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let make = |index: u16| {
            let mut own = bytes;
            own[8..10].copy_from_slice(&index.to_be_bytes());
            let settings = Settings {
                shards,
                ..settings.clone()
            };
            Shard::new(ShardId(index), settings, own, bytes, START)
        };
        World {
            now: START,
            shards: (0..shards).map(make).collect(),
            mail: (0..(shards + 1) * (shards + 1))
                .map(|_| VecDeque::new())
                .collect(),
            sockets: Vec::new(),
            slots: (0..shards).map(|_| Slots::default()).collect(),
            homes: HashMap::new(),
            store: BTreeMap::new(),
            store_fails: false,
            is_full: false,
            stays: false,
            records: Vec::new(),
            kept: Vec::new(),
            shed: [0; 4],
            levels: vec![0; usize::from(shards)],
            stopped: vec![false; usize::from(shards)],
            rung_late: Vec::new(),
            limits: Limits::default(),
            effects: Effects::default(),
            ticked: START,
            digest: 0,
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Adds a user on the shard that owns it, with credentials for all schemes.
    pub fn add_user(&mut self, aor: &str, display_name: &str, password: &str) {
        let aor = Aor::parse(aor).expect("the test's own address of record");
        let record = UserRecord {
            ha1_md5: Some(ha1_md5(aor.user(), aor.host(), password)),
            ha1_sha256: Some(ha1_sha256(aor.user(), aor.host(), password)),
            nt_hash: Some(nt_hash(password)),
            display_name: display_name.into(),
            aor,
            standing: None,
        };
        self.put(record);
    }

    /// Changes what the store keeps of a user, as the store does, and tells the owner.
    pub fn edit(
        &mut self,
        aor: &str,
        change: impl FnOnce(&mut Standing) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut record = self.store.get(aor).ok_or("no such user")?.clone();
        let old = record
            .standing
            .take()
            .map(Arc::unwrap_or_clone)
            .unwrap_or_default();
        let edited = old.edited(&record.aor, self.now, change);
        if let Some(new) = edited.map_err(|refused| refused.to_string())? {
            record.standing = new.shared();
            self.put(record);
        }
        Ok(())
    }

    /// What the store keeps of a user; None where there is no such user.
    pub fn standing(&self, aor: &str) -> Option<Standing> {
        let standing = self.store.get(aor)?.standing.as_deref();
        Some(standing.cloned().unwrap_or_default())
    }

    fn put(&mut self, record: UserRecord) {
        let owner = self.owner(&record.aor);
        self.catch_up(owner);
        self.store.insert(record.aor.clone(), record.clone());
        self.handle(owner, Input::UserPut(record));
    }

    /// Takes a user out of the store.
    pub fn remove_user(&mut self, aor: &str) {
        let aor = Aor::parse(aor).expect("the test's own address of record");
        let owner = self.owner(&aor);
        self.catch_up(owner);
        self.store.remove(&aor);
        self.handle(owner, Input::UserRemoved(aor));
    }

    fn owner(&self, aor: &Aor) -> usize {
        let shards = u16::try_from(self.shards.len()).expect("made from a u16");
        usize::from(muster::shard::route::Route::new(shards).owner(aor).0)
    }

    /// A new connection from `peer` that lands on `shard`.
    pub fn connect(&mut self, shard: usize, peer: SocketAddr) -> usize {
        let local = SocketAddr::from(([127, 0, 0, 1], 5061));
        let link = Link {
            transport: Transport::Tls,
            local,
            peer,
            moves: 0,
            failures: 0,
        };
        let socket = self.sockets.len();
        self.sockets.push(Socket {
            home: Home::Moving,
            link,
            unread: Vec::new(),
            state: FrameState::default(),
            skip: 0,
            waiting: Vec::new(),
            cut: false,
            closing: None,
            behind: false,
            reading: true,
            sent: (START, 0),
            most_at_once: 0,
        });
        self.arrive(shard, socket);
        socket
    }

    /// The client's end of a connection.
    pub fn peer(&self, socket: usize) -> SocketAddr {
        self.sockets[socket].link.peer
    }

    /// The client sends.
    pub fn send(&mut self, socket: usize, bytes: &[u8]) {
        let end = &mut self.sockets[socket];
        let skipped = end.skip.min(bytes.len());
        end.skip -= skipped;
        end.unread.extend_from_slice(&bytes[skipped..]);
        self.pump(socket);
    }

    /// What the client reads: all that the server has sent since the last time, nothing while it does not read.
    pub fn read(&mut self, socket: usize) -> Vec<u8> {
        let end = &mut self.sockets[socket];
        if !end.reading {
            Vec::new()
        } else {
            core::mem::take(&mut end.waiting)
        }
    }

    /// The client stops to read, or goes on.
    pub fn set_reading(&mut self, socket: usize, reading: bool) {
        self.sockets[socket].reading = reading;
        let end = &mut self.sockets[socket];
        if reading
            && core::mem::take(&mut end.behind)
            && let Home::At(shard, connection) = end.home
        {
            self.handle(shard, Input::Drained { connection });
        }
    }

    /// The most bytes that the server ever sent on a connection in one turn: at one time.
    pub fn most_at_once(&self, socket: usize) -> usize {
        self.sockets[socket].most_at_once
    }

    /// The client or the network cuts the connection.
    pub fn cut(&mut self, socket: usize) {
        self.sockets[socket].cut = true;
        self.close(socket);
    }

    /// Whether the server has ended the connection.
    pub fn is_closed(&self, socket: usize) -> bool {
        self.sockets[socket].home == Home::Gone
    }

    /// Why the server has ended the connection, where it has.
    pub fn closed_because(&self, socket: usize) -> Option<&'static str> {
        self.sockets[socket].closing
    }

    /// The shards, and the store.
    fn places(&self) -> usize {
        self.shards.len() + 1
    }

    fn mail_between(&mut self, from: usize, to: usize) -> &mut VecDeque<Parcel> {
        let places = self.places();
        &mut self.mail[from * places + to]
    }

    /// The store's turn: it keeps a change or not, and tells the owner, then who asked. Both arrive when they do.
    fn keep(&mut self, ticket: KeepTicket, change: &Change) {
        let store = self.shards.len();
        let user = change.user();
        let (owner, asker) = (self.owner(user), usize::from(ticket.shard.0));
        let outcome = match self.store.get_mut(user) {
            _ if self.store_fails => Err(NotKept::Failed),
            None => Err(NotKept::NoSuchUser),
            Some(record) => {
                let old = record.standing.as_deref().cloned().unwrap_or_default();
                let edited = old.edited(user, self.now, |standing| change.apply(standing));
                match edited {
                    Ok(Some(new)) => {
                        record.standing = new.shared();
                        let record = record.clone();
                        self.mail_between(store, owner)
                            .push_back(Parcel::Put(record));
                        Ok(())
                    }
                    Ok(None) => Ok(()),
                    Err(Refused::Standing(error) | Refused::Edit(error)) => {
                        Err(NotKept::Refused(error))
                    }
                }
            }
        };
        if outcome.is_ok() {
            self.kept.push(change.clone());
        }
        self.mail_between(store, asker)
            .push_back(Parcel::Kept(ticket, outcome));
    }

    /// What the store has told a shard so far arrives: it is one thread, and what it tells later comes later.
    fn catch_up(&mut self, shard: usize) {
        let store = self.shards.len();
        while !self.mail_between(store, shard).is_empty() {
            self.deliver(store, shard);
        }
    }

    /// Pairs of places between which something travels: shards, and after the last one the store.
    pub fn in_flight(&self) -> Vec<(usize, usize)> {
        let count = self.places();
        let busy = self
            .mail
            .iter()
            .enumerate()
            .filter(|(_, queue)| !queue.is_empty());
        busy.map(|(index, _)| (index / count, index % count))
            .collect()
    }

    /// The next parcel from one shard to another arrives.
    pub fn deliver(&mut self, from: usize, to: usize) {
        match self.mail_between(from, to).pop_front() {
            Some(Parcel::Keep(ticket, change)) => self.keep(ticket, &change),
            Some(Parcel::Put(record)) => self.handle(to, Input::UserPut(record)),
            Some(Parcel::Kept(ticket, outcome)) => {
                self.handle(to, Input::Kept { ticket, outcome });
            }
            Some(Parcel::Letter(letter)) => {
                // What a shard puts off comes in a later turn, and each turn has its own time.
                if from == to {
                    self.now = self.now.after(Duration::from_micros(1));
                }
                self.handle(to, Input::Letter(letter));
            }
            Some(Parcel::Socket(socket)) => self.arrive(to, socket),
            Some(Parcel::Gone(connection)) => self.handle(to, Input::Closed { connection }),
            None => {}
        }
    }

    /// Everything that travels arrives.
    ///
    /// # Panics
    /// Where it never ends: letters that beget letters for ever are a bug.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let Some(&(from, to)) = self.in_flight().first() else {
                return;
            };
            self.deliver(from, to);
        }
        panic!("letters beget letters without end");
    }

    /// Time passes on all shards, in steps of 100 ms or a two-hundredth, and everything arrives.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now.after(time);
        let step = (time / 200).max(Duration::from_millis(100));
        while self.now < until {
            self.now = self.now.after(step).min(until);
            self.tick();
            self.settle();
        }
    }

    /// The clock moves, and the shards are told of it as often as the shell does.
    pub fn move_clock(&mut self, by: Duration) {
        self.now = self.now.after(by);
        if self.now.since(self.ticked) >= Duration::from_millis(100) {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.ticked = self.now;
        for shard in 0..self.shards.len() {
            self.handle(shard, Input::Tick);
        }
    }

    /// The shell has measured on a shard, over a tenth of a second.
    pub fn press(&mut self, shard: usize, least: Duration) {
        self.handle(shard, Input::Pressure { least });
    }

    /// The server is told to stop, and what comes of that arrives.
    pub fn stop(&mut self) {
        for shard in 0..self.shards.len() {
            self.stop_shard(shard);
        }
        self.settle();
    }

    /// One shard hears that the server stops: each does when its turn comes, and letters go on meanwhile.
    pub fn stop_shard(&mut self, shard: usize) {
        self.stopped[shard] = true;
        self.handle(shard, Input::Stop);
    }

    /// Whether a stopping shard says that nothing is in flight.
    pub fn is_quiet(&self, shard: usize) -> bool {
        self.shards[shard].is_quiet()
    }

    /// A hash of all that the server has sent so far, and to whom.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// What the shards hold, one by one.
    pub fn census(&self) -> Vec<Census> {
        self.shards.iter().map(Shard::census).collect()
    }

    fn arrive(&mut self, shard: usize, socket: usize) {
        let connection = self.slots[shard].take();
        self.homes.insert((shard, connection), socket);
        self.sockets[socket].home = Home::At(shard, connection);
        let link = self.sockets[socket].link;
        self.handle(shard, Input::Opened { connection, link });
        self.pump(socket);
        if self.sockets[socket].cut {
            self.close(socket);
        }
    }

    /// Gives the shard what the client has sent, message by message, as long as the connection is there.
    fn pump(&mut self, socket: usize) {
        loop {
            let end = &mut self.sockets[socket];
            let Home::At(shard, connection) = end.home else {
                return;
            };
            if end.closing.is_some() {
                return;
            }
            match cut(&end.unread, &self.limits, &mut end.state) {
                Cut::Need(_) => return,
                Cut::Pong(count) => drop(end.consume(count)),
                Cut::Ping(count) => {
                    end.consume(count);
                    end.waiting.extend_from_slice(b"\r\n");
                }
                Cut::Message { total, .. } => {
                    let whole = end.consume(total);
                    let mut bytes = whole.clone();
                    let peer = end.link.peer;
                    match Message::parse(&mut bytes) {
                        Ok(mut message) => {
                            message.set_source(peer);
                            self.handle(
                                shard,
                                Input::Message {
                                    connection,
                                    message: &message,
                                },
                            );
                        }
                        Err(malformed) => self.handle(
                            shard,
                            Input::Malformed {
                                connection,
                                malformed: &malformed,
                            },
                        ),
                    }
                    if core::mem::take(&mut self.stays) {
                        self.stay(socket, shard, connection, &whole);
                    }
                    // The message that made the connection move goes with it.
                    let end = &mut self.sockets[socket];
                    if end.home == Home::Moving {
                        end.unread.splice(0..0, whole);
                    }
                }
                Cut::Refuse {
                    fault,
                    head,
                    resume,
                } => {
                    let mut bytes = end.unread[..head.min(end.unread.len())].to_vec();
                    let ends = resume.unwrap_or(end.unread.len());
                    end.skip = ends.saturating_sub(end.unread.len());
                    end.consume(ends.min(end.unread.len()));
                    let malformed = Malformed::refused(&mut bytes, fault, resume.is_none());
                    self.handle(
                        shard,
                        Input::Malformed {
                            connection,
                            malformed: &malformed,
                        },
                    );
                }
            }
        }
    }

    /// A message was to move its connection, and there is no room for it there.
    fn stay(&mut self, socket: usize, shard: usize, connection: ConnectionId, whole: &[u8]) {
        let link = self.sockets[socket].link;
        self.handle(shard, Input::Opened { connection, link });
        let mut bytes = whole.to_vec();
        let mut message = Message::parse(&mut bytes).expect("it was one a moment ago");
        message.set_source(link.peer);
        self.handle(
            shard,
            Input::NoRoom {
                connection,
                message: &message,
            },
        );
    }

    /// One input, and its effects carried out.
    fn handle(&mut self, shard: usize, input: Input<'_>) {
        let mut effects = core::mem::take(&mut self.effects);
        effects.clear();
        self.shards[shard].handle(self.now, input, &mut effects);
        let (mut closing, mut late) = (Vec::new(), Vec::new());
        for effect in effects.list.drain(..) {
            match effect {
                Effect::Send {
                    connection, range, ..
                } => {
                    if let Some(&socket) = self.homes.get(&(shard, connection)) {
                        let end = &mut self.sockets[socket];
                        let sent = &effects.bytes[range.clone()];
                        if self.stopped[shard] && is_invitation(sent) {
                            let text = String::from_utf8_lossy(sent).into_owned();
                            self.rung_late.push(text);
                        }
                        for byte in &effects.bytes[range.clone()] {
                            self.digest = (self.digest ^ u64::from(*byte))
                                .wrapping_mul(0x0000_0100_0000_01b3);
                        }
                        self.digest = self.digest.rotate_left(socket as u32 % 64);
                        if end.sent.0 != self.now {
                            end.sent = (self.now, 0);
                        }
                        end.sent.1 += range.len();
                        end.most_at_once = end.most_at_once.max(end.sent.1);
                        end.waiting.extend_from_slice(&effects.bytes[range]);
                        if !end.reading && !end.behind && end.waiting.len() > BEHIND_BYTES {
                            end.behind = true;
                            late.push(socket);
                        }
                    }
                }
                Effect::Close { connection, reason } => {
                    if let Some(&socket) = self.homes.get(&(shard, connection)) {
                        self.sockets[socket].closing = Some(reason);
                        closing.push(socket);
                    }
                }
                Effect::Adopt {
                    connection,
                    failures,
                    ..
                } if self.is_full => {
                    if let Some(&socket) = self.homes.get(&(shard, connection)) {
                        self.sockets[socket].link.failures = failures;
                    }
                    self.stays = true;
                }
                Effect::Adopt {
                    connection,
                    to,
                    failures,
                } => {
                    if let Some(socket) = self.homes.remove(&(shard, connection)) {
                        self.slots[shard].give_back(connection);
                        let end = &mut self.sockets[socket];
                        end.home = Home::Moving;
                        end.link.failures = failures;
                        end.link.moves += 1;
                        self.mail_between(shard, usize::from(to.0))
                            .push_back(Parcel::Socket(socket));
                    }
                }
                Effect::Post { to, letter } => {
                    self.mail_between(shard, usize::from(to.0))
                        .push_back(Parcel::Letter(letter));
                }
                Effect::Record(event) => self.records.push(event),
                Effect::Keep { ticket, change } => {
                    let store = self.shards.len();
                    self.mail_between(shard, store)
                        .push_back(Parcel::Keep(ticket, change));
                }
                Effect::Shed(class) => self.shed[class as usize] += 1,
                Effect::Level(level) => self.levels[shard] = level,
                Effect::Observe { .. } | Effect::Count { .. } => {}
            }
        }
        self.effects = effects;
        for socket in closing {
            self.close(socket);
        }
        for socket in late {
            if let Home::At(shard, connection) = self.sockets[socket].home {
                self.handle(shard, Input::Behind { connection });
            }
        }
    }

    fn close(&mut self, socket: usize) {
        if let Home::At(shard, connection) = self.sockets[socket].home {
            self.sockets[socket].home = Home::Gone;
            self.homes.remove(&(shard, connection));
            self.slots[shard].give_back(connection);
            self.mail_between(shard, shard)
                .push_back(Parcel::Gone(connection));
        }
    }
}

/// An INVITE that begins something. Who is in a session that becomes a conference is asked over in Lync's dialect by one that
/// looks so, and begins nothing by it.
fn is_invitation(sent: &[u8]) -> bool {
    let text = String::from_utf8_lossy(sent);
    if text.contains("application/ms-conf-invite+xml") {
        return false;
    }
    let mut lines = text.lines();
    lines.next().is_some_and(|line| line.starts_with("INVITE "))
        && lines.any(|line| line.starts_with("To: ") && !line.contains(";tag="))
}

impl Socket {
    fn consume(&mut self, count: usize) -> Vec<u8> {
        self.state = FrameState::default();
        self.unread.drain(..count).collect()
    }
}

impl Slots {
    fn take(&mut self) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            u32::try_from(self.generations.len() - 1).expect("few connections")
        });
        ConnectionId::new(slot, self.generations[slot as usize])
    }

    fn give_back(&mut self, connection: ConnectionId) {
        let slot = connection.slot();
        self.generations[slot] += 1;
        self.free
            .push(u32::try_from(slot).expect("few connections"));
    }
}
