//! Whether the server lives, and whether it can serve.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::actions::app::App;
use crate::api::error::ApiError;

/// 204 as long as the process answers.
pub async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// 204 while the database answers, else 503.
pub async fn ready(State(app): State<App>) -> Response {
    match app.store.ping().await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            ApiError::Unavailable.into_response()
        }
    }
}
