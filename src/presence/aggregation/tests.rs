//! The tables of the head, row by row.

use super::reference::Published;
use super::*;
use crate::documents::rpid::Activity;
use crate::presence::content::{Machine, Span};

pub(super) const OPEN: Option<Basic> = Some(Basic::Open);
pub(super) const CLOSED: Option<Basic> = Some(Basic::Closed);

/// Long after the beginning of time.
pub(super) const NOW: Now = Now(10_000_000_000);

pub(super) fn ago(s: u64) -> Now {
    Now(NOW.0 - s * 1_000_000)
}

pub(super) fn note(text: &str) -> Option<Arc<Note>> {
    (!text.is_empty()).then(|| {
        Arc::new(Note {
            text: text.into(),
            language: "".into(),
        })
    })
}

pub(super) fn set(activities: &[Activity]) -> Activities {
    let activities = activities.iter().copied();
    activities.fold(Activities::NONE, Activities::with)
}

pub(super) fn said(publications: &[Published]) -> impl Iterator<Item = Said<'_>> + Clone {
    publications.iter().map(|(endpoint, at, content)| Said {
        endpoint: EndpointKey(*endpoint),
        at: *at,
        content,
    })
}

pub(super) fn known(registered: bool) -> Known<'static> {
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

pub(super) fn quiet(last_input: Now) -> Option<Machine> {
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
