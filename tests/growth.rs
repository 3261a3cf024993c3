//! What grows with the number of shards: letters of a presence change, at most one for each. And what grows with the users is
//! back where it was when they have gone.

use std::time::Duration;

use muster::sip::link::ConnectionId;

use crate::shards::OneShard;

/// The same in bytes and with many more is `benches/comings`.
#[test]
fn when_everybody_has_gone_the_tables_are_as_small_as_before() {
    const USERS: u32 = 3_000;
    let mut world = OneShard::new();
    let come = |world: &mut OneShard, number: u32| {
        let connection = world.register(number);
        world.answer_notifies();
        for step in [1, 8] {
            let to = format!("u{}", (number + step) % USERS);
            world.subscribe(connection, &to, "", "");
            world.answer_notifies();
        }
    };
    for number in 0..USERS {
        world.put(number);
    }
    let (before, room_before) = (world.census(), world.room());
    (0..USERS).for_each(|number| come(&mut world, number));
    let here = world.census();
    assert_eq!(here[0].endpoints, USERS as usize);
    assert_eq!(here[0].dialogs, 2 * USERS as usize);
    let room_here = world.room();
    // Dialogs, connections, whom they watch, subscribers, and what the wheel looks at.
    assert!(room_here > room_before + 6 * USERS as usize, "{room_here}");
    (0..USERS).for_each(|number| world.close(ConnectionId::new(number, 1)));
    for _ in 0..2 * 3600 {
        world.tick(Duration::from_secs(1));
    }
    assert_eq!(world.census(), before);
    // Small tables keep their room, so that the first to come again do not move them.
    let left = world.room().saturating_sub(room_before);
    assert!(
        left < room_here / 5,
        "{left} places of {room_here} are left"
    );
}

#[test]
fn a_presence_change_is_at_most_one_letter_a_shard() {
    const WATCHERS: u32 = 200;
    for shards in [1, 2, 4, 16, 64] {
        let mut world = OneShard::of(shards);
        let alice = world.register(0);
        for watcher in 1..=WATCHERS {
            let connection = world.register(watcher);
            world.subscribe(connection, "u0", "", "");
            assert_eq!(world.answer_notifies(), 1, "{watcher} is told");
        }
        let mut tag = String::new();
        for number in 1..=4 {
            let basic = ["open", "closed"][number % 2];
            let body = format!(
                "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:u0@example.com\"><tuple id=\"a\"><status>\
                 <basic>{basic}</basic></status></tuple></presence>"
            );
            let mut publish = format!(
                "PUBLISH sip:u0@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKp{number}\r\nMax-Forwards: 70\r\n\
                 From: <sip:u0@example.com>;tag=f\r\nTo: <sip:u0@example.com>\r\nCall-ID: p\r\nCSeq: {number} PUBLISH\r\n\
                 Event: presence\r\n{tag}Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes();
            world.letters = 0;
            world.take(alice, &mut publish);
            let answer = world.heard(alice).pop().expect("an answer");
            let fresh = answer.header("SIP-ETag").expect("a tag");
            tag = format!("SIP-If-Match: {fresh}\r\n");
            assert_eq!(world.answer_notifies(), WATCHERS as usize);
            let letters = world.letters;
            assert!(
                letters <= usize::from(shards),
                "{letters} letters, {shards} shards"
            );
            // With so many watchers hardly one of the others has none: letters do go, and they are counted.
            assert!(
                letters + 4 >= usize::from(shards),
                "{letters} letters, {shards} shards"
            );
        }
    }
}
