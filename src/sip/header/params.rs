//! Header parameters: `;name=value;flag` (RFC 3261 §25.1, generic-param).

use std::borrow::Cow;

use super::BadValue;
use crate::sip::grammar::{self, TOKEN, VALUE};

/// A list of parameters, read in place. Names are compared without case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Reads `;a=b;c="d"`, or nothing at all; refuses what is no parameter list.
    pub fn parse(text: &'a str) -> Result<Params<'a>, BadValue> {
        Ok(Params::parse_for(text, "")?.0)
    }

    /// Reads them, and on the way the one that is wanted in any case: what `raw` says of `name`, with an empty text for a flag,
    /// for no value is empty.
    pub(super) fn parse_for(
        text: &'a str,
        name: &str,
    ) -> Result<(Params<'a>, Option<&'a str>), BadValue> {
        let text = grammar::trim(text);
        let (mut rest, mut wanted) = (text, None);
        while let Some((each, value, after)) = next(rest)? {
            if wanted.is_none() && grammar::same(each, name) {
                wanted = Some(value.unwrap_or(""));
            }
            rest = after;
        }
        Ok((Params(text), wanted))
    }

    /// The value of `name`: `None` when it is absent, `Some(None)` when it is a flag; a quoted value is given without
    /// quotes and escapes.
    pub fn get(&self, name: &str) -> Option<Option<Cow<'a, str>>> {
        Some(self.raw(name)?.map(grammar::unquote))
    }

    /// The value of `name` where there is one, without quotes and escapes.
    pub fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).flatten()
    }

    /// The value of `name` as it is written, quotes and all.
    pub fn raw(&self, name: &str) -> Option<Option<&'a str>> {
        self.iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether `name` is there, as a flag or with a value.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The text as it is written; empty, or beginning with a semicolon.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Each parameter in order: its name and its value as it is written.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (name, value, after) = next(rest).ok().flatten()?;
            rest = after;
            Some((name, value))
        })
    }
}

/// Takes one parameter from the beginning: name, value, what follows. `None` at the end.
#[allow(
    clippy::type_complexity,
    reason = "three parts that only this file takes apart"
)]
fn next(text: &str) -> Result<Option<(&str, Option<&str>, &str)>, BadValue> {
    let text = grammar::trim_start(text);
    if text.is_empty() {
        return Ok(None);
    }
    let text = grammar::trim_start(text.strip_prefix(';').ok_or(BadValue)?);
    let (name, rest) = grammar::split(text, grammar::run(text, TOKEN));
    if name.is_empty() {
        return Err(BadValue);
    }
    let rest = grammar::trim_start(rest);
    let Some(rest) = rest.strip_prefix('=') else {
        return Ok(Some((name, None, rest)));
    };
    let rest = grammar::trim_start(rest);
    let end = match rest.as_bytes().first() {
        Some(b'"') => grammar::quoted_end(rest).ok_or(BadValue)?,
        _ => grammar::run(rest, VALUE),
    };
    let (value, rest) = grammar::split(rest, end);
    if value.is_empty() {
        return Err(BadValue);
    }
    Ok(Some((name, Some(value), rest)))
}

/// Writes a text as a quoted string: quotes and backslashes escaped, control characters (which may not stand in one,
/// RFC 3261 §25.1) left out.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl core::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use core::fmt::Write;
        f.write_char('"')?;
        let mut rest = self.0;
        while let Some(at) = rest.find(|char: char| matches!(char, '"' | '\\') || char.is_control())
        {
            let (plain, special) = grammar::split(rest, at);
            f.write_str(plain)?;
            let mut chars = special.chars();
            match chars.next() {
                Some(char @ ('"' | '\\')) => {
                    f.write_char('\\')?;
                    f.write_char(char)?;
                }
                Some('\t') => f.write_char('\t')?,
                _ => {}
            }
            rest = chars.as_str();
        }
        f.write_str(rest)?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match Params::parse(text) {
            Err(BadValue) => "bad".to_owned(),
            Ok(params) => params
                .iter()
                .map(|(name, value)| match value {
                    None => format!("{name} "),
                    Some(value) => format!("{name}={} ", grammar::unquote(value)),
                })
                .collect(),
        };
        assert_eq!(found.trim_end(), expected, "{text}");
    }

    #[test]
    fn lists() {
        check("", "");
        check("  ", "");
        check(";a", "a");
        check(";a=b;c", "a=b c");
        check(" ; a = b ;c= \"d;e\\\"f\" ", "a=b c=d;e\"f");
        check(";received=2001:db8::9:255", "received=2001:db8::9:255");
        check(
            ";+sip.instance=\"<urn:uuid:1>\";reg-id=1",
            "+sip.instance=<urn:uuid:1> reg-id=1",
        );
        check(";a=", "bad");
        check(";;", "bad");
        check(";a;", "bad");
        check("a", "bad");
        check(";a b", "bad");
        check(";a=\"b", "bad");
        check(";a=b c=d", "bad");
        check(";a=<b>", "bad");
        check(";=b", "bad");
        check(";a=b,c=d", "bad");
    }

    #[test]
    fn names_have_no_case_and_flags_are_no_values() {
        let params = Params::parse(";LR;Tag=X;q=\"\"").unwrap_or_default();
        assert!(params.has("lr"));
        assert_eq!(params.get("lr"), Some(None));
        assert_eq!(params.raw("tag"), Some(Some("X")));
        assert_eq!(params.value("q").as_deref(), Some(""));
        assert_eq!(params.get("none"), None);
    }

    #[test]
    fn what_is_wanted_is_found_on_the_way() {
        for (text, expected) in [
            ("", None),
            (";a=b", None),
            (";a=b;TAG=x;tag=y", Some("x")),
            (";tag;tag=y", Some("")),
            (";tag=\"x\"", Some("\"x\"")),
        ] {
            let (params, tag) = Params::parse_for(text, "tag").unwrap_or_default();
            assert_eq!(tag, expected, "{text}");
            let raw = params.raw("tag").map(|value| value.unwrap_or(""));
            assert_eq!(tag, raw, "{text}");
        }
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for text in ["", "Alice", "a \"b\" \\c\\", "é日本", "tab\there"] {
            let written = Quoted(text).to_string();
            assert_eq!(grammar::unquote(&written), text);
            assert_eq!(grammar::quoted_end(&written), Some(written.len()));
        }
        assert_eq!(Quoted("a\r\nb\0").to_string(), "\"ab\"");
    }
}
