//! Signing in: proving a password, and starting a session.

use super::events::EventKind;
use super::guesses::{self, Guess};
use super::many_ends::CHUNK;
use super::{ActionError, Actor};
use crate::app::App;
use crate::domain::password::MAX_LENGTH;
use crate::domain::policy::{AtLimit, Limits};
use crate::domain::{Address, EndReason, HashedSecret, Methods, PlainSecret, SessionId, Timestamp, UserId, secret};
use crate::store::session_ends::Which;
use crate::store::sessions::NewSession;
use crate::store::users::UserRow;
use crate::store::{Db, StoreError};

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
    /// The secret by which the browser is known from now on, when it was not a known one.
    pub device: Option<PlainSecret>,
}

/// A user, and how they proved who they are.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The user, as they were then.
    pub user: UserRow,
    /// How.
    pub methods: Methods,
}

impl Proved {
    /// By a password alone: enough for those who have no second factor.
    #[must_use]
    pub fn by_password(user: UserRow) -> Self {
        Self { user, methods: Methods::password() }
    }
}

/// Proves a password. The user is found by name, then by e-mail address. An unknown name, a user
/// without a password and an inactive one take as long as a wrong password and read the same, and are
/// limited the same. `device` is what the secret of a browser that may be known hashes to.
///
/// # Errors
/// [`ActionError::Limited`] when there were too many wrong ones; [`ActionError::Busy`] when too many
/// sign-ins are waiting.
pub async fn prove_password(
    app: &App,
    uid: &str,
    password: String,
    device: Option<HashedSecret>,
    actor: &Actor,
) -> Result<Option<UserRow>, ActionError> {
    let db = app.store.read();
    // What no password can be is not worth more hashing than one.
    let password = if password.len() > MAX_LENGTH { String::new() } else { password };
    // PostgreSQL's text holds no NUL, and neither does a name.
    let uid = uid.replace('\0', "\u{fffd}");
    // Phones like to add a blank.
    let user = db.find_user_by_uid(&uid).await?;
    let id = user.as_ref().map_or(UserId(0), |user| user.id);
    let known = guesses::known_device(app, id, device).await?;
    let about = user.as_ref().map(|user| (user.id, user.username.as_str()));
    let guess = guesses::take(app, Guess::Password(&uid), known, about, actor).await?;
    let stored = user.as_ref().filter(|user| user.is_active).and_then(|user| user.password_hash.clone());
    let verified = app.passwords.verify(password, stored).await;
    guess.settle(app, matches!(verified, Ok(false))).await;
    if verified? && let Some(user) = user {
        return Ok(Some(user));
    }
    let mut event = EventKind::SignInFailed.by(actor, app.clock.now());
    // Not what was typed: people type passwords where the name belongs.
    if let Some(user) = user {
        (event.user_id, event.username) = (Some(user.id.0), user.username);
    }
    app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
    crate::metrics::count_sign_in("wrong");
    Ok(None)
}

/// Starts a session with a fresh key for a user as they were when they proved their password. The one
/// the browser came with, if any, ends: a key never outlives a sign-in (OWASP ASVS v5.0.0-7.2.4).
///
/// # Errors
/// [`ActionError::Forbidden`] when the user is gone or inactive by now, or has another password;
/// [`ActionError::FactorNeeded`] when they have a second factor.
pub async fn start_session(
    app: &App,
    proved: UserRow,
    client: &Client,
    is_remembered: bool,
    replaces: Vec<HashedSecret>,
    actor: &Actor,
) -> Result<Started, ActionError> {
    let wish = Wish { is_remembered, replaces, ..Wish::default() };
    begin(app, Proved::by_password(proved), client, wish, actor).await
}

/// How somebody wishes to sign in.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// To stay signed in.
    pub is_remembered: bool,
    /// The keys of the sessions that the browser came with.
    pub replaces: Vec<HashedSecret>,
    /// The session that is to end, where the limit leaves no room for one more.
    pub ends: Option<SessionId>,
    /// What the secret by which the browser may be known hashes to.
    pub device: Option<HashedSecret>,
}

/// Starts a session as [`start_session`] does, within the user's limits ([`Limits`]), however they
/// proved who they are. Every session begins here: a password alone begins none for a user who has a
/// second factor, whichever page or flow it came from.
///
/// # Errors
/// As for [`start_session`].
pub async fn begin(app: &App, proved: Proved, client: &Client, wish: Wish, actor: &Actor) -> Result<Started, ActionError> {
    let mut begun = begin_once(app, proved.clone(), client, wish.clone(), actor).await;
    let is_conflict = |begun: &Result<_, _>| matches!(begun, Err(ActionError::Store(StoreError::Conflict(_))));
    // The user agent may have been forgotten since its key was learnt: nothing had referred to it any more.
    if is_conflict(&begun) && app.user_agents.forget_key(&client.user_agent) {
        begun = begin_once(app, proved, client, wish, actor).await;
    }
    if is_conflict(&begun) {
        crate::metrics::count_sign_in("refused");
    }
    begun
}

async fn begin_once(app: &App, proved: Proved, client: &Client, wish: Wish, actor: &Actor) -> Result<Started, ActionError> {
    let origin = super::touches::origin(app, client.ip, &client.user_agent).await?;
    let (key, uuid) = (PlainSecret::generate()?, SessionId(secret::random_uuid()?));
    let (now, key_hash, instance) = (app.clock.now(), key.hash(), app.config.sessions.policy());
    let Proved { user: proved, methods } = proved;
    let (unknown, proved_id, name) = (actor.clone(), proved.id, proved.username.clone());
    let device = PlainSecret::generate()?;
    let device_hash = device.hash();
    let begun = app.store.write(move |db| {
        Box::pin(async move {
            // Locked: of many sign-ins at once, each sees what the one before it left. Asked together, the lock
            // first, as none needs another's answer.
            db.prepare_sign_in().await?;
            let (user, has_factor, own, session_key) = tokio::try_join!(
                biased;
                db.lock_user_at_sign_in(proved.id, now),
                db.has_factor(proved.id),
                db.find_own_policy(proved.id),
                db.reserve_session_key()
            )?;
            let is_still_so = |user: &UserRow| user.is_active && user.password_hash == proved.password_hash;
            let user = user.filter(is_still_so).ok_or(ActionError::Forbidden)?;
            if !methods.has_factor() && has_factor {
                return Err(ActionError::FactorNeeded);
            }
            let actor = unknown.as_user(user.id, &user.username);
            let limits = Limits { instance, own };
            for key in wish.replaces {
                super::sessions::end_in(db, &Which::Key(key), 1, EndReason::Replaced, &actor, now).await?;
            }
            make_room(db, &user, limits, wish.ends, &actor, now).await?;
            let is_known_device = match wish.device {
                Some(secret) => db.touch_known_device(user.id, secret, now).await?,
                None => false,
            };
            let living = limits.begin(now, wish.is_remembered);
            let session = NewSession {
                uuid,
                key_hash,
                user: user.id,
                created_at: now,
                last_used_at: now,
                lifetime: living.lifetime,
                origin,
                methods,
                is_known_device,
                is_remembered: living.is_remembered,
            };
            let event = [EventKind::SignIn.by(&actor, now).about(user.id, &user.username).of_session(uuid)];
            if !is_known_device {
                db.insert_known_device_last(user.id, device_hash, wish.device, now);
            }
            db.insert_session_last(&session, session_key).await?;
            db.insert_events_last(&event);
            Ok::<_, ActionError>((living, is_known_device))
        })
    });
    match begun.await {
        Ok((living, is_known_device)) => {
            crate::metrics::count_sign_in("done");
            let lives = living.lifetime.absolute_expires_at.since(now);
            let cookie_max_age = living.is_remembered.then_some(lives);
            Ok(Started { key, uuid, cookie_max_age, device: (!is_known_device).then_some(device) })
        }
        // It goes on, or is tried again.
        Err(error @ (ActionError::FactorNeeded | ActionError::Store(StoreError::Conflict(_)))) => Err(error),
        Err(error) => {
            crate::metrics::count_sign_in("refused");
            if matches!(error, ActionError::AtLimit) {
                let event = EventKind::SignInRefused.by(actor, now).about(proved_id, &name).with_detail("limit_reached");
                app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
            }
            Err(error)
        }
    }
}

/// Makes room for one more session, where there is a limit and it is reached.
async fn make_room(
    db: &Db<'_>,
    user: &UserRow,
    limits: Limits,
    ends: Option<SessionId>,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ActionError> {
    let Some(most) = limits.effective().max_sessions else { return Ok(()) };
    let mut live = db.list_live_ids(user.id, now).await?;
    let mut gone = Vec::new();
    // What was chosen goes first, whatever the limit's outcome.
    if let Some(at) = ends.and_then(|chosen| live.iter().position(|id| *id == chosen)) {
        gone.push(live.remove(at));
    }
    let beyond = (live.len() + 1).saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    if beyond > 0 {
        match limits.at_limit() {
            AtLimit::Refuse => return Err(ActionError::AtLimit),
            AtLimit::Ask => return Err(ActionError::ChooseEnd),
            AtLimit::EndOldest => gone.extend(live.drain(..beyond)),
        }
    }
    for ids in gone.chunks(usize::try_from(CHUNK).unwrap_or(1)) {
        super::sessions::end_in(db, &Which::Uuids(ids.to_vec()), CHUNK, EndReason::LimitReached, actor, now).await?;
    }
    Ok(())
}

/// Remembers that somebody proved who they are, and how, and has a step to go.
///
/// # Errors
/// When the database cannot be written.
pub async fn remember_proof(
    app: &App,
    user: UserId,
    methods: Methods,
    lives: std::time::Duration,
) -> Result<PlainSecret, ActionError> {
    let key = PlainSecret::generate()?;
    let (hash, expires_at) = (key.hash(), app.clock.now().plus(lives));
    app.store.write(move |db| Box::pin(async move { db.insert_pending_sign_in(hash, user, methods, expires_at).await })).await?;
    Ok(key)
}

/// Uses a proof up and gives whose it is: of many that try at once, one succeeds. `None` when it was
/// used, is too old, or its password was changed since.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_proof(app: &App, key: &PlainSecret) -> Result<Option<Proved>, StoreError> {
    let (hash, now) = (key.hash(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                match db.take_pending_sign_in(hash, now).await? {
                    Some((user, methods)) => Ok(db.find_user(user).await?.map(|user| Proved { user, methods })),
                    None => Ok(None),
                }
            })
        })
        .await
}
