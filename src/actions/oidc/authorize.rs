//! A browser brings a request of an app: may its user open the application, and what is to be done first.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::hints;
use crate::actions::oidc::redeem::no_randomness;
use crate::domain::application::decide::{Ask, Decision, Door, Missing, Proof as Proved, decide};
use crate::domain::application::demand::Level;
use crate::domain::caller::{Actor, Client};
use crate::domain::event::EventContent;
use crate::domain::oidc::consent::{Wish, is_needed};
use crate::domain::oidc::grant::{Grant, Proof};
use crate::domain::oidc::request::{AuthorizeRequest, Refused};
use crate::domain::secret::hex;
use crate::domain::{PlainSecret, Timestamp};
use crate::store::StoreError;
use crate::store::sessions::rows::LiveSession;

/// A request that was read, with what is known of its browser.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The client.
    pub known: &'a Known,
    /// What it asks for.
    pub request: &'a AuthorizeRequest,
    /// The address that the answer goes to.
    pub redirect_uri: &'a str,
    /// When the request was first seen.
    pub seen: Timestamp,
    /// Whether the user chose the account since.
    pub is_chosen: bool,
    /// Where the browser is.
    pub client: &'a Client,
    /// The id of the HTTP request.
    pub request_id: &'a str,
}

/// What to do with a request of a user who is signed in.
#[derive(Debug)]
pub enum Outcome {
    /// A code.
    Code(PlainSecret),
    /// The user proves who they are again: at the most so long ago, at least so well.
    Prove(Option<Duration>, Option<Level>),
    /// The user says with which account they go on.
    Choose,
    /// The user says whether the app gets what it asks for.
    Consent,
    /// The user may not open the application.
    Denied(Vec<Missing>),
    /// The app is told.
    Refused(Refused),
}

/// Judges a request and gives a code where it is met.
///
/// # Errors
/// When the database cannot be written, or the operating system has no randomness to give.
pub async fn authorize(app: &App, asked: Asked<'_>, session: &LiveSession) -> Result<Outcome, StoreError> {
    let (application, request, now) = (&asked.known.application, asked.request, app.clock.now());
    let refused = |refused, otherwise| if request.prompt.is_none { Outcome::Refused(refused) } else { otherwise };
    let Some(subject) = app.store.read().find_subject(session.user_id).await?.filter(|subject| subject.is_active) else {
        return Ok(refused(Refused::LoginRequired, Outcome::Denied(Vec::new())));
    };
    if let Some(hint) = &request.hint
        && let Some(named) = hints::read(app, hint).await?
    {
        let own = asked.known.settings()?.sub_of(&subject.identity, session.user_id.0);
        if own.is_some_and(|own| own != named.sub) && !asked.is_chosen {
            return Ok(refused(Refused::LoginRequired, Outcome::Choose));
        }
    }
    if request.prompt.select_account && !asked.is_chosen {
        return Ok(Outcome::Choose);
    }
    let decision = decide_for(app, asked, session, (&subject.person, now));
    if !decision.is_met() && !decision.can_be_proved() {
        tell_of_refusal(app, asked, session, &decision, now).await;
        return Ok(refused(Refused::AccessDenied, Outcome::Denied(decision.missing().to_vec())));
    }
    if let Some(proof) = missing_proof(app, asked, session, &decision).await? {
        return Ok(refused(Refused::LoginRequired, proof));
    }
    let (part, client) = (asked.known.part()?.id, asked.known.settings()?);
    let wish = Wish { client, scope: &request.scope, is_prompted: request.prompt.consent, seen: asked.seen };
    let given = app.store.read().find_consent(session.user_id, part).await?;
    if is_needed(wish, given.as_ref(), now) {
        return Ok(refused(Refused::ConsentRequired, Outcome::Consent));
    }
    let grant = Grant {
        redirect_uri: asked.redirect_uri.to_owned(),
        challenge: request.challenge.map(|challenge| hex(&challenge.0)),
        nonce: request.nonce.clone(),
        scope: request.scope.clone(),
        proof: Proof::of(session.methods, session.proved_at, &request.wanted),
    };
    let (code, place) = (PlainSecret::generate().map_err(no_randomness)?, (session.id, part));
    let expires_at = now.plus(Duration::from_secs(client.code_lifetime));
    let hash = code.hash();
    app.store.write(move |db| Box::pin(async move { db.insert_code(hash, place, &grant, expires_at).await })).await?;
    tracing::debug!(application = %application.slug, "gave a code");
    Ok(Outcome::Code(code))
}

fn decide_for(
    app: &App,
    asked: Asked<'_>,
    session: &LiveSession,
    (person, now): (&crate::domain::application::decide::Person, Timestamp),
) -> Decision {
    let ip = asked.client.ip;
    let demand = &asked.known.application.access;
    let country = if demand.countries.is_empty() { String::new() } else { app.geoip.country_and_asn(ip).0 };
    let door = Door::Session(Proved { methods: session.methods, proved_at: session.proved_at });
    let address = Some(ip).filter(|ip| !ip.is_unknown());
    decide(demand, &Ask { person: Some(person), door, address, country: &country, now })
}

/// Which proof the access rules or the request ask for; `None`: what is there is enough.
async fn missing_proof(
    app: &App,
    asked: Asked<'_>,
    session: &LiveSession,
    decision: &Decision,
) -> Result<Option<Outcome>, StoreError> {
    let (request, now) = (asked.request, app.clock.now());
    // What is asked for was asked for when the request was first seen: a proof since then meets it.
    let is_since = session.proved_at >= asked.seen;
    let is_old = request.max_age.is_some_and(|age| session.proved_at.0 <= 0 || now.since(session.proved_at) > age);
    if (request.prompt.login || is_old) && !is_since {
        return Ok(Some(Outcome::Prove(Some(Duration::ZERO), decision.missing_level())));
    }
    if !decision.is_met() {
        return Ok(Some(Outcome::Prove(decision.missing_age(), decision.missing_level())));
    }
    // A wish, once: who has no such factor goes on.
    let has = Level::of(session.methods);
    match request.wanted.iter().copied().min() {
        Some(wanted) if has < wanted && !is_since && app.store.read().has_factor(session.user_id).await? => {
            Ok(Some(Outcome::Prove(None, Some(wanted))))
        }
        _ => Ok(None),
    }
}

/// The event of a user who may not open an application, once a minute.
async fn tell_of_refusal(app: &App, asked: Asked<'_>, session: &LiveSession, decision: &Decision, now: Timestamp) {
    let application = &asked.known.application;
    if !app.refusals.is_due((session.id, application.id, None), now) {
        return;
    }
    let reason = decision.missing().iter().map(|missing| missing.as_str()).collect::<Vec<_>>().join(" ");
    let content = EventContent::AccessRefused { application: application.slug.clone(), rule: None, reason };
    let actor = Actor { ip: Some(asked.client.ip), request_id: asked.request_id.to_owned(), ..Actor::system() };
    let actor = actor.as_user(session.user_id, &session.username);
    let event = content.by(&actor, now).about(session.user_id, &session.username).of_session(session.uuid);
    // The answer is the same without the event.
    if let Err(error) = app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await {
        tracing::warn!(%error, "the event of a refusal could not be written");
    }
}
