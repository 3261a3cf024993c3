//! Who is how close to a user: rules about single users, domains, the own organisation and everyone, and privacy mode.
//!
//! Always holds: members are sorted, each is there once, nobody is given `Own`, there are at most [`MEMBERS_MAX`].
//! What a level sees is not here; the rules' place on the disk is not either.

use crate::presence::contacts::Contacts;
use crate::presence::level::Level;
use crate::sip::same;
use crate::sip::uri::Aor;

/// Rules of one user.
pub const MEMBERS_MAX: usize = 1_000;

/// Whom a rule is about, from the most specific kind to the least.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Member {
    /// One user.
    User(Aor),
    /// All of one domain, in lower case.
    Domain(Box<str>),
    /// All whose domain this server is home to.
    SameOrganisation,
    /// All of other organisations.
    Federated,
    /// All of public networks. This server is in touch with none, so it is about nobody; it is kept for clients that set it.
    PublicCloud,
    /// Who is none of the above.
    Everyone,
}

/// The rules of one user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    members: Vec<(Member, Level)>,
    /// Only contacts see me: who is neither a contact nor named in a rule of their own is blocked.
    pub privacy: bool,
}

/// Why rules are refused. The rules that there were stay as they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessError {
    /// The same member at two levels.
    Contradiction {
        /// Whose rules disagree.
        member: Member,
        /// Where the first one stands, from zero, and what it says.
        first: (usize, Level),
        /// Where the second one stands, and what it says.
        second: (usize, Level),
    },
    /// More than [`MEMBERS_MAX`].
    TooMany,
    /// `Own` belongs to the user themself; the entry, from zero.
    Own(usize),
    /// What is given as a domain cannot be one; the entry, from zero.
    BadDomain(usize),
}

impl Member {
    /// Reads `name@domain`, `domain`, `same-organisation` or `everyone`, as people write them.
    pub fn parse(text: &str) -> Option<Member> {
        match text {
            "everyone" => Some(Member::Everyone),
            "same-organisation" | "same organisation" => Some(Member::SameOrganisation),
            "federated" => Some(Member::Federated),
            "public-cloud" => Some(Member::PublicCloud),
            _ if text.contains('@') => Aor::parse(text).map(Member::User),
            _ => Member::domain(text),
        }
    }

    /// A whole domain. `None` for what no address of record could have after its `@`.
    pub fn domain(name: &str) -> Option<Member> {
        // A domain without a dot is nobody's outside a laboratory, and a mistyped word more often than that.
        let dotted = name.contains('.') || name.starts_with('[') || name == "localhost";
        let aor = Aor::parse(&format!("x@{name}")).filter(|_| dotted)?;
        Some(Member::Domain(aor.host().into()))
    }
}

impl core::fmt::Display for Member {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Member::User(aor) => f.write_str(aor.as_str()),
            Member::Domain(domain) => f.write_str(domain),
            Member::SameOrganisation => f.write_str("same-organisation"),
            Member::Federated => f.write_str("federated"),
            Member::PublicCloud => f.write_str("public-cloud"),
            Member::Everyone => f.write_str("everyone"),
        }
    }
}

impl Access {
    /// No rules.
    pub const NONE: Access = Access {
        members: Vec::new(),
        privacy: false,
    };

    /// These rules, in any order. The same rule twice is one; a member at two levels is a contradiction.
    pub fn new(members: Vec<(Member, Level)>, privacy: bool) -> Result<Access, AccessError> {
        if let Some(at) = members.iter().position(|(_, level)| *level == Level::Own) {
            return Err(AccessError::Own(at));
        }
        let bad = |member: &Member| matches!(member, Member::Domain(name) if Member::domain(name).as_ref() != Some(member));
        if let Some(at) = members.iter().position(|(member, _)| bad(member)) {
            return Err(AccessError::BadDomain(at));
        }
        let mut sorted: Vec<(Member, Level, usize)> = members
            .into_iter()
            .enumerate()
            .map(|(at, (member, level))| (member, level, at))
            .collect();
        sorted.sort_by(|one, other| (&one.0, one.2).cmp(&(&other.0, other.2)));
        for pair in sorted.windows(2) {
            if let [(member, first, first_at), (same, second, second_at)] = pair
                && member == same
                && first != second
            {
                return Err(AccessError::Contradiction {
                    member: member.clone(),
                    first: (*first_at, *first),
                    second: (*second_at, *second),
                });
            }
        }
        sorted.dedup_by(|one, other| one.0 == other.0);
        if sorted.len() > MEMBERS_MAX {
            return Err(AccessError::TooMany);
        }
        let members = sorted
            .into_iter()
            .map(|(member, level, _)| (member, level))
            .collect();
        Ok(Access { members, privacy })
    }

    /// The rules, from the most specific kind to the least.
    pub fn members(&self) -> &[(Member, Level)] {
        &self.members
    }

    /// Nothing is said, so the defaults hold for all.
    pub fn is_default(&self) -> bool {
        self.members.is_empty() && !self.privacy
    }

    /// Gives a member a level, instead of the one it had. False where it was so already.
    pub fn set(&mut self, member: Member, level: Level) -> Result<bool, AccessError> {
        if level == Level::Own {
            return Err(AccessError::Own(0));
        }
        match self.place(&member) {
            Ok(at) => Ok(core::mem::replace(&mut self.members[at].1, level) != level),
            Err(_) if self.members.len() >= MEMBERS_MAX => Err(AccessError::TooMany),
            Err(at) => {
                self.members.insert(at, (member, level));
                Ok(true)
            }
        }
    }

    /// Takes a member's rule away. False where there is none.
    pub fn unset(&mut self, member: &Member) -> bool {
        self.place(member).map(|at| self.members.remove(at)).is_ok()
    }

    /// How close `watcher` is to `owner`, whose rules and contacts these are. The most specific rule wins: user, domain,
    /// same organisation, everyone; without one, people of the home domains are colleagues and others external.
    pub fn level_of(
        &self,
        watcher: &Aor,
        owner: &Aor,
        home_domains: &[Box<str>],
        contacts: &Contacts,
    ) -> Level {
        if watcher == owner {
            return Level::Own;
        }
        // By comparison, not by building a `Member`: this is asked for each message, and allocates nothing.
        let named = self.members.binary_search_by(|(member, _)| match member {
            Member::User(aor) => aor.cmp(watcher),
            _ => core::cmp::Ordering::Greater,
        });
        if let Ok(at) = named {
            return self.members[at].1;
        }
        if self.privacy && !contacts.contains(watcher) {
            return Level::Blocked;
        }
        let domain = watcher.host();
        let at_home = home_domains.iter().any(|home| same(home, domain));
        let wide = self
            .members
            .iter()
            .rev()
            .take_while(|(member, _)| !matches!(member, Member::User(_)));
        let ruled = wide
            .filter(|(member, _)| match member {
                Member::Domain(name) => **name == *domain,
                Member::SameOrganisation => at_home,
                Member::Federated => !at_home,
                Member::Everyone => true,
                Member::User(_) | Member::PublicCloud => false,
            })
            .last();
        match ruled {
            Some((_, level)) => *level,
            None if at_home => Level::Colleagues,
            None => Level::External,
        }
    }

    fn place(&self, member: &Member) -> Result<usize, usize> {
        self.members.binary_search_by(|(each, _)| each.cmp(member))
    }
}

impl core::fmt::Display for AccessError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AccessError::Contradiction {
                member,
                first,
                second,
            } => write!(
                f,
                "entry {} makes {member} {}, and entry {} makes them {}; one of them is right",
                first.0, first.1, second.0, second.1
            ),
            AccessError::TooMany => write!(
                f,
                "more than {MEMBERS_MAX} access rules; a rule for a domain says more than many for its users"
            ),
            AccessError::Own(at) => write!(
                f,
                "entry {at} gives the level `own`, which is the user's alone; friends-and-family is the closest"
            ),
            AccessError::BadDomain(at) => write!(
                f,
                "entry {at} is no domain; a name like example.org is right"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(text: &str) -> Aor {
        Aor::parse(text).expect("an address")
    }

    fn access(rules: &str, privacy: bool) -> Result<Access, AccessError> {
        let rule = |rule: &str| {
            let (member, level) = rule.split_once('=').expect("a rule");
            (
                Member::parse(member).expect("a member"),
                Level::parse(level).expect("a level"),
            )
        };
        Access::new(rules.split_whitespace().map(rule).collect(), privacy)
    }

    #[test]
    fn the_most_specific_rule_wins() {
        let home: [Box<str>; 2] = ["example.com".into(), "example.net".into()];
        let mut contacts = Contacts::default();
        contacts
            .put(&aor("friend@example.com"), "", 0)
            .expect("room");
        for (rules, privacy, watcher, expected) in [
            ("", false, "alice@example.com", "colleagues"),
            ("", false, "alice@example.net", "colleagues"),
            ("", false, "alice@other.org", "external"),
            ("", false, "bob@example.com", "own"),
            (
                "bob@example.com=blocked everyone=blocked",
                true,
                "bob@example.com",
                "own",
            ),
            (
                "alice@example.com=friends-and-family example.com=blocked",
                false,
                "alice@example.com",
                "friends-and-family",
            ),
            (
                "alice@example.com=friends-and-family example.com=blocked",
                false,
                "Alice@example.com",
                "blocked",
            ),
            (
                "example.com=workgroup same-organisation=external",
                false,
                "alice@example.com",
                "workgroup",
            ),
            (
                "example.com=workgroup same-organisation=external",
                false,
                "alice@example.net",
                "external",
            ),
            (
                "same-organisation=external everyone=blocked",
                false,
                "alice@example.net",
                "external",
            ),
            (
                "same-organisation=external everyone=blocked",
                false,
                "a@other.org",
                "blocked",
            ),
            (
                "other.org=workgroup everyone=blocked",
                false,
                "a@OTHER.org",
                "workgroup",
            ),
            (
                "federated=workgroup public-cloud=blocked everyone=blocked",
                false,
                "a@other.org",
                "workgroup",
            ),
            (
                "federated=workgroup",
                false,
                "alice@example.com",
                "colleagues",
            ),
            ("other.org=workgroup", false, "a@sub.other.org", "external"),
            ("", true, "alice@example.com", "blocked"),
            ("", true, "friend@example.com", "colleagues"),
            (
                "same-organisation=workgroup",
                true,
                "alice@example.com",
                "blocked",
            ),
            (
                "same-organisation=workgroup",
                true,
                "friend@example.com",
                "workgroup",
            ),
            (
                "alice@example.com=external",
                true,
                "alice@example.com",
                "external",
            ),
            (
                "friend@example.com=blocked",
                true,
                "friend@example.com",
                "blocked",
            ),
        ] {
            let access = access(rules, privacy).expect("good rules");
            let level = access.level_of(&aor(watcher), &aor("bob@example.com"), &home, &contacts);
            assert_eq!(
                level.name(),
                expected,
                "{watcher} by {rules:?}, privacy {privacy}"
            );
        }
    }

    #[test]
    fn a_contradiction_is_refused_with_where() {
        let error = access(
            "a@h.x=blocked example.org=external b@h.x=blocked example.org=workgroup",
            false,
        )
        .expect_err("a contradiction");
        assert_eq!(
            error.to_string(),
            "entry 1 makes example.org external, and entry 3 makes them workgroup; one of them is right"
        );
        assert_eq!(
            access("a@h.x=blocked a@h.x=blocked", false)
                .expect("one rule")
                .members()
                .len(),
            1
        );
        let own = Access::new(vec![(Member::Everyone, Level::Own)], false);
        assert_eq!(own, Err(AccessError::Own(0)));
        let bad = Access::new(
            vec![(Member::Domain("Example.org".into()), Level::Blocked)],
            false,
        );
        assert_eq!(bad, Err(AccessError::BadDomain(0)));
    }

    #[test]
    fn rules_are_set_and_taken_away_up_to_a_limit() {
        let mut access = Access::default();
        for n in 0..MEMBERS_MAX {
            assert_eq!(
                access.set(Member::User(aor(&format!("u{n}@h"))), Level::Blocked),
                Ok(true)
            );
        }
        assert_eq!(
            access.set(Member::Everyone, Level::Blocked),
            Err(AccessError::TooMany)
        );
        assert_eq!(
            access.set(Member::User(aor("u7@h")), Level::Friends),
            Ok(true)
        );
        assert_eq!(
            access.set(Member::User(aor("u7@h")), Level::Friends),
            Ok(false)
        );
        assert!(
            access.unset(&Member::User(aor("u7@h"))) && !access.unset(&Member::User(aor("u7@h")))
        );
        assert!(access.members().is_sorted());
    }

    #[test]
    fn members_as_people_write_them() {
        for (text, expected) in [
            ("Alice@EXAMPLE.com", "Alice@example.com"),
            ("Example.ORG", "example.org"),
            ("everyone", "everyone"),
            ("federated", "federated"),
            ("public-cloud", "public-cloud"),
            ("same organisation", "same-organisation"),
            ("evryone", "none"),
            ("a b.c", "none"),
            ("", "none"),
            ("x.y:5061", "none"),
        ] {
            let member = Member::parse(text).map(|member| member.to_string());
            assert_eq!(member.as_deref().unwrap_or("none"), expected, "{text}");
        }
    }
}
