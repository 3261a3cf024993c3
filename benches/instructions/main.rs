//! How many instructions do the core's main paths take? Each case is a few steps of a client's; what is counted is the
//! server's part of them (`one_shard::counted`): parse, act, write, and the timers that a step leaves behind.
//!
//! `benches/instructions/run` runs it under callgrind and compares with the kept counts; by itself it counts nothing.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(dead_code, reason = "nothing is timed here")]
#[path = "../one_shard.rs"]
mod one_shard;

use core::time::Duration;
use std::hint::black_box;

use muster::sip::link::ConnectionId;
use one_shard::OneShard;

/// Steps before counting: longer than a transaction's deadline, so that in each step as many timers end as begin.
const WARM_UP: u32 = 40;
/// Steps that are counted.
const STEPS: u32 = 20;

fn main() {
    println!("steps {STEPS}");
    case("an idle second", OneShard::new(), |_, _| ());
    case("REGISTER: 401, then 200", OneShard::new(), |world, step| {
        world.register(step);
    });
    let mut world = OneShard::new();
    let (alice, bob) = (world.register(1), world.register(2));
    case(
        "MESSAGE of 600 B with both answers",
        world,
        |world, step| {
            let head = format!("MESSAGE sip:u2@example.com m{step} u1 u2 1 MESSAGE");
            message(world, alice, bob, &head);
        },
    );
    session();
    for watchers in [1, 40, 100] {
        publish(1, watchers);
    }
    publish(16, 100);
    publish_in_lync(40);
    conference(20);
    signed();
    refreshes();
    growth();
    let (world, watcher) = users(100);
    case("SUBSCRIBE with its NOTIFY's 200", world, |world, step| {
        subscribe(world, watcher, 0, &format!("u{step}"), "", "");
        assert_eq!(world.answer_notifies(), 1);
    });
    let (world, watcher) = users(100);
    case("poll: SUBSCRIBE that ends at once", world, |world, step| {
        subscribe(world, watcher, 0, &format!("u{step}"), "Expires: 0\r\n", "");
        assert_eq!(world.answer_notifies(), 1);
    });
    let (world, watcher) = users(100);
    let list = list_of(40);
    case("SUBSCRIBE to a list of 40", world, |world, step| {
        subscribe(world, watcher, step, "contacts", LIST, &list);
        assert!(world.answer_notifies() >= 1);
    });
    let (world, watcher) = users(100);
    case("poll of a list of 40", world, |world, step| {
        let lines = format!("Expires: 0\r\n{LIST}");
        subscribe(world, watcher, step, "contacts", &lines, &list);
        assert!(world.answer_notifies() >= 1);
    });
}

/// The same work over more shards: whoever writes, whom they write to, and who keeps their order are seldom on one.
fn growth() {
    const PAIRS: u32 = 10;
    for shards in [1, 2, 4, 16, 64] {
        let mut world = OneShard::of(shards);
        let users: Vec<_> = (0..2 * PAIRS)
            .map(|number| world.register(number))
            .collect();
        case(
            &format!("MESSAGE, {shards} shards"),
            world,
            |world, step| {
                let pair = step % PAIRS;
                let (from, to) = (2 * pair, 2 * pair + 1);
                let (alice, bob) = (users[from as usize], users[to as usize]);
                let head = format!("MESSAGE sip:u{to}@example.com m{step} u{from} u{to} 1 MESSAGE");
                message(world, alice, bob, &head);
            },
        );
    }
}

/// A message of 600 bytes; both answer.
fn message(world: &mut OneShard, alice: ConnectionId, bob: ConnectionId, head: &str) {
    let lines = "Content-Type: text/plain\r\n";
    say(world, alice, head, lines, &"x".repeat(600));
    let copy = world.heard(bob).pop().expect("Bob's copy");
    world.take(bob, &mut copy.response(200, "OK", "b", "", ""));
    let answer = world.heard(alice).pop().expect("Alice is answered");
    assert_eq!(answer.status, Some(200), "{}", answer.full());
}

/// Runs one case; each step is a second later than the one before.
fn case(name: &str, mut world: OneShard, mut step: impl FnMut(&mut OneShard, u32)) {
    for number in 0..WARM_UP + STEPS {
        // Of many shards each has its own second, whatever is said: only one's is counted.
        world.counts = number >= WARM_UP && world.is_one();
        world.tick(Duration::from_secs(1));
        world.counts = number >= WARM_UP;
        step(&mut world, number);
    }
    println!("case {name}");
    case_ended(black_box(name));
}

/// Where callgrind writes down what it has counted.
#[inline(never)]
fn case_ended(name: &str) {
    black_box(name);
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
    m=message 5061 sip null\r\na=accept-types:text/plain\r\n";

/// A message in a session of two, after the session has begun.
fn session() {
    const LINES: &str = "Content-Type: application/sdp\r\n";
    let mut world = OneShard::new();
    let (alice, bob) = (world.register(1), world.register(2));
    let contact = "Contact: <sip:u2@127.1.0.2:40000;transport=tls>\r\n";
    let head = "INVITE sip:u2@example.com call u1 u2 1 INVITE";
    say(&mut world, alice, head, LINES, SDP);
    let mut invited = world.heard(bob);
    let invite = invited.pop().expect("Bob is invited");
    let answer_lines = format!("{contact}{LINES}");
    world.take(
        bob,
        &mut invite.response(200, "OK", "b", &answer_lines, SDP),
    );
    let mut answers = world.heard(alice);
    let accepted = answers.pop().expect("Alice's 200");
    assert_eq!(accepted.status, Some(200), "{}", accepted.full());
    let (target, tag) = (accepted.contact().expect("a Contact"), accepted.to_tag());
    let in_call = |step: u32, method: &str, cseq: u32| {
        format!("{method} {target} call u1 u2;tag={tag} {cseq} {method} {step}")
    };
    say(&mut world, alice, &in_call(0, "ACK", 1), "", "");
    case(
        "MESSAGE in a session, both answers",
        world,
        |world, step| {
            message(world, alice, bob, &in_call(step, "MESSAGE", step + 2));
        },
    );
}

/// A publication that changes something, and the 200s of all who are told.
fn publish(shards: u16, watchers: u32) {
    let mut world = OneShard::of(shards);
    let alice = world.register(0);
    for number in 1..=watchers {
        let connection = world.register(number);
        subscribe(&mut world, connection, number, "u0", "", "");
        assert_eq!(world.answer_notifies(), 1);
    }
    let mut name = format!("PUBLISH, {watchers} watchers, with all answers");
    if shards > 1 {
        name = format!("{name}, {shards} shards");
    }
    let mut tag = String::new();
    case(&name, world, |world, step| {
        // Who registers is available: the first one changes that.
        let note = ["closed", "open"][step as usize % 2];
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             entity=\"sip:u0@example.com\"><tuple id=\"a\"><status><basic>{note}</basic></status></tuple></presence>"
        );
        let head = format!("PUBLISH sip:u0@example.com p u0 u0 {} PUBLISH", step + 1);
        let lines = format!("Event: presence\r\n{tag}Content-Type: application/pidf+xml\r\n");
        say(world, alice, &head, &lines, &body);
        let answer = world.heard(alice).pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
        let fresh = answer.header("SIP-ETag").expect("a tag");
        tag = format!("SIP-If-Match: {fresh}\r\n");
        assert_eq!(world.answer_notifies(), watchers as usize);
    });
}

/// A publication in Lync's dialect: nobody answers a BENOTIFY.
fn publish_in_lync(watchers: u32) {
    let (world, alice) = OneShard::watched_in_lync(watchers);
    let name = format!("SERVICE, {watchers} watchers in Lync's dialect");
    case(&name, world, |world, step| {
        world.publish_in_lync(alice, step);
        assert_eq!(world.benotifies(), watchers as usize);
    });
}

/// A message in a conference, and the 200s of all the others.
fn conference(others: u32) {
    let mut world = OneShard::new();
    let alice = world.register(0);
    let (target, tag) = enter(&mut world, alice, "conference");
    let (user, _) = target.split_once('@').expect("a session's URI");
    let room = user.trim_start_matches("sip:").to_owned();
    for number in 1..=others {
        let connection = world.register(number);
        enter(&mut world, connection, &room);
    }
    let name = format!("MESSAGE to {others} in a conference, all answers");
    case(&name, world, |world, step| {
        let cseq = step + 2;
        let head = format!("MESSAGE {target} room u0 conference;tag={tag} {cseq} MESSAGE {step}");
        let lines = "Content-Type: text/plain\r\n";
        say(world, alice, &head, lines, &"x".repeat(600));
        let answer = world.heard(alice).pop().expect("Alice is answered");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
        assert_eq!(world.answer_all("MESSAGE"), others as usize);
    });
}

/// INVITE of whoever speaks on `connection` to a conference that lets them in: our Contact, and our tag.
fn enter(world: &mut OneShard, connection: ConnectionId, room: &str) -> (String, String) {
    let user = connection.slot();
    let head = format!("INVITE sip:{room}@example.com room u{user} {room} 1 INVITE");
    say(
        world,
        connection,
        &head,
        "Content-Type: application/sdp\r\n",
        SDP,
    );
    let accepted = world.heard(connection).pop().expect("a 200");
    assert_eq!(accepted.status, Some(200), "{}", accepted.full());
    let (target, tag) = (accepted.contact().expect("a Contact"), accepted.to_tag());
    let head = format!("ACK {target} room u{user} {room};tag={tag} 1 ACK");
    say(world, connection, &head, "", "");
    (target, tag)
}

/// A message whose sender signs and is answered signed.
fn signed() {
    let mut world = OneShard::new();
    let (alice, mut phone) = world.register_by_ntlm(1);
    let bob = world.register(2);
    case(
        "MESSAGE signed by NTLM, both answers",
        world,
        |world, step| {
            let head = format!("MESSAGE sip:u2@example.com m{step} u1 u2 1 MESSAGE");
            let bytes = written(&head, "Content-Type: text/plain\r\n", &"x".repeat(600));
            world.take(alice, &mut phone.sign(&bytes));
            let copy = world.heard(bob).pop().expect("Bob's copy");
            world.take(bob, &mut copy.response(200, "OK", "b", "", ""));
            let answer = world.heard(alice).pop().expect("Alice is answered");
            assert_eq!(answer.status, Some(200), "{}", answer.full());
            phone.check(&answer).expect("it is signed");
        },
    );
}

/// What goes on is said again: a registration, a subscription, a publication.
fn refreshes() {
    let mut world = OneShard::new();
    let alice = world.register(1);
    case("REGISTER again", world, |world, step| {
        let head = format!("REGISTER sip:example.com r1 u1 u1 {} REGISTER", step + 3);
        say(world, alice, &head, "Expires: 3600\r\n", "");
        let answer = world.heard(alice).pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
    });
    let (mut world, watcher) = users(1);
    subscribe(&mut world, watcher, 0, "u0", "", "");
    let mut heard = world.heard(watcher).into_iter();
    let granted = heard.rfind(|heard| heard.status == Some(200));
    let tag = granted.expect("a 200").to_tag();
    assert_eq!(world.answer_notifies(), 1);
    case(
        "SUBSCRIBE again, with its NOTIFY's 200",
        world,
        |world, step| {
            let cseq = step + 2;
            let head =
                format!("SUBSCRIBE sip:u0@example.com u0-0 u1 u0;tag={tag} {cseq} SUBSCRIBE");
            say(world, watcher, &head, "Event: presence\r\n", "");
            assert_eq!(world.answer_notifies(), 1);
        },
    );
    let mut world = OneShard::new();
    let alice = world.register(0);
    let mut tag = String::new();
    let mut publish = |world: &mut OneShard, cseq: u32, lines: &str, body: &str| {
        let head = format!("PUBLISH sip:u0@example.com p u0 u0 {cseq} PUBLISH");
        let lines = format!("Event: presence\r\n{tag}{lines}");
        say(world, alice, &head, &lines, body);
        let answer = world.heard(alice).pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
        let fresh = answer.header("SIP-ETag").expect("a tag");
        tag = format!("SIP-If-Match: {fresh}\r\n");
    };
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
                entity=\"sip:u0@example.com\"><tuple id=\"a\"><status><basic>open</basic></status></tuple></presence>";
    publish(
        &mut world,
        1,
        "Content-Type: application/pidf+xml\r\n",
        body,
    );
    case("PUBLISH again", world, |world, step| {
        publish(world, step + 2, "", "")
    });
}

/// Users 0 to `count`, and the connection of the last, who watches.
fn users(count: u32) -> (OneShard, ConnectionId) {
    let mut world = OneShard::new();
    let connections: Vec<_> = (0..=count).map(|number| world.register(number)).collect();
    let last = *connections.last().expect("at least one");
    (world, last)
}

const LIST: &str = "Require: recipient-list-subscribe\r\nSupported: eventlist\r\nContent-Disposition: recipient-list\r\n\
    Content-Type: application/resource-lists+xml\r\n";

fn list_of(count: u32) -> String {
    let entries: String = (0..count)
        .map(|number| format!("<entry uri=\"sip:u{number}@example.com\"/>"))
        .collect();
    format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
    )
}

/// A SUBSCRIBE of whoever speaks on `connection` to the presence of `to`; `number` makes its Call-ID differ.
fn subscribe(
    world: &mut OneShard,
    connection: ConnectionId,
    number: u32,
    to: &str,
    lines: &str,
    body: &str,
) {
    let watcher = connection.slot();
    let head = format!("SUBSCRIBE sip:{to}@example.com {to}-{number} u{watcher} {to} 1 SUBSCRIBE");
    let lines = format!(
        "Event: presence\r\nAccept: application/pidf+xml, application/rlmi+xml, multipart/related\r\n{lines}"
    );
    say(world, connection, &head, &lines, body);
}

/// A request. `head` is its method, URI, Call-ID, who sends it, whom it is to (with a tag inside a dialog), CSeq and, where
/// that does not tell it from others, one more word.
fn say(world: &mut OneShard, connection: ConnectionId, head: &str, lines: &str, body: &str) {
    world.take(connection, &mut written(head, lines, body));
}

fn written(head: &str, lines: &str, body: &str) -> Vec<u8> {
    let words: Vec<&str> = head.split(' ').collect();
    let [method, uri, call_id, from, to, cseq, _, more @ ..] = &words[..] else {
        panic!("no head: {head}");
    };
    let (to, tag) = to.split_once(';').unwrap_or((to, ""));
    let semicolon = if tag.is_empty() { "" } else { ";" };
    let branch = more.first().unwrap_or(&"");
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bK{method}{call_id}{cseq}{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{from}@example.com>;tag=f\r\nTo: <sip:{to}@example.com>{semicolon}{tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{from}@127.1.0.1:40000;transport=tls>\r\n\
         {lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
