//! Drives Pidgin's SIMPLE protocol (package libpurple0, 2.14) through `pidgin.py`.

use super::child::Child;
use super::log::Log;
use super::server::{DOMAIN, Server, password};

/// One libpurple with one account, over plain TCP: prpl-simple has no TLS.
pub struct Pidgin {
    child: Child,
    // One reader for each kind of news: in which order the kinds come is nobody's promise.
    heard: Log,
    seen: Log,
}

impl Pidgin {
    /// Starts one for `user`; returns when it has signed on.
    pub fn start(server: &Server, user: &str) -> Pidgin {
        let mut pidgin = Pidgin::begin(server, user);
        pidgin.is_signed_on();
        pidgin
    }

    /// Starts one for `user` and doesn't wait.
    pub fn begin(server: &Server, user: &str) -> Pidgin {
        let folder = server.folder().sub(&format!("pidgin-{user}"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/pidgin.py");
        let (account, port) = (format!("{user}@{DOMAIN}"), server.tcp_port().to_string());
        let state = folder.to_string_lossy();
        let arguments = [script, &account, "127.0.0.1", &port, &state];
        let mut child = Child::start(&format!("Pidgin of {user}"), &folder, "python3", &arguments);
        child.tell(&password(user));
        Pidgin {
            heard: child.output(),
            seen: child.output(),
            child,
        }
    }

    /// Waits until it is registered.
    pub fn is_signed_on(&mut self) {
        self.child.output().expect("signed-on\n");
    }

    /// Watches the presence of `user`; libpurple subscribes ten seconds later.
    pub fn buddy(&mut self, user: &str) {
        self.child.tell(&format!("buddy\tsip:{user}@{DOMAIN}"));
    }

    /// Sends a message to `user`.
    pub fn im(&mut self, user: &str, text: &str) {
        self.child.tell(&format!("im\tsip:{user}@{DOMAIN}\t{text}"));
    }

    /// Waits for exactly `text` from `user`.
    pub fn receives(&mut self, user: &str, text: &str) {
        self.heard
            .expect(&format!("im\tsip:{user}@{DOMAIN}\t{text}\n"));
    }

    /// Waits until it shows `buddy` as `status`, its own word: available or offline.
    pub fn sees(&mut self, buddy: &str, status: &str) {
        self.seen
            .expect(&format!("presence\tsip:{buddy}@{DOMAIN}\t{status}\n"));
    }

    /// Signs off as a user does: publishes `closed` and takes back its registration.
    pub fn quit(mut self) {
        self.child.tell("quit");
        let status = self.child.wait();
        assert!(status.success(), "Pidgin ended with {status}");
    }
}
