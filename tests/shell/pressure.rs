//! Full queues push back and drop nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use muster::immcu::SessionId;
use muster::shard::ShardId;
use muster::shard::cdr_event::CdrEvent;
use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shard::letter::Letter;
use muster::shell::run::{self, Settings};
use muster::sip::time::Now;

use super::peer::{Peer, number_and_body, request};
use super::server::{Closure, answer, certificate, start};
use super::spinners::two_cores;

/// A letter that carries two numbers.
fn letter(from: ShardId, number: u32) -> Letter {
    Letter::UnwatchRoster {
        session: SessionId {
            group: 0,
            random: u64::from(number),
        },
        shard: from,
    }
}

fn number_of(letter: &Letter) -> (ShardId, u32) {
    let Letter::UnwatchRoster { session, shard } = letter else {
        panic!("only these are posted")
    };
    (*shard, u32::try_from(session.random).expect("a number"))
}

#[test]
fn two_shards_that_flood_each_other_lose_no_letter_and_go_on() {
    const LETTERS: u32 = 3_000;
    const MESSAGES: u32 = 10;
    let arrived = Arc::new(AtomicU32::new(0));
    let counted = arrived.clone();
    let server = start(
        |_| (),
        move |shard| {
            let arrived = counted.clone();
            let (mut posted, mut expected) = (0, HashMap::new());
            Closure(
                move |_, input: Input<'_>, effects: &mut Effects| match input {
                    Input::Message {
                        connection,
                        message,
                    } => {
                        effects.send(connection, |out| answer(message, out));
                        for _ in 0..LETTERS {
                            effects.list.push(Effect::Post {
                                to: ShardId(1 - shard.0),
                                letter: letter(shard, posted),
                            });
                            posted += 1;
                        }
                    }
                    Input::Letter(letter) => {
                        let (from, number) = number_of(&letter);
                        let next = expected.entry(from).or_insert(0);
                        assert_eq!(number, *next, "out of order from {from:?}");
                        *next += 1;
                        // Slower than the other posts.
                        let until = Instant::now() + Duration::from_micros(10);
                        while Instant::now() < until {}
                        arrived.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => {}
                },
            )
        },
    );
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut peer = server.tcp();
                for number in 1..=MESSAGES {
                    peer.send(&request(number, "")).expect("written");
                }
                for number in 1..=MESSAGES {
                    assert_eq!(number_and_body(&peer.message()).0, number);
                }
            });
        }
    });
    let end = Instant::now() + Duration::from_secs(20);
    while arrived.load(Ordering::SeqCst) < 8 * MESSAGES * LETTERS {
        assert!(
            Instant::now() < end,
            "{} of {} letters",
            arrived.load(Ordering::SeqCst),
            8 * MESSAGES * LETTERS
        );
        thread::sleep(Duration::from_millis(10));
    }
    let telemetry = server
        .running
        .control()
        .telemetry(Duration::from_secs(5))
        .expect("both shards answer");
    assert_eq!(
        telemetry.counters.letters_out,
        u64::from(8 * MESSAGES * LETTERS)
    );
    assert!(
        telemetry.counters.turns_pressed > 0,
        "the mailboxes never filled: the test did not test"
    );
    server.stop();
}

/// Only what it is given matters.
fn a_record() -> Effect {
    Effect::Record(CdrEvent::OneMore {
        session: SessionId {
            group: 0,
            random: 0,
        },
        participant: 0,
    })
}

#[test]
fn while_a_shard_cannot_read_nobodys_time_runs_out() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Seen {
        Tick,
        Message,
    }
    let (recorder, events) = bounded(2);
    let (keeper, _errands) = bounded(2);
    let mut settings = Settings::new(vec![two_cores()[0]], certificate().1);
    settings.sip = vec![([127, 0, 0, 1], 0).into()];
    settings.connection.message = Duration::from_secs(1);
    let (tell, seen) = unbounded();
    let running = run::start(settings, recorder, keeper, move |_| {
        let tell = tell.clone();
        Closure(
            move |_, input: Input<'_>, effects: &mut Effects| match input {
                Input::Message {
                    connection,
                    message,
                } => {
                    tell.send(Seen::Message).expect("the test listens");
                    effects.send(connection, |out| answer(message, out));
                    effects.list.extend((0..4).map(|_| a_record()));
                }
                Input::Tick => tell.send(Seen::Tick).expect("the test listens"),
                _ => {}
            },
        )
    })
    .expect("a shard starts");
    running.control().open();
    let mut peers = [Peer::tcp(running.sip[0]), Peer::tcp(running.sip[0])];
    // The first half: the rest must come within a second.
    let mut slow = Peer::tcp(running.sip[0]);
    let (begun, rest) = (&request(9, "")[..20], &request(9, "")[20..]);
    slow.send(begun).expect("written");
    peers[0].send(&request(1, "")).expect("written");
    let next = || {
        seen.recv_timeout(Duration::from_secs(60))
            .expect("the shard lives")
    };
    while next() != Seen::Message {}
    // The records have no room now: what comes is not read, and after a second nobody's time runs.
    peers[0].send(&request(2, "")).expect("written");
    peers[1].send(&request(3, "")).expect("written");
    let end = Instant::now() + Duration::from_secs(60);
    while seen.recv_timeout(Duration::from_millis(1500)).is_ok() {
        assert!(Instant::now() < end, "time runs on, though nothing is read");
    }
    // One of the two is read, and its records leave no room for the other.
    for _ in 0..4 {
        events.recv().expect("four records of the first message");
    }
    assert_eq!(next(), Seen::Message, "what came meanwhile is read first");
    let more = seen.recv_timeout(Duration::from_millis(1500));
    assert!(more.is_err(), "{more:?}, and a message is still unread");
    let reader = thread::spawn(move || while events.recv().is_ok() {});
    assert_eq!(next(), Seen::Message, "what came meanwhile is read first");
    // Ten ticks later all have been looked at, and who had more time when it stood still has not been cut.
    for _ in 0..11 {
        while next() != Seen::Tick {}
    }
    slow.send(rest).expect("written");
    assert_eq!(number_and_body(&slow.message()).0, 9);
    assert!(running.stop(Duration::from_secs(5)).is_some());
    reader.join().expect("it ends with the shard");
}

#[test]
fn a_slow_writer_of_records_pushes_back_and_gets_all() {
    const MESSAGES: u32 = 300;
    let (recorder, events) = bounded(2);
    let (keeper, _errands) = bounded(2);
    let mut settings = Settings::new(two_cores().into(), certificate().1);
    settings.sip = vec![([127, 0, 0, 1], 0).into()];
    let running = run::start(settings, recorder, keeper, |_| {
        Closure(|_, input: Input<'_>, effects: &mut Effects| {
            if let Input::Message {
                connection,
                message,
            } = input
            {
                effects.send(connection, |out| answer(message, out));
                for _ in 0..3 {
                    let session = SessionId {
                        group: 0,
                        random: 0,
                    };
                    let at = Now(u64::from(message.cseq().number));
                    effects.list.push(Effect::Record(CdrEvent::Ended {
                        session,
                        reason: "test",
                        at,
                    }));
                }
            }
        })
    })
    .expect("two shards start");
    running.control().open();
    let mut peer = Peer::tcp(running.sip[0]);
    for number in 1..=MESSAGES {
        peer.send(&request(number, "")).expect("written");
    }
    // As long as nobody writes, a shard takes no work, and says so.
    let takes_work = || running.control().ready(Duration::from_millis(100)).is_ok();
    let end = Instant::now() + Duration::from_secs(5);
    while takes_work() {
        assert!(Instant::now() < end, "ready, though nothing is written");
    }
    let writer = thread::spawn(move || {
        let mut got = Vec::new();
        while let Ok(CdrEvent::Ended { at, .. }) = events.recv() {
            got.push(at.0);
            thread::sleep(Duration::from_micros(300));
        }
        got
    });
    for number in 1..=MESSAGES {
        assert_eq!(number_and_body(&peer.message()).0, number);
    }
    let end = Instant::now() + Duration::from_secs(60);
    while !takes_work() {
        assert!(Instant::now() < end, "not ready, though all is written");
    }
    assert!(running.stop(Duration::from_secs(5)).is_some());
    let got = writer.join().expect("the writer ends with the shards");
    let expected: Vec<u64> = (1..=u64::from(MESSAGES))
        .flat_map(|number| [number; 3])
        .collect();
    assert_eq!(got, expected);
}
