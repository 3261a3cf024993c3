//! What a shard knows of its connections.

use crate::auth::{Association, Seen};
use crate::dialect::Dialect;
use crate::immcu::content::{Content, Sort};
use crate::shard::held::Held;
use crate::shard::usage::EndKey;
use crate::sip::armed::Armed;
use crate::sip::chain::Chain;
use crate::sip::dialog::DialogKey;
use crate::sip::link::{ConnectionId, Link};
use crate::sip::slack::Slack;
use crate::sip::time::Now;
use crate::sip::transaction::{ClientKey, ServerKey};
use crate::sip::uri::Aor;

/// Bytes of requests to one connection in a turn; one may go past it. What is more than that waits for the next turn. A
/// peer is cut at four times as much unsent (`unsent_bytes_max` of the shell), and that it is behind is known a turn later: so
/// there is room for what waited before, for the last one, and for answers.
pub(crate) const TOLD_BYTES_MAX: usize = 256 * 1024;

/// Typing (RFC 3994).
const IS_COMPOSING: &str = "application/im-iscomposing+xml";

/// One connection, whoever speaks on it, and the ends of what hangs on it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub id: ConnectionId,
    pub link: Link,
    /// Who has authenticated here: nobody else may speak on it.
    pub user: Option<Aor>,
    /// It is counted at its user: not any more once they were removed from the store.
    pub counted: bool,
    /// How it speaks; fixed by its first REGISTER that was taken.
    pub dialect: Dialect,
    /// Publications in a row that were refused for their versions.
    pub conflicts: u8,
    /// The peer reads too slowly: states are kept back, the newest is sent when it has caught up.
    pub behind: bool,
    /// It stands in the shard's list of those who are told more in the next turn.
    pub told_later: bool,
    /// Bytes of requests in the turn of `told_at`: a turn has one time.
    told_bytes: usize,
    told_at: Now,
    /// Requests to the peer that wait for room; most have none.
    pub held: Option<Box<Held>>,
    /// Requests of the peer that wait for an answer.
    pub pending: u16,
    /// No message to it may be short; see `padding`.
    pub padded: bool,
    /// When a person last did something here that no client does by itself: wrote, typed, called, took a call.
    /// REGISTER, PUBLISH and SUBSCRIBE are refreshed by machines, and a MESSAGE is answered by one.
    pub last_act: Option<Now>,
    /// The nonce counts seen here.
    pub seen: Seen,
    /// The keys that both sides sign with, after a login by NTLM. `Connections::associate` sets it.
    pub association: Option<Box<Association>>,
    pub armed: Armed,
    pub servers: Chain<ServerKey>,
    pub clients: Chain<ClientKey>,
    pub dialogs: Chain<DialogKey>,
    pub ends: Chain<EndKey>,
}

/// The connections of a shard, by slot.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    count: usize,
    /// How many of them are padded.
    padded: usize,
    /// How many of them are signed.
    signed: usize,
}

impl Connections {
    pub fn open(&mut self, id: ConnectionId, link: Link) {
        let slot = id.slot();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let connection = Box::new(Connection {
            id,
            link,
            user: None,
            counted: false,
            dialect: Dialect::default(),
            conflicts: 0,
            behind: false,
            told_later: false,
            told_bytes: 0,
            told_at: Now(0),
            held: None,
            pending: 0,
            padded: false,
            last_act: None,
            seen: Seen::after(link.failures),
            association: None,
            armed: Armed::default(),
            servers: Chain::default(),
            clients: Chain::default(),
            dialogs: Chain::default(),
            ends: Chain::default(),
        });
        if let Some(place) = self.slots.get_mut(slot)
            && place.replace(connection).is_none()
        {
            self.count += 1;
        }
    }

    /// Another one that stands where `id` is to stand.
    pub fn in_place_of(&self, id: ConnectionId) -> Option<ConnectionId> {
        let there = self.slots.get(id.slot())?.as_deref()?.id;
        (there != id).then_some(there)
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slots
            .get(id.slot())?
            .as_deref()
            .filter(|connection| connection.id == id)
    }

    /// The link of a connection that is still there.
    pub fn link(&self, id: ConnectionId) -> Option<Link> {
        self.get(id).map(|connection| connection.link)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots
            .get_mut(id.slot())?
            .as_deref_mut()
            .filter(|connection| connection.id == id)
    }

    pub fn close(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.get(id)?;
        let connection = self.slots.get_mut(id.slot())?.take()?;
        self.count -= 1;
        // Eight bytes a slot that a busier hour needed: `give_back` takes the room.
        while matches!(self.slots.last(), Some(None)) {
            self.slots.pop();
        }
        self.padded -= usize::from(connection.padded);
        self.signed -= usize::from(connection.association.is_some());
        Some(connection)
    }

    /// How the endpoint on a connection speaks.
    pub fn dialect(&self, id: ConnectionId) -> Dialect {
        self.get(id)
            .map_or(Dialect::Simple, |connection| connection.dialect)
    }

    /// Bytes of notifications that there is room for at `now`; zero where they are to wait: for the next turn, or until a slow
    /// peer has caught up. Half of a turn is for what else waits, where something does.
    pub fn room(&self, id: ConnectionId, now: Now) -> usize {
        let held = self.get(id).is_some_and(|place| place.held.is_some());
        let reserved = if held { TOLD_BYTES_MAX / 2 } else { 0 };
        self.room_to_say(id, now).saturating_sub(reserved)
    }

    /// The same for all other requests.
    pub fn room_to_say(&self, id: ConnectionId, now: Now) -> usize {
        match self.get(id) {
            Some(connection) if connection.behind => 0,
            Some(connection) if connection.told_at == now => {
                TOLD_BYTES_MAX.saturating_sub(connection.told_bytes)
            }
            Some(_) => TOLD_BYTES_MAX,
            None => 0,
        }
    }

    /// Whether somebody may write so many bytes to whoever is there: not where as much waits for them as may.
    pub fn has_room_to_say(&self, id: ConnectionId, bytes: usize) -> bool {
        let held = self.get(id).and_then(|place| place.held.as_ref());
        held.is_none_or(|held| held.has_room(bytes))
    }

    /// So many bytes of requests have been written at `now`.
    pub fn told(&mut self, id: ConnectionId, now: Now, bytes: usize) {
        if let Some(connection) = self.get_mut(id) {
            if connection.told_at != now {
                (connection.told_at, connection.told_bytes) = (now, 0);
            }
            connection.told_bytes += bytes;
        }
    }

    /// A person did something here.
    pub fn acted(&mut self, id: ConnectionId, now: Now) {
        if let Some(connection) = self.get_mut(id) {
            connection.last_act = Some(now);
        }
    }

    /// Something was said here: a person acts who writes or types, not a client that reports a delivery.
    pub fn wrote(&mut self, id: ConnectionId, content: &Content, now: Now) {
        if content.sort == Sort::Text || content.content_type.starts_with(IS_COMPOSING) {
            self.acted(id, now);
        }
    }

    /// From now on what is sent on it is padded.
    pub fn pad(&mut self, id: ConnectionId) {
        if let Some(connection) = self.get_mut(id)
            && !core::mem::replace(&mut connection.padded, true)
        {
            self.padded += 1;
        }
    }

    /// From now on both sides sign what they say on it, with these keys and no older ones.
    pub fn associate(&mut self, id: ConnectionId, association: Box<Association>) {
        if let Some(connection) = self.get_mut(id)
            && connection.association.replace(association).is_none()
        {
            self.signed += 1;
        }
    }

    pub fn any_signed(&self) -> bool {
        self.signed > 0
    }

    pub fn any_padded(&self) -> bool {
        self.padded > 0
    }

    /// Somebody is no user any more: their connections count nowhere. Not for a hot path.
    pub fn uncount(&mut self, user: &Aor) {
        let all = self.slots.iter_mut().flatten();
        for connection in all.filter(|connection| connection.user.as_ref() == Some(user)) {
            connection.counted = false;
        }
    }

    /// All of them in slot order; not for a hot path.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten().map(|connection| &**connection)
    }

    pub fn len(&self) -> usize {
        self.count
    }
}

impl Slack for Connections {
    fn give_back(&mut self) -> usize {
        self.slots.give_back()
    }

    fn room(&self) -> usize {
        self.slots.capacity()
    }
}
