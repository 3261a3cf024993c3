//! What other shards tell: each letter to the script that knows it.

use crate::immcu::content::Priority;
use crate::presence::SubscriptionKey;
use crate::shard::Shard;
use crate::shard::effect::{Effect, Effects};
use crate::shard::letter::{Invited, Letter};
use crate::shard::{
    lync, on_call, on_call_ask, on_call_end, on_call_pass, on_command, on_convey, on_deliver,
    on_fanout, on_focus, on_leg, on_message, on_refer, on_reinvite, on_ring, on_roster,
    on_roster_news, on_session, on_state, on_subscribe, on_watch, on_winfo, own_copy,
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
            own_copy::settled(shard, key, &outcome, effects);
            shard.settle_as_asked(key, &outcome, effects);
            if let (Some(latency), Some(since)) = (latency, received) {
                effects.list.push(Effect::Observe { latency, since });
            }
        }

        Letter::Watch {
            package,
            user,
            asked,
        } => on_watch::watch(shard, package, user, asked, effects),
        Letter::Unwatch {
            package,
            user,
            watcher,
            level,
            shard: watching,
        } => on_watch::unwatch(shard, package, &user, &watcher, level, watching),
        Letter::State {
            package,
            user,
            level,
            shown,
            published,
            answers,
        } => {
            on_state::state(
                shard, package, &user, level, &shown, published, answers, effects,
            );
        }
        Letter::WatchRefused {
            package: _,
            user,
            asked,
            outcome,
        } => {
            let key = SubscriptionKey(asked.subscription.key);
            on_state::refused(shard, &user, key, &outcome, effects);
        }
        Letter::Relevel { package, user } => on_state::relevel(shard, package, &user, effects),
        Letter::Gone { package, user } => on_state::gone(shard, package, &user, effects),

        Letter::Added { user, by } => lync::on_added::added(shard, &user, &by, effects),
        Letter::WhoWatches { user, question } => {
            on_winfo::who_watches(shard, user, question, effects);
        }
        Letter::WatchedBy {
            user,
            question,
            shard: from,
            watchers,
        } => on_winfo::watched_by(shard, &user, question, from, &watchers, effects),

        Letter::Page { page, refuse_new_s } => {
            on_message::page(shard, page, refuse_new_s, effects);
        }
        Letter::Deliver(page) => on_deliver::deliver(shard, page, effects),
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
            organiser,
            subject,
            thread,
        } => {
            on_ring::ring(
                shard, session, invitation, from, to, focus, organiser, subject, thread, effects,
            );
        }
        Letter::StopRinging {
            session,
            invitation,
            to: _,
            why,
        } => on_ring::stop(shard, session, invitation, why, effects),
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
        Letter::Coming {
            session,
            invitation,
        } => on_focus::coming(shard, session, invitation, effects),
        Letter::Declined {
            session,
            invitation,
            outcome,
            pages,
        } => {
            on_session::declined(shard, session, invitation, outcome, pages, effects);
        }

        Letter::Join {
            session,
            leg,
            user,
            endpoint,
        } => on_session::join(shard, session, leg, user, endpoint, effects),
        Letter::Progress { leg } => on_leg::progress(shard, leg, effects),
        Letter::Welcome { leg, focus } => on_leg::welcome(shard, leg, focus, effects),
        Letter::Pages { leg, with } => on_leg::pages(shard, leg, with, effects),
        Letter::Refuse { leg, outcome } => on_leg::refuse(shard, leg, &outcome, effects),
        Letter::Say {
            session,
            leg,
            ticket,
            number,
            since,
            from,
            content,
        } => {
            on_session::say(
                shard, session, leg, ticket, number, since, from, content, effects,
            );
        }
        Letter::Convey {
            session,
            legs,
            doubled,
            from,
            speaker,
            awaited,
            since,
            content,
        } => {
            on_convey::convey(
                shard, session, &legs, doubled, &from, speaker, awaited, since, &content, effects,
            );
        }
        Letter::Conveyed {
            session,
            leg,
            speaker,
            awaited,
            counts,
            outcome,
        } => {
            on_session::conveyed(
                shard, session, leg, speaker, awaited, counts, outcome, effects,
            );
        }
        Letter::Leave {
            session,
            leg,
            reason,
        } => on_session::leave(shard, session, leg, reason, effects),
        Letter::End { leg, parting } => on_leg::end(shard, on_leg::key_of(leg), parting, effects),
        Letter::Promote { leg, organiser } => on_reinvite::promote(shard, leg, &organiser, effects),
        Letter::Undelivered {
            session,
            speaker,
            from,
            missed,
            outcome,
        } => on_convey::undelivered(shard, session, speaker, &from, &missed, &outcome, effects),

        Letter::Attend {
            session,
            uri,
            leg,
            user,
            endpoint,
        } => on_focus::attend(shard, session, &uri, leg, user, endpoint, effects),
        Letter::Attended { leg, role } => {
            lync::on_focus::attended(shard, on_leg::key_of(leg), role, effects);
        }
        Letter::Invite {
            session,
            by,
            ticket,
            to,
        } => on_focus::invite(shard, session, &by, ticket, to, effects),
        Letter::Uninvite { session, ticket } => {
            on_focus::uninvite(shard, session, ticket, effects);
        }

        Letter::Refer {
            session,
            by,
            ticket,
            watcher,
            user,
            gruu,
            remove,
        } => {
            let user = Invited {
                user,
                gruu,
                priority: Priority::Ordinary,
            };
            on_command::refer(shard, session, &by, ticket, watcher, &user, remove, effects);
        }
        Letter::Command {
            session,
            leg,
            ticket,
            commands,
        } => on_command::command(shard, session, leg, ticket, &commands, effects),
        Letter::Referred { watcher, outcome } => {
            on_refer::referred(shard, watcher, outcome, effects)
        }

        Letter::ReferRefused { watcher } => {
            on_subscribe::forget(shard, on_leg::key_of(watcher), effects)
        }

        Letter::CallAsk {
            call,
            target,
            to,
            from,
            except,
            invite,
        } => on_call_ask::ask(shard, call, target, &to, &from, except, &invite, effects),
        Letter::CallFound {
            call,
            target,
            found,
        } => on_call::found(shard, call, target, *found, effects),
        Letter::CallRing {
            call,
            end,
            user,
            from,
            place,
            history,
            invite,
        } => {
            let ring = on_call_end::Ring {
                call,
                end,
                user,
                from,
                place,
                history,
            };
            on_call_end::ring(shard, ring, &invite, effects);
        }
        Letter::CallHeard {
            call,
            end,
            shard: from,
            answer,
            endpoint,
        } => on_call::heard(shard, call, end, from, *answer, endpoint, effects),
        Letter::CallTurnedAway { call, end } => on_call::turned_away(shard, call, end, effects),
        Letter::CallCancel {
            call,
            end,
            elsewhere,
        } => on_call_end::cancel(shard, call, end, elsewhere, effects),
        Letter::CallTalk {
            call,
            end,
            tag,
            conference,
        } => on_call_end::talk(shard, call, end, &tag, conference, effects),
        Letter::CallOver { call, end } => on_call_end::over(shard, call, end, effects),
        Letter::CallEnded { call, end, reason } => {
            on_call::ended(shard, call, end, reason, effects);
        }
        Letter::CallSaid { call, participant } => on_call::said(shard, call, participant, effects),
        Letter::CallPass {
            call,
            end,
            ticket,
            passing,
        } => on_call_pass::deliver(shard, call, end, ticket, &passing, effects),
        Letter::CallAnswer { ticket, answer } => {
            on_call_pass::answer(shard, Shard::ticket_key(ticket), &answer, effects);
        }

        Letter::TellOn => on_fanout::go_on(shard, effects),

        Letter::Search {
            ticket,
            searcher,
            question,
        } => lync::on_search::begin(shard, ticket, searcher, question, effects),
        Letter::SearchOn => lync::on_search::go_on(shard, effects),
        Letter::SearchFound {
            ticket,
            rows,
            more,
            busy,
        } => lync::on_search::gathered(shard, ticket, rows, more, busy, effects),

        Letter::WatchRoster {
            session,
            user,
            subscription,
            dialect,
        } => {
            on_roster::watch(shard, session, &user, subscription, dialect, effects);
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
            on_roster_news::refused(
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
            lync,
            subscription,
        } => {
            on_roster_news::roster(
                shard,
                session,
                version,
                full,
                partial,
                lync,
                subscription,
                effects,
            );
        }
        Letter::RosterLost {
            session,
            user,
            dialect,
        } => on_roster_news::lost(shard, session, &user, dialect, effects),
        Letter::RosterEnded { session } => on_roster_news::ended(shard, session, effects),
    }
}
