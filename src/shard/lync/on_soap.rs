//! SOAP over SERVICE ([MS-SIP] §3.5): a user's client changes the contact list, or searches the directory.
//!
//! A change goes to the store and is made in the list that is there then; the answer waits for that, and what has changed goes to
//! all of the user's endpoints before it. Whoever is refused, or has changed nothing, is told how it is, and gets the whole list
//! again: SIPE shows its user what it has asked for, and does not look at the answer.

use crate::dialect::lync::contact_list;
use crate::dialect::lync::soap::{self, Bad, Call};
use crate::presence::{CONTACTS_MAX, ContactEdit, ContactError, Contacts, GROUPS_MAX};
use crate::presence::{Item, NAME_CHARS_MAX};
use crate::shard::Shard;
use crate::shard::change::{Change, NotKept};
use crate::shard::effect::Effects;
use crate::shard::lync::{on_contacts, on_search};
use crate::shard::on_kept::Keeping;
use crate::shard::request::{Request, Target};
use crate::shard::standing::StandingError;
use crate::sip::link::ConnectionId;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// A change that the store was asked to keep, and whoever waits for it.
#[derive(Debug)]
pub(crate) struct Editing {
    server: ServerKey,
    connection: ConnectionId,
    user: Aor,
    method: &'static str,
    edit: ContactEdit,
    /// The number that this connection had been told of.
    told: Option<u32>,
}

pub(in crate::shard) fn on_soap(shard: &mut Shard, request: Request<'_>, effects: &mut Effects) {
    let Some(body) = shard.body(request, effects) else {
        return;
    };
    let call = match soap::read(&body) {
        Ok(call) => call,
        Err(Bad::Method) => return refuse(shard, request, 501, "No Such Method Here", effects),
        Err(Bad::Xml(fault)) => {
            return refuse(shard, request, fault.status(), fault.reason(), effects);
        }
    };
    let target = shard.target(request.message.uri(), &request.link);
    let mine = match &target {
        Target::User(user) => shard.is_user(request, user),
        _ => false,
    };
    match (call, target) {
        (Call::Search(question), target) if mine || target == Target::Server => {
            on_search::search(shard, request, question, effects);
        }
        (
            Call::Edit {
                method,
                edit,
                known,
            },
            Target::User(user),
        ) if mine => change(shard, request, user, method, edit, known, effects),
        _ => refuse(shard, request, 403, "Only Your Own Contacts", effects),
    }
}

fn change(
    shard: &mut Shard,
    request: Request<'_>,
    user: Aor,
    method: &'static str,
    edit: ContactEdit,
    known: Option<u32>,
    effects: &mut Effects,
) {
    let connection = request.connection;
    let number = contact_list::number(&list(shard, &user));
    let known = known.unwrap_or(number);
    if let Some(subscriber) = shard.subscribers.get_mut(&user) {
        let item = edit.item();
        if subscriber.edits.conflict(known, connection, &item) {
            let reason = "Somebody Else Has Changed It";
            let fault = soap::fault(true, reason, Some(number));
            shard.answer_with(request, 409, reason, effects, |draft| {
                draft.body(soap::CONTENT_TYPE, &fault);
            });
            return on_contacts::tell_again(shard, &user, connection, &item, effects);
        }
        let next = number.saturating_add(1);
        subscriber.edits.add(next, connection, item);
    }
    let told = on_contacts::told_on(shard, &user, connection);
    let Some(server) = shard.open(request) else {
        return;
    };
    let editing = Editing {
        server,
        connection,
        user: user.clone(),
        method,
        edit: edit.clone(),
        told,
    };
    let keeping = Keeping::Contacts(Box::new(editing));
    shard.keep(Change::Contacts(user, edit), keeping, effects);
}

/// The store's word. What has changed has been told by then.
pub(in crate::shard) fn kept(
    shard: &mut Shard,
    editing: &Editing,
    outcome: Result<(), NotKept>,
    effects: &mut Effects,
) {
    let (user, connection) = (&editing.user, editing.connection);
    match outcome {
        Ok(()) => {
            let group = match editing.edit.item() {
                Item::NewGroup(name) => list(shard, user).group(&name),
                Item::Contact(_) | Item::Group(_) => None,
            };
            let body = soap::made(editing.method, group);
            shard.settle_with(editing.server, 200, "", None, effects, |draft| {
                draft.body(soap::CONTENT_TYPE, &body);
            });
            let told = on_contacts::told_on(shard, user, connection);
            if told != editing.told {
                return;
            }
        }
        Err(not_kept) => {
            let (status, reason) = refusal(not_kept);
            let body = soap::fault(status < 500, &reason, None);
            shard.settle_with(editing.server, status, &reason, None, effects, |draft| {
                draft.body(soap::CONTENT_TYPE, &body);
            });
        }
    }
    let item = editing.edit.item();
    if let Some(subscriber) = shard.subscribers.get_mut(user) {
        subscriber.edits.forget(connection, &item);
    }
    on_contacts::tell_again(shard, user, connection, &item, effects);
}

/// The status for what was not kept, and what the limit is.
fn refusal(not_kept: NotKept) -> (u16, String) {
    let NotKept::Refused(StandingError::Contacts(error)) = not_kept else {
        let outcome = not_kept.outcome();
        return (outcome.status, outcome.reason.into());
    };
    match error {
        ContactError::TooMany => (403, format!("At Most {CONTACTS_MAX} Contacts")),
        ContactError::TooManyGroups => (403, format!("At Most {GROUPS_MAX} Groups")),
        ContactError::BadName | ContactError::BadGroupName | ContactError::Twice => (
            400,
            format!("A Name Is One Line Of At Most {NAME_CHARS_MAX} Characters"),
        ),
        ContactError::GroupExists => (409, "There Is A Group Of That Name".into()),
        ContactError::NoSuchGroup => (404, "No Such Group".into()),
    }
}

/// Answers at once that nothing was done.
pub(super) fn refuse(
    shard: &mut Shard,
    request: Request<'_>,
    status: u16,
    reason: &str,
    effects: &mut Effects,
) {
    let body = soap::fault(status < 500, reason, None);
    shard.answer_with(request, status, reason, effects, |draft| {
        draft.body(soap::CONTENT_TYPE, &body);
    });
}

fn list(shard: &Shard, user: &Aor) -> Contacts {
    let standing = shard
        .user(user)
        .and_then(|user| user.record.standing.as_ref());
    standing.map_or_else(Contacts::default, |standing| standing.contacts.clone())
}
