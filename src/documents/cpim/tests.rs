//! Envelopes read, written and rewritten; who spoke cannot be said twice.

use super::*;

/// RFC 3862 §5.1 with RFC 5438's headers, under an unusual prefix.
const MESSAGE: &str = "From: \"MR \\\"S\\\" <ANDERS>\" <im:piglet@100akerwood.com>\r\n\
    To: Depressed Donkey <im:eeyore@100akerwood.com>\r\n\
    DateTime: 2000-12-13T13:40:00-08:00\r\n\
    NS: d <urn:ietf:params:imdn>\r\n\
    NS: other <urn:example:other>\r\n\
    other.Message-ID: not-this-one\r\n\
    d.Message-ID: 34jk324j\r\n\
    d.Disposition-Notification: positive-delivery, display;x=y, telepathy\r\n\
    Subject:;lang=fr beau\\u0020temps pr\\u00e9vu\r\n\
    \r\n\
    Content-type: text/plain; charset=utf-8\r\n\
    Content-ID: <1234567890@foo.com>\r\n\
    \r\n\
    Here is the text.\r\n\r\nMore.";

#[test]
fn a_message_is_read_in_place() {
    let read = Cpim::read(MESSAGE.as_bytes()).unwrap();
    assert_eq!(read.address("from"), Some("im:piglet@100akerwood.com"));
    assert_eq!(read.address("To"), Some("im:eeyore@100akerwood.com"));
    assert_eq!(read.message_id().as_deref(), Some("34jk324j"));
    let wishes = read.wishes();
    assert!(wishes.positive_delivery && wishes.display);
    assert!(!wishes.negative_delivery && !wishes.processing);
    assert_eq!(read.content_type(), "text/plain; charset=utf-8");
    assert_eq!(read.content, b"Here is the text.\r\n\r\nMore.");
    assert_eq!(
        read.header("subject").as_deref(),
        Some(";lang=fr beau temps pr\u{e9}vu")
    );
    let text = MESSAGE.as_bytes().as_ptr_range();
    assert!(text.contains(&read.content.as_ptr()));
}

#[test]
fn lines_may_end_in_lf_alone() {
    let read = Cpim::read(MESSAGE.replace("\r\n", "\n").leak().as_bytes()).unwrap();
    assert_eq!(read.address("From"), Some("im:piglet@100akerwood.com"));
    assert_eq!(read.content, b"Here is the text.\n\nMore.");
}

#[test]
fn bad_messages_are_refused() {
    let long = "x".repeat(LINE_BYTES_MAX);
    let cases = [
        (String::new(), Fault::Malformed),
        ("\r\n\r\n".into(), Fault::Malformed),
        ("From: <im:a@b>\r\n".into(), Fault::Malformed),
        ("From: <im:a@b>\r\n\r\n".into(), Fault::Malformed),
        (
            "From: <im:a@b>\r\n\r\nContent-Type: text/plain\r\n".into(),
            Fault::Malformed,
        ),
        ("From\r\n\r\n\r\n".into(), Fault::Malformed),
        (": x\r\n\r\n\r\n".into(), Fault::Malformed),
        ("Fr om: x\r\n\r\n\r\n".into(), Fault::Malformed),
        ("From: a\rTo: b\r\n\r\n\r\n".into(), Fault::Malformed),
        (format!("From: {long}\r\n\r\n\r\n"), Fault::TooLong),
        (
            "A: b\r\n".repeat(HEADERS_MAX + 1) + "\r\n\r\n",
            Fault::TooLong,
        ),
        (
            "A: b\r\n".repeat(HEADERS_MAX) + "\r\nContent-Type: x\r\n\r\n",
            Fault::TooLong,
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(Cpim::read(message.as_bytes()), Err(expected), "{message}");
    }
    assert_eq!(Cpim::read(b"From: \xff\r\n\r\n\r\n"), Err(Fault::Malformed));
}

#[test]
fn who_spoke_can_be_read_in_one_way_only() {
    let alice = "From: Alice <sip:alice@example.com>\r\n";
    let cases = [
        (alice.to_string(), true),
        ("From: <sip:alice@example.com>\r\n".into(), true),
        (
            "From: \"A \\\" <x>\" <sip:alice@example.com>\r\n".into(),
            true,
        ),
        (format!("{alice}To: <sip:a@b>\r\nTo: <sip:c@d>\r\n"), true),
        ("Subject: nobody says so\r\n".into(), true),
        (
            format!("{alice}NS: x <urn:x>\r\nx.From: <sip:eve@example.com>\r\n"),
            true,
        ),
        (format!("{alice}from: <sip:eve@example.com>\r\n"), false),
        (format!("{alice}{alice}"), false),
        (
            "From: <sip:eve@example.com> <sip:alice@example.com>\r\n".into(),
            false,
        ),
        ("From: <sip:alice@example.com> eve\r\n".into(), false),
        (
            "From: <sip:alice@example.com>;x=<sip:eve@example.com>\r\n".into(),
            false,
        ),
        ("From: \"<sip:alice@example.com>\r\n".into(), false),
        (
            "From: \"a\" \"b\" <sip:alice@example.com>\r\n".into(),
            false,
        ),
        ("From: sip:alice@example.com\r\n".into(), false),
        ("From: <>\r\n".into(), false),
        (format!("{alice}To: nobody\r\n"), false),
        (format!("{alice}To: <sip:a@b>\r\nTo: nobody\r\n"), false),
        (format!("{alice}NS: <urn:x>\r\n"), false),
        (
            format!(
                "{alice}NS: c <urn:ietf:params:cpim-headers:>\r\nc.From: <sip:eve@example.com>\r\n"
            ),
            false,
        ),
        (format!("{alice}NS: c\r\n"), false),
    ];
    for (headers, fine) in cases {
        let message = format!("{headers}\r\nContent-Type: text/plain\r\n\r\nhi");
        assert_eq!(Cpim::read(message.as_bytes()).is_ok(), fine, "{headers}");
    }
}

#[test]
fn without_a_type_content_is_plain_text() {
    let read = Cpim::read(b"From: <im:a@b>\r\n\r\n\r\nhi").unwrap();
    assert_eq!(
        (read.content_type(), read.content),
        ("text/plain", &b"hi"[..])
    );
    assert_eq!(read.message_id(), None);
    assert_eq!(read.wishes(), imdn::Wishes::default());
}

const ENVELOPE: Envelope<'static> = Envelope {
    from_name: "Al \"x\"\r\nTo: <sip:evil@example.com>",
    from: "sip:alice@example.com>\r\nX: y",
    to: "sip:im-1@example.com",
};

#[test]
fn an_envelope_cannot_be_broken_out_of() {
    let mut out = Vec::new();
    write(
        &mut out,
        &ENVELOPE,
        Now(1_772_352_000_000_000),
        "text/plain\r\nX: y",
        b"hi",
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "From: \"Al \\\"x\\\"To: <sip:evil@example.com>\" <sip:alice@example.comX: y>\r\n\
         To: <sip:im-1@example.com>\r\nDateTime: 2026-03-01T08:00:00Z\r\n\r\n\
         Content-Type: text/plainX: y\r\n\r\nhi"
    );
}

#[test]
fn a_rewritten_message_keeps_all_but_its_addresses() {
    let envelope = Envelope {
        from_name: "",
        from: "sip:alice@example.com",
        to: "sip:im-1@example.com",
    };
    let mut out = Vec::new();
    rewrite(
        &mut out,
        &Cpim::read(MESSAGE.as_bytes()).unwrap(),
        &envelope,
    );
    let read = Cpim::read(&out).unwrap();
    assert_eq!(read.address("From"), Some("sip:alice@example.com"));
    assert_eq!(read.address("To"), Some("sip:im-1@example.com"));
    assert_eq!(read.headers.len(), 9);
    assert_eq!(read.message_id().as_deref(), Some("34jk324j"));
    assert!(read.wishes().display);
    assert!(
        core::str::from_utf8(&out)
            .unwrap()
            .contains("\r\nSubject:;lang=fr ")
    );
    assert_eq!(read.content, b"Here is the text.\r\n\r\nMore.");
    assert_eq!(read.content_headers.len(), 2);
}

#[test]
fn escapes() {
    let cases = [
        ("plain", "plain"),
        ("a\\nb\\t\\\\\\\"\\'", "a\nb\t\\\"'"),
        ("\\u00e9\\u12", "\u{e9}u12"),
        ("\\ud800", "ud800"),
        ("end\\", "end\\"),
        ("\\\u{e9}", "\u{e9}"),
        ("\\u\u{e9}\u{e9}", "u\u{e9}\u{e9}"),
    ];
    for (raw, expected) in cases {
        assert_eq!(unescape(raw), expected, "{raw}");
    }
}
