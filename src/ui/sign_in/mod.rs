//! `/sign-in`.

pub mod choose;
pub mod confirm;
pub mod consent;
pub mod device;
pub mod factor;
pub mod passkeys;
pub mod set_up;
pub mod sign_out;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::sign_in::Proved;
use crate::actions::{ActionError, sign_in};
use crate::auth;
use crate::auth::{known_device, redirect};
use crate::domain::user::MAX_EMAIL_LENGTH;
use crate::http::query::Query;
use crate::ui::passkey;
use crate::ui::refusal::Refusal;
use crate::ui::sign_in::factor::Asked;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, assets, page};

/// Shown when the user's credentials changed during a sign-in.
const OUTDATED: &str = "Your password or your second factors changed during the sign-in. Please sign in again.";

#[derive(Template)]
#[template(path = "pages/sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    /// The name that was given before.
    uid: &'a str,
    next: &'a str,
    error: &'a str,
    is_remember_offered: bool,
    /// Whether their session ended, since it was used from another network or place.
    is_moved: bool,
    /// Whether they sent a form after their session had ended.
    is_form_lost: bool,
    /// For those who cannot sign in (`sign_in.help`).
    help: &'a str,
    ask: Option<passkey::Ask>,
    passkeys_js: &'static str,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct SignInForm {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
    remember: Option<String>,
}

/// The form. A browser that is signed in goes on to `next`.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let next = redirect::safe(&app.config, query.last("next"));
    if visitor.session.is_some() {
        return Ok(Redirect::to(&next).into_response());
    }
    let is_moved = visitor.is_moved || query.last("ended") == Some("moved");
    let is_form_lost = query.last("ended") == Some("form");
    // An app may know the name.
    let uid: String = query.last("uid").unwrap_or_default().chars().take(MAX_EMAIL_LENGTH).collect();
    filled_form(&app, &visitor, StatusCode::OK, Fill { uid: &uid, next: &next, is_moved, is_form_lost, ..Fill::default() }).await
}

/// Signs in.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<SignInForm>::read(&app, request).await?;
    let next = redirect::safe(&app.config, Some(&submission.form.next));
    if let Err(refusal) = submission.examine(&app) {
        return refused(&app, &submission.visitor, &refusal, &submission.form.uid, &next).await;
    }
    let Submission { parts, visitor, form: form_data, .. } = submission;
    let uid: String = form_data.uid.chars().take(MAX_EMAIL_LENGTH).collect();
    if uid.trim().is_empty() || form_data.password.is_empty() {
        return form(&app, &visitor, StatusCode::OK, &uid, &next, "Enter your username and your password.").await;
    }
    let (device, actor) = (known_device::secret(&app.config, &parts.headers), visitor.client.as_anonymous());
    let Some((user, guess)) = sign_in::prove_password(&app, &uid, form_data.password, device, &actor).await? else {
        return form(&app, &visitor, StatusCode::OK, &uid, &next, "Username or password is wrong.").await;
    };
    let wish = auth::SignInWish { is_remembered: form_data.remember.is_some(), ends: None };
    guess.give_back_concurrently(&app, finish(&app, &visitor, &parts.headers, Proved::by_password(user), wish, &next)).await
}

/// Starts the session of a user who proved who they are, or asks for what is missing: a second
/// factor, or the session to end. All sign-ins by the pages end here.
pub(in crate::ui) async fn finish(
    app: &App,
    visitor: &Visitor,
    headers: &HeaderMap,
    proved: Proved,
    wish: auth::SignInWish,
    next: &str,
) -> PageResult {
    let is_remembered = wish.is_remembered;
    match auth::begin_session(app, headers, &visitor.client, proved.clone(), wish).await {
        Err(ActionError::FactorNeeded) => {
            let asked = Asked { next, is_remembered, error: String::new() };
            factor::ask(app, visitor, &proved, asked).await
        }
        Err(ActionError::ProofOutdated) => form(app, visitor, StatusCode::FORBIDDEN, "", next, OUTDATED).await,
        Err(ActionError::ChooseEnd) => choose::ask(app, visitor, &proved, next, is_remembered).await,
        Err(error) => Err(error.into()),
        Ok(started) => {
            let mut response = Redirect::to(next).into_response();
            auth::keep_session(app, response.headers_mut(), &started)?;
            Ok(response)
        }
    }
}

/// The answer to a form of a sign-in that was refused: the form again, since a mere refusal would
/// not help. A browser that has signed in since, in another tab, continues to `next`.
pub(in crate::ui) async fn refused(app: &App, visitor: &Visitor, refusal: &Refusal, uid: &str, next: &str) -> PageResult {
    if visitor.session.is_some() && *refusal == Refusal::TooOld {
        return Ok(Redirect::to(next).into_response());
    }
    form(app, visitor, StatusCode::FORBIDDEN, uid, next, refusal.text()).await
}

/// The form again, for an answer that came too late.
pub(in crate::ui) async fn stale(app: &App, visitor: &Visitor, next: &str) -> PageResult {
    form(app, visitor, StatusCode::FORBIDDEN, "", next, "This took too long. Please sign in again.").await
}

/// What the form is shown with.
#[derive(Clone, Copy, Default)]
struct Fill<'a> {
    uid: &'a str,
    next: &'a str,
    error: &'a str,
    is_moved: bool,
    is_form_lost: bool,
}

pub(in crate::ui) async fn form(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    uid: &str,
    next: &str,
    error: &str,
) -> PageResult {
    filled_form(app, visitor, status, Fill { uid, next, error, ..Fill::default() }).await
}

async fn filled_form(app: &App, visitor: &Visitor, status: StatusCode, fill: Fill<'_>) -> PageResult {
    let Fill { uid, next, error, is_moved, is_form_lost } = fill;
    let frame = visitor.frame(app, Section::Elsewhere);
    let stored = app.store.read().find_stored_limits().await.unwrap_or_default();
    let is_remember_offered = !app.config.sessions_with(&stored).remember_timeout.is_zero();
    let sign_in = app.sign_in.load_full();
    let help = sign_in.help.as_str();
    let (ask, passkeys_js) = (passkey::ask_alone(app, visitor)?, assets::passkeys_js());
    let shown = SignInPage { frame, uid, next, error, is_remember_offered, is_moved, is_form_lost, help, ask, passkeys_js };
    let mut response = page(status, &shown);
    visitor.keep(app, response.headers_mut());
    Ok(response)
}
