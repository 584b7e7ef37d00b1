//! `/sign-out`.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::sessions::end;
use crate::auth;
use crate::ui::sign_in::read_form;
use crate::ui::submission::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/sign_out.html")]
struct SignOutPage {
    frame: Frame,
}

/// A form with nothing but its proof.
#[derive(Deserialize)]
pub struct ProofForm {
    /// The proof that the form was ours.
    #[serde(default)]
    pub proof: String,
}

/// Asks: a link alone signs nobody out.
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
    let (parts, form) = read_form::<ProofForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    if visitor.holder("/sign-out").is_ok() {
        visitor.check(&app, &parts.headers, &form.proof)?;
        for key in auth::session_keys(&app, &parts.headers) {
            end::sign_out(&app, &key, &visitor.client.as_anonymous()).await?;
        }
    }
    let mut response = Redirect::to("/sign-in").into_response();
    auth::forget_session(&app, response.headers_mut());
    Ok(response)
}
