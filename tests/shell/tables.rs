//! Shards with tables of descriptors of their own: more connections than one table holds, and moves between tables.
//!
//! The limit counts for a whole process, so the servers here run in processes of their own: this test program again, told which server it is.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use muster::shard::ShardId;
use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::sip::build;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::adoption::{MOVES, Wanderer, wander};
use super::peer::{Peer, number_and_body, request};
use super::server::{Closure, answer, start};
use super::spinners::{Spinners, two_cores};

/// Descriptors in one of the server's tables.
const LIMIT: u64 = 160;
/// Says to this program that it is a server, and which.
const SERVER: &str = "MUSTER_TEST_TABLES_SERVER";

/// A server in a process of its own, killed at the end.
struct Process {
    child: Child,
    tls_cert: String,
    sips: SocketAddr,
    sip: SocketAddr,
}

impl Process {
    fn start(kind: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "shell::tables::as_a_server", "--nocapture"])
            .env(SERVER, kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut next = |word: &str| {
            lines
                .by_ref()
                .map(|line| line.expect("the server speaks"))
                .find_map(|line| Some(line.split_once(word)?.1.to_owned()))
                .expect("the server says where it listens")
        };
        let sips = next("sips=").parse().expect("an address");
        let sip = next("sip=").parse().expect("an address");
        let tls_cert = next("cert=").replace("\\n", "\n");
        // Read on, so that it never waits for us.
        thread::spawn(move || lines.for_each(drop));
        Process {
            child,
            tls_cert,
            sips,
            sip,
        }
    }

    /// How it ended, after its input did.
    fn end(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().expect("it is our child").success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server in a process of its own; nothing where this program is the tests.
#[test]
fn as_a_server() {
    let Ok(kind) = std::env::var(SERVER) else {
        return;
    };
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(LIMIT),
            ..limit
        },
    )
    .expect("a limit can be lowered");
    let [one, other] = two_cores();
    let change = |settings: &mut muster::shell::run::Settings| {
        settings.cores = vec![one, other, one, other];
        settings.own_tables = true;
    };
    let server = match &*kind {
        "wander" => start(change, |shard| Wanderer::new(shard, 4)),
        _ => return serve_until_told(start(change, |shard| Closure(stays_or_goes(shard)))),
    };
    serve_until_told(server);
}

fn serve_until_told(server: super::server::Server) {
    println!("sips={}", server.running.sips[0]);
    println!("sip={}", server.running.sip[0]);
    println!("cert={}", server.cert.replace('\n', "\\n"));
    let _ = std::io::stdin().read_line(&mut String::new());
    server.stop();
}

/// Answers; but a body `to N` belongs to shard N.
fn stays_or_goes(shard: ShardId) -> impl FnMut(muster::sip::time::Now, Input<'_>, &mut Effects) {
    move |_, input, effects| match input {
        Input::Message {
            connection,
            message,
        } => {
            let body = String::from_utf8_lossy(message.body());
            let to = body.strip_prefix("to ").and_then(|to| to.parse().ok());
            match to {
                Some(to) if to != shard.0 => effects.list.push(Effect::Adopt {
                    connection,
                    to: ShardId(to),
                    failures: 0,
                }),
                _ => effects.send(connection, |out| answer(message, out)),
            }
        }
        Input::NoRoom {
            connection,
            message,
        } => effects.send(connection, |out| {
            build::response(out, message, 503, Some("shell")).body("text/plain", b"")
        }),
        _ => {}
    }
}

fn status(message: &[u8]) -> Option<u16> {
    let mut bytes = message.to_vec();
    muster::sip::message::Message::parse(&mut bytes)
        .expect("a whole message")
        .status()
}

#[test]
fn more_connections_than_a_table_holds_live_at_once_and_the_last_ones_wait_for_a_descriptor() {
    let server = Process::start("echo");
    // Whatever the hash does: who comes to a full table is sent on to another.
    let mut peers: Vec<Peer> = (0..2 * LIMIT).map(|_| Peer::tcp(server.sip)).collect();
    for (number, peer) in (1..).zip(&mut peers) {
        peer.send(&request(number, "hello")).expect("written");
    }
    for (number, peer) in (1..).zip(&mut peers) {
        assert_eq!(number_and_body(&peer.message()), (number, "hello".into()));
    }
    // Fill all four tables: the kernel takes the connection, the server does not.
    let waits = |peer: &mut Peer| {
        peer.send(&request(1, "")).expect("written");
        let patience = peer.socket().read_timeout().expect("it has one");
        let glance = Some(Duration::from_secs(1));
        peer.socket().set_read_timeout(glance).expect("set");
        let silent = peer.read().is_err();
        peer.socket().set_read_timeout(patience).expect("set");
        silent
    };
    let mut late = loop {
        let mut peer = Peer::tcp(server.sip);
        if waits(&mut peer) {
            break peer;
        }
        assert!(peers.len() < 4 * LIMIT as usize, "a limit that is none");
        peers.push(peer);
    };
    assert!(
        peers.len() > 2 * LIMIT as usize + 16,
        "{} fill 4 tables",
        peers.len()
    );
    // One goes, and who waited is served.
    peers.pop();
    assert_eq!(number_and_body(&late.message()).0, 1);
    drop(late);
    // Where the owner has no room the answer says so, and the connection lives.
    let mut refused = 0;
    for peer in &mut peers {
        peer.send(&request(7, "to 3")).expect("written");
        let answer = peer.message();
        if status(&answer) == Some(503) {
            refused += 1;
            peer.send(&request(8, "still here")).expect("written");
            assert_eq!(number_and_body(&peer.message()).0, 8);
        }
    }
    assert!(
        refused > LIMIT as usize,
        "all but one table's belonged elsewhere: {refused}"
    );
    drop(peers);
    assert!(server.end());
}

#[test]
fn adoption_between_tables_loses_no_byte() {
    let server = Process::start("wander");
    let moved = AtomicUsize::new(0);
    {
        let _spinners = Spinners::start(two_cores());
        thread::scope(|scope| {
            for seed in 0..24 {
                let (server, moved) = (&server, &moved);
                scope.spawn(move || {
                    let peer = match seed % 2 {
                        0 => Peer::tls(server.sips, &server.tls_cert),
                        _ => Peer::tcp(server.sip),
                    };
                    wander(peer, seed);
                    moved.fetch_add(usize::from(MOVES), Ordering::Relaxed);
                });
            }
        });
    }
    assert_eq!(moved.load(Ordering::Relaxed), 24 * usize::from(MOVES));
    let asked = Instant::now();
    assert!(server.end());
    assert!(asked.elapsed() < Duration::from_secs(20));
}
