//! A byte stream cut into whole messages, with limits.

use super::message::Fault;

/// What a peer may send at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Start line and header lines with the empty line; at most `HEAD_BYTES_MAX`.
    pub head_bytes_max: usize,
    /// The body.
    pub body_bytes_max: usize,
    /// Header lines; at most `HEADERS_MAX`.
    pub headers_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: 16 * 1024,
            body_bytes_max: 64 * 1024,
            headers_max: 128,
        }
    }
}

/// How far the bytes of a connection were looked at; one a connection, fresh at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameState {
    scanned: usize,
}

/// What stands at the beginning of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Not enough yet; how many bytes the message has in all where that is known, else 0.
    Need(usize),
    /// A keep-alive of so many bytes: answer CR LF (RFC 5626 §3.5.1).
    Ping(usize),
    /// So many bytes of CR LF: an answer to a ping, or stray (RFC 3261 §7.5). Skip them.
    Pong(usize),
    /// A whole message.
    Message {
        /// Bytes of the head, with the empty line.
        head: usize,
        /// Bytes of head and body.
        total: usize,
    },
    /// No message that is taken.
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

/// Looks at the beginning of `bytes`, which are all that was received and not yet consumed. After anything but `Need` the
/// caller consumes what was found, and `state` is fresh again.
pub fn cut(_bytes: &[u8], _limits: &Limits, state: &mut FrameState) -> Cut {
    let _ = state.scanned;
    unimplemented!()
}
