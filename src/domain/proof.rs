//! The generation of a user's credentials: what a stored proof was checked against.
//!
//! A proof that is stored for a later step of a sign-in holds the generation of the user's
//! credentials, which is compared with the present one when the proof is used (`docs/sessions.md`,
//! "When an unfinished sign-in or link becomes invalid").

use sha2::{Digest, Sha256};

/// A digest of a user's password hash and of the number of changes to their other credentials. If
/// two are equal, nothing changed in between. It reveals neither the password nor its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Generation(pub [u8; 32]);

impl Generation {
    /// The generation of a user with this stored password hash (PHC text; `None`: no password) and this many
    /// changes of second factors and deactivations.
    #[must_use]
    pub fn of(password_hash: Option<&str>, credential_changes: i64) -> Self {
        let mut digest = Sha256::new();
        digest.update(credential_changes.to_be_bytes());
        // No hash is empty, so that no password and an empty text cannot be confused.
        digest.update(password_hash.unwrap_or_default());
        Self(digest.finalize().into())
    }

    /// Whether a proof of this generation is still valid for a user whose credentials have the
    /// generation `current` now. Every check of a stored proof calls it, with the user's row.
    #[must_use]
    pub fn holds(self, current: Self, is_active: bool) -> bool {
        is_active && self == current
    }

    /// Reads a stored one; `None` where nothing was stored, which no user's generation equals.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Generation(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_makes_another_generation() {
        let all = [(None, 0), (None, 1), (Some("$argon2id$a"), 0), (Some("$argon2id$a"), 1), (Some("$argon2id$b"), 0)];
        for (at, (hash, changes)) in all.iter().enumerate() {
            let same = all.iter().filter(|(h, c)| Generation::of(*h, *c) == Generation::of(*hash, *changes)).count();
            assert_eq!(same, 1, "{at}");
        }
        let (old, new) = (Generation::of(None, 0), Generation::of(None, 1));
        assert!(old.holds(old, true) && !old.holds(old, false) && !old.holds(new, true));
        assert_eq!(Generation::from_stored(&[]), None);
        assert_eq!(Generation::from_stored(&[0; 31]), None);
        let known = Generation::of(Some("x"), 7);
        assert_eq!(Generation::from_stored(&known.0), Some(known));
    }
}
