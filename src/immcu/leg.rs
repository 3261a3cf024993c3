//! One participant's dialog with the server. Nobody learns another's address: each leg ends here.

use core::num::NonZeroU32;

use crate::immcu::SessionId;
use crate::immcu::ringing::{RingingKey, Stop};
use crate::immcu::typing::Typing;
use crate::sip::time::Now;
use crate::sip::transaction::{ClientKey, ServerKey};
use crate::sip::uri::Aor;

/// Where a leg stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Their INVITE waits for our final answer.
    Offered(ServerKey),
    /// Our INVITE to one of a user's endpoints rings.
    Ringing(RingingKey, ClientKey),
    /// We have accepted and wait for the ACK until then (RFC 3261 §13.3.1.4).
    Confirming(Now),
    /// Messages flow.
    Established,
}

/// What somebody is told who is to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parting {
    /// Nothing.
    Silent,
    /// A moderator has sent them away.
    Expelled,
    /// A moderator has ended the conference.
    Ended,
    /// The server stops.
    Stopping,
}

impl Parting {
    /// The value of the Reason header of BYE (RFC 3326); empty for none.
    pub fn reason(self) -> &'static str {
        match self {
            Parting::Silent | Parting::Stopping => "",
            Parting::Expelled => "SIP;cause=403;text=\"Sent Away By A Moderator\"",
            Parting::Ended => "SIP;cause=410;text=\"The Conference Has Ended\"",
        }
    }
}

/// The CSeq of an INVITE, in a word that has room for none: it is below 2^31 (RFC 3261 §8.1.1.5), and may be 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due(NonZeroU32);

impl Due {
    /// Of the INVITE, or the ACK to it, with this number.
    pub fn of(cseq: u32) -> Due {
        Due(NonZeroU32::MIN.saturating_add(cseq))
    }
}

/// A leg; its dialog is kept beside it.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The session it belongs to; the id names the shard that owns it.
    pub session: SessionId,
    /// Who takes part with it.
    pub user: Aor,
    /// Where it stands.
    pub state: State,
    /// True where the client says that it reads `message/cpim` (RFC 3862): then who spoke stands in the message too.
    pub cpim: bool,
    /// True where the client sent the INVITE that made the dialog: then the Call-ID is its own.
    pub theirs: bool,
    /// With whom, where they converse in pager mode (RFC 3428): then there is no session behind the dialog.
    pub pages: Option<Aor>,
    /// Their INVITE whose 2xx had our offer: its ACK is to bring the answer (RFC 3264 §4).
    pub answer_due: Option<Due>,
    /// True where the session is a conference (`isfocus`, RFC 4579 §5.1).
    pub focus: bool,
    /// False while the client has still to be told so by a re-INVITE.
    pub told: bool,
    /// That re-INVITE, until it is answered: meanwhile the client may not ask for another (RFC 3261 §14.2).
    pub reinvite: Option<ClientKey>,
    /// Why it rings no longer, until the endpoint has said its last word.
    pub stopped: Option<Stop>,
    /// The version in the origin line of our session description; rises with each one (RFC 3264 §5).
    pub sdp_version: u32,
    /// Who types, where the client says it by beats and somebody does.
    pub typing: Option<Box<Typing>>,
}
