//! The arithmetic of HTTP digest as SIP uses it: MD5 and SHA-256 (RFC 3261 §22.4, RFC 7616 §3.4, RFC 8760 §2).
//!
//! Nothing is decided here; who may come in is the room's `Authenticator`.

mod answer;

pub(super) use answer::Answer;

use super::scheme::Scheme;
use md5::Md5;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Which hash a digest uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Algorithm {
    /// `MD5` (RFC 3261 §22.4): also without `qop`, as RFC 2069 had it.
    Md5,
    /// `SHA-256` (RFC 8760).
    Sha256,
}

impl Algorithm {
    /// As the `algorithm` parameter has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// Reads the `algorithm` parameter, in any case; `-sess` variants are not offered and not known.
    pub(super) fn parse(text: &str) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Sha256]
            .into_iter()
            .find(|each| each.as_str().eq_ignore_ascii_case(text))
    }

    /// What the operator calls it.
    pub(super) fn scheme(self) -> Scheme {
        match self {
            Algorithm::Md5 => Scheme::DigestMd5,
            Algorithm::Sha256 => Scheme::DigestSha256,
        }
    }
}

/// What the store keeps of a password: for each enabled scheme the hash that stands for it in that realm. Whoever has it can
/// answer a challenge, so it is as secret as the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// `ha1_md5` of user, realm, password.
    pub ha1_md5: Option<Ha1<16>>,
    /// `ha1_sha256` of user, realm, password.
    pub ha1_sha256: Option<Ha1<32>>,
    /// `nt_hash` of the password.
    pub nt_hash: Option<[u8; 16]>,
}

impl core::fmt::Debug for Credentials {
    // A credential never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Credentials")
    }
}

/// The hash of a password for digest, once for each name that a client may have hashed: the name alone, or the whole address,
/// as many people type it. One can't be had from the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1<const N: usize> {
    /// Of "user:realm:password" (RFC 7616 §3.4.2). `user` is the part before the `@`, unescaped; `realm` is the domain.
    pub name: [u8; N],
    /// Of "user@realm:realm:password". A password from before this was kept has none.
    pub address: Option<[u8; N]>,
}

impl<const N: usize> core::fmt::Debug for Ha1<N> {
    // A credential never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ha1")
    }
}

impl<const N: usize> Ha1<N> {
    fn of(self, form: Form) -> Option<[u8; N]> {
        match form {
            Form::Name => Some(self.name),
            Form::Address => self.address,
        }
    }
}

/// How a client writes its `username`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// `alice`
    Name,
    /// `alice@example.com`, where that is the realm.
    Address,
}

impl Credentials {
    /// Whether there is anything that an answer of this kind could be right by.
    pub(super) fn has(&self, algorithm: Algorithm, form: Form) -> bool {
        match algorithm {
            Algorithm::Md5 => self.ha1_md5.and_then(|ha1| ha1.of(form)).is_some(),
            Algorithm::Sha256 => self.ha1_sha256.and_then(|ha1| ha1.of(form)).is_some(),
        }
    }
}

/// What is kept of a password for MD5 (RFC 7616 §3.4.2).
pub fn ha1_md5(user: &str, realm: &str, password: &str) -> Ha1<16> {
    let of = |name: &str| hash::<Md5>(&[name, realm, password]).into();
    Ha1 {
        name: of(user),
        address: Some(of(&format!("{user}@{realm}"))),
    }
}

/// The same for SHA-256 (RFC 8760 §2.1).
pub fn ha1_sha256(user: &str, realm: &str, password: &str) -> Ha1<32> {
    let of = |name: &str| hash::<Sha256>(&[name, realm, password]).into();
    Ha1 {
        name: of(user),
        address: Some(of(&format!("{user}@{realm}"))),
    }
}

/// `qop=auth` with its two companions (RFC 7616 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Protection<'a> {
    /// `nc` as it is written: it is hashed as text.
    pub(super) nc: &'a str,
    /// `cnonce`, without quotes.
    pub(super) cnonce: &'a str,
}

/// All that goes into a response beside the password (RFC 7616 §3.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) nonce: &'a str,
    /// None: without `qop` (RFC 2069; RFC 3261 §22.4 keeps it for old clients).
    pub(super) protection: Option<Protection<'a>>,
}

impl Question<'_> {
    /// Whether `response`, hexadecimal in any case, is right for this password hash; takes as long for every wrong one of
    /// the right length.
    pub(super) fn is_answered_by(
        &self,
        algorithm: Algorithm,
        form: Form,
        credentials: &Credentials,
        response: &str,
    ) -> bool {
        let wanted = match algorithm {
            Algorithm::Md5 => credentials
                .ha1_md5
                .and_then(|ha1| ha1.of(form))
                .map(|ha1| self.response::<Md5>(&ha1)),
            Algorithm::Sha256 => credentials
                .ha1_sha256
                .and_then(|ha1| ha1.of(form))
                .map(|ha1| self.response::<Sha256>(&ha1)),
        };
        // The length is public (the algorithm's); only the digits are compared in constant time.
        wanted.is_some_and(|wanted| {
            wanted
                .as_bytes()
                .ct_eq(response.to_ascii_lowercase().as_bytes())
                .into()
        })
    }

    fn response<H: sha2::Digest>(&self, ha1: &[u8]) -> String {
        let ha1 = hexadecimal(ha1);
        let ha2 = hexadecimal(&hash::<H>(&[self.method, self.uri]));
        hexadecimal(&match self.protection {
            Some(Protection { nc, cnonce }) => {
                hash::<H>(&[&ha1, self.nonce, nc, cnonce, "auth", &ha2])
            }
            None => hash::<H>(&[&ha1, self.nonce, &ha2]),
        })
    }
}

/// The hash of the parts with a colon between each two.
fn hash<H: sha2::Digest>(parts: &[&str]) -> sha2::digest::Output<H> {
    let mut hash = H::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    hash.finalize()
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, realm: &str, password: &str) -> Credentials {
        Credentials {
            ha1_md5: Some(ha1_md5(user, realm, password)),
            ha1_sha256: Some(ha1_sha256(user, realm, password)),
            nt_hash: None,
        }
    }

    /// A million users have them.
    #[test]
    fn the_hash_of_the_address_costs_its_own_bytes_alone() {
        assert_eq!(size_of::<Option<Ha1<16>>>(), 2 * 16 + 1);
        assert_eq!(size_of::<Option<Ha1<32>>>(), 2 * 32 + 1);
    }

    /// RFC 7616 §3.9.1, both algorithms over one exchange.
    #[test]
    fn rfc_7616_examples() {
        let question = Question {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            protection: Some(Protection {
                nc: "00000001",
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            }),
        };
        let mufasa = credentials("Mufasa", "http-auth@example.org", "Circle of Life");
        let md5 = "8ca523f5e9506fed4657c9700eebdbec";
        let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        let name = Form::Name;
        assert!(question.is_answered_by(Algorithm::Md5, name, &mufasa, md5));
        assert!(question.is_answered_by(Algorithm::Sha256, name, &mufasa, sha256));
        assert!(question.is_answered_by(Algorithm::Sha256, name, &mufasa, &sha256.to_uppercase()));
        assert!(!question.is_answered_by(Algorithm::Md5, name, &mufasa, sha256));
        assert!(!question.is_answered_by(Algorithm::Sha256, name, &mufasa, md5));
        assert!(!question.is_answered_by(Algorithm::Md5, Form::Address, &mufasa, md5));
        for wrong in ["", "0", &md5[1..], "8ca523f5e9506fed4657c9700eebdbed"] {
            assert!(
                !question.is_answered_by(Algorithm::Md5, name, &mufasa, wrong),
                "{wrong}"
            );
        }
        let none = Credentials {
            ha1_md5: None,
            ha1_sha256: None,
            nt_hash: None,
        };
        assert!(!question.is_answered_by(Algorithm::Md5, name, &none, md5));
    }

    /// RFC 2617 §3.5 with MD5 and `qop`, and the same question without `qop` (RFC 2617 §3.2.2.1, RFC 3261 §22.4).
    #[test]
    fn rfc_2617_example_with_and_without_qop() {
        let mut question = Question {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            protection: Some(Protection {
                nc: "00000001",
                cnonce: "0a4f113b",
            }),
        };
        let mufasa = credentials("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert!(question.is_answered_by(
            Algorithm::Md5,
            Form::Name,
            &mufasa,
            "6629fae49393a05397450978507c4ef1"
        ));
        question.protection = None;
        assert!(question.is_answered_by(
            Algorithm::Md5,
            Form::Name,
            &mufasa,
            "670fd8c2df070c60b045671b8b24ff02"
        ));
    }

    /// draft-smith-sipping-auth-examples-01 §3.1, §3.4: RFC 3261's own arithmetic, without and with `qop`.
    #[test]
    fn sip_examples() {
        let mut question = Question {
            method: "INVITE",
            uri: "sip:bob@biloxi.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            protection: None,
        };
        let bob = credentials("bob", "biloxi.com", "zanzibar");
        let is_answered_by = |question: &Question<'_>, response: &str| {
            question.is_answered_by(Algorithm::Md5, Form::Name, &bob, response)
        };
        assert!(is_answered_by(
            &question,
            "bf57e4e0d0bffc0fbaedce64d59add5e"
        ));
        question.protection = Some(Protection {
            nc: "00000001",
            cnonce: "0a4f113b",
        });
        assert!(is_answered_by(
            &question,
            "89eb0059246c02b2f6ee02c7961d5ea3"
        ));
    }
}
