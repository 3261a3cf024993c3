//! The two messages of NTLM that travel without a connection: the challenge that we write, the answer that we read
//! ([MS-NLMP] §2.2.1.2, §2.2.1.3). There is no first one: the client has nothing to negotiate before it is asked.

use crate::sip::time::Now;

/// What both messages begin with.
const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// The challenge's part of fixed length, with the version.
const CHALLENGE_FIXED_BYTES: usize = 56;
/// The answer's, without a version: everything behind is found by offsets.
const AUTHENTICATE_FIXED_BYTES: usize = 64;
/// The longest answer that is read. Real ones have about 500 bytes.
pub(super) const AUTHENTICATE_BYTES_MAX: usize = 8 * 1024;
/// The longest user or domain in an answer, in bytes of UTF-16: more than an address of record has letters.
const NAME_BYTES_MAX: usize = 2 * 1024;
/// NetBIOS names have no more letters.
const NETBIOS_LETTERS_MAX: usize = 15;
/// The part of an NT response before the names: proof, version, time, challenge ([MS-NLMP] §2.2.2.7).
const NT_RESPONSE_BYTES_MIN: usize = 16 + 28;
/// From 1601, where Windows begins to count in 100 ns, to 1970.
const EPOCH_100NS: u64 = 116_444_736_000_000_000;

/// What is negotiated ([MS-NLMP] §2.2.2.5).
mod flag {
    pub(super) const UNICODE: u32 = 0x0000_0001;
    pub(super) const SIGN: u32 = 0x0000_0010;
    pub(super) const DATAGRAM: u32 = 0x0000_0040;
    pub(super) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(super) const KEYS_OF_128_BITS: u32 = 0x2000_0000;
    pub(super) const KEY_EXCHANGE: u32 = 0x4000_0000;
}

/// What the challenge offers: the above, and NTLM, always sign, identify, target information, request target, the target
/// is a domain, version, keys of 56 bits. A client of Lync refuses without them.
const OFFERED: u32 = 0xe299_8255;
/// What the answer must have taken: without one of these there is no signature as we make it.
const NEEDED: u32 = flag::UNICODE
    | flag::SIGN
    | flag::DATAGRAM
    | flag::EXTENDED_SESSION_SECURITY
    | flag::KEYS_OF_128_BITS
    | flag::KEY_EXCHANGE;

/// CHALLENGE_MESSAGE for a server called `target` of `domain`.
pub(super) fn challenge(challenge: &[u8; 8], domain: &str, target: &str, now: Now) -> Vec<u8> {
    let (netbios_domain, netbios_target) = (netbios(domain), netbios(target));
    let mut names = Vec::with_capacity(256);
    // The client goes on until it meets the end (0), and gives all of it back in its answer.
    for (id, text) in [
        (2, &*netbios_domain),
        (1, &*netbios_target),
        (4, domain),
        (3, target),
    ] {
        pair(&mut names, id, &utf16(text));
    }
    let time = (now.0.saturating_mul(10)).saturating_add(EPOCH_100NS);
    pair(&mut names, 7, &time.to_le_bytes());
    pair(&mut names, 0, &[]);
    let name = utf16(&netbios_domain);
    let mut out = Vec::with_capacity(CHALLENGE_FIXED_BYTES + name.len() + names.len());
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&2u32.to_le_bytes());
    place(&mut out, name.len(), CHALLENGE_FIXED_BYTES);
    out.extend_from_slice(&OFFERED.to_le_bytes());
    out.extend_from_slice(challenge);
    out.extend_from_slice(&[0; 8]);
    place(&mut out, names.len(), CHALLENGE_FIXED_BYTES + name.len());
    // Version 6.1.7601, revision 15: it is for logs only ([MS-NLMP] §2.2.2.10).
    out.extend_from_slice(&[6, 1, 0xb1, 0x1d, 0, 0, 0, 15]);
    out.extend_from_slice(&name);
    out.extend_from_slice(&names);
    out
}

/// Length, room, offset. A config's names have at most 253 letters, so every length fits.
fn place(out: &mut Vec<u8>, bytes: usize, at: usize) {
    let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes());
}

/// AV_PAIR ([MS-NLMP] §2.2.2.1).
fn pair(out: &mut Vec<u8>, id: u16, value: &[u8]) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(value);
}

/// The first label in capitals, as NetBIOS would call it.
fn netbios(name: &str) -> String {
    let label = name.split('.').next().unwrap_or_default();
    let letters = label.chars().take(NETBIOS_LETTERS_MAX);
    letters.map(|letter| letter.to_ascii_uppercase()).collect()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// AUTHENTICATE_MESSAGE, as far as it counts here: no LM response (it proves less), no workstation, no MIC (a client that
/// has no first message sends none).
#[derive(PartialEq, Eq)]
pub(super) struct Authenticate {
    /// As it was typed; empty where the user has the domain in it.
    pub(super) domain: String,
    pub(super) user: String,
    /// NTProofStr.
    pub(super) proof: [u8; 16],
    /// What it proves, beside the challenge.
    pub(super) blob: Vec<u8>,
    /// The session key, encrypted.
    pub(super) encrypted_key: [u8; 16],
}

impl Authenticate {
    /// Reads an answer; `None` where it is none, or not to a challenge of ours, or not NTLMv2.
    pub(super) fn read(bytes: &[u8]) -> Option<Authenticate> {
        if bytes.len() > AUTHENTICATE_BYTES_MAX
            || bytes.len() < AUTHENTICATE_FIXED_BYTES
            || !bytes.starts_with(SIGNATURE)
            || number(bytes, 8)? != 3
            || number(bytes, 60)? & NEEDED != NEEDED
        {
            return None;
        }
        let response = field(bytes, 20)?;
        let (proof, blob) = response.split_at_checked(16)?;
        // 1 and 1: this version, and none beyond it ([MS-NLMP] §2.2.2.7). An NTLMv1 response has 24 bytes.
        if response.len() < NT_RESPONSE_BYTES_MIN || !blob.starts_with(&[1, 1]) {
            return None;
        }
        Some(Authenticate {
            domain: name(field(bytes, 28)?)?,
            user: name(field(bytes, 36)?)?,
            proof: proof.try_into().ok()?,
            blob: blob.to_vec(),
            encrypted_key: field(bytes, 52)?.try_into().ok()?,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let number = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(number.try_into().ok()?))
}

/// What length and offset at `at` point to, if it is in the message.
fn field(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = bytes.get(at..at.checked_add(2)?)?;
    let length = usize::from(u16::from_le_bytes(length.try_into().ok()?));
    let offset = usize::try_from(number(bytes, at.checked_add(4)?)?).ok()?;
    bytes.get(offset..offset.checked_add(length)?)
}

/// UTF-16LE.
fn name(bytes: &[u8]) -> Option<String> {
    if bytes.len() > NAME_BYTES_MAX || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units = bytes
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [MS-NLMP] §4.2.4.3: the answer of the example, but for its flags: those are of a connection.
    fn example() -> Vec<u8> {
        let payload: [(usize, Vec<u8>); 6] = [
            (28, utf16("Domain")),
            (36, utf16("User")),
            (44, utf16("COMPUTER")),
            (12, vec![0x11; 24]),
            (20, [&[0x22; 16][..], &[1, 1], &[0; 50]].concat()),
            (52, vec![0x33; 16]),
        ];
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.resize(64 + 8, 0);
        bytes[60..64].copy_from_slice(&0x6298_8255u32.to_le_bytes());
        for (at, field) in payload {
            let mut head = Vec::new();
            place(&mut head, field.len(), bytes.len());
            bytes[at..at + 8].copy_from_slice(&head);
            bytes.extend(field);
        }
        bytes
    }

    #[test]
    fn an_answer_is_read_by_its_offsets() {
        let read = Authenticate::read(&example()).expect("a good answer");
        assert_eq!((&*read.user, &*read.domain), ("User", "Domain"));
        assert_eq!((read.proof, read.encrypted_key), ([0x22; 16], [0x33; 16]));
        assert_eq!(read.blob.len(), 52);
        let mut spoilt = [
            (0, b'X'),  // no NTLM
            (8, 2),     // another message
            (60, 0x54), // no Unicode
            (63, 0x42), // no keys of 128 bits
            (62, 0x90), // no extended session security
            (20, 24),   // NTLMv1's length
            (28, 11),   // half a letter
            (33, 0xff), // the domain is past the end
            (59, 0xff), // the key is past the end, by far
            (52, 15),   // half a key
        ]
        .map(|(at, byte)| {
            let mut bytes = example();
            bytes[at] = byte;
            bytes
        })
        .to_vec();
        spoilt.push(vec![]);
        spoilt.push([&example()[..], &[0; AUTHENTICATE_BYTES_MAX]].concat());
        for (index, bytes) in spoilt.iter().enumerate() {
            assert!(Authenticate::read(bytes).is_none(), "{index}");
        }
    }

    /// However much of it is missing, and whatever an offset says, nothing but `None` comes of it.
    #[test]
    fn no_answer_makes_it_fall() {
        let whole = example();
        for length in 0..whole.len() {
            assert!(Authenticate::read(&whole[..length]).is_none(), "{length}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = Authenticate::read(&bytes);
            }
        }
    }

    /// Byte for byte: what a client must find where.
    #[test]
    fn the_challenge() {
        let written = challenge(
            b"\x01\x23\x45\x67\x89\xab\xcd\xef",
            "contoso.com",
            "a-very-long-name.contoso.com",
            Now(1_700_000_000_000_000),
        );
        assert_eq!(&written[..12], b"NTLMSSP\0\x02\0\0\0");
        assert_eq!(number(&written, 20), Some(0xe299_8255));
        assert_eq!(&written[24..32], b"\x01\x23\x45\x67\x89\xab\xcd\xef");
        assert_eq!(
            field(&written, 12).and_then(name).as_deref(),
            Some("CONTOSO")
        );
        let mut rest = field(&written, 40).expect("target information");
        assert_eq!(
            rest.as_ptr_range().end,
            written.as_ptr_range().end,
            "it is the last"
        );
        let mut told = Vec::new();
        while let Some((head, after)) = rest.split_at_checked(4) {
            let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
            let (value, after) = after.split_at(length);
            rest = after;
            told.push(match head[0] {
                7 => format!(
                    "7 {}",
                    u64::from_le_bytes(value.try_into().expect("a time")) / 10_000_000
                ),
                id => format!("{id} {}", name(value).expect("a name")),
            });
        }
        assert_eq!(
            told,
            [
                "2 CONTOSO",
                "1 A-VERY-LONG-NAM",
                "4 contoso.com",
                "3 a-very-long-name.contoso.com",
                "7 13344473600", // 1700000000 + 11644473600
                "0 ",
            ]
        );
    }
}
