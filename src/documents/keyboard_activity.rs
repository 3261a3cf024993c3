//! "Is typing" as Lync's clients say it, in an INFO: `<KeyboardActivity><status status="type"/></KeyboardActivity>`, in no
//! namespace. It is said every few seconds for as long as somebody types.

use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};

/// The media type that these documents come as.
pub const CONTENT_TYPE: &str = "application/xml";

/// Whether somebody types; any other word than `type` says that they have stopped.
pub fn read(bytes: &[u8]) -> Result<bool, Fault> {
    let (mut reader, _) = Reader::open(bytes, Space::None, "KeyboardActivity")?;
    let mut types = None;
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::None, "status")? {
            types = Some(element.attribute("status").as_deref() == Some("type"));
        }
        reader.skip()?;
    }
    reader.finish()?;
    types.ok_or(Fault::Incomplete)
}

/// Appends a document to `out`.
pub fn write(out: &mut Vec<u8>, types: bool) {
    let status = if types { "type" } else { "idle" };
    let mut xml = Writer::new(out);
    xml.open("KeyboardActivity")
        .open("status")
        .attribute("status", status)
        .close()
        .close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for types in [true, false] {
            let mut out = Vec::new();
            write(&mut out, types);
            assert_eq!(read(&out), Ok(types));
        }
    }

    #[test]
    fn typing_or_not() {
        for (document, expected) in [
            (
                "<KeyboardActivity><status status=\"type\" /></KeyboardActivity>",
                Ok(true),
            ),
            (
                "<KeyboardActivity><status status='idle'>x</status></KeyboardActivity>",
                Ok(false),
            ),
            ("<KeyboardActivity><status/></KeyboardActivity>", Ok(false)),
            ("<KeyboardActivity/>", Err(Fault::Incomplete)),
            ("<Keyboard/>", Err(Fault::WrongRoot)),
            ("<KeyboardActivity><status>", Err(Fault::Malformed)),
            (
                "<!DOCTYPE x><KeyboardActivity><status/></KeyboardActivity>",
                Err(Fault::Doctype),
            ),
            ("", Err(Fault::Malformed)),
        ] {
            assert_eq!(read(document.as_bytes()), expected, "{document}");
        }
    }
}
