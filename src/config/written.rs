//! The config file as written: TOML with the place of every key, read one key at a time so that each error
//! can say where it is, what was found there and what would be right. What the keys mean is `config`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in the config file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    file: Arc<Path>,
    line: usize,
}

impl Place {
    /// The error that `found` is here, where `right` would be right.
    pub fn wrong(&self, found: impl Into<String>, right: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_path_buf(),
            line: Some(self.line),
            found: found.into(),
            right: right.into(),
        }
    }
}

/// Why a config cannot be used: the operator's to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line, from 1, where there is one.
    pub line: Option<usize>,
    /// What was found.
    pub found: String,
    /// What would be right.
    pub right: String,
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}; {}", self.found, self.right)
    }
}

impl std::error::Error for ConfigError {}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// The text of a config file, for turning byte positions into lines.
pub(super) struct Source<'t> {
    file: Arc<Path>,
    text: &'t str,
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &Path, text: &'t str) -> Source<'t> {
        Source {
            file: file.into(),
            text,
        }
    }

    pub(super) fn place(&self, byte: usize) -> Place {
        let before = self.text.as_bytes().get(..byte).unwrap_or_default();
        Place {
            file: self.file.clone(),
            line: 1 + before.iter().filter(|b| **b == b'\n').count(),
        }
    }

    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'t>>, ConfigError> {
        DeTable::parse(self.text).map_err(|error| {
            let place = self.place(error.span().map_or(0, |span| span.start));
            place.wrong(
                format!("this is not TOML: {}", error.message().replace('\n', ", ")),
                "see https://toml.io for the language, and README.md for the keys",
            )
        })
    }
}

/// One table of the file, read key by key.
pub(super) struct Section<'s, 't> {
    /// As written in errors: empty for the top of the file.
    name: &'static str,
    source: &'s Source<'t>,
    table: Option<&'s DeTable<'t>>,
    known: Vec<&'static str>,
}

/// What a key's error says in front: `listen.sips`.
fn path(section: &str, key: &str) -> String {
    match section {
        "" => format!("`{key}`"),
        _ => format!("`{section}.{key}`"),
    }
}

impl<'s, 't> Section<'s, 't> {
    pub(super) fn top(source: &'s Source<'t>, table: &'s DeTable<'t>) -> Section<'s, 't> {
        Section {
            name: "",
            source,
            table: Some(table),
            known: Vec::new(),
        }
    }

    /// The section `name` of this one; every key has its default where the file hasn't the section.
    pub(super) fn section(&mut self, name: &'static str) -> Result<Section<'s, 't>, ConfigError> {
        let right = format!("a section is right here, such as `[{name}]` on a line of its own");
        let table = match self.value(name) {
            None => None,
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => return Err(self.wrong(name, value, right)),
            },
        };
        Ok(Section {
            name,
            source: self.source,
            table,
            known: Vec::new(),
        })
    }

    fn value(&mut self, key: &'static str) -> Option<&'s Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn found(&self, key: &str, value: &Spanned<DeValue<'_>>) -> String {
        let written = self.source.text.get(value.span()).unwrap_or_default();
        let mut shown: String = written
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(60)
            .collect();
        if shown.len() < written.len() && shown.chars().count() == 60 {
            shown.push('…');
        }
        format!("{} is {shown}", path(self.name, key))
    }

    fn wrong(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        right: impl Into<String>,
    ) -> ConfigError {
        self.source
            .place(value.span().start)
            .wrong(self.found(key, value), right)
    }

    /// A string; `example` is what the error shows.
    pub(super) fn string(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<Option<At<String>>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some(At {
                value: text.to_string(),
                place: self.source.place(value.span().start),
            })),
            _ => Err(self.wrong(
                key,
                value,
                format!("a string is right here, such as {example}"),
            )),
        }
    }

    /// A list of strings; `example` is what the error shows.
    pub(super) fn strings(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<Option<At<Vec<At<String>>>>, ConfigError> {
        let right = format!("a list of strings is right here, such as {example}");
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let DeValue::Array(array) = value.get_ref() else {
            return Err(self.wrong(key, value, right));
        };
        let mut list = Vec::new();
        for item in array.iter() {
            let DeValue::String(text) = item.get_ref() else {
                return Err(self.wrong(key, value, right));
            };
            list.push(At {
                value: text.to_string(),
                place: self.source.place(item.span().start),
            });
        }
        Ok(Some(At {
            value: list,
            place: self.source.place(value.span().start),
        }))
    }

    /// A list of whole numbers from zero on.
    pub(super) fn numbers(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        example: &str,
    ) -> Result<Option<At<Vec<u64>>>, ConfigError> {
        let right = format!(
            "a list of whole numbers from {} to {} is right here, such as {example}",
            range.start(),
            range.end()
        );
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let DeValue::Array(array) = value.get_ref() else {
            return Err(self.wrong(key, value, right));
        };
        let mut list = Vec::new();
        for item in array.iter() {
            match whole(item.get_ref()).filter(|n| range.contains(n)) {
                Some(number) => list.push(number),
                None => return Err(self.wrong(key, value, right)),
            }
        }
        Ok(Some(At {
            value: list,
            place: self.source.place(value.span().start),
        }))
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<At<u64>>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match whole(value.get_ref()).filter(|n| range.contains(n)) {
            Some(number) => Ok(Some(At {
                value: number,
                place: self.source.place(value.span().start),
            })),
            None => Err(self.wrong(
                key,
                value,
                format!(
                    "a whole number from {} to {} is right here",
                    range.start(),
                    range.end()
                ),
            )),
        }
    }

    /// The place of a key, or `None` where it is not written.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        let value = self.table?.get(key)?;
        Some(self.source.place(value.span().start))
    }

    /// The error for a key that comes with a later version, where the file has it.
    pub(super) fn later(&self, key: &str, why: &str) -> Result<(), ConfigError> {
        match self.table.and_then(|table| table.get_key_value(key)) {
            None => Ok(()),
            Some((name, _)) => Err(self
                .source
                .place(name.span().start)
                .wrong(format!("{} is not known yet", path(self.name, key)), why)),
        }
    }

    /// Refuses what nobody asked for: a key that is ignored is worse than one that is refused.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let unknown = self.table.into_iter().flat_map(|table| table.keys());
        // The first in the file, not the first in the alphabet.
        let first = unknown
            .filter(|key| !self.known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        let Some(key) = first else {
            return Ok(());
        };
        let near = self
            .known
            .iter()
            .map(|known| (distance(known, key.get_ref()), *known))
            .min()
            .filter(|(steps, known)| *steps <= 2.max(known.len() / 3));
        let right = match near {
            Some((_, known)) => format!("did you mean {}?", path(self.name, known)),
            None => format!("the keys here are {}", self.known.join(", ")),
        };
        Err(self.source.place(key.span().start).wrong(
            format!("unknown key {}", path(self.name, key.get_ref())),
            right,
        ))
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Edits between two words (insert, drop, change a letter), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    // Both are keys; a long one is no near miss of anything here, and the table below stays small.
    if a.len().abs_diff(b.len()) > 8 || b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (above, other) in row.iter_mut().skip(1).zip(&b) {
            let change = corner + usize::from(letter != *other);
            corner = *above;
            left = change.min(left + 1).min(corner + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn words_are_as_far_apart_as_the_edits_between_them() {
        for (a, b, steps) in [
            ("sips", "sips", 0),
            ("sips", "sip", 1),
            ("domains", "domain", 1),
            ("schemes", "shcemes", 2),
            ("data_dir", "datadir", 1),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
            assert_eq!(distance(b, a), steps, "{b} {a}");
        }
    }
}
