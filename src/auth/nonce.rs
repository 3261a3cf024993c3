//! Nonces that need no memory: signed, timed, and good for one connection only (RFC 7616 §3.3, §5.4).
//!
//! A nonce says when it was made; its signature covers that time and the peer's address and port. So the server
//! recognises its own nonces after it has forgotten them, on any shard, and a nonce that was overheard is worth
//! nothing on another connection. What *was* used on a connection is `Seen`, which the connection's owner keeps.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::sip::time::Now;

/// Bytes of the signature that are kept: 128 bits, as much as the digest that the nonce goes into.
const SIGNATURE_BYTES: usize = 16;
/// The time of issue, in microseconds, and the signature.
const NONCE_BYTES: usize = 8 + SIGNATURE_BYTES;
/// A nonce as it is written: base64 with the URL alphabet, which needs no quoting and no padding.
pub const NONCE_TEXT_BYTES: usize = 32;

/// The key that signs nonces. Every shard of a server has the same one, because a connection moves between shards.
#[derive(Clone)]
pub struct NonceKey(Hmac<Sha256>);

impl core::fmt::Debug for NonceKey {
    // A secret never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NonceKey")
    }
}

/// A nonce of ours, told from others of the same connection by its time of issue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct NonceId(Now);

/// Why a nonce is not taken. Both are answered with a new challenge that says `stale=true`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadNonce {
    /// Not ours, or made for another connection (the client connected anew, or the server started anew).
    Foreign,
    /// Ours, and too old.
    Expired,
}

/// How far the time of issue may lie ahead of the shard that checks: as long as the longest turn.
const AHEAD_MAX: Duration = Duration::from_secs(10);

impl NonceKey {
    /// Takes 32 secret bytes from a cryptographic generator.
    pub fn new(secret: &[u8; 32]) -> NonceKey {
        // HMAC takes a key of any length (RFC 2104 §2), so a key of 32 bytes cannot be refused.
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        NonceKey(mac)
    }

    /// The nonce for `peer` made at `now`: 32 characters.
    pub fn issue(&self, now: Now, peer: SocketAddr) -> String {
        let mut bytes = [0; NONCE_BYTES];
        bytes[..8].copy_from_slice(&now.0.to_be_bytes());
        let signature = self.signature(now, peer).finalize().into_bytes();
        bytes[8..].copy_from_slice(&signature[..SIGNATURE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Says which nonce `text` is, where it was issued to `peer` no longer than `lifetime` before `now`.
    pub fn check(
        &self,
        text: &str,
        now: Now,
        peer: SocketAddr,
        lifetime: Duration,
    ) -> Result<NonceId, BadNonce> {
        if text.len() != NONCE_TEXT_BYTES {
            return Err(BadNonce::Foreign);
        }
        let mut bytes = [0; NONCE_BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(NONCE_BYTES) => {}
            _ => return Err(BadNonce::Foreign),
        }
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[..8]);
        let issued = Now(u64::from_be_bytes(time));
        if self
            .signature(issued, peer)
            .verify_truncated_left(&bytes[8..])
            .is_err()
        {
            return Err(BadNonce::Foreign);
        }
        // A shard takes its time once a turn: one that was kept off its core in the middle of a turn looks at a nonce that
        // another shard issued a little later. Further ahead a clock has jumped: then it must be replaced.
        if issued.since(now) > AHEAD_MAX || now.since(issued) > lifetime {
            return Err(BadNonce::Expired);
        }
        Ok(NonceId(issued))
    }

    /// Bytes that only this server can make, for what must look like a credential and be none.
    pub(super) fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        // Nonces are signed over a text that begins with 4 or 6: no purpose collides with one.
        mac.update(&[0]);
        mac.update(purpose);
        mac.finalize().into_bytes().into()
    }

    fn signature(&self, issued: Now, peer: SocketAddr) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        match peer.ip() {
            IpAddr::V4(ip) => {
                mac.update(&[4]);
                mac.update(&ip.octets());
            }
            IpAddr::V6(ip) => {
                mac.update(&[6]);
                mac.update(&ip.octets());
            }
        }
        mac.update(&peer.port().to_be_bytes());
        mac.update(&issued.0.to_be_bytes());
        mac
    }
}

/// What a connection has already used: its newest nonce and the highest count of that nonce. One a connection, kept by
/// its owner; 16 bytes. When the connection is adopted the wrong answers go along, or guessing would be free for who hops; the rest
/// starts afresh: a nonce that was used before the move can be used once more on the same connection, which nobody but the
/// client itself can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    newest: NonceId,
    count: u32,
    failures: u8,
}

impl Seen {
    /// On a connection that comes from another shard, with so many wrong answers in a row.
    pub fn after(failures: u8) -> Seen {
        Seen {
            failures,
            ..Seen::default()
        }
    }

    /// Wrong answers on this connection since the last right one.
    pub fn failures(&self) -> u8 {
        self.failures
    }

    /// Takes the use of `nonce` with its count (RFC 7616 §3.4, `nc`), or without one where the client speaks no `qop` (RFC 2069).
    /// False where it was used before: answer `stale=true`. An older nonce than the newest is used up: a client has one at a time.
    pub(super) fn admits(&mut self, nonce: NonceId, count: Option<u32>) -> bool {
        match nonce.cmp(&self.newest) {
            core::cmp::Ordering::Less => false,
            core::cmp::Ordering::Equal => match count {
                // Without a count a replay cannot be told from a second use; the nonce is bound to this connection and
                // expires, and TLS keeps it from others.
                None => true,
                Some(count) if count > self.count => {
                    self.count = count;
                    true
                }
                Some(_) => false,
            },
            core::cmp::Ordering::Greater => {
                if count == Some(0) {
                    return false;
                }
                self.newest = nonce;
                self.count = count.unwrap_or(0);
                true
            }
        }
    }

    /// Counts a wrong answer; says how many there were on this connection since the last right one.
    pub(super) fn failed(&mut self) -> u8 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Forgets wrong answers after a right one.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);

    fn key() -> NonceKey {
        NonceKey::new(&[7; 32])
    }

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_nonce_is_good_for_its_connection_and_its_time_only() {
        let issued = Now(1_700_000_000_000_000);
        let nonce = key().issue(issued, peer("192.0.2.7:40000"));
        assert_eq!(nonce.len(), NONCE_TEXT_BYTES);
        let check = |key: &NonceKey, text: &str, now: Now, at: &str| {
            key.check(text, now, peer(at), LIFETIME)
        };
        let later = |s| issued.after(Duration::from_secs(s));
        assert_eq!(
            check(&key(), &nonce, issued, "192.0.2.7:40000"),
            Ok(NonceId(issued))
        );
        assert_eq!(
            check(&key(), &nonce, later(300), "192.0.2.7:40000"),
            Ok(NonceId(issued))
        );
        assert_eq!(
            check(&key(), &nonce, later(301), "192.0.2.7:40000"),
            Err(BadNonce::Expired)
        );
        // Another shard's turn may have begun a little before; a clock that jumped is another matter.
        let earlier = |s: u64| Now(issued.0 - s * 1_000_000);
        assert_eq!(
            check(&key(), &nonce, earlier(10), "192.0.2.7:40000"),
            Ok(NonceId(issued))
        );
        assert_eq!(
            check(&key(), &nonce, earlier(11), "192.0.2.7:40000"),
            Err(BadNonce::Expired)
        );
        for other in [
            "192.0.2.7:40001",
            "192.0.2.8:40000",
            "[::ffff:192.0.2.7]:40000",
        ] {
            assert_eq!(
                check(&key(), &nonce, issued, other),
                Err(BadNonce::Foreign),
                "{other}"
            );
        }
        assert_eq!(
            check(&NonceKey::new(&[8; 32]), &nonce, issued, "192.0.2.7:40000"),
            Err(BadNonce::Foreign)
        );
    }

    #[test]
    fn a_changed_nonce_is_foreign() {
        let now = Now(1_700_000_000_000_000);
        let peer = peer("[2001:db8::1]:5061");
        let nonce = key().issue(now, peer);
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                key().check(&changed, now, peer, LIFETIME),
                Err(BadNonce::Foreign),
                "{at}"
            );
        }
        for text in [
            "",
            "=",
            "\u{fc}\u{fc}\u{fc}\u{fc}",
            &nonce[1..],
            &format!("{nonce}A"),
            &"=".repeat(32),
        ] {
            assert_eq!(
                key().check(text, now, peer, LIFETIME),
                Err(BadNonce::Foreign),
                "{text}"
            );
        }
    }

    #[test]
    fn a_count_must_rise() {
        let (old, new) = (NonceId(Now(1)), NonceId(Now(2)));
        // (nonce, count, taken)
        let uses = [
            (old, Some(1), true),
            (old, Some(1), false),
            (old, Some(2), true),
            (old, Some(9), true),
            (old, Some(3), false),
            (old, None, true),
            (new, Some(0), false),
            (new, Some(1), true),
            (old, Some(10), false),
            (old, None, false),
            (new, None, true),
            (new, Some(1), false),
            (new, Some(u32::MAX), true),
            (new, Some(u32::MAX), false),
        ];
        let mut seen = Seen::default();
        for (step, (nonce, count, taken)) in uses.into_iter().enumerate() {
            assert_eq!(seen.admits(nonce, count), taken, "step {step}");
        }
    }
}
