//! Rosters written and read, and against the schema of RFC 4575.

use super::*;
use crate::documents::schema::{Inside, Part, Shape, check};

const CONFERENCE: Conference<'static> = Conference {
    entity: "sip:im-0010000000000000abc@example.com",
    version: 7,
    subject: "tea & cake",
    user_count_max: 250,
    user_count: 2,
    locked: false,
};

const ALICE: User<'static> = User {
    entity: "sip:alice@example.com",
    display_name: "Alice \"A\"",
    role: "moderator",
    endpoint: "sip:alice@example.com",
    status: Status::Connected,
    joining: Some(Joining::FocusOwner),
    disconnection: None,
    reason: "",
};

const BOB: User<'static> = User {
    entity: "sip:bob@example.com",
    display_name: "",
    role: "",
    endpoint: "sip:bob@example.com",
    status: Status::Disconnected,
    joining: Some(Joining::DialedOut),
    disconnection: Some(Disconnection::Booted),
    reason: "480 The User Is Offline",
};

fn written(extent: Extent, conference: &Conference<'_>, entries: &[Entry<'_>]) -> String {
    let mut out = Vec::new();
    write(&mut out, extent, conference, entries.iter().copied());
    String::from_utf8(out).unwrap()
}

#[test]
fn a_partial_document_names_who_came_changed_and_went() {
    let entries = [
        Entry::Present(ALICE),
        Entry::Deleted {
            entity: "sip:carol@example.com",
        },
    ];
    assert_eq!(
        written(Extent::Partial, &CONFERENCE, &entries),
        concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            "<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\"",
            " entity=\"sip:im-0010000000000000abc@example.com\" state=\"partial\" version=\"7\">",
            "<conference-description><subject>tea &amp; cake</subject><conf-uris><entry>",
            "<uri>sip:im-0010000000000000abc@example.com</uri><purpose>participation</purpose></entry></conf-uris>",
            "<maximum-user-count>250</maximum-user-count></conference-description>",
            "<conference-state><user-count>2</user-count><active>true</active><locked>false</locked></conference-state>",
            "<users state=\"partial\"><user entity=\"sip:alice@example.com\" state=\"full\">",
            "<display-text>Alice &quot;A&quot;</display-text><roles><entry>moderator</entry></roles>",
            "<endpoint entity=\"sip:alice@example.com\"><status>connected</status>",
            "<joining-method>focus-owner</joining-method><media id=\"1\"><type>message</type></media></endpoint></user>",
            "<user entity=\"sip:carol@example.com\" state=\"deleted\"/></users></conference-info>",
        )
    );
}

#[test]
fn what_is_written_reads_back() {
    let document = written(
        Extent::Full,
        &CONFERENCE,
        &[Entry::Present(ALICE), Entry::Present(BOB)],
    );
    let roster = read(document.as_bytes()).unwrap();
    assert_eq!(&*roster.entity, CONFERENCE.entity);
    assert_eq!(&*roster.state, "full");
    assert_eq!(roster.version, 7);
    assert_eq!(roster.subject.as_deref(), Some("tea & cake"));
    assert_eq!(roster.locked, Some(false));
    assert_eq!(roster.user_count, Some(2));
    let seen: Vec<_> = roster
        .users
        .iter()
        .map(|user| {
            let role = user.roles.first().map_or("", |role| &**role);
            (&*user.entity, &*user.display_name, &*user.status, role)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (
                "sip:alice@example.com",
                "Alice \"A\"",
                "connected",
                "moderator"
            ),
            ("sip:bob@example.com", "", "disconnected", "")
        ]
    );
}

#[test]
fn a_full_room_fits_the_readers_limits() {
    let users = vec![Entry::Present(ALICE); 250];
    let document = written(Extent::Full, &CONFERENCE, &users);
    assert_eq!(read(document.as_bytes()).unwrap().users.len(), 250);
}

#[test]
fn bad_documents_are_refused() {
    let root = "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info'";
    let cases = [
        (format!("{root}/>"), Fault::Incomplete),
        (
            format!("{root} entity='sip:a@b' version='-1'/>"),
            Fault::Incomplete,
        ),
        (
            format!("{root} entity='sip:a@b'><users><user/></users></conference-info>"),
            Fault::Incomplete,
        ),
        (
            format!(
                "{root} entity='sip:a@b'><conference-state><locked>yes</locked></conference-state></conference-info>"
            ),
            Fault::Incomplete,
        ),
        (
            format!(
                "{root} entity='sip:a@b'><users><user entity='sip:c@d'><roles>{}</roles></user></users></conference-info>",
                "<entry>x</entry>".repeat(ROLES_MAX + 1)
            ),
            Fault::TooManyEntries,
        ),
        (
            format!("{root} entity='sip:a@b'><users xmlns='urn:x'/></conference-info>"),
            Fault::WrongNamespace,
        ),
        (
            format!(
                "{root} entity='sip:a@b'><users>{}</users></conference-info>",
                "<user entity='sip:a@b'/>".repeat(USERS_MAX + 1)
            ),
            Fault::TooManyEntries,
        ),
    ];
    for (document, expected) in cases {
        assert_eq!(read(document.as_bytes()), Err(expected));
    }
}

const fn shape(local: &'static str, inside: Inside) -> Shape {
    Shape {
        space: Space::ConferenceInfo,
        local,
        attributes: &[],
        inside,
    }
}

const fn with(attributes: &'static [&'static str], shape: Shape) -> Shape {
    Shape {
        attributes,
        ..shape
    }
}

const TEXT: Inside = Inside::Text;
const NUMBER: Inside = Inside::Number;

/// RFC 4575 §5.3 and §7: `conference-description-type`.
const DESCRIPTION: Shape = shape(
    "conference-description",
    Inside::Parts(&[
        Part::Maybe(&shape("display-text", TEXT)),
        Part::Maybe(&shape("subject", TEXT)),
        Part::Maybe(&shape("free-text", TEXT)),
        Part::Maybe(&shape("keywords", TEXT)),
        Part::Maybe(&shape(
            "conf-uris",
            Inside::Parts(&[Part::Many(&shape(
                "entry",
                Inside::Parts(&[
                    Part::One(&shape("uri", TEXT)),
                    Part::Maybe(&shape("display-text", TEXT)),
                    Part::Maybe(&shape("purpose", TEXT)),
                ]),
            ))]),
        )),
        Part::Maybe(&shape("maximum-user-count", NUMBER)),
    ]),
);

/// §5.5: `conference-state-type`.
const STATE: Shape = shape(
    "conference-state",
    Inside::Parts(&[
        Part::Maybe(&shape("user-count", NUMBER)),
        Part::Maybe(&shape("active", Inside::Word(&["true", "false"]))),
        Part::Maybe(&shape("locked", Inside::Word(&["true", "false"]))),
    ]),
);

/// §5.7.7: `execution-type`.
const EXECUTION: Shape = shape(
    "disconnection-info",
    Inside::Parts(&[
        Part::Maybe(&shape("when", Inside::Date)),
        Part::Maybe(&shape("reason", TEXT)),
        Part::Maybe(&shape("by", TEXT)),
    ]),
);

/// §5.7: `endpoint-type`.
const ENDPOINT: Shape = with(
    &["entity"],
    shape(
        "endpoint",
        Inside::Parts(&[
            Part::Maybe(&shape("display-text", TEXT)),
            Part::Maybe(&shape(
                "status",
                Inside::Word(&[
                    "connected",
                    "disconnected",
                    "on-hold",
                    "muted-via-focus",
                    "pending",
                    "alerting",
                    "dialing-in",
                    "dialing-out",
                    "disconnecting",
                ]),
            )),
            Part::Maybe(&shape(
                "joining-method",
                Inside::Word(&["dialed-in", "dialed-out", "focus-owner"]),
            )),
            Part::Maybe(&shape(
                "disconnection-method",
                Inside::Word(&["departed", "booted", "failed", "busy"]),
            )),
            Part::Maybe(&EXECUTION),
            Part::Many(&with(
                &["id"],
                shape("media", Inside::Parts(&[Part::Maybe(&shape("type", TEXT))])),
            )),
        ]),
    ),
);

/// §5.6: `user-type`.
const USER: Shape = with(
    &["entity"],
    shape(
        "user",
        Inside::Parts(&[
            Part::Maybe(&shape("display-text", TEXT)),
            Part::Maybe(&shape(
                "roles",
                Inside::Parts(&[Part::Many(&shape("entry", TEXT))]),
            )),
            Part::Many(&ENDPOINT),
        ]),
    ),
);

/// §5.1: `conference-type`.
const CONFERENCE_INFO: Shape = with(
    &["entity"],
    shape(
        "conference-info",
        Inside::Parts(&[
            Part::Maybe(&DESCRIPTION),
            Part::Maybe(&STATE),
            Part::Maybe(&shape("users", Inside::Parts(&[Part::Many(&USER)]))),
        ]),
    ),
);

#[test]
fn what_is_written_has_the_schemas_shape() {
    let silent = Conference {
        subject: "",
        locked: true,
        ..CONFERENCE
    };
    let entries = [
        Entry::Present(ALICE),
        Entry::Present(BOB),
        Entry::Deleted {
            entity: "sip:carol@example.com",
        },
    ];
    for conference in [&CONFERENCE, &silent] {
        for extent in [Extent::Full, Extent::Partial] {
            for entries in [&entries[..], &[]] {
                let document = written(extent, conference, entries);
                assert_eq!(
                    check(document.as_bytes(), &CONFERENCE_INFO),
                    Ok(()),
                    "{document}"
                );
            }
        }
    }
}
