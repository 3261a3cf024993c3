//! Who speaks on a connection: digest authentication (RFC 3261 §22, RFC 7616, RFC 8760), and NTLM ([MS-SIPAE]).
//!
//! It goes in two steps, because only the shard that owns a user has that user's credentials. `claim` reads who a request
//! says to be, and refuses what no credentials can mend; any shard can do it. `verify` runs on the owner's shard. It does the same
//! work for a user that is not there as for a wrong password, so neither the answer nor its time tells one from the other.
//!
//! Nothing is kept here: the caller keeps a `Seen` a connection, the identity that was proved, and after a login by NTLM
//! the `Association` that both sides sign with.

mod digest;
mod nonce;
mod ntlm;
mod scheme;

use core::net::SocketAddr;
use core::time::Duration;

use smallvec::SmallVec;

use digest::Algorithm;
pub use digest::{Credentials, Ha1, ha1_md5, ha1_sha256};
use nonce::NonceId;
pub use nonce::{BadNonce, NonceKey, Seen};
pub use ntlm::{ASSOCIATION_LIFETIME, Association, REALM, Unsigned, begins_anew, nt_hash};
pub use scheme::Scheme;

use crate::sip::header::{AuthParams, Name};
use crate::sip::message::{Message, Method};
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// What the operator decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The domains this server is home to, in lower case, at least one. Each is a realm; the first is the one for who names none.
    pub domains: Vec<Box<str>>,
    /// What is offered, topmost first: a client takes the first that it knows (RFC 8760 §2.3).
    /// COMPAT(sipp, 3.6): it looks at the first challenge only and knows no SHA-256, so it needs MD5 first.
    pub schemes: Vec<Scheme>,
    /// What the server is called in NTLM: the name of its host, up to 253 letters; `None`: the first domain. A client puts it into
    /// what it signs, and shows it.
    pub ntlm_target: Option<Box<str>>,
    /// How long a nonce may be used. A client that lives longer meets `stale=true` and goes on without asking its user.
    pub nonce_lifetime: Duration,
    /// Wrong answers in a row on one connection, after which it is to be closed: guessing costs a handshake every few tries.
    pub failures_max: u8,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            domains: vec!["example.com".into()],
            schemes: Scheme::ALL.to_vec(),
            ntlm_target: None,
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
    /// It wants to be asked by NTLM: challenge it with `question`.
    AsksForNtlm,
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
    /// `gssapi-data` is no answer to a challenge of NTLM as ours are, or there is no signature beside it.
    Token,
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
            Flaw::Token => "Bad gssapi-data or no signature in Authorization",
        }
    }
}

/// An answer to a challenge of ours, its nonce found good, its proof not yet looked at.
pub struct Answer<'a> {
    aor: Aor,
    nonce: NonceId,
    proof: Proof<'a>,
}

enum Proof<'a> {
    Digest(digest::Answer<'a>),
    Ntlm(Box<ntlm::Answer<'a>>),
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
#[derive(Debug)]
pub enum Verdict {
    /// It is the user.
    Proved,
    /// It is the user, and from this request on both sides sign what they say.
    Associated(Box<Association>),
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
        let mut short = [0; 16];
        short.copy_from_slice(&dummy[..16]);
        let nobody = Credentials {
            ha1_md5: Some(Ha1 {
                name: short,
                address: Some(short),
            }),
            ha1_sha256: Some(Ha1 {
                name: dummy,
                address: Some(dummy),
            }),
            nt_hash: Some(short),
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
    ) -> SmallVec<[String; 3]> {
        let realm = self.realm_of(request);
        let nonce = self.key.issue(now, peer);
        let stale = if stale { ", stale=true" } else { "" };
        let schemes = &self.settings.schemes;
        let bears = bearable(request);
        let any = schemes.iter().any(|scheme| bears(*scheme));
        let digest = |algorithm: Algorithm| {
            let algorithm = algorithm.as_str();
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}"
            )
        };
        schemes
            .iter()
            .filter(|scheme| !any || bears(**scheme))
            .map(|scheme| match scheme {
                Scheme::DigestSha256 => digest(Algorithm::Sha256),
                Scheme::DigestMd5 => digest(Algorithm::Md5),
                Scheme::Ntlm => ntlm::offer(self.ntlm_target()),
            })
            .collect()
    }

    /// The value of the one WWW-Authenticate line of a 401 to a `request` that asks for NTLM.
    pub fn question(&self, request: &Message<'_>, now: Now, peer: SocketAddr) -> String {
        let opaque = self.key.issue(now, peer);
        let (domain, target) = (self.realm_of(request), self.ntlm_target());
        ntlm::question(&self.key, &opaque, domain, target, now)
    }

    /// The server's name in what is signed.
    pub fn ntlm_target(&self) -> &str {
        let (settings, first) = (&self.settings, self.settings.domains.first());
        let target = settings.ntlm_target.as_deref();
        target.or(first.map(|first| &**first)).unwrap_or_default()
    }

    /// Reads who `request` from `peer` says to be.
    ///
    /// The first Authorization line counts whose scheme and realm are ours (RFC 8760 §2.4).
    pub fn claim<'a>(&self, request: &Message<'a>, now: Now, peer: SocketAddr) -> Claim<'a> {
        let mut lines = request.headers(Name::Authorization);
        let read = |line: &'a str| {
            let params = AuthParams::parse(line).ok()?;
            self.digest_claim(request, &params, now, peer)
                .or_else(|| self.ntlm_claim(request, &params, now, peer))
        };
        lines.find_map(read).unwrap_or(Claim::NoCredentials)
    }

    /// None where it is not for one of our realms with an enabled algorithm; no algorithm means MD5 (RFC 3261 §22.4).
    fn digest_claim<'a>(
        &self,
        request: &Message<'a>,
        params: &AuthParams<'a>,
        now: Now,
        peer: SocketAddr,
    ) -> Option<Claim<'a>> {
        if !params.is("Digest") {
            return None;
        }
        let algorithm = match params.get("algorithm") {
            Some(name) => Algorithm::parse(&name)?,
            None => Algorithm::Md5,
        };
        // Byte by byte: the client hashed the realm as it wrote it, and we hash ours.
        let realm = params.get("realm")?;
        let settings = &self.settings;
        let realm = settings.domains.iter().find(|domain| ***domain == *realm)?;
        if !settings.schemes.contains(&algorithm.scheme()) {
            return None;
        }
        let check = |nonce: &str| self.nonce(nonce, now, peer);
        let read = digest::Answer::read(request, params, algorithm, realm, check);
        Some(match read {
            Err(flaw) => Claim::Malformed(flaw),
            Ok(None) => Claim::Stale,
            Ok(Some((aor, nonce, answer))) => Claim::User(Answer {
                aor,
                nonce,
                proof: Proof::Digest(answer),
            }),
        })
    }

    /// None where it is no step of a login by NTLM, or NTLM is not enabled. Who it is says From: only the owner of that
    /// user can tell whether the login name, which may be written in many ways, is right.
    fn ntlm_claim<'a>(
        &self,
        request: &Message<'a>,
        params: &AuthParams<'a>,
        now: Now,
        peer: SocketAddr,
    ) -> Option<Claim<'a>> {
        if !params.is(ntlm::SCHEME)
            || !self.settings.schemes.contains(&Scheme::Ntlm)
            || params.get("realm")? != REALM
        {
            return None;
        }
        let token = params.get("gssapi-data")?;
        if token.is_empty() {
            return Some(Claim::AsksForNtlm);
        }
        let from = request.from().uri().ok()?;
        self.domain(from.host)?;
        let aor = from.aor()?;
        let Some(opaque) = params.get("opaque") else {
            return Some(Claim::Malformed(Flaw::Incomplete));
        };
        let Some(nonce) = self.nonce(&opaque, now, peer) else {
            return Some(Claim::Stale);
        };
        let read = ntlm::Answer::read(&self.key, request, params, &opaque, &token, now);
        Some(match read {
            Err(ntlm::BadToken) => Claim::Malformed(Flaw::Token),
            Ok(answer) => Claim::User(Answer {
                aor,
                nonce,
                proof: Proof::Ntlm(Box::new(answer)),
            }),
        })
    }

    fn nonce(&self, text: &str, now: Now, peer: SocketAddr) -> Option<NonceId> {
        let lifetime = self.settings.nonce_lifetime;
        self.key.check(text, now, peer, lifetime).ok()
    }

    /// Says whether `answer` was made with the password of `credentials`; None where there is no such user.
    /// `seen` belongs to the connection that the answer came over.
    pub fn verify(
        &self,
        answer: &Answer<'_>,
        credentials: Option<&Credentials>,
        seen: &mut Seen,
    ) -> Verdict {
        // A user without a hash for this scheme (enabled after the password was set), or of the whole address, is like one that
        // is not there, and so is somebody else than From says. Were it told apart, one could ask who is there.
        let credentials = credentials.filter(|kept| match &answer.proof {
            Proof::Digest(digest) => digest.is_for(kept),
            Proof::Ntlm(ntlm) => kept.nt_hash.is_some() && ntlm.names(&answer.aor),
        });
        let against = credentials.unwrap_or(&self.nobody);
        let (verdict, count) = match &answer.proof {
            Proof::Digest(digest) => {
                let right = digest.is_right(against).then_some(Verdict::Proved);
                (right, digest.count())
            }
            Proof::Ntlm(ntlm) => {
                let associate = |hash| ntlm.associate(&hash).map(Verdict::Associated);
                (against.nt_hash.and_then(associate), Some(1))
            }
        };
        let Some(verdict) = verdict.filter(|_| credentials.is_some()) else {
            return if seen.failed() >= self.settings.failures_max {
                Verdict::TooMany
            } else {
                Verdict::Wrong
            };
        };
        // Only a right answer uses up its count: a wrong one must not push out the client's own.
        if !seen.admits(answer.nonce, count) {
            return Verdict::Stale;
        }
        seen.succeeded();
        verdict
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
}

/// Which schemes whoever sends `request` can be offered. Who lies about who it is gets what it asks for.
///
/// COMPAT(baresip, 1.0): it takes a 401 for broken in which any challenge has an algorithm other than MD5, wherever it stands.
/// COMPAT(Linphone, 5.1): it crashes on a challenge of NTLM, wherever it stands.
fn bearable(request: &Message<'_>) -> fn(Scheme) -> bool {
    let agent = request.header(Name::UserAgent).unwrap_or_default();
    if agent.starts_with("baresip v1.") || agent.starts_with("baresip v0.") {
        |scheme| scheme == Scheme::DigestMd5
    } else if agent.contains("inphone") || agent.contains("belle-sip") {
        |scheme| scheme != Scheme::Ntlm
    } else {
        |_| true
    }
}

#[cfg(test)]
mod tests;
