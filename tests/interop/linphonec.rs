//! Drives `linphonec` (package linphone-cli, 5.1): commands on its standard input, what it says on its output, and in its log
//! each SIP message.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::child::Child;
use super::log::{Log, PATIENCE};
use super::server::{DOMAIN, Server, password};

/// One running linphonec with one account.
pub struct Linphonec {
    child: Child,
    // One reader for each kind of news: in which order the kinds come is nobody's promise.
    heard: Log,
    seen: Log,
    calls: Log,
    log: Log,
}

impl Linphonec {
    /// Starts one for `user`, over TLS with the server's certificate checked; it watches the presence of `friends`.
    /// Returns when it says that it is registered.
    pub fn start(server: &Server, user: &str, friends: &[&str]) -> Linphonec {
        Linphonec::start_with(server, user, friends, "")
    }

    /// The same, with one subscription for all friends (RFC 4662, RFC 5367) instead of one for each.
    pub fn start_with_list(server: &Server, user: &str, friends: &[&str]) -> Linphonec {
        let list = format!("rls_uri=sip:contacts@{DOMAIN}\n");
        Linphonec::start_with(server, user, friends, &list)
    }

    fn start_with(server: &Server, user: &str, friends: &[&str], sip: &str) -> Linphonec {
        let folder = server.folder().sub(&format!("linphonec-{user}"));
        fs::create_dir_all(folder.join(".local/share/linphone"))
            .expect("its data folder can be made");
        let (rc, log) = (folder.join("rc"), folder.join("log"));
        fs::write(&rc, settings(server, user, friends, sip)).expect("its settings can be written");
        let arguments = [
            "-c",
            &rc.to_string_lossy(),
            "-d",
            "6",
            "-l",
            &log.to_string_lossy(),
        ];
        let child = Child::start(
            &format!("linphonec of {user}"),
            &folder,
            "linphonec",
            &arguments,
        );
        let mut linphonec = Linphonec {
            heard: child.output(),
            seen: child.output(),
            calls: child.output(),
            child,
            log: Log::new(&log),
        };
        linphonec.asked("status register", "registered, identity=");
        linphonec
    }

    /// Sends a chat message to `user`.
    pub fn chat(&mut self, user: &str, text: &str) {
        self.child.tell(&format!("chat sip:{user}@{DOMAIN} {text}"));
    }

    /// Waits for exactly `text` from `user`.
    pub fn receives(&mut self, user: &str, text: &str) {
        let said = format!("Message received from sip:{user}@{DOMAIN}: {text}");
        let line = self.heard.expect(&said);
        assert!(line.ends_with(&said), "more than was sent: {line}");
    }

    /// Waits until a message that it sent was accepted by the other side's endpoint, which is what a 200 says.
    pub fn is_answered(&mut self) {
        self.log.expect("moving from InProgress to Delivered");
    }

    /// Waits until the other side's client has reported by IMDN (RFC 5438) that a message arrived.
    pub fn is_told_of_delivery(&mut self) {
        self.log.expect("to DeliveredToUser");
    }

    /// Waits until a message that it sent was refused.
    pub fn is_refused(&mut self) {
        self.log.expect("to NotDelivered");
    }

    /// Waits until it shows `friend` as `status`, its own word: Online, Offline, Busy, Away … It says so when it has put a
    /// document into its model of the friend, and takes the word from there.
    pub fn sees(&mut self, friend: &str, status: &str) {
        self.seen
            .expect(&format!("<sip:{friend}@{DOMAIN}> is {status}\n"));
    }

    /// Whether it has asked for its friends' list, and not for `friend` alone.
    pub fn asked_for_the_list_and_not_for(&self, friend: &str) -> bool {
        let asked = |whom: &str| self.log.count(&format!("SUBSCRIBE sip:{whom}@")) > 0;
        asked("contacts") && !asked(friend)
    }

    /// Plays and records files from now on: there is no sound card.
    pub fn has_no_sound_card(&mut self) {
        self.child.tell("soundcard use files");
        self.calls.expect("Using wav files instead of soundcard.");
    }

    /// Calls `user`, and waits until it rings there. Gives the number by which it knows the call.
    pub fn calls(&mut self, user: &str) -> u32 {
        self.child.tell(&format!("call sip:{user}@{DOMAIN}"));
        let said = format!("to sip:{user}@{DOMAIN} ringing.");
        number_in(&self.calls.expect(&said))
    }

    /// Waits until `user` calls, and picks up.
    pub fn picks_up(&mut self, user: &str) {
        let said = format!("Receiving new incoming call from sip:{user}@{DOMAIN}, ");
        self.calls.expect(&said);
        self.child.tell("answer");
    }

    /// Waits until it is in a call with `user`. Gives the number by which it knows the call.
    pub fn talks_with(&mut self, user: &str) -> u32 {
        let said = format!(" with sip:{user}@{DOMAIN} connected.");
        number_in(&self.calls.expect(&said))
    }

    /// The same, where it was transferred there and its own name of the other is longer.
    pub fn is_put_through_to(&mut self, user: &str) {
        self.calls
            .expect(&format!(" with <sip:{user}@{DOMAIN}?Replaces="));
    }

    /// Waits until somebody who is in a call already is called by `user` in that one's place: it picks up by itself.
    pub fn is_taken_over_by(&mut self, user: &str) {
        let said = format!("Receiving new incoming call from sip:{user}@{DOMAIN}, ");
        self.calls.expect(&said);
        let said = format!(" with sip:{user}@{DOMAIN} connected.");
        self.calls.expect(&said);
    }

    /// Puts its call on hold, and waits until the other side has agreed.
    pub fn holds(&mut self) {
        self.child.tell("pause");
        self.calls.expect(" is now paused.");
    }

    /// Puts two calls of its own through to each other.
    pub fn puts_through(&mut self, one: u32, other: u32) {
        self.child
            .tell(&format!("transfer {one} --to-call {other}"));
        self.calls.expect(" has been transfered");
    }

    /// Hangs up the call that goes on.
    pub fn hangs_up(&mut self) {
        self.child.tell("terminate");
    }

    /// Waits until its call with `user` has ended.
    pub fn has_talked_with(&mut self, user: &str) {
        self.calls
            .expect(&format!(" with sip:{user}@{DOMAIN} ended"));
    }

    /// Un-registers and waits for the server's word that it is so.
    pub fn unregister(&mut self) {
        self.child.tell("unregister");
        self.log.expect("to [LinphoneRegistrationCleared]");
    }

    /// Says good bye as a user does: it takes back its publication and its registration.
    pub fn quit(mut self) {
        self.child.tell("quit");
        let status = self.child.wait();
        assert!(status.success(), "linphonec ended with {status}");
    }

    /// Asks again and again until the answer has `answer` in it.
    fn asked(&mut self, question: &str, answer: &str) {
        let start = Instant::now();
        let mut output = self.child.output();
        while start.elapsed() < PATIENCE {
            self.child.tell(question);
            sleep(Duration::from_millis(300));
            if output.find(answer).is_some() {
                return;
            }
            assert!(self.child.ended().is_none(), "linphonec has ended");
        }
        panic!("no {answer:?}; the log ends with\n{}", self.log.tail(120));
    }
}

/// `Call 3 with …`: 3.
fn number_in(line: &str) -> u32 {
    line.rsplit_once("Call ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no call's number in {line}"))
}

/// `localhost`, not the address: it checks the certificate against the name it was given, and looks at DNS names only.
fn settings(server: &Server, user: &str, friends: &[&str], sip: &str) -> String {
    let (port, ca) = (server.tls_port(), server.certificate().display());
    let password = password(user);
    let mut text = format!(
        "[sip]\nsip_port=-1\nsip_tcp_port=-1\nsip_tls_port=-1\nroot_ca={ca}\nverify_server_certs=1\nverify_server_cn=1\n\
         default_proxy=0\nguess_hostname=0\ncontact=sip:{user}@{DOMAIN}\npublish_presence=1\n{sip}\n\
         [rtp]\naudio_rtp_port=-1\n\n[video]\nenabled=0\n\n\
         [auth_info_0]\nusername={user}\npasswd={password}\nrealm={DOMAIN}\ndomain={DOMAIN}\n\n\
         [proxy_0]\nreg_proxy=<sip:localhost:{port};transport=tls>\nreg_route=<sip:localhost:{port};transport=tls>\n\
         reg_identity=sip:{user}@{DOMAIN}\nreg_expires=600\nreg_sendregister=1\npublish=1\npublish_expires=600\n"
    );
    for (index, friend) in friends.iter().enumerate() {
        text += &format!(
            "\n[friend_{index}]\nurl=\"{friend}\" <sip:{friend}@{DOMAIN}>\npol=accept\nsubscribe=1\n"
        );
    }
    text
}
