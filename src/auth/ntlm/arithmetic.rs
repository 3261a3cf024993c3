//! The arithmetic of NTLMv2 and of a signature without a connection ([MS-NLMP] §3.3.2, §3.4).
//!
//! MD4, MD5 and RC4 are weak, and the protocol has no others. What is left of them is as strong as the password: so NTLM
//! goes over TLS like everything else, and whoever needs no Lync client leaves it out of the schemes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use rc4::{Rc4, StreamCipher as _};
use subtle::ConstantTimeEq as _;

/// The sequence number of every signature: without a connection SIP has nothing that could count ([MS-SIPAE] §3.2.5.2).
const SEQUENCE: u32 = 100;
/// Bytes of a signature: version, checksum, sequence number ([MS-NLMP] §2.2.2.9.2).
pub(super) const SIGNATURE_BYTES: usize = 16;

/// MD4 of the password in UTF-16LE ([MS-NLMP] §3.3.1, NTOWFv1): what the store keeps. It needs neither user nor domain, so
/// a login name may be written in any way. Whoever has it can log in: it is as secret as the password.
pub fn nt_hash(password: &str) -> [u8; 16] {
    let mut hash = Md4::new();
    for unit in password.encode_utf16() {
        hash.update(unit.to_le_bytes());
    }
    hash.finalize().into()
}

/// NTOWFv2 ([MS-NLMP] §3.3.2). `user` is in capitals already: clients differ on what that is beyond ASCII. `domain` is as
/// it was typed.
pub(super) fn response_key(nt_hash: &[u8; 16], user: &str, domain: &str) -> [u8; 16] {
    let mut mac = keyed(nt_hash);
    for unit in user.encode_utf16().chain(domain.encode_utf16()) {
        mac.update(&unit.to_le_bytes());
    }
    mac.finalize().into_bytes().into()
}

/// NTProofStr: what stands in front of `blob` in the NT response ([MS-NLMP] §3.3.2).
pub(super) fn proof(response_key: &[u8; 16], challenge: &[u8; 8], blob: &[u8]) -> [u8; 16] {
    let mut mac = keyed(response_key);
    mac.update(challenge);
    mac.update(blob);
    mac.finalize().into_bytes().into()
}

/// Whether two proofs are the same, in a time that does not tell where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// SessionBaseKey, which with NTLMv2 is the KeyExchangeKey too ([MS-NLMP] §3.3.2, §3.4.5.1).
pub(super) fn base_key(response_key: &[u8; 16], proof: &[u8; 16]) -> [u8; 16] {
    let mut mac = keyed(response_key);
    mac.update(proof);
    mac.finalize().into_bytes().into()
}

/// ExportedSessionKey: what the client has chosen and encrypted with the base key ([MS-NLMP] §3.1.5.1.2).
pub(super) fn session_key(base_key: &[u8; 16], encrypted: &[u8; 16]) -> [u8; 16] {
    let mut key = *encrypted;
    cipher(base_key).apply_keystream(&mut key);
    key
}

/// Whose signatures a key makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Client,
    Server,
}

/// Makes the signatures of one side ([MS-NLMP] §3.4.4.2, without a connection).
///
/// The key of the cipher is MD5(sealing key, sequence number), made anew for each message; but as the number is always the
/// same, so are the eight bytes that it is put over the checksum with. They are kept instead of the key, and one HMAC is
/// all that a message costs.
#[derive(Clone)]
pub(super) struct Signer {
    /// Keyed, and the sequence number taken in.
    mac: Hmac<Md5>,
    pad: [u8; 8],
}

impl core::fmt::Debug for Signer {
    // A key never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    pub(super) fn new(session_key: &[u8; 16], side: Side) -> Signer {
        let number = SEQUENCE.to_le_bytes();
        let mut mac = keyed(&sign_key(session_key, side));
        mac.update(&number);
        let key = Md5::new()
            .chain_update(seal_key(session_key, side))
            .chain_update(number)
            .finalize();
        let mut pad = [0; 8];
        cipher(&key.into()).apply_keystream(&mut pad);
        Signer { mac, pad }
    }

    /// NTLMSSP_MESSAGE_SIGNATURE of `text` ([MS-NLMP] §2.2.2.9.2).
    pub(super) fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(text);
        let checksum = mac.finalize().into_bytes();
        let mut signature = [0; SIGNATURE_BYTES];
        signature[..4].copy_from_slice(&1u32.to_le_bytes());
        signature[4..12].copy_from_slice(&checksum[..8]);
        for (byte, pad) in signature[4..12].iter_mut().zip(self.pad) {
            *byte ^= pad;
        }
        signature[12..].copy_from_slice(&SEQUENCE.to_le_bytes());
        signature
    }
}

/// SIGNKEY ([MS-NLMP] §3.4.5.2); the NUL at the end belongs to the text.
fn sign_key(session_key: &[u8; 16], side: Side) -> [u8; 16] {
    let magic: &[u8] = match side {
        Side::Client => b"session key to client-to-server signing key magic constant\0",
        Side::Server => b"session key to server-to-client signing key magic constant\0",
    };
    of_magic(session_key, magic)
}

/// SEALKEY ([MS-NLMP] §3.4.5.3). Only keys of 128 bits are taken, so nothing is cut off.
fn seal_key(session_key: &[u8; 16], side: Side) -> [u8; 16] {
    let magic: &[u8] = match side {
        Side::Client => b"session key to client-to-server sealing key magic constant\0",
        Side::Server => b"session key to server-to-client sealing key magic constant\0",
    };
    of_magic(session_key, magic)
}

fn of_magic(session_key: &[u8; 16], magic: &[u8]) -> [u8; 16] {
    let hash = Md5::new().chain_update(session_key).chain_update(magic);
    hash.finalize().into()
}

fn keyed(key: &[u8; 16]) -> Hmac<Md5> {
    // HMAC takes a key of any length (RFC 2104 §2), so a key of 16 bytes cannot be refused.
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn cipher(key: &[u8; 16]) -> Rc4 {
    // RC4 takes keys of 1 to 256 bytes, so a key of 16 bytes cannot be refused.
    <Rc4 as rc4::KeyInit>::new_from_slice(key).expect("RC4 takes a key of 16 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::auth::ntlm) fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// [MS-NLMP] §4.2.1 and §4.2.4: User, Domain, Password.
    #[test]
    fn the_published_example() {
        let challenge = 0x0123_4567_89ab_cdef_u64.to_be_bytes();
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend([0; 8]); // The time.
        blob.extend([0xaa; 8]); // The client's challenge.
        blob.extend([0; 4]);
        for (id, name) in [(2u16, "Domain"), (1, "Server")] {
            let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            blob.extend(id.to_le_bytes());
            blob.extend((name.len() as u16).to_le_bytes());
            blob.extend(name);
        }
        blob.extend([0; 8]);
        let hash = nt_hash("Password");
        assert_eq!(hex(&hash), "a4f49c406510bdcab6824ee7c30fd852");
        let key = response_key(&hash, "USER", "Domain");
        assert_eq!(hex(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
        // The LM response is the same over the client's challenge alone.
        let of_lm = proof(&key, &challenge, &[0xaa; 8]);
        assert_eq!(hex(&of_lm), "86c35097ac9cec102554764a57cccc19");
        let proof = proof(&key, &challenge, &blob);
        assert_eq!(hex(&proof), "68cd0ab851e51c96aabc927bebef6a1c");
        let base = base_key(&key, &proof);
        assert_eq!(hex(&base), "8de40ccadbc14a82f15cb0ad0de95ca3");
        let encrypted = session_key(&base, &[0x55; 16]);
        assert_eq!(hex(&encrypted), "c5dad2544fc9799094ce1ce90bc9d03e");
        assert_eq!(session_key(&base, &encrypted), [0x55; 16]);
    }

    /// [MS-NLMP] §4.2.4.4: the keys, and a message that is sealed with them on a connection. What makes a signature without
    /// a connection of it is the key of the cipher, for which there is no published example.
    #[test]
    fn the_published_keys_and_checksum() {
        let key = [0x55; 16];
        let (sign, seal) = (sign_key(&key, Side::Client), seal_key(&key, Side::Client));
        assert_eq!(hex(&sign), "4788dc861b4782f35d43fd98fe1a2d39");
        assert_eq!(hex(&seal), "59f600973cc4960a25480a7c196e4c58");
        let mut text: Vec<u8> = "Plaintext"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut mac = keyed(&sign);
        mac.update(&0u32.to_le_bytes());
        mac.update(&text);
        let mut checksum = mac.finalize().into_bytes();
        let mut stream = cipher(&seal);
        stream.apply_keystream(&mut text);
        stream.apply_keystream(&mut checksum[..8]);
        assert_eq!(hex(&text), "54e50165bf1936dc996020c1811b0f06fb5f");
        assert_eq!(hex(&checksum[..8]), "7fb38ec5c55d4976");
    }

    /// The eight bytes that are kept are those of a cipher made anew for each message.
    #[test]
    fn a_signature_is_made_as_the_standard_says() {
        for side in [Side::Client, Side::Server] {
            let key = [0x55; 16];
            let signer = Signer::new(&key, side);
            for text in [&b"<NTLM><1>"[..], b"", &[b'x'; 700]] {
                let mut mac = keyed(&sign_key(&key, side));
                mac.update(&[100, 0, 0, 0]);
                mac.update(text);
                let mut checksum = mac.finalize().into_bytes();
                let mut sealing = seal_key(&key, side).to_vec();
                sealing.extend([100, 0, 0, 0]);
                let key: [u8; 16] = Md5::digest(sealing).into();
                cipher(&key).apply_keystream(&mut checksum[..8]);
                assert_eq!(
                    hex(&signer.sign(text)),
                    format!("01000000{}64000000", hex(&checksum[..8]))
                );
            }
        }
        let key = [7; 16];
        let both = [Side::Client, Side::Server].map(|side| Signer::new(&key, side).sign(b"x"));
        assert_ne!(both[0], both[1], "a side's signature is not the other's");
    }
}
