//! What a user has chosen to be, and the note beside it: it beats what devices say, and lasts over sign-out and restart.
//!
//! What it comes to among all else that is known is `aggregation`.

use crate::presence::line;
use crate::sip::time::Now;

/// The longest custom state, in characters.
pub const CUSTOM_CHARS_MAX: usize = 64;
/// The longest note, in characters.
pub const NOTE_CHARS_MAX: usize = 500;

/// A state that a person can choose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Manual {
    /// Write or call.
    Available,
    /// Working on something.
    Busy,
    /// Nobody but those who may.
    DoNotDisturb,
    /// As do not disturb, but for what is urgent.
    UrgentOnly,
    /// Soon here again.
    BeRightBack,
    /// Not here.
    Away,
    /// Not working today any more.
    OffWork,
    /// Looks offline, reads all.
    AppearOffline,
}

/// What a note is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum NoteKind {
    /// Anything.
    #[default]
    Personal,
    /// Why the user is away for days.
    OutOfOffice,
}

/// A choice. One that says nothing is none at all: see [`Choice::is_nothing`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// The state; `None` where only a note was written.
    pub state: Option<Manual>,
    /// The user's own words for the state, at most [`CUSTOM_CHARS_MAX`]; only with a state.
    pub custom: Option<Box<str>>,
    /// When the state falls back to what it would have been; `None` lasts. The note stays.
    pub until: Option<Now>,
    /// At most [`NOTE_CHARS_MAX`].
    pub note: Option<Box<str>>,
    /// What the note is about.
    pub note_kind: NoteKind,
}

/// Why a choice is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChoiceError {
    /// The custom state is no line of at most [`CUSTOM_CHARS_MAX`] characters.
    BadCustom,
    /// Custom words or an end without a state.
    NoState,
    /// The note is empty or longer than [`NOTE_CHARS_MAX`], or has control characters that are no line's end.
    BadNote,
}

impl Manual {
    /// All of them, in the order in which clients offer them.
    pub const ALL: [Manual; 8] = [
        Manual::Available,
        Manual::Busy,
        Manual::DoNotDisturb,
        Manual::UrgentOnly,
        Manual::BeRightBack,
        Manual::Away,
        Manual::OffWork,
        Manual::AppearOffline,
    ];

    /// The name by which operators and files know it.
    pub fn name(self) -> &'static str {
        match self {
            Manual::Available => "available",
            Manual::Busy => "busy",
            Manual::DoNotDisturb => "do-not-disturb",
            Manual::UrgentOnly => "urgent-only",
            Manual::BeRightBack => "be-right-back",
            Manual::Away => "away",
            Manual::OffWork => "off-work",
            Manual::AppearOffline => "appear-offline",
        }
    }

    /// The state of a name.
    pub fn parse(name: &str) -> Option<Manual> {
        Manual::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl NoteKind {
    /// The name by which operators and files know it.
    pub fn name(self) -> &'static str {
        match self {
            NoteKind::Personal => "personal",
            NoteKind::OutOfOffice => "out-of-office",
        }
    }

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<NoteKind> {
        [NoteKind::Personal, NoteKind::OutOfOffice]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl Choice {
    /// Neither a state nor a note.
    pub fn is_nothing(&self) -> bool {
        self.state.is_none() && self.note.is_none()
    }

    /// The state that is chosen at `now`: none once its time is over.
    pub fn state_at(&self, now: Now) -> Option<Manual> {
        self.state
            .filter(|_| self.until.is_none_or(|until| now < until))
    }

    /// When the chosen state ends, where it does.
    pub fn end(&self) -> Option<Now> {
        self.state.and(self.until)
    }

    /// Whether all its parts are what they may be.
    pub fn check(&self) -> Result<(), ChoiceError> {
        let custom = self.custom.as_deref();
        if custom.is_some_and(|custom| !line::is_line(custom, CUSTOM_CHARS_MAX)) {
            return Err(ChoiceError::BadCustom);
        }
        if self.state.is_none() && (custom.is_some() || self.until.is_some()) {
            return Err(ChoiceError::NoState);
        }
        match self.note.as_deref() {
            Some(note) if !is_note(note) => Err(ChoiceError::BadNote),
            _ => Ok(()),
        }
    }

    /// This choice with the state taken back, and its note: `None` where nothing is left.
    pub fn reset(self) -> Option<Choice> {
        let left = Choice {
            state: None,
            custom: None,
            until: None,
            ..self
        };
        (!left.is_nothing()).then_some(left)
    }
}

/// Whether it can be a note: 1 to [`NOTE_CHARS_MAX`] characters of text, perhaps in several lines, nothing white around it.
pub fn is_note(note: &str) -> bool {
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    !note.is_empty()
        && note.len() <= 4 * NOTE_CHARS_MAX
        && note.chars().count() <= NOTE_CHARS_MAX
        && note.trim() == note
        && !note.contains(control)
}

impl core::fmt::Display for ChoiceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ChoiceError::BadCustom => write!(
                f,
                "the words for a state are one line of 1 to {CUSTOM_CHARS_MAX} characters"
            ),
            ChoiceError::NoState => {
                f.write_str("words of one's own and an end belong to a state; choose one")
            }
            ChoiceError::BadNote => write!(
                f,
                "a note is 1 to {NOTE_CHARS_MAX} characters of text, without white space around it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_ends_and_leaves_the_note() {
        let choice = Choice {
            state: Some(Manual::Busy),
            custom: Some("In the lab".into()),
            until: Some(Now(10)),
            note: Some("Mail is better".into()),
            ..Choice::default()
        };
        assert_eq!(choice.check(), Ok(()));
        assert_eq!(choice.state_at(Now(9)), Some(Manual::Busy));
        assert_eq!(choice.state_at(Now(10)), None);
        let left = choice.clone().reset().expect("the note");
        assert_eq!((left.state, left.note), (None, choice.note.clone()));
        let bare = Choice {
            note: None,
            ..choice
        };
        assert_eq!(bare.reset(), None);
    }

    #[test]
    fn what_cannot_be_chosen() {
        let with = |state, custom: Option<&str>, note: Option<&str>| Choice {
            state,
            custom: custom.map(Into::into),
            note: note.map(Into::into),
            ..Choice::default()
        };
        let long = "é".repeat(NOTE_CHARS_MAX + 1);
        let full = "é".repeat(NOTE_CHARS_MAX);
        for (choice, expected) in [
            (with(None, Some("x"), None), Err(ChoiceError::NoState)),
            (
                with(Some(Manual::Away), Some(""), None),
                Err(ChoiceError::BadCustom),
            ),
            (
                with(Some(Manual::Away), Some("a\nb"), None),
                Err(ChoiceError::BadCustom),
            ),
            (
                with(Some(Manual::Away), Some(&"x".repeat(65)), None),
                Err(ChoiceError::BadCustom),
            ),
            (with(None, None, Some(" x")), Err(ChoiceError::BadNote)),
            (with(None, None, Some("\u{7}")), Err(ChoiceError::BadNote)),
            (with(None, None, Some(&long)), Err(ChoiceError::BadNote)),
            (with(None, None, Some(&full)), Ok(())),
            (with(None, None, Some("two\nlines")), Ok(())),
        ] {
            assert_eq!(choice.check(), expected, "{choice:?}");
        }
        for state in Manual::ALL {
            assert_eq!(Manual::parse(state.name()), Some(state));
        }
        assert_eq!(
            NoteKind::parse("out-of-office"),
            Some(NoteKind::OutOfOffice)
        );
    }
}
