//! What every model client needs: reading what the server sends, answering it, and proving who it is.
//! It is written with the server's `sip` room for reading only; what it sends it writes out itself.

// By its path, because benches bring this file in from elsewhere.
#[path = "client/ntlm.rs"]
pub mod ntlm;

use std::fmt::Write as _;

use muster::sip::frame::{Cut, FrameState, Limits, cut};
use muster::sip::header::{AuthParams, NameAddr, Via};
use muster::sip::message::Message;

/// A message as a client heard it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Of a request, or of the CSeq of a response.
    pub method: String,
    /// The Request-URI; empty for a response.
    pub uri: String,
    /// None for a request.
    pub status: Option<u16>,
    /// The reason phrase of a response.
    pub reason: String,
    /// Long names and values, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Heard {
    /// Reads one framed message.
    ///
    /// # Panics
    /// Where the server sent what is no message: that is a bug of the server. A 400 may repeat the bad header that it is about.
    pub fn read(mut bytes: Vec<u8>) -> Heard {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let heard = Heard::split(&text)
            .unwrap_or_else(|| panic!("the server sent what is no message:\n{text}"));
        if let Err(malformed) = Message::parse(&mut bytes)
            && heard.status != Some(400)
        {
            panic!(
                "the server sent what is no message ({:?}):\n{text}",
                malformed.fault
            );
        }
        heard
    }

    /// Line by line; the server writes one header a line and long names.
    fn split(text: &str) -> Option<Heard> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.splitn(3, ' ');
        let (first, second, third) = (start.next()?, start.next()?, start.next().unwrap_or(""));
        let header = |line: &str| {
            line.split_once(':')
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        };
        let headers: Vec<_> = lines.map(header).collect::<Option<_>>()?;
        let body = body.as_bytes().to_owned();
        if first != "SIP/2.0" {
            return Some(Heard {
                method: first.into(),
                uri: second.into(),
                status: None,
                reason: String::new(),
                headers,
                body,
            });
        }
        let cseq = headers
            .iter()
            .find(|(name, _)| name == "CSeq")
            .map_or("", |(_, value)| value);
        let method = cseq.split_whitespace().nth(1).unwrap_or("").to_owned();
        let status = Some(second.parse().ok()?);
        Some(Heard {
            method,
            uri: String::new(),
            status,
            reason: third.to_owned(),
            headers,
            body,
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or("")
    }

    pub fn cseq(&self) -> u32 {
        self.header("CSeq")
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    }

    pub fn branch(&self) -> String {
        self.header("Via")
            .and_then(|text| Via::parse(text).ok())
            .map_or(String::new(), |via| via.branch().to_owned())
    }

    #[expect(clippy::wrong_self_convention, reason = "From is the header's name")]
    pub fn from_tag(&self) -> String {
        tag(self.header("From").unwrap_or(""))
    }

    pub fn to_tag(&self) -> String {
        tag(self.header("To").unwrap_or(""))
    }

    /// The URI of the first Contact.
    pub fn contact(&self) -> Option<String> {
        Some(
            NameAddr::parse(self.header("Contact")?)
                .ok()?
                .uri
                .to_owned(),
        )
    }

    /// The body as text with plain line ends and without the last.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .replace("\r\n", "\n")
            .trim_end_matches('\n')
            .to_owned()
    }

    /// In one line, for a report.
    pub fn title(&self) -> String {
        match self.status {
            Some(status) => format!("{status} {} to {}", self.reason, self.method),
            None => format!("{} {}", self.method, self.uri),
        }
    }

    /// In full, for a report.
    pub fn full(&self) -> String {
        let mut text = format!("{}\n", self.title());
        for (name, value) in &self.headers {
            let _ = writeln!(text, "  {name}: {value}");
        }
        let _ = write!(text, "\n{}", String::from_utf8_lossy(&self.body));
        text
    }

    /// Writes a response to this request. `tag` goes into To where that has none; `headers` are whole lines.
    pub fn response(
        &self,
        status: u16,
        reason: &str,
        tag: &str,
        headers: &str,
        body: &str,
    ) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} {reason}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in self.all(name) {
                let add = if name == "To" && self.to_tag().is_empty() {
                    format!(";tag={tag}")
                } else {
                    String::new()
                };
                let _ = write!(text, "{name}: {value}{add}\r\n");
            }
        }
        let _ = write!(
            text,
            "{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        text.into_bytes()
    }
}

pub fn tag(value: &str) -> String {
    NameAddr::parse(value)
        .ok()
        .and_then(|value| value.tag())
        .unwrap_or("")
        .to_owned()
}

/// The bytes that came on one connection, cut into messages.
#[derive(Default, Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    state: FrameState,
}

impl Inbox {
    /// Takes bytes in; gives the messages that are whole now. Keep-alives are left out.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.bytes.extend_from_slice(bytes);
        let limits = Limits {
            body_bytes_max: 1 << 20,
            ..Limits::default()
        };
        let mut heard = Vec::new();
        loop {
            let taken = match cut(&self.bytes, &limits, &mut self.state) {
                Cut::Need(_) => return heard,
                Cut::Ping(count) | Cut::Pong(count) => count,
                Cut::Message { total, .. } => {
                    heard.push(Heard::read(self.bytes[..total].to_vec()));
                    total
                }
                refused @ Cut::Refuse { .. } => {
                    panic!(
                        "the server sent what cannot be framed ({refused:?}):\n{}",
                        String::from_utf8_lossy(&self.bytes)
                    )
                }
            };
            self.bytes.drain(..taken);
            self.state = FrameState::default();
        }
    }
}

/// The value of Authorization that answers the first challenge of a 401 that a client with both hashes knows.
pub fn authorization(
    unauthorized: &Heard,
    method: &str,
    uri: &str,
    user: &str,
    password: &str,
    count: u32,
) -> Option<String> {
    unauthorized.all("WWW-Authenticate").find_map(|line| {
        let challenge = AuthParams::parse(line).ok().filter(|challenge| challenge.is("Digest"))?;
        let algorithm = challenge.get("algorithm").map_or("MD5".into(), |name| name.to_ascii_uppercase());
        let hash: fn(String) -> String = match &*algorithm {
            "MD5" => |text| hexadecimal(&<md5::Md5 as md5::Digest>::digest(text)),
            "SHA-256" => |text| hexadecimal(&<sha2::Sha256 as sha2::Digest>::digest(text)),
            _ => return None,
        };
        let (realm, nonce) = (challenge.get("realm")?, challenge.get("nonce")?);
        let ha1 = hash(format!("{user}:{realm}:{password}"));
        let ha2 = hash(format!("{method}:{uri}"));
        let response = hash(format!("{ha1}:{nonce}:{count:08x}:c0ffee:auth:{ha2}"));
        Some(format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
             algorithm={algorithm}, qop=auth, nc={count:08x}, cnonce=\"c0ffee\""
        ))
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
