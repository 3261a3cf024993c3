//! Rich presence (RFC 4480): activities, whether somebody is at a device, the kind of place, the time zone.
//!
//! A set of activities is one word, so that a publication and a state stay small. An activity that is not in the
//! table is passed over, as the standard asks; moods, spheres and the rest are not kept by this server.

use crate::documents::pidf::Note;
use crate::documents::timestamp::{self, Timestamp};
use crate::documents::xml::write::Writer;
use crate::documents::xml::{Element, Fault, Reader, Space};
use crate::sip::time::Now;

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

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Activities) -> Activities {
        Activities(self.0 & other.0)
    }

    /// What is in this one alone.
    #[must_use]
    pub const fn without(self, other: Activities) -> Activities {
        Activities(self.0 & !other.0)
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

/// One `activities` element: what somebody does, and when (RFC 4480 §3.2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Doing {
    /// What.
    pub activities: Activities,
    /// Not before.
    pub from: Option<Now>,
    /// No longer.
    pub until: Option<Now>,
    /// Its first note.
    pub note: Option<Note>,
    /// The words of `other`, on one line.
    pub other: Option<Box<str>>,
}

impl Doing {
    /// Something that one has in the diary: its note says what it is about.
    pub fn is_scheduled(&self) -> bool {
        self.activities.contains(Activity::Appointment)
            || self.activities.contains(Activity::Meeting)
    }
}

/// Whether somebody is at a device (RFC 4480 §3.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Input {
    /// Nobody, for longer than the device's own threshold.
    pub idle: bool,
    /// When somebody last was.
    pub last_input: Option<Now>,
    /// The device's threshold, in seconds.
    pub threshold_s: Option<u32>,
}

/// Reads an `activities` element whose start is `start`. One that ends before it begins is refused.
pub(super) fn read_activities(
    start: &Element<'_>,
    reader: &mut Reader<'_>,
) -> Result<Doing, Fault> {
    let mut doing = Doing {
        from: instant(start, "from")?,
        until: instant(start, "until")?,
        ..Doing::default()
    };
    if let (Some(from), Some(until)) = (doing.from, doing.until)
        && until < from
    {
        return Err(Fault::Incomplete);
    }
    while let Some(element) = reader.child()? {
        if element.is(Space::Rpid, "note") {
            let read = Note::read(&element, reader)?;
            doing.note = doing.note.or(read);
            continue;
        }
        let activity = activity_of(&element);
        if let Some(activity) = activity {
            doing.activities = doing.activities.with(activity);
        }
        if activity == Some(Activity::Other) {
            let words = one_line(&reader.text()?);
            doing.other = doing.other.or(words);
        } else {
            reader.skip()?;
        }
    }
    Ok(doing)
}

/// Reads a `user-input` element whose start is `start`; `None` where it says neither of the two words.
pub(super) fn read_input(
    start: &Element<'_>,
    reader: &mut Reader<'_>,
) -> Result<Option<Input>, Fault> {
    let last_input = instant(start, "last-input")?;
    let threshold_s = start
        .attribute("idle-threshold")
        .and_then(|text| text.trim().parse().ok());
    let idle = match reader.text()?.trim() {
        "active" => false,
        "idle" => true,
        _ => return Ok(None),
    };
    Ok(Some(Input {
        idle,
        last_input,
        threshold_s,
    }))
}

fn instant(element: &Element<'_>, name: &str) -> Result<Option<Now>, Fault> {
    match element.attribute(name) {
        None => Ok(None),
        Some(text) => timestamp::read(&text).map(Some).ok_or(Fault::Incomplete),
    }
}

/// Text as one line: white space becomes single spaces, control characters go. `None` where nothing is left.
pub(super) fn one_line(text: &str) -> Option<Box<str>> {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !c.is_control()));
    }
    let line = line.trim();
    (!line.is_empty()).then(|| line.into())
}

/// What an `activities` element is to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShownActivities<'a> {
    /// The one that comes first, for who reads only one.
    pub first: Option<Activity>,
    /// The others. Do not disturb is written as busy too.
    pub set: Activities,
    /// The words of `other`.
    pub other: Option<&'a str>,
    /// What it is about.
    pub note: Option<&'a str>,
    /// When it ends.
    pub until: Option<Now>,
}

impl ShownActivities<'_> {
    fn all(&self) -> Activities {
        let all = match self.first {
            Some(first) => self.set.with(first),
            None => self.set,
        };
        match all.contains(Activity::DoNotDisturb) {
            true => all.with(Activity::Busy),
            false => all,
        }
    }

    /// Is there anything to write?
    pub fn is_empty(&self) -> bool {
        self.all().is_empty() && self.other.is_none()
    }

    /// Is the namespace of do not disturb needed?
    pub(super) fn says_do_not_disturb(&self) -> bool {
        self.all().contains(Activity::DoNotDisturb)
    }
}

/// Writes an `activities` element, unless there is nothing to say. The prefixes `rpid` and `ce` must be declared.
pub(super) fn write_activities(writer: &mut Writer<'_>, shown: &ShownActivities<'_>) {
    if shown.is_empty() {
        return;
    }
    writer.open("rpid:activities");
    if let Some(until) = shown.until {
        writer.attribute("until", Timestamp(until));
    }
    if let Some(note) = shown.note {
        writer.element("rpid:note", note);
    }
    let all = shown.all();
    // The schema (RFC 4480 §5.1) allows either `unknown` alone or a sequence of others.
    let only_unknown = all == Activities::one(Activity::Unknown) && shown.other.is_none();
    let written = |activity: Activity| TABLE.get(activity as usize).map_or("", |row| row.2);
    if let Some(first) = shown.first {
        writer.empty(written(first));
    }
    for activity in all.iter() {
        let with_words = activity == Activity::Other && shown.other.is_some();
        let left_out =
            activity == Activity::DoNotDisturb || (activity == Activity::Unknown && !only_unknown);
        if Some(activity) != shown.first && !with_words && !left_out {
            writer.empty(written(activity));
        }
    }
    if let Some(words) = shown.other {
        writer.element("rpid:other", words);
    }
    // Elements of other namespaces come last.
    if all.contains(Activity::DoNotDisturb) {
        writer.empty(written(Activity::DoNotDisturb));
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
