//! The server under test: the built binary with a config, users and a folder of this test's own.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use muster::presence::Waiting;
use muster::shell::store::{DataDir, Store};
use muster::sip::uri::Aor;

use super::child::{Child, Folder};

/// The domain of all users.
pub const DOMAIN: &str = "example.com";

const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

/// The password of a user of these tests.
pub fn password(user: &str) -> String {
    format!("pw-{user}")
}

/// A running Muster with a TLS and a TCP listener on free ports of 127.0.0.1.
pub struct Server {
    child: Child,
    tls_port: u16,
    tcp_port: u16,
    certificate: PathBuf,
    /// The last field, since it is to go last.
    folder: Folder,
}

impl Server {
    /// Starts one that knows `users`, each with their `password`; a name may follow, as in `alice Alice Liddell`. Returns
    /// when it is ready.
    pub fn start(name: &str, users: &[&str]) -> Server {
        Server::start_with(name, users, "")
    }

    /// The same for SIPp, which looks at the first challenge only and knows no SHA-256.
    pub fn start_with_md5_first(name: &str, users: &[&str]) -> Server {
        Server::start_with(
            name,
            users,
            "\n[auth]\nschemes = [\"digest-md5\", \"digest-sha-256\", \"ntlm\"]\n",
        )
    }

    /// The same without NTLM, which is all that SIPE can prove itself by.
    pub fn start_with_digest_only(name: &str, users: &[&str]) -> Server {
        Server::start_with(
            name,
            users,
            "\n[auth]\nschemes = [\"digest-sha-256\", \"digest-md5\"]\n",
        )
    }

    fn start_with(name: &str, users: &[&str], more: &str) -> Server {
        let folder = Folder::new(name);
        let own = folder.sub("server");
        let write = |name: &str, text: &str| {
            fs::write(own.join(name), text).expect("its folder can be written")
        };
        write(
            "muster.toml",
            &format!(
                "domains = [\"{DOMAIN}\"]\ndata_dir = \"data\"\n\n\
                 [listen]\nsips = [\"127.0.0.1:0\"]\nsip = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{more}"
            ),
        );
        let mut table = "user,password,display_name\n".to_owned();
        for user in users {
            let (user, name) = user.split_once(' ').unwrap_or((user, ""));
            let _ = writeln!(table, "{user}@{DOMAIN},{},{name}", password(user));
        }
        write("users.csv", &table);
        let import = ["user", "import", "users.csv", "--config", "muster.toml"];
        let status = Child::start("muster user import", &own, MUSTER, &import).wait();
        assert!(status.success(), "the users could not be added: {status}");

        let (child, [tls_port, tcp_port]) = serve(&own);
        Server {
            child,
            tls_port,
            tcp_port,
            certificate: own.join("data/tls/cert.pem"),
            folder,
        }
    }

    /// Stops it and starts it again, with what it has kept, on other ports.
    pub fn restart(&mut self) {
        self.end();
        (self.child, [self.tls_port, self.tcp_port]) = serve(&self.folder.sub("server"));
    }

    /// The folder of this test, for all that belongs to it.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where it listens for SIP over TLS, on 127.0.0.1.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Where it listens for SIP over plain TCP, on 127.0.0.1.
    pub fn tcp_port(&self) -> u16 {
        self.tcp_port
    }

    /// So many new voice messages wait for a user from now on, and so many old ones: set in the store, as a command does.
    pub fn messages(&self, user: &str, new: u32, old: u32) {
        let aor = Aor::parse(&format!("{user}@{DOMAIN}")).expect("a user of the test");
        let data = self.folder.sub("server").join("data");
        let store = DataDir::open(&data).and_then(|data| Store::open(&data));
        let waiting = Waiting {
            new,
            old,
            ..Waiting::default()
        };
        store
            .expect("the server's store")
            .edit(&aor, |standing| {
                standing.waiting = waiting;
                Ok::<(), String>(())
            })
            .expect("the store takes it");
    }

    /// A user's state is as if they had chosen it, from now on (`muster user state set`).
    pub fn chooses(&self, user: &str, state: &str) {
        let aor = format!("{user}@{DOMAIN}");
        self.operator(&["user", "state", "set", &aor, state]);
    }

    /// A contact list is changed (`muster user contacts …`).
    pub fn contacts(&self, command: &[&str]) {
        self.operator(&[&["user", "contacts"], command].concat());
    }

    fn operator(&self, command: &[&str]) {
        let config = self.folder.sub("server").join("muster.toml");
        let (config, folder) = (config.to_string_lossy(), self.folder.sub("operator"));
        let command = [command, &["--config", &config]].concat();
        let status = Child::start("muster user", &folder, MUSTER, &command).wait();
        assert!(status.success(), "{command:?} ended with {status}");
    }

    /// The certificate that it made for itself, which clients are told to trust.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Stops it as an operator does. Not having to say anything of how its clients behaved is part of the test.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.child.terminate();
        let status = self.child.wait();
        assert!(status.success(), "muster ended with {status}");
        let output = self.child.output().text();
        let complaint = output
            .lines()
            .find(|line| line.contains(" ERROR ") || line.contains("panicked"));
        assert_eq!(complaint, None);
    }
}

/// The program in its folder, once it is ready, and its ports for TLS and for TCP.
fn serve(folder: &Path) -> (Child, [u16; 2]) {
    let child = Child::start(
        "muster",
        folder,
        MUSTER,
        &["serve", "--config", "muster.toml"],
    );
    let ready = child.output().expect(" ready: ");
    let port = |listener: &str| {
        let (_, address) = ready
            .split_once(&format!(" {listener} 127.0.0.1:"))
            .expect("it listens where it is told to");
        let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a port")
    };
    let ports = [port("sips"), port("sip")];
    (child, ports)
}
