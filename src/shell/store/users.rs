//! The users in `muster.db`, and the journal of what changed about them.
//!
//! A credential is kept only as what an enabled scheme needs, never as a password. Each change of a user and its
//! line in the journal are one transaction, so a server that follows the journal misses nothing.

use std::path::PathBuf;

use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::standing::{self, Statements, Unreadable};
use super::{DataDir, StoreError, exists, open_database, probe_database};
use crate::auth::{Ha1, Scheme};
use crate::shard::UserRecord;
use crate::sip::uri::Aor;

/// Schema version n to n + 1. Never change one that was released: add one.
const MIGRATIONS: [&str; 6] = [
    FIRST,
    standing::MIGRATION,
    NT_HASH,
    standing::REGISTRATION,
    standing::CATEGORIES,
    HA1_OF_ADDRESS,
];

/// Schema version 0 to 1.
pub(super) const FIRST: &str = "
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
";

/// Schema version 2 to 3. Who has a password from before has no such hash, and needs a new password for NTLM.
const NT_HASH: &str = "
    ALTER TABLE user ADD COLUMN nt_hash BLOB;    -- MD4(password in UTF-16LE), [MS-NLMP] section 3.3.1
";

/// Schema version 5 to 6. Who has a password from before has no such hash, and needs a new password for it.
const HA1_OF_ADDRESS: &str = "
    ALTER TABLE user ADD COLUMN ha1_md5_address BLOB;       -- MD5(user@domain:domain:password), for clients that write the whole address
    ALTER TABLE user ADD COLUMN ha1_sha256_address BLOB;    -- the same with SHA-256
";

/// Statements that are kept ready: a table of standing data has a handful.
const STATEMENTS_READY: usize = 64;

pub(super) const COLUMNS: &str =
    "aor, display_name, ha1_md5, ha1_sha256, nt_hash, ha1_md5_address, ha1_sha256_address";

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
                    "there is a user {aor} already; `muster user password {aor}` gives them a new password"
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
        connection.set_prepared_statement_cache_capacity(STATEMENTS_READY);
        Ok(Store { connection, path })
    }

    /// Opens `muster.db` where it is there already: a question makes no files.
    pub fn existing(data_dir: &DataDir) -> Result<Option<Store>, StoreError> {
        match exists(&data_dir.muster_db())? {
            true => Store::open(data_dir).map(Some),
            false => Ok(None),
        }
    }

    /// Whether it could be opened, or made, found out without leaving anything behind.
    pub fn probe(data_dir: &DataDir) -> Result<(), StoreError> {
        probe_database(&data_dir.muster_db(), &MIGRATIONS)
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

    /// Gives a user the credentials of `user`, and leaves all else as it is; false where there is none of that name.
    pub fn set_credentials(&mut self, user: &UserRecord) -> Result<bool, StoreError> {
        let [md5, sha256, nt_hash, md5_address, sha256_address] = credentials(user);
        self.change(&user.aor, |transaction| {
            transaction.execute(
                "UPDATE user SET ha1_md5 = ?2, ha1_sha256 = ?3, nt_hash = ?4, ha1_md5_address = ?5, ha1_sha256_address = ?6
                 WHERE aor = ?1",
                params![user.aor.as_str(), md5, sha256, nt_hash, md5_address, sha256_address],
            )
        })
    }

    /// Removes a user; false where there is none.
    pub fn remove(&mut self, aor: &Aor) -> Result<bool, StoreError> {
        self.change(aor, |transaction| {
            let gone = transaction.execute("DELETE FROM user WHERE aor = ?1", [aor.as_str()])?;
            if gone > 0 {
                standing::forget(transaction, aor)?;
            }
            Ok(gone)
        })
    }

    /// Does `change`, which says how many rows of the user's it met, and writes the journal where it met one: all of it or nothing,
    /// synced to the disk. False where there is no such user.
    fn change(
        &mut self,
        aor: &Aor,
        change: impl FnOnce(&Connection) -> rusqlite::Result<usize>,
    ) -> Result<bool, StoreError> {
        let all = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let met = change(&transaction)?;
            if met > 0 {
                journal(&transaction, aor)?;
            }
            transaction.commit()?;
            Ok(met > 0)
        };
        all(&mut self.connection).map_err(|error| StoreError::Sql {
            path: self.path.clone(),
            error,
        })
    }

    /// The user `aor`.
    pub fn user(&self, aor: &str) -> Result<Option<UserRecord>, StoreError> {
        standing::user_in(&self.connection, aor).map_err(|unreadable| unreadable.at(&self.path))
    }

    /// Every user, by name, with all that is kept of them: one pass over all tables at once. A million takes a few seconds.
    pub fn users(&self, mut each: impl FnMut(UserRecord)) -> Result<(), StoreError> {
        let mut read = || -> Result<(), Unreadable> {
            let mut statement = self
                .connection
                .prepare(&format!("SELECT {COLUMNS} FROM user ORDER BY aor"))?;
            let mut statements = Statements::of_all(&self.connection)?;
            let mut cursors = statements.cursors([])?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let mut user = record(row)?;
                user.standing = cursors.standing_of(&user.aor)?.shared();
                each(user);
            }
            Ok(())
        };
        read().map_err(|unreadable| unreadable.at(&self.path))
    }

    /// How many users there are.
    pub fn count(&self) -> Result<u64, StoreError> {
        let count = self
            .connection
            .query_row("SELECT count(*) FROM user", [], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(count.map_err(|error| self.sql(error))?).unwrap_or(0))
    }

    /// How many changes a running server has not told its shards yet. Where none runs they stay.
    pub fn journal_lines(&self) -> Result<u64, StoreError> {
        let count = self
            .connection
            .query_row("SELECT count(*) FROM change", [], |row| {
                row.get::<_, i64>(0)
            });
        Ok(u64::try_from(count.map_err(|error| self.sql(error))?).unwrap_or(0))
    }

    /// Forgets what no scheme of `schemes` needs, for users who keep another way in. Returns how many users had
    /// something to forget, and how many now have no way in at all and need a new password.
    pub fn keep_only(&mut self, schemes: &[Scheme]) -> Result<(u64, u64), StoreError> {
        let (mut used, mut unused) = (Vec::new(), Vec::new());
        for scheme in Scheme::ALL {
            let list = if schemes.contains(&scheme) {
                &mut used
            } else {
                &mut unused
            };
            let columns: &[&str] = match scheme {
                Scheme::DigestSha256 => &["ha1_sha256", "ha1_sha256_address"],
                Scheme::DigestMd5 => &["ha1_md5", "ha1_md5_address"],
                Scheme::Ntlm => &["nt_hash"],
            };
            list.extend(columns);
        }
        let any = |columns: &[&str]| format!("coalesce({}, NULL) IS NOT NULL", columns.join(", "));
        let mut forgotten = 0;
        if !unused.is_empty() {
            let wiped: Vec<_> = unused
                .iter()
                .map(|column| format!("{column} = NULL"))
                .collect();
            let statement = format!(
                "UPDATE user SET {} WHERE {} AND {}",
                wiped.join(", "),
                any(&unused),
                any(&used)
            );
            forgotten = self
                .connection
                .execute(&statement, [])
                .map_err(|error| self.sql(error))?;
        }
        let locked_out = self
            .connection
            .query_row(
                &format!("SELECT count(*) FROM user WHERE NOT {}", any(&used)),
                [],
                |row| row.get::<_, i64>(0),
            )
            .map_err(|error| self.sql(error))?;
        Ok((forgotten as u64, u64::try_from(locked_out).unwrap_or(0)))
    }
}

/// A user without standing data from a row of [`COLUMNS`].
pub(super) fn record(row: &Row<'_>) -> Result<UserRecord, Unreadable> {
    let aor = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(UserRecord {
        aor: Aor::parse(aor)
            .ok_or_else(|| Unreadable::Strange(format!("user {aor:?} is no address of record")))?,
        display_name: row
            .get_ref(1)?
            .as_str()
            .map_err(rusqlite::Error::from)?
            .into(),
        ha1_md5: ha1(row.get(2)?, row.get(5)?),
        ha1_sha256: ha1(row.get(3)?, row.get(6)?),
        nt_hash: row.get(4)?,
        standing: None,
    })
}

fn ha1<const N: usize>(name: Option<[u8; N]>, address: Option<[u8; N]>) -> Option<Ha1<N>> {
    Some(Ha1 {
        name: name?,
        address,
    })
}

/// Writes a user and its line in the journal; false where there is one of that name.
pub(super) fn insert(connection: &Connection, user: &UserRecord) -> rusqlite::Result<bool> {
    let written = write(connection, "user", user)?;
    if written {
        journal(connection, &user.aor)?;
    }
    Ok(written)
}

/// Writes a user into a table that has [`COLUMNS`]; false where there is one of that name.
pub(super) fn write(
    connection: &Connection,
    table: &str,
    user: &UserRecord,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO {table}({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING"
    ))?;
    let [md5, sha256, nt_hash, md5_address, sha256_address] = credentials(user);
    let written = statement.execute(params![
        user.aor.as_str(),
        user.display_name,
        md5,
        sha256,
        nt_hash,
        md5_address,
        sha256_address
    ])?;
    Ok(written > 0)
}

/// What is kept of a password, in the order of [`COLUMNS`].
fn credentials(user: &UserRecord) -> [Option<&[u8]>; 5] {
    let (md5, sha256) = (user.ha1_md5.as_ref(), user.ha1_sha256.as_ref());
    [
        md5.map(|ha1| &ha1.name[..]),
        sha256.map(|ha1| &ha1.name[..]),
        user.nt_hash.as_ref().map(|hash| &hash[..]),
        md5.and_then(|ha1| Some(&ha1.address.as_ref()?[..])),
        sha256.and_then(|ha1| Some(&ha1.address.as_ref()?[..])),
    ]
}

/// Is there a user of that name?
pub(super) fn is_there(connection: &Connection, aor: &Aor) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM main.user WHERE aor = ?1")?
        .exists([aor.as_str()])
}

/// A line in the journal: something of this user changed.
pub(super) fn journal(connection: &Connection, aor: &Aor) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO change(aor) VALUES (?1)")?
        .execute([aor.as_str()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Admission;
    use super::*;

    fn kept(store: &Store, name: &str) -> [bool; 3] {
        let user = store.user(name).unwrap().expect("the user");
        [
            user.ha1_sha256.is_some(),
            user.ha1_md5.is_some(),
            user.nt_hash.is_some(),
        ]
    }

    #[test]
    fn a_new_password_leaves_all_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&DataDir::open(folder.path()).unwrap()).unwrap();
        let domains = ["example.com".into()];
        let admission = |schemes: &'static [Scheme]| Admission {
            domains: &domains,
            schemes,
        };
        let all = admission(&Scheme::ALL);
        let anna = all.user("anna@example.com", "Anna Berg", "old").unwrap();
        assert!(!store.set_credentials(&anna).unwrap());
        assert_eq!(
            (store.count().unwrap(), store.journal_lines().unwrap()),
            (0, 0)
        );
        store.add(&anna).unwrap();
        let add = |standing: &mut crate::shard::standing::Standing| {
            standing.waiting.new = 3;
            Ok::<_, String>(())
        };
        let (before, _) = store.edit(&anna.aor, add).unwrap();
        let lines = store.journal_lines().unwrap();
        let new = all.user("anna@example.com", "", "new").unwrap();
        assert!(store.set_credentials(&new).unwrap());
        assert_eq!(store.journal_lines().unwrap(), lines + 1);
        let after = store.user("anna@example.com").unwrap().unwrap();
        assert!(after.credentials() == new.credentials());
        assert_eq!(after.display_name, before.display_name);
        assert_eq!(after.standing, before.standing);
        // What no scheme needs any more is not left from the old one.
        let one = admission(&[Scheme::DigestSha256]);
        let newer = one.user("anna@example.com", "", "newer").unwrap();
        assert!(store.set_credentials(&newer).unwrap());
        assert_eq!(kept(&store, "anna@example.com"), [true, false, false]);
    }

    /// A database from before NTLM is brought up, its users stay, and what no scheme needs any more is forgotten.
    #[test]
    fn credentials_are_kept_as_the_schemes_need_them() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let old = open_database(&dir.muster_db(), &MIGRATIONS[..2]).unwrap();
        old.execute_batch(
            "INSERT INTO user VALUES ('old@example.com', '', x'00000000000000000000000000000000', NULL)",
        )
        .unwrap();
        drop(old);
        let mut store = Store::open(&dir).unwrap();
        let admission = Admission {
            domains: &["example.com".into()],
            schemes: &Scheme::ALL,
        };
        let new = admission.user("new@example.com", "", "secret").unwrap();
        store.add(&new).unwrap();
        assert_eq!(store.user("new@example.com").unwrap(), Some(new));
        assert_eq!(kept(&store, "old@example.com"), [false, true, false]);
        // What is of the whole address comes and goes with the other.
        let of_address = |store: &Store, name: &str| {
            let user = store.user(name).unwrap().expect("the user");
            user.ha1_md5.map(|ha1| ha1.address.is_some())
        };
        assert_eq!(of_address(&store, "old@example.com"), Some(false));
        assert_eq!(of_address(&store, "new@example.com"), Some(true));

        use Scheme::{DigestMd5, DigestSha256, Ntlm};
        assert_eq!(store.keep_only(&Scheme::ALL).unwrap(), (0, 0));
        assert_eq!(store.keep_only(&[Ntlm, DigestMd5]).unwrap(), (1, 0));
        assert_eq!(kept(&store, "new@example.com"), [false, true, true]);
        // Without the MD5 the old one would have nothing left: it is locked out, and keeps what it has.
        assert_eq!(store.keep_only(&[Ntlm, DigestSha256]).unwrap(), (1, 1));
        assert_eq!(kept(&store, "new@example.com"), [false, false, true]);
        let left: i64 = store
            .connection
            .query_row(
                "SELECT count(ha1_md5_address) + count(ha1_sha256_address) FROM user",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(left, 0);
        assert_eq!(kept(&store, "old@example.com"), [false, true, false]);
        assert_eq!(store.keep_only(&[DigestSha256]).unwrap(), (0, 2));
    }
}
