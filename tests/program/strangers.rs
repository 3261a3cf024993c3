use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::phone::Phone;
use super::place::{PATIENCE, Place, Server};

/// Short times, so that what is slow is cut off soon.
const IMPATIENT: &str = "[limits]\nhandshake_s = 1\nmessage_s = 1\nstranger_s = 2\n";

fn serve() -> (Place, Server) {
    let place = Place::new(IMPATIENT);
    place.add("alice");
    let server = place.serve();
    (place, server)
}

/// What comes back for `bytes` on a fresh connection until the server closes it or is silent.
fn answer(server: &mut Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address("sip")).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a socket");
    // It may refuse before all was sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request with `line` for its start line and `more` among its headers.
fn request(line: &str, more: &str, body: &str) -> String {
    format!(
        "{line}\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK-1\r\nMax-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
         To: <sip:bob@example.com>\r\nCall-ID: stranger\r\nCSeq: 1 OPTIONS\r\n{more}\r\n{body}"
    )
}

#[test]
fn bad_messages_get_their_answer_and_disturb_nobody() {
    let (_place, mut server) = serve();
    let mut alice = Phone::registered(&mut server, "alice");
    let good = "OPTIONS sip:example.com SIP/2.0";
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    for (what, bytes, expected) in [
        (
            "no SIP at all",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "",
        ),
        (
            "no URI",
            request("OPTIONS nonsense SIP/2.0", "Content-Length: 0\r\n", ""),
            "SIP/2.0 4",
        ),
        (
            "another version",
            request(
                "OPTIONS sip:example.com SIP/3.0",
                "Content-Length: 0\r\n",
                "",
            ),
            "SIP/2.0 505",
        ),
        (
            "no CSeq",
            request(good, "Content-Length: 0\r\n", "").replace("CSeq: 1 OPTIONS\r\n", ""),
            "SIP/2.0 400",
        ),
        (
            "another CSeq",
            request(good, "Content-Length: 0\r\n", "").replace("1 OPTIONS", "1 INVITE"),
            "SIP/2.0 400",
        ),
        (
            "a negative length",
            request(good, "Content-Length: -1\r\n", ""),
            "SIP/2.0 400",
        ),
        (
            "two lengths",
            request(good, "Content-Length: 1\r\nContent-Length: 2\r\n", "x"),
            "SIP/2.0 400",
        ),
        (
            "an enormous length",
            request(good, "Content-Length: 99999999999\r\n", ""),
            "SIP/2.0 413",
        ),
        ("a long head", request(good, &long, ""), "SIP/2.0 513"),
        (
            "an unknown scheme",
            request(
                "OPTIONS https://example.com SIP/2.0",
                "Content-Length: 0\r\n",
                "",
            ),
            "SIP/2.0 4",
        ),
        (
            "nobody's message",
            request(
                "MESSAGE sip:alice@example.com SIP/2.0",
                "Content-Length: 0\r\n",
                "",
            )
            .replace("1 OPTIONS", "1 MESSAGE"),
            "SIP/2.0 40",
        ),
    ] {
        let said = answer(&mut server, bytes.as_bytes());
        assert!(said.starts_with(expected), "{what}: {said}");
        assert_eq!(alice.register("alice-secret"), 200, "after {what}");
    }
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200 "));
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[test]
fn who_says_nothing_or_half_of_it_is_cut_off() {
    let (_place, mut server) = serve();
    let (sip, sips) = (server.address("sip"), server.address("sips"));
    for (what, address, bytes) in [
        ("silence", sip, &b""[..]),
        (
            "half a head",
            sip,
            b"OPTIONS sip:example.com SIP/2.0\r\nVia: ",
        ),
        (
            "half a body",
            sip,
            b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 10\r\n\r\nhalf",
        ),
        ("silence before TLS", sips, b""),
        ("half a record", sips, b"\x16\x03\x01\x02\x00\x01\x00"),
        ("half a handshake", sips, b"\x16\x03\x01\x00\x01\x01"),
        (
            "a handshake that is too long",
            sips,
            b"\x16\x03\x01\x00\x04\x01\x01\x00\x00",
        ),
        (
            "no handshake",
            sips,
            b"OPTIONS sip:example.com SIP/2.0\r\n\r\n",
        ),
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(bytes).expect("it is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let begun = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{what}: still open after {:?}",
            begun.elapsed()
        );
    }
    Phone::registered(&mut server, "alice");
}

#[test]
fn a_slow_drip_is_cut_off() {
    let (_place, mut server) = serve();
    let mut stream = TcpStream::connect(server.address("sip")).expect("it listens");
    let begun = Instant::now();
    // A byte now and then keeps a connection busy for ever, where only silence is counted.
    for byte in request(
        "OPTIONS sip:example.com SIP/2.0",
        "Content-Length: 0\r\n",
        "",
    )
    .bytes()
    {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(8), "still open");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "still open");
}

#[test]
fn a_flood_is_answered_and_others_are_served() {
    let (_place, mut server) = serve();
    let mut alice = Phone::registered(&mut server, "alice");
    let address = server.address("sip");
    let flood = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let one = request(
            "OPTIONS sip:example.com SIP/2.0",
            "Content-Length: 0\r\n",
            "",
        );
        let begun = Instant::now();
        // Written without ever reading: the server must not keep more and more answers.
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .expect("a socket");
        while begun.elapsed() < Duration::from_secs(2) {
            if stream.write_all(one.repeat(100).as_bytes()).is_err()
                && begun.elapsed() > Duration::from_secs(1)
            {
                break;
            }
        }
    });
    let begun = Instant::now();
    let mut served = 0;
    while !flood.is_finished() {
        assert_eq!(alice.register("alice-secret"), 200);
        served += 1;
    }
    flood.join().expect("the flood ends");
    assert!(
        served >= 4,
        "only {served} of Alice's requests in {:?}",
        begun.elapsed()
    );
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200 "));
}
