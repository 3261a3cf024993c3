//! States and notes as clients publish them, and each choice published and read back.

use super::*;

fn state_of(kind: &str, inside: &str) -> String {
    format!(
        "<state xmlns='{}' xmlns:x='{SCHEMA_INSTANCE}' x:type='{kind}'>{inside}</state>",
        Space::LyncState.name()
    )
}

#[test]
fn what_a_user_chooses_is_read() {
    let token = |number: u32, token: &str| {
        format!("<availability>{number}</availability><activity token='{token}'/>")
    };
    for (inside, expected) in [
        (token(3500, ""), "None None"),
        (token(6500, ""), "Some(Busy) None"),
        (token(9500, "urgent-interruptions-only"), "Some(UrgentOnly) None"),
        (token(9500, ""), "Some(DoNotDisturb) None"),
        (token(12500, ""), "Some(BeRightBack) None"),
        (token(15500, "off-work"), "Some(OffWork) None"),
        (token(15500, ""), "Some(Away) None"),
        (token(18500, ""), "Some(AppearOffline) None"),
        ("<availability>6500</availability><activity><custom LCID='1033'> In the lab </custom></activity>".into(), "Some(Busy) Some(\"In the lab\")"),
        ("<availability>3500</availability><activity><custom>Here</custom></activity>".into(), "Some(Available) Some(\"Here\")"),
        ("<availability>many</availability>".into(), "None None"),
        ("<unknown><deep/></unknown>".into(), "None None"),
    ] {
        let document = state_of("userState", &inside);
        let Ok(Meaning::State(state, custom)) = meaning(STATE, Life::Static, document.as_bytes()) else {
            panic!("{document}");
        };
        assert_eq!(format!("{state:?} {custom:?}"), expected, "{document}");
    }
    let long = format!("<activity><custom>{}</custom></activity>", "x".repeat(65));
    assert_eq!(
        meaning(STATE, Life::Static, state_of("userState", &long).as_bytes()),
        Err(Bad::Long("Custom State", 64))
    );
    assert_eq!(
        meaning(
            STATE,
            Life::Endpoint,
            state_of("aggregateState", "").as_bytes()
        ),
        Err(Bad::Aggregate)
    );
    let hides = state_of("userState", &token(18500, ""));
    for life in [Life::User, Life::Endpoint, Life::Until(Now(1))] {
        let read = meaning(STATE, life, hides.as_bytes());
        assert_eq!(read, Err(Bad::Hides), "nobody is visible who hides");
    }
    assert!(meaning(STATE, Life::Static, b"<state/>").is_err());
    assert_eq!(
        meaning("x", Life::Static, b"<state/>"),
        Ok(Meaning::Nothing)
    );
}

#[test]
fn what_an_endpoint_says_is_read() {
    let number = |number: u32| format!("<availability>{number}</availability>");
    let with = |number: u32, token: &str| {
        format!("<availability>{number}</availability><activity token='{token}'/>")
    };
    for (kind, inside, expected) in [
        ("machineState", number(3500), "Some(Active) Some(Open) {}"),
        (
            "machineState",
            number(5000),
            "Some(Left { away: false, last_input: None }) Some(Open) {}",
        ),
        ("machineState", number(6500), "Some(Active) Some(Open) {}"),
        (
            "machineState",
            number(15500),
            "Some(Left { away: true, last_input: None }) Some(Open) {}",
        ),
        ("machineState", number(18500), "None Some(Closed) {}"),
        ("machineState", String::new(), "None None {}"),
        (
            "phoneState",
            with(6500, "on-the-phone"),
            r#"None None {"on-the-phone"}"#,
        ),
        ("phoneState", number(3500), "None None {}"),
        (
            "calendarState",
            with(6500, "in-a-meeting"),
            r#"None None {"meeting"}"#,
        ),
        (
            "calendarState",
            number(6500),
            r#"None None {"appointment"}"#,
        ),
        (
            "calendarState",
            with(15500, "out-of-office"),
            r#"None None {"vacation"}"#,
        ),
        ("userState", number(6500), r#"None None {"busy"}"#),
        ("", number(3500), "None None {}"),
    ] {
        let document = state_of(kind, &inside);
        let Ok(Meaning::Endpoint(content)) = meaning(STATE, Life::Endpoint, document.as_bytes())
        else {
            panic!("{document}");
        };
        let (machine, basic) = (content.machine, content.basic);
        let said = format!("{machine:?} {basic:?} {:?}", content.activities);
        assert_eq!(said, expected, "{document}");
    }
    let meeting = state_of(
        "calendarState",
        "<availability>6500</availability><activity token='in-a-meeting'/><meetingSubject>Plans</meetingSubject><meetingLocation>Room 5</meetingLocation>",
    );
    let Ok(Meaning::Endpoint(content)) = meaning(STATE, Life::Endpoint, meeting.as_bytes()) else {
        panic!("{meeting}");
    };
    let rare = content.rare.expect("a subject");
    assert_eq!(rare.subject.as_deref(), Some("Plans"));
    assert_eq!(rare.location.as_deref(), Some("Room 5"));
}

#[test]
fn each_choice_is_published_and_reads_back() {
    let mut categories = Categories::default();
    in_step(&mut categories, None, Now(1));
    assert!(categories.is_empty());
    let mut version = 0;
    for state in Manual::ALL {
        for custom in [None, Some("In the lab")] {
            let choice = Choice {
                state: Some(state),
                custom: custom.map(Into::into),
                note: Some("Mail is better".into()),
                ..Choice::default()
            };
            in_step(&mut categories, Some(&choice), Now(2));
            let before = categories.clone();
            in_step(&mut categories, Some(&choice), Now(3));
            assert_eq!(before, categories, "{choice:?}");
            for one in categories.iter() {
                let read = meaning(&one.key.category, one.life, &one.document);
                assert_eq!(read.as_ref(), Ok(&one.meaning));
            }
            let read = choice_of(&categories, None, true, true).expect("a choice");
            let same = (state, custom) == (Manual::Available, None);
            let expected = (!same).then_some(state);
            assert_eq!(
                (read.state, read.custom),
                (expected, custom.map(Into::into))
            );
            assert_eq!(read.note, choice.note);
            if !same {
                version += 1;
            }
            let key = Key {
                category: STATE.into(),
                container: 3,
                instance: USER_STATE,
            };
            assert_eq!(categories.version(&key), version);
        }
    }
    in_step(&mut categories, None, Now(4));
    assert_eq!(categories.state(), Some((None, None)));
    assert_eq!((categories.note(), categories.len()), (None, 2));
}

#[test]
fn notes_are_read() {
    let document = |body: &str| format!("<note xmlns='{}'>{body}</note>", Space::LyncNote.name());
    for (body, expected) in [
        (
            "<body type='personal' uri=''>At my desk</body>",
            Ok(Meaning::Note(Some("At my desk".into()), NoteKind::Personal)),
        ),
        (
            "<body type='OOF'> Back\r\non Monday </body>",
            Ok(Meaning::Note(
                Some("Back\non Monday".into()),
                NoteKind::OutOfOffice,
            )),
        ),
        (
            "<body type='personal'> </body>",
            Ok(Meaning::Note(None, NoteKind::Personal)),
        ),
        ("", Ok(Meaning::Note(None, NoteKind::Personal))),
        (
            &*format!("<body>{}</body>", "é".repeat(501)),
            Err(Bad::Long("Note", 500)),
        ),
    ] {
        assert_eq!(
            meaning(NOTE, Life::Static, document(body).as_bytes()),
            expected,
            "{body}"
        );
    }
}
