//! Standard error, by way of a thread: no executor waits for a terminal, and no signal for a pipe that nobody reads. What comes
//! faster than it is read waits in bounded room, and past it is lost.

use std::io::{self, IsTerminal as _, Write as _};

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// The thread. What was said before it is dropped has a second to be written.
#[derive(Debug)]
pub struct Log {
    writer: NonBlocking,
    _flushes: WorkerGuard,
}

impl Log {
    /// Logs to standard error from now on. `RUST_LOG` chooses what, and never takes out what the module `always` says.
    pub fn start(always: &str) -> Log {
        let (writer, flushes) = tracing_appender::non_blocking(io::stderr());
        let filter = EnvFilter::try_from_default_env()
            // glommio warns of what this server does not use (registered buffers, its own stall detector).
            .unwrap_or_else(|_| EnvFilter::new("info,glommio=error"));
        let filter = match format!("{always}=info").parse() {
            Ok(always) => filter.add_directive(always),
            Err(_) => EnvFilter::new("info"),
        };
        // A second subscriber in one process is a test's; its own stays.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer.clone())
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .try_init();
        Log {
            writer,
            _flushes: flushes,
        }
    }

    /// Prints `text` as it is, in one piece.
    pub fn print(&self, text: &str) {
        // It is taken or lost; the thread alone meets an error.
        let _ = self.writer.clone().write_all(text.as_bytes());
    }
}
