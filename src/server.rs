//! The server: the routes, the layers around them, and the answers where there is no route. It
//! knows pages, API and transport; of all other files only `routes.rs` knows both pages and API.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tracing::Instrument;

use crate::actions::app::App;
use crate::api;
use crate::api::empty::EmptyList;
use crate::api::error::ApiError;
use crate::guard;
use crate::http::client::ClientInfo;
use crate::http::listener::Listener;
use crate::http::serve::{Bounds, Hooks, descriptors};
use crate::http::{self, client, compress, headers, log};
use crate::routes::routes;
use crate::ui;
use crate::ui::error::PageError;

/// All routes with all layers.
pub fn router(app: &App) -> Router {
    let router = routes().router.fallback(unknown).method_not_allowed_fallback(method_not_allowed);
    layers(router, app).with_state(app.clone())
}

/// Wraps routes. All that surrounds a handler is one layer: each layer costs every request a copy of all within it.
pub fn layers(router: Router<App>, app: &App) -> Router<App> {
    let all = router.clone().with_state(app.clone());
    router.layer(from_fn_with_state((app.clone(), all), around))
}

/// Transport around a request: who sent it, the log, compression, headers.
async fn around(State((app, routes)): State<(App, Router)>, mut request: Request, next: Next) -> Response {
    let id = client::identify(&app, &mut request);
    let is_https = request.extensions().get::<ClientInfo>().is_some_and(|client| client.is_https);
    let entry = log::Entry::begin(&request);
    let wish = compress::Wish::of(request.headers());
    let mut response = answer(&app, routes, request, next).instrument(entry.span.clone()).await;
    headers::add(&app, is_https, &mut response);
    let mut response = compress::answer(wish, response, internal).await;
    entry.end(&response);
    if let Some(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// The handler's answer, and what pages make of it. A layer wraps one route; a form that is done after its proof goes to
/// another one of `routes`.
async fn answer(app: &App, routes: Router, mut request: Request, next: Next) -> Response {
    if let Some(refused) = guard::misdirected(app, request.uri().path(), request.headers()).await {
        return refused;
    }
    DefaultBodyLimit::max(http::MAX_BODY).apply(&mut request);
    let (request, keeps_opener) = match ui::popup::look(app, request).await {
        Ok(looked) => looked,
        Err(status) => return status.into_response(),
    };
    let (request, asked) = ui::error::page_asked(request);
    let mut response = http::caught(next.run(request), internal).await;
    if keeps_opener {
        ui::popup::keep(&mut response);
    }
    let Some(asked) = asked else { return response };
    let response = Box::pin(ui::resume::carry(app, routes, &asked, response)).await;
    Box::pin(ui::error::dress(app, asked, response)).await
}

/// Serves on the listeners until `stop` is done, then lets running requests finish.
pub async fn run(listeners: Vec<Listener>, app: &App, stop: impl Future<Output = ()>) {
    http::serve::run(listeners, router(app), bounds(app), HOOKS, stop).await;
}

/// The bounds on connections that the settings name, as far as the process may open files.
#[must_use]
pub fn bounds(app: &App) -> Bounds {
    let http = &app.config.http;
    let bounds = Bounds {
        in_all: http.max_connections,
        per_address: http.max_connections_per_address,
        trusted: app.trusted_proxies.shared(),
    };
    bounds.within(descriptors())
}

/// Serves a router on a socket until `stop` is done, with the transport's bounds on time and size, and
/// with its default bounds on connections.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    serve_within(listener, router, Bounds::default(), stop).await;
}

/// The same with these bounds on connections.
pub async fn serve_within(listener: TcpListener, router: Router, bounds: Bounds, stop: impl Future<Output = ()>) {
    match Listener::plain(listener) {
        Ok(listener) => http::serve::run(vec![listener], router, bounds, HOOKS, stop).await,
        Err(error) => tracing::error!(%error, "the socket cannot be listened on"),
    }
}

const HOOKS: Hooks = Hooks { rewrite: api::path::normalize, timed_out: || ApiError::Timeout.into_response(), refused };

fn internal() -> Response {
    ApiError::Internal.into_response()
}

/// The head breaks the rules of HTTP. No browser sends such a one, so there is no page for it.
fn refused(status: StatusCode, why: &'static str) -> Response {
    let mut response = ApiError::Malformed(why.to_owned()).into_response();
    *response.status_mut() = status;
    response
}

/// No such address: answered in the form that its caller reads.
async fn unknown(State(app): State<App>, request: Request) -> Response {
    if let Some(list) = EmptyList::of_row(request.uri().path()) {
        return list.answer_row(app, request).await;
    }
    if request.uri().path().starts_with("/api/") {
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
