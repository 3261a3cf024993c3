//! The tables that follow the number of users: as their room came with the users, so it goes with them.

use crate::shard::Shard;
use crate::sip::slack::Slack;

/// Entries that are moved in one tick before the other tables wait for the next: some hundred microseconds.
const MOVES_MAX: usize = 4_000;

impl Shard {
    /// Gives back what tables have to spare. To be called in each tick.
    pub(super) fn give_back(&mut self) {
        let mut moves = 0;
        self.for_each_table(&mut |table| {
            if moves < MOVES_MAX {
                moves += table.give_back();
            }
        });
    }

    /// How many places all tables have, taken or not, but for those of the users in the store: for tests that what came has gone.
    pub fn room(&mut self) -> usize {
        let mut places = 0;
        self.for_each_table(&mut |table| places += table.room());
        places
    }

    fn for_each_table(&mut self, act: &mut dyn FnMut(&mut dyn Slack)) {
        act(&mut self.connections);
        act(&mut self.servers);
        act(&mut self.clients);
        act(&mut self.dialogs);
        act(&mut self.deliveries);
        act(&mut self.copies);
        act(&mut self.ringings);
        act(&mut self.ringing_of);
        act(&mut self.rings_later);
        act(&mut self.watching);
        act(&mut self.telling);
        act(&mut self.subscribers);
        act(&mut self.holdings);
        act(&mut self.winfo_waits);
        act(&mut self.winfo_news);
        act(&mut self.left_behind);
        act(&mut self.lamps);
        act(&mut self.sessions);
        act(&mut self.made);
        act(&mut self.calls);
        act(&mut self.ends);
        act(&mut self.end_of);
        act(&mut self.pagers);
        act(&mut self.paging);
        act(&mut self.own_copies);
        act(&mut self.answering);
        act(&mut self.rosters);
        act(&mut self.publishing);
        act(&mut self.keeping);
        act(&mut self.wheel);
        act(&mut self.looks);
        act(&mut self.to_self);
    }
}
