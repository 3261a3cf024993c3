//! What does it cost to cut and to read a message?
//!
//! `cargo bench --bench parse` prints nanoseconds an operation, the best of several rounds. Instructions, which the
//! neighbours on a machine do not change, are counted by callgrind around a fixed number of operations; take the
//! difference of two counts, so that the start of the program drops out:
//!
//! ```text
//! cargo build --profile bench --bench parse
//! for n in 1000 2000; do valgrind --tool=callgrind --callgrind-out-file=/dev/null \
//!     target/release/deps/parse-… message --once $n 2>&1 | grep Collected; done
//! ```
//!
//! The first argument chooses the cases whose name contains it.

mod plan;

use std::hint::black_box;

use muster::sip::frame::{self, Cut, FrameState, Limits};
use muster::sip::header::Name;
use muster::sip::message::Message;
use plan::Plan;

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
Via: SIP/2.0/TLS 192.0.2.7:40112;alias;branch=z9hG4bK.MDPo5aYOB;rport\r\n\
From: <sip:alice@example.com>;tag=kYwVG2hl4\r\n\
To: sip:alice@example.com\r\n\
CSeq: 21 REGISTER\r\n\
Call-ID: 5bXxF8Wm1d\r\n\
Max-Forwards: 70\r\n\
Supported: replaces, outbound, gruu, path\r\n\
Accept: application/sdp\r\n\
Accept: text/plain\r\n\
Accept: application/vnd.gsma.rcs-ft-http+xml\r\n\
Contact: <sip:alice@192.0.2.7:40112;transport=tls>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"\r\n\
Expires: 3600\r\n\
User-Agent: Unknown (belle-sip/5.1.64)\r\n\
Authorization:  Digest realm=\"example.com\", nonce=\"MTcwMDAwMDAwMDAwMDAwMDAwMA==\", algorithm=SHA-256, opaque=\"\", username=\"alice\",  uri=\"sip:example.com\", response=\"5ccc069c403ebaf9f0171e9517f40e41a3a3b3b3c3c3d3d3e3e3f3f3a1a1b1b1\", cnonce=\"Iv2QaHbBzQ\", nc=00000001, qop=auth\r\n\
Content-Length: 0\r\n\r\n";

const MESSAGE_HEAD: &str = "MESSAGE sip:bob@example.com SIP/2.0\r\n\
Via: SIP/2.0/TLS 192.0.2.7:40112;branch=z9hG4bK.PkyV1Nq6f;rport\r\n\
From: \"Alice\" <sip:alice@example.com>;tag=9fxced76sl\r\n\
To: <sip:bob@example.com>\r\n\
CSeq: 20 MESSAGE\r\n\
Call-ID: Pz3yXk0aXt\r\n\
Max-Forwards: 70\r\n\
Supported: replaces, outbound, gruu, path\r\n\
Date: Sun, 23 Nov 2025 19:13:00 GMT\r\n\
User-Agent: Unknown (belle-sip/5.1.64)\r\n\
Content-Type: text/plain;charset=UTF-8\r\n\
Content-Length: 600\r\n\r\n";

const NOTIFY: &str = "NOTIFY sip:alice@192.0.2.7:40112;transport=tls SIP/2.0\r\n\
Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK7a1c000000000001\r\n\
Max-Forwards: 70\r\n\
From: <sip:bob@example.com>;tag=a0b1c2d3\r\n\
To: <sip:alice@example.com>;tag=9fxced76sl\r\n\
Call-ID: Pz3yXk0aXt\r\n\
CSeq: 7 NOTIFY\r\n\
Contact: <sip:192.0.2.1:5061;transport=tls>\r\n\
Event: presence\r\n\
Subscription-State: active\r\n ;expires=3599\r\n\
Content-Type: application/pidf+xml\r\n\
Content-Length: 10\r\n\r\n<presence>";

fn main() {
    let message = format!("{MESSAGE_HEAD}{}", "x".repeat(600));
    let plan = Plan::from_arguments();
    // Every operation gets the bytes as they came in: unfolding changes them.
    let run = |name: &str, input: &str, operation: fn(&mut [u8])| {
        let order = |bytes: &mut Vec<u8>| bytes.copy_from_slice(input.as_bytes());
        plan.run(name, input.as_bytes().to_vec(), order, |bytes| {
            operation(bytes)
        })
    };
    run("cut message 600 B", &message, cut);
    run("parse register", REGISTER, parse);
    run("parse message 600 B", &message, parse);
    run(
        "parse message and read its headers",
        &message,
        parse_and_read,
    );
    run("parse notify, folded", NOTIFY, parse);
}

fn cut(bytes: &mut [u8]) {
    let cut = frame::cut(bytes, &Limits::default(), &mut FrameState::default());
    assert!(matches!(black_box(cut), Cut::Message { .. }));
}

fn parse(bytes: &mut [u8]) {
    assert!(black_box(Message::parse(bytes)).is_ok());
}

/// About what a server asks of a MESSAGE.
fn parse_and_read(bytes: &mut [u8]) {
    if let Ok(message) = black_box(Message::parse(bytes)) {
        black_box(message.from().uri().map(|uri| uri.aor_text()).is_ok());
        black_box((
            message.from().tag(),
            message.to().tag(),
            message.via().branch(),
        ));
        black_box((
            message.content_type(),
            message.expires(),
            message.max_forwards(),
        ));
        black_box(message.values(Name::Require).count());
        black_box(message.values(Name::Route).count());
        black_box(message.header(Name::ContentEncoding));
    }
}
