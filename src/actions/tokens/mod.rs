//! Tokens: API credentials, app passwords, and the single-use links of a first start.

pub mod change;
pub mod keys;
pub mod uses;

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::domain::event::{self, EventContent};
use crate::domain::scope::Scopes;
use crate::domain::user::{TokenIntent, UserRule};
use crate::domain::{PlainSecret, UserId, secret};
use crate::store::people::token_list::TokenDetail;
use crate::store::people::tokens::NewToken;
use crate::store::{Db, StoreError};

/// What the key of an app password begins with.
pub const APP_PASSWORD_PREFIX: &str = "rcp_";
/// How long a key that was made through the API can be read again, without `api.readable_secrets`.
pub const READABLE: Duration = Duration::from_secs(300);

/// What a new token should be.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What it opens.
    pub intent: TokenIntent,
    /// What names it; made up when `None`.
    pub identifier: Option<String>,
    /// What it is for, in its maker's words.
    pub description: String,
    /// How long it lives; `None`: for ever.
    pub lives: Option<Duration>,
    /// Its key; made up when `None`.
    pub key: Option<PlainSecret>,
    /// What it may do of what its owner may.
    pub scopes: Scopes,
    /// Of an app password: the applications that it opens, by primary key.
    pub applications: Vec<i64>,
    /// Whether its owner and administrators can read its key again for a while ([`keys::show`]).
    pub is_readable: bool,
}

/// Makes a token for a user and gives its identifier and its key, which is shown this once.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it, or the user themselves for the intents `api` and
/// `app_password`; [`ActionError::Exists`] when the identifier or the key is taken; [`ActionError::Rule`] for a given key
/// that could be guessed.
pub async fn add(
    app: &App,
    by: By<'_>,
    user: UserId,
    username: &str,
    request: TokenRequest,
) -> Result<(String, PlainSecret), ActionError> {
    match request.intent {
        TokenIntent::Api | TokenIntent::AppPassword if request.key.is_none() => by.must_own_or_administer(user)?,
        _ => by.must_administer()?,
    }
    let key = match request.key {
        Some(key) => {
            check_key(&key, request.intent)?;
            key
        }
        None => draw(request.intent)?,
    };
    let made_up = format!("{}-{}", request.intent.as_str(), secret::random_alphanumeric(10)?);
    let identifier = request.identifier.unwrap_or(made_up);
    let now = app.clock.now();
    let mut token = NewToken {
        key_hash: key.hash(),
        identifier: identifier.clone(),
        description: request.description,
        intent: request.intent,
        user,
        expires: request.lives.map_or((false, now), |lives| (true, now.plus(lives))),
        generation: None,
    };
    let applications = request.applications;
    let (actor, username, name) = (by.actor(), username.to_owned(), identifier.clone());
    let (app_too, sealed, scopes) = (app.clone(), request.is_readable.then(|| key.clone()), request.scopes);
    let done = app
        .store
        .write(move |db| {
            Box::pin(async move {
                if token.intent == TokenIntent::Recovery {
                    token.generation = db.lock_user(user).await?.map(|user| user.generation());
                }
                let uuid = db.insert_token(&token, now).await?;
                if !scopes.is_whole() {
                    db.update_token_scopes(uuid, &scopes).await?;
                }
                db.insert_token_applications(uuid, &applications).await?;
                if let Some(key) = sealed {
                    keys::keep_readable(&app_too, db, uuid, &key).await?;
                }
                let content = added(db, &name).await?;
                db.insert_events(&[content.by(&actor, now).about(user, &username)]).await?;
                Ok::<_, ActionError>(())
            })
        })
        .await;
    match done {
        Err(ActionError::Store(StoreError::Conflict(_))) => {
            Err(ActionError::Exists(format!("a token {identifier:?} or one with this key")))
        }
        other => Ok((identifier, other.map(|()| key)?)),
    }
}

/// All that is said of a token but its key, for events.
fn said(token: &TokenDetail, applications: &[String]) -> Map<String, Value> {
    let all = [
        ("identifier", json!(token.identifier)),
        ("description", json!(token.description)),
        ("intent", json!(token.intent)),
        ("expires", json!(token.ends_at())),
        ("rollcall_scopes", json!(token.scopes.words())),
        ("rollcall_applications", json!(applications)),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The content of the event of a token that was just added.
pub(in crate::actions) async fn added(db: &Db<'_>, identifier: &str) -> Result<EventContent, StoreError> {
    let token = db.find_token(identifier).await?.ok_or(StoreError::Corrupt("a token that is not there"))?;
    let applications = db.list_token_applications(identifier).await?;
    let (changes, token_uuid) = (event::added(said(&token, &applications)), token.uuid.simple().to_string());
    Ok(EventContent::TokenAdded { token: token.identifier, token_uuid, changes })
}

/// A token that was found, as it is now, locked.
async fn lock(db: &Db<'_>, found: &TokenDetail) -> Result<TokenDetail, ActionError> {
    let now = db.lock_token(&found.identifier).await?;
    // Another one that has its identifier now may be somebody else's.
    now.filter(|now| now.uuid == found.uuid).ok_or(ActionError::NotFound)
}

/// Checks the key that somebody chose for a token of this intent. What is told apart from a password at the guard is told
/// by the beginning.
fn check_key(key: &PlainSecret, intent: TokenIntent) -> Result<(), UserRule> {
    secret::check_token_key(key.expose())?;
    let is_known = intent != TokenIntent::AppPassword || key.expose().starts_with(APP_PASSWORD_PREFIX);
    if is_known { Ok(()) } else { Err(UserRule::AppPasswordKey) }
}

/// A new key for a token of this intent.
///
/// # Errors
/// When the operating system has no randomness to give.
fn draw(intent: TokenIntent) -> Result<PlainSecret, getrandom::Error> {
    let key = PlainSecret::generate()?;
    Ok(match intent {
        TokenIntent::AppPassword => PlainSecret::from_text(format!("{APP_PASSWORD_PREFIX}{}", key.expose())),
        _ => key,
    })
}

/// Removes a token: it opens nothing from now on.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or it is somebody else's and no administrator does it.
pub async fn remove(app: &App, by: By<'_>, identifier: &str) -> Result<(), ActionError> {
    let token = find(app, by, identifier).await?;
    let (actor, now) = (by.actor(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let token = lock(db, &token).await?;
                let applications = db.list_token_applications(&token.identifier).await?;
                db.delete_token(token.uuid).await?;
                let content = EventContent::TokenRemoved {
                    changes: event::removed(said(&token, &applications)),
                    token: token.identifier,
                    token_uuid: token.uuid.simple().to_string(),
                };
                db.insert_events(&[content.by(&actor, now).about(token.user_id, &token.username)]).await?;
                Ok(())
            })
        })
        .await
}

/// The token of that identifier: one's own, or anybody's for administrators.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or it is somebody else's; [`ActionError::Forbidden`] for an auditor.
pub async fn find(app: &App, by: By<'_>, identifier: &str) -> Result<TokenDetail, ActionError> {
    let token = app.store.read().find_token(identifier).await?.ok_or(ActionError::NotFound)?;
    match by.must_own_or_administer(token.user_id) {
        Ok(()) => Ok(token),
        // Who sees it is told that they may not.
        Err(error) => Err(by.must_inspect().map_or(ActionError::NotFound, |()| error)),
    }
}

/// The token of that identifier, to be read: one's own, or anybody's for administrators and auditors.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or it is somebody else's.
pub async fn look(app: &App, by: By<'_>, identifier: &str) -> Result<TokenDetail, ActionError> {
    let token = app.store.read().find_token(identifier).await?.ok_or(ActionError::NotFound)?;
    by.must_own_or_inspect(token.user_id).map(|()| token).map_err(|_| ActionError::NotFound)
}
