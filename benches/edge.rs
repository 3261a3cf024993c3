//! What a watcher edge costs in memory on one shard: a subscription of its own for each, and one for a whole list.
//!
//! `cargo bench --bench edge` prints resident bytes an edge: the growth of the process over a few ten thousand of them, all in
//! (dialog, table entries, what the list keeps of each), after every NOTIFY was answered.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(dead_code, reason = "nothing is timed here")]
mod one_shard;

use muster::sip::link::ConnectionId;
use one_shard::{OneShard, resident_bytes};

/// Users who are watched.
const WATCHED: u32 = 100;
/// Users who watch each of them.
const WATCHERS: u32 = 500;

const OF_LIST: &str = "Require: recipient-list-subscribe\r\nSupported: eventlist\r\nContent-Disposition: recipient-list\r\n\
    Content-Type: application/resource-lists+xml\r\n";
/// Users who do nothing.
const IDLE: u32 = 50_000;

fn main() {
    let mut idle = OneShard::new();
    let begun = resident_bytes();
    for number in 0..IDLE {
        idle.put(number);
    }
    let known = resident_bytes();
    for number in 0..IDLE {
        idle.register(number);
    }
    let registered = resident_bytes();
    let each = |bytes: u64| bytes as f64 / f64::from(IDLE);
    println!(
        "{:<48} {:>12.0} bytes",
        "a user in the store",
        each(known - begun)
    );
    println!(
        "{:<48} {:>12.0} bytes",
        "and registered, idle",
        each(registered - known)
    );
    // Kept to the end: what the first one frees the second one would take, and grow by nothing.
    let mut worlds = Vec::new();
    for list in [false, true] {
        let mut world = OneShard::new();
        for number in 0..WATCHED + WATCHERS {
            world.register(number);
        }
        let entries: String = (0..WATCHED)
            .map(|number| format!("<entry uri=\"sip:u{number}@example.com\"/>"))
            .collect();
        let body = format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
        );
        let before = resident_bytes();
        let mut told = 0;
        for watcher in WATCHED..WATCHED + WATCHERS {
            let connection = ConnectionId::new(watcher, 1);
            if list {
                world.subscribe(connection, "contacts", OF_LIST, &body);
                told += world.answer_notifies();
                continue;
            }
            for watched in 0..WATCHED {
                let to = format!("u{watched}");
                world.subscribe(connection, &to, "", "");
                told += world.answer_notifies();
            }
        }
        let least = if list { WATCHERS } else { WATCHERS * WATCHED };
        assert!(told >= least as usize, "{told} NOTIFYs");
        let edges = f64::from(WATCHED * WATCHERS);
        let name = if list {
            "an edge of a list of 100"
        } else {
            "an edge with a subscription of its own"
        };
        let grown = resident_bytes().saturating_sub(before) as f64;
        println!("{name:<48} {:>12.0} bytes", grown / edges);
        worlds.push(world);
    }
}
