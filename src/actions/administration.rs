//! What administrators do in the pages: the same actions as the command line's, for those who may.

use crate::actions::app::App;
use crate::actions::people::users;
use crate::actions::principal::Principal;
use crate::actions::sign_in::factors;
use crate::actions::tokens::TokenRequest;
use crate::actions::{ActionError, tokens};
use crate::domain::caller::Actor;
use crate::domain::{PlainSecret, UserId};
use crate::store::people::users::{NewUser, UserRow};

/// A user by key.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller is an administrator, as for all of these;
/// [`ActionError::NotFound`].
pub async fn find_user(app: &App, who: &Principal, id: UserId) -> Result<UserRow, ActionError> {
    who.must_administer()?;
    app.store.read().find_user(id).await?.ok_or(ActionError::NotFound)
}

/// Adds a user.
///
/// # Errors
/// As for [`users::add`].
pub async fn add_user(
    app: &App,
    who: &Principal,
    user: NewUser,
    password: Option<String>,
    actor: &Actor,
) -> Result<UserId, ActionError> {
    who.must_administer()?;
    users::add(app, user, password, actor).await
}

/// Sets a user's password, which ends all their sessions.
///
/// # Errors
/// As for [`users::set_password`].
pub async fn set_password(app: &App, who: &Principal, user: &UserRow, password: String, actor: &Actor) -> Result<(), ActionError> {
    who.must_administer()?;
    users::set_password(app, user, password, actor).await
}

/// Makes a link's key with which a user sets a password once.
///
/// # Errors
/// As for [`users::make_recovery_link`].
pub async fn make_recovery_link(app: &App, who: &Principal, user: &UserRow, actor: &Actor) -> Result<PlainSecret, ActionError> {
    who.must_administer()?;
    users::make_recovery_link(app, user, actor).await
}

/// Makes a user active or inactive. Nobody locks themselves out.
///
/// # Errors
/// [`ActionError::Forbidden`] also for oneself.
pub async fn set_active(app: &App, who: &Principal, user: &UserRow, is_active: bool, actor: &Actor) -> Result<(), ActionError> {
    who.must_administer()?;
    if user.id == who.user_id && !is_active {
        return Err(ActionError::Forbidden);
    }
    users::set_active(app, user, is_active, actor).await
}

/// Removes all second factors of a user who lost them, which ends all their sessions.
///
/// # Errors
/// As for [`factors::remove_all`].
pub async fn remove_factors(app: &App, who: &Principal, user: &UserRow, actor: &Actor) -> Result<u64, ActionError> {
    who.must_administer()?;
    factors::remove_all(app, user.id, actor).await
}

/// Makes a token for a user and gives its identifier and its key, which is shown this once.
///
/// # Errors
/// [`ActionError::NotFound`] when there is no such user; as for [`tokens::add`].
pub async fn add_token(
    app: &App,
    who: &Principal,
    username: &str,
    request: TokenRequest,
    actor: &Actor,
) -> Result<(String, PlainSecret), ActionError> {
    who.must_administer()?;
    let user = users::find(app, username).await?;
    tokens::add(app, user.id, &user.username, request, actor).await
}

/// Removes a token.
///
/// # Errors
/// [`ActionError::NotFound`].
pub async fn remove_token(app: &App, who: &Principal, identifier: &str, actor: &Actor) -> Result<(), ActionError> {
    who.must_administer()?;
    tokens::remove(app, identifier, actor).await
}
