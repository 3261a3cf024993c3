//! A search of the directory ([MS-SIP] §3.5): every shard goes through its users, and the asker's gathers what they found.
//!
//! Users are many and searches few, so there is no index: a shard looks at a few hundred users at a time, then lets
//! others have their turn, and does one search after the other. A user has one search at a time.

use std::sync::Arc;

use slotmap::{Key as _, KeyData};

use crate::dialect::lync::search::{Entry, Question, Row};
use crate::dialect::lync::soap;
use crate::shard::effect::{Effect, Effects};
use crate::shard::letter::{Letter, Ticket};
use crate::shard::lync::directory::{Scan, Search, SearchKey};
use crate::shard::lync::on_soap::refuse;
use crate::shard::request::Request;
use crate::shard::{Shard, ShardId, UserKey, on_watch};
use crate::sip::uri::Aor;

/// A client asks.
pub(super) fn search(
    shard: &mut Shard,
    request: Request<'_>,
    question: Question,
    effects: &mut Effects,
) {
    let connection = request.connection;
    let Some(searcher) = shard
        .connections
        .get(connection)
        .and_then(|connection| connection.user.clone())
    else {
        return;
    };
    if question.is_hopeless() {
        let body = soap::found(&[], false);
        return shard.answer_with(request, 200, "", effects, |draft| {
            draft.body(soap::CONTENT_TYPE, &body);
        });
    }
    let mut searches = shard.directory.searches.values();
    if searches.any(|search| search.searcher == searcher) {
        return refuse(shard, request, 503, "One Search At A Time", effects);
    }
    let Some(server) = shard.open(request) else {
        return;
    };
    let shards = shard.settings.shards;
    let key = shard.directory.searches.insert(Search {
        server,
        searcher: searcher.clone(),
        results_max: question.results_max,
        waits: usize::from(shards),
        rows: Vec::new(),
        more: false,
        busy: false,
    });
    let ticket = Ticket {
        shard: shard.me,
        key: key.data().as_ffi(),
    };
    let question = Arc::new(question);
    for to in 0..shards {
        let letter = Letter::Search {
            ticket,
            searcher: searcher.clone(),
            question: question.clone(),
        };
        shard.post(ShardId(to), letter, effects);
    }
}

/// Another shard's client, or ours, asks who of our users is meant.
pub(in crate::shard) fn begin(
    shard: &mut Shard,
    ticket: Ticket,
    searcher: Aor,
    question: Arc<Question>,
    effects: &mut Effects,
) {
    let idle = shard.directory.scans.is_empty();
    if !shard.directory.scan(question, searcher, ticket) {
        let letter = Letter::SearchFound {
            ticket,
            rows: Vec::new(),
            more: false,
            busy: true,
        };
        return shard.post(ticket.shard, letter, effects);
    }
    if idle {
        go_on(shard, effects);
    }
}

/// The next few users, and then somebody else's turn: the letter waits behind what is there already.
pub(in crate::shard) fn go_on(shard: &mut Shard, effects: &mut Effects) {
    let Some(mut scan) = shard.directory.scans.pop_front() else {
        return;
    };
    let slice: Vec<UserKey> = shard.directory.next(&mut scan).to_vec();
    // One more than is wanted tells that there are more.
    let enough = scan.question.results_max + 1;
    let end = slice.is_empty();
    for key in slice {
        if scan.rows.len() < enough
            && let Some(row) = found(shard, &scan, key)
        {
            scan.rows.push(row);
        }
    }
    let more = scan.rows.len() >= enough;
    if end || more {
        let letter = Letter::SearchFound {
            ticket: scan.ticket,
            rows: scan.rows,
            more,
            busy: false,
        };
        shard.post(scan.ticket.shard, letter, effects);
    } else {
        shard.directory.scans.push_front(scan);
    }
    if !shard.directory.scans.is_empty() {
        // Not through `post`, which would go on at once.
        let (to, letter) = (shard.me, Letter::SearchOn);
        effects.list.push(Effect::Post { to, letter });
    }
}

fn found(shard: &Shard, scan: &Scan, key: UserKey) -> Option<Row> {
    let record = &shard.users.get(key)?.record;
    let standing = record.standing.as_ref();
    let entry = Entry {
        user: &record.aor,
        name: &record.display_name,
        card: standing.map(|standing| &standing.card),
    };
    scan.question
        .finds(entry, || on_watch::level_of(shard, key, &scan.searcher))
}

/// A shard has found so many.
pub(in crate::shard) fn gathered(
    shard: &mut Shard,
    ticket: Ticket,
    rows: Vec<Row>,
    more: bool,
    busy: bool,
    effects: &mut Effects,
) {
    let key: SearchKey = KeyData::from_ffi(ticket.key).into();
    let Some(search) = shard.directory.searches.get_mut(key) else {
        return;
    };
    search.gather(rows, more);
    search.busy |= busy;
    if search.waits > 0 {
        return;
    }
    let Some(search) = shard.directory.searches.remove(key) else {
        return;
    };
    let (server, busy) = (search.server, search.busy);
    let (status, reason, body) = if busy {
        let reason = "Too Many Search The Directory";
        (503, reason, soap::fault(false, reason, None))
    } else {
        let (rows, more) = search.finish();
        (200, "", soap::found(&rows, more))
    };
    shard.settle_with(server, status, reason, None, effects, |draft| {
        draft.body(soap::CONTENT_TYPE, &body);
    });
}
