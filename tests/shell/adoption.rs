//! Connections move from shard to shard, and no byte is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shard::{Core, ShardId};
use muster::sip::link::{ConnectionId, Transport};
use muster::sip::time::Now;

use super::peer::{Peer, number_and_body, request};
use super::server::{Server, answer, start};
use super::spinners::{Spinners, two_cores};

/// Messages between two moves; no divisor of what the shell handles at once.
const BETWEEN_MOVES: u32 = 7;
const MESSAGES: u32 = 400;
pub const MOVES: u8 = (MESSAGES / BETWEEN_MOVES) as u8;

/// Answers each message, but gives the connection to the next shard at every seventh: that one is answered there.
pub struct Wanderer {
    shard: ShardId,
    shards: u16,
    /// Connections here, and whether the first message has come.
    here: HashMap<ConnectionId, (u8, bool)>,
    moves: Arc<AtomicU32>,
}

impl Wanderer {
    /// One of `shards`.
    pub fn new(shard: ShardId, shards: u16) -> Wanderer {
        Wanderer {
            shard,
            shards,
            here: HashMap::new(),
            moves: Arc::default(),
        }
    }
}

impl Core for Wanderer {
    fn handle(&mut self, _: Now, input: Input<'_>, effects: &mut Effects) {
        match input {
            Input::Opened { connection, link } => {
                self.here.insert(connection, (link.moves, false));
            }
            Input::Message {
                connection,
                message,
            } => {
                let (moves, spoke) = self
                    .here
                    .get_mut(&connection)
                    .expect("a message on a connection that is here");
                let first_here = !std::mem::replace(spoke, true);
                let number = message.cseq().number;
                if number.is_multiple_of(BETWEEN_MOVES) && !(first_here && *moves > 0) {
                    self.here.remove(&connection);
                    self.moves.fetch_add(1, Ordering::Relaxed);
                    effects.list.push(Effect::Adopt {
                        connection,
                        to: ShardId((self.shard.0 + 1) % self.shards),
                        failures: 0,
                    });
                    return;
                }
                effects.send(connection, |out| answer(message, out));
            }
            Input::Malformed { malformed, .. } => {
                panic!("bytes were lost or doubled: {:?}", malformed.fault)
            }
            Input::Closed { connection } => {
                self.here.remove(&connection).expect("closed where it is");
            }
            _ => {}
        }
    }
}

fn server(moves: Arc<AtomicU32>) -> Server {
    start(
        |_| (),
        move |shard| Wanderer {
            moves: moves.clone(),
            ..Wanderer::new(shard, 2)
        },
    )
}

/// A stream of pseudo-random numbers, so that a failure can be repeated.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    }
}

/// Pipelines all messages in pieces that have nothing to do with their borders, reads in between, and checks every answer.
pub fn wander(mut peer: Peer, seed: u64) {
    let mut random = numbers(seed);
    let bodies: Vec<String> = (1..=MESSAGES)
        .map(|number| format!("{number}:{}", "x".repeat(random(900))))
        .collect();
    let all: Vec<u8> = (1..)
        .zip(&bodies)
        .flat_map(|(number, body)| request(number, body))
        .collect();
    let (mut at, mut expected) = (0, 1);
    while at < all.len() {
        let piece = (1 + random(1_700)).min(all.len() - at);
        peer.send(&all[at..at + piece]).expect("the server reads");
        at += piece;
        // Reading a little less than comes back keeps the pipeline filled, without filling all buffers.
        if random(3) == 0 && at > 20_000 {
            expect_next(&mut peer, &mut expected, &bodies, seed);
        }
    }
    while expected <= MESSAGES {
        expect_next(&mut peer, &mut expected, &bodies, seed);
    }
}

fn expect_next(peer: &mut Peer, expected: &mut u32, bodies: &[String], seed: u64) {
    if *expected <= MESSAGES {
        let (number, body) = number_and_body(&peer.message());
        assert_eq!(
            (number, &body),
            (*expected, &bodies[*expected as usize - 1]),
            "connection {seed}"
        );
        *expected += 1;
    }
}

fn run(transport: Transport, peers: u64) {
    let moves = Arc::new(AtomicU32::new(0));
    let server = server(moves.clone());
    {
        let _spinners = Spinners::start(two_cores());
        thread::scope(|scope| {
            for seed in 0..peers {
                let server = &server;
                scope.spawn(move || {
                    let peer = match transport {
                        Transport::Tls => server.tls(),
                        Transport::Tcp => server.tcp(),
                    };
                    wander(peer, seed);
                });
            }
        });
    }
    assert_eq!(
        u64::from(moves.load(Ordering::Relaxed)),
        peers * u64::from(MOVES),
        "moves"
    );
    server.stop();
}

#[test]
fn adoption_loses_no_byte() {
    run(Transport::Tls, 24);
}

#[test]
fn adoption_loses_no_byte_without_tls() {
    run(Transport::Tcp, 24);
}
