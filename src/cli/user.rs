//! `muster user`: who may come in, and what is kept of them: a file a noun.
//!
//! What is kept is changed in the store alone, in one transaction with its line in the journal; a running server reads that
//! line, so a command never talks to it.

mod access;
mod alerts;
mod calls;
mod card;
mod choice;
mod contacts;
mod registration;

use core::fmt::Display;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Failure, print, say};
use crate::config::Config;
use crate::shard::standing::Standing;
use crate::shell::store::{Admission, DataDir, EditError, ImportError, Imported, Store, import};
use crate::sip::uri::Aor;

/// The longest line that is read as a password, in bytes.
const PASSWORD_LINE_MAX: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user; the password comes from standard input, one line (a terminal asks for it without echo)
    Add {
        /// The new user's address, such as anna@example.org
        #[arg(value_name = "NAME@DOMAIN")]
        name: String,
        /// The name that others see
        #[arg(long, value_name = "TEXT", default_value = "")]
        display_name: String,
    },
    /// Add all users of a CSV file with the header user,password,display_name (the last optional), or none of them
    Import {
        /// The CSV file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Give a user a new password, from standard input as for `add`; all else that is kept of them stays
    ///
    /// A running server ends within a second what came in with the old one: all endpoints and connections of the user.
    Password {
        /// The user's address
        #[arg(value_name = "NAME@DOMAIN")]
        name: String,
    },
    /// List all users, a line each
    List,
    /// Remove a user; a running server closes their connections
    Remove {
        /// The user's address
        #[arg(value_name = "NAME@DOMAIN")]
        name: String,
    },
    /// The contact list: show, change, export and import it
    #[command(subcommand)]
    Contacts(contacts::Command),
    /// Who sees how much of a user, and who is blocked
    #[command(subcommand)]
    Access(access::Command),
    /// The state that a user has chosen: it beats what devices say, and lasts over sign-out and restart
    #[command(subcommand)]
    State(choice::StateCommand),
    /// The note that a user shows
    #[command(subcommand)]
    Note(choice::NoteCommand),
    /// The contact card: phones, title, company, office, mail
    #[command(subcommand)]
    Card(card::Command),
    /// What is done with calls: forwarding, and who rings too
    #[command(subcommand)]
    Calls(calls::Command),
    /// "Tell me when they are available": once, then it is over
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// The server that is the user's home: who registers here is sent there (301)
    Home(registration::HomeArgs),
    /// End all endpoints of a user now; they may sign in again
    SignOut(registration::SignOutArgs),
    /// How many voice messages wait for a user (RFC 3842)
    #[command(subcommand)]
    Messages(alerts::MessagesCommand),
}

pub(super) fn user(config: Option<&Path>, command: Command) -> Result<ExitCode, Failure> {
    let config = Config::load(config).map_err(Failure::config)?;
    let admission = Admission {
        domains: &config.shard.auth.domains,
        schemes: &config.shard.auth.schemes,
    };
    match command {
        Command::Add { name, display_name } => {
            // Before the password is asked for: nobody likes to type it for nothing.
            admission.name(&name).map_err(Failure::failed)?;
            let password = password(&name)?;
            let user = admission
                .user(&name, &display_name, &password)
                .map_err(Failure::failed)?;
            open(&config)?.add(&user).map_err(Failure::failed)?;
            if let Some(caution) = admission.caution(&user.aor) {
                say(&caution);
            }
        }
        Command::Import { file } => {
            let imported = import_with_progress(&mut open(&config)?, &file, &admission)?;
            if let Some(caution) = imported.caution() {
                say(&caution);
            }
            let added = match imported.users {
                1 => "1 user was added".to_owned(),
                count => format!("{count} users were added"),
            };
            print(|out| writeln!(out, "{added}"))
                .map_err(|failure| Failure::failed(format!("{added}; {failure}")))?;
        }
        Command::Password { name } => {
            let aor = admission.name(&name).map_err(Failure::failed)?;
            let mut store = existing(&config)?.ok_or_else(|| no_such_user(&aor))?;
            if store.user(aor.as_str()).map_err(Failure::failed)?.is_none() {
                return Err(no_such_user(&aor));
            }
            let password = password(&name)?;
            let user = admission
                .user(&name, "", &password)
                .map_err(Failure::failed)?;
            if !store.set_credentials(&user).map_err(Failure::failed)? {
                return Err(no_such_user(&aor));
            }
        }
        Command::List => {
            if let Some(store) = existing(&config)? {
                list(&store)?;
            }
        }
        Command::Remove { name } => {
            let aor = Aor::parse(&name).ok_or_else(|| {
                Failure::failed(format!("{name:?} is no address; write NAME@DOMAIN"))
            })?;
            let removed = match existing(&config)? {
                Some(mut store) => store.remove(&aor).map_err(Failure::failed)?,
                None => false,
            };
            if !removed {
                return Err(no_such_user(&aor));
            }
        }
        Command::Contacts(command) => contacts::contacts(&config, command)?,
        Command::Access(command) => access::access(&config, command)?,
        Command::State(command) => choice::state(&config, command)?,
        Command::Note(command) => choice::note(&config, command)?,
        Command::Card(command) => card::card(&config, command)?,
        Command::Calls(command) => calls::calls(&config, command)?,
        Command::Alerts(command) => alerts::alerts(&config, command)?,
        Command::Home(args) => registration::home(&config, args)?,
        Command::SignOut(args) => registration::sign_out(&config, &args)?,
        Command::Messages(command) => alerts::messages(&config, command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose data a command is about.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Whose {
    /// The user's address
    #[arg(value_name = "NAME@DOMAIN", value_parser = super::address)]
    user: Aor,
}

/// What is kept of a user.
fn standing(config: &Config, whose: &Whose) -> Result<Standing, Failure> {
    let user = match existing(config)? {
        Some(store) => store.user(whose.user.as_str()).map_err(Failure::failed)?,
        None => None,
    };
    let user = user.ok_or_else(|| no_such_user(&whose.user))?;
    Ok(user.standing.map(Arc::unwrap_or_clone).unwrap_or_default())
}

/// Changes what is kept of a user, or says why not: then nothing was changed.
fn edit<E: Display>(
    config: &Config,
    whose: &Whose,
    change: impl FnOnce(&mut Standing) -> Result<(), E>,
) -> Result<(), Failure> {
    let mut store = existing(config)?.ok_or_else(|| no_such_user(&whose.user))?;
    match store.edit(&whose.user, change) {
        Ok(_) => Ok(()),
        Err(EditError::NoSuchUser(user)) => Err(no_such_user(&user)),
        Err(error) => Err(Failure::failed(format!("{error}; nothing was changed"))),
    }
}

/// Whom a command names may come later, so nobody is refused; but who has mistyped a name hears of it.
fn note_if_nobody(config: &Config, named: &Aor) -> Result<(), Failure> {
    let domains = &config.shard.auth.domains;
    if !domains.iter().any(|domain| **domain == *named.host()) {
        return Ok(());
    }
    let store = existing(config)?;
    let user = store.map(|store| store.user(named.as_str())).transpose();
    if user.map_err(Failure::failed)?.flatten().is_none() {
        say(&format!(
            "note: there is no user {named} now; what was asked for counts when there is"
        ));
    }
    Ok(())
}

fn no_such_user(user: &Aor) -> Failure {
    Failure::failed(format!(
        "there is no user {user}; `muster user list` shows who there is"
    ))
}

/// Reads a JSON file of at most `bytes_max`; `-` is standard input.
fn read_json<T: serde::de::DeserializeOwned>(file: &Path, bytes_max: u64) -> Result<T, Failure> {
    let failed = |why: &dyn Display| {
        Failure::failed(format!("{}: {why}; nothing was changed", file.display()))
    };
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => io::stdin().take(bytes_max + 1).read_to_string(&mut text),
        false => std::fs::File::open(file)
            .and_then(|opened| opened.take(bytes_max + 1).read_to_string(&mut text)),
    };
    read.map_err(|error| failed(&error))?;
    if text.len() as u64 > bytes_max {
        return Err(failed(&format_args!("more than {bytes_max} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

fn open(config: &Config) -> Result<Store, Failure> {
    let data_dir = DataDir::open(&config.data_dir).map_err(Failure::failed)?;
    Store::open(&data_dir).map_err(Failure::failed)
}

/// The store, where there is one: a question makes no files.
fn existing(config: &Config) -> Result<Option<Store>, Failure> {
    let data_dir = DataDir::existing(&config.data_dir).map_err(Failure::failed)?;
    let store = data_dir.as_ref().map(Store::existing).transpose();
    Ok(store.map_err(Failure::failed)?.flatten())
}

fn password(name: &str) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("Password for {name}: "))
            .map_err(Failure::failed);
    }
    let mut line = String::new();
    let mut input = io::BufReader::new(io::stdin().take(PASSWORD_LINE_MAX));
    input.read_line(&mut line).map_err(Failure::failed)?;
    // What ends the line is no part of the password.
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn import_with_progress(
    store: &mut Store,
    file: &Path,
    admission: &Admission<'_>,
) -> Result<Imported, Failure> {
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    // Shows nothing where standard error is no terminal.
    let bar = ProgressBar::new(bytes);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {percent:>3} %  {bytes}/{total_bytes}  {eta} left")
    {
        bar.set_style(style);
    }
    let imported = import(store, file, admission, |read| bar.set_position(read));
    bar.finish_and_clear();
    imported.map_err(|error| {
        Failure::failed(match error {
            ImportError::File {
                line: Some(line),
                what,
            } => format!("{}, line {line}: {what}; no user was added", file.display()),
            ImportError::File { line: None, what } => {
                format!("{}: {what}; no user was added", file.display())
            }
            ImportError::Store(error) => format!("{error}; no user was added"),
        })
    })
}

fn list(store: &Store) -> Result<(), Failure> {
    let mut read = Ok(());
    print(|out| {
        let mut printed = Ok(());
        read = store.users(|user| {
            if printed.is_ok() {
                let (aor, name) = (&user.aor, &user.display_name);
                printed = if name.is_empty() {
                    writeln!(out, "{aor}")
                } else {
                    writeln!(out, "{aor}\t{name}")
                };
            }
        });
        printed
    })?;
    read.map_err(Failure::failed)
}
