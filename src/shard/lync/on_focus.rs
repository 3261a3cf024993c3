//! A Lync client's dialog with the focus of a conference ([MS-CONFBAS] §3.4): it is let in, it asks for what a moderator
//! may decide, it goes. What it says is said elsewhere, in a leg.

use crate::dialect::lync::cccp::{self, Answer, Ask, Envelope};
use crate::dialect::lync::registration::Diagnostics;
use crate::immcu::SessionId;
use crate::immcu::content::Outcome;
use crate::immcu::leg::Parting;
use crate::immcu::room::{Command, Role};
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::lync::on_conference::is_their_own;
use crate::shard::request::{ALLOW, Request, Target};
use crate::shard::usage::{Answering, Association, Focus, Usage};
use crate::shard::{Shard, on_leg, on_roster_news};
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::message::Message;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::{Aor, Uri};

/// Whether a body is C3P.
pub(in crate::shard) fn is_cccp(message: &Message<'_>) -> bool {
    let media = message.content_type();
    media.is_some_and(|media| media.is(cccp::CONTENT_TYPE))
}

/// INVITE to a focus: `addUser` for who sends it.
pub(in crate::shard) fn on_invite(
    shard: &mut Shard,
    request: Request<'_>,
    session: SessionId,
    effects: &mut Effects,
) {
    let message = request.message;
    let Some(connection) = shard.connections.get(request.connection) else {
        return;
    };
    let Some(user) = connection.user.clone() else {
        return;
    };
    if let Some(reason) = shard.no_room_to_hold(request.connection) {
        let outcome = Outcome::with(503, reason);
        return refuse_at_once(shard, request, &outcome, effects);
    }
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let (envelope, endpoint) = match admission(shard, request, &body, session, &user) {
        Ok(asked) => asked,
        Err(outcome) => return refuse_at_once(shard, request, &outcome, effects),
    };
    let Ok(dialog) = Dialog::answering(message, "") else {
        let outcome = Outcome::with(400, "Missing or Bad Contact");
        return refuse_at_once(shard, request, &outcome, effects);
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    shard.connections.acted(request.connection, shard.now);
    let usage = Usage::Focus(Focus {
        session,
        user: user.clone(),
        asking: Some(Box::new((server, envelope))),
    });
    let Some(key) = shard.keep_dialog(request.connection, dialog, usage, None) else {
        return;
    };
    let letter = Letter::Attend {
        session,
        uri: message.to().uri.into(),
        leg: shard.leg_ref(key),
        user: shard.party(&user),
        endpoint,
    };
    shard.post_session(session, letter, effects);
}

/// Reads an `addUser` of one's own for the conference whose focus it was sent to: who asks, and what the client calls itself.
fn admission(
    shard: &Shard,
    request: Request<'_>,
    body: &[u8],
    session: SessionId,
    user: &Aor,
) -> Result<(Envelope, Box<str>), Outcome> {
    let asked = cccp::read(body).map_err(|fault| Outcome::with(fault.status(), fault.reason()))?;
    let Ask::AddUser {
        conference,
        user: named,
        endpoint,
    } = asked.ask
    else {
        return Err(Outcome::with(400, "Only addUser Opens A Dialog"));
    };
    if !is_their_own(&asked.envelope.from, user) || !is_their_own(&named, user) {
        return Err(Outcome::with(403, "In Your Own Name Only"));
    }
    if shard.target(&conference, &request.link) != Target::Focus(session) {
        return Err(Outcome::with(400, "Another Conference Is Named"));
    }
    Ok((asked.envelope, endpoint))
}

/// Who may not come in is told why in the way that their client shows ([MS-OCER]).
fn diagnostics<'a>(shard: &'a Shard, outcome: &'a Outcome) -> Diagnostics<'a> {
    let source = shard.settings.auth.domains.first();
    Diagnostics {
        id: cccp::diagnostics_id(outcome.status),
        reason: outcome.text(),
        source: source.map_or("", |domain| domain),
    }
}

pub(in crate::shard) fn refuse_at_once(
    shard: &mut Shard,
    request: Request<'_>,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    let value = diagnostics(shard, outcome).to_string();
    let (status, reason) = (outcome.status, &outcome.reason);
    shard.answer_with(request, status, reason, effects, |mut draft| {
        draft.header("ms-diagnostics", value);
        draft.finish();
    });
}

/// The dialog with a focus whose INVITE waits in this transaction.
pub(in crate::shard) fn asking(shard: &Shard, server: ServerKey) -> Option<DialogKey> {
    let connection = shard.servers.get(server)?.connection;
    let place = shard.connections.get(connection)?;
    shard.dialogs.keys(&place.dialogs).find(|key| {
        let usage = shard.dialogs.get(*key).map(|association| &association.usage);
        matches!(usage, Some(Usage::Focus(Focus { asking: Some(asking), .. })) if asking.0 == server)
    })
}

/// The conference's owner: it is let in.
pub(in crate::shard) fn attended(
    shard: &mut Shard,
    key: DialogKey,
    role: Role,
    effects: &mut Effects,
) {
    let Some(Association {
        dialog,
        usage: Usage::Focus(focus),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    let Some((server, envelope)) = focus.asking.take().map(|asking| *asking) else {
        return;
    };
    let (tag, contact) = (dialog.local_tag().to_owned(), dialog.local().to_owned());
    let entity = contact.trim_matches(['<', '>']);
    let user = focus.user.uri();
    let body = cccp::write(&envelope, "addUser", &Answer::User(entity, &user, role));
    shard.settle_with(server, 200, "", Some(&tag), effects, |mut draft| {
        draft.header("Contact", format_args!("{contact};isfocus"));
        draft.header("Allow", ALLOW);
        draft.header("Allow-Events", "conference");
        draft.body(cccp::CONTENT_TYPE, &body);
    });
}

/// The conference's owner: it is not let in.
pub(in crate::shard) fn refused(
    shard: &mut Shard,
    server: ServerKey,
    outcome: &Outcome,
    effects: &mut Effects,
) {
    let value = diagnostics(shard, outcome).to_string();
    let (status, reason) = (outcome.status, &outcome.reason);
    shard.settle_with(server, status, reason, None, effects, |mut draft| {
        draft.header("ms-diagnostics", value);
        draft.finish();
    });
}

/// The conference's owner: the dialog is to end. True where it was one with a focus.
pub(in crate::shard) fn end(shard: &mut Shard, key: DialogKey, effects: &mut Effects) -> bool {
    let Some(Association {
        usage: Usage::Focus(focus),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return false;
    };
    match focus.asking.take() {
        Some(asking) => {
            shard.drop_dialog(key);
            refused(shard, asking.0, &Outcome::of(480), effects);
        }
        None => on_leg::part(shard, key, Parting::Silent, effects),
    }
    true
}

/// Their BYE.
pub(in crate::shard) fn on_bye(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some(association) = shard.dialogs.get(key) else {
        return;
    };
    let connection = association.connection;
    if let Usage::Focus(focus) = &association.usage {
        let session = focus.session;
        on_roster_news::left_focus(shard, session, connection, effects);
    }
    leave(shard, key, "left", effects);
}

/// They have said BYE, or their connection is gone.
pub(in crate::shard) fn leave(
    shard: &mut Shard,
    key: DialogKey,
    reason: &'static str,
    effects: &mut Effects,
) {
    let leg = shard.leg_ref(key);
    let Some(Association {
        usage: Usage::Focus(focus),
        ..
    }) = shard.drop_dialog(key)
    else {
        return;
    };
    if let Some(asking) = focus.asking {
        shard.settle(asking.0, &Outcome::of(487), effects);
    }
    let session = focus.session;
    let letter = Letter::Leave {
        session,
        leg,
        reason,
    };
    shard.post_session(session, letter, effects);
}

/// INFO: what they want of the conference. The answer's body says what became of it.
pub(in crate::shard) fn on_info(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    if !is_cccp(request.message) {
        return shard.answer_with(request, 415, "", effects, |mut draft| {
            draft.header("Accept", cccp::CONTENT_TYPE);
            draft.finish();
        });
    }
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let Some(Association {
        usage: Usage::Focus(focus),
        ..
    }) = shard.dialogs.get(key)
    else {
        return;
    };
    let (session, user) = (focus.session, focus.user.clone());
    let asked = match cccp::read(&body) {
        Ok(asked) => asked,
        Err(fault) => return shard.answer(request, fault.status(), fault.reason(), effects),
    };
    let refused = match asked.is_for() {
        _ if !is_their_own(&asked.envelope.from, &user) => Some(cccp::reason(403)),
        Err(reason) => Some(reason),
        Ok(conference) if shard.target(conference, &request.link) != Target::Focus(session) => {
            Some(cccp::reason(481))
        }
        Ok(_) => None,
    };
    let commands = match refused {
        Some(reason) => Err(reason),
        None => commands(&asked.ask),
    };
    match commands {
        Err(reason) => {
            let body = cccp::write(&asked.envelope, asked.name, &Answer::Failure(reason));
            shard.answer_with(request, 200, "", effects, |draft| {
                draft.body(cccp::CONTENT_TYPE, &body);
            });
        }
        Ok(commands) => {
            let Some(server) = shard.open(request) else {
                return;
            };
            let answering = Answering::Cccp(asked.envelope, asked.name);
            shard.answering.insert(server, answering);
            let letter = Letter::Command {
                session,
                leg: shard.leg_ref(key),
                ticket: shard.ticket(server),
                commands: commands.into(),
            };
            shard.post_session(session, letter, effects);
        }
    }
}

/// What is asked of the core.
fn commands(ask: &Ask) -> Result<Vec<Command>, &'static str> {
    let user = |uri: &str| {
        let user = Uri::parse(uri).ok().and_then(|uri| uri.aor());
        user.ok_or(cccp::reason(404))
    };
    Ok(match ask {
        Ask::Delete(_) => vec![Command::EndAll],
        Ask::SetLock(_, locked) => vec![Command::SetLock(*locked)],
        Ask::SetRole(_, uri, role) => vec![Command::SetRole(user(uri)?, *role)],
        Ask::DeleteUser(_, uri) => vec![Command::Expel(user(uri)?)],
        Ask::Modify(_, subject, locked) => {
            let subject = subject.clone().map(Command::SetSubject);
            let lock = locked.map(Command::SetLock);
            let commands: Vec<Command> = subject.into_iter().chain(lock).collect();
            // Its end can't be moved, nor what else a description has: where that is all, nothing would be done.
            if commands.is_empty() {
                return Err(cccp::reason(501));
            }
            commands
        }
        Ask::AddUser { .. } | Ask::Capabilities | Ask::Add(_) | Ask::List | Ask::Other => {
            return Err(cccp::reason(501));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::lync::conference_uri;
    use crate::shard::effect::Effect;
    use crate::shard::input::Input;
    use crate::shard::{Settings, ShardId};
    use crate::sip::link::{ConnectionId, Link, Transport};
    use crate::sip::time::Now;

    const NOW: Now = Now(1_700_000_000_000_000);

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@example.com")).expect("an address of the test")
    }

    /// INVITE and CANCEL come in one segment, and the conference is another shard's.
    #[test]
    fn who_gives_up_before_the_owner_has_answered_is_taken_back_there() {
        let settings = Settings {
            shards: 2,
            ..Settings::default()
        };
        let mut shard = Shard::new(ShardId(0), settings, [1; 32], [2; 32], NOW);
        let (connection, mut effects) = (ConnectionId::new(0, 1), Effects::default());
        let link = Link {
            transport: Transport::Tls,
            local: ([127, 0, 0, 1], 5061).into(),
            peer: ([127, 0, 0, 1], 40_000).into(),
            moves: 1,
            failures: 0,
        };
        shard.handle(NOW, Input::Opened { connection, link }, &mut effects);
        let place = shard.connections.get_mut(connection).expect("it is open");
        place.user = Some(aor("bob"));
        let session = (0..4096)
            .map(|group| SessionId { group, random: 7 })
            .find(|id| shard.route.owner_of_group(id.group) == ShardId(1))
            .expect("each shard has groups");
        let focus = conference_uri::focus(&aor("alice"), session);
        let body = format!(
            "<request xmlns=\"urn:ietf:params:xml:ns:cccp\" C3PVersion=\"1\" to=\"{focus}\" from=\"sip:bob@example.com\" requestId=\"1\">\
             <addUser><conferenceKeys confEntity=\"{focus}\"/><user xmlns=\"urn:ietf:params:xml:ns:conference-info\" \
             entity=\"sip:bob@example.com\"/></addUser></request>"
        );
        let mut say = |method: &str, body: &str, effects: &mut Effects| {
            let text = format!(
                "{method} {focus} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:40000;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
                 From: <sip:bob@example.com>;tag=1\r\nTo: <{focus}>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\
                 Contact: <sip:bob@127.0.0.1:40000>\r\nContent-Type: application/cccp+xml\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut bytes = text.into_bytes();
            let message = &Message::parse(&mut bytes).expect("a message");
            let input = Input::Message {
                connection,
                message,
            };
            effects.clear();
            shard.handle(NOW, input, effects);
            shard.census().dialogs
        };
        let posts = |effects: &Effects| -> Vec<String> {
            let posted = effects.list.iter().filter_map(|effect| match effect {
                Effect::Post { to, letter } => Some(format!("{to:?} {letter:?}")),
                _ => None,
            });
            posted.collect()
        };
        assert_eq!(say("INVITE", &body, &mut effects), 1);
        assert!(
            matches!(&posts(&effects)[..], [one] if one.starts_with("ShardId(1) Attend ")),
            "{effects:?}"
        );
        assert_eq!(say("CANCEL", "", &mut effects), 0);
        let said = String::from_utf8_lossy(&effects.bytes);
        assert!(
            said.contains("SIP/2.0 200 ") && said.contains("SIP/2.0 487 "),
            "{said}"
        );
        assert!(
            matches!(&posts(&effects)[..], [one] if one.starts_with("ShardId(1) Leave ")),
            "{effects:?}"
        );
    }
}
