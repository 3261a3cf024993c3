//! TLS 1.3 records after the handshake (RFC 8446 §5): the keys, the count of records each way, and nothing else.
//!
//! rustls makes the keys and renews them; opening and sealing are done here, in place, with one copy of what is sent and
//! none of what is received. rustls' own connection does the same with a few more copies and two thousand bytes more a connection.
//! A connection keeps no key schedule, which is 700 bytes each way: the keys that are used much share a table of them (`schedules`).

pub(super) mod schedules;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, MAX_TAG_LEN, Nonce,
};
use rustls::crypto::cipher::{AeadKey, Iv, NONCE_LEN};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error};

/// Type, version, length.
const HEADER_BYTES: usize = 5;
/// What a record carries at most (RFC 8446 §5.1).
const CONTENT_BYTES_MAX: usize = 1 << 14;
/// A sealed record's body at most (RFC 8446 §5.2).
const BODY_BYTES_MAX: usize = CONTENT_BYTES_MAX + 256;
/// What a record adds to what it carries: header, content type, tag.
const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + MAX_TAG_LEN;
/// Our key is renewed after so many records, well before AES-GCM wears out (2^24.5 full records, RFC 8446 §5.5).
const RECORDS_A_KEY: u64 = if cfg!(test) { 1_000 } else { 1 << 23 };

/// KeyUpdates that a peer may send with nothing to say in between: each costs four derivations and a record, and nobody needs more.
const KEY_UPDATES_MAX: u8 = 32;

/// Who logs on and stays has this many records or fewer each way; a key that has done more is worth keeping ready.
const RECORDS_OF_THE_IDLE: u64 = 32;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Handshake type of a KeyUpdate (RFC 8446 §4.6.3), and the length of what it carries.
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// One direction: its key and how many records it has done.
struct Half {
    secrets: ConnectionTrafficSecrets,
    records: u64,
}

impl Half {
    /// Hands `act` the key, made ready, and the nonce of the next record (RFC 8446 §5.3).
    fn next<T>(
        &mut self,
        act: impl FnOnce(&LessSafeKey, Nonce) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (algorithm, key, iv) = parts(&self.secrets)?;
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(iv.as_ref());
        for (byte, count) in nonce[NONCE_LEN - 8..]
            .iter_mut()
            .zip(self.records.to_be_bytes())
        {
            *byte ^= count;
        }
        self.records += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        if self.records > RECORDS_OF_THE_IDLE {
            schedules::with(algorithm, key.as_ref(), |ready| act(ready, nonce))
        } else {
            act(&schedules::make(algorithm, key.as_ref())?, nonce)
        }
    }
}

impl Half {
    /// This thread has no more use for the key.
    fn leave(&self) {
        if let Ok((_, key, _)) = parts(&self.secrets) {
            schedules::forget(key.as_ref());
        }
    }
}

impl Drop for Half {
    /// A key does not outlive its connection.
    fn drop(&mut self) {
        self.leave();
    }
}

/// What the secrets of a direction are made of.
fn parts(secrets: &ConnectionTrafficSecrets) -> Result<(&'static Algorithm, &AeadKey, &Iv), Error> {
    Ok(match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
        _ => {
            return Err(Error::General(
                "a cipher suite without a record layer".into(),
            ));
        }
    })
}

/// What one record was.
pub(super) enum Record {
    /// Not all of it is there.
    Incomplete,
    /// It was used up; so many bytes.
    Done(usize),
    /// The peer says no more.
    End(usize),
}

/// A TLS 1.3 connection after its handshake, the server's side.
pub(super) struct Traffic {
    ours: Half,
    theirs: Half,
    /// KeyUpdates since the peer last said anything.
    updates: u8,
    /// Renews the keys.
    kernel: KernelConnection<ServerConnectionData>,
}

impl Traffic {
    /// Takes over from rustls. Its settings must allow for that (`enable_secret_extraction`), the handshake must be complete and
    /// all that it had to say sent.
    pub(super) fn take_over(connection: UnbufferedServerConnection) -> Result<Traffic, Error> {
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let half = |(records, secrets)| Half { secrets, records };
        Ok(Traffic {
            ours: half(secrets.tx),
            theirs: half(secrets.rx),
            updates: 0,
            kernel,
        })
    }

    /// The connection is about to go to another thread: what this one keeps ready for it goes.
    pub(super) fn leave(&self) {
        self.ours.leave();
        self.theirs.leave();
    }

    /// Opens the record at the front of `received` in place: what it carries is appended to `plain`, what must be answered to `out`.
    /// After an error `out` holds the alert that explains it.
    pub(super) fn open(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Record, Error> {
        self.try_open(received, plain, out).inspect_err(|error| {
            let alert = match error {
                Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
                Error::DecryptError => AlertDescription::BadRecordMac,
                Error::AlertReceived(_) => return,
                _ => AlertDescription::UnexpectedMessage,
            };
            // Whether it can be sealed or not, the connection ends.
            let _ = self.seal_one(ALERT, &[FATAL, alert.into()], out);
        })
    }

    fn try_open(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Record, Error> {
        let Some((header, rest)) = received.split_first_chunk_mut::<HEADER_BYTES>() else {
            return Ok(Record::Incomplete);
        };
        let [kind, _, _, high, low] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != APPLICATION_DATA {
            let what = if kind == CHANGE_CIPHER_SPEC {
                "a change of cipher"
            } else {
                "a record that is not sealed"
            };
            return Err(Error::General(format!("{what} after the handshake")));
        }
        if length > BODY_BYTES_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        let Some(body) = rest.get_mut(..length) else {
            return Ok(Record::Incomplete);
        };
        let used = HEADER_BYTES + length;
        let content = self.theirs.next(|key, nonce| {
            key.open_in_place(nonce, Aad::from(&*header), body)
                .map_err(|_| Error::DecryptError)
        })?;
        // The content type is the last byte that is not padding.
        let Some(end) = content.iter().rposition(|&byte| byte != 0) else {
            return Err(Error::General("a record that is all padding".into()));
        };
        if end > CONTENT_BYTES_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        let (content, kind) = (&content[..end], content[end]);
        match (kind, content) {
            (APPLICATION_DATA, content) => {
                plain.extend_from_slice(content);
                if !content.is_empty() {
                    self.updates = 0;
                }
            }
            (ALERT, &[_, description]) => match AlertDescription::from(description) {
                AlertDescription::CloseNotify => return Ok(Record::End(used)),
                // The one other alert that does not end the connection (RFC 8446 §6.1).
                AlertDescription::UserCanceled => {}
                other => return Err(Error::AlertReceived(other)),
            },
            (HANDSHAKE, &[a, b, c, d, wish @ (UPDATE_NOT_REQUESTED | UPDATE_REQUESTED)])
                if [a, b, c, d] == KEY_UPDATE && self.updates < KEY_UPDATES_MAX =>
            {
                self.updates += 1;
                let (records, secrets) = self.kernel.update_rx_secret()?;
                self.theirs = Half { secrets, records };
                if wish == UPDATE_REQUESTED {
                    self.renew(out)?;
                }
            }
            _ => {
                return Err(Error::General(
                    "a message that has no place after the handshake".into(),
                ));
            }
        }
        Ok(Record::Done(used))
    }

    /// Seals `plain` into as many records as it takes and appends them to `out`.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.ours.records >= RECORDS_A_KEY {
            self.renew(out)?;
        }
        for piece in plain.chunks(CONTENT_BYTES_MAX) {
            self.seal_one(APPLICATION_DATA, piece, out)?;
        }
        Ok(())
    }

    /// Appends close_notify to `out`.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.seal_one(ALERT, &[WARNING, AlertDescription::CloseNotify.into()], out)
    }

    /// Says that our key changes, and changes it.
    fn renew(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let [a, b, c, d] = KEY_UPDATE;
        self.seal_one(HANDSHAKE, &[a, b, c, d, UPDATE_NOT_REQUESTED], out)?;
        let (records, secrets) = self.kernel.update_tx_secret()?;
        self.ours = Half { secrets, records };
        Ok(())
    }

    fn seal_one(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        let [high, low] = ((content.len() + 1 + MAX_TAG_LEN) as u16).to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, high, low];
        out.reserve(OVERHEAD_BYTES + content.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(content);
        out.push(kind);
        let sealed = self.ours.next(|key, nonce| {
            let body = out.get_mut(start + HEADER_BYTES..);
            let body = body.ok_or(Error::EncryptError)?;
            key.seal_in_place_separate_tag(nonce, Aad::from(header), body)
                .map_err(|_| Error::EncryptError)
        });
        match sealed {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(error) => {
                // Nothing that is not sealed leaves.
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }
}
