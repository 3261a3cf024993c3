//! A byte stream cut into whole messages, with limits (RFC 3261 §7.5, §18.3; RFC 5626 §3.5.1).
//!
//! Each byte of a head is looked at once, however the bytes come in; what was seen is in the connection's `FrameState`.
//! Cutting needs two things of a head only, its empty line and its Content-Length; all else is `message`'s.
//!
//! Over a stream Content-Length is required (RFC 3261 §20.14), yet clients leave it out when there is no body. So its absence
//! counts as zero while nothing contradicts; a message that has Content-Type or Content-Encoding says that there is a body,
//! and without its length the framing is lost.

use super::grammar;
use super::message::{Fault, HEAD_BYTES_MAX, HEADERS_MAX};
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
    let found = if state.searched == 0 && state.whole.is_none() {
        line_ends(bytes, state.half_ping)
    } else {
        None
    };
    let found = found.unwrap_or_else(|| match state.whole {
        Some((head, total)) => whole(bytes, head, total),
        None => search(bytes, limits, state),
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
        // Three headers matter, and all begin with these letters in either form.
        if !matches!(field[0] | 0x20, b'c' | b'l' | b'e') {
            return;
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
