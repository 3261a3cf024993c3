//! Whole soaks against a tiny server in this process: what a good one shows, and that a bad one is caught and named.
//!
//! It registers, tells presence, and relays whole dialogs between two clients; a `Twist` makes it do one thing wrong, most of them
//! to the n-th message. Conferences need a real server: see README.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use clap::Parser;
use muster::sip::build;
use muster::sip::header::Name;
use muster::sip::message::{Message, Method};

use super::arguments::SoakArguments;
use super::conduct::conduct;
use super::report::Report;
use crate::loopback_tests::{Responder, is_right};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Twist {
    None,
    /// Answers 200 itself and passes it to nobody.
    Lose(u32),
    Duplicate(u32),
    /// Passes it on behind the next one of the same dialog.
    Swap(u32),
    Alter(u32),
    /// Answers 503 with Retry-After.
    Shed(u32),
    /// The same to each poll.
    ShedPolls,
    /// The same to the n-th who logs on, and 480 to each INVITE.
    ShedOne(u32),
    /// Answers this to every request with this method.
    Refuse(Method, u16),
    /// Passes the first message on, and answers this to all others.
    RefuseMore(u16),
    /// Passes the first message of each session on, and hangs up on both sides behind its answer.
    HangUp,
    /// Grants 10 s, answers 503 with Retry-After to the first renewal of each list, and ends it with the next one.
    ShedRenewal,
    /// Takes subscriptions, and tells nothing.
    Silent,
    /// Tells what is there when somebody begins to watch, and no change.
    Frozen,
    /// Tells each state that comes after the first to the next NOTIFY of it.
    Older,
    /// Each subscription is over with its second NOTIFY.
    Terminate,
    /// Takes conferences, and rings nobody.
    RingNobody,
}

/// What somebody watches.
struct Subscription {
    line: Sender<Vec<u8>>,
    /// The SUBSCRIBE as it came.
    request: Vec<u8>,
    watched: Vec<String>,
    cseq: u32,
}

/// The caller's name, and both ends, the caller's first.
type Relayed = (String, [Sender<Vec<u8>>; 2]);

#[derive(Default)]
struct Town {
    /// The newest connection of each user.
    lines: HashMap<String, Sender<Vec<u8>>>,
    /// By Call-ID.
    dialogs: HashMap<String, Relayed>,
    held_back: HashMap<String, Vec<u8>>,
    /// To messages, by Call-ID.
    answers: HashMap<String, u32>,
    /// By Call-ID.
    subscriptions: HashMap<String, Subscription>,
    /// The newest of each user, and the one before.
    documents: HashMap<String, [Vec<u8>; 2]>,
    texts: u32,
    tags: u32,
    /// REGISTERs without a password.
    logons: u32,
    /// Call-IDs.
    shed: HashSet<String>,
}

impl Subscription {
    fn notify(&mut self, state: &str, documents: &[Vec<u8>]) {
        let mut request = self.request.clone();
        let request = Message::parse(&mut request).unwrap();
        let header = |name| request.header(name).unwrap();
        self.cseq += 1;
        let mut out = Vec::new();
        let mut draft = build::request(&mut out, "NOTIFY", "sip:lg@localhost");
        draft
            .header("Via", "SIP/2.0/TLS localhost;branch=z9hG4bKn")
            .header("From", format_args!("{};tag=s", header(Name::To)))
            .header("To", header(Name::From))
            .header("Call-ID", request.call_id())
            .header("CSeq", format_args!("{} NOTIFY", self.cseq))
            .header("Event", "presence")
            .header("Subscription-State", state);
        draft.body("multipart/related", &documents.concat());
        let _ = self.line.send(out);
    }
}

impl Town {
    fn publish(&mut self, user: &str, document: &[u8], twist: Twist) {
        let known = self.documents.entry(user.to_string()).or_default();
        known.swap(0, 1);
        // The note is all that a watcher looks for.
        let text = std::str::from_utf8(document).unwrap();
        let (_, note) = text.split_once("<note>").unwrap();
        known[0] = note.split_once('<').unwrap().0.into();
        if twist == Twist::Frozen {
            return;
        }
        let told = usize::from(twist == Twist::Older && !known[1].is_empty());
        for subscription in self.subscriptions.values_mut() {
            if subscription.watched.iter().any(|watched| watched == user) {
                if told == 1 {
                    subscription.notify("active;expires=600", &known[..1]);
                }
                let state = match twist {
                    Twist::Terminate => "terminated;reason=noresource",
                    _ => "active;expires=600",
                };
                subscription.notify(state, &known[told..=told]);
            }
        }
    }

    /// After its answer.
    fn subscribe(&mut self, call_id: &str, line: &Sender<Vec<u8>>, raw: Vec<u8>) {
        let text = String::from_utf8(raw.clone()).unwrap();
        let entries = text.split("<entry uri=\"sip:").skip(1);
        let mut watched: Vec<String> = entries
            .filter_map(|entry| Some(entry.split_once('@')?.0.to_string()))
            .collect();
        if watched.is_empty() {
            let (_, to) = text.split_once("To: <sip:").unwrap();
            watched.push(to.split_once('@').unwrap().0.to_string());
        }
        let is_over = text.contains("Expires: 0\r\n");
        let known = watched.iter().filter_map(|user| self.documents.get(user));
        let documents: Vec<Vec<u8>> = known.map(|known| known[0].clone()).collect();
        let call_id = call_id.to_string();
        let subscription = self.subscriptions.entry(call_id.clone());
        let subscription = subscription.or_insert(Subscription {
            line: line.clone(),
            request: raw,
            watched,
            cseq: 0,
        });
        if is_over {
            subscription.notify("terminated;reason=timeout", &documents);
            self.subscriptions.remove(&call_id);
        } else {
            subscription.notify("active;expires=600", &documents);
        }
    }
}

/// In the dialog of `message`; whose headers these are says and hears it.
fn bye(message: &Message<'_>, from: Name, to: Name) -> Vec<u8> {
    let mut out = Vec::new();
    let mut draft = build::request(&mut out, "BYE", "sip:lg@localhost");
    draft
        .header("Via", "SIP/2.0/TLS localhost;branch=z9hG4bKhangup")
        .header("From", message.header(from).unwrap())
        .header("To", message.header(to).unwrap())
        .header("Call-ID", message.call_id())
        .header("CSeq", "900 BYE");
    draft.finish();
    out
}

fn answer(bytes: &mut [u8], sender: &Sender<Vec<u8>>, town: &Mutex<Town>, twist: Twist) -> bool {
    let raw = bytes.to_vec();
    let message = Message::parse(bytes).expect("the generator speaks SIP");
    let mut town = town.lock().unwrap();
    let from = message.from().uri().unwrap().user.to_string();
    let to = message.to().uri().unwrap().user.to_string();
    let call_id = message.call_id().to_string();
    if !message.is_request() {
        // An answer goes to who asked: From is theirs.
        if let Some((caller, ends)) = town.dialogs.get(&call_id) {
            let asker = usize::from(*caller != from);
            let _ = ends[asker].send(raw);
            if twist == Twist::HangUp && message.cseq().method == "MESSAGE" {
                let ends = ends.clone();
                let answers = town.answers.entry(call_id).or_default();
                *answers += 1;
                // Two of typing go before it.
                if *answers == 3 {
                    let _ = ends[asker].send(bye(&message, Name::To, Name::From));
                    let _ = ends[1 - asker].send(bye(&message, Name::From, Name::To));
                }
            }
        }
        return true;
    }
    let mut out = Vec::new();
    let logs_on =
        message.method() == Method::Register && message.header(Name::Authorization).is_none();
    town.logons += u32::from(logs_on);
    match message.method() {
        method
            if let Twist::Refuse(refused, status) = twist
                && method == refused =>
        {
            build::response(&mut out, &message, status, Some("f")).finish();
        }
        Method::Register if logs_on && twist == Twist::ShedOne(town.logons - 1) => {
            build::response(&mut out, &message, 503, None).header("Retry-After", 1);
        }
        Method::Invite if matches!(twist, Twist::ShedOne(_)) => {
            build::response(&mut out, &message, 480, Some("i")).finish();
        }
        Method::Subscribe
            if twist == Twist::ShedRenewal
                && message.to().tag().is_some()
                && message.expires() != Some(0)
                && town.shed.insert(call_id.clone()) =>
        {
            build::response(&mut out, &message, 503, None).header("Retry-After", 1);
        }
        Method::Subscribe if twist == Twist::ShedPolls && message.expires() == Some(0) => {
            build::response(&mut out, &message, 503, None).header("Retry-After", 1);
        }
        Method::Register => match message.header(Name::Authorization) {
            Some(value) if is_right(value, &from) => {
                let contact = format!("{};expires=7200", message.header(Name::Contact).unwrap());
                build::response(&mut out, &message, 200, Some("r")).header("Contact", contact);
                if message.expires() != Some(0) {
                    // The second endpoint, which takes no calls, registers behind the first or before it.
                    let is_first = message.from().tag().is_some_and(|tag| {
                        u32::from_str_radix(tag, 16).is_ok_and(|seat| format!("lg{seat}") == from)
                    });
                    if is_first {
                        town.lines.insert(from, sender.clone());
                    }
                }
            }
            _ => drop(build::response(&mut out, &message, 401, Some("r")).header(
                "WWW-Authenticate",
                "Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256",
            )),
        },
        Method::Publish => {
            town.tags += 1;
            build::response(&mut out, &message, 200, Some("p"))
                .header("SIP-ETag", town.tags)
                .header("Expires", 600);
            town.publish(&from, message.body(), twist);
        }
        Method::Subscribe => {
            let brief = twist == Twist::ShedRenewal;
            let expires_s = message.expires().unwrap();
            build::response(&mut out, &message, 200, Some("s"))
                .header("Expires", expires_s.min(if brief { 10 } else { 7200 }))
                .header("Contact", "<sip:s@localhost>");
            if twist != Twist::Silent {
                let _ = sender.send(std::mem::take(&mut out));
                town.subscribe(&call_id, sender, raw);
            }
            if brief && expires_s != 0 && message.to().tag().is_some() {
                let subscription = town.subscriptions.get_mut(&call_id).unwrap();
                subscription.notify("terminated;reason=noresource", &[]);
            }
        }
        Method::Invite if to == "conference" && twist == Twist::RingNobody => {
            build::response(&mut out, &message, 200, Some("c"))
                .header("Contact", "<sip:c@localhost>;isfocus");
        }
        // Of what was refused, or of a conference.
        Method::Ack if !town.dialogs.contains_key(&call_id) => {}
        Method::Message | Method::Bye if to == "conference" => {
            build::response(&mut out, &message, 200, None).finish();
        }
        Method::Invite if message.to().tag().is_none() => match town.lines.get(&to).cloned() {
            Some(line) => {
                town.dialogs
                    .insert(call_id, (from, [sender.clone(), line.clone()]));
                let _ = line.send(raw);
            }
            None => build::response(&mut out, &message, 480, Some("i")).finish(),
        },
        _ => {
            let Some((caller, ends)) = town.dialogs.get(&call_id) else {
                panic!("a request for no dialog: {}", message.method_text());
            };
            let other = ends[usize::from(*caller == from)].clone();
            let is_text = message.header(Name::ContentType) == Some("text/plain");
            // The relay says who it was.
            let at = raw.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
            let identity = format!("P-Asserted-Identity: <sip:{from}@example.com>\r\n");
            let mut told = [&raw[..at], identity.as_bytes(), &raw[at..]].concat();
            let number = town.texts;
            town.texts += u32::from(is_text);
            match twist {
                Twist::Lose(n) if is_text && n == number => {
                    build::response(&mut out, &message, 200, None).finish();
                }
                Twist::Shed(n) if is_text && n == number => {
                    build::response(&mut out, &message, 503, None).header("Retry-After", 1);
                }
                Twist::RefuseMore(status) if is_text && number > 0 => {
                    build::response(&mut out, &message, status, None).finish();
                }
                Twist::Swap(n) if is_text && n == number => {
                    drop(town.held_back.insert(call_id + &from, told))
                }
                _ => {
                    if twist == Twist::Alter(number) && is_text {
                        *told.last_mut().unwrap() ^= 1;
                    }
                    let _ = other.send(told.clone());
                    if twist == Twist::Duplicate(number) && is_text {
                        // The same words in a request of its own.
                        let text = String::from_utf8(told)
                            .unwrap()
                            .replace(" MESSAGE\r\n", "0 MESSAGE\r\n");
                        let _ = other.send(text.into_bytes());
                    } else if is_text && let Some(held) = town.held_back.remove(&(call_id + &from))
                    {
                        let text = String::from_utf8(held)
                            .unwrap()
                            .replace(" MESSAGE\r\n", "00 MESSAGE\r\n");
                        let _ = other.send(text.into_bytes());
                    }
                }
            }
        }
    }
    if !out.is_empty() {
        let _ = sender.send(out);
    }
    true
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    soak: SoakArguments,
}

fn run(twist: Twist, arguments: &str) -> Report {
    run_model(twist, "", arguments)
}

/// With more lines for the model.
fn run_model(twist: Twist, more: &str, arguments: &str) -> Report {
    run_for(None, twist, more, arguments)
}

/// As by a signal after some time.
fn run_for(time: Option<Duration>, twist: Twist, more: &str, arguments: &str) -> Report {
    let town = Mutex::new(Town::default());
    let responder = Responder::serving(move |bytes, sender| answer(bytes, sender, &town, twist));
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("loadgen-soak-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = folder.join("model.toml");
    let mut text = String::from("[users]\nendpoints = 1.2\n");
    if !more.contains("[conference]") {
        text.push_str("[conference]\nusers_share = 0.0\nlarge_at_once = 0.0\n");
    }
    std::fs::write(&model, text + more).unwrap();
    let line = format!(
        "soak --server {} --model {} --out {} --ramp 1 --timeout 3 {arguments}",
        responder.address,
        model.display(),
        folder.display()
    );
    let line =
        Line::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
    let wanted = line.soak.wanted().unwrap();
    if let Some(time) = time {
        let stop = wanted.stop.clone();
        std::thread::spawn(move || {
            std::thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
        });
    }
    let (report, _) = conduct(&wanted).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    report
}

#[test]
fn fifty_users_talk_for_some_seconds_and_nothing_is_lost() {
    let pid = std::process::id();
    let report = run(
        Twist::None,
        &format!(
            "--users 50 --duration 5 --compress 120 --threads 2 --pid {pid} --act logon-storm@2/1/0.3 --act meeting-end@4/1"
        ),
    );
    assert!(report.passed(), "{}", report.table());
    let counts = &report.counts;
    assert!(
        counts.logons >= 60 && counts.accepted > 30 && counts.typing_heard > 30,
        "{}",
        report.table()
    );
    assert_eq!(
        (report.verdict.delivered, report.verdict.lost),
        (counts.accepted, 0)
    );
    assert!(
        report.samples.len() >= 5 && report.samples.iter().any(|sample| sample.rss_kib.is_some())
    );
    let svg = super::plot::svg(&report);
    assert!(
        svg.contains("delivered p99") && svg.contains("meeting-end") && svg.ends_with("</svg>\n")
    );
}

#[test]
fn a_run_that_is_stopped_tells_what_it_saw_and_has_not_passed() {
    let report = run_for(
        Some(Duration::from_secs(4)),
        Twist::None,
        "",
        &format!(
            "--users 50 --duration 600 --warm-up 0 --compress 120 --growth-max 0.001 --pid {}",
            std::process::id()
        ),
    );
    let failures = report.failures();
    assert!(
        failures.len() == 1 && failures[0].starts_with("stopped after 4 s"),
        "{}",
        report.table()
    );
    assert!(
        report.counts.accepted > 10 && report.verdict.delivered == report.counts.accepted,
        "{}",
        report.table()
    );
    assert!((3.5..6.0).contains(&report.seconds), "{}", report.seconds);
    let growth = report.growth.as_ref();
    assert!(growth.is_none_or(|growth| growth.percent_max.is_none()));
}

#[test]
fn a_crash_cuts_all_and_all_come_back() {
    let report = run_model(
        Twist::None,
        "[im]\nsessions_per_day = 0\n",
        "--users 20 --duration 3 --compress 60 --act crash@2/1",
    );
    assert_eq!(report.counts.logons, 48, "{}", report.table());
    assert_eq!(
        report.failures(),
        ["no message was delivered at all: nothing was shown"]
    );
    assert_eq!(
        report.samples.iter().map(|sample| sample.online).max(),
        Some(24)
    );
}

#[test]
fn all_who_are_to_resume_do_at_once_or_put_off() {
    for (twist, resumed) in [(Twist::None, 24), (Twist::ShedOne(30), 25)] {
        let report = run_model(
            twist,
            "[im]\nsessions_per_day = 0\n[logon]\nleaves_per_hour = 0\n",
            "--users 20 --duration 6 --compress 60 --act crash-resumed@2/0",
        );
        let counts = &report.counts;
        assert_eq!(
            (counts.logons, counts.resumed),
            (48, resumed),
            "{}",
            report.table()
        );
    }
}

/// Three seconds are enough, but on a machine so busy that they are over before ten messages have gone: then more.
fn run_until_it_shows(twist: Twist) -> Report {
    let mut seconds = 3;
    loop {
        let load = format!("--users 20 --duration {seconds} --compress 240 --times 2");
        let report = run(twist, &load);
        if report.counts.accepted >= 10 || seconds >= 24 {
            return report;
        }
        seconds *= 2;
    }
}

/// Each twist must be found, found as what it is, and named.
#[test]
fn a_bad_server_is_caught() {
    let check = |twist, found: fn(&Report) -> bool, words: &str| {
        let report = run_until_it_shows(twist);
        assert!(
            !report.passed() && found(&report) && report.table().contains(words),
            "{twist:?}\n{}",
            report.table()
        );
    };
    check(
        Twist::Lose(8),
        |report| report.verdict.lost == 1,
        "lost: session ",
    );
    check(
        Twist::Duplicate(8),
        |report| report.counts.duplicated == 1,
        "duplicated: session ",
    );
    check(
        Twist::Swap(0),
        |report| report.counts.reordered == 1,
        "reordered: session ",
    );
    check(
        Twist::Alter(8),
        |report| report.counts.altered == 1,
        "altered: session ",
    );
    check(
        Twist::Shed(8),
        |report| {
            let counts = &report.counts;
            // What was refused is not lost.
            (counts.shed, counts.wrongly_refused, report.verdict.lost) == (1, 1, 0)
        },
        "MESSAGE shed, which goes on",
    );
}

/// What no message shows: presence, refusals, conferences.
#[test]
fn a_server_that_tells_nothing_or_refuses_is_caught() {
    let check = |twist, more: &str, failure: &str, words: &str| {
        // Enough of what is judged by its share.
        let times = match twist {
            Twist::Refuse(Method::Invite, 480) | Twist::ShedOne(_) | Twist::RingNobody => 8,
            _ => 2,
        };
        // So long that some say nothing more before the end, which is when it is due.
        let seconds = match twist {
            Twist::Frozen => 6,
            Twist::ShedRenewal => 13,
            _ => 3,
        };
        let load = format!("--users 12 --duration {seconds} --compress 240 --times {times}");
        let report = run_model(twist, more, &load);
        let failures = report.failures().join("; ");
        assert!(
            failures.contains(failure) && report.table().contains(words),
            "{twist:?}\n{}",
            report.table()
        );
        // Who was put off for a second has waited for it.
        let logon = report.rows.iter().find(|row| row.what == "logon");
        assert!(twist != Twist::ShedOne(0) || logon.unwrap().max_us >= 1_000_000);
    };
    let wrongly = "requests refused as no right server does here";
    let cases = [
        (
            Twist::Refuse(Method::Publish, 500),
            "",
            wrongly,
            "'s PUBLISH answered 500",
        ),
        (
            Twist::Refuse(Method::Subscribe, 404),
            "",
            wrongly,
            "'s SUBSCRIBE answered 404",
        ),
        // Without Retry-After.
        (
            Twist::Refuse(Method::Invite, 503),
            "",
            wrongly,
            "'s INVITE answered 503",
        ),
        (
            Twist::Refuse(Method::Invite, 480),
            "",
            "INVITEs refused although who was called is there",
            "INVITE answered 480",
        ),
        (
            Twist::ShedOne(0),
            "",
            "INVITEs refused although who was called is there",
            "1 shed with 503",
        ),
        (
            Twist::RefuseMore(500),
            "",
            wrongly,
            "'s MESSAGE answered 500",
        ),
        (
            Twist::RefuseMore(481),
            "",
            "messages refused although the other side is there",
            "MESSAGE answered 481",
        ),
        (
            Twist::HangUp,
            "",
            "messages could not be said, for the session had been ended before its time",
            "skipped",
        ),
        (
            Twist::ShedPolls,
            "[presence]\npolls_per_hour = 240\n",
            "requests that may be put off were shed, more than 5 %",
            "shed with 503",
        ),
        // It is asked for again all the same.
        (
            Twist::ShedRenewal,
            "",
            wrongly,
            "a subscription ended unasked, reason noresource",
        ),
        (
            Twist::Silent,
            "",
            "subscriptions and polls granted, and nothing told",
            "the contact list granted, and no NOTIFY came",
        ),
        (
            Twist::Frozen,
            "[presence]\npublications_per_hour = 2\n",
            "had not been told what a contact had published long before",
            "untold state: the newest of user",
        ),
        (
            Twist::Older,
            "",
            "states notified after a newer one",
            "older state: number",
        ),
        (
            Twist::Terminate,
            "",
            "there were faults",
            "a subscription ended unasked, reason noresource",
        ),
        (
            Twist::RingNobody,
            "[conference]\nusers_share = 1.0\n",
            "accepted in conferences was delivered",
            "who never came",
        ),
    ];
    // Side by side: each waits most of its time.
    std::thread::scope(|scope| {
        for (twist, more, failure, words) in cases {
            scope.spawn(move || check(twist, more, failure, words));
        }
    });
}

#[test]
fn growth_is_judged_only_of_a_process_that_is_named() {
    let wanted = |arguments: &str| {
        let line = format!("soak --users 20 --ramp 1 {arguments}");
        let line = Line::try_parse_from(line.split_whitespace());
        line.unwrap_or_else(|error| panic!("{error}")).soak.wanted()
    };
    let refused = wanted("--growth-max 1").err().unwrap();
    assert!(refused.contains("--pid"), "{refused}");
    let pid = std::process::id();
    let judged = |arguments: &str| wanted(arguments).unwrap().growth_max;
    assert_eq!(judged(&format!("--growth-max 2 --pid {pid}")), Some(2.0));
    assert_eq!(judged("--compress 60"), None);
    assert_eq!(judged(&format!("--compress 60 --pid {pid}")), Some(1.0));
}
