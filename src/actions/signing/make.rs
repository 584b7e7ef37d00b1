//! Making keys: off the threads that answer requests, and one set although several nodes begin at once.

use crate::actions::signing::keyring::{KeysError, PURPOSE};
use crate::core::Core;
use crate::domain::Timestamp;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::signing::{Algorithm, KeyTimes, NotSigned, SigningKey, generate};
use crate::keys::InstanceKey;
use crate::store::signing::SigningKeyRow;
use crate::store::{Db, StoreError};

/// Makes the first set, unless there is one.
pub(super) async fn first(core: &Core) -> Result<(), KeysError> {
    if !core.store.read().list_signing_keys().await?.is_empty() {
        return Ok(());
    }
    let now = core.clock.now();
    let rows = set(core, KeyTimes { created_at: now, signs_at: now }).await?;
    let added = core.store.write(move |db| {
        Box::pin(async move {
            db.lock_signing_keys().await?;
            // Another node may have been faster.
            if db.list_signing_keys().await?.is_empty() { insert(db, &rows).await } else { Ok(()) }
        })
    });
    Ok::<_, KeysError>(added.await?)
}

/// Makes a set: one key for each algorithm.
pub(super) async fn set(core: &Core, times: KeyTimes) -> Result<Vec<SigningKeyRow>, KeysError> {
    let instance_key = core.instance_key.clone();
    let made = tokio::task::spawn_blocking(move || {
        Algorithm::ALL.into_iter().map(|algorithm| row(algorithm, &generate(algorithm)?, times, &instance_key)).collect()
    });
    let made: Result<Vec<SigningKeyRow>, NotSigned> = made.await.map_err(|error| KeysError::NotMade(error.to_string()))?;
    made.map_err(|error| KeysError::NotMade(error.to_string()))
}

/// A private half as it is stored.
///
/// # Errors
/// [`NotSigned`] when there is no randomness, or it cannot be read.
pub(super) fn row(
    algorithm: Algorithm,
    private: &[u8],
    times: KeyTimes,
    instance_key: &InstanceKey,
) -> Result<SigningKeyRow, NotSigned> {
    let key = SigningKey::read(algorithm, private).ok_or(NotSigned)?;
    let kid = key.public().thumbprint();
    let sealed = instance_key.seal(PURPOSE, kid.as_bytes(), private).map_err(|_| NotSigned)?;
    let public_key = serde_json::to_string(key.public()).map_err(|_| NotSigned)?;
    let KeyTimes { created_at, signs_at } = times;
    Ok(SigningKeyRow { kid, algorithm: algorithm.as_str().to_owned(), public_key, sealed, created_at, signs_at })
}

/// Adds keys, in a transaction that holds the lock on keys.
pub(super) async fn insert(db: &Db<'_>, rows: &[SigningKeyRow]) -> Result<(), StoreError> {
    for row in rows {
        db.insert_signing_key(row).await?;
    }
    Ok(())
}

/// Adds keys in place of those that sign, with their events, in a transaction that holds the lock on keys.
pub(super) async fn insert_next(db: &Db<'_>, rows: &[SigningKeyRow], actor: &Actor, now: Timestamp) -> Result<(), StoreError> {
    insert(db, rows).await?;
    let content = |row: &SigningKeyRow| EventContent::KeysRotated {
        kid: row.kid.clone(),
        algorithm: row.algorithm.clone(),
        signs_at: row.signs_at.to_string(),
    };
    let events: Vec<_> = rows.iter().map(|row| content(row).by(actor, now)).collect();
    db.insert_events(&events).await
}
