//! Work that competes with the shards for their cores.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// The first two cores this process may run on, or the one core twice.
pub fn two_cores() -> [usize; 2] {
    let cores = core_affinity::get_core_ids().expect("the cores can be listed");
    [cores[0].id, cores[cores.len().min(2) - 1].id]
}

/// Threads that burn a core each until dropped, a little below normal priority so that everything else moves too.
pub struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    pub fn start(cores: [usize; 2]) -> Spinners {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |core: usize| {
            let stop = stop.clone();
            thread::spawn(move || {
                core_affinity::set_for_current(core_affinity::CoreId { id: core });
                rustix::process::nice(5).expect("nicer is always allowed");
                let mut number = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    number = black_box(number.wrapping_mul(31).wrapping_add(7));
                }
            })
        };
        let threads = cores.map(spin).into();
        Spinners { stop, threads }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread
                .join()
                .expect("a spinner does nothing that could fail");
        }
    }
}
