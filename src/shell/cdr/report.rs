//! Call detail records read back, one session at a time, while a server may be writing more.

use rusqlite::{Connection, OpenFlags, Row, params};

use super::MIGRATIONS;
use crate::shell::store::{DataDir, StoreError, connect, exists, open_database};
use crate::sip::uri::Aor;

/// A row of `session`, with its participants. Times are Unix milliseconds.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// `im`, `conference` or `call`.
    pub kind: String,
    /// Who began it.
    pub initiator: String,
    /// When it began.
    pub started_ms: i64,
    /// When it ended; `None`: it goes on.
    pub ended_ms: Option<i64>,
    /// A few words.
    pub end_reason: Option<String>,
    /// The two-party session that this conference continues.
    pub continues: Option<String>,
    /// In the order in which they joined.
    pub participants: Vec<Participant>,
}

/// A row of `participant`.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Participant {
    /// Who.
    pub user: String,
    /// The endpoint's instance id; empty where it is not known.
    pub endpoint: String,
    /// When they came.
    pub joined_ms: i64,
    /// When they left; `None`: still there.
    pub left_ms: Option<i64>,
    /// Messages of theirs that arrived; `None` while they are there, or where the server died first.
    pub messages_sent: Option<i64>,
    /// A few words.
    pub leave_reason: Option<String>,
}

/// An open `cdr.db`.
#[derive(Debug)]
pub struct Report {
    connection: Connection,
    data_dir: DataDir,
}

impl Report {
    /// Opens what is there; `None` where no server has written anything yet.
    pub fn open(data_dir: &DataDir) -> Result<Option<Report>, StoreError> {
        let path = data_dir.cdr_db();
        if !exists(&path)? {
            return Ok(None);
        }
        // Brings an older schema up to date, then reads only.
        drop(open_database(&path, &MIGRATIONS)?);
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Some(Report {
            connection,
            data_dir: data_dir.clone(),
        }))
    }

    /// The sessions that went on at `since_ms` or later, that `user` began or took part in, in the order in which they began.
    pub fn sessions<E: From<StoreError>>(
        &self,
        since_ms: Option<i64>,
        user: Option<&Aor>,
        mut each: impl FnMut(Session) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error| StoreError::Sql {
            path: self.data_dir.cdr_db(),
            error,
        };
        // Whose turn it is first, and then one after the other: who reads on for hours in a pager keeps no view of the database
        // open meanwhile, which would let the server's log of writes grow.
        let rows: Vec<i64> = self
            .connection
            .prepare(
                "SELECT rowid FROM session
                 WHERE (?1 IS NULL OR ended_ms IS NULL OR ended_ms >= ?1) AND (?2 IS NULL OR initiator = ?2 OR EXISTS
                     (SELECT 1 FROM participant WHERE session_id = session.id AND user = ?2))
                 ORDER BY started_ms, rowid",
            )
            .and_then(|mut sessions| {
                let rows = sessions.query_map(params![since_ms, user.map(Aor::as_str)], |row| row.get(0))?;
                rows.collect()
            })
            .map_err(failed)?;
        let mut sessions = self
            .connection
            .prepare(
                "SELECT id, kind, initiator, started_ms, ended_ms, end_reason, continues FROM session WHERE rowid = ?1",
            )
            .map_err(failed)?;
        let mut participants = self
            .connection
            .prepare(
                "SELECT user, endpoint, joined_ms, left_ms, messages_sent, leave_reason FROM participant
                 WHERE session_id = ?1 ORDER BY participation",
            )
            .map_err(failed)?;
        for row in rows {
            let mut session = sessions.query_row([row], session).map_err(failed)?;
            session.participants = participants
                .query_map([&session.id], participant)
                .and_then(Iterator::collect)
                .map_err(failed)?;
            each(session)?;
        }
        Ok(())
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        kind: row.get(1)?,
        initiator: row.get(2)?,
        started_ms: row.get(3)?,
        ended_ms: row.get(4)?,
        end_reason: row.get(5)?,
        continues: row.get(6)?,
        participants: Vec::new(),
    })
}

fn participant(row: &Row<'_>) -> rusqlite::Result<Participant> {
    Ok(Participant {
        user: row.get(0)?,
        endpoint: row.get(1)?,
        joined_ms: row.get(2)?,
        left_ms: row.get(3)?,
        messages_sent: row.get(4)?,
        leave_reason: row.get(5)?,
    })
}
