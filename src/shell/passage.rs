//! How a connection's descriptor gets from one shard's table of descriptors into another's, and how many each has room for.
//!
//! A number means nothing in another table, so the descriptor goes as SCM_RIGHTS (unix(7)) through a local socket that each shard has
//! one end of: its door. It goes before the envelope with the connection, under a ticket which the envelope names; so whoever takes
//! the envelope out of the mailbox finds the descriptor at the door, or has already taken it while looking for another.
//! A full door takes none: the envelope then waits in its shard's outbox, which presses as it always does.
//!
//! Room is counted in seats, and one is taken in the other table before a connection sets out, so none arrives
//! where there is no descriptor for it.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::shard::ShardId;

/// Descriptors of a table that no connection gets: for waiting on the readiness set, for one that is accepted in
/// order to be sent on, and for those on their way out of the table.
const SPARE: usize = 32;
/// So many of them may be in use when one more connection is accepted.
const SPARE_TAKEN_MAX: isize = SPARE as isize / 2;

/// The way into one shard's table.
#[derive(Debug)]
struct Door {
    outside: OwnedFd,
    inside: OwnedFd,
    /// For how many more connections the table has room. Below zero for moments, at the cost of the spare ones.
    seats: AtomicIsize,
}

/// The doors of all shards. Made in the common table, before any shard leaves it.
#[derive(Clone, Debug)]
pub(super) struct Doors(Arc<[Door]>);

impl Doors {
    pub(super) fn new(shards: usize) -> io::Result<Doors> {
        let door = |_| {
            // Keeps messages apart, in order, and says so when it is full: after some 270 of them, so that even 54 doors hold
            // fewer descriptors on their way than the kernel allows one user (the limit on open files).
            let (outside, inside) = socketpair(
                AddressFamily::UNIX,
                SocketType::SEQPACKET,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                None,
            )?;
            Ok(Door {
                outside,
                inside,
                seats: AtomicIsize::new(0),
            })
        };
        (0..shards).map(door).collect::<io::Result<_>>().map(Doors)
    }

    /// Both ends of all: whoever lets go of them last closes them, so each table has them all.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.0
            .iter()
            .flat_map(|door| [door.outside.as_fd(), door.inside.as_fd()])
            .collect()
    }
}

/// One shard's table of descriptors: who may come in, and the way out of it into the others.
#[derive(Debug)]
pub(super) struct Passage {
    doors: Doors,
    me: usize,
    /// Tickets given out.
    tickets: u64,
    /// Came in and were not asked for yet. Without one where the table had no room after all.
    early: HashMap<u64, Option<OwnedFd>>,
}

impl Passage {
    /// The passage of a shard whose table may hold `limit` descriptors and holds `open` before any connection.
    pub(super) fn new(doors: Doors, me: ShardId, limit: u64, open: usize) -> Passage {
        let me = usize::from(me.0);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let seats = limit.saturating_sub(open.saturating_add(SPARE));
        let seats = isize::try_from(seats).unwrap_or(isize::MAX);
        doors.0[me].seats.store(seats, Ordering::Relaxed);
        Passage {
            doors,
            me,
            tickets: 0,
            early: HashMap::new(),
        }
    }

    /// Whether a new connection finds a seat here or anywhere.
    pub(super) fn has_room(&self) -> bool {
        let seats = |door: &Door| door.seats.load(Ordering::Relaxed);
        let here = seats(&self.doors.0[self.me]);
        here > 0 || (here > -SPARE_TAKEN_MAX && self.doors.0.iter().any(|door| seats(door) > 0))
    }

    /// Takes a seat for a connection that was accepted here: here, or else where there is most room, and a spare one here
    /// until it sets out. It stays on that where the other one has gone in this moment.
    pub(super) fn place(&self) -> ShardId {
        let me = ShardId(self.me as u16);
        if self.take_seat(me) {
            return me;
        }
        self.doors.0[self.me].seats.fetch_sub(1, Ordering::Relaxed);
        let most = (0u16..)
            .zip(self.doors.0.iter())
            .max_by_key(|(_, door)| door.seats.load(Ordering::Relaxed));
        if let Some((other, _)) = most
            && self.take_seat(ShardId(other))
        {
            return ShardId(other);
        }
        me
    }

    /// Takes a seat in the table of shard `of`, where one is free.
    pub(super) fn take_seat(&self, of: ShardId) -> bool {
        let one_less = |seats: isize| (seats > 0).then(|| seats - 1);
        self.doors.0.get(usize::from(of.0)).is_some_and(|door| {
            door.seats
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok()
        })
    }

    /// A descriptor of this table was closed.
    pub(super) fn leave_seat(&self) {
        self.doors.0[self.me].seats.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives up a seat that was taken in the table of shard `of` for a connection that does not go there.
    pub(super) fn return_seat(&self, of: ShardId) {
        if let Some(door) = self.doors.0.get(usize::from(of.0)) {
            door.seats.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends a descriptor to shard `to`, where a seat was taken for it. Answers with its ticket; or hands it back, and
    /// it must be tried again.
    pub(super) fn send(&mut self, to: ShardId, descriptor: OwnedFd) -> Result<u64, OwnedFd> {
        let ticket = (self.me as u64) << 48 | self.tickets;
        let sent = {
            let rights = [descriptor.as_fd()];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&rights))
                && sendmsg(
                    &self.doors.0[usize::from(to.0)].outside,
                    &[IoSlice::new(&ticket.to_ne_bytes())],
                    &mut ancillary,
                    SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                )
                // Full, or too many of this user are on their way (ETOOMANYREFS): both pass.
                .is_ok()
        };
        if !sent {
            return Err(descriptor);
        }
        self.tickets += 1;
        drop(descriptor);
        self.leave_seat();
        Ok(ticket)
    }

    /// The descriptor that came under `ticket`; `None` where the table had no room for it after all and it is lost.
    pub(super) fn receive(&mut self, ticket: u64) -> Option<OwnedFd> {
        loop {
            if let Some(descriptor) = self.early.remove(&ticket) {
                return descriptor;
            }
            let mut bytes = [0u8; 8];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.doors.0[self.me].inside,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
            );
            match received {
                Ok(message) if message.bytes == bytes.len() => {}
                Err(rustix::io::Errno::INTR) => continue,
                // The descriptor is sent before its envelope, so this cannot be; whoever asked closes the connection.
                _ => return None,
            }
            let descriptor = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
                _ => None,
            });
            self.early.insert(u64::from_ne_bytes(bytes), descriptor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn two(seats: usize) -> [Passage; 2] {
        let doors = Doors::new(2).expect("made");
        [0, 1].map(|me| Passage::new(doors.clone(), ShardId(me), (SPARE + seats) as u64, 0))
    }

    #[test]
    fn each_ticket_brings_its_own_descriptor_in_any_order() {
        let [mut here, mut there] = two(8);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (mut tickets, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            peers.push(TcpStream::connect(address).expect("connected"));
            let (accepted, peer) = listener.accept().expect("a connection waits");
            let ticket = here
                .send(ShardId(1), accepted.into())
                .expect("room at the door");
            tickets.push((ticket, peer));
        }
        for (ticket, peer) in tickets.into_iter().rev() {
            let mut stream = TcpStream::from(there.receive(ticket).expect("it came"));
            assert_eq!(stream.peer_addr().expect("connected"), peer);
            stream.write_all(b"x").expect("still connected");
        }
        assert!(there.receive(99).is_none());
    }

    #[test]
    fn a_full_door_hands_back_and_takes_again_when_there_is_room() {
        let [mut here, mut there] = two(10_000);
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").expect("there"));
        let mut tickets = Vec::new();
        let back = loop {
            match here.send(ShardId(1), null()) {
                Ok(ticket) => tickets.push(ticket),
                Err(back) => break back,
            }
            assert!(tickets.len() < 1_000, "a door has a bound");
        };
        assert!(
            tickets.len() > 64,
            "{} is too few for a storm",
            tickets.len()
        );
        for ticket in &tickets {
            assert!(there.receive(*ticket).is_some());
        }
        let ticket = here.send(ShardId(1), back).expect("there is room again");
        assert!(there.receive(ticket).is_some());
    }

    #[test]
    fn who_finds_no_seat_here_sits_where_there_is_most_room() {
        let [here, there] = two(2);
        assert_eq!([here.place(), here.place()], [ShardId(0), ShardId(0)]);
        assert_eq!([here.place(), here.place()], [ShardId(1), ShardId(1)]);
        assert!(!here.has_room() && !there.take_seat(ShardId(0)));
        there.leave_seat();
        assert!(here.has_room() && there.has_room() && here.take_seat(ShardId(1)));
    }
}
