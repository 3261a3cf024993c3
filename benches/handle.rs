//! What one pager MESSAGE costs the pure core: Alice's request in, Bob's copy out, Bob's 200 in, Alice's 200 out.
//!
//! `cargo bench --bench handle`; instructions: `valgrind --tool=callgrind target/release/deps/handle-… --once 1000`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod one_shard;

use one_shard::{OneShard, measure};

fn main() {
    let mut world = OneShard::new();
    let (alice, bob) = (world.register(1), world.register(2));
    let body = "x".repeat(600);
    let mut number = 0u32;
    measure("MESSAGE of 600 B, two-party, with both answers", || {
        number += 1;
        let mut message = format!(
            "MESSAGE sip:u2@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKm{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u1@example.com>;tag=f\r\nTo: <sip:u2@example.com>\r\nCall-ID: m{number}\r\n\
             CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 600\r\n\r\n{body}"
        )
        .into_bytes();
        world.take(alice, &mut message);
        let copy = world.heard(bob).pop().expect("Bob's copy");
        let mut answer = copy.response(200, "OK", "b", "", "");
        world.take(bob, &mut answer);
        assert!(!world.effects.list.is_empty(), "Alice is answered");
    });
    measure("the same without the server: what the clients cost", || {
        number += 1;
        let message = format!(
            "MESSAGE sip:u2@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.1:40000;branch=z9hG4bKm{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u1@example.com>;tag=f\r\nTo: <sip:u2@example.com>\r\nCall-ID: m{number}\r\n\
             CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 600\r\n\r\n{body}"
        )
        .into_bytes();
        let copy = one_shard::Heard::read(message);
        std::hint::black_box(copy.response(200, "OK", "b", "", ""));
    });
}
