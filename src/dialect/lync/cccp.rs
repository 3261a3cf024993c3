//! C3P, in which a Lync client asks for a conference and, in it, for what a moderator may decide ([MS-CONFBAS] §2.2.2,
//! §2.2.3). One request, one response in the answer to it.
//!
//! A request is read by its elements' local names: their namespaces differ from one client to the next where the schema
//! has three of them for one element.

use crate::documents::timestamp;
use crate::documents::xml::write::{Text, Writer};
use crate::documents::xml::{Element, Fault, Reader, Space};
use crate::immcu::room::{Role, Subject};
use crate::immcu::session::Refusal;
use crate::sip::time::Now;

/// The type of requests and responses.
pub const CONTENT_TYPE: &str = "application/cccp+xml";
/// Bytes of an opaque name that a client gives: a conference's, an endpoint's, a request's.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a URI in a request.
const URI_BYTES_MAX: usize = 1024;
/// The extension namespace of what a conference's description says.
pub const EXTENSIONS: &str = "http://schemas.microsoft.com/rtc/2005/08/confinfoextensions";

/// Who asks whom, and how the response is told apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Envelope {
    /// The client's number of the request.
    pub id: Box<str>,
    /// In whose name.
    pub from: Box<str>,
    /// The factory, or the conference.
    pub to: Box<str>,
}

/// A conference that is to be made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// What the client calls it; may be empty.
    pub name: Box<str>,
    /// What it is about.
    pub subject: Subject,
    /// When it is to end.
    pub expires: Option<Now>,
    /// True where nobody is to come in uninvited: it is made locked, or for those alone who are invited.
    pub locked: bool,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// What this server can do.
    Capabilities,
    /// A new conference.
    Add(Wanted),
    /// The user's own that are not over.
    List,
    /// The end of one.
    Delete(Box<str>),
    /// Another subject or lock.
    Modify(Box<str>, Option<Subject>, Option<bool>),
    /// To be let in.
    AddUser {
        /// Where.
        conference: Box<str>,
        /// Who.
        user: Box<str>,
        /// What the client calls itself.
        endpoint: Box<str>,
    },
    /// Somebody is to decide, or no longer.
    SetRole(Box<str>, Box<str>, Role),
    /// Somebody is to go.
    DeleteUser(Box<str>, Box<str>),
    /// The lock.
    SetLock(Box<str>, bool),
    /// Something else that C3P has.
    Other,
}

/// What C3P has; an answer's element is named as the question's.
const NAMES: [&str; 12] = [
    "getConferencingCapabilities",
    "addConference",
    "getConferences",
    "deleteConference",
    "modifyConference",
    "addUser",
    "modifyUserRoles",
    "deleteUser",
    "modifyConferenceLock",
    "getConference",
    "modifyUser",
    "setUserAccess",
];

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Who asks whom.
    pub envelope: Envelope,
    /// The name of what is asked.
    pub name: &'static str,
    /// What is asked.
    pub ask: Ask,
}

fn bounded(text: &str, bytes_max: usize) -> Result<Box<str>, Fault> {
    if text.len() > bytes_max {
        return Err(Fault::TextTooLong);
    }
    Ok(text.trim().into())
}

fn attribute(element: &Element<'_>, name: &str, bytes_max: usize) -> Result<Box<str>, Fault> {
    bounded(
        &element.attribute(name).ok_or(Fault::Incomplete)?,
        bytes_max,
    )
}

/// Reads a request.
///
/// # Errors
/// Where it is none, or lacks what it needs.
pub fn read(body: &[u8]) -> Result<Request, Fault> {
    let (mut reader, root) = Reader::open(body, Space::Cccp, "request")?;
    let envelope = Envelope {
        id: attribute(&root, "requestId", NAME_BYTES_MAX)?,
        from: attribute(&root, "from", URI_BYTES_MAX)?,
        to: attribute(&root, "to", URI_BYTES_MAX)?,
    };
    let asked = reader.child()?.ok_or(Fault::Incomplete)?;
    let name = NAMES.into_iter().find(|name| *name == asked.local());
    let name = name.ok_or(Fault::Incomplete)?;
    let mut found = Found::default();
    found.read(&mut reader)?;
    // One thing at a time ([MS-CONFBAS] §2.2.2).
    if reader.child()?.is_some() {
        return Err(Fault::TooManyEntries);
    }
    reader.finish()?;
    let ask = found.ask(name)?;
    Ok(Request {
        envelope,
        name,
        ask,
    })
}

/// What stands in a request, wherever it stands.
#[derive(Default)]
struct Found {
    conference: Option<Box<str>>,
    user: Option<Box<str>>,
    endpoint: Box<str>,
    roles: Vec<Role>,
    locked: Option<bool>,
    invited_only: Option<bool>,
    name: Box<str>,
    subject: Option<Subject>,
    expires: Option<Now>,
}

impl Found {
    /// Reads the children of the element that the reader is in. The reader bounds how deep that goes.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        while let Some(element) = reader.child()? {
            let uri = |name: &str| {
                let value = element.attribute(name);
                value.map(|uri| bounded(&uri, URI_BYTES_MAX)).transpose()
            };
            match element.local() {
                "conferenceKeys" => self.conference = uri("confEntity")?,
                "userKeys" => {
                    self.conference = uri("confEntity")?;
                    self.user = uri("userEntity")?;
                }
                // One that is to be made has no name yet.
                "conference-info" => self.conference = uri("entity")?,
                "user" => self.user = uri("entity")?,
                "endpoint" => {
                    let value = element.attribute("entity").unwrap_or_default();
                    self.endpoint = bounded(&value, NAME_BYTES_MAX)?;
                }
                "entry" => {
                    match reader.text()?.trim() {
                        "presenter" => self.roles.push(Role::Moderator),
                        "attendee" => self.roles.push(Role::Participant),
                        _ => {}
                    }
                    continue;
                }
                "locked" => {
                    self.locked = Some(boolean(&reader.text()?)?);
                    continue;
                }
                "admission-policy" => {
                    self.invited_only = match reader.text()?.trim() {
                        "closedAuthenticated" => Some(true),
                        "openAuthenticated" | "anonymous" => Some(false),
                        _ => None,
                    };
                    continue;
                }
                "conference-id" => {
                    self.name = bounded(&reader.text()?, NAME_BYTES_MAX)?;
                    continue;
                }
                "subject" => {
                    let subject = Subject::read(&reader.text()?);
                    self.subject = Some(subject.map_err(|_| Fault::TextTooLong)?);
                    continue;
                }
                "expiry-time" => {
                    let text = reader.text()?;
                    if !text.trim().is_empty() {
                        self.expires = Some(timestamp::read(&text).ok_or(Fault::Incomplete)?);
                    }
                    continue;
                }
                _ => {}
            }
            self.read(reader)?;
        }
        Ok(())
    }

    fn ask(self, name: &str) -> Result<Ask, Fault> {
        let conference = self.conference.ok_or(Fault::Incomplete);
        let user = self.user.ok_or(Fault::Incomplete);
        // Either of the two shuts it, in a new one and in one that there is.
        let shut = match (self.locked, self.invited_only) {
            (None, None) => None,
            (locked, invited_only) => Some(locked == Some(true) || invited_only == Some(true)),
        };
        Ok(match name {
            "getConferencingCapabilities" => Ask::Capabilities,
            "getConferences" => Ask::List,
            "addConference" => Ask::Add(Wanted {
                name: self.name,
                subject: self.subject.unwrap_or_default(),
                expires: self.expires,
                locked: shut.unwrap_or_default(),
            }),
            "deleteConference" => Ask::Delete(conference?),
            "modifyConference" => Ask::Modify(conference?, self.subject, shut),
            "addUser" => Ask::AddUser {
                conference: conference?,
                user: user?,
                endpoint: self.endpoint,
            },
            "modifyUserRoles" => {
                let role = self.roles.first().ok_or(Fault::Incomplete)?;
                Ask::SetRole(conference?, user?, *role)
            }
            "deleteUser" => Ask::DeleteUser(conference?, user?),
            "modifyConferenceLock" => {
                Ask::SetLock(conference?, self.locked.ok_or(Fault::Incomplete)?)
            }
            _ => Ask::Other,
        })
    }
}

/// XML Schema's `boolean`.
fn boolean(text: &str) -> Result<bool, Fault> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Fault::Incomplete),
    }
}

/// Why something was not done, in C3P's words.
pub fn reason(refusal_status: u16) -> &'static str {
    match refusal_status {
        400 => "requestMalformed",
        403 => "unauthorized",
        404 => "userDoesntExist",
        481 => "conferenceDoesntExist",
        486 => "maxParticipantsExceeded",
        501 => "notSupported",
        _ => "otherFailure",
    }
}

/// The number of a refusal at the focus in [MS-OCER]'s range for conferences, for `ms-diagnostics`.
pub fn diagnostics_id(status: u16) -> u16 {
    match status {
        // "Conference does not exist."
        404 | 481 => 3013,
        // "Maximum number of participants."
        486 => 3037,
        // "The user may not join", whatever the reason says.
        _ => 3000,
    }
}

/// A role in C3P's words.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Moderator => "presenter",
        Role::Participant => "attendee",
    }
}

/// What a response says.
#[derive(Debug)]
pub enum Answer<'a> {
    /// It was done.
    Done,
    /// Only messages.
    Capabilities,
    /// A conference, by the URI of its focus.
    Conference(&'a str),
    /// Some, each by its URI and with its subject.
    Conferences(&'a [(String, Subject)]),
    /// Somebody is in: where, who, and as what.
    User(&'a str, &'a str, Role),
    /// It was not done, and why in C3P's words.
    Failure(&'static str),
}

/// Writes the response to what was asked by `name`.
pub fn write(envelope: &Envelope, name: &'static str, answer: &Answer<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut xml = Writer::new(&mut out);
    let code = match answer {
        Answer::Failure(_) => "failure",
        _ => "success",
    };
    xml.open("response")
        .attribute("xmlns", Space::Cccp.name())
        .attribute("C3PVersion", "1")
        .attribute("requestId", &envelope.id)
        .attribute("from", &envelope.to)
        .attribute("to", &envelope.from)
        .attribute("code", code);
    xml.open(name);
    match answer {
        Answer::Done => {}
        Answer::Failure(reason) => {
            xml.attribute("reason", reason);
        }
        Answer::Capabilities => {
            xml.open("mcu-types").element("mcuType", "chat").close();
        }
        Answer::Conference(entity) => {
            conference(&mut xml, entity);
            xml.close();
        }
        Answer::Conferences(all) => {
            for (entity, subject) in *all {
                conference(&mut xml, entity);
                xml.open("conference-description")
                    .element("subject", subject.as_str())
                    .close();
                xml.close();
            }
        }
        Answer::User(entity, user, granted) => {
            xml.open("conferenceKeys")
                .attribute("confEntity", entity)
                .close();
            xml.open("user")
                .attribute("xmlns", Space::ConferenceInfo.name())
                .attribute("entity", user);
            xml.open("roles").element("entry", role(*granted)).close();
            xml.close();
        }
    }
    xml.close().close();
    out
}

fn conference(xml: &mut Writer<'_>, entity: impl Text) {
    xml.open("conference-info")
        .attribute("xmlns", Space::ConferenceInfo.name())
        .attribute("entity", entity);
}

impl Request {
    /// What a moderator's request asks the focus for.
    ///
    /// # Errors
    /// It is nothing that is asked of a focus in its dialog.
    pub fn is_for(&self) -> Result<&str, &'static str> {
        match &self.ask {
            Ask::Delete(conference)
            | Ask::Modify(conference, ..)
            | Ask::SetRole(conference, ..)
            | Ask::DeleteUser(conference, _)
            | Ask::SetLock(conference, _) => Ok(conference),
            Ask::AddUser { .. } | Ask::Capabilities | Ask::Add(_) | Ask::List | Ask::Other => {
                Err(reason(501))
            }
        }
    }
}

impl From<Refusal> for Answer<'_> {
    fn from(refusal: Refusal) -> Self {
        Answer::Failure(reason(refusal.status()))
    }
}

#[cfg(test)]
mod tests;
