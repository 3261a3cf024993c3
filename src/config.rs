//! TOML as written -> `Config` as meant. Every key has its default; an error names the file, the line, what was
//! found and what would be right. A room states its own limits and settings; this fills them in.
//! Whether the host can do what is asked (ports, certificate, open files) is `cli::check`, not here.

mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use written::{At, Section, Source};
pub use written::{ConfigError, Place};

/// How a user may prove who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Digest with SHA-256 (RFC 7616, RFC 8760).
    DigestSha256,
    /// Digest with MD5 (RFC 2617, RFC 7616).
    DigestMd5,
}

impl Scheme {
    /// As the config writes it.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::DigestSha256 => "digest-sha-256",
            Scheme::DigestMd5 => "digest-md5",
        }
    }
}

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

/// Bounds on what peers may cost us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a message's head.
    pub head_bytes_max: usize,
    /// Bytes of a message's body; more is answered 413.
    pub body_bytes_max: usize,
    /// Header lines of a message.
    pub headers_max: usize,
    /// Connections of the whole server; `None`: what the limit on open files leaves.
    pub connections_max: Option<usize>,
    /// Bytes that may wait for one slow reader.
    pub waiting_bytes_max: usize,
    /// Seconds for a TLS handshake.
    pub handshake_s: u64,
    /// Seconds in which a message that has begun must be whole.
    pub message_s: u64,
    /// Seconds of silence after which a connection is closed that nobody has authenticated on.
    pub stranger_s: u64,
}

/// All that an operator can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The file it was read from; `None`: the defaults, as the Standard Edition on loopback.
    pub file: Option<PathBuf>,
    /// The SIP domains this server is home to, lower case, at least one.
    pub domains: Vec<String>,
    /// All that the server keeps is below here.
    pub data_dir: PathBuf,
    /// What it listens on.
    pub listen: Listen,
    /// `None`: a self-signed pair in `data_dir/tls`.
    pub tls: Option<CertificateFiles>,
    /// The cores to run a shard on each; `None`: every core this process may run on.
    pub cores: Option<Vec<usize>>,
    /// In the order in which they are offered; at least one.
    pub schemes: Vec<Scheme>,
    /// What peers may cost us.
    pub limits: Limits,
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
        let config = Config {
            file: Some(file.to_path_buf()),
            domains: domains(&mut top)?,
            data_dir: match top.string("data_dir", "\"muster-data\"")? {
                None => folder.join("muster-data"),
                Some(dir) if dir.value.is_empty() => {
                    return Err(dir.place.wrong("`data_dir` is empty", "name a folder"));
                }
                Some(dir) => folder.join(dir.value),
            },
            listen: listen(top.section("listen")?)?,
            tls: tls(top.section("tls")?, folder)?,
            cores: cores(top.section("shards")?)?,
            schemes: schemes(top.section("auth")?)?,
            limits: limits(top.section("limits")?)?,
        };
        top.finish()?;
        Ok(config)
    }
}

fn domains(top: &mut Section<'_, '_>) -> Result<Vec<String>, ConfigError> {
    let Some(list) = top.strings("domains", "[\"example.com\"]")? else {
        return Ok(vec!["example.com".to_owned()]);
    };
    let mut domains = Vec::new();
    for At { value, place } in list.value {
        let domain = value.to_ascii_lowercase();
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

fn schemes(mut section: Section<'_, '_>) -> Result<Vec<Scheme>, ConfigError> {
    let list = section.strings("schemes", "[\"digest-sha-256\", \"digest-md5\"]")?;
    section.finish()?;
    let Some(list) = list else {
        return Ok(vec![Scheme::DigestSha256, Scheme::DigestMd5]);
    };
    let mut schemes = Vec::new();
    for At { value, place } in list.value {
        let scheme = match value.as_str() {
            "digest-sha-256" => Scheme::DigestSha256,
            "digest-md5" => Scheme::DigestMd5,
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
                "name each scheme once, the one to be tried first in front",
            ));
        }
        schemes.push(scheme);
    }
    if schemes.is_empty() {
        return Err(list.place.wrong(
            "`auth.schemes` is empty",
            "name at least one scheme, or nobody can come in",
        ));
    }
    Ok(schemes)
}

fn limits(mut section: Section<'_, '_>) -> Result<Limits, ConfigError> {
    let mut number = |key, range, default: u64| -> Result<u64, ConfigError> {
        Ok(section.number(key, range)?.map_or(default, |at| at.value))
    };
    // Every value below fits an usize: the ranges say so.
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let limits = Limits {
        head_bytes_max: size(number("head_bytes_max", 1024..=1 << 20, 16 << 10)?),
        body_bytes_max: size(number("body_bytes_max", 1024..=16 << 20, 64 << 10)?),
        headers_max: size(number("headers_max", 16..=1024, 128)?),
        connections_max: match number("connections_max", 1..=10_000_000, 0)? {
            0 => None,
            most => Some(size(most)),
        },
        waiting_bytes_max: size(number("waiting_bytes_max", 64 << 10..=64 << 20, 1 << 20)?),
        handshake_s: number("handshake_s", 1..=120, 10)?,
        message_s: number("message_s", 1..=600, 30)?,
        stranger_s: number("stranger_s", 1..=3600, 60)?,
    };
    section.finish()?;
    Ok(limits)
}
