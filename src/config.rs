//! TOML as written -> `Config` as meant. Every key has its default; an error names the file, the line, what was
//! found and what would be right. A room states its own limits and settings; this fills them in.
//! Whether the host can do what is asked (ports, certificate, open files) is `cli::check`, not here.

mod rooms;
mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use written::{At, Section, Source};
pub use written::{ConfigError, Place};

use crate::shell::run::ConnectionLimits;
use crate::sip::frame;
use crate::{auth, shard};

/// More shards on one core only cost.
const SHARDS_PER_CORE_MAX: u64 = 64;
/// A hundred years: longer is for ever, which is said by no number at all.
const KEEP_DAYS_MAX: u64 = 36_500;

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
    /// Shards on each core; `None`: one, or as many as the limit on open files makes necessary for `connections_max`.
    pub shards_per_core: Option<usize>,
    /// What a peer may send.
    pub frame: frame::Limits,
    /// How long a peer may take, and how much may wait for it.
    pub connection: ConnectionLimits,
    /// Connections of the whole server; `None`: what the limit on open files leaves.
    pub connections_max: Option<usize>,
    /// For how many days an ended session stays in the call detail records; `None`: for ever.
    pub cdr_keep_days: Option<u32>,
    /// What the shards run with; how many there are is not known here.
    pub shard: shard::Settings,
}

#[expect(
    clippy::derivable_impls,
    reason = "it can't: the defaults are those of the empty file"
)]
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
        let (cores, shards_per_core) = shards(top.section("shards")?)?;
        let (limits, shard) = rooms::read(&mut top, &domains)?;
        let cdr_keep_days = cdr(top.section("cdr")?)?;
        top.finish()?;
        Ok(Config {
            file: Some(file.to_path_buf()),
            domains,
            data_dir,
            listen,
            tls,
            cores,
            shards_per_core,
            frame: limits.frame,
            connection: limits.connection,
            connections_max: limits.connections_max,
            cdr_keep_days,
            shard,
        })
    }
}

impl Config {
    /// The keys of the top and the sections that count only at the next start, and that `other` has otherwise.
    pub fn differs_from(&self, other: &Config) -> Vec<&'static str> {
        // The realms are `domains`.
        let auth = |config: &Config| auth::Settings {
            domains: Vec::new(),
            ..config.shard.auth.clone()
        };
        let presence = |config: &Config| {
            let shard = &config.shard;
            (
                shard.presence,
                shard.subscription_s,
                shard.subscriptions_max,
            )
        };
        let limits = |config: &Config| {
            let shard = &config.shard;
            (
                (config.frame, config.connection, config.connections_max),
                (shard.dialogs_max, shard.pending_max, shard.anonymous_s),
            )
        };
        let (mine, its) = (&self.shard, &other.shard);
        let same_shards =
            self.cores == other.cores && self.shards_per_core == other.shards_per_core;
        let all = [
            ("domains", self.domains == other.domains),
            ("data_dir", self.data_dir == other.data_dir),
            ("[listen]", self.listen == other.listen),
            ("[shards]", same_shards),
            ("[auth]", auth(self) == auth(other)),
            ("[registrar]", mine.registrar == its.registrar),
            ("[presence]", presence(self) == presence(other)),
            ("[im]", mine.immcu == its.immcu),
            ("[limits]", limits(self) == limits(other)),
            ("[cdr]", self.cdr_keep_days == other.cdr_keep_days),
        ];
        let differ = all.into_iter().filter(|(_, same)| !same);
        differ.map(|(name, _)| name).collect()
    }
}

/// A name as DNS has it (RFC 1123 §2.1).
fn is_host_name(name: &str) -> bool {
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label_ok)
}

fn domains(top: &mut Section<'_, '_>) -> Result<Vec<Box<str>>, ConfigError> {
    let Some(list) = top.strings("domains", "[\"example.com\"]")? else {
        return Ok(vec!["example.com".into()]);
    };
    let mut domains = Vec::new();
    for At { value, place } in list.value {
        let domain = value.to_ascii_lowercase().into_boxed_str();
        if !is_host_name(&domain) {
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

/// The cores, and how many shards there are on each.
fn shards(
    mut section: Section<'_, '_>,
) -> Result<(Option<Vec<usize>>, Option<usize>), ConfigError> {
    let list = section.numbers("cores", 0..=4095, "[0, 1]")?;
    let per_core = section.number("per_core", 1..=SHARDS_PER_CORE_MAX)?;
    section.finish()?;
    let per_core = per_core.and_then(|At { value, .. }| usize::try_from(value).ok());
    Ok((cores(list)?, per_core))
}

fn cores(list: Option<At<Vec<u64>>>) -> Result<Option<Vec<usize>>, ConfigError> {
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
            "name each core once; `per_core` says how many shards are on each",
        ));
    }
    Ok(Some(cores))
}

/// For how many days records are kept.
fn cdr(mut section: Section<'_, '_>) -> Result<Option<u32>, ConfigError> {
    let days = section.number("keep_days", 1..=KEEP_DAYS_MAX)?;
    section.finish()?;
    Ok(days.and_then(|At { value, .. }| u32::try_from(value).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operator of `text` is told.
    fn check(text: &str, expected: &str) {
        let told = match Config::read(Path::new("/etc/muster.toml"), text) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(
            told.starts_with(expected),
            "{text}\nsays  {told}\nnot   {expected}"
        );
    }

    /// Each key that takes a number, as the README has it: its section, its name, and the number there.
    fn numeric_keys() -> Vec<(String, String, u64)> {
        let readme = include_str!("../README.md");
        let (_, block) = readme.split_once("```toml\ndomains").expect("the config");
        let (block, _) = block.split_once("```").expect("its end");
        let (mut section, mut keys) = (String::new(), Vec::new());
        for line in block.lines() {
            // A key that is absent by default stands in a comment.
            let line = line.trim_start_matches("# ");
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some((key, rest)) = line.split_once('=') {
                let value = rest.split('#').next().unwrap_or_default().trim();
                if let Ok(value) = value.parse() {
                    keys.push((section.clone(), key.trim().to_owned(), value));
                }
            }
        }
        keys
    }

    #[test]
    fn each_key_is_its_own() {
        let read = |text: &str| Config::read(Path::new("muster.toml"), text);
        let default = read("").expect("the defaults");
        let keys = numeric_keys();
        assert!(keys.len() >= 31, "only {} keys", keys.len());
        let mut seen: Vec<(String, Config)> = Vec::new();
        for (section, key, value) in keys {
            let other = [value + 1, value - 1].into_iter().find_map(|value| {
                let text = format!("[{section}]\n{key} = {value}");
                Some((value, read(&text).ok()?))
            });
            let (other, config) =
                other.unwrap_or_else(|| panic!("{section}.{key}: no other value"));
            assert_ne!(config, default, "{section}.{key} = {other} changes nothing");
            for (earlier, same) in &seen {
                assert_ne!(config, *same, "{section}.{key} is {earlier}");
            }
            // Two that are taken for one another differ as well: what changes first is called as the key is.
            let (before, after) = (format!("{default:#?}"), format!("{config:#?}"));
            let mut lines = before.lines().zip(after.lines());
            let (changed, _) = lines.find(|(one, two)| one != two).expect("it shows");
            let name = changed.split_once(':').map_or("", |(name, _)| name.trim());
            let mut called = key.split('_').filter(|word| *word != "s");
            let fits = match key.as_str() {
                "stranger_s" => name == "anonymous_s",
                "subscription_min_s" => config.shard.subscription_s.0 == other as u32,
                "subscription_max_s" => config.shard.subscription_s.1 == other as u32,
                _ => called.all(|word| name.split('_').any(|part| part == word)),
            };
            assert!(fits, "{section}.{key} changes {changed}");
            seen.push((format!("{section}.{key}"), config));
        }
    }

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let read =
            |text: &str| Config::read(Path::new("/etc/muster.toml"), text).expect("a config");
        let plain = read("");
        for (text, expected) in [
            ("", ""),
            ("[tls]\ncert = \"a\"\nkey = \"b\"", ""),
            // The default of `ntlm_target` follows the domains, and [auth] is as it was.
            ("domains = [\"example.org\"]", "domains"),
            ("data_dir = \"elsewhere\"", "data_dir"),
            ("[listen]\nadmin = \"127.0.0.1:9062\"", "[listen]"),
            ("[shards]\ncores = [0]", "[shards]"),
            ("[shards]\nper_core = 2", "[shards]"),
            ("[auth]\nntlm_target = \"fe01.example.com\"", "[auth]"),
            ("[auth]\nfailures_max = 6", "[auth]"),
            ("[registrar]\nendpoints_max = 17", "[registrar]"),
            ("[presence]\nnote_chars_max = 501", "[presence]"),
            ("[presence]\nsubscription_min_s = 61", "[presence]"),
            ("[presence]\nsubscriptions_max = 3001", "[presence]"),
            ("[im]\nmembers_max = 7", "[im]"),
            ("[limits]\nheaders_max = 127", "[limits]"),
            ("[limits]\nunread_s = 31", "[limits]"),
            ("[limits]\nconnections_max = 77", "[limits]"),
            ("[limits]\nstranger_s = 31", "[limits]"),
            ("[limits]\ndialogs_max = 3001", "[limits]"),
            ("[limits]\npending_max = 257", "[limits]"),
            ("[cdr]\nkeep_days = 30", "[cdr]"),
            (
                "[im]\nringing_s = 60\n[auth]\nfailures_max = 6",
                "[auth] [im]",
            ),
        ] {
            let other = read(text);
            assert_eq!(plain.differs_from(&other).join(" "), expected, "{text}");
            assert_eq!(other.differs_from(&plain).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn every_error_names_line_fault_and_cure() {
        let at = |line: usize, rest: &str| format!("/etc/muster.toml:{line}: {rest}");
        check("", "fine");
        check(
            "domain = [\"a.example\"]",
            &at(1, "unknown key `domain`; did you mean `domains`?"),
        );
        check(
            "\n\n[listen]\n\nadmn = []",
            &at(5, "unknown key `listen.admn`; did you mean `listen.admin`?"),
        );
        check(
            "[colour]",
            &at(
                1,
                "unknown key `colour`; the keys here are domains, data_dir, listen",
            ),
        );
        check(
            "domains = 5",
            &at(
                1,
                "`domains` is 5; a list of strings is right here, such as [\"example.com\"]",
            ),
        );
        check(
            "domains = []",
            &at(1, "`domains` is empty; name at least one"),
        );
        check(
            "domains = [\n\"a.example\",\n\"b c\"]",
            &at(3, "`domains` has \"b c\", which is no domain name"),
        );
        check(
            "domains = [\"a.example\", \"A.example\"]",
            &at(1, "`domains` has \"a.example\" twice"),
        );
        check("data_dir = \"\"", &at(1, "`data_dir` is empty"));
        check(
            "[listen]\nsips = [\"127.0.0.1\"]",
            &at(
                2,
                "`listen.sips` has \"127.0.0.1\", which is no address with a port",
            ),
        );
        check(
            "[listen]\nsips = [\"localhost:5061\"]",
            &at(2, "`listen.sips` has \"localhost:5061\""),
        );
        check(
            "[listen]\nsip = [\"0.0.0.0:5060\"]",
            &at(
                2,
                "`listen.sip` has \"0.0.0.0:5060\", which others can reach",
            ),
        );
        check(
            "[listen]\nadmin = \"[::]:9061\"",
            &at(
                2,
                "`listen.admin` has \"[::]:9061\", which others can reach",
            ),
        );
        check(
            "[listen]\nsips = []",
            &at(2, "`listen.sips` is empty, and so is `listen.sip`"),
        );
        check("[listen]\nsips = []\nsip = [\"127.0.0.1:5060\"]", "fine");
        check(
            "[listen]\nsips = [\"127.0.0.1:9061\"]",
            &at(2, "127.0.0.1:9061 is asked for twice"),
        );
        check(
            "[listen]\nhttps = [\"127.0.0.1:5443\"]",
            &at(2, "`listen.https` is not known yet; presence over HTTPS"),
        );
        check(
            "listen = 5061",
            &at(
                1,
                "`listen` is 5061; a section is right here, such as `[listen]`",
            ),
        );
        check(
            "[tls]\ncert = \"a.pem\"",
            &at(2, "`tls.cert` is given without `tls.key`"),
        );
        check(
            "[tls]\nkey = \"a.key\"",
            &at(2, "`tls.key` is given without `tls.cert`"),
        );
        check("[shards]\ncores = []", &at(2, "`shards.cores` is empty"));
        check(
            "[shards]\ncores = [1, 1]",
            &at(2, "`shards.cores` names a core twice"),
        );
        check("[shards]\nper_core = 27", "fine");
        check(
            "[shards]\nper_core = 0",
            &at(
                2,
                "`shards.per_core` is 0; a whole number from 1 to 64 is right here",
            ),
        );
        check(
            "[shards]\ncores = [-1]",
            &at(
                2,
                "`shards.cores` is [-1]; a list of whole numbers from 0 to 4095",
            ),
        );
        check("[im]\nringing_s = 180", "fine");
        check("[im]\nringing_s = 181", &at(2, "`im.ringing_s` is 181"));
        check(
            "[auth]\nntlm_target = \"fe 01\"",
            &at(2, "`auth.ntlm_target` is \"fe 01\", which is no host name"),
        );
        check(
            "[auth]\nschemes = [\"basic\"]",
            &at(
                2,
                "`auth.schemes` has \"basic\"; the schemes are \"digest-sha-256\", \"digest-md5\" and \"ntlm\"",
            ),
        );
        check("[auth]\nschemes = []", &at(2, "`auth.schemes` is empty"));
        check(
            "[limits]\nbody_bytes_max = 0x10",
            &at(
                2,
                "`limits.body_bytes_max` is 0x10; a whole number from 1024 to",
            ),
        );
        check(
            "[registrar]\nexpires_min_s = 3000\nexpires_max_s = 2000",
            &at(2, "expires_min_s is 3000, expires_default_s"),
        );
        check(
            "[im]\nmembers_max = 2",
            &at(2, "`im.members_max` is 2; a whole number from 3"),
        );
        check("domains = [", &at(1, "this is not TOML"));
        check("a = 1\na = 2", &at(2, "this is not TOML"));
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let text = "domains = [\"Example.ORG\"]\ndata_dir = \"var\"\n[listen]\nsips = [\"[::1]:0\"]\n[tls]\ncert = \"c.pem\"\nkey = \"/k.pem\"\n\
                    [shards]\ncores = [3, 1]\n[auth]\nschemes = [\"digest-md5\"]\nntlm_target = \"fe.example.org\"\n[im]\nmembers_max = 9\npager_idle_s = 5\n\
                    [limits]\nconnections_max = 77\nbody_bytes_max = 1_000_000";
        let config = Config::read(Path::new("/etc/m/muster.toml"), text).unwrap();
        assert_eq!(*config.domains, ["example.org".into()]);
        assert_eq!(config.shard.auth.domains, config.domains);
        assert_eq!(config.data_dir, Path::new("/etc/m/var"));
        assert_eq!(config.listen.sips, ["[::1]:0".parse().unwrap()]);
        let tls = config.tls.unwrap();
        assert_eq!(
            (tls.cert.as_path(), tls.key.as_path()),
            (Path::new("/etc/m/c.pem"), Path::new("/k.pem"))
        );
        assert_eq!(config.cores, Some(vec![1, 3]));
        assert_eq!(config.shard.auth.schemes, [crate::auth::Scheme::DigestMd5]);
        assert_eq!(
            config.shard.auth.ntlm_target.as_deref(),
            Some("fe.example.org")
        );
        assert_eq!(
            (
                config.shard.immcu.members_max,
                config.shard.immcu.pager_idle.as_secs()
            ),
            (9, 5)
        );
        assert_eq!(config.connections_max, Some(77));
        let bodies = (config.frame.body_bytes_max, config.shard.body_bytes_max);
        assert_eq!(bodies, (1_000_000, 1_000_000));
        assert!(
            config.connection.unsent_bytes_max > 1_000_000,
            "the largest message must fit"
        );
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = Config::default();
        assert_eq!((config.file, config.tls, config.cores), (None, None, None));
        assert_eq!(*config.domains, ["example.com".into()]);
        assert_eq!(config.data_dir, Path::new("muster-data"));
        assert_eq!(config.listen.sips, ["127.0.0.1:5061".parse().unwrap()]);
        assert_eq!(
            (config.listen.sip, config.listen.admin),
            (vec![], "127.0.0.1:9061".parse().unwrap())
        );
        assert_eq!(config.shard.auth.schemes, crate::auth::Scheme::ALL);
        assert_eq!(config.shard.immcu.members_max, 250);
    }

    #[test]
    fn the_readme_tells_the_defaults() {
        let readme = include_str!("../README.md");
        let (_, block) = readme.split_once("## Config").unwrap();
        let (block, _) = block
            .split_once("```toml")
            .unwrap()
            .1
            .split_once("```")
            .unwrap();
        let told = Config::read(Path::new("muster.toml"), block).unwrap();
        let defaults = Config::default();
        let meant = Config {
            file: told.file.clone(),
            tls: told.tls.clone(),
            cores: told.cores.clone(),
            ..defaults
        };
        assert_eq!(told, meant);
    }
}
