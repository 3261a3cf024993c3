//! A session's one order and one roster, kept by the shard that owns the routing group of its starter.
//!
//! What always holds: a participant is known by its leg; numbers are never used twice in a session; a two-party
//! session has at most two participants and one invitation. Not here: who decides in a conference (`room`), the
//! participants' dialogs (they live where the participants' connections are), and how anything is written down.

use smallvec::SmallVec;

use crate::immcu::SessionId;
use crate::immcu::content::{Party, Thread};
use crate::immcu::focus::{Attendance, Making, Watching};
use crate::immcu::room::{Right, Room, SUBJECT_CHARS_MAX};
use crate::sip::armed::Armed;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// Where a leg lives: its shard and its slot there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LegRef {
    /// The shard of the participant's connection.
    pub shard: u16,
    /// The leg's dialog on that shard.
    pub key: u64,
}

/// Two parties, or a focus with members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Two parties: a message is answered when the other side's endpoint has answered it.
    TwoParty,
    /// A focus: a message is answered when the session has accepted it.
    Conference,
}

/// How somebody came in (RFC 4575 §5.7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joining {
    /// By an INVITE of their own.
    DialedIn,
    /// They were invited and accepted.
    DialedOut,
}

/// Somebody who takes part.
#[derive(Debug, Clone)]
pub struct Participant {
    /// Unique in the session; the CDR's participation.
    pub number: u32,
    /// Who.
    pub user: Aor,
    /// The name that others see; may be empty.
    pub display: Box<str>,
    /// Their leg.
    pub leg: LegRef,
    /// Their endpoint's instance id; may be empty.
    pub endpoint: Box<str>,
    /// How they came in.
    pub joining: Joining,
    /// Messages that were delivered or accepted, typing and notifications not counted.
    pub messages_sent: u32,
    /// False while a starter waits for the other side to accept.
    pub active: bool,
}

/// Somebody who is being rung.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Unique in the session.
    pub number: u32,
    /// Who is rung.
    pub user: Aor,
    /// The REFER that asked for it: a subscription to tell (RFC 3515 §2.4.4).
    pub refer: Option<LegRef>,
    /// Who asked for it with a list (RFC 5366): a leg that is told when it fails.
    pub asker: Option<LegRef>,
    /// The request that is answered with how it ends, where that is how it was asked for.
    pub waits: Option<LegRef>,
    /// True once one of their endpoints rings.
    pub alerting: bool,
    /// Set once an endpoint has accepted that comes by itself: until when it should have come.
    pub arriving: Option<Now>,
}

/// Why something can't be done in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such session, or the leg is not part of it: 481.
    NotHere,
    /// The conference has as many members as it may: 486.
    Full,
    /// Only moderators have this right: 403.
    NotAllowed(Right),
    /// It is locked, and they were not invited: 403.
    Locked,
    /// They were sent away, and not invited again: 403.
    SentAway,
    /// Then nobody would moderate: 403.
    NobodyModerates,
    /// Somebody who is named is not in the conference: 404.
    Stranger,
    /// The subject has more characters than it may: 400.
    SubjectTooLong,
    /// They take part already, or are being rung: 486.
    AlreadyHere,
    /// There is nobody to hear it: 480.
    Nobody,
}

const SUBJECT_TOO_LONG: &str = "The Subject Is Longer Than 255 Characters";
// The text names the bound.
const _: () = assert!(SUBJECT_CHARS_MAX == 255);

impl Refusal {
    /// The status that tells a client.
    pub fn status(self) -> u16 {
        match self {
            Refusal::NotHere => 481,
            Refusal::Full | Refusal::AlreadyHere => 486,
            Refusal::NotAllowed(_)
            | Refusal::Locked
            | Refusal::SentAway
            | Refusal::NobodyModerates => 403,
            Refusal::Stranger => 404,
            Refusal::SubjectTooLong => 400,
            Refusal::Nobody => 480,
        }
    }

    /// The reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::NotHere => "Call/Transaction Does Not Exist",
            Refusal::Full => "Conference Is Full",
            Refusal::AlreadyHere => "Already In The Session",
            Refusal::NotAllowed(right) => match right {
                Right::Lock => "Only A Moderator May Lock",
                Right::Subject => "Only A Moderator May Change The Subject",
                Right::Roles => "Only A Moderator May Change Roles",
                Right::Expel => "Only A Moderator May Send Others Away",
                Right::End => "Only A Moderator May End The Conference",
                Right::InviteLocked => "Locked: Only A Moderator May Invite",
                Right::InviteExpelled => "Was Sent Away: Only A Moderator May Invite",
            },
            Refusal::Locked => "The Conference Is Locked",
            Refusal::SentAway => "Sent Away: A Moderator Must Invite You",
            Refusal::NobodyModerates => "Somebody Must Stay Moderator",
            Refusal::Stranger => "Not In This Conference",
            Refusal::SubjectTooLong => SUBJECT_TOO_LONG,
            Refusal::Nobody => "Nobody Else Is In The Session",
        }
    }
}

/// One session.
#[derive(Debug)]
pub struct Session {
    /// Names it in URIs and letters, for its whole life.
    pub id: SessionId,
    /// Its CDR row now: changes when two parties become a conference.
    pub record: SessionId,
    /// Its kind now.
    pub kind: Kind,
    /// Who started it.
    pub initiator: Aor,
    /// Who takes part, in the order in which they came.
    pub participants: Vec<Participant>,
    /// Who is being rung.
    pub invitations: Vec<Invitation>,
    /// The version of the roster's document (RFC 4575 §5.2).
    pub version: u32,
    /// The shards with subscriptions to the roster.
    pub audience: Vec<Watching>,
    /// Who is at the focus, in the order in which they came.
    pub attendances: Vec<Attendance>,
    /// Who has left, at most `focus::DEPARTED_MAX`.
    pub departed: Vec<Aor>,
    /// Of a conference that was made before anybody was in it.
    pub making: Making,
    /// Whoever owns it looks at it then.
    pub armed: Armed,
    /// What only a conference has; a subject may come before it is one.
    pub room: Room,
    /// What its starter's client calls it, where it said so.
    pub thread: Option<Thread>,
    /// Somebody speaks in it with more than one leg.
    pub doubled: bool,
    /// True once the CDR knows of it.
    pub recorded: bool,
    /// When it began.
    pub began: Now,
    next: u32,
}

impl Session {
    /// A session that nobody takes part in yet.
    pub fn new(id: SessionId, kind: Kind, initiator: Aor, now: Now) -> Session {
        Session {
            id,
            record: id,
            kind,
            initiator,
            participants: Vec::new(),
            invitations: Vec::new(),
            version: 0,
            audience: Vec::new(),
            attendances: Vec::new(),
            departed: Vec::new(),
            making: Making::default(),
            armed: Armed::default(),
            room: Room::default(),
            thread: None,
            doubled: false,
            recorded: false,
            began: now,
            next: 0,
        }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Somebody comes in with `leg`.
    ///
    /// # Errors
    /// A conference of `members_max` is full with those who are there, be it only at the focus, and those who are being rung; a
    /// two-party session of two takes nobody (promote it first).
    pub fn join(
        &mut self,
        who: Party,
        leg: LegRef,
        endpoint: Box<str>,
        joining: Joining,
        active: bool,
        members_max: usize,
    ) -> Result<&Participant, Refusal> {
        let room = if self.kind == Kind::TwoParty {
            2
        } else {
            members_max
        };
        if self.is_full_for(&who.aor, room) {
            return Err(Refusal::Full);
        }
        let number = self.number();
        let Party { aor: user, display } = who;
        let someone = user.clone();
        self.doubled |= self.participants.iter().any(|one| one.user == user);
        self.participants.push(Participant {
            number,
            user,
            display,
            leg,
            endpoint,
            joining,
            messages_sent: 0,
            active,
        });
        self.arrived(&someone);
        self.make_room(members_max);
        self.participants.last().ok_or(Refusal::Full)
    }

    /// Whether `user` can't have one of `room` places: all legs have one, and everybody else who has no leg yet, but is at the
    /// focus or being rung.
    pub(super) fn is_full_for(&self, user: &Aor, room: usize) -> bool {
        let taken = self.participants.len();
        // Who has no leg is looked at one by one only where that matters.
        let comers = self.attendances.len() + self.invitations.len();
        if taken >= room || taken + comers < room {
            return taken >= room;
        }
        let mut speak: Vec<&Aor> = self.participants.iter().map(|one| &one.user).collect();
        speak.sort_unstable();
        let attend = self.attendances.iter().map(|one| &one.user);
        let mut others: Vec<&Aor> = attend
            .chain(self.invitations.iter().map(|one| &one.user))
            .filter(|one| *one != user && speak.binary_search(one).is_err())
            .collect();
        others.sort_unstable();
        others.dedup();
        taken + others.len() >= room
    }

    /// Rings a user.
    ///
    /// # Errors
    /// They are here or being rung already, or the conference is full with those who are being rung.
    pub fn invite(
        &mut self,
        user: Aor,
        refer: Option<LegRef>,
        asker: Option<LegRef>,
        members_max: usize,
    ) -> Result<u32, Refusal> {
        if self.has(&user) || self.rings(&user) {
            return Err(Refusal::AlreadyHere);
        }
        if self.kind == Kind::Conference && self.is_full_for(&user, members_max) {
            return Err(Refusal::Full);
        }
        let number = self.number();
        self.room.expelled.retain(|one| *one != user);
        self.room.absent.retain(|one| one.user != user);
        self.invitations.push(Invitation {
            number,
            user,
            refer,
            asker,
            waits: None,
            alerting: false,
            arriving: None,
        });
        self.make_room(members_max);
        Ok(number)
    }

    /// An invitation has ended: accepted, refused, cancelled.
    pub fn invitation_ended(&mut self, number: u32) -> Option<Invitation> {
        let index = self.invitations.iter().position(|i| i.number == number)?;
        Some(self.invitations.remove(index))
    }

    /// How many users take part: somebody with two endpoints is one (RFC 4575 §5.5.1).
    pub fn user_count(&self) -> usize {
        let mut users: SmallVec<[&Aor; 16]> =
            self.participants.iter().map(|one| &one.user).collect();
        users.sort_unstable();
        users.dedup();
        users.len()
    }

    /// Who speaks with this leg.
    pub fn by_leg(&self, leg: LegRef) -> Option<&Participant> {
        self.participants.iter().find(|p| p.leg == leg)
    }

    /// Who speaks with this leg.
    pub fn by_leg_mut(&mut self, leg: LegRef) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|p| p.leg == leg)
    }

    /// Whose participation it is, as long as they take part.
    pub fn by_number_mut(&mut self, number: u32) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|p| p.number == number)
    }

    /// Everybody but the one with `leg`: whom a message of theirs goes to.
    ///
    /// # Errors
    /// The leg is not of this session, or nobody else is in a two-party session.
    pub fn hearers(&self, leg: LegRef) -> Result<Vec<LegRef>, Refusal> {
        if !self.by_leg(leg).is_some_and(|p| p.active) {
            return Err(Refusal::NotHere);
        }
        if self.kind == Kind::TwoParty
            && !self.participants.iter().any(|p| p.leg != leg && p.active)
        {
            return Err(Refusal::Nobody);
        }
        Ok(self
            .participants
            .iter()
            .filter(|p| p.leg != leg && p.active)
            .map(|p| p.leg)
            .collect())
    }

    /// Somebody leaves.
    pub fn leave(&mut self, leg: LegRef) -> Option<Participant> {
        let index = self.participants.iter().position(|p| p.leg == leg)?;
        let left = self.participants.remove(index);
        self.doubled = self.doubled && self.user_count() < self.participants.len();
        Some(left)
    }

    /// Whether it is over: a two-party session when one has left, a conference when nobody is in it and nobody is
    /// waited for who should be the first. Those who are alone in a conference may wait for others.
    pub fn is_over(&self) -> bool {
        match self.kind {
            Kind::TwoParty => self.participants.len() + self.invitations.len() < 2,
            Kind::Conference => {
                self.participants.is_empty()
                    && self.attendances.is_empty()
                    && self.making.awaits.is_none()
            }
        }
    }

    /// Two become many: the same session under a new CDR row, with all who are in it. Who started it moderates.
    /// Returns the row that it continues; nothing changes where it is a conference already.
    pub fn promote(&mut self, record: SessionId) -> Option<SessionId> {
        if self.kind == Kind::Conference {
            return None;
        }
        self.kind = Kind::Conference;
        self.room.moderators = vec![self.initiator.clone()];
        self.pass_on_role();
        Some(core::mem::replace(&mut self.record, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Party {
        let aor = Aor::parse(&format!("{name}@example.com")).expect("a user of the test");
        Party {
            aor,
            display: "".into(),
        }
    }

    fn leg(key: u64) -> LegRef {
        LegRef { shard: 0, key }
    }

    fn session(kind: Kind) -> Session {
        Session::new(
            SessionId {
                group: 1,
                random: 2,
            },
            kind,
            user("alice").aor,
            Now(0),
        )
    }

    fn come(session: &mut Session, name: &str, key: u64) -> Result<u32, Refusal> {
        session
            .join(user(name), leg(key), "".into(), Joining::DialedIn, true, 3)
            .map(|participant| participant.number)
    }

    #[test]
    fn a_two_party_session_takes_two_and_ends_with_one() {
        let mut session = session(Kind::TwoParty);
        assert_eq!(come(&mut session, "alice", 1), Ok(1));
        assert_eq!(session.hearers(leg(1)), Err(Refusal::Nobody));
        assert_eq!(come(&mut session, "bob", 2), Ok(2));
        assert_eq!(come(&mut session, "carol", 3), Err(Refusal::Full));
        assert_eq!(session.hearers(leg(1)), Ok(vec![leg(2)]));
        assert_eq!(session.hearers(leg(9)), Err(Refusal::NotHere));
        assert!(!session.is_over());
        assert!(session.leave(leg(2)).is_some());
        assert!(session.leave(leg(2)).is_none());
        assert!(session.is_over());
    }

    #[test]
    fn who_is_rung_has_a_place_and_who_has_two_legs_is_one_user() {
        let mut session = session(Kind::Conference);
        assert_eq!(come(&mut session, "alice", 1), Ok(1));
        assert_eq!(session.invite(user("bob").aor, None, None, 3), Ok(2));
        assert!(!session.doubled);
        assert_eq!(come(&mut session, "alice", 2), Ok(3));
        assert_eq!(session.user_count(), 1);
        assert!(session.doubled);
        let third = come(&mut session, "carol", 3);
        assert_eq!(third, Err(Refusal::Full), "that place is Bob's");
        let bob = come(&mut session, "bob", 4);
        assert_eq!(bob, Ok(4), "and he takes it, though it rings still");
        assert_eq!(session.user_count(), 2);
        assert_eq!(come(&mut session, "bob", 5), Err(Refusal::Full));
        session.leave(leg(2));
        assert!(!session.doubled);
        let carol = come(&mut session, "carol", 6);
        assert_eq!(carol, Ok(5), "who is here needs no place for being rung");
    }

    #[test]
    fn a_promoted_session_keeps_its_members_and_goes_on_with_one() {
        let mut session = session(Kind::TwoParty);
        let first = session.record;
        assert_eq!(come(&mut session, "alice", 1), Ok(1));
        assert_eq!(come(&mut session, "bob", 2), Ok(2));
        assert_eq!(
            session.promote(SessionId {
                group: 1,
                random: 3
            }),
            Some(first)
        );
        assert_eq!(
            session.promote(SessionId {
                group: 1,
                random: 4
            }),
            None
        );
        assert_eq!(session.id, first, "its URI stays what it was");
        assert_eq!(
            session.invite(user("bob").aor, None, None, 3),
            Err(Refusal::AlreadyHere)
        );
        let carol = session.invite(user("carol").aor, None, None, 3);
        assert_eq!(carol, Ok(3));
        assert_eq!(
            session.invite(user("dave").aor, None, None, 3),
            Err(Refusal::Full)
        );
        assert!(session.invitation_ended(3).is_some());
        assert_eq!(
            come(&mut session, "carol", 3),
            Ok(4),
            "a number is never used twice"
        );
        assert_eq!(come(&mut session, "dave", 4), Err(Refusal::Full));
        session.leave(leg(1));
        session.leave(leg(2));
        assert!(!session.is_over(), "one who is alone may wait");
        session.leave(leg(3));
        assert!(session.is_over());
    }
}
