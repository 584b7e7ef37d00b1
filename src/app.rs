//! What every request may use: configuration, store, clock, and what is kept in memory.

use std::path::Path;
use std::sync::Arc;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::actions::binding::Moves;
use crate::actions::guesses::{self, Ask, Taking};
use crate::actions::passwords::Passwords;
use crate::actions::sign_in::{self, Entrant, Entry};
use crate::actions::together::{self, Together};
use crate::actions::touches::Touches;
use crate::config::Config;
use crate::domain::Clock;
use crate::enrich::geoip::GeoIp;
use crate::enrich::user_agents::{RulesError, UserAgents};
use crate::files;
use crate::http::streams::Streams;
use crate::store::{Store, StoreError};

/// The application. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
pub struct Parts {
    /// All settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// What reads user agents.
    pub user_agents: Arc<UserAgents>,
    /// What reads addresses.
    pub geoip: Arc<GeoIp>,
    /// The bounded pool that hashes passwords.
    pub passwords: Passwords,
    /// Uses of sessions that are not written down yet.
    pub touches: Touches,
    /// Those who sign in at the same moment, and have proved who they are.
    pub sign_ins: Together<Arc<Entrant>, Entry>,
    /// Those who guess at the same moment, and what they ask of their limits.
    pub guesses: Together<Ask, Taking>,
    /// Moves of sessions that there is an event of.
    pub moves: Moves,
    /// Answers that go on for as long as somebody looks.
    pub streams: Streams,
    /// Seals the state of sign-ins under way, and makes the proofs of forms.
    pub instance_key: InstanceKey,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Why the application cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user agent rules cannot be used.
    #[error("the user agent rules cannot be used: {0}")]
    Rules(#[from] RulesError),
    /// The instance key cannot be read or made.
    #[error("the instance key: {0}")]
    InstanceKey(String),
}

impl App {
    /// Opens the database, brings its schema up to date, and reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used. GeoIP files never stand in the way.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let user_agents = UserAgents::load(config.user_agent_rules.as_ref())?;
        let store = Store::open(&config.database).await?;
        store.use_index(config.sessions.index_limit);
        for name in store.migrate().await? {
            tracing::info!(name, "applied a migration");
        }
        let instance_key = InstanceKey::load_or_create(&config.instance_key_path())?;
        let geoip = GeoIp::load(&config.geoip);
        Ok(Self(Arc::new(Parts {
            passwords: Passwords::new(),
            touches: Touches::default(),
            sign_ins: Together::new(sign_in::let_in_together, together::at_once(), sign_in::MOST_TOGETHER),
            guesses: Together::new(guesses::ask_together, together::at_once(), guesses::MOST_TOGETHER),
            moves: Moves::default(),
            streams: Streams::default(),
            user_agents: Arc::new(user_agents),
            geoip: Arc::new(geoip),
            instance_key,
            clock,
            store,
            config,
        })))
    }
}

/// How many bytes of what is sealed are its nonce.
const NONCE: usize = 12;

/// 512 random bits of this instance, in a file that only its owner may read.
#[derive(Clone)]
pub struct InstanceKey([u8; 64]);

impl InstanceKey {
    /// Reads the file, or makes it with mode 0600.
    ///
    /// # Errors
    /// When it cannot be read or made, or holds no key.
    pub fn load_or_create(path: &Path) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::InstanceKey(format!("{}: {error}", path.display()));
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let bytes = STANDARD_NO_PAD.decode(text.trim()).map_err(|_| failed(&"this is no instance key"))?;
                Ok(Self(bytes.try_into().map_err(|_| failed(&"this is no instance key"))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; 64];
                getrandom::fill(&mut key).map_err(|error| failed(&error))?;
                if let Some(folder) = path.parent() {
                    files::create_folder(folder).map_err(|error| failed(&error))?;
                }
                files::write_file(path, &STANDARD_NO_PAD.encode(key)).map_err(|error| failed(&error))?;
                Ok(Self(key))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// The key for sealed cookies.
    #[must_use]
    pub fn cookie_key(&self) -> cookie::Key {
        cookie::Key::derive_from(&self.0)
    }

    /// Seals a secret for `purpose` to the one place where it belongs (AES-256-GCM, a random nonce first):
    /// elsewhere it does not open.
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

    /// HMAC-SHA-256 of `message` for `purpose`.
    fn mac(&self, purpose: &str, message: &[u8]) -> Option<[u8; 32]> {
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&self.0).ok()?;
        for part in [purpose.as_bytes(), &[0], message] {
            hmac::Mac::update(&mut mac, part);
        }
        Some(hmac::Mac::finalize(mac).into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let key = InstanceKey([7; 64]);
        let sealed = key.seal("a", b"here", b"a seed").unwrap();
        assert_eq!(key.open("a", b"here", &sealed).as_deref(), Some(&b"a seed"[..]));
        assert_ne!(key.seal("a", b"here", b"a seed").unwrap(), sealed, "a nonce of its own");
        assert_eq!(key.open("b", b"here", &sealed), None);
        assert_eq!(key.open("a", b"there", &sealed), None);
        assert_eq!(InstanceKey([8; 64]).open("a", b"here", &sealed), None);
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(key.open("a", b"here", &other), None, "{at}");
            assert_eq!(key.open("a", b"here", &sealed[..at]), None, "{at}");
        }
    }
}
