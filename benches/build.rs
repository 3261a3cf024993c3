//! What does it cost to write a message?
//!
//! `cargo bench --bench build` prints nanoseconds an operation, the best of several rounds; for instructions see
//! `benches/parse.rs`. Each is written into a buffer that is used again, as the shard's is.

mod plan;

use std::hint::black_box;

use muster::sip::build::{self, Echo};
use muster::sip::message::Message;
use plan::Plan;

const REQUEST: &str = "MESSAGE sip:bob@example.com SIP/2.0\r\n\
Via: SIP/2.0/TLS 192.0.2.7:40112;branch=z9hG4bK.PkyV1Nq6f;rport\r\n\
From: \"Alice\" <sip:alice@example.com>;tag=9fxced76sl\r\n\
To: <sip:bob@example.com>\r\n\
CSeq: 20 MESSAGE\r\n\
Call-ID: Pz3yXk0aXt\r\n\
Max-Forwards: 70\r\n\
Content-Length: 0\r\n\r\n";

fn main() {
    let plan = Plan::from_arguments();
    // Written into a buffer that is used again.
    let run = |name: &str, write: &mut dyn FnMut(&mut Vec<u8>)| {
        plan.run(name, Vec::with_capacity(4096), Vec::clear, write)
    };
    let mut bytes = REQUEST.as_bytes().to_vec();
    let request = Message::parse(&mut bytes).expect("well-formed");
    let mut traced_bytes = REQUEST.as_bytes().to_vec();
    let mut traced = Message::parse(&mut traced_bytes).expect("well-formed");
    traced.set_source(([192, 0, 2, 7], 40112).into());
    let echo = Echo::of(&request);
    let body = [b'x'; 600];

    run("a 200", &mut |out| {
        build::response(out, black_box(&request), 200, Some("a1b2c3d4")).finish()
    });
    run("a 200 with rport", &mut |out| {
        build::response(out, black_box(&traced), 200, Some("a1b2c3d4")).finish()
    });
    run("keep what a later 200 needs", &mut |_| {
        drop(black_box(Echo::of(black_box(&request))))
    });
    run("a later 200", &mut |out| {
        build::response_from(out, black_box(&echo), 200, Some("a1b2c3d4")).finish()
    });
    run("a MESSAGE with 600 B", &mut |out| {
        let mut draft = build::request(out, "MESSAGE", "sip:bob@192.0.2.9:40200;transport=tls");
        draft
            .header(
                "Via",
                format_args!(
                    "SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK{:016x}",
                    black_box(77)
                ),
            )
            .header("Max-Forwards", 70)
            .header(
                "From",
                format_args!(
                    "<{}>;tag={}",
                    black_box("sip:alice@example.com"),
                    "a0b1c2d3"
                ),
            )
            .header(
                "To",
                format_args!(
                    "<{}>;tag={}",
                    black_box("sip:bob@example.com"),
                    "9fxced76sl"
                ),
            )
            .header("Call-ID", black_box("im-0000000000000000001"))
            .header("CSeq", format_args!("{} MESSAGE", black_box(20)));
        draft.body("text/plain;charset=UTF-8", black_box(&body));
    });
}
