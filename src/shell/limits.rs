//! What the host lets this process have: the limits are raised as far as they may be, and what still caps the server is
//! said in one line, with how to lift it.

use core::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not connections: listeners, rings, databases, logs.
const DESCRIPTORS_RESERVED: u64 = 256;
/// glommio refuses to start a ring below this, in bytes.
pub const MEMLOCK_MIN: u64 = 512 * 1024;

/// The limits as they are now. `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    /// Open files: soft.
    pub open_files: Option<u64>,
    /// Locked memory in bytes: soft.
    pub locked_bytes: Option<u64>,
}

/// Raises the soft limits to the hard ones. Where the system says no, they stay as they are.
pub fn raise() -> Host {
    for resource in [Resource::Nofile, Resource::Memlock] {
        let limit = getrlimit(resource);
        if limit.current != limit.maximum {
            // Not allowed is no failure: what is left is reported.
            let _ = setrlimit(
                resource,
                Rlimit {
                    current: limit.maximum,
                    maximum: limit.maximum,
                },
            );
        }
    }
    Host {
        open_files: getrlimit(Resource::Nofile).current,
        locked_bytes: getrlimit(Resource::Memlock).current,
    }
}

impl Host {
    /// How many connections the limit on open files leaves room for.
    pub fn connections_max(&self) -> usize {
        let left = self
            .open_files
            .unwrap_or(u64::MAX)
            .saturating_sub(DESCRIPTORS_RESERVED);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Whether io_uring's rings can be made at all.
    pub fn has_memory_for_rings(&self) -> bool {
        self.locked_bytes.is_none_or(|bytes| bytes >= MEMLOCK_MIN)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.open_files {
            None => f.write_str("no limit on open files: memory caps the connections"),
            Some(files) => write!(
                f,
                "room for {} connections: {files} open files is what caps it; for more raise the hard limit \
                 (LimitNOFILE= in the systemd unit, see tuning/muster.service, or `ulimit -Hn` before the start)",
                self.connections_max()
            ),
        }
    }
}
