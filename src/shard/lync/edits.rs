//! Who has changed what of a contact list lately: whether a change by who knew an older list would undo another's.

use std::collections::VecDeque;

use crate::presence::Item;
use crate::sip::link::ConnectionId;

/// Edits that are remembered.
const EDITS_MAX: usize = 32;

/// The last edits of one list, oldest first.
#[derive(Debug, Default)]
pub(in crate::shard) struct Edits {
    list: VecDeque<Edit>,
    /// The number of the newest that was forgotten.
    forgotten: u32,
}

#[derive(Debug)]
struct Edit {
    /// Of the list that it makes.
    number: u32,
    connection: ConnectionId,
    item: Item,
}

impl Edits {
    /// Whether somebody else has changed `item` since the list was at the number that this connection knows.
    ///
    /// A number that is merely old is no conflict: an edit says all of one item, so two edits of different items undo
    /// nothing of each other, whatever their order. Nor are a client's own edits, of which it counts those that are under
    /// way.
    pub fn conflict(&self, known: u32, connection: ConnectionId, item: &Item) -> bool {
        self.forgotten > known
            || self.list.iter().any(|edit| {
                edit.number > known && edit.connection != connection && edit.item == *item
            })
    }

    /// An edit is under way.
    pub fn add(&mut self, number: u32, connection: ConnectionId, item: Item) {
        if self.list.len() >= EDITS_MAX
            && let Some(oldest) = self.list.pop_front()
        {
            self.forgotten = oldest.number;
        }
        self.list.push_back(Edit {
            number,
            connection,
            item,
        });
    }

    /// An edit has changed nothing.
    pub fn forget(&mut self, connection: ConnectionId, item: &Item) {
        let last = self
            .list
            .iter()
            .rposition(|edit| edit.connection == connection && edit.item == *item);
        if let Some(last) = last {
            self.list.remove(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_has_changed_since_is_a_conflict() {
        let (mine, theirs) = (ConnectionId::new(1, 0), ConnectionId::new(2, 0));
        let mut edits = Edits::default();
        edits.add(8, theirs, Item::Group(3));
        edits.add(9, mine, Item::Group(4));
        for (known, connection, group, expected) in [
            (7, mine, 3, true),
            (8, mine, 3, false),
            (7, theirs, 3, false),
            (7, mine, 4, false),
            (7, theirs, 4, true),
            (12, theirs, 4, false),
            (0, mine, 5, false),
        ] {
            let said = edits.conflict(known, connection, &Item::Group(group));
            assert_eq!(said, expected, "{known} {group}");
        }
        edits.forget(theirs, &Item::Group(3));
        assert!(!edits.conflict(7, mine, &Item::Group(3)));
        for n in 0..40 {
            edits.add(20 + n, mine, Item::Group(4));
        }
        assert_eq!(edits.list.len(), EDITS_MAX);
        assert!(edits.conflict(8, theirs, &Item::Group(63)), "who can tell?");
        assert!(!edits.conflict(40, theirs, &Item::Group(63)));
    }
}
