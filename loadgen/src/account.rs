//! The simulated people: their names, addresses and passwords, all made from an index.
//!
//! Nothing is stored for an account, so a million of them cost nothing. A password is never printed, except into the
//! CSV that `loadgen users` is asked for.

use std::io::{self, Write};

/// How indexes become accounts.
#[derive(Clone)]
pub struct Accounts {
    /// The SIP domain.
    pub domain: String,
    /// What each user name begins with; the index follows.
    pub prefix: String,
    /// The password; `{user}` stands for the user name.
    pub password_pattern: String,
}

impl Accounts {
    /// The user part of the address, e.g. `lg17`.
    pub fn name(&self, index: u32) -> String {
        format!("{}{index}", self.prefix)
    }

    /// The address as a URI, e.g. `sip:lg17@example.com`.
    pub fn uri(&self, index: u32) -> String {
        format!("sip:{}{index}@{}", self.prefix, self.domain)
    }

    /// What the user proves to know.
    pub fn password(&self, index: u32) -> String {
        self.password_pattern.replace("{user}", &self.name(index))
    }

    /// The index behind a user name of ours.
    pub fn index_of(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix(&self.prefix)?;
        let index = digits.parse().ok()?;
        (self.name(index) == name).then_some(index)
    }

    /// Writes `count` accounts as the CSV that `muster user import` reads: `user,password,display_name`.
    pub fn write_csv(&self, count: u32, to: impl Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(["user", "password", "display_name"])?;
        for index in 0..count {
            let address = format!("{}@{}", self.name(index), self.domain);
            csv.write_record([
                address.as_str(),
                &self.password(index),
                &format!("Load {index}"),
            ])?;
        }
        csv.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            domain: "example.com".into(),
            prefix: "lg".into(),
            password_pattern: "pw-{user}".into(),
        }
    }

    #[test]
    fn an_index_and_its_name_lead_to_each_other() {
        assert_eq!(accounts().uri(7), "sip:lg7@example.com");
        assert_eq!(accounts().password(7), "pw-lg7");
        assert_eq!(accounts().index_of("lg7"), Some(7));
        for stranger in ["lg07", "lg", "bob", "lg-1", "lg99999999999"] {
            assert_eq!(accounts().index_of(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn the_csv_is_what_the_import_reads() {
        let mut csv = Vec::new();
        Accounts {
            password_pattern: "a,\"b".into(),
            ..accounts()
        }
        .write_csv(2, &mut csv)
        .unwrap();
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "user,password,display_name\n\
             lg0@example.com,\"a,\"\"b\",Load 0\n\
             lg1@example.com,\"a,\"\"b\",Load 1\n"
        );
    }
}
