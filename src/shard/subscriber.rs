//! How many subscriptions a user has, over all connections: there is a bound for each user, not for each connection alone.

use crate::presence::INSTANCES_MAX;
use crate::shard::Shard;
use crate::shard::lync::edits::Edits;
use crate::sip::dialog::DialogKey;
use crate::sip::uri::Aor;

/// What a user subscribes to from this shard. Kept apart from the user, who may be removed from the store before the
/// connections have gone.
#[derive(Debug, Default)]
pub(crate) struct Subscriber {
    /// Subscriptions, and entries of subscriptions to lists.
    pub edges: usize,
    /// The subscriptions to lists among them.
    pub lists: Vec<DialogKey>,
    /// The subscriptions to the user's own data, which roams with them.
    pub roaming: Vec<DialogKey>,
    /// What endpoints have changed of the contact list lately.
    pub edits: Edits,
    /// The folded state of the user that those were told.
    pub told: Box<[u8]>,
    /// Categories that lost their last instance while one of those could not be told: what follows names them, or its client
    /// would believe in them for ever. Each once, at most [`EMPTIED_MAX`].
    pub emptied: Vec<Box<str>>,
}

/// A client knows of no more categories than a user may have instances; the first ones that are emptied are those that it knows.
pub(super) const EMPTIED_MAX: usize = INSTANCES_MAX;

impl Shard {
    /// How many subscriptions, entries of lists included.
    pub(super) fn edges(&self, user: &Aor) -> usize {
        self.subscribers
            .get(user)
            .map_or(0, |subscriber| subscriber.edges)
    }

    /// Where there were `before` subscriptions there are `after` now.
    pub(super) fn edges_changed(&mut self, user: &Aor, before: usize, after: usize) {
        let subscriber = match self.subscribers.get_mut(user) {
            Some(subscriber) => subscriber,
            None => self.subscribers.entry(user.clone()).or_default(),
        };
        subscriber.edges = (subscriber.edges + after).saturating_sub(before);
        if subscriber.edges == 0 {
            self.subscribers.remove(user);
        }
    }
}
