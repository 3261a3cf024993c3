//! Time passes; and the end of it.

use crate::shard::effect::Effects;
use crate::shard::usage::Usage;
use crate::shard::{
    Look, Shard, lync, on_answer, on_call, on_call_end, on_connection, on_deliver, on_leg,
    on_message, on_register, on_ring, on_session,
};
use crate::shard::{on_alert, on_focus, on_subscribe, on_winfo};

pub(super) fn on_tick(shard: &mut Shard, effects: &mut Effects) {
    let mut looks = core::mem::take(&mut shard.looks);
    shard.wheel.due(shard.now, &mut looks);
    for look in looks.drain(..) {
        match look {
            Look::Alerts(key) => on_alert::look(shard, key, effects),
            Look::User(key) => on_register::look(shard, key, effects),
            Look::Delivery(key) => on_deliver::look(shard, key, effects),
            Look::Client(key) => on_answer::look(shard, key, effects),
            Look::Ringing(key) => on_ring::look(shard, key, effects),
            Look::Call(call) => on_call::look(shard, call, effects),
            Look::End(key) => on_call_end::look(shard, key),
            Look::Session(session) => on_focus::look(shard, session, effects),
            Look::Connection(connection) => on_connection::look(shard, connection, effects),
            Look::Dialog(key) => match shard.dialogs.get(key).map(|association| &association.usage)
            {
                Some(Usage::Leg(_)) => on_leg::look(shard, key, effects),
                Some(Usage::Focus(_)) => {}
                Some(Usage::Subscription(_)) => on_subscribe::look(shard, key, effects),
                None => {}
            },
        }
    }
    shard.looks = looks;
    on_winfo::tell(shard, effects);
    on_message::end_pagers(shard, false, effects);
    lync::farewell::go_on(shard, effects);
    shard.give_back();
}

/// The server stops: no new work; sessions end, and their records are complete before it does.
pub(super) fn on_stop(shard: &mut Shard, effects: &mut Effects) {
    shard.stopping = true;
    on_message::end_pagers(shard, true, effects);
    let mut sessions: Vec<_> = shard.sessions.keys().copied().collect();
    sessions.sort_unstable();
    for session in sessions {
        on_session::finish(shard, session, "server stopped", effects);
    }
    let mut paging: Vec<_> = shard.paging.values().copied().collect();
    paging.sort_unstable();
    for leg in paging {
        on_leg::say_bye(shard, leg, effects);
    }
    on_call::stop(shard, effects);
    lync::farewell::begin(shard, effects);
}
