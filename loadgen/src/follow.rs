//! A user's contacts, and the one subscription by which they are all watched (RFC 4662, the list in the SUBSCRIBE's body by
//! RFC 5367). Who they are follows from the user's index; the dialog is all that is kept, about 100 bytes.

use std::fmt::Write as _;

use muster::sip::message::Message;

use crate::remote::Remote;

/// Who is whose contact: everybody has as many, and is had by as many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circle {
    pub users: u32,
    /// Less than `users`; 0 for none.
    pub contacts: u32,
}

impl Circle {
    /// The contacts of a user: the first half next to it, the others spread evenly over all.
    pub fn of(self, index: u32) -> impl Iterator<Item = u32> {
        let (users, contacts) = (u64::from(self.users), u64::from(self.contacts));
        let near = contacts.div_ceil(2);
        (1..=contacts).map(move |number| {
            let step = match number.checked_sub(near) {
                None | Some(0) => number,
                Some(far) => near + far * (users - 1 - near) / (contacts - near),
            };
            ((u64::from(index) + step) % users) as u32
        })
    }
}

/// The Request-URI of a first SUBSCRIBE.
pub fn list_uri(domain: &str) -> String {
    format!("sip:contacts@{domain}")
}

/// The body of a first SUBSCRIBE.
pub fn list_document(uris: impl Iterator<Item = String>) -> String {
    let mut document = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>",
    );
    for uri in uris {
        let _ = write!(document, "<entry uri=\"{uri}\"/>");
    }
    document.push_str("</list></resource-lists>\r\n");
    document
}

/// A user's subscription to its contacts.
pub struct Follow {
    /// Empty before the first answer.
    pub remote: Remote,
    /// When to refresh, s of `clock`; 0 while not granted.
    pub refresh_s: u32,
    /// The end of what was granted, likewise.
    pub until_s: u32,
    /// CSeq of the latest NOTIFY.
    cseq: u32,
    /// When it was meant to begin; 0 once the whole list was told.
    intended_us: u64,
}

/// What a NOTIFY of a list told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// For the first time all: so many entries.
    All {
        entries: u32,
        intended_us: u64,
    },
    More,
    /// Its CSeq does not rise (RFC 3261 §12.2.2).
    OutOfOrder,
}

impl Follow {
    pub fn new(intended_us: u64) -> Follow {
        Follow {
            remote: Remote::default(),
            refresh_s: 0,
            until_s: 0,
            cseq: 0,
            intended_us,
        }
    }

    /// The first 200: the dialog is there (RFC 3261 §12.1.2). False where it names no dialog.
    pub fn granted(&mut self, answer: &Message<'_>) -> bool {
        if self.remote.is_empty() {
            self.remote = Remote::of(answer).unwrap_or_default();
        }
        !self.remote.is_empty()
    }

    /// It was granted, and the list was never told.
    pub fn is_untold(&self) -> bool {
        self.intended_us != 0 && !self.remote.is_empty()
    }

    pub fn notified(&mut self, notify: &Message<'_>) -> Told {
        let cseq = notify.cseq().number;
        if cseq <= self.cseq {
            return Told::OutOfOrder;
        }
        self.cseq = cseq;
        if self.intended_us == 0 {
            return Told::More;
        }
        Told::All {
            entries: entries(notify.body()),
            intended_us: std::mem::take(&mut self.intended_us),
        }
    }
}

/// The entries of the list (RFC 4662 §5), which is the first part of the body.
fn entries(body: &[u8]) -> u32 {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let list = text.split("</list>").next().unwrap_or_default();
    list.matches("<resource ").count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_as_many_contacts_and_is_had_by_as_many() {
        for (users, contacts) in [(2, 1), (5, 4), (41, 40), (1000, 40), (100, 7)] {
            let circle = Circle { users, contacts };
            let mut had_by = vec![0; users as usize];
            for index in 0..users {
                let mut all: Vec<u32> = circle.of(index).collect();
                all.iter()
                    .for_each(|contact| had_by[*contact as usize] += 1);
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), contacts as usize, "{users} {contacts}: {all:?}");
                assert!(!all.contains(&index), "{users} {contacts}: {index} {all:?}");
            }
            assert!(had_by.iter().all(|count| *count == contacts));
        }
        assert_eq!(Circle::default().of(7).count(), 0);
    }

    #[test]
    fn entries_are_counted_in_the_list_only() {
        let body = b"--b\r\n\r\n<list><resource uri='a'/><resource uri='b'><name/></resource></list>\r\n--b\r\n<resource \r\n";
        assert_eq!(entries(body), 2);
        assert_eq!(entries(b""), 0);
    }
}
