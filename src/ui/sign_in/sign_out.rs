//! `/sign-out`.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::app::App;
use crate::auth;
use crate::auth::onward::Onward;
use crate::http::page::on_the_way;
use crate::http::query::Query;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/sign_out.html")]
struct SignOutPage {
    frame: Frame,
    /// Where an app that asked goes on, sealed, or `""`.
    then: String,
    /// How many apps the session has open.
    apps: i64,
}

/// What the form sends.
#[derive(Deserialize)]
pub(in crate::ui) struct SignOutForm {
    #[serde(default)]
    then: String,
}

/// Asks first: a link alone signs nobody out.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let Ok(session) = visitor.holder("/sign-out") else { return Ok(Redirect::to("/sign-in").into_response()) };
    let apps = app.store.read().count_app_sessions_of(&[session.uuid]).await?.get(&session.uuid).copied().unwrap_or(0);
    let then = Query::parse(parts.uri.query().unwrap_or_default()).last("then").unwrap_or_default().to_owned();
    let frame = visitor.frame(&app, Section::Elsewhere);
    Ok(page(StatusCode::OK, &SignOutPage { frame, then, apps }))
}

/// Signs out.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<SignOutForm>::read(&app, request).await?;
    let is_held = submission.visitor.holder("/sign-out").is_ok();
    if is_held {
        submission.check(&app)?;
    }
    let Submission { parts, visitor, form, .. } = submission;
    let mut response = match Onward::open(&app, &form.then).filter(|_| is_held) {
        // Browsers refuse a redirect to another host after a form.
        Some(onward) => on_the_way("You are signed out", &onward.address()),
        None => Redirect::to("/sign-in").into_response(),
    };
    if is_held {
        auth::sign_out(&app, &parts.headers, &visitor.client, response.headers_mut()).await?;
    } else {
        auth::forget_session(&app, &parts.headers, response.headers_mut(), false);
    }
    Ok(response)
}
