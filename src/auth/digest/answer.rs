//! What a client answers to a challenge of digest, read: its nonce found good, its response not yet looked at.

use std::borrow::Cow;

use super::{Algorithm, Credentials, Form, Protection, Question};
use crate::auth::Flaw;
use crate::auth::nonce::NonceId;
use crate::sip::header::AuthParams;
use crate::sip::message::Message;
use crate::sip::uri::{Aor, Scheme as UriScheme, Uri};

pub(in crate::auth) struct Answer<'a> {
    algorithm: Algorithm,
    form: Form,
    method: &'a str,
    uri: Cow<'a, str>,
    nonce_text: Cow<'a, str>,
    protection: Option<Counted<'a>>,
    response: Cow<'a, str>,
}

struct Counted<'a> {
    nc: Cow<'a, str>,
    cnonce: Cow<'a, str>,
    count: u32,
}

impl<'a> Answer<'a> {
    /// Reads an Authorization for `realm`, and who it says to be; `check` says which nonce it is, if it is good.
    ///
    /// Its `uri` must name the Request-URI's user and host; scheme, port and parameters may differ, since clients add
    /// `;transport=tls` or a port to one of the two, and a nonce is good for this connection only, so nothing is gained by an
    /// answer to another request.
    pub(in crate::auth) fn read(
        request: &Message<'a>,
        params: &AuthParams<'a>,
        algorithm: Algorithm,
        realm: &str,
        check: impl FnOnce(&str) -> Option<NonceId>,
    ) -> Result<Option<(Aor, NonceId, Answer<'a>)>, Flaw> {
        let (Some(nonce_text), Some(uri), Some(response)) = (
            params.get("nonce"),
            params.get("uri"),
            params.get("response"),
        ) else {
            return Err(Flaw::Incomplete);
        };
        if params
            .get("userhash")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Err(Flaw::UserHash);
        }
        let (aor, form) = params
            .get("username")
            .and_then(|name| user_in(realm, &name))
            .ok_or(Flaw::Username)?;
        let protection = protection(params, algorithm)?;
        if !same_target(request.uri(), &uri) {
            return Err(Flaw::Uri);
        }
        let Some(nonce) = check(&nonce_text) else {
            return Ok(None);
        };
        let answer = Answer {
            algorithm,
            form,
            method: request.method_text(),
            uri,
            nonce_text,
            protection,
            response,
        };
        Ok(Some((aor, nonce, answer)))
    }

    /// How often the nonce was used, as the client counts.
    pub(in crate::auth) fn count(&self) -> Option<u32> {
        self.protection.as_ref().map(|counted| counted.count)
    }

    /// Whether `credentials` have what it could be right by.
    pub(in crate::auth) fn is_for(&self, credentials: &Credentials) -> bool {
        credentials.has(self.algorithm, self.form)
    }

    pub(in crate::auth) fn is_right(&self, credentials: &Credentials) -> bool {
        let question = Question {
            method: self.method,
            uri: &self.uri,
            nonce: &self.nonce_text,
            protection: self.protection.as_ref().map(|counted| Protection {
                nc: &counted.nc,
                cnonce: &counted.cnonce,
            }),
        };
        question.is_answered_by(self.algorithm, self.form, credentials, &self.response)
    }
}

/// The user of `realm` whom `username` names: `alice`, or `alice@example.com` where that is the realm, letter by letter: the
/// client hashed what it wrote, and what is kept is of that.
fn user_in(realm: &str, username: &str) -> Option<(Aor, Form)> {
    let (user, form) = match username.rsplit_once('@') {
        Some((user, domain)) if domain == realm => (user, Form::Address),
        Some(_) => return None,
        None => (username, Form::Name),
    };
    if user.is_empty() {
        None
    } else {
        Aor::parse(&format!("{user}@{realm}")).map(|aor| (aor, form))
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

/// Whether the digest's `uri` means the Request-URI; `read` has the tolerance.
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
