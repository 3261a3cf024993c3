//! How a running server notices what `muster user` did: SQLite tells cheaply whether another program wrote
//! (`PRAGMA data_version`), the journal tells about whom.

use core::time::Duration;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::standing::{Fault, Unreadable, edit_in};
use super::{Store, StoreError};
use crate::shard::UserRecord;
use crate::shard::change::{Change, NotKept};
use crate::shard::standing::{Refused, Standing};
use crate::shell::run::UserChange;
use crate::sip::uri::Aor;

/// Changes read at once: bounds the memory a big import costs the server.
const CHANGES_AT_ONCE: i64 = 4096;

/// So few new lines of the journal do not wait for the rest of a big import: who was removed is out within a second.
const FRESH_MAX: i64 = 256;

/// How long a batch of changes waits for another program's write. Less than half of what a request waits for its answer.
pub(super) const KEEP_BUSY_MAX: Duration = Duration::from_secs(15);

/// Reads the journal as it grows. One a server.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    /// The last line of the journal up to which all were told.
    position: i64,
    /// The last line that was there when the journal was last looked at.
    newest: i64,
    /// SQLite's number for what was last looked at.
    data_version: i64,
    /// Lines up to here were told, and are still in the journal.
    unpruned: bool,
}

impl Follower {
    /// Hands over every user as of now, and follows from there. The journal so far is emptied: it is all in there.
    pub fn start(
        mut store: Store,
        mut each: impl FnMut(UserRecord),
    ) -> Result<Follower, StoreError> {
        let data_version = data_version(&store)?;
        // One read transaction: the users and the journal's end as of the same moment.
        begin(&mut store, "BEGIN")?;
        let position = store
            .connection
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'change'",
                [],
                |row| row.get::<_, i64>(0),
            )
            .optional()
            .map_err(|error| store.sql(error))?
            .unwrap_or(0);
        let loaded = store.users(&mut each);
        begin(&mut store, "COMMIT")?;
        loaded?;
        Ok(Follower {
            store,
            position,
            newest: position,
            data_version,
            unpruned: true,
        })
    }

    /// Tells some of what changed since the last time, each user as they are now; true where there is more, so that who asks may do
    /// something else in between. `tell` may wait: nothing is locked meanwhile.
    pub fn poll(&mut self, mut tell: impl FnMut(UserChange)) -> Result<bool, StoreError> {
        let data_version = data_version(&self.store)?;
        if data_version != self.data_version {
            if self.tell_some(&mut tell)? {
                return Ok(true);
            }
            self.data_version = data_version;
        }
        if self.unpruned {
            self.prune()?;
        }
        Ok(false)
    }

    /// Makes these changes in one transaction, synced to the disk: for each, in order, the user as they are then, where anything
    /// changed. Waits so long for another program's write. On an error none of them was made. They need no journal: who asks tells
    /// the shards.
    pub(super) fn keep<'c>(
        &mut self,
        changes: impl Iterator<Item = &'c Change>,
        patience: Duration,
    ) -> Result<Vec<Result<Option<UserRecord>, NotKept>>, StoreError> {
        let path = self.store.path.clone();
        let failed = |error| StoreError::Sql {
            path: path.clone(),
            error,
        };
        let connection = &mut self.store.connection;
        connection.busy_timeout(patience).map_err(failed)?;
        let mut kept = Vec::new();
        let written = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|transaction| {
                for change in changes {
                    kept.push(keep_one(&transaction, &path, change)?);
                }
                transaction.commit()
            });
        let restored = connection.busy_timeout(super::BUSY_MAX);
        written.and(restored).map_err(failed)?;
        Ok(kept)
    }

    fn tell_some(&mut self, tell: &mut impl FnMut(UserChange)) -> Result<bool, StoreError> {
        let fresh = self.lines(self.newest, FRESH_MAX + 1)?;
        // They are told again when it is their turn, as the user is then.
        if self.position < self.newest && fresh.len() as i64 <= FRESH_MAX {
            for (id, name) in fresh {
                self.tell_one(&name, tell)?;
                self.newest = id;
            }
        } else if !fresh.is_empty() {
            self.newest = self.end()?;
        }
        let lines = self.lines(self.position, CHANGES_AT_ONCE)?;
        let more = lines.len() as i64 == CHANGES_AT_ONCE;
        for (id, name) in lines {
            self.tell_one(&name, tell)?;
            self.position = id;
            self.unpruned = true;
        }
        Ok(more)
    }

    /// The journal's lines after this one.
    fn lines(&self, after: i64, most: i64) -> Result<Vec<(i64, String)>, StoreError> {
        let failed = |error| self.store.sql(error);
        let mut statement = self
            .store
            .connection
            .prepare_cached("SELECT id, aor FROM change WHERE id > ?1 ORDER BY id LIMIT ?2")
            .map_err(failed)?;
        statement
            .query_map([after, most], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(failed)
    }

    /// The journal's last line.
    fn end(&self) -> Result<i64, StoreError> {
        let last = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
        let connection = &self.store.connection;
        let last = connection.query_row("SELECT max(id) FROM change", [], last);
        Ok(last
            .map_err(|error| self.store.sql(error))?
            .unwrap_or(self.newest))
    }

    /// The user as it is now, which may be newer than the line: then a later line tells the same again.
    fn tell_one(&self, name: &str, tell: &mut impl FnMut(UserChange)) -> Result<(), StoreError> {
        match (self.store.user(name), Aor::parse(name)) {
            (Ok(Some(user)), _) => tell(UserChange::Put(user)),
            (Ok(None), Some(aor)) => tell(UserChange::Removed(aor)),
            (Ok(None), None) => {
                tracing::warn!("the journal of users has a line that names nobody; passed over")
            }
            // What cannot be read of one user is not in the way of what changed about others.
            (Err(strange @ StoreError::Strange { .. }), _) => {
                tracing::error!("a change of {name} is not noticed: {strange}")
            }
            (Err(error), _) => return Err(error),
        }
        Ok(())
    }

    /// Forgets the lines that were told, so that the journal does not grow for ever. While another program
    /// writes it is put off: `poll` asks again.
    fn prune(&mut self) -> Result<(), StoreError> {
        let busy = |error: &rusqlite::Error| {
            error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
        };
        let patient = self
            .store
            .connection
            .busy_timeout(core::time::Duration::ZERO);
        let pruned = patient.and_then(|()| {
            self.store
                .connection
                .execute("DELETE FROM change WHERE id <= ?1", [self.position])
        });
        let restored = self.store.connection.busy_timeout(super::BUSY_MAX);
        match pruned {
            Ok(_) => self.unpruned = false,
            Err(error) if busy(&error) => {}
            Err(error) => return Err(self.store.sql(error)),
        }
        restored.map_err(|error| self.store.sql(error))
    }
}

fn keep_one(
    transaction: &Connection,
    path: &Path,
    change: &Change,
) -> rusqlite::Result<Result<Option<UserRecord>, NotKept>> {
    let edit = |standing: &mut Standing| change.apply(standing);
    match edit_in(transaction, change.user(), edit) {
        Ok((user, changed)) => Ok(Ok(changed.then_some(user))),
        Err(Fault::NoSuchUser(_)) => Ok(Err(NotKept::NoSuchUser)),
        Err(Fault::Refused(Refused::Standing(error) | Refused::Edit(error))) => {
            Ok(Err(NotKept::Refused(error)))
        }
        Err(Fault::Unreadable(Unreadable::Sql(error))) => Err(error),
        // One user's rows are not ours to change; the others of the batch have nothing to do with it.
        Err(Fault::Unreadable(strange)) => {
            tracing::error!("{}", strange.at(path));
            Ok(Err(NotKept::Failed))
        }
    }
}

fn begin(store: &mut Store, statement: &str) -> Result<(), StoreError> {
    store
        .connection
        .execute_batch(statement)
        .map_err(|error| store.sql(error))
}

fn data_version(store: &Store) -> Result<i64, StoreError> {
    let version = store
        .connection
        .pragma_query_value(None, "data_version", |row| row.get(0));
    version.map_err(|error| store.sql(error))
}

#[cfg(test)]
mod tests {
    use super::super::{Admission, DataDir};
    use super::*;
    use crate::auth::Scheme;
    use crate::presence::{Choice, Manual};

    fn user(name: &str) -> UserRecord {
        let admission = Admission {
            domains: &["example.com".into()],
            schemes: &[Scheme::DigestSha256],
        };
        admission
            .user(&format!("{name}@example.com"), "", "secret")
            .unwrap()
    }

    fn told(follower: &mut Follower) -> Vec<String> {
        let mut told = Vec::new();
        let mut tell = |change| {
            told.push(match change {
                UserChange::Put(user) => format!("+{}", user.aor.user()),
                UserChange::Removed(aor) => format!("-{}", aor.user()),
            });
        };
        while follower.poll(&mut tell).unwrap() {}
        told
    }

    #[test]
    fn a_change_by_another_program_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut other = Store::open(&dir).unwrap();
        other.add(&user("alice")).unwrap();

        let mut loaded = Vec::new();
        let mut follower = Follower::start(Store::open(&dir).unwrap(), |user| {
            loaded.push(user.aor.user().to_owned())
        })
        .unwrap();
        assert_eq!(loaded, ["alice"]);
        assert_eq!(told(&mut follower), [""; 0]);

        other.add(&user("bob")).unwrap();
        assert!(other.remove(&user("alice").aor).unwrap());
        assert_eq!(told(&mut follower), ["+bob", "-alice"]);
        assert_eq!(told(&mut follower), [""; 0]);

        // The journal was emptied in between; its numbers must go on all the same.
        other.remove(&user("bob").aor).unwrap();
        other.add(&user("bob")).unwrap();
        assert_eq!(told(&mut follower), ["+bob", "+bob"]);
        let lines: i64 = other
            .connection
            .query_row("SELECT count(*) FROM change", [], |row| row.get(0))
            .unwrap();
        assert_eq!(lines, 0);
    }

    #[test]
    fn who_cannot_be_read_is_not_in_the_way_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut other = Store::open(&dir).unwrap();
        let mut follower = Follower::start(Store::open(&dir).unwrap(), |_| {}).unwrap();
        for name in ["alice", "bob"] {
            other.add(&user(name)).unwrap();
        }
        let busy = |standing: &mut Standing| {
            standing.choice = Some(Choice {
                state: Some(Manual::Busy),
                ..Choice::default()
            });
            Ok::<_, String>(())
        };
        other.edit(&user("alice").aor, busy).unwrap();
        let spoil = "UPDATE user_setting SET state = 'of a newer program'";
        assert_eq!(other.connection.execute(spoil, []).unwrap(), 1);
        assert_eq!(told(&mut follower), ["+bob"]);
        assert_eq!(told(&mut follower), [""; 0]);
        assert_eq!(other.journal_lines().unwrap(), 0);
    }

    #[test]
    fn more_changes_than_are_read_at_once_are_all_told() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut follower = Follower::start(Store::open(&dir).unwrap(), |_| {}).unwrap();
        let other = Store::open(&dir).unwrap();
        let count = CHANGES_AT_ONCE + 3;
        other.connection.execute_batch("BEGIN").unwrap();
        for n in 0..count {
            super::super::users::insert(&other.connection, &user(&format!("u{n}"))).unwrap();
        }
        other.connection.execute_batch("COMMIT").unwrap();
        assert_eq!(told(&mut follower).len() as i64, count);
    }

    #[test]
    fn who_is_removed_behind_a_big_import_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut other = Store::open(&dir).unwrap();
        let one = user("u0");
        other.add(&one).unwrap();
        let mut follower = Follower::start(Store::open(&dir).unwrap(), |_| {}).unwrap();
        let count = 3 * CHANGES_AT_ONCE;
        other.connection.execute_batch("BEGIN").unwrap();
        for n in 1..=count {
            super::super::users::insert(&other.connection, &user(&format!("u{n}"))).unwrap();
        }
        other.connection.execute_batch("COMMIT").unwrap();
        let mut told = Vec::new();
        let mut poll = |follower: &mut Follower| {
            let before = told.len();
            let more = follower.poll(|change| told.push(change)).unwrap();
            let removed =
                |change: &UserChange| matches!(change, UserChange::Removed(aor) if *aor == one.aor);
            (
                more,
                told[before..]
                    .iter()
                    .filter(|change| removed(change))
                    .count(),
            )
        };
        assert_eq!(poll(&mut follower), (true, 0));
        assert!(other.remove(&one.aor).unwrap());
        assert_eq!(poll(&mut follower), (true, 1), "it waits for the import");
        while poll(&mut follower).0 {}
        let put = told
            .iter()
            .filter(|change| matches!(change, UserChange::Put(_)));
        assert_eq!(put.count() as i64, count);
        assert_eq!(other.journal_lines().unwrap(), 0);
    }
}
