//! Lists of recipients (RFC 4826, as the body of a request: RFC 5366): read into plain URIs.
//!
//! References into other documents (`entry-ref`, `external`) are passed over: this server has none to follow.

use crate::documents::xml::{Fault, Reader, Space};

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/resource-lists+xml";

/// Entries in one document.
pub const ENTRIES_MAX: usize = 250;
/// Bytes of one URI.
pub const URI_BYTES_MAX: usize = 1024;

/// Reads the URIs of all entries of all lists, in their order, each once. A URI is as written; whoever uses it parses it.
pub fn read(bytes: &[u8]) -> Result<Vec<Box<str>>, Fault> {
    let (mut reader, _) = Reader::open(bytes, Space::ResourceLists, "resource-lists")?;
    let mut uris: Vec<Box<str>> = Vec::new();
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
            // At most `ENTRIES_MAX`, so looking at all of them is bounded (RFC 5366 §4: duplicates count once).
            if !uris.iter().any(|known| **known == *uri) {
                if uris.len() >= ENTRIES_MAX {
                    return Err(Fault::TooManyEntries);
                }
                uris.push(uri.into());
            }
        }
        reader.skip()?;
    }
    reader.finish()?;
    Ok(uris)
}
