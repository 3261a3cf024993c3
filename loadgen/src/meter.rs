//! What the server's processes cost: CPU time and memory of a process and all its descendants, from /proc.
//!
//! CPU time is the scheduler's own count in nanoseconds for each thread. Where a thread ended between two readings
//! that count is gone, and the process' clock ticks (10 ms) are used instead.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// One reading of the CPU time of a process tree.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// (process, thread) -> ns on a CPU.
    threads: BTreeMap<(u32, u32), u64>,
    /// process -> (user, system) clock ticks, ended threads included.
    ticks: BTreeMap<u32, (u64, u64)>,
}

/// CPU time used between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CpuUsed {
    pub us: f64,
    /// The part of it in user mode, from clock ticks (10 ms).
    pub user_us: f64,
    /// Number of processes.
    pub processes: usize,
}

/// Memory of a process tree, KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// Proportional set size: shared pages are counted once over the tree.
    pub pss_kib: u64,
    pub rss_kib: u64,
    pub processes: usize,
}

/// Reads the CPU time of `root` and its descendants. Fails if `root` is gone.
pub fn cpu(root: u32) -> io::Result<Cpu> {
    let mut reading = Cpu::default();
    for process in tree(root)? {
        // A descendant may end at any moment; only the root must be there.
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else {
            continue;
        };
        let Some(stat) = Stat::parse(&stat) else {
            continue;
        };
        reading
            .ticks
            .insert(process, (stat.user_ticks, stat.system_ticks));
        let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let Some(id) = thread
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok();
            if let Some(ns) = schedstat.and_then(|text| text.split(' ').next()?.parse().ok()) {
                reading.threads.insert((process, id), ns);
            }
        }
    }
    if reading.ticks.contains_key(&root) {
        Ok(reading)
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("process {root} is gone"),
        ))
    }
}

impl Cpu {
    /// What was used since `earlier`. A process that began in between counts from its start.
    pub fn since(&self, earlier: &Cpu) -> CpuUsed {
        let tick_us = 1e6 / rustix::param::clock_ticks_per_second() as f64;
        let mut used = CpuUsed {
            processes: self.ticks.len(),
            ..CpuUsed::default()
        };
        for (process, (user, system)) in &self.ticks {
            let (user_before, system_before) =
                earlier.ticks.get(process).copied().unwrap_or((0, 0));
            used.user_us += user.saturating_sub(user_before) as f64 * tick_us;
            let of_process = (*process, 0)..=(*process, u32::MAX);
            let all_there = earlier
                .threads
                .range(of_process.clone())
                .all(|(thread, _)| self.threads.contains_key(thread));
            used.us += if all_there && self.threads.range(of_process.clone()).next().is_some() {
                self.threads
                    .range(of_process)
                    .map(|(thread, ns)| {
                        ns.saturating_sub(earlier.threads.get(thread).copied().unwrap_or(0))
                    })
                    .sum::<u64>() as f64
                    / 1e3
            } else {
                (user + system).saturating_sub(user_before + system_before) as f64 * tick_us
            };
        }
        used
    }
}

/// Reads the memory of `root` and its descendants. Fails if `root` is gone or not ours to read.
pub fn memory(root: u32) -> io::Result<Memory> {
    let mut memory = Memory::default();
    for process in tree(root)? {
        match fs::read_to_string(format!("/proc/{process}/smaps_rollup")) {
            Ok(rollup) => {
                memory.pss_kib += kib_of(&rollup, "Pss:").unwrap_or(0);
                memory.rss_kib += kib_of(&rollup, "Rss:").unwrap_or(0);
                memory.processes += 1;
            }
            Err(error) if process == root => return Err(error),
            Err(_) => {}
        }
    }
    Ok(memory)
}

/// The resident memory of `root` and its descendants, KiB: cheap, and pages shared among them count for each.
pub fn rss_kib(root: u32) -> Option<u64> {
    let page_kib = rustix::param::page_size() as u64 / 1024;
    let mut pages = 0;
    for process in tree(root).ok()? {
        let statm = fs::read_to_string(format!("/proc/{process}/statm")).ok();
        pages += statm
            .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
            .unwrap_or(0);
    }
    (pages > 0).then_some(pages * page_kib)
}

/// The kernel's slab memory of the whole machine, KiB: sockets of both ends are in it, and whatever else the machine
/// does meanwhile.
pub fn slab_kib() -> Option<u64> {
    kib_of(&fs::read_to_string("/proc/meminfo").ok()?, "Slab:")
}

/// Memory of the buffers of all TCP sockets of the machine, KiB (proc(5), /proc/net/sockstat).
pub fn tcp_buffers_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").ok()?;
    Some(tcp_pages(&text)? * rustix::param::page_size() as u64 / 1024)
}

fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?;
    let (_, pages) = line.split_once(" mem ")?;
    pages.trim().parse().ok()
}

/// Time for which a virtual machine's host let this machine's processors wait although they had work, s of one processor,
/// since the boot (proc(5), `steal` of /proc/stat; in 10 ms). What the host does to memory and caches is not in it.
pub fn stolen_s() -> Option<f64> {
    let ticks = stolen_ticks(&fs::read_to_string("/proc/stat").ok()?)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn stolen_ticks(stat: &str) -> Option<u64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    all.split_ascii_whitespace().nth(7)?.parse().ok()
}

fn kib_of(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()
}

/// `root` first, then its descendants.
fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(stat) = Stat::parse(&stat) {
            children.entry(stat.parent).or_default().push(process);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(process) = found.get(at) {
        // Removed, so that even a reading that changed under us ends.
        if let Some(more) = children.remove(process) {
            found.extend(more);
        }
        at += 1;
    }
    Ok(found)
}

/// The fields of /proc/PID/stat used here (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The second field is the name in parentheses, and may hold any character, `)` and spaces too.
        let (_, after_name) = text.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let mut fields = fields.skip(9);
        Some(Stat {
            parent,
            user_ticks: fields.next()?.parse().ok()?,
            system_ticks: fields.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_read() {
        let stat = "cpu  10 2 3 400 5 6 7 89 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(stolen_ticks(stat), Some(89));
        assert_eq!(stolen_ticks("cpu  1 2 3"), None);
        assert!(stolen_s().is_some());
    }

    #[test]
    fn a_name_with_parentheses_misleads_nobody() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 100 1 1";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                parent: 7,
                user_ticks: 150,
                system_ticks: 50
            })
        );
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn the_pages_of_tcp_are_found() {
        let text =
            "sockets: used 100\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 12\nUDP: inuse 1 mem 3\n";
        assert_eq!(tcp_pages(text), Some(12));
        assert_eq!(tcp_pages("UDP: inuse 1 mem 3"), None);
    }

    #[test]
    fn a_thread_that_ended_is_not_forgotten() {
        let before = Cpu {
            threads: [((1, 1), 5_000), ((1, 2), 9_000_000)].into(),
            ticks: [(1, (10, 10))].into(),
        };
        let after = Cpu {
            threads: [((1, 1), 6_000)].into(),
            ticks: [(1, (12, 11))].into(),
        };
        assert_eq!(after.since(&before).us, 30_000.0);
        let steady = Cpu {
            threads: [((1, 1), 6_000), ((1, 2), 9_001_000)].into(),
            ..after
        };
        assert_eq!(
            steady.since(&before),
            CpuUsed {
                us: 2.0,
                user_us: 20_000.0,
                processes: 1
            }
        );
    }

    #[test]
    fn work_of_this_process_is_seen() {
        let me = std::process::id();
        let before = cpu(me).unwrap();
        let from = crate::clock::thread_cpu_us();
        let mut sum = 0u64;
        while crate::clock::thread_cpu_us() - from < 30_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu(me).unwrap().since(&before).us >= 29_000.0);
        let memory = memory(me).unwrap();
        assert!(memory.pss_kib > 100 && memory.processes >= 1);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(cpu(u32::MAX - 1).is_err());
        assert!(memory(u32::MAX - 1).is_err());
    }
}
