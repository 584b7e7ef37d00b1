//! Sign-ins of devices without a browser (RFC 8628): the device shows a code, its user types it on another device and
//! allows it, and the device gets tokens in a session of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::redeem::{Redeemed, exchange, give, no_randomness};
use crate::actions::oidc::tokens::Tokens;
use crate::actions::sessions::end::sign_out;
use crate::actions::sign_in::guesses::{self, Guess};
use crate::actions::sign_in::{self, Proved, Wish};
use crate::domain::application::Application;
use crate::domain::application::decide::{Ask, Decision, Door, Proof as Shown, decide};
use crate::domain::caller::{Actor, Client};
use crate::domain::event::EventContent;
use crate::domain::oidc::claims::granted;
use crate::domain::oidc::device::{LIVES, PAUSE, draw, is_early, tidy};
use crate::domain::oidc::grant::{Grant, Proof, RefreshText};
use crate::domain::session::{SessionKind, check_label};
use crate::domain::{HashedSecret, PlainSecret};
use crate::store::StoreError;
use crate::store::oidc::device_codes::{DeviceCode, DeviceState};
use crate::store::sessions::rows::LiveSession;

/// What the code that people type is hashed for: with the instance key, since it is short.
const PURPOSE: &str = "code of a device";

/// What a device is told.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Its own code.
    pub code: PlainSecret,
    /// The code that its user types.
    pub user_code: String,
}

fn stored(app: &App, tidy: &str) -> HashedSecret {
    PlainSecret::from_text(app.instance_key.proof(PURPOSE, tidy.as_bytes())).hash()
}

/// Begins a sign-in of a device. `None`: none of the scopes is the client's. A client without a secret can be played by
/// anybody, and each sign-in is a row for ten minutes: how many an address begins is limited as its wrong passwords are.
///
/// # Errors
/// [`ActionError::Limited`]; when the database cannot be written, or the operating system has no randomness to give.
pub async fn offer(
    app: &App,
    known: &Known,
    scope: Option<&str>,
    client: &Client,
    actor: &Actor,
) -> Result<Option<Offered>, ActionError> {
    let part = known.part()?;
    let scope = granted(scope, &part.client.scopes);
    if scope.is_empty() {
        return Ok(None);
    }
    if part.client.is_public {
        guesses::take(app, Guess::DeviceBegun, None, None, actor).await?.settle(app, true).await;
    }
    let row = DeviceCode {
        provider_id: part.id,
        scope,
        ip: client.ip,
        user_agent: client.user_agent.clone(),
        expires_at: app.clock.now().plus(Duration::from_secs(LIVES)),
        pause: i64::try_from(PAUSE).unwrap_or(i64::MAX),
        polled_at: None,
        session_id: None,
        state: DeviceState::Open,
    };
    let (code, user_code) = (PlainSecret::generate().map_err(no_randomness)?, draw().map_err(no_randomness)?);
    let hashes = (code.hash(), stored(app, &tidy(&user_code).unwrap_or_default()));
    let added: Result<(), StoreError> =
        app.store.write(move |db| Box::pin(async move { db.insert_device_code(hashes, &row).await })).await;
    added?;
    Ok(Some(Offered { code, user_code }))
}

/// A sign-in of a device that somebody is asked about.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The sign-in.
    pub code: DeviceCode,
    /// The application.
    pub known: Known,
    /// The code, as it is stored.
    pub tidy: String,
}

/// The sign-in with the code that the user of a session typed, while it is open. Wrong codes are limited for the session and
/// for the address.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none; [`ActionError::Limited`]; when the database does not answer.
pub async fn find(app: &App, session: &LiveSession, typed: &str, actor: &Actor) -> Result<Asked, ActionError> {
    let taken = guesses::take(app, Guess::DeviceCode(session.uuid), None, None, actor).await?;
    let found = look(app, typed).await?;
    taken.settle(app, found.is_none()).await;
    found.ok_or(ActionError::NotFound)
}

async fn look(app: &App, typed: &str) -> Result<Option<Asked>, StoreError> {
    let Some(tidy) = tidy(typed) else { return Ok(None) };
    let Some(code) = app.store.read().find_device_code(stored(app, &tidy)).await? else { return Ok(None) };
    if code.state != DeviceState::Open || code.expires_at <= app.clock.now() {
        return Ok(None);
    }
    let applications = app.store.applications().await?;
    let application = applications.all().iter().find(|one| one.client.as_ref().is_some_and(|part| part.id == code.provider_id));
    Ok(application.map(|application| Asked { code, known: Known { application: Arc::clone(application) }, tidy }))
}

/// Whether the user of a session may open an application from where they are.
///
/// # Errors
/// When the database does not answer.
pub async fn may(app: &App, session: &LiveSession, application: &Application, client: &Client) -> Result<Decision, StoreError> {
    let subject = app.store.read().find_subject(session.user_id).await?.filter(|subject| subject.is_active);
    let country = if application.access.countries.is_empty() { String::new() } else { app.geoip.country_and_asn(client.ip).0 };
    let door = Door::Session(Shown { methods: session.methods, proved_at: session.proved_at });
    let address = Some(client.ip).filter(|ip| !ip.is_unknown());
    let person = subject.as_ref().map(|subject| &subject.person);
    Ok(decide(&application.access, &Ask { person, door, address, country: &country, now: app.clock.now() }))
}

/// Notes what the user of a session said to a sign-in of a device that they were asked about. `false`: it was answered
/// already, or is over. Whether they [`may`] open the application was found out before.
///
/// # Errors
/// When the database cannot be written.
pub async fn answer(app: &App, session: &LiveSession, asked: &Asked, is_allowed: bool, actor: &Actor) -> Result<bool, StoreError> {
    let (hash, id, now, uuid) = (stored(app, &asked.tidy), session.id, app.clock.now(), session.uuid);
    let (application, scope) = (asked.known.application.slug.clone(), asked.code.scope.clone());
    let (actor, user, username) = (actor.clone(), session.user_id, session.username.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                if !db.decide_device_code(hash, id, is_allowed).await? {
                    return Ok(false);
                }
                if is_allowed {
                    let content = EventContent::ConsentGiven { application, scope };
                    db.insert_events(&[content.by(&actor, now).about(user, &username).of_session(uuid)]).await?;
                }
                Ok(true)
            })
        })
        .await
}

/// What a device is told when it asks.
#[derive(Debug)]
pub enum Polled {
    /// Its tokens.
    Given(Box<Tokens>),
    /// Nobody has said anything yet.
    Pending,
    /// The same, and it asks too often.
    Early,
    /// Its time is over.
    Expired,
    /// Its user declined, or may not.
    Declined,
    /// There is no such sign-in, or it gave tokens already.
    Nothing,
}

/// Answers a device that asks for its tokens. They hang on a session of its own, which no cookie opens: it ends by itself, by
/// its user or an administrator, and not with the session in which it was allowed.
///
/// # Errors
/// When the database cannot be written, or the operating system has no randomness to give.
pub async fn poll(app: &App, known: &Known, code: &str, actor: &Actor) -> Result<Polled, StoreError> {
    let (hash, provider, now) = (PlainSecret::from_text(code).hash(), known.part()?.id, app.clock.now());
    let looked: Result<_, StoreError> = app
        .store
        .write(move |db| {
            Box::pin(async move {
                let Some(code) = db.lock_device_code(hash).await?.filter(|code| code.provider_id == provider) else {
                    return Ok(Err(Polled::Nothing));
                };
                if code.expires_at <= now {
                    return Ok(Err(Polled::Expired));
                }
                match code.state {
                    DeviceState::Declined => Ok(Err(Polled::Declined)),
                    DeviceState::Open => {
                        let is_early = is_early(code.polled_at, u64::try_from(code.pause).unwrap_or(PAUSE), now);
                        let pause = if is_early { code.pause.saturating_add_unsigned(PAUSE) } else { code.pause };
                        db.note_device_poll(hash, pause, now).await?;
                        Ok(Err(if is_early { Polled::Early } else { Polled::Pending }))
                    }
                    DeviceState::Allowed if db.take_device_code(hash).await? => Ok(Ok(code)),
                    DeviceState::Used | DeviceState::Allowed => Ok(Err(Polled::Nothing)),
                }
            })
        })
        .await;
    match looked? {
        Ok(code) => begin(app, known, code, actor).await,
        Err(polled) => Ok(polled),
    }
}

/// Begins the session of a device whose sign-in was allowed, and gives its tokens.
async fn begin(app: &App, known: &Known, code: DeviceCode, actor: &Actor) -> Result<Polled, StoreError> {
    let now = app.clock.now();
    let Some(allowed_in) = code.session_id else { return Ok(Polled::Nothing) };
    // The session in which it was allowed has to be there still.
    let Some(approver) = app.store.read().find_live_session_by_id(allowed_in, now).await? else { return Ok(Polled::Nothing) };
    let Some(user) = app.store.read().find_user(approver.user_id).await? else { return Ok(Polled::Nothing) };
    let subject = app.store.read().find_subject(approver.user_id).await?.filter(|subject| subject.is_active);
    if !subject.is_some_and(|subject| exchange(&known.application, &subject, &approver, now).is_met()) {
        return Ok(Polled::Declined);
    }
    let methods = approver.methods;
    let device = Client { ip: code.ip, user_agent: code.user_agent.clone() };
    let (proved, actor) = (Proved { user, methods }, Actor { ip: Some(code.ip), ..actor.clone() });
    // Nobody is told the key, so no cookie opens the session.
    let started = match sign_in::begin(app, proved, &device, Wish::default(), &actor).await {
        Ok(started) => started,
        Err(ActionError::Store(error)) => return Err(error),
        Err(error) => {
            tracing::info!(%error, application = %known.application.slug, "the session of a device did not begin");
            return Ok(Polled::Declined);
        }
    };
    let part = known.part()?;
    let (own, application, by, uuid) = (app.clone(), Arc::clone(&known.application), actor.clone(), started.uuid);
    let (provider, client_id, client) = (part.id, part.client_id.clone(), part.client.clone());
    let label = check_label(&known.application.name).unwrap_or_else(|_| known.application.slug.clone());
    let given: Result<Option<Tokens>, StoreError> = app
        .store
        .write(move |db| {
            Box::pin(async move {
                let Some(id) = db.find_session_row_id(uuid).await? else { return Ok(None) };
                db.lock_session_row(id).await?;
                db.update_kind(uuid, SessionKind::Device, &label).await?;
                let now = own.clock.now();
                let grant = Grant {
                    redirect_uri: String::new(),
                    challenge: None,
                    nonce: None,
                    scope: code.scope,
                    proof: Proof::of(methods, now, &[]),
                };
                let refresh = RefreshText::draw(None).map_err(no_randomness)?;
                let of = Redeemed { application: &application, provider, client_id: &client_id, client: &client, is_users: false };
                give(db, &own, of, (id, &grant), refresh, (&by, now)).await
            })
        })
        .await;
    match given? {
        Some(tokens) => Ok(Polled::Given(Box::new(tokens))),
        None => {
            // The user may not open it any more: the session that was begun for it has no use.
            if let Err(error) = sign_out(app, &started.key, &actor).await {
                tracing::warn!(%error, "the session of a device that got no tokens could not be ended");
            }
            Ok(Polled::Declined)
        }
    }
}
