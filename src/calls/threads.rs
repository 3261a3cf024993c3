//! The dialogs of one client of a call: early ones while it rings, each of its own To tag (RFC 3261 §12.1), one that is
//! confirmed in the end.
//!
//! Each is kept as the *other* side has it towards this client, so that BYE can be said in the other's place when the
//! other can't any more. Of what passes through only what that needs is kept: tags, the highest CSeq, Contact, route.

use crate::calls::carried::Answer;
use crate::sip::dialog::{Dialog, LowerCSeq};
use crate::sip::message::{Message, Method};

/// Early dialogs of one client; more come from an endpoint that forks without end, and then the oldest is followed no further.
pub const THREADS_MAX: usize = 16;

/// Where the other side of a dialog is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its shard.
    pub shard: u16,
    /// Which of the call's clients it is: 0 the caller, else a branch's number.
    pub end: u32,
}

/// One dialog.
#[derive(Debug)]
pub struct Thread {
    /// As the other side has it towards this client.
    pub dialog: Dialog,
    /// The other side.
    pub peer: Peer,
}

/// Why a request is in none of the dialogs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stray {
    /// 481: there is no such dialog.
    Unknown,
    /// 403: From is neither who the dialog is with nor who speaks on the connection.
    Spoofed,
    /// 500: its CSeq is not higher than the last one (RFC 3261 §12.2.2).
    Late,
}

/// The dialogs of one client.
#[derive(Debug)]
pub struct Threads {
    template: Dialog,
    list: Vec<Thread>,
}

impl Threads {
    /// No dialog yet; `template` is what all will have.
    pub fn new(template: Dialog) -> Threads {
        Threads {
            template,
            list: Vec::new(),
        }
    }

    /// What all dialogs have.
    pub fn template(&self) -> &Dialog {
        &self.template
    }

    /// The callee's client has answered with a tag: its side of that dialog.
    pub fn theirs(&mut self, answer: &Answer, peer: Peer) {
        let at = self
            .list
            .iter()
            .position(|thread| *thread.dialog.remote_tag() == *answer.tag);
        let Some(thread) = self.place(at, peer) else {
            return;
        };
        let mut texts = thread.dialog.texts();
        texts.remote_tag = &answer.tag;
        if !answer.contact.is_empty() {
            texts.target = &answer.contact;
            texts.routes = &answer.routes;
        }
        thread.dialog = thread.dialog.with(&texts);
    }

    /// The caller's client is being told of an answer with a tag: its side of that dialog.
    pub fn ours(&mut self, tag: &str, peer: Peer) {
        let at = self
            .list
            .iter()
            .position(|thread| thread.dialog.local_tag() == tag);
        if let Some(thread) = self.place(at, peer) {
            thread.dialog = thread.dialog.tagged(tag);
            thread.peer = peer;
        }
    }

    fn place(&mut self, at: Option<usize>, peer: Peer) -> Option<&mut Thread> {
        match at {
            Some(at) => self.list.get_mut(at),
            None => {
                if self.list.len() >= THREADS_MAX {
                    self.list.remove(0);
                }
                let dialog = self.template.clone();
                self.list.push(Thread { dialog, peer });
                self.list.last_mut()
            }
        }
    }

    /// One dialog is confirmed: the others are over. `tag` is the callee's.
    pub fn confirm(&mut self, tag: &str) {
        self.list
            .retain(|thread| thread.dialog.local_tag() == tag || thread.dialog.remote_tag() == tag);
    }

    /// The dialog that a request of this client is in, with its CSeq taken in, and its Contact where it refreshes the target
    /// (RFC 3261 §12.2.2, RFC 3311 §5.2).
    ///
    /// # Errors
    /// Where it is in none.
    pub fn from_client(
        &mut self,
        message: &Message<'_>,
        speaks: impl FnOnce(&str) -> bool,
    ) -> Result<Peer, Stray> {
        let thread = self
            .list
            .iter_mut()
            .find(|thread| thread.dialog.owns(message))
            .ok_or(Stray::Unknown)?;
        let named = message.from().uri;
        let known = thread.dialog.remote().ends_with(&*format!("<{named}>"));
        if !known && !speaks(named) {
            return Err(Stray::Spoofed);
        }
        let method = message.method();
        if method != Method::Ack {
            thread
                .dialog
                .take_cseq(message.cseq().number)
                .map_err(|LowerCSeq| Stray::Late)?;
        }
        if matches!(method, Method::Invite | Method::Update) {
            thread.dialog.refresh_target(message);
        }
        Ok(thread.peer)
    }

    /// The dialog that a request *to* this client is in, by the sender's tag and its own, with its CSeq taken in.
    pub fn to_client(&mut self, from_tag: &str, to_tag: &str, cseq: u32) -> Option<&mut Thread> {
        let thread = self.list.iter_mut().find(|thread| {
            thread.dialog.local_tag() == from_tag && thread.dialog.remote_tag() == to_tag
        })?;
        thread.dialog.local_cseq = thread.dialog.local_cseq.max(cseq);
        Some(thread)
    }

    /// The dialog with these tags, this client's own first.
    pub fn find(&self, own_tag: &str, other_tag: &str) -> Option<&Thread> {
        self.list.iter().find(|thread| {
            thread.dialog.remote_tag() == own_tag && thread.dialog.local_tag() == other_tag
        })
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Thread> {
        self.list.iter_mut()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Thread> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::dialog::Texts;

    const PEER: Peer = Peer { shard: 1, end: 2 };

    /// The callee's side: the caller's tag is `a`, its INVITE had number 5.
    fn callee() -> Threads {
        let texts = Texts {
            call_id: "x",
            local: "\"Alice\" <sip:alice@example.com>",
            local_tag: "a",
            remote: "<sip:bob@example.com>",
            target: "sip:bob@192.0.2.2",
            ..Texts::default()
        };
        Threads::new(Dialog::new(&texts, 5, None))
    }

    fn answer(tag: &str, contact: &str) -> Answer {
        Answer {
            tag: tag.into(),
            contact: contact.into(),
            ..Answer::of(180, "")
        }
    }

    /// What comes of a request of the callee's with these tags and this number.
    fn says(threads: &mut Threads, from: &str, to: &str, line: &str) -> Result<Peer, Stray> {
        let method = line.split(' ').nth(1).expect("a method");
        let text = format!(
            "{method} sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TLS b;branch=z9hG4bK1\r\nFrom: {from}\r\n\
             To: <sip:alice@example.com>;tag={to}\r\nCall-ID: x\r\nCSeq: {line}\r\nContact: <sip:bob@192.0.2.77>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let mut bytes = text.into_bytes();
        let message = Message::parse(&mut bytes).expect("a message");
        threads.from_client(&message, |named| named == "sip:carol@example.com")
    }

    #[test]
    fn who_speaks_in_a_dialog_has_its_tags_its_name_and_a_higher_number() {
        let mut threads = callee();
        threads.theirs(&answer("b", "sip:bob@192.0.2.2"), PEER);
        let bob = "<sip:bob@example.com>;tag=b";
        for (from, to, line, expected) in [
            (bob, "a", "0 INFO", Ok(PEER)),
            (bob, "a", "0 INFO", Err(Stray::Late)),
            (bob, "a", "1 INFO", Ok(PEER)),
            (bob, "a", "1 INFO", Err(Stray::Late)),
            (bob, "a", "1 ACK", Ok(PEER)),
            (bob, "b", "2 INFO", Err(Stray::Unknown)),
            (
                "<sip:bob@example.com>;tag=c",
                "a",
                "2 INFO",
                Err(Stray::Unknown),
            ),
            (
                "<sip:eve@example.com>;tag=b",
                "a",
                "2 INFO",
                Err(Stray::Spoofed),
            ),
            ("<sip:carol@example.com>;tag=b", "a", "2 INFO", Ok(PEER)),
        ] {
            assert_eq!(
                says(&mut threads, from, to, line),
                expected,
                "{from} {to} {line}"
            );
        }
    }

    #[test]
    fn a_bye_in_the_others_place_has_the_next_number_and_the_newest_contact() {
        let mut threads = callee();
        threads.theirs(&answer("b", ""), PEER);
        threads.theirs(&answer("b", "sip:bob@192.0.2.3"), PEER);
        let bob = "<sip:bob@example.com>;tag=b";
        assert!(threads.to_client("a", "b", 9).is_some());
        assert!(threads.to_client("a", "b", 7).is_some());
        assert!(threads.to_client("b", "a", 7).is_none());
        assert_eq!(says(&mut threads, bob, "a", "1 UPDATE"), Ok(PEER));
        let thread = threads.find("b", "a").expect("it is there");
        assert_eq!(thread.dialog.target(), "sip:bob@192.0.2.77");
        assert_eq!(thread.dialog.local_cseq, 9);
    }

    #[test]
    fn forks_are_dialogs_of_their_own_until_one_is_confirmed() {
        let mut threads = callee();
        for tag in ["b", "c", "b", "d"] {
            threads.theirs(&answer(tag, "sip:bob@192.0.2.2"), PEER);
        }
        assert_eq!(threads.iter().count(), 3);
        threads.confirm("c");
        assert_eq!(threads.iter().count(), 1);
        assert!(threads.find("c", "a").is_some());
        for number in 0..2 * THREADS_MAX {
            threads.theirs(&answer(&format!("t{number}"), ""), PEER);
        }
        assert_eq!(threads.iter().count(), THREADS_MAX);
    }
}
