//! The table of the head, row by row; and against a slow reference written apart.

use proptest::prelude::*;

use super::*;
use crate::documents::rpid::Activity;

/// One publication, written so that a table of them can be read: endpoint, instant, what it says.
type Row = (u64, u64, Option<Basic>, &'static [Activity], &'static str);

fn note(text: &str) -> Option<Arc<Note>> {
    (!text.is_empty()).then(|| {
        Arc::new(Note {
            text: text.into(),
            language: "".into(),
        })
    })
}

fn folded(rows: &[Row], registered: bool) -> State {
    let notes: Vec<_> = rows.iter().map(|row| note(row.4)).collect();
    let said = rows.iter().zip(&notes).map(|(row, note)| Said {
        endpoint: EndpointKey(row.0),
        at: Now(row.1),
        basic: row.2,
        activities: row
            .3
            .iter()
            .copied()
            .fold(Activities::NONE, Activities::with),
        note: note.as_ref(),
    });
    aggregate(said, registered)
}

const OPEN: Option<Basic> = Some(Basic::Open);
const CLOSED: Option<Basic> = Some(Basic::Closed);

#[test]
fn the_table() {
    use Activity as A;
    use Availability as V;
    let cases: &[(&str, &[Row], bool, &str)] = &[
        ("nobody", &[], false, "Closed Offline {}"),
        ("registered, silent", &[], true, "Open Available {}"),
        ("open", &[(1, 1, OPEN, &[], "")], true, "Open Available {}"),
        (
            "open, not registered",
            &[(1, 1, OPEN, &[], "")],
            false,
            "Open Available {}",
        ),
        (
            "closed though registered",
            &[(1, 1, CLOSED, &[], "")],
            true,
            "Closed Offline {}",
        ),
        (
            "closed and away",
            &[(1, 1, CLOSED, &[A::Away], "")],
            true,
            r#"Closed Offline {"away"}"#,
        ),
        (
            "one closed, one open",
            &[(1, 1, CLOSED, &[A::Away], ""), (2, 2, OPEN, &[], "")],
            true,
            "Open Available {}",
        ),
        (
            "the other order",
            &[(1, 3, CLOSED, &[A::Away], ""), (2, 2, OPEN, &[], "")],
            true,
            "Open Available {}",
        ),
        (
            "baresip starts",
            &[(1, 1, None, &[], ""), (1, 2, OPEN, &[], "")],
            true,
            "Open Available {}",
        ),
        (
            "baresip goes",
            &[(1, 1, OPEN, &[], ""), (1, 2, CLOSED, &[], "")],
            true,
            "Closed Offline {}",
        ),
        (
            "baresip's first, registered",
            &[(1, 1, None, &[], "")],
            true,
            "Open Available {}",
        ),
        (
            "baresip's first, not registered",
            &[(1, 1, None, &[], "")],
            false,
            "Closed Offline {}",
        ),
        (
            "only a person",
            &[(1, 1, None, &[A::Busy], "")],
            true,
            r#"Open Busy {"busy"}"#,
        ),
        (
            "only a person, not registered",
            &[(1, 1, None, &[A::Busy], "")],
            false,
            r#"Closed Offline {"busy"}"#,
        ),
        (
            "silence beside closed",
            &[(1, 1, None, &[A::Busy], ""), (2, 2, CLOSED, &[], "")],
            true,
            r#"Closed Offline {"busy"}"#,
        ),
        (
            "there beats away",
            &[(1, 1, OPEN, &[A::Away], ""), (2, 2, OPEN, &[], "")],
            true,
            "Open Available {}",
        ),
        (
            "in a call beats there",
            &[(1, 1, OPEN, &[A::OnThePhone], ""), (2, 2, OPEN, &[], "")],
            true,
            r#"Open InACall {"on-the-phone"}"#,
        ),
        (
            "in a call beats busy",
            &[
                (1, 1, OPEN, &[A::OnThePhone], ""),
                (2, 2, OPEN, &[A::Busy], ""),
            ],
            true,
            r#"Open InACall {"on-the-phone"}"#,
        ),
        (
            "do not disturb beats all",
            &[
                (1, 1, OPEN, &[A::DoNotDisturb], ""),
                (2, 2, OPEN, &[A::Presentation], ""),
            ],
            true,
            r#"Open DoNotDisturb {"dnd"}"#,
        ),
        (
            "equals join",
            &[
                (1, 1, OPEN, &[A::Lunch], ""),
                (2, 2, OPEN, &[A::Dinner], ""),
            ],
            true,
            r#"Open BeRightBack {"dinner", "lunch"}"#,
        ),
        (
            "one endpoint's newest counts alone",
            &[
                (1, 1, OPEN, &[A::DoNotDisturb], ""),
                (1, 2, OPEN, &[A::Away], ""),
            ],
            true,
            r#"Open Away {"away"}"#,
        ),
        (
            "several of one",
            &[(1, 1, OPEN, &[A::Away, A::Meeting], "")],
            true,
            r#"Open InAMeeting {"away", "meeting"}"#,
        ),
    ];
    for (name, rows, registered, expected) in cases {
        let state = folded(rows, *registered);
        let told = format!(
            "{:?} {:?} {:?}",
            state.basic, state.availability, state.activities
        );
        assert_eq!(told, *expected, "{name}");
        assert_eq!(
            state.availability == V::Offline,
            state.basic == Basic::Closed,
            "{name}"
        );
    }
}

#[test]
fn the_newest_note_that_says_something_is_shown() {
    let cases: &[(&[Row], Option<&str>)] = &[
        (&[(1, 1, OPEN, &[], "")], None),
        (&[(1, 1, OPEN, &[], "a"), (2, 2, OPEN, &[], "b")], Some("b")),
        (&[(1, 2, OPEN, &[], "a"), (2, 1, OPEN, &[], "b")], Some("a")),
        (&[(1, 1, OPEN, &[], "a"), (2, 2, OPEN, &[], "")], Some("a")),
        (&[(1, 1, CLOSED, &[], "gone home")], Some("gone home")),
        (&[(1, 1, OPEN, &[], "a"), (1, 2, OPEN, &[], "")], Some("a")),
    ];
    for (rows, expected) in cases {
        let state = folded(rows, false);
        assert_eq!(
            state.note.as_deref().map(|note| &*note.text),
            *expected,
            "{rows:?}"
        );
    }
}

#[derive(Clone, Debug)]
struct Owned {
    endpoint: u64,
    basic: Option<Basic>,
    activities: Activities,
    note: Option<Arc<Note>>,
}

fn any_publication() -> impl Strategy<Value = Owned> {
    let activity = prop_oneof![
        Just(Activity::Away),
        Just(Activity::Busy),
        Just(Activity::OnThePhone),
        Just(Activity::DoNotDisturb),
        Just(Activity::Lunch),
        Just(Activity::Vacation),
        Just(Activity::Working),
    ];
    (
        0u64..4,
        prop_oneof![Just(None), Just(OPEN), Just(CLOSED)],
        proptest::collection::vec(activity, 0..3),
        prop_oneof![Just(""), Just("a"), Just("b")],
    )
        .prop_map(|(endpoint, basic, activities, text)| Owned {
            endpoint,
            basic,
            activities: activities
                .into_iter()
                .fold(Activities::NONE, Activities::with),
            note: note(text),
        })
}

fn said(publications: &[(u64, Owned)]) -> impl Iterator<Item = Said<'_>> + Clone {
    publications.iter().map(|(at, one)| Said {
        endpoint: EndpointKey(one.endpoint),
        at: Now(*at),
        basic: one.basic,
        activities: one.activities,
        note: one.note.as_ref(),
    })
}

/// The table once more, slowly and in other words: endpoint by endpoint, then step by step.
fn reference(publications: &[(u64, Owned)], registered: bool) -> State {
    let mut newest: Vec<&(u64, Owned)> = Vec::new();
    for endpoint in 0..4 {
        let of_endpoint = publications
            .iter()
            .filter(|(_, one)| one.endpoint == endpoint);
        newest.extend(of_endpoint.max_by_key(|(at, _)| *at));
    }
    let mut by_age: Vec<_> = publications.iter().collect();
    by_age.sort_by_key(|(at, _)| *at);
    let mut shown_note = None;
    for (_, one) in by_age {
        if one.note.is_some() {
            shown_note = one.note.clone();
        }
    }
    let any = |basic| newest.iter().any(|(_, one)| one.basic == basic);
    let open = match (any(OPEN), any(CLOSED), registered) {
        (true, _, _) => true,
        (false, true, _) => false,
        (false, false, registered) => registered,
    };
    if !open {
        let mut activities = Activities::NONE;
        for (_, one) in newest {
            activities = activities.union(one.activities);
        }
        return State {
            note: shown_note,
            activities,
            ..State::OFFLINE
        };
    }
    let mut best: Option<(Availability, Activities)> = None;
    for (_, one) in newest {
        if one.basic == CLOSED {
            continue;
        }
        let availability = Availability::of(one.activities);
        best = Some(match best {
            Some((so_far, activities)) if so_far == availability => {
                (so_far, activities.union(one.activities))
            }
            Some((so_far, activities)) if so_far < availability => (so_far, activities),
            _ => (availability, one.activities),
        });
    }
    let (availability, activities) = best.unwrap_or((Availability::Available, Activities::NONE));
    State {
        note: shown_note,
        activities,
        basic: Basic::Open,
        availability,
    }
}

proptest! {
    #[test]
    fn any_order_gives_the_same_state_and_the_slow_way_agrees(
        publications in proptest::collection::vec(any_publication(), 0..8),
        registered in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut numbered: Vec<(u64, Owned)> = publications
            .into_iter()
            .enumerate()
            .map(|(at, one)| (at as u64, one))
            .collect();
        let state = aggregate(said(&numbered), registered);
        prop_assert_eq!(&state, &reference(&numbered, registered));
        numbered.sort_by_key(|(at, _)| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        prop_assert_eq!(&state, &aggregate(said(&numbered), registered));
    }
}
