//! Where a user's home is, if it is not this server: who registers here is sent there.

use core::fmt;

/// Bytes of a host's name (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Another server: its name or address, and perhaps a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    host: Box<str>,
    port: Option<u16>,
}

impl Home {
    /// Reads `HOST` or `HOST:PORT`; an IPv6 address stands in brackets. `None` for what is no such thing.
    pub fn parse(text: &str) -> Option<Home> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port > 0)?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let fine = match bare {
            Some(address) => address.parse::<core::net::Ipv6Addr>().is_ok(),
            None => host.split('.').all(is_label),
        };
        (fine && host.len() <= HOST_BYTES_MAX).then(|| Home {
            host: host.to_ascii_lowercase().into(),
            port,
        })
    }

    /// The URI that a client is sent to (RFC 3261 §21.3.2). By TLS: that is the port which every server has.
    pub fn uri(&self) -> String {
        format!("sip:{self};transport=tls")
    }
}

fn is_label(label: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(fits)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_perhaps_a_port() {
        for (text, uri) in [
            ("fe02.example.com", "sip:fe02.example.com;transport=tls"),
            (
                "FE02.example.com:5061",
                "sip:fe02.example.com:5061;transport=tls",
            ),
            ("192.0.2.7:443", "sip:192.0.2.7:443;transport=tls"),
            ("[2001:db8::7]", "sip:[2001:db8::7];transport=tls"),
            ("[2001:db8::7]:5061", "sip:[2001:db8::7]:5061;transport=tls"),
        ] {
            let home = Home::parse(text).expect(text);
            assert_eq!(home.uri(), uri);
            assert_eq!(Home::parse(&home.to_string()), Some(home));
        }
        let long = format!("{}.com", "a.".repeat(130));
        for bad in [
            "",
            ":5061",
            "a:",
            "a:0",
            "a:70000",
            "a:+5",
            "a b",
            "a;b",
            "a..b",
            "-a",
            "2001:db8::7",
            "[x]",
            "sip:a",
            "a>",
            &long,
        ] {
            assert_eq!(Home::parse(bad), None, "{bad}");
        }
    }
}
