//! The one door: an input comes in, effects go out. Identity, transaction, intent; then a match that leads out.

use crate::calls::carried::is_call;
use crate::dialect::body::ACCEPT_ENCODING;
use crate::dialect::{self, Dialect};
use crate::shard::effect::Effects;
use crate::shard::input::Input;
use crate::shard::request::{Request, key_of_tag};
use crate::shard::usage::Usage;
use crate::shard::{
    Shard, held, lync, on_answer, on_call_pass, on_command, on_connection, on_invite, on_kept,
    on_leg, on_letter, on_lines, on_message,
};
use crate::shard::{
    on_publish, on_refer, on_register, on_reinvite, on_subscribe, on_tick, overload, padding,
    sealing,
};
use crate::sip::dialog::DialogKey;
use crate::sip::header::{Name, tokens};
use crate::sip::link::ConnectionId;
use crate::sip::message::{Message, Method};
use crate::sip::time::Now;

use super::request::{ALLOW, EVENTS, SUPPORTED};

/// Who finds no room comes again after so many seconds, and up to so many more.
const NO_ROOM_AFTER_S: usize = 10;
const NO_ROOM_SPREAD_S: usize = 50;

impl Shard {
    /// Takes one input in at `now` and pushes what is to be done into `effects`.
    pub fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        self.now = self.now.max(now);
        let start = effects.list.len();
        match input {
            Input::Opened { connection, link } => {
                on_connection::opened(self, connection, link, effects)
            }
            Input::Message {
                connection,
                message,
            } => {
                self.telling.messages += 1;
                on_bytes(self, connection, message, effects);
            }
            Input::NoRoom {
                connection,
                message,
            } => on_no_room(self, connection, message, effects),
            Input::Malformed {
                connection,
                malformed,
            } => {
                on_connection::malformed(self, connection, malformed, effects);
            }
            Input::Behind { connection } => on_connection::behind(self, connection),
            Input::Drained { connection } => on_connection::drained(self, connection, effects),
            Input::Closed { connection } => on_connection::closed(self, connection, effects),
            Input::Letter(letter) => on_letter::on_letter(self, letter, effects),
            Input::UserPut(record) => on_register::user_put(self, record, effects),
            Input::UserRemoved(aor) => on_register::user_removed(self, &aor, effects),
            Input::Kept { ticket, outcome } => on_kept::on_kept(self, ticket, outcome, effects),
            Input::Pressure { least } => overload::on_pressure(self, least, effects),
            Input::StoodStill { lasted } => on_connection::stood_still(self, lasted),
            Input::Tick => on_tick::on_tick(self, effects),
            Input::Stop => on_tick::on_stop(self, effects),
        }
        loop {
            while let Some(letter) = self.to_self.pop_front() {
                on_letter::on_letter(self, letter, effects);
            }
            // What it posts to this shard lights lamps, and changes no call.
            on_lines::tell(self, effects);
            if self.to_self.is_empty() {
                break;
            }
        }
        held::hold(self, start, effects);
        sealing::seal(self, start, effects);
        padding::fill(self, start, effects);
    }
}

fn on_bytes(
    shard: &mut Shard,
    connection: ConnectionId,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let Some(link) = shard.connections.link(connection) else {
        return;
    };
    if !shard.is_from_who_signs(connection, link, message, effects) {
        return;
    }
    if message.is_request() {
        on_request(
            shard,
            Request {
                connection,
                link,
                message,
            },
            effects,
        );
    } else {
        on_answer::on_answer(shard, connection, message, effects);
    }
}

/// There is no room where the connection belongs: who asks is asked to come again, each a little later than the other.
fn on_no_room(
    shard: &mut Shard,
    connection: ConnectionId,
    message: &Message<'_>,
    effects: &mut Effects,
) {
    let Some(link) = shard.connections.link(connection) else {
        return;
    };
    if !message.is_request() || message.method() == Method::Ack {
        return;
    }
    let request = Request {
        connection,
        link,
        message,
    };
    let after_s = NO_ROOM_AFTER_S + connection.slot() % NO_ROOM_SPREAD_S;
    shard.answer_with(
        request,
        503,
        "No Room For This User Now",
        effects,
        |mut draft| {
            draft.header("Retry-After", after_s);
            draft.finish();
        },
    );
}

fn on_request(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let method = message.method();
    if method == Method::Ack {
        // An ACK is never answered: of a refused INVITE it ends nothing that we keep (timer I is zero here).
        if let Some(call) = on_call_pass::named(shard, request) {
            return on_call_pass::on_ack(shard, request, call, effects);
        }
        return on_leg::on_ack(shard, request, effects);
    }
    let pending = shard.servers.find(request.connection, message);
    if method == Method::Cancel {
        return match pending {
            Some(key) => on_invite::on_cancel(shard, request, key, effects),
            None => shard.answer(request, 481, "", effects),
        };
    }
    if pending.is_some() {
        // The same request again: over TCP nothing was lost, so nothing is repeated (RFC 3261 §17.2.2).
        return;
    }
    let call = message
        .to()
        .tag()
        .and_then(|_| on_call_pass::named(shard, request));
    if let (Method::Invite, Some(call)) = (method, call) {
        on_call_pass::invited(shard, request, call);
    }
    if let Some((status, reason)) = out_of_bounds(shard, request) {
        return shard.answer_with(request, status, reason, effects, |mut draft| {
            draft.header("Retry-After", 2);
            draft.finish();
        });
    }
    if overload::sheds(shard, request, effects) {
        return;
    }
    if message.max_forwards() == Some(0) && method != Method::Register && method != Method::Options
    {
        return shard.answer(request, 483, "", effects);
    }
    // What a call needs is between its ends: a proxy looks at Proxy-Require alone (RFC 3261 §16.3 step 5).
    let ends = call.is_some() || (method == Method::Invite && is_call(message));
    let speaks = shard.connections.dialect(request.connection);
    if let Some(unknown) = unknown_extensions(message, speaks, ends) {
        return shard.answer_with(request, 420, "", effects, |mut draft| {
            draft.header("Unsupported", unknown);
            draft.header("Supported", SUPPORTED);
            draft.finish();
        });
    }
    if let Some(call) = call {
        // Tags and connection say who speaks, not From alone: a call that was sent on is to somebody else in To.
        return on_call_pass::on_request(shard, request, call, effects);
    }
    if method == Method::Options && message.to().tag().is_none() {
        return on_options(shard, request, effects);
    }
    if !shard.may_speak(request, effects) {
        return;
    }
    if message.to().tag().is_some() {
        return in_dialog(shard, request, effects);
    }
    match method {
        Method::Register => on_register::on_register(shard, request, effects),
        Method::Publish => on_publish::on_publish(shard, request, effects),
        Method::Subscribe => on_subscribe::on_subscribe(shard, request, effects),
        Method::Message => on_message::on_message(shard, request, effects),
        Method::Invite => on_invite::on_invite(shard, request, effects),
        Method::Refer => on_refer::on_lone_refer(shard, request, effects),
        Method::Bye => on_invite::on_lone_bye(shard, request, effects),
        Method::Notify | Method::Info | Method::Update | Method::Prack => {
            shard.answer(request, 481, "", effects);
        }
        Method::Service => lync::on_service::on_service(shard, request, effects),
        Method::Other => shard.answer(request, 501, "", effects),
        _ => shard.answer(request, 405, "", effects),
    }
}

/// A request with a To tag: it belongs to one of our dialogs, or to none.
fn in_dialog(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    // COMPAT(baresip 1.0): refreshes a REGISTER with the To tag of the answer before; RFC 3261 §10.2 has no dialog.
    if message.method() == Method::Register {
        return on_register::on_register(shard, request, effects);
    }
    let key = message.to().tag().and_then(key_of_tag);
    let found = key.and_then(|key| Some((key, shard.dialogs.get_mut(key)?)));
    let Some((key, association)) = found.filter(|(_, association)| {
        // The dialog is bound to who speaks on this connection: a tag that was seen elsewhere opens nothing.
        association.connection == request.connection && association.dialog.owns(message)
    }) else {
        return shard.answer(request, 481, "", effects);
    };
    if association.dialog.take_cseq(message.cseq().number).is_err() {
        return shard.answer(request, 500, "CSeq Is Lower Than One Before", effects);
    }
    let is_leg = matches!(association.usage, Usage::Leg(_));
    if matches!(association.usage, Usage::Focus(_)) {
        return in_focus(shard, request, key, effects);
    }
    match (message.method(), is_leg) {
        (Method::Options, _) => on_options(shard, request, effects),
        (Method::Subscribe, false) => on_subscribe::on_refresh(shard, request, key, effects),
        (Method::Message, true) => on_leg::on_message(shard, request, key, effects),
        (Method::Bye, true) => on_leg::on_bye(shard, request, key, effects),
        (Method::Invite | Method::Update, true) => {
            on_reinvite::on_reinvite(shard, request, key, effects)
        }
        (Method::Refer, true) => on_refer::on_refer(shard, request, key, effects),
        (Method::Info, true) => on_command::on_info(shard, request, key, effects),
        (Method::Subscribe, true) => on_refer::on_subscribe(shard, request, key, effects),
        (Method::Bye | Method::Message | Method::Invite, false) => {
            shard.answer(request, 481, "", effects)
        }
        (Method::Other, _) => shard.answer(request, 501, "", effects),
        _ => shard.answer(request, 405, "", effects),
    }
}

/// A request in a dialog with a focus.
fn in_focus(shard: &mut Shard, request: Request<'_>, key: DialogKey, effects: &mut Effects) {
    match request.message.method() {
        Method::Options => on_options(shard, request, effects),
        Method::Info => lync::on_focus::on_info(shard, request, key, effects),
        Method::Bye => {
            shard.answer(request, 200, "", effects);
            lync::on_focus::on_bye(shard, key, effects);
        }
        Method::Message => shard.answer(request, 403, "Speak Where Messages Go", effects),
        Method::Subscribe => shard.answer(request, 403, "Subscribe Outside Of The Dialog", effects),
        // Nothing of it can be agreed upon anew.
        Method::Invite => shard.answer(request, 488, "", effects),
        Method::Other => shard.answer(request, 501, "", effects),
        _ => shard.answer(request, 405, "", effects),
    }
}

fn out_of_bounds(shard: &Shard, request: Request<'_>) -> Option<(u16, &'static str)> {
    if shard.stopping && request.message.method() != Method::Bye {
        return Some((503, "The Server Is Stopping"));
    }
    let connection = shard.connections.get(request.connection)?;
    (connection.pending >= shard.settings.pending_max)
        .then_some((503, "Too Many Requests Wait On This Connection"))
}

/// The extensions that a request requires and we don't know (RFC 3261 §8.2.2.3).
fn unknown_extensions(message: &Message<'_>, speaks: Dialect, ends: bool) -> Option<String> {
    let mut unknown = String::new();
    let required = message
        .headers(Name::Require)
        .filter(|_| !ends)
        .chain(message.headers(Name::ProxyRequire));
    for token in tokens(required) {
        let lync = speaks == Dialect::Lync
            && dialect::lync::EXTENSIONS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(token));
        if !lync
            && !tokens(core::iter::once(SUPPORTED)).any(|known| known.eq_ignore_ascii_case(token))
        {
            if !unknown.is_empty() {
                unknown.push_str(", ");
            }
            unknown.push_str(token);
        }
    }
    (!unknown.is_empty()).then_some(unknown)
}

/// OPTIONS: what we can do (RFC 3261 §11). Anybody may ask, for a probe should not need an account.
fn on_options(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    match shard.target(request.message.uri(), &request.link).refusal() {
        Some((status, reason)) => shard.answer(request, status, reason, effects),
        None => shard.answer_with(request, 200, "", effects, |mut draft| {
            draft.header("Allow", ALLOW);
            draft.header(
                "Accept",
                "application/sdp, application/pidf+xml, text/plain, message/cpim",
            );
            draft.header("Accept-Encoding", ACCEPT_ENCODING);
            draft.header("Supported", SUPPORTED);
            draft.header("Allow-Events", EVENTS);
            draft.finish();
        }),
    }
}
