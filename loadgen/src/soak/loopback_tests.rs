//! Whole soaks against a tiny server in this process: what a good one shows, and that a bad one is caught and named.
//!
//! It registers, keeps presence to itself, and relays whole dialogs between two clients; a `Twist` makes it do one thing wrong to
//! the n-th message. Conferences need a real server: see README.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
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
    texts: u32,
    tags: u32,
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
            let _ = ends[usize::from(*caller != from)].send(raw);
        }
        return true;
    }
    let mut out = Vec::new();
    match message.method() {
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
        }
        Method::Subscribe => {
            build::response(&mut out, &message, 200, Some("s"))
                .header("Expires", message.expires().unwrap())
                .header("Contact", "<sip:s@localhost>");
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
    let folder =
        std::env::temp_dir().join(format!("loadgen-soak-{}-{twist:?}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let model = folder.join("model.toml");
    let text = "[conference]\nusers_share = 0.0\nlarge_at_once = 0.0\n[users]\nendpoints = 1.2\n";
    std::fs::write(&model, format!("{text}{more}")).unwrap();
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

/// Each twist must be found, found as what it is, and named.
#[test]
fn a_bad_server_is_caught() {
    let load = "--users 20 --duration 3 --compress 240 --times 2";
    let check = |twist, found: fn(&Report) -> bool, words: &str| {
        let report = run(twist, load);
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
    let shed = run(Twist::Shed(8), load);
    assert!(
        shed.passed() && shed.counts.shed == 1,
        "a message that was refused is not lost\n{}",
        shed.table()
    );
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
