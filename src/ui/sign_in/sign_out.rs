//! `/sign-out`.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use crate::actions::app::App;
use crate::auth;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/sign_out.html")]
struct SignOutPage {
    frame: Frame,
}

/// Asks first: a link alone signs nobody out.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    if visitor.holder("/sign-out").is_err() {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let frame = visitor.frame(&app, Section::Elsewhere);
    Ok(page(StatusCode::OK, &SignOutPage { frame }))
}

/// Signs out.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<NoFields>::read(&app, request).await?;
    let is_held = submission.visitor.holder("/sign-out").is_ok();
    if is_held {
        submission.check(&app)?;
    }
    let Submission { parts, visitor, .. } = submission;
    let mut response = Redirect::to("/sign-in").into_response();
    if is_held {
        auth::sign_out(&app, &parts.headers, &visitor.client, response.headers_mut()).await?;
    } else {
        auth::forget_session(&app, &parts.headers, response.headers_mut(), false);
    }
    Ok(response)
}
