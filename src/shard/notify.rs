//! NOTIFY: a small head of its own for each watcher, and the body that all share (RFC 6665 §4.2.2).

use std::sync::Arc;

use rand_core::Rng;

use crate::dialect::Dialect;
use crate::dialect::lync::{self, Roaming, contact_list, pending, provisioning};
use crate::documents::{conference_info, dialog_info, winfo};
use crate::presence::{Contacts, Package, Subscribers};
use crate::shard::Shard;
use crate::shard::effect::Effects;
use crate::shard::lync as lync_scripts;
use crate::shard::usage::{Association, Purpose, Subject, Usage};
use crate::shard::{on_fanout, on_list, on_refer, on_state, on_subscribe, on_winfo};
use crate::sip::build::{self, Draft, Value};
use crate::sip::dialog::DialogKey;
use crate::sip::message::Method;

/// How the state of a subscription that goes on begins; the seconds that it lasts follow.
const ACTIVE: &str = "active;expires=";

enum Body {
    None,
    Shared(&'static str, Arc<[u8]>),
    /// Made for this one, of this type.
    Own(String, Vec<u8>),
    Line(String),
}

impl Body {
    fn write(&self, draft: Draft<'_>) {
        match self {
            Body::None => draft.finish(),
            Body::Shared(content_type, bytes) => draft.body(content_type, bytes),
            Body::Own(content_type, bytes) => draft.body(content_type, bytes),
            Body::Line(line) => draft.body("message/sipfrag;version=2.0", line.as_bytes()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Body::None => 0,
            Body::Shared(_, bytes) => bytes.len(),
            Body::Own(_, bytes) => bytes.len(),
            Body::Line(line) => line.len(),
        }
    }
}

/// What the answer to a SUBSCRIBE carries that asks for the first state in it.
pub(super) struct FirstState {
    package: &'static str,
    event_id: Box<str>,
    granted_s: u32,
    is_list: bool,
    cseq: u32,
    body: Body,
}

impl FirstState {
    /// Ends the answer with it.
    pub fn write(&self, mut draft: Draft<'_>) {
        draft.header("Expires", self.granted_s);
        event(&mut draft, self.package, &self.event_id);
        if self.granted_s == 0 {
            draft.header("subscription-state", "terminated;expires=0");
        } else {
            draft.header("subscription-state", (ACTIVE, self.granted_s));
        }
        if self.is_list {
            draft.header("Require", "eventlist");
        }
        draft.header("ms-piggyback-cseq", self.cseq);
        draft.header("Supported", lync::SUPPORTED);
        self.body.write(draft);
    }
}

fn event(draft: &mut Draft<'_>, package: &str, id: &str) {
    if id.is_empty() {
        draft.line("Event: ", package);
    } else {
        draft.line("Event: ", [package, ";id=", id]);
    }
}

impl Shard {
    /// Tells a watcher the newest state: now, or when the NOTIFY that is under way has been answered, or when its
    /// connection has caught up, or in the next turn where it has been told as much as a turn may. Past its end it is told that too.
    pub(super) fn notify(&mut self, key: DialogKey, effects: &mut Effects) {
        let Some(Association {
            connection,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get_mut(key)
        else {
            return;
        };
        if let Subject::List(list) = &subscription.subject
            && list.package() == Package::Categories
        {
            return lync_scripts::on_batch::notify(self, key, effects);
        }
        if subscription.waiting.is_some() {
            return;
        }
        if subscription.expires <= self.now {
            return self.expire(key, effects);
        }
        let connection = *connection;
        let room = self.connections.room(connection, self.now);
        subscription.stale = subscription.outstanding || room == 0;
        if subscription.stale {
            if !subscription.outstanding {
                on_fanout::later(self, connection, effects);
            }
            return;
        }
        let benotify = subscription.telling.benotify;
        subscription.outstanding = !benotify;
        let left_s = subscription.expires.since(self.now).as_secs();
        let body = self.body_of(key);
        self.write_notify(key, body, Purpose::Notify(key), (ACTIVE, left_s), effects);
        // No answer brings along what a list had no room for.
        if benotify && self.is_stale(key) {
            on_fanout::later(self, connection, effects);
        }
    }

    fn is_stale(&self, key: DialogKey) -> bool {
        let association = self.dialogs.get(key);
        matches!(
            association.map(|association| &association.usage),
            Some(Usage::Subscription(subscription)) if subscription.stale
        )
    }

    /// The time of a subscription is over: its watcher is told so, now or as soon as there is room.
    pub(super) fn expire(&mut self, key: DialogKey, effects: &mut Effects) {
        let Some(Association {
            connection,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get_mut(key)
        else {
            return;
        };
        let connection = *connection;
        if self.connections.room(connection, self.now) > 0 {
            return self.terminate(key, "timeout", effects);
        }
        // A NOTIFY under way does not hold up the last one.
        (subscription.stale, subscription.outstanding) = (true, false);
        on_fanout::later(self, connection, effects);
    }

    /// Tells a watcher the newest state, where there is room for it, and that it was the last (RFC 6665 §4.2.3), and forgets the
    /// subscription.
    pub(super) fn terminate(&mut self, key: DialogKey, reason: &str, effects: &mut Effects) {
        let Some(Association {
            connection,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get(key)
        else {
            return;
        };
        let is_brief = matches!(subscription.subject, Subject::Refer { .. });
        let body = match self.connections.room(*connection, self.now) {
            0 if !is_brief => Body::None,
            _ => self.body_of(key),
        };
        self.write_notify(
            key,
            body,
            Purpose::Forget,
            ["terminated;reason=", reason],
            effects,
        );
        on_subscribe::forget(self, key, effects);
    }

    /// Tells a watcher who has all up to it what is new. False where that can't be now: then the newest state follows as
    /// soon as it can.
    pub(super) fn notify_of(
        &mut self,
        key: DialogKey,
        content_type: &'static str,
        document: &Arc<[u8]>,
        effects: &mut Effects,
    ) -> bool {
        let Some(Association {
            connection,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get_mut(key)
        else {
            return false;
        };
        if subscription.waiting.is_some() {
            return false;
        }
        let connection = *connection;
        let room = self.connections.room(connection, self.now);
        // Who has refused what came before has not all up to it. In a list each stands for itself.
        let is_list = matches!(subscription.subject, Subject::List(_));
        let has_gap = subscription.refusals > 0 && !is_list;
        subscription.stale |= subscription.outstanding || room == 0 || has_gap;
        if subscription.stale {
            if !subscription.outstanding {
                on_fanout::later(self, connection, effects);
            }
            return false;
        }
        subscription.outstanding = !subscription.telling.benotify;
        let left_s = subscription.expires.since(self.now).as_secs();
        let state = (ACTIVE, left_s);
        let body = Body::Shared(content_type, document.clone());
        self.write_notify(key, body, Purpose::Notify(key), state, effects);
        true
    }

    fn write_notify(
        &mut self,
        key: DialogKey,
        body: Body,
        purpose: Purpose,
        state: impl Value,
        effects: &mut Effects,
    ) {
        let Some(Association {
            connection,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get(key)
        else {
            return;
        };
        let (connection, benotify) = (*connection, subscription.telling.benotify);
        // Of what is told in a leg's dialog the number and the Contact are the leg's.
        let parent = match subscription.subject {
            Subject::Refer { parent, .. } => parent,
            _ => None,
        };
        let cseq = parent.and_then(|leg| self.next_cseq(leg));
        let place = on_refer::place(self, parent);
        let Some(link) = self.connections.link(connection) else {
            return;
        };
        let branch = if benotify {
            // No answer will look for it.
            self.branches.unanswered(self.rng.next_u64())
        } else {
            let Some(client) = self.open_client(connection, Method::Notify, purpose) else {
                return;
            };
            self.branches.of(client)
        };
        let Some(Association {
            dialog,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get_mut(key)
        else {
            return;
        };
        if let Some(cseq) = cseq {
            dialog.local_cseq = cseq;
        }
        let written = effects.bytes.len();
        effects.notify(connection, |out| {
            let method = if benotify { "BENOTIFY" } else { "NOTIFY" };
            let mut draft = dialog.request(out, method, &link, branch);
            draft.contact(dialog.scheme(), &place.user, &link, place.focus);
            // COMPAT(linphone, 5.1 to 5.4): of what it is told it takes for a list only what is written so, though it asks for
            // `presence` as all do, and RFC 6665 §8.2.1 compares byte by byte.
            let package = match subscription.subject {
                Subject::List(_) if subscription.is_linphones => "Presence",
                ref subject => subject.package(),
            };
            event(&mut draft, package, &subscription.event_id);
            draft.line("Subscription-State: ", state);
            if matches!(subscription.subject, Subject::List(_)) {
                draft.line("Require: ", "eventlist");
            }
            body.write(draft);
        });
        let bytes = effects.bytes.len() - written;
        self.connections.told(connection, self.now, bytes);
    }

    /// The state as the answer to SUBSCRIBE carries it, in the place of a first NOTIFY ([MS-SIP] §3.4). Its number in the
    /// dialog's order is used up as that NOTIFY's would be.
    pub(super) fn first_state(&mut self, key: DialogKey, granted_s: u32) -> FirstState {
        if let Some(Association {
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get_mut(key)
        {
            // As far as it finds room: then it is again.
            subscription.stale = false;
        }
        let body = self.body_of(key);
        let mut first = FirstState {
            package: "",
            event_id: "".into(),
            granted_s,
            is_list: false,
            cseq: 1,
            body,
        };
        if let Some(Association {
            connection,
            dialog,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get_mut(key)
        {
            self.connections
                .told(*connection, self.now, first.body.len());
            dialog.local_cseq += 1;
            first.cseq = dialog.local_cseq;
            first.package = subscription.subject.package();
            first.event_id = subscription.event_id.clone();
            first.is_list = matches!(subscription.subject, Subject::List(_));
        }
        first
    }

    /// What there is to say: for a roster the change alone, where the watcher has all up to it.
    fn body_of(&mut self, key: DialogKey) -> Body {
        let Some(Association {
            connection,
            usage: Usage::Subscription(subscription),
            ..
        }) = self.dialogs.get_mut(key)
        else {
            return Body::None;
        };
        match &subscription.subject {
            Subject::Watched(Package::Watchers, _) => match on_winfo::body(self, key) {
                Some(document) => Body::Own(winfo::CONTENT_TYPE.into(), document),
                None => Body::None,
            },
            Subject::Watched(package, user) => {
                match self
                    .watching
                    .shown(*package, user, on_state::watch_key(key))
                {
                    // What counts the documents of one subscription can't stand in what all share (RFC 4235 §4.1).
                    Some(shown) if *package == Package::Dialog => {
                        let version = subscription.version.map_or(0, |last| last.wrapping_add(1));
                        subscription.version = Some(version);
                        let document = dialog_info::numbered(&shown.document, version);
                        Body::Own(package.content_type().into(), document)
                    }
                    Some(shown) => Body::Shared(package.content_type(), shown.document.clone()),
                    None => Body::None,
                }
            }
            Subject::List(list) if list.package() == Package::Categories => {
                match lync_scripts::on_batch::body(self, key) {
                    Some((content_type, body)) => Body::Own(content_type, body),
                    None => Body::None,
                }
            }
            Subject::List(_) => match on_list::body(self, key) {
                Some((content_type, body)) => Body::Own(content_type, body),
                None => Body::None,
            },
            Subject::Roster(session) => match self.rosters.get(session) {
                Some(roster) => {
                    let lync = self.connections.dialect(*connection) == Dialect::Lync;
                    let (full, changed) = match &roster.lync {
                        Some((full, changed)) if lync => (full, changed),
                        _ => (&roster.full, &roster.partial),
                    };
                    let next = subscription.version.map(|version| version.wrapping_add(1));
                    let partial = next == Some(roster.version) && !changed.is_empty();
                    subscription.version = Some(roster.version);
                    let document = if partial { changed } else { full };
                    Body::Shared(conference_info::CONTENT_TYPE, document.clone())
                }
                None => Body::None,
            },
            Subject::Roaming(roaming) => {
                let roaming = *roaming;
                let document = match roaming {
                    Roaming::Own(wanted) => {
                        let own = {
                            let watcher = subscription.watcher.clone();
                            lync_scripts::on_own::full(self, &watcher, wanted)
                        };
                        own.unwrap_or_default()
                    }
                    Roaming::Contacts => {
                        let standing = self
                            .by_aor
                            .get(&subscription.watcher)
                            .and_then(|user| self.users.get(*user))
                            .and_then(|user| user.record.standing.as_deref());
                        let none = Contacts::default();
                        let contacts = standing.map_or(&none, |standing| &standing.contacts);
                        subscription.version = Some(contact_list::number(contacts));
                        contact_list::full(contacts)
                    }
                    Roaming::Pending => {
                        let standing = self
                            .by_aor
                            .get(&subscription.watcher)
                            .and_then(|user| self.users.get(*user))
                            .and_then(|user| user.record.standing.as_deref());
                        let none = Subscribers::NONE;
                        let waiting = standing.map_or(&none, |standing| &standing.subscribers);
                        let mut document = Vec::with_capacity(512);
                        pending::write(&mut document, waiting);
                        document
                    }
                    Roaming::Provisioning => {
                        let mut document = Vec::with_capacity(512);
                        provisioning::write(&mut document, &subscription.watcher);
                        document
                    }
                };
                Body::Own(roaming.content_type().into(), document)
            }
            Subject::Refer { outcome, .. } => {
                let reason = if outcome.reason.is_empty() {
                    build::reason(outcome.status)
                } else {
                    &outcome.reason
                };
                Body::Line(format!("SIP/2.0 {} {reason}\r\n", outcome.status))
            }
        }
    }

    /// A REFER's subscription in a leg's dialog takes the leg's next CSeq: one dialog has one order. What is given is the last
    /// one before it.
    fn next_cseq(&mut self, leg: DialogKey) -> Option<u32> {
        let dialog = &mut self.dialogs.get_mut(leg)?.dialog;
        let cseq = dialog.local_cseq;
        dialog.local_cseq += 1;
        Some(cseq)
    }
}
