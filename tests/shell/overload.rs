//! A shard that cannot keep up sheds polls, and the messages of a conversation pass; who comes new waits at the door.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster::auth::{ha1_md5, ha1_sha256};
use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shard::overload::Class;
use muster::shard::route::Route;
use muster::shard::{Core, Settings, Shard, ShardId, UserRecord};
use muster::sip::time::Now;
use muster::sip::uri::Aor;

use super::peer::{Peer, trusting};
use super::server::{Closure, Server, answer, start};
use crate::client::{Heard, authorization};

/// The real core on a machine on which each message takes two milliseconds.
struct Slow(Shard);

impl Core for Slow {
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        if let Input::Message { .. } = input {
            let until = Instant::now() + Duration::from_millis(2);
            while Instant::now() < until {}
        }
        self.0.handle(now, input, effects);
    }
}

fn core(shard: ShardId) -> Slow {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let now = Now(u64::try_from(since_epoch.as_micros()).expect("before the end of time"));
    let settings = Settings {
        shards: 2,
        ..Settings::default()
    };
    let mut core = Shard::new(shard, settings, [shard.0 as u8; 32], [9; 32], now);
    for name in ["alice", "bob"] {
        let aor = Aor::parse(&format!("{name}@example.com")).expect("an address");
        if Route::new(2).owner(&aor) != shard {
            continue;
        }
        let record = UserRecord {
            display_name: "".into(),
            ha1_md5: Some(ha1_md5(name, "example.com", "secret")),
            ha1_sha256: Some(ha1_sha256(name, "example.com", "secret")),
            nt_hash: None,
            standing: None,
            aor,
        };
        core.handle(now, Input::UserPut(record), &mut Effects::default());
    }
    Slow(core)
}

fn request(method: &str, from: &str, to: &str, number: u32, lines: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:{to}@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{from}{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{from}@example.com>;tag=f\r\nTo: <sip:{to}@example.com>\r\nCall-ID: {from}\r\n\
         CSeq: {number} {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn ask(peer: &mut Peer, bytes: &[u8]) -> Heard {
    peer.send(bytes).expect("written");
    Heard::read(peer.message())
}

fn register(peer: &mut Peer, name: &str) {
    let contact = format!("Contact: <sip:{name}@127.0.0.1:9;transport=tcp>\r\n");
    let asked = ask(peer, &request("REGISTER", name, name, 1, &contact, ""));
    let uri = format!("sip:{name}@example.com");
    let digest = authorization(&asked, "REGISTER", &uri, name, "secret", 1).expect("a digest");
    let lines = format!("{contact}Authorization: {digest}\r\n");
    let answer = ask(peer, &request("REGISTER", name, name, 2, &lines, ""));
    assert_eq!(answer.status, Some(200), "{}", answer.full());
}

/// A message that is taken.
fn page(alice: &mut Peer, bob: &mut Peer, number: u32) {
    let lines = "Content-Type: text/plain\r\n";
    let message = request("MESSAGE", "alice", "bob", number, lines, "hello");
    alice.send(&message).expect("written");
    let heard = Heard::read(bob.message());
    bob.send(&heard.response(200, "OK", "b", "", ""))
        .expect("written");
    let answer = Heard::read(alice.message());
    assert_eq!(answer.status, Some(200), "{}", answer.full());
}

#[test]
fn polls_are_shed_while_a_conversation_goes_on() {
    let server = start(|_| (), core);
    let (mut alice, mut bob) = (server.tcp(), server.tcp());
    register(&mut alice, "alice");
    register(&mut bob, "bob");
    page(&mut alice, &mut bob, 10);
    let (over, shed) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for flood in 0..16 {
            let (over, shed, mut peer) = (&over, &shed, server.tcp());
            scope.spawn(move || {
                let name = format!("flood{flood}");
                for number in 1.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let lines = "Event: presence\r\nExpires: 0\r\n";
                    let poll = request("SUBSCRIBE", &name, "alice", number, lines, "");
                    let answer = ask(&mut peer, &poll);
                    match answer.status {
                        Some(401) => {}
                        Some(503) => {
                            assert!(answer.header("Retry-After").is_some(), "{}", answer.full());
                            shed.fetch_add(1, Ordering::SeqCst);
                        }
                        _ => panic!("{}", answer.full()),
                    }
                }
            });
        }
        let begun = Instant::now();
        let mut number = 10;
        while begun.elapsed() < Duration::from_secs(20)
            && (number < 30 || shed.load(Ordering::SeqCst) < 20)
        {
            number += 1;
            page(&mut alice, &mut bob, number);
        }
        over.store(true, Ordering::SeqCst);
    });
    let shed = shed.load(Ordering::SeqCst);
    assert!(shed >= 20, "only {shed} polls were shed");
    let telemetry = server.running.control().telemetry(Duration::from_secs(5));
    let counters = telemetry.expect("both shards answer").counters;
    assert_eq!(counters.shed[Class::Poll as usize], shed);
    server.stop();
}

#[test]
fn while_what_begins_is_shed_connections_are_taken_slowly_and_all_of_them() {
    const COMING: usize = 500;
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = opened.clone();
    let server = start(
        |settings| settings.cores.truncate(1),
        move |_| {
            let opened = counted.clone();
            Closure(
                move |_, input: Input<'_>, effects: &mut Effects| match input {
                    Input::Opened { .. } => drop(opened.fetch_add(1, Ordering::SeqCst)),
                    Input::Message {
                        connection,
                        message,
                    } => {
                        effects.send(connection, |out| answer(message, out));
                        let level = String::from_utf8_lossy(message.body()).parse();
                        effects.list.push(Effect::Level(level.expect("a level")));
                    }
                    _ => {}
                },
            )
        },
    );
    let address = server.running.sip[0];
    // How long `COMING` connections take to be let in.
    let come = || {
        let (before, begun) = (opened.load(Ordering::SeqCst), Instant::now());
        let coming: Vec<TcpStream> = (0..COMING)
            .map(|_| TcpStream::connect(address).expect("the backlog takes it"))
            .collect();
        while opened.load(Ordering::SeqCst) < before + COMING {
            assert!(begun.elapsed() < Duration::from_secs(20), "not all got in");
            thread::sleep(Duration::from_millis(1));
        }
        drop(coming);
        begun.elapsed()
    };
    let mut peer = server.tcp();
    let mut set_level = |number: u32, level: &str| {
        let heard = ask(&mut peer, &request("MESSAGE", "a", "b", number, "", level));
        assert_eq!(heard.status, Some(200));
    };
    // A hundred in each tenth of a second, the first and the last of which may be cut short.
    set_level(1, "3");
    let crowded = come();
    assert!(crowded >= Duration::from_millis(300), "{crowded:?}");
    set_level(2, "2");
    let quiet = come();
    assert!(
        quiet < crowded,
        "{quiet:?} without, {crowded:?} with overload"
    );
    server.stop();
}

/// One shard that answers each message, but the one that says "hold" only once `gate` is open.
fn held(gate: &Arc<AtomicBool>) -> Server {
    let gate = gate.clone();
    start(
        |settings| settings.cores.truncate(1),
        move |_| {
            let gate = gate.clone();
            Closure(move |_, input: Input<'_>, effects: &mut Effects| {
                let Input::Message {
                    connection,
                    message,
                } = input
                else {
                    return;
                };
                while message.body() == b"hold" && !gate.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
                effects.send(connection, |out| answer(message, out));
            })
        },
    )
}

/// Connections that have sent their first word of TLS.
fn knock(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut hello = Vec::new();
    let name = "localhost".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(trusting(&server.cert), name).expect("a client");
    client.write_tls(&mut hello).expect("written");
    let knocking = (0..count).map(|_| {
        let mut stream = TcpStream::connect(server.running.sips[0]).expect("the backlog takes it");
        stream.write_all(&hello).expect("written");
        stream
    });
    knocking.collect()
}

#[test]
fn who_is_in_does_not_wait_for_those_who_shake_hands() {
    const KNOCKING: usize = 300;
    let gate = Arc::new(AtomicBool::new(false));
    let server = held(&gate);
    let (mut holding, mut peer) = (server.tcp(), server.tcp());
    assert_eq!(
        ask(&mut peer, &request("MESSAGE", "a", "b", 1, "", "in")).status,
        Some(200)
    );
    holding
        .send(&request("MESSAGE", "h", "b", 1, "", "hold"))
        .expect("written");
    // The shard holds still; then all come at once, and who is in comes last.
    thread::sleep(Duration::from_millis(100));
    let knocking = knock(&server, KNOCKING);
    peer.send(&request("MESSAGE", "a", "b", 2, "", "me too"))
        .expect("written");
    gate.store(true, Ordering::SeqCst);
    assert_eq!(Heard::read(peer.message()).status, Some(200));
    let answered = |stream: &&TcpStream| {
        stream.set_nonblocking(true).expect("a socket");
        match stream.peek(&mut [0]) {
            Ok(count) => count > 0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    };
    let before = knocking.iter().filter(answered).count();
    assert!(before < KNOCKING / 4, "{before} of {KNOCKING} came first");
    // And all of them have their turn.
    let begun = Instant::now();
    while knocking.iter().filter(answered).count() < KNOCKING {
        assert!(begun.elapsed() < Duration::from_secs(20), "not all got in");
        thread::sleep(Duration::from_millis(5));
    }
    server.stop();
}

#[test]
fn who_gives_up_waiting_at_the_door_costs_no_handshake() {
    const KNOCKING: u64 = 100;
    let gate = Arc::new(AtomicBool::new(false));
    let server = held(&gate);
    let counters = || {
        let telemetry = server.running.control().telemetry(Duration::from_secs(5));
        telemetry.expect("the shard answers").counters
    };
    let before = counters();
    let mut holding = server.tcp();
    let hold = request("MESSAGE", "h", "b", 1, "", "hold");
    holding.send(&hold).expect("written");
    thread::sleep(Duration::from_millis(100));
    drop(knock(&server, KNOCKING as usize));
    gate.store(true, Ordering::SeqCst);
    let answer = holding.message();
    let begun = Instant::now();
    let after = loop {
        let now = counters();
        if now.handshakes_failed == before.handshakes_failed + KNOCKING {
            break now;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{now:?}");
        thread::sleep(Duration::from_millis(5));
    };
    // A handshake's first answer is some 750 bytes. The eight of the first turn are not asked for before.
    let said = after.bytes_out - before.bytes_out - answer.len() as u64;
    assert!(
        said < 8 * 1_000,
        "{said} bytes were said to those who had gone"
    );
    server.stop();
}
