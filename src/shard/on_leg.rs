//! A participant's dialog on the shard of their connection: what they say goes to the session's owner, and what the
//! owner decides goes to them.

use rand_core::Rng;
use slotmap::KeyData;
use smallvec::SmallVec;

use crate::dialect::Dialect;
use crate::dialect::conference::INFO_PACKAGE;
use crate::dialect::simple;
use crate::immcu::content::{Content, Outcome, Sort};
use crate::immcu::leg::{Due, Leg, Parting, State};
use crate::immcu::session::LegRef;
use crate::shard::effect::Effects;
use crate::shard::letter::Letter;
use crate::shard::lync::{on_focus, on_summons, on_typing};
use crate::shard::own_copy::OwnCopy;
use crate::shard::request::{
    ALLOW, Request, SDP_ID, SESSION_PREFIX, SUPPORTED, our_contact, tag_of_key,
};
use crate::shard::usage::{Answering, Association, Focus, Purpose, Subject, Usage};
use crate::shard::{Look, Shard, on_message, on_reinvite, on_ring, on_subscribe};
use crate::sip::chain::Chain;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::link::ConnectionId;
use crate::sip::message::Method;
use crate::sip::transaction::{ServerKey, TIMEOUT};
use crate::sip::uri::Aor;

impl Shard {
    /// The leg of a letter, if it is still there.
    pub(super) fn leg(&self, key: DialogKey) -> Option<&Leg> {
        match &self.dialogs.get(key)?.usage {
            Usage::Leg(leg) => Some(leg),
            Usage::Focus(_) | Usage::Subscription(_) => None,
        }
    }

    /// The leg of a letter, to be changed.
    pub(super) fn leg_mut(&mut self, key: DialogKey) -> Option<&mut Leg> {
        match &mut self.dialogs.get_mut(key)?.usage {
            Usage::Leg(leg) => Some(leg),
            Usage::Focus(_) | Usage::Subscription(_) => None,
        }
    }

    /// How the client of a dialog speaks.
    pub(super) fn leg_speaks(&self, key: DialogKey) -> Dialect {
        self.dialogs
            .get(key)
            .map_or(Dialect::Simple, |association| {
                self.connections.dialect(association.connection)
            })
    }

    /// The leg on a connection that speaks with `other` in pager mode.
    pub(super) fn paging_leg(&self, connection: ConnectionId, other: &Aor) -> Option<DialogKey> {
        if self.paging.is_empty() {
            return None;
        }
        self.paging.get(&(connection, other.clone())).copied()
    }

    /// The instance id of the endpoint that a dialog's connection belongs to; empty where it has none.
    pub(super) fn endpoint_of(&self, key: DialogKey) -> Box<str> {
        let instance = || -> Option<&str> {
            let connection = self.connections.get(self.dialogs.get(key)?.connection)?;
            let user = self.user(connection.user.as_ref()?)?;
            let endpoint = user
                .bindings
                .endpoints(self.now)
                .find(|endpoint| endpoint.connection == connection.id)?;
            Some(endpoint.instance())
        };
        instance().unwrap_or_default().into()
    }

    /// Keeps the dialog that a peer's request makes, on the request's connection, under a tag of ours. `None` where the
    /// connection is gone.
    pub(super) fn keep_dialog(
        &mut self,
        connection: ConnectionId,
        dialog: Dialog,
        usage: Usage,
        offer: Option<Box<[u8]>>,
    ) -> Option<DialogKey> {
        let random = self.rng.next_u32();
        self.add_dialog(connection, |slot| Association {
            connection,
            dialog: dialog.tagged(&tag_of_key(slot, random)),
            usage,
            offer,
        })
    }

    /// Forgets a dialog. Nothing is said to the peer.
    pub(super) fn drop_dialog(&mut self, key: DialogKey) -> Option<Association> {
        let connection = self.dialogs.get(key)?.connection;
        let mut none = Chain::default();
        let place = self.connections.get_mut(connection);
        // What goes with its connection has nobody to pass an order on to.
        let goes_on = place.is_some();
        let chain = place.map_or(&mut none, |connection| &mut connection.dialogs);
        let dropped = self.dialogs.remove(chain, key)?;
        let chain = *chain;
        self.dialog_gone(&dropped.usage);
        if let Usage::Leg(leg) = &dropped.usage
            && let Some(with) = leg.pages.clone()
        {
            let name = (connection, with);
            if self.paging.get(&name) == Some(&key) {
                self.paging.remove(&name);
            }
        }
        let shares = match &dropped.usage {
            Usage::Leg(_) => true,
            Usage::Focus(_) => false,
            Usage::Subscription(subscription) => {
                matches!(subscription.subject, Subject::Refer { .. })
            }
        };
        if shares && goes_on {
            self.pass_on_order(key, &chain, dropped.dialog.local_cseq);
        }
        Some(dropped)
    }

    /// A dialog that REFER's subscriptions took their CSeq from is gone, and they go on in it (RFC 5057 §5): the first of
    /// them keeps the order from now on. One number is left free for the BYE that the leg may still say.
    fn pass_on_order(&mut self, from: DialogKey, chain: &Chain<DialogKey>, next: u32) {
        let mut keeper = None;
        let all: SmallVec<[DialogKey; 8]> = self.dialogs.keys(chain).collect();
        for key in all {
            let Some(Association {
                dialog,
                usage: Usage::Subscription(subscription),
                ..
            }) = self.dialogs.get_mut(key)
            else {
                continue;
            };
            if let Subject::Refer { parent, .. } = &mut subscription.subject
                && *parent == Some(from)
            {
                *parent = keeper;
                if keeper.is_none() {
                    dialog.local_cseq = next.saturating_add(1);
                    keeper = Some(key);
                }
            }
        }
    }
}

pub(super) fn key_of(leg: LegRef) -> DialogKey {
    KeyData::from_ffi(leg.key).into()
}

/// Their MESSAGE in the dialog.
pub(super) fn on_message(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    let Some((session, user, state)) = shard
        .leg(key)
        .map(|leg| (leg.session, leg.user.clone(), leg.state))
    else {
        return;
    };
    let pages = shard.leg(key).and_then(|leg| leg.pages.clone());
    // A client that speaks before its ACK was seen has the 2xx all the same (RFC 3261 §13.3.1.4).
    match state {
        State::Established => {}
        State::Confirming(_) => confirm(shard, key, effects),
        State::Offered(_) | State::Ringing(..) => return shard.answer(request, 481, "", effects),
    }
    let content = match simple::content(request.message, &user, shard.settings.body_bytes_max) {
        Ok(content) => content,
        Err(bad) => return on_message::refuse_content(shard, request, bad, effects),
    };
    let Some(server) = shard.open(request) else {
        return;
    };
    shard
        .connections
        .wrote(request.connection, &content, shard.now);
    if content.sort == Sort::Text {
        on_typing::said(shard, key);
    }
    if let Some(to) = pages {
        // All that is said in one dialog has one Call-ID: as pages, they need one each.
        let call_id = None;
        let content = Content { call_id, ..content };
        return on_message::send(
            shard,
            request.connection,
            server,
            user,
            to,
            None,
            content,
            None,
            effects,
        );
    }
    let author = shard.by_aor.get(&user).copied();
    if let (Some(author), Some(Association { dialog, .. })) = (author, shard.dialogs.get(key)) {
        let addressee = dialog.local().to_owned();
        OwnCopy::keep(shard, server, author, || addressee, Some(session), &content);
    }
    let number = request.message.cseq().number;
    if shard.leg(key).is_some_and(|leg| leg.focus)
        && shard.connections.dialect(request.connection) == Dialect::Lync
    {
        shard.answering.insert(server, Answering::Message(number));
    }
    let (ticket, leg, since, from) = (
        shard.ticket(server),
        shard.leg_ref(key),
        shard.now,
        shard.party_of(author, user),
    );
    shard.post_session(
        session,
        Letter::Say {
            session,
            leg,
            ticket,
            number,
            since,
            from,
            content,
        },
        effects,
    );
}

/// The leg that a request without To tag speaks of, whose INVITE has been accepted and whose client may not know it yet.
pub(super) fn unconfirmed(shard: &Shard, request: Request<'_>) -> Option<DialogKey> {
    let place = shard.connections.get(request.connection)?;
    let (message, tag) = (request.message, request.message.from().tag()?);
    shard.dialogs.keys(&place.dialogs).find(|key| {
        matches!(
            shard.dialogs.get(*key),
            Some(Association {
                dialog,
                usage: Usage::Leg(Leg { state: State::Confirming(_), theirs: true, .. }),
                ..
            }) if dialog.call_id() == message.call_id() && dialog.remote_tag() == tag
        )
    })
}

/// Their BYE: answered at once, whatever is still under way (RFC 3261 §15.1.2).
pub(super) fn on_bye(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) {
    shard.answer(request, 200, "", effects);
    leave(shard, key, "left", effects);
}

/// The dialog is over on this side: the session is told, and nobody else.
fn leave(shard: &mut Shard, key: DialogKey, reason: &'static str, effects: &mut Effects) {
    let leg = shard.leg_ref(key);
    let Some(Association {
        usage: Usage::Leg(ended),
        ..
    }) = shard.drop_dialog(key)
    else {
        return;
    };
    if let State::Offered(server) = ended.state {
        shard.settle(server, &Outcome::of(487), effects);
    }
    if ended.pages.is_some() {
        return;
    }
    let session = ended.session;
    shard.post_session(
        session,
        Letter::Leave {
            session,
            leg,
            reason,
        },
        effects,
    );
}

/// Their connection is gone, or they are: whatever the dialog was for.
pub(super) fn lost(shard: &mut Shard, key: DialogKey, reason: &'static str, effects: &mut Effects) {
    match shard.dialogs.get(key).map(|association| &association.usage) {
        Some(Usage::Leg(Leg {
            state: State::Ringing(..),
            ..
        })) => {
            on_ring::refused(shard, key, Outcome::with(480, "Connection Lost"), effects);
        }
        Some(Usage::Leg(_)) => leave(shard, key, reason, effects),
        Some(Usage::Focus(_)) => on_focus::leave(shard, key, reason, effects),
        Some(Usage::Subscription(_)) => on_subscribe::forget(shard, key, effects),
        None => {}
    }
}

/// ACK: of a 2xx to their INVITE, with the answer where we made the offer (RFC 3261 §13.2.2.4).
pub(super) fn on_ack(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let message = request.message;
    let Some(key) = message.to().tag().and_then(super::request::key_of_tag) else {
        return;
    };
    let known = shard.dialogs.get(key).is_some_and(|association| {
        association.connection == request.connection && association.dialog.owns(message)
    });
    // Of a dialog with a focus the 200 needs no proof: nothing is sent in it that could come too early.
    let Some(leg) = shard.leg_mut(key).filter(|_| known) else {
        return;
    };
    // Whoever made the offer themselves, or has answered ours already, has nothing to say here that counts.
    let answers = matches!(leg.state, State::Confirming(_) | State::Established)
        && leg.answer_due == Some(Due::of(message.cseq().number))
        && !message.body().is_empty();
    if answers {
        leg.answer_due = None;
        match simple::read_answer(message.body()) {
            Some(cpim) => leg.cpim = cpim,
            None => return give_up(shard, key, "no message stream", effects),
        }
    }
    confirm(shard, key, effects);
}

/// Nothing can be said in the dialog, or nothing is to be: BYE, and the session is told.
pub(super) fn give_up(
    shard: &mut Shard,
    key: DialogKey,
    reason: &'static str,
    effects: &mut Effects,
) {
    let leg = shard.leg_ref(key);
    let Some(Leg { session, pages, .. }) = shard.leg(key) else {
        return;
    };
    let session = pages.is_none().then_some(*session);
    say_bye(shard, key, effects);
    if let Some(session) = session {
        let letter = Letter::Leave {
            session,
            leg,
            reason,
        };
        shard.post_session(session, letter, effects);
    }
}

/// The ACK has come, or what proves that the 2xx has: what had to wait for it may go out.
pub(super) fn confirm(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    if let Some(leg) = shard.leg_mut(key)
        && matches!(leg.state, State::Confirming(_))
    {
        leg.state = State::Established;
        if !leg.told {
            on_reinvite::ask(shard, key, effects);
        }
    }
}

/// The session's owner: the INVITE of this leg may be answered 180.
pub(super) fn progress(shard: &mut Shard, leg: LegRef, effects: &mut Effects) {
    let key = key_of(leg);
    let Some(&Leg {
        state: State::Offered(server),
        session,
        ..
    }) = shard.leg(key)
    else {
        return;
    };
    let Some(association) = shard.dialogs.get(key) else {
        return;
    };
    let Some(link) = shard.connections.link(association.connection) else {
        return;
    };
    let tag = association.dialog.local_tag().to_owned();
    let scheme = association.dialog.scheme();
    let contact = our_contact(scheme, &format!("{SESSION_PREFIX}{session}"), &link);
    shard.provisional(server, 180, &tag, &contact, effects);
}

/// The session's owner: this leg is in. A leg whose INVITE waits gets its 200; one that rang has it already.
pub(super) fn welcome(shard: &mut Shard, leg: LegRef, focus: bool, effects: &mut Effects) {
    let key = key_of(leg);
    let until = shard.now.after(TIMEOUT);
    let Some(found) = shard.leg_mut(key) else {
        return;
    };
    found.focus = focus;
    let State::Offered(server) = found.state else {
        return;
    };
    found.state = State::Confirming(until);
    let (session, version) = (found.session, found.sdp_version);
    shard.look_at(until, Look::Dialog(key));
    let Some(association) = shard.dialogs.get_mut(key) else {
        return;
    };
    let Some(link) = shard.connections.link(association.connection) else {
        return;
    };
    let tag = association.dialog.local_tag().to_owned();
    let scheme = association.dialog.scheme();
    let body = match association.offer.take() {
        Some(answer) => answer.into(),
        None => simple::offer(&link, SDP_ID, version),
    };
    shard.settle_with(server, 200, "", Some(&tag), effects, |mut draft| {
        let user = format!("{SESSION_PREFIX}{session}");
        draft.contact(scheme, &user, &link, focus);
        draft.header("Allow", ALLOW);
        draft.header("Supported", SUPPORTED);
        if focus {
            draft.header("Allow-Events", "conference, refer");
            draft.header("Recv-Info", INFO_PACKAGE);
        }
        draft.body("application/sdp", &body);
    });
    on_summons::replace(shard, key, effects);
}

/// The session's owner, which keeps it no longer: this leg is in, and speaks with somebody in pager mode.
pub(super) fn pages(shard: &mut Shard, leg: LegRef, with: Aor, effects: &mut Effects) {
    let key = key_of(leg);
    let Some(Association {
        connection,
        usage: Usage::Leg(found),
        ..
    }) = shard.dialogs.get_mut(key)
    else {
        return;
    };
    found.pages = Some(with.clone());
    shard.paging.insert((*connection, with), key);
    welcome(shard, leg, false, effects);
}

/// The session's owner: this leg's INVITE is refused.
pub(super) fn refuse(shard: &mut Shard, leg: LegRef, outcome: &Outcome, effects: &mut Effects) {
    let Some(association) = shard.drop_dialog(key_of(leg)) else {
        return;
    };
    match association.usage {
        Usage::Leg(Leg {
            state: State::Offered(server),
            ..
        }) => shard.settle(server, outcome, effects),
        Usage::Focus(Focus {
            asking: Some(asking),
            ..
        }) => on_focus::refused(shard, asking.0, outcome, effects),
        _ => {}
    }
}

/// The session's owner: this leg is to end.
pub(super) fn end(shard: &mut Shard, key: DialogKey, parting: Parting, effects: &mut Effects) {
    if on_focus::end(shard, key, effects) {
        return;
    }
    match shard.leg(key).map(|leg| leg.state) {
        Some(State::Offered(server)) => {
            shard.drop_dialog(key);
            let outcome = match parting {
                Parting::Stopping => Outcome::with(503, "The Server Is Stopping"),
                _ => Outcome::of(480),
            };
            shard.settle(server, &outcome, effects);
        }
        Some(State::Established | State::Confirming(_)) => part(shard, key, parting, effects),
        Some(State::Ringing(..)) | None => {}
    }
}

/// Says BYE and forgets the dialog: whatever comes back changes nothing (RFC 3261 §15.1.1).
pub(super) fn say_bye(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    part(shard, key, Parting::Silent, effects);
}

pub(super) fn part(shard: &mut Shard, key: DialogKey, parting: Parting, effects: &mut Effects) {
    let Some(mut association) = shard.drop_dialog(key) else {
        return;
    };
    shard.ask(
        association.connection,
        Method::Bye,
        Purpose::Forget,
        effects,
        |out, link, branch| {
            let mut draft = association.dialog.request(out, "BYE", link, branch);
            if !parting.reason().is_empty() {
                draft.header("Reason", parting.reason());
            }
            draft.finish();
        },
    );
}

/// The ACK of a 2xx is no part of its transaction: it has a branch of its own (RFC 3261 §13.2.2.4).
/// `cseq` is the INVITE's, which stands in its 2xx too.
pub(super) fn acknowledge_2xx(shard: &mut Shard, key: DialogKey, cseq: u32, effects: &mut Effects) {
    let random = shard.fresh_tag();
    let Some(association) = shard.dialogs.get(key) else {
        return;
    };
    let Some(link) = shard.connections.link(association.connection) else {
        return;
    };
    let dialog = &association.dialog;
    effects.send(association.connection, |out| {
        let branch = format_args!("z9hG4bK{random}");
        dialog.acknowledge_2xx(out, &link, branch, cseq);
    });
}

/// The wheel: an ACK has not come, so the dialog is ended (RFC 3261 §13.3.1.4).
pub(super) fn look(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let until = match shard.leg(key).map(|leg| (leg.state, leg.told)) {
        Some((State::Confirming(until), _)) => until,
        Some((State::Established, false)) => return on_reinvite::ask(shard, key, effects),
        Some((State::Established, true)) => return on_typing::look(shard, key, effects),
        _ => return,
    };
    if until <= shard.now {
        return give_up(shard, key, "no ACK", effects);
    }
    // An ACK that is waited for till later has an entry of its own: this one is typing's.
    on_typing::look(shard, key, effects);
}

/// The server transaction of a leg whose INVITE waits.
pub(super) fn offered(shard: &Shard, server: ServerKey) -> Option<DialogKey> {
    let connection = shard
        .connections
        .get(shard.servers.get(server)?.connection)?;
    shard.dialogs.keys(&connection.dialogs).find(|key| {
        matches!(shard.leg(*key).map(|leg| leg.state), Some(State::Offered(waiting)) if waiting == server)
    })
}

/// Cancelled by who asked: 487, and the session is told.
pub(super) fn cancelled(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    leave(shard, key, "cancelled", effects);
}
