//! Drives `baresip` (package baresip, 1.0): its `stdio` module takes commands and says what happens; `-s` adds each SIP message.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::child::Child;
use super::log::{Log, PATIENCE};
use super::server::{DOMAIN, Server, password};

/// One running baresip with one account.
pub struct Baresip {
    child: Child,
    // One reader for each kind of news: in which order the kinds come is nobody's promise.
    heard: Log,
    seen: Log,
    calls: Log,
    sound: Log,
}

impl Baresip {
    /// Starts one for `user`, over TLS; it watches the presence of `contacts`, and its messages go to the first of them.
    /// Returns when it says that it is registered.
    pub fn start(server: &Server, user: &str, contacts: &[&str]) -> Baresip {
        let folder = server.folder().sub(&format!("baresip-{user}"));
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).expect("its settings can be written")
        };
        write("config", settings(server));
        write(
            "accounts",
            format!(
                "<sip:{user}@{DOMAIN}>;auth_user={user};auth_pass={};\
                 outbound=\"sip:127.0.0.1:{};transport=tls\";regint=600;pubint=300\n",
                password(user),
                server.tls_port(),
            ),
        );
        let line =
            |contact: &&str| format!("\"{contact}\" <sip:{contact}@{DOMAIN}>;presence=p2p\n");
        write("contacts", contacts.iter().map(line).collect());
        let child = Child::start(
            &format!("baresip of {user}"),
            &folder,
            "baresip",
            &["-f", &folder.to_string_lossy(), "-s"],
        );
        child
            .output()
            .expect(&format!("{user}@{DOMAIN}: {{0/TLS/v4}} 200 "));
        Baresip {
            heard: child.output(),
            seen: child.output(),
            calls: child.output(),
            sound: child.output(),
            child,
        }
    }

    /// Sends a message to its first contact.
    pub fn message(&mut self, text: &str) {
        self.child.tell(&format!("/message {text}"));
    }

    /// Waits for exactly `text` from `user`.
    pub fn receives(&mut self, user: &str, text: &str) {
        self.heard
            .expect(&format!("sip:{user}@{DOMAIN}: \"{text}\"\n"));
    }

    /// Waits until it lists `contact` as `status`, its own word: Online, Offline, Busy or Unknown.
    pub fn sees(&mut self, contact: &str, status: &str) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.child.tell("/contacts");
            sleep(Duration::from_millis(300));
            while let Some(line) = self
                .seen
                .find(&format!("{contact} <sip:{contact}@{DOMAIN}>\n"))
            {
                if line.contains(status) {
                    return;
                }
            }
        }
        panic!(
            "{contact} did not become {status}; the end of the output:\n{}",
            self.seen.tail(80)
        );
    }

    /// Calls `user`, with sound, and waits until it rings there.
    pub fn calls(&mut self, user: &str) {
        self.child.tell(&format!("/dial sip:{user}@{DOMAIN}"));
        self.calls.expect("call: SIP Progress: 180 Ringing");
    }

    /// Waits until `user` calls, and picks up.
    pub fn picks_up(&mut self, user: &str) {
        self.calls
            .expect(&format!("Incoming call from:  sip:{user}@{DOMAIN} "));
        self.child.tell("/accept");
    }

    /// Waits until it is in a call with `user`, and hears of what is said there.
    pub fn talks_with(&mut self, user: &str) {
        self.calls
            .expect(&format!("Call established: sip:{user}@{DOMAIN}\n"));
    }

    /// Waits until the first packet of the other side's sound has come. It goes straight to this one, and who is called
    /// sends from the moment it picks up, so it may be here before the answer, which goes by the server.
    pub fn hears_sound(&mut self) {
        self.sound.expect("incoming rtp for 'audio' established");
    }

    /// Puts its call through to `user`, and leaves it once that has worked.
    pub fn transfers_to(&mut self, user: &str) {
        self.child.tell(&format!("/transfer sip:{user}@{DOMAIN}"));
    }

    /// Hangs up.
    pub fn hangs_up(&mut self) {
        self.child.tell("/hangup");
    }

    /// Waits until `user` has hung up on it.
    pub fn is_hung_up_on_by(&mut self, user: &str) {
        self.calls
            .expect(&format!("sip:{user}@{DOMAIN}: session closed: "));
    }

    /// Waits until it has left its call with `user` by itself: the other has been put through.
    pub fn has_left(&mut self, user: &str) {
        self.calls.expect(&format!("BYE sip:{user}-"));
    }

    /// Waits until it shows a message summary that says this.
    pub fn shows_messages(&mut self, summary: &str) {
        self.heard.expect(summary);
    }

    /// Publishes `online` or `offline`.
    pub fn presence(&mut self, status: &str) {
        self.child.tell(&format!("/presence_{status}"));
    }

    /// Says good bye as a user does: it takes back its registration.
    pub fn quit(mut self) {
        self.child.tell("/quit");
        let status = self.child.wait();
        assert!(status.success(), "baresip ended with {status}");
    }
}

/// A bridge in the program itself instead of a sound card: what would be played is what is recorded. No listening address is
/// set: with a loopback one this version finds no way to the server at all ("Destination address required").
fn settings(server: &Server) -> String {
    let ca = server.certificate().display();
    format!(
        "sip_cafile {ca}\ncall_max_calls 4\naudio_player aubridge,loop\naudio_source aubridge,loop\n\
         audio_alert aubridge,bell\nmodule_path /usr/lib/baresip/modules\nmodule aubridge.so\n\
         module stdio.so\nmodule uuid.so\nmodule g711.so\nmodule_tmp account.so\n\
         module_app contact.so\nmodule_app menu.so\nmodule_app mwi.so\nmodule_app presence.so\n"
    )
}
