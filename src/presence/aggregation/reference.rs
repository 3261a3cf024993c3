//! The table of the head once more, slowly: written from its words, line by line, and from nothing else of the room's code.
//! It sorts, makes lists, and asks again for each part.

use std::sync::Arc;

use super::{Known, State};
use crate::documents::pidf::{Basic, Note};
use crate::documents::rpid::{Activities, Activity};
use crate::presence::choice::{Manual, NoteKind};
use crate::presence::content::{Content, Machine};
use crate::presence::state::More;
use crate::presence::words::{Availability, MachineState, Phone};
use crate::sip::time::Now;

/// A publication: its endpoint, when it came, what it says.
pub(super) type Published = (u64, Now, Content);

/// From the earliest to the latest.
const ORDER: [&str; 15] = [
    "DoNotDisturb",
    "UrgentOnly",
    "Presenting",
    "InAConference",
    "InACall",
    "InAMeeting",
    "Busy",
    "Available",
    "Idle",
    "BeRightBack",
    "Away",
    "OutOfOffice",
    "OffWork",
    "AppearOffline",
    "Offline",
];

/// The user's lines of the table of activities.
const USER: [(&str, &str); 15] = [
    ("dnd", "DoNotDisturb"),
    ("presentation", "Presenting"),
    ("busy", "Busy"),
    ("performance", "Busy"),
    ("steering", "Busy"),
    ("worship", "Busy"),
    ("breakfast", "BeRightBack"),
    ("dinner", "BeRightBack"),
    ("lunch", "BeRightBack"),
    ("meal", "BeRightBack"),
    ("away", "Away"),
    ("in-transit", "Away"),
    ("shopping", "Away"),
    ("sleeping", "Away"),
    ("travel", "Away"),
];

const CALENDAR: [(&str, &str); 5] = [
    ("meeting", "InAMeeting"),
    ("appointment", "Busy"),
    ("permanent-absence", "OutOfOffice"),
    ("vacation", "OutOfOffice"),
    ("holiday", "OffWork"),
];

fn rank(word: &str) -> usize {
    ORDER.iter().position(|each| *each == word).expect("a word")
}

fn earliest(words: Vec<&'static str>) -> Option<&'static str> {
    let mut words = words;
    words.sort_by_key(|word| rank(word));
    words.first().copied()
}

fn names(activities: Activities) -> Vec<&'static str> {
    activities.iter().map(Activities::name).collect()
}

/// What is done at the moment: at any time, and at this one.
fn doing(content: &Content, now: Now) -> Vec<Activity> {
    let mut all: Vec<Activity> = content.activities.iter().collect();
    if let Some(rare) = &content.rare {
        for span in rare.spans.iter() {
            if now >= span.from && now < span.until {
                all.extend(span.activities.iter());
            }
        }
    }
    all
}

fn lines(
    table: &'static [(&'static str, &'static str)],
    content: &Content,
    now: Now,
) -> Vec<&'static str> {
    let mut words = Vec::new();
    for activity in doing(content, now) {
        for (name, word) in table {
            if *name == Activities::name(activity) {
                words.push(*word);
            }
        }
    }
    words
}

fn machine(content: &Content, now: Now) -> Option<&'static str> {
    Some(match content.machine? {
        Machine::Active => "active",
        Machine::Left { away: false, .. } => "idle",
        Machine::Left { away: true, .. } => "away",
        Machine::Locked { .. } => "locked",
        Machine::Quiet {
            last_input,
            inactive_after_s,
            away_after_s,
        } => {
            let quiet_us = now.0.saturating_sub(last_input.0);
            let idle_us = u64::from(inactive_after_s) * 1_000_000;
            let away_us = idle_us + u64::from(away_after_s) * 1_000_000;
            match quiet_us {
                _ if quiet_us >= away_us => "away",
                _ if quiet_us >= idle_us => "idle",
                _ => "active",
            }
        }
    })
}

fn of_machine(machine: Option<&str>) -> &'static str {
    match machine {
        Some("idle") => "Idle",
        Some("away" | "locked") => "Away",
        _ => "Available",
    }
}

/// The word of one endpoint there.
fn endpoint_word(content: &Content, now: Now) -> &'static str {
    earliest(lines(&USER, content, now)).unwrap_or_else(|| of_machine(machine(content, now)))
}

fn diary_word(content: &Content, now: Now) -> Option<&'static str> {
    earliest(lines(&CALENDAR, content, now))
}

fn availability(word: &str) -> Availability {
    use Availability as V;
    let all = [
        V::DoNotDisturb,
        V::UrgentOnly,
        V::Presenting,
        V::InAConference,
        V::InACall,
        V::InAMeeting,
        V::Busy,
        V::Available,
        V::Idle,
        V::BeRightBack,
        V::Away,
        V::OutOfOffice,
        V::OffWork,
        V::AppearOffline,
        V::Offline,
    ];
    all[rank(word)]
}

/// The whole table.
pub(super) fn reference(publications: &[Published], known: &Known<'_>) -> State {
    let now = known.now;
    let mut by_age: Vec<&Published> = publications.iter().collect();
    by_age.sort_by_key(|(_, at, _)| *at);
    // The newest of each endpoint, the oldest of them first.
    let mut endpoints: Vec<&Published> = Vec::new();
    for published in &by_age {
        endpoints.retain(|(endpoint, _, _)| *endpoint != published.0);
        endpoints.push(published);
    }
    let choice = known
        .choice
        .filter(|choice| choice.state.is_some() && choice.until.is_none_or(|until| until > now));
    let chosen = choice.and_then(|choice| choice.state);

    let mut note = None;
    let mut note_kind = NoteKind::Personal;
    if chosen != Some(Manual::AppearOffline) {
        for (_, _, content) in &by_age {
            if content.note.is_some() {
                note = content.note.clone();
                note_kind = match diary_word(content, now) {
                    Some("OutOfOffice") => NoteKind::OutOfOffice,
                    _ => NoteKind::Personal,
                };
            }
        }
    }
    if let Some(text) = known.choice.and_then(|choice| choice.note.as_deref()) {
        note = Some(Arc::new(Note {
            text: text.into(),
            language: "".into(),
        }));
        note_kind = known
            .choice
            .map(|choice| choice.note_kind)
            .expect("it has a note");
    }

    let any = |basic| {
        endpoints
            .iter()
            .any(|(_, _, content)| content.basic == basic)
    };
    let open = match (any(Some(Basic::Open)), any(Some(Basic::Closed))) {
        (true, _) => true,
        (false, true) => false,
        (false, false) => known.registered,
    };
    if !open {
        return State {
            note,
            note_kind,
            ..State::OFFLINE
        };
    }

    endpoints.retain(|(_, _, content)| content.basic != Some(Basic::Closed));
    let machines: Vec<&str> = ["active", "idle", "away", "locked"]
        .into_iter()
        .filter(|state| {
            endpoints
                .iter()
                .any(|(_, _, content)| machine(content, now) == Some(*state))
        })
        .collect();
    let words: Vec<&str> = endpoints
        .iter()
        .map(|(_, _, content)| endpoint_word(content, now))
        .collect();
    let of_endpoints = earliest(words.clone()).unwrap_or("Available");
    let silently = of_endpoints == "Available" && machines.first() != Some(&"active");
    let calendar = earliest(
        endpoints
            .iter()
            .filter_map(|(_, _, content)| diary_word(content, now))
            .collect(),
    );
    let mut phones = Vec::new();
    match known.phone {
        Phone::OnHook => {}
        Phone::InACall => phones.push("InACall"),
        Phone::InAConference => phones.push("InAConference"),
    }
    if endpoints
        .iter()
        .any(|(_, _, content)| doing(content, now).contains(&Activity::OnThePhone))
    {
        phones.push("InACall");
    }
    let phone = earliest(phones);
    let with_phone = |word| earliest([Some(word), phone].into_iter().flatten().collect());

    let chosen_word = chosen.map(|chosen| match chosen {
        Manual::Available => "Available",
        Manual::Busy => "Busy",
        Manual::DoNotDisturb => "DoNotDisturb",
        Manual::UrgentOnly => "UrgentOnly",
        Manual::BeRightBack => "BeRightBack",
        Manual::Away => "Away",
        Manual::OffWork => "OffWork",
        Manual::AppearOffline => "AppearOffline",
    });
    let counts = match (chosen_word, calendar) {
        (Some(word @ ("Available" | "Busy")), _) => with_phone(word).expect("one at least"),
        (Some(word), _) => word,
        (None, Some(absent @ ("OutOfOffice" | "OffWork")))
            if silently || of_endpoints == "Idle" || of_endpoints == "Away" =>
        {
            phone.unwrap_or(absent)
        }
        (None, Some("OutOfOffice" | "OffWork") | None) => {
            with_phone(of_endpoints).expect("one at least")
        }
        (None, Some(diary)) => {
            let all = [Some(of_endpoints), Some(diary), phone];
            earliest(all.into_iter().flatten().collect()).expect("two at least")
        }
    };
    let choice = choice.filter(|_| chosen_word == Some(counts));

    let mut activities = Activities::NONE;
    let mut more = More::default();
    let comes_to = |activities: Activities| {
        let of = |name: &&str| CALENDAR.iter().find(|(each, _)| each == name);
        earliest(
            names(activities)
                .iter()
                .filter_map(|name| of(name).map(|(_, word)| *word))
                .collect(),
        )
    };
    // When each entry of a diary that comes to the word ends.
    let mut ends: Vec<Option<Now>> = Vec::new();
    for (_, _, content) in &endpoints {
        if let Some(rare) = &content.rare {
            more.location = rare.location.clone().or(more.location);
            more.place = rare.place.or(more.place);
            more.offset_min = rare.offset_min.or(more.offset_min);
        }
        let counts_here = endpoint_word(content, now) == counts;
        let is_diary = diary_word(content, now) == Some(counts);
        if choice.is_some() {
            continue;
        }
        for activity in doing(content, now) {
            let name = Activities::name(activity);
            let of_calendar = CALENDAR.iter().any(|(each, _)| *each == name);
            let of_user = !of_calendar && name != "on-the-phone";
            if (of_calendar && is_diary) || (of_user && counts_here) {
                activities = activities.with(activity);
            }
        }
        if comes_to(content.activities) == Some(counts) {
            ends.push(None);
        }
        let Some(rare) = &content.rare else {
            continue;
        };
        let current = rare
            .spans
            .iter()
            .filter(|span| span.from <= now && now < span.until);
        for span in current.clone() {
            if comes_to(span.activities) == Some(counts) {
                ends.push((span.until != Now(u64::MAX)).then_some(span.until));
            }
        }
        let mut subjects: Vec<Arc<str>> = current
            .clone()
            .filter(|span| comes_to(span.activities) == Some(counts))
            .filter_map(|span| span.subject.clone())
            .collect();
        if comes_to(content.activities) == Some(counts) {
            subjects.extend(rare.subject.clone());
        }
        if let Some(subject) = subjects.into_iter().next() {
            more.subject = Some(subject);
        }
        let mut customs: Vec<Arc<str>> = current.filter_map(|span| span.custom.clone()).collect();
        customs.extend(rare.custom.clone());
        if let (true, Some(custom)) = (counts_here, customs.into_iter().next()) {
            more.custom = Some(custom);
        }
    }
    if choice.is_none() && phone == Some(counts) {
        activities = activities.with(Activity::OnThePhone);
    }
    if !words.contains(&counts) && !ends.contains(&None) {
        ends.sort();
        more.until = ends.last().copied().flatten();
    }
    if let Some(choice) = choice {
        more.custom = choice.custom.as_deref().map(Arc::from);
        more.until = choice.until;
    }
    let machine = machines.first().map(|state| match *state {
        "active" => MachineState::Active,
        "idle" => MachineState::Idle,
        "away" => MachineState::Away,
        _ => MachineState::Locked,
    });
    if machine.is_some_and(|machine| machine != MachineState::Active) {
        for (_, _, content) in &endpoints {
            let last = match content.machine {
                Some(Machine::Quiet { last_input, .. }) => Some(last_input),
                Some(Machine::Left { last_input, .. } | Machine::Locked { last_input }) => {
                    last_input
                }
                _ => None,
            };
            more.last_active = more.last_active.max(last);
        }
    }
    State {
        note,
        more: (more != More::default()).then(|| Box::new(more)),
        activities,
        basic: Basic::Open,
        availability: availability(counts),
        machine,
        note_kind,
    }
}
