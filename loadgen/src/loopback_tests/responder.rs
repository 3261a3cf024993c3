//! A tiny SIP server in this process: it registers, relays, and notifies; a `Twist` makes it do one thing wrong.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use muster::sip::build;
use muster::sip::frame::{Cut, FrameState, Limits, cut};
use muster::sip::header::{AuthParams, Name};
use muster::sip::message::{Message, Method};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::digest::{Algorithm, Challenge};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Twist {
    None,
    /// Answers 200 to the n-th message and doesn't pass it on.
    Lose(u32),
    /// Passes it on twice.
    Duplicate(u32),
    /// Passes it on after the next one to the same receiver.
    Swap(u32),
    /// Passes it on after the next one, whoever that is for.
    Overtake(u32),
    /// Changes a byte of it.
    Alter(u32),
    /// Passes it on and answers 500.
    Deny(u32),
    /// Answers it never, and doesn't pass it on.
    Ignore(u32),
    /// Closes the sender's connection instead.
    Close(u32),
    /// Stands still for a second.
    Stall(u32),
    /// Keeps the n-th state from the watchers (if it's the last one, they are left behind).
    Withhold(u32),
    /// Tells whoever subscribes 600 ms later, and everybody of the n-th state.
    Tardy(u32),
    /// Grants subscriptions, and never tells anything.
    Silent,
    /// Takes no password.
    Refuse,
    /// Has no time for the first so many logons, and for the first so many subscriptions to contacts.
    Busy(u32),
    /// Tells one entry of each contact list too few.
    Forget,
    /// Grants everything for a second only.
    Brief,
    /// Grants everything for two seconds, and puts off each refresh for a minute.
    Grudge,
    /// Grants a registration for two seconds, and answers its refresh without a lifetime.
    Vague,
}

#[derive(Default)]
pub struct Town {
    /// User -> where its connection takes what is to be sent.
    lines: HashMap<String, Sender<Vec<u8>>>,
    held_back: HashMap<String, Vec<u8>>,
    overtaken: Option<(Sender<Vec<u8>>, Vec<u8>)>,
    /// Presentity -> its document, its watchers' (user, SUBSCRIBE as it came).
    documents: HashMap<String, Vec<u8>>,
    watchers: HashMap<String, Vec<(String, Vec<u8>)>>,
    messages: u32,
    states: u32,
    notifies: u32,
    put_off: [u32; 2],
    /// Users who registered, and who subscribed, more than once on a connection.
    pub refreshed: [HashSet<String>; 2],
}

pub struct Responder {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    pub town: Arc<Mutex<Town>>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    pub fn start(twist: Twist) -> Responder {
        let town = Arc::<Mutex<Town>>::default();
        let ours = Arc::clone(&town);
        let mut responder =
            Responder::serving(move |bytes, sender| answer(bytes, sender, &town, twist));
        responder.town = ours;
        responder
    }

    /// `answer` gets each message and where its connection takes what is to be sent; says whether the connection is kept.
    pub fn serving(
        answer: impl Fn(&mut [u8], &Sender<Vec<u8>>) -> bool + Send + Sync + 'static,
    ) -> Responder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key.into())
        .unwrap();
        let config = Arc::new(config);
        let (answer, stopped) = (Arc::new(answer), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut threads = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((socket, _)) => {
                        let (answer, stopped, config) = (
                            Arc::clone(&answer),
                            Arc::clone(&stopped),
                            Arc::clone(&config),
                        );
                        threads.push(thread::spawn(move || {
                            serve(socket, config, &*answer, &stopped)
                        }));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_millis(1))
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        });
        Responder {
            address,
            stop,
            town: Arc::default(),
            thread: Some(thread),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    answer: &impl Fn(&mut [u8], &Sender<Vec<u8>>) -> bool,
    stop: &AtomicBool,
) {
    socket.set_nonblocking(false).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let (sender, receiver): (Sender<Vec<u8>>, Receiver<Vec<u8>>) = channel();
    let (mut text, mut state, mut buffer) = (Vec::new(), FrameState::default(), [0; 4096]);
    while !stop.load(Ordering::Relaxed) {
        while let Ok(bytes) = receiver.try_recv() {
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        }
        loop {
            match cut(&text, &Limits::default(), &mut state) {
                Cut::Message { total, .. } => {
                    let mut bytes: Vec<u8> = text.drain(..total).collect();
                    if !answer(&mut bytes, &sender) {
                        return;
                    }
                }
                Cut::Need(_) => break,
                other => panic!("the generator sent {other:?}"),
            }
        }
    }
}

/// Says whether the connection is kept.
fn answer(bytes: &mut [u8], sender: &Sender<Vec<u8>>, town: &Mutex<Town>, twist: Twist) -> bool {
    let raw = bytes.to_vec();
    let message = Message::parse(bytes).expect("the generator speaks SIP");
    if !message.is_request() {
        assert_eq!(message.status(), Some(200));
        return true;
    }
    let user = message.from().uri().unwrap().user.to_string();
    let called = message.to().uri().unwrap().user.to_string();
    let mut town = town.lock().unwrap();
    let mut out = Vec::new();
    let is_refresh = match message.method() {
        Method::Register => town.lines.contains_key(&user),
        _ => message.to().tag().is_some(),
    };
    let granted_s = match twist {
        Twist::Brief => 1,
        Twist::Grudge | Twist::Vague => 2,
        _ => 600,
    };
    match message.method() {
        Method::Register | Method::Subscribe if is_refresh && twist == Twist::Grudge => {
            build::response(&mut out, &message, 503, Some("r")).header("Retry-After", 60);
        }
        Method::Register if is_busy(&mut town.put_off[0], twist) => {
            build::response(&mut out, &message, 503, Some("r")).header("Retry-After", 1);
        }
        Method::Subscribe if is_busy(&mut town.put_off[1], twist) => {
            build::response(&mut out, &message, 503, Some("r")).header("Retry-After", "1 (soon)");
        }
        Method::Register => match message.header(Name::Authorization) {
            Some(value) if is_right(value, &user) && twist != Twist::Refuse => {
                let contact = message.header(Name::Contact).unwrap();
                let contact = format!("{contact};expires={granted_s}");
                if is_refresh {
                    town.refreshed[0].insert(user.clone());
                }
                let mut draft = build::response(&mut out, &message, 200, Some("r"));
                if !is_refresh || twist != Twist::Vague {
                    draft.header("Contact", contact);
                }
                town.lines.insert(user, sender.clone());
            }
            _ => {
                build::response(&mut out, &message, 401, Some("r"))
                    .header(
                        "WWW-Authenticate",
                        "Digest realm=\"r\", nonce=\"n5\", qop=\"auth\", algorithm=MD5",
                    )
                    .header(
                        "WWW-Authenticate",
                        "Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256",
                    );
            }
        },
        Method::Message => {
            let number = town.messages;
            town.messages += 1;
            match twist {
                Twist::Close(n) if n == number => return false,
                Twist::Ignore(n) if n == number => return true,
                Twist::Stall(n) if n == number => thread::sleep(Duration::from_secs(1)), // The whole town waits.
                _ => {}
            }
            let line = town.lines.get(&called).unwrap().clone();
            let send = |bytes: Vec<u8>| line.send(bytes).unwrap();
            match twist {
                Twist::Lose(n) if n == number => {}
                Twist::Duplicate(n) if n == number => {
                    send(raw.clone());
                    send(raw);
                }
                Twist::Alter(n) if n == number => {
                    let mut raw = raw;
                    *raw.last_mut().unwrap() ^= 1;
                    send(raw);
                }
                Twist::Overtake(n) if n == number => town.overtaken = Some((line.clone(), raw)),
                Twist::Swap(n) if n == number => drop(town.held_back.insert(called, raw)),
                _ => {
                    send(raw);
                    town.held_back.remove(&called).into_iter().for_each(send);
                    if let Some((line, raw)) = town.overtaken.take() {
                        line.send(raw).unwrap();
                    }
                }
            }
            let status = if twist == Twist::Deny(number) {
                500
            } else {
                200
            };
            build::response(&mut out, &message, status, Some("m"));
        }
        Method::Publish => {
            let number = town.states;
            town.states += 1;
            build::response(&mut out, &message, 200, Some("p"))
                .header("SIP-ETag", number)
                .header("Expires", 600);
            let expected = number.checked_sub(1).map(|tag| tag.to_string());
            assert_eq!(
                message.header(Name::SipIfMatch).map(str::to_string),
                expected,
                "one publisher, one chain"
            );
            if twist != Twist::Withhold(number) {
                town.documents
                    .insert(called.clone(), message.body().to_vec());
                let watchers = town.watchers.get(&called).cloned().unwrap_or_default();
                for (watcher, subscribe) in watchers {
                    notify(&mut town, &watcher, &called, subscribe, twist);
                }
            }
        }
        Method::Subscribe => {
            if is_refresh {
                assert_eq!(message.to().tag(), Some("s"));
                assert_eq!(message.uri(), "sip:s@localhost");
                town.refreshed[1].insert(user.clone());
            }
            build::response(&mut out, &message, 200, Some("s"))
                .header("Expires", granted_s)
                .header("Contact", "<sip:s@localhost>");
            sender.send(std::mem::take(&mut out)).unwrap();
            if twist != Twist::Silent {
                notify(&mut town, &user, &called, raw.clone(), twist);
                town.watchers.entry(called).or_default().push((user, raw));
            }
        }
        other => panic!("the generator sent {other:?}"),
    }
    sender.send(out).is_ok()
}

fn is_busy(put_off: &mut u32, twist: Twist) -> bool {
    let Twist::Busy(most) = twist else {
        return false;
    };
    *put_off += 1;
    *put_off <= most
}

fn notify(town: &mut Town, watcher: &str, presentity: &str, mut subscribe: Vec<u8>, twist: Twist) {
    town.notifies += 1;
    let subscribe = Message::parse(&mut subscribe).unwrap();
    let mut out = Vec::new();
    let number = town.notifies;
    let mut draft = build::request(
        &mut out,
        "NOTIFY",
        subscribe
            .header(Name::Contact)
            .unwrap()
            .trim_matches(['<', '>']),
    );
    draft
        .header(
            "Via",
            format_args!("SIP/2.0/TLS localhost;branch=z9hG4bK{number}"),
        )
        .header(
            "From",
            format_args!("{};tag=s", subscribe.header(Name::To).unwrap()),
        )
        .header("To", subscribe.header(Name::From).unwrap())
        .header("Call-ID", subscribe.call_id())
        .header("CSeq", format_args!("{number} NOTIFY"))
        .header("Event", "presence")
        .header("Subscription-State", "active;expires=600");
    if presentity == "contacts" && !subscribe.body().is_empty() {
        let asked = String::from_utf8_lossy(subscribe.body()).into_owned();
        let entries = asked.matches("<entry ").count() - usize::from(twist == Twist::Forget);
        let list = format!("<list>{}</list>", "<resource />".repeat(entries));
        draft.body("multipart/related", list.as_bytes());
    } else {
        match town.documents.get(presentity) {
            Some(document) => draft.body("application/pidf+xml", document),
            None => draft.finish(),
        }
    }
    let line = town.lines[watcher].clone();
    let is_late = matches!(twist, Twist::Tardy(n) if town.states <= 1 || town.states == n + 1);
    if is_late {
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(600));
            let _ = line.send(out); // The watcher may have gone.
        });
    } else {
        line.send(out).unwrap();
    }
}

pub fn is_right(authorization: &str, user: &str) -> bool {
    let params = AuthParams::parse(authorization).unwrap();
    let challenge = Challenge {
        algorithm: Algorithm::Sha256,
        realm: "r".into(),
        nonce: "n2".into(),
        opaque: None,
        qop_auth: true,
        algorithm_named: true,
    };
    let expected = challenge.answer(
        user,
        &format!("pw-{user}"),
        "REGISTER",
        "sip:example.com",
        &params.get("cnonce").unwrap(),
    );
    let expected = AuthParams::parse(&expected)
        .unwrap()
        .get("response")
        .unwrap()
        .into_owned();
    params.get("response").unwrap() == expected
}
