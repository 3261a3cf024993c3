//! Event and Subscription-State (RFC 6665 §8.2).

use super::{BadValue, Params, number};
use crate::sip::grammar::{self, TOKEN};

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
    /// Reads the value of Event, or one of Allow-Events.
    pub fn parse(text: &'a str) -> Result<Event<'a>, BadValue> {
        let (package, params) = token_and_params(text)?;
        Ok(Event {
            package,
            id: params.raw("id").flatten(),
            params,
        })
    }

    /// Whether the package is `name` (event types are compared byte by byte, RFC 6665 §8.2.1).
    pub fn is(&self, name: &str) -> bool {
        self.package == name
    }
}

/// A subscription's state as a NOTIFY tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscriptionState<'a> {
    /// `active`, `pending`, `terminated` or an extension; compare without case.
    pub state: &'a str,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> SubscriptionState<'a> {
    /// Reads the value of Subscription-State.
    pub fn parse(text: &'a str) -> Result<SubscriptionState<'a>, BadValue> {
        let (state, params) = token_and_params(text)?;
        Ok(SubscriptionState { state, params })
    }

    /// The `expires` parameter in seconds.
    pub fn expires_s(&self) -> Option<u32> {
        self.params.raw("expires").flatten().and_then(number)
    }

    /// The `reason` parameter.
    pub fn reason(&self) -> Option<&'a str> {
        self.params.raw("reason").flatten()
    }

    /// The `retry-after` parameter in seconds.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.params.raw("retry-after").flatten().and_then(number)
    }
}

/// `token;params`, the form of Event, Subscription-State, Reason, Content-Disposition and others.
pub(super) fn token_and_params(text: &str) -> Result<(&str, Params<'_>), BadValue> {
    let text = grammar::trim(text);
    let (token, rest) = grammar::split(text, grammar::run(text, TOKEN));
    if token.is_empty() {
        return Err(BadValue);
    }
    Ok((token, Params::parse(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        for (text, expected) in [
            ("presence", Some(("presence", None))),
            (
                "presence.winfo ;id=a1",
                Some(("presence.winfo", Some("a1"))),
            ),
            ("", None),
            (";id=1", None),
            ("presence id", None),
        ] {
            let found = Event::parse(text)
                .ok()
                .map(|event| (event.package, event.id));
            assert_eq!(found, expected, "{text}");
        }
        assert!(Event::parse("Presence").is_ok_and(|event| !event.is("presence")));
    }

    #[test]
    fn states() {
        let state = SubscriptionState::parse("terminated;reason=probation;retry-after=30");
        assert_eq!(state.map(|it| it.state), Ok("terminated"));
        assert_eq!(state.ok().and_then(|it| it.reason()), Some("probation"));
        assert_eq!(state.ok().and_then(|it| it.retry_after_s()), Some(30));
        assert_eq!(state.ok().and_then(|it| it.expires_s()), None);
        let state = SubscriptionState::parse("active;expires=99999999999");
        assert_eq!(state.ok().and_then(|it| it.expires_s()), Some(u32::MAX));
    }
}
