//! Bindings, by what a client sends and what it is told.

use super::*;

const LIMITS: Settings = Settings {
    expires_default_s: 3600,
    expires_min_s: 60,
    expires_max_s: 7200,
    brief_is_raised: false,
    endpoints_max: 3,
    contact_bytes_max: 100,
};

fn at(seconds: u64) -> Now {
    Now((1_700_000_000 + seconds) * 1_000_000)
}

/// One REGISTER: `order` is `callid/cseq`, `lines` are more header lines.
fn register(
    bindings: &mut Bindings,
    seconds: u64,
    connection: u64,
    order: &str,
    lines: &[&str],
) -> Result<Change, Refusal> {
    let (call_id, cseq) = order.split_once('/').unwrap();
    let mut text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\r\n\
         From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n"
    );
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    let mut bytes = text.into_bytes();
    let message = Message::parse(&mut bytes).expect("the test's own REGISTER");
    bindings.register(&LIMITS, at(seconds), ConnectionId(connection), &message)
}

/// What a person reads of an answer: the contacts of a 200, or the refusal.
fn told(bindings: &Bindings, seconds: u64, answer: &Result<Change, Refusal>) -> String {
    match answer {
        Ok(_) => {
            let list: Vec<_> = bindings
                .contact_values(at(seconds))
                .map(|value| value.to_string())
                .collect();
            format!("200 {}", list.join(", ")).trim_end().to_owned()
        }
        Err(refusal) => match refusal.min_expires_s() {
            Some(least) => format!("{} Min-Expires: {least}", refusal.status()),
            None => format!("{} {}", refusal.status(), refusal.reason()),
        },
    }
}

/// Steps of one user: (second, connection, order, lines, what is told).
fn check(steps: &[(u64, u64, &str, &[&str], &str)]) {
    let mut bindings = Bindings::default();
    for (step, (seconds, connection, order, lines, expected)) in steps.iter().enumerate() {
        let before = format!("{bindings:?}");
        let answer = register(&mut bindings, *seconds, *connection, order, lines);
        assert_eq!(
            told(&bindings, *seconds, &answer),
            *expected,
            "step {step}: {lines:?}"
        );
        if answer.is_err() {
            assert_eq!(
                format!("{bindings:?}"),
                before,
                "step {step}: refused, and yet something changed"
            );
        }
    }
}

const A: &str = "Contact: <sip:alice@192.0.2.1;transport=tls>";
const PHONE: &str = r#"Contact: <sip:alice@192.0.2.9>;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>""#;
const PHONE_TOLD: &str = r#"200 <sip:alice@192.0.2.9>;expires=3600;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1"#;

/// What a user has does not move when a client refreshes, or an hour of refreshes leaves holes all over the heap; and there is
/// no more room than for those who are there.
#[test]
fn who_refreshes_stays_in_place() {
    let mut bindings = Bindings::default();
    let mut register = |order, lines: &[&str]| {
        register(&mut bindings, 0, 1, order, lines).expect("nothing to refuse");
        let texts = bindings.list.iter().map(|endpoint| endpoint.contact());
        let texts: Vec<_> = texts.map(|text| (text.as_ptr(), text.len())).collect();
        assert_eq!(bindings.list.capacity(), texts.len(), "after {order}");
        (bindings.list.as_ptr(), texts)
    };
    let there = register("a/1", &[A]);
    assert_eq!(register("a/2", &[A, "Expires: 600"]), there);
    let with_phone = register("b/1", &[PHONE]);
    assert_eq!(with_phone.1[0], there.1[0], "the other stays where it is");
    assert_eq!(register("b/2", &[PHONE, "Expires: 600"]), with_phone);
    assert_eq!(register("a/3", &[&format!("{A};q=0.5")]), with_phone);
    assert_eq!(register("b/3", &[PHONE, "Expires: 0"]).1, there.1);
}

/// RFC 3261 §10.3: add, refresh, ask, remove one, remove all.
#[test]
fn bind_refresh_ask_remove() {
    check(&[
        (0, 1, "a/1", &[], "200"),
        (
            0,
            1,
            "a/2",
            &[A, "Expires: 600"],
            "200 <sip:alice@192.0.2.1;transport=tls>;expires=600",
        ),
        (
            100,
            1,
            "a/3",
            &[],
            "200 <sip:alice@192.0.2.1;transport=tls>;expires=500",
        ),
        (
            200,
            1,
            "a/4",
            &[A],
            "200 <sip:alice@192.0.2.1;transport=tls>;expires=3600",
        ),
        (
            200,
            1,
            "a/5",
            &[
                "Contact: \"Al\" <sip:alice@192.0.2.2>;q=0.75;expires=90, sip:alice@192.0.2.3;expires=100",
                "Expires: 600",
            ],
            "200 <sip:alice@192.0.2.1;transport=tls>;expires=3600, <sip:alice@192.0.2.2>;expires=90;q=0.750, \
             <sip:alice@192.0.2.3>;expires=100",
        ),
        (
            290,
            1,
            "a/6",
            &["m: sip:alice@192.0.2.3;expires=0"],
            "200 <sip:alice@192.0.2.1;transport=tls>;expires=3510",
        ),
        (300, 2, "b/1", &["Contact: *", "Expires: 0"], "200"),
        (300, 2, "b/2", &["Contact: *", "Expires: 0"], "200"),
        (
            300,
            2,
            "b/3",
            &["Contact: <sip:nobody@192.0.2.7>;expires=0"],
            "200",
        ),
    ]);
}

/// RFC 3261 §10.3 step 7 and §20.10: whose time counts, and its bounds.
#[test]
fn the_time_that_is_granted() {
    for (lines, expected) in [
        (&["Contact: <sip:a@h>"][..], "200 <sip:a@h>;expires=3600"),
        (
            &["Contact: <sip:a@h>", "Expires: 60"],
            "200 <sip:a@h>;expires=60",
        ),
        (
            &["Contact: <sip:a@h>;expires=61", "Expires: 600"],
            "200 <sip:a@h>;expires=61",
        ),
        (
            &["Contact: <sip:a@h>;expires=7201"],
            "200 <sip:a@h>;expires=7200",
        ),
        (
            &["Contact: <sip:a@h>;expires=99999999999999999999"],
            "200 <sip:a@h>;expires=7200",
        ),
        (
            &["Contact: <sip:a@h>;expires=soon", "Expires: 600"],
            "200 <sip:a@h>;expires=3600",
        ),
        (
            &["Contact: <sip:a@h>", "Expires: later"],
            "200 <sip:a@h>;expires=3600",
        ),
        (&["Contact: <sip:a@h>;expires=59"], "423 Min-Expires: 60"),
        (&["Contact: <sip:a@h>", "Expires: 1"], "423 Min-Expires: 60"),
        (
            &["Contact: <sip:a@h>, <sip:b@h>;expires=1"],
            "423 Min-Expires: 60",
        ),
        (&["Contact: <sip:a@h>", "Expires: 0"], "200"),
    ] {
        check(&[(0, 1, "a/1", lines, expected)]);
    }
}

/// RFC 3261 §10.3 steps 6 and 7: an older REGISTER of one client does not undo a newer one.
#[test]
fn a_late_register_changes_nothing() {
    let bound = "200 <sip:alice@192.0.2.1;transport=tls>;expires=3600";
    check(&[
        (0, 1, "a/5", &[A], bound),
        (0, 1, "a/5", &[A], "500 REGISTER out of order"),
        (0, 1, "a/4", &[A, "Expires: 0"], "500 REGISTER out of order"),
        (
            0,
            1,
            "a/4",
            &["Contact: *", "Expires: 0"],
            "500 REGISTER out of order",
        ),
        (
            0,
            1,
            "a/4",
            &["Contact: <sip:b@h>, <sip:alice@192.0.2.1;transport=tls>"],
            "500 REGISTER out of order",
        ),
        (0, 1, "b/1", &[A], bound),
        (0, 1, "a/1", &[A], bound),
        (0, 1, "a/2", &[A, "Expires: 0"], "200"),
        // The binding is gone, and with it what is known of its order.
        (0, 1, "a/1", &[A], bound),
    ]);
}

#[test]
fn contacts_that_are_refused() {
    let long = format!("Contact: <sip:{}@h>", "a".repeat(100));
    for (lines, expected) in [
        (
            &["Contact: *"][..],
            "400 Contact * needs Expires 0 and stands alone",
        ),
        (
            &["Contact: *", "Expires: 60"],
            "400 Contact * needs Expires 0 and stands alone",
        ),
        (&["Contact: *, <sip:a@h>", "Expires: 0"], "400 Bad Contact"),
        (
            &["Contact: *", "Contact: <sip:a@h>", "Expires: 0"],
            "400 Bad Contact",
        ),
        (&["Contact: <mailto:a@h>"], "400 Bad Contact"),
        (&["Contact: <sip:a@h"], "400 Bad Contact"),
        (&["Contact: <sip:a@h>, <sip:>"], "400 Bad Contact"),
        (&[&long], "400 Contact too long"),
        (
            &["Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>, <sip:4@h>"],
            "403 Too many endpoints",
        ),
    ] {
        check(&[(0, 1, "a/1", lines, expected)]);
    }
}

#[test]
fn a_full_house_still_refreshes_and_swaps() {
    let three = "200 <sip:1@h>;expires=3600, <sip:2@h>;expires=3600, <sip:3@h>;expires=3600";
    check(&[
        (
            0,
            1,
            "a/1",
            &["Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>"],
            three,
        ),
        (
            0,
            1,
            "b/1",
            &["Contact: <sip:4@h>"],
            "403 Too many endpoints",
        ),
        (
            0,
            1,
            "a/2",
            &["Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>"],
            three,
        ),
        (
            0,
            1,
            "a/3",
            &["Contact: <sip:2@h>;expires=0, <sip:4@h>"],
            "200 <sip:1@h>;expires=3600, <sip:3@h>;expires=3600, <sip:4@h>;expires=3600",
        ),
    ]);
}

/// RFC 3261 §19.1.4 decides whether two contacts are one; the newest text counts.
#[test]
fn equivalent_contacts_are_one() {
    check(&[
        (
            0,
            1,
            "a/1",
            &["Contact: <sip:%61lice@EXAMPLE.net:5061;transport=TLS>"],
            "200 <sip:%61lice@EXAMPLE.net:5061;transport=TLS>;expires=3600",
        ),
        (
            0,
            1,
            "a/2",
            &["Contact: <sip:alice@example.net:5061;transport=tls>"],
            "200 <sip:alice@example.net:5061;transport=tls>;expires=3600",
        ),
        (
            0,
            1,
            "a/3",
            &["Contact: <sip:b@h>, <sip:b@H>;q=0.1"],
            "200 <sip:alice@example.net:5061;transport=tls>;expires=3600, <sip:b@H>;expires=3600;q=0.100",
        ),
    ]);
}

/// What a client calls itself is printed with the records: also escaped, it commands no terminal.
#[test]
fn an_instance_id_is_text() {
    for control in ["\u{1b}", "\u{7}", "\0", "\u{7f}", "\u{9b}"] {
        let contact = format!("{A};+sip.instance=\"<=1\\{control}2J>\"");
        check(&[(0, 1, "a/1", &[&contact], "400 Bad Contact")]);
    }
}

/// RFC 5626 §6: instance and reg-id are the binding, whatever the URI.
#[test]
fn an_instance_is_one_endpoint_wherever_it_is() {
    let mut bindings = Bindings::default();
    let first = register(
        &mut bindings,
        0,
        1,
        "a/1",
        &[PHONE, "Supported: path, outbound"],
    );
    assert_eq!(told(&bindings, 0, &first), PHONE_TOLD);
    let first = first.unwrap();
    assert!(first.outbound && first.moved.is_empty() && first.removed.is_empty());
    assert_eq!(first.added.as_slice(), &[EndpointId(0)]);
    let endpoint = bindings.endpoint(EndpointId(0)).unwrap();
    assert_eq!(
        endpoint.instance(),
        "urn:uuid:00000000-0000-1000-8000-000A95A0E128"
    );
    assert_eq!(
        (endpoint.contact(), endpoint.reg_id, endpoint.connection),
        ("sip:alice@192.0.2.9", 1, ConnectionId(1))
    );

    // Another network, another address, another Call-ID, lower case: the same phone.
    let again = register(
        &mut bindings,
        9,
        2,
        "b/1",
        &[&PHONE.replace(".9", ".77").replace('A', "a")],
    )
    .unwrap();
    assert!(!again.outbound, "without Supported: outbound");
    assert_eq!(again.moved.as_slice(), &[(EndpointId(0), ConnectionId(1))]);
    assert_eq!(
        (again.endpoint, again.added.len(), bindings.count()),
        (Some(EndpointId(0)), 0, 1)
    );
    assert_eq!(
        bindings.endpoint(EndpointId(0)).unwrap().contact(),
        "sip:alice@192.0.2.77"
    );

    // The old connection's end no longer concerns it; a second flow of the phone is a second binding.
    assert!(bindings.connection_gone(ConnectionId(1)).is_empty());
    let second = register(
        &mut bindings,
        9,
        3,
        "c/1",
        &[&PHONE.replace("reg-id=1", "reg-id=2")],
    )
    .unwrap();
    assert_eq!(second.added.as_slice(), &[EndpointId(1)]);
    let gone = bindings.connection_gone(ConnectionId(2));
    assert_eq!(
        gone.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(),
        [EndpointId(0)]
    );
    assert_eq!(bindings.count(), 1);
    assert_eq!(bindings.expire(Now(u64::MAX)).len(), 1);
    assert_eq!(bindings.list.capacity(), 0, "who is offline needs no room");
}

/// A phone that moves says so in one REGISTER: the new address, and the old one to be removed (RFC 3261 §10.3 step 7).
#[test]
fn the_old_address_is_removed_and_not_the_phone() {
    const X: &str = r#";+sip.instance="<urn:uuid:1>""#;
    let line = |host: &str, more: &str| format!("Contact: <sip:a@{host}>{more}");
    let (old, new) = (line("h:1", X), line("h:2", X));
    let (old_gone, new_gone) = (format!("{old};expires=0"), format!("{new};expires=0"));
    let told = |host: &str, more: &str| format!("200 <sip:a@{host}>;expires=3600{more}");
    let (at_old, at_new, plain) = (told("h:1", X), told("h:2", X), told("h:1", ""));
    let bare = line("h:1", "");
    let bare_gone = line("h:1", ";expires=0");
    check(&[
        (0, 1, "a/1", &[&old], &at_old),
        (0, 1, "a/2", &[&new, &old_gone], &at_new),
        (0, 1, "a/3", &[&new_gone, &old], &at_old),
        // What was bound a moment ago is removed by its own URI, as before.
        (0, 1, "a/4", &[&new, &new_gone], "200"),
        (0, 1, "a/5", &[&old], &at_old),
        // Alone it names the phone by its instance, wherever that is.
        (0, 1, "a/6", &[&new_gone], "200"),
        (0, 1, "a/7", &[&old], &at_old),
        // Without the instance it is the URI that counts, to remove and to bind: there is one phone at one address.
        (0, 1, "a/8", &[&bare_gone], "200"),
        (0, 1, "a/9", &[&old], &at_old),
        (0, 1, "b/1", &[&bare], &plain),
        (0, 1, "a/10", &[&old], &at_old),
        (0, 1, "a/11", &["Contact: *", "Expires: 0"], "200"),
    ]);
}

/// RFC 5626 §6.
#[test]
fn flows_one_at_a_time() {
    let two = format!("{PHONE}, <sip:b@h>");
    check(&[
        (
            0,
            1,
            "a/1",
            &[&two],
            "400 One Contact with reg-id at a time",
        ),
        (
            0,
            1,
            "a/1",
            &["Contact: <sip:b@h>", PHONE],
            "400 One Contact with reg-id at a time",
        ),
        (
            0,
            1,
            "a/1",
            &[PHONE, "Contact: <sip:b@h>;expires=0"],
            PHONE_TOLD,
        ),
        // A reg-id without an instance is ignored.
        (
            0,
            1,
            "b/1",
            &[
                "Contact: <sip:b@h>;reg-id=1, <sip:c@h>;reg-id=1",
                "Contact: *;x",
            ],
            "400 Bad Contact",
        ),
        (0, 1, "c/1", &[PHONE, "Expires: 0"], "200"),
        (
            0,
            1,
            "d/1",
            &["Contact: <sip:b@h>;reg-id=1, <sip:c@h>;reg-id=1"],
            "200 <sip:b@h>;expires=3600, <sip:c@h>;expires=3600",
        ),
    ]);
}

#[test]
fn what_expires_is_gone_and_says_when() {
    let mut bindings = Bindings::default();
    register(
        &mut bindings,
        0,
        1,
        "a/1",
        &["Contact: <sip:1@h>;expires=60, <sip:2@h>;expires=120"],
    )
    .unwrap();
    assert_eq!(bindings.next_expiry(), Some(at(60)));
    assert!(bindings.expire(at(59)).is_empty());
    assert_eq!(
        bindings.endpoints(at(60)).count(),
        1,
        "expired, though not yet taken away"
    );
    assert_eq!(bindings.expire(at(60)).len(), 1);
    assert_eq!(bindings.next_expiry(), Some(at(120)));
    assert_eq!(bindings.expire(at(500)).len(), 1);
    assert_eq!((bindings.next_expiry(), bindings.is_empty()), (None, true));
}

#[test]
fn a_contact_bound_and_unbound_at_once_was_never_there() {
    let mut bindings = Bindings::default();
    let change = register(
        &mut bindings,
        0,
        1,
        "a/1",
        &["Contact: <sip:1@h>, <sip:1@h>;expires=0"],
    )
    .unwrap();
    assert!(
        bindings.is_empty()
            && change.added.is_empty()
            && change.removed.is_empty()
            && change.endpoint.is_none()
    );
}

/// RFC 3840, Allow and Accept.
#[test]
fn an_endpoint_tells_what_it_can_do() {
    use crate::sip::message::Method;
    let mut bindings = Bindings::default();
    let lines = [
        "Contact: <sip:1@h>;audio;video=\"FALSE\";mobility=\"mobile\";methods=\"INVITE, MESSAGE\"",
        "Allow: ACK, BYE",
        "Accept: application/sdp, message/cpim;q=0.5",
    ];
    register(&mut bindings, 0, 1, "a/1", &lines).unwrap();
    register(&mut bindings, 0, 1, "a/2", &["Contact: <sip:2@h>"]).unwrap();
    let told: Vec<_> = bindings
        .endpoints(at(0))
        .map(|endpoint| endpoint.capabilities)
        .collect();
    let allowed = [
        Method::Invite,
        Method::Message,
        Method::Ack,
        Method::Bye,
        Method::Refer,
    ]
    .map(|method| told[0].allows(method));
    assert_eq!(
        allowed,
        [Some(true), Some(true), Some(true), Some(true), Some(false)]
    );
    assert!(
        told[0].has(Feature::Audio) && told[0].has(Feature::Mobile) && told[0].has(Feature::Cpim)
    );
    assert!(!told[0].has(Feature::Video) && !told[0].has(Feature::IsComposing));
    assert_eq!(told[1].allows(Method::Message), None);
}

#[test]
fn qvalues() {
    for (text, value) in [
        ("0", Some(0)),
        ("1", Some(1000)),
        ("0.7", Some(700)),
        (".05", Some(50)),
        ("1.000", Some(1000)),
        ("0.123", Some(123)),
        ("1.001", None),
        ("2", None),
        ("0.1234", None),
        ("-0.1", None),
        ("0.x", None),
    ] {
        assert_eq!(thousandths(text), value, "{text}");
    }
}
