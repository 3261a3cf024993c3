//! What real clients publish, what is refused, and the document for watchers against the RFCs' schemas.

use super::*;
use crate::documents::place::Place;
use crate::documents::rpid::{Activity, ShownActivities};
use crate::documents::schema::{Inside, Part, Shape, check};

const HEAD: &str = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@example.com">"#;

fn document(inside: &str) -> String {
    format!("{HEAD}{inside}</presence>")
}

fn read_inside(inside: &str) -> Result<Presence, Fault> {
    read(document(inside).as_bytes())
}

/// As linphonec 5.1 publishes "on the phone".
const LINPHONE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@example.com">
 <tuple id="qmht-1">
  <status>
   <basic>open</basic>
  </status>
  <contact priority="0.8">sip:alice@example.com</contact>
  <timestamp>2026-03-01T08:00:00Z</timestamp>
 </tuple>
 <dm:person id="u3v-ab">
  <rpid:activities>
   <rpid:on-the-phone/>
  </rpid:activities>
  <timestamp>2026-03-01T08:00:05Z</timestamp>
 </dm:person>
</presence>
"#;

/// As baresip 1.0 publishes before it knows its own state; the person comes before the tuple.
const BARESIP: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n\
<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\r\n    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"\r\n\
    xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"\r\n    entity=\"sip:bob@example.com\">\r\n\
  <dm:person id=\"p4159\"><rpid:activities/></dm:person>\r\n  <tuple id=\"t4109\">\r\n    <status>\r\n\
      <basic>unkown</basic>\r\n    </status>\r\n    <contact>sip:bob@example.com</contact>\r\n  </tuple>\r\n</presence>\r\n";

/// As Pidgin's SIMPLE plug-in publishes: an element of another namespace in the status, a note in the tuple.
const PIDGIN: &str = r#"<?xml version='1.0' encoding='UTF-8'?>
<presence
xmlns='urn:ietf:params:xml:ns:pidf'
xmlns:im='urn:ietf:params:xml:ns:pidf:im'
entity='sip:carol@example.com'>
<tuple id='bs35r9f'>
<status>
<basic>open</basic>
<im:im>busy</im:im>
</status>
<note>in the workshop</note>
</tuple>
</presence>"#;

#[test]
fn what_linphone_publishes_is_understood() {
    let read = read(LINPHONE.as_bytes()).unwrap();
    assert_eq!(&*read.entity, "sip:alice@example.com");
    assert_eq!(read.basic(), Some(Basic::Open));
    assert_eq!(read.activities, Activities::one(Activity::OnThePhone));
    assert_eq!(read.tuples.len(), 1);
    assert_eq!(read.tuples[0].contact_priority, 800);
    assert_eq!(read.tuples[0].timestamp, Some(Now(1_772_352_000_000_000)));
    assert_eq!(read.timestamp, Some(Now(1_772_352_005_000_000)));
    assert_eq!(read.note_shown(), None);
}

#[test]
fn baresips_misspelt_basic_says_nothing() {
    let read = read(BARESIP.as_bytes()).unwrap();
    assert_eq!(read.basic(), None);
    assert_eq!(read.activities, Activities::NONE);
    assert_eq!(&*read.tuples[0].contact, "sip:bob@example.com");
}

#[test]
fn what_pidgin_publishes_is_understood() {
    let read = read(PIDGIN.as_bytes()).unwrap();
    assert_eq!(read.basic(), Some(Basic::Open));
    assert_eq!(
        read.note_shown().map(|note| &*note.text),
        Some("in the workshop")
    );
}

#[test]
fn one_open_tuple_is_enough_and_closed_beats_silence() {
    let tuple =
        |basic: &str| format!("<tuple id='a'><status><basic>{basic}</basic></status></tuple>");
    let cases = [
        (tuple("closed") + &tuple("open"), Some(Basic::Open)),
        (tuple("what") + &tuple("closed"), Some(Basic::Closed)),
        (tuple(" open "), Some(Basic::Open)),
        ("<tuple id='a'><status/></tuple>".into(), None),
        (String::new(), None),
    ];
    for (inside, expected) in cases {
        assert_eq!(read_inside(&inside).unwrap().basic(), expected, "{inside}");
    }
}

#[test]
fn the_most_personal_note_is_shown() {
    let person = "<dm:person id='p'><rpid:activities><rpid:note>at it</rpid:note><rpid:busy/></rpid:activities><dm:note xml:lang='en'> me </dm:note></dm:person>";
    let activity = "<dm:person id='p'><rpid:activities><rpid:note>at it</rpid:note></rpid:activities></dm:person>";
    let tuple = "<tuple id='t'><status/><note>desk</note></tuple>";
    let whole = "<note>all</note>";
    let cases = [
        (format!("{tuple}{whole}{person}"), "me"),
        (format!("{tuple}{whole}{activity}"), "at it"),
        (format!("{tuple}{whole}"), "all"),
        (tuple.to_string(), "desk"),
    ];
    for (inside, expected) in cases {
        let read = read_inside(&inside).unwrap();
        assert_eq!(&*read.note_shown().unwrap().text, expected, "{inside}");
    }
    let read = read_inside(person).unwrap();
    assert_eq!(&*read.note_shown().unwrap().language, "en");
}

#[test]
fn extensions_are_passed_over() {
    let read = read_inside(
        "<x:what xmlns:x='urn:x'><x:tuple/></x:what><tuple id='t'><x:y xmlns:x='urn:x'/><status><x:z xmlns:x='urn:x'>open</x:z><basic>open</basic></status><future/></tuple><dm:device id='d'><dm:deviceID>urn:x</dm:deviceID></dm:device><dm:person id='p'><rpid:mood><rpid:happy/></rpid:mood><rpid:activities><rpid:levitating/><rpid:meal/></rpid:activities></dm:person>",
    )
    .unwrap();
    assert_eq!(read.basic(), Some(Basic::Open));
    assert_eq!(read.activities, Activities::one(Activity::Meal));
}

#[test]
fn what_matters_in_a_wrong_namespace_is_refused() {
    let cases = [
        (
            document("<tuple xmlns='urn:x' id='t'/>"),
            Fault::WrongNamespace,
        ),
        (
            document("<tuple id='t'><status xmlns=''/></tuple>"),
            Fault::WrongNamespace,
        ),
        (
            document("<tuple id='t'><status><rpid:basic>open</rpid:basic></status></tuple>"),
            Fault::WrongNamespace,
        ),
        (document("<person id='p'/>"), Fault::WrongNamespace),
        (
            document("<dm:person id='p'><dm:activities/></dm:person>"),
            Fault::WrongNamespace,
        ),
        (document("<nobody:declared/>"), Fault::WrongNamespace),
        ("<presence entity='sip:a@b'/>".into(), Fault::WrongNamespace),
        (
            "<presence xmlns='urn:x' entity='sip:a@b'/>".into(),
            Fault::WrongNamespace,
        ),
        (
            "<absence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'/>".into(),
            Fault::WrongRoot,
        ),
        (
            "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>".into(),
            Fault::Incomplete,
        ),
        (document("<tuple/>"), Fault::Incomplete),
        (
            document(&"<tuple id='t'/>".repeat(TUPLES_MAX + 1)),
            Fault::TooManyEntries,
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(bytes.as_bytes()), Err(expected), "{bytes}");
        assert_eq!(expected.status(), 400);
    }
}

#[test]
fn contact_priorities() {
    let cases = [
        ("0", 0),
        ("0.8", 800),
        ("0.05", 50),
        ("0.123", 123),
        ("1", 1000),
        ("1.000", 1000),
        ("1.5", 0),
        ("-1", 0),
        ("0.1234", 0),
        ("0.+1", 0),
        ("", 0),
    ];
    for (text, expected) in cases {
        let inside =
            format!("<tuple id='t'><status/><contact priority='{text}'>x</contact></tuple>");
        assert_eq!(
            read_inside(&inside).unwrap().tuples[0].contact_priority,
            expected,
            "{text}"
        );
    }
}

fn shown<'a>(set: Activities, note: Option<&'a Note>) -> Shown<'a> {
    Shown {
        activities: ShownActivities {
            set,
            ..ShownActivities::default()
        },
        note,
        since: Some(Now(1_772_352_000_000_000)),
        ..Shown::bare("sip:alice@example.com", Basic::Open)
    }
}

fn written(shown: &Shown<'_>) -> String {
    let mut out = Vec::new();
    write(&mut out, shown);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_watcher_gets_one_tuple_and_one_person() {
    let note = Note {
        text: "back at <3> & \"later\"".into(),
        language: "en".into(),
    };
    assert_eq!(
        written(&shown(Activities::one(Activity::Busy), Some(&note))),
        concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"",
            " xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:alice@example.com\">",
            "<tuple id=\"muster\"><status><basic>open</basic></status>",
            "<contact priority=\"1.0\">sip:alice@example.com</contact>",
            "<note xml:lang=\"en\">back at &lt;3&gt; &amp; &quot;later&quot;</note>",
            "<timestamp>2026-03-01T08:00:00Z</timestamp></tuple>",
            "<dm:person id=\"person\"><rpid:activities><rpid:busy/></rpid:activities>",
            "<dm:note xml:lang=\"en\">back at &lt;3&gt; &amp; &quot;later&quot;</dm:note>",
            "<dm:timestamp>2026-03-01T08:00:00Z</dm:timestamp></dm:person></presence>",
        )
    );
}

#[test]
fn baresip_finds_what_it_searches_for_byte_for_byte() {
    // The patterns of baresip 1.0's subscriber, which reads no XML.
    for (activity, pattern) in [
        (Activity::Away, "<rpid:away/>"),
        (Activity::Busy, "<rpid:busy/>"),
        (Activity::OnThePhone, "<rpid:on-the-phone/>"),
        (Activity::DoNotDisturb, "<rpid:busy/>"),
    ] {
        assert!(written(&shown(Activities::one(activity), None)).contains(pattern));
    }
    assert!(written(&shown(Activities::NONE, None)).contains("<basic>open</basic>"));
}

#[test]
fn what_is_written_reads_back() {
    let note = Note {
        text: "ünïcode \u{1f600} ]]> <!-- \r line".into(),
        language: "".into(),
    };
    let every = Activities::NONE
        .with(Activity::Away)
        .with(Activity::DoNotDisturb)
        .with(Activity::Worship);
    for activities in [Activities::NONE, every, Activities::one(Activity::Unknown)] {
        for note in [None, Some(&note)] {
            let document = written(&shown(activities, note));
            let back = read(document.as_bytes()).unwrap();
            assert_eq!(back.basic(), Some(Basic::Open));
            let expected = match activities.contains(Activity::DoNotDisturb) {
                true => activities.with(Activity::Busy),
                false => activities,
            };
            assert_eq!(back.activities, expected);
            assert_eq!(back.note_shown(), note);
            assert_eq!(back.tuples[0].timestamp, Some(Now(1_772_352_000_000_000)));
        }
    }
}

const fn text(space: Space, local: &'static str, inside: Inside) -> Shape {
    Shape {
        space,
        local,
        attributes: &[],
        inside,
    }
}

const PIDF_NOTE: Shape = text(Space::Pidf, "note", Inside::Text);
const DM_NOTE: Shape = text(Space::DataModel, "note", Inside::Text);
const RPID_NOTE: Shape = text(Space::Rpid, "note", Inside::Text);

/// RFC 4480 §5.1.
const ACTIVITIES: Shape = text(
    Space::Rpid,
    "activities",
    Inside::Parts(&[
        Part::Many(&RPID_NOTE),
        // In any order, and others of another namespace among them.
        Part::SomeOf(&[
            "appointment",
            "away",
            "breakfast",
            "busy",
            "dinner",
            "holiday",
            "in-transit",
            "looking-for-work",
            "meal",
            "meeting",
            "on-the-phone",
            "performance",
            "permanent-absence",
            "playing",
            "presentation",
            "shopping",
            "sleeping",
            "spectator",
            "steering",
            "travel",
            "tv",
            "vacation",
            "working",
            "worship",
            "other",
            "lunch",
            "unknown",
        ]),
        Part::Others(&[]),
    ]),
);

/// RFC 4480 §5.1: notes, then `other` alone or elements of another namespace.
const PLACE_TYPE: Shape = text(
    Space::Rpid,
    "place-type",
    Inside::Parts(&[
        Part::Many(&RPID_NOTE),
        Part::Maybe(&text(Space::Rpid, "other", Inside::Text)),
        Part::Others(&[]),
    ]),
);

/// RFC 4480 §5.1.
const TIME_OFFSET: Shape = text(Space::Rpid, "time-offset", Inside::Whole);

/// RFC 4480 §5.1.
const USER_INPUT: Shape = text(Space::Rpid, "user-input", Inside::Word(&["active", "idle"]));

/// RFC 4479 §8.
const PERSON: Shape = Shape {
    space: Space::DataModel,
    local: "person",
    attributes: &["id"],
    inside: Inside::Parts(&[
        Part::Others(&[&ACTIVITIES, &PLACE_TYPE, &TIME_OFFSET, &USER_INPUT]),
        Part::Many(&DM_NOTE),
        Part::Maybe(&text(Space::DataModel, "timestamp", Inside::Date)),
    ]),
};

/// RFC 3863 §4.4.
const TUPLE: Shape = Shape {
    space: Space::Pidf,
    local: "tuple",
    attributes: &["id"],
    inside: Inside::Parts(&[
        Part::One(&text(
            Space::Pidf,
            "status",
            Inside::Parts(&[
                Part::Maybe(&text(
                    Space::Pidf,
                    "basic",
                    Inside::Word(&["open", "closed"]),
                )),
                Part::Others(&[]),
            ]),
        )),
        Part::Others(&[]),
        Part::Maybe(&text(Space::Pidf, "contact", Inside::Text)),
        Part::Many(&PIDF_NOTE),
        Part::Maybe(&text(Space::Pidf, "timestamp", Inside::Date)),
    ]),
};

/// RFC 3863 §4.4.
const PRESENCE: Shape = Shape {
    space: Space::Pidf,
    local: "presence",
    attributes: &["entity"],
    inside: Inside::Parts(&[
        Part::Many(&TUPLE),
        Part::Many(&PIDF_NOTE),
        Part::Others(&[&PERSON]),
    ]),
};

/// For those who make documents above this room: is it of the schemas' shape?
pub(crate) fn check_shape(document: &[u8]) {
    let told = String::from_utf8_lossy(document);
    assert_eq!(check(document, &PRESENCE), Ok(()), "{told}");
}

#[test]
fn what_is_written_has_the_schemas_shape() {
    let note = Note {
        text: "x".into(),
        language: "de".into(),
    };
    let alone = all_activities().map(Activities::one);
    let all = all_activities().fold(Activities::NONE, Activities::with);
    for activities in alone.chain([Activities::NONE, all]) {
        for note in [None, Some(&note)] {
            let document = written(&shown(activities, note));
            assert_eq!(check(document.as_bytes(), &PRESENCE), Ok(()), "{document}");
        }
    }
}

#[test]
fn all_that_can_be_shown_has_the_schemas_shape_and_reads_back() {
    let contacts = [Contact {
        id: "work-phone",
        uri: "tel:+49301234".into(),
    }];
    let note = Note {
        text: "x".into(),
        language: "".into(),
    };
    for (place, location) in [
        (None, None),
        (Place::of("office"), None),
        (None, Some("room 3 & 4")),
        (Place::of("train"), Some("to Berlin")),
    ] {
        for idle in [None, Some(None), Some(Some(Now(1_772_351_000_000_000)))] {
            let document = Shown {
                activities: ShownActivities {
                    first: Some(Activity::Meeting),
                    set: Activities::one(Activity::Busy).with(Activity::Other),
                    other: Some("with the board"),
                    note: Some("the budget"),
                    until: Some(Now(1_772_359_000_000_000)),
                },
                idle,
                place,
                location,
                offset_min: Some(-210),
                contacts: &contacts,
                ..shown(Activities::NONE, Some(&note))
            };
            let document = written(&document);
            assert_eq!(check(document.as_bytes(), &PRESENCE), Ok(()), "{document}");
            let back = read(document.as_bytes()).unwrap();
            assert_eq!(back.location.place, place);
            assert_eq!(back.location.words.as_deref(), location);
            assert_eq!(back.offset_min, Some(-210));
            assert_eq!(
                back.input.map(|input| (input.idle, input.last_input)),
                idle.map(|at| (true, at))
            );
            assert!(!back.locked);
            assert_eq!(back.basic(), Some(Basic::Open));
            let [doing] = &back.timed[..] else {
                panic!("{:?}", back.timed);
            };
            assert_eq!(
                format!("{:?}", doing.activities),
                r#"{"busy", "meeting", "other"}"#
            );
            assert_eq!(doing.until, Some(Now(1_772_359_000_000_000)));
            assert_eq!(doing.other.as_deref(), Some("with the board"));
            assert_eq!(
                doing.note.as_ref().map(|note| &*note.text),
                Some("the budget")
            );
            assert!(
                document.contains("<rpid:meeting/><rpid:busy/><rpid:other>"),
                "{document}"
            );
            assert_eq!(&*back.tuples[1].contact, "tel:+49301234");
        }
    }
}

#[test]
fn somebody_of_whom_nothing_is_told_has_no_person_and_no_time() {
    let document = written(&Shown::bare("sip:alice@example.com", Basic::Closed));
    assert!(document.ends_with("entity=\"sip:alice@example.com\"><tuple id=\"muster\"><status><basic>closed</basic></status><contact priority=\"1.0\">sip:alice@example.com</contact></tuple></presence>"), "{document}");
    assert_eq!(check(document.as_bytes(), &PRESENCE), Ok(()));
}

/// What of a document says whether somebody is at the device: idle, last input, threshold, locked.
#[test]
fn devices_say_whether_somebody_is_there() {
    let idle = "<rpid:user-input last-input='2026-03-01T08:00:00Z' idle-threshold='600'>idle</rpid:user-input>";
    let active = "<rpid:user-input>active</rpid:user-input>";
    let away = "<rpid:activities><rpid:away/></rpid:activities>";
    let device = |inside: &str| {
        format!("<dm:device id='d'>{inside}<dm:deviceID>x</dm:deviceID></dm:device>")
    };
    let tuple = |inside: &str| format!("<tuple id='t'><status/>{inside}</tuple>");
    let person = |inside: &str| format!("<dm:person id='p'>{inside}</dm:person>");
    let cases = [
        (device(idle), Some((true, true)), false),
        (tuple(idle), Some((true, true)), false),
        (person(idle), Some((true, true)), false),
        (device(&format!("{idle}{away}")), Some((true, true)), true),
        (tuple(&format!("{away}{idle}")), Some((true, true)), true),
        (person(&format!("{idle}{away}")), Some((true, true)), false),
        (
            device(&format!("{active}{away}")),
            Some((false, false)),
            false,
        ),
        (
            format!("{}{}", device(idle), device(active)),
            Some((false, false)),
            false,
        ),
        (
            tuple("<rpid:user-input>maybe</rpid:user-input>"),
            None,
            false,
        ),
        (device(away), None, false),
    ];
    for (inside, input, locked) in cases {
        let read = read_inside(&inside).unwrap();
        let found = read
            .input
            .map(|input| (input.idle, input.last_input.is_some()));
        assert_eq!((found, read.locked), (input, locked), "{inside}");
        assert!(
            inside.contains("<dm:person") || read.activities.is_empty(),
            "{inside}"
        );
    }
}

#[test]
fn times_are_read_and_one_that_makes_no_sense_is_refused() {
    let doing = |attributes: &str| {
        format!(
            "<dm:person id='p'><rpid:activities {attributes}><rpid:note>plan</rpid:note><rpid:meeting/></rpid:activities></dm:person>"
        )
    };
    let read = read_inside(&doing(
        "from='2026-03-01T08:00:00Z' until='2026-03-01T09:00:00+00:30'",
    ))
    .unwrap();
    let [timed] = &read.timed[..] else {
        panic!("{:?}", read.timed);
    };
    assert_eq!(timed.from, Some(Now(1_772_352_000_000_000)));
    assert_eq!(timed.until, Some(Now(1_772_353_800_000_000)));
    assert_eq!(
        (read.activities, read.note_shown()),
        (Activities::NONE, None)
    );
    let read = read_inside(&doing("")).unwrap();
    assert_eq!(read.subject.as_deref(), Some("plan"));
    for attributes in [
        "from='2026-03-01T08:00:00Z' until='2026-03-01T07:00:00Z'",
        "until='tomorrow'",
        "from=''",
    ] {
        assert_eq!(
            read_inside(&doing(attributes)),
            Err(Fault::Incomplete),
            "{attributes}"
        );
    }
    let many = doing("until='2026-03-01T08:00:00Z'").repeat(TIMED_MAX + 1);
    assert_eq!(read_inside(&many), Err(Fault::TooManyEntries));
    for (offset, expected) in [
        ("120", Some(120)),
        ("-720", Some(-720)),
        ("+60", Some(60)),
        ("900", None),
        ("x", None),
    ] {
        let inside =
            format!("<dm:person id='p'><rpid:time-offset>{offset}</rpid:time-offset></dm:person>");
        assert_eq!(
            read_inside(&inside).unwrap().offset_min,
            expected,
            "{offset}"
        );
    }
}

#[test]
fn the_shapes_refuse_what_the_schemas_refuse() {
    let tuple = "<tuple id='t'><status/></tuple>";
    let cases = [
        (format!("<note/>{tuple}"), false),
        (format!("{tuple}<note/>"), true),
        (format!("<dm:person id='p'/>{tuple}"), false),
        ("<tuple id='t'/>".into(), false),
        ("<tuple><status/></tuple>".into(), false),
        ("<dm:person id='p'><rpid:time-offset>1.5</rpid:time-offset></dm:person>".into(), false),
        ("<dm:person id='p'><rpid:user-input>busy</rpid:user-input></dm:person>".into(), false),
        ("<dm:person id='p'><rpid:place-type><rpid:other/><rpid:note/></rpid:place-type></dm:person>".into(), false),
        ("<tuple id='t'><status/><timestamp>2026-03-01T08:00:00Z</timestamp><contact/></tuple>".into(), false),
        ("<tuple id='t'><status><basic>unkown</basic></status></tuple>".into(), false),
        ("<dm:person id='p'><dm:note/><rpid:activities/></dm:person>".into(), false),
        ("<dm:person id='p'><rpid:activities><rpid:busy/></rpid:activities><dm:note/></dm:person>".into(), true),
        // COMPAT(linphone, 5.1): a PIDF timestamp in a person.
        (format!("{tuple}<dm:person id='p'><dm:note/><timestamp>2026-03-01T08:00:00Z</timestamp></dm:person>"), false),
    ];
    for (inside, valid) in cases {
        let result = check(document(&inside).as_bytes(), &PRESENCE);
        assert_eq!(result.is_ok(), valid, "{inside}: {result:?}");
    }
}

fn all_activities() -> impl Iterator<Item = Activity> {
    let names = [
        "appointment",
        "away",
        "breakfast",
        "busy",
        "dinner",
        "holiday",
        "in-transit",
        "looking-for-work",
        "lunch",
        "meal",
        "meeting",
        "on-the-phone",
        "other",
        "performance",
        "permanent-absence",
        "playing",
        "presentation",
        "shopping",
        "sleeping",
        "spectator",
        "steering",
        "travel",
        "tv",
        "unknown",
        "vacation",
        "working",
        "worship",
    ];
    names.into_iter().flat_map(|name| {
        let inside = format!(
            "<dm:person id='p'><rpid:activities><rpid:{name}/></rpid:activities></dm:person>"
        );
        let read = read_inside(&inside).unwrap().activities;
        assert_eq!(
            read.iter().map(Activities::name).collect::<Vec<_>>(),
            [name]
        );
        read.iter().collect::<Vec<_>>()
    })
}
