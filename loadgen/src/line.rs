//! One user's connection: a socket that never blocks, its TLS, and whole SIP messages cut from what comes.
//!
//! The buffers belong to the thread and are lent (`Scratch`); a line keeps bytes only while half a record or half a
//! message has come, or while the server doesn't take what was sent. An idle line holds no buffer: it is 96 bytes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use muster::sip::frame::{self, Cut, FrameState, Limits};
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustls::pki_types::ServerName;

use crate::host::bind_without_port;
use crate::tls::{Progress, Settings, Tls};

/// The server may leave so many bytes untaken before the line counts as broken.
const UNSENT_BYTES_MAX: usize = 4 << 20;
/// Reads in one go, so that one busy line doesn't starve the others.
const READS_MAX: usize = 16;
const READ_BYTES: usize = 64 * 1024;
/// A NOTIFY of a contact list brings the documents of all who are on it.
const LIMITS: Limits = Limits {
    head_bytes_max: 16 * 1024,
    body_bytes_max: 1024 * 1024,
    headers_max: muster::sip::message::HEADERS_MAX,
};

/// The thread's buffers, lent to a line for one call.
#[derive(Default)]
pub struct Scratch {
    read: Vec<u8>,
    /// Bytes off the wire.
    cipher: Vec<u8>,
    /// Bytes for the wire.
    wire: Vec<u8>,
    /// SIP that came and isn't consumed.
    pub text: Vec<u8>,
    /// SIP that a user says.
    pub said: Vec<u8>,
}

/// Where lines lead to, and what they share.
pub struct Route {
    pub server: SocketAddr,
    pub server_name: ServerName<'static>,
    pub tls: Arc<Settings>,
    /// Source addresses, used in turn; empty: the kernel's choice.
    pub sources: Vec<IpAddr>,
}

/// Why a line ended.
#[derive(Debug)]
pub enum Broken {
    Socket(io::Error),
    Tls(rustls::Error),
    /// The server closed it.
    Closed,
    /// The server sent something that is no SIP.
    Framing,
    /// The server doesn't read.
    Unsent,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::Socket(error) => write!(f, "connection: {error}"),
            Broken::Tls(error) => write!(f, "TLS: {error}"),
            Broken::Closed => f.write_str("connection closed by the server"),
            Broken::Framing => f.write_str("the server sent bytes that are no SIP message"),
            Broken::Unsent => f.write_str("the server doesn't read what it is sent"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Handshaking,
    Open,
}

/// Half a record, half a message, and what could not be sent yet.
#[derive(Default)]
struct Rest {
    cipher: Vec<u8>,
    text: Vec<u8>,
    wire: Vec<u8>,
    frame: FrameState,
}

/// The client's end: an address of IPv4 as its bytes; all zeros for the only one that loopback has in IPv6.
#[derive(Clone, Copy)]
struct Local {
    v4: [u8; 4],
    port: u16,
}

/// One connection to the server.
pub struct Line {
    socket: TcpStream,
    tls: Tls,
    local: Local,
    phase: Phase,
    /// Tells this line's events from those of one that had the same place before.
    pub generation: u32,
    rest: Option<Box<Rest>>,
}

/// What reading brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    /// The handshake ended just now: the line may be spoken on.
    pub opened: bool,
    /// And it resumed an earlier connection's session.
    pub resumed: bool,
    /// There may be more to read, although no event will say so.
    pub more: bool,
    /// The server closed; what it said before is in the text.
    pub closed: bool,
}

impl Line {
    /// Begins to connect; the outcome comes as an event with `token`.
    pub fn connect(
        route: &Route,
        turn: usize,
        epoll: &OwnedFd,
        token: u64,
        generation: u32,
    ) -> io::Result<Line> {
        let family = if route.server.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        if !route.sources.is_empty() {
            bind_without_port(&socket, route.sources[turn % route.sources.len()])?;
        }
        match connect(&socket, &route.server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        let local = match socket.local_addr()? {
            SocketAddr::V4(v4) => Local {
                v4: v4.ip().octets(),
                port: v4.port(),
            },
            SocketAddr::V6(v6) => Local {
                v4: [0; 4],
                port: v6.port(),
            },
        };
        let tls = Tls::new(&route.tls, route.server_name.clone()).map_err(io::Error::other)?;
        let events = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(
            epoll,
            socket.as_fd(),
            epoll::EventData::new_u64(token),
            events,
        )?;
        Ok(Line {
            socket,
            tls,
            local,
            phase: Phase::Connecting,
            generation,
            rest: None,
        })
    }

    pub fn local(&self) -> SocketAddr {
        let ip = match self.local.v4 {
            [0, 0, 0, 0] => IpAddr::V6(Ipv6Addr::LOCALHOST),
            v4 => IpAddr::V4(Ipv4Addr::from(v4)),
        };
        SocketAddr::new(ip, self.local.port)
    }

    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Reads what came into `scratch.text`, behind what was left there of an earlier message, and sends what could
    /// not be sent before.
    pub fn on_ready(&mut self, scratch: &mut Scratch) -> Result<Heard, Broken> {
        self.on_event(scratch, epoll::EventFlags::all())
    }

    /// The same, with what epoll said: where it saw no end of the stream, a short read has taken all there is, and what
    /// comes later is another event (epoll(7), edge-triggered).
    pub fn on_event(
        &mut self,
        scratch: &mut Scratch,
        flags: epoll::EventFlags,
    ) -> Result<Heard, Broken> {
        let ends = flags
            .intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        let mut heard = Heard {
            opened: false,
            resumed: false,
            more: false,
            closed: false,
        };
        scratch.text.clear();
        scratch.cipher.clear();
        scratch.wire.clear();
        if self.phase == Phase::Connecting {
            if let Some(error) = self.socket.take_error().map_err(Broken::Socket)? {
                return Err(Broken::Socket(error));
            }
            if self.socket.peer_addr().is_err() {
                return Ok(heard); // Not connected yet.
            }
            self.phase = Phase::Handshaking;
            self.feed(scratch, &mut heard)?;
        }
        if let Some(rest) = &mut self.rest {
            scratch.cipher.append(&mut rest.cipher);
            scratch.text.append(&mut rest.text);
        }
        scratch.read.resize(READ_BYTES, 0);
        for reads in 1.. {
            match self.socket.read(&mut scratch.read) {
                Ok(0) => {
                    heard.closed = true;
                    break;
                }
                Ok(count) => {
                    scratch.cipher.extend_from_slice(&scratch.read[..count]);
                    self.feed(scratch, &mut heard)?;
                    if heard.closed || (count < READ_BYTES && !ends) {
                        break;
                    }
                    if reads == READS_MAX {
                        heard.more = true;
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came before the reset may hold the reason; the next event says the rest.
                Err(_) if !scratch.text.is_empty() => {
                    heard.closed = true;
                    break;
                }
                Err(error) => return Err(Broken::Socket(error)),
            }
        }
        if !scratch.cipher.is_empty() {
            self.rest
                .get_or_insert_default()
                .cipher
                .append(&mut scratch.cipher);
        }
        self.flush(&mut scratch.wire)?;
        Ok(heard)
    }

    fn feed(&mut self, scratch: &mut Scratch, heard: &mut Heard) -> Result<(), Broken> {
        let progress = self
            .tls
            .take(&mut scratch.cipher, &mut scratch.text, &mut scratch.wire)
            .map_err(Broken::Tls)?;
        match progress {
            Progress::Open { resumed } if self.phase != Phase::Open => {
                self.phase = Phase::Open;
                heard.opened = true;
                heard.resumed = resumed;
            }
            Progress::Open { .. } | Progress::Handshaking => {}
            Progress::Closed => heard.closed = true,
        }
        Ok(())
    }

    /// Takes the whole messages out of `scratch.text`, one call of `each` for every one of them; keeps the rest.
    pub fn cut(
        &mut self,
        scratch: &mut Scratch,
        mut each: impl FnMut(&mut [u8], &mut Vec<u8>),
    ) -> Result<(), Broken> {
        let mut state = self
            .rest
            .as_ref()
            .map_or_else(FrameState::default, |rest| rest.frame);
        let mut used = 0;
        while used < scratch.text.len() {
            match frame::cut(&scratch.text[used..], &LIMITS, &mut state) {
                Cut::Need(_) => break,
                Cut::Ping(count) => {
                    scratch.said.extend_from_slice(b"\r\n");
                    used += count;
                }
                Cut::Pong(count) => used += count,
                Cut::Message { total, .. } => {
                    let Scratch { text, said, .. } = scratch;
                    each(&mut text[used..used + total], said);
                    used += total;
                }
                // A server that a client cannot understand is wrong, whatever the reason.
                Cut::Refuse { .. } => return Err(Broken::Framing),
            }
        }
        if used < scratch.text.len() {
            let rest = self.rest.get_or_insert_default();
            rest.text.extend_from_slice(&scratch.text[used..]);
            rest.frame = state;
        } else if let Some(rest) = &mut self.rest {
            rest.frame = FrameState::default();
        }
        scratch.text.clear();
        self.forget_empty_rest();
        Ok(())
    }

    /// Sends what stands in `scratch.said`.
    pub fn say(&mut self, scratch: &mut Scratch) -> Result<(), Broken> {
        if scratch.said.is_empty() {
            return Ok(());
        }
        scratch.wire.clear();
        self.tls
            .seal(&scratch.said, &mut scratch.wire)
            .map_err(Broken::Tls)?;
        scratch.said.clear();
        self.flush(&mut scratch.wire)
    }

    /// Says goodbye as TLS wants it; the socket closes when the line is dropped.
    pub fn close(mut self, scratch: &mut Scratch) {
        scratch.wire.clear();
        if self.phase == Phase::Open {
            self.tls.close(&mut scratch.wire);
            // The server sees the end of the stream in any case.
            let _ = self.flush(&mut scratch.wire);
        }
    }

    /// Writes what waits, then `wire`; what the socket doesn't take waits for the next event.
    fn flush(&mut self, wire: &mut Vec<u8>) -> Result<(), Broken> {
        if let Some(rest) = &mut self.rest
            && !rest.wire.is_empty()
        {
            rest.wire.append(wire);
            std::mem::swap(&mut rest.wire, wire);
        }
        let mut sent = 0;
        while sent < wire.len() {
            match self.socket.write(&wire[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Socket(error)),
            }
        }
        if wire.len() - sent > UNSENT_BYTES_MAX {
            return Err(Broken::Unsent);
        }
        if sent < wire.len() {
            self.rest.get_or_insert_default().wire = wire.split_off(sent);
        }
        wire.clear();
        Ok(())
    }

    fn forget_empty_rest(&mut self) {
        if self.rest.as_ref().is_some_and(|rest| {
            rest.cipher.is_empty() && rest.text.is_empty() && rest.wire.is_empty()
        }) {
            self.rest = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_line_is_96_bytes() {
        assert_eq!(size_of::<Line>(), 96);
    }
}
