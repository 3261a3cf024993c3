//! Drives SIPE, the Lync protocol of libpurple (packages pidgin-sipe 1.25, libpurple0 2.14), through `sipe.py`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use super::child::Child;
use super::log::Log;
use super::server::{DOMAIN, Server};

/// What SIPE logs when it could not take something. Its own parts that have no server here are not among them.
const COMPLAINTS: [&str; 22] = [
    "error parsing xml",
    "Corrupted message",
    "corrupted",
    "Aborting",
    "signature",
    "without authentication data",
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

/// GLib's criticals that are SIPE's own: whatever the server says, it has nothing to destroy where it signs off.
const OWN_CRITICALS: [&str; 1] = ["g_hash_table_destroy: assertion 'hash_table != NULL' failed"];

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

    /// Signs off as a user does, and looks back: all that was said to it was understood, and nothing refused but what these
    /// words are of.
    pub fn quit_after(mut self, expected: &[&str]) {
        self.tell(&["quit"]);
        let status = self.child.wait();
        assert!(status.success(), "{} ended with {status}", self.name);
        self.understood_all(expected);
    }

    /// Looks through its logs up to now.
    pub fn understood_all(&self, expected: &[&str]) {
        let mut no_group_chat = 0;
        let log = self.debug.text();
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| line.starts_with("sipe: "))
            .filter(|line| COMPLAINTS.iter().any(|words| line.contains(words)))
            .filter(|line| !NO_COMPLAINTS.iter().any(|words| line.contains(words)))
            .filter(|line| {
                let probe = line.contains(NO_GROUP_CHAT);
                no_group_chat += usize::from(probe);
                !probe || no_group_chat > 1
            })
            .filter(|line| !expected.iter().any(|words| line.contains(words)))
            .collect();
        assert!(
            complaints.is_empty(),
            "{}, in {}:\n{}",
            self.name,
            self.folder.display(),
            complaints.join("\n")
        );
        let output = self.child.output().text();
        let complaint = output
            .lines()
            .filter(|line| {
                ["CRITICAL", "Traceback", "error\t"]
                    .iter()
                    .any(|word| line.contains(word))
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
