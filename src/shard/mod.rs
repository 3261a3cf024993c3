//! The owner of users and sessions on one core: inputs and time in, effects out.
//!
//! `handle` is the one door. Behind it each intent has a script (`on_…`), and what scripts share is here: who is
//! connected, what waits for an answer, which dialogs there are. Two services meet only in a script.
//! Not here: sockets, the clock, threads, randomness (a seeded generator is lent at the start).

mod answering;
mod brought;
mod call_record;
pub mod cdr_event;
pub mod change;
mod connection;
mod correspondence;
pub mod effect;
mod handle;
mod held;
mod holding;
mod identity;
pub mod input;
mod interrupt;
pub mod letter;
mod lync;
mod notify;
mod on_alert;
mod on_answer;
mod on_blocked;
mod on_call;
mod on_call_ask;
mod on_call_end;
mod on_call_pass;
mod on_command;
mod on_connection;
mod on_convey;
mod on_deliver;
mod on_fanout;
mod on_focus;
mod on_invite;
mod on_kept;
mod on_leg;
mod on_letter;
mod on_lines;
mod on_list;
mod on_message;
mod on_publish;
mod on_refer;
mod on_register;
mod on_reinvite;
mod on_ring;
mod on_roster;
mod on_roster_news;
mod on_session;
mod on_state;
mod on_subscribe;
mod on_tick;
mod on_waiting;
mod on_watch;
mod on_winfo;
pub mod overload;
mod own_copy;
mod padding;
mod reach;
mod request;
mod room;
pub mod route;
mod sealing;
pub mod standing;
mod subscriber;
mod usage;
mod wheel;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use slotmap::SlotMap;

use crate::auth::{Authenticator, Credentials, Ha1};
use crate::immcu::SessionId;
use crate::immcu::content::Party;
use crate::immcu::pager::Pagers;
use crate::immcu::ringing::{Ringing, RingingKey};
use crate::immcu::session::Session;
use crate::presence::{Audience, Presentity, Watching};
use crate::registrar::{Bindings, Seal};
use crate::shard::connection::Connections;
use crate::shard::correspondence::Correspondence;
use crate::shard::effect::{Effect, Effects};
use crate::shard::holding::Holdings;
use crate::shard::input::Input;
use crate::shard::letter::{Asked, Letter};
use crate::shard::lync::directory::Directory;
use crate::shard::on_fanout::Telling;
use crate::shard::on_kept::{Keep, KeepKey};
use crate::shard::overload::Overload;
use crate::shard::own_copy::OwnCopy;
use crate::shard::reach::Stages;
use crate::shard::route::Route;
use crate::shard::standing::Standing;
use crate::shard::subscriber::Subscriber;
use crate::shard::usage::{
    Answering, Association, Call, Copies, CopiesKey, Delivery, DeliveryKey, End, EndKey, Purpose,
    Roster,
};
use crate::shard::wheel::Wheel;
use crate::sip::armed::Armed;
use crate::sip::chain::Chained;
use crate::sip::dialog::DialogKey;
use crate::sip::frame;
use crate::sip::link::ConnectionId;
use crate::sip::same;
use crate::sip::slab::Slab;
use crate::sip::time::Now;
use crate::sip::transaction::{
    Branches, ClientKey, ClientTransaction, ServerKey, ServerTransactions,
};
use crate::sip::uri::Aor;

/// A shard's number in this server, dense from zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// What the shell drives: the pure core of one shard. `Shard` is the one that serves; tests of the shell bring their own.
pub trait Core {
    /// Takes one input at `now` and pushes what is to be done. `effects` may hold bytes of earlier inputs of the same turn.
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects);

    /// Whether nothing is in flight that is worth waiting for. Asked after `Input::Stop` only.
    fn is_quiet(&self) -> bool {
        true
    }
}

impl Core for Shard {
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        Shard::handle(self, now, input, effects);
    }

    fn is_quiet(&self) -> bool {
        self.servers.is_empty()
            && self.deliveries.is_empty()
            && self.sessions.is_empty()
            && self.calls.is_empty()
            && self.ends.is_empty()
            && self.keeping.is_empty()
            && self.farewells.is_empty()
    }
}

/// What the store keeps of a user: credentials only as what the enabled schemes need.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The address of record.
    pub aor: Aor,
    /// Shown to others; empty where there is none.
    pub display_name: Box<str>,
    /// MD5("user:domain:password") (RFC 7616 §3.4.2), where `digest-md5` is enabled.
    pub ha1_md5: Option<Ha1<16>>,
    /// The same with SHA-256, where `digest-sha-256` is enabled.
    pub ha1_sha256: Option<Ha1<32>>,
    /// MD4 of the password ([MS-NLMP] §3.3.1), where `ntlm` is enabled.
    pub nt_hash: Option<[u8; 16]>,
    /// Contacts, access rules and so on; `None` where all of it is as by default, and then it costs nothing.
    pub standing: Option<Arc<Standing>>,
}

impl UserRecord {
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials {
            ha1_md5: self.ha1_md5,
            ha1_sha256: self.ha1_sha256,
            nt_hash: self.nt_hash,
        }
    }
}

impl core::fmt::Debug for UserRecord {
    // A credential never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UserRecord")
            .field("aor", &self.aor)
            .finish_non_exhaustive()
    }
}

/// A shard's settings: its own and those of the rooms below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How many shards the server has.
    pub shards: u16,
    /// The domains this server is home to; who may come in, and how.
    pub auth: crate::auth::Settings,
    /// How long bindings live.
    pub registrar: crate::registrar::Settings,
    /// How many publications a user may have, and how long they live; how long a note may be; when a device is idle.
    pub presence: crate::presence::Limits,
    /// The MCU's limits.
    pub immcu: crate::immcu::Settings,
    /// How long subscriptions live, in seconds: at least, and at most.
    pub subscription_s: (u32, u32),
    /// Subscriptions that one user may have over all connections, an entry of a list counted as one.
    pub subscriptions_max: usize,
    /// Subscriptions, legs, dialogs with a focus and ends of calls that one connection may have, all together; and the same of one
    /// user over all connections, but for subscriptions (`holding`). What others bring, a quarter of it (`brought`).
    pub dialogs_max: usize,
    /// Requests of one connection that may wait for an answer; past it 503.
    pub pending_max: u16,
    /// Bytes of a body whose encoding is undone: as many as one may have that comes without.
    pub body_bytes_max: usize,
    /// How long a connection may stay without authenticating, in seconds.
    pub anonymous_s: u64,
    /// Watchers who are told of a change at once; where there are more, others come in between.
    pub slice_watchers: usize,
    /// What comes in should not wait for longer than this, else some of it is shed (`overload`). Zero: nothing ever is.
    pub overload_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shards: 1,
            auth: crate::auth::Settings::default(),
            registrar: crate::registrar::Settings::default(),
            presence: crate::presence::Limits::default(),
            immcu: crate::immcu::Settings::default(),
            subscription_s: (60, 7200),
            subscriptions_max: 3_000,
            dialogs_max: 3_000,
            pending_max: 256,
            body_bytes_max: frame::Limits::default().body_bytes_max,
            anonymous_s: 30,
            slice_watchers: 64,
            overload_wait: Duration::from_millis(5),
        }
    }
}

/// Everything of one user that this shard owns.
#[derive(Debug)]
pub(crate) struct User {
    pub record: UserRecord,
    pub bindings: Bindings,
    /// Kept only while there is something to say or somebody who asks.
    pub presentity: Option<Box<Presentity>>,
    /// Kept only while there is a conversation.
    pub correspondence: Option<Box<Correspondence>>,
    /// Whom the user waits for. Most wait for nobody.
    pub alerts: Option<Box<on_alert::Alerts>>,
    pub armed: Armed,
    /// In the directory.
    pub place: u32,
    /// Connections on which the user has authenticated; at most `connections_max`.
    pub connections: u32,
}

/// What the wheel is told to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    User(UserKey),
    Alerts(UserKey),
    Client(ClientKey),
    Delivery(DeliveryKey),
    Dialog(DialogKey),
    Ringing(RingingKey),
    Call(SessionId),
    End(EndKey),
    Session(SessionId),
    Connection(crate::sip::link::ConnectionId),
}

slotmap::new_key_type! {
    /// A user's slot on the owner's shard.
    pub(crate) struct UserKey;
}

/// One shard.
pub struct Shard {
    me: ShardId,
    now: Now,
    settings: Settings,
    route: Route,
    rng: ChaCha12Rng,
    authenticator: Authenticator,
    gruu_seal: Seal,
    branches: Branches,
    stopping: bool,
    /// Nobody is a stranger for too long before that.
    strangers_until: Now,
    overload: Overload,
    /// Lync endpoints that are still to be told that the server stops.
    farewells: Vec<ConnectionId>,

    connections: Connections,
    servers: ServerTransactions,
    clients: Chained<ClientKey, ClientTransaction<Purpose>>,
    dialogs: Chained<DialogKey, Association>,
    deliveries: Slab<DeliveryKey, Delivery>,
    copies: Slab<CopiesKey, Copies>,
    ringings: Slab<RingingKey, Ringing>,
    /// By the session and the invitation's number there.
    ringing_of: HashMap<(SessionId, u32), RingingKey, ahash::RandomState>,
    /// Whom an invitation rings next, and when.
    rings_later: HashMap<RingingKey, (Stages, Now), ahash::RandomState>,

    users: SlotMap<UserKey, User>,
    by_aor: HashMap<Aor, UserKey, ahash::RandomState>,
    watching: Watching,
    /// Changes that are told bit by bit.
    telling: Telling,
    subscribers: HashMap<Aor, Subscriber, ahash::RandomState>,
    /// What users of this shard hold over all connections.
    holdings: Holdings,
    /// Subscriptions to a user's list of watchers that wait until it is complete.
    winfo_waits: HashMap<Aor, Vec<Asked>, ahash::RandomState>,
    /// Users whose list of watchers has changed since the last tick.
    winfo_news: VecDeque<UserKey>,
    directory: Directory,
    /// Who watched a user that was removed from the store, until each of them has given its place back. The user may come
    /// back before that, and takes them over: so an `Unwatch` of the time before counts off what it counted on.
    left_behind: HashMap<Aor, Audience, ahash::RandomState>,

    /// Whose calls have changed in this turn: their lamps are told at its end, each once.
    lamps: Vec<Aor>,
    sessions: HashMap<SessionId, Session, ahash::RandomState>,
    /// The conferences that users of this shard have made or begun and that are not over; not two who became one.
    made: HashMap<Aor, Vec<SessionId>, ahash::RandomState>,
    /// Calls of users of this shard.
    calls: HashMap<SessionId, Call, ahash::RandomState>,
    /// The clients of this shard that have a part in a call: the caller's, and whoever rings or talks.
    ends: Chained<EndKey, End>,
    /// By the call and the number there.
    end_of: HashMap<(SessionId, u32), EndKey, ahash::RandomState>,
    pagers: Pagers,
    /// Legs that speak with somebody in pager mode, by their connection and with whom. Of two the newer one.
    paging: HashMap<(ConnectionId, Aor), DialogKey, ahash::RandomState>,
    /// Messages whose sender has other endpoints that want a copy, until they are answered.
    own_copies: HashMap<ServerKey, OwnCopy, ahash::RandomState>,
    /// What the answers to requests that wait will say beside their status.
    answering: HashMap<ServerKey, Answering, ahash::RandomState>,
    rosters: HashMap<SessionId, Roster, ahash::RandomState>,
    /// The highest version that was told to a watching shard, of whomever. What is told next has a higher one, also within
    /// one instant and of a presentity that was forgotten and made anew: else what is new would look old to who watches.
    newest_version: u64,

    /// Users of whom a publication waits for the store.
    publishing: HashMap<Aor, lync::on_publish::Publishing, ahash::RandomState>,
    /// What the store was asked to keep and has not answered.
    keeping: Slab<KeepKey, Keep>,
    /// How many of it each user has asked for.
    keeps: BTreeMap<Aor, on_kept::Asked>,
    /// Who has added whom among it.
    adding: BTreeMap<Aor, BTreeSet<Aor>>,
    /// How many of it are some user's voice messages.
    mailboxes: BTreeMap<Aor, usize>,

    /// Connections that may have room again for what waits for them (`held`).
    eased: Vec<ConnectionId>,

    wheel: Wheel<Look>,
    looks: Vec<Look>,
    /// Letters to this shard itself: handled before the door closes, so that a script never re-enters another.
    to_self: VecDeque<Letter>,
}

impl core::fmt::Debug for Shard {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shard")
            .field("me", &self.me)
            .field("census", &self.census())
            .finish_non_exhaustive()
    }
}

/// How many of each thing a shard holds: for `/metrics`, and for tests that nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Users in the store.
    pub users: usize,
    /// Connections.
    pub connections: usize,
    /// Those of them that are counted at their users.
    pub counted: usize,
    /// Endpoints that are registered.
    pub endpoints: usize,
    /// Presentities that are more than offline, and audiences of users who are no more.
    pub presentities: usize,
    /// Subscriptions, legs and dialogs with a focus.
    pub dialogs: usize,
    /// Requests of peers that wait.
    pub server_transactions: usize,
    /// Those of them whose answers say more than a status.
    pub answering: usize,
    /// Requests of ours that wait, and what some of them have in common.
    pub client_transactions: usize,
    /// Pager messages on their way to endpoints.
    pub deliveries: usize,
    /// Invitations that ring.
    pub ringings: usize,
    /// IM sessions and conferences owned here.
    pub sessions: usize,
    /// Users of this shard who have made conferences that are not over.
    pub made: usize,
    /// Calls owned here.
    pub calls: usize,
    /// Clients of this shard with a part in a call.
    pub ends: usize,
    /// Pager sessions kept here.
    pub pagers: usize,
    /// Presentities watched from here.
    pub watched: usize,
    /// Changes that have not been told to all who watch.
    pub fanouts: usize,
    /// Users who subscribe to something from here.
    pub subscribers: usize,
    /// What users hold over all connections, and who: what is counted, not what there is.
    pub held: usize,
    /// Rosters watched from here.
    pub rosters: usize,
    /// Changes that the store was asked to keep and has not answered.
    pub keeping: usize,
    /// Users who have added somebody, among that.
    pub adding: usize,
    /// Searches of the directory that are under way, here or for somebody elsewhere.
    pub searches: usize,
}

impl Shard {
    /// A shard without users. `seed` decides every tag, branch and id that it will make; `nonce_key` is the same for
    /// all shards of a server, so that a nonce of one is good at another.
    pub fn new(
        me: ShardId,
        settings: Settings,
        seed: [u8; 32],
        nonce_key: [u8; 32],
        now: Now,
    ) -> Shard {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut hash = || {
            ahash::RandomState::with_seeds(
                rng.next_u64(),
                rng.next_u64(),
                rng.next_u64(),
                rng.next_u64(),
            )
        };
        let servers = ServerTransactions::new(hash());
        let by_aor = HashMap::with_hasher(hash());
        let sessions = HashMap::with_hasher(hash());
        let made = HashMap::with_hasher(hash());
        let answering = HashMap::with_hasher(hash());
        let rosters = HashMap::with_hasher(hash());
        let left_behind = HashMap::with_hasher(hash());
        let winfo_waits = HashMap::with_hasher(hash());
        let subscribers = HashMap::with_hasher(hash());
        let calls = HashMap::with_hasher(hash());
        let end_of = HashMap::with_hasher(hash());
        let pagers = Pagers::new(hash());
        let own_copies = HashMap::with_hasher(hash());
        let paging = HashMap::with_hasher(hash());
        let publishing = HashMap::with_hasher(hash());
        // The hashers of others, so that a seed makes the same tags as before these were there.
        let ringing_of = HashMap::with_hasher(by_aor.hasher().clone());
        let rings_later = HashMap::with_hasher(by_aor.hasher().clone());
        let holdings = HashMap::with_hasher(by_aor.hasher().clone());
        let watching = Watching::new(rng.next_u64());
        let branches = Branches::new(rng.next_u64());
        Shard {
            me,
            now,
            route: Route::new(settings.shards),
            authenticator: Authenticator::new(settings.auth.clone(), &nonce_key),
            overload: Overload::new(settings.overload_wait),
            gruu_seal: Seal::new(&nonce_key),
            settings,
            rng,
            branches,
            stopping: false,
            strangers_until: now,
            farewells: Vec::new(),
            connections: Connections::default(),
            servers,
            clients: Chained::default(),
            dialogs: Chained::default(),
            deliveries: Slab::default(),
            copies: Slab::default(),
            ringings: Slab::default(),
            ringing_of,
            rings_later,
            users: SlotMap::with_key(),
            by_aor,
            watching,
            telling: Telling::default(),
            left_behind,
            winfo_waits,
            winfo_news: VecDeque::new(),
            directory: Directory::default(),
            subscribers,
            holdings,
            lamps: Vec::new(),
            sessions,
            made,
            calls,
            ends: Chained::default(),
            end_of,
            pagers,
            paging,
            own_copies,
            answering,
            rosters,
            newest_version: 0,
            publishing,
            keeping: Slab::default(),
            keeps: BTreeMap::new(),
            adding: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            eased: Vec::new(),
            wheel: Wheel::new(now),
            looks: Vec::new(),
            to_self: VecDeque::new(),
        }
    }

    /// How many of each thing there is.
    pub fn census(&self) -> Census {
        Census {
            users: self.users.len(),
            connections: self.connections.len(),
            counted: self
                .users
                .values()
                .map(|user| user.connections as usize)
                .sum(),
            endpoints: self.users.values().map(|user| user.bindings.count()).sum(),
            presentities: self
                .users
                .values()
                .filter(|user| user.presentity.is_some())
                .count()
                + self.left_behind.len(),
            dialogs: self.dialogs.len(),
            server_transactions: self.servers.len(),
            answering: self.answering.len(),
            client_transactions: self.clients.len() + self.copies.len(),
            deliveries: self.deliveries.len(),
            ringings: self.ringings.len(),
            sessions: self.sessions.len(),
            made: self.made.len(),
            calls: self.calls.len(),
            ends: self.ends.len(),
            pagers: self.pagers.len(),
            watched: self.watching.len(),
            fanouts: self.telling.len(),
            subscribers: self.subscribers.len(),
            held: self.holdings.values().map(|held| 1 + held.count).sum(),
            rosters: self.rosters.len(),
            keeping: self.keeping.len(),
            adding: self.adding.len(),
            searches: self.directory.searches.len() + self.directory.scans.len(),
        }
    }

    fn post(&mut self, to: ShardId, letter: Letter, effects: &mut Effects) {
        if to == self.me {
            self.to_self.push_back(letter);
        } else {
            effects.list.push(Effect::Post { to, letter });
        }
    }

    fn post_owner(&mut self, user: &Aor, letter: Letter, effects: &mut Effects) {
        self.post(self.route.owner(user), letter, effects);
    }

    fn post_session(&mut self, session: SessionId, letter: Letter, effects: &mut Effects) {
        self.post(self.route.owner_of_group(session.group), letter, effects);
    }

    fn user(&self, aor: &Aor) -> Option<&User> {
        self.by_aor.get(aor).and_then(|key| self.users.get(*key))
    }

    fn is_home(&self, host: &str) -> bool {
        self.settings
            .auth
            .domains
            .iter()
            .any(|domain| same(domain, host))
    }

    /// A user of this shard with the name that others see.
    fn party(&self, aor: &Aor) -> Party {
        self.party_of(self.by_aor.get(aor).copied(), aor.clone())
    }

    /// The same of one who was looked up; who is not there has no name.
    fn party_of(&self, user: Option<UserKey>, aor: Aor) -> Party {
        let user = user.and_then(|user| self.users.get(user));
        let display = user.map_or_else(|| "".into(), |user| user.record.display_name.clone());
        Party { aor, display }
    }

    fn look_at(&mut self, at: Now, look: Look) {
        self.wheel.arm(at, look);
    }
}

fn fresh_session(rng: &mut ChaCha12Rng, starter: &Aor) -> SessionId {
    SessionId {
        group: Route::group(starter),
        random: rng.next_u64(),
    }
}
