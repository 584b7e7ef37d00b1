//! The first start: an administrator, and a way in.

use std::time::Duration;

use super::tokens::TokenRequest;
use super::{ActionError, Actor, tokens, users};
use crate::app::App;
use crate::domain::PlainSecret;
use crate::domain::user::{ADMINISTRATOR, TokenIntent};
use crate::store::users::NewUser;

/// How long a set-up link is good.
pub const LINK_LIVES: Duration = Duration::from_secs(3600);

/// Makes sure there is an administrator. At a start that finds no `akadmin` one is added, with the
/// configured password and token. While nobody has set its password, each start makes a new
/// set-up link and gives it; older ones open nothing any more.
///
/// # Errors
/// When the configured password or token cannot be used, or the database cannot be written.
pub async fn run(app: &App) -> Result<Option<PlainSecret>, ActionError> {
    let (actor, bootstrap) = (Actor::system(), &app.config.bootstrap);
    let user = match app.store.read().find_user_by_name(ADMINISTRATOR).await? {
        Some(user) => user,
        None => {
            let user = NewUser {
                id: None,
                username: ADMINISTRATOR.into(),
                name: "Administrator".into(),
                email: String::new(),
                password_hash: None,
                is_active: true,
                is_superuser: true,
                permissions: Vec::new(),
            };
            let password = bootstrap.password.as_ref().map(|password| password.0.clone());
            let id = users::add(app, user, password, &actor).await?;
            if let Some(key) = &bootstrap.token {
                let request = TokenRequest {
                    intent: TokenIntent::Api,
                    identifier: Some("bootstrap".into()),
                    description: "set up at the first start".into(),
                    lives: None,
                    key: Some(PlainSecret::from_text(key.0.clone())),
                };
                tokens::add(app, id, ADMINISTRATOR, request, &actor).await?;
            }
            users::find(app, ADMINISTRATOR).await?
        }
    };
    // With a password or a token from the configuration there is a way in already.
    if user.password_hash.is_some() || bootstrap.password.is_some() || bootstrap.token.is_some() || !user.is_active {
        return Ok(None);
    }
    let id = user.id;
    app.store
        .write(move |db| Box::pin(async move { db.delete_tokens_of(id, TokenIntent::Recovery).await }))
        .await?;
    let request = TokenRequest {
        intent: TokenIntent::Recovery,
        identifier: None,
        description: "set-up link".into(),
        lives: Some(LINK_LIVES),
        key: None,
    };
    let (_, link) = tokens::add(app, id, ADMINISTRATOR, request, &actor).await?;
    Ok(Some(link))
}
