//! Which calls a user is in (RFC 4235): for the lamps of desk phones. Written only, whole, never as a change.
//!
//! A document is rendered once for all who may see the same; the version, which counts the documents of one subscription
//! (§4.1), is put in when it is sent.

use crate::documents::xml::Space;
use crate::documents::xml::write::Writer;

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";

/// Where a call stands (RFC 4235 §3.7.1). One that has ended is in no whole document any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum State {
    /// Asked for, and nothing heard.
    Trying,
    /// Rings.
    Early,
    /// Both talk.
    Confirmed,
}

/// Who began a call (§4.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The user whose document this is.
    Initiator,
    /// The other side.
    Recipient,
}

/// A dialog's ids: enough to take its place (RFC 3891), so not for everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids<'a> {
    /// The Call-ID.
    pub call_id: &'a str,
    /// The user's own tag; empty while there is none.
    pub local_tag: &'a str,
    /// The other side's tag; empty while there is none.
    pub remote_tag: &'a str,
}

/// Somebody, with the name that others see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity<'a> {
    /// The URI of the address of record: where exactly they are is nobody's business.
    pub uri: &'a str,
    /// May be empty.
    pub display: &'a str,
}

/// One call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call<'a> {
    /// Unique in the document, and the same for this call in each.
    pub id: &'a str,
    /// Where it stands.
    pub state: State,
    /// Who began it, where that may be known.
    pub direction: Option<Direction>,
    /// Its ids, where they may be known.
    pub ids: Option<Ids<'a>>,
    /// The other side, where that may be known.
    pub remote: Option<Identity<'a>>,
}

/// What stands for the version until a document is sent: all that can count has as many digits.
const VERSION: &str = "version=\"0000000000\"";

/// Appends a whole document about `entity` (a user's URI) to `out`.
pub fn write<'a>(out: &mut Vec<u8>, entity: &str, calls: impl IntoIterator<Item = Call<'a>>) {
    let mut writer = Writer::new(out);
    writer
        .open("dialog-info")
        .attribute("xmlns", Space::DialogInfo.name())
        .attribute("version", "0000000000")
        .attribute("state", "full")
        .attribute("entity", entity);
    for call in calls {
        writer.open("dialog").attribute("id", call.id);
        if let Some(ids) = call.ids {
            writer.attribute("call-id", ids.call_id);
            if !ids.local_tag.is_empty() {
                writer.attribute("local-tag", ids.local_tag);
            }
            if !ids.remote_tag.is_empty() {
                writer.attribute("remote-tag", ids.remote_tag);
            }
        }
        if let Some(direction) = call.direction {
            writer.attribute("direction", direction.as_str());
        }
        writer.element("state", call.state.as_str());
        if let Some(remote) = call.remote {
            writer.open("remote").open("identity");
            if !remote.display.is_empty() {
                writer.attribute("display", remote.display);
            }
            writer.text(remote.uri).close();
            writer.open("target").attribute("uri", remote.uri).close();
            writer.close();
        }
        writer.close();
    }
    writer.close();
}

/// The document as the `version`th of a subscription, from 0 on.
pub fn numbered(document: &[u8], version: u32) -> Vec<u8> {
    let mut out = document.to_vec();
    let at = out
        .windows(VERSION.len())
        .position(|window| window == VERSION.as_bytes());
    if let Some(at) = at {
        let number = format!("version=\"{version}\"");
        out.splice(at..at + VERSION.len(), number.bytes());
    }
    out
}

impl State {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Trying => "trying",
            State::Early => "early",
            State::Confirmed => "confirmed",
        }
    }
}

impl Direction {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Initiator => "initiator",
            Direction::Recipient => "recipient",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::schema::{Inside, Part, Shape, check};

    const ALL: Call<'static> = Call {
        id: "c1",
        state: State::Early,
        direction: Some(Direction::Recipient),
        ids: Some(Ids {
            call_id: "a@b",
            local_tag: "l",
            remote_tag: "",
        }),
        remote: Some(Identity {
            uri: "sip:bob@example.com",
            display: "Bob \"B\"",
        }),
    };

    const LEAST: Call<'static> = Call {
        id: "busy",
        state: State::Confirmed,
        direction: None,
        ids: None,
        remote: None,
    };

    fn written(calls: &[Call<'_>], version: u32) -> String {
        let mut out = Vec::new();
        write(&mut out, "sip:alice@example.com", calls.iter().copied());
        String::from_utf8(numbered(&out, version)).expect("UTF-8")
    }

    #[test]
    fn what_may_be_known_stands_in_it() {
        assert_eq!(
            written(&[ALL, LEAST], 12),
            concat!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
                "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"12\" state=\"full\" entity=\"sip:alice@example.com\">",
                "<dialog id=\"c1\" call-id=\"a@b\" local-tag=\"l\" direction=\"recipient\"><state>early</state><remote>",
                "<identity display=\"Bob &quot;B&quot;\">sip:bob@example.com</identity><target uri=\"sip:bob@example.com\"/></remote></dialog>",
                "<dialog id=\"busy\"><state>confirmed</state></dialog></dialog-info>",
            )
        );
        assert!(written(&[], 0).contains(" version=\"0\" "));
        assert!(written(&[], u32::MAX).contains(" version=\"4294967295\" "));
    }

    const fn shape(
        local: &'static str,
        attributes: &'static [&'static str],
        inside: Inside,
    ) -> Shape {
        Shape {
            space: Space::DialogInfo,
            local,
            attributes,
            inside,
        }
    }

    /// RFC 4235 §4.4: `participant`.
    const PARTICIPANT: Inside = Inside::Parts(&[
        Part::Maybe(&shape("identity", &[], Inside::Text)),
        Part::Maybe(&shape("target", &["uri"], Inside::Parts(&[]))),
    ]);

    /// §4.4: `dialog`.
    const DIALOG: Shape = shape(
        "dialog",
        &["id"],
        Inside::Parts(&[
            Part::One(&shape(
                "state",
                &[],
                Inside::Word(&["trying", "proceeding", "early", "confirmed", "terminated"]),
            )),
            Part::Maybe(&shape("duration", &[], Inside::Number)),
            Part::Maybe(&shape("replaces", &[], Inside::Text)),
            Part::Maybe(&shape("referred-by", &[], Inside::Text)),
            Part::Maybe(&shape("local", &[], PARTICIPANT)),
            Part::Maybe(&shape("remote", &[], PARTICIPANT)),
        ]),
    );

    /// §4.4: `dialog-info`.
    const DIALOG_INFO: Shape = shape(
        "dialog-info",
        &["version", "state", "entity"],
        Inside::Parts(&[Part::Many(&DIALOG)]),
    );

    #[test]
    fn what_is_written_has_the_schemas_shape() {
        for calls in [&[][..], &[ALL], &[LEAST, ALL]] {
            let document = written(calls, 3);
            assert_eq!(
                check(document.as_bytes(), &DIALOG_INFO),
                Ok(()),
                "{document}"
            );
        }
    }
}
