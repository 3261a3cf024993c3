//! Conference state (RFC 4575): what a focus tells its members about one another, whole or as what changed.
//!
//! The reader is as strict as a member must be; the server reads what a moderator wants the state to be.

use crate::documents::xml::write::Writer;
use crate::documents::xml::{Element, Fault, Reader, Space};

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/conference-info+xml";

/// Users in one document that is read.
pub const USERS_MAX: usize = 1024;
/// Roles of one user in a document that is read.
pub const ROLES_MAX: usize = 8;

/// Whole, or only what changed since the version before (RFC 4575 §4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// All there is; replaces what the member knows.
    Full,
    /// Changes; a member that misses a version must ask again.
    Partial,
}

/// The conference itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conference<'a> {
    /// Its URI.
    pub entity: &'a str,
    /// One more with each document sent to one subscriber, the first included (RFC 4575 §5.2).
    pub version: u32,
    /// What it is about, or empty.
    pub subject: &'a str,
    /// The most users it takes.
    pub user_count_max: u32,
    /// How many are in it now.
    pub user_count: u32,
    /// True where nobody comes in uninvited (§5.5.3).
    pub locked: bool,
}

/// What an endpoint is up to (RFC 4575 §5.7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Was invited, has not answered.
    DialingOut,
    /// Rings.
    Alerting,
    /// Is in.
    Connected,
    /// Was in, or did not come.
    Disconnected,
}

/// How an endpoint came in (RFC 4575 §5.7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joining {
    /// By itself.
    DialedIn,
    /// Was invited.
    DialedOut,
    /// Began it.
    FocusOwner,
}

/// How an endpoint went (RFC 4575 §5.7.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disconnection {
    /// By itself.
    Departed,
    /// Was removed.
    Booted,
    /// The connection was lost, or it could not be reached.
    Failed,
    /// Was busy.
    Busy,
}

/// A user with one endpoint: here a user is in a conference once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User<'a> {
    /// The address of record as a URI.
    pub entity: &'a str,
    /// Shown to others, or empty.
    pub display_name: &'a str,
    /// `moderator`, `participant`, …, or empty.
    pub role: &'a str,
    /// The endpoint's URI; not its address, which nobody else learns: the address of record does.
    pub endpoint: &'a str,
    /// What it is up to.
    pub status: Status,
    /// How it came in.
    pub joining: Option<Joining>,
    /// How it went.
    pub disconnection: Option<Disconnection>,
    /// Why it went (§5.7.7), or empty.
    pub reason: &'a str,
}

/// What is said about a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// Is there, and as follows: new or changed.
    Present(User<'a>),
    /// Is in the roster no longer. Only in a partial document.
    Deleted {
        /// The user's URI, as it was in the roster.
        entity: &'a str,
    },
}

/// Appends a document to `out`. A full one lists all users; a partial one the changed ones.
pub fn write<'a>(
    out: &mut Vec<u8>,
    extent: Extent,
    conference: &Conference<'_>,
    entries: impl IntoIterator<Item = Entry<'a>>,
) {
    let mut writer = Writer::new(out);
    writer
        .open("conference-info")
        .attribute("xmlns", Space::ConferenceInfo.name())
        .attribute("entity", conference.entity)
        .attribute("state", extent.as_str())
        .attribute("version", conference.version);
    writer.open("conference-description");
    if !conference.subject.is_empty() {
        writer.element("subject", conference.subject);
    }
    writer
        .open("conf-uris")
        .open("entry")
        .element("uri", conference.entity)
        .element("purpose", "participation")
        .close()
        .close();
    writer
        .element("maximum-user-count", conference.user_count_max)
        .close();
    writer
        .open("conference-state")
        .element("user-count", conference.user_count)
        .element("active", "true")
        .element("locked", conference.locked)
        .close();
    writer.open("users").attribute("state", extent.as_str());
    for entry in entries {
        match entry {
            Entry::Present(user) => write_user(&mut writer, &user),
            Entry::Deleted { entity } => {
                writer
                    .open("user")
                    .attribute("entity", entity)
                    .attribute("state", "deleted")
                    .close();
            }
        }
    }
    writer.close().close();
}

fn write_user(writer: &mut Writer<'_>, user: &User<'_>) {
    writer
        .open("user")
        .attribute("entity", user.entity)
        // A full user within a partial document replaces what was known of this one (RFC 4575 §4.6).
        .attribute("state", "full");
    if !user.display_name.is_empty() {
        writer.element("display-text", user.display_name);
    }
    if !user.role.is_empty() {
        writer.open("roles").element("entry", user.role).close();
    }
    writer.open("endpoint").attribute("entity", user.endpoint);
    writer.element("status", user.status.as_str());
    if let Some(joining) = user.joining {
        writer.element("joining-method", joining.as_str());
    }
    if let Some(disconnection) = user.disconnection {
        writer.element("disconnection-method", disconnection.as_str());
    }
    if !user.reason.is_empty() {
        writer
            .open("disconnection-info")
            .element("reason", user.reason)
            .close();
    }
    writer
        .open("media")
        .attribute("id", "1")
        .element("type", "message")
        .close();
    writer.close().close();
}

impl Extent {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Extent::Full => "full",
            Extent::Partial => "partial",
        }
    }
}

impl Status {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::DialingOut => "dialing-out",
            Status::Alerting => "alerting",
            Status::Connected => "connected",
            Status::Disconnected => "disconnected",
        }
    }
}

impl Joining {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Joining::DialedIn => "dialed-in",
            Joining::DialedOut => "dialed-out",
            Joining::FocusOwner => "focus-owner",
        }
    }
}

impl Disconnection {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Disconnection::Departed => "departed",
            Disconnection::Booted => "booted",
            Disconnection::Failed => "failed",
            Disconnection::Busy => "busy",
        }
    }
}

/// A document as read. Words of the format are kept as they were written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster {
    /// The conference's URI.
    pub entity: Box<str>,
    /// `full`, `partial` or `deleted`.
    pub state: Box<str>,
    /// Its version.
    pub version: u32,
    /// What it is about, where it says so.
    pub subject: Option<Box<str>>,
    /// How many are in it, where it says so.
    pub user_count: Option<u32>,
    /// Whether nobody comes in uninvited, where it says so.
    pub locked: Option<bool>,
    /// At most `USERS_MAX`, in the order in which they were written.
    pub users: Vec<RosterUser>,
}

/// A user as read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RosterUser {
    /// The user's URI.
    pub entity: Box<str>,
    /// `full`, `partial` or `deleted`.
    pub state: Box<str>,
    /// Shown to others, or empty.
    pub display_name: Box<str>,
    /// The roles, at most `ROLES_MAX`.
    pub roles: Vec<Box<str>>,
    /// The first endpoint's status, or empty.
    pub status: Box<str>,
}

/// Reads a document.
pub fn read(bytes: &[u8]) -> Result<Roster, Fault> {
    let (mut reader, root) = Reader::open(bytes, Space::ConferenceInfo, "conference-info")?;
    let mut roster = Roster {
        entity: root.attribute("entity").ok_or(Fault::Incomplete)?.into(),
        state: state_of(&root),
        version: match root.attribute("version") {
            Some(text) => text.trim().parse().map_err(|_| Fault::Incomplete)?,
            None => 0,
        },
        ..Roster::default()
    };
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::ConferenceInfo, "users")? {
            read_users(&mut reader, &mut roster.users)?;
        } else if element.is_strictly(Space::ConferenceInfo, "conference-state")? {
            while let Some(inner) = reader.child()? {
                if inner.is(Space::ConferenceInfo, "user-count") {
                    roster.user_count = reader.text()?.trim().parse().ok();
                } else if inner.is(Space::ConferenceInfo, "locked") {
                    roster.locked = Some(boolean(&reader.text()?)?);
                } else {
                    reader.skip()?;
                }
            }
        } else if element.is_strictly(Space::ConferenceInfo, "conference-description")? {
            while let Some(inner) = reader.child()? {
                if inner.is(Space::ConferenceInfo, "subject") {
                    roster.subject = Some(reader.text()?.trim().into());
                } else {
                    reader.skip()?;
                }
            }
        } else {
            reader.skip()?;
        }
    }
    reader.finish()?;
    Ok(roster)
}

fn read_users(reader: &mut Reader<'_>, users: &mut Vec<RosterUser>) -> Result<(), Fault> {
    while let Some(element) = reader.child()? {
        if !element.is_strictly(Space::ConferenceInfo, "user")? {
            reader.skip()?;
            continue;
        }
        if users.len() >= USERS_MAX {
            return Err(Fault::TooManyEntries);
        }
        let mut user = RosterUser {
            entity: element.attribute("entity").ok_or(Fault::Incomplete)?.into(),
            state: state_of(&element),
            ..RosterUser::default()
        };
        while let Some(inner) = reader.child()? {
            if inner.is(Space::ConferenceInfo, "display-text") {
                user.display_name = reader.text()?.trim().into();
            } else if inner.is(Space::ConferenceInfo, "roles") {
                read_roles(reader, &mut user.roles)?;
            } else if inner.is(Space::ConferenceInfo, "endpoint") && user.status.is_empty() {
                user.status = read_status(reader)?;
            } else {
                reader.skip()?;
            }
        }
        users.push(user);
    }
    Ok(())
}

fn read_roles(reader: &mut Reader<'_>, roles: &mut Vec<Box<str>>) -> Result<(), Fault> {
    while let Some(inner) = reader.child()? {
        if inner.is(Space::ConferenceInfo, "entry") {
            if roles.len() >= ROLES_MAX {
                return Err(Fault::TooManyEntries);
            }
            roles.push(reader.text()?.trim().into());
        } else {
            reader.skip()?;
        }
    }
    Ok(())
}

/// XML Schema's `boolean`.
fn boolean(text: &str) -> Result<bool, Fault> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Fault::Incomplete),
    }
}

fn read_status(reader: &mut Reader<'_>) -> Result<Box<str>, Fault> {
    let mut status = Box::default();
    while let Some(inner) = reader.child()? {
        if inner.is(Space::ConferenceInfo, "status") {
            status = reader.text()?.trim().into();
        } else {
            reader.skip()?;
        }
    }
    Ok(status)
}

/// `full` where nothing is said (RFC 4575 §5.1).
fn state_of(element: &Element<'_>) -> Box<str> {
    element
        .attribute("state")
        .map_or_else(|| "full".into(), Into::into)
}

#[cfg(test)]
mod tests;
