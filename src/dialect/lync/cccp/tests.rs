//! What clients ask by C3P, and what they are answered, as tables.

use super::*;

const FOCUS: &str = "sip:alice@example.com;gruu;opaque=app:conf:focus:id:0010000000000000002";

fn request(inside: &str) -> String {
    format!(
        "<request xmlns=\"urn:ietf:params:xml:ns:cccp\" xmlns:mscp=\"http://schemas.microsoft.com/rtc/2005/08/cccpextensions\" \
         C3PVersion=\"1\" to=\"{FOCUS}\" from=\"sip:alice@example.com\" requestId=\"7\">{inside}</request>"
    )
}

fn check(inside: &str, expected: Result<Ask, Fault>) {
    let found = read(request(inside).as_bytes());
    if let Ok(found) = &found {
        assert_eq!(&*found.envelope.id, "7");
        assert_eq!(&*found.envelope.from, "sip:alice@example.com");
        assert_eq!(&*found.envelope.to, FOCUS);
    }
    assert_eq!(found.map(|found| found.ask), expected, "{inside}");
}

fn keys() -> String {
    format!("confEntity=\"{FOCUS}\"")
}

#[test]
fn what_a_client_asks_is_read() {
    let bob: Box<str> = "sip:bob@example.com".into();
    check("<getConferencingCapabilities />", Ok(Ask::Capabilities));
    check("<getConferences/>", Ok(Ask::List));
    check("<getConference/>", Ok(Ask::Other));
    check(
        "<addConference><ci:conference-info xmlns:ci=\"urn:ietf:params:xml:ns:conference-info\" entity=\"\" xmlns:msci=\"http://schemas.microsoft.com/rtc/2005/08/confinfoextensions\">\
         <ci:conference-description><ci:subject/><msci:conference-id>5D3747C1BD1F4D</msci:conference-id>\
         <msci:expiry-time>1970-01-01T00:01:00Z</msci:expiry-time><msci:admission-policy>openAuthenticated</msci:admission-policy>\
         </ci:conference-description><msci:conference-view><msci:entity-view entity=\"chat\"/></msci:conference-view></ci:conference-info></addConference>",
        Ok(Ask::Add(Wanted {
            name: "5D3747C1BD1F4D".into(),
            subject: Subject::default(),
            expires: Some(Now(60_000_000)),
            locked: false,
        })),
    );
    check(
        "<addConference><admission-policy>closedAuthenticated</admission-policy><subject>Tea &amp; cake</subject></addConference>",
        Ok(Ask::Add(Wanted {
            subject: Subject::read("Tea & cake").expect("short"),
            locked: true,
            ..Wanted::default()
        })),
    );
    check(
        &format!(
            "<addUser><conferenceKeys {}/><ci:user xmlns:ci=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:alice@example.com\">\
             <ci:roles><ci:entry>attendee</ci:entry></ci:roles><ci:endpoint entity=\"{{F0-  1}}\"/></ci:user></addUser>",
            keys()
        ),
        Ok(Ask::AddUser {
            conference: FOCUS.into(),
            user: "sip:alice@example.com".into(),
            endpoint: "{F0-  1}".into(),
        }),
    );
    let user_keys = format!("<userKeys {} userEntity=\"{bob}\"/>", keys());
    check(
        &format!(
            "<modifyUserRoles>{user_keys}<user-roles xmlns=\"urn:ietf:params:xml:ns:conference-info\"><entry>presenter</entry></user-roles></modifyUserRoles>"
        ),
        Ok(Ask::SetRole(FOCUS.into(), bob.clone(), Role::Moderator)),
    );
    check(
        &format!("<deleteUser>{user_keys}</deleteUser>"),
        Ok(Ask::DeleteUser(FOCUS.into(), bob)),
    );
    let conference = format!("<conferenceKeys {}/>", keys());
    for (text, locked) in [("true", true), (" 0 ", false)] {
        check(
            &format!(
                "<modifyConferenceLock>{conference}<locked>{text}</locked></modifyConferenceLock>"
            ),
            Ok(Ask::SetLock(FOCUS.into(), locked)),
        );
    }
    check(
        &format!("<deleteConference>{conference}</deleteConference>"),
        Ok(Ask::Delete(FOCUS.into())),
    );
    check(
        &format!(
            "<modifyConference><conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='{FOCUS}'><conference-description><subject>x</subject></conference-description></conference-info></modifyConference>"
        ),
        Ok(Ask::Modify(
            FOCUS.into(),
            Some(Subject::read("x").expect("short")),
            None,
        )),
    );
    for (policy, shut) in [
        ("closedAuthenticated", Some(true)),
        ("openAuthenticated", Some(false)),
        ("anonymous", Some(false)),
        ("whoever", None),
    ] {
        check(
            &format!(
                "<modifyConference><conference-info entity='{FOCUS}'><conference-description><admission-policy>{policy}</admission-policy></conference-description></conference-info></modifyConference>"
            ),
            Ok(Ask::Modify(FOCUS.into(), None, shut)),
        );
    }
    check(
        &format!(
            "<modifyConference><conference-info entity='{FOCUS}'><admission-policy>closedAuthenticated</admission-policy><locked>false</locked></conference-info></modifyConference>"
        ),
        Ok(Ask::Modify(FOCUS.into(), None, Some(true))),
    );
}

#[test]
fn what_is_no_request_is_refused() {
    check("", Err(Fault::Incomplete));
    check("<makeTea/>", Err(Fault::Incomplete));
    check(
        "<getConferences/><getConferences/>",
        Err(Fault::TooManyEntries),
    );
    check("<deleteUser/>", Err(Fault::Incomplete));
    check("<addUser/>", Err(Fault::Incomplete));
    check("<modifyConferenceLock/>", Err(Fault::Incomplete));
    check(
        "<addConference><expiry-time>soon</expiry-time></addConference>",
        Err(Fault::Incomplete),
    );
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    check(
        &format!("<addConference><conference-id>{long}</conference-id></addConference>"),
        Err(Fault::TextTooLong),
    );
    let long = "x".repeat(256);
    check(
        &format!("<addConference><subject>{long}</subject></addConference>"),
        Err(Fault::TextTooLong),
    );
    let deep = "<a>".repeat(40) + &"</a>".repeat(40);
    check(
        &format!("<addConference>{deep}</addConference>"),
        Err(Fault::TooDeep),
    );
    for (text, fault) in [
        ("<request/>", Fault::WrongNamespace),
        (
            "<request xmlns='urn:ietf:params:xml:ns:cccp' to='a' from='b'><getConferences/></request>",
            Fault::Incomplete,
        ),
        (
            "<response xmlns='urn:ietf:params:xml:ns:cccp'/>",
            Fault::WrongRoot,
        ),
        ("", Fault::Malformed),
        ("<!DOCTYPE x><request/>", Fault::Doctype),
    ] {
        assert_eq!(read(text.as_bytes()), Err(fault), "{text}");
    }
}

/// Each byte taken away, doubled or changed, and each cut: a refusal or a reading, and never a panic.
#[test]
fn no_request_breaks_the_reader() {
    let good = request(&format!(
        "<addUser><conferenceKeys {}/><user entity=\"sip:a@b\"><roles><entry>attendee</entry></roles><endpoint entity=\"{{1}}\"/></user><locked>1</locked><expiry-time>1970-01-01T00:01:00Z</expiry-time></addUser>",
        keys()
    ));
    let bytes = good.as_bytes();
    assert!(read(bytes).is_ok());
    for at in 0..bytes.len() {
        let _ = read(&bytes[..at]);
        for with in [0, b'<', b'>', b'"', b'&', b'/', 0xff] {
            let mut changed = bytes.to_vec();
            changed[at] = with;
            let _ = read(&changed);
            changed.insert(at, bytes[at]);
            let _ = read(&changed);
            changed.drain(at..at + 2);
            let _ = read(&changed);
        }
    }
}

#[test]
fn responses_are_written_as_clients_read_them() {
    let envelope = Envelope {
        id: "7".into(),
        from: "sip:alice@example.com".into(),
        to: "sip:f@x;gruu".into(),
    };
    let head = |code: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<response xmlns=\"urn:ietf:params:xml:ns:cccp\" C3PVersion=\"1\" requestId=\"7\" from=\"sip:f@x;gruu\" to=\"sip:alice@example.com\" code=\"{code}\">"
        )
    };
    let ci = "xmlns=\"urn:ietf:params:xml:ns:conference-info\"";
    let all = [("sip:c".to_owned(), Subject::read("Tea").expect("short"))];
    for (name, answer, code, inside) in [
        (
            "deleteUser",
            Answer::Done,
            "success",
            "<deleteUser/>".to_owned(),
        ),
        (
            "addUser",
            Answer::Failure(reason(501)),
            "failure",
            "<addUser reason=\"notSupported\"/>".to_owned(),
        ),
        (
            "getConferencingCapabilities",
            Answer::Capabilities,
            "success",
            "<getConferencingCapabilities><mcu-types><mcuType>chat</mcuType></mcu-types></getConferencingCapabilities>".to_owned(),
        ),
        (
            "addConference",
            Answer::Conference("sip:c"),
            "success",
            format!("<addConference><conference-info {ci} entity=\"sip:c\"/></addConference>"),
        ),
        (
            "getConferences",
            Answer::Conferences(&all),
            "success",
            format!("<getConferences><conference-info {ci} entity=\"sip:c\"><conference-description><subject>Tea</subject></conference-description></conference-info></getConferences>"),
        ),
        (
            "addUser",
            Answer::User("sip:c", "sip:a", Role::Moderator),
            "success",
            format!("<addUser><conferenceKeys confEntity=\"sip:c\"/><user {ci} entity=\"sip:a\"><roles><entry>presenter</entry></roles></user></addUser>"),
        ),
    ] {
        let written = String::from_utf8(write(&envelope, name, &answer)).expect("text");
        assert_eq!(written, format!("{}{inside}</response>", head(code)));
    }
}
