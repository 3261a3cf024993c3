//! What `muster.db` keeps of a user beside credentials: contacts, access rules, the choice, the card, rules for calls,
//! alerts, messages waiting. Rows, not documents: so that what a command or a request changes and what XCAP (RFC 4825)
//! will one day read and write, resource lists (RFC 4826) and presence rules (RFC 5025), are the same.
//!
//! Always holds: a change and its line in the journal are one transaction, and a change that is refused has written
//! nothing. `document` has a row for each user and kind of document that was ever written, with a version that rises with each
//! change (an ETag later); a user without a row there has no standing data, and loading one asks nothing more.

mod read;
mod write;

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

pub(super) use read::{Statements, Unreadable};
pub(super) use write::forget;

use super::users::{COLUMNS, journal};
use super::{Store, StoreError};
use crate::shard::UserRecord;
use crate::shard::standing::{Refused, Standing};
use crate::shell::clock::Clock;
use crate::sip::uri::Aor;

/// Schema version 1 to 2.
pub(super) const MIGRATION: &str = "
    CREATE TABLE document(
        aor     TEXT NOT NULL,
        kind    TEXT NOT NULL,            -- contacts, access, choice, card, calls, alerts or waiting; later also categories, subscribers
        version INTEGER NOT NULL,         -- rises with each change
        PRIMARY KEY (aor, kind)
    ) WITHOUT ROWID;
    CREATE TABLE contact_group(
        aor  TEXT NOT NULL,
        slot INTEGER NOT NULL,            -- 0 to 63: the bit in contact.groups; 64 more: of a group that is gone
        name TEXT NOT NULL,
        PRIMARY KEY (aor, slot)
    ) WITHOUT ROWID;
    CREATE TABLE contact(
        aor     TEXT NOT NULL,            -- whose list
        address TEXT NOT NULL,            -- user@domain, canonical
        name    TEXT NOT NULL,            -- empty: none
        groups  INTEGER NOT NULL,         -- bit n: in the group of slot n
        PRIMARY KEY (aor, address)
    ) WITHOUT ROWID;
    CREATE TABLE access_rule(
        aor    TEXT NOT NULL,             -- who is seen
        member TEXT NOT NULL,             -- user@domain, domain, same-organisation or everyone
        level  TEXT NOT NULL,             -- blocked, external, colleagues, workgroup or friends-and-family
        PRIMARY KEY (aor, member)
    ) WITHOUT ROWID;
    CREATE TABLE user_setting(
        aor              TEXT PRIMARY KEY,
        privacy          INTEGER NOT NULL, -- 1: only contacts see the user
        state            TEXT,             -- the chosen one
        custom           TEXT,             -- the user's words for it
        until_us         INTEGER,          -- Unix microseconds; NULL: it lasts
        note             TEXT,
        note_kind        TEXT NOT NULL,    -- personal or out-of-office
        voice_new        INTEGER NOT NULL,
        voice_old        INTEGER NOT NULL,
        voice_urgent_new INTEGER NOT NULL, -- of the new ones
        voice_urgent_old INTEGER NOT NULL  -- of the old ones
    ) WITHOUT ROWID;
    CREATE TABLE card_line(
        aor  TEXT NOT NULL,
        line TEXT NOT NULL,               -- work-phone, title and so on
        text TEXT NOT NULL,
        PRIMARY KEY (aor, line)
    ) WITHOUT ROWID;
    CREATE TABLE call_rule(
        aor      TEXT NOT NULL,
        rule     TEXT NOT NULL,           -- forward-always, forward-busy, forward-no-answer or ring-also
        position INTEGER NOT NULL,        -- from 0, in the order of the list
        target   TEXT NOT NULL,           -- user@domain
        after_s  INTEGER,                 -- forward-no-answer: after how long
        PRIMARY KEY (aor, rule, position)
    ) WITHOUT ROWID;
    CREATE TABLE alert(
        aor      TEXT NOT NULL,           -- who waits
        position INTEGER NOT NULL,        -- from 0, in the order of asking
        whom     TEXT NOT NULL,           -- for whom
        PRIMARY KEY (aor, position)
    ) WITHOUT ROWID;
";

/// Schema version 3 to 4: one more kind of document, `registration`.
pub(super) const REGISTRATION: &str = "
    CREATE TABLE registration(
        aor       TEXT PRIMARY KEY,
        home      TEXT,                   -- HOST or HOST:PORT of another server; NULL: here
        sign_outs INTEGER NOT NULL        -- rises with each
    ) WITHOUT ROWID;
";

/// Schema version 4 to 5: two more kinds, `categories` and `subscribers`.
pub(super) const CATEGORIES: &str = "
    CREATE TABLE category(
        aor          TEXT NOT NULL,
        name         TEXT NOT NULL,       -- state, note and so on
        container    INTEGER NOT NULL,    -- who may see it
        instance     INTEGER NOT NULL,    -- the publisher's number
        version      INTEGER NOT NULL,    -- rises with each publication
        published_us INTEGER NOT NULL,    -- Unix microseconds
        document     BLOB NOT NULL,       -- XML that stands alone
        PRIMARY KEY (aor, name, container, instance)
    ) WITHOUT ROWID;
    CREATE TABLE subscriber(
        aor          TEXT NOT NULL,       -- who was added
        position     INTEGER NOT NULL,    -- from 0, in the order of coming
        whom         TEXT NOT NULL,       -- by whom
        name         TEXT NOT NULL,       -- the name that others see; empty: none
        acknowledged INTEGER NOT NULL,    -- 1: the user knows
        PRIMARY KEY (aor, position)
    ) WITHOUT ROWID;
";

/// Why a user's standing data was not changed. Nothing was.
#[derive(Debug)]
pub enum EditError<E> {
    /// There is no such user.
    NoSuchUser(Aor),
    /// Who asked says no, or it would break a limit or contradict itself.
    Refused(Refused<E>),
    /// The store failed.
    Store(StoreError),
}

impl<E: core::fmt::Display> core::fmt::Display for EditError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            EditError::NoSuchUser(aor) => {
                write!(
                    f,
                    "there is no user {aor}; `muster user list` shows who there is"
                )
            }
            EditError::Refused(error) => error.fmt(f),
            EditError::Store(error) => error.fmt(f),
        }
    }
}

impl<E: core::fmt::Debug + core::fmt::Display> core::error::Error for EditError<E> {}

impl Store {
    /// Changes a user's standing data, and writes the journal, in one transaction synced to the disk. Gives the user as
    /// they are then, and whether anything changed.
    pub fn edit<E>(
        &mut self,
        aor: &Aor,
        change: impl FnOnce(&mut Standing) -> Result<(), E>,
    ) -> Result<(UserRecord, bool), EditError<E>> {
        let path = self.path.clone();
        let failed = |error| {
            EditError::Store(StoreError::Sql {
                path: path.clone(),
                error,
            })
        };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let edited = edit_in(&transaction, aor, change).map_err(|error| error.at(&path))?;
        if edited.1 {
            journal(&transaction, aor).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(edited)
    }
}

/// What can go wrong within a transaction, before the database's path is known.
pub(super) enum Fault<E> {
    NoSuchUser(Aor),
    Refused(Refused<E>),
    Unreadable(Unreadable),
}

impl<E> Fault<E> {
    fn at(self, path: &std::path::Path) -> EditError<E> {
        match self {
            Fault::NoSuchUser(aor) => EditError::NoSuchUser(aor),
            Fault::Refused(error) => EditError::Refused(error),
            Fault::Unreadable(unreadable) => EditError::Store(unreadable.at(path)),
        }
    }
}

impl<E> From<rusqlite::Error> for Fault<E> {
    fn from(error: rusqlite::Error) -> Fault<E> {
        Fault::Unreadable(error.into())
    }
}

/// The same within a transaction of the caller's, who writes the journal where somebody reads it. Where it fails for anything but the
/// database itself, nothing was written.
pub(super) fn edit_in<E>(
    connection: &Connection,
    aor: &Aor,
    change: impl FnOnce(&mut Standing) -> Result<(), E>,
) -> Result<(UserRecord, bool), Fault<E>> {
    let Some(mut user) = user_in(connection, aor.as_str()).map_err(Fault::Unreadable)? else {
        return Err(Fault::NoSuchUser(aor.clone()));
    };
    let old = user
        .standing
        .take()
        .map(Arc::unwrap_or_clone)
        .unwrap_or_default();
    let edited = old
        .edited(aor, Clock::start().now(), change)
        .map_err(Fault::Refused)?;
    let Some(new) = edited else {
        user.standing = old.shared();
        return Ok((user, false));
    };
    write::write(connection, aor, &old, &new)?;
    user.standing = new.shared();
    Ok((user, true))
}

/// The user `aor`, with all that is kept of them.
pub(super) fn user_in(
    connection: &Connection,
    aor: &str,
) -> Result<Option<UserRecord>, Unreadable> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM user WHERE aor = ?1"))?;
    let found = statement
        .query_row([aor], |row| Ok(super::users::record(row)))
        .optional()?;
    let Some(mut user) = found.transpose()? else {
        return Ok(None);
    };
    let mut any = connection.prepare_cached("SELECT 1 FROM document WHERE aor = ?1 LIMIT 1")?;
    if any.exists([aor])? {
        let mut statements = Statements::of_one(connection)?;
        let standing = statements.cursors([aor])?.standing_of(&user.aor)?;
        user.standing = standing.shared();
    }
    Ok(Some(user))
}

#[cfg(test)]
mod tests;
