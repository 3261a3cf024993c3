//! INVITE outside a dialog: to a user, to a session, to the conference factory. And CANCEL.

use std::collections::BTreeSet;

use crate::calls::carried::is_call;
use crate::dialect::conference::{self, BadAsk};
use crate::dialect::{lync, simple};
use crate::immcu::content::{Outcome, Priority, Thread};
use crate::immcu::leg::{Due, Leg, State};
use crate::immcu::room::Subject;
use crate::immcu::session::Kind;
use crate::registrar::Gruu;
use crate::shard::effect::Effects;
use crate::shard::letter::{Invited, Letter};
use crate::shard::lync::{on_focus, on_summons};
use crate::shard::on_session::Beginning;
use crate::shard::request::{Request, SDP_ID, Target};
use crate::shard::usage::{Answering, Usage};
use crate::shard::{Shard, fresh_session, on_call, on_leg, on_session};
use crate::sip::dialog::{Dialog, NoDialog};
use crate::sip::header::{Name, accept_quality};
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// The user part of Lync's group chat, which this server has not.
pub(super) const GROUP_CHAT: &str = "ocschat";

pub(super) fn on_invite(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let target = shard.target(message.uri(), &request.link);
    match &target {
        Target::Focus(session) if on_focus::is_cccp(message) => {
            return on_focus::on_invite(shard, request, *session, effects);
        }
        Target::NoConference if on_focus::is_cccp(message) => {
            let outcome = Outcome::with(404, "No Such Conference");
            return on_focus::refuse_at_once(shard, request, &outcome, effects);
        }
        Target::User(_) | Target::Session(_) | Target::Focus(_) | Target::Factory => {}
        Target::Call(_) => return shard.answer(request, 481, "", effects),
        other => {
            let (status, reason) = other.refusal().unwrap_or((405, ""));
            return shard.answer(request, status, reason, effects);
        }
    }
    if let Target::User(user) = &target
        && user.user().eq_ignore_ascii_case(GROUP_CHAT)
    {
        // A Lync client looks for group chat when it starts; it does without where it is refused.
        return shard.answer(request, 404, "No Group Chat Here", effects);
    }
    let gruu = match shard.gruu(message.uri()) {
        Ok(gruu) => gruu,
        Err(outcome) => return shard.answer(request, outcome.status, &outcome.reason, effects),
    };
    if let Target::User(to) = &target
        && is_call(message)
    {
        let to = Invited {
            user: to.clone(),
            gruu,
            priority: Priority::of(message.header(Name::Priority)),
        };
        return on_call::invite(shard, request, to, effects);
    }
    if let Target::User(to) = &target
        && on_summons::is_summons(message)
    {
        let to = Invited {
            user: to.clone(),
            gruu,
            priority: Priority::Ordinary,
        };
        return on_summons::on_invite(shard, request, to, effects);
    }
    converse(shard, request, target, gruu, effects);
}

/// An INVITE that the IMMCU itself answers: a conversation, or a place in one.
fn converse(
    shard: &mut Shard,
    request: Request<'_>,
    target: Target,
    gruu: Option<Gruu>,
    effects: &mut Effects,
) {
    let message = request.message;
    if accept_quality(message.headers(Name::Accept), "application/sdp") == Some(0) {
        return shard.answer(request, 406, "", effects);
    }
    let Some(connection) = shard.connections.get(request.connection) else {
        return;
    };
    let Some(user) = connection.user.clone() else {
        return;
    };
    if let Some(reason) = shard.no_room_to_hold(request.connection) {
        return shard.answer(request, 503, reason, effects);
    }
    let Some(asked) = asked(shard, request, &target, &user, effects) else {
        return;
    };
    let dialog = match Dialog::answering(message, "") {
        Ok(dialog) => dialog,
        Err(NoDialog::Route) => {
            return shard.answer(request, 400, "Record-Route Is Too Long", effects);
        }
        Err(NoDialog::Contact | NoDialog::Tag) => {
            return shard.answer(request, 400, "Missing or Bad Contact", effects);
        }
    };
    if !shard.has_room_for_session() && !matches!(target, Target::Session(_) | Target::Focus(_)) {
        return shard.answer(request, 503, "Too Many Sessions", effects);
    }
    if target == Target::Factory && shard.has_made_enough(&user) {
        return shard.answer(request, 403, "Too Many Conferences Of Yours", effects);
    }
    let session = match target {
        Target::Session(session) | Target::Focus(session) => session,
        _ => fresh_session(&mut shard.rng, &user),
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    shard.connections.acted(request.connection, shard.now);
    let usage = Usage::Leg(Leg {
        session,
        user: user.clone(),
        state: State::Offered(server),
        cpim: asked.cpim,
        theirs: true,
        answer_due: asked
            .answer
            .is_none()
            .then(|| Due::of(message.cseq().number)),
        focus: false,
        told: true,
        reinvite: None,
        stopped: None,
        sdp_version: 1,
        typing: None,
        pages: None,
    });
    let Some(key) = shard.keep_dialog(request.connection, dialog, usage, asked.answer) else {
        return;
    };
    // The person hears at once that the server has it (RFC 3261 §17.2.1).
    shard.provisional(server, 100, "", "", effects);
    let leg = shard.leg_ref(key);
    let party = shard.party(&user);
    let endpoint = shard.endpoint_of(key);
    let priority = Priority::of(message.header(Name::Priority));
    let invited = |(user, gruu)| Invited {
        user,
        gruu,
        priority,
    };
    let mut begin = |kind: Kind, wanted: Vec<Invited>, effects: &mut Effects| {
        let beginning = Beginning {
            id: session,
            kind,
            starter: party.clone(),
            leg,
            endpoint: endpoint.clone(),
            subject: asked.subject.clone(),
            thread: message.named(lync::message::THREAD).and_then(Thread::read),
            wanted,
        };
        on_session::start(shard, beginning, effects);
    };
    match target {
        // The owner is this shard: the starter's routing group names the session.
        Target::User(to) => begin(Kind::TwoParty, vec![invited((to, gruu))], effects),
        Target::Factory => {
            begin(
                Kind::Conference,
                asked.wanted.users.into_iter().map(invited).collect(),
                effects,
            );
            if !asked.wanted.unknown.is_empty() {
                let missed = asked.wanted.unknown.iter().map(|(uri, why)| (&**uri, why));
                let report = conference::not_invited(missed);
                on_session::report_to(shard, session, leg, report, effects);
            }
        }
        _ => shard.post_session(
            session,
            Letter::Join {
                session,
                leg,
                user: party,
                endpoint,
            },
            effects,
        ),
    }
}

/// What an INVITE to the IMMCU says of the conversation.
struct Asked {
    subject: Subject,
    wanted: Wanted,
    /// The answer to its offer, where it has one.
    answer: Option<Box<[u8]>>,
    /// Whoever offers reads message/cpim.
    cpim: bool,
}

/// Reads that. `None`: it has been answered.
fn asked(
    shard: &mut Shard,
    request: Request<'_>,
    target: &Target,
    user: &Aor,
    effects: &mut Effects,
) -> Option<Asked> {
    let message = request.message;
    // Who starts it has a place of their own.
    let wanted_max = shard.settings.immcu.members_max.saturating_sub(1);
    let body = shard.body(request, effects)?;
    let read = conference::invitation(message, &body, wanted_max.saturating_add(1))
        .and_then(|read| Ok((read, conference::subject(message)?)));
    let (read, subject) = match read {
        Ok(read) => read,
        Err(bad) => {
            refuse_ask(shard, request, bad, effects);
            return None;
        }
    };
    if read.list.is_some() && *target != Target::Factory {
        shard.answer(
            request,
            403,
            "A List Is For The Conference Factory",
            effects,
        );
        return None;
    }
    let wanted = list_of(shard, request, user, read.list.unwrap_or_default());
    if wanted.users.len() + wanted.unknown.len() > wanted_max {
        refuse_ask(shard, request, BadAsk::TooMany, effects);
        return None;
    }
    let answer = read
        .sdp
        .map(|sdp| simple::answer_offer(sdp, &request.link, SDP_ID, 1));
    let (answer, cpim) = match answer.transpose() {
        Ok(answer) => answer.map_or((None, false), |(body, cpim)| {
            (Some(body.into_boxed_slice()), cpim)
        }),
        Err(fault) => {
            shard.answer(request, fault.status(), fault.reason(), effects);
            return None;
        }
    };
    Some(Asked {
        subject,
        wanted,
        answer,
        cpim,
    })
}

fn refuse_ask(shard: &mut Shard, request: Request<'_>, bad: BadAsk, effects: &mut Effects) {
    let limit = format!(
        "At Most {} Can Be Invited",
        shard.settings.immcu.members_max.saturating_sub(1)
    );
    let reason = match bad {
        BadAsk::TooMany => &limit,
        _ => bad.reason(),
    };
    shard.answer_with(request, bad.status(), reason, effects, |mut draft| {
        if bad.status() == 415 {
            draft.header("Accept", conference::ACCEPT);
        }
        draft.finish();
    });
}

/// Whom a list of recipients names.
#[derive(Default)]
struct Wanted {
    /// Users of ours, who may not exist, or one endpoint of theirs: each user once, and not who invites.
    users: Vec<(Aor, Option<Gruu>)>,
    /// The others as they were written, with what to say of them.
    unknown: Vec<(Box<str>, Outcome)>,
}

fn list_of(shard: &Shard, request: Request<'_>, starter: &Aor, list: Vec<Box<str>>) -> Wanted {
    let mut wanted = Wanted::default();
    let mut seen: BTreeSet<Aor> = BTreeSet::from([starter.clone()]);
    for uri in list {
        match shard.target(&uri, &request.link) {
            Target::User(user) => match shard.gruu(&uri) {
                Ok(gruu) if seen.insert(user.clone()) => wanted.users.push((user, gruu)),
                Ok(_) => {}
                Err(why) => wanted.unknown.push((uri, why)),
            },
            Target::Elsewhere => {
                let why = Outcome::with(404, "Not A Domain Of Ours");
                wanted.unknown.push((uri, why));
            }
            Target::Unknown => wanted.unknown.push((uri, Outcome::of(416))),
            Target::Session(_)
            | Target::Focus(_)
            | Target::FocusFactory
            | Target::NoConference
            | Target::Factory
            | Target::Contacts
            | Target::Server
            | Target::Call(_) => {
                wanted.unknown.push((uri, Outcome::with(403, "Not A User")));
            }
        }
    }
    wanted
}

/// CANCEL: answered 200 whatever comes of it; the INVITE is answered 487 where it still waits (RFC 3261 §9.2).
/// Where it has been accepted already, the 200 to the INVITE is on its way and their BYE will come.
pub(super) fn on_cancel(
    shard: &mut Shard,
    request: Request<'_>,
    server: ServerKey,
    effects: &mut Effects,
) {
    shard.answer(request, 200, "", effects);
    if on_call::cancelled(shard, request.connection, server, effects) {
        return;
    }
    if let Some(key) = on_leg::offered(shard, server) {
        return on_leg::cancelled(shard, key, effects);
    }
    if let Some(key) = on_focus::asking(shard, server) {
        return on_focus::leave(shard, key, "cancelled", effects);
    }
    if let Some(Answering::Invitation(session)) = shard.answering.remove(&server) {
        let ticket = shard.ticket(server);
        shard.post_session(session, Letter::Uninvite { session, ticket }, effects);
    }
    shard.settle(server, &Outcome::of(487), effects);
}

/// BYE outside a dialog.
///
/// COMPAT(SIPE, 1.25): who closes the window before the answer has come does not cancel, but says BYE in the dialog that there may
/// be, without To tag. It is the CANCEL it stands for (RFC 3261 §15), or the end of what its client has not seen accepted.
pub(super) fn on_lone_bye(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let waiting = shard
        .connections
        .get(request.connection)
        .and_then(|place| shard.servers.invite_of(&place.servers, message));
    if let Some(server) = waiting {
        return on_cancel(shard, request, server, effects);
    }
    match on_leg::unconfirmed(shard, request) {
        Some(leg) => on_leg::on_bye(shard, request, leg, effects),
        None => shard.answer(request, 481, "", effects),
    }
}
