//! Forms that ask the browser for a passkey. `static/passkeys.js` asks for it and sends the answer.

use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::sign_in::passkeys;
use crate::actions::sign_in::passkeys::challenge::Purpose;
use crate::auth::relying_party;
use crate::domain::UserId;
use crate::domain::webauthn::{Refusal, RelyingParty};
use crate::store::sessions::rows::LiveSession;
use crate::ui::error::PageError;
use crate::ui::visitor::Visitor;

/// A form that asks for a passkey.
pub(in crate::ui) struct Ask {
    /// The address that the answer is sent to.
    pub(in crate::ui) action: String,
    /// `get` or `create`.
    pub(in crate::ui) kind: &'static str,
    /// The options for the browser, as JSON.
    pub(in crate::ui) options: String,
    /// What its button says.
    pub(in crate::ui) label: &'static str,
    /// Whether the browser offers passkeys in the field of the name.
    pub(in crate::ui) is_offered: bool,
}

/// What a form with a passkey sends.
#[derive(Deserialize)]
pub(in crate::ui) struct PasskeyForm {
    /// What the passkey answered, as JSON.
    #[serde(default)]
    pub passkey: String,
    #[serde(default)]
    pub next: String,
    /// A sealed form that is done after the proof.
    #[serde(default)]
    pub sealed: String,
    /// The password, for a passkey whose authenticator does not verify the user.
    #[serde(default)]
    pub password: String,
    /// The name of a new one.
    #[serde(default)]
    pub name: String,
    pub remember: Option<String>,
}

/// The form for a sign-in by passkey; `None` when browsers have none for this address.
pub(in crate::ui) fn ask_alone(app: &App, visitor: &Visitor) -> Result<Option<Ask>, PageError> {
    let Some(party) = relying_party::of(app, &visitor.client) else { return Ok(None) };
    let options = passkeys::options_alone(app, &party, Purpose::SignIn(visitor.bound_to()))?.to_string();
    let action = "/sign-in/passkey".to_owned();
    Ok(Some(Ask { action, kind: "get", options, label: "Sign in with a passkey", is_offered: true }))
}

/// Asks for one of a user's passkeys; `None` when they have none, or browsers have none for this address.
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

/// The form for a re-authentication by passkey.
pub(in crate::ui) async fn ask_to_confirm(app: &App, visitor: &Visitor, session: &LiveSession) -> Result<Option<Ask>, PageError> {
    let bound_to = session.uuid.to_string();
    ask_for(app, visitor, session.user_id, Purpose::Confirm(&bound_to), "/confirm/passkey").await
}

/// The form for a new passkey; `None` when browsers make none for this address.
pub(in crate::ui) async fn ask_for_new(app: &App, visitor: &Visitor, session: &LiveSession) -> Result<Option<Ask>, PageError> {
    let Some(party) = relying_party::of(app, &visitor.client) else { return Ok(None) };
    let bound_to = session.uuid.to_string();
    let options = passkeys::creation_options(app, &party, session, Purpose::Add(&bound_to)).await?.to_string();
    let action = "/security/passkeys".to_owned();
    Ok(Some(Ask { action, kind: "create", options, label: "Add a passkey", is_offered: false }))
}

/// Why a passkey was refused.
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

/// The relying party that passkeys are made for.
pub(in crate::ui) fn party(app: &App, visitor: &Visitor) -> Result<RelyingParty, PageError> {
    relying_party::of(app, &visitor.client).ok_or(PageError::NotFound)
}
