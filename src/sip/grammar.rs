//! The character classes and small steps that all of SIP's grammar is made of (RFC 3261 §25.1).
//! Nothing here knows a header; nothing here allocates unless a text has escapes.

use std::borrow::Cow;

/// `token`: names of headers, parameters, methods.
pub(super) const TOKEN: u8 = 1;
/// What may stand unescaped in the user part of a URI: unreserved and user-unreserved.
pub(super) const USER: u8 = 1 << 1;
/// What may stand unescaped in a password.
pub(super) const PASSWORD: u8 = 1 << 2;
/// Host names and IPv4 addresses. The underscore is in no standard and in many networks.
pub(super) const HOST: u8 = 1 << 3;
/// What we take in URI parameters and headers, and in the opaque part of other URIs: wider than the standard
/// (which would have `@`, `,` and a few more escaped), but never a bracket, quote, blank or control.
pub(super) const URI: u8 = 1 << 4;
/// An unquoted parameter value: token, host and what peers put there without quotes (`=` of base64, `:`, `/`, `@`).
pub(super) const VALUE: u8 = 1 << 5;
/// RFC 3261's `unreserved`: an escape of these equals the character itself.
pub(super) const UNRESERVED: u8 = 1 << 6;
/// What may stand between the brackets of an address, before anybody has looked whether it is a URI: no blank, control, quote or
/// bracket. Bytes beyond ASCII may.
pub(super) const INSIDE: u8 = 1 << 7;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = TOKEN | USER | PASSWORD | HOST | URI | VALUE | UNRESERVED;
        }
        if byte > b' ' as usize && !matches!(byte as u8, 0x7f | b'<' | b'>' | b'"') {
            table[byte] |= INSIDE;
        }
        byte += 1;
    }
    add(&mut table, b"-.!%*_+`'~", TOKEN | VALUE);
    add(&mut table, b"-_.!~*'()", USER | PASSWORD | UNRESERVED);
    add(&mut table, b"&=+$,;?/", USER);
    add(&mut table, b"&=+$,", PASSWORD);
    add(&mut table, b"-._", HOST);
    add(&mut table, b"-_.!~*'()[]/:&+$=,@|{}#", URI);
    add(&mut table, b"[]:/@=&$#?(){}|^\\", VALUE);
    table
}

const fn add(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] |= class;
        index += 1;
    }
}

/// Whether `byte` is of one of the classes.
#[inline]
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether all bytes are of the class; an empty text is not of any.
#[inline]
pub(super) fn all(text: &str, class: u8) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is(byte, class))
}

/// Whether all bytes are of the class or belong to a `%HH` escape; an empty text is fine.
pub(super) fn all_or_escaped(text: &str, class: u8) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if is(byte, class) {
            at += 1;
        } else if escape_at(bytes, at).is_some() {
            at += 3;
        } else {
            return false;
        }
    }
    true
}

/// The byte that the escape at `at` means, if there is one.
#[inline]
pub(super) fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    if bytes.get(at) != Some(&b'%') {
        return None;
    }
    let high = char::from(*bytes.get(at + 1)?).to_digit(16)?;
    let low = char::from(*bytes.get(at + 2)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// How many bytes at the beginning are of the class. Most runs are short: a plain loop in place beats several bytes at a time.
#[inline]
pub(super) fn run(text: &str, class: u8) -> usize {
    text.bytes().take_while(|&byte| is(byte, class)).count()
}

/// Space or tab: all the white space there is after unfolding.
#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Without blanks at both ends.
#[inline]
pub(super) fn trim(text: &str) -> &str {
    let text = trim_start(text);
    if !text.as_bytes().last().is_some_and(|&byte| is_blank(byte)) {
        return text;
    }
    let blanks = text.bytes().rev().take_while(|&byte| is_blank(byte));
    split(text, text.len() - blanks.count()).0
}

/// Without blanks at the beginning.
#[inline]
pub(super) fn trim_start(text: &str) -> &str {
    if !text.as_bytes().first().is_some_and(|&byte| is_blank(byte)) {
        return text;
    }
    let blanks = text.bytes().take_while(|&byte| is_blank(byte));
    split(text, blanks.count()).1
}

/// Whether two texts are the same without case. Nearly always they are the same with it, which is one comparison of many bytes.
#[inline]
pub(crate) fn same(one: &str, other: &str) -> bool {
    one == other || one.eq_ignore_ascii_case(other)
}

/// Where an ASCII `byte` is first. The texts are short: a plain loop beats a search that has to be set up.
#[inline]
pub(super) fn find(text: &str, byte: u8) -> Option<usize> {
    text.bytes().position(|each| each == byte)
}

/// What is before and after the first `byte`, which is ASCII.
#[inline]
pub(super) fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = find(text, byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Splits at `at`, which must be a boundary; all and nothing where it is not.
#[inline]
pub(super) fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Where the quoted string at the beginning of `text` ends: the index after its closing quote.
/// `None` where there is no opening or no closing quote.
pub(super) fn quoted_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A value without its quotes and backslashes; as it is where it is not quoted.
pub(super) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.extend(chars.next()),
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

/// A decimal number of digits only; more than fits counts as the most that fits.
pub(super) fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |number, byte| {
        byte.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
    })
}

/// Where `part`, a piece of `whole`, begins in it.
#[inline]
pub(super) fn offset(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_end_at_their_own_quote() {
        for (text, end) in [
            (r#""""#, Some(2)),
            (r#""a\"b" <"#, Some(6)),
            (r#""a\\" b"#, Some(5)),
            (r#""a"#, None),
            (r#""a\"#, None),
            (r#"a"#, None),
        ] {
            assert_eq!(quoted_end(text), end, "{text}");
        }
        assert_eq!(unquote(r#""a\"b\\c""#), r#"a"b\c"#);
        assert_eq!(unquote("plain"), "plain");
    }

    #[test]
    fn a_run_ends_at_the_first_byte_of_another_class() {
        for length in 0..20 {
            let text = "a".repeat(length);
            assert_eq!(run(&text, TOKEN), length);
            for at in 0..length {
                for other in [" ", "é"] {
                    let text = format!("{}{other}{}", &text[..at], &text[at..]);
                    assert_eq!(run(&text, TOKEN), at, "{text}");
                    assert!(!all(&text, TOKEN) && !all_or_escaped(&text, TOKEN));
                }
                let text = format!("{}%4a%4B{}", &text[..at], &text[at..]);
                assert!(all_or_escaped(&text, USER), "{text}");
                assert!(!all_or_escaped(&text[..at + 2], USER), "{text}");
            }
        }
    }

    #[test]
    fn numbers_never_wrap() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(decimal("-1"), None);
        assert_eq!(decimal(""), None);
        assert_eq!(decimal("1 "), None);
    }
}
