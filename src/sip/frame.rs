//! A byte stream cut into whole messages, with limits (RFC 3261 §7.5, §18.3; RFC 5626 §3.5.1).
//!
//! Each byte of a head is looked at once, however the bytes come in; what was seen is in the connection's `FrameState`.
//! But nearly every message comes whole: so what comes first is read as `message` reads it, which need not do so again, and is
//! looked at line by line where that finds anything odd, or no end.
//! Cutting needs two things of a head only, its empty line and its Content-Length; all else is `message`'s.
//!
//! Over a stream Content-Length is required (RFC 3261 §20.14), yet clients leave it out when there is no body. So its absence
//! counts as zero while nothing contradicts; a message that has Content-Type or Content-Encoding says that there is a body,
//! and without its length the framing is lost.

use super::grammar;
use super::message::{Blank, Fault, HEAD_BYTES_MAX, HEADERS_MAX};
use crate::sip::header::Name;

/// A body over the limit is skipped when it is at most this long; beyond, the connection has to go.
pub const SKIPPED_BODY_BYTES_MAX: usize = 1024 * 1024;

/// What a peer may send at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Start line and header lines with the empty line; at most `HEAD_BYTES_MAX` counts.
    pub head_bytes_max: usize,
    /// The body.
    pub body_bytes_max: usize,
    /// Header lines; at most `HEADERS_MAX` counts.
    pub headers_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: 16 * 1024,
            body_bytes_max: 64 * 1024,
            headers_max: HEADERS_MAX,
        }
    }
}

/// What is known of the message that is coming in; one a connection, fresh at the start. It goes with the bytes that are
/// not yet consumed, and a fresh one for the same bytes finds the same message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameState {
    /// A CR LF was just consumed: another one makes it a ping.
    half_ping: bool,
    /// So many bytes hold no unseen LF.
    searched: usize,
    /// Where the current line begins.
    line_at: usize,
    /// Where the current header field begins; before `line_at` while it is folded.
    field_at: usize,
    /// Header lines seen.
    fields: usize,
    length: Length,
    /// A header says that there is a body.
    has_body: bool,
    /// When the head is whole: its length, and that of the message.
    whole: Option<(usize, usize)>,
}

/// What Content-Length said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Length {
    #[default]
    Absent,
    Bytes(u64),
    Unreadable,
    Contradictory,
}

/// What stands at the beginning of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Not enough yet; how many bytes the message has in all where that is known, else 0.
    Need(usize),
    /// So many bytes, and with them a keep-alive is whole: answer CR LF (RFC 5626 §3.5.1).
    Ping(usize),
    /// So many bytes of CR LF: an answer to a ping, half a ping, or stray (RFC 3261 §7.5). Nothing to do.
    Pong(usize),
    /// A whole message.
    Message {
        /// Bytes of the head, with the empty line.
        head: usize,
        /// Bytes of head and body.
        total: usize,
    },
    /// Not taken.
    Refuse {
        /// Why.
        fault: Fault,
        /// So many bytes are there to make an answer from (`Malformed::refused`); 0 when none is possible.
        head: usize,
        /// Where the next message begins, perhaps beyond what has been received: throw away so many bytes and go on.
        /// `None`: the framing is lost, close after the answer.
        resume: Option<usize>,
    },
}

/// Looks at the beginning of `bytes`: all that was received and not yet consumed, the same as at the last call and perhaps
/// more. After anything but `Need` the caller consumes what was found.
pub fn cut(bytes: &[u8], limits: &Limits, state: &mut FrameState) -> Cut {
    cut_into(bytes, limits, state, &mut Blank::new())
}

/// The same. Of a whole message `blank`, in which there is nothing yet, may have been told where its lines are, and is to be filled
/// with this message or none.
pub fn cut_into(
    bytes: &[u8],
    limits: &Limits,
    state: &mut FrameState,
    blank: &mut Blank<'_>,
) -> Cut {
    let found = if state.searched == 0 && state.whole.is_none() {
        line_ends(bytes, state.half_ping)
    } else {
        None
    };
    let found = found.unwrap_or_else(|| match state.whole {
        Some((head, total)) => whole(bytes, head, total),
        None => {
            at_once(bytes, limits, state, blank).unwrap_or_else(|| search(bytes, limits, state))
        }
    });
    match found {
        Cut::Need(_) => {}
        Cut::Pong(_) => {
            *state = FrameState {
                half_ping: true,
                ..FrameState::default()
            }
        }
        _ => *state = FrameState::default(),
    }
    found
}

/// Line ends before a start line, two bytes at a time, so that it does not matter how they come in.
fn line_ends(bytes: &[u8], half_ping: bool) -> Option<Cut> {
    match bytes {
        [] | [b'\r'] => Some(Cut::Need(0)),
        [b'\r', b'\n', ..] if half_ping => Some(Cut::Ping(2)),
        [b'\r', b'\n', ..] => Some(Cut::Pong(2)),
        _ => None,
    }
}

fn whole(bytes: &[u8], head: usize, total: usize) -> Cut {
    if bytes.len() < total {
        Cut::Need(total)
    } else {
        Cut::Message { head, total }
    }
}

/// A head that has come whole, and is as nearly everybody writes it. `None`: `search` has to look, and says what is wrong.
fn at_once(
    bytes: &[u8],
    limits: &Limits,
    state: &mut FrameState,
    blank: &mut Blank<'_>,
) -> Option<Cut> {
    if state.searched > 0 {
        return None;
    }
    let window = bytes.get(..limits.head_bytes_max).unwrap_or(bytes);
    let scanned = blank.scan(window)?;
    let body = usize::try_from(scanned.content_length).ok()?;
    let is_plain = is_sip_line(bytes.get(..scanned.start_bytes)?)
        && scanned.fields <= limits.headers_max
        && body <= limits.body_bytes_max;
    if !is_plain {
        blank.clear();
        return None;
    }
    let (head, total) = (scanned.head_bytes, scanned.head_bytes.saturating_add(body));
    state.whole = Some((head, total));
    Some(whole(bytes, head, total))
}

/// Goes on looking for the end of the head, line by line.
fn search(bytes: &[u8], limits: &Limits, state: &mut FrameState) -> Cut {
    let head_max = limits.head_bytes_max.min(HEAD_BYTES_MAX);
    // Not a byte beyond the limit is looked at.
    let window = bytes.get(..head_max).unwrap_or(bytes);
    while let Some(found) = memchr::memchr(b'\n', window.get(state.searched..).unwrap_or(&[])) {
        state.searched += found + 1;
        let line = window.get(state.line_at..state.searched).unwrap_or(&[]);
        if !line.ends_with(b"\r\n") {
            // A bare LF ends no line; `message` will say so.
            continue;
        }
        if state.line_at == 0 {
            if !is_sip_line(line) {
                return Cut::Refuse {
                    fault: Fault::StartLine,
                    head: 0,
                    resume: None,
                };
            }
            state.field_at = state.searched;
        } else if line == b"\r\n" {
            state.end_field(window);
            return finish(bytes, limits, state);
        } else if !matches!(line.first(), Some(b' ' | b'\t')) {
            state.end_field(window);
        }
        state.line_at = state.searched;
    }
    state.searched = window.len();
    if window.len() == head_max {
        return Cut::Refuse {
            fault: Fault::HeadTooLarge,
            head: state.line_at,
            resume: None,
        };
    }
    Cut::Need(0)
}

impl FrameState {
    /// A line begins that is none of the field's: looks at the field that ends before it.
    fn end_field(&mut self, bytes: &[u8]) {
        let field = bytes.get(self.field_at..self.line_at).unwrap_or(&[]);
        self.field_at = self.line_at;
        if field.is_empty() {
            return;
        }
        self.fields += 1;
        // Three headers matter: `Content-…`, or one of these letters alone.
        match field {
            [b'c' | b'C', b'o' | b'O', ..] => {}
            [
                b'c' | b'C' | b'e' | b'E' | b'l' | b'L',
                b':' | b' ' | b'\t' | b'\r',
                ..,
            ] => {}
            _ => return,
        }
        let Some(colon) = memchr::memchr(b':', field) else {
            return;
        };
        let (name, value) = field.split_at(colon);
        match Name::parse(core::str::from_utf8(name.trim_ascii_end()).unwrap_or("")) {
            Name::ContentType | Name::ContentEncoding => self.has_body = true,
            Name::ContentLength => {
                // Folding is still in it, so all white space goes.
                let digits = value.get(1..).unwrap_or(&[]).trim_ascii();
                let bytes = core::str::from_utf8(digits).ok().and_then(grammar::decimal);
                self.length = match (self.length, bytes) {
                    (Length::Absent, Some(bytes)) => Length::Bytes(bytes),
                    (Length::Bytes(one), Some(two)) if one == two => Length::Bytes(one),
                    (Length::Absent | Length::Unreadable, None) => Length::Unreadable,
                    _ => Length::Contradictory,
                };
            }
            _ => {}
        }
    }
}

/// The head is whole.
fn finish(bytes: &[u8], limits: &Limits, state: &mut FrameState) -> Cut {
    let head = state.searched;
    let lost = |fault| Cut::Refuse {
        fault,
        head,
        resume: None,
    };
    let length = match state.length {
        Length::Absent if state.has_body => return lost(Fault::Missing(Name::ContentLength)),
        Length::Absent => 0,
        Length::Bytes(length) => length,
        Length::Unreadable => return lost(Fault::Bad(Name::ContentLength)),
        Length::Contradictory => return lost(Fault::Repeated(Name::ContentLength)),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let skippable = length <= SKIPPED_BODY_BYTES_MAX.max(limits.body_bytes_max);
    let resume = skippable.then(|| head.saturating_add(length));
    if length > limits.body_bytes_max {
        return Cut::Refuse {
            fault: Fault::BodyTooLarge,
            head,
            resume,
        };
    }
    if state.fields > limits.headers_max.min(HEADERS_MAX) {
        return Cut::Refuse {
            fault: Fault::HeadersTooMany,
            head,
            resume,
        };
    }
    let total = head.saturating_add(length);
    state.whole = Some((head, total));
    whole(bytes, head, total)
}

/// Whether the first line of a head has the word `SIP/` where a start line has it: else it is some other protocol, and
/// nothing can be expected of what follows.
pub(super) fn is_sip(head: &str) -> bool {
    head.lines()
        .next()
        .is_some_and(|line| is_sip_line(line.as_bytes()))
}

fn is_sip_line(line: &[u8]) -> bool {
    let is_sip = |word: &[u8]| word.eq_ignore_ascii_case(b"SIP/");
    line.ends_with(b" SIP/2.0\r\n")
        || line.get(..4).is_some_and(is_sip)
        || line
            .windows(5)
            .any(|part| part[0] == b' ' && is_sip(&part[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::fuzz::{NARROW, pieces};
    use crate::sip::message::{Malformed, Message};
    use proptest::prelude::*;

    const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h\r\n";

    fn once(bytes: &[u8], limits: &Limits) -> Cut {
        cut(bytes, limits, &mut FrameState::default())
    }

    #[test]
    fn no_byte_of_a_head_is_looked_at_twice() {
        let mut bytes = HEAD.as_bytes().to_vec();
        let mut state = FrameState::default();
        while bytes.len() < 4_000 {
            bytes.push(b'x');
            assert_eq!(cut(&bytes, &Limits::default(), &mut state), Cut::Need(0));
            assert_eq!(state.searched, bytes.len());
        }
    }

    #[test]
    fn a_head_may_be_as_long_as_the_limit() {
        let limits = Limits::default();
        let head =
            |bytes: usize| format!("{HEAD}X: {}\r\n\r\n", "x".repeat(bytes - HEAD.len() - 7));
        let fits = head(limits.head_bytes_max);
        let total = fits.len();
        assert_eq!(
            once(fits.as_bytes(), &limits),
            Cut::Message { head: total, total }
        );
        // The lines that are whole are there to answer from; one byte more, and the empty line was out of reach.
        let refused = Cut::Refuse {
            fault: Fault::HeadTooLarge,
            head: total - 1,
            resume: None,
        };
        assert_eq!(once(head(total + 1).as_bytes(), &limits), refused);
        // The rest need not come.
        assert_eq!(once(&head(total + 1).as_bytes()[..total], &limits), refused);
    }

    #[test]
    fn limits_beyond_what_message_can_read_do_not_count() {
        let limits = Limits {
            head_bytes_max: usize::MAX,
            headers_max: usize::MAX,
            ..Limits::default()
        };
        let long = format!("{HEAD}X: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        let many = format!("{HEAD}{}\r\n", "X: y\r\n".repeat(HEADERS_MAX));
        let refused = |text: &str| match once(text.as_bytes(), &limits) {
            Cut::Refuse { fault, .. } => Some(fault),
            _ => None,
        };
        assert_eq!(refused(&long), Some(Fault::HeadTooLarge));
        assert_eq!(refused(&many), Some(Fault::HeadersTooMany));
    }

    #[test]
    fn a_body_over_the_limit_is_skipped_while_that_is_cheap() {
        let limits = Limits::default();
        for (length, fault, resumes) in [
            ("65536", None, true),
            ("65537", Some(Fault::BodyTooLarge), true),
            ("1048576", Some(Fault::BodyTooLarge), true),
            ("1048577", Some(Fault::BodyTooLarge), false),
            ("18446744073709551616", Some(Fault::BodyTooLarge), false),
            ("00000000000000000000000000001", None, true),
            ("", Some(Fault::Bad(Name::ContentLength)), false),
            ("+1", Some(Fault::Bad(Name::ContentLength)), false),
            ("1 1", Some(Fault::Bad(Name::ContentLength)), false),
            ("1,1", Some(Fault::Bad(Name::ContentLength)), false),
            ("0x1", Some(Fault::Bad(Name::ContentLength)), false),
        ] {
            let text = format!("{HEAD}Content-Length: {length}\r\n\r\n");
            match once(text.as_bytes(), &limits) {
                Cut::Need(total) => {
                    let wanted = length
                        .parse()
                        .map_or(0, |length: usize| text.len() + length);
                    assert_eq!((None, total), (fault, wanted), "{length}");
                }
                Cut::Refuse {
                    fault: found,
                    head,
                    resume,
                } => {
                    assert_eq!((Some(found), head), (fault, text.len()), "{length}");
                    assert_eq!(resume.is_some(), resumes, "{length}");
                }
                other => panic!("{length}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_length_is_found_however_it_is_written() {
        for line in [
            "Content-Length: 3",
            "content-length:3",
            "CONTENT-LENGTH \t:\t3 ",
            "l:3",
            "L :\r\n 3",
            "Content-Length\r\n :\r\n\t3\r\n ",
        ] {
            let text = format!("{HEAD}Y: z\r\n{line}\r\nContact: <sip:l:9>\r\n\r\n123");
            let (head, total) = (text.len() - 3, text.len());
            assert_eq!(
                once(text.as_bytes(), &Limits::default()),
                Cut::Message { head, total },
                "{line}"
            );
        }
        for line in [
            "X-Content-Length: 3",
            "Y: z\r\n Content-Length: 3",
            "Content-Lengths: 3",
            "ll: 3",
        ] {
            let text = format!("{HEAD}{line}\r\n\r\n123");
            let (head, total) = (text.len() - 3, text.len() - 3);
            assert_eq!(
                once(text.as_bytes(), &Limits::default()),
                Cut::Message { head, total },
                "{line}"
            );
        }
    }

    /// What may stand in a stream: whole messages, line ends, what is refused and skipped.
    fn part() -> impl Strategy<Value = String> {
        let message =
            ("[xX]{0,40}", 0usize..120, any::<bool>()).prop_map(|(value, body, folded)| {
                let fold = if folded { "\r\n " } else { " " };
                let body = "\r\nb".repeat(body / 3);
                format!(
                    "{HEAD}X:{fold}{value}\r\nl:{fold}{}\r\n\r\n{body}",
                    body.len()
                )
            });
        prop_oneof![
            6 => message,
            2 => Just("\r\n\r\n".to_owned()),
            1 => Just("\r\n".to_owned()),
            1 => Just(format!("{HEAD}{}\r\n", "X: y\r\n".repeat(20))),
            1 => Just(format!("{HEAD}l: 5\r\nl: 5\r\n\r\nhello")),
        ]
    }

    fn as_text(read: Result<&Message<'_>, &Malformed<'_>>) -> String {
        let (message, fault) = match read {
            Ok(message) => (Some(message), None),
            Err(bad) => (bad.partial.as_ref(), Some((bad.fault, bad.framing_lost))),
        };
        let text = message.map(|message| {
            let lines: Vec<_> = message.all().collect();
            let first: Vec<_> = lines.iter().map(|line| message.header(line.0)).collect();
            let read = (message.via(), message.from(), message.to(), message.cseq());
            format!(
                "{message:?} {lines:?} {first:?} {read:?} {:?}",
                message.body()
            )
        });
        format!("{fault:?} {text:?}")
    }

    /// Heads as nearly everybody writes them and others: each is cut at once as it is when it is searched line by line.
    fn head() -> impl Strategy<Value = String> {
        let start = prop_oneof![
            8 => Just("OPTIONS sip:a@b SIP/2.0"),
            1 => Just("SIP/2.0 200 OK"),
            1 => Just("sip/2.0 200"),
            1 => Just("GET / HTTP/1.1"),
            1 => Just(""),
        ];
        let line = prop_oneof![
            8 => proptest::sample::select(vec![
                "Via: SIP/2.0/TLS h", "X: y", "l: 3", "Content-Length: 5", "content-length:  7 ", "CONTENT-LENGTH: 0", "l:",
                "l: x", "l: 101", "l: 70000", "l: 99999999999999999999", "c: text/plain", "Content-Type: a/b", "e: deflate",
                "Content-Encoding:", "Contact: <sip:a@b>", "To: é", "CSeq: 1 OPTIONS", "CSeq: 1 OPTIONS", "Content-Lengths: 4",
            ]).prop_map(str::to_owned),
            1 => "[a-zA-Z]{1,9}:[ -~]{0,60}",
            1 => proptest::sample::select(vec![
                "l :3", " l: 3", "\tx", "x", ":", ": 3", "a b: c", "l: 3\n", "l:\r\n 3", "X: \0", "l: \r3", "c#: x",
            ]).prop_map(str::to_owned),
        ];
        let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("")];
        (
            start,
            proptest::collection::vec(
                (line, prop_oneof![20 => Just("\r\n"), 1 => Just("\n")]),
                0..14,
            ),
            end,
        )
            .prop_map(|(start, lines, end)| {
                let lines: String = lines
                    .iter()
                    .map(|(line, end)| format!("{line}{end}"))
                    .collect();
                format!("{start}\r\n{lines}{end}")
            })
    }

    proptest! {
        #[test]
        fn what_is_read_at_once_is_what_is_searched(head in head(), body in "[ -~\r\n]{0,9}") {
            let mut bytes = format!("{head}{body}").into_bytes();
            for limits in [NARROW, Limits { headers_max: 5, ..NARROW }, Limits::default()] {
                let (mut state, mut searching) = (FrameState::default(), FrameState::default());
                let mut blank = Blank::new();
                let found = cut_into(&bytes, &limits, &mut state, &mut blank);
                let expected = line_ends(&bytes, false).unwrap_or_else(|| search(&bytes, &limits, &mut searching));
                prop_assert_eq!(found, expected);
                if let Cut::Need(_) = found {
                    prop_assert_eq!(state.whole, searching.whole);
                }
                if let Cut::Message { total, .. } = found {
                    let mut again = bytes.clone();
                    let told = blank.fill(&mut again[..total]);
                    let by_itself = Message::parse(&mut bytes[..total]);
                    prop_assert_eq!(as_text(told.as_deref()), as_text(by_itself.as_ref()));
                }
            }
        }

        #[test]
        fn any_split_gives_the_same_messages(
            parts in proptest::collection::vec(part(), 1..12),
            sizes in proptest::collection::vec(1usize..200, 1..20),
        ) {
            let stream = parts.concat();
            for limits in [NARROW, Limits::default()] {
                let mut turn = 0;
                let next = || {
                    turn += 1;
                    sizes[turn % sizes.len()]
                };
                let whole = pieces(stream.as_bytes(), &limits, || usize::MAX);
                prop_assert_eq!(&whole, &pieces(stream.as_bytes(), &limits, next));
                let messages = whole.iter().filter(|(cut, _)| !matches!(cut, Cut::Pong(_) | Cut::Ping(_)));
                let sent = parts.iter().filter(|part| !part.trim().is_empty());
                prop_assert_eq!(messages.count(), sent.count());
            }
        }
    }
}
