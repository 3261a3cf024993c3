//! Session descriptions (RFC 4566), as far as sessions of instant messages need them: `m=message PORT sip null`
//! with `a=accept-types`. An offer is read into its media lines; the answer has as many, in the same order (RFC 3264 §6).
//!
//! Media other than messages are answered with port 0 here: calls are between their ends, and this server is in none.

use core::net::IpAddr;

use smallvec::SmallVec;

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/sdp";

/// Bytes of one description.
pub const BYTES_MAX: usize = 16 * 1024;
/// Lines of one description.
pub const LINES_MAX: usize = 512;
/// Media lines of one description.
pub const MEDIA_MAX: usize = 16;

/// Why a description was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not a session description.
    Malformed,
    /// More bytes, lines or media than this server looks at.
    TooLong,
    /// A fine description with nothing in it that this server can take part in.
    NotAcceptable,
}

impl Fault {
    /// The status of the answer: 400 for what is no description, 488 for one that does not suit (RFC 3261 §21.4.26).
    pub fn status(self) -> u16 {
        match self {
            Fault::Malformed => 400,
            Fault::TooLong => 413,
            Fault::NotAcceptable => 488,
        }
    }

    /// A few words for a reason phrase or a `Warning`.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Malformed => "Malformed SDP",
            Fault::TooLong => "SDP Too Long",
            Fault::NotAcceptable => "Not Acceptable Here",
        }
    }
}

/// What a media line is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Instant messages.
    Message,
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Anything else.
    Other,
}

/// One media line of a description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Media<'a> {
    /// What it is for.
    pub kind: Kind,
    /// The word that says so.
    pub name: &'a str,
    /// Where; 0 rejects it.
    pub port: u16,
    /// How it is carried: `sip`, `RTP/AVP`, `TCP/MSRP`, …
    pub transport: &'a str,
    /// The rest of the line; never empty.
    pub formats: &'a str,
    /// `a=accept-types`, or empty. Types separated by spaces; `*` takes all.
    pub accept_types: &'a str,
}

impl Media<'_> {
    /// Messages carried by SIP itself, not rejected: what this server takes part in.
    pub fn is_messages_over_sip(&self) -> bool {
        self.kind == Kind::Message && self.port != 0 && self.transport.eq_ignore_ascii_case("sip")
    }

    /// May a body of this type (`text/plain`, without parameters) be sent here (RFC 4975 §8.6)?
    pub fn accepts(&self, media_type: &str) -> bool {
        if self.accept_types.is_empty() {
            return media_type.eq_ignore_ascii_case("text/plain");
        }
        self.accept_types.split_ascii_whitespace().any(|accepted| {
            accepted == "*"
                || accepted.eq_ignore_ascii_case(media_type)
                || accepted.strip_suffix("/*").is_some_and(|family| {
                    media_type
                        .split_once('/')
                        .is_some_and(|(ours, _)| ours.eq_ignore_ascii_case(family))
                })
        })
    }
}

/// A description as read: a view over its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description<'a> {
    /// The origin's session id and version (`o=`), as written.
    pub origin: &'a str,
    /// The value of the first `t=` line; an answer repeats it (RFC 3264 §6).
    pub timing: &'a str,
    /// At most `MEDIA_MAX`.
    pub media: SmallVec<[Media<'a>; 2]>,
}

impl<'a> Description<'a> {
    /// Reads a description. Lines may end in LF alone.
    pub fn read(bytes: &'a [u8]) -> Result<Description<'a>, Fault> {
        if bytes.len() > BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| Fault::Malformed)?;
        let mut description = Description {
            origin: "",
            timing: "0 0",
            media: SmallVec::new(),
        };
        let mut named = false;
        let mut timed = false;
        for (index, line) in text.trim_end_matches(['\r', '\n']).split('\n').enumerate() {
            if index >= LINES_MAX {
                return Err(Fault::TooLong);
            }
            let (kind, value) = split_line(line)?;
            match kind {
                // The version comes first, and there is only one (RFC 4566 §5.1).
                b'v' if index == 0 && value == "0" => {}
                _ if index == 0 => return Err(Fault::Malformed),
                b'v' => return Err(Fault::Malformed),
                b'o' if value.split(' ').filter(|word| !word.is_empty()).count() == 6 => {
                    description.origin = value;
                }
                b'o' => return Err(Fault::Malformed),
                b's' => named = true,
                b't' if !timed => {
                    timed = true;
                    description.timing = value;
                }
                b'm' if description.media.len() >= MEDIA_MAX => return Err(Fault::TooLong),
                b'm' => description.media.push(read_media(value)?),
                b'a' => {
                    if let Some(media) = description.media.last_mut()
                        && let Some(types) = value.strip_prefix("accept-types:")
                    {
                        media.accept_types = types.trim();
                    }
                }
                _ => {}
            }
        }
        if description.origin.is_empty() || !named {
            return Err(Fault::Malformed);
        }
        Ok(description)
    }

    /// The first media line that this server takes part in.
    pub fn messages(&self) -> Result<&Media<'a>, Fault> {
        self.media
            .iter()
            .find(|media| media.is_messages_over_sip())
            .ok_or(Fault::NotAcceptable)
    }
}

/// This server's side of a description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ours<'a> {
    /// Our address on the connection that carries the dialog.
    pub address: IpAddr,
    /// Our port there; it is only named, messages come on the connection that carries the dialog.
    pub port: u16,
    /// A number for the session, the same in all descriptions of one dialog.
    pub id: u64,
    /// Rises with each description in one dialog that says something new.
    pub version: u32,
    /// What we take, separated by spaces.
    pub accept_types: &'a str,
}

/// Appends an offer to `out`.
pub fn write_offer(out: &mut Vec<u8>, ours: &Ours<'_>) {
    write_head(out, ours, "0 0");
    write_messages(out, ours);
}

/// Appends the answer to `offer`: its first `m=message … sip` is taken, all other media are rejected, order kept.
/// 488 where there is none; then nothing is written.
pub fn write_answer(
    out: &mut Vec<u8>,
    offer: &Description<'_>,
    ours: &Ours<'_>,
) -> Result<(), Fault> {
    offer.messages()?;
    write_head(out, ours, offer.timing);
    let mut taken = false;
    for media in &offer.media {
        if !taken && media.is_messages_over_sip() {
            taken = true;
            write_messages(out, ours);
        } else {
            line(
                out,
                format_args!("m={} 0 {} {}", media.name, media.transport, media.formats),
            );
        }
    }
    Ok(())
}

fn write_head(out: &mut Vec<u8>, ours: &Ours<'_>, timing: &str) {
    let family = match ours.address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    let (id, version, address) = (ours.id, ours.version, ours.address);
    line(out, format_args!("v=0"));
    // Many clients hold the id in 63 bits.
    let id = id & (u64::MAX >> 1);
    line(
        out,
        format_args!("o=- {id} {version} IN {family} {address}"),
    );
    line(out, format_args!("s=-"));
    line(out, format_args!("c=IN {family} {address}"));
    line(out, format_args!("t={timing}"));
}

fn write_messages(out: &mut Vec<u8>, ours: &Ours<'_>) {
    line(out, format_args!("m=message {} sip null", ours.port));
    line(out, format_args!("a=accept-types:{}", ours.accept_types));
}

fn line(out: &mut Vec<u8>, text: core::fmt::Arguments<'_>) {
    out.extend_from_slice(text.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn split_line(line: &str) -> Result<(u8, &str), Fault> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.as_bytes() {
        [kind @ b'a'..=b'z', b'=', ..] => {
            let value = line.get(2..).ok_or(Fault::Malformed)?;
            // Also in what an answer repeats: no line end may hide in a value.
            if value.bytes().any(|b| matches!(b, 0 | b'\r')) {
                return Err(Fault::Malformed);
            }
            Ok((*kind, value))
        }
        _ => Err(Fault::Malformed),
    }
}

/// `<media> <port>[/<count>] <transport> <format> …` (RFC 4566 §5.14).
fn read_media(value: &str) -> Result<Media<'_>, Fault> {
    let mut words = value.splitn(4, ' ');
    let mut word = || {
        words
            .next()
            .filter(|word| !word.is_empty())
            .ok_or(Fault::Malformed)
    };
    let (name, port, transport, formats) = (word()?, word()?, word()?, word()?);
    let port = port.split('/').next().unwrap_or("");
    Ok(Media {
        kind: match name {
            "message" => Kind::Message,
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            _ => Kind::Other,
        },
        name,
        port: port.parse().map_err(|_| Fault::Malformed)?,
        transport,
        formats,
        accept_types: "",
    })
}

#[cfg(test)]
mod tests;
