//! Many shards in one thread, and one seed: model clients do as chance has it, letters are late and overtake those of other
//! pairs of shards, sockets are cut or not read, the clock jumps. What must be true is checked after every step and when
//! all is quiet.
//!
//! `MUSTER_SEEDS=5000 cargo test --test main simulation` runs so many seeds; `MUSTER_SEED=17` runs that one and prints what
//! happened. A seed that fails is printed with the fewest steps after which it does.

mod dice;
mod exchange;
mod fellow;
mod ledger;
mod phone;
mod roster;
mod theme;
mod watched;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dice::Dice;
use fellow::{CONTACTS, Fellow, Scene, aor, password};
use ledger::Ledger;
use muster::presence::{Choice, Level, Manual, Member};
use muster::shard::standing::Standing;
use muster::shard::{Census, Settings};
use muster::sip::time::Now;
use muster::sip::uri::Aor;
use theme::{Deed, Theme};
use watched::is_as_new;

use crate::world::World;

/// Seeds of an ordinary run.
const SEEDS: u64 = 200;
/// How long everything takes to end by itself when nobody begins anything: an invitation rings for two minutes.
const QUIET_S: u64 = 240;

/// The size of a run.
struct Plan {
    shards: u16,
    users: usize,
    fellows: usize,
    steps: usize,
    /// It ends with the server's stop; else with the clients'.
    stops: bool,
    /// Of a hundred things that happen, so many are letters that arrive; a few make them very late.
    letters: usize,
}

impl Plan {
    fn of(seed: u64, dice: &mut Dice) -> Plan {
        // One in twenty is big, and shorter for each client.
        let big = seed % 20 == 19;
        let users = if big {
            100 + dice.below(200)
        } else {
            2 + dice.below(10)
        };
        Plan {
            shards: 1 + dice.below(4) as u16,
            users,
            fellows: users + dice.below(users),
            steps: if big { 4000 } else { 300 + dice.below(900) },
            stops: dice.percent(30),
            letters: 5 + dice.below(40),
        }
    }
}

/// What a run has shown.
struct Outcome {
    violations: Vec<String>,
    trace: Option<String>,
    /// A hash of all that the clients saw: the same seed must give the same.
    digest: u64,
    steps: usize,
}

struct Run {
    world: World,
    ledger: Ledger,
    dice: Dice,
    fellows: Vec<Fellow>,
    connections: usize,
    removed: BTreeSet<usize>,
    /// Those who were, and came back.
    returned: BTreeSet<usize>,
    users: usize,
    letters: usize,
    theme: Theme,
    /// Its shards are overloaded now and then.
    pressed: bool,
}

/// Lends a run's parts to a fellow.
macro_rules! scene {
    ($run:expr, $hurry:expr) => {
        &mut Scene {
            world: &mut $run.world,
            ledger: &mut $run.ledger,
            dice: &mut $run.dice,
            connections: &mut $run.connections,
            hurry: $hurry,
        }
    };
}

fn run(seed: u64, steps_max: usize, traced: bool) -> Outcome {
    let mut dice = Dice::new(seed);
    let plan = Plan::of(seed, &mut dice);
    let settings = Settings {
        slice_watchers: [1, 3, 64][(seed / 3 % 3) as usize],
        ..Settings::default()
    };
    let mut world = World::new(plan.shards, seed, &settings);
    for user in 0..plan.users {
        world.add_user(&aor(user), &format!("User {user}"), &password(user));
    }
    // Every user has a fellow; the rest are second endpoints of some.
    let fellows = (0..plan.fellows).map(|index| {
        let user = if index < plan.users {
            index
        } else {
            dice.below(plan.users)
        };
        Fellow::new(index, user)
    });
    let fellows = fellows.collect();
    let mut ledger = Ledger::default();
    ledger.trace = traced.then(String::new);
    let mut run = Run {
        world,
        ledger,
        dice,
        fellows,
        connections: 0,
        removed: BTreeSet::new(),
        returned: BTreeSet::new(),
        users: plan.users,
        letters: plan.letters,
        theme: Theme::of(seed),
        pressed: seed % 3 == 1,
    };
    let steps = plan.steps.min(steps_max);
    for step in 0..steps {
        run.step();
        if step % 300 == 299 {
            run.quiet();
        }
        if !run.ledger.violations.is_empty() {
            break;
        }
    }
    if run.ledger.violations.is_empty() {
        run.quiet();
    }
    if run.ledger.violations.is_empty() {
        run.end(plan.stops && steps == plan.steps);
    }
    Outcome {
        violations: run.ledger.violations,
        trace: run.ledger.trace,
        digest: run.world.digest(),
        steps: plan.steps,
    }
}

impl Run {
    /// One thing happens somewhere.
    fn step(&mut self) {
        let in_flight = self.world.in_flight();
        match self.dice.below(100) {
            chance if chance < self.letters && !in_flight.is_empty() => {
                let (from, to) = in_flight[self.dice.below(in_flight.len())];
                self.ledger.note(|| format!("a letter from {from} to {to}"));
                self.world.deliver(from, to);
            }
            0..=54 => self.someone_polls(),
            55..=56 => {
                let by = Duration::from_millis(self.dice.next() % 700);
                self.world.move_clock(by);
            }
            57..=59 if self.pressed => {
                let shard = self.dice.below(self.world.shards());
                let least = Duration::from_millis([0, 4, 9, 30][self.dice.below(4)]);
                self.ledger
                    .note(|| format!("at shard {shard} all waits for {least:?}"));
                self.world.press(shard, least);
            }
            _ => self.someone_acts(),
        }
    }

    fn someone_polls(&mut self) {
        let index = self.dice.below(self.fellows.len());
        if self.dice.percent(60) {
            self.fellows[index].poll(scene!(self, false));
        } else {
            self.fellows[index].answer_later(scene!(self, false));
        }
    }

    fn someone_acts(&mut self) {
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
        if self.removed.contains(&user) {
            return;
        }
        if let Err(refused) = self.world.edit(&aor(user), change) {
            self.ledger
                .blame(format!("a good change is refused: {refused}"));
        }
    }

    /// What the watcher may see of a subject, by the rules that the store keeps: what is seen must be the same for the same.
    fn relation(&self, watcher: usize, event: &str, subject: &str) -> String {
        let watcher_name = aor(self.fellows[watcher].user);
        if subject == CONTACTS || event == "presence.winfo" {
            return watcher_name;
        }
        let Some(owner) = Aor::parse(subject) else {
            return String::new();
        };
        let Some(standing) = self.world.standing(owner.as_str()) else {
            return String::new();
        };
        let watcher = Aor::parse(&watcher_name).expect("the test's own address");
        let home = ["example.com".into()];
        let level = standing
            .access
            .level_of(&watcher, &owner, &home, &standing.contacts);
        level.name().to_owned()
    }

    /// Each list of contacts has all of them, each list of watchers those and no others.
    fn check_lists(&mut self) {
        let mut wrong = Vec::new();
        for (index, fellow) in self.fellows.iter().enumerate() {
            let own = format!("sip:{}", aor(fellow.user));
            for (event, many) in fellow.lists() {
                let number =
                    |uri: &str| (0..self.users).find(|user| uri == format!("sip:{}", aor(*user)));
                let right = if event == "presence" {
                    let standing = self.world.standing(&aor(fellow.user)).unwrap_or_default();
                    let contacts = standing.contacts.iter();
                    many.is_of(
                        &contacts
                            .filter_map(|contact| number(&contact.aor().uri()))
                            .collect(),
                    )
                } else {
                    let watchers = |surely: bool| -> BTreeSet<String> {
                        let those = self
                            .fellows
                            .iter()
                            .filter(|fellow| fellow.watches(surely).any(|subject| subject == own));
                        those
                            .map(|fellow| format!("sip:{}", aor(fellow.user)))
                            .collect()
                    };
                    let listed: BTreeSet<String> = many.entries.keys().cloned().collect();
                    watchers(true).is_subset(&listed) && listed.is_subset(&watchers(false))
                };
                if !right {
                    wrong.push(format!(
                        "fellow {index} (user {}) has a wrong list of {event}: {}",
                        fellow.user,
                        many.text()
                    ));
                }
            }
        }
        wrong.into_iter().for_each(|wrong| self.ledger.blame(wrong));
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
            self.ledger.blame(format!("user {user}: {refused}"));
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

    /// A choice whose time is over is out of the store soon after the store works.
    fn check_choices(&mut self) {
        let long_ago = |end: Now| self.world.now.since(end) > Duration::from_secs(120);
        let mut stale = Vec::new();
        for user in 0..self.users {
            let standing = self.world.standing(&aor(user));
            let choice = standing
                .as_ref()
                .and_then(|standing| standing.choice.as_ref());
            if choice.and_then(Choice::end).is_some_and(long_ago) {
                stale.push(format!("user {user} still has {choice:?}, which is over"));
            }
        }
        stale.into_iter().for_each(|stale| self.ledger.blame(stale));
    }

    /// Everything under way comes to its end; nothing new begins. Then what must be true is looked at.
    fn quiet(&mut self) {
        self.ledger.note(|| "quiet".to_owned());
        self.world.store_fails = false;
        for shard in 0..self.world.shards() {
            (0..64).for_each(|_| self.world.press(shard, Duration::ZERO));
        }
        if self.world.levels.iter().any(|level| *level > 0) {
            self.ledger
                .blame("nothing waits, and something is shed".to_owned());
        }
        self.spend(QUIET_S);
        for fellow in &self.fellows {
            fellow.check_answered(&mut self.ledger);
        }
        let left: Vec<Census> = self.world.census();
        for (shard, census) in left.iter().enumerate() {
            if census.server_transactions
                + census.client_transactions
                + census.deliveries
                + census.ringings
                + census.keeping
                > 0
            {
                self.ledger.blame(format!(
                    "all is quiet, and shard {shard} still has {census:?}"
                ));
            }
        }
        self.ledger.quiet();
        self.check_lists();
        self.check_choices();
        self.check_watchers();
    }

    /// Time passes while clients answer what comes: one that is silent for 32 s is given up, and rightly so.
    fn spend(&mut self, seconds: u64) {
        for _ in 0..seconds / 20 {
            self.calm();
            self.world.pass(Duration::from_secs(20));
        }
        self.calm();
    }

    /// Letters arrive and clients answer until there is nothing left to do at this moment.
    fn calm(&mut self) {
        for _ in 0..10_000 {
            self.world.settle();
            let mut any = false;
            for index in 0..self.fellows.len() {
                self.fellows[index].go_on_reading(scene!(self, true));
                any |= self.fellows[index].poll(scene!(self, true));
                if self.fellows[index].owes() {
                    self.fellows[index].answer_later(scene!(self, true));
                    any = true;
                }
            }
            if !any && self.world.in_flight().is_empty() {
                return;
            }
        }
        self.ledger.blame("it never gets quiet".to_owned());
    }

    /// Whoever watches the same thing holds the same state, and it is the one that somebody gets who asks now.
    fn check_watchers(&mut self) {
        #[expect(clippy::type_complexity, reason = "a table of this function alone")]
        let mut states: BTreeMap<(&str, String, String), Vec<(usize, Option<String>)>> =
            BTreeMap::new();
        let mut wrong = Vec::new();
        for (index, fellow) in self.fellows.iter().enumerate() {
            for (event, subject, state) in fellow.watched() {
                let seen = (index, state.map(str::to_owned));
                if let (Some(members), Some(state)) = (self.ledger.members(subject), state)
                    && !state.contains(&format!("<user-count>{members}</user-count>"))
                    && state.contains("<user-count>")
                {
                    wrong.push(format!(
                        "{members} users are in {subject}, and fellow {index} sees {state}"
                    ));
                }
                let mut relation = self.relation(index, event, subject);
                let hints = match fellow.is_lync() {
                    true => ["<body", "<availability>3"],
                    false => ["note", ">open<"],
                };
                if relation == "blocked"
                    && state.is_some_and(|state| hints.iter().any(|hint| state.contains(hint)))
                {
                    wrong.push(format!(
                        "fellow {index} is blocked by {subject} and sees {state:?}"
                    ));
                }
                if fellow.is_lync() {
                    relation.push_str(" in Lync's dialect");
                }
                states
                    .entry((event, subject.to_owned(), relation))
                    .or_default()
                    .push(seen);
            }
        }
        wrong.into_iter().for_each(|wrong| self.ledger.blame(wrong));
        // Who asks stands in the same relation as who watches; a roster is shown to who is in the conference, as each is that
        // watches it.
        let asked: Vec<(&str, String, String, Option<usize>)> = states
            .iter()
            .map(|((event, subject, relation), seen)| {
                let mut watchers = seen.iter().map(|(index, _)| *index);
                let asker = watchers.find(|index| self.fellows[*index].is_up());
                (*event, subject.clone(), relation.clone(), asker)
            })
            .collect();
        let mut answers = BTreeMap::new();
        for (event, subject, relation, asker) in asked {
            if let Some(asker) = asker {
                self.fellows[asker].watch(scene!(self, true), event, subject.clone(), 3600);
                self.calm();
                let newest = self.fellows[asker]
                    .watched()
                    .filter(|(each, of, _)| *each == event && *of == subject)
                    .last();
                answers.insert(
                    (event, subject, relation),
                    newest.and_then(|(_, _, state)| state.map(str::to_owned)),
                );
            }
        }
        for ((event, subject, relation), seen) in states {
            let first = answers
                .get(&(event, subject.clone(), relation.clone()))
                .cloned()
                .unwrap_or_else(|| seen[0].1.clone());
            for (index, state) in &seen {
                let lists = (subject == CONTACTS).then_some((state, &first));
                let as_new = match lists {
                    Some((Some(held), Some(now))) => is_as_new(held, now),
                    // Who comes back is asked about again after a while only, where they are on a list.
                    _ if relation.ends_with("dialect")
                        && (self.returned.iter())
                            .any(|user| subject == format!("sip:{}", aor(*user))) =>
                    {
                        let nobody = |state: &String| !state.contains("contactCard");
                        *state == first || state.as_ref().is_some_and(nobody)
                    }
                    _ => *state == first,
                };
                if !as_new {
                    self.ledger.blame(format!("fellow {index} holds an old state of {event} {subject} as {relation}: {state:?}, now {first:?}"));
                }
            }
        }
    }

    /// All go, or the server stops; time passes; nothing is left, and the records are complete.
    fn end(&mut self, stops: bool) {
        if stops {
            self.ledger.note(|| "the server stops".to_owned());
            self.world.stop();
            self.calm();
            self.ledger.check_records(&self.world.records);
        }
        for index in 0..self.fellows.len() {
            self.fellows[index].cut(scene!(self, true));
        }
        self.world.settle();
        self.world.pass(Duration::from_secs(900));
        for (shard, census) in self.world.census().into_iter().enumerate() {
            let nothing = Census {
                users: census.users,
                ..Census::default()
            };
            if census != nothing {
                self.ledger
                    .blame(format!("all are gone, and shard {shard} keeps {census:?}"));
            }
        }
        if !stops {
            self.ledger.check_records(&self.world.records);
        }
    }
}

fn check(seed: u64, steps_max: usize, traced: bool) -> Outcome {
    std::panic::catch_unwind(|| run(seed, steps_max, traced)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        let said = said.unwrap_or("a panic").to_owned();
        Outcome {
            violations: vec![format!("panicked: {said}")],
            trace: None,
            digest: 0,
            steps: steps_max,
        }
    })
}

/// The fewest steps with which a seed still fails.
fn shortest(seed: u64, steps: usize) -> usize {
    let (mut fine, mut failing) = (0, steps);
    while failing - fine > 1 {
        let middle = fine.midpoint(failing);
        if check(seed, middle, false).violations.is_empty() {
            fine = middle
        } else {
            failing = middle
        }
    }
    failing
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_chance_has_the_promises_hold() {
    if let Some(seed) = number("MUSTER_SEED") {
        let steps = number("MUSTER_STEPS").map_or(usize::MAX, |steps| steps as usize);
        let outcome = check(seed, steps, true);
        println!("{}", outcome.trace.unwrap_or_default());
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}:\n{}",
            outcome.violations.join("\n")
        );
        return;
    }
    let seeds = number("MUSTER_SEEDS").unwrap_or(SEEDS);
    let mut failures = Vec::new();
    for seed in 0..seeds {
        let outcome = check(seed, usize::MAX, false);
        if !outcome.violations.is_empty() {
            let steps = shortest(seed, outcome.steps);
            failures.push(format!(
                "seed {seed}: {}\n  replay: MUSTER_SEED={seed} MUSTER_STEPS={steps} cargo test --test main simulation -- --nocapture",
                outcome.violations.first().map_or("", |first| first)
            ));
        }
        if failures.len() >= 5 {
            break;
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// A replay is worth nothing if it is another story: hash maps must not show their order, and nothing asks the world.
#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 4, 5] {
        assert_eq!(
            check(seed, usize::MAX, false).digest,
            check(seed, usize::MAX, false).digest,
            "seed {seed}"
        );
    }
}
