//! What comes to a shard from outside its own thread: one bounded queue, many producers, one reader.
//!
//! A push never blocks. A full mailbox hands the letter back; a shard then keeps it in its [`Outbox`] and reads no more
//! sockets until the outbox is empty, so pressure goes back to the peers, nothing is dropped, and two full shards
//! cannot wait for each other. The order between two shards holds: each shard is one producer, and once one of its
//! letters is kept, all later ones queue up behind it.
//!
//! At most one wake is outstanding a mailbox: glommio counts foreign wakes in 16 bits and panics in the sender beyond.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::task::Waker;

use crossbeam_queue::ArrayQueue;

/// The reader is awake.
const AWAKE: u8 = 0;
/// The reader sleeps in glommio: its waker wakes it.
const SLEEPS: u8 = 1;
/// The reader lingers in its readiness set: the bell, an eventfd in that set, wakes it.
const LINGERS: u8 = 2;

/// A bounded queue of many producers and one reader that can sleep.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: ArrayQueue<T>,
    armed: AtomicU8,
    waker: OnceLock<Waker>,
    bell: OnceLock<OwnedFd>,
}

impl<T> Mailbox<T> {
    /// A mailbox that holds `letters_max` letters.
    pub fn new(letters_max: usize) -> Mailbox<T> {
        Mailbox {
            queue: ArrayQueue::new(letters_max),
            armed: AtomicU8::new(AWAKE),
            waker: OnceLock::new(),
            bell: OnceLock::new(),
        }
    }

    /// Puts a letter in, or hands it back when the mailbox is full. The reader learns of it at the next [`ring`](Mailbox::ring).
    pub fn push(&self, letter: T) -> Result<(), T> {
        self.queue.push(letter)
    }

    /// Wakes the reader if it sleeps. Call once after a batch of pushes.
    pub fn ring(&self) {
        // Pairs with the fence in `arm`: either the reader sees the letter, or we see it armed.
        fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed) == AWAKE {
            return;
        }
        match self.armed.swap(AWAKE, Ordering::AcqRel) {
            SLEEPS => {
                if let Some(waker) = self.waker.get() {
                    waker.wake_by_ref();
                }
            }
            LINGERS => {
                if let Some(bell) = self.bell.get() {
                    // It can only fail when 2^64 rings were not heard, and then one more changes nothing.
                    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
                }
            }
            _ => {}
        }
    }

    /// The reader's bell: an eventfd that stands in its readiness set. Only the first is kept.
    pub fn set_bell(&self, bell: OwnedFd) {
        self.bell.get_or_init(|| bell);
    }

    /// Its bell, where it has one.
    pub fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.bell.get().map(|bell| bell.as_fd())
    }

    /// The next letter. For the one reader.
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Says that the reader is about to sleep and `waker` wakes it; false when there is a letter and it must not sleep.
    /// Always the same task's waker: only the first is kept.
    pub fn arm(&self, waker: &Waker) -> bool {
        if !self.queue.is_empty() {
            return false;
        }
        self.waker.get_or_init(|| waker.clone());
        self.arm_as(SLEEPS)
    }

    /// The same for a reader that waits in its readiness set, where the bell stands; false also where there is no bell.
    pub fn arm_bell(&self) -> bool {
        self.bell.get().is_some() && self.arm_as(LINGERS)
    }

    fn arm_as(&self, how: u8) -> bool {
        self.armed.store(how, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        self.armed.store(AWAKE, Ordering::Relaxed);
        false
    }

    /// Says that the reader is awake, which saves a wake.
    pub fn disarm(&self) {
        self.armed.store(AWAKE, Ordering::Relaxed);
    }

    /// How many letters wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// What one producer could not yet put into one mailbox, oldest first.
///
/// It has no bound of its own: its producer takes no new work from sockets while anything is kept, so it
/// grows only by what letters already under way call forth, and those chains are finite.
#[derive(Debug)]
pub struct Outbox<T> {
    kept: VecDeque<T>,
    rings: bool,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox {
            kept: VecDeque::new(),
            rings: false,
        }
    }
}

impl<T> Outbox<T> {
    /// Puts a letter into the mailbox, or keeps it behind those that are kept already.
    pub fn post(&mut self, mailbox: &Mailbox<T>, letter: T) {
        self.post_when(mailbox, letter, |_| true);
    }

    /// The same for a letter that may go only once `ready` says so; it is asked again at each flush until then.
    pub fn post_when(
        &mut self,
        mailbox: &Mailbox<T>,
        mut letter: T,
        ready: impl FnOnce(&mut T) -> bool,
    ) {
        self.rings = true;
        if self.kept.is_empty() && ready(&mut letter) {
            if let Err(letter) = mailbox.push(letter) {
                self.kept.push_back(letter);
            }
        } else {
            self.kept.push_back(letter);
        }
    }

    /// Moves what was kept as far as there is room, and wakes the reader if anything was posted since the last flush.
    pub fn flush(&mut self, mailbox: &Mailbox<T>) {
        self.flush_when(mailbox, |_| true);
    }

    /// The same, up to the first letter of which `ready` does not say that it may go. It may be asked again after it has said so.
    pub fn flush_when(&mut self, mailbox: &Mailbox<T>, mut ready: impl FnMut(&mut T) -> bool) {
        while let Some(mut letter) = self.kept.pop_front() {
            if !ready(&mut letter) {
                self.kept.push_front(letter);
                break;
            }
            if let Err(letter) = mailbox.push(letter) {
                self.kept.push_front(letter);
                break;
            }
        }
        if core::mem::take(&mut self.rings) || !self.kept.is_empty() {
            mailbox.ring();
        }
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn many_letters_wake_the_sleeper_once() {
        let mailbox = Mailbox::new(64);
        let woken = Arc::new(Woken::default());
        assert!(mailbox.arm(&Waker::from(woken.clone())));
        for letter in 0..50 {
            mailbox.push(letter).expect("room for 64");
            mailbox.ring();
        }
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(
            !mailbox.arm(&Waker::from(woken.clone())),
            "may not sleep on a letter"
        );
    }

    #[test]
    fn a_full_mailbox_loses_nothing_and_keeps_the_order() {
        let mailbox = Mailbox::new(4);
        let mut outbox = Outbox::default();
        let mut got = Vec::new();
        for letter in 0..100 {
            outbox.post(&mailbox, letter);
            if letter % 7 == 0 {
                got.extend(mailbox.pop());
                outbox.flush(&mailbox);
            }
        }
        assert!(!outbox.is_empty());
        while got.len() < 100 {
            outbox.flush(&mailbox);
            got.extend(core::iter::from_fn(|| mailbox.pop()));
        }
        assert!(outbox.is_empty());
        assert_eq!(got, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn two_full_mailboxes_move_on() {
        // Each of two threads answers every letter with one until its count is used up, over mailboxes of two letters.
        let boxes = [Arc::new(Mailbox::new(2)), Arc::new(Mailbox::new(2))];
        let run = |own: usize| {
            let boxes = boxes.clone();
            move || {
                let mut outbox = Outbox::default();
                for _ in 0..8 {
                    outbox.post(&boxes[1 - own], 1_000u32);
                }
                let mut ended = 0;
                while ended < 8 || !outbox.is_empty() {
                    while let Some(left) = boxes[own].pop() {
                        if left == 0 {
                            ended += 1;
                        } else {
                            outbox.post(&boxes[1 - own], left - 1);
                        }
                    }
                    outbox.flush(&boxes[1 - own]);
                    thread::yield_now();
                }
            }
        };
        let threads = [thread::spawn(run(0)), thread::spawn(run(1))];
        for thread in threads {
            thread.join().expect("a side panicked");
        }
    }

    #[test]
    fn no_wake_is_lost_between_arming_and_pushing() {
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let mailbox = Arc::new(Mailbox::new(8));
        let producer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || {
                for letter in 0..20_000u32 {
                    let mut letter = letter;
                    while let Err(back) = mailbox.push(letter) {
                        letter = back;
                        thread::yield_now();
                    }
                    mailbox.ring();
                }
            })
        };
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut next = 0;
        while next < 20_000 {
            match mailbox.pop() {
                Some(letter) => {
                    assert_eq!(letter, next);
                    next += 1;
                }
                None => {
                    if mailbox.arm(&waker) {
                        let slept = std::time::Instant::now();
                        thread::park_timeout(std::time::Duration::from_secs(10));
                        assert!(
                            slept.elapsed().as_secs() < 9,
                            "slept through a letter at {next}"
                        );
                    }
                }
            }
        }
        producer.join().expect("the producer panicked");
    }
}
