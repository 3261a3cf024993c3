//! Name and address: From, To, Contact, Route and their like (RFC 3261 §20.10).

use std::borrow::Cow;

use super::{BadValue, Params};
use crate::sip::uri::{BadUri, Uri};

/// A URI with a display name and header parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NameAddr<'a> {
    /// The display name as it is written, quotes and all; empty where there is none.
    pub display: &'a str,
    /// The URI as it is written, without brackets.
    pub uri: &'a str,
    /// The header parameters, not those of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value.
    pub fn parse(_text: &'a str) -> Result<NameAddr<'a>, BadValue> {
        unimplemented!()
    }

    /// The `tag` parameter (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&'a str> {
        self.params.raw("tag").flatten()
    }

    /// The URI, read.
    pub fn uri(&self) -> Result<Uri<'a>, BadUri> {
        Uri::parse(self.uri)
    }

    /// The display name without quotes and escapes; empty where there is none.
    pub fn display_name(&self) -> Cow<'a, str> {
        unimplemented!()
    }
}

/// What the Contact lines of a message say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Contacts<'a> {
    /// `Contact: *`, all bindings (RFC 3261 §10.2.2).
    Star,
    /// The contacts in order; may be empty.
    List(smallvec::SmallVec<[NameAddr<'a>; 2]>),
}
