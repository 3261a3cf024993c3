//! Where somebody is: the kind of place (RFC 4589) and words for it, in RPID's `place-type` (RFC 4480 §3.6).

use crate::documents::rpid::one_line;
use crate::documents::xml::write::Writer;
use crate::documents::xml::{Element, Fault, Reader, Space};

/// A kind of place. The number of its row in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place(u8);

/// The table: the element as this server writes it, in the order of the registry.
const TABLE: &[&str] = &[
    "lt:aircraft",
    "lt:airport",
    "lt:arena",
    "lt:automobile",
    "lt:bank",
    "lt:bar",
    "lt:bicycle",
    "lt:bus",
    "lt:bus-station",
    "lt:cafe",
    "lt:classroom",
    "lt:club",
    "lt:construction",
    "lt:convention-center",
    "lt:government",
    "lt:hospital",
    "lt:hotel",
    "lt:industrial",
    "lt:library",
    "lt:motorcycle",
    "lt:office",
    "lt:outdoors",
    "lt:parking",
    "lt:place-of-worship",
    "lt:prison",
    "lt:public",
    "lt:public-transport",
    "lt:residence",
    "lt:restaurant",
    "lt:school",
    "lt:shopping-area",
    "lt:stadium",
    "lt:store",
    "lt:street",
    "lt:theater",
    "lt:train",
    "lt:train-station",
    "lt:truck",
    "lt:underway",
    "lt:warehouse",
    "lt:water",
    "lt:watercraft",
];

impl Place {
    /// The place of a name of RFC 4589; `None` for one that is not in the table.
    pub fn of(name: &str) -> Option<Place> {
        let at = TABLE
            .iter()
            .position(|written| written.strip_prefix("lt:") == Some(name))?;
        u8::try_from(at).ok().map(Place)
    }

    fn written(self) -> &'static str {
        TABLE
            .get(usize::from(self.0))
            .copied()
            .unwrap_or("lt:public")
    }
}

/// What a `place-type` element says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Location {
    /// The kind of place.
    pub place: Option<Place>,
    /// Words for it, on one line.
    pub words: Option<Box<str>>,
}

/// Reads a `place-type` element whose start was just read. An element that is not in the table is passed over.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Location, Fault> {
    let mut location = Location::default();
    while let Some(element) = reader.child()? {
        if element.is(Space::Rpid, "note") || element.is(Space::Rpid, "other") {
            let words = one_line(&reader.text()?);
            location.words = location.words.or(words);
        } else {
            location.place = location.place.or(place_of(&element));
            reader.skip()?;
        }
    }
    Ok(location)
}

fn place_of(element: &Element<'_>) -> Option<Place> {
    (element.space == Space::LocationType)
        .then(|| Place::of(element.local()))
        .flatten()
}

/// Writes a `place-type` element, unless there is nothing to say. The prefixes `rpid` and `lt` must be declared.
pub(super) fn write(writer: &mut Writer<'_>, place: Option<Place>, words: Option<&str>) {
    match (place, words) {
        (None, None) => return,
        (Some(place), words) => {
            writer.open("rpid:place-type");
            if let Some(words) = words {
                writer.element("rpid:note", words);
            }
            writer.empty(place.written());
        }
        // The schema wants an element beside the notes: `other` carries the words then.
        (None, Some(words)) => {
            writer.open("rpid:place-type").element("rpid:other", words);
        }
    }
    writer.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_known_by_its_name() {
        for (at, written) in TABLE.iter().enumerate() {
            let place = written.strip_prefix("lt:").and_then(Place::of);
            assert_eq!(place.map(|place| usize::from(place.0)), Some(at));
            assert_eq!(place.map(Place::written), Some(*written));
        }
        assert_eq!(Place::of("moon"), None);
        assert!(TABLE.is_sorted());
    }
}
