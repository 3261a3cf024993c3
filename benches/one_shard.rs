//! Pure shards and their clients, for the benchmarks: what comes out is read, what goes in is parsed, nothing is sent. A
//! client is connected to its owner's shard, as it is once it has been adopted; a letter arrives at once.

use muster::auth::{ha1_md5, ha1_sha256, nt_hash};
use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shard::route::Route;
use muster::shard::{Census, Settings, Shard, ShardId, UserRecord};
use muster::sip::frame::{self, Cut, FrameState, Limits};
use muster::sip::link::{ConnectionId, Link, Transport};
use muster::sip::message::Blank;
use muster::sip::time::Now;
use muster::sip::uri::Aor;

#[path = "../tests/client.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod client;
use client::ntlm::Ntlm;
pub use client::{Heard, authorization};

/// One shard that owns everybody, or several that share them.
pub struct OneShard {
    shards: Vec<Shard>,
    /// By a connection's slot: the shard that has it.
    homes: Vec<usize>,
    /// How many letters have gone from one shard to another.
    pub letters: usize,
    pub effects: Effects,
    pub now: Now,
    /// What the shard takes in is to be counted; see `benches/instructions`.
    pub counts: bool,
}

impl OneShard {
    pub fn new() -> OneShard {
        OneShard::of(1)
    }

    /// So many shards.
    pub fn of(shards: u16) -> OneShard {
        let now = Now(1_700_000_000_000_000);
        let settings = Settings {
            shards,
            ..Settings::default()
        };
        let seed = |number: u16| [number.to_be_bytes()[1].wrapping_add(7); 32];
        let shard = |number| {
            Shard::new(
                ShardId(number),
                settings.clone(),
                seed(number),
                [9; 32],
                now,
            )
        };
        OneShard {
            shards: (0..shards).map(shard).collect(),
            homes: Vec::new(),
            letters: 0,
            effects: Effects::default(),
            now,
            counts: false,
        }
    }

    /// Bytes in, effects out; `bytes` is used up, as a receive buffer is. It is cut as it would be from a stream.
    pub fn take(&mut self, connection: ConnectionId, bytes: &mut [u8]) {
        let home = self.homes[connection.slot()];
        self.counting(|world| {
            let mut blank = Blank::new();
            let mut state = FrameState::default();
            let cut = frame::cut_into(bytes, &Limits::default(), &mut state, &mut blank);
            let Cut::Message { total, .. } = cut else {
                panic!("no whole message: {cut:?}");
            };
            let message = blank.fill(&mut bytes[..total]);
            let message = message.expect("the benchmark's own message");
            let input = Input::Message {
                connection,
                message,
            };
            world.serve(home, input);
        });
    }

    /// Time passes; timers fire.
    #[allow(dead_code, reason = "not every benchmark waits")]
    pub fn tick(&mut self, after: core::time::Duration) {
        self.now = self.now.after(after);
        self.counting(|world| {
            for shard in 0..world.shards.len() {
                world.serve(shard, Input::Tick);
            }
        });
    }

    /// What is there, by shard.
    #[allow(dead_code, reason = "for those that measure memory")]
    pub fn census(&self) -> Vec<Census> {
        self.shards.iter().map(Shard::census).collect()
    }

    /// Places that the shards' tables have.
    #[allow(dead_code, reason = "for those that measure memory")]
    pub fn room(&mut self) -> usize {
        self.shards.iter_mut().map(Shard::room).sum()
    }

    /// Is there one shard alone?
    #[allow(dead_code, reason = "most benchmarks have but one")]
    pub fn is_one(&self) -> bool {
        self.shards.len() == 1
    }

    /// Forgets the effects of before, and does something that counts where anything does.
    fn counting(&mut self, mut act: impl FnMut(&mut OneShard)) {
        self.effects.clear();
        if self.counts {
            counted(&mut || act(self));
        } else {
            act(self);
        }
    }

    /// An input to a shard, and all letters that come of it.
    fn serve(&mut self, shard: usize, input: Input<'_>) {
        let (mut done, mut posted) = (self.effects.list.len(), Vec::new());
        self.shards[shard].handle(self.now, input, &mut self.effects);
        posted.resize(self.effects.list.len(), shard);
        while done < self.effects.list.len() {
            if matches!(self.effects.list[done], Effect::Post { .. })
                && let Effect::Post { to, letter } = self.effects.list.remove(done)
            {
                let (from, to) = (posted.remove(done), usize::from(to.0));
                self.letters += usize::from(from != to);
                if from == to {
                    // What a shard puts off comes in a later turn, and each turn has its own time.
                    self.now = self.now.after(core::time::Duration::from_micros(1));
                }
                self.shards[to].handle(self.now, Input::Letter(letter), &mut self.effects);
                posted.resize(self.effects.list.len(), to);
            } else {
                done += 1;
            }
        }
    }

    /// What was sent to `connection` by the last input.
    pub fn heard(&self, connection: ConnectionId) -> Vec<Heard> {
        let sent = self.effects.list.iter().filter_map(|effect| match effect {
            Effect::Send {
                connection: to,
                range,
                ..
            } if *to == connection => Some(range.clone()),
            _ => None,
        });
        sent.map(|range| Heard::read(self.effects.bytes[range].to_vec()))
            .collect()
    }

    /// Answers every NOTIFY of the last input, whoever it went to; how many there were.
    #[allow(dead_code, reason = "not every benchmark watches")]
    pub fn answer_notifies(&mut self) -> usize {
        self.answer_all("NOTIFY")
    }

    /// The same for every request of a method.
    #[allow(dead_code, reason = "not every benchmark has many who hear")]
    pub fn answer_all(&mut self, method: &str) -> usize {
        let sent = self.effects.list.iter().filter_map(|effect| match effect {
            Effect::Send {
                connection, range, ..
            } => Some((*connection, self.effects.bytes[range.clone()].to_vec())),
            _ => None,
        });
        let requests = sent.filter(|(_, bytes)| bytes.starts_with(method.as_bytes()));
        let requests: Vec<(ConnectionId, Vec<u8>)> = requests.collect();
        let count = requests.len();
        for (connection, bytes) in requests {
            let mut answer = Heard::read(bytes).response(200, "OK", "w", "", "");
            self.take(connection, &mut answer);
        }
        count
    }

    /// A user who is connected and registered, by its number.
    pub fn register(&mut self, number: u32) -> ConnectionId {
        self.register_with(number, "")
    }

    /// A SUBSCRIBE of the user of a connection to the presence of `to`, with these lines and this body.
    #[allow(dead_code, reason = "not every benchmark watches")]
    pub fn subscribe(&mut self, connection: ConnectionId, to: &str, lines: &str, body: &str) {
        let watcher = connection.slot();
        let mut bytes = format!(
            "SUBSCRIBE sip:{to}@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bK{watcher}{to}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{watcher}@example.com>;tag=f\r\nTo: <sip:{to}@example.com>\r\nCall-ID: {to}-{watcher}\r\n\
             CSeq: 1 SUBSCRIBE\r\nContact: <sip:u{watcher}@127.1.0.1:40000;transport=tls>\r\nEvent: presence\r\n\
             Expires: 3600\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        self.take(connection, &mut bytes);
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

    /// The store knows a user, by its number. Its owner.
    pub fn put(&mut self, number: u32) -> usize {
        let aor = Aor::parse(&format!("u{number}@example.com")).expect("a user");
        let record = UserRecord {
            display_name: "".into(),
            ha1_md5: Some(ha1_md5(aor.user(), aor.host(), "secret")),
            ha1_sha256: Some(ha1_sha256(aor.user(), aor.host(), "secret")),
            nt_hash: Some(nt_hash("secret")),
            aor,
            standing: None,
        };
        let owner = usize::from(Route::new(self.shards.len() as u16).owner(&record.aor).0);
        self.serve(owner, Input::UserPut(record));
        owner
    }

    /// The connection of a user goes.
    #[allow(dead_code, reason = "in most benchmarks everybody stays")]
    pub fn close(&mut self, connection: ConnectionId) {
        self.effects.clear();
        self.serve(self.homes[connection.slot()], Input::Closed { connection });
    }

    /// Like `register`; its REGISTER has these lines.
    pub fn register_with(&mut self, number: u32, lines: &str) -> ConnectionId {
        let connection = self.connect(number);
        let register =
            |credentials: &str, cseq: u32| written_register(number, credentials, lines, cseq);
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

    /// Like `register`, by NTLM: both sides sign from then on.
    #[allow(dead_code, reason = "most benchmarks sign nothing")]
    pub fn register_by_ntlm(&mut self, number: u32) -> (ConnectionId, Ntlm) {
        let connection = self.connect(number);
        let mut phone = Ntlm::new(&format!("u{number}@example.com"));
        let mut credentials = String::new();
        for cseq in 1..=3 {
            let request = written_register(number, &credentials, "", cseq);
            self.take(connection, &mut phone.sign(&request));
            let heard = self.heard(connection).pop().expect("an answer");
            phone.check(&heard).expect("signed as it is to be");
            if heard.status == Some(200) {
                return (connection, phone);
            }
            let answer = phone.authorization(&heard, "secret").expect("a challenge");
            credentials = format!("Authorization: {answer}\r\n");
        }
        panic!("u{number} does not get in by NTLM")
    }

    /// The first user, who is watched in Lync's dialect by so many others, each in a request for a list of one.
    #[allow(dead_code, reason = "not every benchmark watches")]
    pub fn watched_in_lync(watchers: u32) -> (OneShard, ConnectionId) {
        const LYNC: &str = "Supported: msrtc-event-categories\r\n";
        let mut world = OneShard::new();
        let alice = world.register_with(0, LYNC);
        for number in 1..=watchers {
            let connection = world.register_with(number, LYNC);
            let body = format!(
                "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" uri=\"sip:u{number}@example.com\">\
             <action name=\"subscribe\" id=\"1\"><adhocList><resource uri=\"sip:u0@example.com\"/></adhocList></action></batchSub>"
            );
            let mut subscribe = format!(
            "SUBSCRIBE sip:u{number}@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKs\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{number}@example.com>;tag=f\r\nTo: <sip:u{number}@example.com>\r\nCall-ID: s{number}\r\n\
             CSeq: 1 SUBSCRIBE\r\nContact: <sip:u{number}@127.1.0.1:40000;transport=tls>\r\nEvent: presence\r\n\
             Supported: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\n\
             Content-Type: application/msrtc-adrl-categorylist+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
            world.take(connection, &mut subscribe);
            let answer = world.heard(connection).pop().expect("an answer");
            assert_eq!(answer.status, Some(200), "{}", answer.full());
        }
        (world, alice)
    }

    /// The first user publishes a state of a machine, in Lync's dialect, by a SERVICE of two instances: another one with each
    /// version, which begin at 0.
    #[allow(dead_code, reason = "not every benchmark watches")]
    pub fn publish_in_lync(&mut self, alice: ConnectionId, version: u32) {
        let number = if version.is_multiple_of(2) {
            15_500
        } else {
            3_500
        };
        let one = |container: u32| {
            format!(
                "<publication categoryName=\"state\" instance=\"815903427\" container=\"{container}\" version=\"{version}\" \
                 expireType=\"endpoint\"><state xmlns=\"http://schemas.microsoft.com/2006/09/sip/state\" manual=\"false\" \
                 xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"machineState\"><availability>{number}\
                 </availability><endpointLocation/></state></publication>"
            )
        };
        let body = format!(
            "<publish xmlns=\"http://schemas.microsoft.com/2006/09/sip/rich-presence\"><publications uri=\"sip:u0@example.com\">\
             {}{}</publications></publish>",
            one(2),
            one(3)
        );
        let mut service = format!(
            "SERVICE sip:u0@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKp{version}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u0@example.com>;tag=f\r\nTo: <sip:u0@example.com>\r\nCall-ID: p{version}\r\n\
             CSeq: 1 SERVICE\r\nContent-Type: application/msrtc-category-publish+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        self.take(alice, &mut service);
        let answer = self.heard(alice).pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
    }

    /// A user's connection, on which nothing has been said.
    fn connect(&mut self, number: u32) -> ConnectionId {
        let owner = self.put(number);
        let connection = ConnectionId::new(number, 1);
        if self.homes.len() <= connection.slot() {
            self.homes.resize(connection.slot() + 1, 0);
        }
        self.homes[connection.slot()] = owner;
        let [a, b] = (number as u16).to_be_bytes();
        let link = Link {
            transport: Transport::Tls,
            local: ([127, 0, 0, 1], 5061).into(),
            peer: ([127, 1, a, b], 40_000).into(),
            moves: 0,
            failures: 0,
        };
        self.serve(owner, Input::Opened { connection, link });
        connection
    }
}

fn written_register(number: u32, credentials: &str, lines: &str, cseq: u32) -> Vec<u8> {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKr{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:u{number}@example.com>;tag=f\r\nTo: <sip:u{number}@example.com>\r\n\
         Call-ID: r{number}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:u{number}@127.1.0.1:40000;transport=tls>\r\n\
         {credentials}{lines}Expires: 3600\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

#[allow(dead_code, reason = "for those that measure memory")]
/// What the process has in memory (proc_pid_statm(5), in pages of 4 KiB).
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4096
}

/// What callgrind counts inside of.
#[inline(never)]
fn counted(serve: &mut dyn FnMut()) {
    serve();
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
