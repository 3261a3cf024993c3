//! A file that another process writes, read like a play: each expectation is looked for after the one before it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take. Generous, since the machine may be busy; nothing waits longer than it must.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// How often a file or a process is looked at again.
pub const GLANCE: Duration = Duration::from_millis(25);

const LINE_CHARS_MAX: usize = 400;

/// One growing file, and how far it was read.
pub struct Log {
    path: PathBuf,
    /// Read from the file, and not yet behind an expectation that was met.
    unread: Vec<u8>,
    read_bytes: u64,
}

impl Log {
    /// The file need not be there yet.
    pub fn new(path: &Path) -> Log {
        Log {
            path: path.to_owned(),
            unread: Vec::new(),
            read_bytes: 0,
        }
    }

    /// Waits until `needle` is written, and returns the line it stands in. What comes next is looked for after it.
    ///
    /// # Panics
    /// After `PATIENCE`, with the end of the file.
    pub fn expect(&mut self, needle: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(line) = self.find(needle) {
                return line;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{}: no {needle:?} in {PATIENCE:?}; the end of it:\n{}",
                self.path.display(),
                self.tail(30),
            );
            sleep(GLANCE);
        }
    }

    /// Looks once; the line with `needle` if it is there, and all up to it is then read.
    pub fn find(&mut self, needle: &str) -> Option<String> {
        self.take_in();
        let at = position(&self.unread, needle.as_bytes())?;
        let after = at + needle.len();
        let start = self.unread[..at]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let end = self.unread[after..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(self.unread.len(), |n| after + n);
        let line = String::from_utf8_lossy(&self.unread[start..end]).into_owned();
        self.unread.drain(..after);
        Some(line)
    }

    /// How many lines of the whole file have `needle` in them.
    pub fn count(&self, needle: &str) -> usize {
        self.text()
            .lines()
            .filter(|line| line.contains(needle))
            .count()
    }

    /// The whole file so far.
    pub fn text(&self) -> String {
        std::fs::read(&self.path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of the file, each cut where it gets tedious.
    pub fn tail(&self, lines_max: usize) -> String {
        let text = self.text();
        // A display that is written over and over (baresip's, of how long a call has lasted) would hide all else: of
        // lines that differ in digits alone the last is told.
        let without_digits = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "");
        let mut lines: Vec<&str> = Vec::new();
        for line in text
            .split(['\n', '\r'])
            .filter(|line| !line.trim().is_empty())
        {
            match lines.last_mut() {
                Some(last) if without_digits(last) == without_digits(line) => *last = line,
                _ => lines.push(line),
            }
        }
        let cut = |line: &&str| line.chars().take(LINE_CHARS_MAX).collect::<String>();
        lines[lines.len().saturating_sub(lines_max)..]
            .iter()
            .map(cut)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn take_in(&mut self) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        if file.seek(SeekFrom::Start(self.read_bytes)).is_ok() {
            // A read that fails half way is taken up at the next glance.
            self.read_bytes += file.read_to_end(&mut self.unread).unwrap_or(0) as u64;
        }
    }
}

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}
