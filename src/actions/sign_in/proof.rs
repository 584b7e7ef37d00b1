//! Proofs that wait for a further step, and the one rule for whether they still hold: the user is active and their
//! credentials are of the generation that was proved. `docs/sessions.md` lists what hangs on which generation.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::domain::clock::AHEAD;
use crate::domain::{Generation, Methods, PlainSecret};
use crate::store::people::users::UserRow;
use crate::store::sessions::rows::LiveSession;
use crate::store::{Db, StoreError};

/// How long a proof waits for the next step of its sign-in.
pub const LIVES: Duration = Duration::from_secs(15 * 60);
/// The latest end, from now, that is believed: one beyond it was stored by a clock that was ahead.
const LATEST: Duration = LIVES.saturating_add(AHEAD);

/// A user, and how they proved who they are.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The user, as they were then: their [generation](UserRow::generation) is what was proved.
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

/// Whether what was proved for `generation` still proves who `user` is. Every door asks this: the begin of a
/// session, pending sign-ins, codes, `/confirm`, changes of credentials, and links.
#[must_use]
pub fn holds(generation: Generation, user: &UserRow) -> bool {
    user.is_active && user.generation() == generation
}

/// Locks a user in a transaction, if what was proved for `generation` still holds.
///
/// # Errors
/// [`ActionError::NotFound`] when they are gone or inactive; [`ActionError::ProofOutdated`] when their credentials
/// changed since.
pub(in crate::actions) async fn lock(db: &Db<'_>, proved: &UserRow) -> Result<UserRow, ActionError> {
    let user = db.lock_user(proved.id).await?.filter(|user| user.is_active).ok_or(ActionError::NotFound)?;
    if holds(proved.generation(), &user) { Ok(user) } else { Err(ActionError::ProofOutdated) }
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
/// old, or it does not [hold](holds) any more.
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
    let user = user.filter(|user| generation.is_some_and(|generation| holds(generation, user)))?;
    Some(Proved { user, methods })
}
