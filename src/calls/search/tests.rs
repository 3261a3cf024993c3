//! A search told as a script: each line does one thing, and says after `=>` what comes of it.

use super::*;

const START: Now = Now(1_000_000_000);

fn at(s: u64) -> Now {
    Now(START.0 + s * 1_000_000)
}

fn aor(name: &str) -> Aor {
    Aor::parse(&format!("{name}@example.com")).expect("an address")
}

fn places(names: &str) -> Vec<Place> {
    names
        .split_whitespace()
        .map(|name| Place {
            shard: 0,
            connection: 0,
            contact: name.into(),
            known: None,
        })
        .collect()
}

/// Plays a script.
fn play(script: &str) {
    let mut search = Search::new(Duration::from_secs(4), Duration::from_secs(120));
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (act, expected) = line.split_once("=>").expect("an arrow");
        let words: Vec<&str> = act.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        let mut deeds = Vec::new();
        match words[0] {
            "dial" => search.begin(aor(words[1]), START, &mut deeds),
            // found TARGET key=value…, with + between names
            "found" => {
                let mut found = Found::default();
                for word in &words[2..] {
                    let (key, value) = word.split_once('=').expect("key=value");
                    match key {
                        "ring" => found.stages.push(places(&value.replace('+', " "))),
                        "also" => found.also = value.split('+').map(aor).collect(),
                        "always" => found.always = Some(aor(value)),
                        "busy" => found.busy = Some(aor(value)),
                        "after10" => found.no_answer = Some((aor(value), Duration::from_secs(10))),
                        "refused" => {
                            found.refused = Some(Answer::of(value.parse().expect("a status"), ""));
                        }
                        other => panic!("{other}"),
                    }
                }
                search.found(number(1) as usize, found, START, &mut deeds);
            }
            "refused" => {
                let answer = Answer::of(number(2) as u16, "");
                search.refused(number(1) as usize, answer, START, &mut deeds);
            }
            "accepted" => {
                if !search.accepted(number(1) as usize, &mut deeds) {
                    assert!(deeds.is_empty(), "{line}");
                    assert_eq!(expected.trim(), "too late", "{line}");
                    continue;
                }
            }
            "away" => {
                let answer = Answer::of(480, "");
                search.turned_away(number(1) as usize, answer, START, &mut deeds);
            }
            "cancel" => search.cancel(&mut deeds),
            "at" => search.look(at(number(1)), &mut deeds),
            other => panic!("{other}"),
        }
        let found: Vec<String> = deeds
            .iter()
            .map(|deed| match deed {
                Deed::Ask(number) => {
                    format!("ask {}", search.target(*number).expect("there").user.user())
                }
                Deed::Ring(number) => format!(
                    "ring {}",
                    search.branch(*number).expect("there").place.contact
                ),
                Deed::Cancel(number, elsewhere) => format!(
                    "{} {}",
                    if *elsewhere { "elsewhere" } else { "cancel" },
                    search.branch(*number).expect("there").place.contact
                ),
                Deed::Forwarding => "181".to_owned(),
                Deed::Fail(answer) => answer.status.to_string(),
            })
            .collect();
        assert_eq!(found.join(", "), expected.trim(), "{line}");
    }
}

#[test]
fn the_first_to_answer_wins() {
    play(
        "dial bob => ask bob
         found 0 ring=a+b+c => ring a, ring b, ring c
         refused 0 486 =>
         accepted 2 => elsewhere b
         accepted 1 => too late
         accepted 2 => too late
         refused 1 487 =>
         at 500 =>",
    );
}

#[test]
fn the_best_refusal_is_told_when_all_have_refused() {
    for (statuses, best) in [
        ("480 486 404", "486"),
        ("486 420 404", "420"),
        ("503 480 500", "480"),
        ("302 486 404", "302"),
        ("408 487 481", "408"),
    ] {
        let mut script =
            String::from("dial bob => ask bob\nfound 0 ring=a+b+c => ring a, ring b, ring c\n");
        for (number, status) in statuses.split(' ').enumerate() {
            let told = if number == 2 { best } else { "" };
            script += &format!("refused {number} {status} => {told}\n");
        }
        play(&script);
    }
}

#[test]
fn a_person_who_declines_declines_for_all_their_endpoints() {
    play(
        "dial bob => ask bob
         found 0 ring=a+b => ring a, ring b
         refused 1 603 => cancel a, 603
         accepted 0 => too late",
    );
    // Who rings beside them has not declined; and who does so there, declines for themself.
    play(
        "dial bob => ask bob
         found 0 ring=a also=carol => ask carol, ring a
         found 1 ring=c+d => ring c, ring d
         refused 1 603 => cancel d
         refused 0 486 => 603",
    );
    play(
        "dial bob => ask bob
         found 0 ring=a also=carol => ask carol, ring a
         found 1 ring=c => ring c
         refused 0 603 => cancel c, 603",
    );
}

#[test]
fn the_likely_endpoint_rings_first_and_the_others_after() {
    play(
        "dial bob => ask bob
         found 0 ring=a ring=b+c => ring a
         at 3 =>
         at 4 => ring b, ring c
         at 119 =>
         at 120 => cancel a, cancel b, cancel c, 480",
    );
    play(
        "dial bob => ask bob
         found 0 ring=a ring=b => ring a
         refused 0 486 => ring b
         refused 1 480 => 486",
    );
}

#[test]
fn nobody_there_is_told_at_once() {
    play("dial bob => ask bob\nfound 0 => 480");
    play("dial bob => ask bob\nfound 0 refused=404 => 404");
}

#[test]
fn a_cancelled_search_tells_nothing_more() {
    play(
        "dial bob => ask bob
         cancel =>
         found 0 ring=a =>",
    );
    play(
        "dial bob => ask bob
         found 0 ring=a => ring a
         cancel => cancel a
         refused 0 487 =>
         at 500 =>",
    );
}

#[test]
fn who_turns_the_caller_away_is_not_looked_for_any_more() {
    play(
        "dial bob => ask bob
         found 0 ring=a+b ring=c busy=dave after10=erin => ring a, ring b
         refused 0 486 =>
         away 1 => cancel b, 480
         away 0 =>
         refused 1 487 =>
         accepted 1 => too late
         at 500 =>",
    );
    // Who rings beside them rings because they wanted it. Those themselves do so for nobody else.
    play(
        "dial bob => ask bob
         found 0 ring=a also=carol => ask carol, ring a
         found 1 ring=c => ring c
         away 0 => cancel a, cancel c, 480",
    );
    play(
        "dial bob => ask bob
         found 0 ring=a also=carol => ask carol, ring a
         found 1 ring=c ring=d after10=dave => ring c
         away 1 => cancel c
         at 9 =>
         refused 0 486 => 486",
    );
}

#[test]
fn rules_send_a_call_on() {
    play(
        "dial bob => ask bob
         found 0 always=carol => 181, ask carol
         found 1 ring=c => ring c
         refused 0 486 => 486",
    );
    play(
        "dial bob => ask bob
         found 0 ring=a+b busy=carol after10=dave => ring a, ring b
         refused 0 486 =>
         refused 1 480 => 181, ask carol
         found 1 ring=c => ring c
         accepted 2 =>",
    );
    // Do not disturb goes the way of busy.
    play(
        "dial bob => ask bob
         found 0 refused=486 busy=carol => 181, ask carol
         found 1 => 486",
    );
    play(
        "dial bob => ask bob
         found 0 ring=a also=erin after10=dave => ask erin, ring a
         found 1 ring=e => ring e
         at 9 =>
         at 10 => cancel a, cancel e, 181, ask dave
         accepted 1 => too late
         found 2 ring=d => ring d
         refused 2 404 => 404",
    );
    // Nobody there is no answer, and at once. Declined is an answer.
    play("dial bob => ask bob\nfound 0 after10=dave => 181, ask dave");
    play(
        "dial bob => ask bob
         found 0 ring=a after10=dave busy=carol => ring a
         refused 0 403 => 403",
    );
}

#[test]
fn an_endpoint_that_cannot_take_the_call_does_not_speak_for_the_person() {
    for status in [400, 404, 405, 406, 415, 420, 488, 493] {
        // The rule's time comes while another one rings, or all have ended before.
        play(&format!(
            "dial bob => ask bob
             found 0 ring=a+b after10=dave => ring a, ring b
             refused 0 {status} =>
             at 9 =>
             at 10 => cancel b, 181, ask dave"
        ));
        play(&format!(
            "dial bob => ask bob
             found 0 ring=a+b after10=dave => ring a, ring b
             refused 0 {status} =>
             refused 1 480 => 181, ask dave"
        ));
    }
    // This one ends it for all endpoints (RFC 3261 §16.7 step 5), for what they offer and not for whose they are.
    play(
        "dial bob => ask bob
         found 0 ring=a+b after10=dave => ring a, ring b
         refused 0 606 => cancel b, 181, ask dave",
    );
    for status in [302, 403, 486] {
        play(&format!(
            "dial bob => ask bob
             found 0 ring=a+b after10=dave => ring a, ring b
             refused 0 {status} =>
             refused 1 480 => {status}"
        ));
    }
    play(
        "dial bob => ask bob
         found 0 ring=a+b after10=dave => ring a, ring b
         refused 0 603 => cancel b, 603",
    );
}

#[test]
fn what_the_server_says_of_others_is_no_outcome_of_who_was_called() {
    // A companion who is not there, first and last, is no reason that Bob can't be reached.
    for status in ["404", "480", "486"] {
        let first = format!(
            "dial bob => ask bob
             found 0 ring=a also=carol => ask carol, ring a
             found 1 refused={status} =>
             at 120 => cancel a, 480"
        );
        play(&first);
        play(&first.replace("at 120 => cancel a, 480", "refused 0 481 => 481"));
        play(&format!(
            "dial bob => ask bob
             found 0 ring=a also=carol => ask carol, ring a
             refused 0 481 =>
             found 1 refused={status} => 481"
        ));
        play(&format!(
            "dial bob => ask bob
             found 0 ring=a after10=carol => ring a
             at 10 => cancel a, 181, ask carol
             found 1 refused={status} => 480"
        ));
        // He is offline himself.
        play(&format!(
            "dial bob => ask bob
             found 0 also=carol => ask carol
             found 1 refused={status} => 480"
        ));
        play(&format!(
            "dial bob => ask bob
             found 0 after10=carol => 181, ask carol
             found 1 refused={status} => 480"
        ));
        // Nor where it is said of a companion's companion.
        play(&format!(
            "dial bob => ask bob
             found 0 ring=a also=carol => ask carol, ring a
             found 1 always=dave => 181, ask dave
             found 2 refused={status} =>
             refused 0 481 => 481"
        ));
    }
    // Who sends all calls on has none of their own: what is said of the other stands, but that they do not exist.
    play(
        "dial bob => ask bob
         found 0 always=carol => 181, ask carol
         found 1 refused=486 => 486",
    );
    play(
        "dial bob => ask bob
         found 0 always=carol => 181, ask carol
         found 1 refused=404 => 480",
    );
    // What a companion's endpoint says does count: it was rung.
    play(
        "dial bob => ask bob
         found 0 ring=a also=carol => ask carol, ring a
         found 1 ring=c => ring c
         refused 1 486 =>
         refused 0 480 => 486",
    );
}

#[test]
fn only_who_was_dialled_can_be_nobody() {
    let nobody = |number: usize| {
        let mut search = Search::new(Duration::from_secs(4), Duration::from_secs(120));
        let mut deeds = Vec::new();
        search.begin(aor("bob"), START, &mut deeds);
        if number > 0 {
            let found = Found {
                also: vec![aor("carol")],
                ..Found::default()
            };
            search.found(0, found, START, &mut deeds);
        }
        let found = Found {
            refused: Some(Answer::of(404, "")),
            ..Found::default()
        };
        search.found(number, found, START, &mut deeds);
        search.is_to_nobody()
    };
    assert!(nobody(0));
    assert!(!nobody(1));
}

#[test]
fn a_loop_of_forwards_ends() {
    play(
        "dial bob => ask bob
         found 0 always=carol => 181, ask carol
         found 1 always=bob => 482",
    );
    play(
        "dial bob => ask bob
         found 0 ring=a busy=carol => ring a
         refused 0 486 => 181, ask carol
         found 1 ring=c busy=bob => ring c
         refused 1 486 => 486",
    );
    play(
        "dial a => ask a
         found 0 always=b => 181, ask b
         found 1 always=c => 181, ask c
         found 2 always=d => 181, ask d
         found 3 always=e => 181, ask e
         found 4 always=f => 181, ask f
         found 5 always=g => 482",
    );
    // Who rings already does not ring twice.
    play(
        "dial bob => ask bob
         found 0 ring=a also=carol => ask carol, ring a
         found 1 ring=c also=bob+dave => ask dave, ring c",
    );
}

#[test]
fn the_way_of_a_call_is_told() {
    let mut search = Search::new(Duration::from_secs(4), Duration::from_secs(120));
    let mut deeds = Vec::new();
    search.begin(aor("bob"), START, &mut deeds);
    for (number, to) in ["carol", "dave"].into_iter().enumerate() {
        let found = Found {
            always: Some(aor(to)),
            ..Found::default()
        };
        search.found(number, found, START, &mut deeds);
    }
    assert_eq!(search.target(0).map(|target| &*target.history), Some(""));
    assert_eq!(
        search.target(2).map(|target| &*target.history),
        Some(
            "<sip:bob@example.com?Reason=SIP%3Bcause%3D302>;index=1, \
             <sip:carol@example.com?Reason=SIP%3Bcause%3D302>;index=1.1;mp=1, \
             <sip:dave@example.com>;index=1.1.1;mp=1.1"
        )
    );
}

#[test]
fn endpoints_without_end_are_not_rung() {
    let mut search = Search::new(Duration::from_secs(4), Duration::from_secs(120));
    let mut deeds = Vec::new();
    search.begin(aor("bob"), START, &mut deeds);
    deeds.clear();
    let many = "x ".repeat(BRANCHES_MAX + 10);
    let found = Found {
        stages: vec![places(&many), places("y")],
        ..Found::default()
    };
    search.found(0, found, START, &mut deeds);
    assert_eq!(deeds.len(), BRANCHES_MAX);
}
