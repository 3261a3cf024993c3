//! Drives SIPE, the Lync protocol of libpurple (packages pidgin-sipe 1.25, libpurple0 2.14), through `sipe.py`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Instant;

use super::child::Child;
use super::log::{GLANCE, Log, PATIENCE};
use super::server::{DOMAIN, Server, password};

/// What SIPE logs when it could not take something. Its own parts that have no server here are not among them.
const COMPLAINTS: [&str; 22] = [
    "error parsing xml",
    "Corrupted message",
    "corrupted",
    "Aborting",
    "signature",
    UNSIGNED,
    "body too short",
    "ERROR",
    "failed",
    "Unable",
    "unable to find",
    "couldn't find",
    "cannot find",
    "can't",
    "No group found",
    "unsupported",
    "unknown",
    "NULL signature",
    "msg->response(4",
    "msg->response(5",
    "msg->response(6",
    "message is not handled",
];

/// What it logs all the same in a talk where all is well.
const NO_COMPLAINTS: [&str; 5] = [
    "signature of incoming message validated",
    // What is verified, for who would verify it by hand.
    "sip_sec_verify_signature: message is:",
    // The two steps of NTLM.
    "msg->response(401),msg->method(REGISTER)",
    // Parts of multipart documents are `binary`, as the protocol has it.
    "unknown encoding",
    "make_signature",
];

/// GLib's criticals that are SIPE's own. Whatever the server says, it has nothing to destroy where it signs off; and it strips the
/// blanks off the media relay's address where there is none.
const OWN_CRITICALS: [&str; 3] = [
    "g_hash_table_destroy: assertion 'hash_table != NULL' failed",
    "g_strchug: assertion 'string != NULL' failed",
    "g_strchomp: assertion 'string != NULL' failed",
];

/// As often as it sends a message with its INVITE: such a message has no type yet, and SIPE looks at it. Else the server has given none.
const NO_TYPE: &str = "g_str_has_prefix: assertion 'str != NULL' failed";

/// What has no signature is not looked at; a provisional answer has none, and need not be.
const UNSIGNED: &str = "without authentication data";

/// Refused in each session: whether there is a group chat server is asked by an INVITE.
const NO_GROUP_CHAT: &str = "msg->response(404),msg->method(INVITE)";

/// One libpurple with one account, over TLS.
pub struct Sipe {
    name: String,
    child: Child,
    // One reader for each kind of news: in which order the kinds come is nobody's promise.
    readers: HashMap<String, Log>,
    debug: Log,
    folder: PathBuf,
}

impl Sipe {
    /// Starts one for `user`; returns when it has signed on.
    pub fn start(server: &Server, user: &str) -> Sipe {
        Sipe::start_on(server, user, "desk")
    }

    /// The same on a machine of that name.
    pub fn start_on(server: &Server, user: &str, machine: &str) -> Sipe {
        let mut sipe = Sipe::begin(server, user, machine, &password(user));
        sipe.expect(&["signed-on"]);
        sipe
    }

    /// Starts one for `user` on a machine of that name, by which two of one user are told apart, and doesn't wait.
    pub fn begin(server: &Server, user: &str, machine: &str, password: &str) -> Sipe {
        let name = format!("SIPE of {user} on {machine}");
        let folder = server.folder().sub(&format!("sipe-{user}-{machine}"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sipe.py");
        let state = folder.to_string_lossy();
        let (host, certificate) = (
            format!("localhost:{}", server.tls_port()),
            server.certificate().to_string_lossy(),
        );
        let arguments = [
            format!("LD_PRELOAD={}", preload(server).display()),
            format!("MUSTER_INTEROP_HOST={machine}"),
            // No `__pycache__` beside the sources.
            "PYTHONDONTWRITEBYTECODE=1".to_owned(),
            "python3".to_owned(),
            script.to_owned(),
            format!("{user}@{DOMAIN},{user}"),
            host,
            certificate.into_owned(),
            state.clone().into_owned(),
        ];
        let mut child = Child::start(&name, &folder, "env", &arguments);
        child.tell(password);
        Sipe {
            name,
            child,
            readers: HashMap::new(),
            debug: Log::new(&folder.join("debug.log")),
            folder,
        }
    }

    /// Gives a command, as the head of `sipe.py` lists them.
    pub fn tell(&mut self, words: &[&str]) {
        self.child.tell(&words.join("\t"));
    }

    /// Waits for exactly this event, after the last one of its kind that was waited for.
    pub fn expect(&mut self, words: &[&str]) {
        let line = format!("{}\n", words.join("\t"));
        self.reader(words[0]).expect(&line);
    }

    /// Waits until it has found so many signatures of the server's right.
    pub fn checked_signatures(&mut self, count: usize) {
        for _ in 0..count {
            self.debug.expect("signature of incoming message validated");
        }
    }

    /// Waits for an event that begins so, and gives the whole of it.
    pub fn expect_some(&mut self, words: &[&str]) -> String {
        let start = words.join("\t");
        self.reader(words[0]).expect(&start)
    }

    /// Whether there has ever been an event that begins so.
    pub fn has_heard(&self, words: &[&str]) -> bool {
        self.child.output().count(&words.join("\t")) > 0
    }

    /// Sends `text` to `user`.
    pub fn im(&mut self, user: &str, text: &str) {
        self.tell(&["im", &at(user), text]);
    }

    /// Waits for exactly `text` from `user`.
    pub fn receives(&mut self, user: &str, text: &str) {
        self.expect(&["im", &at(user), text]);
    }

    /// Adds a contact to a group.
    pub fn adds(&mut self, user: &str, group: &str) {
        self.tell(&["add", &at(user), group, ""]);
    }

    /// Waits until the contact `user` has this status, SIPE's own word, and text.
    pub fn sees(&mut self, user: &str, status: &str, text: &str) {
        self.expect(&["contact", &at(user), status, text]);
    }

    /// Chooses a status, SIPE's own word, with a note or `""`.
    pub fn chooses(&mut self, status: &str, note: &str) {
        self.tell(&["status", status, note]);
    }

    /// Chooses an entry of the menu of contact `user`.
    pub fn menu(&mut self, user: &str, labels: &[&str]) {
        let who = at(user);
        let mut words = vec!["menu", &who];
        words.extend(labels);
        self.tell(&words);
    }

    /// Waits until a message that it sends or gets has `text` in it, and gives the time.
    pub fn logs(&mut self, text: &str) -> Instant {
        self.debug.expect(text);
        Instant::now()
    }

    /// Waits until all these are its contacts, as `GROUP/NAME` or `GROUP/NAME=ALIAS`, in alphabetical order.
    pub fn has_contacts(&mut self, contacts: &[&str]) {
        let start = Instant::now();
        let entry = |contact: &&str| match contact.split_once('=') {
            Some((name, alias)) => format!("{}={alias}", at(name)),
            None => format!("{}=", at(contact)),
        };
        let wanted: Vec<String> = contacts.iter().map(entry).collect();
        let mut found = String::new();
        while start.elapsed() < PATIENCE {
            self.tell(&["contacts"]);
            found = self.expect_some(&["contacts"]);
            if found.split('\t').skip(1).eq(wanted.iter()) {
                return;
            }
            sleep(GLANCE * 4);
        }
        panic!("{} has {found:?}, not {wanted:?}", self.name);
    }

    /// Signs off as a user does, and looks back: all that was said to it was understood, and nothing refused.
    pub fn quit(self) {
        self.quit_after(&[]);
    }

    /// The same, where these complaints of its log are as they should be.
    pub fn quit_after(mut self, expected: &[&str]) {
        self.tell(&["quit"]);
        let status = self.child.wait();
        assert!(status.success(), "{} ended with {status}", self.name);
        self.understood_all(expected);
    }

    /// Looks through its logs up to now.
    pub fn understood_all(&self, expected: &[&str]) {
        let log = self.debug.text();
        let (mut provisional, mut no_group_chat) = (false, 0);
        let mut complaints = Vec::new();
        for line in log.lines() {
            if line.starts_with("MESSAGE START <") {
                provisional = false;
            } else if line.starts_with("SIP/2.0 1") {
                provisional = true;
            }
            let probe = line.contains(NO_GROUP_CHAT);
            no_group_chat += usize::from(probe);
            let as_it_should = !line.starts_with("sipe: ")
                || !COMPLAINTS.iter().any(|words| line.contains(words))
                || NO_COMPLAINTS.iter().any(|words| line.contains(words))
                || probe && no_group_chat == 1
                || provisional && line.contains(UNSIGNED)
                || expected.iter().any(|words| line.contains(words));
            if !as_it_should {
                complaints.push(line);
            }
        }
        assert!(
            complaints.is_empty(),
            "{}, in {}:\n{}",
            self.name,
            self.folder.display(),
            complaints.join("\n")
        );
        let output = self.child.output().text();
        let mut unasked = log.matches("\nms-text-format: ").count();
        let complaint = output
            .lines()
            .filter(|line| {
                let own = line.contains(NO_TYPE) && unasked > 0;
                unasked -= usize::from(own);
                !own
            })
            .filter(|line| {
                line.contains("CRITICAL")
                    || line.contains("Traceback")
                    || line.starts_with("error\t")
            })
            .find(|line| {
                !OWN_CRITICALS
                    .iter()
                    .chain(expected)
                    .any(|words| line.contains(words))
            });
        assert_eq!(complaint, None, "{}", self.name);
    }

    fn reader(&mut self, kind: &str) -> &mut Log {
        let child = &self.child;
        self.readers
            .entry(kind.to_owned())
            .or_insert_with(|| child.output())
    }
}

fn at(user: &str) -> String {
    format!("{user}@{DOMAIN}")
}

/// `sipe.c`, built: once for each test.
fn preload(server: &Server) -> PathBuf {
    let library = server.folder().sub("preload").join("sipe.so");
    if !library.exists() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sipe.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status()
            .expect("a C compiler, which building this project needs too");
        assert!(built.success(), "sipe.c does not compile: {built}");
    }
    library
}
