//! What the host lets this process have: the limits are raised as far as they may be, and what still caps the server is
//! said in one line, with how to lift it.

use core::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors in the common table that are not connections: listeners, databases, logs.
const DESCRIPTORS_RESERVED: u64 = 192;
/// The same in a table of a shard's own.
const OWN_TABLE_RESERVED: u64 = 64;
/// Descriptors that a shard costs in every table: rings, eventfds, listeners, its door.
const DESCRIPTORS_A_SHARD: u64 = 8;
/// Shards on one core at most, as in the config.
const PER_CORE_MAX: usize = 64;
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

/// Memory comes in pages of 4 KiB, not of 2 MiB, which each shard would have some of for each size of thing, mostly empty: 54 idle
/// shards take 115 MB so and 455 with huge pages. To be called first of all. Where the system says no, it stays as it is.
pub fn small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
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
    /// How many shards on each of `cores` cores, and which tables they use, where `per_core` and `connections` are what is configured.
    ///
    /// One shard a core and one table where that has room enough. Otherwise each shard has a table of its own, and where
    /// nothing is said of their number there are as many as are needed.
    pub fn plan(
        &self,
        cores: usize,
        per_core: Option<usize>,
        connections: Option<usize>,
    ) -> Capacity {
        let capacity = |per_core: usize, own_tables| Capacity {
            shards: cores * per_core,
            own_tables,
            open_files: self.open_files,
            wanted: connections,
        };
        if let Some(per_core) = per_core {
            let common = capacity(per_core, false);
            return capacity(per_core, per_core > 1 || !common.fits());
        }
        let common = capacity(1, false);
        if common.fits() || cores == 0 {
            return common;
        }
        let enough = (1..=PER_CORE_MAX).find(|per_core| capacity(*per_core, true).fits());
        capacity(enough.unwrap_or(PER_CORE_MAX), true)
    }

    /// Whether io_uring's rings can be made at all.
    pub fn has_memory_for_rings(&self) -> bool {
        self.locked_bytes.is_none_or(|bytes| bytes >= MEMLOCK_MIN)
    }
}

/// Shards, their tables of descriptors, and the connections for which these have room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// All shards.
    pub shards: usize,
    /// Each shard has a table of its own.
    pub own_tables: bool,
    /// Descriptors of one table, where there is a limit.
    open_files: Option<u64>,
    /// Connections that are configured.
    wanted: Option<usize>,
}

impl Capacity {
    fn connections_a_table(&self) -> usize {
        let Some(files) = self.open_files else {
            return usize::MAX;
        };
        let fixed = if self.own_tables {
            OWN_TABLE_RESERVED
        } else {
            DESCRIPTORS_RESERVED
        };
        let reserved = fixed + DESCRIPTORS_A_SHARD * self.shards as u64;
        usize::try_from(files.saturating_sub(reserved)).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        if self.own_tables { self.shards } else { 1 }
    }

    /// How many connections all tables have room for, each filled to its last descriptor.
    pub fn connections_max(&self) -> usize {
        self.connections_a_table().saturating_mul(self.tables())
    }

    /// Whether the configured connections fit. Users fall on their shards by a hash, so a table of a shard's own must have room for
    /// its part and four times its deviation.
    pub fn fits(&self) -> bool {
        let Some(wanted) = self.wanted else {
            return true;
        };
        let part = wanted as f64 / self.tables().max(1) as f64;
        let deviation = if self.own_tables { part.sqrt() } else { 0.0 };
        part + 4.0 * deviation <= self.connections_a_table() as f64
    }

    /// Whether there is room for what is configured, or else for what is worth a server.
    pub fn is_enough(&self) -> bool {
        self.fits() && self.connections_max() >= 1024
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.connections_max();
        if let Some(wanted) = self.wanted.filter(|wanted| *wanted < max && self.fits()) {
            return write!(
                f,
                "room for {wanted} connections, as [limits] connections_max has it"
            );
        }
        let Some(files) = self.open_files else {
            return f.write_str("no limit on open files: memory caps the connections");
        };
        write!(
            f,
            "room for {max} connections: {} {} of {files} open files, {} of them for connections",
            self.tables(),
            if self.tables() == 1 {
                "table"
            } else {
                "tables"
            },
            self.connections_a_table(),
        )?;
        match self.wanted {
            Some(wanted) if !self.fits() => write!(
                f,
                "; {wanted} are configured and do not fit ([limits] connections_max): "
            )?,
            _ => f.write_str("; for more ")?,
        }
        f.write_str(
            "raise the hard limit (LimitNOFILE= in the systemd unit, see tuning/muster.service, or `ulimit -Hn` before the start), \
             or where that can't be, [shards] per_core: a table a shard",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(open_files: u64) -> Host {
        Host {
            open_files: Some(open_files),
            locked_bytes: None,
        }
    }

    #[test]
    fn a_high_limit_leaves_one_shard_a_core_and_one_table() {
        let plan = host(1_048_576).plan(2, None, Some(1_000_000));
        assert_eq!(
            (plan.shards, plan.own_tables, plan.fits()),
            (2, false, true)
        );
        let plan = host(20_000).plan(2, None, None);
        assert_eq!(
            (plan.shards, plan.own_tables, plan.fits()),
            (2, false, true)
        );
    }

    #[test]
    fn a_low_limit_makes_as_many_tables_as_the_connections_need() {
        let plan = host(20_000).plan(1, None, Some(1_000_000));
        assert!(plan.own_tables && plan.fits());
        assert!((52..=54).contains(&plan.shards), "{plan:?}");
        let plan = host(20_000).plan(2, None, Some(30_000));
        assert_eq!((plan.shards, plan.own_tables), (2, true));
        let plan = host(20_000).plan(1, Some(4), None);
        assert_eq!((plan.shards, plan.own_tables), (4, true));
        let plan = host(20_000).plan(2, None, Some(10));
        assert_eq!(
            plan.to_string(),
            "room for 10 connections, as [limits] connections_max has it"
        );
        let plan = host(20_000).plan(1, Some(4), Some(100_000));
        assert!(
            !plan.fits()
                && plan
                    .to_string()
                    .contains("100000 are configured and do not fit")
        );
    }
}
