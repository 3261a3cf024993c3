//! The calls that SIPE makes, and what is refused of what it might be.

use super::*;

fn envelope(body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:m=\"http://schemas.microsoft.com/winrtc/2002/11/sip\"><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn check(body: &str, expected: &str) {
    let said = match read(envelope(body).as_bytes()) {
        Ok(Call::Edit {
            method,
            edit,
            known,
        }) => format!("{method} {edit:?} {known:?}"),
        Ok(Call::Search(question)) => format!("search for {}", question.results_max),
        Err(bad) => format!("{bad:?}"),
    };
    let said = said.replace("Aor(\"", "(\"");
    assert_eq!(said, expected, "{body}");
}

#[test]
fn calls_are_read() {
    check(
        "<m:setContact><m:displayName> Bob &amp; Co </m:displayName><m:groups>1 3 64</m:groups><m:subscribed>true</m:subscribed>\
         <m:URI>sip:bob@example.com</m:URI><m:externalURI/><m:deltaNum>7</m:deltaNum></m:setContact>",
        "setContact Put { whom: (\"bob@example.com\"), name: \"Bob & Co\", groups: 9223372036854775813 } Some(7)",
    );
    check(
        "<m:setContact><m:URI>sip:bob@example.com</m:URI></m:setContact>",
        "setContact Put { whom: (\"bob@example.com\"), name: \"\", groups: 0 } None",
    );
    check(
        "<m:deleteContact><m:URI>sip:bob@example.com</m:URI><m:deltaNum>8</m:deltaNum></m:deleteContact>",
        "deleteContact Remove((\"bob@example.com\")) Some(8)",
    );
    check(
        "<m:addGroup><m:name>~</m:name><m:externalURI/><m:deltaNum>1</m:deltaNum></m:addGroup>",
        "addGroup AddGroup(\"~\") Some(1)",
    );
    check(
        "<m:modifyGroup><m:groupID>2</m:groupID><m:name>B\u{fc}ro</m:name></m:modifyGroup>",
        "modifyGroup RenameGroup(1, \"B\u{fc}ro\") None",
    );
    check(
        "<m:deleteGroup><m:groupID>64</m:groupID></m:deleteGroup>",
        "deleteGroup RemoveGroup(63) None",
    );
    check(
        "<m:directorySearch><m:filter m:href=\"#searchArray\"/><m:maxResults>30</m:maxResults></m:directorySearch>\
         <m:Array xmlns:m=\"http://schemas.microsoft.com/winrtc/2002/11/sip\" m:id=\"searchArray\"><m:row m:attrib=\"givenName\" m:value=\"bob\"/></m:Array>",
        "search for 30",
    );
}

#[test]
fn prefixes_do_not_matter_and_what_is_unknown_is_passed_over() {
    let text = "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Header><x xmlns='urn:x'/></Header><Body>\
        <addGroup xmlns='http://schemas.microsoft.com/winrtc/2002/11/sip'><colour xmlns='urn:x'>red</colour><name>A</name><new><name>B</name></new></addGroup>\
        <extra xmlns='urn:x'/></Body></Envelope>";
    let expected = Call::Edit {
        method: "addGroup",
        edit: ContactEdit::AddGroup("A".into()),
        known: None,
    };
    assert_eq!(read(text.as_bytes()), Ok(expected));
}

#[test]
fn bad_calls_are_refused() {
    for (body, expected) in [
        ("", "Xml(Incomplete)"),
        ("<m:setPresence/>", "Method"),
        ("<m:setACE><m:type>USER</m:type></m:setACE>", "Method"),
        ("<setContact/>", "Xml(Incomplete)"),
        ("<m:setContact/>", "Xml(Incomplete)"),
        (
            "<m:setContact><m:URI>bob</m:URI></m:setContact>",
            "Xml(Incomplete)",
        ),
        (
            "<m:setContact><m:URI>sip:bob@x</m:URI><m:groups>0</m:groups></m:setContact>",
            "Xml(Incomplete)",
        ),
        (
            "<m:setContact><m:URI>sip:bob@x</m:URI><m:groups>65</m:groups></m:setContact>",
            "Xml(Incomplete)",
        ),
        (
            "<m:setContact><m:URI>sip:bob@x</m:URI><m:deltaNum>-1</m:deltaNum></m:setContact>",
            "Xml(Incomplete)",
        ),
        ("<m:addGroup/>", "Xml(Incomplete)"),
        (
            "<m:deleteGroup><m:groupID>x</m:groupID></m:deleteGroup>",
            "Xml(Incomplete)",
        ),
        (
            "<m:directorySearch/><m:Array><m:row m:attrib='sn'/></m:Array>",
            "Xml(Incomplete)",
        ),
    ] {
        check(body, expected);
    }
    let many = "<m:row m:attrib='sn' m:value='a'/>".repeat(CONDITIONS_MAX + 1);
    check(
        &format!("<m:directorySearch/><m:Array>{many}</m:Array>"),
        "Xml(TooManyEntries)",
    );
    assert_eq!(
        read(b"<!DOCTYPE x []><x/>"),
        Err(Bad::Xml(Fault::Doctype)),
        "no entity is ever defined"
    );
}

#[test]
fn answers_are_soap() {
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("text");
        let (_, body) = text.split_once("<s:Body>").expect("a body");
        body.replace("</s:Body></s:Envelope>", "")
    };
    assert_eq!(
        text(made("addGroup", Some(2))),
        "<m:addGroup><m:groupID>3</m:groupID></m:addGroup>"
    );
    assert_eq!(text(made("setContact", None)), "<m:setContact/>");
    assert_eq!(
        text(fault(true, "a < b", Some(7))),
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>a &lt; b</faultstring><detail><m:deltaNum>7</m:deltaNum></detail></s:Fault>"
    );
    let row = Row {
        name: "Bob".into(),
        user: Aor::parse("bob@example.com").expect("an address"),
        card: ["b@x", "", "", "", "1.02"].map(Box::from),
    };
    assert_eq!(
        text(found(&[row], true)),
        "<m:directorySearch><m:moreAvailable>true</m:moreAvailable></m:directorySearch>\
         <m:Array><m:row uri=\"sip:bob@example.com\" displayName=\"Bob\" email=\"b@x\" office=\"1.02\"/></m:Array>"
    );
}

/// Whatever is cut off or changed in a call, it is read as one or refused.
#[test]
fn nothing_that_is_cut_or_changed_breaks_the_reader() {
    let calls = [
        envelope(
            "<m:setContact><m:displayName>B&#252;&amp;</m:displayName><m:groups>1 2</m:groups><m:URI>sip:bob@example.com</m:URI><m:deltaNum>7</m:deltaNum></m:setContact>",
        ),
        envelope(
            "<m:directorySearch><m:filter m:href=\"#a\"/><m:maxResults>30</m:maxResults></m:directorySearch><m:Array m:id=\"a\"><m:row m:attrib=\"sn\" m:value=\"b\"/></m:Array>",
        ),
    ];
    let mut refused = 0;
    for call in calls {
        assert!(read(call.as_bytes()).is_ok());
        for end in 0..call.len() {
            refused += usize::from(read(&call.as_bytes()[..end]).is_err());
        }
        let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..20_000 {
            let mut bytes = call.clone().into_bytes();
            for _ in 0..3 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let at = (random >> 33) as usize % bytes.len();
                match random >> 30 & 3 {
                    0 => bytes[at] = (random >> 20) as u8,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b"<>&\"'=/ "[(random >> 20) as usize % 8]),
                    _ => bytes.swap(at, (random >> 12) as usize % call.len().min(at + 1)),
                }
            }
            refused += usize::from(read(&bytes).is_err());
        }
    }
    assert!(refused > 10_000, "{refused}");
}
