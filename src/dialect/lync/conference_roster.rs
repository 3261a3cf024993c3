//! A conference's roster as a Lync client reads it ([MS-CONFBAS] §2.2.1.2): who is at the focus and who can speak, and where
//! one speaks. Each document is merged into what the client knows, whole or not, so what is gone is said to be.

use crate::dialect::lync::cccp::{self, EXTENSIONS};
use crate::documents::conference_info::Extent;
use crate::documents::xml::Space;
use crate::documents::xml::write::{Text, Writer};
use crate::immcu::room::Role;

/// The conference itself.
#[derive(Clone, Copy, Debug)]
pub struct Conference<'a> {
    /// The URI of its focus.
    pub focus: &'a str,
    /// Where one speaks.
    pub chat: &'a str,
    /// Rises with each change.
    pub version: u32,
    /// What it is about, or empty.
    pub subject: &'a str,
    /// True where nobody comes in uninvited.
    pub locked: bool,
}

/// What is said of a user.
#[derive(Clone, Debug)]
pub enum Entry<'a> {
    /// Is there, with all that they have: one who can't speak is as good as away to a client.
    Present {
        /// The address of record as a URI.
        uri: String,
        /// The name that others see; may be empty.
        display: &'a str,
        /// What they are.
        role: Role,
        /// What their clients call themselves at the focus.
        focus: Vec<&'a str>,
        /// The numbers of the legs that they speak with.
        chat: Vec<u32>,
    },
    /// Is there no longer.
    Gone {
        /// The address of record as a URI.
        uri: String,
    },
}

/// Writes a document.
pub fn write<'a>(
    extent: Extent,
    conference: &Conference<'_>,
    entries: impl IntoIterator<Item = Entry<'a>>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    let mut xml = Writer::new(&mut out);
    xml.open("conference-info")
        .attribute("xmlns", Space::ConferenceInfo.name())
        .attribute("xmlns:msci", EXTENSIONS)
        .attribute("entity", conference.focus)
        .attribute("state", extent.as_str())
        .attribute("version", conference.version);
    xml.open("conference-description")
        .element("subject", conference.subject);
    xml.open("conf-uris").open("entry");
    xml.element("uri", conference.chat)
        .element("display-text", "chat")
        .element("purpose", "chat");
    xml.close().close().close();
    xml.open("users").attribute("state", extent.as_str());
    for entry in entries {
        user(&mut xml, &entry);
    }
    xml.close();
    xml.open("msci:conference-view")
        .open("msci:entity-view")
        .attribute("entity", "chat");
    xml.open("msci:entity-state")
        .element("msci:locked", conference.locked);
    xml.open("msci:media")
        .open("entry")
        .attribute("label", "chat")
        .element("type", "chat");
    xml.close().close().close().close().close().close();
    out
}

fn user(xml: &mut Writer<'_>, entry: &Entry<'_>) {
    match entry {
        Entry::Gone { uri } => {
            xml.open("user")
                .attribute("entity", uri)
                .attribute("state", "deleted")
                .close();
        }
        Entry::Present {
            uri,
            display,
            role,
            focus,
            chat,
        } => {
            xml.open("user")
                .attribute("entity", uri)
                .attribute("state", "full");
            if !display.is_empty() {
                xml.element("display-text", display);
            }
            xml.open("roles")
                .element("entry", cccp::role(*role))
                .close();
            for name in focus {
                endpoint(xml, name, "focus");
            }
            for number in chat {
                endpoint(xml, format_args!("chat-{number}"), "chat");
            }
            xml.close();
        }
    }
}

fn endpoint(xml: &mut Writer<'_>, entity: impl Text, kind: &str) {
    xml.open("endpoint")
        .attribute("entity", entity)
        .attribute("msci:session-type", kind)
        .element("status", "connected")
        .close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_is_written_as_clients_read_it() {
        let conference = Conference {
            focus: "sip:f",
            chat: "sip:c",
            version: 3,
            subject: "Tea & cake",
            locked: true,
        };
        let entries = [
            Entry::Present {
                uri: "sip:alice@example.com".into(),
                display: "Alice",
                role: Role::Moderator,
                focus: vec!["{1}"],
                chat: vec![4],
            },
            Entry::Present {
                uri: "sip:bob@example.com".into(),
                display: "",
                role: Role::Participant,
                focus: vec![],
                chat: vec![5],
            },
            Entry::Gone {
                uri: "sip:carol@example.com".into(),
            },
        ];
        let text = String::from_utf8(write(Extent::Full, &conference, entries)).expect("text");
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" xmlns:msci=\"http://schemas.microsoft.com/rtc/2005/08/confinfoextensions\" entity=\"sip:f\" state=\"full\" version=\"3\">\
<conference-description><subject>Tea &amp; cake</subject><conf-uris><entry><uri>sip:c</uri><display-text>chat</display-text><purpose>chat</purpose></entry></conf-uris></conference-description>\
<users state=\"full\">\
<user entity=\"sip:alice@example.com\" state=\"full\"><display-text>Alice</display-text><roles><entry>presenter</entry></roles>\
<endpoint entity=\"{1}\" msci:session-type=\"focus\"><status>connected</status></endpoint>\
<endpoint entity=\"chat-4\" msci:session-type=\"chat\"><status>connected</status></endpoint></user>\
<user entity=\"sip:bob@example.com\" state=\"full\"><roles><entry>attendee</entry></roles>\
<endpoint entity=\"chat-5\" msci:session-type=\"chat\"><status>connected</status></endpoint></user>\
<user entity=\"sip:carol@example.com\" state=\"deleted\"/></users>\
<msci:conference-view><msci:entity-view entity=\"chat\"><msci:entity-state><msci:locked>true</msci:locked><msci:media><entry label=\"chat\"><type>chat</type></entry></msci:media></msci:entity-state></msci:entity-view></msci:conference-view></conference-info>";
        assert_eq!(text, expected);
    }
}
