//! The transaction machines over reliable transports (RFC 3261 §17, RFC 6026).
//!
//! Over TCP and TLS nothing is sent twice, so timers A, E and G do not exist and D, I, J and K are zero: a transaction
//! is kept only while somebody still waits. What is left are the deadlines B and F (no answer), C (ringing without
//! end) and M (a second 2xx to one INVITE). Looking a transaction up is O(1) and needs no text: our branch *is* the key,
//! and a server transaction is found by a hash of what RFC 3261 §17.2.3 compares, on its own connection.
//! Not here: what a transaction is for; that is the shard's.

use core::time::Duration;
use std::collections::HashMap;

use slotmap::{Key, KeyData, new_key_type};

use crate::sip::build::{self, Echo, Hex, Value};
use crate::sip::chain::{Chain, Chained};
use crate::sip::link::ConnectionId;
use crate::sip::message::{Message, Method};
use crate::sip::slack::Slack;
use crate::sip::time::Now;

/// 64 × T1: how long a request waits for a final answer (timers B and F, RFC 3261 §17.1).
pub const TIMEOUT: Duration = Duration::from_secs(32);

/// Timer C (RFC 3261 §16.6): how long an INVITE may ring after its last provisional answer.
pub const RINGING_MAX: Duration = Duration::from_secs(180);

/// How long it may ring in all, whatever it answers. RFC 3261 has no end to that; nobody thinks about a call for longer, and an
/// endpoint that says "in a moment" for ever keeps what waits for it.
pub const RINGING_IN_ALL_MAX: Duration = Duration::from_secs(600);

new_key_type! {
    /// A server transaction that somebody waits for.
    pub struct ServerKey;
    /// A client transaction that somebody waits for.
    pub struct ClientKey;
}

/// A request that has not got its final answer from us.
#[derive(Debug)]
pub struct ServerTransaction {
    /// Where it came in and the answer goes out.
    pub connection: ConnectionId,
    /// Its method.
    pub method: Method,
    /// The headers that each answer repeats.
    pub echo: Echo,
    /// When it was taken in.
    pub received: Now,
    /// The last provisional status that we gave; 0 for none.
    pub provisional: u16,
    /// The To tag of its final answer, where that makes a dialog; otherwise any will do.
    pub to_tag: Option<Box<str>>,
    hash: u64,
}

/// The server transactions of one shard.
#[derive(Debug)]
pub struct ServerTransactions {
    slots: Chained<ServerKey, ServerTransaction>,
    by_hash: HashMap<(ConnectionId, u64), ServerKey, ahash::RandomState>,
    hash: ahash::RandomState,
}

impl ServerTransactions {
    /// None yet; `hash` is seeded by the shard, so that a run can be replayed and a peer can't choose collisions.
    pub fn new(hash: ahash::RandomState) -> Self {
        ServerTransactions {
            slots: Chained::default(),
            by_hash: HashMap::with_hasher(hash.clone()),
            hash,
        }
    }

    /// What RFC 3261 §17.2.3 compares: branch, sent-by and method. CANCEL looks for the INVITE it names (§9.2).
    /// COMPAT(libpurple SIMPLE 2.14): two clients started in one second use the same branch and Call-ID, so the
    /// connection is compared too.
    fn hash_of(&self, message: &Message<'_>, method: Method) -> u64 {
        let via = message.via();
        self.hash.hash_one((
            via.branch(),
            via.sent_by,
            method.index(),
            message.call_id(),
            message.cseq().number,
        ))
    }

    /// The pending transaction that `message` belongs to: itself again, or what a CANCEL is about.
    pub fn find(&self, connection: ConnectionId, message: &Message<'_>) -> Option<ServerKey> {
        if self.by_hash.is_empty() {
            return None;
        }
        let method = if message.method() == Method::Cancel {
            Method::Invite
        } else {
            message.method()
        };
        self.by_hash
            .get(&(connection, self.hash_of(message, method)))
            .copied()
    }

    /// The INVITE of `chain` that waits and would make the dialog that `message` speaks of, whose To tag its sender does not know.
    pub fn invite_of(&self, chain: &Chain<ServerKey>, message: &Message<'_>) -> Option<ServerKey> {
        let tag = message.from().tag()?;
        self.slots.keys(chain).find(|key| {
            self.slots.get(*key).is_some_and(|one| {
                one.method == Method::Invite
                    && !one.echo.has_to_tag()
                    && one.echo.is_of(message.call_id(), tag)
            })
        })
    }

    /// Keeps what is needed to answer `message` later.
    pub fn open(
        &mut self,
        chain: &mut Chain<ServerKey>,
        connection: ConnectionId,
        message: &Message<'_>,
        now: Now,
    ) -> ServerKey {
        let hash = self.hash_of(message, message.method());
        let key = self.slots.insert_with(chain, |_| ServerTransaction {
            connection,
            method: message.method(),
            echo: Echo::of(message),
            received: now,
            provisional: 0,
            to_tag: None,
            hash,
        });
        self.by_hash.insert((connection, hash), key);
        key
    }

    /// Ends a transaction: its final answer is being sent, or nobody is left to answer.
    pub fn close(
        &mut self,
        chain: &mut Chain<ServerKey>,
        key: ServerKey,
    ) -> Option<ServerTransaction> {
        let transaction = self.slots.remove(chain, key)?;
        let name = (transaction.connection, transaction.hash);
        if self.by_hash.get(&name) == Some(&key) {
            self.by_hash.remove(&name);
        }
        Some(transaction)
    }

    /// The transaction, unless it has been answered.
    pub fn get_mut(&mut self, key: ServerKey) -> Option<&mut ServerTransaction> {
        self.slots.get_mut(key)
    }

    /// The transaction, unless it has been answered.
    pub fn get(&self, key: ServerKey) -> Option<&ServerTransaction> {
        self.slots.get(key)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True where none waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Slack for ServerTransactions {
    fn give_back(&mut self) -> usize {
        self.slots.give_back() + self.by_hash.give_back()
    }

    fn room(&self) -> usize {
        self.slots.room() + self.by_hash.room()
    }
}

/// Where a client transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Sent; nothing has come back.
    Calling,
    /// A provisional answer has come.
    Proceeding,
    /// A 2xx to an INVITE has come; another one from a fork further on may (RFC 6026 §7.2).
    Accepted,
}

/// Whether an INVITE is to be cancelled (RFC 3261 §9.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelling {
    /// No.
    No,
    /// As soon as a provisional answer says that the other side knows of it.
    Wanted,
    /// CANCEL was sent.
    Sent,
}

/// A request of ours that has not got its final answer. `P` says what it is for.
#[derive(Debug)]
pub struct ClientTransaction<P> {
    /// Where it went out and its answer must come in.
    pub connection: ConnectionId,
    /// Its method.
    pub method: Method,
    /// When it was sent.
    pub sent: Now,
    /// When it is given up.
    pub deadline: Now,
    /// Where it stands.
    pub progress: Progress,
    /// Whether it is to be cancelled.
    pub cancelling: Cancelling,
    /// What it is for.
    pub purpose: P,
}

/// What an answer means to whoever sent the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A provisional answer; where the second is true the CANCEL that waited is to be sent now.
    Provisional(bool),
    /// The final answer. The transaction ends, except for an INVITE's 2xx.
    Final,
    /// A further 2xx to an INVITE that was accepted already: acknowledge it and say BYE.
    Again,
    /// Nothing to do.
    Absorbed,
}

impl<P> ClientTransaction<P> {
    /// Takes in an answer's status.
    pub fn answered(&mut self, now: Now, status: u16) -> Step {
        match (self.method, self.progress, status) {
            (_, Progress::Accepted, 200..=299) => Step::Again,
            (_, Progress::Accepted, _) => Step::Absorbed,
            (Method::Invite, _, 100..=199) => {
                self.progress = Progress::Proceeding;
                let send_cancel = self.cancelling == Cancelling::Wanted;
                if send_cancel {
                    self.cancelling = Cancelling::Sent;
                    self.deadline = now.after(TIMEOUT);
                } else if self.cancelling == Cancelling::No {
                    // A 100 says that it has come, and no more (RFC 3261 §16.7 step 2).
                    let since = if status == 100 { self.sent } else { now };
                    let last = self.sent.after(RINGING_IN_ALL_MAX);
                    self.deadline = self.deadline.max(since.after(RINGING_MAX)).min(last);
                }
                Step::Provisional(send_cancel)
            }
            (_, _, 100..=199) => {
                self.progress = Progress::Proceeding;
                Step::Provisional(false)
            }
            (Method::Invite, _, 200..=299) => {
                self.progress = Progress::Accepted;
                self.deadline = now.after(TIMEOUT);
                Step::Final
            }
            _ => Step::Final,
        }
    }

    /// Whether its time is over, but the other side has it, and is to hear that nobody waits any more (RFC 3261 §16.8).
    pub fn rings_in_vain(&self) -> bool {
        self.method == Method::Invite
            && self.progress == Progress::Proceeding
            && self.cancelling == Cancelling::No
    }

    /// Asks for an INVITE to be cancelled. True where CANCEL may go out now; otherwise it waits for a provisional
    /// answer. Once cancelled, the final answer must come within [`TIMEOUT`].
    pub fn cancel(&mut self, now: Now) -> bool {
        if self.cancelling != Cancelling::No || self.progress == Progress::Accepted {
            return false;
        }
        self.deadline = now.after(TIMEOUT);
        if self.progress == Progress::Proceeding {
            self.cancelling = Cancelling::Sent;
            true
        } else {
            self.cancelling = Cancelling::Wanted;
            false
        }
    }

    /// The same where the other side never gives a provisional answer: CANCEL goes out at once. It can't overtake the INVITE on
    /// one connection, which is why RFC 3261 §9.1 has it wait.
    pub fn cancel_unheard(&mut self, now: Now) -> bool {
        let goes_out = self.cancel(now) || self.cancelling == Cancelling::Wanted;
        if goes_out {
            self.cancelling = Cancelling::Sent;
        }
        goes_out
    }
}

/// How a branch begins: the magic cookie, what tells this run of this shard from any other in sixteen digits, a dot. Made once,
/// so that writing a branch is a copy and reading it a comparison.
type Lead = [u8; 24];

fn lead(run: u64) -> Lead {
    let mut lead = *b"z9hG4bK0000000000000000.";
    if let Some(digits) = lead.get_mut(7..23) {
        digits.copy_from_slice(&build::sixteen_digits(run));
    }
    lead
}

/// The branch of a client transaction: the magic cookie, what tells this run of this shard from any other, the key.
#[derive(Clone, Copy, Debug)]
pub struct Branches {
    lead: Lead,
}

impl Branches {
    /// `run` comes from the shard's generator.
    pub fn new(run: u64) -> Self {
        Branches { lead: lead(run) }
    }

    /// The branch of `key`, for a Via that is being written.
    pub fn of(self, key: ClientKey) -> Branch {
        let lead = self.lead;
        Branch { lead, key }
    }

    /// A branch for a request that nobody answers; it names no key.
    pub fn unanswered(self, random: u64) -> Branch {
        Branch {
            lead: lead(random),
            key: ClientKey::default(),
        }
    }

    /// The key that a branch names, if it is one of ours.
    pub fn read(self, branch: &str) -> Option<ClientKey> {
        let (lead, key) = branch.split_at_checked(self.lead.len())?;
        if lead.as_bytes() != self.lead {
            return None;
        }
        Some(KeyData::from_ffi(build::unhex(key)?).into())
    }
}

/// A branch, as the value of a Via's parameter.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    lead: Lead,
    key: ClientKey,
}

impl core::fmt::Display for Branch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = Vec::with_capacity(40);
        self.write(&mut text);
        f.write_str(core::str::from_utf8(&text).unwrap_or_default())
    }
}

impl Value for Branch {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lead);
        Hex::of(self.key.data().as_ffi()).write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite() -> ClientTransaction<()> {
        ClientTransaction {
            connection: ConnectionId(1),
            method: Method::Invite,
            sent: Now(0),
            deadline: Now(0).after(TIMEOUT),
            progress: Progress::Calling,
            cancelling: Cancelling::No,
            purpose: (),
        }
    }

    #[test]
    fn cancel_waits_for_a_provisional_answer() {
        let mut transaction = invite();
        assert!(!transaction.cancel(Now(0)));
        assert_eq!(transaction.answered(Now(1), 100), Step::Provisional(true));
        assert_eq!(transaction.answered(Now(1), 180), Step::Provisional(false));
        assert_eq!(transaction.answered(Now(2), 487), Step::Final);
    }

    #[test]
    fn who_gives_no_provisional_answer_is_cancelled_at_once() {
        let mut transaction = invite();
        assert!(transaction.cancel_unheard(Now(0)));
        assert!(!transaction.cancel_unheard(Now(1)));
        assert_eq!(transaction.answered(Now(1), 100), Step::Provisional(false));
        assert_eq!(transaction.deadline, Now(0).after(TIMEOUT));
        let mut transaction = invite();
        transaction.answered(Now(1), 200);
        assert!(!transaction.cancel_unheard(Now(1)));
    }

    #[test]
    fn ringing_has_an_end() {
        let at = |s: u64| Now(0).after(Duration::from_secs(s));
        let mut transaction = invite();
        assert!(!transaction.rings_in_vain(), "nobody has it yet");
        for (s, status, deadline_s) in [
            (1, 100, 180),
            (20, 180, 200),
            (30, 100, 200),
            (150, 183, 330),
            (300, 100, 330),
            (310, 180, 490),
            (480, 180, 600),
            (599, 180, 600),
        ] {
            transaction.answered(at(s), status);
            assert_eq!(transaction.deadline, at(deadline_s), "{status} after {s} s");
        }
        assert!(transaction.rings_in_vain() && transaction.cancel(at(600)));
        assert!(!transaction.rings_in_vain(), "it was told");
        transaction.answered(at(601), 180);
        assert_eq!(transaction.deadline, at(632));
    }

    #[test]
    fn a_second_2xx_is_told_apart() {
        let mut transaction = invite();
        assert_eq!(transaction.answered(Now(1), 200), Step::Final);
        assert_eq!(transaction.answered(Now(2), 200), Step::Again);
        assert_eq!(transaction.answered(Now(2), 486), Step::Absorbed);
        assert!(!transaction.cancel(Now(3)));
    }

    #[test]
    fn a_branch_reads_back_and_a_foreign_one_does_not() {
        let ours = Branches::new(0xabc);
        let key = ClientKey::from(KeyData::from_ffi(0x1_0000_0007));
        assert_eq!(ours.read(&ours.of(key).to_string()), Some(key));
        assert_eq!(Branches::new(0xabd).read(&ours.of(key).to_string()), None);
        for bad in [
            "",
            "z9hG4bK",
            "z9hG4bK0000000000000abc",
            "z9hG4bK0000000000000abc.",
            "z9hG4bK0000000000000abc.xyz",
            "z9hG4bK0000000000000abcé1",
            "z9hG4bKabc.1",
            "0000000000000abc.1",
        ] {
            assert_eq!(ours.read(bad), None, "{bad}");
        }
    }
}
