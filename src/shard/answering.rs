//! What the answer to a request says beside the status that somebody else decides: a REFER's, and those of Lync's clients.

use crate::dialect::lync::cccp::{self, Answer};
use crate::immcu::content::Outcome;
use crate::shard::effect::Effects;
use crate::shard::request::our_contact;
use crate::shard::usage::Answering;
use crate::shard::{Shard, on_refer};
use crate::sip::transaction::ServerKey;
use crate::sip::uri::Scheme;

impl Shard {
    /// Answers a kept request for good, as its client expects it.
    pub(super) fn settle_as_asked(
        &mut self,
        key: ServerKey,
        outcome: &Outcome,
        effects: &mut Effects,
    ) {
        // Nearly all say no more than a status.
        if self.answering.is_empty() {
            return self.settle(key, outcome, effects);
        }
        match self.answering.remove(&key) {
            Some(Answering::Cccp(envelope, name)) => {
                let answer = if outcome.is_success() {
                    Answer::Done
                } else {
                    Answer::Failure(cccp::reason(outcome.status))
                };
                let body = cccp::write(&envelope, name, &answer);
                // What was refused is said in the body: a client reads no other answer ([MS-CONFBAS] §2.2.3).
                self.settle_with(key, 200, "", None, effects, |draft| {
                    draft.body(cccp::CONTENT_TYPE, &body);
                });
            }
            Some(Answering::Message(number)) if outcome.is_success() => {
                let (status, reason) = (outcome.status, &outcome.reason);
                self.settle_with(key, status, reason, None, effects, |mut draft| {
                    draft.header("Message-Id", number);
                    draft.finish();
                });
            }
            Some(Answering::Invitation(_)) if outcome.is_success() => {
                let connection = self.servers.get(key).map(|request| request.connection);
                let link = connection.and_then(|id| Some(self.connections.get(id)?.link));
                self.settle_with(key, 200, "", None, effects, |mut draft| {
                    if let Some(link) = link {
                        draft.header("Contact", our_contact(Scheme::Sip, "", &link));
                    }
                    draft.finish();
                });
            }
            Some(Answering::Refer { leg, quiet }) if outcome.is_success() => {
                let connection = self.servers.get(key).map(|request| request.connection);
                let link = connection.and_then(|id| self.connections.link(id));
                let place = on_refer::place(self, leg);
                let (status, reason) = (outcome.status, &outcome.reason);
                self.settle_with(key, status, reason, None, effects, |mut draft| {
                    if let Some(link) = link {
                        draft.contact(place.scheme, &place.user, &link, place.focus);
                    }
                    if quiet {
                        draft.header("Refer-Sub", "false");
                    }
                    draft.finish();
                });
            }
            Some(Answering::Message(_) | Answering::Invitation(_) | Answering::Refer { .. })
            | None => {
                self.settle(key, outcome, effects);
            }
        }
    }
}
