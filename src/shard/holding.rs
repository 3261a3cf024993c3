//! What one user holds over all connections, at the user's owner: conversations, calls, dialogs with a focus, and what tells how a
//! REFER goes. There is a bound for it beside that of each connection: else who opens more connections has more. Other
//! subscriptions have one of their own (`subscriber`).
//!
//! Always holds: what is counted is what there is. It is counted where a dialog or a part in a call is added and where it is taken
//! out, and nowhere else, by the user whom it names: that outlives its connection, and the user in the store.

use std::collections::HashMap;

use crate::shard::Shard;
use crate::shard::usage::{Association, End, Subscription, Usage};
use crate::sip::dialog::DialogKey;
use crate::sip::link::ConnectionId;
use crate::sip::uri::Aor;

/// How much one user holds; who holds nothing has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Holding {
    /// All of it.
    pub count: usize,
    /// What others began among it.
    pub brought: usize,
}

/// What all users hold.
pub(crate) type Holdings = HashMap<Aor, Holding, ahash::RandomState>;

/// Whose it is, and whether somebody else began it.
type Held<'a> = (&'a Aor, bool);

fn add(holdings: &mut Holdings, (user, brought): Held<'_>) {
    let holding = match holdings.get_mut(user) {
        Some(holding) => holding,
        None => holdings.entry(user.clone()).or_default(),
    };
    holding.count += 1;
    holding.brought += usize::from(brought);
}

fn take(holdings: &mut Holdings, (user, brought): Held<'_>) {
    // Each that is taken was added: see the head.
    if let Some(holding) = holdings.get_mut(user) {
        holding.count -= 1;
        holding.brought -= usize::from(brought);
        if holding.count == 0 {
            holdings.remove(user);
        }
    }
}

fn held_by(usage: &Usage) -> Option<Held<'_>> {
    match usage {
        Usage::Leg(leg) => Some((&leg.user, !leg.theirs)),
        Usage::Focus(focus) => Some((&focus.user, false)),
        // Of a REFER.
        Usage::Subscription(Subscription {
            subject, watcher, ..
        }) if subject.edges() == 0 => Some((watcher, false)),
        Usage::Subscription(_) => None,
    }
}

impl End {
    /// Whether somebody else has called.
    pub fn is_brought(&self) -> bool {
        self.number > 0
    }
}

impl Shard {
    /// Adds a dialog to a connection. `make` is told the key it will have. `None` where the connection is gone.
    pub(super) fn add_dialog(
        &mut self,
        connection: ConnectionId,
        make: impl FnOnce(DialogKey) -> Association,
    ) -> Option<DialogKey> {
        let place = self.connections.get_mut(connection)?;
        let key = self.dialogs.insert_with(&mut place.dialogs, make);
        let usage = self.dialogs.get(key).map(|added| &added.usage);
        if let Some(held) = usage.and_then(held_by) {
            add(&mut self.holdings, held);
        }
        Some(key)
    }

    /// A dialog was taken out.
    pub(super) fn dialog_gone(&mut self, gone: &Usage) {
        if let Some(held) = held_by(gone) {
            take(&mut self.holdings, held);
        }
    }

    /// A client gets a part in a call.
    pub(super) fn end_added(&mut self, user: &Aor, is_brought: bool) {
        add(&mut self.holdings, (user, is_brought));
    }

    /// A client's part in a call was taken out.
    pub(super) fn end_gone(&mut self, gone: &End) {
        take(&mut self.holdings, (&gone.user, gone.is_brought()));
    }

    /// What the user of a connection holds.
    pub(super) fn holding_on(&self, connection: ConnectionId) -> Holding {
        let user = self.connections.get(connection);
        let user = user.and_then(|place| place.user.as_ref());
        let holding = user.and_then(|user| self.holdings.get(user));
        holding.copied().unwrap_or_default()
    }

    /// Whether one more dialog may be on this connection: subscriptions, legs and ends of calls count.
    pub(super) fn has_room_for_dialog(&self, connection: ConnectionId) -> bool {
        let max = self.settings.dialogs_max;
        self.connections.get(connection).is_some_and(|place| {
            let dialogs = self.dialogs.keys(&place.dialogs).take(max).count();
            dialogs + self.ends.keys(&place.ends).take(max).count() < max
        })
    }

    /// Why the user of this connection can't hold one more conversation or call on it; `None` where they can.
    pub(super) fn no_room_to_hold(&self, connection: ConnectionId) -> Option<&'static str> {
        if !self.has_room_for_dialog(connection) {
            return Some("Too Many Dialogs On This Connection");
        }
        let count = self.holding_on(connection).count;
        (count >= self.settings.dialogs_max).then_some("Too Many Conversations And Calls Of Yours")
    }
}
