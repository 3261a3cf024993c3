//! What one publication costs the pure core with 1, 40, 1,000 and 10,000 watchers: the state once, a NOTIFY each, and their
//! 200s; and the same in Lync's dialect: a SERVICE of two instances, and a BENOTIFY each.
//!
//! `cargo bench --bench fanout`

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod one_shard;

use one_shard::{OneShard, measure};

fn main() {
    for watchers in [1u32, 40, 1_000, 10_000] {
        simple(watchers);
        lync(watchers);
    }
}

fn lync(watchers: u32) {
    let (mut world, alice) = OneShard::watched_in_lync(watchers);
    let mut version = 0u32;
    measure(&format!("SERVICE with {watchers} watchers"), || {
        world.publish_in_lync(alice, version);
        version += 1;
        assert_eq!(world.benotifies(), watchers as usize);
    });
}

fn simple(watchers: u32) {
    let mut world = OneShard::new();
    let alice = world.register(0);
    for number in 1..=watchers {
        let connection = world.register(number);
        let mut subscribe = format!(
                "SUBSCRIBE sip:u0@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKs\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:u{number}@example.com>;tag=f\r\nTo: <sip:u0@example.com>\r\nCall-ID: s{number}\r\n\
                 CSeq: 1 SUBSCRIBE\r\nContact: <sip:u{number}@127.1.0.1:40000;transport=tls>\r\nEvent: presence\r\n\
                 Accept: application/pidf+xml\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes();
        world.take(connection, &mut subscribe);
        world.answer_notifies();
    }
    let mut number = 0u32;
    let mut tag = String::new();
    measure(
        &format!("PUBLISH with {watchers} watchers, with all answers"),
        || {
            number += 1;
            let note = if number.is_multiple_of(2) {
                "open"
            } else {
                "closed"
            };
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
                 entity=\"sip:u0@example.com\"><tuple id=\"a\"><status><basic>{note}</basic></status></tuple></presence>"
            );
            let mut publish = format!(
                "PUBLISH sip:u0@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKp{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:u0@example.com>;tag=f\r\nTo: <sip:u0@example.com>\r\nCall-ID: p\r\n\
                 CSeq: {number} PUBLISH\r\nEvent: presence\r\n{tag}Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes();
            world.take(alice, &mut publish);
            let answer = world.heard(alice).pop().expect("an answer");
            assert_eq!(answer.status, Some(200), "{}", answer.full());
            tag = format!(
                "SIP-If-Match: {}\r\n",
                answer.header("SIP-ETag").expect("a tag")
            );
            assert_eq!(world.answer_notifies(), watchers as usize);
        },
    );
}
