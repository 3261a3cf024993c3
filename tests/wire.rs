//! Bytes in, meaning out, answer written: `wire/*.sip`, the torture messages of RFC 4475 (`wire/rfc4475`), and mutations of
//! them all.
//!
//! A file in `wire/` has cases of three parts, so that a change of meaning shows in a diff:
//!
//! ```text
//! === what the case is about
//! OPTIONS sip:a@b SIP/2.0        the bytes: each line ends in CR LF, or in nothing where a backslash ends it;
//! …                              \r \n \t \s (a space at an end) \\ \xHH and \N{count}{text} (repeated) are escapes
//! --- means
//! request OPTIONS sip:a@b        one block for each thing that the stream is cut into
//! --- answer
//! SIP/2.0 200 OK                 what we say: 200 to what is well-formed, else the fault's answer
//! ```
//!
//! `MUSTER_BLESS=1 cargo test wire` writes what is found into the files; then read the diff.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use muster::dialect::fuzz as bodies;
use muster::sip::build;
use muster::sip::frame::{Cut, Limits};
use muster::sip::fuzz;
use muster::sip::header::{AuthParams, Contacts, Event, Name, NameAddr, SubscriptionState};
use muster::sip::message::{Blank, Malformed, Message};

/// A few cases need a small body limit to be readable; they say so in their name.
const SMALL_BODIES: Limits = Limits {
    head_bytes_max: 16 * 1024,
    body_bytes_max: 16,
    headers_max: 128,
};

#[test]
fn bytes_mean_what_the_files_say() {
    let bless = std::env::var_os("MUSTER_BLESS").is_some();
    let mut wrong = String::new();
    let cases = files(&folder("tests/wire"), "sip");
    assert!(cases.len() >= 10, "only {} files of cases", cases.len());
    for path in cases {
        let text = std::fs::read_to_string(&path).expect("a readable case file");
        let found = play(&text);
        if found != text && bless {
            std::fs::write(&path, &found).expect("a writable case file");
        } else if let Some((at, (expected, found))) = text
            .lines()
            .chain(core::iter::repeat("(the end)"))
            .zip(found.lines().chain(["(the end)"]))
            .enumerate()
            .find(|(_, (expected, found))| expected != found)
        {
            let _ = writeln!(
                wrong,
                "{}:{}\n  expected {expected}\n  found    {found}",
                path.display(),
                at + 1
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{wrong}(MUSTER_BLESS=1 writes what is found into the files)"
    );
}

/// The file as it should be.
fn play(text: &str) -> String {
    let mut parts = text.split("=== ");
    let mut out = parts.next().unwrap_or("").to_owned();
    for case in parts {
        let input = case.split("--- means\n").next().unwrap_or(case);
        let (title, lines) = input.split_once('\n').unwrap_or((input, ""));
        let bytes = unescape(lines);
        let limits = if title.contains("(small bodies)") {
            SMALL_BODIES
        } else {
            Limits::default()
        };
        let (means, answer) = judge(&bytes, &limits);
        let _ = write!(
            out,
            "=== {title}\n{lines}--- means\n{means}--- answer\n{answer}"
        );
        if !out.ends_with("\n\n") {
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// What a stream means, and what we answer.
fn judge(bytes: &[u8], limits: &Limits) -> (String, String) {
    let pieces = fuzz::pieces(bytes, limits, || usize::MAX);
    assert_eq!(pieces, fuzz::pieces(bytes, limits, || 1), "byte by byte");
    let (mut means, mut answers) = (String::new(), String::new());
    for (cut, mut bytes) in pieces {
        let mut blank = Blank::new();
        match cut {
            Cut::Need(_) => {}
            Cut::Ping(_) => means += "ping\n",
            Cut::Pong(_) => means += "line end\n",
            // As the server reads it; the others here do so by `parse`.
            Cut::Message { .. } => match blank.fill(&mut bytes) {
                Ok(message) => {
                    let message = &*message;
                    describe(&mut means, message);
                    if message.is_request() && message.method_text() != "ACK" {
                        show(&mut answers, |out| {
                            build::response(out, message, 200, Some("ours")).finish()
                        });
                    }
                }
                Err(malformed) => refuse(&mut means, &mut answers, &malformed),
            },
            Cut::Refuse { fault, resume, .. } => {
                let malformed = Malformed::refused(&mut bytes, fault, resume.is_none());
                refuse(&mut means, &mut answers, &malformed);
                if let Some(resume) = resume {
                    let _ = writeln!(means, "  skip to {resume}");
                }
            }
        }
    }
    if means.is_empty() {
        means += "nothing yet\n";
    }
    (shorten(&means), shorten(&answers))
}

fn refuse(means: &mut String, answers: &mut String, malformed: &Malformed<'_>) {
    let fault = malformed.fault;
    let _ = writeln!(
        means,
        "{fault}{}",
        if malformed.framing_lost {
            ", close"
        } else {
            ""
        }
    );
    if let Some(partial) = &malformed.partial {
        show(answers, |out| {
            build::response_reason(out, partial, fault.status(), fault.reason(), Some("ours"))
                .finish();
        });
    }
}

fn show(answers: &mut String, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    *answers += &escape(&out);
}

fn describe(out: &mut String, message: &Message<'_>) {
    let _ = match message.status() {
        None => writeln!(out, "request {} {}", message.method_text(), message.uri()),
        Some(status) => writeln!(
            out,
            "response {status} {:?} to {}",
            message.reason(),
            message.method_text()
        ),
    };
    for (name, text, value) in message.all() {
        let _ = match name {
            Name::From => address(out, "From", &message.from()),
            Name::To => address(out, "To", &message.to()),
            Name::CallId => writeln!(out, "  Call-ID {}", message.call_id()),
            Name::CSeq => writeln!(
                out,
                "  CSeq {} {}",
                message.cseq().number,
                message.cseq().method
            ),
            Name::ContentLength => Ok(()),
            Name::Other => writeln!(out, "  {text}: {}", value.escape_debug()),
            _ => Ok(()),
        };
    }
    let via = message.via();
    let port = via
        .port
        .map_or(String::new(), |port| format!(" port {port}"));
    let _ = writeln!(
        out,
        "  Via {} {}{port} branch {:?}",
        via.transport,
        via.host,
        via.branch()
    );
    for value in message.values(Name::Via).skip(1) {
        let _ = writeln!(out, "  then Via {value}");
    }
    match message.contacts() {
        Ok(Contacts::Star) => *out += "  Contact all\n",
        Ok(Contacts::List(list)) => {
            for each in &list {
                let _ = address(out, "Contact", each);
            }
        }
        Err(fault) => {
            let _ = writeln!(out, "  {fault}");
        }
    }
    for name in [
        Name::Route,
        Name::RecordRoute,
        Name::ReferTo,
        Name::PAssertedIdentity,
    ] {
        for value in message.values(name) {
            let _ = match NameAddr::parse(value) {
                Ok(each) => address(out, name.as_str(), &each),
                Err(_) => writeln!(out, "  Bad {}", name.as_str()),
            };
        }
    }
    for value in message.headers(Name::Authorization) {
        let _ = match AuthParams::parse(value) {
            Ok(auth) => {
                let list: Vec<_> = auth
                    .iter()
                    .map(|(name, _)| format!("{name}={}", auth.get(name).unwrap_or_default()))
                    .collect();
                writeln!(out, "  Authorization {} {}", auth.scheme, list.join(" | "))
            }
            Err(_) => writeln!(out, "  Bad Authorization"),
        };
    }
    if let Some(value) = message.header(Name::Event) {
        let _ = match Event::parse(value) {
            Ok(event) => writeln!(
                out,
                "  Event {} id {:?}",
                event.package,
                event.id.unwrap_or("")
            ),
            Err(_) => writeln!(out, "  Bad Event"),
        };
    }
    if let Some(value) = message.header(Name::SubscriptionState) {
        let _ = match SubscriptionState::parse(value) {
            Ok(it) => writeln!(
                out,
                "  Subscription {} expires {:?} reason {:?}",
                it.state,
                it.expires_s(),
                it.reason()
            ),
            Err(_) => writeln!(out, "  Bad Subscription-State"),
        };
    }
    if message.header(Name::Expires).is_some() {
        let _ = writeln!(out, "  Expires {:?}", message.expires());
    }
    if message.header(Name::MaxForwards).is_some() {
        let _ = writeln!(out, "  Max-Forwards {:?}", message.max_forwards());
    }
    for name in [
        Name::Supported,
        Name::Require,
        Name::Allow,
        Name::Accept,
        Name::UserAgent,
        Name::Subject,
        Name::ReferSub,
    ] {
        let values: Vec<_> = message.headers(name).collect();
        if !values.is_empty() {
            let _ = writeln!(
                out,
                "  {} {}",
                name.as_str(),
                values.join(" | ").escape_debug()
            );
        }
    }
    if !message.body().is_empty() || message.header(Name::ContentType).is_some() {
        let kind = message
            .content_type()
            .map_or("of no type".to_owned(), |it| {
                format!("{} {}{}", it.kind, it.subtype, it.params.as_str())
            });
        let _ = writeln!(out, "  body {kind} \"{}\"", message.body().escape_ascii());
    }
}

fn address(out: &mut String, name: &str, it: &NameAddr<'_>) -> core::fmt::Result {
    let uri = match it.uri() {
        Err(_) => format!("bad URI {}", it.uri),
        Ok(uri) => uri
            .aor()
            .map_or_else(|| it.uri.to_owned(), |aor| format!("{} ({aor})", it.uri)),
    };
    let display = it.display_name();
    let display = if display.is_empty() {
        String::new()
    } else {
        format!(" {display:?}")
    };
    writeln!(
        out,
        "  {name}{display} {uri} {}",
        it.params.as_str().escape_debug()
    )?;
    out.truncate(out.trim_end().len());
    out.push('\n');
    Ok(())
}

/// The bytes that the lines of a case stand for.
fn unescape(lines: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines.lines() {
        match line.strip_suffix('\\').filter(|rest| !rest.ends_with('\\')) {
            Some(part) => unescape_into(part, &mut bytes),
            None => {
                unescape_into(line, &mut bytes);
                bytes.extend_from_slice(b"\r\n");
            }
        }
    }
    bytes
}

fn unescape_into(text: &str, bytes: &mut Vec<u8>) {
    let Some((plain, rest)) = text.split_once('\\') else {
        bytes.extend_from_slice(text.as_bytes());
        return;
    };
    bytes.extend_from_slice(plain.as_bytes());
    let mut rest_at = 1;
    match rest.as_bytes().first() {
        Some(b'r') => bytes.push(b'\r'),
        Some(b'n') => bytes.push(b'\n'),
        Some(b't') => bytes.push(b'\t'),
        Some(b's') => bytes.push(b' '),
        Some(b'\\') => bytes.push(b'\\'),
        Some(b'x') => {
            bytes.push(u8::from_str_radix(&rest[1..3], 16).expect("two digits after \\x"));
            rest_at = 3;
        }
        Some(b'N') => {
            let (count, after) = rest[2..].split_once("}{").expect("\\N{count}{text}");
            let (text, after) = after.split_once('}').expect("\\N{count}{text}");
            for _ in 0..count.parse().expect("a count after \\N") {
                unescape_into(text, bytes);
            }
            rest_at = rest.len() - after.len();
        }
        other => panic!("an escape that is none: {other:?} in {text}"),
    }
    unescape_into(&rest[rest_at..], bytes);
}

/// Bytes as lines of a case.
fn escape(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for line in text.split_inclusive("\r\n") {
        let line = line
            .strip_suffix("\r\n")
            .unwrap_or(line)
            .escape_debug()
            .to_string();
        let _ = writeln!(out, "{}", line.replace("\\\"", "\"").replace("\\'", "'"));
    }
    out
}

/// Lines too long to be read, cut short.
fn shorten(lines: &str) -> String {
    let mut out = String::new();
    for line in lines.lines() {
        let _ = match line.char_indices().nth(300) {
            Some((at, _)) => writeln!(out, "{}… ({} bytes)", &line[..at], line.len()),
            None => writeln!(out, "{line}"),
        };
    }
    out
}

/// The messages of RFC 4475, a file each; its README says where they come from.
const TORTURE_FOLDER: &str = "tests/wire/rfc4475";

/// What becomes of each torture message when it comes in over a connection. `ok`; or the answer's status and text, with
/// `close` where the framing is lost; or `dropped` for a response that is none.
const TORTURE: [(&str, &str); 49] = [
    // §3.1.1: valid messages.
    ("wsinv", "ok"),
    ("intmeth", "ok"),
    ("esc01", "ok"),
    ("escnull", "ok"),
    ("esc02", "ok"),
    ("lwsdisp", "ok"),
    ("longreq", "ok"),
    // Two requests with a stray line end between them. The second's body is longer than it says: over a stream what is left
    // over is the next message, and no SIP.
    ("dblreq", "ok, line end, ok, dropped: Bad start line, close"),
    ("semiuri", "ok"),
    ("transports", "ok"),
    ("mpart01", "ok"),
    ("unreason", "ok"),
    ("noreason", "ok"),
    // §3.1.2: invalid messages.
    ("badinv01", "400 Bad Via"),
    // It promises more than there is: over a stream the rest may still come.
    ("clerr", "more"),
    ("ncl", "400 Bad Content-Length, close"),
    ("scalar02", "400 Bad CSeq"),
    ("scalarlg", "dropped: Bad CSeq"),
    ("quotbal", "400 Bad To"),
    ("ltgtruri", "400 Bad Request-URI"),
    ("lwsruri", "400 Bad start line"),
    ("lwsstart", "400 Bad start line"),
    ("trws", "400 Bad start line"),
    ("escruri", "400 Bad Request-URI"),
    // A bad Date is nothing to us.
    ("baddate", "ok"),
    // The Contact is bad, which who reads it will see: `Message::contacts`.
    ("regbadct", "ok, bad Contact"),
    ("badaspec", "400 Bad To"),
    ("baddn", "400 Bad From"),
    ("badvers", "505 Version Not Supported"),
    ("mismatch01", "400 CSeq method does not match"),
    ("mismatch02", "400 CSeq method does not match"),
    ("bigcode", "dropped: Bad start line"),
    // §3.2: a branch of the cookie alone is the transactions' business.
    ("badbranch", "ok"),
    // §3.3: what the core decides (416, 420, 415, 401, 483), and what it never sees.
    ("insuf", "400 Missing From"),
    ("unkscm", "ok"),
    ("novelsc", "ok"),
    ("unksm2", "ok"),
    ("bext01", "ok"),
    ("invut", "ok"),
    ("regaut01", "ok"),
    ("multi01", "400 Repeated CSeq"),
    ("mcl01", "400 Repeated Content-Length, close"),
    ("bcast", "ok"),
    ("zeromf", "ok"),
    ("cparam01", "ok"),
    ("cparam02", "ok"),
    ("regescrt", "ok"),
    ("sdp01", "ok"),
    // §3.4: RFC 2543 had no Content-Length over UDP; with a body and over a stream nobody can read on.
    ("inv2543", "400 Missing Content-Length, close"),
];

#[test]
fn torture_messages_get_their_verdict() {
    let folder = folder(TORTURE_FOLDER);
    let mut wrong = String::new();
    for (name, expected) in TORTURE {
        let mut bytes = std::fs::read(folder.join(format!("{name}.dat"))).expect(name);
        if name == "baddn" {
            // The file ends before the head does.
            bytes.extend_from_slice(b"\r\n");
        }
        let verdicts: Vec<String> = fuzz::pieces(&bytes, &Limits::default(), || 7)
            .into_iter()
            .map(verdict)
            .collect();
        let found = if verdicts.is_empty() {
            "more".to_owned()
        } else {
            verdicts.join(", ")
        };
        if found != expected {
            let _ = writeln!(wrong, "{name}: expected {expected}, found {found}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(files(&folder, "dat").len(), TORTURE.len());
}

fn verdict((cut, mut bytes): fuzz::Piece) -> String {
    let malformed = match cut {
        Cut::Need(_) => return "more".to_owned(),
        Cut::Ping(_) => return "ping".to_owned(),
        Cut::Pong(_) => return "line end".to_owned(),
        Cut::Message { .. } => match Message::parse(&mut bytes) {
            Ok(message) => {
                return if message.contacts().is_ok() {
                    "ok"
                } else {
                    "ok, bad Contact"
                }
                .to_owned();
            }
            Err(malformed) => malformed,
        },
        Cut::Refuse { fault, resume, .. } => {
            Malformed::refused(&mut bytes, fault, resume.is_none())
        }
    };
    let close = if malformed.framing_lost {
        ", close"
    } else {
        ""
    };
    match malformed.partial {
        Some(_) => format!("{}{close}", malformed.fault),
        None => format!("dropped: {}{close}", malformed.fault.reason()),
    }
}

#[test]
fn whatever_comes_in_holds_what_must_hold() {
    let mut corpus: Vec<Vec<u8>> = files(&folder(TORTURE_FOLDER), "dat")
        .iter()
        .map(|path| std::fs::read(path).expect("a readable file"))
        .collect();
    for path in files(&folder("tests/wire"), "sip") {
        let text = std::fs::read_to_string(path).expect("a readable file");
        for case in text.split("=== ").skip(1) {
            let input = case.split("--- means\n").next().unwrap_or("");
            corpus.push(unescape(input.split_once('\n').unwrap_or(("", "")).1));
        }
    }
    // Long runs of one byte are what limits are for, and are mutated no more interestingly than short ones.
    corpus.retain(|bytes| bytes.len() < 8 * 1024);
    assert!(corpus.len() > 40, "the cases are the corpus");
    for bytes in &corpus {
        try_all(bytes);
    }
    for seed in 1..=rounds() {
        let bytes = mutate(&corpus, seed);
        let held = std::panic::catch_unwind(|| try_all(&bytes));
        assert!(held.is_ok(), "seed {seed}: {}", bytes.escape_ascii());
    }
}

/// How many mutations are tried.
fn rounds() -> u64 {
    std::env::var("MUSTER_FUZZ_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000)
}

/// The bodies of all plays, and of what a real client of Lync's dialect has sent.
fn bodies_of_plays() -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for path in files(&folder("tests/conversation"), "txt") {
        let text = std::fs::read_to_string(path).expect("a play");
        // Below a step, indented: header lines, an empty line, the body.
        let mut body: Option<String> = None;
        for line in text.lines().chain(["the end"]) {
            let inside = line.strip_prefix("  ");
            match (&mut body, inside) {
                (None, None) if line.is_empty() => body = Some(String::new()),
                (Some(body), Some(line)) => *body += &format!("{line}\r\n"),
                (Some(body), None) if line.is_empty() => body.push_str("\r\n"),
                (_, Some(_)) => {}
                (_, None) => {
                    let whole = body.take().unwrap_or_default();
                    bodies.push(whole.trim_end().as_bytes().to_vec());
                }
            }
        }
    }
    let text = std::fs::read_to_string(folder("tests/wire/sipe-1.25.0.sip")).expect("a case file");
    for case in text.split("=== ").skip(1) {
        let input = case.split("--- means\n").next().unwrap_or("");
        let bytes = unescape(input.split_once('\n').unwrap_or(("", "")).1);
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        bodies.extend(at.map(|at| bytes[at + 4..].to_vec()));
    }
    bodies.retain(|body| !body.is_empty());
    bodies
}

#[test]
fn no_body_ends_the_server() {
    let corpus = bodies_of_plays();
    let mut unread: BTreeMap<&str, bool> = BTreeMap::new();
    for body in &corpus {
        for (reader, could) in bodies::body(body) {
            *unread.entry(reader).or_insert(true) &= !could;
        }
    }
    // Else all that is tried of it is how it refuses.
    unread.retain(|_, unread| *unread);
    let unread: Vec<&str> = unread.into_keys().collect();
    assert!(
        unread.is_empty(),
        "no body of {} is for {unread:?}",
        corpus.len()
    );
    for seed in 1..=rounds() {
        let bytes = mutate(&corpus, seed);
        let held = std::panic::catch_unwind(|| bodies::body(&bytes));
        assert!(held.is_ok(), "seed {seed}: {}", bytes.escape_ascii());
    }
}

fn try_all(bytes: &[u8]) {
    fuzz::stream(bytes);
    fuzz::message(bytes);
    for line in bytes.split(|&byte| byte == b'\n') {
        fuzz::line(line);
        for word in line.split(|byte| b" \r<>".contains(byte)) {
            fuzz::uri(word);
        }
    }
}

/// A piece of the corpus with a few bytes changed, cut, doubled or spliced in: the same for the same seed.
fn mutate(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    const TELLING: &[u8] = b"\r\n\r\n  \t:;,=<>\"\\%@[]?&/*()0123456789-\0\x7f\xff\xc3aSIP";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |bound: usize| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0) % bound.max(1)
    };
    let mut bytes = corpus[below(corpus.len())].clone();
    for _ in 0..=below(4) {
        let at = below(bytes.len() + 1);
        match below(6) {
            0 if at < bytes.len() => bytes[at] = TELLING[below(TELLING.len())],
            1 => bytes.insert(at, TELLING[below(TELLING.len())]),
            2 => drop(bytes.drain(at..(at + below(9)).min(bytes.len()))),
            3 => {
                let piece = bytes[at..(at + below(90)).min(bytes.len())].to_vec();
                let to = below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            4 => {
                let other = &corpus[below(corpus.len())];
                let from = below(other.len() + 1);
                let piece = &other[from..(from + below(200)).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of a folder in order of their names; none where there is no folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    files.sort();
    files
}
