//! SUBSCRIBE to many users at once (RFC 4662): `sip:contacts@DOMAIN`, the subscriber's stored contact list, or with a body
//! that list (RFC 5367). Each entry asks its own owner and is watched under the one subscription; what the owners say is
//! gathered, and told in one NOTIFY at a time.

use core::fmt::{Display, Write as _};
use core::time::Duration;

use crate::documents::multipart::Related;
use crate::documents::xml::Fault;
use crate::documents::{pidf, resource_lists, rlmi};
use crate::presence::{CONTACTS_MAX, Contacts, Line, List, Package};
use crate::shard::effect::Effects;
use crate::shard::request::{Request, Target};
use crate::shard::usage::{Association, Subject, Subscription, Usage};
use crate::shard::{Shard, lync, on_state, on_subscribe};
use crate::sip::dialog::DialogKey;
use crate::sip::header::{Name, tokens};
use crate::sip::uri::Aor;

/// Entries of one list.
const ENTRIES_MAX: usize = CONTACTS_MAX;
/// How long the first document waits for the owners of all entries. Those who have not answered are in it without a state.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Bytes of one NOTIFY up to the last entry that has a document: what finds no room comes with the next one, and in a poll's only
/// one it is named without (RFC 4662 §5.1). Entries that are only named cost little, and contacts' names have a bound of their own.
const DOCUMENTS_BYTES_MAX: usize = 256 * 1024;
/// What an entry has of the root's and its part's text, beside its address and its document.
const ENTRY_BYTES: usize = 320;
/// Bytes of contacts' names in one NOTIFY. They help to read a list; it is whole without them.
const NAMES_BYTES_MAX: usize = 64 * 1024;

/// What of a SUBSCRIBE's list is refused, and how.
pub(super) enum Refusal {
    /// The client can't read what it would get: 421 (RFC 4662 §4.1).
    NoEventList,
    /// A body of another type.
    Type,
    Other(u16, &'static str),
}

/// The list that a SUBSCRIBE names, not filled yet, and who is on it.
pub(super) type Wanted = (List, Vec<Aor>, Vec<Box<str>>);

/// Reads which list a SUBSCRIBE wants.
pub(super) fn wanted(
    shard: &Shard,
    request: Request<'_>,
    body: &[u8],
    watcher: &Aor,
) -> Result<Wanted, Refusal> {
    let message = request.message;
    let supported = tokens(message.headers(Name::Supported));
    if !supported
        .into_iter()
        .any(|token| token.eq_ignore_ascii_case("eventlist"))
    {
        return Err(Refusal::NoEventList);
    }
    if body.is_empty() {
        let users = stored(shard, watcher).map_or_else(Vec::new, |contacts| {
            contacts.iter().map(|contact| contact.aor()).collect()
        });
        return Ok((List::new(Package::Presence, true), users, Vec::new()));
    }
    if !message
        .content_type()
        .is_some_and(|media| media.is(resource_lists::CONTENT_TYPE))
    {
        return Err(Refusal::Type);
    }
    let uris = resource_lists::read(body, ENTRIES_MAX).map_err(|fault| match fault {
        Fault::TooManyEntries => Refusal::Other(403, "At Most 1000 Entries In A List"),
        other => Refusal::Other(other.status(), other.reason()),
    })?;
    let (mut users, mut strangers) = (Vec::new(), Vec::new());
    for uri in uris {
        match shard.target(&uri, &request.link) {
            Target::User(user) => users.push(user),
            _ => strangers.push(uri),
        }
    }
    Ok((List::new(Package::Presence, false), users, strangers))
}

fn stored<'s>(shard: &'s Shard, user: &Aor) -> Option<&'s Contacts> {
    let standing = shard.user(user)?.record.standing.as_deref()?;
    Some(&standing.contacts)
}

pub(super) fn refuse(
    shard: &mut Shard,
    request: Request<'_>,
    refusal: Refusal,
    effects: &mut Effects,
) {
    match refusal {
        Refusal::NoEventList => shard.answer_with(request, 421, "", effects, |mut draft| {
            draft.header("Require", "eventlist");
            draft.finish();
        }),
        Refusal::Type => shard.answer_with(request, 415, "", effects, |mut draft| {
            draft.header("Accept", resource_lists::CONTENT_TYPE);
            draft.finish();
        }),
        Refusal::Other(status, reason) => shard.answer(request, status, reason, effects),
    }
}

fn list_mut(shard: &mut Shard, key: DialogKey) -> Option<(&mut List, &Aor)> {
    match &mut shard.dialogs.get_mut(key)?.usage {
        Usage::Subscription(Subscription {
            subject: Subject::List(list),
            watcher,
            ..
        }) => Some((list, watcher)),
        _ => None,
    }
}

/// Is this subscription one to a list?
pub(super) fn is_list(shard: &Shard, key: DialogKey) -> bool {
    matches!(
        shard.dialogs.get(key).map(|association| &association.usage),
        Some(Usage::Subscription(Subscription {
            subject: Subject::List(_),
            ..
        }))
    )
}

/// The subscription was granted: the first document comes when all owners have answered, or after `FIRST_WAIT`.
pub(super) fn granted(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let at = shard.now.after(FIRST_WAIT);
    on_subscribe::arm(shard, key, at);
    tell(shard, key, effects);
}

/// Puts these on the list, in the place of whoever was on it.
pub(super) fn fill(
    shard: &mut Shard,
    key: DialogKey,
    users: Vec<Aor>,
    strangers: Vec<Box<str>>,
    effects: &mut Effects,
) {
    let Some((list, watcher)) = list_mut(shard, key) else {
        return;
    };
    let watcher = watcher.clone();
    let before = list.edges();
    let replaced = list.replace(users, strangers);
    let after = list.edges();
    shard.edges_changed(&watcher, before, after);
    for user in replaced.removed {
        on_state::unwatch(
            shard,
            Package::Presence,
            user,
            watcher.clone(),
            key,
            effects,
        );
    }
    for user in replaced.added {
        on_state::ask(shard, Package::Presence, user, key, effects);
    }
}

/// A refresh with another list puts it in the place of the one before (RFC 5367 §4). False where it was refused.
pub(super) fn on_refresh(
    shard: &mut Shard,
    request: Request<'_>,
    key: DialogKey,
    effects: &mut Effects,
) -> bool {
    let Some((list, watcher)) = list_mut(shard, key) else {
        return true;
    };
    let (stored, before, watcher) = (list.is_stored(), list.edges(), watcher.clone());
    if !request.message.body().is_empty() && !stored {
        let Some(body) = shard.body(request, effects) else {
            return false;
        };
        let (users, strangers) = match wanted(shard, request, &body, &watcher) {
            Ok((_, users, strangers)) => (users, strangers),
            Err(refusal) => {
                refuse(shard, request, refusal, effects);
                return false;
            }
        };
        let max = shard.settings.subscriptions_max;
        let after = users.len() + strangers.len();
        if (shard.edges(&watcher) + after).saturating_sub(before) > max {
            let reason = format!("At Most {max} Subscriptions A User");
            shard.answer(request, 403, &reason, effects);
            return false;
        }
        fill(shard, key, users, strangers, effects);
    }
    renew(shard, key, effects);
    true
}

/// The wheel: the first document has waited long enough.
pub(super) fn look(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let Some((list, _)) = list_mut(shard, key) else {
        return;
    };
    if list.package() == Package::Categories {
        lync::on_batch::look(shard, key, effects);
    } else if list.is_untold() {
        tell(shard, key, effects);
    }
}

/// A refresh: the next document names all. Who was nobody may be somebody by now.
fn renew(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let again = list_mut(shard, key).map(|(list, _)| list.renew());
    for user in again.unwrap_or_default() {
        on_state::ask(shard, Package::Presence, user, key, effects);
    }
}

/// The store: a user's contact list has changed, and what follows it here does too.
pub(super) fn contacts_changed(shard: &mut Shard, user: &Aor, effects: &mut Effects) {
    let Some(subscriber) = shard.subscribers.get(user) else {
        return;
    };
    for key in subscriber.lists.clone() {
        if !list_mut(shard, key).is_some_and(|(list, _)| list.is_stored()) {
            continue;
        }
        let users = stored(shard, user).map_or_else(Vec::new, |contacts| {
            contacts.iter().map(|contact| contact.aor()).collect()
        });
        fill(shard, key, users, Vec::new(), effects);
        // A list that was short when it was granted may have become more than its user may have.
        if shard.edges(user) > shard.settings.subscriptions_max {
            shard.terminate(key, "giveup", effects);
        } else if list_mut(shard, key).is_some_and(|(list, _)| list.is_complete()) {
            // Else the answers of who is new on the list bring it along.
            tell(shard, key, effects);
        }
    }
}

/// The owner of an entry has let it in.
pub(super) fn watched(
    shard: &mut Shard,
    key: DialogKey,
    user: &Aor,
    changed: bool,
    effects: &mut Effects,
) {
    // The text is the owner's, as it came with the letter: the one that all who watch keep.
    if list_mut(shard, key).is_some_and(|(list, _)| list.watched(user.clone(), changed)) {
        tell(shard, key, effects);
    }
}

/// An entry looks different now.
pub(super) fn changed(shard: &mut Shard, key: DialogKey, user: &Aor, effects: &mut Effects) {
    if let Some((list, _)) = list_mut(shard, key) {
        list.changed(user);
        tell(shard, key, effects);
    }
}

/// An entry is nobody (any more).
pub(super) fn nobody(shard: &mut Shard, key: DialogKey, user: &Aor, effects: &mut Effects) {
    let Some((list, watcher)) = list_mut(shard, key) else {
        return;
    };
    let (watcher, package) = (watcher.clone(), list.package());
    let news = list.nobody(user);
    if package == Package::Categories {
        lync::on_batch::ask_again(shard, key);
    }
    on_state::unwatch(shard, package, user.clone(), watcher, key, effects);
    if news {
        tell(shard, key, effects);
    }
}

/// A NOTIFY was not taken: the next one says all again.
pub(super) fn lost(shard: &mut Shard, key: DialogKey) {
    if let Some((list, _)) = list_mut(shard, key) {
        list.lost();
    }
}

/// Tells what is new, if it is time; it is what a poll ends with.
pub(super) fn tell(shard: &mut Shard, key: DialogKey, effects: &mut Effects) {
    let now = shard.now;
    let Some(Association {
        usage: Usage::Subscription(subscription),
        ..
    }) = shard.dialogs.get(key)
    else {
        return;
    };
    let Subject::List(list) = &subscription.subject else {
        return;
    };
    if list.package() == Package::Categories {
        return lync::on_batch::tell(shard, key, effects);
    }
    let patient = subscription.since.after(FIRST_WAIT) > now;
    if subscription.waiting.is_some() || (list.is_untold() && !list.is_complete() && patient) {
        return;
    }
    shard.notify(key, effects);
}

/// The subscription is over, and with it each of its entries.
pub(super) fn ended(
    shard: &mut Shard,
    list: &List,
    watcher: &Aor,
    key: DialogKey,
    effects: &mut Effects,
) {
    for user in list.users() {
        let (user, watcher) = (user.clone(), watcher.clone());
        on_state::unwatch(shard, list.package(), user, watcher, key, effects);
    }
}

/// What one NOTIFY says: its Content-Type, and the body.
pub(super) fn body(shard: &mut Shard, key: DialogKey) -> Option<(String, Vec<u8>)> {
    let Association {
        dialog,
        usage: Usage::Subscription(subscription),
        ..
    } = shard.dialogs.get_mut(key)?
    else {
        return None;
    };
    let Subject::List(list) = &mut subscription.subject else {
        return None;
    };
    let (version, whole) = list.next();
    let contacts = list.is_stored().then(|| {
        let user = shard.by_aor.get(&subscription.watcher)?;
        let standing = shard.users.get(*user)?.record.standing.as_deref()?;
        Some(&standing.contacts)
    });
    let contacts = contacts.flatten();
    let tag = dialog.local_tag();
    let unique = format!(".{version}.{tag}@{}", subscription.watcher.host());
    let mut cid = Cid::new(&unique, subscription.is_linphones);
    let mut root = Vec::with_capacity(1024);
    let uri = dialog.local().trim_start_matches('<').trim_end_matches('>');
    let mut writer = rlmi::List::begin(&mut root, uri, version, whole);
    let (mut parts, mut kept_back) = (Vec::new(), Vec::new());
    let (mut bytes, mut name_bytes) = (0, 0);
    for line in list.lines() {
        let (user, at) = match line {
            Line::Stranger(uri) => {
                writer.entry(uri, [], rlmi::Instance::Terminated("noresource"));
                continue;
            }
            Line::Asked(user) | Line::Nobody(user) => (user, None),
            Line::Watched(at, user) => {
                let watch_key = on_state::watch_key(key);
                let shown = shard.watching.shown(Package::Presence, user, watch_key);
                let document = shown.map(|shown| shown.document.clone());
                match document {
                    // The first one always has room, or nothing would ever move.
                    Some(document)
                        if parts.is_empty() || bytes + document.len() <= DOCUMENTS_BYTES_MAX =>
                    {
                        bytes += document.len() + ENTRY_BYTES;
                        parts.push((at, document));
                        (user, Some(at))
                    }
                    Some(_) => {
                        kept_back.push(at);
                        (user, None)
                    }
                    None => (user, None),
                }
            }
        };
        let instance = match (&line, at) {
            (Line::Nobody(_), _) => rlmi::Instance::Terminated("noresource"),
            (_, Some(at)) => rlmi::Instance::Active(cid.of(at)),
            (_, None) if whole => rlmi::Instance::None,
            // In a partial document an entry without news is not named.
            (_, None) => continue,
        };
        let names = contacts.map(|contacts| names(contacts, user));
        let names = names.into_iter().flatten().take_while(|name| {
            name_bytes += name.len();
            name_bytes <= NAMES_BYTES_MAX
        });
        writer.entry(&user.uri(), names, instance);
    }
    writer.end();
    list.told(&kept_back);
    subscription.stale = !kept_back.is_empty();
    let boundary = format!("muster-{version}-{tag}");
    let start = format!("list{unique}");
    let mut out = Vec::with_capacity(root.len() + bytes + 256);
    let mut related = Related::begin(&mut out, &boundary);
    let charset = format!("{};charset=\"UTF-8\"", rlmi::CONTENT_TYPE);
    related.part(&charset, cid.line(&"list"), &root);
    for (at, document) in &parts {
        related.part(pidf::CONTENT_TYPE, cid.line(at), document);
    }
    related.end();
    // COMPAT(linphone, 5.1): it takes the quotes for a part of the boundary, finds no part, and crashes. A token needs none.
    let content_type = format!(
        "multipart/related;type=\"{}\";start=\"<{start}>\";boundary={boundary}",
        rlmi::CONTENT_TYPE
    );
    Some((content_type, out))
}

/// Names the parts of one body: `3.7.TAG@HOST`.
struct Cid<'u> {
    unique: &'u str,
    before: &'static str,
    after: &'static str,
    line: String,
}

impl<'u> Cid<'u> {
    fn new(unique: &'u str, is_linphones: bool) -> Cid<'u> {
        // COMPAT(linphone, 5.1): it finds a part by a header of exactly this name, and a value without brackets.
        let (before, after) = match is_linphones {
            true => ("Content-Id: ", ""),
            false => ("Content-ID: <", ">"),
        };
        let line = String::with_capacity(before.len() + unique.len() + 12);
        Cid {
            unique,
            before,
            after,
            line,
        }
    }

    /// The part's header.
    fn line(&mut self, part: &dyn Display) -> &str {
        self.line.clear();
        self.line.push_str(self.before);
        // Writing to a String cannot fail.
        let _ = write!(self.line, "{part}");
        self.line.push_str(self.unique);
        self.line.push_str(self.after);
        &self.line
    }

    /// By what the root names an entry's part.
    fn of(&mut self, at: usize) -> &str {
        let (before, after) = (self.before.len(), self.after.len());
        let line = self.line(&at);
        line.get(before..line.len() - after).unwrap_or_default()
    }
}

/// What the subscriber calls a contact, and the groups that it is in.
fn names<'c>(contacts: &'c Contacts, user: &Aor) -> impl Iterator<Item = &'c str> {
    let contact = contacts.get(user);
    let bits = contact.map_or(0, |contact| contact.groups);
    let groups = contacts
        .groups()
        .filter(move |(bit, _)| bits >> bit & 1 == 1)
        .map(|(_, name)| name);
    contact
        .map(|contact| contact.name)
        .into_iter()
        .filter(|name| !name.is_empty())
        .chain(groups)
}
