//! The keys as this process knows them: read, opened and parsed once, and made when they are first needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::actions::signing::make;
use crate::core::Core;
use crate::domain::Timestamp;
use crate::domain::signing::{Algorithm, KeyState, KeyTimes, NotSigned, PublicKey, SigningKey, state};
use crate::keys::InstanceKey;
use crate::store::StoreError;
use crate::store::signing::SigningKeyRow;

/// What private halves are sealed for. Their place is the key's `kid`.
pub(super) const PURPOSE: &str = "signing key";
/// For how long a process signs with keys without comparing them with the database.
const AGE: Duration = Duration::from_secs(1);

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The instance key does not open a private half: one of them comes from another instance.
    #[error("the instance key does not open the signing key {0}")]
    Sealed(String),
    /// Keys could not be made.
    #[error("signing keys could not be made: {0}")]
    NotMade(String),
    /// Something could not be signed.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key, parsed.
#[derive(Debug)]
pub struct KnownKey {
    /// What names it.
    pub kid: String,
    /// Its times.
    pub times: KeyTimes,
    key: SigningKey,
}

impl KnownKey {
    /// Opens and parses a stored key.
    ///
    /// # Errors
    /// [`KeysError::Sealed`], also for a public half that is another key's.
    fn open(row: &SigningKeyRow, instance_key: &InstanceKey) -> Result<Self, KeysError> {
        let opened = || {
            let private = instance_key.open(PURPOSE, row.kid.as_bytes(), &row.sealed)?;
            let key = SigningKey::read(Algorithm::parse(&row.algorithm)?, &private)?;
            let is_same = serde_json::from_str::<PublicKey>(&row.public_key).is_ok_and(|public| public == *key.public());
            (is_same && key.public().thumbprint() == row.kid).then_some(key)
        };
        let key = opened().ok_or_else(|| KeysError::Sealed(row.kid.clone()))?;
        Ok(Self { kid: row.kid.clone(), times: row.times(), key })
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// All keys at one version.
#[derive(Debug, Default)]
pub struct Keys {
    version: String,
    list: Vec<Arc<KnownKey>>,
}

impl Keys {
    /// The key that signs at `now` by an algorithm.
    #[must_use]
    pub fn signing(&self, algorithm: Algorithm, now: Timestamp) -> Option<&Arc<KnownKey>> {
        self.states(now)
            .find(|(key, state)| key.key.public().algorithm() == algorithm && *state == KeyState::Signs)
            .map(|(key, _)| key)
    }

    /// All keys, those that sign first first, with what each does at `now`.
    pub fn states(&self, now: Timestamp) -> impl Iterator<Item = (&Arc<KnownKey>, KeyState)> {
        let starts: Vec<Timestamp> = self.list.iter().map(|key| key.times.signs_at).collect();
        self.list.iter().map(move |key| (key, state(key.times, &starts, now)))
    }

    /// When the newest set begins to sign; `None`: there is none.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.list.iter().map(|key| key.times.signs_at).max()
    }
}

/// The keys that this process has read.
#[derive(Debug, Default)]
pub struct Keyring {
    known: ArcSwapOption<(Instant, Arc<Keys>)>,
    /// Held while this process makes keys, so that requests that arrive together make one set.
    making: Arc<Mutex<()>>,
}

impl Keyring {
    /// The keys as they were within the last second; they are made if there are none.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn keys(&self, core: &Arc<Core>) -> Result<Arc<Keys>, KeysError> {
        if let Some(known) = self.known.load_full().filter(|known| known.0.elapsed() < AGE) {
            return Ok(Arc::clone(&known.1));
        }
        self.now(core).await
    }

    /// The keys as they are now; they are made if there are none.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn now(&self, core: &Arc<Core>) -> Result<Arc<Keys>, KeysError> {
        let keys = self.stored(core).await?;
        if !keys.list.is_empty() {
            return Ok(keys);
        }
        // In a task of its own: the request that needs them first may be over before they are there.
        let (own, making) = (Arc::clone(core), Arc::clone(&self.making));
        let made = tokio::spawn(async move {
            let _turn = making.lock().await;
            make::first(&own).await
        });
        made.await.map_err(|error| KeysError::NotMade(error.to_string()))??;
        self.stored(core).await
    }

    /// The keys as they are now, which may be none.
    async fn stored(&self, core: &Core) -> Result<Arc<Keys>, KeysError> {
        let (read_at, db) = (Instant::now(), core.store.read());
        // The version is read before the rows: they may be newer than it says, and never older.
        let version = db.find_signing_keys_version().await?;
        let known = self.known.load_full().map(|known| Arc::clone(&known.1));
        let keys = match known {
            Some(known) if known.version == version => known,
            known => Arc::new(read(core, version, known.as_deref()).await?),
        };
        self.known.store(Some(Arc::new((read_at, Arc::clone(&keys)))));
        Ok(keys)
    }
}

/// Reads the keys. Those that were parsed before are taken over.
async fn read(core: &Core, version: String, before: Option<&Keys>) -> Result<Keys, KeysError> {
    let mut list = Vec::new();
    for row in core.store.read().list_signing_keys().await? {
        let known = before.and_then(|keys| keys.list.iter().find(|key| key.kid == row.kid && key.times.signs_at == row.signs_at));
        list.push(match known {
            Some(known) => Arc::clone(known),
            None => Arc::new(KnownKey::open(&row, &core.instance_key)?),
        });
    }
    Ok(Keys { version, list })
}

/// Whether the instance key opens these keys.
///
/// # Errors
/// [`KeysError::Sealed`] for the first one that it does not open.
pub fn check(rows: &[SigningKeyRow], instance_key: &InstanceKey) -> Result<(), KeysError> {
    rows.iter().try_for_each(|row| KnownKey::open(row, instance_key).map(drop))
}
