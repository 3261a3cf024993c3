//! Many users from a CSV file: all of them or none.
//!
//! One thread reads, one a core checks and hashes, and the caller's thread writes, in the file's order. What is between them is
//! bounded, so a file of any size needs little memory. They gather in a table of this connection's own, on the disk, and become users
//! in one transaction at the end: a running server and other commands wait for that alone, not for the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::new_user::Admission;
use super::users::{self, COLUMNS};
use super::{Store, StoreError};
use crate::shard::UserRecord;

/// Rows that go from thread to thread together.
const ROWS_AT_ONCE: usize = 1000;
/// Such packs that may wait between two threads.
const PACKS_WAITING_MAX: usize = 16;

/// Why nothing was imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file is not what it should be.
    File {
        /// From 1, where one line is to blame.
        line: Option<u64>,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The store failed.
    Store(StoreError),
}

/// Rows as read, or the fault that ended the reading, with their number in the file's order.
struct Pack<T> {
    number: u64,
    rows: Vec<(u64, T)>,
    bytes_read: u64,
    fault: Option<(u64, String)>,
}

/// What a file was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imported {
    /// The users it had, who are all added.
    pub users: u64,
    /// Those of them whom clients of Lync's dialect will not find.
    pub surprising: u64,
}

impl Imported {
    /// What may surprise with these users.
    pub fn caution(&self) -> Option<String> {
        (self.surprising > 0).then(|| {
            format!(
                "{} of them have other than plain lower-case letters in their names, and clients of Lync's dialect, which write all \
                 addresses so, will not find them: for these clients, add users of such names",
                self.surprising
            )
        })
    }
}

/// Imports `file`. `progress` hears of the bytes that were dealt with.
pub fn import(
    store: &mut Store,
    file: &Path,
    admission: &Admission<'_>,
    mut progress: impl FnMut(u64),
) -> Result<Imported, ImportError> {
    let unreadable = |error: std::io::Error| ImportError::File {
        line: None,
        what: format!("cannot be read: {error}"),
    };
    let source = File::open(file).map_err(unreadable)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (read, to_hash) = bounded(PACKS_WAITING_MAX);
    let (hashed, to_write) = bounded(PACKS_WAITING_MAX);
    std::thread::scope(|scope| {
        scope.spawn(move || read_rows(source, &read));
        for _ in 0..workers {
            let (to_hash, hashed) = (to_hash.clone(), hashed.clone());
            scope.spawn(move || hash_rows(&to_hash, &hashed, admission));
        }
        // Only the workers hold these now: when one side stops, so do the others.
        drop((to_hash, hashed));
        write_rows(store, to_write, admission, &mut progress)
    })
}

/// What is read, and whether its end was met.
struct Source<R> {
    bytes: R,
    ended: bool,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.ended |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

const UNCLOSED: &str = "a quote that begins here is not closed";

fn read_rows(source: impl Read, read: &Sender<Pack<[String; 3]>>) {
    // Lines end with LF (a CR before it is taken off below) and the last one ends too: so the lines can be counted, and a row that
    // only the end of it all ends is within quotes.
    let source = Source {
        bytes: source.chain(&b"\n"[..]),
        ended: false,
    };
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(source);
    let mut pack = Pack {
        number: 0,
        rows: Vec::new(),
        bytes_read: 0,
        fault: None,
    };
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
        Err(error) => {
            pack.fault = Some((1, format!("no CSV header: {error}")));
            let _ = read.send(pack);
            return;
        }
    };
    if reader.get_ref().ended && !header.is_empty() {
        // It holds the whole file, with the passwords.
        pack.fault = Some((1, UNCLOSED.to_owned()));
        let _ = read.send(pack);
        return;
    }
    let columns: Vec<&str> = header.iter().map(String::as_str).collect();
    if !matches!(
        columns[..],
        ["user", "password"] | ["user", "password", "display_name"]
    ) {
        let found = columns.join(",");
        pack.fault = Some((
            1,
            format!(
                "the header is {found:?}; `user,password,display_name` is right (the last is optional)"
            ),
        ));
        let _ = read.send(pack);
        return;
    }
    let mut row = csv::StringRecord::new();
    loop {
        let read_row = reader.read_record(&mut row);
        // The reader's own number is that of the first of the blank lines before the row.
        let ends = |field: &str| field.bytes().filter(|byte| *byte == b'\n').count() as u64;
        let is_open = matches!(read_row, Ok(true)) && reader.get_ref().ended;
        let behind = if is_open {
            row.iter().next_back().map_or(0, ends)
        } else {
            1 + row.iter().map(ends).sum::<u64>()
        };
        let line = reader.position().line().saturating_sub(behind);
        match read_row {
            Ok(false) => break,
            Ok(true) if is_open => {
                pack.fault = Some((line, UNCLOSED.to_owned()));
                break;
            }
            Ok(true) if row.len() == 1 && row.get(0) == Some("\r") => {}
            Ok(true) if row.len() < 2 || row.len() > columns.len() => {
                pack.fault = Some((
                    line,
                    format!("{} fields; {} are right", row.len(), columns.len()),
                ));
                break;
            }
            Ok(true) => {
                let last = row.len() - 1;
                let field = |n| {
                    let field = row.get(n).unwrap_or_default();
                    let field = if n == last {
                        field.strip_suffix('\r').unwrap_or(field)
                    } else {
                        field
                    };
                    field.to_owned()
                };
                pack.rows.push((line, [field(0), field(1), field(2)]));
            }
            Err(error) => {
                let what = match error.kind() {
                    csv::ErrorKind::Utf8 { .. } => "not UTF-8; save the file as UTF-8".to_owned(),
                    csv::ErrorKind::Io(error) => format!("cannot be read: {error}"),
                    _ => format!("no CSV row: {error}"),
                };
                pack.fault = Some((line, what));
                break;
            }
        }
        if pack.rows.len() == ROWS_AT_ONCE {
            pack.bytes_read = reader.position().byte();
            let next = Pack {
                number: pack.number + 1,
                rows: Vec::new(),
                bytes_read: 0,
                fault: None,
            };
            if read.send(std::mem::replace(&mut pack, next)).is_err() {
                return; // The writer has given up, and says why.
            }
        }
    }
    pack.bytes_read = reader.position().byte();
    let _ = read.send(pack);
}

fn hash_rows(
    to_hash: &Receiver<Pack<[String; 3]>>,
    hashed: &Sender<Pack<UserRecord>>,
    admission: &Admission<'_>,
) {
    for pack in to_hash {
        let mut done = Pack {
            number: pack.number,
            rows: Vec::new(),
            bytes_read: pack.bytes_read,
            fault: pack.fault,
        };
        for (line, [user, password, display_name]) in pack.rows {
            match admission.user(user.trim(), display_name.trim(), &password) {
                Ok(user) => done.rows.push((line, user)),
                Err(why) => {
                    // Further up than whatever ended the reading.
                    done.fault = Some((line, why));
                    break;
                }
            }
        }
        if hashed.send(done).is_err() {
            return;
        }
    }
}

fn write_rows(
    store: &mut Store,
    to_write: Receiver<Pack<UserRecord>>,
    admission: &Admission<'_>,
    progress: &mut impl FnMut(u64),
) -> Result<Imported, ImportError> {
    let path = store.path.clone();
    let failed = |error| {
        ImportError::Store(StoreError::Sql {
            path: path.clone(),
            error,
        })
    };
    let connection = &mut store.connection;
    connection
        .execute_batch(&format!(
            // Room for the pages that a million users touch in no order.
            "PRAGMA cache_size = -131072;
             PRAGMA temp.cache_size = -131072;
             DROP TABLE IF EXISTS temp.coming;
             CREATE TEMP TABLE coming AS SELECT {COLUMNS} FROM main.user WHERE 0;
             CREATE UNIQUE INDEX temp.coming_aor ON coming(aor);"
        ))
        .map_err(failed)?;
    let mut early = BTreeMap::new();
    let mut next = 0;
    let mut imported = Imported {
        users: 0,
        surprising: 0,
    };
    for pack in to_write {
        early.insert(pack.number, pack);
        while let Some(pack) = early.remove(&next) {
            next += 1;
            gather(connection, &pack.rows).map_err(failed)??;
            let surprising = |(_, user): &&(u64, UserRecord)| admission.surprises(&user.aor);
            imported.users += pack.rows.len() as u64;
            imported.surprising += pack.rows.iter().filter(surprising).count() as u64;
            if let Some((line, what)) = pack.fault {
                return Err(ImportError::File {
                    line: Some(line),
                    what,
                });
            }
            progress(pack.bytes_read);
        }
    }
    let added_meanwhile = take_in(connection).map_err(failed)?;
    match added_meanwhile {
        None => Ok(imported),
        Some(user) => Err(ImportError::File {
            line: None,
            what: format!("has {user}, whom another program has added meanwhile"),
        }),
    }
}

/// Puts rows into the table of those who are coming. The inner error is the file's.
fn gather(
    connection: &mut Connection,
    rows: &[(u64, UserRecord)],
) -> rusqlite::Result<Result<(), ImportError>> {
    // It writes nothing that others read, and so takes no lock of theirs.
    let transaction = connection.transaction()?;
    for (line, user) in rows {
        let is_new = !users::is_there(&transaction, &user.aor)?
            && users::write(&transaction, "temp.coming", user)?;
        if !is_new {
            return Ok(Err(ImportError::File {
                line: Some(*line),
                what: format!(
                    "{} is there already, or is further up in this file",
                    user.aor
                ),
            }));
        }
    }
    transaction.commit()?;
    Ok(Ok(()))
}

/// Makes users of all who are coming, or of nobody, and then names one who is there already.
fn take_in(connection: &mut Connection) -> rusqlite::Result<Option<String>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let there = transaction
        .query_row(
            "SELECT aor FROM temp.coming JOIN main.user USING (aor) LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    if there.is_none() {
        transaction.execute_batch(&format!(
            "INSERT INTO main.user({COLUMNS}) SELECT {COLUMNS} FROM temp.coming ORDER BY aor;
             INSERT INTO main.change(aor) SELECT aor FROM temp.coming ORDER BY aor;"
        ))?;
        transaction.commit()?;
    }
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::super::DataDir;
    use super::*;
    use crate::auth::Scheme;

    fn check(csv: &[u8], expected: Result<u64, (u64, &str)>) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&DataDir::open(folder.path()).unwrap()).unwrap();
        let domains = ["example.com".into()];
        let admission = Admission {
            domains: &domains,
            schemes: &[Scheme::DigestSha256, Scheme::DigestMd5],
        };
        store
            .add(&admission.user("old@example.com", "", "x").unwrap())
            .unwrap();
        let file = folder.path().join("users.csv");
        std::fs::write(&file, csv).unwrap();
        let shown = String::from_utf8_lossy(csv)
            .chars()
            .take(200)
            .collect::<String>();
        match (import(&mut store, &file, &admission, |_| {}), expected) {
            (Ok(imported), Ok(right)) => {
                assert_eq!(imported.users, right, "{shown}");
                assert_eq!(store.count().unwrap(), 1 + right, "{shown}");
            }
            (
                Err(ImportError::File {
                    line: Some(line),
                    what,
                }),
                Err((right, words)),
            ) => {
                assert_eq!(line, right, "{what}: {shown}");
                assert!(what.contains(words), "{what}: {shown}");
                assert_eq!(store.count().unwrap(), 1, "all or nothing: {shown}");
            }
            (other, _) => panic!("{other:?}: {shown}"),
        }
    }

    #[test]
    fn all_or_nothing_and_the_line_is_named() {
        check(b"user,password\n", Ok(0));
        check(b"user,password\na@example.com,x\nb@example.com,y\n", Ok(2));
        check(b"user,password,display_name\na@example.com,x\nb@example.com,\"y,z\",\"B, the second\"\n", Ok(2));
        check(b"", Err((1, "the header is \"\"")));
        check(
            b"password,user\nx,a@example.com\n",
            Err((1, "the header is \"password,user\"")),
        );
        check(
            b"user,password\na@example.com,x\na@example.com,y\n",
            Err((3, "there already")),
        );
        check(
            b"user,password\na@example.com,x\nold@example.com,y\n",
            Err((3, "there already")),
        );
        check(
            b"user,password\na@example.com,x\n\nb@elsewhere.com,y\n",
            Err((4, "no domain of this server")),
        );
        check(
            b"user,password\r\na@example.com,x\r\n\r\nb@example.com,y",
            Ok(2),
        );
        check(
            b"user,password\r\n\r\na@example.com,x\r\nb@elsewhere.com,y",
            Err((4, "no domain of this server")),
        );
        check(
            b"user,password\n\na@example.com,\"x\ny\"\n",
            Err((3, "control characters")),
        );
        check(b"user,password\na@example.com,\n", Err((2, "is empty")));
        check(b"user,password\na@example.com\n", Err((2, "1 fields")));
        check(b"user,password\na@example.com,x,y\n", Err((2, "3 fields")));
        check(b"user,password\na@example.com,\xff\n", Err((2, "UTF-8")));
        check(
            b"user,password\na@example.com,x\nb@example.com,\"y\nc@example.com,z\n",
            Err((3, "a quote that begins here")),
        );
        check(
            b"user,password\n\"b@\nexample.com\",\"y",
            Err((3, "a quote that begins here")),
        );
        check(
            b"user,password\na@example.com,\"y\n\"",
            Err((2, "control characters")),
        );
        check(
            b"\"user,password\na@example.com,secret\n",
            Err((1, "a quote that begins here")),
        );
        check(
            b"user,password\nim-1@example.com,x\n",
            Err((2, "belong to sessions")),
        );
    }

    /// The file may come as slowly as it likes: nobody waits for it.
    #[test]
    fn others_write_while_a_file_is_read_and_the_same_user_twice_is_no_user() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let mut store = Store::open(&dir).unwrap();
        let domains = ["example.com".into()];
        let admission = Admission {
            domains: &domains,
            schemes: &[Scheme::DigestSha256],
        };
        let row = |name: &str| {
            let user = admission.user(&format!("{name}@example.com"), "", "x");
            (1, user.unwrap())
        };
        let pack = |number, name| Pack {
            number,
            rows: vec![row(name)],
            bytes_read: 0,
            fault: None,
        };
        for other in ["bob", "alice"] {
            let (packs, to_write) = bounded(PACKS_WAITING_MAX);
            packs.send(pack(0, "alice")).unwrap();
            let mut packs = Some(packs);
            let outcome = write_rows(&mut store, to_write, &admission, &mut |_| {
                // After the first pack, and before the second.
                let Some(packs) = packs.take() else { return };
                let mut other_store = Store::open(&dir).unwrap();
                let quick = std::time::Duration::ZERO;
                other_store.connection.busy_timeout(quick).unwrap();
                other_store.add(&row(other).1).unwrap();
                packs.send(pack(1, "carol")).unwrap();
            });
            let mut names = Vec::new();
            store
                .users(|user| names.push(user.aor.user().to_owned()))
                .unwrap();
            if other == "bob" {
                assert_eq!(outcome.unwrap().users, 2);
                assert_eq!(names, ["alice", "bob", "carol"]);
                for name in ["alice", "carol"] {
                    assert!(store.remove(&row(name).1.aor).unwrap());
                }
            } else {
                let Err(ImportError::File { line: None, what }) = outcome else {
                    panic!("{outcome:?}")
                };
                assert!(what.contains("alice@example.com"), "{what}");
                assert_eq!(names, ["alice", "bob"]);
            }
        }
    }

    #[test]
    fn packs_that_overtake_each_other_blame_the_first_line() {
        let mut csv = "user,password\n".to_owned();
        for n in 0..5 * ROWS_AT_ONCE {
            let domain = if n == 2500 || n == 4500 {
                "elsewhere.com"
            } else {
                "example.com"
            };
            csv.push_str(&format!("u{n}@{domain},secret\n"));
        }
        check(csv.as_bytes(), Err((2502, "no domain of this server")));
        check(
            csv.replace("elsewhere", "example").as_bytes(),
            Ok(5 * ROWS_AT_ONCE as u64),
        );
    }
}
