//! What does a letter cost from one shard to another, and how long is it under way?
//!
//! `cargo bench --bench mailbox` prints, in this order: nanoseconds to put a letter into a mailbox and take it out on one
//! thread; letters a second from one thread to another; and the time of a hop between two whole shards, one letter at a time
//! (each finds the other asleep) and 64 at a time.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use muster::presence::Package;
use muster::shard::effect::{Effect, Effects};
use muster::shard::input::Input;
use muster::shard::letter::Letter;
use muster::shard::{Core, ShardId};
use muster::shell::mailbox::{Mailbox, Outbox};
use muster::shell::run::{self, Settings, UserChange};
use muster::shell::telemetry::Timed;
use muster::shell::tls;
use muster::sip::time::Now;
use muster::sip::uri::Aor;

/// As big as an ordinary letter.
type Filling = [u64; 9];

fn on_one_thread() {
    const LETTERS: u64 = 2_000_000;
    let mailbox: Mailbox<Filling> = Mailbox::new(8_192);
    let mut outbox = Outbox::default();
    let best = (0..5).map(|_| {
        let start = Instant::now();
        for number in 0..LETTERS {
            outbox.post(&mailbox, [number; 9]);
            outbox.flush(&mailbox);
            black_box(mailbox.pop());
        }
        start.elapsed()
    });
    let best = best.min().unwrap_or_default();
    println!(
        "post, flush, take: {:.1} ns",
        best.as_nanos() as f64 / LETTERS as f64
    );
}

fn between_threads() {
    const LETTERS: u64 = 3_000_000;
    let mailbox: Arc<Mailbox<Filling>> = Arc::new(Mailbox::new(8_192));
    let reader = {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            let mut taken = 0;
            while taken < LETTERS {
                match mailbox.pop() {
                    Some(letter) => {
                        black_box(letter);
                        taken += 1;
                    }
                    None => thread::yield_now(),
                }
            }
        })
    };
    let mut outbox = Outbox::default();
    let start = Instant::now();
    for number in 0..LETTERS {
        outbox.post(&mailbox, [number; 9]);
        if number.is_multiple_of(64) {
            outbox.flush(&mailbox);
        }
    }
    while !outbox.is_empty() {
        outbox.flush(&mailbox);
        thread::yield_now();
    }
    reader.join().expect("the reader only counts");
    println!(
        "thread to thread: {:.1} million a second",
        LETTERS as f64 / start.elapsed().as_secs_f64() / 1e6
    );
}

/// Sends each letter back.
struct Volley {
    shard: ShardId,
    hops: Arc<AtomicU64>,
}

impl Core for Volley {
    fn handle(&mut self, _: Now, input: Input<'_>, effects: &mut Effects) {
        let letter = match input {
            Input::UserRemoved(user) => Letter::Gone {
                package: Package::Presence,
                user,
            },
            Input::Letter(letter) => letter,
            _ => return,
        };
        self.hops.fetch_add(1, Ordering::Relaxed);
        effects.list.push(Effect::Post {
            to: ShardId(1 - self.shard.0),
            letter,
        });
    }
}

fn between_shards(letters: u32) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let [first, second, ..] = cores[..] else {
        println!("shard to shard: needs two cores");
        return;
    };
    let (cert, key) = tls::generate(&[]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a folder");
    let path = |end: &str| directory.path().join(end);
    std::fs::write(path("pem"), cert).expect("the temporary directory takes a file");
    std::fs::write(path("key"), key).expect("the temporary directory takes a file");
    let settings = Settings::new(
        vec![first.id, second.id],
        tls::load(&path("pem"), &path("key")).expect("usable"),
    );
    let (recorder, _events) = unbounded();
    let (keeper, _errands) = unbounded();
    let hops = Arc::new(AtomicU64::new(0));
    let counted = hops.clone();
    let running = run::start(settings, recorder, keeper, move |shard| Volley {
        shard,
        hops: counted.clone(),
    })
    .expect("two shards");
    let control = running.control();
    for _ in 0..letters {
        control.user(
            ShardId(0),
            UserChange::Removed(Aor::parse("volley@example.com").expect("an address")),
        );
    }
    thread::sleep(Duration::from_secs(3));
    let telemetry = control
        .telemetry(Duration::from_secs(5))
        .expect("both shards answer");
    let hop = telemetry.latency(Timed::CrossShardHop);
    println!(
        "shard to shard, {letters} under way: p50 {} us, p99 {} us, max {} us, {:.0} hops a second",
        hop.value_at_quantile(0.5),
        hop.value_at_quantile(0.99),
        hop.max(),
        hops.load(Ordering::Relaxed) as f64 / 3.0
    );
    running.stop(Duration::ZERO);
}

fn main() {
    on_one_thread();
    between_threads();
    between_shards(1);
    between_shards(64);
}
