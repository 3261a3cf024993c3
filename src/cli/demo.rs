//! The Standard Edition without a config: demo users, and on the terminal what to do next.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use crate::auth;
use crate::cli::print;
use crate::shard::UserRecord;
use crate::shell::store::{Admission, DataDir, Store};

/// The demo users, with the names that others see.
const USERS: [(&str, &str); 3] = [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol")];
const DOMAIN: &str = "example.com";

/// A demo user and the password to type.
pub(super) struct DemoUser {
    name: String,
    password: String,
}

/// The demo users with their passwords: made at the first start, and read from `demo-users.txt` (0600) at later ones,
/// for what the store keeps of a password can't be printed.
pub(super) fn users(
    store: &mut Store,
    data_dir: &DataDir,
    auth: &auth::Settings,
) -> Result<Vec<DemoUser>, String> {
    let admission = Admission {
        domains: &auth.domains,
        schemes: &auth.schemes,
    };
    if let Ok(text) = std::fs::read_to_string(data_dir.demo_users()) {
        let mut users = Vec::new();
        for (name, password) in text.lines().filter_map(|line| line.split_once(' ')) {
            let kept = store.user(name).map_err(|error| error.to_string())?;
            let Some(kept) = kept else { continue };
            // Removed, or given another password since: then this one is of no use to anybody.
            if admission
                .user(name, &kept.display_name, password)
                .is_ok_and(|made| is_password_of(&made, &kept))
            {
                users.push(DemoUser {
                    name: name.into(),
                    password: password.into(),
                });
            }
        }
        return Ok(users);
    }
    let mut users = Vec::new();
    for (user, display_name) in USERS {
        let name = format!("{user}@{DOMAIN}");
        if store
            .user(&name)
            .map_err(|error| error.to_string())?
            .is_some()
        {
            continue; // Somebody's own; their password is theirs.
        }
        let password = fresh_password()?;
        users.push((
            admission.user(&name, display_name, &password)?,
            DemoUser { name, password },
        ));
    }
    let text: String = users
        .iter()
        .map(|(_, user)| format!("{} {}\n", user.name, user.password))
        .collect();
    data_dir
        .write_demo_users(&text)
        .map_err(|error| error.to_string())?;
    for (record, _) in &users {
        store.add(record).map_err(|error| error.to_string())?;
    }
    Ok(users.into_iter().map(|(_, user)| user).collect())
}

/// Whether what is kept of a password is of the one that `made` was made with. A scheme that was enabled later, or is not any
/// more, says nothing.
fn is_password_of(made: &UserRecord, kept: &UserRecord) -> bool {
    fn speak<T: PartialEq>(made: Option<T>, kept: Option<T>) -> Option<bool> {
        Some(made? == kept?)
    }
    // That of the whole address came later.
    fn name<const N: usize>(ha1: auth::Ha1<N>) -> [u8; N] {
        ha1.name
    }
    let said = [
        speak(made.ha1_sha256.map(name), kept.ha1_sha256.map(name)),
        speak(made.ha1_md5.map(name), kept.ha1_md5.map(name)),
        speak(made.nt_hash, kept.nt_hash),
    ];
    said.contains(&Some(true)) && !said.contains(&Some(false))
}

/// A password that is easy to type and hard to guess: 16 letters and digits, 80 bits.
fn fresh_password() -> Result<String, String> {
    // No look-alikes (0 o 1 l), and no space: baresip cuts a password there.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(random
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect())
}

/// Which client, which settings: on standard output, for passwords have no place in a log. The server runs on where it can't be said.
pub(super) fn say_what_next(sips: &[SocketAddr], cert: &Path, users: &[DemoUser]) {
    let _ = print(|out| write_what_next(out, sips, cert, users));
}

fn write_what_next(
    out: &mut dyn Write,
    sips: &[SocketAddr],
    cert: &Path,
    users: &[DemoUser],
) -> io::Result<()> {
    let port = sips.first().map_or(5061, SocketAddr::port);
    writeln!(
        out,
        "\nThis is the Standard Edition on loopback, with demo users:\n"
    )?;
    for user in users {
        writeln!(out, "    {:<20} password {}", user.name, user.password)?;
    }
    writeln!(
        out,
        "
Try it with two clients on this machine:

    Linphone    account sip:alice@{DOMAIN}, SIP server and outbound proxy <sip:localhost:{port};transport=tls>,
                and in its config file root_ca={cert}
    baresip     in ~/.baresip/accounts:
                <sip:bob@{DOMAIN}>;auth_pass=PASSWORD;outbound=\"sip:127.0.0.1:{port};transport=tls\"

Alice writes to sip:bob@{DOMAIN}; each sees the other come and go. For users and domains of your own, write a config:
see README.md, and `muster check --config FILE`.
",
        cert = cert.canonicalize().unwrap_or_else(|_| cert.to_path_buf()).display()
    )
}
