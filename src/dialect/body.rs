//! The body of a message as it is meant: its Content-Encoding undone (RFC 3261 §20.12). Nobody else undoes one.
//!
//! COMPAT(linphone, 5.1): it deflates its delivery reports and its lists, and gives up on a 415. It can't be left to the receivers:
//! baresip and Pidgin know no encoding and never said they did. What goes through a call unread goes as it is.

use std::borrow::Cow;

use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

use crate::sip::build::Draft;
use crate::sip::header::Name;
use crate::sip::message::Message;

/// What we accept (RFC 3261 §20.2).
pub const ACCEPT_ENCODING: &str = "deflate, identity";

/// Why a body is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadBody {
    /// An encoding other than `identity` and `deflate`.
    Encoding,
    /// `deflate` that can't be undone.
    Deflate,
    /// More than a body may be, when undone.
    Inflated,
}

impl BadBody {
    /// The answer's status.
    pub fn status(self) -> u16 {
        match self {
            BadBody::Encoding => 415,
            BadBody::Deflate => 400,
            BadBody::Inflated => 413,
        }
    }

    /// The answer's reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            BadBody::Encoding => "Only Content-Encoding deflate Or identity",
            BadBody::Deflate => "Bad deflate",
            BadBody::Inflated => "Too Large When Inflated",
        }
    }

    /// Ends the answer, with what would be accepted (RFC 3261 §8.2.3).
    pub fn write(self, mut draft: Draft<'_>) {
        if self == BadBody::Encoding {
            draft.header("Accept-Encoding", ACCEPT_ENCODING);
        }
        draft.finish();
    }
}

/// The body of a message with its encoding undone: not more than `bytes_max`, as if it had come so. Without a body nothing is encoded.
///
/// # Errors
/// Where that can't be had.
pub fn body<'a>(message: &Message<'a>, bytes_max: usize) -> Result<Cow<'a, [u8]>, BadBody> {
    if message.body().is_empty() {
        return Ok(Cow::Borrowed(&[]));
    }
    match message.header(Name::ContentEncoding).map(str::trim) {
        None => Ok(message.body().into()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(message.body().into()),
        // "deflate" is zlib's format here as in HTTP (RFC 9110 §8.4.1.2, from which RFC 3261 §20.12 has its codings).
        Some(encoding) if encoding.eq_ignore_ascii_case("deflate") => {
            match decompress_to_vec_zlib_with_limit(message.body(), bytes_max) {
                Ok(body) => Ok(body.into()),
                Err(error) if error.status == TINFLStatus::HasMoreOutput => Err(BadBody::Inflated),
                Err(_) => Err(BadBody::Deflate),
            }
        }
        Some(_) => Err(BadBody::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 4096;

    fn check(encoding: &str, bytes: &[u8], expected: Result<&[u8], BadBody>) {
        let mut text = format!(
            "MESSAGE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
             To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n\
             Content-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        )
        .into_bytes();
        text.extend_from_slice(bytes);
        let message = Message::parse(&mut text).expect("a good message");
        let found = body(&message, BYTES_MAX).map(|body| body.to_vec());
        assert_eq!(found, expected.map(<[u8]>::to_vec), "{encoding}");
    }

    /// RFC 3261 §20.12; the bound is what keeps a small body from becoming a large one.
    #[test]
    fn deflate_is_undone_and_bounded() {
        let deflated = |len: usize| miniz_oxide::deflate::compress_to_vec_zlib(&vec![b'x'; len], 9);
        check("identity", b"report", Ok(b"report"));
        check("DEFLATE", &deflated(6), Ok(b"xxxxxx"));
        check("deflate", &deflated(BYTES_MAX), Ok(&[b'x'; BYTES_MAX]));
        let too_large = Err(BadBody::Inflated);
        check("deflate", &deflated(BYTES_MAX + 1), too_large);
        check("deflate", &deflated(50 << 20), too_large);
        check("deflate", b"", Ok(b""));
        check("gzip", b"", Ok(b""));
        check("deflate", b"not deflated", Err(BadBody::Deflate));
        check("deflate", &deflated(600)[..8], Err(BadBody::Deflate));
        check("gzip", b"report", Err(BadBody::Encoding));
        check("deflate, deflate", &deflated(6), Err(BadBody::Encoding));
    }
}
