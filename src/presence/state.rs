//! What watchers see of a presentity: one small value.
//!
//! Sixteen bytes and, where there is a note, a share in it. Left open for issue 3: numeric availability, location, time
//! zone, an end time, and a view for each access level; they join `State`, and `aggregation` fills them.

use std::sync::Arc;

use crate::documents::pidf::{self, Basic, Note};
use crate::documents::rpid::{Activities, Activity};
use crate::sip::time::Now;

/// How one is reached best, in one word. In order of precedence: of two devices the earlier word is shown, for what
/// one does on one device (a call, a talk) is true of the person, while being away from one says little.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Availability {
    /// Nobody may interrupt.
    DoNotDisturb,
    /// Shows something to others.
    Presenting,
    /// In a call of more than two.
    InAConference,
    /// In a call.
    InACall,
    /// In a meeting.
    InAMeeting,
    /// Busy with something.
    Busy,
    /// Can be written to and called.
    Available,
    /// Available, but nothing was touched for a while.
    Idle,
    /// Soon back.
    BeRightBack,
    /// Not there.
    Away,
    /// Not there for days.
    OutOfOffice,
    /// Not at work now.
    OffWork,
    /// No endpoint, or wants to look like it.
    Offline,
}

/// What watchers see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// A few words by the person.
    pub note: Option<Arc<Note>>,
    /// What the person does.
    pub activities: Activities,
    /// Reachable or not.
    pub basic: Basic,
    /// The one word for it.
    pub availability: Availability,
}

impl State {
    /// Nobody there, nothing to say.
    pub const OFFLINE: State = State {
        note: None,
        activities: Activities::NONE,
        basic: Basic::Closed,
        availability: Availability::Offline,
    };

    /// This state as a PIDF document would show it; `since` is when it became so.
    pub fn shown<'a>(&'a self, entity: &'a str, since: Now) -> pidf::Shown<'a> {
        pidf::Shown {
            entity,
            basic: self.basic,
            activities: self.activities,
            note: self.note.as_deref(),
            timestamp: since,
        }
    }
}

impl Availability {
    /// What a reachable person's activities come to; `Available` where they say nothing of it.
    pub fn of(activities: Activities) -> Availability {
        activities
            .iter()
            .map(Availability::of_one)
            .min()
            .unwrap_or(Availability::Available)
    }

    /// The table: RFC 4480 §3.2's activities in the words of this server.
    fn of_one(activity: Activity) -> Availability {
        use Activity as A;
        match activity {
            A::DoNotDisturb => Availability::DoNotDisturb,
            A::Presentation => Availability::Presenting,
            A::OnThePhone => Availability::InACall,
            A::Meeting => Availability::InAMeeting,
            A::Appointment | A::Busy | A::Performance | A::Steering | A::Worship => {
                Availability::Busy
            }
            A::Breakfast | A::Dinner | A::Lunch | A::Meal => Availability::BeRightBack,
            A::Away | A::InTransit | A::Shopping | A::Sleeping | A::Travel => Availability::Away,
            A::PermanentAbsence | A::Vacation => Availability::OutOfOffice,
            A::Holiday => Availability::OffWork,
            A::LookingForWork
            | A::Other
            | A::Playing
            | A::Spectator
            | A::Tv
            | A::Unknown
            | A::Working => Availability::Available,
        }
    }
}
