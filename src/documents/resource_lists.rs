//! Lists of recipients (RFC 4826, as the body of a request: RFC 5366): read into plain URIs.
//!
//! References into other documents (`entry-ref`, `external`) are passed over: this server has none to follow.

use std::collections::BTreeSet;

use crate::documents::xml::{Fault, Reader, Space};

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/resource-lists+xml";

/// Bytes of one URI.
pub const URI_BYTES_MAX: usize = 1024;

/// Reads the URIs of all entries of all lists, in their order, each once. A URI is as written; whoever uses it parses it.
///
/// # Errors
/// A document that can't be read, or with more than `entries_max` different URIs ([`Fault::TooManyEntries`]).
pub fn read(bytes: &[u8], entries_max: usize) -> Result<Vec<Box<str>>, Fault> {
    let (mut reader, _) = Reader::open(bytes, Space::ResourceLists, "resource-lists")?;
    let mut uris: Vec<Box<str>> = Vec::new();
    // A thousand entries that are all looked at for each one would be half a million comparisons for one document.
    let mut known: BTreeSet<Box<str>> = BTreeSet::new();
    // How many lists are open around the next element. Lists nest, and the reader bounds their depth.
    let mut lists = 0usize;
    loop {
        let Some(element) = reader.child()? else {
            if lists == 0 {
                break;
            }
            lists -= 1;
            continue;
        };
        if element.is_strictly(Space::ResourceLists, "list")? {
            lists += 1;
            continue;
        }
        if element.is_strictly(Space::ResourceLists, "entry")? {
            if lists == 0 {
                return Err(Fault::Incomplete);
            }
            let uri = element.attribute("uri").ok_or(Fault::Incomplete)?;
            let uri = uri.trim();
            if uri.is_empty() || uri.len() > URI_BYTES_MAX {
                return Err(Fault::Incomplete);
            }
            // RFC 5366 §4: duplicates count once.
            if !known.contains(uri) {
                if uris.len() >= entries_max {
                    return Err(Fault::TooManyEntries);
                }
                known.insert(uri.into());
                uris.push(uri.into());
            }
        }
        reader.skip()?;
    }
    reader.finish()?;
    Ok(uris)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES_MAX: usize = 250;

    fn check(inside: &str, expected: Result<&[&str], Fault>) {
        let document = format!(
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists' xmlns:cp='urn:ietf:params:xml:ns:copycontrol'>{inside}</resource-lists>"
        );
        let read = read(document.as_bytes(), ENTRIES_MAX);
        let expected = expected.map(|uris| uris.iter().map(|uri| Box::from(*uri)).collect());
        assert_eq!(read, expected, "{inside}");
    }

    #[test]
    fn lists_are_flattened_and_each_uri_counts_once() {
        check("", Ok(&[]));
        check("<list/>", Ok(&[]));
        check(
            "<list><entry uri='sip:bill@example.com' cp:copyControl='to'/><entry uri=' sip:joe@example.org '><display-name>Joe</display-name></entry></list>",
            Ok(&["sip:bill@example.com", "sip:joe@example.org"]),
        );
        check(
            "<list><list><entry uri='sip:a@b'/></list><entry uri='sip:c@d'/></list><list><entry uri='sip:a@b'/><external anchor='http://x'/><entry-ref ref='y'/></list>",
            Ok(&["sip:a@b", "sip:c@d"]),
        );
    }

    #[test]
    fn bad_lists_are_refused() {
        check("<entry uri='sip:a@b'/>", Err(Fault::Incomplete));
        check("<list><entry/></list>", Err(Fault::Incomplete));
        check("<list><entry uri=''/></list>", Err(Fault::Incomplete));
        check(
            &format!(
                "<list><entry uri='{}'/></list>",
                "x".repeat(URI_BYTES_MAX + 1)
            ),
            Err(Fault::Incomplete),
        );
        check(
            "<list xmlns=''><entry uri='sip:a@b'/></list>",
            Err(Fault::WrongNamespace),
        );
        check(
            "<list><entry xmlns='urn:x' uri='sip:a@b'/></list>",
            Err(Fault::WrongNamespace),
        );
        let many = |count: usize| -> String {
            (0..count)
                .map(|n| format!("<entry uri='sip:{n}@b'/>"))
                .collect()
        };
        check(
            &format!("<list>{}</list>", many(ENTRIES_MAX + 1)),
            Err(Fault::TooManyEntries),
        );
        let document = format!(
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><list>{}</list></resource-lists>",
            many(ENTRIES_MAX).repeat(2)
        );
        assert_eq!(
            read(document.as_bytes(), ENTRIES_MAX).map(|uris| uris.len()),
            Ok(ENTRIES_MAX)
        );
    }
}
