//! A peer written with what the standard library and rustls offer, blocking.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use muster::sip::frame::{self, Cut, FrameState, Limits};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

/// No answer for so long fails the test.
const PATIENCE: Duration = Duration::from_secs(20);

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One connection to the server.
pub struct Peer {
    stream: Stream,
    got: Vec<u8>,
    state: FrameState,
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_nodelay(true).expect("no delay");
    socket
}

impl Peer {
    pub fn tcp(address: SocketAddr) -> Peer {
        Peer::over(Stream::Plain(connect(address)))
    }

    /// Trusts `cert` alone, and shakes hands.
    pub fn tls(address: SocketAddr, cert: &str) -> Peer {
        Peer::tls_with(address, trusting(cert))
    }

    /// Shakes hands with settings that may remember earlier connections.
    pub fn tls_with(address: SocketAddr, config: Arc<ClientConfig>) -> Peer {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(config, name).expect("a client");
        let mut stream = StreamOwned::new(connection, connect(address));
        while stream.conn.is_handshaking() {
            stream
                .conn
                .complete_io(&mut stream.sock)
                .expect("a handshake");
        }
        Peer::over(Stream::Tls(Box::new(stream)))
    }

    /// Takes what comes behind the handshake, without a word of its own: so many bytes, in time.
    pub fn behind_the_handshake(&mut self) -> usize {
        match &mut self.stream {
            Stream::Plain(_) => 0,
            Stream::Tls(stream) => {
                let count = stream.conn.read_tls(&mut stream.sock).expect("in time");
                stream.conn.process_new_packets().expect("whole records");
                count
            }
        }
    }

    /// Whether the handshake went by a ticket of an earlier connection.
    pub fn is_resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    fn over(stream: Stream) -> Peer {
        Peer {
            stream,
            got: Vec::new(),
            state: FrameState::default(),
        }
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Whether it goes without TLS.
    pub fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
    }

    /// Writes, with TLS as one record.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Reads what is there; 0 at a clean end.
    pub fn read(&mut self) -> io::Result<usize> {
        let mut piece = [0; 4_096];
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut piece)?,
            Stream::Tls(stream) => stream.read(&mut piece)?,
        };
        self.got.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    /// The next whole message, and how many pongs stood before it. Fails the test at an end.
    pub fn message(&mut self) -> Vec<u8> {
        loop {
            match frame::cut(&self.got, &Limits::default(), &mut self.state) {
                Cut::Need(_) => {
                    let count = self.read().expect("an answer in time");
                    assert!(
                        count > 0,
                        "the server closed; before that it said {:?}",
                        String::from_utf8_lossy(&self.got)
                    );
                }
                Cut::Message { total, .. } => return self.got.drain(..total).collect(),
                Cut::Ping(count) | Cut::Pong(count) => drop(self.got.drain(..count)),
                Cut::Refuse { fault, .. } => {
                    panic!("the server said something that is no SIP: {fault:?}")
                }
            }
        }
    }

    /// All that comes until the server closes.
    pub fn until_end(&mut self) -> io::Result<Vec<u8>> {
        while self.read()? > 0 {}
        Ok(std::mem::take(&mut self.got))
    }
}

/// A client's settings that trust one certificate.
pub fn trusting(cert: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A MESSAGE with a number and a body.
pub fn request(number: u32, body: &str) -> Vec<u8> {
    format!(
        "MESSAGE sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/TLS host.example.com;branch=z9hG4bK-{number}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=a\r\n\
         To: <sip:bob@example.com>\r\n\
         Call-ID: shell@example.com\r\n\
         CSeq: {number} MESSAGE\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The CSeq number of a message and its body.
pub fn number_and_body(message: &[u8]) -> (u32, String) {
    let mut bytes = message.to_vec();
    let message = muster::sip::message::Message::parse(&mut bytes).expect("a whole message");
    (
        message.cseq().number,
        String::from_utf8(message.body().to_vec()).expect("text"),
    )
}
