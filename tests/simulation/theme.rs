//! What clients are at in a run: everything, or much of one thing, where the rare crossings are.

use super::dice::Dice;

/// Something a client may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    Page,
    /// To one endpoint, by its GRUU.
    PageOne,
    Invite,
    OpenRoom,
    /// A conference of many from the start.
    OpenForAll,
    JoinRoom,
    /// To the focus of a conference, as Lync's clients come.
    Attend,
    /// Something that a moderator may, asked there: by whoever.
    AskFocus,
    LeaveFocus,
    Cancel,
    Say,
    Type,
    Refer,
    SendAway,
    /// Lock, subject, roles, expel, end: by whoever, allowed or not.
    Command,
    Leave,
    Publish,
    Unpublish,
    /// A mailbox says how many messages wait.
    Mail,
    WatchUser,
    WatchRoom,
    /// One's contact list, in one subscription.
    WatchList,
    /// Who watches me.
    WatchWatchers,
    /// The user gives somebody a level, or takes it back.
    Treat,
    /// Only contacts see me, or all do again.
    Privacy,
    /// A contact more or less.
    Befriend,
    Refresh,
    Unsubscribe,
    Register,
    Unregister,
    StopReading,
    GoOnReading,
    Drop,
    /// The operator takes a user out of the store, or puts one back.
    Remove,
    PutBack,
    /// The operator gives a user a chosen state that ends, or takes it back.
    Choose,
    /// The store fails for a while, or works again.
    StoreFails,
    /// Ten minutes.
    Wait,
    Babble,
    /// Do not disturb, and no longer.
    Alone,
    /// Somebody is blocked, and no longer.
    Block,
}

use Deed::*;

type Weights = &'static [(Deed, usize)];

const EVERYTHING: Weights = &[
    (Page, 200),
    (Invite, 70),
    (OpenRoom, 20),
    (OpenForAll, 15),
    (JoinRoom, 30),
    (Attend, 20),
    (AskFocus, 10),
    (LeaveFocus, 10),
    (Cancel, 20),
    (Say, 200),
    (Type, 40),
    (Refer, 40),
    (SendAway, 10),
    (Command, 40),
    (Leave, 30),
    (Publish, 80),
    (Unpublish, 10),
    (Mail, 20),
    (WatchUser, 60),
    (WatchRoom, 30),
    (WatchList, 15),
    (WatchWatchers, 10),
    (Treat, 8),
    (Privacy, 3),
    (Befriend, 15),
    (Refresh, 30),
    (Unsubscribe, 30),
    (Register, 30),
    (Unregister, 10),
    (StopReading, 20),
    (GoOnReading, 30),
    (Drop, 25),
    (Remove, 3),
    (PutBack, 8),
    (Choose, 15),
    (StoreFails, 4),
    (Wait, 3),
    (Babble, 8),
];

const ROOMS: Weights = &[
    (Invite, 40),
    (OpenRoom, 10),
    (OpenForAll, 25),
    (JoinRoom, 80),
    (Attend, 50),
    (AskFocus, 40),
    (LeaveFocus, 30),
    (Say, 300),
    (Refer, 80),
    (SendAway, 15),
    (Command, 100),
    (Leave, 60),
    (WatchRoom, 100),
    (Refresh, 30),
    (Unsubscribe, 60),
    (StopReading, 10),
    (GoOnReading, 20),
    (Drop, 25),
    (Wait, 1),
];

const PRESENCE: Weights = &[
    (Publish, 250),
    (Unpublish, 40),
    (Mail, 50),
    (WatchUser, 120),
    (WatchList, 60),
    (WatchWatchers, 50),
    (Treat, 50),
    (Privacy, 12),
    (Befriend, 40),
    (Refresh, 40),
    (Unsubscribe, 120),
    (Register, 20),
    (Unregister, 20),
    (StopReading, 60),
    (GoOnReading, 40),
    (Drop, 60),
    (Remove, 8),
    (PutBack, 20),
    (Choose, 60),
    (StoreFails, 10),
    (Wait, 4),
];

const RINGING: Weights = &[
    (Invite, 200),
    (Cancel, 100),
    (Say, 60),
    (Type, 30),
    (Refer, 60),
    (Leave, 80),
    (Drop, 60),
    (Remove, 3),
    (PutBack, 8),
];

/// Nobody watches: who is blocked sees something else than others.
const WRITING: Weights = &[
    (Page, 300),
    (PageOne, 60),
    (Invite, 60),
    (Cancel, 20),
    (OpenRoom, 10),
    (Say, 60),
    (Type, 60),
    (Refer, 30),
    (Leave, 30),
    (Alone, 20),
    (Block, 25),
    (Register, 20),
    (Unregister, 15),
    (StopReading, 10),
    (GoOnReading, 20),
    (Drop, 30),
    (Remove, 3),
    (PutBack, 8),
    (Wait, 3),
];

/// A theme of a run.
#[derive(Clone, Copy)]
pub struct Theme(Weights);

impl Theme {
    pub fn of(seed: u64) -> Theme {
        Theme(match seed % 6 {
            0 => ROOMS,
            1 => PRESENCE,
            2 => RINGING,
            3 => WRITING,
            _ => EVERYTHING,
        })
    }

    pub fn pick(self, dice: &mut Dice) -> Deed {
        let all = self.0.iter().map(|(_, weight)| weight).sum();
        let mut at = dice.below(all);
        for (deed, weight) in self.0 {
            match at.checked_sub(*weight) {
                None => return *deed,
                Some(rest) => at = rest,
            }
        }
        unreachable!("the weights were summed")
    }
}
