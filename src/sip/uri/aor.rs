//! Addresses of record in canonical form (RFC 3261 §10.3 step 5).
//!
//! Canonical is: the user's escapes undone where the character may stand in a user anyway or is not ASCII, kept (with capital
//! digits) where it may not; its case kept; the host in lower case, an IPv6 address in its short form, no dot at the end;
//! no password, port or parameter. So two URIs of one user have one text, a NUL or `@` in a user stays visible, and the
//! text can be made a URI again.

use std::sync::Arc;

use super::{Uri, split_host};
use crate::sip::grammar::{self, USER};

/// The longest address of record, in bytes.
pub const AOR_BYTES_MAX: usize = 512;

/// An address of record in its canonical form, `user@host`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Aor(Arc<str>);

impl Aor {
    /// Is it the other's very text, not only the same one? Says so without looking at either.
    pub fn is_shared_with(&self, other: &Aor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// From a text that `canonical` made or would leave as it is.
    pub(super) fn from_canonical(text: &str) -> Aor {
        Aor(Arc::from(text))
    }

    /// Reads `user@host`, `sip:user@host` or `sips:user@host`. In the first form, which people write, the user may have
    /// letters beyond ASCII; `None` where a character would have to be escaped, or past `AOR_BYTES_MAX`.
    pub fn parse(text: &str) -> Option<Aor> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            return Uri::parse(text).ok()?.aor();
        }
        let (user, host) = text.rsplit_once('@')?;
        let (host, rest) = split_host(host).ok()?;
        let literal = user.chars().all(|char| match u8::try_from(char) {
            Ok(byte) if byte.is_ascii() => byte == b'%' || grammar::is(byte, USER),
            _ => !char.is_control(),
        });
        let escapes_whole = user
            .bytes()
            .enumerate()
            .all(|(at, byte)| byte != b'%' || grammar::escape_at(user.as_bytes(), at).is_some());
        if user.is_empty() || !rest.is_empty() || !literal || !escapes_whole {
            return None;
        }
        canonical(user, host).map(|text| Aor(Arc::from(text)))
    }

    /// `user@host`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is before the `@`.
    pub fn user(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(user, _)| user)
    }

    /// What is after the `@`, in lower case.
    pub fn host(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, host)| host)
    }

    /// `sip:user@host` with the user escaped as the standard wants it.
    pub fn uri(&self) -> String {
        use core::fmt::Write;
        let mut uri = String::with_capacity(self.0.len() + 4);
        uri.push_str("sip:");
        // Whatever else has to be escaped already is.
        if self.0.is_ascii() {
            uri.push_str(&self.0);
            return uri;
        }
        for char in self.0.chars() {
            if char.is_ascii() {
                uri.push(char);
            } else {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(uri, "%{byte:02X}");
                }
            }
        }
        uri
    }
}

/// `user@host` in canonical form; `None` past `AOR_BYTES_MAX`. `user` is as in a URI, or has literal characters beyond ASCII.
pub(super) fn canonical(user: &str, host: &str) -> Option<String> {
    if user.len() + host.len() > 3 * AOR_BYTES_MAX {
        return None;
    }
    let mut text = String::with_capacity(user.len() + 1 + host.len());
    let mut rest = user;
    while !rest.is_empty() {
        let end = rest.find('%').unwrap_or(rest.len());
        let (plain, escapes) = grammar::split(rest, end);
        text.push_str(plain);
        rest = unescape_run(escapes, &mut text);
    }
    text.push('@');
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(v6) => {
            use core::fmt::Write;
            let address: core::net::Ipv6Addr = v6.parse().ok()?;
            // Writing to a String cannot fail.
            let _ = write!(text, "[{address}]");
        }
        None => text.extend(
            host.strip_suffix('.')
                .unwrap_or(host)
                .chars()
                .map(|char| char.to_ascii_lowercase()),
        ),
    }
    (text.len() <= AOR_BYTES_MAX).then_some(text)
}

/// Undoes the escapes at the beginning of `text` as far as they may be, and gives what follows them. They are taken as a
/// run because a character beyond ASCII is several of them.
fn unescape_run<'a>(text: &'a str, out: &mut String) -> &'a str {
    use core::fmt::Write;
    let bytes = text.as_bytes();
    let mut meant: smallvec::SmallVec<[u8; 32]> = smallvec::SmallVec::new();
    while let Some(byte) = grammar::escape_at(bytes, meant.len() * 3) {
        meant.push(byte);
    }
    for chunk in meant.utf8_chunks() {
        for char in chunk.valid().chars() {
            let literal = match u8::try_from(char) {
                Ok(byte) if byte.is_ascii() => grammar::is(byte, USER),
                _ => !char.is_control(),
            };
            if literal {
                out.push(char);
            } else {
                for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
        for byte in chunk.invalid() {
            // As above.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    grammar::split(text, meant.len() * 3).1
}

impl core::fmt::Display for Aor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::borrow::Borrow<str> for Aor {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Aor {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(uri: &str, expected: &str) {
        let aor = Uri::parse(uri).ok().and_then(|uri| uri.aor());
        assert_eq!(aor.as_ref().map_or("none", Aor::as_str), expected, "{uri}");
        if let Some(aor) = aor {
            assert_eq!(
                Uri::parse(&aor.uri())
                    .ok()
                    .and_then(|uri| uri.aor())
                    .as_ref(),
                Some(&aor),
                "{uri}"
            );
            assert_eq!(Aor::parse(aor.as_str()).as_ref(), Some(&aor), "{uri}");
        }
    }

    #[test]
    fn canonical_forms() {
        check("sip:alice@example.com", "alice@example.com");
        check(
            "sips:Alice:secret@EXAMPLE.com.:5061;transport=tls?x=y",
            "Alice@example.com",
        );
        check("sip:%61l%69ce@example.com", "alice@example.com");
        check("sip:a%40b@h", "a%40b@h");
        check("sip:null-%00-%2500@h", "null-%00-%2500@h");
        check("sip:a%3bb%2f@h", "a;b/@h");
        check("sip:a%3a%20@h", "a%3A%20@h");
        check("sip:caf%c3%a9@h", "café@h");
        check("sip:%ff%c3@h", "%FF%C3@h");
        check("sip:%c2%85@h", "%C2%85@h");
        check("sip:a@[2001:DB8:0:0::1]:5061", "a@[2001:db8::1]");
        check("sip:+1-212@gw;user=phone", "+1-212@gw");
        check("sip:example.com", "none");
        check("tel:+1212", "none");
        check("urn:a", "none");
        check(&format!("sip:{}@h", "a".repeat(AOR_BYTES_MAX)), "none");
        check(
            &format!("sip:{}@h", "%61".repeat(500)),
            &format!("{}@h", "a".repeat(500)),
        );
    }

    #[test]
    fn as_people_write_them() {
        for (text, expected) in [
            ("alice@Example.com", "alice@example.com"),
            ("sip:alice@example.com", "alice@example.com"),
            ("SIPS:alice@example.com;x", "alice@example.com"),
            ("café@h", "café@h"),
            ("a@[::1]", "a@[::1]"),
            ("a", "none"),
            ("@h", "none"),
            ("a@", "none"),
            ("a b@h", "none"),
            ("a@b@h", "none"),
            ("a%4@h", "none"),
            ("a@h:5061", "none"),
            ("a@h/", "none"),
            ("a\u{85}@h", "none"),
            ("<a@h>", "none"),
        ] {
            assert_eq!(
                Aor::parse(text).as_ref().map_or("none", Aor::as_str),
                expected,
                "{text}"
            );
        }
        let aor = Aor::parse("café@h").expect("one");
        assert_eq!(
            (aor.user(), aor.host(), aor.uri().as_str()),
            ("café", "h", "sip:caf%C3%A9@h")
        );
    }

    proptest! {
        #[test]
        fn any_user_goes_round(bytes in proptest::collection::vec(any::<u8>(), 1..40)) {
            let user = bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let aor = Uri::parse(&format!("sip:{user}@h")).ok().and_then(|uri| uri.aor()).expect("an address");
            let again = Uri::parse(&aor.uri()).ok().and_then(|uri| uri.aor());
            prop_assert_eq!(again.as_ref(), Some(&aor));
            prop_assert_eq!(Aor::parse(aor.as_str()), Some(aor));
        }
    }
}
