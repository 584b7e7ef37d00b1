//! Challenges that a passkey signs. A challenge carries its own proof: random bytes, its expiry,
//! and a keyed hash over both, over its purpose and over the session or cookie it was made for. So
//! a stranger who asks for many leaves nothing in the database. Only a challenge that was answered
//! is stored, so that it is accepted once.

use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::domain::webauthn::{Refusal, decode, encode};
use crate::domain::{HashedSecret, PlainSecret, Timestamp};

/// How long a challenge is accepted.
pub const LIVES: Duration = Duration::from_secs(5 * 60);
const RANDOM: usize = 16;

/// The purpose of a challenge, and the secret that must come with its answer.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To add a passkey, in this session.
    Add(&'a str),
    /// To re-authenticate, in this session.
    Confirm(&'a str),
    /// To sign in with a passkey alone, in the browser with this cookie.
    SignIn(&'a str),
    /// To prove a second factor; the key is that of the pending sign-in.
    Factor(&'a str),
}

impl Purpose<'_> {
    fn proof(self, app: &App, random_and_end: &[u8]) -> String {
        let (word, bound_to) = match self {
            Self::Add(bound_to) => ("passkey add", bound_to),
            Self::Confirm(bound_to) => ("passkey confirm", bound_to),
            Self::SignIn(bound_to) => ("passkey sign-in", bound_to),
            Self::Factor(bound_to) => ("passkey factor", bound_to),
        };
        app.instance_key.proof(word, &[random_and_end, bound_to.as_bytes()].concat())
    }
}

/// Makes a challenge.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn make(app: &App, purpose: Purpose<'_>) -> Result<String, ActionError> {
    let mut bytes = vec![0; RANDOM];
    getrandom::fill(&mut bytes)?;
    bytes.extend_from_slice(&app.clock.now().plus(LIVES).0.to_be_bytes());
    let proof = purpose.proof(app, &bytes);
    bytes.extend(decode(&proof).unwrap_or_default());
    Ok(encode(&bytes))
}

/// A challenge that was made here and is still to be used up.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// The hash under which its use is stored.
    pub hash: HashedSecret,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Checks that a challenge was made here for this purpose, and has not expired.
///
/// # Errors
/// [`Refusal::Stale`].
pub fn check(app: &App, purpose: Purpose<'_>, challenge: &str) -> Result<Live, Refusal> {
    let bytes = decode(challenge).ok_or(Refusal::Stale)?;
    let (signed, proof) = bytes.split_at_checked(RANDOM + 8).ok_or(Refusal::Stale)?;
    let end = signed.last_chunk::<8>().ok_or(Refusal::Stale)?;
    let expires_at = Timestamp(i64::from_be_bytes(*end));
    // Compared as text, in one spelling: a second spelling would be accepted a second time.
    let is_ours = purpose.proof(app, signed).as_bytes().ct_eq(encode(proof).as_bytes());
    let now = app.clock.now();
    // A challenge that expires too late was made by a clock that was ahead.
    let is_over = expires_at <= now || expires_at.is_ahead(now.plus(LIVES));
    if !bool::from(is_ours) || is_over || encode(&bytes) != challenge {
        return Err(Refusal::Stale);
    }
    Ok(Live { hash: PlainSecret::from_text(challenge).hash(), expires_at })
}
