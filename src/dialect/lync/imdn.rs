//! What a speaker in a conference is told when their message did not reach somebody ([MS-CONFIM] §2.2.2). The message is
//! known by the number that its own answer gave it.

use crate::documents::xml::write::Writer;

/// The type of the document.
pub const CONTENT_TYPE: &str = "application/ms-imdn+xml";

/// Writes that the message `number` did not reach `uri`, and the status that says why.
pub fn write(number: u32, uri: &str, status: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut xml = Writer::new(&mut out);
    xml.open("imdn")
        .attribute("xmlns", "http://schemas.microsoft.com/rtc/2005/08/imdn");
    xml.element("message-id", number);
    xml.open("recipient")
        .attribute("uri", format_args!("<{uri}>"))
        .element("status", status)
        .close();
    xml.close();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_the_message_and_whom_it_missed() {
        let text = String::from_utf8(write(2, "sip:bob@example.com", 408)).expect("text");
        assert!(
            text.ends_with("<message-id>2</message-id><recipient uri=\"&lt;sip:bob@example.com&gt;\"><status>408</status></recipient></imdn>"),
            "{text}"
        );
    }
}
