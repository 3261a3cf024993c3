//! Call detail records: who took part in which session, from when to when. Never what was said.
//!
//! The shards send events into a bounded channel; one plain thread writes them to `cdr.db` in batches, synced, so that an
//! event is on the disk within a second. When the disk says no it tries again and takes no more meanwhile: the channel
//! fills, the shards stop reading, and nothing is lost. Reading what was written is `report`.

mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::{Connection, TransactionBehavior, params};

use super::clock::Clock;
use super::store::{DataDir, StoreError, open_database, probe_database};
use crate::shard::cdr_event::{CdrEvent, SessionKind};
use crate::sip::time::Now;

pub use report::{Participant, Report, Session};

/// Events that may wait for the disk; past it the shards wait too. About 10 MB.
const QUEUE_EVENTS_MAX: usize = 65_536;
/// A batch is written when it has so many events,
const BATCH_EVENTS_MAX: usize = 1000;
/// or when its first one has waited so long: with the sync well within the promised second.
const BATCH_WAIT: Duration = Duration::from_millis(200);
/// How often the file is told that the server lives, so that a start after a crash knows when it ended.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Sessions that are forgotten at a time, between two batches: a quarter of what one begins, so that it keeps up.
const FORGOTTEN_MAX: u32 = 500;
/// How long to let the disk alone after it said no.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long a stopping server tries to write what is left, all of it together.
const LAST_TRIES: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });
/// How long one try waits for another program's write. There is always a next one.
const BUSY_MAX: Duration = Duration::from_secs(1);

/// What a session that was open when the server died ended of.
pub const SERVER_STOPPED: &str = "server stopped";

/// Schema version n to n + 1. Never change one that was released: add one.
pub(super) const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE session(
        id         TEXT PRIMARY KEY,
        kind       TEXT NOT NULL,           -- im, conference or call
        initiator  TEXT NOT NULL,           -- user@domain
        started_ms INTEGER NOT NULL,        -- Unix milliseconds, as all times here
        ended_ms   INTEGER,                 -- NULL: it goes on
        end_reason TEXT,
        continues  TEXT                     -- the two-party session that became this conference
    );
    CREATE INDEX session_started ON session(started_ms);
    CREATE INDEX session_open ON session(id) WHERE ended_ms IS NULL;
    CREATE TABLE participant(
        session_id    TEXT NOT NULL,
        user          TEXT NOT NULL,        -- user@domain
        endpoint      TEXT NOT NULL,        -- the instance id, or empty where it is not known
        joined_ms     INTEGER NOT NULL,
        left_ms       INTEGER,              -- NULL: still there
        messages_sent INTEGER,              -- known when they leave; NULL where the server died first
        leave_reason  TEXT,
        participation INTEGER NOT NULL      -- tells apart one user's several times in one session
    );
    CREATE UNIQUE INDEX participant_of ON participant(session_id, participation);
    CREATE INDEX participant_open ON participant(session_id) WHERE left_ms IS NULL;
    CREATE TABLE alive(at_ms INTEGER NOT NULL);
    INSERT INTO alive VALUES (0);
"];

/// The thread that writes. Its `events` go to the shards.
#[derive(Debug)]
pub struct CdrWriter {
    events: Sender<CdrEvent>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl CdrWriter {
    /// Opens `cdr.db`, closes what a server that died left open, and begins to write. What ended longer than `keep` ago is
    /// forgotten; `None`: nothing is. Only the server that holds `data_dir`'s lock may: what another one has open is not left
    /// over. Returns how many sessions were closed.
    pub fn start(
        data_dir: &DataDir,
        clock: Clock,
        keep: Option<Duration>,
    ) -> Result<(CdrWriter, u64), StoreError> {
        let mut file = CdrFile::open(data_dir)?;
        let closed = file.close_left_over()?;
        let (events, queue) = bounded(QUEUE_EVENTS_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::Builder::new()
            .name("cdr".into())
            .spawn(move || file.write_all(&queue, clock, keep, &stopping));
        let thread = thread.map_err(|error| StoreError::Io {
            path: data_dir.cdr_db(),
            error,
        })?;
        Ok((
            CdrWriter {
                events,
                stop,
                thread,
            },
            closed,
        ))
    }

    /// Whether `cdr.db` could be opened, or made, found out without leaving anything behind.
    pub fn probe(data_dir: &DataDir) -> Result<(), StoreError> {
        probe_database(&data_dir.cdr_db(), &MIGRATIONS)
    }

    /// Where events go.
    pub fn events(&self) -> Sender<CdrEvent> {
        self.events.clone()
    }

    /// Writes what is left and ends; returns how many events could not be written and are lost. Nothing must send events any more.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        // A panic there has been reported already.
        self.thread.join().unwrap_or(0)
    }
}

struct CdrFile {
    connection: Connection,
    path: PathBuf,
}

impl CdrFile {
    fn open(data_dir: &DataDir) -> Result<CdrFile, StoreError> {
        let path = data_dir.cdr_db();
        let connection = open_database(&path, &MIGRATIONS)?;
        match connection.busy_timeout(BUSY_MAX) {
            Ok(()) => Ok(CdrFile { connection, path }),
            Err(error) => Err(StoreError::Sql { path, error }),
        }
    }

    /// Ends what was open when the server died: at the last moment that it is known to have lived.
    fn close_left_over(&mut self) -> Result<u64, StoreError> {
        let close = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "UPDATE participant SET leave_reason = ?1,
                    left_ms = max(joined_ms, (SELECT at_ms FROM alive))
                 WHERE left_ms IS NULL",
                [SERVER_STOPPED],
            )?;
            let closed = transaction.execute(
                "UPDATE session SET end_reason = ?1,
                    ended_ms = max(started_ms, (SELECT at_ms FROM alive),
                        ifnull((SELECT max(left_ms) FROM participant WHERE session_id = session.id), 0))
                 WHERE ended_ms IS NULL",
                [SERVER_STOPPED],
            )?;
            transaction.commit()?;
            Ok(closed as u64)
        };
        close(&mut self.connection).map_err(|error| StoreError::Sql {
            path: self.path.clone(),
            error,
        })
    }

    /// The thread's life: until `stop` is set or nobody can send any more, and the queue is empty. Returns how many events are lost.
    fn write_all(
        &mut self,
        queue: &Receiver<CdrEvent>,
        clock: Clock,
        keep: Option<Duration>,
        stop: &AtomicBool,
    ) -> u64 {
        let mut batch = Vec::with_capacity(BATCH_EVENTS_MAX);
        let mut forgets = true;
        loop {
            let open = gather(queue, &mut batch, stop);
            if !self.write_surely(&batch, clock, stop) {
                // What it has no room for it has no room for a thousand at a time either.
                let lost = (batch.len() + queue.try_iter().count()) as u64;
                tracing::error!(
                    "{lost} call detail record events are lost: the server stops and cannot write them"
                );
                return lost;
            }
            batch.clear();
            if !open || (stop.load(Ordering::Relaxed) && queue.is_empty()) {
                return 0;
            }
            let Some(keep) = keep else {
                continue;
            };
            // What can't be forgotten now is forgotten later: that keeps nobody waiting.
            let forgotten = self.forget(ms(clock.now()) - millis(keep));
            if let (Err(error), true) = (&forgotten, forgets) {
                tracing::warn!(
                    "{}: old call detail records can't be deleted: {error}; it is tried again and again",
                    self.path.display()
                );
            }
            forgets = forgotten.is_ok();
        }
    }

    /// Writes a batch, however often it takes; only a server that stops gives up, and then it is false.
    fn write_surely(&mut self, batch: &[CdrEvent], clock: Clock, stop: &AtomicBool) -> bool {
        let mut failing_since: Option<Instant> = None;
        let mut stopping_since: Option<Instant> = None;
        loop {
            let Err(error) = self.write(batch, clock.now()) else {
                if let Some(since) = failing_since {
                    tracing::info!(
                        "call detail records are written again, after {} s, and all that waited for that",
                        since.elapsed().as_secs()
                    );
                }
                return true;
            };
            if failing_since.is_none() {
                tracing::error!(
                    "{}: {error}; call detail records wait, and new work will wait too: see that the disk has room and takes writes",
                    self.path.display()
                );
            }
            failing_since.get_or_insert_with(Instant::now);
            if stop.load(Ordering::Relaxed)
                && stopping_since.get_or_insert_with(Instant::now).elapsed() > LAST_TRIES
            {
                return false;
            }
            thread::sleep(RETRY_AFTER);
        }
    }

    /// Deletes sessions that ended before `before_ms`, the oldest first and at most [`FORGOTTEN_MAX`]; how many. The file stays as long
    /// as it is, and what comes has their room.
    fn forget(&mut self, before_ms: i64) -> rusqlite::Result<usize> {
        let mut old = self.connection.prepare_cached(
            "SELECT id FROM session WHERE started_ms < ?1 AND ended_ms < ?1 ORDER BY started_ms LIMIT ?2",
        )?;
        let ids: Vec<String> = old
            .query_map(params![before_ms, FORGOTTEN_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        drop(old);
        if ids.is_empty() {
            return Ok(0);
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for id in &ids {
            transaction
                .prepare_cached("DELETE FROM participant WHERE session_id = ?1")?
                .execute([id])?;
            transaction
                .prepare_cached("DELETE FROM session WHERE id = ?1")?
                .execute([id])?;
        }
        transaction.commit()?;
        Ok(ids.len())
    }

    fn write(&mut self, batch: &[CdrEvent], now: Now) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for event in batch {
            write_event(&transaction, event)?;
        }
        transaction
            .prepare_cached("UPDATE alive SET at_ms = ?1")?
            .execute([ms(now)])?;
        transaction.commit()
    }
}

/// Waits for events and gathers a batch; an empty one when it is only time to say that the server lives.
/// False when nobody can send any more.
fn gather(queue: &Receiver<CdrEvent>, batch: &mut Vec<CdrEvent>, stop: &AtomicBool) -> bool {
    let mut deadline = Instant::now() + ALIVE_EVERY;
    while batch.len() < BATCH_EVENTS_MAX {
        // In small steps, so that a stopping server need not wait for the next sign of life.
        let step = deadline.min(Instant::now() + BATCH_WAIT);
        match queue.recv_deadline(step) {
            Ok(event) => {
                if batch.is_empty() {
                    deadline = Instant::now() + BATCH_WAIT;
                }
                batch.push(event);
            }
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {
                if Instant::now() >= deadline || stop.load(Ordering::Relaxed) {
                    return true;
                }
            }
        }
    }
    true
}

fn write_event(connection: &Connection, event: &CdrEvent) -> rusqlite::Result<()> {
    match event {
        CdrEvent::Started { session, kind, initiator, continues, at } => connection
            .prepare_cached(
                "INSERT INTO session(id, kind, initiator, started_ms, continues) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                session.to_string(),
                match kind {
                    SessionKind::Im => "im",
                    SessionKind::Conference => "conference",
                    SessionKind::Call => "call",
                },
                initiator.as_str(),
                ms(*at),
                continues.map(|id| id.to_string()),
            ])?,
        CdrEvent::Joined { session, participant, user, endpoint, at } => connection
            .prepare_cached(
                "INSERT INTO participant(session_id, participation, user, endpoint, joined_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![session.to_string(), participant, user.as_str(), endpoint, ms(*at)])?,
        CdrEvent::Left { session, participant, messages_sent, reason, at } => connection
            .prepare_cached(
                "UPDATE participant SET left_ms = ?3, messages_sent = ?4, leave_reason = ?5
                 WHERE session_id = ?1 AND participation = ?2 AND left_ms IS NULL",
            )?
            .execute(params![session.to_string(), participant, ms(*at), messages_sent, reason])?,
        CdrEvent::OneMore { session, participant } => connection
            .prepare_cached(
                "UPDATE participant SET messages_sent = messages_sent + 1
                 WHERE session_id = ?1 AND participation = ?2 AND left_ms IS NOT NULL",
            )?
            .execute(params![session.to_string(), participant])?,
        CdrEvent::Ended { session, reason, at } => connection
            .prepare_cached("UPDATE session SET ended_ms = ?2, end_reason = ?3 WHERE id = ?1 AND ended_ms IS NULL")?
            .execute(params![session.to_string(), ms(*at), reason])?,
    };
    Ok(())
}

fn ms(now: Now) -> i64 {
    i64::try_from(now.unix_ms()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::immcu::SessionId;
    use crate::sip::uri::Aor;

    fn session(random: u64) -> SessionId {
        SessionId { group: 7, random }
    }

    fn aor(name: &str) -> Aor {
        Aor::parse(&format!("{name}@example.com")).unwrap()
    }

    fn at(second: u64) -> Now {
        Now(1_700_000_000_000_000 + second * 1_000_000)
    }

    fn started(id: u64, second: u64, continues: Option<u64>) -> CdrEvent {
        CdrEvent::Started {
            session: session(id),
            kind: if continues.is_some() {
                SessionKind::Conference
            } else {
                SessionKind::Im
            },
            initiator: aor("alice"),
            continues: continues.map(session),
            at: at(second),
        }
    }

    fn joined(id: u64, participant: u32, user: &str, second: u64) -> CdrEvent {
        CdrEvent::Joined {
            session: session(id),
            participant,
            user: aor(user),
            endpoint: "".into(),
            at: at(second),
        }
    }

    fn left(id: u64, participant: u32, second: u64) -> CdrEvent {
        CdrEvent::Left {
            session: session(id),
            participant,
            messages_sent: 3,
            reason: "left",
            at: at(second),
        }
    }

    fn ended(id: u64, second: u64) -> CdrEvent {
        CdrEvent::Ended {
            session: session(id),
            reason: "left",
            at: at(second),
        }
    }

    /// Everything in `cdr.db`, a line a row, seconds counted from the beginning of the test's time.
    fn written(dir: &DataDir) -> String {
        let mut text = String::new();
        let second = |ms: i64| (ms - 1_700_000_000_000) / 1000;
        Report::open(dir)
            .unwrap()
            .unwrap()
            .sessions(None, None, |session| {
                let Session {
                    kind,
                    initiator,
                    continues,
                    ..
                } = &session;
                let end = session.ended_ms.map(|ms| {
                    format!(
                        "{} {}",
                        second(ms),
                        session.end_reason.as_deref().unwrap_or("-")
                    )
                });
                let (begun, goes_on) = (second(session.started_ms), continues.is_some());
                text += &format!(
                    "{kind} of {initiator} from {begun} to {end:?}, continues {goes_on}\n"
                );
                for each in &session.participants {
                    let end = each.left_ms.map(|ms| {
                        format!(
                            "{} {}",
                            second(ms),
                            each.leave_reason.as_deref().unwrap_or("-")
                        )
                    });
                    text += &format!(
                        "  {} from {} to {end:?}, sent {:?}\n",
                        each.user,
                        second(each.joined_ms),
                        each.messages_sent
                    );
                }
                Ok::<(), StoreError>(())
            })
            .unwrap();
        text
    }

    #[test]
    fn what_ended_long_ago_is_forgotten_and_nothing_else() {
        const DAY: Duration = Duration::from_secs(86_400);
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut file = CdrFile::open(&dir).unwrap();
        let old = u64::from(FORGOTTEN_MAX) + 7;
        let mut batch = Vec::new();
        for id in 0..old {
            batch.extend([
                started(id, id, None),
                joined(id, 0, "alice", id),
                left(id, 0, id + 5),
                ended(id, id + 5),
            ]);
        }
        // One goes on since then, and one ends after the bound.
        batch.extend([started(old, 0, None), joined(old, 0, "bob", 0)]);
        batch.extend([started(old + 1, 1, None), ended(old + 1, 100_000)]);
        file.write(&batch, at(100_000)).unwrap();
        let bound = ms(at(100_000)) - millis(DAY);
        assert_eq!(file.forget(bound).unwrap(), FORGOTTEN_MAX as usize);
        assert_eq!(file.forget(bound).unwrap(), 7);
        assert_eq!(file.forget(bound).unwrap(), 0);
        assert_eq!(
            written(&dir),
            "im of alice@example.com from 0 to None, continues false\n  bob@example.com from 0 to None, sent None\n\
             im of alice@example.com from 1 to Some(\"100000 left\"), continues false\n"
        );
        let count = "SELECT count(*) FROM participant";
        let participants: u32 = (file.connection)
            .query_row(count, [], |row| row.get(0))
            .unwrap();
        assert_eq!(participants, 1);
    }

    #[test]
    fn a_server_that_keeps_a_day_forgets_while_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let clock = Clock::start();
        let day = Duration::from_secs(86_400);
        let (writer, _) = CdrWriter::start(&dir, clock, Some(day)).unwrap();
        let now = clock.now();
        for event in [
            started(1, 0, None),
            ended(1, 5),
            CdrEvent::Started {
                session: session(2),
                kind: SessionKind::Call,
                initiator: aor("bob"),
                continues: None,
                at: now,
            },
        ] {
            writer.events().send(event).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(60);
        while written(&dir).lines().count() != 1 || !written(&dir).starts_with("call of bob") {
            assert!(Instant::now() < until, "it keeps {}", written(&dir));
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(writer.finish(), 0);
    }

    #[test]
    fn a_pair_that_became_a_conference_is_two_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let (writer, closed) = CdrWriter::start(&dir, Clock::start(), None).unwrap();
        assert_eq!(closed, 0);
        for event in [
            started(1, 0, None),
            joined(1, 0, "alice", 0),
            joined(1, 1, "bob", 2),
            left(1, 0, 5),
            left(1, 1, 5),
            ended(1, 5),
            started(2, 5, Some(1)),
            joined(2, 0, "alice", 5),
            // Said again after a retry: changes nothing.
            joined(2, 0, "alice", 5),
            CdrEvent::OneMore {
                session: session(1),
                participant: 1,
            },
            // Not from somebody who is still there: their `Left` counts it.
            CdrEvent::OneMore {
                session: session(2),
                participant: 0,
            },
            left(2, 0, 9),
            ended(2, 9),
            ended(2, 11),
        ] {
            writer.events().send(event).unwrap();
        }
        writer.finish();
        assert_eq!(
            written(&dir),
            "im of alice@example.com from 0 to Some(\"5 left\"), continues false\n\
             \x20 alice@example.com from 0 to Some(\"5 left\"), sent Some(3)\n\
             \x20 bob@example.com from 2 to Some(\"5 left\"), sent Some(4)\n\
             conference of alice@example.com from 5 to Some(\"9 left\"), continues true\n\
             \x20 alice@example.com from 5 to Some(\"9 left\"), sent Some(3)\n"
        );
    }

    #[test]
    fn what_a_dead_server_left_open_is_closed_when_it_died() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut file = CdrFile::open(&dir).unwrap();
        let events = [
            started(1, 0, None),
            joined(1, 0, "alice", 0),
            joined(1, 1, "bob", 1),
            left(1, 1, 2),
        ];
        file.write(&events, at(60)).unwrap();
        drop(file);
        let (writer, closed) = CdrWriter::start(&dir, Clock::start(), None).unwrap();
        assert_eq!(closed, 1);
        writer.finish();
        assert_eq!(
            written(&dir),
            "im of alice@example.com from 0 to Some(\"60 server stopped\"), continues false\n\
             \x20 alice@example.com from 0 to Some(\"60 server stopped\"), sent None\n\
             \x20 bob@example.com from 1 to Some(\"2 left\"), sent Some(3)\n"
        );
    }

    #[test]
    fn an_event_is_in_the_file_within_a_second_and_others_may_look() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let (writer, _) = CdrWriter::start(&dir, Clock::start(), None).unwrap();
        writer.events().send(started(1, 0, None)).unwrap();
        let begun = Instant::now();
        while written(&dir).is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "not written after a second"
            );
            thread::sleep(Duration::from_millis(20));
        }
        writer.finish();
    }

    #[test]
    fn who_reads_on_slowly_keeps_no_log_of_writes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut file = CdrFile::open(&dir).unwrap();
        let events: Vec<CdrEvent> = (0..3).map(|id| started(id, 10 - id, None)).collect();
        file.write(&events, at(1)).unwrap();
        let mut began = Vec::new();
        let report = Report::open(&dir).unwrap().unwrap();
        let read = report.sessions(None, None, |session| {
            began.push(session.started_ms);
            file.write(&[ended(0, 20)], at(20)).unwrap();
            // All of the log goes into the database: nobody reads what was there before it.
            let busy = file
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
            assert_eq!(busy, Ok(0));
            Ok::<(), StoreError>(())
        });
        read.unwrap();
        assert_eq!(began.len(), 3);
        assert!(began.is_sorted(), "{began:?}");
    }

    #[test]
    fn a_disk_that_says_no_for_a_while_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut file = CdrFile::open(&dir).unwrap();
        // Another program that holds the write lock stands for a disk that is full: the write fails until it is gone.
        file.connection.busy_timeout(Duration::ZERO).unwrap();
        let other = Connection::open(dir.cdr_db()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let writing = thread::spawn(move || {
            let events = [started(1, 0, None), ended(1, 1)];
            file.write_surely(&events, Clock::start(), &AtomicBool::new(false))
        });
        thread::sleep(Duration::from_millis(50));
        assert!(!writing.is_finished());
        other.execute_batch("ROLLBACK").unwrap();
        assert!(writing.join().unwrap());
        assert!(written(&dir).starts_with("im of alice"));
    }

    #[test]
    fn a_stop_with_a_disk_that_says_no_ends_in_time_and_says_what_is_lost() {
        const EVENTS: u64 = 5 * BATCH_EVENTS_MAX as u64;
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let (writer, _) = CdrWriter::start(&dir, Clock::start(), None).unwrap();
        let other = Connection::open(dir.cdr_db()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        for id in 0..EVENTS {
            writer.events().send(started(id, 0, None)).unwrap();
        }
        let begun = Instant::now();
        assert_eq!(writer.finish(), EVENTS);
        // One batch's time, not each batch's.
        let took = begun.elapsed();
        assert!(took < 3 * (LAST_TRIES + BUSY_MAX), "{took:?}");
    }
}
