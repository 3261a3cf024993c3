//! COMPAT(SIPE, 1.25): it signs what it finds by the first `<`, the first `;tag=` and the first comma of a line, whatever is
//! quoted there, and knows no compact names. Where that is not what RFC 3261 says, it takes our signature for a wrong one and
//! signs its user off: one call by somebody named "Bob <Work>" would do. So what is signed is written so that both read the
//! same: a URI in brackets, its tag behind it, and no display name. A dialog's identity stays, which is tags and Call-ID.

use core::ops::Range;

use super::signed::line;
use crate::sip::header::{Name, NameAddr, split_values};

/// What SIPE takes for URI and tag of From or To.
pub(super) fn address(value: &str) -> (&str, &str) {
    (part(value, "<", '>'), part(value, ";tag=", ';'))
}

/// What it takes for the SIP URI and the telephone URI of P-Asserted-Identity.
pub(super) fn identity(value: &str) -> (&str, &str) {
    let is = |uri: &str, scheme: &str| {
        let start = uri.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if is(value, "tel:") {
        return ("", value);
    }
    let first = |scheme: &str| {
        let mut uris = value.split(',').map(|value| part(value, "<", '>'));
        uris.find(|uri| is(uri, scheme)).unwrap_or_default()
    };
    (first("sip:"), first("tel:"))
}

/// What it takes for number and method of CSeq.
pub(super) fn cseq(value: &str) -> (&str, &str) {
    value.split_once(' ').unwrap_or((value, ""))
}

/// What stands after `before`, up to `after` or the end; empty where there is no `before`.
fn part<'a>(value: &'a str, before: &str, after: char) -> &'a str {
    value.split_once(before).map_or("", |(_, rest)| {
        rest.split_once(after).map_or(rest, |(part, _)| part)
    })
}

/// Appends to `bytes` the message in `bytes[message]` as SIPE reads it rightly. Where that is then.
pub(super) fn write(bytes: &mut Vec<u8>, message: Range<usize>) -> Range<usize> {
    let Some(source) = bytes.get(message).map(<[u8]>::to_vec) else {
        return 0..0;
    };
    let from = bytes.len();
    let mut rest = &source[..];
    while let Some(line) = line(&mut rest) {
        bytes.extend_from_slice(plain(line).as_deref().unwrap_or(line).as_bytes());
        bytes.extend_from_slice(b"\r\n");
        if line.is_empty() {
            break;
        }
    }
    bytes.extend_from_slice(rest);
    from..bytes.len()
}

/// A line as it is to be written; `None` where it stays as it is.
fn plain(line: &str) -> Option<String> {
    let (name, value) = line.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    let name = Name::parse(name.trim_end_matches([' ', '\t']));
    let value = match name {
        Name::Other => return None,
        Name::From | Name::To => {
            let address = NameAddr::parse(value).ok()?;
            let mut plain = bracketed(address.uri);
            if let Some(tag) = address.tag() {
                plain.push_str(";tag=");
                plain.push_str(tag);
            }
            for (name, value) in address.params.iter() {
                // A quoted value may say `;tag=` once more.
                let is_plain = value.is_none_or(|value| !value.starts_with('"'));
                if is_plain && !name.eq_ignore_ascii_case("tag") {
                    plain.push(';');
                    plain.push_str(name);
                    if let Some(value) = value {
                        plain.push('=');
                        plain.push_str(value);
                    }
                }
            }
            plain
        }
        Name::PAssertedIdentity => {
            let uris = split_values(value).filter_map(|value| NameAddr::parse(value).ok());
            let uris: Vec<String> = uris
                .map(|address| bracketed(address.uri).replace(',', "%2C"))
                .collect();
            uris.join(", ")
        }
        Name::CSeq => {
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            words.join(" ")
        }
        _ => value.to_owned(),
    };
    Some(format!("{}: {value}", name.as_str()))
}

/// A URI in brackets, whose own parameter is not taken for the address's tag.
fn bracketed(uri: &str) -> String {
    format!("<{}>", uri.replace(";tag=", ";%74ag="))
}
