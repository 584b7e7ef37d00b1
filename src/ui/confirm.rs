//! `/confirm`: the password once more, before what needs a fresh proof; then on to where it was needed.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::error::PageError;
use super::form::Visitor;
use super::sign_in::read_form;
use super::{Frame, PageResult, Section, page};
use crate::actions::{ActionError, confirm};
use crate::app::App;
use crate::auth::{self, target};
use crate::domain::{HashedSecret, PlainSecret};
use crate::http::query::Query;
use crate::store::sessions::LiveSession;

const PATH: &str = "/confirm";

#[derive(Template)]
#[template(path = "pages/confirm.html")]
struct ConfirmPage<'a> {
    frame: Frame,
    username: &'a str,
    next: &'a str,
    error: &'a str,
    /// The session is used from elsewhere than it was proved.
    is_moved: bool,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct ConfirmForm {
    #[serde(default)]
    proof: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// The form. Whoever proved who they are a short while ago goes on at once.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.holder(PATH)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let next = target::safe(&app.config, query.last("next"));
    if visitor.unproved.is_none() && confirm::is_fresh(&app, session) {
        return Ok(Redirect::to(&next).into_response());
    }
    Ok(form(&app, &visitor, session, &next, ""))
}

/// Checks the password and gives the session a new key.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let (parts, given) = read_form::<ConfirmForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.holder(PATH)?;
    visitor.check(&app, &parts.headers, &given.proof)?;
    let next = target::safe(&app.config, Some(&given.next));
    let confirmed = confirm::confirm(&app, session, keys(&app, &parts), given.password, &visitor.actor()).await;
    match confirmed {
        Err(ActionError::NotFound) => Err(PageError::SignedOut(next)),
        Err(error) => Err(error.into()),
        Ok(None) => Ok(form(&app, &visitor, session, &next, "That is not your password.")),
        Ok(Some(started)) => {
            let mut response = Redirect::to(&next).into_response();
            auth::keep_session(&app, response.headers_mut(), &started)?;
            Ok(response)
        }
    }
}

/// What the keys that a request came with hash to.
pub(super) fn keys(app: &App, parts: &Parts) -> Vec<HashedSecret> {
    auth::session_keys(app, &parts.headers).iter().map(PlainSecret::hash).collect()
}

fn form(app: &App, visitor: &Visitor, session: &LiveSession, next: &str, error: &str) -> Response {
    let frame = visitor.frame(app, Section::Elsewhere);
    let is_moved = visitor.unproved.is_some();
    page(StatusCode::OK, &ConfirmPage { frame, username: &session.username, next, error, is_moved })
}
