//! `/set-up/{key}`: a single-use link that sets a password: the administrator's at a first start, or
//! that of somebody who lost theirs.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::people::users;
use crate::actions::sign_in::proof::Proved;
use crate::actions::sign_in::refusal_log::Refused;
use crate::auth;
use crate::domain::PlainSecret;
use crate::domain::password;
use crate::ui::error::PageError;
use crate::ui::sign_in::finish;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/set_up.html")]
struct SetUpPage<'a> {
    frame: Frame,
    username: &'a str,
    error: &'a str,
    min_length: usize,
    /// Whether there is a password already.
    is_anew: bool,
    /// Whether a new password ends sessions.
    is_ending: bool,
}

#[derive(Template)]
#[template(path = "pages/set_up_dead.html")]
struct DeadLinkPage {
    frame: Frame,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct SetUpForm {
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

/// The form, while the link is valid. Opening it does not use it up.
pub async fn show(State(app): State<App>, Path(key): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    form(&app, &visitor, &PlainSecret::from_text(key), "").await
}

/// Sets the password and signs in.
pub async fn submit(State(app): State<App>, Path(key): Path<String>, request: Request) -> PageResult {
    let key = PlainSecret::from_text(key);
    let submission = Submission::<SetUpForm>::of_anybody(&app, request).await?;
    let Submission { parts, visitor, form: given, .. } = submission;
    if given.password != given.again {
        return form(&app, &visitor, &key, "The two passwords differ.").await;
    }
    let user = match users::redeem_link(&app, &key, given.password, &visitor.client.as_anonymous()).await {
        Err(ActionError::Rule(rule)) => return form(&app, &visitor, &key, &format!("Sorry: {rule}.")).await,
        Err(ActionError::NotFound) => return Ok(dead(&app, &visitor)),
        other => other?,
    };
    // The link replaces the password, not a second factor.
    finish(&app, &visitor, &parts.headers, Proved::by_password(user), auth::SignInWish::default(), "/sessions").await
}

/// The page about an invalid link: the same for one that was used and one that never existed.
fn dead(app: &App, visitor: &Visitor) -> Response {
    app.refusal_log.refused(Refused::Link, None, &visitor.client.as_anonymous());
    page(StatusCode::NOT_FOUND, &DeadLinkPage { frame: visitor.frame(app, Section::Elsewhere) })
}

async fn form(app: &App, visitor: &Visitor, key: &PlainSecret, error: &str) -> Result<Response, PageError> {
    let user = match users::find_link(app, key).await {
        Err(ActionError::NotFound) => return Ok(dead(app, visitor)),
        found => found?,
    };
    let is_ending = app.config.sessions.end_on_password_change;
    let (frame, is_anew) = (visitor.frame(app, Section::Elsewhere), user.password_hash.is_some());
    let (username, min_length) = (user.username.as_str(), password::MIN_LENGTH);
    let template = SetUpPage { frame, username, error, min_length, is_anew, is_ending };
    let mut response = page(StatusCode::OK, &template);
    visitor.keep(app, response.headers_mut());
    Ok(response)
}
