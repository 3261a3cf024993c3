use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use serde_json::Value;

use super::phone::Phone;
use super::place::{PATIENCE, Place, Server};
use crate::client::{Heard, authorization};
use muster::auth::{BadNonce, NonceKey};
use muster::shell::clock::Clock;
use muster::sip::header::AuthParams;

/// A second that others of this machine may stretch.
const A_SECOND: Duration = Duration::from_millis(1500);

#[test]
fn ready_means_ready_and_sigterm_means_0() {
    let place = Place::new("");
    place.add("alice");
    let mut server = place.serve();
    for path in ["/healthz", "/readyz", "/healthz?verbose=1"] {
        let answer = server.get(path);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    Phone::registered(&mut server, "alice");
    assert!(
        tls_handshake(&mut server, &certificate(&place)),
        "TLS is served with the generated certificate"
    );
    server.stops_well();
    assert!(
        !server.said().contains("secret"),
        "no credential in the log"
    );
    for name in ["muster.db", "cdr.db", "tls/cert.pem", "tls/key.pem"] {
        assert!(place.data(name).exists(), "{name}");
    }
}

/// Whoever could read the old key cannot read the new one, be it that they have the file open.
#[test]
fn a_new_key_is_the_owners_alone() {
    let place = Place::new("");
    let key = place.data("tls/key.pem");
    std::fs::create_dir_all(place.data("tls")).expect("a folder");
    for left_over in [&key, &place.data("tls/key.pem.new")] {
        std::fs::write(left_over, "old").expect("written");
        let readable = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(left_over, readable).expect("set");
    }
    let mut open = std::fs::File::open(&key).expect("readable");
    let mut server = place.serve();
    assert!(tls_handshake(&mut server, &certificate(&place)));
    let mode = |path| std::fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!(mode(&key), 0o600);
    let mut text = String::new();
    open.read_to_string(&mut text).expect("text");
    assert_eq!(text, "old");
    let files = std::fs::read_dir(place.data("tls")).expect("the folder");
    assert_eq!(files.count(), 2, "no half of anything is left");
}

/// It would let people in whom it throws out again at once.
#[test]
fn a_server_without_its_admin_port_lets_nobody_in() {
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        (listener, address)
    };
    let (_taken, admin) = free();
    let (door, sip) = free();
    drop(door);
    let place = Place::new(&format!(
        "[listen]\nsips = [\"127.0.0.1:0\"]\nsip = [\"{sip}\"]\nadmin = \"{admin}\""
    ));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let knocking = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if TcpStream::connect(sip).is_ok() {
                    return true;
                }
            }
            false
        });
        let ended = place.muster(&["serve"], "");
        done.store(true, Ordering::Relaxed);
        ended.refused(1, &["health and metrics", "choose another `admin`"]);
        assert!(!ended.out.contains("ready:") && !ended.err.contains("ready:"));
        assert!(!knocking.join().expect("it only knocks"), "a door was open");
    });
}

#[test]
fn metrics_count_what_happened() {
    let place = Place::new("");
    place.add("alice");
    let mut server = place.serve();
    let phone = Phone::registered(&mut server, "alice");
    let metrics = server.get("/metrics");
    assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
    for line in [
        "muster_answers_total{method=\"REGISTER\",by=\"us\",class=\"2xx\"} 1",
        "muster_answers_total{method=\"REGISTER\",by=\"us\",class=\"4xx\"} 1",
        "muster_latency_seconds_count{kind=\"register\"} ",
        "muster_connections_open 1",
        "muster_connections_accepted_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    drop(phone);
}

#[test]
fn admin_refuses_what_it_does_not_have() {
    let place = Place::new("");
    let mut server = place.serve();
    for (request, status) in [
        ("GET /secret HTTP/1.1\r\n\r\n", "404"),
        ("POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
        ("HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
    ] {
        let answer = server.ask(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
        assert!(
            !request.starts_with("HEAD") || answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    assert!(server.ask(&long).starts_with("HTTP/1.1 431 "));
    // Those who say nothing keep nobody waiting.
    let address = server.address("admin");
    let connect = |_| TcpStream::connect(address).expect("it listens");
    let silent: Vec<TcpStream> = (0..20).map(connect).collect();
    let begun = Instant::now();
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(begun.elapsed() < A_SECOND, "it waited for others");
    // And there is a limit to them: the last is closed long before a request has to be there.
    let mut more: Vec<TcpStream> = (0..40).map(connect).collect();
    let last = more.last_mut().expect("forty");
    last.set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a socket");
    assert_eq!(last.read(&mut [0]).expect("it is closed"), 0);
    drop((silent, more));
}

/// Alice, once her new password is known: a second later, on a machine that is busy later than that.
fn comes_in(server: &mut Server, password: &str) -> Phone {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut alice = Phone::connect(server, "alice");
        if alice.register(password) == 200 {
            return alice;
        }
        assert!(Instant::now() < deadline, "{password} is not taken");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_change_of_users_is_noticed() {
    let place = Place::new("");
    let mut server = place.serve();
    let mut early = Phone::connect(&mut server, "alice");
    assert_ne!(early.register("alice-secret"), 200);

    place.add("alice");
    let mut alice = comes_in(&mut server, "alice-secret");

    place
        .muster(&["user", "remove", "alice@example.com"], "")
        .fine();
    let took = alice.closed_after();
    assert!(took < A_SECOND + A_SECOND, "closed only after {took:?}");
    let mut late = Phone::connect(&mut server, "alice");
    assert_ne!(late.register("alice-secret"), 200);

    // Back with another password: the old one is as good as none.
    place
        .muster(&["user", "add", "alice@example.com"], "another\n")
        .fine();
    let mut again = comes_in(&mut server, "another");
    let mut late = Phone::connect(&mut server, "alice");
    assert_ne!(late.register("alice-secret"), 200);

    // A new password ends what came in with the old one, and is all that changes.
    let note = ["user", "note", "set", "alice@example.com", "back soon"];
    place.muster(&note, "").fine();
    let new_password = ["user", "password", "alice@example.com"];
    place.muster(&new_password, "a new one\n").fine();
    let took = again.closed_after();
    assert!(took < A_SECOND + A_SECOND, "closed only after {took:?}");
    let mut again = Phone::connect(&mut server, "alice");
    assert_ne!(again.register("another"), 200);
    let mut again = Phone::connect(&mut server, "alice");
    assert_eq!(again.register("a new one"), 200);
    let noted = place.muster(&["user", "note", "show", "alice@example.com"], "");
    assert!(noted.fine().contains("back soon"), "{noted:#?}");

    // Out and in again before the server looks: who came in with the old password does not stay.
    place
        .muster(&["user", "remove", "alice@example.com"], "")
        .fine();
    place
        .muster(&["user", "add", "alice@example.com"], "a third\n")
        .fine();
    let took = again.closed_after();
    assert!(took < A_SECOND + A_SECOND, "closed only after {took:?}");
}

/// What a server cannot be guessed by: the key of its nonces, and what its shards make tags from.
#[test]
fn no_two_starts_have_the_same_secrets() {
    let place = Place::new("");
    place.add("alice");
    let nonce_of = |challenge: &Heard| {
        let line = challenge.header("WWW-Authenticate").expect("a challenge");
        let nonce = AuthParams::parse(line).ok().and_then(|auth| {
            let nonce = auth.get("nonce")?;
            Some(nonce.into_owned())
        });
        nonce.expect("a nonce")
    };
    let mut first = place.serve();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut alice = Phone::connect_from(&mut first, "alice", any);
    let local = alice.local();
    let challenged = alice.ask("REGISTER", "sip:example.com", "", "");
    assert_eq!(challenged.status, Some(401));
    let lifetime = Duration::from_secs(300);
    for secret in [[0; 32], [255; 32]] {
        let key = NonceKey::new(&secret);
        let checked = key.check(
            &nonce_of(&challenged),
            Clock::start().now(),
            local,
            lifetime,
        );
        assert_eq!(checked, Err(BadNonce::Foreign), "the key is {secret:?}");
    }
    drop(alice);
    first.signal(Signal::TERM);
    assert_eq!(first.end(PATIENCE), Some(0), "{}", first.said());

    // From the same port: a nonce is good for who got it, so only the key tells the two servers apart.
    let mut second = place.serve();
    let mut alice = Phone::connect_from(&mut second, "alice", local);
    let value = authorization(
        &challenged,
        "REGISTER",
        "sip:example.com",
        "alice",
        "alice-secret",
        1,
    );
    let value = value.expect("a challenge");
    let headers = format!("Authorization: {value}\r\n");
    let again = alice.ask("REGISTER", "sip:example.com", &headers, "");
    assert_eq!(again.status, Some(401), "{}", again.full());
    let stale = |line: &str| line.contains("stale=true");
    assert!(again.all("WWW-Authenticate").any(stale), "{}", again.full());
    assert_ne!(again.to_tag(), challenged.to_tag());
    assert_ne!(nonce_of(&again), nonce_of(&challenged));
}

#[test]
fn sigusr1_prints_a_table_and_appends_the_log() {
    let place = Place::new("");
    place.add("alice");
    let mut server = place.serve();
    let mut alice = Phone::registered(&mut server, "alice");
    server.signal(Signal::USR1);
    let line = server.says("register");
    let count = line
        .split_whitespace()
        .nth(1)
        .and_then(|count| count.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count >= 1), "{line}");
    for word in [
        "p50",
        "p99.9",
        "message_two_party",
        "publish_to_notify",
        "tls_handshake",
    ] {
        server.says(word);
    }
    let log = || std::fs::read_to_string(place.data("latency.hlog")).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    while !log().contains("Tag=register,") {
        assert!(Instant::now() < deadline, "{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let first = log().len();
    server.signal(Signal::USR1);
    while log().len() <= first {
        assert!(Instant::now() < deadline, "the second one is not appended");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The server goes on as if nothing had happened.
    assert_eq!(alice.register("alice-secret"), 200);
}

/// A disk that fails for a while is told of once, and so is its end.
#[test]
fn changes_that_are_not_noticed_for_a_while_are_told_and_then_noticed() {
    let place = Place::new("");
    let mut server = place.serve();
    let database = rusqlite::Connection::open(place.data("muster.db")).expect("a database");
    let rename = |from: &str, to: &str| {
        let statement = format!("ALTER TABLE {from} RENAME TO {to}");
        database.execute_batch(&statement).expect("renamed");
    };
    rename("change", "away");
    server.says("changes of users are not noticed for now");
    std::thread::sleep(A_SECOND);
    rename("away", "change");
    server.says("changes of users are noticed again");
    assert_eq!(server.said().matches("not noticed for now").count(), 1);
    place.add("alice");
    std::thread::sleep(A_SECOND);
    Phone::registered(&mut server, "alice");
}

/// The table and the file do not take each other down, and nobody who waits for a terminal keeps the server from ending.
#[test]
fn sigusr1_does_what_can_be_done() {
    let place = Place::new("");
    let log = || std::fs::metadata(place.data("latency.hlog")).map_or(0, |file| file.len());
    for is_gone in [false, true] {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut server = place.start_complaining_to(writer.try_clone().expect("a descriptor"));
        let mut lines = BufReader::new(reader).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("ready:")));
        assert!(ready, "it ended");
        // Nobody reads any more and the pipe is full, or has no other end.
        let lines = (!is_gone).then_some(lines);
        let full = std::thread::spawn(move || while writer.write_all(&[b'\n'; 4096]).is_ok() {});
        std::thread::sleep(Duration::from_millis(500));
        let before = log();
        server.signal(Signal::USR1);
        let deadline = Instant::now() + PATIENCE;
        while log() == before {
            assert!(Instant::now() < deadline, "no histograms; gone: {is_gone}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server.signal(Signal::TERM);
        assert_eq!(server.end(Duration::from_secs(12)), Some(0));
        drop(lines);
        full.join().expect("it only writes");
    }

    std::fs::remove_file(place.data("latency.hlog")).expect("removed");
    std::fs::create_dir(place.data("latency.hlog")).expect("a folder");
    let mut server = place.serve();
    server.signal(Signal::USR1);
    server.says("p99.9");
    assert!(
        server
            .says("histograms are not in")
            .contains("latency.hlog")
    );
}

#[test]
fn sighup_takes_a_new_certificate_and_names_what_stays() {
    let place = Place::new("");
    let write_pair = |name: &str| {
        let (cert, key) = muster::shell::tls::generate(&["example.com".into()]).expect("a pair");
        std::fs::write(place.path().join(format!("{name}.pem")), &cert).expect("written");
        std::fs::write(place.path().join(format!("{name}.key")), key).expect("written");
        CertificateDer::from_pem_slice(cert.as_bytes())
            .expect("PEM")
            .into_owned()
    };
    let (old, new) = (write_pair("old"), write_pair("new"));
    place.configure("[tls]\ncert = \"old.pem\"\nkey = \"old.key\"");
    let mut server = place.serve();
    assert!(tls_handshake(&mut server, &old) && !tls_handshake(&mut server, &new));

    place.configure("[tls]\ncert = \"absent.pem\"\nkey = \"new.key\"");
    server.signal(Signal::HUP);
    server.says("absent.pem");
    assert!(
        tls_handshake(&mut server, &old),
        "what cannot be used changes nothing"
    );

    place.configure("[tls]\ncert = \"new.pem\"\nkey = \"new.key\"\n[im]\nmembers_max = 7");
    server.signal(Signal::HUP);
    assert!(server.says("[im]").contains("stays"));
    server.says("read again");
    let deadline = Instant::now() + PATIENCE;
    while !tls_handshake(&mut server, &new) {
        assert!(
            Instant::now() < deadline,
            "the new certificate is not served"
        );
    }

    place.configure("[tls]\ncert = \"new.pem\"\nkey = \"new.key\"\n[limits]\nconnections_max = 77");
    server.signal(Signal::HUP);
    assert!(server.says("[limits]").contains("stays"));
    assert_eq!(server.said().matches("[im]").count(), 1, "it is as it was");
    assert!(!server.said().contains("[auth]"), "nor is that changed");

    // It is what there is, and whoever wonders why nobody comes in is told.
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("names");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    let key = KeyPair::generate().expect("a key");
    let expired = params.self_signed(&key).expect("a certificate");
    let write = |name: &str, text: &str| {
        std::fs::write(place.path().join(name), text).expect("written");
    };
    write("new.pem", &expired.pem());
    write("new.key", &key.serialize_pem());
    server.signal(Signal::HUP);
    assert!(server.says("expired at").contains("new.pem"));

    std::fs::write(place.config(), "nonsense").expect("written");
    server.signal(Signal::HUP);
    server.says("muster.toml:1:");
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200 "));
}

/// A reload in the middle of a storm of logons does not make each of them a full handshake.
#[test]
fn sighup_with_the_same_certificate_keeps_tls_sessions() {
    let place = Place::new("");
    let mut server = place.serve();
    let client = trusting(&certificate(&place));
    let address = server.address("sips");
    let kind = || {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(client.clone(), name).expect("settings");
        let mut socket = TcpStream::connect(address).expect("a connection");
        let timeout = socket.set_read_timeout(Some(PATIENCE));
        timeout.expect("set");
        // A keep-alive: its answer comes behind the ticket.
        tls.writer().write_all(b"\r\n\r\n").expect("buffered");
        let mut heard = [0; 2];
        while tls.reader().read(&mut heard).is_err() {
            tls.complete_io(&mut socket).expect("it goes on");
        }
        tls.handshake_kind()
    };
    assert_eq!(kind(), Some(HandshakeKind::Full));
    assert_eq!(kind(), Some(HandshakeKind::Resumed));
    server.signal(Signal::HUP);
    server.says("read again");
    // Had it taken new settings, they would be there within moments.
    std::thread::sleep(A_SECOND);
    assert_eq!(kind(), Some(HandshakeKind::Resumed));
    server.stops_well();
}

#[test]
fn a_stop_waits_for_what_is_in_flight() {
    let place = Place::new("");
    place.add("alice");
    place.add("bob");
    let mut server = place.serve();
    let (mut alice, mut bob) = (
        Phone::registered(&mut server, "alice"),
        Phone::registered(&mut server, "bob"),
    );
    alice.send("MESSAGE", "sip:bob@example.com", "", "are you there?");
    let message = bob.request("MESSAGE");
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    bob.answer(&message, 200);
    assert_eq!(alice.response("MESSAGE").status, Some(200));
    assert_eq!(
        server.end(Duration::from_secs(8)),
        Some(0),
        "{}",
        server.said()
    );
    // What was delivered is in the record, which nothing was left to end later.
    let done = place.muster(&["cdr", "--format", "json"], "");
    let found: Value = serde_json::from_str(done.fine()).expect("JSON");
    let session = &found[0];
    assert_eq!(session["end_reason"], "server stopped", "{found:#?}");
    let sent = |user: &str| {
        let all = session["participants"].as_array().expect("a list");
        let one = all.iter().find(|each| each["user"] == user);
        one.map(|each| each["messages_sent"].clone())
    };
    assert_eq!(sent("alice@example.com"), Some(1.into()), "{found:#?}");
    assert_eq!(sent("bob@example.com"), Some(0.into()), "{found:#?}");
}

#[test]
fn a_second_signal_does_not_wait() {
    let place = Place::new("");
    place.add("alice");
    place.add("bob");
    let mut server = place.serve();
    let (mut alice, mut bob) = (
        Phone::registered(&mut server, "alice"),
        Phone::registered(&mut server, "bob"),
    );
    alice.send("MESSAGE", "sip:bob@example.com", "", "are you there?");
    bob.request("MESSAGE");
    server.signal(Signal::INT);
    server.says("stopping");
    let begun = Instant::now();
    server.signal(Signal::INT);
    assert_eq!(server.end(PATIENCE), Some(1));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn one_data_dir_has_one_server() {
    let place = Place::new("");
    let server = place.serve();
    place
        .muster(&["serve"], "")
        .refused(1, &["muster-data", "another server", "stop it first"]);
    let checked = place.muster(&["check"], "");
    assert_eq!(checked.status, Some(1), "{checked:#?}");
    // A killed one leaves no lock behind.
    server.kill();
    place.serve();
}

#[test]
fn a_data_dir_that_cannot_be_written_is_told() {
    let place = Place::new("data_dir = \"file/data\"");
    // `data_dir` is a key of the top, so it comes before the sections.
    std::fs::write(place.config(), "data_dir = \"file/data\"\n").expect("written");
    std::fs::write(place.path().join("file"), "").expect("written");
    place.muster(&["serve"], "").refused(1, &["file/data"]);
}

#[test]
fn without_a_config_it_is_a_demo_that_says_what_to_do() {
    let place = Place::new("");
    // The ports of the contract, which another server of this machine may have for a while.
    let deadline = Instant::now() + Duration::from_secs(60);
    while ["127.0.0.1:5061", "127.0.0.1:9061"]
        .iter()
        .any(|address| TcpStream::connect(address).is_ok())
    {
        assert!(
            Instant::now() < deadline,
            "somebody else holds port 5061 or 9061"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let passwords = |server: &mut Server| -> Vec<String> {
        ["alice", "bob", "carol"]
            .map(|user| server.says(&format!(" {user}@example.com ")))
            .into()
    };
    let mut server = place.start(&[]);
    assert_eq!(server.address("sips").to_string(), "127.0.0.1:5061");
    let first = passwords(&mut server);
    for words in ["Linphone", "baresip", "cert.pem", "muster check --config"] {
        server.says(words);
    }
    let password = first[0]
        .split_whitespace()
        .last()
        .expect("a password")
        .to_owned();
    assert!(password.len() >= 12, "{first:?}");
    server.signal(Signal::INT);
    assert_eq!(
        server.end(Duration::from_secs(8)),
        Some(0),
        "{}",
        server.said()
    );

    // The same ones again; but not for somebody who has another password by now.
    place
        .bare(&["user", "remove", "carol@example.com"], "")
        .fine();
    place
        .bare(&["user", "add", "carol@example.com"], "of my own\n")
        .fine();
    let mut server = place.start(&["serve"]);
    assert_eq!(server.says(" alice@example.com "), first[0]);
    server.says("baresip");
    assert!(
        !server.said().contains("carol@example.com "),
        "{}",
        server.said()
    );
    server.kill();

    // It serves without anybody to tell all that.
    let mut server = place.start_unread(&[]);
    std::thread::sleep(A_SECOND);
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200 "));
    server.stops_well();
}

/// The pair that the server made for itself.
fn certificate(place: &Place) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(place.data("tls/cert.pem")).expect("it was made")
}

/// A client that trusts `certificate` alone.
fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Whether such a client comes in.
fn tls_handshake(server: &mut Server, certificate: &CertificateDer<'static>) -> bool {
    let config = trusting(certificate);
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(config, name).expect("a client");
    let mut stream = TcpStream::connect(server.address("sips")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    while client.is_handshaking() {
        if client.complete_io(&mut stream).is_err() {
            return false;
        }
    }
    true
}
