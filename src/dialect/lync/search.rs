//! A search of the directory ([MS-SIP] §2.2.2): what is asked for, whether somebody is meant, and what is told of them.
//!
//! Name and address are found by everybody, also of whom one may see nothing but availability, and of who has blocked the
//! searcher: somebody who was missing there would tell that they have.

use crate::presence::{Card, CardLine, Level, Part, sees};
use crate::sip::uri::Aor;

/// Who is found in one search, at most.
pub const RESULTS_MAX: usize = 100;
/// Bytes of a condition that are looked at.
const VALUE_BYTES_MAX: usize = 256;

/// What a condition looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    /// The beginning of the name.
    GivenName,
    /// The beginning of a later word of it.
    Surname,
    /// Anywhere in it.
    DisplayName,
    Mail,
    Address,
    Company,
    Title,
    Office,
    /// Something that this server does not keep: nobody has it.
    Unknown,
}

/// What is searched for: somebody for whom all conditions hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    conditions: Vec<(Field, Box<str>)>,
    /// How many are to be found, at most.
    pub results_max: usize,
}

/// Somebody who was found: as much of them as the searcher may know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The name that others see; may be empty.
    pub name: Box<str>,
    /// The address of record.
    pub user: Aor,
    /// Mail, company, phone, title, office; each may be empty.
    pub card: [Box<str>; 5],
}

/// What a search may read of somebody.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    /// The address of record.
    pub user: &'e Aor,
    /// The name that others see; may be empty.
    pub name: &'e str,
    /// The card, if there is one.
    pub card: Option<&'e Card>,
}

/// Which lines of the card a row has, by the names of its attributes.
const LINES: [(&str, CardLine); 5] = [
    ("email", CardLine::Mail),
    ("company", CardLine::Company),
    ("phone", CardLine::WorkPhone),
    ("title", CardLine::Title),
    ("office", CardLine::Office),
];

/// May this level see that line in the directory? What is of the company is for colleagues.
fn shows(level: Level, line: CardLine) -> bool {
    match line {
        CardLine::WorkPhone => sees(level, Part::WorkPhone),
        CardLine::Mail => sees(level, Part::Mail),
        CardLine::MobilePhone => sees(level, Part::MobilePhone),
        CardLine::HomePhone | CardLine::OtherPhone => sees(level, Part::HomePhone),
        CardLine::Company | CardLine::Title | CardLine::Office => level >= Level::Colleagues,
    }
}

impl Question {
    /// From names of attributes and what they are to begin with. Conditions without a value are none; where there is none
    /// at all nobody is meant.
    pub fn new(conditions: &[(String, String)], results_max: Option<u32>) -> Question {
        let condition = |(name, value): &(String, String)| {
            let field = match &*name.to_ascii_lowercase() {
                "givenname" => Field::GivenName,
                "sn" => Field::Surname,
                "displayname" => Field::DisplayName,
                "mail" => Field::Mail,
                "msrtcsip-primaryuseraddress" => Field::Address,
                "company" => Field::Company,
                "title" => Field::Title,
                "physicaldeliveryofficename" | "office" => Field::Office,
                _ => Field::Unknown,
            };
            let value = match field {
                Field::Address => value.strip_prefix("sip:").unwrap_or(value),
                _ => value,
            };
            // Past the bound it is a condition all the same, and nobody meets it.
            let end = value.floor_char_boundary(VALUE_BYTES_MAX);
            (!value.is_empty()).then(|| (field, value[..end].to_lowercase().into()))
        };
        Question {
            conditions: conditions.iter().filter_map(condition).collect(),
            results_max: results_max.map_or(RESULTS_MAX, |most| (most as usize).min(RESULTS_MAX)),
        }
    }

    /// Whether it could mean anybody.
    pub fn is_hopeless(&self) -> bool {
        self.conditions.is_empty()
            || self.results_max == 0
            || self
                .conditions
                .iter()
                .any(|(field, _)| *field == Field::Unknown)
    }

    /// Whether `entry` is meant, by what `level` may see of it. `level` is asked for only where the rest fits, for it
    /// costs more.
    pub fn finds(&self, entry: Entry<'_>, level: impl FnOnce() -> Level) -> Option<Row> {
        if self.is_hopeless() {
            return None;
        }
        let fits = |(field, value): &(Field, Box<str>)| {
            let line = |line| entry.card.and_then(|card| card.get(line)).unwrap_or("");
            match field {
                Field::GivenName => begins(entry.name, value),
                Field::Surname => later_words(entry.name).any(|word| begins(word, value)),
                Field::DisplayName => lower(entry.name).contains(&**value),
                // Who has said no other mail address has that of their account, or none: it is not told, and not found.
                Field::Mail => begins(line(CardLine::Mail), value),
                Field::Address => begins(entry.user.as_str(), value),
                Field::Company => begins(line(CardLine::Company), value),
                Field::Title => begins(line(CardLine::Title), value),
                Field::Office => begins(line(CardLine::Office), value),
                Field::Unknown => false,
            }
        };
        if !self.conditions.iter().all(fits) {
            return None;
        }
        // Name and address are the directory's: who has blocked the searcher stands in it as they do for strangers, or a
        // search would tell who has.
        let level = level().max(Level::External);
        let seen = |(field, _): &(Field, Box<str>)| match field {
            Field::Mail => shows(level, CardLine::Mail),
            Field::Company => shows(level, CardLine::Company),
            Field::Title => shows(level, CardLine::Title),
            Field::Office => shows(level, CardLine::Office),
            _ => true,
        };
        if !self.conditions.iter().all(seen) {
            return None;
        }
        let shown = |(_, line): (&str, CardLine)| {
            let text = entry.card.and_then(|card| card.get(line));
            text.filter(|_| shows(level, line)).unwrap_or("").into()
        };
        Some(Row {
            name: entry.name.into(),
            user: entry.user.clone(),
            card: LINES.map(shown),
        })
    }
}

impl Row {
    /// Its attributes; those that are empty are left out but for the name.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let user = [
            ("uri", format!("sip:{}", self.user.as_str().to_lowercase())),
            ("displayName", String::from(&*self.name)),
        ];
        let card = LINES
            .iter()
            .zip(&self.card)
            .filter(|(_, text)| !text.is_empty())
            .map(|((name, _), text)| (*name, String::from(&**text)));
        user.into_iter().chain(card)
    }
}

/// The words of a name but the first.
fn later_words(name: &str) -> impl Iterator<Item = &str> {
    name.split_whitespace().skip(1)
}

/// Whether `text`, whatever its case, begins with `start`, which is in lower case.
fn begins(text: &str, start: &str) -> bool {
    // Nearly all who are looked at differ in the first letter.
    match (text.bytes().next(), start.bytes().next()) {
        (Some(one), Some(other)) if one.is_ascii() && other.is_ascii() => {
            one.eq_ignore_ascii_case(&other) && lower(text).starts_with(start)
        }
        (None, _) => false,
        _ => lower(text).starts_with(start),
    }
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(conditions: &[(&str, &str)], level: Level) -> String {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let question = Question::new(&conditions, Some(10));
        let user = Aor::parse("bob@example.com").expect("an address");
        let mut card = Card::default();
        for (line, text) in [
            (CardLine::Mail, "robert@example.com"),
            (CardLine::Company, "Contoso"),
            (CardLine::WorkPhone, "+49 30 1"),
            (CardLine::HomePhone, "+49 30 2"),
            (CardLine::Title, "Chief"),
        ] {
            card.set(line, Some(text)).expect("it fits");
        }
        let entry = Entry {
            user: &user,
            name: "Robert Müller-Äpfel van Gogh",
            card: Some(&card),
        };
        match question.finds(entry, || level) {
            None => "nobody".to_owned(),
            Some(row) => row
                .attributes()
                .map(|(name, value)| format!("{name}={value};"))
                .collect(),
        }
    }

    #[test]
    fn somebody_is_found_by_how_each_word_begins() {
        let whole = "uri=sip:bob@example.com;displayName=Robert Müller-Äpfel van Gogh;email=robert@example.com;\
                     company=Contoso;phone=+49 30 1;title=Chief;";
        for (conditions, found) in [
            (&[("givenName", "rob")][..], true),
            (&[("givenName", "ROBERT M")], true),
            (&[("givenName", "van")], false),
            (&[("sn", "mÜLL")], true),
            (&[("sn", "gogh")], true),
            (&[("sn", "Robert")], false),
            (&[("displayName", "äpfel")], true),
            (&[("mail", "robert@")], true),
            (&[("mail", "bob@")], false),
            (&[("msRTCSIP-PrimaryUserAddress", "sip:BOB@example")], true),
            (&[("msRTCSIP-PrimaryUserAddress", "alice")], false),
            (&[("company", "cont"), ("givenName", "rob")], true),
            (&[("company", "fabrikam"), ("givenName", "rob")], false),
            (&[("company", ""), ("givenName", "rob")], true),
            (&[("c", "DE"), ("givenName", "rob")], false),
            (&[("givenName", "")], false),
            (&[], false),
        ] {
            let expected = if found { whole } else { "nobody" };
            let said = rows(conditions, Level::Colleagues);
            assert_eq!(said, expected, "{conditions:?}");
        }
    }

    #[test]
    fn nobody_is_found_by_what_one_may_not_see() {
        let name = [("givenName", "rob")];
        let mail = [("mail", "robert")];
        let bare = "uri=sip:bob@example.com;displayName=Robert Müller-Äpfel van Gogh;";
        for level in [Level::Blocked, Level::External] {
            assert_eq!(rows(&name, level), bare);
            assert_eq!(rows(&mail, level), "nobody");
        }
        assert!(rows(&mail, Level::Colleagues).contains("phone=+49 30 1;"));
        assert!(!rows(&mail, Level::Own).contains("+49 30 2"));
    }

    #[test]
    fn a_question_is_bounded() {
        let long = "é".repeat(300);
        let question = Question::new(&[("sn".into(), long)], Some(5_000));
        assert_eq!(question.results_max, RESULTS_MAX);
        assert!(question.conditions[0].1.len() <= VALUE_BYTES_MAX);
        assert!(Question::new(&[("sn".into(), "a".into())], Some(0)).is_hopeless());
    }
}
