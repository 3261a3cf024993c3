//! What somebody does when it is their turn: a client as its theme has it, the operator, or a user by whatever way.

use std::time::Duration;

use muster::presence::{Choice, Level, Manual, Member};
use muster::shard::standing::Standing;
use muster::sip::uri::Aor;

use super::Run;
use super::fellow::{CONTACTS, Scene, aor, password};
use super::theme::Deed;

impl Run {
    /// One of them does something.
    pub(super) fn someone_acts(&mut self) {
        let index = self.dice.below(self.fellows.len());
        let other = self.dice.below(self.users);
        if self.fellows[index].socket.is_none() {
            if !self.removed.contains(&self.fellows[index].user) {
                self.fellows[index].connect(scene!(self, false));
            }
            return;
        }
        if !self.fellows[index].is_up() {
            self.fellows[index].poll(scene!(self, false));
            return;
        }
        let deed = self.theme.pick(&mut self.dice);
        let room = self.ledger.room(&mut self.dice, self.fellows[index].user);
        let room = room.map(|name| format!("sip:im-{name}@example.com"));
        let instances: Vec<(usize, usize)> = self
            .fellows
            .iter()
            .enumerate()
            .filter(|(_, fellow)| deed == Deed::PageOne && fellow.has_instance())
            .map(|(index, fellow)| (index, fellow.user))
            .collect();
        let scene = scene!(self, false);
        let fellow = &mut self.fellows[index];
        // What it makes of conferences is for conversations.
        let lync = matches!(
            deed,
            Deed::Invite
                | Deed::Cancel
                | Deed::Say
                | Deed::Type
                | Deed::Leave
                | Deed::Register
                | Deed::Unregister
                | Deed::WatchUser
                | Deed::Refresh
                | Deed::Unsubscribe
                | Deed::Treat
                | Deed::StopReading
                | Deed::GoOnReading
                | Deed::Drop
                | Deed::Babble
                | Deed::Alone
                | Deed::Block
                | Deed::Wait
        );
        match deed {
            _ if fellow.is_lync() && !lync => {}
            Deed::Page if other == fellow.user => {}
            Deed::Page => fellow.page(scene, other),
            Deed::PageOne => {
                if let Some((fellow, user)) = scene.dice.pick(&instances).copied()
                    && user != self.fellows[index].user
                {
                    self.fellows[index].page_one(scene, user, fellow);
                }
            }
            Deed::Invite => fellow.invite(scene, format!("sip:{}", aor(other))),
            Deed::OpenRoom => fellow.invite(scene, "sip:conference@example.com".to_owned()),
            Deed::OpenForAll => {
                let count = scene.dice.below(6);
                let list: Vec<usize> = (0..=count).map(|_| scene.dice.below(self.users)).collect();
                fellow.invite_all(scene, "sip:conference@example.com".to_owned(), &list);
            }
            Deed::Command => fellow.command(scene),
            Deed::JoinRoom => room.into_iter().for_each(|room| fellow.invite(scene, room)),
            Deed::Attend => room
                .into_iter()
                .for_each(|room| fellow.attend(scene, &room)),
            Deed::AskFocus => fellow.ask_focus(scene, other),
            Deed::LeaveFocus => fellow.leave_focus(scene),
            Deed::Cancel => fellow.cancel(scene),
            Deed::Say => fellow.say(scene),
            Deed::Type => fellow.types(scene),
            Deed::Refer => fellow.refer(scene, other, false),
            Deed::SendAway => fellow.refer(scene, other, true),
            Deed::Leave => fellow.leave(scene),
            Deed::Publish => fellow.publish(scene, false),
            Deed::Unpublish => fellow.publish(scene, true),
            Deed::WatchUser => {
                let expires_s = [0, 600, 3600][scene.dice.below(3)];
                // One's own phones see more of one's calls than others do, so they are not compared.
                let third = if other == fellow.user {
                    "message-summary"
                } else {
                    "dialog"
                };
                let event = match fellow.is_lync() {
                    true => "presence",
                    false => ["presence", "presence", third][scene.dice.below(3)],
                };
                fellow.watch(scene, event, format!("sip:{}", aor(other)), expires_s);
            }
            Deed::Mail => fellow.mail(scene),
            Deed::WatchRoom => room
                .into_iter()
                .for_each(|room| fellow.watch(scene, "conference", room, 600)),
            Deed::WatchList => {
                let expires_s = [0, 600, 3600][scene.dice.below(3)];
                fellow.watch(scene, "presence", CONTACTS.to_owned(), expires_s);
            }
            Deed::WatchWatchers => {
                let own = format!("sip:{}", aor(fellow.user));
                fellow.watch(scene, "presence.winfo", own, 600);
            }
            Deed::Treat => {
                let levels = [
                    None,
                    Some(Level::Blocked),
                    Some(Level::External),
                    Some(Level::Friends),
                ];
                let level = levels[scene.dice.below(levels.len())];
                let member = Member::parse(&aor(other)).expect("the test's own address");
                self.edit(
                    index,
                    &format!("treats {other} as {level:?}"),
                    |standing| match level {
                        Some(level) => standing
                            .access
                            .set(member, level)
                            .map(drop)
                            .map_err(|e| e.to_string()),
                        None => {
                            standing.access.unset(&member);
                            Ok(())
                        }
                    },
                );
            }
            Deed::Privacy => self.edit(index, "turns privacy", |standing| {
                standing.access.privacy = !standing.access.privacy;
                Ok(())
            }),
            Deed::Befriend => {
                let contact = Aor::parse(&aor(other)).expect("the test's own address");
                self.edit(
                    index,
                    &format!("puts or removes contact {other}"),
                    |standing| {
                        if !standing.contacts.remove(&contact) {
                            let put = standing.contacts.put(&contact, "", 0);
                            put.map_err(|refused| refused.to_string())?;
                        }
                        Ok(())
                    },
                );
            }
            Deed::Refresh => fellow.renew(scene, false),
            Deed::Unsubscribe => fellow.renew(scene, true),
            Deed::Register => fellow.register(scene, 3600),
            Deed::Unregister => fellow.register(scene, 0),
            Deed::StopReading => fellow.stop_reading(scene),
            Deed::GoOnReading => fellow.go_on_reading(scene),
            Deed::Drop => fellow.cut(scene),
            Deed::Babble => fellow.babble(scene),
            Deed::Alone => self.turn_alone(other),
            Deed::Block => {
                let by = fellow.user;
                self.turn_blocked(other, by);
            }
            Deed::Remove => {
                let user = fellow.user;
                self.ledger
                    .note(|| format!("user {user} is removed from the store"));
                self.world.remove_user(&aor(user));
                self.removed.insert(user);
                self.ledger.wishes.forget(user);
            }
            Deed::PutBack => {
                if let Some(user) = self.removed.pop_first() {
                    self.returned.insert(user);
                    self.ledger
                        .note(|| format!("user {user} is put back into the store"));
                    self.world
                        .add_user(&aor(user), &format!("User {user}"), &password(user));
                }
            }
            Deed::Choose => self.choose(other),
            Deed::StoreFails => {
                self.world.store_fails = self.dice.percent(50);
                let fails = self.world.store_fails;
                self.ledger.note(|| format!("the store fails: {fails}"));
            }
            Deed::Wait => {
                self.ledger.note(|| "ten minutes pass".to_owned());
                self.spend(600);
            }
        }
    }

    /// The operator, or the user by whatever way, changes what is kept of the user of a fellow.
    fn edit(
        &mut self,
        fellow: usize,
        what: &str,
        change: impl FnOnce(&mut Standing) -> Result<(), String>,
    ) {
        let user = self.fellows[fellow].user;
        self.ledger.note(|| format!("user {user} {what}"));
        if !self.removed.contains(&user) {
            self.edit_user(user, change);
        }
    }

    /// A user chooses to be do not disturb, or no longer.
    fn turn_alone(&mut self, user: usize) {
        // The clients of the others choose states that last themselves, and what is told of both could not be told apart.
        if self.removed.contains(&user) || user % 2 == 1 {
            return;
        }
        let (message, epoch) = (self.ledger.said.len(), self.ledger.epoch);
        let alone = self.ledger.wishes.turn_alone(user, message, epoch);
        self.ledger
            .note(|| format!("user {user} is do not disturb: {alone}"));
        let state = if alone {
            Manual::DoNotDisturb
        } else {
            Manual::Available
        };
        let choice = Choice {
            state: Some(state),
            ..Choice::default()
        };
        self.edit_user(user, |standing| {
            standing.choice = Some(choice);
            Ok(())
        });
    }

    /// A user blocks another one, or no longer.
    fn turn_blocked(&mut self, user: usize, other: usize) {
        if self.removed.contains(&user) || user == other {
            return;
        }
        let (message, epoch) = (self.ledger.said.len(), self.ledger.epoch);
        let blocked = self.ledger.wishes.turn_blocked(user, other, message, epoch);
        self.ledger
            .note(|| format!("user {user} blocks user {other}: {blocked}"));
        let level = if blocked {
            Level::Blocked
        } else {
            Level::Colleagues
        };
        let other = Aor::parse(&aor(other)).expect("an address of the test");
        self.edit_user(user, |standing| {
            let set = standing.access.set(Member::User(other), level);
            set.map(drop).map_err(|refused| refused.to_string())
        });
    }

    fn edit_user(&mut self, user: usize, change: impl FnOnce(&mut Standing) -> Result<(), String>) {
        if let Err(refused) = self.world.edit(&aor(user), change) {
            self.ledger
                .blame(format!("user {user}: a good change is refused: {refused}"));
        }
    }

    /// The operator chooses for a user, mostly with an end.
    fn choose(&mut self, user: usize) {
        let state = [Some(Manual::Busy), Some(Manual::Away), None][self.dice.below(3)];
        let ends = state.is_some() && self.dice.percent(80);
        let until = Duration::from_millis(self.dice.next() % 900_000);
        let choice = Choice {
            state,
            until: ends.then(|| self.world.now.after(until)),
            ..Choice::default()
        };
        self.ledger
            .note(|| format!("for user {user} is chosen {choice:?}"));
        // Who was removed cannot be edited, and that is all that can be refused here.
        let _ = self.world.edit(&aor(user), |standing| {
            // Who wants to be left alone is asked what that means for them: see `wishes`.
            let alone = Some(Manual::DoNotDisturb);
            if standing
                .choice
                .as_ref()
                .is_some_and(|choice| choice.state == alone)
            {
                return Ok(());
            }
            standing.choice = Some(choice);
            Ok(())
        });
    }
}
