//! What a peer may do wrong on a socket: nothing, too little, too much, too slowly. It costs a bounded time and a bounded amount,
//! and disturbs nobody else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shell::run::Settings;
use muster::sip::build;

use super::peer::{number_and_body, request};
use super::server::{Closure, Server, answer, start};

/// What the core was told.
#[derive(Default)]
struct Told {
    opened: AtomicU32,
    closed: AtomicU32,
    behind: AtomicU32,
    drained: AtomicU32,
}

impl Told {
    fn of(number: &AtomicU32) -> u32 {
        number.load(Ordering::SeqCst)
    }
}

/// Answers with the body as often as its first word says, or once; malformed input with its fault and a close.
fn server(change: impl FnOnce(&mut Settings)) -> (Server, Arc<Told>) {
    let told = Arc::new(Told::default());
    let count = |number: &AtomicU32| number.fetch_add(1, Ordering::SeqCst);
    let shared = told.clone();
    let server = start(change, move |_| {
        let told = shared.clone();
        Closure(
            move |_, input: Input<'_>, effects: &mut Effects| match input {
                Input::Opened { .. } => drop(count(&told.opened)),
                Input::Closed { .. } => drop(count(&told.closed)),
                Input::Behind { .. } => drop(count(&told.behind)),
                Input::Drained { .. } => drop(count(&told.drained)),
                Input::Message {
                    connection,
                    message,
                } => {
                    let body = std::str::from_utf8(message.body()).unwrap_or("");
                    let times = body
                        .split(' ')
                        .next()
                        .and_then(|word| word.parse().ok())
                        .unwrap_or(1);
                    for _ in 0..times {
                        effects.send(connection, |out| answer(message, out));
                    }
                }
                Input::Malformed {
                    connection,
                    malformed,
                } => {
                    if let Some(partial) = &malformed.partial {
                        effects.send(connection, |out| {
                            build::response_reason(
                                out,
                                partial,
                                malformed.fault.status(),
                                malformed.fault.reason(),
                                Some("shell"),
                            )
                            .finish();
                        });
                    }
                    if malformed.framing_lost {
                        effects.list.push(Effect::Close {
                            connection,
                            reason: "framing lost",
                        });
                    }
                }
                _ => {}
            },
        )
    });
    (server, told)
}

fn impatient(settings: &mut Settings) {
    settings.connection.handshake = Duration::from_secs(1);
    settings.connection.message = Duration::from_secs(1);
    settings.connection.unread = Duration::from_secs(1);
}

/// Waits for the server's end; says what came before it and how long it took.
fn until_end(socket: &mut TcpStream) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let mut got = Vec::new();
    match socket.read_to_end(&mut got) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server did not close: {error}"),
    }
    (got, start.elapsed())
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "not yet: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Counted apart from all who are cut, for it is the operator's to know.
fn slow_readers_cut(server: &Server) -> u64 {
    let control = server.running.control();
    let telemetry = control.telemetry(Duration::from_secs(5));
    telemetry
        .expect("both shards answer")
        .counters
        .slow_readers_cut
}

#[test]
fn silence_and_halves_are_cut_and_disturb_nobody() {
    let (server, told) = server(impatient);
    let (tls, tcp) = (server.running.sips[0], server.running.sip[0]);
    let cases: [(&str, std::net::SocketAddr, &[u8]); 7] = [
        ("nothing over TLS", tls, b""),
        ("half a record header", tls, b"\x16\x03"),
        (
            "half a ClientHello",
            tls,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ),
        ("nothing over TCP", tcp, b""),
        ("half a start line", tcp, b"MESSAGE sip:bob@exam"),
        (
            "half a head",
            tcp,
            b"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n",
        ),
        ("half a ping", tcp, b"\r\n"),
    ];
    thread::scope(|scope| {
        for (what, address, bytes) in cases {
            scope.spawn(move || {
                let mut socket = TcpStream::connect(address).expect("connected");
                socket.write_all(bytes).expect("written");
                let (_, took) = until_end(&mut socket);
                assert!(
                    (900..4_000).contains(&took.as_millis()),
                    "{what}: closed after {took:?}"
                );
            });
        }
        // One that gives a byte now and then gains no time by it.
        scope.spawn(|| {
            let mut socket = TcpStream::connect(tcp).expect("connected");
            let start = Instant::now();
            for byte in request(1, "").iter().cycle() {
                if socket.write_all(&[*byte]).is_err() {
                    break;
                }
                assert!(
                    start.elapsed() < Duration::from_secs(5),
                    "a drop at a time kept it open"
                );
                thread::sleep(Duration::from_millis(100));
            }
        });
        // Meanwhile somebody is served, and is not cut for being idle.
        let mut good = server.tls();
        for number in 1..=25 {
            good.send(&request(number, "hello")).expect("written");
            assert_eq!(
                number_and_body(&good.message()),
                (number, "hello".to_owned())
            );
            thread::sleep(Duration::from_millis(if number % 10 == 0 {
                1_500
            } else {
                10
            }));
        }
    });
    eventually("every connection that the core knew is closed", || {
        Told::of(&told.opened) == Told::of(&told.closed)
    });
    assert_eq!(
        Told::of(&told.opened),
        6,
        "the core knows nothing of those without a handshake"
    );
    server.stop();
}

#[test]
fn no_tls_gets_an_alert() {
    let (server, told) = server(|_| ());
    let mut socket = TcpStream::connect(server.running.sips[0]).expect("connected");
    socket
        .write_all(&request(1, "in the clear"))
        .expect("written");
    let (got, _) = until_end(&mut socket);
    assert_eq!(got.first(), Some(&21), "no alert in {got:?}");
    assert_eq!(Told::of(&told.opened), 0);
    server.stop();
}

#[test]
fn a_refusal_arrives_although_more_was_sent() {
    let (server, _) = server(|_| ());
    for mut peer in [server.tcp(), server.tls()] {
        let mut bytes = request(7, "");
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(b"X-Padding: ");
        bytes.resize(200_000, b'x');
        // The server may close while we still send: that is what the test is about.
        let _ = peer.send(&bytes);
        let answer = peer.until_end().expect("a clean end behind the answer");
        assert!(
            answer.starts_with(b"SIP/2.0 513 "),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    server.stop();
}

#[test]
fn a_body_too_large_is_answered_and_skipped() {
    let (server, _) = server(|_| ());
    for mut peer in [server.tcp(), server.tls()] {
        peer.send(&request(1, &"x".repeat(100_000)))
            .expect("written");
        peer.send(&request(2, "small")).expect("written");
        assert!(peer.message().starts_with(b"SIP/2.0 413 "));
        assert_eq!(number_and_body(&peer.message()), (2, "small".to_owned()));
    }
    server.stop();
}

#[test]
fn a_ping_is_answered_by_the_shell() {
    let (server, _) = server(|_| ());
    for mut peer in [server.tcp(), server.tls()] {
        for ping in [&b"\r\n\r\n"[..], b"\r\n", b"\r\n"] {
            peer.send(ping).expect("written");
        }
        peer.send(&request(1, "after")).expect("written");
        peer.socket()
            .shutdown(Shutdown::Write)
            .expect("half closed");
        let got = peer.until_end().unwrap_or_default();
        let text = String::from_utf8_lossy(&got);
        assert!(
            text.starts_with("\r\n\r\nSIP/2.0 200 "),
            "two pings, two pongs, then the answer: {text:?}"
        );
    }
    server.stop();
}

#[test]
fn a_slow_reader_gets_all_in_order() {
    let (server, told) = server(|_| ());
    for mut peer in [server.tcp(), server.tls()] {
        let before = Told::of(&told.drained);
        let body = format!("1 {}", "x".repeat(60_000));
        // The server reads no more when its answers wait, so somebody must write beside us.
        let mut writer = peer.socket().try_clone().expect("cloned");
        if peer.is_plain() {
            let sent = body.clone();
            let writing = thread::spawn(move || {
                for number in 1..=150 {
                    writer.write_all(&request(number, &sent)).expect("written");
                }
            });
            eventually("the core hears that the peer is behind", || {
                Told::of(&told.behind) > before
            });
            for number in 1..=150 {
                assert_eq!(number_and_body(&peer.message()), (number, body.clone()));
            }
            writing.join().expect("written");
        } else {
            // A burst of answers to one request.
            peer.send(&request(1, &format!("14 {}", "x".repeat(60_000))))
                .expect("written");
            for _ in 0..14 {
                assert_eq!(number_and_body(&peer.message()).0, 1);
            }
        }
    }
    eventually("who was behind has drained", || {
        Told::of(&told.drained) == Told::of(&told.behind)
    });
    server.stop();
}

#[test]
fn a_peer_that_reads_nothing_is_closed() {
    let (server, told) = server(impatient);
    // The writer is stopped by the server long before it is done, since its answers are not read.
    let stuck = server.tcp();
    let mut writer = stuck.socket().try_clone().expect("cloned");
    let start = Instant::now();
    let writing = thread::spawn(move || {
        let bytes = request(1, &"x".repeat(60_000));
        (0..10_000)
            .take_while(|_| writer.write_all(&bytes).is_ok())
            .count()
    });
    let mut good = server.tls();
    for number in 1..=20 {
        good.send(&request(number, "hello")).expect("written");
        assert_eq!(number_and_body(&good.message()).0, number);
        thread::sleep(Duration::from_millis(20));
    }
    let written = writing.join().expect("the writer ends");
    assert!(
        written < 1_000,
        "{written} large messages were taken from a peer that reads nothing"
    );
    assert!(start.elapsed() < Duration::from_secs(10));
    eventually("it is closed", || Told::of(&told.closed) == 1);
    assert!(Told::of(&told.behind) >= 1);
    assert_eq!(slow_readers_cut(&server), 1);
    server.stop();
}

#[test]
fn output_beyond_the_last_mark_closes_at_once() {
    let (server, told) = server(|_| ());
    let mut peer = server.tcp();
    // 60 MB, which no socket buffers hold.
    peer.send(&request(1, &format!("1000 {}", "x".repeat(60_000))))
        .expect("written");
    eventually("it is closed", || Told::of(&told.closed) == 1);
    assert_eq!(slow_readers_cut(&server), 1);
    server.stop();
}

#[test]
fn a_flood_of_one_does_not_hold_up_another() {
    let (server, _) = server(|_| ());
    let mut flood = server.tcp();
    let mut writer = flood.socket().try_clone().expect("cloned");
    let flooding = thread::spawn(move || {
        let many: Vec<u8> = (1..=100)
            .flat_map(|number| request(number, "flood"))
            .collect();
        for _ in 0..200 {
            writer.write_all(&many).expect("written");
        }
    });
    let reading = thread::spawn(move || {
        for _ in 0..20_000 {
            flood.message();
        }
    });
    let mut took = Vec::new();
    // Several, so that some are on the flooded shard.
    let mut peers: Vec<_> = (0..6).map(|_| server.tls()).collect();
    let mut number = 0;
    while !reading.is_finished() {
        number += 1;
        for peer in &mut peers {
            let start = Instant::now();
            peer.send(&request(number, "one")).expect("written");
            assert_eq!(number_and_body(&peer.message()).0, number);
            took.push(start.elapsed());
        }
    }
    flooding.join().expect("flooded");
    reading.join().expect("answered");
    // Of thousands one or two wait for something else of this machine.
    took.sort_unstable();
    let slow = took[took.len() * 99 / 100];
    assert!(
        slow < Duration::from_millis(500),
        "{slow:?} for an answer beside a flood, the 99th percentile of {}",
        took.len()
    );
    server.stop();
}
