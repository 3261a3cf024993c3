//! Phones that call each other as chance has it, and what must be true of calls: each INVITE is answered for good once, at most one
//! endpoint has a call, when all is quiet both sides agree on whether there is one, each record closes, nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::dice::Dice;
use super::fellow::{aor, password};
use super::ledger::Ledger;
use super::phone::{Phone, SDP};
use crate::world::World;
use muster::calls::Rules;
use muster::shard::{Census, Settings};
use muster::sip::uri::Aor;

/// All phones, and what they are in.
struct Exchange {
    world: World,
    ledger: Ledger,
    dice: Dice,
    phones: Vec<Phone>,
    users: usize,
    connections: u16,
    /// Call-IDs of which some side was cut off, or left without a word: the other may not have heard yet.
    removed: BTreeSet<usize>,
}

impl Exchange {
    fn new(seed: u64) -> Exchange {
        let mut dice = Dice::new(seed ^ 0x00ca_1105);
        let shards = 1 + dice.below(4) as u16;
        let users = 2 + dice.below(5);
        let mut world = World::new(shards, seed, &Settings::default());
        for user in 0..users {
            world.add_user(&aor(user), &format!("User {user}"), &password(user));
        }
        let phones = (0..users + dice.below(users)).map(|index| {
            let user = if index < users {
                index
            } else {
                dice.below(users)
            };
            Phone::new(index, user)
        });
        Exchange {
            phones: phones.collect(),
            world,
            ledger: Ledger::default(),
            dice,
            users,
            connections: 0,
            removed: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        let in_flight = self.world.in_flight();
        match self.dice.below(100) {
            0..=24 if !in_flight.is_empty() => {
                let (from, to) = in_flight[self.dice.below(in_flight.len())];
                self.world.deliver(from, to);
            }
            0..=59 => {
                let index = self.dice.below(self.phones.len());
                self.poll(index);
                if self.dice.percent(50) {
                    self.phones[index].attend(&mut self.world, &mut self.dice, false);
                }
            }
            60..=64 => {
                let by = Duration::from_millis(self.dice.next() % 3000);
                self.world.move_clock(by);
            }
            _ => self.deed(),
        }
    }

    fn poll(&mut self, index: usize) -> bool {
        let phone = &mut self.phones[index];
        let Some(socket) = phone.socket else {
            return false;
        };
        let bytes = self.world.read(socket);
        let all = phone.inbox.push(&bytes);
        let any = !all.is_empty();
        for heard in all {
            if let Err(wrong) = phone.hear(&mut self.world, &mut self.dice, heard) {
                self.ledger.blame(format!("phone {index}: {wrong}"));
            }
        }
        if self.world.is_closed(socket) {
            self.phones[index].forget();
        }
        any
    }

    fn deed(&mut self) {
        let index = self.dice.below(self.phones.len());
        let other = self.dice.below(self.users);
        let phone = &mut self.phones[index];
        if phone.socket.is_none() {
            if !self.removed.contains(&phone.user) {
                self.connections += 1;
                let peer = std::net::SocketAddr::from(([10, 0, 0, 1], 20_000 + self.connections));
                let shard = self.dice.below(self.world.shards());
                phone.socket = Some(self.world.connect(shard, peer));
                phone.address = peer.to_string();
                phone.register(&mut self.world);
            }
            return;
        }
        if !phone.up {
            self.poll(index);
            return;
        }
        let talking: Vec<usize> = (0..phone.parts.len())
            .filter(|part| phone.parts[*part].talks)
            .collect();
        let talking = self.dice.pick(&talking).copied();
        match (self.dice.below(100), talking) {
            (0..=29, _) => phone.call(&mut self.world, other),
            (30..=44, _) => {
                let invites: Vec<String> = phone
                    .pending
                    .keys()
                    .filter(|(_, method)| method == "INVITE")
                    .map(|(branch, _)| branch.clone())
                    .collect();
                if let Some(branch) = self.dice.pick(&invites) {
                    phone.cancel(&mut self.world, branch);
                }
            }
            (45..=64, Some(part)) => phone.hang_up(&mut self.world, part),
            (65..=74, Some(part)) => phone.within(&mut self.world, part, "INFO", ""),
            (75..=84, Some(part)) => {
                let busy = phone
                    .pending
                    .iter()
                    .any(|((_, method), it)| method == "INVITE" && it.part == Some(part));
                if !busy {
                    phone.within(&mut self.world, part, "INVITE", SDP);
                }
            }
            (85..=90, _) => {
                if let Some(socket) = phone.socket {
                    self.world.cut(socket);
                    phone.forget();
                }
            }
            (91, _) => {
                let user = phone.user;
                self.world.remove_user(&aor(user));
                self.removed.insert(user);
            }
            (92..=95, _) => {
                if let Some(user) = self.removed.pop_first() {
                    self.world
                        .add_user(&aor(user), &format!("User {user}"), &password(user));
                }
            }
            (96, _) => self.spend(200),
            (97..=98, _) => {
                let user = phone.user;
                self.rule(user);
            }
            _ => {
                self.poll(index);
            }
        }
    }

    /// A user wants something else done with calls: whatever chance has, if it is not against the rules of rules.
    fn rule(&mut self, user: usize) {
        let dice = &mut self.dice;
        let users = self.users;
        let mut somebody = || {
            dice.percent(40)
                .then(|| Aor::parse(&aor(dice.below(users))))
                .flatten()
        };
        let mut rules = Rules {
            forward_busy: somebody(),
            forward_no_answer: somebody().map(|to| (to, 10)),
            ring_also: somebody().into_iter().chain(somebody()).collect(),
            ..Rules::default()
        };
        if let Some(to) = somebody().filter(|_| user.is_multiple_of(2)) {
            rules = Rules {
                forward_always: Some(to),
                ..Rules::default()
            };
        }
        // Who is not in the store, or what contradicts itself, is left as it was.
        let _ = self.world.edit(&aor(user), |standing| {
            let owner = Aor::parse(&aor(user)).ok_or("no address")?;
            rules.check(&owner).map_err(|wrong| wrong.to_string())?;
            standing.rules = rules;
            Ok(())
        });
    }

    /// The server stops, one shard after the other, while phones ring and talk: all of that ends, and nothing begins.
    fn stop(&mut self) {
        for shard in 0..self.world.shards() {
            self.world.stop_shard(shard);
            for _ in 0..self.dice.below(20) {
                self.step();
                self.check_quietness();
            }
        }
        for phone in &mut self.phones {
            phone.stopping = true;
        }
        for _ in 0..super::STOPPING_STEPS {
            self.step();
            self.check_quietness();
        }
        self.spend(super::STOPPED_S);
        for shard in 0..self.world.shards() {
            if !self.world.is_quiet(shard) {
                let census = self.world.census().swap_remove(shard);
                self.ledger.blame(format!(
                    "the server stops, and shard {shard} still has {census:?}"
                ));
            }
        }
        for invitation in core::mem::take(&mut self.world.rung_late) {
            self.ledger
                .blame(format!("rung by a shard that stops:\n{invitation}"));
        }
        let records = core::mem::take(&mut self.world.records);
        self.ledger.check_records(&records);
        self.world.records = records;
    }

    /// A shard says that nothing is in flight where that is so, and nowhere else.
    fn check_quietness(&mut self) {
        for (shard, census) in self.world.census().into_iter().enumerate() {
            if self.world.is_quiet(shard) && super::in_flight(&census) > 0 {
                self.ledger.blame(format!(
                    "shard {shard} says it is quiet, and has {census:?}"
                ));
            }
        }
    }

    /// Time passes while everybody attends to what comes.
    fn spend(&mut self, seconds: u64) {
        for _ in 0..seconds / 20 {
            self.calm();
            self.world.pass(Duration::from_secs(20));
        }
        self.calm();
    }

    fn calm(&mut self) {
        for _ in 0..10_000 {
            self.world.settle();
            let mut any = false;
            for index in 0..self.phones.len() {
                any |= self.poll(index);
                any |= self.phones[index].attend(&mut self.world, &mut self.dice, true);
            }
            if !any && self.world.in_flight().is_empty() {
                return;
            }
        }
        self.ledger.blame("it never gets quiet".to_owned());
    }

    /// Who talks is seen to be on the phone, and nobody else is.
    fn check_states(&mut self) {
        let Some(asker) = self.phones.iter().position(|phone| phone.up) else {
            return;
        };
        for user in 0..self.users {
            if self.removed.contains(&user) {
                continue;
            }
            self.phones[asker].look(&mut self.world, user);
            self.calm();
            let seen = self.phones[asker].told.contains("on-the-phone");
            let talks = self
                .phones
                .iter()
                .any(|phone| phone.user == user && phone.parts.iter().any(|part| part.talks));
            if seen != talks {
                let told = &self.phones[asker].told;
                self.ledger
                    .blame(format!("user {user} talks: {talks}, and is seen as {told}"));
            }
        }
    }

    /// All is quiet: nothing waits, and of each call either two sides talk or none does.
    fn check_quiet(&mut self) {
        // Who accepted an INVITE that had been given up gets no ACK, and gives up too (RFC 3261 §13.3.1.4).
        for phone in &mut self.phones {
            for part in phone.parts.iter_mut().filter(|part| !part.acked) {
                part.talks = false;
            }
        }
        let mut talking: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut wrong = Vec::new();
        for phone in &self.phones {
            for (branch, method) in phone.pending.keys() {
                wrong.push(format!(
                    "phone {}: {method} [{branch}] was never answered",
                    phone.index
                ));
            }
            for part in phone.parts.iter().filter(|part| part.talks) {
                talking.entry(&part.call_id).or_default().push(phone.index);
                if part.disowned {
                    wrong.push(format!(
                        "phone {} talks in {}, and was told 481",
                        phone.index, part.call_id
                    ));
                }
            }
        }
        for (call_id, phones) in &talking {
            if phones.len() != 2 {
                wrong.push(format!(
                    "{call_id}: only phones {phones:?} think that they talk"
                ));
            }
        }
        let mut owned = 0;
        for (shard, census) in self.world.census().iter().enumerate() {
            owned += census.calls;
            if census.server_transactions + census.client_transactions > 0 {
                wrong.push(format!(
                    "all is quiet, and shard {shard} still has {census:?}"
                ));
            }
        }
        if owned != talking.len() {
            let calls = talking.len();
            wrong.push(format!("{calls} calls go on, and the shards own {owned}"));
        }
        wrong.into_iter().for_each(|wrong| self.ledger.blame(wrong));
    }
}

fn run(seed: u64) -> Vec<String> {
    let mut exchange = Exchange::new(seed);
    // A stop finds everything under way.
    let steps = if seed.is_multiple_of(3) { 1400 } else { 1500 };
    for step in 0..steps {
        exchange.step();
        exchange.check_quietness();
        if step % 500 == 499 {
            exchange.spend(240);
            exchange.check_quiet();
            exchange.check_states();
        }
        if !exchange.ledger.violations.is_empty() {
            return exchange.ledger.violations;
        }
    }
    if seed.is_multiple_of(3) {
        exchange.stop();
    }
    for phone in &mut exchange.phones {
        if let Some(socket) = phone.socket {
            exchange.world.cut(socket);
        }
    }
    exchange.world.settle();
    exchange.world.pass(Duration::from_secs(900));
    for (shard, census) in exchange.world.census().into_iter().enumerate() {
        let nothing = Census {
            users: census.users,
            ..Census::default()
        };
        if census != nothing {
            exchange
                .ledger
                .blame(format!("all are gone, and shard {shard} keeps {census:?}"));
        }
    }
    let records = core::mem::take(&mut exchange.world.records);
    exchange.ledger.check_records(&records);
    exchange.ledger.violations
}

#[test]
fn calls_agree_at_both_ends_and_leave_nothing_behind() {
    if let Some(seed) = super::number("MUSTER_SEED") {
        let wrong = run(seed);
        assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
        return;
    }
    let seeds = super::number("MUSTER_SEEDS").unwrap_or(super::SEEDS);
    let failures: Vec<String> = (0..seeds)
        .filter_map(|seed| Some(format!("seed {seed}: {}", run(seed).first()?)))
        .take(5)
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// A world with two users' phones that are registered.
fn two_phones(settings: &Settings, before: impl FnOnce(&mut World)) -> (World, Vec<Phone>) {
    let mut world = World::new(2, 7, settings);
    for user in 0..2 {
        world.add_user(&aor(user), &format!("User {user}"), &password(user));
    }
    before(&mut world);
    let phones = (0..2).map(|index| {
        let mut phone = Phone::new(index, index);
        let peer = std::net::SocketAddr::from(([10, 0, 0, 1], 20_000 + index as u16));
        phone.socket = Some(world.connect(index, peer));
        phone.address = peer.to_string();
        phone.register(&mut world);
        phone
    });
    let mut phones: Vec<Phone> = phones.collect();
    for _ in 0..4 {
        world.settle();
        for phone in &mut phones {
            phone.take_all(&mut world);
        }
    }
    assert!(phones.iter().all(|phone| phone.up));
    (world, phones)
}

#[test]
fn calls_of_a_connection_count_among_its_dialogs() {
    let settings = Settings {
        dialogs_max: 2,
        ..Settings::default()
    };
    let (mut world, mut phones) = two_phones(&settings, |_| {});
    for expected in ["100", "100", "503"] {
        phones[0].call(&mut world, 1);
        world.settle();
        assert_eq!(phones[0].take_all(&mut world), [expected]);
    }
    assert_eq!(phones[1].take_all(&mut world), ["INVITE", "INVITE"]);
    // The callee's connection is full too: to whoever calls now nobody is there.
    phones[1].call(&mut world, 0);
    world.settle();
    assert_eq!(phones[1].take_all(&mut world), ["503"]);
    // What has ended makes room.
    let waiting: Vec<String> = phones[0].pending.keys().map(|key| key.0.clone()).collect();
    phones[0].cancel(&mut world, &waiting[0]);
    world.settle();
    assert_eq!(phones[0].take_all(&mut world), ["200", "487"]);
    phones[0].call(&mut world, 1);
    world.settle();
    assert_eq!(phones[0].take_all(&mut world), ["100", "480"]);
}

/// Not one byte, but for what is random in each answer, tells whether one is blocked or the other is offline.
#[test]
fn who_is_blocked_hears_what_an_offline_user_gives() {
    let heard = |blocked: bool| {
        let (mut world, mut phones) = two_phones(&Settings::default(), |world| {
            if blocked {
                let rule = |standing: &mut muster::shard::standing::Standing| {
                    let watcher = muster::sip::uri::Aor::parse(&aor(0)).expect("an address");
                    let member = muster::presence::Member::User(watcher);
                    let level = muster::presence::Level::Blocked;
                    let set = standing.access.set(member, level);
                    set.map(|_| ()).map_err(|full| format!("{full:?}"))
                };
                world.edit(&aor(1), rule).expect("a rule");
            }
        });
        if !blocked && let Some(socket) = phones[1].socket {
            world.cut(socket);
            world.settle();
        }
        phones[0].call(&mut world, 1);
        world.settle();
        let bytes = phones[0].socket.map(|socket| world.read(socket));
        let text = String::from_utf8(bytes.unwrap_or_default()).expect("text");
        // A tag of ours is random.
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines() {
            lines.push(match line.split_once(";tag=") {
                Some((before, _)) if line.starts_with("To:") => before.to_owned(),
                _ => line.to_owned(),
            });
        }
        assert!(phones[1].take_all(&mut world).is_empty());
        lines
    };
    let offline = heard(false);
    assert!(offline.iter().any(|line| line.starts_with("SIP/2.0 480 ")));
    assert_eq!(heard(true), offline);
}

/// What the records say of the calls so far: kind, users, how many messages they wrote, and why each ended.
fn recorded(world: &mut World) -> Vec<String> {
    use muster::shard::cdr_event::CdrEvent;
    let mut said = Vec::new();
    for record in core::mem::take(&mut world.records) {
        match record {
            CdrEvent::Started {
                kind, initiator, ..
            } => said.push(format!("{kind:?} of {}", initiator.user())),
            CdrEvent::Joined { user, endpoint, .. } => {
                let instance = if endpoint.is_empty() { "" } else { " here" };
                said.push(format!("{}{instance}", user.user()));
            }
            CdrEvent::Left {
                messages_sent,
                reason,
                ..
            } => {
                let wrote = match messages_sent {
                    0 => String::new(),
                    count => format!(", wrote {count}"),
                };
                said.push(format!("{reason}{wrote}"));
            }
            CdrEvent::OneMore { participant, .. } => said.push(format!("{participant} wrote one")),
            CdrEvent::Ended { reason, .. } => said.push(reason.to_owned()),
        }
    }
    said
}

#[test]
fn every_call_has_its_record_and_a_missed_one_too() {
    let (mut world, mut phones) = two_phones(&Settings::default(), |_| {});
    let mut step = |world: &mut World, phones: &mut [Phone]| {
        for _ in 0..3 {
            world.settle();
            for phone in phones.iter_mut() {
                phone.take_all(world);
            }
        }
    };
    let answer = |world: &mut World, phone: &mut Phone, status: u16| {
        let part = phone.parts.last_mut().expect("it rings");
        let invite = part.rings.take().expect("it rings");
        part.talks = status == 200;
        let tag = part.tag.clone();
        phone.reply(world, &invite, status, &tag, SDP);
    };
    let missed = |why: &str| {
        let said = ["Call of user0", "user0 here", "user1", why, why, why];
        said.map(str::to_owned)
    };
    for (status, why) in [
        (486, "busy"),
        (600, "busy"),
        (603, "declined"),
        (404, "declined"),
        (480, "no answer"),
        (481, "failed"),
        (482, "loop"),
        (500, "failed"),
    ] {
        phones[0].call(&mut world, 1);
        step(&mut world, &mut phones);
        answer(&mut world, &mut phones[1], status);
        step(&mut world, &mut phones);
        assert_eq!(recorded(&mut world), missed(why), "{status}");
    }
    phones[0].call(&mut world, 1);
    step(&mut world, &mut phones);
    let waiting: Vec<String> = phones[0].pending.keys().map(|key| key.0.clone()).collect();
    phones[0].cancel(&mut world, &waiting[0]);
    step(&mut world, &mut phones);
    assert_eq!(recorded(&mut world), missed("cancelled"));
    phones[1].parts.clear();
    // Nobody of that name: there was nobody to miss it.
    phones[0].call(&mut world, 17);
    step(&mut world, &mut phones);
    assert!(recorded(&mut world).is_empty());

    let talk = |world: &mut World,
                phones: &mut [Phone],
                step: &mut dyn FnMut(&mut World, &mut [Phone])| {
        phones[0].call(world, 1);
        step(world, phones);
        answer(world, &mut phones[1], 200);
        step(world, phones);
        let began = ["Call of user0", "user0 here", "user1 here"];
        assert_eq!(recorded(world), began);
    };
    talk(&mut world, &mut phones, &mut step);
    let last = [0, 1].map(|phone: usize| phones[phone].parts.len() - 1);
    for phone in [1, 0, 1] {
        phones[phone].within(&mut world, last[phone], "MESSAGE", "");
        step(&mut world, &mut phones);
    }
    // One is answered when the call is over.
    phones[0].within(&mut world, last[0], "MESSAGE", "");
    world.settle();
    phones[0].hang_up(&mut world, last[0]);
    step(&mut world, &mut phones);
    let ended = ["left, wrote 1", "left, wrote 2", "left", "0 wrote one"];
    assert_eq!(recorded(&mut world), ended);

    talk(&mut world, &mut phones, &mut step);
    if let Some(socket) = phones[1].socket {
        world.cut(socket);
        phones[1].forget();
    }
    step(&mut world, &mut phones);
    assert_eq!(recorded(&mut world), ["connection lost"; 3]);
    phones[0].call(&mut world, 1);
    step(&mut world, &mut phones);
    assert_eq!(recorded(&mut world), missed("offline"));
    // They send their calls to nobody by mistake, some or all: they have missed it all the same, and the caller hears no 404.
    for all in [false, true] {
        let rule = |standing: &mut muster::shard::standing::Standing| {
            let nobody = muster::sip::uri::Aor::parse(&aor(17)).expect("an address");
            let rules = &mut standing.rules;
            *rules = Default::default();
            if all {
                rules.forward_always = Some(nobody);
            } else {
                rules.ring_also.push(nobody);
            }
            Ok(())
        };
        world.edit(&aor(1), rule).expect("a rule");
        world.settle();
        phones[0].call(&mut world, 1);
        world.settle();
        let heard = phones[0].take_all(&mut world);
        assert_eq!(heard.last().map(String::as_str), Some("480"), "{heard:?}");
        assert_eq!(recorded(&mut world), missed("offline"));
    }
}

/// BYE ends the call, its record and its lamp; what is told of a REFER in it may still come (RFC 5057 §4.1), and that is given back.
#[test]
fn a_call_with_a_refer_in_it_is_over_and_kept_for_some_minutes() {
    let (mut world, mut phones) = two_phones(&Settings::default(), |_| {});
    let step = |world: &mut World, phones: &mut [Phone]| {
        for _ in 0..3 {
            world.settle();
            for phone in phones.iter_mut() {
                phone.take_all(world);
            }
        }
    };
    let kept = |world: &World| -> usize { world.census().iter().map(|census| census.ends).sum() };
    let refer = |world: &mut World, phones: &mut [Phone], taken: bool| {
        phones[0].call(world, 1);
        step(world, phones);
        let part = phones[1].parts.last_mut().expect("it rings");
        let invite = part.rings.take().expect("it rings");
        part.talks = true;
        let tag = part.tag.clone();
        phones[1].reply(world, &invite, 200, &tag, SDP);
        step(world, phones);
        // Who does not talk refuses what comes.
        phones[1].parts.last_mut().expect("it talks").talks = taken;
        let last = phones[0].parts.len() - 1;
        phones[0].within(world, last, "REFER", "");
        step(world, phones);
        phones[0].hang_up(world, last);
        step(world, phones);
        let record = ["Call of user0", "user0 here", "user1 here"];
        assert_eq!(recorded(world), [&record[..], &["left"; 3]].concat());
    };
    refer(&mut world, &mut phones, false);
    assert_eq!(kept(&world), 0, "nothing comes of it");
    refer(&mut world, &mut phones, true);
    assert_eq!(kept(&world), 2);
    world.pass(Duration::from_secs(200));
    assert_eq!(kept(&world), 2);
    world.pass(Duration::from_secs(60));
    assert_eq!(kept(&world), 0);
    // Who is gone is told nothing.
    refer(&mut world, &mut phones, true);
    let socket = phones[1].socket.expect("it is connected");
    world.cut(socket);
    world.settle();
    assert_eq!(kept(&world), 1);
    // And no server waits for it when it stops.
    world.stop();
    assert_eq!(kept(&world), 0);
    assert!(recorded(&mut world).is_empty());
}
