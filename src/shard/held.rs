//! What people write to a connection that reads too slowly, or that this turn has sent enough, waits here in its order, until there is
//! room. Else whoever may write to somebody could have them cut off: a peer is cut who leaves too much unread
//! (`unsent_bytes_max` of the shell).
//!
//! Requests are held, all that go to the connection once one is: two in a dialog keep their order (RFC 3261 §12.2.1.1). Answers
//! are not, for how many come is up to who asks. Notifications are not even written where there is no room
//! (`Connections::room`), so they wait only behind others. What waits has a bound, and what would come past it is refused before
//! it is written (`Connections::has_room_to_say`): those who write hear so, and can write again.

use std::collections::VecDeque;

use crate::immcu::content::Outcome;
use crate::shard::effect::{Effect, Effects};
use crate::shard::usage::Purpose;
use crate::shard::{Shard, on_answer, on_fanout};
use crate::sip::link::ConnectionId;
use crate::sip::transaction::Cancelling;

/// Bytes of requests that wait for one connection; one may go past it.
const HELD_BYTES_MAX: usize = 256 * 1024;
/// Who is refused for that comes again after so many seconds.
pub(super) const AGAIN_AFTER_S: u32 = 2;

/// What waits for one connection, the first first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    request: Box<[u8]>,
    /// It is in what its connection has been told in a turn already.
    is_told: bool,
}

impl Held {
    /// Whether a body of so many bytes may wait too. There is room for a line where there is none for a picture: who sends many
    /// of those does not keep others from a word.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) < HELD_BYTES_MAX
    }

    fn push(&mut self, request: &[u8], is_told: bool) {
        self.bytes += request.len();
        let request = request.into();
        self.waiting.push_back(Waiting { request, is_told });
    }
}

/// What is said of an endpoint that has no room for what somebody writes.
pub(super) fn no_room() -> Outcome {
    Outcome {
        retry_after_s: Some(AGAIN_AFTER_S),
        ..Outcome::with(503, "The Other Side Reads Too Slowly")
    }
}

/// Keeps back what there is no room for among `effects` from `start` on, and sends what there is room for again.
pub(super) fn hold(shard: &mut Shard, start: usize, effects: &mut Effects) {
    let mut holding: Vec<ConnectionId> = Vec::new();
    let Effects { list, bytes } = &mut *effects;
    for effect in list.iter_mut().skip(start) {
        if let Effect::Send {
            connection,
            range,
            notifies,
        } = effect
            && let Some(request) = bytes.get(range.clone())
            && !request.starts_with(b"SIP/2.0 ")
            && holds(shard, *connection, request, *notifies)
        {
            // Nothing else is as short.
            range.end = range.start;
            holding.push(*connection);
        }
    }
    if !holding.is_empty() {
        let is_held =
            |effect: &Effect| matches!(effect, Effect::Send { range, .. } if range.is_empty());
        list.retain(|effect| !is_held(effect));
    }
    for id in holding {
        on_fanout::later(shard, id, effects);
    }
    for id in core::mem::take(&mut shard.eased) {
        release(shard, id, effects);
    }
}

/// Whether a request is kept back. One that notifies `is_told` already.
fn holds(shard: &mut Shard, id: ConnectionId, request: &[u8], is_told: bool) -> bool {
    let now = shard.now;
    let has_room = is_told || shard.connections.room_to_say(id, now) > 0;
    let Some(place) = shard.connections.get_mut(id) else {
        return false;
    };
    if place.held.is_none() && has_room {
        if !is_told {
            shard.connections.told(id, now, request.len());
        }
        return false;
    }
    place.held.get_or_insert_default().push(request, is_told);
    true
}

/// What has been taken back while it waited is not sent: nobody is rung for what is over, or by a server that stops. It ends as if it
/// had been cancelled there. Nor is what nobody waits for any more, for who sent it has been told that it did not arrive: but for
/// what ends or confirms something, and for this server's own notifications.
pub(super) fn drop_taken_back(shard: &mut Shard, id: ConnectionId, effects: &mut Effects) {
    let (clients, branches, stopping) = (&shard.clients, shard.branches, shard.stopping);
    let place = shard.connections.get_mut(id);
    let Some(held) = place.and_then(|place| place.held.as_mut()) else {
        return;
    };
    let mut over = Vec::new();
    let Held { waiting, bytes } = &mut **held;
    waiting.retain(|Waiting { request, is_told }| {
        let begins = |method: &[u8]| request.starts_with(method);
        let (invites, cancels) = (begins(b"INVITE "), begins(b"CANCEL "));
        let client = branch(request)
            .filter(|_| !is_told && !begins(b"ACK ") && !begins(b"BYE "))
            .and_then(|branch| branches.read(branch));
        let Some(client) = client else {
            return true;
        };
        let stays = match clients.get(client) {
            None => false,
            Some(_) if cancels => !over.contains(&client),
            Some(_) if !invites => true,
            Some(invitation) => {
                let rings = matches!(invitation.purpose, Purpose::Invite(_) | Purpose::Call(_));
                invitation.cancelling == Cancelling::No && !(rings && stopping)
            }
        };
        if invites && !stays {
            over.push(client);
        }
        if !stays {
            *bytes -= request.len();
        }
        stays
    });
    for client in over {
        let outcome = Outcome::with(487, "Request Terminated");
        on_answer::failed(shard, client, &outcome, effects);
    }
}

/// The branch of a request of ours: its Via is the first line after the request line.
fn branch(request: &[u8]) -> Option<&str> {
    let via = request.split(|byte| *byte == b'\n').nth(1)?;
    let (_, branch) = core::str::from_utf8(via).ok()?.split_once("branch=")?;
    branch.trim_end().split(';').next()
}

/// Sends what waits, as far as there is room.
fn release(shard: &mut Shard, id: ConnectionId, effects: &mut Effects) {
    let now = shard.now;
    while shard.connections.room_to_say(id, now) > 0 {
        let Some(place) = shard.connections.get_mut(id) else {
            return;
        };
        let Some(held) = &mut place.held else {
            return;
        };
        let Some(Waiting { request, is_told }) = held.waiting.pop_front() else {
            place.held = None;
            return;
        };
        held.bytes -= request.len();
        effects.send(id, |out| out.extend_from_slice(&request));
        if !is_told {
            shard.connections.told(id, now, request.len());
        }
    }
    on_fanout::later(shard, id, effects);
}
