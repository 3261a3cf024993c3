//! Starts shards with a core of the test's own.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use muster::shard::cdr_event::CdrEvent;
use muster::shard::effect::Effects;
use muster::shard::input::Input;
use muster::shard::{Core, ShardId};
use muster::shell::run::{self, Running, Settings};
use muster::shell::store::Errand;
use muster::shell::tls;
use muster::sip::build;
use muster::sip::message::Message;
use muster::sip::time::Now;
use rustls::ServerConfig;

use super::peer;
use super::spinners::two_cores;

/// A core made of a function.
pub struct Closure<F>(pub F);

impl<F: FnMut(Now, Input<'_>, &mut Effects)> Core for Closure<F> {
    fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Effects) {
        (self.0)(now, input, effects);
    }
}

/// A certificate for `localhost`, and settings that use it.
pub fn certificate() -> (String, Arc<ServerConfig>) {
    let (cert, key) = tls::generate(&[]).expect("generated");
    let directory = tempfile::tempdir().expect("a folder");
    let path = |end: &str| directory.path().join(end);
    std::fs::write(path("pem"), &cert).expect("the temporary directory takes a file");
    std::fs::write(path("key"), &key).expect("the temporary directory takes a file");
    let config = tls::load(&path("pem"), &path("key")).expect("a usable pair");
    (cert, config)
}

/// Shards that listen on free ports of loopback.
pub struct Server {
    pub running: Running,
    pub cert: String,
    /// Held, so that the shards have somebody to tell.
    _events: Receiver<CdrEvent>,
    _errands: Receiver<Errand>,
}

/// Starts two shards, after `change` had a look at the settings.
pub fn start<C: Core + 'static>(
    change: impl FnOnce(&mut Settings),
    make_core: impl Fn(ShardId) -> C + Send + Sync + 'static,
) -> Server {
    let (cert, config) = certificate();
    let mut settings = Settings::new(two_cores().into(), config);
    settings.sips = vec![([127, 0, 0, 1], 0).into()];
    settings.sip = vec![([127, 0, 0, 1], 0).into()];
    // Short, so that shards wait in both ways: in their sets, and at rest in glommio.
    settings.linger = Duration::from_millis(10);
    change(&mut settings);
    let (recorder, events) = unbounded();
    let (keeper, errands) = unbounded();
    let running = run::start(settings, recorder, keeper, make_core).expect("two shards start");
    running.control().open();
    Server {
        running,
        cert,
        _events: events,
        _errands: errands,
    }
}

impl Server {
    pub fn tls(&self) -> peer::Peer {
        peer::Peer::tls(self.running.sips[0], &self.cert)
    }

    pub fn tcp(&self) -> peer::Peer {
        peer::Peer::tcp(self.running.sip[0])
    }

    pub fn stop(self) {
        let lost = self.running.stop(Duration::from_secs(5));
        assert_eq!(lost.expect("all shards have ended"), 0);
    }
}

/// Answers a request with 200, and its body with it.
pub fn answer(message: &Message<'_>, out: &mut Vec<u8>) {
    build::response(out, message, 200, Some("shell")).body("text/plain", message.body());
}
