//! A program of somebody else's that a test has started, and that ends with the test however the test ends.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::log::{GLANCE, Log, PATIENCE};

/// A running program: the leader of a process group of its own, its standard output and error in one file.
pub struct Child {
    name: String,
    process: process::Child,
    status: Option<ExitStatus>,
    output_path: PathBuf,
}

impl Child {
    /// Starts `program` in `folder`, which becomes its HOME and working directory too; the output goes to `folder/output`.
    ///
    /// `setpriv` has the kernel kill it when the thread of the test ends, were it by a crash.
    pub fn start<A: AsRef<std::ffi::OsStr>>(
        name: &str,
        folder: &Path,
        program: &str,
        arguments: &[A],
    ) -> Child {
        let output_path = folder.join("output");
        let output = File::create(&output_path).expect("the folder of a test can be written");
        let errors = output.try_clone().expect("a descriptor can be doubled");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .current_dir(folder)
            .env("HOME", folder)
            .env("TERM", "dumb")
            .env_remove("DISPLAY")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {program} does not start: {error}"));
        Child {
            name: name.to_owned(),
            process,
            status: None,
            output_path,
        }
    }

    /// What it says on standard output and error, from the first byte.
    pub fn output(&self) -> Log {
        Log::new(&self.output_path)
    }

    /// Writes one line to its standard input.
    pub fn tell(&mut self, line: &str) {
        let input = self
            .process
            .stdin
            .as_mut()
            .expect("standard input is a pipe");
        // A program that is gone is found out by what is expected of it next, with its output.
        let _ = input
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| input.flush());
    }

    /// Asks it to end (SIGTERM), without waiting.
    pub fn terminate(&mut self) {
        if self.process.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process(self.pid(), Signal::TERM);
        }
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .process
                .try_wait()
                .expect("a child of ours can be waited for");
        }
        self.status
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// After `PATIENCE`, with the end of its output.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{} did not end in {PATIENCE:?}; the end of its output:\n{}",
                self.name,
                self.output().tail(20),
            );
            sleep(GLANCE);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- {} said at last:\n{}",
                self.name,
                self.output().tail(20)
            );
        }
        if self.ended().is_none() {
            // The group is its own: helpers that it started go with it.
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

/// A folder of a test's own below Cargo's; goes when the test went well, stays to be read when not.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes `name` anew. Two tests must not share a name.
    pub fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("interop-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the target folder can be written");
        Folder(path)
    }

    /// A new folder in it.
    pub fn sub(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("the folder of a test can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the programs wrote is in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
