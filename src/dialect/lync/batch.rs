//! A subscription to many users at once ([MS-PRES] §2.2.2.7, [MS-SIP] §2.2.2.8), and the document of many parts that answers
//! it: a list, and for everybody on it a part.

use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};
use crate::documents::{resource_lists, rlmi};

use super::categories;

/// The type of the request's body.
pub const CONTENT_TYPE: &str = "application/msrtc-adrl-categorylist+xml";

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Whom to watch from now on, as written; true for whom the user has just added, who are to be told.
    pub added: Vec<(Box<str>, bool)>,
    /// Whom no longer.
    pub removed: Vec<Box<str>>,
}

/// Reads a request of at most `entries_max` users.
///
/// # Errors
/// Where it can't be read, or names more.
pub fn read(body: &[u8], entries_max: usize) -> Result<Batch, Fault> {
    let (mut reader, _) = Reader::open(body, Space::BatchSubscribe, "batchSub")?;
    let mut batch = Batch::default();
    while let Some(element) = reader.child()? {
        if !element.is_strictly(Space::BatchSubscribe, "action")? {
            reader.skip()?;
            continue;
        }
        let adds = match element.attribute("name").as_deref() {
            Some("subscribe") => true,
            Some("unsubscribe") => false,
            _ => return Err(Fault::Incomplete),
        };
        while let Some(element) = reader.child()? {
            // Which categories are wanted is passed over: a document is made once for all who see as much.
            if !element.is_strictly(Space::BatchSubscribe, "adhocList")? {
                reader.skip()?;
                continue;
            }
            while let Some(element) = reader.child()? {
                if !element.is_strictly(Space::BatchSubscribe, "resource")? {
                    reader.skip()?;
                    continue;
                }
                let uri = element.attribute("uri").ok_or(Fault::Incomplete)?;
                let uri = uri.trim();
                if uri.is_empty() || uri.len() > resource_lists::URI_BYTES_MAX {
                    return Err(Fault::Incomplete);
                }
                if batch.added.len() + batch.removed.len() >= entries_max {
                    return Err(Fault::TooManyEntries);
                }
                let uri: Box<str> = uri.into();
                let mut says_so = false;
                while let Some(inner) = reader.child()? {
                    says_so |= inner.is(Space::BatchSubscribe, "context");
                    reader.skip()?;
                }
                match adds {
                    true => batch.added.push((uri, says_so)),
                    false => batch.removed.push(uri),
                }
            }
        }
    }
    reader.finish()?;
    Ok(batch)
}

/// Writes the document: `parts` are the users' URIs in lower case, each with its document. The first value is its type.
pub fn write<'p>(
    uri: &str,
    boundary: &str,
    parts: impl Iterator<Item = (&'p str, &'p [u8])> + Clone,
) -> (String, Vec<u8>) {
    let mut list = Vec::with_capacity(1024);
    let mut xml = Writer::within(&mut list);
    xml.open("list")
        .attribute("xmlns", Space::Rlmi.name())
        .attribute("uri", uri)
        .attribute("version", 0)
        .attribute("fullState", "true");
    for (uri, _) in parts.clone() {
        xml.open("resource").attribute("uri", uri);
        xml.open("instance")
            .attribute("id", 0)
            .attribute("state", "active")
            .attribute("cid", cid(uri))
            .close();
        xml.close();
    }
    xml.close();
    let bytes: usize = parts.clone().map(|(_, part)| part.len() + 256).sum();
    let mut out = Vec::with_capacity(list.len() + bytes + 256);
    part(
        &mut out,
        boundary,
        "resourceList",
        rlmi::CONTENT_TYPE,
        &list,
    );
    for (uri, document) in parts {
        part(
            &mut out,
            boundary,
            cid(uri),
            categories::CONTENT_TYPE,
            document,
        );
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    // COMPAT(libpurple, 2.14): unquoted it finds no part where another parameter follows.
    let content_type = format!(
        "multipart/related;type=\"{}\";start=resourceList;boundary=\"{boundary}\"",
        rlmi::CONTENT_TYPE
    );
    (content_type, out)
}

fn cid(uri: &str) -> &str {
    uri.strip_prefix("sip:").unwrap_or(uri)
}

fn part(out: &mut Vec<u8>, boundary: &str, id: &str, content_type: &str, body: &[u8]) {
    let head = format!(
        "--{boundary}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {id}\r\nContent-Type: {content_type}\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
    // COMPAT(libpurple, 2.14): it cuts four bytes off each part, so an empty line goes before the boundary.
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_watch_and_whom_to_tell() {
        let request = |inside: &str| {
            format!(
                "<batchSub xmlns='{}' uri='sip:a@h' name=''>{inside}</batchSub>",
                Space::BatchSubscribe.name()
            )
        };
        let read = |inside: &str| read(request(inside).as_bytes(), 2);
        let two = "<action name='subscribe' id='1'><adhocList><resource uri='sip:b@h'/><resource uri='sip:c@h'><context/></resource></adhocList><categoryList xmlns='http://schemas.microsoft.com/2006/09/sip/categorylist'><category name='state'/></categoryList></action>";
        let batch = Batch {
            added: vec![("sip:b@h".into(), false), ("sip:c@h".into(), true)],
            removed: vec![],
        };
        assert_eq!(read(two), Ok(batch));
        let gone = "<action name='unsubscribe' id='2'><adhocList><resource uri='sip:b@h'/></adhocList></action>";
        let batch = Batch {
            added: vec![],
            removed: vec!["sip:b@h".into()],
        };
        assert_eq!(read(gone), Ok(batch));
        assert_eq!(read(&[two, gone].concat()), Err(Fault::TooManyEntries));
        assert_eq!(read("<action name='x'/>"), Err(Fault::Incomplete));
        assert_eq!(
            read("<action name='subscribe'><adhocList><resource/></adhocList></action>"),
            Err(Fault::Incomplete)
        );
    }

    #[test]
    fn each_part_ends_with_an_empty_line() {
        let parts = [("sip:b@h", &b"<one/>"[..]), ("sip:c@h", &b"<two/>"[..])];
        let (content_type, body) = write("sip:a@h", "b1", parts.into_iter());
        assert_eq!(
            content_type,
            "multipart/related;type=\"application/rlmi+xml\";start=resourceList;boundary=\"b1\""
        );
        let text = String::from_utf8(body).expect("text");
        assert!(text.contains("<resource uri=\"sip:b@h\"><instance id=\"0\" state=\"active\" cid=\"b@h\"/></resource>"), "{text}");
        assert!(text.contains("Content-ID: b@h\r\nContent-Type: application/msrtc-event-categories+xml\r\n\r\n<one/>\r\n\r\n--b1\r\n"), "{text}");
        assert!(text.ends_with("<two/>\r\n\r\n--b1--\r\n"), "{text}");
    }
}
