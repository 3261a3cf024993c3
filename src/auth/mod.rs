//! Who speaks on a connection: digest authentication (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! It goes in two steps, because only the shard that owns a user has that user's credentials. `claim` reads who a request
//! says to be, and refuses what no credentials can mend; any shard can do it. `verify` runs on the owner's shard. It does the same
//! work for a user that is not there as for a wrong password, so neither the answer nor its time tells one from the other.
//!
//! Nothing is kept here: the caller keeps a `Seen` a connection, and the identity that was proved.

mod digest;
mod nonce;

use core::net::SocketAddr;
use core::time::Duration;
use std::borrow::Cow;

use smallvec::SmallVec;

pub use digest::{Algorithm, Credentials, ha1_md5, ha1_sha256};
use digest::{Protection, Question};
use nonce::NonceId;
pub use nonce::{BadNonce, NonceKey, Seen};

use crate::sip::header::{AuthParams, Name};
use crate::sip::message::{Message, Method};
use crate::sip::time::Now;
use crate::sip::uri::{Aor, Scheme as UriScheme, Uri};

/// What the operator decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The domains this server is home to, in lower case, at least one. Each is a realm; the first is the one for who names none.
    pub domains: Vec<Box<str>>,
    /// What is offered, topmost first: a client takes the first that it knows (RFC 8760 §2.3).
    /// COMPAT(sipp, 3.6): it looks at the first challenge only and knows no SHA-256, so it needs MD5 first.
    pub schemes: Vec<Algorithm>,
    /// How long a nonce may be used. A client that lives longer meets `stale=true` and goes on without asking its user.
    pub nonce_lifetime: Duration,
    /// Wrong answers in a row on one connection, after which it is to be closed: guessing costs a handshake every few tries.
    pub failures_max: u8,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            domains: vec!["example.com".into()],
            schemes: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_lifetime: Duration::from_secs(300),
            failures_max: 5,
        }
    }
}

/// Asks and checks. One a shard, all with the same key and settings.
#[derive(Debug)]
pub struct Authenticator {
    settings: Settings,
    key: NonceKey,
    /// Stands in for a user that is not there; nobody knows a password for it.
    nobody: Credentials,
}

/// Who a request says to be.
#[derive(Debug)]
pub enum Claim<'a> {
    /// Nobody that this server could check: no Authorization, or none for a realm and a scheme of ours. Challenge it.
    NoCredentials,
    /// Not to be understood: answer 400 with the flaw's reason.
    Malformed(Flaw),
    /// The nonce is not (or no longer) good here: challenge it with `stale`.
    Stale,
    /// A user of ours, to be verified where the user's credentials are.
    User(Answer<'a>),
}

/// What is wrong with an Authorization for our realm. Always the peer's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// No, or an impossible, `username`; or one of another domain than the realm.
    Username,
    /// `nonce`, `uri` or `response` is absent.
    Incomplete,
    /// `uri` names something else than the Request-URI.
    Uri,
    /// Another `qop` than the offered `auth`, or none where the algorithm needs it.
    Qop,
    /// `qop` without a usable `nc` and `cnonce`.
    Count,
    /// `userhash=true` was not offered (RFC 7616 §3.4.4).
    UserHash,
}

impl Flaw {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        400
    }

    /// The reason phrase of the answer.
    pub fn reason(self) -> &'static str {
        match self {
            Flaw::Username => "Bad username in Authorization",
            Flaw::Incomplete => "Incomplete Authorization",
            Flaw::Uri => "Authorization for another URI",
            Flaw::Qop => "Unsupported qop in Authorization",
            Flaw::Count => "Bad nc or cnonce in Authorization",
            Flaw::UserHash => "Unsupported userhash in Authorization",
        }
    }
}

/// An answer to a challenge of ours, its nonce found good, its digest not yet looked at.
pub struct Answer<'a> {
    aor: Aor,
    algorithm: Algorithm,
    method: &'a str,
    uri: Cow<'a, str>,
    nonce_text: Cow<'a, str>,
    nonce: NonceId,
    protection: Option<Counted<'a>>,
    response: Cow<'a, str>,
}

struct Counted<'a> {
    nc: Cow<'a, str>,
    cnonce: Cow<'a, str>,
    count: u32,
}

impl core::fmt::Debug for Answer<'_> {
    // A credential never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Answer")
            .field("aor", &self.aor)
            .finish_non_exhaustive()
    }
}

impl Answer<'_> {
    /// Who it says to be; not proved yet.
    pub fn aor(&self) -> &Aor {
        &self.aor
    }
}

/// What became of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the user.
    Proved,
    /// The digest is right, but its nonce and count were used before on this connection: challenge with `stale`.
    Stale,
    /// No such user, or not the password: challenge again, without `stale`.
    Wrong,
    /// The same, once too often: answer 403 and close.
    TooMany,
}

impl Authenticator {
    /// One for a shard. `secret` is 32 bytes from a cryptographic generator, the same for all shards of a server.
    ///
    /// # Panics
    /// Where the settings name no domain: `config` makes none such.
    pub fn new(settings: Settings, secret: &[u8; 32]) -> Authenticator {
        assert!(
            !settings.domains.is_empty(),
            "a server without a domain has no realm to ask for"
        );
        let key = NonceKey::new(secret);
        let dummy = key.derive(b"nobody");
        let mut ha1_md5 = [0; 16];
        ha1_md5.copy_from_slice(&dummy[..16]);
        let nobody = Credentials {
            ha1_md5: Some(ha1_md5),
            ha1_sha256: Some(dummy),
        };
        Authenticator {
            settings,
            key,
            nobody,
        }
    }

    /// Takes new settings; nonces that are out stay good.
    pub fn set(&mut self, settings: Settings) {
        assert!(
            !settings.domains.is_empty(),
            "a server without a domain has no realm to ask for"
        );
        self.settings = settings;
    }

    /// The values of the WWW-Authenticate lines of a 401 to `request`, one a scheme, in the order of the settings
    /// (RFC 3261 §22.1, RFC 8760 §2.3). `stale`: the password need not be asked for again (RFC 7616 §3.3).
    /// A client that can't bear a scheme is not offered it, as long as another one is left.
    pub fn challenges(
        &self,
        request: &Message<'_>,
        now: Now,
        peer: SocketAddr,
        stale: bool,
    ) -> SmallVec<[String; 2]> {
        let realm = self.realm_of(request);
        let nonce = self.key.issue(now, peer);
        let stale = if stale { ", stale=true" } else { "" };
        let schemes = &self.settings.schemes;
        let md5_only = knows_only_md5(request) && schemes.contains(&Algorithm::Md5);
        schemes
            .iter()
            .filter(|algorithm| !md5_only || **algorithm == Algorithm::Md5)
            .map(|algorithm| {
                let algorithm = algorithm.as_str();
                format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
            })
            .collect()
    }

    /// Reads who `request` from `peer` says to be.
    ///
    /// The first Authorization line counts whose scheme and realm are ours (RFC 8760 §2.4). Its `uri` must name the Request-URI's
    /// user and host; scheme, port and parameters may differ, since clients add `;transport=tls` or a port to one
    /// of the two, and a nonce is good for this connection only, so nothing is gained by an answer to another request.
    pub fn claim<'a>(&self, request: &Message<'a>, now: Now, peer: SocketAddr) -> Claim<'a> {
        let lines = request.headers(Name::Authorization);
        let Some((params, algorithm, realm)) = lines.filter_map(|line| self.for_us(line)).next()
        else {
            return Claim::NoCredentials;
        };
        let (Some(nonce_text), Some(uri), Some(response)) = (
            params.get("nonce"),
            params.get("uri"),
            params.get("response"),
        ) else {
            return Claim::Malformed(Flaw::Incomplete);
        };
        if params
            .get("userhash")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Claim::Malformed(Flaw::UserHash);
        }
        let Some(aor) = params
            .get("username")
            .and_then(|name| user_in(realm, &name))
        else {
            return Claim::Malformed(Flaw::Username);
        };
        let protection = match protection(&params, algorithm) {
            Ok(protection) => protection,
            Err(flaw) => return Claim::Malformed(flaw),
        };
        if !same_target(request.uri(), &uri) {
            return Claim::Malformed(Flaw::Uri);
        }
        match self
            .key
            .check(&nonce_text, now, peer, self.settings.nonce_lifetime)
        {
            Err(BadNonce::Foreign | BadNonce::Expired) => Claim::Stale,
            Ok(nonce) => Claim::User(Answer {
                aor,
                algorithm,
                method: request.method_text(),
                uri,
                nonce_text,
                nonce,
                protection,
                response,
            }),
        }
    }

    /// Says whether `answer` was made with the password of `credentials`; None where there is no such user.
    /// `seen` belongs to the connection that the answer came over.
    pub fn verify(
        &self,
        answer: &Answer<'_>,
        credentials: Option<&Credentials>,
        seen: &mut Seen,
    ) -> Verdict {
        // A user without a hash for this scheme (enabled after the password was set) is like one that is not there.
        let credentials = credentials.filter(|kept| match answer.algorithm {
            Algorithm::Md5 => kept.ha1_md5.is_some(),
            Algorithm::Sha256 => kept.ha1_sha256.is_some(),
        });
        let question = Question {
            method: answer.method,
            uri: &answer.uri,
            nonce: &answer.nonce_text,
            protection: answer.protection.as_ref().map(|counted| Protection {
                nc: &counted.nc,
                cnonce: &counted.cnonce,
            }),
        };
        let right = question.is_answered_by(
            answer.algorithm,
            credentials.unwrap_or(&self.nobody),
            &answer.response,
        );
        if !right || credentials.is_none() {
            return if seen.failed() >= self.settings.failures_max {
                Verdict::TooMany
            } else {
                Verdict::Wrong
            };
        }
        // Only a right answer uses up its count: a wrong one must not push out the client's own.
        if !seen.admits(
            answer.nonce,
            answer.protection.as_ref().map(|counted| counted.count),
        ) {
            return Verdict::Stale;
        }
        seen.succeeded();
        Verdict::Proved
    }

    /// The domain whose user `request` would have to prove to be: of To in a REGISTER, else of From.
    fn realm_of(&self, request: &Message<'_>) -> &str {
        let who = if request.method() == Method::Register {
            request.to()
        } else {
            request.from()
        };
        let named = who.uri().ok().and_then(|uri| self.domain(uri.host));
        named.unwrap_or(&self.settings.domains[0])
    }

    fn domain(&self, host: &str) -> Option<&str> {
        let found = self
            .settings
            .domains
            .iter()
            .find(|domain| domain.eq_ignore_ascii_case(host));
        found.map(|domain| &**domain)
    }

    /// An Authorization line for one of our realms with an enabled algorithm; no algorithm means MD5 (RFC 3261 §22.4).
    fn for_us<'a>(&self, line: &'a str) -> Option<(AuthParams<'a>, Algorithm, &str)> {
        let params = AuthParams::parse(line)
            .ok()
            .filter(|params| params.is("Digest"))?;
        let algorithm = match params.get("algorithm") {
            Some(name) => Algorithm::parse(&name)?,
            None => Algorithm::Md5,
        };
        // Byte by byte: the client hashed the realm as it wrote it, and we hash ours.
        let realm = params.get("realm")?;
        let realm = self
            .settings
            .domains
            .iter()
            .find(|domain| ***domain == *realm)?;
        self.settings
            .schemes
            .contains(&algorithm)
            .then_some((params, algorithm, realm))
    }
}

/// COMPAT(baresip, 1.0): it takes a 401 for broken in which any challenge has an algorithm other than MD5, wherever it stands.
/// Who lies about this gets what is offered anyway.
fn knows_only_md5(request: &Message<'_>) -> bool {
    request
        .header(Name::UserAgent)
        .is_some_and(|agent| agent.starts_with("baresip v1.") || agent.starts_with("baresip v0."))
}

/// The user of `realm` whom `username` names: `alice`, or `alice@example.com` where that is the realm.
fn user_in(realm: &str, username: &str) -> Option<Aor> {
    let user = match username.rsplit_once('@') {
        Some((user, domain)) if domain.eq_ignore_ascii_case(realm) => user,
        Some(_) => return None,
        None => username,
    };
    if user.is_empty() {
        None
    } else {
        Aor::parse(&format!("{user}@{realm}"))
    }
}

/// Reads `qop` and what belongs to it. Without `qop` only MD5 is taken, from clients that speak RFC 2069
/// (COMPAT(Pidgin SIMPLE, 2.14)); SHA-256 came with RFC 7616, which has no answer without.
fn protection<'a>(
    params: &AuthParams<'a>,
    algorithm: Algorithm,
) -> Result<Option<Counted<'a>>, Flaw> {
    match params.get("qop") {
        None if algorithm == Algorithm::Md5 => Ok(None),
        Some(qop) if qop.eq_ignore_ascii_case("auth") => {
            let (Some(nc), Some(cnonce)) = (params.get("nc"), params.get("cnonce")) else {
                return Err(Flaw::Count);
            };
            if nc.is_empty() || nc.len() > 8 || !nc.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(Flaw::Count);
            }
            let count = u32::from_str_radix(&nc, 16).map_err(|_| Flaw::Count)?;
            Ok(Some(Counted { nc, cnonce, count }))
        }
        _ => Err(Flaw::Qop),
    }
}

/// Whether the digest's `uri` means the Request-URI; `claim` has the tolerance.
fn same_target(request_uri: &str, digest_uri: &str) -> bool {
    if request_uri == digest_uri {
        return true;
    }
    let (Ok(asked), Ok(answered)) = (Uri::parse(request_uri), Uri::parse(digest_uri)) else {
        return false;
    };
    let sip = |uri: &Uri<'_>| matches!(uri.scheme, UriScheme::Sip | UriScheme::Sips);
    sip(&asked)
        && sip(&answered)
        && asked.user == answered.user
        && asked.host.eq_ignore_ascii_case(answered.host)
}

#[cfg(test)]
mod tests;
