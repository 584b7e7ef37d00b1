//! What users do with their own account: name and e-mail address, and asking to be removed. Erasing it at once is in
//! [`privacy`](crate::actions::people::privacy::erase_own).

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::administrators::Administrators;
use crate::actions::people::changes::{self, UserChange};
use crate::actions::policies;
use crate::actions::sign_in::proof;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::user::{OwnRemoval, UserRule, UserType};
use crate::domain::{Timestamp, UserId};
use crate::store::people::profiles::UserProfile;
use crate::store::sessions::rows::LiveSession;

/// What a user changes of their own account: all of what the page shows.
#[derive(Clone, Debug)]
pub struct OwnChange {
    /// The full name.
    pub name: String,
    /// The e-mail address. Another one is not verified.
    pub email: String,
    /// Only if the account has not changed since: `updated_at` as it was read.
    pub expected: Timestamp,
}

/// The account of a session's user.
///
/// # Errors
/// [`ActionError::NotFound`] when the user is gone.
pub async fn find(app: &App, session: &LiveSession) -> Result<UserProfile, ActionError> {
    app.store.read().find_profile(session.user_id).await?.ok_or(ActionError::NotFound)
}

/// Changes the account of a session's user. Another e-mail address needs a fresh proof, and no other user may have it:
/// apps may know people by it.
///
/// # Errors
/// [`ActionError::Forbidden`] for another address without a fresh proof, or where `account.change_email` is off;
/// [`ActionError::Rule`]; [`ActionError::Exists`] when another user has the address; [`ActionError::Outdated`];
/// [`ActionError::NotFound`] when the user is gone or inactive.
pub async fn change(app: &App, session: &LiveSession, change: OwnChange, actor: &Actor) -> Result<(), ActionError> {
    let (expected, holder) = (change.expected, session.clone());
    let change = UserChange { name: Some(change.name), email: Some(change.email), ..UserChange::default() }.tidy()?;
    let may_change_email = app.config.account.change_email && proof::is_fresh(app, session);
    let (actor, now) = (actor.as_user(session.user_id, &session.username), app.clock.now());
    let instance = policies::instance(app).await?;
    app.store
        .write(move |db| {
            Box::pin(async move {
                // Two users who want one address at the same time: the second one finds it taken.
                db.lock_names().await?;
                let before = db.lock_profile(holder.user_id).await?.filter(|profile| profile.user.is_active);
                let before = before.ok_or(ActionError::NotFound)?;
                if expected != before.updated_at {
                    return Err(ActionError::Outdated);
                }
                if before.kind == UserType::InternalServiceAccount {
                    return Err(UserRule::InternalServiceAccount.into());
                }
                let (id, email) = (before.user.id, change.email.as_deref().unwrap_or_default());
                if email != before.user.email {
                    if !may_change_email {
                        return Err(ActionError::Forbidden);
                    }
                    proof::lock_holder(db, &holder).await?;
                    if db.is_email_taken_by_other(email, id).await? {
                        return Err(ActionError::Exists("a user with this e-mail address".to_owned()));
                    }
                }
                let changes = changes::apply(db, &before, &change, instance, &actor, now).await?;
                if !changes.is_empty() {
                    let event = EventContent::UserChanged { changes }.by(&actor, now);
                    db.insert_events(&[event.about(id, &before.user.username)]).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Asks administrators to remove a session's user. Asked again, nothing more happens.
///
/// # Errors
/// [`ActionError::Forbidden`] unless `account.removal` is `ask`, and without a fresh proof;
/// [`ActionError::LastAdministrator`]; [`ActionError::NotFound`] when the user or the session is gone.
pub async fn ask_removal(app: &App, session: &LiveSession, actor: &Actor) -> Result<(), ActionError> {
    if app.config.account.removal != OwnRemoval::Ask {
        return Err(ActionError::Forbidden);
    }
    proof::must_be_fresh(app, session)?;
    let (holder, now) = (session.clone(), app.clock.now());
    let actor = actor.as_user(session.user_id, &session.username);
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.lock_administrators().await?;
                let user = proof::lock_holder(db, &holder).await?;
                let profile = db.find_profile(user.id).await?.ok_or(ActionError::NotFound)?;
                if profile.is_administrator {
                    Administrators::must_remain_without(db, user.id).await?;
                }
                if profile.removal_asked_at.is_some() {
                    return Ok(());
                }
                db.update_removal_asked(user.id, Some(now), now).await?;
                let event = EventContent::RemovalAsked {}.by(&actor, now);
                Ok(db.insert_events(&[event.about(user.id, &user.username)]).await?)
            })
        })
        .await
}

/// Takes back that a session's user asked to be removed. Where they did not ask, nothing happens.
///
/// # Errors
/// [`ActionError::NotFound`] when the user is gone.
pub async fn withdraw_removal(app: &App, session: &LiveSession, actor: &Actor) -> Result<(), ActionError> {
    let actor = actor.as_user(session.user_id, &session.username);
    drop_request(app, session.user_id, EventContent::RemovalWithdrawn {}, actor).await
}

/// Declines to remove a user who asked for it. Where they did not ask, nothing happens.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`] when the user is gone.
pub async fn decline_removal(app: &App, by: By<'_>, user: UserId) -> Result<(), ActionError> {
    by.must_administer()?;
    drop_request(app, user, EventContent::RemovalDeclined {}, by.actor()).await
}

async fn drop_request(app: &App, user: UserId, content: EventContent, actor: Actor) -> Result<(), ActionError> {
    let now = app.clock.now();
    app.store
        .write(move |db| {
            Box::pin(async move {
                let profile = db.lock_profile(user).await?.ok_or(ActionError::NotFound)?;
                if profile.removal_asked_at.is_none() {
                    return Ok(());
                }
                db.update_removal_asked(user, None, now).await?;
                Ok(db.insert_events(&[content.by(&actor, now).about(user, &profile.user.username)]).await?)
            })
        })
        .await
}
