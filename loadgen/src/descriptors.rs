//! Open files: what the host allows, and how many threads with tables of their own hold all connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const THREADS_MAX: u32 = 256;
/// Descriptors besides the users' connections, and of each thread.
const FILES_BESIDES: u64 = 64;
const FILES_A_THREAD: u64 = 3;

/// How many threads hold so many connections, and whether each needs a table of descriptors of its own.
pub fn room(connections: u32, threads: u32) -> Result<(u32, bool), String> {
    let files_max = files_max(u64::from(connections) + FILES_BESIDES * FILES_A_THREAD);
    spread(connections, threads, files_max)
}

/// How many threads hold so many users, and whether each needs a table of descriptors of its own.
fn spread(users: u32, threads: u32, files_max: u64) -> Result<(u32, bool), String> {
    let besides = |threads: u32| u64::from(threads) * FILES_A_THREAD + FILES_BESIDES;
    if u64::from(users) + besides(threads) <= files_max {
        return Ok((threads, false));
    }
    // A table begins as a copy of the common one, with what all threads have in it.
    let users_a_table = files_max.saturating_sub(besides(THREADS_MAX));
    let needed = u64::from(users)
        .checked_div(users_a_table)
        .map(|full| full + 1);
    match needed.map(|needed| needed.max(u64::from(threads))) {
        Some(needed) if needed <= u64::from(THREADS_MAX) => Ok((needed as u32, true)),
        _ => Err(format!(
            "{users} open files are needed, {files_max} are allowed here for each of at most {THREADS_MAX} threads: run with \
             fewer users, or raise the hard limit (ulimit -Hn, LimitNOFILE=, docker --ulimit nofile=)"
        )),
    }
}

/// Raises the limit of open files to `needed`, if that is possible, and says what it is.
fn files_max(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < needed) {
        let raised = Rlimit {
            current: Some(needed),
            maximum: maximum.map(|most| most.max(needed)),
        };
        let highest = Rlimit {
            current: maximum,
            maximum,
        };
        // What cannot be raised is seen below.
        let _ =
            setrlimit(Resource::Nofile, raised).or_else(|_| setrlimit(Resource::Nofile, highest));
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_that_one_table_does_not_hold_are_spread_over_several() {
        assert_eq!(spread(1_000, 2, 20_000), Ok((2, false)));
        assert_eq!(spread(1_000_000, 1, 2_000_000), Ok((1, false)));
        let (threads, own) = spread(1_000_000, 1, 20_000).unwrap();
        assert!(own && (51..=60).contains(&threads), "{threads}");
        let users_a_table = u64::from(1_000_000u32.div_ceil(threads));
        assert!(users_a_table + u64::from(threads) * FILES_A_THREAD + FILES_BESIDES <= 20_000);
        assert_eq!(spread(30_000, 100, 20_000), Ok((100, true)));
        for files_max in [0, 500, 1_024] {
            let error = spread(1_000_000, 1, files_max).unwrap_err();
            assert!(error.contains("open files"), "{error}");
        }
    }
}
