//! One pure shard and its clients, for the benchmarks: what comes out is read, what goes in is parsed, nothing is sent.

use muster::auth::{ha1_md5, ha1_sha256};
use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shard::{Settings, Shard, ShardId, UserRecord};
use muster::sip::link::{ConnectionId, Link, Transport};
use muster::sip::message::Message;
use muster::sip::time::Now;
use muster::sip::uri::Aor;

#[path = "../tests/client.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod client;
pub use client::{Heard, authorization};

/// A shard that owns everybody.
pub struct OneShard {
    pub shard: Shard,
    pub effects: Effects,
    pub now: Now,
    /// What the shard takes in is to be counted; see `benches/instructions`.
    pub counts: bool,
}

impl OneShard {
    pub fn new() -> OneShard {
        let now = Now(1_700_000_000_000_000);
        let settings = Settings {
            shards: 1,
            ..Settings::default()
        };
        OneShard {
            shard: Shard::new(ShardId(0), settings, [7; 32], [9; 32], now),
            effects: Effects::default(),
            now,
            counts: false,
        }
    }

    /// Bytes in, effects out; `bytes` is used up, as a receive buffer is.
    pub fn take(&mut self, connection: ConnectionId, bytes: &mut [u8]) {
        let (shard, now, effects) = (&mut self.shard, self.now, &mut self.effects);
        let mut serve = || {
            effects.clear();
            let message = Message::parse(bytes).expect("the benchmark's own message");
            let message = &message;
            let input = Input::Message {
                connection,
                message,
            };
            shard.handle(now, input, effects);
            tell_on(shard, now, effects);
        };
        if self.counts {
            counted(&mut serve);
        } else {
            serve();
        }
    }

    /// Time passes; timers fire.
    #[allow(dead_code, reason = "not every benchmark waits")]
    pub fn tick(&mut self, after: core::time::Duration) {
        self.now = self.now.after(after);
        let (shard, now, effects) = (&mut self.shard, self.now, &mut self.effects);
        effects.clear();
        let mut serve = || shard.handle(now, Input::Tick, effects);
        if self.counts {
            counted(&mut serve);
        } else {
            serve();
        }
    }

    /// What was sent to `connection` by the last input.
    pub fn heard(&self, connection: ConnectionId) -> Vec<Heard> {
        let sent = self.effects.list.iter().filter_map(|effect| match effect {
            Effect::Send {
                connection: to,
                range,
            } if *to == connection => Some(range.clone()),
            _ => None,
        });
        sent.map(|range| Heard::read(self.effects.bytes[range].to_vec()))
            .collect()
    }

    /// Answers every NOTIFY of the last input, whoever it went to; how many there were.
    #[allow(dead_code, reason = "not every benchmark watches")]
    pub fn answer_notifies(&mut self) -> usize {
        let sent = self.effects.list.iter().filter_map(|effect| match effect {
            Effect::Send { connection, range } => {
                Some((*connection, self.effects.bytes[range.clone()].to_vec()))
            }
            _ => None,
        });
        let notifies = sent.filter(|(_, bytes)| bytes.starts_with(b"NOTIFY"));
        let notifies: Vec<(ConnectionId, Vec<u8>)> = notifies.collect();
        let count = notifies.len();
        for (connection, bytes) in notifies {
            let mut answer = Heard::read(bytes).response(200, "OK", "w", "", "");
            self.take(connection, &mut answer);
        }
        count
    }

    /// A user who is connected and registered, by its number.
    pub fn register(&mut self, number: u32) -> ConnectionId {
        self.register_with(number, "")
    }

    /// How many BENOTIFYs the last input made, whoever they went to: nobody answers them.
    #[allow(dead_code, reason = "not every benchmark watches")]
    pub fn benotifies(&self) -> usize {
        let is_one = |effect: &&Effect| match effect {
            Effect::Send { range, .. } => {
                self.effects.bytes[range.clone()].starts_with(b"BENOTIFY")
            }
            _ => false,
        };
        self.effects.list.iter().filter(is_one).count()
    }

    /// The same, whose REGISTER has these lines.
    pub fn register_with(&mut self, number: u32, lines: &str) -> ConnectionId {
        let aor = Aor::parse(&format!("u{number}@example.com")).expect("a user");
        let record = UserRecord {
            display_name: "".into(),
            ha1_md5: Some(ha1_md5(aor.user(), aor.host(), "secret")),
            ha1_sha256: Some(ha1_sha256(aor.user(), aor.host(), "secret")),
            nt_hash: None,
            aor,
            standing: None,
        };
        self.shard
            .handle(self.now, Input::UserPut(record), &mut self.effects);
        let connection = ConnectionId::new(number, 1);
        let [a, b] = (number as u16).to_be_bytes();
        let link = Link {
            transport: Transport::Tls,
            local: ([127, 0, 0, 1], 5061).into(),
            peer: ([127, 1, a, b], 40_000).into(),
            moves: 0,
        };
        self.shard.handle(
            self.now,
            Input::Opened { connection, link },
            &mut self.effects,
        );
        let register = |credentials: &str, cseq: u32| {
            format!(
                "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKr{cseq}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:u{number}@example.com>;tag=f\r\nTo: <sip:u{number}@example.com>\r\n\
                 Call-ID: r{number}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:u{number}@127.1.0.1:40000;transport=tls>\r\n\
                 {credentials}{lines}Expires: 3600\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes()
        };
        self.take(connection, &mut register("", 1));
        let challenge = self.heard(connection).pop().expect("a challenge");
        let uri = "sip:example.com";
        let answer = authorization(
            &challenge,
            "REGISTER",
            uri,
            &format!("u{number}"),
            "secret",
            1,
        )
        .expect("a digest");
        self.take(
            connection,
            &mut register(&format!("Authorization: {answer}\r\n"), 2),
        );
        assert_eq!(
            self.heard(connection)
                .first()
                .and_then(|heard| heard.status),
            Some(200)
        );
        connection
    }
}

/// What callgrind counts inside of.
#[inline(never)]
fn counted(serve: &mut dyn FnMut()) {
    serve();
}

/// What the shard has put off until others had their turn; the last of its effects.
fn tell_on(shard: &mut Shard, now: Now, effects: &mut Effects) {
    let is_letter = |effect: &Effect| matches!(effect, Effect::Post { .. });
    while let Some(at) = effects.list.iter().rposition(is_letter) {
        if let Effect::Post { letter, .. } = effects.list.remove(at) {
            shard.handle(now, Input::Letter(letter), effects);
        }
    }
}

/// Runs `step` for about a second, or `--once N` times (for callgrind), and prints the time of one.
pub fn measure(name: &str, mut step: impl FnMut()) {
    let mut words = std::env::args().skip_while(|word| word != "--once");
    let once = words.nth(1).and_then(|count| count.parse::<u32>().ok());
    if let Some(count) = once {
        (0..count).for_each(|_| step());
        println!("{name}: {count} times");
        return;
    }
    let begun = std::time::Instant::now();
    let mut count = 0u32;
    while begun.elapsed().as_millis() < 1000 {
        step();
        count += 1;
    }
    println!(
        "{name:<48} {:>12.0} ns",
        begun.elapsed().as_nanos() as f64 / f64::from(count)
    );
}
