//! The first start: an administrator, and a way in.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::{changes, passwords, users};
use crate::actions::tokens::TokenRequest;
use crate::actions::{ActionError, tokens};
use crate::domain::scope::Scopes;
use crate::domain::user::{ADMINISTRATOR, TokenIntent, UserRule};
use crate::domain::{PlainSecret, secret};
use crate::store::StoreError;
use crate::store::people::tokens::NewToken;
use crate::store::people::users::{NewUser, UserRow};

/// How long a set-up link is good.
pub const LINK_LIVES: Duration = Duration::from_secs(3600);

/// Makes sure there is an administrator. At a start that finds no `akadmin` one is added, with the
/// configured password and token. While nobody has set its password, each start makes a new
/// set-up link and gives it; older ones open nothing any more.
///
/// # Errors
/// When the configured password or token cannot be used, or the database cannot be written.
pub async fn run(app: &App, by: By<'_>) -> Result<Option<PlainSecret>, ActionError> {
    by.must_operate()?;
    let bootstrap = &app.config.bootstrap;
    let found = app.store.read().find_user_by_name(ADMINISTRATOR).await?;
    let is_first = found.is_none();
    let user = match found {
        Some(user) => user,
        None => add_administrator(app, by).await?,
    };
    // At the first start the configuration gives a way in; later the token it named may still do.
    let has_way_in = bootstrap.token.is_some() || (is_first && bootstrap.password.is_some());
    if user.password_hash.is_some() || has_way_in || !user.is_active {
        return Ok(None);
    }
    let id = user.id;
    app.store.write(move |db| Box::pin(async move { db.delete_tokens_of(id, TokenIntent::Recovery).await })).await?;
    let request = TokenRequest {
        intent: TokenIntent::Recovery,
        identifier: None,
        description: "set-up link".into(),
        lives: Some(LINK_LIVES),
        key: None,
        applications: Vec::new(),
        scopes: Scopes::default(),
        is_readable: false,
    };
    let (_, link) = tokens::add(app, by, id, ADMINISTRATOR, request).await?;
    Ok(Some(link))
}

/// Adds the administrator with the configured password and token, both or neither.
async fn add_administrator(app: &App, by: By<'_>) -> Result<UserRow, ActionError> {
    let bootstrap = &app.config.bootstrap;
    let mut user = NewUser {
        id: None,
        uuid: None,
        uid: None,
        username: ADMINISTRATOR.into(),
        name: "Administrator".into(),
        email: String::new(),
        password_hash: None,
        is_active: true,
        is_superuser: true,
        permissions: Vec::new(),
    };
    if let Some(password) = &bootstrap.password {
        passwords::check(app, &password.0, [&user.username, &user.name, &user.email])?;
        user.password_hash = Some(app.passwords.hash(password.0.clone()).await?);
    }
    if let Some(token) = &bootstrap.token {
        secret::check_token_key(&token.0).map_err(UserRule::from)?;
    }
    let key = bootstrap.token.as_ref().map(|key| PlainSecret::from_text(key.0.clone()).hash());
    let (actor, now) = (by.actor(), app.clock.now());
    let added = app
        .store
        .write(move |db| {
            Box::pin(async move {
                let id = db.insert_user(&user, now).await?;
                let profile = db.find_profile(id).await?.ok_or(StoreError::Corrupt("a user who is not there"))?;
                let mut events = vec![changes::added(db, &profile).await?.by(&actor, now).about(id, ADMINISTRATOR)];
                if let Some(key_hash) = key {
                    let token = NewToken {
                        key_hash,
                        identifier: "bootstrap".into(),
                        description: "set up at the first start".into(),
                        intent: TokenIntent::Api,
                        user: id,
                        expires: (false, now),
                        generation: None,
                    };
                    db.insert_token(&token, now).await?;
                    let content = tokens::added(db, &token.identifier).await?;
                    events.push(content.by(&actor, now).about(id, ADMINISTRATOR));
                }
                db.insert_events(&events).await
            })
        })
        .await;
    match added {
        // Another node, started at the same time, was first.
        Ok(()) | Err(StoreError::Conflict(_)) => users::find(app, by, ADMINISTRATOR).await,
        Err(error) => Err(error.into()),
    }
}
