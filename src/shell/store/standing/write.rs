//! Standing data into its rows. A part that did not change is not touched; one that did is written anew as a whole.

use rusqlite::{Connection, params};

use crate::calls::Rules;
use crate::presence::{Access, Card, Categories, Contacts, GROUPS_MAX, Subscribers};
use crate::shard::standing::Standing;
use crate::sip::uri::Aor;

/// All tables with rows of a user.
const TABLES: [&str; 11] = [
    "document",
    "contact_group",
    "contact",
    "access_rule",
    "user_setting",
    "card_line",
    "call_rule",
    "alert",
    "registration",
    "category",
    "subscriber",
];

/// Writes what is new about a user. Within a transaction of the caller's.
pub(super) fn write(
    connection: &Connection,
    aor: &Aor,
    old: &Standing,
    new: &Standing,
) -> rusqlite::Result<()> {
    let changed = |kind, changed: bool, at_least: u64| match changed {
        true => rise(connection, aor, kind, at_least),
        false => Ok(()),
    };
    changed(
        "contacts",
        old.contacts != new.contacts,
        new.contacts.version(),
    )?;
    changed(
        "access",
        old.access != new.access,
        u64::from(new.access_version),
    )?;
    changed("choice", old.choice != new.choice, 1)?;
    changed("card", old.card != new.card, 1)?;
    changed("calls", old.rules != new.rules, 1)?;
    changed("alerts", old.alerts != new.alerts, 1)?;
    changed("waiting", old.waiting != new.waiting, 1)?;
    changed("categories", old.categories != new.categories, 1)?;
    changed("subscribers", old.subscribers != new.subscribers, 1)?;

    let registered = |standing: &Standing| (standing.home.clone(), standing.sign_outs);
    changed("registration", registered(old) != registered(new), 1)?;
    if registered(old) != registered(new) {
        registration(connection, aor, new)?;
    }
    if old.contacts != new.contacts {
        contacts(connection, aor, &new.contacts)?;
    }
    if old.access.members() != new.access.members() {
        access(connection, aor, &new.access)?;
    }
    let set = |standing: &Standing| {
        (
            standing.access.privacy,
            standing.choice.clone(),
            standing.waiting,
        )
    };
    if set(old) != set(new) {
        settings(connection, aor, new)?;
    }
    if old.card != new.card {
        card(connection, aor, &new.card)?;
    }
    if old.rules != new.rules {
        calls(connection, aor, &new.rules)?;
    }
    if old.alerts != new.alerts {
        alerts(connection, aor, &new.alerts)?;
    }
    if old.categories != new.categories {
        categories(connection, aor, &new.categories)?;
    }
    if old.subscribers != new.subscribers {
        subscribers(connection, aor, &new.subscribers)?;
    }
    Ok(())
}

/// Forgets all of a user who is removed. Within a transaction of the caller's.
pub(in crate::shell::store) fn forget(connection: &Connection, aor: &Aor) -> rusqlite::Result<()> {
    TABLES
        .iter()
        .try_for_each(|table| wipe(connection, table, aor))
}

fn wipe(connection: &Connection, table: &str, aor: &Aor) -> rusqlite::Result<()> {
    let statement = format!("DELETE FROM {table} WHERE aor = ?1");
    connection
        .prepare_cached(&statement)?
        .execute([aor.as_str()])?;
    Ok(())
}

fn rise(connection: &Connection, aor: &Aor, kind: &str, at_least: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO document(aor, kind, version) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET version = max(version + 1, excluded.version)",
        )?
        .execute(params![aor.as_str(), kind, stored(at_least)])?;
    Ok(())
}

fn contacts(connection: &Connection, aor: &Aor, contacts: &Contacts) -> rusqlite::Result<()> {
    wipe(connection, "contact_group", aor)?;
    wipe(connection, "contact", aor)?;
    let mut group = connection
        .prepare_cached("INSERT INTO contact_group(aor, slot, name) VALUES (?1, ?2, ?3)")?;
    for (slot, name) in contacts.groups() {
        group.execute(params![aor.as_str(), slot, name])?;
    }
    for (bit, name) in contacts.gone() {
        group.execute(params![aor.as_str(), GROUPS_MAX as u32 + bit, name])?;
    }
    let mut one = connection.prepare_cached(
        "INSERT INTO contact(aor, address, name, groups) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for contact in contacts.iter() {
        let groups = contact.groups.cast_signed();
        one.execute(params![aor.as_str(), contact.address, contact.name, groups])?;
    }
    Ok(())
}

fn access(connection: &Connection, aor: &Aor, access: &Access) -> rusqlite::Result<()> {
    wipe(connection, "access_rule", aor)?;
    let mut rule = connection
        .prepare_cached("INSERT INTO access_rule(aor, member, level) VALUES (?1, ?2, ?3)")?;
    for (member, level) in access.members() {
        rule.execute(params![aor.as_str(), member.to_string(), level.name()])?;
    }
    Ok(())
}

fn settings(connection: &Connection, aor: &Aor, standing: &Standing) -> rusqlite::Result<()> {
    wipe(connection, "user_setting", aor)?;
    let choice = standing.choice.clone().unwrap_or_default();
    let waiting = &standing.waiting;
    if choice.is_nothing() && waiting.is_empty() && !standing.access.privacy {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO user_setting VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            aor.as_str(),
            standing.access.privacy,
            choice.state.map(|state| state.name()),
            choice.custom,
            choice.until.map(|until| stored(until.0)),
            choice.note,
            choice.note_kind.name(),
            waiting.new,
            waiting.old,
            waiting.urgent_new,
            waiting.urgent_old,
        ])?;
    Ok(())
}

fn card(connection: &Connection, aor: &Aor, card: &Card) -> rusqlite::Result<()> {
    wipe(connection, "card_line", aor)?;
    let mut one =
        connection.prepare_cached("INSERT INTO card_line(aor, line, text) VALUES (?1, ?2, ?3)")?;
    for (line, text) in card.lines() {
        one.execute(params![aor.as_str(), line.name(), text])?;
    }
    Ok(())
}

fn calls(connection: &Connection, aor: &Aor, rules: &Rules) -> rusqlite::Result<()> {
    wipe(connection, "call_rule", aor)?;
    let no_answer = rules.forward_no_answer.as_ref();
    let forwards = [
        ("forward-always", rules.forward_always.as_ref(), None),
        ("forward-busy", rules.forward_busy.as_ref(), None),
        (
            "forward-no-answer",
            no_answer.map(|(target, _)| target),
            no_answer.map(|(_, after_s)| *after_s),
        ),
    ];
    let forwards = forwards
        .into_iter()
        .filter_map(|(rule, target, after_s)| Some((rule, 0, target?, after_s)));
    let also = (0_u32..).zip(&rules.ring_also);
    let also = also.map(|(position, target)| ("ring-also", position, target, None));
    let mut one = connection.prepare_cached(
        "INSERT INTO call_rule(aor, rule, position, target, after_s) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (rule, position, target, after_s) in forwards.chain(also) {
        one.execute(params![
            aor.as_str(),
            rule,
            position,
            target.as_str(),
            after_s
        ])?;
    }
    Ok(())
}

fn registration(connection: &Connection, aor: &Aor, new: &Standing) -> rusqlite::Result<()> {
    wipe(connection, "registration", aor)?;
    if new.home.is_none() && new.sign_outs == 0 {
        return Ok(());
    }
    let home = new.home.as_ref().map(|home| home.to_string());
    connection
        .prepare_cached("INSERT INTO registration(aor, home, sign_outs) VALUES (?1, ?2, ?3)")?
        .execute(params![aor.as_str(), home, new.sign_outs])?;
    Ok(())
}

fn alerts(connection: &Connection, aor: &Aor, alerts: &[Aor]) -> rusqlite::Result<()> {
    wipe(connection, "alert", aor)?;
    let mut one =
        connection.prepare_cached("INSERT INTO alert(aor, position, whom) VALUES (?1, ?2, ?3)")?;
    for (position, whom) in (0_u32..).zip(alerts) {
        one.execute(params![aor.as_str(), position, whom.as_str()])?;
    }
    Ok(())
}

fn categories(connection: &Connection, aor: &Aor, categories: &Categories) -> rusqlite::Result<()> {
    wipe(connection, "category", aor)?;
    let mut row =
        connection.prepare_cached("INSERT INTO category VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for one in categories.iter() {
        row.execute(params![
            aor.as_str(),
            one.key.category,
            one.key.container,
            one.key.instance,
            one.version,
            stored(one.published.0),
            &*one.document,
        ])?;
    }
    Ok(())
}

fn subscribers(
    connection: &Connection,
    aor: &Aor,
    subscribers: &Subscribers,
) -> rusqlite::Result<()> {
    wipe(connection, "subscriber", aor)?;
    let mut row =
        connection.prepare_cached("INSERT INTO subscriber VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (position, one) in (0_u32..).zip(subscribers.iter()) {
        row.execute(params![
            aor.as_str(),
            position,
            one.user.as_str(),
            one.name,
            one.acknowledged
        ])?;
    }
    Ok(())
}

/// As SQLite keeps whole numbers. Neither a version nor a time of ours comes near the end.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
