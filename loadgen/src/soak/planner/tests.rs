//! The plan's rates, sessions and acts, as the model says them.

use super::*;

fn brief(users: u32, minutes: u64, acts: &[&str]) -> Brief {
    let mut model = Model::read("").unwrap();
    model.acts = acts.iter().map(|act| Act::read(act).unwrap()).collect();
    Brief {
        model,
        scale: Scale {
            times: 1.0,
            compress: 1.0,
        },
        users,
        seed: 1,
        ramp_us: 1_000_000,
        end_us: minutes * 60_000_000,
    }
}

fn all(brief: Brief) -> Vec<Event> {
    let mut planner = Planner::new(brief);
    std::iter::from_fn(|| planner.next()).collect()
}

#[test]
fn the_same_seed_plans_the_same_and_time_never_goes_back() {
    let one = all(brief(200, 30, &["crash@60/5", "meeting-end@90"]));
    assert_eq!(one, all(brief(200, 30, &["crash@60/5", "meeting-end@90"])));
    assert!(one.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us));
    let other = all(Brief {
        seed: 2,
        ..brief(200, 30, &[])
    });
    assert_ne!(one, other);
}

/// The figures for a million users, a thousandth of them: 5,200 messages and 1,111 publications a second.
#[test]
fn the_rates_are_the_models() {
    let events = all(brief(1000, 120, &[]));
    let hour = 3_600_000_000..7_200_000_000u64;
    let count = |which: fn(&Deed) -> bool| {
        let hits = events
            .iter()
            .filter(|event| hour.contains(&event.at_us) && which(&event.deed));
        hits.count() as f64 / 3600.0
    };
    let near = |found: f64, wanted: f64| {
        assert!(
            (found / wanted - 1.0).abs() < 0.12,
            "{found} instead of {wanted}"
        )
    };
    near(count(|deed| matches!(deed, Deed::Publish)), 1.111);
    near(count(|deed| matches!(deed, Deed::Typing { .. })), 10.3);
    near(count(|deed| matches!(deed, Deed::Poll { .. })), 1.667);
    near(count(|deed| matches!(deed, Deed::Watch { .. })), 1.667);
    near(count(|deed| matches!(deed, Deed::Unwatch { .. })), 1.667);
    // The one conference of 250 is a thousandth of a million's load, and here a third of it all.
    let messages = count(|deed| matches!(deed, Deed::Say { .. }));
    assert!((5.0..7.0).contains(&messages), "{messages}");
    let logons = events
        .iter()
        .filter(|event| event.deed == Deed::LogOn { resumed: false });
    assert_eq!(logons.count(), 1500);
}

#[test]
fn a_session_is_ten_messages_with_two_typings_each_and_ends_on_both_sides() {
    let events = all(brief(100, 60, &[]));
    let Some((session, callee, caller)) = events.iter().find_map(|event| match event.deed {
        Deed::Invite { session, callee } => Some((session, callee, event.seat)),
        _ => None,
    }) else {
        panic!("no session in an hour")
    };
    let (mut said, mut typed, mut left) = ([0; 2], 0, Vec::new());
    for event in &events {
        match event.deed {
            Deed::Say {
                session: s,
                sequence,
            } if s == session => {
                let side = usize::from(event.seat == callee);
                assert_eq!(sequence, said[side]);
                said[side] += 1;
                assert_eq!(typed, 2 * (said[0] + said[1]));
            }
            Deed::Typing { session: s } if s == session => typed += 1,
            Deed::Leave { session: s, parts } if s == session => {
                assert_eq!(parts, 2);
                left.push(event.seat);
            }
            _ => {}
        }
    }
    assert_eq!(
        (said[0] + said[1], typed, left),
        (10, 20, vec![caller, callee])
    );
    assert!(said[0] > 0);
}

#[test]
fn conferences_have_the_models_sizes_and_everybody_speaks_five_times() {
    let events: Vec<Event> = (1..=4)
        .flat_map(|seed| {
            all(Brief {
                seed,
                ..brief(4000, 120, &[])
            })
        })
        .collect();
    let mut sizes: HashMap<u32, u32> = HashMap::new();
    let mut said: HashMap<u32, u32> = HashMap::new();
    let mut first = None;
    let one_seed = events
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, event)| event.at_us == 0);
    let one_seed = one_seed.map_or(events.len(), |(index, _)| index);
    for (index, event) in events.iter().enumerate() {
        match &event.deed {
            Deed::Gather { session, members } => {
                *sizes.entry(members.len() as u32).or_default() += 1;
                first.get_or_insert((*session, members.len() as u32));
            }
            Deed::Say { session, .. } if index < one_seed => {
                *said.entry(*session).or_default() += 1
            }
            _ => {}
        }
    }
    let all = f64::from(sizes[&4] + sizes[&6] + sizes[&11]);
    let near = |size, share: f64| {
        assert!(
            (f64::from(sizes[&size]) / all - share).abs() < 0.03,
            "{sizes:?}"
        )
    };
    near(4, 0.85);
    near(6, 0.10);
    near(11, 0.05);
    assert!(sizes[&250] > 4, "{sizes:?}");
    let (session, size) = first.unwrap();
    assert_eq!(said[&session], 5 * size);
}

/// Without it the order of messages is hardly seen: by the gaps of the model none is sent while another is under way.
#[test]
fn one_message_in_ten_is_in_flight_with_the_one_before() {
    let events = all(brief(1000, 120, &[]));
    let mut before: HashMap<(u32, u32), (u64, u32)> = HashMap::new();
    let (mut said, mut close, mut at_once) = ([0; 2], [0; 2], 0);
    let mut conferences = std::collections::HashSet::new();
    for event in &events {
        match event.deed {
            Deed::Gather { session, .. } => drop(conferences.insert(session)),
            Deed::Say { session, sequence } => {
                let kind = usize::from(conferences.contains(&session));
                said[kind] += 1;
                let last = before.insert((session, event.seat), (event.at_us, sequence));
                if let Some((at_us, last)) = last {
                    assert_eq!(sequence, last + 1);
                    close[kind] += u32::from(event.at_us - at_us <= 3_000);
                    at_once += u32::from(event.at_us == at_us);
                }
            }
            _ => {}
        }
    }
    for kind in 0..2 {
        let share = f64::from(close[kind]) / f64::from(said[kind]);
        assert!((0.07..0.13).contains(&share), "{close:?} of {said:?}");
    }
    assert!(at_once > close[1], "{at_once} of {close:?}");
}

#[test]
fn acts_do_what_they_say() {
    let users = 300;
    let of = |act: &str, which: fn(&Deed) -> bool| -> Vec<Event> {
        all(brief(users, 5, &[act]))
            .into_iter()
            .filter(|event| which(&event.deed))
            .collect()
    };
    let crash = of("crash@60/10", |deed| {
        matches!(deed, Deed::Drop | Deed::LogOn { resumed: false })
    });
    // 450 seats log on, drop in one instant, and log on again within ten seconds.
    assert_eq!(crash.len(), 3 * 450);
    assert!(
        crash[450..900]
            .iter()
            .all(|event| event.at_us == 60_000_000 && event.deed == Deed::Drop)
    );
    assert!(
        crash[900..]
            .iter()
            .all(|event| (60_000_000..70_000_000).contains(&event.at_us))
    );
    let half = of("crash-resumed@60/10/0.5", |deed| {
        *deed == Deed::LogOn { resumed: true }
    });
    assert!((150..300).contains(&half.len()), "{}", half.len());
    let late = of("logon-storm@60/2", |deed| {
        matches!(deed, Deed::LogOn { .. })
    });
    assert!(late.len() == 450 && late[0].at_us == 60_000_000);
    let out = all(brief(users, 5, &["sign-out@60/10"]));
    assert_eq!(
        out.iter()
            .filter(|event| event.deed == Deed::LogOff && event.at_us >= 60_000_000)
            .count(),
        450
    );
    let after = out.iter().filter(|event| event.at_us > 71_000_000);
    assert!(
        after.into_iter().all(|event| !matches!(
            event.deed,
            Deed::Publish | Deed::Invite { .. } | Deed::LogOn { .. }
        )),
        "somebody acts after all are gone"
    );
    let meeting = of("meeting-end@60/1", |deed| *deed == Deed::Publish);
    let at_once = meeting
        .iter()
        .filter(|event| (60_000_000..61_000_000).contains(&event.at_us));
    assert!((300..305).contains(&at_once.count()));
}

#[test]
fn second_endpoints_are_spread() {
    let seats = Seats::new(1000, 1.5);
    assert_eq!(seats.seats, 1500);
    let mut endpoints = vec![0; 1000];
    (0..1500).for_each(|seat| endpoints[seats.user_of(seat) as usize] += 1);
    assert!(endpoints.iter().all(|count| (1..=2).contains(count)));
    let seats = Seats::new(10, 2.5);
    let mut endpoints = [0; 10];
    (0..25).for_each(|seat| endpoints[seats.user_of(seat) as usize] += 1);
    assert!(
        endpoints.iter().all(|count| (2..=3).contains(count)),
        "{endpoints:?}"
    );
}

#[test]
fn compression_makes_an_hour_a_minute() {
    let events = all(Brief {
        scale: Scale {
            times: 1.0,
            compress: 60.0,
        },
        ..brief(500, 2, &[])
    });
    let publications = events
        .iter()
        .filter(|event| event.deed == Deed::Publish)
        .count();
    assert!((3400..4600).contains(&publications), "{publications}");
}
