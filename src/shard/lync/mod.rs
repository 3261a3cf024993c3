//! What only Lync's dialect asks of a shard: a script for each of its intents, which lead to the same core as all others.

pub(super) mod directory;
pub(super) mod edits;
pub(super) mod farewell;
pub(super) mod on_added;
pub(super) mod on_batch;
pub(super) mod on_conference;
pub(super) mod on_contacts;
pub(super) mod on_focus;
pub(super) mod on_own;
pub(super) mod on_pending;
pub(super) mod on_publish;
pub(super) mod on_register;
pub(super) mod on_relations;
pub(super) mod on_search;
pub(super) mod on_service;
pub(super) mod on_soap;
pub(super) mod on_summons;
pub(super) mod on_typing;
pub(super) mod on_undelivered;
pub(super) mod roster;
