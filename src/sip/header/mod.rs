//! Typed header values, read in place.
//!
//! Each type has a `parse` over one value's text and borrows from it; none allocates, and none looks at anything but its
//! text. They are given values after unfolding, so the only white space is space and tab. Which header may be how often in a
//! message is `message`'s business.

mod address;
mod auth;
mod event;
mod list;
mod media;
mod name;
mod params;
mod session;
mod via;

pub use address::{CONTACTS_MAX, Contacts, NameAddr};
pub use auth::{AUTH_PARAMS_MAX, AuthParams};
pub use event::{Event, SubscriptionState};
pub use list::{has_token, split_values, tokens};
pub use media::{MediaType, accept_quality};
pub use name::Name;
pub use params::{Params, Quoted};
pub(crate) use session::is_call_id;
pub use session::{CSeq, DialogRef, Reason, SessionExpires, number};
pub use via::Via;

/// A header field's value that does not follow its grammar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadValue;
