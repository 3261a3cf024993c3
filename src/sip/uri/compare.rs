//! When two URIs name the same resource (RFC 3261 §19.1.4, RFC 3966 §4).

use super::{Scheme, Uri};
use crate::sip::grammar::{self, UNRESERVED};

/// Parameters that must be in both URIs or in none. The standard names `user`, `ttl`, `method` and `maddr`; that
/// `transport` belongs to them its own examples show.
const BOTH_OR_NONE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

pub(super) fn equivalent(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    if one.scheme != two.scheme {
        return false;
    }
    match one.scheme {
        Scheme::Sip | Scheme::Sips => {
            characters(one.user).eq(characters(two.user))
                && same_password(one.password, two.password)
                && same_host(one, two)
                && one.port == two.port
                && same_params(one, two)
                && same_headers(one, two)
        }
        Scheme::Tel => {
            digits(one.user).eq(digits(two.user))
                && tel_params_in(one, two)
                && tel_params_in(two, one)
        }
        Scheme::Other => match (one.text.split_once(':'), two.text.split_once(':')) {
            (Some(one), Some(two)) => one.0.eq_ignore_ascii_case(two.0) && one.1 == two.1,
            _ => false,
        },
    }
}

/// The characters of a text, told apart from reserved ones that were escaped: only those that are not reserved are equal
/// to their escapes.
fn characters(text: &str) -> impl Iterator<Item = (u8, bool)> + Clone {
    let bytes = text.as_bytes();
    let mut at = 0;
    core::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        Some(match grammar::escape_at(bytes, at) {
            Some(meant) => {
                at += 3;
                (meant, !grammar::is(meant, UNRESERVED))
            }
            None => {
                at += 1;
                (byte, false)
            }
        })
    })
}

/// The same without case.
fn letters(text: &str) -> impl Iterator<Item = (u8, bool)> + Clone {
    characters(text).map(|(byte, escaped)| (byte.to_ascii_lowercase(), escaped))
}

fn same_password(one: Option<&str>, two: Option<&str>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => characters(one).eq(characters(two)),
        (None, None) => true,
        _ => false,
    }
}

fn same_host(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    // Two spellings of an IPv6 address are one address.
    one.host.eq_ignore_ascii_case(two.host) || (one.ip().is_some() && one.ip() == two.ip())
}

/// What is in both must be equal; what is in one only is ignored, but for `BOTH_OR_NONE`.
fn same_params(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    let equal_where_shared = one.each_param().all(|(name, value)| match two.param(name) {
        None => true,
        Some(other) => letters(value.unwrap_or("")).eq(letters(other.unwrap_or(""))),
    });
    equal_where_shared
        && BOTH_OR_NONE
            .iter()
            .all(|name| one.param(name).is_some() == two.param(name).is_some())
}

/// All headers of one are in the other, in any order.
fn same_headers(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    headers_in(one, two) && headers_in(two, one)
}

fn headers_in(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    one.each_header().all(|(name, value)| {
        two.each_header().any(|(other, other_value)| {
            letters(name).eq(letters(other)) && characters(value).eq(characters(other_value))
        })
    })
}

/// A telephone number without its visual separators.
fn digits(number: &str) -> impl Iterator<Item = u8> {
    number
        .bytes()
        .filter(|byte| !b"-.()".contains(byte))
        .map(|byte| byte.to_ascii_lowercase())
}

fn tel_params_in(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    one.each_param().all(|(name, value)| {
        two.param(name)
            .is_some_and(|other| letters(value.unwrap_or("")).eq(letters(other.unwrap_or(""))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(one: &str, two: &str, expected: bool) {
        let (a, b) = (Uri::parse(one).expect(one), Uri::parse(two).expect(two));
        assert_eq!(a.equivalent(&b), expected, "{one}  {two}");
        assert_eq!(b.equivalent(&a), expected, "{two}  {one}");
    }

    #[test]
    fn the_same() {
        for (one, two) in [
            // The examples of RFC 3261 §19.1.4.
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtlanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:carol@chicago.com;newparam=5",
                "sip:carol@chicago.com;security=on",
            ),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            // Ours.
            ("sip:a@h;lr", "SIP:a@H;LR"),
            ("sip:a%3bb@h", "sip:a%3Bb@h"),
            ("sip:a:p%40@h:5060", "sip:a:p%40@h:5060"),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:0DB8:0::1]"),
            ("sip:a@h;p=%41b", "sip:a@h;p=aB"),
            ("tel:+1-201-555-0123", "tel:+1(201)555.0123"),
            ("tel:12;phone-context=X;a=b", "tel:12;a=B;phone-context=x"),
            ("URN:service:sos", "urn:service:sos"),
        ] {
            check(one, two, true);
        }
    }

    #[test]
    fn not_the_same() {
        for (one, two) in [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
            ("sip:a@h", "sips:a@h"),
            ("sip:a@h", "sip:h"),
            ("sip:a@h", "sip:a:@h"),
            ("sip:a@h", "sip:a@h;user=ip"),
            ("sip:a@h", "sip:a@h;ttl=1"),
            ("sip:a@h", "sip:a@h;method=INVITE"),
            ("sip:a@h", "sip:a@h;maddr=1.2.3.4"),
            ("sip:a;b@h", "sip:a%3bb@h"),
            ("sip:a@h;x", "sip:a@h;x=1"),
            ("sip:a@h?x=1&y=2", "sip:a@h?x=1"),
            ("sip:a@h?x=A", "sip:a@h?x=a"),
            ("tel:+123", "tel:123"),
            ("tel:123;a=b", "tel:123"),
            ("urn:a", "urn:A"),
        ] {
            check(one, two, false);
        }
    }
}
