//! Lync's dialect: the extensions that its clients name, and how its notifications travel ([MS-SIP], [MS-PRES]).

pub mod batch;
pub mod categories;
pub mod cccp;
pub mod conf_invite;
pub mod conference_roster;
pub mod conference_uri;
pub mod contact_list;
pub mod containers;
pub mod imdn;
pub mod message;
pub mod own;
pub mod pending;
pub mod provisioning;
pub mod publish;
pub mod published;
pub mod registration;
pub mod search;
pub mod soap;
pub mod subscribers;

use crate::sip::header::{Name, has_token};
use crate::sip::message::Message;

/// The extensions that only a Lync endpoint may require of us.
pub const EXTENSIONS: [&str; 5] = [
    "adhoclist",
    "categoryList",
    "ms-benotify",
    "ms-piggyback-first-notify",
    "ms-sender",
];

/// What the answer to a subscription says of how it is told.
pub const SUPPORTED: &str = "ms-benotify, ms-piggyback-first-notify";

/// How a subscriber wants to be told ([MS-SIP] §3.3, §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Telling {
    /// By BENOTIFY, which nobody answers: TCP delivers it, or the connection is gone.
    pub benotify: bool,
    /// The first state in the answer to SUBSCRIBE.
    pub piggyback: bool,
}

impl Telling {
    /// What a SUBSCRIBE asks for.
    pub fn of(message: &Message<'_>) -> Telling {
        let knows = |token| has_token(message.headers(Name::Supported), token);
        Telling {
            benotify: knows("ms-benotify"),
            piggyback: knows("ms-piggyback-first-notify"),
        }
    }
}

/// How long a subscription lasts that names no end, in seconds: as long as a working day. It ends with its connection.
pub const SUBSCRIPTION_S: u32 = 28_800;

/// How long a subscription to a roster lasts that names no end, in seconds: nobody refreshes it, and it ends with the
/// subscriber's part in the conference.
pub const ROSTER_S: u32 = 31_536_000;

/// For how long a subscription is granted, in seconds: what is asked for, and no more than `SUBSCRIPTION_S`.
pub fn subscription_s(asked: Option<u32>) -> u32 {
    asked.map_or(SUBSCRIPTION_S, |asked| asked.min(SUBSCRIPTION_S))
}

/// What a Lync client subscribes to of its own user ([MS-SIP] §3.1, [MS-PRES] §3.5, [MS-SIPREGE] §3.4): it roams with the
/// user from device to device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roaming {
    /// What is published, containers, subscribers.
    Own(own::Wanted),
    /// The contact list; told whole first, then by what changes.
    Contacts,
    /// Who has added the user and waits to be answered.
    Pending,
    /// What this server offers; told once.
    Provisioning,
}

impl Roaming {
    /// Every one.
    pub const ALL: [Roaming; 4] = [
        Roaming::Own(own::Wanted::ALL),
        Roaming::Contacts,
        Roaming::Pending,
        Roaming::Provisioning,
    ];

    /// The one that the Event header names, or none of these.
    pub fn of_event(name: &str) -> Option<Roaming> {
        Roaming::ALL
            .into_iter()
            .find(|roaming| roaming.event() == name)
    }

    /// Its name in the Event header.
    pub fn event(self) -> &'static str {
        match self {
            Roaming::Own(_) => "vnd-microsoft-roaming-self",
            Roaming::Contacts => "vnd-microsoft-roaming-contacts",
            Roaming::Pending => "presence.wpending",
            Roaming::Provisioning => "vnd-microsoft-provisioning-v2",
        }
    }

    /// The type of its documents.
    pub fn content_type(self) -> &'static str {
        match self {
            Roaming::Own(_) => own::CONTENT_TYPE,
            Roaming::Contacts => contact_list::CONTENT_TYPE,
            Roaming::Pending => pending::CONTENT_TYPE,
            Roaming::Provisioning => provisioning::CONTENT_TYPE,
        }
    }
}
