//! Signing in: proving a password, and starting a session.

use super::events::EventKind;
use super::{ActionError, Actor};
use crate::app::App;
use crate::domain::session::Lifetime;
use crate::domain::user::{MAX_EMAIL_LENGTH, MAX_PASSWORD_LENGTH};
use crate::domain::{Address, EndReason, HashedSecret, PlainSecret, SessionId, UserId, secret};
use crate::store::StoreError;
use crate::store::ended_sessions::Ending;
use crate::store::session_ends::Which;
use crate::store::sessions::NewSession;
use crate::store::users::UserRow;

/// From where and on what somebody signs in.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address.
    pub ip: Address,
    /// The user agent, fit to store.
    pub user_agent: String,
}

/// A session that was started.
#[derive(Debug)]
pub struct Started {
    /// Its key, for the cookie; it is known to nobody else and not again.
    pub key: PlainSecret,
    /// Its name.
    pub uuid: SessionId,
    /// For how long the cookie may be kept; `None`: until the browser closes.
    pub cookie_max_age: Option<std::time::Duration>,
}

/// Proves a password. The user is found by name, then by e-mail address. An unknown name, a user
/// without a password and an inactive one take as long as a wrong password and read the same.
///
/// # Errors
/// [`ActionError::Busy`] when too many sign-ins are waiting.
pub async fn prove_password(app: &App, uid: &str, password: String, actor: &Actor) -> Result<Option<UserRow>, ActionError> {
    let db = app.store.read();
    // What no password can be is not worth more hashing than one.
    let password = if password.len() > MAX_PASSWORD_LENGTH { String::new() } else { password };
    // PostgreSQL's text holds no NUL, and neither does a name.
    let uid = uid.replace('\0', "\u{fffd}");
    // All look-ups always: a known name must not answer sooner. Phones like to add a blank.
    let exact = db.find_user_by_name(&uid).await?;
    let trimmed = db.find_user_by_name(uid.trim()).await?;
    let by_email = db.find_user_by_email(uid.trim()).await?;
    let user = exact.or(trimmed).or(by_email);
    let stored = user.as_ref().filter(|user| user.is_active).and_then(|user| user.password_hash.clone());
    if app.passwords.verify(password, stored).await?
        && let Some(user) = user
    {
        return Ok(Some(user));
    }
    let mut event = EventKind::SignInFailed.by(actor, app.clock.now());
    event.username = uid.chars().take(MAX_EMAIL_LENGTH).collect();
    event.user_id = user.map(|user| user.id.0);
    app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
    Ok(None)
}

/// Starts a session with a fresh key for a user as they were when they proved who they are. The one the browser came with, if any, ends: a key never
/// outlives a sign-in (OWASP ASVS v5.0.0-7.2.4).
///
/// # Errors
/// [`ActionError::Forbidden`] when the user is gone or inactive by now, or has another password.
pub async fn start_session(
    app: &App,
    proved: UserRow,
    client: &Client,
    is_remembered: bool,
    replaces: Vec<HashedSecret>,
    actor: &Actor,
) -> Result<Started, ActionError> {
    let origin = super::touches::origin(app, client.ip, &client.user_agent).await?;
    let (key, uuid) = (PlainSecret::generate()?, SessionId(secret::random_uuid()?));
    let (now, limits) = (app.clock.now(), &app.config.sessions);
    let is_remembered = is_remembered && !limits.remember_timeout.is_zero();
    let absolute = if is_remembered { limits.remember_timeout } else { limits.absolute_timeout };
    let idle = Some(limits.idle_timeout).filter(|idle| !idle.is_zero() && !is_remembered);
    let session = NewSession {
        uuid,
        key_hash: key.hash(),
        user: proved.id,
        created_at: now,
        last_used_at: now,
        lifetime: Lifetime { idle_timeout: idle, absolute_expires_at: now.plus(absolute) },
        origin,
        methods: "pwd",
        is_remembered,
    };
    let actor = actor.clone();
    app.store
        .write(move |db| {
            Box::pin(async move {
                let user = db.find_user(proved.id).await?;
                let is_still_so = |user: &UserRow| user.is_active && user.password_hash == proved.password_hash;
                let user = user.filter(is_still_so).ok_or(ActionError::Forbidden)?;
                let actor = actor.as_user(user.id, &user.username);
                let ending = Ending::by(&actor, now, EndReason::Replaced);
                for key in replaces {
                    db.end_sessions(&Which::Key(key), 1, &ending).await?;
                }
                db.insert_session(&session).await?;
                db.update_last_sign_in(user.id, now).await?;
                let event = EventKind::SignIn.by(&actor, now).about(user.id, &user.username).of_session(session.uuid);
                db.insert_events(&[event]).await?;
                Ok::<_, ActionError>(())
            })
        })
        .await?;
    Ok(Started { key, uuid, cookie_max_age: is_remembered.then_some(absolute) })
}

/// Remembers that somebody proved a password and has a step to go.
///
/// # Errors
/// When the database cannot be written.
pub async fn remember_proof(app: &App, user: UserId, lives: std::time::Duration) -> Result<PlainSecret, ActionError> {
    let key = PlainSecret::generate()?;
    let (hash, expires_at) = (key.hash(), app.clock.now().plus(lives));
    app.store.write(move |db| Box::pin(async move { db.insert_pending_sign_in(hash, user, expires_at).await })).await?;
    Ok(key)
}

/// Uses a proof up and gives its user: of many that try at once, one succeeds. `None` when it was
/// used, is too old, or its password was changed since.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_proof(app: &App, key: &PlainSecret) -> Result<Option<UserRow>, StoreError> {
    let (hash, now) = (key.hash(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                match db.take_pending_sign_in(hash, now).await? {
                    Some(user) => db.find_user(user).await,
                    None => Ok(None),
                }
            })
        })
        .await
}
