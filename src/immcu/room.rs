//! Who decides in a conference, and what: moderators, the lock, the subject, who was sent away and who did not come
//! (the notions of RFC 4575 §5.3 to §5.7 and of RFC 4579 §5).
//!
//! What always holds: while somebody is in a conference, one of them is a moderator; all lists are bounded. Who started
//! it is a moderator whenever they are in it, until another one takes that away. Not here: order and legs (`session`).

use crate::immcu::content::Outcome;
use crate::immcu::session::{Kind, Refusal, Session};
use crate::sip::uri::Aor;

/// Characters of a subject.
pub const SUBJECT_CHARS_MAX: usize = 255;
/// Users who were sent away that one conference remembers; past it the first of them is forgotten.
pub const EXPELLED_MAX: usize = 250;

/// What a conference is about: one line, at most `SUBJECT_CHARS_MAX` characters; empty for nothing said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subject(Box<str>);

impl Subject {
    /// Control characters become spaces, so that it can stand in a header; space around it goes.
    ///
    /// # Errors
    /// Where it is longer than `SUBJECT_CHARS_MAX`.
    pub fn read(text: &str) -> Result<Subject, Refusal> {
        let plain = |char: char| if char.is_control() { ' ' } else { char };
        let line: String = text.chars().map(plain).collect();
        let line = line.trim();
        if line.chars().count() > SUBJECT_CHARS_MAX {
            return Err(Refusal::SubjectTooLong);
        }
        Ok(Subject(line.into()))
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What somebody is in a conference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Decides about the conference.
    Moderator,
    /// Speaks, hears, invites while it is not locked, and leaves.
    Participant,
}

/// What a moderator asks for, in whatever dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Nobody comes in any more but whom a moderator invites; or everybody may again.
    SetLock(bool),
    /// What it is about.
    SetSubject(Subject),
    /// Makes somebody who is in it a moderator, or no moderator.
    SetRole(Aor, Role),
    /// Sends somebody away, or stops ringing them.
    Expel(Aor),
    /// Ends it for all.
    EndAll,
}

/// What only moderators may do: a refusal names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Lock and unlock.
    Lock,
    /// Change the subject.
    Subject,
    /// Promote and demote.
    Roles,
    /// Send others away.
    Expel,
    /// End it for all.
    End,
    /// Invite into a locked conference.
    InviteLocked,
    /// Invite somebody who was sent away.
    InviteExpelled,
}

impl Command {
    /// The right that it needs.
    pub fn right(&self) -> Right {
        match self {
            Command::SetLock(_) => Right::Lock,
            Command::SetSubject(_) => Right::Subject,
            Command::SetRole(..) => Right::Roles,
            Command::Expel(_) => Right::Expel,
            Command::EndAll => Right::End,
        }
    }
}

/// Somebody who was invited and did not come: the roster shows why until they come, are invited again, or their place is needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Absent {
    /// Who.
    pub user: Aor,
    /// How their invitation ended.
    pub outcome: Outcome,
}

/// The part of a session that only conferences have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// Who decides; all of them are in the conference.
    pub moderators: Vec<Aor>,
    /// True where nobody comes in uninvited.
    pub locked: bool,
    /// What it is about.
    pub subject: Subject,
    /// Who was sent away, and may come back only when a moderator invites them. At most `EXPELLED_MAX`.
    pub expelled: Vec<Aor>,
    /// Who did not come. With those in the conference and those being rung at most as many as it has places.
    pub absent: Vec<Absent>,
    /// Who was absent and gave their line to others since the roster was last told: who follows what changes has to hear it.
    pub displaced: Vec<Aor>,
    /// True once another moderator has taken the role from who started it.
    pub deposed: bool,
}

impl Session {
    /// Whether `user` decides about the conference.
    pub fn is_led_by(&self, user: &Aor) -> bool {
        self.room.moderators.contains(user)
    }

    /// Whether `user` is in it, with any leg or at the focus.
    pub fn has(&self, user: &Aor) -> bool {
        self.participants.iter().any(|one| one.user == *user) || self.attends(user)
    }

    /// Whether `user` is being rung.
    pub fn rings(&self, user: &Aor) -> bool {
        self.invitations.iter().any(|one| one.user == *user)
    }

    /// Whether `user` may come in by the conference's own URI. Who is in it already may come with another endpoint, who is
    /// being rung may come this way as well, and who started it opens what is locked.
    ///
    /// # Errors
    /// It is locked, or they were sent away.
    pub fn admits(&self, user: &Aor) -> Result<(), Refusal> {
        if self.has(user) || self.rings(user) {
            return Ok(());
        }
        if self.room.expelled.contains(user) {
            return Err(Refusal::SentAway);
        }
        // Whoever made it locked has still to come in themself.
        let opens = *user == self.initiator && !self.room.deposed;
        if self.room.locked && !opens {
            return Err(Refusal::Locked);
        }
        Ok(())
    }

    /// Whether `by`, who is in it, may invite `user`.
    ///
    /// # Errors
    /// It is locked, or the other was sent away: then it takes a moderator.
    pub fn may_invite(&self, by: &Aor, user: &Aor) -> Result<(), Refusal> {
        if self.is_led_by(by) {
            return Ok(());
        }
        if self.room.locked {
            return Err(Refusal::NotAllowed(Right::InviteLocked));
        }
        if self.room.expelled.contains(user) {
            return Err(Refusal::NotAllowed(Right::InviteExpelled));
        }
        Ok(())
    }

    /// Whether all of `commands` may be done for `by`, as one: nothing is done where one of them can't be.
    ///
    /// # Errors
    /// `by` is no moderator; somebody who is named is not there; or nobody would be left to moderate.
    pub fn may_command(&self, by: &Aor, commands: &[Command]) -> Result<(), Refusal> {
        if self.kind != Kind::Conference || !self.has(by) {
            return Err(Refusal::NotHere);
        }
        let mut moderators: Vec<&Aor> = self.room.moderators.iter().collect();
        let mut gone: Vec<&Aor> = Vec::new();
        for command in commands {
            if !self.is_led_by(by) {
                return Err(Refusal::NotAllowed(command.right()));
            }
            match command {
                Command::SetLock(_) | Command::SetSubject(_) => {}
                Command::EndAll => return Ok(()),
                Command::SetRole(user, role) => {
                    if !self.has(user) {
                        return Err(Refusal::Stranger);
                    }
                    moderators.retain(|one| *one != user);
                    if *role == Role::Moderator {
                        moderators.push(user);
                    }
                }
                Command::Expel(user) => {
                    if !self.has(user) && !self.rings(user) {
                        return Err(Refusal::Stranger);
                    }
                    gone.push(user);
                }
            }
        }
        moderators.retain(|one| !gone.contains(one));
        let speak = self.participants.iter().map(|one| &one.user);
        let attend = self.attendances.iter().map(|one| &one.user);
        let somebody_stays = speak.chain(attend).any(|one| !gone.contains(&one));
        if somebody_stays && moderators.is_empty() {
            return Err(Refusal::NobodyModerates);
        }
        Ok(())
    }

    /// Makes somebody a moderator, or no moderator.
    pub fn set_role(&mut self, user: &Aor, role: Role) {
        self.room.moderators.retain(|one| one != user);
        match role {
            Role::Moderator => self.room.moderators.push(user.clone()),
            Role::Participant => self.room.deposed |= *user == self.initiator,
        }
    }

    /// Remembers that somebody was sent away. Their legs are the caller's to end.
    pub fn expel(&mut self, user: &Aor) {
        self.set_role(user, Role::Participant);
        self.room.expelled.retain(|one| one != user);
        if self.room.expelled.len() >= EXPELLED_MAX {
            self.room.expelled.remove(0);
        }
        self.room.expelled.push(user.clone());
    }

    /// Somebody is in now: not absent any more, and a moderator where they started it, or where nobody else is there who
    /// could be.
    pub(super) fn arrived(&mut self, user: &Aor) {
        self.room.absent.retain(|one| one.user != *user);
        self.departed.retain(|one| one != user);
        self.invitations
            .retain(|one| one.user != *user || one.arriving.is_none());
        self.making.awaits = None;
        if self.kind != Kind::Conference || self.is_led_by(user) {
            return;
        }
        let started_it = *user == self.initiator && !self.room.deposed;
        if started_it || self.room.moderators.is_empty() {
            self.room.moderators.push(user.clone());
        }
    }

    /// An invitation has come to nothing. Nobody is absent who has come another way meanwhile.
    pub fn missed(&mut self, user: &Aor, outcome: Outcome, members_max: usize) {
        self.room.absent.retain(|one| one.user != *user);
        if self.has(user) || self.rings(user) {
            return;
        }
        self.room.absent.push(Absent {
            user: user.clone(),
            outcome,
        });
        self.make_room(members_max);
    }

    /// Who did not come gives their line in the roster to who does.
    pub(super) fn make_room(&mut self, members_max: usize) {
        let taken = self.participants.len() + self.invitations.len();
        let absent_max = members_max.saturating_sub(taken);
        let over = self.room.absent.len().saturating_sub(absent_max);
        let displaced = self.room.absent.drain(..over).map(|one| one.user);
        self.room.displaced.extend(displaced);
    }

    /// Somebody has left: a role lasts as long as its holder is in. Where nobody else moderates, who has been in it for
    /// longest does from now on, and is returned.
    pub fn pass_on_role(&mut self) -> Option<Aor> {
        let (participants, attendances) = (&self.participants, &self.attendances);
        self.room.moderators.retain(|one| {
            participants.iter().any(|other| other.user == *one)
                || attendances.iter().any(|other| other.user == *one)
        });
        if self.kind != Kind::Conference || !self.room.moderators.is_empty() {
            return None;
        }
        let speaks = participants.first().map(|one| &one.user);
        let attends = attendances.first().map(|one| &one.user);
        let longest = speaks.or(attends)?.clone();
        self.room.moderators.push(longest.clone());
        Some(longest)
    }
}

#[cfg(test)]
mod tests;
