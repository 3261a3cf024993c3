//! The TLS record layer of one connection, over buffers that belong to the shard.
//!
//! rustls shakes hands; from then on TLS 1.3 is `traffic`'s and TLS 1.2 stays with rustls' unbuffered API. What is kept are
//! keys and counts, never bytes: what is incomplete stays with the connection.

mod traffic;

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{ProtocolVersion, ServerConfig};

use crate::shell::record::traffic::{Record, Traffic};

/// What a record adds at most to what it carries: header, explicit nonce, content type and tag, with room to spare.
const RECORD_OVERHEAD: usize = 64;
/// What one record carries at most (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// One TLS connection, the server's side.
pub(super) struct Records(Keys);

/// Who has the keys.
enum Keys {
    /// rustls, before the end of the handshake.
    Handshake(Box<UnbufferedServerConnection>),
    /// rustls, for TLS 1.2. It holds no piece of a handshake message: see [`holds_a_record`].
    Rustls(Box<UnbufferedServerConnection>),
    Traffic(Box<Traffic>),
    /// Nobody: the connection or its handover has failed.
    Lost,
}

/// What came of bytes from the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Opened {
    /// So many bytes at the front are used up.
    pub(super) consumed: usize,
    /// The handshake was completed by them.
    pub(super) established: bool,
    /// The peer has said that it sends no more (close_notify).
    pub(super) ended: bool,
}

impl Records {
    /// A connection before its handshake.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Records, rustls::Error> {
        Ok(Records(Keys::Handshake(Box::new(
            UnbufferedServerConnection::new(config)?,
        ))))
    }

    /// Takes what was received: appends what it says to `plain`, and what must be sent back (handshake, tickets, alerts) to `out`.
    /// After an error `out` holds the alert, and the connection is good for nothing more.
    pub(super) fn open(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Opened, rustls::Error> {
        let mut opened = Opened::default();
        match &mut self.0 {
            Keys::Handshake(connection) | Keys::Rustls(connection) => {
                match drive(connection, received, plain, out, &mut opened) {
                    Ok(Pause::Traffic) if matches!(self.0, Keys::Handshake(_)) => {
                        opened.established = true;
                        self.hand_over()?;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        self.0 = Keys::Lost;
                        return Err(error);
                    }
                }
            }
            Keys::Traffic(_) => {}
            Keys::Lost => return Err(rustls::Error::HandshakeNotComplete),
        }
        if let Keys::Rustls(_) = &self.0
            && holds_a_record(received.get(opened.consumed..).unwrap_or_default())
        {
            self.0 = Keys::Lost;
            return Err(rustls::Error::PeerMisbehaved(
                rustls::PeerMisbehaved::MessageInterleavedWithHandshakeMessage,
            ));
        }
        if let Keys::Traffic(traffic) = &mut self.0 {
            while !opened.ended {
                let rest = received.get_mut(opened.consumed..).unwrap_or_default();
                match traffic.open(rest, plain, out)? {
                    Record::Incomplete => break,
                    Record::Done(bytes) => opened.consumed += bytes,
                    Record::End(bytes) => {
                        opened.consumed += bytes;
                        opened.ended = true;
                    }
                }
            }
        }
        if opened.ended {
            // What a peer sends after its end has no meaning (RFC 8446 §6.1).
            opened.consumed = received.len();
        }
        Ok(opened)
    }

    /// The handshake is complete: from now on TLS 1.3 is ours.
    fn hand_over(&mut self) -> Result<(), rustls::Error> {
        let Keys::Handshake(connection) = core::mem::replace(&mut self.0, Keys::Lost) else {
            return Ok(());
        };
        self.0 = if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            Keys::Traffic(Box::new(Traffic::take_over(*connection)?))
        } else {
            Keys::Rustls(connection)
        };
        Ok(())
    }

    /// The connection is about to go to another shard's thread.
    pub(super) fn leave(&self) {
        if let Keys::Traffic(traffic) = &self.0 {
            traffic.leave();
        }
    }

    /// Encrypts `plain` and appends it to `out`. Only after the handshake.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), rustls::Error> {
        match &mut self.0 {
            Keys::Traffic(traffic) => traffic.seal(plain, out),
            Keys::Rustls(connection) => seal(connection, plain, out),
            Keys::Handshake(_) | Keys::Lost => Err(rustls::Error::HandshakeNotComplete),
        }
    }

    /// Appends close_notify to `out`; nothing before the handshake is complete, and after an error.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            // What cannot be sealed is not said; the connection closes all the same.
            Keys::Traffic(traffic) => drop(traffic.close(out)),
            Keys::Rustls(connection) => close(connection, out),
            Keys::Handshake(_) | Keys::Lost => {}
        }
    }
}

/// Where rustls stands when it has nothing more to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pause {
    /// In the handshake.
    Handshake,
    /// Bytes of the application can go both ways.
    Traffic,
    /// Both ends have said their end.
    Closed,
}

/// Lets rustls take what was received, until it has nothing more to do.
fn drive(
    connection: &mut UnbufferedServerConnection,
    received: &mut [u8],
    plain: &mut Vec<u8>,
    out: &mut Vec<u8>,
    opened: &mut Opened,
) -> Result<Pause, rustls::Error> {
    loop {
        let rest = received.get_mut(opened.consumed..).unwrap_or_default();
        let UnbufferedStatus { mut discard, state } = connection.process_tls_records(rest);
        let mut pause = None;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(|room| data.encode(room), out)?,
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            Ok(ConnectionState::WriteTraffic(_)) => pause = Some(Pause::Traffic),
            Ok(ConnectionState::PeerClosed) => opened.ended = true,
            Ok(ConnectionState::Closed) => {
                opened.ended = true;
                pause = Some(Pause::Closed);
            }
            Ok(ConnectionState::BlockedHandshake) => pause = Some(Pause::Handshake),
            // Early data is refused by our settings, so there is none; what else there may be one day cannot be driven.
            Ok(_) => {
                return Err(rustls::Error::General(
                    "unexpected state of the TLS connection".into(),
                ));
            }
            Err(error) => {
                alert(connection, out);
                return Err(error);
            }
        }
        opened.consumed += discard;
        if let Some(pause) = pause {
            return Ok(pause);
        }
    }
}

/// Is there a whole record at the front of what rustls has not used up? Then it is a piece of a handshake message, and its rest is
/// awaited. rustls wants to see that piece at every call, and panics where it is not shown: so after the handshake, where we let
/// it seal without a look at what was received, there must be none. Nobody but who wants to renegotiate would send one, in pieces.
fn holds_a_record(unused: &[u8]) -> bool {
    match unused {
        [_, _, _, high, low, body @ ..] => {
            body.len() >= usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

/// Appends the alert that explains the last error to `out`, if there is one.
fn alert(connection: &mut UnbufferedServerConnection, out: &mut Vec<u8>) {
    // As long as something is to be written rustls does not look at what was received; after an error it must not look again.
    while connection.wants_write()
        && let Ok(ConnectionState::EncodeTlsData(mut data)) =
            connection.process_tls_records(&mut []).state
        && encode(|room| data.encode(room), out).is_ok()
    {}
}

/// Lets rustls encrypt `plain` to the end of `out`. It holds no piece of a message.
fn seal(
    connection: &mut UnbufferedServerConnection,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let records = plain.len().div_ceil(RECORD_BYTES_MAX);
    let start = out.len();
    loop {
        match connection.process_tls_records(&mut []).state? {
            ConnectionState::EncodeTlsData(mut data) => encode(|room| data.encode(room), out)?,
            ConnectionState::TransmitTlsData(sent) => sent.done(),
            ConnectionState::WriteTraffic(mut traffic) => {
                let start = out.len().max(start);
                out.resize(start + plain.len() + records * RECORD_OVERHEAD, 0);
                let written = loop {
                    match traffic.encrypt(plain, &mut out[start..]) {
                        Ok(written) => break written,
                        Err(EncryptError::InsufficientSize(InsufficientSizeError {
                            required_size,
                        })) => out.resize(start + required_size, 0),
                        Err(EncryptError::EncryptExhausted) => {
                            out.truncate(start);
                            return Err(rustls::Error::EncryptError);
                        }
                    }
                };
                out.truncate(start + written);
                return Ok(());
            }
            // The peer has ended its side; ours may still speak. The next state says how.
            ConnectionState::PeerClosed => {}
            _ => return Err(rustls::Error::HandshakeNotComplete),
        }
    }
}

/// Lets rustls append close_notify to `out`. It holds no piece of a message.
fn close(connection: &mut UnbufferedServerConnection, out: &mut Vec<u8>) {
    for _ in 0..4 {
        match connection.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let start = out.len();
                out.resize(start + RECORD_OVERHEAD, 0);
                let written = traffic.queue_close_notify(&mut out[start..]).unwrap_or(0);
                out.truncate(start + written);
                return;
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                if encode(|room| data.encode(room), out).is_err() {
                    return;
                }
            }
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            Ok(ConnectionState::PeerClosed) => {}
            _ => return,
        }
    }
}

/// Lets rustls write one piece to the end of `out`, as long as it is.
fn encode(
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let start = out.len();
    let needed = match write(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            required_size
        }
        Ok(_) => return Ok(()),
        Err(error @ EncodeError::AlreadyEncoded) => {
            return Err(rustls::Error::General(error.to_string()));
        }
    };
    out.resize(start + needed, 0);
    match write(&mut out[start..]) {
        Ok(written) => {
            out.truncate(start + written);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(rustls::Error::General(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustls::crypto::cipher::OutboundPlainMessage;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::shell::tls;

    /// A client, and the records of a server that it can talk to.
    fn pair(versions: &[&'static rustls::SupportedProtocolVersion]) -> (ClientConnection, Records) {
        let (cert, key) = tls::generate(&[]).expect("generated");
        let directory = tempfile::tempdir().expect("a folder");
        let name = |end: &str| directory.path().join(end);
        std::fs::write(name("pem"), &cert).expect("written");
        std::fs::write(name("key"), &key).expect("written");
        let config = tls::load(&name("pem"), &name("key")).expect("usable");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM"))
            .expect("a root");
        let mut client = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
        client.enable_secret_extraction = true;
        let client = ClientConnection::new(
            Arc::new(client),
            ServerName::try_from("localhost").expect("a name"),
        )
        .expect("a client");
        (client, Records::new(config).expect("a server"))
    }

    /// Carries bytes both ways, `piece` at a time towards the server, until nobody has anything to say.
    fn talk(client: &mut ClientConnection, server: &mut Records, piece: usize) -> Vec<u8> {
        let (mut kept, mut plain) = (Vec::new(), Vec::new());
        loop {
            let mut sent = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut sent).expect("memory");
            }
            if sent.is_empty() {
                return plain;
            }
            for part in sent.chunks(piece) {
                kept.extend_from_slice(part);
                let mut out = Vec::new();
                let opened = server
                    .open(&mut kept, &mut plain, &mut out)
                    .expect("a good client");
                kept.drain(..opened.consumed);
                let mut out = &out[..];
                while !out.is_empty() {
                    client.read_tls(&mut out).expect("memory");
                    client.process_new_packets().expect("a good server");
                }
            }
        }
    }

    #[test]
    fn both_versions_shake_hands_and_talk_byte_by_byte() {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let (mut client, mut server) = pair(&[version]);
            assert!(talk(&mut client, &mut server, 1).is_empty());
            assert!(!matches!(server.0, Keys::Handshake(_)) && !client.is_handshaking());
            client.writer().write_all(b"to the server").expect("memory");
            assert_eq!(talk(&mut client, &mut server, 3), b"to the server");
            // More than one record's worth, and close_notify behind it.
            let long: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
            let mut out = Vec::new();
            server.seal(&long, &mut out).expect("sealed");
            server.close(&mut out);
            let (mut out, mut got) = (&out[..], Vec::new());
            while !out.is_empty() {
                client.read_tls(&mut out).expect("memory");
                client.process_new_packets().expect("records");
                let mut piece = vec![0; 20_000];
                while let Ok(count @ 1..) = client.reader().read(&mut piece) {
                    got.extend_from_slice(&piece[..count]);
                }
            }
            assert_eq!(got, long);
            assert_eq!(client.reader().read(&mut [0]).expect("a clean end"), 0);
        }
    }

    #[test]
    fn the_peers_end_is_seen_and_ours_still_speaks() {
        let (mut client, mut server) = pair(&[&rustls::version::TLS13]);
        talk(&mut client, &mut server, 4_096);
        client.send_close_notify();
        let mut sent = Vec::new();
        client.write_tls(&mut sent).expect("memory");
        let opened = server
            .open(&mut sent, &mut Vec::new(), &mut Vec::new())
            .expect("an end");
        assert!(opened.ended);
        server
            .seal(b"late", &mut Vec::new())
            .expect("our side is open");
    }

    #[test]
    fn a_key_that_is_kept_ready_stays_on_no_thread_that_its_connection_has_left() {
        let kept = traffic::schedules::kept;
        let (mut client, mut server) = pair(&[&rustls::version::TLS13]);
        talk(&mut client, &mut server, 4_096);
        let exchange = |client: &mut ClientConnection, server: &mut Records| {
            for _ in 0..50 {
                client.writer().write_all(b"hello").expect("memory");
                assert_eq!(talk(client, server, 4_096), b"hello");
                let mut out = Vec::new();
                server.seal(b"well", &mut out).expect("sealed");
                client.read_tls(&mut &out[..]).expect("memory");
                client.process_new_packets().expect("a good record");
            }
        };
        assert_eq!(kept(), 0, "few records need none");
        exchange(&mut client, &mut server);
        assert_eq!(kept(), 2, "one each way");
        server.leave();
        assert_eq!(kept(), 0);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                exchange(&mut client, &mut server);
                assert_eq!(kept(), 2);
                drop(server);
                assert_eq!(kept(), 0);
            });
        });
        assert_eq!(kept(), 0);
    }

    #[test]
    fn an_error_leaves_an_alert_to_send() {
        let (_, mut server) = pair(&[&rustls::version::TLS13]);
        let mut out = Vec::new();
        let mut bytes = *b"GET / HTTP/1.1\r\nHost: not TLS\r\n\r\n";
        server
            .open(&mut bytes, &mut Vec::new(), &mut out)
            .expect_err("no TLS");
        // Alert, fatal.
        assert_eq!((out.first(), out.get(5)), (Some(&21), Some(&2)), "{out:?}");
        server.close(&mut out);
    }

    /// As plain records of at most `most` bytes.
    fn in_records(handshake: &[u8], most: usize) -> Vec<u8> {
        let mut records = Vec::new();
        for piece in handshake.chunks(most) {
            records.extend_from_slice(&[22, 3, 1]);
            records.extend_from_slice(&(piece.len() as u16).to_be_bytes());
            records.extend_from_slice(piece);
        }
        records
    }

    #[test]
    fn who_leaves_within_a_message_of_the_handshake_harms_nobody() {
        let (mut client, _) = pair(&[&rustls::version::TLS13, &rustls::version::TLS12]);
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("memory");
        let (hello, whole) = (&hello[5..], hello.len() - 5);
        // A message of 65,536 bytes is announced; a byte of one; all of ours, in pieces, cut off anywhere.
        let too_long = in_records(&[1, 1, 0, 0], 4);
        let mut cases = vec![too_long, in_records(&[1], 1)];
        cases.extend((1..whole).map(|length| in_records(&hello[..length], 1 + length % 50)));
        // Each byte of the first ones is another one.
        cases.extend((0..200).map(|at| {
            let mut bytes = in_records(hello, 40);
            bytes[at] ^= 1 << (at % 8);
            bytes
        }));
        for (number, bytes) in cases.into_iter().enumerate() {
            let (_, mut server) = pair(&[&rustls::version::TLS13]);
            let (mut kept, mut out) = (Vec::new(), Vec::new());
            let mut result = Ok(());
            for piece in bytes.chunks(1 + number % 90) {
                kept.extend_from_slice(piece);
                match server.open(&mut kept, &mut Vec::new(), &mut out) {
                    Ok(opened) => drop(kept.drain(..opened.consumed)),
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            server.close(&mut out);
            if number == 0 {
                result.expect_err("too long");
            }
        }
    }

    #[test]
    fn a_piece_of_a_message_after_the_handshake_ends_a_connection_of_tls_1_2() {
        let (mut client, mut server) = pair(&[&rustls::version::TLS12]);
        talk(&mut client, &mut server, 4_096);
        assert!(matches!(server.0, Keys::Rustls(_)));
        let Some(rustls::SupportedCipherSuite::Tls12(suite)) = client.negotiated_cipher_suite()
        else {
            panic!("a suite of TLS 1.2");
        };
        let (number, secrets) = client.dangerous_extract_secrets().expect("allowed").tx;
        let (key, iv) = match secrets {
            rustls::ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | rustls::ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (key, iv),
            _ => panic!("a suite that was not asked for"),
        };
        let (salt, explicit) = iv.as_ref().split_at(4);
        let mut encrypter = suite.aead_alg.encrypter(key, salt, explicit);
        let mut seal = |content: &[u8], number| {
            let message = OutboundPlainMessage {
                typ: rustls::ContentType::Handshake,
                version: ProtocolVersion::TLSv1_2,
                payload: content.into(),
            };
            encrypter.encrypt(message, number).expect("sealed").encode()
        };
        let mut out = Vec::new();
        // The first byte of a ClientHello.
        server
            .open(&mut seal(&[1], number), &mut Vec::new(), &mut out)
            .expect_err("its rest is not waited for");
        server.seal(b"late", &mut out).expect_err("it is lost");
        server.close(&mut out);
    }

    /// Lets the client take what the server has sent.
    fn hand(client: &mut ClientConnection, mut sent: &[u8]) -> Result<(), rustls::Error> {
        while !sent.is_empty() {
            client.read_tls(&mut sent).expect("memory");
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_record_that_was_touched_is_answered_with_an_alert() {
        type Touch = fn(&mut Vec<u8>);
        let touches: [(Touch, _); 4] = [
            (|sent| sent[20] ^= 1, rustls::AlertDescription::BadRecordMac),
            (
                |sent| sent[3..5].copy_from_slice(&0x4101u16.to_be_bytes()),
                rustls::AlertDescription::RecordOverflow,
            ),
            (
                |sent| sent[0] = 20,
                rustls::AlertDescription::UnexpectedMessage,
            ),
            (
                |sent| sent[0] = 22,
                rustls::AlertDescription::UnexpectedMessage,
            ),
        ];
        for (touch, expected) in touches {
            let (mut client, mut server) = pair(&[&rustls::version::TLS13]);
            talk(&mut client, &mut server, 4_096);
            client.writer().write_all(b"to be touched").expect("memory");
            let mut sent = Vec::new();
            client.write_tls(&mut sent).expect("memory");
            touch(&mut sent);
            let (mut plain, mut out) = (Vec::new(), Vec::new());
            server
                .open(&mut sent, &mut plain, &mut out)
                .expect_err("touched");
            assert!(plain.is_empty());
            assert_eq!(
                hand(&mut client, &out),
                Err(rustls::Error::AlertReceived(expected))
            );
        }
    }

    #[test]
    fn our_key_is_renewed_before_it_wears_out() {
        let (mut client, mut server) = pair(&[&rustls::version::TLS13]);
        talk(&mut client, &mut server, 4_096);
        let mut renewals = 0;
        for number in 0..2_500u32 {
            let mut out = Vec::new();
            server
                .seal(&number.to_be_bytes(), &mut out)
                .expect("sealed");
            // A record of four bytes, and one of a KeyUpdate in front of it now and then.
            renewals += usize::from(out.len() > 2 * (5 + 4 + 17));
            hand(&mut client, &out).expect("keys that both know");
            let mut got = [0; 4];
            client.reader().read_exact(&mut got).expect("a number");
            assert_eq!(got, number.to_be_bytes());
        }
        assert_eq!(renewals, 2, "the tests' keys last a thousand records");
    }

    #[test]
    fn key_updates_are_few_unless_something_is_said() {
        let (mut client, mut server) = pair(&[&rustls::version::TLS13]);
        talk(&mut client, &mut server, 4_096);
        let renew = |client: &mut ClientConnection| {
            let mut sent = Vec::new();
            client.refresh_traffic_keys().expect("TLS 1.3");
            client.write_tls(&mut sent).expect("memory");
            sent
        };
        for _ in 0..100 {
            client.refresh_traffic_keys().expect("TLS 1.3");
            client.writer().write_all(b"said").expect("memory");
            assert_eq!(talk(&mut client, &mut server, 4_096), b"said");
            // A client counts our answers the same way.
            let mut out = Vec::new();
            server.seal(b"heard", &mut out).expect("sealed");
            hand(&mut client, &out).expect("records");
        }
        for _ in 0..32 {
            let mut sent = renew(&mut client);
            let mut out = Vec::new();
            server
                .open(&mut sent, &mut Vec::new(), &mut out)
                .expect("a few");
            hand(&mut client, &out).expect("an answer");
        }
        let mut out = Vec::new();
        server
            .open(&mut renew(&mut client), &mut Vec::new(), &mut out)
            .expect_err("one too many");
        assert_eq!(
            hand(&mut client, &out),
            Err(rustls::Error::AlertReceived(
                rustls::AlertDescription::UnexpectedMessage
            ))
        );
    }

    #[test]
    fn a_key_update_is_answered() {
        let (mut client, mut server) = pair(&[&rustls::version::TLS13]);
        talk(&mut client, &mut server, 4_096);
        client.refresh_traffic_keys().expect("TLS 1.3");
        client.writer().write_all(b"with new keys").expect("memory");
        assert_eq!(talk(&mut client, &mut server, 4_096), b"with new keys");
        let mut out = Vec::new();
        server.seal(b"and back", &mut out).expect("sealed");
        let mut out = &out[..];
        while !out.is_empty() {
            client.read_tls(&mut out).expect("memory");
            client.process_new_packets().expect("records");
        }
        let mut got = [0; 8];
        client.reader().read_exact(&mut got).expect("the answer");
        assert_eq!(&got, b"and back");
    }
}
