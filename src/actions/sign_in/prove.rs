//! Proving a password: the first step of a sign-in.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::admit::Wish;
use crate::actions::sign_in::begin::begin;
use crate::actions::sign_in::guesses;
use crate::actions::sign_in::guesses::{Guess, Taken};
use crate::actions::sign_in::proof::{Proved, Started};
use crate::actions::sign_in::refusal_log::Refused;
use crate::domain::caller::{Actor, Client};
use crate::domain::event::{EventContent, FailedStage};
use crate::domain::password::MAX_LENGTH;
use crate::domain::{HashedSecret, UserId};
use crate::store::people::users::UserRow;

/// Proves a password. The user is found by name, then by e-mail address. An unknown name, a user
/// without a password and an inactive one take as long as a wrong password and read the same, and
/// are limited the same. `device` is the hash of the secret of a browser that may be known. When
/// the password is right, the caller gives the guess back at the same time as it takes the next
/// step ([`Taken::give_back_concurrently`]).
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
) -> Result<Option<(UserRow, Taken)>, ActionError> {
    let db = app.store.read();
    // A text that is too long for a password is not hashed: the empty text is, which takes the same
    // time.
    let password = if password.len() > MAX_LENGTH { String::new() } else { password };
    // PostgreSQL's text holds no NUL, and neither does a name.
    let uid = uid.replace('\0', "\u{fffd}");
    // Phone keyboards add a blank at the end; the lookup ignores it.
    let user = db.find_user_by_uid(&uid).await?;
    let id = user.as_ref().map_or(UserId(0), |user| user.id);
    let known = guesses::known_device(app, id, device).await?;
    let about = user.as_ref().map(|user| (user.id, user.username.as_str()));
    let guess = guesses::take(app, Guess::Password(&uid), known, about, actor).await?;
    let stored = user.as_ref().filter(|user| user.is_active).and_then(|user| user.password_hash.clone());
    let verified = app.passwords.verify(password, stored).await;
    let user = match user {
        Some(user) if matches!(verified, Ok(true)) => return Ok(Some((user, guess))),
        user => user,
    };
    guess.settle(app, matches!(verified, Ok(false))).await;
    verified?;
    app.refusal_log.refused(Refused::Password, user.as_ref().map(|user| user.id), actor);
    let content = EventContent::SignInFailed { stage: FailedStage::Password, why: String::new() };
    let mut event = content.by(actor, app.clock.now());
    // The event does not hold what was typed: people type passwords into the field of the name.
    if let Some(user) = user {
        event = event.about(user.id, &user.username);
    }
    app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
    crate::metrics::count_sign_in("wrong");
    Ok(None)
}

/// Starts a session with a new key for a user as they were when they proved their password. The
/// session that the browser came with, if any, ends: a key never outlives a sign-in (OWASP ASVS
/// v5.0.0-7.2.4).
///
/// # Errors
/// [`ActionError::Forbidden`] when the user was removed or deactivated since;
/// [`ActionError::ProofOutdated`] when their credentials changed since;
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
