//! What is known of a user's reachability, and who is told.
//!
//! On the owner's shard: a `Presentity` holds its publications, folds them (`aggregation`) into one `State`, and knows
//! how many watch on which shard at which level (`audience`). On a watcher's shard: `Watching` holds the newest document
//! of each level at which somebody is watched, and the subscriptions that want it. Both sides are pure; letters between
//! them are the scripts' business.
//! Who they are by name (`watchers`) the owner knows only while the user asks.
//! The words for how somebody is, and what they are on the wire: `words`. What of a state a level sees: `view`.
//! What the Lync dialect publishes, with versions and containers: `categories`.
//! What lasts of a user: `contacts`, `access` (who is at which `level`), `choice`, `card`, `waiting`, `subscribers`.

mod access;
mod aggregation;
mod audience;
mod card;
mod categories;
mod choice;
mod contact_edit;
mod contacts;
mod content;
mod fanout;
mod level;
mod line;
mod list;
mod package;
mod presentity;
mod publication;
mod state;
mod subscribers;
mod view;
mod waiting;
mod watchers;
mod watching;
mod words;

pub use access::{Access, AccessError, MEMBERS_MAX, Member};
pub use aggregation::{Known, Said, aggregate};
pub use audience::{Audience, Shown};
pub use card::{Card, CardError, CardLine};
pub use categories::{
    Categories, Conflict, DOCUMENT_BYTES_MAX, DOCUMENTS_BYTES_MAX, Edit, Edits, Held,
    INSTANCES_MAX, Instance, Key, Life, Meaning, NAME_BYTES_MAX, NotPublished, PublishItem, Put,
};
pub use choice::{
    CUSTOM_CHARS_MAX, Choice, ChoiceError, Manual, NOTE_CHARS_MAX, NoteKind, is_note,
};
pub use contact_edit::{ContactEdit, Item};
pub use contacts::{CONTACTS_MAX, Contact, ContactError, Contacts, GROUPS_MAX, NAME_CHARS_MAX};
pub use content::{Chosen, Content, LOCATION_CHARS_MAX, Machine, Rare, SUBJECT_CHARS_MAX, Span};
pub use fanout::{Fanout, Fanouts};
pub use level::Level;
pub use line::is_line;
pub use list::{Line, List, Replaced};
pub use package::Package;
pub use presentity::{Presentity, Published};
pub use publication::{EndpointKey, EntityTag, Limits, Publication, Publish, Refusal, Text};
pub use state::{More, State};
pub use subscribers::{SUBSCRIBERS_MAX, Subscriber, Subscribers};
pub use view::{Part, Seen, contacts, seen, sees, tel, view};
pub use waiting::Waiting;
pub use watchers::Watchers;
pub use watching::{Placed, SubscriptionKey, Watching};
pub use words::{Availability, MachineState, Phone, Source, Written};
