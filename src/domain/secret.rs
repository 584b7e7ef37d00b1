//! Secrets: session keys and tokens. 256 random bits from the operating system (OWASP ASVS
//! v5.0.0-7.2.3 asks for 128), shown once, stored as SHA-256.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// A secret in the clear. It is never logged: its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainSecret(String);

impl PlainSecret {
    /// Makes a new one: 256 random bits, 43 characters of URL-safe base64.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A secret that was sent or imported.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: only to hand it to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The form that is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> HashedSecret {
        HashedSecret(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainSecret(…)")
    }
}

/// The SHA-256 of a secret. The secrets are random, so no salt and no slow hash are needed, and
/// looking one up by its hash tells nothing through time about the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashedSecret(pub [u8; 32]);

/// The fewest characters of a token's key that was not drawn here.
pub const MIN_TOKEN_KEY: usize = 16;
/// How many of them must be different.
pub const MIN_TOKEN_KEY_VARIETY: usize = 6;

/// Why a token's key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenKeyRule {
    /// It could be guessed: no limit slows guesses of keys down.
    #[error("the key of a token has at least {MIN_TOKEN_KEY} characters, and at least {MIN_TOKEN_KEY_VARIETY} different ones")]
    Weak,
    /// It could not be sent in an `Authorization` header.
    #[error("the key of a token holds no white space and no control characters")]
    Blank,
}

/// Checks the key of a token that comes from outside: the settings, an import, a caller. Keys that are
/// drawn here ([`PlainSecret::generate`]) pass.
///
/// # Errors
/// The rule it breaks.
pub fn check_token_key(key: &str) -> Result<(), TokenKeyRule> {
    if key.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(TokenKeyRule::Blank);
    }
    let different: std::collections::HashSet<char> = key.chars().collect();
    if key.chars().count() < MIN_TOKEN_KEY || different.len() < MIN_TOKEN_KEY_VARIETY {
        return Err(TokenKeyRule::Weak);
    }
    Ok(())
}

/// Bytes as lower-case hexadecimal text.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// 16 random bytes with the marks of a version 4 UUID (RFC 9562).
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random_uuid() -> Result<uuid::Uuid, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// `length` random characters of `[A-Za-z0-9]`, each equally likely.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random_alphanumeric(length: usize) -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 a byte can hold: larger values would favour some letters.
        let letters = bytes.iter().filter(|b| **b < 248).filter_map(|b| ALPHABET.get(usize::from(b % 62)));
        text.extend(letters.take(length - text.len()).map(|b| char::from(*b)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tokens_from_outside_are_no_guesses() {
        for weak in ["", "x", "k20", "password", "fifteen-letters", "aaaaaaaaaaaaaaaaaaaaaaaa", "0101010101010101010101"] {
            assert_eq!(check_token_key(weak), Err(TokenKeyRule::Weak), "{weak}");
        }
        for blank in
            ["a-good-key with blanks", "a-good-key-of-a-token\r", "\u{2003}a-good-key-of-a-token", "a-good-key-\0of-a-token"]
        {
            assert_eq!(check_token_key(blank), Err(TokenKeyRule::Blank), "{blank:?}");
        }
        for good in [PlainSecret::generate().unwrap().expose(), "golden-admin-key-000000000000000000000001", "schlüssel-für-alice"]
        {
            assert_eq!(check_token_key(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn secrets_are_long_distinct_and_hidden() {
        let (a, b) = (PlainSecret::generate().unwrap(), PlainSecret::generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.expose().len(), 43);
        assert!(!format!("{a:?}").contains(a.expose()));
        assert_eq!(a.hash(), PlainSecret::from_text(a.expose()).hash());
        assert_eq!(random_alphanumeric(32).unwrap().len(), 32);
        assert_eq!(hex(&[0, 0xab, 0x10]), "00ab10");
        assert_eq!(random_uuid().unwrap().get_version_num(), 4);
    }
}
