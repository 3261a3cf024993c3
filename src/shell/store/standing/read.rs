//! Standing data from its rows: for one user, or for all in one ordered pass over every table at once.

use std::path::Path;

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::{CachedStatement, Connection, Params, Row, Rows};

use crate::calls::Rules;
use crate::dialect::lync::published;
use crate::presence::{
    Access, Card, CardLine, Choice, Contacts, GROUPS_MAX, Instance, Key, Level, Life, Manual,
    Member, NoteKind, Subscriber, Subscribers, Waiting,
};
use crate::registrar::Home;
use crate::shard::standing::Standing;
use crate::shell::store::StoreError;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// What cannot be read: the database's fault, or a row that this program cannot have written.
#[derive(Debug)]
pub(in crate::shell::store) enum Unreadable {
    Sql(rusqlite::Error),
    Strange(String),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Unreadable {
        Unreadable::Sql(error)
    }
}

impl Unreadable {
    pub(in crate::shell::store) fn at(self, path: &Path) -> StoreError {
        let path = path.to_path_buf();
        match self {
            Unreadable::Sql(error) => StoreError::Sql { path, error },
            Unreadable::Strange(what) => StoreError::Strange { path, what },
        }
    }
}

/// Every table's columns, the owner's address first, in the order in which a user's rows are read.
const TABLES: [&str; 9] = [
    "aor, kind, version FROM document",
    "aor, slot, name FROM contact_group",
    "aor, address, name, groups FROM contact",
    "aor, member, level FROM access_rule",
    "aor, privacy, state, custom, until_us, note, note_kind, voice_new, voice_old, voice_urgent_new, voice_urgent_old FROM user_setting",
    "aor, line, text FROM card_line",
    "aor, rule, position, target, after_s FROM call_rule",
    "aor, home, sign_outs FROM registration",
    "aor, name, container, instance, version, published_us, document FROM category",
];
/// The last ones: their rows have an order of their own.
const ORDERED: [&str; 2] = [
    "aor, position, whom FROM alert",
    "aor, position, whom, name, acknowledged FROM subscriber",
];

/// A statement for each table.
pub(in crate::shell::store) struct Statements<'c>(Vec<CachedStatement<'c>>);

/// The rows of each table.
pub(in crate::shell::store) struct Cursors<'s>(Vec<Cursor<'s>>);

struct Cursor<'s>(Rows<'s>);

impl<'c> Statements<'c> {
    /// For all users, by name. Each primary key begins with the owner, so nothing is sorted.
    pub(in crate::shell::store) fn of_all(connection: &'c Connection) -> rusqlite::Result<Self> {
        Statements::with(connection, "")
    }

    /// For the user of the one parameter.
    pub(in crate::shell::store) fn of_one(connection: &'c Connection) -> rusqlite::Result<Self> {
        Statements::with(connection, " WHERE aor = ?1")
    }

    fn with(connection: &'c Connection, which: &str) -> rusqlite::Result<Self> {
        let tables = TABLES
            .iter()
            .map(|table| (*table, ""))
            .chain(ORDERED.map(|table| (table, ", position")));
        let prepare = |(table, then): (&str, &str)| {
            connection.prepare_cached(&format!("SELECT {table}{which} ORDER BY aor{then}"))
        };
        tables
            .map(prepare)
            .collect::<Result<_, _>>()
            .map(Statements)
    }

    /// Begins to read.
    pub(in crate::shell::store) fn cursors(
        &mut self,
        params: impl Params + Copy,
    ) -> rusqlite::Result<Cursors<'_>> {
        let open = |statement| Cursor::open(statement, params);
        self.0
            .iter_mut()
            .map(open)
            .collect::<Result<_, _>>()
            .map(Cursors)
    }
}

impl<'s> Cursor<'s> {
    fn open(statement: &'s mut CachedStatement<'_>, params: impl Params) -> rusqlite::Result<Self> {
        let mut rows = statement.query(params)?;
        rows.advance()?;
        Ok(Cursor(rows))
    }

    /// Hands over the rows of `aor`, and passes over those of users before: they are no more.
    fn take(
        &mut self,
        aor: &Aor,
        mut each: impl FnMut(&Row<'_>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        while let Some(row) = self.0.get() {
            // SQLite orders texts by their bytes, as `str` does.
            match row
                .get_ref(0)?
                .as_str()
                .map_err(rusqlite::Error::from)?
                .cmp(aor.as_str())
            {
                core::cmp::Ordering::Less => {}
                core::cmp::Ordering::Equal => each(row)?,
                core::cmp::Ordering::Greater => return Ok(()),
            }
            self.0.advance()?;
        }
        Ok(())
    }
}

impl Cursors<'_> {
    /// All that is kept of `aor`. For all users, ask in the order of their names.
    pub(in crate::shell::store) fn standing_of(
        &mut self,
        aor: &Aor,
    ) -> Result<Standing, Unreadable> {
        let [
            documents,
            groups,
            contacts,
            access,
            settings,
            card,
            calls,
            registration,
            categories,
            alerts,
            subscribers,
        ] = &mut self.0[..]
        else {
            return Err(Unreadable::Strange("tables are missing".to_owned()));
        };
        let (mut any, mut version, mut access_version) = (false, 0, 0);
        documents.take(aor, |row| {
            any = true;
            match row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)? {
                "contacts" => version = number(row, 2)?,
                "access" => access_version = u32::try_from(number(row, 2)?).unwrap_or(u32::MAX),
                _ => {}
            }
            Ok(())
        })?;
        if !any {
            return Ok(Standing::default());
        }
        let strange = |what: &dyn core::fmt::Display| Unreadable::Strange(format!("{aor}: {what}"));
        let mut standing = Standing {
            contacts: contact_list(aor, version, groups, contacts)?,
            access_version,
            ..Standing::default()
        };
        let mut members = Vec::new();
        access.take(aor, |row| {
            let (member, level) = (text(row, 1)?, text(row, 2)?);
            let read = Member::parse(&member).zip(Level::parse(&level));
            members.push(read.ok_or_else(|| strange(&format!("access rule {member} {level}")))?);
            Ok(())
        })?;
        let mut privacy = false;
        settings.take(aor, |row| {
            privacy = row.get(1)?;
            standing.choice = choice(row).map_err(|what| within(aor, what))?;
            let count = |index| row.get::<_, u32>(index);
            standing.waiting = Waiting {
                new: count(7)?,
                old: count(8)?,
                urgent_new: count(9)?,
                urgent_old: count(10)?,
            };
            Ok(())
        })?;
        standing.access = Access::new(members, privacy).map_err(|error| strange(&error))?;
        card.take(aor, |row| {
            card_line(row, &mut standing.card).map_err(|what| within(aor, what))
        })?;
        calls.take(aor, |row| {
            call_rule(row, &mut standing.rules).map_err(|what| within(aor, what))
        })?;
        registration.take(aor, |row| {
            let home: Option<String> = row.get(1)?;
            let read =
                |home: String| Home::parse(&home).ok_or_else(|| strange(&format!("home {home:?}")));
            standing.home = home.map(read).transpose()?;
            standing.sign_outs = row.get(2)?;
            Ok(())
        })?;
        alerts.take(aor, |row| {
            standing
                .alerts
                .push(address(row, 2).map_err(|what| within(aor, what))?);
            Ok(())
        })?;
        categories.take(aor, |row| {
            let instance = category(row).map_err(|what| within(aor, what))?;
            standing.categories.put(instance);
            Ok(())
        })?;
        let mut added = Vec::new();
        subscribers.take(aor, |row| {
            added.push(Subscriber {
                user: address(row, 2).map_err(|what| within(aor, what))?,
                name: row.get(3)?,
                acknowledged: row.get(4)?,
            });
            Ok(())
        })?;
        let added = Subscribers::build(added);
        standing.subscribers = added.ok_or_else(|| strange(&"a subscriber who is there twice"))?;
        standing.check(aor).map_err(|error| strange(&error))?;
        Ok(standing)
    }
}

fn within(aor: &Aor, unreadable: Unreadable) -> Unreadable {
    match unreadable {
        Unreadable::Strange(what) => Unreadable::Strange(format!("{aor}: {what}")),
        sql @ Unreadable::Sql(_) => sql,
    }
}

fn contact_list(
    aor: &Aor,
    version: u64,
    groups: &mut Cursor<'_>,
    contacts: &mut Cursor<'_>,
) -> Result<Contacts, Unreadable> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut gone: Vec<(u32, Box<str>)> = Vec::new();
    groups.take(aor, |row| {
        let slot = usize::try_from(number(row, 1)?).unwrap_or(usize::MAX);
        if (GROUPS_MAX..2 * GROUPS_MAX).contains(&slot) {
            gone.push(((slot - GROUPS_MAX) as u32, text(row, 2)?.into()));
            return Ok(());
        }
        if slot >= GROUPS_MAX {
            return Err(Unreadable::Strange(format!(
                "{aor}: contact group in slot {slot}"
            )));
        }
        if names.len() <= slot {
            names.resize(slot + 1, "".into());
        }
        names[slot] = text(row, 2)?.into();
        Ok(())
    })?;
    let mut list = Vec::new();
    contacts.take(aor, |row| {
        let contact = address(row, 1).map_err(|what| within(aor, what))?;
        list.push((
            contact,
            text(row, 2)?.into(),
            row.get::<_, i64>(3)?.cast_unsigned(),
        ));
        Ok(())
    })?;
    let built = Contacts::build(version, names, list)
        .map_err(|error| Unreadable::Strange(format!("contacts of {aor}: {error}")))?;
    Ok(built.remembering(gone.iter().map(|(bit, name)| (*bit, &**name))))
}

fn choice(row: &Row<'_>) -> Result<Option<Choice>, Unreadable> {
    let known = |name: Option<String>| match name {
        None => Ok(None),
        Some(name) => match Manual::parse(&name) {
            Some(state) => Ok(Some(state)),
            None => Err(Unreadable::Strange(format!("state {name:?}"))),
        },
    };
    let kind = text(row, 6)?;
    let choice = Choice {
        state: known(row.get(2)?)?,
        custom: row.get::<_, Option<Box<str>>>(3)?,
        until: match row.get_ref(4)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(Now(number(row, 4)?)),
        },
        note: row.get::<_, Option<Box<str>>>(5)?,
        note_kind: NoteKind::parse(&kind)
            .ok_or_else(|| Unreadable::Strange(format!("kind of note {kind:?}")))?,
    };
    Ok((!choice.is_nothing()).then_some(choice))
}

/// What is published, and what it says: that is read anew, for it is not stored twice.
fn category(row: &Row<'_>) -> Result<Instance, Unreadable> {
    let key = Key {
        category: row.get(1)?,
        container: row.get(2)?,
        instance: row.get(3)?,
    };
    let document: Vec<u8> = row.get(6)?;
    let meaning = published::meaning(&key.category, Life::Static, &document);
    let meaning = meaning.map_err(|_| {
        let Key {
            category,
            container,
            instance,
        } = &key;
        Unreadable::Strange(format!("published {category} {container} {instance}"))
    })?;
    Ok(Instance {
        key,
        version: row.get(4)?,
        life: Life::Static,
        endpoint: None,
        published: Now(number(row, 5)?),
        document: document.into(),
        meaning,
    })
}

fn card_line(row: &Row<'_>, card: &mut Card) -> Result<(), Unreadable> {
    let name = text(row, 1)?;
    let line = CardLine::parse(&name)
        .ok_or_else(|| Unreadable::Strange(format!("line {name:?} of a card")))?;
    match card.set(line, Some(&text(row, 2)?)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Unreadable::Strange(error.to_string())),
    }
}

fn call_rule(row: &Row<'_>, rules: &mut Rules) -> Result<(), Unreadable> {
    let target = address(row, 3)?;
    match &*text(row, 1)? {
        "forward-always" => rules.forward_always = Some(target),
        "forward-busy" => rules.forward_busy = Some(target),
        "forward-no-answer" => rules.forward_no_answer = Some((target, row.get(4)?)),
        "ring-also" => rules.ring_also.push(target),
        other => return Err(Unreadable::Strange(format!("rule {other:?} for calls"))),
    }
    Ok(())
}

fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    row.get(index)
}

fn number(row: &Row<'_>, index: usize) -> Result<u64, Unreadable> {
    let number: i64 = row.get(index)?;
    u64::try_from(number).map_err(|_| Unreadable::Strange(format!("number {number}")))
}

fn address(row: &Row<'_>, index: usize) -> Result<Aor, Unreadable> {
    let text = text(row, index)?;
    Aor::parse(&text)
        .filter(|aor| aor.as_str() == text)
        .ok_or_else(|| Unreadable::Strange(format!("{text:?} is no address of record")))
}
