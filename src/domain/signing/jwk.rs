//! Public keys as JSON (JWK, RFC 7517 and RFC 7518, 6), and what names them (RFC 7638).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::signing::key::Algorithm;

/// The bytes of a coordinate on P-256.
const COORDINATE: usize = 32;
/// What begins a point of which both coordinates are given (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key. Its serialized form is the part of a JWK that is the key itself; that is what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty", deny_unknown_fields)]
pub enum PublicKey {
    /// RSA: exponent and modulus, big endian, in URL-safe base64.
    #[serde(rename = "RSA")]
    Rsa {
        /// The exponent.
        e: String,
        /// The modulus.
        n: String,
    },
    /// A point on a curve, which is P-256: both coordinates in URL-safe base64.
    #[serde(rename = "EC")]
    Ec {
        /// The curve's name.
        crv: String,
        /// The first coordinate.
        x: String,
        /// The second one.
        y: String,
    },
}

/// A key of a published set. It has these members and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk<'a> {
    /// The key itself.
    #[serde(flatten)]
    key: &'a PublicKey,
    /// What it is for: signatures.
    #[serde(rename = "use")]
    purpose: &'static str,
    /// Its algorithm.
    alg: &'static str,
    /// What names it.
    kid: &'a str,
}

impl<'a> Jwk<'a> {
    /// A key under its name.
    #[must_use]
    pub fn new(key: &'a PublicKey, kid: &'a str) -> Self {
        Self { key, purpose: "sig", alg: key.algorithm().as_str(), kid }
    }
}

impl PublicKey {
    /// An RSA key by modulus and exponent, big endian.
    #[must_use]
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        Self::Rsa { e: URL_SAFE_NO_PAD.encode(exponent), n: URL_SAFE_NO_PAD.encode(modulus) }
    }

    /// A point on P-256 that is not compressed (SEC 1, 2.3.3); `None` for anything else.
    #[must_use]
    pub fn p256(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[UNCOMPRESSED])?.split_at_checked(COORDINATE)?;
        let is_whole = y.len() == COORDINATE;
        is_whole.then(|| Self::Ec { crv: "P-256".to_owned(), x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y) })
    }

    /// The algorithm that it checks.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::Ec { .. } => Algorithm::Es256,
        }
    }

    /// What names the key: the SHA-256 of its required members in their order, in URL-safe base64 (RFC 7638, 3).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let members = match self {
            Self::Rsa { e, n } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Self::Ec { crv, x, y } => format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#),
        };
        URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
    }

    /// Whether `signature` is one of `message`, in the form of RFC 7518.
    #[must_use]
    pub fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        self.checked(message, signature).is_some()
    }

    fn checked(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let bytes = |text: &String| URL_SAFE_NO_PAD.decode(text).ok();
        match self {
            Self::Rsa { e, n } => {
                let key = RsaPublicKeyComponents { n: bytes(n)?, e: bytes(e)? };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).ok()
            }
            Self::Ec { x, y, .. } => {
                let point = [&[UNCOMPRESSED][..], &bytes(x)?, &bytes(y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // RFC 7638, 3.1.
    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3o\
            knjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5\
            hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::Rsa { e: "AQAB".into(), n: n.replace(' ', "") };
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_published_key_has_its_members_and_no_others() {
        let point = [&[4][..], &[1; 32], &[2; 32]].concat();
        let key = PublicKey::p256(&point).unwrap();
        let coordinate = |byte: u8| URL_SAFE_NO_PAD.encode([byte; 32]);
        assert_eq!(
            serde_json::to_value(Jwk::new(&key, "k")).unwrap(),
            json!({"kty": "EC", "crv": "P-256", "x": coordinate(1), "y": coordinate(2), "use": "sig", "alg": "ES256", "kid": "k"})
        );
        let stored = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&stored).unwrap(), key);
        assert_eq!(PublicKey::p256(&point[..64]), None);
        assert_eq!(PublicKey::p256(&[&[2][..], &[1; 32]].concat()), None, "compressed");
    }
}
