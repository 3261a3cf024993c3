//! What must hold for any bytes whatever: the bodies of the fuzz targets.
//!
//! `tests/fuzz/` has a target for cargo-fuzz for each; `tests/wire.rs` runs each over the corpus and over mutations of it
//! in every test run. Each takes bytes and panics where something does not hold. Nothing here is called when serving.

use super::build::{self, Echo};
use super::frame::{self, Cut, FrameState, Limits};
use super::header::{
    AuthParams, CSeq, DialogRef, Event, MediaType, Name, NameAddr, Params, Quoted, Reason,
    SessionExpires, SubscriptionState, Via, accept_quality, number, split_values, tokens,
};
use super::message::{HEAD_BYTES_MAX, HEADERS_MAX, Malformed, Message};
use super::uri::{Aor, Uri};

/// Limits so small that short inputs reach them.
pub const NARROW: Limits = Limits {
    head_bytes_max: 600,
    body_bytes_max: 100,
    headers_max: 12,
};

/// One thing that a stream was cut into, with the bytes of it that were there.
pub type Piece = (Cut, Vec<u8>);

/// Cuts a stream that comes in pieces of the sizes that `sizes` gives (at least a byte each), as a connection would.
pub fn pieces(stream: &[u8], limits: &Limits, mut sizes: impl FnMut() -> usize) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut state = FrameState::default();
    let mut received: Vec<u8> = Vec::new();
    let mut skipping = 0;
    let mut rest = stream;
    loop {
        let skipped = skipping.min(received.len());
        received.drain(..skipped);
        skipping -= skipped;
        let cut = frame::cut(&received, limits, &mut state);
        let taken = match cut {
            Cut::Need(total) => {
                assert!(
                    total == 0 || total > received.len(),
                    "{cut:?} has all it needs"
                );
                if rest.is_empty() {
                    return found;
                }
                let (now, later) = rest.split_at(sizes().clamp(1, rest.len()));
                received.extend_from_slice(now);
                rest = later;
                continue;
            }
            Cut::Ping(bytes) | Cut::Pong(bytes) => bytes,
            Cut::Message { head, total } => {
                assert!(head <= limits.head_bytes_max, "{cut:?} is over the limit");
                assert!(
                    total - head <= limits.body_bytes_max,
                    "{cut:?} is over the limit"
                );
                total
            }
            Cut::Refuse { head, resume, .. } => {
                let here = received
                    .get(..head)
                    .expect("the head that it speaks of is here");
                found.push((cut, here.to_vec()));
                let Some(resume) = resume else {
                    return found;
                };
                assert!(resume >= head && resume > 0, "{cut:?} goes backwards");
                skipping = resume;
                continue;
            }
        };
        assert!(taken > 0, "{cut:?} takes nothing");
        let here = received.get(..taken).expect("what it takes is here");
        found.push((cut, here.to_vec()));
        received.drain(..taken);
    }
}

/// A stream is cut into the same pieces however its bytes come in. The first bytes say how.
pub fn stream(data: &[u8]) {
    let (seed, stream) = data.split_at(data.len().min(4));
    for limits in [NARROW, Limits::default()] {
        let mut turn = 0;
        let sizes = || {
            turn += 1;
            seed.get(turn % 4).map_or(1, |&size| usize::from(size % 64))
        };
        let whole = pieces(stream, &limits, || usize::MAX);
        assert_eq!(whole, pieces(stream, &limits, || 1), "byte by byte");
        assert_eq!(whole, pieces(stream, &limits, sizes), "in pieces");
        for (cut, mut bytes) in whole {
            match cut {
                Cut::Message { head, total } => {
                    message(&bytes);
                    if let Ok(message) = Message::parse(&mut bytes) {
                        let both = (message.head().len(), message.body().len());
                        assert_eq!(both, (head, total - head), "two readers of one length");
                    }
                }
                Cut::Refuse { fault, resume, .. } => {
                    answer(&Malformed::refused(&mut bytes, fault, resume.is_none()));
                }
                _ => {}
            }
        }
    }
}

/// Bytes are a message or are answered; a message that is written again means the same.
pub fn message(data: &[u8]) {
    let mut bytes = data.to_vec();
    match Message::parse(&mut bytes) {
        Ok(message) => {
            for (_, name, value) in message.all() {
                header(name, value);
            }
            read_again(&message);
            if message.is_request() {
                answered(&message);
            }
        }
        Err(malformed) => answer(&malformed),
    }
}

fn read_again(message: &Message<'_>) {
    // Names written in full, and a Content-Length where there was none, may take it over the limits.
    if message.all().count() >= HEADERS_MAX || message.head().len() > HEAD_BYTES_MAX / 2 {
        return;
    }
    let again = write_again(message);
    let mut bytes = again.clone();
    let read = Message::parse(&mut bytes).expect("what is written again is well-formed");
    assert_eq!(meaning(message), meaning(&read));
    assert_eq!(again, write_again(&read), "written twice");
}

/// The message with names in full and without what is allowed but not needed.
pub fn write_again(message: &Message<'_>) -> Vec<u8> {
    let mut out = match message.status() {
        None => format!("{} {} SIP/2.0\r\n", message.method_text(), message.uri()),
        Some(status) => format!("SIP/2.0 {status} {}\r\n", message.reason()),
    };
    for (name, text, value) in message.all() {
        if name != Name::ContentLength {
            let name = if name == Name::Other {
                text
            } else {
                name.as_str()
            };
            out += &format!("{name}: {value}\r\n");
        }
    }
    out += &format!("Content-Length: {}\r\n\r\n", message.body().len());
    let mut out = out.into_bytes();
    out.extend_from_slice(message.body());
    out
}

/// What must survive being written again.
fn meaning<'a>(message: &Message<'a>) -> impl PartialEq + core::fmt::Debug + use<'a> {
    let lines: Vec<_> = message
        .all()
        .filter(|line| line.0 != Name::ContentLength)
        .map(|(name, text, value)| (name, if name == Name::Other { text } else { "" }, value))
        .collect();
    (
        (
            message.method_text(),
            message.uri(),
            message.status(),
            message.reason(),
        ),
        (message.via(), message.from(), message.to(), message.cseq()),
        (lines, message.body()),
    )
}

/// Our answer to a request is well-formed and is its answer, now and when the request is gone.
fn answered(message: &Message<'_>) {
    let mut now = Vec::new();
    build::response(&mut now, message, 200, Some("t")).finish();
    let mut later = Vec::new();
    build::response_from(&mut later, &Echo::of(message), 200, Some("t")).finish();
    assert_eq!(now, later);
    // The answer may have longer names than the request.
    if now.len() > HEAD_BYTES_MAX {
        return;
    }
    let response = Message::parse(&mut now).expect("our answer is well-formed");
    assert_eq!(response.via(), message.via());
    assert_eq!(response.from(), message.from());
    assert_eq!(response.cseq(), message.cseq());
    assert_eq!(response.call_id(), message.call_id());
    assert_eq!(response.to().uri, message.to().uri);
    assert_eq!(response.to().tag(), message.to().tag().or(Some("t")));
}

/// The answer to what is no message is one message to whoever reads it, and has no line that was smuggled in.
fn answer(malformed: &Malformed<'_>) {
    let Some(partial) = &malformed.partial else {
        return;
    };
    assert!(partial.is_request() && partial.method_text() != "ACK");
    let mut out = Vec::new();
    let fault = malformed.fault;
    build::response_reason(&mut out, partial, fault.status(), fault.reason(), Some("t")).finish();
    let lines = out.split(|&byte| byte == b'\n').count();
    let vias = partial.headers(Name::Via).count();
    // Start line, four headers, Content-Length, the empty line, and nothing after it.
    assert!(lines <= vias + 8, "{lines} lines for {vias} Via");
    if out.len() <= HEAD_BYTES_MAX {
        let limits = Limits {
            head_bytes_max: HEAD_BYTES_MAX,
            ..Limits::default()
        };
        let cut = frame::cut(&out, &limits, &mut FrameState::default());
        assert!(
            matches!(cut, Cut::Message { total, .. } if total == out.len()),
            "{cut:?}"
        );
    }
}

/// A value is read by the type for its name, or for any name by all types; what is read is written as it was meant.
pub fn header(name: &str, value: &str) {
    for part in split_values(value) {
        assert_eq!(split_values(part).count(), 1, "{part} is one value");
        if let Ok(address) = NameAddr::parse(part) {
            let written = address.to_string();
            let again = NameAddr::parse(&written).expect("an address is written as one");
            assert_eq!((again.display, again.uri), (address.display, address.uri));
            assert!(again.params.iter().eq(address.params.iter()));
            let quoted = Quoted(&address.display_name()).to_string();
            let plain = quoted
                .chars()
                .all(|char| !char.is_control() || char == '\t');
            assert!(plain, "{quoted:?} holds a control character");
            uri(address.uri.as_bytes());
        }
        if let Ok(via) = Via::parse(part) {
            assert!(!via.host.is_empty() && via.sent_by.starts_with(via.host));
        }
        let _ = (MediaType::parse(part), Reason::parse(part), number(part));
    }
    if let Ok(params) = Params::parse(value) {
        for (name, raw) in params.iter() {
            assert!(params.has(name));
            assert!(raw.is_none_or(|raw| !raw.is_empty()));
        }
    }
    if let Ok(auth) = AuthParams::parse(value) {
        for (name, raw) in auth.iter() {
            assert_eq!(auth.raw(name), Some(raw), "{name} stands once");
        }
    }
    if let Ok(cseq) = CSeq::parse(value) {
        assert!(cseq.number < 1 << 31);
    }
    let _ = (Event::parse(value), SubscriptionState::parse(value));
    let _ = (DialogRef::parse(value), SessionExpires::parse(value));
    let quality = accept_quality([value].into_iter(), "text/plain");
    assert!(quality.is_some_and(|quality| quality <= 1000));
    assert!(tokens([value].into_iter()).all(|token| !token.is_empty() && !token.contains(',')));
    let kind = Name::parse(name);
    assert!(kind == Name::Other || Name::parse(kind.as_str()) == kind);
}

/// Text is a URI or not; a URI means what it means, and its address of record goes round.
pub fn uri(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let _ = Aor::parse(text);
    let Ok(uri) = Uri::parse(text) else {
        return;
    };
    assert!(uri.equivalent(&uri), "{text} is itself");
    for (name, value) in uri.each_param() {
        assert_eq!(uri.param(name), Some(value), "{name} stands once");
    }
    for (name, _) in uri.each_header() {
        let _ = uri.header(name);
    }
    if let Some(aor) = uri.aor() {
        let written = aor.uri();
        let again = Uri::parse(&written).expect("an address of record is a URI");
        assert_eq!(again.aor().as_ref(), Some(&aor), "{text}");
        assert_eq!(Aor::parse(aor.as_str()).as_ref(), Some(&aor), "{text}");
        assert!(!aor.user().is_empty() && !aor.host().is_empty());
    }
}

/// As `header`, from bytes: a line.
pub fn line(data: &[u8]) {
    if let Some((name, value)) = core::str::from_utf8(data)
        .ok()
        .and_then(|line| line.split_once(':'))
    {
        header(name, value.trim_matches([' ', '\t']));
    }
}
