//! What outlives the process: `muster.db` and `cdr.db` below one `data_dir`, both SQLite in WAL mode, both 0600.
//!
//! Several programs may have them open at once: one server (it holds `lock`), and any number of `muster user` and
//! `muster cdr`. SQLite settles who writes; `follow` is how the server notices what the others wrote.
//! No executor ever calls anything here: SQLite blocks, so it lives on plain threads.

mod data_dir;
mod follow;
mod import;
mod keeper;
mod kept_file;
mod new_user;
mod standing;
mod users;

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use data_dir::{DataDir, Lock};
pub use follow::Follower;
pub use import::{ImportError, Imported, import};
pub use keeper::{Errand, Keeper, Told};
pub use new_user::Admission;
pub use standing::EditError;
pub use users::{AddError, Store};

/// How long one program waits for another's write: a big import holds the lock for as long as its commit takes.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// Why what is kept cannot be reached.
#[derive(Debug)]
pub enum StoreError {
    /// The file system said no.
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: std::io::Error,
    },
    /// SQLite said no.
    Sql {
        /// Which database.
        path: PathBuf,
        /// What.
        error: rusqlite::Error,
    },
    /// A newer Muster wrote it.
    TooNew {
        /// Which database.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A server runs on it.
    Locked {
        /// The `data_dir`.
        path: PathBuf,
        /// The process id that the lock names, where it can be read.
        pid: Option<u32>,
    },
    /// What is there is not the file itself: it is left alone.
    NotItself {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A row that this program cannot have written.
    Strange {
        /// Which database.
        path: PathBuf,
        /// What is strange.
        what: String,
    },
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StoreError::Io { path, error } => {
                write!(
                    f,
                    "{}: {error}; check that it exists, that this user may write there, and that the disk has room",
                    path.display()
                )
            }
            StoreError::Sql { path, error } => {
                write!(
                    f,
                    "{}: {error}; check that it is a Muster database, that this user may write to it and to its folder, and that the disk has room",
                    path.display()
                )
            }
            StoreError::TooNew { path, found, known } => {
                write!(
                    f,
                    "{}: its schema is version {found}, and this program knows {known}; run the newer Muster that wrote it",
                    path.display()
                )
            }
            StoreError::Locked { path, pid } => {
                write!(f, "{}: another server", path.display())?;
                if let Some(pid) = pid {
                    write!(f, " (process {pid})")?;
                }
                write!(
                    f,
                    " runs on this data_dir; stop it first, or give this one a data_dir of its own"
                )
            }
            StoreError::NotItself { path, found } => {
                write!(
                    f,
                    "{} is {found}; put the file itself there, under this name alone",
                    path.display()
                )
            }
            StoreError::Strange { path, what } => {
                write!(
                    f,
                    "{}: {what}; it was written by something else than Muster",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for StoreError {}

/// Whether there is something at `path`. Who may not look does not know, and is not told that there is nothing.
pub(in crate::shell) fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|error| StoreError::Io {
        path: path.to_path_buf(),
        error,
    })
}

/// Opens a database of this program at `path`, made with mode 0600 where it is not there yet, and brings its
/// schema to the newest version: `migrations[n]` leads from version n to n + 1.
pub(in crate::shell) fn open_database(
    path: &Path,
    migrations: &[&str],
) -> Result<Connection, StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let io = |error| StoreError::Io {
        path: path.to_path_buf(),
        error,
    };
    let sql = |error| StoreError::Sql {
        path: path.to_path_buf(),
        error,
    };
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    let (file, made) = kept_file::open_or_make(path, &mut options)?;
    // SQLite gives its -wal and -shm files the mode and the owner of the database, so this covers all three.
    let mode = file.metadata().map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(io)?;
    }
    if made && let Some((uid, gid)) = owner_to_be(path, &file) {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(io)?;
    }
    drop(file);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_MAX).map_err(sql)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(sql)?;
    // FULL: what was said to be done is on the disk, not only in the kernel. Batches make it cheap.
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(sql)?;
    migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

/// A connection to the database at `path`, which is there.
pub(in crate::shell) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    kept_file::look_beside(path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    let mut itself = folder.map_err(|error| StoreError::Io {
        path: path.to_path_buf(),
        error,
    })?;
    itself.extend(path.file_name());
    // SQLite refuses a link anywhere on the way then: `data_dir` may stand behind one, and no more does the path from here on.
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(itself, access | flags).map_err(|error| StoreError::Sql {
        path: path.to_path_buf(),
        error,
    })
}

/// Whether [`open_database`] could open what is at `path`, found out without opening it as a database: that would make files.
///
/// # Errors
/// Where it can't be read and written, is no database, or a newer program's.
pub(in crate::shell) fn probe_database(path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let io = |error| StoreError::Io {
        path: path.to_path_buf(),
        error,
    };
    let file = match kept_file::open(path, OpenOptions::new().read(true).append(true)) {
        Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    kept_file::look_beside(path)?;
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header).map_err(io)?;
    if header.is_empty() {
        return Ok(());
    }
    // The file format's magic string, and the user version at 60, big-endian (https://sqlite.org/fileformat.html §1.3).
    let magic = header.starts_with(b"SQLite format 3\0");
    let version = header.get(60..64).and_then(|bytes| bytes.try_into().ok());
    let Some(version) = version.filter(|_| magic).map(i32::from_be_bytes) else {
        return Err(StoreError::Strange {
            path: path.to_path_buf(),
            what: "this is no SQLite database".into(),
        });
    };
    let (found, known) = (i64::from(version), migrations.len() as i64);
    if found > known || found < 0 {
        let path = path.to_path_buf();
        return Err(StoreError::TooNew { path, found, known });
    }
    Ok(())
}

/// Who ought to own a database that root has just made: the owner of its folder. `muster user add` by root must not
/// lock out the server, which runs as somebody else.
fn owner_to_be(path: &Path, file: &File) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let (file, folder) = (file.metadata().ok()?, path.parent()?.metadata().ok()?);
    (file.uid() == 0 && folder.uid() != 0).then(|| (folder.uid(), folder.gid()))
}

fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let sql = |error| StoreError::Sql {
        path: path.to_path_buf(),
        error,
    };
    let version =
        |c: &Connection| c.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let known = migrations.len() as i64;
    if version(connection).map_err(sql)? == known {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(sql)?;
    // Asked again under the lock: another program may have just done it.
    let found = version(&transaction).map_err(sql)?;
    if found > known || found < 0 {
        return Err(StoreError::TooNew {
            path: path.to_path_buf(),
            found,
            known,
        });
    }
    for step in migrations.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(sql)?;
    }
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(sql)?;
    transaction.commit().map_err(sql)
}
