//! A folder with a config and a data_dir, the commands run on it, and the server that serves it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Fails the test unless the status is `status` and standard error has each of `words`.
    pub fn refused(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in {self:#?}");
        }
        assert!(!self.err.contains("panicked"), "{self:#?}");
    }

    /// Fails the test unless the status is 0; gives standard output.
    pub fn fine(&self) -> &str {
        assert_eq!(self.status, Some(0), "{self:#?}");
        &self.out
    }
}

/// The folder. Removed when dropped.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A place whose config has any free ports, one shard a core, and `more` at its end.
    pub fn new(more: &str) -> Place {
        let place = Place {
            folder: tempfile::tempdir().expect("a folder"),
        };
        place.configure(more);
        place
    }

    /// Writes the config anew.
    pub fn configure(&self, more: &str) {
        let listen = if more.contains("[listen]") {
            ""
        } else {
            "[listen]\nsips = [\"127.0.0.1:0\"]\nsip = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n"
        };
        std::fs::write(self.config(), format!("{listen}{more}\n")).expect("the config is written");
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("muster.toml")
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.path().join("muster-data").join(name)
    }

    /// Runs `muster ARGUMENTS --config …` with `input` on its standard input.
    pub fn muster(&self, arguments: &[&str], input: &str) -> Done {
        let config = self.config();
        let config = config.to_str().expect("a path of ASCII");
        self.bare(&[arguments, &["--config", config]].concat(), input)
    }

    /// Runs `muster ARGUMENTS` in the folder.
    pub fn bare(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Place::finish(command, input)
    }

    /// The same where nobody reads what it prints.
    pub fn unread(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        command.stdout(unread()).stderr(Stdio::piped());
        Place::finish(command, input)
    }

    /// The same where nobody reads what it complains of.
    pub fn unheard(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(unread());
        Place::finish(command, input)
    }

    /// Runs a line of shell in the folder; `$MUSTER` is the program, `$CONFIG` the config.
    pub fn shell(&self, line: &str) -> Done {
        let mut command = Command::new("sh");
        command
            .current_dir(self.path())
            .args(["-c", line])
            .env("MUSTER", env!("CARGO_BIN_EXE_muster"))
            .env("CONFIG", self.config())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Place::finish(command, "")
    }

    fn finish(mut command: Command, input: &str) -> Done {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("muster runs");
        let mut stdin = child.stdin.take().expect("piped");
        // One that does not read is no failure here: what it says about that is looked at.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("muster ends");
        Done {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command
            .current_dir(self.path())
            .args(arguments)
            .env_remove("RUST_LOG");
        command
    }

    /// Adds a user whose password is the name with `-secret`.
    pub fn add(&self, name: &str) {
        let aor = format!("{name}@example.com");
        self.muster(&["user", "add", &aor], &format!("{name}-secret\n"))
            .fine();
    }

    /// Starts the server and waits until it says `ready`.
    pub fn serve(&self) -> Server {
        let config = self.config();
        self.start(&[
            "serve",
            "--config",
            config.to_str().expect("a path of ASCII"),
        ])
    }

    /// Starts the server with these arguments and waits until it says `ready`.
    pub fn start(&self, arguments: &[&str]) -> Server {
        let mut server = self.start_into(arguments, Stdio::piped(), Stdio::piped());
        server.says("ready");
        server
    }

    /// The same where nobody reads its standard output.
    pub fn start_unread(&self, arguments: &[&str]) -> Server {
        let mut server = self.start_into(arguments, unread(), Stdio::piped());
        server.says("ready");
        server
    }

    /// Starts the server with standard error in `err`, which is the caller's to read.
    pub fn start_complaining_to(&self, err: impl Into<Stdio>) -> Server {
        let config = self.config();
        let config = config.to_str().expect("a path of ASCII");
        self.start_into(&["serve", "--config", config], Stdio::piped(), err.into())
    }

    /// Starts the server. What goes to pipes is read.
    fn start_into(&self, arguments: &[&str], out: Stdio, err: Stdio) -> Server {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("muster starts");
        let log = Arc::new(Log::default());
        let out = child.stdout.take().map(|pipe| Box::new(pipe) as Pipe);
        let err = child.stderr.take().map(|pipe| Box::new(pipe) as Pipe);
        for pipe in out.into_iter().chain(err) {
            let log = log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    log.push(&line);
                }
            });
        }
        Server {
            child,
            log,
            ended: None,
        }
    }
}

type Pipe = Box<dyn std::io::Read + Send>;

/// A pipe whose reader has gone.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// What a server has said, on both of its outputs.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Log {
    fn push(&self, line: &str) {
        let mut text = self.text.lock().expect("no test panics here");
        text.push_str(line);
        text.push('\n');
        self.grown.notify_all();
    }
}

/// A server that runs; killed when dropped.
pub struct Server {
    child: Child,
    log: Arc<Log>,
    ended: Option<ExitStatus>,
}

impl Server {
    /// Waits until it has said `words`; gives the line.
    pub fn says(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut text = self.log.text.lock().expect("no test panics here");
        loop {
            if let Some(line) = text.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            let now = Instant::now();
            assert!(now < deadline, "it does not say {words:?}, but\n{text}");
            let wait = Duration::from_millis(200).min(deadline - now);
            text = self
                .log
                .grown
                .wait_timeout(text, wait)
                .expect("no test panics here")
                .0;
        }
    }

    /// All it has said.
    pub fn said(&self) -> String {
        self.log.text.lock().expect("no test panics here").clone()
    }

    /// The address behind `word` in the line that says `ready`.
    pub fn address(&mut self, word: &str) -> SocketAddr {
        let line = self.says("ready");
        let mut words = line.split_whitespace().skip_while(|each| *each != word);
        let address = words.nth(1).and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("no {word} address in {line:?}"))
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// SIGTERM ends it with status 0, within the time that a stop has and a little more.
    pub fn stops_well(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.end(Duration::from_secs(8)), Some(0), "{}", self.said());
    }

    /// Waits until it has ended; gives the exit status, `None` after a signal that it did not take.
    pub fn end(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                self.ended = Some(status);
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "it does not end within {within:?}:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `kill -9`: it has no chance to say or write anything.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
        self.ended = Some(ExitStatus::default());
    }

    /// What `admin` answers to a request.
    pub fn ask(&mut self, request: &str) -> String {
        let address = self.address("admin");
        let mut stream = TcpStream::connect(address).expect("admin listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        // It may refuse before all was sent.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    pub fn get(&mut self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
