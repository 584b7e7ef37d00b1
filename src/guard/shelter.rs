//! What surrounds every answer of the guard: it comes in time, or is 503; a panic is 503, too; and no more are under way
//! than the process can serve. In doubt nobody is let in.

use std::panic::AssertUnwindSafe;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::actions::app::App;
use crate::http::headers::OnAppHost;
use crate::http::log_limit::LogLimit;
use crate::store::StoreError;

/// Runs what makes an answer. The most answers under way are [`crate::actions::app::MOST_CHECKS`]; more are 503 at once.
pub async fn shelter(app: &App, answer: impl Future<Output = Result<Response, StoreError>>) -> Response {
    let Ok(_place) = app.checks.try_acquire() else { return unavailable("too many checks are under way") };
    let caught = AssertUnwindSafe(answer).catch_unwind();
    let mut response = match tokio::time::timeout(app.config.guard.time_limit, caught).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(error))) => unavailable(&error.to_string()),
        Ok(Err(_)) => unavailable("a check panicked"),
        Err(_) => unavailable("a check took longer than guard.time_limit"),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(OnAppHost);
    response
}

/// 503: the request cannot be judged.
pub(in crate::guard) fn unavailable(why: &str) -> Response {
    static LINES: LogLimit = LogLimit::ten_a_minute();
    if let Some(held_back) = LINES.admit() {
        tracing::warn!(why, held_back, "a request to a guarded host could not be judged");
    }
    let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(OnAppHost);
    response
}
