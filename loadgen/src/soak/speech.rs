//! What a soak's client writes, and how it reads what only its own kind write: requests of standard SIP, the session's
//! number in Subject, states in presence documents. No state is kept here.

use std::fmt::Write as _;
use std::net::SocketAddr;

use muster::sip::build::{self, Draft};
use muster::sip::dialog::Dialog;
use muster::sip::header::Name;
use muster::sip::link::Link;
use muster::sip::message::Message;

use super::client::World;
use super::graph::hash;
use crate::account::Accounts;
use crate::content::Stamp;
use crate::follow::{list_document, list_uri};
use crate::remote::Remote;

/// The lifetime asked for of registrations and the contact list's subscription; both are refreshed.
pub const EXPIRES_S: u32 = 7200;
/// Of publications, and of short subscriptions, which end by the plan before.
pub const PUBLISH_EXPIRES_S: u32 = 3600;
pub const SHORT_S: u32 = 3600;
pub const ISCOMPOSING_TYPE: &str = "application/im-iscomposing+xml";
const SUBJECT: &str = "soak ";

/// What the heads of one request need.
pub struct Frame {
    pub seat: u32,
    pub number: u32,
    pub branch: String,
    pub link: Link,
}

pub fn contact(accounts: &Accounts, user: u32, local: SocketAddr) -> String {
    format!("<sip:{}@{local};transport=tls>", accounts.name(user))
}

/// A message stream over SIP itself.
pub fn sdp(local: SocketAddr) -> Vec<u8> {
    let kind = if local.is_ipv4() { "IP4" } else { "IP6" };
    let ip = local.ip();
    format!(
        "v=0\r\no=- 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\nm=message {} sip null\r\n\
         a=accept-types:text/plain {ISCOMPOSING_TYPE}\r\n",
        local.port()
    )
    .into_bytes()
}

/// The session's number, if it is one of ours.
pub fn session_of(subject: &str) -> Option<u32> {
    subject.strip_prefix(SUBJECT)?.parse().ok()
}

/// Who said it, by P-Asserted-Identity (RFC 3325 §9.1), which the server writes; `None`: no user of ours.
pub fn speaker(message: &Message<'_>, accounts: &Accounts) -> Option<u32> {
    let identity = message.header(Name::PAssertedIdentity)?;
    let (_, uri) = identity.split_once("sip:")?;
    accounts.index_of(uri.split('@').next()?)
}

/// The states of this run in a presence document, or in those of a list. A server may write one of them in two places.
pub fn states(document: &[u8], run: u32) -> impl Iterator<Item = Stamp> {
    let mut text = std::str::from_utf8(document).unwrap_or_default();
    let next = move || {
        let (stamp, from) = Stamp::find(text)?;
        text = &from[1..];
        Some(stamp)
    };
    std::iter::from_fn(next).filter(move |stamp| stamp.run == run)
}

/// What a subscription is to, as the first letter of its Call-ID.
pub const LIST: u8 = b'l';
pub const WATCH: u8 = b'w';
pub const POLL: u8 = b'p';

fn subscription(kind: u8, run: u32, seat: u32, number: u32) -> String {
    format!("{}{run:08x}-{seat}-{number}", char::from(kind))
}

/// The kind and the number of one of this seat's subscriptions; `None`: it is another's.
pub fn subscription_of(call_id: &str, run: u32, seat: u32) -> Option<(u8, u32)> {
    let kind = call_id.bytes().next()?;
    let number = call_id.rsplit('-').next()?.parse().ok()?;
    let is_ours =
        matches!(kind, LIST | WATCH | POLL) && subscription(kind, run, seat, number) == call_id;
    is_ours.then_some((kind, number))
}

pub fn register(
    frame: &Frame,
    world: &World,
    user: u32,
    expires_s: u32,
    credentials: Option<&str>,
    out: &mut Vec<u8>,
) {
    let own = world.accounts.uri(user);
    let target = format!("sip:{}", world.accounts.domain);
    let call_id = format!("r{:08x}-{}", world.run, frame.seat);
    let mut draft = heads(frame, "REGISTER", &target, &own, &own, &call_id, out);
    if let Some(credentials) = credentials {
        draft.header("Authorization", credentials);
    }
    draft
        .header("Contact", contact(&world.accounts, user, frame.link.local))
        .header("Expires", expires_s);
    draft.finish();
}

/// The whole contact list in one subscription (RFC 4662, RFC 5367).
pub fn contacts(frame: &Frame, world: &World, user: u32, list: Vec<u32>, out: &mut Vec<u8>) {
    let call_id = subscription(LIST, world.run, frame.seat, frame.number);
    subscribe_list(
        frame,
        world,
        user,
        &call_id,
        EXPIRES_S,
        list.into_iter(),
        out,
    );
}

/// The same list again, in the dialog of its subscription, whose Call-ID has `number`.
pub fn renew(
    frame: &Frame,
    world: &World,
    user: u32,
    number: u32,
    remote: &Remote,
    out: &mut Vec<u8>,
) {
    let call_id = subscription(LIST, world.run, frame.seat, number);
    let list = list_uri(&world.accounts.domain);
    let target = remote.target().unwrap_or(&list);
    let (own, tag) = (world.accounts.uri(user), format!("{:x}", frame.seat));
    let dialog = Dialog::asking(&call_id, &own, &tag, &list, target);
    let remote_tag = remote.tag().unwrap_or_default();
    let (link, branch) = (&frame.link, &frame.branch);
    let mut draft = dialog.follow_up(out, "SUBSCRIBE", link, branch, frame.number, remote_tag);
    of_list(
        &mut draft,
        &contact(&world.accounts, user, link.local),
        EXPIRES_S,
    );
    draft.finish();
}

/// What every SUBSCRIBE to a list says.
fn of_list(draft: &mut Draft<'_>, contact: &str, expires_s: u32) {
    draft
        .header("Contact", contact)
        .header("Event", "presence")
        .header("Expires", expires_s)
        .header("Supported", "eventlist")
        .header(
            "Accept",
            "application/pidf+xml, application/rlmi+xml, multipart/related",
        );
}

/// Asks once for several presentities.
pub fn poll(frame: &Frame, world: &World, user: u32, number: u32, out: &mut Vec<u8>) {
    let call_id = subscription(POLL, world.run, frame.seat, number);
    let mut list = Vec::with_capacity(world.poll_batch as usize);
    for turn in 0..u64::from(world.poll_batch) {
        let choice = hash(world.seed, 30 + u64::from(number), turn);
        let presentity = world.graph.somebody_else(user, choice);
        if !list.contains(&presentity) {
            list.push(presentity);
        }
    }
    subscribe_list(frame, world, user, &call_id, 0, list.into_iter(), out);
}

fn subscribe_list(
    frame: &Frame,
    world: &World,
    user: u32,
    call_id: &str,
    expires_s: u32,
    list: impl Iterator<Item = u32>,
    out: &mut Vec<u8>,
) {
    let target = list_uri(&world.accounts.domain);
    let own = world.accounts.uri(user);
    let mut draft = heads(frame, "SUBSCRIBE", &target, &own, &target, call_id, out);
    let contact = contact(&world.accounts, user, frame.link.local);
    of_list(&mut draft, &contact, expires_s);
    draft
        .header("Require", "recipient-list-subscribe")
        .header("Content-Disposition", "recipient-list");
    draft.body(
        "application/resource-lists+xml",
        resource_list(&world.accounts, list).as_bytes(),
    );
}

/// Users as a resource list (RFC 4826).
fn resource_list(accounts: &Accounts, users: impl Iterator<Item = u32>) -> String {
    list_document(users.map(|user| accounts.uri(user)))
}

/// A presence document (RFC 3863) with the stamp as its note, of the model's size.
pub fn publish(frame: &Frame, world: &World, stamp: &Stamp, tag: Option<&str>, out: &mut Vec<u8>) {
    let own = world.accounts.uri(stamp.sender);
    let call_id = format!("u{:08x}-{}", world.run, frame.seat);
    let mut draft = heads(frame, "PUBLISH", &own, &own, &own, &call_id, out);
    draft
        .header("Event", "presence")
        .header("Expires", PUBLISH_EXPIRES_S);
    if let Some(tag) = tag {
        draft.header("SIP-If-Match", tag);
    }
    let mut note = String::new();
    stamp.write(&mut note, 0);
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:x=\"urn:example:loadgen\" entity=\"{own}\">\
         <tuple id=\"lg{}\"><status><basic>open</basic></status></tuple><note>{note}</note>",
        frame.seat
    );
    // What clients add of their own: a server passes over it, and still has to read it.
    let end = "</presence>\r\n";
    while body.len() + end.len() < world.publication_bytes {
        let _ = write!(
            body,
            "<x:capability name=\"c{}\">what a client can do</x:capability>",
            body.len()
        );
    }
    body.push_str(end);
    draft.body("application/pidf+xml", body.as_bytes());
}

/// The dialog of a short subscription that is about to be asked for.
pub fn watching(world: &World, seat: u32, user: u32, presentity: u32, number: u32) -> Dialog {
    let target = world.accounts.uri(presentity);
    let call_id = subscription(WATCH, world.run, seat, number);
    let tag = format!("{seat:x}.{number:x}w");
    Dialog::asking(&call_id, &world.accounts.uri(user), &tag, &target, &target)
}

/// A subscription in `dialog`: it begins, or ends with `expires_s` 0.
pub fn subscribe(
    frame: &Frame,
    dialog: &mut Dialog,
    world: &World,
    user: u32,
    expires_s: u32,
    out: &mut Vec<u8>,
) {
    let mut draft = in_dialog(dialog, "SUBSCRIBE", &frame.link, &frame.branch, out);
    draft
        .header("Contact", contact(&world.accounts, user, frame.link.local))
        .header("Event", "presence")
        .header("Accept", "application/pidf+xml")
        .header("Expires", expires_s);
    draft.finish();
}

/// An invitation to a session, or of `members` to a conference (RFC 5366).
pub fn invite(
    frame: &Frame,
    dialog: &mut Dialog,
    world: &World,
    user: u32,
    session: u32,
    members: &[u32],
    out: &mut Vec<u8>,
) {
    let mut draft = in_dialog(dialog, "INVITE", &frame.link, &frame.branch, out);
    let sdp = sdp(frame.link.local);
    draft
        .header("Contact", contact(&world.accounts, user, frame.link.local))
        .header("Subject", format_args!("{SUBJECT}{session}"));
    if members.is_empty() {
        draft.body("application/sdp", &sdp);
        return;
    }
    draft.header("Require", "recipient-list-invite");
    let others = members.iter().copied().filter(|member| *member != user);
    let mut body = b"--part\r\nContent-Type: application/sdp\r\n\r\n".to_vec();
    body.extend_from_slice(&sdp);
    body.extend_from_slice(
        b"\r\n--part\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n",
    );
    body.extend_from_slice(resource_list(&world.accounts, others).as_bytes());
    body.extend_from_slice(b"\r\n--part--\r\n");
    draft.body("multipart/mixed;boundary=part", &body);
}

pub fn say(
    dialog: &mut Dialog,
    link: &Link,
    branch: &str,
    stamp: &Stamp,
    bytes: usize,
    out: &mut Vec<u8>,
) {
    let mut body = String::with_capacity(bytes.max(64));
    stamp.write(&mut body, bytes);
    in_dialog(dialog, "MESSAGE", link, branch, out).body("text/plain", body.as_bytes());
}

/// RFC 3994.
pub fn typing(dialog: &mut Dialog, link: &Link, branch: &str, out: &mut Vec<u8>) {
    let body = b"<isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>active</state></isComposing>";
    in_dialog(dialog, "MESSAGE", link, branch, out).body(ISCOMPOSING_TYPE, body);
}

pub fn bye(dialog: &mut Dialog, link: &Link, branch: &str, out: &mut Vec<u8>) {
    in_dialog(dialog, "BYE", link, branch, out).finish();
}

fn in_dialog<'o>(
    dialog: &mut Dialog,
    method: &str,
    link: &Link,
    branch: &str,
    out: &'o mut Vec<u8>,
) -> Draft<'o> {
    dialog.local_cseq += 1;
    dialog.follow_up(
        out,
        method,
        link,
        branch,
        dialog.local_cseq,
        dialog.remote_tag(),
    )
}

fn heads<'o>(
    frame: &Frame,
    method: &str,
    target: &str,
    from: &str,
    to: &str,
    call_id: &str,
    out: &'o mut Vec<u8>,
) -> Draft<'o> {
    let mut draft = build::request(out, method, target);
    draft
        .header(
            "Via",
            format_args!("SIP/2.0/TLS {};branch={}", frame.link.local, frame.branch),
        )
        .header("Max-Forwards", 70)
        .header("From", format_args!("<{from}>;tag={:x}", frame.seat))
        .header("To", format_args!("<{to}>"))
        .header("Call-ID", call_id)
        .header("CSeq", format_args!("{} {method}", frame.number));
    draft
}
