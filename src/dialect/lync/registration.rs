//! What the answers to a Lync client's REGISTER say beside the standard's, and how its registration is ended
//! ([MS-SIPREGE], [MS-OCER]).

use core::fmt;

use crate::dialect::lync::Roaming;
use crate::sip::header::Quoted;

/// The extensions of ours that change how the client speaks, each a line of its own: SIPE takes the whole value for one.
pub const SUPPORTED: [&str; 2] = ["adhoclist", "msrtc-event-categories"];
/// After so many seconds of silence the client sends a line end of its own accord ([MS-CONMGMT] §2.2.1).
pub const KEEP_ALIVE: &str = "UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300";
/// Clients go by this version number: Lync Server 2013 is 5.
pub const SERVER: &str = "RTC/5.0";
/// The event of a NOTIFY that ends a registration; nobody subscribes to it.
pub const EVENT: &str = "registration-notify";
/// The type of its body.
pub const CONTENT_TYPE: &str = "text/registration-event";

/// The event packages that a Lync endpoint may subscribe to, in one line without blanks: SIPE does not trim them.
pub fn allow_events() -> String {
    let mut events = String::new();
    for roaming in Roaming::ALL {
        events.push_str(roaming.event());
        events.push(',');
    }
    events.push_str("presence");
    events
}

/// What a REGISTER did, as `presence-state` tells it ([MS-SIPREGE] §2.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// An endpoint that was not there.
    Added,
    /// One that was there, now on another connection.
    Fixed,
    /// One that was there.
    Refreshed,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Action::Added => "added",
            Action::Fixed => "fixed",
            Action::Refreshed => "refreshed",
        };
        write!(f, "register-action=\"{name}\"")
    }
}

/// Why the server ends a registration ([MS-SIPREGE] §2.2.1.13).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The administrator has signed the user out here.
    Unregistered,
    /// The user is no more.
    Rejected,
    /// The user has another password: what they came in with counts no more.
    Outdated,
    /// The service is not here (any more): it stops, or the user's home is elsewhere.
    Deactivated,
}

impl Ended {
    /// The body of the NOTIFY.
    pub fn body(self) -> &'static str {
        match self {
            Ended::Unregistered => "deregistered;event=unregistered",
            Ended::Rejected | Ended::Outdated => "deregistered;event=rejected",
            Ended::Deactivated => "deregistered;event=deactivated",
        }
    }

    /// In words, for the user.
    pub fn reason(self) -> &'static str {
        match self {
            Ended::Unregistered => "Signed out by the administrator",
            Ended::Rejected => "The user was removed",
            Ended::Outdated => "The password was changed",
            Ended::Deactivated => "The service has stopped or moved",
        }
    }

    /// Its number in [MS-OCER] §7.
    pub fn id(self) -> u16 {
        match self {
            Ended::Unregistered => 4140,
            Ended::Rejected | Ended::Outdated => 4141,
            Ended::Deactivated => 4142,
        }
    }
}

/// Writes the value of `ms-diagnostics` ([MS-OCER] §2.2.1): the client shows its reason to the user.
#[derive(Clone, Copy, Debug)]
pub struct Diagnostics<'a> {
    /// The number of the error.
    pub id: u16,
    /// What is wrong, in words.
    pub reason: &'a str,
    /// Which server says so; empty where only what everybody may know is told (`ms-diagnostics-public`).
    pub source: &'a str,
}

impl Diagnostics<'_> {
    /// The number for the refusal of a REGISTER with `status`, where a client shows one.
    pub fn id_of(status: u16) -> Option<u16> {
        match status {
            // "Credentials provided are not authorized to act as specified from URI."
            403 => Some(4004),
            // "Destination URI either not enabled for SIP or does not exist."
            404 => Some(4005),
            // "Service unavailable."
            503 => Some(1),
            _ => None,
        }
    }
}

impl fmt::Display for Diagnostics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};reason={}", self.id, Quoted(self.reason))?;
        if !self.source.is_empty() {
            write!(f, ";source={}", Quoted(self.source))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_stand_in_one_value_without_blanks() {
        let events = allow_events();
        assert!(!events.contains(' '), "{events}");
        for wanted in [
            "vnd-microsoft-roaming-contacts",
            "vnd-microsoft-provisioning-v2",
            "presence",
        ] {
            assert!(events.split(',').any(|event| event == wanted), "{events}");
        }
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        let diagnostics = Diagnostics {
            id: 4005,
            reason: "No \"such\" user",
            source: "example.com",
        };
        assert_eq!(
            diagnostics.to_string(),
            r#"4005;reason="No \"such\" user";source="example.com""#
        );
        let public = Diagnostics {
            source: "",
            ..diagnostics
        };
        assert!(!public.to_string().contains("source"));
        assert_eq!(Action::Added.to_string(), "register-action=\"added\"");
    }
}
