//! Server-rendered pages, one file a page. They work without JavaScript.
#![expect(clippy::missing_errors_doc, reason = "a page that fails is a page that says so")]

pub mod assets;
pub mod error;
mod form;
pub mod sessions;
pub mod set_up;
pub mod sign_in;
pub mod sign_out;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use error::PageError;

/// `/`: one's own sessions.
pub async fn home() -> Redirect {
    Redirect::to("/sessions")
}

/// A page, rendered.
fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What every page shows around its content.
struct Frame {
    /// Who is signed in, for the bar at the top.
    username: Option<String>,
    /// The style sheet's address, with its hash.
    css: &'static str,
    /// The proof for this page's forms.
    proof: String,
}

impl Frame {
    /// Around a page for nobody in particular, without forms.
    fn bare() -> Self {
        Self { username: None, css: assets::css(), proof: String::new() }
    }
}

type PageResult = Result<Response, PageError>;
