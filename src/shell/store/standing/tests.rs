//! Rows and standing data, both ways; what is refused, removed, or was there before the tables were.

use super::*;
use crate::calls::Rules;
use crate::dialect::lync::published;
use crate::presence::{
    Access, CardLine, Categories, Choice, Contacts, Instance, Key, Level, Life, Manual, Meaning,
    Member, NoteKind, Subscribers, Waiting,
};
use crate::registrar::Home;
use crate::shell::store::{Admission, DataDir};
use crate::sip::time::Now;

fn aor(name: &str) -> Aor {
    Aor::parse(&format!("{name}@example.com")).unwrap()
}

fn user(name: &str) -> UserRecord {
    let admission = Admission {
        domains: &["example.com".into()],
        schemes: &[crate::auth::Scheme::DigestSha256],
    };
    admission.user(aor(name).as_str(), "", "secret").unwrap()
}

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&DataDir::open(folder.path()).unwrap()).unwrap()
}

/// Something in every place.
fn rich() -> Standing {
    let mut standing = Standing {
        contacts: Contacts::default(),
        access: Access::new(
            vec![
                (Member::Everyone, Level::Blocked),
                (Member::SameOrganisation, Level::Workgroup),
                (Member::parse("example.org").unwrap(), Level::External),
                (Member::User(aor("alice")), Level::Friends),
            ],
            true,
        )
        .unwrap(),
        choice: Some(Choice {
            state: Some(Manual::UrgentOnly),
            custom: Some("In the lab".into()),
            until: Some(Now(1_700_000_000_123_456)),
            note: Some("Back on Monday\n– or Tuesday".into()),
            note_kind: NoteKind::OutOfOffice,
        }),
        card: Default::default(),
        rules: Rules {
            forward_always: None,
            forward_busy: Some(aor("carol")),
            forward_no_answer: Some((aor("dave"), 20)),
            ring_also: vec![aor("zoe"), aor("erin")],
        },
        alerts: vec![aor("zoe"), aor("carol")],
        waiting: Waiting {
            new: 3,
            old: 2,
            urgent_new: 1,
            urgent_old: 0,
        },
        home: Home::parse("fe02.example.com:5061"),
        sign_outs: 7,
        access_version: 1,
        categories: Categories::NONE,
        subscribers: Subscribers::NONE,
    };
    let generic = Instance {
        key: Key {
            category: "calendarData".into(),
            container: 32_000,
            instance: u32::MAX,
        },
        version: 7,
        life: Life::Static,
        endpoint: None,
        published: Now(1_700_000_000_123_456),
        document: b"<x xmlns=\"\"></x>".as_slice().into(),
        meaning: Meaning::Nothing,
    };
    standing.categories.put(generic);
    let choice = standing.choice.clone();
    published::in_step(&mut standing.categories, choice.as_ref(), Now(5));
    standing.subscribers.add(&aor("zoe"), "Zoë Ω");
    standing.subscribers.add(&aor("carol"), "");
    standing.subscribers.acknowledge(&aor("zoe"), true);
    standing.contacts.add_group("Friends").unwrap();
    standing.contacts.add_group("Gone").unwrap();
    for n in 2..64 {
        standing.contacts.add_group(&format!("group {n}")).unwrap();
    }
    standing.contacts.remove_group("Gone").unwrap();
    let both = 1 | 1 << 63;
    standing.contacts.put(&aor("zoe"), "Zoë Ω", both).unwrap();
    standing.contacts.put(&aor("carol"), "", 0).unwrap();
    for line in CardLine::ALL {
        let text = if line.is_phone() { "+49 30 1" } else { "bob@h" };
        standing.card.set(line, Some(text)).unwrap();
    }
    standing
}

#[test]
fn all_of_it_comes_back_for_one_and_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    for name in ["alice", "bob", "bobby", "carol"] {
        store.add(&user(name)).unwrap();
    }
    let rich = rich();
    let all = |standing: &mut Standing| {
        *standing = rich.clone();
        Ok::<_, String>(())
    };
    let (bob, changed) = store.edit(&aor("bob"), all).unwrap();
    assert!(changed);
    assert_eq!(bob.standing.as_deref(), Some(&rich));
    assert!(!store.edit(&aor("bob"), all).unwrap().1);
    let one = |standing: &mut Standing| {
        standing.access.privacy = true;
        Ok::<_, String>(())
    };
    store.edit(&aor("carol"), one).unwrap();

    let store = open(&folder);
    assert_eq!(store.user("bob@example.com").unwrap().unwrap(), bob);
    let mut told = Vec::new();
    store
        .users(|user| {
            assert_eq!(store.user(user.aor.as_str()).unwrap().as_ref(), Some(&user));
            told.push((user.aor.user().to_owned(), user.standing.is_some()));
        })
        .unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|(name, any)| format!("{name} {any}"))
        .collect();
    assert_eq!(
        told,
        ["alice false", "bob true", "bobby false", "carol true"]
    );
}

#[test]
fn what_is_refused_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    store.add(&user("bob")).unwrap();
    let rich = rich();
    store
        .edit(&aor("bob"), |standing| {
            *standing = rich.clone();
            Ok::<_, String>(())
        })
        .unwrap();
    let lines = store.journal_lines().unwrap();
    let versions = |store: &Store| -> Vec<String> {
        let mut statement = store
            .connection
            .prepare("SELECT kind || ' ' || version FROM document ORDER BY kind")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let before = versions(&store);
    assert_eq!(
        before,
        [
            "access 1",
            "alerts 1",
            "calls 1",
            "card 1",
            "categories 1",
            "choice 1",
            "contacts 67",
            "registration 1",
            "subscribers 1",
            "waiting 1"
        ]
    );
    let refused = store.edit(&aor("bob"), |standing| {
        standing.contacts = Contacts::default();
        Err("no")
    });
    assert_eq!(refused.unwrap_err().to_string(), "no");
    let refused = store.edit(&aor("bob"), |standing| {
        standing.contacts = Contacts::default();
        standing.rules.forward_busy = Some(aor("bob"));
        Ok::<_, String>(())
    });
    let said = refused.unwrap_err().to_string();
    assert!(
        said.starts_with("forward_busy: it leads to the user themself"),
        "{said}"
    );
    let refused = store.edit(&aor("nobody"), |_| Ok::<_, String>(()));
    assert!(matches!(refused, Err(EditError::NoSuchUser(_))));
    assert_eq!(
        (store.journal_lines().unwrap(), versions(&store)),
        (lines, before)
    );
    assert_eq!(
        store
            .user("bob@example.com")
            .unwrap()
            .unwrap()
            .standing
            .as_deref(),
        Some(&rich)
    );

    // Each part alone: its version rises, the others' do not.
    let edit = |standing: &mut Standing| {
        standing.choice = None;
        Ok::<_, String>(())
    };
    store.edit(&aor("bob"), edit).unwrap();
    // What is published of the choice is in step with it.
    let expected = ["categories 2", "choice 2", "contacts 67"];
    assert_eq!(versions(&store)[4..7], expected);
}

#[test]
fn a_removed_user_leaves_nothing_to_who_comes_after() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    store.add(&user("bob")).unwrap();
    let all = |standing: &mut Standing| {
        *standing = rich();
        Ok::<_, String>(())
    };
    store.edit(&aor("bob"), all).unwrap();
    assert!(store.remove(&aor("bob")).unwrap());
    store.add(&user("bob")).unwrap();
    assert_eq!(
        store.user("bob@example.com").unwrap().unwrap().standing,
        None
    );
}

#[test]
fn a_database_of_the_version_before_is_led_on() {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path()).unwrap();
    {
        let old = rusqlite::Connection::open(dir.muster_db()).unwrap();
        old.execute_batch(crate::shell::store::users::FIRST)
            .unwrap();
        old.execute(
            "INSERT INTO user VALUES ('bob@example.com', 'Bob', NULL, NULL)",
            [],
        )
        .unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
    }
    let mut store = Store::open(&dir).unwrap();
    let one = |standing: &mut Standing| {
        standing.access.privacy = true;
        Ok::<_, String>(())
    };
    let (bob, changed) = store.edit(&aor("bob"), one).unwrap();
    assert!(changed && &*bob.display_name == "Bob");
}

#[test]
fn a_row_that_cannot_be_ours_is_told_with_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    store.add(&user("bob")).unwrap();
    let one = |standing: &mut Standing| {
        standing.access.privacy = true;
        Ok::<_, String>(())
    };
    store.edit(&aor("bob"), one).unwrap();
    store
        .connection
        .execute(
            "INSERT INTO access_rule VALUES ('bob@example.com', 'everyone', 'loved')",
            [],
        )
        .unwrap();
    let said = store.user("bob@example.com").unwrap_err().to_string();
    assert!(
        said.contains("bob@example.com: access rule everyone loved"),
        "{said}"
    );
}
