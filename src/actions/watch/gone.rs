//! Whether a session of a running end of many does not exist any more.

use crate::actions::watch::running::Running;
use crate::domain::SessionId;
use crate::store::StoreError;
use crate::store::watch::asked::AskedEnd;
use crate::store::watch::sources::SourceRow;
use crate::watch::{Client, SourceError};

/// How many sessions are looked at to be certain that the token sees those of others.
const WITNESSES: i64 = 8;
/// Why nothing is certain.
const NO_OTHER: &str = "no session of another user is visible";

/// What a look at a session came to.
pub(super) enum Gone {
    /// It is there.
    Not,
    /// It does not exist.
    Certainly,
    /// Nothing is certain, for this reason.
    Perhaps(String),
    /// The job was told something in the middle of it.
    NotAsked,
}

/// Whether a session does not exist, between two looks at one of another user: a token that lost its right sees none of
/// anybody's, and neither does another instance that answers.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn is_gone(
    running: &Running<'_>,
    client: &Client,
    source: &SourceRow,
    asked: &AskedEnd,
) -> Result<Gone, StoreError> {
    for witness in running.app.store.read().list_latest_watched(source.id, asked.user_pk, WITNESSES).await? {
        match shows(running, client, source, witness).await? {
            None => return Ok(Gone::NotAsked),
            Some(false) => continue,
            Some(true) => {}
        }
        if !running.goes_on().await? {
            return Ok(Gone::NotAsked);
        }
        return Ok(match client.session(asked.uuid).await.value {
            Ok(_) => Gone::Not,
            Err(SourceError::Missing) => match shows(running, client, source, witness).await? {
                None => Gone::NotAsked,
                Some(true) => Gone::Certainly,
                Some(false) => Gone::Perhaps(NO_OTHER.to_owned()),
            },
            Err(error) => Gone::Perhaps(format!("it could not be read back, {error}")),
        });
    }
    Ok(Gone::Perhaps(NO_OTHER.to_owned()))
}

/// Whether a session of somebody else than the token's owner is visible; `None`: the job was told something.
async fn shows(running: &Running<'_>, client: &Client, source: &SourceRow, witness: SessionId) -> Result<Option<bool>, StoreError> {
    if !running.goes_on().await? {
        return Ok(None);
    }
    let seen = client.session(witness).await.value;
    Ok(Some(seen.is_ok_and(|seen| seen.uuid == witness && seen.user != source.status.owner_pk)))
}
