//! An invitation while it rings at a user's endpoints: the first to accept wins, the others are cancelled.

use slotmap::new_key_type;

use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Party, Thread};
use crate::immcu::room::Subject;
use crate::sip::dialog::DialogKey;
use crate::sip::status::speaks_of_person;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

new_key_type! {
    /// An invitation that rings on this shard.
    pub struct RingingKey;
}

/// Why an endpoint rings no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Another endpoint has accepted.
    Elsewhere,
    /// Another endpoint has declined in the person's name.
    Declined,
    /// Who invited has given up.
    GivenUp,
    /// It rang for as long as it may.
    NoAnswer,
}

impl Stop {
    /// The value of CANCEL's Reason (RFC 3326 §2): a client shows no missed call where it says 200.
    pub fn reason(self) -> &'static str {
        match self {
            Stop::Elsewhere => "SIP;cause=200;text=\"Call completed elsewhere\"",
            Stop::Declined => "SIP;cause=603;text=\"Declined elsewhere\"",
            Stop::GivenUp => "SIP;cause=487;text=\"The caller gave up\"",
            Stop::NoAnswer => "SIP;cause=408;text=\"No answer\"",
        }
    }
}

/// An invitation on the shard of whom it rings.
#[derive(Clone, Debug)]
pub struct Ringing {
    /// The session that invites.
    pub session: SessionId,
    /// Its number there.
    pub invitation: u32,
    /// In whose name.
    pub from: Party,
    /// Whom.
    pub to: Aor,
    /// True where the session is a conference.
    pub focus: bool,
    /// Who started it.
    pub organiser: Aor,
    /// What it is about.
    pub subject: Subject,
    /// What the inviter's client calls the conversation, where it said so.
    pub thread: Option<Thread>,
    /// The legs that ring still.
    pub legs: Vec<DialogKey>,
    /// The best refusal so far.
    pub best: Option<Outcome>,
    /// True where one endpoint of the user is meant, and no other.
    pub lone: bool,
    /// True once an endpoint has no use for sessions: it may take messages without one.
    pub pages: bool,
    /// True once an endpoint has refused in the person's name.
    pub unwanted: bool,
    /// True once the session knows that it rings.
    pub told: bool,
    /// When it is given up.
    pub deadline: Now,
}

impl Ringing {
    /// A leg has refused.
    pub fn refused(&mut self, leg: DialogKey, outcome: Outcome) {
        self.legs.retain(|other| *other != leg);
        let person = speaks_of_person(outcome.status);
        self.pages |= outcome.is_no_session() && !self.lone;
        self.unwanted |= person;
        self.best = Some(match self.best.take() {
            // What one endpoint can't do says less than a word of the person's.
            Some(best) if !(person && best.is_no_session()) => best.better(outcome),
            _ => outcome,
        });
    }

    /// Whether who invited may write without a session: an endpoint has no use for one, and the person has not said at another
    /// that they want none.
    pub fn may_page(&self) -> bool {
        self.pages && !self.unwanted && !self.is_declined()
    }

    /// Whether a person has declined: a 6xx speaks for all of their endpoints (RFC 3261 §16.7 step 5).
    pub fn is_declined(&self) -> bool {
        self.best.as_ref().is_some_and(|best| best.status >= 600)
    }
}
