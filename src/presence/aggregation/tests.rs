//! The tables of the head, row by row; and against a slow reference written apart.

use proptest::prelude::*;

use super::reference::{Published, reference};
use super::*;
use crate::documents::place::Place;
use crate::documents::rpid::Activity;
use crate::presence::categories::{Edit, Instance, Key, Life, Meaning};
use crate::presence::content::{Machine, Span};
use crate::presence::presentity::Presentity;

const OPEN: Option<Basic> = Some(Basic::Open);
const CLOSED: Option<Basic> = Some(Basic::Closed);

/// Long after the beginning of time.
const NOW: Now = Now(10_000_000_000);

fn ago(s: u64) -> Now {
    Now(NOW.0 - s * 1_000_000)
}

fn note(text: &str) -> Option<Arc<Note>> {
    (!text.is_empty()).then(|| {
        Arc::new(Note {
            text: text.into(),
            language: "".into(),
        })
    })
}

fn set(activities: &[Activity]) -> Activities {
    let activities = activities.iter().copied();
    activities.fold(Activities::NONE, Activities::with)
}

fn said(publications: &[Published]) -> impl Iterator<Item = Said<'_>> + Clone {
    publications.iter().map(|(endpoint, at, content)| Said {
        endpoint: EndpointKey(*endpoint),
        at: *at,
        content,
    })
}

fn known(registered: bool) -> Known<'static> {
    Known {
        now: NOW,
        registered,
        phone: Phone::OnHook,
        choice: None,
    }
}

fn told(state: &State) -> String {
    let (word, activities) = (state.availability, state.activities);
    let open = matches!(word, Availability::Offline) == (state.basic == Basic::Closed);
    assert!(open, "{state:?}");
    format!("{word:?} {activities:?}")
}

/// Endpoint, instant, reachable, activities.
type Row = (u64, u64, Option<Basic>, &'static [Activity]);

fn published(rows: &[Row]) -> Vec<Published> {
    let content = |row: &Row| Content {
        basic: row.2,
        activities: set(row.3),
        ..Content::default()
    };
    rows.iter()
        .map(|row| (row.0, Now(row.1), content(row)))
        .collect()
}

#[test]
fn who_is_reachable_and_what_endpoints_come_to() {
    use Activity as A;
    let cases: &[(&str, &[Row], bool, &str)] = &[
        ("nobody", &[], false, "Offline {}"),
        ("registered, silent", &[], true, "Available {}"),
        ("open", &[(1, 1, OPEN, &[])], true, "Available {}"),
        (
            "not registered",
            &[(1, 1, OPEN, &[])],
            false,
            "Available {}",
        ),
        ("closed", &[(1, 1, CLOSED, &[])], true, "Offline {}"),
        (
            "closed, away",
            &[(1, 1, CLOSED, &[A::Away])],
            true,
            "Offline {}",
        ),
        (
            "one closed, one open",
            &[(1, 1, CLOSED, &[A::Busy]), (2, 2, OPEN, &[])],
            true,
            "Available {}",
        ),
        (
            "the other order",
            &[(1, 3, CLOSED, &[A::Busy]), (2, 2, OPEN, &[])],
            true,
            "Available {}",
        ),
        (
            "baresip starts",
            &[(1, 1, None, &[]), (1, 2, OPEN, &[])],
            true,
            "Available {}",
        ),
        (
            "baresip goes",
            &[(1, 1, OPEN, &[]), (1, 2, CLOSED, &[])],
            true,
            "Offline {}",
        ),
        (
            "baresip's first, registered",
            &[(1, 1, None, &[])],
            true,
            "Available {}",
        ),
        (
            "baresip's first, not registered",
            &[(1, 1, None, &[])],
            false,
            "Offline {}",
        ),
        (
            "only a person",
            &[(1, 1, None, &[A::Busy])],
            true,
            r#"Busy {"busy"}"#,
        ),
        (
            "only a person, not registered",
            &[(1, 1, None, &[A::Busy])],
            false,
            "Offline {}",
        ),
        (
            "silence beside closed",
            &[(1, 1, None, &[A::Busy]), (2, 2, CLOSED, &[])],
            true,
            "Offline {}",
        ),
        (
            "there beats away",
            &[(1, 1, OPEN, &[A::Away]), (2, 2, OPEN, &[])],
            true,
            "Available {}",
        ),
        (
            "in a call beats there",
            &[(1, 1, OPEN, &[A::OnThePhone]), (2, 2, OPEN, &[])],
            true,
            r#"InACall {"on-the-phone"}"#,
        ),
        (
            "in a call beats busy",
            &[(1, 1, OPEN, &[A::OnThePhone]), (2, 2, OPEN, &[A::Busy])],
            true,
            r#"InACall {"on-the-phone"}"#,
        ),
        (
            "do not disturb beats all",
            &[
                (1, 1, OPEN, &[A::DoNotDisturb]),
                (2, 2, OPEN, &[A::Presentation]),
            ],
            true,
            r#"DoNotDisturb {"dnd"}"#,
        ),
        (
            "equals join",
            &[(1, 1, OPEN, &[A::Lunch]), (2, 2, OPEN, &[A::Dinner])],
            true,
            r#"BeRightBack {"dinner", "lunch"}"#,
        ),
        (
            "newest alone",
            &[(1, 1, OPEN, &[A::DoNotDisturb]), (1, 2, OPEN, &[A::Away])],
            true,
            r#"Away {"away"}"#,
        ),
        (
            "a meeting beats away",
            &[(1, 1, OPEN, &[A::Away, A::Meeting])],
            true,
            r#"InAMeeting {"meeting"}"#,
        ),
        (
            "busy with an appointment",
            &[(1, 1, OPEN, &[A::Busy, A::Appointment])],
            true,
            r#"Busy {"appointment", "busy"}"#,
        ),
        (
            "presenting in a meeting",
            &[(1, 1, OPEN, &[A::Presentation, A::Meeting])],
            true,
            r#"Presenting {"presentation"}"#,
        ),
        (
            "on vacation",
            &[(1, 1, OPEN, &[A::Vacation])],
            true,
            r#"OutOfOffice {"vacation"}"#,
        ),
        (
            "on vacation, away",
            &[(1, 1, OPEN, &[A::Vacation, A::Away])],
            true,
            r#"OutOfOffice {"vacation"}"#,
        ),
        (
            "on vacation, but busy",
            &[(1, 1, OPEN, &[A::Vacation]), (2, 2, OPEN, &[A::Busy])],
            true,
            r#"Busy {"busy"}"#,
        ),
        (
            "on vacation, in a call",
            &[(1, 1, OPEN, &[A::Vacation, A::OnThePhone])],
            true,
            r#"InACall {"on-the-phone"}"#,
        ),
        (
            "a holiday",
            &[(1, 1, OPEN, &[A::Holiday])],
            true,
            r#"OffWork {"holiday"}"#,
        ),
        (
            "working",
            &[(1, 1, OPEN, &[A::Working])],
            true,
            r#"Available {"working"}"#,
        ),
    ];
    for (name, rows, registered, expected) in cases {
        let publications = published(rows);
        let state = aggregate(said(&publications), &known(*registered));
        assert_eq!(told(&state), *expected, "{name}");
    }
}

fn quiet(last_input: Now) -> Option<Machine> {
    Some(Machine::Quiet {
        last_input,
        inactive_after_s: 300,
        away_after_s: 300,
    })
}

#[test]
fn machines_are_idle_and_away_by_the_clock_and_locked_at_once() {
    use Activity as A;
    let locked = Some(Machine::Locked {
        last_input: Some(ago(5)),
    });
    let active = Some(Machine::Active);
    let at_work: &[Activity] = &[];
    let cases = [
        (
            "just now",
            vec![(quiet(ago(299)), at_work)],
            "Available {}",
            None,
        ),
        (
            "five minutes",
            vec![(quiet(ago(300)), at_work)],
            "Idle {}",
            Some(300),
        ),
        (
            "nearly ten",
            vec![(quiet(ago(599)), at_work)],
            "Idle {}",
            Some(599),
        ),
        (
            "ten minutes",
            vec![(quiet(ago(600)), at_work)],
            "Away {}",
            Some(600),
        ),
        ("locked", vec![(locked, at_work)], "Away {}", Some(5)),
        (
            "one is active",
            vec![(quiet(ago(900)), at_work), (active, at_work)],
            "Available {}",
            None,
        ),
        (
            "one tells nothing",
            vec![(quiet(ago(900)), at_work), (None, at_work)],
            "Available {}",
            Some(900),
        ),
        (
            "the livelier",
            vec![(quiet(ago(900)), at_work), (quiet(ago(400)), at_work)],
            "Idle {}",
            Some(400),
        ),
        (
            "busy beats idle",
            vec![(quiet(ago(400)), &[A::Busy])],
            r#"Busy {"busy"}"#,
            Some(400),
        ),
        (
            "a meeting beats away",
            vec![(quiet(ago(900)), &[A::Meeting])],
            r#"InAMeeting {"meeting"}"#,
            Some(900),
        ),
        (
            "vacation beats idle",
            vec![(quiet(ago(400)), &[A::Vacation])],
            r#"OutOfOffice {"vacation"}"#,
            Some(400),
        ),
        (
            "vacation, but active",
            vec![(active, &[A::Vacation])],
            "Available {}",
            None,
        ),
        (
            "playing",
            vec![(quiet(ago(400)), &[A::Playing])],
            r#"Idle {"playing"}"#,
            Some(400),
        ),
    ];
    for (name, machines, expected, last_active) in cases {
        let publications: Vec<Published> = machines
            .into_iter()
            .enumerate()
            .map(|(at, (machine, activities))| {
                let content = Content {
                    basic: OPEN,
                    machine,
                    activities: set(activities),
                    ..Content::default()
                };
                (at as u64, Now(at as u64), content)
            })
            .collect();
        let state = aggregate(said(&publications), &known(true));
        assert_eq!(told(&state), expected, "{name}");
        let last = state.more.as_ref().and_then(|more| more.last_active);
        // Somebody whose one machine tells nothing may be at it: the other one's time is told all the same.
        assert_eq!(last, last_active.map(ago), "{name}");
    }
}

/// The end of the state is told where it is known: nothing that a diary says ends what an endpoint says too.
#[test]
fn the_diary_says_until_when() {
    use Activity as A;
    const NEVER: u64 = u64::MAX / 1_000_000;
    let later = |s: u64| match s {
        NEVER => Now(u64::MAX),
        s => Now(NOW.0 + s * 1_000_000),
    };
    // What is said of any time; entries of the diary that have begun, each with its end.
    type Diary = (&'static [Activity], &'static [(Activity, u64)]);
    let cases: &[(&str, &[Diary], Option<u64>)] = &[
        ("a meeting", &[(&[], &[(A::Meeting, 60)])], Some(60)),
        (
            "two in one diary",
            &[(&[], &[(A::Meeting, 90), (A::Meeting, 60)])],
            Some(90),
        ),
        (
            "in two diaries",
            &[(&[], &[(A::Meeting, 60)]), (&[], &[(A::Meeting, 90)])],
            Some(90),
        ),
        (
            "the word that counts",
            &[(&[], &[(A::Meeting, 60), (A::Appointment, 90)])],
            Some(60),
        ),
        (
            "the vacation counts no more than who is there",
            &[(&[A::Busy], &[(A::Vacation, 60)])],
            None,
        ),
        ("away", &[(&[A::Away], &[(A::Vacation, 60)])], Some(60)),
        (
            "one has no end",
            &[(&[], &[(A::Meeting, 60), (A::Meeting, NEVER)])],
            None,
        ),
        (
            "one is said of any time",
            &[(&[], &[(A::Meeting, 60)]), (&[A::Meeting], &[])],
            None,
        ),
        (
            "busy afterwards too",
            &[(&[], &[(A::Appointment, 60)]), (&[A::Busy], &[])],
            None,
        ),
        ("busy", &[(&[], &[(A::Busy, 60)])], None),
    ];
    for (name, diaries, expected) in cases {
        let publications: Vec<Published> = (0..)
            .zip(*diaries)
            .map(|(endpoint, (always, entries))| {
                let span = |(activity, until): &(Activity, u64)| Span {
                    from: ago(60),
                    until: later(*until),
                    activities: Activities::one(*activity),
                    custom: None,
                    subject: None,
                };
                let rare = Rare {
                    spans: entries.iter().map(span).collect(),
                    ..Rare::default()
                };
                let content = Content {
                    basic: OPEN,
                    activities: set(always),
                    rare: Some(Box::new(rare)),
                    ..Content::default()
                };
                (endpoint, Now(endpoint), content)
            })
            .collect();
        let until = |known: &Known<'_>| {
            let state = aggregate(said(&publications), known);
            state.more.and_then(|more| more.until)
        };
        assert_eq!(until(&known(true)), expected.map(later), "{name}");
        let chosen = Choice {
            state: Some(Manual::DoNotDisturb),
            until: Some(later(30)),
            ..Choice::default()
        };
        let chosen = Known {
            choice: Some(&chosen),
            ..known(true)
        };
        assert_eq!(until(&chosen), Some(later(30)), "{name}");
    }
}

#[test]
fn a_choice_beats_what_is_found_out_and_falls_back() {
    use Activity as A;
    let choice = |state| Choice {
        state: Some(state),
        custom: Some("my words".into()),
        ..Choice::default()
    };
    let (busy, call) = (&[A::Busy][..], &[A::OnThePhone][..]);
    let cases = [
        (Manual::Available, &[][..], Phone::OnHook, "Available {}"),
        (
            Manual::Available,
            &[A::Away, A::Meeting],
            Phone::OnHook,
            "Available {}",
        ),
        (
            Manual::Available,
            &[A::DoNotDisturb],
            Phone::OnHook,
            "Available {}",
        ),
        (
            Manual::Available,
            call,
            Phone::OnHook,
            r#"InACall {"on-the-phone"}"#,
        ),
        (
            Manual::Busy,
            &[],
            Phone::InACall,
            r#"InACall {"on-the-phone"}"#,
        ),
        (
            Manual::Busy,
            call,
            Phone::InAConference,
            r#"InAConference {"on-the-phone"}"#,
        ),
        (
            Manual::DoNotDisturb,
            busy,
            Phone::InACall,
            "DoNotDisturb {}",
        ),
        (Manual::UrgentOnly, busy, Phone::OnHook, "UrgentOnly {}"),
        (Manual::BeRightBack, call, Phone::OnHook, "BeRightBack {}"),
        (Manual::Away, busy, Phone::OnHook, "Away {}"),
        (Manual::OffWork, busy, Phone::InACall, "OffWork {}"),
        (
            Manual::AppearOffline,
            busy,
            Phone::InACall,
            "AppearOffline {}",
        ),
    ];
    for (manual, activities, phone, expected) in cases {
        let content = Content {
            basic: OPEN,
            activities: set(activities),
            note: note("published"),
            ..Content::default()
        };
        let publications = [(1, Now(1), content)];
        let mut chosen = choice(manual);
        let fold = |choice: &Choice, registered_only: bool| {
            let all = said(&publications).filter(move |_| !registered_only);
            let known = Known {
                phone,
                choice: Some(choice),
                ..known(true)
            };
            aggregate(all, &known)
        };
        let state = fold(&chosen, false);
        assert_eq!(told(&state), expected, "{manual:?}");
        let words = state.more.and_then(|more| more.custom);
        assert_eq!(words.is_some(), expected.ends_with("{}"), "{manual:?}");
        assert_eq!(state.note.is_some(), manual != Manual::AppearOffline);
        chosen.until = Some(NOW);
        let without = Known {
            phone,
            ..known(true)
        };
        assert_eq!(
            fold(&chosen, false),
            aggregate(said(&publications), &without)
        );
    }
    // Signed out is offline, whatever was chosen.
    let chosen = choice(Manual::Busy);
    let gone = Known {
        choice: Some(&chosen),
        ..known(false)
    };
    assert_eq!(aggregate(said(&[]), &gone), State::OFFLINE);
}

#[test]
fn notes() {
    type Noted = (u64, u64, &'static str);
    let cases: &[(&[Noted], Option<&str>)] = &[
        (&[(1, 1, "")], None),
        (&[(1, 1, "a"), (2, 2, "b")], Some("b")),
        (&[(1, 2, "a"), (2, 1, "b")], Some("a")),
        (&[(1, 1, "a"), (2, 2, "")], Some("a")),
        (&[(1, 1, "a"), (1, 2, "")], Some("a")),
    ];
    let lasting = Choice {
        note: Some("kept".into()),
        note_kind: NoteKind::OutOfOffice,
        ..Choice::default()
    };
    for (rows, expected) in cases {
        let content = |text: &str| Content {
            basic: CLOSED,
            note: note(text),
            activities: Activities::one(Activity::Vacation),
            ..Content::default()
        };
        let publications: Vec<Published> = rows
            .iter()
            .map(|(endpoint, at, text)| (*endpoint, Now(*at), content(text)))
            .collect();
        let state = aggregate(said(&publications), &known(false));
        assert_eq!(state.note.as_deref().map(|note| &*note.text), *expected);
        let kind = expected.map_or(NoteKind::Personal, |_| NoteKind::OutOfOffice);
        assert_eq!(
            (state.availability, state.note_kind),
            (Availability::Offline, kind)
        );
        let chosen = Known {
            choice: Some(&lasting),
            ..known(false)
        };
        let state = aggregate(said(&publications), &chosen);
        assert_eq!(state.note.as_deref().map(|note| &*note.text), Some("kept"));
    }
}

fn any_activities() -> impl Strategy<Value = Activities> {
    let activity = prop_oneof![
        Just(Activity::Away),
        Just(Activity::Busy),
        Just(Activity::OnThePhone),
        Just(Activity::DoNotDisturb),
        Just(Activity::Lunch),
        Just(Activity::Vacation),
        Just(Activity::Holiday),
        Just(Activity::Meeting),
        Just(Activity::Appointment),
        Just(Activity::Presentation),
        Just(Activity::Working),
        Just(Activity::Other),
    ];
    proptest::collection::vec(activity, 0..3).prop_map(|all| set(&all))
}

fn any_instant() -> impl Strategy<Value = Now> {
    prop_oneof![
        Just(NOW),
        (0u64..1200).prop_map(ago),
        (1u64..600).prop_map(|s| Now(NOW.0 + s * 1_000_000))
    ]
}

fn any_words() -> impl Strategy<Value = Option<Arc<str>>> {
    prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))].prop_map(|text| text.map(Arc::from))
}

fn any_machine() -> impl Strategy<Value = Option<Machine>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Machine::Active)),
        3 => any_instant().prop_map(quiet),
        1 => any_instant().prop_map(|at| Some(Machine::Locked { last_input: Some(at) })),
        1 => Just(Some(Machine::Locked { last_input: None })),
        1 => (any::<bool>(), any_instant()).prop_map(|(away, at)| {
            let last_input = Some(at);
            Some(Machine::Left { away, last_input })
        }),
    ]
}

fn any_span() -> impl Strategy<Value = Span> {
    (
        any_instant(),
        prop_oneof![5 => any_instant(), 1 => Just(Now(u64::MAX))],
        any_activities(),
        any_words(),
        any_words(),
    )
        .prop_map(|(from, until, activities, custom, subject)| Span {
            from: from.min(until),
            until: from.max(until),
            activities,
            custom,
            subject,
        })
}

fn any_rare() -> impl Strategy<Value = Option<Box<Rare>>> {
    let place = prop_oneof![
        Just(None),
        Just(Place::of("office")),
        Just(Place::of("train"))
    ];
    let rare = (
        proptest::collection::vec(any_span(), 0..3),
        any_words(),
        any_words(),
        any_words(),
        place,
        proptest::option::of(-60i16..60),
    )
        .prop_map(
            |(spans, custom, subject, location, place, offset_min)| Rare {
                spans: spans.into(),
                custom,
                subject,
                location,
                place,
                offset_min,
            },
        );
    proptest::option::of(rare.prop_map(Box::new))
}

fn any_publication() -> impl Strategy<Value = (u64, Content)> {
    let basic = prop_oneof![1 => Just(None), 4 => Just(OPEN), 1 => Just(CLOSED)];
    let text = prop_oneof![Just(""), Just("a"), Just("b")];
    (
        0u64..4,
        basic,
        any_activities(),
        text,
        any_machine(),
        any_rare(),
    )
        .prop_map(|(endpoint, basic, activities, text, machine, rare)| {
            let content = Content {
                note: note(text),
                rare,
                machine,
                activities,
                basic,
            };
            (endpoint, content)
        })
}

fn any_choice() -> impl Strategy<Value = Option<Choice>> {
    let state = proptest::option::of(proptest::sample::select(&Manual::ALL[..]));
    let choice = (
        state,
        any_words(),
        proptest::option::of(any_instant()),
        any_words(),
    )
        .prop_map(|(state, custom, until, note)| Choice {
            state,
            custom: custom.map(|text| (&*text).into()),
            until,
            note: note.map(|text| (&*text).into()),
            note_kind: NoteKind::OutOfOffice,
        });
    proptest::option::of(choice)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_order_gives_the_same_state_and_the_slow_way_agrees(
        publications in proptest::collection::vec(any_publication(), 0..7),
        choice in any_choice(),
        phone in prop_oneof![Just(Phone::OnHook), Just(Phone::InACall), Just(Phone::InAConference)],
        registered in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut numbered: Vec<Published> = publications
            .into_iter()
            .enumerate()
            .map(|(at, (endpoint, content))| (endpoint, Now(at as u64), content))
            .collect();
        let known = Known { now: NOW, registered, phone, choice: choice.as_ref() };
        let state = aggregate(said(&numbered), &known);
        prop_assert_eq!(&state, &reference(&numbered, &known));
        numbered.sort_by_key(|(_, at, _)| (at.0 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        prop_assert_eq!(&state, &aggregate(said(&numbered), &known));
    }

    /// The same for what is published in categories, in whatever order the instances come: of each endpoint all of container 3
    /// together, of the others nothing.
    #[test]
    fn any_order_of_categories_gives_the_same_state_and_the_slow_way_agrees(
        instances in proptest::collection::vec((any_publication(), 2u32..4, 0u32..3), 0..9),
        choice in any_choice(),
        registered in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut all: Vec<(u64, u32, u32, Content)> = Vec::new();
        for ((endpoint, content), container, number) in instances {
            let content = Content { note: None, rare: None, ..content };
            let taken = |(e, c, n, _): &(u64, u32, u32, Content)| {
                (*e, *c, *n) == (endpoint, container, number)
            };
            if !all.iter().any(taken) {
                all.push((endpoint, container, number, content));
            }
        }
        let told = |all: &[(u64, u32, u32, Content)]| {
            let mut presentity = Presentity::new(NOW, choice.as_ref());
            presentity.registered(NOW, registered);
            for (endpoint, container, number, content) in all {
                let key = Key {
                    category: "state".into(),
                    container: *container,
                    instance: 10 * *endpoint as u32 + number,
                };
                let instance = Instance {
                    key: key.clone(),
                    version: 1,
                    life: Life::Endpoint,
                    endpoint: Some(EndpointKey(*endpoint)),
                    published: NOW,
                    document: b"<x/>".as_slice().into(),
                    meaning: Meaning::Endpoint(Box::new(content.clone())),
                };
                let edit = Edit { key, before: 0, after: Some(instance) };
                presentity.edit_categories(NOW, vec![edit]);
            }
            presentity.state().clone()
        };
        let state = told(&all);
        let mut other = all.clone();
        other.sort_by_key(|(endpoint, container, number, _)| {
            (u64::from(container * 100 + number) ^ endpoint ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        prop_assert_eq!(&state, &told(&other));
        all.sort_by_key(|(endpoint, _, number, _)| (*endpoint, *number));
        let mut published: Vec<Published> = Vec::new();
        for (endpoint, container, _, content) in &all {
            if *container != 3 {
                continue;
            }
            match published.last_mut() {
                Some((last, _, said)) if last == endpoint => {
                    for activity in content.activities.iter() {
                        said.activities = said.activities.with(activity);
                    }
                    said.machine = said.machine.or(content.machine);
                    said.basic = said.basic.or(content.basic);
                }
                _ => published.push((*endpoint, Now(published.len() as u64), content.clone())),
            }
        }
        let known = Known { now: NOW, registered, phone: Phone::OnHook, choice: choice.as_ref() };
        prop_assert_eq!(&state, &reference(&published, &known));
    }

    /// Between two moments that `next_change` names nothing changes by itself.
    #[test]
    fn the_next_change_is_never_late(
        publications in proptest::collection::vec(any_publication(), 0..4),
        later in 0u64..1_200_000_000,
    ) {
        let numbered: Vec<Published> = publications
            .into_iter()
            .enumerate()
            .map(|(at, (endpoint, content))| (endpoint, Now(at as u64), content))
            .collect();
        let next = numbered.iter().filter_map(|(_, _, content)| content.next_change(NOW)).min();
        let then = Now(NOW.0 + later);
        if next.is_none_or(|next| next > then) {
            let known = known(true);
            let after = Known { now: then, ..known };
            prop_assert_eq!(aggregate(said(&numbered), &known), aggregate(said(&numbered), &after));
        }
    }
}
