//! What the operator says to a running server by signals: a plain thread turns them into words on a channel.

use std::io;

use crossbeam_channel::{Receiver, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGUSR1: show the histograms.
    Dump,
    /// SIGHUP: read certificate and config again.
    Reload,
    /// SIGTERM or SIGINT, the first time; the second time the process ends at once, with status 1.
    Stop,
}

/// Takes the signals from now on, before anything that could be hit by one is there.
///
/// # Errors
/// Where the system refuses a handler or a thread.
pub fn listen() -> io::Result<Receiver<Signal>> {
    let mut signals = Signals::new([SIGUSR1, SIGHUP, SIGTERM, SIGINT])?;
    // As many as the kernel delivers; signals of a kind that come faster than they are taken are one.
    let (say, said) = unbounded();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut stopping = false;
            for signal in signals.forever() {
                let word = match signal {
                    SIGUSR1 => Signal::Dump,
                    SIGHUP => Signal::Reload,
                    // A person who asks twice does not want to wait for what is under way.
                    _ if stopping => std::process::exit(1),
                    _ => {
                        stopping = true;
                        Signal::Stop
                    }
                };
                if say.send(word).is_err() {
                    return;
                }
            }
        })?;
    Ok(said)
}
