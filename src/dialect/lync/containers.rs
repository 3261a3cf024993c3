//! Who is in which container ([MS-PRES] §2.2.2.9): the rules of `presence::Access` as Lync's clients know them, both ways.
//!
//! A member is at one level, so in one container. Where a user has no rule of their own the defaults are shown as members:
//! the own organisation in 200, others in 100; where there is a rule for everyone, both in its container. All containers share the
//! rules' one version, and all are told on each change.

use crate::documents::xml::write::Writer;
use crate::documents::xml::{Fault, Reader, Space};
use crate::presence::{Access, AccessError, Level, MEMBERS_MAX, Member};
use crate::sip::uri::Aor;

/// The type of a request to change them.
pub const CONTENT_TYPE: &str = "application/msrtc-setcontainermembers+xml";

/// The namespace of the containers that are told; a request's is another.
const TOLD: &str = "http://schemas.microsoft.com/2006/09/sip/containers";

/// The levels that have a container, as clients count them.
const LEVELS: [Level; 5] = [
    Level::External,
    Level::Colleagues,
    Level::Workgroup,
    Level::Friends,
    Level::Blocked,
];

/// One change of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Who.
    pub member: Member,
    /// In which container.
    pub level: Level,
    /// In, or out.
    pub add: bool,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// For each container that it names: which of the request's it is, from 0, and the version that its sender knows.
    pub versions: Vec<(usize, u32)>,
    /// What is to be done.
    pub steps: Vec<Step>,
}

/// Why a request is refused. Nothing of it was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It can't be read.
    Xml(Fault),
    /// It names a container that has no members.
    Container(u32),
    /// It names nobody.
    Member(String),
    /// It puts one member into two containers.
    Contradiction(Member),
    /// More rules than there may be.
    Rules(AccessError),
}

impl From<Fault> for Bad {
    fn from(fault: Fault) -> Bad {
        Bad::Xml(fault)
    }
}

/// Reads a request.
///
/// # Errors
/// Where it can't be read, or contradicts itself.
pub fn read(body: &[u8]) -> Result<Request, Bad> {
    let (mut reader, _) = Reader::open(body, Space::Containers, "setContainerMembers")?;
    let mut request = Request::default();
    while let Some(element) = reader.child()? {
        if !element.is_strictly(Space::Containers, "container")? {
            reader.skip()?;
            continue;
        }
        let number = |name| element.attribute(name)?.trim().parse::<u32>().ok();
        let id = number("id").ok_or(Fault::Incomplete)?;
        let version = number("version").ok_or(Fault::Incomplete)?;
        let found = LEVELS.into_iter().find(|level| level.container() == id);
        let level = found.ok_or(Bad::Container(id))?;
        request.versions.push((request.versions.len(), version));
        while let Some(element) = reader.child()? {
            if !element.is_strictly(Space::Containers, "member")? {
                reader.skip()?;
                continue;
            }
            let kind = element.attribute("type").unwrap_or_default();
            let value = element.attribute("value").unwrap_or_default();
            let read = member(&kind, value.trim());
            let member = read.ok_or_else(|| Bad::Member(value.trim().to_owned()))?;
            let add = match element.attribute("action").as_deref() {
                Some("add") => true,
                Some("remove") => false,
                _ => return Err(Fault::Incomplete.into()),
            };
            reader.skip()?;
            if request.steps.len() >= 2 * MEMBERS_MAX {
                return Err(Fault::TooManyEntries.into());
            }
            request.steps.push(Step { member, level, add });
        }
    }
    reader.finish()?;
    let mut added: Vec<(&Member, Level)> = request
        .steps
        .iter()
        .filter(|step| step.add)
        .map(|step| (&step.member, step.level))
        .collect();
    added.sort();
    let twice = added
        .windows(2)
        .find(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
    match twice {
        Some(pair) => Err(Bad::Contradiction(pair[0].0.clone())),
        None => Ok(request),
    }
}

fn member(kind: &str, value: &str) -> Option<Member> {
    match kind {
        // Clients of this dialect take an address for the same whatever its case, and write it in lower case everywhere else: with
        // capitals the rule would be nobody's.
        "user" => {
            let value = value.to_lowercase();
            Aor::parse(value.strip_prefix("sip:").unwrap_or(&value)).map(Member::User)
        }
        "domain" => Member::domain(value),
        "sameEnterprise" => Some(Member::SameOrganisation),
        "federated" => Some(Member::Federated),
        "publicCloud" => Some(Member::PublicCloud),
        "everyone" => Some(Member::Everyone),
        _ => None,
    }
}

/// Does what a request says. Who is put into one container is in no other.
///
/// # Errors
/// Past the bound on rules; then some of it may have been done.
pub fn apply(access: &mut Access, steps: &[Step]) -> Result<(), AccessError> {
    // First out, then in: a full set of rules has room for who moves.
    for step in steps.iter().filter(|step| !step.add) {
        let there = access.members().iter();
        let mut there = there.filter(|(member, _)| *member == step.member);
        if there.any(|(_, level)| *level == step.level) {
            access.unset(&step.member);
        }
    }
    for step in steps.iter().filter(|step| step.add) {
        access.set(step.member.clone(), step.level)?;
    }
    Ok(())
}

/// Writes all containers, with all their members.
pub fn write(xml: &mut Writer<'_>, access: &Access, version: u32) {
    xml.open("containers").attribute("xmlns", TOLD);
    let ruled = |member: &Member| {
        let mut rules = access.members().iter();
        rules.find(|(each, _)| each == member)
    };
    // What holds where no rule says otherwise. COMPAT(pidgin-sipe, 1.25): it puts who of these two is in no container into the
    // usual one, which would undo the user's rule for everyone.
    let everyone = ruled(&Member::Everyone).map(|(_, level)| *level);
    let usual = [
        (Member::SameOrganisation, Level::Colleagues),
        (Member::Federated, Level::External),
    ];
    xml.open("container")
        .attribute("id", 0)
        .attribute("version", version)
        .close();
    for level in LEVELS {
        xml.open("container")
            .attribute("id", level.container())
            .attribute("version", version);
        for (member, each) in access.members() {
            if *each == level {
                write_member(xml, member);
            }
        }
        for (member, usual) in &usual {
            if everyone.unwrap_or(*usual) == level && ruled(member).is_none() {
                write_member(xml, member);
            }
        }
        xml.close();
    }
    xml.close();
}

fn write_member(xml: &mut Writer<'_>, member: &Member) {
    let (kind, value) = match member {
        Member::User(user) => ("user", Some(user.as_str())),
        Member::Domain(domain) => ("domain", Some(&**domain)),
        Member::SameOrganisation => ("sameEnterprise", None),
        Member::Federated => ("federated", None),
        Member::PublicCloud => ("publicCloud", None),
        Member::Everyone => ("everyone", None),
    };
    xml.open("member").attribute("type", kind);
    if let Some(value) = value {
        xml.attribute("value", value);
    }
    xml.close();
}

impl Bad {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Bad::Xml(fault) => fault.status(),
            Bad::Container(_) | Bad::Member(_) | Bad::Contradiction(_) => 400,
            Bad::Rules(_) => 403,
        }
    }

    /// Its reason phrase.
    pub fn reason(&self) -> String {
        match self {
            Bad::Xml(Fault::TooManyEntries) | Bad::Rules(AccessError::TooMany) => {
                format!("At Most {MEMBERS_MAX} Members")
            }
            Bad::Xml(fault) => fault.reason().to_owned(),
            Bad::Container(id) => format!("Container {id} Has No Members"),
            Bad::Member(_) => "A Member Is Nobody".to_owned(),
            Bad::Contradiction(_) => "A Member In Two Containers".to_owned(),
            Bad::Rules(error) => error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(inside: &str) -> Result<Request, (u16, String)> {
        let document = format!(
            "<setContainerMembers xmlns='{}'>{inside}</setContainerMembers>",
            Space::Containers.name()
        );
        read(document.as_bytes()).map_err(|bad| (bad.status(), bad.reason()))
    }

    fn told(access: &Access) -> String {
        let mut out = Vec::new();
        let mut xml = Writer::within(&mut out);
        write(&mut xml, access, 3);
        String::from_utf8(out)
            .expect("text")
            .replace(" version=\"3\"", "")
    }

    #[test]
    fn a_contact_moves_from_one_container_to_another() {
        let mut access = Access::default();
        assert_eq!(
            told(&access),
            format!(
                "<containers xmlns=\"{TOLD}\"><container id=\"0\"/><container id=\"100\"><member type=\"federated\"/></container><container id=\"200\"><member type=\"sameEnterprise\"/></container><container id=\"300\"/><container id=\"400\"/><container id=\"32000\"/></containers>"
            )
        );
        for (inside, expected) in [
            (
                "<container id='300' version='1'><member action='add' type='user' value='bob@h.x'/></container>",
                "bob@h.x workgroup",
            ),
            (
                "<container id='300' version='1'><member action='remove' type='user' value='bob@h.x'/></container><container id='32000' version='1'><member action='add' type='user' value='SIP:Bob@H.x'/><member action='add' type='domain' value='h.x'/></container>",
                "bob@h.x blocked; h.x blocked",
            ),
            // Out of a container that it is not in.
            (
                "<container id='300' version='1'><member action='remove' type='user' value='bob@h.x'/></container>",
                "bob@h.x blocked; h.x blocked",
            ),
            (
                "<container id='32000' version='1'><member action='remove' type='domain' value='h.x'/></container><container id='200' version='1'><member action='add' type='publicCloud'/><member action='add' type='everyone'/></container>",
                "bob@h.x blocked; public-cloud colleagues; everyone colleagues",
            ),
        ] {
            let request = request(inside).expect("a request");
            apply(&mut access, &request.steps).expect("room");
            let rule = |(member, level): &(Member, Level)| format!("{member} {level}");
            let rules: Vec<String> = access.members().iter().map(rule).collect();
            assert_eq!(rules.join("; "), expected, "{inside}");
        }
        let text = told(&access);
        // Nobody is left for a client to put where the rule for everyone does not want them.
        assert!(
            text.contains(
                "<container id=\"100\"/><container id=\"200\"><member type=\"publicCloud\"/><member type=\"everyone\"/><member type=\"sameEnterprise\"/><member type=\"federated\"/></container>"
            ),
            "{text}"
        );
        assert!(
            text.contains("<member type=\"user\" value=\"bob@h.x\"/></container></containers>"),
            "{text}"
        );
        let levels = [
            (Member::Everyone, Level::Blocked),
            (Member::Federated, Level::Friends),
        ];
        for (member, level) in levels {
            access.set(member, level).expect("room");
        }
        let text = told(&access);
        assert!(
            text.ends_with(
                "<container id=\"400\"><member type=\"federated\"/></container><container id=\"32000\"><member type=\"user\" value=\"bob@h.x\"/><member type=\"everyone\"/><member type=\"sameEnterprise\"/></container></containers>"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_whole() {
        let add = |id: u32, who: &str| {
            format!(
                "<container id='{id}' version='1'><member action='add' type='user' value='{who}'/></container>"
            )
        };
        for (inside, expected) in [
            (
                [add(300, "b@h"), add(400, "b@h")].concat(),
                "A Member In Two Containers",
            ),
            (add(2, "b@h"), "Container 2 Has No Members"),
            (add(300, ""), "A Member Is Nobody"),
            ("<container id='300'/>".into(), "Incomplete XML Document"),
            (
                "<container id='300' version='1'><member type='everyone'/></container>".into(),
                "Incomplete XML Document",
            ),
        ] {
            assert_eq!(request(&inside), Err((400, expected.into())), "{inside}");
        }
        let many: Vec<String> = (0..2 * MEMBERS_MAX)
            .map(|n| format!("<member action='add' type='user' value='u{n}@h'/>"))
            .collect();
        let all = format!(
            "<container id='300' version='1'>{}</container>",
            many.concat()
        );
        let read = request(&all).expect("within the document's bounds");
        let mut access = Access::default();
        assert_eq!(apply(&mut access, &read.steps), Err(AccessError::TooMany));
    }
}
