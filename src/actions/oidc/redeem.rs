//! A code becomes tokens: once, for the client that it was given to, while its session is live (RFC 6749, 4.1.3).

use std::sync::Arc;

use crate::actions::app::App;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::offline;
use crate::actions::oidc::tokens::{About, Tokens, until};
use crate::actions::sessions::end_in::events_of;
use crate::actions::sign_in::factors;
use crate::domain::application::Application;
use crate::domain::application::client::{AccessToken, Client, Offline};
use crate::domain::application::decide::{Ask, Decision, Door, Missing, decide};
use crate::domain::application::session::AppEndReason;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::oidc::claims::{OFFLINE, has};
use crate::domain::oidc::grant::{Grant, Proof, RefreshText, jwt_hash};
use crate::domain::{EndReason, HashedSecret, PlainSecret, Timestamp};
use crate::store::applications::app_sessions::{Begun, Opened};
use crate::store::applications::people::Subject;
use crate::store::oidc::tokens::NewToken;
use crate::store::sessions::end::Which;
use crate::store::sessions::history::End;
use crate::store::sessions::rows::LiveSession;
use crate::store::{Db, StoreError};

/// A code that a client brings.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The code.
    pub code: PlainSecret,
    /// The address that it says the code was sent to.
    pub redirect_uri: String,
    /// The verifier of the challenge.
    pub verifier: Option<String>,
}

/// Redeems a code. `None`: `invalid_grant`. A code is used up by the first try of its client, whether that succeeds or
/// not; a second try ends what the first one gave.
///
/// # Errors
/// When the database cannot be written, or the operating system has no randomness to give.
pub async fn redeem(app: &App, known: &Known, brought: Brought, actor: &Actor) -> Result<Option<Tokens>, StoreError> {
    let (own, actor, application) = (app.clone(), actor.clone(), Arc::clone(&known.application));
    let part = known.part()?;
    let (provider, client_id, client) = (part.id, part.client_id.clone(), part.client.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let hash = brought.code.hash();
                let Some(code) = db.find_code(hash).await?.filter(|code| code.provider_id == provider) else { return Ok(None) };
                // Ends lock the row of the session first.
                db.lock_session_row(code.session_id).await?;
                let refresh = RefreshText::draw(None).map_err(no_randomness)?;
                let now = own.clock.now();
                if !db.take_code(hash, refresh.family_hash(), now).await? {
                    used_again(db, &application, hash, (&actor, now)).await?;
                    return Ok(None);
                }
                let is_good = code.used_at.is_none() && code.expires_at > now && code.grant.redirect_uri == brought.redirect_uri;
                if !is_good || !code.grant.is_met(brought.verifier.as_deref()) {
                    return Ok(None);
                }
                let redeemed =
                    Redeemed { application: &application, provider, client_id: &client_id, client: &client, is_users: true };
                let given = give(db, &own, redeemed, (code.session_id, &code.grant), refresh, (&actor, now)).await?;
                if let Some(tokens) = given.as_ref().filter(|_| client.has_own_session(&code.grant.scope)) {
                    // It is recognised for as long as the app keeps that session.
                    db.update_code_session(hash, tokens.about.session).await?;
                }
                Ok(given)
            })
        })
        .await
}

/// The client that a code is redeemed for.
#[derive(Clone, Copy)]
pub(super) struct Redeemed<'a> {
    /// The application.
    pub application: &'a Application,
    /// The client, by the primary key of the provider.
    pub provider: i64,
    /// What names it.
    pub client_id: &'a str,
    /// The client.
    pub client: &'a Client,
    /// Whether the session is the user's own, from which the app may get one for itself; of a device it is the device's.
    pub is_users: bool,
}

/// Gives the tokens of a grant in a session, whose row is locked; `None`: the session is over, or its user may not open the
/// application.
pub(super) async fn give(
    db: &Db<'_>,
    app: &App,
    of: Redeemed<'_>,
    (session_id, grant): (i64, &Grant),
    refresh: RefreshText,
    (actor, now): (&Actor, Timestamp),
) -> Result<Option<Tokens>, StoreError> {
    let Some(session) = db.find_live_session_by_id(session_id, now).await? else { return Ok(None) };
    let Some(subject) = db.find_subject(session.user_id).await?.filter(|subject| subject.is_active) else { return Ok(None) };
    let decision = exchange(of.application, &subject, &session, now);
    if !decision.is_met() || factors::is_missing(app, &session) {
        if decision.missing().iter().any(is_lasting) {
            end_app_of(db, of.application, &session, AppEndReason::AccessChanged, (actor, now)).await?;
        }
        return Ok(None);
    }
    let Some(sub) = of.client.sub_of(&subject.identity, session.user_id.0) else { return Ok(None) };
    let session = if of.is_users && of.client.has_own_session(&grant.scope) {
        // A session that an app keeps goes with the app: none begins for one that another request removed.
        if !db.hold_application(of.application.id).await? {
            return Ok(None);
        }
        offline::begin(db, app, of, &session, now).await?
    } else {
        session
    };
    let opened = Opened::Client(of.client_id);
    let Some(begun) = db.begin_app_session(session.id, of.application, opened, &sub, now).await? else { return Ok(None) };
    if begun.is_new {
        let content = EventContent::ApplicationOpened {
            application: of.application.slug.clone(),
            host: None,
            client_id: Some(of.client_id.to_owned()),
            scope: grant.scope.clone(),
        };
        let actor = actor.as_user(session.user_id, &session.username);
        let event = content.by(&actor, now).about(session.user_id, &session.username).of_session(session.uuid);
        db.insert_events(&[event]).await?;
    }
    let (scope, proof, family) = (grant.scope.clone(), grant.proof.clone(), refresh.family_hash());
    let is_refused = of.client.offline == Offline::Refuse && has(&scope, OFFLINE);
    let refresh = Some(refresh).filter(|_| of.client.refresh && !is_refused);
    let place = Place { begun, session: &session, provider: of.provider, family };
    if let Some(refresh) = &refresh {
        let expires_at = until(now, of.client.refresh_lifetime, &session);
        db.insert_token_of_app(&place.token(refresh.secret().hash(), Some(1), (&scope, &proof), (now, expires_at))).await?;
    }
    let (access, expires_in) = add_access(db, place, of.client, (&scope, &proof), now).await?;
    let about = About { sub, session: session.uuid, proof, nonce: grant.nonce.clone(), subject };
    Ok(Some(Tokens { access, created_at: now, expires_in, refresh, scope, about }))
}

/// Where tokens hang.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The app session.
    pub begun: Begun,
    /// Its session.
    pub session: &'a LiveSession,
    /// The client.
    pub provider: i64,
    /// The family.
    pub family: HashedSecret,
}

impl Place<'_> {
    /// A token there: a refresh token with its number, or an access token.
    pub(super) fn token<'t>(
        &self,
        hash: HashedSecret,
        generation: Option<i64>,
        (scope, proof): (&'t str, &'t Proof),
        (created_at, expires_at): (Timestamp, Timestamp),
    ) -> NewToken<'t> {
        NewToken {
            hash,
            is_refresh: generation.is_some(),
            app_session_id: self.begun.id,
            session_id: self.session.id,
            provider_id: self.provider,
            family: self.family,
            generation: generation.unwrap_or(0),
            scope,
            proof,
            created_at,
            expires_at,
        }
    }
}

/// Adds an access token; gives it, or the `jti` of one that is a JWT, and for how many seconds it is good.
pub(super) async fn add_access(
    db: &Db<'_>,
    place: Place<'_>,
    client: &Client,
    what: (&str, &Proof),
    now: Timestamp,
) -> Result<(PlainSecret, u64), StoreError> {
    let access = PlainSecret::generate().map_err(no_randomness)?;
    let expires_at = until(now, client.access_lifetime, place.session);
    let hash = match client.access_token {
        AccessToken::Opaque => access.hash(),
        AccessToken::Jwt => jwt_hash(access.expose()),
    };
    db.insert_token_of_app(&place.token(hash, None, what, (now, expires_at))).await?;
    if client.access_token == AccessToken::Jwt {
        db.update_jwt_until(place.begun.id, expires_at).await?;
    }
    Ok((access, expires_at.since(now).as_secs()))
}

/// Whether a user may open an application where no browser asks.
pub(super) fn exchange(application: &Application, subject: &Subject, session: &LiveSession, now: Timestamp) -> Decision {
    let (person, door) = (Some(&subject.person), Door::Exchange(session.methods));
    decide(&application.access, &Ask { person, door, address: None, country: "", now })
}

/// Whether what is missing takes the application from the user, and not only until a better proof.
pub(super) fn is_lasting(missing: &Missing) -> bool {
    !missing.can_be_proved()
}

/// Ends the app session of a session and an application, if there is one, with everything that hangs on it.
pub(super) async fn end_app_of(
    db: &Db<'_>,
    application: &Application,
    session: &LiveSession,
    reason: AppEndReason,
    (actor, now): (&Actor, Timestamp),
) -> Result<(), StoreError> {
    let Some(id) = db.find_app_session_id(session.id, application.id).await? else { return Ok(()) };
    db.end_app_sessions(&[id], now).await?;
    let content = EventContent::AppSessionEnded { application: application.slug.clone(), reason, count: 1 };
    let event = content.by(actor, now).about(session.user_id, &session.username).of_session(session.uuid);
    db.insert_events(&[event]).await
}

/// A code was brought a second time: somebody else has it, so what the first one got ends. That is the tokens, the app session
/// that began with it, and the session that the app keeps.
async fn used_again(
    db: &Db<'_>,
    application: &Application,
    hash: HashedSecret,
    (actor, now): (&Actor, Timestamp),
) -> Result<(), StoreError> {
    let Some(code) = db.find_code(hash).await? else { return Ok(()) };
    let (Some(family), Some(used_at)) = (code.family, code.used_at) else { return Ok(()) };
    // It may hang on the session that the app keeps by now, which is another row.
    db.lock_session_row(code.session_id).await?;
    let is_ended = db.delete_family(family).await? > 0;
    let kept = db.find_offline_session(code.session_id).await?;
    let is_begun = kept.is_none() && db.is_begun_by_code((hash, &code), application.id, used_at).await?;
    if !is_ended && kept.is_none() && !is_begun {
        return Ok(());
    }
    let event = EventContent::TokenReused { application: application.slug.clone(), kind: "code".to_owned() }.by(actor, now);
    let Some(session) = db.find_live_session_by_id(code.session_id, now).await? else {
        return if is_ended { db.insert_events(&[event]).await } else { Ok(()) };
    };
    db.insert_events(&[event.about(session.user_id, &session.username).of_session(session.uuid)]).await?;
    if is_begun {
        return end_app_of(db, application, &session, AppEndReason::Reused, (actor, now)).await;
    }
    let Some(kept) = kept else { return Ok(()) };
    let actor = Actor { ip: actor.ip, request_id: actor.request_id.clone(), ..Actor::system() };
    let end = End { comment: "its code was used twice".to_owned(), ..End::by(&actor, now, EndReason::Revoked) };
    let gone = db.end_sessions(&Which::Uuid(kept), 1, &end).await?;
    db.insert_events(&events_of(&gone, &end, &actor, None)).await
}

/// The error of an operating system that has no randomness to give.
#[must_use]
pub fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Failed(format!("no randomness: {error}"))
}
