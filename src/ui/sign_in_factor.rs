//! `/sign-in/factor`: the second step of signing in, for those who have a second factor.

use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use super::error::PageError;
use super::form::Visitor;
use super::sign_in::{read_form, stale};
use super::words::Moment;
use super::{Frame, PageResult, Section, page, sign_in_limit};
use crate::actions::factors::{self, Checked};
use crate::actions::sign_in::Proved;
use crate::actions::{ActionError, sign_in};
use crate::app::App;
use crate::auth::{self, target};
use crate::domain::factor::FactorKind;
use crate::domain::{PlainSecret, Timestamp};

/// How long the step may take.
const LIVES: Duration = Duration::from_secs(15 * 60);

#[derive(Template)]
#[template(path = "pages/sign_in_factor.html")]
struct FactorPage<'a> {
    frame: Frame,
    next: &'a str,
    /// Says that the password was proved; used up by the answer.
    ticket: &'a str,
    is_remembered: bool,
    /// Whether there is an app that shows codes.
    has_app: bool,
    error: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub struct FactorForm {
    #[serde(default)]
    proof: String,
    #[serde(default)]
    next: String,
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    code: String,
    remember: Option<String>,
}

/// What a sign-in under way wishes.
pub(super) struct Asked<'a> {
    pub next: &'a str,
    pub is_remembered: bool,
    pub error: String,
}

/// Asks someone whose password was proved.
pub(super) async fn ask(app: &App, visitor: &Visitor, proved: &Proved, asked: Asked<'_>) -> PageResult {
    let ticket = sign_in::remember_proof(app, proved.user.id, proved.methods, LIVES).await?;
    let known = app.store.read().list_factors(proved.user.id).await?;
    let has_app = known.iter().any(|factor| factor.is_confirmed && factor.kind == FactorKind::Totp);
    let Asked { next, is_remembered, error } = asked;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = visitor.frame(app, Section::Elsewhere);
    let mut response = page(status, &FactorPage { frame, next, ticket: ticket.expose(), is_remembered, has_app, error });
    visitor.keep(app, response.headers_mut());
    Ok(response)
}

/// Checks the code and signs in.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let (parts, form) = read_form::<FactorForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.check(&app, &parts.headers, &form.proof)?;
    let next = target::safe(&app.config, Some(&form.next));
    let is_remembered = form.remember.is_some();
    let Some(mut proved) = sign_in::take_proof(&app, &PlainSecret::from_text(form.ticket)).await? else {
        return Ok(stale(&app, &visitor, &next));
    };
    match factors::check_code(&app, &proved.user, &form.code, &visitor.client.as_anonymous()).await? {
        Checked::Right(methods) => proved.methods = proved.methods.and(methods),
        other => {
            let error = refusal(other, app.clock.now());
            return ask(&app, &visitor, &proved, Asked { next: &next, is_remembered, error }).await;
        }
    }
    let (id, methods) = (proved.user.id, proved.methods);
    let wish = auth::Wish { is_remembered, ends: None };
    match auth::begin_session(&app, &parts.headers, &visitor.client, proved, wish).await {
        Err(ActionError::ChooseEnd) => sign_in_limit::ask(&app, &visitor, id, methods, &next, is_remembered).await,
        Err(error) => Err(PageError::from(error)),
        Ok(started) => {
            let mut response = Redirect::to(&next).into_response();
            auth::keep_session(&app, response.headers_mut(), &started)?;
            Ok(response)
        }
    }
}

/// What is said of a code that was not taken.
pub(super) fn refusal(checked: Checked, now: Timestamp) -> String {
    match checked {
        Checked::Right(_) => String::new(),
        Checked::Wrong => "That code is wrong, or was used before. An app shows a new one every half minute.".into(),
        Checked::Blocked(until) => format!("Too many wrong codes. The next one is looked at {}.", Moment::new(until, now).words()),
    }
}
