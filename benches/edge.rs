//! What a watcher edge costs in memory on one shard: a subscription of its own for each, and one for a whole list.
//!
//! `cargo bench --bench edge` prints resident bytes an edge: the growth of the process over a few ten thousand of them, all in
//! (dialog, table entries, what the list keeps of each), after every NOTIFY was answered.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(dead_code, reason = "nothing is timed here")]
mod one_shard;

use muster::sip::link::ConnectionId;
use one_shard::OneShard;

/// Users who are watched.
const WATCHED: u32 = 100;
/// Users who watch each of them.
const WATCHERS: u32 = 500;

fn main() {
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
        let of_list = format!(
            "Require: recipient-list-subscribe\r\nSupported: eventlist\r\nContent-Disposition: recipient-list\r\n\
             Content-Type: application/resource-lists+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let before = resident_bytes();
        let mut told = 0;
        for watcher in WATCHED..WATCHED + WATCHERS {
            if list {
                subscribe(&mut world, watcher, "contacts", &of_list);
                told += world.answer_notifies();
                continue;
            }
            for watched in 0..WATCHED {
                let to = format!("u{watched}");
                subscribe(&mut world, watcher, &to, "Content-Length: 0\r\n\r\n");
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

fn subscribe(world: &mut OneShard, watcher: u32, to: &str, tail: &str) {
    let connection = ConnectionId::new(watcher, 1);
    let mut bytes = format!(
        "SUBSCRIBE sip:{to}@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bK{watcher}{to}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:u{watcher}@example.com>;tag=f\r\nTo: <sip:{to}@example.com>\r\nCall-ID: {to}-{watcher}\r\n\
         CSeq: 1 SUBSCRIBE\r\nContact: <sip:u{watcher}@127.1.0.1:40000;transport=tls>\r\nEvent: presence\r\n\
         Expires: 3600\r\n{tail}"
    )
    .into_bytes();
    world.take(connection, &mut bytes);
}

/// What the process has in memory (proc_pid_statm(5), in pages of 4 KiB).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4096
}
