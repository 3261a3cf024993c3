//! XML under hard limits: the one way in which this server reads it, and the one in which it writes it (`write`).
//!
//! A pull reader over quick-xml. Always holds: no document type is accepted, so no entity can be defined, and only
//! the five predefined ones and character references are resolved; depth, elements, attributes and text are bounded;
//! names are known by namespace, never by prefix. What is well-formed past the root's end is still checked.

mod copy;
pub mod write;

use std::borrow::Cow;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::errors::Error;
use quick_xml::escape::{EscapeError, resolve_predefined_entity};
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

/// Elements inside one another, the root included.
pub const DEPTH_MAX: usize = 32;
/// Elements in one document.
pub const ELEMENTS_MAX: usize = 4096;
/// Attributes of one element, namespace declarations included.
pub const ATTRIBUTES_MAX: usize = 32;
/// Namespace declarations in scope at once; each prefix look-up walks them.
pub const NAMESPACES_MAX: usize = 64;
/// Bytes of one element's text, after resolving references.
pub const TEXT_BYTES_MAX: usize = 8192;

/// Why a document was refused. Always the sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not UTF-8, or declared to be something else.
    Encoding,
    /// Not well-formed.
    Malformed,
    /// Has a document type declaration.
    Doctype,
    /// Refers to an entity that is not one of the five predefined ones.
    Entity,
    /// More than `DEPTH_MAX` levels.
    TooDeep,
    /// More than `ELEMENTS_MAX` elements.
    TooManyElements,
    /// More than `ATTRIBUTES_MAX` attributes, or `NAMESPACES_MAX` namespaces.
    TooManyAttributes,
    /// More than `TEXT_BYTES_MAX` bytes in one element.
    TextTooLong,
    /// An element of this format in another namespace, in none, or with an undeclared prefix.
    WrongNamespace,
    /// Another document than the one that was announced.
    WrongRoot,
    /// An element or attribute that the format requires is absent or makes no sense.
    Incomplete,
    /// More entries than the format's own limit here.
    TooManyEntries,
    /// A document within this one is longer than it may be.
    TooLong,
}

impl Fault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Fault::TooLong => 413,
            _ => 400,
        }
    }

    /// A few words for a reason phrase or a `Warning`.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Encoding => "XML Is Not UTF-8",
            Fault::Malformed => "Malformed XML",
            Fault::Doctype => "XML Document Type Refused",
            Fault::Entity => "Unknown XML Entity",
            Fault::TooDeep => "XML Too Deep",
            Fault::TooManyElements => "Too Many XML Elements",
            Fault::TooManyAttributes => "Too Many XML Attributes",
            Fault::TextTooLong => "XML Text Too Long",
            Fault::WrongNamespace => "Wrong XML Namespace",
            Fault::WrongRoot => "Wrong XML Document",
            Fault::Incomplete => "Incomplete XML Document",
            Fault::TooManyEntries => "Too Many Entries",
            Fault::TooLong => "XML Document Too Long",
        }
    }
}

/// The namespaces that this server knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// RFC 3863.
    Pidf,
    /// RFC 4479.
    DataModel,
    /// RFC 4480.
    Rpid,
    /// RFC 4589.
    LocationType,
    /// Cisco's addition to RPID; the only deployed name for "do not disturb".
    CiscoRpid,
    /// RFC 4575.
    ConferenceInfo,
    /// RFC 5438.
    Imdn,
    /// RFC 3994.
    IsComposing,
    /// RFC 4826.
    ResourceLists,
    /// RFC 4662.
    Rlmi,
    /// RFC 3858.
    WatcherInfo,
    /// RFC 4235.
    DialogInfo,
    /// SOAP 1.1.
    Soap,
    /// [MS-SIP].
    WinRtc,
    /// C3P ([MS-CONFBAS]).
    Cccp,
    /// [MS-PRES] §2.2.2.3: publications and faults.
    RichPresence,
    /// [MS-PRES] §2.2.2.4: published documents.
    Categories,
    /// [MS-PRES] §2.2.2.5: what a client wants to know of its own user.
    RoamingSelf,
    /// [MS-PRES] §2.2.2.9: who is in which container.
    Containers,
    /// [MS-PRES] §2.2.2.12: who has added the user.
    Subscribers,
    /// [MS-PRES] §2.2.2.7: subscriptions to many users.
    BatchSubscribe,
    /// [MS-PRES] §2.2.2.7: which categories of them.
    CategoryList,
    /// [MS-PRES] §2.2.2.4.2: one's state.
    LyncState,
    /// [MS-PRES] §2.2.2.4: one's note.
    LyncNote,
    /// Bound to a namespace that is not in this list: an extension.
    Other,
    /// No namespace at all.
    None,
}

const SPACES: &[(Space, &str)] = &[
    (Space::Pidf, "urn:ietf:params:xml:ns:pidf"),
    (Space::DataModel, "urn:ietf:params:xml:ns:pidf:data-model"),
    (Space::Rpid, "urn:ietf:params:xml:ns:pidf:rpid"),
    (Space::LocationType, "urn:ietf:params:xml:ns:location-type"),
    (Space::CiscoRpid, "urn:cisco:params:xml:ns:pidf:rpid"),
    (
        Space::ConferenceInfo,
        "urn:ietf:params:xml:ns:conference-info",
    ),
    (Space::Imdn, "urn:ietf:params:xml:ns:imdn"),
    (Space::IsComposing, "urn:ietf:params:xml:ns:im-iscomposing"),
    (Space::DialogInfo, "urn:ietf:params:xml:ns:dialog-info"),
    (
        Space::ResourceLists,
        "urn:ietf:params:xml:ns:resource-lists",
    ),
    (Space::Rlmi, "urn:ietf:params:xml:ns:rlmi"),
    (Space::Cccp, "urn:ietf:params:xml:ns:cccp"),
    (Space::WatcherInfo, "urn:ietf:params:xml:ns:watcherinfo"),
    (Space::Soap, "http://schemas.xmlsoap.org/soap/envelope/"),
    (
        Space::WinRtc,
        "http://schemas.microsoft.com/winrtc/2002/11/sip",
    ),
    (
        Space::RichPresence,
        "http://schemas.microsoft.com/2006/09/sip/rich-presence",
    ),
    (
        Space::Categories,
        "http://schemas.microsoft.com/2006/09/sip/categories",
    ),
    (
        Space::RoamingSelf,
        "http://schemas.microsoft.com/2006/09/sip/roaming-self",
    ),
    (
        Space::Containers,
        "http://schemas.microsoft.com/2006/09/sip/container-management",
    ),
    (
        Space::Subscribers,
        "http://schemas.microsoft.com/2006/09/sip/presence-subscribers",
    ),
    (
        Space::BatchSubscribe,
        "http://schemas.microsoft.com/2006/01/sip/batch-subscribe",
    ),
    (
        Space::CategoryList,
        "http://schemas.microsoft.com/2006/09/sip/categorylist",
    ),
    (
        Space::LyncState,
        "http://schemas.microsoft.com/2006/09/sip/state",
    ),
    (
        Space::LyncNote,
        "http://schemas.microsoft.com/2006/09/sip/note",
    ),
];

impl Space {
    /// The namespace name; empty for `Other` and `None`.
    pub fn name(self) -> &'static str {
        SPACES
            .iter()
            .find(|(space, _)| *space == self)
            .map_or("", |(_, name)| name)
    }

    fn of(name: &str) -> Space {
        SPACES
            .iter()
            .find(|(_, known)| *known == name)
            .map_or(Space::Other, |(space, _)| *space)
    }
}

/// The start of an element. Its attributes were checked when it was read.
#[derive(Debug)]
pub struct Element<'i> {
    /// The namespace it is in.
    pub space: Space,
    start: BytesStart<'i>,
}

impl Element<'_> {
    /// The name without its prefix.
    pub fn local(&self) -> &str {
        self.start.local_name().into_inner()
    }

    /// Is it this one?
    pub fn is(&self, space: Space, local: &str) -> bool {
        self.space == space && self.local() == local
    }

    /// Like `is`, but refuses the same name in a namespace that it has no business in: a reader that skipped it as an
    /// extension would publish less than its sender believes.
    pub fn is_strictly(&self, space: Space, local: &str) -> Result<bool, Fault> {
        if self.local() != local {
            return Ok(false);
        }
        if self.space == space {
            Ok(true)
        } else {
            Err(Fault::WrongNamespace)
        }
    }

    /// The value of the attribute with this name, whatever prefix it has, references resolved. For formats whose attributes
    /// are qualified: no two of one element differ in the prefix alone.
    pub fn attribute_local(&self, local: &str) -> Option<Cow<'_, str>> {
        self.start
            .attributes()
            .flatten()
            .find(|attribute| attribute.key.local_name().into_inner() == local)
            .and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok())
    }

    /// The value of the attribute with this exact written name (`id`, `xml:lang`), references resolved.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        self.start
            .attributes()
            .flatten()
            .find(|attribute| attribute.key.into_inner() == name)
            .and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok())
    }

    /// The type that an instance names (XML Schema §2.6.1), without its prefix; whichever prefix `xsi` has here.
    pub fn schema_type(&self) -> Option<String> {
        let mut attributes = self.start.attributes().flatten();
        let named = attributes.find(|attribute| {
            let (local, prefix) = attribute.key.decompose();
            local.into_inner() == "type" && prefix.is_some()
        })?;
        let value = named.normalized_value(XmlVersion::Implicit1_0).ok()?;
        let local = value.rsplit(':').next()?;
        Some(local.trim().to_owned())
    }
}

/// A pull reader: after `child` has given an element, read it with `child`, `text` or `skip` to its end.
#[derive(Debug)]
pub struct Reader<'i> {
    inner: NsReader<&'i [u8]>,
    depth: usize,
    elements: usize,
}

impl<'i> Reader<'i> {
    /// Reads up to and including the root's start, which must be `local` in `space`.
    pub fn open(
        bytes: &'i [u8],
        space: Space,
        local: &str,
    ) -> Result<(Reader<'i>, Element<'i>), Fault> {
        let text = core::str::from_utf8(bytes).map_err(|_| Fault::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !all_chars(text) {
            return Err(Fault::Malformed);
        }
        let mut inner = NsReader::from_str(text);
        inner.config_mut().expand_empty_elements = true;
        inner
            .resolver_mut()
            .set_max_namespace_bindings(NAMESPACES_MAX);
        let mut reader = Reader {
            inner,
            depth: 0,
            elements: 0,
        };
        let mut first = true;
        loop {
            match reader.step()? {
                Step::Open(root) => {
                    return match root.is_strictly(space, local)? {
                        true => Ok((reader, root)),
                        false => Err(Fault::WrongRoot),
                    };
                }
                Step::Declaration if first => {}
                Step::Text(text) if text.trim().is_empty() => {}
                Step::Aside => {}
                Step::Declaration | Step::Text(_) | Step::Close | Step::End => {
                    return Err(Fault::Malformed);
                }
            }
            first = false;
        }
    }

    /// The next element inside the current one, or `None` at the current one's end. Text between them is passed over.
    pub fn child(&mut self) -> Result<Option<Element<'i>>, Fault> {
        loop {
            match self.step()? {
                Step::Open(element) => return Ok(Some(element)),
                Step::Close => return Ok(None),
                Step::Text(_) | Step::Aside => {}
                Step::Declaration | Step::End => return Err(Fault::Malformed),
            }
        }
    }

    /// The text of the current element up to its end, without that of elements inside it. At most `TEXT_BYTES_MAX`.
    pub fn text(&mut self) -> Result<Cow<'i, str>, Fault> {
        let mut all = Cow::Borrowed("");
        loop {
            match self.step()? {
                Step::Text(part) => {
                    if all.len().saturating_add(part.len()) > TEXT_BYTES_MAX {
                        return Err(Fault::TextTooLong);
                    }
                    if all.is_empty() {
                        all = part;
                    } else {
                        all.to_mut().push_str(&part);
                    }
                }
                Step::Open(_) => self.skip()?,
                Step::Close => return Ok(all),
                Step::Aside => {}
                Step::Declaration | Step::End => return Err(Fault::Malformed),
            }
        }
    }

    /// Passes over the rest of the current element.
    pub fn skip(&mut self) -> Result<(), Fault> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            if let Step::Declaration | Step::End = self.step()? {
                return Err(Fault::Malformed);
            }
        }
        Ok(())
    }

    /// Checks that nothing but white space and comments follows the root.
    pub fn finish(mut self) -> Result<(), Fault> {
        loop {
            match self.step()? {
                Step::End => return Ok(()),
                Step::Aside => {}
                Step::Text(text) if text.trim().is_empty() => {}
                _ => return Err(Fault::Malformed),
            }
        }
    }

    fn step(&mut self) -> Result<Step<'i>, Fault> {
        let (resolved, event) = self.inner.read_resolved_event().map_err(|e| fault(&e))?;
        match event {
            Event::Start(start) => {
                let space = match resolved {
                    ResolveResult::Bound(Namespace(name)) => Space::of(name),
                    ResolveResult::Unbound => Space::None,
                    ResolveResult::Unknown(_) => return Err(Fault::WrongNamespace),
                };
                self.depth += 1;
                self.elements += 1;
                if self.depth > DEPTH_MAX {
                    return Err(Fault::TooDeep);
                }
                if self.elements > ELEMENTS_MAX {
                    return Err(Fault::TooManyElements);
                }
                check_attributes(&start)?;
                Ok(Step::Open(Element { space, start }))
            }
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(Step::Close)
            }
            Event::Text(text) => Ok(Step::Text(text.xml10_content())),
            Event::CData(text) => Ok(Step::Text(text.xml10_content())),
            Event::GeneralRef(reference) => {
                if let Some(character) = reference.resolve_char_ref().map_err(|e| fault(&e))? {
                    return match is_char(character) {
                        true => Ok(Step::Text(Cow::Owned(character.to_string()))),
                        false => Err(Fault::Malformed),
                    };
                }
                resolve_predefined_entity(&reference)
                    .map(|text| Step::Text(Cow::Borrowed(text)))
                    .ok_or(Fault::Entity)
            }
            Event::Comment(_) | Event::PI(_) => Ok(Step::Aside),
            Event::Decl(declaration) => check_declaration(&declaration),
            Event::DocType(_) => Err(Fault::Doctype),
            Event::Eof if self.depth == 0 => Ok(Step::End),
            // `expand_empty_elements` leaves no `Empty`; an end inside an element is a cut document.
            Event::Eof | Event::Empty(_) => Err(Fault::Malformed),
        }
    }
}

enum Step<'i> {
    Open(Element<'i>),
    Close,
    Text(Cow<'i, str>),
    Aside,
    Declaration,
    End,
}

fn check_attributes(start: &BytesStart<'_>) -> Result<(), Fault> {
    for (index, attribute) in start.attributes().enumerate() {
        if index >= ATTRIBUTES_MAX {
            return Err(Fault::TooManyAttributes);
        }
        let value = attribute
            .map_err(|_| Fault::Malformed)?
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|e| fault(&e))?;
        if !all_chars(&value) {
            return Err(Fault::Malformed);
        }
    }
    Ok(())
}

fn check_declaration<'i>(declaration: &BytesDecl<'_>) -> Result<Step<'i>, Fault> {
    let version = declaration.version().map_err(|_| Fault::Malformed)?;
    if version != "1.0" {
        return Err(Fault::Malformed);
    }
    match declaration.encoding() {
        None => Ok(Step::Declaration),
        Some(Ok(name))
            if name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("us-ascii") =>
        {
            Ok(Step::Declaration)
        }
        Some(_) => Err(Fault::Encoding),
    }
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::Encoding(_) => Fault::Encoding,
        Error::Escape(EscapeError::UnrecognizedEntity(..)) => Fault::Entity,
        Error::Namespace(quick_xml::name::NamespaceError::TooManyBindings(_)) => {
            Fault::TooManyAttributes
        }
        Error::Namespace(_) => Fault::WrongNamespace,
        _ => Fault::Malformed,
    }
}

/// May each character be in a document (XML 1.0 §2.2)?
fn all_chars(text: &str) -> bool {
    // All that is forbidden is a control character or begins with the byte EF. A piece at a time has no branches inside.
    let suspect =
        |byte: &u8| (*byte < b' ') & !matches!(byte, b'\t' | b'\n' | b'\r') | (*byte == 0xef);
    let mut pieces = text.as_bytes().chunks(64);
    let any = pieces.any(|piece| piece.iter().fold(false, |any, byte| any | suspect(byte)));
    !any || text.chars().all(is_char)
}

/// XML 1.0's `Char` (§2.2): no control characters but tab and line ends.
fn is_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
