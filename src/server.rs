//! The server: the routes, the layers around them, and what answers where there is no route. The one
//! file that knows all faces.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::actions::app::App;
use crate::api;
use crate::api::error::ApiError;
use crate::http::{self, client, compress, headers, log};
use crate::routes::routes;
use crate::ui;
use crate::ui::error::PageError;

/// All routes with all layers.
pub fn router(app: &App) -> Router {
    let router = routes().router.fallback(unknown).method_not_allowed_fallback(method_not_allowed);
    layers(router, app).with_state(app.clone())
}

/// Wraps routes. A request passes the layers from the last to the first.
pub fn layers(router: Router<App>, app: &App) -> Router<App> {
    router
        .layer(DefaultBodyLimit::max(http::MAX_BODY))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| ApiError::Internal.into_response()))
        .layer(from_fn_with_state(app.clone(), ui::error::dress))
        .layer(from_fn(headers::add))
        .layer(from_fn(compress::answer))
        .layer(from_fn(log::access))
        .layer(from_fn_with_state(app.clone(), client::identify))
}

/// Serves on the listener until `stop` is done, then lets running requests finish.
pub async fn run(listener: TcpListener, app: &App, stop: impl Future<Output = ()>) {
    serve(listener, router(app), stop).await;
}

/// Serves a router on the listener until `stop` is done, with the transport's bounds on time and size.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    http::serve::run(listener, router, api::path::normalize, || ApiError::Timeout.into_response(), stop).await;
}

/// No such address: answered in the form that its caller reads.
async fn unknown(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return ApiError::NotFound.into_response();
    }
    PageError::NotFound.into_response()
}

/// No such method at this address. The router adds the allowed ones.
async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return ApiError::MethodNotAllowed(method.to_string()).into_response();
    }
    PageError::MethodNotAllowed.into_response()
}
