//! Who watches a user (RFC 3858), as the user is told: the whole list, or what has changed in it.
//!
//! A list is kept and compared in a form of its own (`pack`), one line a watcher, for each subscription is at a point of its
//! own: what it is told next is what has changed since its own last document. Not here: who may ask, and who watches.

use crate::documents::xml::Space;
use crate::documents::xml::write::Writer;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// The media type of these documents.
pub const CONTENT_TYPE: &str = "application/watcherinfo+xml";

/// Somebody who watches, with however many subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watcher<'a> {
    /// The same as long as they watch, and nobody else's after.
    pub id: u32,
    /// Since when.
    pub since: Now,
    /// The address of record.
    pub address: &'a str,
    /// The name to show; may be empty.
    pub display_name: &'a str,
}

/// Appends a watcher to a packed list; they come by rising ids. Packed lists of the same watchers are the same bytes.
pub fn pack(out: &mut Vec<u8>, watcher: &Watcher<'_>) {
    // Neither can hold a tab or a line end: an address escapes them, and a name is one line by the rules of the store. A name
    // that has one nevertheless must not make a line of its own.
    let clean = |text: &str| text.replace(['\t', '\n', '\r'], " ");
    let line = format!(
        "{}\t{}\t{}\t{}\n",
        watcher.id,
        watcher.since.0,
        clean(watcher.address),
        clean(watcher.display_name)
    );
    out.extend_from_slice(line.as_bytes());
}

/// The watchers of a packed list.
pub fn unpack(list: &[u8]) -> impl Iterator<Item = Watcher<'_>> {
    let text = core::str::from_utf8(list).unwrap_or("");
    text.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Watcher {
            id: fields.next()?.parse().ok()?,
            since: Now(fields.next()?.parse().ok()?),
            address: fields.next()?,
            display_name: fields.next()?,
        })
    })
}

/// Appends a document about `resource` (`sip:alice@example.com`) as `now` sees it: the whole of `list`, or where `known` is
/// the list that was told before, what is new in it and who watches no longer (RFC 3858 §4.3). `version` rises by one with
/// each document of one subscription.
pub fn write(
    out: &mut Vec<u8>,
    resource: &str,
    version: u32,
    known: Option<&[u8]>,
    list: &[u8],
    now: Now,
) {
    let mut writer = Writer::new(out);
    writer
        .open("watcherinfo")
        .attribute("xmlns", Space::WatcherInfo.name())
        .attribute("version", version)
        .attribute("state", if known.is_some() { "partial" } else { "full" });
    writer
        .open("watcher-list")
        .attribute("resource", resource)
        .attribute("package", "presence");
    let mut before = known.map(unpack).into_iter().flatten().peekable();
    for watcher in unpack(list) {
        while let Some(gone) = before.next_if(|each| each.id < watcher.id) {
            write_watcher(&mut writer, &gone, "terminated", "timeout", now);
        }
        let same = before.next_if(|each| each.id == watcher.id);
        if same != Some(watcher) {
            write_watcher(&mut writer, &watcher, "active", "subscribe", now);
        }
    }
    for gone in before {
        write_watcher(&mut writer, &gone, "terminated", "timeout", now);
    }
    writer.close().close();
}

fn write_watcher(
    writer: &mut Writer<'_>,
    watcher: &Watcher<'_>,
    status: &str,
    event: &str,
    now: Now,
) {
    writer
        .open("watcher")
        .attribute("id", watcher.id)
        .attribute("status", status)
        .attribute("event", event)
        .attribute("duration-subscribed", now.since(watcher.since).as_secs());
    if !watcher.display_name.is_empty() {
        writer.attribute("display-name", watcher.display_name);
    }
    let uri = Aor::parse(watcher.address).map(|address| address.uri());
    writer
        .text(uri.as_deref().unwrap_or(watcher.address))
        .close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::schema::{Inside, Part, Shape, check};

    const WATCHER: Shape = Shape {
        space: Space::WatcherInfo,
        local: "watcher",
        attributes: &["id", "status", "event"],
        inside: Inside::Text,
    };
    const LIST: Shape = Shape {
        space: Space::WatcherInfo,
        local: "watcher-list",
        attributes: &["resource", "package"],
        inside: Inside::Parts(&[Part::Many(&WATCHER)]),
    };
    /// RFC 3858 §5's schema.
    const WATCHERINFO: Shape = Shape {
        space: Space::WatcherInfo,
        local: "watcherinfo",
        attributes: &["version", "state"],
        inside: Inside::Parts(&[Part::Many(&LIST), Part::Others(&[])]),
    };

    fn packed(all: &[(u32, &str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, address, display_name) in all {
            let watcher = Watcher {
                id: *id,
                since: Now(1_000_000),
                address,
                display_name,
            };
            pack(&mut out, &watcher);
        }
        out
    }

    /// What is inside the `watcher-list`.
    fn written(known: Option<&[u8]>, list: &[u8]) -> String {
        let mut out = Vec::new();
        let now = Now(10_500_000);
        write(&mut out, "sip:me@h", 3, known, list, now);
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(check(text.as_bytes(), &WATCHERINFO), Ok(()), "{text}");
        let state = if known.is_some() { "partial" } else { "full" };
        let head = format!(
            "<watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"3\" state=\"{state}\"><watcher-list resource=\"sip:me@h\" package=\"presence\""
        );
        let (_, rest) = text.split_once(&head).expect("the head");
        rest.replace("</watcher-list></watcherinfo>", "")
            .replace("/></watcherinfo>", "")
    }

    #[test]
    fn a_whole_list_and_what_changed_in_it() {
        let first = packed(&[(1, "bob@h", "Bob \"B\""), (2, "carol@h", "")]);
        assert_eq!(
            written(None, &first),
            "><watcher id=\"1\" status=\"active\" event=\"subscribe\" duration-subscribed=\"9\" display-name=\"Bob &quot;B&quot;\">sip:bob@h</watcher>\
             <watcher id=\"2\" status=\"active\" event=\"subscribe\" duration-subscribed=\"9\">sip:carol@h</watcher>"
        );
        assert_eq!(written(None, b""), "");
        assert_eq!(written(Some(&first), &first), "");
        let second = packed(&[(1, "bob@h", "Bob \"B\""), (3, "dave@h", "")]);
        assert_eq!(
            written(Some(&first), &second),
            "><watcher id=\"2\" status=\"terminated\" event=\"timeout\" duration-subscribed=\"9\">sip:carol@h</watcher>\
             <watcher id=\"3\" status=\"active\" event=\"subscribe\" duration-subscribed=\"9\">sip:dave@h</watcher>"
        );
        let none = written(Some(&second), b"");
        assert_eq!(none.matches("terminated").count(), 2, "{none}");
    }

    #[test]
    fn a_name_makes_no_line_of_its_own() {
        let list = packed(&[(1, "bob@h", "Bob\n9\t0\tevil@h\t")]);
        let all: Vec<_> = unpack(&list).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].display_name, "Bob 9 0 evil@h ");
    }
}
