//! Call detail records: `cdr.db`, written by one plain thread in batches, read by `muster cdr`.
//!
//! What always holds: an event that was taken is written, in the order in which it was made, within a second; a batch
//! that SQLite refuses is tried again until it is in, and meanwhile the bounded queue presses back on the shards. A
//! batch is in the write-ahead log when it is committed, so `kill -9` of the process loses none of it. Message text
//! is never in it: the events have none.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::{Connection, params};

use crate::shard::cdr_event::{CdrEvent, SessionKind};
use crate::shell::store::{DataDir, StoreError, open_database};

/// How long the first event of a batch waits for others.
const BATCH: Duration = Duration::from_millis(200);
/// Events in a batch at most.
const BATCH_EVENTS_MAX: usize = 4096;
/// How long a batch that SQLite refused waits before it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The schema, a step a version. `participation` is the number that the session's owner gave a participant; people never
/// see it, but a leave must find its join.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE session (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, initiator TEXT NOT NULL, started_ms INTEGER NOT NULL,
        ended_ms INTEGER, end_reason TEXT, continues TEXT
    ) WITHOUT ROWID;
    CREATE TABLE participant (
        session_id TEXT NOT NULL, user TEXT NOT NULL, endpoint TEXT NOT NULL, joined_ms INTEGER NOT NULL,
        left_ms INTEGER, messages_sent INTEGER NOT NULL DEFAULT 0, leave_reason TEXT, participation INTEGER NOT NULL,
        PRIMARY KEY (session_id, participation)
    ) WITHOUT ROWID;
    CREATE INDEX session_started ON session (started_ms);
    CREATE INDEX session_open ON session (id) WHERE ended_ms IS NULL;
    CREATE INDEX participant_open ON participant (session_id) WHERE left_ms IS NULL;
    CREATE INDEX participant_user ON participant (user, joined_ms);
"];

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
}

impl Writer {
    /// Waits until all that was sent is written. Every sender must be gone, or this waits for ever.
    pub fn finish(self) {
        // A panic there has been reported already.
        let _ = self.thread.join();
    }
}

/// Opens `cdr.db`, closes what a killed server left open, and starts the thread. At most `events_max` events wait.
///
/// # Errors
/// Where the database can't be opened or written.
pub fn start(
    data_dir: &DataDir,
    events_max: usize,
) -> Result<(Sender<CdrEvent>, Writer), StoreError> {
    let path = data_dir.cdr_db();
    let mut connection = open_database(&path, &MIGRATIONS)?;
    let failed = |error| StoreError::Sql {
        path: path.clone(),
        error,
    };
    close_left_open(&mut connection).map_err(failed)?;
    let (sender, receiver) = bounded(events_max);
    let thread = thread::Builder::new()
        .name("cdr".into())
        .spawn(move || write(&mut connection, &receiver))
        .map_err(|error| StoreError::Io {
            path: data_dir.cdr_db(),
            error,
        })?;
    Ok((sender, Writer { thread }))
}

/// Sessions that were open when the last server died ended, as far as anybody knows, when they were last heard of: the
/// time that is recorded is that of this start.
fn close_left_open(connection: &mut Connection) -> rusqlite::Result<()> {
    const NOW_MS: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";
    let transaction = connection.transaction()?;
    transaction.execute(
        &format!(
            "UPDATE participant SET left_ms = max({NOW_MS}, joined_ms), leave_reason = 'server stopped' WHERE left_ms IS NULL"
        ),
        [],
    )?;
    transaction.execute(
        &format!("UPDATE session SET ended_ms = max({NOW_MS}, started_ms), end_reason = 'server stopped' WHERE ended_ms IS NULL"),
        [],
    )?;
    transaction.commit()
}

fn write(connection: &mut Connection, events: &Receiver<CdrEvent>) {
    let mut batch = Vec::new();
    while let Ok(first) = events.recv() {
        let deadline = Instant::now() + BATCH;
        batch.push(first);
        while batch.len() < BATCH_EVENTS_MAX {
            match events.recv_deadline(deadline) {
                Ok(event) => batch.push(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        let mut failing = false;
        while let Err(error) = write_batch(connection, &batch) {
            if !failing {
                failing = true;
                tracing::error!(
                    "call detail records wait, and are tried again: {error}; has the disk room?"
                );
            }
            thread::sleep(RETRY);
        }
        if failing {
            tracing::info!("call detail records are written again");
        }
        batch.clear();
    }
}

fn write_batch(connection: &mut Connection, batch: &[CdrEvent]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for event in batch {
        write_event(&transaction, event)?;
    }
    transaction.commit()
}

fn write_event(connection: &Connection, event: &CdrEvent) -> rusqlite::Result<()> {
    // OR IGNORE: a batch whose commit failed after the fact is written a second time.
    match event {
        CdrEvent::Started { session, kind, initiator, continues, at } => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO session (id, kind, initiator, started_ms, continues) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                session.to_string(),
                kind_name(*kind),
                initiator.as_str(),
                milliseconds(at.unix_ms()),
                continues.map(|session| session.to_string()),
            ])?,
        CdrEvent::Joined { session, participant, user, endpoint, at } => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO participant (session_id, participation, user, endpoint, joined_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![session.to_string(), participant, user.as_str(), endpoint, milliseconds(at.unix_ms())])?,
        CdrEvent::Left { session, participant, messages_sent, reason, at } => connection
            .prepare_cached(
                "UPDATE participant SET left_ms = ?3, messages_sent = ?4, leave_reason = ?5 WHERE session_id = ?1 AND participation = ?2",
            )?
            .execute(params![session.to_string(), participant, milliseconds(at.unix_ms()), messages_sent, reason])?,
        CdrEvent::Ended { session, reason, at } => connection
            .prepare_cached("UPDATE session SET ended_ms = ?2, end_reason = ?3 WHERE id = ?1")?
            .execute(params![session.to_string(), milliseconds(at.unix_ms()), reason])?,
    };
    Ok(())
}

fn kind_name(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Im => "im",
        SessionKind::Conference => "conference",
        SessionKind::Call => "call",
    }
}

fn milliseconds(unix_ms: u64) -> i64 {
    i64::try_from(unix_ms).unwrap_or(i64::MAX)
}

/// One participant of one session, as it is printed.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Row {
    /// The session.
    pub session: String,
    /// `im`, `conference` or `call`.
    pub kind: String,
    /// Who began it.
    pub initiator: String,
    /// When, in Unix milliseconds.
    pub started_ms: i64,
    /// When it ended; `None` while it goes on.
    pub ended_ms: Option<i64>,
    /// Why.
    pub end_reason: Option<String>,
    /// The two-party session that this conference continues.
    pub continues: Option<String>,
    /// Who took part.
    pub user: String,
    /// With which endpoint; may be empty.
    pub endpoint: String,
    /// From when.
    pub joined_ms: i64,
    /// Until when; `None` while they are in it.
    pub left_ms: Option<i64>,
    /// Messages of theirs that were delivered or accepted.
    pub messages_sent: i64,
    /// Why they left.
    pub leave_reason: Option<String>,
}

/// What is asked for: sessions that were still going on at `since_ms` or began later, and of these, where `user` is
/// given, those that the user took part in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Question {
    /// In Unix milliseconds.
    pub since_ms: Option<i64>,
    /// `user@domain`.
    pub user: Option<String>,
}

/// Hands each participant of the sessions in question to `each`, the oldest session first.
///
/// # Errors
/// Where the database can't be read.
pub fn read(
    data_dir: &DataDir,
    question: &Question,
    mut each: impl FnMut(Row),
) -> Result<(), StoreError> {
    let path: PathBuf = data_dir.cdr_db();
    if !Path::new(&path).exists() {
        return Ok(());
    }
    let connection = open_database(&path, &MIGRATIONS)?;
    let failed = |error| StoreError::Sql {
        path: path.clone(),
        error,
    };
    let mut statement = connection
        .prepare(
            "SELECT s.id, s.kind, s.initiator, s.started_ms, s.ended_ms, s.end_reason, s.continues,
                    p.user, p.endpoint, p.joined_ms, p.left_ms, p.messages_sent, p.leave_reason
             FROM session s JOIN participant p ON p.session_id = s.id
             WHERE (?1 IS NULL OR s.ended_ms IS NULL OR s.ended_ms >= ?1)
               AND (?2 IS NULL OR EXISTS (SELECT 1 FROM participant q WHERE q.session_id = s.id AND q.user = ?2))
             ORDER BY s.started_ms, s.id, p.participation",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map(params![question.since_ms, question.user], |row| {
            Ok(Row {
                session: row.get(0)?,
                kind: row.get(1)?,
                initiator: row.get(2)?,
                started_ms: row.get(3)?,
                ended_ms: row.get(4)?,
                end_reason: row.get(5)?,
                continues: row.get(6)?,
                user: row.get(7)?,
                endpoint: row.get(8)?,
                joined_ms: row.get(9)?,
                left_ms: row.get(10)?,
                messages_sent: row.get(11)?,
                leave_reason: row.get(12)?,
            })
        })
        .map_err(failed)?;
    for row in rows {
        each(row.map_err(failed)?);
    }
    Ok(())
}
