//! PKCE (RFC 7636) with S256, the one method that protects.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a code can be redeemed with alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge(pub [u8; 32]);

impl Challenge {
    /// Reads `code_challenge`: a SHA-256 in URL-safe base64; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Whether a `code_verifier` has the form of one (RFC 7636, 4.1) and this challenge.
    #[must_use]
    pub fn is_met(self, verifier: &str) -> bool {
        let is_plain = verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        let digest: [u8; 32] = Sha256::digest(verifier.as_bytes()).into();
        (43..=128).contains(&verifier.len()) && is_plain && bool::from(digest.ct_eq(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636, appendix B.
    #[test]
    fn a_verifier_meets_its_challenge_alone() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        assert!(challenge.is_met(verifier));
        for bad in ["", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXj", &verifier[..42], &format!("{verifier} ")] {
            assert!(!challenge.is_met(bad), "{bad}");
        }
        let of = |text: &str| Challenge(Sha256::digest(text.as_bytes()).into());
        for (length, is_met) in [(42, false), (43, true), (128, true), (129, false)] {
            let verifier = "a".repeat(length);
            assert_eq!(of(&verifier).is_met(&verifier), is_met, "{length}");
        }
        for bad in ["", "x", verifier.get(..42).unwrap(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }
}
