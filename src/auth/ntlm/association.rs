//! A security association: the keys that both sides of a connection sign with after a login by NTLM, and which numbers
//! of the client's were used ([MS-SIPAE] §3.3.1).

use core::ops::Range;
use core::time::Duration;
use std::borrow::Cow;

use super::arithmetic::{SIGNATURE_BYTES, Side, Signer, same};
use super::signed::{SCHEME, Signed, Stamp, Text};
use super::{REALM, plain};
use crate::sip::header::{AuthParams, Name};
use crate::sip::message::{Message, Method};
use crate::sip::time::Now;

/// How long it lives: a client makes itself a new one in time ([MS-SIPAE] §3.3.2).
pub const ASSOCIATION_LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);
/// How long a client may be between two associations: clients give up a REGISTER after as long.
const RENEWAL_MAX: Duration = Duration::from_secs(60);
/// The opaque of the handshake, and of everything signed from then on.
pub(super) const OPAQUE_BYTES: usize = crate::auth::nonce::NONCE_TEXT_BYTES;

/// Kept by the shard for a connection, as long as that lives or until there is a newer one.
#[derive(Debug)]
pub struct Association {
    theirs: Signer,
    ours: Signer,
    opaque: [u8; OPAQUE_BYTES],
    seen: Window,
    /// The number of what was signed last.
    signed: u32,
    until: Now,
    /// Until when the client may still be busy with making the next one.
    renewing_until: Now,
}

/// Why a message is not from who made the association. Always the peer's fault, and past mending: the connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsigned {
    /// It has no signature.
    Missing,
    /// It has one that this message does not have with these keys.
    Wrong,
    /// It has one whose number was used before, or is long past.
    Replayed,
}

impl Unsigned {
    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Unsigned::Missing => "sent a message without a signature",
            Unsigned::Wrong => "sent a message with a wrong signature",
            Unsigned::Replayed => "sent a message with a signature that was used before",
        }
    }
}

impl Association {
    pub(super) fn new(session_key: &[u8; 16], opaque: [u8; OPAQUE_BYTES], now: Now) -> Association {
        Association {
            theirs: Signer::new(session_key, Side::Client),
            ours: Signer::new(session_key, Side::Server),
            opaque,
            seen: Window::default(),
            signed: 0,
            until: now.after(ASSOCIATION_LIFETIME),
            renewing_until: Now(0),
        }
    }

    /// When it ends.
    pub fn until(&self) -> Now {
        self.until
    }

    /// The client has begun to make the next one.
    pub fn renew(&mut self, now: Now) {
        self.renewing_until = now.after(RENEWAL_MAX);
    }

    /// Whether the client may be between two associations: it has dropped this one already, and signs nothing.
    pub fn is_renewed(&self, now: Now) -> bool {
        now < self.renewing_until
    }

    /// Takes in what the client has signed; each signature is good once.
    ///
    /// # Errors
    /// Where it was not signed with these keys.
    pub fn verify(&mut self, message: &Message<'_>) -> Result<(), Unsigned> {
        let params = signature_of(message).ok_or(Unsigned::Missing)?;
        if params
            .get("opaque")
            .is_some_and(|opaque| opaque.as_bytes() != self.opaque)
        {
            return Err(Unsigned::Wrong);
        }
        let signature = Signature::read(&params).ok_or(Unsigned::Missing)?;
        self.admits(&Signed::of(message), &signature)
    }

    pub(super) fn admits(
        &mut self,
        signed: &Signed<'_>,
        signature: &Signature<'_>,
    ) -> Result<(), Unsigned> {
        let mut text = Text::new();
        signed.write(&signature.stamp(), &mut text);
        let mut wanted = [0; 2 * SIGNATURE_BYTES];
        hexadecimal(&self.theirs.sign(&text), &mut wanted);
        if !same(&wanted, signature.response.to_ascii_uppercase().as_bytes()) {
            return Err(Unsigned::Wrong);
        }
        let number = signature.num.parse().map_err(|_| Unsigned::Wrong)?;
        // Only a right one uses its number up.
        if self.seen.admits(number) {
            Ok(())
        } else {
            Err(Unsigned::Replayed)
        }
    }

    /// Appends to `bytes` the message in `bytes[message]` with the header line that signs it. Where that is then; `None` for
    /// one that is not to be signed. `random` is new for each message. The client takes realm and `target` from the line.
    pub fn sign(
        &mut self,
        bytes: &mut Vec<u8>,
        mut message: Range<usize>,
        random: u32,
        target: &str,
    ) -> Option<Range<usize>> {
        let signed = Signed::read(bytes.get(message.clone())?)?;
        self.signed = self.signed.wrapping_add(1);
        let mut rand = [0; 8];
        let rand = hexadecimal(&random.to_be_bytes(), &mut rand);
        let mut digits = [0; 10];
        let num = decimal(self.signed, &mut digits);
        let mut text = Text::new();
        let stamp = Stamp {
            rand,
            num,
            realm: REALM,
            target,
        };
        if signed.misread {
            message = plain::write(bytes, message);
            Signed::read(bytes.get(message.clone())?)?.write(&stamp, &mut text);
        } else {
            signed.write(&stamp, &mut text);
        }
        let mut response = [0; 2 * SIGNATURE_BYTES];
        let response = hexadecimal(&self.ours.sign(&text), &mut response);
        // The line is the first below the start line.
        let first = memchr::memchr(b'\n', bytes.get(message.clone())?)?;
        let (from, after) = (bytes.len(), message.start + first + 1);
        bytes.extend_from_within(message.start..after);
        for piece in [
            "Authentication-Info: NTLM rspauth=\"",
            response,
            "\", srand=\"",
            rand,
            "\", snum=\"",
            num,
            "\", opaque=\"",
        ] {
            bytes.extend_from_slice(piece.as_bytes());
        }
        bytes.extend_from_slice(&self.opaque);
        for piece in [
            "\", qop=\"auth\", targetname=\"",
            target,
            "\", realm=\"",
            REALM,
            "\"\r\n",
        ] {
            bytes.extend_from_slice(piece.as_bytes());
        }
        bytes.extend_from_within(after..message.end);
        Some(from..bytes.len())
    }
}

/// A client's signature, as its line has it.
pub(super) struct Signature<'a> {
    rand: Cow<'a, str>,
    num: Cow<'a, str>,
    realm: Cow<'a, str>,
    target: Cow<'a, str>,
    response: Cow<'a, str>,
}

impl<'a> Signature<'a> {
    pub(super) fn read(params: &AuthParams<'a>) -> Option<Signature<'a>> {
        Some(Signature {
            rand: params.get("crand")?,
            num: params.get("cnum")?,
            realm: params.get("realm")?,
            target: params.get("targetname")?,
            response: params.get("response")?,
        })
    }

    fn stamp(&self) -> Stamp<'_> {
        Stamp {
            rand: &self.rand,
            num: &self.num,
            realm: &self.realm,
            target: &self.target,
        }
    }
}

/// The line that signs a message. What carries a token is a step of a handshake, and signs nothing here.
fn signature_of<'a>(message: &Message<'a>) -> Option<AuthParams<'a>> {
    let lines = message.headers(Name::Authorization);
    lines
        .chain(message.headers(Name::ProxyAuthorization))
        .filter_map(|line| AuthParams::parse(line).ok())
        .find(|params| params.is(SCHEME) && params.raw("gssapi-data").is_none())
}

/// Whether a message on a connection with an association makes a new one: the REGISTER of a client whose time is nearly up. It
/// is the one thing that needs no signature, because the handshake proves the same once more.
pub fn begins_anew(message: &Message<'_>) -> bool {
    message.is_request()
        && message.method() == Method::Register
        && message.to().tag().is_none()
        && signature_of(message).is_none()
}

/// The newest number, and which of the 64 before it were used: a message may overtake another on its way through a client, but
/// none counts twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Window {
    newest: u32,
    /// Bit n: the number n below the newest.
    used: u64,
}

impl Window {
    /// Uses a number up; false where it was used, or is too far below the newest to know.
    fn admits(&mut self, number: u32) -> bool {
        if let Some(ahead) = number.checked_sub(self.newest).filter(|&ahead| ahead > 0) {
            self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
            self.newest = number;
            return true;
        }
        let bit = 1u64.checked_shl(self.newest - number).unwrap_or(0);
        let admitted = bit & !self.used != 0;
        self.used |= bit;
        admitted
    }
}

/// Capital digits: clients compare signatures letter by letter.
fn hexadecimal<'o>(bytes: &[u8], out: &'o mut [u8]) -> &'o str {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for (byte, digits) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    core::str::from_utf8(out).unwrap_or_default()
}

fn decimal(mut number: u32, out: &mut [u8; 10]) -> &str {
    let mut at = out.len();
    loop {
        at -= 1;
        // A remainder of ten is a digit.
        out[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return core::str::from_utf8(&out[at..]).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_once() {
        let mut window = Window::default();
        // (number, taken)
        let uses = [
            (0, true), // Nobody begins with it, and it does no harm.
            (0, false),
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (3, false),
            (66, true),
            (3, false),
            (4, true),
            (2, false),
            (70, true),
            (6, false),
            (7, true),
            (u32::MAX, true),
            (70, false),
            (u32::MAX, false),
            (u32::MAX - 63, true),
            (u32::MAX - 64, false),
        ];
        for (step, (number, taken)) in uses.into_iter().enumerate() {
            assert_eq!(window.admits(number), taken, "step {step}");
        }
    }

    #[test]
    fn numbers_as_text() {
        let mut out = [0; 10];
        for number in [0, 7, 10, 4_294_967_295] {
            assert_eq!(decimal(number, &mut out), number.to_string());
        }
        assert_eq!(hexadecimal(&[0, 0xaf, 0x10], &mut [0; 6]), "00AF10");
    }
}
