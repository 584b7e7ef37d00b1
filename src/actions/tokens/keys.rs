//! Keys of tokens: shown again while that is permitted, set, and rotated.

use std::time::Duration;

use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::tokens::{READABLE, check_key, draw, find};
use crate::domain::PlainSecret;
use crate::domain::event::{Changes, EventContent};
use crate::domain::user::TokenIntent;
use crate::store::people::token_list::TokenDetail;
use crate::store::{Db, StoreError};

/// What keys are sealed for.
const PURPOSE: &str = "the key of a token";

/// Keeps a key readable: for five minutes, or for good with `api.readable_secrets`.
pub(in crate::actions) async fn keep_readable(app: &App, db: &Db<'_>, token: Uuid, key: &PlainSecret) -> Result<(), ActionError> {
    let sealed = app.instance_key.seal(PURPOSE, token.as_bytes(), key.expose().as_bytes())?;
    let until = (!app.config.api.readable_secrets).then(|| app.clock.now().plus(READABLE));
    Ok(db.update_token_sealed(token, Some(sealed), until).await?)
}

/// The key of a token, as long as it can be read: `None` when that time is over, or the key was never kept. It is an
/// event.
///
/// # Errors
/// [`ActionError::NotFound`] when there is no such token, or it is somebody else's and no administrator asks.
pub async fn show(app: &App, by: By<'_>, identifier: &str) -> Result<Option<PlainSecret>, ActionError> {
    let token = find(app, by, identifier).await?;
    let now = app.clock.now();
    let Some(sealed) = token.sealed_key.as_ref().filter(|_| token.sealed_until.is_none_or(|until| until > now)) else {
        return Ok(None);
    };
    let opened = app.instance_key.open(PURPOSE, token.uuid.as_bytes(), sealed);
    let Some(key) = opened.and_then(|key| String::from_utf8(key).ok()) else { return Ok(None) };
    let actor = by.actor();
    app.store
        .write(move |db| {
            Box::pin(async move {
                let content = EventContent::TokenKeyShown { token: token.identifier, token_uuid: token.uuid.simple().to_string() };
                db.insert_events(&[content.by(&actor, now).about(token.user_id, &token.username)]).await
            })
        })
        .await?;
    Ok(Some(PlainSecret::from_text(key)))
}

/// Sets the key of a token. The key before, and one before that, open nothing from now on.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`]; [`ActionError::Rule`] for a key
/// that could be guessed, and for one of an app password that does not begin as theirs do; [`ActionError::Exists`] when
/// another token has it.
pub async fn set(app: &App, by: By<'_>, identifier: &str, key: PlainSecret) -> Result<(), ActionError> {
    by.must_administer()?;
    let token = find(app, by, identifier).await?;
    check_key(&key, TokenIntent::parse(&token.intent).unwrap_or(TokenIntent::Api))?;
    let is_readable = app.config.api.readable_secrets;
    replace(app, by, token, key, Duration::ZERO, is_readable).await.map(drop)
}

/// Gives a token a new key, and shows it this once. The key before opens the same for `keep_old`, at most as long as the
/// token lives: programs that have it get the new one in that time.
///
/// # Errors
/// [`ActionError::NotFound`] when there is no such token with the intent `api` or `app_password`, or it is somebody
/// else's and no administrator does it.
pub async fn rotate(app: &App, by: By<'_>, identifier: &str, keep_old: Duration) -> Result<PlainSecret, ActionError> {
    let token = find(app, by, identifier).await?;
    let intent = TokenIntent::parse(&token.intent).filter(|intent| matches!(intent, TokenIntent::Api | TokenIntent::AppPassword));
    let key = draw(intent.ok_or(ActionError::NotFound)?)?;
    let is_readable = app.config.api.readable_secrets;
    replace(app, by, token, key, keep_old, is_readable).await
}

async fn replace(
    app: &App,
    by: By<'_>,
    token: TokenDetail,
    key: PlainSecret,
    keep_old: Duration,
    is_readable: bool,
) -> Result<PlainSecret, ActionError> {
    let (actor, now, app_too, new) = (by.actor(), app.clock.now(), app.clone(), key.clone());
    let done = app.store.write(move |db| {
        Box::pin(async move {
            let old_until = (!keep_old.is_zero()).then(|| now.plus(keep_old));
            if !db.update_token_key(token.uuid, new.hash(), old_until, now).await? {
                return Err(ActionError::NotFound);
            }
            if is_readable {
                keep_readable(&app_too, db, token.uuid, &new).await?;
            }
            let content = EventContent::TokenChanged {
                token: token.identifier,
                token_uuid: token.uuid.simple().to_string(),
                fields: "key".to_owned(),
                changes: Changes::new(),
            };
            db.insert_events(&[content.by(&actor, now).about(token.user_id, &token.username)]).await?;
            Ok(())
        })
    });
    match done.await {
        Err(ActionError::Store(StoreError::Conflict(_))) => Err(ActionError::Exists("a token with this key".to_owned())),
        other => other.map(|()| key),
    }
}

/// Removes keys whose time to be read is over, and old keys that open nothing any more. Gives how many tokens had one.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn clear(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    let now = app.clock.now();
    Ok(app.store.write(move |db| Box::pin(async move { db.clear_token_keys(now).await })).await?)
}
