//! Writes XML straight into a lent buffer, escaping what it is given. Names are ours, so they are trusted.
//!
//! Always holds: what is written is well-formed, whatever the values; characters that XML cannot carry become U+FFFD.

use core::fmt::{self, Arguments};
use std::borrow::Cow;
use std::fmt::Write as _;

use crate::documents::timestamp::{Timestamp, Zoneless};

/// The declaration that each document begins with.
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Open elements above each other that the documents of this server need at most; more is a bug of ours.
const DEPTH_MAX: usize = 12;

/// A document in the making. Names carry their prefix (`rpid:activities`).
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    names: [&'static str; DEPTH_MAX],
    depth: usize,
    start_open: bool,
}

impl<'o> Writer<'o> {
    /// Begins a document at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Writer<'o> {
        out.extend_from_slice(DECLARATION.as_bytes());
        Writer::within(out)
    }

    /// Begins an element that will stand in a document, at the end of `out`.
    pub fn within(out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer {
            out,
            names: [""; DEPTH_MAX],
            depth: 0,
            start_open: false,
        }
    }

    /// Opens an element inside the current one.
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.end_start();
        assert!(
            self.depth < DEPTH_MAX,
            "a document of ours nests deeper than its writer allows"
        );
        self.names[self.depth] = name;
        self.depth += 1;
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.start_open = true;
        self
    }

    /// Adds an attribute to the element that was opened last; nothing may have been written into it.
    pub fn attribute(&mut self, name: &'static str, value: impl Text) -> &mut Self {
        debug_assert!(self.start_open, "an attribute after the content");
        self.out.push(b' ');
        self.out.extend_from_slice(name.as_bytes());
        attribute_value(self.out, value);
        self
    }

    /// Adds text to the current element.
    pub fn text(&mut self, value: impl Text) -> &mut Self {
        self.end_start();
        value.escaped(self.out, Place::Content);
        self
    }

    /// Closes the current element. An empty one is written as `<name/>`, without a space: baresip 1.0 searches
    /// for `<rpid:busy/>` byte for byte.
    pub fn close(&mut self) -> &mut Self {
        assert!(self.depth > 0, "a document of ours closes what is not open");
        self.depth -= 1;
        if self.start_open {
            self.out.extend_from_slice(b"/>");
            self.start_open = false;
        } else {
            self.out.extend_from_slice(b"</");
            self.out
                .extend_from_slice(self.names[self.depth].as_bytes());
            self.out.push(b'>');
        }
        self
    }

    /// An element with nothing but text.
    pub fn element(&mut self, name: &'static str, text: impl Text) -> &mut Self {
        self.open(name).text(text).close()
    }

    /// An element with nothing in it.
    pub fn empty(&mut self, name: &'static str) -> &mut Self {
        self.open(name).close()
    }

    /// Puts a whole element here that stands alone, as `Reader::copy` gives it.
    pub fn document(&mut self, element: &[u8]) -> &mut Self {
        self.end_start();
        self.out.extend_from_slice(element);
        self
    }

    fn end_start(&mut self) {
        if self.start_open {
            self.out.push(b'>');
            self.start_open = false;
        }
    }
}

/// What can stand as text or as an attribute's value: it is escaped on its way.
pub trait Text {
    /// Appends it, escaped.
    fn escaped(&self, out: &mut Vec<u8>, place: Place);
}

impl<T: Text + ?Sized> Text for &T {
    fn escaped(&self, out: &mut Vec<u8>, place: Place) {
        (**self).escaped(out, place);
    }
}

impl Text for str {
    fn escaped(&self, out: &mut Vec<u8>, place: Place) {
        escape(out, self, place);
    }
}

impl Text for String {
    fn escaped(&self, out: &mut Vec<u8>, place: Place) {
        escape(out, self, place);
    }
}

impl Text for Box<str> {
    fn escaped(&self, out: &mut Vec<u8>, place: Place) {
        escape(out, self, place);
    }
}

impl Text for Cow<'_, str> {
    fn escaped(&self, out: &mut Vec<u8>, place: Place) {
        escape(out, self, place);
    }
}

impl Text for bool {
    fn escaped(&self, out: &mut Vec<u8>, place: Place) {
        escape(out, if *self { "true" } else { "false" }, place);
    }
}

/// What has nothing to escape, or is rare: by way of its `Display`.
macro_rules! displayed {
    ($($kind:ty),*) => {$(
        impl Text for $kind {
            fn escaped(&self, out: &mut Vec<u8>, place: Place) {
                // `Escaping` itself never fails; an error could only be the value's own, and then the value is cut short.
                let _ = write!(Escaping(out, place), "{self}");
            }
        }
    )*};
}
displayed!(
    u8,
    u16,
    u32,
    u64,
    usize,
    i16,
    i32,
    i64,
    Arguments<'_>,
    Timestamp,
    Zoneless
);

/// Writes an attribute from its `=` on.
pub(super) fn attribute_value(out: &mut Vec<u8>, value: impl Text) {
    out.extend_from_slice(b"=\"");
    value.escaped(out, Place::Attribute);
    out.push(b'"');
}

/// Where text is to stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In an element.
    Content,
    /// In an attribute. Line ends and tabs are referred to there: a reader makes spaces of literal ones (XML 1.0 §3.3.3).
    Attribute,
}

/// Writes text, escaped for its place.
pub(super) fn escape(out: &mut Vec<u8>, text: &str, place: Place) {
    let suspects = match place {
        Place::Content => &IN_CONTENT,
        Place::Attribute => &IN_ATTRIBUTE,
    };
    let mut rest = text;
    // Most text has nothing to escape, and is copied whole.
    while let Some(at) = rest.bytes().position(|byte| suspects[usize::from(byte)]) {
        let (plain, suspect) = rest.split_at(at);
        let mut characters = suspect.chars();
        let Some(character) = characters.next() else {
            return;
        };
        out.extend_from_slice(plain.as_bytes());
        let replacement = match character {
            '<' => "&lt;",
            '>' => "&gt;",
            '&' => "&amp;",
            '"' => "&quot;",
            // A literal one would come back as "\n" from text and as a space from an attribute (XML 1.0 §2.11, §3.3.3).
            '\r' => "&#13;",
            '\n' => "&#10;",
            '\t' => "&#9;",
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
            _ => &suspect[..character.len_utf8()],
        };
        out.extend_from_slice(replacement.as_bytes());
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

static IN_CONTENT: [bool; 256] = suspects(Place::Content);
static IN_ATTRIBUTE: [bool; 256] = suspects(Place::Attribute);

/// Bytes that a character to be replaced may begin with: U+FFFE and U+FFFF begin with EF.
const fn suspects(place: Place) -> [bool; 256] {
    let mut suspect = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        suspect[byte] = match byte as u8 {
            b'\t' | b'\n' => matches!(place, Place::Attribute),
            b'<' | b'>' | b'&' | b'"' | 0xef => true,
            other => other < 0x20,
        };
        byte += 1;
    }
    suspect
}

struct Escaping<'o>(&'o mut Vec<u8>, Place);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text, self.1);
        Ok(())
    }
}
