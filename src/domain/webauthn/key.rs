//! Public keys of authenticators: written in COSE ([RFC 9053](https://www.rfc-editor.org/rfc/rfc9053)),
//! of the three kinds that authenticators in use make.

use ciborium::Value;
use p256::ecdsa::signature::Verifier;
use rsa::BoxedUint;
use sha2::Sha256;

use crate::domain::webauthn::Refusal;
use crate::domain::webauthn::data::{read_map, take_one};

/// The offered algorithms, the preferred one first: ES256, EdDSA with Ed25519, and RS256, which
/// older Windows makes.
pub const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];
const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;
/// Kinds of keys.
const OKP: i64 = 1;
const EC2: i64 = 2;
const RSA: i64 = 3;
/// Curves.
const P256: i64 = 1;
const ED25519: i64 = 6;

/// A public key that signatures are checked with.
pub enum PublicKey {
    /// ECDSA on P-256 with SHA-256.
    Es256(Box<p256::ecdsa::VerifyingKey>),
    /// Ed25519.
    EdDsa(Box<ed25519_dalek::VerifyingKey>),
    /// RSA, PKCS #1 v1.5, with SHA-256.
    Rs256(Box<rsa::pkcs1v15::VerifyingKey<Sha256>>),
}

impl PublicKey {
    /// Reads a key, which must be whole and of one of [`ALGORITHMS`].
    ///
    /// # Errors
    /// [`Refusal::Algorithm`], or [`Refusal::Malformed`].
    pub fn from_cose(bytes: &[u8]) -> Result<Self, Refusal> {
        const WRONG: Refusal = Refusal::Malformed("the public key");
        let mut fields = Fields(read_map(bytes).ok_or(WRONG)?);
        let (kind, algorithm) = (fields.int(1).ok_or(WRONG)?, fields.int(3).ok_or(WRONG)?);
        let key = match (algorithm, kind) {
            (ES256, EC2) => fields.es256(),
            (EDDSA, OKP) => fields.eddsa(),
            (RS256, RSA) => fields.rs256(),
            _ => return Err(Refusal::Algorithm),
        };
        key.ok_or(WRONG)
    }

    /// Whether `signature` is one of `message`.
    #[must_use]
    pub fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(key) => {
                p256::ecdsa::Signature::from_der(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Self::Rs256(key) => rsa::pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| rsa::signature::Verifier::verify(key.as_ref(), message, &signature).is_ok()),
        }
    }
}

/// The fields of a key.
struct Fields(Vec<(Value, Value)>);

impl Fields {
    fn int(&mut self, label: i64) -> Option<i64> {
        let value = take_one(&mut self.0, &Value::from(label))?;
        value.into_integer().ok()?.try_into().ok()
    }

    fn bytes(&mut self, label: i64) -> Option<Vec<u8>> {
        take_one(&mut self.0, &Value::from(label))?.into_bytes().ok()
    }

    fn es256(mut self) -> Option<PublicKey> {
        let curve = self.int(-1)?;
        let (x, y) = (self.bytes(-2)?, self.bytes(-3)?);
        if curve != P256 || x.len() != 32 || y.len() != 32 {
            return None;
        }
        let point = [&[4], x.as_slice(), &y].concat();
        p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok().map(|key| PublicKey::Es256(Box::new(key)))
    }

    fn eddsa(mut self) -> Option<PublicKey> {
        let (curve, x) = (self.int(-1)?, self.bytes(-2)?);
        let key = ed25519_dalek::VerifyingKey::from_bytes(&x.try_into().ok()?).ok()?;
        (curve == ED25519 && !key.is_weak()).then(|| PublicKey::EdDsa(Box::new(key)))
    }

    fn rs256(mut self) -> Option<PublicKey> {
        let (modulus, exponent) = (self.bytes(-1)?, self.bytes(-2)?);
        if exponent.len() > 8 {
            return None;
        }
        let (modulus, exponent) = (BoxedUint::from_be_slice_vartime(&modulus), BoxedUint::from_be_slice_vartime(&exponent));
        let key = rsa::PublicKey::new_with_size_limits(modulus, exponent, 2048..=4096).ok()?;
        Some(PublicKey::Rs256(Box::new(rsa::pkcs1v15::VerifyingKey::new(key))))
    }
}
