//! What pages ask of passkeys, and what they do with the answers: signing in, proving anew who one is, and
//! adding one. `static/passkeys.js` stands between.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::confirm as proofs;
use crate::actions::sign_in::passkeys;
use crate::actions::sign_in::passkeys::New;
use crate::actions::sign_in::passkeys::challenge::Purpose;
use crate::auth;
use crate::auth::{redirect, relying_party};
use crate::domain::UserId;
use crate::domain::webauthn::{Refusal, RelyingParty};
use crate::store::sessions::rows::LiveSession;
use crate::ui::account::security;
use crate::ui::error::PageError;
use crate::ui::sign_in::confirm;
use crate::ui::sign_in::read_form;
use crate::ui::submission::Visitor;
use crate::ui::{PageResult, sign_in};

/// A form that asks for a passkey.
pub(in crate::ui) struct Ask {
    /// Where the answer goes.
    pub(in crate::ui) action: String,
    /// `get` or `create`.
    pub(in crate::ui) kind: &'static str,
    /// What the browser is asked, as JSON.
    pub(in crate::ui) options: String,
    /// What its button says.
    pub(in crate::ui) label: &'static str,
    /// Whether browsers offer passkeys where they offer names.
    pub(in crate::ui) is_offered: bool,
}

/// What a form with a passkey sends.
#[derive(Deserialize)]
pub struct PasskeyForm {
    #[serde(default)]
    proof: String,
    #[serde(default)]
    passkey: String,
    #[serde(default)]
    next: String,
    /// Where the password is, too: beside a passkey that does not check who holds it.
    #[serde(default)]
    password: String,
    /// What a new one is to be called.
    #[serde(default)]
    name: String,
    remember: Option<String>,
}

/// Asks for a passkey to sign in with; `None` when browsers have none for this address.
pub(in crate::ui) fn ask_alone(app: &App, visitor: &Visitor) -> Result<Option<Ask>, PageError> {
    let Some(party) = relying_party::of(app, &visitor.client) else { return Ok(None) };
    let options = passkeys::options_alone(app, &party, Purpose::SignIn(visitor.bound_to()))?.to_string();
    let action = "/sign-in/passkey".to_owned();
    Ok(Some(Ask { action, kind: "get", options, label: "Sign in with a passkey", is_offered: true }))
}

/// Asks for one of these people's passkeys; `None` when they have none, or browsers have none for this
/// address.
pub(in crate::ui) async fn ask_for(
    app: &App,
    visitor: &Visitor,
    user: UserId,
    purpose: Purpose<'_>,
    action: &str,
) -> Result<Option<Ask>, PageError> {
    let Some(party) = relying_party::of(app, &visitor.client) else { return Ok(None) };
    let Some(options) = passkeys::options_for(app, &party, user, purpose).await? else { return Ok(None) };
    let (action, options) = (action.to_owned(), options.to_string());
    Ok(Some(Ask { action, kind: "get", options, label: "Use a passkey", is_offered: false }))
}

/// Asks for a passkey of whoever is to prove anew who they are.
pub(in crate::ui) async fn ask_to_confirm(app: &App, visitor: &Visitor, session: &LiveSession) -> Result<Option<Ask>, PageError> {
    let bound_to = session.uuid.to_string();
    ask_for(app, visitor, session.user_id, Purpose::Confirm(&bound_to), "/confirm/passkey").await
}

/// Asks for a new passkey of whoever is signed in; `None` when browsers make none for this address.
pub(in crate::ui) async fn ask_for_new(app: &App, visitor: &Visitor, session: &LiveSession) -> Result<Option<Ask>, PageError> {
    let Some(party) = relying_party::of(app, &visitor.client) else { return Ok(None) };
    let bound_to = session.uuid.to_string();
    let options = passkeys::creation_options(app, &party, session, Purpose::Add(&bound_to)).await?.to_string();
    let action = "/security/passkeys".to_owned();
    Ok(Some(Ask { action, kind: "create", options, label: "Add a passkey", is_offered: false }))
}

/// Why a passkey did not help, for whoever holds it.
pub(in crate::ui) fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Stale => "That took too long. Please try again.",
        Refusal::Verification => "This passkey did not check who you are. Enter your password first.",
        Refusal::Counter => "There may be a copy of this passkey, so it was refused. Sign in another way, and remove it.",
        Refusal::Known => "This passkey is known already.",
        Refusal::Credential | Refusal::User => "This passkey is not known here. It may have been removed.",
        _ => "That did not work. Please try again.",
    }
}

/// For whom passkeys are made here.
pub(in crate::ui) fn party(app: &App, visitor: &Visitor) -> Result<RelyingParty, PageError> {
    relying_party::of(app, &visitor.client).ok_or(PageError::NotFound)
}

/// `/sign-in/passkey`: signs in with a passkey alone.
pub async fn sign_in(State(app): State<App>, request: Request) -> PageResult {
    let (parts, given) = read_form::<PasskeyForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    let next = redirect::safe(&app.config, Some(&given.next));
    if let Err(refusal) = visitor.examine(&app, &parts.headers, &given.proof) {
        return sign_in::refused(&app, &visitor, &refusal, "", &next);
    }
    let (whom, actor) = (party(&app, &visitor)?, visitor.client.as_anonymous());
    let purpose = Purpose::SignIn(visitor.bound_to());
    let proved = match passkeys::prove_alone(&app, &whom, purpose, &given.passkey, &actor).await {
        Err(ActionError::Passkey(refusal)) => {
            return sign_in::form(&app, &visitor, StatusCode::OK, "", &next, why(refusal));
        }
        other => other?,
    };
    let wish = auth::Wish { is_remembered: given.remember.is_some(), ends: None };
    sign_in::finish(&app, &visitor, &parts.headers, proved, wish, &next).await
}

/// `/confirm/passkey`: proves anew who one is.
pub async fn confirm(State(app): State<App>, request: Request) -> PageResult {
    let (parts, given) = read_form::<PasskeyForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.holder("/confirm")?;
    visitor.check(&app, &parts.headers, &given.proof)?;
    let next = redirect::safe(&app.config, Some(&given.next));
    let (whom, keys) = (party(&app, &visitor)?, confirm::keys(&app, &parts));
    let given = (given.passkey.as_str(), given.password);
    match proofs::confirm_by_passkey(&app, &whom, session, keys, given, &visitor.actor()).await {
        Err(ActionError::NotFound) => Err(PageError::SignedOut(next)),
        Err(ActionError::Passkey(refusal)) => confirm::form(&app, &visitor, session, &next, why(refusal)).await,
        Err(error) => Err(error.into()),
        Ok(started) => {
            let mut response = Redirect::to(&next).into_response();
            auth::keep_session(&app, response.headers_mut(), &started)?;
            Ok(response)
        }
    }
}

/// `/security/passkeys`: adds the passkey that the browser made.
pub async fn add(State(app): State<App>, request: Request) -> PageResult {
    let (parts, given) = read_form::<PasskeyForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.signed_in_at_all(security::PATH)?;
    visitor.check(&app, &parts.headers, &given.proof)?;
    let session = visitor.confirmed_at_all(&app, security::PATH)?;
    let (whom, keys) = (party(&app, &visitor)?, confirm::keys(&app, &parts));
    let new = New { name: &given.name, answer: &given.passkey };
    match passkeys::add(&app, &whom, session, keys, new, &visitor.actor()).await {
        Ok(added) => security::added_page(&app, &visitor, added, true),
        Err(ActionError::Passkey(refusal)) => security::list(&app, &visitor, why(refusal).to_owned()).await,
        Err(error) => security::sorry(&app, &visitor, error).await,
    }
}
