//! The start line (RFC 3261 §7.1, §7.2).

use super::{Fault, Method};
use crate::sip::grammar::{self, TOKEN};
use crate::sip::uri::{Scheme, Uri};

/// A start line, read. What is not there is empty; what could not be read too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start<'a> {
    /// Zero for a request.
    pub(super) status: u16,
    pub(super) method: Method,
    pub(super) method_text: &'a str,
    pub(super) uri: &'a str,
    pub(super) reason: &'a str,
}

impl<'a> Start<'a> {
    fn request(method_text: &'a str, uri: &'a str) -> Start<'a> {
        Start {
            status: 0,
            method: Method::parse(method_text),
            method_text,
            uri,
            reason: "",
        }
    }

    /// Reads the line without its end. Even a bad one gives what can be used to answer: the method, if it is one.
    /// Exactly one space stands between the parts (RFC 4475 §3.1.2.8 and following).
    pub(super) fn read(line: &'a str) -> (Start<'a>, Option<Fault>) {
        if is_status_line(line) {
            return Start::read_status(line);
        }
        let (method, rest) = grammar::split_once(line, b' ').unwrap_or((line, ""));
        let method = if grammar::all(method, TOKEN) {
            method
        } else {
            ""
        };
        let (uri, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        let start = Start::request(method, uri);
        let fault = if method.is_empty() || uri.is_empty() || uri.bytes().any(grammar::is_blank) {
            Some(Fault::StartLine)
        } else {
            version_fault(version).or_else(|| uri_fault(uri))
        };
        (start, fault)
    }

    fn read_status(line: &'a str) -> (Start<'a>, Option<Fault>) {
        let mut start = Start {
            // Never seen: a bad response is not given away.
            status: 999,
            ..Start::request("", "")
        };
        let (version, rest) = grammar::split_once(line, b' ').unwrap_or((line, ""));
        // Without a reason phrase the second space is often missing, too.
        let (code, reason) = grammar::split_once(rest, b' ').unwrap_or((rest, ""));
        let status = (code.len() == 3).then(|| grammar::decimal(code)).flatten();
        let status = status.and_then(|status| u16::try_from(status).ok());
        match status {
            Some(status @ 100..=699) => {
                start.status = status;
                start.reason = reason;
                (start, version_fault(version))
            }
            _ => (start, version_fault(version).or(Some(Fault::StartLine))),
        }
    }
}

/// Whether a start line begins as a response's does.
pub(super) fn is_status_line(line: &str) -> bool {
    line.get(..4)
        .is_some_and(|word| grammar::same(word, "SIP/"))
}

fn version_fault(version: &str) -> Option<Fault> {
    if grammar::same(version, "SIP/2.0") {
        return None;
    }
    let number = version.get(4..).filter(|_| is_status_line(version));
    let is_version = number
        .and_then(|number| number.split_once('.'))
        .is_some_and(|(major, minor)| {
            grammar::decimal(major).is_some() && grammar::decimal(minor).is_some()
        });
    Some(if is_version {
        Fault::Version
    } else {
        Fault::StartLine
    })
}

/// A Request-URI has no headers (RFC 3261 §19.1.1, table 1).
fn uri_fault(uri: &str) -> Option<Fault> {
    match Uri::parse(uri) {
        Ok(uri) if uri.headers.is_empty() || !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) => {
            None
        }
        _ => Some(Fault::RequestUri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let found = match Start::read(line) {
            (start, None) if start.status == 0 => format!("{} {}", start.method_text, start.uri),
            (start, None) => format!("{} {}", start.status, start.reason),
            (start, Some(fault)) => format!("{} {fault:?}", start.method_text),
        };
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn start_lines() {
        check("INVITE sip:a@b SIP/2.0", "INVITE sip:a@b");
        check("!x*-~'` urn:x sip/2.0", "!x*-~'` urn:x");
        check("SIP/2.0 200 OK", "200 OK");
        check("SIP/2.0 100 ", "100 ");
        check("SIP/2.0 100", "100 ");
        check("SIP/2.0 200 = 2**3 * 5**2 но", "200 = 2**3 * 5**2 но");
    }

    #[test]
    fn bad_start_lines() {
        check("", " StartLine");
        check("INVITE", "INVITE StartLine");
        check("INVITE sip:a@b", "INVITE StartLine");
        check("INVITE  sip:a@b SIP/2.0", "INVITE StartLine");
        check("INVITE sip:a@b  SIP/2.0", "INVITE StartLine");
        check("INVITE sip:a@b SIP/2.0 ", "INVITE StartLine");
        check("INVITE sip:a@b; lr SIP/2.0", "INVITE StartLine");
        check("INVITE <sip:a@b> SIP/2.0", "INVITE RequestUri");
        check("INVITE sip:a@b?Route=x SIP/2.0", "INVITE RequestUri");
        check("INVITE a SIP/2.0", "INVITE RequestUri");
        check("IN,VITE sip:a@b SIP/2.0", " StartLine");
        check("INVITE sip:a@b SIP/7.0", "INVITE Version");
        check("INVITE sip:a@b SIP/x", "INVITE StartLine");
        check("GET / HTTP/1.1", "GET StartLine");
        check("SIP/3.0 200 OK", " Version");
        check(
            "SIP/2.0 4294967301 better not break the receiver",
            " StartLine",
        );
        check("SIP/2.0 099 x", " StartLine");
        check("SIP/2.0 700 x", " StartLine");
        check("SIP/2.0", " StartLine");
    }
}
