//! The real binary over TLS: started in a folder of its own, with the users of the play.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::setting::Setting;
use super::{Stage, password_of};
use muster::shell::clock::Clock;
use muster::shell::store::{DataDir, Store};
use muster::sip::uri::Aor;

/// How long something may take that the play expects.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing has to come until nothing is believed to come.
const QUIET: Duration = Duration::from_millis(150);

/// How long a stop may take: what is in flight has five seconds (`cli::serve`), and the machine may be busy.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// A running server.
pub struct Binary {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
    /// Where it answers the operator.
    admin: SocketAddr,
    tls: Arc<ClientConfig>,
    sockets: Vec<Connection>,
    log: Arc<Mutex<String>>,
    /// They take in what it prints.
    readers: Vec<JoinHandle<()>>,
    told_to_stop: bool,
    /// The same store that the server follows, opened as a command does.
    store: Store,
}

struct Connection {
    stream: Option<StreamOwned<ClientConnection, TcpStream>>,
    address: SocketAddr,
    closed: bool,
}

impl Binary {
    /// Starts it with these users (display name, address of record) and so many places in a conference.
    ///
    /// # Panics
    /// Where it does not come up; with what it said.
    pub fn start(users: &[(&str, &str)], members_max: usize) -> Binary {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "muster-play-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the server");
        let data_dir = folder.join("data");
        let config = folder.join("muster.toml");
        let text = format!(
            "domains = [\"example.com\"]\ndata_dir = {data_dir:?}\n\
             [listen]\nsips = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n[auth]\nschemes = [\"digest-sha-256\", \"digest-md5\", \"ntlm\"]\n\
             [im]\nmembers_max = {members_max}\n"
        );
        std::fs::write(&config, text).expect("the config is written");
        let mut list = "user,password,display_name\n".to_owned();
        for (display_name, aor) in users {
            list.push_str(&format!("{aor},{},{display_name}\n", password_of(aor)));
        }
        let import = folder.join("users.csv");
        std::fs::write(&import, list).expect("the users are written");
        let imported = muster(&config)
            .args(["user", "import"])
            .arg("--config")
            .arg(&config)
            .arg(&import)
            .output();
        let imported = imported.expect("muster runs");
        assert!(
            imported.status.success(),
            "user import: {}",
            String::from_utf8_lossy(&imported.stderr)
        );

        let mut child = muster(&config)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("muster starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, is_ready) = mpsc::channel();
        let mut readers = Vec::new();
        for pipe in [
            Box::new(child.stdout.take().expect("piped")) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().expect("piped")),
        ] {
            let (log, ready) = (Arc::clone(&log), ready.clone());
            readers.push(std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    if line.contains("ready")
                        && let (Some(sips), Some(admin)) =
                            (address_of(&line, "sips"), address_of(&line, "admin"))
                    {
                        let _ = ready.send((sips, admin));
                    }
                    if let Ok(mut log) = log.lock() {
                        log.push_str(&line);
                        log.push('\n');
                    }
                }
            }));
        }
        let (address, admin) = is_ready
            .recv_timeout(Duration::from_secs(20))
            .unwrap_or_else(|_| {
                let _ = child.kill();
                panic!("the server is not ready:\n{}", log.lock().expect("a log"))
            });
        let tls = trust(&data_dir.join("tls/cert.pem"));
        let opened = DataDir::open(&data_dir).and_then(|data_dir| Store::open(&data_dir));
        let store = opened.expect("the server's store");
        Binary {
            child,
            folder,
            address,
            admin,
            tls,
            sockets: Vec::new(),
            log,
            readers,
            told_to_stop: false,
            store,
        }
    }

    /// What it has printed.
    pub fn said(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// Stops it as an operator does, where the play has not: it ends well, and has complained of nothing.
    pub fn end(&mut self) -> Result<(), String> {
        if !self.told_to_stop {
            self.stop();
        }
        self.sockets.clear();
        let until = Instant::now() + ENDS_WITHIN;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => return Err(format!("it does not end: {other:?}")),
            }
        };
        if !status.success() {
            return Err(format!("it ended with {status}"));
        }
        // The last lines are in the pipes: who reads them ends with them.
        for reader in self.readers.drain(..) {
            reader.join().map_err(|_| "who reads the log panicked")?;
        }
        let said = self.said();
        let complaint = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
        match said.lines().find(complaint) {
            Some(complaint) => Err(format!("it complained: {complaint}")),
            None => Ok(()),
        }
    }

    /// How many connections it has.
    fn connections_open(&self) -> Option<usize> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let line = |line: &str| line.strip_prefix("muster_connections_open ")?.parse().ok();
        answer.lines().find_map(line)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn muster(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.current_dir(config.parent().expect("the config is in a folder"));
    command
}

/// The first address behind `word` in the line that says `ready`.
fn address_of(line: &str, word: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once(&format!(" {word} "))?;
    let part_of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']');
    after
        .split(|c| !part_of_address(c))
        .find_map(|word| word.trim_matches(':').parse().ok())
}

/// A client that trusts the generated certificate and no other.
fn trust(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).expect("the generated certificate"))
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(
        config
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

impl Stage for Binary {
    fn connect(&mut self, _nth: usize) -> usize {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        let address = stream.local_addr().expect("a bound socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).expect("a TLS client");
        let mut stream = StreamOwned::new(tls, stream);
        stream
            .sock
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        while stream.conn.is_handshaking() {
            stream
                .conn
                .complete_io(&mut stream.sock)
                .expect("the TLS handshake succeeds");
        }
        self.sockets.push(Connection {
            stream: Some(stream),
            address,
            closed: false,
        });
        self.sockets.len() - 1
    }

    fn address(&self, socket: usize) -> SocketAddr {
        self.sockets[socket].address
    }

    fn send(&mut self, socket: usize, bytes: &[u8]) {
        if let Some(stream) = &mut self.sockets[socket].stream {
            // One that the server has closed shows when something is to be received.
            let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        }
    }

    fn receive(&mut self, socket: usize, hopeful: bool) -> Option<Vec<u8>> {
        let end = &mut self.sockets[socket];
        let stream = end.stream.as_mut()?;
        let until = Instant::now() + if hopeful { PATIENCE } else { QUIET };
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            stream.sock.set_read_timeout(Some(left)).ok()?;
            match stream.read(&mut bytes) {
                Ok(0) => {
                    end.closed = true;
                    return None;
                }
                Ok(count) => {
                    bytes.truncate(count);
                    return Some(bytes);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(_) => {
                    end.closed = true;
                    return None;
                }
            }
        }
    }

    fn is_closed(&mut self, socket: usize) -> bool {
        let until = Instant::now() + PATIENCE;
        while !self.sockets[socket].closed && Instant::now() < until {
            self.receive(socket, false);
        }
        self.sockets[socket].closed
    }

    fn disconnect(&mut self, socket: usize) {
        self.sockets[socket].stream = None;
        // The server learns of it from the kernel. Those that it has closed itself may still be here.
        let most = self
            .sockets
            .iter()
            .filter(|end| end.stream.is_some())
            .count();
        let until = Instant::now() + PATIENCE;
        while self.connections_open().is_none_or(|open| open > most) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What its shard does of it, and tells others, comes in the turns after.
        std::thread::sleep(Duration::from_millis(20));
    }

    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn set(&mut self, aor: &str, setting: &Setting) -> Result<(), String> {
        let aor = Aor::parse(aor).ok_or("no address of record")?;
        let now = Clock::start().now();
        let edited = self
            .store
            .edit(&aor, |standing| setting.apply(now, standing));
        edited.map(drop).map_err(|error| error.to_string())
    }

    fn remove(&mut self, aor: &str) {
        let aor = Aor::parse(aor).expect("an address of record");
        assert!(self.store.remove(&aor).expect("the store answers"));
    }

    fn stop(&mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
        self.told_to_stop = true;
    }

    fn honour(&mut self) {
        // The server empties the journal when it has told its shards; then only their mailboxes lie between.
        let until = Instant::now() + PATIENCE;
        while self.store.journal_lines().expect("the store answers") > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
