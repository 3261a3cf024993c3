//! The conference factory ([MS-CONFBAS] §3.2): C3P in a SERVICE, for what needs no dialog with a focus.

use crate::dialect::lync::cccp::{self, Answer, Ask};
use crate::dialect::lync::conference_uri;
use crate::immcu::SessionId;
use crate::immcu::focus::AWAITED;
use crate::immcu::room::Subject;
use crate::shard::effect::Effects;
use crate::shard::on_focus::{NotMade, Wish};
use crate::shard::request::{Request, Target};
use crate::shard::{Shard, on_focus, on_session};
use crate::sip::uri::{Aor, Uri};

/// SERVICE to the factory.
pub(in crate::shard) fn on_cccp(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    match shard.target(request.message.uri(), &request.link) {
        Target::FocusFactory => {}
        _ => return shard.answer(request, 404, "Conferences Are Made At The Factory", effects),
    }
    let connection = shard.connections.get(request.connection);
    let Some(user) = connection.and_then(|connection| connection.user.clone()) else {
        return;
    };
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let asked = match cccp::read(&body) {
        Ok(asked) => asked,
        Err(fault) => return shard.answer(request, fault.status(), fault.reason(), effects),
    };
    if !is_their_own(&asked.envelope.from, &user) {
        return shard.answer(request, 403, "In Your Own Name Only", effects);
    }
    let answer = |answer: &Answer<'_>, shard: &mut Shard, effects: &mut Effects| {
        let body = cccp::write(&asked.envelope, asked.name, answer);
        shard.answer_with(request, 200, "", effects, |draft| {
            draft.body(cccp::CONTENT_TYPE, &body);
        });
    };
    match asked.ask {
        Ask::Capabilities => answer(&Answer::Capabilities, shard, effects),
        Ask::Add(wanted) => {
            let wish = Wish {
                name: wanted.name,
                subject: wanted.subject,
                locked: wanted.locked,
                ends: wanted.expires,
            };
            match on_focus::make(shard, &user, wish, AWAITED) {
                Ok(id) => {
                    let focus = conference_uri::focus(&user, id);
                    answer(&Answer::Conference(&focus), shard, effects);
                }
                Err(why) => answer(&Answer::Failure(why.reason()), shard, effects),
            }
        }
        Ask::List => {
            let all = theirs(shard, &user);
            answer(&Answer::Conferences(&all), shard, effects);
        }
        Ask::Delete(uri) => match named(shard, request, &uri, &user) {
            Some(id) => {
                answer(&Answer::Done, shard, effects);
                on_session::finish(shard, id, on_session::CONFERENCE_ENDED, effects);
            }
            None => answer(&Answer::Failure(cccp::reason(481)), shard, effects),
        },
        // What is asked of a focus is asked in its dialog, where it knows who asks.
        _ => answer(&Answer::Failure(cccp::reason(501)), shard, effects),
    }
}

/// Whether a URI is the user's own.
pub(in crate::shard) fn is_their_own(uri: &str, user: &Aor) -> bool {
    Uri::parse(uri).ok().and_then(|uri| uri.aor()).as_ref() == Some(user)
}

/// The conferences that a user has made and that are not over.
fn theirs(shard: &Shard, user: &Aor) -> Vec<(String, Subject)> {
    let mine = shard.made.get(user).map(Vec::as_slice).unwrap_or_default();
    mine.iter()
        .filter_map(|id| {
            let subject = shard.sessions.get(id)?.room.subject.clone();
            Some((conference_uri::focus(user, *id), subject))
        })
        .collect()
}

/// A conference of theirs, by the URI of its focus.
fn named(shard: &Shard, request: Request<'_>, uri: &str, user: &Aor) -> Option<SessionId> {
    match shard.target(uri, &request.link) {
        Target::Focus(id) if shard.made.get(user)?.contains(&id) => Some(id),
        _ => None,
    }
}

impl NotMade {
    /// In C3P's words.
    fn reason(self) -> &'static str {
        match self {
            NotMade::TooMany => "maxConferencesExceeded",
            NotMade::Past => "invalidExpiryTime",
            NotMade::NotNow => "serverBusy",
        }
    }
}
