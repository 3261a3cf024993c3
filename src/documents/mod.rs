//! What messages carry: one file a format, each a reader into plain types and a writer into a lent buffer.
//!
//! Always holds: reading is bounded (`xml` has the limits for all XML), never expands an entity, and answers bad
//! input with a small `Copy` enum that knows its status code. Unknown extensions are skipped, as the formats ask.
//! Not here: who may see a document, and what a document does to anybody's state.

pub mod conference_info;
pub mod cpim;
pub mod dialog_info;
pub mod imdn;
pub mod iscomposing;
pub mod keyboard_activity;
pub mod message_summary;
pub mod multipart;
pub mod pidf;
pub mod place;
pub mod resource_lists;
pub mod rlmi;
pub mod rpid;
#[cfg(test)]
mod schema;
pub mod sdp;
pub mod sipfrag;
pub mod timestamp;
pub mod winfo;
pub mod xml;
