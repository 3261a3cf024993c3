//! What a user's requests look like, and what of that is read back from what comes in.

use std::fmt::Write as _;

use muster::sip::build;

use super::{Customs, EXPIRES_S, Scene, Task, User};
use crate::content::Stamp;
use crate::digest::Challenge;
use crate::follow::{list_document, list_uri};

impl User {
    /// The name and value of the header that answers a challenge.
    pub(super) fn credentials(
        &self,
        task: Task,
        status: u16,
        challenge: &Challenge,
        customs: &Customs,
    ) -> (&'static str, String) {
        let name = if status == 401 {
            "Authorization"
        } else {
            "Proxy-Authorization"
        };
        let accounts = &customs.accounts;
        // Never used twice: the sequence number differs for each request of this run.
        let cnonce = format!("{:08x}{:x}.{:x}", customs.run, self.index, self.cseq);
        let (user, password) = (accounts.name(self.index), accounts.password(self.index));
        let value = challenge.answer(
            &user,
            &password,
            task.method(),
            &self.target(task, customs),
            &cnonce,
        );
        (name, value)
    }

    /// The Request-URI of a task.
    fn target(&self, task: Task, customs: &Customs) -> String {
        match task {
            Task::Register { .. } => format!("sip:{}", customs.accounts.domain),
            Task::Message { receiver, .. } => customs.accounts.uri(receiver),
            Task::Publish { .. } => customs.accounts.uri(self.index),
            Task::Subscribe { presentity } => customs.accounts.uri(presentity),
            Task::Follow { .. } => {
                let target = self
                    .follow
                    .as_ref()
                    .and_then(|follow| follow.remote.target());
                target.map_or_else(|| list_uri(&customs.accounts.domain), str::to_string)
            }
        }
    }

    pub(super) fn write(
        &self,
        task: Task,
        intended_us: u64,
        credentials: Option<&(&'static str, String)>,
        scene: &mut Scene<'_>,
    ) {
        let Scene {
            customs,
            local,
            out,
            ..
        } = scene;
        let (run, index, cseq) = (customs.run, self.index, self.cseq);
        let from = customs.accounts.uri(index);
        let target = self.target(task, customs);
        let list = list_uri(&customs.accounts.domain);
        let to = match task {
            Task::Register { .. } => &from,
            Task::Follow { .. } => &list,
            _ => &target,
        };
        let to_tag = match (task, &self.follow) {
            (Task::Follow { .. }, Some(follow)) => follow.remote.tag(),
            _ => None,
        };
        let (to_tag_name, to_tag) = match to_tag {
            Some(tag) => (";tag=", tag),
            None => ("", ""),
        };
        let call_id = match task {
            Task::Register { .. } => format!("r{run:08x}-{index}"),
            Task::Message { .. } | Task::Publish { .. } => format!("m{run:08x}-{index}-{cseq}"),
            Task::Subscribe { presentity } => format!("s{run:08x}-{index}-{presentity}"),
            Task::Follow { .. } => follow_call_id(run, index),
        };
        let contact = format!(
            "<sip:{}@{local};transport=tls>",
            customs.accounts.name(index)
        );
        let mut draft = build::request(out, task.method(), &target);
        draft
            .header(
                "Via",
                format_args!(
                    "SIP/2.0/TLS {local};branch={};rport",
                    branch(run, index, cseq)
                ),
            )
            .header("Max-Forwards", 70)
            .header(
                "From",
                format_args!("<{from}>;tag={}", local_tag(run, index)),
            )
            .header("To", format_args!("<{to}>{to_tag_name}{to_tag}"))
            .header("Call-ID", call_id)
            .header("CSeq", format_args!("{cseq} {}", task.method()));
        if let Some((name, value)) = credentials {
            draft.header(name, value);
        }
        match task {
            Task::Register { .. } => {
                draft
                    .header("Contact", contact)
                    .header("Expires", EXPIRES_S);
                draft.finish();
            }
            Task::Message { sequence, .. } => {
                let mut body = String::with_capacity(customs.body_bytes);
                Stamp {
                    run,
                    sender: index,
                    sequence,
                    intended_us,
                }
                .write(&mut body, customs.body_bytes);
                draft.body("text/plain", body.as_bytes());
            }
            Task::Publish { sequence } => {
                draft
                    .header("Event", "presence")
                    .header("Expires", EXPIRES_S);
                if let Some(duty) = &self.duty
                    && !duty.entity_tag.is_empty()
                {
                    draft.header("SIP-If-Match", &duty.entity_tag);
                }
                let stamp = Stamp {
                    run,
                    sender: index,
                    sequence,
                    intended_us,
                };
                draft.body(
                    "application/pidf+xml",
                    presence_document(&from, &stamp).as_bytes(),
                );
            }
            Task::Subscribe { .. } => {
                draft
                    .header("Contact", contact)
                    .header("Event", "presence")
                    .header("Accept", "application/pidf+xml")
                    .header("Expires", EXPIRES_S);
                draft.finish();
            }
            Task::Follow { refresh } => {
                draft
                    .header("Contact", contact)
                    .header("Event", "presence")
                    .header("Supported", "eventlist")
                    .header(
                        "Accept",
                        "application/pidf+xml, application/rlmi+xml, multipart/related",
                    )
                    .header("Expires", EXPIRES_S);
                if refresh {
                    draft.finish();
                } else {
                    draft
                        .header("Require", "recipient-list-subscribe")
                        .header("Content-Disposition", "recipient-list");
                    let contacts = customs.circle.of(index);
                    let uris = contacts.map(|contact| customs.accounts.uri(contact));
                    let document = list_document(uris);
                    draft.body("application/resource-lists+xml", document.as_bytes());
                }
            }
        }
    }
}

/// A presence document (RFC 3863) that differs from the one before in its state and in its notes. The stamp stands in
/// both places where a note may: a server that puts a document together anew keeps at least one.
fn presence_document(entity: &str, stamp: &Stamp) -> String {
    let mut note = String::new();
    stamp.write(&mut note, 0);
    let basic = if stamp.sequence.is_multiple_of(2) {
        "open"
    } else {
        "closed"
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\
         <tuple id=\"lg\"><status><basic>{basic}</basic></status><note>{note}</note></tuple>\
         <note>{note}</note></presence>\r\n"
    )
}

/// The newest state of `presentity` in a document.
pub(super) fn newest_stamp(document: &[u8], run: u32, presentity: u32) -> Option<Stamp> {
    let mut text = std::str::from_utf8(document).ok()?;
    let mut newest: Option<Stamp> = None;
    while let Some((stamp, from)) = Stamp::find(text) {
        let is_ours = stamp.run == run && stamp.sender == presentity;
        if is_ours && newest.is_none_or(|known| stamp.sequence > known.sequence) {
            newest = Some(stamp);
        }
        text = &from[1..];
    }
    newest
}

/// What the Call-ID of a subscription to the contacts begins with.
pub(super) const FOLLOW: char = 'l';

pub(super) fn follow_call_id(run: u32, index: u32) -> String {
    format!("{FOLLOW}{run:08x}-{index}")
}

pub(super) fn branch(run: u32, index: u32, cseq: u32) -> String {
    format!("z9hG4bK{run:08x}-{index}-{cseq}")
}

pub(super) fn local_tag(run: u32, index: u32) -> String {
    let mut tag = String::with_capacity(20);
    let _ = write!(tag, "{run:08x}-{index}");
    tag
}

/// The presentity of the subscription with this Call-ID.
pub(super) fn presentity_of(call_id: &str, run: u32, index: u32) -> Option<u32> {
    let mut parts = call_id.strip_prefix('s')?.split('-');
    let is_ours = u32::from_str_radix(parts.next()?, 16).ok()? == run
        && parts.next()?.parse::<u32>().ok()? == index;
    let presentity = parts.next()?.parse().ok()?;
    (is_ours && parts.next().is_none()).then_some(presentity)
}
