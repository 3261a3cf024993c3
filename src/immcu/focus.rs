//! Who is at the focus of a conference: with a dialog of their own, in which they read the roster and ask for things,
//! before and beside the leg that they speak with. Lync's clients come this way; others speak with the focus in their one
//! dialog. And how long a conference waits for the first to come, and lasts.
//!
//! What always holds: who is at the focus is in the conference (`Session::has`), whether they have a leg yet or not; all
//! lists are bounded.

use crate::immcu::content::Party;
use crate::immcu::room::Role;
use crate::immcu::session::{Invitation, LegRef, Refusal, Session};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

use core::time::Duration;

/// How long a conference that was made waits for the first to come.
pub const AWAITED: Duration = Duration::from_secs(300);
/// The longest that a conference lasts which was made to end at a time.
pub const LASTS_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long somebody who has accepted an invitation may take to arrive by themself.
pub const ARRIVING: Duration = Duration::from_secs(60);
/// Conferences that one user has made or begun and that are not over.
pub const MADE_MAX: usize = 32;
/// Users who have left that a roster remembers; past it the first of them is forgotten.
pub const DEPARTED_MAX: usize = 250;

/// Somebody at the focus.
#[derive(Debug, Clone)]
pub struct Attendance {
    /// Who.
    pub user: Aor,
    /// The name that others see; may be empty.
    pub display: Box<str>,
    /// Their dialog with the focus.
    pub leg: LegRef,
    /// What their client calls itself in this conference: opaque.
    pub endpoint: Box<str>,
}

/// How a conference began that somebody made before anybody was in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Making {
    /// What the client that made it calls it: asked again for the same, it gets the same.
    pub name: Box<str>,
    /// Until when it waits for the first to come; `None` once somebody has.
    pub awaits: Option<Now>,
    /// When it ends for all.
    pub ends: Option<Now>,
}

/// A shard with subscriptions to a roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watching {
    /// Which.
    pub shard: u16,
    /// True where one of them reads it with its endpoints of the focus.
    pub in_full: bool,
}

impl Session {
    /// Lets somebody in at the focus, who may be there with other endpoints.
    ///
    /// # Errors
    /// They may not come in, or `members_max` are there or being rung.
    pub fn attend(
        &mut self,
        who: Party,
        leg: LegRef,
        endpoint: Box<str>,
        members_max: usize,
    ) -> Result<Role, Refusal> {
        self.admits(&who.aor)?;
        let full = !self.has(&who.aor) && self.is_full_for(&who.aor, members_max);
        // Each with a leg may be at the focus too, and no more.
        if full || self.attendances.len() >= members_max {
            return Err(Refusal::Full);
        }
        let Party { aor: user, display } = who;
        self.attendances.push(Attendance {
            user: user.clone(),
            display,
            leg,
            endpoint,
        });
        self.arrived(&user);
        Ok(if self.is_led_by(&user) {
            Role::Moderator
        } else {
            Role::Participant
        })
    }

    /// Somebody is no longer at the focus.
    pub fn leave_focus(&mut self, leg: LegRef) -> Option<Attendance> {
        let index = self.attendances.iter().position(|one| one.leg == leg)?;
        Some(self.attendances.remove(index))
    }

    /// Who asks for something, with a leg or at the focus.
    pub fn asker(&self, leg: LegRef) -> Option<&Aor> {
        let speaks = self.by_leg(leg).map(|one| &one.user);
        let attends = || self.attendances.iter().find(|one| one.leg == leg);
        speaks.or_else(|| attends().map(|one| &one.user))
    }

    /// Whether `user` is at the focus.
    pub fn attends(&self, user: &Aor) -> bool {
        self.attendances.iter().any(|one| one.user == *user)
    }

    /// Somebody who was invited has said that they come, by themself and until then. Until they have, they are let in as
    /// they were while it rang.
    pub fn comes(&mut self, number: u32, until: Now) -> Option<&mut Invitation> {
        let found = self.invitations.iter_mut().find(|i| i.number == number)?;
        found.arriving = Some(until);
        Some(found)
    }

    /// Those who have accepted and have not arrived in time.
    pub fn overdue(&self, now: Now) -> Vec<u32> {
        let late = |i: &&Invitation| i.arriving.is_some_and(|until| until <= now);
        self.invitations
            .iter()
            .filter(late)
            .map(|i| i.number)
            .collect()
    }

    /// Whether the time is up for which it was made, or in which somebody should have come.
    pub fn is_expired(&self, now: Now) -> bool {
        let past = |at: Option<Now>| at.is_some_and(|at| at <= now);
        past(self.making.ends) || past(self.making.awaits)
    }

    /// When something of it is to be looked at next.
    pub fn look_at(&self) -> Option<Now> {
        let arriving = self.invitations.iter().filter_map(|i| i.arriving);
        arriving
            .chain(self.making.ends)
            .chain(self.making.awaits)
            .min()
    }

    /// Remembers who has left with all that they had, so that a roster can say so.
    pub fn depart(&mut self, user: &Aor) {
        self.departed.retain(|one| one != user);
        if self.has(user) {
            return;
        }
        if self.departed.len() >= DEPARTED_MAX {
            self.departed.remove(0);
        }
        self.departed.push(user.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::immcu::SessionId;
    use crate::immcu::session::{Joining, Kind};

    fn user(name: &str) -> Party {
        Party {
            aor: Aor::parse(&format!("{name}@example.com")).expect("a user of the test"),
            display: "".into(),
        }
    }

    fn leg(key: u64) -> LegRef {
        LegRef { shard: 0, key }
    }

    fn made() -> Session {
        let id = SessionId {
            group: 1,
            random: 2,
        };
        let mut session = Session::new(id, Kind::Conference, user("alice").aor, Now(0));
        session.making.awaits = Some(Now(300));
        session
    }

    fn attend(session: &mut Session, name: &str, key: u64) -> Result<Role, Refusal> {
        session.attend(user(name), leg(key), "{1}".into(), 3)
    }

    #[test]
    fn a_made_conference_waits_and_ends_with_the_last() {
        let mut session = made();
        assert!(!session.is_over(), "it waits");
        assert!(!session.is_expired(Now(299)) && session.is_expired(Now(300)));
        assert_eq!(attend(&mut session, "alice", 1), Ok(Role::Moderator));
        assert_eq!(session.making.awaits, None, "nobody is waited for any more");
        assert_eq!(attend(&mut session, "bob", 2), Ok(Role::Participant));
        assert_eq!(session.asker(leg(2)), Some(&user("bob").aor));
        assert!(session.leave_focus(leg(1)).is_some());
        assert_eq!(session.pass_on_role(), Some(user("bob").aor));
        assert!(!session.is_over());
        session.leave_focus(leg(2));
        assert!(session.is_over());
    }

    #[test]
    fn who_comes_first_decides_until_the_organiser_does() {
        let mut session = made();
        assert_eq!(attend(&mut session, "bob", 1), Ok(Role::Moderator));
        assert_eq!(attend(&mut session, "alice", 2), Ok(Role::Moderator));
        assert_eq!(attend(&mut session, "carol", 3), Ok(Role::Participant));
        assert_eq!(attend(&mut session, "dave", 4), Err(Refusal::Full));
        let endpoint: Box<str> = "{2}".into();
        let again = session.attend(user("bob"), leg(5), endpoint, 3);
        assert_eq!(again, Err(Refusal::Full), "no more than there are places");
    }

    #[test]
    fn who_is_rung_or_at_the_focus_has_a_place() {
        let mut session = made();
        assert_eq!(attend(&mut session, "alice", 1), Ok(Role::Moderator));
        assert_eq!(session.invite(user("bob").aor, None, None, 3), Ok(1));
        assert_eq!(attend(&mut session, "carol", 2), Ok(Role::Participant));
        let join = |session: &mut Session, name, key| {
            let joined = session.join(user(name), leg(key), "".into(), Joining::DialedIn, true, 3);
            joined.map(|_| ())
        };
        let dave = session.invite(user("dave").aor, None, None, 3);
        assert_eq!(dave, Err(Refusal::Full), "Alice, Carol and Bob's place");
        assert_eq!(attend(&mut session, "dave", 3), Err(Refusal::Full));
        assert_eq!(join(&mut session, "dave", 4), Err(Refusal::Full));
        assert_eq!(join(&mut session, "carol", 5), Ok(()));
        assert_eq!(attend(&mut session, "bob", 6), Ok(Role::Participant));
        assert_eq!(join(&mut session, "bob", 7), Ok(()));
        assert_eq!(join(&mut session, "bob", 8), Err(Refusal::Full));
        assert_eq!(join(&mut session, "alice", 9), Ok(()));
    }

    #[test]
    fn one_who_has_accepted_is_let_in_where_it_is_locked_and_for_a_minute() {
        let mut session = made();
        assert_eq!(attend(&mut session, "alice", 1), Ok(Role::Moderator));
        let number = session.invite(user("bob").aor, None, None, 3);
        assert_eq!(number, Ok(1));
        assert!(session.comes(1, Now(60)).is_some());
        assert!(session.comes(2, Now(60)).is_none());
        session.room.locked = true;
        assert_eq!(attend(&mut session, "carol", 2), Err(Refusal::Locked));
        assert_eq!(session.overdue(Now(59)), Vec::<u32>::new());
        assert_eq!(session.overdue(Now(60)), [1]);
        assert_eq!(session.look_at(), Some(Now(60)));
        assert_eq!(attend(&mut session, "bob", 3), Ok(Role::Participant));
        assert_eq!(session.overdue(Now(60)), Vec::<u32>::new(), "they are here");
        let joined = session.join(user("bob"), leg(4), "".into(), Joining::DialedIn, true, 3);
        assert!(joined.is_ok());
        session.leave_focus(leg(3));
        session.depart(&user("bob").aor);
        assert!(session.departed.is_empty(), "they have a leg still");
        session.leave(leg(4));
        session.depart(&user("bob").aor);
        assert_eq!(session.departed, [user("bob").aor]);
        let back = session.attend(user("bob"), leg(5), "".into(), 3);
        assert_eq!(back, Err(Refusal::Locked));
    }
}
