//! The invitation into a conference ([MS-CONFIM] §2.2.3): an INVITE of its own whose 200 says that whom it reached comes by
//! themself. Its dialog carries nothing else and is ended by nobody.

use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};
use crate::immcu::room::Subject;

/// The type of the document.
pub const CONTENT_TYPE: &str = "application/ms-conf-invite+xml";
/// Bytes of a focus's URI.
const URI_BYTES_MAX: usize = 1024;

/// Reads into which conference somebody is invited: the URI of its focus.
///
/// # Errors
/// Where it is no invitation, or names no conference.
pub fn read(body: &[u8]) -> Result<Box<str>, Fault> {
    let (mut reader, _) = Reader::open(body, Space::None, "Conferencing")?;
    let mut focus: Option<Box<str>> = None;
    while let Some(element) = reader.child()? {
        if element.local() != "focus-uri" {
            reader.skip()?;
            continue;
        }
        let text = reader.text()?;
        if text.len() > URI_BYTES_MAX {
            return Err(Fault::TextTooLong);
        }
        focus = Some(text.trim().into());
    }
    reader.finish()?;
    focus.ok_or(Fault::Incomplete)
}

/// Writes an invitation to the messages of a conference.
pub fn write(focus: &str, subject: &Subject) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut xml = Writer::new(&mut out);
    xml.open("Conferencing").attribute("version", "2.0");
    xml.element("focus-uri", focus)
        .element("subject", subject.as_str());
    xml.open("im").attribute("available", "true");
    xml.empty("first-im").close().close();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let subject = Subject::read("Tea & cake").expect("short");
        let written = write("sip:a@b;gruu;opaque=app:conf:focus:id:1", &subject);
        let text = String::from_utf8(written.clone()).expect("text");
        assert!(
            text.ends_with("<subject>Tea &amp; cake</subject><im available=\"true\"><first-im/></im></Conferencing>"),
            "{text}"
        );
        assert_eq!(
            read(&written).as_deref(),
            Ok("sip:a@b;gruu;opaque=app:conf:focus:id:1")
        );
        let from_a_client = "<Conferencing version=\"2.0\"><focus-uri>sip:f</focus-uri><subject></subject><im available=\"true\"><first-im/></im></Conferencing>";
        assert_eq!(read(from_a_client.as_bytes()).as_deref(), Ok("sip:f"));
        for (text, fault) in [
            ("<Conferencing/>", Fault::Incomplete),
            ("<Party/>", Fault::WrongRoot),
            ("<Conferencing><focus-uri>", Fault::Malformed),
        ] {
            assert_eq!(read(text.as_bytes()), Err(fault), "{text}");
        }
    }
}
