//! Drives SIPp (package sip-tester, 3.6.1) with the scenarios in `tests/interop/sipp`. Debian's build has no TLS, and each
//! SIPp call is a user with a connection of its own (`-t tn`), since who speaks belongs to a connection.

use std::fs;
use std::path::PathBuf;

use super::child::{Child, Folder};
use super::log::Log;
use super::server::{DOMAIN, Server, password};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sipp");

/// One running SIPp.
pub struct Sipp {
    child: Child,
    /// What the scenario's `log` actions write.
    log: Log,
    errors: Log,
}

/// Users that a SIPp plays, one a call: the columns of its injection file.
pub struct Cast(Vec<Vec<String>>);

impl Cast {
    /// `count` users called `name0`, `name1` …, each with as many other columns as `others` gives for its number.
    pub fn new(name: &str, count: usize, others: impl Fn(usize) -> Vec<String>) -> Cast {
        let row = |index| {
            let user = format!("{name}{index}");
            let credentials = format!(
                "[authentication username={user} password={}]",
                password(&user)
            );
            [vec![user, credentials], others(index)].concat()
        };
        Cast((0..count).map(row).collect())
    }

    /// Their names.
    pub fn users(&self) -> Vec<&str> {
        self.0.iter().map(|row| row[0].as_str()).collect()
    }

    fn written(&self) -> String {
        self.0.iter().fold("SEQUENTIAL\n".to_owned(), |text, row| {
            text + &row.join(";") + "\n"
        })
    }
}

impl Sipp {
    /// Plays `scenario` once for each of `cast`, `rate` of them a second.
    pub fn callers(
        server: &Server,
        folder: &Folder,
        scenario: &str,
        cast: &Cast,
        rate: usize,
    ) -> Sipp {
        Sipp::start(server, folder, scenario, cast, rate, &[])
    }

    /// Registers each of `cast` on a connection of its own and stays; what then comes in is played by `answers`.
    /// Returns when all are registered.
    pub fn callees(server: &Server, folder: &Folder, answers: &str, cast: &Cast) -> Sipp {
        // A Call-ID may come again at once in another conversation: SIPp would still take it for the one that is over.
        let more = [
            "-oocsf".to_owned(),
            format!("{SCENARIOS}/{answers}.xml"),
            "-deadcall_wait".into(),
            "0".into(),
        ];
        let mut sipp = Sipp::start(server, folder, "callee_registers", cast, 50, &more);
        for _ in &cast.0 {
            sipp.log.expect("registered ");
        }
        sipp
    }

    /// Registers each of `cast`, publishes the activity in its third column, and stays. Returns when that is published.
    pub fn publishers(server: &Server, folder: &Folder, cast: &Cast) -> Sipp {
        let mut sipp = Sipp::start(server, folder, "publishes_activity", cast, 50, &[]);
        for _ in &cast.0 {
            sipp.log.expect("published ");
        }
        sipp
    }

    fn start(
        server: &Server,
        folder: &Folder,
        scenario: &str,
        cast: &Cast,
        rate: usize,
        more: &[String],
    ) -> Sipp {
        let folder = folder.sub(&format!("sipp-{scenario}"));
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        fs::write(file("cast.csv"), cast.written()).expect("the injection file can be written");
        let count = cast.0.len().to_string();
        let mut arguments: Vec<String> = Vec::new();
        arguments.extend([format!("127.0.0.1:{}", server.tcp_port())]);
        // More sockets than it may open is an error at its start, and its own guess is 50,000.
        arguments.extend(["-t", "tn", "-max_socket", "500", "-i", "127.0.0.1"].map(String::from));
        arguments.extend([
            "-sf".into(),
            format!("{SCENARIOS}/{scenario}.xml"),
            "-inf".into(),
            file("cast.csv"),
        ]);
        arguments.extend(["-key".into(), "domain".into(), DOMAIN.into()]);
        arguments.extend([
            "-m".into(),
            count.clone(),
            "-l".into(),
            count,
            "-r".into(),
            rate.to_string(),
        ]);
        arguments.extend(["-trace_err".into(), "-error_file".into(), file("errors")]);
        arguments.extend(["-trace_logs".into(), "-log_file".into(), file("log")]);
        arguments.extend([
            "-trace_msg".into(),
            "-message_file".into(),
            file("messages"),
        ]);
        // Else it signs the address that it connects to, not the Request-URI (RFC 7616 §3.4.6 has us refuse that).
        arguments.extend(["-auth_uri", DOMAIN].map(String::from));
        // One message a turn: with more, a second one in the same segment meets a call that has not sent its answer to the first yet,
        // and fails it.
        arguments.extend(["-max_recv_loops", "1"].map(String::from));
        // A call that hears nothing for so long has failed.
        arguments.extend(["-recv_timeout", "20000", "-nostdin"].map(String::from));
        arguments.extend_from_slice(more);
        let child = Child::start(&format!("sipp {scenario}"), &folder, "sipp", &arguments);
        Sipp {
            child,
            log: Log::new(&PathBuf::from(file("log"))),
            errors: Log::new(&PathBuf::from(file("errors"))),
        }
    }

    /// Waits until it has played all calls, and each went as the scenario says.
    pub fn succeeds(mut self) {
        let status = self.child.wait();
        assert!(
            status.success(),
            "sipp ended with {status}, which means calls that failed:\n{}",
            self.errors.tail(80)
        );
    }

    /// Waits until the scenario has logged this.
    pub fn logs(&mut self, line: &str) {
        self.log.expect(line);
    }

    /// What the scenario has logged.
    pub fn log(&self) -> &Log {
        &self.log
    }
}
