//! A user's calls as the lamps of desk phones show them (RFC 4235): who sees how much.
//!
//! | level | sees |
//! | --- | --- |
//! | own | each call: where it stands, who began it, with whom, and its ids, which are enough to take it over (RFC 3891) |
//! | friends and family, workgroup | each call: where it stands, who began it, with whom |
//! | colleagues | whether the user talks |
//! | external, blocked | what they see of somebody who is in no call |
//!
//! Nothing is kept for it: the calls' clients are here anyway, with their user. What changes in one turn is told once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::documents::dialog_info::{self, Call, Direction, Identity, Ids, State};
use crate::immcu::SessionId;
use crate::presence::{Level, Package, Phone};
use crate::shard::effect::Effects;
use crate::shard::usage::{End, Stage};
use crate::shard::{Shard, UserKey, on_publish, on_watch};
use crate::sip::header::NameAddr;
use crate::sip::uri::Aor;

/// Calls of one user in one document, those that go furthest; further ones are made all the same, they only light no lamp.
const LINES_MAX: usize = 32;

/// A call of a user, as one of their clients has it.
struct Line {
    /// Unique among the user's calls: one who calls themself has two lines.
    id: String,
    state: State,
    direction: Direction,
    call_id: Box<str>,
    /// Where there is exactly one dialog.
    tags: Option<(Box<str>, Box<str>)>,
    other: String,
    display: String,
}

impl Line {
    fn state(end: &End) -> Option<State> {
        match end.stage {
            Stage::Cancelled | Stage::Referred => None,
            Stage::Talking(_) => Some(State::Confirmed),
            Stage::Accepted => Some(State::Early),
            Stage::Ringing if end.threads.iter().next().is_some() => Some(State::Early),
            Stage::Ringing => Some(State::Trying),
        }
    }

    fn of(end: &End, state: State) -> Option<Line> {
        let mut threads = end.threads.iter();
        let (first, more) = (threads.next(), threads.next().is_some());
        let began_it = end.number == 0;
        // Dialogs are kept as the other side has them, so what is local there is remote here.
        let template = end.threads.template();
        let other = NameAddr::parse(template.local()).ok()?;
        let aor = other.uri().ok()?.aor()?;
        Some(Line {
            id: format!("{}{}", end.call, if began_it { "-out" } else { "-in" }),
            state,
            direction: if began_it {
                Direction::Initiator
            } else {
                Direction::Recipient
            },
            call_id: template.call_id().into(),
            tags: first.filter(|_| !more).map(|thread| {
                let dialog = &thread.dialog;
                (dialog.remote_tag().into(), dialog.local_tag().into())
            }),
            other: aor.uri(),
            display: other.display_name().into_owned(),
        })
    }
}

/// The clients' parts in calls of a user.
fn ends<'s>(shard: &'s Shard, user: &'s Aor) -> impl Iterator<Item = &'s End> {
    let endpoints = shard
        .user(user)
        .map(|user| user.bindings.endpoints(shard.now));
    endpoints
        .into_iter()
        .flatten()
        .flat_map(|endpoint| shard.ends_on(endpoint.connection))
        .filter_map(|key| shard.ends.get(key))
        .filter(move |end| end.user == *user)
}

/// The calls of a user, by their ids: where several of their endpoints ring for one call it is one line. Those that go furthest come
/// first, so none is made that would not be shown, however many there are.
fn lines(shard: &Shard, user: &Aor) -> Vec<Line> {
    let mut lines: BTreeMap<(SessionId, bool), Line> = BTreeMap::new();
    for state in [State::Confirmed, State::Early, State::Trying] {
        for end in ends(shard, user) {
            if lines.len() >= LINES_MAX {
                break;
            }
            if Line::state(end) == Some(state)
                && let Entry::Vacant(place) = lines.entry((end.call, end.number == 0))
                && let Some(line) = Line::of(end, state)
            {
                place.insert(line);
            }
        }
    }
    let mut lines: Vec<Line> = lines.into_values().collect();
    lines.sort_by(|one, other| one.id.cmp(&other.id));
    lines
}

/// The document that the watchers of `level` see.
pub(super) fn render(shard: &Shard, key: UserKey, level: Level) -> Option<Arc<[u8]>> {
    let user = &shard.users.get(key)?.record.aor;
    let mut document = Vec::with_capacity(512);
    if level == Level::Colleagues {
        // One lamp, however many calls; what only rings keeps nobody from calling.
        let talks = ends(shard, user).any(|end| Line::state(end) == Some(State::Confirmed));
        let busy = talks.then_some(Call {
            id: "busy",
            state: State::Confirmed,
            direction: None,
            ids: None,
            remote: None,
        });
        dialog_info::write(&mut document, &user.uri(), busy);
    } else {
        let lines = match level {
            Level::Blocked | Level::External => Vec::new(),
            _ => lines(shard, user),
        };
        let own = level == Level::Own;
        let calls = lines.iter().map(|line| call(line, own));
        dialog_info::write(&mut document, &user.uri(), calls);
    }
    Some(document.into())
}

fn call(line: &Line, own: bool) -> Call<'_> {
    let (local_tag, remote_tag) = match &line.tags {
        Some((local, remote)) => (&**local, &**remote),
        None => ("", ""),
    };
    Call {
        id: &line.id,
        state: line.state,
        direction: Some(line.direction),
        ids: own.then_some(Ids {
            call_id: &line.call_id,
            local_tag,
            remote_tag,
        }),
        remote: Some(Identity {
            uri: &line.other,
            display: &line.display,
        }),
    }
}

impl Shard {
    /// A client's part in a call is another one now: its user's lamps are told at the end of the turn.
    pub(super) fn line_changed(&mut self, user: &Aor) {
        if !self.lamps.contains(user) {
            self.lamps.push(user.clone());
        }
    }
}

/// A user's part in calls, as their state has it: what only rings is none.
fn phone(shard: &Shard, user: &Aor) -> Phone {
    let endpoints = shard
        .user(user)
        .map(|user| user.bindings.endpoints(shard.now));
    let mut phone = Phone::OnHook;
    for endpoint in endpoints.into_iter().flatten() {
        for key in shard.ends_on(endpoint.connection) {
            match shard.ends.get(key).map(|end| end.stage) {
                Some(Stage::Talking(true)) => return Phone::InAConference,
                Some(Stage::Talking(false)) => phone = Phone::InACall,
                _ => {}
            }
        }
    }
    phone
}

/// The end of a turn: whoever's calls have changed. Their presence learns whether they talk, and each level is told only what it sees a difference of.
pub(super) fn tell(shard: &mut Shard, effects: &mut Effects) {
    for user in core::mem::take(&mut shard.lamps) {
        if let Some(key) = shard.by_aor.get(&user).copied() {
            let phone = phone(shard, &user);
            on_publish::phone(shard, &user, phone, effects);
            on_watch::tell(shard, Package::Dialog, key, None, effects);
        }
    }
}
