//! An invitation while it rings at all of a user's endpoints: the first to accept wins, the others are cancelled.

use slotmap::new_key_type;

use crate::immcu::SessionId;
use crate::immcu::content::{Outcome, Party};
use crate::sip::dialog::DialogKey;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

new_key_type! {
    /// An invitation that rings on this shard.
    pub struct RingingKey;
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
    /// The legs that ring still.
    pub legs: Vec<DialogKey>,
    /// The best refusal so far.
    pub best: Option<Outcome>,
    /// True once the session knows that it rings.
    pub told: bool,
    /// When it is given up.
    pub deadline: Now,
}

impl Ringing {
    /// A leg has refused. Returns what to tell the session when it was the last.
    pub fn refused(&mut self, leg: DialogKey, outcome: Outcome) -> Option<Outcome> {
        self.legs.retain(|other| *other != leg);
        let best = match self.best.take() {
            Some(best) => best.better(outcome),
            None => outcome,
        };
        if self.legs.is_empty() {
            return Some(best);
        }
        self.best = Some(best);
        None
    }
}
