//! Starting, certificates, telemetry, stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use muster::shard::effect::{Effect, Effects, Latency};
use muster::shard::input::Input;
use muster::shard::{Core, ShardId};
use muster::shell::run::{self, Settings, StartError, UserChange};
use muster::shell::telemetry::Timed;
use muster::sip::time::Now;
use muster::sip::uri::Aor;

use super::peer::{Peer, number_and_body, request, trusting};
use super::server::{Closure, Server, answer, certificate, start};
use super::spinners::{Spinners, two_cores};

const WITHIN: Duration = Duration::from_secs(5);

fn echo(now: Now, input: Input<'_>, effects: &mut Effects) {
    if let Input::Message {
        connection,
        message,
    } = input
    {
        effects.send(connection, |out| answer(message, out));
        effects.list.push(Effect::Observe {
            latency: Latency::MessageTwoParty,
            since: now,
        });
        effects.list.push(Effect::Count {
            method: message.method().index(),
            status: 200,
            ours: true,
        });
    }
}

fn echo_server(change: impl FnOnce(&mut Settings)) -> Server {
    start(change, |_| Closure(echo))
}

fn talk(peer: &mut Peer, number: u32) {
    peer.send(&request(number, "hello")).expect("written");
    assert_eq!(
        number_and_body(&peer.message()),
        (number, "hello".to_owned())
    );
}

/// The same as in `pulse`, through the whole executor.
#[test]
fn no_shard_hangs_under_competing_load() {
    let server = echo_server(|settings| {
        settings.preempt_timer = Duration::from_millis(1);
        settings.linger = Duration::ZERO;
    });
    let answers = AtomicU32::new(0);
    {
        let _spinners = Spinners::start(two_cores());
        let begun = Instant::now();
        // On a machine that is busy with other things they take longer.
        let goes_on = || {
            begun.elapsed() < Duration::from_secs(4)
                || (answers.load(Ordering::Relaxed) <= 1_000
                    && begun.elapsed() < Duration::from_secs(60))
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while goes_on() {
                        let mut peer = server.tcp();
                        // A peer without an answer for 20 s fails.
                        for number in 1..=3 {
                            talk(&mut peer, number);
                            answers.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
    }
    let answers = answers.into_inner();
    assert!(
        answers > 1_000,
        "only {answers} answers: the test did not load the shards"
    );
    server.stop();
}

#[test]
fn telemetry_adds_up_over_the_shards() {
    let server = echo_server(|_| ());
    let mut peers: Vec<Peer> = (0..10).map(|_| server.tls()).collect();
    for number in 1..=20 {
        peers.iter_mut().for_each(|peer| talk(peer, number));
    }
    let control = server.running.control();
    assert_eq!(control.ready(WITHIN), Ok(()));
    let telemetry = control.telemetry(WITHIN).expect("both shards answer");
    assert_eq!(telemetry.latency(Timed::TlsHandshake).len(), 10);
    assert_eq!(telemetry.latency(Timed::MessageTwoParty).len(), 200);
    assert!(telemetry.latency(Timed::LoopTurn).len() > 10);
    assert_eq!(
        telemetry.answers(muster::sip::message::Method::Message.index(), true, 2),
        200
    );
    let counters = &telemetry.counters;
    let all = 200 * request(1, "hello").len() as u64;
    assert_eq!(
        (
            counters.connections_open,
            counters.connections_accepted,
            counters.messages_in
        ),
        (10, 10, 200)
    );
    assert!(
        counters.bytes_in > all && counters.bytes_out > all / 2,
        "{counters:?}"
    );
    drop(peers);
    let end = Instant::now() + WITHIN;
    while control
        .telemetry(WITHIN)
        .expect("both shards answer")
        .counters
        .connections_open
        > 0
    {
        assert!(Instant::now() < end, "connections stay");
        thread::sleep(Duration::from_millis(10));
    }
    server.stop();
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let server = echo_server(|_| ());
    let mut old = server.tls();
    talk(&mut old, 1);
    let (cert, config) = certificate();
    server.running.control().set_tls(config);
    // Ready answers come behind the change in each mailbox.
    assert_eq!(server.running.control().ready(WITHIN), Ok(()));
    let mut new = Peer::tls(server.running.sips[0], &cert);
    talk(&mut new, 1);
    talk(&mut old, 2);
    server.stop();
}

#[test]
fn a_ticket_of_one_shard_is_good_on_another() {
    let server = echo_server(|_| ());
    let config = trusting(&server.cert);
    let resumed = (0..20)
        .filter(|_| {
            let mut peer = Peer::tls_with(server.running.sips[0], config.clone());
            // The ticket comes behind the handshake, with the first answer.
            talk(&mut peer, 1);
            peer.is_resumed()
        })
        .count();
    // The kernel chooses the shard: that all twenty met the same one has a chance of one in half a million.
    assert_eq!(resumed, 19, "of 20, all but the first");
    server.stop();
}

#[test]
fn who_says_nothing_has_its_ticket_too() {
    let server = echo_server(|_| ());
    let config = trusting(&server.cert);
    let mut silent = Peer::tls_with(server.running.sips[0], config.clone());
    assert!(silent.behind_the_handshake() > 0);
    let mut again = Peer::tls_with(server.running.sips[0], config);
    assert!(again.is_resumed());
    talk(&mut again, 1);
    talk(&mut silent, 1);
    server.stop();
}

#[test]
fn more_connections_than_may_be_wait_for_their_turn() {
    let server = echo_server(|settings| settings.connections_max = 2);
    let mut first = server.tcp();
    let mut second = server.tcp();
    talk(&mut first, 1);
    talk(&mut second, 1);
    let mut third = server.tcp();
    third
        .send(&request(1, "hello"))
        .expect("the backlog takes it");
    thread::sleep(Duration::from_millis(300));
    talk(&mut first, 2);
    drop(second);
    assert_eq!(number_and_body(&third.message()), (1, "hello".to_owned()));
    let pauses = server
        .running
        .control()
        .telemetry(WITHIN)
        .expect("answers")
        .counters
        .accept_pauses;
    assert!(
        (1..50).contains(&pauses),
        "{pauses} pauses in half a second: it spins"
    );
    server.stop();
}

#[test]
fn an_address_in_use_is_named() {
    let server = echo_server(|_| ());
    let mut settings = Settings::new(two_cores().into(), certificate().1);
    settings.sips = server.running.sips.clone();
    let error = run::start(settings, unbounded().0, unbounded().0, |_| Closure(echo))
        .expect_err("the port is taken");
    assert!(matches!(error, StartError::Listen { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&server.running.sips[0].to_string()) && text.contains("choose another port"),
        "{text}"
    );
    server.stop();
}

#[test]
fn users_reach_their_owner_in_order_and_early_peers_are_let_in() {
    let (tell, told) = unbounded();
    let (recorder, _events) = unbounded();
    let (keeper, _errands) = unbounded();
    let mut settings = Settings::new(two_cores().into(), certificate().1);
    settings.sip = vec![([127, 0, 0, 1], 0).into()];
    let running = run::start(settings, recorder, keeper, move |shard| {
        let tell = tell.clone();
        Closure(move |_, input: Input<'_>, _: &mut Effects| match input {
            Input::UserRemoved(aor) => tell.send((shard, Some(aor))).expect("the test listens"),
            Input::Opened { .. } => tell.send((shard, None)).expect("the test listens"),
            _ => {}
        })
    })
    .expect("two shards start");
    let control = running.control();
    let _early = Peer::tcp(running.sip[0]);
    assert!(
        control.ready(Duration::from_millis(300)).is_err(),
        "not open yet"
    );
    // More than a mailbox holds.
    for number in 0..20_000 {
        control.user(
            ShardId(1),
            UserChange::Removed(Aor::parse(&format!("{number}@example.com")).expect("an address")),
        );
    }
    control.open();
    // The other shard may let somebody in meanwhile; what concerns a user comes to the owner behind the user.
    let (mut users, mut opened) = (0, 0);
    while users < 20_000 || opened < 1 {
        match told
            .recv_timeout(WITHIN)
            .expect("every user arrives, and who came early is let in")
        {
            (shard, Some(aor)) => {
                assert_eq!(
                    (shard, aor.user().to_owned()),
                    (ShardId(1), users.to_string())
                );
                users += 1;
            }
            (_, None) => opened += 1,
        }
    }
    assert_eq!((users, opened), (20_000, 1));
    assert!(running.stop(WITHIN).is_some());
}

/// Is busy for a while after `Input::Stop`.
struct Busy {
    stops: Arc<AtomicU32>,
    quiet: Arc<AtomicBool>,
}

impl Core for Busy {
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        match input {
            Input::Stop => drop(self.stops.fetch_add(1, Ordering::SeqCst)),
            other => echo(now, other, effects),
        }
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }
}

#[test]
fn a_stop_waits_for_what_is_in_flight_and_ends_every_connection_cleanly() {
    let (stops, quiet) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (counted, asked) = (stops.clone(), quiet.clone());
    let server = start(
        |_| (),
        move |_| Busy {
            stops: counted.clone(),
            quiet: asked.clone(),
        },
    );
    let (sips, control) = (server.running.sips[0], server.running.control());
    let mut peers: Vec<Peer> = (0..20).map(|_| server.tls()).collect();
    peers.iter_mut().for_each(|peer| talk(peer, 1));
    let stopping = thread::spawn(move || {
        let start = Instant::now();
        server.stop();
        start.elapsed()
    });
    while stops.load(Ordering::SeqCst) < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(
        control.ready(Duration::from_millis(300)).is_err(),
        "takes no work any more"
    );
    assert!(
        std::net::TcpStream::connect(sips).is_err(),
        "nobody listens any more"
    );
    // What is in flight goes on.
    peers.iter_mut().for_each(|peer| talk(peer, 2));
    thread::sleep(Duration::from_millis(300));
    quiet.store(true, Ordering::SeqCst);
    for peer in &mut peers {
        assert!(
            peer.until_end()
                .expect("close_notify, not a cut")
                .is_empty()
        );
    }
    let took = stopping.join().expect("stopped");
    assert!(
        (Duration::from_millis(300)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
    assert_eq!(stops.load(Ordering::SeqCst), 2, "one stop a shard");
}

#[test]
fn a_stop_has_a_deadline() {
    let (stops, quiet) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let server = start(
        |_| (),
        move |_| Busy {
            stops: stops.clone(),
            quiet: quiet.clone(),
        },
    );
    let mut peer = server.tls();
    talk(&mut peer, 1);
    let begun = Instant::now();
    assert!(server.running.stop(Duration::from_millis(500)).is_some());
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(450)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
}
