//! What the shard's dialogs and transactions are for.

use std::sync::Arc;

use crate::calls::carried::Invite;
use crate::calls::search::Search;
use crate::calls::threads::{Peer, Threads};
use crate::dialect::lync::cccp::Envelope;
use crate::dialect::lync::{Roaming, Telling};
use crate::immcu::SessionId;
use crate::immcu::content::{Content, Outcome, Party};
use crate::immcu::leg::Leg;
use crate::presence::{List, Package};
use crate::registrar::EndpointId;
use crate::shard::UserKey;
use crate::shard::letter::{Awaited, Invited, LyncRoster, Speaker, Ticket};
use crate::shard::reach::{Reached, Stages};
use crate::sip::armed::Armed;
use crate::sip::build::Hex;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;
use crate::sip::transaction::{ClientKey, ServerKey};
use crate::sip::uri::Aor;

/// One call, at the owner of who calls.
#[derive(Debug)]
pub(crate) struct Call {
    pub caller: Aor,
    /// The caller's endpoint's instance id; may be empty.
    pub endpoint: Box<str>,
    /// What rings.
    pub invite: Arc<Invite>,
    /// Who was dialled, or which one endpoint of theirs, and how urgently.
    pub dialled: Invited,
    pub search: Search,
    /// The branch that has answered.
    pub answered: Option<usize>,
    /// When the INVITE came.
    pub began: Now,
    /// Messages that reached the other side, of who called and of who was called.
    pub messages_sent: [u32; 2],
    pub armed: Armed,
}

slotmap::new_key_type! {
    /// A pager message on its way to a user's endpoints.
    pub(crate) struct DeliveryKey;
    /// A conference's message on its way to several legs of one user.
    pub(crate) struct CopiesKey;
    /// A client's part in a call.
    pub(crate) struct EndKey;
}

/// A client's part in a call, on the shard of its connection.
#[derive(Debug)]
pub(crate) struct End {
    pub call: SessionId,
    /// 0 for the caller, else one more than the branch's.
    pub number: u32,
    pub user: Aor,
    /// Who calls, also where From does not say so: their user learns it from nothing that is done with this.
    pub caller: Aor,
    pub connection: ConnectionId,
    pub stage: Stage,
    pub threads: Threads,
    /// By which the *other* side reaches us: what becomes of our Record-Route in what this client answers.
    pub route: Box<str>,
    /// An INVITE of this client that waits, and who has it.
    pub server: Option<(ServerKey, Peer)>,
    /// The Via branch of this client's last INVITE: an ACK that has it too ends here (RFC 3261 §17.1.1.3).
    pub branch: Box<str>,
    /// An INVITE to this client that waits.
    pub client: Option<ClientKey>,
    /// Why it is cancelled: somebody else has answered.
    pub elsewhere: bool,
    /// REFERs that went through it, either way, of which nobody has said yet how they end.
    pub refers: u8,
    /// This client's REFERs that wait, and what it tells of others' and waits.
    pub referring: Vec<(ServerKey, Story)>,
}

/// What a request in a call has to do with a REFER.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Story {
    /// It is none of it.
    None,
    /// It is the REFER.
    Begins,
    /// How it goes, and it goes on.
    GoesOn,
    /// The last word on it.
    Ends,
}

impl Story {
    /// Whether no more is to be told once this has had its final answer: the REFER is refused or lost, the last word has arrived, or
    /// whoever asked for it has forgotten it.
    pub fn is_over(self, status: u16) -> bool {
        match self {
            Story::None => false,
            Story::Begins => status >= 300,
            Story::GoesOn => status == 481,
            Story::Ends => status < 300 || status == 481,
        }
    }
}

/// How far a client's part in a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The caller waits, or the callee is rung.
    Ringing,
    /// It was rung, and is to ring no more.
    Cancelled,
    /// It has accepted, and the call's owner has not said whether it was the first.
    Accepted,
    /// In the call; true where the other side is a conference.
    Talking(bool),
    /// The call is over, and a REFER in it is not: how it goes is still told (RFC 5057 §4.1), for `REFER_MAX` at most.
    Referred,
}

/// A request of a call's client on its way to the other.
#[derive(Debug)]
pub(crate) struct Errand {
    pub ticket: Ticket,
    pub call: SessionId,
    pub end: EndKey,
    /// The sender's tag and the receiver's.
    pub tags: (Box<str>, Box<str>),
    pub cseq: u32,
    pub story: Story,
    /// Whose message it is in the call's record, where it is one.
    pub speaker: Option<u32>,
}

/// A pager message on its way: answered as soon as one endpoint has taken it, or when all have refused.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub ticket: Ticket,
    pub from: Aor,
    pub to: Aor,
    pub counts: bool,
    pub waiting: usize,
    pub best: Option<Outcome>,
    pub told: bool,
    /// The endpoint that has it, as long as no other one has.
    pub only: Option<EndpointId>,
    /// Whom it goes to when those who have it do not take it.
    pub staged: Option<Box<Staged>>,
}

impl Delivery {
    /// An endpoint has refused it, or has no room for it.
    pub fn refused(&mut self, outcome: Outcome) {
        self.best = Some(match self.best.take() {
            Some(best) => best.better(outcome),
            None => outcome,
        });
    }
}

/// What a message needs for its next stage.
#[derive(Debug)]
pub(crate) struct Staged {
    pub wording: Wording,
    /// Those it went to.
    pub reached: Vec<Reached>,
    /// Those it will go to.
    pub stages: Stages,
    /// When the next stage begins.
    pub next_at: Now,
}

/// What all copies of a pager message have in common.
#[derive(Debug)]
pub(crate) struct Wording {
    pub from: Party,
    pub tag: Hex,
    pub call_id: Box<str>,
    pub content: Content,
}

/// A dialog with its connection and its one usage (RFC 5057 §7: dialogs are not shared).
///
/// Memory of a subscription: 208 bytes and 16 in the shard's table (`a_subscription_is_small` holds that), 32 for each of its timers
/// in the wheel, and the dialog's text, 150 to 250 bytes; what it watches costs 8 to 16 more in `Watching`.
#[derive(Debug)]
pub(crate) struct Association {
    pub connection: ConnectionId,
    pub dialog: Dialog,
    pub usage: Usage,
    /// The session description that answers their offer, until their INVITE is accepted.
    pub offer: Option<Box<[u8]>>,
}

/// What a dialog is for.
#[derive(Debug)]
pub(crate) enum Usage {
    Leg(Leg),
    Focus(Focus),
    Subscription(Subscription),
}

/// Somebody's dialog with the focus of a conference, in which they ask for things and do not speak.
#[derive(Debug)]
pub(crate) struct Focus {
    pub session: SessionId,
    pub user: Aor,
    /// Their INVITE, until it is answered.
    pub asking: Option<Box<(ServerKey, Envelope)>>,
}

/// What a request's answer says beside its status, where somebody else decides that.
#[derive(Debug)]
pub(crate) enum Answering {
    /// C3P: what was asked.
    Cccp(Envelope, &'static str),
    /// The number by which a report will name the message.
    Message(u32),
    /// To an invitation into this conference: a dialog that nobody uses.
    Invitation(SessionId),
    /// To a REFER: whose dialog it came in, or makes (RFC 3515 §2.2); and whether nobody subscribes by it (RFC 4488 §4).
    Refer { leg: Option<DialogKey>, quiet: bool },
}

/// What a subscription is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    /// Something of a user: its owner has asked, or is asked, at which level it may be seen.
    Watched(Package, Aor),
    Roster(SessionId),
    /// Many users at once.
    List(Box<List>),
    /// Something of the subscriber's own, in Lync's way.
    Roaming(Roaming),
    /// How a REFER goes; its NOTIFY carries the status line.
    Refer {
        /// The last status. Rare, so it has no room in all others.
        outcome: Box<Outcome>,
        /// The leg whose dialog, and CSeq, its NOTIFYs use.
        parent: Option<DialogKey>,
    },
}

impl Subject {
    /// Does it watch this of this user?
    pub fn is_about(&self, package: Package, user: &Aor) -> bool {
        match self {
            Subject::Watched(p, u) => (*p, u) == (package, user),
            Subject::List(list) => package == list.package() && list.contains(user),
            Subject::Roster(_) | Subject::Roaming(_) | Subject::Refer { .. } => false,
        }
    }

    /// What it costs of the subscriptions that a user may have.
    pub fn edges(&self) -> usize {
        match self {
            Subject::Watched(..) | Subject::Roster(_) | Subject::Roaming(_) => 1,
            Subject::List(list) => list.edges(),
            Subject::Refer { .. } => 0,
        }
    }

    /// The event package's name.
    pub fn package(&self) -> &'static str {
        match self {
            Subject::Watched(package, _) => package.event(),
            Subject::Roster(_) => "conference",
            Subject::List(_) => "presence",
            Subject::Roaming(roaming) => roaming.event(),
            Subject::Refer { .. } => "refer",
        }
    }
}

/// The notifier's side of a subscription (RFC 6665 §4.2). NOTIFY is paced by its own answer: one is under way at a
/// time, and what changed meanwhile is sent as its newest state.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub subject: Subject,
    /// Who subscribes.
    pub watcher: Aor,
    /// The `id` of the Event header; may be empty.
    pub event_id: Box<str>,
    /// When it began.
    pub since: Now,
    pub expires: Now,
    pub armed: Armed,
    /// The SUBSCRIBE that waits until the subject's owner has answered.
    pub waiting: Option<ServerKey>,
    /// The seconds that the waiting SUBSCRIBE is to be granted.
    pub granted_s: u32,
    /// The store is to keep an alert of the same before the SUBSCRIBE is answered.
    pub alert: bool,
    /// How the client wants to be told.
    pub telling: Telling,
    /// The client is one of liblinphone's, which reads lists in its own way: see `on_list::body` and `notify`.
    pub is_linphones: bool,
    /// A NOTIFY is under way.
    pub outstanding: bool,
    /// There is something newer than what was sent last.
    pub stale: bool,
    /// How often in a row the watcher has refused what it was sent, and wants to keep the subscription.
    pub refusals: u8,
    /// The version of the roster that was sent last; `None` for none, so the next is a full one. Of dialogs the last
    /// document's number.
    pub version: Option<u32>,
    /// Of a list of watchers: what was told last.
    pub told: Option<Box<Told>>,
}

impl Subscription {
    /// Refusals in a row after which a watcher is told again; past that it hears what changes, as all do.
    pub const REFUSALS_MAX: u8 = 6;

    /// What was sent last is not what the watcher has: something is newer, or it was refused.
    pub fn is_behind(&self) -> bool {
        self.stale || self.refusals > 0
    }

    /// The watcher has refused what there is, and is to be told again in a while.
    pub fn is_told_again(&self) -> bool {
        let waits = self.outstanding || self.waiting.is_some();
        !waits && (1..=Subscription::REFUSALS_MAX).contains(&self.refusals)
    }

    /// The next document is a whole one. The count of dialog documents goes on (RFC 4235 §4.1).
    pub fn begin_anew(&mut self) {
        if !matches!(self.subject, Subject::Watched(Package::Dialog, _)) {
            self.version = None;
        }
        if let Some(told) = &mut self.told {
            told.list = None;
        }
    }
}

/// Where a subscription to a list of watchers is (RFC 3858 §4.2: its documents are numbered).
#[derive(Debug)]
pub(crate) struct Told {
    /// Of the next document.
    pub version: u32,
    /// The list as it was told last; `None` where the next document is to be a whole one.
    pub list: Option<Arc<[u8]>>,
}

/// What a request of ours is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A pager message to one of a user's endpoints, within the leg that speaks with its author, where there is one.
    Page(DeliveryKey, Option<DialogKey>),
    /// A message of a session.
    Convey(Box<Conveyance>),
    /// An alert to one of its owner's endpoints: whose, and of whom.
    Alert(Box<(UserKey, Aor)>),
    /// A state to a watcher.
    Notify(DialogKey),
    /// An invitation to one of a user's endpoints.
    Invite(DialogKey),
    /// A re-INVITE that tells a leg it is in a conference.
    Reinvite(DialogKey),
    /// An invitation in its place, for a client that comes by itself: a dialog of its own.
    Move(Box<Dialog>),
    /// A call to one of a user's endpoints.
    Call(EndKey),
    /// A request in a call, from its other side.
    Pass(Box<Errand>),
    /// BYE, CANCEL, a last NOTIFY: whatever is answered, nobody waits.
    Forget,
}

/// A message on its way to one leg.
#[derive(Debug)]
pub(crate) struct Conveyance {
    pub session: SessionId,
    pub leg: DialogKey,
    pub speaker: Option<Speaker>,
    pub awaited: Option<Awaited>,
    pub counts: bool,
    /// The message's copies to other legs of the same user.
    pub copies: Option<CopiesKey>,
}

/// A message of a conference on its way to several legs of one user: it has missed them when all of those have.
#[derive(Debug)]
pub(crate) struct Copies {
    /// Those that have not answered.
    pub waiting: usize,
    /// One of them has it.
    pub taken: bool,
}

/// A conference's roster as the subscriptions of this shard see it.
#[derive(Debug)]
pub(crate) struct Roster {
    pub version: u32,
    pub full: Arc<[u8]>,
    pub partial: Arc<[u8]>,
    /// As Lync's clients read it, whole and what changed; where one of them watches.
    pub lync: Option<LyncRoster>,
    pub subscriptions: Vec<DialogKey>,
    /// Subscriptions that the owner was asked about and has not answered. Until it has, this shard does not stop watching:
    /// that letter would overtake the owner's answer, and the answer's subscription would never hear of a change.
    pub asking: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_small() {
        // With the links of its connection's chain and the slot's version it is 24 more in its box, and 16 in the table.
        assert!(
            size_of::<Association>() <= 184,
            "{}",
            size_of::<Association>()
        );
    }
}
