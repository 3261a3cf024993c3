//! A shard's connections by slot and generation, and when to look at each again.

use crate::shell::connection::Connection;
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;

/// Generations stay below the mark of listeners in the readiness set.
const GENERATION_MASK: u32 = 0x7fff_ffff;
/// Nothing to look at.
const NEVER: u32 = u32::MAX;

#[derive(Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// The connections of one shard.
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// In tenths of a second since `start`, by slot: small and dense, so that a sweep touches no connection that is not due.
    due: Vec<u32>,
    start: Now,
    swept: usize,
}

impl Table {
    /// An empty table. Times before `start` count as `start`.
    pub(super) fn new(start: Now) -> Table {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            due: Vec::new(),
            start,
            swept: 0,
        }
    }

    fn tenths(&self, at: Now) -> u32 {
        u32::try_from(at.since(self.start).as_millis() / 100).unwrap_or(NEVER - 1)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a connection in.
    pub(super) fn insert(&mut self, connection: Box<Connection>) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            let index =
                u32::try_from(self.slots.len()).expect("descriptors run out long before slots");
            self.slots.push(Slot::default());
            self.due.push(NEVER);
            index
        });
        let slot = &mut self.slots[index as usize];
        slot.connection = Some(connection);
        ConnectionId::new(index, slot.generation)
    }

    /// The connection of that id, unless it is gone.
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot())?;
        if id.generation() != slot.generation {
            return None;
        }
        slot.connection.as_deref_mut()
    }

    /// Takes a connection out; its id is stale from now on.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.get_mut(id)?;
        let slot = self.slots.get_mut(id.slot())?;
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        self.due[id.slot()] = NEVER;
        self.free.push(id.0 as u32);
        Some(connection)
    }

    /// Looks at a connection soon after `at` (as often as the sweep comes round), unless it is to be looked at before.
    pub(super) fn look_at(&mut self, id: ConnectionId, at: Now) {
        let at = self.tenths(at).saturating_add(1);
        if let Some(due) = self.due.get_mut(id.slot()) {
            *due = at.min(*due);
        }
    }

    /// Sweeps a part of the slots, one of `parts`, the next one each time: pushes those that are due, each once.
    pub(super) fn sweep(&mut self, now: Now, parts: usize, due: &mut Vec<ConnectionId>) {
        let now = self.tenths(now);
        let count = self.slots.len().div_ceil(parts).max(1);
        if self.swept >= self.slots.len() {
            self.swept = 0;
        }
        let part = self.swept..(self.swept + count).min(self.slots.len());
        self.swept = part.end;
        for index in part {
            if self.due[index] <= now {
                self.due[index] = NEVER;
                due.push(ConnectionId::new(
                    index as u32,
                    self.slots[index].generation,
                ));
            }
        }
    }

    /// The ids of all.
    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        let all = self
            .slots
            .iter()
            .zip(0u32..)
            .filter(|(slot, _)| slot.connection.is_some());
        all.map(|(slot, index)| ConnectionId::new(index, slot.generation))
            .collect()
    }
}
