//! Who has added the user and waits to be answered, as Lync's older clients ask for it (`presence.wpending`, [MS-SIP]
//! §2.2.2). Newer ones read the same out of their own data.

use crate::documents::xml::write::Writer;
use crate::presence::Subscribers;

/// The type of the document.
pub const CONTENT_TYPE: &str = "text/xml+msrtc.wpending";

/// Writes those whom the user does not know of yet.
pub fn write(out: &mut Vec<u8>, subscribers: &Subscribers) {
    let mut xml = Writer::new(out);
    xml.open("watchers");
    for one in subscribers.iter().filter(|one| !one.acknowledged) {
        xml.open("watcher")
            .attribute("uri", one.user.uri().to_lowercase())
            .attribute("displayName", &*one.name)
            .close();
    }
    xml.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::uri::Aor;

    #[test]
    fn who_is_known_does_not_wait() {
        let aor = |name: &str| Aor::parse(&format!("{name}@example.com")).expect("an address");
        let mut subscribers = Subscribers::default();
        subscribers.add(&aor("Bob"), "Bob & Co");
        subscribers.add(&aor("carol"), "");
        subscribers.acknowledge(&aor("carol"), true);
        let mut out = Vec::new();
        write(&mut out, &subscribers);
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.ends_with(
                "<watchers><watcher uri=\"sip:bob@example.com\" displayName=\"Bob &amp; Co\"/></watchers>"
            ),
            "{text}"
        );
    }
}
