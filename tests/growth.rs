//! What grows with the number of shards: letters of a presence change, at most one for each. What grows with the users is
//! back where it was when they have gone, and with time nothing grows.

use std::time::Duration;

use muster::sip::link::ConnectionId;

use crate::shards::{Heard, OneShard};

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

/// A SUBSCRIBE of user 0 to user 1, in the dialog of `granted` where that is given; its answer.
fn subscribe(
    world: &mut OneShard,
    watcher: ConnectionId,
    number: u32,
    granted: Option<&Heard>,
    expires_s: u32,
) -> Heard {
    let (to, call) = match granted {
        Some(granted) => (
            granted.header("To").expect("To").to_owned(),
            granted.call_id().to_owned(),
        ),
        None => ("<sip:u1@example.com>".into(), format!("c{number}")),
    };
    let mut bytes = format!(
        "SUBSCRIBE sip:u1@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKs{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:u0@example.com>;tag=f\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {number} SUBSCRIBE\r\n\
         Contact: <sip:u0@127.1.0.1:40000;transport=tls>\r\nEvent: presence\r\nExpires: {expires_s}\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes();
    world.take(watcher, &mut bytes);
    let answer = world.heard(watcher).into_iter();
    let mut answer = answer.filter(|heard| heard.status.is_some());
    let answer = answer.next().expect("an answer");
    assert_eq!(answer.status, Some(200), "{}", answer.full());
    world.answer_notifies();
    answer
}

/// An hour is granted each time, so what a wheel would keep until then is seen.
#[test]
fn who_comes_back_again_and_again_leaves_nothing_behind() {
    const TIMES: u32 = 5_000;
    let mut world = OneShard::new();
    let watcher = world.register(0);
    world.put(1);
    let (before, room_before) = (world.census(), world.room());
    // A subscription that is refreshed very often, and ones that are ended long before their time.
    let granted = subscribe(&mut world, watcher, 1, None, 3600);
    for number in 2..TIMES {
        subscribe(&mut world, watcher, number, Some(&granted), 3600);
    }
    // What a transaction leaves for half a minute is gone then.
    for _ in 0..130 {
        world.tick(Duration::from_secs(1));
    }
    let refreshed = world.room().saturating_sub(room_before);
    assert!(refreshed < 200, "{refreshed} places more");
    subscribe(&mut world, watcher, TIMES, Some(&granted), 0);
    for number in 1..TIMES {
        let granted = subscribe(&mut world, watcher, TIMES + 2 * number, None, 3600);
        subscribe(
            &mut world,
            watcher,
            TIMES + 2 * number + 1,
            Some(&granted),
            0,
        );
    }
    assert!(
        world.room() > room_before + TIMES as usize,
        "nothing was seen"
    );
    for _ in 0..15 * 60 {
        world.tick(Duration::from_secs(1));
    }
    assert_eq!(world.census(), before);
    let left = world.room().saturating_sub(room_before);
    assert!(left < 200, "{left} places are left");
}

/// User 0's INVITE to user 1, with this number, in the dialog that `to_tag` makes where there is one; as it comes there.
fn invite(
    world: &mut OneShard,
    [caller, callee]: [ConnectionId; 2],
    number: u32,
    in_dialog: [&str; 2],
) -> Heard {
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    let [route, to] = in_dialog;
    let mut bytes = format!(
        "INVITE sip:u1@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKi{number}\r\nMax-Forwards: 70\r\n{route}\
         From: <sip:u0@example.com>;tag=f\r\nTo: {to}\r\nCall-ID: call\r\nCSeq: {number} INVITE\r\n\
         Contact: <sip:u0@127.1.0.1:40000;transport=tls>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
    .into_bytes();
    world.take(caller, &mut bytes);
    let heard = world.heard(callee).into_iter();
    heard.last().expect("an INVITE")
}

/// Each gives the INVITE more time. In the calls' dialogs nobody else limits that.
#[test]
fn who_says_in_a_moment_again_and_again_leaves_nothing_behind() {
    const TIMES: u32 = 5_000;
    let mut world = OneShard::new();
    let ends = [world.register(0), world.register(1)];
    let contact = "Contact: <sip:u1@127.1.0.2:40000;transport=tls>\r\n";
    let first = invite(&mut world, ends, 1, ["", "<sip:u1@example.com>"]);
    world.take(ends[1], &mut first.response(200, "OK", "t", contact, ""));
    let accepted = world.heard(ends[0]).pop().expect("an answer");
    assert_eq!(accepted.status, Some(200), "{}", accepted.full());
    let route = accepted.header("Record-Route").expect("a route");
    let route = format!("Route: {route}\r\n");
    let in_dialog = [&route, accepted.header("To").expect("To")];
    let room_before = world.room();
    for number in 2..5 {
        let again = invite(&mut world, ends, number, in_dialog);
        assert_eq!(again.method, "INVITE", "{}", again.full());
        for _ in 0..TIMES {
            for status in [100, 180] {
                world.take(ends[1], &mut again.response(status, "", "t", "", ""));
            }
            world.tick(Duration::from_millis(1));
        }
        let more = world.room().saturating_sub(room_before);
        assert!(more < 200, "{more} places more");
        world.take(ends[1], &mut again.response(488, "", "t", "", ""));
    }
    // And one that nobody ever ends.
    let last = invite(&mut world, ends, 5, in_dialog);
    let mut told = None;
    for second in 0..20 * 60 {
        if second < 15 * 60 {
            world.take(ends[1], &mut last.response(180, "", "t", "", ""));
        }
        world.tick(Duration::from_secs(1));
        told = told.or(world
            .heard(ends[0])
            .pop()
            .map(|heard| (heard.status, second)));
    }
    let (status, second) = told.expect("an end");
    assert_eq!(status, Some(408));
    assert!((600..650).contains(&second), "after {second} s");
}

/// User 0 in a conference of their own: an INVITE with this number, or its ACK. In the dialog of `to`, where that is given.
fn say_in_conference(
    world: &mut OneShard,
    client: ConnectionId,
    [method, to]: [&str; 2],
    number: u32,
) -> Vec<Heard> {
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=message 5061 sip null\r\n\
                         a=accept-types:text/plain\r\n";
    let body = if method == "ACK" { "" } else { OFFER };
    let mut bytes = format!(
        "{method} sip:conference@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:u0@example.com>;tag=f\r\nTo: {to}\r\nCall-ID: room\r\nCSeq: {number} {method}\r\n\
         Contact: <sip:u0@127.1.0.1:40000;transport=tls>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes();
    world.take(client, &mut bytes);
    world.heard(client)
}

#[test]
fn who_asks_again_and_again_in_a_session_leaves_nothing_behind() {
    const TIMES: u32 = 5_000;
    let mut world = OneShard::new();
    let client = world.register(0);
    let factory = "<sip:conference@example.com>";
    let granted = say_in_conference(&mut world, client, ["INVITE", factory], 1);
    let granted = granted.last().expect("an answer");
    assert_eq!(granted.status, Some(200), "{}", granted.full());
    let to = granted.header("To").expect("To");
    say_in_conference(&mut world, client, ["ACK", to], 1);
    let room_before = world.room();
    // Nearly always there is one that waits for its ACK.
    for number in 2..TIMES {
        let heard = say_in_conference(&mut world, client, ["INVITE", to], number);
        assert_eq!(heard.last().expect("an answer").status, Some(200));
        world.tick(Duration::from_millis(100));
        say_in_conference(&mut world, client, ["ACK", to], number);
    }
    // Those of the last half of a minute.
    let more = world.room().saturating_sub(room_before);
    assert!(more < 1_000, "{more} places more");
    // Without any ACK it ends, however often it is asked again.
    let mut asked = 0;
    let end = loop {
        asked += 1;
        say_in_conference(&mut world, client, ["INVITE", to], TIMES + asked);
        world.tick(Duration::from_millis(100));
        if let Some(end) = world.heard(client).pop() {
            break end;
        }
        assert!(asked < 600, "it is there after a minute");
    };
    assert_eq!(end.method, "BYE", "{}", end.full());
    assert!((320..335).contains(&asked), "after {asked} times");
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
