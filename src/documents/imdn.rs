//! Notifications about a message (RFC 5438): delivered, displayed, failed; and the wish for them in CPIM headers.

use crate::documents::timestamp::{self, Timestamp};
use crate::documents::xml::write::Writer;
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
#[allow(missing_docs)] // Each is the pair of element names that it is written as.
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

/// Appends a document to `out`.
pub fn write(out: &mut Vec<u8>, imdn: &Imdn<'_>) {
    let (_, notification, status) = TABLE
        .iter()
        .find(|(outcome, _, _)| *outcome == imdn.outcome)
        .expect("the table has every outcome: a test walks it");
    let mut writer = Writer::new(out);
    writer
        .open("imdn")
        .attribute("xmlns", Space::Imdn.name())
        .element("message-id", &imdn.message_id)
        .element("datetime", Timestamp(imdn.sent));
    if !imdn.recipient.is_empty() {
        writer.element("recipient-uri", &imdn.recipient);
    }
    writer.open(notification).open("status").empty(status);
    writer.close().close().close();
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
    use crate::documents::schema::{Inside, Part, Shape, check};

    fn imdn(outcome: Outcome) -> Imdn<'static> {
        Imdn {
            message_id: "34jk<324j".into(),
            sent: Now(1_772_352_000_000_000),
            recipient: "sip:bob@example.com".into(),
            outcome,
        }
    }

    #[test]
    fn every_outcome_is_written_and_read() {
        for (outcome, notification, status) in TABLE {
            let mut out = Vec::new();
            write(&mut out, &imdn(*outcome));
            let text = core::str::from_utf8(&out).unwrap();
            let expected = format!("<{notification}><status><{status}/></status></{notification}>");
            assert!(text.contains(&expected), "{text}");
            assert_eq!(read(&out), Ok(imdn(*outcome)));
        }
        // The last variant is the table's last row, so no outcome is missing.
        assert_eq!(TABLE.len(), Outcome::ProcessingError as usize + 1);
    }

    const fn shape(local: &'static str, inside: Inside) -> Shape {
        Shape {
            space: Space::Imdn,
            local,
            attributes: &[],
            inside,
        }
    }

    /// RFC 5438 §11.1.1, for a delivery notification.
    const IMDN: Shape = shape(
        "imdn",
        Inside::Parts(&[
            Part::One(&shape("message-id", Inside::Text)),
            Part::One(&shape("datetime", Inside::Date)),
            Part::Maybe(&shape("recipient-uri", Inside::Text)),
            Part::Maybe(&shape("original-recipient-uri", Inside::Text)),
            Part::Maybe(&shape("subject", Inside::Text)),
            Part::One(&shape(
                "delivery-notification",
                Inside::Parts(&[Part::One(&shape(
                    "status",
                    Inside::Parts(&[Part::SomeOf(&["delivered", "failed", "forbidden", "error"])]),
                ))]),
            )),
        ]),
    );

    #[test]
    fn what_is_written_has_the_schemas_shape() {
        for outcome in [
            Outcome::Delivered,
            Outcome::DeliveryFailed,
            Outcome::DeliveryForbidden,
            Outcome::DeliveryError,
        ] {
            for recipient in ["", "sip:bob@example.com"] {
                let mut out = Vec::new();
                let imdn = Imdn {
                    recipient: recipient.into(),
                    ..imdn(outcome)
                };
                write(&mut out, &imdn);
                assert_eq!(check(&out, &IMDN), Ok(()));
            }
        }
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
