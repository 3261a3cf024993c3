//! `muster user`: who may come in.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Failure;
use crate::config::Config;
use crate::shell::store::{Admission, DataDir, ImportError, Store, import};
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
    /// List all users, a line each
    List,
    /// Remove a user; a running server closes their connections
    Remove {
        /// The user's address
        #[arg(value_name = "NAME@DOMAIN")]
        name: String,
    },
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
        }
        Command::Import { file } => {
            let count = import_with_progress(&mut open(&config)?, &file, &admission)?;
            println!("{count} users were added");
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
                return Err(Failure::failed(format!(
                    "there is no user {aor}; `muster user list` shows who there is"
                )));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(config: &Config) -> Result<Store, Failure> {
    let data_dir = DataDir::open(&config.data_dir).map_err(Failure::failed)?;
    Store::open(&data_dir).map_err(Failure::failed)
}

/// The store, where there is one: a question makes no files.
fn existing(config: &Config) -> Result<Option<Store>, Failure> {
    if config.data_dir.join("muster.db").exists() {
        open(config).map(Some)
    } else {
        Ok(None)
    }
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
) -> Result<u64, Failure> {
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
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut failed = None;
    store
        .users(|user| {
            if failed.is_none() {
                let (aor, name) = (&user.aor, &user.display_name);
                let line = if name.is_empty() {
                    writeln!(out, "{aor}")
                } else {
                    writeln!(out, "{aor}\t{name}")
                };
                failed = line.err();
            }
        })
        .map_err(Failure::failed)?;
    match failed.map_or_else(|| out.flush(), Err) {
        // `muster user list | head` has what it wants.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::failed),
    }
}
