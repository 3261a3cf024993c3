//! NTLM as SIP uses it: a login without a connection of its own, and a signature in every message from then on
//! ([MS-SIPAE]; the arithmetic is [MS-NLMP]'s). It is what clients of Lync speak.
//!
//! A login takes three requests. The first is challenged with what schemes there are. The second names NTLM and brings an
//! empty token; it gets the server's challenge. The third brings the answer, and is signed already. In between nothing is
//! kept: `opaque` is a nonce as digest has it, with its time and its peer, and the challenge follows from it by a key
//! that all shards share. So any shard can ask and another one check, and a stranger costs no memory.
//!
//! The crate `sspi` was looked at (0.23) and is not used: its server side wants a first message and keeps the exchange in
//! memory between the steps, it has no signature without a connection (its cipher runs on from message to message, where
//! ours begins anew with a key of the sequence number), it checks against passwords and not against hashes of them, and it needs
//! Kerberos, RSA and certificates to be built. What remains is two messages and six lines of arithmetic; hashes and cipher
//! are RustCrypto's.

mod answer;
mod arithmetic;
mod association;
mod message;
mod plain;
mod signed;

pub(super) use answer::{Answer, BadToken};
pub use arithmetic::nt_hash;
pub use association::{ASSOCIATION_LIFETIME, Association, Unsigned, begins_anew};
pub(super) use signed::SCHEME;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::nonce::NonceKey;
use crate::sip::time::Now;

/// The realm, a constant of the protocol: it is no domain, and nothing is looked up by it ([MS-SIPAE] §3.3.5.1).
pub const REALM: &str = "SIP Communications Service";
/// The version of what is signed ([MS-SIPAE] §2.2.1).
const VERSION: u32 = 4;

/// The value of WWW-Authenticate that offers NTLM; `target` is the server's name.
pub(super) fn offer(target: &str) -> String {
    format!("NTLM realm=\"{REALM}\", targetname=\"{target}\", version={VERSION}")
}

/// The value of WWW-Authenticate that asks: `opaque` is a fresh nonce.
pub(super) fn question(
    key: &NonceKey,
    opaque: &str,
    domain: &str,
    target: &str,
    now: Now,
) -> String {
    let token = message::challenge(&challenge_of(key, opaque), domain, target, now);
    format!(
        "NTLM opaque=\"{opaque}\", gssapi-data=\"{}\", targetname=\"{target}\", realm=\"{REALM}\", version={VERSION}",
        STANDARD.encode(token)
    )
}

/// The challenge that belongs to an opaque of ours. Whoever has not been told can't know it, and each opaque has its own.
fn challenge_of(key: &NonceKey, opaque: &str) -> [u8; 8] {
    let derived = key.derive(&[b"ntlm challenge ", opaque.as_bytes()].concat());
    let mut challenge = [0; 8];
    challenge.copy_from_slice(&derived[..8]);
    challenge
}
