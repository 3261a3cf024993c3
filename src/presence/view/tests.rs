//! Each cell of the table, shown or withheld: every level's document is searched for every part's own word.

use std::sync::Arc;

use super::*;
use crate::documents::pidf::{self, Note};
use crate::documents::place::Place;
use crate::documents::rpid::{Activities, Activity};
use crate::presence::choice::NoteKind;
use crate::presence::words::MachineState;

const SINCE: Now = Now(1_772_352_000_000_000);

fn note() -> Option<Arc<Note>> {
    Some(Arc::new(Note {
        text: "NOTE".into(),
        language: "".into(),
    }))
}

fn card() -> Card {
    let mut card = Card::default();
    for (line, text) in [
        (CardLine::WorkPhone, "+49 30 1111"),
        (CardLine::MobilePhone, "+49 170 2222"),
        (CardLine::HomePhone, "+49 30 3333"),
        (CardLine::OtherPhone, "4444 ext. 5"),
        (CardLine::Mail, "MAIL@example.com"),
        (CardLine::Title, "TITLE"),
        (CardLine::Company, "COMPANY"),
        (CardLine::Office, "OFFICE"),
    ] {
        card.set(line, Some(text)).expect("a line of a card");
    }
    card
}

fn state(availability: Availability) -> State {
    State {
        note: note(),
        more: Some(Box::new(More {
            custom: Some("CUSTOM".into()),
            subject: Some("SUBJECT".into()),
            location: Some("LOCATION".into()),
            place: Place::of("office"),
            offset_min: Some(90),
            last_active: Some(Now(1_772_351_000_000_000)),
            until: Some(Now(1_772_359_000_000_000)),
        })),
        activities: Activities::one(Activity::Meeting),
        basic: Basic::Open,
        availability,
        machine: Some(MachineState::Idle),
        note_kind: NoteKind::Personal,
    }
}

fn document(state: &State, level: Level) -> String {
    let contacts = contacts(&card(), level, "example.com");
    let shown = view(state, SINCE, level, "sip:alice@example.com", &contacts);
    let mut out = Vec::new();
    pidf::write(&mut out, &shown);
    String::from_utf8(out).expect("text")
}

#[test]
fn each_cell_is_shown_or_withheld() {
    use Level::{Colleagues, External, Friends, Own, Workgroup};
    // What is searched for, and the least level whose document has it.
    let cells = [
        ("<basic>open</basic>", External),
        ("<rpid:busy/>", External),
        ("<rpid:meeting/>", Colleagues),
        ("until=", Colleagues),
        ("CUSTOM", Colleagues),
        ("NOTE", Colleagues),
        ("tel:+49301111", Colleagues),
        ("mailto:MAIL@example.com", Colleagues),
        ("tel:+491702222", Workgroup),
        ("SUBJECT", Workgroup),
        ("LOCATION", Workgroup),
        ("<lt:office/>", Workgroup),
        ("<rpid:time-offset>90<", Workgroup),
        ("last-input=\"2026-03-01T07:43:20Z\"", Workgroup),
        ("tel:+49303333", Friends),
        ("tel:4444;ext=5;phone-context=example.com", Friends),
    ];
    let state = state(Availability::InAMeeting);
    for level in Level::ALL {
        let document = document(&state, level);
        for (cell, least) in cells {
            let shown = level >= least;
            assert_eq!(document.contains(cell), shown, "{level} {cell} {document}");
        }
        for never in ["TITLE", "COMPANY", "OFFICE"] {
            assert!(!document.contains(never), "{document}");
        }
    }
    let own = document(&state, Own);
    assert_eq!(own, document(&state, Friends));
}

#[test]
fn who_is_blocked_sees_what_is_seen_of_somebody_offline_without_a_note() {
    let offline = document(&State::OFFLINE, Level::Friends);
    assert!(
        !offline.contains("timestamp") && !offline.contains("tel:"),
        "{offline}"
    );
    for level in Level::ALL {
        assert_eq!(document(&State::OFFLINE, level), offline);
    }
    for availability in [
        Availability::Available,
        Availability::DoNotDisturb,
        Availability::InAMeeting,
        Availability::AppearOffline,
    ] {
        assert_eq!(document(&state(availability), Level::Blocked), offline);
    }
    let noted = State {
        note: note(),
        ..State::OFFLINE
    };
    assert_eq!(document(&noted, Level::Blocked), offline);
    assert_eq!(document(&noted, Level::External), offline);
    for level in [Level::Colleagues, Level::Workgroup, Level::Friends] {
        let gone = document(&noted, level);
        assert!(gone.contains("NOTE") && gone.contains("closed"), "{gone}");
        assert_eq!(document(&state(Availability::AppearOffline), level), gone);
    }
    let own = document(&state(Availability::AppearOffline), Level::Own);
    assert!(own.contains("open") && own.contains("CUSTOM"), "{own}");
}

#[test]
fn what_is_shown_for_each_word() {
    use Availability as V;
    let bare = |availability| State {
        basic: Basic::Open,
        availability,
        ..State::OFFLINE
    };
    let cases = [
        (V::Available, "", ""),
        (
            V::Idle,
            "<rpid:user-input>idle</rpid:user-input>",
            "<rpid:user-input>idle</rpid:user-input>",
        ),
        (
            V::Busy,
            "<rpid:activities><rpid:busy/></rpid:activities>",
            "<rpid:busy/>",
        ),
        (
            V::InACall,
            "<rpid:on-the-phone/><rpid:busy/></rpid:activities>",
            "<rpid:on-the-phone/><rpid:busy/>",
        ),
        (
            V::InAConference,
            "<rpid:on-the-phone/><rpid:busy/><rpid:other>In a conference call</rpid:other>",
            "<rpid:other>In a conference call",
        ),
        (
            V::InAMeeting,
            "<rpid:activities><rpid:meeting/><rpid:busy/></rpid:activities>",
            "<rpid:activities><rpid:busy/></rpid:activities>",
        ),
        (
            V::Presenting,
            "<rpid:presentation/><rpid:busy/></rpid:activities>",
            "<rpid:presentation/>",
        ),
        (
            V::DoNotDisturb,
            "<rpid:busy/><ce:dnd/></rpid:activities>",
            "<ce:dnd/>",
        ),
        (
            V::UrgentOnly,
            "<rpid:busy/><rpid:other>Urgent interruptions only</rpid:other><ce:dnd/>",
            "<ce:dnd/>",
        ),
        (
            V::BeRightBack,
            "<rpid:away/><rpid:other>Be right back</rpid:other>",
            "<rpid:away/><rpid:other>Be right back",
        ),
        (
            V::Away,
            "<rpid:activities><rpid:away/></rpid:activities>",
            "<rpid:away/>",
        ),
        (
            V::OutOfOffice,
            "<rpid:vacation/><rpid:away/></rpid:activities>",
            "<rpid:activities><rpid:away/></rpid:activities>",
        ),
        (
            V::OffWork,
            "<rpid:away/><rpid:other>Off work</rpid:other>",
            "<rpid:activities><rpid:away/></rpid:activities>",
        ),
    ];
    for (word, to_colleagues, to_externals) in cases {
        let state = bare(word);
        for (level, expected) in [
            (Level::Colleagues, to_colleagues),
            (Level::External, to_externals),
        ] {
            let document = document(&state, level);
            assert!(document.contains(expected), "{word:?} {level} {document}");
            assert!(document.contains("<basic>open</basic>"));
            assert_eq!(
                document.contains("<dm:person"),
                !expected.is_empty(),
                "{document}"
            );
            pidf::check_shape(document.as_bytes());
        }
    }
}

#[test]
fn what_is_shown_in_each_state_has_the_schemas_shape() {
    for word in ALL {
        for level in Level::ALL {
            pidf::check_shape(document(&state(word), level).as_bytes());
        }
    }
}

const ALL: [Availability; 13] = [
    Availability::DoNotDisturb,
    Availability::UrgentOnly,
    Availability::Presenting,
    Availability::InAConference,
    Availability::InACall,
    Availability::InAMeeting,
    Availability::Busy,
    Availability::Available,
    Availability::Idle,
    Availability::BeRightBack,
    Availability::Away,
    Availability::OutOfOffice,
    Availability::OffWork,
];

#[test]
fn numbers_become_uris() {
    let cases = [
        ("+49 30 1234-56", "tel:+49301234-56"),
        ("+1 (555) 123.4", "tel:+1(555)123.4"),
        ("030/1234", "tel:0301234;phone-context=example.com"),
        ("*21#", "tel:*21#;phone-context=example.com"),
        ("+49 30 1234 ext 12", "tel:+49301234;ext=12"),
        ("+49 30*5", "tel:+49305"),
        ("1234;5", "tel:1234;ext=5;phone-context=example.com"),
    ];
    for (number, expected) in cases {
        assert_eq!(tel(number, "example.com"), expected);
    }
}
