//! The one thread of the store while a server runs: it keeps what shards ask it to, and tells them what that and `muster user`
//! made of a user.
//!
//! Changes come through a bounded channel and are committed in batches, synced to the disk; only then the owner gets the record,
//! and after it who asked gets the answer. Where the disk says no the answer says so, and nothing was changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::follow::KEEP_BUSY_MAX;
use super::{Follower, Store, StoreError};
use crate::shard::UserRecord;
use crate::shard::change::{Change, KeepTicket, NotKept};
use crate::shell::run::UserChange;

/// Changes that may wait for the disk; past it the shards wait too.
const QUEUE_MAX: usize = 4_096;
/// Changes that share one transaction, and one sync.
const BATCH_MAX: usize = 256;
/// How long one waits for another program's write once the server stops: sixteen of them may be left.
const STOP_BUSY_MAX: Duration = Duration::from_secs(1);
/// How often the store is asked whether another program changed it.
const FOLLOW: Duration = Duration::from_millis(300);

/// A change, and who waits for it.
pub type Errand = (KeepTicket, Change);

/// What the thread has to tell a shard.
#[derive(Debug)]
pub enum Told {
    /// The owner: a user was changed.
    User(UserChange),
    /// Who asked: it is kept, or why not. After the record that has it.
    Kept(KeepTicket, Result<(), NotKept>),
}

/// The thread.
#[derive(Debug)]
pub struct Keeper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// The way to a keeper, which may be made before it starts: it presses back when it is full.
    pub fn queue() -> (Sender<Errand>, Receiver<Errand>) {
        bounded(QUEUE_MAX)
    }

    /// Tells of every user there is, and returns; then the thread works on. `tell` may wait; nothing is locked meanwhile.
    pub fn start(
        store: Store,
        errands: Receiver<Errand>,
        mut tell: impl FnMut(Told) + Send + 'static,
    ) -> Result<Keeper, StoreError> {
        let path = store.path.clone();
        let follower = Follower::start(store, |user| tell(Told::User(UserChange::Put(user))))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::Builder::new().name("store".into()).spawn(move || {
            let mut work = Work {
                follower,
                tell,
                failing: (false, false),
            };
            work.run(&errands, &stopping);
        });
        let thread = thread.map_err(|error| StoreError::Io { path, error })?;
        Ok(Keeper { stop, thread })
    }

    /// Keeps what is still asked, and ends. The shards have ended before.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic there has been reported already; the server stops anyway.
        let _ = self.thread.join();
    }
}

struct Work<T> {
    follower: Follower,
    tell: T,
    /// Following, keeping: said once that it fails.
    failing: (bool, bool),
}

impl<T: FnMut(Told)> Work<T> {
    fn run(&mut self, errands: &Receiver<Errand>, stop: &AtomicBool) {
        let mut batch = Vec::new();
        let mut look_at = Instant::now() + FOLLOW;
        loop {
            match errands.recv_deadline(look_at) {
                Ok(first) => {
                    batch.push(first);
                    batch.extend(errands.try_iter().take(BATCH_MAX - 1));
                    // Once the server stops nobody waits for an answer, and the end waits for us.
                    let patience = match stop.load(Ordering::Relaxed) {
                        false => KEEP_BUSY_MAX,
                        true => STOP_BUSY_MAX,
                    };
                    self.keep(&batch, patience);
                    batch.clear();
                }
                Err(_) if stop.load(Ordering::Relaxed) => return,
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody will ask again; what other programs do is still to be told.
                Err(RecvTimeoutError::Disconnected) => {
                    thread::sleep(look_at.saturating_duration_since(Instant::now()));
                }
            }
            if Instant::now() >= look_at {
                let more = self.follow();
                look_at = Instant::now() + if more { Duration::ZERO } else { FOLLOW };
            }
        }
    }

    fn keep(&mut self, batch: &[Errand], patience: Duration) {
        let changes = batch.iter().map(|(_, change)| change);
        let kept: Vec<Result<Option<UserRecord>, NotKept>> =
            match self.follower.keep(changes, patience) {
                Ok(kept) => {
                    if core::mem::take(&mut self.failing.1) {
                        tracing::info!("changes of users are kept again");
                    }
                    kept
                }
                Err(error) => {
                    // Said once; who asked is told each time.
                    if !core::mem::replace(&mut self.failing.1, true) {
                        tracing::error!("changes of users are refused for now: {error}");
                    }
                    batch.iter().map(|_| Err(NotKept::Failed)).collect()
                }
            };
        for ((ticket, _), kept) in batch.iter().zip(kept) {
            let outcome = kept.map(|changed| {
                if let Some(user) = changed {
                    (self.tell)(Told::User(UserChange::Put(user)));
                }
            });
            (self.tell)(Told::Kept(*ticket, outcome));
        }
    }

    /// Tells some of what other programs did; true where there is more.
    fn follow(&mut self) -> bool {
        let tell = &mut self.tell;
        match self.follower.poll(|change| tell(Told::User(change))) {
            Ok(more) => {
                if core::mem::take(&mut self.failing.0) {
                    tracing::info!("changes of users are noticed again");
                }
                more
            }
            // Said once, tried on: the disk may come back.
            Err(error) => {
                if !core::mem::replace(&mut self.failing.0, true) {
                    tracing::error!("changes of users are not noticed for now: {error}");
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Scheme;
    use crate::presence::{Choice, Manual, Waiting};
    use crate::shard::ShardId;
    use crate::shell::store::{Admission, DataDir};
    use crate::sip::uri::Aor;

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@example.com")).unwrap()
    }

    fn add(store: &mut Store, name: &str) {
        let admission = Admission {
            domains: &["example.com".into()],
            schemes: &[Scheme::DigestSha256],
        };
        let user = admission.user(aor(name).as_str(), "", "secret").unwrap();
        store.add(&user).unwrap();
    }

    fn ticket(key: u64) -> KeepTicket {
        KeepTicket {
            shard: ShardId(1),
            key,
        }
    }

    fn waiting(name: &str, new: u32) -> Change {
        let waiting = Waiting {
            new,
            ..Waiting::default()
        };
        Change::Waiting {
            user: aor(name),
            before: None,
            waiting,
        }
    }

    fn text(told: Told) -> String {
        match told {
            Told::User(UserChange::Put(user)) => {
                let new = user.standing.map_or(0, |standing| standing.waiting.new);
                format!("{} {new}", user.aor.user())
            }
            Told::User(UserChange::Removed(aor)) => format!("-{}", aor.user()),
            Told::Kept(ticket, outcome) => format!("{} {outcome:?}", ticket.key),
        }
    }

    struct Stage {
        folder: tempfile::TempDir,
        keeper: Keeper,
        errands: Sender<Errand>,
        told: Receiver<Told>,
    }

    impl Stage {
        fn new(names: &[&str]) -> Stage {
            let folder = tempfile::tempdir().unwrap();
            let mut store = Store::open(&DataDir::open(folder.path()).unwrap()).unwrap();
            names.iter().for_each(|name| add(&mut store, name));
            let (errands, queue) = Keeper::queue();
            let (tell, told) = crossbeam_channel::unbounded();
            let keeper = Keeper::start(store, queue, move |what| tell.send(what).unwrap()).unwrap();
            Stage {
                folder,
                keeper,
                errands,
                told,
            }
        }

        fn store(&self) -> Store {
            Store::open(&DataDir::open(self.folder.path()).unwrap()).unwrap()
        }

        fn told(&self, count: usize) -> Vec<String> {
            let within = Duration::from_secs(10);
            let next = |_| text(self.told.recv_timeout(within).expect("it is told"));
            (0..count).map(next).collect()
        }
    }

    #[test]
    fn the_record_comes_before_the_word_and_both_after_the_disk() {
        let stage = Stage::new(&["alice", "bob"]);
        assert_eq!(stage.told(2), ["alice 0", "bob 0"]);
        stage.errands.send((ticket(7), waiting("bob", 3))).unwrap();
        assert_eq!(stage.told(1), ["bob 3"]);
        let on_disk = stage.store().user("bob@example.com").unwrap().unwrap();
        assert_eq!(on_disk.standing.unwrap().waiting.new, 3);
        assert_eq!(stage.told(1), ["7 Ok(())"]);

        // What changes nothing is kept all the same.
        stage.errands.send((ticket(8), waiting("bob", 3))).unwrap();
        stage
            .errands
            .send((ticket(9), waiting("nobody", 3)))
            .unwrap();
        assert_eq!(stage.told(2), ["8 Ok(())", "9 Err(NoSuchUser)"]);
        let two = Waiting {
            urgent_new: 1,
            ..Waiting::default()
        };
        stage
            .errands
            .send((
                ticket(10),
                Change::Waiting {
                    user: aor("bob"),
                    before: None,
                    waiting: two,
                },
            ))
            .unwrap();
        assert_eq!(stage.told(1), ["10 Err(Refused(Waiting))"]);

        // Another program and a shard change the same user: neither loses the other's.
        let mut other = stage.store();
        let choice = Choice {
            state: Some(Manual::Busy),
            ..Choice::default()
        };
        other
            .edit(&aor("bob"), |standing| {
                standing.choice = Some(choice.clone());
                Ok::<_, String>(())
            })
            .unwrap();
        stage.errands.send((ticket(11), waiting("bob", 5))).unwrap();
        assert_eq!(stage.told(2), ["bob 5", "11 Ok(())"]);
        let both = other
            .user("bob@example.com")
            .unwrap()
            .unwrap()
            .standing
            .unwrap();
        assert_eq!((both.choice.clone(), both.waiting.new), (Some(choice), 5));
        stage.keeper.finish();
    }

    #[test]
    fn what_was_asked_before_the_end_is_on_the_disk() {
        let stage = Stage::new(&["bob"]);
        for new in 1..=1_000 {
            stage
                .errands
                .send((ticket(u64::from(new)), waiting("bob", new)))
                .unwrap();
        }
        let store = stage.store();
        stage.keeper.finish();
        let bob = store.user("bob@example.com").unwrap().unwrap();
        assert_eq!(bob.standing.unwrap().waiting.new, 1_000);
        assert_eq!(stage.told.try_iter().count(), 2_001);
    }

    #[test]
    fn a_disk_that_says_no_changes_nothing_and_is_told() {
        let stage = Stage::new(&["bob"]);
        assert_eq!(stage.told(1), ["bob 0"]);
        let other = stage.store();
        other
            .connection
            .execute_batch("CREATE TRIGGER full BEFORE INSERT ON user_setting BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
            .unwrap();
        stage.errands.send((ticket(1), waiting("bob", 3))).unwrap();
        assert_eq!(stage.told(1), ["1 Err(Failed)"]);
        assert_eq!(
            other.user("bob@example.com").unwrap().unwrap().standing,
            None
        );
        other.connection.execute_batch("DROP TRIGGER full").unwrap();
        stage.errands.send((ticket(2), waiting("bob", 4))).unwrap();
        assert_eq!(stage.told(2), ["bob 4", "2 Ok(())"]);
        stage.keeper.finish();
    }
}
