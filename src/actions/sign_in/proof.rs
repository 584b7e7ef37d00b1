//! Proofs that wait for a further step, and fresh proofs of sessions. They hold while their user is active and has the
//! generation of credentials that was proved ([`Generation::holds`]); `docs/sessions.md` lists what hangs on which.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::domain::clock::AHEAD;
use crate::domain::{Generation, Methods, PlainSecret, SessionId};
use crate::store::people::users::UserRow;
use crate::store::sessions::rows::LiveSession;
use crate::store::{Db, StoreError};

/// How long a proof waits for the next step of its sign-in.
pub const LIVES: Duration = Duration::from_secs(15 * 60);
/// The latest expiry, from now, that is accepted: a later one was stored under a clock that was
/// ahead.
const LATEST: Duration = LIVES.saturating_add(AHEAD);

/// A session that was started.
#[derive(Debug)]
pub struct Started {
    /// Its key, for the cookie: the server stores only its hash.
    pub key: PlainSecret,
    /// Its name.
    pub uuid: SessionId,
    /// For how long the cookie may be kept; `None`: until the browser closes.
    pub cookie_max_age: Option<std::time::Duration>,
    /// The secret of the browser, which is known from now on, if it was not known before.
    pub device: Option<PlainSecret>,
}

/// A user, and the methods by which they authenticated.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The user, as they were then: their [generation](UserRow::generation) is what was proved.
    pub user: UserRow,
    /// The methods.
    pub methods: Methods,
}

impl Proved {
    /// Proved by a password alone: enough for users without a second factor.
    #[must_use]
    pub fn by_password(user: UserRow) -> Self {
        Self { user, methods: Methods::password() }
    }
}

/// Whether the user of a session proved who they are recently enough (`sessions.confirm_timeout`).
/// A proof from the future, as a clock that went back makes one, does not.
#[must_use]
pub fn is_fresh(app: &App, session: &LiveSession) -> bool {
    let now = app.clock.now();
    session.proved_at <= now && now.since(session.proved_at) < app.config.sessions.confirm_timeout
}

/// Lets sessions with a [fresh proof](is_fresh) pass.
///
/// # Errors
/// [`ActionError::Forbidden`].
pub(in crate::actions) fn must_be_fresh(app: &App, session: &LiveSession) -> Result<(), ActionError> {
    if is_fresh(app, session) { Ok(()) } else { Err(ActionError::Forbidden) }
}

/// The same session under another key.
pub(in crate::actions) fn started(app: &App, session: &LiveSession, key: PlainSecret) -> Started {
    let left = session.lifetime.absolute_expires_at.since(app.clock.now());
    Started { key, uuid: session.uuid, cookie_max_age: session.is_remembered.then_some(left), device: None }
}

/// Locks a user in a transaction, if what was proved for `generation` still holds.
///
/// # Errors
/// [`ActionError::NotFound`] when they are gone or inactive; [`ActionError::ProofOutdated`] when their credentials
/// changed since.
pub(in crate::actions) async fn lock(db: &Db<'_>, proved: &UserRow) -> Result<UserRow, ActionError> {
    let user = db.lock_user(proved.id).await?.filter(|user| user.is_active).ok_or(ActionError::NotFound)?;
    if user.holds(proved.generation()) { Ok(user) } else { Err(ActionError::ProofOutdated) }
}

/// Locks the user of a session whose fresh proof was checked at the start of the request, if that proof still holds:
/// a new password takes it away from sessions that do not end.
///
/// # Errors
/// [`ActionError::NotFound`] when the user or the session is gone; [`ActionError::Forbidden`] when the session has no
/// such fresh proof any more.
pub(in crate::actions) async fn lock_holder(db: &Db<'_>, session: &LiveSession) -> Result<UserRow, ActionError> {
    let user = db.lock_user(session.user_id).await?.filter(|user| user.is_active).ok_or(ActionError::NotFound)?;
    let proved_at = db.find_proved_at(session.id).await?.ok_or(ActionError::NotFound)?;
    if proved_at < session.proved_at { Err(ActionError::Forbidden) } else { Ok(user) }
}

/// Stores a proof that waits for a further step, at most [`LIVES`]. Gives the key that takes it.
///
/// # Errors
/// When the database cannot be written, or the user was removed.
pub async fn remember(app: &App, proved: &Proved) -> Result<PlainSecret, ActionError> {
    let key = PlainSecret::generate()?;
    let (hash, expires_at) = (key.hash(), app.clock.now().plus(LIVES));
    let (whose, generation) = ((proved.user.id, proved.methods), proved.user.generation());
    let work =
        app.store.write(move |db| Box::pin(async move { db.insert_pending_sign_in(hash, whose, generation, expires_at).await }));
    work.await?;
    Ok(key)
}

/// Removes a stored proof and gives it. Of several concurrent calls one gets it. `None` when there is none, it is too
/// old, or it does not [hold](Generation::holds) any more.
///
/// # Errors
/// When the database cannot be written.
pub async fn take(app: &App, key: &PlainSecret) -> Result<Option<Proved>, StoreError> {
    let (hash, now) = (key.hash(), app.clock.now());
    let work = app.store.write(move |db| {
        Box::pin(async move {
            let Some(pending) = db.take_pending_sign_in(hash, now, now.plus(LATEST)).await? else { return Ok(None) };
            let user = db.find_user(pending.user).await?;
            Ok(still_proved(user, pending.generation, pending.methods))
        })
    });
    work.await
}

/// The same proof, without removing it: to show what may come next.
///
/// # Errors
/// When the database does not answer.
pub async fn find(app: &App, key: &PlainSecret) -> Result<Option<Proved>, StoreError> {
    let (db, now) = (app.store.read(), app.clock.now());
    let Some(pending) = db.find_pending_sign_in(key.hash(), now, now.plus(LATEST)).await? else { return Ok(None) };
    let user = db.find_user(pending.user).await?;
    Ok(still_proved(user, pending.generation, pending.methods))
}

fn still_proved(user: Option<UserRow>, generation: Option<Generation>, methods: Methods) -> Option<Proved> {
    let user = user.filter(|user| generation.is_some_and(|generation| user.holds(generation)))?;
    Some(Proved { user, methods })
}
