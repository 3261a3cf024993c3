//! Standard SIP's ways to ask a focus for something: an INVITE with a list of recipients (RFC 5366), and what a moderator
//! wants, as an INFO (RFC 6086) that carries the state as it should be (RFC 4575's document, partial).
//!
//! What can't be done is refused in the answer to the INFO itself. RFC 6086 §4.2.2 would have the focus say so by an INFO of its
//! own; but whether somebody may ask is the dialog's business before it is the package's, and a client that sent one
//! request gets one answer.

use crate::documents::conference_info;
use crate::documents::{multipart, resource_lists, xml};
use crate::immcu::content::{Content, Outcome, Priority, Sort};
use crate::immcu::room::{Command, Role, Subject};
use crate::immcu::session::Refusal;
use crate::sip::header::{MediaType, Name};
use crate::sip::message::Message;
use crate::sip::uri::Uri;

/// The Info Package in which moderators ask (RFC 6086 §3).
pub const INFO_PACKAGE: &str = "conference";
/// What an INVITE's body may be, for Accept.
pub const ACCEPT: &str = "application/sdp, multipart/mixed, application/resource-lists+xml";

/// Why what was asked can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadAsk {
    /// A body, or a part that must be understood, of a type that is not known here: 415.
    Type,
    /// A body of many parts that can't be read.
    Parts(multipart::Fault),
    /// Two session descriptions, or two lists: 400.
    Twice,
    /// A list that can't be read: 400.
    List(xml::Fault),
    /// A list with more different entries than `entries_max`: 413.
    TooMany,
    /// A conference's state that can't be read: 400.
    State(xml::Fault),
    /// The state of another conference: 400.
    OtherConference,
    /// A state that asks for nothing: 400.
    Nothing,
    /// A user whose URI names nobody: 400.
    User,
    /// A role that is not known here: 400.
    Role,
    /// A subject that is too long: 400.
    Subject,
}

impl BadAsk {
    /// The answer's status.
    pub fn status(self) -> u16 {
        match self {
            BadAsk::Type => 415,
            BadAsk::Parts(fault) => fault.status(),
            BadAsk::TooMany => 413,
            _ => 400,
        }
    }

    /// The answer's reason phrase; empty for the standard's.
    pub fn reason(self) -> &'static str {
        match self {
            BadAsk::Type | BadAsk::TooMany => "",
            BadAsk::Parts(fault) => fault.reason(),
            BadAsk::Twice => "Only One Session Description And One List",
            BadAsk::List(fault) | BadAsk::State(fault) => fault.reason(),
            BadAsk::OtherConference => "The State Of Another Conference",
            BadAsk::Nothing => "Nothing Is Asked For",
            BadAsk::User => "Bad User URI",
            BadAsk::Role => "Only The Roles moderator And participant",
            BadAsk::Subject => Refusal::SubjectTooLong.reason(),
        }
    }
}

/// What an INVITE carries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Invitation<'a> {
    /// The session description, if any.
    pub sdp: Option<&'a [u8]>,
    /// The recipients, if there is a list: URIs as they were written, each once.
    pub list: Option<Vec<Box<str>>>,
}

/// Takes an INVITE's body apart: a session description, a list of recipients, or both.
///
/// # Errors
/// Where it is something else, or more.
pub fn invitation<'a>(
    message: &Message<'_>,
    body: &'a [u8],
    entries_max: usize,
) -> Result<Invitation<'a>, BadAsk> {
    let mut found = Invitation::default();
    if body.is_empty() {
        return Ok(found);
    }
    let media = message.content_type().ok_or(BadAsk::Type)?;
    if !media.is("multipart/mixed") {
        let disposition = message.header(Name::ContentDisposition).unwrap_or_default();
        take(&mut found, &media, disposition, body, entries_max)?;
        return Ok(found);
    }
    let boundary = media.params.value("boundary").unwrap_or_default();
    for part in multipart::read(&boundary, body).map_err(BadAsk::Parts)? {
        let known = MediaType::parse(part.content_type())
            .map_err(|_| BadAsk::Type)
            .and_then(|media| {
                let disposition = part.disposition();
                take(&mut found, &media, disposition, part.body, entries_max)
            });
        match known {
            Err(BadAsk::Type) if is_optional(&part) => {}
            known => known?,
        }
    }
    Ok(found)
}

fn take<'a>(
    found: &mut Invitation<'a>,
    media: &MediaType<'_>,
    disposition: &str,
    body: &'a [u8],
    entries_max: usize,
) -> Result<(), BadAsk> {
    if media.is("application/sdp") {
        if found.sdp.replace(body).is_some() {
            return Err(BadAsk::Twice);
        }
    } else if media.is(resource_lists::CONTENT_TYPE) {
        let disposition = disposition.split(';').next().unwrap_or_default().trim();
        // Who else was invited is told so, and invites nobody (`recipient-list-history` of RFC 5366).
        if disposition.eq_ignore_ascii_case("recipient-list-history") {
            return Ok(());
        }
        if !disposition.is_empty() && !disposition.eq_ignore_ascii_case("recipient-list") {
            return Err(BadAsk::Type);
        }
        if found.list.is_some() {
            return Err(BadAsk::Twice);
        }
        found.list = Some(resource_lists::read(body, entries_max).map_err(
            |fault| match fault {
                xml::Fault::TooManyEntries => BadAsk::TooMany,
                fault => BadAsk::List(fault),
            },
        )?);
    } else {
        return Err(BadAsk::Type);
    }
    Ok(())
}

/// RFC 3261 §20.11: what is not known may be passed over only where the sender says so.
fn is_optional(part: &multipart::Part<'_>) -> bool {
    part.header("Content-Disposition").is_some_and(|value| {
        value
            .split(';')
            .skip(1)
            .filter_map(|param| param.split_once('='))
            .any(|(name, value)| {
                name.trim().eq_ignore_ascii_case("handling")
                    && value.trim().eq_ignore_ascii_case("optional")
            })
    })
}

/// The Subject of an INVITE.
///
/// # Errors
/// Where it is too long.
pub fn subject(message: &Message<'_>) -> Result<Subject, BadAsk> {
    Subject::read(message.header(Name::Subject).unwrap_or_default()).map_err(|_| BadAsk::Subject)
}

/// What a moderator asks for: the state that the document wants. `user` is the user part of the conference's own URI.
///
/// # Errors
/// Where it can't be read, is about another conference, or asks for nothing that this server knows.
pub fn commands(body: &[u8], user: &str) -> Result<Vec<Command>, BadAsk> {
    let wanted = conference_info::read(body).map_err(BadAsk::State)?;
    if !Uri::parse(&wanted.entity).is_ok_and(|entity| entity.user == user) {
        return Err(BadAsk::OtherConference);
    }
    if &*wanted.state == "deleted" {
        return Ok(vec![Command::EndAll]);
    }
    let mut commands = Vec::new();
    if let Some(subject) = wanted.subject {
        let subject = Subject::read(&subject).map_err(|_| BadAsk::Subject)?;
        commands.push(Command::SetSubject(subject));
    }
    commands.extend(wanted.locked.map(Command::SetLock));
    for one in wanted.users {
        let user = Uri::parse(&one.entity)
            .ok()
            .and_then(|uri| uri.aor())
            .ok_or(BadAsk::User)?;
        if &*one.state == "deleted" {
            commands.push(Command::Expel(user));
            continue;
        }
        // With several roles the one with the most rights counts, as it does in a roster.
        let mut role = None;
        for text in &one.roles {
            match &**text {
                "moderator" | "organizer" | "presenter" => role = Some(Role::Moderator),
                "participant" | "attendee" => role = role.or(Some(Role::Participant)),
                _ => return Err(BadAsk::Role),
            }
        }
        commands.extend(role.map(|role| Command::SetRole(user, role)));
    }
    if commands.is_empty() {
        return Err(BadAsk::Nothing);
    }
    Ok(commands)
}

/// A report for a person: whom an invitation with a list did not bring in, and why; one line each.
pub fn not_invited<'a>(missed: impl Iterator<Item = (&'a str, &'a Outcome)>) -> Content {
    let lines: Vec<String> = missed
        .map(|(who, outcome)| {
            format!(
                "{who} could not be invited: {} {}",
                outcome.status,
                outcome.text()
            )
        })
        .collect();
    Content {
        content_type: "text/plain;charset=utf-8".into(),
        body: lines.join("\r\n").into_bytes().into(),
        lines: "".into(),
        sort: Sort::Signal,
        priority: Priority::Ordinary,
        call_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::uri::Aor;

    fn invite(content_type: &str, body: &str, entries_max: usize) -> Result<String, BadAsk> {
        let mut bytes = format!(
            "INVITE sip:conference@example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
             To: <sip:conference@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        let message = Message::parse(&mut bytes).expect("a good message");
        invitation(&message, message.body(), entries_max).map(|found| {
            let sdp = found.sdp.map(String::from_utf8_lossy);
            format!("{sdp:?} {:?}", found.list)
        })
    }

    const LIST: &str = "Content-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n\
        <resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><list><entry uri='sip:a@b'/><entry uri='sip:c@d'/></list></resource-lists>";

    #[test]
    fn an_invitation_is_taken_apart() {
        let sdp = "Content-Type: application/sdp\r\n\r\nv=0";
        let odd = "Content-Type: image/png\r\n\r\nx";
        let history = LIST.replace("recipient-list", "recipient-list-history");
        let unknown = LIST.replace("recipient-list", "attachment");
        let optional =
            "Content-Type: image/png\r\nContent-Disposition: icon;handling=optional\r\n\r\nx";
        let mixed = "multipart/mixed;boundary=\"b\"";
        let all = |parts: &[&str]| {
            let each = |part: &&str| format!("--b\r\n{part}\r\n");
            parts.iter().map(each).collect::<String>() + "--b--\r\n"
        };
        let both = "Some(\"v=0\") Some([\"sip:a@b\", \"sip:c@d\"])".to_owned();
        for (content_type, body, entries_max, expected) in [
            (
                "application/sdp",
                "v=0".to_owned(),
                2,
                Ok("Some(\"v=0\") None".to_owned()),
            ),
            ("text/plain", "v=0".to_owned(), 2, Err(BadAsk::Type)),
            (
                "multipart/alternative;boundary=b",
                all(&[sdp]),
                2,
                Err(BadAsk::Type),
            ),
            (mixed, all(&[sdp, LIST]), 2, Ok(both.clone())),
            (mixed, all(&[optional, LIST, sdp]), 2, Ok(both)),
            (mixed, all(&[sdp, LIST]), 1, Err(BadAsk::TooMany)),
            (mixed, all(&[sdp, odd]), 2, Err(BadAsk::Type)),
            (
                mixed,
                all(&[sdp, &history]),
                2,
                Ok("Some(\"v=0\") None".to_owned()),
            ),
            (mixed, all(&[sdp, &unknown]), 2, Err(BadAsk::Type)),
            (mixed, all(&[sdp, sdp]), 2, Err(BadAsk::Twice)),
            (mixed, all(&[LIST, LIST]), 2, Err(BadAsk::Twice)),
            (
                "multipart/mixed",
                all(&[sdp]),
                2,
                Err(BadAsk::Parts(multipart::Fault::Boundary)),
            ),
            (
                "application/resource-lists+xml",
                "<x/>".to_owned(),
                2,
                Err(BadAsk::List(xml::Fault::WrongRoot)),
            ),
        ] {
            assert_eq!(invite(content_type, &body, entries_max), expected, "{body}");
        }
    }

    fn ask(inside: &str, expected: Result<&[Command], BadAsk>) {
        let document = format!(
            "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='sip:im-1@example.com' state='partial'>{inside}</conference-info>"
        );
        let found = commands(document.as_bytes(), "im-1");
        assert_eq!(found, expected.map(<[Command]>::to_vec), "{inside}");
    }

    #[test]
    fn what_a_moderator_wants_is_read_from_a_state() {
        let bob = Aor::parse("bob@example.com").expect("a user");
        let subject = |text: &str| Subject::read(text).expect("short");
        let user = |inside: &str| {
            format!("<users><user entity='sip:bob@example.com' {inside}</user></users>")
        };
        ask("", Err(BadAsk::Nothing));
        ask(
            "<conference-description><subject>Tea &amp; cake</subject></conference-description>\
             <conference-state><user-count>3</user-count><locked>1</locked></conference-state>",
            Ok(&[
                Command::SetSubject(subject("Tea & cake")),
                Command::SetLock(true),
            ]),
        );
        ask(
            "<conference-description><subject/></conference-description>",
            Ok(&[Command::SetSubject(subject(""))]),
        );
        let long = "x".repeat(256);
        ask(
            &format!("<conference-description><subject>{long}</subject></conference-description>"),
            Err(BadAsk::Subject),
        );
        for (text, role) in [
            ("moderator", Role::Moderator),
            ("presenter", Role::Moderator),
            ("attendee", Role::Participant),
            ("participant</entry><entry>moderator", Role::Moderator),
        ] {
            let inside = user(&format!("><roles><entry>{text}</entry></roles>"));
            ask(&inside, Ok(&[Command::SetRole(bob.clone(), role)]));
        }
        ask(&user("state='deleted'>"), Ok(&[Command::Expel(bob)]));
        ask(&user(">"), Err(BadAsk::Nothing));
        ask(
            &user("><roles><entry>king</entry></roles>"),
            Err(BadAsk::Role),
        );
        ask(
            "<users><user entity='tel:+49' state='deleted'/></users>",
            Err(BadAsk::User),
        );
        let document = |entity: &str, state: &str| {
            format!(
                "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='{entity}' state='{state}'/>"
            )
        };
        let read = |text: &str| commands(text.as_bytes(), "im-1");
        let ended = read(&document("sip:im-1@example.com", "deleted"));
        assert_eq!(ended, Ok(vec![Command::EndAll]));
        let other = read(&document("sip:im-2@example.com", "deleted"));
        assert_eq!(other, Err(BadAsk::OtherConference));
        assert_eq!(read("<x/>"), Err(BadAsk::State(xml::Fault::WrongRoot)));
    }
}
