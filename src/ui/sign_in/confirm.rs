//! `/confirm`: the password once more, before what needs a fresh proof; then on to where it was needed.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::confirm::{Again, Confirmation};
use crate::actions::sign_in::factors::Checked;
use crate::actions::sign_in::{confirm, factors};
use crate::auth;
use crate::auth::redirect;
use crate::domain::{HashedSecret, PlainSecret};
use crate::http::query::Query;
use crate::store::sessions::rows::LiveSession;
use crate::ui::error::PageError;
use crate::ui::sign_in::factor::refusal;
use crate::ui::sign_in::passkeys;
use crate::ui::sign_in::read_form;
use crate::ui::submission::Visitor;
use crate::ui::{Frame, PageResult, Section, assets, page};

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
    /// Whether they have a second factor, which they prove, too.
    has_factor: bool,
    ask: Option<passkeys::Ask>,
    passkeys_js: &'static str,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct ConfirmForm {
    #[serde(default)]
    proof: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

/// The form. Whoever proved who they are a short while ago goes on at once.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.holder(PATH)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let next = redirect::safe(&app.config, query.last("next"));
    // Whoever still has to add a second factor has none to prove, and goes on to where it is added.
    let must_prove = factors::is_missing(&app, session) && app.store.read().has_factor(session.user_id).await?;
    if visitor.unproved.is_none() && confirm::is_fresh(&app, session) && !must_prove {
        return Ok(Redirect::to(&next).into_response());
    }
    form(&app, &visitor, session, &next, "").await
}

/// Checks the password and gives the session a new key.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let (parts, given) = read_form::<ConfirmForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.holder(PATH)?;
    visitor.check(&app, &parts.headers, &given.proof)?;
    let next = redirect::safe(&app.config, Some(&given.next));
    let again = Again { password: given.password, code: given.code };
    let confirmed = confirm::confirm(&app, session, keys(&app, &parts), again, &visitor.actor()).await;
    match confirmed {
        Err(ActionError::NotFound) => Err(PageError::SignedOut(next)),
        Err(error) => Err(error.into()),
        Ok(Confirmation::Wrong) if app.store.read().has_factor(session.user_id).await? => {
            form(&app, &visitor, session, &next, "Your password or the code is wrong, or the code was used before.").await
        }
        Ok(Confirmation::Wrong) => form(&app, &visitor, session, &next, "That is not your password.").await,
        Ok(Confirmation::Blocked(until)) => {
            let error = refusal(Checked::Blocked(until), app.clock.now());
            form(&app, &visitor, session, &next, &error).await
        }
        Ok(Confirmation::Right(started)) => {
            let mut response = Redirect::to(&next).into_response();
            auth::keep_session(&app, response.headers_mut(), &started)?;
            Ok(response)
        }
    }
}

/// What the keys that a request came with hash to.
pub(in crate::ui) fn keys(app: &App, parts: &Parts) -> Vec<HashedSecret> {
    auth::session_keys(app, &parts.headers).iter().map(PlainSecret::hash).collect()
}

pub(in crate::ui) async fn form(app: &App, visitor: &Visitor, session: &LiveSession, next: &str, error: &str) -> PageResult {
    let has_factor = app.store.read().has_factor(session.user_id).await?;
    let frame = visitor.frame(app, Section::Elsewhere);
    let is_moved = visitor.unproved.is_some();
    let (ask, passkeys_js) = (passkeys::ask_to_confirm(app, visitor, session).await?, assets::passkeys_js());
    let username = &session.username;
    Ok(page(StatusCode::OK, &ConfirmPage { frame, username, next, error, is_moved, has_factor, ask, passkeys_js }))
}
