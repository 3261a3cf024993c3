//! The words for how somebody is, and what they are in RPID and in numbers: one table for each way.
//!
//! # Read
//!
//! Each activity of RFC 4480 §3.2 speaks for one source, and comes to one word (`Availability::of_one`, `Source::of`):
//!
//! | activity | source | word |
//! | --- | --- | --- |
//! | `ce:dnd` | user | do not disturb |
//! | presentation | user | presenting |
//! | busy, performance, steering, worship | user | busy |
//! | breakfast, dinner, lunch, meal | user | be right back |
//! | away, in-transit, shopping, sleeping, travel | user | away |
//! | looking-for-work, other, playing, spectator, tv, unknown, working | user | none: shown beside, the machine decides |
//! | on-the-phone | phone | in a call |
//! | meeting | calendar | in a meeting |
//! | appointment | calendar | busy |
//! | permanent-absence, vacation | calendar | out of office |
//! | holiday | calendar | off work |
//! | `user-input` idle | machine | idle 5 minutes after `last-input`, away after 5 more |
//! | `user-input` idle and away, in a device or tuple | machine | away at once: it is locked |
//!
//! # Written
//!
//! | word | number | basic | activities, the first one first | `other` |
//! | --- | --- | --- | --- | --- |
//! | available | 3500 | open | | |
//! | idle | 5000 | open | (`user-input` idle) | |
//! | busy | 6500, 8000 while idle | open | busy | |
//! | in a call | 6500, 8000 | open | on-the-phone, busy | |
//! | in a conference | 6500, 8000 | open | on-the-phone, busy | In a conference call |
//! | in a meeting | 6500, 8000 | open | meeting, busy | |
//! | presenting | 9500 | open | presentation, busy | |
//! | do not disturb | 9500 | open | busy, `ce:dnd` | |
//! | urgent only | 9500 | open | busy, `ce:dnd` | Urgent interruptions only |
//! | be right back | 12500 | open | away | Be right back |
//! | away | 15500 | open | away | |
//! | out of office | 15500 | open | vacation, away | |
//! | off work | 15500 | open | away | Off work |
//! | appear offline | 18500 | as offline; to the user themself open | | Appear offline |
//! | offline | 18500 | closed | | |
//!
//! `other` carries the user's own words instead, where there are some. The number is not written into PIDF: no client reads
//! it there, and the word says as much. It is for the other dialect.
//!
//! # In Lync's dialect
//!
//! The number, and beside it a token ([MS-PRES] §2.2.2.4.2) that says what the number can't. Both ways:
//!
//! | token | word | read as |
//! | --- | --- | --- |
//! | online, available | available | (the number says it) |
//! | idle | idle | (the number) |
//! | busy, busyidle | busy | (the number) |
//! | on-the-phone | in a call | the telephone's on-the-phone |
//! | in-a-conference | in a conference | the telephone's on-the-phone |
//! | in-a-meeting | in a meeting | the calendar's meeting |
//! | in-presentation | presenting | the user's presentation |
//! | do-not-disturb | do not disturb | (the number) |
//! | urgent-interruptions-only | urgent only | the user's choice |
//! | be-right-back | be right back | (the number) |
//! | away | away | (the number) |
//! | out-of-office | out of office | the calendar's vacation |
//! | off-work | off work | the user's choice |

use crate::documents::rpid::{Activities, Activity};
use crate::presence::choice::Manual;

/// How one is reached best, in one word. In order of precedence: of two devices the earlier word is shown, for what
/// one does on one device (a call, a talk) is true of the person, while being away from one says little.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
pub enum Availability {
    /// Nobody may interrupt.
    DoNotDisturb,
    /// Nobody may interrupt but for what is urgent.
    UrgentOnly,
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
    /// There, and wants to look offline.
    AppearOffline,
    /// No endpoint.
    Offline,
}

/// Who says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A person.
    User,
    /// A diary.
    Calendar,
    /// A telephone.
    Phone,
}

/// A user's part in calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phone {
    /// In none.
    #[default]
    OnHook,
    /// In a call of two.
    InACall,
    /// In a call of more.
    InAConference,
}

/// Whether somebody is at a machine. The earlier word counts of two machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum MachineState {
    /// Somebody is.
    Active,
    /// Nobody was for a while.
    Idle,
    /// Nobody was for longer.
    Away,
    /// It is locked.
    Locked,
}

/// What is written for a word.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// What it is.
    pub availability: Availability,
    /// As the Lync dialect sends it.
    pub number: u32,
    /// The activity that comes first.
    pub first: Option<Activity>,
    /// All activities.
    pub activities: Activities,
    /// Words for what RPID has no activity for.
    pub other: Option<&'static str>,
}

const NONE: Activities = Activities::NONE;
const BUSY: Activities = Activities::one(Activity::Busy);
const AWAY: Activities = Activities::one(Activity::Away);
const NOT_NOW: Activities = BUSY.with(Activity::DoNotDisturb);
const CALL: Activities = BUSY.with(Activity::OnThePhone);

/// The second table of the head, in the order of `Availability`.
#[rustfmt::skip]
const WRITTEN: [Written; 15] = {
    use Availability as V;
    use Activity as A;
    const fn row(
        availability: Availability, number: u32, first: Option<Activity>, activities: Activities, other: Option<&'static str>,
    ) -> Written {
        Written { availability, number, first, activities, other }
    }
    [
        row(V::DoNotDisturb,   9_500, Some(A::Busy), NOT_NOW, None),
        row(V::UrgentOnly,     9_500, Some(A::Busy), NOT_NOW, Some("Urgent interruptions only")),
        row(V::Presenting,     9_500, Some(A::Presentation), BUSY.with(A::Presentation), None),
        row(V::InAConference,  6_500, Some(A::OnThePhone), CALL, Some("In a conference call")),
        row(V::InACall,        6_500, Some(A::OnThePhone), CALL, None),
        row(V::InAMeeting,     6_500, Some(A::Meeting), BUSY.with(A::Meeting), None),
        row(V::Busy,           6_500, Some(A::Busy), BUSY, None),
        row(V::Available,      3_500, None, NONE, None),
        row(V::Idle,           5_000, None, NONE, None),
        row(V::BeRightBack,   12_500, Some(A::Away), AWAY, Some("Be right back")),
        row(V::Away,          15_500, Some(A::Away), AWAY, None),
        row(V::OutOfOffice,   15_500, Some(A::Vacation), AWAY.with(A::Vacation), None),
        row(V::OffWork,       15_500, Some(A::Away), AWAY, Some("Off work")),
        row(V::AppearOffline, 18_500, None, NONE, Some("Appear offline")),
        row(V::Offline,       18_500, None, NONE, None),
    ]
};

/// The number of busy where nobody is at a machine.
const BUSY_IDLE: u32 = 8_000;

/// Numeric availability as it is read: the first number that is no longer so, the word, and whether nobody is at a machine.
const RANGES: [(u32, Availability, bool); 7] = [
    (4_500, Availability::Available, false),
    (6_000, Availability::Idle, true),
    (7_500, Availability::Busy, false),
    (9_000, Availability::Busy, true),
    (12_000, Availability::DoNotDisturb, false),
    (15_000, Availability::BeRightBack, false),
    (18_000, Availability::Away, false),
];

impl Availability {
    /// What is written for it.
    pub fn written(self) -> &'static Written {
        &WRITTEN[self as usize]
    }

    /// The token that says it in Lync's dialect, with the numbers that it goes with; `None` where the number says all.
    pub fn token(self, idle: bool) -> Option<(&'static str, u32, u32)> {
        use Availability as V;
        Some(match self {
            V::Available => ("online", 0, 3_999),
            V::Idle => ("idle", 4_500, 5_999),
            V::Busy if idle => ("busyidle", 7_500, 8_999),
            V::Busy => ("busy", 6_500, 8_999),
            V::InACall => ("on-the-phone", 6_500, 8_999),
            V::InAConference => ("in-a-conference", 6_500, 8_999),
            V::InAMeeting => ("in-a-meeting", 6_500, 8_999),
            V::Presenting => ("in-presentation", 9_000, 11_999),
            V::DoNotDisturb => ("do-not-disturb", 9_000, 11_999),
            V::UrgentOnly => ("urgent-interruptions-only", 9_000, 11_999),
            V::BeRightBack => ("be-right-back", 12_000, 14_999),
            V::Away => ("away", 15_000, 17_999),
            V::OutOfOffice => ("out-of-office", 15_000, 17_999),
            V::OffWork => ("off-work", 15_000, 17_999),
            V::AppearOffline | V::Offline => return None,
        })
    }

    /// What a token says of what is done; nothing where the number beside it says as much, or the token is not known.
    pub fn done(token: &str) -> Activities {
        match token {
            "on-the-phone" | "in-a-conference" => Activities::one(Activity::OnThePhone),
            "in-a-meeting" => Activities::one(Activity::Meeting),
            "in-presentation" => Activities::one(Activity::Presentation),
            "out-of-office" => Activities::one(Activity::Vacation),
            _ => Activities::NONE,
        }
    }

    /// What a person chose who publishes this number and token as their own state; `None` for *available*, which leaves it to
    /// the devices.
    pub fn chosen_by(number: u32, token: &str) -> Option<Manual> {
        match Availability::of_number(number).0 {
            Availability::DoNotDisturb if token == "urgent-interruptions-only" => {
                Some(Manual::UrgentOnly)
            }
            Availability::DoNotDisturb => Some(Manual::DoNotDisturb),
            Availability::Busy => Some(Manual::Busy),
            Availability::BeRightBack => Some(Manual::BeRightBack),
            Availability::Away if token == "off-work" => Some(Manual::OffWork),
            Availability::Away => Some(Manual::Away),
            Availability::Offline => Some(Manual::AppearOffline),
            _ => None,
        }
    }

    /// The number that says it; `idle` where nobody is at a machine, which only busy has a number of its own for.
    pub fn number(self, idle: bool) -> u32 {
        match self.written().number {
            6_500 if idle => BUSY_IDLE,
            number => number,
        }
    }

    /// The word of a number, and whether nobody is at a machine.
    pub fn of_number(number: u32) -> (Availability, bool) {
        RANGES
            .iter()
            .find(|(end, _, _)| number < *end)
            .map_or((Availability::Offline, false), |(_, word, idle)| {
                (*word, *idle)
            })
    }

    /// What some activities come to; `None` where they say nothing of it.
    pub fn of(activities: Activities) -> Option<Availability> {
        activities.iter().filter_map(Availability::of_one).min()
    }

    /// The first table of the head.
    fn of_one(activity: Activity) -> Option<Availability> {
        use Activity as A;
        Some(match activity {
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
            | A::Working => return None,
        })
    }

    /// What a person chose. Activities that say nothing of it are a choice too: to be available and do that.
    pub(super) fn chosen(activities: Activities) -> Option<Manual> {
        if activities.is_empty() {
            return None;
        }
        match Availability::of(activities) {
            None => Some(Manual::Available),
            Some(Availability::Busy) => Some(Manual::Busy),
            Some(Availability::DoNotDisturb) => Some(Manual::DoNotDisturb),
            Some(Availability::BeRightBack) => Some(Manual::BeRightBack),
            Some(Availability::Away) => Some(Manual::Away),
            // Nobody chooses to present: it is something that is going on.
            Some(_) => None,
        }
    }
}

impl From<Manual> for Availability {
    fn from(manual: Manual) -> Availability {
        match manual {
            Manual::Available => Availability::Available,
            Manual::Busy => Availability::Busy,
            Manual::DoNotDisturb => Availability::DoNotDisturb,
            Manual::UrgentOnly => Availability::UrgentOnly,
            Manual::BeRightBack => Availability::BeRightBack,
            Manual::Away => Availability::Away,
            Manual::OffWork => Availability::OffWork,
            Manual::AppearOffline => Availability::AppearOffline,
        }
    }
}

impl Source {
    /// All that the phone and the calendar say; the rest is the user's.
    pub(super) const CALENDAR: Activities = Activities::one(Activity::Meeting)
        .with(Activity::Appointment)
        .with(Activity::Vacation)
        .with(Activity::PermanentAbsence)
        .with(Activity::Holiday);
    pub(super) const PHONE: Activities = Activities::one(Activity::OnThePhone);
    /// What is not the user's.
    pub const CALENDAR_AND_PHONE: Activities = Source::CALENDAR.union(Source::PHONE);

    /// Who says this.
    pub fn of(activity: Activity) -> Source {
        if Source::CALENDAR.contains(activity) {
            Source::Calendar
        } else if Source::PHONE.contains(activity) {
            Source::Phone
        } else {
            Source::User
        }
    }

    /// What of some activities this source says.
    pub(super) fn part(self, activities: Activities) -> Activities {
        match self {
            Source::Calendar => activities.intersection(Source::CALENDAR),
            Source::Phone => activities.intersection(Source::PHONE),
            Source::User => activities.without(Source::CALENDAR.union(Source::PHONE)),
        }
    }
}

impl MachineState {
    pub(super) fn word(self) -> Availability {
        match self {
            MachineState::Active => Availability::Available,
            MachineState::Idle => Availability::Idle,
            MachineState::Away | MachineState::Locked => Availability::Away,
        }
    }
}

impl Phone {
    pub(super) fn word(self) -> Option<Availability> {
        match self {
            Phone::OnHook => None,
            Phone::InACall => Some(Availability::InACall),
            Phone::InAConference => Some(Availability::InAConference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_its_row_and_its_number_reads_back_as_its_kind() {
        for (at, row) in WRITTEN.iter().enumerate() {
            assert_eq!(row.availability as usize, at);
            assert!(row.first.is_none_or(|first| row.activities.contains(first)));
            for idle in [false, true] {
                let (read, read_idle) = Availability::of_number(row.availability.number(idle));
                assert_eq!(
                    read.number(read_idle),
                    row.availability.number(idle),
                    "{row:?}"
                );
            }
        }
    }

    #[test]
    fn numbers_at_the_borders() {
        use Availability as V;
        let cases = [
            (0, V::Available, false),
            (4_499, V::Available, false),
            (4_500, V::Idle, true),
            (5_999, V::Idle, true),
            (6_000, V::Busy, false),
            (7_499, V::Busy, false),
            (7_500, V::Busy, true),
            (8_999, V::Busy, true),
            (9_000, V::DoNotDisturb, false),
            (11_999, V::DoNotDisturb, false),
            (12_000, V::BeRightBack, false),
            (14_999, V::BeRightBack, false),
            (15_000, V::Away, false),
            (17_999, V::Away, false),
            (18_000, V::Offline, false),
            (u32::MAX, V::Offline, false),
        ];
        for (number, word, idle) in cases {
            assert_eq!(Availability::of_number(number), (word, idle), "{number}");
        }
        let sent = [
            (V::Available, 3_500),
            (V::InAMeeting, 6_500),
            (V::Presenting, 9_500),
            (V::BeRightBack, 12_500),
            (V::OffWork, 15_500),
            (V::AppearOffline, 18_500),
        ];
        for (word, number) in sent {
            assert_eq!(word.number(false), number);
        }
        assert_eq!(V::InACall.number(true), 8_000);
    }

    #[test]
    fn what_is_written_for_a_word_reads_as_what_the_standard_can_say_of_it() {
        use Availability as V;
        for row in &WRITTEN {
            let expected = match row.availability {
                V::UrgentOnly => Some(V::DoNotDisturb),
                V::InAConference => Some(V::InACall),
                V::BeRightBack | V::OffWork | V::OutOfOffice => Some(V::Away),
                V::Available | V::Idle | V::AppearOffline | V::Offline => None,
                word => Some(word),
            };
            assert_eq!(Availability::of(row.activities), expected, "{row:?}");
        }
        for manual in Manual::ALL {
            let word = Availability::from(manual);
            assert_eq!(format!("{word:?}"), format!("{manual:?}"));
        }
    }

    #[test]
    fn what_a_person_chooses_reads_back_in_numbers_and_tokens() {
        for manual in Manual::ALL {
            let word = Availability::from(manual);
            let token = word.token(false).map_or("", |(token, _, _)| token);
            let read = Availability::chosen_by(word.number(false), token);
            let expected = (manual != Manual::Available).then_some(manual);
            assert_eq!(read, expected, "{manual:?}");
        }
        for row in &WRITTEN {
            for idle in [false, true] {
                let number = row.availability.number(idle);
                if let Some((token, least, most)) = row.availability.token(idle) {
                    assert!((least..=most).contains(&number), "{token} {number}");
                    let done = Availability::of(Availability::done(token));
                    let same = done == Some(row.availability)
                        || (done, row.availability)
                            == (Some(Availability::InACall), Availability::InAConference);
                    assert!(done.is_none() || same, "{token}");
                } else {
                    assert!(number >= 18_000);
                }
            }
        }
    }

    #[test]
    fn each_activity_has_one_source() {
        let sources = [Source::User, Source::Calendar, Source::Phone];
        let all = Activities::one(Activity::Busy)
            .with(Activity::Meeting)
            .with(Activity::OnThePhone);
        let parts = sources.map(|source| source.part(all));
        let told: Vec<String> = parts.iter().map(|part| format!("{part:?}")).collect();
        assert_eq!(
            told,
            [r#"{"busy"}"#, r#"{"meeting"}"#, r#"{"on-the-phone"}"#]
        );
        assert_eq!(Source::of(Activity::Vacation), Source::Calendar);
        assert_eq!(Source::of(Activity::Tv), Source::User);
    }
}
