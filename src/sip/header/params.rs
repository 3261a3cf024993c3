//! Header parameters: `;name=value;flag` (RFC 3261 §25.1, generic-param).

use std::borrow::Cow;

/// A list of parameters, read in place. Names are compared without case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a>(pub(crate) &'a str);

impl<'a> Params<'a> {
    /// Reads `;a=b;c="d"`, with or without the first semicolon; refuses what is no parameter list.
    pub fn parse(_text: &'a str) -> Result<Params<'a>, super::BadValue> {
        unimplemented!()
    }

    /// The value of `name`: `None` when it is absent, `Some(None)` when it is a flag; a quoted value is given without
    /// quotes and escapes.
    pub fn get(&self, _name: &str) -> Option<Option<Cow<'a, str>>> {
        unimplemented!()
    }

    /// The value of `name` where there is one, without quotes and escapes.
    pub fn value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).flatten()
    }

    /// The value of `name` as it is written, quotes and all.
    pub fn raw(&self, _name: &str) -> Option<Option<&'a str>> {
        unimplemented!()
    }

    /// Whether `name` is there, as a flag or with a value.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The text as it is written; empty, or beginning with a semicolon.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Each parameter in order: its name and its value as it is written.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        core::iter::empty()
    }
}

/// Writes a text as a quoted string: quotes and backslashes escaped, what may not stand in one left out.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl core::fmt::Display for Quoted<'_> {
    fn fmt(&self, _f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        unimplemented!()
    }
}
