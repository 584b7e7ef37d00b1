//! Whether the server lives, and whether it can serve.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::actions::app::App;
use crate::actions::clock;
use crate::api::error::{ApiError, json_response};
use crate::http::query::Query;

/// 204 as long as the process answers.
pub async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// 204 while the database answers, else 503. With `?detail` 200 and what else is worth knowing: `clock`, `"believed"` or
/// how far it is off.
pub async fn ready(State(app): State<App>, uri: Uri) -> Response {
    let is_detailed = Query::parse(uri.query().unwrap_or_default()).last("detail").is_some();
    // Before the database is asked: proxies must send new clients elsewhere.
    if app.is_stopping.load(std::sync::atomic::Ordering::Relaxed) {
        return ApiError::Unavailable.into_response();
    }
    match app.store.ping().await {
        Ok(()) if is_detailed => {
            let clock = clock::doubt(&app).map_or_else(|| "believed".to_owned(), |doubt| doubt.to_string());
            json_response(StatusCode::OK, &json!({ "database": "answers", "clock": clock }))
        }
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            ApiError::Unavailable.into_response()
        }
    }
}
