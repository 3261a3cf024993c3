//! What of a user can be watched: the event packages that share one mechanism (RFC 6665 §7.2).

use crate::documents::{dialog_info, message_summary, pidf, winfo};

/// An event package whose subject is a user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Package {
    /// How the user is (RFC 3856).
    Presence,
    /// Who watches the user's presence (RFC 3857).
    Watchers,
    /// Which calls the user is in (RFC 4235).
    Dialog,
    /// How many voice messages wait for the user (RFC 3842).
    MessageSummary,
    /// How the user is, in Lync's categories ([MS-PRES]): another document of what `Presence` tells, for another client.
    Categories,
}

impl Package {
    /// All of them, in their own order.
    pub const ALL: [Package; 5] = [
        Package::Presence,
        Package::Watchers,
        Package::Dialog,
        Package::MessageSummary,
        Package::Categories,
    ];
    /// Those that tell how the user is, each in its dialect.
    pub const STATES: [Package; 2] = [Package::Presence, Package::Categories];

    /// The one that the Event header names, or none of these: of two of one name the standard's.
    pub fn of_event(name: &str) -> Option<Package> {
        Package::ALL
            .into_iter()
            .find(|package| package.event() == name)
    }

    /// Its name in the Event header.
    pub fn event(self) -> &'static str {
        match self {
            Package::Presence | Package::Categories => "presence",
            Package::Watchers => "presence.winfo",
            Package::Dialog => "dialog",
            Package::MessageSummary => "message-summary",
        }
    }

    /// The type of its documents.
    pub fn content_type(self) -> &'static str {
        match self {
            Package::Presence => pidf::CONTENT_TYPE,
            Package::Watchers => winfo::CONTENT_TYPE,
            Package::Dialog => dialog_info::CONTENT_TYPE,
            Package::MessageSummary => message_summary::CONTENT_TYPE,
            Package::Categories => "application/msrtc-event-categories+xml",
        }
    }
}
