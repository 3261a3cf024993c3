//! What only Lync's dialect asks of a shard: a script for each of its intents, which lead to the same core as all others.

pub(super) mod directory;
pub(super) mod edits;
pub(super) mod on_contacts;
pub(super) mod on_register;
pub(super) mod on_search;
pub(super) mod on_service;
pub(super) mod on_soap;
pub(super) mod on_typing;
