//! Rich presence (RFC 4480): the activities, both ways through one table.
//!
//! A set of activities is one word, so that a publication and a state stay small. An activity that is not in the
//! table is passed over, as the standard asks; place types, moods and the rest are not kept by this server.

use crate::documents::xml::write::Writer;
use crate::documents::xml::{Element, Fault, Reader, Space};

/// One thing that a person may be doing (RFC 4480 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // Each is its name in the table below, and RFC 4480 says what it means.
pub enum Activity {
    Appointment,
    Away,
    Breakfast,
    Busy,
    Dinner,
    Holiday,
    InTransit,
    LookingForWork,
    Lunch,
    Meal,
    Meeting,
    OnThePhone,
    Other,
    Performance,
    PermanentAbsence,
    Playing,
    Presentation,
    Shopping,
    Sleeping,
    Spectator,
    Steering,
    Travel,
    Tv,
    Unknown,
    Vacation,
    Working,
    Worship,
    /// Not in RFC 4480; written in Cisco's namespace beside `busy`, for those who do not know it.
    DoNotDisturb,
}

/// The table: activity, its name, the element as this server writes it. In the order of the schema.
const TABLE: &[(Activity, &str, &str)] = &[
    (Activity::Appointment, "appointment", "rpid:appointment"),
    (Activity::Away, "away", "rpid:away"),
    (Activity::Breakfast, "breakfast", "rpid:breakfast"),
    (Activity::Busy, "busy", "rpid:busy"),
    (Activity::Dinner, "dinner", "rpid:dinner"),
    (Activity::Holiday, "holiday", "rpid:holiday"),
    (Activity::InTransit, "in-transit", "rpid:in-transit"),
    (
        Activity::LookingForWork,
        "looking-for-work",
        "rpid:looking-for-work",
    ),
    (Activity::Lunch, "lunch", "rpid:lunch"),
    (Activity::Meal, "meal", "rpid:meal"),
    (Activity::Meeting, "meeting", "rpid:meeting"),
    (Activity::OnThePhone, "on-the-phone", "rpid:on-the-phone"),
    (Activity::Other, "other", "rpid:other"),
    (Activity::Performance, "performance", "rpid:performance"),
    (
        Activity::PermanentAbsence,
        "permanent-absence",
        "rpid:permanent-absence",
    ),
    (Activity::Playing, "playing", "rpid:playing"),
    (Activity::Presentation, "presentation", "rpid:presentation"),
    (Activity::Shopping, "shopping", "rpid:shopping"),
    (Activity::Sleeping, "sleeping", "rpid:sleeping"),
    (Activity::Spectator, "spectator", "rpid:spectator"),
    (Activity::Steering, "steering", "rpid:steering"),
    (Activity::Travel, "travel", "rpid:travel"),
    (Activity::Tv, "tv", "rpid:tv"),
    (Activity::Unknown, "unknown", "rpid:unknown"),
    (Activity::Vacation, "vacation", "rpid:vacation"),
    (Activity::Working, "working", "rpid:working"),
    (Activity::Worship, "worship", "rpid:worship"),
    (Activity::DoNotDisturb, "dnd", "ce:dnd"),
];

/// A set of activities.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Activities(u32);

impl Activities {
    /// None at all.
    pub const NONE: Activities = Activities(0);

    /// Just this one.
    pub const fn one(activity: Activity) -> Activities {
        Activities(1 << activity as u32)
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(self, activity: Activity) -> Activities {
        Activities(self.0 | Activities::one(activity).0)
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Activities) -> Activities {
        Activities(self.0 | other.0)
    }

    /// Is it in the set?
    pub const fn contains(self, activity: Activity) -> bool {
        self.0 & Activities::one(activity).0 != 0
    }

    /// Is nothing in it?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in it, in the order of the schema.
    pub fn iter(self) -> impl Iterator<Item = Activity> {
        TABLE
            .iter()
            .map(|(activity, _, _)| *activity)
            .filter(move |activity| self.contains(*activity))
    }

    /// The name in RFC 4480.
    pub fn name(activity: Activity) -> &'static str {
        TABLE
            .iter()
            .find(|(known, _, _)| *known == activity)
            .map_or("", |(_, name, _)| name)
    }
}

impl core::fmt::Debug for Activities {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Activities::name))
            .finish()
    }
}

/// Reads an `activities` element whose start was just read, with the note in it, if any.
pub(super) fn read_activities(
    reader: &mut Reader<'_>,
) -> Result<(Activities, Option<super::pidf::Note>), Fault> {
    let mut activities = Activities::NONE;
    let mut note = None;
    while let Some(element) = reader.child()? {
        if element.is(Space::Rpid, "note") {
            let read = super::pidf::Note::read(&element, reader)?;
            note = note.or(read);
            continue;
        }
        if let Some(activity) = activity_of(&element) {
            activities = activities.with(activity);
        }
        reader.skip()?;
    }
    Ok((activities, note))
}

/// Writes an `activities` element, unless the set is empty. The prefixes `rpid` and `ce` must be declared.
pub(super) fn write_activities(writer: &mut Writer<'_>, activities: Activities) {
    if activities.is_empty() {
        return;
    }
    writer.open("rpid:activities");
    // The schema (RFC 4480 §5.1) allows either `unknown` alone or a sequence of others.
    let only_unknown = activities == Activities::one(Activity::Unknown);
    let shown = match activities.contains(Activity::DoNotDisturb) {
        true => activities.with(Activity::Busy),
        false => activities,
    };
    for (activity, _, written) in TABLE {
        if shown.contains(*activity) && (*activity != Activity::Unknown || only_unknown) {
            writer.empty(written);
        }
    }
    writer.close();
}

fn activity_of(element: &Element<'_>) -> Option<Activity> {
    let local = element.local();
    let (activity, _, _) = TABLE.iter().find(|(_, name, _)| *name == local)?;
    let at_home = match activity {
        Activity::DoNotDisturb => Space::CiscoRpid,
        _ => Space::Rpid,
    };
    (element.space == at_home).then_some(*activity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_activity_once_and_names_it_as_written() {
        for (index, (activity, name, written)) in TABLE.iter().enumerate() {
            // The discriminant is the bit in the set and the row in the table.
            assert_eq!(*activity as usize, index);
            assert_eq!(written.split_once(':').map(|(_, local)| local), Some(*name));
        }
        assert_eq!(TABLE.len(), Activity::DoNotDisturb as usize + 1);
    }

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set = Activities::one(Activity::Busy)
            .with(Activity::Away)
            .union(Activities::one(Activity::DoNotDisturb));
        assert_eq!(format!("{set:?}"), r#"{"away", "busy", "dnd"}"#);
        assert!(set.contains(Activity::Busy) && !set.contains(Activity::Tv));
        assert!(Activities::NONE.is_empty() && !set.is_empty());
    }
}
