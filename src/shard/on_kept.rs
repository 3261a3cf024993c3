//! What this shard has asked the store to keep, and its answers. What was kept is in the user's record by then: the record comes first.

use std::collections::VecDeque;

use slotmap::{Key as _, KeyData};

use crate::presence::Choice;
use crate::shard::change::{Change, KeepTicket, NotKept};
use crate::shard::effect::{Effect, Effects};
use crate::shard::lync::on_added;
use crate::shard::lync::on_publish as on_publish_lync;
use crate::shard::lync::on_relations;
use crate::shard::lync::on_soap::{self, Editing};
use crate::shard::on_publish::{self, Publishing};
use crate::shard::on_waiting::Published;
use crate::shard::{Shard, UserKey, on_alert, on_subscribe, on_waiting};
use crate::sip::dialog::DialogKey;
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Aor;

/// Changes of one user's own that may wait for the store. All users share one queue there, and each waits for those in front: so
/// nobody fills it for the others. What is past it waits here, where it is an edit of the contact list, and is 503 otherwise.
///
/// COMPAT(SIPE, 1.25): it takes a group of any size out contact by contact, at once, and never looks at an answer: what was refused
/// would be there again at the next login. As many wait as one connection may have under way (`pending_max`).
const KEEPS_MAX: usize = 16;

/// What one user has asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Changes that the store has.
    count: usize,
    /// Edits of the contact list that it is to have next, in their order.
    later: VecDeque<(KeepKey, Change)>,
}

slotmap::new_key_type! {
    /// Something that waits for the store's word.
    pub(crate) struct KeepKey;
}

/// What was asked, until the store has answered.
#[derive(Debug)]
pub(crate) struct Keep {
    /// Whose doing it is; `None` where it is the server's.
    by: Option<Aor>,
    keeping: Keeping,
}

/// What is to be done when the store has answered. A script that owes somebody an answer adds what it needs to give it.
#[derive(Debug)]
pub(crate) enum Keeping {
    /// Nothing: nobody waits.
    Nobody,
    /// A SUBSCRIBE that asks for an alert is answered.
    Alert(DialogKey),
    /// A SUBSCRIBE is answered that ends its subscription and takes back the alert that this had set.
    AlertTakenBack(ServerKey, DialogKey),
    /// An alert that was told and could not be taken out is taken out later.
    AlertTold(Box<(UserKey, Aor)>),
    /// A PUBLISH is taken and answered.
    Publish(Box<Publishing>),
    /// SERVICE is answered.
    Service(ServerKey),
    /// SERVICE that publishes is taken and answered.
    Categories(Box<on_publish_lync::Pending>),
    /// A mailbox is answered that has said how many messages wait.
    Waiting(Published),
    /// A client is answered that has changed its user's contact list.
    Contacts(Box<Editing>),
    /// Whom somebody has added is told so, and by whom: `by` first.
    Added(Box<(Aor, Aor)>),
}

impl Shard {
    /// Asks the store to keep a change. Its answer is certain to come, `Kept` or not, if the process lives: at once where as many
    /// changes of the user's as may wait do, and this is no edit of the contact list.
    pub(crate) fn keep(&mut self, change: Change, keeping: Keeping, effects: &mut Effects) {
        let by = match keeping {
            // Once for each contact or choice: nobody can make them come often, and nobody waits.
            Keeping::Nobody | Keeping::AlertTold(_) => None,
            // It is somebody else's doing, and counted at them.
            Keeping::Added(_) => None,
            _ => Some(change.user().clone()),
        };
        let before = by.as_ref().and_then(|user| self.keeps.get(user));
        let waits = before.is_some_and(|asked| asked.count >= KEEPS_MAX);
        let later = before.map_or(0, |asked| asked.later.len());
        let may_wait = matches!(keeping, Keeping::Contacts(_))
            && later < usize::from(self.settings.pending_max);
        if waits && !may_wait {
            return done(self, keeping, Err(NotKept::Failed), effects);
        }
        let asked = by.clone().map(|user| self.keeps.entry(user).or_default());
        let key = self.keeping.insert(Keep { by, keeping });
        match asked {
            Some(asked) if waits => asked.later.push_back((key, change)),
            Some(asked) => {
                asked.count += 1;
                self.ask_store(key, change, effects);
            }
            None => self.ask_store(key, change, effects),
        }
    }

    fn ask_store(&self, key: KeepKey, change: Change, effects: &mut Effects) {
        let ticket = KeepTicket {
            shard: self.me,
            key: key.data().as_ffi(),
        };
        effects.list.push(Effect::Keep { ticket, change });
    }
}

/// The store's word.
pub(super) fn on_kept(
    shard: &mut Shard,
    ticket: KeepTicket,
    outcome: Result<(), NotKept>,
    effects: &mut Effects,
) {
    let key: KeepKey = KeyData::from_ffi(ticket.key).into();
    let Some(Keep { by, keeping }) = shard.keeping.remove(key) else {
        return;
    };
    if let Some(user) = by
        && let Some(asked) = shard.keeps.get_mut(&user)
    {
        // The next one has its place, and counts as it did.
        let next = asked.later.pop_front();
        if next.is_none() {
            asked.count -= 1;
            if asked.count == 0 {
                shard.keeps.remove(&user);
            }
        }
        if let Some((next, change)) = next {
            shard.ask_store(next, change, effects);
        }
    }
    done(shard, keeping, outcome, effects);
}

fn done(shard: &mut Shard, keeping: Keeping, outcome: Result<(), NotKept>, effects: &mut Effects) {
    match (keeping, outcome) {
        (Keeping::Nobody, _) => {}
        (Keeping::Alert(dialog), Ok(())) => {
            if let Some((watcher, whom)) = on_subscribe::watcher_and_watched(shard, dialog) {
                on_alert::kept(shard, dialog, &watcher, &whom, effects);
            }
            on_subscribe::grant(shard, dialog, effects);
        }
        (Keeping::Alert(dialog), Err(not_kept)) => {
            on_subscribe::refused(shard, dialog, &not_kept.outcome(), effects);
        }
        (Keeping::AlertTakenBack(server, dialog), outcome) => {
            on_subscribe::alert_taken_back(shard, server, dialog, outcome, effects);
        }
        (Keeping::AlertTold(told), outcome) => on_alert::taken_out(shard, *told, outcome),
        (Keeping::Publish(publishing), outcome) => {
            on_publish::kept(shard, *publishing, outcome, effects);
        }
        (Keeping::Service(server), outcome) => {
            on_relations::kept(shard, server, outcome, effects);
        }
        (Keeping::Categories(pending), outcome) => {
            on_publish_lync::kept(shard, *pending, outcome, effects);
        }
        (Keeping::Waiting(published), outcome) => {
            on_waiting::kept(shard, &published, outcome, effects);
        }
        (Keeping::Contacts(editing), outcome) => {
            on_soap::kept(shard, &editing, outcome, effects);
        }
        (Keeping::Added(pair), _) => on_added::kept(shard, &pair),
    }
}

/// A choice whose time is over is taken out of the store, so that it is not there again after a restart. Until that is done it
/// counts no more anyway.
pub(super) fn end_choice(shard: &mut Shard, key: UserKey, effects: &mut Effects) {
    let Some(record) = shard.users.get(key).map(|user| &user.record) else {
        return;
    };
    let choice = record
        .standing
        .as_ref()
        .and_then(|standing| standing.choice.as_ref());
    let Some(until) = choice
        .and_then(Choice::end)
        .filter(|until| *until <= shard.now)
    else {
        return;
    };
    let user = record.aor.clone();
    shard.keep(
        Change::ChoiceEnded { user, until },
        Keeping::Nobody,
        effects,
    );
}
