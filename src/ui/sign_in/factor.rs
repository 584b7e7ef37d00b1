//! `/sign-in/factor`: the second step of signing in, for those who have a second factor.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::factors;
use crate::actions::sign_in::factors::Checked;
use crate::actions::sign_in::passkeys::challenge::Purpose;
use crate::actions::sign_in::passkeys::prove_by;
use crate::actions::sign_in::proof;
use crate::actions::sign_in::proof::Proved;
use crate::auth;
use crate::auth::{known_device, redirect};
use crate::domain::factor::FactorKind;
use crate::domain::{Methods, PlainSecret};
use crate::ui::error::PageError;
use crate::ui::passkey;
use crate::ui::sign_in::{finish, refused, stale};
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::code_refusal;
use crate::ui::{Frame, PageResult, Section, assets, page};

#[derive(Template)]
#[template(path = "pages/sign_in_factor.html")]
struct FactorPage<'a> {
    frame: Frame,
    next: &'a str,
    /// The key of the proof of the password; used up by the answer.
    ticket: &'a str,
    is_remembered: bool,
    /// Whether there is an app that shows codes.
    has_app: bool,
    /// The form for a passkey, if they have one.
    ask: Option<passkey::Ask>,
    passkeys_js: &'static str,
    error: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct FactorForm {
    #[serde(default)]
    next: String,
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    code: String,
    /// What a passkey answered, instead of a code.
    #[serde(default)]
    passkey: String,
    remember: Option<String>,
}

/// The options of a pending sign-in.
pub(in crate::ui) struct Asked<'a> {
    pub next: &'a str,
    pub is_remembered: bool,
    pub error: String,
}

/// Asks a user whose password was proved.
pub(in crate::ui) async fn ask(app: &App, visitor: &Visitor, proved: &Proved, asked: Asked<'_>) -> PageResult {
    let ticket = proof::remember(app, proved).await?;
    let known = app.store.read().list_factors(proved.user.id).await?;
    let has_app = known.iter().any(|factor| factor.is_confirmed && factor.kind == FactorKind::Totp);
    let Asked { next, is_remembered, error } = asked;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = visitor.frame(app, Section::Elsewhere);
    let (ticket, passkeys_js) = (ticket.expose(), assets::passkeys_js());
    let ask = passkey::ask_for(app, visitor, proved.user.id, Purpose::Factor(ticket), "/sign-in/factor").await?;
    let shown = FactorPage { frame, next, ticket, is_remembered, has_app, ask, passkeys_js, error };
    let mut response = page(status, &shown);
    visitor.keep(app, response.headers_mut());
    Ok(response)
}

/// Checks the code and signs in.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<FactorForm>::read(&app, request).await?;
    let next = redirect::safe(&app.config, Some(&submission.form.next));
    if let Err(refusal) = submission.examine(&app) {
        return refused(&app, &submission.visitor, &refusal, "", &next).await;
    }
    let Submission { parts, visitor, form, .. } = submission;
    let is_remembered = form.remember.is_some();
    let ticket = PlainSecret::from_text(form.ticket.as_str());
    let Some(mut proved) = proof::take(&app, &ticket).await? else {
        return stale(&app, &visitor, &next).await;
    };
    match check(&app, &visitor, &parts.headers, &proved, &ticket, &form).await? {
        Ok(methods) => proved.methods = proved.methods.and(methods),
        Err(error) => {
            return ask(&app, &visitor, &proved, Asked { next: &next, is_remembered, error }).await;
        }
    }
    finish(&app, &visitor, &parts.headers, proved, auth::SignInWish { is_remembered, ends: None }, &next).await
}

/// Checks the passkey or the code, and returns what it proved, or the message about it.
async fn check(
    app: &App,
    visitor: &Visitor,
    headers: &HeaderMap,
    proved: &Proved,
    ticket: &PlainSecret,
    form: &FactorForm,
) -> Result<Result<Methods, String>, PageError> {
    let actor = visitor.client.as_anonymous();
    if form.passkey.is_empty() {
        let device = known_device::secret(&app.config, headers);
        return Ok(match factors::check_code(app, &proved.user, &form.code, device, &actor).await? {
            Checked::Right(methods) => Ok(methods),
            other => Err(code_refusal(other, app.clock.now())),
        });
    }
    let (party, purpose) = (passkey::party(app, visitor)?, Purpose::Factor(ticket.expose()));
    match prove_by(app, &party, proved.user.id, purpose, &form.passkey, &actor).await {
        Ok(by_passkey) => Ok(Ok(by_passkey.methods)),
        Err(ActionError::Passkey(refusal)) => Ok(Err(passkey::why(refusal).to_owned())),
        Err(error) => Err(error.into()),
    }
}
