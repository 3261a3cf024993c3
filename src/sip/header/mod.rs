//! Typed header values, read in place.

mod address;
mod auth;
mod event;
mod list;
mod media;
mod name;
mod params;
mod session;
mod via;

pub use address::{Contacts, NameAddr};
pub use auth::AuthParams;
pub use event::{Event, SubscriptionState};
pub use list::{has_token, split_values, tokens};
pub use media::{MediaType, accept_quality};
pub use name::Name;
pub use params::{Params, Quoted};
pub use session::{CSeq, DialogRef, Reason, SessionExpires, number};
pub use via::Via;

/// A header field's value that does not follow its grammar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadValue;
