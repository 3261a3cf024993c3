//! Offers and their answers; malformed and unsuitable ones told apart.

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const OURS: Ours<'static> = Ours {
    address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    port: 5061,
    id: 42,
    version: 1,
    accept_types: "text/plain message/cpim",
};

const HEAD: &str =
    "v=0\r\no=alice 1 2 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=5 6\r\n";

fn offer(media: &str) -> String {
    format!("{HEAD}{media}")
}

fn answer(offer: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    write_answer(&mut out, &Description::read(offer.as_bytes())?, &OURS)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn an_offer_of_messages_is_answered() {
    let offer = offer("m=message 5060 sip null\r\na=accept-types:text/plain\r\n");
    assert_eq!(
        answer(&offer).unwrap(),
        "v=0\r\no=- 42 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=5 6\r\n\
         m=message 5061 sip null\r\na=accept-types:text/plain message/cpim\r\n"
    );
}

#[test]
fn other_media_are_rejected_in_their_place() {
    let offer = offer(
        "m=audio 4000/2 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\nm=message 5060 sip null\r\n\
         m=video 4002 RTP/AVP 31\r\nm=message 5062 sip null\r\nm=message 2855 TCP/MSRP *\r\n",
    );
    let answer = answer(&offer).unwrap();
    let media: Vec<_> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        media,
        [
            "m=audio 0 RTP/AVP 0 8",
            "m=message 5061 sip null",
            "m=video 0 RTP/AVP 31",
            "m=message 0 sip null",
            "m=message 0 TCP/MSRP *"
        ]
    );
}

#[test]
fn our_offer_reads_back() {
    let ours = Ours {
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        id: u64::MAX,
        ..OURS
    };
    let mut out = Vec::new();
    write_offer(&mut out, &ours);
    let text = core::str::from_utf8(&out).unwrap();
    assert!(
        text.contains("o=- 9223372036854775807 1 IN IP6 ::1\r\n"),
        "{text}"
    );
    let read = Description::read(&out).unwrap();
    assert_eq!(read.timing, "0 0");
    let media = read.messages().unwrap();
    assert_eq!((media.port, media.accept_types), (5061, OURS.accept_types));
}

#[test]
fn malformed_and_unsuitable_are_told_apart() {
    let cases = [
        ("".to_string(), 400),
        ("hello".into(), 400),
        ("v=1\r\no=- 1 1 IN IP4 x\r\ns=-\r\n".into(), 400),
        ("o=- 1 1 IN IP4 x\r\nv=0\r\ns=-\r\n".into(), 400),
        (
            "v=0\r\ns=-\r\nt=0 0\r\nm=message 1 sip null\r\n".into(),
            400,
        ),
        ("v=0\r\no=- 1 1 IN IP4\r\ns=-\r\n".into(), 400),
        ("v=0\r\no=- 1 1 IN IP4 x\r\n".into(), 400),
        (offer("m=message sip null\r\n"), 400),
        (offer("m=message 65536 sip null\r\n"), 400),
        (offer("m=message -1 sip null\r\n"), 400),
        (offer("m=message 5060 sip\r\n"), 400),
        (offer("m=message 5060  sip null\r\n"), 400),
        (offer("\r\nm=message 5060 sip null\r\n"), 400),
        (offer("A=x\r\n"), 400),
        (offer("a\r\n"), 400),
        (offer("a=x\0\r\n"), 400),
        (offer("a=x\rm=y\r\n"), 400),
        (offer("a=\u{e9}\r\nv=0\r\n"), 400),
        (offer(""), 488),
        (offer("m=message 0 sip null\r\n"), 488),
        (offer("m=message 2855 TCP/MSRP *\r\n"), 488),
        (offer("m=audio 4000 RTP/AVP 0\r\n"), 488),
        (
            offer(&"m=audio 4000 RTP/AVP 0\r\n".repeat(MEDIA_MAX + 1)),
            413,
        ),
        (offer(&"a=x\r\n".repeat(LINES_MAX)), 413),
        (offer(&"x".repeat(BYTES_MAX)), 413),
        (offer("m=message 5060 SIP null"), 200),
        (offer("m=message 5060 sip null\n\n"), 200),
    ];
    for (offer, expected) in cases {
        let status = answer(&offer).map_or_else(Fault::status, |_| 200);
        assert_eq!(status, expected, "{}", offer.get(..200).unwrap_or(&offer));
    }
    assert_eq!(
        Description::read(b"v=0\r\no=\xff").map(|_| ()),
        Err(Fault::Malformed)
    );
}

#[test]
fn what_a_peer_takes() {
    let accepts = |types: &str, media_type: &str| {
        let offer = offer(&format!("m=message 1 sip null\r\n{types}"));
        let read = Description::read(offer.as_bytes()).unwrap();
        read.messages().unwrap().accepts(media_type)
    };
    let cases = [
        ("", "text/plain", true),
        ("", "message/cpim", false),
        ("a=accept-types:*\r\n", "image/png", true),
        ("a=accept-types: text/* message/CPIM\r\n", "text/html", true),
        (
            "a=accept-types: text/* message/CPIM\r\n",
            "message/cpim",
            true,
        ),
        (
            "a=accept-types: text/* message/CPIM\r\n",
            "message/imdn+xml",
            false,
        ),
    ];
    for (types, media_type, expected) in cases {
        assert_eq!(accepts(types, media_type), expected, "{types} {media_type}");
    }
}

proptest! {
    #[test]
    fn an_answer_has_as_many_media_as_the_offer(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("m=message 5060 sip null\r\n"),
                Just("m=message 0 sip null\r\n"),
                Just("m=audio 4000 RTP/AVP 0\r\n"),
                Just("m=image 4000 udptl t38\r\n"),
                Just("a=sendrecv\r\n"),
            ],
            0..20,
        ),
    ) {
        let offer = offer(&lines.concat());
        if let Ok(answer) = answer(&offer) {
            let offered = Description::read(offer.as_bytes()).unwrap();
            let answered = Description::read(answer.as_bytes()).unwrap();
            let names = |d: &Description<'_>| d.media.iter().map(|m| m.name.to_string()).collect::<Vec<_>>();
            prop_assert_eq!(names(&offered), names(&answered));
            prop_assert_eq!(answered.media.iter().filter(|m| m.port != 0).count(), 1);
        }
    }
}
