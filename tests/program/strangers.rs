use std::io::{ErrorKind, Read as _, Write as _};
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

/// What comes back for `bytes` on a fresh connection, and whether the server has closed it then or is silent.
fn answer(server: &mut Server, bytes: &[u8]) -> (String, bool) {
    let mut stream = TcpStream::connect(server.address("sip")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // It may refuse before all was sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let closed = loop {
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => break error.kind() == ErrorKind::ConnectionReset,
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), closed)
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
            "SIP/2.0 400",
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
            "SIP/2.0 416",
        ),
        (
            "nobody's message",
            request(
                "MESSAGE sip:alice@example.com SIP/2.0",
                "Content-Length: 0\r\n",
                "",
            )
            .replace("1 OPTIONS", "1 MESSAGE"),
            "SIP/2.0 401",
        ),
    ] {
        let (said, closed) = answer(&mut server, bytes.as_bytes());
        let start = said.split_inclusive(' ').take(2).collect::<String>();
        assert_eq!(start.trim_end(), expected, "{what}: {said}");
        // At once, or because nobody has come in here for `stranger_s`.
        assert!(closed, "{what}: still open");
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

/// It is never silent, and never half: only that it does not authenticate ends it.
#[test]
fn who_asks_and_never_says_who_they_are_is_cut() {
    let (_place, mut server) = serve();
    let address = server.address("sip");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a socket");
    let begun = Instant::now();
    let (mut answers, mut piece) = (0, [0; 4096]);
    for number in 0.. {
        let asks = request(
            "OPTIONS sip:example.com SIP/2.0",
            "Content-Length: 0\r\n",
            "",
        );
        let asks = asks.replace("z9hG4bK-1", &format!("z9hG4bK-{number}"));
        if stream.write_all(asks.as_bytes()).is_err() {
            break;
        }
        // The answer; and then nothing until half a second is over.
        let closed = loop {
            match stream.read(&mut piece) {
                Ok(0) => break true,
                Ok(count) => {
                    answers += piece[..count]
                        .windows(12)
                        .filter(|it| it.starts_with(b"SIP/2.0 200 "))
                        .count();
                }
                Err(error) => break error.kind() == ErrorKind::ConnectionReset,
            }
        };
        if closed {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "still open");
    }
    let took = begun.elapsed();
    assert!(answers >= 2, "{answers} answers in {took:?}");
    let expected = Duration::from_secs(2)..Duration::from_secs(8);
    assert!(expected.contains(&took), "closed after {took:?}");
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
