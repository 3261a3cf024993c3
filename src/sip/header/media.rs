//! Media types and what a peer accepts (RFC 3261 §20.1, §20.15).

use super::{BadValue, Params, split_values};
use crate::sip::grammar::{self, TOKEN};

/// The value of Content-Type, or one range of Accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaType<'a> {
    /// `application`, or `*` in a range.
    pub kind: &'a str,
    /// `pidf+xml`, or `*` in a range.
    pub subtype: &'a str,
    /// `;charset=utf-8`.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads `type/subtype;params`.
    pub fn parse(text: &'a str) -> Result<MediaType<'a>, BadValue> {
        let text = grammar::trim(text);
        let (kind, rest) = grammar::split(text, grammar::run(text, TOKEN));
        let rest = grammar::trim_start(rest)
            .strip_prefix('/')
            .ok_or(BadValue)?;
        let rest = grammar::trim_start(rest);
        let (subtype, rest) = grammar::split(rest, grammar::run(rest, TOKEN));
        if kind.is_empty() || subtype.is_empty() {
            return Err(BadValue);
        }
        Ok(MediaType {
            kind,
            subtype,
            params: Params::parse(rest)?,
        })
    }

    /// Whether it is `full` (`"application/pidf+xml"`), without case and whatever the parameters.
    pub fn is(&self, full: &str) -> bool {
        grammar::split_once(full, b'/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// As a range: how exactly it names `full`, 3 for the type itself, 1 for `*/*`, 0 for not at all.
    fn closeness(&self, full: &str) -> u8 {
        let kind = full.split_once('/').map_or(full, |(kind, _)| kind);
        if self.is(full) {
            3
        } else if self.subtype != "*" {
            0
        } else if self.kind.eq_ignore_ascii_case(kind) {
            2
        } else {
            u8::from(self.kind == "*")
        }
    }

    /// The `q` parameter in thousandths; 1000 where it is absent or unreadable.
    fn quality(&self) -> u16 {
        let Some(Some(text)) = self.params.raw("q") else {
            return 1000;
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(3);
        match (whole, fraction.bytes().all(|byte| byte.is_ascii_digit())) {
            ("0", true) => digits.fold(0, |all, digit| all * 10 + u16::from(digit - b'0')),
            _ => 1000,
        }
    }
}

/// How much a peer that sent these Accept lines wants `full` (`"application/pidf+xml"`): 0 (refused) to 1000; the most
/// specific range decides. No lines at all: `None`, and the method's default counts (RFC 3261 §20.1). An unreadable range
/// is as if it were not there.
pub fn accept_quality<'a>(lines: impl Iterator<Item = &'a str>, full: &str) -> Option<u16> {
    let mut found = None;
    let mut closest = 0;
    for line in lines {
        found.get_or_insert(0);
        for range in split_values(line).filter_map(|value| MediaType::parse(value).ok()) {
            let closeness = range.closeness(full);
            if closeness > closest {
                closest = closeness;
                found = Some(range.quality());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for (text, expected) in [
            ("text/plain", "text plain "),
            (
                "Text / Plain ; charset = \"UTF-8\"",
                "Text Plain ; charset = \"UTF-8\"",
            ),
            ("text", "bad"),
            ("text/", "bad"),
            ("/plain", "bad"),
            ("text/plain;", "bad"),
            ("text/plain, a/b", "bad"),
        ] {
            let found = MediaType::parse(text).map_or("bad".to_owned(), |it| {
                format!("{} {} {}", it.kind, it.subtype, it.params.as_str())
            });
            assert_eq!(found, expected, "{text}");
        }
        assert!(MediaType::parse("TEXT/plain").is_ok_and(|it| it.is("text/PLAIN")));
    }

    #[test]
    fn the_most_specific_range_decides() {
        let quality =
            |lines: &[&str]| accept_quality(lines.iter().copied(), "application/pidf+xml");
        for (lines, expected) in [
            (&[][..], None),
            (&[""], Some(0)),
            (&["*/*"], Some(1000)),
            (&["text/*"], Some(0)),
            (&["application/*;q=0.5"], Some(500)),
            (&["*/*", "application/pidf+xml;q=0"], Some(0)),
            (
                &["application/pidf+xml;q=0.25, application/*;q=1"],
                Some(250),
            ),
            (&["text/plain", "Application/PIDF+xml"], Some(1000)),
            (&["junk, */*;q=0.1234"], Some(123)),
            (&["application/pidf+xml;q=high"], Some(1000)),
        ] {
            assert_eq!(quality(lines), expected, "{lines:?}");
        }
    }
}
