//! What does it cost to sign a message that goes out, and to check the signature of one that came in (NTLM, [MS-SIPAE])?
//!
//! `cargo bench --bench sign` prints nanoseconds a message, the best of several rounds; beside it what reading the same message
//! costs without. Nothing is measured of the login: it happens once in eight hours.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use muster::auth::{
    Association, Authenticator, Claim, Credentials, Seen, Settings, Verdict, nt_hash,
};
use muster::sip::message::Message;
use muster::sip::time::Now;

#[path = "../tests/client.rs"]
#[allow(dead_code, reason = "a client that does more than this benchmark asks")]
mod client;

use client::Heard;
use client::ntlm::Ntlm;

const NOW: Now = Now(1_700_000_000_000_000);
const ROUNDS: usize = 20;
const MESSAGES: usize = 5_000;

fn main() {
    let (mut association, mut phone) = log_in();
    let body = "x".repeat(900);
    let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 192.0.2.7:40112;branch=z9hG4bK.PkyV1Nq6f;rport=40112;received=192.0.2.7\r\n\
        From: <sip:alice@example.com>;tag=9fxced76sl;epid=0a1b2c3d4e5f\r\nTo: <sip:bob@example.com>;tag=3cf4362343e34b30\r\n\
        Call-ID: Pz3yXk0aXt\r\nCSeq: 20 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        .to_owned();
    let benotify = format!(
        "BENOTIFY sip:alice@192.0.2.7:40112;transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK7a1c\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=a0b1c2d3\r\nTo: <sip:alice@example.com>;tag=9fxced76sl\r\n\
         Call-ID: Pz3yXk0aXt\r\nCSeq: 7 BENOTIFY\r\nContact: <sip:192.0.2.1:5061;transport=tls>\r\nEvent: presence\r\n\
         Subscription-State: active;expires=3599\r\nContent-Type: application/msrtc-event-categories+xml\r\n\
         Content-Length: 900\r\n\r\n{body}"
    );
    for (name, message) in [
        ("sign an answer", &answer),
        ("sign a BENOTIFY of 900 B", &benotify),
    ] {
        let mut bytes = Vec::with_capacity(4096);
        report(name, || {
            for number in 0..MESSAGES {
                bytes.clear();
                bytes.extend_from_slice(message.as_bytes());
                let end = bytes.len();
                association.sign(&mut bytes, 0..end, number as u32, "fe01.example.com");
                assert!(bytes.len() > end);
            }
        });
    }
    let request = |number: usize| {
        format!(
            "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/tls 192.0.2.7:40112\r\n\
             From: <sip:alice@example.com>;tag=9fxced76sl;epid=0a1b2c3d4e5f\r\nTo: <sip:bob@example.com>;tag=a0b1c2d3\r\n\
             Max-Forwards: 70\r\nCSeq: {number} MESSAGE\r\nUser-Agent: Purple/2.14.12 Sipe/1.25.0 (linux-x86_64)\r\n\
             Call-ID: Pz3yXk0aXt\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 600\r\n\r\n{}",
            "x".repeat(600)
        )
    };
    // Each is good once.
    let mut rounds: Vec<Vec<Vec<u8>>> = (0..ROUNDS)
        .map(|_| {
            (0..MESSAGES)
                .map(|number| phone.sign(request(number).as_bytes()))
                .collect()
        })
        .collect();
    let (mut reading, mut checking) = (u128::MAX, u128::MAX);
    for signed in &mut rounds {
        let start = Instant::now();
        let messages: Vec<_> = signed
            .iter_mut()
            .map(|bytes| Message::parse(bytes).expect("a good message"))
            .collect();
        reading = reading.min(start.elapsed().as_nanos());
        let start = Instant::now();
        for message in &messages {
            assert_eq!(black_box(association.verify(message)), Ok(()));
        }
        checking = checking.min(start.elapsed().as_nanos());
    }
    print(
        "read a MESSAGE of 600 B with a signature",
        reading / MESSAGES as u128,
    );
    print(
        "check the signature of a MESSAGE",
        checking / MESSAGES as u128,
    );
}

/// Alice has logged in: the server's side of it and hers.
fn log_in() -> (Box<Association>, Ntlm) {
    let authenticator = Authenticator::new(Settings::default(), &[7; 32]);
    let peer = SocketAddr::from(([192, 0, 2, 7], 40112));
    let mut phone = Ntlm::new("alice@example.com");
    let register = |phone: &mut Ntlm, challenge: &str| {
        let refused = format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
             To: <sip:alice@example.com>;tag=2\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: {challenge}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let value = phone
            .authorization(&Heard::read(refused.into_bytes()), "secret")
            .expect("an answer");
        let request = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
             To: <sip:alice@example.com>\r\nCall-ID: r\r\nCSeq: 2 REGISTER\r\nAuthorization: {value}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        phone.sign(request.as_bytes())
    };
    let offer = "NTLM realm=\"SIP Communications Service\", targetname=\"example.com\", version=4";
    let mut second = register(&mut phone, offer);
    let second = Message::parse(&mut second).expect("a good message");
    let question = authenticator.question(&second, NOW, peer);
    let mut third = register(&mut phone, &question);
    let third = Message::parse(&mut third).expect("a good message");
    let Claim::User(answer) = authenticator.claim(&third, NOW, peer) else {
        panic!("it says who it is");
    };
    let credentials = Credentials {
        ha1_md5: None,
        ha1_sha256: None,
        nt_hash: Some(nt_hash("secret")),
    };
    match authenticator.verify(&answer, Some(&credentials), &mut Seen::default()) {
        Verdict::Associated(association) => (association, phone),
        verdict => panic!("{verdict:?}"),
    }
}

fn report(name: &str, mut run: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_nanos() / MESSAGES as u128
        })
        .min();
    print(name, best.unwrap_or(0));
}

fn print(name: &str, ns: u128) {
    println!("{name:<42} {ns:>6} ns");
}
