//! What is asked of the kernel without a safe function for it in the crates we use: the only `unsafe` of this program.
//!
//! A descriptor table of one's own for a thread (a table's hard limit may be far below a million), binding to a source
//! address without taking a port for it, and pinning.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::fd::{AsFd, AsRawFd};
use rustix::thread::{CpuSet, UnshareFlags, sched_setaffinity, unshare_unsafe};

/// Gives the calling thread a table of descriptors of its own: a copy of the common one, so what was open stays open
/// under the same number. What it opens from here on no other thread can use, and nobody hands it a descriptor later.
///
/// # Safety argument
/// `unshare_unsafe` is unsafe because a descriptor of one table means nothing in another. A worker makes all that it uses
/// before (epoll set, timer, bell: in both tables) or after this call and keeps it to itself: its lines and its sight never
/// leave the thread with a descriptor in them. See `worker`.
pub fn own_table() -> io::Result<()> {
    // SAFETY: as above.
    unsafe { unshare_unsafe(UnshareFlags::FILES) }.map_err(io::Error::from)
}

/// Binds to `source`, and leaves the choice of the port to `connect`, which knows the destination: so a port may be used by
/// several connections whose addresses differ (IP_BIND_ADDRESS_NO_PORT, ip(7)).
pub fn bind_without_port(socket: impl AsFd, source: IpAddr) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: the descriptor is borrowed for the call, and the pointer is to an int of the size that is given.
    let set = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            std::ptr::from_ref(&yes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(rustix::net::bind(&socket, &SocketAddr::new(source, 0))?)
}

/// Keeps the calling thread, and those it starts later, to these CPUs.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        if *cpu >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        set.set(*cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn a_thread_with_its_own_table_opens_without_the_others_seeing_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let opened = std::thread::spawn(move || {
            own_table().unwrap();
            TcpStream::connect(address).unwrap().into_raw_fd()
        })
        .join()
        .unwrap();
        // The thread is over and its table with it: had the table been ours, the connection would be open still.
        let (mut accepted, _) = listener.accept().unwrap();
        assert!(opened > 2);
        accepted
            .set_read_timeout(Some(std::time::Duration::from_secs(5)))
            .unwrap();
        assert_eq!(io::Read::read(&mut accepted, &mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_bound_socket_connects_from_its_source() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        let source: IpAddr = "127.9.8.7".parse().unwrap();
        bind_without_port(&socket, source).unwrap();
        rustix::net::connect(&socket, &listener.local_addr().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), source);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error() {
        assert!(pin(&[1_000_000]).is_err() && pin(&[]).is_err());
    }
}
