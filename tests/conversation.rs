//! Whole conversations as files: `conversation/*.txt`, each played twice, on pure shards in one thread and on the real
//! binary over TLS. Where the two differ, the shell is at fault. A bug is a file.
//!
//! # How to write one
//!
//! ```text
//! # What this play is about.
//! Alice is alice@example.com
//! Bob is bob@example.com
//!
//! Alice registers
//! Bob registers
//!
//! Alice sends MESSAGE sip:bob@example.com
//!   Content-Type: text/plain
//!
//!   Hello, Bob
//! Bob receives MESSAGE
//!   P-Asserted-Identity: *<sip:alice@example.com>
//!
//!   Hello, Bob
//! Bob answers 200
//! Alice receives 200
//! ```
//!
//! - `NAME is USER@DOMAIN` makes an actor: a client with a connection of its own. Two names may be one user's two clients;
//!   the user shows the first one's name. `(not in the store)` after it: the server has no such user. `by NTLM` after it, or
//!   `by NTLM as DOMAIN\NAME`: it logs in so, signs all that it sends from then on, and checks all that it gets.
//!   `by the whole address`: that is its user name in digest, not the name alone.
//! - `NAME connects`, `NAME disconnects`, `NAME is disconnected` (by the server). To register or to send connects by itself.
//! - `NAME registers` is REGISTER, the challenge, REGISTER with the password, 200; by NTLM one step more. Lines below go into all requests.
//! - `NAME sends METHOD URI [as LABEL]` begins something; `as` names the dialog that it makes. `NAME sends METHOD in LABEL`
//!   goes on in a dialog. `NAME cancels LABEL`. `NAME sends it again with the password`, or `with a wrong password`, answers the last 401.
//!   `NAME signs the next message wrongly`, `… not at all`, `… with the same number` as the one before; `NAME begins anew` signs nothing until it
//!   has logged in again.
//!   `NAME sends the bytes` sends what is below as it is, each line with CR LF, and an empty line.
//! - `NAME receives METHOD` or `NAME receives STATUS [REASON] [to METHOD]`, then `in LABEL` (it belongs to that dialog) or `as LABEL`
//!   (it makes one). `NAME receives nothing`.
//! - `NAME answers STATUS [REASON] [to METHOD]` answers the newest request that waits.
//! - What the store keeps of an actor's user is set as `muster user …` would, before a client connects or in between, and honoured before the
//!   next step: `NAME has contact bob@example.com [named Bob B.] [in Friends and Work]`, `NAME has no contact X`, `NAME has 1000 contacts` (`u1@example.com` and so on); `NAME treats X as LEVEL`, where X is
//!   an address, a domain, `same organisation` or `everyone`, and LEVEL `blocked`, `external`, `colleagues`, `workgroup`, `friends-and-family`
//!   or `usual` (no rule); `NAME's privacy is on` (`off`); `NAME chooses STATE ["own words"] [until +600 s]`, `NAME resets`, where
//!   STATE is `available`, `busy`, `do-not-disturb`, `urgent-only`, `be-right-back`, `away`, `off-work` or `appear-offline`; `NAME's note is TEXT`,
//!   `NAME's out of office note is TEXT`, `NAME has no note`; `NAME forwards always to X`, `… on busy to X`, `… on no answer after 10 s to X`,
//!   `NAME rings also X`, `NAME has no call rules`; `NAME's work phone is +49…` (also `mobile phone`, `home phone`, `other phone`, `title`, `company`,
//!   `office`, `mail`; `gone` wipes it); `NAME waits for X`, `NAME waits no longer for X`; `NAME's messages are 3 new 1 urgent 2 old 0 urgent`.
//!   `NAME's home is fe02.example.com:5061` (`here` again); `NAME is signed out` by the administrator; `NAME is removed` from the store;
//!   `The server stops`.
//! - `10 s pass`, also `min` and `h`.
//! - Below a step, indented: header lines, an empty line, the body. What is sent has all that it needs without them; a line replaces what
//!   would be sent, `(absent)` leaves it out. What is received must have these lines and this body, may have more, and must not
//!   have a line that is `(absent)`. `*` is anything; `{name}` is remembered, and is the same wherever it stands again.
//! - A message that the play does not tell of fails it, at the end at the latest. The ACK of a refused INVITE goes without saying.
//! - `A conference has 3 places` instead of 250.
//! - `Played on the pure server only: REASON` where time has to pass that nobody wants to wait for.

mod actor;
mod binary;
mod pattern;
mod script;
mod secrecy;
mod setting;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actor::Actor;
use binary::Binary;
use muster::shard::Settings;
use pattern::Memory;
use script::{Action, Label, Place, Play, Step, What};
use setting::Setting;

use crate::client::ntlm::Ntlm;
use crate::world::World;

/// What a play is played on.
trait Stage {
    /// The `nth` connection; its number.
    fn connect(&mut self, nth: usize) -> usize;
    /// The client's end of it.
    fn address(&self, socket: usize) -> SocketAddr;
    fn send(&mut self, socket: usize, bytes: &[u8]);
    /// Waits for more bytes; None when nothing comes (any more). `hopeful`: the play expects something.
    fn receive(&mut self, socket: usize, hopeful: bool) -> Option<Vec<u8>>;
    /// Whether the server has closed it; waits a little for that.
    fn is_closed(&mut self, socket: usize) -> bool;
    fn disconnect(&mut self, socket: usize);
    fn pass(&mut self, time: Duration);
    /// Changes what the store keeps of a user. It may take effect as late as `honour`.
    fn set(&mut self, aor: &str, setting: &Setting) -> Result<(), String>;
    /// Takes a user out of the store. It may take effect as late as `honour`.
    fn remove(&mut self, aor: &str);
    /// The server is told to stop.
    fn stop(&mut self);
    /// Waits until all that was set holds.
    fn honour(&mut self);
}

impl Stage for World {
    fn connect(&mut self, nth: usize) -> usize {
        let port = 40_000 + u16::try_from(nth).expect("few actors");
        World::connect(
            self,
            nth % self.shards(),
            SocketAddr::from(([127, 0, 0, 1], port)),
        )
    }

    fn address(&self, socket: usize) -> SocketAddr {
        self.peer(socket)
    }

    fn send(&mut self, socket: usize, bytes: &[u8]) {
        World::send(self, socket, bytes);
        self.settle();
    }

    fn receive(&mut self, socket: usize, _hopeful: bool) -> Option<Vec<u8>> {
        Some(self.read(socket)).filter(|bytes| !bytes.is_empty())
    }

    fn is_closed(&mut self, socket: usize) -> bool {
        World::is_closed(self, socket)
    }

    fn disconnect(&mut self, socket: usize) {
        self.cut(socket);
        self.settle();
    }

    fn pass(&mut self, time: Duration) {
        World::pass(self, time);
    }

    fn set(&mut self, aor: &str, setting: &Setting) -> Result<(), String> {
        let now = self.now;
        self.edit(aor, |standing| setting.apply(now, standing))
    }

    fn remove(&mut self, aor: &str) {
        self.remove_user(aor);
    }

    fn stop(&mut self) {
        World::stop(self);
    }

    fn honour(&mut self) {
        self.settle();
    }
}

/// A play on its stage.
struct Performance<'a> {
    stage: &'a mut dyn Stage,
    actors: Vec<Actor>,
    memory: Memory,
    connected: usize,
    /// Something was set, and perhaps does not hold yet.
    unhonoured: bool,
}

impl Performance<'_> {
    fn play(&mut self, play: &Play) -> Result<(), String> {
        for step in &play.steps {
            self.act(step)
                .map_err(|what| format!("line {}, {}: {what}", step.line, step.text))?;
        }
        for index in 0..self.actors.len() {
            self.expect_nothing(index)
                .map_err(|what| format!("at the end: {what}"))?;
        }
        Ok(())
    }

    fn act(&mut self, step: &Step) -> Result<(), String> {
        if let Action::Sets(actor, setting) = &step.action {
            self.unhonoured = true;
            return self.stage.set(&self.actors[*actor].aor, setting);
        }
        if let Action::IsRemoved(actor) = &step.action {
            self.unhonoured = true;
            self.stage.remove(&self.actors[*actor].aor);
            return Ok(());
        }
        if core::mem::take(&mut self.unhonoured) {
            self.stage.honour();
        }
        match &step.action {
            Action::Sets(..) | Action::IsRemoved(_) => {}
            Action::Stops => self.stage.stop(),
            Action::Connects(actor) => self.connect(*actor),
            Action::Registers(actor) => self.register(*actor, step)?,
            Action::Disconnects(actor) => {
                let socket = self.actors[*actor].socket.take().ok_or("not connected")?;
                self.stage.disconnect(socket);
            }
            Action::IsDisconnected(actor) => {
                let socket = self.actors[*actor].socket.take().ok_or("not connected")?;
                while let Some(bytes) = self.stage.receive(socket, false) {
                    self.actors[*actor].hear(&bytes)?;
                }
                if !self.stage.is_closed(socket) {
                    return Err("the server keeps the connection".to_owned());
                }
            }
            Action::Sends {
                actor,
                method,
                place,
            } => {
                self.ensure_connected(*actor);
                let bytes = self.actors[*actor].request(method, place, step, &self.memory)?;
                self.send(*actor, &bytes);
            }
            Action::Cancels { actor, label } => {
                let bytes = self.actors[*actor].cancel(label)?;
                self.send(*actor, &bytes);
            }
            Action::Repeats { actor, right } => {
                let bytes = self.actors[*actor].repeat(*right)?;
                self.send(*actor, &bytes);
            }
            Action::SendsBytes(actor) => {
                self.ensure_connected(*actor);
                let text =
                    pattern::fill(&step.raw, &self.memory)?.replace('\n', "\r\n") + "\r\n\r\n";
                self.send(*actor, text.as_bytes());
            }
            Action::Receives { actor, what, label } => self.receive(*actor, what, label, step)?,
            Action::ReceivesNothing(actor) => self.expect_nothing(*actor)?,
            Action::Answers {
                actor,
                status,
                reason,
                method,
            } => {
                let actor_now = &mut self.actors[*actor];
                let bytes = actor_now.answer(
                    *status,
                    reason.as_deref(),
                    method.as_deref(),
                    step,
                    &self.memory,
                )?;
                self.send(*actor, &bytes);
            }
            Action::Signs(actor, flaw) => self.ntlm(*actor)?.flaw = *flaw,
            Action::BeginsAnew(actor) => self.ntlm(*actor)?.begin_anew(),
            Action::Passes { seconds } => self.stage.pass(Duration::from_secs(*seconds)),
        }
        Ok(())
    }

    fn connect(&mut self, index: usize) {
        let socket = self.stage.connect(self.connected);
        self.connected += 1;
        let address = self.stage.address(socket);
        let actor = &mut self.actors[index];
        actor.socket = Some(socket);
        actor.address = address.to_string();
        actor.inbox = crate::client::Inbox::default();
        if let Some(ntlm) = &mut actor.ntlm {
            ntlm.disconnect();
        }
    }

    fn ntlm(&mut self, actor: usize) -> Result<&mut Ntlm, String> {
        let ntlm = self.actors[actor].ntlm.as_mut();
        ntlm.ok_or("does not log in by NTLM".to_owned())
    }

    fn ensure_connected(&mut self, actor: usize) {
        if self.actors[actor].socket.is_none() {
            self.connect(actor);
        }
    }

    fn send(&mut self, actor: usize, bytes: &[u8]) {
        if let Some(socket) = self.actors[actor].socket {
            let bytes = self.actors[actor].signed(bytes);
            self.stage.send(socket, &bytes);
        }
    }

    fn register(&mut self, actor: usize, step: &Step) -> Result<(), String> {
        self.ensure_connected(actor);
        let domain = self.actors[actor]
            .aor
            .split('@')
            .nth(1)
            .unwrap_or("")
            .to_owned();
        let place = Place::To {
            uri: format!("sip:{domain}"),
            label: None,
        };
        let bytes = self.actors[actor].request("REGISTER", &place, step, &self.memory)?;
        self.send(actor, &bytes);
        let quiet = Step {
            headers: Vec::new(),
            body: None,
            text: String::new(),
            raw: String::new(),
            line: 0,
            action: Action::Connects(actor),
        };
        let answer = |status| What::Response {
            status,
            reason: None,
            method: Some("REGISTER".to_owned()),
        };
        // Who has proved itself on this connection is not challenged again.
        let first = self.hear(actor, &answer(401))?;
        if first.status == Some(401) {
            self.actors[actor].receive(
                first,
                &answer(401),
                &Label::None,
                &quiet,
                &mut self.memory,
            )?;
            let bytes = self.actors[actor].repeat(true)?;
            self.send(actor, &bytes);
            if self.actors[actor].ntlm.is_some() {
                self.receive(actor, &answer(401), &Label::None, &quiet)?;
                let bytes = self.actors[actor].repeat(true)?;
                self.send(actor, &bytes);
            }
            self.receive(actor, &answer(200), &Label::None, &quiet)
        } else {
            self.actors[actor]
                .receive(first, &answer(200), &Label::None, &quiet, &mut self.memory)
                .map(|_| ())
        }
    }

    /// Waits for a message that is meant by `what`.
    fn hear(&mut self, index: usize, what: &What) -> Result<crate::client::Heard, String> {
        loop {
            if let Some(heard) = self.actors[index].take(what) {
                return Ok(heard);
            }
            let socket = self.actors[index].socket.ok_or("not connected")?;
            let Some(bytes) = self.stage.receive(socket, true) else {
                let mut others: Vec<_> = self.actors[index]
                    .heard
                    .iter()
                    .map(crate::client::Heard::title)
                    .collect();
                if others.is_empty() {
                    others.push("nothing".to_owned());
                }
                return Err(format!(
                    "it does not come; what came: {}",
                    others.join(", ")
                ));
            };
            self.actors[index].hear(&bytes)?;
        }
    }

    fn receive(
        &mut self,
        actor: usize,
        what: &What,
        label: &Label,
        step: &Step,
    ) -> Result<(), String> {
        let heard = self.hear(actor, what)?;
        if let Some(acknowledgement) =
            self.actors[actor].receive(heard, what, label, step, &mut self.memory)?
        {
            self.send(actor, &acknowledgement);
        }
        Ok(())
    }

    fn expect_nothing(&mut self, index: usize) -> Result<(), String> {
        if let Some(socket) = self.actors[index].socket {
            while let Some(bytes) = self.stage.receive(socket, false) {
                self.actors[index].hear(&bytes)?;
            }
        }
        match self.actors[index].heard.front() {
            Some(heard) => Err(format!(
                "{} received what the play does not tell of:\n{}",
                self.actors[index].name,
                heard.full()
            )),
            None => Ok(()),
        }
    }
}

fn password_of(aor: &str) -> String {
    format!("secret of {aor}")
}

fn perform(stage: &mut dyn Stage, play: &Play) -> Result<(), String> {
    let actor = |(name, aor): &(String, String)| Actor::new(name, aor, password_of(aor));
    let mut actors: Vec<Actor> = play.actors.iter().map(actor).collect();
    for (index, login) in &play.by_ntlm {
        actors[*index].ntlm = Some(Ntlm::new(login));
    }
    for index in &play.by_address {
        actors[*index].by_address = true;
    }
    Performance {
        stage,
        actors,
        memory: Memory::new(),
        connected: 0,
        unhonoured: false,
    }
    .play(play)
}

/// The users of a play: each address of record once, with the name it shows.
fn users(play: &Play) -> Vec<(&str, &str)> {
    let mut users: Vec<(&str, &str)> = Vec::new();
    for (name, aor) in &play.actors {
        if !play.strangers.contains(aor) && !users.iter().any(|(_, other)| other == aor) {
            users.push((name, aor));
        }
    }
    users
}

/// The server's settings in a play: as by default, but for what it says.
fn settings(play: &Play) -> Settings {
    let mut settings = Settings::default();
    if let Some(places) = play.members_max {
        settings.immcu.members_max = places;
    }
    settings
}

fn plays() -> Vec<(PathBuf, Play)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversation");
    let mut plays = Vec::new();
    for entry in std::fs::read_dir(folder)
        .expect("tests/conversation")
        .flatten()
    {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = std::fs::read_to_string(&path).expect("a play");
            let play =
                Play::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            plays.push((path, play));
        }
    }
    plays.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(!plays.is_empty(), "no plays");
    // MUSTER_PLAY=part of a name plays one.
    let wanted = std::env::var("MUSTER_PLAY").unwrap_or_default();
    plays.retain(|(path, _)| path.to_string_lossy().contains(&wanted));
    plays
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
}

#[test]
fn conversations_on_pure_shards() {
    let mut failures = Vec::new();
    for (path, play) in plays() {
        // One shard, then two: nothing that a client sees may depend on who owns what.
        for shards in [1, 2] {
            let mut world = World::new(shards, 1, &settings(&play));
            for (name, aor) in users(&play) {
                world.add_user(aor, name, &password_of(aor));
            }
            if let Err(error) = perform(&mut world, &play) {
                failures.push(format!(
                    "{} on {shards} pure shard(s): {error}",
                    path.display()
                ));
            }
        }
    }
    report(&failures);
}

#[test]
fn conversations_on_the_binary() {
    let mut failures = Vec::new();
    for (path, play) in plays().iter().filter(|(_, play)| play.pure_only.is_none()) {
        let mut server = Binary::start(&users(play), settings(play).immcu.members_max);
        let played = perform(&mut server, play);
        // Also where the play went well: what is wrong in its last step shows in how the server ends.
        let ended = server.end();
        if let Err(error) = played.and(ended) {
            failures.push(format!(
                "{} on the binary: {error}\n{}",
                path.display(),
                server.said()
            ));
        }
    }
    report(&failures);
}

/// The stage itself: what does not happen as the play says is seen.
#[test]
fn a_play_that_tells_another_story_fails() {
    let begin = "Alice is alice@example.com\nBob is bob@example.com\nAlice registers\nBob registers\n\
                 Alice sends MESSAGE sip:bob@example.com\n  Content-Type: text/plain\n\n  Hello\n";
    for (rest, error) in [
        (
            "Bob receives MESSAGE\n\n  Hullo\n",
            "the body is not as expected",
        ),
        (
            "Bob receives MESSAGE\n  Subject: *\n",
            "no Subject is as expected",
        ),
        (
            "Bob receives MESSAGE\n  From: (absent)\n",
            "From should be absent",
        ),
        (
            "Bob receives INVITE\n",
            "it does not come; what came: MESSAGE sip:bob@",
        ),
        (
            "Bob receives nothing\n",
            "Bob received what the play does not tell of",
        ),
        (
            "",
            "at the end: Bob received what the play does not tell of",
        ),
        (
            "Bob receives MESSAGE\nBob answers 486\nAlice receives 200\n",
            "expected 200, and this came:\n486",
        ),
        ("Alice is disconnected\n", "the server keeps the connection"),
        ("Alice sends BYE in call\n", "Alice has no dialog call"),
    ] {
        let play = Play::read(&format!("{begin}{rest}")).expect("a play");
        let mut world = World::new(2, 1, &Settings::default());
        for (name, aor) in users(&play) {
            world.add_user(aor, name, &password_of(aor));
        }
        let outcome = perform(&mut world, &play).expect_err(rest);
        assert!(outcome.contains(error), "{rest}: {outcome}");
    }
}
