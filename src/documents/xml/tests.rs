//! Reading under limits, and writing what reads back. Here also: no bytes make any reader of `documents` panic.

use proptest::prelude::*;

use super::write::Writer;
use super::*;

/// Walks a whole document: the names and texts in it, in order.
fn walk(document: &[u8]) -> Result<Vec<String>, Fault> {
    let (mut reader, root) = Reader::open(document, Space::Pidf, "r")?;
    let mut seen = vec![format!("{}", root.local())];
    let mut depth = 1usize;
    while depth > 0 {
        match reader.child()? {
            Some(element) if element.is(Space::Pidf, "t") => {
                seen.push(format!("={}", reader.text()?));
            }
            Some(element) => {
                depth += 1;
                seen.push(format!("{:?}:{}", element.space, element.local()));
            }
            None => depth -= 1,
        }
    }
    reader.finish()?;
    Ok(seen)
}

fn root(inside: &str) -> String {
    format!("<r xmlns='urn:ietf:params:xml:ns:pidf'>{inside}</r>")
}

#[test]
fn well_formed_documents_are_walked() {
    let cases = [
        (root(""), "r"),
        (root("<a/><b></b>"), "r Pidf:a Pidf:b"),
        (root("text <a/> text"), "r Pidf:a"),
        (
            root("<t>a&amp;b&lt;&#65;&#x42;<![CDATA[<&>]]></t>"),
            "r =a&b<AB<&>",
        ),
        (root("<t>a<!-- no -->b<?pi no?>c<a>d</a>e</t>"), "r =abce"),
        (root("<t>a\r\nb\rc</t>"), "r =a\nb\nc"),
        (
            root("<x:a xmlns:x='urn:x'/><a xmlns=''/>"),
            "r Other:a None:a",
        ),
        (
            root("<x:a xmlns:x='urn:ietf:params:xml:ns:pidf:rpid'><x:b/></x:a>"),
            "r Rpid:a Rpid:b",
        ),
        (
            format!(
                "\u{feff}<?xml version='1.0'?><!-- hi -->{}\n<!-- bye -->\n",
                root("")
            ),
            "r",
        ),
        (
            format!("<?xml version='1.0' encoding='utf-8'?>{}", root("")),
            "r",
        ),
        ("<p:r xmlns:p='urn:ietf:params:xml:ns:pidf'/>".into(), "r"),
    ];
    for (document, expected) in cases {
        assert_eq!(
            walk(document.as_bytes()).map(|seen| seen.join(" ")),
            Ok(expected.to_string()),
            "{document}"
        );
    }
}

#[test]
fn bad_documents_get_their_fault() {
    let bomb = "<!DOCTYPE r [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>";
    let cases = [
        (String::new(), Fault::Malformed),
        ("   ".into(), Fault::Malformed),
        ("hello".into(), Fault::Malformed),
        (format!("{bomb}{}", root("<t>&b;</t>")), Fault::Doctype),
        (
            format!("<!DOCTYPE r SYSTEM 'file:///etc/passwd'>{}", root("")),
            Fault::Doctype,
        ),
        (root("<t>&nbsp;</t>"), Fault::Entity),
        (root("&nbsp;"), Fault::Entity),
        (root("<a b='&nbsp;'/>"), Fault::Entity),
        (root("<t>&#0;</t>"), Fault::Malformed),
        (root("<t>&#7;</t>"), Fault::Malformed),
        (root("<t>&#xFFFE;</t>"), Fault::Malformed),
        (root("<t>&#x110000;</t>"), Fault::Malformed),
        (root("<a b='&#7;'/>"), Fault::Malformed),
        (root("<t>\u{7}</t>"), Fault::Malformed),
        (root("<t>a & b</t>"), Fault::Malformed),
        (root("<a>"), Fault::Malformed),
        (root("</a>"), Fault::Malformed),
        (root("<a></b>"), Fault::Malformed),
        (root("<a b=c/>"), Fault::Malformed),
        (root("<a b='1' b='2'/>"), Fault::Malformed),
        (root("<!-- open"), Fault::Malformed),
        (root("<?xml version='1.0'?>"), Fault::Malformed),
        (root("") + &root(""), Fault::Malformed),
        (root("") + "tail", Fault::Malformed),
        (root("").replace("</r>", ""), Fault::Malformed),
        (
            "<?xml version='1.1'?>".to_string() + &root(""),
            Fault::Malformed,
        ),
        (
            "<?xml version='1.0' encoding='latin1'?>".to_string() + &root(""),
            Fault::Encoding,
        ),
        (root("<x:a/>"), Fault::WrongNamespace),
        (
            root("<xmlns:a xmlns:xmlns='urn:x'/>"),
            Fault::WrongNamespace,
        ),
        ("<r/>".into(), Fault::WrongNamespace),
        (
            "<q xmlns='urn:ietf:params:xml:ns:pidf'/>".into(),
            Fault::WrongRoot,
        ),
    ];
    for (document, expected) in cases {
        assert_eq!(walk(document.as_bytes()), Err(expected), "{document}");
        assert_eq!(expected.status(), 400);
        assert!(!expected.reason().is_empty());
    }
    assert_eq!(walk(b"<r>\xff</r>"), Err(Fault::Encoding));
    assert_eq!(walk(b"\xff\xfe<\0r\0"), Err(Fault::Encoding));
}

#[test]
fn each_limit_holds_and_what_just_fits_passes() {
    let nested = |levels: usize| root(&("<a>".repeat(levels) + &"</a>".repeat(levels)));
    assert!(walk(nested(DEPTH_MAX - 1).as_bytes()).is_ok());
    assert_eq!(walk(nested(DEPTH_MAX).as_bytes()), Err(Fault::TooDeep));
    // A million levels cost what the first thirty-three do.
    assert_eq!(
        walk(root(&"<a>".repeat(1_000_000)).as_bytes()),
        Err(Fault::TooDeep)
    );

    let many = |count: usize| root(&"<a/>".repeat(count));
    assert!(walk(many(ELEMENTS_MAX - 1).as_bytes()).is_ok());
    assert_eq!(
        walk(many(ELEMENTS_MAX).as_bytes()),
        Err(Fault::TooManyElements)
    );

    let wide = |count: usize| {
        let attributes: String = (0..count).map(|n| format!(" a{n}=''")).collect();
        root(&format!("<a{attributes}/>"))
    };
    assert!(walk(wide(ATTRIBUTES_MAX).as_bytes()).is_ok());
    assert_eq!(
        walk(wide(ATTRIBUTES_MAX + 1).as_bytes()),
        Err(Fault::TooManyAttributes)
    );

    let declared: String = (0..NAMESPACES_MAX + 1)
        .map(|n| format!(" xmlns:n{n}='urn:{n}'"))
        .collect();
    assert_eq!(
        walk(root(&format!("<a{declared}/>")).as_bytes()),
        Err(Fault::TooManyAttributes)
    );

    let long = |bytes: usize| root(&format!("<t>{}</t>", "x".repeat(bytes)));
    assert!(walk(long(TEXT_BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(
        walk(long(TEXT_BYTES_MAX + 1).as_bytes()),
        Err(Fault::TextTooLong)
    );
    let pieces = root(&format!("<t>{}</t>", "&#120;".repeat(TEXT_BYTES_MAX + 1)));
    assert_eq!(walk(pieces.as_bytes()), Err(Fault::TextTooLong));
}

#[test]
fn skipping_ends_at_the_elements_own_end() {
    let document = root("<a><b><a/></b>text</a><t>after</t>");
    let (mut reader, _) = Reader::open(document.as_bytes(), Space::Pidf, "r").unwrap();
    assert_eq!(reader.child().unwrap().unwrap().local(), "a");
    reader.skip().unwrap();
    assert_eq!(reader.child().unwrap().unwrap().local(), "t");
    assert_eq!(reader.text().unwrap(), "after");
    assert!(reader.child().unwrap().is_none());
    reader.finish().unwrap();
}

#[test]
fn attributes_are_found_by_their_written_name() {
    let document = "<r xmlns='urn:ietf:params:xml:ns:pidf' id='a&amp;&#66;' xml:lang='de'/>";
    let (_, element) = Reader::open(document.as_bytes(), Space::Pidf, "r").unwrap();
    assert_eq!(element.attribute("id").as_deref(), Some("a&B"));
    assert_eq!(element.attribute("xml:lang").as_deref(), Some("de"));
    assert_eq!(element.attribute("lang"), None);
}

/// What XML keeps of a text: characters that it cannot carry are replaced.
fn kept(text: &str) -> String {
    text.chars()
        .map(|c| if is_char(c) { c } else { '\u{fffd}' })
        .collect()
}

proptest! {
    #[test]
    fn any_text_survives_writing_and_reading(text in any::<String>(), value in any::<String>(), spaces in "[a\\r\\n\\t ]*") {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer
            .open("r")
            .attribute("xmlns", Space::Pidf.name())
            .attribute("v", &value)
            .attribute("w", &spaces)
            .element("t", &text)
            .close();
        let (mut reader, root) = Reader::open(&out, Space::Pidf, "r").unwrap();
        // XML 1.0 §3.3.3 lets a reader see a character reference to a line end as it is.
        prop_assert_eq!(root.attribute("v").unwrap(), kept(&value));
        prop_assert_eq!(root.attribute("w").unwrap(), spaces);
        prop_assert!(reader.child().unwrap().is_some());
        prop_assert_eq!(reader.text().unwrap(), kept(&text));
        prop_assert!(reader.child().unwrap().is_none());
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn no_bytes_make_any_reader_panic(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "(<|>|/|&|;|a|b|'|\"|=| |<r |xmlns=|<!--|-->|<!DOCTYPE|\\[|\\]|<!\\[CDATA\\[|<\\?|\\?>|#|x){0,60}"
                .prop_map(String::into_bytes),
        ],
    ) {
        use crate::documents::{conference_info, cpim, imdn, iscomposing, message_summary, multipart, pidf, resource_lists, sdp, sipfrag};
        let _ = walk(&bytes);
        let _ = pidf::read(&bytes);
        let _ = conference_info::read(&bytes);
        let _ = imdn::read(&bytes);
        let _ = iscomposing::read(&bytes);
        let _ = resource_lists::read(&bytes, 250);
        let _ = cpim::Cpim::read(&bytes);
        let _ = sdp::Description::read(&bytes);
        let _ = message_summary::read(&bytes);
        let _ = multipart::read("x", &bytes);
        let _ = sipfrag::read(&bytes);
    }

    #[test]
    fn no_broken_document_makes_its_reader_panic(at in 0usize..2000, with in any::<u8>(), cut in 0usize..2000) {
        use crate::documents::pidf;
        let note = pidf::Note { text: "n".into(), language: "en".into() };
        let mut out = Vec::new();
        use crate::documents::rpid::{Activities, Activity, ShownActivities};
        let now = crate::sip::time::Now(0);
        let activities = ShownActivities {
            first: Some(Activity::Away),
            set: Activities::NONE,
            other: Some("o"),
            note: Some("s"),
            until: Some(now),
        };
        pidf::write(&mut out, &pidf::Shown {
            activities,
            note: Some(&note),
            idle: Some(Some(now)),
            place: crate::documents::place::Place::of("office"),
            location: Some("l"),
            offset_min: Some(60),
            since: Some(now),
            ..pidf::Shown::bare("sip:a@b", pidf::Basic::Open)
        });
        let length = out.len();
        out[at % length] = with;
        out.truncate(length.saturating_sub(cut % length));
        let _ = pidf::read(&out);
    }
}
