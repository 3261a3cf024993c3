//! SIP URIs and their comparison, and addresses of record (RFC 3261 §19.1, §10.3).
//!
//! A `Uri` is a view over its text: nothing is unescaped until asked for. What may be done with a scheme, and whether a
//! header or parameter makes sense somewhere, is not decided here.

mod aor;
mod compare;

use core::net::Ipv6Addr;
use std::borrow::Cow;

pub use aor::{AOR_BYTES_MAX, Aor};

use super::grammar::{self, HOST, PASSWORD, URI, USER};

/// The longest URI that is read, in bytes.
pub const URI_BYTES_MAX: usize = 4096;
/// The most parameters, and the most headers, that a URI may have.
pub const URI_PARAMS_MAX: usize = 32;

/// A URI's scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other.
    Other,
}

impl Scheme {
    /// How a URI of ours is written to whoever has this one: `sips:` to `sips:` (RFC 3261 §8.1.1.8, §12.1.1).
    pub fn like(uri: &str) -> Scheme {
        match grammar::split_once(uri, b':') {
            Some((scheme, _)) if grammar::same(scheme, "sips") => Scheme::Sips,
            _ => Scheme::Sip,
        }
    }
}

/// A text that is no URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadUri;

impl core::fmt::Display for BadUri {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not a URI")
    }
}

impl core::error::Error for BadUri {}

/// A URI, read in place (RFC 3261 §19.1). For `tel:` the number is `user`; for other schemes only `scheme` and `text`
/// count. `==` compares the text; whether two mean the same says `equivalent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// All of it as it is written.
    pub text: &'a str,
    /// The scheme.
    pub scheme: Scheme,
    /// The user as it is written (escapes kept); may be empty.
    pub user: &'a str,
    /// The password as it is written (RFC 3261 §19.1.1 advises against it).
    pub password: Option<&'a str>,
    /// The host as it is written, an IPv6 reference with its brackets.
    pub host: &'a str,
    /// The port.
    pub port: Option<u16>,
    /// The parameters as they are written: empty, or beginning with a semicolon.
    pub params: &'a str,
    /// The headers as they are written: empty, or beginning with a question mark.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Reads a URI of at most `URI_BYTES_MAX`. Wider than RFC 3261 in one way: parameters and headers may have some
    /// characters that should be escaped. Escapes must be whole everywhere.
    pub fn parse(text: &'a str) -> Result<Uri<'a>, BadUri> {
        let (scheme, rest) = grammar::split_once(text, b':').ok_or(BadUri)?;
        if text.len() > URI_BYTES_MAX || rest.is_empty() {
            return Err(BadUri);
        }
        let mut uri = Uri {
            text,
            scheme: Scheme::Other,
            user: "",
            password: None,
            host: "",
            port: None,
            params: "",
            headers: "",
        };
        if grammar::same(scheme, "sip") {
            uri.scheme = Scheme::Sip;
            uri.read_sip(rest)?;
        } else if grammar::same(scheme, "sips") {
            uri.scheme = Scheme::Sips;
            uri.read_sip(rest)?;
        } else if grammar::same(scheme, "tel") {
            uri.scheme = Scheme::Tel;
            uri.read_tel(rest)?;
        } else if !is_scheme(scheme)
            || !rest
                .bytes()
                .all(|byte| grammar::is(byte, URI) || b"?;%".contains(&byte))
        {
            return Err(BadUri);
        }
        Ok(uri)
    }

    /// `[user[:password]@]host[:port][;params][?headers]`. The first `@` ends the userinfo: a user may have `;` and `?`
    /// unescaped, but nothing may have a second `@`.
    fn read_sip(&mut self, rest: &'a str) -> Result<(), BadUri> {
        let hostport = match grammar::split_once(rest, b'@') {
            None => rest,
            Some((userinfo, hostport)) => {
                let (user, password) = match grammar::split_once(userinfo, b':') {
                    None => (userinfo, None),
                    Some((user, password)) => (user, Some(password)),
                };
                let readable = !user.is_empty()
                    && grammar::all_or_escaped(user, USER)
                    && password.is_none_or(|text| grammar::all_or_escaped(text, PASSWORD));
                if !readable {
                    return Err(BadUri);
                }
                self.user = user;
                self.password = password;
                hostport
            }
        };
        let (host, rest) = split_host(hostport)?;
        self.host = host;
        let rest = match rest.strip_prefix(':') {
            None => rest,
            Some(rest) => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, rest) = grammar::split(rest, digits);
                self.port = Some(digits.parse().map_err(|_| BadUri)?);
                rest
            }
        };
        self.read_tail(rest)
    }

    /// `number[;params]` (RFC 3966 §3).
    fn read_tel(&mut self, rest: &'a str) -> Result<(), BadUri> {
        let end = rest.find(';').unwrap_or(rest.len());
        let (number, rest) = grammar::split(rest, end);
        let fits = |byte: u8| byte.is_ascii_hexdigit() || b"*#-.()".contains(&byte);
        let number_fits = number.strip_prefix('+').unwrap_or(number).bytes().all(fits);
        if !number_fits || !number.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
            return Err(BadUri);
        }
        self.user = number;
        self.read_tail(rest)
    }

    /// `[;params][?headers]`.
    fn read_tail(&mut self, rest: &'a str) -> Result<(), BadUri> {
        if rest.is_empty() {
            return Ok(());
        }
        let end = grammar::find(rest, b'?').unwrap_or(rest.len());
        let (params, headers) = grammar::split(rest, end);
        if let Some(list) = params.strip_prefix(';') {
            let readable = |each: &str| {
                let (name, value) = grammar::split_once(each, b'=').unwrap_or((each, "-"));
                !name.is_empty() && !value.is_empty() && grammar::all_or_escaped(each, URI)
            };
            if !list.split(';').all(readable) || !stands_once(list) {
                return Err(BadUri);
            }
        } else if !params.is_empty() {
            return Err(BadUri);
        }
        if let Some(list) = headers.strip_prefix('?') {
            let readable = |each: &str| {
                each.find('=').is_some_and(|at| at > 0)
                    && each
                        .split('?')
                        .all(|part| grammar::all_or_escaped(part, URI))
            };
            let few = list.split('&').count() <= URI_PARAMS_MAX;
            if self.scheme == Scheme::Tel || !few || !list.split('&').all(readable) {
                return Err(BadUri);
            }
        }
        self.params = params;
        self.headers = headers;
        Ok(())
    }

    /// A parameter's value as it is written: `None` when absent, `Some(None)` for a flag. Names are compared without case.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.each_param()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// A parameter's value, unescaped. `None` when absent, a flag, or no UTF-8.
    pub fn param_value(&self, name: &str) -> Option<Cow<'a, str>> {
        unescape(self.param(name)??)
    }

    /// Each parameter in order: its name and value as they are written.
    pub fn each_param(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone + use<'a> {
        let list = self.params.strip_prefix(';').unwrap_or("");
        list.split(';')
            .filter(|each| !each.is_empty())
            .map(|each| match each.split_once('=') {
                None => (each, None),
                Some((name, value)) => (name, Some(value)),
            })
    }

    /// A header's value, unescaped (RFC 3261 §19.1.1). `None` when absent or when it is no UTF-8. It may hold any
    /// character, line ends too.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        self.each_header()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| unescape(value))
    }

    /// Each header in order: its name and value as they are written.
    pub fn each_header(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        let list = self.headers.strip_prefix('?').unwrap_or("");
        list.split('&').filter_map(|each| each.split_once('='))
    }

    /// The host as an IP address, where it is one.
    pub fn ip(&self) -> Option<core::net::IpAddr> {
        match self
            .host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(v6) => v6.parse().ok().map(core::net::IpAddr::V6),
            None => self.host.parse().ok().map(core::net::IpAddr::V4),
        }
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4; RFC 3966 §4 for `tel:`). For other schemes: whether they are
    /// written the same but for the scheme's case.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        compare::equivalent(self, other)
    }

    /// The address of record in this URI: `sip:` or `sips:` with a user, port and parameters dropped (RFC 3261 §10.3
    /// step 5). `None` without a user, and past `AOR_BYTES_MAX`.
    pub fn aor(&self) -> Option<Aor> {
        self.aor_text().map(|text| Aor::from_canonical(&text))
    }

    /// The same as text, to look something up without an allocation where the URI is already canonical.
    pub fn aor_text(&self) -> Option<Cow<'a, str>> {
        if !matches!(self.scheme, Scheme::Sip | Scheme::Sips) || self.user.is_empty() {
            return None;
        }
        let plain = grammar::find(self.user, b'%').is_none()
            && self.password.is_none()
            && self.host.bytes().all(|byte| !byte.is_ascii_uppercase())
            && !self.host.ends_with(['.', ']']);
        if plain {
            let start = grammar::offset(self.text, self.user);
            let text = self
                .text
                .get(start..start + self.user.len() + 1 + self.host.len())?;
            return (text.len() <= AOR_BYTES_MAX).then_some(Cow::Borrowed(text));
        }
        aor::canonical(self.user, self.host).map(Cow::Owned)
    }
}

/// Whether there are few enough parameters and none stands twice (RFC 3261 §19.1.1).
fn stands_once(list: &str) -> bool {
    let name = |each: &'_ str| each.find('=').unwrap_or(each.len());
    let mut rest = list;
    let mut count = 1;
    while let Some((first, others)) = grammar::split_once(rest, b';') {
        let (first, _) = grammar::split(first, name(first));
        let again = |other: &str| {
            grammar::split(other, name(other))
                .0
                .eq_ignore_ascii_case(first)
        };
        count += 1;
        if count > URI_PARAMS_MAX || others.split(';').any(again) {
            return false;
        }
        rest = others;
    }
    true
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Splits a host name, IPv4 address or IPv6 reference from what follows. Names are taken as they come in networks:
/// labels of letters, digits, hyphen and underscore, none of them empty; a dot may end it.
fn split_host(text: &str) -> Result<(&str, &str), BadUri> {
    if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']').ok_or(BadUri)?;
        let address = inner.get(..end).ok_or(BadUri)?;
        address.parse::<Ipv6Addr>().map_err(|_| BadUri)?;
        return Ok(grammar::split(text, end + 2));
    }
    let (mut end, mut before) = (0, b'.');
    for &byte in text.as_bytes() {
        if !grammar::is(byte, HOST) {
            break;
        }
        // A dot begins neither the host nor, after another dot, a label.
        if byte == b'.' && before == b'.' {
            return Err(BadUri);
        }
        before = byte;
        end += 1;
    }
    if end == 0 || text.starts_with('-') {
        return Err(BadUri);
    }
    Ok(grammar::split(text, end))
}

/// Without escapes; `None` where what they say is no UTF-8.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = grammar::escape_at(bytes, at);
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match Uri::parse(text) {
            Err(BadUri) => "bad".to_owned(),
            Ok(uri) => format!(
                "{:?} {}{} @{}{} {}{}",
                uri.scheme,
                uri.user,
                uri.password.map_or(String::new(), |it| format!(":{it}")),
                uri.host,
                uri.port.map_or(String::new(), |it| format!(":{it}")),
                uri.params,
                uri.headers
            ),
        };
        assert_eq!(found.trim_end(), expected, "{text}");
    }

    #[test]
    fn uris() {
        check("sip:alice@example.com", "Sip alice @example.com");
        check(
            "SIPS:alice:secret@Example.com:5061;transport=tls;lr?to=a%40b&x=",
            "Sips alice:secret @Example.com:5061 ;transport=tls;lr?to=a%40b&x=",
        );
        check("sip:example.com", "Sip  @example.com");
        check("sip:[2001:db8::10]:5060", "Sip  @[2001:db8::10]:5060");
        check("sip:a@[::1];x", "Sip a @[::1] ;x");
        check("sip:a;b=c?d/e@h", "Sip a;b=c?d/e @h");
        check(
            "sip:user;par=u%40example.net@example.com",
            "Sip user;par=u%40example.net @example.com",
        );
        check(
            "sip:+1-212-555-1212:1234@gw.com;user=phone",
            "Sip +1-212-555-1212:1234 @gw.com ;user=phone",
        );
        check(
            "sip:null-%00-null@example.com",
            "Sip null-%00-null @example.com",
        );
        check(
            "sip:a@h.;opaque=user:epid:Q_;gruu",
            "Sip a @h. ;opaque=user:epid:Q_;gruu",
        );
        check("sip:a@my_host", "Sip a @my_host");
        check("sip:a@h?Subject=what?", "Sip a @h ?Subject=what?");
        check(
            "tel:+1-201-555-0123;phone-context=x",
            "Tel +1-201-555-0123 @ ;phone-context=x",
        );
        check("tel:7042", "Tel 7042 @");
        check("nobodyKnowsThisScheme:totallyopaquecontent", "Other  @");
        check("urn:service:sos", "Other  @");
        check("soap.beep://192.0.2.103:3002", "Other  @");
    }

    #[test]
    fn no_uris() {
        for text in [
            "",
            "alice",
            "sip:",
            ":a",
            "sip:@h",
            "sip:a@",
            "sip:a@b@c",
            "sip:a@h:",
            "sip:a@h:65536",
            "sip:a@h:5x",
            "sip:a b@h",
            "sip:a@h;",
            "sip:a@h;;x",
            "sip:a@h;=x",
            "sip:a@h;x;y;X=1",
            "sip:a@h;x=",
            "sip:a@h?",
            "sip:a@h?x",
            "sip:a@h?=x",
            "sip:a%4@h",
            "sip:a%zz@h",
            "sip:%@h",
            "sip:a@h;x=%",
            "sip:a@h/path",
            "sip:a@.h",
            "sip:a@h..i",
            "sip:a@[::1",
            "sip:a@[zz]",
            "sip:a@[::1]x",
            "<sip:a@h>",
            "sip:a@h;x=<y>",
            "sip:é@h",
            "sip:a@hé",
            "sip:a\"@h",
            "tel:",
            "tel:+",
            "tel:abcxyz",
            "tel:1?x=y",
            "1x:y",
            "x:",
            "x:a b",
            "sip:a:b:c@h",
        ] {
            check(text, "bad");
        }
        check(&format!("sip:{}@h", "a".repeat(URI_BYTES_MAX)), "bad");
        let many = |count: usize| (0..count).fold(String::new(), |all, n| format!("{all};p{n}"));
        check(&format!("sip:h{}", many(URI_PARAMS_MAX + 1)), "bad");
        assert!(Uri::parse(&format!("sip:h{}", many(URI_PARAMS_MAX))).is_ok());
    }

    #[test]
    fn parameters_and_headers() {
        let uri =
            Uri::parse("sip:a@h;Transport=TLS;lr?Replaces=a%3Bto-tag%3D1&bad=%ff&Subject=x%20y");
        let uri = uri.expect("a URI");
        assert_eq!(uri.param("transport"), Some(Some("TLS")));
        assert_eq!(uri.param("LR"), Some(None));
        assert_eq!(uri.param("tr"), None);
        assert_eq!(uri.header("replaces").as_deref(), Some("a;to-tag=1"));
        assert_eq!(uri.header("subject").as_deref(), Some("x y"));
        assert_eq!(uri.header("bad"), None);
        assert_eq!(uri.header("none"), None);
    }
}
