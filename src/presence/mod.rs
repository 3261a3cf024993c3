//! What is known of a user's reachability, and who is told.
//!
//! On the owner's shard: a `Presentity` holds its publications, folds them (`aggregation`) into one `State`, and knows
//! which shards watch (`audience`). On a watcher's shard: `Watching` holds the newest document of each watched
//! presentity and the subscriptions that want it. Both sides are pure; letters between them are the scripts' business.
//! Not here yet: relationships and access levels, machine, calendar and phone states, contact lists (issue 3).

mod aggregation;
mod audience;
mod presentity;
mod publication;
mod state;
mod watching;

pub use aggregation::{Said, aggregate};
pub use audience::Audience;
pub use presentity::{Presentity, Published};
pub use publication::{Content, EndpointKey, EntityTag, Limits, Publication, Publish, Refusal};
pub use state::{Availability, State};
pub use watching::{Shown, SubscriptionKey, Unwatched, Watched, Watching};
