//! What a client knows of many at once: a list of users (RFC 4662), and the list of its own watchers (RFC 3858). A whole
//! document replaces it, a partial one changes it.

use std::collections::{BTreeMap, BTreeSet};

use muster::documents::multipart;

use super::fellow::aor;

/// What one client knows of one list.
#[derive(Clone, Debug, Default)]
pub struct Many {
    documents: u32,
    /// A user's URI, and the document or why there is none.
    pub entries: BTreeMap<String, String>,
}

/// Between two entries of a list's text.
const END: char = '\u{1}';

/// Is `held` as new as `now`, both the text of a list? Who was removed from the store and came back is asked about again
/// with the next refresh only.
pub fn is_as_new(held: &str, now: &str) -> bool {
    let entries = held.split(END).zip(now.split(END));
    held.matches(END).count() == now.matches(END).count()
        && entries
            .into_iter()
            .all(|(held, now)| held == now || held.ends_with(": gone"))
}

impl Many {
    /// Takes the body of a NOTIFY to a list of users in. An error is the server's fault.
    pub fn take_list(&mut self, content_type: &str, body: &[u8]) -> Result<(), String> {
        let boundary = content_type.split_once("boundary=").ok_or("no boundary")?.1;
        let parts = multipart_read(boundary, body)?;
        let (root, rest) = parts.split_first().ok_or("no parts")?;
        let root = String::from_utf8_lossy(root.1).into_owned();
        let whole = root.contains("fullState=\"true\"");
        self.number(&root, whole)?;
        let mut named = BTreeSet::new();
        for resource in root.split("<resource ").skip(1) {
            let uri = between(resource, "uri=\"", "\"")
                .ok_or("no uri")?
                .to_owned();
            let state = match between(resource, "cid=\"", "\"") {
                Some(cid) => {
                    let cid = format!("<{cid}>");
                    let part = rest.iter().find(|(id, _)| *id == cid);
                    let part = part.ok_or_else(|| format!("no part {cid} in\n{root}"))?;
                    Some(String::from_utf8_lossy(part.1).into_owned())
                }
                None if resource.contains("state=\"terminated\"") => Some("gone".to_owned()),
                // Named, and its document comes later.
                None => None,
            };
            named.insert(uri.clone());
            match state {
                Some(state) => {
                    self.entries.insert(uri, state);
                }
                None => {
                    self.entries.entry(uri).or_default();
                }
            }
        }
        if whole {
            self.entries.retain(|uri, _| named.contains(uri));
        }
        Ok(())
    }

    /// Takes a list of watchers in.
    pub fn take_watchers(&mut self, text: &str) -> Result<(), String> {
        let whole = text.contains("state=\"full\"");
        self.number(text, whole)?;
        if whole {
            self.entries.clear();
        }
        for watcher in text.split("<watcher ").skip(1) {
            let uri = between(watcher, ">", "<").ok_or("no uri")?.to_owned();
            let known = match watcher.contains("status=\"active\"") {
                true => self.entries.insert(uri, String::new()).is_none(),
                false => self.entries.remove(&uri).is_some(),
            };
            if !known {
                return Err(format!(
                    "nothing new of a watcher in\n{text}\nknown: {self:?}"
                ));
            }
        }
        Ok(())
    }

    fn number(&mut self, document: &str, whole: bool) -> Result<(), String> {
        let expected = format!(" version=\"{}\"", self.documents);
        if !document.contains(&expected) || (self.documents == 0 && !whole) {
            return Err(format!("expected{expected} in\n{document}"));
        }
        self.documents += 1;
        Ok(())
    }

    /// All of it as one text.
    pub fn text(&self) -> String {
        let entries = self.entries.iter();
        entries
            .map(|(uri, state)| format!("{uri}: {state}{END}"))
            .collect()
    }

    /// Is exactly each of these users in it?
    pub fn is_of(&self, users: &BTreeSet<usize>) -> bool {
        let wanted: BTreeSet<String> = users
            .iter()
            .map(|user| format!("sip:{}", aor(*user)))
            .collect();
        self.entries.keys().eq(wanted.iter())
    }
}

fn multipart_read<'a>(
    boundary: &str,
    mut body: &'a [u8],
) -> Result<Vec<(String, &'a [u8])>, String> {
    // The server's own reader takes few parts, for it reads what clients send.
    let delimiter = format!("--{boundary}\r\n");
    let mut all = Vec::new();
    while let Some(rest) = body.strip_prefix(delimiter.as_bytes()) {
        let close = format!("\r\n--{boundary}");
        let end = rest
            .windows(close.len())
            .position(|window| window == close.as_bytes());
        let end = end.ok_or("a part without an end")?;
        let whole = [
            delimiter.as_bytes(),
            &rest[..end],
            b"\r\n--",
            boundary.as_bytes(),
            b"--\r\n",
        ]
        .concat();
        let parts = multipart::read(boundary, &whole).map_err(|fault| format!("{fault:?}"))?;
        let id = parts[0].header("Content-ID").unwrap_or_default().to_owned();
        let content = parts[0].body.len();
        all.push((id, &rest[end - content..end]));
        body = &rest[end + 2..];
    }
    Ok(all)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
