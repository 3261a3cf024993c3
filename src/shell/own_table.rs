//! A table of descriptors of a thread's own: the one `unsafe` module.
//!
//! The limit on open files counts in each table by itself, and threads share one only because they are started so. So where
//! the limit can't be raised, a shard whose thread has left the common table has room for as many connections again.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::thread::UnshareFlags;

/// The calling thread's table, not the process's.
const TABLE: &str = "/proc/thread-self/fd";
/// What glommio and the bells need, as the kernel names it.
const KEPT: [&str; 2] = ["anon_inode:[io_uring]", "anon_inode:[eventfd]"];
/// Standard input, output and error.
const STANDARD_MAX: RawFd = 2;

/// Gives the calling thread a copy of the table for its own, and closes in it all but the standard streams, `keep`, rings, and
/// eventfds. Answers how many descriptors are open in it then.
///
/// Rings and eventfds stay because glommio does not say which are whose: it wakes another executor by writing to *its* eventfd's number
/// in the caller's table. So all executors must be made before the first thread calls this.
///
/// Fails where /proc is not mounted or the kernel refuses; then the table is still the common one, or a full copy of it.
#[expect(
    unsafe_code,
    reason = "the one place: a table of its own is what the limit on open files leaves"
)]
pub(super) fn leave_the_common_one(keep: &[BorrowedFd<'_>]) -> io::Result<usize> {
    // Asked before anything is changed: without it nothing could be closed afterwards.
    std::fs::read_dir(TABLE)?;
    // SAFETY: what could go wrong is that a descriptor made in one table is used, or closed, in another. The calling thread is a shard's,
    // before it has opened anything but its executor, whose ring and eventfd are in the copy under the same numbers. All else that
    // it holds and that has a descriptor is in `keep`: the mailboxes' bells are eventfds, the doors are given. Later
    // it gets descriptors from other threads through the doors alone (`passage`), and gives none away otherwise.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES)? };
    let mut open = 0;
    for number in listed()? {
        let Ok(what) = std::fs::read_link(format!("{TABLE}/{number}")) else {
            continue; // The listing's own, which is closed.
        };
        let needed = number <= STANDARD_MAX
            || keep.iter().any(|kept| kept.as_raw_fd() == number)
            || KEPT.iter().any(|kept| what.as_os_str() == *kept);
        if needed {
            open += 1;
        } else {
            // SAFETY: it is open, the table is this thread's alone, and nothing that this thread holds is among these, see above: their
            // owners have them in the common table, where they stay open.
            unsafe { rustix::io::close(number) };
        }
    }
    Ok(open)
}

fn listed() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(TABLE)? {
        numbers.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<RawFd>().ok()),
        );
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::{fs, thread};

    use super::*;

    #[test]
    fn what_a_thread_opens_in_its_own_table_is_nowhere_else_and_what_it_lets_go_stays_with_the_others()
     {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let kept = fs::File::open("/dev/null").expect("there");
        let number = kept.as_raw_fd();
        let shared = listener.as_raw_fd();
        thread::scope(|scope| {
            scope.spawn(|| {
                let open = leave_the_common_one(&[kept.as_fd()]).expect("unshared");
                let name = |number: RawFd| fs::read_link(format!("{TABLE}/{number}"));
                assert_eq!(name(number).expect("kept").to_string_lossy(), "/dev/null");
                assert!(name(shared).is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
                // Beside those counted only the listing itself is open.
                assert_eq!(listed().expect("listed").len(), open + 1);
            });
        });
        TcpStream::connect(address).expect("the common table's listener still listens");
    }
}
