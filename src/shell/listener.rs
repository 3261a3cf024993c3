//! Listening sockets: one a shard and address, on the same port by SO_REUSEPORT; the kernel spreads connections over them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, SockAddr, Socket as Socket2, TcpKeepalive, Type};

use crate::sip::link::Transport;

/// Connections that the kernel may hold for us; it takes the lower of this and `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// A peer that is gone without a word is noticed after 5 minutes and 4 unanswered probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(300);
const KEEPALIVE_BETWEEN: Duration = Duration::from_secs(30);
const KEEPALIVE_PROBES: u32 = 4;

/// One listening socket of one shard.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    address: SocketAddr,
    /// How connections that come here carry SIP.
    pub(super) transport: Transport,
}

/// A connection that was just taken.
pub(super) struct Accepted {
    pub(super) socket: OwnedFd,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// What an attempt to take a connection came to.
pub(super) enum Taken {
    /// A connection.
    Connection(Accepted),
    /// There is none now.
    None,
    /// One was there and is gone; try the next.
    Gone,
    /// The system has no descriptor or memory left: pause, or this spins.
    Exhausted(io::Error),
}

/// An address that is held for the listeners of all shards, until they listen.
pub(super) struct Held {
    /// With the port that was chosen.
    pub(super) address: SocketAddr,
    _probe: Socket2,
}

/// Holds `address`; port 0 chooses a free one. Refuses an address that another process listens on, which SO_REUSEPORT alone would
/// silently share.
pub(super) fn hold(address: SocketAddr) -> io::Result<Held> {
    let probe = socket(address)?;
    // With SO_REUSEADDR only a listener is in the way, not connections of a server that has just stopped.
    probe.set_reuse_address(true)?;
    probe.bind(&SockAddr::from(address))?;
    let address = probe.local_addr()?.as_socket().unwrap_or(address);
    Ok(Held {
        address,
        _probe: probe,
    })
}

fn socket(address: SocketAddr) -> io::Result<Socket2> {
    let socket = Socket2::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `[::]` is IPv6 alone: an IPv4 address beside it is configured beside it.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// One shard's listener on an address that is held.
pub(super) fn listen(address: SocketAddr, transport: Transport) -> io::Result<Listener> {
    let socket = socket(address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit these, which saves four calls a connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_BETWEEN)
            .with_retries(KEEPALIVE_PROBES),
    )?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(Listener {
        socket: socket.into(),
        address,
        transport,
    })
}

impl Listener {
    /// Takes one waiting connection. Never waits.
    pub(super) fn accept(&self) -> Taken {
        match rustix::net::acceptfrom_with(
            &self.socket,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        ) {
            Ok((socket, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                let local = if self.address.ip().is_unspecified() {
                    rustix::net::getsockname(&socket)
                        .ok()
                        .and_then(|local| SocketAddr::try_from(local).ok())
                } else {
                    Some(self.address)
                };
                match (local, peer) {
                    (Some(local), Some(peer)) => Taken::Connection(Accepted {
                        socket,
                        local,
                        peer,
                    }),
                    _ => Taken::Gone,
                }
            }
            Err(Errno::WOULDBLOCK) => Taken::None,
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                Taken::Exhausted(error.into())
            }
            // ECONNABORTED, and errors of the network that were pending on the new socket (accept(2)).
            Err(_) => Taken::Gone,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(shards: usize) -> (SocketAddr, Vec<Listener>) {
        let held = hold(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listeners = (0..shards)
            .map(|_| listen(held.address, Transport::Tcp).expect("it is held for us"))
            .collect();
        (held.address, listeners)
    }

    #[test]
    fn all_shards_share_the_chosen_port_and_nobody_else_does() {
        let (bound, _listeners) = bind(3);
        assert_ne!(bound.port(), 0);
        let error = hold(bound).map(|_| ()).expect_err("the port is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_restart_may_bind_while_old_connections_die() {
        let (bound, listeners) = bind(1);
        let client = std::net::TcpStream::connect(bound).expect("connected");
        let Taken::Connection(accepted) = listeners[0].accept() else {
            panic!("a connection waits")
        };
        assert_eq!(accepted.peer, client.local_addr().expect("bound"));
        // The server closes first, so its side stays in TIME_WAIT.
        drop(accepted);
        drop(listeners);
        drop(client);
        let held = hold(bound).expect("TIME_WAIT is not in the way");
        listen(held.address, Transport::Tcp).expect("nor here");
    }
}
