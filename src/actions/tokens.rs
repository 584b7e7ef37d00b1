//! Tokens: API credentials, and the single-use links of a first start.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::domain::event::EventContent;
use crate::domain::user::{TokenIntent, UserRule};
use crate::domain::{PlainSecret, UserId, secret};
use crate::store::StoreError;
use crate::store::people::tokens::NewToken;

/// What a new token should be.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What it opens.
    pub intent: TokenIntent,
    /// What names it; made up when `None`.
    pub identifier: Option<String>,
    /// What it is for, in its maker's words.
    pub description: String,
    /// How long it is valid; `None`: without end.
    pub lives: Option<Duration>,
    /// Its key; made up when `None`.
    pub key: Option<PlainSecret>,
}

/// Makes a token for a user and gives its identifier and its key, which is shown this once.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Exists`] when the identifier or the key is
/// taken; [`ActionError::Rule`] for a given key that could be guessed.
pub async fn add(
    app: &App,
    by: By<'_>,
    user: UserId,
    username: &str,
    request: TokenRequest,
) -> Result<(String, PlainSecret), ActionError> {
    by.must_administer()?;
    let key = match request.key {
        Some(key) => {
            secret::check_token_key(key.expose()).map_err(UserRule::from)?;
            key
        }
        None => PlainSecret::generate()?,
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
    let (actor, username, name) = (by.actor(), username.to_owned(), identifier.clone());
    let added = app
        .store
        .write(move |db| {
            Box::pin(async move {
                if token.intent == TokenIntent::Recovery {
                    token.generation = db.lock_user(user).await?.map(|user| user.generation());
                }
                let uuid = db.insert_token(&token, now).await?;
                let content = EventContent::TokenAdded { token: name, token_uuid: uuid.simple().to_string() };
                db.insert_events(&[content.by(&actor, now).about(user, &username)]).await
            })
        })
        .await;
    match added {
        Err(StoreError::Conflict(_)) => Err(ActionError::Exists(format!("a token {identifier:?} or one with this key"))),
        other => Ok((identifier, other.map(|()| key)?)),
    }
}

/// Removes a token: it opens nothing from now on.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`].
pub async fn remove(app: &App, by: By<'_>, identifier: &str) -> Result<(), ActionError> {
    by.must_administer()?;
    let (actor, now, identifier) = (by.actor(), app.clock.now(), identifier.to_owned());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let (owner, uuid) = db.delete_token(&identifier).await?.ok_or(ActionError::NotFound)?;
                let name = db.find_user(owner).await?.map(|user| user.username).unwrap_or_default();
                let content = EventContent::TokenRemoved { token: identifier, token_uuid: uuid.simple().to_string() };
                db.insert_events(&[content.by(&actor, now).about(owner, &name)]).await?;
                Ok(())
            })
        })
        .await
}
