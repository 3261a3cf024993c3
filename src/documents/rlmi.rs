//! What one NOTIFY of a list says of its entries (RFC 4662 §5): the root of a body of many parts.
//!
//! Each entry has at most one instance, as each user here has one state; its document is another part, found by its
//! Content-ID. Not here: what of the list is told when.

use crate::documents::xml::Space;
use crate::documents::xml::write::Writer;

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/rlmi+xml";

/// The media type of the bodies that these documents are the root of.
pub const MULTIPART: &str = "multipart/related";

/// What is said of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instance<'a> {
    /// Its owner has not answered yet, or its document comes with a later NOTIFY.
    None,
    /// It is watched; the part with this Content-ID has its document.
    Active(&'a str),
    /// There is nothing to watch, for this reason (RFC 6665 §4.1.3).
    Terminated(&'a str),
}

/// A document in the making.
#[derive(Debug)]
pub struct List<'o>(Writer<'o>);

impl<'o> List<'o> {
    /// Begins a document at the end of `out`. `version` is 0 in a subscription's first, and rises by one with each.
    /// `whole`: all entries are named in it; else those with news.
    pub fn begin(out: &'o mut Vec<u8>, uri: &str, version: u32, whole: bool) -> List<'o> {
        let mut writer = Writer::new(out);
        writer
            .open("list")
            .attribute("xmlns", Space::Rlmi.name())
            .attribute("uri", uri)
            .attribute("version", version)
            .attribute("fullState", whole);
        List(writer)
    }

    /// Adds an entry, with the names that people know it by.
    pub fn entry<'n>(
        &mut self,
        uri: &str,
        names: impl IntoIterator<Item = &'n str>,
        instance: Instance<'_>,
    ) {
        let writer = &mut self.0;
        writer.open("resource").attribute("uri", uri);
        for name in names {
            writer.element("name", name);
        }
        match instance {
            Instance::None => {}
            Instance::Active(cid) => {
                writer.open("instance").attribute("id", 1);
                writer.attribute("state", "active").attribute("cid", cid);
                writer.close();
            }
            Instance::Terminated(reason) => {
                writer.open("instance").attribute("id", 1);
                writer.attribute("state", "terminated");
                writer.attribute("reason", reason).close();
            }
        }
        writer.close();
    }

    /// That is all.
    pub fn end(mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::schema::{Inside, Part, Shape, check};

    const NAME: Shape = Shape {
        space: Space::Rlmi,
        local: "name",
        attributes: &[],
        inside: Inside::Text,
    };
    const INSTANCE: Shape = Shape {
        space: Space::Rlmi,
        local: "instance",
        attributes: &["id", "state"],
        inside: Inside::Parts(&[Part::Others(&[])]),
    };
    const RESOURCE: Shape = Shape {
        space: Space::Rlmi,
        local: "resource",
        attributes: &["uri"],
        inside: Inside::Parts(&[Part::Many(&NAME), Part::Many(&INSTANCE), Part::Others(&[])]),
    };
    /// RFC 4662 §5.1's schema.
    const LIST: Shape = Shape {
        space: Space::Rlmi,
        local: "list",
        attributes: &["uri", "version", "fullState"],
        inside: Inside::Parts(&[Part::Many(&NAME), Part::Many(&RESOURCE)]),
    };

    #[test]
    fn what_is_written_is_as_the_schema_wants() {
        let mut out = Vec::new();
        let mut list = List::begin(&mut out, "sip:contacts@example.com", 7, true);
        list.entry(
            "sip:bob@example.com",
            ["Bob <3", "Work"],
            Instance::Active("1@example.com"),
        );
        list.entry("sip:carol@example.com", [], Instance::None);
        list.entry("tel:+1", [], Instance::Terminated("noresource"));
        list.end();
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(check(text.as_bytes(), &LIST), Ok(()), "{text}");
        let expected = "<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:contacts@example.com\" version=\"7\" fullState=\"true\">\
            <resource uri=\"sip:bob@example.com\"><name>Bob &lt;3</name><name>Work</name>\
            <instance id=\"1\" state=\"active\" cid=\"1@example.com\"/></resource>\
            <resource uri=\"sip:carol@example.com\"/>\
            <resource uri=\"tel:+1\"><instance id=\"1\" state=\"terminated\" reason=\"noresource\"/></resource></list>";
        assert!(text.ends_with(expected), "{text}");
    }
}
