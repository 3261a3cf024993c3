//! Authorization and its like: a scheme and its parameters (RFC 3261 §20.7, RFC 7616, RFC 8760).

use std::borrow::Cow;

use smallvec::SmallVec;

use super::BadValue;
use crate::sip::grammar::{self, TOKEN, VALUE};

/// The most parameters in one value; real ones have about a dozen.
pub const AUTH_PARAMS_MAX: usize = 32;

/// The value of Authorization, Proxy-Authorization, WWW-Authenticate, Proxy-Authenticate or Authentication-Info.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthParams<'a> {
    /// `Digest`, `NTLM`, …; empty for Authentication-Info.
    pub scheme: &'a str,
    /// Read once: who checks credentials asks for nearly all of them.
    list: List<'a>,
}

/// Names, and values as they are written. As many as clients send are kept in place.
type List<'a> = SmallVec<[(&'a str, &'a str); 12]>;

impl core::fmt::Debug for AuthParams<'_> {
    // A credential never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AuthParams")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl<'a> AuthParams<'a> {
    /// Reads `Scheme name=value, name="value"`. A scheme with a bare word instead of parameters (`Basic QWxh…`) is read
    /// as one without parameters. A parameter that stands twice is refused (RFC 7616 §3.4), and so are more than
    /// `AUTH_PARAMS_MAX`.
    pub fn parse(text: &'a str) -> Result<AuthParams<'a>, BadValue> {
        let text = grammar::trim(text);
        let (scheme, rest) = grammar::split(text, grammar::run(text, TOKEN));
        let rest = match rest.strip_prefix([' ', '\t']) {
            Some(rest) => grammar::trim_start(rest),
            None if rest.is_empty() => "",
            None => return Err(BadValue),
        };
        if scheme.is_empty() {
            return Err(BadValue);
        }
        // All that is of the class `VALUE` but has no '=' before its padding is a bare word.
        let bare = grammar::all(rest, VALUE) && !rest.trim_end_matches('=').contains('=');
        let list = if bare { List::new() } else { read(rest)? };
        Ok(AuthParams { scheme, list })
    }

    /// The value of a parameter, without quotes and escapes; names are compared without case.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.raw(name).map(grammar::unquote)
    }

    /// The value of a parameter as it is written, quotes and all: a quoted and an unquoted one may have to be told apart.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether the scheme is `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(name)
    }

    /// Each parameter: its name and its value as it is written, quotes and all.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'_, 'a> {
        self.list.iter().copied()
    }
}

/// The list, if each of its parameters is well-formed and alone.
fn read(mut rest: &str) -> Result<List<'_>, BadValue> {
    let mut list = List::new();
    while let Some((name, value, after)) = next(rest)? {
        let seen = list.iter().any(|(each, _)| each.eq_ignore_ascii_case(name));
        if seen || list.len() == AUTH_PARAMS_MAX {
            return Err(BadValue);
        }
        list.push((name, value));
        rest = after;
    }
    Ok(list)
}

/// Takes one parameter from the beginning: name, value, what follows. Empty elements are skipped.
#[allow(
    clippy::type_complexity,
    reason = "three parts that only this file takes apart"
)]
fn next(text: &str) -> Result<Option<(&str, &str, &str)>, BadValue> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    if text.is_empty() {
        return Ok(None);
    }
    let (name, rest) = grammar::split(text, grammar::run(text, TOKEN));
    let rest = grammar::trim_start(rest)
        .strip_prefix('=')
        .ok_or(BadValue)?;
    let rest = grammar::trim_start(rest);
    let end = match rest.as_bytes().first() {
        Some(b'"') => grammar::quoted_end(rest).ok_or(BadValue)?,
        _ => grammar::run(rest, VALUE),
    };
    let (value, rest) = grammar::split(rest, end);
    let rest = grammar::trim_start(rest);
    if name.is_empty() || value.is_empty() || !(rest.is_empty() || rest.starts_with(',')) {
        return Err(BadValue);
    }
    Ok(Some((name, value, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match AuthParams::parse(text) {
            Err(BadValue) => "bad".to_owned(),
            Ok(it) => it.iter().fold(it.scheme.to_owned(), |all, (name, value)| {
                format!("{all} {name}={}", grammar::unquote(value))
            }),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn credentials() {
        check(
            "Digest username=\"al\\\"ice\", realm=\"a,b\", nc=00000001,qop=auth",
            "Digest username=al\"ice realm=a,b nc=00000001 qop=auth",
        );
        check("NTLM  qop = \"auth\" ,, crand=ab", "NTLM qop=auth crand=ab");
        check("Digest", "Digest");
        check("Digest opaque=\"\"", "Digest opaque=");
        check("Basic QWxhZGRpbjpvcGVu==", "Basic");
        check(
            "NoOneKnowsThisScheme opaque-data=here",
            "NoOneKnowsThisScheme opaque-data=here",
        );
        check("Digest gssapi-data=\"TlRM==\"", "Digest gssapi-data=TlRM==");
    }

    #[test]
    fn no_credentials() {
        for text in [
            "",
            "\"x\"",
            "Digest a=\"b",
            "Digest a=b c=d",
            "Digest a b",
            "Digest =b",
            "Digest a=1, A=2",
            "Digest,a=b",
        ] {
            check(text, "bad");
        }
        let many =
            (0..=AUTH_PARAMS_MAX).fold("Digest ".to_owned(), |all, n| format!("{all}p{n}=1,"));
        check(&many, "bad");
    }

    #[test]
    fn credentials_are_not_printed() {
        let it = AuthParams::parse("Digest response=\"secret\"");
        assert!(!format!("{it:?}").contains("secret"));
    }
}
