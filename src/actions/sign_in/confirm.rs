//! Re-authentication, and setting one's own password. Sensitive actions ask the user to prove once
//! more who they are; the session then gets a new key (OWASP ASVS v5.0.0-7.2.4, 7.5.1).

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::people::passwords;
use crate::actions::people::users::{Ends, NewPassword, replace_password};
use crate::actions::sign_in::factors;
use crate::actions::sign_in::factors::{Checked, Typed};
use crate::actions::sign_in::guesses;
use crate::actions::sign_in::guesses::{Guess, Taken};
use crate::actions::sign_in::passkeys;
use crate::actions::sign_in::passkeys::challenge::Purpose;
use crate::actions::sign_in::proof;
use crate::actions::sign_in::proof::{Proved, Started};
use crate::actions::sign_in::refusal_log::Refused;
use crate::domain::caller::Actor;
use crate::domain::event::{ConfirmedBy, EventContent, FailedStage};
use crate::domain::password::MAX_LENGTH;
use crate::domain::webauthn::{Refusal, RelyingParty};
use crate::domain::{HashedSecret, Methods, PlainSecret, Timestamp};
use crate::store::people::users::UserRow;
use crate::store::sessions::rows::LiveSession;

/// What a signed-in user proves once more.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// The password.
    pub password: String,
    /// A code of their second factor, when they have one.
    pub code: String,
}

/// The outcome of a re-authentication.
#[derive(Debug)]
pub enum Confirmation {
    /// It is right; the session continues under a new key.
    Right(Box<Started>),
    /// The password or the code is wrong.
    Wrong,
    /// There were too many wrong codes, and no rate limit applies: no code is checked before this
    /// time.
    Blocked(Timestamp),
}

/// Checks a signed-in user's password once more, and a code of their second factor if they have
/// one. The session continues under a new key; its old key, which is one of `keys`, is refused from
/// now on.
///
/// # Errors
/// [`ActionError::NotFound`] when the session ended since the request began;
/// [`ActionError::ProofOutdated`] when the password was changed while this one was checked;
/// [`ActionError::Limited`] when there were too many wrong ones; [`ActionError::Busy`].
pub async fn confirm(
    app: &App,
    session: &LiveSession,
    keys: Vec<HashedSecret>,
    again: Again,
    actor: &Actor,
) -> Result<Confirmation, ActionError> {
    let actor = actor.as_user(session.user_id, &session.username);
    let user = app.store.read().find_user(session.user_id).await?.ok_or(ActionError::NotFound)?;
    // Given back only when both are right: here the code is limited as the password is.
    let guess = take(app, session, &actor).await?;
    let confirmed = check(app, session, user, keys, again, &actor).await;
    guess.settle(app, matches!(confirmed, Ok(Confirmation::Wrong))).await;
    match confirmed {
        Ok(Confirmation::Wrong) => app.refusal_log.refused(Refused::Confirm, Some(session.user_id), &actor),
        Ok(Confirmation::Blocked(_)) => app.refusal_log.limited("code", &actor),
        Ok(Confirmation::Right(_)) | Err(_) => {}
    }
    confirmed
}

/// Takes a guess for a re-authentication in this session.
async fn take(app: &App, session: &LiveSession, actor: &Actor) -> Result<Taken, ActionError> {
    let about = Some((session.user_id, session.username.as_str()));
    guesses::take(app, Guess::Confirmation(session.uuid), None, about, actor).await
}

async fn check(
    app: &App,
    session: &LiveSession,
    user: UserRow,
    keys: Vec<HashedSecret>,
    again: Again,
    actor: &Actor,
) -> Result<Confirmation, ActionError> {
    let Again { password, code } = again;
    let (now, actor) = (app.clock.now(), actor.clone());
    let is_counted = app.sign_in.load().account_limit.is_none();
    if !is_password(app, &user, password).await? {
        let content = EventContent::SignInFailed { stage: FailedStage::Confirmation, why: String::new() };
        let event = content.by(&actor, now).about(user.id, &user.username).of_session(session.uuid);
        app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await?;
        return Ok(Confirmation::Wrong);
    }
    let key = PlainSecret::generate()?;
    let (hash, id, uuid, proved) = (key.hash(), session.id, session.uuid, session.methods.and(Methods::password()));
    let (own, store) = (app.clone(), app.store.clone());
    let checked = store
        .write(move |db| {
            Box::pin(async move {
                let user = proof::lock(db, &user).await?;
                let mut checked = Checked::Right(Methods::default());
                if db.has_factor(user.id).await? {
                    let whose = (user.id, user.username.as_str());
                    checked = factors::check_code_in(&own, db, whose, Typed { code: &code, is_counted }, &actor, now).await?;
                }
                let Checked::Right(methods) = checked else { return Ok(checked) };
                db.update_methods(id, proved.and(methods)).await?;
                if !db.update_key(id, &keys, hash, (now, actor.ip)).await? {
                    return Err(ActionError::NotFound);
                }
                let event = EventContent::Confirmed { by: ConfirmedBy::Password }.by(&actor, now);
                db.insert_events(&[event.about(user.id, &user.username).of_session(uuid)]).await?;
                Ok::<_, ActionError>(checked)
            })
        })
        .await?;
    Ok(match checked {
        Checked::Right(_) => Confirmation::Right(Box::new(proof::started(app, session, key))),
        Checked::Wrong => Confirmation::Wrong,
        Checked::Blocked(until) => Confirmation::Blocked(until),
    })
}

async fn is_password(app: &App, user: &UserRow, password: String) -> Result<bool, ActionError> {
    let password = if password.len() > MAX_LENGTH { String::new() } else { password };
    app.passwords.verify(password, user.password_hash.clone()).await
}

/// Re-authenticates a signed-in user by one of their passkeys. If the authenticator did not verify
/// the user, the password is needed too. The session continues under a new key, and the methods
/// that the passkey proved are added to it.
///
/// # Errors
/// [`ActionError::Passkey`] when the passkey's answer is refused; [`ActionError::ProofOutdated`] as
/// for [`confirm`]; [`ActionError::NotFound`] when the session ended since the request began.
pub async fn confirm_by_passkey(
    app: &App,
    party: &RelyingParty,
    session: &LiveSession,
    keys: Vec<HashedSecret>,
    (answer, password): (&str, String),
    actor: &Actor,
) -> Result<Started, ActionError> {
    let actor = actor.as_user(session.user_id, &session.username);
    let bound_to = session.uuid.to_string();
    let by_passkey = passkeys::prove_by(app, party, session.user_id, Purpose::Confirm(&bound_to), answer, &actor).await?;
    // The password is checked against the hash of the same generation that the passkey was proved for.
    let Proved { user, methods: mut proved } = by_passkey;
    if !proved.is_multi_factor() {
        let guess = take(app, session, &actor).await?;
        let verified = is_password(app, &user, password).await;
        guess.settle(app, matches!(verified, Ok(false))).await;
        if !verified? {
            return Err(Refusal::Verification.into());
        }
        proved = proved.and(Methods::password());
    }
    let key = PlainSecret::generate()?;
    let (hash, id, uuid) = (key.hash(), session.id, session.uuid);
    let (now, methods) = (app.clock.now(), session.methods.and(proved));
    app.store
        .write(move |db| {
            Box::pin(async move {
                let user = proof::lock(db, &user).await?;
                if !db.update_key(id, &keys, hash, (now, actor.ip)).await? {
                    return Err(ActionError::NotFound);
                }
                db.update_methods(id, methods).await?;
                let event = EventContent::Confirmed { by: ConfirmedBy::Passkey }.by(&actor, now);
                db.insert_events(&[event.about(user.id, &user.username).of_session(uuid)]).await?;
                Ok(())
            })
        })
        .await?;
    Ok(proof::started(app, session, key))
}

/// Sets the password of the session's user; the session needs a recent re-authentication. All other
/// sessions of the user end, unless `sessions.end_on_password_change` says otherwise; this one
/// continues under a new key.
///
/// # Errors
/// [`ActionError::Forbidden`] without a fresh proof; [`ActionError::Rule`] when the new password
/// breaks a rule; [`ActionError::NotFound`] when the session ended since the request began.
pub async fn change_password(
    app: &App,
    session: &LiveSession,
    keys: Vec<HashedSecret>,
    password: String,
    actor: &Actor,
) -> Result<Started, ActionError> {
    proof::must_be_fresh(app, session)?;
    let user = app.store.read().find_user(session.user_id).await?.ok_or(ActionError::NotFound)?;
    passwords::check(app, &password, [&user.username, &user.name, &user.email])?;
    let hash = app.passwords.hash(password).await?;
    let actor = actor.as_user(session.user_id, &session.username);
    let key = PlainSecret::generate()?;
    let (key_hash, now, id, uuid) = (key.hash(), app.clock.now(), session.id, session.uuid);
    let (holder, proved) = (session.clone(), (session.proved_at, session.proved_ip));
    let ends = Ends::by_setting(app, Some(uuid));
    app.store
        .write(move |db| {
            Box::pin(async move {
                let user = proof::lock_holder(db, &holder).await?;
                if !db.update_key(id, &keys, key_hash, proved).await? {
                    return Err(ActionError::NotFound);
                }
                let new = NewPassword { user: user.id, name: &user.username, hash: &hash, ends };
                replace_password(db, &new, &actor, now).await?;
                Ok(())
            })
        })
        .await?;
    Ok(proof::started(app, session, key))
}
