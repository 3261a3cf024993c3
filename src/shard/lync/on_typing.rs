//! Typing at a leg whose client says it by INFO, again and again: what it says becomes what the session knows (RFC 3994), and
//! what the session says becomes beats for it (`immcu::typing`).
//!
//! Its INFO is answered at once, and whatever becomes of it: a client ends a dialog in which one was refused. What is
//! answered to ours changes nothing.

use crate::dialect::lync::message::composing;
use crate::documents::iscomposing::IsComposing;
use crate::documents::keyboard_activity as keyboard;
use crate::immcu::pager::Pair;
use crate::immcu::typing::REFRESH_S;
use crate::shard::effect::Effects;
use crate::shard::letter::{Letter, Page};
use crate::shard::request::Request;
use crate::shard::usage::{Association, Purpose};
use crate::shard::{Look, Shard};
use crate::sip::dialog::DialogKey;
use crate::sip::message::Method;

/// Their INFO.
pub(in crate::shard) fn on_info(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let types = match keyboard::read(&body) {
        Ok(types) => types,
        Err(fault) => return shard.answer(request, fault.status(), fault.reason(), effects),
    };
    shard.answer(request, 200, "", effects);
    let now = shard.now;
    if types {
        shard.connections.acted(request.connection, now);
    }
    let Some(leg) = shard.leg_mut(key) else {
        return;
    };
    let tell = if types {
        leg.typing.get_or_insert_default().heard(now)
    } else {
        leg.typing.as_mut().is_some_and(|typing| typing.stopped())
    };
    if tell {
        say(shard, key, types, effects);
    }
    settle(shard, key);
}

/// They have said something, so they type no longer (RFC 3994 §3.3): nobody has to be told.
pub(in crate::shard) fn said(shard: &mut Shard, key: DialogKey) {
    if let Some(typing) = shard.leg_mut(key).and_then(|leg| leg.typing.as_mut()) {
        typing.stopped();
    }
}

/// They have heard something: who said it types no longer, and their client knows.
pub(in crate::shard) fn heard(shard: &mut Shard, key: DialogKey) {
    if let Some(typing) = shard.leg_mut(key).and_then(|leg| leg.typing.as_mut()) {
        typing.hide();
    }
}

/// The session: the other side types, or has stopped.
pub(in crate::shard) fn show(
    shard: &mut Shard,
    key: DialogKey,
    composing: IsComposing,
    effects: &mut Effects,
) {
    let now = shard.now;
    let Some(leg) = shard.leg_mut(key) else {
        return;
    };
    // In a conference its client could not say who it is, and shows nobody.
    if leg.focus {
        return;
    }
    let beat = if composing.active {
        let typing = leg.typing.get_or_insert_default();
        typing.show(now, composing.refresh_s);
        true
    } else {
        leg.typing.as_mut().is_some_and(|typing| typing.hide())
    };
    if beat {
        info(shard, key, composing.active, effects);
    }
    settle(shard, key);
}

/// The wheel.
pub(in crate::shard) fn look(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let now = shard.now;
    let Some(typing) = shard.leg_mut(key).and_then(|leg| leg.typing.as_mut()) else {
        return;
    };
    let due = typing.due(now);
    if due.beat {
        info(shard, key, true, effects);
    }
    if due.stopped {
        say(shard, key, false, effects);
    }
    settle(shard, key);
}

/// Tells the session, which does not answer.
fn say(shard: &mut Shard, key: DialogKey, types: bool, effects: &mut Effects) {
    let Some(leg) = shard.leg(key) else {
        return;
    };
    let (session, user) = (leg.session, leg.user.clone());
    if let Some(to) = leg.pages.clone() {
        let keeper = shard.route.owner(Pair::keeper(&user, &to));
        let letter = Letter::Page {
            page: Page {
                ticket: shard.nobody(),
                from: shard.party(&user),
                to,
                gruu: None,
                content: composing(types, REFRESH_S),
            },
            refuse_new_s: None,
        };
        return shard.post(keeper, letter, effects);
    }
    let letter = Letter::Say {
        session,
        leg: shard.leg_ref(key),
        ticket: shard.nobody(),
        // No report names it: a signal is not reported.
        number: 0,
        since: shard.now,
        from: shard.party(&user),
        content: composing(types, REFRESH_S),
    };
    shard.post_session(session, letter, effects);
}

/// One INFO of ours.
fn info(shard: &mut Shard, key: DialogKey, types: bool, effects: &mut Effects) {
    let Some(association) = shard.dialogs.get(key) else {
        return;
    };
    let connection = association.connection;
    let Some(link) = shard.connections.link(connection) else {
        return;
    };
    let Some(client) = shard.open_client(connection, Method::Info, Purpose::Forget) else {
        return;
    };
    let branch = shard.branches.of(client);
    let Some(Association { dialog, .. }) = shard.dialogs.get_mut(key) else {
        return;
    };
    effects.send(connection, |out| {
        let draft = dialog.request(out, "INFO", &link, branch);
        let mut document = Vec::with_capacity(128);
        keyboard::write(&mut document, types);
        draft.body(keyboard::CONTENT_TYPE, &document);
    });
}

/// Arms the wheel, or forgets who typed.
fn settle(shard: &mut Shard, key: DialogKey) {
    let now = shard.now;
    let Some(leg) = shard.leg_mut(key) else {
        return;
    };
    if leg.typing.as_ref().is_some_and(|typing| typing.is_over()) {
        leg.typing = None;
    }
    if let Some(at) = leg.typing.as_mut().and_then(|typing| typing.arm(now)) {
        shard.look_at(at, Look::Dialog(key));
    }
}
