//! Challenges and answers, by what a client sends and what becomes of it.

use super::*;

const PASSWORD: &str = "correct horse";
const START: Now = Now(1_700_000_000_000_000);

fn authenticator() -> Authenticator {
    let settings = Settings {
        domains: vec!["example.com".into(), "example.net".into()],
        ..Settings::default()
    };
    Authenticator::new(settings, &[3; 32])
}

fn peer() -> SocketAddr {
    "192.0.2.1:50000".parse().unwrap()
}

fn alice() -> Credentials {
    Credentials {
        ha1_md5: Some(ha1_md5("alice", "example.com", PASSWORD)),
        ha1_sha256: Some(ha1_sha256("alice", "example.com", PASSWORD)),
        nt_hash: Some(nt_hash(PASSWORD)),
    }
}

fn request(line: &str, authorization: &[String]) -> Vec<u8> {
    let method = line.split(' ').next().unwrap();
    let mut text = format!(
        "{line} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
         To: <sip:alice@example.net>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n"
    );
    for value in authorization {
        text.push_str(&format!("Authorization: {value}\r\n"));
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text.into_bytes()
}

/// A client's answer, each part to be spoiled by a test.
#[derive(Clone)]
struct Reply {
    username: &'static str,
    realm: &'static str,
    password: &'static str,
    uri: &'static str,
    algorithm: Algorithm,
    nonce: String,
    /// `qop` and `nc`; None: neither, nor `cnonce`.
    protection: Option<(&'static str, u32)>,
}

impl Reply {
    fn new(nonce: &str) -> Reply {
        Reply {
            username: "alice",
            realm: "example.com",
            password: PASSWORD,
            uri: "sip:example.com",
            algorithm: Algorithm::Sha256,
            nonce: nonce.to_owned(),
            protection: Some(("auth", 1)),
        }
    }

    fn value(&self) -> String {
        // Written out once more, with its own arithmetic order, so that the client is not the server's mirror.
        let hash = |text: String| match self.algorithm {
            Algorithm::Md5 => hexadecimal(&<md5::Md5 as md5::Digest>::digest(text)),
            Algorithm::Sha256 => hexadecimal(&<sha2::Sha256 as sha2::Digest>::digest(text)),
        };
        let ha1 = hash(format!(
            "{}:{}:{}",
            self.username, self.realm, self.password
        ));
        let ha2 = hash(format!("REGISTER:{}", self.uri));
        let (middle, more) = match self.protection {
            Some((qop, nc)) => (
                format!("{nc:08x}:abc:{qop}:"),
                format!(", qop={qop}, nc={nc:08x}, cnonce=\"abc\""),
            ),
            None => (String::new(), String::new()),
        };
        let response = hash(format!("{ha1}:{}:{middle}{ha2}", self.nonce));
        format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\", algorithm={}{more}",
            self.username,
            self.realm,
            self.nonce,
            self.uri,
            self.algorithm.as_str(),
        )
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nonce_for(now: Now, peer: SocketAddr) -> String {
    NonceKey::new(&[3; 32]).issue(now, peer)
}

/// What becomes of these Authorization lines in a REGISTER.
fn outcome(
    values: &[String],
    now: Now,
    credentials: Option<&Credentials>,
    seen: &mut Seen,
) -> String {
    let authenticator = authenticator();
    let mut bytes = request("REGISTER sip:example.com", values);
    let message = Message::parse(&mut bytes).unwrap();
    match authenticator.claim(&message, now, peer()) {
        Claim::User(answer) => {
            format!(
                "{} {:?}",
                answer.aor(),
                authenticator.verify(&answer, credentials, seen)
            )
        }
        Claim::Malformed(flaw) => format!("{flaw:?}"),
        claim => format!("{claim:?}"),
    }
}

fn check(reply: &Reply, expected: &str) {
    let got = outcome(
        &[reply.value()],
        START,
        Some(&alice()),
        &mut Seen::default(),
    );
    assert_eq!(got, expected, "{}", reply.value());
}

#[test]
fn challenges_come_in_the_order_of_the_settings() {
    let mut authenticator = authenticator();
    let mut bytes = request("MESSAGE sip:bob@example.com", &[]);
    let message = Message::parse(&mut bytes).unwrap();
    let nonce = nonce_for(START, peer());
    assert_eq!(
        authenticator
            .challenges(&message, START, peer(), false)
            .as_slice(),
        [
            format!(
                "Digest realm=\"example.com\", nonce=\"{nonce}\", algorithm=SHA-256, qop=\"auth\""
            ),
            format!("Digest realm=\"example.com\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\""),
            "NTLM realm=\"SIP Communications Service\", targetname=\"example.com\", version=4"
                .to_owned(),
        ]
    );
    authenticator.set(Settings {
        schemes: vec![Scheme::DigestMd5],
        ..authenticator.settings.clone()
    });
    assert_eq!(
        authenticator
            .challenges(&message, START, peer(), true)
            .as_slice(),
        [format!(
            "Digest realm=\"example.com\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\", stale=true"
        )]
    );
    // In a REGISTER it is To that says whose domain.
    let mut bytes = request("REGISTER sip:example.net", &[]);
    let message = Message::parse(&mut bytes).unwrap();
    assert!(
        authenticator.challenges(&message, START, peer(), false)[0]
            .contains("realm=\"example.net\"")
    );
}

#[test]
fn nobody_is_offered_what_they_cannot_bear_if_there_is_anything_else() {
    let mut authenticator = authenticator();
    let check = |authenticator: &Authenticator, agent: &str, expected: &[&str]| {
        let mut bytes = request("REGISTER sip:example.com", &[]);
        let at = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 2;
        bytes.splice(at..at, format!("User-Agent: {agent}\r\n").into_bytes());
        let message = Message::parse(&mut bytes).unwrap();
        let challenges = authenticator.challenges(&message, START, peer(), false);
        let algorithms: Vec<_> = challenges
            .iter()
            .map(|line| match line.split_once("algorithm=") {
                Some((_, rest)) => rest.split(',').next().unwrap(),
                None => line.split(' ').next().unwrap(),
            })
            .collect();
        assert_eq!(algorithms, expected, "{agent}");
    };
    check(&authenticator, "baresip v1.0.0 (x86_64/linux)", &["MD5"]);
    check(
        &authenticator,
        "baresip v3.5.1 (x86_64/Linux)",
        &["SHA-256", "MD5", "NTLM"],
    );
    check(
        &authenticator,
        "Purple/2.14.12 Sipe/1.25.0",
        &["SHA-256", "MD5", "NTLM"],
    );
    for linphone in ["Linphonec/5.1.65", "Unknown (belle-sip/5.1.64)"] {
        check(&authenticator, linphone, &["SHA-256", "MD5"]);
    }
    authenticator.set(Settings {
        schemes: vec![Scheme::DigestSha256],
        ..authenticator.settings.clone()
    });
    check(
        &authenticator,
        "baresip v1.0.0 (x86_64/linux)",
        &["SHA-256"],
    );
    authenticator.set(Settings {
        schemes: vec![Scheme::Ntlm],
        ..authenticator.settings.clone()
    });
    check(&authenticator, "Linphonec/5.1.65", &["NTLM"]);
}

#[test]
fn right_answers() {
    let reply = Reply::new(&nonce_for(START, peer()));
    let proved = "alice@example.com Proved";
    check(&reply, proved);
    check(
        &Reply {
            algorithm: Algorithm::Md5,
            ..reply.clone()
        },
        proved,
    );
    check(
        &Reply {
            algorithm: Algorithm::Md5,
            protection: None,
            ..reply.clone()
        },
        proved,
    );
    for uri in [
        "sip:example.com;transport=tls",
        "sips:EXAMPLE.com",
        "sip:example.com:5061",
    ] {
        check(
            &Reply {
                uri,
                ..reply.clone()
            },
            proved,
        );
    }
    // Many people type the whole address where a client asks for the name to prove.
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        check(
            &Reply {
                username: "alice@example.com",
                algorithm,
                ..reply.clone()
            },
            proved,
        );
    }
    // No algorithm means MD5.
    let value = Reply {
        algorithm: Algorithm::Md5,
        ..reply.clone()
    }
    .value()
    .replace(", algorithm=MD5", "");
    assert_eq!(
        outcome(&[value], START, Some(&alice()), &mut Seen::default()),
        proved
    );
    // The line for us counts, wherever it stands.
    let others = [
        "NTLM realm=\"x\"".to_owned(),
        Reply {
            realm: "else.where",
            ..reply.clone()
        }
        .value(),
        reply.value(),
    ];
    assert_eq!(
        outcome(&others, START, Some(&alice()), &mut Seen::default()),
        proved
    );
}

#[test]
fn wrong_answers() {
    let reply = Reply::new(&nonce_for(START, peer()));
    check(
        &Reply {
            password: "guess",
            ..reply.clone()
        },
        "alice@example.com Wrong",
    );
    check(
        &Reply {
            realm: "else.where",
            ..reply.clone()
        },
        "NoCredentials",
    );
    check(
        &Reply {
            realm: "EXAMPLE.COM",
            ..reply.clone()
        },
        "NoCredentials",
    );
    check(
        &Reply {
            username: "",
            ..reply.clone()
        },
        "Username",
    );
    check(
        &Reply {
            username: "alice@else.where",
            ..reply.clone()
        },
        "Username",
    );
    check(
        &Reply {
            username: "alice@EXAMPLE.com",
            ..reply.clone()
        },
        "Username",
    );
    check(
        &Reply {
            username: "alice@example.com",
            password: "guess",
            ..reply.clone()
        },
        "alice@example.com Wrong",
    );
    check(
        &Reply {
            username: "@example.com",
            ..reply.clone()
        },
        "Username",
    );
    for uri in [
        "sip:else.where",
        "sip:alice@example.com",
        "tel:1",
        "",
        "sip:",
    ] {
        check(
            &Reply {
                uri,
                ..reply.clone()
            },
            "Uri",
        );
    }
    check(
        &Reply {
            protection: None,
            ..reply.clone()
        },
        "Qop",
    );
    check(
        &Reply {
            protection: Some(("auth-int", 1)),
            ..reply.clone()
        },
        "Qop",
    );
    check(
        &Reply {
            protection: Some(("auth-int", 1)),
            algorithm: Algorithm::Md5,
            ..reply.clone()
        },
        "Qop",
    );
    let spoiled = |from: &str, to: &str| {
        let value = reply.value();
        assert!(value.contains(from), "{value}");
        outcome(
            &[value.replace(from, to)],
            START,
            Some(&alice()),
            &mut Seen::default(),
        )
    };
    assert_eq!(spoiled("nc=00000001", "nc=1g"), "Count");
    assert_eq!(spoiled("nc=00000001", "nc=000000001"), "Count");
    assert_eq!(spoiled(", nc=00000001", ""), "Count");
    assert_eq!(spoiled(", cnonce=\"abc\"", ""), "Count");
    assert_eq!(
        spoiled("cnonce=\"abc\"", "cnonce=\"abd\""),
        "alice@example.com Wrong"
    );
    assert_eq!(spoiled("uri=", "x="), "Incomplete");
    assert_eq!(spoiled("response=", "x="), "Incomplete");
    assert_eq!(spoiled("nonce=", "x="), "Incomplete");
    assert_eq!(
        spoiled("algorithm=", "userhash=true, algorithm="),
        "UserHash"
    );
    assert_eq!(spoiled("SHA-256", "SHA-512-256"), "NoCredentials");
    assert_eq!(spoiled("SHA-256", "SHA-256-sess"), "NoCredentials");
    assert_eq!(spoiled("SHA-256", "MD5"), "alice@example.com Wrong");
    assert_eq!(spoiled("Digest ", "Basic "), "NoCredentials");
    assert_eq!(
        outcome(&["Digest".to_owned()], START, None, &mut Seen::default()),
        "NoCredentials"
    );
    assert_eq!(
        outcome(&[], START, None, &mut Seen::default()),
        "NoCredentials"
    );
}

/// A user that is not there looks like a wrong password, also one without a hash for the scheme.
#[test]
fn nobody_is_told_who_is_there() {
    let value = [Reply::new(&nonce_for(START, peer())).value()];
    let only_md5 = Credentials {
        ha1_sha256: None,
        ..alice()
    };
    for credentials in [None, Some(&only_md5)] {
        assert_eq!(
            outcome(&value, START, credentials, &mut Seen::default()),
            "alice@example.com Wrong"
        );
    }
    // Nor whose password is from before the whole address was hashed.
    let mut older = alice();
    if let Some(ha1) = &mut older.ha1_sha256 {
        ha1.address = None;
    }
    let whole = [Reply {
        username: "alice@example.com",
        ..Reply::new(&nonce_for(START, peer()))
    }
    .value()];
    for credentials in [None, Some(&older)] {
        assert_eq!(
            outcome(&whole, START, credentials, &mut Seen::default()),
            "alice@example.com Wrong"
        );
    }
    assert_eq!(
        outcome(&value, START, Some(&older), &mut Seen::default()),
        "alice@example.com Proved"
    );
}

#[test]
fn nonces_go_stale_and_are_not_replayed() {
    let reply = Reply::new(&nonce_for(START, peer()));
    let later = |seconds| START.after(Duration::from_secs(seconds));
    let mut seen = Seen::default();
    let mut step = |nc, seconds, expected: &str| {
        let value = Reply {
            protection: Some(("auth", nc)),
            ..reply.clone()
        }
        .value();
        assert_eq!(
            outcome(&[value], later(seconds), Some(&alice()), &mut seen),
            expected,
            "nc {nc} at {seconds} s"
        );
    };
    step(1, 0, "alice@example.com Proved");
    step(1, 1, "alice@example.com Stale");
    step(2, 2, "alice@example.com Proved");
    step(7, 300, "alice@example.com Proved");
    step(8, 301, "Stale");
    // A nonce of another connection, and one of another server.
    for nonce in [
        nonce_for(START, "192.0.2.1:50001".parse().unwrap()),
        "x".to_owned(),
    ] {
        check(
            &Reply {
                nonce,
                ..reply.clone()
            },
            "Stale",
        );
    }
    // Without qop the nonce may be used again while it is fresh.
    let old = Reply {
        algorithm: Algorithm::Md5,
        protection: None,
        ..reply.clone()
    }
    .value();
    let mut seen = Seen::default();
    for (seconds, expected) in [
        (0, "alice@example.com Proved"),
        (299, "alice@example.com Proved"),
        (301, "Stale"),
    ] {
        assert_eq!(
            outcome(
                std::slice::from_ref(&old),
                later(seconds),
                Some(&alice()),
                &mut seen
            ),
            expected
        );
    }
}

#[test]
fn guessing_ends_and_a_right_answer_forgives() {
    let nonce = nonce_for(START, peer());
    let wrong = [Reply {
        password: "guess",
        ..Reply::new(&nonce)
    }
    .value()];
    let mut seen = Seen::default();
    for _ in 0..4 {
        assert_eq!(
            outcome(&wrong, START, Some(&alice()), &mut seen),
            "alice@example.com Wrong"
        );
    }
    let right = [Reply::new(&nonce).value()];
    assert_eq!(
        outcome(&right, START, Some(&alice()), &mut seen),
        "alice@example.com Proved"
    );
    for _ in 0..4 {
        assert_eq!(
            outcome(&wrong, START, None, &mut seen),
            "alice@example.com Wrong"
        );
    }
    assert_eq!(
        outcome(&wrong, START, None, &mut seen),
        "alice@example.com TooMany"
    );
}

#[test]
fn nothing_secret_is_printed() {
    let authenticator = authenticator();
    let mut bytes = request(
        "REGISTER sip:example.com",
        &[Reply::new(&nonce_for(START, peer())).value()],
    );
    let message = Message::parse(&mut bytes).unwrap();
    let claim = authenticator.claim(&message, START, peer());
    let printed = format!("{claim:?} {authenticator:?} {:?}", alice());
    assert_eq!(
        printed.split_once(" Authenticator").map(|(claim, _)| claim),
        Some("User(Answer { aor: Aor(\"alice@example.com\"), .. })")
    );
    assert!(
        printed.contains("key: NonceKey") && printed.contains("nobody: Credentials }"),
        "{printed}"
    );
}
