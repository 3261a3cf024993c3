//! Whatever chance has been published: against the slow reference, and in any order.

use proptest::prelude::*;

use super::reference::{Published, reference};
use super::tests::{CLOSED, NOW, OPEN, ago, known, note, quiet, said, set};
use super::*;
use crate::documents::place::Place;
use crate::documents::rpid::Activity;
use crate::presence::categories::{Edit, Instance, Key, Life, Meaning};
use crate::presence::content::{Machine, Span};
use crate::presence::presentity::Presentity;

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
