//! Name and address: From, To, Contact, Route and their like (RFC 3261 §20.10).

use std::borrow::Cow;

use super::{BadValue, Params};
use crate::sip::grammar::{self, INSIDE, TOKEN};
use crate::sip::uri::{Aor, BadUri, Uri};

/// A URI with a display name and header parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NameAddr<'a> {
    /// The display name as it is written, quotes and all; empty where there is none.
    pub display: &'a str,
    /// The URI as it is written, without brackets. It has no blanks; whether it is a URI says `uri()`.
    pub uri: &'a str,
    /// The header parameters, not those of the URI.
    pub params: Params<'a>,
    /// What they say of `tag`; empty for a flag.
    tag: Option<&'a str>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value, with or without brackets. Without them the URI ends at the first semicolon, and one with a
    /// question mark or comma is refused (RFC 3261 §20.10). Raw UTF-8 in an unquoted display name is let through.
    pub fn parse(text: &'a str) -> Result<NameAddr<'a>, BadValue> {
        let text = grammar::trim(text);
        let (display, rest) = if text.starts_with('"') {
            let (display, rest) = grammar::split(text, grammar::quoted_end(text).ok_or(BadValue)?);
            (display, grammar::trim_start(rest))
        } else {
            // Up to the first byte that can't be in a display name: a bracket, or the colon of a bare URI's scheme.
            let end = text
                .bytes()
                .take_while(|&byte| {
                    grammar::is(byte, TOKEN) || grammar::is_blank(byte) || !byte.is_ascii()
                })
                .count();
            let (display, rest) = grammar::split(text, end);
            if rest.starts_with(':') {
                return NameAddr::bare(text);
            }
            (grammar::trim(display), rest)
        };
        let rest = rest.strip_prefix('<').ok_or(BadValue)?;
        let (uri, rest) = grammar::split(rest, grammar::run(rest, INSIDE));
        let rest = rest.strip_prefix('>').ok_or(BadValue)?;
        NameAddr::with(display, uri, rest)
    }

    fn bare(text: &'a str) -> Result<NameAddr<'a>, BadValue> {
        let end = text
            .bytes()
            .take_while(|&byte| byte != b';' && !grammar::is_blank(byte))
            .count();
        let (uri, rest) = grammar::split(text, end);
        let fits = |byte| grammar::is(byte, INSIDE) && !matches!(byte, b'?' | b',');
        if !uri.bytes().all(fits) {
            return Err(BadValue);
        }
        NameAddr::with("", uri, rest)
    }

    fn with(display: &'a str, uri: &'a str, params: &'a str) -> Result<NameAddr<'a>, BadValue> {
        if uri.is_empty() {
            return Err(BadValue);
        }
        let (params, tag) = Params::parse_for(params, "tag")?;
        Ok(NameAddr {
            display,
            uri,
            params,
            tag,
        })
    }

    /// The `tag` parameter (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&'a str> {
        self.tag.filter(|tag| !tag.is_empty())
    }

    /// Is `tag` absent or a token? One without a value would be no tag to us and one to the peer.
    pub(in crate::sip) fn tag_fits(&self) -> bool {
        self.tag
            .is_none_or(|tag| !tag.is_empty() && !tag.starts_with('"'))
    }

    /// Whose address of record the value `text` has; `None` where it has none.
    pub fn aor_in(text: &str) -> Option<Aor> {
        NameAddr::parse(text).ok()?.uri().ok()?.aor()
    }

    /// The URI, read.
    pub fn uri(&self) -> Result<Uri<'a>, BadUri> {
        Uri::parse(self.uri)
    }

    /// The display name without quotes and escapes; empty where there is none.
    pub fn display_name(&self) -> Cow<'a, str> {
        grammar::unquote(self.display)
    }
}

impl core::fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if !self.display.is_empty() {
            write!(f, "{} ", self.display)?;
        }
        write!(f, "<{}>{}", self.uri, self.params.as_str())
    }
}

/// The most contacts that one message may carry.
pub const CONTACTS_MAX: usize = 64;

/// What the Contact lines of a message say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Contacts<'a> {
    /// `Contact: *`, all bindings (RFC 3261 §10.2.2).
    Star,
    /// The contacts in order, at most `CONTACTS_MAX`; may be empty.
    List(smallvec::SmallVec<[NameAddr<'a>; 2]>),
}

impl<'a> Contacts<'a> {
    /// Reads all values of Contact of one message. A star that is not alone, an unreadable value or too many: bad.
    pub(crate) fn read(values: impl Iterator<Item = &'a str>) -> Result<Contacts<'a>, BadValue> {
        let mut list = smallvec::SmallVec::new();
        let mut star = false;
        for value in values {
            if star || list.len() == CONTACTS_MAX {
                return Err(BadValue);
            }
            if value == "*" && list.is_empty() {
                star = true;
            } else {
                list.push(NameAddr::parse(value)?);
            }
        }
        Ok(if star {
            Contacts::Star
        } else {
            Contacts::List(list)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match NameAddr::parse(text) {
            Err(BadValue) => "bad".to_owned(),
            Ok(it) => format!("{}|{}|{}", it.display_name(), it.uri, it.params.as_str()),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn addresses() {
        check("<sip:a@b>", "|sip:a@b|");
        check("sip:a@b", "|sip:a@b|");
        check("sip:a@b;tag=1", "|sip:a@b|;tag=1");
        check("sip:a@b ; tag=1", "|sip:a@b|; tag=1");
        check("<sip:a@b;lr>;tag=1", "|sip:a@b;lr|;tag=1");
        check("Alice <sip:a@b>", "Alice|sip:a@b|");
        check("caller<sip:a@b>", "caller|sip:a@b|");
        check("The Operator <sip:a@b> ;x", "The Operator|sip:a@b|;x");
        check("\"A, \\\"B\\\" <c>\" <sip:a@b>", "A, \"B\" <c>|sip:a@b|");
        check("\"A\"<sip:a@b?x=y>", "A|sip:a@b?x=y|");
        check("É <sip:a@b>", "É|sip:a@b|");
        check("isbn:2983792873", "|isbn:2983792873|");
    }

    #[test]
    fn no_addresses() {
        for text in [
            "",
            "alice",
            "<>",
            "\"A <sip:a@b>",
            "A, B <sip:a@b>",
            "< sip:a@b>",
            "<sip:a@b >",
            "<sip:a@b",
            "sip:a@b?x=y",
            "<sip:a@b> junk",
            "<sip:a@b>;;",
            "\"A\" sip:a@b",
            "sip:a b@c",
            "*",
        ] {
            check(text, "bad");
        }
    }

    #[test]
    fn a_star_stands_alone() {
        assert_eq!(Contacts::read(["*"].into_iter()), Ok(Contacts::Star));
        assert_eq!(Contacts::read(["*", "<sip:a>"].into_iter()), Err(BadValue));
        assert_eq!(Contacts::read(["<sip:a>", "*"].into_iter()), Err(BadValue));
        assert!(Contacts::read(core::iter::repeat_n("<sip:a>", CONTACTS_MAX)).is_ok());
        assert!(Contacts::read(core::iter::repeat_n("<sip:a>", CONTACTS_MAX + 1)).is_err());
    }
}
