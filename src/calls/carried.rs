//! What of a message goes along from one client of a call to another: its header lines as they were written, and its body.
//!
//! What belongs to a hop is left out here and written anew where the message goes out: the topmost Via, Max-Forwards, our own
//! Route and Record-Route, Content-Length (RFC 3261 §16.6, §16.7). So is what only this server may say (`only_ours`), and all
//! that proves or asks who somebody is (`between_client_and_us`).

use std::sync::Arc;

use crate::documents::multipart;
use crate::documents::sdp::{Description, Kind};
use crate::sip::build;
use crate::sip::dialog::{Dialog, ROUTE_BYTES_MAX, Texts};
use crate::sip::header::{Contacts, DialogRef, MediaType, Name, NameAddr, has_token};
use crate::sip::message::{Message, Method};
use crate::sip::uri::Uri;

/// Header lines and body of one message, copied once however many get it.
#[derive(Clone, PartialEq, Eq)]
pub struct Carried {
    bytes: Arc<[u8]>,
    head_bytes: usize,
}

impl core::fmt::Debug for Carried {
    // What people say to each other never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Carried")
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Carried {
    fn new(head: Vec<u8>, body: &[u8]) -> Carried {
        let mut bytes = head;
        let head_bytes = bytes.len();
        bytes.extend_from_slice(body);
        Carried {
            bytes: bytes.into(),
            head_bytes,
        }
    }

    /// Whole header lines, each with its CR LF.
    pub fn lines(&self) -> &[u8] {
        self.bytes.get(..self.head_bytes).unwrap_or(&[])
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.head_bytes..).unwrap_or(&[])
    }

    /// What of a request goes along. `ours` says which route is. How it has come here only this server knows, which sends calls on
    /// (Diversion, RFC 5806; History-Info, RFC 7044); in an answer both say where a client would have it go, or repeat ours.
    pub fn request(message: &Message<'_>, ours: impl Fn(&str) -> bool) -> Carried {
        let mut head = Vec::with_capacity(message.head().len() + 64);
        build::vias(&mut head, message);
        let mut routed = false;
        for (name, text, value) in message.all() {
            match name {
                Name::Via
                | Name::MaxForwards
                | Name::ContentLength
                | Name::Diversion
                | Name::HistoryInfo => continue,
                _ if only_ours(name, text) || between_client_and_us(name, text) => continue,
                Name::Route if !routed => {
                    routed = true;
                    // Our own is the first, if it is there at all (RFC 3261 §16.4).
                    let first = crate::sip::header::split_values(value).next().unwrap_or("");
                    if ours(first) {
                        let rest = value
                            .split_once(first)
                            .map_or("", |(_, rest)| rest)
                            .trim_start_matches([' ', '\t', ',']);
                        if !rest.is_empty() {
                            line(&mut head, text, rest);
                        }
                        continue;
                    }
                }
                _ => {}
            }
            line(&mut head, text, value);
        }
        Carried::new(head, message.body())
    }

    /// What of a response goes along; who passes it on writes what each response repeats. The Record-Route that `ours`
    /// says is ours becomes `route`: what the other side of us reaches us by (RFC 3261 §16.7 step 8).
    fn response(message: &Message<'_>, ours: impl Fn(&str) -> bool, route: &str) -> Carried {
        let mut head = Vec::with_capacity(message.head().len());
        for (name, text, value) in message.all() {
            match name {
                Name::Via
                | Name::From
                | Name::To
                | Name::CallId
                | Name::CSeq
                | Name::ContentLength => {}
                _ if only_ours(name, text) || between_client_and_us(name, text) => {}
                Name::RecordRoute => {
                    for value in crate::sip::header::split_values(value) {
                        line(&mut head, text, if ours(value) { route } else { value });
                    }
                }
                _ => line(&mut head, text, value),
            }
        }
        Carried::new(head, message.body())
    }
}

/// Whether a header says who somebody is: then it is this server's to say, by P-Asserted-Identity (RFC 3325 §5), and phones show
/// the one that came before that just as well.
fn only_ours(name: Name, text: &str) -> bool {
    matches!(name, Name::PAssertedIdentity | Name::PPreferredIdentity)
        || name == Name::Other && text.eq_ignore_ascii_case("Remote-Party-ID")
}

/// Whether a header proves who somebody is, asks for it, or signs the message: never carried, whatever its realm.
///
/// Each client has proved to us who it is, and the other side is told so by P-Asserted-Identity. An old signature is worth
/// nothing beside ours, and a client of Lync's hangs up over it: it takes Proxy-Authentication-Info for the signature before
/// Authentication-Info. Nor do endpoints challenge each other here (RFC 3261 §22.1), for nobody has a password for anybody else's
/// phone: most clients would answer a foreign realm with the one they have, for the challenger to guess it from.
fn between_client_and_us(name: Name, text: &str) -> bool {
    matches!(
        name,
        Name::Authorization
            | Name::ProxyAuthorization
            | Name::AuthenticationInfo
            | Name::WwwAuthenticate
            | Name::ProxyAuthenticate
    ) || name == Name::Other && text.eq_ignore_ascii_case("Proxy-Authentication-Info")
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// An answer on its way back through the call; also one that this server gives itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// 101 to 699.
    pub status: u16,
    /// The reason phrase; empty for the standard's.
    pub reason: Box<str>,
    /// The To tag; empty for none.
    pub tag: Box<str>,
    /// The Contact's URI; empty for none.
    pub contact: Box<str>,
    /// True where the Contact is a focus (`isfocus`, RFC 4579 §5.1): whoever is called is a conference.
    pub focus: bool,
    /// The route set beyond us, for requests of our own; empty for none.
    pub routes: Box<str>,
    /// After how many seconds it may be tried again, where this server says so (RFC 3261 §20.33).
    pub retry_after_s: Option<u32>,
    /// What goes along; `None` for an answer of this server.
    pub carried: Option<Carried>,
}

impl Answer {
    /// An answer of this server.
    pub fn of(status: u16, reason: &str) -> Answer {
        Answer {
            status,
            reason: reason.into(),
            tag: "".into(),
            contact: "".into(),
            focus: false,
            routes: "".into(),
            retry_after_s: None,
            carried: None,
        }
    }

    /// A client's answer. `ours` tells our own Record-Route, which becomes `route` on the way back. A challenge goes to nobody
    /// (`between_client_and_us`): without one a 401 makes a client ask again for ever, so it reads as it does for messages.
    pub fn read(message: &Message<'_>, ours: impl Fn(&str) -> bool, route: &str) -> Answer {
        if is_challenge(message) {
            return Answer::of(480, "");
        }
        let (contact, focus) = contact(message);
        // From us to them: what stands above ours, the nearest to us first (RFC 3261 §12.1.2).
        let mut beyond: Vec<&str> = message
            .values(Name::RecordRoute)
            .take_while(|value| !ours(value))
            .collect();
        beyond.reverse();
        let routes = beyond.join(", ");
        Answer {
            status: message.status().unwrap_or_default(),
            reason: message.reason().into(),
            tag: message.to().tag().unwrap_or_default().into(),
            contact: contact.into(),
            focus,
            routes: if routes.len() <= ROUTE_BYTES_MAX {
                routes.into()
            } else {
                "".into()
            },
            retry_after_s: None,
            carried: Some(Carried::response(message, ours, route)),
        }
    }

    /// Its place among final answers of several branches, the lowest is the best (RFC 3261 §16.7 step 6): one that speaks for
    /// the whole user, then a redirection, then what tells the caller how to ask better, then what says most of the person.
    pub fn rank(&self) -> u8 {
        match self.status {
            600.. => 0,
            ..400 => 1,
            415 | 420 | 484 => 2,
            486 => 3,
            480 => 5,
            408 => 6,
            487 => 7,
            481 => 8,
            400..500 => 4,
            _ => 9,
        }
    }
}

/// Whether an endpoint asks whoever calls it for a password.
pub fn is_challenge(message: &Message<'_>) -> bool {
    matches!(message.status(), Some(401 | 407))
}

/// The Contact's URI and whether it is a focus; empty where there is none that can be read.
fn contact<'a>(message: &Message<'a>) -> (&'a str, bool) {
    match message.contacts() {
        Ok(Contacts::List(list)) => list.first().map_or(("", false), |contact| {
            if contact.uri().is_ok() {
                (contact.uri, contact.params.has("isfocus"))
            } else {
                ("", false)
            }
        }),
        _ => ("", false),
    }
}

/// The dialog that an INVITE replaces (RFC 3891), as whoever gets it sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: Box<str>,
    /// The tag of whoever gets the INVITE.
    pub own_tag: Box<str>,
    /// The other's.
    pub other_tag: Box<str>,
}

impl Replaces {
    /// What an INVITE replaces: `None` where it replaces nothing.
    ///
    /// # Errors
    /// Where the header can't be read.
    pub fn read(message: &Message<'_>) -> Result<Option<Replaces>, crate::sip::header::BadValue> {
        let Some(value) = message.header(Name::Replaces) else {
            return Ok(None);
        };
        let named = DialogRef::parse(value)?;
        Ok(Some(Replaces {
            call_id: named.call_id.into(),
            own_tag: named.local_tag.into(),
            other_tag: named.remote_tag.into(),
        }))
    }
}

/// An INVITE that rings: shared by all its branches.
#[derive(Debug)]
pub struct Invite {
    /// What goes along.
    pub carried: Carried,
    /// What Max-Forwards says on the way out.
    pub max_forwards: u8,
    /// The caller as others see them, for P-Asserted-Identity; empty where the caller wants no name told (RFC 3325 §9.3).
    pub identity: Box<str>,
    /// The dialog as the callee will see it: From and its tag, To, Call-ID, and the INVITE's CSeq.
    pub dialog: Dialog,
    /// By which the caller reaches us, in angle brackets.
    pub route: Box<str>,
    /// True where the caller is a focus (`isfocus`, RFC 4579 §5.1): whoever answers is in a conference.
    pub focus: bool,
    /// The dialog that it replaces.
    pub replaces: Option<Replaces>,
}

impl Invite {
    /// The dialog that an INVITE asks for, as whoever gets it sees it: ours to say BYE in.
    pub fn dialog(message: &Message<'_>) -> Dialog {
        let texts = Texts {
            call_id: message.call_id(),
            local: &without_tag(&message.from()),
            local_tag: message.from().tag().unwrap_or_default(),
            remote: &without_tag(&message.to()),
            target: message.uri(),
            ..Texts::default()
        };
        Dialog::new(&texts, message.cseq().number, None)
    }

    /// Whether it comes from a focus.
    pub fn is_from_focus(message: &Message<'_>) -> bool {
        contact(message).1
    }

    /// Whether an INVITE begins a call of somebody who does not say in it who they are (RFC 3323 §4.1).
    pub fn is_anonymous(message: &Message<'_>) -> bool {
        message.method() == Method::Invite
            && message.to().tag().is_none()
            && is_nobody(message.from().uri)
            && Invite::is_private(message)
            && is_call(message)
    }

    /// Whether the caller wants no name told (RFC 3323 §4.2, RFC 3325 §9.3).
    pub fn is_private(message: &Message<'_>) -> bool {
        message
            .headers(Name::Privacy)
            .flat_map(|line| line.split(';'))
            .any(|token| token.trim().eq_ignore_ascii_case("id"))
    }
}

/// Whether a URI is that of who does not say who they are (RFC 3323 §4.1.1.3).
pub fn is_nobody(uri: &str) -> bool {
    Uri::parse(uri).is_ok_and(|uri| {
        uri.user.eq_ignore_ascii_case("anonymous")
            && uri.host.eq_ignore_ascii_case("anonymous.invalid")
    })
}

/// A name-addr as From or To says it, but for its tag.
fn without_tag(address: &NameAddr<'_>) -> Box<str> {
    let space = if address.display.is_empty() { "" } else { " " };
    format!("{}{space}<{}>", address.display, address.uri).into()
}

/// A request in a call's dialog, on its way to the other side.
#[derive(Debug)]
pub struct Passing {
    /// Its method.
    pub method: Method,
    /// The same as text.
    pub method_text: Box<str>,
    /// The Request-URI: the other side's Contact, as the sender knows it.
    pub uri: Box<str>,
    /// The sender's tag: which of the receiver's dialogs it is.
    pub from_tag: Box<str>,
    /// The receiver's tag.
    pub to_tag: Box<str>,
    /// Its number.
    pub cseq: u32,
    /// What Max-Forwards says on the way out.
    pub max_forwards: u8,
    /// The sender as others see them.
    pub identity: Box<str>,
    /// True where it is the last word on a REFER.
    pub ends_refer: bool,
    /// What goes along.
    pub carried: Carried,
    /// True where who called says it, false where who was called does.
    pub caller: bool,
    /// True where it is a message, which the call's record counts; false for a signal, and for all else.
    pub counts: bool,
}

/// Whether a request is the last word on a REFER: a NOTIFY that ends its subscription (RFC 3515 §2.4.5).
pub fn ends_refer(message: &Message<'_>) -> bool {
    let begins = |name: Name, word: &str| {
        let value = message.header(name).unwrap_or_default();
        let first = value.split(';').next().unwrap_or_default();
        first.trim().eq_ignore_ascii_case(word)
    };
    message.method() == Method::Notify
        && begins(Name::Event, "refer")
        && begins(Name::SubscriptionState, "terminated")
}

/// What Max-Forwards says after one more hop (RFC 3261 §16.6 step 3). Zero was refused before.
pub fn one_hop_less(message: &Message<'_>) -> u8 {
    message.max_forwards().unwrap_or(70).saturating_sub(1)
}

/// Whether an INVITE is for sound or pictures: a session description says so, or, where it has no body, what it wants.
///
/// A body of several parts is one where a part is: a client of Lync offers two descriptions, the first for servers that
/// know none of its transports, with nothing in it.
pub fn is_call(message: &Message<'_>) -> bool {
    let body = message.body();
    if body.is_empty() {
        return wants_media(message);
    }
    let Some(media) = message.content_type() else {
        return false;
    };
    if !media.is("multipart/alternative") && !media.is("multipart/mixed") {
        return offers_media(&media, body);
    }
    let boundary = media.params.value("boundary").unwrap_or_default();
    multipart::read(&boundary, body).is_ok_and(|parts| {
        parts.iter().any(|part| {
            MediaType::parse(part.content_type()).is_ok_and(|media| offers_media(&media, part.body))
        })
    })
}

fn offers_media(media: &MediaType<'_>, body: &[u8]) -> bool {
    media.is("application/sdp")
        && Description::read(body).is_ok_and(|description| {
            description
                .media
                .iter()
                .any(|media| media.kind != Kind::Message)
        })
}

/// Whether an INVITE without a session description is for sound or pictures: it says so in what it wants of the callee
/// (RFC 3841) or of itself (RFC 3840), or it takes the place of a call (RFC 3891).
fn wants_media(message: &Message<'_>) -> bool {
    let says = |params: crate::sip::header::Params<'_>| {
        params.has("audio") || params.has("video") || params.has("+sip.audio")
    };
    message.header(Name::Replaces).is_some()
        || message.values(Name::AcceptContact).any(|value| {
            value
                .find(';')
                .and_then(|at| value.get(at..))
                .and_then(|text| crate::sip::header::Params::parse(text).ok())
                .is_some_and(says)
        })
        || matches!(message.contacts(), Ok(Contacts::List(list))
            if list.iter().any(|contact| says(contact.params)))
        || has_token(message.headers(Name::Require), "replaces")
}

/// The URI in a route's value, if it can be read.
pub fn route_uri(value: &str) -> Option<Uri<'_>> {
    Uri::parse(NameAddr::parse(value).ok()?.uri).ok()
}

#[cfg(test)]
mod tests;
