//! Users: adding them, their passwords, whether they are active.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::administrators::Administrators;
use crate::actions::people::changes::{self, UserChange, named_conflict};
use crate::actions::people::passwords;
use crate::actions::policies;
use crate::actions::sessions::end_in;
use crate::domain::caller::Actor;
use crate::domain::event::{self, EventContent};
use crate::domain::policy::Policy;
use crate::domain::user::{TokenIntent, UserRule, check_email, check_full_name, check_username};
use crate::domain::{EndReason, PlainSecret, SessionId, Timestamp, UserId, secret};
use crate::store::people::tokens::NewToken;
use crate::store::people::users::{NewUser, UserRow};
use crate::store::sessions::end::Which;
use crate::store::{Db, StoreError};

/// Adds a user, with or without a password.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Rule`] when name, address or password break
/// a rule; [`ActionError::Exists`] when a user has this name or one that is the same.
pub async fn add(app: &App, by: By<'_>, user: NewUser, password: Option<String>) -> Result<UserId, ActionError> {
    add_with(app, by, user, password, UserChange::default()).await
}

/// The same with more than a [`NewUser`] has: what `more` says.
///
/// # Errors
/// As for [`add`]; [`ActionError::NoGroup`].
pub async fn add_with(
    app: &App,
    by: By<'_>,
    mut user: NewUser,
    password: Option<String>,
    more: UserChange,
) -> Result<UserId, ActionError> {
    by.must_administer()?;
    user.username = check_username(&user.username)?;
    user.name = check_full_name(&user.name)?;
    user.email = check_email(&user.email)?;
    let more = more.tidy()?;
    if let Some(password) = password {
        passwords::check(app, &password, [&user.username, &user.name, &user.email])?;
        user.password_hash = Some(app.passwords.hash(password).await?);
    }
    let (actor, now, name) = (by.actor(), app.clock.now(), user.username.clone());
    let instance = policies::instance(app).await?;
    let added = app.store.write(move |db| Box::pin(async move { add_in(db, &user, &more, instance, &actor, now).await })).await;
    named_conflict(added, &name)
}

/// Adds a user in a transaction.
pub(in crate::actions) async fn add_in(
    db: &Db<'_>,
    user: &NewUser,
    more: &UserChange,
    instance: Policy,
    actor: &Actor,
    now: Timestamp,
) -> Result<UserId, ActionError> {
    db.lock_names().await?;
    if db.is_username_taken(&user.username).await? {
        return Err(StoreError::Conflict("a username that is the same".into()).into());
    }
    let id = db.insert_user(user, now).await?;
    let added = db.find_profile(id).await?.ok_or(ActionError::NotFound)?;
    let changes = changes::apply(db, &added, more, instance, actor, now).await?;
    let permissions: Vec<&str> = user.permissions.iter().map(|permission| permission.as_str()).collect();
    let mut said = changes::said(&added, &[], &permissions);
    said.extend(changes.into_iter().map(|(name, change)| (name, change.after)));
    let content = EventContent::UserAdded { changes: event::added(said) };
    db.insert_events(&[content.by(actor, now).about(id, &user.username)]).await?;
    Ok(id)
}

/// The user of that name: exactly, else the only one whose name is the same.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or an auditor asks; [`ActionError::NotFound`].
pub async fn find(app: &App, by: By<'_>, username: &str) -> Result<UserRow, ActionError> {
    by.must_inspect()?;
    app.store.read().find_user_named(username).await?.ok_or(ActionError::NotFound)
}

/// The user with that key: oneself, or anybody for administrators and auditors.
///
/// # Errors
/// [`ActionError::Forbidden`] for somebody else's; [`ActionError::NotFound`].
pub async fn find_by_id(app: &App, by: By<'_>, id: UserId) -> Result<UserRow, ActionError> {
    by.must_own_or_inspect(id)?;
    app.store.read().find_user(id).await?.ok_or(ActionError::NotFound)
}

/// Sets a user's password and ends their sessions, but for the one in which they do it themselves, unless
/// `sessions.end_on_password_change` says otherwise.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it: one's own is set with a fresh proof
/// ([`change_password`](crate::actions::sign_in::confirm::change_password)); [`ActionError::Rule`] when the password may
/// not be one.
pub async fn set_password(app: &App, by: By<'_>, user: &UserRow, password: String) -> Result<(), ActionError> {
    by.must_administer()?;
    passwords::check(app, &password, [&user.username, &user.name, &user.email])?;
    let hash = app.passwords.hash(password).await?;
    store_password(app, by, user, hash).await
}

/// Sets the hash of a user's password, as [`set_password`] sets a password.
///
/// # Errors
/// As for [`set_password`]; [`UserRule::Hash`] when the hash cannot be checked here.
pub async fn set_password_hash(app: &App, by: By<'_>, user: &UserRow, hash: String) -> Result<(), ActionError> {
    by.must_administer()?;
    if !passwords::is_usable_hash(&hash) {
        return Err(UserRule::Hash.into());
    }
    store_password(app, by, user, hash).await
}

async fn store_password(app: &App, by: By<'_>, user: &UserRow, hash: String) -> Result<(), ActionError> {
    let (actor, now, id, name) = (by.actor(), app.clock.now(), user.id, user.username.clone());
    let ends = Ends::by_setting(app, by.own_session(id));
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.lock_user(id).await?.ok_or(ActionError::NotFound)?;
                let new = NewPassword { user: id, name: &name, hash: &hash, ends };
                replace_password(db, &new, &actor, now).await?;
                Ok(())
            })
        })
        .await
}

/// Makes a user active, or inactive: then all their sessions end and their tokens open nothing. What they are already, they
/// stay. Nobody locks themselves out.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it, and for oneself; [`ActionError::NotFound`] when they were
/// removed since they were read; [`ActionError::LastAdministrator`].
pub async fn set_active(app: &App, by: By<'_>, user: &UserRow, is_active: bool) -> Result<(), ActionError> {
    by.must_administer()?;
    if by.is(user.id) && !is_active {
        return Err(ActionError::Forbidden);
    }
    let (actor, now, id, name) = (by.actor(), app.clock.now(), user.id, user.username.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let administrators = Administrators::watch(db).await?;
                if db.lock_user(id).await?.ok_or(ActionError::NotFound)?.is_active == is_active {
                    return Ok(());
                }
                db.update_is_active(id, is_active).await?;
                db.note_user_update(id, now).await?;
                let content = if is_active { EventContent::UserActivated {} } else { EventContent::UserDeactivated {} };
                db.insert_events(&[content.by(&actor, now).about(id, &name)]).await?;
                if !is_active {
                    end_in::end_all_of_user(db, id, EndReason::UserDeactivated, &actor, now).await?;
                }
                administrators.must_remain(db).await
            })
        })
        .await
}

/// Makes a link's key with which a user sets a password once, within `sign_in.link_timeout`. Links that
/// were made for them before open nothing any more.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Rule`] for an inactive user;
/// [`ActionError::NotFound`] when they were removed since they were read.
pub async fn make_recovery_link(app: &App, by: By<'_>, user: &UserRow) -> Result<PlainSecret, ActionError> {
    make_link(app, by, user, app.sign_in.load().link_timeout).await
}

/// The same for a link that is valid for another time.
///
/// # Errors
/// As for [`make_recovery_link`]; [`UserRule::LinkTime`] for no time, and for more than `sign_in.link_timeout_max`.
pub async fn make_recovery_link_for(app: &App, by: By<'_>, user: &UserRow, lives: Duration) -> Result<PlainSecret, ActionError> {
    by.must_administer()?;
    if lives.is_zero() || lives > app.sign_in.load().link_timeout_max {
        return Err(UserRule::LinkTime.into());
    }
    make_link(app, by, user, lives).await
}

async fn make_link(app: &App, by: By<'_>, user: &UserRow, lives: Duration) -> Result<PlainSecret, ActionError> {
    by.must_administer()?;
    let key = PlainSecret::generate()?;
    let (actor, now, id, key_hash) = (by.actor(), app.clock.now(), user.id, key.hash());
    let identifier = format!("recovery-{}", secret::random_alphanumeric(10)?);
    app.store
        .write(move |db| {
            Box::pin(async move {
                let user = db.lock_user(id).await?.ok_or(ActionError::NotFound)?;
                if !user.is_active {
                    return Err(ActionError::Rule(UserRule::Inactive));
                }
                db.delete_tokens_of(id, TokenIntent::Recovery).await?;
                let token = NewToken {
                    key_hash,
                    identifier,
                    description: "recovery link".into(),
                    intent: TokenIntent::Recovery,
                    user: id,
                    expires: (true, now.plus(lives)),
                    generation: Some(user.generation()),
                };
                db.insert_token(&token, now).await?;
                db.insert_events(&[EventContent::RecoveryLinkMade {}.by(&actor, now).about(id, &user.username)]).await?;
                Ok(())
            })
        })
        .await?;
    Ok(key)
}

/// The user that a set-up or recovery link was made for, while it is good: it was not used, is not too old, and no
/// password was set, no second factor changed and the user was not deactivated since it was made.
///
/// # Errors
/// [`ActionError::NotFound`] when it is not.
pub async fn find_link(app: &App, link: &PlainSecret) -> Result<UserRow, ActionError> {
    let (db, now) = (app.store.read(), app.clock.now());
    let link = db.find_link(link.hash(), now).await?.ok_or(ActionError::NotFound)?;
    let user = db.find_user(link.user).await?;
    user.filter(|user| link.generation.is_some_and(|made| user.holds(made))).ok_or(ActionError::NotFound)
}

/// Uses a set-up or recovery link: sets the password of the user it was made for and gives the user.
///
/// # Errors
/// As for [`find_link`]; then nothing changes. [`ActionError::Rule`] when the password may not be one.
pub async fn redeem_link(app: &App, link: &PlainSecret, password: String, actor: &Actor) -> Result<UserRow, ActionError> {
    let user = find_link(app, link).await?;
    passwords::check(app, &password, [&user.username, &user.name, &user.email])?;
    let hash = app.passwords.hash(password).await?;
    let (actor, now, key, ends) = (actor.clone(), app.clock.now(), link.hash(), Ends::by_setting(app, None));
    app.store
        .write(move |db| {
            Box::pin(async move {
                let link = db.take_link(key, now).await?.ok_or(ActionError::NotFound)?;
                let user = db.lock_user(link.user).await?.ok_or(ActionError::NotFound)?;
                if !link.generation.is_some_and(|made| user.holds(made)) {
                    return Err(ActionError::NotFound);
                }
                let actor = actor.as_user(user.id, &user.username);
                let new = NewPassword { user: user.id, name: &user.username, hash: &hash, ends };
                replace_password(db, &new, &actor, now).await?;
                Ok(UserRow { password_hash: Some(hash), ..user })
            })
        })
        .await
}

/// Removes a user with all that is theirs: their sessions end, their tokens open nothing. History
/// stays, under a uuid that nobody gets again.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`] when they were removed since they
/// were read; [`ActionError::LastAdministrator`].
pub async fn remove(app: &App, by: By<'_>, user: &UserRow) -> Result<(), ActionError> {
    by.must_administer()?;
    let (actor, now, id, name) = (by.actor(), app.clock.now(), user.id, user.username.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let administrators = Administrators::watch(db).await?;
                let profile = db.lock_profile(id).await?.ok_or(ActionError::NotFound)?;
                end_in::end_all_of_user(db, id, EndReason::UserRemoved, &actor, now).await?;
                crate::actions::sessions::bulk_end::move_all_of_user(db, id).await?;
                // Before the user is gone, whose uuid it names.
                db.insert_events(&[changes::removed(db, &profile).await?.by(&actor, now).about(id, &name)]).await?;
                db.delete_user(id).await?;
                administrators.must_remain(db).await
            })
        })
        .await
}

/// A password to set.
pub(in crate::actions) struct NewPassword<'a> {
    /// Whose.
    pub user: UserId,
    /// Their name.
    pub name: &'a str,
    /// Its hash.
    pub hash: &'a str,
    /// Which of their sessions end.
    pub ends: Ends,
}

/// What happens to a user's sessions when their password is set.
#[derive(Clone, Copy)]
pub(in crate::actions) struct Ends {
    /// The session in which the user set it, which goes on.
    kept: Option<SessionId>,
    /// Whether the others end (`sessions.end_on_password_change`). Those that go on lose their fresh proof.
    is_ending: bool,
}

impl Ends {
    /// As the settings say; `kept` goes on either way.
    pub(in crate::actions) fn by_setting(app: &App, kept: Option<SessionId>) -> Self {
        Self { kept, is_ending: app.config.sessions.end_on_password_change }
    }
}

/// Sets a password in a transaction, with what follows: pending sign-ins, links and known browsers of the user are
/// removed, since the holder of the old password may have made them, and sessions end.
pub(in crate::actions) async fn replace_password(
    db: &Db<'_>,
    new: &NewPassword<'_>,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.update_password(new.user, new.hash, now).await?;
    db.delete_known_devices(new.user).await?;
    db.insert_events(&[EventContent::PasswordSet {}.by(actor, now).about(new.user, new.name)]).await?;
    let Ends { kept, is_ending } = new.ends;
    if !is_ending {
        return db.clear_proved_at(new.user, kept).await;
    }
    let which = kept.map_or_else(|| Which::Users(vec![new.user.0]), |kept| Which::UserExcept(new.user, kept));
    end_in::end_all_in(db, &which, EndReason::PasswordChanged, actor, now).await
}
