//! A request in hand, and the ways to answer it: at once, or later by its ticket.

use core::net::IpAddr;
use std::borrow::Cow;

use slotmap::{Key, KeyData};

use rand_core::Rng;

use crate::dialect::body::body;
use crate::dialect::lync::conference_uri::{self, Part};
use crate::immcu::SessionId;
use crate::immcu::content::Outcome;
use crate::registrar::{EPID, Gruu, instance_of_epid};
use crate::shard::effect::{Effect, Effects};
use crate::shard::letter::Ticket;
use crate::shard::{Look, Shard, lync};
use crate::sip::build::{self, Draft};
use crate::sip::chain::Chain;
use crate::sip::link::{ConnectionId, Link, Transport};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::{
    Cancelling, ClientKey, ClientTransaction, Progress, RINGING_MAX, ServerKey, TIMEOUT,
};
use crate::sip::uri::{Aor, Scheme, Uri};

use super::usage::Purpose;

/// The methods that we answer, for Allow.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, MESSAGE, PUBLISH, SUBSCRIBE, NOTIFY, REFER, INFO, UPDATE";
/// The extensions that we know (RFC 5626, RFC 4488, RFC 5366, RFC 5627, RFC 4662, RFC 5367).
pub(crate) const SUPPORTED: &str =
    "outbound, norefersub, recipient-list-invite, gruu, eventlist, recipient-list-subscribe";
/// The event packages that we serve.
pub(crate) const EVENTS: &str =
    "presence, presence.winfo, dialog, message-summary, conference, refer";

/// A request on a connection.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub connection: ConnectionId,
    pub link: Link,
    pub message: &'a Message<'a>,
}

/// Whom a URI of ours names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A user of one of our domains (who may not exist).
    User(crate::sip::uri::Aor),
    /// A session: `sip:im-…`.
    Session(SessionId),
    /// The conference factory: `sip:conference@…`.
    Factory,
    /// A conference's focus, as Lync's clients name it. Where they speak in one is a `Session`.
    Focus(SessionId),
    /// Where Lync's clients make conferences.
    FocusFactory,
    /// What Lync's clients would call a conference, and is none of ours.
    NoConference,
    /// A call, as a route names it: `sip:call-…`.
    Call(SessionId),
    /// The contact list of whoever asks: `sip:contacts@…`.
    Contacts,
    /// The server itself.
    Server,
    /// Somewhere that is not ours.
    Elsewhere,
    /// No URI that we can read, or of a scheme that we don't know: 416.
    Unknown,
}

impl Target {
    /// What is answered where nothing of ours is named, whatever is asked of it.
    pub(crate) fn refusal(&self) -> Option<(u16, &'static str)> {
        match self {
            Target::Unknown => Some((416, "")),
            Target::Elsewhere => Some((404, "Not A Domain Of Ours")),
            Target::NoConference => Some((404, "No Such Conference")),
            _ => None,
        }
    }
}

/// The session id in the origin line of our descriptions: with the dialog that carries it, it is unique
/// (RFC 4566 §5.2 asks for no more).
pub(crate) const SDP_ID: u64 = 1;

/// The user part of the conference factory.
pub const FACTORY: &str = "conference";
/// How the user part of a call's route begins.
pub const CALL_PREFIX: &str = "call-";
/// The user part of everybody's own contact list.
pub const CONTACTS: &str = "contacts";
/// How the user part of a session's URI begins.
pub const SESSION_PREFIX: &str = "im-";

impl Shard {
    /// Whether one more conversation or call may be of a user of this shard.
    pub(crate) fn has_room_for_session(&self) -> bool {
        self.sessions.len() + self.calls.len() < self.settings.immcu.sessions_max
    }

    /// Whom `uri` names. `link` tells our own address, which some clients use as the domain.
    pub(crate) fn target(&self, uri: &str, link: &Link) -> Target {
        let Ok(uri) = Uri::parse(uri) else {
            return Target::Unknown;
        };
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Target::Unknown;
        }
        let ours = self.is_home(uri.host);
        let here = || {
            let host = uri.host.trim_start_matches('[').trim_end_matches(']');
            host.parse().is_ok_and(|ip: IpAddr| ip == link.local.ip())
                && uri.port.is_none_or(|port| port == link.local.port())
        };
        if !ours && !here() && !uri.host.eq_ignore_ascii_case("localhost") {
            return Target::Elsewhere;
        }
        if uri.user.is_empty() {
            return Target::Server;
        }
        if let Some(part) = conference_uri::read(&uri) {
            return match part {
                Part::Factory => Target::FocusFactory,
                Part::Focus(session) => Target::Focus(session),
                Part::Chat(session) => Target::Session(session),
                Part::Nothing => Target::NoConference,
            };
        }
        if uri.user == FACTORY {
            return Target::Factory;
        }
        if uri.user == CONTACTS {
            return Target::Contacts;
        }
        if let Some(session) = uri
            .user
            .strip_prefix(SESSION_PREFIX)
            .and_then(SessionId::parse)
        {
            return Target::Session(session);
        }
        if let Some(call) = uri
            .user
            .strip_prefix(CALL_PREFIX)
            .and_then(SessionId::parse)
        {
            return Target::Call(call);
        }
        if !ours {
            return Target::Elsewhere;
        }
        if let Some((user, _)) = self.temporary_gruu(&uri) {
            return Target::User(user);
        }
        uri.aor().map_or(Target::Unknown, Target::User)
    }

    /// Whether `user` is who authenticated on the request's connection.
    pub(crate) fn is_user(&self, request: Request<'_>, user: &Aor) -> bool {
        self.connections
            .get(request.connection)
            .is_some_and(|connection| connection.user.as_ref() == Some(user))
    }

    /// Which of a user's endpoints a URI of ours means, where it means one (RFC 5627 §5.1).
    ///
    /// # Errors
    /// With the answer, where it has `gr` and is no GRUU that we could have made.
    pub(crate) fn gruu(&self, uri: &str) -> Result<Option<Gruu>, Outcome> {
        // It is a parameter that names an endpoint.
        if !uri.as_bytes().contains(&b';') {
            return Ok(None);
        }
        let Ok(uri) = Uri::parse(uri) else {
            return Ok(None);
        };
        let bytes_max = usize::from(self.settings.registrar.contact_bytes_max);
        let opaque = uri.param("opaque").flatten().unwrap_or_default();
        if let Some(epid) = opaque.strip_prefix(EPID)
            && uri.param("gruu").is_some()
        {
            return match instance_of_epid(epid) {
                Some(gruu) => Ok(Some(gruu)),
                None => Err(Outcome::with(404, "No GRUU Of Ours")),
            };
        }
        let gruu = match uri.param("gr") {
            None => return Ok(None),
            Some(None) => self.temporary_gruu(&uri).map(|(_, gruu)| gruu),
            Some(Some(_)) => uri
                .param_value("gr")
                .filter(|instance| instance.len() <= bytes_max)
                .map(|instance| Gruu::Instance(instance.into())),
        };
        match gruu {
            Some(gruu) => Ok(Some(gruu)),
            None => Err(Outcome::with(404, "No GRUU Of Ours")),
        }
    }

    fn temporary_gruu(&self, uri: &Uri<'_>) -> Option<(Aor, Gruu)> {
        match uri.param("gr") {
            Some(None) => self.gruu_seal.open(uri.user),
            _ => None,
        }
    }

    /// A fresh tag that names nothing.
    pub(crate) fn fresh_tag(&mut self) -> build::Hex {
        build::Hex::of(self.rng.next_u64())
    }

    /// Answers at once: `write` adds what the answer carries. An answer to a request outside a dialog gets a To tag.
    pub(crate) fn answer_with(
        &mut self,
        request: Request<'_>,
        status: u16,
        reason: &str,
        effects: &mut Effects,
        write: impl FnOnce(Draft<'_>),
    ) {
        let tag = (status > 100 && request.message.to().tag().is_none()).then(|| self.fresh_tag());
        let reason = if reason.is_empty() {
            build::reason(status)
        } else {
            reason
        };
        effects.count(request.message.method(), status, true);
        effects.send(request.connection, |out| {
            let message = request.message;
            let mut draft = build::response_reason(out, message, status, reason, tag.as_deref());
            lync::on_register::diagnose(self, request, status, reason, &mut draft);
            write(draft);
        });
    }

    /// Answers at once with a status alone.
    pub(crate) fn answer(
        &mut self,
        request: Request<'_>,
        status: u16,
        reason: &str,
        effects: &mut Effects,
    ) {
        self.answer_with(request, status, reason, effects, |mut draft| {
            match status {
                405 | 501 => {
                    draft.header("Allow", ALLOW);
                }
                489 => {
                    draft.header("Allow-Events", EVENTS);
                }
                _ => {}
            }
            draft.finish();
        });
    }

    /// The body of a request, with its encoding undone; `None` where that can't be had, which it has been told then.
    pub(crate) fn body<'a>(
        &mut self,
        request: Request<'a>,
        effects: &mut Effects,
    ) -> Option<Cow<'a, [u8]>> {
        match body(request.message, self.settings.body_bytes_max) {
            Ok(body) => Some(body),
            Err(bad) => {
                let (status, reason) = (bad.status(), bad.reason());
                self.answer_with(request, status, reason, effects, |draft| bad.write(draft));
                None
            }
        }
    }

    /// Keeps the request until somebody has the answer.
    pub(crate) fn open(&mut self, request: Request<'_>) -> Option<ServerKey> {
        let connection = self.connections.get_mut(request.connection)?;
        connection.pending = connection.pending.saturating_add(1);
        Some(self.servers.open(
            &mut connection.servers,
            request.connection,
            request.message,
            self.now,
        ))
    }

    /// A ticket for a request that is kept.
    pub(crate) fn ticket(&self, key: ServerKey) -> Ticket {
        Ticket {
            shard: self.me,
            key: key.data().as_ffi(),
        }
    }

    /// A ticket for what nobody waits for: an answer to it goes nowhere.
    pub(crate) fn nobody(&self) -> Ticket {
        Ticket {
            shard: self.me,
            key: ServerKey::null().data().as_ffi(),
        }
    }

    /// The request of a ticket of ours.
    pub(crate) fn ticket_key(ticket: Ticket) -> ServerKey {
        KeyData::from_ffi(ticket.key).into()
    }

    /// Answers a kept request for good. Nothing happens where its connection has gone meanwhile.
    pub(crate) fn settle_with(
        &mut self,
        key: ServerKey,
        status: u16,
        reason: &str,
        tag: Option<&str>,
        effects: &mut Effects,
        write: impl FnOnce(Draft<'_>),
    ) {
        let fresh = self.fresh_tag();
        let Some(connection) = self
            .servers
            .get(key)
            .map(|transaction| transaction.connection)
        else {
            return;
        };
        let Some(connection) = self.connections.get_mut(connection) else {
            return;
        };
        let Some(transaction) = self.servers.close(&mut connection.servers, key) else {
            return;
        };
        connection.pending = connection.pending.saturating_sub(1);
        let reason = if reason.is_empty() {
            build::reason(status)
        } else {
            reason
        };
        let tag = tag.or(transaction.to_tag.as_deref()).unwrap_or(&fresh);
        effects.count(transaction.method, status, true);
        effects.send(transaction.connection, |out| {
            write(build::response_from_reason(
                out,
                &transaction.echo,
                status,
                reason,
                Some(tag),
            ));
        });
    }

    /// Answers a kept request for good, with a status alone.
    pub(crate) fn settle(&mut self, key: ServerKey, outcome: &Outcome, effects: &mut Effects) {
        self.settle_with(
            key,
            outcome.status,
            &outcome.reason,
            None,
            effects,
            |mut draft| {
                let soon = (outcome.status == 503).then_some(5);
                if let Some(after_s) = outcome.retry_after_s.or(soon) {
                    draft.header("Retry-After", after_s);
                }
                draft.finish();
            },
        );
    }

    /// Gives a kept INVITE a provisional answer: each status once, and none after a higher one.
    pub(crate) fn provisional(
        &mut self,
        key: ServerKey,
        status: u16,
        tag: &str,
        contact: &str,
        effects: &mut Effects,
    ) {
        let Some(transaction) = self.servers.get_mut(key) else {
            return;
        };
        if transaction.provisional >= status {
            return;
        }
        transaction.provisional = status;
        effects.send(transaction.connection, |out| {
            let tag = (status > 100).then_some(tag);
            let mut draft = build::response_from(out, &transaction.echo, status, tag);
            if status > 100 {
                draft.header("Contact", contact);
            }
            draft.finish();
        });
    }

    /// Opens a client transaction and writes the request that `write` makes, given its branch. `None` where the
    /// connection is gone.
    pub(crate) fn ask(
        &mut self,
        connection: ConnectionId,
        method: Method,
        purpose: Purpose,
        effects: &mut Effects,
        write: impl FnOnce(&mut Vec<u8>, &Link, crate::sip::transaction::Branch),
    ) -> Option<ClientKey> {
        let link = self.connections.get(connection)?.link;
        let key = self.open_client(connection, method, purpose)?;
        let branch = self.branches.of(key);
        effects.send(connection, |out| write(out, &link, branch));
        Some(key)
    }

    /// Opens a client transaction whose request is written by the caller. `None` where the connection is gone, or a message has no
    /// room there.
    pub(crate) fn open_client(
        &mut self,
        connection: ConnectionId,
        method: Method,
        purpose: Purpose,
    ) -> Option<ClientKey> {
        let now = self.now;
        let deadline = now.after(TIMEOUT);
        if method == Method::Message && !self.connections.has_room_to_say(connection, 0) {
            return None;
        }
        let connection = self.connections.get_mut(connection)?;
        let key = self
            .clients
            .insert_with(&mut connection.clients, |_| ClientTransaction {
                connection: connection.id,
                method,
                sent: now,
                deadline,
                progress: Progress::Calling,
                cancelling: Cancelling::No,
                purpose,
            });
        self.look_at(deadline, Look::Client(key));
        Some(key)
    }

    /// Ends a client transaction.
    pub(crate) fn close_client(&mut self, key: ClientKey) -> Option<ClientTransaction<Purpose>> {
        let connection = self.clients.get(key)?.connection;
        let mut none = Chain::default();
        let chain = self
            .connections
            .get_mut(connection)
            .map_or(&mut none, |connection| &mut connection.clients);
        self.clients.remove(chain, key)
    }

    /// The longest that an INVITE of ours may ring.
    pub(crate) fn ringing_max(&self) -> core::time::Duration {
        self.settings.immcu.ringing.min(RINGING_MAX)
    }
}

impl Effects {
    /// Counts a final answer.
    pub(crate) fn count(&mut self, method: Method, status: u16, ours: bool) {
        if status >= 200 {
            self.list.push(Effect::Count {
                method: method.index(),
                status,
                ours,
            });
        }
    }
}

/// Our URI on a connection with `user` before the at sign, in angle brackets.
pub(crate) fn our_contact(scheme: Scheme, user: &str, link: &Link) -> String {
    format!("<{}>", our_uri(scheme, user, link))
}

/// Our URI on a connection with `user` before the at sign; the server's own where `user` is empty.
pub(crate) fn our_uri(scheme: Scheme, user: &str, link: &Link) -> String {
    let at = if user.is_empty() { "" } else { "@" };
    // It is TLS by its scheme, and by nothing else (RFC 5630 §3.1.3).
    if scheme == Scheme::Sips {
        return format!("sips:{user}{at}{}", link.local);
    }
    let transport = match link.transport {
        Transport::Tls => "tls",
        Transport::Tcp => "tcp",
    };
    format!("sip:{user}{at}{};transport={transport}", link.local)
}

/// Begins a request outside a dialog: Via, Max-Forwards, From, To, Call-ID and CSeq 1.
#[expect(
    clippy::too_many_arguments,
    reason = "the mandatory headers of RFC 3261 §8.1.1, one each"
)]
pub(crate) fn lone_request<'o>(
    out: &'o mut Vec<u8>,
    method: Method,
    uri: &str,
    link: &Link,
    branch: crate::sip::transaction::Branch,
    from: impl build::Value,
    to: impl build::Value,
    call_id: &str,
) -> Draft<'o> {
    let mut draft = build::request(out, method.as_str(), uri);
    draft.via(link, branch).raw(b"Max-Forwards: 70\r\n");
    draft.line("From: ", from);
    draft.line("To: ", ("<", (to, ">")));
    draft.line("Call-ID: ", call_id);
    draft.cseq(1, method.as_str());
    draft
}

/// The slot that our tag names; whether the dialog is really meant is for [`Dialog::owns`].
pub(crate) fn key_of_tag(tag: &str) -> Option<crate::sip::dialog::DialogKey> {
    let (key, _) = tag.split_once('.')?;
    Some(KeyData::from_ffi(build::unhex(key)?).into())
}

/// The tag that names a slot.
pub(crate) fn tag_of_key(key: crate::sip::dialog::DialogKey, random: u32) -> String {
    format!("{:x}.{random:x}", key.data().as_ffi())
}
