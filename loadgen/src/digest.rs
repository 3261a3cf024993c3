//! The client's half of digest authentication (RFC 7616, RFC 8760): the answer to a challenge.
//!
//! What a challenge says is handed in as values; reading the header is `user`'s.

use md5::Md5;
use sha2::{Digest, Sha256};

/// The two algorithms SIP servers offer (RFC 8760 §2.1); the stronger compares greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// Reads the `algorithm` parameter; absent means MD5 (RFC 7616 §3.3). `None` for one we don't speak.
    pub fn of(parameter: Option<&str>) -> Option<Algorithm> {
        match parameter {
            None => Some(Algorithm::Md5),
            Some(name) if name.eq_ignore_ascii_case("MD5") => Some(Algorithm::Md5),
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Some(Algorithm::Sha256),
            Some(_) => None,
        }
    }

    fn hex(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
            Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

/// One challenge of a 401 or 407, its quotes taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub algorithm: Algorithm,
    pub realm: String,
    pub nonce: String,
    pub opaque: Option<String>,
    /// The server offers `qop=auth`.
    pub qop_auth: bool,
    /// The parameter `algorithm` was given, so it is said back.
    pub algorithm_named: bool,
}

impl Challenge {
    /// The value of the Authorization (or Proxy-Authorization) header for one request.
    ///
    /// `cnonce` must be fresh; the nonce is used once, so `nc` is 1 always.
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> String {
        let algorithm = self.algorithm;
        let secret = algorithm.hex(&format!("{user}:{}:{password}", self.realm));
        let request = algorithm.hex(&format!("{method}:{uri}"));
        let nonce = &self.nonce;
        let response = if self.qop_auth {
            algorithm.hex(&format!(
                "{secret}:{nonce}:00000001:{cnonce}:auth:{request}"
            ))
        } else {
            algorithm.hex(&format!("{secret}:{nonce}:{request}"))
        };
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(user),
            quoted(&self.realm),
            quoted(nonce),
            quoted(uri)
        );
        if self.algorithm_named {
            value.push_str(match algorithm {
                Algorithm::Md5 => ", algorithm=MD5",
                Algorithm::Sha256 => ", algorithm=SHA-256",
            });
        }
        if self.qop_auth {
            value.push_str(", qop=auth, nc=00000001, cnonce=");
            value.push_str(&quoted(cnonce));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(", opaque=");
            value.push_str(&quoted(opaque));
        }
        value
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc_challenge(algorithm: Algorithm) -> Challenge {
        Challenge {
            algorithm,
            realm: "http-auth@example.org".into(),
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v".into(),
            opaque: Some("FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS".into()),
            qop_auth: true,
            algorithm_named: true,
        }
    }

    /// The worked example of RFC 7616 §3.9.1.
    #[test]
    fn the_example_of_the_standard() {
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let value = rfc_challenge(algorithm).answer(
                "Mufasa",
                "Circle of Life",
                "GET",
                "/dir/index.html",
                cnonce,
            );
            assert!(
                value.contains(&format!("response=\"{response}\"")),
                "{value}"
            );
            assert!(value.contains("nc=00000001, cnonce=\"f2/wE4q7"), "{value}");
        }
    }

    /// The worked example of RFC 2617 §3.5 taken without qop: HA1 and HA2 are the same, the form is the old one.
    #[test]
    fn without_qop_the_old_form_is_used() {
        let challenge = Challenge {
            qop_auth: false,
            algorithm_named: false,
            opaque: None,
            ..rfc_challenge(Algorithm::Md5)
        };
        let value = challenge.answer("u\"x", "p", "REGISTER", "sip:example.com", "unused");
        assert!(
            !value.contains("qop") && !value.contains("cnonce") && !value.contains("algorithm"),
            "{value}"
        );
        assert!(value.starts_with("Digest username=\"u\\\"x\""), "{value}");
    }

    #[test]
    fn algorithms_are_known_by_name() {
        assert_eq!(Algorithm::of(None), Some(Algorithm::Md5));
        assert_eq!(Algorithm::of(Some("sha-256")), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::of(Some("SHA-512-256")), None);
        assert!(Algorithm::Sha256 > Algorithm::Md5);
    }
}
