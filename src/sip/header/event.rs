//! Event and Subscription-State (RFC 6665 §8.2).

use super::{BadValue, Params};

/// An event package with its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The package with its templates: `presence`, `presence.winfo`, `conference`; compare with `is`.
    pub package: &'a str,
    /// Tells subscriptions of one dialog apart (RFC 6665 §8.2.1).
    pub id: Option<&'a str>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// Reads the value of Event.
    pub fn parse(_text: &'a str) -> Result<Event<'a>, BadValue> {
        unimplemented!()
    }

    /// Whether the package is `name` (event types are compared byte by byte, RFC 6665 §8.2.1).
    pub fn is(&self, name: &str) -> bool {
        self.package == name
    }
}

/// A subscription's state as a NOTIFY tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending`, `terminated` or an extension.
    pub state: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads the value of Subscription-State.
    pub fn parse(_text: &'a str) -> Result<SubscriptionState<'a>, BadValue> {
        unimplemented!()
    }

    /// The `expires` parameter in seconds.
    pub fn expires_s(&self) -> Option<u32> {
        unimplemented!()
    }

    /// The `reason` parameter.
    pub fn reason(&self) -> Option<&'a str> {
        self.params.raw("reason").flatten()
    }

    /// The `retry-after` parameter in seconds.
    pub fn retry_after_s(&self) -> Option<u32> {
        unimplemented!()
    }
}
