//! Values separated by commas (RFC 3261 §7.3.1).

use crate::sip::grammar;

/// The values of one line, split at commas outside quotes and angle brackets, without surrounding white space; empty
/// ones are left out. Not for Authorization and its like, whose commas separate parameters.
pub fn split_values(line: &str) -> impl Iterator<Item = &str> + Clone {
    Values { rest: line }
}

#[derive(Clone)]
struct Values<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let end = match memchr::memchr(b',', self.rest.as_bytes()) {
                Some(_) => comma(self.rest.as_bytes()),
                None => self.rest.len(),
            };
            let (value, rest) = grammar::split(self.rest, end);
            self.rest = rest.get(1..).unwrap_or("");
            let value = grammar::trim(value);
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// Where the first comma is that separates values, or the end.
fn comma(bytes: &[u8]) -> usize {
    let mut quoted = false;
    let mut bracketed = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The tokens of lines such as Supported, Require, Allow: split at commas.
pub fn tokens<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines
        .flat_map(|line| line.split(','))
        .map(grammar::trim)
        .filter(|token| !token.is_empty())
}

/// Whether one of the tokens of these lines is `token`, without case (RFC 3261 §7.3.1). Not for Allow, whose methods have
/// a case.
pub fn has_token<'a>(lines: impl Iterator<Item = &'a str>, token: &str) -> bool {
    tokens(lines).any(|each| each.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        for (line, expected) in [
            ("", ""),
            (" , ,, ", ""),
            ("a", "a"),
            ("a, b ,c", "a|b|c"),
            (
                "<sip:a,b@c>, \"x,y\" <sip:d>;p=\"1,2\"",
                "<sip:a,b@c>|\"x,y\" <sip:d>;p=\"1,2\"",
            ),
            ("\"a\\\",b\", c", "\"a\\\",b\"|c"),
            ("\"<\" <sip:a>, b", "\"<\" <sip:a>|b"),
            ("<never closed, x", "<never closed, x"),
        ] {
            assert_eq!(
                split_values(line).collect::<Vec<_>>().join("|"),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn option_tags_have_no_case() {
        let lines = ["path, Outbound", "", "gruu"];
        assert!(has_token(lines.into_iter(), "outbound"));
        assert!(!has_token(lines.into_iter(), "out"));
        assert_eq!(tokens(lines.into_iter()).count(), 3);
    }
}
