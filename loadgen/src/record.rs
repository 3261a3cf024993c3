//! The records of a client that keeps nothing of TLS but its secrets (TLS 1.3 with AES-128-GCM, RFC 8446 §5).
//!
//! 64 bytes a client: two keys, two initialization vectors, two counts. The key schedule is made anew for each batch of
//! records. Not here: the handshake (`tls`), and following a KeyUpdate, which needs secrets that are not kept.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error, ExtractedSecrets};

const HEAD_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
/// What one record carries at most (RFC 8446 §5.1), and with its type, padding and tag (§5.2).
const TEXT_BYTES_MAX: usize = 1 << 14;
const SEALED_BYTES_MAX: usize = TEXT_BYTES_MAX + 256;
/// Content types.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Handshake types.
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;

/// One direction.
struct Half {
    key: [u8; 16],
    iv: [u8; 12],
    /// Records so far; the next one's sequence number.
    count: u32,
}

/// Both directions of one connection.
pub struct Records {
    opening: Half,
    sealing: Half,
}

/// What came of received bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    /// So many bytes at the front are used up; what follows is part of a record.
    pub consumed: usize,
    /// The server said close_notify.
    pub closed: bool,
}

impl Half {
    fn of(count: u64, secrets: &ConnectionTrafficSecrets) -> Option<Half> {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            return None;
        };
        Some(Half {
            key: key.as_ref().try_into().ok()?,
            iv: iv.as_ref().try_into().ok()?,
            count: u32::try_from(count).ok()?,
        })
    }

    fn key(&self) -> Result<LessSafeKey, Error> {
        UnboundKey::new(&AES_128_GCM, &self.key)
            .map(LessSafeKey::new)
            .map_err(|_| Error::General("a key that AES-128-GCM doesn't take".into()))
    }

    /// The nonce of the next record (RFC 8446 §5.3), which is counted by it.
    fn next(&mut self) -> Result<Nonce, Error> {
        let mut nonce = self.iv;
        for (byte, count) in nonce[8..].iter_mut().zip(self.count.to_be_bytes()) {
            *byte ^= count;
        }
        // A million full records would be the limit for secrets (RFC 8446 §5.5: 2^24.5); here a nonce must not come twice.
        self.count = self.count.checked_add(1).ok_or_else(|| {
            Error::General("4,294,967,295 records with one key: connect anew".into())
        })?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl Records {
    /// `None` for another cipher.
    pub fn of(secrets: &ExtractedSecrets) -> Option<Records> {
        let ((sent, sealing), (received, opening)) = (&secrets.tx, &secrets.rx);
        Some(Records {
            opening: Half::of(*received, opening)?,
            sealing: Half::of(*sent, sealing)?,
        })
    }

    /// Opens the whole records at the front of `received`, in place, and appends what they say to `text`. Each
    /// NewSessionTicket is given to `ticket`, without its head.
    ///
    /// # Errors
    /// A record that is too long, of another type, or not as the server sealed it; an alert other than close_notify; a
    /// KeyUpdate, or another handshake message than a ticket. The connection is good for nothing more.
    pub fn open(
        &mut self,
        received: &mut [u8],
        text: &mut Vec<u8>,
        mut ticket: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Opened, Error> {
        let mut opened = Opened::default();
        let mut key = None;
        while !opened.closed {
            let rest = received.get_mut(opened.consumed..).unwrap_or_default();
            let Some((head, rest)) = rest.split_first_chunk_mut::<HEAD_BYTES>() else {
                break;
            };
            let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
            if length > SEALED_BYTES_MAX {
                return Err(Error::PeerSentOversizedRecord);
            }
            if head[0] != APPLICATION_DATA {
                return Err(Error::General(format!(
                    "a record of type {} that is not encrypted",
                    head[0]
                )));
            }
            let Some(sealed) = rest.get_mut(..length) else {
                break;
            };
            let key = match &key {
                Some(key) => key,
                None => key.insert(self.opening.key()?),
            };
            let inner = key
                .open_in_place(self.opening.next()?, Aad::from(&*head), sealed)
                .map_err(|_| Error::DecryptError)?;
            opened.consumed += HEAD_BYTES + length;
            // The type stands last, with zeros behind it for padding (RFC 8446 §5.2).
            let end = inner.iter().rposition(|byte| *byte != 0);
            let Some((kind, content)) = end.and_then(|end| inner[..=end].split_last()) else {
                return Err(Error::General("a record without a type".into()));
            };
            if content.len() > TEXT_BYTES_MAX {
                return Err(Error::PeerSentOversizedRecord);
            }
            match *kind {
                APPLICATION_DATA => text.extend_from_slice(content),
                HANDSHAKE => after_handshake(content, &mut ticket)?,
                ALERT if content.get(1) == Some(&CLOSE_NOTIFY) => opened.closed = true,
                ALERT => {
                    let alert = content.get(1).copied().unwrap_or_default();
                    return Err(Error::AlertReceived(AlertDescription::from(alert)));
                }
                other => {
                    return Err(Error::General(format!(
                        "an encrypted record of type {other}"
                    )));
                }
            }
        }
        if opened.closed {
            // Nothing counts behind it (RFC 8446 §6.1).
            opened.consumed = received.len();
        }
        Ok(opened)
    }

    /// Appends `text` as records to `wire`.
    ///
    /// # Errors
    /// When the counter of records is at its end.
    pub fn seal(&mut self, text: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        let key = self.sealing.key()?;
        for piece in text.chunks(TEXT_BYTES_MAX) {
            self.seal_one(&key, piece, APPLICATION_DATA, wire)?;
        }
        Ok(())
    }

    /// Appends close_notify to `wire`.
    pub fn close(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        let key = self.sealing.key()?;
        self.seal_one(&key, &[WARNING, CLOSE_NOTIFY], ALERT, wire)
    }

    fn seal_one(
        &mut self,
        key: &LessSafeKey,
        content: &[u8],
        kind: u8,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        // At most 16,384 + 17, as `seal` cuts.
        let [high, low] = ((content.len() + 1 + TAG_BYTES) as u16).to_be_bytes();
        let head = [APPLICATION_DATA, 3, 3, high, low];
        wire.reserve(HEAD_BYTES + content.len() + 1 + TAG_BYTES);
        wire.extend_from_slice(&head);
        let from = wire.len();
        wire.extend_from_slice(content);
        wire.push(kind);
        let nonce = self.sealing.next()?;
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(head), &mut wire[from..])
            .map_err(|_| Error::EncryptError)?;
        wire.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Handshake messages that come when the handshake is long over (RFC 8446 §4.6).
fn after_handshake(
    mut content: &[u8],
    ticket: &mut impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    while let Some(([kind, length @ ..], rest)) = content.split_first_chunk::<4>() {
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
        if *kind == KEY_UPDATE {
            return Err(Error::General(
                "the server changes its keys (KeyUpdate), which this client doesn't follow".into(),
            ));
        }
        let Some((message, rest)) = rest
            .split_at_checked(length)
            .filter(|_| *kind == NEW_SESSION_TICKET)
        else {
            return Err(Error::General(format!(
                "a handshake message of type {kind} after the handshake, or one that is cut"
            )));
        };
        ticket(message)?;
        content = rest;
    }
    if content.is_empty() {
        return Ok(());
    }
    Err(Error::General(
        "a handshake message that is cut after the handshake".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(byte: u8) -> Half {
        Half {
            key: [byte; 16],
            iv: [byte; 12],
            count: 7,
        }
    }

    /// Two ends of one connection.
    fn ends() -> (Records, Records) {
        let end = |opening, sealing| Records {
            opening: half(opening),
            sealing: half(sealing),
        };
        (end(1, 2), end(2, 1))
    }

    fn no_ticket(_: &[u8]) -> Result<(), Error> {
        panic!("a ticket came")
    }

    #[test]
    fn a_client_holds_64_bytes() {
        assert_eq!(size_of::<Records>(), 64);
    }

    #[test]
    fn what_is_sealed_is_opened_however_the_bytes_come() {
        let (mut client, mut server) = ends();
        let long: Vec<u8> = (0..50_000u32).map(|number| number as u8).collect();
        let mut wire = Vec::new();
        server.seal(b"first", &mut wire).unwrap();
        server.seal(&long, &mut wire).unwrap();
        server.close(&mut wire).unwrap();
        wire.extend_from_slice(b"ignored");
        let whole = [&b"first"[..], &long].concat();
        for piece in [1, 3, 4_000, wire.len()] {
            let (mut kept, mut text, mut closed) = (Vec::new(), Vec::new(), false);
            client.opening.count = 7;
            for part in wire.chunks(piece) {
                kept.extend_from_slice(part);
                let opened = client.open(&mut kept, &mut text, no_ticket).unwrap();
                kept.drain(..opened.consumed);
                closed |= opened.closed;
                if closed {
                    break;
                }
            }
            assert!(closed && kept.is_empty(), "pieces of {piece}");
            assert!(text == whole, "pieces of {piece}");
        }
    }

    #[test]
    fn a_changed_record_is_refused_and_so_is_one_out_of_turn() {
        let (mut client, mut server) = ends();
        let mut wire = Vec::new();
        server.seal(b"text", &mut wire).unwrap();
        for at in [0, 3, 5, wire.len() - 1] {
            let mut bad = wire.clone();
            bad[at] ^= 0x80;
            client.opening.count = 7;
            let opened = client.open(&mut bad, &mut Vec::new(), no_ticket);
            assert!(opened.is_err(), "byte {at}");
        }
        client.opening.count = 8;
        let opened = client.open(&mut wire, &mut Vec::new(), no_ticket);
        assert_eq!(opened, Err(Error::DecryptError));
    }

    #[test]
    fn after_the_handshake_tickets_are_taken_and_key_updates_are_not() {
        let (mut client, mut server) = ends();
        let mut say = |content: &[u8], kind| {
            let (mut wire, mut tickets) = (Vec::new(), Vec::new());
            let key = server.sealing.key().unwrap();
            server.seal_one(&key, content, kind, &mut wire).unwrap();
            let opened = client.open(&mut wire, &mut Vec::new(), |ticket| {
                tickets.push(ticket.to_vec());
                Ok(())
            });
            (opened.map(|_| tickets)).map_err(|error| error.to_string())
        };
        let two = [4, 0, 0, 1, 9, 4, 0, 0, 2, 8, 7];
        assert_eq!(say(&two, HANDSHAKE), Ok(vec![vec![9], vec![8, 7]]));
        for (content, kind, says) in [
            (&[24, 0, 0, 1, 0][..], HANDSHAKE, "KeyUpdate"),
            (&[4, 0, 0, 9, 1], HANDSHAKE, "cut"),
            (&[4, 0], HANDSHAKE, "cut"),
            (&[1, 0, 0, 0], HANDSHAKE, "type 1"),
            (&[2, 40], ALERT, "HandshakeFailure"),
            (&[0, 0], 0, "without a type"),
            (&[1], 20, "type 20"),
        ] {
            let error = say(content, kind).unwrap_err();
            assert!(error.contains(says), "{content:?}: {error}");
        }
    }

    #[test]
    fn padding_is_taken_off() {
        let (mut client, mut server) = ends();
        let (mut wire, mut text) = (Vec::new(), Vec::new());
        let key = server.sealing.key().unwrap();
        let padded = [b"hi".as_slice(), &[APPLICATION_DATA, 0, 0]].concat();
        server.seal_one(&key, &padded, 0, &mut wire).unwrap();
        client.open(&mut wire, &mut text, no_ticket).unwrap();
        assert_eq!(text, b"hi");
    }

    #[test]
    fn a_nonce_is_never_used_twice() {
        let (mut client, _) = ends();
        client.sealing.count = u32::MAX - 1;
        client.seal(b"the last", &mut Vec::new()).unwrap();
        client.seal(b"one too many", &mut Vec::new()).unwrap_err();
    }
}
