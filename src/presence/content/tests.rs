//! What of a document is kept, what of it is to last, and what is too long.

use super::*;
use crate::documents::pidf;

const NOW: Now = Now(1_772_352_000_000_000);

fn content(inside: &str) -> Result<(Content, Option<Chosen>), Refusal> {
    let document = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:a@b'>{inside}</presence>"
    );
    let read = pidf::read(document.as_bytes()).expect("a presence document");
    Content::of(read, NOW, &Limits::default())
}

fn person(inside: &str) -> Result<(Content, Option<Chosen>), Refusal> {
    content(&format!("<dm:person id='p'>{inside}</dm:person>"))
}

#[test]
fn of_a_document_only_what_counts_is_kept() {
    let (content, chosen) = content("<tuple id='t'><status><basic>closed</basic></status><note xml:lang='en'>bye</note></tuple>").expect("it is fine");
    assert_eq!(content.basic, Some(Basic::Closed));
    assert_eq!(content.activities, Activities::NONE);
    assert_eq!(content.note.as_ref().map(|note| &*note.text), Some("bye"));
    assert_eq!((content.rare, chosen), (None, None));
}

#[test]
fn a_state_that_says_until_when_is_to_last() {
    let later = "until='2026-03-01T09:00:00Z'";
    let from = "from='2026-03-01T07:00:00Z' until='2026-03-01T09:00:00Z'";
    let over = "until='2026-03-01T07:00:00Z'";
    let cases = [
        (later, "<rpid:busy/>", Some(Some(Manual::Busy)), 1),
        (later, "<rpid:away/>", Some(Some(Manual::Away)), 1),
        (later, "<rpid:lunch/>", Some(Some(Manual::BeRightBack)), 1),
        (later, "<rpid:working/>", Some(Some(Manual::Available)), 1),
        (
            later,
            "<rpid:other>Thinking</rpid:other>",
            Some(Some(Manual::Available)),
            1,
        ),
        (
            later,
            "<ce:dnd xmlns:ce='urn:cisco:params:xml:ns:pidf:rpid'/><rpid:busy/>",
            Some(Some(Manual::DoNotDisturb)),
            1,
        ),
        (
            later,
            "<rpid:busy/><rpid:meeting/>",
            Some(Some(Manual::Busy)),
            1,
        ),
        (later, "<rpid:presentation/>", None, 1),
        (later, "<rpid:meeting/>", None, 1),
        (later, "<rpid:on-the-phone/>", None, 1),
        (from, "<rpid:busy/>", None, 1),
        (over, "<rpid:busy/>", Some(None), 0),
        ("", "<rpid:busy/>", None, 0),
    ];
    for (attributes, inside, expected, spans) in cases {
        let element = format!("<rpid:activities {attributes}>{inside}</rpid:activities>");
        let (content, chosen) = person(&element).expect("it is fine");
        assert_eq!(
            chosen.as_ref().map(|chosen| chosen.state),
            expected,
            "{element}"
        );
        assert_eq!(content.spans().count(), spans, "{element}");
        let words = chosen.and_then(|chosen| chosen.custom);
        assert_eq!(words.is_some(), inside.contains("other"), "{element}");
    }
}

#[test]
fn texts_have_limits_in_characters_and_the_refusal_names_them() {
    let note = |text: &str| format!("<dm:note>{text}</dm:note>");
    let other =
        |text: &str| format!("<rpid:activities><rpid:other>{text}</rpid:other></rpid:activities>");
    let timed = |text: &str| {
        format!(
            "<rpid:activities until='2030-01-01T00:00:00Z'><rpid:busy/><rpid:other>{text}</rpid:other></rpid:activities>"
        )
    };
    let place =
        |text: &str| format!("<rpid:place-type><rpid:other>{text}</rpid:other></rpid:place-type>");
    let meeting = |text: &str| {
        format!("<rpid:activities><rpid:note>{text}</rpid:note><rpid:meeting/></rpid:activities>")
    };
    type Element<'a> = &'a dyn Fn(&str) -> String;
    let cases: [(Element<'_>, usize, &str); 5] = [
        (&note, 500, "Note Longer Than 500 Characters"),
        (&other, 64, "Custom State Longer Than 64 Characters"),
        (&timed, 64, "Custom State Longer Than 64 Characters"),
        (&place, 128, "Location Longer Than 128 Characters"),
        (&meeting, 256, "Meeting Subject Longer Than 256 Characters"),
    ];
    for (element, chars_max, reason) in cases {
        let full = "€".repeat(chars_max);
        assert!(person(&element(&full)).is_ok(), "{reason}");
        let refusal = person(&element(&format!("{full}€"))).expect_err(reason);
        assert_eq!(
            (refusal.status(), refusal.reason()),
            (413, reason.to_owned())
        );
    }
}

#[test]
fn a_diary_says_what_is_on_now() {
    let (content, _) = person(
        "<rpid:activities from='2026-03-01T08:00:00Z' until='2026-03-01T08:30:00Z'><rpid:note>Standup</rpid:note><rpid:meeting/></rpid:activities>\
         <rpid:activities from='2026-03-01T09:00:00Z' until='2026-03-01T10:00:00Z'><rpid:note>Dentist</rpid:note><rpid:appointment/></rpid:activities>",
    )
    .expect("it is fine");
    let after = |minutes: u64| Now(NOW.0 + minutes * 60_000_000);
    let cases = [
        (0, r#"{"meeting"}"#, Some("Standup"), Some(30)),
        (29, r#"{"meeting"}"#, Some("Standup"), Some(30)),
        (30, "{}", None, Some(60)),
        (60, r#"{"appointment"}"#, Some("Dentist"), Some(120)),
        (120, "{}", None, None),
    ];
    for (minutes, doing, subject, next) in cases {
        let now = after(minutes);
        assert_eq!(format!("{:?}", content.doing(now)), doing);
        let word = Availability::of(content.doing(now)).unwrap_or(Availability::Busy);
        assert_eq!(
            content.subject(now, word).map(|text| &**text),
            subject,
            "{minutes}"
        );
        assert_eq!(content.next_change(now), next.map(after), "{minutes}");
    }
}

#[test]
fn a_machine_without_a_clock_is_idle_at_once_and_one_ahead_is_not_in_the_future() {
    let at = |inside: &str| {
        let (content, _) = person(inside).expect("it is fine");
        let machine = content.machine.expect("it tells");
        (
            machine.at(NOW),
            machine.at(Now(NOW.0 + 300_000_000)),
            machine.last_input(),
        )
    };
    let ago = |s: u64| Some(Now(NOW.0 - s * 1_000_000));
    use MachineState::{Active, Away, Idle};
    let input = |attributes: &str| format!("<rpid:user-input {attributes}>idle</rpid:user-input>");
    let cases = [
        ("", (Idle, Away, ago(300))),
        ("idle-threshold='600'", (Away, Away, ago(600))),
        (
            "last-input='2026-03-01T07:58:00Z'",
            (Active, Idle, ago(120)),
        ),
        (
            "last-input='2026-03-01T07:58:00Z' idle-threshold='60'",
            (Active, Idle, ago(120)),
        ),
        ("last-input='2026-03-01T10:00:00Z'", (Active, Idle, ago(0))),
    ];
    for (attributes, expected) in cases {
        assert_eq!(at(&input(attributes)), expected, "{attributes}");
    }
    assert_eq!(
        at("<rpid:user-input>active</rpid:user-input>"),
        (Active, Active, None)
    );
}

#[test]
fn a_publication_of_twenty_five_kilobytes_is_fine() {
    let meeting = |hour: usize| {
        let subject = "Planning the plan of the planning ".repeat(4);
        format!(
            "<rpid:activities from='2026-03-{:02}T{:02}:00:00Z' until='2026-03-{:02}T{:02}:30:00Z'><rpid:note>{subject}</rpid:note><rpid:meeting/></rpid:activities>",
            2 + hour / 8,
            8 + hour % 8,
            2 + hour / 8,
            8 + hour % 8,
        )
    };
    let week: String = (0..100).map(meeting).collect();
    assert!(week.len() > 25_000, "{}", week.len());
    let (content, chosen) = person(&week).expect("it is fine");
    assert_eq!((content.spans().count(), chosen), (100, None));
}
