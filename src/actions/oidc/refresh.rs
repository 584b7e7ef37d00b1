//! Refresh tokens: each use rotates it (RFC 9700, 4.14). For a short time the same one gives the same successor, for
//! answers that were lost; after that, or when the successor was used, it is in two hands, and the app session ends.

use std::sync::Arc;

use crate::actions::app::App;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::redeem::{Place, add_access, end_app_of, exchange, is_lasting, no_randomness};
use crate::actions::oidc::tokens::{About, Tokens, until};
use crate::actions::sign_in::factors;
use crate::domain::Timestamp;
use crate::domain::application::Application;
use crate::domain::application::client::Client;
use crate::domain::application::session::AppEndReason;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::oidc::claims::granted;
use crate::domain::oidc::grant::RefreshText;
use crate::keys::{open_under, seal_under};
use crate::store::applications::app_sessions::Begun;
use crate::store::oidc::tokens::RefreshRow;
use crate::store::sessions::rows::LiveSession;
use crate::store::{Db, StoreError};

/// What a refresh came to.
#[derive(Debug)]
pub enum Refreshed {
    /// New tokens.
    Given(Box<Tokens>),
    /// `invalid_grant`.
    Nothing,
    /// `invalid_scope`: more than was granted was asked for.
    Scope,
}

/// The client of an application, and who calls.
struct Caller {
    application: Arc<Application>,
    provider: i64,
    client: Client,
    actor: Actor,
    now: Timestamp,
}

/// Gives new tokens for a refresh token. `scope`: which of its scopes.
///
/// # Errors
/// When the database cannot be written, or the operating system has no randomness to give: then nothing is changed.
pub async fn refresh(app: &App, known: &Known, token: &str, scope: Option<&str>, actor: &Actor) -> Result<Refreshed, StoreError> {
    let Some(presented) = RefreshText::parse(token) else { return Ok(Refreshed::Nothing) };
    let (own, scope) = (app.clone(), scope.map(str::to_owned));
    let part = known.part()?;
    let caller = Caller {
        application: Arc::clone(&known.application),
        provider: part.id,
        client: part.client.clone(),
        actor: actor.clone(),
        now: app.clock.now(),
    };
    app.store
        .write(move |db| {
            Box::pin(async move {
                let Some(newest) = db.find_newest_refresh_token(presented.family_hash()).await? else {
                    return Ok(Refreshed::Nothing);
                };
                if newest.provider_id != caller.provider {
                    return Ok(Refreshed::Nothing);
                }
                // Ends lock the row of the session first, and take its tokens with it.
                db.lock_session_row(newest.session_id).await?;
                let Some(session) = db.find_live_session_by_id(newest.session_id, caller.now).await? else {
                    return Ok(Refreshed::Nothing);
                };
                exchanged(db, &own, &caller, &presented, &session, scope.as_deref()).await
            })
        })
        .await
}

/// Which token follows, in a transaction that has the session's row.
enum Next {
    /// This one; it must be added.
    New(RefreshText),
    /// This one, which was given before.
    Same(RefreshText),
    /// None: the token was used in two places.
    Reused,
}

async fn exchanged(
    db: &Db<'_>,
    app: &App,
    caller: &Caller,
    presented: &RefreshText,
    session: &LiveSession,
    scope: Option<&str>,
) -> Result<Refreshed, StoreError> {
    let now = caller.now;
    // The newest one may be another one by now.
    let Some(newest) = db.find_newest_refresh_token(presented.family_hash()).await? else { return Ok(Refreshed::Nothing) };
    let row = db.find_refresh_token(presented.secret().hash()).await?;
    let next = match &row {
        Some(row) => next(app, presented, row, &newest, now)?,
        None => Next::Reused,
    };
    let (row, refresh) = match (row, next) {
        (Some(row), Next::New(text)) if row.expires_at > now => (row, text),
        (Some(row), Next::Same(text)) if row.expires_at > now => (row, text),
        (_, Next::Reused) => {
            reused(db, caller, session).await?;
            return Ok(Refreshed::Nothing);
        }
        _ => return Ok(Refreshed::Nothing),
    };
    let Some(subject) = db.find_subject(session.user_id).await?.filter(|subject| subject.is_active) else {
        return Ok(Refreshed::Nothing);
    };
    let decision = exchange(&caller.application, &subject, session, now);
    if decision.missing().iter().any(is_lasting) {
        end_app_of(db, &caller.application, session, AppEndReason::AccessChanged, (&caller.actor, now)).await?;
    }
    let sub = caller.client.sub_of(&subject.identity, session.user_id.0);
    let (true, false, Some(sub)) = (decision.is_met(), factors::is_missing(app, session), sub) else {
        return Ok(Refreshed::Nothing);
    };
    let has: Vec<String> = row.scope.split(' ').map(str::to_owned).collect();
    if scope.is_some_and(|asked| asked.split_ascii_whitespace().any(|word| !has.iter().any(|own| own == word))) {
        return Ok(Refreshed::Scope);
    }
    let narrower = scope.map_or_else(|| row.scope.clone(), |asked| granted(Some(asked), &has));
    let begun = Begun { id: row.app_session_id, uuid: uuid::Uuid::nil(), is_new: false };
    let place = Place { begun, session, provider: caller.provider, family: presented.family_hash() };
    if row.rotated_at.is_none() {
        let sealed = seal_under(presented.secret(), refresh.secret().expose().as_bytes()).map_err(no_randomness)?;
        let of = (presented.family_hash(), row.generation);
        if !db.rotate_refresh_token(presented.secret().hash(), of, sealed, now).await? {
            return Ok(Refreshed::Nothing);
        }
        let expires_at = until(now, caller.client.refresh_lifetime, session);
        let what = (row.scope.as_str(), &row.proof);
        let token = place.token(refresh.secret().hash(), Some(row.generation + 1), what, (now, expires_at));
        db.insert_token_of_app(&token).await?;
    }
    let (access, expires_in) = add_access(db, place, &caller.client, (&narrower, &row.proof), now).await?;
    if !caller.client.background {
        db.update_used(session, now).await?;
        db.update_app_sessions_used(&[(row.app_session_id, now)]).await?;
    }
    let about = About { sub, session: session.uuid, proof: row.proof, nonce: None, subject };
    let refresh = Some(refresh);
    Ok(Refreshed::Given(Box::new(Tokens { access, created_at: now, expires_in, refresh, scope: narrower, about })))
}

fn next(app: &App, presented: &RefreshText, row: &RefreshRow, newest: &RefreshRow, now: Timestamp) -> Result<Next, StoreError> {
    let Some(rotated_at) = row.rotated_at else {
        let text = RefreshText::draw(Some(presented.family())).map_err(no_randomness)?;
        return Ok(Next::New(text));
    };
    // By their numbers and not by a clock: the successor was not used yet.
    let is_last_but_one = newest.generation == row.generation + 1 && newest.rotated_at.is_none();
    let is_in_time = rotated_at.is_near(now, app.config.oidc.refresh_grace);
    let opened = row.successor.as_deref().and_then(|sealed| open_under(presented.secret(), sealed));
    let text = opened.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| RefreshText::parse(&text));
    match text {
        Some(text) if is_last_but_one && is_in_time => Ok(Next::Same(text)),
        _ => Ok(Next::Reused),
    }
}

/// Ends the app session of a refresh token that is in two hands.
async fn reused(db: &Db<'_>, caller: &Caller, session: &LiveSession) -> Result<(), StoreError> {
    let (actor, now) = (&caller.actor, caller.now);
    let content = EventContent::TokenReused { application: caller.application.slug.clone(), kind: "refresh_token".to_owned() };
    let event = content.by(actor, now).about(session.user_id, &session.username).of_session(session.uuid);
    db.insert_events(&[event]).await?;
    end_app_of(db, &caller.application, session, AppEndReason::Reused, (actor, now)).await
}
