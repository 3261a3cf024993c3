//! All that crosses from one shard to another: plain data, owned, a closed list.
//!
//! A shard posts to itself too, so that a thing has one way to happen wherever its parts live. Letters between two
//! shards arrive in order. A letter may come too late for what it is about: then its script
//! does nothing, or, where somebody waits for an answer, gives one.

use std::sync::Arc;

use crate::calls::carried::{Answer, Invite, Passing};
use crate::calls::search::{Found, Place};
use crate::dialect::Dialect;
use crate::dialect::lync::search::{Question, Row};
use crate::immcu::SessionId;
use crate::immcu::content::{Content, Outcome, Party, Priority, Thread};
use crate::immcu::leg::Parting;
use crate::immcu::ringing::Stop;
use crate::immcu::room::{Command, Role, Subject};
use crate::immcu::session::LegRef;
use crate::presence::{Level, Package, Shown};
use crate::registrar::Gruu;
use crate::shard::ShardId;
use crate::shard::effect::Latency;
use crate::sip::link::ConnectionId;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// A request that waits on another shard: its server transaction there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// Whose it is.
    pub shard: ShardId,
    /// Its slot there.
    pub key: u64,
}

/// A subscription that asks to watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Whose it is: the owner's rules are about them.
    pub watcher: Party,
    /// Where it lives.
    pub subscription: LegRef,
}

/// A MESSAGE of two parties that waits for its one delivery. The call detail records count it where it was said, also when
/// its speaker has left or the session has become a conference before the other side answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Awaited {
    /// The MESSAGE.
    pub ticket: Ticket,
    /// The session's record when it was said.
    pub record: SessionId,
    /// The speaker's participation there.
    pub participant: u32,
}

/// Whose message something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Speaker {
    /// The speaker's leg.
    pub leg: LegRef,
    /// The message's number there: its CSeq.
    pub number: u32,
}

/// Somebody who is to be rung.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invited {
    /// Who.
    pub user: Aor,
    /// The one endpoint that is meant, where one is.
    pub gruu: Option<Gruu>,
    /// How urgent the inviter says that it is.
    pub priority: Priority,
}

/// A roster as Lync's clients read it: the whole, and what has changed.
pub type LyncRoster = (Arc<[u8]>, Arc<[u8]>);

/// A pager message on its way.
#[derive(Debug)]
pub struct Page {
    /// The MESSAGE that waits.
    pub ticket: Ticket,
    /// Who writes.
    pub from: Party,
    /// To whom.
    pub to: Aor,
    /// Their one endpoint that is meant, where one is.
    pub gruu: Option<Gruu>,
    /// What.
    pub content: Content,
}

/// What one shard tells another.
#[derive(Debug)]
pub enum Letter {
    /// To a request's shard: this is its final answer.
    Answer {
        /// The request.
        ticket: Ticket,
        /// The answer.
        outcome: Outcome,
        /// In which histogram the time that it took belongs.
        latency: Option<Latency>,
    },

    /// To a user's owner: may this subscription watch, and what does it see? Exactly one answer comes: `State` with the
    /// question in it, or `WatchRefused`. Also asked of a subscription that watches already, after `Relevel`.
    Watch {
        /// What of the user.
        package: Package,
        /// Who is watched.
        user: Aor,
        /// By whom.
        asked: Asked,
    },
    /// To a user's owner: one subscription that was let in at `level` is there no more, or at another level. One letter for
    /// each `State` that answered a `Watch`.
    Unwatch {
        /// What of the user.
        package: Package,
        /// Who is no longer watched.
        user: Aor,
        /// By whom.
        watcher: Aor,
        /// At which level.
        level: Level,
        /// From which shard.
        shard: ShardId,
    },
    /// To a watching shard: the state as the watchers of one level may see it.
    State {
        /// What of the user.
        package: Package,
        /// Whose.
        user: Aor,
        /// Who of that shard may see it.
        level: Level,
        /// The document, and how new it is: an older one is ignored.
        shown: Shown,
        /// When the change came in; `None` for the answer to `Watch`.
        published: Option<Now>,
        /// Set where this answers a `Watch`: the subscription watches at `level` from now on.
        answers: Option<Asked>,
    },
    /// To a watching shard: the subscription may not watch, or there is no such user. It is not counted.
    WatchRefused {
        /// What of the user.
        package: Package,
        /// Whose.
        user: Aor,
        /// The question.
        asked: Asked,
        /// Why.
        outcome: Outcome,
    },
    /// To a watching shard: what its watchers may see of this user is to be asked anew.
    Relevel {
        /// What of the user.
        package: Package,
        /// Whose rules have changed.
        user: Aor,
    },
    /// To a watching shard: the user is no more. Each subscription ends, and gives its place back.
    Gone {
        /// What of the user.
        package: Package,
        /// Who.
        user: Aor,
    },

    /// To a user's owner: somebody has added them to their list, and says so.
    Added {
        /// Who was added.
        user: Aor,
        /// By whom.
        by: Party,
    },
    /// To a watching shard: who watches this user's presence there? Asked when somebody wants to know, and followed by the
    /// letters of who comes and goes.
    WhoWatches {
        /// Who is watched.
        user: Aor,
        /// The question's number.
        question: u64,
    },
    /// To a user's owner: these.
    WatchedBy {
        /// Who is watched.
        user: Aor,
        /// The question's number.
        question: u64,
        /// From which shard.
        shard: ShardId,
        /// Who, with the name that others see, with how many subscriptions, and since when.
        watchers: Box<[(Party, u32, Now)]>,
    },

    /// To a pair's keeper: a pager message.
    Page {
        /// The message.
        page: Page,
        /// The author's shard sheds what begins: where this would begin a conversation it is refused, and may be tried again
        /// after so many seconds.
        refuse_new_s: Option<u32>,
    },
    /// To the addressee's owner: a pager message in its place in the order.
    Deliver(Page),
    /// To a pair's keeper: how a pager message ended.
    Paged {
        /// The MESSAGE that waits.
        ticket: Ticket,
        /// Who wrote.
        from: Aor,
        /// To whom.
        to: Aor,
        /// True where it was a message, false for a signal.
        counts: bool,
        /// How it ended.
        outcome: Outcome,
    },

    /// To a user's owner: ring their endpoints.
    Ring {
        /// The session that invites.
        session: SessionId,
        /// The invitation's number there.
        invitation: u32,
        /// In whose name.
        from: Party,
        /// Whom.
        to: Invited,
        /// True where the session is a conference.
        focus: bool,
        /// Who started it.
        organiser: Aor,
        /// What it is about.
        subject: Subject,
        /// What the inviter's client calls the conversation, where it said so.
        thread: Option<Thread>,
    },
    /// To a user's owner: stop ringing.
    StopRinging {
        /// The session.
        session: SessionId,
        /// The invitation.
        invitation: u32,
        /// Whom it rings.
        to: Aor,
        /// Why.
        why: Stop,
    },
    /// To a session's owner: it rings.
    RingingNow {
        /// The session.
        session: SessionId,
        /// The invitation.
        invitation: u32,
    },
    /// To a session's owner: an endpoint has accepted, with a leg that is established.
    Accepted {
        /// The session.
        session: SessionId,
        /// The invitation.
        invitation: u32,
        /// The leg.
        leg: LegRef,
        /// Who accepted, with the name that others see.
        user: Party,
        /// The endpoint's instance id; may be empty.
        endpoint: Box<str>,
    },
    /// To a session's owner: an endpoint has accepted and comes by itself, at the focus and with a leg.
    Coming {
        /// The session.
        session: SessionId,
        /// The invitation.
        invitation: u32,
    },
    /// To a session's owner: nobody has accepted.
    Declined {
        /// The session.
        session: SessionId,
        /// The invitation.
        invitation: u32,
        /// Why.
        outcome: Outcome,
        /// True where they are there, and may take messages without a session.
        pages: bool,
    },

    /// To a session's owner: an INVITE to the session's own URI.
    Join {
        /// The session.
        session: SessionId,
        /// The leg that waits.
        leg: LegRef,
        /// Who.
        user: Party,
        /// The endpoint's instance id; may be empty.
        endpoint: Box<str>,
    },
    /// To a leg: its INVITE may be answered 180.
    Progress {
        /// The leg.
        leg: LegRef,
    },
    /// To a leg: it is in the session now, its INVITE is to be accepted.
    Welcome {
        /// The leg.
        leg: LegRef,
        /// True where the session is a conference.
        focus: bool,
    },
    /// To a leg: who its INVITE asks for takes no session, so there is none any more; it is to be accepted all the same, and to
    /// speak with them in pager mode.
    Pages {
        /// The leg.
        leg: LegRef,
        /// Who.
        with: Aor,
    },
    /// To a leg: its INVITE is refused.
    Refuse {
        /// The leg.
        leg: LegRef,
        /// Why.
        outcome: Outcome,
    },
    /// To a session's owner: somebody speaks.
    Say {
        /// The session.
        session: SessionId,
        /// With which leg.
        leg: LegRef,
        /// The MESSAGE that waits.
        ticket: Ticket,
        /// Its number in the leg's dialog.
        number: u32,
        /// When it came in.
        since: Now,
        /// Who, with the name to show.
        from: Party,
        /// What.
        content: Content,
    },
    /// To the legs of one shard: something was said.
    Convey {
        /// The session.
        session: SessionId,
        /// The legs there that hear it.
        legs: Box<[u64]>,
        /// True where some of them may be of one user.
        doubled: bool,
        /// Who spoke; the focus itself for its reports.
        from: Party,
        /// Whom to report failures to.
        speaker: Option<Speaker>,
        /// The MESSAGE that waits for this one delivery; `None` where it was answered already.
        awaited: Option<Awaited>,
        /// When it came in.
        since: Now,
        /// What.
        content: Content,
    },
    /// To a session's owner: how a delivery ended. Successes are told only where a MESSAGE waits; of a user's several legs the
    /// last, where none of them has taken it.
    Conveyed {
        /// The session.
        session: SessionId,
        /// To whom it went.
        leg: LegRef,
        /// Who spoke.
        speaker: Option<Speaker>,
        /// The MESSAGE that waits.
        awaited: Option<Awaited>,
        /// True where it was a message, false for a signal.
        counts: bool,
        /// How it ended.
        outcome: Outcome,
    },
    /// To a session's owner: a leg is gone.
    Leave {
        /// The session.
        session: SessionId,
        /// The leg.
        leg: LegRef,
        /// Why, for the CDR.
        reason: &'static str,
    },
    /// To a leg: say BYE, or CANCEL's equivalent where it is not established.
    End {
        /// The leg.
        leg: LegRef,
        /// What BYE says of why.
        parting: Parting,
    },
    /// To a leg: the session is a conference now.
    Promote {
        /// The leg.
        leg: LegRef,
        /// Who started it.
        organiser: Aor,
    },
    /// To a leg: what it said did not reach somebody.
    Undelivered {
        /// The session.
        session: SessionId,
        /// The leg, and its message.
        speaker: Speaker,
        /// The focus, which says so.
        from: Party,
        /// Whom it missed.
        missed: Aor,
        /// Why.
        outcome: Outcome,
    },

    /// To a session's owner: an INVITE to its focus.
    Attend {
        /// The session.
        session: SessionId,
        /// The focus as the client names it.
        uri: Box<str>,
        /// The dialog that waits.
        leg: LegRef,
        /// Who.
        user: Party,
        /// What the client calls itself in the conference.
        endpoint: Box<str>,
    },
    /// To a dialog with a focus: it is let in.
    Attended {
        /// The dialog.
        leg: LegRef,
        /// As what.
        role: Role,
    },
    /// To a session's owner: invite somebody. The request is answered with how that ends.
    Invite {
        /// The session.
        session: SessionId,
        /// Who asks.
        by: Party,
        /// The request that waits.
        ticket: Ticket,
        /// Whom.
        to: Invited,
    },
    /// To a session's owner: an `Invite` was cancelled, and its request is answered.
    Uninvite {
        /// The session.
        session: SessionId,
        /// The request that waited.
        ticket: Ticket,
    },

    /// To a session's owner: REFER.
    Refer {
        /// The session.
        session: SessionId,
        /// Who asks.
        by: Party,
        /// The REFER that waits for 202 or a refusal.
        ticket: Ticket,
        /// The subscription that is told how it goes; `None` where the client asked for none (RFC 4488).
        watcher: Option<LegRef>,
        /// Whom to invite or to remove.
        user: Aor,
        /// Their one endpoint that is meant, where one is.
        gruu: Option<Gruu>,
        /// True to remove.
        remove: bool,
    },
    /// To a session's owner: what a member asks the focus for, all or nothing.
    Command {
        /// The session.
        session: SessionId,
        /// Who asks.
        leg: LegRef,
        /// The request that waits for the answer.
        ticket: Ticket,
        /// What, in this order.
        commands: Box<[Command]>,
    },
    /// To a REFER's subscription: how it goes (RFC 3515 §2.4.5).
    Referred {
        /// The subscription.
        watcher: LegRef,
        /// A status line's status and reason; a final one ends the subscription.
        outcome: Outcome,
    },

    /// To a REFER's subscription: the REFER was refused, so there is none.
    ReferRefused {
        /// The subscription.
        watcher: LegRef,
    },

    /// To a user's owner: there is a call; whom shall it ring?
    CallAsk {
        /// The call.
        call: SessionId,
        /// The target's number there.
        target: usize,
        /// Who is looked for.
        to: Invited,
        /// Who calls.
        from: Aor,
        /// On which connection of which shard: it does not ring itself.
        except: (ShardId, ConnectionId),
        /// The INVITE.
        invite: Arc<Invite>,
    },
    /// To a call's owner: whom it shall ring.
    CallFound {
        /// The call.
        call: SessionId,
        /// The target's number there.
        target: usize,
        /// Whom.
        found: Box<Found>,
    },
    /// To an endpoint's shard: ring it.
    CallRing {
        /// The call.
        call: SessionId,
        /// The client's number there.
        end: u32,
        /// For whom.
        user: Aor,
        /// Who calls.
        from: Aor,
        /// Which endpoint of theirs.
        place: Place,
        /// How the call has come here, as History-Info says it; may be empty.
        history: Box<str>,
        /// The INVITE.
        invite: Arc<Invite>,
    },
    /// To a call's owner: an endpoint has answered, with whatever status.
    CallHeard {
        /// The call.
        call: SessionId,
        /// The client's number there.
        end: u32,
        /// The endpoint's shard.
        shard: ShardId,
        /// What it said.
        answer: Box<Answer>,
        /// Its instance id; may be empty.
        endpoint: Box<str>,
    },
    /// To a call's owner: whom this client rings wants to hear nothing of the caller any more.
    CallTurnedAway {
        /// The call.
        call: SessionId,
        /// The client's number there.
        end: u32,
    },
    /// To a client's shard: cancel the INVITE that it was sent.
    CallCancel {
        /// The call.
        call: SessionId,
        /// The client's number there.
        end: u32,
        /// True where somebody else has answered.
        elsewhere: bool,
    },
    /// To a client's shard: the call is with it.
    CallTalk {
        /// The call.
        call: SessionId,
        /// The client's number there.
        end: u32,
        /// The callee's tag.
        tag: Box<str>,
        /// True where it talks with a conference.
        conference: bool,
    },
    /// To a client's shard: the call is over for it, and the other side can't say so itself.
    CallOver {
        /// The call.
        call: SessionId,
        /// The client's number there.
        end: u32,
    },
    /// To a call's owner: the call is over for this client.
    CallEnded {
        /// The call.
        call: SessionId,
        /// The client's number there.
        end: u32,
        /// Why, for the CDR.
        reason: &'static str,
    },
    /// To a call's owner: a message in it has reached the other side.
    CallSaid {
        /// The call.
        call: SessionId,
        /// Whose: 0 who called, 1 who was called.
        participant: u32,
    },
    /// To a client's shard: a request of the other side.
    CallPass {
        /// The call.
        call: SessionId,
        /// The receiver's number there.
        end: u32,
        /// The request that waits; none for ACK.
        ticket: Option<Ticket>,
        /// The request.
        passing: Box<Passing>,
    },
    /// To the shard of a request that waits: the other side's answer.
    CallAnswer {
        /// The request.
        ticket: Ticket,
        /// The answer.
        answer: Box<Answer>,
    },

    /// To the shard itself: a change that many watch is told to the next of them.
    TellOn,

    /// To every shard: who of its users is meant? Exactly one `SearchFound` comes from each.
    Search {
        /// The search, on the shard of who asks.
        ticket: Ticket,
        /// Who asks: the owners' rules are about them.
        searcher: Aor,
        /// What is asked.
        question: Arc<Question>,
    },
    /// To the shard itself: the search that is under way goes on with the next users.
    SearchOn,
    /// To the shard of who asks.
    SearchFound {
        /// The search.
        ticket: Ticket,
        /// Who was found, as far as who asks may see them.
        rows: Vec<Row>,
        /// There are more.
        more: bool,
        /// Nothing was looked at: too many search.
        busy: bool,
    },

    /// To a session's owner: `shard` has a subscription to the roster.
    WatchRoster {
        /// The session.
        session: SessionId,
        /// The subscriber.
        user: Aor,
        /// The SUBSCRIBE that waits, when it is refused.
        subscription: LegRef,
        /// How the subscriber speaks.
        dialect: Dialect,
    },
    /// To a session's owner: `shard` has no subscription to the roster any more.
    UnwatchRoster {
        /// The session.
        session: SessionId,
        /// The shard.
        shard: ShardId,
    },
    /// To a subscription: it is refused.
    RosterRefused {
        /// The session.
        session: SessionId,
        /// The subscription.
        subscription: LegRef,
        /// Why.
        outcome: Outcome,
    },
    /// To a shard with subscriptions: this user is in the conference no longer, so they see its roster no longer.
    RosterLost {
        /// The session.
        session: SessionId,
        /// Who has left, or was sent away.
        user: Aor,
        /// Only where they speak so.
        dialect: Option<Dialect>,
    },
    /// To a shard with subscriptions: the roster.
    Roster {
        /// The session.
        session: SessionId,
        /// Rises by one with each change.
        version: u32,
        /// The whole document.
        full: Arc<[u8]>,
        /// What changed since the version before; empty where there is no such document.
        partial: Arc<[u8]>,
        /// Both as Lync's clients read them; where one of the shard's watches.
        lync: Option<LyncRoster>,
        /// Set where this answers a subscription.
        subscription: Option<LegRef>,
    },
    /// To a shard with subscriptions: the session is over.
    RosterEnded {
        /// The session.
        session: SessionId,
    },
}
