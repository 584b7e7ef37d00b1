//! The instance key: seals secrets at rest and makes the proofs of forms.

use std::path::Path;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::domain::{PlainSecret, secret};
use crate::files;

/// Why the instance key cannot be read or made: the file and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

/// How many bytes of what is sealed are its nonce.
const NONCE: usize = 12;

/// 512 random bits of this instance, in a file that only its owner may read.
#[derive(Clone)]
pub struct InstanceKey {
    bits: [u8; 64],
    /// See [`InstanceKey::tag`].
    tag: String,
}

impl InstanceKey {
    /// Reads the file, or makes it with mode 0600.
    ///
    /// # Errors
    /// When it cannot be read or made, or holds no key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if let Some(key) = Self::find(path)? {
            return Ok(key);
        }
        let failed = |error: &std::io::Error| KeyError(files::explained(path, error));
        let mut key = [0; 64];
        getrandom::fill(&mut key).map_err(|error| KeyError(format!("{}: {error}", path.display())))?;
        if let Some(folder) = path.parent() {
            files::create_folder(folder).map_err(|error| failed(&error))?;
        }
        match files::write_file(path, &Self::of(key).to_text()) {
            Ok(()) => Ok(Self::of(key)),
            // Another process created it at the same time: both must use the same key.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When there is none, when it cannot be read, or holds no key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::find(path)?.ok_or_else(|| KeyError(format!("{}: there is no such file", path.display())))
    }

    /// The key as its file holds it, for a backup.
    #[must_use]
    pub fn to_text(&self) -> String {
        STANDARD_NO_PAD.encode(self.bits)
    }

    /// Reads a key as [`InstanceKey::to_text`] gives it; `None` for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        STANDARD_NO_PAD.decode(text).ok()?.try_into().ok().map(Self::of)
    }

    /// Whether both are the same key.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        bool::from(subtle::ConstantTimeEq::ct_eq(self.bits.as_slice(), other.bits.as_slice()))
    }

    /// Writes a file with this key, mode 0600. It is on disk when this returns.
    ///
    /// # Errors
    /// When there is such a file, or it cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |error: std::io::Error| KeyError(files::explained(path, &error));
        if let Some(folder) = path.parent() {
            files::create_folder(folder).map_err(failed)?;
        }
        files::write_file(path, &self.to_text()).map_err(failed)
    }

    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or holds no key.
    pub fn find(path: &Path) -> Result<Option<Self>, KeyError> {
        let failed = |error: &dyn std::fmt::Display| KeyError(format!("{}: {error}", path.display()));
        match files::read_text(path) {
            Ok(text) => {
                let bytes = STANDARD_NO_PAD.decode(text.trim()).map_err(|_| failed(&"this is no instance key"))?;
                Ok(Some(Self::of(bytes.try_into().map_err(|_| failed(&"this is no instance key"))?)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// The key for sealed cookies.
    #[must_use]
    pub fn cookie_key(&self) -> cookie::Key {
        cookie::Key::derive_from(&self.bits)
    }

    /// Seals a secret for `purpose` to the one place where it belongs (AES-256-GCM, a random nonce
    /// first): it cannot be opened for another purpose or place.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn seal(&self, purpose: &str, place: &[u8], secret: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        let payload = Payload { msg: secret, aad: place };
        // It fails for what is longer than 64 gigabytes; what is left opens as nothing.
        let sealed = self.sealer(purpose).and_then(|sealer| sealer.encrypt(&nonce.into(), payload).ok()).unwrap_or_default();
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`InstanceKey::seal`] sealed for the same purpose and place.
    #[must_use]
    pub fn open(&self, purpose: &str, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.sealer(purpose)?.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: place }).ok()
    }

    /// A key of its own for each purpose.
    fn sealer(&self, purpose: &str) -> Option<Aes256Gcm> {
        Aes256Gcm::new_from_slice(&self.mac("seal", purpose.as_bytes())?).ok()
    }

    /// A proof that this instance saw `message` for `purpose` (HMAC-SHA-256), in URL-safe base64.
    #[must_use]
    pub fn proof(&self, purpose: &str, message: &[u8]) -> String {
        self.mac(purpose, message).map(|mac| URL_SAFE_NO_PAD.encode(mac)).unwrap_or_default()
    }

    /// Eight hexadecimal digits that differ from instance to instance and say nothing about the key: the
    /// end of the names of cookies that two instances on one host must not take from each other.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The key with these bits. The tag is computed once: every request asks for it.
    fn of(bits: [u8; 64]) -> Self {
        let tag = mac(&bits, "tag of the instance", &[]).unwrap_or_default();
        Self { bits, tag: secret::hex(&tag[..4]) }
    }

    fn mac(&self, purpose: &str, message: &[u8]) -> Option<[u8; 32]> {
        mac(&self.bits, purpose, message)
    }
}

/// Seals a message for the holder of a secret: nobody else opens it, with the database and the instance key neither.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn seal_under(secret: &PlainSecret, message: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce)?;
    let sealed = under(secret).and_then(|sealer| sealer.encrypt(&nonce.into(), message).ok()).unwrap_or_default();
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`seal_under`] sealed for the same secret.
#[must_use]
pub fn open_under(secret: &PlainSecret, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    under(secret)?.decrypt(&(*nonce).into(), sealed).ok()
}

fn under(secret: &PlainSecret) -> Option<Aes256Gcm> {
    let mut digest = <sha2::Sha256 as sha2::Digest>::new();
    for part in [&b"sealed under a secret"[..], &[0], secret.expose().as_bytes()] {
        sha2::Digest::update(&mut digest, part);
    }
    Aes256Gcm::new_from_slice(&sha2::Digest::finalize(digest)).ok()
}

/// HMAC-SHA-256 of `message` for `purpose`.
fn mac(bits: &[u8; 64], purpose: &str, message: &[u8]) -> Option<[u8; 32]> {
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(bits).ok()?;
    for part in [purpose.as_bytes(), &[0], message] {
        hmac::Mac::update(&mut mac, part);
    }
    Some(hmac::Mac::finalize(mac).into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_under_a_secret_opens_by_it_alone() {
        let secret = PlainSecret::from_text("a token");
        let sealed = seal_under(&secret, b"its successor").unwrap();
        assert_eq!(open_under(&secret, &sealed).as_deref(), Some(&b"its successor"[..]));
        assert_eq!(open_under(&PlainSecret::from_text("another"), &sealed), None);
        assert_eq!(open_under(&secret, &sealed[1..]), None);
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let key = InstanceKey::of([7; 64]);
        let sealed = key.seal("a", b"here", b"a seed").unwrap();
        assert_eq!(key.open("a", b"here", &sealed).as_deref(), Some(&b"a seed"[..]));
        assert_ne!(key.seal("a", b"here", b"a seed").unwrap(), sealed, "a nonce of its own");
        assert_eq!(key.open("b", b"here", &sealed), None);
        assert_eq!(key.open("a", b"there", &sealed), None);
        assert_eq!(InstanceKey::of([8; 64]).open("a", b"here", &sealed), None);
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(key.open("a", b"here", &other), None, "{at}");
            assert_eq!(key.open("a", b"here", &sealed[..at]), None, "{at}");
        }
    }
}
