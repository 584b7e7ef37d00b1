//! `/password`: sets the user's own password. It needs a re-authentication with the old one.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::confirm;
use crate::auth;
use crate::domain::password;
use crate::store::sessions::rows::LiveSession;
use crate::ui::error::PageError;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/password";

#[derive(Template)]
#[template(path = "pages/password.html")]
struct PasswordPage<'a> {
    frame: Frame,
    username: &'a str,
    error: &'a str,
    min_length: usize,
    /// Whether all other sessions end.
    is_ending: bool,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct PasswordForm {
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

/// `/.well-known/change-password`: where programs that keep passwords look for the form (W3C, "A Well-Known URL for
/// Changing Passwords").
pub async fn lead() -> Redirect {
    Redirect::to(PATH)
}

/// The form.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.confirmed(&app, PATH)?;
    Ok(form(&app, &visitor, session, StatusCode::OK, ""))
}

/// Sets the password. All other sessions end, unless `sessions.end_on_password_change` is off, and
/// this one gets a new key.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<PasswordForm>::confirmed(&app, request, PATH).await?;
    let keys = submission.keys(&app);
    let Submission { visitor, form: given, .. } = submission;
    let session = visitor.signed_in(PATH)?;
    if given.password != given.again {
        return Ok(form(&app, &visitor, session, StatusCode::UNPROCESSABLE_ENTITY, "The two passwords differ."));
    }
    let changed = confirm::change_password(&app, session, keys, given.password, &visitor.actor()).await;
    match changed {
        Err(ActionError::Rule(rule)) => {
            Ok(form(&app, &visitor, session, StatusCode::UNPROCESSABLE_ENTITY, &format!("Sorry: {rule}.")))
        }
        Err(ActionError::NotFound) => Err(PageError::SignedOut(PATH.to_owned())),
        Err(error) => Err(error.into()),
        Ok(started) => {
            let mut response = Redirect::to("/sessions").into_response();
            auth::keep_session(&app, response.headers_mut(), &started)?;
            Ok(response)
        }
    }
}

fn form(app: &App, visitor: &Visitor, session: &LiveSession, status: StatusCode, error: &str) -> Response {
    let frame = visitor.frame(app, Section::Elsewhere);
    let is_ending = app.config.sessions.end_on_password_change;
    page(status, &PasswordPage { frame, username: &session.username, error, min_length: password::MIN_LENGTH, is_ending })
}
