//! A file below `data_dir`, opened as what it is and never where a link leads.
//!
//! The folder is the server's user's, and root runs commands on it: whoever has that user must not choose which file of the host
//! root empties, makes or gives away. It is refused to everybody, so that it shows before root comes by.

use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::StoreError;

/// What SQLite keeps beside a database, by the ends of their names.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Opens the file at `path` as `options` say.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> Result<File, StoreError> {
    // A pipe that nobody else has open would keep us waiting.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, file)) => itself(path, &metadata).map(|()| file),
        Err(_) if path.is_symlink() => not_itself(path, "a link"),
        Err(error) => Err(StoreError::Io {
            path: path.to_path_buf(),
            error,
        }),
    }
}

/// The same, and whether this call has made the file: that alone may be given away.
pub(super) fn open_or_make(
    path: &Path,
    options: &mut OpenOptions,
) -> Result<(File, bool), StoreError> {
    match open(path, options.create_new(true)) {
        // Something is there.
        Err(StoreError::NotItself { .. }) => {}
        Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return Ok((made?, true)),
    }
    Ok((open(path, options.create_new(false))?, false))
}

/// Refuses what stands in the place of a file that SQLite has beside the database at `path`. It follows no symbolic link there
/// itself, but gives what it opens for root to the owner of the database, under whatever other names that has.
pub(super) fn look_beside(path: &Path) -> Result<(), StoreError> {
    for end in BESIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        let beside = Path::new(&name);
        if let Ok(metadata) = beside.symlink_metadata() {
            itself(beside, &metadata)?;
        }
    }
    Ok(())
}

/// Whether what is at `path` is a file, and has no other name.
fn itself(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    if metadata.is_symlink() {
        not_itself(path, "a link")
    } else if !metadata.is_file() {
        not_itself(path, "no regular file")
    } else if metadata.nlink() > 1 {
        not_itself(path, "a file that has other names too (hard links)")
    } else {
        Ok(())
    }
}

/// The error that says so.
pub(super) fn not_itself<T>(path: &Path, found: &'static str) -> Result<T, StoreError> {
    Err(StoreError::NotItself {
        path: path.to_path_buf(),
        found,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::time::SystemTime;

    use super::*;
    use crate::shell::cdr::{CdrWriter, Report};
    use crate::shell::clock::Clock;
    use crate::shell::store::{DataDir, Store};
    use crate::shell::telemetry::{Dump, Telemetry};

    /// A file of the host: what it says, whom it belongs to, who may read it.
    fn state(path: &Path) -> (Vec<u8>, u32, u32) {
        let metadata = path.metadata().unwrap();
        (
            std::fs::read(path).unwrap(),
            metadata.uid(),
            metadata.mode(),
        )
    }

    /// A `data_dir` of somebody else's, where only root can make one; else of ours.
    fn theirs() -> (tempfile::TempDir, DataDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::create_dir(&path).unwrap();
        let _ = std::os::unix::fs::chown(&path, Some(65_534), Some(65_533));
        let dir = DataDir::open(&path).unwrap();
        (folder, dir)
    }

    fn found<T: core::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
        match result {
            Err(StoreError::NotItself { found, .. }) => found,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn no_file_of_the_host_is_touched_through_a_link() {
        let (link, names) = ("a link", "a file that has other names too (hard links)");
        for (text, is_hard, expected) in [
            ("root:x:0:0", false, link),
            ("", false, link),
            ("root:x:0:0", true, names),
            ("", true, names),
        ] {
            let (folder, dir) = theirs();
            let victim = folder.path().join("passwd");
            std::fs::write(&victim, text).unwrap();
            let before = state(&victim);
            for name in ["lock", "muster.db", "cdr.db", "latency.hlog"] {
                let path = dir.path().join(name);
                match is_hard {
                    true => std::fs::hard_link(&victim, &path).unwrap(),
                    false => symlink(&victim, &path).unwrap(),
                }
            }
            assert_eq!(found(DataDir::probe(dir.path())), expected);
            assert_eq!(found(dir.lock()), expected);
            assert_eq!(found(Store::probe(&dir)), expected);
            assert_eq!(found(Store::open(&dir)), expected);
            assert_eq!(found(CdrWriter::probe(&dir)), expected);
            assert_eq!(found(Report::open(&dir)), expected);
            let now = SystemTime::now();
            let interval = Dump::start(now).next(Telemetry::new(), now);
            assert_eq!(found(dir.log_latencies(&interval)), expected);
            assert_eq!(state(&victim), before, "{text:?}, hard: {is_hard}");
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_makes_nothing_there() {
        let (folder, dir) = theirs();
        let nowhere = folder.path().join("job");
        for name in ["lock", "muster.db", "tls"] {
            symlink(&nowhere, dir.path().join(name)).unwrap();
        }
        assert_eq!(found(DataDir::probe(dir.path())), "a link");
        assert_eq!(found(dir.lock()), "a link");
        assert_eq!(found(Store::probe(&dir)), "a link");
        let said = Store::open(&dir).unwrap_err();
        assert_eq!(
            said.to_string(),
            format!(
                "{} is a link; put the file itself there, under this name alone",
                dir.muster_db().display()
            )
        );
        assert_eq!(found(dir.write_tls_pair("cert", "key")), "a link");
        std::fs::create_dir(&nowhere).unwrap();
        assert_eq!(found(dir.write_tls_pair("cert", "key")), "a link");
        assert!(nowhere.read_dir().unwrap().next().is_none());
    }

    #[test]
    fn what_stands_in_for_a_database_s_log_is_not_given_away() {
        for end in BESIDE {
            let (folder, dir) = theirs();
            drop(Store::open(&dir).unwrap());
            let victim = folder.path().join("passwd");
            std::fs::write(&victim, "").unwrap();
            let before = state(&victim);
            let beside = dir.path().join(format!("muster.db{end}"));
            std::fs::hard_link(&victim, &beside).unwrap();
            found(Store::open(&dir));
            assert_eq!(state(&victim), before, "{end}");
            std::fs::remove_file(&beside).unwrap();
            symlink(&victim, &beside).unwrap();
            assert_eq!(found(Store::open(&dir)), "a link");
            assert_eq!(state(&victim), before, "{end}");
        }
    }

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let (_folder, dir) = theirs();
        for name in ["lock", "muster.db"] {
            let made = Command::new("mkfifo").arg(dir.path().join(name)).status();
            assert!(made.unwrap().success());
        }
        assert_eq!(found(DataDir::probe(dir.path())), "no regular file");
        assert_eq!(found(dir.lock()), "no regular file");
        assert_eq!(found(Store::probe(&dir)), "no regular file");
        assert_eq!(found(Store::open(&dir)), "no regular file");
    }

    /// `/var/lib/muster` on another disk is the operator's business.
    #[test]
    fn the_folder_itself_may_stand_behind_a_link() {
        let (folder, dir) = theirs();
        let linked = folder.path().join("linked");
        symlink(dir.path(), &linked).unwrap();
        let dir = DataDir::open(&linked).unwrap();
        DataDir::probe(&linked).unwrap();
        let lock = dir.lock().unwrap();
        for _ in 0..2 {
            drop(Store::open(&dir).unwrap());
        }
        assert_eq!(
            CdrWriter::start(&dir, Clock::start(), None)
                .unwrap()
                .0
                .finish(),
            0
        );
        assert!(Report::open(&dir).unwrap().is_some());
        drop(lock);
    }

    #[test]
    fn a_database_that_others_could_read_is_closed_to_them() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, dir) = theirs();
        drop(Store::open(&dir).unwrap());
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(dir.muster_db(), open).unwrap();
        drop(Store::open(&dir).unwrap());
        let mode = dir.muster_db().metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
