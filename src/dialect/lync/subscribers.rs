//! That a user knows who has added them ([MS-PRES] §2.2.2.12): a request of their client.

use crate::documents::xml::{Fault, Reader, Space};
use crate::presence::SUBSCRIBERS_MAX;
use crate::sip::uri::Aor;

/// The type of the request's body.
pub const CONTENT_TYPE: &str = "application/msrtc-presence-setsubscriber+xml";

/// Reads whom the user knows of, or not.
///
/// # Errors
/// Where it can't be read, or names more than there can be.
pub fn read(body: &[u8]) -> Result<Vec<(Aor, bool)>, Fault> {
    let (mut reader, _) = Reader::open(body, Space::Subscribers, "setSubscribers")?;
    let mut all = Vec::new();
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::Subscribers, "subscriber")? {
            let user = element.attribute("user").ok_or(Fault::Incomplete)?;
            let user = user.trim();
            let user = Aor::parse(user.strip_prefix("sip:").unwrap_or(user));
            let acknowledged = match element.attribute("acknowledged").as_deref() {
                Some("true" | "1") => true,
                Some("false" | "0") => false,
                _ => return Err(Fault::Incomplete),
            };
            if all.len() >= SUBSCRIBERS_MAX {
                return Err(Fault::TooManyEntries);
            }
            all.push((user.ok_or(Fault::Incomplete)?, acknowledged));
        }
        reader.skip()?;
    }
    reader.finish()?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_and_who_not() {
        let request = |inside: &str| {
            format!(
                "<setSubscribers xmlns='{}'>{inside}</setSubscribers>",
                Space::Subscribers.name()
            )
        };
        let read = |inside: &str| read(request(inside).as_bytes());
        let aor = |name: &str| Aor::parse(name).expect("an address");
        assert_eq!(
            read(
                "<subscriber user='bob@h.x' acknowledged='true'/><x/><subscriber user='sip:c@h.x' acknowledged='0'/>"
            ),
            Ok(vec![(aor("bob@h.x"), true), (aor("c@h.x"), false)])
        );
        for bad in [
            "<subscriber acknowledged='true'/>",
            "<subscriber user='' acknowledged='true'/>",
            "<subscriber user='b@h' acknowledged='perhaps'/>",
        ] {
            assert_eq!(read(bad), Err(Fault::Incomplete), "{bad}");
        }
        let one = "<subscriber user='b@h' acknowledged='true'/>";
        assert_eq!(
            read(&one.repeat(SUBSCRIBERS_MAX + 1)),
            Err(Fault::TooManyEntries)
        );
    }
}
