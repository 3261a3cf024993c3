//! One client's TLS: bytes from the socket become text, text becomes bytes for the socket.
//!
//! rustls shakes hands, by its unbuffered interface: buffers belong to the thread and are lent. Then only the secrets are
//! kept (`record`): 64 bytes a client instead of 4 KiB. A server that agrees on TLS 1.2 or on another cipher than
//! AES-128-GCM is served by rustls to the end.
//! Any certificate is taken: this is a load tool that speaks to loopback only, and `main` sees to that.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnectionData, Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme,
};

use crate::record::Records;
use crate::ticket::Tickets;

/// Bytes that a TLS 1.2 or 1.3 record with AES-GCM or ChaCha20 adds to its text: head, explicit nonce or type, tag.
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 16 + 1;
const RECORD_TEXT_BYTES_MAX: usize = 16_384;

/// What all clients of a run share.
pub struct Settings {
    client: Arc<ClientConfig>,
    /// A connection waits for its ticket and puts it by.
    resuming: bool,
}

/// Full handshakes only, X25519, AES-128-GCM preferred, so that every server is asked for the same work.
pub fn settings() -> Result<Arc<Settings>, Error> {
    made(Resumption::disabled(), false)
}

/// The same, but who finds a ticket resumes with it (RFC 8446 §2.2); a full handshake where there is none.
pub fn resuming_settings() -> Result<Arc<Settings>, Error> {
    made(Resumption::store(Arc::new(Tickets::new())), true)
}

/// Full handshakes that put their tickets by, and handshakes that resume with these.
pub fn paired_settings() -> Result<[Arc<Settings>; 2], Error> {
    let tickets = Tickets::new();
    let full = made(Resumption::store(Arc::new(tickets.giver())), true)?;
    // rustls takes a ticket only with the very verifier that it came with.
    let mut client = ClientConfig::clone(&full.client);
    client.resumption = Resumption::store(Arc::new(tickets));
    let resuming = Settings {
        client: Arc::new(client),
        resuming: true,
    };
    Ok([full, Arc::new(resuming)])
}

fn made(resumption: Resumption, resuming: bool) -> Result<Arc<Settings>, Error> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    // Stable: the others stay, for a server that has no AES-128-GCM.
    provider
        .cipher_suites
        .sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("AES_128_GCM"));
    let provider = Arc::new(provider);
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    client.resumption = resumption;
    client.enable_secret_extraction = true;
    Ok(Arc::new(Settings {
        client: Arc::new(client),
        resuming,
    }))
}

/// What a connection can do after it was fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Handshaking,
    /// Text may be sealed.
    Open {
        /// The handshake that has just ended resumed an earlier one; false later.
        resumed: bool,
    },
    /// The server said close_notify.
    Closed,
}

/// One TLS connection, client side.
pub struct Tls(Stage);

enum Stage {
    /// Before the end of the handshake, and for good where `Records` can't go on alone.
    Whole {
        connection: Box<UnbufferedClientConnection>,
        resuming: bool,
    },
    /// Open; the ticket is still to come.
    Expecting(Box<(Records, KernelConnection<ClientConnectionData>)>),
    Lean(Records),
    /// rustls would not give up the secrets.
    Failed,
}

impl Tls {
    pub fn new(settings: &Settings, server_name: ServerName<'static>) -> Result<Tls, Error> {
        let client = Arc::clone(&settings.client);
        Ok(Tls(Stage::Whole {
            connection: Box::new(UnbufferedClientConnection::new(client, server_name)?),
            resuming: settings.resuming,
        }))
    }

    /// Takes what it can from the front of `incoming` (what stays there is half a record), appends text that came to
    /// `text`, and what must be sent for TLS' own sake to `wire`. An empty `incoming` starts the handshake.
    pub fn take(
        &mut self,
        incoming: &mut Vec<u8>,
        text: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Progress, Error> {
        let mut resumed = false;
        if let Stage::Whole { connection, .. } = &mut self.0 {
            let progress = take_whole(connection, incoming, text, wire)?;
            let is_lean = connection
                .negotiated_cipher_suite()
                .map(|suite| suite.suite())
                == Some(CipherSuite::TLS13_AES_128_GCM_SHA256);
            if !is_lean || !matches!(progress, Progress::Open { .. }) {
                return Ok(progress);
            }
            resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
            self.slim_down()?;
        }
        let opened = match &mut self.0 {
            Stage::Lean(records) => records.open(incoming, text, |_| Ok(()))?,
            Stage::Expecting(both) => {
                let (records, kernel) = &mut **both;
                let mut came = false;
                let opened = records.open(incoming, text, |ticket| {
                    came = true;
                    kernel.handle_new_session_ticket(ticket)
                })?;
                if came
                    && let Stage::Expecting(both) = std::mem::replace(&mut self.0, Stage::Failed)
                {
                    self.0 = Stage::Lean(both.0);
                }
                opened
            }
            Stage::Whole { .. } | Stage::Failed => return Err(Error::HandshakeNotComplete),
        };
        incoming.drain(..opened.consumed);
        Ok(match opened.closed {
            true => Progress::Closed,
            false => Progress::Open { resumed },
        })
    }

    /// Lets go of all but the secrets.
    fn slim_down(&mut self) -> Result<(), Error> {
        let Stage::Whole {
            connection,
            resuming,
        } = std::mem::replace(&mut self.0, Stage::Failed)
        else {
            return Ok(());
        };
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let records = Records::of(&secrets).ok_or(Error::HandshakeNotComplete)?;
        self.0 = match resuming {
            true => Stage::Expecting(Box::new((records, kernel))),
            false => Stage::Lean(records),
        };
        Ok(())
    }

    fn records(&mut self) -> Option<&mut Records> {
        match &mut self.0 {
            Stage::Lean(records) => Some(records),
            Stage::Expecting(both) => Some(&mut both.0),
            Stage::Whole { .. } | Stage::Failed => None,
        }
    }

    /// Appends `text` as records to `wire`. Fails before the handshake is done.
    pub fn seal(&mut self, text: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(records) = self.records() {
            return records.seal(text, wire);
        }
        let Stage::Whole { connection, .. } = &mut self.0 else {
            return Err(Error::HandshakeNotComplete);
        };
        let UnbufferedStatus { state, .. } = connection.process_tls_records(&mut []);
        let ConnectionState::WriteTraffic(mut traffic) = state? else {
            return Err(Error::HandshakeNotComplete);
        };
        let room = text.len() + (text.len() / RECORD_TEXT_BYTES_MAX + 1) * RECORD_OVERHEAD_BYTES;
        append(wire, room, |space| match traffic.encrypt(text, space) {
            Ok(written) => Ok(written),
            Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
            Err(EncryptError::EncryptExhausted) => Err(None),
        })
    }

    /// Appends close_notify to `wire`, if the handshake came far enough for one. Without it the server sees an end of
    /// stream: a connection that is given up anyway.
    pub fn close(&mut self, wire: &mut Vec<u8>) {
        if let Some(records) = self.records() {
            let _ = records.close(wire);
            return;
        }
        let Stage::Whole { connection, .. } = &mut self.0 else {
            return;
        };
        let UnbufferedStatus { state, .. } = connection.process_tls_records(&mut []);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let _ = append(wire, 64, |space| match traffic.queue_close_notify(space) {
                Ok(written) => Ok(written),
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(None),
            });
        }
    }
}

/// `Tls::take` while rustls does it.
fn take_whole(
    connection: &mut UnbufferedClientConnection,
    incoming: &mut Vec<u8>,
    text: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> Result<Progress, Error> {
    let mut used = 0;
    let progress = loop {
        let UnbufferedStatus { mut discard, state } =
            connection.process_tls_records(&mut incoming[used..]);
        match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    text.extend_from_slice(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut data) => {
                append(wire, RECORD_TEXT_BYTES_MAX, |space| {
                    match data.encode(space) {
                        Ok(written) => Ok(written),
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
                        Err(EncodeError::AlreadyEncoded) => Err(None),
                    }
                })?;
            }
            // `wire` is flushed by the caller after each feeding, in order: to say it is done is true enough.
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::BlockedHandshake => {
                used += discard;
                break Progress::Handshaking;
            }
            ConnectionState::WriteTraffic(_) => {
                used += discard;
                break Progress::Open { resumed: false };
            }
            ConnectionState::PeerClosed | ConnectionState::Closed => {
                used += discard;
                break Progress::Closed;
            }
            // A client without early data sees no other state.
            _ => {
                return Err(Error::General(
                    "a TLS state that a client does not have".into(),
                ));
            }
        }
        used += discard;
    };
    incoming.drain(..used);
    Ok(progress)
}

/// Lets `write` fill `room` bytes at the end of `wire`, and once more if it says it needs more (`Err(Some(bytes))`).
fn append(
    wire: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), Error> {
    let from = wire.len();
    let mut room = room;
    for _ in 0..2 {
        wire.resize(from + room, 0);
        match write(&mut wire[from..]) {
            Ok(written) => {
                wire.truncate(from + written);
                return Ok(());
            }
            Err(Some(needed)) => room = needed,
            Err(None) => break,
        }
    }
    wire.truncate(from);
    Err(Error::EncryptError)
}

/// Takes every certificate, and doesn't look at the handshake's signature: what the client pays is not measured, and
/// takes CPU time from the server that shares the machine.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::server::NoServerSessionStorage;
    use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
    use std::io::{Read, Write};

    use super::*;

    fn server_settings(versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key.into())
            .unwrap();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        Arc::new(config)
    }

    /// Carries bytes both ways, in pieces, until nobody has anything to say; says what the client heard, and whether it
    /// resumed.
    fn talk(
        tls: &mut Tls,
        server: &mut ServerConnection,
        said: &[u8],
        piece: usize,
    ) -> (Vec<u8>, bool) {
        let (mut wire, mut kept, mut text, mut resumed) =
            (Vec::new(), Vec::new(), Vec::new(), false);
        if said.is_empty() {
            tls.take(&mut kept, &mut text, &mut wire).unwrap();
        } else {
            tls.seal(said, &mut wire).unwrap();
        }
        loop {
            let mut out = &wire[..];
            while !out.is_empty() {
                server.read_tls(&mut out).unwrap();
                server.process_new_packets().unwrap();
            }
            wire.clear();
            let mut answer = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut answer).unwrap();
            }
            if answer.is_empty() {
                assert!(kept.is_empty());
                return (text, resumed);
            }
            for part in answer.chunks(piece) {
                kept.extend_from_slice(part);
                let progress = tls.take(&mut kept, &mut text, &mut wire).unwrap();
                resumed |= progress == Progress::Open { resumed: true };
            }
        }
    }

    #[test]
    fn what_is_kept_follows_from_what_was_agreed() {
        for (version, lean) in [
            (&rustls::version::TLS13, true),
            (&rustls::version::TLS12, false),
        ] {
            let config = server_settings(&[version]);
            for piece in [1, 100_000] {
                let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
                let name = ServerName::try_from("localhost").unwrap();
                let mut tls = Tls::new(&settings().unwrap(), name).unwrap();
                // Said before the client can have slimmed down: it comes with the last of the handshake.
                server.writer().write_all(b"early").unwrap();
                assert_eq!(talk(&mut tls, &mut server, b"", piece).0, b"early");
                assert_eq!(matches!(tls.0, Stage::Lean(_)), lean);
                server.writer().write_all(b"down").unwrap();
                assert_eq!(talk(&mut tls, &mut server, b"up", piece).0, b"down");
                let mut heard = [0; 2];
                server.reader().read_exact(&mut heard).unwrap();
                assert_eq!(&heard, b"up");
                let mut wire = Vec::new();
                tls.close(&mut wire);
                server.read_tls(&mut &wire[..]).unwrap();
                server.process_new_packets().unwrap();
                assert_eq!(server.reader().read(&mut [0]).unwrap(), 0, "a clean end");
            }
        }
    }

    #[test]
    fn a_ticket_of_one_connection_serves_the_next() {
        let config = server_settings(&[&rustls::version::TLS13]);
        let settings = resuming_settings().unwrap();
        for turn in 0..3 {
            let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut tls = Tls::new(&settings, name).unwrap();
            let (_, resumed) = talk(&mut tls, &mut server, b"", 100_000);
            assert_eq!(resumed, turn > 0, "connection {turn}");
            assert!(matches!(tls.0, Stage::Lean(_)), "the ticket has come");
            assert_eq!(talk(&mut tls, &mut server, b"hello", 7).0, b"");
        }
    }

    #[test]
    fn tickets_of_full_handshakes_serve_all_who_resume() {
        let config = server_settings(&[&rustls::version::TLS13]);
        let [full, resuming] = paired_settings().unwrap();
        for (settings, resumes) in [(&full, false), (&full, false), (&resuming, true)] {
            let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut tls = Tls::new(settings, name).unwrap();
            assert_eq!(talk(&mut tls, &mut server, b"", 100_000).1, resumes);
            assert!(matches!(tls.0, Stage::Lean(_)), "the ticket has come");
        }
    }

    #[test]
    fn a_change_of_keys_is_an_error_that_says_so() {
        let config = server_settings(&[&rustls::version::TLS13]);
        let mut server = ServerConnection::new(config).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = Tls::new(&settings().unwrap(), name).unwrap();
        talk(&mut tls, &mut server, b"", 100_000);
        server.refresh_traffic_keys().unwrap();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        let error = tls
            .take(&mut wire, &mut Vec::new(), &mut Vec::new())
            .unwrap_err();
        assert!(error.to_string().contains("KeyUpdate"), "{error}");
    }
}
