//! The third step of a login: what a client answers to our challenge, read and checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::arithmetic::{base_key, proof, response_key, same, session_key};
use super::association::{Association, OPAQUE_BYTES, Signature};
use super::challenge_of;
use super::message::{AUTHENTICATE_BYTES_MAX, Authenticate};
use super::signed::Signed;
use crate::auth::nonce::NonceKey;
use crate::sip::header::AuthParams;
use crate::sip::message::Message;
use crate::sip::time::Now;
use crate::sip::uri::Aor;

/// An answer whose opaque was found good; whether it is right is to be seen.
pub(in crate::auth) struct Answer<'a> {
    authenticate: Authenticate,
    challenge: [u8; 8],
    opaque: [u8; OPAQUE_BYTES],
    signed: Signed<'a>,
    signature: Signature<'a>,
    now: Now,
}

/// The token is no answer to a challenge of ours, or it comes without a signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::auth) struct BadToken;

impl<'a> Answer<'a> {
    /// Reads the `token` of an Authorization with a good `opaque`.
    pub(in crate::auth) fn read(
        key: &NonceKey,
        message: &Message<'a>,
        params: &AuthParams<'a>,
        opaque: &str,
        token: &str,
        now: Now,
    ) -> Result<Answer<'a>, BadToken> {
        if token.len() > AUTHENTICATE_BYTES_MAX.div_ceil(3) * 4 {
            return Err(BadToken);
        }
        let token = STANDARD.decode(token).map_err(|_| BadToken)?;
        Ok(Answer {
            authenticate: Authenticate::read(&token).ok_or(BadToken)?,
            challenge: challenge_of(key, opaque),
            opaque: opaque.as_bytes().try_into().map_err(|_| BadToken)?,
            signed: Signed::of(message),
            signature: Signature::read(params).ok_or(BadToken)?,
            now,
        })
    }

    /// Whether the login name is this user's: the whole address, or what is before the `@`, which a domain of Windows' may
    /// stand beside: that is another world's name, and may be any. Without regard to case, as Windows has it.
    pub(in crate::auth) fn names(&self, aor: &Aor) -> bool {
        let user = self.authenticate.user.to_lowercase();
        user == aor.as_str().to_lowercase() || user == aor.user().to_lowercase()
    }

    /// The association, where the answer was made with the password of `nt_hash`. It takes as long for every wrong one.
    pub(in crate::auth) fn associate(&self, nt_hash: &[u8; 16]) -> Option<Box<Association>> {
        let it = &self.authenticate;
        let is_right = |user: &str| {
            let key = response_key(nt_hash, user, &it.domain);
            same(&proof(&key, &self.challenge, &it.blob), &it.proof).then_some(key)
        };
        // Windows makes capitals of all letters that have some, other clients of ASCII's alone.
        let mut key = is_right(&it.user.to_ascii_uppercase());
        if key.is_none() && !it.user.is_ascii() {
            key = is_right(&it.user.to_uppercase());
        }
        let key = session_key(&base_key(&key?, &it.proof), &it.encrypted_key);
        let mut association = Box::new(Association::new(&key, self.opaque, self.now));
        // The request that brings the answer is the first that is signed.
        association.admits(&self.signed, &self.signature).ok()?;
        Some(association)
    }
}
