//! What this server offers to a Lync client ([MS-SIPREGE] §2.2.2.5), told once when it signs in.

use crate::dialect::lync::conference_uri;
use crate::documents::xml::write::Writer;
use crate::sip::uri::Aor;

/// The type of the document.
pub const CONTENT_TYPE: &str = "application/vnd-microsoft-roaming-provisioning-v2+xml";

/// Writes the document for `user`. What is left out is what this server has not: an address book by HTTP, a media relay,
/// rooms that last.
pub fn write(out: &mut Vec<u8>, user: &Aor) {
    let mut xml = Writer::new(out);
    xml.open("provisionGroupList").attribute(
        "xmlns",
        "http://schemas.microsoft.com/2006/09/sip/provisiongrouplist-notification",
    );
    xml.open("provisionGroup")
        .attribute("name", "ServerConfiguration");
    for (name, text) in [
        ("focusFactoryUri", &*conference_uri::factory(user)),
        ("ucPC2PCAVEncryption", "SupportEncryption"),
        ("ucPortRangeEnabled", "false"),
    ] {
        xml.open(name).text(text).close();
    }
    xml.close().close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_learns_where_conferences_are_made() {
        let alice = Aor::parse("alice@example.com").expect("an address");
        let mut out = Vec::new();
        write(&mut out, &alice);
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.contains(
                "<focusFactoryUri>sip:alice@example.com;gruu;opaque=app:conf:focusfactory</focusFactoryUri>"
            ),
            "{text}"
        );
    }
}
