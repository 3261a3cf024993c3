//! TOML as written -> `Config` as meant. Every key has its default; an error names the file, the line, what was
//! found and what would be right. A room states its own limits and settings; this fills them in.
//! Whether the host can do what is asked (ports, certificate, open files) is `cli::check`, not here.

mod written;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use written::{At, Section, Source};
pub use written::{ConfigError, Place};

use crate::auth::{self, Algorithm};
use crate::sip::frame;
use crate::{presence, registrar};

/// A certificate chain and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// PEM: the server's certificate first, then those that vouch for it.
    pub cert: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// Where the config says so, for errors about what the files hold.
    pub place: Place,
}

/// What the server listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// SIP over TLS.
    pub sips: Vec<SocketAddr>,
    /// SIP over plain TCP; loopback only.
    pub sip: Vec<SocketAddr>,
    /// Plain HTTP for the operator; loopback only.
    pub admin: SocketAddr,
}

/// All that an operator can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The file it was read from; `None`: the defaults, as the Standard Edition on loopback.
    pub file: Option<PathBuf>,
    /// The SIP domains this server is home to, lower case, at least one.
    pub domains: Vec<Box<str>>,
    /// All that the server keeps is below here.
    pub data_dir: PathBuf,
    /// What it listens on.
    pub listen: Listen,
    /// `None`: a self-signed pair in `data_dir/tls`.
    pub tls: Option<CertificateFiles>,
    /// The cores to run a shard on each; `None`: every core this process may run on.
    pub cores: Option<Vec<usize>>,
    /// What a peer may send.
    pub frame: frame::Limits,
    /// Connections of the whole server; `None`: what the limit on open files leaves.
    pub connections_max: Option<usize>,
    /// The domains again, and how users prove who they are.
    pub auth: auth::Settings,
    /// How long bindings live, and how many a user may have.
    pub registrar: registrar::Settings,
    /// How long publications live, and how many a user may have.
    pub presence: presence::Limits,
}

impl Default for Config {
    fn default() -> Config {
        // The empty file: every key has its default.
        Config {
            file: None,
            ..Config::read(Path::new("(defaults)"), "").expect("the defaults are a valid config")
        }
    }
}

impl Config {
    /// The config in `file`, or the defaults where there is none.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let Some(file) = file else {
            return Ok(Config::default());
        };
        let unreadable = |found: String, right: &str| ConfigError {
            file: file.to_path_buf(),
            line: None,
            found,
            right: right.to_owned(),
        };
        let bytes = std::fs::read(file).map_err(|error| {
            unreadable(
                format!("cannot be read: {error}"),
                "name a file that exists and that this user may read",
            )
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            unreadable(
                format!(
                    "not UTF-8 from byte {} on",
                    error.utf8_error().valid_up_to()
                ),
                "save it as UTF-8: TOML is always that",
            )
        })?;
        Config::read(file, &text)
    }

    /// Reads `text`; `file` is its name in errors, and relative paths start at the folder that holds it.
    pub fn read(file: &Path, text: &str) -> Result<Config, ConfigError> {
        let source = Source::new(file, text);
        let document = source.parse()?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut top = Section::top(&source, document.get_ref());
        let domains = domains(&mut top)?;
        let data_dir = match top.string("data_dir", "\"muster-data\"")? {
            None => folder.join("muster-data"),
            Some(dir) if dir.value.is_empty() => {
                return Err(dir.place.wrong("`data_dir` is empty", "name a folder"));
            }
            Some(dir) => folder.join(dir.value),
        };
        let listen = listen(top.section("listen")?)?;
        let tls = tls(top.section("tls")?, folder)?;
        let cores = cores(top.section("shards")?)?;
        let auth = auth(top.section("auth")?, &domains)?;
        let (frame, connections_max) = limits(top.section("limits")?)?;
        let registrar = registrar(top.section("registrar")?)?;
        let presence = presence(top.section("presence")?)?;
        top.finish()?;
        Ok(Config {
            file: Some(file.to_path_buf()),
            domains,
            data_dir,
            listen,
            tls,
            cores,
            frame,
            connections_max,
            auth,
            registrar,
            presence,
        })
    }
}

fn domains(top: &mut Section<'_, '_>) -> Result<Vec<Box<str>>, ConfigError> {
    let Some(list) = top.strings("domains", "[\"example.com\"]")? else {
        return Ok(vec!["example.com".into()]);
    };
    let mut domains = Vec::new();
    for At { value, place } in list.value {
        let domain = value.to_ascii_lowercase().into_boxed_str();
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if domain.len() > 253 || !domain.split('.').all(label_ok) {
            return Err(place.wrong(
                format!("`domains` has {value:?}, which is no domain name"),
                "write letters, digits, hyphens and dots; an international name in its xn-- form",
            ));
        }
        if domains.contains(&domain) {
            return Err(place.wrong(
                format!("`domains` has {domain:?} twice"),
                "name each domain once",
            ));
        }
        domains.push(domain);
    }
    if domains.is_empty() {
        return Err(list.place.wrong(
            "`domains` is empty",
            "name at least one domain: users live in one",
        ));
    }
    Ok(domains)
}

fn address(key: &str, written: &At<String>) -> Result<SocketAddr, ConfigError> {
    written.value.parse().map_err(|_| {
        written.place.wrong(
            format!("`listen.{key}` has {:?}, which is no address with a port", written.value),
            "write an IP address and a port, such as \"127.0.0.1:5061\" or \"[::1]:5061\" (port 0: any free port)",
        )
    })
}

fn loopback(key: &str, written: &At<String>, why: &str) -> Result<SocketAddr, ConfigError> {
    let address = address(key, written)?;
    if !address.ip().is_loopback() {
        return Err(written.place.wrong(
            format!(
                "`listen.{key}` has {:?}, which others can reach",
                written.value
            ),
            format!(
                "{why} use a loopback address, such as \"127.0.0.1:{}\"",
                address.port()
            ),
        ));
    }
    Ok(address)
}

fn listen(mut section: Section<'_, '_>) -> Result<Listen, ConfigError> {
    section.later(
        "https",
        "presence over HTTPS and SIP over WebSocket come with a later version: take the key out until then",
    )?;
    let sips = match section.strings("sips", "[\"127.0.0.1:5061\"]")? {
        None => vec![SocketAddr::from(([127, 0, 0, 1], 5061))],
        Some(list) => {
            (list.value.iter().map(|item| address("sips", item))).collect::<Result<_, _>>()?
        }
    };
    let sip = match section.strings("sip", "[\"127.0.0.1:5060\"]")? {
        None => Vec::new(),
        Some(list) => list
            .value
            .iter()
            .map(|item| {
                loopback(
                    "sip",
                    item,
                    "plain TCP shows everybody's messages on the way:",
                )
            })
            .collect::<Result<_, _>>()?,
    };
    let admin = match section.string("admin", "\"127.0.0.1:9061\"")? {
        None => SocketAddr::from(([127, 0, 0, 1], 9061)),
        Some(item) => loopback("admin", &item, "it answers anybody, without a password:")?,
    };
    if let (true, true, Some(place)) = (sips.is_empty(), sip.is_empty(), section.place("sips")) {
        return Err(place.wrong(
            "`listen.sips` is empty, and so is `listen.sip`",
            "name at least one address, or nobody can come in",
        ));
    }
    let mut seen = vec![admin];
    for address in sips.iter().chain(&sip) {
        if address.port() != 0 && seen.contains(address) {
            let place = section.place("sips").or(section.place("sip"));
            let place = place.or(section.place("admin"));
            if let Some(place) = place {
                return Err(place.wrong(
                    format!("{address} is asked for twice in [listen]"),
                    "one address serves one purpose: choose another port",
                ));
            }
        }
        seen.push(*address);
    }
    section.finish()?;
    Ok(Listen { sips, sip, admin })
}

fn tls(
    mut section: Section<'_, '_>,
    folder: &Path,
) -> Result<Option<CertificateFiles>, ConfigError> {
    let cert = section.string("cert", "\"server.pem\"")?;
    let key = section.string("key", "\"server.key\"")?;
    section.finish()?;
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(CertificateFiles {
            cert: folder.join(cert.value),
            key: folder.join(key.value),
            place: cert.place,
        })),
        (Some(cert), None) => Err(cert.place.wrong(
            "`tls.cert` is given without `tls.key`",
            "give both, or neither for a self-signed pair",
        )),
        (None, Some(key)) => Err(key.place.wrong(
            "`tls.key` is given without `tls.cert`",
            "give both, or neither for a self-signed pair",
        )),
    }
}

fn cores(mut section: Section<'_, '_>) -> Result<Option<Vec<usize>>, ConfigError> {
    let list = section.numbers("cores", 0..=4095, "[0, 1]")?;
    section.finish()?;
    let Some(At { value, place }) = list else {
        return Ok(None);
    };
    let mut cores: Vec<usize> = value
        .iter()
        .filter_map(|n| usize::try_from(*n).ok())
        .collect();
    if cores.is_empty() {
        return Err(place.wrong(
            "`shards.cores` is empty",
            "name at least one core, or leave the key out for all of them",
        ));
    }
    cores.sort_unstable();
    cores.dedup();
    if cores.len() < value.len() {
        return Err(place.wrong(
            "`shards.cores` names a core twice",
            "name each core once: one shard a core",
        ));
    }
    Ok(Some(cores))
}

fn auth(mut section: Section<'_, '_>, domains: &[Box<str>]) -> Result<auth::Settings, ConfigError> {
    let rules = auth::Settings::default();
    let list = section.strings("schemes", "[\"digest-sha-256\", \"digest-md5\"]")?;
    let settings = auth::Settings {
        domains: domains.to_vec(),
        schemes: match list {
            None => vec![Algorithm::Sha256, Algorithm::Md5],
            Some(list) => schemes(list)?,
        },
        nonce_lifetime: seconds(&mut section, "nonce_lifetime_s", 10..=86_400, rules.nonce_lifetime)?,
        failures_max: small(&mut section, "failures_max", 1..=100, rules.failures_max)?,
    };
    section.finish()?;
    Ok(settings)
}

fn schemes(list: At<Vec<At<String>>>) -> Result<Vec<Algorithm>, ConfigError> {
    let mut schemes = Vec::new();
    for At { value, place } in list.value {
        let scheme = match value.as_str() {
            "digest-sha-256" => Algorithm::Sha256,
            "digest-md5" => Algorithm::Md5,
            "ntlm" => {
                return Err(place.wrong(
                    "`auth.schemes` has \"ntlm\", which is not known yet",
                    "NTLM comes with a later version: take it out until then",
                ));
            }
            _ => {
                return Err(place.wrong(
                    format!("`auth.schemes` has {value:?}"),
                    "the schemes are \"digest-sha-256\" and \"digest-md5\"",
                ));
            }
        };
        if schemes.contains(&scheme) {
            return Err(place.wrong(
                format!("`auth.schemes` has {value:?} twice"),
                "name each scheme once, the one to be offered first in front",
            ));
        }
        schemes.push(scheme);
    }
    if schemes.is_empty() {
        return Err(list.place.wrong("`auth.schemes` is empty", "name at least one scheme, or nobody can come in"));
    }
    Ok(schemes)
}

fn limits(mut section: Section<'_, '_>) -> Result<(frame::Limits, Option<usize>), ConfigError> {
    let rules = frame::Limits::default();
    let frame = frame::Limits {
        head_bytes_max: small(&mut section, "head_bytes_max", 1024..=64 << 10, rules.head_bytes_max)?,
        body_bytes_max: small(&mut section, "body_bytes_max", 1024..=16 << 20, rules.body_bytes_max)?,
        headers_max: small(&mut section, "headers_max", 16..=256, rules.headers_max)?,
    };
    let connections_max = match small(&mut section, "connections_max", 1..=10_000_000, 0)? {
        0 => None,
        most => Some(most),
    };
    section.finish()?;
    Ok((frame, connections_max))
}

fn registrar(mut section: Section<'_, '_>) -> Result<registrar::Settings, ConfigError> {
    let rules = registrar::Settings::default();
    let settings = registrar::Settings {
        // A registrar must not refuse an hour or more as too short (RFC 3261 §10.3, step 7).
        expires_min_s: small(&mut section, "expires_min_s", 1..=3600, rules.expires_min_s)?,
        expires_default_s: small(&mut section, "expires_default_s", 1..=604_800, rules.expires_default_s)?,
        expires_max_s: small(&mut section, "expires_max_s", 1..=604_800, rules.expires_max_s)?,
        endpoints_max: small(&mut section, "endpoints_max", 1..=1000, rules.endpoints_max)?,
        ..rules
    };
    let times = [settings.expires_min_s, settings.expires_default_s, settings.expires_max_s];
    expiries_in_order(&section, times)?;
    section.finish()?;
    Ok(settings)
}

fn presence(mut section: Section<'_, '_>) -> Result<presence::Limits, ConfigError> {
    let rules = presence::Limits::default();
    let settings = presence::Limits {
        expires_s_min: small(&mut section, "expires_min_s", 1..=3600, rules.expires_s_min)?,
        expires_s_default: small(&mut section, "expires_default_s", 1..=604_800, rules.expires_s_default)?,
        expires_s_max: small(&mut section, "expires_max_s", 1..=604_800, rules.expires_s_max)?,
        publications_max: small(&mut section, "publications_max", 1..=1000, rules.publications_max)?,
        note_bytes_max: small(&mut section, "note_bytes_max", 0..=16 << 10, rules.note_bytes_max)?,
    };
    let times = [settings.expires_s_min, settings.expires_s_default, settings.expires_s_max];
    expiries_in_order(&section, times)?;
    section.finish()?;
    Ok(settings)
}

/// A whole number within `range`, which fits `T`: every range above is one of its type.
fn small<T>(section: &mut Section<'_, '_>, key: &'static str, range: RangeInclusive<u64>, default: T) -> Result<T, ConfigError>
where
    T: TryFrom<u64>,
{
    let written = section.number(key, range)?;
    Ok(written.and_then(|at| T::try_from(at.value).ok()).unwrap_or(default))
}

fn seconds(
    section: &mut Section<'_, '_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    Ok(section.number(key, range)?.map_or(default, |at| Duration::from_secs(at.value)))
}

fn expiries_in_order(section: &Section<'_, '_>, [least, usual, most]: [u32; 3]) -> Result<(), ConfigError> {
    if least <= usual && usual <= most {
        return Ok(());
    }
    // Defaults are in order, so one of them is written.
    let written = ["expires_default_s", "expires_min_s", "expires_max_s"];
    match written.iter().find_map(|key| section.place(key)) {
        None => Ok(()),
        Some(place) => Err(place.wrong(
            format!("expires_min_s is {least}, expires_default_s {usual}, expires_max_s {most}"),
            "they must not fall: min <= default <= max",
        )),
    }
}
