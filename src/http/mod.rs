//! What every request passes before its handler, and every answer after it, in the order of
//! [`layers`].

pub mod client;
mod compress;
mod headers;
mod log;
mod path;
pub mod query;
pub mod serve;
pub mod streams;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;

/// The largest request body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Wraps the routes. A request passes from the last line to the first.
pub fn layers(router: Router<App>, app: &App) -> Router<App> {
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| crate::api::error::ApiError::Internal.into_response()))
        .layer(from_fn_with_state(app.clone(), crate::ui::error::dress))
        .layer(from_fn(headers::add))
        .layer(from_fn(compress::answer))
        .layer(from_fn(log::access))
        .layer(from_fn_with_state(app.clone(), client::identify))
}
