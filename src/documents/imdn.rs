//! Notifications about a message (RFC 5438): delivered, displayed, failed; and the wish for them in CPIM headers.

use crate::documents::timestamp;
use crate::documents::xml::{Fault, Reader, Space};
use crate::sip::time::Now;

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "message/imdn+xml";

/// The namespace of the CPIM headers (RFC 5438 §6); bound to a prefix by a CPIM `NS` header.
pub const CPIM_NAMESPACE: &str = "urn:ietf:params:imdn";

/// What a sender wishes to be told (RFC 5438 §6.2, `Disposition-Notification`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wishes {
    /// That it was delivered.
    pub positive_delivery: bool,
    /// That it could not be delivered.
    pub negative_delivery: bool,
    /// That something in between took it.
    pub processing: bool,
    /// That it was shown.
    pub display: bool,
}

impl Wishes {
    /// Reads the value of a `Disposition-Notification` header; words it does not know are passed over.
    pub fn read(value: &str) -> Wishes {
        let mut wishes = Wishes::default();
        for word in value.split(',') {
            // Each may carry parameters, none of which are defined.
            match word.split(';').next().unwrap_or("").trim() {
                "positive-delivery" => wishes.positive_delivery = true,
                "negative-delivery" => wishes.negative_delivery = true,
                "processing" => wishes.processing = true,
                "display" => wishes.display = true,
                _ => {}
            }
        }
        wishes
    }
}

/// What became of a message (RFC 5438 §7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // Each is the pair of element names that it is read from.
pub enum Outcome {
    Delivered,
    DeliveryFailed,
    DeliveryForbidden,
    DeliveryError,
    Displayed,
    DisplayForbidden,
    DisplayError,
    Processed,
    Stored,
    ProcessingForbidden,
    ProcessingError,
}

/// The table: outcome, notification element, status element.
const TABLE: &[(Outcome, &str, &str)] = &[
    (Outcome::Delivered, "delivery-notification", "delivered"),
    (Outcome::DeliveryFailed, "delivery-notification", "failed"),
    (
        Outcome::DeliveryForbidden,
        "delivery-notification",
        "forbidden",
    ),
    (Outcome::DeliveryError, "delivery-notification", "error"),
    (Outcome::Displayed, "display-notification", "displayed"),
    (
        Outcome::DisplayForbidden,
        "display-notification",
        "forbidden",
    ),
    (Outcome::DisplayError, "display-notification", "error"),
    (Outcome::Processed, "processing-notification", "processed"),
    (Outcome::Stored, "processing-notification", "stored"),
    (
        Outcome::ProcessingForbidden,
        "processing-notification",
        "forbidden",
    ),
    (Outcome::ProcessingError, "processing-notification", "error"),
];

/// One notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imdn<'a> {
    /// The `imdn.Message-ID` of the message that it is about.
    pub message_id: std::borrow::Cow<'a, str>,
    /// The message's `DateTime` as the sender wrote it; the epoch where it cannot be read.
    pub sent: Now,
    /// Whose copy it is about, or empty.
    pub recipient: std::borrow::Cow<'a, str>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Reads a document.
pub fn read(bytes: &[u8]) -> Result<Imdn<'_>, Fault> {
    let (mut reader, _) = Reader::open(bytes, Space::Imdn, "imdn")?;
    let mut message_id = None;
    let mut sent = Now::default();
    let mut recipient = std::borrow::Cow::Borrowed("");
    let mut outcome = None;
    while let Some(element) = reader.child()? {
        if element.is_strictly(Space::Imdn, "message-id")? {
            message_id = Some(reader.text()?);
        } else if element.is(Space::Imdn, "datetime") {
            sent = timestamp::read(&reader.text()?).unwrap_or_default();
        } else if element.is(Space::Imdn, "recipient-uri") {
            recipient = reader.text()?;
        } else if let Some(kind) = kind_of(element.space, element.local()) {
            outcome = outcome.or(read_outcome(&mut reader, kind)?);
        } else {
            reader.skip()?;
        }
    }
    reader.finish()?;
    Ok(Imdn {
        message_id: message_id.ok_or(Fault::Incomplete)?,
        sent,
        recipient,
        outcome: outcome.ok_or(Fault::Incomplete)?,
    })
}

fn kind_of(space: Space, local: &str) -> Option<&'static str> {
    if space != Space::Imdn {
        return None;
    }
    TABLE
        .iter()
        .map(|(_, notification, _)| *notification)
        .find(|notification| *notification == local)
}

fn read_outcome(reader: &mut Reader<'_>, kind: &str) -> Result<Option<Outcome>, Fault> {
    let mut outcome = None;
    while let Some(element) = reader.child()? {
        if !element.is(Space::Imdn, "status") {
            reader.skip()?;
            continue;
        }
        while let Some(status) = reader.child()? {
            let known = TABLE.iter().find(|(_, notification, name)| {
                *notification == kind && status.is(Space::Imdn, name)
            });
            outcome = outcome.or(known.map(|(outcome, _, _)| *outcome));
            reader.skip()?;
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_read() {
        for (outcome, notification, status) in TABLE {
            let document = format!(
                "<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\"><message-id>34jk&lt;324j</message-id>\
                 <datetime>2026-03-01T08:00:00Z</datetime><recipient-uri>sip:bob@example.com</recipient-uri>\
                 <{notification}><status><{status}/></status></{notification}></imdn>"
            );
            let expected = Imdn {
                message_id: "34jk<324j".into(),
                sent: Now(1_772_352_000_000_000),
                recipient: "sip:bob@example.com".into(),
                outcome: *outcome,
            };
            assert_eq!(read(document.as_bytes()), Ok(expected));
        }
        // The last variant is the table's last row, so no outcome is missing.
        assert_eq!(TABLE.len(), Outcome::ProcessingError as usize + 1);
    }

    #[test]
    fn what_linphone_sends_is_understood() {
        let document = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\" xmlns:imdn=\"http://www.linphone.org/xsds/imdn.xsd\"><message-id>xNs8</message-id><datetime>2026-03-01T08:00:00Z</datetime><delivery-notification><status><error/></status></delivery-notification><imdn:reason code=\"488\">Not acceptable here</imdn:reason></imdn>";
        let read = read(document).unwrap();
        assert_eq!(read.outcome, Outcome::DeliveryError);
        assert_eq!(read.message_id, "xNs8");
    }

    #[test]
    fn incomplete_documents_are_refused() {
        let whole =
            |inside: &str| format!("<imdn xmlns='urn:ietf:params:xml:ns:imdn'>{inside}</imdn>");
        let id = "<message-id>1</message-id>";
        let cases = [
            whole(""),
            whole(id),
            whole("<delivery-notification><status><delivered/></status></delivery-notification>"),
            whole(&format!(
                "{id}<delivery-notification><status><displayed/></status></delivery-notification>"
            )),
            whole(&format!(
                "{id}<delivery-notification><delivered/></delivery-notification>"
            )),
        ];
        for document in cases {
            assert_eq!(
                read(document.as_bytes()),
                Err(Fault::Incomplete),
                "{document}"
            );
        }
    }
}
