//! Intents and facts of the core, and each kind of client's own way to say them. An endpoint's dialect is fixed when
//! it registers: standard SIP/SIMPLE (`simple`, `conference`), or Lync's (`lync`).

pub mod body;
pub mod conference;
pub mod fuzz;
pub mod lync;
pub mod simple;

use crate::sip::header::{Name, has_token};
use crate::sip::message::Message;

/// How an endpoint speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// Standard SIP, with SIMPLE for presence.
    #[default]
    Simple,
    /// As clients of Lync Server 2013 do.
    Lync,
}

impl Dialect {
    /// The dialect of who sends this REGISTER: Lync's clients say that they know its categories ([MS-SIPREGE], [MS-PRES]).
    pub fn of_register(message: &Message<'_>) -> Dialect {
        let knows = |token| has_token(message.headers(Name::Supported), token);
        if knows("msrtc-event-categories") || knows("com.microsoft.msrtc.presence") {
            Dialect::Lync
        } else {
            Dialect::Simple
        }
    }
}
