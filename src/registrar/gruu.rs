//! Globally routable URIs of endpoints (RFC 5627, [MS-SIPRE]).
//!
//! A public one names the instance: `sip:alice@example.com;gr=urn:uuid:…`. A temporary one says nothing to anybody but this
//! server: `sip:tgruu.…@example.com;gr`, whose user is a sealed text with the user, the endpoint and the Call-ID that it registers
//! with. Nothing is kept for it: it is good as long as the endpoint is registered with that Call-ID, so all those of one
//! registration are (RFC 5627 §5.4), and no two look alike.
//!
//! Lync's clients have one of their own kind: `sip:alice@example.com;opaque=user:epid:…;gruu`, which names the instance too.

use core::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::registrar::{Endpoint, EndpointId};
use crate::sip::uri::{AOR_BYTES_MAX, Aor};

/// How the user part of a temporary GRUU begins.
const PREFIX: &str = "tgruu.";
/// The seal: 128 bits.
const SEAL_BYTES: usize = 16;
/// A random number, the endpoint, the hash of its Call-ID.
const HEAD_BYTES: usize = 8 + 4 + 8;
/// The user is filled up to a multiple of this, so that the length tells little.
const FILL_BYTES: usize = 32;

/// What a GRUU says beside the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gruu {
    /// A public one (RFC 5627 §3.1): the instance id, without escapes and brackets.
    Instance(Box<str>),
    /// A temporary one: an endpoint for as long as it registers with this Call-ID.
    Temporary {
        /// The endpoint.
        endpoint: EndpointId,
        /// A hash of the Call-ID.
        call_id: u64,
    },
}

impl Gruu {
    /// Whether it means this endpoint. Two flows of one instance are both meant.
    pub fn means(&self, endpoint: &Endpoint) -> bool {
        match self {
            // The hexadecimal digits of a UUID have no case (RFC 9562 §4).
            Gruu::Instance(instance) => {
                !instance.is_empty() && endpoint.instance().eq_ignore_ascii_case(instance)
            }
            Gruu::Temporary {
                endpoint: id,
                call_id,
            } => endpoint.id == *id && endpoint.order().call_id == *call_id,
        }
    }
}

/// Makes temporary GRUUs and reads them. Every shard of a server has the same one; the next run of the server has another.
#[derive(Clone)]
pub struct Seal {
    seal: Hmac<Sha256>,
    mask: Hmac<Sha256>,
}

impl fmt::Debug for Seal {
    // A secret never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// From 32 secret bytes that may have other uses: both keys are derived from them.
    pub fn new(secret: &[u8; 32]) -> Seal {
        let keyed = |secret: &[u8], purpose: &[u8]| {
            // HMAC takes a key of any length (RFC 2104 §2), so none is refused.
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key");
            mac.update(purpose);
            let key = mac.finalize().into_bytes();
            Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes any key")
        };
        Seal {
            seal: keyed(secret, b"temporary GRUU: seal"),
            mask: keyed(secret, b"temporary GRUU: mask"),
        }
    }

    /// A temporary GRUU of an endpoint of `user`. `fresh` is random: it makes this one unlike all others.
    pub fn temporary(&self, user: &Aor, endpoint: &Endpoint, fresh: u64) -> String {
        let call_id = endpoint.order().call_id;
        let user_part = self.close(user, endpoint.id, call_id, fresh);
        format!("sip:{user_part}@{};gr", user.host())
    }

    fn close(&self, user: &Aor, endpoint: EndpointId, call_id: u64, fresh: u64) -> String {
        let mut text = Vec::with_capacity(HEAD_BYTES + user.as_str().len() + FILL_BYTES);
        text.extend_from_slice(&fresh.to_be_bytes());
        text.extend_from_slice(&endpoint.0.to_be_bytes());
        text.extend_from_slice(&call_id.to_be_bytes());
        text.extend_from_slice(user.as_str().as_bytes());
        // An address of record has no NUL.
        let filled = (text.len() - HEAD_BYTES).next_multiple_of(FILL_BYTES);
        text.resize(HEAD_BYTES + filled, 0);
        let seal = self.seal_of(&text);
        self.mask(&seal, &mut text);
        let mut user_part = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string([&seal[..], &text].concat(), &mut user_part);
        user_part
    }

    /// The user and the endpoint of a temporary GRUU, from its user part as it is written. `None` for what this run of
    /// the server did not make.
    pub fn open(&self, user_part: &str) -> Option<(Aor, Gruu)> {
        let coded = user_part.strip_prefix(PREFIX)?;
        let bytes_max = SEAL_BYTES + HEAD_BYTES + AOR_BYTES_MAX.next_multiple_of(FILL_BYTES);
        if coded.len() > bytes_max * 4 / 3 + 2 {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(coded).ok()?;
        let (seal, text) = bytes.split_at_mut_checked(SEAL_BYTES)?;
        self.mask(seal, text);
        let mut mac = self.seal.clone();
        mac.update(text);
        mac.verify_truncated_left(seal).ok()?;
        let (head, user) = text.split_at_checked(HEAD_BYTES)?;
        let endpoint = u32::from_be_bytes(head.get(8..12)?.try_into().ok()?);
        let call_id = u64::from_be_bytes(head.get(12..20)?.try_into().ok()?);
        let user = core::str::from_utf8(user).ok()?.trim_end_matches('\0');
        let gruu = Gruu::Temporary {
            endpoint: EndpointId(endpoint),
            call_id,
        };
        Some((Aor::parse(user)?, gruu))
    }

    fn seal_of(&self, text: &[u8]) -> [u8; SEAL_BYTES] {
        let mut mac = self.seal.clone();
        mac.update(text);
        let whole = mac.finalize().into_bytes();
        let mut seal = [0; SEAL_BYTES];
        seal.copy_from_slice(&whole[..SEAL_BYTES]);
        seal
    }

    /// Hides a text, or shows it again: a stream that follows from its seal, which no two texts share.
    fn mask(&self, seal: &[u8], text: &mut [u8]) {
        for (number, block) in text.chunks_mut(32).enumerate() {
            let mut mac = self.mask.clone();
            mac.update(seal);
            mac.update(&(number as u64).to_be_bytes());
            for (byte, mask) in block.iter_mut().zip(mac.finalize().into_bytes()) {
                *byte ^= mask;
            }
        }
    }
}

/// The public GRUU of an endpoint that has an instance id.
pub fn public(user: &Aor, endpoint: &Endpoint) -> String {
    let mut uri = user.uri();
    uri.push_str(";gr=");
    for byte in endpoint.instance().bytes() {
        // What may stand in a URI parameter as it is (RFC 3261 §25.1, paramchar).
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// What the `opaque` parameter of a Lync client's GRUU begins with.
pub const EPID: &str = "user:epid:";
/// What an instance id begins with that is a UUID (RFC 9562 §4).
const URN: &str = "urn:uuid:";
/// Of a UUID, and two that are zero.
const EPID_BYTES: usize = 16 + 2;

/// The GRUU of an endpoint in Lync's form ([MS-SIPRE]); `None` where its instance id is no UUID.
pub fn of_epid(user: &Aor, endpoint: &Endpoint) -> Option<String> {
    let uuid = endpoint.instance().strip_prefix(URN)?;
    let digits: Vec<u8> = uuid.bytes().filter(|byte| *byte != b'-').collect();
    // `from_str_radix` would take a sign.
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; EPID_BYTES];
    for (byte, digits) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digits = core::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    let epid = URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("{};opaque={EPID}{epid};gruu", user.uri()))
}

/// The instance that such a GRUU means, from what follows `EPID` in it.
pub fn instance_of_epid(epid: &str) -> Option<Gruu> {
    let mut bytes = [0; EPID_BYTES];
    let count = URL_SAFE_NO_PAD.decode_slice(epid, &mut bytes).ok()?;
    if count != EPID_BYTES || bytes[16..] != [0, 0] {
        return None;
    }
    let mut instance = URN.to_owned();
    for (at, byte) in bytes[..16].iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            instance.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(instance, "{byte:02x}");
    }
    Some(Gruu::Instance(instance.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(text: &str) -> Aor {
        Aor::parse(text).expect("a good address")
    }

    #[test]
    fn a_temporary_gruu_opens_here_and_nowhere_else() {
        let seal = Seal::new(&[7; 32]);
        for user in ["alice@example.com", "j\u{f6}rg@example.com", "a%00b@[::1]"] {
            let user = aor(user);
            let closed = seal.close(&user, EndpointId(3), 99, 1);
            let gruu = Gruu::Temporary {
                endpoint: EndpointId(3),
                call_id: 99,
            };
            assert_eq!(seal.open(&closed), Some((user.clone(), gruu)));
            assert_eq!(Seal::new(&[8; 32]).open(&closed), None);
            let again = seal.close(&user, EndpointId(3), 99, 2);
            assert_ne!(closed[..30], again[..30], "no two of them look alike");
            assert_eq!(closed.len(), again.len());
        }
        let long = aor(&format!("{}@example.com", "x".repeat(AOR_BYTES_MAX - 12)));
        let closed = seal.close(&long, EndpointId(u32::MAX), u64::MAX, u64::MAX);
        assert_eq!(seal.open(&closed).map(|(user, _)| user), Some(long));
    }

    #[test]
    fn an_instance_is_escaped_in_a_uri_and_read_back() {
        use crate::registrar::{Capabilities, Order};
        use crate::sip::link::ConnectionId;
        use crate::sip::time::Now;
        use crate::sip::uri::Uri;

        for (instance, gr) in [
            ("urn:uuid:F81D4FAE-7DEC", "urn:uuid:F81D4FAE-7DEC"),
            ("a b;c=\"d\"?e", "a%20b%3Bc%3D%22d%22%3Fe"),
            ("\u{fc}", "%C3%BC"),
        ] {
            let order = Order {
                call_id: 1,
                cseq: 1,
            };
            let endpoint = Endpoint::new(
                EndpointId(1),
                None,
                "sip:a@192.0.2.1",
                &format!("<{instance}>"),
                0,
                1000,
                ConnectionId(1),
                Now(1),
                order,
                Capabilities::default(),
            );
            let written = public(&aor("alice@example.com"), &endpoint);
            assert_eq!(written, format!("sip:alice@example.com;gr={gr}"));
            let uri = Uri::parse(&written).expect("a good URI");
            assert_eq!(uri.param_value("gr").as_deref(), Some(instance));
            assert!(Gruu::Instance(instance.into()).means(&endpoint));
            assert!(!Gruu::Instance("".into()).means(&endpoint));
        }
    }

    fn endpoint(instance: &str) -> Endpoint {
        use crate::registrar::{Capabilities, Order};
        use crate::sip::link::ConnectionId;
        use crate::sip::time::Now;
        let order = Order {
            call_id: 1,
            cseq: 1,
        };
        let capabilities = Capabilities::default();
        let instance = format!("<{instance}>");
        let (id, connection) = (EndpointId(1), ConnectionId(1));
        Endpoint::new(
            id,
            None,
            "sip:a@192.0.2.1",
            &instance,
            0,
            1000,
            connection,
            Now(1),
            order,
            capabilities,
        )
    }

    #[test]
    fn an_epid_names_the_instance_whatever_its_case() {
        let alice = aor("alice@example.com");
        for instance in [
            "urn:uuid:4233fd41-093b-5fd6-b5d2-651ed55969e6",
            "urn:uuid:4233FD41-093B-5FD6-B5D2-651ED55969E6",
        ] {
            let endpoint = endpoint(instance);
            let written = of_epid(&alice, &endpoint).expect("a UUID");
            let epid = "QjP9QQk7X9a10mUe1Vlp5gAA";
            let expected = format!("sip:alice@example.com;opaque=user:epid:{epid};gruu");
            assert_eq!(written, expected);
            let gruu = instance_of_epid(epid).expect("ours");
            assert!(gruu.means(&endpoint));
            assert!(!gruu.means(&super::tests::endpoint(
                "urn:uuid:4233fd41-093b-5fd6-b5d2-651ed55969e7"
            )));
        }
        for none in [
            "urn:uuid:42",
            "urn:mac:123456",
            "",
            "urn:uuid:+233fd41-093b-5fd6-b5d2-651ed55969e\u{e9}",
        ] {
            assert_eq!(of_epid(&alice, &endpoint(none)), None, "{none}");
        }
        for bad in [
            "",
            "QjP9",
            "QjP9QQk7X9a10mUe1Vlp5gAB",
            "QjP9QQk7X9a10mUe1Vlp5gAAAAAA",
            "QjP9QQk7X9a10mUe1Vlp5gA!",
            &"A".repeat(4000),
        ] {
            assert_eq!(instance_of_epid(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_changed_or_made_up_opens_nothing() {
        let seal = Seal::new(&[7; 32]);
        let closed = seal.close(&aor("alice@example.com"), EndpointId(3), 99, 1);
        for at in PREFIX.len()..closed.len() {
            let mut changed = closed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("still ASCII");
            assert_eq!(seal.open(&changed), None, "{at}");
        }
        let long = format!("{PREFIX}{}", "A".repeat(4000));
        for text in [
            "",
            "alice",
            PREFIX,
            "tgruu.AAAA",
            "tgruu.\u{fc}",
            &long,
            &closed[..40],
        ] {
            assert_eq!(seal.open(text), None, "{text}");
        }
    }
}
