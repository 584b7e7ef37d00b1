//! Users: adding them, their passwords, whether they are active.

use super::events::EventKind;
use super::{ActionError, Actor};
use crate::app::App;
use crate::domain::user::{TokenIntent, check_email, check_password, check_username};
use crate::domain::{EndReason, PlainSecret, Timestamp, UserId};
use crate::store::users::{NewUser, UserRow};
use crate::store::{Db, StoreError};

/// Adds a user, with or without a password.
///
/// # Errors
/// [`ActionError::Rule`] when name, address or password break a rule; [`ActionError::Exists`].
pub async fn add(app: &App, mut user: NewUser, password: Option<String>, actor: &Actor) -> Result<UserId, ActionError> {
    check_username(&user.username)?;
    check_email(&user.email)?;
    if let Some(password) = password {
        check_password(&password)?;
        user.password_hash = Some(app.passwords.hash(password).await?);
    }
    let (actor, now, name) = (actor.clone(), app.clock.now(), user.username.clone());
    let added = app
        .store
        .write(move |db| {
            Box::pin(async move {
                let id = db.insert_user(&user, now).await?;
                db.insert_events(&[EventKind::UserAdded.by(&actor, now).about(id, &user.username)]).await?;
                Ok(id)
            })
        })
        .await;
    match added {
        Err(StoreError::Conflict(_)) => Err(ActionError::Exists(format!("a user named {name:?}"))),
        other => Ok(other?),
    }
}

/// The user of that name.
///
/// # Errors
/// [`ActionError::NotFound`].
pub async fn find(app: &App, username: &str) -> Result<UserRow, ActionError> {
    app.store.read().find_user_by_name(username).await?.ok_or(ActionError::NotFound)
}

/// Sets a user's password and ends all their sessions.
///
/// # Errors
/// [`ActionError::Rule`] when the password is too short or too long.
pub async fn set_password(app: &App, user: &UserRow, password: String, actor: &Actor) -> Result<(), ActionError> {
    check_password(&password)?;
    let hash = app.passwords.hash(password).await?;
    let (actor, now, id, name) = (actor.clone(), app.clock.now(), user.id, user.username.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                replace_password(db, (id, &name), &hash, &actor, now).await?;
                Ok(())
            })
        })
        .await
}

/// Makes a user active, or inactive: then all their sessions end and their tokens open nothing.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_active(app: &App, user: &UserRow, is_active: bool, actor: &Actor) -> Result<(), ActionError> {
    let (actor, now, id, name) = (actor.clone(), app.clock.now(), user.id, user.username.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.update_is_active(id, is_active).await?;
                let kind = if is_active { EventKind::UserActivated } else { EventKind::UserDeactivated };
                db.insert_events(&[kind.by(&actor, now).about(id, &name)]).await?;
                if !is_active {
                    super::sessions::end_all_of_user(db, id, EndReason::UserDeactivated, &actor, now).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Uses up a set-up link: sets the password of the user it was made for and gives the user.
///
/// # Errors
/// [`ActionError::NotFound`] when the link was used, is too old, or never was; then nothing changes.
pub async fn redeem_link(app: &App, link: &PlainSecret, password: String, actor: &Actor) -> Result<UserRow, ActionError> {
    check_password(&password)?;
    let hash = app.passwords.hash(password).await?;
    let (actor, now, key) = (actor.clone(), app.clock.now(), link.hash());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let id = db.take_token(key, TokenIntent::Recovery, now).await?.ok_or(ActionError::NotFound)?;
                let user = db.find_user(id).await?.filter(|user| user.is_active).ok_or(ActionError::NotFound)?;
                let actor = actor.as_user(id, &user.username);
                replace_password(db, (id, &user.username), &hash, &actor, now).await?;
                Ok(UserRow { password_hash: Some(hash), ..user })
            })
        })
        .await
}

/// Sets a password inside a transaction: the old one's proofs and sessions end with it.
async fn replace_password(
    db: &Db<'_>,
    (id, name): (UserId, &str),
    hash: &str,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.update_password(id, hash).await?;
    db.insert_events(&[EventKind::PasswordSet.by(actor, now).about(id, name)]).await?;
    super::sessions::end_all_of_user(db, id, EndReason::PasswordChanged, actor, now).await
}
