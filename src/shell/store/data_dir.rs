//! The folder that everything is kept in, and who may serve from it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{StoreError, exists, kept_file};
use crate::shell::telemetry::Interval;

/// What SQLite writes at least.
const PAGE_BYTES: usize = 4096;

/// For its owner alone, and for all who may look into the folder.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// `data_dir`, which is there.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// Held by the one server that runs on a `data_dir`; the kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(
    #[expect(
        dead_code,
        reason = "held, not read: the lock lives as long as the file is open"
    )]
    File,
);

impl DataDir {
    /// Makes the folder (0700) where it is not there yet, and those above it. Made by root they belong to whoever has the nearest
    /// folder that was there: `muster user add` by root must not lock out the server, which runs as somebody else.
    pub fn open(path: &Path) -> Result<DataDir, StoreError> {
        let io = |error| StoreError::Io {
            path: path.to_path_buf(),
            error,
        };
        let (absent, there) = absent(path);
        let owner = there.metadata().map_err(io)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io)?;
        if rustix::process::geteuid().is_root() && owner.uid() != 0 {
            for folder in absent {
                // The folder, and nothing that the owner of the one around it has put in its place meanwhile.
                let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
                OpenOptions::new()
                    .read(true)
                    .custom_flags(flags)
                    .open(folder)
                    .and_then(|made| fchown(made, Some(owner.uid()), Some(owner.gid())))
                    .map_err(io)?;
            }
        }
        Ok(DataDir(path.to_path_buf()))
    }

    /// The folder where it is there already: a question makes none.
    pub fn existing(path: &Path) -> Result<Option<DataDir>, StoreError> {
        Ok(exists(path)?.then(|| DataDir(path.to_path_buf())))
    }

    /// Whether a server of this user could keep its files at `path` now, found out without leaving anything behind: a
    /// question of root must not make files that the server's user cannot open.
    /// What is answered need not be there.
    pub fn probe(path: &Path) -> Result<DataDir, StoreError> {
        let (_, folder) = absent(path);
        let probe = folder.join(format!(".muster-probe-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&probe);
        let tried = made.and_then(|()| {
            // A full disk has room for a folder, and none for a page of a database.
            let page = probe.join("page");
            let written = File::create_new(&page).and_then(|mut file| {
                file.write_all(&[0; PAGE_BYTES])?;
                file.sync_all()
            });
            let _ = std::fs::remove_file(&page);
            written.and(std::fs::remove_dir(&probe))
        });
        tried.map_err(|error| StoreError::Io {
            path: path.to_path_buf(),
            error,
        })?;
        let data_dir = DataDir(path.to_path_buf());
        data_dir.ask_lock()?;
        Ok(data_dir)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Users, and what else must outlive a restart.
    pub fn muster_db(&self) -> PathBuf {
        self.0.join("muster.db")
    }

    /// Call detail records.
    pub fn cdr_db(&self) -> PathBuf {
        self.0.join("cdr.db")
    }

    /// The generated certificate and its key, in this order.
    pub fn tls_pair(&self) -> (PathBuf, PathBuf) {
        DataDir::tls_pair_in(&self.0)
    }

    /// The same of a folder that need not be there.
    pub fn tls_pair_in(data_dir: &Path) -> (PathBuf, PathBuf) {
        let tls = data_dir.join("tls");
        (tls.join("cert.pem"), tls.join("key.pem"))
    }

    /// Writes the generated certificate and its key. A start that finds one of them alone makes both anew.
    pub fn write_tls_pair(&self, cert_pem: &str, key_pem: &str) -> Result<(), StoreError> {
        let (cert, key) = self.tls_pair();
        if let Some(folder) = cert.parent() {
            match std::fs::create_dir(folder) {
                Err(_) if folder.is_symlink() => return kept_file::not_itself(folder, "a link"),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    let path = cert.clone();
                    return Err(StoreError::Io { path, error });
                }
                _ => {}
            }
        }
        replace(&key, PRIVATE, key_pem)?;
        replace(&cert, PUBLIC, cert_pem)
    }

    /// Where SIGUSR1 appends the histograms.
    pub fn latency_log(&self) -> PathBuf {
        self.0.join("latency.hlog")
    }

    /// Appends a section to that file.
    pub fn log_latencies(&self, interval: &Interval) -> Result<(), StoreError> {
        let path = self.latency_log();
        let mut file = kept_file::open(&path, OpenOptions::new().create(true).append(true))?;
        interval
            .write_log(&mut file)
            .map_err(|error| StoreError::Io { path, error })
    }

    /// The demo users' passwords (0600), of the Standard Edition without a config.
    pub fn demo_users(&self) -> PathBuf {
        self.0.join("demo-users.txt")
    }

    /// Writes them.
    pub fn write_demo_users(&self, text: &str) -> Result<(), StoreError> {
        replace(&self.demo_users(), PRIVATE, text)
    }

    /// Takes the folder for this process; two servers on it would each believe that the open call records are theirs.
    pub fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.lock_file();
        let io = |error| StoreError::Io {
            path: path.clone(),
            error,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(PRIVATE);
        let mut file = kept_file::open(&path, options.truncate(false))?;
        self.is_free(file.try_lock(), &mut file)?;
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Lock(file))
    }

    /// Whether a server could take it now; nothing is written.
    fn ask_lock(&self) -> Result<(), StoreError> {
        match kept_file::open(&self.lock_file(), OpenOptions::new().read(true)) {
            Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            // For one's own alone a file must be open for writing, over NFS.
            Ok(mut file) => self.is_free(file.try_lock_shared(), &mut file),
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn is_free(&self, tried: Result<(), TryLockError>, file: &mut File) -> Result<(), StoreError> {
        match tried {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                Err(StoreError::Locked {
                    path: self.0.clone(),
                    pid,
                })
            }
            Err(TryLockError::Error(error)) => Err(StoreError::Io {
                path: self.lock_file(),
                error,
            }),
        }
    }
}

/// Puts a file of this mode in the place of what is at `path`: nobody reads half of it, and whoever may read the old one, or has it
/// open, has nothing of the new one.
fn replace(path: &Path, mode: u32, text: &str) -> Result<(), StoreError> {
    let new = path.with_added_extension("new");
    let write = || {
        match std::fs::remove_file(&new) {
            // Of a start that was cut short.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|error| StoreError::Io {
        path: path.to_path_buf(),
        error,
    })
}

/// The folders on the way to `path` that are not there, the last first, and the nearest one that is.
fn absent(path: &Path) -> (Vec<&Path>, &Path) {
    let mut absent = Vec::new();
    for folder in path.ancestors() {
        if folder.exists() {
            return (absent, folder);
        }
        absent.push(folder);
    }
    // A relative path's last ancestor is empty, and means where we are.
    absent.pop();
    (absent, Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::store::Store;

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
        DataDir::probe(&folder.path().join("a/b")).unwrap();
        DataDir::probe(folder.path()).unwrap();
        assert!(empty());
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        DataDir::probe(&file).unwrap_err();
        DataDir::probe(&file.join("data")).unwrap_err();
        DataDir::probe(Path::new("/proc/muster")).unwrap_err();
        let dir = DataDir::open(&folder.path().join("dir")).unwrap();
        let lock = dir.lock().unwrap();
        assert!(matches!(
            DataDir::probe(dir.path()),
            Err(StoreError::Locked { .. })
        ));
        drop(lock);
        std::fs::write(dir.lock_file(), "4711\n").unwrap();
        DataDir::probe(dir.path()).unwrap();
        let left = std::fs::read_to_string(dir.lock_file()).unwrap();
        assert_eq!(left, "4711\n", "a question writes nothing");
    }

    /// Only root can make what is somebody else's.
    #[test]
    fn what_root_makes_is_the_servers() {
        let folder = tempfile::tempdir().unwrap();
        let (nobody, nogroup) = (65_534, 65_533);
        let is_root = std::os::unix::fs::chown(folder.path(), Some(nobody), Some(nogroup)).is_ok();
        let path = folder.path().join("lib/muster");
        let dir = DataDir::open(&path).unwrap();
        drop(Store::open(&dir).unwrap());
        for made in [&folder.path().join("lib"), &path, &dir.muster_db()] {
            let made = made.metadata().unwrap();
            let ours = folder.path().metadata().unwrap();
            assert_eq!((made.uid(), made.gid()), (ours.uid(), ours.gid()));
            assert_eq!(made.uid() == nobody, is_root);
        }
        // What was there is left as it is.
        std::fs::create_dir(folder.path().join("own")).unwrap();
        let own = folder.path().join("own").metadata().unwrap().uid();
        let dir = DataDir::open(&folder.path().join("own/data")).unwrap();
        assert_eq!(dir.path().metadata().unwrap().uid(), own);
    }

    #[test]
    fn two_servers_never_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&folder.path().join("a/b")).unwrap();
        let first = dir.lock().unwrap();
        let second = dir.lock().unwrap_err();
        assert!(
            matches!(second, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id())
        );
        drop(first);
        dir.lock().unwrap();
    }
}
