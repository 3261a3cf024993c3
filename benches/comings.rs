//! Everybody comes and goes: is the memory back where it was? Users are in the store; each registers, watches a list of 40 and
//! three others for themself, publishes nothing, and is cut off; then two hours pass.
//!
//! `cargo bench --bench comings` with a million users; `-- USERS` with fewer. Prints resident bytes before, while and after, and
//! fails where after is over 10 % more than before.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(dead_code, reason = "nothing is timed here")]
mod one_shard;

use std::time::Duration;

use muster::sip::link::ConnectionId;
use one_shard::{OneShard, resident_bytes};

/// Users on a list.
const LISTED: u32 = 40;
/// Subscriptions of one's own beside it.
const OWN: u32 = 3;

fn main() -> std::process::ExitCode {
    // As the server does at its start and once a second.
    muster::shell::limits::small_pages();
    let mut words = std::env::args().skip(1);
    let users = words
        .find_map(|word| word.parse().ok())
        .unwrap_or(1_000_000);
    let mut world = OneShard::new();
    for number in 0..users {
        world.put(number);
    }
    // What one turn needs is there before anything is counted.
    for number in 0..100 {
        come(&mut world, number, users);
    }
    (0..100).for_each(|number| world.close(ConnectionId::new(number, 1)));
    let before = rested(&mut world);
    println!("{users} users in the store{:>44} bytes", before);
    (0..users).for_each(|number| come(&mut world, number, users));
    let here = resident_bytes();
    let each = here.saturating_sub(before) / u64::from(users);
    println!("all here, {each} bytes each{here:>44} bytes");
    (0..users).for_each(|number| world.close(ConnectionId::new(number, 1)));
    let after = rested(&mut world);
    let ratio = after as f64 / before as f64;
    println!("all gone, two hours later{after:>44} bytes, {ratio:.3} of before");
    if ratio > 1.1 {
        std::process::ExitCode::FAILURE
    } else {
        std::process::ExitCode::SUCCESS
    }
}

/// Resident bytes when time has passed, in the shard and for the allocator, which gives pages back a little later.
fn rested(world: &mut OneShard) -> u64 {
    for _ in 0..2 * 3600 {
        world.tick(Duration::from_secs(1));
    }
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(600));
        muster::shell::pulse::give_back();
    }
    resident_bytes()
}

fn come(world: &mut OneShard, number: u32, users: u32) {
    let connection = world.register(number);
    // Those who watch this one are told.
    world.answer_notifies();
    let contact = |step: u32| (number + 1 + step * 7) % users;
    let entries: String = (0..LISTED)
        .map(|step| format!("<entry uri=\"sip:u{}@example.com\"/>", contact(step)))
        .collect();
    let body = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    );
    let of_list = "Require: recipient-list-subscribe\r\nSupported: eventlist\r\nContent-Disposition: recipient-list\r\n\
                   Content-Type: application/resource-lists+xml\r\n";
    world.subscribe(connection, "contacts", of_list, &body);
    assert!(world.answer_notifies() >= 1);
    for step in 0..OWN {
        world.subscribe(connection, &format!("u{}", contact(step)), "", "");
        assert_eq!(world.answer_notifies(), 1);
    }
}
