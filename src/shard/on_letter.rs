//! What other shards tell: each letter to the script that knows it. A letter may come too late for what it is about;
//! then the script finds nothing, and does nothing.

use crate::shard::Shard;
use crate::shard::effect::{Effect, Effects};
use crate::shard::letter::Letter;
use crate::shard::{
    on_leg, on_message, on_publish, on_refer, on_ring, on_roster, on_session, on_subscribe,
};

pub(super) fn on_letter(shard: &mut Shard, letter: Letter, effects: &mut Effects) {
    match letter {
        Letter::Answer {
            ticket,
            outcome,
            latency,
        } => {
            let key = Shard::ticket_key(ticket);
            let received = shard
                .servers
                .get(key)
                .map(|transaction| transaction.received);
            shard.settle(key, &outcome, effects);
            if let (Some(latency), Some(since)) = (latency, received) {
                effects.list.push(Effect::Observe { latency, since });
            }
        }

        Letter::Watch {
            presentity,
            shard: watching,
        } => on_publish::watch(shard, presentity, watching, effects),
        Letter::Unwatch {
            presentity,
            shard: watching,
        } => on_publish::unwatch(shard, &presentity, watching),
        Letter::State {
            presentity,
            version,
            document,
            published,
        } => {
            on_subscribe::state(shard, &presentity, version, document, published, effects);
        }

        Letter::Page {
            ticket,
            from,
            to,
            content,
        } => on_message::page(shard, ticket, from, to, content, effects),
        Letter::Deliver {
            ticket,
            from,
            to,
            content,
        } => on_message::deliver(shard, ticket, from, to, content, effects),
        Letter::Paged {
            ticket,
            from,
            to,
            counts,
            outcome,
        } => {
            on_message::paged(shard, ticket, &from, &to, counts, outcome, effects);
        }

        Letter::Ring {
            session,
            invitation,
            from,
            to,
            focus,
        } => {
            on_ring::ring(shard, session, invitation, from, to, focus, effects);
        }
        Letter::StopRinging {
            session,
            invitation,
            to: _,
        } => on_ring::stop(shard, session, invitation, effects),
        Letter::RingingNow {
            session,
            invitation,
        } => on_session::ringing(shard, session, invitation, effects),
        Letter::Accepted {
            session,
            invitation,
            leg,
            user,
            endpoint,
        } => {
            on_session::accepted(shard, session, invitation, leg, user, endpoint, effects);
        }
        Letter::Declined {
            session,
            invitation,
            outcome,
        } => {
            on_session::declined(shard, session, invitation, outcome, effects);
        }

        Letter::Join {
            session,
            leg,
            user,
            endpoint,
        } => on_session::join(shard, session, leg, user, endpoint, effects),
        Letter::Progress { leg } => on_leg::progress(shard, leg, effects),
        Letter::Welcome { leg, focus } => on_leg::welcome(shard, leg, focus, effects),
        Letter::Refuse { leg, outcome } => on_leg::refuse(shard, leg, &outcome, effects),
        Letter::Say {
            session,
            leg,
            ticket,
            since,
            from,
            content,
        } => {
            on_session::say(shard, session, leg, ticket, since, from, content, effects);
        }
        Letter::Convey {
            session,
            legs,
            from,
            speaker,
            ticket,
            since,
            content,
        } => {
            on_leg::convey(
                shard, session, &legs, &from, speaker, ticket, since, &content, effects,
            );
        }
        Letter::Conveyed {
            session,
            leg,
            speaker,
            ticket,
            counts,
            outcome,
        } => {
            on_session::conveyed(
                shard, session, leg, speaker, ticket, counts, outcome, effects,
            );
        }
        Letter::Leave {
            session,
            leg,
            reason,
        } => on_session::leave(shard, session, leg, reason, effects),
        Letter::End { leg } => on_leg::end(shard, on_leg::key_of(leg), effects),
        Letter::Promote { leg } => on_leg::promote(shard, leg, effects),

        Letter::Refer {
            session,
            by,
            ticket,
            watcher,
            user,
            remove,
        } => {
            on_session::refer(shard, session, &by, ticket, watcher, &user, remove, effects);
        }
        Letter::Referred { watcher, outcome } => {
            on_refer::referred(shard, watcher, outcome, effects)
        }

        Letter::ReferRefused { watcher } => {
            on_subscribe::forget(shard, on_leg::key_of(watcher), effects)
        }

        Letter::WatchRoster {
            session,
            user,
            subscription,
        } => {
            on_roster::watch(shard, session, &user, subscription, effects);
        }
        Letter::UnwatchRoster {
            session,
            shard: watching,
        } => on_roster::unwatch(shard, session, watching),
        Letter::RosterRefused {
            session,
            subscription,
            outcome,
        } => {
            on_subscribe::roster_refused(
                shard,
                session,
                on_leg::key_of(subscription),
                &outcome,
                effects,
            );
        }
        Letter::Roster {
            session,
            version,
            full,
            partial,
            subscription,
        } => {
            on_subscribe::roster(
                shard,
                session,
                version,
                full,
                partial,
                subscription,
                effects,
            );
        }
        Letter::RosterLost { session, user } => {
            on_subscribe::roster_lost(shard, session, &user, effects)
        }
        Letter::RosterEnded { session } => on_subscribe::roster_ended(shard, session, effects),
    }
}
