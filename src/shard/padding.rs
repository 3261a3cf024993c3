//! COMPAT(Pidgin, 2.14): it reads 1023 bytes at most at a time, and takes one message at most out of what it has after each
//! read. So of what shares a segment, an answer and the NOTIFY behind it, the last message is not seen until more comes,
//! and from then on it is late by one. No message to it is shorter than a read, so no read completes two, however TCP
//! cuts them. (A line end that makes it read on is no way: with one in front it loses its place.)

use crate::shard::Shard;
use crate::shard::effect::{Effect, Effects};
use crate::sip::header::Name;
use crate::sip::link::ConnectionId;
use crate::sip::message::Message;

/// More than one read.
const MESSAGE_BYTES_MIN: usize = 1024;
const NAME: &[u8] = b"X-Padding: ";

/// Whoever has authenticated on `connection` with `request`: is it Pidgin?
pub(super) fn notice(shard: &mut Shard, connection: ConnectionId, request: &Message<'_>) {
    let agent = request.header(Name::UserAgent).unwrap_or_default();
    // SIPE is a plugin of Pidgin's that reads for itself.
    if agent.starts_with("Purple/2.") && !agent.contains(" Sipe/") {
        shard.connections.pad(connection);
    }
}

/// Fills up what is sent to Pidgins among `effects` from `start` on.
pub(super) fn fill(shard: &Shard, start: usize, effects: &mut Effects) {
    if !shard.connections.any_padded() {
        return;
    }
    let Effects { list, bytes } = effects;
    for effect in list.iter_mut().skip(start) {
        if let Effect::Send {
            connection, range, ..
        } = effect
            && range.len() < MESSAGE_BYTES_MIN
            && shard
                .connections
                .get(*connection)
                .is_some_and(|it| it.padded)
            && let Some(first) = bytes[range.clone()].iter().position(|&byte| byte == b'\n')
        {
            // A copy with one more header line; what it replaces stays in the arena until the turn is over.
            let (from, after) = (bytes.len(), range.start + first + 1);
            bytes.extend_from_within(range.start..after);
            bytes.extend_from_slice(NAME);
            bytes.resize(bytes.len() + MESSAGE_BYTES_MIN - range.len(), b'-');
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_within(after..range.end);
            *range = from..bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::input::Input;
    use crate::shard::{Settings, ShardId};
    use crate::sip::link::{Link, Transport};
    use crate::sip::time::Now;

    /// The length of the answer to an OPTIONS, and what it means.
    fn answer(padded: bool) -> (usize, Option<u16>) {
        let now = Now(1_700_000_000_000_000);
        let mut shard = Shard::new(ShardId(0), Settings::default(), [1; 32], [2; 32], now);
        let (connection, peer) = (ConnectionId::new(0, 1), ([127, 0, 0, 1], 4000).into());
        let (transport, local) = (Transport::Tcp, peer);
        let link = Link {
            transport,
            local,
            peer,
            moves: 0,
            failures: 0,
        };
        let mut effects = Effects::default();
        shard.handle(now, Input::Opened { connection, link }, &mut effects);
        if padded {
            shard.connections.pad(connection);
        }
        let mut bytes = b"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
            To: <sip:example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
        let message = &Message::parse(&mut bytes).expect("a good message");
        shard.handle(
            now,
            Input::Message {
                connection,
                message,
            },
            &mut effects,
        );
        let range = effects.list.iter().find_map(|effect| match effect {
            Effect::Send { range, .. } => Some(range.clone()),
            _ => None,
        });
        let mut sent = effects.bytes[range.expect("an answer")].to_vec();
        shard.handle(now, Input::Closed { connection }, &mut effects);
        assert!(!shard.connections.any_padded());
        (
            sent.len(),
            Message::parse(&mut sent).expect("a whole message").status(),
        )
    }

    #[test]
    fn no_read_of_pidgins_completes_two_messages() {
        let (length, status) = answer(true);
        assert!(
            (MESSAGE_BYTES_MIN..MESSAGE_BYTES_MIN + 32).contains(&length),
            "{length}"
        );
        assert_eq!(status, Some(200));
        let (length, status) = answer(false);
        assert!(length < MESSAGE_BYTES_MIN, "{length}");
        assert_eq!(status, Some(200));
    }
}
