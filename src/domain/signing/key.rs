//! Private keys: how they are made, read and signed with.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};

use crate::domain::signing::jwk::PublicKey;

/// The bits of an RSA key's modulus.
const RSA_BITS: usize = 3072;

/// An algorithm of signatures (RFC 7518, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, with SHA-256: what every app knows.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// All of them. A set of keys has one of each.
    pub const ALL: [Self; 2] = [Self::Rs256, Self::Es256];

    /// Its name in the header of a token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of that name; `None` when there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Something could not be signed: the operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness to sign with")]
pub struct NotSigned;

/// A key that signs, parsed.
#[derive(Debug)]
pub struct SigningKey {
    public: PublicKey,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// Reads a private half as [`generate`] gives it; `None` for anything else.
    #[must_use]
    pub fn read(algorithm: Algorithm, private: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_der(private).ok()?;
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                Some(Self { public: PublicKey::rsa(&n, &e), pair: Pair::Rsa(Box::new(pair)) })
            }
            Algorithm::Es256 => {
                let random = SystemRandom::new();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private, &random).ok()?;
                let public = PublicKey::p256(pair.public_key().as_ref())?;
                Some(Self { public, pair: Pair::Ec(Box::new(pair)) })
            }
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of a message, in the form of RFC 7518: of ES256 both numbers, 32 bytes each.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NotSigned> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| NotSigned)?;
                Ok(signature)
            }
            Pair::Ec(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| NotSigned),
        }
    }
}

/// Makes a private half: RSA in PKCS #1 (RFC 8017, A.1.2), EC in PKCS #8. RSA takes seconds of processor time.
///
/// # Errors
/// [`NotSigned`]: there was no randomness.
pub fn generate(algorithm: Algorithm) -> Result<Vec<u8>, NotSigned> {
    match algorithm {
        Algorithm::Rs256 => generate_rsa(),
        Algorithm::Es256 => {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
            made.map(|made| made.as_ref().to_vec()).map_err(|_| NotSigned)
        }
    }
}

fn generate_rsa() -> Result<Vec<u8>, NotSigned> {
    let key = rsa::PrivateKey::new(&mut OsRandom, RSA_BITS).map_err(|_| NotSigned)?;
    let [p, q] = key.primes() else { return Err(NotSigned) };
    let (Some(dp), Some(dq), Some(inverse)) = (key.dp(), key.dq(), key.crt_coefficient()) else { return Err(NotSigned) };
    let numbers = [key.n().as_ref(), key.e(), key.d(), p.as_ref(), q.as_ref(), dp, dq, &inverse];
    let mut content = der_integer(&[0]);
    for number in numbers {
        content.extend(der_integer(&number.to_be_bytes()));
    }
    Ok(der(0x30, &content))
}

/// An unsigned number in DER (X.690, 8.3): without leading zeros, and one in front of a first bit that is set.
fn der_integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = bytes.get(start..).unwrap_or_default();
    let has_sign = digits.first().is_none_or(|byte| byte & 0x80 != 0);
    let content: Vec<u8> = has_sign.then_some(0).into_iter().chain(digits.iter().copied()).collect();
    der(0x02, &content)
}

/// A value in DER with its tag and length (X.690, 8.1).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match digits.as_slice() {
        [short] if *short < 0x80 => out.push(*short),
        [] => out.push(0),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The randomness of the operating system, for the crate that makes keys.
struct OsRandom;

impl TryRng for OsRandom {
    type Error = getrandom::Error;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        getrandom::u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        getrandom::u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        getrandom::fill(bytes)
    }
}

impl TryCryptoRng for OsRandom {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_form_of_der() {
        assert_eq!(der_integer(&[0]), [2, 1, 0]);
        assert_eq!(der_integer(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(der_integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(der(0x30, &[7; 200])[..3], [0x30, 0x81, 200]);
        assert_eq!(der(0x30, &[7; 300])[..4], [0x30, 0x82, 1, 44]);
    }

    #[test]
    fn a_key_signs_what_its_public_half_accepts() {
        for algorithm in Algorithm::ALL {
            let private = generate(algorithm).unwrap();
            let key = SigningKey::read(algorithm, &private).unwrap();
            let signature = key.sign(b"a message").unwrap();
            assert!(key.public().is_signature(b"a message", &signature));
            assert!(!key.public().is_signature(b"another message", &signature));
            assert!(!key.public().is_signature(b"a message", &signature[1..]));
            let again = SigningKey::read(algorithm, &private).unwrap();
            assert_eq!(again.public(), key.public());
            assert_eq!(key.public().algorithm(), algorithm);
            let other = Algorithm::ALL.into_iter().find(|other| *other != algorithm).unwrap();
            assert!(SigningKey::read(other, &private).is_none());
            assert!(SigningKey::read(algorithm, &private[1..]).is_none());
        }
    }
}
