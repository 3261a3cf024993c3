//! The shapes that the standards' schemas demand, as facts to check our documents against. Tests only.
//!
//! A shape lists an element's required attributes and its children as a sequence of parts. It is less than XML Schema
//! and enough for the formats here, whose content models are all plain sequences.

use crate::documents::xml::{Element, Reader, Space};

/// One part of a sequence of children.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Exactly one.
    One(&'static Shape),
    /// None or one.
    Maybe(&'static Shape),
    /// Any number.
    Many(&'static Shape),
    /// At least one of these, in any order.
    SomeOf(&'static [&'static str]),
    /// Any number of elements of any other namespace than this one; their own shapes are checked where listed.
    Others(&'static [&'static Shape]),
}

/// What may be inside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inside {
    /// Children in this order.
    Parts(&'static [Part]),
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number.
    Number,
    /// A number, perhaps below zero.
    Whole,
    /// An RFC 3339 date.
    Date,
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) space: Space,
    pub(super) local: &'static str,
    pub(super) attributes: &'static [&'static str],
    pub(super) inside: Inside,
}

/// Checks a whole document; says what is wrong with it.
pub(super) fn check(document: &[u8], shape: &Shape) -> Result<(), String> {
    let (mut reader, root) = Reader::open(document, shape.space, shape.local)
        .map_err(|fault| format!("root: {fault:?}"))?;
    check_element(&root, &mut reader, shape)?;
    reader.finish().map_err(|fault| format!("end: {fault:?}"))
}

fn check_element(
    element: &Element<'_>,
    reader: &mut Reader<'_>,
    shape: &Shape,
) -> Result<(), String> {
    let name = shape.local;
    for attribute in shape.attributes {
        element
            .attribute(attribute)
            .ok_or_else(|| format!("{name}: no attribute {attribute}"))?;
    }
    let parts = match shape.inside {
        Inside::Parts(parts) => parts,
        other => return check_text(name, &read_text(reader)?, other),
    };
    let mut parts = parts.iter().peekable();
    // How many children the current part has taken.
    let mut taken = 0usize;
    while let Some(child) = reader
        .child()
        .map_err(|fault| format!("{name}: {fault:?}"))?
    {
        loop {
            let Some(part) = parts.peek() else {
                return Err(format!("{name}: {} is out of place", child.local()));
            };
            if part.takes(&child, shape.space, taken) {
                part.check(&child, reader)?;
                taken += 1;
                break;
            }
            if part.requires_more(taken) {
                return Err(format!("{name}: {} before {part:?}", child.local()));
            }
            parts.next();
            taken = 0;
        }
    }
    for part in parts {
        if part.requires_more(taken) {
            return Err(format!("{name}: ends before {part:?}"));
        }
        taken = 0;
    }
    Ok(())
}

impl Part {
    fn takes(&self, child: &Element<'_>, home: Space, taken: usize) -> bool {
        match self {
            Part::One(shape) | Part::Maybe(shape) => {
                taken == 0 && child.is(shape.space, shape.local)
            }
            Part::Many(shape) => child.is(shape.space, shape.local),
            Part::SomeOf(names) => child.space == home && names.contains(&child.local()),
            Part::Others(_) => child.space != home,
        }
    }

    fn requires_more(&self, taken: usize) -> bool {
        matches!(self, Part::One(_) | Part::SomeOf(_)) && taken == 0
    }

    fn check(&self, child: &Element<'_>, reader: &mut Reader<'_>) -> Result<(), String> {
        let shape = match self {
            Part::One(shape) | Part::Maybe(shape) | Part::Many(shape) => Some(*shape),
            Part::SomeOf(_) => None,
            Part::Others(shapes) => shapes
                .iter()
                .copied()
                .find(|shape| child.is(shape.space, shape.local)),
        };
        match shape {
            Some(shape) => check_element(child, reader, shape),
            None => read_text(reader).map(drop),
        }
    }
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, String> {
    reader
        .text()
        .map(|text| text.into_owned())
        .map_err(|fault| format!("text: {fault:?}"))
}

fn check_text(name: &str, text: &str, inside: Inside) -> Result<(), String> {
    let fine = match inside {
        Inside::Parts(_) | Inside::Text => true,
        Inside::Word(words) => words.contains(&text),
        Inside::Number => text.parse::<u32>().is_ok(),
        Inside::Whole => text.parse::<i32>().is_ok(),
        Inside::Date => crate::documents::timestamp::read(text).is_some(),
    };
    match fine {
        true => Ok(()),
        false => Err(format!("{name}: {text:?} is not {inside:?}")),
    }
}
