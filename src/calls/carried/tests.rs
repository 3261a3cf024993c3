//! What goes along and what does not, and the places of refusals.

use super::*;

fn with<T>(text: &str, act: impl FnOnce(&Message<'_>) -> T) -> T {
    let mut bytes = text.replace('\n', "\r\n").into_bytes();
    act(&Message::parse(&mut bytes).expect("a message"))
}

fn ours(value: &str) -> bool {
    value.contains("call-7@")
}

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\n\
    v: SIP/2.0/TLS a;branch=z9hG4bK1, SIP/2.0/TLS behind;branch=z9hG4bK0\n\
    Max-Forwards: 12\n\
    f: \"A, B\" <sip:alice@example.com>;tag=1\n\
    To: <sip:bob@example.com>\n\
    i: x\n\
    CSeq: 9 INVITE\n\
    Contact: <sip:alice@192.0.2.1>\n\
    Route: <sip:call-7@h;lr>, <sip:further;lr>\n\
    Route: <sip:call-7@h;lr>\n\
    Record-Route: <sip:behind;lr>\n\
    P-Asserted-Identity: <sip:boss@example.com>\n\
    P-Preferred-Identity: <sip:boss@example.com>\n\
    Authorization: Digest realm=\"example.com\", response=\"secret\"\n\
    Authorization: NTLM realm=\"SIP Communications Service\", crand=\"1\", cnum=\"9\", response=\"signed\"\n\
    Proxy-Authorization: Digest realm=\"elsewhere\", response=\"theirs\"\n\
    Proxy-Authorization: Basic what\n\
    proxy-authentication-info: NTLM srand=\"0\", snum=\"1\", realm=\"x\", targetname=\"x\"\n\
    Authentication-Info: NTLM rspauth=\"0\"\n\
    WWW-Authenticate: Digest realm=\"elsewhere\"\n\
    Proxy-Authenticate: NTLM realm=\"x\"\n\
    remote-party-id: \"The Boss\" <sip:boss@example.com>;party=calling;screen=yes\n\
    Diversion: <sip:boss@example.com>;reason=unconditional\n\
    History-Info: <sip:boss@example.com>;index=1\n\
    X-Strange:   kept \n\
    Content-Type: application/sdp\n\
    l: 5\n\nv=0\r\n";

#[test]
fn a_request_goes_along_but_for_what_belongs_to_the_hop() {
    let carried = with(&INVITE.replace("\r\n", "\n"), |message| {
        Carried::request(message, ours)
    });
    let lines = String::from_utf8(carried.lines().to_vec()).expect("text");
    assert_eq!(
        lines.replace("\r\n", "\n"),
        "Via: SIP/2.0/TLS a;branch=z9hG4bK1, SIP/2.0/TLS behind;branch=z9hG4bK0\n\
         f: \"A, B\" <sip:alice@example.com>;tag=1\n\
         To: <sip:bob@example.com>\n\
         i: x\n\
         CSeq: 9 INVITE\n\
         Contact: <sip:alice@192.0.2.1>\n\
         Route: <sip:further;lr>\n\
         Route: <sip:call-7@h;lr>\n\
         Record-Route: <sip:behind;lr>\n\
         X-Strange: kept\n\
         Content-Type: application/sdp\n"
    );
    assert_eq!(carried.body(), b"v=0\r\n");
}

#[test]
fn an_answer_goes_along_but_for_what_the_request_says() {
    let text = "SIP/2.0 200 Fine\n\
        Via: SIP/2.0/TLS us;branch=z9hG4bK5\n\
        From: <sip:alice@example.com>;tag=1\n\
        To: <sip:bob@example.com>;tag=2\n\
        Call-ID: x\n\
        CSeq: 9 INVITE\n\
        Record-Route: <sip:far;lr>, <sip:near;lr>, <sip:call-7@theirs;lr>, <sip:behind;lr>\n\
        Contact: <sip:bob@192.0.2.2>;isfocus\n\
        P-Asserted-Identity: <sip:boss@example.com>\n\
        Remote-Party-ID: <sip:boss@example.com>;party=called\n\
        Diversion: <sip:bob@example.com>;reason=user-busy\n\
        Proxy-Authenticate: NTLM realm=\"x\"\n\
        WWW-Authenticate: NTLM realm=\"x\"\n\
        Authentication-Info: NTLM rspauth=\"0\"\n\
        PROXY-AUTHENTICATION-INFO: NTLM rspauth=\"0\"\n\
        Authorization: NTLM realm=\"SIP Communications Service\", response=\"signed\"\n\
        Proxy-Authorization: NTLM realm=\"SIP Communications Service\", response=\"signed\"\n\
        X-Strange: kept\n\
        Content-Length: 0\n\n";
    let answer = with(text, |message| {
        Answer::read(message, ours, "<sip:call-7@ours;lr>")
    });
    assert_eq!(
        (
            answer.status,
            &*answer.reason,
            &*answer.tag,
            &*answer.contact
        ),
        (200, "Fine", "2", "sip:bob@192.0.2.2")
    );
    assert!(answer.focus);
    assert_eq!(&*answer.routes, "<sip:near;lr>, <sip:far;lr>");
    let carried = answer.carried.expect("a client's");
    let lines = String::from_utf8(carried.lines().to_vec()).expect("text");
    assert_eq!(
        lines.replace("\r\n", "\n"),
        "Record-Route: <sip:far;lr>\nRecord-Route: <sip:near;lr>\nRecord-Route: <sip:call-7@ours;lr>\n\
         Record-Route: <sip:behind;lr>\nContact: <sip:bob@192.0.2.2>;isfocus\n\
         Diversion: <sip:bob@example.com>;reason=user-busy\nX-Strange: kept\n"
    );
}

#[test]
fn a_challenge_goes_to_nobody() {
    for status in ["401 Unauthorized", "407 Proxy Authentication Required"] {
        let text = format!(
            "SIP/2.0 {status}\nVia: SIP/2.0/TLS us;branch=z9hG4bK5\nFrom: <sip:alice@example.com>;tag=1\n\
             To: <sip:bob@example.com>;tag=2\nCall-ID: x\nCSeq: 9 INVITE\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\n\
             Content-Length: 0\n\n"
        );
        let answer = with(&text, |message| Answer::read(message, ours, ""));
        assert_eq!(answer, Answer::of(480, ""), "{status}");
    }
}

#[test]
fn without_an_offer_it_says_what_it_is_for() {
    for (line, media) in [
        ("X: 1", false),
        ("Accept-Contact: *;audio", true),
        ("a: *;video;require", true),
        ("Accept-Contact: *;text", false),
        ("Accept-Contact: audio", false),
        ("m: <sip:a@b>;audio", true),
        ("Contact: <sip:a@b;audio>", false),
        ("Replaces: x;to-tag=1;from-tag=2", true),
    ] {
        let text = format!(
            "INVITE sip:b@c SIP/2.0\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\nFrom: <sip:a@c>;tag=1\nTo: <sip:b@c>\nCall-ID: x\n\
             CSeq: 1 INVITE\n{line}\nContent-Length: 0\n\n"
        );
        assert_eq!(with(&text, wants_media), media, "{line}");
    }
}

#[test]
fn the_caller_may_want_no_name_told() {
    for (line, private) in [
        ("X: 1", false),
        ("Privacy: id", true),
        ("Privacy: header; ID ;critical", true),
        ("Privacy: none", false),
    ] {
        let text = format!(
            "INVITE sip:b@c SIP/2.0\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\nFrom: <sip:a@c>;tag=1\nTo: <sip:b@c>\nCall-ID: x\n\
             CSeq: 1 INVITE\n{line}\nContent-Length: 0\n\n"
        );
        assert_eq!(with(&text, Invite::is_private), private, "{line}");
    }
}

#[test]
fn a_description_in_one_of_several_parts_makes_a_call() {
    let is_call_with = |content_type: &str, body: &str| {
        let (head, _) = INVITE.split_once("Content-Type").expect("it has one");
        let length = body.len() + body.matches('\n').count();
        let text = format!("{head}Content-Type: {content_type}\nl: {length}\n\n{body}");
        with(&text, is_call)
    };
    let sdp = |media: &str| format!("v=0\no=- 0 0 IN IP4 a\ns=-\nc=IN IP4 a\nt=0 0\n{media}\n");
    let parts = |first: &str, second: &str| {
        format!(
            "--b\nContent-Type: application/sdp\nContent-Disposition: session; handling=optional; ms-proxy-2007fallback\n\n\
             {first}\n--b\nContent-Type: application/sdp\n\n{second}\n--b--\n"
        )
    };
    // The first of a client of Lync has no version.
    let fallback = "o=- 0 0 IN IP4 a\ns=-\nm=audio 0 RTP/AVP\n";
    let (audio, text) = (
        sdp("m=audio 4000 RTP/AVP 0"),
        sdp("m=message 5060 sip null"),
    );
    let several = "multipart/alternative;boundary=\"b\"";
    assert!(is_call_with("application/sdp", &audio));
    assert!(!is_call_with("application/sdp", &text));
    assert!(is_call_with(several, &parts(fallback, &audio)));
    assert!(is_call_with(
        "multipart/mixed; boundary=b",
        &parts(&audio, &text)
    ));
    assert!(!is_call_with(several, &parts(fallback, &text)));
    assert!(!is_call_with(
        "multipart/alternative",
        &parts(fallback, &audio)
    ));
    assert!(!is_call_with("text/plain", &audio));
}
