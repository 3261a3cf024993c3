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
    const LYNC: &str = "Supported: msrtc-event-categories\r\n";
    let mut world = OneShard::new();
    let alice = world.register_with(0, LYNC);
    for number in 1..=watchers {
        let connection = world.register_with(number, LYNC);
        let body = format!(
            "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" uri=\"sip:u{number}@example.com\">\
             <action name=\"subscribe\" id=\"1\"><adhocList><resource uri=\"sip:u0@example.com\"/></adhocList></action></batchSub>"
        );
        let mut subscribe = format!(
            "SUBSCRIBE sip:u{number}@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKs\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{number}@example.com>;tag=f\r\nTo: <sip:u{number}@example.com>\r\nCall-ID: s{number}\r\n\
             CSeq: 1 SUBSCRIBE\r\nContact: <sip:u{number}@127.1.0.1:40000;transport=tls>\r\nEvent: presence\r\n\
             Supported: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\n\
             Content-Type: application/msrtc-adrl-categorylist+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        world.take(connection, &mut subscribe);
        let answer = world.heard(connection).pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
    }
    let mut version = 0u32;
    measure(&format!("SERVICE with {watchers} watchers"), || {
        let number = if version.is_multiple_of(2) {
            15_500
        } else {
            3_500
        };
        let one = |container: u32| {
            format!(
                "<publication categoryName=\"state\" instance=\"815903427\" container=\"{container}\" version=\"{version}\" \
                 expireType=\"endpoint\"><state xmlns=\"http://schemas.microsoft.com/2006/09/sip/state\" manual=\"false\" \
                 xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"machineState\"><availability>{number}\
                 </availability><endpointLocation/></state></publication>"
            )
        };
        let body = format!(
            "<publish xmlns=\"http://schemas.microsoft.com/2006/09/sip/rich-presence\"><publications uri=\"sip:u0@example.com\">\
             {}{}</publications></publish>",
            one(2),
            one(3)
        );
        version += 1;
        let mut service = format!(
            "SERVICE sip:u0@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKp{version}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u0@example.com>;tag=f\r\nTo: <sip:u0@example.com>\r\nCall-ID: p{version}\r\n\
             CSeq: 1 SERVICE\r\nContent-Type: application/msrtc-category-publish+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        world.take(alice, &mut service);
        let answer = world.heard(alice).pop().expect("an answer");
        assert_eq!(answer.status, Some(200), "{}", answer.full());
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
