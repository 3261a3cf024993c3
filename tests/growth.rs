//! What grows with the number of shards: letters of a presence change, at most one for each.

use crate::shards::OneShard;

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
