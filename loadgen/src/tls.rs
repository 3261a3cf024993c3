//! One client's TLS: bytes from the socket become text, text becomes bytes for the socket.
//!
//! rustls' unbuffered interface, so an idle connection holds no buffer: they belong to the thread and are lent. This is
//! the seam behind which the connection may shrink further (extracted traffic secrets, 100 bytes a client).
//! Any certificate is taken: this is a load tool that speaks to loopback only, and `main` sees to that.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// Bytes that a TLS 1.2 or 1.3 record with AES-GCM or ChaCha20 adds to its text: head, explicit nonce or type, tag.
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 16 + 1;
const RECORD_TEXT_BYTES_MAX: usize = 16_384;

/// The settings all clients share: full handshakes only, X25519, AES-128-GCM preferred, so that every server is
/// asked for the same work.
pub fn settings() -> Result<Arc<ClientConfig>, Error> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    // Stable: the others stay, for a server that has no AES-128-GCM.
    provider
        .cipher_suites
        .sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("AES_128_GCM"));
    let provider = Arc::new(provider);
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// What a connection can do after it was fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Handshaking,
    /// Text may be sealed.
    Open,
    /// The server said close_notify.
    Closed,
}

/// One TLS connection, client side.
pub struct Tls(Box<UnbufferedClientConnection>);

impl Tls {
    pub fn new(
        settings: &Arc<ClientConfig>,
        server_name: ServerName<'static>,
    ) -> Result<Tls, Error> {
        Ok(Tls(Box::new(UnbufferedClientConnection::new(
            Arc::clone(settings),
            server_name,
        )?)))
    }

    /// Takes what it can from the front of `incoming` (what stays there is half a record), appends text that came to
    /// `text`, and what must be sent for TLS' own sake to `wire`. An empty `incoming` starts the handshake.
    pub fn take(
        &mut self,
        incoming: &mut Vec<u8>,
        text: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Progress, Error> {
        let mut used = 0;
        let progress = loop {
            let UnbufferedStatus { mut discard, state } =
                self.0.process_tls_records(&mut incoming[used..]);
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
                            Err(EncodeError::InsufficientSize(size)) => {
                                Err(Some(size.required_size))
                            }
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
                    break Progress::Open;
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

    /// Appends `text` as records to `wire`. Fails before the handshake is done.
    pub fn seal(&mut self, text: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        let UnbufferedStatus { state, .. } = self.0.process_tls_records(&mut []);
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

    /// Appends close_notify to `wire`, if the handshake came far enough for one.
    pub fn close(&mut self, wire: &mut Vec<u8>) {
        let UnbufferedStatus { state, .. } = self.0.process_tls_records(&mut []);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            // Without it the server sees an end of stream: a connection that is given up anyway.
            let _ = append(wire, 64, |space| match traffic.queue_close_notify(space) {
                Ok(written) => Ok(written),
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(None),
            });
        }
    }
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
