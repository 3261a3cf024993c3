//! A user that someone wants to add: what a name, a display name and a password may be, and what is kept of them.

use crate::auth::{Scheme, ha1_md5, ha1_sha256, nt_hash};
use crate::shard::UserRecord;
use crate::sip::uri::Aor;

/// Bytes of a name before the `@`.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of a display name.
pub const DISPLAY_NAME_BYTES_MAX: usize = 256;
/// Bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// What a new user may be on this server.
#[derive(Clone, Debug)]
pub struct Admission<'c> {
    /// The domains this server is home to, lower case.
    pub domains: &'c [Box<str>],
    /// The schemes that credentials are kept for.
    pub schemes: &'c [Scheme],
}

impl Admission<'_> {
    /// The address of record that `name` (`NAME@DOMAIN`) may have here; the error says what is wrong and what would be right.
    pub fn name(&self, name: &str) -> Result<Aor, String> {
        let Some((user, _)) = name.rsplit_once('@') else {
            return Err(format!(
                "{name:?} has no domain; write NAME@DOMAIN, such as {name}@{}",
                self.domains_text()
            ));
        };
        // A colon would make two users' hashes alike (RFC 7616 §3.4.2); the others would need escapes in every client.
        let odd = |c: char| c.is_control() || c.is_whitespace() || ":;?\"\\<>@,/".contains(c);
        let refused = || {
            format!(
                "{user:?} cannot be a name; write 1 to {NAME_BYTES_MAX} letters, digits and signs such as . - _ +"
            )
        };
        if user.is_empty() || user.len() > NAME_BYTES_MAX || user.contains(odd) {
            return Err(refused());
        }
        let aor = Aor::parse(name)
            .ok_or_else(|| format!("{name:?} is no address of record; write NAME@DOMAIN"))?;
        // What is written with escapes is odd where it would be without, and where it has to have them.
        if aor.user().contains(|c| odd(c) || c == '%') {
            return Err(refused());
        }
        if !self.domains.iter().any(|domain| **domain == *aor.host()) {
            return Err(format!(
                "{:?} is no domain of this server; the config's `domains` has {}",
                aor.host(),
                self.domains_text()
            ));
        }
        match reserved(&aor) {
            Some(why) => Err(format!("{name:?}: {why}")),
            None => Ok(aor),
        }
    }

    /// The whole user: the password becomes what the schemes need of it, and is not kept.
    pub fn user(
        &self,
        name: &str,
        display_name: &str,
        password: &str,
    ) -> Result<UserRecord, String> {
        let aor = self.name(name)?;
        if display_name.len() > DISPLAY_NAME_BYTES_MAX || display_name.contains(char::is_control) {
            return Err(format!(
                "the display name of {aor} is too long or has control characters; {DISPLAY_NAME_BYTES_MAX} bytes of text are right"
            ));
        }
        if password.is_empty() {
            return Err(format!("the password of {aor} is empty; choose one"));
        }
        if password.len() > PASSWORD_BYTES_MAX || password.contains(char::is_control) {
            return Err(format!(
                "the password of {aor} is too long or has control characters; up to {PASSWORD_BYTES_MAX} bytes of text are right"
            ));
        }
        let (user, realm) = (aor.user(), aor.host());
        let needs = |scheme| self.schemes.contains(&scheme);
        Ok(UserRecord {
            ha1_md5: needs(Scheme::DigestMd5).then(|| ha1_md5(user, realm, password)),
            ha1_sha256: needs(Scheme::DigestSha256).then(|| ha1_sha256(user, realm, password)),
            nt_hash: needs(Scheme::Ntlm).then(|| nt_hash(password)),
            display_name: display_name.into(),
            aor,
            standing: None,
        })
    }

    /// Whether clients of Lync's dialect, who may come in here, cannot write this name.
    pub(super) fn surprises(&self, aor: &Aor) -> bool {
        let plain = |c: char| c.is_ascii() && !c.is_ascii_uppercase();
        self.schemes.contains(&Scheme::Ntlm) && !aor.user().chars().all(plain)
    }

    /// What may surprise with this name, though it is a good one.
    pub fn caution(&self, aor: &Aor) -> Option<String> {
        self.surprises(aor).then(|| {
            format!(
                "{aor} is added; but clients of Lync's dialect write all addresses in plain lower-case letters, and will not find \
                 it: for them, add a user of such a name"
            )
        })
    }

    fn domains_text(&self) -> String {
        self.domains.join(", ")
    }
}

/// Why a name can be no user's: the conference factory and the sessions live beside the users
/// (`sip:conference@…`, `sip:im-…@…`).
fn reserved(aor: &Aor) -> Option<&'static str> {
    let name = aor.user().to_ascii_lowercase();
    if name == "conference" {
        Some("`conference` is the conference factory; choose another name")
    } else if name == "contacts" {
        Some("`contacts` is everybody's own contact list; choose another name")
    } else if name == "ocschat" {
        Some("`ocschat` is where Lync's clients look for group chat; choose another name")
    } else if name.starts_with("im-") {
        Some("names that begin with `im-` belong to sessions; choose another name")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: [Scheme; 2] = [Scheme::DigestSha256, Scheme::Ntlm];

    fn check(name: &str, display_name: &str, password: &str, expected: &str) {
        let domains = ["example.com".into(), "example.org".into()];
        let admission = Admission {
            domains: &domains,
            schemes: &SCHEMES,
        };
        let said = match admission.user(name, display_name, password) {
            Ok(user) => format!(
                "ok {} {:?}",
                user.aor,
                (
                    user.ha1_md5.is_some(),
                    user.ha1_sha256.is_some(),
                    user.nt_hash.is_some()
                )
            ),
            Err(why) => why,
        };
        assert!(said.starts_with(expected), "{name}: {said}");
    }

    #[test]
    fn a_name_that_lyncs_clients_cannot_write_is_a_surprise() {
        let domains = ["example.com".into()];
        let schemes = SCHEMES;
        let admission = |schemes| Admission {
            domains: &domains,
            schemes,
        };
        for (name, surprises) in [
            ("alice", false),
            ("a.b-7_d", false),
            ("Bob", true),
            ("zoë", true),
        ] {
            let aor = Aor::parse(&format!("{name}@example.com")).unwrap();
            assert_eq!(
                admission(&schemes[..]).caution(&aor).is_some(),
                surprises,
                "{name}"
            );
            assert_eq!(admission(&schemes[..1]).caution(&aor), None);
        }
    }

    #[test]
    fn a_user_is_taken_or_told_what_would_be_right() {
        let long = "x".repeat(2000);
        check(
            "alice@example.com",
            "",
            "secret",
            "ok alice@example.com (false, true, true)",
        );
        check(
            "Alice@EXAMPLE.org",
            "Älice",
            "sécret",
            "ok Alice@example.org",
        );
        check("a.b-c_d+e@example.com", "", "x", "ok");
        check(
            "alice",
            "",
            "x",
            "\"alice\" has no domain; write NAME@DOMAIN, such as alice@example.com",
        );
        check(
            "alice@elsewhere.com",
            "",
            "x",
            "\"elsewhere.com\" is no domain of this server",
        );
        check("@example.com", "", "x", "\"\" cannot be a name");
        check("a:b@example.com", "", "x", "\"a:b\" cannot be a name");
        check("a b@example.com", "", "x", "\"a b\" cannot be a name");
        for escaped in ["a%3Ab", "a%3bb", "a%40b", "a%20b", "%ff"] {
            let name = format!("{escaped}@example.com");
            check(&name, "", "x", &format!("{escaped:?} cannot be a name"));
        }
        check("%61lice@example.com", "", "x", "ok alice@example.com");
        check(&format!("{long}@example.com"), "", "x", "\"xx");
        check(
            "conference@example.com",
            "",
            "x",
            "\"conference@example.com\": `conference` is the conference factory",
        );
        check(
            "ocschat@example.com",
            "",
            "x",
            "\"ocschat@example.com\": `ocschat` is where",
        );
        check(
            "Contacts@example.com",
            "",
            "x",
            "\"Contacts@example.com\": `contacts` is",
        );
        check(
            "im-5@example.com",
            "",
            "x",
            "\"im-5@example.com\": names that begin with `im-`",
        );
        check(
            "alice@example.com",
            "a\nb",
            "x",
            "the display name of alice@example.com",
        );
        check(
            "alice@example.com",
            &long,
            "x",
            "the display name of alice@example.com",
        );
        check(
            "alice@example.com",
            "",
            "",
            "the password of alice@example.com is empty",
        );
        check(
            "alice@example.com",
            "",
            &long,
            "the password of alice@example.com is too long",
        );
        check(
            "alice@example.com",
            "",
            "a\u{0}b",
            "the password of alice@example.com is too long",
        );
    }
}
