//! An element taken out of its document, to be put into others.
//!
//! Always holds: what is written is well-formed, and so are its namespaces. Readers that pass over what they don't know need
//! less: quick-xml takes for a name all that is not white space, and looks for no attribute's prefix. Here that would
//! spoil the document of whoever is told.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::events::attributes::Attribute;
use quick_xml::name::{Namespace, NamespaceResolver, PrefixDeclaration, QName, ResolveResult};
use smallvec::SmallVec;

use super::{Element, Fault, Reader, Step, fault, write};

/// The namespaces of `xml:` and `xmlns:`.
const RESERVED: [&str; 2] = [
    "http://www.w3.org/XML/1998/namespace",
    "http://www.w3.org/2000/xmlns/",
];

impl Reader<'_> {
    /// Writes `element`, which was just given, and all in it up to its end, as a document that stands alone: with every
    /// namespace in its scope declared on it, so it means the same wherever it is put. Comments and instructions are left
    /// out.
    ///
    /// # Errors
    /// [`Fault::TooLong`] past `bytes_max` bytes of what is written.
    pub fn copy(&mut self, element: &Element<'_>, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        // Closing tags are written from here: the reader's ends carry a name too, but this one is checked by its type.
        let mut names: Vec<String> = Vec::new();
        let scope = self.inner.resolver();
        names.push(copy_name(&mut out, &element.start)?);
        copy_scope(&mut out, scope)?;
        copy_attributes(&mut out, &element.start, scope, false)?;
        out.push(b'>');
        while let Some(open) = names.last() {
            if out.len() > bytes_max {
                return Err(Fault::TooLong);
            }
            match self.step()? {
                Step::Open(element) => {
                    names.push(copy_name(&mut out, &element.start)?);
                    copy_attributes(&mut out, &element.start, self.inner.resolver(), true)?;
                    out.push(b'>');
                }
                Step::Close => {
                    out.extend_from_slice(b"</");
                    out.extend_from_slice(open.as_bytes());
                    out.push(b'>');
                    names.pop();
                }
                Step::Text(text) => write::escape(&mut out, &text, write::Place::Content),
                Step::Aside => {}
                Step::Declaration | Step::End => return Err(Fault::Malformed),
            }
        }
        if out.len() > bytes_max {
            return Err(Fault::TooLong);
        }
        Ok(out)
    }
}

/// Begins a tag, and gives its name. The reader has seen to it that its prefix is in scope.
fn copy_name(out: &mut Vec<u8>, start: &BytesStart<'_>) -> Result<String, Fault> {
    let name = start.name();
    check_name(name)?;
    // Bound without being declared, but no element may have it (Namespaces in XML 1.0 §3).
    if name
        .prefix()
        .is_some_and(|prefix| prefix.into_inner() == "xmlns")
    {
        return Err(Fault::WrongNamespace);
    }
    let name = name.into_inner().to_owned();
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    Ok(name)
}

/// Declares every namespace that is in scope.
fn copy_scope(out: &mut Vec<u8>, scope: &NamespaceResolver) -> Result<(), Fault> {
    let mut default = false;
    for (prefix, Namespace(namespace)) in scope.bindings() {
        out.extend_from_slice(b" xmlns");
        match prefix {
            PrefixDeclaration::Default => default = true,
            PrefixDeclaration::Named(prefix) => {
                if !is_ncname(prefix) {
                    return Err(Fault::Malformed);
                }
                out.push(b':');
                out.extend_from_slice(prefix.as_bytes());
            }
        }
        let namespace = namespace_name(namespace)?;
        check_binding(prefix, &namespace)?;
        write::attribute_value(out, namespace);
    }
    if !default {
        out.extend_from_slice(b" xmlns=\"\"");
    }
    Ok(())
}

/// Writes attributes as they are; the declarations of namespaces among them only where `declarations`.
fn copy_attributes(
    out: &mut Vec<u8>,
    start: &BytesStart<'_>,
    scope: &NamespaceResolver,
    declarations: bool,
) -> Result<(), Fault> {
    let mut qualified: SmallVec<[_; 4]> = SmallVec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| Fault::Malformed)?;
        check_name(attribute.key)?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|e| fault(&e))?;
        if let Some(prefix) = attribute.key.as_namespace_binding() {
            check_binding(prefix, &value)?;
            if !declarations {
                continue;
            }
        } else if attribute.key.prefix().is_some() {
            let (ResolveResult::Bound(namespace), local) = scope.resolve_attribute(attribute.key)
            else {
                return Err(Fault::WrongNamespace);
            };
            // Two prefixes of one namespace make no two names (Namespaces in XML 1.0 §6.3).
            let name = (namespace_name(namespace.into_inner())?, local);
            if qualified.contains(&name) {
                return Err(Fault::Malformed);
            }
            qualified.push(name);
        }
        out.push(b' ');
        out.extend_from_slice(attribute.key.into_inner().as_bytes());
        write::attribute_value(out, value);
    }
    Ok(())
}

/// A namespace's name as it is meant; a scope has it as it was written, with references.
fn namespace_name(written: &str) -> Result<Cow<'_, str>, Fault> {
    let attribute = Attribute {
        key: QName("xmlns"),
        value: Cow::Borrowed(written),
    };
    attribute
        .normalized_value(XmlVersion::Implicit1_0)
        .map_err(|e| fault(&e))
}

/// May a prefix be bound to this namespace? It can't be taken back (Namespaces in XML 1.0 §5), and two namespaces are nobody's
/// to bind (§3): the reader looks at how they are written, and here at what is meant.
fn check_binding(prefix: PrefixDeclaration<'_>, namespace: &str) -> Result<(), Fault> {
    let is_fine = match prefix {
        PrefixDeclaration::Named("xml") => true,
        PrefixDeclaration::Named(_) if namespace.is_empty() => false,
        _ => !RESERVED.contains(&namespace),
    };
    is_fine.then_some(()).ok_or(Fault::WrongNamespace)
}

fn check_name(name: QName<'_>) -> Result<(), Fault> {
    let (local, prefix) = name.decompose();
    let is_fine =
        is_ncname(local.into_inner()) && prefix.is_none_or(|prefix| is_ncname(prefix.into_inner()));
    is_fine.then_some(()).ok_or(Fault::Malformed)
}

/// Is it a name without a colon (XML 1.0 §2.3, Namespaces in XML 1.0 §3)?
fn is_ncname(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(begins_name) && characters.all(goes_on)
}

/// XML 1.0's `NameStartChar` (§2.3), but for the colon.
fn begins_name(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '_' => true,
        '\0'..='\x7f' => false,
        _ => matches!(
            character,
            '\u{c0}'..='\u{d6}'
                | '\u{d8}'..='\u{f6}'
                | '\u{f8}'..='\u{2ff}'
                | '\u{370}'..='\u{37d}'
                | '\u{37f}'..='\u{1fff}'
                | '\u{200c}'..='\u{200d}'
                | '\u{2070}'..='\u{218f}'
                | '\u{2c00}'..='\u{2fef}'
                | '\u{3001}'..='\u{d7ff}'
                | '\u{f900}'..='\u{fdcf}'
                | '\u{fdf0}'..='\u{fffd}'
                | '\u{10000}'..='\u{effff}'
        ),
    }
}

/// XML 1.0's `NameChar` (§2.3), but for the colon.
fn goes_on(character: char) -> bool {
    begins_name(character)
        || matches!(
            character,
            '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}'
        )
}

#[cfg(test)]
mod tests {
    use super::super::Space;
    use super::*;

    /// The first element of a document whose root declares `o`, copied.
    fn copied(inside: &str) -> Result<String, Fault> {
        let document =
            format!("<r xmlns='urn:ietf:params:xml:ns:pidf' xmlns:o='urn:o'>{inside}</r>");
        let (mut reader, _) = Reader::open(document.as_bytes(), Space::Pidf, "r")?;
        let element = reader.child()?.ok_or(Fault::Incomplete)?;
        let copy = reader.copy(&element, 4096)?;
        Ok(String::from_utf8(copy).expect("it was text"))
    }

    #[test]
    fn what_is_copied_means_the_same() {
        for (inside, expected) in [
            (
                "<a xmlns='urn:y' o:q='1' xml:lang='de'><b xmlns='' xmlns:p='urn:p' p:q='1'/></a>",
                "<a xmlns:o=\"urn:o\" xmlns=\"urn:y\" o:q=\"1\" xml:lang=\"de\"><b xmlns=\"\" xmlns:p=\"urn:p\" p:q=\"1\"></b></a>",
            ),
            // References mean what they stand for, in a namespace's name too.
            (
                "<a xmlns:p='http://h/?a=1&amp;b=2' v='1&#10;2&#9;3&#13;4\n5\t6'><b xmlns:q='urn:&#x41;&quot;' w='&#10;'>\n\t</b></a>",
                "<a xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:o=\"urn:o\" xmlns:p=\"http://h/?a=1&amp;b=2\" v=\"1&#10;2&#9;3&#13;4 5 6\"><b xmlns:q=\"urn:A&quot;\" w=\"&#10;\">\n\t</b></a>",
            ),
            // A name may be of any script, and the same name without a prefix is another one.
            (
                "<o:\u{fc}-1.\u{b7}_ q='1' o:q='2'/>",
                "<o:\u{fc}-1.\u{b7}_ xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:o=\"urn:o\" q=\"1\" o:q=\"2\"></o:\u{fc}-1.\u{b7}_>",
            ),
        ] {
            assert_eq!(copied(inside).as_deref(), Ok(expected), "{inside}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in [
            "a&b", "a<b", "a\"b", "a'b", "-a", "1", ".", "a:b:c", ":a", "o:", "o:1", "\u{d7}",
            "a\u{37e}", "a;", "a{", "\u{b7}a",
        ] {
            for inside in [
                format!("<{name}/>"),
                format!("<a><{name}/></a>"),
                format!("<a><{name}></{name}></a>"),
                format!("<a {name}='1'/>"),
                format!("<a><b {name}='1'/></a>"),
                format!("<a xmlns:{name}='urn:n'/>"),
                format!("<a><b xmlns:{name}='urn:n'/></a>"),
            ] {
                let found = copied(&inside);
                let refused = matches!(found, Err(Fault::Malformed | Fault::WrongNamespace));
                assert!(refused, "{inside}: {found:?}");
            }
        }
    }

    #[test]
    fn names_without_a_namespace_are_refused() {
        for (inside, expected) in [
            ("<a zz:q='1'/>", Fault::WrongNamespace),
            ("<a><b zz:q='1'/></a>", Fault::WrongNamespace),
            (
                "<a><b xmlns:p='urn:p'/><b p:q='1'/></a>",
                Fault::WrongNamespace,
            ),
            ("<a xmlns:o=''/>", Fault::WrongNamespace),
            ("<a><b xmlns:o=''/></a>", Fault::WrongNamespace),
            ("<xmlns:a/>", Fault::WrongNamespace),
            ("<a><xmlns:a/></a>", Fault::WrongNamespace),
            ("<a xmlns:p='urn:o' p:q='1' o:q='2'/>", Fault::Malformed),
            (
                "<a xmlns:p='urn:&#111;' p:q='1' o:q='2'/>",
                Fault::Malformed,
            ),
            (
                "<a xmlns:p='http://www.w3.org/XML/1998/namespac&#101;'/>",
                Fault::WrongNamespace,
            ),
            (
                "<a><b xmlns='http://www.w3.org/2000/xmlns&#47;'/></a>",
                Fault::WrongNamespace,
            ),
        ] {
            assert_eq!(copied(inside), Err(expected), "{inside}");
        }
    }
}
