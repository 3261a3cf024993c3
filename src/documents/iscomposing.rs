//! "Is typing" (RFC 3994). Between two who both say it so it is passed on as it came.

use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/im-iscomposing+xml";

/// What the other side does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IsComposing {
    /// `active`; anything else counts as idle (RFC 3994 §3.3).
    pub active: bool,
    /// Seconds until it is said again, where it is active and says so.
    pub refresh_s: Option<u32>,
}

/// Reads a document.
pub fn read(bytes: &[u8]) -> Result<IsComposing, Fault> {
    let (mut reader, _) = Reader::open(bytes, Space::IsComposing, "isComposing")?;
    let mut active = None;
    let mut refresh_s = None;
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::IsComposing, "state")? {
            active = Some(reader.text()?.trim() == "active");
        } else if element.is(Space::IsComposing, "refresh") {
            refresh_s = reader.text()?.trim().parse().ok();
        } else {
            reader.skip()?;
        }
    }
    reader.finish()?;
    Ok(IsComposing {
        active: active.ok_or(Fault::Incomplete)?,
        refresh_s,
    })
}

/// Appends a document to `out`.
pub fn write(out: &mut Vec<u8>, composing: IsComposing) {
    let mut xml = Writer::new(out);
    xml.open("isComposing")
        .attribute("xmlns", Space::IsComposing.name())
        .element("state", if composing.active { "active" } else { "idle" });
    if let Some(refresh_s) = composing.refresh_s {
        xml.element("refresh", refresh_s);
    }
    xml.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (active, refresh_s) in [(true, Some(60)), (true, None), (false, None)] {
            let composing = IsComposing { active, refresh_s };
            let mut out = Vec::new();
            write(&mut out, composing);
            assert_eq!(read(&out), Ok(composing));
        }
    }

    fn check(inside: &str, expected: Result<(bool, Option<u32>), Fault>) {
        let document = format!(
            "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'>{inside}</isComposing>"
        );
        let read = read(document.as_bytes()).map(|read| (read.active, read.refresh_s));
        assert_eq!(read, expected, "{inside}");
    }

    #[test]
    fn typing_or_not() {
        check(
            "<state>active</state><contenttype>text/plain</contenttype><refresh>90</refresh>",
            Ok((true, Some(90))),
        );
        check(
            "<state>idle</state><lastactive>2003-01-27T10:43:00Z</lastactive>",
            Ok((false, None)),
        );
        check("<state> pondering </state>", Ok((false, None)));
        check(
            "<state>active</state><refresh>soon</refresh>",
            Ok((true, None)),
        );
        check("", Err(Fault::Incomplete));
        check("<state xmlns=''>active</state>", Err(Fault::WrongNamespace));
    }
}
