//! A request to publish ([MS-PRES] §2.2.2.3.1), read into items of the core, and its refusal as the publisher reads it.

use core::time::Duration;

use crate::dialect::lync::published::{self, Bad};
use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};
use crate::presence::{Conflict, DOCUMENT_BYTES_MAX, Key, Life, NAME_BYTES_MAX, PublishItem, Put};
use crate::sip::time::Now;

/// The type of the request's body.
pub const CONTENT_TYPE: &str = "application/msrtc-category-publish+xml";
/// The type of the answer to what is refused for its versions.
pub const FAULT_TYPE: &str = "application/msrtc-fault+xml";

/// Publications of one request.
const ITEMS_MAX: usize = 128;
/// The longest life with an end, in seconds: a year.
const EXPIRES_S_MAX: u32 = 366 * 24 * 3600;

/// Reads a request that came at `now`.
///
/// # Errors
/// Where it can't be read, or a part of it is more than is kept.
pub fn read(body: &[u8], now: Now) -> Result<Vec<PublishItem>, Bad> {
    let (mut reader, _) = Reader::open(body, Space::RichPresence, "publish")?;
    let mut items = Vec::new();
    let mut any = false;
    while let Some(element) = reader.child()? {
        if !element.is_strictly(Space::RichPresence, "publications")? {
            reader.skip()?;
            continue;
        }
        any = true;
        while let Some(element) = reader.child()? {
            if !element.is_strictly(Space::RichPresence, "publication")? {
                reader.skip()?;
                continue;
            }
            if items.len() >= ITEMS_MAX {
                return Err(Fault::TooManyEntries.into());
            }
            let attribute = |name| element.attribute(name);
            let number = |name| attribute(name)?.trim().parse::<u32>().ok();
            let category = attribute("categoryName").ok_or(Fault::Incomplete)?;
            if category.is_empty() || category.len() > NAME_BYTES_MAX {
                return Err(Fault::Incomplete.into());
            }
            let key = Key {
                category: (*category).into(),
                container: number("container").ok_or(Fault::Incomplete)?,
                instance: number("instance").ok_or(Fault::Incomplete)?,
            };
            let version = number("version").ok_or(Fault::Incomplete)?;
            let expires_s = attribute("expires").map(|_| number("expires").unwrap_or(0));
            let life = match attribute("expireType").as_deref() {
                Some("static") => Life::Static,
                Some("user") => Life::User,
                Some("time") => {
                    let s = expires_s.ok_or(Fault::Incomplete)?.min(EXPIRES_S_MAX);
                    Life::Until(now.after(Duration::from_secs(u64::from(s))))
                }
                Some("endpoint") | None => Life::Endpoint,
                Some(_) => return Err(Fault::Incomplete.into()),
            };
            let document = match reader.child()? {
                Some(document) => {
                    let copy = reader.copy(&document, DOCUMENT_BYTES_MAX)?;
                    while reader.child()?.is_some() {
                        reader.skip()?;
                    }
                    Some(copy)
                }
                None => None,
            };
            let put = match document {
                // What ends at once is taken back.
                _ if expires_s == Some(0) => None,
                None => None,
                Some(document) => {
                    let meaning = published::meaning(&key.category, life, &document)?;
                    Some(Put {
                        life,
                        document: document.into(),
                        meaning,
                    })
                }
            };
            items.push(PublishItem { key, version, put });
        }
    }
    reader.finish()?;
    match any && !items.is_empty() {
        true => Ok(items),
        false => Err(Fault::Incomplete.into()),
    }
}

/// What is answered to publications of other versions than there are ([MS-PRES] §2.2.2.10).
pub fn fault(conflicts: &[Conflict]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut xml = Writer::new(&mut out);
    xml.open("Fault")
        .attribute("xmlns", Space::RichPresence.name());
    xml.element("Faultcode", "Client.BadCall.WrongDelta");
    xml.open("details");
    for conflict in conflicts {
        xml.open("operation")
            .attribute("index", conflict.index + 1)
            .attribute("version", conflict.given)
            .attribute("curVersion", conflict.current)
            .close();
    }
    xml.close().close();
    out
}

impl Bad {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Bad::Xml(fault) => fault.status(),
            Bad::Long(..) => 413,
            Bad::Aggregate | Bad::Hides => 403,
        }
    }

    /// Its reason phrase.
    pub fn reason(self) -> String {
        match self {
            Bad::Xml(Fault::TooLong) => {
                format!("A Published Document Has At Most {DOCUMENT_BYTES_MAX} Bytes")
            }
            Bad::Xml(Fault::TooManyEntries) => {
                format!("At Most {ITEMS_MAX} Publications A Request")
            }
            Bad::Xml(fault) => fault.reason().to_owned(),
            Bad::Long(what, chars_max) => format!("{what} Longer Than {chars_max} Characters"),
            Bad::Aggregate => "The Server Aggregates".to_owned(),
            Bad::Hides => "Who Appears Offline Publishes It As Static".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now(1_000_000);

    fn request(inside: &str) -> String {
        format!(
            "<publish xmlns='{}' xmlns:o='urn:outer'><publications uri='sip:a@b'>{inside}</publications></publish>",
            Space::RichPresence.name()
        )
    }

    fn check(inside: &str, expected: Result<&str, (u16, &str)>) {
        let told = |item: &PublishItem| {
            let put = item.put.as_ref().map_or_else(
                || "-".to_owned(),
                |put| {
                    let text = String::from_utf8_lossy(&put.document);
                    format!("{:?} {text}", put.life)
                },
            );
            let Key {
                category,
                container,
                instance,
            } = &item.key;
            format!("{category}/{container}/{instance} v{} {put}", item.version)
        };
        let read = read(request(inside).as_bytes(), NOW);
        let read = read.map(|items| items.iter().map(told).collect::<Vec<_>>().join("; "));
        let read = read.map_err(|bad| (bad.status(), bad.reason()));
        let expected = expected.map(str::to_owned);
        assert_eq!(
            read,
            expected.map_err(|(status, reason)| (status, reason.to_owned())),
            "{inside}"
        );
    }

    #[test]
    fn requests_are_read() {
        check(
            "<publication categoryName='device' instance='4294967295' container='2' version='0' expireType='endpoint'><device xmlns='urn:d' a='1&amp;2'><o:x>&lt;</o:x></device></publication>",
            Ok(
                "device/2/4294967295 v0 Endpoint <device xmlns:o=\"urn:outer\" xmlns=\"urn:d\" a=\"1&amp;2\"><o:x>&lt;</o:x></device>",
            ),
        );
        check(
            "<publication categoryName='x' instance='0' container='400' version='7' expireType='time' expires='60'><x xmlns=''/></publication>",
            Ok("x/400/0 v7 Until(Now(61000000)) <x xmlns:o=\"urn:outer\" xmlns=\"\"></x>"),
        );
        check(
            "<publication categoryName='x' instance='0' container='400' version='7' expireType='static' expires='0'/><publication categoryName='y' instance='0' container='0' version='1'/>",
            Ok("x/400/0 v7 -; y/0/0 v1 -"),
        );
    }

    #[test]
    fn bad_requests_are_refused_with_why() {
        let bad = Err((400, "Incomplete XML Document"));
        check("", bad);
        check("<publication instance='1' container='2' version='0'/>", bad);
        check(
            "<publication categoryName='x' instance='1' container='2'/>",
            bad,
        );
        check(
            "<publication categoryName='x' instance='-1' container='2' version='0'/>",
            bad,
        );
        check(
            "<publication categoryName='x' instance='1' container='2' version='0' expireType='later'/>",
            bad,
        );
        let full = "x".repeat(DOCUMENT_BYTES_MAX);
        check(
            &format!(
                "<publication categoryName='x' instance='1' container='2' version='0'><x>{full}</x></publication>"
            ),
            Err((413, "A Published Document Has At Most 32768 Bytes")),
        );
        let one = "<publication categoryName='x' instance='1' container='2' version='0'/>";
        check(
            &one.repeat(129),
            Err((400, "At Most 128 Publications A Request")),
        );
        check(
            "<publication categoryName='note' instance='1' container='2' version='0'><note/></publication>",
            Err((400, "Wrong XML Namespace")),
        );
        // They would be in what every watcher gets.
        for (document, why) in [
            ("<a&b xmlns='urn:y'/>", "Malformed XML"),
            ("<a<b/>", "Malformed XML"),
            ("<a zz:q='1'/>", "Wrong XML Namespace"),
        ] {
            check(
                &format!(
                    "<publication categoryName='x' instance='1' container='2' version='0'>{document}</publication>"
                ),
                Err((400, why)),
            );
        }
    }

    #[test]
    fn conflicts_are_counted_from_one() {
        let conflict = Conflict {
            index: 1,
            given: 0,
            current: 3,
        };
        let text = String::from_utf8(fault(&[conflict])).expect("text");
        let expected =
            "<details><operation index=\"2\" version=\"0\" curVersion=\"3\"/></details></Fault>";
        assert!(text.ends_with(expected), "{text}");
    }
}
