//! What a Lync client asks by SOAP over SERVICE ([MS-SIP] §2.2.2, §3.5): changes of its user's contacts and groups, and
//! searches of the directory. Read into edits and a question; the answers written.
//!
//! Elements are known by their namespace, never by prefix; those that are not known are passed over.

use crate::dialect::lync::search::{Question, Row};
use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};
use crate::presence::{ContactEdit, GROUPS_MAX};
use crate::sip::uri::Aor;

/// The type of requests and answers.
pub const CONTENT_TYPE: &str = "application/SOAP+xml";
/// Conditions of one search that are looked at.
pub const CONDITIONS_MAX: usize = 16;

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// A change of the contact list, by who knows the list of this number.
    Edit {
        /// The method's name, which its answer repeats.
        method: &'static str,
        /// What.
        edit: ContactEdit,
        /// `deltaNum`; `None` where it is not said.
        known: Option<u32>,
    },
    /// A search of the directory.
    Search(Question),
}

/// Why a call is refused before it has a meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It can't be read, or lacks what it needs.
    Xml(Fault),
    /// A method that this server has not.
    Method,
}

/// The methods that change the list.
const EDITS: [&str; 5] = [
    "setContact",
    "deleteContact",
    "addGroup",
    "modifyGroup",
    "deleteGroup",
];
const SEARCH: &str = "directorySearch";

/// The fields of a method that mean something here, as they are written.
#[derive(Default)]
struct Fields {
    display_name: Option<String>,
    groups: Option<String>,
    uri: Option<String>,
    name: Option<String>,
    group_id: Option<String>,
    delta: Option<String>,
    results_max: Option<String>,
}

/// Reads a request.
///
/// # Errors
/// With what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Call, Bad> {
    let (mut reader, _) = Reader::open(bytes, Space::Soap, "Envelope").map_err(Bad::Xml)?;
    let call = envelope(&mut reader).map_err(Bad::Xml)?;
    reader.finish().map_err(Bad::Xml)?;
    match call {
        Some((method, fields, conditions)) => meant(&method, &fields, conditions),
        None => Err(Bad::Xml(Fault::Incomplete)),
    }
}

/// A method's name, its fields, and what a search is for.
type Written = (String, Fields, Vec<(String, String)>);

fn envelope(reader: &mut Reader<'_>) -> Result<Option<Written>, Fault> {
    let mut method = None;
    let mut fields = Fields::default();
    let mut conditions = Vec::new();
    while let Some(element) = reader.child()? {
        if !element.is_strictly(Space::Soap, "Body")? {
            reader.skip()?;
            continue;
        }
        while let Some(element) = reader.child()? {
            if element.is(Space::WinRtc, "Array") {
                rows(reader, &mut conditions)?;
            } else if element.space == Space::WinRtc && method.is_none() {
                method = Some(element.local().to_owned());
                fields = read_fields(reader)?;
            } else {
                reader.skip()?;
            }
        }
    }
    Ok(method.map(|method| (method, fields, conditions)))
}

fn read_fields(reader: &mut Reader<'_>) -> Result<Fields, Fault> {
    let mut fields = Fields::default();
    while let Some(element) = reader.child()? {
        let place = match element.local() {
            _ if element.space != Space::WinRtc => None,
            "displayName" => Some(&mut fields.display_name),
            "groups" => Some(&mut fields.groups),
            "URI" => Some(&mut fields.uri),
            "name" => Some(&mut fields.name),
            "groupID" => Some(&mut fields.group_id),
            "deltaNum" => Some(&mut fields.delta),
            "maxResults" => Some(&mut fields.results_max),
            _ => None,
        };
        match place {
            Some(place) => *place = Some(reader.text()?.trim().to_owned()),
            None => reader.skip()?,
        }
    }
    Ok(fields)
}

fn rows(reader: &mut Reader<'_>, conditions: &mut Vec<(String, String)>) -> Result<(), Fault> {
    while let Some(element) = reader.child()? {
        if element.is(Space::WinRtc, "row") {
            let name = element.attribute_local("attrib").ok_or(Fault::Incomplete)?;
            let value = element.attribute_local("value").ok_or(Fault::Incomplete)?;
            if conditions.len() >= CONDITIONS_MAX {
                return Err(Fault::TooManyEntries);
            }
            conditions.push((name.into_owned(), value.trim().to_owned()));
        }
        reader.skip()?;
    }
    Ok(())
}

fn meant(method: &str, fields: &Fields, conditions: Vec<(String, String)>) -> Result<Call, Bad> {
    if method == SEARCH {
        let most = number(fields.results_max.as_deref()).map_err(Bad::Xml)?;
        return Ok(Call::Search(Question::new(&conditions, most)));
    }
    let method = EDITS
        .into_iter()
        .find(|each| *each == method)
        .ok_or(Bad::Method)?;
    let edit = edit(method, fields).map_err(Bad::Xml)?;
    let known = number(fields.delta.as_deref()).map_err(Bad::Xml)?;
    Ok(Call::Edit {
        method,
        edit,
        known,
    })
}

fn edit(method: &'static str, fields: &Fields) -> Result<ContactEdit, Fault> {
    let whom = || {
        let uri = fields.uri.as_deref().ok_or(Fault::Incomplete)?;
        Aor::parse(uri).ok_or(Fault::Incomplete)
    };
    let name = || {
        fields
            .name
            .as_deref()
            .map(Box::from)
            .ok_or(Fault::Incomplete)
    };
    let group = || bit(fields.group_id.as_deref().ok_or(Fault::Incomplete)?);
    Ok(match method {
        "setContact" => ContactEdit::Put {
            whom: whom()?,
            name: fields.display_name.as_deref().unwrap_or_default().into(),
            groups: bits(fields.groups.as_deref().unwrap_or_default())?,
        },
        "deleteContact" => ContactEdit::Remove(whom()?),
        "addGroup" => ContactEdit::AddGroup(name()?),
        "modifyGroup" => ContactEdit::RenameGroup(group()?, name()?),
        _ => ContactEdit::RemoveGroup(group()?),
    })
}

/// The bit of a group's id.
fn bit(id: &str) -> Result<u32, Fault> {
    let id: u32 = id.parse().map_err(|_| Fault::Incomplete)?;
    (1..=GROUPS_MAX as u32)
        .contains(&id)
        .then(|| id - 1)
        .ok_or(Fault::Incomplete)
}

/// The bits of several, with blanks between them.
fn bits(ids: &str) -> Result<u64, Fault> {
    ids.split_whitespace()
        .try_fold(0, |bits, id| Ok(bits | 1 << bit(id)?))
}

fn number(text: Option<&str>) -> Result<Option<u32>, Fault> {
    text.filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(|_| Fault::Incomplete))
        .transpose()
}

const SPACES: [(&str, Space); 2] = [("xmlns:s", Space::Soap), ("xmlns:m", Space::WinRtc)];

fn write(inside: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut xml = Writer::new(&mut out);
    xml.open("s:Envelope");
    for (name, space) in SPACES {
        xml.attribute(name, space.name());
    }
    xml.open("s:Body");
    inside(&mut xml);
    xml.close().close();
    out
}

/// The answer to a change that was made: the method again, and the id of the group that it made.
pub fn made(method: &'static str, group: Option<u32>) -> Vec<u8> {
    let element = match method {
        "setContact" => "m:setContact",
        "deleteContact" => "m:deleteContact",
        "addGroup" => "m:addGroup",
        "modifyGroup" => "m:modifyGroup",
        _ => "m:deleteGroup",
    };
    write(|xml| {
        xml.open(element);
        if let Some(bit) = group {
            xml.element("m:groupID", bit + 1);
        }
        xml.close();
    })
}

/// The answer to a search.
pub fn found(rows: &[Row], more: bool) -> Vec<u8> {
    write(|xml| {
        xml.open("m:directorySearch")
            .element("m:moreAvailable", more)
            .close();
        xml.open("m:Array");
        for row in rows {
            xml.open("m:row");
            for (name, value) in row.attributes() {
                xml.attribute(name, value);
            }
            xml.close();
        }
        xml.close();
    })
}

/// Why nothing was done; `number` is that of the list, where the caller knew another.
pub fn fault(theirs: bool, reason: &str, number: Option<u32>) -> Vec<u8> {
    write(|xml| {
        let code = if theirs { "s:Client" } else { "s:Server" };
        xml.open("s:Fault")
            .element("faultcode", code)
            .element("faultstring", reason);
        if let Some(number) = number {
            xml.open("detail").element("m:deltaNum", number).close();
        }
        xml.close();
    })
}

#[cfg(test)]
mod tests;
