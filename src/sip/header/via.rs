//! Via (RFC 3261 §20.42).

use super::{BadValue, Params, split_values};
use crate::sip::grammar::{self, HOST, TOKEN};

/// One value of Via.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Via<'a> {
    /// `TLS`, `TCP`, `UDP`, ….
    pub transport: &'a str,
    /// `host:port` as it is written.
    pub sent_by: &'a str,
    /// The host of `sent_by`, brackets kept.
    pub host: &'a str,
    /// The port of `sent_by`.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, ….
    pub params: Params<'a>,
    branch: &'a str,
}

impl<'a> Via<'a> {
    /// Reads the first value of a line. Nearly always the line is one alone, and then it need not be split to see that: a comma
    /// that ends a value can stand in none but between brackets, whatever is there.
    pub fn first(line: &'a str) -> Result<Via<'a>, BadValue> {
        match Via::parse(line) {
            Ok(via) if !via.host.starts_with('[') => Ok(via),
            _ => Via::parse(split_values(line).next().ok_or(BadValue)?),
        }
    }

    /// Reads one value. Blanks may stand around the slashes and the colon; any protocol and version is taken, because a
    /// Via is the business of whoever wrote it.
    pub fn parse(text: &'a str) -> Result<Via<'a>, BadValue> {
        // As nearly everybody writes it, or token by token.
        let rest = match text.strip_prefix("SIP/2.0/") {
            Some(rest) => rest,
            None => slash(slash(text)?)?,
        };
        let rest = grammar::trim_start(rest);
        let (transport, rest) = grammar::split(rest, grammar::run(rest, TOKEN));
        let start = grammar::trim_start(rest);
        if transport.is_empty() || start.len() == rest.len() {
            return Err(BadValue);
        }
        let (host, rest) = grammar::split(start, host_end(start)?);
        let after = grammar::trim_start(rest);
        let (port, end, rest) = match after.strip_prefix(':') {
            None => (None, host.len(), rest),
            Some(after) => {
                let digits = grammar::trim_start(after);
                let count = digits.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, rest) = grammar::split(digits, count);
                let port = digits.parse().map_err(|_| BadValue)?;
                (Some(port), start.len() - rest.len(), rest)
            }
        };
        let (params, branch) = Params::parse_for(rest, "branch")?;
        Ok(Via {
            transport,
            sent_by: grammar::split(start, end).0,
            host,
            port,
            params,
            branch: branch.unwrap_or(""),
        })
    }

    /// The branch: with the cookie `z9hG4bK` it names the transaction (RFC 3261 §8.1.1.7). Empty where there is none.
    pub fn branch(&self) -> &'a str {
        self.branch
    }
}

/// Takes a token and the slash after it.
fn slash(text: &str) -> Result<&str, BadValue> {
    let text = grammar::trim_start(text);
    let (token, rest) = grammar::split(text, grammar::run(text, TOKEN));
    if token.is_empty() {
        return Err(BadValue);
    }
    grammar::trim_start(rest).strip_prefix('/').ok_or(BadValue)
}

/// Where the host at the beginning ends.
fn host_end(text: &str) -> Result<usize, BadValue> {
    let end = if text.starts_with('[') {
        text.find(']').map_or(0, |at| at + 1)
    } else {
        grammar::run(text, HOST)
    };
    if end == 0 { Err(BadValue) } else { Ok(end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        let found = match Via::parse(text) {
            Err(BadValue) => "bad".to_owned(),
            Ok(it) => format!(
                "{}|{}|{}|{}|{}",
                it.transport,
                it.sent_by,
                it.host,
                it.port.map_or("-".to_owned(), |port| port.to_string()),
                it.branch()
            ),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn vias() {
        check(
            "SIP/2.0/TLS a.example.com;branch=z9hG4bK1",
            "TLS|a.example.com|a.example.com|-|z9hG4bK1",
        );
        check(
            "SIP/2.0/TCP 192.0.2.1:5061;rport;branch=x",
            "TCP|192.0.2.1:5061|192.0.2.1|5061|x",
        );
        check(
            "SIP  / 2.0  / UDP   host : 5060 ; branch = x",
            "UDP|host : 5060|host|5060|x",
        );
        check(
            "SIP/2.0/TLS [2001:db8::9:1]:5061;received=2001:db8::9:255",
            "TLS|[2001:db8::9:1]:5061|[2001:db8::9:1]|5061|",
        );
        check(
            "SIP/2.0/UNKNOWN t4.example.com",
            "UNKNOWN|t4.example.com|t4.example.com|-|",
        );
    }

    proptest! {
        /// The line taken apart by hand: what is one value alone is the first.
        #[test]
        fn the_first_of_a_line_is_what_it_begins_with(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "SIP/2.0/TLS", "SIP / 2.0 /TCP", " ", " ", "h", "192.0.2.1", "[::1]", "[a,b]", "[\"]", "[<]", "[", "]", ":5061", ":",
                ";", ";branch=z9", ";rport", ";a=\"b,c\"", ";a=\"\\\"\"", "=", "\"", "\\", "<", ">", ",", ", ", ",SIP/2.0/TLS h", "\t", "é",
            ]), 0..9),
            begins in proptest::sample::select(vec!["", "SIP/2.0/TLS h", "SIP/2.0/TLS ", "SIP/2.0/TLS ["]),
        ) {
            let line = format!("{begins}{}", parts.concat());
            let first = split_values(&line).next();
            prop_assert_eq!(Via::first(&line), first.map_or(Err(BadValue), Via::parse), "{}", line);
        }
    }

    #[test]
    fn no_vias() {
        for text in [
            "",
            "SIP/2.0",
            "SIP/2.0/TLS",
            "SIP/2.0/TLShost",
            "SIP/2.0/TLS ;branch=1",
            "SIP/2.0/TLS host:;branch=1",
            "SIP/2.0/TLS host:99999",
            "SIP/2.0/TLS host;;",
            "SIP/2.0/TLS host branch",
            "SIP/2.0/TLS [::1",
        ] {
            check(text, "bad");
        }
    }
}
