//! The next set of keys: made by time, or by hand. By hand it can also take the place of all others at once, for keys that
//! somebody else got to know.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::signing::keyring::KeysError;
use crate::actions::signing::make;
use crate::domain::Timestamp;
use crate::domain::signing::{KeyState, KeyTimes, PUBLISHED_BEFORE, next_set, state};
use crate::store::StoreError;
use crate::store::signing::SigningKeyRow;

/// Why keys were not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The next set is there, and signs from this instant.
    #[error("the next keys are there, and sign from {0}")]
    Pending(Timestamp),
    /// The caller may not.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// The keys cannot be used or made.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl From<StoreError> for RotateError {
    fn from(error: StoreError) -> Self {
        Self::Keys(error.into())
    }
}

/// All keys with what each does now, whether the instance key opens them or not.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or auditor asks; when the database does not answer.
pub async fn list(app: &App, by: By<'_>) -> Result<Vec<(SigningKeyRow, KeyState)>, ActionError> {
    by.must_inspect()?;
    Ok(stated(app.store.read().list_signing_keys().await?, app.clock.now()))
}

/// Keys with what each does now.
fn stated(rows: Vec<SigningKeyRow>, now: Timestamp) -> Vec<(SigningKeyRow, KeyState)> {
    let starts: Vec<Timestamp> = rows.iter().map(|row| row.signs_at).collect();
    let with_state = |row: SigningKeyRow| {
        let does = state(row.times(), &starts, now);
        (row, does)
    };
    rows.into_iter().map(with_state).collect()
}

/// Makes the next set, and gives the instant from which it signs.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; [`RotateError::Pending`]; [`KeysError`].
pub async fn rotate(app: &App, by: By<'_>) -> Result<Timestamp, RotateError> {
    by.must_operate()?;
    let now = app.clock.now();
    let latest = app.keyring.now(&app.core).await?.latest();
    if let Some(pending) = latest.filter(|latest| *latest > now) {
        return Err(RotateError::Pending(pending));
    }
    let signs_at = now.plus(PUBLISHED_BEFORE);
    if add(app, by, latest, signs_at).await? { Ok(signs_at) } else { Err(RotateError::Pending(signs_at)) }
}

/// Makes a set that signs at once, and removes all others: nothing that they signed is recognised any more. It works with
/// keys that the instance key does not open, too.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; [`KeysError`].
pub async fn replace(app: &App, by: By<'_>) -> Result<(), RotateError> {
    by.must_operate()?;
    let (actor, now) = (by.actor(), app.clock.now());
    let rows = make::set(app, KeyTimes { created_at: now, signs_at: now }).await?;
    let replaced = app.store.write(move |db| {
        Box::pin(async move {
            db.lock_signing_keys().await?;
            for old in db.list_signing_keys().await? {
                db.delete_signing_key(&old.kid).await?;
            }
            make::insert_next(db, &rows, &actor, now).await
        })
    });
    Ok::<_, RotateError>(replaced.await?)
}

/// Adds a set after the one that signs last from `latest` on, unless another node did. Whether it did.
async fn add(app: &App, by: By<'_>, latest: Option<Timestamp>, signs_at: Timestamp) -> Result<bool, RotateError> {
    let (actor, now) = (by.actor(), app.clock.now());
    let rows = make::set(app, KeyTimes { created_at: now, signs_at }).await?;
    let added = app.store.write(move |db| {
        Box::pin(async move {
            db.lock_signing_keys().await?;
            let is_latest = newest(&db.list_signing_keys().await?) == latest;
            if is_latest {
                make::insert_next(db, &rows, &actor, now).await?;
            }
            Ok::<_, StoreError>(is_latest)
        })
    });
    Ok(added.await?)
}

fn newest(rows: &[SigningKeyRow]) -> Option<Timestamp> {
    rows.iter().map(|row| row.signs_at).max()
}

/// Makes the next set when its time has come, and removes keys that are of no use any more. Where no keys were needed yet,
/// it makes none. A job calls it.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; [`KeysError`].
pub async fn keep(app: &App, by: By<'_>) -> Result<(), RotateError> {
    by.must_operate()?;
    let (rows, now) = (app.store.read().list_signing_keys().await?, app.clock.now());
    let latest = newest(&rows);
    if latest.is_some()
        && let Some(signs_at) = next_set(latest, app.config.keys.rotation, now)
    {
        add(app, by, latest, signs_at).await?;
    }
    let over = stated(rows, now).into_iter().filter(|(_, state)| *state == KeyState::Over);
    let over: Vec<String> = over.map(|(row, _)| row.kid).collect();
    if !over.is_empty() {
        let removed = app.store.write(move |db| {
            Box::pin(async move {
                db.lock_signing_keys().await?;
                for kid in over {
                    db.delete_signing_key(&kid).await?;
                }
                Ok::<_, StoreError>(())
            })
        });
        removed.await?;
    }
    Ok(())
}
