//! The users in `muster.db`, and the journal of what changed about them.
//!
//! A credential is kept only as what an enabled scheme needs, never as a password. Each change of a user and its
//! line in the journal are one transaction, so a server that follows the journal misses nothing.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::{DataDir, StoreError, open_database};
use crate::auth::Algorithm;
use crate::shard::UserRecord;
use crate::sip::uri::Aor;

/// Schema version n to n + 1. Never change one that was released: add one.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE user(
        aor          TEXT PRIMARY KEY,        -- user@domain, canonical
        display_name TEXT NOT NULL,           -- empty: none
        ha1_md5      BLOB,                    -- MD5(user:domain:password), RFC 7616 section 3.4.2
        ha1_sha256   BLOB                     -- the same with SHA-256
    ) WITHOUT ROWID;
    -- AUTOINCREMENT: an id is never used again, not even after the journal was emptied.
    CREATE TABLE change(
        id  INTEGER PRIMARY KEY AUTOINCREMENT,
        aor TEXT NOT NULL
    );
"];

const COLUMNS: &str = "aor, display_name, ha1_md5, ha1_sha256";

/// An open `muster.db`.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
}

/// Why a user was not added.
#[derive(Debug)]
pub enum AddError {
    /// There is one of that name.
    Exists(Aor),
    /// The store failed.
    Store(StoreError),
}

impl core::fmt::Display for AddError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AddError::Exists(aor) => {
                write!(
                    f,
                    "there is a user {aor} already; to give them a new password, remove and add them"
                )
            }
            AddError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AddError {}

impl Store {
    /// Opens `muster.db`, made where it is not there yet.
    pub fn open(data_dir: &DataDir) -> Result<Store, StoreError> {
        let path = data_dir.muster_db();
        let connection = open_database(&path, &MIGRATIONS)?;
        Ok(Store { connection, path })
    }

    pub(super) fn sql(&self, error: rusqlite::Error) -> StoreError {
        StoreError::Sql {
            path: self.path.clone(),
            error,
        }
    }

    /// Adds a user who must not be there yet.
    pub fn add(&mut self, user: &UserRecord) -> Result<(), AddError> {
        let path = self.path.clone();
        let failed = |error| {
            AddError::Store(StoreError::Sql {
                path: path.clone(),
                error,
            })
        };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        match insert(&transaction, user) {
            Ok(true) => transaction.commit().map_err(failed),
            Ok(false) => Err(AddError::Exists(user.aor.clone())),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes a user; false where there is none.
    pub fn remove(&mut self, aor: &Aor) -> Result<bool, StoreError> {
        let path = self.path.clone();
        let failed = |error| StoreError::Sql {
            path: path.clone(),
            error,
        };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let gone = transaction
            .execute("DELETE FROM user WHERE aor = ?1", [aor.as_str()])
            .map_err(failed)?;
        if gone > 0 {
            journal(&transaction, aor).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(gone > 0)
    }

    /// The user `aor`.
    pub fn user(&self, aor: &str) -> Result<Option<UserRecord>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM user WHERE aor = ?1"))
            .map_err(|error| self.sql(error))?;
        let row = statement
            .query_row([aor], |row| Ok(self.user_in(row)))
            .optional();
        row.map_err(|error| self.sql(error))?.transpose()
    }

    /// Every user, by name. A million takes about a second.
    pub fn users(&self, mut each: impl FnMut(UserRecord)) -> Result<(), StoreError> {
        let failed = |error| self.sql(error);
        let mut statement = self
            .connection
            .prepare(&format!("SELECT {COLUMNS} FROM user ORDER BY aor"))
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            each(self.user_in(row)?);
        }
        Ok(())
    }

    /// How many users there are.
    pub fn count(&self) -> Result<u64, StoreError> {
        let count = self
            .connection
            .query_row("SELECT count(*) FROM user", [], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(count.map_err(|error| self.sql(error))?).unwrap_or(0))
    }

    /// Forgets what no scheme of `schemes` needs, for users who keep another way in. Returns how many users had
    /// something to forget, and how many now have no way in at all and need a new password.
    pub fn keep_only(&mut self, schemes: &[Algorithm]) -> Result<(u64, u64), StoreError> {
        let (used, unused) = match (
            schemes.contains(&Algorithm::Md5),
            schemes.contains(&Algorithm::Sha256),
        ) {
            (true, false) => ("ha1_md5", "ha1_sha256"),
            (false, true) => ("ha1_sha256", "ha1_md5"),
            _ => return Ok((0, 0)),
        };
        let statement = format!(
            "UPDATE user SET {unused} = NULL WHERE {unused} IS NOT NULL AND {used} IS NOT NULL"
        );
        let forgotten = self
            .connection
            .execute(&statement, [])
            .map_err(|error| self.sql(error))?;
        let locked_out = self
            .connection
            .query_row(
                &format!("SELECT count(*) FROM user WHERE {used} IS NULL"),
                [],
                |row| row.get::<_, i64>(0),
            )
            .map_err(|error| self.sql(error))?;
        Ok((forgotten as u64, u64::try_from(locked_out).unwrap_or(0)))
    }

    fn user_in(&self, row: &Row<'_>) -> Result<UserRecord, StoreError> {
        let read = || -> rusqlite::Result<(Option<Aor>, UserRecordParts)> {
            let aor = row.get_ref(0)?.as_str()?;
            Ok((
                Aor::parse(aor),
                (row.get_ref(1)?.as_str()?.into(), row.get(2)?, row.get(3)?),
            ))
        };
        match read() {
            Ok((Some(aor), (display_name, ha1_md5, ha1_sha256))) => Ok(UserRecord {
                aor,
                display_name,
                ha1_md5,
                ha1_sha256,
                standing: None,
            }),
            Ok((None, _)) => Err(StoreError::Strange {
                path: self.path.clone(),
                what: format!(
                    "user {:?} is no address of record",
                    row.get_ref(0)
                        .ok()
                        .and_then(|v| v.as_str().ok())
                        .unwrap_or("")
                ),
            }),
            Err(error) => Err(self.sql(error)),
        }
    }
}

type UserRecordParts = (Box<str>, Option<[u8; 16]>, Option<[u8; 32]>);

/// Writes a user and its line in the journal; false where there is one of that name.
pub(super) fn insert(connection: &Connection, user: &UserRecord) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO user(aor, display_name, ha1_md5, ha1_sha256) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    let written = statement.execute(params![
        user.aor.as_str(),
        user.display_name,
        user.ha1_md5.as_ref().map(|hash| &hash[..]),
        user.ha1_sha256.as_ref().map(|hash| &hash[..])
    ])?;
    if written == 0 {
        return Ok(false);
    }
    journal(connection, &user.aor)?;
    Ok(true)
}

fn journal(connection: &Connection, aor: &Aor) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO change(aor) VALUES (?1)")?
        .execute([aor.as_str()])?;
    Ok(())
}
