//! What a user's card says: phones, title, company, office, mail. Which level sees which line is a table elsewhere.

use crate::presence::line;

/// The longest line of a card, in characters.
pub const LINE_CHARS_MAX: usize = 128;
/// The longest phone number, in characters.
pub const PHONE_CHARS_MAX: usize = 64;

/// One line of the card.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CardLine {
    /// The phone on the desk.
    WorkPhone,
    /// The phone in the pocket.
    MobilePhone,
    /// The phone at home.
    HomePhone,
    /// One more.
    OtherPhone,
    /// What the user is in the company.
    Title,
    /// The company.
    Company,
    /// Where the user sits.
    Office,
    /// The mail address.
    Mail,
}

/// A card. A user without one costs a pointer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Card(Option<Box<[Option<Box<str>>; CardLine::ALL.len()]>>);

/// Why a line is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CardError(pub CardLine);

impl CardLine {
    /// Every line, in the order in which a card shows them.
    pub const ALL: [CardLine; 8] = [
        CardLine::WorkPhone,
        CardLine::MobilePhone,
        CardLine::HomePhone,
        CardLine::OtherPhone,
        CardLine::Title,
        CardLine::Company,
        CardLine::Office,
        CardLine::Mail,
    ];

    /// The name by which operators and files know it.
    pub fn name(self) -> &'static str {
        match self {
            CardLine::WorkPhone => "work-phone",
            CardLine::MobilePhone => "mobile-phone",
            CardLine::HomePhone => "home-phone",
            CardLine::OtherPhone => "other-phone",
            CardLine::Title => "title",
            CardLine::Company => "company",
            CardLine::Office => "office",
            CardLine::Mail => "mail",
        }
    }

    /// The line of a name.
    pub fn parse(name: &str) -> Option<CardLine> {
        CardLine::ALL.into_iter().find(|line| line.name() == name)
    }

    /// Is it a phone number?
    pub fn is_phone(self) -> bool {
        matches!(
            self,
            CardLine::WorkPhone
                | CardLine::MobilePhone
                | CardLine::HomePhone
                | CardLine::OtherPhone
        )
    }

    fn takes(self, text: &str) -> bool {
        match self {
            // What RFC 3966 §3 allows in a number, spaces and an extension as people write them.
            line if line.is_phone() => {
                line::is_line(text, PHONE_CHARS_MAX)
                    && text.bytes().any(|byte| byte.is_ascii_digit())
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || b"+-.()/ *#;=ext".contains(&byte))
            }
            CardLine::Mail => {
                line::is_line(text, LINE_CHARS_MAX)
                    && text.split_once('@').is_some_and(|(user, host)| {
                        !user.is_empty() && !host.is_empty() && !host.contains('@')
                    })
                    && !text.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | ','))
            }
            _ => line::is_line(text, LINE_CHARS_MAX),
        }
    }
}

impl Card {
    /// What the card says on a line.
    pub fn get(&self, line: CardLine) -> Option<&str> {
        self.0.as_deref()?[line as usize].as_deref()
    }

    /// Writes a line, or wipes it. False where it said so already.
    pub fn set(&mut self, line: CardLine, text: Option<&str>) -> Result<bool, CardError> {
        if text.is_some_and(|text| !line.takes(text)) {
            return Err(CardError(line));
        }
        if self.get(line) == text {
            return Ok(false);
        }
        let lines = self.0.get_or_insert_default();
        lines[line as usize] = text.map(Into::into);
        if lines.iter().all(Option::is_none) {
            self.0 = None;
        }
        Ok(true)
    }

    /// The lines that say something.
    pub fn lines(&self) -> impl Iterator<Item = (CardLine, &str)> {
        CardLine::ALL
            .into_iter()
            .filter_map(|line| Some((line, self.get(line)?)))
    }

    /// Does it say nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl core::fmt::Display for CardError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = self.0.name();
        match self.0 {
            line if line.is_phone() => write!(
                f,
                "{name}: a phone number is right, like +49 30 1234-56, of at most {PHONE_CHARS_MAX} characters"
            ),
            CardLine::Mail => write!(
                f,
                "{name}: an address like bob@example.com is right, of at most {LINE_CHARS_MAX} characters"
            ),
            _ => write!(
                f,
                "{name}: one line of 1 to {LINE_CHARS_MAX} characters is right"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_written_and_wiped() {
        for (at, line) in CardLine::ALL.into_iter().enumerate() {
            assert_eq!(
                (line as usize, CardLine::parse(line.name())),
                (at, Some(line))
            );
        }
        let mut card = Card::default();
        assert_eq!(
            card.set(CardLine::WorkPhone, Some("+49 30 1234-56")),
            Ok(true)
        );
        assert_eq!(
            card.set(CardLine::WorkPhone, Some("+49 30 1234-56")),
            Ok(false)
        );
        assert_eq!(card.set(CardLine::Title, Some("Büroleiterin")), Ok(true));
        for (line, text) in [
            (CardLine::WorkPhone, "call me"),
            (CardLine::WorkPhone, ""),
            (CardLine::HomePhone, "+"),
            (CardLine::Mail, "bob"),
            (CardLine::Mail, "b b@x"),
            (CardLine::Mail, "a@b@c"),
            (CardLine::Office, "a\u{0}"),
        ] {
            assert_eq!(card.set(line, Some(text)), Err(CardError(line)), "{text}");
        }
        assert_eq!(card.set(CardLine::Mail, Some("bob@example.com")), Ok(true));
        let told: Vec<_> = card
            .lines()
            .map(|(line, text)| format!("{} {text}", line.name()))
            .collect();
        assert_eq!(
            told,
            [
                "work-phone +49 30 1234-56",
                "title Büroleiterin",
                "mail bob@example.com"
            ]
        );
        for line in CardLine::ALL {
            card.set(line, None).expect("wiped");
        }
        assert_eq!(card, Card::default());
    }
}
