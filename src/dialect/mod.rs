//! Intents and facts of the core, and each kind of client's own way to say them. An endpoint's dialect is fixed when
//! it registers; so far there is one, standard SIP/SIMPLE.

pub mod conference;
pub mod simple;
